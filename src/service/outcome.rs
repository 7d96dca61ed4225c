//! What handlers may return, and what that comes to once it is encoded.

use std::fmt;

use super::responder::{Duty, Responder};
use crate::error::{Error, Execution};
use crate::handler_error::HandlerError;
use crate::payload::{Encode, Payload};

/// What a handler of requests decides, where a plain `Ok(answer)` is not enough.
///
/// # Example
/// ```
/// use threadmesh::{HandlerError, Node, Outcome, Request};
///
/// let node = Node::builder().id("shop").bind("127.0.0.1:0").start()?;
/// // A handler that never answers by itself: `Outcome` alone is an `Outcome<()>`.
/// node.on_request("*", |request: Request<u64>| -> Result<Outcome, HandlerError> {
///     match request.data {
///         0 => Err(HandlerError::new("NOTHING", "there is no item 0")),
///         item => Outcome::next_with(&(item + 1_000)),
///     }
/// })?;
/// node.on_request("price", |request: Request<u64>| Ok(request.data * 2))?;
/// # let client = Node::builder().start()?;
/// # client.connect(node.local_addr()?)?;
/// assert_eq!(client.request::<u64, _>("shop", "price", &7)?, 2_014);
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[non_exhaustive]
pub enum Outcome<R = ()> {
    /// Answers the request. The handlers behind this one don't see it.
    Reply(R),
    /// Passes the request on to the next handler as it is.
    Next,
    /// Passes it on with other data, which all handlers behind this one see: made by [`Outcome::next_with`].
    NextWith(Payload),
    /// Answers later, from any thread: made by [`Outcome::later`].
    Later(Later<R>),
}

/// What takes the [`Responder`] over; see [`Outcome::later`].
pub struct Later<R>(Box<dyn FnOnce(Responder<R>) + Send>);

impl<R> Outcome<R> {
    /// Passes the request on with other data, encoded now.
    ///
    /// # Errors
    /// `ENCODE`, as the handler's error.
    pub fn next_with(data: &(impl Encode + ?Sized)) -> Result<Self, HandlerError> {
        Ok(Self::NextWith(data.encode()?))
    }

    /// Answers later: `take` gets the [`Responder`], at once and on this same thread, and may keep it or send it to any other.
    /// The worker is free as soon as `take` returns.
    ///
    /// # Example
    /// ```
    /// use std::sync::mpsc::channel;
    /// use threadmesh::{Node, Outcome, Request, Responder};
    ///
    /// let (queue, jobs) = channel::<(u64, Responder<u64>)>();
    /// std::thread::spawn(move || {
    ///     for (number, responder) in jobs {
    ///         responder.reply(number * 2);
    ///     }
    /// });
    /// let node = Node::builder().id("math").bind("127.0.0.1:0").start()?;
    /// node.on_request("double", move |request: Request<u64>| {
    ///     let queue = queue.clone();
    ///     // If nobody takes the job, the responder is dropped with it and the caller gets `NO_REPLY`.
    ///     Outcome::later(move |responder| drop(queue.send((request.data, responder))))
    /// })?;
    /// # let client = Node::builder().start()?;
    /// # client.connect(node.local_addr()?)?;
    /// assert_eq!(client.request::<u64, _>("math", "double", &21)?, 42);
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn later(take: impl FnOnce(Responder<R>) + Send + 'static) -> Self {
        Self::Later(Later(Box::new(take)))
    }
}

impl<R: fmt::Debug> fmt::Debug for Outcome<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(reply) => f.debug_tuple("Reply").field(reply).finish(),
            Self::Next => f.write_str("Next"),
            Self::NextWith(data) => f.debug_tuple("NextWith").field(data).finish(),
            Self::Later(later) => later.fmt(f),
        }
    }
}

impl<R> fmt::Debug for Later<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Later")
    }
}

/// What a handler of requests may return: an [`Outcome`], or a `Result` of one or of plain data to send, whose error is a
/// [`HandlerError`].
pub trait Respond: sealed::Sealed {
    /// What the caller gets.
    type Answer;

