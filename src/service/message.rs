//! What a handler sees: the decoded data, and who sent it under which name.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::event::EventName;
use crate::headers::Headers;
use crate::id::NodeId;
use crate::options::Options;
use crate::payload::Payload;
use crate::proto::Message;
use crate::routing::PeerEntry;

/// A request, as its handler sees it; or a tick whose event is the path of a service, which wants no answer.
#[non_exhaustive]
pub struct Request<T> {
    /// What the caller sent.
    pub data: T,
    call: Call,
    envelope: Envelope,
}

/// A tick, as its handler sees it.
#[non_exhaustive]
pub struct Tick<T> {
    /// What the sender sent.
    pub data: T,
    envelope: Envelope,
}

/// What a handler of requests is told of the caller.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) deadline: Instant,
    /// Set once the caller has given up. A tick has none: nobody waits, so nobody gives up.
    pub(super) cancelled: Option<Arc<AtomicBool>>,
}

impl Call {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.as_ref().is_some_and(|cancelled| cancelled.load(Ordering::Relaxed))
    }

    pub(super) fn wants_answer(&self) -> bool {
        self.cancelled.is_some()
    }
}

/// Everything about a request but its data.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) envelope: Envelope,
    pub(super) call: Call,
}

/// Everything about a message but its data. A clone costs two counters unless there are headers.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub(super) event: EventName,
    pub(super) headers: Headers,
    pub(super) sender: Arc<PeerEntry>,
    pub(super) origin: Option<NodeId>,
}

impl Envelope {
    /// Parts the data of a message from the rest.
    pub(super) fn open(
        message: Message,
        sender: Arc<PeerEntry>,
        origin: Option<NodeId>,
    ) -> (Self, Payload) {
        let Message { event, headers, payload } = message;
        (Self { event, headers, sender, origin }, payload)
    }
}

impl<T> Request<T> {
    pub(super) fn new(data: T, asked: Asked) -> Self {
        let Asked { envelope, call } = asked;
        Self { data, call, envelope }
    }

    /// When the caller gives up. Calls that the handler makes on its own thread end by then, too.
    ///
    /// Nobody gives up on a tick ([`wants_answer`](Self::wants_answer)): for one this is the time at which its handlers began to run, and
    /// the node's default timeout of requests, and calls that the handler makes have their own timeouts.
    pub fn deadline(&self) -> Instant {
        self.call.deadline
    }

    /// Whether somebody waits for the answer. False when a service is told something by a tick: what the handler answers, now or
    /// later, goes nowhere, so it need not be worked out. A caller that gives up changes nothing here: see
    /// [`is_cancelled`](Self::is_cancelled).
    ///
    /// # Example
    /// ```
    /// use threadmesh::{Node, Outcome, Request};
    ///
    /// let node = Node::builder().start()?;
    /// node.register("/log/add", |request: Request<String>| {
    ///     println!("{}", request.data);
    ///     if !request.wants_answer() {
    ///         return Outcome::Reply(None);
    ///     }
    ///     Outcome::Reply(Some("the checksum of the whole log, which takes long"))
    /// })?;
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn wants_answer(&self) -> bool {
        self.call.wants_answer()
    }

    /// Whether the caller has given up already, or its link is gone: nobody waits for the answer any more. Never so for a tick.
    pub fn is_cancelled(&self) -> bool {
        self.call.is_cancelled()
    }
}

impl<T> Tick<T> {
    pub(super) fn new(data: T, envelope: Envelope) -> Self {
        Self { data, envelope }
    }
}

macro_rules! envelope {
    ($($message:ident),+) => { $(
        impl<T> $message<T> {
            /// The name it was sent under: what a pattern with `*` matched.
            pub fn event(&self) -> &str {
                self.envelope.event.as_str()
            }

            /// The peer that it came from.
            pub fn sender(&self) -> &NodeId {
                &self.envelope.sender.id
            }

            /// The node that sent it first: the sender, unless a router forwarded it.
            pub fn origin(&self) -> &NodeId {
                self.envelope.origin.as_ref().unwrap_or(&self.envelope.sender.id)
            }

            /// The options of the sender, as they were when it arrived.
            pub fn sender_options(&self) -> &Options {
                &self.envelope.sender.options
            }

            /// What travelled beside the data.
            pub fn headers(&self) -> &Headers {
                &self.envelope.headers
            }
        }
    )+ };
}

envelope!(Request, Tick);

impl<T: fmt::Debug> fmt::Debug for Request<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Request");
        out.field("event", &self.event()).field("sender", self.sender());
        out.field("origin", self.origin()).field("data", &self.data).finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for Tick<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Tick");
        out.field("event", &self.event()).field("sender", self.sender());
        out.field("origin", self.origin()).field("data", &self.data).finish_non_exhaustive()
    }
}
