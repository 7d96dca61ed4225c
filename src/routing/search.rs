//! A search among the peers of a router: whom a forwarded message is placed with, and who is named to those who choose themselves.
//!
//! It must not know how the message came, nor who is asked when nobody is found.

#[cfg(test)]
mod tests;

use std::slice;
use std::time::Instant;

use super::candidates::{Candidates, Question};
use super::directory::{Directory, PeerEntry};
use super::filter::{Compiled, Filter, FilterCache};
use super::path::PathPattern;
use super::plan::{Destination, Step, make_plan};
use super::strategy::{Strategy, hash_of};
use crate::config::{DIRECTORY_PAGE, DIRECTORY_PAGE_BYTES, LOOP_CLAUSES};
use crate::error::Error;
use crate::event::EventName;
use crate::id::NodeId;
use crate::node_event::Directions;
use crate::options::Options;

/// Who is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    /// Only this one.
    pub(crate) id: Option<NodeId>,
    pub(crate) filter: Option<Filter>,
    /// Only those that serve a path of this pattern.
    pub(crate) pattern: Option<PathPattern>,
    /// Who asked first is never found, and no router is.
    pub(crate) origin: NodeId,
}

/// Which of those who match are named.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Only those behind this one, in the order of the bytes of their ids.
    pub(crate) after: Option<NodeId>,
    /// At most that many.
    pub(crate) limit: usize,
}

impl Search {
    /// For whom a message is that is called `event`.
    ///
    /// # Errors
    /// `INVALID_FILTER` when the bytes are none, `INVALID_PATH` when the event is neither a path nor a pattern. What else may be wrong with
    /// a filter is seen when it is compiled.
    pub(crate) fn new(
        destination: &Destination,
        filters: &mut FilterCache,
        event: &EventName,
        origin: NodeId,
    ) -> Result<Self, Error> {
        let anybody = Self { id: None, filter: None, pattern: None, origin };
        Ok(match destination {
            Destination::Id(id) => Self { id: Some(id.clone()), ..anybody },
            Destination::Filter(bytes) => Self { filter: Some(filters.get(bytes)?), ..anybody },
            Destination::Path => {
                Self { pattern: Some(PathPattern::new(event.as_str())?), ..anybody }
            }
        })
    }

    /// For all that a filter matches, which is encoded here.
    ///
    /// # Errors
    /// `INVALID_FILTER` when the bytes are none.
    pub(crate) fn by_filter(
        bytes: &[u8],
        filters: &mut FilterCache,
        origin: NodeId,
    ) -> Result<Self, Error> {
        Ok(Self { id: None, filter: Some(filters.get(bytes)?), pattern: None, origin })
    }

    /// Whether it takes so little time that the loop itself may look. No filter is compiled to know that unless this, too, takes little.
    pub(crate) fn is_light(&self, directory: &Directory) -> bool {
        if self.id.is_some() {
            return true;
        }
        let (mut clauses, mut scope) = (1, directory.scope(None));
        if let Some(filter) = &self.filter {
            let Some(of_filter) = filter.light_clauses() else { return false };
            // What is wrong with it is said at once.
            let Ok(compiled) = filter.compiled() else { return true };
            (clauses, scope) = (of_filter.max(1), directory.scope(Some(compiled)));
        }
        clauses * scope.most() <= LOOP_CLAUSES
            && self.pattern.as_ref().is_none_or(|pattern| few_names(directory, pattern))
    }