    /// Encodes the answer, on the worker's thread.
    #[doc(hidden)]
    fn verdict(self) -> Verdict;
}

/// What a handler of ticks may return: nothing, or a `Result` whose error is a [`HandlerError`]: it is counted and logged on this
/// node, since nobody waits for it.
pub trait Finish: sealed::Sealed {
    #[doc(hidden)]
    fn finish(self) -> Result<(), HandlerError>;
}

mod sealed {
    /// Only this crate says what an answer is, so that there may be more kinds later.
    pub trait Sealed {}
}

/// What a handler decided, encoded.
#[derive(Debug)]
pub struct Verdict(pub(super) Decided);

pub(super) enum Decided {
    /// The next handler is asked, with other data if there is any.
    Next(Option<Payload>),
    /// Somebody takes the duty to answer over.
    Later(Box<dyn FnOnce(Duty) + Send>),
    Ended(Result<Payload, Trouble>),
}

impl Decided {
    /// The end: a reply, or what was wrong with it.
    fn by<R: Encode>(answer: Result<R, HandlerError>) -> Self {
        Self::Ended(encoded(answer))
    }
}

impl fmt::Debug for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Next(data) => f.debug_tuple("Next").field(data).finish(),
            Self::Later(_) => f.write_str("Later"),
            Self::Ended(ended) => ended.fmt(f),
        }
    }
}

/// The answer as it travels, or what was wrong with it.
pub(super) fn encoded<R: Encode>(answer: Result<R, HandlerError>) -> Result<Payload, Trouble> {
    match answer {
        Ok(reply) => reply.encode().map_err(|error| Trouble::Fault(error).happened()),
        Err(error) => Err(Trouble::Failure(error)),
    }
}

/// Why a request is not answered: what error handlers are asked about.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// A handler said no.
    Failure(HandlerError),
    /// What we say: data that could not be decoded or encoded, a panic, nobody who answers.
    Fault(Error),
}

impl Trouble {
    /// As an error handler sees it.
    pub(super) fn to_handler_error(&self) -> HandlerError {
        match self {
            Self::Failure(error) => error.clone(),
            Self::Fault(error) => HandlerError::from(error.clone()),
        }
    }

    /// Whether a handler had begun to run.
    pub(super) fn has_run(&self) -> bool {
        match self {
            Self::Failure(_) => true,
            Self::Fault(error) => error.may_have_run(),
        }
    }

    /// The same, after some handler had run.
    pub(super) fn happened(self) -> Self {
        match self {
            Self::Fault(error) => Self::Fault(error.with_execution(Execution::Happened)),
            failure @ Self::Failure(_) => failure,
        }
    }
}

impl<R: Encode> sealed::Sealed for Result<R, HandlerError> {}

impl<R: Encode> Respond for Result<R, HandlerError> {
    type Answer = R;

    fn verdict(self) -> Verdict {
        Verdict(Decided::by(self))
    }
}

impl<R: Encode + 'static> sealed::Sealed for Outcome<R> {}

impl<R: Encode + 'static> Respond for Outcome<R> {
    type Answer = R;

    fn verdict(self) -> Verdict {
        Verdict(match self {
            Self::Reply(reply) => Decided::by(Ok(reply)),
            Self::Next => Decided::Next(None),
            Self::NextWith(data) => Decided::Next(Some(data)),
            Self::Later(Later(take)) => Decided::Later(Box::new(|duty| take(Responder::new(duty)))),
        })
    }
}

impl<R: Encode + 'static> sealed::Sealed for Result<Outcome<R>, HandlerError> {}

impl<R: Encode + 'static> Respond for Result<Outcome<R>, HandlerError> {
    type Answer = R;

    fn verdict(self) -> Verdict {
        self.map_or_else(|error| Err::<R, _>(error).verdict(), Outcome::verdict)
    }
}

impl sealed::Sealed for () {}

impl Finish for () {
    fn finish(self) -> Result<(), HandlerError> {
        Ok(())
    }
}

// `Result<(), HandlerError>` is sealed already, as an answer without data.
impl Finish for Result<(), HandlerError> {
    fn finish(self) -> Self {
        self
    }
}
