//! Policies around calls: again, elsewhere, twice, or not at all for a while.
//!
//! What is repeated and what is not, and which policy goes around which, stands where its users read it: in the chapter *Policies* of
//! `lib.rs`. The one rule is [`Target::may_repeat`]; every policy asks it.
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
