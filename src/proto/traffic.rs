//! Messages of this node on their way: its calls, the forwards of a router, its ticks as long as
//! they are nowhere, and threads that wait for confirmations. It holds those tables and lets none
//! of them know another. It must not touch a link: where a message goes is returned.

mod calls;
mod flushes;
mod forwards;
mod routing;
mod ticks;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub(super) use calls::{Begin, Initiator, Outgoing, Phase, Placed, ReplyBody, TickPlace};
use calls::{Calls, Ended, Replied, from_origin};
pub(super) use calls::{closed, given_up, lost_sent, lost_unsent, passed_over, place_tick};
use flushes::{Awaited, Flushes};
use forwards::Forwards;
#[cfg(test)]
pub(super) use forwards::is_no_match;
#[cfg(not(test))]
use forwards::is_no_match;
pub(super) use routing::refused_query;

use super::env::Env;
use super::planted::{Planted, has};
use super::queue::{Item, ItemHead, Seq};
use super::reach::Reach;
use super::timers::TimerId;
use super::{Done, Message, ReplyTo, Request, StopCut, Tick};
use crate::config::{LONGEST_TIMEOUT, ROUTER_HOPS};
use crate::error::{Error, ErrorKind, Execution, ROUTERS};
use crate::event::EventName;
use crate::headers::Headers;
use crate::id::{CallId, LinkId, NodeId, PeerKey};
use crate::node_event::Directions;
use crate::payload::Payload;
use crate::routing::{Destination, Plan, Route, Step, cost};
use crate::wire::{Control, DirectoryQuestion, Forward};

#[derive(Debug)]
pub(super) struct Traffic<T> {
    calls: Calls<T>,
    forwards: Forwards,
    flushes: Flushes<T>,
}

/// A tick that this node sends, its own or a peer's that it forwards.
#[derive(Debug)]
pub(super) struct OutboundTick<T> {
    pub(super) plan: Plan,
    pub(super) message: Message,
    /// Until when it may wait for capacity, if it may.
    pub(super) until: Option<Instant>,
    pub(super) initiator: Initiator<T>,
}

/// A tick that waits for capacity on a link.
#[derive(Debug)]
pub(super) struct WaitingTick<T> {
    pub(super) tick: OutboundTick<T>,
    pub(super) timer: TimerId,
}

/// What a forward comes to once its receivers are known.
#[derive(Debug)]
pub(super) enum Found<T> {
    /// The call is to be placed.
    Call(CallId),
    /// A tick goes on as one.
    Tick(Box<OutboundTick<T>>),
}

/// A request or a tick of a peer that this router is to place.
#[derive(Debug)]
pub(super) struct InboundForward {
    pub(super) reply_to: ReplyTo,
    pub(super) is_tick: bool,
    pub(super) deadline: Instant,
    pub(super) depth: u8,
    pub(super) event: EventName,
    pub(super) headers: Headers,
    pub(super) payload: Payload,
    pub(super) origin: NodeId,
    pub(super) sought: Destination,
    pub(super) hops_left: u8,
    pub(super) visited: Vec<NodeId>,
}

/// A query of this node for the peers of a router.
#[derive(Debug)]
pub(super) struct RouterQuery<T> {
    pub(super) call: CallId,
    pub(super) router: PeerKey,
    pub(super) question: DirectoryQuestion,
    pub(super) deadline: Instant,
    pub(super) token: T,
}

impl InboundForward {
    /// That of a message which has come in, for which the router has a call of its own.
    pub(super) fn new<T>(
        reply_to: ReplyTo,
        head: Forward<'_>,
        (is_tick, payload): (bool, Payload),
        origin: NodeId,
        env: &Env<T>,
    ) -> Self {
        let timeout = Duration::from_millis(head.timeout_ms).min(LONGEST_TIMEOUT);
        let restarted = has(Planted::TimeoutRestarted);
        let timeout = if restarted { env.local.config.request_timeout } else { timeout };
        Self {
            reply_to,
            is_tick,
            deadline: env.now + timeout,
            depth: head.depth,
            event: head.event,
            headers: head.headers,
            payload,
            origin,
            sought: Destination::from(head.target),
            hops_left: head.hops_left.min(ROUTER_HOPS),
            visited: head.visited,
        }
    }
}

