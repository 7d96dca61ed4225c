//! What each joined link is still to be sent of members: pages of replies to its queries, and
//! announcements, so few at a time that no receiver takes them for a flood. It must not know what
//! there is to say of a member, nor queue a message.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use crate::config::{MEMBERS_ASKED, MEMBERS_TOLD, TELL_PAUSE};
use crate::id::{CallId, LinkId, NodeId};
use crate::proto::env::Env;

/// Every joined link with another node, and what it is still to be sent.
#[derive(Default, Debug)]
pub(super) struct Gossip {
    by_link: BTreeMap<LinkId, Outbox>,
    /// Links that are still to be sent something.
    pending: BTreeSet<LinkId>,
}

/// What one link is still to be sent.
#[derive(Debug)]
struct Outbox {
    peer: NodeId,
    /// Its end on this side.
    local: Option<SocketAddr>,
    /// When the other side last sent a query.
    received_query_at: Option<Instant>,
    /// When this side last sent a query.
    sent_query_at: Option<Instant>,
    /// The other side has replied to a query of this one.
    replied: bool,
    /// Queries of the other side, each with the last member that was named.
    queries: VecDeque<(CallId, Option<NodeId>)>,
    /// Members to be announced.
    members: BTreeSet<NodeId>,
    /// Nothing is announced before this.
    next_at: Option<Instant>,
}

/// A link that may be sent an announcement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receiver<'a> {
    pub(super) link: LinkId,
    pub(super) peer: &'a NodeId,
    /// When it last sent a query.
    pub(super) queried_at: Option<Instant>,
}

/// The next page of a reply.
#[derive(Debug)]
pub(super) struct NextPage {
    pub(super) call: CallId,
    /// The last member that was named.
    pub(super) after: Option<NodeId>,
    pub(super) requester: NodeId,
}

/// Links.
impl Gossip {
    pub(super) fn joined(&mut self, link: LinkId, peer: NodeId, local: Option<SocketAddr>) {
        let outbox = Outbox {
            peer,
            local,
            received_query_at: None,
            sent_query_at: None,
            replied: false,
            queries: VecDeque::new(),
            members: BTreeSet::new(),
            next_at: None,
        };
        self.by_link.insert(link, outbox);
    }

    pub(super) fn left(&mut self, link: LinkId) {
        self.by_link.remove(&link);
        self.pending.remove(&link);
    }

    /// Returns the outbox of a joined link; that it has joined is for the caller to know.
    fn outbox(&mut self, link: LinkId) -> Option<&mut Outbox> {
        let outbox = self.by_link.get_mut(&link);
        debug_assert!(outbox.is_some(), "{link:?} has not joined");
        outbox
    }

    /// Returns all joined links with other nodes.
    pub(super) fn links(&self) -> Vec<LinkId> {
        self.by_link.keys().copied().collect()
    }

    /// Returns the node at the other end of a link.
    pub(super) fn peer(&self, link: LinkId) -> Option<&NodeId> {
        self.by_link.get(&link).map(|outbox| &outbox.peer)
    }

    /// Returns a link's end on this side.
    pub(super) fn local(&self, link: LinkId) -> Option<SocketAddr> {
        self.by_link.get(&link)?.local
    }

    /// This side sends a query.
    pub(super) fn note_query(&mut self, now: Instant, link: LinkId) {
        if let Some(outbox) = self.outbox(link) {
            outbox.sent_query_at = Some(now);
        }
    }

    /// The other side has replied. Returns whether it did so for the first time.
    pub(super) fn note_reply(&mut self, link: LinkId) -> bool {
        self.outbox(link).is_some_and(|outbox| !std::mem::replace(&mut outbox.replied, true))
    }

    /// Whether one side has queried the other since then.
    pub(super) fn is_fresh(&self, link: LinkId, since: Instant) -> bool {
        let outbox = self.by_link.get(&link);
        let last = outbox.and_then(|outbox| outbox.received_query_at.max(outbox.sent_query_at));
        last.is_some_and(|at| at > since)
    }
}

