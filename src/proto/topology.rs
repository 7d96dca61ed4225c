//! Which nodes this node has links with, and why: the listener, the dials, the members of the mesh,
//! the queries for them, and what is announced of them. `Topology` is the one dispatcher of these
//! tables: it passes what one returns to the others, until nothing more follows.
//!
//! It must not touch a link or a peer: what follows there is an effect, and it only reads which
//! peers are joined.

mod dial;
mod dial_events;
mod dials;
mod gossip;
mod listener;
mod membership;
mod messages;
mod queries;
mod waiters;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use self::dial_events::{DialEvent, Loss, MemberDial, Next, SeedReached};
use self::dials::{Dials, first_link};
use self::gossip::Gossip;
use self::listener::{Listener, Resolution};
use self::membership::{
    Arrival, Due, Learned, MemberState, Membership, Origin, Source, is_failure, lately,
};
use self::queries::{Failed, Queries, Sent};
use self::waiters::{DialGoal, Waiter};
use super::effect::Effect;
use super::env::Env;
use super::peers::Peers;
use super::{ConnectMode, Done, QueryId, Whom};
use crate::address::Address;
use crate::error::{Error, ErrorKind};
use crate::id::{CallId, LinkId, NodeId, PeerKey};
use crate::node_event::{Direction, LeftReason};
use crate::wire::{self, Control};

pub(super) use self::dial::{DialId, DialOutcome};

/// The tables of a node that decide which links it has.
#[derive(Debug)]
pub(super) struct Topology<T> {
    listener: Listener<T>,
    dials: Dials<T>,
    members: Membership,
    queries: Queries<T>,
    gossip: Gossip,
    /// The node stops: nothing is dialled, learned or announced any more.
    stopped: bool,
}

/// A link that has joined.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkJoined {
    pub(super) link: LinkId,
    /// Its end on this side.
    pub(super) local: Option<SocketAddr>,
    /// The dial that it came from, if it is outbound.
    pub(super) dial: Option<DialId>,
    pub(super) peer: PeerKey,
}

/// A joined link that is lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkLeft<'a> {
    pub(super) link: LinkId,
    pub(super) direction: Direction,
    pub(super) dial: Option<DialId>,
    pub(super) key: PeerKey,
    pub(super) peer: &'a NodeId,
    pub(super) reason: &'a LeftReason,
    /// A handshake with the same peer was given up a moment ago.
    pub(super) gave_up: bool,
}

/// A page of a reply to a query for the members.
#[derive(Debug)]
pub(super) struct MembersPage {
    pub(super) call: CallId,
    pub(super) members: Vec<wire::Member>,
    pub(super) more: bool,
}

impl<T> Default for Topology<T> {
    fn default() -> Self {
        Self {
            listener: Listener::default(),
            dials: Dials::default(),
            members: Membership::default(),
            queries: Queries::default(),
            gossip: Gossip::default(),
            stopped: false,
        }
    }
}

/// What the program wants.
impl<T> Topology<T> {
    /// Listens on an address.
    pub(super) fn bind(&mut self, env: &mut Env<T>, address: Address, token: T) {
        self.listener.bind(env, address, token);
    }

    /// Stops listening; links stay as they are.
    pub(super) fn unbind(&mut self, env: &mut Env<T>) {
        self.listener.close(env);
    }

    /// Dials an address.
    pub(super) fn connect(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        address: Address,
        (mode, deadline): (ConnectMode, Instant),
        token: T,
    ) {
        let passing = mode == ConnectMode::Passing;
        let goal = if passing { DialGoal::Passing } else { DialGoal::Link };
        let next = self.dials.connect(env, peers, address, Waiter { mode, deadline, goal, token });
        self.follow(env, peers, next);
    }

    /// Dials an address for ever.
    pub(super) fn connect_always(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        address: Address,
        token: T,
    ) {
        let next = self.dials.connect_always(env, peers, address);
        self.follow(env, peers, next);
        env.complete(token, Ok(Done::Nothing));
    }

    /// Dials a seed once, queries it for the members, which it must have named by `reply_by`, and
    /// dials them.
    pub(super) fn join(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        address: Address,
        (reply_by, joined_by): (Instant, Instant),
        token: T,
    ) {
        self.members.admit_all();
        let goal = DialGoal::Members(joined_by);
        let waiter = Waiter { mode: ConnectMode::Once, deadline: reply_by, goal, token };
        let next = self.dials.connect(env, peers, address, waiter);
        self.follow(env, peers, next);
    }

