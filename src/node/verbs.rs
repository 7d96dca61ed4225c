//! The verbs of a [`Handle`] that send: each a short form of a [`Call`] with nothing set. It must not do anything by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::all::{All, Told};
use super::call::Call;
use super::gather::Gather;
use super::handle::Handle;
use super::pending::{Pending, Reply};
use super::selector::Selector;
use super::wake::Wake;
use crate::config::LONGEST_TIMEOUT;
use crate::endpoint::IntoEvent;
use crate::error::{Error, ErrorKind};
use crate::node_event::{Directions, PeerInfo};
use crate::payload::{Decode, Encode};
use crate::proto::Command;
use crate::routing::PeerEntry;

/// Calls. Each is a short form of [`to`](Handle::to) with nothing set. The event is a text, or an [`Endpoint`](crate::Endpoint) that
/// fixes the types of data and answer; a type that is not inferred stands first: `request::<u64, _>(…)`.
impl Handle {
    /// Prepares a call to one peer: with a timeout, with headers. Who is not connected is `NODE_NOT_FOUND` at once, unless the call says
    /// [`via_router`](Call::via_router).
    pub fn to<'a>(&'a self, id: &'a (impl AsRef<str> + ?Sized)) -> Call<'a> {
        Call::to(self, id.as_ref())
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
}

/// Calls to any one, or to all, of the peers that match a [`Filter`](crate::Filter), a [`predicate`](crate::predicate()), or both.
impl Handle {
    /// Prepares a call to one of the peers that match: with a direction, a strategy, a timeout.
    ///
    /// One of them is chosen by the strategy of the call or of the node, by chance if neither names one. With the
    /// empty filter, peers whose options say `router: true` are passed over.
    ///
    /// **When another match is taken.** The strategy names up to three alternates besides its first choice. The next one gets the message
    /// instead when a peer
    /// * is lost before it was sent the message, or says goodbye before it took it up,
    /// * is busy or stopping, and says so without running the request (`BUSY`),
    /// * has no room for the message (if none of them has, a request waits in line at the first choice),
    /// * takes only smaller messages.
    ///
    /// Behind the last of them stand the [routers](crate::Router) this node has a link with, and where there is no match at all they are
    /// asked at once: one after the other, each call beginning with the next, until one finds somebody. They look among their own peers, in both
    /// directions, and ask the routers they know in turn. [`local_only`](Call::local_only) leaves them out; a call
    /// that is limited to one direction, or to an id, asks them only if it says [`via_router`](Call::via_router). What came through a router
    /// says so: [`Reply::via`].
    ///
    /// **Who chooses behind a router.** With a filter alone, the router does. A closure, a strategy of the call and
    /// [`except`](Call::except) cannot travel. Then, and only if there is no match here, the thread that calls has a router list whom it
    /// knows that the filter matches, up to 4,096 of them, chooses as it would here, and sends by id through that router. That takes time of the
    /// call, and only peers of the routers this node knows can be chosen, not those that are further away. A router may
    /// refuse to list them (`PREDICATE_NOT_ROUTABLE`). The strategy of the node chooses for such calls unless they have their own, and does
    /// not cause a listing by itself.
    ///
    /// An alternate is never taken after the message may have run. Nor is it for a request that was queued while this node was short of memory
    /// ([`Limits::node_bytes`](crate::Limits::node_bytes)), for which alternates are not kept: then the error comes back. The same holds for routers.
    ///
    /// A tick goes on until one of them has room for it; if that one is lost then, the tick is
    /// [`Undelivered`](crate::NodeEvent::Undelivered). A batch of [`ticks`](Call::ticks) goes to the first choice alone, so that they stay
    /// in order.
    ///
    /// # Example
    /// ```
    /// use std::time::Duration;
    /// use threadmesh::{Node, PowerOfTwo, Request, filter, options};
    ///
    /// let worker = Node::builder()
    ///     .options(options! { "role": "worker", "load": 12 })
    ///     .on_request("count", |request: Request<String>| Ok(request.data.len()))
    ///     .bind("127.0.0.1:0")
    ///     .start()?;
    /// let node = Node::builder().start()?;
    /// node.connect(worker.local_addr()?)?;
    ///
    /// let idle = filter! { "role": "worker", "load": { "$lt": 80 } };
    /// let call = node.any(idle).up().strategy(PowerOfTwo).timeout(Duration::from_secs(3));
    /// let count: usize = call.request("count", "four")?;
    /// assert_eq!(count, 4);
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn any(&self, selector: impl Into<Selector>) -> Call<'_> {
        Call::any(self, selector.into())
    }

