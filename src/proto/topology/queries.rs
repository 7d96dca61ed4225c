//! Queries for the members that this node has sent: their replies come in pages, and a caller may
//! wait until the members that they name have joined. It must not know what a member is, nor dial.
//!
//! ```text
//! sent -> replied            the last page has come, and no caller waits, or no member is open
//!      -> replied -> done    every member that the reply names has joined or could not be reached
//!      -> failed             no reply in time, an error instead, too many members, a link lost
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::dial::DialId;
use crate::config::MEMBERS;
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{CallId, LinkId, NodeId};
use crate::proto::Done;
use crate::proto::env::{Env, Timer};
use crate::proto::timers::TimerId;

/// All queries that are not over.
#[derive(Debug)]
pub(super) struct Queries<T> {
    by_call: BTreeMap<CallId, Query<T>>,
}

#[derive(Debug)]
struct Query<T> {
    sent: Sent,
    /// The caller that waits for the members, and until when; none if the seed was dialled again by
    /// itself.
    waiter: Option<(Instant, T)>,
    timer: TimerId,
    pages: usize,
    /// The last page has come.
    replied: bool,
    named: BTreeSet<NodeId>,
    /// Of those: which are being dialled for the first time.
    open: BTreeSet<NodeId>,
    unreached: BTreeSet<NodeId>,
}

/// What a query was sent to.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) link: LinkId,
    pub(super) seed: NodeId,
    pub(super) dial: DialId,
}

/// A query that has failed.
#[derive(Debug)]
pub(super) struct Failed<T> {
    /// What was dialled for the query alone is to be let go.
    pub(super) dial: DialId,
    /// The caller that waits, and its error.
    pub(super) waiter: Option<(T, Error)>,
}

impl<T> Default for Queries<T> {
    fn default() -> Self {
        Self { by_call: BTreeMap::new() }
    }
}

/// Replies.
impl<T> Queries<T> {
    /// Returns a query that is not over; that it is not is for the caller to know.
    fn open(&mut self, call: CallId) -> Option<&mut Query<T>> {
        let query = self.by_call.get_mut(&call);
        debug_assert!(query.is_some(), "{call:?} is over");
        query
    }

    /// Notes a query that is being sent, to be replied to by then. `waiter`: until when the members
    /// must have joined, and for which caller.
    pub(super) fn send(
        &mut self,
        env: &mut Env<T>,
        sent: Sent,
        reply_by: Instant,
        waiter: Option<(Instant, T)>,
    ) -> CallId {
        let call = env.draw_call();
        let query = Query {
            sent,
            waiter,
            timer: env.timers.arm(reply_by, Timer::Query(call)),
            pages: 0,
            replied: false,
            named: BTreeSet::new(),
            open: BTreeSet::new(),
            unreached: BTreeSet::new(),
        };
        self.by_call.insert(call, query);
        call
    }

    /// Whether a reply to that query may come over that link.
    pub(super) fn awaits(&self, link: LinkId, call: CallId) -> bool {
        let query = self.by_call.get(&call);
        query.is_some_and(|query| query.sent.link == link && !query.replied)
    }

    /// Counts a page of a reply. Returns the failed query if it names too many members.
    pub(super) fn count_page(
        &mut self,
        env: &mut Env<T>,
        call: CallId,
        members: usize,
    ) -> Option<Failed<T>> {
        let query = self.open(call)?;
        query.pages += 1;
        if query.named.len() + members <= MEMBERS && query.pages <= MEMBERS {
            return None;
        }
        let why = format!("{} names more members than {MEMBERS}", query.sent.seed);
        let error = Error::new(ErrorKind::TooLarge, why);
        self.fail(env, call, error.with_execution(Execution::Unknown))
    }

    /// Notes that a reply names a member. Returns whether it does so for the first time.
    pub(super) fn name(&mut self, call: CallId, id: &NodeId) -> bool {
        let query = self.open(call);
        query.is_some_and(|query| query.named.insert(id.clone()))
    }

    /// A member that was named is not joined yet, but looked for.
    pub(super) fn note_open(&mut self, call: CallId, id: &NodeId) {
        if let Some(query) = self.open(call) {
            query.open.insert(id.clone());
        }
    }

    /// A member that was named is not looked for.
    pub(super) fn note_unreached(&mut self, call: CallId, id: &NodeId) {
        if let Some(query) = self.open(call) {
            query.unreached.insert(id.clone());
        }
    }

    /// The last page of a reply has come: from now on the caller waits for the members.
    pub(super) fn replied(&mut self, env: &mut Env<T>, call: CallId) -> Option<Sent> {
        let query = self.open(call)?;
        query.replied = true;
        if let Some((joined_by, _)) = &query.waiter {
            let timer = env.timers.arm(*joined_by, Timer::Query(call));
            env.timers.disarm(std::mem::replace(&mut query.timer, timer));
        }
        Some(query.sent.clone())
    }

