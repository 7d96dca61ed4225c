//! The peers of a node as a snapshot: cheap to clone, cheap to change, in join order, by id, and by the values of some options.

mod chunks;
mod equal;
mod index;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use self::chunks::{Chunks, Span};
use self::equal::Equal;
use self::index::Index;
use super::candidates::Rank;
use super::filter::{Compiled, fingerprint};
use super::{Gauge, Pace, Services};
use crate::address::Address;
use crate::config::INDEXED_KEYS;
use crate::id::{LinkId, NodeId, PeerKey};
use crate::node_event::{Direction, Directions, PeerInfo};
use crate::options::{ID_KEY, Options};

/// What routing knows about one peer. Immutable; a change makes a new one.
#[derive(Clone, Debug)]
pub(crate) struct PeerEntry {
    /// Grows in join order.
    pub(crate) key: PeerKey,
    pub(crate) id: NodeId,
    pub(crate) options: Options,
    /// The exact names of requests it handles, in the order of registration there.
    pub(crate) services: Services,
    /// The link we dialled, if it stands.
    pub(crate) up: Option<LinkFace>,
    /// The link the peer dialled, if it stands.
    pub(crate) down: Option<LinkFace>,
    /// Which of the two is older: traffic that may use both stays on it.
    pub(crate) older: Direction,
    /// Where others can dial it, as it says, if it listens at all.
    pub(crate) address: Option<Address>,
    /// What its host is called: its own word, else the address it is reached at.
    pub(crate) host: Arc<str>,
    /// It runs on the host of this node.
    pub(crate) is_local: bool,
    /// How it has answered lately.
    pub(crate) pace: Arc<Pace>,
}

/// One link as callers see it.
#[derive(Clone, Debug)]
pub(crate) struct LinkFace {
    pub(crate) link: LinkId,
    pub(crate) remote: SocketAddr,
    pub(crate) gauge: Arc<Gauge>,
}

impl PeerEntry {
    /// The link that a message to this peer takes when these directions are allowed. The way to this node itself stands as
    /// [`up`](Self::up), and whoever limits the directions must leave this node out.
    pub(crate) fn face(&self, allowed: Directions) -> Option<&LinkFace> {
        let up = self.up.as_ref().filter(|_| allowed.up);
        let down = self.down.as_ref().filter(|_| allowed.down);
        match self.older {
            Direction::Up => up.or(down),
            Direction::Down => down.or(up),
        }
    }

    /// This node itself, as its calls by path see it: it has the shortest way there is, which is neither up nor down.
    pub(crate) fn is_own(&self) -> bool {
        self.key == PeerKey::OWN
    }

    pub(crate) fn directions(&self) -> Directions {
        if self.is_own() {
            return Directions::NONE;
        }
        Directions { up: self.up.is_some(), down: self.down.is_some() }
    }

    /// What the program is told about this peer; `None` while no link stands.
    pub(crate) fn info(&self) -> Option<PeerInfo> {
        let address = self.face(Directions::BOTH)?.remote;
        Some(PeerInfo {
            id: self.id.clone(),
            options: self.options.clone(),
            directions: self.directions(),
            address,
        })
    }
}

/// All joined peers, as of one moment. A clone is three pointers and never changes; a change copies one chunk of peers, one
/// bucket of the index, one or two chunks for each option that it changes and that is looked for, and the lists of those,
/// whatever the number of peers.
#[derive(Clone, Default, Debug)]
pub(crate) struct Directory {
    peers: Chunks<Arc<PeerEntry>>,
    /// Holds the key of exactly the peers in `peers`.
    ids: Index,
    /// Each holds exactly the peers in `peers` that have its key.
    equals: Arc<Vec<Equal>>,
    /// Those whose options say that they are routers, in join order.
    routers: Arc<Vec<PeerKey>>,
}

/// A part of the directory in which all peers that a filter matches stand, found without looking at the peers.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    part: Part<'a>,
    most: usize,
}

#[derive(Debug)]
enum Part<'a> {
    /// Nobody can match.
    Nobody,
    /// The one with that id.
    One(&'a Arc<PeerEntry>),
    /// Those with one value of an option.
    Equal {
        equal: &'a Equal,
        value: u64,
        span: Span,
    },
    Everybody(Span),
}

impl Scope<'_> {
    /// No more peers than this stand there.
    pub(crate) fn most(&self) -> usize {
        self.most
    }
}

impl Directory {
    /// The peer of that id; should there be two, the one that joined last.
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<PeerEntry>> {
        let mut found = self.ids.candidates(id).filter_map(|key| self.peers.get(key));
        found.find(|entry| entry.id == *id)
    }

    /// The peer with that key.
    pub(crate) fn by_key(&self, key: PeerKey) -> Option<&Arc<PeerEntry>> {
        self.peers.get(key)
    }

