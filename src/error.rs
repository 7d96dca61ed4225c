//! The one public error: what happened, to whom, whether it may have run, and what to do next.
//!
//! Every [`Error`] has a [`kind`](Error::kind) (an enum), a [`code`](Error::code) (stable text), and an
//! [`execution`](Error::execution). The code of an error that a *handler* returned is the handler's own.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::id::NodeId;

/// Whether the handler ran that a failed call was meant for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Execution {
    /// It certainly did not run, here or there. Repeating the call is safe. A peer that says goodbye says which requests it has
    /// taken up: those that it has not are among these.
    Never,
    /// It may have run: the message was out when the answer became unobtainable.
    Unknown,
    /// It ran.
    Happened,
}

macro_rules! kinds {
    ($( $(#[doc = $doc:literal])+ $name:ident = $number:literal, $code:literal, $execution:ident; )+) => {
        /// What kind of thing went wrong. `code()` is its stable text.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum ErrorKind { $( $(#[doc = $doc])+ $name, )+ }

        impl ErrorKind {
            /// Every kind there is, in the order of their numbers.
            pub const ALL: &'static [ErrorKind] = &[$( ErrorKind::$name, )+];

            /// The stable text of this kind: what programs compare and logs are searched for.
            pub const fn code(self) -> &'static str {
                match self { $( ErrorKind::$name => $code, )+ }
            }

            /// The number of this kind in a fault message of protocol 1.
            pub(crate) const fn number(self) -> u16 {
                match self { $( ErrorKind::$name => $number, )+ }
            }

            /// The kind of that number, if protocol 1 has one.
            pub(crate) const fn from_number(number: u16) -> Option<ErrorKind> {
                match number { $( $number => Some(ErrorKind::$name), )+ _ => None }
            }

            /// The execution of an error of this kind unless the phase it arose in says otherwise.
            pub const fn usual_execution(self) -> Execution {
                match self { $( ErrorKind::$name => Execution::$execution, )+ }
            }
        }
    };
}

kinds! {
    /// No directly connected peer has this id; where the call may go through routers, nobody whom they know has it either.
    NodeNotFound = 1, "NODE_NOT_FOUND", Never;
    /// No peer in the allowed directions matched, and no router found one.
    NoNodesMatchFilter = 2, "NO_NODES_MATCH_FILTER", Never;
    /// The deadline passed without an answer.
    RequestTimeout = 3, "REQUEST_TIMEOUT", Unknown;
    /// A router refuses to list its peers, so a predicate, or a strategy of the call, cannot choose among them.
    PredicateNotRoutable = 4, "PREDICATE_NOT_ROUTABLE", Never;
    /// The link broke while the call was pending on it.
    ConnectionLost = 5, "CONNECTION_LOST", Unknown;
    /// The peer has no handler for this event. An event that begins with `/` is a path: `NOT_FOUND`.
    NoHandler = 6, "NO_HANDLER", Never;
    /// Handlers ran, none of them answered.
    NoReply = 7, "NO_REPLY", Happened;
    /// The handler returned an error (then `code()` is its own) or panicked.
    Handler = 8, "HANDLER_ERROR", Happened;
    /// The circuit breaker is open; nothing was sent.
    CircuitOpen = 9, "CIRCUIT_OPEN", Never;
    /// No node serves this path or event, or the one that was asked serves nothing at this path.
    NotFound = 10, "NOT_FOUND", Never;
    /// The text is not a service path.
    InvalidPath = 11, "INVALID_PATH", Never;
    /// The filter is malformed or too large.
    InvalidFilter = 12, "INVALID_FILTER", Never;
    /// The event name is empty, too long or reserved.
    InvalidEvent = 13, "INVALID_EVENT", Never;
    /// The text is not an address.
    InvalidAddress = 14, "INVALID_ADDRESS", Never;
    /// An argument is out of its range.
    InvalidArgument = 15, "INVALID_ARGUMENT", Never;
    /// The operating system refused the listening socket.
    BindFailed = 16, "BIND_FAILED", Never;
    /// The node listens on another address already.
    AlreadyBound = 17, "ALREADY_BOUND", Never;
    /// No connection came about before the deadline.
    ConnectTimeout = 18, "CONNECT_TIMEOUT", Never;
    /// The one attempt to dial failed.
    ConnectFailed = 19, "CONNECT_FAILED", Never;
    /// The connection stood, the handshake did not complete in time.
    HandshakeTimeout = 20, "HANDSHAKE_TIMEOUT", Never;
    /// The two sides share no protocol version or security mode, or the other side is no threadmesh.
    Incompatible = 21, "INCOMPATIBLE", Never;
    /// The other side does not know a message or header that it would have to understand.
    Unsupported = 22, "UNSUPPORTED", Never;
    /// Another live node has this id.
    DuplicateId = 23, "DUPLICATE_ID", Never;
    /// The other side refused to admit this node.
    Refused = 24, "REFUSED", Never;
    /// A queue or window is full and stayed full.
    Backpressure = 25, "BACKPRESSURE", Never;
    /// The peer has no room for the call, or is stopping, and did not run it.
    Busy = 26, "BUSY", Never;
    /// The message is larger than the frame limit.
    TooLarge = 27, "TOO_LARGE", Never;
    /// The data could not be encoded.
    Encode = 28, "ENCODE", Never;
    /// The data could not be decoded into the type asked for.
    Decode = 29, "DECODE", Never;
    /// The deadline had passed when the receiver took up the work; it did not run.
    Expired = 30, "EXPIRED", Never;
    /// An authorisation rule denied it.
    Forbidden = 31, "FORBIDDEN", Never;
    /// Plaintext was refused because security is required.
    Insecure = 32, "INSECURE", Never;
    /// A blocking call on a thread that must not block.
    WouldDeadlock = 33, "WOULD_DEADLOCK", Never;
    /// The caller cancelled the call.
    Cancelled = 34, "CANCELLED", Unknown;
    /// The node has stopped.
    Closed = 35, "CLOSED", Never;
    /// A closure given by the caller panicked.
    UserCodePanicked = 36, "USER_CODE_PANICKED", Never;
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The piece of context that says how often a call was tried.
const ATTEMPTS: &str = "attempts";

/// The piece of context that names the routers that were asked in vain.
pub(crate) const ROUTERS: &str = "routers";

/// What a message says of that.
fn tried(attempts: u32) -> String {
    if attempts < 2 { String::new() } else { format!(" (tried {attempts} times)") }
}

/// Why something failed. One pointer wide, cheap to pass, cloneable.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    execution: Execution,
    message: String,
    peer: Option<NodeId>,
    /// Set only for errors that a handler returned.
    code: Option<String>,
    /// One CBOR item, as the handler encoded it.
    data: Option<Arc<[u8]>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    /// What programs may want to know apart from the message: labels for logs and graphs.
    context: Vec<(&'static str, String)>,
}

impl Error {
    /// An error of `kind` with that kind's usual execution.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            execution: kind.usual_execution(),
            message: message.into(),
            peer: None,
            code: None,
            data: None,
            source: None,
            context: Vec::new(),
        }))
    }

    /// The same error, with the execution that its phase decides.
    pub(crate) fn with_execution(mut self, execution: Execution) -> Self {
        self.0.execution = execution;
        self
    }

    /// The same error, naming the peer it is about.
    pub(crate) fn with_peer(mut self, peer: NodeId) -> Self {
        self.0.peer = Some(peer);
        self
    }

    /// The same error, with the code and data a handler gave.
    pub(crate) fn with_handler_code(mut self, code: String, data: Option<Arc<[u8]>>) -> Self {
        self.0.code = Some(code);
        self.0.data = data;
        self
    }

    /// The same error, with what caused it.
    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// The same error, with a piece of its context; of pieces with the same key the last counts.
    pub(crate) fn with_context(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.retain(|(present, _)| *present != key);
        self.0.context.push((key, value.to_string()));
        self
    }

    /// The same error, saying how often its call was tried: in its context, and from the second time on also in words.
    pub(crate) fn with_attempts(mut self, attempts: u32) -> Self {
        let before = tried(self.attempts());
        if let Some(bare) = self.0.message.strip_suffix(&before).map(str::len) {
            self.0.message.truncate(bare);
        }
        self.0.message.push_str(&tried(attempts));
        self.with_context(ATTEMPTS, attempts)
    }

    /// How often the call was tried; once unless a policy says otherwise.
    pub(crate) fn attempts(&self) -> u32 {
        self.context(ATTEMPTS).and_then(|attempts| attempts.parse().ok()).unwrap_or(1)
    }

    /// A piece of what the message says, for programs: labels of logs and graphs.
    ///
    /// | key | in | what |
    /// |---|---|---|
    /// | `event` | `NO_NODES_MATCH_FILTER`, `PREDICATE_NOT_ROUTABLE` | the event of the call |
    /// | `filter` | `NO_NODES_MATCH_FILTER` | the filter, as it is displayed |
    /// | `predicate` | `NO_NODES_MATCH_FILTER` | where in the source the predicate stands |
    /// | `directions` | `NO_NODES_MATCH_FILTER` | `up`, `down`, `both` or `none` |
    /// | `path` | `NOT_FOUND` of a call by path | the path that nobody serves |
    /// | `found` | `NOT_FOUND` of a call by path | `local`: no known node serves it, or the strategy wants none of those that do, and nothing was sent; `remote`: the node that was asked does not, or routers found nobody who does |
    /// | `routers` | `NO_NODES_MATCH_FILTER`, `NODE_NOT_FOUND`, `NOT_FOUND`, `PREDICATE_NOT_ROUTABLE` | the ids of the routers that were asked, joined with `, `; missing if none was |
    /// | `attempts` | what a policy gave up on | how often the call was tried |
    pub fn context(&self, key: &str) -> Option<&str> {
        self.contexts().find(|(present, _)| *present == key).map(|(_, value)| value)
    }

    /// All pieces of context, by key.
    pub fn contexts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.context.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stable code: the handler's own if a handler returned this error, else the kind's.
    pub fn code(&self) -> &str {
        self.0.code.as_deref().unwrap_or(self.0.kind.code())
    }

    /// What happened, in words, without the code.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the handler ran.
    pub fn execution(&self) -> Execution {
        self.0.execution
    }

    /// False only when the handler certainly did not run.
    pub fn may_have_run(&self) -> bool {
        self.0.execution != Execution::Never
    }

    /// The peer this is about, where there is one.
    pub fn peer(&self) -> Option<&NodeId> {
        self.0.peer.as_ref()
    }

    /// Whether a handler returned it, with a code of its own.
    pub(crate) fn has_handler_code(&self) -> bool {
        self.0.code.is_some()
    }

    /// The CBOR item that the handler attached to its error.
    pub(crate) fn data_item(&self) -> Option<&Arc<[u8]>> {
        self.0.data.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("code", &self.code()).field("message", &self.0.message);
        out.field("execution", &self.0.execution);
        if let Some(peer) = &self.0.peer {
            out.field("peer", peer);
        }
        for (key, value) in &self.0.context {
            out.field(key, value);
        }
        if let Some(source) = &self.0.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_pointer_wide_and_crosses_threads() {
        fn crosses<T: Send + Sync + 'static>() {}
        crosses::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn every_kind_has_a_code_and_a_number_of_its_own() {
        for (index, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(usize::from(kind.number()), index + 1);
            assert_eq!(ErrorKind::from_number(kind.number()), Some(*kind));
            let same = ErrorKind::ALL.iter().filter(|other| other.code() == kind.code()).count();
            assert_eq!(same, 1, "{kind}");
        }
        assert_eq!(ErrorKind::from_number(0), None);
    }

    #[test]
    fn attempts_are_told_once_and_nothing_else_is_lost() {
        let _bound = crate::bound::bound();
        let peer = NodeId::new("s").unwrap();
        let error = Error::new(ErrorKind::Handler, "the account is short").with_peer(peer.clone());
        let error = error.with_handler_code("NO_MONEY".into(), Some(Arc::from([7_u8])));
        assert_eq!((error.attempts(), error.context("attempts")), (1, None));
        let once = error.clone().with_attempts(1);
        assert_eq!((once.message(), once.context("attempts")), (error.message(), Some("1")));
        let often = once.with_attempts(3).with_attempts(6);
        assert_eq!(often.message(), "the account is short (tried 6 times)");
        assert_eq!((often.code(), often.attempts()), ("NO_MONEY", 6));
        assert_eq!((often.peer(), often.execution()), (Some(&peer), Execution::Happened));
        assert_eq!(often.data_item(), error.data_item());
    }
}
