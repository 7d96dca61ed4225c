//! Envelopes, read strictly: fixed arity, one encoding, nothing behind. It must not look into payloads.
//!
//! Accepted bytes are what writing the same message again gives, unless something of a newer version was skipped in them.

use std::fmt;
use std::ops::Range;

use crate::cbor::{Kind, Malformed, Reader};
use crate::config::{FILTER_BYTES, ROUTERS_ASKED};
use crate::event::EventName;
use crate::headers::Headers;
use crate::id::{CallId, NodeId};
#[cfg(any(test, fuzzing))]
use crate::wire::data::{DataHead, ForwardHead, TargetHead};
use crate::wire::kinds::{self, EVEN_HEADERS, Shape, header};
use crate::wire::message::Control;

mod control;

/// The item that stands where there is no data.
const NULL: &[u8] = &[0xf6];

/// One message.
#[derive(PartialEq, Debug)]
pub(crate) enum Incoming<'a> {
    /// Wholly in its envelope.
    Control(Control),
    /// With a payload, which is `bytes[payload]`.
    Data { head: Data<'a>, payload: Range<usize> },
    /// A kind that protocol 1 does not have: odd ones are skipped and counted, even ones are answered `UNSUPPORTED`.
    Unknown { kind: u64, call: CallId },
    /// A message that would need a header understood which protocol 1 does not have: it is answered `UNSUPPORTED`.
    /// A refused tick is finished: `payload` is the length of its item, 0 where the kind has none.
    UnsupportedHeader { kind: u64, call: CallId, key: u64, payload: usize },
}

/// What stands before a payload.
#[derive(PartialEq, Debug)]
pub(crate) enum Data<'a> {
    Request {
        call: CallId,
        timeout_ms: u64,
        depth: u8,
        event: EventName,
        /// Without `depth` and `origin`.
        headers: Headers,
        origin: Option<NodeId>,
    },
    Tick {
        event: EventName,
        /// Without `origin`.
        headers: Headers,
        origin: Option<NodeId>,
    },
    Reply {
        call: CallId,
        handler: Option<NodeId>,
    },
    Failure {
        call: CallId,
        code: &'a str,
        message: &'a str,
        has_data: bool,
        handler: Option<NodeId>,
    },
    ForwardRequest(Box<Forward<'a>>),
    ForwardTick(Box<Forward<'a>>),
}

/// What a router is told with a message that it shall place.
#[derive(PartialEq, Debug)]
pub(crate) struct Forward<'a> {
    pub(crate) call: CallId,
    pub(crate) timeout_ms: u64,
    pub(crate) depth: u8,
    pub(crate) event: EventName,
    /// Without `depth`.
    pub(crate) headers: Headers,
    pub(crate) origin: NodeId,
    pub(crate) target: Target<'a>,
    pub(crate) hops_left: u8,
    pub(crate) visited: Vec<NodeId>,
}

/// Whom a forwarded message is for.
#[derive(PartialEq, Debug)]
pub(crate) enum Target<'a> {
    Id(NodeId),
    /// The bytes of one item, not looked into.
    Filter(&'a [u8]),
    /// Whoever serves the path that the event is.
    Path,
}

/// Why bytes are no message: the link must be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WireError {
    /// If it was read.
    pub(crate) kind: Option<u64>,
    pub(crate) why: &'static str,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "a malformed message of kind {kind}: {}", self.why),
            None => write!(f, "a malformed message: {}", self.why),
        }
    }
}

/// Reads one message. What stands in it and is of a newer version, and may be ignored, is counted in `skipped`.
///
/// # Errors
/// The link must be closed.
pub(crate) fn parse<'a>(bytes: &'a [u8], skipped: &mut u64) -> Result<Incoming<'a>, WireError> {
    let mut reader = Reader::new(bytes);
    let (len, kind) = start(&mut reader).map_err(|Malformed(why)| WireError { kind: None, why })?;
    let envelope = Envelope { len, kind, reader, skipped };
    envelope.read().map_err(|Malformed(why)| WireError { kind: Some(kind), why })
}

fn start(reader: &mut Reader<'_>) -> Result<(usize, u64), Malformed> {
    let len = reader.array()?;
    if len < 3 {
        return Err(Malformed("an envelope has a kind, a call and headers"));
    }
    Ok((len, reader.unsigned()?))
}

/// An envelope whose kind is known.
struct Envelope<'a, 's> {
    len: usize,
    kind: u64,
    reader: Reader<'a>,
    skipped: &'s mut u64,
}

