//! Addresses this node dials: who waits for them, pauses between attempts, links that are dialled again when lost.

mod members;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::env::{Timer, disarm};
use super::leave::Ending;
use super::link::Link;
use super::members::is_failure;
use super::mesh::Mesh;
use super::planted::{Planted, has};
use super::timers::TimerId;
use super::{ConnectMode, Done, Output, QueryId, Whom};
use crate::address::Address;
use crate::config::{DIAL_FIRST, DIAL_LONGEST, MEMBER_GIVE_UP, Reconnect};
use crate::error::{Error, ErrorKind};
use crate::id::{LinkId, NodeId, PeerKey};
use crate::node_event::{Direction, LeftReason, NodeEvent};
use crate::wire::Farewell;

/// One address this node dials; a fresh one for each new interest in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct DialId(u64);

#[derive(Debug)]
pub(super) struct Dials<T> {
    by_id: BTreeMap<DialId, Dial<T>>,
    by_address: BTreeMap<Address, DialId>,
    /// Members that are being dialled, and those that wait for their turn.
    trying: BTreeSet<DialId>,
    waiting: BTreeSet<DialId>,
    last: u64,
}

impl<T> Default for Dials<T> {
    fn default() -> Self {
        Self {
            by_id: BTreeMap::new(),
            by_address: BTreeMap::new(),
            trying: BTreeSet::new(),
            waiting: BTreeSet::new(),
            last: 0,
        }
    }
}

#[derive(Debug)]
struct Dial<T> {
    address: Address,
    stage: Stage,
    waiters: Vec<Waiter<T>>,
    /// The first deadline of a waiter, or the time to give up.
    waiters_timer: Option<TimerId>,
    keep: Keep,
    /// The last pause; zero before the first.
    pause: Duration,
    /// Since when a link that once stood is being dialled again.
    lost: Option<Instant>,
    /// Since when a member is being dialled.
    began: Option<Instant>,
    /// The program wants this link, for whatever reason; else it was dialled just to ask for members.
    wanted: bool,
    /// The program has asked for this very link, and not only for the members behind it.
    asked_for: bool,
    /// Who answers there has said who the members are, and is asked again whenever it is reached.
    seed: bool,
    /// Who was found there last, or is expected there.
    leads_to: Option<NodeId>,
    last_error: Option<Error>,
}

/// How long this node stays interested.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Keep {
    /// As long as somebody waits.
    WhileWaited,
    /// It has stood once, or nobody ever waited: until it is disconnected or given up.
    Standing,
    /// A member lives there: until it is disconnected, says goodbye or could not be reached for a while.
    Member,
    /// It was dialled for what was sent at that moment: until its link is lost.
    Passing,
}

#[derive(Debug)]
enum Stage {
    Resolving(QueryId),
    /// `rest` are the addresses of the name that were not tried yet.
    Trying {
        link: LinkId,
        rest: VecDeque<SocketAddr>,
    },
    Pausing(TimerId),
    /// The last attempt has failed, and what comes next is being decided.
    Between,
    Joined {
        link: LinkId,
        peer: PeerKey,
    },
    /// Another address leads to the same peer, whose link serves both; or the peer has dialled this node, and is a seed, whose link of
    /// either direction will do.
    Alias {
        peer: PeerKey,
    },
}

#[derive(Debug)]
struct Waiter<T> {
    mode: ConnectMode,
    deadline: Instant,
    wish: Wish,
    token: T,
}

/// What somebody waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    Link,
    /// The link as it is now, for something that is sent over it.
    Passing,
    /// And then that who answers has said who the members are, and these have joined, until the instant.
    Members(Instant),
}

impl<T> Mesh<T> {
    pub(super) fn connect(
        &mut self,
        address: Address,
        mode: ConnectMode,
        deadline: Instant,
        token: T,
    ) {
        let wish = if mode == ConnectMode::Passing { Wish::Passing } else { Wish::Link };
        self.want(address, Waiter { mode, deadline, wish, token });
    }

