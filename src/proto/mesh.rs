//! The engine's door: one value, its inputs, its outputs. What happens to each is told in the sibling files.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::calls::Call;
use super::dial::{DialId, Dials};
use super::flush::Flush;
use super::link::Link;
use super::listen::Listener;
use super::members::Members;
use super::memory::Memory;
use super::peers::Peers;
use super::relay::Relays;
use super::stop::Stopping;
use super::timers::{TimerId, Timers};
use super::{Command, Done, Input, Local, Output};
use crate::config::READ_PER_LINK_AND_TURN;
use crate::dropped::{Dropped, NO_ROOM};
use crate::id::{CallId, LinkId, NodeId};
use crate::routing::Directory;

/// What small messages are read into; more than one read of it per turn is rare.
const SCRATCH_BYTES: usize = READ_PER_LINK_AND_TURN / 4;

/// What the engine appends its wishes to.
pub(super) type Out<T> = Vec<Output<T>>;

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    /// A link's handshake, probe, liveness, write stall or lingering close, whichever its state makes next.
    Link(LinkId),
    /// A call's deadline.
    Call(CallId),
    /// The end of a tick's patience.
    ParkedTick(LinkId, u64),
    /// The end of the wait for confirmations.
    Flush(u64),
    /// The end of a pause between two dials.
    Dial(DialId),
    /// The first deadline of those who wait for a dial, or the time to give it up.
    Waiters(DialId),
    /// The end of the wait for a member.
    Member(u64),
    /// The end of the wait for an answer about members, or for the members.
    Question(CallId),
    /// The bound of a stop.
    Stop,
    /// The program is told what was forwarded.
    Stats,
}

/// What was dropped, by reason: nothing is dropped without one of these.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Counters {
    /// Connections beyond the limit of links.
    pub(crate) links: u64,
    /// Connections that made room for newer ones before their handshake was complete.
    pub(crate) handshakes: u64,
    /// Connections that came while this node stopped.
    pub(crate) stopping: u64,
    /// Connections of strangers.
    pub(crate) aliens: u64,
    /// Answers that nobody waits for any more.
    pub(crate) late_answers: u64,
    /// Answers of our handlers whose link is gone or whose caller gave up.
    pub(crate) unwanted_answers: u64,
    /// Messages of kinds that may be skipped.
    pub(crate) unknown_kinds: u64,
    /// Headers that may be skipped.
    pub(crate) unknown_headers: u64,
    /// Requests refused because the peer had too many open.
    pub(crate) busy: u64,
    /// Requests and ticks with more data than this node takes.
    pub(crate) long_payloads: u64,
    /// Requests refused because the node's memory was nearly used up and the peer had its share.
    pub(crate) crowded_requests: u64,
    /// Answers dropped for that reason; their callers were told.
    pub(crate) crowded_answers: u64,
    /// Links closed for that reason.
    pub(crate) crowded_links: u64,
    /// Peers that did not read and were let go.
    pub(crate) slow_peers: u64,
    /// Requests and ticks that waited in line for room, and none came in time.
    pub(crate) unroomed: u64,
    /// Members that are not kept because there are as many as may be.
    pub(crate) members: u64,
    /// Addresses of others that are none.
    pub(crate) addresses: u64,
}

