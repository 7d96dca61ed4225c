//! Requests and ticks of peers: given to the handlers, answered at most once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::mesh::Mesh;
use super::planted::{Planted, has};
use super::queue::{Item, ItemHead};
use super::{Answer, Delivery, Message, Output, Owed, Work};
use crate::error::{Error, ErrorKind};
use crate::id::{CallId, LinkId, NodeId};
use crate::payload::Payload;
use crate::routing::{PeerEntry, cost};
use crate::wire::Control;

/// What a router says besides of an answer that is another node's.
#[derive(Default)]
pub(super) struct Passed {
    /// Whose it is, or whom it is about.
    pub(super) handler: Option<NodeId>,
    /// Routers that were asked in vain.
    pub(super) asked: Vec<NodeId>,
}

/// Requests beyond twice the granted number that a burst may bring before its refusals are written.
const SLACK: u64 = 4_096;

impl<T> Mesh<T> {
    /// A request has come in.
    #[allow(clippy::too_many_arguments)] // They are the fields of one message, taken apart by its only caller.
    pub(super) fn asked(
        &mut self,
        id: LinkId,
        call: CallId,
        timeout: Duration,
        depth: u8,
        origin: Option<NodeId>,
        message: Message,
    ) {
        let Some(sender) = self.sender(id) else { return };
        let cost = cost(message.payload.len());
        let taken = self.take_up(id, call, cost, origin.as_ref());
        let Some(cancelled) = taken else { return };
        let work = Work::Request {
            owed: Owed { link: id, call },
            deadline: self.env.now + timeout,
            depth,
            cancelled,
        };
        self.env.out.push(Output::Deliver(Delivery { link: id, sender, origin, message, work }));
    }

    /// Whether a request, or whatever else wants an answer, is taken up; if not, its sender is told why.
    pub(super) fn take_up(
        &mut self,
        id: LinkId,
        call: CallId,
        cost: usize,
        origin: Option<&NodeId>,
    ) -> Option<Arc<AtomicBool>> {
        let open = self.take_place(id)?;
        let each = self.env.local.config.limits.calls_per_link;
        let link = self.links.get_mut(&id)?;
        link.budget.earn();
        let used = link.owed.contains_key(&call) && !has(Planted::NumberTakenTwice);
        if call == CallId(0) || used {
            self.violated(id, "a request with a number that is in use");
            return None;
        }
        let limit = link.calls_granted;
        let me = &self.env.local.id;
        let why = if self.stopping.is_some() {
            // Not `CLOSED`, which is said of one's own node: who asks any of several goes on to the next.
            format!("{me} is stopping")
        } else if open > u64::from(limit) && !has(Planted::OverrunTaken) {
            self.env.counters.busy += 1;
            format!("{me} takes {limit} requests at a time from one peer")
        } else if link.handled_of(origin) >= each {
            self.env.counters.busy += 1;
            format!("{me} takes {each} requests at a time from one node behind a router")
        } else if self.memory.is_over(link.in_hand + cost) {
            self.env.counters.crowded_requests += 1;
            format!("the memory of {me} is nearly used up")
        } else {
            return Some(link.take_up(call, cost, origin));
        };
        self.push_fault(id, call, Error::new(ErrorKind::Busy, why));
        None
    }

    /// A tick has come in.
    pub(super) fn ticked(
        &mut self,
        id: LinkId,
        cost: u64,
        origin: Option<NodeId>,
        message: Message,
    ) {
        let Some(sender) = self.sender(id) else { return };
        let Some(link) = self.links.get_mut(&id) else { return };
        if !link.ticks_in.receive(cost) && !has(Planted::WindowIgnored) {
            return self.violated(id, "a tick beyond the window it was granted");
        }
        // A node that stops hands out no more work; the sender's report says that these are unconfirmed.
        if self.stopping.is_none() {
            link.in_hand += usize::try_from(cost).unwrap_or(usize::MAX);
            let work = Work::Tick { cost };
            self.env.out.push(Output::Deliver(Delivery {
                link: id,
                sender,
                origin,
                message,
                work,
            }));
        }
    }

