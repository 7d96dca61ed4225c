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

/// A request, as its handler sees it.
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

/// What requests have and ticks lack.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) deadline: Instant,
    pub(super) cancelled: Arc<AtomicBool>,
}

impl Call {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
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
    pub fn deadline(&self) -> Instant {
        self.call.deadline
    }

    /// Whether the caller has given up already, or its link is gone: nobody waits for the answer.
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
