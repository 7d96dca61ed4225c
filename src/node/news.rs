//! News of the peers, for those who wait until somebody is there, or is as they want it. It must not say what is new: they look.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::lock;
use crate::config::LONGEST_TIMEOUT;
use crate::service;

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
        let mut count = lock(&self.count);
        loop {
            if *count != seen {
                return true;
            }
            let patience = match deadline {
                None => LONGEST_TIMEOUT,
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            };
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_ends_with_what_came_since_the_look_or_at_its_deadline() {
        let _bound = crate::bound::bound();
        let news = Arc::new(News::default());
        let seen = news.count();
        let deadline = Instant::now() + Duration::from_millis(20);
        assert!(!news.wait(seen, Some(deadline)));
        assert!(Instant::now() >= deadline);
        thread::scope(|scope| {
            let waits = [(); 2].map(|()| scope.spawn(|| news.wait(seen, None)));
            news.tell();
            assert!(waits.into_iter().all(|waits| waits.join().unwrap()));
        });
        assert!(news.wait(seen, Some(deadline)), "it came before the wait");
        assert!(!news.wait(news.count(), Some(deadline)));
    }
}
