//! From who is meant to who gets the message: filters, predicates and strategies, all on the caller's thread over one snapshot. It must
//! not send anything.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::core::Core;
use super::lock;
use super::lookup::{Choice, Lookup};
use super::selector::{Predicate, Selector};
use crate::config::{INDEXED_KEYS, INDEXED_PEERS};
use crate::error::{Error, ErrorKind};
use crate::event::EventName;
use crate::id::NodeId;
use crate::node_event::{Directions, NodeEvent};
use crate::options::Options;
use crate::proto::Command;
use crate::routing::{Candidates, Directory, PeerEntry, Question, Random, Strategy, make_plan};

/// Whom a call is for, and how one of several is chosen.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) selector: &'a Selector,
    pub(super) directions: Directions,
    /// None of these.
    pub(super) except: &'a [NodeId],
    /// It is a further copy of a call that has been placed.
    pub(super) is_copy: bool,
}

impl Core {
    /// The first choice and its alternates; `None` if nobody matches.
    pub(super) fn choose(
        &self,
        wanted: Wanted<'_>,
        strategy: Option<&dyn Strategy>,
    ) -> Result<Option<Lookup>, Error> {
        let directory = self.directory();
        self.index(&directory, wanted.selector)?;
        let strategy = self.strategy_or(strategy);
        // Asking anybody at all must not end at the switchboard.
        let no_routers = wanted.selector.is_anything();
        let chosen =
            among(&directory, wanted, no_routers, |candidates| make_plan(strategy, candidates))?;
        let mut chosen = chosen.into_iter().map(Choice::new);
        let Some(first) = chosen.next() else { return Ok(None) };
        let one = Lookup::one(first, wanted.directions);
        Ok(Some(Lookup { alternates: chosen.collect(), ..one }))
    }

    /// How one of several is chosen: as the call says, else as the node does.
    pub(super) fn strategy_or<'s>(
        &'s self,
        strategy: Option<&'s dyn Strategy>,
    ) -> &'s dyn Strategy {
        strategy.or(self.strategy.as_deref()).unwrap_or(&Random)
    }

    /// Everybody who matches, in join order.
    pub(super) fn select(&self, wanted: Wanted<'_>) -> Result<Vec<Arc<PeerEntry>>, Error> {
        let directory = self.directory();
        self.index(&directory, wanted.selector)?;
        among(&directory, wanted, false, |candidates| {
            candidates.iter().map(|candidate| Arc::clone(candidate.peer)).collect()
        })
    }

    /// The first who matches, in join order.
    pub(super) fn first<'d>(
        &self,
        directory: &'d Directory,
        selector: &Selector,
    ) -> Result<Option<&'d Arc<PeerEntry>>, Error> {
        let wanted = Wanted { selector, directions: Directions::BOTH, except: &[], is_copy: false };
        self.index(directory, selector)?;
        let first = among(directory, wanted, false, |candidates| {
            candidates.after(None).map(|candidate| candidate.rank())
        })?;
        Ok(first.and_then(|rank| directory.at(rank)))
    }

    /// Has the engine keep the peers by what this selector looks for, once it pays.
    fn index(&self, directory: &Directory, selector: &Selector) -> Result<(), Error> {
        let Some(filter) = &selector.filter else { return Ok(()) };
        if directory.len() < INDEXED_PEERS || self.all_indexed.load(Relaxed) {
            return Ok(());
        }
        for (key, _) in filter.compiled()?.equalities() {
            if !directory.is_indexed(key) && self.asks_for_index(key) {
                // If the loop has a backlog just now, the next call asks again.
                let command = Command::Index { key: key.to_owned() };
                if self.post_until(command, Instant::now).is_err() {
                    lock(&self.indexed).retain(|asked| asked != key);
                    self.all_indexed.store(false, Relaxed);
                }
            }
        }
        Ok(())
    }

    fn asks_for_index(&self, key: &str) -> bool {
        let mut asked = lock(&self.indexed);
        let asks = asked.len() < INDEXED_KEYS && !asked.iter().any(|before| before == key);
        if asks {
            asked.push(key.to_owned());
        }
        self.all_indexed.store(asked.len() >= INDEXED_KEYS, Relaxed);
        asks
    }

    /// Nobody matches.
    pub(super) fn no_match(&self, wanted: Wanted<'_>, event: &EventName) -> Error {
        self.no_match_and(wanted, event, &self.who_else(wanted))
    }

    /// The same, saying this as well.
    pub(super) fn no_match_and(&self, wanted: Wanted<'_>, event: &EventName, and: &str) -> Error {
        let Wanted { selector, directions, .. } = wanted;
        if let Selector { id: Some(id), filter: None, predicate: None } = selector {
            return self.not_found(id, directions);
        }
        let whom = match (directions.up, directions.down) {
            (true, true) => "peer",
            (true, false) => "upstream peer",
            (false, true) => "downstream peer",
            (false, false) => "peer, as no direction is allowed,",
        };
        let message = format!("no {whom} for {:?} matches {selector}; {and}", event.as_str());
        let mut error = Error::new(ErrorKind::NoNodesMatchFilter, message)
            .with_context("event", event.as_str())
            .with_context("directions", directions);
        if let Some(filter) = &selector.filter {
            error = error.with_context("filter", filter);
        }
        if let Some(predicate) = &selector.predicate {
            error = error.with_context("predicate", predicate.place);
        }
        error
    }

    /// What helps somebody who wonders why nobody matches.
    fn who_else(&self, wanted: Wanted<'_>) -> String {
        let Wanted { selector, directions, except, .. } = wanted;
        let directory = self.directory();
        let anybody = selector.is_anything();
        // A predicate is not asked about peers that the call is not about.
        let narrowed = directions != Directions::BOTH || !except.is_empty();
        let looks = narrowed && selector.predicate.is_none();
        let anywhere = Wanted { directions: Directions::BOTH, except: &[], ..wanted };
        let name = |among: &mut Candidates<'_>| among.after(None).map(|peer| peer.id().clone());
        let other = looks.then(|| among(&directory, anywhere, anybody, name));
        if let Some(Ok(Some(other))) = other {
            return format!("{other} does, but not in that direction, or the call excepts it");
        }
        let connected = match directory.len() {
            0 => return "no peer is connected".to_owned(),
            1 => "1 peer is connected".to_owned(),
            peers => format!("{peers} peers are connected"),
        };
        let why = if anybody {
            "routers are passed over when anybody will do"
        } else {
            "`explain` says why each does not match"
        };
        format!("{connected}; {why}")
    }

    /// Nobody matches, which the program may want to know apart from the call.
    pub(super) fn tell_no_match(&self, error: &Error) {
        if error.kind() == ErrorKind::NoNodesMatchFilter && self.home.is_here() {
            log::debug!(target: "threadmesh::node", "{}: {error}", self.id);
            self.hub.publish(&NodeEvent::Error(error.clone()));
        }
    }
}

