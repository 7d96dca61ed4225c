//! All links of a node: their begin and end, the timer and the memory of each, and what a marked
//! link is brought up to date with. It must not know peers, calls or dials but by their names.

mod handshakes;
mod messages;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::env::{Env, Timer, disarm};
use super::link::handshake::{Greeted, Handshake};
use super::link::inbound::Forwarded;
use super::link::outbound::Unsent;
use super::link::wait_queue::Admitted;
use super::link::{Link, Settled};
use super::memory::Memory;
use super::planted::{Planted, has};
use super::queue::{Item, Seq};
use super::topology::DialId;
use super::traffic::WaitingTick;
use super::{Output, StopCut};
use crate::config::{LINGER, READ_PER_LINK_AND_TURN};
use crate::id::{InstanceId, LinkId, NodeId, PeerKey};
use crate::node_event::Direction;
use crate::routing::Gauge;
use crate::wire::{Control, Offer};

pub(super) use handshakes::{Joined, NextFrame};
pub(super) use requests::{InboundCall, InboundTick, ReplyTrail};

/// What small messages are read into; more than one read of it per turn is rare.
const SCRATCH_BYTES: usize = READ_PER_LINK_AND_TURN / 4;

#[derive(Debug)]
pub(super) struct Links<T> {
    by_id: BTreeMap<LinkId, Link<T>>,
    /// Accepted links whose handshake is under way, the oldest first.
    joining: BTreeSet<LinkId>,
    /// Links whose id is contested.
    contested: BTreeSet<LinkId>,
    /// Links that were dialled and wait until another handshake with the same peer has ended.
    deferred: BTreeSet<LinkId>,
    /// Nodes whose handshakes this node gave up after it had sent `ready`, and when: to them such a
    /// link may have stood for a moment.
    abandoned: BTreeMap<NodeId, Instant>,
    /// Contested and deferred links are to be decided again before the current input ends.
    recheck: bool,
    /// Those that are being decided again, the last one first.
    rechecks: Vec<LinkId>,
    memory: Memory,
    scratch: Vec<u8>,
}

/// What a joined link leaves behind that others have to decide.
#[derive(Debug)]
pub(super) struct Left<T> {
    pub(super) link: LinkId,
    pub(super) peer: PeerKey,
    pub(super) direction: Direction,
    pub(super) dial: Option<DialId>,
    pub(super) unsent: Unsent<WaitingTick<T>>,
    /// The first message that the kernel did not take wholly.
    unwritten_from: Seq,
    pub(super) forwards: Vec<Forwarded>,
    /// Ticks that the kernel never had, and those that the peer has not confirmed.
    pub(super) unwritten: u64,
    pub(super) unconfirmed: u64,
}

/// What others have to do for a link before it is settled.
#[derive(Debug)]
pub(super) enum Settling<T> {
    Nothing,
    /// A message that waited has got capacity: it is to be sent.
    Admitted(Admitted<WaitingTick<T>>),
    /// This node has announced something to itself.
    Announced(Vec<Control>),
    /// A message of this node to itself is to be taken as if it had come in.
    Delivered(Item),
}

impl<T> Left<T> {
    /// Whether the kernel has the last byte of that message.
    pub(super) fn is_written(&self, seq: Seq) -> bool {
        seq < self.unwritten_from
    }
}

impl<T> Links<T> {
    pub(super) fn new(memory_limit: usize) -> Self {
        Self {
            by_id: BTreeMap::new(),
            joining: BTreeSet::new(),
            contested: BTreeSet::new(),
            deferred: BTreeSet::new(),
            abandoned: BTreeMap::new(),
            recheck: false,
            rechecks: Vec::new(),
            memory: Memory::new(memory_limit),
            scratch: vec![0; SCRATCH_BYTES],
        }
    }

    pub(super) fn get(&self, id: LinkId) -> Option<&Link<T>> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link<T>> {
        self.by_id.get_mut(&id)
    }

    /// A link that its caller has just seen.
    pub(super) fn known(&mut self, id: LinkId) -> Option<&mut Link<T>> {
        let link = self.by_id.get_mut(&id);
        debug_assert!(link.is_some(), "{id:?} is gone, and something is still done with it");
        link
    }