    /// Dials a seed for ever, and queries it whenever it is reached.
    pub(super) fn join_always(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        address: Address,
        token: T,
    ) {
        self.members.take_part();
        let next = self.dials.join_always(env, address);
        self.follow(env, peers, next);
        env.complete(token, Ok(Done::Nothing));
    }

    /// Closes the links with a node, and stops dialling it.
    pub(super) fn disconnect(&mut self, env: &mut Env<T>, peers: &Peers, whom: Whom, token: T) {
        let (member, next) = match whom {
            Whom::Address(address) => {
                let member = self.dials.node_at(&address).cloned();
                (member, self.dials.disconnect_address(env, peers, &address))
            }
            Whom::Id(id) => {
                let next = self.dials.disconnect_peer(env, peers, &id);
                (Some(id), next)
            }
        };
        self.follow(env, peers, next);
        if let Some(member) = member {
            env.then(Effect::KeepApart { member });
        }
        env.then(Effect::Complete { token, result: Ok(Done::Nothing) });
    }

    /// Keeps a member out of this node's mesh, unless a link with it is left.
    pub(super) fn keep_apart(&mut self, env: &mut Env<T>, peers: &Peers, id: NodeId) {
        if peers.get(&id).is_none() {
            let next = self.forget(env, &id);
            self.follow(env, peers, next);
            self.members.keep_apart(id);
        }
    }

    /// The node stops: every caller gets the error, and nothing is dialled any more.
    pub(super) fn stop(&mut self, env: &mut Env<T>, error: &Error) {
        self.stopped = true;
        self.listener.close(env);
        self.queries.close(env, error);
        self.members.close(env);
        self.gossip.forget_all();
        self.dials.close(env, error);
    }
}

/// The listener, the resolver and the timers.
impl<T> Topology<T> {
    /// Takes the addresses of a name that a dial or the listener has queried.
    pub(super) fn resolved(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        query: QueryId,
        result: Resolution,
    ) {
        if let Some(result) = self.listener.resolved(env, query, result) {
            let next = self.dials.resolved(env, query, result);
            self.follow(env, peers, next);
        }
    }

    /// Takes the result of an `Output::Listen`.
    pub(super) fn listening(&mut self, env: &mut Env<T>, result: Result<SocketAddr, String>) {
        if self.listener.listening(env, result) {
            self.announce_listening(env);
        }
    }

    /// Warns that traffic can be read, if that address is beyond loopback.
    pub(super) fn warn_of_plaintext(&mut self, env: &Env<T>, remote: SocketAddr) {
        self.listener.warn_of_plaintext(&env.local.id, remote);
    }

    /// The backoff of a dial is over.
    pub(super) fn dial_due(&mut self, env: &mut Env<T>, dial: DialId) {
        self.dials.due(env, dial);
    }

    /// Returns the link that a dial tries.
    pub(super) fn trying(&self, dial: DialId) -> Option<LinkId> {
        self.dials.trying(dial)
    }

    /// A caller has waited for a dial for long enough, or the dial is to be given up. `joining`:
    /// the handshake of the link that it tries is under way.
    pub(super) fn waiters_due(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        dial: DialId,
        joining: bool,
    ) {
        let next = self.dials.waiters_due(env, dial, joining);
        self.follow(env, peers, next);
    }

    /// A member has not dialled in time, or was missing for long enough.
    pub(super) fn member_due(&mut self, env: &mut Env<T>, peers: &Peers, number: u64) {
        let next = match self.members.due(env, number) {
            Some(Due::Dial(id)) => self.dial_member(env, &id),
            Some(Due::Forget(id)) => self.forget(env, &id),
            None => Next::new(),
        };
        self.follow(env, peers, next);
    }

    /// The time for a reply, or for the members to join, is over.
    pub(super) fn query_due(&mut self, env: &mut Env<T>, peers: &Peers, call: CallId) {
        let failed = self.queries.due(env, call);
        self.query_failed(env, peers, failed);
    }

