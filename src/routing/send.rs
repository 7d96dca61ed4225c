//! Which nodes get a call by path, and by which path: the trait, its closures, and every [`Strategy`] as one.
//!
//! A send strategy says who is meant and nothing else: it must not send or wait. The engine does that, and this room only names.

mod addressed;
mod builtin;
mod known;
mod message;
mod show;
mod table;
mod targets;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use super::strategy::{Observation, Strategy};
use crate::error::Error;

pub use addressed::{SendTo, SendToTarget};
pub use builtin::{BroadcastGlobal, BroadcastLocal, FirstFind, SendToAll, SendToAllOnePerNode};
pub use known::KnownNode;
pub use message::Outgoing;
pub use table::PathTable;
pub(crate) use targets::Recipient;
pub use targets::{SendTarget, Targets};

/// Says which nodes get a call by path, and which path each is sent. [`guide::send_strategies`](crate::guide::send_strategies) is a chapter about
/// it, to be read from the top.
///
/// It sees the message ([`Outgoing`]) and all known nodes with what they serve ([`PathTable`]), and answers with [`Targets`]. It sends
/// nothing itself: the node does, and knows from the kind of the targets whether the caller gets one answer or many. It may match by a rule
/// of its own; the [`PathTable`] finds what a pattern means.
///
/// | strategy | who gets it | the path sent | answers |
/// |---|---|---|---|
/// | [`FirstFind`] | the first node with a match | its first match | one |
/// | [`SendToAll`] | every match on every node | each match, in a message of its own | many |
/// | [`SendToAllOnePerNode`] | every node with a match | its first match | many |
/// | [`BroadcastLocal`] | every known node on this host | as given | many |
/// | [`BroadcastGlobal`] | every known node | as given | many |
/// | [`SendToTarget`] | exactly that one | as given | one |
/// | every [`Strategy`] | one of the nodes with a match, as it chooses | its first match | one |
///
/// *Known nodes* are the node itself, which comes first, and its peers in the order in which they joined.
///
/// # Strategies that choose a peer
/// [`RoundRobin`](crate::RoundRobin), [`LeastPending`](crate::LeastPending), [`Sticky`](crate::Sticky) and every other [`Strategy`]
/// is a send strategy as it is: it chooses among the nodes that serve a path that is meant, and up to three alternates stand behind its
/// choice, as in a call to any.
///
/// # Sharing and wrapping
/// What a strategy remembers is inside it. To share it among calls make it an `Arc<dyn SendStrategy>`, which is a send strategy; an `Arc` of a
/// [`Strategy`] is one without more ado. A strategy that changes what another says owns that one and asks it: see the second example. It
/// should hand on [`observe`](Self::observe) and [`check_default`](Self::check_default), too.
///
/// # Threads
/// All methods run on the thread that makes the call, and no lock is held. A panic of `targets` is the error `USER_CODE_PANICKED` of the
/// call, and nothing is sent.
///
/// # Differences to xyz
/// The `route` and `redirect` of a send strategy there pick one of several transports. There is one here, so they have no counterpart.
///
/// # Example
/// To the node with the most free memory of those that serve it:
/// ```
/// use threadmesh::{Outgoing, PathTable, SendStrategy, Targets};
///
/// struct MostMemory;
///
/// impl SendStrategy for MostMemory {
///     fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
///         let serving = nodes.iter().filter_map(|node| Some((node, node.first_match(message.pattern())?)));
///         let most = serving.max_by_key(|(node, _)| node.options().get_u64("free_memory"));
///         most.map(|(node, path)| node.target(path)).into()
///     }
/// }
/// ```
///
/// Around any other: a node that does not say what it costs gets nothing.
/// ```
/// use threadmesh::{Error, Observation, Outgoing, PathTable, SendStrategy, Targets};
///
/// struct Priced<S>(S);
///
/// impl<S: SendStrategy> SendStrategy for Priced<S> {
///     fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
///         let priced = nodes.filter(|node| node.options().get("price").is_some());
///         self.0.targets(message, &priced)
///     }
///
///     fn observe(&self, observation: &Observation<'_>) {
///         self.0.observe(observation);
///     }
///
///     fn check_default(&self) -> Result<(), Error> {
///         self.0.check_default()
///     }
/// }
/// ```
pub trait SendStrategy: Send + Sync {
    /// Who gets the message. It may be asked several times for one call that [waits](crate::PathCall::wait_for_match) for a match, and by many
    /// threads at once. An answer without any target is `NOT_FOUND` for the caller, of whatever kind it is.
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets;

    /// Hears how a call that it placed has ended: once for each target of [`Targets::Each`], and once for a call to one, about who answered
    /// or failed in the end. It hears nothing of what was refused before anything was sent, of ticks (also not of those of a
    /// [`Call`](crate::Call) by path), and of calls whose answer nobody waits for. A panic in here is caught, and changes nothing for the call.
    fn observe(&self, observation: &Observation<'_>) {
        let _ = observation;
    }

    /// Whether it may be the strategy of all calls of a node that name none.
    ///
    /// # Errors
    /// What the node answers to whoever wants to make it the default: `INVALID_ARGUMENT`, saying why not.
    fn check_default(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// One of the nodes with a match, as the strategy chooses; alternates behind it.
impl<S: Strategy> SendStrategy for S {
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
        Targets::InOrder(nodes.chosen_by(self, message.pattern()))
    }

    fn observe(&self, observation: &Observation<'_>) {
        Strategy::observe(self, observation);
    }
}

/// So that calls can share one. An `Arc` of a type that is a [`Strategy`] is a send strategy by that.
impl SendStrategy for Arc<dyn SendStrategy> {
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
        (**self).targets(message, nodes)
    }

    fn observe(&self, observation: &Observation<'_>) {
        (**self).observe(observation);
    }

    fn check_default(&self) -> Result<(), Error> {
        (**self).check_default()
    }
}

/// A send strategy made of a closure, for short ones.
///
/// # Example
/// To every node that serves it and is not the node itself:
/// ```
/// use threadmesh::{SendTarget, Targets, send_strategy_fn};
///
/// let others = send_strategy_fn(|message, nodes| {
///     let matches = nodes.matches(message.pattern()).filter(|(node, _)| !node.is_own());
///     Targets::Each(matches.map(|(node, path)| node.target(path)).collect())
/// });
/// # drop(others);
/// ```
pub fn send_strategy_fn<F>(targets: F) -> SendStrategyFn<F>
where
    F: Fn(&Outgoing<'_>, &PathTable) -> Targets + Send + Sync,
{
    SendStrategyFn(targets)
}

/// A closure as a send strategy, made by [`send_strategy_fn`].
#[derive(Clone)]
pub struct SendStrategyFn<F>(F);

impl<F> SendStrategy for SendStrategyFn<F>
where
    F: Fn(&Outgoing<'_>, &PathTable) -> Targets + Send + Sync,
{
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
        (self.0)(message, nodes)
    }
}

impl<F> fmt::Debug for SendStrategyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendStrategyFn")
    }
}