    /// The link, if messages may be sent over it.
    pub(super) fn ready(&self, id: LinkId) -> Option<&Link<T>> {
        self.get(id).filter(|link| link.is_ready())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Link<T>> {
        self.by_id.values()
    }

    /// The ids of the links for which that is true.
    pub(super) fn ids(&self, which: impl Fn(&Link<T>) -> bool) -> Vec<LinkId> {
        self.iter().filter(|link| which(link)).map(|link| link.id).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Where the next received bytes of a link go; never empty.
    pub(super) fn space(&mut self, id: LinkId) -> &mut [u8] {
        let open = self.by_id.get_mut(&id).filter(|link| !link.is_closing());
        let body = open.and_then(|link| link.reader.body_space());
        body.unwrap_or(&mut self.scratch)
    }

    /// Lends the space of small messages, which is to be returned.
    pub(super) fn take_scratch(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }

    pub(super) fn return_scratch(&mut self, scratch: Vec<u8>) {
        self.scratch = scratch;
    }
}

/// Begin.
impl<T> Links<T> {
    /// The link of the node with itself, which joins at once.
    pub(super) fn open_self_link(&mut self, env: &Env<T>) -> std::sync::Arc<Gauge> {
        let config = &env.local.config;
        let nowhere = SocketAddr::from(([0; 4], 0));
        let mut link = Link::new(LinkId::OWN, Direction::Up, nowhere, config, env.now);
        (link.handshake, link.peer) = (Handshake::self_link(), Some(PeerKey::OWN));
        let limits = &config.limits;
        // Its window takes nothing from those of the peers: a node has only one self link.
        let window = self.memory.first_window(limits.tick_window_bytes);
        link.ticks.grant(window);
        link.ticks.revoke();
        let (queue, calls) = (limits.link_queue_bytes, limits.calls_per_link);
        let gauge = Gauge::new(queue, self.memory.share(), calls, window);
        let capacity = link.outbound.open(gauge, limits.message_bytes);
        self.by_id.insert(LinkId::OWN, link);
        capacity
    }

    /// The listener accepted a connection.
    pub(super) fn accepted(
        &mut self,
        id: LinkId,
        local: SocketAddr,
        remote: SocketAddr,
        env: &mut Env<T>,
    ) {
        log::debug!(target: "threadmesh::proto", "{remote} dialled {local}");
        let limits = &env.local.config.limits;
        if env.stopping || self.by_id.len() > limits.links {
            let counters = &mut env.counters;
            *if env.stopping { &mut counters.stopping } else { &mut counters.links } += 1;
            env.out.push(Output::Hang { link: id });
            return;
        }
        if self.joining.len() >= limits.handshakes && !has(Planted::NewcomersUnlimited) {
            if let Some(oldest) = self.joining.first().copied() {
                env.counters.handshakes += 1;
                self.drop_link(oldest, true, env);
            }
        }
        let mut link = Link::new(id, Direction::Down, remote, &env.local.config, env.now);
        link.connected(local, remote, env.now);
        self.by_id.insert(id, link);
        self.joining.insert(id);
        self.arm(id, env.now + env.local.config.handshake_timeout, env);
    }

    /// Dials.
    pub(super) fn dial(&mut self, id: LinkId, addr: SocketAddr, dial: DialId, env: &mut Env<T>) {
        let mut link = Link::new(id, Direction::Up, addr, &env.local.config, env.now);
        link.dial = Some(dial);
        self.by_id.insert(id, link);
        env.out.push(Output::Dial { link: id, addr });
    }

    /// A dial succeeded: the dialler greets first. False if the link was given up meanwhile.
    pub(super) fn connected(
        &mut self,
        id: LinkId,
        local: SocketAddr,
        remote: SocketAddr,
        env: &mut Env<T>,
    ) -> bool {
        log::debug!(target: "threadmesh::proto", "{local} is connected to {remote}");
        let Some(link) = self.by_id.get_mut(&id) else {
            // It was given up meanwhile.
            env.out.push(Output::Hang { link: id });
            return false;
        };
        link.connected(local, remote, env.now);
        link.queue.push_raw(&Offer::OURS.to_bytes());
        env.touch(id);
        self.arm(id, env.now + env.local.config.handshake_timeout, env);
        true
    }

    /// Takes greeting bytes from the front of `input`; a listener answers at once.
    pub(super) fn greet(&mut self, id: LinkId, input: &mut &[u8], env: &mut Env<T>) -> Greeted {
        let Some(link) = self.known(id) else { return Greeted::More };
        let greeted = link.handshake.greet(link.direction, input);
        match &greeted {
            Greeted::Accepted(reply) => {
                link.queue.push_raw(reply);
                env.touch(id);
            }
            Greeted::Refused(reply) => {
                link.queue.push_raw(reply);
                self.linger(id, env);
            }
            Greeted::More | Greeted::Foreign(_) | Greeted::Agreed | Greeted::Incompatible(_) => {}
        }
        greeted
    }

    /// Grants a link its first window, which its hello says.
    pub(super) fn grant_window(&mut self, id: LinkId, env: &Env<T>) -> u64 {
        let window = self.memory.first_window(env.local.config.limits.tick_window_bytes);
        if let Some(link) = self.by_id.get_mut(&id) {
            let before = link.ticks.grant(window);
            self.memory.window_changed(before, window);
        }
        window
    }

    /// The handshake of a link is complete.
    pub(super) fn joined(&mut self, id: LinkId) {
        self.joining.remove(&id);
        self.recheck |= !self.deferred.is_empty();
        self.memory.link_joined();
    }

    /// Waits for another handshake with the same peer.
    pub(super) fn defer(&mut self, id: LinkId) {
        self.deferred.insert(id);
    }

    /// Another peer has the id: waits for it to show life.
    pub(super) fn contest(&mut self, id: LinkId, until: Instant, env: &mut Env<T>) {
        if self.by_id.get_mut(&id).is_some_and(|link| link.handshake.contest(until)) {
            self.contested.insert(id);
            self.recheck = true;
            self.arm(id, until, env);
        }
    }

    /// Whether this node has sent `ready` to that instance on another link that it dialled, and
    /// waits for the reply.
    pub(super) fn is_behind_another(&self, id: LinkId, instance: InstanceId) -> bool {
        let dialled = |link: &&Link<T>| link.direction == Direction::Up;
        self.get(id).is_some_and(|link| dialled(&link))
            && self
                .iter()
                .filter(dialled)
                .any(|link| link.id != id && link.handshake.awaits_ready_of(instance))
    }

    /// A peer has answered a probe.
    pub(super) fn on_echo(&mut self, id: LinkId) {
        if let Some(link) = self.by_id.get_mut(&id) {
            link.liveness.echoed();
            self.recheck = true;
        }
    }

    /// A peer probes this node.
    pub(super) fn on_probe(&mut self, id: LinkId, stamp: u64, env: &mut Env<T>) {
        if let Some(link) = self.by_id.get_mut(&id) {
            link.liveness.probed(stamp);
            self.heartbeat(id, 0, env);
        }
    }

    /// Takes a control message of a peer from what it may send. False if it floods.
    pub(super) fn take_budget(&mut self, id: LinkId, now: Instant) -> bool {
        let link = self.by_id.get_mut(&id);
        link.is_none_or(|link| link.inbound.budget().take(now)) || has(Planted::FloodIgnored)
    }

    /// A page of a peer's services. Returns its record's key and all of them with the last page.
    pub(super) fn on_services(
        &mut self,
        id: LinkId,
        (version, last): (u64, bool),
        names: Vec<String>,
    ) -> Result<Option<(PeerKey, Vec<String>)>, &'static str> {
        let Some(link) = self.known(id) else { return Ok(None) };
        let services = link.announce.on_page(version, last, names)?;
        Ok(link.peer.zip(services))
    }

    /// The next link to decide again, if there is a reason: contested ones, then deferred ones.
    pub(super) fn next_recheck(&mut self) -> Option<LinkId> {
        if self.rechecks.is_empty() && std::mem::take(&mut self.recheck) {
            let links = &self.by_id;
            let still = |link: &Link<T>| link.handshake.contested_until().is_some();
            self.contested.retain(|id| links.get(id).is_some_and(still));
            self.rechecks.extend(std::mem::take(&mut self.deferred).into_iter().rev());
            self.rechecks.extend(self.contested.iter().rev());
        }
        self.rechecks.pop()
    }
}

/// End.
impl<T> Links<T> {
    /// A joined link is not used any more: nothing is sent over it, and it takes no part in the
    /// memory but with ticks that handlers still have. The link itself stays, to be closed or
    /// dropped. `None` if no peer had joined over it.
    pub(super) fn leave(&mut self, id: LinkId, env: &mut Env<T>) -> Option<Left<T>> {
        let link = self.by_id.get_mut(&id)?;
        let peer = link.peer.take()?;
        self.recheck = true;
        self.memory.window_changed(link.ticks.revoke(), 0);
        if id != LinkId::OWN {
            self.memory.link_left();
        }
        env.touch(id);
        let left = Left {
            link: id,
            peer,
            direction: link.direction,
            dial: link.dial,
            unsent: link.outbound.close(),
            unwritten_from: link.queue.unwritten_from(),
            forwards: link.inbound.close(),
            unwritten: link.ticks.unwritten(),
            unconfirmed: link.ticks.unconfirmed(),
        };
        self.memory.orphan(link.inbound.take_in_hand());
        self.recount(id, env);
        Some(left)
    }

