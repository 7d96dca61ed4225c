//! Requests and ticks of peers: accepted within the limits, handed to the handlers, answered at
//! most once. It must not know what carries a request out.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::Links;
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{CallId, LinkId, NodeId};
use crate::payload::Payload;
use crate::proto::env::Env;
use crate::proto::link::Link;
use crate::proto::link::inbound::Forwarded;
use crate::proto::planted::{Planted, has};
use crate::proto::queue::{Item, ItemHead};
use crate::proto::{Answer, Delivery, Message, Output, ReplyTo, Work};
use crate::routing::{PeerEntry, cost};
use crate::wire::{Control, Fault};

/// Requests beyond twice the granted number that a burst may bring before its refusals are written.
const SLACK: u64 = 4_096;

/// A request that has come in.
#[derive(Debug)]
pub(crate) struct InboundCall {
    pub(crate) call: CallId,
    pub(crate) timeout: Duration,
    pub(crate) depth: u8,
    /// The node that sent it first, if that was not the sender.
    pub(crate) origin: Option<NodeId>,
    pub(crate) message: Message,
}

/// A tick that has come in.
#[derive(Debug)]
pub(crate) struct InboundTick {
    pub(crate) cost: u64,
    pub(crate) origin: Option<NodeId>,
    pub(crate) message: Message,
}

/// What a router adds to a reply that is another node's.
#[derive(Default, Debug)]
pub(crate) struct ReplyTrail {
    /// The node whose reply it is, or that it is about.
    pub(crate) handler: Option<NodeId>,
    /// Routers that were asked in vain.
    pub(crate) asked: Vec<NodeId>,
}

/// A rule of the protocol that the peer broke.
pub(crate) type Violation = &'static str;

impl<T> Links<T> {
    /// A request has come in: hands it to the handlers, or refuses it.
    #[inline]
    pub(crate) fn on_request(
        &mut self,
        id: LinkId,
        request: InboundCall,
        sender: Arc<PeerEntry>,
        env: &mut Env<T>,
    ) -> Result<(), Violation> {
        let InboundCall { call, timeout, depth, origin, message } = request;
        let cost = cost(message.payload.len());
        let Some(cancelled) = self.accept(id, call, cost, origin.as_ref(), env)? else {
            return Ok(());
        };
        let (reply_to, deadline) = (ReplyTo { link: id, call }, env.now + timeout);
        let work = Work::Request { reply_to, deadline, depth, cancelled };
        env.out.push(Output::Deliver(Delivery { link: id, sender, origin, message, work }));
        Ok(())
    }

    /// Whether a request, or whatever else wants a reply, is accepted: then its flag for the
    /// handler. If not, its sender gets `BUSY` with the reason.
    #[inline]
    pub(crate) fn accept(
        &mut self,
        id: LinkId,
        call: CallId,
        cost: usize,
        origin: Option<&NodeId>,
        env: &mut Env<T>,
    ) -> Result<Option<Arc<AtomicBool>>, Violation> {
        let open = self.take_slot(id)?;
        // The slot was taken on it.
        let Some(link) = self.by_id.get_mut(&id) else { return Ok(None) };
        env.touch(id);
        link.inbound.budget().earn();
        let used = link.inbound.is_handled(call) && !has(Planted::NumberTakenTwice);
        if call == CallId(0) || used {
            return Err("a request with a number that is in use");
        }
        let each = env.local.config.limits.calls_per_link;
        let limit = link.inbound.granted();
        let me = &env.local.id;
        let why = if env.stopping {
            // Not `CLOSED`, which is said of one's own node: a call for any of several goes on.
            format!("{me} is stopping")
        } else if open > u64::from(limit) && !has(Planted::OverrunTaken) {
            env.counters.busy += 1;
            format!("{me} takes {limit} requests at a time from one peer")
        } else if link.inbound.handled_of(origin) >= each {
            env.counters.busy += 1;
            format!("{me} takes {each} requests at a time from one node behind a router")
        } else if self.memory.is_over(link.inbound.in_hand() + cost) {
            env.counters.crowded_requests += 1;
            format!("the memory of {me} is nearly used up")
        } else {
            return Ok(Some(link.inbound.accept(call, cost, origin)));
        };
        link.push_fault(call, Error::new(ErrorKind::Busy, why), ReplyTrail::default());
        Ok(None)
    }

