//! What a node tells about its mesh: peers that join and leave, links that come back, messages that were lost.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::error::Error;
use crate::event::EventName;
use crate::id::NodeId;
use crate::options::Options;
use crate::routing_stats::RoutingStats;

/// Which side dialled. Upstream peers are those this node dialled, downstream those that dialled it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// We dialled the peer.
    Up,
    /// The peer dialled us.
    Down,
}

/// A set of directions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Directions {
    /// Peers this node dialled.
    pub up: bool,
    /// Peers that dialled this node.
    pub down: bool,
}

impl Directions {
    /// Both directions: the default of every call.
    pub const BOTH: Self = Self { up: true, down: true };
    /// Only peers this node dialled.
    pub const UP: Self = Self { up: true, down: false };
    /// Only peers that dialled this node.
    pub const DOWN: Self = Self { up: false, down: true };
    /// No direction at all.
    pub const NONE: Self = Self { up: false, down: false };

    /// Whether `direction` is in the set.
    pub fn contains(self, direction: Direction) -> bool {
        match direction {
            Direction::Up => self.up,
            Direction::Down => self.down,
        }
    }
}

impl fmt::Display for Directions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.up, self.down) {
            (true, true) => "both",
            (true, false) => "up",
            (false, true) => "down",
            (false, false) => "none",
        })
    }
}

/// What is known about a peer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Its id.
    pub id: NodeId,
    /// Its options, as of its last update.
    pub options: Options,
    /// The directions in which a link to it stands.
    pub directions: Directions,
    /// The other end of the link that stands longest.
    pub address: SocketAddr,
}

/// Why a peer left.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LeftReason {
    /// The peer said goodbye: it stopped, or it disconnected from us.
    PeerLeft,
    /// We disconnected.
    Disconnected,
    /// The link broke: closed without a goodbye, or reset.
    ConnectionLost,
    /// Nothing was heard from the peer for the liveness timeout.
    Silent,
    /// The peer took no bytes for the write-stall time.
    SlowPeer,
    /// The peer broke the protocol; the text says how.
    Protocol(String),
    /// The memory of one of the two nodes was nearly used up, and the link held more than its share of it:
    /// [`Limits::node_bytes`](crate::Limits::node_bytes).
    Overloaded,
    /// A newer link, or a restarted instance of the same node, took its place.
    Replaced,
    /// This node stopped.
    Stopped,
}

/// One thing that happened to this node's mesh, in the order in which it happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NodeEvent {
    /// The first link to a peer stands and its handshake is complete.
    PeerJoined(PeerInfo),
    /// The last link to a peer is gone. Exactly one for each `PeerJoined`.
    PeerLeft {
        /// Who left.
        id: NodeId,
        /// The directions in which links had stood.
        directions: Directions,
        /// Why.
        reason: LeftReason,
    },
    /// A peer changed its options.
    OptionsChanged {
        /// Whose options.
        id: NodeId,
        /// The new ones.
        options: Options,
    },
    /// A peer changed the services it announces.
    ServicesChanged {
        /// Whose services.
        id: NodeId,
    },
    /// A lost link is being dialled again.
    Reconnecting {
        /// The address that is dialled.
        address: String,
    },
    /// A lost link stands again.
    Reconnected {
        /// The address that was dialled.
        address: String,
        /// Who answered: not always the one who was there before.
        id: NodeId,
    },
    /// A lost link was given up; its address is forgotten.
    ReconnectFailed {
        /// The address that was dialled.
        address: String,
        /// Why the last attempt failed.
        error: Error,
    },
    /// Ticks that had been accepted for a peer were lost with its link.
    ///
    /// It is also told, as `unwritten`, of ticks that were accepted and then found no place: the peer, and whoever else matched, had left
    /// or had no room for them any more, or they are larger than the peer takes. Then `id` is who was chosen first. Of ticks that a router
    /// was to place it is the router that was asked last: it knew nobody, or it was lost.
    Undelivered {
        /// Whom they were for.
        id: NodeId,
        /// Ticks that were never wholly written: they certainly did not run.
        unwritten: u64,
        /// Ticks that were written but not confirmed: they may have run.
        unconfirmed: u64,
    },
    /// A peer took no bytes for the write-stall time and is disconnected.
    SlowPeer {
        /// Which peer.
        id: NodeId,
    },
    /// What this router has forwarded so far, told as often as [`Builder::tell_stats`](crate::Builder::tell_stats) says.
    RoutingStats(Box<RoutingStats>),
    /// A policy around a call of this node (a retry, a failover, a hedge, a circuit breaker) has done something.
    Policy(PolicyStep),
    /// Something failed that no call can report: a peer refused a tick. Or a call to any found nobody who matches:
    /// `NO_NODES_MATCH_FILTER`, which the call returned as well.
    ///
    /// For the latter [`Error::context`] says what it is about: `event` and `directions`, and `filter` and `predicate` if the call has
    /// them. There is one of it for each attempt of a retry, none for the further copies of a hedge, and with
    /// [`wait_for_match`](crate::Call::wait_for_match) only when the patience is over. A call to an id tells none.
    Error(Error),
    /// This subscription was too slow and missed that many events.
    Missed(u64),
    /// The node has stopped; nothing follows.
    Stopped,
}