impl Counters {
    fn reasons(self) -> [(&'static str, u64); 17] {
        // Taken apart, so that none is forgotten.
        let Self {
            links,
            handshakes,
            stopping,
            aliens,
            late_answers,
            unwanted_answers,
            unknown_kinds,
            unknown_headers,
            busy,
            long_payloads,
            crowded_requests,
            crowded_answers,
            crowded_links,
            slow_peers,
            unroomed,
            members,
            addresses,
        } = self;
        [
            ("connections beyond the limit of links", links),
            ("connections that made room for newer ones", handshakes),
            ("connections while the node stopped", stopping),
            ("connections of strangers", aliens),
            ("answers that came too late", late_answers),
            ("answers that nobody wants any more", unwanted_answers),
            ("messages of an unknown kind", unknown_kinds),
            ("headers of an unknown number", unknown_headers),
            ("requests beyond the number that was granted", busy),
            ("messages with more data than may be", long_payloads),
            ("requests beyond the share of the memory", crowded_requests),
            ("answers beyond the share of the memory", crowded_answers),
            ("links beyond their share of the memory", crowded_links),
            ("links to peers that did not read", slow_peers),
            (NO_ROOM, unroomed),
            ("members beyond those that are kept", members),
            ("addresses of others that are none", addresses),
        ]
    }
}

/// One node's half of all its links.
#[derive(Debug)]
pub(crate) struct Mesh<T> {
    pub(super) local: Local,
    pub(super) options_version: u64,
    pub(super) services_version: u64,
    pub(super) rng: fastrand::Rng,
    pub(super) now: Instant,
    pub(super) timers: Timers<Timer>,
    pub(super) links: BTreeMap<LinkId, Link<T>>,
    next_link: u64,
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
    /// The number of the last call that no thread of this node made.
    pub(super) last_call: u64,
    pub(super) relays: Relays,
    pub(super) dials: Dials<T>,
    pub(super) members: Members<T>,
    pub(super) listener: Listener<T>,
    /// Answers to `Listen` that are under way and mean nothing any more.
    pub(super) stale_listens: u32,
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
    pub(super) dropped: Counters,
    /// How often peers broke the protocol, by how.
    pub(super) violations: BTreeMap<&'static str, u64>,
    /// The log has been told that plaintext leaves this machine.
    pub(super) warned: bool,
    pub(super) scratch: Vec<u8>,
}

impl<T> Mesh<T> {
    pub(crate) fn new(local: Local, rng: fastrand::Rng, now: Instant) -> Self {
        let memory = Memory::new(local.config.limits.node_bytes);
        let mut mesh = Self {
            local,
            options_version: 1,
            services_version: 1,
            rng,
            now,
            timers: Timers::new(now),
            links: BTreeMap::new(),
            next_link: 0,
            shaking: BTreeSet::new(),
            probing: BTreeSet::new(),
            held: BTreeSet::new(),
            given_up: BTreeMap::new(),
            recheck: false,
            peers: Peers::default(),
            calls: BTreeMap::new(),
            last_call: 0,
            relays: Relays::new(now),
            dials: Dials::default(),
            members: Members::default(),
            listener: Listener::Closed,
            stale_listens: 0,
            stopping: None,
            stopped: false,
            directory: Directory::default(),
            granted: 0,
            memory,
            next_parked: 0,
            flushes: BTreeMap::new(),
            next_flush: 0,
            dropped: Counters::default(),
            violations: BTreeMap::new(),
            warned: false,
            scratch: vec![0; SCRATCH_BYTES],
        };
        mesh.begin_own();
        mesh.begin_stats();
        mesh
    }

