//! Our requests, and those we forward: placed by their plan, pending on a link, and ended exactly once.

use std::time::Instant;

use super::env::Timer;
use super::leave::{lost_unsent, passed_over};
use super::mesh::Mesh;
use super::planted::{Planted, has};
use super::queue::{Item, ItemHead, Onward, Seq};
use super::relay::Relayed;
use super::timers::TimerId;
use super::{Answered, Done, Message, Output, Request};
use crate::error::{Error, ErrorKind, Execution};
use crate::headers::Headers;
use crate::id::{CallId, LinkId, NodeId};
use crate::options::Options;
use crate::payload::Payload;
use crate::routing::{Destination, Plan, Route, Step, cost};
use crate::wire::{self, Control};

/// A call that is not ended.
#[derive(Debug)]
pub(super) struct Call<T> {
    pub(super) whose: Whose<T>,
    pub(super) deadline: Instant,
    pub(super) timer: TimerId,
    pub(super) depth: u8,
    pub(super) phase: Phase,
    /// When it was queued on the link where it is.
    queued: Instant,
    /// The steps that are left, the last one first.
    pub(super) steps: Vec<Step>,
    /// The router of the step where it is shall place it with them.
    onward: Option<Box<Destination>>,
    /// Present if routers take part.
    pub(super) route: Option<Box<Route>>,
    /// Whether it may stand in line.
    waits: bool,
    /// Whether a peer that serves no such path is passed over.
    pub(super) by_path: bool,
    /// Why a step ended: of those that did, the last of those that say most.
    failed: Option<Error>,
    /// Kept while it waits or a further step may need it.
    pub(super) message: Option<Message>,
    /// What that counts on the link where the call is queued.
    pub(super) kept: usize,
    /// It asks a router for its peers, and nothing else is an answer to that.
    pub(super) is_question: bool,
}

/// Whose call it is, and so who is told how it ends.
#[derive(Debug)]
pub(super) enum Whose<T> {
    /// A thread's of this node.
    Caller(T),
    /// It is a tick of this node, which a router shall place. Who waits until it is sent is told that, and how it ends is told only if it ends
    /// badly.
    Tick(Option<T>),
    /// A peer's, for whom this router forwards it.
    Peer(Box<Relayed>),
}

/// A good answer.
#[derive(Debug)]
pub(super) enum Given {
    /// Of a handler, at the sender or behind it.
    Payload(Payload, Option<NodeId>),
    /// Of a router that was asked for its peers.
    Peers(Vec<(NodeId, Options)>, bool),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Between two steps.
    Planning,
    /// Those it is for are being looked for.
    Searching,
    /// Waits for room on that link.
    Parked(LinkId),
    /// Queued on that link, perhaps written.
    Queued(LinkId, Seq),
}

impl Phase {
    /// Whether the call is queued on that link.
    pub(super) fn is_on(self, link: LinkId) -> bool {
        matches!(self, Self::Queued(on, _) if on == link)
    }
}

impl<T> Call<T> {
    pub(super) fn is_tick(&self) -> bool {
        match &self.whose {
            Whose::Caller(_) => false,
            Whose::Tick(_) => true,
            Whose::Peer(relayed) => relayed.is_tick,
        }
    }

    /// The call goes this step now.
    fn go(&mut self, step: Step) {
        if let Some(message) = &mut self.message {
            name_for(message, &step);
        }
        self.onward = step.onward;
    }

    /// It was sent to that peer, or cannot be: if it is a router, it is asked no more. Who only has no room may be asked by others.
    fn tried(&mut self, peer: Option<&NodeId>) {
        if let (Some(_), Some(route), Some(peer)) = (&self.onward, &mut self.route, peer) {
            route.visit(peer);
        }
    }

    /// What stands before its data when it is sent over a link to that peer.
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
        let (Some(target), Some(route)) = (&self.onward, &self.route) else {
            let headers = from_origin(headers, self.route.as_deref());
            return ItemHead::Request { call: id, deadline, depth, event, headers, kept };
        };
        let told = |router: &&NodeId| Some(*router) != to && !has(Planted::VisitedForgotten);
        let before = route.visited.iter().filter(told).cloned().collect();
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
            visited: before,
        }))
    }
}

impl<T> Mesh<T> {
    pub(super) fn request(&mut self, request: Request<T>) {
        let Request { call, plan, message, deadline, depth, token } = request;
        self.begin_call(call, Whose::Caller(token), (deadline, depth), Some(message), plan.waits);
        self.begin_steps(call, plan);
    }

