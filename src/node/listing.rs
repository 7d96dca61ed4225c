//! Whom routers know, for calls that choose among several themselves: by a closure, by a strategy of their own, or with exceptions.
//!
//! The caller's thread asks one router after the other and chooses among those that the first of them names. It must not send the message.

use std::sync::Arc;
use std::time::Instant;

use super::choose::{Wanted, among};
use super::core::Core;
use super::terms::{half_way, out_of_time};
use crate::config::{DIRECTORY_PAGE, ROUTER_MATCHES};
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{NodeId, PeerKey};
use crate::node_event::{Direction, Directions};
use crate::options::Options;
use crate::proto::{Command, DirectoryQuestion, Done};
use crate::routing::{Directory, Pace, PeerEntry, Services, Strategy, make_plan};

/// Somebody whom a router knows.
type Known = (NodeId, Options);

/// What came of asking routers who matches.
pub(super) enum Listed {
    /// Whom to send to through that router: the first choice, then its alternates.
    Chosen { router: Arc<PeerEntry>, ids: Vec<NodeId> },
    /// Nobody of those whom these routers named.
    Nobody { asked: Vec<NodeId>, unheard: Unheard },
}

/// Routers that may know somebody and have named nobody.
#[derive(Default)]
pub(super) struct Unheard {
    /// It does not tell.
    pub(super) untold: Option<NodeId>,
    /// What came of asking one that had no room, was lost, or did not answer in time.
    pub(super) failed: Option<Error>,
}

impl Core {
    /// Chooses among those whom the first of these routers knows that knows anybody who will do.
    pub(super) fn choose_behind(
        &self,
        routers: Vec<Arc<PeerEntry>>,
        wanted: Wanted<'_>,
        strategy: Option<&dyn Strategy>,
        deadline: Instant,
    ) -> Result<Listed, Error> {
        let filter = wanted.selector.encoded();
        let (mut asked, mut unheard) = (Vec::new(), Unheard::default());
        let mut left = routers.len();
        for router in routers {
            left -= 1;
            // One that does not answer leaves time to those behind it.
            let until = if left > 0 { half_way(deadline) } else { deadline };
            let known = self.matches_behind(&router, &filter, until);
            let known = known.or_else(|error| self.pass_over(&router, error, &mut unheard))?;
            let chosen = self.choose_among(&behind(&router, known), wanted, strategy)?;
            if Instant::now() >= deadline {
                let why = "the time of the call was over before a router had told who is there";
                return Err(out_of_time(why));
            }
            let ids: Vec<_> = chosen.iter().map(|peer| peer.id.clone()).collect();
            if !ids.is_empty() {
                return Ok(Listed::Chosen { router, ids });
            }
            asked.push(router.id.clone());
        }
        Ok(Listed::Nobody { asked, unheard })
    }

    /// Whom this router knows that the filter matches, page by page.
    fn matches_behind(
        &self,
        router: &PeerEntry,
        filter: &[u8],
        until: Instant,
    ) -> Result<Vec<Known>, Error> {
        let mut known: Vec<Known> = Vec::new();
        loop {
            let after = known.last().map(|(id, _)| id.clone());
            let question =
                DirectoryQuestion { filter: filter.to_vec(), after, limit: DIRECTORY_PAGE as u32 };
            let (call, router) = (self.draw_call(), router.key);
            let deadline = until;
            let asked = self.ask(until, |token| Command::AskRouter {
                call,
                router,
                question,
                deadline,
                token,
            })?;
            let Some(Done::Peers { peers, more }) = asked else {
                return Err(out_of_time("the router has not told in time who is there"));
            };
            let goes_on = more && !peers.is_empty();
            known.extend(peers);
            if !goes_on || known.len() >= ROUTER_MATCHES {
                known.truncate(ROUTER_MATCHES);
                return Ok(known);
            }
        }
    }

    /// A router that does not answer, or does not tell, names nobody; what is wrong with this node or the call ends the call.
    fn pass_over(
        &self,
        router: &PeerEntry,
        error: Error,
        unheard: &mut Unheard,
    ) -> Result<Vec<Known>, Error> {
        self.open()?;
        match error.kind() {
            ErrorKind::InvalidFilter => return Err(error),
            ErrorKind::PredicateNotRoutable => {
                unheard.untold.get_or_insert_with(|| router.id.clone());
            }
            ErrorKind::Busy
            | ErrorKind::Backpressure
            | ErrorKind::ConnectionLost
            | ErrorKind::RequestTimeout => {
                // Whatever became of the question, the message was not sent.
                let error = error.clone().with_execution(Execution::Never);
                unheard.failed = Some(error.with_peer(router.id.clone()));
            }
            _ => {}
        }
        log::debug!(target: "threadmesh::node", "{}: {} does not tell who is there: {error}", self.id, router.id);
        Ok(Vec::new())
    }

    pub(super) fn choose_among(
        &self,
        directory: &Directory,
        wanted: Wanted<'_>,
        strategy: Option<&dyn Strategy>,
    ) -> Result<Vec<Arc<PeerEntry>>, Error> {
        // They stand in no direction of this node.
        let wanted = Wanted { directions: Directions::BOTH, ..wanted };
        let strategy = self.strategy_or(strategy);
        among(directory, wanted, false, |candidates| make_plan(strategy, candidates))
    }
}

/// These as strategies see peers: in the order of their ids, over the link with the router.
pub(super) fn behind(router: &PeerEntry, known: Vec<Known>) -> Directory {
    let mut directory = Directory::default();
    let (now, services) = (Instant::now(), Services::new(Vec::new()));
    for (key, (id, options)) in (1..).map(PeerKey).zip(known) {
        directory.insert(Arc::new(PeerEntry {
            key,
            id,
            options,
            services: services.clone(),
            up: router.face(Directions::BOTH).cloned(),
            down: None,
            older: Direction::Up,
            address: None,
            host: "".into(),
            is_local: false,
            pace: Arc::new(Pace::new(now)),
        }));
    }
    directory
}
