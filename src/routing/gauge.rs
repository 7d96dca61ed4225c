//! How much room a link has: taken by callers before they post, given back by the engine. Lock-free, one per link.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// A frame counts at least this, so that a flood of tiny ones is not free.
const LEAST_COST: usize = 128;

/// What a message of `bytes` counts against queues and windows. Both ends compute the same: `bytes` is the length of
/// the message's payload item.
pub(crate) fn cost(bytes: usize) -> usize {
    bytes.max(LEAST_COST)
}

/// Which room is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Full {
    /// Bytes queued for the link.
    Queue,
    /// Memory of this node: the link has its share.
    Memory,
    /// Calls open with the peer.
    Calls,
    /// Bytes of ticks the peer has not confirmed.
    Ticks,
    /// There may be room, but others wait for it already.
    Line,
}

/// What one link of a node may hold of its memory just now; all gauges of the node read the same.
pub(crate) type Share = Arc<AtomicUsize>;

/// The room of one link. An empty queue or window takes one message of any size.
///
/// All counters are independent, and a message becomes visible to the engine through the mailbox, which orders it
/// behind the counters: relaxed operations suffice.
#[derive(Debug)]
pub(crate) struct Gauge {
    queued: AtomicUsize,
    queue_limit: usize,
    share: Share,
    calls: AtomicU32,
    calls_limit: AtomicU32,
    ticks: AtomicU64,
    tick_window: AtomicU64,
    /// Calls, or ticks, that come now stand behind others who wait for room.
    call_line: AtomicBool,
    tick_line: AtomicBool,
}

impl Gauge {
    pub(crate) fn new(
        queue_limit: usize,
        share: Share,
        calls_limit: u32,
        tick_window: u64,
    ) -> Self {
        Self {
            queued: AtomicUsize::new(0),
            queue_limit,
            share,
            calls: AtomicU32::new(0),
            calls_limit: AtomicU32::new(calls_limit),
            ticks: AtomicU64::new(0),
            tick_window: AtomicU64::new(tick_window),
            call_line: AtomicBool::new(false),
            tick_line: AtomicBool::new(false),
        }
    }

    /// Takes room for a call of a caller, who stands behind those who wait already.
    pub(crate) fn ask_call(&self, cost: usize) -> Result<(), Full> {
        if self.call_line.load(Relaxed) { Err(Full::Line) } else { self.take_call(cost) }
    }

    /// Whether a call that comes now has a place among those that are open.
    pub(crate) fn has_call_slot(&self) -> bool {
        !self.call_line.load(Relaxed) && self.calls() < self.calls_limit.load(Relaxed)
    }

    /// Takes room for a tick of a caller, who stands behind those who wait already.
    pub(crate) fn ask_tick(&self, cost: usize) -> Result<(), Full> {
        if self.tick_line.load(Relaxed) { Err(Full::Line) } else { self.take_tick(cost) }
    }

    /// Takes room for one call of that cost: a slot and queue bytes.
    pub(crate) fn take_call(&self, cost: usize) -> Result<(), Full> {
        let limit = self.calls_limit.load(Relaxed);
        let slot = |calls| (calls < limit).then_some(calls + 1);
        self.calls.fetch_update(Relaxed, Relaxed, slot).map_err(|_| Full::Calls)?;
        self.take_queue(cost).inspect_err(|_| self.give_call_slot())
    }

    /// Takes room for one tick of that cost: window and queue bytes.
    pub(crate) fn take_tick(&self, cost: usize) -> Result<(), Full> {
        let window = self.tick_window.load(Relaxed);
        let cost_64 = cost as u64;
        let fits = |ticks| (ticks == 0 || ticks + cost_64 <= window).then_some(ticks + cost_64);
        self.ticks.fetch_update(Relaxed, Relaxed, fits).map_err(|_| Full::Ticks)?;
        self.take_queue(cost).inspect_err(|_| self.give_ticks(cost_64))
    }

    fn take_queue(&self, cost: usize) -> Result<(), Full> {
        let share = self.share.load(Relaxed);
        let limit = self.queue_limit.min(share);
        let fits = |queued| (queued == 0 || queued + cost <= limit).then_some(queued + cost);
        let full = if share < self.queue_limit { Full::Memory } else { Full::Queue };
        self.queued.fetch_update(Relaxed, Relaxed, fits).map(|_| ()).map_err(|_| full)
    }

