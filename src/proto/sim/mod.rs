//! The simulated world: many engines, one virtual clock, and connections that obey TCP's facts and nothing else.
//! One seed decides everything. It must not touch a socket, a thread or a real clock.
//!
//! A run has three phases: faults and a random program; then the faults are healed and everything must come to rest;
//! then all nodes stop. After every step the [`oracle`] compares what the engines said with what really happened.

mod describe;
mod faults;
mod link;
mod oracle;
mod script;
mod shell;
mod transcript;
mod world;

#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tests;

/// What a finished command wakes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Label(pub(crate) u64);
