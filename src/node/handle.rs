//! [`Handle`]: everything a program asks of a node, each verb written once.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::Call;
use super::callbacks::{Callback, Callbacks};
use super::core::Core;
use super::dial::{Dial, PeerRef};
use super::events::Events;
use super::life::StopReport;
use super::lock;
use super::pending::{Pending, Reply};
use super::runtime;
use super::selector::Selector;
use super::wake::Wake;
use crate::address::Address;
use crate::config::LONGEST_TIMEOUT;
use crate::dropped::Dropped;
use crate::endpoint::IntoEvent;
use crate::error::{Error, ErrorKind};
use crate::event::EventName;
use crate::handler_error::HandlerError;
use crate::id::NodeId;
use crate::node_event::{NodeEvent, PeerInfo};
use crate::options::Options;
use crate::payload::{Decode, Encode};
use crate::proto::{Command, Done};
use crate::routing::{Directory, PeerEntry};
use crate::service::{Finish, IntoPattern, Pattern, Registration, Request, Respond, Tick};

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

    /// Replaces this node's options and tells every peer at once. The key `_id` stays.
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
        options.check()?;
        let latest = Instant::now() + self.core.config.request_timeout;
        self.core.post(Command::SetOptions { options: options.clone() }, latest)?;
        *current = options;
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

    /// Waits until a peer is joined, named by its id or found by a [`predicate`](crate::predicate()), and says who it is. What
    /// tests and start-up scripts use instead of sleeping.
    ///
    /// # Errors
    /// Nothing was sent in any case. `NODE_NOT_FOUND` (an id) or `NO_NODES_MATCH_FILTER` (a predicate) when there was none
    /// within `timeout`; `USER_CODE_PANICKED`; `WOULD_DEADLOCK`; `CLOSED`.
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
        self.wait_for(timeout, |peers| who.first(peers), || who.no_match())
    }

    /// Waits until a peer handles requests for an event, and says who: the first in join order. What tests and start-up
    /// scripts use instead of sleeping. Only handlers for exactly this event count: patterns are not announced.
    ///
    /// # Errors
    /// Nothing was sent in any case. `NOT_FOUND` when there was none within `timeout`; `INVALID_EVENT`; `WOULD_DEADLOCK`;
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
        let event = EventName::new(event)?;
        let serves =
            |peer: &&Arc<PeerEntry>| peer.services.iter().any(|service| service == event.as_str());
        let nobody = || {
            let why = format!("no peer serves {:?} after {timeout:?}", event.as_str());
            Error::new(ErrorKind::NotFound, why)
        };
        self.wait_for(timeout, |peers| Ok(peers.iter().find(serves)), nobody)
    }

    /// Looks at the peers, and again when something has changed.
    fn wait_for(
        &self,
        timeout: Duration,
        find: impl Fn(&Directory) -> Result<Option<&Arc<PeerEntry>>, Error>,
        nothing: impl FnOnce() -> Error,
    ) -> Result<PeerInfo, Error> {
        let deadline = Instant::now().checked_add(timeout.min(LONGEST_TIMEOUT));
        // Subscribed before the first look, so that nothing happens unseen between the two.
        let mut events = self.events();
        loop {
            self.core.may_block()?;
            let directory = self.core.directory();
            if let Some(info) = find(&directory)?.and_then(|peer| peer.info()) {
                return Ok(info);
            }
            drop(directory);
            if events.next_until(deadline).is_none() {
                self.core.open()?;
                return Err(nothing());
            }
        }
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

    /// Says goodbye to all downstream peers and stops listening. Upstream links stay. Without effect when not bound.
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

    /// Puts a connect together that has a time of its own, or tries only once.
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
    /// dialled again. Ok when it was not connected.
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

/// Calls. Each is a short form of [`to`](Handle::to) with nothing set. The event is a text, or an [`Endpoint`](crate::Endpoint) that
/// fixes the types of data and answer; a type that is not inferred stands first: `request::<u64, _, _>(…)`.
impl Handle {
    /// Puts a call to one peer together: with a timeout, with headers.
    pub fn to<'a>(&'a self, id: &'a (impl AsRef<str> + ?Sized)) -> Call<'a> {
        Call::new(self, id.as_ref())
    }

    /// Sends a request to a peer, waits for the answer and decodes it.
    ///
    /// # Errors
    /// Those of [`Call::request`].
    ///
    /// # Blocking
    /// Until the answer, at most for the node's `request_timeout` (10 s).
    pub fn request<T: Decode, D: Encode + ?Sized>(
        &self,
        id: impl AsRef<str>,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<T, Error> {
        self.to(&id).request(event, data)
    }

    /// The same as [`request`](Self::request), and says who answered and how long it took.
    ///
    /// # Errors
    /// Those of [`Call::request`].
    ///
    /// # Blocking
    /// As [`request`](Self::request).
    pub fn request_reply<T: Decode, D: Encode + ?Sized>(
        &self,
        id: impl AsRef<str>,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<Reply<T>, Error> {
        self.to(&id).request_reply(event, data)
    }

    /// Sends a request to a peer without waiting for the answer. Its time runs from now.
    ///
    /// # Errors
    /// Those of [`Call::start`].
    ///
    /// # Blocking
    /// As [`Call::start`].
    pub fn start<T: Decode, D: Encode + ?Sized>(
        &self,
        id: impl AsRef<str>,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<Pending<T>, Error> {
        self.to(&id).start(event, data)
    }

    /// Sends one tick to a peer: fire and forget.
    ///
    /// # Errors
    /// Those of [`Call::tick`].
    ///
    /// # Blocking
    /// As [`Call::tick`].
    pub fn tick<D: Encode + ?Sized>(
        &self,
        id: impl AsRef<str>,
        event: impl IntoEvent<D, ()>,
        data: &D,
    ) -> Result<(), Error> {
        self.to(&id).tick(event, data)
    }

    /// Waits until the handlers of a peer are done with every tick that this node has accepted for it so far. Ticks that are
    /// sent meanwhile are not waited for.
    ///
    /// # Errors
    /// `NODE_NOT_FOUND` when it is not connected: what it had not confirmed was reported in [`NodeEvent::Undelivered`].
    /// `REQUEST_TIMEOUT` says how many it has not confirmed. After that one, `CONNECTION_LOST` and `CLOSED`, those ticks may
    /// have run. `WOULD_DEADLOCK`.
    ///
    /// # Blocking
    /// At most for `timeout` and 5 ms. A receiver that is never done with all it has reports at a quarter of the window, or
    /// with its next heartbeat (2 s).
    pub fn flush(&self, id: impl AsRef<str>, timeout: Duration) -> Result<(), Error> {
        self.core.may_block()?;
        let peer = self.core.find(id.as_ref())?.peer;
        self.flush_peers([&peer], timeout)
    }

    /// The same as [`flush`](Self::flush) for all peers that are connected now, at once. Fine when there are none.
    ///
    /// # Errors
    /// That of the first peer, in join order, which does not confirm everything. What became of the others is not known then.
    ///
    /// # Blocking
    /// At most for `timeout` and 5 ms.
    pub fn flush_all(&self, timeout: Duration) -> Result<(), Error> {
        self.core.may_block()?;
        self.flush_peers(self.core.directory().iter(), timeout)
    }

    fn flush_peers<'a>(
        &self,
        peers: impl IntoIterator<Item = &'a Arc<PeerEntry>>,
        timeout: Duration,
    ) -> Result<(), Error> {
        let began = Instant::now();
        let deadline = began.checked_add(timeout.min(LONGEST_TIMEOUT)).unwrap_or(began);
        let asked = peers.into_iter().map(|peer| {
            let (token, receiver) = Wake::new(None);
            self.core.post(Command::Flush { peer: peer.key, deadline, token }, deadline)?;
            Ok((peer.id.clone(), receiver))
        });
        let asked: Vec<_> = asked.collect::<Result<_, Error>>()?;
        asked.into_iter().try_for_each(|(id, receiver)| {
            let late = || {
                let why = format!("{id} was not known to have confirmed all ticks in time");
                Err(Error::new(ErrorKind::RequestTimeout, why).with_peer(id))
            };
            self.core.done(&receiver, deadline).unwrap_or_else(late).map(|_done| ())
        })
    }
}

/// Handlers.
impl Handle {
    /// Handles requests whose event matches `pattern`: an exact name, one with `*` for any run of characters, an
    /// [`Endpoint`](crate::Endpoint), or a [`Pattern`], which may be a regular expression. Dropping the registration keeps the
    /// handler.
    ///
    /// The handler returns a `Result` whose error is a [`HandlerError`], or an [`Outcome`](crate::Outcome), with or without a `Result`
    /// around it. A closure with `?` in it, or one that never fails, may have to name its type: `Ok::<_, HandlerError>(answer)`.
    ///
    /// # Several handlers
    /// Handlers that match are asked in the order of their registration, whatever their patterns, each once at most: the first that
    /// answers, or will answer [`later`](crate::Outcome::later), ends it. [`Outcome::Next`](crate::Outcome::Next) asks the next one,
    /// an error goes to the next handler of [`on_error`](Self::on_error) and, without one, to the caller. Data that do not fit the type of
    /// a handler are such an error (`DECODE`), and so is a panic (`HANDLER_ERROR`; what it said is in the log of this node alone). If
    /// nobody answers the caller gets `NO_REPLY`, and `NO_HANDLER` if nobody was there to be asked, both at once.
    ///
    /// # Errors
    /// `INVALID_EVENT` when the pattern is none; `INVALID_ARGUMENT` when it is one service more than a node may announce (4,096, or
    /// 256 KiB of names); `CLOSED`.
    ///
    /// # Blocking
    /// Only while the loop has a backlog of thousands of commands.
    ///
    /// # Threads
    /// The handler runs on the node's workers, several at once. It may block, and it may call other nodes.
    ///
    /// # Example
    /// ```
    /// use threadmesh::{HandlerError, Node, Request};
    ///
    /// let node = Node::builder().start()?;
    /// node.on_request("half", |request: Request<u64>| match request.data % 2 {
    ///     0 => Ok(request.data / 2),
    ///     _ => Err(HandlerError::new("ODD", "cannot be halved")),
    /// })?;
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn on_request<P, T, A, F>(&self, pattern: P, handler: F) -> Result<Registration, Error>
    where
        P: IntoPattern<T, A::Answer>,
        T: Decode,
        A: Respond,
        F: Fn(Request<T>) -> A + Send + Sync + 'static,
    {
        self.core.open()?;
        self.core.service.on_request(pattern, handler)
    }

    /// Is asked about the errors of handlers of requests that were registered before it and whose event matches `pattern`: what
    /// [`on_request`](Self::on_request) says of several handlers. It stands in the same order as those.
    ///
    /// It gets the error and the request, and may answer, pass on with [`Outcome::Next`](crate::Outcome::Next) (the error is done
    /// with, and the normal handlers behind it are asked), or return an error, the same or another, which goes to the next error handler.
    /// `Request<Payload>` takes data of any type; if the data do not fit, this handler is passed over. What fails later, in a
    /// [`Responder`](crate::Responder), and what is too large to be sent go straight to the caller.
    ///
    /// # Errors
    /// As [`on_request`](Self::on_request).
    ///
    /// # Threads
    /// As [`on_request`](Self::on_request), on the worker of the handler that failed.
    ///
    /// # Example
    /// ```
    /// use threadmesh::{HandlerError, Node, Outcome, Payload, Request};
    ///
    /// let node = Node::builder().id("s").bind("127.0.0.1:0").start()?;
    /// node.on_request("cache:*", |_: Request<String>| Err::<u64, _>(HandlerError::new("DOWN", "no cache")))?;
    /// node.on_error("cache:*", |error, _: Request<Payload>| -> Result<Outcome, HandlerError> {
    ///     if error.code() == "DOWN" { Ok(Outcome::Next) } else { Err(error) }
    /// })?;
    /// node.on_request("cache:length", |request: Request<String>| Ok(request.data.len()))?;
    /// # let client = Node::builder().start()?;
    /// # client.connect(node.local_addr()?)?;
    /// assert_eq!(client.request::<usize, _>("s", "cache:length", "four")?, 4);
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn on_error<P, T, A, F>(&self, pattern: P, handler: F) -> Result<Registration, Error>
    where
        P: IntoPattern<T, A::Answer>,
        T: Decode,
        A: Respond,
        F: Fn(HandlerError, Request<T>) -> A + Send + Sync + 'static,
    {
        self.core.open()?;
        self.core.service.on_error(pattern, handler)
    }

    /// Takes ticks whose event matches `pattern`. Ticks of one sender over one link are handled in sending order. If several
    /// handlers match, each gets the tick once, in the order of their registration, also when one before it fails.
    ///
    /// The handler returns nothing, or a `Result` whose error is a [`HandlerError`]. Nobody waits for that: an error, a panic, and data
    /// that do not fit the handler are counted and logged on this node. Error handlers are for requests alone.
    ///
    /// # Errors
    /// As [`on_request`](Self::on_request).
    ///
    /// # Threads
    /// As [`on_request`](Self::on_request).
    pub fn on_tick<P, T, A, F>(&self, pattern: P, handler: F) -> Result<Registration, Error>
    where
        P: IntoPattern<T, ()>,
        T: Decode,
        A: Finish,
        F: Fn(Tick<T>) -> A + Send + Sync + 'static,
    {
        self.core.open()?;
        self.core.service.on_tick(pattern, handler)
    }

    /// Removes all handlers, of requests, errors and ticks, that were registered with exactly this pattern, and says how many
    /// there were. [`Registration::remove`] removes one and leaves the others. No message that is taken up later sees them; runs
    /// that have begun go on.
    ///
    /// # Errors
    /// `INVALID_EVENT` when the pattern is none; `CLOSED`.
    pub fn off<P>(&self, pattern: P) -> Result<usize, Error>
    where
        P: TryInto<Pattern>,
        Error: From<P::Error>,
    {
        self.core.open()?;
        Ok(self.core.service.remove(&pattern.try_into()?))
    }
}

/// The end.
impl Handle {
    /// Stops the node within its `stop_bound` (2 s): running handlers finish, ticks that have come are handled and
    /// confirmed, answers and accepted ticks are flushed, peers are told goodbye, pending calls fail with `CLOSED`, all threads are joined and the port is free. A second stop waits for
    /// the first and gives the same report.
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
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Handle");
        out.field("id", self.id()).field("local_addr", &self.core.local_addr());
        out.field("peers", &self.core.directory().len()).finish()
    }
}
