//! One message and its handlers: what is known before any of them runs, and the end of ticks. It runs on workers and knows nothing
//! of how they are chosen.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::chain::{self, Panicked, dealt, fenced};
use super::context::{self, Context};
use super::handler::{RequestHandler, TickHandler};
use super::message::{Asked, Call, Envelope};
use super::registration::Which;
use super::registry::{List, Registry};
use super::responder::{Desk, Duty};
use super::{LOG, Outlet};
use crate::error::{Error, ErrorKind, Execution};
use crate::handler_error::HandlerError;
use crate::id::LinkId;
use crate::proto::{Delivery, Work};

/// A worker leaves a lane to others after this long, so that one busy sender does not keep it.
const LANE_TIME: Duration = Duration::from_millis(1);
/// The handlers of a node and the way back to its peers.
pub(super) struct Dispatch {
    /// Where requests are answered.
    desk: Arc<Desk>,
    pub(super) requests: Registry<RequestHandler>,
    pub(super) ticks: Registry<TickHandler>,
    /// The services that were announced last. Locked while they are read and announced, so that the newest list comes last.
    announced: Mutex<Vec<String>>,
    unhandled: AtomicU64,
    failed: AtomicU64,
}

impl Dispatch {
    pub(super) fn new(node: &str, message_bytes: usize, outlet: Arc<dyn Outlet>) -> Self {
        Self {
            desk: Arc::new(Desk { node: node.to_owned(), message_bytes, outlet }),
            requests: Registry::announced(),
            ticks: Registry::new(),
            announced: Mutex::default(),
            unhandled: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    pub(super) fn node(&self) -> &str {
        &self.desk.node
    }

    pub(super) fn outlet(&self) -> &Arc<dyn Outlet> {
        &self.desk.outlet
    }

    /// Ticks that no handler was for.
    pub(super) fn unhandled(&self) -> u64 {
        self.unhandled.load(Ordering::Relaxed)
    }

    /// Runs of tick handlers that failed or panicked, and ticks that did not fit one.
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

    /// The exact names of requests that are handled here, in the order of registration.
    pub(super) fn services(&self) -> Vec<String> {
        self.requests.snapshot().names(RequestHandler::is_normal)
    }

    /// Tells the node which services there are now, if they have changed.
    pub(super) fn announce(&self) {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.services();
        if *announced != names {
            announced.clone_from(&names);
            self.outlet().services(names);
        }
    }

    /// Runs one request and answers it.
    pub(super) fn request(&self, delivery: Delivery) {
        let Delivery { sender, origin, message, work, .. } = delivery;
        let Work::Request { owed, deadline, depth, cancelled } = work else { return };
        let call = Call { deadline, cancelled };
        let duty = Duty::new(owed, call.clone(), self.desk.clone());
        if call.is_cancelled() {
            let why =
                Error::new(ErrorKind::Cancelled, "the caller gave up before a worker was free");
            return duty.fault(why.with_execution(Execution::Never));
        }
        if deadline <= Instant::now() {
            let node = self.node();
            let why = format!("the deadline passed before node {node} took the request up");
            return duty.fault(Error::new(ErrorKind::Expired, why));
        }
        let (envelope, payload) = Envelope::open(message, sender, origin);
        let (handlers, event) = (self.requests.snapshot(), envelope.event.clone());
        let matching = handlers.matching(event.as_str()).map(|entry| &entry.handler);
        let _entered = context::enter(Context { deadline: Some(deadline), depth });
        chain::run(matching, Asked { envelope, call }, payload, duty);
    }

    /// Runs ticks of one lane, in order, until none is left or others must have their turn; what is left stays in `batch`.
    /// What was finished is reported once.
    pub(super) fn ticks(&self, link: LinkId, batch: &mut VecDeque<Delivery>) {
        let handlers = self.ticks.snapshot();
        let mut report = Report { link, ticks: 0, cost: 0, outlet: self.outlet() };
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
            log::trace!(target: LOG, "node {}: no handler for the tick {event}", self.node());
        }
        let _entered = context::enter(Context { deadline: None, depth: 0 });
        for (entry, envelope) in dealt(matching, envelope) {
            match fenced(event.as_str(), || (entry.handler)(envelope, &payload)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.failed_tick(event.as_str(), Some(&error)),
                Err(Panicked) => self.failed_tick(event.as_str(), None),
            }
        }
    }

    /// `said` is what the handler said, if it said anything and did not panic.
    fn failed_tick(&self, event: &str, said: Option<&HandlerError>) {
        let before = self.failed.fetch_add(1, Ordering::Relaxed);
        let Some(error) = said else { return };
        // A peer that sends nothing else must not fill the log: the gaps between two warnings double.
        let level = if before.is_power_of_two() || before == 0 {
            log::Level::Warn
        } else {
            log::Level::Debug
        };
        log::log!(target: LOG, level, "node {}: a handler of the tick {event:?} failed: {:?}", self.node(), error.to_string());
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
