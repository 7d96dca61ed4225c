//! Who should get this? Pure functions over a snapshot. No clock, no lock, no I/O.

mod candidates;
mod directory;
mod filter;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gauge;
mod pace;
mod path;
mod plan;
mod search;
mod send;
mod services;
mod strategy;

pub(crate) use candidates::Question;
pub use candidates::{Candidate, Candidates, Rank};
pub(crate) use directory::{Directory, LinkFace, PeerEntry};
pub(crate) use filter::Compiled;
pub use filter::Filter;
pub(crate) use filter::FilterCache;
pub(crate) use gauge::{Full, Gauge, Share, cost};
pub(crate) use pace::Pace;
pub use path::{Path, PathPattern, PathTree};
pub(crate) use plan::{Destination, Plan, Route, Step, make_plan};
pub(crate) use search::{Page, Search};
pub(crate) use send::Recipient;
pub use send::{
    BroadcastGlobal, BroadcastLocal, FirstFind, KnownNode, Outgoing, PathTable, SendStrategy,
    SendStrategyFn, SendTarget, SendTo, SendToAll, SendToAllOnePerNode, SendToTarget, Targets,
    send_strategy_fn,
};
pub(crate) use services::Services;
pub use strategy::{
    ConsistentHash, First, LeastPending, LocalFirst, Observation, PowerOfTwo, Random, RoundRobin,
    Sticky, StickyKey, Strategy, StrategyFn, WeightedRandom, strategy_fn,
};
