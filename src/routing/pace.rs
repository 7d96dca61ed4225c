//! How a peer has answered lately: how fast, and how often not. Lock-free, one per peer; time is handed in.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What was seen is half forgotten after about two thirds of this, so that a peer which recovers is tried again.
const MEMORY: Duration = Duration::from_secs(10);
/// The weight of one more outcome in the share of failures.
const FAILURE_WEIGHT: f32 = 0.1;
/// Notes that follow sooner count as made at the same time: so little fading would be lost to rounding, again and again.
const INSTANT: u64 = 1_000;
/// Failing peers look at most so many times as loaded: enough to be avoided, not so much that it takes minutes to come back.
const WORST: f32 = 1_000.0;

/// What one peer has shown: the peak-sensitive moving average of its latency, and the share of its calls that failed.
///
/// A slower answer counts at once, faster ones little by little, so that one slow answer among quick ones is not averaged away. A
/// call that failed says nothing about speed, however fast it came: it only raises the share of failures, which makes the peer look
/// loaded. Both fade with time. Two threads that note at once may lose one of the two notes, which is fine for an estimate.
#[derive(Debug)]
pub(crate) struct Pace {
    born: Instant,
    /// Seconds, as `f32` in the upper half (zero: nothing seen yet); the share of failures, likewise, in the lower half.
    seen: AtomicU64,
    /// When that was noted, in microseconds since `born`.
    at: AtomicU64,
}

/// What a peer has shown, as of one moment.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Shown {
    /// `None` while no answer has come, or when the last is so old that it says nothing.
    pub(crate) latency: Option<Duration>,
    /// From 0 to 1.
    pub(crate) failing: f32,
}

impl Shown {
    /// How many times as loaded as it is the peer should look for its failures.
    pub(crate) fn penalty(self) -> f32 {
        let well = 1.0 - self.failing;
        (1.0 / (well * well)).min(WORST)
    }
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { born: now, seen: AtomicU64::new(0), at: AtomicU64::new(0) }
    }

    /// A call was answered after that time.
    pub(crate) fn answered(&self, took: Duration, now: Instant) {
        self.note(now, |latency, failing, kept| {
            let took = seconds(took);
            let smooth = latency.mul_add(kept, took * (1.0 - kept));
            (if took > latency { took } else { smooth }, failing * (1.0 - FAILURE_WEIGHT))
        });
    }

    /// Nothing has come after that time, and nobody waits any longer: an answer would have taken more.
    pub(crate) fn waited(&self, took: Duration, now: Instant) {
        self.note(now, |latency, failing, kept| ((latency * kept).max(seconds(took)), failing));
    }

    /// A call failed.
    pub(crate) fn failed(&self, now: Instant) {
        self.note(now, |latency, failing, _| (latency, failing + (1.0 - failing) * FAILURE_WEIGHT));
    }

    /// As of `now`.
    pub(crate) fn shown(&self, now: Instant) -> Shown {
        let (latency, failing, kept) = self.faded(now);
        let latency = latency * kept;
        // Below a nanosecond there is nothing left to compare.
        let latency = (latency >= 1e-9).then(|| Duration::from_secs_f32(latency));
        Shown { latency, failing: failing * kept }
    }

    /// The latency and the share of failures when they were noted, and what is left of them.
    fn faded(&self, now: Instant) -> (f32, f32, f32) {
        let seen = self.seen.load(Relaxed);
        let (latency, failing) = (f32::from_bits((seen >> 32) as u32), f32::from_bits(seen as u32));
        let since = self.micros(now).saturating_sub(self.at.load(Relaxed));
        let since = if since < INSTANT { 0 } else { since };
        let kept = (-(since as f32) / MEMORY.as_micros() as f32).exp();
        (latency, failing, kept)
    }

    fn note(&self, now: Instant, change: impl FnOnce(f32, f32, f32) -> (f32, f32)) {
        let (latency, failing, kept) = self.faded(now);
        let (latency, failing) = change(latency, failing * kept, kept);
        let seen = (u64::from(latency.to_bits()) << 32) | u64::from(failing.to_bits());
        self.seen.store(seen, Relaxed);
        if kept < 1.0 {
            self.at.store(self.micros(now), Relaxed);
        }
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_micros()).unwrap_or(u64::MAX)
    }
}

/// More than nothing, which stands for nothing seen.
fn seconds(took: Duration) -> f32 {
    took.as_secs_f32().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn ms(pace: &Pace, now: Instant) -> f64 {
        pace.shown(now).latency.map_or(-1.0, |latency| latency.as_secs_f64() * 1_000.0)
    }

    #[test]
    fn a_slow_answer_counts_at_once_and_quick_ones_little_by_little() {
        let _bound = crate::bound::bound();
        let mut now = Instant::now();
        let pace = Pace::new(now);
        assert_eq!(pace.shown(now).latency, None);
        pace.answered(MS, now);
        assert!((ms(&pace, now) - 1.0).abs() < 0.01);
        pace.answered(100 * MS, now);
        assert!((ms(&pace, now) - 100.0).abs() < 0.1);
        for _ in 0..50 {
            now += 100 * MS;
            pace.answered(MS, now);
        }
        assert!((40.0..80.0).contains(&ms(&pace, now)), "after 5 s: {} ms", ms(&pace, now));
        now += 60 * 1_000 * MS;
        assert!(ms(&pace, now) < 1.0, "after a minute of silence: {} ms", ms(&pace, now));
    }

    #[test]
    fn failures_do_not_look_fast_and_are_forgiven_in_time() {
        let _bound = crate::bound::bound();
        let now = Instant::now();
        let pace = Pace::new(now);
        pace.answered(10 * MS, now);
        for _ in 0..100 {
            pace.failed(now);
        }
        assert!((ms(&pace, now) - 10.0).abs() < 0.1, "a failure says nothing about speed");
        assert!(pace.shown(now).penalty() > 900.0, "{:?}", pace.shown(now));
        let later = now + Duration::from_secs(30);
        assert!(pace.shown(later).penalty() < 1.2, "{:?}", pace.shown(later));
        for _ in 0..100 {
            pace.answered(10 * MS, now);
        }
        assert!(pace.shown(now).penalty() < 1.01);
    }

    #[test]
    fn one_failure_in_a_hundred_costs_little() {
        let _bound = crate::bound::bound();
        let now = Instant::now();
        let pace = Pace::new(now);
        for call in 0..1_000 {
            if call % 100 == 50 { pace.failed(now) } else { pace.answered(MS, now) }
        }
        assert!(pace.shown(now).penalty() < 1.1, "{:?}", pace.shown(now));
    }
}
