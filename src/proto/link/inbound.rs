//! The peer's requests to this node: which are being handled, which replies are not written yet,
//! and how many the peer may have open. It must not know what a request says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use super::wait_queue::Ticket;
use crate::config::{CONTROL_BURST, CONTROL_PER_SECOND};
use crate::id::{CallId, LinkId, NodeId};
use crate::proto::queue::Seq;

/// A request that is being handled.
#[derive(Debug)]
struct InboundRequest {
    /// What it counts in the memory of the node.
    cost: usize,
    /// Set when the caller gave up; the handler sees it.
    cancelled: Arc<AtomicBool>,
    forward: Option<Forwarded>,
    /// The node that sent it first, where that is counted.
    origin: Option<NodeId>,
}

/// How a router carries out a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Forwarded {
    /// The call by which it is forwarded, or the search by which it is answered.
    pub(crate) call: CallId,
    pub(crate) at: ForwardedAt,
}

/// Where a forwarded message was last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ForwardedAt {
    Nowhere,
    /// A tick that waits for capacity, which is no call meanwhile.
    Waiting(LinkId, Ticket),
    Queued(LinkId, Seq),
}

#[derive(Debug)]
pub(crate) struct Inbound {
    requests: BTreeMap<CallId, InboundRequest>,
    /// Calls of the peer that count in the number it was granted: neither answered to the last byte
    /// nor cancelled.
    open: u64,
    /// How many calls the peer may have open.
    granted: u32,
    /// The peer is a router: how many requests of each origin are being handled.
    origins: Option<BTreeMap<NodeId, u32>>,
    /// Replies that are not written to their last byte, in the order in which they were queued;
    /// `None` once the caller gave up and its slot is free.
    replies: VecDeque<Option<CallId>>,
    /// Bytes of messages, ticks among them, that the handlers have.
    in_hand: usize,
    budget: ControlBudget,
}

impl Inbound {
    pub(crate) fn new(granted: u32, now: Instant) -> Self {
        Self {
            requests: BTreeMap::new(),
            open: 0,
            granted,
            origins: None,
            replies: VecDeque::new(),
            in_hand: 0,
            budget: ControlBudget { left: CONTROL_BURST, filled_at: now },
        }
    }

    /// Bounds the control messages of the peer.
    pub(crate) fn budget(&mut self) -> &mut ControlBudget {
        &mut self.budget
    }

    /// How many calls the peer may have open.
    pub(crate) fn granted(&self) -> u32 {
        self.granted
    }

    /// The peer turns out to be a router, which calls for many.
    pub(crate) fn grant_many(&mut self, calls: u32) {
        self.granted = self.granted.max(calls);
        self.origins = Some(BTreeMap::new());
    }

    /// The peer gets one more reply, of whatever kind: takes a slot until its last byte is written.
    /// Returns how many are open.
    pub(crate) fn open_slot(&mut self) -> u64 {
        self.open += 1;
        self.open
    }

    /// Replies whose last byte the kernel has not taken, wanted or not.
    pub(crate) fn unread_replies(&self) -> u64 {
        self.replies.len() as u64
    }

    /// Whether a request of that number is being handled.
    pub(crate) fn is_handled(&self, call: CallId) -> bool {
        self.requests.contains_key(&call)
    }

    /// How many requests of that origin are being handled, if it is behind a router.
    pub(crate) fn handled_of(&self, origin: Option<&NodeId>) -> u32 {
        let counted = self.origins.as_ref().and_then(|origins| origins.get(origin?));
        counted.copied().unwrap_or(0)
    }

    /// A request is accepted. Returns its flag for the handler.
    pub(crate) fn accept(
        &mut self,
        call: CallId,
        cost: usize,
        origin: Option<&NodeId>,
    ) -> Arc<AtomicBool> {
        let origin = origin.filter(|_| self.origins.is_some()).cloned();
        if let (Some(origins), Some(origin)) = (&mut self.origins, &origin) {
            *origins.entry(origin.clone()).or_default() += 1;
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&cancelled);
        self.requests.insert(call, InboundRequest { cost, cancelled, forward: None, origin });
        self.in_hand += cost;
        flag
    }

    /// Notes how a router carries out a request that it has accepted.
    pub(crate) fn forward(&mut self, call: CallId, forward: Forwarded) {
        if let Some(request) = self.requests.get_mut(&call) {
            request.forward = Some(forward);
        }
    }

