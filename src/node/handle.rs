//! [`Handle`]: everything a program asks of a node, each verb written once.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::callbacks::{Callback, Callbacks};
use super::core::Core;
use super::dial::{Dial, PeerRef};
use super::events::Events;
use super::life::StopReport;
use super::lock;
use super::runtime;
use super::selector::Selector;
use crate::address::Address;
use crate::config::LONGEST_TIMEOUT;
use crate::dropped::Dropped;
use crate::error::{Error, ErrorKind};
use crate::event::EventName;
use crate::id::NodeId;
use crate::node_event::{Directions, NodeEvent, PeerInfo};
use crate::options::Options;
use crate::proto::{Command, Done};
use crate::routing::{Directory, PathPattern, PeerEntry};
use crate::routing_stats::RoutingStats;

/// A way to a node: does everything but own it. Cheap to clone, and usable from any thread at once.
///
/// Got from [`Node::handle`](crate::Node::handle); a [`Node`](crate::Node) itself derefs to one. A handle, also one that a
/// handler keeps, does not keep the node alive: after the node's end every call is `CLOSED`.
///
/// A node belongs to the process that started it. In a child that the process forks, every call fails with `CLOSED` (single ticks
/// after fifteen at the latest; those before are lost), there are no peers, event streams have ended, and neither a stop nor a drop
/// touches what is the parent's. The child may start nodes of its own, but must not return from a handler it was forked in.
#[derive(Clone)]
pub struct Handle {
    core: Arc<Core>,
}

/// Who it is, and what it knows.
impl Handle {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    pub(crate) fn shared(&self) -> Arc<Core> {
        Arc::clone(&self.core)
    }

    /// This node's id.
    pub fn id(&self) -> &NodeId {
        &self.core.id
    }

    /// This node's options, `_id` among them.
    pub fn options(&self) -> Options {
        self.core.options()
    }