    /// Bytes have left the queue: framed and taken by the kernel, or withdrawn.
    pub(crate) fn give_queue(&self, cost: usize) {
        self.queued.fetch_sub(cost, Relaxed);
    }

    /// A call has ended.
    pub(crate) fn give_call_slot(&self) {
        self.calls.fetch_sub(1, Relaxed);
    }

    /// The peer has confirmed that many bytes of ticks.
    pub(crate) fn give_ticks(&self, cost: u64) {
        self.ticks.fetch_sub(cost, Relaxed);
    }

    /// The peer grants another window.
    pub(crate) fn set_tick_window(&self, window: u64) {
        self.tick_window.store(window, Relaxed);
    }

    /// The peer grants another number of calls.
    pub(crate) fn set_calls_limit(&self, limit: u32) {
        self.calls_limit.store(limit, Relaxed);
    }

    /// Whether calls, or ticks, that come now have to stand in line although there may be room.
    pub(crate) fn set_lines(&self, calls: bool, ticks: bool) {
        self.call_line.store(calls, Relaxed);
        self.tick_line.store(ticks, Relaxed);
    }

    /// Bytes queued now.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn queued(&self) -> usize {
        self.queued.load(Relaxed)
    }

    /// Calls open now.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }

    /// Bytes of ticks not yet confirmed.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn unconfirmed(&self) -> u64 {
        self.ticks.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plenty() -> Share {
        Arc::new(AtomicUsize::new(usize::MAX))
    }

    #[test]
    fn a_share_of_the_nodes_memory_limits_a_queue_while_it_is_small() {
        let share = plenty();
        let gauge = Gauge::new(1_000, Arc::clone(&share), 9, 9_000);
        share.store(300, Relaxed);
        assert_eq!(gauge.take_call(200), Ok(()));
        assert_eq!(gauge.take_call(128), Err(Full::Memory));
        assert_eq!(gauge.take_tick(128), Err(Full::Memory));
        share.store(usize::MAX, Relaxed);
        assert_eq!(gauge.take_tick(800), Ok(()));
        assert_eq!(gauge.take_call(128), Err(Full::Queue));
        assert_eq!((gauge.calls(), gauge.unconfirmed()), (1, 800));
    }

    #[test]
    fn a_queue_and_a_window_take_messages_up_to_their_last_byte() {
        for (cost, fits) in [(599, true), (600, true), (601, false)] {
            let gauge = Gauge::new(1_000, plenty(), 9, 9_000);
            assert_eq!(gauge.take_call(400), Ok(()));
            assert_eq!(gauge.take_call(cost), if fits { Ok(()) } else { Err(Full::Queue) });
            let gauge = Gauge::new(9_000, plenty(), 9, 1_000);
            assert_eq!(gauge.take_tick(400), Ok(()));
            assert_eq!(gauge.take_tick(cost), if fits { Ok(()) } else { Err(Full::Ticks) });
        }
    }

    #[test]
    fn an_empty_window_takes_one_message_of_any_size_and_then_waits() {
        let gauge = Gauge::new(1_000, plenty(), 2, 500);
        assert_eq!(gauge.take_tick(9_000), Ok(()));
        assert_eq!(gauge.take_tick(128), Err(Full::Ticks));
        gauge.give_ticks(9_000);
        assert_eq!(gauge.take_tick(128), Err(Full::Queue));
        assert_eq!(gauge.unconfirmed(), 0);
        gauge.give_queue(9_000);
        assert_eq!(gauge.take_tick(500), Ok(()));
        assert_eq!(gauge.take_tick(128), Err(Full::Ticks));
    }

    #[test]
    fn a_call_without_queue_room_gives_its_slot_back() {
        let gauge = Gauge::new(1_000, plenty(), 2, 500);
        assert_eq!(gauge.take_call(900), Ok(()));
        assert_eq!(gauge.take_call(128), Err(Full::Queue));
        assert_eq!(gauge.calls(), 1);
        gauge.give_queue(900);
        assert_eq!(gauge.take_call(128), Ok(()));
        assert_eq!(gauge.take_call(128), Err(Full::Calls));
    }
}
