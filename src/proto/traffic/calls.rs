//! The calls of this node that are not ended: those of its threads, the forwards of a router, and
//! ticks that a router shall place. Each has one record, is on at most one link, and ends once.
//!
//! ```text
//! planning ─place→ queued ─reply→ ended        queued ─never ran→ planning (the next step)
//!     │ ↑             ↑
//!     │ └─found── searching (a router looks for the receivers)
//!     └─no capacity→ waiting ─admitted┘        any ─deadline, cancel, stop→ ended
//! ```
//!
//! It must not know what becomes of a call that has ended, nor touch a link.

mod errors;
mod placement;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

pub(crate) use errors::{closed, given_up, lost_sent, lost_unsent, no_match, passed_over};
pub(crate) use placement::{Placed, TickPlace, place_tick};

use super::forwards::Forward;
use crate::error::{Error, ErrorKind};
use crate::headers::Headers;
use crate::id::{CallId, LinkId, NodeId, PeerKey};
use crate::options::Options;
use crate::payload::Payload;
use crate::proto::env::{Env, Timer};
use crate::proto::link::wait_queue::Ticket;
use crate::proto::planted::{Planted, has};
use crate::proto::queue::{Item, ItemHead, Onward, Seq};
use crate::proto::reach::Reach;
use crate::proto::timers::TimerId;
use crate::proto::{Answered, Done, Message, ReplyTo};
use crate::routing::{Destination, Pace, PeerEntry, Plan, Route, Step, cost};
use crate::wire;

/// The table of calls.
#[derive(Debug)]
pub(crate) struct Calls<T> {
    by_id: BTreeMap<CallId, Call<T>>,
    /// The router that was asked last: the next one is asked next.
    last_router: PeerKey,
}

/// A call that is not ended.
#[derive(Debug)]
struct Call<T> {
    initiator: Initiator<T>,
    deadline: Instant,
    timer: TimerId,
    /// How many requests deep the calling handler is; 0 from a plain thread.
    depth: u8,
    phase: Phase,
    /// When it was queued on the link where it is.
    queued_at: Instant,
    /// The first step, until it is taken.
    first: Option<Step>,
    /// The steps behind it that are left, the last one first.
    steps: Vec<Step>,
    /// The link on which the caller has taken capacity for the first step.
    reserved: Option<LinkId>,
    /// The peer of the current step is a router, and is to place the call with this.
    destination: Option<Box<Destination>>,
    /// Present if routers take part.
    route: Option<Box<Route>>,
    rules: Rules,
    /// Why a step ended: of those that did, the last of those that say most.
    failed: Option<Error>,
    /// Kept while it waits or a further step may need it.
    message: Option<Message>,
    /// What that counts on the link where the call is queued.
    kept: usize,
}

/// What a call may do.
#[derive(Clone, Copy, Default, Debug)]
struct Rules {
    /// It may wait for capacity.
    waits: bool,
    /// A peer that serves no such path is passed over.
    by_path: bool,
    /// It asks a router for its peers, and nothing else is a reply to that.
    is_query: bool,
}

/// What began a call, and so learns how it ends.
#[derive(Debug)]
pub(crate) enum Initiator<T> {
    /// A thread of this node.
    Caller(T),
    /// It is a tick of this node. A thread may wait until it is queued; how it ends is reported
    /// only if it fails.
    Tick(Option<T>),
    /// A peer, for which this router forwards it.
    Peer(Box<Forward>),
}

/// What a call begins with.
#[derive(Debug)]
pub(crate) struct Begin<T> {
    pub(crate) initiator: Initiator<T>,
    pub(crate) deadline: Instant,
    pub(crate) depth: u8,
    pub(crate) message: Option<Message>,
    pub(crate) waits: bool,
}

/// A good reply.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    /// Of a handler, at the sender or behind it.
    Payload(Payload, Option<NodeId>),
    /// Of a router that was asked for its peers.
    Peers(Vec<(NodeId, Options)>, bool),
}