    /// Whom to place the message with, one after the other: the first choice of the strategy and its alternates. Empty if nobody will do. Where
    /// a pattern is asked for, each step says which of its paths it is there: the one that this peer has registered first.
    ///
    /// # Errors
    /// `INVALID_FILTER`.
    pub(crate) fn steps(
        &self,
        directory: &Directory,
        strategy: &dyn Strategy,
        rng: fastrand::Rng,
        now: Instant,
    ) -> Result<Vec<Step>, Error> {
        let question = Question {
            id: self.id.as_ref().map(NodeId::as_str),
            filter: self.compiled()?,
            predicate: None,
            directions: Directions::BOTH,
            own: None,
            pattern: self.pattern.as_ref(),
            except: slice::from_ref(&self.origin),
            left_out: &[],
            no_routers: true,
            is_copy: false,
            number: &|| self.number(),
        };
        let mut candidates = Candidates::new(directory, &question, rng, now);
        let chosen = make_plan(strategy, &mut candidates);
        chosen.iter().map(|peer| self.step(peer)).collect()
    }

    /// All that match, page by page, and whether there are others behind the last one. A page has at most [`DIRECTORY_PAGE`] peers and
    /// [`DIRECTORY_PAGE_BYTES`], but one peer if there is any.
    ///
    /// # Errors
    /// `INVALID_FILTER`.
    pub(crate) fn page(
        &self,
        directory: &Directory,
        page: &Page,
    ) -> Result<(Vec<(NodeId, Options)>, bool), Error> {
        let filter = self.compiled()?;
        let scope = match &self.id {
            Some(id) => directory.only(id.as_str()),
            None => directory.scope(filter),
        };
        let is_behind = |peer: &PeerEntry| page.after.as_ref().is_none_or(|id| peer.id > *id);
        let mut found: Vec<&PeerEntry> = directory
            .walk(&scope, None)
            .map(|peer| &**peer)
            .filter(|peer| is_behind(peer) && self.means(filter, peer))
            .collect();
        let (all, most) = (found.len(), page.limit.min(DIRECTORY_PAGE));
        if all > most {
            // Only those of this page are put in order: there may be thousands behind them.
            found.select_nth_unstable_by(most, |a, b| a.id.cmp(&b.id));
            found.truncate(most);
        }
        found.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let (mut bytes, mut encoded) = (0, Vec::new());
        let fits = |peer: &&&PeerEntry| {
            encoded.clear();
            peer.options.put(&mut encoded);
            // The heads of the pair and of its id take four bytes at most.
            bytes += 4 + peer.id.as_str().len() + encoded.len();
            bytes <= DIRECTORY_PAGE_BYTES
        };
        let named = found.iter().take_while(fits).count().max(1).min(found.len());
        found.truncate(named);
        let peers = found.iter().map(|peer| (peer.id.clone(), peer.options.clone())).collect();
        Ok((peers, all > named))
    }

    fn compiled(&self) -> Result<Option<&Compiled>, Error> {
        self.filter.as_ref().map(Filter::compiled).transpose()
    }

    /// Whether this peer is one of those who are looked for.
    fn means(&self, filter: Option<&Compiled>, peer: &PeerEntry) -> bool {
        peer.face(Directions::BOTH).is_some()
            && peer.id != self.origin
            && !peer.options.is_router()
            && filter.is_none_or(|filter| filter.matches(&peer.options))
            && self.pattern.as_ref().is_none_or(|pattern| peer.services.paths().serves(pattern))
    }

    fn step(&self, peer: &PeerEntry) -> Result<Step, Error> {
        let path = self.pattern.as_ref().and_then(|pattern| peer.services.paths().first(pattern));
        let event = path.map(|path| EventName::new(path.as_str()).map(Box::new)).transpose()?;
        Ok(Step { event, ..Step::new(peer.key, Directions::BOTH) })
    }

    /// The same for all searches for the same.
    fn number(&self) -> u64 {
        let id = self.id.as_ref().map_or(0, hash_of);
        let filter = self.filter.as_ref().map_or(0, Filter::fingerprint);
        id ^ filter ^ self.pattern.as_ref().map_or(0, hash_of)
    }
}

/// Whether few names of services are to be looked at, of few peers. No more are looked at to know that.
fn few_names(directory: &Directory, pattern: &PathPattern) -> bool {
    let mut names = 0;
    directory.iter().all(|peer| {
        names += peer.services.looks(pattern);
        names <= LOOP_CLAUSES
    })
}