    /// Connects to a seed, and asks it.
    pub(super) fn join_by(
        &mut self,
        address: Address,
        answered_by: Instant,
        deadline: Instant,
        token: T,
    ) {
        self.come_together();
        let (mode, wish) = (ConnectMode::Once, Wish::Members(deadline));
        self.want(address, Waiter { mode, deadline: answered_by, wish, token });
    }

    fn want(&mut self, address: Address, waiter: Waiter<T>) {
        let known = self.dials.by_address.get(&address).copied();
        if let Some(id) = known {
            if !matches!(waiter.wish, Wish::Members(_)) {
                self.wake(id);
            }
            let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
            let (Stage::Joined { peer, .. } | Stage::Alias { peer }) = dial.stage else {
                let for_good = waiter.wish != Wish::Passing;
                dial.waiters.push(waiter);
                self.arm_waiters(id);
                return self.hasten(id, for_good);
            };
            if self.peers.by_key.contains_key(&peer) {
                if waiter.wish != Wish::Passing {
                    dial.outlive(waiter.wish == Wish::Link);
                }
                return self.tell_waiter(id, peer, waiter);
            }
        }
        let id = self.new_dial(address, Keep::WhileWaited, vec![waiter]);
        self.arm_waiters(id);
        self.attempt(id);
    }

    pub(super) fn connect_always(&mut self, address: Address, token: T) {
        let known = self.dials.by_address.get(&address).copied();
        if let Some(id) = known {
            self.wake(id);
        }
        let id = self.dial_always(address);
        if let Some(dial) = self.dials.by_id.get_mut(&id) {
            dial.asked_for = true;
        }
        self.env.out.push(Output::Complete { token, result: Ok(Done::Nothing) });
    }

    fn new_dial(&mut self, address: Address, keep: Keep, waiters: Vec<Waiter<T>>) -> DialId {
        self.dials.last += 1;
        let id = DialId(self.dials.last);
        let stage = Stage::Between;
        let dial = Dial {
            address: address.clone(),
            stage,
            waiters,
            waiters_timer: None,
            keep,
            pause: Duration::ZERO,
            lost: None,
            began: None,
            wanted: false,
            asked_for: false,
            seed: false,
            leads_to: None,
            last_error: None,
        };
        self.dials.by_address.insert(address, id);
        self.dials.by_id.insert(id, dial);
        id
    }

    /// Dials, a member that nobody waits for when it is its turn.
    fn attempt(&mut self, id: DialId) {
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        if dial.keep == Keep::Member && dial.waiters.is_empty() {
            dial.stage = Stage::Between;
            self.dials.waiting.insert(id);
            return;
        }
        self.attempt_now(id);
    }

    /// Resolves the name anew, as for every attempt, and dials.
    fn attempt_now(&mut self, id: DialId) {
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        if let Some(addr) = dial.address.numeric() {
            return self.try_next(id, VecDeque::from([addr]));
        }
        let query = self.new_query();
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        dial.stage = Stage::Resolving(query);
        self.env.out.push(Output::Resolve { query, address: dial.address.clone() });
    }

    pub(super) fn new_query(&mut self) -> QueryId {
        self.dials.last += 1;
        QueryId(self.dials.last)
    }

    pub(super) fn dial_resolved(
        &mut self,
        query: QueryId,
        result: Result<Vec<SocketAddr>, String>,
    ) {
        let asking =
            |dial: &Dial<T>| matches!(dial.stage, Stage::Resolving(other) if other == query);
        let found = self.dials.by_id.iter().find(|(_, dial)| asking(dial));
        let Some((id, dial)) = found.map(|(id, dial)| (*id, dial)) else { return };
        match result {
            Ok(addrs) if !addrs.is_empty() => self.try_next(id, addrs.into()),
            Ok(_) => {
                let why = format!("{} has no address", dial.address);
                self.pause(id, Error::new(ErrorKind::ConnectFailed, why));
            }
            Err(why) => {
                let why = format!("{} cannot be resolved: {why}", dial.address);
                self.pause(id, Error::new(ErrorKind::ConnectFailed, why));
            }
        }
    }

