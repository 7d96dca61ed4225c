//! The worker pool: grows when its workers wait, shrinks when they are idle, and never runs user code under its lock.
//!
//! A worker is *idle* (it looks or is parked), *running* or *waiting* (inside one of our blocking calls). `core` decides, `worker`
//! is what each thread does, `watch` notices when nobody takes jobs, `seat` tells which worker a thread is.

mod asleep;
mod core;
mod lanes;
mod queue;
pub(super) mod seat;
#[cfg(test)]
mod tests;
mod watch;
mod worker;

use std::io;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::core::{Core, Phase, Refusal, Refused, Step};
use super::dispatch::Dispatch;
use crate::config::{Limits, WAKES_UNDER_LOCK};
use crate::error::{Error, ErrorKind, Execution};
use crate::proto::{Answer, Delivery, ReplyTo};

/// All workers of one node.
pub(super) struct Pool {
    core: Mutex<Core>,
    /// How much is queued, readable without the lock.
    queued: Arc<AtomicUsize>,
    /// Rung when jobs are queued that nobody may come for, and at the end.
    watch_bell: Condvar,
    /// Rung when a worker has ended.
    ended: Condvar,
    dispatch: Arc<Dispatch>,
    /// A surplus worker ends after this long without a job.
    idle: Duration,
}

/// What a stop left behind.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Detached {
    /// Threads that were still in user code. They end when their handlers return.
    pub(crate) workers: Vec<String>,
    /// Ticks that no handler saw; their senders know them as unconfirmed.
    pub(crate) ticks: usize,
}

/// Counts of workers and of what waits for them.
#[allow(dead_code, reason = "told in the log until statistics are published")]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) workers: usize,
    /// The most there were at once.
    pub(crate) most: usize,
    /// Requests and lanes that wait for a worker.
    pub(crate) queued: usize,
    /// Requests that were refused because the queue was full, or made room for others.
    pub(crate) full: u64,
    /// Nested requests that were refused because all workers waited.
    pub(crate) all_waiting: u64,
}

impl Pool {
    pub(super) fn new(limits: &Limits, idle: Duration, dispatch: Arc<Dispatch>) -> Arc<Self> {
        let core = Core::new(limits);
        Arc::new(Self {
            queued: core.queue.hint(),
            core: Mutex::new(core),
            watch_bell: Condvar::new(),
            ended: Condvar::new(),
            dispatch,
            idle,
        })
    }

    /// Takes messages in their order and returns the requests that cannot be taken. Never waits for user code.
    pub(super) fn deliver(self: &Arc<Self>, batch: &mut Vec<Delivery>) -> Vec<(ReplyTo, Answer)> {
        let mut core = self.lock();
        let mut refused = Vec::new();
        for delivery in batch.drain(..) {
            core.admit(delivery, &mut refused);
        }
        let step = core.next_step();
        refused.append(&mut self.release(core, step));
        refused.into_iter().map(|refused| (refused.reply_to, self.answer(refused.why))).collect()
    }

    /// Whether this thread is one of the workers.
    pub(super) fn is_worker(self: &Arc<Self>) -> bool {
        seat::number_in(self).is_some()
    }

    pub(super) fn counts(&self) -> Counts {
        let core = self.lock();
        Counts {
            workers: core.live.len(),
            most: core.most,
            queued: core.queue.len(),
            full: core.full,
            all_waiting: core.all_waiting,
        }
    }

