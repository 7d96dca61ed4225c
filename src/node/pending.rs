//! A request that is under way: [`Pending`], and its answer with where it came from: [`Reply`].

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvError};

use super::call::Observer;
use super::core::Core;
use super::onward::Routed;
use super::wake::{self, Arrival, Nothing};
use crate::config::{CALLER_GRACE, LONGEST_TIMEOUT};
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{CallId, NodeId};
use crate::payload::Decode;
use crate::proto::Done;
use crate::routing::Observation;

/// An answer, and where it came from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reply<T> {
    /// What the handler returned.
    pub value: T,
    /// The node whose handler answered.
    pub handled_by: NodeId,
    /// The router of this node that passed the answer on; `None` when the one who handled the request sent it itself.
    pub via: Option<NodeId>,
    /// From the moment the call was made until the answer had arrived at this node.
    pub elapsed: Duration,
}

impl<T> Reply<T> {
    /// The node whose handler answered.
    pub fn handled_by(&self) -> &NodeId {
        &self.handled_by
    }
}

impl<T: Decode> Reply<T> {
    /// The answer that has arrived to a call that began then.
    pub(super) fn open(arrival: Arrival, began: Instant) -> Result<Self, Error> {
        let Done::Answered(answered) = arrival.result? else {
            return Err(wake::loop_is_gone().with_execution(Execution::Unknown));
        };
        let sender = answered.peer.id.clone();
        let (handled_by, via) = match answered.handler {
            Some(handler) => (handler, Some(sender)),
            None => (sender, None),
        };
        // The handler has run, whatever its answer looks like.
        let value = T::decode(&answered.payload).map_err(|error| {
            error.with_execution(Execution::Happened).with_peer(handled_by.clone())
        })?;
        let elapsed = arrival.at.saturating_duration_since(began);
        Ok(Self { value, handled_by, via, elapsed })
    }
}

/// A request that is under way, made by [`Call::start`](crate::Call::start) or [`Handle::start`](crate::Handle::start).
///
/// Its deadline runs whether anybody waits or not. It can be sent to another thread. Dropping it cancels the request:
/// the handler can see that, and a late answer is dropped.
///
/// # Example
/// ```
/// # use threadmesh::{Node, Request};
/// # let server = Node::builder().id("server").bind("127.0.0.1:0").start()?;
/// # server.on_request("double", |request: Request<i64>| Ok(request.data * 2))?;
/// # let client = Node::builder().id("client").start()?;
/// # client.connect(server.local_addr()?)?;
/// let three = client.start::<i64, _>("server", "double", &3)?;
/// let four = client.start::<i64, _>("server", "double", &4)?;
/// assert_eq!(three.wait()?.value + four.wait()?.value, 14);
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[must_use = "dropping a pending request cancels it"]
pub struct Pending<T> {
    core: Arc<Core>,
    call: CallId,
    peer: NodeId,
    observer: Option<Observer>,
    /// Present if routers take part.
    routed: Option<Box<Routed>>,
    receiver: Receiver<Arrival>,
    began: Instant,
    deadline: Instant,
    finished: bool,
    value: PhantomData<fn() -> T>,
}

/// What identifies a request that was posted.
pub(super) struct Started {
    pub(crate) call: CallId,
    pub(crate) peer: NodeId,
    pub(crate) observer: Option<Observer>,
    pub(crate) routed: Option<Box<Routed>>,
    pub(crate) receiver: Receiver<Arrival>,
    pub(crate) began: Instant,
    pub(crate) deadline: Instant,
}

impl<T: Decode> Pending<T> {
    pub(super) fn new(core: Arc<Core>, started: Started) -> Self {
        let Started { call, peer, observer, routed, receiver, began, deadline } = started;
        let (finished, value) = (false, PhantomData);
        Self { core, call, peer, observer, routed, receiver, began, deadline, finished, value }
    }

    /// Waits for the answer and decodes it.
    ///
    /// # Errors
    /// Those of [`Call::request`](crate::Call::request); `INVALID_ARGUMENT` (never executed by this) when the answer was
    /// taken before; `WOULD_DEADLOCK` on the node's own loop thread.
    ///
    /// # Blocking
    /// Until the answer, at most until the request's deadline.
    pub fn wait(mut self) -> Result<Reply<T>, Error> {
        self.take_until(self.deadline_with_grace()).unwrap_or_else(|| Err(self.give_up()))
    }

