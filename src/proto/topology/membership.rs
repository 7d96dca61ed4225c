//! The table of members: which other nodes take part in the mesh, and what is done to have a link
//! with each of them. It must not dial, query or announce: it returns what follows.
//!
//! ```text
//! new --> joined                a link with it is joined, or two
//!  |  --> awaited --> dialled   it may dial this node itself; if it has not in time, it is dialled
//!  |  --> dialled               a reply has named it, or this node cannot be dialled
//!  |  --> missing               the program dials its address, or another member does
//!
//! joined  --> dialled, missing or forgotten      its link is lost: by failure, or with a goodbye
//! missing --> awaited or dialled                 it is announced or named again
//! any     --> joined                             a link with it is joined
//! missing --> forgotten                          after a while; dialled: with its dial
//! ```
//!
//! Every state but joined ends after a bounded time. So nothing is left of a node that is dead.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::{Duration, Instant};

use super::dial::DialId;
use crate::address::Address;
use crate::config::{
    MEMBER_GIVE_UP, MEMBER_PATIENCE, MEMBERS, MEMBERS_LATELY, MEMBERS_OF_ONE, MEMBERS_PAGE,
    MEMBERS_PAGE_BYTES,
};
use crate::id::{LinkId, NodeId};
use crate::node_event::LeftReason;
use crate::proto::env::{Env, Timer};
use crate::proto::timers::TimerId;
use crate::wire;

/// The states of more members are checked by tests of fewer.
const CHECKED_MEMBERS: usize = 64;

/// All members that this node knows.
#[derive(Default, Debug)]
pub(super) struct Membership {
    by_id: BTreeMap<NodeId, Member>,
    /// Members that the program has disconnected: no announcement brings them back, not even their
    /// own; a link with them does, and the program, when it joins again.
    apart: BTreeSet<NodeId>,
    /// This node has queried a seed, or was queried: it is a member itself, if it can be dialled.
    taking_part: bool,
    /// Until then this node may stand between two meshes that find each other: what it learns from
    /// one, it announces to the other.
    merging: Option<Instant>,
    last: u64,
}

/// Another node that takes part in the mesh.
#[derive(Debug)]
pub(super) struct Member {
    /// What its timers are named by.
    number: u64,
    address: Address,
    state: MemberState,
    /// Since when it is known, or is back: it may have been started anew and know no other.
    since: Instant,
    /// Since when it is not joined, if it ever was: nodes that have queried since did not get its
    /// name, and it did not get that of members that are new since.
    lost_at: Option<Instant>,
    /// The link over which this node first learned of it.
    source: LinkId,
    /// It has queried this node, which has announced it.
    announced: bool,
}

/// Where a member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MemberState {
    /// It has just become known. Never seen between two inputs.
    New,
    /// A link with it is joined, or two.
    Joined,
    /// It was announced and will dial; if it has not by then, it is dialled.
    Awaited(TimerId),
    /// Its link was lost, and it is for others to dial; it is forgotten then.
    Missing(TimerId),
    /// This node dials it, and forgets it with the dial.
    Dialled(DialId),
}

/// How this node learned of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// From the member itself.
    Itself,
    /// By gossip: another member has announced it, and leaves it to the new one to dial.
    Gossip,
    /// By a reply to a query, which leaves it to this node to dial.
    Answer,
}

/// How this node learned of a member, and over which link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) source: Source,
    pub(super) link: LinkId,
}

/// What was learned of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Learned {
    /// It was not known.
    New,
    /// It was known, at that address.
    Known,
    /// It is at another address, and so is not where that dial looks for it.
    Moved(Option<DialId>),
    /// It is not kept, since there are as many as may be.
    Refused,
}

/// What a timer of a member has brought about.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Due {
    Dial(NodeId),
    Forget(NodeId),
}

/// A member that is joined now, as it was before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) state: MemberState,
    since: Instant,
    lost_at: Option<Instant>,
    source: LinkId,
}

impl Arrival {
    /// Whether a member does not know this one, nor this one it: it is new since this one was lost.
    /// Of one that this node has dialled for the first time, members that are new since it was
    /// named know nothing either, unless the same node has named them.
    pub(super) fn is_news_to(&self, other: &Member) -> bool {
        let dialled = matches!(self.state, MemberState::Dialled(_));
        match self.lost_at {
            Some(lost_at) => other.since >= lost_at,
            None => dialled && other.since >= self.since && other.source != self.source,
        }
    }