    /// One more answer is owed to the peer, until its last byte is written. A peer that asks without reading the
    /// answers is disconnected: they cannot pile up without limit.
    pub(super) fn take_place(&mut self, id: LinkId) -> Option<u64> {
        let link = self.links.get_mut(&id)?;
        let limit = u64::from(link.calls_granted);
        link.their_calls += 1;
        let open = link.their_calls;
        // An answer that its caller does not want any more fills the memory like any other until it is written.
        let unread = open.max(link.unread_answers());
        if unread > limit * 2 + SLACK && !has(Planted::AnswersPileUp) {
            self.violated(id, "it asks and does not read the answers");
            return None;
        }
        Some(open)
    }

    pub(super) fn sender(&self, id: LinkId) -> Option<Arc<PeerEntry>> {
        let key = self.links.get(&id)?.peer?;
        self.peers.by_key.get(&key).map(|peer| Arc::clone(&peer.entry))
    }

    /// The peer gave up.
    pub(super) fn cancelled(&mut self, id: LinkId, call: CallId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.free_place(call);
        let owed = link.owed.get(&call);
        if let Some((relay, line)) = owed.and_then(|owed| Some((owed.relay?, owed.line))) {
            link.settle(call);
            self.env.touch(id);
            self.give_up_relay(relay, line);
        }
    }

    /// A handler has finished a request.
    pub(super) fn answer(&mut self, owed: Owed, answer: Answer) {
        self.answer_with(owed, answer, Passed::default());
    }

    /// A request has an answer, perhaps another node's.
    pub(super) fn answer_with(&mut self, owed: Owed, answer: Answer, passed: Passed) {
        let Owed { link: id, call } = owed;
        let Passed { handler, asked } = passed;
        let wanted = self.links.get_mut(&id).is_some_and(|link| link.settle(call));
        self.env.touch(id);
        let Some(link) = self.links.get_mut(&id).filter(|_| wanted) else {
            self.env.counters.unwanted_answers += 1;
            return;
        };
        let held = link.queue.held() + answer.bytes();
        match answer {
            Answer::Reply(_) | Answer::Failure { .. } | Answer::Page { .. }
                if self.memory.is_over(held) =>
            {
                self.env.counters.crowded_answers += 1;
                let why = format!(
                    "the answer was dropped: the memory of {} is nearly used up, and answers that are not read take the share of this link",
                    self.env.local.id
                );
                let error = Error::new(ErrorKind::Backpressure, why);
                let error = error.with_execution(crate::error::Execution::Happened);
                self.push_fault(id, call, error);
            }
            Answer::Reply(payload) if payload.len() > link.theirs.message_bytes => {
                let why = format!(
                    "the answer has {} bytes, the caller takes {}",
                    payload.len(),
                    link.theirs.message_bytes
                );
                let error = Error::new(ErrorKind::TooLarge, why);
                let error = error.with_execution(crate::error::Execution::Happened);
                self.push_fault(id, call, error);
            }
            Answer::Reply(payload) => {
                link.push_answer(
                    call,
                    Item { head: ItemHead::Reply { call, handler }, payload, cost: 0 },
                );
                self.env.touch(id);
            }
            Answer::Failure { code, message, data } => {
                let has_data = data.is_some();
                let head = ItemHead::Failure { call, code, message, has_data, handler };
                let payload = data.unwrap_or_else(Payload::null);
                link.push_answer(call, Item { head, payload, cost: 0 });
                self.env.touch(id);
            }
            Answer::Page { peers, more } => {
                let page = Control::DirectoryPage { call, peers, more };
                let head = ItemHead::Control(Box::new(page));
                link.push_answer(call, Item { head, payload: Payload::null(), cost: 0 });
                self.env.touch(id);
            }
            Answer::Fault(error) => {
                self.push_fault_of(id, call, error, Passed { handler, asked });
            }
        }
    }
}
