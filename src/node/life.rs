//! Running, stopping, stopped: one way only, and anybody may wait for the end. It must not know how stopping is done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::lock;
use crate::service;

/// What a stop found unfinished when its bound was reached. All zero and empty after a clean stop.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct StopReport {
    /// Requests of this node that were pending and failed with `CLOSED`.
    pub calls: u64,
    /// Requests of others that got no answer.
    pub unanswered: u64,
    /// Ticks of this node that were never written: they certainly did not run.
    pub unwritten: u64,
    /// Ticks of this node that were written and not confirmed: they may have run.
    pub unconfirmed: u64,
    /// Ticks of others that had come and that no handler saw: their senders know them as unconfirmed.
    pub ticks: u64,
    /// Threads that were still inside a handler, or in a closure for events. They were left to themselves and end with it.
    pub detached: Vec<String>,
    /// The stop was begun from inside a handler, or a closure for events, and goes on after it returns; the other fields are not known yet.
    /// [`Handle::wait`](crate::Handle::wait), on another thread, gives the whole report.
    pub unfinished: bool,
}

impl StopReport {
    /// Whether nothing was cut off.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn unfinished() -> Self {
        Self { unfinished: true, ..Self::default() }
    }
}

/// Where a node stands in its life.
#[derive(Debug)]
pub(crate) struct Life {
    /// Set when stopping begins; read on every call.
    closed: AtomicBool,
    state: Mutex<State>,
    /// Told when stopping begins, and when it has ended.
    changed: Condvar,
}

#[derive(Debug)]
enum State {
    Starting,
    Running(Threads),
    /// By which thread.
    Stopping(ThreadId),
    Stopped(StopReport),
}

/// A thread of the node, and what is disconnected when it has ended.
#[derive(Debug)]
pub(crate) struct Threads {
    pub(crate) thread: JoinHandle<()>,
    pub(crate) ended: Receiver<()>,
}

/// Who stops.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Whoever gets this: with the threads comes the duty to [`end`](Life::end).
    First(Option<Threads>),
    /// Somebody else, or this very thread further up.
    Before { here: bool },
}

impl Life {
    pub(crate) fn new() -> Self {
        Self {
            closed: AtomicBool::new(false),
            state: Mutex::new(State::Starting),
            changed: Condvar::new(),
        }
    }

    /// The threads run. Not if they have failed already.
    pub(crate) fn running(&self, threads: Threads) {
        let mut state = lock(&self.state);
        if matches!(*state, State::Starting) {
            *state = State::Running(threads);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn begin_stop(&self) -> Begun {
        let here = thread::current().id();
        let mut state = lock(&self.state);
        let threads = match std::mem::replace(&mut *state, State::Stopping(here)) {
            State::Starting => None,
            State::Running(threads) => Some(threads),
            before => {
                let begun =
                    Begun::Before { here: matches!(before, State::Stopping(by) if by == here) };
                *state = before;
                return begun;
            }
        };
        self.closed.store(true, Ordering::Release);
        drop(state);
        self.changed.notify_all();
        Begun::First(threads)
    }

    /// Another thread than the one that began sees the stop through.
    pub(crate) fn taken_over(&self) {
        let mut state = lock(&self.state);
        if matches!(*state, State::Stopping(_)) {
            *state = State::Stopping(thread::current().id());
        }
    }

    /// The node has stopped; everybody who waits for it goes on.
    pub(crate) fn end(&self, report: StopReport) {
        *lock(&self.state) = State::Stopped(report);
        self.changed.notify_all();
    }

    /// Waits for the end.
    pub(crate) fn wait(&self) -> StopReport {
        loop {
            // The length is of no consequence: there is no deadline, the end comes when somebody stops the node.
            if let Some(report) = self.wait_until(Instant::now() + Duration::from_secs(3_600)) {
                return report;
            }
        }
    }

    /// Waits for the end, at most until `until`.
    pub(crate) fn wait_until(&self, until: Instant) -> Option<StopReport> {
        self.watch(until, |state| match state {
            State::Starting | State::Running(_) | State::Stopping(_) => None,
            State::Stopped(report) => Some(report.clone()),
        })
    }

    /// Waits for the beginning of the end, at most until `until`.
    pub(crate) fn wait_begun_until(&self, until: Instant) -> Option<StopReport> {
        self.watch(until, |state| match state {
            State::Starting | State::Running(_) => None,
            State::Stopping(_) => Some(StopReport::unfinished()),
            State::Stopped(report) => Some(report.clone()),
        })
    }

    /// Looks at the state whenever it changes, until something is found in it or the time is over.
    fn watch(
        &self,
        until: Instant,
        find: impl Fn(&State) -> Option<StopReport>,
    ) -> Option<StopReport> {
        let _waiting = service::waiting();
        let mut state = lock(&self.state);
        loop {
            if let Some(found) = find(&state) {
                return Some(found);
            }
            let patience = until.saturating_duration_since(Instant::now());
            if patience.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(state, patience);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_stop_has_the_duty_and_all_get_the_report() {
        let _bound = crate::bound::bound();
        let life = Life::new();
        assert!(!life.is_closed());
        assert!(matches!(life.begin_stop(), Begun::First(None)));
        assert!(life.is_closed());
        assert!(matches!(life.begin_stop(), Begun::Before { here: true }));
        let report = StopReport { calls: 3, ..StopReport::default() };
        thread::scope(|scope| {
            let other = scope.spawn(|| life.begin_stop());
            assert!(matches!(other.join().unwrap(), Begun::Before { here: false }));
            let waiting = scope.spawn(|| life.wait());
            life.end(report.clone());
            assert_eq!(waiting.join().unwrap(), report);
        });
        assert!(matches!(life.begin_stop(), Begun::Before { here: false }));
        assert_eq!(life.wait(), report);
    }

    #[test]
    fn a_wait_with_a_bound_ends_by_itself_or_with_what_it_waits_for() {
        let _bound = crate::bound::bound();
        let life = Life::new();
        let soon = || Instant::now() + Duration::from_millis(5);
        let late = || Instant::now() + Duration::from_secs(30);
        assert_eq!((life.wait_begun_until(soon()), life.wait_until(soon())), (None, None));
        thread::scope(|scope| {
            let begun = scope.spawn(|| life.wait_begun_until(late()));
            assert!(matches!(life.begin_stop(), Begun::First(None)));
            assert!(begun.join().unwrap().unwrap().unfinished);
            assert_eq!(life.wait_until(soon()), None);
            let ended = scope.spawn(|| life.wait_until(late()));
            life.end(StopReport::default());
            assert!(ended.join().unwrap().unwrap().is_clean());
        });
        assert!(life.wait_begun_until(soon()).unwrap().is_clean());
    }
}
