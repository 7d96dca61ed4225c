//! Asking routers, for calls of this node and for those that it forwards: which one is next, what they have said, and ticks that they place.
//! It must not know what a router does.

use std::time::Instant;

use super::calls::{Call, Phase, Whose};
use super::env::disarm;
use super::flow::OurTick;
use super::leave::lost_unsent;
use super::link::Link;
use super::mesh::Mesh;
use super::peers::Peers;
use super::queue::{Item, ItemHead};
use super::relay::is_no_match;
use super::{Done, Output, Tick};
use crate::error::{Error, ErrorKind, Execution, ROUTERS};
use crate::id::{CallId, LinkId, NodeId, PeerKey};
use crate::node_event::Directions;
use crate::payload::Payload;
use crate::routing::{Destination, Directory, Route, Step, cost};
use crate::wire::{Control, DirectoryQuestion};

impl Peers {
    /// The routers that may be asked on this route, beginning with the first behind that one.
    pub(super) fn unasked<'p>(
        &'p self,
        directory: &'p Directory,
        route: &'p Route,
        behind: PeerKey,
    ) -> impl Iterator<Item = PeerKey> + 'p {
        let routers = directory.routers();
        let turn = routers.partition_point(|key| *key <= behind);
        let (before, behind) = routers.split_at(turn);
        let may_be_asked = |key: &PeerKey| {
            let router = self.by_key.get(key).map(|peer| &peer.entry.id);
            router.is_some_and(|router| {
                route.may_ask(router) && route.origin.as_ref() != Some(router)
            })
        };
        behind.iter().chain(before).copied().filter(may_be_asked)
    }
}

impl<T> Mesh<T> {
    /// The router that a call asks next, if there is one that it has not asked: each has its turn.
    pub(super) fn next_router(&mut self, id: CallId) -> Option<Step> {
        let next = self.unasked(id).next()?;
        let step = self.step_onward(id, next)?;
        self.relays.last_router = next;
        Some(step)
    }

    /// Takes room for a call at another router than the one of this step, which has none: any that is asked for the same will do.
    pub(super) fn take_other_router(
        &mut self,
        id: CallId,
        step: &Step,
        bytes: usize,
        cost: usize,
    ) -> Option<LinkId> {
        let sought = self.calls.get(&id)?.route.as_ref()?.fallback.as_ref()?;
        if step.onward.as_deref() != Some(sought) {
            return None;
        }
        let others = self.unasked(id).filter(|router| *router != step.peer);
        let (router, to) = others
            .filter_map(|router| {
                Some((router, self.peers.route(&Step::new(router, Directions::BOTH))?))
            })
            .find(|(_, to)| {
                let fits = |link: &&Link<T>| bytes <= link.theirs.message_bytes;
                self.links.get(to).filter(fits).is_some_and(|link| link.takes_call(cost))
            })?;
        self.relays.last_router = router;
        Some(to)
    }

    /// The routers that a call may ask, beginning with the one whose turn it is.
    fn unasked(&self, id: CallId) -> impl Iterator<Item = PeerKey> {
        let route = self.calls.get(&id).and_then(|call| call.route.as_deref());
        let route = route.filter(|route| route.fallback.is_some()).into_iter();
        let behind = self.relays.last_router;
        route.flat_map(move |route| self.peers.unasked(&self.directory, route, behind))
    }

    /// To that router, for whoever is sought. A pattern is asked for as such, whatever the path was at a peer that could not serve it.
    fn step_onward(&self, id: CallId, router: PeerKey) -> Option<Step> {
        let call = self.calls.get(&id)?;
        let sought = call.route.as_ref()?.fallback.clone()?;
        let event = match &call.whose {
            Whose::Peer(relayed) if sought == Destination::Path => Some(&relayed.event),
            _ => None,
        };
        Some(Step { event: event.cloned().map(Box::new), ..Step::onward(router, sought) })
    }

