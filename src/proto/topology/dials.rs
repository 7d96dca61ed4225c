//! The table of dials: one for each address that this node dials or holds a link to, with
//! exponential backoff, and a limit on how many members are dialled at once. It must not know what
//! a member is beyond its id, nor links beyond theirs: it returns what follows.
//!
//! ```text
//! wanted by          reason       is dialled                     and is removed when
//! connect, join  ->  Waiters      until a waiter's deadline      the last waiter is gone
//!                    | joins
//!                    +-> Passing  (for a message) not again      the link is lost
//!                    +-> Persistent                              disconnected, or given up
//! connect_always ->  Persistent   with backoff for ever          disconnected, or given up
//! membership     ->  Member       when one of few slots is free  the member is forgotten
//!                    | a caller waits, and the member is given up: Waiters
//!                    + the program connects: Persistent
//! ```

mod members;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::dial::{Dial, DialId, DialOutcome, DialReason, Standing};
use super::dial_events::{DialEvent, Loss, Next, SeedReached, SeedWaiter};
use super::listener::Resolution;
use super::waiters::{DialGoal, Waiter};
use crate::address::Address;
use crate::config::{MEMBER_DIALS, Reconnect};
use crate::error::{Error, ErrorKind};
use crate::id::{LinkId, NodeId, PeerKey};
use crate::node_event::{LeftReason, NodeEvent};
use crate::proto::effect::Effect;
use crate::proto::env::Env;
use crate::proto::peers::Peers;
use crate::proto::{ConnectMode, Done, QueryId};
use crate::routing::PeerEntry;
use crate::wire::Farewell;
use std::sync::Arc;

/// All dials of a node.
#[derive(Debug)]
pub(super) struct Dials<T> {
    by_id: BTreeMap<DialId, Dial<T>>,
    by_address: BTreeMap<Address, DialId>,
    /// Members that are being dialled, and those that wait for a slot.
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

/// What the program wants.
impl<T> Dials<T> {
    /// Dials an address for a caller, unless it is joined.
    pub(super) fn connect(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        address: Address,
        waiter: Waiter<T>,
    ) -> Next<T> {
        if !matches!(waiter.goal, DialGoal::Members(_)) {
            self.wake(peers, &address);
        }
        if let Some(id) = self.by_address.get(&address).copied() {
            return self.reuse(env, peers, id, waiter).into_iter().collect();
        }
        let dial = self.insert(address, DialReason::Waiters, vec![waiter]);
        dial.arm_waiters(env);
        let id = dial.id();
        self.attempt(env, id);
        Next::new()
    }

    /// Has a caller wait for a dial that there is, or wakes it if that is joined.
    fn reuse(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        id: DialId,
        waiter: Waiter<T>,
    ) -> Option<DialEvent<T>> {
        let for_good = waiter.goal != DialGoal::Passing;
        let Some(dial) = self.by_id.get_mut(&id) else {
            debug_assert!(false, "an address leads to {id:?}, which is removed");
            return None;
        };
        if let Some(peer) = dial.peer() {
            debug_assert!(peers.entry(peer).is_some(), "a dial stands as long as its peer");
            if for_good {
                dial.promote(waiter.goal == DialGoal::Link);
            }
            return complete(env, peers, SeedReached { dial: id, peer, waiter: None }, waiter);
        }
        dial.add_waiter(env, waiter);
        // It is wanted now, and so does not wait for a slot.
        if dial.cut_short(env, for_good) {
            dial.attempt(env);
            self.free_slot(id);
        }
        None
    }

    /// Dials an address for ever.
    pub(super) fn connect_always(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        address: Address,
    ) -> Next<T> {
        self.wake(peers, &address);
        let (_, next) = self.keep(env, address, Dial::note_connected);
        next
    }

    /// Dials a seed for ever, and has it queried whenever it is reached.
    pub(super) fn join_always(&mut self, env: &mut Env<T>, address: Address) -> Next<T> {
        let (id, mut next) = self.keep(env, address, Dial::note_seed);
        let joined = self.by_id.get(&id).and_then(Dial::peer);
        let reached = |peer| SeedReached { dial: id, peer, waiter: None };
        next.extend(joined.map(reached).map(DialEvent::SeedReached));
        next
    }

    fn keep(
        &mut self,
        env: &mut Env<T>,
        address: Address,
        note: impl FnOnce(&mut Dial<T>),
    ) -> (DialId, Next<T>) {
        let dial = match self.by_address.get(&address).and_then(|id| self.by_id.get_mut(id)) {
            Some(dial) => dial,
            None => self.insert(address, DialReason::Persistent, Vec::new()),
        };
        note(dial);
        let (id, member) = (dial.id(), dial.keep(env));
        if dial.is_idle() {
            self.free_slot(id);
            self.attempt(env, id);
        }
        (id, member.map(|member| DialEvent::Taken { dial: id, member }).into_iter().collect())
    }

