//! What a call says beside the peers it names: directions, exceptions, time, headers, patience. It must not know who gets the message.

use std::fmt;
use std::time::{Duration, Instant};

use super::all::All;
use super::by_path::PathCall;
use super::call::Call;
use super::core::Core;
use super::lookup::Lookup;
use super::wake::Wake;
use crate::config::{HEADERS_BYTES, LONGEST_TIMEOUT};
use crate::error::{Error, ErrorKind, Execution};
use crate::event::EventName;
use crate::headers::Headers;
use crate::id::NodeId;
use crate::node_event::Directions;
use crate::payload::Encode;
use crate::proto::{Command, Message, Tick};
use crate::routing::Full;
use crate::service;
use crate::value::Value;

/// What an envelope may need beside the payload, the event name and the headers: kinds, ids, lengths, times.
const ENVELOPE_BYTES: usize = 256;

/// What is said of a call to one peer, or to many.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) directions: Directions,
    /// Not to these.
    pub(super) except: Vec<NodeId>,
    pub(super) timeout: Option<Duration>,
    /// The end, whatever the timeout.
    pub(super) until: Option<Instant>,
    pub(super) wait: Option<Duration>,
    pub(super) headers: Result<Headers, Error>,
    pub(super) routers: Routers,
}

/// Whether routers are asked for somebody when no peer will do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Routers {
    /// If the call is for any peer, in either direction.
    Usual,
    /// Whatever the call is for.
    Wanted,
    Never,
}

/// When a request ends, and where it comes from.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) deadline: Instant,
    pub(super) depth: u8,
    /// Made inside a handler.
    pub(super) nested: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            directions: Directions::BOTH,
            except: Vec::new(),
            timeout: None,
            until: None,
            wait: None,
            headers: Ok(Headers::default()),
            routers: Routers::Usual,
        }
    }
}

/// The methods by which calls to one and to all say the same.
macro_rules! say_terms {
    ($call:ident) => {
        impl<'a> $call<'a> {
            /// Only upstream peers: those that this node dialled.
            pub fn up(self) -> Self {
                self.directions(Directions::UP)
            }

            /// Only downstream peers: those that dialled this node.
            pub fn down(self) -> Self {
                self.directions(Directions::DOWN)
            }

            /// Only peers with a link in one of these directions, over which the message then goes. With [`Directions::NONE`] nobody
            /// matches.
            pub fn directions(mut self, directions: Directions) -> Self {
                self.terms.directions = directions;
                self
            }

            /// Not to this peer, whatever else is said; may be called several times.
            pub fn except(mut self, id: impl AsRef<str>) -> Self {
                // A text that is no id names nobody.
                self.terms.except.extend(NodeId::new(id.as_ref()));
                self
            }

            /// How long a request may take, or all the requests to many together, in place of the node's default (10 s). Longer than
            /// 24 h counts as 24 h; zero is `INVALID_ARGUMENT` when the call is sent.
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

            /// Ends the request at this moment at the latest, whatever its [`timeout`](Self::timeout): what several calls that share a
            /// deadline say. Of several the earliest counts. When it has passed already the call is `REQUEST_TIMEOUT`, never executed.
            pub fn until(mut self, deadline: Instant) -> Self {
                self.terms.until =
                    Some(self.terms.until.map_or(deadline, |other| other.min(deadline)));
                self
            }

            /// A header that travels with the message, also through routers: a trace id, a token. At most 32 of them and 4 KiB;
            /// what is wrong with one is `INVALID_ARGUMENT` when the call is sent.
            pub fn header(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
                self.terms.add_header(key, value);
                self
            }
        }
    };
}

say_terms!(Call);
say_terms!(All);
say_terms!(PathCall);

impl Terms {
    /// What is wrong with a header is told when the call is sent.
    pub(super) fn add_header(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let added = match &mut self.headers {
            Ok(headers) => headers.insert(key, value),
            Err(_) => return,
        };
        if let Err(why) = added {
            self.headers = Err(why);
        }
    }

