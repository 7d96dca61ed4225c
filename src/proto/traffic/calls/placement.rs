//! The walk of a plan: where a message goes now, given who can be reached and where there is
//! capacity. It must not queue anything.

use std::time::Instant;

use super::errors::{given_up, lost_unsent, too_large};
use super::{Call, Calls, Initiator, name_for};
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{CallId, LinkId, NodeId, PeerKey};
use crate::node_event::Directions;
use crate::proto::env::Env;
use crate::proto::reach::Reach;
use crate::proto::traffic::OutboundTick;
use crate::routing::{Destination, Step, cost};

/// Where a call goes.
#[derive(Debug)]
pub(crate) enum Placed {
    /// It has capacity on that link.
    Send(LinkId),
    /// It waits for capacity on that link.
    Wait { link: LinkId, until: Instant, cost: usize },
    /// No step is left, or its time is over.
    Failed(Error),
}

/// What one step came to.
enum Tried {
    Send(LinkId),
    Wait(LinkId),
    /// The next step may do.
    Next(Error),
    Failed(Error),
}

impl<T> Calls<T> {
    /// Walks on through the steps of a call, and then through routers, to the first that will do.
    #[inline]
    pub(crate) fn place(
        &mut self,
        id: CallId,
        reach: &Reach<'_, T>,
        env: &mut Env<T>,
    ) -> Option<Placed> {
        loop {
            let call = self.by_id.get_mut(&id)?;
            let step = call.first.take().or_else(|| call.steps.pop());
            let Some(step) = step.or_else(|| call.next_router(&mut self.last_router, reach)) else {
                let error = call.failed.take();
                debug_assert!(error.is_some(), "a plan without a step fails for no reason");
                return error.map(Placed::Failed);
            };
            match call.try_step(step, &mut self.last_router, reach, env) {
                Tried::Send(link) => return Some(Placed::Send(link)),
                Tried::Wait(link) => {
                    let bytes = call.message.as_ref().map_or(0, |it| it.payload.len());
                    let (until, cost) = (call.deadline, cost(bytes));
                    return Some(Placed::Wait { link, until, cost });
                }
                Tried::Next(error) => call.step_failed(error),
                Tried::Failed(error) => return Some(Placed::Failed(error)),
            }
        }
    }
}

impl<T> Call<T> {
    /// Tries one step, and if it has no capacity, those behind it.
    #[inline]
    fn try_step(
        &mut self,
        step: Step,
        last_router: &mut PeerKey,
        reach: &Reach<'_, T>,
        env: &mut Env<T>,
    ) -> Tried {
        self.go(&step);
        let bytes = self.message.as_ref().map_or(0, |message| message.payload.len());
        let cost = cost(bytes);
        let name = |env: &Env<T>| reach.name(step.peer).unwrap_or_else(|| env.local.id.clone());
        let Some((link, outbound)) = reach.outbound(&step) else {
            let peer = name(env);
            self.tried(Some(&peer));
            return Tried::Next(lost_unsent(&peer));
        };
        let reserved = self.reserved.take() == Some(link);
        let too_late = self.deadline <= env.now;
        if too_late || !outbound.fits(bytes) {
            if reserved {
                outbound.return_call(cost);
            }
            let peer = name(env);
            if too_late {
                let kind = ErrorKind::RequestTimeout;
                return Tried::Failed(given_up(kind, Some(peer), Execution::Never));
            }
            // Another one may take longer messages.
            self.tried(Some(&peer));
            return Tried::Next(too_large(bytes, outbound.peer_message_bytes()).with_peer(peer));
        }
        if reserved || outbound.take_call(cost) {
            return Tried::Send(link);
        }
        if let Some(other) = self.take_alternate(&step, bytes, reach) {
            return Tried::Send(other);
        }
        if let Some((router, other)) = self.take_other_router(&step, bytes, *last_router, reach) {
            *last_router = router;
            return Tried::Send(other);
        }
        if self.rules.waits {
            return Tried::Wait(link);
        }
        env.counters.backpressured += 1;
        let peer = reach.peer_of(link).map(|peer| peer.id.clone());
        Tried::Failed(given_up(ErrorKind::Backpressure, peer, Execution::Never))
    }

    /// The call takes this step now.
    fn go(&mut self, step: &Step) {
        if let Some(message) = &mut self.message {
            name_for(message, step);
        }
        self.destination.clone_from(&step.onward);
    }

