//! What every part of the engine works in: the time, the configuration, timers, random numbers,
//! counters and the outputs. It must not hold the state of any part.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use super::counters::Counters;
use super::effect::Effect;
use super::link::announce::Announced;
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
    /// Versions of this node's options and services, as peers see them.
    pub(super) options_version: u64,
    pub(super) services_version: u64,
    /// Where this node listens, if it does.
    pub(super) bound: Option<SocketAddr>,
    /// The node is stopping: it takes nothing new.
    pub(super) stopping: bool,
    pub(super) timers: Timers<Timer>,
    pub(super) rng: fastrand::Rng,
    pub(super) counters: Counters,
    /// How often peers broke the protocol, by rule.
    pub(super) violations: BTreeMap<&'static str, u64>,
    /// What the shell is to do, in order. `handle` swaps the caller's vector in for its duration.
    pub(super) out: Vec<Output<T>>,
    /// What parts want of each other since the last effect was taken, in order.
    effects: Vec<Effect<T>>,
    /// What else is to be done, the last one first.
    deferred: Vec<Effect<T>>,
    /// Links to which something has happened since they were last settled; may name one twice.
    dirty: Vec<LinkId>,
    /// Those of them that are being settled, the last one first.
    settling: Vec<LinkId>,
    drawn: Drawn,
}

/// The last ids that were drawn.
#[derive(Default, Debug)]
struct Drawn {
    link: u64,
    call: u64,
    query: u64,
}

impl<T> Env<T> {
    pub(super) fn new(local: Local, rng: fastrand::Rng, now: Instant) -> Self {
        Self {
            now,
            local,
            options_version: 1,
            services_version: 1,
            bound: None,
            stopping: false,
            timers: Timers::new(now),
            rng,
            counters: Counters::default(),
            violations: BTreeMap::new(),
            out: Vec::new(),
            effects: Vec::new(),
            deferred: Vec::new(),
            dirty: Vec::new(),
            settling: Vec::new(),
            drawn: Drawn::default(),
        }
    }

    /// Draws a fresh id for a link.
    pub(super) fn draw_link(&mut self) -> LinkId {
        self.drawn.link += 1;
        LinkId(self.drawn.link)
    }

    /// Draws a fresh id for a call that no thread of this node made.
    pub(super) fn draw_call(&mut self) -> CallId {
        self.drawn.call += 1;
        CallId(OWN_CALLS | self.drawn.call)
    }

    /// Draws a fresh id for a query to the resolver.
    pub(super) fn draw_query(&mut self) -> QueryId {
        self.drawn.query += 1;
        QueryId(self.drawn.query)
    }

    /// Has the dispatcher do something for another part before the current input ends.
    pub(super) fn then(&mut self, effect: Effect<T>) {
        self.effects.push(effect);
    }

    /// Takes the next effect, and the others aside: what it brings about comes before those.
    pub(super) fn next_effect(&mut self) -> Option<Effect<T>> {
        match self.effects.len() {
            0 => self.deferred.pop(),
            1 => self.effects.pop(),
            _ => {
                // The last one first, behind those that were put aside before.
                self.deferred.extend(self.effects.drain(..).rev());
                self.deferred.pop()
            }
        }
    }

    /// Whether nothing is left to be done for the current input.
    pub(super) fn is_settled(&self) -> bool {
        let done = self.effects.is_empty() && self.deferred.is_empty();
        done && self.dirty.is_empty() && self.settling.is_empty()
    }

    #[inline]
    pub(super) fn has_effects(&self) -> bool {
        !self.effects.is_empty() || !self.deferred.is_empty()
    }

    /// Where the other end of a link, and nodes like it, can dial this node, if they can: what the
    /// program says, else where it listens. A node that listens on all addresses is where the link
    /// reaches it; `local` is the link's end on this side.
    pub(super) fn advertised(&self, local: Option<SocketAddr>) -> Option<Address> {
        if let Some(address) = &self.local.advertise {
            return Some(address.clone());
        }
        let bound = self.bound?;
        if !bound.ip().is_unspecified() {
            return Some(Address::from(bound));
        }
        Some(Address::from(SocketAddr::new(local?.ip(), bound.port())))
    }

    /// What this node announces to its peers.
    pub(super) fn announced(&self) -> Announced<'_> {
        Announced {
            options: (self.options_version, &self.local.options),
            services: (self.services_version, &self.local.services),
        }
    }

    /// Marks a link: before the current input ends, it is brought up to date once.
    #[inline]
    pub(super) fn touch(&mut self, link: LinkId) {
        if self.dirty.last() != Some(&link) {
            self.dirty.push(link);
        }
    }

    /// Takes the next link that is marked. Those that are marked meanwhile come after all that are
    /// marked now, and each comes once.
    #[inline]
    pub(super) fn next_dirty(&mut self) -> Option<LinkId> {
        if self.settling.is_empty() {
            std::mem::swap(&mut self.dirty, &mut self.settling);
            if self.settling.len() > 1 {
                self.settling.sort_unstable_by(|a, b| b.cmp(a));
                self.settling.dedup();
            }
        }
        self.settling.pop()
    }

    /// Wakes the caller of a command with its result.
    #[inline]
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
