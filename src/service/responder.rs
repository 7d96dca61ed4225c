//! The one way in which a request is answered: exactly once, whatever happens to the handler.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::message::Call;
use super::outcome::{Trouble, encoded};
use super::{LOG, Outlet};
use crate::error::{Error, ErrorKind, Execution};
use crate::event::EventName;
use crate::handler_error::HandlerError;
use crate::payload::{Encode, Payload};
use crate::proto::{Answer, ReplyTo};

/// What the envelope of an answer takes besides its texts and data, generously.
const ENVELOPE_BYTES: usize = 64;

/// The right and the duty to answer one request, later and from any thread: got from [`Outcome::later`](crate::Outcome::later).
///
/// [`reply`](Self::reply) and [`fail`](Self::fail) use it up, so there is one answer at most; dropping it answers `NO_REPLY`, and
/// `HANDLER_ERROR` if a panic drops it. So there is one at least. Until then the request counts among those that its caller
/// may have open, and [`stop`](crate::Handle::stop) waits for it, within its bound, unless its caller has given up. What is answered here goes straight to the
/// caller: the chain of handlers has ended.
///
/// It keeps neither a worker nor the node alive, and answering blocks only while the loop has a backlog.
///
/// If a service was told something by a tick, nobody waits: what is answered here goes nowhere, dropping it is fine, and only an error
/// is counted and logged on this node. The tick was done when its handler returned.
#[must_use = "dropping it answers NO_REPLY"]
pub struct Responder<R> {
    duty: Duty,
    answer: PhantomData<fn(R)>,
}

impl<R> Responder<R> {
    pub(super) fn new(duty: Duty) -> Self {
        Self { duty, answer: PhantomData }
    }

    /// When the caller gives up; as [`Request::deadline`](crate::Request::deadline).
    pub fn deadline(&self) -> Instant {
        self.duty.call.deadline
    }

    /// Whether somebody waits for the answer: as [`Request::wants_answer`](crate::Request::wants_answer).
    pub fn wants_answer(&self) -> bool {
        self.duty.call.wants_answer()
    }

    /// Whether the caller has given up already, or its link is gone: nobody waits for the answer any more.
    pub fn is_cancelled(&self) -> bool {
        self.duty.call.is_cancelled()
    }

    /// Says no. False as in [`reply`](Self::reply).
    pub fn fail(self, error: impl Into<HandlerError>) -> bool {
        self.duty.settle(Err(Trouble::Failure(error.into())))
    }
}

impl<R: Encode> Responder<R> {
    /// Answers the request. An answer that cannot be encoded, or is too large, becomes the error `ENCODE` or `TOO_LARGE`.
    ///
    /// False when nobody gets it: the caller has given up or never [waited](Self::wants_answer), its link is gone, or this node has
    /// stopped. True says only that the answer is on its way.
    pub fn reply(self, answer: R) -> bool {
        self.duty.settle(encoded(Ok(answer)))
    }
}

impl<R> fmt::Debug for Responder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Responder");
        out.field("deadline", &self.deadline()).field("is_cancelled", &self.is_cancelled());
        out.finish_non_exhaustive()
    }
}

/// Where the answers of a node are handed in, and where it is noted what has failed that nobody waits for.
pub(super) struct Desk {
    pub(super) node: String,
    /// The largest message.
    pub(super) message_bytes: usize,
    pub(super) outlet: Arc<dyn Outlet>,
    /// How often handlers of ticks failed or panicked, and ticks did not fit one.
    pub(super) failed_ticks: AtomicU64,
}

impl Desk {
    fn answer(&self, ended: Result<Payload, Trouble>) -> Answer {
        let (bytes, answer) = match ended {
            Ok(payload) => (payload.len(), Answer::Reply(payload)),
            Err(Trouble::Fault(error)) => return Answer::Fault(error),
            Err(Trouble::Failure(error)) => {
                let (code, message, data) = error.into_parts();
                let bytes = code.len() + message.len() + data.as_ref().map_or(0, Payload::len);
                (bytes, Answer::Failure { code, message, data })
            }
        };
        let most = self.message_bytes.saturating_sub(ENVELOPE_BYTES);
        if bytes <= most {
            return answer;
        }
        let node = &self.node;
        let why = format!("the answer of node {node} has {bytes} bytes, its limit is {most}");
        let error = Error::new(ErrorKind::TooLarge, why);
        Answer::Fault(error.with_execution(Execution::Happened))
    }

    /// `said` is what the handler said, if it said anything and did not panic.
    pub(super) fn failed_tick(&self, event: &str, said: Option<&HandlerError>) {
        let before = self.failed_ticks.fetch_add(1, Ordering::Relaxed);
        let Some(error) = said else { return };
        // A peer that sends nothing else must not fill the log: the gaps between two warnings double.
        let level = if before.is_power_of_two() || before == 0 {
            log::Level::Warn
        } else {
            log::Level::Debug
        };
        log::log!(target: LOG, level, "node {}: a handler of the tick {event:?} failed: {:?}", self.node, error.to_string());
    }

    /// What handlers of a service have made of a tick. Nobody waits, so it is fine if none of them answered.
    fn ended_tick(&self, event: &str, ended: &Result<Payload, Trouble>) {
        match ended {
            Ok(_) => {}
            Err(Trouble::Fault(error)) if error.kind() == ErrorKind::NoReply => {}
            // The log has the text of the panic already.
            Err(Trouble::Fault(error)) if error.kind() == ErrorKind::Handler => {
                self.failed_tick(event, None);
            }
            Err(trouble) => self.failed_tick(event, Some(&trouble.to_handler_error())),
        }
    }
}

/// The duty to answer one request. Dropping it answers `NO_REPLY`.
pub(super) struct Duty {
    /// Empty once the answer was given.
    reply_to: Option<To>,
    pub(super) call: Call,
    desk: Arc<Desk>,
}

/// Whom an answer is for.
enum To {
    Caller(ReplyTo),
    /// For nobody: a tick of that name.
    Nobody(EventName),
}

impl Duty {
    pub(super) fn new(reply_to: ReplyTo, call: Call, desk: Arc<Desk>) -> Self {
        Self { reply_to: Some(To::Caller(reply_to)), call, desk }
    }

    /// The same for a tick: what is answered goes nowhere.
    pub(super) fn of_tick(event: EventName, call: Call, desk: Arc<Desk>) -> Self {
        Self { reply_to: Some(To::Nobody(event)), call, desk }
    }

    /// The node that answers.
    pub(super) fn node(&self) -> &str {
        &self.desk.node
    }

    /// Answers. False when nobody waits, or not any more.
    pub(super) fn settle(mut self, ended: Result<Payload, Trouble>) -> bool {
        self.give(ended)
    }

    pub(super) fn fault(mut self, error: Error) {
        self.give(Err(Trouble::Fault(error)));
    }

    fn give(&mut self, ended: Result<Payload, Trouble>) -> bool {
        match self.reply_to.take() {
            Some(To::Caller(reply_to)) => {
                let is_wanted = !self.call.is_cancelled();
                self.desk.outlet.answer(reply_to, self.desk.answer(ended)) && is_wanted
            }
            Some(To::Nobody(event)) => {
                self.desk.ended_tick(event.as_str(), &ended);
                false
            }
            None => false,
        }
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        if self.reply_to.is_none() {
            return;
        }
        let error = if std::thread::panicking() {
            Error::new(ErrorKind::Handler, "what was to answer the request panicked")
        } else {
            Error::new(ErrorKind::NoReply, "the responder was dropped without an answer")
        };
        self.give(Err(Trouble::Fault(error)));
    }
}
