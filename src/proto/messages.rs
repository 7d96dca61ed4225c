//! What a message that came in means for the engine: bytes of a peer, or an item that this node has
//! queued for itself. Pure: it must not act on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Message;
use super::links::{InboundCall, InboundTick};
use super::queue::{Item, ItemHead};
use super::traffic::ReplyBody;
use crate::config::LONGEST_TIMEOUT;
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{CallId, NodeId};
use crate::payload::Payload;
use crate::routing::{Destination, cost};
use crate::wire::{self, Control, Data, Forward, Incoming, Target};

/// So much is shown of a text of a peer.
const SHOWN_CHARS: usize = 500;

/// A message of a peer that has joined, or of this node to itself.
#[derive(Debug)]
pub(super) enum Received<'a> {
    Request(InboundCall),
    Tick(InboundTick),
    /// A reply, with the node behind the sender that it is of, if there is one.
    Reply {
        call: CallId,
        reply: Result<ReplyBody, Error>,
        handler: Option<NodeId>,
    },
    /// A message that a router is to place.
    Forward {
        head: Box<Forward<'a>>,
        is_tick: bool,
        payload: Payload,
    },
    Control(Control),
    /// A request with more data than this node takes.
    LongRequest {
        call: CallId,
        bytes: usize,
    },
    /// The same of a tick.
    LongTick {
        bytes: usize,
    },
    /// A message of a kind that may be skipped.
    Skipped,
    /// A message to this node itself that was withdrawn.
    Withdrawn,
    /// A message that this protocol does not have; `tick` is the length of its data if it is a
    /// tick, which has used up credit.
    Unsupported {
        call: CallId,
        why: String,
        tick: Option<usize>,
    },
    /// A reply with a header that this protocol does not have.
    UnsupportedReply {
        call: CallId,
        error: Error,
    },
}

/// What a message of a peer means. `shared` is the same bytes where they need not be copied; `limit`
/// is the longest payload that this node takes.
#[inline]
pub(super) fn received<'a>(
    incoming: Incoming<'a>,
    bytes: &[u8],
    shared: Option<&Arc<Vec<u8>>>,
    limit: usize,
) -> Received<'a> {
    match incoming {
        Incoming::Data { head, payload } => {
            let payload = match shared {
                Some(buffer) => Payload::from_shared(Arc::clone(buffer), payload),
                None => Payload::from_item_slice(&bytes[payload]),
            };
            if payload.len() > limit { long(head, payload) } else { data(head, payload) }
        }
        Incoming::Control(control) => self::control(control),
        Incoming::Unknown { kind, .. } if kind % 2 == 1 => Received::Skipped,
        Incoming::Unknown { kind, call } => {
            let why = format!("message kind {kind} is not part of protocol 1");
            Received::Unsupported { call, why, tick: None }
        }
        Incoming::UnsupportedHeader { kind, call, key, .. } if wire::kinds::is_answer(kind) => {
            // The number is that of a call of this node, so a fault that bore it would seem to be
            // about one of the peer's: it ends here.
            let handled = kind == wire::kinds::REPLY || kind == wire::kinds::FAILURE;
            let execution = if handled { Execution::Happened } else { Execution::Unknown };
            let why = format!("the answer has header {key}, which is not part of protocol 1");
            let error = Error::new(ErrorKind::Unsupported, why).with_execution(execution);
            Received::UnsupportedReply { call, error }
        }
        Incoming::UnsupportedHeader { kind, call, key, payload } => {
            let why = format!("header {key} is not part of protocol 1");
            let tick = (kind == wire::kinds::TICK).then_some(payload);
            Received::Unsupported { call, why, tick }
        }
    }
}

