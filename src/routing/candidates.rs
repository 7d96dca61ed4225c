//! The peers that a call may go to, as a strategy sees them: drawn, walked and asked one by one, never collected without need.
//!
//! It must not decide who is chosen.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::directory::{Directory, PeerEntry, Scope};
use super::filter::Compiled;
use super::path::PathPattern;
use crate::id::{NodeId, PeerKey};
use crate::node_event::Directions;
use crate::options::Options;

/// So many peers are drawn and asked before all are: enough to find one in ten nearly always, little beside asking thousands.
const DRAWS: usize = 64;
/// A draw that misses costs little, and so many times as many as those that hit are made at most.
const MISSES: usize = 4;
/// After a look at more peers than this it pays to keep those who match.
const MANY: usize = 256;
/// When there are no more than this they are all asked once, which costs less than drawing them again and again.
const FEW: usize = 16;

/// Whom a call is for, as far as strategies need not know.
pub(crate) struct Question<'a> {
    /// Only this one.
    pub(crate) id: Option<&'a str>,
    pub(crate) filter: Option<&'a Compiled>,
    pub(crate) predicate: Option<&'a dyn Fn(&Options) -> bool>,
    pub(crate) directions: Directions,
    /// The node itself, where it may be chosen, too.
    pub(crate) own: Option<&'a Arc<PeerEntry>>,
    /// Only those that serve a path of this pattern.
    pub(crate) pattern: Option<&'a PathPattern>,
    /// Never these.
    pub(crate) except: &'a [NodeId],
    /// Nor these, in ascending order: there may be thousands.
    pub(crate) left_out: &'a [PeerKey],
    /// None that says it is a router.
    pub(crate) no_routers: bool,
    /// It is a further copy of a call that has been placed.
    pub(crate) is_copy: bool,
    /// The same for all calls that ask for the same.
    pub(crate) number: &'a dyn Fn() -> u64,
}

/// The peers that a call may go to, and whose filter, predicate and directions say so: what a [`Strategy`](crate::Strategy)
/// chooses from. A snapshot: it does not change while the strategy looks at it.
///
/// Nothing is collected until it is asked for. [`sample`](Self::sample) draws a few peers and costs the same in a large mesh as in a small
/// one, unless hardly any peer matches; [`iter`](Self::iter) looks at them all.
///
/// In a call by path these are the nodes that serve a path that is meant, and the node that calls may be one of them: then it is
/// the first, as if it had joined before all others, and is drawn with the same chance as each of them. To draw looks at all nodes then.
pub struct Candidates<'a> {
    directory: &'a Directory,
    question: &'a Question<'a>,
    scope: Scope<'a>,
    /// Chosen before for the same call.
    taken: Vec<PeerKey>,
    /// All that match, once somebody had to look at all, in join order.
    all: OnceCell<Vec<&'a Arc<PeerEntry>>>,
    rng: RefCell<fastrand::Rng>,
    now: Instant,
    /// The program's predicate runs.
    in_predicate: Cell<bool>,
    /// How many peers were looked at.
    looked: Cell<usize>,
}

impl<'a> Candidates<'a> {
    pub(crate) fn new(
        directory: &'a Directory,
        question: &'a Question<'a>,
        rng: fastrand::Rng,
        now: Instant,
    ) -> Self {
        let scope = match question.id {
            Some(id) => directory.only(id),
            None => directory.scope(question.filter),
        };
        Self {
            directory,
            question,
            scope,
            taken: Vec::new(),
            all: OnceCell::new(),
            rng: RefCell::new(rng),
            now,
            in_predicate: Cell::new(false),
            looked: Cell::new(0),
        }
    }