    fn try_next(&mut self, id: DialId, mut rest: VecDeque<SocketAddr>) {
        let Some(addr) = rest.pop_front() else { return };
        let link_id = self.env.draw_link();
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        let mut link =
            Link::new(link_id, Direction::Up, addr, &self.env.local.config, self.env.now);
        link.dial = Some(id);
        dial.stage = Stage::Trying { link: link_id, rest };
        self.links.insert(link_id, link);
        self.env.out.push(Output::Dial { link: link_id, addr });
    }

    /// A link of a dial has failed before it joined.
    pub(super) fn attempt_failed(&mut self, id: DialId, error: Error, ending: Ending) {
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        log::debug!(target: "threadmesh::proto", "dialling {}: {error}", dial.address);
        let rest = match std::mem::replace(&mut dial.stage, Stage::Between) {
            Stage::Trying { rest, .. } => rest,
            _ => VecDeque::new(),
        };
        if ending == Ending::Final {
            return self.give_up_dial(id, error);
        }
        if error.kind() == ErrorKind::DuplicateId {
            self.fail_waiters(id, &error, |_| true);
        }
        if rest.is_empty() {
            self.pause(id, error);
        } else if let Some(dial) = self.dials.by_id.get_mut(&id) {
            dial.last_error = Some(error);
            self.try_next(id, rest);
        }
    }

    /// Every address of the name was tried: those who try once are told, the others wait for the next round.
    fn pause(&mut self, id: DialId, error: Error) {
        self.rest(id);
        self.fail_waiters(id, &error, |waiter| waiter.mode != ConnectMode::Patient);
        if let Some(member) = self.dials.by_id.get(&id).and_then(|dial| dial.leads_to.clone()) {
            self.member_unreached(&member);
        }
        let config = &self.env.local.config;
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        dial.last_error = Some(error);
        if dial.waiters.is_empty() && dial.keep == Keep::WhileWaited {
            return self.remove_dial(id);
        }
        let (first, longest) = match dial.keep {
            Keep::WhileWaited | Keep::Passing => (DIAL_FIRST, DIAL_LONGEST),
            Keep::Standing | Keep::Member => (config.reconnect_first, config.reconnect_longest),
        };
        let before = if has(Planted::HerdInHaste) { Duration::ZERO } else { dial.pause };
        dial.pause = (before * 2).clamp(first, longest);
        let pause = match dial.keep {
            Keep::WhileWaited | Keep::Passing => dial.pause,
            Keep::Standing if has(Planted::HerdInStep) => dial.pause,
            // Half to whole, so that a herd does not come back in step.
            Keep::Standing | Keep::Member => dial.pause.mul_f64(0.5 + self.env.rng.f64() / 2.0),
        };
        let timer = self.env.timers.arm(self.env.now + pause, Timer::Dial(id));
        dial.stage = Stage::Pausing(timer);
    }

    pub(super) fn dial_due(&mut self, id: DialId) {
        self.attempt(id);
    }

    /// Somebody's patience is over, or a lost link is given up.
    pub(super) fn waiters_due(&mut self, id: DialId) {
        let now = self.env.now;
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        dial.waiters_timer = None;
        let error = timed_out(dial, &self.links);
        self.fail_waiters(id, &error, |waiter| waiter.deadline <= now);
        let give_up = self.give_up_at(id);
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        if give_up.is_some_and(|at| at <= now) {
            if dial.keep == Keep::Member && !dial.waiters.is_empty() {
                return self.outlast_member(id);
            }
            return self.give_up_dial(id, error);
        }
        if dial.waiters.is_empty() && dial.keep == Keep::WhileWaited {
            return self.remove_dial(id);
        }
        self.arm_waiters(id);
    }

    fn give_up_at(&self, id: DialId) -> Option<Instant> {
        let dial = self.dials.by_id.get(&id)?;
        match dial.keep {
            Keep::Member => dial.began?.checked_add(MEMBER_GIVE_UP),
            Keep::WhileWaited | Keep::Standing | Keep::Passing => {
                dial.lost?.checked_add(self.env.local.config.reconnect_give_up?)
            }
        }
    }

    fn arm_waiters(&mut self, id: DialId) {
        let give_up = self.give_up_at(id);
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        disarm(&mut self.env.timers, &mut dial.waiters_timer);
        let first = dial.waiters.iter().map(|waiter| waiter.deadline).chain(give_up).min();
        dial.waiters_timer = first.map(|at| self.env.timers.arm(at, Timer::Waiters(id)));
    }

