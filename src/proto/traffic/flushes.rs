//! Threads that wait until a peer has confirmed every tick accepted for it so far. It must not send
//! anything: ticks are confirmed without being asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::error::{Error, ErrorKind, Execution};
use crate::id::{CallId, LinkId, NodeId};
use crate::proto::Done;
use crate::proto::env::{Env, Timer};
use crate::proto::timers::TimerId;

#[derive(Debug)]
pub(crate) struct Flushes<T> {
    by_number: BTreeMap<u64, Flush<T>>,
    last: u64,
}

/// One thread that waits.
#[derive(Debug)]
struct Flush<T> {
    peer: NodeId,
    /// The links with unconfirmed ticks, and how many each must have confirmed.
    unconfirmed: Vec<(LinkId, u64)>,
    /// Ticks that a router has not placed yet.
    placing: BTreeSet<CallId>,
    timer: TimerId,
    token: T,
}

impl<T> Default for Flushes<T> {
    fn default() -> Self {
        Self { by_number: BTreeMap::new(), last: 0 }
    }
}

/// What a thread waits for.
#[derive(Debug)]
pub(crate) struct Awaited {
    pub(crate) peer: NodeId,
    pub(crate) unconfirmed: Vec<(LinkId, u64)>,
    pub(crate) placing: BTreeSet<CallId>,
}

impl<T> Flushes<T> {
    pub(crate) fn begin(
        &mut self,
        awaited: Awaited,
        deadline: Instant,
        token: T,
        env: &mut Env<T>,
    ) {
        let Awaited { peer, unconfirmed, placing } = awaited;
        if unconfirmed.is_empty() && placing.is_empty() {
            return env.complete(token, Ok(Done::Nothing));
        }
        self.last += 1;
        let timer = env.timers.arm(deadline, Timer::Flush(self.last));
        self.by_number.insert(self.last, Flush { peer, unconfirmed, placing, timer, token });
    }

    /// A link has confirmed so many ticks since it stands.
    pub(crate) fn on_confirmed(&mut self, link: LinkId, confirmed: u64, env: &mut Env<T>) {
        let waits = |flush: &mut Flush<T>| {
            flush.unconfirmed.retain(|(id, until)| *id != link || *until > confirmed);
            !flush.unconfirmed.is_empty() || !flush.placing.is_empty()
        };
        self.end(waits, |_| Ok(Done::Nothing), env);
    }

    /// A tick that a router was to place has ended.
    pub(crate) fn on_tick_ended(&mut self, tick: CallId, lost: Option<&Error>, env: &mut Env<T>) {
        let waits = |flush: &mut Flush<T>| {
            let awaited = flush.placing.remove(&tick);
            let done = flush.unconfirmed.is_empty() && flush.placing.is_empty();
            !(awaited && (lost.is_some() || done))
        };
        let result = |flush: &Flush<T>| match lost {
            Some(error) => Err(unplaced(&flush.peer, error)),
            None => Ok(Done::Nothing),
        };
        self.end(waits, result, env);
    }

    /// A link is gone, and what it had not confirmed never will be.
    pub(crate) fn on_link_lost(&mut self, link: LinkId, env: &mut Env<T>) {
        let elsewhere = |flush: &mut Flush<T>| flush.unconfirmed.iter().all(|(id, _)| *id != link);
        self.end(elsewhere, |flush| Err(lost(&flush.peer)), env);
    }

    /// The node stops.
    pub(crate) fn close(&mut self, closed: &Error, env: &mut Env<T>) {
        let error = closed.clone().with_execution(Execution::Unknown);
        self.end(|_| false, |_| Err(error.clone()), env);
    }

    /// A deadline has passed; `confirmed` says how many ticks a link has confirmed.
    pub(crate) fn on_due(
        &mut self,
        number: u64,
        confirmed: impl Fn(LinkId) -> Option<u64>,
        env: &mut Env<T>,
    ) {
        let Some(flush) = self.by_number.remove(&number) else {
            debug_assert!(false, "a flush that has ended has no timer");
            return;
        };
        let left = |(link, until): &(LinkId, u64)| Some(until.saturating_sub(confirmed(*link)?));
        let left: u64 = flush.unconfirmed.iter().filter_map(left).sum();
        let left = left + flush.placing.len() as u64;
        let why =
            format!("{} has not confirmed {left} ticks in time; they may have run", flush.peer);
        let error = Error::new(ErrorKind::RequestTimeout, why).with_peer(flush.peer);
        env.complete(flush.token, Err(error));
    }

    /// Ends those that do not wait any more.
    fn end(
        &mut self,
        mut waits: impl FnMut(&mut Flush<T>) -> bool,
        result: impl Fn(&Flush<T>) -> Result<Done, Error>,
        env: &mut Env<T>,
    ) {
        let all = self.by_number.iter_mut();
        let ended: Vec<u64> =
            all.filter_map(|(number, flush)| (!waits(flush)).then_some(*number)).collect();
        for flush in ended.iter().filter_map(|number| self.by_number.remove(number)) {
            env.timers.disarm(flush.timer);
            let result = result(&flush);
            env.complete(flush.token, result);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }
}

/// That router was to place a tick and could not, for the reason that this error says.
fn unplaced(router: &NodeId, error: &Error) -> Error {
    let why = error.message();
    let why = format!("{router} did not place all ticks: {why}; the event Undelivered counts them");
    Error::new(error.kind(), why).with_execution(Execution::Unknown).with_peer(router.clone())
}

/// The link to that peer is gone, or the peer is.
pub(crate) fn lost(peer: &NodeId) -> Error {
    let why = format!(
        "the link to {peer} was lost before all ticks were confirmed; the event Undelivered counts \
         them"
    );
    Error::new(ErrorKind::ConnectionLost, why)
        .with_execution(Execution::Unknown)
        .with_peer(peer.clone())
}
