//! [`Target`]: whatever a request can be sent to, and so whatever a policy can be put around. It must not do anything a policy does.

use std::time::{Duration, Instant};

use super::breaker::{Breaker, Guarded};
use super::budget::{Budget, Paid};
use super::retry::{Retried, Retry};
use super::rule::{Place, asked, helps};
use crate::config::LONGEST_TIMEOUT;
use crate::endpoint::IntoEvent;
use crate::error::{Error, Execution};
use crate::event::EventName;
use crate::node::{Call, Handle, Reply};
use crate::payload::{Decode, Encode, Payload};

/// Whatever a request can be sent to: a [`Call`], and every policy around one. Policies take any target and are targets
/// themselves, so they compose in any order.
///
/// Calls by path are a target too: [`Handle::by_path`] takes the path from the event of each request.
///
/// A target can be sent to any number of times, by several threads at once. Its methods are found once the trait is imported:
/// `use threadmesh::Target`.
///
/// # Example
/// ```
/// # use std::time::Duration;
/// use threadmesh::{Breaker, Node, Request, Retry, Target};
/// # let server = Node::builder().id("counter").bind("127.0.0.1:0").start()?;
/// # server.on_request("count", |_: Request<()>| Ok(7))?;
/// # let node = Node::builder().id("web").start()?;
/// # node.connect(server.local_addr()?)?;
///
/// // Shared by all calls to the same service.
/// let breaker = Breaker::new("counter");
/// let retry = Retry::new().attempts(4).within(Duration::from_secs(5));
///
/// // The breaker sees every attempt. The other way round it would see only what the retry gave up on.
/// let count: u64 =
///     node.to("counter").idempotent().guard(&breaker).retry(&retry).request("count", &())?;
/// assert_eq!(count, 7);
/// # Ok::<(), threadmesh::Error>(())
/// ```
///
/// A target of one's own, around any other: it counts what goes through it.
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use threadmesh::{Error, Handle, Node, Parcel, Payload, Place, Reply, Retry, Target};
///
/// struct Counted<T> {
///     target: T,
///     sent: AtomicU64,
/// }
///
/// impl<T: Target> Target for Counted<T> {
///     fn send(&self, parcel: &Parcel) -> Result<Reply<Payload>, Error> {
///         self.sent.fetch_add(1, Relaxed);
///         self.target.send(parcel)
///     }
///
///     fn handle(&self) -> &Handle {
///         self.target.handle()
///     }
///
///     fn may_repeat(&self, error: &Error, place: Place) -> Result<bool, Error> {
///         self.target.may_repeat(error, place)
///     }
/// }
///
/// let node = Node::builder().id("web").start()?;
/// let counted = Counted { target: node.to("users"), sent: AtomicU64::new(0) };
/// // A reference to a target is a target, too.
/// let retried = (&counted).retry(&Retry::new().attempts(2).first_pause(std::time::Duration::ZERO));
/// assert_eq!(retried.request::<(), _>("name", &7).unwrap_err().code(), "NODE_NOT_FOUND");
/// assert_eq!(counted.sent.load(Relaxed), 2);
/// # Ok::<(), threadmesh::Error>(())
/// ```
pub trait Target: Send + Sync {
    /// Sends a request whose data is encoded already, and waits for the answer: what a policy calls once, often, or not at all.
    ///
    /// # Errors
    /// Those of [`Call::request`] except `ENCODE` and `INVALID_EVENT`, which come before, and those of the policies on the way.
    ///
    /// # Blocking
    /// As long as the target takes, at the latest until the [deadline](Parcel::deadline) of the parcel and a moment. On a
    /// worker the pool is told, so that a handler may call through policies.
    fn send(&self, parcel: &Parcel) -> Result<Reply<Payload>, Error>;

    /// The node that sends.
    fn handle(&self) -> &Handle;

    /// Whether a policy may send a request once more that ended in this error, to this target again or elsewhere: the one rule
    /// of all policies.
    ///
    /// | `error` says that the request | may be sent again |
    /// |---|---|
    /// | never ran | when it can help: not after what the caller did wrong |
    /// | may have run | likewise, and only with [`Call::idempotent`] |
    /// | ran | no |
    /// | anything | when [`Call::retry_if`] says so |
    ///
    /// A target of one's own, around another, passes the question on.
    ///
    /// # Errors
    /// `USER_CODE_PANICKED` when the test given to [`Call::retry_if`] panics; whether the request has run is what `error` says.
    fn may_repeat(&self, error: &Error, place: Place) -> Result<bool, Error>;

    /// Sends a request, waits for the answer and decodes it. The data is encoded once, however often it is sent.
    ///
    /// # Errors
    /// Those of [`Call::request`], as the policies on the way let them pass. [`Error::execution`] is that of all attempts together, and
    /// [`Error::context`] has their number as `attempts`.
    ///
    /// # Blocking
    /// Until the answer, as long as the calls and the policies on the way say.
    fn request<T: Decode, D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<T, Error>
    where
        Self: Sized,
    {
        self.request_reply(event, data).map(|reply| reply.value)
    }

