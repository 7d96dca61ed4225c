//! The same key to the same peer, without remembering anything.

use std::fmt;

use super::{Candidate, Candidates, Strategy, hash_of, mix};

/// The peer that a key belongs to: the same for the same key as long as the candidates are the same, on every node that sees them.
///
/// When a peer comes, only the keys that are now its own move, about one in as many as there are peers; when one goes, only its keys move,
/// and they spread over all others. It is the peer whose id together with the key hashes highest (rendezvous hashing), so there is
/// no table; it looks at all candidates. The key is taken as its text: `7` and `"7"` are the same.
///
/// # Example
/// ```
/// use threadmesh::{ConsistentHash, Node, filter};
///
/// let node = Node::builder().start()?;
/// let caches = node.any(filter! { "role": "cache" });
/// let nobody = caches.strategy(ConsistentHash::of("user:123")).request::<u64, _>("get", "user:123");
/// assert_eq!(nobody.unwrap_err().code(), "NO_NODES_MATCH_FILTER");
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ConsistentHash {
    key: u64,
}

impl ConsistentHash {
    /// For this key.
    pub fn of(key: impl fmt::Display) -> Self {
        Self { key: hash_of(&key) }
    }
}

impl Strategy for ConsistentHash {
    fn choose<'a>(&self, among: &Candidates<'a>) -> Option<Candidate<'a>> {
        among.iter().max_by_key(|peer| mix(self.key ^ hash_of(peer.id())))
    }
}
