//! Where a node's threads are put together and taken apart: the only place that knows the loop, the engine, the handlers and
//! the callers at once. It decides nothing about messages.
//!
//! Threads: `tm-<id>-loop` owns the sockets, `tm-<id>-w<n>` are the workers and `tm-<id>-watch` notices when
//! they are stuck (started by `service`), `threadmesh-names-<n>` resolve names (started by `net`), `tm-<id>-events` tells closures
//! what happens, `tm-<id>-choose` looks for peers when the loop of a router has no time for it, `tm-<id>-stop` sees a stop through that
//! was begun on one of the node's own threads.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::core::{Core, Strategies, on_loop_thread, this_is_a_loop_thread};
use super::life::{Begun, StopReport, Threads};
use super::lock;
use super::wake::{self, Wake};
use crate::config::DESCRIPTORS_LEFT;
use crate::error::{Error, ErrorKind};
use crate::id::{CallId, NodeId};
use crate::net::{self, Above, Mailbox};
use crate::node_event::NodeEvent;
use crate::proto::{
    Answer, Choose, Chosen, Command, Delivery, Done, Input, Local, Mesh, ReplyTo, StopCut,
};
use crate::routing::Directory;
use crate::service::{Outlet, Service};

/// What the engine and the loop may take beyond the bound of a stop before they are left to themselves.
const STOP_GRACE: Duration = Duration::from_millis(100);
/// What handlers get whose nested calls have just been cut off by the end of the bound.
const UNWIND_GRACE: Duration = Duration::from_millis(20);

/// Starts the threads of a node.
pub(crate) fn start(
    mut local: Local,
    strategies: Strategies,
    rng: fastrand::Rng,
) -> Result<Arc<Core>, Error> {
    let links = &mut local.config.limits.links;
    *links = links_within(*links, &fs::read_to_string("/proc/self/limits").unwrap_or_default());
    let links = local.config.limits.links;
    let (prepared, mailbox) = net::prepare().map_err(no_resources)?;
    let outlet = Arc::new(Outbox { mailbox: mailbox.clone() });
    let service = Service::start(&local.config, local.id.as_str(), outlet);
    let engine = Mesh::new(local.clone(), rng, Instant::now());
    let Some(own) = engine.own().cloned() else { unreachable!("a new engine reaches itself") };
    let core = Arc::new(Core::new(local, own, mailbox, service, strategies));
    let above = Upstairs { core: Arc::clone(&core) };
    let event_loop = prepared.into_loop(engine, above, links);
    let (alive, ended) = bounded::<()>(0);
    let shared = Arc::clone(&core);
    let body = move || {
        this_is_a_loop_thread();
        let ran = catch_unwind(AssertUnwindSafe(|| event_loop.run()));
        drop(alive);
        if ran.is_err() || !shared.life.is_closed() {
            the_loop_failed(&shared);
        }
    };
    let thread = spawn(&core, "loop", body).map_err(no_resources)?;
    core.life.running(Threads { thread, ended });
    Ok(core)
}

/// The limit of links, or less if the system lets this process open fewer descriptors: some must be left for everything else. Where
/// the system does not tell, accepting fails in time.
fn links_within(links: usize, told: &str) -> usize {
    let line = told.lines().find_map(|line| line.strip_prefix("Max open files"));
    let open = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    let most = open.map_or(links, |open| open.saturating_sub(DESCRIPTORS_LEFT).max(1));
    if most < links {
        log::debug!(target: "threadmesh::node", "{most} links instead of {links}: the system allows no more descriptors");
    }
    links.min(most)
}

/// Begins to stop the node, and sees it through unless this is one of its own threads.
///
/// # Errors
/// `CLOSED` in a fork of the node's process: its threads are not there to be stopped.
pub(crate) fn stop(core: &Arc<Core>, bound: Duration) -> Result<StopReport, Error> {
    core.at_home()?;
    let own = is_own_thread(core);
    let begun = core.life.begin_stop();
    // Handlers that wait for a peer wait in vain from here on, and the stop for them.
    core.news.tell();
    Ok(match begun {
        Begun::First(threads) if own => {
            see_through_elsewhere(core, threads, bound);
            StopReport::unfinished()
        }
        Begun::First(threads) => see_through(core, threads, bound),
        // The thread that stops the node drops its handlers, and one of those may have owned the node.
        Begun::Before { here } if own || here => StopReport::unfinished(),
        Begun::Before { .. } => core.life.wait(),
    })
}