    /// Prepares a call to all the peers that match: with a direction, a timeout, with an end after the first answers.
    ///
    /// There is no strategy, because nobody is chosen: everybody who matches is meant, routers included. Routers are not asked for others: it
    /// is a call to peers of this node. That nobody matches is fine, and
    /// one peer that fails does not stop the others: see [`All`].
    pub fn all(&self, selector: impl Into<Selector>) -> All<'_> {
        All::new(self, selector.into())
    }

    /// Sends a request to one of the peers that match, waits for the answer and decodes it.
    ///
    /// # Errors
    /// Those of [`Call::request`].
    ///
    /// # Blocking
    /// Until the answer, at most for the node's `request_timeout` (10 s).
    pub fn request_any<T: Decode, D: Encode + ?Sized>(
        &self,
        selector: impl Into<Selector>,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<T, Error> {
        self.any(selector).request(event, data)
    }

    /// The same as [`request_any`](Self::request_any), to an upstream peer, one that this node dialled.
    ///
    /// # Errors
    /// Those of [`Call::request`].
    ///
    /// # Blocking
    /// Until the answer, at most for the node's `request_timeout` (10 s).
    pub fn request_up_any<T: Decode, D: Encode + ?Sized>(
        &self,
        selector: impl Into<Selector>,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<T, Error> {
        self.any(selector).up().request(event, data)
    }

    /// The same as [`request_any`](Self::request_any), to a downstream peer, one that dialled this node.
    ///
    /// # Errors
    /// Those of [`Call::request`].
    ///
    /// # Blocking
    /// Until the answer, at most for the node's `request_timeout` (10 s).
    pub fn request_down_any<T: Decode, D: Encode + ?Sized>(
        &self,
        selector: impl Into<Selector>,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<T, Error> {
        self.any(selector).down().request(event, data)
    }

    /// Sends a tick to one of the peers that match, or behind a router. Ok means accepted for sending.
    ///
    /// # Example
    /// ```
    /// # use std::time::Duration;
    /// # use threadmesh::{Node, Tick};
    /// use threadmesh::{filter, options};
    ///
    /// # let node = Node::builder().id("node").bind("127.0.0.1:0").start()?;
    /// # let collector = Node::builder().options(options! { "role": "metrics" });
    /// # let collector = collector.on_tick("metrics:record", |_: Tick<u32>| ()).on_tick("heartbeat", |_: Tick<()>| ());
    /// # let collector = collector.bind("127.0.0.1:0").start()?;
    /// # node.connect(collector.local_addr()?)?;
    /// # let reader = Node::builder().options(options! { "role": "subscriber" });
    /// # let reader = reader.on_tick("notify", |tick: Tick<String>| assert_eq!(tick.data, "news")).start()?;
    /// # reader.connect(node.local_addr()?)?;
    /// node.tick_any(filter! { "role": "metrics" }, "metrics:record", &1)?;
    /// // Only to one that this node dialled; only to one that dialled this node.
    /// node.tick_up_any(filter! { "role": "metrics" }, "heartbeat", &())?;
    /// node.tick_down_any(filter! { "role": "subscriber" }, "notify", "news")?;
    /// assert!(node.tick_up_any(filter! { "role": "subscriber" }, "notify", "news").is_err());
    /// # node.flush_all(Duration::from_secs(5))?;
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Call::tick`].
    ///
    /// # Blocking
    /// As [`Call::tick`].
    pub fn tick_any<D: Encode + ?Sized>(
        &self,
        selector: impl Into<Selector>,
        event: impl IntoEvent<D, ()>,
        data: &D,
    ) -> Result<(), Error> {
        self.any(selector).tick(event, data)
    }

    /// The same as [`tick_any`](Self::tick_any), to an upstream peer, one that this node dialled.
    ///
    /// # Errors
    /// Those of [`Call::tick`].
    ///
    /// # Blocking
    /// As [`Call::tick`].
    pub fn tick_up_any<D: Encode + ?Sized>(
        &self,
        selector: impl Into<Selector>,
        event: impl IntoEvent<D, ()>,
        data: &D,
    ) -> Result<(), Error> {
        self.any(selector).up().tick(event, data)
    }

    /// The same as [`tick_any`](Self::tick_any), to a downstream peer, one that dialled this node.
    ///
    /// # Errors
    /// Those of [`Call::tick`].
    ///
    /// # Blocking
    /// As [`Call::tick`].
    pub fn tick_down_any<D: Encode + ?Sized>(
        &self,
        selector: impl Into<Selector>,
        event: impl IntoEvent<D, ()>,
        data: &D,
    ) -> Result<(), Error> {
        self.any(selector).down().tick(event, data)
    }

    /// Sends a tick to all the peers that match, and says how many there are and who is skipped. Nobody is fine.
    ///
    /// # Errors
    /// Those of [`All::tick`].
    ///
    /// # Blocking
    /// As [`All::tick`].
    pub fn tick_all<D: Encode + ?Sized>(
        &self,
        selector: impl Into<Selector>,
        event: impl IntoEvent<D, ()>,
        data: &D,
    ) -> Result<Told, Error> {
        self.all(selector).tick(event, data)
    }

    /// The same as [`tick_all`](Self::tick_all), to upstream peers, those that this node dialled.
    ///
    /// # Errors
    /// Those of [`All::tick`].
    ///
    /// # Blocking
    /// As [`All::tick`].
    pub fn tick_up_all<D: Encode + ?Sized>(
        &self,
        selector: impl Into<Selector>,
        event: impl IntoEvent<D, ()>,
        data: &D,
    ) -> Result<Told, Error> {
        self.all(selector).up().tick(event, data)
    }

    /// The same as [`tick_all`](Self::tick_all), to downstream peers, those that dialled this node.
    ///
    /// # Errors
    /// Those of [`All::tick`].
    ///
    /// # Blocking
    /// As [`All::tick`].
    pub fn tick_down_all<D: Encode + ?Sized>(
        &self,
        selector: impl Into<Selector>,
        event: impl IntoEvent<D, ()>,
        data: &D,
    ) -> Result<Told, Error> {
        self.all(selector).down().tick(event, data)
    }

    /// Sends a request to all the peers that match, at once, and gives the answers as they arrive.
    ///
    /// # Errors
    /// Those of [`All::request`].
    ///
    /// # Blocking
    /// Does not wait for the answers: [`Gather`] does.
    pub fn request_all<T: Decode, D: Encode + ?Sized>(
        &self,
        selector: impl Into<Selector>,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<Gather<T>, Error> {
        self.all(selector).request(event, data)
    }

    /// The peers that match, with their options and directions, in the order in which they joined; nobody is an empty list. Only peers of
    /// this node: routers are not asked.
    /// [`All::peers`] can look in one direction only.
    ///
    /// # Errors
    /// `INVALID_FILTER`, `USER_CODE_PANICKED`, `CLOSED`.
    ///
    /// # Threads
    /// A predicate runs on this thread.
    pub fn get_filtered_peers(
        &self,
        selector: impl Into<Selector>,
    ) -> Result<Vec<PeerInfo>, Error> {
        self.all(selector).peers()
    }
}

/// Ticks that are on their way.
impl Handle {
    /// Waits until the handlers of a peer are done with every tick that this node has accepted for it so far. Ticks that are
    /// sent meanwhile are not waited for.
    ///
    /// # Errors
    /// `NODE_NOT_FOUND` when it is not connected: what it had not confirmed was reported in
    /// [`NodeEvent::Undelivered`](crate::NodeEvent::Undelivered).
    /// `REQUEST_TIMEOUT` says how many it has not confirmed. After that one, `CONNECTION_LOST` and `CLOSED`, those ticks may
    /// have run. Of a router that could not place a tick: what that tick failed with, `NO_NODES_MATCH_FILTER` mostly. `WOULD_DEADLOCK`.
    ///
    /// # Blocking
    /// At most for `timeout` and 5 ms. A receiver that is never done with all it has reports at a quarter of the window, or
    /// with its next heartbeat (2 s).
    pub fn flush(&self, id: impl AsRef<str>, timeout: Duration) -> Result<(), Error> {
        self.core().may_block()?;
        let id = id.as_ref();
        let found = self.core().find(id, Directions::BOTH);
        let peer = found.ok_or_else(|| self.core().not_found(id, Directions::BOTH))?.first.peer;
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
        self.core().may_block()?;
        self.flush_peers(self.core().directory().iter(), timeout)
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
            self.core().post(Command::Flush { peer: peer.key, deadline, token }, deadline)?;
            Ok((peer.id.clone(), receiver))
        });
        let asked: Vec<_> = asked.collect::<Result<_, Error>>()?;
        asked.into_iter().try_for_each(|(id, receiver)| {
            let late = || {
                let why = format!("{id} was not known to have confirmed all ticks in time");
                Err(Error::new(ErrorKind::RequestTimeout, why).with_peer(id))
            };
            self.core().done(&receiver, deadline).unwrap_or_else(late).map(|_done| ())
        })
    }
}
