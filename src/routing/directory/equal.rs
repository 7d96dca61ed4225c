//! Who has which value under one key: all peers in the order of fingerprint and joining, so that those with one value stand together.
//!
//! It keeps fingerprints and no values; who asks compares the values themselves. It must not decide which keys are worth it.

use std::sync::Arc;

use super::chunks::{Chunks, Span};
use super::{Directory, PeerEntry};
use crate::id::PeerKey;
use crate::routing::filter::{fingerprint, lookup};

/// One key of options, and the peers by its value.
#[derive(Clone, Debug)]
pub(super) struct Equal {
    key: Arc<str>,
    peers: Chunks<(u64, PeerKey)>,
}

impl Equal {
    pub(super) fn new(key: &str, directory: &Directory) -> Self {
        let number =
            |peer: &Arc<PeerEntry>| Some((fingerprint(lookup(&peer.options, key)?)?, peer.key));
        let mut peers: Vec<_> = directory.iter().filter_map(number).collect();
        peers.sort_unstable();
        Self { key: key.into(), peers: Chunks::from_sorted(&peers) }
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The peers that have this value, and few others.
    pub(super) fn span(&self, fingerprint: u64) -> Span {
        self.peers.span((fingerprint, PeerKey(0)), (fingerprint, PeerKey(u64::MAX)))
    }

    /// The part of [`span`](Self::span) behind a peer.
    pub(super) fn span_behind(&self, fingerprint: u64, peer: PeerKey) -> Span {
        let next = PeerKey(peer.0.saturating_add(1));
        self.peers.span((fingerprint, next), (fingerprint, PeerKey(u64::MAX)))
    }

    pub(super) fn draw(&self, span: Span, draw: impl FnMut(usize) -> usize) -> Option<PeerKey> {
        self.peers.draw(span, draw).map(|(_, peer)| *peer)
    }

    pub(super) fn keys(&self, span: Span) -> impl Iterator<Item = PeerKey> {
        self.peers.items(span).map(|(_, peer)| *peer)
    }

    /// A peer has changed, come (`before` is none) or gone (`after` is none).
    pub(super) fn change(&mut self, before: Option<&PeerEntry>, after: Option<&PeerEntry>) {
        let number = |peer: &PeerEntry| {
            let found = lookup(&peer.options, &self.key).and_then(fingerprint);
            found.map(|value| (value, peer.key))
        };
        let (old, new) = (before.and_then(number), after.and_then(number));
        if old == new {
            return;
        }
        old.map(|old| self.peers.remove(old));
        new.map(|new| self.peers.insert(new));
    }
}

#[cfg(test)]
impl Equal {
    /// How many chunks the two do not share.
    pub(super) fn unshared(&self, other: &Self) -> usize {
        self.peers.unshared(&other.peers)
    }

    /// Panics unless it says of every peer what its options say.
    pub(super) fn audit(&self, directory: &Directory) {
        self.peers.audit();
        let fresh = Self::new(&self.key, directory);
        assert!(self.peers.iter().eq(fresh.peers.iter()), "the index of {:?}", self.key);
    }
}
