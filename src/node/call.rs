//! One call, from the caller's side: encode, find the peer, take room, post, wait.
//!
//! Everything that can be said without the loop is said here, on the caller's thread. It must not decide what the engine
//! decides: what became of a message that was posted.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::choose::Wanted;
use super::core::{Core, Lookup, Room};
use super::handle::Handle;
use super::pending::{Pending, Reply, Started};
use super::selector::Selector;
use super::terms::{self, Terms, Times};
use super::wake::Wake;
use crate::config::LONGEST_TIMEOUT;
use crate::endpoint::IntoEvent;
use crate::error::{Error, Execution};
use crate::event::EventName;
use crate::id::NodeId;
use crate::node_event::Directions;
use crate::payload::{Decode, Encode};
use crate::proto::{Command, Input, Message, Request, Tick};
use crate::routing::{Full, Observation, Plan, Strategy};
use crate::service;
use crate::value::Value;

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
    directions: Directions,
    except: Vec<NodeId>,
    strategy: Option<Arc<dyn Strategy>>,
    /// How long it may wait until somebody matches.
    match_patience: Option<Duration>,
    /// It is a further copy, and that there is nobody else to send it to is no news.
    is_copy: bool,
    terms: Terms,
    idempotent: bool,
    retry_if: Option<RetryIf<'a>>,
}

/// Whom a call is for.
#[derive(Clone)]
enum Whom<'a> {
    Id(&'a str),
    Any(Selector),
}

impl fmt::Display for Whom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id:?}"),
            Self::Any(selector) => write!(f, "any peer with {selector}"),
        }
    }
}

/// After which errors the program wants a call repeated.
type RetryIf<'a> = Arc<dyn Fn(&Error) -> bool + Send + Sync + 'a>;

/// How many ticks of a batch were accepted: all of them, or those before the first that was refused.
#[derive(Clone, Debug)]
#[must_use = "some ticks may have been refused"]
#[non_exhaustive]
pub struct Ticked {
    /// How many were accepted for sending, in order from the first.
    pub accepted: usize,
    /// Why the next one was not. It and those after it were not sent.
    pub refused: Option<Error>,
}

impl Ticked {
    /// The number of accepted ticks if that is all of them.
    ///
    /// # Errors
    /// Why the first refused tick was refused; it never ran, those before it may.
    pub fn all(self) -> Result<usize, Error> {
        self.refused.map_or(Ok(self.accepted), Err)
    }
}

impl<'a> Call<'a> {
    pub(super) fn to(handle: &'a Handle, id: &'a str) -> Self {
        Self::new(handle, Whom::Id(id))
    }

    pub(super) fn any(handle: &'a Handle, selector: Selector) -> Self {
        Self::new(handle, Whom::Any(selector))
    }

    fn new(handle: &'a Handle, whom: Whom<'a>) -> Self {
        Self {
            handle,
            whom,
            directions: Directions::BOTH,
            except: Vec::new(),
            strategy: None,
            match_patience: None,
            is_copy: false,
            terms: Terms::default(),
            idempotent: false,
            retry_if: None,
        }
    }

    /// Only upstream peers: those that this node dialled.
    pub fn up(self) -> Self {
        self.directions(Directions::UP)
    }

    /// Only downstream peers: those that dialled this node.
    pub fn down(self) -> Self {
        self.directions(Directions::DOWN)
    }

    /// Only peers with a link in one of these directions, over which the message then goes. With [`Directions::NONE`] nobody matches.
    pub fn directions(mut self, directions: Directions) -> Self {
        self.directions = directions;
        self
    }

    /// Not to this peer, whatever else is said; may be called several times.
    pub fn except(mut self, id: impl AsRef<str>) -> Self {
        // A text that is no id names nobody.
        self.except.extend(NodeId::new(id.as_ref()));
        self
    }

    /// How one of several matches is chosen, in place of the strategy of the node (by default [`Random`](crate::Random)). A call
    /// [`to`](Handle::to) one id has nothing to choose.
    ///
    /// # Threads
    /// The strategy runs on the thread that makes the call.
    pub fn strategy(mut self, strategy: impl Strategy + 'static) -> Self {
        self.strategy = Some(Arc::new(strategy));
        self
    }

