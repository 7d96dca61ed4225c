//! A plan: whom a message is for, in the order in which the engine tries them. The caller's thread makes it.

use std::sync::Arc;

use super::candidates::Candidates;
use super::directory::PeerEntry;
use super::strategy::Strategy;
use crate::config::{ALTERNATES, ROUTER_HOPS, ROUTERS_ASKED};
use crate::event::EventName;
use crate::id::{LinkId, NodeId, PeerKey};
use crate::node_event::Directions;

/// The first choice and its alternates. The engine takes the next step when a step ended with
/// [`Never`](crate::Execution::Never) because its link was lost, the peer is busy, has no room or takes no message of that size; in a
/// plan by path also because the peer serves no such path any more; and after nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) first: Step,
    /// At most [`ALTERNATES`] where a strategy chooses one; usually empty, which costs no heap.
    pub(crate) alternates: Vec<Step>,
    /// The link on whose gauge the caller has taken room for the first step; `None` if it was full and the message waits.
    pub(crate) room: Option<LinkId>,
    /// Whether the message may stand in line where there is no room.
    pub(crate) waits: bool,
    /// Whether it is for whoever serves a path, so that a peer which does so no more is passed over.
    pub(crate) by_path: bool,
    /// Present if routers take part.
    pub(crate) route: Option<Box<Route>>,
}

/// One peer to try, over a link of one of these directions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    pub(crate) peer: PeerKey,
    pub(crate) directions: Directions,
    /// What the message is called there, where the steps of a plan differ in that: then each of them says so.
    pub(crate) event: Option<Box<EventName>>,
    /// The peer is a router, and this is with whom it shall place the message.
    pub(crate) onward: Option<Box<Destination>>,
}

impl Step {
    pub(crate) fn new(peer: PeerKey, directions: Directions) -> Self {
        Self { peer, directions, event: None, onward: None }
    }

    /// To a router, over whichever link there is.
    pub(crate) fn onward(router: PeerKey, destination: Destination) -> Self {
        Self { onward: Some(Box::new(destination)), ..Self::new(router, Directions::BOTH) }
    }
}

/// Whom routers are to place a message with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Destination {
    Id(NodeId),
    /// One that a filter matches, which is encoded here.
    Filter(Arc<[u8]>),
    /// One that serves the path, or a path of the pattern, that the event is.
    Path,
}

/// How a message goes through routers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Route {
    /// Whom routers are asked for once the steps are used up, one router after the other; `None` if none is.
    pub(crate) fallback: Option<Destination>,
    /// Who asked first; `None` is this node.
    pub(crate) origin: Option<NodeId>,
    /// Routers that are asked no more: those that were asked, and this node if it is one.
    pub(crate) visited: Vec<NodeId>,
    /// How many further routers each of them may ask one behind the other.
    pub(crate) hops_left: u8,
}

impl Route {
    /// That of a message of this node.
    pub(crate) fn new(fallback: Option<Destination>) -> Self {
        Self { fallback, origin: None, visited: Vec::new(), hops_left: ROUTER_HOPS }
    }

    /// A router was asked, or is not to be. What is said of more than may be is not kept: then nobody else is asked.
    pub(crate) fn visit(&mut self, router: &NodeId) {
        if !self.visited.contains(router) && self.visited.len() < ROUTERS_ASKED {
            self.visited.push(router.clone());
        }
    }

    /// Whether one more router may be asked.
    pub(crate) fn may_ask(&self, router: &NodeId) -> bool {
        self.visited.len() < ROUTERS_ASKED && !self.visited.contains(router)
    }
}

#[cfg(any(test, fuzzing, feature = "bench"))]
impl Plan {
    /// One peer and no alternate.
    pub(crate) fn one(step: Step, room: Option<LinkId>) -> Self {
        let (alternates, waits, by_path, route) = (Vec::new(), true, false, None);
        Self { first: step, alternates, room, waits, by_path, route }
    }
}

/// Whom a call is for: the first choice of the strategy, then its alternates. Empty if nobody will do.
pub(crate) fn make_plan(
    strategy: &dyn Strategy,
    candidates: &mut Candidates<'_>,
) -> Vec<Arc<PeerEntry>> {
    let mut chosen = Vec::with_capacity(1 + ALTERNATES);
    while chosen.len() <= ALTERNATES {
        let Some(next) = strategy.choose(candidates) else { break };
        let peer = Arc::clone(next.peer);
        candidates.take(peer.key);
        chosen.push(peer);
    }
    chosen
}
