//! Items in the order of their keys, in chunks that snapshots share. It must not know what the items are.

use std::sync::Arc;

use super::PeerEntry;
use crate::id::PeerKey;

/// What stands in chunks: each item has a key that no other has.
pub(super) trait Keyed: Clone {
    /// Items in a chunk at most: large enough that the list of chunks stays short, small enough to be copied at each change.
    const CHUNK: usize;

    type Key: Ord + Copy;

    fn key(&self) -> Self::Key;
}

impl Keyed for Arc<PeerEntry> {
    // Copying counts each entry once more. 256 chunks for 16,384 peers.
    const CHUNK: usize = 64;

    type Key = PeerKey;

    fn key(&self) -> PeerKey {
        self.key
    }
}

/// A value's fingerprint and a peer that has the value.
impl Keyed for (u64, PeerKey) {
    // Four KiB, copied as they are. The list of chunks is what costs when all values of a peer change.
    const CHUNK: usize = 256;

    type Key = Self;

    fn key(&self) -> Self {
        *self
    }
}

type Spine<T> = Vec<Arc<Vec<T>>>;

/// No chunk is empty; keys ascend strictly inside and across chunks; two neighbours hold more than half a chunk together.
#[derive(Clone, Debug)]
pub(super) struct Chunks<T>(Arc<Spine<T>>);

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// All items from one key to another, as places: valid for the chunks it was made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// The chunk of the first item, and its place there.
    first: (usize, usize),
    /// The chunk of the last item, and the place behind it there. The same chunk and place as `first` if there is no item.
    end: (usize, usize),
    /// What a chunk holds at most.
    chunk: usize,
}

impl Span {
    /// There are no more items than this. If they stand in one chunk it is their number.
    pub(super) fn most(self) -> usize {
        let chunks = self.end.0 - self.first.0;
        (chunks * self.chunk + self.end.1).saturating_sub(self.first.1)
    }

    pub(super) fn is_empty(self) -> bool {
        self.first == self.end
    }
}

impl<T: Keyed> Chunks<T> {
    /// Builds from items whose keys ascend strictly.
    pub(super) fn from_sorted(items: &[T]) -> Self {
        Self(Arc::new(items.chunks(T::CHUNK).map(|chunk| Arc::new(chunk.to_vec())).collect()))
    }

