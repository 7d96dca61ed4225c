//! What the table of dials takes and returns: plain values. It must not hold a rule.

use std::time::Instant;

use super::dial::DialId;
use crate::id::{NodeId, PeerKey};
use crate::node_event::LeftReason;

/// What follows from an event of a dial for members and queries, in order.
pub(super) type Next<T> = Vec<DialEvent<T>>;

/// One thing that follows.
#[derive(Debug)]
pub(super) enum DialEvent<T> {
    /// An attempt to reach that node has failed.
    Unreached(NodeId),
    /// The dial is removed, which led to that node.
    Removed { dial: DialId, member: NodeId },
    /// That member is not at the address of this dial any more, or is not looked for there.
    Displaced(NodeId),
    /// The program dials the address itself from now on, and not for that member any more.
    Taken { dial: DialId, member: NodeId },
    /// A seed is joined, and is to be queried.
    SeedReached(SeedReached<T>),
}

/// A seed that a dial has reached.
#[derive(Debug)]
pub(super) struct SeedReached<T> {
    pub(super) dial: DialId,
    pub(super) peer: PeerKey,
    /// The caller that waits for the members; none if the seed was dialled again by itself.
    pub(super) waiter: Option<SeedWaiter<T>>,
}

/// A caller that waits for the members.
#[derive(Debug)]
pub(super) struct SeedWaiter<T> {
    /// Until when the seed must have named them.
    pub(super) reply_by: Instant,
    /// Until when they must have joined.
    pub(super) joined_by: Instant,
    pub(super) token: T,
}

/// Where a member is dialled.
#[derive(Debug)]
pub(super) enum MemberDial {
    /// By this dial, which was for another member until now.
    Dialled { dial: DialId, displaced: Option<NodeId> },
    /// A link is joined there, and so with another node.
    OtherNode,
    /// The program dials there itself.
    ByProgram,
}

/// How a joined link of a dial was lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss<'a> {
    pub(super) reason: &'a LeftReason,
    /// A handshake with the same peer was given up a moment ago.
    pub(super) gave_up: bool,
    /// The node goes on, and a member that was joined by it is still one, with no other link.
    pub(super) needed: bool,
}
