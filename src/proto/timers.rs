//! The engine's alarm clock: a hashed timing wheel, so that arming and disarming cost the same however many timers
//! there are. It must not know what its keys mean, and it reads no clock.
//!
//! Time is cut into ticks of one millisecond. A timer lies in the slot of the level at which its tick first differs
//! from the wheel's own tick, read in digits of base 64; it moves down when the wheel reaches that slot. What lies at
//! the wheel's own tick, or before it, stands in one list that is sorted by exact instant.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

const NANOS_PER_TICK: u64 = 1_000_000;
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
/// Five levels reach 12 days ahead; what lies beyond waits in a slot of its own.
const LEVELS: usize = 5;
const BEYOND: usize = LEVELS * SLOTS;
/// The list of timers whose tick has come.
const NEAR: usize = BEYOND + 1;
const LISTS: usize = NEAR + 1;
const NIL: u32 = u32::MAX;
/// Instants further away than this (146 years) count as this far away.
const FARTHEST: u64 = 1 << 62;

/// Names one armed timer; stale for ever once the timer has expired or was disarmed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimerId {
    index: u32,
    arming: NonZeroU64,
}

/// All timers of one engine. Memory is that of the most timers that were ever armed at once.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    origin: Instant,
    /// The wheel's own tick: all timers with an earlier or equal tick are in the list [`NEAR`].
    tick: u64,
    /// One bit for each slot of each level that is not empty.
    occupied: [u64; LEVELS],
    lists: Box<[List; LISTS]>,
    entries: Vec<Entry<K>>,
    /// First of the chain of unused entries.
    free: u32,
    len: usize,
    armings: NonZeroU64,
    /// Reused while a slot is sorted.
    scratch: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    /// No timer in this list is earlier. Not raised by disarming, which is why it is only a bound.
    earliest: u64,
}

const EMPTY: List = List { first: NIL, last: NIL, earliest: u64::MAX };

#[derive(Debug)]
struct Entry<K> {
    key: K,
    /// Nanoseconds since the origin.
    at: u64,
    /// Which arming this is: breaks ties, and tells stale ids. `None` while the entry is unused.
    arming: Option<NonZeroU64>,
    prev: u32,
    next: u32,
    list: u16,
}

