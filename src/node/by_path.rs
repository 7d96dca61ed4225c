//! A call by path, from the caller's side: what it says. Whom it finds and how it is sent stands in the files below.

mod answers;
mod find;
mod send;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::handle::Handle;
use super::terms::{Routers, Terms};
use crate::error::Error;
use crate::routing::{PathPattern, SendStrategy};

pub use answers::{Answers, PathTold};

/// A call to whoever serves a path, made by [`Handle::call`]. Its last method sends it, and one `PathCall` can send many times: each time it
/// looks anew who serves what.
///
/// | to get | end it with |
/// |---|---|
/// | one answer | [`request`](Self::request), or [`request_reply`](Self::request_reply), which also says whose it is |
/// | one answer, later | [`start`](Self::start) |
/// | the answers of all whom the strategy means | [`request_all`](Self::request_all) |
/// | none: fire and forget | [`tick`](Self::tick) |
///
/// Who gets the message is decided by a [`SendStrategy`]: that of the call ([`by`](Self::by)), else that of the node
/// ([`Builder::send_strategy`](crate::Builder::send_strategy), [`Handle::set_send_strategy`]), else [`FirstFind`](crate::FirstFind). It sees
/// the node itself first and then the peers, in the order in which they joined, each with the paths it has announced
/// ([`Handle::path_table`]). [`guide::send_strategies`](crate::guide::send_strategies) is a chapter about it.
///
/// # The node itself
/// The node that calls may itself be one that serves the path. Such a call skips the network and nothing else: it obeys the same deadline, runs
/// on the node's workers like one that came from a peer, and works as soon as [`register`](Handle::register) has returned. A call that is limited to one direction, or that
/// [`except`](Self::except)s the node's own id, leaves it out.
///
/// # Nobody serves it
/// There are two ways to be told `NOT_FOUND`. *Local*: no known node serves what the path means, and nothing was sent; the error
/// names no [`peer`](Error::peer), and there is a warning in the log and a [`NodeEvent::Error`](crate::NodeEvent::Error). *Remote*: a node
/// was asked that serves no such path, because the strategy ignores paths or the service was removed a moment ago; it is the error's
/// [`peer`](Error::peer). A request to one then goes on to the next target, if the strategy has named one. Neither has run anything.
///
/// A call that says [`via_router`](Self::via_router) then has a router find somebody. If none does, that is *remote*, too: the error's
/// context `routers` names those that were asked, and no peer is named.
///
/// # Example
/// ```
/// # use std::time::Duration;
/// # use threadmesh::{Node, Request, RoundRobin, SendToAll};
/// # let adder = Node::builder().id("adder").bind("127.0.0.1:0").start()?;
/// adder.register("math/add", |request: Request<(i64, i64)>| Ok(request.data.0 + request.data.1))?;
/// # let node = Node::builder().id("node").start()?;
/// node.register("math/mul", |request: Request<(i64, i64)>| Ok(request.data.0 * request.data.1))?;
/// # node.connect(adder.local_addr()?)?;
///
/// // One answer, from the first that serves it.
/// let eight: i64 = node.call("/math/add").request(&(1, 7))?;
/// assert_eq!(eight, 8);
///
/// // All answers: one for each path that `*` may mean, on each node.
/// let all = node.call("/math/*").by(SendToAll).request_all::<i64>(&(1, 7))?;
/// let shown: Vec<String> = all.iter().map(|(to, answer)| format!("{to} = {}", answer.as_ref().unwrap())).collect();
/// assert_eq!(shown, ["node/math/mul = 7", "adder/math/add = 8"]);
///
/// // One of them by turns, with a time of its own.
/// let turns = node.call("/math/*").by(RoundRobin::new()).timeout(Duration::from_secs(3));
/// assert_eq!((turns.request::<i64>(&(1, 7))?, turns.request::<i64>(&(1, 7))?), (7, 8));
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a call does nothing until it is sent"]
pub struct PathCall<'a> {
    handle: &'a Handle,
    /// As the program wrote it.
    path: String,
    strategy: Option<Arc<dyn SendStrategy>>,
    /// How long it may wait until somebody serves the path.
    match_patience: Option<Duration>,
    /// That there is nobody is no news.
    is_quiet: bool,
    /// It may wait for a dial.
    dials: bool,
    pub(super) terms: Terms,
}