    /// All peers, in join order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<PeerEntry>> {
        self.peers.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The smallest part that is known to hold all matches.
    pub(crate) fn scope(&self, filter: Option<&Compiled>) -> Scope<'_> {
        let mut part = Part::Everybody(self.peers.whole());
        let mut most = self.len();
        for (key, value) in filter.into_iter().flat_map(Compiled::equalities) {
            let Some(value_number) = fingerprint(value) else {
                return Scope { part: Part::Nobody, most: 0 };
            };
            if key == ID_KEY {
                return self.only(value.as_str().unwrap_or_default());
            }
            let Some(equal) = self.equal(key) else { continue };
            let span = equal.span(value_number);
            if span.most() < most || span.is_empty() {
                most = span.most();
                part = Part::Equal { equal, value: value_number, span };
            }
        }
        Scope { part, most }
    }

    /// The part where only the peer of that id stands.
    pub(crate) fn only(&self, id: &str) -> Scope<'_> {
        Scope { part: self.get(id).map_or(Part::Nobody, Part::One), most: 1 }
    }

    /// The peer that has that rank in the order of joining.
    pub(crate) fn at(&self, rank: Rank) -> Option<&Arc<PeerEntry>> {
        self.peers.get(rank.0)
    }

    /// One try at drawing a peer of that part, each with the same chance.
    pub(crate) fn draw<'d>(
        &'d self,
        scope: &Scope<'d>,
        draw: impl FnMut(usize) -> usize,
    ) -> Option<&'d Arc<PeerEntry>> {
        match &scope.part {
            Part::Nobody => None,
            Part::One(peer) => Some(peer),
            Part::Equal { equal, span, .. } => self.by_key(equal.draw(*span, draw)?),
            Part::Everybody(span) => self.peers.draw(*span, draw),
        }
    }

    /// The peers of that part, in join order, all or those behind a key.
    pub(crate) fn walk<'d>(
        &'d self,
        scope: &Scope<'d>,
        behind: Option<PeerKey>,
    ) -> impl Iterator<Item = &'d Arc<PeerEntry>> + use<'d> {
        let next = behind.map(|key| PeerKey(key.0.saturating_add(1)));
        let mut one = None;
        let (mut some, mut all) = (None, None);
        match &scope.part {
            Part::Nobody => {}
            Part::One(peer) => one = next.is_none_or(|next| peer.key >= next).then_some(*peer),
            Part::Equal { equal, value, span } => {
                let equal: &'d Equal = equal;
                let span = behind.map_or(*span, |key| equal.span_behind(*value, key));
                some = Some(equal.keys(span).filter_map(|key| self.by_key(key)));
            }
            Part::Everybody(span) => {
                let span = next.map_or(*span, |next| self.peers.span(next, PeerKey(u64::MAX)));
                all = Some(self.peers.items(span));
            }
        }
        one.into_iter().chain(some.into_iter().flatten()).chain(all.into_iter().flatten())
    }

    /// Whether equality with a value of this key is found without looking at all peers.
    pub(crate) fn is_indexed(&self, key: &str) -> bool {
        key == ID_KEY || self.equal(key).is_some()
    }

    fn equal(&self, key: &str) -> Option<&Equal> {
        self.equals.iter().find(|equal| equal.key() == key)
    }

    /// From now on equality with a value of this key is found quickly. What is looked for first counts; beyond a number of keys, later
    /// ones are looked for peer by peer.
    pub(crate) fn index(&mut self, key: &str) {
        if !self.is_indexed(key) && self.equals.len() < INDEXED_KEYS {
            let equal = Equal::new(key, self);
            Arc::make_mut(&mut self.equals).push(equal);
        }
    }

    /// Adds a peer, or replaces the entry with the same key.
    pub(crate) fn insert(&mut self, entry: Arc<PeerEntry>) {
        let before = self.peers.insert(Arc::clone(&entry));
        self.move_equals(before.as_deref(), Some(&entry));
        self.note_router(entry.key, entry.options.is_router());
        if before.as_ref().is_some_and(|before| before.id == entry.id) {
            return;
        }
        if let Some(before) = before {
            self.ids.remove(before.id.as_str(), before.key);
        }
        self.ids.insert(entry.id.as_str(), entry.key);
    }

    pub(crate) fn remove(&mut self, key: PeerKey) {
        if let Some(entry) = self.peers.remove(key) {
            self.move_equals(Some(&entry), None);
            self.note_router(key, false);
            self.ids.remove(entry.id.as_str(), key);
        }
    }

    /// The peers that are routers, in join order.
    pub(crate) fn routers(&self) -> &[PeerKey] {
        &self.routers
    }

    fn note_router(&mut self, key: PeerKey, is_router: bool) {
        match (self.routers.binary_search(&key), is_router) {
            (Ok(at), false) => drop(Arc::make_mut(&mut self.routers).remove(at)),
            (Err(at), true) => Arc::make_mut(&mut self.routers).insert(at, key),
            _ => {}
        }
    }

    fn move_equals(&mut self, before: Option<&PeerEntry>, after: Option<&PeerEntry>) {
        let same = before.zip(after).is_some_and(|(a, b)| a.options.is_same(&b.options));
        if same || self.equals.is_empty() {
            return;
        }
        for equal in Arc::make_mut(&mut self.equals) {
            equal.change(before, after);
        }
    }
}