    /// Notes a call that has nowhere to go yet.
    pub(super) fn begin_call(
        &mut self,
        id: CallId,
        whose: Whose<T>,
        (deadline, depth): (Instant, u8),
        message: Option<Message>,
        waits: bool,
    ) {
        let timer = self.env.timers.arm(deadline, Timer::Call(id));
        let new = Call {
            whose,
            deadline,
            timer,
            depth,
            phase: Phase::Planning,
            queued: self.env.now,
            steps: Vec::new(),
            onward: None,
            route: None,
            waits,
            by_path: false,
            failed: None,
            message,
            kept: 0,
            is_question: false,
        };
        self.calls.insert(id, new);
    }

    /// Sends a call on its way.
    pub(super) fn begin_steps(&mut self, id: CallId, plan: Plan) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.steps = plan.alternates;
        call.steps.reverse();
        (call.by_path, call.route) = (plan.by_path, plan.route);
        if let (Some(route), Some(_)) = (&mut call.route, &self.env.local.router) {
            // Whoever is asked must not ask this router in turn.
            route.visit(&self.env.local.id);
        }
        self.place(id, plan.first, plan.room);
    }

    /// Tries one step: queues the call on a link, parks it there, or goes on to the next step.
    pub(super) fn place(&mut self, id: CallId, step: Step, room: Option<LinkId>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.go(step.clone());
        let Some(message) = &call.message else { return };
        let cost = cost(message.payload.len());
        let target = self.peers.route(&step);
        let Some(link) = target.and_then(|link| self.links.get_mut(&link)) else {
            let peer = self.peers.name(step.peer).unwrap_or_else(|| self.env.local.id.clone());
            call.tried(Some(&peer));
            return self.next_step(id, lost_unsent(&peer));
        };
        let too_late = call.deadline <= self.env.now;
        if too_late || message.payload.len() > link.theirs.message_bytes {
            if room == Some(link.id) {
                link.gauge.give_queue(cost);
                link.gauge.give_call_slot();
            }
            if too_late {
                let peer = self.peers.name(step.peer);
                let error = given_up(ErrorKind::RequestTimeout, peer, Execution::Never);
                return self.end_call(id, Err(error));
            }
            // Another one may take longer messages.
            let error = too_large(message.payload.len(), link.theirs.message_bytes);
            let peer = self.peers.name(step.peer);
            call.tried(peer.as_ref());
            let error = match peer {
                Some(peer) => error.with_peer(peer),
                None => error,
            };
            return self.next_step(id, error);
        }
        if room == Some(link.id) || link.takes_call(cost) {
            let link = link.id;
            return self.queue_call(id, link);
        }
        let (link, bytes) = (link.id, message.payload.len());
        // Whoever has room now is better than a place in line.
        for at in (0..call.steps.len()).rev() {
            let other = self.peers.route(&call.steps[at]);
            let other = other.and_then(|other| self.links.get_mut(&other));
            let other = other.filter(|other| bytes <= other.theirs.message_bytes);
            let Some(other) = other.filter(|other| other.takes_call(cost)) else { continue };
            let other = other.id;
            let taken = std::mem::replace(&mut call.steps[at], step);
            call.go(taken);
            return self.queue_call(id, other);
        }
        if let Some(other) = self.take_other_router(id, &step, bytes, cost) {
            return self.queue_call(id, other);
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !call.waits {
            self.env.counters.unroomed += 1;
            let error = given_up(ErrorKind::Backpressure, self.peer_of(link), Execution::Never);
            return self.end_call(id, Err(error));
        }
        call.phase = Phase::Parked(link);
        self.park_call(id, link);
    }

    /// The call has room on that link.
    pub(super) fn queue_call(&mut self, id: CallId, to: LinkId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(link) = self.links.get_mut(&to) else { return };
        if let Whose::Tick(Some(_)) = call.whose {
            self.tick_is_sent(id);
            return self.queue_call(id, to);
        }
        let router = call.onward.as_ref().and(link.peer).and_then(|key| self.peers.name(key));
        call.tried(router.as_ref());
        let size = call.message.as_ref().map_or(0, |message| cost(message.payload.len()));
        // Alternates cost memory until the answer is there. Where there is little, a busy peer is answer enough.
        if self.memory.is_over(link.holds() + 2 * size) {
            call.steps.clear();
            call.route.iter_mut().for_each(|route| route.fallback = None);
        }
        // Nor does it pay to keep data for routers when there is none that could be asked.
        let mut falls_back = false;
        if let Some(route) = call.route.as_mut().filter(|route| route.fallback.is_some()) {
            let last = self.relays.last_router;
            falls_back = self.peers.unasked(&self.directory, route, last).next().is_some();
            route.fallback = route.fallback.take().filter(|_| falls_back);
        }
        let kept = !call.steps.is_empty() || falls_back;
        let message = if kept { call.message.clone() } else { call.message.take() };
        let Some(message) = message else { return };
        let payload = message.payload.clone();
        let cost = cost(payload.len());
        call.kept = if kept { cost } else { 0 };
        link.kept += call.kept;
        let head = call.head(id, message, kept, router.as_ref(), &self.env.local.id);
        let seq = link.queue.push(Item { head, payload, cost });
        link.pending.insert(id);
        link.budget.earn();
        call.phase = Phase::Queued(to, seq);
        call.queued = self.env.now;
        self.env.touch(to);
    }

    /// Whether a call goes on to its next step after that answer.
    fn goes_on(&self, id: CallId, error: &Error) -> bool {
        let Some(call) = self.calls.get(&id) else { return false };
        let onward = call.onward.as_deref();
        let passes = match error.kind() {
            ErrorKind::Busy => true,
            ErrorKind::NotFound => call.by_path || onward == Some(&Destination::Path),
            // What a router could not place, another one may.
            ErrorKind::NoNodesMatchFilter
            | ErrorKind::NodeNotFound
            | ErrorKind::Refused
            | ErrorKind::ConnectionLost
            | ErrorKind::TooLarge
            | ErrorKind::Backpressure => onward.is_some(),
            _ => false,
        };
        passes && !error.may_have_run()
    }

    /// A step ended with *Never*: takes the next, or ends with that error.
    pub(super) fn next_step(&mut self, id: CallId, error: Error) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.phase = Phase::Planning;
        let refused = call.onward.as_deref().filter(|_| error.kind() == ErrorKind::Refused);
        let error = match refused {
            // It only said that it was a router.
            Some(sought) => nobody(sought, error.peer().cloned()),
            None => error,
        };
        let step = call.steps.pop().or_else(|| self.next_router(id));
        let Some(call) = self.calls.get_mut(&id) else { return };
        let failed = call.failed.take().filter(|failed| weight(failed) > weight(&error));
        let error = failed.unwrap_or(error);
        match step {
            Some(step) => {
                call.failed = Some(error);
                self.place(id, step, None);
            }
            None => self.end_call(id, Err(error)),
        }
    }

    /// Ends a call that has no place on any link any more.
    pub(super) fn end_call(&mut self, id: CallId, result: Result<Done, Error>) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.env.timers.disarm(call.timer);
        match call.whose {
            Whose::Caller(token) => {
                let result =
                    result.map_err(|error| self.name_routers(error, call.route.as_deref()));
                self.env.out.push(Output::Complete { token, result });
            }
            Whose::Tick(token) => self.own_tick_ended(id, token, result),
            Whose::Peer(relayed) => self.relayed(*relayed, result, call.route),
        }
    }

    /// Takes a call off its link and gives its slot back.
    fn detach_call(&mut self, id: CallId, from: LinkId) {
        let Some(link) = self.links.get_mut(&from).filter(|link| link.pending.contains(&id)) else {
            return;
        };
        link.pending.remove(&id);
        link.kept -= self.calls.get_mut(&id).map_or(0, |call| std::mem::take(&mut call.kept));
        if !has(Planted::PlaceKept) {
            link.gauge.give_call_slot();
        }
        self.env.touch(from);
    }

    /// An answer has come in over a link.
    pub(super) fn answered(&mut self, from: LinkId, id: CallId, answer: Result<Given, Error>) {
        let here = self.calls.get(&id).and_then(|call| match call.phase {
            Phase::Queued(link, seq) if link == from || has(Planted::AnswerFromAnywhere) => {
                Some((seq, call.is_question))
            }
            Phase::Queued(..) | Phase::Parked(_) | Phase::Planning | Phase::Searching => None,
        });
        let written = |seq| self.links.get(&from).is_some_and(|link| link.queue.is_written(seq));
        let Some((_, is_question)) = here.filter(|(seq, _)| written(*seq)) else {
            self.env.counters.late_answers += 1;
            #[cfg(test)]
            if has(Planted::LateAnswerTaken) {
                return self.take_wrong_answer(answer);
            }
            return;
        };
        let answer = match answer {
            Ok(given) if matches!(given, Given::Peers(..)) != is_question => Err(no_answer()),
            answer => answer,
        };
        self.detach_call(id, from);
        self.note_pace(id, from, answer.as_ref().err().map(Error::kind));
        let peer = self.links.get(&from).and_then(|link| link.peer);
        let peer = peer.and_then(|key| self.peers.by_key.get(&key)).map(|peer| peer.entry.clone());
        match (answer, peer) {
            (Ok(Given::Payload(payload, handler)), Some(peer)) => {
                self.end_call(id, Ok(Done::Answered(Answered { payload, peer, handler })));
            }
            (Ok(Given::Peers(peers, more)), Some(_)) => {
                self.end_call(id, Ok(Done::Peers { peers, more }));
            }
            (Err(error), _) if self.goes_on(id, &error) => self.next_step(id, error),
            (Err(error), _) => self.end_call(id, Err(error)),
            (Ok(_), None) => unreachable!("answers are read on joined links only"),
        }
        self.env.touch(from);
    }

    /// Whether the kernel has all of it.
    pub(super) fn is_written(&self, id: CallId) -> bool {
        match self.calls.get(&id).map(|call| call.phase) {
            Some(Phase::Queued(link, seq)) => {
                self.links.get(&link).is_some_and(|link| link.queue.is_written(seq))
            }
            _ => false,
        }
    }

    /// Whether it can be taken back no more: a part of it may have gone out.
    pub(super) fn is_begun(&self, id: CallId) -> bool {
        match self.calls.get(&id).map(|call| call.phase) {
            Some(Phase::Queued(link, seq)) => {
                self.links.get(&link).is_some_and(|link| link.queue.is_begun(seq))
            }
            _ => false,
        }
    }

    pub(super) fn is_past_deadline(&self, id: CallId) -> bool {
        self.calls.get(&id).is_some_and(|call| call.deadline <= self.env.now)
    }

    pub(super) fn call_due(&mut self, id: CallId) {
        if !has(Planted::DeadlineForgotten) {
            self.give_up(id, ErrorKind::RequestTimeout);
        }
    }

    pub(super) fn cancel(&mut self, id: CallId) {
        self.give_up(id, ErrorKind::Cancelled);
    }

    /// Ends a call before its answer: withdraws it if it is not framed, else tells the peer.
    pub(super) fn give_up(&mut self, id: CallId, kind: ErrorKind) {
        let Some(call) = self.calls.get(&id) else { return };
        let (error, from) = match call.phase {
            Phase::Planning | Phase::Searching => (given_up(kind, None, Execution::Never), None),
            Phase::Parked(link) => {
                self.unpark_call(id, link);
                let in_vain = kind == ErrorKind::RequestTimeout;
                self.env.counters.unroomed += u64::from(in_vain);
                let kind = if in_vain { ErrorKind::Backpressure } else { kind };
                (given_up(kind, self.peer_of(link), Execution::Never), Some(link))
            }
            Phase::Queued(link, seq) => {
                let execution = self.withdraw_call(id, link, seq);
                self.detach_call(id, link);
                self.note_pace(id, link, Some(kind));
                (given_up(kind, self.peer_of(link), execution), Some(link))
            }
        };
        self.end_call(id, Err(error));
        if let Some(from) = from {
            self.env.touch(from);
        }
    }

    /// Notes for those who choose by load how the peer has served a call that was queued on that link.
    fn note_pace(&self, id: CallId, link: LinkId, error: Option<ErrorKind>) {
        let key = self.links.get(&link).and_then(|link| link.peer);
        let Some(peer) = key.and_then(|key| self.peers.by_key.get(&key)) else { return };
        let Some(call) = self.calls.get(&id) else { return };
        let took = self.env.now.saturating_duration_since(call.queued);
        let pace = &peer.entry.pace;
        match error {
            None => pace.answered(took, self.env.now),
            // It is no failure of a router that it knows nobody.
            Some(ErrorKind::NoNodesMatchFilter | ErrorKind::NodeNotFound)
                if call.onward.is_some() =>
            {
                pace.answered(took, self.env.now);
            }
            // Our own doing, which says only that the peer takes at least so long.
            Some(ErrorKind::Cancelled | ErrorKind::Closed) => pace.waited(took, self.env.now),
            Some(ErrorKind::RequestTimeout) => {
                pace.waited(took, self.env.now);
                pace.failed(self.env.now);
            }
            Some(_) => pace.failed(self.env.now),
        }
    }

    fn withdraw_call(&mut self, id: CallId, from: LinkId, seq: Seq) -> Execution {
        let Some(link) = self.links.get_mut(&from) else { return Execution::Never };
        if let Some(cost) = link.queue.withdraw(seq) {
            link.gauge.give_queue(cost);
            return Execution::Never;
        }
        if from == LinkId::OWN {
            self.cancelled(from, id);
        } else {
            link.queue.push_cancel(seq, &Control::Cancel { call: id });
        }
        if has(Planted::NeverClaimed) { Execution::Never } else { Execution::Unknown }
    }

    /// The link of a call is gone.
    pub(super) fn call_lost(&mut self, id: CallId, link: LinkId, peer: &NodeId) {
        let Some(call) = self.calls.get(&id) else { return };
        let Phase::Queued(_, seq) = call.phase else { return };
        let link = self.links.get(&link);
        let written = link.is_some_and(|link| link.queue.is_written(seq));
        let again = has(Planted::ForwardedAgain) && matches!(call.whose, Whose::Peer(_));
        if !written || again || has(Planted::SentAgain) {
            return self.next_step(id, lost_unsent(peer));
        }
        if link.is_some_and(|link| link.was_passed_over(id)) {
            return self.next_step(id, passed_over(peer));
        }
        if let Some(peer) = self.peers.pace(peer) {
            peer.failed(self.env.now);
        }
        let why =
            format!("the link to {peer} was lost before it answered; the request may have run");
        let error = Error::new(ErrorKind::ConnectionLost, why).with_peer(peer.clone());
        self.end_call(id, Err(error));
    }

    pub(super) fn peer_of(&self, link: LinkId) -> Option<NodeId> {
        self.peers.name(self.links.get(&link)?.peer?)
    }

    /// The planted bug: an answer that nobody waits for goes to whoever waits.
    #[cfg(test)]
    fn take_wrong_answer(&mut self, answer: Result<Given, Error>) {
        let other = self.calls.keys().next().copied();
        let peer = self.peers.by_key.values().next().map(|peer| peer.entry.clone());
        if let (Some(other), Ok(Given::Payload(payload, handler)), Some(peer)) =
            (other, answer, peer)
        {
            self.end_call(other, Ok(Done::Answered(Answered { payload, peer, handler })));
        }
    }
}