impl<T> From<Tick<T>> for OutboundTick<T> {
    #[inline]
    fn from(tick: Tick<T>) -> Self {
        let Tick { plan, message, wait } = tick;
        let (until, token) = wait.unzip();
        Self { plan, message, until, initiator: Initiator::Tick(token) }
    }
}

impl<T> OutboundTick<T> {
    /// The peer it was for.
    pub(super) fn receiver(&self, reach: &Reach<'_, T>, env: &Env<T>) -> NodeId {
        reach.name(self.plan.first.peer).unwrap_or_else(|| env.local.id.clone())
    }

    /// What is queued of it, and its initiator.
    #[inline]
    pub(super) fn into_item(self) -> (Item, Initiator<T>) {
        let cost = cost(self.message.payload.len());
        let Message { event, headers, payload } = self.message;
        let headers = from_origin(headers, self.plan.route.as_deref());
        let head = ItemHead::Tick { event, headers };
        (Item { head, payload, cost }, self.initiator)
    }

    /// The request of a peer that it forwards, and the call by which it did before.
    pub(super) fn forwards(&self) -> Option<(ReplyTo, CallId)> {
        match &self.initiator {
            Initiator::Peer(forward) => Some((forward.reply_to(), forward.call())),
            Initiator::Caller(_) | Initiator::Tick(_) => None,
        }
    }
}

impl<T> Traffic<T> {
    pub(super) fn new(env: &mut Env<T>) -> Self {
        let mut forwards = Forwards::new(env.now);
        forwards.begin_stats(env);
        Self { calls: Calls::default(), forwards, flushes: Flushes::default() }
    }
}

/// Calls.
impl<T> Traffic<T> {
    /// Begins a call of a thread; it is to be placed.
    #[inline]
    pub(super) fn request(&mut self, request: Request<T>, env: &mut Env<T>) -> CallId {
        let Request { call, plan, message, deadline, depth, token } = request;
        let (initiator, message, waits) = (Initiator::Caller(token), Some(message), plan.waits);
        self.calls.begin(call, Begin { initiator, deadline, depth, message, waits }, env);
        self.calls.plan(call, plan, env);
        call
    }

    /// Finds where a call goes now.
    #[inline]
    pub(super) fn place(
        &mut self,
        id: CallId,
        reach: &Reach<'_, T>,
        env: &mut Env<T>,
    ) -> Option<Placed> {
        self.calls.place(id, reach, env)
    }

    /// The message of a call that has capacity on that link.
    #[inline]
    pub(super) fn outgoing(
        &mut self,
        id: CallId,
        link: LinkId,
        reach: &Reach<'_, T>,
        env: &mut Env<T>,
    ) -> Option<Outgoing> {
        self.calls.send(id, link, reach, env)
    }

    /// A call is queued. Returns the request of a peer that it forwards, if it does.
    #[inline]
    pub(super) fn sent(&mut self, id: CallId, at: (LinkId, Seq), now: Instant) -> Option<ReplyTo> {
        self.calls.sent(id, at, now)
    }

    /// A call waits for capacity. Returns the request of a peer that it forwards, if it does.
    pub(super) fn waits(&mut self, id: CallId, link: LinkId, ticket: u64) -> Option<ReplyTo> {
        self.calls.waits(id, link, ticket)
    }

    pub(super) fn phase(&self, id: CallId) -> Option<Phase> {
        self.calls.phase(id)
    }