    /// A fresh id for a link that the shell accepts.
    pub(crate) fn draw_link(&mut self) -> LinkId {
        self.next_link += 1;
        LinkId(self.next_link)
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
                self.refuse_command(command, out);
            }
            return;
        }
        self.pass_time(now);
        match input {
            Input::Accepted { link, local, remote } => self.accepted(link, local, remote, out),
            Input::Connected { link, local, remote } => self.connected(link, local, remote, out),
            Input::Received { link, len } => self.received(link, len, out),
            Input::Sent { link, len } => self.sent(link, len, out),
            Input::Lost { link, cause } => self.lost(link, cause, out),
            Input::Command(command) => self.command(command, out),
            Input::Answer { owed, answer } => self.answer(owed, answer, out),
            Input::Consumed { link, ticks, cost } => self.consumed(link, ticks, cost, out),
            Input::Resolved { query, result } => self.resolved(query, result, out),
            Input::Chosen { call, chosen } => self.looked(call, chosen, out),
            Input::Listening(result) => self.listening(result, out),
            Input::Due => self.due(out),
        }
        while std::mem::take(&mut self.recheck) {
            self.judge_all(out);
        }
        self.dial_members(out);
        self.proceed_stop(out);
        debug_assert_eq!(self.broken_invariant(), None);
    }

    /// When to come back with [`Input::Due`] at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timers.next()
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
        self.dropped
    }

    /// How often peers broke the protocol, by how.
    #[cfg(test)]
    pub(super) fn violations(&self) -> &BTreeMap<&'static str, u64> {
        &self.violations
    }

    /// All that was dropped and refused here, for the program.
    fn all_dropped(&self) -> Dropped {
        let mut all = Dropped::default();
        let violations = self.violations.iter().map(|(reason, count)| (*reason, *count));
        for (reason, count) in self.dropped.reasons().into_iter().chain(violations) {
            all.add(reason, count);
        }
        all
    }

    fn command(&mut self, command: Command<T>, out: &mut Out<T>) {
        if self.stopping.is_some() {
            return self.refuse_command(command, out);
        }
        match command {
            Command::Request(request) => self.request(request, out),
            Command::Tick(tick) if tick.plan.first.onward.is_some() => self.forward_tick(tick, out),
            Command::Tick(tick) => self.tick(tick.into(), out),
            Command::Cancel { call } => self.cancel(call, out),
            Command::Bind { address, token } => self.bind(address, token, out),
            Command::Unbind { token } => self.unbind(token, out),
            Command::Dropped { token } => {
                out.push(Output::Complete { token, result: Ok(Done::Dropped(self.all_dropped())) });
            }
            Command::Connect { address, mode, deadline, token } => {
                self.connect(address, mode, deadline, token, out);
            }
            Command::ConnectAlways { address, token } => self.connect_always(address, token, out),
            Command::Join { address, answered_by, deadline, token } => {
                self.join_by(address, answered_by, deadline, token, out);
            }
            Command::JoinAlways { address, token } => self.join_always(address, token, out),
            Command::Disconnect { whom, token } => self.disconnect(whom, token, out),
            Command::AskRouter { call, router, question, deadline, token } => {
                self.ask_router(call, router, question, deadline, token, out);
            }
            Command::RoutingStats { reset, token } => {
                let stats = self.relays.counts.stats(self.now);
                if reset {
                    self.relays.counts.reset(self.now);
                }
                out.push(Output::Complete { token, result: Ok(Done::Routing(Box::new(stats))) });
            }
            Command::Flush { peer, deadline, token } => {
                self.flush_peer(peer, deadline, token, out);
            }
            Command::Index { key } => {
                self.directory.index(&key);
                out.push(Output::Publish);
            }
            Command::SetOptions { options } => self.set_options(options, out),
            Command::SetServices { services } => self.set_services(services, out),
            Command::Stop { bound, token } => self.stop(bound, token, out),
        }
    }

    fn due(&mut self, out: &mut Out<T>) {
        while let Some(timer) = self.timers.expired(self.now) {
            match timer {
                Timer::Link(link) => self.link_due(link, out),
                Timer::Call(call) => self.call_due(call, out),
                Timer::ParkedTick(link, number) => self.parked_tick_due(link, number, out),
                Timer::Flush(number) => self.flush_due(number, out),
                Timer::Dial(dial) => self.dial_due(dial, out),
                Timer::Waiters(dial) => self.waiters_due(dial, out),
                Timer::Member(number) => self.member_due(number, out),
                Timer::Question(call) => self.question_due(call, out),
                Timer::Stop => self.stop_due(out),
                Timer::Stats => self.stats_due(out),
            }
        }
    }

    /// Moves the one timer of a link.
    pub(super) fn arm_link(&mut self, id: LinkId, at: Instant) {
        let Some(link) = self.links.get_mut(&id) else { return };
        disarm(&mut self.timers, &mut link.timer);
        link.timer = Some(self.timers.arm(at, Timer::Link(id)));
    }

    /// Gives the kernel what it may take, if it is not at work on this link already.
    pub(super) fn flush(&mut self, id: LinkId, out: &mut Out<T>) {
        if !self.members.news.is_empty() {
            self.tell_members(id);
        }
        self.refresh(id, out);
        if id == LinkId::OWN {
            return self.deliver_own(out);
        }
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        link.queue.stage(now);
        if !link.writing && !link.queue.nothing_staged() {
            link.writing = true;
            (link.progress, link.crept) = (now, 0);
            out.push(Output::Write { link: id });
        }
        self.recount(id, out);
    }
}

/// Disarms a timer that may be armed.
pub(super) fn disarm(timers: &mut Timers<Timer>, timer: &mut Option<TimerId>) {
    if let Some(timer) = timer.take() {
        timers.disarm(timer);
    }
}