    /// Where this node listens.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when it does not: call [`bind`](Self::bind) first; `CLOSED`.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.core.open()?;
        self.core.local_addr().ok_or_else(|| {
            let message = format!("{:?} does not listen, bind it first", self.id().as_str());
            Error::new(ErrorKind::InvalidArgument, message)
        })
    }

    /// All joined peers, in the order in which they joined. Empty after the node's end.
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.core.directory().iter().filter_map(|peer| peer.info()).collect()
    }

    /// Replaces this node's options and tells every peer at once. The key `_id` stays, and a router's `router` is always `true`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when they are larger than 8 KiB, 64 entries or four levels, `CLOSED` after the end; nothing is
    /// changed then.
    ///
    /// # Blocking
    /// Only while the loop has a backlog.
    pub fn set_options(&self, options: Options) -> Result<(), Error> {
        self.change_options(|_| options)
    }

    /// Merges into this node's options, key by key, and tells every peer at once.
    ///
    /// # Errors
    /// As [`set_options`](Self::set_options).
    ///
    /// # Blocking
    /// As [`set_options`](Self::set_options).
    pub fn update_options(&self, options: &Options) -> Result<(), Error> {
        self.change_options(|current| current.merged(options))
    }

    /// The lock is held while posting, so that changes reach the loop in the order in which they were made.
    fn change_options(&self, change: impl FnOnce(&Options) -> Options) -> Result<(), Error> {
        self.core.may_block()?;
        let mut current = lock(&self.core.options);
        let options = change(&current).with_id(&self.core.id);
        let options = if self.core.is_router { options.with_router() } else { options };
        options.check()?;
        let latest = Instant::now() + self.core.config.request_timeout;
        self.core.post(Command::SetOptions { options: options.clone() }, latest)?;
        *current = options;
        drop(current);
        self.core.news.tell();
        Ok(())
    }

    /// The options of a joined peer, as of its last update.
    pub fn peer_options(&self, id: impl AsRef<str>) -> Option<Options> {
        self.core.directory().get(id.as_ref()).map(|peer| peer.options.clone())
    }

    /// The id of the peer at the other end of a link to or from this address.
    pub fn peer_id_by_address(&self, address: SocketAddr) -> Option<NodeId> {
        let has_link = |peer: &&Arc<PeerEntry>| {
            peer.up.iter().chain(peer.down.iter()).any(|face| face.remote == address)
        };
        self.core.directory().iter().find(has_link).map(|peer| peer.id.clone())
    }

    /// What happens to this node from now on.
    pub fn events(&self) -> Events {
        self.core.hub.subscribe()
    }

    /// Tells a closure what happens to this node from now on, in order; the last event is [`NodeEvent::Stopped`]. Dropping the
    /// [`Callback`] keeps the closure.
    ///
    /// When the closures are slower than events come, and more than
    /// [`Limits::events_per_subscriber`](crate::Limits::events_per_subscriber) wait, the oldest are dropped, and the next event that
    /// is told is [`NodeEvent::Missed`] with their number.
    ///
    /// # Errors
    /// `CLOSED`; `INVALID_ARGUMENT` when the system has no thread left.
    ///
    /// # Threads
    /// All closures of a node run on one thread, `tm-<id>-events`, one after the other in the order in which they were added. It
    /// starts with the first of them and ends with the node. They may block, which holds up the others, and they may use the
    /// node, also to stop it. A panic is logged, and the closure is told of the next event like all others.
    ///
    /// # Example
    /// ```
    /// use threadmesh::{Node, NodeEvent};
    ///
    /// let node = Node::builder().start()?;
    /// node.on_event(|event| {
    ///     if let NodeEvent::PeerLeft { id, reason, .. } = event {
    ///         println!("{id} has left: {reason:?}");
    ///     }
    /// })?;
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn on_event(
        &self,
        tell: impl Fn(&NodeEvent) + Send + Sync + 'static,
    ) -> Result<Callback, Error> {
        self.core.open()?;
        Callbacks::add(&self.core, Box::new(tell))
    }

    /// Waits until a peer is joined, named by its id or found by a filter or a [`predicate`](crate::predicate()), and says who it is. What
    /// tests and start-up scripts use instead of sleeping.
    ///
    /// # Errors
    /// Nothing was sent in any case. `NODE_NOT_FOUND` (an id) or `NO_NODES_MATCH_FILTER` (anything else) when there was none
    /// within `timeout`; `INVALID_FILTER`; `USER_CODE_PANICKED`; `WOULD_DEADLOCK`; `CLOSED`.
    ///
    /// # Blocking
    /// At most for `timeout`; zero only looks.
    ///
    /// # Threads
    /// A predicate runs on this thread, once a peer and again when something has changed.
    pub fn wait_for_peer(
        &self,
        who: impl Into<Selector>,
        timeout: Duration,
    ) -> Result<PeerInfo, Error> {
        let who = who.into();
        let nobody = || {
            if let Selector { id: Some(id), filter: None, predicate: None } = &who {
                return self.core.not_found(id, Directions::BOTH);
            }
            let why = format!("no peer matches {who} after {timeout:?}");
            Error::new(ErrorKind::NoNodesMatchFilter, why)
        };
        self.wait_for(timeout, |peers| self.core.first(peers, &who), nobody)
    }

    /// Waits until a peer handles requests for an event, and says who: the first in join order. What tests and start-up
    /// scripts use instead of sleeping. Only handlers for exactly this event count: patterns are not announced. A name that begins with `/`
    /// is a path, which may be written carelessly and in which `*` stands for any one segment.
    ///
    /// # Errors
    /// Nothing was sent in any case. `NOT_FOUND` when there was none within `timeout`; `INVALID_EVENT`; `INVALID_PATH`;
    /// `WOULD_DEADLOCK`;
    /// `CLOSED`.
    ///
    /// # Blocking
    /// At most for `timeout`; zero only looks.
    ///
    /// # Example
    /// ```
    /// use std::time::Duration;
    /// use threadmesh::{Node, Request};
    ///
    /// let server = Node::builder().id("users").bind("127.0.0.1:0").start()?;
    /// let client = Node::builder().connect(server.local_addr()?).start()?;
    /// server.on_request("user:get", |_: Request<()>| Ok("Ada"))?;
    /// let peer = client.wait_for_service("user:get", Duration::from_secs(5))?;
    /// assert_eq!(peer.id, "users");
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn wait_for_service(&self, event: &str, timeout: Duration) -> Result<PeerInfo, Error> {
        let nobody = || {
            let why = format!("no peer serves {event:?} after {timeout:?}");
            Error::new(ErrorKind::NotFound, why)
        };
        if event.starts_with('/') {
            let pattern = PathPattern::new(event)?;
            let serves = |peer: &&Arc<PeerEntry>| peer.services.paths().first(&pattern).is_some();
            return self.wait_for(timeout, |peers| Ok(peers.iter().find(serves)), nobody);
        }
        let event = EventName::new(event)?;
        let serves =
            |peer: &&Arc<PeerEntry>| peer.services.iter().any(|service| service == event.as_str());
        self.wait_for(timeout, |peers| Ok(peers.iter().find(serves)), nobody)
    }

    /// Looks at the peers, and again when something has changed.
    fn wait_for(
        &self,
        timeout: Duration,
        find: impl for<'d> Fn(&'d Directory) -> Result<Option<&'d Arc<PeerEntry>>, Error>,
        nothing: impl FnOnce() -> Error,
    ) -> Result<PeerInfo, Error> {
        let deadline = Instant::now().checked_add(timeout.min(LONGEST_TIMEOUT));
        let look = || Ok(find(&self.core.directory())?.and_then(|peer| peer.info()));
        self.core.look_until(deadline, look)?.ok_or_else(nothing)
    }
}

