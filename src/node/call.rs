//! One call, from the caller's side: what it says, and whom it finds. How it is sent stands in the two files below.
//!
//! Everything that can be said without the loop is said here, on the caller's thread. It must not decide what the engine
//! decides: what became of a message that was posted.

mod onward;
mod requests;
mod ticks;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::by_path::PathCall;
use super::choose::Wanted;
use super::core::Core;
use super::handle::Handle;
use super::lookup::{Lookup, Room};
use super::selector::Selector;
use super::terms::Terms;
use crate::error::{Error, ErrorKind};
use crate::event::EventName;
use crate::id::NodeId;
use crate::proto::Message;
use crate::routing::{Observation, SendStrategy, Strategy};

pub(super) use requests::post_request;
pub use ticks::Ticked;

/// A call that is being put together, made by [`Handle::to`] or [`Handle::any`]. Its last method sends it; one `Call` can send many
/// times, and chooses anew each time.
///
/// # Example
/// ```
/// # use std::time::Duration;
/// # use threadmesh::{Node, Request};
/// # let server = Node::builder().id("users").bind("127.0.0.1:0").start()?;
/// # server.on_request("name", |request: Request<u64>| Ok(format!("user {}", request.data)))?;
/// # let client = Node::builder().id("web").start()?;
/// # client.connect(server.local_addr()?)?;
/// let users = client.to("users").timeout(Duration::from_secs(3));
/// let name: String = users.request("name", &7)?;
/// assert_eq!(name, "user 7");
/// let reply = users.request_reply::<String, _>("name", &8)?;
/// assert_eq!(reply.handled_by, "users");
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a call does nothing until it is sent"]
pub struct Call<'a> {
    handle: &'a Handle,
    whom: Whom<'a>,
    strategy: Option<Arc<dyn Strategy>>,
    /// How long it may wait until somebody matches.
    match_patience: Option<Duration>,
    /// It is a further copy, and that there is nobody else to send it to is no news.
    is_copy: bool,
    pub(super) terms: Terms,
    idempotent: bool,
    retry_if: Option<RetryIf<'a>>,
}

/// Whom a call is for.
#[derive(Clone)]
enum Whom<'a> {
    Id(&'a str),
    Any(Selector),
    /// Whoever serves the path that the event is.
    Path(Arc<dyn SendStrategy>),
}

impl fmt::Display for Whom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id:?}"),
            Self::Any(selector) => write!(f, "any peer with {selector}"),
            Self::Path(_) => write!(f, "whoever serves it"),
        }
    }
}

/// Where somebody may be found who gets the message.
enum Found {
    Peer(Lookup),
    /// Routers are to be asked.
    Routers,
}

/// After which errors the program wants a call repeated.
type RetryIf<'a> = Arc<dyn Fn(&Error) -> bool + Send + Sync + 'a>;

impl<'a> Call<'a> {
    pub(super) fn to(handle: &'a Handle, id: &'a str) -> Self {
        Self::new(handle, Whom::Id(id))
    }

    pub(super) fn any(handle: &'a Handle, selector: Selector) -> Self {
        Self::new(handle, Whom::Any(selector))
    }

    pub(super) fn by_path(handle: &'a Handle, strategy: Arc<dyn SendStrategy>) -> Self {
        Self::new(handle, Whom::Path(strategy))
    }

    fn new(handle: &'a Handle, whom: Whom<'a>) -> Self {
        Self {
            handle,
            whom,
            strategy: None,
            match_patience: None,
            is_copy: false,
            terms: Terms::default(),
            idempotent: false,
            retry_if: None,
        }
    }

    /// How one of several matches is chosen, in place of the strategy of the node (by default [`Random`](crate::Random)). A call
    /// [`to`](Handle::to) one id has nothing to choose, and one [by path](Handle::by_path) has a send strategy: this changes nothing about them.
    ///
    /// # Threads
    /// The strategy runs on the thread that makes the call.
    pub fn strategy(mut self, strategy: impl Strategy + 'static) -> Self {
        self.strategy = Some(Arc::new(strategy));
        self
    }

    /// Waits for somebody who matches, at most so long and not beyond the deadline of the call, instead of failing at once when there
    /// is nobody. [`start`](Self::start) waits, too, and so do ticks; the verbs that try (like [`try_start`](Self::try_start)) do not.
    ///
    /// Where the call may go through routers, the wait ends as well when there is a router to ask, and what routers find or do not find is
    /// what comes of the call. Say [`local_only`](Self::local_only) to wait for peers alone, and put a [`Retry`](crate::Retry) around the call
    /// to wait for somebody behind a router.
    pub fn wait_for_match(mut self, patience: Duration) -> Self {
        self.match_patience = Some(patience);
        self
    }

    /// How long a tick may wait for room in the peer's window; without this it does not wait. A tick that is sent from
    /// inside a handler never waits.
    pub fn wait(mut self, patience: Duration) -> Self {
        self.terms.wait = Some(patience);
        self
    }

    /// Says that it does no harm if the request runs more than once. A policy around the call (a retry,
    /// a failover, a hedge) may then repeat it also when it may have run: after a timeout, after a lost link. Without a
    /// policy it changes nothing.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Says after which errors a policy around the call may repeat it although it may have run, or did: errors that handlers
    /// return, mostly. Without a policy it changes nothing.
    ///
    /// # Threads
    /// `test` runs on the thread that makes the call. A panic of it is `USER_CODE_PANICKED`.
    pub fn retry_if(mut self, test: impl Fn(&Error) -> bool + Send + Sync + 'a) -> Self {
        self.retry_if = Some(Arc::new(test));
        self
    }