    /// Refuses something that wants a reply with that error.
    pub(crate) fn refuse(
        &mut self,
        id: LinkId,
        call: CallId,
        error: Error,
        env: &mut Env<T>,
    ) -> Result<(), Violation> {
        self.take_slot(id)?;
        if let Some(link) = self.by_id.get_mut(&id) {
            link.push_fault(call, error, ReplyTrail::default());
            env.touch(id);
        }
        Ok(())
    }

    /// A request with more data than this node takes; its sender was told how much that is.
    pub(crate) fn refuse_long(
        &mut self,
        id: LinkId,
        call: CallId,
        bytes: usize,
        env: &mut Env<T>,
    ) -> Result<(), Violation> {
        env.counters.long_payloads += 1;
        let max = env.local.config.limits.message_bytes;
        let why = format!("the data has {bytes} bytes, {} takes {max}", env.local.id);
        self.refuse(id, call, Error::new(ErrorKind::TooLarge, why), env)
    }

    /// A message that this protocol does not have; `tick` is the length of its data if it is a tick,
    /// which has used up credit.
    pub(crate) fn refuse_unsupported(
        &mut self,
        id: LinkId,
        (call, why): (CallId, String),
        tick: Option<usize>,
        env: &mut Env<T>,
    ) -> Result<(), Violation> {
        if let Some(bytes) = tick {
            self.on_unhandled_tick(id, bytes, env)?;
        }
        env.counters.unknown_kinds += 1;
        self.refuse(id, call, Error::new(ErrorKind::Unsupported, why), env)
    }

    /// The peer gets one more reply. A peer that sends requests without reading the replies is
    /// disconnected: they cannot pile up without limit.
    #[inline]
    fn take_slot(&mut self, id: LinkId) -> Result<u64, Violation> {
        let Some(link) = self.known(id) else { return Ok(0) };
        let open = link.inbound.open_slot();
        // A reply that its caller does not want any more takes memory like any other until it is
        // written.
        let unread = open.max(link.inbound.unread_replies());
        let limit = u64::from(link.inbound.granted()) * 2 + SLACK;
        if unread > limit && !has(Planted::AnswersPileUp) {
            return Err("it asks and does not read the answers");
        }
        Ok(open)
    }

    /// A tick has come in.
    #[inline]
    pub(crate) fn on_tick(
        &mut self,
        id: LinkId,
        tick: InboundTick,
        sender: Arc<PeerEntry>,
        env: &mut Env<T>,
    ) -> Result<(), Violation> {
        let Some(link) = self.known(id) else { return Ok(()) };
        let InboundTick { cost, origin, message } = tick;
        if !link.ticks.receive(cost) && !has(Planted::WindowIgnored) {
            return Err("a tick beyond the window it was granted");
        }
        // A node that stops hands out no more work; the sender's report says that these are
        // unconfirmed.
        if !env.stopping {
            link.inbound.tick_delivered(usize::try_from(cost).unwrap_or(usize::MAX));
            env.touch(id);
            let work = Work::Tick { cost };
            env.out.push(Output::Deliver(Delivery { link: id, sender, origin, message, work }));
        }
        Ok(())
    }

    /// A tick that no handler gets. It used up credit of its sender, which gets it back like that
    /// of a tick that was handled.
    pub(crate) fn on_unhandled_tick(
        &mut self,
        id: LinkId,
        bytes: usize,
        env: &mut Env<T>,
    ) -> Result<(), Violation> {
        let Some(link) = self.known(id) else { return Ok(()) };
        let cost = cost(bytes);
        if !link.ticks.receive(cost as u64) {
            return Err("a tick beyond the window it was granted");
        }
        link.inbound.tick_delivered(cost);
        self.on_consumed(id, 1, cost as u64, env);
        Ok(())
    }

    /// Handlers of this node have finished ticks.
    pub(crate) fn on_consumed(&mut self, id: LinkId, ticks: u64, cost: u64, env: &mut Env<T>) {
        // A link that closes counts as gone: its ticks were left to the memory.
        let Some(link) = self.by_id.get_mut(&id).filter(|link| link.is_ready()) else {
            if self.memory.orphans_finished(cost) {
                self.admit_everywhere(env);
            }
            return;
        };
        link.ticks.finish(ticks, cost);
        link.inbound.ticks_finished(cost);
        if link.ticks.is_report_due() {
            link.announce.report_consumed();
        }
        env.touch(id);
    }