/// Links: listening, dialling, letting go.
impl Handle {
    /// Listens on `address` (`host:port`, `tcp://host:port` or a [`SocketAddr`]; port 0 draws one) and says where. The same
    /// address again changes nothing. Links are plaintext: the first one beyond loopback is warned of in the log.
    ///
    /// # Errors
    /// `INVALID_ADDRESS`; `ALREADY_BOUND` while listening on another address; `BIND_FAILED` with the cause; `CLOSED`;
    /// `WOULD_DEADLOCK`.
    ///
    /// # Blocking
    /// Until the socket listens; a name is resolved first. At most for the node's `connect_timeout`.
    pub fn bind<A>(&self, address: A) -> Result<SocketAddr, Error>
    where
        A: TryInto<Address>,
        Error: From<A::Error>,
    {
        let address = address.try_into()?;
        self.core.may_block()?;
        let _turn = lock(&self.core.bound.turn);
        let shown = address.to_string();
        let ask = |token| Command::Bind { address, token };
        let Some(Done::Listening(bound)) = self.core.ask(self.soon(), ask)? else {
            let message = format!("{shown} could not be bound in time");
            return Err(Error::new(ErrorKind::BindFailed, message));
        };
        *lock(&self.core.bound.address) = Some(bound);
        // Who waits for somebody may wait for this node itself, as it is now.
        self.core.news.tell();
        Ok(bound)
    }

    /// What this node has dropped or refused since it started, by reason: limits that were reached, answers that came too late,
    /// peers that broke the protocol.
    ///
    /// # Errors
    /// `CLOSED`, `WOULD_DEADLOCK`.
    ///
    /// # Blocking
    /// For a turn of the loop.
    pub fn dropped(&self) -> Result<Dropped, Error> {
        let done = self.core.ask(self.soon(), |token| Command::Dropped { token })?;
        let Some(Done::Dropped(mut dropped)) = done else {
            let message = "the loop did not answer in time; ask again";
            return Err(Error::new(ErrorKind::RequestTimeout, message));
        };
        self.core.add_dropped(&mut dropped);
        Ok(dropped)
    }

