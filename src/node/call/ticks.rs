//! Ticks of a [`Call`], one or many: encode, find the peer, take room, post.

use std::time::Instant;

use super::{Call, Observer, Whom, named};
use crate::endpoint::IntoEvent;
use crate::error::{Error, Execution};
use crate::event::EventName;
use crate::node::all::CHUNK;
use crate::node::core::Core;
use crate::node::lookup::{Lookup, Room};
use crate::node::terms;
use crate::node::wake::Wake;
use crate::payload::{Encode, Payload};
use crate::proto::{Command, Input, Message, Tick};
use crate::routing::Observation;

/// How many ticks of a batch were accepted: all of them, or those before the first that was refused.
#[derive(Clone, Debug)]
#[must_use = "some ticks may have been refused"]
#[non_exhaustive]
pub struct Ticked {
    /// How many were accepted for sending, in order from the first.
    pub accepted: usize,
    /// Why the next one was not. It and those after it were not sent, unless the [`execution`](Error::execution) of the error is
    /// *Unknown*: up to 64 ticks are handed to the loop together, and when the node stops meanwhile (`CLOSED`) some of those that
    /// are not counted here may have been sent; when the loop is late (`BACKPRESSURE`) this one may be.
    pub refused: Option<Error>,
}

impl Ticked {
    /// The number of accepted ticks if that is all of them.
    ///
    /// # Errors
    /// Why the first refused tick was refused; it never ran, those before it may. When the error is *Unknown*, as a `CLOSED` in the
    /// midst of a batch is, it and some of those after it may have run, too: see [`refused`](Self::refused).
    pub fn all(self) -> Result<usize, Error> {
        self.refused.map_or(Ok(self.accepted), Err)
    }
}