/// What a policy has done. [`Handle::policy_counts`](crate::Handle::policy_counts) counts the same steps.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PolicyStep {
    /// A retry sends a request once more, now that its pause is over.
    Repeated {
        /// What the request is called.
        event: EventName,
        /// The number of the attempt that begins; the first repeat is attempt 2.
        attempt: u32,
        /// The pause that was made before it.
        pause: Duration,
        /// What became of the attempt before.
        error: Error,
    },
    /// A retry did not repeat, or a hedge sent no further copy, because its budget is used up.
    BudgetExhausted {
        /// What the request is called.
        event: EventName,
    },
    /// A failover goes on to its next target.
    FailedOver {
        /// What the request is called.
        event: EventName,
        /// The place in the list of the target that is tried now; the first target, which is never told, has 1.
        target: usize,
        /// What became of the request at the target before.
        error: Error,
    },
    /// A hedge has sent a further copy of a request that was not answered in time.
    HedgeSent {
        /// What the request is called.
        event: EventName,
        /// The number of the copy; the request itself has 1.
        copy: u32,
    },
    /// A further copy was answered first.
    HedgeWon {
        /// What the request is called.
        event: EventName,
        /// The number of the copy; the request itself has 1.
        copy: u32,
    },
    /// A circuit breaker has opened: nothing is sent for that long.
    BreakerOpened {
        /// The breaker's name.
        name: String,
        /// Failures in a row until now, failed probes among them.
        failures: u32,
        /// How long it is open before it lets a probe through.
        open_for: Duration,
    },
    /// A circuit breaker lets one request through, to see whether it may close.
    BreakerHalfOpened {
        /// The breaker's name.
        name: String,
    },
    /// The probe of a circuit breaker has succeeded; everything is sent again.
    BreakerClosed {
        /// The breaker's name.
        name: String,
    },
}

impl fmt::Display for PolicyStep {
    /// What the log says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated { event, attempt, pause, error } => {
                write!(f, "attempt {attempt} of {event} after a pause of {pause:?} and {error}")
            }
            Self::BudgetExhausted { event } => {
                write!(f, "{event} is not sent again, the budget is used up")
            }
            Self::FailedOver { event, target, error } => {
                write!(f, "{event} goes on to target {target} after {error}")
            }
            Self::HedgeSent { event, copy } => write!(f, "copy {copy} of {event} is sent"),
            Self::HedgeWon { event, copy } => {
                write!(f, "copy {copy} of {event} was answered first")
            }
            Self::BreakerOpened { name, failures, open_for } => {
                write!(
                    f,
                    "breaker {name:?} opens for {open_for:?} after {failures} failures in a row"
                )
            }
            Self::BreakerHalfOpened { name } => write!(f, "breaker {name:?} lets a probe through"),
            Self::BreakerClosed { name } => write!(f, "breaker {name:?} closes"),
        }
    }
}
