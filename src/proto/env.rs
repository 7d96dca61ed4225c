//! What every part of the engine works in: the time, the configuration, timers, random numbers,
//! counters and the outputs. It must not hold the state of any part.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::counters::Counters;
use super::effect::Effect;
use super::timers::{TimerId, Timers};
use super::topology::DialId;
use super::{Local, Output, QueryId};
use crate::address::Address;
use crate::dropped::Dropped;
use crate::error::Error;
use crate::id::{CallId, LinkId, NodeId};
use crate::node_event::NodeEvent;

/// The engine draws the ids of its own calls from here up; those of callers never reach it.
const OWN_CALLS: u64 = 1 << 63;

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    /// A link's handshake, probe, liveness, write timeout or lingering close, whichever its state
    /// makes next.
    Link(LinkId),
    /// A call's deadline.
    Call(CallId),
    /// The end of the time that a tick may wait for capacity.
    WaitingTick(LinkId, u64),
    /// The deadline of a flush.
    Flush(u64),
    /// The end of a backoff between two dials.
    Dial(DialId),
    /// The first deadline of the callers that wait for a dial, or the time to give it up.
    Waiters(DialId),
    /// The end of the wait for a member.
    Member(u64),
    /// The deadline of a query for the members, or for their links.
    Query(CallId),
    /// The next deadline of a stop.
    Stop,
    /// The next report of routing statistics.
    Stats,
}

/// The environment of the engine's parts.
#[derive(Debug)]
pub(super) struct Env<T> {
    pub(super) now: Instant,
    pub(super) local: Local,
    pub(super) timers: Timers<Timer>,
    pub(super) rng: fastrand::Rng,
    pub(super) counters: Counters,
    /// How often peers broke the protocol, by rule.
    pub(super) violations: BTreeMap<&'static str, u64>,
    /// What the shell is to do, in order. `handle` swaps the caller's vector in for its duration.
    pub(super) out: Vec<Output<T>>,
    /// Links to which something has happened since they were last settled; may name one twice.
    dirty: Vec<LinkId>,
    /// What follows from the current input and is not done yet, in order.
    effects: VecDeque<Effect<T>>,
    last_link: u64,
    last_call: u64,
    last_query: u64,
}

impl<T> Env<T> {
    pub(super) fn new(local: Local, rng: fastrand::Rng, now: Instant) -> Self {
        Self {
            now,
            local,
            timers: Timers::new(now),
            rng,
            counters: Counters::default(),
            violations: BTreeMap::new(),
            out: Vec::new(),
            dirty: Vec::new(),
            effects: VecDeque::new(),
            last_link: 0,
            last_call: 0,
            last_query: 0,
        }
    }

    /// Draws a fresh id for a link.
    pub(super) fn draw_link(&mut self) -> LinkId {
        self.last_link += 1;
        LinkId(self.last_link)
    }

    /// Draws a fresh id for a call that no thread of this node made.
    pub(super) fn draw_call(&mut self) -> CallId {
        self.last_call += 1;
        CallId(OWN_CALLS | self.last_call)
    }

    /// Draws a fresh id for a query to the resolver.
    pub(super) fn draw_query(&mut self) -> QueryId {
        self.last_query += 1;
        QueryId(self.last_query)
    }

    /// Has the dispatcher do something once the current event is handled.
    pub(super) fn then(&mut self, effect: Effect<T>) {
        self.effects.push_back(effect);
    }

    /// Whether there is an effect that is not done yet.
    pub(super) fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// Takes the first effect that is not done yet.
    pub(super) fn next_effect(&mut self) -> Option<Effect<T>> {
        self.effects.pop_front()
    }

    /// Marks a link: before the current input ends, it is brought up to date once.
    pub(super) fn touch(&mut self, link: LinkId) {
        if self.dirty.last() != Some(&link) {
            self.dirty.push(link);
        }
    }

