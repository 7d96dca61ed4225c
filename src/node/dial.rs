//! Reaching other nodes: a [`Dial`] that is being put together, and what can be disconnected.

use std::fmt;
use std::time::{Duration, Instant};

use super::handle::Handle;
use crate::address::Address;
use crate::config::LONGEST_TIMEOUT;
use crate::error::{Error, ErrorKind};
use crate::id::NodeId;
use crate::node_event::PeerInfo;
use crate::proto::{Command, ConnectMode, Done, Whom};
use std::net::SocketAddr;

/// A connect that is being put together, made by [`Handle::dial`].
///
/// # Example
/// ```
/// use std::time::Duration;
/// use threadmesh::{ErrorKind, Node};
///
/// let node = Node::builder().start()?;
/// let nobody = node.dial("127.0.0.1:1").timeout(Duration::from_secs(5)).once().connect();
/// assert_eq!(nobody.unwrap_err().kind(), ErrorKind::ConnectFailed);
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[must_use = "a dial does nothing until it is told to connect"]
pub struct Dial<'a> {
    handle: &'a Handle,
    address: Result<Address, Error>,
    timeout: Option<Duration>,
    mode: ConnectMode,
}

impl<'a> Dial<'a> {
    pub(crate) fn new(handle: &'a Handle, address: Result<Address, Error>) -> Self {
        Self { handle, address, timeout: None, mode: ConnectMode::Patient }
    }

    /// How long resolving, dialling and the handshake may take together, in place of the node's default (10 s). Longer than
    /// 24 h counts as 24 h; zero is `INVALID_ARGUMENT`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Tries every address of the name once, and does not repeat a dial that is refused.
    pub fn once(mut self) -> Self {
        self.mode = ConnectMode::Once;
        self
    }

    /// Connects, and says who answered. When it returns, both sides can send.
    ///
    /// # Errors
    /// As [`Handle::connect`]; and `CONNECT_FAILED` after [`once`](Self::once).
    ///
    /// # Blocking
    /// At most for the timeout.
    pub fn connect(self) -> Result<PeerInfo, Error> {
        let (core, address, mode) = (self.handle.core(), self.address?, self.mode);
        let timeout = self.timeout.unwrap_or(core.config.connect_timeout);
        if timeout.is_zero() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the timeout is zero; leave it out for that of the node",
            ));
        }
        let began = Instant::now();
        let deadline = began.checked_add(timeout.min(LONGEST_TIMEOUT)).unwrap_or(began);
        let shown = address.to_string();
        let done =
            core.ask(deadline, |token| Command::Connect { address, mode, deadline, token })?;
        match done {
            Some(Done::Connected(peer)) => Ok(peer),
            Some(_) => Err(core.closed()),
            None => {
                let message = format!("no connection to {shown} within {timeout:?}");
                Err(Error::new(ErrorKind::ConnectTimeout, message))
            }
        }
    }
}

impl fmt::Debug for Dial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Dial");
        out.field("address", &self.address).field("timeout", &self.timeout);
        out.field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// A peer by its id or by the address it was dialled at: what [`Handle::disconnect`] takes.
///
/// A text is the id of a connected peer if there is one; otherwise it is an address if it can be one, else an id.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PeerRef {
    /// The peer of this id, and all links to it.
    Id(NodeId),
    /// The link that was dialled at this address.
    Address(Address),
    /// One of the two.
    Text(String),
}

impl PeerRef {
    pub(crate) fn resolve(self, is_peer: impl Fn(&str) -> bool) -> Result<Whom, Error> {
        match self {
            PeerRef::Id(id) => Ok(Whom::Id(id)),
            PeerRef::Address(address) => Ok(Whom::Address(address)),
            PeerRef::Text(text) if is_peer(&text) => NodeId::new(text).map(Whom::Id),
            PeerRef::Text(text) => match text.parse() {
                Ok(address) => Ok(Whom::Address(address)),
                Err(_) => NodeId::new(text).map(Whom::Id),
            },
        }
    }
}

macro_rules! peer_ref {
    ($($from:ty => |$value:ident| $make:expr;)+) => { $(
        impl From<$from> for PeerRef {
            fn from($value: $from) -> Self {
                $make
            }
        }
    )+ };
}

peer_ref! {
    &str => |text| PeerRef::Text(text.to_owned());
    String => |text| PeerRef::Text(text);
    &String => |text| PeerRef::Text(text.clone());
    NodeId => |id| PeerRef::Id(id);
    &NodeId => |id| PeerRef::Id(id.clone());
    Address => |address| PeerRef::Address(address);
    &Address => |address| PeerRef::Address(address.clone());
    SocketAddr => |address| PeerRef::Address(address.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_connected_peer_then_an_address_then_an_id() {
        let _bound = crate::bound::bound();
        let text = || PeerRef::from("host:80");
        let id = NodeId::new("host:80").unwrap();
        assert_eq!(text().resolve(|id| id == "host:80").unwrap(), Whom::Id(id));
        let address = "host:80".parse().unwrap();
        assert_eq!(text().resolve(|_| false).unwrap(), Whom::Address(address));
        let users = NodeId::new("users").unwrap();
        assert_eq!(PeerRef::from("users").resolve(|_| false).unwrap(), Whom::Id(users));
        assert!(PeerRef::from("").resolve(|_| false).is_err());
    }
}
