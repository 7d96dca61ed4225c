//! Searches of a router for which its loop has no time: by the program's strategy, by an expression, or among very many. They run on one
//! thread, so that the forwards of one origin stay in their order. It must not send anything: the loop asks, and is told through its mailbox.

#[cfg(test)]
mod tests;

use std::any::Any;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, ThreadId};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::life::Threads;
use super::{lock, runtime};
use crate::config::SEARCHES_AT_ONCE;
use crate::error::{Error, ErrorKind};
use crate::id::{CallId, NodeId};
use crate::proto::{Choose, Chosen};
use crate::routing::{Random, Strategy};

/// What came of a search.
type Result<T> = std::result::Result<T, Error>;

/// How the loop is told; false once it has ended.
type Post = dyn Fn(CallId, Result<Chosen>) -> bool + Send + Sync;

/// The searches of one node, and their thread: it is started for the first of them.
pub(crate) struct Chooser {
    work: Arc<Work>,
    state: Mutex<State>,
    /// Not in the state: a fork must be able to ask who it is whatever was locked.
    thread: OnceLock<ThreadId>,
}

/// What the thread has.
struct Work {
    id: NodeId,
    strategy: Option<Arc<dyn Strategy>>,
    post: Box<Post>,
    /// What still waits is looked for no more.
    over: AtomicBool,
}

#[derive(Default)]
struct State {
    waiting: Option<Sender<Choose>>,
    thread: Option<Threads>,
    /// No search is taken any more.
    ended: bool,
}

impl Chooser {
    /// `strategy` is that of the node; without one it is chosen by chance.
    pub(crate) fn new(
        id: NodeId,
        strategy: Option<Arc<dyn Strategy>>,
        post: impl Fn(CallId, Result<Chosen>) -> bool + Send + Sync + 'static,
    ) -> Self {
        let over = AtomicBool::new(false);
        let work = Arc::new(Work { id, strategy, post: Box::new(post), over });
        Self { work, state: Mutex::default(), thread: OnceLock::new() }
    }

    /// Has the thread look. Never waits: the lock is held for no longer than it takes to start the thread, or to note its end. What comes
    /// back is the answer if nobody can look.
    pub(crate) fn choose(&self, search: Choose) -> Option<(CallId, Result<Chosen>)> {
        let call = search.call;
        let mut state = lock(&self.state);
        if let Err(why) = self.start(&mut state) {
            log::warn!(target: "threadmesh::node", "no thread to choose on in {:?}: {why}", self.work.id.as_str());
        }
        let taken = match &state.waiting {
            Some(waiting) => waiting.try_send(search),
            None => Err(TrySendError::Disconnected(search)),
        };
        drop(state);
        let why = match taken {
            Ok(()) => return None,
            Err(TrySendError::Full(_)) => {
                format!("{SEARCHES_AT_ONCE} searches wait at this router, as many as may")
            }
            Err(TrySendError::Disconnected(_)) => "this router cannot look for anybody".to_owned(),
        };
        Some((call, Err(Error::new(ErrorKind::Busy, why))))
    }

    fn start(&self, state: &mut State) -> io::Result<()> {
        if state.ended || state.waiting.is_some() {
            return Ok(());
        }
        let (waiting, searches) = bounded(SEARCHES_AT_ONCE);
        let (alive, ended) = bounded::<()>(0);
        let work = Arc::clone(&self.work);
        let body = move || {
            work.run(&searches);
            // What still waits goes first: the thread has ended when nothing of it is left.
            drop((searches, work));
            drop(alive);
        };
        let thread = runtime::spawn_for(&self.work.id, "choose", body)?;
        let _ = self.thread.set(thread.thread().id());
        (state.waiting, state.thread) = (Some(waiting), Some(Threads { thread, ended }));
        Ok(())
    }

    /// Whether this is the thread that chooses.
    pub(crate) fn is_here(&self) -> bool {
        self.thread.get() == Some(&thread::current().id())
    }

    /// No further search begins. Waits for the one that is under way; the name of the thread if it has not ended by then: it is left to
    /// itself, and ends with the strategy that holds it up.
    pub(crate) fn end(&self, until: Instant) -> Option<String> {
        self.work.over.store(true, Ordering::Release);
        let thread = {
            let mut state = lock(&self.state);
            state.ended = true;
            state.waiting = None;
            state.thread.take()
        }?;
        runtime::join(thread, until)
    }
}

impl Work {
    /// The whole life of the thread: until the node has stopped.
    fn run(&self, searches: &Receiver<Choose>) {
        for search in searches {
            if self.over.load(Ordering::Acquire) {
                return;
            }
            let call = search.call;
            let (chosen, panic) = match catch_unwind(AssertUnwindSafe(|| self.look(&search))) {
                Ok(chosen) => (chosen, None),
                Err(panic) => {
                    // Nothing ran, and others may have better luck; what was thrown is for our log only, it may tell a peer too much.
                    let why = "the strategy of this router failed, and nothing was sent";
                    (Err(Error::new(ErrorKind::Busy, why)), Some(panic))
                }
            };
            let told = (self.post)(call, chosen);
            if let Some(panic) = panic {
                self.log(panic);
            }
            if !told {
                return;
            }
        }
    }

    fn look(&self, search: &Choose) -> Result<Chosen> {
        let Choose { directory, search, page, .. } = search;
        if let Some(page) = page {
            let (peers, more) = search.page(directory, page)?;
            return Ok(Chosen::Page { peers, more });
        }
        let strategy = self.strategy.as_deref().unwrap_or(&Random);
        search.steps(directory, strategy, fastrand::Rng::new(), Instant::now()).map(Chosen::Steps)
    }

    fn log(&self, panic: Box<dyn Any + Send>) {
        // The logger is the program's, too, and what was thrown may throw again when it is dropped: the second one is leaked.
        let log = AssertUnwindSafe(|| {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let text = text.unwrap_or("(no text)");
            log::warn!(target: "threadmesh::node", "the strategy of {:?} panicked: {text}", self.id.as_str());
            drop(panic);
        });
        if let Err(again) = catch_unwind(log) {
            mem::forget(again);
        }
    }
}
