//! Messages without a payload, as owned values, and their bytes. It must not know when they are sent.

use std::collections::BTreeMap;

use crate::cbor::{put_array, put_bool, put_bytes, put_map, put_null, put_text, put_unsigned};
use crate::error::{ErrorKind, Execution};
use crate::id::{CallId, InstanceId, NodeId};
use crate::options::Options;
use crate::value::Value;
use crate::wire::kinds::{self, header};

/// Any message that is wholly in its envelope.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Control {
    /// The first message of each side.
    Hello(Box<Hello>),
    /// A page of the services of the side that handshakes.
    Services { names: Vec<String>, last: bool },
    /// The side that sends it has admitted the other.
    Ready,
    /// The handshake has failed; a lingering close follows.
    Refuse { kind: ErrorKind, message: String },
    /// The last message of the side that sends it. `taken_up` are the other side's requests that it has taken up and leaves
    /// unanswered, in the order of their numbers; `None` if it does not know.
    Goodbye { reason: Farewell, ticks: u64, cost: u64, taken_up: Option<Vec<CallId>> },
    /// Nothing else was written for a while. `ticks` and `cost` as in [`Consumed`](Self::Consumed).
    ///
    /// A `stamp` other than 0 asks for a heartbeat at once, with stamp 0 and this stamp as its echo: that measures the
    /// round trip, and probes whether the other side lives.
    Heartbeat { ticks: u64, cost: u64, stamp: u64, echo: u64 },
    /// What handlers have finished of the ticks of this link, since it stands.
    Consumed { ticks: u64, cost: u64 },
    /// What the side that sends it takes from now on.
    Grant { tick_window: u64, calls: u32 },
    /// The asking side has given up.
    Cancel { call: CallId },
    /// The call has no answer from a handler, and why. `call` is 0 for a message that was no call.
    Fault(Box<Fault>),
    /// The sender's options from now on.
    Options { version: u64, options: Options },
    /// A page of the sender's services from now on; they count when the last page of one version is there.
    ServicesChanged { version: u64, last: bool, names: Vec<String> },
    /// Which peers of a router match?
    DirectoryQuestion { call: CallId, question: DirectoryQuestion },
    /// Some of them, in order of their ids.
    DirectoryPage { call: CallId, peers: Vec<(NodeId, Options)>, more: bool },
    /// Who else is a member? `address` is where the asker can be dialled; without one it is no member.
    JoinQuestion { call: CallId, address: Option<String> },
    /// Some of them.
    Members { call: CallId, members: Vec<Member>, more: bool },
    /// A member has joined at the sender.
    MemberJoined(Member),
    /// A member has said goodbye to the sender.
    MemberLeft { id: NodeId },
}

/// What a node tells about itself in the handshake.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Hello {
    pub(crate) id: NodeId,
    pub(crate) instance: InstanceId,
    /// The version of `options`: a node may be reached over two links, and older ones must not undo newer ones.
    pub(crate) options_version: u64,
    pub(crate) options: Options,
    /// The version of the services whose pages follow.
    pub(crate) services_version: u64,
    pub(crate) host: Option<String>,
    /// Where others may dial this node.
    pub(crate) advertise: Option<String>,
    /// Unknown keys are ignored.
    pub(crate) capabilities: BTreeMap<u64, Value>,
    pub(crate) heartbeat_ms: u32,
    pub(crate) liveness_ms: u32,
    /// Requests that the other side may have open on this link.
    pub(crate) calls: u32,
    /// Cost of ticks that the other side may have unconfirmed on this link.
    pub(crate) tick_window: u64,
    /// The largest message that this side takes.
    pub(crate) message_bytes: u64,
}

/// Why a side says goodbye.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Farewell {
    /// The node stops.
    Stop,
    /// The program disconnected this peer, or unbound.
    Disconnect,
    /// A newer link or instance took this link's place; it must not be dialled again.
    Replaced,
    /// Nothing was received for the liveness timeout.
    Silent,
    /// The other side broke the protocol; the text says how.
    Protocol(String),
    /// The memory of this side is nearly used up, and the link held more than its share.
    Full,
    /// A reason that this version does not know.
    Other { number: u64, text: String },
}

