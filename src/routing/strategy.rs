//! Which of the peers that may get a call does get it: the trait, and the strategies that come with the crate.
//!
//! A strategy chooses and nothing else: it must not send, wait, or hold a lock while it asks the candidates, which may run a predicate
//! of the program.

mod keyed;
mod load;
mod plain;
mod sticky;
#[cfg(test)]
mod tests;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::candidates::{Candidate, Candidates};
use crate::error::Error;
use crate::id::NodeId;

pub use keyed::ConsistentHash;
pub use load::{LeastPending, PowerOfTwo};
pub use plain::{First, LocalFirst, Random, WeightedRandom};
pub use sticky::{Sticky, StickyKey};
pub use turns::RoundRobin;

/// Chooses one of the peers that a call may go to.
///
/// A strategy is given to one call ([`Call::strategy`](crate::Call::strategy)) or to a node, for all calls that name none
/// ([`Builder::strategy`](crate::Builder::strategy)). What it remembers is inside it; share it as an `Arc`. Without one, calls use [`Random`].
/// Every strategy is a [`SendStrategy`](crate::SendStrategy), too, and then chooses among the nodes that serve a path.
///
/// Besides the first choice it is asked for up to three alternates, who get the message when those before them cannot take it:
/// [`Handle::any`](crate::Handle::any) says when. Then [`Candidates::is_alternate`] is true, and those chosen before are no candidates
/// any more.
///
/// A strategy of a call also chooses among those whom a router knows, where no peer matches. Those are seen in the order of their ids, with
/// the options that the router tells. Of their load nothing is known: what [`Candidate::pending`] and [`Candidate::address`] say is the router's.
///
/// # Threads
/// Both methods run on the thread that makes the call, `choose` on a snapshot of the peers, and no lock is held. A panic of `choose`
/// is the error `USER_CODE_PANICKED` of the call; one of `observe` is logged, for the call has ended by then.
///
/// A router has one thread more on which its own strategy chooses for the messages that it forwards, one after the other: `observe` hears
/// nothing of those, and after a panic, which is logged, the router is `BUSY` for that message.
///
/// # Example
/// A strategy of one's own: the peer with the most free memory.
/// ```
/// use threadmesh::{Candidate, Candidates, Filter, Node, Strategy};
///
/// struct MostMemory;
///
/// impl Strategy for MostMemory {
///     fn choose<'a>(&self, among: &Candidates<'a>) -> Option<Candidate<'a>> {
///         among.iter().max_by_key(|peer| peer.options().get_u64("free_memory"))
///     }
/// }
///
/// let node = Node::builder().start()?;
/// let call = node.any(Filter::any()).strategy(MostMemory);
/// # assert!(call.request::<(), _>("x", &()).is_err());
/// # Ok::<(), threadmesh::Error>(())
/// ```
pub trait Strategy: Send + Sync {
    /// The peer to send to; `None` if none of them will do.
    fn choose<'a>(&self, among: &Candidates<'a>) -> Option<Candidate<'a>>;

    /// Hears how a call ended that it placed. Not told are calls whose answer nobody waits for, those that were refused before anything was
    /// sent (`BACKPRESSURE`, say), batches of ticks, calls to all, and of calls that a router was to place those that it did not and ticks.
    fn observe(&self, observation: &Observation<'_>) {
        let _ = observation;
    }
}

impl<S: Strategy + ?Sized> Strategy for Arc<S> {
    fn choose<'a>(&self, among: &Candidates<'a>) -> Option<Candidate<'a>> {
        (**self).choose(among)
    }

    fn observe(&self, observation: &Observation<'_>) {
        (**self).observe(observation);
    }
}

/// How a call ended that a strategy placed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Observation<'a> {
    /// Who answered, also behind a router, or whom the error is about: not always the first choice. For a tick it is the first choice that had room; the node
    /// may have sent it on to an alternate after that.
    pub peer: &'a NodeId,
    /// How long the answer took; `None` for a tick, which has none.
    pub elapsed: Option<Duration>,
    /// Why there is no answer. `None` is an answer, or a tick that was accepted for sending.
    pub error: Option<&'a Error>,
}

impl<'a> Observation<'a> {
    pub(crate) fn new(
        peer: &'a NodeId,
        elapsed: Option<Duration>,
        error: Option<&'a Error>,
    ) -> Self {
        Self { peer, elapsed, error }
    }
}

/// A strategy made of a closure, for short ones.
///
/// # Example
/// ```
/// use threadmesh::{Filter, Node, strategy_fn};
///
/// let node = Node::builder().start()?;
/// let oldest = strategy_fn(|among| among.iter().next());
/// let nobody = node.any(Filter::any()).strategy(oldest).request::<(), _>("x", &());
/// assert_eq!(nobody.unwrap_err().code(), "NO_NODES_MATCH_FILTER");
/// # Ok::<(), threadmesh::Error>(())
/// ```
pub fn strategy_fn<F>(choose: F) -> StrategyFn<F>
where
    F: for<'a> Fn(&Candidates<'a>) -> Option<Candidate<'a>> + Send + Sync,
{
    StrategyFn(choose)
}

/// A closure as a strategy, made by [`strategy_fn`].
#[derive(Clone)]
pub struct StrategyFn<F>(F);

impl<F> Strategy for StrategyFn<F>
where
    F: for<'a> Fn(&Candidates<'a>) -> Option<Candidate<'a>> + Send + Sync,
{
    fn choose<'a>(&self, among: &Candidates<'a>) -> Option<Candidate<'a>> {
        (self.0)(among)
    }
}

impl<F> fmt::Debug for StrategyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StrategyFn")
    }
}

/// A hash of a key's text that is the same in every process and every version: who meets whom does not change with an update.
pub(super) fn hash_of(key: &(impl fmt::Display + ?Sized)) -> u64 {
    use fmt::Write;
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    // Nothing here fails; a `Display` that does has written what it could.
    let _ = write!(hash, "{key}");
    mix(hash.0)
}

struct Fnv(u64);

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

/// Every bit of the input changes about half of the output's: the last step of splitmix64.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
