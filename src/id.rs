//! Names of things: nodes, instances, links, peers and calls. It must not know what they do.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// The longest node id, in bytes.
pub const MAX_ID_BYTES: usize = 128;

/// The name of a node in the mesh: 1 to 128 bytes of UTF-8 without control characters.
///
/// Cheap to clone. Two live peers of a node never carry the same id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Checks `id` and wraps it.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when `id` is empty, longer than 128 bytes or holds a control character.
    pub fn new(id: impl AsRef<str>) -> Result<Self, Error> {
        let id = id.as_ref();
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("a node id has 1 to {MAX_ID_BYTES} bytes, this one has {}", id.len()),
            ));
        }
        if id.chars().any(char::is_control) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("a node id has no control characters: {id:?}"),
            ));
        }
        Ok(Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({:?})", &*self.0)
    }
}

impl AsRef<str> for NodeId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for NodeId {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for NodeId {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

/// Drawn at random each time a node starts: tells a restarted node from a second one of that name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct InstanceId(pub(crate) u128);

/// One TCP connection of this node; never reused while the node lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct LinkId(pub(crate) u64);

impl LinkId {
    /// How a node reaches itself: no connection, and before all of them.
    pub(crate) const OWN: Self = Self(0);
}

/// One peer record of this node, from its first link to its last; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct PeerKey(pub(crate) u64);

impl PeerKey {
    /// This node itself: before all that ever join.
    pub(crate) const OWN: Self = Self(0);
}

/// One request in flight, as its asking side numbers it; never reused while the node lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct CallId(pub(crate) u64);