    /// Sends a last message and closes once it is read, or after a bounded time.
    pub(super) fn close_with(&mut self, id: LinkId, last: &Control, env: &mut Env<T>) {
        if let Some(link) = self.by_id.get_mut(&id) {
            link.queue.drop_unframed();
            link.queue.push_state(last);
            self.linger(id, env);
        }
    }

    /// Writes what is staged, shuts the write side, and waits for the other side to do the same.
    pub(super) fn linger(&mut self, id: LinkId, env: &mut Env<T>) {
        self.note_abandoned(id, env);
        let Some(link) = self.known(id) else { return };
        link.handshake.close();
        link.dial = None;
        self.recheck |= !self.deferred.is_empty();
        self.joining.remove(&id);
        self.arm(id, env.now + LINGER, env);
        env.touch(id);
    }

    /// The other side sends no more: what is staged for it is still written, then the link is
    /// dropped.
    pub(super) fn finish_writing(&mut self, id: LinkId, env: &mut Env<T>) {
        let Some(link) = self.known(id) else { return };
        if !link.is_closing() {
            link.queue.drop_unframed();
            self.linger(id, env);
        }
        if let Some(link) = self.by_id.get_mut(&id) {
            link.handshake.ended();
            env.touch(id);
        }
    }

    /// Drops a link that no peer has joined over, or not any more. `hang` has the shell drop the
    /// socket, which it has forgotten otherwise.
    pub(super) fn drop_link(&mut self, id: LinkId, hang: bool, env: &mut Env<T>) {
        self.note_abandoned(id, env);
        // It may have been dropped by what followed from another one.
        let Some(mut link) = self.by_id.remove(&id) else { return };
        self.recheck |= !self.deferred.is_empty();
        debug_assert!(link.peer.is_none(), "a joined link leaves before it is dropped");
        disarm(&mut env.timers, &mut link.timer);
        self.memory.window_changed(link.ticks.revoke(), 0);
        self.memory_changed(link.memory_used, 0, env);
        self.joining.remove(&id);
        if hang {
            env.out.push(Output::Hang { link: id });
        }
    }