    /// Whether a reply has named that member, or is the seed's own.
    pub(super) fn has_named(&self, call: CallId, id: &NodeId) -> bool {
        let query = self.by_call.get(&call);
        query.is_some_and(|query| query.sent.seed == *id || query.named.contains(id))
    }

    /// Ends a query if nothing is left to wait for.
    pub(super) fn proceed(&mut self, env: &mut Env<T>, call: CallId) {
        let is_done =
            |query: &Query<T>| query.replied && (query.open.is_empty() || query.waiter.is_none());
        if self.by_call.get(&call).is_some_and(is_done) {
            self.finish(env, call);
        }
    }

    /// Reports the members that have joined so far.
    fn finish(&mut self, env: &mut Env<T>, call: CallId) {
        let Some(query) = self.by_call.remove(&call) else {
            debug_assert!(false, "{call:?} is over already");
            return;
        };
        env.timers.disarm(query.timer);
        let Some((_, token)) = query.waiter else { return };
        let unreached: Vec<NodeId> = query.unreached.into_iter().chain(query.open).collect();
        let reached = query.named.into_iter().filter(|id| !unreached.contains(id)).collect();
        env.complete(token, Ok(Done::Joined { seed: query.sent.seed, reached, unreached }));
    }

    /// A link with that member is joined.
    pub(super) fn member_joined(&mut self, env: &mut Env<T>, id: &NodeId) {
        self.change(env, |query| {
            let late = query.unreached.remove(id);
            query.open.remove(id) || late
        });
    }

    /// The first dial of that member has failed, or it is none any more.
    pub(super) fn member_unreached(&mut self, env: &mut Env<T>, id: &NodeId) {
        self.change(env, |query| query.open.remove(id) && query.unreached.insert(id.clone()));
    }

    fn change(&mut self, env: &mut Env<T>, change: impl Fn(&mut Query<T>) -> bool) {
        let all = self.by_call.iter_mut();
        let changed: Vec<CallId> =
            all.filter_map(|(call, query)| change(query).then_some(*call)).collect();
        for call in changed {
            self.proceed(env, call);
        }
    }
}

/// Failures.
impl<T> Queries<T> {
    /// The time for the reply, or for the members to join, is over.
    pub(super) fn due(&mut self, env: &mut Env<T>, call: CallId) -> Option<Failed<T>> {
        let query = self.open(call)?;
        if query.replied {
            self.finish(env, call);
            return None;
        }
        let why = format!("{} did not name the members in time", query.sent.seed);
        let error = Error::new(ErrorKind::RequestTimeout, why);
        self.fail(env, call, error.with_execution(Execution::Unknown))
    }

    /// A link is lost, and with it the replies that were to come over it.
    pub(super) fn link_lost(
        &mut self,
        env: &mut Env<T>,
        link: LinkId,
        peer: &NodeId,
    ) -> Vec<Failed<T>> {
        let lost = |query: &Query<T>| query.sent.link == link && !query.replied;
        let lost = self.by_call.iter().filter(|(_, query)| lost(query)).map(|(call, _)| *call);
        let lost: Vec<CallId> = lost.collect();
        let why = format!("the link to {peer} was lost before it had named the members");
        let error = Error::new(ErrorKind::ConnectionLost, why).with_execution(Execution::Unknown);
        lost.into_iter().filter_map(|call| self.fail(env, call, error.clone())).collect()
    }

    /// Ends a query without its reply.
    pub(super) fn fail(
        &mut self,
        env: &mut Env<T>,
        call: CallId,
        error: Error,
    ) -> Option<Failed<T>> {
        let query = self.by_call.remove(&call)?;
        env.timers.disarm(query.timer);
        let Sent { seed, dial, .. } = query.sent;
        log::debug!(target: "threadmesh::proto", "querying {seed} for members: {error}");
        let waiter = query.waiter.map(|(_, token)| (token, error.with_peer(seed)));
        Some(Failed { dial, waiter })
    }

    /// The node stops: every caller gets the error.
    pub(super) fn close(&mut self, env: &mut Env<T>, error: &Error) {
        for query in std::mem::take(&mut self.by_call).into_values() {
            env.timers.disarm(query.timer);
            if let Some((_, token)) = query.waiter {
                env.complete(token, Err(error.clone()));
            }
        }
    }

    /// Timers that queries own.
    #[cfg(any(test, fuzzing))]
    pub(super) fn timers(&self) -> usize {
        self.by_call.len()
    }

    #[cfg(test)]
    pub(super) fn first(&self) -> Option<CallId> {
        self.by_call.keys().next().copied()
    }
}

#[cfg(test)]
mod tests;