/// Where a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Between two steps.
    Planning,
    /// Its receivers are being looked for.
    Searching,
    /// Waits for capacity on that link.
    Waiting(LinkId, Ticket),
    /// Queued on that link, perhaps written.
    Queued(LinkId, Seq),
}

/// A call that has ended, as its initiator has to be told.
#[derive(Debug)]
pub(crate) struct Ended<T> {
    pub(crate) initiator: Initiator<T>,
    pub(crate) route: Option<Box<Route>>,
}

/// A message that goes out on a link.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) item: Item,
    /// How much of it stays in memory until the call ends.
    pub(crate) kept: usize,
}

/// What follows from a reply.
#[derive(Debug)]
pub(crate) enum Replied {
    Ends(Result<Done, Error>),
    /// The call goes on with its next step.
    GoesOn,
}

impl<T> Default for Calls<T> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new(), last_router: PeerKey::OWN }
    }
}

impl<T> Calls<T> {
    /// Notes a call that has nowhere to go yet.
    #[inline]
    pub(crate) fn begin(&mut self, id: CallId, begin: Begin<T>, env: &mut Env<T>) {
        let Begin { initiator, deadline, depth, message, waits } = begin;
        let timer = env.timers.arm(deadline, Timer::Call(id));
        let call = Call {
            initiator,
            deadline,
            timer,
            depth,
            phase: Phase::Planning,
            queued_at: env.now,
            first: None,
            steps: Vec::new(),
            reserved: None,
            destination: None,
            route: None,
            rules: Rules { waits, ..Rules::default() },
            failed: None,
            message,
            kept: 0,
        };
        self.by_id.insert(id, call);
    }

    /// A call that its caller has just seen.
    fn known(&mut self, id: CallId) -> Option<&mut Call<T>> {
        let call = self.by_id.get_mut(&id);
        debug_assert!(call.is_some(), "{id:?} has ended, and something is still done with it");
        call
    }

    /// Gives a call its steps.
    #[inline]
    pub(crate) fn plan(&mut self, id: CallId, plan: Plan, env: &Env<T>) {
        let Some(call) = self.known(id) else { return };
        let Plan { first, mut alternates, room, by_path, route, .. } = plan;
        alternates.reverse();
        (call.first, call.steps) = (Some(first), alternates);
        (call.reserved, call.rules.by_path, call.route) = (room, by_path, route);
        if let (Some(route), Some(_)) = (&mut call.route, &env.local.router) {
            // A router that is asked must not ask this one in turn.
            route.visit(&env.local.id);
        }
    }

    /// Says how a call goes through routers.
    pub(crate) fn route(&mut self, id: CallId, route: Option<Box<Route>>) {
        if let Some(call) = self.known(id) {
            call.route = route;
        }
    }

    /// The receivers of a forward are being looked for.
    pub(crate) fn search(&mut self, id: CallId, route: Route) {
        if let Some(call) = self.known(id) {
            (call.route, call.phase) = (Some(Box::new(route)), Phase::Searching);
        }
    }

    /// The receivers of a forward are known.
    pub(crate) fn found(&mut self, id: CallId, steps: Vec<Step>, by_path: bool) {
        if let Some(call) = self.known(id) {
            (call.phase, call.rules.by_path) = (Phase::Planning, by_path);
            call.steps = steps;
            call.steps.reverse();
        }
    }

    /// Takes the forward of a tick out of the table: a tick that goes to a peer is no call.
    pub(crate) fn take_tick(
        &mut self,
        id: CallId,
        env: &mut Env<T>,
    ) -> Option<super::OutboundTick<T>> {
        let is_tick = |call: &&Call<T>| call.is_tick() && !call.steps.is_empty();
        self.by_id.get(&id).filter(is_tick)?;
        let mut call = self.by_id.remove(&id)?;
        env.timers.disarm(call.timer);
        let first = call.steps.pop()?;
        call.steps.reverse();
        let (alternates, room, waits, by_path) = (call.steps, None, true, false);
        let plan = Plan { first, alternates, room, waits, by_path, route: call.route };
        let until = Some(call.deadline);
        Some(super::OutboundTick { plan, message: call.message?, until, initiator: call.initiator })
    }