    /// The program wants a link of its own with a seed that has dialled this node.
    fn wake(&mut self, peers: &Peers, address: &Address) {
        let Some(dial) = self.at(address) else { return };
        let peer = dial.alias_of().and_then(|peer| peers.entry(peer));
        if peer.is_some_and(|peer| peer.up.is_none()) {
            dial.idle();
        }
    }

    /// Closes the link that an address leads to, and forgets the address.
    pub(super) fn disconnect_address(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        address: &Address,
    ) -> Next<T> {
        let Some(dial) = self.at(address) else { return Next::new() };
        let link = match dial.standing() {
            Some(Standing::Link(link)) => Some(link),
            Some(Standing::Alias(peer)) => peers.entry(peer).and_then(first_link),
            None => None,
        };
        if let Some(link) = link {
            close(env, link);
        }
        let id = dial.id();
        self.remove(env, id)
    }

    /// Closes the links with a peer, and forgets the addresses that lead to it: it stays
    /// disconnected.
    pub(super) fn disconnect_peer(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        id: &NodeId,
    ) -> Next<T> {
        if let Some(peer) = peers.get(id) {
            for face in peer.up.iter().chain(&peer.down) {
                close(env, face.link);
            }
        }
        let dials = self.ids(|dial| dial.leads_to() == Some(id));
        dials.into_iter().flat_map(|dial| self.remove(env, dial)).collect()
    }

    /// The node stops: every caller that waits for an address gets the error.
    pub(super) fn close(&mut self, env: &mut Env<T>, error: &Error) {
        for mut dial in std::mem::take(&mut self.by_id).into_values() {
            dial.fail_waiters(env, error, |_| true);
            dial.end(env);
        }
        self.by_address.clear();
        self.trying.clear();
        self.waiting.clear();
    }
}

/// Attempts.
impl<T> Dials<T> {
    /// Dials, a member that no caller waits for when it has a slot.
    fn attempt(&mut self, env: &mut Env<T>, id: DialId) {
        let Some(dial) = self.by_id.get_mut(&id) else {
            debug_assert!(false, "{id:?} is removed, and is to be dialled");
            return;
        };
        if dial.is_in_background() {
            dial.idle();
            self.waiting.insert(id);
        } else {
            dial.attempt(env);
        }
    }

    /// Dials members that wait for a slot, as long as there are slots.
    pub(super) fn dial_waiting(&mut self, env: &mut Env<T>) {
        while self.trying.len() < MEMBER_DIALS {
            let Some(id) = self.waiting.pop_first() else { return };
            self.trying.insert(id);
            match self.by_id.get_mut(&id) {
                Some(dial) => dial.attempt(env),
                None => debug_assert!(false, "{id:?} is removed, and waits for a slot"),
            }
        }
    }

    fn free_slot(&mut self, id: DialId) {
        self.trying.remove(&id);
        self.waiting.remove(&id);
    }

    /// Takes the addresses of a name.
    pub(super) fn resolved(
        &mut self,
        env: &mut Env<T>,
        query: QueryId,
        result: Resolution,
    ) -> Next<T> {
        // A dial that was removed meanwhile has no use for them.
        let dial = self.by_id.values_mut().find(|dial| dial.is_resolving(query));
        let Some(dial) = dial else { return Next::new() };
        let why = match result {
            Ok(addrs) => {
                let mut rest = VecDeque::from(addrs);
                if let Some(addr) = rest.pop_front() {
                    dial.try_address(env, addr, rest);
                    return Next::new();
                }
                format!("{} has no address", dial.address())
            }
            Err(why) => format!("{} cannot be resolved: {why}", dial.address()),
        };
        let id = dial.id();
        self.back_off(env, id, Error::new(ErrorKind::ConnectFailed, why))
    }

    /// A link of a dial has failed before it joined.
    pub(super) fn attempt_failed(
        &mut self,
        env: &mut Env<T>,
        id: DialId,
        error: Error,
        outcome: DialOutcome,
    ) -> Next<T> {
        // The link of a dial that was removed while handling this input may still fail.
        let Some(dial) = self.by_id.get_mut(&id) else { return Next::new() };
        log::debug!(target: "threadmesh::proto", "dialling {}: {error}", dial.address());
        let mut rest = dial.end_attempt();
        if outcome == DialOutcome::Final {
            return self.give_up(env, id, error);
        }
        if error.kind() == ErrorKind::DuplicateId {
            dial.fail_waiters(env, &error, |_| true);
        }
        let Some(addr) = rest.pop_front() else { return self.back_off(env, id, error) };
        dial.note_error(error);
        dial.try_address(env, addr, rest);
        Next::new()
    }