/// A message with more data than this node takes. A reply is taken all the same: its sender was
/// told how much that is, and the caller can judge.
#[inline]
fn long(head: Data<'_>, payload: Payload) -> Received<'_> {
    let bytes = payload.len();
    match head {
        Data::Request { call, .. } => Received::LongRequest { call, bytes },
        Data::ForwardRequest(forward) | Data::ForwardTick(forward) => {
            Received::LongRequest { call: forward.call, bytes }
        }
        Data::Tick { .. } => Received::LongTick { bytes },
        Data::Reply { .. } | Data::Failure { .. } => data(head, payload),
    }
}

#[inline]
fn data(head: Data<'_>, payload: Payload) -> Received<'_> {
    match head {
        Data::Request { call, timeout_ms, depth, event, headers, origin } => {
            let timeout = Duration::from_millis(timeout_ms).min(LONGEST_TIMEOUT);
            let message = Message { event, headers, payload };
            Received::Request(InboundCall { call, timeout, depth, origin, message })
        }
        Data::Tick { event, headers, origin } => {
            let cost = cost(payload.len()) as u64;
            let message = Message { event, headers, payload };
            Received::Tick(InboundTick { cost, origin, message })
        }
        Data::Reply { call, handler } => {
            let reply = Ok(ReplyBody::Payload(payload, handler));
            Received::Reply { call, reply, handler: None }
        }
        Data::Failure { call, code, message, has_data, handler } => {
            let reply = Err(failure(code.to_owned(), message.to_owned(), has_data, &payload));
            Received::Reply { call, reply, handler }
        }
        Data::ForwardRequest(head) => Received::Forward { head, is_tick: false, payload },
        Data::ForwardTick(head) => Received::Forward { head, is_tick: true, payload },
    }
}

fn control(control: Control) -> Received<'static> {
    match control {
        Control::DirectoryPage { call, peers, more } => {
            let reply = Ok(ReplyBody::Peers(peers, more));
            Received::Reply { call, reply, handler: None }
        }
        control => Received::Control(control),
    }
}

/// What an item that this node has queued for itself means.
pub(super) fn to_self(item: Item, now: Instant) -> Received<'static> {
    let Item { head, payload, cost } = item;
    match head {
        ItemHead::Request { call, deadline, depth, event, headers, .. } => {
            let timeout = deadline.saturating_duration_since(now);
            let message = Message { event, headers, payload };
            Received::Request(InboundCall { call, timeout, depth, origin: None, message })
        }
        ItemHead::Tick { event, headers } => {
            let message = Message { event, headers, payload };
            Received::Tick(InboundTick { cost: cost as u64, origin: None, message })
        }
        ItemHead::Reply { call, handler } => {
            let reply = Ok(ReplyBody::Payload(payload, handler));
            Received::Reply { call, reply, handler: None }
        }
        ItemHead::Failure { call, code, message, has_data, handler } => {
            let reply = Err(failure(code, message, has_data, &payload));
            Received::Reply { call, reply, handler }
        }
        ItemHead::Control(control) => self::control(*control),
        ItemHead::Withdrawn => Received::Withdrawn,
        ItemHead::Forward(_) | ItemHead::Question(_) => {
            debug_assert!(false, "a node is no peer of itself: it has itself forward nothing");
            Received::Withdrawn
        }
    }
}

/// The error that a handler returned.
fn failure(code: String, message: String, has_data: bool, payload: &Payload) -> Error {
    let data = has_data.then(|| payload.to_item().into());
    Error::new(ErrorKind::Handler, message).with_handler_code(code, data)
}

/// A text of a peer, as it is shown here: it neither fills the memory nor forges a line of a log.
pub(super) fn sanitize_peer_text(text: &str) -> String {
    let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    let shown: String = text.chars().take(SHOWN_CHARS).map(printable).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() { shown + " …" } else { shown }
}

impl From<Target<'_>> for Destination {
    fn from(target: Target<'_>) -> Self {
        match target {
            Target::Id(id) => Self::Id(id),
            Target::Filter(bytes) => Self::Filter(bytes.into()),
            Target::Path => Self::Path,
        }
    }
}