    /// A link ends that this node has dialled and sent `ready` on: the other side may have taken it
    /// for the newer one, and closed the older.
    fn note_abandoned(&mut self, id: LinkId, env: &Env<T>) {
        let (now, lately) = (env.now, Self::lately(env));
        let link = self.by_id.get(&id).filter(|link| link.direction == Direction::Up);
        if let Some(peer) = link.and_then(|link| link.handshake.ready_with()) {
            let recent = |at: &Instant| now.saturating_duration_since(*at) < lately;
            self.abandoned.retain(|_, at| recent(at));
            self.abandoned.insert(peer.clone(), now);
        }
    }

    /// Whether a handshake with that node was given up a moment ago.
    pub(super) fn has_abandoned(&self, peer: &NodeId, env: &Env<T>) -> bool {
        let since = |at: &Instant| env.now.saturating_duration_since(*at);
        self.abandoned.get(peer).is_some_and(|at| since(at) < Self::lately(env))
    }

    fn lately(env: &Env<T>) -> Duration {
        env.local.config.handshake_timeout * 2
    }

    #[cfg(test)]
    pub(super) fn abandon(&mut self, peer: NodeId, at: Instant) {
        self.abandoned.insert(peer, at);
    }
}

/// While it stands.
impl<T> Links<T> {
    /// The time moves on. After a gap in which this node itself was suspended, no peer is to blame
    /// for the silence: each gets the whole time again.
    #[inline]
    pub(super) fn pass_time(&mut self, now: Instant, env: &mut Env<T>) {
        if now <= env.now {
            return;
        }
        let gap = now.saturating_duration_since(env.now);
        env.now = now;
        let suspended = gap > env.local.config.heartbeat_interval * 2;
        if suspended && !has(Planted::SuspensionBlamed) {
            self.by_id.values_mut().for_each(|link| link.liveness.resume(env.now));
        }
    }