    fn fail_waiters(&mut self, id: DialId, error: &Error, which: impl Fn(&Waiter<T>) -> bool) {
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        let (failed, waiting) = std::mem::take(&mut dial.waiters).into_iter().partition(which);
        dial.waiters = waiting;
        let failed: Vec<Waiter<T>> = failed;
        self.env.out.extend(
            failed
                .into_iter()
                .map(|waiter| Output::Complete { token: waiter.token, result: Err(error.clone()) }),
        );
    }

    /// The handshake is complete: everybody who waits is told.
    pub(super) fn dial_joined(&mut self, id: DialId, peer: PeerKey) {
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        let Stage::Trying { link, .. } = dial.stage else { return };
        self.dial_stands(id, Stage::Joined { link, peer }, peer);
    }

    fn dial_stands(&mut self, id: DialId, stage: Stage, peer: PeerKey) {
        self.rest(id);
        let name = self.peers.name(peer);
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        dial.stage = stage;
        dial.stands();
        let seed = dial.seed;
        let expected = std::mem::replace(&mut dial.leads_to, name.clone());
        let again = dial.lost.take().is_some();
        let address = dial.address.to_string();
        self.tell_waiters(id, peer);
        let name = name.filter(|_| again);
        self.env.out.extend(name.map(|id| Output::Event(NodeEvent::Reconnected { address, id })));
        // Somebody else lives there now.
        if let Some(gone) = expected.filter(|id| self.peers.by_id(id).is_none()) {
            self.forget_member(&gone);
        }
        if seed {
            self.ask_seed(id, peer, None);
        }
    }

    /// The address leads to a peer that another dial has joined already.
    pub(super) fn dial_is_alias(&mut self, id: DialId, older: LinkId) {
        let Some(peer) = self.links.get(&older).and_then(|link| link.peer) else {
            let error =
                Error::new(ErrorKind::ConnectionLost, "the link this address shares was lost");
            return self.attempt_failed(id, error, Ending::Again);
        };
        self.dial_stands(id, Stage::Alias { peer }, peer);
    }

    /// The link that these addresses share is lost: each goes on as if it had been its own.
    pub(super) fn aliases_lost(&mut self, key: PeerKey, reason: &LeftReason) {
        let here = self.peers.by_key.contains_key(&key);
        let alias = |dial: &Dial<T>| {
            matches!(dial.stage, Stage::Alias { peer } if peer == key)
                && !(here && dial.only_asks())
        };
        let aliases: Vec<DialId> =
            self.dials.by_id.iter().filter(|(_, dial)| alias(dial)).map(|(id, _)| *id).collect();
        for alias in aliases {
            self.dial_lost(alias, reason);
        }
    }

    fn tell_waiters(&mut self, id: DialId, peer: PeerKey) {
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        let waiters = std::mem::take(&mut dial.waiters);
        self.arm_waiters(id);
        for waiter in waiters {
            self.tell_waiter(id, peer, waiter);
        }
    }

    fn tell_waiter(&mut self, id: DialId, peer: PeerKey, waiter: Waiter<T>) {
        if let Wish::Members(until) = waiter.wish {
            let wish = Some((waiter.deadline, until, waiter.token));
            return self.ask_seed(id, peer, wish);
        }
        let Some(info) = self.peers.by_key.get(&peer).and_then(|peer| peer.entry.info()) else {
            return;
        };
        self.env
            .out
            .push(Output::Complete { token: waiter.token, result: Ok(Done::Connected(info)) });
    }

