//! Which worker of which pool this thread is, and that it waits. It must not decide anything.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;

use super::Pool;

thread_local! {
    static SEAT: RefCell<Option<Seat>> = const { RefCell::new(None) };
}

struct Seat {
    pool: Arc<Pool>,
    number: u64,
    /// How many waits are nested; the outermost one counts.
    waits: usize,
}

/// This thread is that worker from now on.
pub(super) fn sit(pool: Arc<Pool>, number: u64) {
    SEAT.set(Some(Seat { pool, number, waits: 0 }));
}

/// This thread is no worker any more.
pub(super) fn stand_up() {
    SEAT.set(None);
}

/// The number of this thread among the workers of `pool`.
pub(super) fn number_in(pool: &Arc<Pool>) -> Option<u64> {
    let number = |seat: &Option<Seat>| {
        seat.as_ref().filter(|seat| Arc::ptr_eq(&seat.pool, pool)).map(|seat| seat.number)
    };
    SEAT.try_with(|seat| number(&seat.borrow())).ok().flatten()
}

/// Runs `f`, telling the worker pool that this thread waits meanwhile, so that other work gets another worker.
///
/// For handlers that block on something other than calls of this crate, which say so themselves: a lock, a database, a channel. On
/// a thread that is no worker of a node it only runs `f`.
///
/// # Threads
/// `f` runs on the calling thread.
pub fn blocking<R>(f: impl FnOnce() -> R) -> R {
    let _waiting = waiting();
    f()
}

/// Marks this thread's worker as waiting until the guard is dropped; does nothing on other threads. Every blocking call of this
/// crate holds one while it blocks.
pub(crate) fn waiting() -> Waiting {
    let entered = SEAT.try_with(|seat| {
        seat.borrow_mut().as_mut().map(|seat| {
            seat.waits += 1;
            (seat.waits == 1).then(|| seat.pool.clone())
        })
    });
    let entered = entered.ok().flatten();
    if let Some(Some(pool)) = &entered {
        pool.begin_wait();
    }
    Waiting { counted: entered.is_some(), here: PhantomData }
}

/// See [`waiting`].
#[must_use = "the worker counts as waiting only while this lives"]
pub(crate) struct Waiting {
    counted: bool,
    /// It belongs to the thread that made it.
    here: PhantomData<*const ()>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.counted {
            return;
        }
        let left = SEAT.try_with(|seat| {
            let mut seat = seat.borrow_mut();
            let seat = seat.as_mut()?;
            seat.waits -= 1;
            (seat.waits == 0).then(|| seat.pool.clone())
        });
        if let Ok(Some(pool)) = left {
            pool.end_wait();
        }
    }
}
