//! The engine's door: one value, its inputs, its outputs. What happens to each is told in the sibling files.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::calls::Call;
#[cfg(test)]
use super::counters::Counters;
use super::env::{Env, Timer, disarm};
use super::flush::Flush;
use super::link::{Link, State};
use super::memory::Memory;
use super::peers::Peers;
use super::relay::Relays;
use super::stop::Stopping;
use super::topology::Topology;
use super::{Command, Done, Input, Local, Output};
use crate::config::READ_PER_LINK_AND_TURN;
use crate::id::{CallId, LinkId, NodeId};
use crate::routing::Directory;

/// What small messages are read into; more than one read of it per turn is rare.
const SCRATCH_BYTES: usize = READ_PER_LINK_AND_TURN / 4;

/// One node's half of all its links.
#[derive(Debug)]
pub(crate) struct Mesh<T> {
    pub(super) env: Env<T>,
    pub(super) options_version: u64,
    pub(super) services_version: u64,
    pub(super) links: BTreeMap<LinkId, Link<T>>,
    /// Accepted links whose handshake is under way, the oldest first.
    pub(super) shaking: BTreeSet<LinkId>,
    /// Links whose id is contested.
    pub(super) probing: BTreeSet<LinkId>,
    /// Links that were dialled and wait until another handshake with the same peer has ended.
    pub(super) held: BTreeSet<LinkId>,
    /// Whose handshakes this node gave up after it had said ready, and when: to them such a link may have stood for a moment.
    pub(super) given_up: BTreeMap<NodeId, Instant>,
    /// The contested ids and the links held back are to be looked at again at the end of this input.
    pub(super) recheck: bool,
    pub(super) peers: Peers,
    pub(super) calls: BTreeMap<CallId, Call<T>>,
    pub(super) relays: Relays,
    pub(super) topology: Topology<T>,
    pub(super) stopping: Option<Stopping<T>>,
    pub(super) stopped: bool,
    pub(super) directory: Directory,
    /// Bytes of tick windows granted.
    pub(super) granted: u64,
    /// What the links hold.
    pub(super) memory: Memory,
    pub(super) next_parked: u64,
    /// Threads that wait for confirmations.
    pub(super) flushes: BTreeMap<u64, Flush<T>>,
    pub(super) next_flush: u64,
    pub(super) scratch: Vec<u8>,
}

impl<T> Mesh<T> {
    pub(crate) fn new(local: Local, rng: fastrand::Rng, now: Instant) -> Self {
        let memory = Memory::new(local.config.limits.node_bytes);
        let mut mesh = Self {
            env: Env::new(local, rng, now),
            options_version: 1,
            services_version: 1,
            links: BTreeMap::new(),
            shaking: BTreeSet::new(),
            probing: BTreeSet::new(),
            held: BTreeSet::new(),
            given_up: BTreeMap::new(),
            recheck: false,
            peers: Peers::default(),
            calls: BTreeMap::new(),
            relays: Relays::new(now),
            topology: Topology::default(),
            stopping: None,
            stopped: false,
            directory: Directory::default(),
            granted: 0,
            memory,
            next_parked: 0,
            flushes: BTreeMap::new(),
            next_flush: 0,
            scratch: vec![0; SCRATCH_BYTES],
        };
        mesh.begin_own();
        mesh.begin_stats();
        mesh
    }

    /// A fresh id for a link that the shell accepts.
    pub(crate) fn draw_link(&mut self) -> LinkId {
        self.env.draw_link()
    }

    /// Where the next received bytes of this link go; never empty. Valid until the next call of any method.
    pub(crate) fn space(&mut self, link: LinkId) -> &mut [u8] {
        let open = self.links.get_mut(&link).filter(|link| !link.is_closing());
        let body = open.and_then(|link| link.reader.body_space());
        body.unwrap_or(&mut self.scratch)
    }

    /// Takes one input and appends what is to be done.
    pub(crate) fn handle(&mut self, now: Instant, input: Input<T>, out: &mut Vec<Output<T>>) {
        if self.stopped {
            if let Input::Command(command) = input {
                self.refuse_command(command);
            }
            return;
        }
        std::mem::swap(&mut self.env.out, out);
        self.pass_time(now);
        self.input(input);
        self.settle();
        std::mem::swap(&mut self.env.out, out);
        debug_assert_eq!(self.broken_invariant(), None);
    }

    fn input(&mut self, input: Input<T>) {
        match input {
            Input::Accepted { link, local, remote } => self.accepted(link, local, remote),
            Input::Connected { link, local, remote } => self.connected(link, local, remote),
            Input::Received { link, len } => self.received(link, len),
            Input::Sent { link, len } => self.sent(link, len),
            Input::Lost { link, cause } => self.lost(link, cause),
            Input::Command(command) => self.command(command),
            Input::Answer { owed, answer } => self.answer(owed, answer),
            Input::Consumed { link, ticks, cost } => self.consumed(link, ticks, cost),
            Input::Resolved { query, result } => {
                self.topology.resolved(&mut self.env, &self.peers, query, result);
            }
            Input::Chosen { call, chosen } => self.looked(call, chosen),
            Input::Listening(result) => self.topology.listening(&mut self.env, result),
            Input::Due => self.due(),
        }
    }

