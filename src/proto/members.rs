//! Who else takes part in the mesh, and what is done to have a link with each of them. It must not ask or answer questions
//! about members: that stands in `join.rs`.
//!
//! A member is here, which means that a link with it stands; or it is being waited for, dialled, or missing, each for a
//! bounded time, and then it is forgotten. So nothing is left of a node that is dead.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::dial::DialId;
use super::env::Timer;
use super::join::Question;
use super::link::Link;
use super::listen::Listener;
use super::mesh::Mesh;
use super::timers::TimerId;
use crate::address::Address;
use crate::config::{MEMBER_GIVE_UP, MEMBER_PATIENCE, MEMBERS, MEMBERS_OF_ONE};
use crate::id::{CallId, LinkId, NodeId};
use crate::node_event::LeftReason;
use crate::wire::{Control, Farewell, Member as Named};

/// Where more of them are is checked by tests of fewer.
const CHECKED_MEMBERS: usize = 64;

#[derive(Debug)]
pub(super) struct Members<T> {
    pub(super) by_id: BTreeMap<NodeId, Member>,
    /// This node has asked who the members are, or was asked: it is one itself, if it can be dialled.
    pub(super) taking_part: bool,
    /// Members that the program has disconnected: nobody's word brings them back, not even their own; a link with them
    /// does, and the program, when it joins again.
    apart: BTreeSet<NodeId>,
    /// What this node has asked.
    pub(super) questions: BTreeMap<CallId, Question<T>>,
    /// Until then this node may stand between two meshes that find each other: what it hears of one, it tells the other.
    pub(super) merging: Option<Instant>,
    /// Links on which something about members waits to be told.
    pub(super) news: BTreeSet<LinkId>,
    last: u64,
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self {
            by_id: BTreeMap::new(),
            taking_part: false,
            apart: BTreeSet::new(),
            questions: BTreeMap::new(),
            merging: None,
            news: BTreeSet::new(),
            last: 0,
        }
    }
}

#[derive(Debug)]
pub(super) struct Member {
    /// What its timers are named by.
    number: u64,
    pub(super) address: Address,
    pub(super) place: Place,
    /// Since when it is known, or is back: it may have been started anew and know nobody.
    pub(super) since: Instant,
    /// Since when it is not here, if it ever was: whoever has asked since was not told of it, and it was not told of whoever is new since.
    pub(super) lost: Option<Instant>,
    /// The link over which it was first heard of.
    pub(super) source: LinkId,
    /// It has asked this node, which has announced it.
    pub(super) announced: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// It has just been heard of.
    Nowhere,
    /// A link with it stands, or two.
    Here,
    /// It was told to be a member and will dial; if it has not come then, it is dialled.
    Awaited(TimerId),
    /// Its link was lost, and it is for others to dial; it is forgotten then.
    Missing(TimerId),
    /// This node dials it, and forgets it with the dial.
    Dialled(DialId),
}

/// By what a member was heard of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    /// By its own.
    Own,
    /// By that of another member, which leaves it to the new one to dial.
    Told,
    /// By an answer to a question, which leaves it to this node to dial.
    Named,
}

impl<T> Mesh<T> {
    /// A member was heard of. Whether that is news.
    pub(super) fn learn(
        &mut self,
        id: &NodeId,
        address: &str,
        (word, from): (Word, LinkId),
    ) -> bool {
        if self.stopping.is_some() || *id == self.env.local.id || self.members.apart.contains(id) {
            return false;
        }
        let Ok(address) = address.parse::<Address>() else {
            self.env.counters.addresses += 1;
            return false;
        };
        if self.is_own_address(&address) {
            return false;
        }
        let known = self.members.by_id.get_mut(id).map(|member| {
            let moved = member.address != address;
            // Of one that is here nobody knows better than itself where it is.
            let believed = word == Word::Own || member.place != Place::Here;
            if moved && believed {
                member.address = address.clone();
            }
            (moved && believed, member.place)
        });
        match known {
            Some((true, Place::Dialled(dial))) => {
                self.set_place(id, Place::Nowhere);
                self.drop_member_dial(dial, id);
            }
            Some(_) => {}
            None if self.members.by_id.len() >= MEMBERS
                || word != Word::Own && self.is_flooded(from) =>
            {
                self.env.counters.members += 1;
                return false;
            }
            None => {
                self.members.last += 1;
                let (number, place, since) = (self.members.last, Place::Nowhere, self.env.now);
                let member = Member {
                    number,
                    address,
                    place,
                    since,
                    lost: None,
                    source: from,
                    announced: false,
                };
                self.members.by_id.insert(id.clone(), member);
            }
        }
        self.look_for(id, word);
        known.is_none_or(|(moved, _)| moved)
    }