    /// Replies since then did not name it, since they name joined members only.
    pub(super) fn unnamed_since(&self, now: Instant) -> Instant {
        self.lost_at.map_or(lately(now), |lost_at| lost_at.min(lately(now)))
    }
}

/// Learning and forgetting.
impl Membership {
    /// Notes a member that is announced or named.
    pub(super) fn learn<T>(
        &mut self,
        env: &mut Env<T>,
        id: &NodeId,
        address: Address,
        origin: Origin,
    ) -> Learned {
        if let Some(member) = self.by_id.get_mut(id) {
            return member.relocate(address, origin.source);
        }
        let from_other = origin.source != Source::Itself;
        if self.by_id.len() >= MEMBERS || from_other && self.is_flooded(origin.link) {
            env.counters.members += 1;
            return Learned::Refused;
        }
        self.last += 1;
        let member = Member {
            number: self.last,
            address,
            state: MemberState::New,
            since: env.now,
            lost_at: None,
            source: origin.link,
            announced: false,
        };
        self.by_id.insert(id.clone(), member);
        Learned::New
    }

    /// Whether a link has brought so many members that are not joined that others would have no
    /// capacity left.
    fn is_flooded(&self, by: LinkId) -> bool {
        let theirs = |member: &&Member| member.source == by && member.state != MemberState::Joined;
        self.by_id.len() >= MEMBERS_OF_ONE
            && self.by_id.values().filter(theirs).count() >= MEMBERS_OF_ONE
    }

    /// Waits for a member that is known and may dial this node, unless it is looked for already. A
    /// pair of which each waits for the other is resolved by the order of their ids.
    pub(super) fn await_dial<T>(&mut self, env: &mut Env<T>, id: &NodeId) {
        let Some(member) = self.by_id.get_mut(id) else {
            debug_assert!(false, "{id} is looked for, and is not known");
            return;
        };
        match member.state {
            MemberState::Joined | MemberState::Dialled(_) | MemberState::Awaited(_) => {}
            MemberState::New | MemberState::Missing(_) => {
                let turns = if env.local.id < *id { 1 } else { 2 };
                let timer = member.arm(env, MEMBER_PATIENCE * turns);
                member.set(env, MemberState::Awaited(timer));
            }
        }
    }

    /// Returns the address of a member that is neither joined nor dialled.
    pub(super) fn undialled(&self, id: &NodeId) -> Option<Address> {
        let member = self.by_id.get(id)?;
        match member.state {
            MemberState::New | MemberState::Awaited(_) | MemberState::Missing(_) => {
                Some(member.address.clone())
            }
            MemberState::Joined | MemberState::Dialled(_) => None,
        }
    }

    /// The member is being dialled.
    pub(super) fn dialled<T>(&mut self, env: &mut Env<T>, id: &NodeId, dial: DialId) {
        self.set(env, id, MemberState::Dialled(dial));
    }

    /// Another dial than one of its own looks for the member: it is forgotten after a while.
    pub(super) fn missing<T>(&mut self, env: &mut Env<T>, id: &NodeId) {
        // A member may be forgotten before what its dial has brought about is handled.
        let Some(member) = self.by_id.get_mut(id) else { return };
        let timer = member.arm(env, MEMBER_GIVE_UP);
        member.set(env, MemberState::Missing(timer));
    }

    fn set<T>(&mut self, env: &mut Env<T>, id: &NodeId, state: MemberState) {
        match self.by_id.get_mut(id) {
            Some(member) => member.set(env, state),
            None => debug_assert!(false, "{id} is not known, and becomes {state:?}"),
        }
    }

    /// A member has not dialled in time, or was missing for long enough.
    pub(super) fn due<T>(&mut self, env: &mut Env<T>, number: u64) -> Option<Due> {
        let found = self.by_id.iter_mut().find(|(_, member)| member.number == number);
        let Some((id, member)) = found else {
            debug_assert!(false, "a member is forgotten, and has a timer");
            return None;
        };
        match member.state {
            MemberState::Awaited(_) => {
                member.set(env, MemberState::New);
                Some(Due::Dial(id.clone()))
            }
            MemberState::Missing(_) => Some(Due::Forget(id.clone())),
            MemberState::New | MemberState::Joined | MemberState::Dialled(_) => {
                debug_assert!(false, "{id} has a timer in state {:?}", member.state);
                None
            }
        }
    }

