//! The numbers of protocol 1: message kinds, headers, reasons. It must not know fields.
//!
//! Of what this version does not know, odd numbers are skipped and counted, even ones refuse the one message they
//! stand in or on. Kinds 32 to 63 are kept for streams.

pub(crate) const HELLO: u64 = 1;
pub(crate) const REQUEST: u64 = 2;
pub(crate) const SERVICES: u64 = 3;
pub(crate) const REPLY: u64 = 4;
pub(crate) const READY: u64 = 5;
pub(crate) const FAILURE: u64 = 6;
pub(crate) const REFUSE: u64 = 7;
pub(crate) const FAULT: u64 = 8;
pub(crate) const GOODBYE: u64 = 9;
pub(crate) const TICK: u64 = 10;
pub(crate) const HEARTBEAT: u64 = 11;
pub(crate) const FORWARD_REQUEST: u64 = 12;
pub(crate) const CANCEL: u64 = 13;
pub(crate) const FORWARD_TICK: u64 = 14;
pub(crate) const CONSUMED: u64 = 15;
pub(crate) const DIRECTORY_QUESTION: u64 = 16;
pub(crate) const GRANT: u64 = 17;
pub(crate) const DIRECTORY_PAGE: u64 = 18;
pub(crate) const OPTIONS: u64 = 19;
pub(crate) const JOIN_QUESTION: u64 = 20;
pub(crate) const SERVICES_CHANGED: u64 = 21;
pub(crate) const MEMBERS: u64 = 22;
pub(crate) const MEMBER_JOINED: u64 = 23;
pub(crate) const MEMBER_LEFT: u64 = 25;

/// How the rest of a message is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// Everything is in the envelope.
    Control,
    /// A payload ends it.
    Data,
    /// Not of protocol 1.
    Unknown,
}

/// The shape of a kind, and the number of elements of its array.
pub(crate) fn shape(kind: u64) -> (Shape, usize) {
    let control = |fields: usize| (Shape::Control, 3 + fields);
    let data = |fields: usize| (Shape::Data, 3 + fields + 1);
    match kind {
        HELLO => control(13),
        SERVICES | REFUSE | CONSUMED | GRANT | OPTIONS | DIRECTORY_PAGE | MEMBERS
        | MEMBER_JOINED => control(2),
        READY | CANCEL => control(0),
        FAULT | HEARTBEAT => control(4),
        GOODBYE => control(5),
        DIRECTORY_QUESTION | SERVICES_CHANGED => control(3),
        JOIN_QUESTION | MEMBER_LEFT => control(1),
        REQUEST => data(2),
        TICK => data(1),
        REPLY => data(0),
        FAILURE => data(3),
        FORWARD_REQUEST | FORWARD_TICK => data(6),
        _ => (Shape::Unknown, 0),
    }
}

/// Whether messages of this kind carry the number of a call; all others carry 0.
pub(crate) fn has_call(kind: u64) -> bool {
    let data = [REQUEST, REPLY, FAILURE, FORWARD_REQUEST, FORWARD_TICK];
    let control = [CANCEL, DIRECTORY_QUESTION, DIRECTORY_PAGE, JOIN_QUESTION, MEMBERS];
    data.contains(&kind) || control.contains(&kind)
}

/// Whether messages of this kind carry the number of a call that their receiver made.
pub(crate) fn is_answer(kind: u64) -> bool {
    [REPLY, FAILURE, FAULT, DIRECTORY_PAGE, MEMBERS].contains(&kind)
}

/// Numbers of the headers that this version knows; the document lists those that are reserved.
pub(crate) mod header {
    /// Bytes; what a tracing system wants to pass on.
    pub(crate) const TRACE_CONTEXT: u64 = 1;
    /// Bytes or text; two requests with the same are meant to run once.
    pub(crate) const IDEMPOTENCY_KEY: u64 = 3;
    /// Unsigned, 1 to 255; how many requests deep the asking handler is.
    pub(crate) const DEPTH: u64 = 5;
    /// Text; the id of the node that asked first, if it is not the sender.
    pub(crate) const ORIGIN: u64 = 7;
    /// Text; in an answer, the id of the node that it is from, if that is not the sender.
    pub(crate) const HANDLER: u64 = 9;
}

/// Even headers that this version understands: none.
pub(crate) const EVEN_HEADERS: &[u64] = &[];