#[cfg(feature = "bench")]
impl super::handle::Handle {
    /// Whom a call to any would be sent to first.
    pub(crate) fn chosen(
        &self,
        selector: &Selector,
        strategy: &dyn Strategy,
    ) -> Result<Option<NodeId>, Error> {
        let wanted = Wanted { selector, directions: Directions::BOTH, except: &[], is_copy: false };
        let chosen = self.core().choose(wanted, Some(strategy))?;
        Ok(chosen.map(|lookup| lookup.peer().clone()))
    }
}

/// Lets somebody look at the candidates; a panic of the program's code is the error.
pub(super) fn among<R>(
    directory: &Directory,
    wanted: Wanted<'_>,
    no_routers: bool,
    look: impl FnOnce(&mut Candidates<'_>) -> R,
) -> Result<R, Error> {
    let Wanted { selector, directions, except, is_copy } = wanted;
    let filter = selector.filter.as_ref().map(|filter| filter.compiled()).transpose()?;
    let predicate = selector.predicate.as_ref().map(|predicate| &*predicate.test);
    let predicate: Option<&dyn Fn(&Options) -> bool> =
        predicate.map(|test| test as &dyn Fn(&Options) -> bool);
    let number = || selector.number() ^ u64::from(directions.up) ^ u64::from(directions.down) << 1;
    let id = selector.id.as_deref();
    let question = Question {
        id,
        filter,
        predicate,
        directions,
        own: None,
        pattern: None,
        except,
        left_out: &[],
        no_routers,
        is_copy,
        number: &number,
    };
    let mut candidates =
        Candidates::new(directory, &question, fastrand::Rng::new(), Instant::now());
    let looked = catch_unwind(AssertUnwindSafe(|| look(&mut candidates)));
    looked.map_err(|_| {
        let predicate = selector.predicate.as_ref();
        panicked(predicate.filter(|_| candidates.is_in_predicate()))
    })
}

/// The program's closure has panicked; its text went where the program's panics go.
fn panicked(predicate: Option<&Predicate>) -> Error {
    let why = match predicate {
        Some(predicate) => {
            format!("the predicate at {} panicked; nothing was sent", predicate.place)
        }
        None => "the strategy of the call panicked; nothing was sent".to_owned(),
    };
    Error::new(ErrorKind::UserCodePanicked, why)
}
