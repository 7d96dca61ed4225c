//! Requests of a [`Call`]: encode, find the peer, take room, post; and the waiting is [`Pending`]'s.

use std::time::Instant;

use super::{Call, Observer, named};
use crate::endpoint::IntoEvent;
use crate::error::Error;
use crate::event::EventName;
use crate::node::handle::Handle;
use crate::node::lookup::{Lookup, Room};
use crate::node::pending::{Pending, Reply, Started};
use crate::node::terms::Times;
use crate::node::wake::Wake;
use crate::payload::{Decode, Encode};
use crate::proto::{Command, Message, Request};

impl Call<'_> {
    /// Sends a request, waits for the answer and decodes it.
    ///
    /// Inside a handler the call inherits what is left of the deadline of the request being handled.
    ///
    /// # Errors
    /// Never executed: `INVALID_EVENT`, `INVALID_ARGUMENT`, `ENCODE`, `NODE_NOT_FOUND` (an id) or
    /// `NO_NODES_MATCH_FILTER` (anything else), whether routers were asked or not; `PREDICATE_NOT_ROUTABLE` when none found anybody and one does
    /// not tell whom it knows; `INVALID_FILTER`, `USER_CODE_PANICKED`, `BUSY`, `NO_HANDLER`, `EXPIRED`, `WOULD_DEADLOCK`, `CLOSED` before it was sent. Executed: the handler's own error,
    /// `HANDLER_ERROR` after a panic, `NO_REPLY`, `DECODE` of the answer. Depending on how far it came:
    /// `REQUEST_TIMEOUT`, `CONNECTION_LOST`, `CLOSED`; and `TOO_LARGE` and `BACKPRESSURE`, which were not executed when they are
    /// about the request, and were when they are about its answer: it is larger than this node takes, or the peer dropped it
    /// for want of memory. [`Error::execution`] says which.
    ///
    /// # Blocking
    /// Until the answer, at most for the timeout and 5 ms. Asking routers counts.
    pub fn request<T: Decode, D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<T, Error> {
        self.request_reply(event, data).map(|reply| reply.value)
    }

    /// The same as [`request`](Self::request), and says who answered and how long it took.
    ///
    /// # Errors
    /// Those of [`request`](Self::request).
    ///
    /// # Blocking
    /// As [`request`](Self::request).
    pub fn request_reply<T: Decode, D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<Reply<T>, Error> {
        self.start(event, data)?.wait()
    }

    /// Sends a request without waiting for the answer. Its time runs from now.
    ///
    /// # Errors
    /// Those of [`request`](Self::request) that are known before anything is sent; never executed. That routers found nobody is known only
    /// when the answer is waited for, except where they list whom they know.
    ///
    /// # Blocking
    /// Only while the loop has a backlog of thousands of commands, and as long as [`wait_for_match`](Self::wait_for_match) allows; and, at
    /// most until the deadline, while a call [by path](crate::Handle::by_path) dials an address that is not connected, and while routers list whom
    /// they know: for a call with a closure, a strategy of its own or exceptions that has no match here ([`Handle::any`](crate::Handle::any)).
    /// Without room at the peer the request waits in line while its time runs, and this returns all the same; see
    /// [`try_start`](Self::try_start). Inside a handler it does not wait in line, and is `BACKPRESSURE` at once.
    pub fn start<T: Decode, D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<Pending<T>, Error> {
        self.begin(named(event)?, data, Room::Awaited)
    }

    /// The same as [`start`](Self::start), but only if there is room for the request now: it never waits in line.
    ///
    /// # Errors
    /// Those of [`start`](Self::start); `BACKPRESSURE` when the peer has as many calls open as it allows, when its queue is
    /// full, or when the loop has a backlog; `NO_NODES_MATCH_FILTER` where routers would have to list whom they know: they are not asked,
    /// others are; `NODE_NOT_FOUND` for an address that is not connected, in a call
    /// [by path](crate::Handle::by_path): it is not dialled. Never executed.
    ///
    /// # Blocking
    /// Not at all.
    pub fn try_start<T: Decode, D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<Pending<T>, Error> {
        self.begin(named(event)?, data, Room::Now)
    }

    /// The same as [`request`](Self::request), but only if there is room for it now: it waits for the answer, and never in line.
    ///
    /// # Errors
    /// Those of [`request`](Self::request), and `BACKPRESSURE` at once as from [`try_start`](Self::try_start).
    ///
    /// # Blocking
    /// Until the answer, at most for the timeout and 5 ms.
    pub fn try_request<T: Decode, D: Encode + ?Sized>(
        &self,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<T, Error> {
        self.try_start(event, data)?.wait().map(|reply| reply.value)
    }

    fn begin<T: Decode>(
        &self,
        event: EventName,
        data: &(impl Encode + ?Sized),
        room: Room,
    ) -> Result<Pending<T>, Error> {
        let began = Instant::now();
        self.core().may_block()?;
        let times = self.terms.times(self.core(), began)?;
        let message = self.terms.message(self.core(), &self.whom, event, data)?;
        let lookup = self.lookup(&message, Some(times.deadline), room)?;
        post_request(self.handle, lookup, message, (began, times), room, self.observer())
    }
}

/// Takes room for a request to whom was found, and posts it.
pub(in crate::node) fn post_request<T: Decode>(
    handle: &Handle,
    mut lookup: Lookup,
    message: Message,
    (began, times): (Instant, Times),
    room: Room,
    observer: Option<Observer>,
) -> Result<Pending<T>, Error> {
    let (core, Times { deadline, depth, nested }) = (handle.core(), times);
    let (wake, receiver) = Wake::new(Some(core.take_slot()?));
    let plan = lookup.take_call(&message, if nested { Room::Now } else { room });
    let plan = plan.map_err(|error| core.count_backpressure(error))?;
    let call = core.draw_call();
    let request = Request { call, plan, message, deadline, depth, token: wake };
    let latest = if room == Room::Now { began } else { deadline };
    core.post(Command::Request(request), latest)?;
    let (peer, routed) = (lookup.peer().clone(), lookup.routed.take());
    let started = Started { call, peer, observer, routed, receiver, began, deadline };
    Ok(Pending::new(handle.shared(), started))
}