    /// Forgets a member, if it is one. Returns where it was.
    pub(super) fn forget<T>(&mut self, env: &mut Env<T>, id: &NodeId) -> Option<MemberState> {
        let mut member = self.by_id.remove(id)?;
        let state = member.state;
        member.set(env, MemberState::New);
        Some(state)
    }

    /// Keeps a node out until a link with it is joined, or the program joins again.
    pub(super) fn keep_apart(&mut self, id: NodeId) {
        if self.apart.len() >= MEMBERS {
            self.apart.pop_first();
        }
        self.apart.insert(id);
    }

    /// The program wants all members, also those that it has disconnected.
    pub(super) fn admit_all(&mut self) {
        self.apart.clear();
    }

    pub(super) fn is_apart(&self, id: &NodeId) -> bool {
        self.apart.contains(id)
    }

    /// The node stops, and is no member any more.
    pub(super) fn close<T>(&mut self, env: &mut Env<T>) {
        for mut member in std::mem::take(&mut self.by_id).into_values() {
            member.set(env, MemberState::New);
        }
        self.apart.clear();
        self.taking_part = false;
    }
}

/// Links and dials that come and go.
impl Membership {
    /// A link with a node is joined. Returns where it was before, if it is a member.
    pub(super) fn joined<T>(&mut self, env: &mut Env<T>, id: &NodeId) -> Option<Arrival> {
        self.apart.remove(id);
        let member = self.by_id.get_mut(id)?;
        let Member { state, since, lost_at, source, .. } = *member;
        member.set(env, MemberState::Joined);
        if state != MemberState::Joined {
            (member.lost_at, member.since) = (None, env.now);
        }
        Some(Arrival { state, since, lost_at, source })
    }

    /// A member that is known is found to be joined.
    pub(super) fn is_here<T>(&mut self, env: &mut Env<T>, id: &NodeId) {
        self.set(env, id, MemberState::Joined);
    }

    /// The last link with a node is lost, and what its dial does about it is decided: `redial` is
    /// the dial by which it is dialled again. Returns whether it is to be forgotten.
    pub(super) fn lost<T>(
        &mut self,
        env: &mut Env<T>,
        id: &NodeId,
        redial: Option<DialId>,
        reason: &LeftReason,
    ) -> bool {
        // Most peers are no members where no seed was ever queried.
        let Some(member) = self.by_id.get_mut(id) else { return false };
        member.lost_at = Some(env.now);
        if let Some(dial) = redial {
            member.set(env, MemberState::Dialled(dial));
        } else if is_failure(reason) {
            let timer = member.arm(env, MEMBER_GIVE_UP);
            member.set(env, MemberState::Missing(timer));
        } else {
            return true;
        }
        false
    }

    /// Whether that dial is the one for that member.
    pub(super) fn is_dialled_by(&self, id: &NodeId, dial: DialId) -> bool {
        self.by_id.get(id).is_some_and(|member| member.state == MemberState::Dialled(dial))
    }

    pub(super) fn note_announced(&mut self, id: &NodeId) {
        // A node whose address is refused is no member.
        if let Some(member) = self.by_id.get_mut(id) {
            member.announced = true;
        }
    }

    /// Whether this node has announced a member because it has queried this node.
    pub(super) fn has_announced(&self, id: &NodeId) -> bool {
        self.by_id.get(id).is_some_and(|member| member.announced)
    }
}

/// This node's own part.
impl Membership {
    pub(super) fn take_part(&mut self) {
        self.taking_part = true;
    }

    pub(super) fn is_taking_part(&self) -> bool {
        self.taking_part
    }

    /// This node queries that seed: if others are joined, two meshes may be about to merge.
    pub(super) fn note_query(&mut self, now: Instant, seed: &NodeId) {
        self.taking_part = true;
        if self.joined_ids().any(|id| id != seed) {
            self.merging = Some(now + MEMBERS_LATELY);
        }
    }

    /// A reply is complete: if this node knows members from elsewhere that it does not name, two
    /// meshes are about to merge.
    pub(super) fn note_reply(
        &mut self,
        now: Instant,
        link: LinkId,
        is_named: impl Fn(&NodeId) -> bool,
    ) {
        let elsewhere = |(id, member): (&NodeId, &Member)| member.source != link && !is_named(id);
        if self.by_id.iter().any(elsewhere) {
            self.merging = Some(now + MEMBERS_LATELY);
        }
    }

    pub(super) fn is_merging(&self, now: Instant) -> bool {
        self.merging.is_some_and(|until| now < until)
    }
}

