//! The doorbell: whoever posts to the loop wakes it, but only if it is parked, because a wake is a system call.
//!
//! It knows neither the channel nor the waker, so that a model checker can try every interleaving of it. The rule it rests on: the poster
//! sends first and looks at the flag afterwards, the loop raises the flag first and looks at the channel afterwards, and a fence stands
//! between the two steps on either side. So at least one of them sees the other.

#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, fence};

#[cfg(all(test, loom))]
use loom::sync::atomic::{AtomicBool, Ordering::Relaxed, fence};

use std::sync::atomic::Ordering::SeqCst;

/// Whether the loop is parked, or about to be.
///
/// Every change of the flag is a swap, so that all changes stand in one order that each of them has seen: a late `ring` that lowers the flag
/// cannot be taken for one that came after the next `arm`. The loop pays for that twice a park, a poster only when it wakes the loop.
#[derive(Debug)]
pub(crate) struct Doorbell {
    parked: AtomicBool,
}

impl Doorbell {
    pub(crate) fn new() -> Self {
        Self { parked: AtomicBool::new(false) }
    }

    /// The loop is about to park. It must look at its channel once more after this, and park only if that is empty.
    pub(crate) fn arm(&self) {
        self.parked.swap(true, Relaxed);
        fence(SeqCst);
    }

    /// The loop is awake, whatever woke it.
    pub(crate) fn disarm(&self) {
        self.parked.swap(false, Relaxed);
    }

    /// To be called after sending: whether the caller must wake the loop. Of several callers at the same time one is told to.
    pub(crate) fn ring(&self) -> bool {
        fence(SeqCst);
        self.parked.load(Relaxed) && self.parked.swap(false, Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_a_parked_loop_is_woken_and_only_once() {
        let bell = Doorbell::new();
        assert!(!bell.ring());
        bell.arm();
        assert!(bell.ring());
        assert!(!bell.ring());
        bell.arm();
        bell.disarm();
        assert!(!bell.ring());
    }
}

/// Loom tries every interleaving; a wake that is lost shows as a loop that sleeps for ever, which loom reports as a deadlock.
#[cfg(all(test, loom))]
mod model {
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    use super::*;

    /// What stands around the bell: a channel that orders nothing, and a waker that is remembered like that of mio.
    struct World {
        bell: Doorbell,
        sent: AtomicUsize,
        woken: Mutex<bool>,
        wakes: Condvar,
    }

    impl World {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                bell: Doorbell::new(),
                sent: AtomicUsize::new(0),
                woken: Mutex::new(false),
                wakes: Condvar::new(),
            })
        }

        fn post(&self) {
            self.sent.fetch_add(1, Relaxed);
            if self.bell.ring() {
                self.wake();
            }
        }

        fn wake(&self) {
            *self.woken.lock().unwrap() = true;
            self.wakes.notify_one();
        }

        fn sleep(&self) {
            let mut woken = self.woken.lock().unwrap();
            while !*woken {
                woken = self.wakes.wait(woken).unwrap();
            }
            *woken = false;
        }

        /// The loop, until it has taken that many posts. It has no deadline.
        fn take(&self, posts: usize) {
            let mut taken = 0;
            while taken < posts {
                taken = self.sent.load(Relaxed);
                if taken == posts {
                    return;
                }
                self.bell.arm();
                if self.sent.load(Relaxed) == taken {
                    self.sleep();
                }
                self.bell.disarm();
            }
        }
    }

    fn spawn(world: &Arc<World>, act: fn(&World)) -> thread::JoinHandle<()> {
        let world = world.clone();
        thread::spawn(move || act(&world))
    }

    #[test]
    fn a_loop_without_a_deadline_takes_what_one_poster_posts() {
        loom::model(|| {
            let world = World::new();
            let poster = spawn(&world, |world| {
                world.post();
                world.post();
            });
            world.take(2);
            poster.join().unwrap();
        });
    }

    /// Three threads have too many interleavings to try them all; lost wakes need few preemptions.
    fn check_with_few_preemptions(model: fn()) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(model);
    }

    #[test]
    fn a_loop_without_a_deadline_takes_what_two_posters_post() {
        check_with_few_preemptions(|| {
            let world = World::new();
            let posters = [spawn(&world, World::post), spawn(&world, World::post)];
            world.take(2);
            posters.map(|poster| poster.join().unwrap());
        });
    }

    #[test]
    fn a_wake_by_a_deadline_or_a_socket_loses_no_post() {
        check_with_few_preemptions(|| {
            let world = World::new();
            let others = [spawn(&world, World::post), spawn(&world, World::wake)];
            world.take(1);
            others.map(|other| other.join().unwrap());
        });
    }
}
