//! One message and its handlers: what is known before any of them runs, and the end of ticks. It runs on workers and knows nothing
//! of how they are chosen.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::chain::{self, Panicked, dealt, fenced};
use super::context::{self, Context};
use super::handler::{RequestHandler, TickHandler};
use super::message::{Asked, Call, Envelope};
use super::pattern::is_path;
use super::registration::Which;
use super::registry::{List, Registry};
use super::responder::{Desk, Duty};
use super::{LOG, Outlet};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Execution};
use crate::event::EventName;
use crate::id::LinkId;
use crate::payload::Payload;
use crate::proto::{Delivery, Work};
use crate::routing::Services;

/// A worker leaves a lane to others after this long, so that one busy sender does not keep it.
const LANE_TIME: Duration = Duration::from_millis(1);

/// The handlers of a node and the way back to its peers.
pub(super) struct Dispatch {
    /// Where requests are answered.
    desk: Arc<Desk>,
    pub(super) requests: Registry<RequestHandler>,
    pub(super) ticks: Registry<TickHandler>,
    /// What was announced last. Locked for as long as it takes to copy a pointer.
    services: RwLock<Services>,
    /// Held while services are read and announced, which may wait for room in the mailbox, so that the newest list comes last.
    announcing: Mutex<()>,
    /// What handlers of a service see as the deadline of a tick: so much later than now.
    request_timeout: Duration,
    unhandled: AtomicU64,
}

impl Dispatch {
    pub(super) fn new(node: &str, config: &Config, outlet: Arc<dyn Outlet>) -> Self {
        let message_bytes = config.limits.message_bytes;
        let failed_ticks = AtomicU64::new(0);
        Self {
            desk: Arc::new(Desk { node: node.to_owned(), message_bytes, outlet, failed_ticks }),
            requests: Registry::announced(),
            ticks: Registry::new(),
            services: RwLock::default(),
            announcing: Mutex::default(),
            request_timeout: config.request_timeout,
            unhandled: AtomicU64::new(0),
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

    /// How often handlers of ticks failed or panicked, and ticks did not fit one.
    pub(super) fn failed(&self) -> u64 {
        self.desk.failed_ticks.load(Ordering::Relaxed)
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
    pub(super) fn services(&self) -> Services {
        self.services.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes which services there are now, and tells the node, if they have changed.
    pub(super) fn announce(&self) {
        let _in_turn = self.announcing.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.requests.snapshot().names(RequestHandler::is_normal);
        if *self.services() == *names {
            return;
        }
        let services = Services::new(names.clone());
        *self.services.write().unwrap_or_else(PoisonError::into_inner) = services;
        self.outlet().services(names);
    }

    /// Runs one request and answers it.
    pub(super) fn request(&self, delivery: Delivery) {
        let Delivery { sender, origin, message, work, .. } = delivery;
        let Work::Request { reply_to, deadline, depth, cancelled } = work else { return };
        let call = Call { deadline, cancelled: Some(cancelled) };
        let duty = Duty::new(reply_to, call.clone(), self.desk.clone());
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
        let mut matching = handlers.matching(event.as_str()).map(|entry| &entry.handler).peekable();
        let is_heard = matching.peek().is_some();
        let _entered = context::enter(Context { deadline: None, depth: 0 });
        if !is_path(event.as_str()) {
            self.hear(matching, envelope, &payload);
            if !is_heard {
                self.unheard(&event);
            }
            return;
        }
        self.hear(matching, envelope.clone(), &payload);
        if !self.serve(envelope, payload) && !is_heard {
            self.unheard(&event);
        }
    }

    /// Runs handlers of ticks, whatever becomes of those before.
    fn hear<'a>(
        &self,
        handlers: impl Iterator<Item = &'a TickHandler>,
        envelope: Envelope,
        payload: &Payload,
    ) {
        let event = envelope.event.clone();
        for (handler, envelope) in dealt(handlers, envelope) {
            match fenced(event.as_str(), || handler(envelope, payload)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.desk.failed_tick(event.as_str(), Some(&error)),
                Err(Panicked) => self.desk.failed_tick(event.as_str(), None),
            }
        }
    }

    /// Hands a tick to the service at its path, as if it were a request that nobody waits for; false if there is none.
    fn serve(&self, envelope: Envelope, payload: Payload) -> bool {
        let (handlers, event) = (self.requests.snapshot(), envelope.event.clone());
        let matching = handlers.matching(event.as_str()).map(|entry| &entry.handler);
        // Handlers of errors that stand before all others are never asked, and are no service.
        let mut chain = matching.skip_while(|handler| !handler.is_normal()).peekable();
        if chain.peek().is_none() {
            return false;
        }
        let call = Call { deadline: Instant::now() + self.request_timeout, cancelled: None };
        let duty = Duty::of_tick(event.clone(), call.clone(), self.desk.clone());
        chain::run(chain, Asked { envelope, call }, payload, duty);
        true
    }

    fn unheard(&self, event: &EventName) {
        self.unhandled.fetch_add(1, Ordering::Relaxed);
        log::trace!(target: LOG, "node {}: no handler for the tick {event}", self.node());
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

#[cfg(test)]
mod tests;