    /// The same as [`request`](Self::request), and says who answered and how long the attempt took that was answered.
    ///
    /// # Errors
    /// Those of [`request`](Self::request).
    ///
    /// # Blocking
    /// As [`request`](Self::request).
    fn request_reply<T: Decode, D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<Reply<T>, Error>
    where
        Self: Sized,
    {
        let event = event.try_into().map_err(Into::into)?;
        decoded(self.send(&Parcel::new(event, data.encode()?))?)
    }

    /// Puts a retry around this target.
    fn retry(self, retry: &Retry) -> Retried<Self>
    where
        Self: Sized,
    {
        Retried::new(self, retry.clone())
    }

    /// Puts a circuit breaker before this target.
    fn guard(self, breaker: &Breaker) -> Guarded<Self>
    where
        Self: Sized,
    {
        Guarded::new(self, breaker.clone())
    }
}

/// The handler has run, whatever its answer looks like.
fn decoded<T: Decode>(reply: Reply<Payload>) -> Result<Reply<T>, Error> {
    let Reply { value, handled_by, via, elapsed } = reply;
    let value = T::decode(&value)
        .map_err(|error| error.with_execution(Execution::Happened).with_peer(handled_by.clone()))?;
    Ok(Reply { value, handled_by, via, elapsed })
}

/// A request that can be sent any number of times: its data is encoded. What a [`Target`] takes.
///
/// However often it is sent, and its clones, it is one request of the program: it pays into each [`Budget`] once. So a target of
/// one's own, around another, passes on what it was given, or a clone.
#[derive(Clone, Debug)]
pub struct Parcel {
    event: EventName,
    payload: Payload,
    /// The end, whatever the targets' own times; without it only those count.
    deadline: Option<Instant>,
    /// Shared by all clones.
    paid: Paid,
}

impl Parcel {
    /// A request for that event, with data that is encoded already and no deadline but those of the targets.
    pub fn new(event: EventName, payload: Payload) -> Self {
        Self { event, payload, deadline: None, paid: Paid::default() }
    }

    /// The same request, to end at this moment at the latest. Of several the earliest counts.
    pub fn until(mut self, deadline: Instant) -> Self {
        self.deadline = Some(self.deadline.map_or(deadline, |other| other.min(deadline)));
        self
    }

    /// The event.
    pub fn event(&self) -> &EventName {
        &self.event
    }

    /// The data.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// When the request ends at the latest; `None` when only the targets' own times count.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Pays into this budget for the request, unless it has paid before.
    pub(super) fn pay(&self, budget: &Budget, handle: &Handle) {
        // Asked before a lock is taken: one that another thread held when the process forked is never given back.
        if handle.open().is_ok() {
            self.paid.pay(budget);
        }
    }

    /// The same request, to end within that time if there is one.
    pub(super) fn within(&self, time: Option<Duration>) -> Self {
        let now = Instant::now();
        let end = time.map(|time| now.checked_add(time.min(LONGEST_TIMEOUT)).unwrap_or(now));
        match end {
            None => self.clone(),
            Some(end) => self.clone().until(end),
        }
    }
}

impl Target for Call<'_> {
    fn send(&self, parcel: &Parcel) -> Result<Reply<Payload>, Error> {
        let bounded = parcel.deadline.map(|deadline| self.clone().until(deadline));
        bounded.as_ref().unwrap_or(self).request_reply(parcel.event.clone(), &parcel.payload)
    }

    fn handle(&self) -> &Handle {
        Call::handle(self)
    }

    fn may_repeat(&self, error: &Error, place: Place) -> Result<bool, Error> {
        let wanted = asked("retry_if", error, || self.wants_retry(error))?;
        Ok(wanted || helps(error, place, self.is_idempotent()))
    }
}

impl<T: Target + ?Sized> Target for &T {
    fn send(&self, parcel: &Parcel) -> Result<Reply<Payload>, Error> {
        (**self).send(parcel)
    }

    fn handle(&self) -> &Handle {
        (**self).handle()
    }

    fn may_repeat(&self, error: &Error, place: Place) -> Result<bool, Error> {
        (**self).may_repeat(error, place)
    }
}

impl<T: Target + ?Sized> Target for Box<T> {
    fn send(&self, parcel: &Parcel) -> Result<Reply<Payload>, Error> {
        (**self).send(parcel)
    }

    fn handle(&self) -> &Handle {
        (**self).handle()
    }

    fn may_repeat(&self, error: &Error, place: Place) -> Result<bool, Error> {
        (**self).may_repeat(error, place)
    }
}