/// Waits until somebody else has stopped the node.
pub(crate) fn wait(core: &Core) -> Result<StopReport, Error> {
    core.at_home()?;
    if is_own_thread(core) {
        let message =
            "a thread of the node waits for the end of the node, which waits for the thread";
        return Err(Error::new(ErrorKind::WouldDeadlock, message));
    }
    Ok(core.life.wait())
}

/// Waits until somebody else has stopped the node, at most until `until`. The stop waits for the node's own threads, so all that
/// they can wait for is its beginning.
pub(crate) fn wait_until(core: &Core, until: Instant) -> Result<Option<StopReport>, Error> {
    core.at_home()?;
    Core::not_on_a_loop_thread()?;
    let life = &core.life;
    Ok(if is_own_thread(core) { life.wait_begun_until(until) } else { life.wait_until(until) })
}

fn is_own_thread(core: &Core) -> bool {
    on_loop_thread()
        || core.service.is_worker()
        || core.callbacks.is_here()
        || core.chooser.is_here()
}

/// The order of the end. Until the engine has stopped, handlers run and answers are flushed; then nothing is pending any more, so
/// that workers which waited for a nested call come back before they are counted as stuck. The end is told last, so that
/// closures can be told of it before their thread goes.
fn see_through(core: &Core, threads: Option<Threads>, bound: Duration) -> StopReport {
    let began = Instant::now();
    let until = began.checked_add(bound).unwrap_or(began);
    let (token, stopped) = Wake::new(None);
    // If it cannot be posted, the token is dropped, and the wait ends at once.
    let _ = core.post(Command::Stop { bound, token: Some(token) }, until + STOP_GRACE);
    let arrival = wake::wait(&stopped, until + STOP_GRACE);
    let left = core.service.stop(until.max(Instant::now() + UNWIND_GRACE));
    log::debug!(target: "threadmesh::service", "stopped: {:?}", core.service.stats());
    let (mut detached, ticks) = (left.workers, left.ticks as u64);
    detached.extend(threads.and_then(|threads| join(threads, Instant::now() + STOP_GRACE * 10)));
    detached.extend(core.chooser.end(until.max(Instant::now() + UNWIND_GRACE)));
    core.forget_peers();
    *lock(&core.bound.address) = None;
    core.hub.publish(&NodeEvent::Stopped);
    detached.extend(core.callbacks.end(until.max(Instant::now() + UNWIND_GRACE)));
    core.forget_send_strategy();
    // A loop that was late has told by now what it cut off.
    let arrival = arrival.or_else(|_| wake::look(&stopped));
    let cut = match arrival.map(|arrival| arrival.result) {
        Ok(Ok(Done::Stopped(cut))) => cut,
        _ => StopCut::default(),
    };
    let StopCut { calls, unanswered, unwritten, unconfirmed } = cut;
    let report = StopReport {
        calls,
        unanswered,
        unwritten,
        unconfirmed,
        ticks,
        detached,
        ..StopReport::default()
    };
    log::info!(target: "threadmesh::node", "{:?} has stopped: {report:?}", core.id.as_str());
    core.life.end(report.clone());
    report
}

/// Joins a thread that was told to end; its name if it has not by then: it is left to itself, instead of hanging here.
pub(super) fn join(threads: Threads, until: Instant) -> Option<String> {
    let Threads { thread, ended } = threads;
    // Nothing is ever sent: the other end is dropped with the thread.
    if ended.recv_deadline(until) == Err(RecvTimeoutError::Disconnected) {
        // It catches what panics in it; there is nothing to learn from the result.
        let _ = thread.join();
        return None;
    }
    let name = thread.thread().name().unwrap_or_default().to_owned();
    log::error!(target: "threadmesh::node", "{name} has not ended in time and is left to itself");
    Some(name)
}

