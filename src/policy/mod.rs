//! Policies around calls: again, elsewhere, twice, or not at all for a while.
//!
//! # What is repeated, and what is not
//!
//! **A policy repeats only what certainly did not run.** Examples elsewhere, those that this crate grew from among them, send a
//! request again after any error; but a request that timed out may be running this very moment, and one whose link was lost may have been
//! answered. Whether running it twice does harm only the program knows, so it says so at the call, in one word:
//!
//! | the call says | repeated after |
//! |---|---|
//! | nothing | what never ran, where repeating can help: nobody there, no handler, no room, a breaker that is open |
//! | [`idempotent`](crate::Call::idempotent) | that, and what may have run: a timeout, a lost link |
//! | [`retry_if`](crate::Call::retry_if) | that of the rows above, and whatever its test says: handlers' errors, mostly |
//!
//! Nothing is repeated after the caller's own mistakes (`INVALID_*`, `ENCODE`, `TOO_LARGE`, `USER_CODE_PANICKED` and so on), after a
//! cancel, or once the node has stopped. A failover also goes on after errors that lie with one target and stay (`FORBIDDEN`,
//! `UNSUPPORTED`). The one rule is [`Target::may_repeat`]; every policy asks it.
//!
//! What comes back in the end is the last error, with the number of attempts in its message and as its context `attempts`. Its
//! [`execution`](crate::Error::execution) is that of all attempts together: if the first may have run and the second found nobody, the
//! error is `NODE_NOT_FOUND` and says that the request may have run.
//!
//! # Which goes around which
//!
//! A policy goes around any [`Target`] and is a target itself; only a [`Hedge`] must stand next to its call.
//!
//! | written as | means |
//! |---|---|
//! | `call.guard(&breaker).retry(&retry)` | the breaker sees every attempt; while it is open the retry pauses |
//! | `call.retry(&retry).guard(&breaker)` | the breaker sees what the retry gave up on |
//! | `Failover::first(a.guard(&one)).then(b.guard(&two))` | a target whose breaker is open is passed over at once |
//! | `Failover::first(a.retry(&retry)).then(b)` | several attempts at the first before the second is asked |
//! | `call.hedge(&hedge).retry(&retry)` | each attempt may have two copies |
//!
//! Two retries, one around the other, multiply: three attempts of three attempts are nine. Give them one [`Budget`], or leave one out. A
//! budget is paid for by requests of the program, by each once, so it bounds both together.
//!
//! # What it must not do
//!
//! This room stands on the public face of `node` and could be a crate of its own, were it not for the doors in `node/steps.rs`. It
//! starts no thread and keeps no state but that of budgets and breakers. Waiting here tells the pool of workers, so that a handler may
//! call through policies.

mod breaker;
mod budget;
mod circuit;
mod failover;
mod hedge;
mod retry;
mod rule;
mod target;

#[cfg(test)]
mod tests;

pub use breaker::{Breaker, Guarded};
pub use budget::Budget;
pub use failover::Failover;
pub use hedge::{Hedge, Hedged};
pub use retry::{Retried, Retry};
pub use rule::Place;
pub use target::{Parcel, Target};