    /// Takes the links that are marked, each once and in the order of their ids.
    pub(super) fn take_dirty(&mut self) -> Vec<LinkId> {
        let mut dirty = std::mem::take(&mut self.dirty);
        if dirty.len() > 1 {
            dirty.sort_unstable();
            dirty.dedup();
        }
        dirty
    }

    /// Keeps the memory of a list that [`take_dirty`](Self::take_dirty) has returned.
    pub(super) fn reuse_dirty(&mut self, drained: Vec<LinkId>) {
        if self.dirty.is_empty() {
            self.dirty = drained;
        }
    }

    /// Wakes the caller of a command with its result.
    pub(super) fn complete(&mut self, token: T, result: Result<super::Done, Error>) {
        self.out.push(Output::Complete { token, result });
    }

    /// Publishes an event to the program.
    pub(super) fn event(&mut self, event: NodeEvent) {
        self.out.push(Output::Event(event));
    }

    /// Reports one lost tick, in the same event as those lost just before it.
    ///
    /// Thousands may be lost with one link, and as many events would push others out of the
    /// program's bounded queue.
    pub(super) fn report_undelivered(&mut self, peer: &NodeId, written: bool) {
        let last = self.out.iter_mut().rev().find_map(|output| match output {
            Output::Event(event) => Some(event),
            _ => None,
        });
        let (one, none) = (u64::from(!written), u64::from(written));
        match last {
            Some(NodeEvent::Undelivered { id, unwritten, unconfirmed }) if id == peer => {
                *unwritten += one;
                *unconfirmed += none;
            }
            _ => {
                let id = peer.clone();
                self.event(NodeEvent::Undelivered { id, unwritten: one, unconfirmed: none });
            }
        }
    }

    /// Counts an address in the hello of a peer that is none.
    pub(super) fn count_address(&mut self, said: Option<&str>) {
        let is_wrong = said.is_some_and(|text| text.parse::<Address>().is_err());
        self.counters.addresses += u64::from(is_wrong);
    }

    /// Everything that was dropped or refused so far, for the program.
    pub(super) fn all_dropped(&self) -> Dropped {
        let mut all = Dropped::default();
        let violations = self.violations.iter().map(|(reason, count)| (*reason, *count));
        for (reason, count) in self.counters.reasons().into_iter().chain(violations) {
            all.add(reason, count);
        }
        all
    }
}

/// Disarms a timer that may be armed.
pub(super) fn disarm(timers: &mut Timers<Timer>, timer: &mut Option<TimerId>) {
    if let Some(timer) = timer.take() {
        timers.disarm(timer);
    }
}

#[cfg(test)]
impl<T> Env<T> {
    /// Returns the environment of a node with default settings, for tests of single parts.
    pub(super) fn of_node(id: &str) -> Self {
        let id = NodeId::new(id).expect("the id of a test is one");
        let local = Local {
            options: crate::options::Options::default().with_id(&id),
            id,
            instance: crate::id::InstanceId(1),
            services: Vec::new(),
            host: None,
            advertise: None,
            config: crate::config::Config::default(),
            router: None,
        };
        Self::new(local, fastrand::Rng::with_seed(1), Instant::now())
    }

    /// Moves to the next instant at which timers expire. Returns how long that took, and which
    /// timers these are.
    pub(super) fn next_timers(&mut self) -> (std::time::Duration, Vec<Timer>) {
        let before = self.now;
        let mut expired = Vec::new();
        while let Some(at) = self.timers.next().filter(|_| expired.is_empty()) {
            self.now = self.now.max(at);
            expired.extend(std::iter::from_fn(|| self.timers.expired(self.now)));
        }
        (self.now - before, expired)
    }

    /// Takes the commands that have completed, each with its token.
    pub(super) fn take_completed(&mut self) -> Vec<(T, Result<super::Done, Error>)> {
        let completed = |output| match output {
            Output::Complete { token, result } => Some((token, result)),
            _ => None,
        };
        self.out.drain(..).filter_map(completed).collect()
    }
}
