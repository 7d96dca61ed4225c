//! The end of the node: drain within a bound, say goodbye, let go. It must not close anything.

use std::time::{Duration, Instant};

use super::env::{Env, Timer};
use super::planted::{Planted, has};
use super::timers::TimerId;
use super::{Done, Output, StopCut};
use crate::node_event::NodeEvent;

/// Goodbyes get at least this, however long draining took.
const PARTING: Duration = Duration::from_millis(50);

/// Where the node is between life and end.
#[derive(Debug)]
pub(super) enum Stop<T> {
    Running,
    /// Handlers finish, what was accepted is written and confirmed.
    Draining(Stopping<T>),
    /// Goodbyes are on their way.
    Parting(Stopping<T>),
    Stopped,
}

/// A stop under way.
#[derive(Debug)]
pub(super) struct Stopping<T> {
    waiters: Vec<T>,
    bound: Instant,
    timer: TimerId,
    cut: StopCut,
}

/// What a stop goes on to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StopStep {
    Nothing,
    /// Say goodbye on all links.
    Part,
    /// The bound is over: drop what is left.
    Drop,
}

impl<T> Stop<T> {
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped)
    }

    /// Begins a stop that takes at most so long.
    pub(super) fn begin(&mut self, bound: Duration, token: Option<T>, env: &mut Env<T>) {
        env.stopping = true;
        let bound = env.now + bound;
        let drained = bound.checked_sub(PARTING).map_or(bound, |at| at.max(env.now));
        let timer = env.timers.arm(drained, Timer::Stop);
        let (waiters, cut) = (token.into_iter().collect(), StopCut::default());
        *self = Self::Draining(Stopping { waiters, bound, timer, cut });
    }

    /// Another caller waits for the end.
    pub(super) fn join(&mut self, token: Option<T>) {
        match self {
            Self::Draining(stopping) | Self::Parting(stopping) => stopping.waiters.extend(token),
            // The shell, which gets `Output::Stopped`, ends what comes later.
            Self::Running | Self::Stopped => {}
        }
    }

    /// Something is cut off.
    pub(super) fn cut(&mut self, cut: StopCut) {
        if let Self::Draining(stopping) | Self::Parting(stopping) = self {
            stopping.cut.calls += cut.calls;
            stopping.cut.unanswered += cut.unanswered;
            stopping.cut.unwritten += cut.unwritten;
            stopping.cut.unconfirmed += cut.unconfirmed;
        }
    }

    /// The time to drain, or the whole bound, is over.
    pub(super) fn on_due(&self) -> StopStep {
        match self {
            Self::Draining(_) if has(Planted::StopWithoutEnd) => StopStep::Nothing,
            Self::Draining(_) => StopStep::Part,
            Self::Parting(_) => StopStep::Drop,
            Self::Running | Self::Stopped => StopStep::Nothing,
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        matches!(self, Self::Draining(_))
    }

    pub(super) fn is_parting(&self) -> bool {
        matches!(self, Self::Parting(_))
    }

    /// Goodbyes are said now.
    pub(super) fn part(&mut self, env: &mut Env<T>) {
        debug_assert!(self.is_draining(), "a stop parts once");
        if let Self::Draining(mut stopping) = std::mem::replace(self, Self::Running) {
            env.timers.disarm(stopping.timer);
            let bound = stopping.bound.max(env.now + PARTING);
            stopping.timer = env.timers.arm(bound, Timer::Stop);
            *self = Self::Parting(stopping);
        }
    }

    /// No link is left.
    pub(super) fn finish(&mut self, env: &mut Env<T>) {
        debug_assert!(self.is_parting(), "goodbyes precede the end");
        let Self::Parting(stopping) = std::mem::replace(self, Self::Stopped) else { return };
        let counters = &env.counters;
        log::debug!(target: "threadmesh::proto", "stopped; dropped so far: {counters:?}");
        env.timers.disarm(stopping.timer);
        env.event(NodeEvent::Stopped);
        for token in stopping.waiters {
            env.complete(token, Ok(Done::Stopped(stopping.cut)));
        }
        env.out.push(Output::Stopped);
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn timers(&self) -> usize {
        usize::from(self.is_draining() || self.is_parting())
    }
}