impl Call<'_> {
    /// Sends one tick: fire and forget. Ok means accepted for sending; a tick that is lost after that is reported in
    /// [`NodeEvent::Undelivered`](crate::NodeEvent::Undelivered). So is, as far as routers can tell, one for which they find nobody: a tick to any
    /// without a match here is Ok as soon as a router can be asked. A [`flush`](crate::Handle::flush) of that router waits until it has placed it.
    ///
    /// # Errors
    /// Never executed: `INVALID_EVENT`, `INVALID_ARGUMENT` (a header), `ENCODE`, `TOO_LARGE`, `NODE_NOT_FOUND` (an id) or
    /// `NO_NODES_MATCH_FILTER` (anything else), `PREDICATE_NOT_ROUTABLE`, `REQUEST_TIMEOUT` (routers did not tell in time whom they know),
    /// `INVALID_FILTER`, `USER_CODE_PANICKED`, `WOULD_DEADLOCK`, `CLOSED`;
    /// `CONNECTION_LOST` when the peer leaves while the tick waits for room; `BACKPRESSURE` when the peer's window or its queue is
    /// full, at once or after [`wait`](Self::wait). A tick that waits may have run after `CLOSED`, and after the `BACKPRESSURE` of a
    /// loop that is late: then [`Error::execution`] says *Unknown*.
    ///
    /// # Blocking
    /// As long as [`wait`](Self::wait) and [`wait_for_match`](Self::wait_for_match) allow; without them, only while the loop has a
    /// backlog of thousands of commands. While a call [by path](crate::Handle::by_path) dials an address that is not connected, at most for the
    /// [`timeout`](Self::timeout) or else the node's `connect_timeout`. While routers list whom they know ([`Handle::any`](crate::Handle::any) says
    /// for which calls), at most for the timeout or else the node's `request_timeout`.
    pub fn tick<D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, ()>,
        data: &D,
    ) -> Result<(), Error> {
        // Whoever chooses among several takes locks, which a fork must not.
        match self.whom {
            Whom::Id(_) => self.core().may_tick()?,
            Whom::Any(_) | Whom::Path(_) => self.core().may_block()?,
        }
        let message = self.terms.message(self.core(), &self.whom, named(event)?, data)?;
        let mut lookup = self.lookup(&message, None, Room::Awaited)?;
        self.terms.tick(self.core(), &mut lookup, message)?;
        self.observe_tick(&lookup);
        Ok(())
    }

    /// The same as [`tick`](Self::tick), but only if there is room for it now, whatever [`wait`](Self::wait) says.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick) without waiting, so never executed, and no `CONNECTION_LOST`; `BACKPRESSURE` also when the loop
    /// has a backlog; `NODE_NOT_FOUND` for an address that is not connected, in a call [by path](crate::Handle::by_path): it is not dialled;
    /// `NO_NODES_MATCH_FILTER` where routers would have to list whom they know.
    ///
    /// # Blocking
    /// Not at all.
    pub fn try_tick<D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, ()>,
        data: &D,
    ) -> Result<(), Error> {
        self.core().may_block()?;
        let message = self.terms.message(self.core(), &self.whom, named(event)?, data)?;
        let mut lookup = self.lookup(&message, None, Room::Now)?;
        let taken = lookup.take_tick(&message);
        let plan = taken.map_err(|error| self.core().count_backpressure(error))?;
        self.core().post_until(Command::Tick(Tick { plan, message, wait: None }), Instant::now)?;
        self.observe_tick(&lookup);
        Ok(())
    }

    /// Sends a batch of ticks in order, stopping at the first that is refused.
    ///
    /// The event name is looked up once for the whole batch, and so is the peer, whom a call to any chooses once. Without a match here the
    /// whole batch goes to one router, which may choose another receiver for each tick and need not keep their order. A call
    /// [by path](crate::Handle::by_path) asks its strategy once, too, before the first tick is encoded: it sees null as the data.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick), in [`Ticked::refused`]: the refused tick never ran, those before it may. A `CLOSED` in the midst
    /// of the batch is *Unknown*: some of the ticks that are not counted may have been sent.
    ///
    /// # Blocking
    /// As [`tick`](Self::tick): [`wait`](Self::wait) counts for each tick, [`wait_for_match`](Self::wait_for_match) once.
    pub fn ticks<D: Encode>(
        &self,
        event: impl IntoEvent<D, ()>,
        batch: impl IntoIterator<Item = D>,
    ) -> Ticked {
        let mut accepted = 0;
        let sent = named(event).and_then(|event| self.send_ticks(&event, batch, &mut accepted));
        let refused = sent.err();
        Ticked { accepted, refused }
    }

    fn send_ticks<D: Encode>(
        &self,
        event: &EventName,
        batch: impl IntoIterator<Item = D>,
        accepted: &mut usize,
    ) -> Result<(), Error> {
        self.core().may_block()?;
        let headers = self.terms.headers.clone()?;
        let (payload, named) = (Payload::null(), event.clone());
        let first = Message { event: named, headers: headers.clone(), payload };
        let mut lookup = self.lookup(&first, None, Room::Awaited)?;
        // All to one peer, so that they stay in order; a router that chooses may choose another for each.
        lookup.alternates.clear();
        lookup.routed = lookup.routed.filter(|routed| routed.router.is_some());
        let mut messages = batch.into_iter().map(|data| {
            let payload = data.encode()?;
            let message = Message { event: event.clone(), headers: headers.clone(), payload };
            terms::check_size(self.core(), &self.whom, &message).map(|()| message)
        });
        loop {
            let mut chunk = Chunk::new(self.core());
            let end = self.fill_chunk(&mut chunk, &mut lookup, &mut messages);
            *accepted += chunk.post()?;
            match end {
                ChunkEnd::Full => {}
                ChunkEnd::Last => return Ok(()),
                ChunkEnd::Refused(error) => return Err(error),
                ChunkEnd::NoRoom(message) => {
                    self.terms.park_tick(self.core(), &lookup, message)?;
                    *accepted += 1;
                }
            }
        }
    }

    /// So many ticks of a batch that one ring of the loop's bell is shared by many, and so few that the loop works on them
    /// while the next are encoded.
    fn fill_chunk(
        &self,
        chunk: &mut Chunk,
        lookup: &mut Lookup,
        messages: &mut impl Iterator<Item = Result<Message, Error>>,
    ) -> ChunkEnd {
        while chunk.ticks.len() < CHUNK {
            let message = match messages.next() {
                None => return ChunkEnd::Last,
                Some(Err(error)) => return ChunkEnd::Refused(error),
                Some(Ok(message)) => message,
            };
            match lookup.take_tick(&message) {
                Ok(plan) => chunk.ticks.push(Command::Tick(Tick { plan, message, wait: None })),
                Err(_) if self.terms.tick_waits() => return ChunkEnd::NoRoom(message),
                Err(error) => return ChunkEnd::Refused(self.core().count_backpressure(error)),
            }
        }
        ChunkEnd::Full
    }

    /// Only who chose the peer hears of ticks: a send strategy does not.
    pub(in crate::node) fn observe_tick(&self, lookup: &Lookup) {
        if lookup.is_left_to_a_router() {
            return;
        }
        if let Some(observer @ Observer::Chose(_)) = self.observer() {
            observer.observe(&Observation::new(lookup.peer(), None, None));
        }
    }
}

/// Ticks that have room and are not posted yet. When the program's iterator panics, the room is given back.
struct Chunk<'a> {
    core: &'a Core,
    ticks: Vec<Command<Wake>>,
}

impl<'a> Chunk<'a> {
    fn new(core: &'a Core) -> Self {
        Self { core, ticks: Vec::with_capacity(CHUNK) }
    }

    /// Posts them all, and says how many.
    fn post(mut self) -> Result<usize, Error> {
        let count = self.ticks.len();
        // What is refused is refused because the node has ended, and it may have sent some of them before.
        let posted = self.core.post_all(std::mem::take(&mut self.ticks));
        posted.map_err(|error| error.with_execution(Execution::Unknown))?;
        Ok(count)
    }
}

impl Drop for Chunk<'_> {
    fn drop(&mut self) {
        for tick in self.ticks.drain(..) {
            self.core.give_back(&Input::Command(tick));
        }
    }
}

/// Why a chunk of a batch ended.
enum ChunkEnd {
    Full,
    Last,
    Refused(Error),
    NoRoom(Message),
}