    /// A query that is queued at once.
    pub(crate) fn is_query(&mut self, id: CallId) {
        if let Some(call) = self.known(id) {
            call.rules.is_query = true;
        }
    }

    /// The message of a call that has capacity on that link.
    #[inline]
    pub(crate) fn send(
        &mut self,
        id: CallId,
        to: LinkId,
        reach: &Reach<'_, T>,
        env: &mut Env<T>,
    ) -> Option<Outgoing> {
        let call = self.by_id.get_mut(&id)?;
        call.release_waiting_thread(id, env);
        let router = call.destination.as_ref().and_then(|_| reach.peer_of(to)).map(|peer| &peer.id);
        call.tried(router);
        let size = call.message.as_ref().map_or(0, |message| cost(message.payload.len()));
        // Alternates take memory until the reply is there. Where there is little, a busy peer is
        // reply enough.
        if reach.is_crowded(to, 2 * size) {
            call.steps.clear();
            call.route.iter_mut().for_each(|route| route.fallback = None);
        }
        // Nor does it pay to keep data for routers when there is none that could be asked.
        let mut falls_back = false;
        if let Some(route) = call.route.as_mut().filter(|route| route.fallback.is_some()) {
            falls_back = reach.routers(route, self.last_router).next().is_some();
            route.fallback = route.fallback.take().filter(|_| falls_back);
        }
        let keeps = !call.steps.is_empty() || falls_back;
        let message = if keeps { call.message.clone() } else { call.message.take() }?;
        let payload = message.payload.clone();
        let cost = cost(payload.len());
        call.kept = if keeps { cost } else { 0 };
        let head = call.head(id, message, keeps, router, &env.local.id);
        Some(Outgoing { item: Item { head, payload, cost }, kept: call.kept })
    }

    /// The call is queued.
    #[inline]
    pub(crate) fn sent(
        &mut self,
        id: CallId,
        (link, seq): (LinkId, Seq),
        now: Instant,
    ) -> Option<ReplyTo> {
        let call = self.known(id)?;
        (call.phase, call.queued_at) = (Phase::Queued(link, seq), now);
        call.forwards()
    }

    /// The call waits for capacity.
    pub(crate) fn waits(&mut self, id: CallId, link: LinkId, ticket: Ticket) -> Option<ReplyTo> {
        let call = self.known(id)?;
        call.phase = Phase::Waiting(link, ticket);
        call.forwards()
    }

    /// Where a call is; `None` when it has ended.
    pub(crate) fn phase(&self, id: CallId) -> Option<Phase> {
        self.by_id.get(&id).map(|call| call.phase)
    }

    /// If a call is queued on that link: its number in the queue, and what it keeps there.
    pub(crate) fn queued_on(&self, id: CallId, link: LinkId) -> Option<(Seq, usize)> {
        let call = self.by_id.get(&id)?;
        match call.phase {
            Phase::Queued(on, seq) if on == link || has(Planted::AnswerFromAnywhere) => {
                Some((seq, call.kept))
            }
            Phase::Queued(..) | Phase::Waiting(..) | Phase::Planning | Phase::Searching => None,
        }
    }

    /// A router reports which routers it has asked in vain: this call asks none of them.
    pub(crate) fn on_asked(&mut self, id: CallId, from: LinkId, asked: &[NodeId]) {
        let here = |call: &&mut Call<T>| matches!(call.phase, Phase::Queued(on, _) if on == from);
        let call = self.by_id.get_mut(&id).filter(here);
        if let Some(route) = call.and_then(|call| call.route.as_mut()) {
            for router in asked {
                route.visit(router);
            }
        }
    }