    /// Dials members that wait for a slot.
    pub(super) fn dial_waiting(&mut self, env: &mut Env<T>) {
        self.dials.dial_waiting(env);
    }
}

/// Links.
impl<T> Topology<T> {
    /// A link of a dial has failed before it joined.
    pub(super) fn attempt_failed(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        dial: DialId,
        error: Error,
        outcome: DialOutcome,
    ) {
        let next = self.dials.attempt_failed(env, dial, error, outcome);
        self.follow(env, peers, next);
    }

    /// The address of a dial leads to a peer that is joined over the link of another dial; none if
    /// that link is lost.
    pub(super) fn dial_is_alias(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        dial: DialId,
        peer: Option<PeerKey>,
    ) {
        let next = if let Some(peer) = peer {
            self.dials.joined_as_alias(env, peers, dial, peer)
        } else {
            let why = "the link this address shares was lost";
            let error = Error::new(ErrorKind::ConnectionLost, why);
            self.dials.attempt_failed(env, dial, error, DialOutcome::Retry)
        };
        self.follow(env, peers, next);
    }

    /// A link has joined.
    pub(super) fn link_joined(&mut self, env: &mut Env<T>, peers: &Peers, joined: LinkJoined) {
        let LinkJoined { link, local, dial, peer } = joined;
        let Some(id) = peers.entry(peer).map(|peer| peer.id.clone()) else {
            debug_assert!(false, "{link:?} has joined, and its peer has not");
            return;
        };
        self.gossip.joined(link, id.clone(), local);
        if let Some(dial) = dial {
            let next = self.dials.joined(env, peers, dial, peer);
            self.follow(env, peers, next);
        }
        if self.stopped {
            return;
        }
        if let Some(arrival) = self.members.joined(env, &id) {
            self.member_arrived(env, peers, (&id, link), arrival);
        }
        self.queries.member_joined(env, &id);
        self.announce_self(env, link);
    }

    fn member_arrived(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        (id, link): (&NodeId, LinkId),
        arrival: Arrival,
    ) {
        if let MemberState::Dialled(dial) = arrival.state {
            let next = self.dials.dismiss(env, dial);
            self.follow(env, peers, next);
        }
        if arrival.state != MemberState::Joined {
            // Nodes that have queried this one meanwhile did not get its name.
            let since = arrival.unnamed_since(env.now);
            self.announce(env, peers, (id, link), |queried_at, member| {
                member.is_some_and(|member| arrival.is_news_to(member))
                    || queried_at.is_some_and(|at| at >= since)
            });
        }
    }

    /// A joined link is lost, and its peer, if it was its last, is gone.
    pub(super) fn link_left(&mut self, env: &mut Env<T>, peers: &Peers, left: LinkLeft<'_>) {
        let LinkLeft { link, key, peer, reason, gave_up, .. } = left;
        self.gossip.left(link);
        if let Some(dial) = left.dial {
            self.dial_lost(env, peers, dial, (reason, gave_up));
        }
        if left.direction == Direction::Up {
            let here = peers.entry(key).is_some();
            // Each address goes on as if the link that they shared had been its own.
            for alias in self.dials.aliases_of(key, here) {
                self.dial_lost(env, peers, alias, (reason, gave_up));
            }
        }
        for failed in self.queries.link_lost(env, link, peer) {
            self.query_failed(env, peers, Some(failed));
        }
        self.redial_seeds(env, peers, reason);
        if peers.get(peer).is_none() {
            let redial = self.dials.redial_of(peer);
            if self.members.lost(env, peer, redial, reason) {
                let next = self.forget(env, peer);
                self.follow(env, peers, next);
            }
        }
    }

    /// Dials seeds again that had dialled this node, and are gone, whichever side has ended that
    /// link.
    fn redial_seeds(&mut self, env: &mut Env<T>, peers: &Peers, reason: &LeftReason) {
        let reason = match reason {
            LeftReason::Disconnected | LeftReason::Replaced => &LeftReason::ConnectionLost,
            other => other,
        };
        for dial in self.dials.aliases_without_peer(peers) {
            self.dial_lost(env, peers, dial, (reason, false));
        }
    }

