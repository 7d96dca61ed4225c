//! How long things took, roughly: a fixed number of counters for any number of times. It must not know what took so long.

use std::time::Duration;

use super::Percentiles;
use crate::config::LONGEST_TIMEOUT;

/// Every power of two is divided into so many buckets of equal width. Whoever is in one is told from its longest by less than a sixteenth.
const STEPS: u64 = 16;
/// From 0 µs to [`LONGEST_TIMEOUT`], which nothing here exceeds: 533 buckets of 8 bytes.
const BUCKETS: usize = bucket(LONGEST_TIMEOUT.as_micros() as u64) + 1;

/// Times with a bounded relative error, their exact average and their exact maximum. 4.2 KiB from the first time on, and nothing before:
/// many an event is only ticked.
#[derive(Clone, Default, Debug)]
pub(super) struct Histogram {
    /// The sum of all buckets.
    count: u64,
    nanos: u128,
    max: Duration,
    buckets: Option<Box<[u64; BUCKETS]>>,
}

impl Histogram {
    /// Longer than [`LONGEST_TIMEOUT`] counts as that.
    pub(super) fn record(&mut self, took: Duration) {
        // No bucket exceeds the count, so none wraps.
        let Some(count) = self.count.checked_add(1) else { return };
        let took = took.min(LONGEST_TIMEOUT);
        self.count = count;
        self.nanos += took.as_nanos();
        self.max = self.max.max(took);
        let buckets = self.buckets.get_or_insert_with(|| Box::new([0; BUCKETS]));
        // Rounded up, because percentiles say what things took at most.
        buckets[bucket(took.as_nanos().div_ceil(1_000) as u64)] += 1;
    }

    /// Adds all that another has recorded.
    pub(super) fn add(&mut self, other: &Self) {
        let Some(theirs) = &other.buckets else { return };
        let ours = self.buckets.get_or_insert_with(|| Box::new([0; BUCKETS]));
        for (our, their) in ours.iter_mut().zip(theirs.iter()) {
            *our = our.saturating_add(*their);
        }
        self.count = self.count.saturating_add(other.count);
        self.nanos += other.nanos;
        self.max = self.max.max(other.max);
    }

    pub(super) fn average(&self) -> Option<Duration> {
        let nanos = self.nanos.checked_div(u128::from(self.count))?;
        Some(Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32))
    }

    /// By nearest rank: of ten times the ninth is `p90`.
    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        let buckets = self.buckets.as_deref()?;
        let mut ahead = buckets.iter().enumerate();
        let (mut passed, mut reached) = (0, 0);
        // One walk over the buckets for all: each goes on where the one before it has stopped.
        let mut up_to = |per_mille: u128| {
            let rank = (u128::from(self.count) * per_mille).div_ceil(1_000);
            while passed < rank {
                let Some((index, count)) = ahead.next() else { break };
                passed += u128::from(*count);
                reached = index;
            }
            longest(reached).min(self.max)
        };
        let (p50, p90, p99, p999) = (up_to(500), up_to(900), up_to(990), up_to(999));
        Some(Percentiles { p50, p90, p99, p999, max: self.max })
    }
}

/// Where so many microseconds are counted: below twice [`STEPS`] each has a bucket of its own, and then every power of two has [`STEPS`].
const fn bucket(micros: u64) -> usize {
    let shift = (micros | STEPS).ilog2() - STEPS.ilog2();
    (shift as u64 * STEPS + (micros >> shift)) as usize
}

/// The longest time that is counted there.
fn longest(bucket: usize) -> Duration {
    let bucket = bucket as u64;
    let shift = (bucket / STEPS).saturating_sub(1);
    Duration::from_micros(((bucket - shift * STEPS + 1) << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap_and_none_is_wider_than_a_sixteenth() {
        let _bound = crate::bound::bound();
        let mut least = 0;
        for index in 0..BUCKETS {
            let most = longest(index).as_micros() as u64;
            assert_eq!((bucket(least), bucket(most)), (index, index));
            assert!((most - least) * STEPS <= least, "{least} to {most}");
            least = most + 1;
        }
        assert!(Duration::from_micros(least) > LONGEST_TIMEOUT);
    }

    #[test]
    fn a_full_histogram_takes_no_more_and_sums_end() {
        let _bound = crate::bound::bound();
        let mut full = Histogram::default();
        full.record(Duration::from_millis(1));
        full.buckets.as_mut().unwrap()[bucket(1_000)] = u64::MAX;
        full.count = u64::MAX;
        let percentiles = full.percentiles();
        full.record(Duration::from_millis(1));
        full.add(&full.clone());
        assert_eq!(full.count, u64::MAX);
        assert_eq!(full.percentiles(), percentiles);
    }
}
