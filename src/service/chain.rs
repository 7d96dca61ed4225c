//! The handlers of one message, in the order of their registration. It fences what panics and knows nothing of registries.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::LOG;
use super::handler::RequestHandler;
use super::message::Asked;
use super::outcome::{Decided, Trouble, Verdict};
use super::pattern::is_path;
use super::responder::Duty;
use crate::error::{Error, ErrorKind};
use crate::payload::Payload;

/// How far the chain of a request has come.
struct Chain {
    /// What the next handler sees.
    payload: Payload,
    /// The error that no error handler has taken away.
    trouble: Option<Trouble>,
    /// Whether there was any handler, and whether one has begun to run.
    is_handled: bool,
    has_run: bool,
}

/// Asks handlers one by one until one of them answers or takes the duty over. An error skips to the next error handler. If nobody
/// answers, the answer says why.
pub(super) fn run<'a>(
    handlers: impl Iterator<Item = &'a RequestHandler>,
    asked: Asked,
    payload: Payload,
    duty: Duty,
) {
    let event = asked.envelope.event.clone();
    let mut chain = Chain { payload, trouble: None, is_handled: false, has_run: false };
    for (handler, asked) in dealt(handlers, asked) {
        match chain.ask(handler, asked, event.as_str()) {
            None => {}
            Some(Decided::Ended(Ok(reply))) => {
                duty.settle(Ok(reply));
                return;
            }
            Some(Decided::Later(take)) => {
                // A panic in it drops the duty, and that answers.
                let _ = fenced(event.as_str(), || take(duty));
                return;
            }
            Some(Decided::Next(data)) => chain.goes_on(data),
            Some(Decided::Ended(Err(why))) => chain.fails(why),
        }
    }
    let why = chain.end(event.as_str(), &duty);
    duty.settle(Err(why));
}

impl Chain {
    /// Asks the handler if it is its turn.
    fn ask(&self, handler: &RequestHandler, asked: Asked, event: &str) -> Option<Decided> {
        let verdict = match (handler, &self.trouble) {
            (RequestHandler::Normal(run), None) => fenced(event, || run(asked, &self.payload)),
            (RequestHandler::Error(run), Some(why)) => {
                fenced(event, || run(why, asked, &self.payload))
            }
            _ => return None,
        };
        let panicked = |Panicked| {
            let why = "the handler panicked; the log of its node says why";
            Decided::Ended(Err(Trouble::Fault(Error::new(ErrorKind::Handler, why))))
        };
        Some(verdict.map_or_else(panicked, |Verdict(decided)| decided))
    }

    fn goes_on(&mut self, data: Option<Payload>) {
        (self.is_handled, self.has_run, self.trouble) = (true, true, None);
        if let Some(data) = data {
            self.payload = data;
        }
    }

    fn fails(&mut self, why: Trouble) {
        self.is_handled = true;
        self.has_run |= why.has_run();
        self.trouble = Some(why);
    }

    /// Why nobody has answered.
    fn end(self, event: &str, duty: &Duty) -> Trouble {
        let node = duty.node();
        match self.trouble {
            Some(why) if self.has_run => why.happened(),
            Some(why) => why,
            None if self.is_handled => {
                let why =
                    format!("no handler sent a response to {event}, node {node} has no other");
                Trouble::Fault(Error::new(ErrorKind::NoReply, why))
            }
            None if is_path(event) => {
                let why = format!(
                    "node {node:?} serves nothing at {event:?}; ask for a path as it was registered there, since a prefix, \
                     other letter case or `*` leads nowhere"
                );
                Trouble::Fault(Error::new(ErrorKind::NotFound, why))
            }
            None => {
                let why = format!("node {node} has no handler for {event}");
                Trouble::Fault(Error::new(ErrorKind::NoHandler, why))
            }
        }
    }
}

/// Each item with the value; the last one, which is mostly the only one, gets the value itself.
pub(super) fn dealt<I: Iterator, V: Clone>(
    items: I,
    value: V,
) -> impl Iterator<Item = (I::Item, V)> {
    let (mut items, mut value) = (items.peekable(), Some(value));
    std::iter::from_fn(move || {
        let item = items.next()?;
        let given = if items.peek().is_some() { value.clone() } else { value.take() };
        Some((item, given?))
    })
}

/// User code has panicked, and the log says how.
pub(super) struct Panicked;

/// Runs user code.
pub(super) fn fenced<T>(event: &str, body: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| {
        log_panic(event, panic);
        Panicked
    })
}

/// The panic's text is for our log only: it may tell a peer too much.
fn log_panic(event: &str, panic: Box<dyn Any + Send>) {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    log::error!(target: LOG, "a handler of {event} panicked: {}", text.unwrap_or("(no text)"));
    // What was thrown may panic again when it is dropped, and what that throws too: the second one is leaked.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}

#[cfg(test)]
mod tests;