    /// A reply has come in over the link of a call, which has left it.
    #[inline]
    pub(crate) fn on_reply(
        &mut self,
        id: CallId,
        reply: Result<ReplyBody, Error>,
        peer: Option<&Arc<PeerEntry>>,
        env: &Env<T>,
    ) -> Replied {
        let Some(call) = self.known(id) else { return Replied::GoesOn };
        let reply = match reply {
            Ok(body) if matches!(body, ReplyBody::Peers(..)) != call.rules.is_query => {
                Err(errors::other_reply())
            }
            reply => reply,
        };
        if let Some(peer) = peer {
            call.note_pace(&peer.pace, reply.as_ref().err().map(Error::kind), env.now);
        }
        match (reply, peer) {
            (Ok(ReplyBody::Payload(payload, handler)), Some(peer)) => {
                let peer = Arc::clone(peer);
                Replied::Ends(Ok(Done::Answered(Answered { payload, peer, handler })))
            }
            (Ok(ReplyBody::Peers(peers, more)), _) => {
                Replied::Ends(Ok(Done::Peers { peers, more }))
            }
            (Err(error), _) if call.goes_on(&error) => {
                call.step_failed(error);
                Replied::GoesOn
            }
            (Err(error), _) => Replied::Ends(Err(error)),
            (Ok(ReplyBody::Payload(..)), None) => {
                debug_assert!(false, "replies are read on joined links only");
                Replied::Ends(Err(errors::other_reply()))
            }
        }
    }

    /// A step of a call ended, and the call never ran there: it goes on with its next one.
    pub(crate) fn never_ran(&mut self, id: CallId, error: Error) {
        if let Some(call) = self.known(id) {
            call.step_failed(error);
        }
    }

    /// Notes for strategies how a peer has served a call that is given up.
    pub(crate) fn note_given_up(
        &self,
        id: CallId,
        peer: &PeerEntry,
        kind: ErrorKind,
        now: Instant,
    ) {
        if let Some(call) = self.by_id.get(&id) {
            call.note_pace(&peer.pace, Some(kind), now);
        }
    }

    /// Ends a call.
    #[inline]
    pub(crate) fn end(&mut self, id: CallId, env: &mut Env<T>) -> Option<Ended<T>> {
        let call = self.by_id.remove(&id)?;
        env.timers.disarm(call.timer);
        Some(Ended { initiator: call.initiator, route: call.route })
    }

    pub(crate) fn is_past_deadline(&self, id: CallId, now: Instant) -> bool {
        self.by_id.get(&id).is_some_and(|call| call.deadline <= now)
    }

    /// Whether the receivers of a call are being looked for.
    pub(crate) fn is_searching(&self, id: CallId) -> bool {
        self.phase(id) == Some(Phase::Searching)
    }

    pub(crate) fn initiator(&self, id: CallId) -> Option<&Initiator<T>> {
        self.by_id.get(&id).map(|call| &call.initiator)
    }

    /// Calls that threads outside of handlers have begun.
    pub(crate) fn of_plain_threads(&self) -> Vec<CallId> {
        let plain =
            |call: &Call<T>| call.depth == 0 && matches!(call.initiator, Initiator::Caller(_));
        self.by_id.iter().filter(|(_, call)| plain(call)).map(|(id, _)| *id).collect()
    }

    pub(crate) fn ids(&self) -> Vec<CallId> {
        self.by_id.keys().copied().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// What the calls keep on their links; `None` for a call that has ended.
    pub(crate) fn kept(&self, id: CallId) -> Option<usize> {
        self.by_id.get(&id).map(|call| call.kept)
    }
}

impl<T> Call<T> {
    /// The request of a peer that it forwards.
    fn forwards(&self) -> Option<ReplyTo> {
        match &self.initiator {
            Initiator::Peer(forward) => Some(forward.reply_to()),
            Initiator::Caller(_) | Initiator::Tick(_) => None,
        }
    }

    fn is_tick(&self) -> bool {
        match &self.initiator {
            Initiator::Caller(_) => false,
            Initiator::Tick(_) => true,
            Initiator::Peer(forward) => forward.is_tick(),
        }
    }