    /// The checked message, encoded once. `whom` is named when it is too large.
    pub(super) fn message(
        &self,
        core: &Core,
        whom: &dyn fmt::Display,
        event: EventName,
        data: &(impl Encode + ?Sized),
    ) -> Result<Message, Error> {
        let headers = self.headers.clone()?;
        let message = Message { event, headers, payload: data.encode()? };
        check_size(core, whom, &message)?;
        Ok(message)
    }

    /// Whether a tick without room waits for it. Inside a handler it never does.
    pub(super) fn tick_waits(&self) -> bool {
        self.wait.is_some() && service::context::current().is_none()
    }

    /// Takes room for a tick to whom was found, and posts it; without room it waits if it may.
    pub(super) fn tick(
        &self,
        core: &Core,
        lookup: &mut Lookup,
        message: Message,
    ) -> Result<(), Error> {
        match lookup.take_tick(&message) {
            Ok(plan) => {
                let latest = || Instant::now() + core.config.request_timeout;
                core.post_until(Command::Tick(Tick { plan, message, wait: None }), latest)
            }
            Err(_) if self.tick_waits() => self.park_tick(core, lookup, message),
            Err(error) => Err(core.count_backpressure(error)),
        }
    }

    /// Lets the engine park the tick until there is room.
    pub(super) fn park_tick(
        &self,
        core: &Core,
        lookup: &Lookup,
        message: Message,
    ) -> Result<(), Error> {
        let (patience, now) = (self.wait.unwrap_or_default(), Instant::now());
        let until = now.checked_add(patience.min(LONGEST_TIMEOUT)).unwrap_or(now);
        let (wake, receiver) = Wake::new(None);
        let plan = lookup.plan(None);
        core.post(Command::Tick(Tick { plan, message, wait: Some((until, wake)) }), until)?;
        match core.done(&receiver, until) {
            Some(result) => result.map(|_done| ()),
            // The loop is late. It may take the tick at this very moment.
            None => Err(lookup.no_room(Full::Ticks).with_execution(Execution::Unknown)),
        }
    }

    /// How long and how deep: what the call says, within what the handler allows that makes it.
    pub(super) fn times(&self, core: &Core, began: Instant) -> Result<Times, Error> {
        let timeout = self.timeout.unwrap_or(core.config.request_timeout);
        if timeout.is_zero() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the timeout is zero; leave it out for that of the node",
            ));
        }
        let own = began.checked_add(timeout.min(LONGEST_TIMEOUT)).unwrap_or(began);
        let own = self.until.map_or(own, |until| until.min(own));
        if own <= began {
            return Err(out_of_time("the deadline of the call had passed when it was made"));
        }
        let Some(context) = service::context::current() else {
            return Ok(Times { deadline: own, depth: 0, nested: false });
        };
        let deadline = context.deadline.map_or(own, |handler| handler.min(own));
        if deadline <= began {
            return Err(out_of_time("the time of the request being handled has run out"));
        }
        Ok(Times { deadline, depth: context.nested_depth(), nested: true })
    }
}

pub(super) fn out_of_time(why: &str) -> Error {
    Error::new(ErrorKind::RequestTimeout, why).with_execution(Execution::Never)
}

/// The moment at which half of the time that is left is over.
pub(super) fn half_way(ends: Instant) -> Instant {
    let now = Instant::now();
    now + ends.saturating_duration_since(now) / 2
}

/// Refuses what a peer would refuse, before it is sent.
pub(super) fn check_size(
    core: &Core,
    whom: &dyn fmt::Display,
    message: &Message,
) -> Result<(), Error> {
    let limit = core.config.limits.message_bytes;
    let bytes = message.payload.len();
    let headers = if message.headers.is_empty() { 0 } else { HEADERS_BYTES };
    if bytes + message.event.as_str().len() + headers + ENVELOPE_BYTES <= limit {
        return Ok(());
    }
    let message = format!(
        "{:?} to {whom} carries {bytes} bytes, with its envelope more than the {limit} bytes that a message may have",
        message.event.as_str(),
    );
    Err(Error::new(ErrorKind::TooLarge, message))
}