impl<K: Copy> Timers<K> {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            tick: 0,
            occupied: [0; LEVELS],
            lists: Box::new([EMPTY; LISTS]),
            entries: Vec::new(),
            free: NIL,
            len: 0,
            armings: NonZeroU64::MIN,
            scratch: Vec::new(),
        }
    }

    /// How many timers are armed.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Has `key` returned by [`expired`](Self::expired) once `at` has come; an `at` in the past has come already.
    pub(crate) fn arm(&mut self, at: Instant, key: K) -> TimerId {
        let at = self.nanos(at);
        let arming = self.armings;
        self.armings = arming.saturating_add(1);
        let index =
            self.take_entry(Entry { key, at, arming: Some(arming), prev: NIL, next: NIL, list: 0 });
        self.place(index);
        self.len += 1;
        TimerId { index, arming }
    }

    /// Withdraws a timer; `None` when it has expired or was withdrawn before.
    pub(crate) fn disarm(&mut self, id: TimerId) -> Option<K> {
        let entry = self.entries.get(id.index as usize)?;
        (entry.arming == Some(id.arming)).then(|| self.remove(id.index))
    }

    /// When to ask [`expired`](Self::expired) again at the latest: never later than the first expiry. Asking at that
    /// instant either returns a key or makes the next answer a later one.
    pub(crate) fn next(&self) -> Option<Instant> {
        if self.len == 0 {
            return None;
        }
        let near = self.lists[NEAR].first;
        let nanos = if near == NIL {
            self.lists[self.first_slot()?].earliest
        } else {
            self.entries[near as usize].at
        };
        self.origin.checked_add(Duration::from_nanos(nanos))
    }

    /// The key of a timer whose instant is not after `now`; call it until it returns `None`. Keys come in the order of
    /// their instants, those of one instant in the order in which they were armed, and none comes early.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<K> {
        let now = self.nanos(now);
        self.advance(now / NANOS_PER_TICK);
        let first = self.lists[NEAR].first;
        (first != NIL && self.entries[first as usize].at <= now).then(|| self.remove(first))
    }

    fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin).as_nanos();
        u64::try_from(since).unwrap_or(FARTHEST).min(FARTHEST)
    }

    /// Brings the wheel to `tick`, touching only slots that hold something.
    fn advance(&mut self, tick: u64) {
        while let Some(list) = self.first_slot() {
            let start = self.start(list);
            if start > tick {
                break;
            }
            self.tick = self.tick.max(start);
            self.empty(list);
        }
        self.tick = self.tick.max(tick);
    }

    /// The earliest slot that holds something. Slots of a lower level are always earlier than those of a higher one.
    fn first_slot(&self) -> Option<usize> {
        for (level, bits) in self.occupied.iter().enumerate() {
            if *bits != 0 {
                return Some(level * SLOTS + bits.trailing_zeros() as usize);
            }
        }
        (self.lists[BEYOND].first != NIL).then_some(BEYOND)
    }

    /// The first tick of a slot.
    fn start(&self, list: usize) -> u64 {
        if list == BEYOND {
            let span = BITS * LEVELS as u32;
            return (self.lists[BEYOND].earliest / NANOS_PER_TICK) >> span << span;
        }
        let (level, slot) = (list / SLOTS, list % SLOTS);
        let low = BITS * level as u32;
        let above = low + BITS;
        self.tick >> above << above | (slot as u64) << low
    }

    /// Moves what a slot holds to where it belongs now: further down, or to the sorted list.
    fn empty(&mut self, list: usize) {
        let mut moved = std::mem::take(&mut self.scratch);
        let mut index = self.lists[list].first;
        while index != NIL {
            moved.push(index);
            index = self.entries[index as usize].next;
        }
        self.lists[list] = EMPTY;
        if list < BEYOND {
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        }
        let entries = &self.entries;
        moved.sort_unstable_by_key(|&index| entries[index as usize].rank());
        for index in moved.drain(..) {
            self.place(index);
        }
        self.scratch = moved;
    }

    fn place(&mut self, index: u32) {
        let tick = self.entries[index as usize].at / NANOS_PER_TICK;
        if tick <= self.tick {
            self.insert_near(index);
            return;
        }
        let level = ((tick ^ self.tick).ilog2() / BITS) as usize;
        if level >= LEVELS {
            self.link_after(BEYOND, self.lists[BEYOND].last, index);
            return;
        }
        let slot = (tick >> (BITS * level as u32)) as usize % SLOTS;
        let list = level * SLOTS + slot;
        self.occupied[level] |= 1 << slot;
        self.link_after(list, self.lists[list].last, index);
    }

    /// Looks for the place from the end, where it nearly always is.
    fn insert_near(&mut self, index: u32) {
        let rank = self.entries[index as usize].rank();
        let mut before = self.lists[NEAR].last;
        while before != NIL && self.entries[before as usize].rank() > rank {
            before = self.entries[before as usize].prev;
        }
        self.link_after(NEAR, before, index);
    }

    /// Puts an entry behind `before`, or first when that is `NIL`.
    fn link_after(&mut self, list: usize, before: u32, index: u32) {
        let after = match before {
            NIL => self.lists[list].first,
            before => self.entries[before as usize].next,
        };
        let entry = &mut self.entries[index as usize];
        entry.list = list as u16;
        let earliest = self.lists[list].earliest.min(entry.at);
        self.lists[list].earliest = earliest;
        self.join(list, before, index);
        self.join(list, index, after);
    }

    fn remove(&mut self, index: u32) -> K {
        let entry = &self.entries[index as usize];
        let (key, prev, next, list) = (entry.key, entry.prev, entry.next, usize::from(entry.list));
        self.join(list, prev, next);
        if self.lists[list].first == NIL {
            self.lists[list] = EMPTY;
            if list < BEYOND {
                self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
            }
        }
        let entry = &mut self.entries[index as usize];
        (entry.arming, entry.next) = (None, self.free);
        self.free = index;
        self.len -= 1;
        key
    }

    /// Makes `next` follow `prev`; `NIL` stands for either end.
    fn join(&mut self, list: usize, prev: u32, next: u32) {
        match prev {
            NIL => self.lists[list].first = next,
            prev => self.entries[prev as usize].next = next,
        }
        match next {
            NIL => self.lists[list].last = prev,
            next => self.entries[next as usize].prev = prev,
        }
    }

    fn take_entry(&mut self, entry: Entry<K>) -> u32 {
        if self.free == NIL {
            self.entries.push(entry);
            return (self.entries.len() - 1) as u32;
        }
        let index = self.free;
        let place = &mut self.entries[index as usize];
        self.free = place.next;
        *place = entry;
        index
    }
}

impl<K> Entry<K> {
    fn rank(&self) -> (u64, Option<NonZeroU64>) {
        (self.at, self.arming)
    }
}

#[cfg(test)]
mod tests;