    /// One of the candidates, each with the same chance; `None` if there is none.
    pub fn sample(&self) -> Option<Candidate<'a>> {
        self.draw(&|_| true)
    }

    /// The same, without one of them: for those who compare two.
    pub fn sample_other(&self, than: Candidate<'_>) -> Option<Candidate<'a>> {
        self.draw(&|peer| peer.key != than.peer.key)
    }

    /// One of the candidates that are good enough, each with the same chance.
    pub(crate) fn draw(&self, suits: &dyn Fn(&PeerEntry) -> bool) -> Option<Candidate<'a>> {
        if self.all.get().is_none() && self.scope.most() > FEW && self.is_foreign() {
            let mut drawn = (0..DRAWS * MISSES)
                .filter_map(|_| self.directory.draw(&self.scope, |below| self.random(below)));
            let is_good = |peer: &&'a Arc<PeerEntry>| {
                !self.taken.contains(&peer.key) && suits(peer) && self.matches(peer)
            };
            if let Some(peer) = drawn.by_ref().take(DRAWS).find(is_good) {
                return Some(self.candidate(peer));
            }
        }
        let all = self.all();
        let is_left = |peer: &&&Arc<PeerEntry>| !self.taken.contains(&peer.key) && suits(peer);
        let left = all.iter().filter(is_left).count();
        let nth = if left == 0 { return None } else { self.random(left) };
        all.iter().filter(is_left).nth(nth).map(|peer| self.candidate(peer))
    }

    /// All candidates, in the order in which they joined.
    pub fn iter(&self) -> impl Iterator<Item = Candidate<'a>> + '_ {
        // Who walks once for the first choice walks again for each alternate: those share one walk.
        let kept = if self.is_alternate() { Some(self.all()) } else { self.all.get() };
        let kept = kept.map(Vec::as_slice);
        let walked = if kept.is_none() { Some(self.walk(None)) } else { None };
        let peers = kept.unwrap_or_default().iter().copied().chain(walked.into_iter().flatten());
        let is_left = |peer: &&'a Arc<PeerEntry>| !self.taken.contains(&peer.key);
        peers.filter(is_left).map(|peer| self.candidate(peer))
    }

    /// The first candidate that joined after that one, or the first of all behind the last: whose turn it is. A rank stays good when
    /// the peer that had it has left.
    pub fn after(&self, rank: Option<Rank>) -> Option<Candidate<'a>> {
        let is_left = |peer: &&'a Arc<PeerEntry>| !self.taken.contains(&peer.key);
        // A search that was long for the first choice would be as long for each alternate.
        let all = if self.looked.get() > MANY { Some(self.all()) } else { self.all.get() };
        if let Some(all) = all {
            let behind = all.partition_point(|peer| rank.is_some_and(|rank| peer.key <= rank.0));
            let (before, after) = all.split_at(behind);
            let next = after.iter().chain(before).copied().find(is_left);
            return next.map(|peer| self.candidate(peer));
        }
        let behind = rank.and_then(|rank| self.walk(Some(rank.0)).find(is_left));
        let peer = behind.or_else(|| self.walk(None).find(is_left));
        peer.map(|peer| self.candidate(peer))
    }

    /// The candidate of that id, if it is one.
    pub fn get(&self, id: &str) -> Option<Candidate<'a>> {
        let own = self.question.own.filter(|own| own.id == *id);
        let peer = own.or_else(|| self.directory.get(id));
        let peer = peer.filter(|_| self.question.id.is_none_or(|only| only == id))?;
        let suits = !self.taken.contains(&peer.key) && self.matches(peer);
        suits.then(|| self.candidate(peer))
    }

    /// Whether a first choice has been made for this call: then the strategy is asked for whom to try when that one cannot take the
    /// message, as [`Handle::any`](crate::Handle::any) says. Turns and memories are for first choices.
    ///
    /// The same holds for the further copies of a hedged call.
    pub fn is_alternate(&self) -> bool {
        self.question.is_copy || !self.taken.is_empty()
    }

    /// A number that is the same for calls with the same filter, predicate and directions: for strategies that take turns.
    pub fn question(&self) -> u64 {
        (self.question.number)()
    }

    /// A random number below `below`, and 0 for 0.
    pub fn random(&self, below: usize) -> usize {
        if below == 0 { 0 } else { self.rng.borrow_mut().usize(..below) }
    }

    /// A random number from 0 to 1, 1 not included.
    pub fn random_fraction(&self) -> f64 {
        self.rng.borrow_mut().f64()
    }

    /// Who was chosen is a candidate no more.
    pub(crate) fn take(&mut self, peer: PeerKey) {
        self.taken.push(peer);
    }

    /// Whether the predicate, and not the strategy, is to blame for a panic just now.
    pub(crate) fn is_in_predicate(&self) -> bool {
        self.in_predicate.get()
    }

    /// How many peers are looked through at most.
    #[cfg(test)]
    pub(super) fn scope_most(&self) -> usize {
        self.scope.most()
    }

    /// All that match, collected once: who asked for one peer of thousands asks for its alternates next.
    fn all(&self) -> &Vec<&'a Arc<PeerEntry>> {
        self.all.get_or_init(|| self.walk(None).collect())
    }

    /// All that match, behind a key or from the first, taken or not.
    fn walk(&self, behind: Option<PeerKey>) -> impl Iterator<Item = &'a Arc<PeerEntry>> + '_ {
        let own = self.own().filter(|_| behind.is_none());
        let peers = self.directory.walk(&self.scope, behind);
        own.into_iter().chain(peers).filter(|peer| self.matches(peer))
    }

    /// The node itself, if the call may be for it at all: before all that ever joined.
    fn own(&self) -> Option<&'a Arc<PeerEntry>> {
        let is_meant = |own: &&Arc<PeerEntry>| self.question.id.is_none_or(|id| own.id == *id);
        self.question.own.filter(is_meant)
    }

    /// Whether the node itself is no candidate. If it is one, no draw among the peers would be fair to it.
    fn is_foreign(&self) -> bool {
        !self.own().is_some_and(|own| self.matches(own))
    }

    fn matches(&self, peer: &PeerEntry) -> bool {
        self.looked.set(self.looked.get() + 1);
        peer.face(self.question.directions).is_some()
            && self.question.filter.is_none_or(|filter| filter.matches(&peer.options))
            && !self.question.except.contains(&peer.id)
            && self.question.left_out.binary_search(&peer.key).is_err()
            && !(self.question.no_routers && peer.options.is_router())
            && self.question.pattern.is_none_or(|wanted| peer.services.paths().serves(wanted))
            && self.question.predicate.is_none_or(|test| self.test(test, &peer.options))
    }

    fn test(&self, predicate: &dyn Fn(&Options) -> bool, options: &Options) -> bool {
        self.in_predicate.set(true);
        let holds = predicate(options);
        self.in_predicate.set(false);
        holds
    }

    fn candidate(&self, peer: &'a Arc<PeerEntry>) -> Candidate<'a> {
        Candidate::new(peer, self.now)
    }
}