    /// If a call is queued on that link: its number in the queue, and what it keeps there.
    pub(super) fn queued_on(&self, id: CallId, link: LinkId) -> Option<(Seq, usize)> {
        self.calls.queued_on(id, link)
    }

    pub(super) fn is_past_deadline(&self, id: CallId, now: Instant) -> bool {
        self.calls.is_past_deadline(id, now)
    }

    /// A router reports which routers it has asked in vain for a call.
    pub(super) fn on_asked(&mut self, id: CallId, from: LinkId, asked: &[NodeId]) {
        self.calls.on_asked(id, from, asked);
    }

    /// A reply has come in for a call, which has left its link. True if the call goes on and is to
    /// be placed again.
    #[inline]
    pub(super) fn on_reply(
        &mut self,
        id: CallId,
        from: LinkId,
        reply: Result<ReplyBody, Error>,
        reach: &Reach<'_, T>,
        env: &mut Env<T>,
    ) -> bool {
        match self.calls.on_reply(id, reply, reach.peer_of(from), env) {
            Replied::GoesOn => true,
            Replied::Ends(result) => {
                self.end(id, result, env);
                false
            }
        }
    }

    /// A call certainly did not run where it was, and is to be placed again.
    pub(super) fn never_ran(&mut self, id: CallId, error: Error) {
        self.calls.never_ran(id, error);
    }

    /// A call is given up that was queued for that peer.
    pub(super) fn note_given_up(
        &self,
        id: CallId,
        (link, kind): (LinkId, ErrorKind),
        reach: &Reach<'_, T>,
        now: Instant,
    ) {
        if let Some(peer) = reach.peer_of(link) {
            self.calls.note_given_up(id, peer, kind, now);
        }
    }

    /// Ends a call that has no place on any link any more.
    #[inline]
    pub(super) fn end(&mut self, id: CallId, result: Result<Done, Error>, env: &mut Env<T>) {
        // Something else may have ended it before.
        let Some(Ended { initiator, route }) = self.calls.end(id, env) else { return };
        match initiator {
            Initiator::Caller(token) => {
                let own = &env.local.id;
                let result = result.map_err(|error| name_routers(error, route.as_deref(), own));
                env.complete(token, result);
            }
            Initiator::Tick(token) => self.own_tick_ended(id, token, result, env),
            Initiator::Peer(forward) => self.forward_ended(&forward, result, route, env),
        }
    }

    /// Has a router name its peers that match. Returns what goes out on which link.
    pub(super) fn query(
        &mut self,
        query: RouterQuery<T>,
        reach: &Reach<'_, T>,
        env: &mut Env<T>,
    ) -> Option<(LinkId, Outgoing)> {
        let RouterQuery { call, router, question, deadline, token } = query;
        let name = reach.name(router).unwrap_or_else(|| env.local.id.clone());
        let cost = cost(question.filter.len());
        let refused = match reach.outbound(&Step::new(router, Directions::BOTH)) {
            None => lost_unsent(&name),
            Some((link, outbound)) if outbound.take_call(cost) => {
                let initiator = Initiator::Caller(token);
                let begin = Begin { initiator, deadline, depth: 0, message: None, waits: false };
                self.calls.begin(call, begin, env);
                self.calls.is_query(call);
                let control = Box::new(Control::DirectoryQuestion { call, question });
                let head = ItemHead::Question(control);
                let item = Item { head, payload: Payload::null(), cost };
                return Some((link, Outgoing { item, kept: 0 }));
            }
            Some(_) => {
                env.counters.backpressured += 1;
                let why = format!("{name} has no room for a question; it was not asked");
                let error = Error::new(ErrorKind::Backpressure, why);
                error.with_execution(Execution::Never).with_peer(name)
            }
        };
        env.complete(token, Err(refused));
        None
    }
}