/// Reading.
impl Membership {
    pub(super) fn get(&self, id: &NodeId) -> Option<&Member> {
        self.by_id.get(id)
    }

    pub(super) fn contains(&self, id: &NodeId) -> bool {
        self.by_id.contains_key(id)
    }

    pub(super) fn joined_ids(&self) -> impl Iterator<Item = &NodeId> {
        let joined = |(_, member): &(&NodeId, &Member)| member.state == MemberState::Joined;
        self.by_id.iter().filter(joined).map(|(id, _)| id)
    }

    /// Returns a member as messages name it.
    pub(super) fn named(&self, id: &NodeId) -> Option<wire::Member> {
        let address = self.by_id.get(id)?.address.to_string();
        Some(wire::Member { id: id.clone(), address })
    }

    /// Returns the joined members behind `after`, as many as fit into one message, and whether
    /// there are more. The requester is not named to itself.
    pub(super) fn page(
        &self,
        after: Option<&NodeId>,
        requester: &NodeId,
    ) -> (Vec<wire::Member>, bool) {
        let bounds = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut left = self
            .by_id
            .range::<NodeId, _>((bounds, Bound::Unbounded))
            .filter(|(id, member)| member.state == MemberState::Joined && *id != requester)
            .peekable();
        let (mut page, mut bytes) = (Vec::new(), 0);
        while page.len() < MEMBERS_PAGE && bytes < MEMBERS_PAGE_BYTES {
            let Some((id, member)) = left.next() else { break };
            bytes += id.as_str().len() + member.address.host().len() + 16;
            page.push(wire::Member { id: id.clone(), address: member.address.to_string() });
        }
        (page, left.peek().is_some())
    }

    /// Timers that members own.
    #[cfg(any(test, fuzzing))]
    pub(super) fn timers(&self) -> usize {
        let timed = |member: &&Member| {
            matches!(member.state, MemberState::Awaited(_) | MemberState::Missing(_))
        };
        self.by_id.values().filter(timed).count()
    }

    /// What is wrong with the members, if anything. `joined`: whether a link with that node is;
    /// `dialled`: whether that dial is under way for that member.
    pub(super) fn broken_invariant(
        &self,
        joined: impl Fn(&NodeId) -> bool,
        dialled: impl Fn(DialId, &NodeId) -> bool,
    ) -> Option<String> {
        if self.by_id.len() > MEMBERS || self.apart.len() > MEMBERS {
            return Some("there are too many members".to_owned());
        }
        if self.by_id.len() > CHECKED_MEMBERS {
            return None;
        }
        let wrong = self.by_id.iter().find(|(id, member)| match member.state {
            MemberState::New => true,
            MemberState::Joined => !joined(id),
            MemberState::Awaited(_) | MemberState::Missing(_) => joined(id),
            MemberState::Dialled(dial) => joined(id) || !dialled(dial, id),
        });
        wrong.map(|(id, member)| format!("the member {id} is not where it should be: {member:?}"))
    }

    /// Members with which no link is joined, and all there are.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.by_id.len() - self.joined_ids().count(), self.by_id.len())
    }

    #[cfg(test)]
    pub(super) fn address_of(&self, id: &NodeId) -> Option<Address> {
        self.by_id.get(id).map(|member| member.address.clone())
    }
}

impl Member {
    /// Notes the address that is said to be the member's. Of one that is joined no other node knows
    /// better where it is.
    fn relocate(&mut self, address: Address, source: Source) -> Learned {
        let believed = source == Source::Itself || self.state != MemberState::Joined;
        if self.address == address || !believed {
            return Learned::Known;
        }
        self.address = address;
        let MemberState::Dialled(dial) = self.state else { return Learned::Moved(None) };
        self.state = MemberState::New;
        Learned::Moved(Some(dial))
    }

    fn arm<T>(&self, env: &mut Env<T>, after: Duration) -> TimerId {
        env.timers.arm(env.now + after, Timer::Member(self.number))
    }

    /// Puts the member somewhere else, and disarms the timer of where it was.
    fn set<T>(&mut self, env: &mut Env<T>, state: MemberState) {
        if let MemberState::Awaited(timer) | MemberState::Missing(timer) =
            std::mem::replace(&mut self.state, state)
        {
            env.timers.disarm(timer);
        }
    }
}

/// Nodes that have queried for the members since then are announced what becomes known afterwards.
pub(super) fn lately(now: Instant) -> Instant {
    now.checked_sub(MEMBERS_LATELY).unwrap_or(now)
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

#[cfg(test)]
mod tests;