impl fmt::Debug for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidates").field("taken", &self.taken).finish_non_exhaustive()
    }
}

/// A peer's rank in the order of joining; never given twice while the node lives, so it stays good when its peer leaves. A peer that
/// comes back has a new one, behind all others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Rank(pub(super) PeerKey);

/// A peer that a call may go to, as a [`Strategy`](crate::Strategy) sees it; in a call by path it may be the node itself.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    pub(crate) peer: &'a Arc<PeerEntry>,
    now: Instant,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(peer: &'a Arc<PeerEntry>, now: Instant) -> Self {
        Self { peer, now }
    }

    /// Its id.
    pub fn id(&self) -> &'a NodeId {
        &self.peer.id
    }

    /// Its options, as of its last update.
    pub fn options(&self) -> &'a Options {
        &self.peer.options
    }

    /// The exact names of requests it handles, in the order in which it registered them.
    pub fn services(&self) -> &'a [String] {
        &self.peer.services
    }

    /// The directions in which links to it stand: none for the node itself.
    pub fn directions(&self) -> Directions {
        self.peer.directions()
    }

    /// The other end of the link that stands longest; means nothing for the node itself.
    pub fn address(&self) -> Option<SocketAddr> {
        self.peer.face(Directions::BOTH).map(|face| face.remote)
    }

    /// Whether it runs on the same host as this node: both have the same [`host`](crate::Builder::host), or both have none and the link
    /// does not leave this machine. The node itself does.
    pub fn is_local(&self) -> bool {
        self.peer.is_local
    }

    /// How many requests of this node it has not answered yet.
    pub fn pending(&self) -> u32 {
        let faces = self.peer.up.iter().chain(&self.peer.down);
        faces.map(|face| face.gauge.calls()).sum()
    }

    /// The peak-sensitive moving average of the time its answers took: a slower answer counts at once, faster ones little by little.
    /// `None` while there is none, or none since long.
    pub fn latency(&self) -> Option<Duration> {
        self.peer.pace.shown(self.now).latency
    }

    /// The share of its calls that failed lately, from 0 to 1: errors of handlers, timeouts, lost links, refusals.
    pub fn failing(&self) -> f32 {
        self.peer.pace.shown(self.now).failing
    }

    /// How loaded it looks: the pending requests and one more, times more the more its calls have failed lately. A peer that fails
    /// fast has few requests pending and would attract them all otherwise.
    pub fn load(&self) -> f64 {
        let penalty = self.peer.pace.shown(self.now).penalty();
        f64::from(self.pending() + 1) * f64::from(penalty)
    }

    /// Its rank in the order in which peers joined.
    pub fn rank(&self) -> Rank {
        Rank(self.peer.key)
    }
}

impl PartialEq for Candidate<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.peer.key == other.peer.key
    }
}

impl fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Candidate");
        out.field("id", self.id()).field("pending", &self.pending());
        out.field("latency", &self.latency()).field("failing", &self.failing()).finish()
    }
}
