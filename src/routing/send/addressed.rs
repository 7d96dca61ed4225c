//! The send strategy that goes to one node, by its id or its address. It must not resolve names.

use std::net::SocketAddr;

use super::{Outgoing, PathTable, SendStrategy, SendTarget, Targets};
use crate::address::Address;
use crate::error::{Error, ErrorKind};
use crate::id::NodeId;
use crate::routing::directory::PeerEntry;

/// Exactly that node gets the message, whatever it serves; the path is sent as it was given. If it does not serve that path it says so:
/// `NOT_FOUND` with the node as the [`peer`](Error::peer) of the error.
///
/// It is named by its id or its address ([`SendTo`]), and may be the node itself. An address at which a known node can be dialled, or to
/// which a link stands, means that node; addresses are compared as they are written, and no name is resolved. Any other address is dialled
/// within the deadline of the call; the link stays, and is not dialled again when it is lost. An id that nobody has is `NODE_NOT_FOUND`.
///
/// It is for single calls: as the default of a node it is refused with `INVALID_ARGUMENT`, because it would send every call to one place.
///
/// # Example
/// ```
/// use threadmesh::{NodeId, SendStrategy, SendToTarget};
///
/// let by_text = SendToTarget::new("10.0.0.7:4000");
/// let by_id = SendToTarget::new(NodeId::new("users")?);
/// assert_eq!(by_id.check_default().unwrap_err().code(), "INVALID_ARGUMENT");
/// # drop(by_text);
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SendToTarget {
    to: SendTo,
}

impl SendToTarget {
    /// To this node: an id, an address, or a text that is one of them. A text that can be neither, such as the empty one, is nobody:
    /// `NOT_FOUND`.
    pub fn new(to: impl Into<SendTo>) -> Self {
        Self { to: to.into() }
    }
}

impl SendStrategy for SendToTarget {
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
        let path = message.pattern();
        let by_id = |id: &NodeId| SendTarget::new(id, path);
        let by_address = |address: Address| match whose(&address, nodes) {
            Some(node) => by_id(&node.id),
            None => SendTarget::at(address, path),
        };
        let found = match &self.to {
            SendTo::Id(id) => Some(by_id(id)),
            SendTo::Address(address) => Some(by_address(address.clone())),
            SendTo::Text(text) => match text.parse() {
                Ok(address) if !nodes.knows(text) => Some(by_address(address)),
                _ => NodeId::new(text).ok().as_ref().map(by_id),
            },
        };
        found.into()
    }

    fn check_default(&self) -> Result<(), Error> {
        let why = "SendToTarget cannot be the default of a node: it would send every call to one place; name it at the calls \
                   that it is for";
        Err(Error::new(ErrorKind::InvalidArgument, why))
    }
}

/// The node that is at that address. Whether the call may go to it is not asked: if it may not, it must not be dialled either.
fn whose<'t>(address: &Address, nodes: &'t PathTable) -> Option<&'t PeerEntry> {
    let numeric = address.numeric();
    let is_there = |node: &&PeerEntry| {
        // The way to the node itself is no link, and has no address.
        let mut faces = node.up.iter().chain(&node.down).filter(|_| !node.is_own());
        let is_linked = numeric.is_some() && faces.any(|face| Some(face.remote) == numeric);
        is_linked || node.address.as_ref() == Some(address)
    };
    nodes.everybody().find(is_there)
}

/// Whom [`SendToTarget`] means.
///
/// A text is the id of a known node if there is one; otherwise it is an address if it can be one, else an id.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SendTo {
    /// The node of this id.
    Id(NodeId),
    /// Whoever is at this address.
    Address(Address),
    /// One of the two.
    Text(String),
}

macro_rules! send_to {
    ($($from:ty => |$value:ident| $make:expr;)+) => { $(
        impl From<$from> for SendTo {
            fn from($value: $from) -> Self {
                $make
            }
        }
    )+ };
}

send_to! {
    &str => |text| SendTo::Text(text.to_owned());
    String => |text| SendTo::Text(text);
    &String => |text| SendTo::Text(text.clone());
    NodeId => |id| SendTo::Id(id);
    &NodeId => |id| SendTo::Id(id.clone());
    Address => |address| SendTo::Address(address);
    &Address => |address| SendTo::Address(address.clone());
    SocketAddr => |address| SendTo::Address(address.into());
}
