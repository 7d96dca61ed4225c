//! One message, its handlers, its answer. It runs on workers, fences what panics, and knows nothing of how workers are chosen.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::context::{self, Context};
use super::handler::{Decided, RequestHandler, TickHandler, Verdict};
use super::message::{Call, Envelope};
use super::registration::Which;
use super::registry::{List, Registry};
use super::responder::Responder;
use super::{LOG, Outlet};
use crate::error::{Error, ErrorKind, Execution};
use crate::id::LinkId;
use crate::payload::Payload;
use crate::proto::{Answer, Delivery, Work};

/// A worker leaves a lane to others after this long, so that one busy sender does not keep it.
const LANE_TIME: Duration = Duration::from_millis(1);
/// What the envelope of an answer takes besides its texts and data, generously.
const ENVELOPE_BYTES: usize = 64;

/// The handlers of a node and the way back to its peers.
pub(super) struct Dispatch {
    node: String,
    /// The largest answer.
    message_bytes: usize,
    pub(super) requests: Registry<RequestHandler>,
    pub(super) ticks: Registry<TickHandler>,
    outlet: Arc<dyn Outlet>,
    /// The services that were announced last. Locked while they are read and announced, so that the newest list comes last.
    announced: Mutex<Vec<String>>,
    unhandled: AtomicU64,
    failed: AtomicU64,
}

