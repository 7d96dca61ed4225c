//! Who should get this? Pure functions over a snapshot. No clock, no lock, no I/O.

mod directory;
mod gauge;
mod plan;

pub(crate) use directory::{Directory, LinkFace, PeerEntry};
pub(crate) use gauge::{Full, Gauge, Share, cost};
pub(crate) use plan::{Plan, Step};