    /// Does what follows from the input, once everything it says is noted: no part of the engine
    /// delivers or writes by itself, so that no chain of events is deeper than the code that
    /// handles one of them.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(effect) = self.env.next_effect() {
                self.run(effect);
            }
            while std::mem::take(&mut self.recheck) {
                self.judge_all();
            }
            self.topology.dial_waiting(&mut self.env);
            self.proceed_stop();
            let mut dirty = self.env.take_dirty();
            if dirty.is_empty() && !self.env.has_effects() {
                break;
            }
            for id in dirty.drain(..) {
                self.settle_link(id);
            }
            self.env.reuse_dirty(dirty);
        }
    }

    /// Brings a link to which something has happened up to date, whatever that was.
    fn settle_link(&mut self, id: LinkId) {
        self.admit_waiting(id);
        if self.topology.has_news(id) {
            self.announce_members(id);
        }
        self.refresh(id);
        if id == LinkId::OWN {
            self.deliver_own();
        } else {
            self.stage(id);
            self.all_written(id);
        }
        self.recount(id);
    }

    /// Frames what the kernel may take, and asks the shell to write it.
    fn stage(&mut self, id: LinkId) {
        let now = self.env.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        link.queue.stage(now);
        if !link.writing && !link.queue.nothing_staged() {
            link.writing = true;
            (link.progress, link.crept) = (now, 0);
            self.env.out.push(Output::Write { link: id });
        }
        if link.timer.is_none() && matches!(link.state, State::Ready) {
            self.arm_liveness(id);
        }
    }

    /// When to come back with [`Input::Due`] at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.env.timers.next()
    }

    /// Bytes to write to this link, in order; report what the kernel took with [`Input::Sent`], then ask again.
    /// Empty slices never occur. A link that is unknown has nothing to write.
    pub(crate) fn outgoing(&self, link: LinkId) -> impl Iterator<Item = &[u8]> {
        self.links.get(&link).into_iter().flat_map(|link| link.queue.outgoing())
    }

    /// The peers as of now; cheap to clone.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What was dropped so far, by reason.
    #[cfg(test)]
    pub(super) fn dropped(&self) -> Counters {
        self.env.counters
    }

    /// How often peers broke the protocol, by how.
    #[cfg(test)]
    pub(super) fn violations(&self) -> &BTreeMap<&'static str, u64> {
        &self.env.violations
    }

    fn command(&mut self, command: Command<T>) {
        if self.stopping.is_some() {
            return self.refuse_command(command);
        }
        match command {
            Command::Request(request) => self.request(request),
            Command::Tick(tick) if tick.plan.first.onward.is_some() => self.forward_tick(tick),
            Command::Tick(tick) => self.tick(tick.into()),
            Command::Cancel { call } => self.cancel(call),
            Command::Bind { address, token } => self.topology.bind(&mut self.env, address, token),
            Command::Unbind { token } => self.unbind(token),
            Command::Dropped { token } => {
                self.env.out.push(Output::Complete {
                    token,
                    result: Ok(Done::Dropped(self.env.all_dropped())),
                });
            }
            Command::Connect { address, mode, deadline, token } => {
                let how = (mode, deadline);
                self.topology.connect(&mut self.env, &self.peers, address, how, token);
            }
            Command::ConnectAlways { address, token } => {
                self.topology.connect_always(&mut self.env, &self.peers, address, token);
            }
            Command::Join { address, answered_by, deadline, token } => {
                let until = (answered_by, deadline);
                self.topology.join(&mut self.env, &self.peers, address, until, token);
            }
            Command::JoinAlways { address, token } => {
                self.topology.join_always(&mut self.env, &self.peers, address, token);
            }
            Command::Disconnect { whom, token } => {
                self.topology.disconnect(&mut self.env, &self.peers, whom, token);
            }
            Command::AskRouter { call, router, question, deadline, token } => {
                self.ask_router(call, router, question, deadline, token);
            }
            Command::RoutingStats { reset, token } => {
                let stats = self.relays.counts.stats(self.env.now);
                if reset {
                    self.relays.counts.reset(self.env.now);
                }
                self.env
                    .out
                    .push(Output::Complete { token, result: Ok(Done::Routing(Box::new(stats))) });
            }
            Command::Flush { peer, deadline, token } => {
                self.flush_peer(peer, deadline, token);
            }
            Command::Index { key } => {
                self.directory.index(&key);
                self.env.out.push(Output::Publish);
            }
            Command::SetOptions { options } => self.set_options(options),
            Command::SetServices { services } => self.set_services(services),
            Command::Stop { bound, token } => self.stop(bound, token),
        }
    }

    fn due(&mut self) {
        while let Some(timer) = self.env.timers.expired(self.env.now) {
            match timer {
                Timer::Link(link) => self.link_due(link),
                Timer::Call(call) => self.call_due(call),
                Timer::WaitingTick(link, number) => self.parked_tick_due(link, number),
                Timer::Flush(number) => self.flush_due(number),
                Timer::Dial(dial) => self.topology.dial_due(&mut self.env, dial),
                Timer::Waiters(dial) => self.waiters_due(dial),
                Timer::Member(number) => {
                    self.topology.member_due(&mut self.env, &self.peers, number);
                }
                Timer::Query(call) => {
                    self.topology.query_due(&mut self.env, &self.peers, call);
                }
                Timer::Stop => self.stop_due(),
                Timer::Stats => self.stats_due(),
            }
        }
    }

    /// Moves the one timer of a link.
    pub(super) fn arm_link(&mut self, id: LinkId, at: Instant) {
        let Some(link) = self.links.get_mut(&id) else { return };
        disarm(&mut self.env.timers, &mut link.timer);
        link.timer = Some(self.env.timers.arm(at, Timer::Link(id)));
    }
}