    /// The call by which a request is forwarded.
    pub(crate) fn forward_of(&self, call: CallId) -> Option<Forwarded> {
        self.requests.get(&call)?.forward
    }

    /// A handler is done with a request. Whether its caller still waits for the reply.
    pub(crate) fn finish(&mut self, call: CallId) -> bool {
        let Some(request) = self.requests.remove(&call) else { return false };
        self.in_hand -= request.cost;
        self.release(request.origin);
        !request.cancelled.load(Relaxed)
    }

    /// The caller gave up: its slot is free, although its reply may still be on the way out.
    /// Returns how the request was forwarded, if it was: then it is over.
    pub(crate) fn cancel(&mut self, call: CallId) -> Option<Forwarded> {
        let reply = self.replies.iter_mut().find(|reply| **reply == Some(call));
        let unwritten = reply.and_then(Option::take).is_some();
        let request = self.requests.get_mut(&call);
        let request = request.filter(|request| !request.cancelled.swap(true, Relaxed));
        let (handled, origin) = (request.is_some(), request.and_then(|it| it.origin.take()));
        self.release(origin);
        if unwritten || handled {
            self.open = self.open.saturating_sub(1);
        }
        let forward = self.forward_of(call)?;
        self.finish(call);
        Some(forward)
    }

    /// A request of that origin is handled no more, or its caller gave up.
    fn release(&mut self, origin: Option<NodeId>) {
        let (Some(origins), Some(origin)) = (&mut self.origins, origin) else { return };
        if let Some(count) = origins.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                origins.remove(&origin);
            }
        }
    }

    /// A reply is queued; the caller's slot is free when its last byte is written, or the caller
    /// gives up.
    pub(crate) fn reply_queued(&mut self, call: CallId) {
        self.replies.push_back(Some(call));
    }

    /// The kernel has the last byte of that many more replies.
    pub(crate) fn replies_written(&mut self, count: u64) {
        for _ in 0..count {
            if let Some(Some(_)) = self.replies.pop_front() {
                self.open = self.open.saturating_sub(1);
            }
        }
    }

    /// A tick was handed to the handlers.
    pub(crate) fn tick_delivered(&mut self, cost: usize) {
        self.in_hand += cost;
    }

    /// The handlers are done with ticks.
    pub(crate) fn ticks_finished(&mut self, cost: u64) {
        self.in_hand -= usize::try_from(cost).unwrap_or(usize::MAX).min(self.in_hand);
    }

    /// Bytes that the handlers have.
    pub(crate) fn in_hand(&self) -> usize {
        self.in_hand
    }

    /// Bytes of ticks that the handlers have.
    pub(crate) fn ticks_in_hand(&self) -> usize {
        self.in_hand - self.requests.values().map(|request| request.cost).sum::<usize>()
    }

    /// Requests that are being handled and whose caller still waits.
    pub(crate) fn handled(&self) -> usize {
        self.requests.values().filter(|request| !request.cancelled.load(Relaxed)).count()
    }

    /// Whether no caller waits for a reply; handlers of those that gave up may still run.
    pub(crate) fn is_answered(&self) -> bool {
        self.requests.values().all(|request| request.cancelled.load(Relaxed))
    }

    /// Whether the handlers have nothing and no reply is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.open == 0 && self.in_hand == 0
    }

    /// The requests being handled whose caller still waits, in the order of their numbers.
    pub(crate) fn unanswered(&self) -> BTreeSet<CallId> {
        let handled = self.requests.iter();
        let handled = handled.filter(|(_, request)| !request.cancelled.load(Relaxed));
        handled.map(|(call, _)| *call).collect()
    }

    /// The link is lost: cancels what is being handled. Cancelled requests leave the workers' queue
    /// without having run, so they count no more. Returns what was being forwarded.
    pub(crate) fn close(&mut self) -> Vec<Forwarded> {
        let requests = std::mem::take(&mut self.requests);
        self.in_hand -= requests.values().map(|request| request.cost).sum::<usize>();
        for request in requests.values() {
            request.cancelled.store(true, Relaxed);
        }
        requests.into_values().filter_map(|request| request.forward).collect()
    }

    /// The link is lost: takes what its handlers still have, which are ticks.
    pub(crate) fn take_in_hand(&mut self) -> usize {
        std::mem::take(&mut self.in_hand)
    }

    /// Requests that are not finished.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// The slots that are counted, and those that are taken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn slots(&self) -> (u64, u64) {
        (self.open, (self.handled() + self.replies.iter().flatten().count()) as u64)
    }
}