    /// Bytes came in. False if no more is to be read of them.
    pub(super) fn received(&mut self, id: LinkId, len: usize, env: &mut Env<T>) -> bool {
        // The shell may have read before it was told to hang up.
        let Some(link) = self.by_id.get_mut(&id) else { return false };
        link.liveness.received(env.now);
        if link.handshake.discard(len) {
            self.drop_link(id, true, env);
            return false;
        }
        env.touch(id);
        !link.is_closing()
    }

    /// The kernel took bytes.
    #[inline]
    pub(super) fn sent(&mut self, id: LinkId, len: usize, env: &mut Env<T>) {
        if let Some(link) = self.by_id.get_mut(&id) {
            link.sent(len, &env.local.config, env.now);
            env.touch(id);
        }
    }

    /// Moves the one timer of a link.
    pub(super) fn arm(&mut self, id: LinkId, at: Instant, env: &mut Env<T>) {
        let Some(link) = self.known(id) else { return };
        disarm(&mut env.timers, &mut link.timer);
        link.timer = Some(env.timers.arm(at, Timer::Link(id)));
    }

    /// Has a joined link looked at again when the first of its times may come.
    pub(super) fn arm_liveness(&mut self, id: LinkId, env: &mut Env<T>) {
        // Before, and when it closes, its timer is for something else.
        let Some(link) = self.by_id.get_mut(&id).filter(|link| link.handshake.is_joined()) else {
            return;
        };
        let next = link.liveness.next_at(&env.local.config);
        let next = link.announces_at().map_or(next, |at| next.min(at));
        self.arm(id, next.max(env.now + Duration::from_millis(1)), env);
    }

    /// Queues a heartbeat, which also reports finished ticks and returns the peer's last stamp.
    pub(super) fn heartbeat(&mut self, id: LinkId, stamp: u64, env: &mut Env<T>) {
        let Some(link) = self.known(id) else { return };
        let (ticks, cost) = link.ticks.finished();
        link.ticks.report(env.now);
        link.announce.consumed_reported();
        let echo = link.liveness.take_echo();
        link.queue.push_state(&Control::Heartbeat { ticks, cost, stamp, echo });
        env.touch(id);
    }

    /// Has a peer show life.
    pub(super) fn probe(&mut self, id: LinkId, env: &mut Env<T>) {
        let stamp = env.rng.u64(1..=u64::from(u32::MAX));
        if self.by_id.get_mut(&id).is_some_and(|link| link.liveness.probe(env.now)) {
            self.heartbeat(id, stamp, env);
        }
    }

    /// Queues a control message on a joined link.
    pub(super) fn send_control(&mut self, id: LinkId, control: &Control, env: &mut Env<T>) {
        // A link that has left since drops what is queued on it anyway.
        let link = self.by_id.get_mut(&id).filter(|link| link.handshake.is_joined());
        if let Some(link) = link {
            link.queue.push_state(control);
            env.touch(id);
        }
    }

    /// Brings a link to which something has happened up to date, unless others may have to do
    /// something before: then false, and [`next_of`](Self::next_of) says what.
    pub(super) fn settle(&mut self, id: LinkId, env: &mut Env<T>) -> bool {
        // It may have been dropped since it was marked.
        let Some(link) = self.by_id.get_mut(&id) else { return true };
        if id == LinkId::OWN || link.outbound.may_admit() {
            return false;
        }
        let settled = link.settle(&mut self.memory, env);
        self.settled(id, settled, env);
        true
    }

    /// The same, once others have nothing to do.
    pub(super) fn settle_last(&mut self, id: LinkId, env: &mut Env<T>) {
        if let Some(link) = self.by_id.get_mut(&id) {
            let settled = link.settle(&mut self.memory, env);
            self.settled(id, settled, env);
        }
    }

    #[inline]
    fn settled(&mut self, id: LinkId, settled: Settled, env: &mut Env<T>) {
        if settled.before != settled.after {
            self.memory_changed(settled.before, settled.after, env);
        }
        if settled.is_over {
            self.drop_link(id, true, env);
        } else if settled.is_unarmed {
            self.arm_liveness(id, env);
        }
    }