    /// Whether a link has brought so many members that are not here that others would have no room.
    fn is_flooded(&self, by: LinkId) -> bool {
        let theirs = |member: &&Member| member.source == by && member.place != Place::Here;
        self.members.by_id.len() >= MEMBERS_OF_ONE
            && self.members.by_id.values().filter(theirs).count() >= MEMBERS_OF_ONE
    }

    /// Decides what is done about a member that was heard of.
    fn look_for(&mut self, id: &NodeId, word: Word) {
        let Some(member) = self.members.by_id.get(id) else { return };
        let (number, place) = (member.number, member.place);
        if self.peers.by_id(id).is_some() {
            return self.set_place(id, Place::Here);
        }
        match place {
            Place::Here | Place::Dialled(_) => {}
            // Nobody can dial a node that does not listen.
            _ if word == Word::Named || !self.can_be_dialled() => self.dial_member(id),
            Place::Awaited(_) => {}
            Place::Nowhere | Place::Missing(_) => {
                let turns = if self.env.local.id < *id { 1 } else { 2 };
                let at = self.env.now + MEMBER_PATIENCE * turns;
                let timer = self.env.timers.arm(at, Timer::Member(number));
                self.set_place(id, Place::Awaited(timer));
            }
        }
    }

    fn can_be_dialled(&self) -> bool {
        matches!(self.listener, Listener::Open { .. })
    }

    pub(super) fn is_own_address(&self, address: &Address) -> bool {
        let bound = match &self.listener {
            Listener::Open { address: bound, local } => {
                bound == address || address.numeric() == Some(*local)
            }
            _ => false,
        };
        bound || self.env.local.advertise.as_ref() == Some(address)
    }

    /// Puts a member somewhere else, and disarms the timer of where it was.
    fn set_place(&mut self, id: &NodeId, place: Place) {
        let Some(member) = self.members.by_id.get_mut(id) else { return };
        if let Place::Awaited(timer) | Place::Missing(timer) =
            std::mem::replace(&mut member.place, place)
        {
            self.env.timers.disarm(timer);
        }
    }

    fn dial_member(&mut self, id: &NodeId) {
        let Some(member) = self.members.by_id.get(id) else { return };
        let (number, address) = (member.number, member.address.clone());
        match self.dial_for(address, id) {
            // It may have been forgotten with the address, which leads to somebody else.
            Some(place) if self.members.by_id.contains_key(id) => self.set_place(id, place),
            Some(_) => {}
            None => {
                let timer =
                    self.env.timers.arm(self.env.now + MEMBER_GIVE_UP, Timer::Member(number));
                self.set_place(id, Place::Missing(timer));
            }
        }
    }

    /// A member has not come in time, or was missing for long enough.
    pub(super) fn member_due(&mut self, number: u64) {
        let due = |(_, member): &(&NodeId, &Member)| member.number == number;
        let Some((id, place)) =
            self.members.by_id.iter().find(due).map(|(id, member)| (id.clone(), member.place))
        else {
            return;
        };
        match place {
            Place::Awaited(_) => {
                self.set_place(&id, Place::Nowhere);
                self.dial_member(&id);
            }
            Place::Missing(_) => self.forget_member(&id),
            Place::Nowhere | Place::Here | Place::Dialled(_) => {}
        }
    }

    /// Nothing is left of a member, unless it is a peer.
    pub(super) fn forget_member(&mut self, id: &NodeId) {
        let Some(member) = self.members.by_id.remove(id) else { return };
        self.untell(id);
        match member.place {
            Place::Awaited(timer) | Place::Missing(timer) => {
                self.env.timers.disarm(timer);
            }
            Place::Dialled(dial) => self.drop_member_dial(dial, id),
            Place::Nowhere | Place::Here => {}
        }
        self.member_unreached(id);
    }