    /// A router has said which routers it has asked in vain: this call asks none of them.
    pub(super) fn note_asked(&mut self, id: CallId, from: LinkId, asked: &[NodeId]) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.phase.is_on(from)) else {
            return;
        };
        if let Some(route) = &mut call.route {
            for router in asked {
                route.visit(router);
            }
        }
    }

    /// Adds to an error of a call of this node which routers were asked.
    pub(super) fn name_routers(&self, error: Error, route: Option<&Route>) -> Error {
        let Some(route) = route.filter(|_| is_no_match(&error)) else { return error };
        let asked = route.visited.iter().filter(|router| **router != self.env.local.id);
        let asked: Vec<&str> = asked.map(NodeId::as_str).collect();
        if asked.is_empty() { error } else { error.with_context(ROUTERS, asked.join(", ")) }
    }

    /// Has a router place a tick of this node.
    pub(super) fn forward_tick(&mut self, tick: Tick<T>) {
        let OurTick { plan, message, until, whose } = tick.into();
        let deadline = until.unwrap_or(self.env.now + self.env.local.config.request_timeout);
        let id = self.env.draw_call();
        self.begin_call(id, whose, (deadline, 0), Some(message), until.is_some());
        self.begin_steps(id, plan);
    }

    /// None of the peers could take a tick, of this node or one that it forwards: routers are asked.
    pub(super) fn tick_onward(&mut self, tick: OurTick<T>, error: Error) {
        let OurTick { plan, message, until, whose } = tick;
        let (id, usual) = match &whose {
            Whose::Peer(relayed) => (relayed.call, self.env.now),
            Whose::Caller(_) | Whose::Tick(_) => {
                (self.env.draw_call(), self.env.now + self.env.local.config.request_timeout)
            }
        };
        let deadline = until.unwrap_or(usual);
        self.begin_call(id, whose, (deadline, 0), Some(message), true);
        if let Some(call) = self.calls.get_mut(&id) {
            call.route = plan.route;
        }
        if deadline <= self.env.now || self.stopping.is_some() {
            return self.end_call(id, Err(error));
        }
        self.next_step(id, error);
    }

    /// If the call is a tick of this node: whoever waited until it was sent waits no more, and from now on the router has its time.
    pub(super) fn tick_is_sent(&mut self, id: CallId) {
        let Some(Call { whose: Whose::Tick(token), .. }) = self.calls.get_mut(&id) else { return };
        let Some(token) = token.take() else { return };
        self.env.out.push(Output::Complete { token, result: Ok(Done::Nothing) });
        let deadline = self.env.now + self.env.local.config.request_timeout;
        let timer = self.env.timers.arm(deadline, super::env::Timer::Call(id));
        if let Some(call) = self.calls.get_mut(&id) {
            disarm(&mut self.env.timers, &mut Some(std::mem::replace(&mut call.timer, timer)));
            call.deadline = deadline;
        }
    }

    /// A router has placed a tick of this node, or it is lost.
    pub(super) fn own_tick_ended(
        &mut self,
        id: CallId,
        token: Option<T>,
        result: Result<Done, Error>,
    ) {
        let lost = result.as_ref().err().cloned();
        match (token, result) {
            (Some(token), result) => {
                self.env
                    .out
                    .push(Output::Complete { token, result: result.map(|_| Done::Nothing) });
            }
            (None, Ok(_)) => {}
            (None, Err(error)) => {
                log::debug!(target: "threadmesh::proto", "a tick was not delivered: {error}");
                let peer = error.peer().unwrap_or(&self.env.local.id).clone();
                self.env.report_undelivered(&peer, error.may_have_run());
            }
        }
        self.flushes_tick_ended(id, lost.as_ref());
    }

    /// Asks a router which of its peers match.
    pub(super) fn ask_router(
        &mut self,
        id: CallId,
        router: PeerKey,
        question: DirectoryQuestion,
        deadline: Instant,
        token: T,
    ) {
        let name = self.peers.name(router).unwrap_or_else(|| self.env.local.id.clone());
        let cost = cost(question.filter.len());
        let target = self.peers.route(&Step::new(router, Directions::BOTH));
        let refused = match target.and_then(|link| self.links.get_mut(&link)) {
            None => Some(lost_unsent(&name)),
            Some(link) if link.takes_call(cost) => None,
            Some(_) => {
                self.env.counters.unroomed += 1;
                let why = format!("{name} has no room for a question; it was not asked");
                let error = Error::new(ErrorKind::Backpressure, why);
                Some(error.with_execution(Execution::Never).with_peer(name))
            }
        };
        let (None, Some(to)) = (&refused, target) else {
            let error = refused.unwrap_or_else(super::stop::closed);
            return self.env.out.push(Output::Complete { token, result: Err(error) });
        };
        self.begin_call(id, Whose::Caller(token), (deadline, 0), None, false);
        let Some(link) = self.links.get_mut(&to) else { return };
        let head = ItemHead::Question(Box::new(Control::DirectoryQuestion { call: id, question }));
        let seq = link.queue.push(Item { head, payload: Payload::null(), cost });
        link.pending.insert(id);
        link.budget.earn();
        if let Some(call) = self.calls.get_mut(&id) {
            (call.phase, call.is_question) = (Phase::Queued(to, seq), true);
        }
        self.env.touch(to);
    }
}
