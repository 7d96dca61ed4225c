//! Latencies by the million in little room: how many there were of each size, within three parts in a hundred.

use std::time::Duration;

/// Each power of two is cut into that many equal parts.
const PARTS: u64 = 32;
const PARTS_BITS: u32 = PARTS.ilog2();
const BUCKETS: usize = (64 - PARTS_BITS as usize + 1) * PARTS as usize;

/// How many latencies there were of each size.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    most: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, most: 0 }
    }

    pub(crate) fn add(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.most = self.most.max(nanos);
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.most = self.most.max(other.most);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn longest(&self) -> Option<Duration> {
        (self.total > 0).then(|| Duration::from_nanos(self.most))
    }

    /// So many in a hundred took no longer. `None` when there was none.
    pub(crate) fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_nanos(end(at).min(self.most)))
    }
}

fn bucket(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(PARTS_BITS + 1);
    (u64::from(shift) * PARTS + (nanos >> shift)) as usize
}

/// The largest latency of a bucket.
fn end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / PARTS).saturating_sub(1);
    let first = bucket - shift * PARTS;
    (first << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_within_three_in_a_hundred_of_the_end_of_its_bucket() {
        for nanos in
            (0..200).chain((0..57).map(|power| 3_u64.pow(power / 2).wrapping_add(1 << power)))
        {
            let end = end(bucket(nanos));
            assert!(end >= nanos, "{nanos} in a bucket up to {end}");
            assert!(end - nanos <= nanos / 31, "{nanos} in a bucket up to {end}");
        }
        assert_eq!(end(bucket(u64::MAX)), u64::MAX);
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn percentiles_count_from_the_smallest() {
        let mut one = Histogram::new();
        assert_eq!((one.percentile(50), one.longest()), (None, None));
        let mut other = Histogram::new();
        (1..=10).for_each(|nanos| one.add(Duration::from_nanos(nanos)));
        (11..=20).for_each(|nanos| other.add(Duration::from_nanos(nanos)));
        one.add_all(&other);
        assert_eq!(one.total(), 20);
        assert_eq!(one.percentile(50), Some(Duration::from_nanos(10)));
        assert_eq!(one.percentile(99), Some(Duration::from_nanos(20)));
        assert_eq!(one.longest(), Some(Duration::from_nanos(20)));
    }
}