    /// A joined link of a dial is lost: dials it again if the policy says so.
    pub(super) fn dial_lost(&mut self, id: DialId, reason: &LeftReason) {
        if *reason == LeftReason::Replaced && self.rest_by_peer(id) {
            return;
        }
        let to = self.dials.by_id.get(&id).and_then(|dial| dial.leads_to.as_ref());
        let member = self.dials.by_id.get(&id).filter(|dial| dial.keep == Keep::Member);
        let member = member.and_then(|dial| dial.leads_to.as_ref());
        // A member with which another link stands is not dialled, and neither is one that went of its own will.
        let needed = |id: &NodeId| {
            let known = self.members.by_id.contains_key(id) && self.peers.by_id(id).is_none();
            known && (is_failure(reason) || *reason == LeftReason::Replaced)
        };
        let passing = self.dials.by_id.get(&id).is_some_and(|dial| dial.keep == Keep::Passing);
        let again = self.stopping.is_none()
            && !passing
            && member.is_none_or(needed)
            && match (self.env.local.config.reconnect, reason) {
                // This node had two links under way to one listener: it took the first for the one that counts and closed the
                // second, while to the listener the second had replaced the first. Now neither stands.
                (Reconnect::Always | Reconnect::OnFailure, LeftReason::Replaced) => {
                    self.has_alias(id) || to.is_some_and(|to| self.has_given_up(to))
                }
                (Reconnect::Never, _)
                | (_, LeftReason::Disconnected)
                | (Reconnect::OnFailure, LeftReason::PeerLeft) => false,
                (Reconnect::Always | Reconnect::OnFailure, _) => true,
            };
        if !again {
            return self.remove_dial(id);
        }
        let now = self.env.now;
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        dial.lost = Some(now);
        dial.began = Some(now).filter(|_| dial.keep == Keep::Member);
        let address = dial.address.to_string();
        let error =
            Error::new(ErrorKind::ConnectionLost, format!("the link to {address} was lost"));
        self.pause(id, error);
        self.arm_waiters(id);
        self.env.out.push(Output::Event(NodeEvent::Reconnecting { address }));
    }

    /// Whether another address led to the peer of this dial.
    fn has_alias(&self, id: DialId) -> bool {
        let Some(Stage::Joined { peer, .. }) = self.dials.by_id.get(&id).map(|dial| &dial.stage)
        else {
            return false;
        };
        let alias =
            |dial: &Dial<T>| matches!(dial.stage, Stage::Alias { peer: other } if other == *peer);
        self.dials.by_id.values().any(alias)
    }

    /// The address is not dialled any more: everybody who waits is told, and so is the program if the link once stood.
    fn give_up_dial(&mut self, id: DialId, error: Error) {
        self.fail_waiters(id, &error, |_| true);
        let Some(dial) = self.dials.by_id.get(&id) else { return };
        // Of a member that was never reached nobody knows.
        if dial.keep == Keep::Standing || dial.keep == Keep::Member && dial.lost.is_some() {
            let address = dial.address.to_string();
            self.env.out.push(Output::Event(NodeEvent::ReconnectFailed { address, error }));
        }
        self.remove_dial(id);
    }

