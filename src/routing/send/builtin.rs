//! The send strategies that go by what nodes serve, and those that go to everybody. They remember nothing.

use super::{Outgoing, PathTable, SendStrategy, Targets};
use crate::config::ALTERNATES;

/// The first node with a match gets one message, for its first match: the node itself before all peers, then those who joined first. What
/// calls by path use that name no strategy.
///
/// The next nodes with a match, up to three, stand behind it: one of them gets the message if those before it certainly did not run it, as
/// when a link is lost before the message was written. Never do two of them run it.
///
/// It looks at nodes until it has found that many: in a mesh where hardly anybody serves the path, at all.
#[derive(Clone, Copy, Default, Debug)]
pub struct FirstFind;

impl SendStrategy for FirstFind {
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
        let firsts = nodes.first_matches(message.pattern()).map(|(node, path)| node.target(path));
        Targets::InOrder(firsts.take(1 + ALTERNATES).collect())
    }
}

/// Every match on every node gets a message of its own: node by node, and for each node in the order of registration there.
#[derive(Clone, Copy, Default, Debug)]
pub struct SendToAll;

impl SendStrategy for SendToAll {
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
        let matches = nodes.matches(message.pattern());
        Targets::Each(matches.map(|(node, path)| node.target(path)).collect())
    }
}

/// Every node with a match gets one message, for its first match.
#[derive(Clone, Copy, Default, Debug)]
pub struct SendToAllOnePerNode;

impl SendStrategy for SendToAllOnePerNode {
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
        let firsts = nodes.first_matches(message.pattern());
        Targets::Each(firsts.map(|(node, path)| node.target(path)).collect())
    }
}

/// Every known node on the host of this one gets the message, and the node itself, whatever they serve
/// ([`KnownNode::is_local`](crate::KnownNode::is_local)).
///
/// The path is sent as it was given. A node that does not serve it answers `NOT_FOUND`, and so does everybody to one with an `*`.
#[derive(Clone, Copy, Default, Debug)]
pub struct BroadcastLocal;

impl SendStrategy for BroadcastLocal {
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
        let here = nodes.iter().filter(|node| node.is_local());
        Targets::Each(here.map(|node| node.target(message.pattern())).collect())
    }
}

/// Every known node gets the message, and the node itself, whatever they serve.
///
/// The path is sent as it was given. A node that does not serve it answers `NOT_FOUND`, and so does everybody to one with an `*`.
#[derive(Clone, Copy, Default, Debug)]
pub struct BroadcastGlobal;

impl SendStrategy for BroadcastGlobal {
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
        Targets::Each(nodes.iter().map(|node| node.target(message.pattern())).collect())
    }
}