impl<'a> Envelope<'a, '_> {
    fn read(mut self) -> Result<Incoming<'a>, Malformed> {
        let call = CallId(self.reader.unsigned()?);
        let (shape, len) = kinds::shape(self.kind);
        if shape == Shape::Unknown {
            return Ok(Incoming::Unknown { kind: self.kind, call });
        }
        if len != self.len {
            return Err(Malformed("this kind has another number of elements"));
        }
        if kinds::has_call(self.kind) == (call.0 == 0) && self.kind != kinds::FAULT {
            return Err(Malformed("this kind carries a call if and only if it is about one"));
        }
        let headers = Headers::read(&mut self.reader)?;
        let unsupported = headers.first_unknown_even(EVEN_HEADERS);
        let kind = self.kind;
        let incoming = match shape {
            Shape::Data => self.data(call, headers)?,
            Shape::Control | Shape::Unknown => self.control(call, headers)?,
        };
        let Some(key) = unsupported else {
            return Ok(incoming);
        };
        let payload = match incoming {
            Incoming::Data { payload, .. } => payload.len(),
            _ => 0,
        };
        Ok(Incoming::UnsupportedHeader { kind, call, key, payload })
    }

    fn control(mut self, call: CallId, mut headers: Headers) -> Result<Incoming<'a>, Malformed> {
        let is_fault = self.kind == kinds::FAULT;
        let handler = if is_fault { take_id(&mut headers, header::HANDLER)? } else { None };
        self.skip_headers(&headers);
        let mut control = control::read(self.kind, call, &mut self.reader, self.skipped)?;
        self.reader.finish()?;
        if let Control::Fault(fault) = &mut control {
            fault.handler = handler;
        }
        Ok(Incoming::Control(control))
    }

    fn data(mut self, call: CallId, mut headers: Headers) -> Result<Incoming<'a>, Malformed> {
        let head = match self.kind {
            kinds::REQUEST => self.request(call, headers)?,
            kinds::TICK => self.tick(headers)?,
            kinds::REPLY => {
                let handler = take_id(&mut headers, header::HANDLER)?;
                self.skip_headers(&headers);
                Data::Reply { call, handler }
            }
            kinds::FAILURE => {
                let handler = take_id(&mut headers, header::HANDLER)?;
                self.skip_headers(&headers);
                let code = self.reader.text()?;
                let message = self.reader.text()?;
                Data::Failure { call, code, message, has_data: self.reader.bool()?, handler }
            }
            kinds::FORWARD_REQUEST => Data::ForwardRequest(self.forward(call, headers)?),
            _ => Data::ForwardTick(self.forward(call, headers)?),
        };
        let payload = self.reader.bytes()?;
        if payload != NULL && matches!(head, Data::Failure { has_data: false, .. }) {
            return Err(Malformed("a failure without data has the item null"));
        }
        let end = self.reader.position();
        self.reader.finish()?;
        Ok(Incoming::Data { head, payload: end - payload.len()..end })
    }

    fn request(&mut self, call: CallId, mut headers: Headers) -> Result<Data<'a>, Malformed> {
        let depth = take_depth(&mut headers)?;
        let origin = take_id(&mut headers, header::ORIGIN)?;
        self.count_unknown(&headers);
        let timeout_ms = self.reader.unsigned()?;
        let event = event(&mut self.reader)?;
        Ok(Data::Request { call, timeout_ms, depth, event, headers, origin })
    }

    fn tick(&mut self, mut headers: Headers) -> Result<Data<'a>, Malformed> {
        let origin = take_id(&mut headers, header::ORIGIN)?;
        self.count_unknown(&headers);
        Ok(Data::Tick { event: event(&mut self.reader)?, headers, origin })
    }

    fn forward(
        &mut self,
        call: CallId,
        mut headers: Headers,
    ) -> Result<Box<Forward<'a>>, Malformed> {
        let depth = take_depth(&mut headers)?;
        self.count_unknown(&headers);
        let reader = &mut self.reader;
        Ok(Box::new(Forward {
            call,
            depth,
            headers,
            timeout_ms: reader.unsigned()?,
            event: event(reader)?,
            origin: node_id(reader)?,
            target: target(reader)?,
            hops_left: number(reader)?,
            visited: node_ids(reader)?,
        }))
    }

    /// Headers of a message that has none in this version.
    fn skip_headers(&mut self, headers: &Headers) {
        *self.skipped += (headers.numbers().count() + headers.len()) as u64;
    }

    /// Headers that stay with the message, so that a router passes them on.
    fn count_unknown(&mut self, headers: &Headers) {
        let known = [header::TRACE_CONTEXT, header::IDEMPOTENCY_KEY, header::DEPTH, header::ORIGIN];
        *self.skipped += headers.numbers().filter(|number| !known.contains(number)).count() as u64;
    }
}