    pub(super) fn get(&self, key: T::Key) -> Option<&T> {
        let chunk = self.0.get(self.place(key))?;
        chunk.binary_search_by_key(&key, T::key).ok().map(|at| &chunk[at])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|chunk| chunk.iter())
    }

    /// The items from `low` to `high`, both included.
    pub(super) fn span(&self, low: T::Key, high: T::Key) -> Span {
        let (from, to) = (self.place(low), self.place(high));
        let behind = |place: usize, is_before: &dyn Fn(&T) -> bool| {
            self.0.get(place).map_or(0, |chunk| chunk.partition_point(is_before))
        };
        let first = (from, behind(from, &|item| item.key() < low));
        let end = (to, behind(to, &|item| item.key() <= high));
        // The first item may stand at the front of the next chunk.
        let first = match self.0.get(from) {
            Some(chunk) if first.1 == chunk.len() && from < to => (from + 1, 0),
            _ => first,
        };
        Span { first, end: end.max(first), chunk: T::CHUNK }
    }

    /// All items.
    pub(super) fn whole(&self) -> Span {
        let last = self.0.len().saturating_sub(1);
        let end = self.0.last().map_or(0, |chunk| chunk.len());
        Span { first: (0, 0), end: (last, end), chunk: T::CHUNK }
    }

    /// The items of a span, in order.
    pub(super) fn items(&self, span: Span) -> impl Iterator<Item = &T> {
        let ((from, skipped), (to, kept)) = (span.first, span.end);
        (from..=to).flat_map(move |place| {
            let chunk = self.0.get(place).map_or(&[][..], |chunk| chunk.as_slice());
            let begin = if place == from { skipped } else { 0 };
            let end = if place == to { kept } else { chunk.len() };
            chunk.get(begin..end.max(begin)).unwrap_or_default().iter()
        })
    }

    /// One try at drawing an item of a span, each with the same chance; `None` also when the draw missed, which happens in spans over
    /// three chunks or more: the fewer items the more often. `draw` gives a number below its argument.
    pub(super) fn draw(&self, span: Span, mut draw: impl FnMut(usize) -> usize) -> Option<&T> {
        let ((from, skipped), (to, kept)) = (span.first, span.end);
        if to - from <= 1 {
            // Both edges are known exactly, so nothing need be missed.
            let near = self.0.get(from)?.len();
            let near = if from == to { kept } else { near } - skipped;
            let far = if from == to { 0 } else { kept };
            let at = draw((near + far).max(1));
            return if at < near {
                self.0.get(from)?.get(skipped + at).filter(|_| near > 0)
            } else {
                self.0.get(to)?.get(at - near).filter(|_| far > 0)
            };
        }
        let (place, at) = (from + draw(to - from + 1), draw(T::CHUNK));
        let inside = (place > from || at >= skipped) && (place < to || at < kept);
        self.0.get(place)?.get(at).filter(|_| inside)
    }

    /// Adds an item and returns the one it replaces.
    pub(super) fn insert(&mut self, item: T) -> Option<T> {
        let key = item.key();
        let place = self.place(key);
        let spine = Arc::make_mut(&mut self.0);
        let Some(chunk) = spine.get_mut(place) else {
            spine.push(Arc::new(vec![item]));
            return None;
        };
        let chunk = Arc::make_mut(chunk);
        match chunk.binary_search_by_key(&key, T::key) {
            Ok(at) => return Some(std::mem::replace(&mut chunk[at], item)),
            Err(at) => chunk.insert(at, item),
        }
        if chunk.len() > T::CHUNK {
            // Keys grow, so usually the overflow is the newest item alone and the chunk before it stays full.
            let newest = place + 1 == spine.len();
            split(spine, place, if newest { T::CHUNK } else { T::CHUNK / 2 });
        }
        None
    }

    /// Takes an item out.
    pub(super) fn remove(&mut self, key: T::Key) -> Option<T> {
        let place = self.place(key);
        let at = self.0.get(place)?.binary_search_by_key(&key, T::key).ok()?;
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
    fn place(&self, key: T::Key) -> usize {
        self.0.partition_point(|chunk| chunk[0].key() <= key).saturating_sub(1)
    }
}

fn split<T: Clone>(spine: &mut Spine<T>, place: usize, at: usize) {
    let rest = Arc::make_mut(&mut spine[place]).split_off(at);
    spine.insert(place + 1, Arc::new(rest));
}

/// Joins the chunk at `place` and the next if both fit into half a chunk, so that items that leave shorten the list.
fn join_if_small<T: Keyed>(spine: &mut Spine<T>, place: usize) {
    let len_at = |place: usize| spine.get(place).map(|chunk| chunk.len());
    let (Some(len), Some(next)) = (len_at(place), len_at(place + 1)) else { return };
    if len + next <= T::CHUNK / 2 {
        let next = spine.remove(place + 1);
        Arc::make_mut(&mut spine[place]).extend(next.iter().cloned());
    }
}

#[cfg(test)]
impl<T: Keyed> Chunks<T> {
    /// Panics unless what the type promises is true; returns the number of chunks.
    pub(super) fn audit(&self) -> usize {
        assert!(self.0.iter().all(|chunk| (1..=T::CHUNK).contains(&chunk.len())));
        assert!(self.0.windows(2).all(|two| two[0].len() + two[1].len() > T::CHUNK / 2));
        assert!(self.iter().zip(self.iter().skip(1)).all(|(a, b)| a.key() < b.key()));
        self.0.len()
    }

    /// How many chunks the two do not share.
    pub(super) fn unshared(&self, other: &Self) -> usize {
        let shared = |chunk: &&Arc<Vec<T>>| other.0.iter().any(|theirs| Arc::ptr_eq(chunk, theirs));
        self.0.len() - self.0.iter().filter(shared).count()
    }
}