/// What is to be sent.
impl Gossip {
    /// Takes a query of the other side. Returns whether it is its first, or nothing if too many of
    /// its queries wait for their reply.
    pub(super) fn add_query(&mut self, now: Instant, link: LinkId, call: CallId) -> Option<bool> {
        let outbox = self.outbox(link).filter(|outbox| outbox.queries.len() < MEMBERS_ASKED)?;
        outbox.queries.push_back((call, None));
        let first = outbox.received_query_at.replace(now).is_none();
        self.pending.insert(link);
        Some(first)
    }

    /// Announces a member on the links that `wants` selects.
    pub(super) fn announce<T>(
        &mut self,
        env: &mut Env<T>,
        id: &NodeId,
        wants: impl Fn(Receiver<'_>) -> bool,
    ) {
        for (link, outbox) in &mut self.by_link {
            let (peer, queried_at) = (&outbox.peer, outbox.received_query_at);
            if wants(Receiver { link: *link, peer, queried_at }) {
                outbox.members.insert(id.clone());
                self.pending.insert(*link);
                env.touch(*link);
            }
        }
    }

    /// A member is forgotten, and so need not be announced; what is to be announced is bounded as
    /// the members are.
    pub(super) fn forget(&mut self, id: &NodeId) {
        for link in &self.pending {
            if let Some(outbox) = self.by_link.get_mut(link) {
                outbox.members.remove(id);
            }
        }
    }

    /// All members are forgotten.
    pub(super) fn forget_all(&mut self) {
        for outbox in self.by_link.values_mut() {
            outbox.members.clear();
        }
    }

    /// Whether a link is to be sent something once it has capacity.
    pub(super) fn is_pending(&self, link: LinkId) -> bool {
        self.pending.contains(&link)
    }

    /// Whether nothing is left to be sent on a link.
    pub(super) fn is_done(&self, link: LinkId) -> bool {
        self.by_link.get(&link).is_none_or(Outbox::is_empty)
    }

    /// Returns when there is more to announce on a link, if there is.
    pub(super) fn next_at(&self, link: LinkId) -> Option<Instant> {
        if !self.pending.contains(&link) {
            return None;
        }
        let outbox = self.by_link.get(&link).filter(|outbox| !outbox.members.is_empty())?;
        outbox.next_at
    }

    /// Returns the page that is to be sent next on a link.
    pub(super) fn next_page(&mut self, link: LinkId) -> Option<NextPage> {
        let outbox = self.by_link.get(&link)?;
        let (call, after) = outbox.queries.front()?.clone();
        Some(NextPage { call, after, requester: outbox.peer.clone() })
    }

    /// That page is sent up to a member, or it was the last one.
    pub(super) fn page_sent(&mut self, link: LinkId, last: Option<NodeId>) {
        let Some(outbox) = self.outbox(link) else { return };
        match (last, outbox.queries.front_mut()) {
            (Some(last), Some((_, after))) => *after = Some(last),
            (Some(_) | None, _) => drop(outbox.queries.pop_front()),
        }
    }

    /// Takes the members that may be announced on a link now.
    pub(super) fn next_members(&mut self, now: Instant, link: LinkId) -> Vec<NodeId> {
        let Some(outbox) = self.outbox(link) else { return Vec::new() };
        if outbox.next_at.is_some_and(|at| at > now) {
            return Vec::new();
        }
        outbox.next_at = Some(now + TELL_PAUSE);
        (0..MEMBERS_TOLD).map_while(|_| outbox.members.pop_first()).collect()
    }

    /// Notes whether anything is left to be sent on a link. Returns whether there is.
    pub(super) fn settle(&mut self, link: LinkId) -> bool {
        if self.is_done(link) {
            self.pending.remove(&link);
            return false;
        }
        true
    }
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.queries.is_empty() && self.members.is_empty()
    }
}

#[cfg(test)]
mod tests;