/// A call's end without an answer from a handler.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Fault {
    pub(crate) call: CallId,
    pub(crate) kind: ErrorKind,
    pub(crate) execution: Execution,
    pub(crate) message: String,
    /// The routers that were asked, in a router's no-match.
    pub(crate) asked: Vec<NodeId>,
    /// Who says so, if not the sender.
    pub(crate) handler: Option<NodeId>,
}

/// Which peers a router shall list.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct DirectoryQuestion {
    /// A filter: exactly one item, opaque here.
    pub(crate) filter: Vec<u8>,
    /// Only ids behind this one: the last of the page before.
    pub(crate) after: Option<NodeId>,
    /// At most that many.
    pub(crate) limit: u32,
}

/// A node that others may dial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    pub(crate) id: NodeId,
    pub(crate) address: String,
}

impl Farewell {
    /// Its number, and the text that goes with it.
    pub(crate) fn parts(&self) -> (u64, &str) {
        match self {
            Self::Stop => (0, ""),
            Self::Disconnect => (1, ""),
            Self::Replaced => (2, ""),
            Self::Silent => (3, ""),
            Self::Protocol(text) => (4, text),
            Self::Full => (5, ""),
            Self::Other { number, text } => (*number, text),
        }
    }

    /// A text with a reason that has none is kept as it is.
    pub(crate) fn from_parts(number: u64, text: &str) -> Self {
        match (number, text) {
            (0, "") => Self::Stop,
            (1, "") => Self::Disconnect,
            (2, "") => Self::Replaced,
            (3, "") => Self::Silent,
            (4, text) => Self::Protocol(text.to_owned()),
            (5, "") => Self::Full,
            (number, text) => Self::Other { number, text: text.to_owned() },
        }
    }
}

/// The number of an execution on the wire.
pub(crate) fn execution_number(execution: Execution) -> u64 {
    match execution {
        Execution::Never => 0,
        Execution::Unknown => 1,
        Execution::Happened => 2,
    }
}

/// The execution of that number.
pub(crate) fn execution_of(number: u64) -> Option<Execution> {
    match number {
        0 => Some(Execution::Never),
        1 => Some(Execution::Unknown),
        2 => Some(Execution::Happened),
        _ => None,
    }
}

/// Appends the whole envelope, without a length word.
pub(crate) fn put_control(out: &mut Vec<u8>, control: &Control) {
    match control {
        Control::Hello(hello) => put_hello(out, hello),
        Control::Services { names, last } => {
            put_start(out, kinds::SERVICES, 0);
            put_bool(out, *last);
            put_names(out, names);
        }
        Control::Ready => put_start(out, kinds::READY, 0),
        Control::Refuse { kind, message } => {
            put_start(out, kinds::REFUSE, 0);
            put_unsigned(out, kind.number().into());
            put_text(out, message);
        }
        Control::Goodbye { reason, ticks, cost, taken_up } => {
            put_start(out, kinds::GOODBYE, 0);
            let (number, text) = reason.parts();
            put_unsigned(out, number);
            put_text(out, text);
            put_numbers(out, &[*ticks, *cost]);
            put_calls(out, taken_up.as_deref());
        }
        Control::Heartbeat { ticks, cost, stamp, echo } => {
            put_start(out, kinds::HEARTBEAT, 0);
            put_numbers(out, &[*ticks, *cost, *stamp, *echo]);
        }
        Control::Consumed { ticks, cost } => {
            put_start(out, kinds::CONSUMED, 0);
            put_numbers(out, &[*ticks, *cost]);
        }
        Control::Grant { tick_window, calls } => {
            put_start(out, kinds::GRANT, 0);
            put_numbers(out, &[*tick_window, u64::from(*calls)]);
        }
        Control::Cancel { call } => put_start(out, kinds::CANCEL, call.0),
        Control::Fault(fault) => put_fault(out, fault),
        Control::Options { version, options } => {
            put_start(out, kinds::OPTIONS, 0);
            put_unsigned(out, *version);
            options.put(out);
        }
        Control::ServicesChanged { version, last, names } => {
            put_start(out, kinds::SERVICES_CHANGED, 0);
            put_unsigned(out, *version);
            put_bool(out, *last);
            put_names(out, names);
        }
        Control::DirectoryQuestion { call, question } => put_question(out, *call, question),
        Control::DirectoryPage { call, peers, more } => put_page(out, *call, peers, *more),
        Control::JoinQuestion { call, address } => {
            put_start(out, kinds::JOIN_QUESTION, call.0);
            put_optional(out, address.as_deref());
        }
        Control::Members { call, members, more } => {
            put_start(out, kinds::MEMBERS, call.0);
            put_bool(out, *more);
            put_array(out, members.len());
            for member in members {
                put_array(out, 2);
                put_member(out, member);
            }
        }
        Control::MemberJoined(member) => {
            put_start(out, kinds::MEMBER_JOINED, 0);
            put_member(out, member);
        }
        Control::MemberLeft { id } => {
            put_start(out, kinds::MEMBER_LEFT, 0);
            put_text(out, id.as_str());
        }
    }
}