/// Calls the message what it is called at that step.
pub(super) fn name_for(message: &mut Message, step: &Step) {
    if let Some(event) = &step.event {
        message.event.clone_from(event);
    }
}

/// The headers of a message that goes to its end, which say who asked first, if that was not this node.
pub(super) fn from_origin(mut headers: Headers, route: Option<&Route>) -> Headers {
    if let Some(origin) = route.and_then(|route| route.origin.as_ref()) {
        headers.set_number(wire::kinds::header::ORIGIN, origin.as_str());
    }
    headers
}

/// The peer takes no payload of that length.
pub(super) fn too_large(bytes: usize, most: usize) -> Error {
    let why = format!("the data has {bytes} bytes, the peer takes {most}");
    Error::new(ErrorKind::TooLarge, why)
}

/// Nobody is known who is sought, as the router says, or this node.
pub(super) fn nobody(sought: &Destination, router: Option<NodeId>) -> Error {
    let whom = router.as_ref().map_or("this node", NodeId::as_str);
    let (kind, why) = match sought {
        Destination::Id(id) => (ErrorKind::NodeNotFound, format!("{whom} knows no way to {id}")),
        Destination::Filter(_) => {
            (ErrorKind::NoNodesMatchFilter, format!("{whom} knows nobody who matches"))
        }
        Destination::Path => (ErrorKind::NotFound, format!("{whom} knows nobody who serves it")),
    };
    let error = Error::new(kind, why).with_execution(Execution::Never);
    match router {
        Some(router) => error.with_peer(router),
        None => error,
    }
}