    /// Whether the program has said that it does no harm if the request runs more than once.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// Whether the program wants the call repeated after this error, by [`retry_if`](Self::retry_if).
    pub(crate) fn wants_retry(&self, error: &Error) -> bool {
        self.retry_if.as_ref().is_some_and(|test| test(error))
    }

    /// The node that makes the call.
    pub fn handle(&self) -> &'a Handle {
        self.handle
    }

    /// The same call for a further copy, which goes to somebody else than these if the call does not name its peer.
    pub(crate) fn copy_past<'p>(&self, peers: impl IntoIterator<Item = &'p NodeId>) -> Self {
        let mut copy = Self { is_copy: true, ..self.clone() };
        if !matches!(copy.whom, Whom::Id(_)) {
            copy.terms.except.extend(peers.into_iter().cloned());
        }
        copy
    }

    /// Who gets the message. Only with [`Room::Awaited`] it waits for somebody who matches, as long as the call says, and dials.
    pub(super) fn lookup(
        &self,
        message: &Message,
        deadline: Option<Instant>,
        room: Room,
    ) -> Result<Lookup, Error> {
        let patience = self.match_patience.filter(|_| room == Room::Awaited);
        if let Whom::Path(strategy) = &self.whom {
            let call = self.serving(message, strategy, patience);
            let call = if room == Room::Now { call.without_dialling() } else { call };
            return call.place(message, deadline);
        }
        let find = || {
            let peer = self.among_peers()?.map(Found::Peer);
            Ok(peer.or_else(|| self.goes_onward().then_some(Found::Routers)))
        };
        match self.core().look_patiently(patience, deadline, find)? {
            Some(Found::Peer(lookup)) => Ok(self.backed_by_routers(lookup, &message.event)),
            Some(Found::Routers) => self.onward(&message.event, deadline, room),
            None => Err(self.nobody(&message.event)),
        }
    }

    /// Who of the peers of this node gets the message, if one of them will do.
    fn among_peers(&self) -> Result<Option<Lookup>, Error> {
        match &self.whom {
            Whom::Id(id) => {
                let excepted = self.terms.except.iter().any(|other| other == *id);
                Ok(self.core().find(id, self.terms.directions).filter(|_| !excepted))
            }
            Whom::Any(selector) => {
                self.core().choose(self.wanted(selector), self.strategy.as_deref())
            }
            // Whom the send strategy finds.
            Whom::Path(_) => Ok(None),
        }
    }

    /// The call by path that this is, for the path of that message.
    fn serving(
        &self,
        message: &Message,
        strategy: &Arc<dyn SendStrategy>,
        patience: Option<Duration>,
    ) -> PathCall<'a> {
        let (path, strategy) = (message.event.as_str(), Arc::clone(strategy));
        let call =
            PathCall::new(self.handle, path).with_terms(self.terms.clone()).by_shared(strategy);
        let call = if self.is_copy { call.quietly() } else { call };
        match patience {
            Some(patience) => call.wait_for_match(patience),
            None => call,
        }
    }

    /// Nobody will do.
    fn nobody(&self, event: &EventName) -> Error {
        let selector = match &self.whom {
            Whom::Id(id) => return self.core().not_found(id, self.terms.directions),
            Whom::Any(selector) => selector,
            Whom::Path(_) => &Selector::default(),
        };
        if self.is_copy {
            // Nobody looks at what is said of a copy.
            return Error::new(ErrorKind::NoNodesMatchFilter, "there is nobody else");
        }
        let error = self.core().no_match(self.wanted(selector), event);
        self.core().tell_no_match(&error);
        error
    }

    pub(super) fn wanted<'s>(&'s self, selector: &'s Selector) -> Wanted<'s> {
        let Terms { directions, except, .. } = &self.terms;
        Wanted { selector, directions: *directions, except, is_copy: self.is_copy }
    }

    /// The strategy that is told how the call ends.
    fn observer(&self) -> Option<Observer> {
        match &self.whom {
            Whom::Id(_) => None,
            Whom::Any(_) => {
                let strategy = self.strategy.as_ref().or(self.core().strategy.as_ref());
                strategy.cloned().map(Observer::Chose)
            }
            Whom::Path(strategy) => Some(Observer::Sent(Arc::clone(strategy))),
        }
    }

    fn core(&self) -> &'a Core {
        self.handle.core()
    }
}

/// The name of an event, checked.
pub(super) fn named(
    event: impl TryInto<EventName, Error: Into<Error>>,
) -> Result<EventName, Error> {
    event.try_into().map_err(Into::into)
}

/// Who has placed a call, and hears how it ends.
#[derive(Clone)]
pub(super) enum Observer {
    /// Chose the peer.
    Chose(Arc<dyn Strategy>),
    /// Named it as a target.
    Sent(Arc<dyn SendStrategy>),
}

impl Observer {
    /// The call has ended, so a panic changes nothing about it.
    pub(super) fn observe(&self, observation: &Observation<'_>) {
        let observed = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Chose(strategy) => Strategy::observe(strategy, observation),
            Self::Sent(strategy) => SendStrategy::observe(strategy, observation),
        }));
        if observed.is_err() {
            log::warn!(target: "threadmesh::node", "a strategy panicked while it observed a call to {}", observation.peer);
        }
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Call");
        out.field("to", &format_args!("{}", self.whom)).field("timeout", &self.terms.timeout);
        out.field("wait", &self.terms.wait).field("idempotent", &self.idempotent);
        out.finish_non_exhaustive()
    }
}