    /// Every address of the name was tried: waiters that try once fail, the others wait for the
    /// next round.
    fn back_off(&mut self, env: &mut Env<T>, id: DialId, error: Error) -> Next<T> {
        self.free_slot(id);
        let Some(dial) = self.by_id.get_mut(&id) else {
            debug_assert!(false, "{id:?} is removed, and its attempt has failed");
            return Next::new();
        };
        dial.fail_waiters(env, &error, |waiter| waiter.mode != ConnectMode::Patient);
        let mut next = Next::new();
        next.extend(dial.leads_to().cloned().map(DialEvent::Unreached));
        if dial.is_abandoned() {
            next.extend(self.remove(env, id));
        } else {
            dial.back_off(env, error);
        }
        next
    }

    /// The backoff is over.
    pub(super) fn due(&mut self, env: &mut Env<T>, id: DialId) {
        self.attempt(env, id);
    }

    /// Returns the link that a dial tries.
    pub(super) fn trying(&self, id: DialId) -> Option<LinkId> {
        self.by_id.get(&id)?.trying()
    }

    /// The deadline of a waiter has passed, or it is time to give up. `joining`: the handshake of
    /// the link that it tries is under way.
    pub(super) fn waiters_due(&mut self, env: &mut Env<T>, id: DialId, joining: bool) -> Next<T> {
        let Some(dial) = self.by_id.get_mut(&id) else {
            debug_assert!(false, "{id:?} is removed, and has a timer");
            return Next::new();
        };
        let error = dial.expire_waiters(env, joining);
        if dial.is_given_up(env) {
            if dial.reason() == DialReason::Member && dial.has_waiters() {
                let member = dial.outlast_member(env);
                return member.map(DialEvent::Displaced).into_iter().collect();
            }
            return self.give_up(env, id, error);
        }
        if dial.is_abandoned() {
            return self.remove(env, id);
        }
        dial.arm_waiters(env);
        Next::new()
    }

    /// Stops dialling an address: every waiter fails, and an event reports it if the program counts
    /// on the link.
    fn give_up(&mut self, env: &mut Env<T>, id: DialId, error: Error) -> Next<T> {
        if let Some(dial) = self.by_id.get_mut(&id) {
            dial.fail_waiters(env, &error, |_| true);
            dial.report_failure(env, error);
        }
        self.remove(env, id)
    }

    /// Forgets a dial and what is under way for it, so that nothing joins later.
    fn remove(&mut self, env: &mut Env<T>, id: DialId) -> Next<T> {
        self.free_slot(id);
        let Some(dial) = self.by_id.remove(&id) else {
            debug_assert!(false, "{id:?} is removed already");
            return Next::new();
        };
        self.by_address.remove(dial.address());
        let member = dial.end(env);
        member.map(|member| DialEvent::Removed { dial: id, member }).into_iter().collect()
    }
}

/// Links that join and are lost.
impl<T> Dials<T> {
    /// The handshake is complete: every waiter is woken.
    pub(super) fn joined(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        id: DialId,
        peer: PeerKey,
    ) -> Next<T> {
        // The link of a dial that was removed while handling this input is about to be closed.
        let link = self.by_id.get(&id).and_then(Dial::trying);
        let Some(link) = link else { return Next::new() };
        self.stand(env, peers, (id, peer), Standing::Link(link))
    }

    /// The address leads to a peer that is joined over the link of another dial.
    pub(super) fn joined_as_alias(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        id: DialId,
        peer: PeerKey,
    ) -> Next<T> {
        self.stand(env, peers, (id, peer), Standing::Alias(peer))
    }

    fn stand(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        (id, peer): (DialId, PeerKey),
        standing: Standing,
    ) -> Next<T> {
        // A dial may be removed while handling the input that would have made it an alias.
        let Some(dial) = self.by_id.get_mut(&id) else { return Next::new() };
        let name = peers.name(peer);
        let (expected, again) = dial.stand(standing, peer, name.clone());
        let reached = || SeedReached { dial: id, peer, waiter: None };
        let mut next = Next::new();
        for waiter in dial.take_waiters(env) {
            next.extend(complete(env, peers, reached(), waiter));
        }
        if let Some(name) = name.filter(|_| again) {
            env.event(NodeEvent::Reconnected { address: dial.address().to_string(), id: name });
        }
        // Another node is at its address now.
        let gone = expected.filter(|id| peers.get(id).is_none());
        next.extend(gone.map(DialEvent::Displaced));
        if dial.is_seed() {
            next.push(DialEvent::SeedReached(reached()));
        }
        self.free_slot(id);
        next
    }