/// Flushes, and the end.
impl<T> Traffic<T> {
    /// Completes once a peer has confirmed every tick that was accepted for it before.
    pub(super) fn flush(
        &mut self,
        peer: PeerKey,
        deadline: Instant,
        token: T,
        reach: &Reach<'_, T>,
        env: &mut Env<T>,
    ) {
        let Some(entry) = reach.entry(peer) else {
            let name = reach.name(peer).unwrap_or_else(|| env.local.id.clone());
            return env.complete(token, Err(flushes::lost(&name)));
        };
        let links = reach.ticks_of(entry).into_iter();
        let unconfirmed = links
            .filter(|(_, accepted, confirmed)| accepted > confirmed)
            .map(|(link, accepted, _)| (link, accepted))
            .collect();
        let is_tick = |id: &CallId| matches!(self.calls.initiator(*id), Some(Initiator::Tick(_)));
        let placing: BTreeSet<CallId> = reach.calls_to(entry).into_iter().filter(is_tick).collect();
        let awaited = Awaited { peer: entry.id.clone(), unconfirmed, placing };
        self.flushes.begin(awaited, deadline, token, env);
    }

    /// A link has confirmed so many ticks since it stands.
    pub(super) fn on_confirmed(&mut self, link: LinkId, confirmed: u64, env: &mut Env<T>) {
        if !self.flushes.is_empty() {
            self.flushes.on_confirmed(link, confirmed, env);
        }
    }

    pub(super) fn on_flush_due(&mut self, number: u64, reach: &Reach<'_, T>, env: &mut Env<T>) {
        self.flushes.on_due(number, |link| reach.confirmed(link), env);
    }

    /// A link is lost, or its peer: nothing waits for it any more.
    pub(super) fn link_lost(&mut self, link: LinkId, env: &mut Env<T>) {
        self.flushes.on_link_lost(link, env);
        self.forwards.link_lost(link);
    }

    /// The node stops. Returns the calls of plain threads, which end at once; those of handlers may
    /// still let these finish.
    pub(super) fn stop(&mut self, env: &mut Env<T>) -> Vec<CallId> {
        self.forwards.end_stats(env);
        self.flushes.close(&closed(), env);
        self.calls.of_plain_threads()
    }

    /// What a stop cuts off with that call.
    pub(super) fn cut(&self, id: CallId, reach: &Reach<'_, T>) -> StopCut {
        let written = match self.calls.phase(id) {
            Some(Phase::Queued(link, seq)) => reach.is_written(link, seq),
            _ => false,
        };
        let mut cut = StopCut::default();
        match self.calls.initiator(id) {
            Some(Initiator::Caller(_)) => cut.calls = 1,
            Some(Initiator::Peer(_)) => cut.unanswered = 1,
            Some(Initiator::Tick(_)) if written => cut.unconfirmed = 1,
            Some(Initiator::Tick(_)) => cut.unwritten = 1,
            None => {}
        }
        cut
    }

    pub(super) fn initiator(&self, id: CallId) -> Option<&Initiator<T>> {
        self.calls.initiator(id)
    }

    pub(super) fn calls(&self) -> Vec<CallId> {
        self.calls.ids()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }

    /// What a call keeps on its link; `None` when it has ended.
    pub(super) fn kept(&self, id: CallId) -> Option<usize> {
        self.calls.kept(id)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn timers(&self) -> usize {
        self.calls.len() + self.flushes.len() + self.forwards.timers()
    }

    #[cfg(test)]
    pub(super) fn searches_waiting(&self) -> usize {
        self.forwards.searches_waiting()
    }
}

/// Adds to an error of a call of this node which routers were asked.
fn name_routers(error: Error, route: Option<&Route>, own: &NodeId) -> Error {
    let Some(route) = route.filter(|_| is_no_match(&error)) else { return error };
    let asked = route.visited.iter().filter(|router| *router != own);
    let asked: Vec<&str> = asked.map(NodeId::as_str).collect();
    if asked.is_empty() { error } else { error.with_context(ROUTERS, asked.join(", ")) }
}
