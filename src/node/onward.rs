//! Calls that go through routers, from the caller's side: whose turn it is among the routers, and what is said when they find nobody.
//!
//! It must not decide which calls these are, nor who is chosen.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::choose::Wanted;
use super::core::Core;
use super::selector::Selector;
use crate::error::{Error, ErrorKind, Execution, ROUTERS};
use crate::event::EventName;
use crate::id::NodeId;
use crate::node_event::Directions;
use crate::routing::{Destination, Directory, PathPattern, PeerEntry, Route};

/// That a call goes through routers, or may, and what is needed to say that they found nobody.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(super) route: Route,
    pub(super) sought: Sought,
    /// The router that is asked first, if no peer will do.
    pub(super) router: Option<NodeId>,
}

/// Whom routers are to find.
#[derive(Debug)]
pub(super) enum Sought {
    Id(NodeId),
    Any { selector: Selector, directions: Directions, except: Vec<NodeId>, event: EventName },
    Path(PathPattern),
}

impl Routed {
    /// What the call is told instead of this error, if it says that the routers found nobody. To be asked once: what came of a call to
    /// any is an event as well.
    pub(super) fn explain(&self, core: &Core, error: Error) -> Error {
        let expected = match &self.sought {
            Sought::Id(_) => error.kind() == ErrorKind::NodeNotFound,
            // Somebody who was chosen by id, and has left meanwhile, matches no more.
            Sought::Any { .. } => {
                matches!(error.kind(), ErrorKind::NoNodesMatchFilter | ErrorKind::NodeNotFound)
            }
            Sought::Path(_) => error.kind() == ErrorKind::NotFound,
        };
        if !expected || error.execution() != Execution::Never {
            return error;
        }
        let asked = error.context(ROUTERS).map(str::to_owned);
        let asked = asked.or_else(|| self.router.as_ref().map(NodeId::to_string));
        match asked {
            Some(asked) => self.sought.nobody(core, &asked),
            None => error,
        }
    }
}

impl Sought {
    /// No peer will do, and these routers know nobody.
    pub(super) fn nobody(&self, core: &Core, routers: &str) -> Error {
        let found = if routers.is_empty() {
            "no router could be asked".to_owned()
        } else if routers.contains(", ") {
            format!("the routers {routers} found nobody either")
        } else {
            format!("the router {routers} found nobody either")
        };
        let error = match self {
            Self::Id(id) => {
                let why = format!("{:?} is not connected, and {found}", id.as_str());
                Error::new(ErrorKind::NodeNotFound, why).with_peer(id.clone())
            }
            Self::Any { selector, directions, except, event } => {
                let (directions, is_copy) = (*directions, false);
                core.no_match_and(Wanted { selector, directions, except, is_copy }, event, &found)
            }
            Self::Path(pattern) => {
                let why = format!("no known node serves {:?}, and {found}", pattern.as_str());
                Error::new(ErrorKind::NotFound, why)
                    .with_context("path", pattern.as_str())
                    .with_context("found", "remote")
            }
        };
        let error = if routers.is_empty() { error } else { error.with_context(ROUTERS, routers) };
        core.tell_no_match(&error);
        error
    }
}

impl Core {
    /// The routers that may be asked, beginning with the one whose turn it is, and those that have no room behind the others. The next call
    /// begins with the next.
    pub(super) fn routers(&self, directory: &Directory, except: &[NodeId]) -> Vec<Arc<PeerEntry>> {
        let routers = directory.routers().iter().filter_map(|key| directory.by_key(*key));
        let asked = routers.filter(|router| {
            router.face(Directions::BOTH).is_some() && !except.contains(&router.id)
        });
        let mut asked: Vec<Arc<PeerEntry>> = asked.cloned().collect();
        if asked.len() > 1 {
            let behind = |last| asked.partition_point(|router| router.key.0 <= last) % asked.len();
            let turn = |last| Some(asked[behind(last)].key.0);
            let last = self.last_router.fetch_update(Relaxed, Relaxed, turn);
            let first = behind(last.unwrap_or_else(|last| last));
            asked.rotate_left(first);
            // Noted once each: what a gauge says may change while they are put in order.
            asked.sort_by_cached_key(|router| {
                let face = router.face(Directions::BOTH);
                !face.is_some_and(|face| face.gauge.has_call_slot())
            });
        }
        asked
    }
}

/// The way through routers to this destination, for a call of this node. Routers that the call excepts are not asked.
pub(super) fn route(
    directory: &Directory,
    fallback: Option<Destination>,
    except: &[NodeId],
) -> Route {
    let mut route = Route::new(fallback);
    let is_router =
        |id: &&NodeId| directory.get(id.as_str()).is_some_and(|peer| peer.options.is_router());
    except.iter().filter(is_router).for_each(|router| route.visit(router));
    route
}
