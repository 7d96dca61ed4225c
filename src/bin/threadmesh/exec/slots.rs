//! Room for a number of programs at once, and the line before it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often somebody in line looks whether its caller still waits.
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

/// The room of one; given back with its drop.
pub(super) struct Slot<'a>(&'a Slots);

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), freed: Condvar::new() }
    }

    /// Waits for room, at most until the deadline, and no longer than somebody waits for the outcome.
    pub(super) fn take(&self, deadline: Instant, given_up: &dyn Fn() -> bool) -> Option<Slot<'_>> {
        let mut free = self.lock();
        while *free == 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || given_up() {
                return None;
            }
            let waited = self.freed.wait_timeout(free, left.min(LOOK));
            free = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        Some(Slot(self))
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.lock() += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_more_room_than_there_is_and_what_is_given_back_is_free() {
        let _bound = crate::bound::bound();
        let slots = Slots::new(1);
        let soon = || Instant::now() + Duration::from_millis(30);
        let held = slots.take(soon(), &|| false);
        assert!(held.is_some() && slots.take(soon(), &|| false).is_none());
        let far = Instant::now() + Duration::from_secs(60);
        assert!(slots.take(far, &|| true).is_none());
        drop(held);
        assert!(slots.take(soon(), &|| false).is_some());
    }
}
