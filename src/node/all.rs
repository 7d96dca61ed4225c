//! A call to everybody who matches: ticks to all, and requests to all whose answers are gathered. Each peer is a target of its own: what
//! one of them lacks does not stop the others.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::call::named;
use super::choose::Wanted;
use super::core::Core;
use super::gather::{Asked, Gather, Until};
use super::handle::Handle;
use super::lookup::{Choice, Lookup, Room};
use super::selector::Selector;
use super::terms::{Terms, Times};
use super::wake::Wakes;
use crate::endpoint::IntoEvent;
use crate::error::{Error, Execution};
use crate::id::{CallId, NodeId};
use crate::node_event::PeerInfo;
use crate::payload::{Decode, Encode};
use crate::proto::{Command, Message, Request, Tick};
use crate::routing::PeerEntry;

/// Ticks posted with one ring of the loop's bell.
pub(super) const CHUNK: usize = 64;

/// A call to all peers that match, made by [`Handle::all`]. Its last method sends it; one `All` can send many times, and looks anew who
/// matches each time. The payload is encoded once, however many there are.
///
/// # Example
/// ```
/// # use threadmesh::{Node, Request, filter, options};
/// # let server = Node::builder().id("cache-1").options(options! { "role": "cache" }).bind("127.0.0.1:0").start()?;
/// # server.on_request("cache:get", |request: Request<String>| Ok(format!("{}?", request.data)))?;
/// # let client = Node::builder().start()?;
/// # client.connect(server.local_addr()?)?;
/// let caches = client.all(filter! { "role": "cache" });
/// for (id, answer) in caches.request::<String, _>("cache:get", "user:123")? {
///     println!("{id} says {}", answer?.value);
/// }
/// assert_eq!(caches.tick("cache:drop", "user:123")?.sent, 1);
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a call does nothing until it is sent"]
pub struct All<'a> {
    handle: &'a Handle,
    selector: Selector,
    until: Until,
    pub(super) terms: Terms,
}

/// What became of a tick to all.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Told {
    /// How many it was accepted for. What is lost after that is reported in [`NodeEvent::Undelivered`](crate::NodeEvent::Undelivered).
    pub sent: usize,
    /// Who matched and does not get it, and why: mostly `BACKPRESSURE`, and then it certainly did not run there. It may have after
    /// `CLOSED`, when the node stopped meanwhile.
    pub skipped: Vec<(NodeId, Error)>,
}

impl<'a> All<'a> {
    pub(super) fn new(handle: &'a Handle, selector: Selector) -> Self {
        Self { handle, selector, until: Until::All, terms: Terms::default() }
    }

    /// Ends the gathering when so many have answered. The requests that are left are cancelled when the [`Gather`] is dropped, which
    /// [`Gather::finish`] does, too.
    pub fn first(mut self, answers: usize) -> Self {
        self.until = Until::First(answers);
        self
    }

    /// Ends the gathering when so many have answered, or when so many can answer no more. The requests that are left are cancelled when
    /// the [`Gather`] is dropped, which [`Gather::finish`] does, too.
    /// [`Gathered::is_complete`](crate::Gathered::is_complete) says which of the two it was.
    pub fn quorum(mut self, answers: usize) -> Self {
        self.until = Until::Quorum(answers);
        self
    }

    /// Who matches now: in the order in which they joined, and nobody is an empty list.
    ///
    /// # Errors
    /// `INVALID_FILTER`, `USER_CODE_PANICKED`, `CLOSED`.
    ///
    /// # Threads
    /// A predicate runs on this thread.
    pub fn peers(&self) -> Result<Vec<PeerInfo>, Error> {
        self.core().open()?;
        Ok(self.select()?.iter().filter_map(|peer| peer.info()).collect())
    }