    /// What this router has forwarded; afterwards it counts from zero if it is told to.
    ///
    /// # Errors
    /// `CLOSED`, `WOULD_DEADLOCK`, `REQUEST_TIMEOUT` when the loop is late.
    pub(crate) fn routing_stats(&self, reset: bool) -> Result<RoutingStats, Error> {
        let until = Instant::now() + self.core.config.request_timeout;
        let done = self.core.ask(until, |token| Command::RoutingStats { reset, token })?;
        let Some(Done::Routing(stats)) = done else {
            let message = "the loop did not answer in time; ask again";
            return Err(Error::new(ErrorKind::RequestTimeout, message));
        };
        Ok(*stats)
    }

    /// Says goodbye to all downstream peers and stops listening. Upstream links stay. Without effect when not bound. Requests of theirs
    /// that are being handled end with `CONNECTION_LOST`; those that were on their way were not executed, and their callers know it.
    ///
    /// # Errors
    /// `CLOSED`, `WOULD_DEADLOCK`.
    ///
    /// # Blocking
    /// Until the port is free: a turn of the loop.
    pub fn unbind(&self) -> Result<(), Error> {
        self.core.may_block()?;
        let _turn = lock(&self.core.bound.turn);
        self.core.ask(self.soon(), |token| Command::Unbind { token })?;
        *lock(&self.core.bound.address) = None;
        self.core.news.tell();
        Ok(())
    }

    /// Dials `address`, completes the handshake and says who answered. When it returns, both sides can send. A refused dial
    /// is repeated until the node's `connect_timeout` (10 s), so it does not matter who starts first. The link is dialled
    /// again whenever it is lost, as [`Reconnect`](crate::Reconnect) says.
    ///
    /// A second connect to the same address shares the link of the first. See [`dial`](Self::dial) for a time of its own.
    ///
    /// # Errors
    /// Never executed, and nothing is left behind that could join later: `INVALID_ADDRESS`; `CONNECT_TIMEOUT` with the last
    /// cause; `HANDSHAKE_TIMEOUT`; `INCOMPATIBLE`; `DUPLICATE_ID`; `REFUSED`; `INVALID_ADDRESS` also for an address of this node
    /// itself; `CLOSED`; `WOULD_DEADLOCK`.
    ///
    /// # Blocking
    /// At most for the node's `connect_timeout`.
    pub fn connect<A>(&self, address: A) -> Result<PeerInfo, Error>
    where
        A: TryInto<Address>,
        Error: From<A::Error>,
    {
        self.dial(address).connect()
    }

    /// Prepares a connect that has a time of its own, or tries only once.
    pub fn dial<A>(&self, address: A) -> Dial<'_>
    where
        A: TryInto<Address>,
        Error: From<A::Error>,
    {
        Dial::new(self, address.try_into().map_err(Error::from))
    }

    /// Dials `address` in the background until it answers, for as long as the node lives or until it is disconnected.
    /// [`events`](Self::events) tell what comes of it.
    ///
    /// # Errors
    /// `INVALID_ADDRESS`, `CLOSED`, `WOULD_DEADLOCK`.
    ///
    /// # Blocking
    /// A turn of the loop.
    pub fn connect_always<A>(&self, address: A) -> Result<(), Error>
    where
        A: TryInto<Address>,
        Error: From<A::Error>,
    {
        let address = address.try_into()?;
        self.core.ask(self.soon(), |token| Command::ConnectAlways { address, token })?;
        Ok(())
    }

