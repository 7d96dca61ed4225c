//! Which peers are meant: by id, or by a closure over their options. It must not know how a message gets there.

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::id::NodeId;
use crate::options::Options;
use crate::routing::{Directory, PeerEntry};

/// Which peers are meant. Made from an id (`"users"`, a [`NodeId`]) or by [`predicate`].
#[derive(Clone)]
pub struct Selector(Repr);

#[derive(Clone)]
enum Repr {
    Id(String),
    Predicate {
        test: Arc<dyn Fn(&Options) -> bool + Send + Sync>,
        place: &'static Location<'static>,
    },
}

/// Selects the peers whose options satisfy `test`.
///
/// # Threads
/// `test` runs on the thread that makes the call, never on the loop. If it panics, the call fails with
/// `USER_CODE_PANICKED`.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use threadmesh::{ErrorKind, Node, predicate};
///
/// let node = Node::builder().start()?;
/// let nobody = node.wait_for_peer(predicate(|_options| true), Duration::from_millis(1));
/// assert_eq!(nobody.unwrap_err().kind(), ErrorKind::NoNodesMatchFilter);
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[track_caller]
pub fn predicate(test: impl Fn(&Options) -> bool + Send + Sync + 'static) -> Selector {
    Selector(Repr::Predicate { test: Arc::new(test), place: Location::caller() })
}

impl Selector {
    /// The first match in join order.
    pub(crate) fn first<'a>(
        &self,
        directory: &'a Directory,
    ) -> Result<Option<&'a Arc<PeerEntry>>, Error> {
        match &self.0 {
            Repr::Id(id) => Ok(directory.get(id)),
            Repr::Predicate { test, .. } => {
                let found = || directory.iter().find(|peer| test(&peer.options));
                catch_unwind(AssertUnwindSafe(found)).map_err(|_| self.panicked())
            }
        }
    }

    /// What a call says that found no match.
    pub(crate) fn no_match(&self) -> Error {
        match &self.0 {
            Repr::Id(id) => {
                let error =
                    Error::new(ErrorKind::NodeNotFound, format!("no peer {id:?} is connected"));
                match NodeId::new(id) {
                    Ok(peer) => error.with_peer(peer),
                    Err(_) => error,
                }
            }
            Repr::Predicate { .. } => {
                Error::new(ErrorKind::NoNodesMatchFilter, format!("no peer matches the {self:?}"))
            }
        }
    }

    fn panicked(&self) -> Error {
        Error::new(ErrorKind::UserCodePanicked, format!("the {self:?} panicked"))
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Id(id) => write!(f, "id {id:?}"),
            Repr::Predicate { place, .. } => write!(f, "predicate at {place}"),
        }
    }
}

impl From<&str> for Selector {
    fn from(id: &str) -> Self {
        Self(Repr::Id(id.to_owned()))
    }
}

impl From<String> for Selector {
    fn from(id: String) -> Self {
        Self(Repr::Id(id))
    }
}

impl From<&String> for Selector {
    fn from(id: &String) -> Self {
        Self::from(id.as_str())
    }
}

impl From<&NodeId> for Selector {
    fn from(id: &NodeId) -> Self {
        Self::from(id.as_str())
    }
}

impl From<NodeId> for Selector {
    fn from(id: NodeId) -> Self {
        Self::from(id.as_str())
    }
}