    /// The next thing that others have to do for a link before it is settled.
    pub(super) fn next_of(&mut self, id: LinkId, env: &Env<T>) -> Settling<T> {
        // It may have been dropped by what was done for it.
        let Some(link) = self.by_id.get_mut(&id) else { return Settling::Nothing };
        if let Some(admitted) = link.outbound.admit(env.now) {
            return Settling::Admitted(admitted);
        }
        if id != LinkId::OWN {
            return Settling::Nothing;
        }
        if link.announce.is_due(env.now) {
            return Settling::Announced(link.announce(&mut self.memory, env));
        }
        link.next_to_self().map_or(Settling::Nothing, Settling::Delivered)
    }

    /// Counts what a link takes of the memory now.
    #[inline]
    pub(super) fn recount(&mut self, id: LinkId, env: &mut Env<T>) {
        // It may have been dropped by what it has brought.
        let Some(link) = self.by_id.get_mut(&id) else { return };
        let now = link.memory();
        let before = std::mem::replace(&mut link.memory_used, now);
        if now != before {
            self.memory_changed(before, now, env);
        }
    }

    fn memory_changed(&mut self, before: usize, after: usize, env: &mut Env<T>) {
        if self.memory.change(before, after) {
            self.admit_everywhere(env);
        }
    }

    /// There is much more memory than before, for what waits on any link.
    fn admit_everywhere(&self, env: &mut Env<T>) {
        let waiting = self.iter().filter(|link| link.outbound.has_waiting());
        waiting.for_each(|link| env.touch(link.id));
    }

    /// Whether a message that comes in has grown beyond what its link may take: it can neither be
    /// kept nor be skipped, so the link ends.
    pub(super) fn is_overloaded(&self, id: LinkId, env: &mut Env<T>) -> bool {
        let over = |link: &&Link<T>| self.memory.is_over(link.reader.held());
        let Some(link) = self.ready(id).filter(over) else { return false };
        env.counters.crowded_links += 1;
        log::warn!(
            target: "threadmesh::proto",
            "{} is disconnected: the memory of this node is nearly used up, and what it sends takes \
             more than its share",
            link.remote
        );
        true
    }
}

/// When the node stops.
impl<T> Links<T> {
    /// Whether everything that was accepted is written, confirmed and answered.
    pub(super) fn are_drained(&self) -> bool {
        self.iter().filter(|link| link.is_ready()).all(Link::is_drained)
    }

    /// Takes the ticks that wait for capacity on the self link.
    pub(super) fn take_ticks_to_self(&mut self, env: &mut Env<T>) -> Vec<WaitingTick<T>> {
        let Some(link) = self.known(LinkId::OWN) else { return Vec::new() };
        env.touch(LinkId::OWN);
        link.outbound.waiting().take_ticks().collect()
    }

    /// Counts what a stop cuts off now: requests that are not answered, and ticks.
    pub(super) fn cut_off(&mut self) -> StopCut {
        let mut cut = StopCut::default();
        for link in self.by_id.values_mut().filter(|link| link.is_ready()) {
            link.count_staged();
        }
        self.confirm_to_self();
        for link in self.iter().filter(|link| link.is_ready()) {
            cut.unanswered += link.inbound.handled() as u64;
            cut.unwritten += link.ticks.unwritten();
            cut.unconfirmed += link.ticks.unconfirmed();
        }
        cut
    }
}

/// Checks.
impl<T> Links<T> {
    /// What is wrong with the sums of the links, if anything.
    pub(super) fn broken_windows(&self) -> Option<String> {
        let granted: u64 = self.iter().map(|link| link.ticks.granted()).sum();
        let joined = self.iter().filter(|link| link.handshake.is_joined()).count();
        self.memory.broken_windows(granted, joined)
    }

    /// Where the memory that is counted differs from what the links take.
    #[cfg(any(test, fuzzing))]
    pub(super) fn broken_memory(&self) -> Option<String> {
        let wrong = self
            .iter()
            .find(|link| link.memory_used != link.memory())
            .map(|link| format!("{:?} takes {}, not {}", link.id, link.memory(), link.memory_used));
        let counted: usize = self.iter().map(|link| link.memory_used).sum();
        wrong.or_else(|| self.memory.broken_sum(counted))
    }
}