/// A token bucket for messages that cost the sender little: a flood of them costs it the link. What
/// brings such messages about, on either side, earns one each: a request its Cancel or its Fault, a
/// tick its Consumed.
#[derive(Debug)]
pub(crate) struct ControlBudget {
    left: u32,
    filled_at: Instant,
}

impl ControlBudget {
    /// A message was sent or has come in which one cheap message of the other side may answer or
    /// take back.
    pub(crate) fn earn(&mut self) {
        self.left = (self.left + 1).min(CONTROL_BURST);
    }

    /// Takes one; false when the flood is too high.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled_at);
        let earned = elapsed.as_millis() * u128::from(CONTROL_PER_SECOND) / 1_000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(earned).min(CONTROL_BURST);
            self.filled_at = now;
        }
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn inbound() -> Inbound {
        Inbound::new(4, Instant::now())
    }

    #[test]
    fn a_slot_is_free_when_the_last_byte_of_its_reply_is_written() {
        let mut inbound = inbound();
        inbound.open_slot();
        inbound.accept(CallId(1), 300, None);
        assert_eq!((inbound.in_hand(), inbound.slots()), (300, (1, 1)));
        assert!(inbound.finish(CallId(1)));
        inbound.reply_queued(CallId(1));
        assert_eq!((inbound.in_hand(), inbound.slots()), (0, (1, 1)));
        inbound.replies_written(1);
        assert!(inbound.is_idle());
    }

    #[test]
    fn cancel_frees_the_slot_of_a_request_once_wherever_its_reply_is() {
        let mut inbound = inbound();
        for call in [1, 2] {
            inbound.open_slot();
            inbound.accept(CallId(call), 100, None);
        }
        inbound.finish(CallId(2));
        inbound.reply_queued(CallId(2));
        for call in [1, 1, 2, 2, 3] {
            assert_eq!(inbound.cancel(CallId(call)), None);
        }
        assert_eq!(inbound.slots(), (0, 0));
        assert!(inbound.is_answered() && !inbound.is_empty());
        assert!(!inbound.finish(CallId(1)), "its caller gave up");
        inbound.replies_written(1);
        assert_eq!(inbound.slots(), (0, 0));
    }

    #[test]
    fn cancel_ends_a_forwarded_request_and_returns_its_call() {
        let mut inbound = inbound();
        inbound.accept(CallId(1), 100, None);
        let forward = Forwarded { call: CallId(9), at: ForwardedAt::Nowhere };
        inbound.forward(CallId(1), forward);
        assert_eq!(inbound.cancel(CallId(1)), Some(forward));
        assert!(inbound.is_empty());
        assert_eq!(inbound.in_hand(), 0);
    }

    #[test]
    fn requests_of_one_origin_are_counted_only_behind_a_router() {
        let origin = NodeId::new("origin").expect("a legal id");
        let mut inbound = inbound();
        inbound.accept(CallId(1), 100, Some(&origin));
        assert_eq!(inbound.handled_of(Some(&origin)), 0);
        inbound.grant_many(9);
        inbound.accept(CallId(2), 100, Some(&origin));
        inbound.accept(CallId(3), 100, Some(&origin));
        assert_eq!((inbound.handled_of(Some(&origin)), inbound.granted()), (2, 9));
        inbound.finish(CallId(2));
        inbound.cancel(CallId(3));
        inbound.finish(CallId(3));
        assert_eq!(inbound.handled_of(Some(&origin)), 0);
    }

    #[test]
    fn close_cancels_requests_and_keeps_the_ticks_that_handlers_have() {
        let mut inbound = inbound();
        let cancelled = inbound.accept(CallId(1), 100, None);
        inbound.tick_delivered(50);
        assert_eq!(inbound.ticks_in_hand(), 50);
        assert_eq!(inbound.close(), []);
        assert!(cancelled.load(Relaxed));
        assert_eq!(inbound.take_in_hand(), 50);
    }

    #[test]
    fn control_budget_refuses_a_flood_and_fills_with_time() {
        let now = Instant::now();
        let mut budget = ControlBudget { left: 2, filled_at: now };
        assert!(budget.take(now) && budget.take(now) && !budget.take(now));
        budget.earn();
        assert!(budget.take(now) && !budget.take(now));
        assert!(budget.take(now + Duration::from_secs(1)));
    }
}
