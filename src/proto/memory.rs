//! What the links of a node hold of its memory: messages that are queued, messages that have come in part, what the
//! handlers have in hand, and data of requests that are kept for alternates until they are answered. Above half of the node's memory one link may hold what is free divided by the links, so that no
//! peer takes the room of the others.
//!
//! The engine counts, and callers read one number beside each gauge. What threads post within one turn of the loop comes
//! on top, and so does a single message on a link that has none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::link::Link;
use super::mesh::Mesh;
use super::planted::{Planted, has};
use crate::config::LINK_LEAST_BYTES;
use crate::id::LinkId;
use crate::node_event::LeftReason;
use crate::routing::Share;
use crate::wire::Farewell;

/// The sums.
#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    /// What all links hold, and what the links that are gone have left with the handlers.
    used: usize,
    /// Ticks that handlers have in hand and whose link is gone.
    orphans: usize,
    /// What one link may hold, where callers read it.
    share: Share,
    /// Links that have joined: strangers have no share, and take none away.
    pub(super) joined: usize,
    /// The share of when those who wait for room were last looked at.
    looked_at: usize,
}

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        let share = Arc::new(AtomicUsize::new(usize::MAX));
        Self { limit, used: 0, orphans: 0, share, joined: 0, looked_at: usize::MAX }
    }

    pub(super) fn share(&self) -> Share {
        Arc::clone(&self.share)
    }

    /// Whether a link that holds that much holds more than its share.
    pub(super) fn is_over(&self, held: usize) -> bool {
        held > self.share.load(Relaxed) && !has(Planted::ShareIgnored)
    }

    /// The most that all tick windows may come to, but for the least that every link is granted: half.
    pub(super) fn windows(&self) -> u64 {
        self.limit as u64 / 2
    }

    /// The window that a new link is granted when so much is granted already.
    pub(super) fn first_window(&self, usual: u64, granted: u64) -> u64 {
        usual.min(self.windows().saturating_sub(granted).max(LEAST_WINDOW))
    }

    /// Something is held in place of something else. True if the room has grown so much since the last look that those who
    /// wait for it should be looked at again.
    fn change(&mut self, before: usize, after: usize) -> bool {
        self.used = self.used - before + after;
        let free = self.limit.saturating_sub(self.used);
        let share = if self.used <= self.limit / 2 {
            usize::MAX
        } else {
            (free / self.joined.max(1)).max(LINK_LEAST_BYTES)
        };
        if share != self.share.load(Relaxed) {
            self.share.store(share, Relaxed);
        }
        let grown = share / 2 >= self.looked_at;
        if grown || share < self.looked_at {
            self.looked_at = share;
        }
        grown
    }
}

/// A message at most this long passes through the smallest window; a longer one passes alone.
const LEAST_WINDOW: u64 = 4 * 1024;

impl<T> Mesh<T> {
    /// Grants a link its first window.
    pub(super) fn grant_first(&mut self, id: LinkId) -> u64 {
        let usual = self.env.local.config.limits.tick_window_bytes;
        let window = self.memory.first_window(usual, self.granted);
        let Some(link) = self.links.get_mut(&id) else { return window };
        self.granted = self.granted - link.granted + window;
        (link.granted, link.ticks_in.window) = (window, window);
        window
    }

    /// Counts what a link holds now. To be asked whenever that may have changed.
    pub(super) fn recount(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let now = link.holds();
        let before = std::mem::replace(&mut link.held, now);
        if now != before && self.memory.change(before, now) {
            self.admit_everywhere();
        }
    }

    /// A link is forgotten that held so much.
    pub(super) fn held_no_more(&mut self, held: usize) {
        if self.memory.change(held, 0) {
            self.admit_everywhere();
        }
    }

    /// A link ends whose ticks the handlers have not finished.
    pub(super) fn orphaned(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let left = std::mem::take(&mut link.in_hand);
        self.memory.orphans += left;
        self.memory.used += left;
        self.recount(id);
    }

    /// Handlers have finished ticks of a link that is gone.
    pub(super) fn orphans_finished(&mut self, cost: u64) {
        let cost = usize::try_from(cost).unwrap_or(usize::MAX).min(self.memory.orphans);
        self.memory.orphans -= cost;
        self.held_no_more(cost);
    }

    /// A message that comes in grows beyond what its link may hold: it can neither be kept nor be skipped, so the link ends.
    pub(super) fn judge_part(&mut self, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        if link.is_ready() && self.memory.is_over(link.reader.held()) {
            self.env.counters.crowded_links += 1;
            log::warn!(
                target: "threadmesh::proto",
                "{} is disconnected: the memory of this node is nearly used up, and what it sends takes more than its share",
                link.remote
            );
            self.say_goodbye(id, Farewell::Full, LeftReason::Overloaded);
        }
    }

    /// There is much more room than before, for whoever waits on any link.
    fn admit_everywhere(&mut self) {
        let waits = |link: &&Link<T>| !link.lines.is_empty();
        let waiting: Vec<LinkId> = self.links.values().filter(waits).map(|link| link.id).collect();
        for id in waiting {
            self.env.touch(id);
        }
    }

    /// Where the sums differ from what the links hold.
    #[cfg(any(test, fuzzing))]
    pub(super) fn broken_sums(&self) -> Option<String> {
        let held: usize = self.links.values().map(|link| link.held).sum();
        let (used, orphans) = (self.memory.used, self.memory.orphans);
        let wrong = self.links.values().find(|link| link.held != link.holds());
        let wrong =
            wrong.map(|link| format!("{:?} holds {}, not {}", link.id, link.holds(), link.held));
        let sum = used != held + orphans;
        wrong.or_else(|| {
            sum.then(|| format!("{used} bytes are used, {held} held, {orphans} left behind"))
        })
    }
}
