//! What follows from an event outside the part of the engine that has handled it. A part pushes
//! effects with `env.then`; the tail of `handle` runs them in order, so that none is run inside
//! another. An effect must say what is to happen, and not look into any part.

use std::net::SocketAddr;

use super::Done;
use super::topology::DialId;
use crate::error::Error;
use crate::id::{LinkId, NodeId};
use crate::node_event::LeftReason;
use crate::wire::{Control, Farewell};

/// One thing that the dispatcher is to do once the current event is handled.
#[derive(Debug)]
pub(super) enum Effect<T> {
    /// Opens an outbound link for a dial.
    OpenLink { link: LinkId, addr: SocketAddr, dial: DialId },
    /// Says goodbye on a link and closes it; one that is closed already stays as it is.
    CloseLink { link: LinkId, farewell: Farewell, reason: LeftReason },
    /// Queues a control message on a joined link.
    SendControl { link: LinkId, control: Control },
    /// Queues a control message on a joined link whose queue has capacity for control messages.
    OfferControl { link: LinkId, control: Control },
    /// Keeps a member that the program has disconnected out of this node's mesh.
    KeepApart { member: NodeId },
    /// Wakes the caller of a command, once everything that was pushed before is done.
    Complete { token: T, result: Result<Done, Error> },
}
