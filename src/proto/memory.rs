//! What the links take of the node's memory: messages that are queued, messages that have come in
//! part, what the handlers have, and requests that are kept for alternates until they are answered.
//! Above half of the node's memory one link may take what is free divided by the links, so that no
//! peer takes the share of the others. Tick windows are bounded here, too.
//!
//! The engine counts, and callers read one number beside each capacity. What threads post within
//! one turn of the loop comes on top, and so does a single message on a link that has none. It must
//! not know what a link is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::planted::{Planted, has};
use crate::config::LINK_LEAST_BYTES;
use crate::routing::Share;

/// A message at most this long passes through the smallest window; a longer one passes alone.
const MIN_WINDOW: u64 = 4 * 1024;

#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    /// What all links take, and what links that are gone have left with the handlers.
    used: usize,
    /// Ticks that handlers have and whose link is gone.
    orphans: usize,
    /// What one link may take, where callers read it.
    share: Share,
    /// Links that have joined: the others have no share, and take none away.
    joined: usize,
    /// The share of when the messages that wait for capacity were last looked at.
    looked_at: usize,
    /// Bytes of tick windows granted.
    windows: u64,
}

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: 0,
            orphans: 0,
            share: Arc::new(AtomicUsize::new(usize::MAX)),
            joined: 0,
            looked_at: usize::MAX,
            windows: 0,
        }
    }

    /// Where callers read what one link may take.
    pub(super) fn share(&self) -> Share {
        Arc::clone(&self.share)
    }

    /// Whether a link that takes that much takes more than its share.
    pub(super) fn is_over(&self, taken: usize) -> bool {
        taken > self.share.load(Relaxed) && !has(Planted::ShareIgnored)
    }

    pub(super) fn link_joined(&mut self) {
        self.joined += 1;
    }

    pub(super) fn link_left(&mut self) {
        self.joined -= 1;
    }

    /// Something is taken in place of something else. True if the share has grown so much since the
    /// last time that the messages that wait for it should be looked at again.
    #[must_use]
    pub(super) fn change(&mut self, before: usize, after: usize) -> bool {
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

    /// A link is lost whose handlers have so many bytes of ticks.
    pub(super) fn orphan(&mut self, bytes: usize) {
        self.orphans += bytes;
        self.used += bytes;
    }

    /// Handlers have finished ticks of a link that is gone; like [`change`](Self::change).
    #[must_use]
    pub(super) fn orphans_finished(&mut self, cost: u64) -> bool {
        let cost = usize::try_from(cost).unwrap_or(usize::MAX).min(self.orphans);
        self.orphans -= cost;
        self.change(cost, 0)
    }

    /// The window that a new link is granted.
    pub(super) fn first_window(&self, usual: u64) -> u64 {
        usual.min(self.window_limit().saturating_sub(self.windows).max(MIN_WINDOW))
    }

    /// Whether all windows may grow by so much.
    pub(super) fn has_window(&self, bytes: u64) -> bool {
        self.windows + bytes <= self.window_limit()
    }

    /// The most that all windows may come to, but for the least that every link is granted: half.
    fn window_limit(&self) -> u64 {
        self.limit as u64 / 2
    }

    /// A window of `before` bytes has `after` now.
    pub(super) fn window_changed(&mut self, before: u64, after: u64) {
        self.windows = self.windows - before + after;
    }

    /// What is wrong with the sums, if those of the links are these.
    pub(super) fn broken_windows(&self, granted: u64, joined: usize) -> Option<String> {
        if granted != self.windows {
            return Some(format!("{} bytes of windows are granted, not {granted}", self.windows));
        }
        (joined != self.joined).then(|| format!("{joined} links have joined, not {}", self.joined))
    }

    /// The same of what is used.
    #[cfg(any(test, fuzzing))]
    pub(super) fn broken_sum(&self, counted: usize) -> Option<String> {
        let (used, orphans) = (self.used, self.orphans);
        let wrong = used != counted + orphans;
        wrong.then(|| format!("{used} bytes are used, {counted} by links, {orphans} left behind"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_half_of_the_memory_each_link_has_a_share_of_what_is_free() {
        let mut memory = Memory::new(100 * LINK_LEAST_BYTES);
        (0..4).for_each(|_| memory.link_joined());
        assert!(!memory.change(0, 50 * LINK_LEAST_BYTES));
        assert!(!memory.is_over(usize::MAX - 1));
        assert!(!memory.change(50 * LINK_LEAST_BYTES, 60 * LINK_LEAST_BYTES));
        assert!(!memory.is_over(10 * LINK_LEAST_BYTES) && memory.is_over(11 * LINK_LEAST_BYTES));
        assert!(!memory.change(0, 39 * LINK_LEAST_BYTES));
        assert!(!memory.is_over(LINK_LEAST_BYTES), "the least that every link may take");
        assert!(memory.change(39 * LINK_LEAST_BYTES, 0), "the share has grown");
    }

    #[test]
    fn ticks_of_lost_links_count_until_their_handlers_are_done() {
        let mut memory = Memory::new(1_000);
        memory.orphan(300);
        assert_eq!(memory.broken_sum(0), None);
        assert!(!memory.orphans_finished(200));
        assert!(!memory.orphans_finished(u64::MAX));
        assert_eq!(memory.broken_sum(0), None);
        assert_eq!(memory.used, 0);
    }

    #[test]
    fn windows_shrink_when_half_of_the_memory_is_granted() {
        let mut memory = Memory::new(100_000);
        assert_eq!(memory.first_window(30_000), 30_000);
        memory.window_changed(0, 30_000);
        assert_eq!(memory.first_window(30_000), 20_000);
        assert!(memory.has_window(20_000) && !memory.has_window(20_001));
        memory.window_changed(0, 20_000);
        assert_eq!(memory.first_window(30_000), MIN_WINDOW);
        assert_eq!(memory.broken_windows(50_000, 0), None);
    }
}
