//! Messages that end with a payload: their heads, for writing. The payload's bytes are appended by the caller.

use crate::cbor::{
    put_array, put_bool, put_bytes, put_bytes_head, put_null, put_text, put_text_bytes,
    put_unsigned,
};
use crate::headers::Headers;
use crate::id::{CallId, NodeId};
use crate::wire::kinds::{self, header};
use crate::wire::message::{put_handler, put_ids};

/// What stands before the payload.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DataHead<'a> {
    /// A question that wants an answer.
    Request {
        call: CallId,
        /// What is left of the deadline, rounded up.
        timeout_ms: u64,
        /// How many requests deep the asking handler is.
        depth: u8,
        /// UTF-8, as all names are; it is not looked at again.
        event: &'a [u8],
        headers: &'a Headers,
        origin: Option<&'a NodeId>,
    },
    /// A message that wants no answer.
    Tick { event: &'a [u8], headers: &'a Headers, origin: Option<&'a NodeId> },
    /// The handler's answer.
    Reply {
        call: CallId,
        /// Whose handler it was, if not the sender's.
        handler: Option<&'a NodeId>,
    },
    /// The handler's error. Without data the payload is the item null.
    Failure {
        call: CallId,
        code: &'a str,
        message: &'a str,
        has_data: bool,
        handler: Option<&'a NodeId>,
    },
    /// A request for a router to place.
    ForwardRequest(ForwardHead<'a>),
    /// A tick for a router to place, which says whether it could.
    ForwardTick(ForwardHead<'a>),
}

/// What a router needs to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForwardHead<'a> {
    pub(crate) call: CallId,
    pub(crate) timeout_ms: u64,
    pub(crate) depth: u8,
    pub(crate) event: &'a [u8],
    pub(crate) headers: &'a Headers,
    /// Who asked first.
    pub(crate) origin: &'a NodeId,
    pub(crate) target: TargetHead<'a>,
    pub(crate) hops_left: u8,
    /// The routers that were asked already.
    pub(crate) visited: &'a [NodeId],
}

/// Whom a forwarded message is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TargetHead<'a> {
    Id(&'a NodeId),
    /// Exactly one item, opaque here.
    Filter(&'a [u8]),
    /// Whoever serves the path that the event is.
    Path,
}

/// Appends the envelope up to and including the head of the payload's byte string.
pub(crate) fn put_data_head(out: &mut Vec<u8>, head: &DataHead<'_>, payload_len: usize) {
    match head {
        DataHead::Request { call, timeout_ms, depth, event, headers, origin } => {
            put_start(out, kinds::REQUEST, *call);
            put_headers(out, headers, *depth, *origin);
            put_unsigned(out, *timeout_ms);
            put_text_bytes(out, event);
        }
        DataHead::Tick { event, headers, origin } => {
            put_start(out, kinds::TICK, CallId(0));
            put_headers(out, headers, 0, *origin);
            put_text_bytes(out, event);
        }
        DataHead::Reply { call, handler } => {
            put_start(out, kinds::REPLY, *call);
            put_handler(out, *handler);
        }
        DataHead::Failure { call, code, message, has_data, handler } => {
            put_start(out, kinds::FAILURE, *call);
            put_handler(out, *handler);
            put_text(out, code);
            put_text(out, message);
            put_bool(out, *has_data);
        }
        DataHead::ForwardRequest(forward) => put_forward(out, kinds::FORWARD_REQUEST, forward),
        DataHead::ForwardTick(forward) => put_forward(out, kinds::FORWARD_TICK, forward),
    }
    put_bytes_head(out, payload_len);
}

fn put_forward(out: &mut Vec<u8>, kind: u64, forward: &ForwardHead<'_>) {
    put_start(out, kind, forward.call);
    put_headers(out, forward.headers, forward.depth, None);
    put_unsigned(out, forward.timeout_ms);
    put_text_bytes(out, forward.event);
    put_text(out, forward.origin.as_str());
    match forward.target {
        TargetHead::Id(id) => put_text(out, id.as_str()),
        TargetHead::Filter(item) => put_bytes(out, item),
        TargetHead::Path => put_null(out),
    }
    put_unsigned(out, forward.hops_left.into());
    put_ids(out, forward.visited);
}

fn put_start(out: &mut Vec<u8>, kind: u64, call: CallId) {
    put_array(out, kinds::shape(kind).1);
    put_unsigned(out, kind);
    put_unsigned(out, call.0);
}

/// The protocol's own headers are joined to the user's only when there are any, which is rare.
fn put_headers(out: &mut Vec<u8>, headers: &Headers, depth: u8, origin: Option<&NodeId>) {
    if depth == 0 && origin.is_none() {
        return headers.put(out);
    }
    let mut all = headers.clone();
    if depth > 0 {
        all.set_number(header::DEPTH, i64::from(depth));
    }
    if let Some(origin) = origin {
        all.set_number(header::ORIGIN, origin.as_str());
    }
    all.put(out);
}
