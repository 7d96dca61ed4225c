//! News of the peers, for those who wait until somebody is there, or is as they want it. It must not say what is new: they look.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lock;
use crate::config::LONGEST_TIMEOUT;
use crate::service;

/// The time between two looks when there is always something new.
const BREATH: Duration = Duration::from_millis(1);

/// Counts the directories that were shown. Not the events: a second link to a peer is none, and a call may have waited for its direction.
#[derive(Debug, Default)]
pub(crate) struct News {
    count: Mutex<u64>,
    changed: Condvar,
}

impl News {
    /// How many there were. Asked for before a look, so that nothing happens unseen between this and a wait.
    pub(crate) fn count(&self) -> u64 {
        *lock(&self.count)
    }

    /// Waits until there were more than that, at most until `deadline`; false if there were not.
    pub(crate) fn wait(&self, seen: u64, deadline: Option<Instant>) -> bool {
        // Before the lock: it may start a worker, and the loop must not wait for that.
        let _waiting = service::waiting();
        let left = || match deadline {
            None => LONGEST_TIMEOUT,
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
        };
        let mut count = lock(&self.count);
        // More came during the look: who looks again at once, at every change of thousands of peers, does nothing else.
        let breath = (*count != seen).then(|| Instant::now() + BREATH);
        loop {
            let breathes = breath.map(|end| end.saturating_duration_since(Instant::now()));
            if *count != seen && breathes.is_none_or(|left| left.is_zero()) {
                return !left().is_zero();
            }
            let patience = breathes.unwrap_or(LONGEST_TIMEOUT).min(left());
            if patience.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(count, patience);
            count = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Wakes everybody who waits. The lock is held by nobody for longer than it takes to read the count.
    pub(crate) fn tell(&self) {
        *lock(&self.count) += 1;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn a_wait_ends_with_what_came_since_the_look_or_at_its_deadline() {
        let _bound = crate::bound::bound();
        let news = Arc::new(News::default());
        let seen = news.count();
        let soon = Instant::now() + Duration::from_millis(20);
        assert!(!news.wait(seen, Some(soon)));
        assert!(Instant::now() >= soon);
        thread::scope(|scope| {
            let waits = [(); 2].map(|()| scope.spawn(|| news.wait(seen, None)));
            news.tell();
            assert!(waits.into_iter().all(|waits| waits.join().unwrap()));
        });
        let began = Instant::now();
        assert!(news.wait(seen, None), "it came before the wait");
        assert!(began.elapsed() >= BREATH);
        assert!(!news.wait(seen, Some(soon)), "whatever came, the time is over");
        assert!(!news.wait(news.count(), Some(soon)));
    }
}
