//! Incoming work: handlers by pattern, the worker pool, and exactly one answer to each request. It must not know links, sockets or
//! the engine; it gets deliveries and answers through its [`Outlet`].

mod chain;
pub(crate) mod context;
mod dispatch;
#[cfg(test)]
mod fake;
mod handler;
mod message;
mod outcome;
mod pattern;
mod pool;
mod registration;
mod registry;
mod responder;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::dispatch::Dispatch;
use self::handler::RequestHandler;
use self::pool::Pool;
use self::registration::Which;
use crate::config::{Config, WORKER_IDLE};
use crate::error::Error;
use crate::handler_error::HandlerError;
use crate::id::LinkId;
use crate::payload::Decode;
use crate::proto::{Answer, Delivery, ReplyTo};
use crate::routing::Services;

pub use self::message::{Request, Tick};
pub use self::outcome::{Finish, Later, Outcome, Respond, Verdict};
pub use self::pattern::{IntoPath, IntoPattern, Pattern};
pub use self::pool::seat::blocking;
pub(crate) use self::pool::seat::waiting;
pub(crate) use self::pool::{Counts, Detached};
pub use self::registration::Registration;
pub use self::responder::Responder;

/// The log target of this room.
const LOG: &str = "threadmesh::service";

/// The way from handlers back to the engine. Called on workers and on threads that register handlers, never on the loop, so an
/// implementation may wait for room in the mailbox.
pub(crate) trait Outlet: Send + Sync {
    /// Answers a request; called exactly once for each that was delivered and not refused by [`Service::deliver`]. False when the
    /// node has stopped.
    fn answer(&self, reply_to: ReplyTo, answer: Answer) -> bool;

    /// That many ticks that came over this link are finished, with the sum of their costs.
    fn consumed(&self, link: LinkId, ticks: u64, cost: u64);

    /// The services of this node are these now, in the order of registration. Later calls tell newer lists.
    fn services(&self, names: Vec<String>);
}

/// Counters of this room.
#[allow(dead_code, reason = "told in the log until statistics are published")]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct ServiceStats {
    /// Workers and what waits for them.
    pub(crate) pool: Counts,
    /// Ticks that no handler was for.
    pub(crate) unhandled_ticks: u64,
    /// Runs of tick handlers that failed or panicked, and ticks that did not fit one; a service that is told something by a tick
    /// counts once, when all its handlers are done.
    pub(crate) failed_ticks: u64,
}

/// Handlers and workers of one node. Dropping it ends the workers without waiting for them.
pub(crate) struct Service {
    dispatch: Arc<Dispatch>,
    pool: Arc<Pool>,
}

impl Service {
    /// A service without handlers. Workers start when there is work for them; their threads are named `tm-<node>-w<n>`.
    pub(crate) fn start(config: &Config, node: &str, outlet: Arc<dyn Outlet>) -> Self {
        Self::start_with_idle(config, node, outlet, WORKER_IDLE)
    }

    fn start_with_idle(
        config: &Config,
        node: &str,
        outlet: Arc<dyn Outlet>,
        idle: Duration,
    ) -> Self {
        let dispatch = Arc::new(Dispatch::new(node, config, outlet));
        let pool = Pool::new(&config.limits, idle, dispatch.clone());
        Self { dispatch, pool }
    }

    /// Takes the messages of one turn of the loop, in order, and leaves `batch` empty. Waits for nobody. The answers that come back
    /// are for the loop to feed to the engine at once: the outlet's way leads through the mailbox, which the loop must not
    /// wait for.
    #[must_use = "requests that are refused must be answered"]
    pub(crate) fn deliver(&self, batch: &mut Vec<Delivery>) -> Vec<(ReplyTo, Answer)> {
        self.pool.deliver(batch)
    }

    /// Appends a handler of requests: of a service, if the pattern is an exact name.
    pub(crate) fn on_request<P, T, A, F>(&self, pattern: P, f: F) -> Result<Registration, Error>
    where
        P: IntoPattern<T, A::Answer>,
        T: Decode,
        A: Respond,
        F: Fn(Request<T>) -> A + Send + Sync + 'static,
    {
        let pattern: Pattern = pattern.try_into().map_err(Into::into)?;
        pattern.check_for_requests()?;
        self.chain(pattern, handler::of_requests(f))
    }

    /// Appends a handler of the errors of handlers before it.
    pub(crate) fn on_error<P, T, A, F>(&self, pattern: P, f: F) -> Result<Registration, Error>
    where
        P: IntoPattern<T, A::Answer>,
        T: Decode,
        A: Respond,
        F: Fn(HandlerError, Request<T>) -> A + Send + Sync + 'static,
    {
        self.chain(pattern.try_into().map_err(Into::into)?, handler::of_errors(f))
    }

    fn chain(&self, pattern: Pattern, handler: RequestHandler) -> Result<Registration, Error> {
        let number = self.dispatch.requests.add(pattern.clone(), handler)?;
        self.dispatch.announce();
        Ok(self.registration(Which::Requests, number, pattern))
    }

    /// Appends a handler of ticks.
    pub(crate) fn on_tick<P, T, A, F>(&self, pattern: P, f: F) -> Result<Registration, Error>
    where
        P: IntoPattern<T, ()>,
        T: Decode,
        A: Finish,
        F: Fn(Tick<T>) -> A + Send + Sync + 'static,
    {
        let pattern: Pattern = pattern.try_into().map_err(Into::into)?;
        let number = self.dispatch.ticks.add(pattern.clone(), handler::of_ticks(f))?;
        Ok(self.registration(Which::Ticks, number, pattern))
    }

    /// Removes all handlers, of requests, errors and ticks, that were registered with exactly this pattern; how many there were.
    pub(crate) fn remove(&self, pattern: &Pattern) -> usize {
        let requests = self.dispatch.requests.remove_pattern(pattern);
        self.dispatch.announce();
        requests + self.dispatch.ticks.remove_pattern(pattern)
    }

    /// The exact names of requests that are handled here, in the order of registration: those that were announced last. What
    /// was registered or removed is seen here as soon as that call returns. Waits for nothing.
    pub(crate) fn services(&self) -> Services {
        self.dispatch.services()
    }

    pub(crate) fn stats(&self) -> ServiceStats {
        ServiceStats {
            pool: self.pool.counts(),
            unhandled_ticks: self.dispatch.unhandled(),
            failed_ticks: self.dispatch.failed(),
        }
    }

    /// Whether this thread is one of the workers, which must not wait for the end of the node.
    pub(crate) fn is_worker(&self) -> bool {
        self.pool.is_worker()
    }

    /// Ends the work: queued requests are answered `CLOSED` and never run, queued ticks and running handlers may finish until
    /// `bound`; then threads are joined and handlers dropped. Workers that are still in user code are named and left behind. From a
    /// handler, its own worker is neither waited for nor named. May be called again, and then waits again.
    pub(crate) fn stop(&self, bound: Instant) -> Detached {
        let detached = self.pool.stop(bound);
        self.dispatch.requests.close();
        self.dispatch.ticks.close();
        detached
    }

    fn registration(&self, which: Which, number: u64, pattern: Pattern) -> Registration {
        Registration::new(Arc::downgrade(&self.dispatch), which, number, pattern)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.pool.close();
        self.dispatch.requests.close();
        self.dispatch.ticks.close();
    }
}
