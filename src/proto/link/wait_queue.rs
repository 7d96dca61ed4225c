//! Messages that wait for capacity on a link: calls in one queue and ticks in another, because a
//! call needs a slot among the open calls and a tick needs window. Both need room in the send
//! queue: while the first of one waits for that, nothing overtakes it. It must not send anything.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::id::CallId;
use crate::proto::planted::{Planted, has};
use crate::routing::{Full, Gauge};

/// Names a waiting message; in the order of arrival.
pub(crate) type Ticket = u64;

/// A waiting message.
#[derive(Debug)]
struct Waiter<M> {
    message: M,
    /// It is not sent from here on: a timer is about to end it.
    until: Instant,
    cost: usize,
}

/// Both queues of a link, first come first served in each. `M` is a waiting tick.
#[derive(Debug)]
pub(crate) struct WaitQueue<M> {
    calls: BTreeMap<Ticket, Waiter<CallId>>,
    ticks: BTreeMap<Ticket, Waiter<M>>,
    last: Ticket,
    /// The first of a queue waits for room in the send queue.
    blocked: bool,
    /// Callers may see that they have to wait.
    shown: bool,
    /// The queue that is looked at first, since the other one was served last.
    ticks_first: bool,
}

/// A message that has got its capacity.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Admitted<M> {
    Call(CallId),
    Tick(M),
}

/// Why the first of a queue was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stays {
    /// There is none, it waits for what only its queue needs, or its time is over.
    Waits,
    /// It waits for room in the send queue.
    Blocked,
}

impl<M> Default for WaitQueue<M> {
    fn default() -> Self {
        Self {
            calls: BTreeMap::new(),
            ticks: BTreeMap::new(),
            last: 0,
            blocked: false,
            shown: false,
            ticks_first: false,
        }
    }
}