impl Dispatch {
    pub(super) fn new(node: &str, message_bytes: usize, outlet: Arc<dyn Outlet>) -> Self {
        Self {
            node: node.to_owned(),
            message_bytes,
            requests: Registry::new(),
            ticks: Registry::new(),
            outlet,
            announced: Mutex::default(),
            unhandled: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    pub(super) fn node(&self) -> &str {
        &self.node
    }

    pub(super) fn outlet(&self) -> &Arc<dyn Outlet> {
        &self.outlet
    }

    /// Ticks that no handler was for.
    pub(super) fn unhandled(&self) -> u64 {
        self.unhandled.load(Ordering::Relaxed)
    }

    /// Ticks whose handler panicked or could not decode them.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(super) fn remove(&self, which: Which, number: u64) -> bool {
        match which {
            Which::Requests => {
                let removed = self.requests.remove(number);
                self.announce();
                removed
            }
            Which::Ticks => self.ticks.remove(number),
        }
    }

    /// Tells the node which services there are now, if they have changed.
    pub(super) fn announce(&self) {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.requests.snapshot().names();
        if *announced != names {
            announced.clone_from(&names);
            self.outlet.services(names);
        }
    }

    /// Runs one request and answers it.
    pub(super) fn request(&self, delivery: Delivery) {
        let Delivery { sender, origin, message, work, .. } = delivery;
        let Work::Request { owed, deadline, depth, cancelled } = work else { return };
        let responder = Responder::new(owed, self.outlet.clone());
        if cancelled.load(Ordering::Relaxed) {
            let why =
                Error::new(ErrorKind::Cancelled, "the caller gave up before a worker was free");
            return responder.fault(why.with_execution(Execution::Never));
        }
        if deadline <= Instant::now() {
            let why = format!("the deadline passed before node {} took the request up", self.node);
            return responder.fault(Error::new(ErrorKind::Expired, why));
        }
        let (envelope, payload) = Envelope::open(message, sender, origin);
        let handlers = self.requests.snapshot();
        let event = envelope.event.clone();
        let Some(entry) = handlers.matching(event.as_str()).next() else {
            let why = format!("node {} has no handler for {event}", self.node);
            return responder.fault(Error::new(ErrorKind::NoHandler, why));
        };
        let entered = context::enter(Context { deadline: Some(deadline), depth });
        let call = Call { deadline, cancelled };
        let ran = catch_unwind(AssertUnwindSafe(|| (entry.handler)(envelope, call, &payload)));
        drop(entered);
        responder.answer(match ran {
            Ok(Verdict(decided)) => self.answer(decided),
            Err(panic) => {
                log_panic(event.as_str(), panic);
                Answer::Fault(Error::new(
                    ErrorKind::Handler,
                    "the handler panicked; the log of its node says why",
                ))
            }
        });
    }

    fn answer(&self, decided: Decided) -> Answer {
        let happened = |error: Error| Answer::Fault(error.with_execution(Execution::Happened));
        match decided {
            Decided::Undecodable(error) => Answer::Fault(error.with_execution(Execution::Never)),
            Decided::Unencodable(error) => happened(error),
            Decided::Reply(payload) => match self.check_size(payload.len()) {
                Ok(()) => Answer::Reply(payload),
                Err(error) => happened(error),
            },
            Decided::Failure(error) => {
                let (code, message, data) = error.into_parts();
                let bytes = code.len() + message.len() + data.as_ref().map_or(0, Payload::len);
                match self.check_size(bytes) {
                    Ok(()) => Answer::Failure { code, message, data },
                    Err(error) => happened(error),
                }
            }
        }
    }

    fn check_size(&self, bytes: usize) -> Result<(), Error> {
        let most = self.message_bytes.saturating_sub(ENVELOPE_BYTES);
        if bytes <= most {
            return Ok(());
        }
        let node = &self.node;
        let why = format!("the answer of node {node} has {bytes} bytes, its limit is {most}");
        Err(Error::new(ErrorKind::TooLarge, why))
    }

    /// Runs ticks of one lane, in order, until none is left or others must have their turn; what is left stays in `batch`.
    /// What was finished is reported once.
    pub(super) fn ticks(&self, link: LinkId, batch: &mut VecDeque<Delivery>) {
        let handlers = self.ticks.snapshot();
        let mut report = Report { link, ticks: 0, cost: 0, outlet: &self.outlet };
        let begun = Instant::now();
        while let Some(tick) = batch.pop_front() {
            if let Work::Tick { cost } = tick.work {
                report.ticks += 1;
                report.cost += cost;
            }
            self.tick(&handlers, tick);
            if begun.elapsed() >= LANE_TIME {
                break;
            }
        }
    }

    fn tick(&self, handlers: &List<TickHandler>, tick: Delivery) {
        let (envelope, payload) = Envelope::open(tick.message, tick.sender, tick.origin);
        let event = envelope.event.clone();
        let mut matching = handlers.matching(event.as_str()).peekable();
        if matching.peek().is_none() {
            self.unhandled.fetch_add(1, Ordering::Relaxed);
            log::trace!(target: LOG, "node {}: no handler for the tick {event}", self.node);
        }
        let _entered = context::enter(Context { deadline: None, depth: 0 });
        let mut envelope = Some(envelope);
        while let Some(entry) = matching.next() {
            // The last handler, which is mostly the only one, gets the envelope itself.
            let given = if matching.peek().is_some() { envelope.clone() } else { envelope.take() };
            let Some(given) = given else { return };
            match catch_unwind(AssertUnwindSafe(|| (entry.handler)(given, &payload))) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.failed_tick(event.as_str(), Some(&error)),
                Err(panic) => {
                    log_panic(event.as_str(), panic);
                    self.failed_tick(event.as_str(), None);
                }
            }
        }
    }

    fn failed_tick(&self, event: &str, undecodable: Option<&Error>) {
        let before = self.failed.fetch_add(1, Ordering::Relaxed);
        let Some(error) = undecodable else { return };
        // A peer that sends nothing else must not fill the log: the gaps between two warnings double.
        let level = if before.is_power_of_two() || before == 0 {
            log::Level::Warn
        } else {
            log::Level::Debug
        };
        log::log!(target: LOG, level, "node {}: a tick {event:?} is dropped: {:?}", self.node, error.message());
    }
}

/// Ticks that are finished, reported when the batch ends however it ends.
struct Report<'a> {
    link: LinkId,
    ticks: u64,
    cost: u64,
    outlet: &'a Arc<dyn Outlet>,
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if self.ticks > 0 {
            self.outlet.consumed(self.link, self.ticks, self.cost);
        }
    }
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
