//! Ticks that are on no link: placed by a plan, handed to routers, reported if they are lost.

use super::Traffic;
use super::calls::{Begin, Initiator};
use crate::error::{Error, ErrorKind};
use crate::id::CallId;
use crate::proto::env::Env;
use crate::proto::reach::Reach;
use crate::proto::traffic::OutboundTick;
use crate::proto::{Done, Tick};

/// Ticks.
impl<T> Traffic<T> {
    /// Begins the call by which a router places a tick of this node; it is to be placed.
    pub(crate) fn forward_own_tick(&mut self, tick: Tick<T>, env: &mut Env<T>) -> CallId {
        let OutboundTick { plan, message, until, initiator } = tick.into();
        let deadline = until.unwrap_or(env.now + env.local.config.request_timeout);
        let (id, message, waits) = (env.draw_call(), Some(message), until.is_some());
        self.calls.begin(id, Begin { initiator, deadline, depth: 0, message, waits }, env);
        self.calls.plan(id, plan, env);
        id
    }

    /// A tick is queued on a link.
    #[inline]
    pub(crate) fn tick_sent(&mut self, initiator: Initiator<T>, env: &mut Env<T>) {
        match initiator {
            Initiator::Caller(token) | Initiator::Tick(Some(token)) => {
                env.complete(token, Ok(Done::Nothing));
            }
            Initiator::Tick(None) => {}
            Initiator::Peer(forward) => self.forward_ended(&forward, Ok(Done::Nothing), None, env),
        }
    }

    /// No peer takes a tick: the thread that waits gets the error, else the loss is reported.
    /// Returns the call by which it goes to routers, if it does, which is to be placed.
    pub(crate) fn tick_unplaced(
        &mut self,
        tick: OutboundTick<T>,
        error: Error,
        reach: &Reach<'_, T>,
        env: &mut Env<T>,
    ) -> Option<CallId> {
        let fallback = tick.plan.route.as_ref().is_some_and(|route| route.fallback.is_some());
        match tick.initiator {
            // The peer that was to take it has left: what routers know is worth asking.
            Initiator::Tick(_) if fallback && error.kind() == ErrorKind::ConnectionLost => {
                self.tick_to_routers(tick, error, env)
            }
            Initiator::Caller(token) | Initiator::Tick(Some(token)) => {
                env.complete(token, Err(error));
                None
            }
            Initiator::Tick(None) => {
                env.report_undelivered(&tick.receiver(reach, env), false);
                None
            }
            Initiator::Peer(_) => self.tick_to_routers(tick, error, env),
        }
    }

    pub(super) fn tick_to_routers(
        &mut self,
        tick: OutboundTick<T>,
        error: Error,
        env: &mut Env<T>,
    ) -> Option<CallId> {
        let OutboundTick { plan, message, until, initiator } = tick;
        let (id, usual) = match &initiator {
            Initiator::Peer(forward) => (forward.call(), env.now),
            Initiator::Caller(_) | Initiator::Tick(_) => {
                (env.draw_call(), env.now + env.local.config.request_timeout)
            }
        };
        let deadline = until.unwrap_or(usual);
        let message = Some(message);
        self.calls.begin(id, Begin { initiator, deadline, depth: 0, message, waits: true }, env);
        self.calls.route(id, plan.route);
        if deadline <= env.now || env.stopping {
            self.end(id, Err(error), env);
            return None;
        }
        self.calls.never_ran(id, error);
        Some(id)
    }

    /// A tick that waited on behalf of a peer, which gave up.
    pub(crate) fn tick_cancelled(&mut self, tick: OutboundTick<T>, env: &mut Env<T>) {
        if let Initiator::Peer(forward) = tick.initiator {
            let why = "the requester gave the tick up";
            let error = Error::new(ErrorKind::Cancelled, why);
            self.forward_ended(&forward, Err(error), None, env);
        }
    }

    /// A router has placed a tick of this node, or it is lost.
    pub(super) fn own_tick_ended(
        &mut self,
        id: CallId,
        token: Option<T>,
        result: Result<Done, Error>,
        env: &mut Env<T>,
    ) {
        let lost = result.as_ref().err().cloned();
        match (token, result) {
            (Some(token), result) => env.complete(token, result.map(|_| Done::Nothing)),
            (None, Ok(_)) => {}
            (None, Err(error)) => {
                log::debug!(target: "threadmesh::proto", "a tick was not delivered: {error}");
                let peer = error.peer().unwrap_or(&env.local.id).clone();
                env.report_undelivered(&peer, error.may_have_run());
            }
        }
        self.flushes.on_tick_ended(id, lost.as_ref(), env);
    }
}