    /// Ends all workers: queued requests are refused, lanes are emptied until `bound`, handlers may finish until then.
    pub(super) fn stop(self: &Arc<Self>, bound: Instant) -> Detached {
        let me = seat::number_in(self);
        let _waiting = seat::waiting();
        self.drain(me);
        let mut core = self.lock();
        while !core.is_deserted() {
            let left = bound.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            core = self.ended.wait_timeout(core, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let ticks = core.close();
        let mut left: Vec<u64> =
            core.live.keys().filter(|worker| !core.stoppers.contains(worker)).copied().collect();
        left.sort_unstable();
        let handles = std::mem::take(&mut core.ended);
        if let Some(me) = me {
            core.stoppers.remove(&me);
        }
        drop(core);
        self.watch_bell.notify_all();
        join(handles);
        Detached {
            workers: left.into_iter().map(|worker| self.thread_name(worker)).collect(),
            ticks,
        }
    }

    /// Ends all workers and waits for nobody.
    pub(super) fn close(self: &Arc<Self>) {
        self.drain(None);
        self.lock().close();
        self.watch_bell.notify_all();
    }

    fn drain(&self, stopper: Option<u64>) {
        let mut core = self.lock();
        core.stoppers.extend(stopper);
        let (refused, woken) = core.drain();
        drop(core);
        woken.iter().for_each(std::thread::Thread::unpark);
        // Another worker that waits in `stop` may have waited for this one.
        self.ended.notify_all();
        self.refuse(refused);
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        // No user code runs under this lock; a poisoned one would only say that an allocation failed.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Releases the lock, acts on a decision and refuses what it refuses. Not for the loop thread, which must not post to itself.
    fn settle(self: &Arc<Self>, core: MutexGuard<'_, Core>, step: Step) {
        let refused = self.release(core, step);
        self.refuse(refused);
    }

    /// Releases the lock and acts on a decision: a worker that is woken takes the lock first thing.
    fn release(self: &Arc<Self>, core: MutexGuard<'_, Core>, step: Step) -> Vec<Refused> {
        match step {
            Step::Wake(worker) if WAKES_UNDER_LOCK => {
                worker.unpark();
                drop(core);
                Vec::new()
            }
            step => {
                drop(core);
                self.act(step)
            }
        }
    }

    /// Acts on a decision, without the lock, and returns whom to refuse.
    fn act(self: &Arc<Self>, mut step: Step) -> Vec<Refused> {
        let mut refused = Vec::new();
        loop {
            step = match step {
                Step::Nothing => return refused,
                Step::Wake(worker) => {
                    worker.unpark();
                    return refused;
                }
                Step::Add(number) => match self.start_worker(number) {
                    Ok(()) => return refused,
                    Err(why) => self.not_started(number, &why),
                },
                Step::Watch { start: false } => {
                    self.watch_bell.notify_all();
                    return refused;
                }
                Step::Watch { start: true } => {
                    self.start_watch();
                    return refused;
                }
                Step::Refuse(mut more) => {
                    refused.append(&mut more);
                    self.lock().next_step()
                }
            };
        }
    }

    fn start_worker(self: &Arc<Self>, number: u64) -> io::Result<()> {
        let pool = self.clone();
        let handle = spawn(self.thread_name(number), move || worker::work(&pool, number))?;
        self.lock().added(number, handle);
        Ok(())
    }

    fn not_started(&self, number: u64, why: &io::Error) -> Step {
        log::error!(target: super::LOG, "node {}: no thread for a worker: {why}", self.dispatch.node());
        let mut core = self.lock();
        core.not_added(number);
        core.next_step()
    }

    fn start_watch(self: &Arc<Self>) {
        let pool = self.clone();
        let name = format!("tm-{}-watch", self.dispatch.node());
        match spawn(name, move || watch::watch(&pool)) {
            Ok(handle) => self.lock().ended.push(handle),
            Err(why) => {
                self.lock().not_watched();
                log::error!(target: super::LOG, "node {}: no thread: {why}", self.dispatch.node());
            }
        }
    }

    fn thread_name(&self, worker: u64) -> String {
        format!("tm-{}-w{worker}", self.dispatch.node())
    }

    fn refuse(&self, refused: Vec<Refused>) {
        for Refused { reply_to, why } in refused {
            self.dispatch.outlet().answer(reply_to, self.answer(why));
        }
    }

    fn answer(&self, why: Refusal) -> Answer {
        let node = self.dispatch.node();
        let (kind, message) = match why {
            Refusal::QueueFull => (
                ErrorKind::Busy,
                format!(
                    "node {node} has as many requests queued as it takes; try again or ask another"
                ),
            ),
            Refusal::AllWaiting => (
                ErrorKind::Busy,
                format!(
                    "all workers of node {node} wait for nested calls; the request could only deadlock"
                ),
            ),
            Refusal::Expired => (
                ErrorKind::Expired,
                format!("no worker of node {node} was free before the deadline"),
            ),
            Refusal::Closed => (ErrorKind::Busy, format!("node {node} is stopping")),
        };
        Answer::Fault(Error::new(kind, message).with_execution(Execution::Never))
    }

    fn begin_wait(self: &Arc<Self>) {
        let mut core = self.lock();
        let step = core.begin_wait();
        self.settle(core, step);
    }

    fn end_wait(&self) {
        self.lock().end_wait();
    }

    fn is_closed(core: &Core) -> bool {
        core.phase == Phase::Closed
    }
}

/// The one place that starts threads of this room.
fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(body)
}

/// Joins threads that are ending, but never the one that asks.
fn join(handles: Vec<JoinHandle<()>>) {
    let me = std::thread::current().id();
    for handle in handles {
        if handle.thread().id() != me {
            // Workers and the watch catch what panics in them; there is nothing to learn from the result.
            let _ = handle.join();
        }
    }
}
