//! A plan: whom a message is for, in the order in which the engine tries them. The caller's thread makes it.

use std::sync::Arc;

use super::candidates::Candidates;
use super::directory::PeerEntry;
use super::strategy::Strategy;
use crate::config::ALTERNATES;
use crate::event::EventName;
use crate::id::{LinkId, PeerKey};
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
}

/// One peer to try, over a link of one of these directions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    pub(crate) peer: PeerKey,
    pub(crate) directions: Directions,
    /// What the message is called there, where the steps of a plan differ in that: then each of them says so.
    pub(crate) event: Option<Box<EventName>>,
}

impl Step {
    pub(crate) fn new(peer: PeerKey, directions: Directions) -> Self {
        Self { peer, directions, event: None }
    }
}

#[cfg(any(test, fuzzing))]
impl Plan {
    /// One peer and no alternate.
    pub(crate) fn one(step: Step, room: Option<LinkId>) -> Self {
        Self { first: step, alternates: Vec::new(), room, waits: true, by_path: false }
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