impl<M> WaitQueue<M> {
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.ticks.is_empty()
    }

    /// Whether callers may see that they have to wait.
    pub(crate) fn is_shown(&self) -> bool {
        self.shown
    }

    /// Whether a call that comes now may take capacity at once.
    pub(crate) fn admits_calls(&self) -> bool {
        self.calls.is_empty() && !self.blocked
    }

    /// Whether a tick that comes now may take capacity at once.
    pub(crate) fn admits_ticks(&self) -> bool {
        self.ticks.is_empty() && !self.blocked
    }

    pub(crate) fn push_call(&mut self, call: CallId, until: Instant, cost: usize) -> Ticket {
        self.last += 1;
        self.calls.insert(self.last, Waiter { message: call, until, cost });
        self.last
    }

    /// The ticket of the tick that is pushed next.
    pub(crate) fn next_ticket(&self) -> Ticket {
        self.last + 1
    }

    /// A tick without a deadline of its own never waits.
    pub(crate) fn push_tick(&mut self, tick: M, until: Instant, cost: usize) -> Ticket {
        self.last += 1;
        self.ticks.insert(self.last, Waiter { message: tick, until, cost });
        self.last
    }

    pub(crate) fn remove_call(&mut self, ticket: Ticket) {
        self.calls.remove(&ticket);
    }

    pub(crate) fn remove_tick(&mut self, ticket: Ticket) -> Option<M> {
        self.ticks.remove(&ticket).map(|waiter| waiter.message)
    }

    pub(crate) fn calls(&self) -> impl Iterator<Item = CallId> {
        self.calls.values().map(|waiter| waiter.message)
    }

    /// Takes all waiting ticks, in order.
    pub(crate) fn take_ticks(&mut self) -> impl Iterator<Item = M> + use<M> {
        std::mem::take(&mut self.ticks).into_values().map(|waiter| waiter.message)
    }

    /// Timers that waiting ticks own.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn waiting_ticks(&self) -> usize {
        self.ticks.len()
    }

    /// Takes the message that has waited longest if there is capacity for it, calls and ticks in
    /// alternation, and takes that capacity. A message whose time is over stays: its timer is about
    /// to end it, and it must not be sent meanwhile.
    pub(crate) fn next(&mut self, now: Instant, capacity: &Gauge) -> Option<Admitted<M>> {
        if self.is_empty() {
            self.publish(false, capacity);
            return None;
        }
        let first = self.ticks_first;
        let taken = match self.take(first, now, capacity) {
            Err(Stays::Waits) => self.take(!first, now, capacity),
            taken => taken,
        };
        match taken {
            Ok(admitted) => Some(admitted),
            Err(stays) => {
                self.publish(stays == Stays::Blocked, capacity);
                None
            }
        }
    }

    /// Lets callers see whether a new message of theirs has to wait.
    fn publish(&mut self, blocked: bool, capacity: &Gauge) {
        self.shown = !self.is_empty();
        self.blocked = blocked && self.shown;
        capacity.set_lines(!self.admits_calls(), !self.admits_ticks());
    }

    fn take(&mut self, ticks: bool, now: Instant, capacity: &Gauge) -> Result<Admitted<M>, Stays> {
        let in_time = |until: Instant| now < until || has(Planted::RoomForTheLate);
        let taken = if ticks {
            let first = self.ticks.first_key_value().ok_or(Stays::Waits)?.1;
            if !in_time(first.until) {
                return Err(Stays::Waits);
            }
            capacity.take_tick(first.cost)
        } else {
            let first = self.calls.first_key_value().ok_or(Stays::Waits)?.1;
            if !in_time(first.until) {
                return Err(Stays::Waits);
            }
            capacity.take_call(first.cost)
        };
        match taken {
            Err(Full::Queue | Full::Memory) => return Err(Stays::Blocked),
            Err(Full::Calls | Full::Ticks | Full::Line) => return Err(Stays::Waits),
            Ok(()) => self.ticks_first = !ticks,
        }
        let tick = if ticks {
            self.ticks.pop_first().map(|(_, tick)| Admitted::Tick(tick.message))
        } else {
            None
        };
        let call = || self.calls.pop_first().map(|(_, call)| Admitted::Call(call.message));
        tick.or_else(call).ok_or(Stays::Waits)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    fn capacity(queue: usize, calls: u32, window: u64) -> Gauge {
        Gauge::new(queue, Arc::new(AtomicUsize::new(usize::MAX)), calls, window)
    }

    fn soon(now: Instant) -> Instant {
        now + Duration::from_secs(1)
    }

    #[test]
    fn calls_and_ticks_alternate_and_each_queue_keeps_its_order() {
        let (now, capacity) = (Instant::now(), capacity(10_000, 9, 10_000));
        let mut queue = WaitQueue::default();
        for number in 1..=3 {
            queue.push_call(CallId(number), soon(now), 128);
            queue.push_tick(number, soon(now), 128);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.next(now, &capacity)).collect();
        let expected: Vec<_> =
            (1..=3).flat_map(|n| [Admitted::Call(CallId(n)), Admitted::Tick(n)]).collect();
        assert_eq!(order, expected);
    }

    #[test]
    fn first_call_that_waits_for_the_send_queue_lets_nothing_overtake_it() {
        let (now, capacity) = (Instant::now(), capacity(1_000, 9, 10_000));
        assert_eq!(capacity.take_tick(500), Ok(()));
        let mut queue = WaitQueue::default();
        queue.push_call(CallId(1), soon(now), 900);
        queue.push_tick((), soon(now), 128);
        assert_eq!(queue.next(now, &capacity), None);
        assert!(!queue.admits_ticks() && !queue.admits_calls());
        assert_eq!(capacity.ask_tick(128), Err(Full::Line));
        capacity.give_queue(500);
        assert_eq!(queue.next(now, &capacity), Some(Admitted::Call(CallId(1))));
    }

    #[test]
    fn a_call_without_a_slot_does_not_hold_up_ticks() {
        let (now, capacity) = (Instant::now(), capacity(1_000, 0, 10_000));
        let mut queue = WaitQueue::default();
        queue.push_call(CallId(1), soon(now), 128);
        queue.push_tick((), soon(now), 128);
        assert_eq!(queue.next(now, &capacity), Some(Admitted::Tick(())));
        assert_eq!(queue.next(now, &capacity), None);
        assert!(queue.admits_ticks() && !queue.admits_calls());
    }

    #[test]
    fn expired_message_stays_until_its_timer_removes_it() {
        let (now, capacity) = (Instant::now(), capacity(1_000, 9, 10_000));
        let mut queue: WaitQueue<()> = WaitQueue::default();
        let ticket = queue.push_call(CallId(1), now, 128);
        queue.push_call(CallId(2), soon(now), 128);
        assert_eq!(queue.next(now, &capacity), None, "calls behind it keep their order");
        queue.remove_call(ticket);
        assert_eq!(queue.next(now, &capacity), Some(Admitted::Call(CallId(2))));
        assert_eq!(queue.next(now, &capacity), None);
        assert!(queue.admits_calls());
    }
}
