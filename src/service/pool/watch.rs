//! Notices when jobs are queued and nobody takes them, which no worker and no caller can if all workers are stuck in user code.
//!
//! Its thread is started when that can happen for the first time and parks while nothing is queued.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use super::Pool;
use super::asleep::Pulse;
use super::core::{Core, Watch};
use crate::config::WORKER_STALL;

/// Looks without a queued job before the watch parks: parking and waking it costs more than a few looks.
const QUIET_LOOKS: u32 = 4;
/// Workers that want a processor may be stuck only for lack of one, which another thread would not bring: such a stall is believed
/// after so many looks. It is believed then, since short jobs must not wait for ever behind long computations.
const COMPUTING_LOOKS: u32 = 20;

/// The whole life of the watch.
pub(super) fn watch(pool: &Arc<Pool>) {
    let mut looks = Looks::default();
    let mut core = pool.lock();
    while !Pool::is_closed(&core) {
        core = if core.watch == Watch::Awake {
            look(pool, core, &mut looks)
        } else {
            pool.watch_bell.wait(core).unwrap_or_else(PoisonError::into_inner)
        };
    }
}

#[derive(Default)]
struct Looks {
    /// Looks in a row that found nothing queued.
    quiet: u32,
    /// Looks in a row that found jobs and nobody who had taken one.
    stalled: u32,
}

fn look<'a>(
    pool: &'a Arc<Pool>,
    core: MutexGuard<'a, Core>,
    looks: &mut Looks,
) -> MutexGuard<'a, Core> {
    let (taken, was_queued) = (core.taken, !core.queue.is_empty());
    let waited =
        pool.watch_bell.wait_timeout_while(core, WORKER_STALL, |core| !Pool::is_closed(core));
    let mut core = waited.unwrap_or_else(PoisonError::into_inner).0;
    if core.queue.is_empty() {
        looks.stalled = 0;
        looks.quiet += 1;
        if looks.quiet >= QUIET_LOOKS {
            *looks = Looks::default();
            core.watch = Watch::Parked;
        }
        return core;
    }
    looks.quiet = 0;
    if core.taken != taken || !was_queued {
        looks.stalled = 0;
        return core;
    }
    looks.stalled += 1;
    let (expired, pulses) = (core.sweep(Instant::now()), core.pulses());
    drop(core);
    pool.refuse(expired);
    let computing = pulses.iter().any(Pulse::wants_processor);
    let believed = looks.stalled >= COMPUTING_LOOKS || !computing;
    let mut core = pool.lock();
    if believed && core.taken == taken {
        looks.stalled = 0;
        let step = core.relieve();
        pool.settle(core, step);
        core = pool.lock();
    }
    core
}
