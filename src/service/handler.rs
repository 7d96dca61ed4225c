//! Handlers: typed closures of the program as one form that takes encoded data.

use super::message::{Asked, Envelope, Request, Tick};
use super::outcome::{Decided, Finish, Respond, Trouble, Verdict};
use crate::error::Execution;
use crate::handler_error::HandlerError;
use crate::payload::{Decode, Payload};

/// A handler in the chain of a request, without its types.
pub(super) enum RequestHandler {
    /// Is asked while nothing has failed.
    Normal(Box<Normal>),
    /// Is asked about the error of a handler before it.
    Error(Box<OfErrors>),
}

type Normal = dyn Fn(Asked, &Payload) -> Verdict + Send + Sync;
type OfErrors = dyn Fn(&Trouble, Asked, &Payload) -> Verdict + Send + Sync;

/// A handler of ticks, without its type.
pub(super) type TickHandler =
    Box<dyn Fn(Envelope, &Payload) -> Result<(), HandlerError> + Send + Sync>;

impl RequestHandler {
    pub(super) fn is_normal(&self) -> bool {
        matches!(self, Self::Normal(_))
    }
}

pub(super) fn of_requests<T, A, F>(handler: F) -> RequestHandler
where
    T: Decode,
    A: Respond,
    F: Fn(Request<T>) -> A + Send + Sync + 'static,
{
    RequestHandler::Normal(Box::new(move |asked, payload| match T::decode(payload) {
        Ok(data) => handler(Request::new(data, asked)).verdict(),
        Err(error) => trouble(Trouble::Fault(error.with_execution(Execution::Never))),
    }))
}

/// One whose type does not fit the data is passed over: it is asked about an error, and could only add another.
pub(super) fn of_errors<T, A, F>(handler: F) -> RequestHandler
where
    T: Decode,
    A: Respond,
    F: Fn(HandlerError, Request<T>) -> A + Send + Sync + 'static,
{
    RequestHandler::Error(Box::new(move |why, asked, payload| match T::decode(payload) {
        Ok(data) => handler(why.to_handler_error(), Request::new(data, asked)).verdict(),
        Err(_) => trouble(why.clone()),
    }))
}

fn trouble(why: Trouble) -> Verdict {
    Verdict(Decided::Ended(Err(why)))
}

pub(super) fn of_ticks<T, A, F>(handler: F) -> TickHandler
where
    T: Decode,
    A: Finish,
    F: Fn(Tick<T>) -> A + Send + Sync + 'static,
{
    Box::new(move |envelope, payload| handler(Tick::new(T::decode(payload)?, envelope)).finish())
}
