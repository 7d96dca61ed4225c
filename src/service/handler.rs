//! Handlers: typed closures of the program as one form that takes encoded data. What a handler may return is decided here.

use super::message::{Call, Envelope, Request, Tick};
use crate::error::Error;
use crate::handler_error::HandlerError;
use crate::payload::{Decode, Encode, Payload};

/// A handler of requests, without its types.
pub(super) type RequestHandler = dyn Fn(Envelope, Call, &Payload) -> Verdict + Send + Sync;
/// A handler of ticks, without its type. It fails only when the data cannot be decoded.
pub(super) type TickHandler = dyn Fn(Envelope, &Payload) -> Result<(), Error> + Send + Sync;

/// What a handler of requests may return: `Ok` with data to send, or `Err` with a [`HandlerError`].
pub trait Respond: sealed::Sealed {
    /// What the caller gets.
    type Answer;

    /// Encodes the answer, on the worker's thread.
    #[doc(hidden)]
    fn verdict(self) -> Verdict;
}

/// What a handler decided, encoded.
#[derive(Debug)]
pub struct Verdict(pub(super) Decided);

#[derive(Debug)]
pub(super) enum Decided {
    Reply(Payload),
    Failure(HandlerError),
    /// The reply could not be encoded.
    Unencodable(Error),
    /// The data of the request could not be decoded; the handler did not run.
    Undecodable(Error),
}

mod sealed {
    /// Only this crate says what an answer is, so that there may be more kinds later.
    pub trait Sealed {}
}

impl<R: Encode> sealed::Sealed for Result<R, HandlerError> {}

impl<R: Encode> Respond for Result<R, HandlerError> {
    type Answer = R;

    fn verdict(self) -> Verdict {
        Verdict(match self {
            Ok(reply) => reply.encode().map_or_else(Decided::Unencodable, Decided::Reply),
            Err(error) => Decided::Failure(error),
        })
    }
}

pub(super) fn of_requests<T, A, F>(handler: F) -> Box<RequestHandler>
where
    T: Decode,
    A: Respond,
    F: Fn(Request<T>) -> A + Send + Sync + 'static,
{
    Box::new(move |envelope, call, payload| match T::decode(payload) {
        Ok(data) => handler(Request::new(data, call, envelope)).verdict(),
        Err(error) => Verdict(Decided::Undecodable(error)),
    })
}

pub(super) fn of_ticks<T, F>(handler: F) -> Box<TickHandler>
where
    T: Decode,
    F: Fn(Tick<T>) + Send + Sync + 'static,
{
    Box::new(move |envelope, payload| {
        handler(Tick::new(T::decode(payload)?, envelope));
        Ok(())
    })
}
