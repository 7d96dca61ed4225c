//! What waits for a worker: requests within limits, and lanes, which have none because the senders' windows bound their ticks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::lanes::LaneKey;
use crate::proto::{Delivery, Owed};
use crate::routing::cost;

/// One thing for one worker to do.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // Most are requests; a box for each would cost more than the room.
pub(super) enum Waiting {
    Request(Asked),
    Lane(LaneKey),
}

/// A request and what the queue needs to know of it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) owed: Owed,
    pub(super) deadline: Instant,
    pub(super) depth: u8,
    pub(super) delivery: Delivery,
}

impl Asked {
    fn cost(&self) -> usize {
        cost(self.delivery.message.payload.len())
    }
}

/// First in, first out.
#[derive(Debug)]
pub(super) struct Queue {
    items: VecDeque<Waiting>,
    requests: usize,
    bytes: usize,
    jobs_most: usize,
    bytes_most: usize,
    /// The length, for workers that look without the lock. Only a hint, so relaxed.
    hint: Arc<AtomicUsize>,
}

impl Queue {
    pub(super) fn new(jobs_most: usize, bytes_most: usize) -> Self {
        let hint = Arc::default();
        Self { items: VecDeque::new(), requests: 0, bytes: 0, jobs_most, bytes_most, hint }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Where the length can be read without the lock.
    pub(super) fn hint(&self) -> Arc<AtomicUsize> {
        self.hint.clone()
    }

    fn publish(&self) {
        self.hint.store(self.items.len(), Ordering::Relaxed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether a limit lets another request of these bytes in. So many requests beyond the limit as there are `takers` on their
    /// way are not waiting, only passing; and without a request that waits, one of any size may.
    pub(super) fn has_room(&self, bytes: usize, takers: usize) -> bool {
        let fits = self.requests < takers
            || self.bytes == 0
            || self.bytes.saturating_add(cost(bytes)) <= self.bytes_most;
        fits && self.requests < self.jobs_most.saturating_add(takers)
    }

    /// Appends a request that [has room](Self::has_room).
    pub(super) fn push(&mut self, asked: Asked) {
        self.requests += 1;
        self.bytes += asked.cost();
        self.items.push_back(Waiting::Request(asked));
        self.publish();
    }

    pub(super) fn push_lane(&mut self, lane: LaneKey) {
        self.items.push_back(Waiting::Lane(lane));
        self.publish();
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let item = self.items.pop_front()?;
        self.publish();
        if let Waiting::Request(asked) = &item {
            self.requests -= 1;
            self.bytes -= asked.cost();
        }
        Some(item)
    }

    /// Takes out the requests of which `chosen` is true; the others keep their order.
    pub(super) fn remove(&mut self, chosen: impl Fn(&Asked) -> bool) -> Vec<Asked> {
        let is_chosen = |item: &Waiting| matches!(item, Waiting::Request(asked) if chosen(asked));
        if !self.items.iter().any(is_chosen) {
            return Vec::new();
        }
        let mut removed = Vec::new();
        for item in std::mem::take(&mut self.items) {
            match item {
                Waiting::Request(asked) if chosen(&asked) => removed.push(asked),
                kept => self.items.push_back(kept),
            }
        }
        self.publish();
        self.requests -= removed.len();
        self.bytes -= removed.iter().map(Asked::cost).sum::<usize>();
        removed
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.publish();
        self.requests = 0;
        self.bytes = 0;
    }
}
