//! This node's messages to the peer of a link: the capacity there, the calls in flight, and what
//! waits for capacity. It must not know what a message says; the bytes stand in the send queue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::wait_queue::{Admitted, Ticket, WaitQueue};
use crate::id::CallId;
use crate::proto::planted::{Planted, has};
use crate::routing::Gauge;

/// `M` is a waiting tick.
#[derive(Debug)]
pub(crate) struct Outbound<M> {
    /// Shared with the threads that send, and replaced when the link joins.
    capacity: Arc<Gauge>,
    /// The longest payload that the peer takes.
    peer_message_bytes: usize,
    /// Calls that are queued or written and not ended.
    in_flight: BTreeSet<CallId>,
    waiting: WaitQueue<M>,
    /// Bytes of requests that are kept until they are answered, because an alternate may need them.
    kept: usize,
    /// The calls that the peer has accepted and leaves unanswered, if its goodbye lists them.
    taken_up: Option<Vec<CallId>>,
}

/// What a link leaves behind that is lost.
#[derive(Debug)]
pub(crate) struct Unsent<M> {
    pub(crate) in_flight: BTreeSet<CallId>,
    pub(crate) waiting: WaitQueue<M>,
    /// The calls that the peer has accepted and leaves unanswered, if its goodbye lists them.
    taken_up: Option<Vec<CallId>>,
}

impl<M> Unsent<M> {
    /// Whether the peer's goodbye says that it has not accepted that call.
    pub(crate) fn was_passed_over(&self, call: CallId) -> bool {
        self.taken_up.as_ref().is_some_and(|taken_up| taken_up.binary_search(&call).is_err())
    }
}

impl<M> Outbound<M> {
    /// Before the handshake is complete there is no capacity.
    pub(crate) fn new(queue_bytes: usize, peer_message_bytes: usize) -> Self {
        Self {
            capacity: Arc::new(Gauge::new(queue_bytes, Arc::default(), 0, 0)),
            peer_message_bytes,
            in_flight: BTreeSet::new(),
            waiting: WaitQueue::default(),
            kept: 0,
            taken_up: None,
        }
    }

    /// The handshake is complete: the peer's hello says what it takes.
    pub(crate) fn open(&mut self, capacity: Gauge, peer_message_bytes: usize) -> Arc<Gauge> {
        self.capacity = Arc::new(capacity);
        self.peer_message_bytes = peer_message_bytes;
        Arc::clone(&self.capacity)
    }

    pub(crate) fn capacity(&self) -> &Gauge {
        &self.capacity
    }

    pub(crate) fn peer_message_bytes(&self) -> usize {
        self.peer_message_bytes
    }

