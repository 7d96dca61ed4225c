//! A message as a send strategy sees it, before anybody is chosen.

use std::fmt;
use std::time::Duration;

use crate::error::Error;
use crate::headers::Headers;
use crate::payload::{Decode, Payload};
use crate::routing::path::PathPattern;

/// What a call by path is about to send.
///
/// # Example
/// By what is in the data: even numbers to one node, odd ones to another.
/// ```
/// use threadmesh::{Targets, send_strategy_fn};
///
/// let halves = send_strategy_fn(|message, nodes| {
///     let Ok(number) = message.data::<u64>() else { return Targets::nobody() };
///     let node = nodes.get(if number % 2 == 0 { "even" } else { "odd" });
///     node.map(|node| node.target(message.pattern())).into()
/// });
/// # drop(halves);
/// ```
pub struct Outgoing<'a> {
    /// As the program wrote it.
    pub(crate) path: &'a str,
    pub(crate) pattern: &'a PathPattern,
    pub(crate) payload: &'a Payload,
    pub(crate) headers: &'a Headers,
    pub(crate) timeout: Option<Duration>,
    pub(crate) wants_answer: bool,
}

impl<'a> Outgoing<'a> {
    /// The path as the caller wrote it, perhaps carelessly.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The path that is asked for, formatted: what [`PathTable::matches`](crate::PathTable::matches) takes.
    pub fn pattern(&self) -> &'a PathPattern {
        self.pattern
    }

    /// The data, decoded each time it is asked for.
    ///
    /// # Errors
    /// `DECODE` when it does not fit the type.
    pub fn data<T: Decode>(&self) -> Result<T, Error> {
        T::decode(self.payload)
    }

    /// The headers of the call.
    pub fn headers(&self) -> &'a Headers {
        self.headers
    }

    /// How long the whole call may take, with all of its targets; `None` for one that waits for nothing.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Whether anybody waits for an answer.
    pub fn wants_answer(&self) -> bool {
        self.wants_answer
    }
}

/// Without the data, which is nobody's business.
impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Outgoing");
        out.field("path", &self.path).field("pattern", &self.pattern);
        out.field("payload", &self.payload).field("timeout", &self.timeout);
        out.field("wants_answer", &self.wants_answer).finish_non_exhaustive()
    }
}