fn take_depth(headers: &mut Headers) -> Result<u8, Malformed> {
    let Some(depth) = headers.take_number(header::DEPTH) else {
        return Ok(0);
    };
    let depth = depth.as_u64().and_then(|depth| u8::try_from(depth).ok());
    depth.filter(|depth| *depth > 0).ok_or(Malformed("a nesting depth is 1 to 255"))
}

fn take_id(headers: &mut Headers, number: u64) -> Result<Option<NodeId>, Malformed> {
    let Some(id) = headers.take_number(number) else {
        return Ok(None);
    };
    let id = id.as_str().and_then(|id| NodeId::new(id).ok());
    id.map(Some).ok_or(Malformed("a header is not a node id"))
}

fn event(reader: &mut Reader<'_>) -> Result<EventName, Malformed> {
    EventName::new(reader.text()?).map_err(|_| Malformed("an event name is not allowed"))
}

fn target<'a>(reader: &mut Reader<'a>) -> Result<Target<'a>, Malformed> {
    match reader.kind()? {
        Kind::Text => node_id(reader).map(Target::Id),
        Kind::Null => reader.null().map(|()| Target::Path),
        _ => filter(reader).map(Target::Filter),
    }
}

fn filter<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let filter = reader.bytes()?;
    if filter.len() > FILTER_BYTES { Err(Malformed("a filter is too long")) } else { Ok(filter) }
}

fn node_id(reader: &mut Reader<'_>) -> Result<NodeId, Malformed> {
    NodeId::new(reader.text()?).map_err(|_| Malformed("a text is not a node id"))
}

fn node_ids(reader: &mut Reader<'_>) -> Result<Vec<NodeId>, Malformed> {
    list(reader, ROUTERS_ASKED, node_id)
}

/// A number of a type narrower than the wire's.
fn number<N: TryFrom<u64>>(reader: &mut Reader<'_>) -> Result<N, Malformed> {
    N::try_from(reader.unsigned()?).map_err(|_| Malformed("a number is out of its range"))
}

/// A list that grows as its elements are read, never on the strength of its claimed length.
fn list<T>(
    reader: &mut Reader<'_>,
    most: usize,
    element: impl Fn(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let len = reader.array()?;
    if len > most {
        return Err(Malformed("a list has too many elements"));
    }
    let mut out = Vec::new();
    for _ in 0..len {
        out.push(element(reader)?);
    }
    Ok(out)
}

impl Data<'_> {
    /// The same as it is written: what a router passes on.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn as_head(&self) -> DataHead<'_> {
        match self {
            Self::Request { call, timeout_ms, depth, event, headers, origin } => {
                DataHead::Request {
                    call: *call,
                    timeout_ms: *timeout_ms,
                    depth: *depth,
                    event: event.as_bytes(),
                    headers,
                    origin: origin.as_ref(),
                }
            }
            Self::Tick { event, headers, origin } => {
                DataHead::Tick { event: event.as_bytes(), headers, origin: origin.as_ref() }
            }
            Self::Reply { call, handler } => {
                DataHead::Reply { call: *call, handler: handler.as_ref() }
            }
            Self::Failure { call, code, message, has_data, handler } => DataHead::Failure {
                call: *call,
                code,
                message,
                has_data: *has_data,
                handler: handler.as_ref(),
            },
            Self::ForwardRequest(forward) => DataHead::ForwardRequest(forward.as_head()),
            Self::ForwardTick(forward) => DataHead::ForwardTick(forward.as_head()),
        }
    }
}

impl Forward<'_> {
    #[cfg(any(test, fuzzing))]
    fn as_head(&self) -> ForwardHead<'_> {
        ForwardHead {
            call: self.call,
            timeout_ms: self.timeout_ms,
            depth: self.depth,
            event: self.event.as_bytes(),
            headers: &self.headers,
            origin: &self.origin,
            target: match &self.target {
                Target::Id(id) => TargetHead::Id(id),
                Target::Filter(item) => TargetHead::Filter(item),
                Target::Path => TargetHead::Path,
            },
            hops_left: self.hops_left,
            visited: &self.visited,
        }
    }
}

#[cfg(test)]
mod tests;