    /// Waits at most `timeout` for the answer; `None` when it is not there yet.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    ///
    /// # Blocking
    /// Until the answer, at most for `timeout`, at most until the request's deadline.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<Reply<T>, Error>> {
        let latest = self.deadline_with_grace();
        let until = Instant::now().checked_add(timeout.min(LONGEST_TIMEOUT)).unwrap_or(latest);
        let taken = self.take_until(until.min(latest));
        if taken.is_none() && Instant::now() >= latest {
            return Some(Err(self.give_up()));
        }
        taken
    }

    /// The answer if it is there.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    pub fn try_take(&mut self) -> Option<Result<Reply<T>, Error>> {
        self.wait_timeout(Duration::ZERO)
    }

    /// Decodes what the [`receiver`](Self::receiver) yielded in a `select!`.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    pub fn finish(mut self, arrival: Result<Arrival, RecvError>) -> Result<Reply<T>, Error> {
        self.settle(arrival.map_err(|RecvError| Nothing::Gone))
            .unwrap_or_else(|| Err(self.give_up()))
    }

    fn take_until(&mut self, until: Instant) -> Option<Result<Reply<T>, Error>> {
        if self.finished {
            return Some(Err(taken_before()));
        }
        if let Err(error) = Core::not_on_a_loop_thread().and_then(|()| self.core.at_home()) {
            return Some(Err(error.with_execution(Execution::Unknown)));
        }
        let arrival = match until.checked_duration_since(Instant::now()) {
            None => wake::look(&self.receiver),
            Some(_) => wake::wait(&self.receiver, until),
        };
        self.settle(arrival)
    }

    fn settle(&mut self, arrival: Result<Arrival, Nothing>) -> Option<Result<Reply<T>, Error>> {
        let arrival = match arrival {
            Err(Nothing::Late) => return None,
            Err(Nothing::Gone) => Err(wake::loop_is_gone().with_execution(Execution::Unknown)),
            Ok(arrival) => Ok(arrival),
        };
        self.finished = true;
        let reply = arrival.and_then(|arrival| Reply::open(arrival, self.began));
        let reply = reply.map_err(|error| match &self.routed {
            Some(routed) => routed.explain(&self.core, error),
            None => error,
        });
        self.observe(&reply);
        Some(reply)
    }

    fn observe(&self, reply: &Result<Reply<T>, Error>) {
        let Some(observer) = &self.observer else { return };
        let router = self.routed.as_ref().and_then(|routed| routed.router.as_ref());
        // What a router says of somebody who was chosen behind it is about that one.
        let about = |peer: Option<_>| {
            let peer = peer.filter(|peer| Some(*peer) != router).unwrap_or(&self.peer);
            Some(peer).filter(|peer| Some(*peer) != router)
        };
        let (peer, elapsed, error) = match reply {
            Ok(reply) => (Some(&reply.handled_by), reply.elapsed, None),
            Err(error) => (error.peer(), self.began.elapsed(), Some(error)),
        };
        // No strategy has chosen the router, and if it has chosen nobody there is nothing to hear.
        if let Some(peer) = about(peer) {
            observer.observe(&Observation::new(peer, Some(elapsed), error));
        }
    }

    /// The caller's own clock: it keeps the promise even if the loop is late.
    fn give_up(&mut self) -> Error {
        self.withdraw();
        let waited = self.deadline.saturating_duration_since(self.began);
        let message = format!("{:?} did not answer within {waited:?}", self.peer.as_str());
        let error = Error::new(ErrorKind::RequestTimeout, message).with_peer(self.peer.clone());
        let given_up = Err(error.clone());
        self.observe(&given_up);
        error
    }
}

impl<T> Pending<T> {
    /// Asks for the request to end. It ends with `CANCELLED`, unless its answer came first; either way
    /// [`wait`](Self::wait) tells, at once. An error's [`execution`](Error::execution) says whether the handler may have run.
    pub fn cancel(&self) {
        self.core.post_cancel(self.call);
    }

    /// What becomes ready when the request has ended, to `select!` on. Give what it yields to
    /// [`finish`](Self::finish); or only watch it, and then call [`try_take`](Self::try_take).
    ///
    /// # Example
    /// ```
    /// # use std::time::Duration;
    /// # use crossbeam_channel::{after, select};
    /// # use threadmesh::{Node, Request};
    /// # let server = Node::builder().id("server").bind("127.0.0.1:0").start()?;
    /// # server.on_request("double", |request: Request<i64>| Ok(request.data * 2))?;
    /// # let client = Node::builder().id("client").start()?;
    /// # client.connect(server.local_addr()?)?;
    /// let pending = client.start::<i64, _>("server", "double", &4)?;
    /// select! {
    ///     recv(pending.receiver()) -> arrival => assert_eq!(pending.finish(arrival)?.value, 8),
    ///     recv(after(Duration::from_secs(10))) -> _ => panic!("something else came first"),
    /// }
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn receiver(&self) -> &Receiver<Arrival> {
        &self.receiver
    }

    /// Who was chosen for the request; the router, if a router is to choose. Another may have got it since, as
    /// [`Handle::any`](crate::Handle::any) says: [`Reply::handled_by`] tells.
    pub fn peer(&self) -> &NodeId {
        &self.peer
    }

    /// When the request ends at the latest.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    fn deadline_with_grace(&self) -> Instant {
        self.deadline.checked_add(CALLER_GRACE).unwrap_or(self.deadline)
    }

    fn withdraw(&mut self) {
        if !self.finished && self.receiver.is_empty() {
            self.core.post_cancel(self.call);
        }
        self.finished = true;
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Pending");
        out.field("peer", &self.peer).field("call", &self.call.0);
        out.field("ended", &(self.finished || !self.receiver.is_empty())).finish_non_exhaustive()
    }
}

fn taken_before() -> Error {
    Error::new(ErrorKind::InvalidArgument, "the answer of this request was taken before")
}
