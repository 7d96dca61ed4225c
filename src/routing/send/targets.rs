//! What a send strategy answers: who gets the message, by which path, and whether all of them or one.

use std::fmt;

use crate::address::Address;
use crate::id::NodeId;
use crate::routing::path::PathPattern;

/// Who gets a message, and how they are used.
///
/// The kind says how many answers there are: one for the first two of these, as many as targets for the last.
///
/// # Example
/// ```
/// use threadmesh::{NodeId, PathPattern, SendTarget, Targets};
///
/// let path = PathPattern::new("/math/add")?;
/// let target = |id: &str| Ok::<_, threadmesh::Error>(SendTarget::new(&NodeId::new(id)?, &path));
///
/// let both = Targets::Each(vec![target("a")?, target("b")?]);
/// assert_eq!(both.as_slice().len(), 2);
///
/// // Whom a search has found, or nobody.
/// assert_eq!(Targets::from(None), Targets::nobody());
/// assert_eq!(Targets::from(Some(target("a")?)), Targets::One(target("a")?));
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Targets {
    /// This one and no other.
    One(SendTarget),
    /// The first of them; the next only if the one before certainly did not run. Without any it is nobody: `NOT_FOUND`.
    ///
    /// An address that is not connected is dialled only while nobody before it was found, and is left out otherwise. The dial of one that is
    /// not the last may take half of the time that is left, so that there is some for those behind it.
    InOrder(Vec<SendTarget>),
    /// All of them at once. Whoever asks for one answer gets `INVALID_ARGUMENT` for this, even if there is only one. Without any it is
    /// nobody: `NOT_FOUND`.
    Each(Vec<SendTarget>),
}

impl Targets {
    /// Nobody: `NOT_FOUND`, and nothing is sent. It is [`InOrder`](Self::InOrder) without any.
    pub const fn nobody() -> Self {
        Self::InOrder(Vec::new())
    }

    /// All targets, in their order.
    pub fn as_slice(&self) -> &[SendTarget] {
        match self {
            Self::One(target) => std::slice::from_ref(target),
            Self::InOrder(targets) | Self::Each(targets) => targets,
        }
    }

    /// Only those of which `keep` is true. The kind stays: one that goes leaves nobody, and all of `Each` that go leave `Each` of none.
    pub fn filter(self, mut keep: impl FnMut(&SendTarget) -> bool) -> Self {
        let kept = |mut targets: Vec<SendTarget>, keep: &mut dyn FnMut(&SendTarget) -> bool| {
            targets.retain(|target| keep(target));
            targets
        };
        match self {
            Self::One(target) if keep(&target) => Self::One(target),
            Self::One(_) => Self::nobody(),
            Self::InOrder(targets) => Self::InOrder(kept(targets, &mut keep)),
            Self::Each(targets) => Self::Each(kept(targets, &mut keep)),
        }
    }
}

/// This one and no other.
impl From<SendTarget> for Targets {
    fn from(target: SendTarget) -> Self {
        Self::One(target)
    }
}

/// This one and no other, or nobody.
impl From<Option<SendTarget>> for Targets {
    fn from(found: Option<SendTarget>) -> Self {
        found.map_or_else(Self::nobody, Self::One)
    }
}

/// One node and the path it is sent.
///
/// The path is a pattern because broadcasts send it as the caller gave it, also with an `*`, which no node serves: it answers `NOT_FOUND`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SendTarget {
    to: Recipient,
    path: PathPattern,
}

/// The node and the path as one: `rcv/math/mul`.
impl fmt::Display for SendTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            Recipient::Node(id) => write!(f, "{id}{}", self.path),
            Recipient::Address(address) => write!(f, "{address}{}", self.path),
        }
    }
}

/// Whom a target means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Recipient {
    /// A known node. If there is none of this id the call ends there with `NODE_NOT_FOUND`.
    Node(NodeId),
    /// Whoever is found there: it may have to be dialled first.
    Address(Address),
}

impl SendTarget {
    /// The known node of this id, and [`KnownNode::target`](crate::KnownNode::target) says the same. One that is not known when the
    /// message is sent is `NODE_NOT_FOUND`.
    pub fn new(id: &NodeId, path: impl Into<PathPattern>) -> Self {
        Self { to: Recipient::Node(id.clone()), path: path.into() }
    }

    /// Whoever listens there. If no link to that address stands it is dialled within the deadline of the call, stays connected, and is
    /// not dialled again when it is lost. Calls that only try ([`Call::try_start`](crate::Call::try_start),
    /// [`Call::try_tick`](crate::Call::try_tick)) do not dial: there it is `NODE_NOT_FOUND`.
    pub fn at(address: impl Into<Address>, path: impl Into<PathPattern>) -> Self {
        Self { to: Recipient::Address(address.into()), path: path.into() }
    }

    /// The id of the node that is meant, unless it is meant by its address.
    pub fn id(&self) -> Option<&NodeId> {
        match &self.to {
            Recipient::Node(id) => Some(id),
            Recipient::Address(_) => None,
        }
    }

    /// The address that is meant, unless it is a known node.
    pub fn address(&self) -> Option<&Address> {
        match &self.to {
            Recipient::Node(_) => None,
            Recipient::Address(address) => Some(address),
        }
    }

    /// The path that is sent.
    pub fn path(&self) -> &PathPattern {
        &self.path
    }

    /// Whom it means, one or the other.
    pub(crate) fn to(&self) -> &Recipient {
        &self.to
    }
}
