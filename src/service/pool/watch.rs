//! Notices when jobs are queued and nobody takes them, which no worker and no caller can if all workers are stuck in user code.
//!
//! Its thread is started when that can happen for the first time and parks while nothing is queued.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Pool;
use super::core::{Core, Watch};
use crate::config::WORKER_STALL;

/// Looks without a queued job before the watch parks: parking and waking it costs more than a few looks.
const QUIET_LOOKS: u32 = 4;
/// On a contended machine workers may be stuck only for want of a processor, which another thread would not bring. A stall is
/// believed there after so many looks.
const CONTENDED_LOOKS: u32 = 5;
/// A look that comes so late, or a yield that takes so long, says that the processors are contended.
const LATE: Duration = Duration::from_millis(1);

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
    let (begun, taken, was_queued) = (Instant::now(), core.taken, !core.queue.is_empty());
    let waited =
        pool.watch_bell.wait_timeout_while(core, WORKER_STALL, |core| !Pool::is_closed(core));
    let mut core = waited.unwrap_or_else(PoisonError::into_inner).0;
    if core.queue.is_empty() {
        *looks = Looks { quiet: looks.quiet + 1, stalled: 0 };
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
    let expired = core.sweep(Instant::now());
    drop(core);
    pool.refuse(expired);
    let late = begun.elapsed() > WORKER_STALL + LATE;
    let believed = looks.stalled >= CONTENDED_LOOKS || !(late || is_contended());
    let mut core = pool.lock();
    if believed && core.taken == taken {
        looks.stalled = 0;
        let step = core.relieve();
        drop(core);
        pool.settle(step);
        core = pool.lock();
    }
    core
}

fn is_contended() -> bool {
    (0..3).any(|_| {
        let begun = Instant::now();
        std::thread::yield_now();
        begun.elapsed() > LATE
    })
}
