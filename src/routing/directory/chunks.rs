//! Peers in join order, in chunks that snapshots share. It knows keys only; ids are the index's.

use std::sync::Arc;

use super::PeerEntry;
use crate::id::PeerKey;

/// Large enough that the list of chunks stays short (256 for 16,384 peers), small enough to be copied at each change.
const CHUNK: usize = 64;

type Chunk = Vec<Arc<PeerEntry>>;

/// No chunk is empty; keys ascend strictly inside and across chunks; two neighbours hold more than half a chunk together.
#[derive(Clone, Default, Debug)]
pub(super) struct Chunks(Arc<Vec<Arc<Chunk>>>);

impl Chunks {
    pub(super) fn get(&self, key: PeerKey) -> Option<&Arc<PeerEntry>> {
        let chunk = self.0.get(self.place(key))?;
        chunk.binary_search_by_key(&key, |entry| entry.key).ok().map(|at| &chunk[at])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<PeerEntry>> {
        self.0.iter().flat_map(|chunk| chunk.iter())
    }

    /// Adds an entry and returns the one it replaces.
    pub(super) fn insert(&mut self, entry: Arc<PeerEntry>) -> Option<Arc<PeerEntry>> {
        let place = self.place(entry.key);
        let spine = Arc::make_mut(&mut self.0);
        let Some(chunk) = spine.get_mut(place) else {
            spine.push(Arc::new(vec![entry]));
            return None;
        };
        let chunk = Arc::make_mut(chunk);
        match chunk.binary_search_by_key(&entry.key, |present| present.key) {
            Ok(at) => return Some(std::mem::replace(&mut chunk[at], entry)),
            Err(at) => chunk.insert(at, entry),
        }
        if chunk.len() > CHUNK {
            // Keys grow, so usually the overflow is the newest peer alone and the chunk before it stays full.
            let newest = place + 1 == spine.len();
            split(spine, place, if newest { CHUNK } else { CHUNK / 2 });
        }
        None
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, key: PeerKey) -> Option<Arc<PeerEntry>> {
        let place = self.place(key);
        let at = self.0.get(place)?.binary_search_by_key(&key, |entry| entry.key).ok()?;
        let spine = Arc::make_mut(&mut self.0);
        let removed = Arc::make_mut(&mut spine[place]).remove(at);
        if spine[place].is_empty() {
            spine.remove(place);
        }
        join_if_small(spine, place);
        if place > 0 {
            join_if_small(spine, place - 1);
        }
        Some(removed)
    }

    /// The chunk where that key is or belongs: the last one that begins at or before it. Only without any chunk is there none.
    fn place(&self, key: PeerKey) -> usize {
        self.0.partition_point(|chunk| chunk[0].key <= key).saturating_sub(1)
    }
}

fn split(spine: &mut Vec<Arc<Chunk>>, place: usize, at: usize) {
    let rest = Arc::make_mut(&mut spine[place]).split_off(at);
    spine.insert(place + 1, Arc::new(rest));
}

/// Joins the chunk at `place` and the next if both fit into half a chunk, so that peers that leave shorten the list.
fn join_if_small(spine: &mut Vec<Arc<Chunk>>, place: usize) {
    let len_at = |place: usize| spine.get(place).map(|chunk| chunk.len());
    let (Some(len), Some(next)) = (len_at(place), len_at(place + 1)) else { return };
    if len + next <= CHUNK / 2 {
        let next = spine.remove(place + 1);
        Arc::make_mut(&mut spine[place]).extend(next.iter().cloned());
    }
}

#[cfg(test)]
impl Chunks {
    /// Panics unless what the type promises is true; returns the number of chunks.
    pub(super) fn audit(&self) -> usize {
        assert!(self.0.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len())));
        assert!(self.0.windows(2).all(|two| two[0].len() + two[1].len() > CHUNK / 2));
        assert!(self.iter().zip(self.iter().skip(1)).all(|(a, b)| a.key < b.key));
        self.0.len()
    }

    /// How many chunks the two do not share.
    pub(super) fn unshared(&self, other: &Self) -> usize {
        let shared = |chunk: &&Arc<Chunk>| other.0.iter().any(|theirs| Arc::ptr_eq(chunk, theirs));
        self.0.len() - self.0.iter().filter(shared).count()
    }
}