    /// A link has joined.
    pub(super) fn member_here(&mut self, link: LinkId) {
        let Some(id) = self.peer_of(link).filter(|_| self.stopping.is_none()) else { return };
        self.members.apart.remove(&id);
        if let Some(place) = self.members.by_id.get(&id).map(|member| member.place) {
            self.set_place(&id, Place::Here);
            if let Place::Dialled(dial) = place {
                self.dismiss_dial(dial);
            }
            if place != Place::Here {
                self.tell_of_arrival(&id, link, place);
            }
            if let Some(member) = self.members.by_id.get_mut(&id).filter(|_| place != Place::Here) {
                (member.lost, member.since) = (None, self.env.now);
            }
        }
        self.member_reached(&id);
        self.say_member(link);
    }

    /// Tells the other side that this node is a member, and where it can be dialled.
    pub(super) fn say_member(&mut self, link: LinkId) {
        if !self.members.taking_part {
            return;
        }
        let Some(address) = self.member_address(link) else { return };
        let own = Named { id: self.env.local.id.clone(), address: address.to_string() };
        if let Some(link) = self.links.get_mut(&link) {
            link.queue.push_state(&Control::MemberJoined(own));
        }
    }

    /// This node can be dialled from now on, or not any more: all who are joined are told.
    pub(super) fn say_listening(&mut self) {
        if !self.members.taking_part || self.stopping.is_some() {
            return;
        }
        let others = |link: &&Link<T>| link.is_ready() && link.id != LinkId::OWN;
        let joined = self.links.values().filter(others);
        let joined: Vec<LinkId> = joined.map(|link| link.id).collect();
        for id in joined {
            if self.member_address(id).is_some() {
                self.say_member(id);
            } else if let Some(link) = self.links.get_mut(&id) {
                link.queue.push_state(&Control::MemberLeft { id: self.env.local.id.clone() });
            }
            self.env.touch(id);
        }
    }

    /// A link is lost, and what its dial does about it is decided.
    pub(super) fn member_lost(&mut self, link: LinkId, id: &NodeId, reason: &LeftReason) {
        self.members.news.remove(&link);
        self.questions_lost(link, id);
        self.resting_lost(reason);
        if self.peers.by_id(id).is_some() {
            return;
        }
        let Some(member) = self.members.by_id.get_mut(id) else { return };
        member.lost = Some(self.env.now);
        let number = member.number;
        if let Some(dial) = self.redial_of(id) {
            self.set_place(id, Place::Dialled(dial));
        } else if is_failure(reason) {
            let timer = self.env.timers.arm(self.env.now + MEMBER_GIVE_UP, Timer::Member(number));
            self.set_place(id, Place::Missing(timer));
        } else {
            self.forget_member(id);
        }
    }

    /// A dial is gone, and with it the member that it was for.
    pub(super) fn member_dial_gone(&mut self, id: &NodeId, dial: DialId) {
        let theirs = |member: &&Member| member.place == Place::Dialled(dial);
        let Some(_) = self.members.by_id.get(id).filter(theirs) else { return };
        if self.peers.by_id(id).is_some() {
            return self.set_place(id, Place::Here);
        }
        self.forget_member(id);
    }

    /// The program dials an address itself that was dialled for a member: the dial outlives the member.
    pub(super) fn member_dial_taken(&mut self, id: &NodeId, dial: DialId) {
        let theirs = |member: &&Member| member.place == Place::Dialled(dial);
        let Some(member) = self.members.by_id.get(id).filter(theirs) else { return };
        let timer =
            self.env.timers.arm(self.env.now + MEMBER_GIVE_UP, Timer::Member(member.number));
        self.set_place(id, Place::Missing(timer));
    }

    /// The program has disconnected it.
    pub(super) fn keep_apart(&mut self, id: &NodeId) {
        if self.peers.by_id(id).is_some() {
            return;
        }
        self.forget_member(id);
        if self.members.apart.len() >= MEMBERS {
            self.members.apart.pop_first();
        }
        self.members.apart.insert(id.clone());
    }

    /// The program wants all members.
    pub(super) fn come_together(&mut self) {
        self.members.apart.clear();
    }

