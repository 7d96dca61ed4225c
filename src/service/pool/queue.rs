//! What waits for a worker: requests within limits, and lanes, which have none because the senders' windows bound their ticks.
//!
//! Links take turns, so that a peer with a thousand requests does not stand before one that has a single request; and when the
//! queue is full, whoever has most of it makes room for whoever has less.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::lanes::LaneKey;
use crate::id::LinkId;
use crate::proto::{Delivery, ReplyTo, Work};
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
    pub(super) reply_to: ReplyTo,
    pub(super) deadline: Instant,
    pub(super) depth: u8,
    pub(super) delivery: Delivery,
}

impl Asked {
    fn cost(&self) -> usize {
        cost(self.delivery.message.payload.len())
    }

    /// Nobody waits for its answer any more.
    fn is_cancelled(&self) -> bool {
        match &self.delivery.work {
            Work::Request { cancelled, .. } => cancelled.load(Ordering::Relaxed),
            Work::Tick { .. } => false,
        }
    }
}

/// The requests of one link, first in, first out.
#[derive(Default, Debug)]
struct Line {
    asked: VecDeque<Asked>,
    bytes: usize,
}

/// Whose turn it is.
#[derive(Debug)]
enum Turn {
    Link(LinkId),
    Lane(LaneKey),
}

/// One request of each link, or one lane, at a time.
#[derive(Debug)]
pub(super) struct Queue {
    /// Each link that has a line has one turn.
    turns: VecDeque<Turn>,
    lines: BTreeMap<LinkId, Line>,
    /// A line that is empty: most are never longer than one, and need not be allocated each time.
    spare: Line,
    lanes: usize,
    /// Requests that found no room since the last look for those that nobody waits for any more.
    unlooked: usize,
    requests: usize,
    bytes: usize,
    jobs_most: usize,
    bytes_most: usize,
    /// The length, for workers that look without the lock. Only a hint, so relaxed.
    hint: Arc<AtomicUsize>,
}

impl Queue {
    pub(super) fn new(jobs_most: usize, bytes_most: usize) -> Self {
        Self {
            turns: VecDeque::new(),
            lines: BTreeMap::new(),
            spare: Line::default(),
            lanes: 0,
            unlooked: 0,
            requests: 0,
            bytes: 0,
            jobs_most,
            bytes_most,
            hint: Arc::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.requests + self.lanes
    }

    /// Where the length can be read without the lock.
    pub(super) fn hint(&self) -> Arc<AtomicUsize> {
        self.hint.clone()
    }

    fn publish(&self) {
        self.hint.store(self.len(), Ordering::Relaxed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a limit lets another request of these bytes in. So many requests beyond the limit as there are `takers` on their
    /// way are not waiting, only passing; and without a request that waits, one of any size may.
    fn has_room(&self, bytes: usize, takers: usize) -> bool {
        self.has_bytes(bytes, takers) && self.has_jobs(takers)
    }

    fn has_bytes(&self, bytes: usize, takers: usize) -> bool {
        self.requests < takers
            || self.bytes == 0
            || self.bytes.saturating_add(bytes) <= self.bytes_most
    }

    fn has_jobs(&self, takers: usize) -> bool {
        self.requests < self.jobs_most.saturating_add(takers)
    }

    /// Appends a request if there is room, or can be made. What is refused for it, or it itself, is appended to `refused`.
    pub(super) fn push(&mut self, asked: Asked, takers: usize, refused: &mut Vec<Asked>) {
        let (link, cost) = (asked.reply_to.link, asked.cost());
        if !self.has_room(cost, takers) {
            self.unlooked += 1;
            // Looking through them all for each one that comes would cost the loop too much.
            if self.unlooked > self.requests / 16 {
                self.unlooked = 0;
                refused.append(&mut self.remove(Asked::is_cancelled));
            }
        }
        while !self.has_room(cost, takers) {
            match self.displaced_by(link, cost, takers) {
                Some(displaced) => refused.push(displaced),
                None => return refused.push(asked),
            }
        }
        let (turns, spare) = (&mut self.turns, &mut self.spare);
        let line = self.lines.entry(link).or_insert_with(|| {
            turns.push_back(Turn::Link(link));
            std::mem::take(spare)
        });
        line.bytes += cost;
        line.asked.push_back(asked);
        self.requests += 1;
        self.bytes += cost;
        self.publish();
    }

    /// The newest request of the link that has most of what is short, if that is more than the other one would have.
    fn displaced_by(&mut self, link: LinkId, cost: usize, takers: usize) -> Option<Asked> {
        let jobs_short = !self.has_jobs(takers);
        let has = |line: &Line| if jobs_short { line.asked.len() } else { line.bytes };
        let asks = if jobs_short { 1 } else { cost };
        let own = self.lines.get(&link).map_or(0, has) + asks;
        let most = self.lines.iter().max_by_key(|(_, line)| has(line))?;
        let (most, has_most) = (*most.0, has(most.1));
        if most == link || has_most <= own {
            return None;
        }
        let line = self.lines.get_mut(&most)?;
        let displaced = line.asked.pop_back()?;
        line.bytes -= displaced.cost();
        let empty = line.asked.is_empty();
        self.requests -= 1;
        self.bytes -= displaced.cost();
        if empty {
            self.forget_empty_lines();
        }
        Some(displaced)
    }

    pub(super) fn push_lane(&mut self, lane: LaneKey) {
        self.turns.push_back(Turn::Lane(lane));
        self.lanes += 1;
        self.publish();
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let waiting = match self.turns.pop_front()? {
            Turn::Lane(lane) => {
                self.lanes -= 1;
                Waiting::Lane(lane)
            }
            Turn::Link(link) => Waiting::Request(self.pop_of(link)?),
        };
        self.publish();
        Some(waiting)
    }

    fn pop_of(&mut self, link: LinkId) -> Option<Asked> {
        let line = self.lines.get_mut(&link)?;
        let asked = line.asked.pop_front()?;
        line.bytes -= asked.cost();
        self.requests -= 1;
        self.bytes -= asked.cost();
        if !line.asked.is_empty() {
            self.turns.push_back(Turn::Link(link));
        } else if let Some(line) = self.lines.remove(&link) {
            self.spare = line;
        }
        Some(asked)
    }

    /// Takes out the requests of which `chosen` is true; the others keep their order.
    pub(super) fn remove(&mut self, chosen: impl Fn(&Asked) -> bool) -> Vec<Asked> {
        let mut removed = Vec::new();
        for line in self.lines.values_mut() {
            if !line.asked.iter().any(&chosen) {
                continue;
            }
            for asked in std::mem::take(&mut line.asked) {
                if chosen(&asked) {
                    line.bytes -= asked.cost();
                    removed.push(asked);
                } else {
                    line.asked.push_back(asked);
                }
            }
        }
        if !removed.is_empty() {
            self.requests -= removed.len();
            self.bytes -= removed.iter().map(Asked::cost).sum::<usize>();
            self.forget_empty_lines();
            self.publish();
        }
        removed
    }

    fn forget_empty_lines(&mut self) {
        self.lines.retain(|_, line| !line.asked.is_empty());
        let lines = &self.lines;
        self.turns.retain(|turn| match turn {
            Turn::Link(link) => lines.contains_key(link),
            Turn::Lane(_) => true,
        });
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.turns.clear();
        self.lines.clear();
        (self.lanes, self.requests, self.bytes) = (0, 0, 0);
        self.publish();
    }
}