/// The array's head, the kind, the call, and no headers.
fn put_start(out: &mut Vec<u8>, kind: u64, call: u64) {
    put_array(out, kinds::shape(kind).1);
    put_unsigned(out, kind);
    put_unsigned(out, call);
    put_map(out, 0);
}

fn put_hello(out: &mut Vec<u8>, hello: &Hello) {
    put_start(out, kinds::HELLO, 0);
    put_text(out, hello.id.as_str());
    put_bytes(out, &hello.instance.0.to_be_bytes());
    put_unsigned(out, hello.options_version);
    hello.options.put(out);
    put_unsigned(out, hello.services_version);
    put_optional(out, hello.host.as_deref());
    put_optional(out, hello.advertise.as_deref());
    put_map(out, hello.capabilities.len());
    for (number, value) in &hello.capabilities {
        put_unsigned(out, *number);
        value.put(out);
    }
    put_numbers(out, &[hello.heartbeat_ms, hello.liveness_ms, hello.calls].map(u64::from));
    put_numbers(out, &[hello.tick_window, hello.message_bytes]);
}

fn put_fault(out: &mut Vec<u8>, fault: &Fault) {
    put_array(out, kinds::shape(kinds::FAULT).1);
    put_numbers(out, &[kinds::FAULT, fault.call.0]);
    put_handler(out, fault.handler.as_ref());
    put_unsigned(out, fault.kind.number().into());
    put_unsigned(out, execution_number(fault.execution));
    put_text(out, &fault.message);
    put_ids(out, &fault.asked);
}

fn put_question(out: &mut Vec<u8>, call: CallId, question: &DirectoryQuestion) {
    put_start(out, kinds::DIRECTORY_QUESTION, call.0);
    put_bytes(out, &question.filter);
    put_optional(out, question.after.as_ref().map(NodeId::as_str));
    put_unsigned(out, question.limit.into());
}

fn put_page(out: &mut Vec<u8>, call: CallId, peers: &[(NodeId, Options)], more: bool) {
    put_start(out, kinds::DIRECTORY_PAGE, call.0);
    put_bool(out, more);
    put_array(out, peers.len());
    for (id, options) in peers {
        put_array(out, 2);
        put_text(out, id.as_str());
        options.put(out);
    }
}

fn put_member(out: &mut Vec<u8>, member: &Member) {
    put_text(out, member.id.as_str());
    put_text(out, &member.address);
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    for number in numbers {
        put_unsigned(out, *number);
    }
}

fn put_calls(out: &mut Vec<u8>, calls: Option<&[CallId]>) {
    let Some(calls) = calls else { return put_null(out) };
    put_array(out, calls.len());
    for call in calls {
        put_unsigned(out, call.0);
    }
}

fn put_names(out: &mut Vec<u8>, names: &[String]) {
    put_array(out, names.len());
    for name in names {
        put_text(out, name);
    }
}

/// The headers of an answer.
pub(super) fn put_handler(out: &mut Vec<u8>, handler: Option<&NodeId>) {
    put_map(out, usize::from(handler.is_some()));
    if let Some(handler) = handler {
        put_unsigned(out, header::HANDLER);
        put_text(out, handler.as_str());
    }
}

pub(super) fn put_ids(out: &mut Vec<u8>, ids: &[NodeId]) {
    put_array(out, ids.len());
    for id in ids {
        put_text(out, id.as_str());
    }
}

fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put_text(out, text),
        None => put_null(out),
    }
}