    /// Sends one tick to everybody who matches, and says how many these are and who is skipped. Nobody is fine: zero were sent. One who
    /// cannot take it does not stop the others.
    ///
    /// # Errors
    /// Nothing was sent: `INVALID_EVENT`, `INVALID_ARGUMENT`, `INVALID_FILTER`, `ENCODE`, `TOO_LARGE`, `USER_CODE_PANICKED`,
    /// `WOULD_DEADLOCK`, `CLOSED`. What stops one peer only is in [`Told::skipped`]. A node that stops meanwhile may have sent some
    /// ticks: then the [`execution`](Error::execution) of `CLOSED` is *Unknown*.
    ///
    /// # Blocking
    /// Only while the loop has a backlog of thousands of commands. It does not wait for room at a peer.
    ///
    /// # Threads
    /// A predicate runs on this thread.
    pub fn tick<D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, ()>,
        data: &D,
    ) -> Result<Told, Error> {
        self.core().may_block()?;
        let message = self.terms.message(self.core(), &self.selector, named(event)?, data)?;
        let peers = self.select()?;
        let ticks = peers.iter().map(|peer| (&peer.id, self.only(peer), message.clone()));
        let (sent, skipped) = tick_each(self.core(), ticks)?;
        let skipped = skipped.into_iter().map(|(id, error)| (id.clone(), error)).collect();
        Ok(Told { sent, skipped })
    }

    /// Sends a request to everybody who matches, at once, under one deadline, and gives the answers as they arrive. Nobody is fine: there
    /// are no answers.
    ///
    /// # Errors
    /// Nothing was sent: `INVALID_EVENT`, `INVALID_ARGUMENT`, `INVALID_FILTER`, `ENCODE`, `TOO_LARGE`, `USER_CODE_PANICKED`,
    /// `WOULD_DEADLOCK`, `CLOSED`; `REQUEST_TIMEOUT` when the moment given to [`until`](Self::until), or the time of the request
    /// being handled, has passed already. What goes wrong with one peer is its result.
    ///
    /// # Blocking
    /// Only while the loop has a backlog of thousands of commands; the answers are waited for in [`Gather`].
    ///
    /// # Threads
    /// A predicate runs on this thread.
    pub fn request<T: Decode, D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<Gather<T>, Error> {
        let began = Instant::now();
        self.core().may_block()?;
        let times = self.terms.times(self.core(), began)?;
        let message = self.terms.message(self.core(), &self.selector, named(event)?, data)?;
        let peers = self.select()?;
        let mut wakes = Wakes::new(peers.len());
        let asked = peers.iter().map(|peer| Asked {
            peer: peer.id.clone(),
            call: ask(self.core(), self.only(peer), message.clone(), times, &mut wakes),
        });
        let asked = asked.collect();
        let (core, receiver) = (self.handle.shared(), wakes.into_receiver());
        Ok(Gather::new(core, asked, receiver, self.until, (began, times.deadline)))
    }

    fn select(&self) -> Result<Vec<Arc<PeerEntry>>, Error> {
        let Terms { directions, except, .. } = &self.terms;
        let (selector, directions) = (&self.selector, *directions);
        let wanted = Wanted { selector, directions, except, is_copy: false };
        self.core().select(wanted)
    }

    fn only(&self, peer: &Arc<PeerEntry>) -> Lookup {
        Lookup::one(Choice::new(Arc::clone(peer)), self.terms.directions)
    }

    fn core(&self) -> &'a Core {
        self.handle.core()
    }
}

/// Posts a tick to each of these, whatever becomes of the others. How many were accepted, and which were not.
pub(super) fn tick_each<W>(
    core: &Core,
    ticks: impl Iterator<Item = (W, Lookup, Message)>,
) -> Result<(usize, Vec<(W, Error)>), Error> {
    let (mut sent, mut skipped) = (0, Vec::new());
    let mut ticks = ticks.peekable();
    while ticks.peek().is_some() {
        let (mut posted, mut whom) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
        for (who, mut lookup, message) in ticks.by_ref().take(CHUNK) {
            match lookup.take_tick(&message) {
                Ok(plan) => {
                    posted.push(Command::Tick(Tick { plan, message, wait: None }));
                    whom.push(who);
                }
                Err(why) => skipped.push((who, core.count_backpressure(why))),
            }
        }
        match core.post_all(posted) {
            Ok(()) => sent += whom.len(),
            // The node was stopped meanwhile, and may have sent some of these.
            Err(error) if sent == 0 => return Err(error.with_execution(Execution::Unknown)),
            Err(error) => {
                let error = error.with_execution(Execution::Unknown);
                skipped.extend(whom.into_iter().map(|who| (who, error.clone())));
            }
        }
    }
    Ok((sent, skipped))
}

/// Posts a request to one of many.
pub(super) fn ask(
    core: &Core,
    mut lookup: Lookup,
    message: Message,
    times: Times,
    wakes: &mut Wakes,
) -> Result<CallId, Error> {
    let Times { deadline, depth, nested } = times;
    let token = wakes.draw(core.take_slot())?;
    let room = if nested { Room::Now } else { Room::Awaited };
    let plan = lookup.take_call(&message, room).map_err(|error| core.count_backpressure(error))?;
    let call = core.draw_call();
    let request = Request { call, plan, message, deadline, depth, token };
    core.post(Command::Request(request), deadline)?;
    Ok(call)
}

impl fmt::Debug for All<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("All");
        out.field("selector", &self.selector).field("directions", &self.terms.directions);
        out.field("timeout", &self.terms.timeout).finish_non_exhaustive()
    }
}
