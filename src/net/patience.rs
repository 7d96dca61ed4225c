//! Whether it pays to look again for a moment before parking. A pure value: it is told what happened and keeps no clock.

use std::time::Duration;

use crate::config::YIELD_BEFORE_PARK;

/// So many looks in vain, one after the other, and the next wait parks at once.
const MISSES: u32 = 4;
/// A park that ended within this would have been spared by looking: the wake itself takes about as long as the looking would have.
const WOULD_HAVE_PAID: Duration = Duration::from_micros(2 * YIELD_BEFORE_PARK.as_micros() as u64);

/// What the last waits have taught.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    misses: u32,
}

impl Patience {
    /// Whether the next wait begins by looking.
    pub(crate) fn looks(&self) -> bool {
        self.misses < MISSES
    }

    /// Something came while we looked.
    pub(crate) fn paid(&mut self) {
        self.misses = 0;
    }

    /// Nothing came while we looked.
    pub(crate) fn missed(&mut self) {
        self.misses = self.misses.saturating_add(1);
    }

    /// Something came after we had been parked that long.
    pub(crate) fn parked(&mut self, time: Duration) {
        if time <= WOULD_HAVE_PAID {
            self.misses = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_stops_when_it_did_not_pay_and_resumes_when_it_would_have() {
        let _bound = crate::bound::bound();
        let mut patience = Patience::default();
        for _ in 0..MISSES {
            assert!(patience.looks());
            patience.missed();
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
        (1..MISSES).for_each(|_| patience.missed());
        patience.paid();
        (1..MISSES).for_each(|_| patience.missed());
        assert!(patience.looks());
    }
}
