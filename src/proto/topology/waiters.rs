//! The callers that wait for one dial, and the timer for the first of their deadlines. It must not
//! know in which state the dial is.

use std::time::Instant;

use super::dial::DialId;
use crate::error::Error;
use crate::proto::ConnectMode;
use crate::proto::env::{Env, Timer, disarm};
use crate::proto::timers::TimerId;

/// All callers that wait for a dial.
#[derive(Debug)]
pub(super) struct Waiters<T> {
    all: Vec<Waiter<T>>,
    /// Armed for the first deadline of a waiter, or for the time to give the dial up.
    timer: Option<TimerId>,
}

/// A caller that waits for a dial.
#[derive(Debug)]
pub(super) struct Waiter<T> {
    pub(super) mode: ConnectMode,
    pub(super) deadline: Instant,
    pub(super) goal: DialGoal,
    pub(super) token: T,
}

/// What a caller waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DialGoal {
    Link,
    /// The link as it is now, for something that is sent over it.
    Passing,
    /// The link, and then that the seed has named the members and these have joined, until the
    /// instant.
    Members(Instant),
}

impl<T> Waiters<T> {
    pub(super) fn new(all: Vec<Waiter<T>>) -> Self {
        Self { all, timer: None }
    }

    pub(super) fn add(&mut self, waiter: Waiter<T>) {
        self.all.push(waiter);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether a caller waits for the link itself.
    pub(super) fn want_link(&self) -> bool {
        self.all.iter().any(|waiter| waiter.goal == DialGoal::Link)
    }

    /// Whether a caller waits for more than to send something now.
    pub(super) fn want_more(&self) -> bool {
        self.all.iter().any(|waiter| waiter.goal != DialGoal::Passing)
    }

    /// Arms the timer for the first deadline, or for the time to give the dial up.
    pub(super) fn arm(&mut self, env: &mut Env<T>, dial: DialId, give_up: Option<Instant>) {
        disarm(&mut env.timers, &mut self.timer);
        let first = self.all.iter().map(|waiter| waiter.deadline).chain(give_up).min();
        self.timer = first.map(|at| env.timers.arm(at, Timer::Waiters(dial)));
    }

    /// The timer has expired: fails the waiters whose deadline has passed.
    pub(super) fn expire(&mut self, env: &mut Env<T>, error: &Error) {
        self.timer = None;
        let now = env.now;
        self.fail(env, error, |waiter| waiter.deadline <= now);
    }

    /// Fails the waiters that `which` selects.
    pub(super) fn fail(
        &mut self,
        env: &mut Env<T>,
        error: &Error,
        which: impl Fn(&Waiter<T>) -> bool,
    ) {
        let waiters = std::mem::take(&mut self.all).into_iter();
        let (failed, waiting): (Vec<_>, Vec<_>) = waiters.partition(which);
        self.all = waiting;
        for waiter in failed {
            env.complete(waiter.token, Err(error.clone()));
        }
    }

    /// Takes all waiters.
    pub(super) fn take(&mut self) -> Vec<Waiter<T>> {
        std::mem::take(&mut self.all)
    }

    /// Fails all waiters, and disarms the timer.
    pub(super) fn end(mut self, env: &mut Env<T>, error: &Error) {
        disarm(&mut env.timers, &mut self.timer);
        self.fail(env, error, |_| true);
    }

    /// Timers that are armed.
    #[cfg(any(test, fuzzing))]
    pub(super) fn timers(&self) -> usize {
        usize::from(self.timer.is_some())
    }
}
