//! From an id to the keys that may have it, in buckets that snapshots share.
//!
//! The index keeps hashes and no ids; who asks compares the id itself. The hash is our own and has no seed: the same history
//! gives the same index, and who makes ids collide only lengthens one bucket, by at most the number of links allowed.

use std::sync::Arc;

use crate::id::PeerKey;

/// Entries per bucket on average before the buckets are doubled: a bucket is scanned in a few nanoseconds and copied at once.
const CROWDED: usize = 32;

type Bucket = Vec<(u64, PeerKey)>;

/// The number of buckets is zero or a power of two.
#[derive(Clone, Default, Debug)]
pub(super) struct Index {
    buckets: Arc<Vec<Arc<Bucket>>>,
    len: usize,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The keys whose id may be this one, the last inserted first.
    pub(super) fn candidates(&self, id: &str) -> impl Iterator<Item = PeerKey> {
        let wanted = hash(id);
        let bucket = self.buckets.get(place(wanted, self.buckets.len()));
        let entries = bucket.into_iter().flat_map(|bucket| bucket.iter().rev());
        entries.filter(move |(hash, _)| *hash == wanted).map(|(_, key)| *key)
    }

    pub(super) fn insert(&mut self, id: &str, key: PeerKey) {
        self.make_room();
        let hash = hash(id);
        let buckets = Arc::make_mut(&mut self.buckets);
        let at = place(hash, buckets.len());
        Arc::make_mut(&mut buckets[at]).push((hash, key));
        self.len += 1;
    }

    pub(super) fn remove(&mut self, id: &str, key: PeerKey) {
        let hash = hash(id);
        let buckets = Arc::make_mut(&mut self.buckets);
        let at = place(hash, buckets.len());
        let Some(bucket) = buckets.get_mut(at).map(Arc::make_mut) else { return };
        let Some(at) = bucket.iter().position(|entry| *entry == (hash, key)) else { return };
        bucket.remove(at);
        self.len -= 1;
        if self.len == 0 {
            *self = Self::default();
        }
    }

    fn make_room(&mut self) {
        let count = self.buckets.len();
        if self.len < count * CROWDED {
            return;
        }
        let mut buckets: Vec<Bucket> = vec![Bucket::new(); (2 * count).max(1)];
        let count = buckets.len();
        for (hash, key) in self.buckets.iter().flat_map(|bucket| bucket.iter()) {
            buckets[place(*hash, count)].push((*hash, *key));
        }
        self.buckets = Arc::new(buckets.into_iter().map(Arc::new).collect());
    }
}

fn place(hash: u64, buckets: usize) -> usize {
    hash as usize & buckets.saturating_sub(1)
}

/// FNV-1a, whose upper bits are folded down because the lowest ones choose the bucket.
fn hash(id: &str) -> u64 {
    let mixed = id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
impl Index {
    /// The number of buckets and the length of the longest.
    pub(super) fn shape(&self) -> (usize, usize) {
        let longest = self.buckets.iter().map(|bucket| bucket.len()).max();
        (self.buckets.len(), longest.unwrap_or(0))
    }
}