    /// Whether the peer takes a payload of that length.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        bytes <= self.peer_message_bytes
    }

    /// Takes capacity for a call that comes now, unless there is none or others wait for it.
    pub(crate) fn take_call(&self, cost: usize) -> bool {
        self.waiting.admits_calls() && self.capacity.take_call(cost).is_ok()
    }

    /// Takes capacity for a tick that comes now, unless there is none or others wait for it.
    pub(crate) fn take_tick(&self, cost: usize) -> bool {
        self.waiting.admits_ticks() && self.capacity.take_tick(cost).is_ok()
    }

    /// Gives back what a caller had taken for a call that is not sent here.
    pub(crate) fn return_call(&self, cost: usize) {
        self.capacity.give_queue(cost);
        self.capacity.give_call_slot();
    }

    /// Gives back what a caller had taken for a tick that is not sent here.
    pub(crate) fn return_tick(&self, cost: usize) {
        self.capacity.give_queue(cost);
        self.capacity.give_ticks(cost as u64);
    }

    /// A call is queued; `kept` bytes of it stay in memory until it ends.
    pub(crate) fn begin(&mut self, call: CallId, kept: usize) {
        self.in_flight.insert(call);
        self.kept += kept;
    }

    /// A call is in flight no more: its slot is free. False if it was not.
    pub(crate) fn end(&mut self, call: CallId, kept: usize) -> bool {
        let ended = self.in_flight.remove(&call);
        if ended {
            self.kept -= kept;
            if !has(Planted::PlaceKept) {
                self.capacity.give_call_slot();
            }
        }
        ended
    }

    pub(crate) fn in_flight(&self) -> impl Iterator<Item = CallId> {
        self.in_flight.iter().copied()
    }

    /// Calls in flight and calls that wait.
    pub(crate) fn calls(&self) -> impl Iterator<Item = CallId> {
        self.in_flight.iter().copied().chain(self.waiting.calls())
    }

    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// Whether there is neither a call in flight nor a message that waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight.is_empty() && self.waiting.is_empty()
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn waiting(&mut self) -> &mut WaitQueue<M> {
        &mut self.waiting
    }

    /// Whether [`admit`](Self::admit) may do anything.
    pub(crate) fn may_admit(&self) -> bool {
        self.waiting.is_shown() || !self.waiting.is_empty()
    }

    /// The message that has waited longest and has capacity now.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<Admitted<M>> {
        self.waiting.next(now, &self.capacity)
    }

    /// A call that waits for capacity.
    pub(crate) fn wait(&mut self, call: CallId, until: Instant, cost: usize) -> Ticket {
        self.waiting.push_call(call, until, cost)
    }

    /// The peer's goodbye: the calls it has accepted and will not answer, if it lists them.
    pub(crate) fn said_goodbye(&mut self, taken_up: Option<Vec<CallId>>) {
        self.taken_up = taken_up;
    }

    /// The link is lost, and with it everything that was under way.
    pub(crate) fn close(&mut self) -> Unsent<M> {
        self.kept = 0;
        Unsent {
            in_flight: std::mem::take(&mut self.in_flight),
            waiting: std::mem::take(&mut self.waiting),
            taken_up: self.taken_up.take(),
        }
    }

    /// As if the peer's hello had said so.
    #[cfg(test)]
    pub(crate) fn set_peer_message_bytes(&mut self, bytes: usize) {
        self.peer_message_bytes = bytes;
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn waiting_ticks(&self) -> usize {
        self.waiting.waiting_ticks()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn outbound(calls: u32) -> Outbound<()> {
        let share = Arc::new(AtomicUsize::new(usize::MAX));
        let mut outbound = Outbound::new(1_000, 1_000);
        outbound.open(Gauge::new(1_000, share, calls, 1_000), 500);
        outbound
    }

    #[test]
    fn nothing_is_sent_before_the_handshake_is_complete() {
        let closed: Outbound<()> = Outbound::new(1_000, 1_000);
        assert!(!closed.take_call(128));
        assert!(outbound(1).take_call(128));
    }

    #[test]
    fn a_call_that_ends_frees_its_slot_and_its_memory_once() {
        let mut outbound = outbound(1);
        assert!(outbound.take_call(128));
        outbound.begin(CallId(7), 300);
        assert!(!outbound.take_call(128), "one slot");
        assert_eq!((outbound.kept(), outbound.is_empty()), (300, false));
        assert!(outbound.end(CallId(7), 300));
        assert!(!outbound.end(CallId(7), 300));
        assert_eq!((outbound.kept(), outbound.capacity().calls()), (0, 0));
    }

    #[test]
    fn a_new_call_never_overtakes_one_that_waits() {
        let mut outbound = outbound(2);
        let until = Instant::now() + std::time::Duration::from_secs(1);
        outbound.wait(CallId(1), until, 128);
        assert!(!outbound.take_call(128));
        assert_eq!(outbound.admit(Instant::now()), Some(Admitted::Call(CallId(1))));
        assert!(outbound.take_call(128));
    }

    #[test]
    fn a_goodbye_with_a_list_names_the_calls_that_may_have_run() {
        let mut outbound = outbound(2);
        assert!(!outbound.close().was_passed_over(CallId(1)));
        outbound.said_goodbye(Some(vec![CallId(1)]));
        let unsent = outbound.close();
        assert!(!unsent.was_passed_over(CallId(1)) && unsent.was_passed_over(CallId(2)));
    }
}