impl<'a> PathCall<'a> {
    pub(super) fn new(handle: &'a Handle, path: &str) -> Self {
        let (path, terms) = (path.to_owned(), Terms::default());
        let (strategy, match_patience, is_quiet, dials) = (None, None, false, true);
        Self { handle, path, strategy, match_patience, is_quiet, dials, terms }
    }

    /// Who gets the message, in place of the strategy of the node. Every [`Strategy`](crate::Strategy) is a send strategy, too.
    ///
    /// What a strategy remembers, such as whose turn it is, lives as long as it does. A new one at each call begins anew each time: keep the
    /// `PathCall`, whose clones share it, or keep the strategy in an `Arc` and give a clone of that to each call.
    ///
    /// # Threads
    /// The strategy runs on the thread that makes the call.
    pub fn by(mut self, strategy: impl SendStrategy + 'static) -> Self {
        self.strategy = Some(Arc::new(strategy));
        self
    }

    pub(super) fn by_shared(mut self, strategy: Arc<dyn SendStrategy>) -> Self {
        self.strategy = Some(strategy);
        self
    }

    pub(super) fn with_terms(mut self, terms: Terms) -> Self {
        self.terms = terms;
        self
    }

    pub(super) fn quietly(mut self) -> Self {
        self.is_quiet = true;
        self
    }

    /// An address that is not connected is `NODE_NOT_FOUND`.
    pub(super) fn without_dialling(mut self) -> Self {
        self.dials = false;
        self
    }

    /// Waits for somebody whom the strategy wants, at most so long and not beyond the deadline of the call, instead of failing at once when
    /// there is nobody: what a program says whose services may start later than itself. It asks the strategy again whenever a peer or this node
    /// itself has changed, and when the node has another [default](Handle::set_send_strategy) that the call goes by.
    pub fn wait_for_match(mut self, patience: Duration) -> Self {
        self.match_patience = Some(patience);
        self
    }

    /// How long a tick to one may wait for room in the peer's window; without this it does not wait. Ticks to many never do, nor do those
    /// that are sent from inside a handler.
    pub fn wait(mut self, patience: Duration) -> Self {
        self.terms.wait = Some(patience);
        self
    }

    /// Asks routers for somebody who serves the path when the strategy names nobody: a router chooses among those it knows. Only calls to one
    /// do so ([`request`](Self::request), [`start`](Self::start), and a [`tick`](Self::tick) whose strategy means one): what is for many
    /// goes to those whom this node knows.
    ///
    /// # Example
    /// ```
    /// # use std::time::Duration;
    /// # use threadmesh::{Node, Request, Router};
    /// # let router = Router::builder().id("main-router").bind("127.0.0.1:0").start()?;
    /// # let adder = Node::builder().register("/math/add", |request: Request<(i64, i64)>| Ok(request.data.0 + request.data.1));
    /// # let adder = adder.start()?;
    /// # adder.connect(router.local_addr()?)?;
    /// # router.wait_for_service("/math/add", Duration::from_secs(5))?;
    /// # let node = Node::builder().start()?;
    /// # node.connect(router.local_addr()?)?;
    /// let eight: i64 = node.call("/math/add").via_router().request(&(1, 7))?;
    /// assert_eq!(eight, 8);
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn via_router(mut self) -> Self {
        self.terms.routers = Routers::Wanted;
        self
    }

    /// The node that makes the call.
    pub fn handle(&self) -> &'a Handle {
        self.handle
    }

    fn core(&self) -> &'a Core {
        self.handle.core()
    }

    fn pattern(&self) -> Result<PathPattern, Error> {
        PathPattern::new(&self.path)
    }
}

impl fmt::Display for PathCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "whoever serves {:?}", self.path)
    }
}

impl fmt::Debug for PathCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("PathCall");
        out.field("path", &self.path).field("directions", &self.terms.directions);
        out.field("timeout", &self.terms.timeout).finish_non_exhaustive()
    }
}
