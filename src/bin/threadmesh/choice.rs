//! How one of several nodes that match is chosen, and how far away it may be.

use clap::{Args, ValueEnum};
use threadmesh::{Call, First, LeastPending, PowerOfTwo, Random, RoundRobin};

/// The flags, which have no meaning for calls to all.
#[derive(Args, Debug)]
pub(crate) struct Choice {
    /// Never ask a router: only nodes that this one is connected to
    #[arg(long, conflicts_with = "via_router")]
    local_only: bool,

    /// How one of several that match is chosen; without it by chance, and behind a router as the router likes
    #[arg(long, value_enum, value_name = "NAME", conflicts_with = "to")]
    strategy: Option<By>,
}

/// The strategies that make sense for one call. Those that compare see the open requests of this node alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum By {
    Random,
    RoundRobin,
    LeastPending,
    PowerOfTwo,
    First,
}

impl Choice {
    /// Says it to a call.
    pub(crate) fn say<'a>(&self, call: Call<'a>) -> Call<'a> {
        let call = if self.local_only { call.local_only() } else { call };
        match self.strategy {
            None => call,
            Some(By::Random) => call.strategy(Random),
            Some(By::RoundRobin) => call.strategy(RoundRobin::new()),
            Some(By::LeastPending) => call.strategy(LeastPending),
            Some(By::PowerOfTwo) => call.strategy(PowerOfTwo),
            Some(By::First) => call.strategy(First),
        }
    }
}
