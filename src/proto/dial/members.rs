//! Dials for members and seeds: as long as the member is looked for, and no more of them at once than a few.

use std::time::Duration;

use super::{Dial, DialId, Keep, Stage, Wish};
use crate::address::Address;
use crate::config::MEMBER_DIALS;
use crate::id::NodeId;
use crate::node_event::LeftReason;
use crate::proto::members::Place;
use crate::proto::mesh::Mesh;
use crate::proto::{Done, Output};

impl<T> Mesh<T> {
    /// Keeps dialling a seed, and asks it whenever it is reached.
    pub(in crate::proto) fn join_always(&mut self, address: Address, token: T) {
        self.members.taking_part = true;
        let id = self.dial_always(address);
        self.env.out.push(Output::Complete { token, result: Ok(Done::Nothing) });
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        dial.seed = true;
        if let Stage::Joined { peer, .. } | Stage::Alias { peer } = dial.stage {
            self.ask_seed(id, peer, None);
        }
    }

    pub(super) fn dial_always(&mut self, address: Address) -> DialId {
        let known = self.dials.by_address.get(&address).copied();
        let id = known.unwrap_or_else(|| self.new_dial(address, Keep::Standing, Vec::new()));
        self.keep_standing(id);
        if matches!(self.dials.by_id.get(&id).map(|dial| &dial.stage), Some(Stage::Between)) {
            self.rest(id);
            self.attempt(id);
        }
        id
    }

    /// A seed that has dialled this node need not be dialled by it: whether that is so, and the dial rests.
    pub(super) fn rest_by_peer(&mut self, id: DialId) -> bool {
        let only_asks = |dial: &&mut Dial<T>| dial.only_asks();
        let Some(dial) = self.dials.by_id.get_mut(&id).filter(only_asks) else { return false };
        let Stage::Joined { peer, .. } = dial.stage else { return false };
        if self.stopping.is_some() || !self.peers.by_key.contains_key(&peer) {
            return false;
        }
        dial.stage = Stage::Alias { peer };
        true
    }

    /// The program wants a link of its own with a seed that has dialled this node.
    pub(super) fn wake(&mut self, id: DialId) {
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        let Stage::Alias { peer } = dial.stage else { return };
        let peer = self.peers.by_key.get(&peer);
        if peer.is_some_and(|peer| peer.entry.up.is_none()) {
            dial.stage = Stage::Between;
        }
    }

    /// A link is lost: seeds that had dialled this node, and are gone, are dialled again, whoever has ended that link.
    pub(in crate::proto) fn resting_lost(&mut self, reason: &LeftReason) {
        let peers = &self.peers.by_key;
        let lost = |dial: &Dial<T>| matches!(dial.stage, Stage::Alias { peer } if !peers.contains_key(&peer));
        let lost: Vec<DialId> =
            self.dials.by_id.iter().filter(|(_, dial)| lost(dial)).map(|(id, _)| *id).collect();
        let reason = match reason {
            LeftReason::Disconnected | LeftReason::Replaced => &LeftReason::ConnectionLost,
            other => other,
        };
        for id in lost {
            self.dial_lost(id, reason);
        }
    }

    /// The program disconnects a peer: it is not dialled again when its link is lost.
    pub(super) fn remove_resting(&mut self, peer: &NodeId) {
        let theirs = |dial: &Dial<T>| {
            matches!(dial.stage, Stage::Alias { .. }) && dial.leads_to.as_ref() == Some(peer)
        };
        let dials: Vec<DialId> =
            self.dials.by_id.iter().filter(|(_, dial)| theirs(dial)).map(|(id, _)| *id).collect();
        for dial in dials {
            self.remove_dial(dial);
        }
    }

    /// The program wants this link for ever.
    pub(super) fn keep_standing(&mut self, id: DialId) {
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        (dial.wanted, dial.began) = (true, None);
        if std::mem::replace(&mut dial.keep, Keep::Standing) != Keep::Member {
            return;
        }
        if let Some(member) = dial.leads_to.clone() {
            self.member_dial_taken(&member, id);
        }
        self.arm_waiters(id);
    }

    /// A dial for a member, if its address is free for that; its place then. `None` if somebody else dials there already.
    pub(in crate::proto) fn dial_for(
        &mut self,
        address: Address,
        member: &NodeId,
    ) -> Option<Place> {
        let Some(id) = self.dials.by_address.get(&address).copied() else {
            let id = self.new_dial(address, Keep::Member, Vec::new());
            if let Some(dial) = self.dials.by_id.get_mut(&id) {
                (dial.began, dial.leads_to) = (Some(self.env.now), Some(member.clone()));
            }
            self.arm_waiters(id);
            self.attempt(id);
            return Some(Place::Dialled(id));
        };
        let dial = self.dials.by_id.get_mut(&id)?;
        match (&dial.stage, dial.keep) {
            (Stage::Joined { .. } | Stage::Alias { .. }, _) => {
                // Somebody else lives there now.
                self.forget_member(member);
                Some(Place::Nowhere)
            }
            (_, Keep::Member) => {
                // Whoever it was dialled for, the newer word counts.
                let before = dial.leads_to.replace(member.clone());
                if let Some(before) = before.filter(|before| before != member) {
                    self.forget_member(&before);
                }
                Some(Place::Dialled(id))
            }
            (_, Keep::WhileWaited | Keep::Standing | Keep::Passing) => {
                dial.leads_to.get_or_insert_with(|| member.clone());
                None
            }
        }
    }

