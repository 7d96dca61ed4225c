//! Dials for members and seeds: which dial is for which member, and which the program would not
//! miss. It must not begin an attempt that the table would not begin.

use super::super::dial::{Dial, DialId, DialReason};
use super::super::dial_events::{MemberDial, Next};
use super::Dials;
use crate::address::Address;
use crate::id::{NodeId, PeerKey};
use crate::proto::env::Env;
use crate::proto::peers::Peers;

impl<T> Dials<T> {
    /// Dials a member at its address, unless there is another dial for that address.
    pub(in crate::proto::topology) fn dial_member(
        &mut self,
        env: &mut Env<T>,
        address: Address,
        member: &NodeId,
    ) -> MemberDial {
        let Some(dial) = self.at(&address) else {
            let (id, now) = (self.draw(), env.now);
            let mut dial = Dial::for_member(id, address.clone(), member.clone(), now);
            dial.arm_waiters(env);
            self.by_address.insert(address, id);
            self.by_id.insert(id, dial);
            self.attempt(env, id);
            return MemberDial::Dialled { dial: id, displaced: None };
        };
        if dial.peer().is_some() {
            return MemberDial::OtherNode;
        }
        match dial.reason() {
            // Whichever member it was dialled for, the newer word counts.
            DialReason::Member => {
                let displaced = dial.expect(member);
                MemberDial::Dialled { dial: dial.id(), displaced }
            }
            DialReason::Waiters | DialReason::Persistent | DialReason::Passing => {
                dial.expect_unless_known(member);
                MemberDial::ByProgram
            }
        }
    }

    /// Returns the dial by which a lost member is dialled again.
    pub(in crate::proto::topology) fn redial_of(&self, member: &NodeId) -> Option<DialId> {
        self.by_id.values().find(|dial| dial.is_for_member(member)).map(Dial::id)
    }

    /// Whether that dial is under way for that member.
    pub(in crate::proto::topology) fn is_for_member(&self, id: DialId, member: &NodeId) -> bool {
        self.by_id.get(&id).is_some_and(|dial| dial.is_for_member(member))
    }

    /// Returns the member that a dial was made for, if it was made for one.
    pub(in crate::proto::topology) fn member_of(&self, id: DialId) -> Option<&NodeId> {
        let dial = self.by_id.get(&id).filter(|dial| dial.reason() == DialReason::Member);
        dial.and_then(Dial::leads_to)
    }

    /// Returns the node that an address leads to.
    pub(in crate::proto::topology) fn node_at(&self, address: &Address) -> Option<&NodeId> {
        self.by_id.get(self.by_address.get(address)?)?.leads_to()
    }

    /// The member is forgotten, and its dial with it, unless a caller waits for it.
    pub(in crate::proto::topology) fn drop_member(
        &mut self,
        env: &mut Env<T>,
        id: DialId,
        member: &NodeId,
    ) -> Next<T> {
        let dial = self.by_id.get_mut(&id).filter(|dial| dial.is_for_member(member));
        // A dial that has joined meanwhile, or is for another member now, goes on.
        let Some(dial) = dial else { return Next::new() };
        if !dial.has_waiters() {
            return self.remove(env, id);
        }
        // The member may be looked for elsewhere.
        dial.expect_none();
        dial.outlast_member(env);
        Next::new()
    }

    /// The member has dialled this node: a dial that has not reached anything yet is not needed.
    /// One that has might be what the other side counts on, while it lets its own go.
    pub(in crate::proto::topology) fn dismiss(&mut self, env: &mut Env<T>, id: DialId) -> Next<T> {
        let dial = self.by_id.get(&id);
        if dial.is_some_and(|dial| dial.is_at_rest() && dial.is_in_background()) {
            return self.remove(env, id);
        }
        Next::new()
    }

    /// Whether the program would not miss the link of that dial.
    pub(in crate::proto::topology) fn is_spare(&self, id: DialId) -> bool {
        let spare = |dial: &Dial<T>| dial.reason() == DialReason::Member || dial.is_for_seed_only();
        self.by_id.get(&id).is_some_and(spare) && !self.has_alias(id)
    }

    /// The node at that dial has named the members, and is a seed from now on. Returns its address;
    /// none if it was disconnected meanwhile.
    pub(in crate::proto::topology) fn keep_seed(&mut self, id: DialId) -> Option<Address> {
        self.by_id.get_mut(&id).map(Dial::keep_seed)
    }

    /// A query for the members has failed: what was dialled for it alone is let go.
    pub(in crate::proto::topology) fn undo_join(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        id: DialId,
    ) -> Next<T> {
        let unwanted = self.by_id.get(&id).filter(|dial| !dial.is_wanted());
        let Some(dial) = unwanted else { return Next::new() };
        let address = dial.address().clone();
        self.disconnect_address(env, peers, &address)
    }

    /// The link of a dial was replaced: a seed that has dialled this node need not be dialled by
    /// it. Returns whether that is so, and the dial rests.
    pub(in crate::proto::topology) fn rest_by_peer(&mut self, peers: &Peers, id: DialId) -> bool {
        // A dial that is removed has its link closed, and so loses it.
        let Some(dial) = self.by_id.get_mut(&id) else { return false };
        let joined = dial.joined_peer().filter(|peer| peers.entry(*peer).is_some());
        let rests = joined.filter(|_| dial.is_for_seed_only());
        if let Some(peer) = rests {
            dial.share(peer);
        }
        rests.is_some()
    }

    /// Returns the dials that share the link with that peer which is lost, but those of seeds alone
    /// if another link with it is `here`.
    pub(in crate::proto::topology) fn aliases_of(&self, key: PeerKey, here: bool) -> Vec<DialId> {
        self.ids(|dial| dial.alias_of() == Some(key) && !(here && dial.is_for_seed_only()))
    }

    /// Returns the dials that share a link with a peer that is gone.
    pub(in crate::proto::topology) fn aliases_without_peer(&self, peers: &Peers) -> Vec<DialId> {
        let gone = |peer| peers.entry(peer).is_none();
        self.ids(|dial| dial.alias_of().is_some_and(gone))
    }
}
