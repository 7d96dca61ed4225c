//! What one part of the engine wants of another: pushed by the part with `env.then`, carried out by
//! the dispatcher in order, each after the code that wanted it has returned, and with all that it
//! brings about before the next. Nothing else lets a part act outside of itself. It must say what is
//! to happen, and not look into any part.

use std::net::SocketAddr;

use super::links::{Left, ReplyTrail};
use super::topology::{DialId, DialOutcome, LinkJoined};
use super::{Answer, Done, ReplyTo};
use crate::error::Error;
use crate::id::{LinkId, NodeId, PeerKey};
use crate::node_event::LeftReason;
use crate::wire::{Control, Farewell};

#[derive(Debug)]
pub(super) enum Effect<T> {
    /// Opens an outbound link for a dial.
    OpenLink { link: LinkId, addr: SocketAddr, dial: DialId },
    /// Lets a link join that waited for others to be closed.
    Admit { link: LinkId },
    /// Says goodbye on a link and closes it; one that is closed already stays as it is.
    CloseLink { link: LinkId, farewell: Farewell, reason: LeftReason },
    /// Queues a control message on a joined link.
    SendControl { link: LinkId, control: Control },
    /// Queues a control message on a joined link whose queue has capacity for control messages.
    OfferControl { link: LinkId, control: Control },
    /// Answers a request of a peer, unless it is answered or its caller gave up.
    Reply { reply_to: ReplyTo, answer: Answer, trail: ReplyTrail },
    /// A link has joined.
    LinkJoined(LinkJoined),
    /// A joined link is lost, or this node's link with itself has ended.
    LinkLeft { left: Box<Left<T>>, peer: NodeId, reason: LeftReason },
    /// A doubled link wrote nothing for a while: closes it if it is not needed, else keeps it alive.
    LinkIsQuiet { link: LinkId, dial: DialId },
    /// A link of a dial has failed before it joined.
    DialFailed { dial: DialId, error: Error, outcome: DialOutcome },
    /// The address of a dial leads to a peer that another dial has joined, unless that has left.
    DialIsAlias { dial: DialId, peer: Option<PeerKey> },
    /// Keeps a member that the program has disconnected out of this node's mesh.
    KeepApart { member: NodeId },
    /// Wakes the caller of a command, once all that was wanted before is done.
    Complete { token: T, result: Result<Done, Error> },
}