    /// It was sent to that peer, or cannot be: if that is a router, it is asked no more. A router
    /// that only has no capacity may be asked by others.
    pub(super) fn tried(&mut self, peer: Option<&NodeId>) {
        if let (Some(_), Some(route), Some(peer)) = (&self.destination, &mut self.route, peer) {
            route.visit(peer);
        }
    }

    /// Takes capacity at a later step: whatever has some now is better than a wait.
    fn take_alternate(
        &mut self,
        step: &Step,
        bytes: usize,
        reach: &Reach<'_, T>,
    ) -> Option<LinkId> {
        for at in (0..self.steps.len()).rev() {
            let Some((other, outbound)) = reach.outbound(&self.steps[at]) else { continue };
            if outbound.fits(bytes) && outbound.take_call(cost(bytes)) {
                let taken = std::mem::replace(&mut self.steps[at], step.clone());
                self.go(&taken);
                return Some(other);
            }
        }
        None
    }

    /// Takes capacity at another router than the one of this step, which has none: any that is
    /// asked for the same will do.
    fn take_other_router(
        &self,
        step: &Step,
        bytes: usize,
        last_router: PeerKey,
        reach: &Reach<'_, T>,
    ) -> Option<(PeerKey, LinkId)> {
        let route = self.route.as_deref()?;
        let sought = route.fallback.as_ref()?;
        if step.onward.as_deref() != Some(sought) {
            return None;
        }
        reach.routers(route, last_router).filter(|router| *router != step.peer).find_map(|router| {
            let (link, outbound) = reach.outbound(&Step::new(router, Directions::BOTH))?;
            (outbound.fits(bytes) && outbound.take_call(cost(bytes))).then_some((router, link))
        })
    }

    /// The step to the router that the call asks next, if there is one that it has not asked: they
    /// take turns.
    fn next_router(&self, last_router: &mut PeerKey, reach: &Reach<'_, T>) -> Option<Step> {
        let route = self.route.as_deref()?;
        let sought = route.fallback.clone()?;
        let router = reach.routers(route, *last_router).next()?;
        *last_router = router;
        // A pattern is asked for as such, whatever the path was at a peer that could not serve it.
        let event = match &self.initiator {
            Initiator::Peer(forward) if sought == Destination::Path => Some(forward.event()),
            _ => None,
        };
        Some(Step { event: event.cloned().map(Box::new), ..Step::onward(router, sought) })
    }
}

/// Where a tick goes.
#[derive(Debug)]
pub(crate) enum TickPlace {
    /// It has capacity on that link.
    Send(LinkId),
    /// It waits for capacity on that link.
    Wait(LinkId, Instant),
    /// No peer of its plan can take it.
    Nowhere(Error),
}

/// Walks the plan of a tick: to the first peer that has capacity, else, if it may wait, to the
/// first that is joined and takes its size.
pub(crate) fn place_tick<T>(
    tick: &mut OutboundTick<T>,
    reach: &Reach<'_, T>,
    env: &Env<T>,
) -> TickPlace {
    let bytes = tick.message.payload.len();
    let cost = cost(bytes);
    let (mut full, mut small) = (None, None);
    for step in std::iter::once(&tick.plan.first).chain(&tick.plan.alternates) {
        let Some((link, outbound)) = reach.outbound(step) else { continue };
        let reserved = tick.plan.room == Some(link);
        if !outbound.fits(bytes) {
            small = small.or(Some(outbound.peer_message_bytes()));
            if reserved {
                outbound.return_tick(cost);
                // Another step may lead to the same peer.
                tick.plan.room = None;
            }
        } else if reserved || outbound.take_tick(cost) {
            name_for(&mut tick.message, step);
            return TickPlace::Send(link);
        } else {
            full = full.or(Some((link, step)));
        }
    }
    match (full, small, tick.until) {
        (Some((link, step)), _, Some(until)) => {
            name_for(&mut tick.message, step);
            TickPlace::Wait(link, until)
        }
        (None, Some(max), _) => TickPlace::Nowhere(too_large(bytes, max)),
        // The first choice left between the caller's look at the directory and now, and no other
        // peer can take it.
        _ => TickPlace::Nowhere(lost_unsent(&tick.receiver(reach, env))),
    }
}