    /// A joined link of a dial is lost: dials it again if the policy says so.
    pub(super) fn lost(&mut self, env: &mut Env<T>, id: DialId, loss: Loss<'_>) -> Next<T> {
        // A dial that is removed has its link closed, and so loses it.
        let Some(dial) = self.by_id.get(&id) else { return Next::new() };
        let is_passing = dial.reason() == DialReason::Passing;
        let again = !is_passing && loss.needed && self.is_dialled_again(env, id, loss);
        let Some(dial) = self.by_id.get_mut(&id).filter(|_| again) else {
            return self.remove(env, id);
        };
        dial.lose(env);
        let address = dial.address().to_string();
        let error =
            Error::new(ErrorKind::ConnectionLost, format!("the link to {address} was lost"));
        let next = self.back_off(env, id, error);
        env.event(NodeEvent::Reconnecting { address });
        next
    }

    fn is_dialled_again(&self, env: &Env<T>, id: DialId, loss: Loss<'_>) -> bool {
        match (env.local.config.reconnect, loss.reason) {
            // This node had two links under way to one listener: it took the first for the one that
            // counts and closed the second, while to the listener the second had replaced the
            // first. Now neither is joined.
            (Reconnect::Always | Reconnect::OnFailure, LeftReason::Replaced) => {
                self.has_alias(id) || loss.gave_up
            }
            (Reconnect::Never, _)
            | (_, LeftReason::Disconnected)
            | (Reconnect::OnFailure, LeftReason::PeerLeft) => false,
            (Reconnect::Always | Reconnect::OnFailure, _) => true,
        }
    }

    /// Whether another address leads to the peer of this dial.
    fn has_alias(&self, id: DialId) -> bool {
        let peer = self.by_id.get(&id).and_then(Dial::joined_peer);
        peer.is_some() && self.by_id.values().any(|dial| dial.alias_of() == peer)
    }
}

/// The table.
impl<T> Dials<T> {
    fn draw(&mut self) -> DialId {
        self.last += 1;
        DialId(self.last)
    }

    fn insert(
        &mut self,
        address: Address,
        reason: DialReason,
        waiters: Vec<Waiter<T>>,
    ) -> &mut Dial<T> {
        let id = self.draw();
        self.by_address.insert(address.clone(), id);
        self.by_id.entry(id).or_insert_with(|| Dial::new(id, address, reason, waiters))
    }

    fn at(&mut self, address: &Address) -> Option<&mut Dial<T>> {
        self.by_id.get_mut(self.by_address.get(address)?)
    }

    fn ids(&self, which: impl Fn(&Dial<T>) -> bool) -> Vec<DialId> {
        self.by_id.values().filter(|dial| which(dial)).map(Dial::id).collect()
    }

    /// Timers that dials own.
    #[cfg(any(test, fuzzing))]
    pub(super) fn timers(&self) -> usize {
        self.by_id.values().map(Dial::timers).sum()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}

/// Wakes a caller whose link is joined, or returns what it waits for beyond that.
fn complete<T>(
    env: &mut Env<T>,
    peers: &Peers,
    mut reached: SeedReached<T>,
    waiter: Waiter<T>,
) -> Option<DialEvent<T>> {
    if let DialGoal::Members(joined_by) = waiter.goal {
        let (reply_by, token) = (waiter.deadline, waiter.token);
        reached.waiter = Some(SeedWaiter { reply_by, joined_by, token });
        return Some(DialEvent::SeedReached(reached));
    }
    let info = peers.entry(reached.peer).and_then(|peer| peer.info());
    let lost = || Error::new(ErrorKind::ConnectionLost, "the link was lost as soon as it joined");
    env.complete(waiter.token, info.map(Done::Connected).ok_or_else(lost));
    None
}

/// Returns the outbound link with a peer, else the inbound one.
pub(super) fn first_link(peer: &Arc<PeerEntry>) -> Option<LinkId> {
    peer.up.as_ref().or(peer.down.as_ref()).map(|face| face.link)
}

fn close<T>(env: &mut Env<T>, link: LinkId) {
    let (farewell, reason) = (Farewell::Disconnect, LeftReason::Disconnected);
    env.then(Effect::CloseLink { link, farewell, reason });
}

#[cfg(test)]
mod tests;