fn see_through_elsewhere(core: &Arc<Core>, threads: Option<Threads>, bound: Duration) {
    let shared = Arc::clone(core);
    let body = move || {
        shared.life.taken_over();
        see_through(&shared, threads, bound);
    };
    if let Err(why) = spawn(core, "stop", body) {
        // The threads end with the engine, they are only not waited for.
        log::error!(target: "threadmesh::node", "no thread to stop {:?}: {why}", core.id.as_str());
        let _ = core.post(Command::Stop { bound, token: None }, Instant::now() + STOP_GRACE);
        core.life.end(StopReport::unfinished());
    }
}

/// The loop has ended though nobody stopped the node. Its sockets are gone and posts fail; the rest is stopped as usual.
fn the_loop_failed(core: &Arc<Core>) {
    log::error!(target: "threadmesh::node", "the loop of {:?} has failed", core.id.as_str());
    // The loop's thread is where the node is at home.
    let _ = stop(core, Duration::ZERO);
}

/// The one place that starts threads of this room.
pub(super) fn spawn(
    core: &Core,
    what: &str,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    spawn_for(&core.id, what, body)
}

/// The same for what has only the name of its node.
pub(super) fn spawn_for(
    id: &NodeId,
    what: &str,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(format!("tm-{id}-{what}")).spawn(body)
}

pub(super) fn no_resources(why: io::Error) -> Error {
    let message = format!("the system has no thread or descriptor for a node: {why}");
    Error::new(ErrorKind::InvalidArgument, message).with_source(why)
}

/// The rooms above the loop. Runs on the loop thread.
struct Upstairs {
    core: Arc<Core>,
}

impl Above<Wake> for Upstairs {
    fn deliver(&mut self, batch: &mut Vec<Delivery>) -> Vec<(ReplyTo, Answer)> {
        self.core.service.deliver(batch)
    }

    fn complete(&mut self, token: Wake, result: Result<Done, Error>) {
        token.complete(result);
    }

    fn event(&mut self, event: NodeEvent) {
        // The end is told when it is the end of everything, not only of the engine.
        if !matches!(event, NodeEvent::Stopped) {
            self.core.hub.publish(&event);
        }
    }

    fn choose(&mut self, choose: Choose) -> Option<(CallId, Result<Chosen, Error>)> {
        self.core.chooser.choose(choose)
    }

    fn publish(&mut self, directory: &Directory) -> bool {
        self.core.publish(directory)
    }

    fn published(&mut self) {
        self.core.news.tell();
    }

    fn stopped(&mut self) {}
}

/// The way back from the handlers to the loop.
struct Outbox {
    mailbox: Mailbox<Input<Wake>>,
}

impl Outlet for Outbox {
    fn answer(&self, reply_to: ReplyTo, answer: Answer) -> bool {
        self.mailbox.post(Input::Answer { reply_to, answer }).is_ok()
    }

    fn consumed(&self, link: crate::id::LinkId, ticks: u64, cost: u64) {
        let _ = self.mailbox.post(Input::Consumed { link, ticks, cost });
    }

    fn services(&self, services: Vec<String>) {
        let _ = self.mailbox.post(Input::Command(Command::SetServices { services }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_leave_64_descriptors_for_everything_else() {
        let _bound = crate::bound::bound();
        let told = |open: &str| {
            format!(
                "Limit  Soft Limit  Hard Limit  Units\nMax open files            {open}    1048576    files\n"
            )
        };
        for (open, links) in [("1088", 1_024), ("1087", 1_023), ("1089", 1_024), ("10", 1)] {
            assert_eq!(links_within(1_024, &told(open)), links, "{open}");
        }
        assert_eq!(links_within(1_024, &told("unlimited")), 1_024);
        assert_eq!(links_within(1_024, ""), 1_024);
    }
}