    /// If it is a tick of this node: the thread that waited until it is sent waits no more, and from
    /// now on the router has its time.
    fn release_waiting_thread(&mut self, id: CallId, env: &mut Env<T>) {
        let Initiator::Tick(token) = &mut self.initiator else { return };
        let Some(token) = token.take() else { return };
        env.complete(token, Ok(Done::Nothing));
        self.deadline = env.now + env.local.config.request_timeout;
        let timer = env.timers.arm(self.deadline, Timer::Call(id));
        env.timers.disarm(std::mem::replace(&mut self.timer, timer));
    }

    /// A step ended with *Never*. Keeps the error that says most.
    fn step_failed(&mut self, error: Error) {
        self.phase = Phase::Planning;
        let refused = |_: &&Destination| error.kind() == ErrorKind::Refused;
        let error = match self.destination.as_deref().filter(refused) {
            // It only said that it was a router.
            Some(sought) => no_match(sought, error.peer().cloned()),
            None => error,
        };
        let failed = self.failed.take();
        let failed = failed.filter(|failed| errors::weight(failed) > errors::weight(&error));
        self.failed = Some(failed.unwrap_or(error));
    }

    /// Whether the call goes on to its next step after that reply.
    fn goes_on(&self, error: &Error) -> bool {
        let destination = self.destination.as_deref();
        let passes = match error.kind() {
            ErrorKind::Busy => true,
            ErrorKind::NotFound => self.rules.by_path || destination == Some(&Destination::Path),
            // What a router could not place, another one may.
            ErrorKind::NoNodesMatchFilter
            | ErrorKind::NodeNotFound
            | ErrorKind::Refused
            | ErrorKind::ConnectionLost
            | ErrorKind::TooLarge
            | ErrorKind::Backpressure => destination.is_some(),
            _ => false,
        };
        passes && !error.may_have_run()
    }

    /// Notes how the peer has served the call.
    fn note_pace(&self, pace: &Pace, error: Option<ErrorKind>, now: Instant) {
        let took = now.saturating_duration_since(self.queued_at);
        match error {
            None => pace.answered(took, now),
            // It is no failure of a router that it knows no match.
            Some(ErrorKind::NoNodesMatchFilter | ErrorKind::NodeNotFound)
                if self.destination.is_some() =>
            {
                pace.answered(took, now);
            }
            // This node's own doing, which says only that the peer takes at least so long.
            Some(ErrorKind::Cancelled | ErrorKind::Closed) => pace.waited(took, now),
            Some(ErrorKind::RequestTimeout) => {
                pace.waited(took, now);
                pace.failed(now);
            }
            Some(_) => pace.failed(now),
        }
    }

    /// What stands before its data when it is sent over a link to that peer.
    #[inline]
    fn head(
        &self,
        id: CallId,
        message: Message,
        kept: bool,
        to: Option<&NodeId>,
        own: &NodeId,
    ) -> ItemHead {
        let Message { event, headers, .. } = message;
        let (deadline, depth) = (self.deadline, self.depth);
        let (Some(target), Some(route)) = (&self.destination, &self.route) else {
            let headers = from_origin(headers, self.route.as_deref());
            return ItemHead::Request { call: id, deadline, depth, event, headers, kept };
        };
        let before = |router: &&NodeId| Some(*router) != to && !has(Planted::VisitedForgotten);
        let visited = route.visited.iter().filter(before).cloned().collect();
        ItemHead::Forward(Box::new(Onward {
            call: id,
            is_tick: self.is_tick(),
            deadline,
            depth,
            event,
            headers,
            kept,
            origin: route.origin.as_ref().unwrap_or(own).clone(),
            target: (**target).clone(),
            hops_left: route.hops_left,
            visited,
        }))
    }
}

/// Calls the message what it is called at that step.
pub(crate) fn name_for(message: &mut Message, step: &Step) {
    if let Some(event) = &step.event {
        message.event.clone_from(event);
    }
}

/// The headers of a message that goes to its end, which name its origin if that is not this node.
pub(crate) fn from_origin(mut headers: Headers, route: Option<&Route>) -> Headers {
    if let Some(origin) = route.and_then(|route| route.origin.as_ref()) {
        headers.set_number(wire::kinds::header::ORIGIN, origin.as_str());
    }
    headers
}