/// What it says of why nobody got a message: least that somebody is not there or serves no such path, more that one takes none of that size,
/// most what may pass.
fn weight(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NoNodesMatchFilter | ErrorKind::NodeNotFound => 0,
        ErrorKind::TooLarge => 1,
        _ => 2,
    }
}

/// What came is an answer to something else.
fn no_answer() -> Error {
    let why = "the peer answered as if something else had been asked";
    Error::new(ErrorKind::Unsupported, why).with_execution(Execution::Unknown)
}

fn given_up(kind: ErrorKind, peer: Option<NodeId>, execution: Execution) -> Error {
    let whom = peer.as_ref().map_or("the peer", NodeId::as_str);
    let ran = match execution {
        Execution::Never => "the request was not sent",
        Execution::Unknown | Execution::Happened => "the request may have run",
    };
    let why = match kind {
        ErrorKind::Cancelled => format!("the request to {whom} was cancelled; {ran}"),
        ErrorKind::Backpressure => format!("{whom} had no room for the request in time; {ran}"),
        ErrorKind::Closed => format!("this node stopped while {whom} had not answered; {ran}"),
        _ => format!("{whom} did not answer before the deadline; {ran}"),
    };
    let error = Error::new(kind, why).with_execution(execution);
    match peer {
        Some(peer) => error.with_peer(peer),
        None => error,
    }
}
