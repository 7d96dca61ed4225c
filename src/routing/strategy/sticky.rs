//! The same key to the same peer, remembered.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Candidate, Candidates, Observation, Strategy};
use crate::error::ErrorKind;
use crate::id::NodeId;

/// Keys remembered unless the program says otherwise: with ids of usual length some ten megabytes.
const KEYS: usize = 65_536;

/// Calls with one key go to one peer: the one that handled the first of them, drawn at random. While it is busy or has no room a call may
/// go to another, and the next one comes back.
///
/// A peer that is gone, or is no candidate of the call any more, is replaced by another for good, and so is one to which a call has ended in
/// `CONNECTION_LOST`, `NODE_NOT_FOUND` or `REQUEST_TIMEOUT`. The number of keys is bounded: at least half of [`capacity`](Self::capacity)
/// that were used last are remembered. Clones share what they remember.
///
/// # Example
/// ```
/// use threadmesh::{Node, Sticky, filter};
///
/// let sessions = Sticky::new();
/// let node = Node::builder().start()?;
/// let store = node.any(filter! { "role": "session-store" });
/// let nobody = store.strategy(sessions.key(123)).request::<(), _>("session:get", &());
/// assert_eq!(nobody.unwrap_err().code(), "NO_NODES_MATCH_FILTER");
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Sticky {
    memory: Arc<Mutex<Memory>>,
}

/// Two generations: what is used moves to the younger, and when that is full the older is dropped. So the bound costs no list.
struct Memory {
    young: HashMap<Arc<str>, Home>,
    old: HashMap<Arc<str>, Home>,
    capacity: usize,
}

/// Where the calls of a key go.
#[derive(Clone, Debug)]
struct Home {
    peer: NodeId,
    /// It has handled one. Until then it is only where the first was sent, which another may have handled.
    settled: bool,
}

impl Default for Memory {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), capacity: KEYS }
    }
}

impl Memory {
    fn recall(&mut self, key: &str) -> Option<Home> {
        if let Some(home) = self.young.get(key) {
            return Some(home.clone());
        }
        let (key, home) = self.old.remove_entry(key)?;
        self.keep(key, home.clone());
        Some(home)
    }

    fn look(&self, key: &str) -> Option<&Home> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    fn keep(&mut self, key: Arc<str>, home: Home) {
        if self.young.len() >= (self.capacity / 2).max(1) && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, home);
    }

    fn forget(&mut self, key: &str, peer: &NodeId) {
        for generation in [&mut self.young, &mut self.old] {
            if generation.get(key).is_some_and(|home| home.peer == *peer) {
                generation.remove(key);
            }
        }
    }
}

impl Sticky {
    /// Remembers up to 65,536 keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers at most so many keys, and two at least.
    pub fn capacity(self, keys: usize) -> Self {
        self.memory().capacity = keys;
        self
    }

    /// The strategy of calls with this key, which is taken as its text: `7` and `"7"` are the same.
    pub fn key(&self, key: impl fmt::Display) -> StickyKey {
        StickyKey { memory: self.clone(), key: key.to_string().into() }
    }

    /// Whom calls with this key go to, if that is remembered. Asking does not count as use.
    pub fn remembered(&self, key: impl fmt::Display) -> Option<NodeId> {
        let key = key.to_string();
        self.memory().look(&key).map(|home| home.peer.clone())
    }

    /// Forgets whom calls with this key go to: the next one is drawn anew.
    pub fn forget(&self, key: impl fmt::Display) {
        let key = key.to_string();
        let mut memory = self.memory();
        memory.young.remove(&*key);
        memory.old.remove(&*key);
    }

    /// Held for a look or a note only.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory();
        let keys = memory.young.len() + memory.old.len();
        f.debug_struct("Sticky").field("keys", &keys).field("capacity", &memory.capacity).finish()
    }
}

/// The strategy of one key, made by [`Sticky::key`].
#[derive(Clone, Debug)]
pub struct StickyKey {
    memory: Sticky,
    key: Arc<str>,
}

impl Strategy for StickyKey {
    fn choose<'a>(&self, among: &Candidates<'a>) -> Option<Candidate<'a>> {
        if among.is_alternate() {
            return among.sample();
        }
        let known = self.memory.memory().recall(&self.key);
        if let Some(home) = known.and_then(|home| among.get(home.peer.as_str())) {
            return Some(home);
        }
        let chosen = among.sample()?;
        // Noted now, so that calls with this key which begin before the first has ended go there, too.
        let home = Home { peer: chosen.id().clone(), settled: false };
        self.memory.memory().keep(Arc::clone(&self.key), home);
        Some(chosen)
    }

    fn observe(&self, observation: &Observation<'_>) {
        let mut memory = self.memory.memory();
        match observation.error.map(crate::error::Error::kind) {
            Some(
                ErrorKind::ConnectionLost | ErrorKind::NodeNotFound | ErrorKind::RequestTimeout,
            ) => memory.forget(&self.key, observation.peer),
            Some(_) => {}
            // A home that was busy once stays the home.
            None if memory.look(&self.key).is_some_and(|home| home.settled) => {}
            None => {
                let home = Home { peer: observation.peer.clone(), settled: true };
                memory.keep(Arc::clone(&self.key), home);
            }
        }
    }
}
