//! What policies need of a node beside calls: to tell and count what they do, to pause, to wait for the first of several
//! requests. It must not know the policies.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_channel::Select;

use super::handle::Handle;
use super::pending::Pending;
use crate::config::LONGEST_TIMEOUT;
use crate::error::Error;
use crate::node_event::{NodeEvent, PolicyStep};
use crate::service;

/// How often policies around calls of a node have done something since it started, from [`Handle::policy_counts`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct PolicyCounts {
    /// Attempts after the first that retries have sent.
    pub repeats: u64,
    /// Repeats of retries and copies of hedges that were not sent because a budget was used up.
    pub budgets_exhausted: u64,
    /// Steps of failovers to a next target.
    pub failovers: u64,
    /// Copies after the first that hedges have sent.
    pub hedges_sent: u64,
    /// Requests that were answered by such a copy.
    pub hedges_won: u64,
    /// Circuit breakers that opened, again after a failed probe among them.
    pub breakers_opened: u64,
    /// Circuit breakers that let a probe through.
    pub breakers_half_opened: u64,
    /// Circuit breakers that closed again.
    pub breakers_closed: u64,
    /// Requests that were refused with `CIRCUIT_OPEN`. The only step that is no event, because there may be any number of them.
    pub breaker_refusals: u64,
}

/// The counters behind [`PolicyCounts`].
#[derive(Debug, Default)]
pub(crate) struct Steps {
    repeats: AtomicU64,
    budgets_exhausted: AtomicU64,
    failovers: AtomicU64,
    hedges_sent: AtomicU64,
    hedges_won: AtomicU64,
    breakers_opened: AtomicU64,
    breakers_half_opened: AtomicU64,
    breakers_closed: AtomicU64,
    breaker_refusals: AtomicU64,
}

impl Steps {
    fn count(&self, step: &PolicyStep) {
        let counter = match step {
            PolicyStep::Repeated { .. } => &self.repeats,
            PolicyStep::BudgetExhausted { .. } => &self.budgets_exhausted,
            PolicyStep::FailedOver { .. } => &self.failovers,
            PolicyStep::HedgeSent { .. } => &self.hedges_sent,
            PolicyStep::HedgeWon { .. } => &self.hedges_won,
            PolicyStep::BreakerOpened { .. } => &self.breakers_opened,
            PolicyStep::BreakerHalfOpened { .. } => &self.breakers_half_opened,
            PolicyStep::BreakerClosed { .. } => &self.breakers_closed,
        };
        counter.fetch_add(1, Relaxed);
    }

    fn counts(&self) -> PolicyCounts {
        PolicyCounts {
            repeats: self.repeats.load(Relaxed),
            budgets_exhausted: self.budgets_exhausted.load(Relaxed),
            failovers: self.failovers.load(Relaxed),
            hedges_sent: self.hedges_sent.load(Relaxed),
            hedges_won: self.hedges_won.load(Relaxed),
            breakers_opened: self.breakers_opened.load(Relaxed),
            breakers_half_opened: self.breakers_half_opened.load(Relaxed),
            breakers_closed: self.breakers_closed.load(Relaxed),
            breaker_refusals: self.breaker_refusals.load(Relaxed),
        }
    }
}

/// What policies do.
impl Handle {
    /// How often policies around calls of this node have repeated, hedged, failed over, opened and closed since it started. The
    /// same steps are events: [`NodeEvent::Policy`].
    pub fn policy_counts(&self) -> PolicyCounts {
        self.core().steps.counts()
    }

    /// Counts, logs and publishes a step. In a fork there is nobody to tell.
    pub(crate) fn policy_step(&self, step: PolicyStep) {
        self.core().steps.count(&step);
        if self.core().home.is_here() {
            log::debug!(target: "threadmesh::policy", "{}: {step}", self.id());
            self.core().hub.publish(&NodeEvent::Policy(step));
        }
    }

    /// Counts a request that an open breaker refused.
    pub(crate) fn count_breaker_refusal(&self) {
        self.core().steps.breaker_refusals.fetch_add(1, Relaxed);
    }

    /// # Errors
    /// `CLOSED` after the node's end, and in a fork of its process.
    pub(crate) fn open(&self) -> Result<(), Error> {
        self.core().open()
    }

    /// Lets that much time go by. Ends at once when the node begins to stop, also on the node's own threads.
    ///
    /// # Errors
    /// `WOULD_DEADLOCK` on a loop thread; `CLOSED`.
    pub(crate) fn pause(&self, time: Duration) -> Result<(), Error> {
        let core = self.core();
        core.may_block()?;
        let began = Instant::now();
        let until = began.checked_add(time.min(LONGEST_TIMEOUT)).unwrap_or(began);
        match core.life.wait_begun_until(until) {
            None => Ok(()),
            Some(_) => Err(core.closed()),
        }
    }
}

/// The deadline of the request that is being handled on this thread, which its nested calls inherit.
pub(crate) fn inherited_deadline() -> Option<Instant> {
    service::context::current().and_then(|context| context.deadline)
}

/// Waits until one of several requests has ended, at most until `until`, and says which. What ended is there for
/// [`Pending::try_take`], in rare cases not yet.
pub(crate) fn first_ready<'a, T: 'a>(
    pending: impl IntoIterator<Item = &'a Pending<T>>,
    until: Instant,
) -> Option<usize> {
    let mut select = Select::new();
    for pending in pending {
        select.recv(pending.receiver());
    }
    let _waiting = service::waiting();
    select.ready_deadline(until).ok()
}