    /// Says goodbye to a peer, named by its id or by the address it was dialled at, and drops the link for good: it is not
    /// dialled again. Ok when it was not connected. Requests of its that are being handled end with `CONNECTION_LOST`; those that
    /// were on their way were not executed, and their callers know it.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when `peer` is neither an id nor an address; `CLOSED`; `WOULD_DEADLOCK`.
    ///
    /// # Blocking
    /// A turn of the loop.
    pub fn disconnect(&self, peer: impl Into<PeerRef>) -> Result<(), Error> {
        let directory = self.core.directory();
        let whom = peer.into().resolve(|id| directory.get(id).is_some())?;
        self.core.ask(self.soon(), |token| Command::Disconnect { whom, token })?;
        Ok(())
    }

    /// The latest moment for something that takes a turn of the loop, or the resolution of a name.
    fn soon(&self) -> Instant {
        Instant::now() + self.core.config.connect_timeout
    }
}

/// The end.
impl Handle {
    /// Stops the node within its `stop_bound` (2 s): running handlers finish, ticks that have come are handled and
    /// confirmed, answers and accepted ticks are flushed, peers are told goodbye, pending calls fail with `CLOSED`, all threads are joined and the port is free. A second stop waits for
    /// the first and gives the same report.
    ///
    /// The goodbye says which requests of the peer are left unanswered. All others that were on their way were not executed: to their callers
    /// that is `CONNECTION_LOST` with [`Execution::Never`](crate::Execution::Never), or nothing at all if another peer may have the request.
    ///
    /// From inside a handler of this node it only begins to stop and returns at once, because the stop waits for that
    /// very handler.
    ///
    /// # Errors
    /// `WOULD_DEADLOCK` on a loop thread, `CLOSED` in a forked child; then nothing has begun.
    ///
    /// # Blocking
    /// At most for the bound and a moment.
    pub fn stop(&self) -> Result<StopReport, Error> {
        self.stop_within(self.core.config.stop_bound)
    }

    /// The same as [`stop`](Self::stop) with a bound of its own.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    ///
    /// # Blocking
    /// At most for `bound` and a moment.
    pub fn stop_within(&self, bound: Duration) -> Result<StopReport, Error> {
        Core::not_on_a_loop_thread()?;
        runtime::stop(&self.core, bound.min(LONGEST_TIMEOUT))
    }

    /// Waits until the node has stopped: what the `main` of a service ends with.
    ///
    /// # Errors
    /// `WOULD_DEADLOCK` on the node's own threads, handlers among them; `CLOSED` in a forked child.
    ///
    /// # Blocking
    /// Until somebody else stops the node.
    pub fn wait(&self) -> Result<StopReport, Error> {
        runtime::wait(&self.core)
    }

    /// Waits until the node has stopped, at most for `timeout`: a pause between two pieces of work that a stop cuts short. `None`
    /// when the time is over and the node goes on.
    ///
    /// Handlers and other code on the node's own threads may use it, too. A stop waits for them, so there it returns as soon as
    /// one begins, with an [`unfinished`](StopReport#structfield.unfinished) report.
    ///
    /// # Errors
    /// `WOULD_DEADLOCK` on a loop thread; `CLOSED` in a forked child.
    ///
    /// # Blocking
    /// At most for `timeout`, which counts as 24 h when it is longer; until somebody stops the node.
    ///
    /// # Example
    /// ```
    /// use std::time::Duration;
    /// use threadmesh::Node;
    ///
    /// let node = Node::builder().start()?;
    /// assert!(node.wait_timeout(Duration::from_millis(5))?.is_none());
    /// node.stop()?;
    /// assert!(node.wait_timeout(Duration::from_secs(5))?.is_some());
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<StopReport>, Error> {
        let began = Instant::now();
        let until = began.checked_add(timeout.min(LONGEST_TIMEOUT)).unwrap_or(began);
        runtime::wait_until(&self.core, until)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Handle");
        out.field("id", self.id()).field("local_addr", &self.core.local_addr());
        out.field("peers", &self.core.directory().len()).finish()
    }
}
