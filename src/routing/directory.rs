//! The peers of a node as a snapshot: cheap to clone, cheap to change, in join order and by id.

mod chunks;
mod index;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use self::chunks::Chunks;
use self::index::Index;
use super::Gauge;
use crate::id::{LinkId, NodeId, PeerKey};
use crate::node_event::{Direction, Directions, PeerInfo};
use crate::options::Options;

/// What routing knows about one peer. Immutable; a change makes a new one.
#[derive(Clone, Debug)]
pub(crate) struct PeerEntry {
    /// Grows in join order.
    pub(crate) key: PeerKey,
    pub(crate) id: NodeId,
    pub(crate) options: Options,
    /// The exact names of requests it handles, in the order of registration there.
    pub(crate) services: Arc<[String]>,
    /// The link we dialled, if it stands.
    pub(crate) up: Option<LinkFace>,
    /// The link the peer dialled, if it stands.
    pub(crate) down: Option<LinkFace>,
    /// Which of the two is older: traffic that may use both stays on it.
    pub(crate) older: Direction,
}

/// One link as callers see it.
#[derive(Clone, Debug)]
pub(crate) struct LinkFace {
    pub(crate) link: LinkId,
    pub(crate) remote: SocketAddr,
    pub(crate) gauge: Arc<Gauge>,
}

impl PeerEntry {
    /// The link that a message to this peer takes when these directions are allowed.
    pub(crate) fn face(&self, allowed: Directions) -> Option<&LinkFace> {
        let up = self.up.as_ref().filter(|_| allowed.up);
        let down = self.down.as_ref().filter(|_| allowed.down);
        match self.older {
            Direction::Up => up.or(down),
            Direction::Down => down.or(up),
        }
    }

    pub(crate) fn directions(&self) -> Directions {
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

/// All joined peers, as of one moment. A clone is two pointers and never changes; a change copies one chunk of peers, one
/// bucket of the index, and the two lists of those, whatever the number of peers.
#[derive(Clone, Default, Debug)]
pub(crate) struct Directory {
    peers: Chunks,
    /// Holds the key of exactly the peers in `peers`.
    ids: Index,
}

impl Directory {
    /// The peer of that id; should there be two, the one that joined last.
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<PeerEntry>> {
        let mut found = self.ids.candidates(id).filter_map(|key| self.peers.get(key));
        found.find(|entry| entry.id == *id)
    }

    /// The peer with that key.
    #[cfg(test)]
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

    /// Adds a peer, or replaces the entry with the same key.
    pub(crate) fn insert(&mut self, entry: Arc<PeerEntry>) {
        let before = self.peers.insert(Arc::clone(&entry));
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
            self.ids.remove(entry.id.as_str(), key);
        }
    }
}
