//! Credit-based flow control of one series of messages between two nodes, both ways: what this
//! side has sent and the other has confirmed, and what came in and was finished here. Ticks use
//! it, one value a link. It must not know what the messages are.

use std::time::{Duration, Instant};

/// A window grows only where it is used up faster than this.
const BUSY: Duration = Duration::from_secs(1);

/// Both directions of one series.
#[derive(Debug)]
pub(crate) struct Credit {
    sent: Sent,
    received: Received,
}

/// Messages that this side sends.
#[derive(Clone, Copy, Default, Debug)]
struct Sent {
    accepted: u64,
    accepted_cost: u64,
    written: u64,
    written_cost: u64,
    confirmed: u64,
    confirmed_cost: u64,
}

/// Messages that the other side sends.
#[derive(Debug)]
struct Received {
    /// What may be unfinished at once; the sender knows it.
    window: u64,
    /// How much of the window counts among the windows of the node.
    granted: u64,
    count: u64,
    cost: u64,
    finished: u64,
    finished_cost: u64,
    reported_cost: u64,
    reported_at: Instant,
    /// The most that was unfinished at once since the last report.
    peak: u64,
}

impl Credit {
    pub(crate) fn new(window: u64, now: Instant) -> Self {
        let received = Received {
            window,
            granted: 0,
            count: 0,
            cost: 0,
            finished: 0,
            finished_cost: 0,
            reported_cost: 0,
            reported_at: now,
            peak: 0,
        };
        Self { sent: Sent::default(), received }
    }
}

/// The sending side.
impl Credit {
    /// A message was queued.
    pub(crate) fn accept(&mut self, cost: u64) {
        self.sent.accepted += 1;
        self.sent.accepted_cost += cost;
    }

    /// The kernel has taken the last bytes of that many.
    pub(crate) fn written(&mut self, count: u64, cost: u64) {
        self.sent.written += count;
        self.sent.written_cost += cost;
    }

    /// Takes a cumulative report of the receiver. Returns the cost that is newly confirmed, or
    /// `None` if the report cannot be true.
    pub(crate) fn confirm(&mut self, count: u64, cost: u64) -> Option<u64> {
        let sent = &mut self.sent;
        if !(sent.confirmed..=sent.written).contains(&count)
            || !(sent.confirmed_cost..=sent.written_cost).contains(&cost)
        {
            return None;
        }
        let newly = cost - sent.confirmed_cost;
        (sent.confirmed, sent.confirmed_cost) = (count, cost);
        Some(newly)
    }

    /// How many messages were queued since the link stands.
    pub(crate) fn accepted(&self) -> u64 {
        self.sent.accepted
    }

    /// How many of them the receiver has confirmed.
    pub(crate) fn confirmed(&self) -> u64 {
        self.sent.confirmed
    }

    /// Queued, but the kernel never had their last byte.
    pub(crate) fn unwritten(&self) -> u64 {
        self.sent.accepted - self.sent.written
    }

    /// Written, but the receiver has not reported that its handlers are done.
    pub(crate) fn unconfirmed(&self) -> u64 {
        self.sent.written - self.sent.confirmed
    }

    /// Whether nothing that was sent is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.sent.accepted == self.sent.confirmed
    }

    /// The cost of what was queued and is not confirmed.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn outstanding_cost(&self) -> u64 {
        self.sent.accepted_cost - self.sent.confirmed_cost
    }
}

/// The receiving side.
impl Credit {
    /// Grants the sender its first window, which counts among those of the node. Returns what was
    /// granted before.
    pub(crate) fn grant(&mut self, window: u64) -> u64 {
        self.received.window = window;
        std::mem::replace(&mut self.received.granted, window)
    }

    /// The handshake is complete: counts anew, in the window that was granted.
    pub(crate) fn open(&mut self, now: Instant) {
        let Received { window, granted, .. } = self.received;
        *self = Self::new(window, now);
        self.received.granted = granted;
    }

    /// What of the window counts among the windows of the node.
    pub(crate) fn granted(&self) -> u64 {
        self.received.granted
    }