    /// The link of a dial, or the one it shares, is lost.
    fn dial_lost(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        dial: DialId,
        (reason, gave_up): (&LeftReason, bool),
    ) {
        let replaced = *reason == LeftReason::Replaced;
        if replaced && !self.stopped && self.dials.rest_by_peer(peers, dial) {
            return;
        }
        // A member that is joined by another link is not dialled, and neither is one that has left
        // of its own will.
        let is_lost = |id: &NodeId| self.members.contains(id) && peers.get(id).is_none();
        let by_force = replaced || is_failure(reason);
        let member = self.dials.member_of(dial);
        let needed = !self.stopped && member.is_none_or(|id| by_force && is_lost(id));
        let next = self.dials.lost(env, dial, Loss { reason, gave_up, needed });
        self.follow(env, peers, next);
    }

    /// Whether the program would not miss a link to which nothing was written for a while, if its
    /// peer has another one.
    pub(super) fn is_dispensable(&self, now: Instant, link: LinkId, dial: DialId) -> bool {
        // What was queried over it may still be replied to, or announced late.
        let in_use = !self.gossip.is_done(link) || self.gossip.is_fresh(link, lately(now));
        !in_use && self.dials.is_spare(dial)
    }
}

/// What follows from one table for the others.
impl<T> Topology<T> {
    /// Does what follows from an event of a dial, and what follows from that.
    fn follow(&mut self, env: &mut Env<T>, peers: &Peers, next: Next<T>) {
        let mut work = VecDeque::from(next);
        while let Some(event) = work.pop_front() {
            work.extend(self.step(env, peers, event));
        }
    }

    fn step(&mut self, env: &mut Env<T>, peers: &Peers, event: DialEvent<T>) -> Next<T> {
        match event {
            DialEvent::Unreached(id) => self.queries.member_unreached(env, &id),
            DialEvent::Removed { dial, member } if self.members.is_dialled_by(&member, dial) => {
                if peers.get(&member).is_none() {
                    return self.forget(env, &member);
                }
                self.members.is_here(env, &member);
            }
            DialEvent::Removed { .. } => {}
            DialEvent::Displaced(member) => return self.forget(env, &member),
            DialEvent::Taken { dial, member } => {
                if self.members.is_dialled_by(&member, dial) {
                    self.members.missing(env, &member);
                }
            }
            DialEvent::SeedReached(reached) => self.send_query(env, peers, reached),
        }
        Next::new()
    }

    /// Forgets a member, and what is done to reach it, unless it is a peer.
    fn forget(&mut self, env: &mut Env<T>, id: &NodeId) -> Next<T> {
        // Most nodes that are disconnected or leave are no members.
        let Some(state) = self.members.forget(env, id) else { return Next::new() };
        self.gossip.forget(id);
        self.queries.member_unreached(env, id);
        match state {
            MemberState::Dialled(dial) => self.dials.drop_member(env, dial, id),
            MemberState::New
            | MemberState::Joined
            | MemberState::Awaited(_)
            | MemberState::Missing(_) => Next::new(),
        }
    }

    /// Takes in a member that was announced or named. Returns whether it is news.
    fn learn(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        id: &NodeId,
        address: &str,
        origin: Origin,
    ) -> bool {
        if self.stopped || *id == env.local.id || self.members.is_apart(id) {
            return false;
        }
        let Ok(address) = address.parse::<Address>() else {
            env.counters.addresses += 1;
            return false;
        };
        if self.is_own_address(env, &address) {
            return false;
        }
        let learned = self.members.learn(env, id, address, origin);
        let mut next = match learned {
            Learned::Refused => return false,
            Learned::Moved(Some(dial)) => self.dials.drop_member(env, dial, id),
            Learned::New | Learned::Known | Learned::Moved(None) => Next::new(),
        };
        next.extend(self.look_for(env, peers, id, origin.source));
        self.follow(env, peers, next);
        learned != Learned::Known
    }

    /// Decides what is done about a member that was announced or named.
    fn look_for(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        id: &NodeId,
        source: Source,
    ) -> Next<T> {
        if peers.get(id).is_some() {
            self.members.is_here(env, id);
        } else if source == Source::Answer || !self.listener.is_open() {
            // No member can dial a node that does not listen.
            return self.dial_member(env, id);
        } else {
            self.members.await_dial(env, id);
        }
        Next::new()
    }