    /// The sender, or another node, is a member.
    pub(super) fn member_joined(&mut self, from: LinkId, member: &Named) {
        let Some(sender) = self.peer_of(from) else { return };
        let own = sender == member.id;
        let word = (if own { Word::Own } else { Word::Told }, from);
        if own {
            self.peer_moved(from, Some(&member.address));
        }
        if self.learn(&member.id, &member.address, word) {
            self.pass_on(&member.id, from);
        }
    }

    /// The sender is no member any more, or another node has stopped.
    pub(super) fn member_left(&mut self, from: LinkId, id: &NodeId) {
        let Some(sender) = self.peer_of(from) else { return };
        if sender == *id {
            self.peer_moved(from, None);
        }
        if sender == *id || self.peers.by_id(id).is_none() {
            self.forget_member(id);
        }
    }

    /// Where a peer can be dialled now, by its own word.
    pub(super) fn peer_moved(&mut self, link: LinkId, address: Option<&str>) {
        let Some(key) = self.links.get(&link).and_then(|link| link.peer) else { return };
        let address = address.map(str::parse::<Address>);
        let Ok(address) = address.transpose() else { return };
        let entry = self.peers.by_key.get(&key).map(|peer| &peer.entry);
        if entry.is_some_and(|entry| entry.address != address) {
            self.change_peer(key, |entry| entry.address = address);
        }
    }

    /// A link that nothing was written to for a while: if it is the second one with its peer and nobody needs it, it is closed.
    ///
    /// Only then: on a link that has just joined, a request may be under way that came right behind the handshake.
    pub(super) fn close_double(&mut self, id: LinkId) -> bool {
        let Some(link) = self.links.get(&id) else { return false };
        let Some(dial) = link.dial.filter(|_| link.is_idle()) else { return false };
        let peer = link.peer.and_then(|key| self.peers.by_key.get(&key));
        let both = peer.filter(|peer| peer.entry.up.is_some() && peer.entry.down.is_some());
        let double = both.is_some_and(|peer| peer.entry.id < self.env.local.id);
        // What has been asked over it may still be answered, or be told late.
        let needed = link.telling.is_fresh(self.lately());
        if !double || needed || !self.is_spare(dial) {
            return false;
        }
        self.say_goodbye(id, Farewell::Replaced, LeftReason::Replaced);
        true
    }

    /// The node stops.
    pub(super) fn members_closed(&mut self) {
        self.questions_closed();
        let ids: Vec<NodeId> = self.members.by_id.keys().cloned().collect();
        for id in ids {
            self.forget_member(&id);
        }
        self.members.apart.clear();
        self.members.taking_part = false;
    }

    /// Timers that members and questions own.
    #[cfg(any(test, fuzzing))]
    pub(super) fn member_timers(&self) -> usize {
        let timed =
            |member: &&Member| matches!(member.place, Place::Awaited(_) | Place::Missing(_));
        self.members.by_id.values().filter(timed).count() + self.members.questions.len()
    }

    /// What is wrong with the members, if anything.
    pub(super) fn broken_members(&self) -> Option<String> {
        if self.members.by_id.len() > MEMBERS || self.members.apart.len() > MEMBERS {
            return Some("there are too many members".to_owned());
        }
        if self.members.by_id.len() > CHECKED_MEMBERS {
            return None;
        }
        let wrong = self.members.by_id.iter().find(|(id, member)| {
            let here = self.peers.by_id(id).is_some();
            match member.place {
                Place::Nowhere => true,
                Place::Here => !here,
                Place::Awaited(_) | Place::Missing(_) => here,
                Place::Dialled(dial) => here || !self.dials_for(dial, id),
            }
        });
        wrong.map(|(id, member)| format!("the member {id} is not where it should be: {member:?}"))
    }

    /// Members with which no link stands, and all there are.
    #[cfg(test)]
    pub(crate) fn members(&self) -> (usize, usize) {
        let away = self.members.by_id.values().filter(|member| member.place != Place::Here);
        (away.count(), self.members.by_id.len())
    }
}

/// Whether a link was lost against the will of its ends.
pub(super) fn is_failure(reason: &LeftReason) -> bool {
    match reason {
        LeftReason::PeerLeft
        | LeftReason::Disconnected
        | LeftReason::Replaced
        | LeftReason::Stopped => false,
        LeftReason::ConnectionLost
        | LeftReason::Silent
        | LeftReason::SlowPeer
        | LeftReason::Overloaded
        | LeftReason::Protocol(_) => true,
    }
}
