//! Whether it pays to look again for a moment before parking. A pure value: it is told what happened and keeps no clock.

use std::time::Duration;

use crate::config::YIELD_BEFORE_PARK;

/// So many looks in vain, one after the other, and the next wait parks at once.
const MISSES: u32 = 4;
/// A park that ended within this would have been spared by looking: the wake itself takes about as long as the looking would have.
const WOULD_HAVE_PAID: Duration = Duration::from_micros(2 * YIELD_BEFORE_PARK.as_micros() as u64);
/// A look of this length has lost the processor to somebody else's computation, which keeps it for milliseconds. A parked thread would
/// have been given it back at once.
const ROBBED: Duration = Duration::from_millis(1);
/// For each of these that a look was robbed of, one wait parks at once: what is lost this way stays below it, spread over all waits.
const SHARE: Duration = Duration::from_micros(2);
/// The most waits that park at once, whatever was lost: then it is tried again.
const MOST_ABSTINENCE: u32 = 16_384;

/// What the last waits have taught.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    misses: u32,
    /// So many waits to come park at once.
    abstinence: u32,
}

impl Patience {
    /// Whether the next wait begins by looking.
    pub(crate) fn looks(&self) -> bool {
        self.misses < MISSES && self.abstinence == 0
    }

    /// Something came while we looked, which took that long.
    pub(crate) fn paid(&mut self, took: Duration) {
        self.misses = 0;
        self.robbed(took);
    }

    /// Nothing came while we looked, which took that long.
    pub(crate) fn missed(&mut self, took: Duration) {
        self.misses = self.misses.saturating_add(1);
        self.robbed(took);
    }

    /// Something came after we had been parked that long.
    pub(crate) fn parked(&mut self, time: Duration) {
        self.abstinence = self.abstinence.saturating_sub(1);
        if time <= WOULD_HAVE_PAID {
            self.misses = 0;
        }
    }

    fn robbed(&mut self, took: Duration) {
        if took >= ROBBED {
            let waits = took.as_nanos() / SHARE.as_nanos();
            self.abstinence = waits.min(u128::from(MOST_ABSTINENCE)) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = YIELD_BEFORE_PARK;

    #[test]
    fn looking_stops_when_it_did_not_pay_and_resumes_when_it_would_have() {
        let _bound = crate::bound::bound();
        let mut patience = Patience::default();
        for _ in 0..MISSES {
            assert!(patience.looks());
            patience.missed(SHORT);
            patience.parked(Duration::from_millis(3));
        }
        assert!(!patience.looks());
        patience.parked(Duration::from_micros(30));
        assert!(patience.looks());
    }

    #[test]
    fn one_look_that_paid_forgives_those_in_vain() {
        let _bound = crate::bound::bound();
        let mut patience = Patience::default();
        (1..MISSES).for_each(|_| patience.missed(SHORT));
        patience.paid(SHORT);
        (1..MISSES).for_each(|_| patience.missed(SHORT));
        assert!(patience.looks());
    }

    #[test]
    fn a_look_that_lost_the_processor_is_paid_off_by_parking_at_once() {
        let _bound = crate::bound::bound();
        let mut patience = Patience::default();
        patience.paid(ROBBED);
        let mut waits = 0;
        while !patience.looks() {
            patience.parked(Duration::from_micros(10));
            waits += 1;
        }
        assert_eq!(waits, ROBBED.as_micros() / SHARE.as_micros());
    }
}