    /// Forgets an address and whatever is under way to it, so that nothing joins later.
    fn remove_dial(&mut self, id: DialId) {
        self.rest(id);
        let Some(mut dial) = self.dials.by_id.remove(&id) else { return };
        if self.dials.by_address.get(&dial.address) == Some(&id) {
            self.dials.by_address.remove(&dial.address);
        }
        disarm(&mut self.env.timers, &mut dial.waiters_timer);
        match dial.stage {
            Stage::Pausing(timer) => {
                self.env.timers.disarm(timer);
            }
            Stage::Trying { link, .. } => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.dial = None;
                }
                self.say_goodbye(link, Farewell::Disconnect, LeftReason::Disconnected);
            }
            Stage::Resolving(_) | Stage::Between | Stage::Joined { .. } | Stage::Alias { .. } => {}
        }
        for waiter in dial.waiters {
            let why = format!("{} was disconnected while it was being dialled", dial.address);
            let error = Error::new(ErrorKind::Cancelled, why);
            let error = error.with_execution(crate::error::Execution::Never);
            self.env.out.push(Output::Complete { token: waiter.token, result: Err(error) });
        }
        if let Some(member) = &dial.leads_to {
            self.member_dial_gone(member, id);
        }
    }

    pub(super) fn disconnect(&mut self, whom: Whom, token: T) {
        let member = match whom {
            Whom::Address(address) => {
                let dial = self.dials.by_address.get(&address).copied();
                let dial = dial.and_then(|id| self.dials.by_id.get(&id));
                let member = dial.and_then(|dial| dial.leads_to.clone());
                self.disconnect_address(&address);
                member
            }
            Whom::Id(id) => {
                self.disconnect_peer(&id);
                Some(id)
            }
        };
        if let Some(member) = member {
            self.keep_apart(&member);
        }
        self.env.out.push(Output::Complete { token, result: Ok(Done::Nothing) });
    }

    fn disconnect_address(&mut self, address: &Address) {
        let Some(id) = self.dials.by_address.get(address).copied() else { return };
        let Some(dial) = self.dials.by_id.get(&id) else { return };
        let link = match dial.stage {
            Stage::Joined { link, .. } => Some(link),
            Stage::Alias { peer } => {
                let entry = self.peers.by_key.get(&peer).map(|peer| &peer.entry);
                let link = entry.and_then(|entry| entry.up.as_ref().or(entry.down.as_ref()));
                let link = link.map(|face| face.link);
                // It is not dialled again when that link is lost.
                self.remove_dial(id);
                link
            }
            Stage::Resolving(_) | Stage::Trying { .. } | Stage::Pausing(_) | Stage::Between => None,
        };
        if let Some(link) = link {
            self.say_goodbye(link, Farewell::Disconnect, LeftReason::Disconnected);
        }
        self.remove_dial(id);
    }

    /// Also addresses that are being dialled again because this peer was lost: it stays disconnected.
    fn disconnect_peer(&mut self, id: &NodeId) {
        if let Some(peer) = self.peers.by_id(id) {
            let entry = &peer.entry;
            let links: Vec<LinkId> =
                entry.up.iter().chain(&entry.down).map(|face| face.link).collect();
            self.remove_resting(id);
            for link in links {
                self.say_goodbye(link, Farewell::Disconnect, LeftReason::Disconnected);
            }
        }
        let theirs = |dial: &Dial<T>| dial.leads_to.as_ref() == Some(id);
        let dials: Vec<DialId> =
            self.dials.by_id.iter().filter(|(_, dial)| theirs(dial)).map(|(id, _)| *id).collect();
        for dial in dials {
            self.remove_dial(dial);
        }
    }

    /// The node stops: nobody waits for an address any more.
    pub(super) fn stop_dialling(&mut self, error: &Error) {
        let ids: Vec<DialId> = self.dials.by_id.keys().copied().collect();
        for id in ids {
            self.fail_waiters(id, error, |_| true);
            self.remove_dial(id);
        }
    }

    /// Timers that dials own, for the check that none is left behind.
    #[cfg(any(test, fuzzing))]
    pub(super) fn dial_timers(&self) -> usize {
        let pauses = |dial: &&Dial<T>| matches!(dial.stage, Stage::Pausing(_));
        let dials = self.dials.by_id.values();
        dials.clone().filter(pauses).count()
            + dials.filter(|dial| dial.waiters_timer.is_some()).count()
    }

    /// Addresses that are being dialled or hold a link, for the world's check that nothing is left behind.
    #[cfg(test)]
    pub(crate) fn dialled(&self) -> usize {
        self.dials.by_id.len()
    }
}

fn timed_out<T>(dial: &Dial<T>, links: &BTreeMap<LinkId, Link<T>>) -> Error {
    let joining = match &dial.stage {
        Stage::Trying { link, .. } => links.get(link).is_some_and(Link::is_joining),
        _ => false,
    };
    let address = &dial.address;
    if joining {
        let why =
            format!("{address} did not complete the handshake in time; is it a threadmesh node?");
        return Error::new(ErrorKind::HandshakeTimeout, why);
    }
    let cause = match (&dial.stage, &dial.last_error) {
        (_, Some(error)) if error.kind() == ErrorKind::HandshakeTimeout => return error.clone(),
        (_, Some(error)) => error.message().to_owned(),
        (Stage::Resolving(_), None) => "its name was not resolved in time".to_owned(),
        (_, None) => "nothing answered".to_owned(),
    };
    Error::new(
        ErrorKind::ConnectTimeout,
        format!(
            "no connection to {address} before the deadline: {cause}; is the node there running?"
        ),
    )
}