    /// Waits for somebody who matches, at most so long and not beyond the deadline of the call, instead of failing at once when there
    /// is nobody. [`start`](Self::start) waits, too, and so do ticks; the verbs that try (like [`try_start`](Self::try_start)) do not.
    pub fn wait_for_match(mut self, patience: Duration) -> Self {
        self.match_patience = Some(patience);
        self
    }

    /// How long a request may take, in place of the node's default (10 s). Longer than 24 h counts as 24 h; zero is
    /// `INVALID_ARGUMENT` when the call is sent.
    ///
    /// # Example
    /// A time that suits: short for what is quick, so that a peer in trouble is noticed; long for what takes long.
    /// ```
    /// # use std::time::Duration;
    /// # use threadmesh::{Node, Request};
    /// # let server = Node::builder().id("server").bind("127.0.0.1:0").start()?;
    /// # server.on_request("cache:get", |_: Request<String>| Ok("Ada"))?;
    /// # server.on_request("model:train", |_: Request<u32>| Ok("done"))?;
    /// # let client = Node::builder().start()?;
    /// # client.connect(server.local_addr()?)?;
    /// let quick = client.to("server").timeout(Duration::from_secs(1));
    /// let name: String = quick.request("cache:get", "user:123")?;
    /// let patient = client.to("server").timeout(Duration::from_secs(300));
    /// let done: String = patient.request("model:train", &50)?;
    /// # assert_eq!((name.as_str(), done.as_str()), ("Ada", "done"));
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.terms.timeout = Some(timeout);
        self
    }

    /// How long a tick may wait for room in the peer's window; without this it does not wait. A tick that is sent from
    /// inside a handler never waits.
    pub fn wait(mut self, patience: Duration) -> Self {
        self.terms.wait = Some(patience);
        self
    }

    /// A header that travels with the message, also through routers: a trace id, a token. At most 32 of them and 4 KiB;
    /// what is wrong with one is `INVALID_ARGUMENT` when the call is sent.
    pub fn header(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.terms.add_header(key, value);
        self
    }

    /// Ends the request at this moment at the latest, whatever its [`timeout`](Self::timeout): what several calls that share a
    /// deadline say. Of several the earliest counts. When it has passed already the call is `REQUEST_TIMEOUT`, never executed.
    pub fn until(mut self, deadline: Instant) -> Self {
        self.terms.until = Some(self.terms.until.map_or(deadline, |other| other.min(deadline)));
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
    pub fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// Whether the program wants the call repeated after this error, by [`retry_if`](Self::retry_if).
    pub fn wants_retry(&self, error: &Error) -> bool {
        self.retry_if.as_ref().is_some_and(|test| test(error))
    }

    /// The node that makes the call.
    pub fn handle(&self) -> &'a Handle {
        self.handle
    }

    /// Sends a request, waits for the answer and decodes it.
    ///
    /// Inside a handler the call inherits what is left of the deadline of the request being handled.
    ///
    /// # Errors
    /// Never executed: `INVALID_EVENT`, `INVALID_ARGUMENT`, `ENCODE`, `TOO_LARGE`, `NODE_NOT_FOUND` (an id) or
    /// `NO_NODES_MATCH_FILTER` (anything else), `INVALID_FILTER`, `USER_CODE_PANICKED`, `BACKPRESSURE`, `BUSY`,
    /// `NO_HANDLER`, `EXPIRED`, `WOULD_DEADLOCK`, `CLOSED` before it was sent. Executed: the handler's own error,
    /// `HANDLER_ERROR` after a panic, `NO_REPLY`, `DECODE` of the answer. Depending on how far it came:
    /// `REQUEST_TIMEOUT`, `CONNECTION_LOST`, `CLOSED`. [`Error::execution`] says which.
    ///
    /// # Blocking
    /// Until the answer, at most for the timeout and 5 ms.
    pub fn request<T: Decode, D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<T, Error> {
        self.request_reply(event, data).map(|reply| reply.value)
    }

    /// The same as [`request`](Self::request), and says who answered and how long it took.
    ///
    /// # Errors
    /// Those of [`request`](Self::request).
    ///
    /// # Blocking
    /// As [`request`](Self::request).
    pub fn request_reply<T: Decode, D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<Reply<T>, Error> {
        self.start(event, data)?.wait()
    }

    /// Sends a request without waiting for the answer. Its time runs from now.
    ///
    /// # Errors
    /// Those of [`request`](Self::request) that are known before anything is sent; never executed.
    ///
    /// # Blocking
    /// Only while the loop has a backlog of thousands of commands. Without room at the peer the request waits in line while
    /// its time runs; see [`try_start`](Self::try_start).
    pub fn start<T: Decode, D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<Pending<T>, Error> {
        self.begin(named(event)?, data, Room::Awaited)
    }

    /// The same as [`start`](Self::start), but only if there is room for the request now: it never waits in line.
    ///
    /// # Errors
    /// Those of [`start`](Self::start); `BACKPRESSURE` when the peer has as many calls open as it allows, when its queue is
    /// full, or when the loop has a backlog. Never executed.
    ///
    /// # Blocking
    /// Not at all.
    pub fn try_start<T: Decode, D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<Pending<T>, Error> {
        self.begin(named(event)?, data, Room::Now)
    }

    /// The same as [`request`](Self::request), but only if there is room for it now: it waits for the answer, and never in line.
    ///
    /// # Errors
    /// Those of [`request`](Self::request), and `BACKPRESSURE` at once as from [`try_start`](Self::try_start).
    ///
    /// # Blocking
    /// Until the answer, at most for the timeout and 5 ms.
    pub fn try_request<T: Decode, D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<T, Error> {
        self.try_start(event, data)?.wait().map(|reply| reply.value)
    }

    fn begin<T: Decode>(
        &self,
        event: EventName,
        data: &(impl Encode + ?Sized),
        room: Room,
    ) -> Result<Pending<T>, Error> {
        let began = Instant::now();
        self.core().may_block()?;
        let Times { deadline, depth, nested } = self.terms.times(self.core(), began)?;
        let message = self.terms.message(self.core(), &self.whom, event, data)?;
        let mut lookup = match room {
            Room::Awaited => self.lookup(&message.event, Some(deadline))?,
            Room::Now => self.look()?.ok_or_else(|| self.nobody(&message.event))?,
        };
        let (wake, receiver) = Wake::new(Some(self.core().take_slot()?));
        let plan = lookup
            .take_call(&message, if nested { Room::Now } else { room })
            .map_err(|error| self.core().count_unroomed(error))?;
        let call = self.core().draw_call();
        let request = Request { call, plan, message, deadline, depth, token: wake };
        let latest = if room == Room::Now { began } else { deadline };
        self.core().post(Command::Request(request), latest)?;
        let (peer, strategy) = (lookup.peer.id.clone(), self.observer());
        let started = Started { call, peer, strategy, receiver, began, deadline };
        Ok(Pending::new(self.handle.shared(), started))
    }

    /// Sends one tick: fire and forget. Ok means accepted for sending; a tick that is lost after that is reported in
    /// [`NodeEvent::Undelivered`](crate::NodeEvent::Undelivered).
    ///
    /// # Errors
    /// Never executed: `INVALID_EVENT`, `ENCODE`, `TOO_LARGE`, `NODE_NOT_FOUND` (an id) or `NO_NODES_MATCH_FILTER` (anything
    /// else), `INVALID_FILTER`, `USER_CODE_PANICKED`, `CLOSED`; `BACKPRESSURE` when the peer's
    /// window is full, at once or after [`wait`](Self::wait).
    ///
    /// # Blocking
    /// As long as [`wait`](Self::wait) allows; without it, only while the loop has a backlog of thousands of commands.
    pub fn tick<D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, ()>,
        data: &D,
    ) -> Result<(), Error> {
        self.core().may_tick()?;
        let message = self.terms.message(self.core(), &self.whom, named(event)?, data)?;
        let mut lookup = self.lookup(&message.event, None)?;
        match lookup.take_tick(&message) {
            Ok(plan) => {
                let latest = || Instant::now() + self.core().config.request_timeout;
                self.core()
                    .post_until(Command::Tick(Tick { plan, message, wait: None }), latest)?;
            }
            Err(_) if self.waits() => self.wait_for_room(&lookup, message, Instant::now())?,
            Err(error) => return Err(self.core().count_unroomed(error)),
        }
        self.observe_tick(&lookup);
        Ok(())
    }

    /// The same as [`tick`](Self::tick), but only if there is room for it now, whatever [`wait`](Self::wait) says.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick); `BACKPRESSURE` also when the loop has a backlog.
    ///
    /// # Blocking
    /// Not at all.
    pub fn try_tick<D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, ()>,
        data: &D,
    ) -> Result<(), Error> {
        self.core().may_block()?;
        let message = self.terms.message(self.core(), &self.whom, named(event)?, data)?;
        let mut lookup = self.look()?.ok_or_else(|| self.nobody(&message.event))?;
        let taken = lookup.take_tick(&message);
        let plan = taken.map_err(|error| self.core().count_unroomed(error))?;
        self.core().post_until(Command::Tick(Tick { plan, message, wait: None }), Instant::now)?;
        self.observe_tick(&lookup);
        Ok(())
    }

    /// Sends a batch of ticks in order, stopping at the first that is refused.
    ///
    /// The event name is looked up once for the whole batch, and so is the peer, whom a call to any chooses once.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick), in [`Ticked::refused`]: the refused tick never ran, those before it may.
    ///
    /// # Blocking
    /// As [`tick`](Self::tick): [`wait`](Self::wait) counts for each tick.
    pub fn ticks<D: Encode>(
        &self,
        event: impl IntoEvent<D, ()>,
        batch: impl IntoIterator<Item = D>,
    ) -> Ticked {
        let mut accepted = 0;
        let sent = named(event).and_then(|event| self.send_ticks(&event, batch, &mut accepted));
        let refused = sent.err();
        Ticked { accepted, refused }
    }

    fn send_ticks<D: Encode>(
        &self,
        event: &EventName,
        batch: impl IntoIterator<Item = D>,
        accepted: &mut usize,
    ) -> Result<(), Error> {
        self.core().may_block()?;
        let mut lookup = self.lookup(event, None)?;
        // All to one peer, so that they stay in order.
        lookup.alternates.clear();
        let headers = self.terms.headers.clone()?;
        let mut messages = batch.into_iter().map(|data| {
            let payload = data.encode()?;
            let message = Message { event: event.clone(), headers: headers.clone(), payload };
            terms::check_size(self.core(), &self.whom, &message).map(|()| message)
        });
        loop {
            let mut chunk = Chunk::new(self.core());
            let end = self.fill_chunk(&mut chunk, &mut lookup, &mut messages);
            *accepted += chunk.post()?;
            match end {
                ChunkEnd::Full => {}
                ChunkEnd::Last => return Ok(()),
                ChunkEnd::Refused(error) => return Err(error),
                ChunkEnd::NoRoom(message) => {
                    self.wait_for_room(&lookup, message, Instant::now())?;
                    *accepted += 1;
                }
            }
        }
    }

    /// So many ticks of a batch that one ring of the loop's bell is shared by many, and so few that the loop works on them
    /// while the next are encoded.
    fn fill_chunk(
        &self,
        chunk: &mut Chunk,
        lookup: &mut Lookup,
        messages: &mut impl Iterator<Item = Result<Message, Error>>,
    ) -> ChunkEnd {
        while chunk.ticks.len() < CHUNK {
            let message = match messages.next() {
                None => return ChunkEnd::Last,
                Some(Err(error)) => return ChunkEnd::Refused(error),
                Some(Ok(message)) => message,
            };
            match lookup.take_tick(&message) {
                Ok(plan) => chunk.ticks.push(Command::Tick(Tick { plan, message, wait: None })),
                Err(_) if self.waits() => return ChunkEnd::NoRoom(message),
                Err(error) => return ChunkEnd::Refused(self.core().count_unroomed(error)),
            }
        }
        ChunkEnd::Full
    }

    /// Whether a tick without room waits for it. Inside a handler it never does.
    fn waits(&self) -> bool {
        self.terms.wait.is_some() && service::context::current().is_none()
    }

    /// Lets the engine park the tick until there is room.
    fn wait_for_room(
        &self,
        lookup: &Lookup,
        message: Message,
        began: Instant,
    ) -> Result<(), Error> {
        let patience = self.terms.wait.unwrap_or_default().min(LONGEST_TIMEOUT);
        let until = began.checked_add(patience).unwrap_or(began);
        let (wake, receiver) = Wake::new(None);
        let plan = Plan::one(lookup.step(), None);
        self.core()
            .post(Command::Tick(Tick { plan, message, wait: Some((until, wake)) }), until)?;
        match self.core().done(&receiver, until) {
            Some(result) => result.map(|_done| ()),
            // The loop is late. It may take the tick at this very moment.
            None => Err(lookup.no_room(Full::Ticks).with_execution(Execution::Unknown)),
        }
    }

    /// The same call for a further copy, which goes to somebody else than these if the call does not name its peer.
    pub(crate) fn copy_past<'p>(&self, peers: impl IntoIterator<Item = &'p NodeId>) -> Self {
        let mut copy = Self { is_copy: true, ..self.clone() };
        if matches!(copy.whom, Whom::Any(_)) {
            copy.except.extend(peers.into_iter().cloned());
        }
        copy
    }

    /// Who gets the message, waiting for somebody who matches as long as the call says.
    fn lookup(&self, event: &EventName, deadline: Option<Instant>) -> Result<Lookup, Error> {
        if let Some(found) = self.look()? {
            return Ok(found);
        }
        let Some(patience) = self.match_patience else { return Err(self.nobody(event)) };
        let until = Instant::now().checked_add(patience.min(LONGEST_TIMEOUT));
        let until = until.into_iter().chain(deadline).min();
        loop {
            self.core().may_block()?;
            let seen = self.core().news.count();
            if let Some(found) = self.look()? {
                return Ok(found);
            }
            if !self.core().news.wait(seen, until) {
                return Err(self.nobody(event));
            }
        }
    }

    /// Who gets the message as of now.
    fn look(&self) -> Result<Option<Lookup>, Error> {
        match &self.whom {
            Whom::Id(id) => {
                let excepted = self.except.iter().any(|other| other == *id);
                Ok(self.core().find(id, self.directions).filter(|_| !excepted))
            }
            Whom::Any(selector) => {
                self.core().choose(self.wanted(selector), self.strategy.as_deref())
            }
        }
    }

    fn nobody(&self, event: &EventName) -> Error {
        match &self.whom {
            Whom::Id(id) => self.core().not_found(id, self.directions),
            Whom::Any(selector) => {
                let error = self.core().no_match(self.wanted(selector), event);
                if !self.is_copy {
                    self.core().tell_no_match(&error);
                }
                error
            }
        }
    }

    fn wanted<'s>(&'s self, selector: &'s Selector) -> Wanted<'s> {
        Wanted { selector, directions: self.directions, except: &self.except }
    }

    /// The strategy that is told how the call ends.
    fn observer(&self) -> Option<Arc<dyn Strategy>> {
        match self.whom {
            Whom::Id(_) => None,
            Whom::Any(_) => self.strategy.as_ref().or(self.core().strategy.as_ref()).cloned(),
        }
    }

    fn observe_tick(&self, lookup: &Lookup) {
        if let Some(strategy) = self.observer() {
            observe(&*strategy, &Observation::new(&lookup.peer.id, None, None));
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

/// Tells a strategy how a call ended that it placed. The call has ended, so a panic changes nothing about it.
pub(super) fn observe(strategy: &dyn Strategy, observation: &Observation<'_>) {
    if catch_unwind(AssertUnwindSafe(|| strategy.observe(observation))).is_err() {
        log::warn!(target: "threadmesh::node", "a strategy panicked while it observed a call to {}", observation.peer);
    }
}

/// Ticks of a batch that are posted together.
const CHUNK: usize = 64;

/// Ticks that have room and are not posted yet. When the program's iterator panics, the room is given back.
struct Chunk<'a> {
    core: &'a Core,
    ticks: Vec<Command<Wake>>,
}

impl<'a> Chunk<'a> {
    fn new(core: &'a Core) -> Self {
        Self { core, ticks: Vec::with_capacity(CHUNK) }
    }

    /// Posts them all, and says how many.
    fn post(mut self) -> Result<usize, Error> {
        let count = self.ticks.len();
        self.core.post_all(std::mem::take(&mut self.ticks))?;
        Ok(count)
    }
}

impl Drop for Chunk<'_> {
    fn drop(&mut self) {
        for tick in self.ticks.drain(..) {
            self.core.give_back(&Input::Command(tick));
        }
    }
}

/// Why a chunk of a batch ended.
enum ChunkEnd {
    Full,
    Last,
    Refused(Error),
    NoRoom(Message),
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Call");
        out.field("to", &format_args!("{}", self.whom)).field("timeout", &self.terms.timeout);
        out.field("wait", &self.terms.wait).field("idempotent", &self.idempotent);
        out.finish_non_exhaustive()
    }
}