    fn dial_member(&mut self, env: &mut Env<T>, id: &NodeId) -> Next<T> {
        // One that is joined or dialled is not looked for.
        let Some(address) = self.members.undialled(id) else { return Next::new() };
        match self.dials.dial_member(env, address, id) {
            MemberDial::Dialled { dial, displaced } => {
                self.members.dialled(env, id, dial);
                displaced.map(DialEvent::Displaced).into_iter().collect()
            }
            MemberDial::OtherNode => self.forget(env, id),
            MemberDial::ByProgram => {
                self.members.missing(env, id);
                Next::new()
            }
        }
    }

    fn is_own_address(&self, env: &Env<T>, address: &Address) -> bool {
        self.listener.is_at(address) || env.local.advertise.as_ref() == Some(address)
    }

    /// Queries a seed that a dial has reached.
    fn send_query(&mut self, env: &mut Env<T>, peers: &Peers, reached: SeedReached<T>) {
        let SeedReached { dial, peer, waiter } = reached;
        let found = peers.entry(peer);
        let found = found.and_then(|peer| Some((first_link(peer)?, peer.id.clone())));
        let Some((link, seed)) = found else {
            debug_assert!(false, "a seed is reached, and is no peer");
            return;
        };
        self.members.note_query(env.now, &seed);
        let usual = env.now + env.local.config.connect_timeout;
        let reply_by = waiter.as_ref().map_or(usual, |waiter| waiter.reply_by);
        let waiter = waiter.map(|waiter| (waiter.joined_by, waiter.token));
        let call = self.queries.send(env, Sent { link, seed, dial }, reply_by, waiter);
        let address = self.member_address(env, link).map(|address| address.to_string());
        self.gossip.note_query(env.now, link);
        env.then(Effect::SendControl { link, control: Control::JoinQuestion { call, address } });
    }

    /// Lets go of what was dialled for a query alone that has failed, and wakes its caller then.
    fn query_failed(&mut self, env: &mut Env<T>, peers: &Peers, failed: Option<Failed<T>>) {
        let Some(Failed { dial, waiter }) = failed else { return };
        let next = self.dials.undo_join(env, peers, dial);
        self.follow(env, peers, next);
        if let Some((token, error)) = waiter {
            env.then(Effect::Complete { token, result: Err(error) });
        }
    }
}

/// Checks.
impl<T> Topology<T> {
    /// What is wrong with the members, if anything.
    pub(super) fn broken_invariant(&self, peers: &Peers) -> Option<String> {
        let joined = |id: &NodeId| peers.get(id).is_some();
        let dialled = |dial, id: &NodeId| self.dials.is_for_member(dial, id);
        self.members.broken_invariant(joined, dialled)
    }

    /// Timers that the tables own.
    #[cfg(any(test, fuzzing))]
    pub(super) fn timers(&self) -> usize {
        self.dials.timers() + self.members.timers() + self.queries.timers()
    }

    /// Addresses that are being dialled or hold a link.
    #[cfg(test)]
    pub(super) fn dialled(&self) -> usize {
        self.dials.len()
    }

    /// Members with which no link is joined, and all there are.
    #[cfg(test)]
    pub(super) fn members(&self) -> (usize, usize) {
        self.members.counts()
    }

    /// The address of a member.
    #[cfg(test)]
    pub(super) fn address_of(&self, id: &NodeId) -> Option<Address> {
        self.members.address_of(id)
    }

    /// A query whose reply is not complete.
    #[cfg(test)]
    pub(super) fn first_query(&self) -> Option<CallId> {
        self.queries.first()
    }

    /// Whether nothing is left to be sent on any link.
    #[cfg(test)]
    pub(super) fn all_is_sent(&self) -> bool {
        self.gossip.links().into_iter().all(|link| self.gossip.is_done(link))
    }

    /// Whether the log has a warning that plaintext leaves this machine.
    #[cfg(test)]
    pub(super) fn has_warned(&self) -> bool {
        self.listener.has_warned()
    }
}

/// Returns the link that messages to a peer take.
fn main_link(peers: &Peers, id: &NodeId) -> Option<LinkId> {
    let entry = peers.get(id)?;
    Some(entry.face(entry.directions())?.link)
}

#[cfg(test)]
mod tests;
