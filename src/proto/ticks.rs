//! Ticks on one link, both ways: what was accepted, written, confirmed; what came in and was finished by handlers.

use std::time::{Duration, Instant};

/// A window grows only on links that use it up faster than this.
const BUSY: Duration = Duration::from_secs(1);

/// Ticks we send on one link.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct TicksOut {
    pub(super) accepted: u64,
    pub(super) accepted_cost: u64,
    written: u64,
    written_cost: u64,
    pub(super) confirmed: u64,
    pub(super) confirmed_cost: u64,
}

impl TicksOut {
    /// Accepted, but the kernel never had their last byte.
    pub(super) fn unwritten(&self) -> u64 {
        self.accepted - self.written
    }

    /// Written, but the receiver has not said that its handlers are done.
    pub(super) fn unconfirmed(&self) -> u64 {
        self.written - self.confirmed
    }

    /// The kernel has taken the last bytes of that many.
    pub(super) fn written(&mut self, ticks: u64, cost: u64) {
        self.written += ticks;
        self.written_cost += cost;
    }

    /// Takes a cumulative report; gives what is newly confirmed, or `None` if it cannot be true.
    pub(super) fn confirm(&mut self, ticks: u64, cost: u64) -> Option<u64> {
        let ticks_may_be = (self.confirmed..=self.written).contains(&ticks);
        if !ticks_may_be || !(self.confirmed_cost..=self.written_cost).contains(&cost) {
            return None;
        }
        let newly = cost - self.confirmed_cost;
        self.confirmed = ticks;
        self.confirmed_cost = cost;
        Some(newly)
    }
}

/// Ticks that come in on one link.
#[derive(Debug)]
pub(super) struct TicksIn {
    pub(super) window: u64,
    received_cost: u64,
    received: u64,
    pub(super) finished: u64,
    pub(super) finished_cost: u64,
    reported_cost: u64,
    reported_at: Instant,
    /// The most that was unfinished at once since the last report.
    peak: u64,
}

impl TicksIn {
    pub(super) fn new(window: u64, now: Instant) -> Self {
        Self {
            window,
            received_cost: 0,
            received: 0,
            finished: 0,
            finished_cost: 0,
            reported_cost: 0,
            reported_at: now,
            peak: 0,
        }
    }

    /// Counts a tick that came in; false if the sender had no credit for it.
    pub(super) fn receive(&mut self, cost: u64) -> bool {
        let outstanding = self.received_cost - self.reported_cost;
        self.received += 1;
        self.received_cost += cost;
        self.peak = self.peak.max(self.received_cost - self.finished_cost);
        outstanding == 0 || outstanding + cost <= self.window
    }

    pub(super) fn finish(&mut self, ticks: u64, cost: u64) {
        self.finished += ticks;
        self.finished_cost += cost;
    }

    /// Whether the sender should hear of it now: a quarter of the window is done, or everything.
    pub(super) fn is_due(&self) -> bool {
        let done = self.finished_cost - self.reported_cost;
        done > 0 && (done >= self.window / 4 || self.finished == self.received)
    }

    /// Notes that the counters are being told. True if the link is busy enough for a larger window.
    pub(super) fn report(&mut self, now: Instant) -> bool {
        let busy =
            self.peak >= self.window / 2 && now.saturating_duration_since(self.reported_at) < BUSY;
        self.reported_cost = self.finished_cost;
        self.reported_at = now;
        self.peak = self.received_cost - self.finished_cost;
        busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_due_at_a_quarter_or_when_all_is_done() {
        let now = Instant::now();
        let mut ticks = TicksIn::new(1_000, now);
        assert!(!ticks.is_due());
        for _ in 0..7 {
            assert!(ticks.receive(128));
        }
        assert!(!ticks.receive(128), "beyond the window");
        ticks.finish(1, 128);
        assert!(!ticks.is_due());
        ticks.finish(1, 128);
        assert!(ticks.is_due());
        assert!(ticks.report(now), "busy");
        ticks.finish(6, 768);
        assert!(ticks.is_due());
        ticks.report(now);
        assert!(!ticks.is_due());
    }

    #[test]
    fn a_report_that_cannot_be_true_is_refused() {
        let mut ticks = TicksOut { accepted: 3, ..TicksOut::default() };
        ticks.written(2, 256);
        assert_eq!(ticks.confirm(3, 384), None);
        assert_eq!(ticks.confirm(2, 257), None);
        assert_eq!(ticks.confirm(0, u64::MAX), None);
        assert_eq!(ticks.confirm(1, 128), Some(128));
        assert_eq!(ticks.confirm(0, 0), None);
        assert_eq!((ticks.unwritten(), ticks.unconfirmed()), (1, 1));
    }
}