    /// The window counts no more. Returns what it counted.
    pub(crate) fn revoke(&mut self) -> u64 {
        std::mem::take(&mut self.received.granted)
    }

    pub(crate) fn window(&self) -> u64 {
        self.received.window
    }

    /// Counts a message that came in. False if the sender had no credit for it.
    pub(crate) fn receive(&mut self, cost: u64) -> bool {
        let received = &mut self.received;
        let outstanding = received.cost - received.reported_cost;
        received.count += 1;
        received.cost += cost;
        received.peak = received.peak.max(received.cost - received.finished_cost);
        outstanding == 0 || outstanding + cost <= received.window
    }

    /// The handlers are done with that many.
    pub(crate) fn finish(&mut self, count: u64, cost: u64) {
        self.received.finished += count;
        self.received.finished_cost += cost;
    }

    /// How many the handlers are done with, and what these cost: what a report says.
    pub(crate) fn finished(&self) -> (u64, u64) {
        (self.received.finished, self.received.finished_cost)
    }

    /// Whether the sender should get a report now: a quarter of the window is done, or everything.
    pub(crate) fn is_report_due(&self) -> bool {
        let received = &self.received;
        let done = received.finished_cost - received.reported_cost;
        done > 0 && (done >= received.window / 4 || received.finished == received.count)
    }

    /// Notes that a report is being sent. True if the series is busy enough for a larger window.
    pub(crate) fn report(&mut self, now: Instant) -> bool {
        let received = &mut self.received;
        let since = now.saturating_duration_since(received.reported_at);
        let busy = received.peak >= received.window / 2 && since < BUSY;
        received.reported_cost = received.finished_cost;
        received.reported_at = now;
        received.peak = received.cost - received.finished_cost;
        busy
    }

    /// Doubles the window, to `max` at most. Returns by how much it grew.
    pub(crate) fn widen(&mut self, max: u64) -> u64 {
        let wider = (self.received.window * 2).min(max).max(self.received.window);
        let grown = wider - self.received.window;
        self.received.window = wider;
        self.received.granted += grown;
        grown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_is_due_at_a_quarter_of_the_window_or_when_all_is_done() {
        let now = Instant::now();
        let mut credit = Credit::new(1_000, now);
        assert!(!credit.is_report_due());
        for _ in 0..7 {
            assert!(credit.receive(128));
        }
        assert!(!credit.receive(128), "beyond the window");
        credit.finish(1, 128);
        assert!(!credit.is_report_due());
        credit.finish(1, 128);
        assert!(credit.is_report_due());
        assert!(credit.report(now), "busy");
        credit.finish(6, 768);
        assert!(credit.is_report_due());
        credit.report(now);
        assert!(!credit.is_report_due());
        assert_eq!(credit.finished(), (8, 1_024));
    }

    #[test]
    fn report_that_cannot_be_true_is_refused() {
        let mut credit = Credit::new(1_000, Instant::now());
        for _ in 0..3 {
            credit.accept(128);
        }
        credit.written(2, 256);
        assert_eq!(credit.confirm(3, 384), None);
        assert_eq!(credit.confirm(2, 257), None);
        assert_eq!(credit.confirm(0, u64::MAX), None);
        assert_eq!(credit.confirm(1, 128), Some(128));
        assert_eq!(credit.confirm(0, 0), None);
        assert_eq!((credit.unwritten(), credit.unconfirmed()), (1, 1));
        assert_eq!((credit.accepted(), credit.confirmed()), (3, 1));
        assert_eq!(credit.outstanding_cost(), 256);
    }

    #[test]
    fn window_doubles_up_to_its_maximum_and_counts_what_it_grew_by() {
        let mut credit = Credit::new(0, Instant::now());
        assert_eq!(credit.grant(400), 0);
        assert_eq!(credit.widen(1_000), 400);
        assert_eq!(credit.widen(1_000), 200);
        assert_eq!(credit.widen(1_000), 0);
        assert_eq!((credit.window(), credit.granted()), (1_000, 1_000));
        credit.open(Instant::now());
        assert_eq!((credit.window(), credit.revoke(), credit.granted()), (1_000, 1_000, 0));
    }
}