    /// The peer gave up a request. Returns how it was forwarded, if it was.
    pub(crate) fn on_cancel(
        &mut self,
        id: LinkId,
        call: CallId,
        env: &mut Env<T>,
    ) -> Option<Forwarded> {
        env.touch(id);
        self.by_id.get_mut(&id)?.inbound.cancel(call)
    }

    /// Whether a request of a peer is not answered.
    pub(crate) fn is_handled(&self, reply_to: ReplyTo) -> bool {
        self.get(reply_to.link).is_some_and(|link| link.inbound.is_handled(reply_to.call))
    }

    /// A request has a reply, perhaps another node's.
    pub(crate) fn answer(
        &mut self,
        reply_to: ReplyTo,
        answer: Answer,
        trail: ReplyTrail,
        env: &mut Env<T>,
    ) {
        let ReplyTo { link: id, call } = reply_to;
        env.touch(id);
        let wanted = self.by_id.get_mut(&id).is_some_and(|link| link.inbound.finish(call));
        let Some(link) = self.by_id.get_mut(&id).filter(|_| wanted) else {
            env.counters.unwanted_answers += 1;
            return;
        };
        let taken = link.queue.held() + answer.bytes();
        if !matches!(answer, Answer::Fault(_)) && self.is_crowded(id, taken, env) {
            env.counters.crowded_answers += 1;
            let why = format!(
                "the answer was dropped: the memory of {} is nearly used up, and answers that are \
                 not read take the share of this link",
                env.local.id
            );
            let error = Error::new(ErrorKind::Backpressure, why);
            let error = error.with_execution(Execution::Happened);
            return self.push_answer(id, call, Answer::Fault(error), ReplyTrail::default());
        }
        self.push_answer(id, call, answer, trail);
    }

    /// Whether a link takes more than its share of the memory with so many bytes of replies, the
    /// request that was just finished not counted any more.
    #[inline]
    fn is_crowded(&mut self, id: LinkId, taken: usize, env: &mut Env<T>) -> bool {
        self.memory.is_over(taken) && {
            self.recount(id, env);
            self.memory.is_over(taken)
        }
    }

    #[inline]
    fn push_answer(&mut self, id: LinkId, call: CallId, answer: Answer, trail: ReplyTrail) {
        if let Some(link) = self.by_id.get_mut(&id) {
            link.push_answer(call, answer, trail);
        }
    }
}

impl<T> Link<T> {
    fn push_answer(&mut self, call: CallId, answer: Answer, trail: ReplyTrail) {
        let (head, payload) = match answer {
            Answer::Reply(payload) if !self.outbound.fits(payload.len()) => {
                let (bytes, max) = (payload.len(), self.outbound.peer_message_bytes());
                let why = format!("the answer has {bytes} bytes, the caller takes {max}");
                let error = Error::new(ErrorKind::TooLarge, why);
                let error = error.with_execution(Execution::Happened);
                return self.push_fault(call, error, ReplyTrail::default());
            }
            Answer::Reply(payload) => (ItemHead::Reply { call, handler: trail.handler }, payload),
            Answer::Failure { code, message, data } => {
                let (has_data, handler) = (data.is_some(), trail.handler);
                let head = ItemHead::Failure { call, code, message, has_data, handler };
                (head, data.unwrap_or_else(Payload::null))
            }
            Answer::Page { peers, more } => {
                let page = Control::DirectoryPage { call, peers, more };
                (ItemHead::Control(Box::new(page)), Payload::null())
            }
            Answer::Fault(error) => return self.push_fault(call, error, trail),
        };
        self.push_reply(call, Item { head, payload, cost: 0 });
    }

    /// Queues an error of this node's in answer to a message that may be a call.
    fn push_fault(&mut self, call: CallId, error: Error, trail: ReplyTrail) {
        let execution = error.execution();
        debug_assert!(call != CallId(0) || execution == Execution::Never);
        let fault = Fault {
            call,
            kind: error.kind(),
            execution,
            message: error.message().to_owned(),
            asked: trail.asked,
            handler: trail.handler,
        };
        let head = ItemHead::Control(Box::new(Control::Fault(Box::new(fault))));
        self.push_reply(call, Item { head, payload: Payload::null(), cost: 0 });
    }
}
