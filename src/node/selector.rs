//! Which peers are meant: by id, by a filter, by a closure over their options, or by both of these. It must not know how a message
//! gets there.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::Location;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::id::NodeId;
use crate::options::Options;
use crate::routing::{Compiled, Filter};

/// Which peers are meant. Made from a [`Filter`], from a closure by [`predicate`] or [`predicate_as`], from both by
/// [`Filter::when`], or from an id (`"users"`, a [`NodeId`]).
///
/// The filter is asked first, because it is quick; the closure sees only peers that it lets through.
#[derive(Clone, Default)]
pub struct Selector {
    pub(super) id: Option<String>,
    pub(super) filter: Option<Filter>,
    pub(super) predicate: Option<Predicate>,
}

/// A closure over options, and where in the source it stands.
#[derive(Clone)]
pub(super) struct Predicate {
    pub(super) test: Arc<dyn Fn(&Options) -> bool + Send + Sync>,
    pub(super) place: &'static Location<'static>,
}

/// Selects the peers whose options satisfy `test`.
///
/// An option that a peer does not have is `None`, and in Rust `None` is less than any number: `get_u64("load") < Some(80)` holds also where
/// there is no load. Combine the closure with a [`Filter`] ([`Filter::when`]), or read a type ([`predicate_as`]), where that matters.
///
/// # Threads
/// `test` runs on the thread that makes the call, never on the loop, over a snapshot of the peers and without any lock. It may be asked
/// about a peer several times, in any order, and about some not at all. If it panics, the call fails with `USER_CODE_PANICKED`, and nothing
/// is sent.
///
/// # Example
/// ```
/// use threadmesh::{ErrorKind, Node, predicate};
///
/// let node = Node::builder().start()?;
/// let free = predicate(|peer| {
///     peer.get_u64("queue") == Some(0)
///         && peer.get_u64("memory") > Some(1024)
///         && peer.get_str("region").is_some_and(|region| region.starts_with("us"))
/// });
/// let nobody = node.any(free).request::<(), _>("job", &());
/// assert_eq!(nobody.unwrap_err().kind(), ErrorKind::NoNodesMatchFilter);
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[track_caller]
pub fn predicate(test: impl Fn(&Options) -> bool + Send + Sync + 'static) -> Selector {
    let place = Location::caller();
    let predicate = Predicate { test: Arc::new(test), place };
    Selector { predicate: Some(predicate), ..Selector::default() }
}

/// Selects the peers whose options, read as a struct of the program, satisfy `test`. Peers whose options do not fit the struct
/// do not match.
///
/// # Threads
/// As [`predicate`].
///
/// # Example
/// ```
/// use serde::Deserialize;
/// use threadmesh::{Node, predicate_as};
///
/// #[derive(Deserialize)]
/// struct Worker {
///     capabilities: Vec<String>,
///     load: u32,
///     most: u32,
/// }
///
/// let free = predicate_as(|worker: Worker| {
///     worker.load < worker.most && worker.capabilities.iter().any(|known| known == "video")
/// });
/// let node = Node::builder().start()?;
/// assert!(node.get_filtered_peers(free)?.is_empty());
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[track_caller]
pub fn predicate_as<T: DeserializeOwned>(
    test: impl Fn(T) -> bool + Send + Sync + 'static,
) -> Selector {
    predicate(move |options| options.view().is_ok_and(&test))
}

impl Filter {
    /// The peers that match this filter and whose options satisfy `test`: what a filter cannot say.
    ///
    /// # Threads
    /// As [`predicate`].
    ///
    /// # Example
    /// ```
    /// use threadmesh::{Node, filter};
    ///
    /// let free = filter! { "role": "worker" }.when(|options| options.get_u64("load") < options.get_u64("most"));
    /// let node = Node::builder().start()?;
    /// assert_eq!(node.tick_all(free, "wake", &())?.sent, 0);
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    #[track_caller]
    pub fn when(self, test: impl Fn(&Options) -> bool + Send + Sync + 'static) -> Selector {
        Selector { filter: Some(self), ..predicate(test) }
    }
}

impl Filter {
    /// The peers that match this filter and whose options, read as a struct of the program, satisfy `test`. Peers whose options do not
    /// fit the struct do not match.
    ///
    /// # Threads
    /// As [`predicate`].
    ///
    /// # Example
    /// ```
    /// use serde::Deserialize;
    /// use threadmesh::{Node, filter};
    ///
    /// #[derive(Deserialize)]
    /// struct Load {
    ///     load: u32,
    ///     most: u32,
    /// }
    ///
    /// let free = filter! { "role": "worker" }.when_as(|worker: Load| worker.load < worker.most);
    /// let node = Node::builder().start()?;
    /// assert!(node.get_filtered_peers(free)?.is_empty());
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    #[track_caller]
    pub fn when_as<T: DeserializeOwned>(
        self,
        test: impl Fn(T) -> bool + Send + Sync + 'static,
    ) -> Selector {
        Selector { filter: Some(self), ..predicate_as(test) }
    }
}

impl Selector {
    /// Whether everybody is meant.
    pub(super) fn is_anything(&self) -> bool {
        let Self { id, filter, predicate } = self;
        id.is_none()
            && predicate.is_none()
            && filter.as_ref().is_none_or(|filter| filter.compiled().is_ok_and(Compiled::is_any))
    }

    /// The part that routers understand, as it is sent to them.
    pub(super) fn encoded(&self) -> Arc<[u8]> {
        self.filter.as_ref().map_or_else(|| Filter::any().encoded(), Filter::encoded)
    }

    /// The same for all selectors that mean the same, as far as that can be told: a closure is known by its place.
    pub(super) fn number(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        self.id.hash(&mut hash);
        self.filter.as_ref().map(Filter::fingerprint).hash(&mut hash);
        self.predicate.as_ref().map(|predicate| predicate.place).hash(&mut hash);
        hash.finish()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut and = "";
        if let Some(id) = &self.id {
            write!(f, "id {id:?}")?;
            and = " and ";
        }
        if let Some(filter) = &self.filter {
            write!(f, "{and}{filter}")?;
            and = " and ";
        }
        match &self.predicate {
            Some(predicate) => write!(f, "{and}the predicate at {}", predicate.place),
            None if and.is_empty() => f.write_str("anything"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<Filter> for Selector {
    fn from(filter: Filter) -> Self {
        Self { filter: Some(filter), ..Self::default() }
    }
}

impl From<&Filter> for Selector {
    fn from(filter: &Filter) -> Self {
        Self::from(filter.clone())
    }
}

impl From<&Selector> for Selector {
    fn from(selector: &Selector) -> Self {
        selector.clone()
    }
}

impl From<&str> for Selector {
    fn from(id: &str) -> Self {
        Self { id: Some(id.to_owned()), ..Self::default() }
    }
}

impl From<String> for Selector {
    fn from(id: String) -> Self {
        Self { id: Some(id), ..Self::default() }
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
