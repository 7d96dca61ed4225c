//! What a worker's thread does: take a job, run it, look for the next, park, end.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use super::asleep::Pulse;
use super::core::{Core, Job};
use super::lanes::BATCH;
use super::{Pool, seat};
use crate::config::YIELD_BEFORE_PARK;
use crate::patience::Patience;
use crate::proto::Delivery;

/// The whole life of worker `number`.
pub(super) fn work(pool: &Arc<Pool>, number: u64) {
    seat::sit(pool.clone(), number);
    let mut batch = VecDeque::new();
    let mut patience = Patience::default();
    let pulse = Pulse::of_this_thread();
    let mut core = pool.lock();
    core.arrived();
    core.observe(number, pulse);
    loop {
        if let Some(job) = core.take(&mut batch) {
            let step = core.next_step();
            pool.settle(core, step);
            core = run(pool, job, &mut batch);
        } else if core.is_over() {
            break;
        } else {
            let (locked, stays) = rest(pool, core, number, &mut patience);
            core = locked;
            if !stays {
                break;
            }
        }
    }
    core.end(number);
    drop(core);
    seat::stand_up();
    pool.ended.notify_all();
}

fn run<'a>(pool: &'a Pool, job: Job, batch: &mut VecDeque<Delivery>) -> MutexGuard<'a, Core> {
    let lane = match &job {
        Job::Request(_) => None,
        Job::Lane(lane) => Some(lane.clone()),
    };
    // Handlers are fenced one by one; this keeps the worker alive even if the program's logger panics.
    let _ = catch_unwind(AssertUnwindSafe(|| match job {
        Job::Request(delivery) => pool.dispatch.request(delivery),
        Job::Lane(lane) => pool.dispatch.ticks(lane.link, batch),
    }));
    let mut core = pool.lock();
    core.finished(lane, batch);
    // A lane that nobody owns any more, after the end, takes nothing back.
    batch.clear();
    if batch.capacity() > 4 * BATCH {
        *batch = VecDeque::new();
    }
    core
}

/// Waits for work: looks for a while if that has been worth it, then parks. False when this worker has nothing to stay for.
fn rest<'a>(
    pool: &'a Pool,
    mut core: MutexGuard<'a, Core>,
    number: u64,
    patience: &mut Patience,
) -> (MutexGuard<'a, Core>, bool) {
    if patience.looks() && core.begin_look() {
        drop(core);
        look(&pool.queued, patience);
        core = pool.lock();
        core.end_look();
        if core.is_over() || !core.queue.is_empty() {
            return (core, true);
        }
    }
    let mut ends = core.park(number, std::thread::current());
    drop(core);
    let begun = Instant::now();
    loop {
        if ends {
            std::thread::park_timeout(pool.idle.saturating_sub(begun.elapsed()));
        } else {
            std::thread::park();
        }
        let mut core = pool.lock();
        if !core.is_parked(number) {
            core.arrived();
            patience.parked(begun.elapsed());
            return (core, true);
        }
        if ends && begun.elapsed() >= pool.idle {
            if core.retire(number) {
                return (core, false);
            }
            ends = false;
        }
    }
}

/// Looks at the length of the queue for a while, leaving the processor to others between looks.
fn look(queued: &AtomicUsize, patience: &mut Patience) {
    let since = Instant::now();
    loop {
        let took = since.elapsed();
        if queued.load(Ordering::Relaxed) > 0 {
            return patience.paid(took);
        }
        if took >= YIELD_BEFORE_PARK {
            return patience.missed(took);
        }
        std::thread::yield_now();
    }
}
