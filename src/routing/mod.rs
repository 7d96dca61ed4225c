//! Who should get this? Pure functions over a snapshot. No clock, no lock, no I/O.

mod directory;
mod filter;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gauge;
mod plan;

pub(crate) use directory::{Directory, LinkFace, PeerEntry};
pub use filter::Filter;
#[allow(unused_imports)] // The index of equalities uses them.
pub(crate) use filter::{Compiled, fingerprint, lookup};
pub(crate) use gauge::{Full, Gauge, Share, cost};
pub(crate) use plan::{Plan, Step};