    /// The dial by which a lost member is dialled again.
    pub(in crate::proto) fn redial_of(&self, member: &NodeId) -> Option<DialId> {
        let theirs = |dial: &Dial<T>| dial.keep == Keep::Member && dial.is_for(member);
        self.dials.by_id.iter().find(|(_, dial)| theirs(dial)).map(|(id, _)| *id)
    }

    /// Whether that dial is under way for that member.
    pub(in crate::proto) fn dials_for(&self, id: DialId, member: &NodeId) -> bool {
        let dial = self.dials.by_id.get(&id);
        dial.is_some_and(|dial| dial.keep == Keep::Member && dial.is_for(member))
    }

    /// The member is forgotten, and its dial with it, unless the program waits for it.
    pub(in crate::proto) fn drop_member_dial(&mut self, id: DialId, member: &NodeId) {
        let theirs = |dial: &&mut Dial<T>| dial.keep == Keep::Member && dial.is_for(member);
        let Some(dial) = self.dials.by_id.get_mut(&id).filter(theirs) else { return };
        if dial.waiters.is_empty() {
            return self.remove_dial(id);
        }
        // It may be looked for elsewhere.
        dial.leads_to = None;
        self.outlast_member(id);
    }

    /// The member has come by itself: a dial that has not reached anything yet is not needed. One that has might be what the other side
    /// counts on, while it lets its own go.
    pub(in crate::proto) fn dismiss_dial(&mut self, id: DialId) {
        let Some(dial) = self.dials.by_id.get(&id) else { return };
        let rests = matches!(dial.stage, Stage::Resolving(_) | Stage::Pausing(_) | Stage::Between);
        if rests && dial.keep == Keep::Member && dial.waiters.is_empty() {
            self.remove_dial(id);
        }
    }

    /// Whether the program would not miss the link of that dial.
    pub(in crate::proto) fn is_spare(&self, id: DialId) -> bool {
        let dial = self.dials.by_id.get(&id);
        let spare = dial.is_some_and(|dial| dial.keep == Keep::Member || dial.only_asks());
        spare && !self.has_alias(id)
    }

    /// Who answers there is a seed from now on. Its address.
    pub(in crate::proto) fn keep_seed(&mut self, id: DialId) -> Option<Address> {
        let dial = self.dials.by_id.get_mut(&id)?;
        (dial.seed, dial.wanted) = (true, true);
        Some(dial.address.clone())
    }

    /// Nobody was told who the members are: what was dialled for that alone is let go.
    pub(in crate::proto) fn undo_join(&mut self, id: DialId) {
        let unwanted = |dial: &&Dial<T>| !dial.wanted && dial.waiters.is_empty();
        let Some(dial) = self.dials.by_id.get(&id).filter(unwanted) else { return };
        let address = dial.address.clone();
        self.disconnect_address(&address);
    }

    /// Dials members whose turn it is.
    pub(in crate::proto) fn dial_members(&mut self) {
        while self.dials.trying.len() < MEMBER_DIALS {
            let Some(id) = self.dials.waiting.pop_first() else { return };
            self.dials.trying.insert(id);
            self.attempt_now(id);
        }
    }

    /// Somebody waits for it now, and not for the members whose turn it would be. A link that is wanted for good does not wait for the
    /// next dial in the background either; what is just sent does, so that many sends to a dead node are not as many dials.
    pub(super) fn hasten(&mut self, id: DialId, for_good: bool) {
        let Some(dial) = self.dials.by_id.get(&id) else { return };
        let in_background = matches!(dial.keep, Keep::Standing | Keep::Member);
        match dial.stage {
            Stage::Between => {}
            Stage::Pausing(timer) if for_good && in_background => {
                self.env.timers.disarm(timer);
            }
            _ => return,
        }
        self.rest(id);
        self.attempt_now(id);
    }

    pub(super) fn rest(&mut self, id: DialId) {
        self.dials.trying.remove(&id);
        self.dials.waiting.remove(&id);
    }

    /// The member is given up, and the program still waits for whoever is at its address.
    pub(super) fn outlast_member(&mut self, id: DialId) {
        let Some(dial) = self.dials.by_id.get_mut(&id) else { return };
        (dial.keep, dial.began) = (Keep::WhileWaited, None);
        let member = dial.leads_to.clone();
        self.arm_waiters(id);
        if let Some(member) = member {
            self.forget_member(&member);
        }
    }
}

impl<T> Dial<T> {
    /// Whether it is there for a seed alone, which may as well be asked over a link of its own.
    pub(super) fn only_asks(&self) -> bool {
        self.seed && !self.asked_for && self.keep == Keep::Standing
    }

    /// Whether it is under way, and to that node.
    pub(super) fn is_for(&self, id: &NodeId) -> bool {
        let stands = matches!(self.stage, Stage::Joined { .. } | Stage::Alias { .. });
        !stands && self.leads_to.as_ref() == Some(id)
    }

    /// It has a link now. What the program waited for outlives what made this node dial there.
    pub(super) fn stands(&mut self) {
        (self.pause, self.began) = (Duration::ZERO, None);
        let links = self.waiters.iter().any(|waiter| waiter.wish == Wish::Link);
        match self.keep {
            _ if self.waiters.iter().any(|waiter| waiter.wish != Wish::Passing) => {
                self.outlive(links);
            }
            Keep::WhileWaited => self.keep = Keep::Passing,
            Keep::Standing => self.outlive(links),
            Keep::Member | Keep::Passing => {}
        }
    }

    /// From now on it is the program's: it waits for the link, or for what is said over it.
    pub(super) fn outlive(&mut self, for_the_link: bool) {
        // A member's link does not go with a question that failed.
        self.wanted |= for_the_link || self.keep == Keep::Member;
        self.asked_for |= for_the_link;
        self.keep = Keep::Standing;
    }
}
