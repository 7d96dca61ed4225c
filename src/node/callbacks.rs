//! Closures that are told what happens, all of them on one thread, which is not the loop. It must not hold a lock while one runs.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, ThreadId};
use std::time::Instant;

use crossbeam_channel::bounded;

use super::core::Core;
use super::events::{Events, Place};
use super::life::Threads;
use super::{lock, runtime};
use crate::error::Error;
use crate::home::Home;
use crate::node_event::NodeEvent;

/// A closure that was given to [`Handle::on_event`](crate::Handle::on_event). Dropping this keeps it;
/// [`remove`](Self::remove) takes it away.
pub struct Callback {
    // Weak, so that what the program keeps holds nothing of a stopped node.
    callbacks: Weak<Callbacks>,
    number: u64,
    home: Home,
}

impl Callback {
    /// Takes the closure away: it is told of no event that is taken up later. A run that has begun goes on. False when it was
    /// gone already, with its node, and in a forked child.
    pub fn remove(self) -> bool {
        let callbacks = self.callbacks.upgrade().filter(|_| self.home.is_here());
        let removed = callbacks.and_then(|callbacks| callbacks.take(self.number));
        removed.is_some_and(|entry| {
            discard(entry);
            true
        })
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callback({})", self.number)
    }
}

/// What a closure has to be.
pub(crate) type Tell = dyn Fn(&NodeEvent) + Send + Sync;

/// All closures of one node, and their thread.
#[derive(Default)]
pub(crate) struct Callbacks {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order in which they were added.
    entries: Vec<Arc<Entry>>,
    last: u64,
    /// Where the thread stands in the stream; there from the first closure on.
    place: Option<Place>,
    thread: Option<Threads>,
    id: Option<ThreadId>,
    /// No closure is taken any more.
    ended: bool,
}

struct Entry {
    number: u64,
    /// The first event that this one is told, counted from the first that the thread was told.
    from: u64,
    tell: Box<Tell>,
}

impl Entry {
    /// What this one is told of an event at that place: of those that were missed, only those that came after it was added.
    fn sees(&self, at: u64, event: &NodeEvent) -> Option<NodeEvent> {
        match event {
            NodeEvent::Missed(missed) => {
                let missed = (at + missed).saturating_sub(self.from.max(at));
                (missed > 0).then_some(NodeEvent::Missed(missed))
            }
            event => (at >= self.from).then(|| event.clone()),
        }
    }
}

impl Callbacks {
    /// Adds a closure. The first one starts the thread.
    pub(crate) fn add(core: &Core, tell: Box<Tell>) -> Result<Callback, Error> {
        let own = &core.callbacks;
        let mut state = lock(&own.state);
        if state.ended {
            drop(state);
            return Err(core.closed());
        }
        if state.place.is_none() {
            own.start(core, &mut state)?;
        }
        state.last += 1;
        let (number, from) = (state.last, state.place.as_ref().map_or(0, Place::next));
        state.entries.push(Arc::new(Entry { number, from, tell }));
        Ok(Callback { callbacks: Arc::downgrade(own), number, home: core.home })
    }

    fn start(self: &Arc<Self>, core: &Core, state: &mut State) -> Result<(), Error> {
        let events = core.hub.subscribe();
        let (alive, ended) = bounded::<()>(0);
        let (own, place) = (Arc::clone(self), events.place());
        let body = move || {
            own.run(events);
            drop(alive);
        };
        let thread = runtime::spawn(core, "events", body).map_err(runtime::no_resources)?;
        state.id = Some(thread.thread().id());
        (state.place, state.thread) = (Some(place), Some(Threads { thread, ended }));
        Ok(())
    }

    /// The whole life of the thread: until the node has stopped.
    fn run(&self, events: Events) {
        let mut at = 0;
        for event in events {
            let entries = lock(&self.state).entries.clone();
            for entry in entries {
                if let Some(event) = entry.sees(at, &event) {
                    fence(|| (entry.tell)(&event));
                }
                discard(entry);
            }
            at += if let NodeEvent::Missed(missed) = event { missed } else { 1 };
        }
        self.clear();
    }

    /// Whether this is the thread on which the closures run.
    pub(crate) fn is_here(&self) -> bool {
        lock(&self.state).id == Some(thread::current().id())
    }

    /// The last event is told. Waits until all have seen it; the name of the thread if they have not by then: it is left to
    /// itself, and ends with the closure that holds it up.
    pub(crate) fn end(&self, until: Instant) -> Option<String> {
        let thread = {
            let mut state = lock(&self.state);
            state.ended = true;
            state.thread.take()
        }?;
        let left = runtime::join(thread, until);
        if left.is_some() {
            self.clear();
        }
        left
    }

    fn take(&self, number: u64) -> Option<Arc<Entry>> {
        let entries = &mut lock(&self.state).entries;
        let at = entries.iter().position(|entry| entry.number == number)?;
        Some(entries.remove(at))
    }

    fn clear(&self) {
        let entries = {
            let mut state = lock(&self.state);
            state.ended = true;
            std::mem::take(&mut state.entries)
        };
        entries.into_iter().for_each(discard);
    }
}

/// Dropping a closure may run code of the program.
fn discard(entry: Arc<Entry>) {
    fence(|| drop(entry));
}

/// Runs code of the program; a panic ends in the log.
fn fence(run: impl FnOnce()) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(run)) else { return };
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    log::error!(target: "threadmesh::node", "a closure for events panicked: {}", text.unwrap_or("(no text)"));
    // What was thrown may panic again when it is dropped, and what that throws too: the second one is leaked.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}
