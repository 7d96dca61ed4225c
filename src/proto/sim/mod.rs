//! The simulated world: many engines, one virtual clock, and connections that obey TCP's facts and nothing else.
//! One seed decides everything. It must not touch a socket, a thread or a real clock.
//!
//! A run has three phases: faults and a random program; then the faults are healed and everything must come to rest;
//! then all nodes stop. After every step the [`oracle`] compares what the engines said with what really happened.
//!
//! `SIM_SEED=n cargo test --lib sim` replays one seed and `SIM_LINES=n` keeps more of its transcript; `SIM_SEEDS=n` and
//! `SIM_FROM=n` choose how many seeds run, and from where: `SIM_SEEDS=10000 cargo test --lib sim::tests::seeds`.
//! The same variables choose the seeds of worlds that are drawn in other ways: `mergers` and `switchboards`.
//! Which seed finds which planted bug: `cargo test --lib seeds_find -- --nocapture`.

mod describe;
mod faults;
mod hostile;
mod judge;
mod link;
mod obey;
mod oracle;
mod payloads;
mod rest;
mod script;
mod shell;
mod transcript;
mod turn;
mod work;
mod world;

#[cfg(test)]
mod disconnects;
#[cfg(test)]
mod members;
#[cfg(test)]
mod mergers;
#[cfg(test)]
pub(super) mod scenarios;
#[cfg(test)]
pub(super) mod switchboards;
#[cfg(test)]
pub(super) mod tests;

/// A world whose script are these bytes, for the fuzz target.
///
/// # Panics
/// When an engine did something that it must not do.
pub(crate) fn fuzz(bytes: &[u8]) {
    let world = script::run_bytes(bytes);
    if let Some(why) = world.oracle.failure() {
        panic!("{why}\n{}", world.log.tail());
    }
}

/// What a finished command wakes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Label(pub(crate) u64);
