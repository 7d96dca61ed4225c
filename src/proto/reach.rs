//! Which peers can be reached over which links just now: the read-only view by which messages are
//! placed. It must not change anything but the capacity that is taken through it.

use std::sync::Arc;

use super::ReplyTo;
use super::link::outbound::Outbound;
use super::links::Links;
use super::peers::Peers;
use super::queue::Seq;
use super::traffic::WaitingTick;
use crate::id::{CallId, LinkId, NodeId, PeerKey};
use crate::routing::{Directory, PeerEntry, Route, Step};

#[derive(Clone, Copy)]
pub(super) struct Reach<'a, T> {
    links: &'a Links<T>,
    peers: &'a Peers,
}

impl<'a, T> Reach<'a, T> {
    pub(super) fn new(links: &'a Links<T>, peers: &'a Peers) -> Self {
        Self { links, peers }
    }

    /// The link that a message of this step takes, and the capacity there.
    #[inline]
    pub(super) fn outbound(&self, step: &Step) -> Option<(LinkId, &'a Outbound<WaitingTick<T>>)> {
        let id = self.peers.route(step)?;
        Some((id, &self.links.ready(id)?.outbound))
    }

    /// The name of a peer that is joined, or was until lately.
    pub(super) fn name(&self, key: PeerKey) -> Option<NodeId> {
        self.peers.name(key)
    }

    /// The peer at the other end of a link.
    #[inline]
    pub(super) fn peer_of(&self, link: LinkId) -> Option<&'a Arc<PeerEntry>> {
        self.peers.entry(self.links.get(link)?.peer?)
    }

    /// The links of a peer, with how many ticks each has accepted and confirmed.
    pub(super) fn ticks_of(&self, peer: &PeerEntry) -> Vec<(LinkId, u64, u64)> {
        let faces = peer.up.iter().chain(&peer.down);
        let links = faces.filter_map(|face| self.links.get(face.link));
        links.map(|link| (link.id, link.ticks.accepted(), link.ticks.confirmed())).collect()
    }

    /// The calls of this node to a peer, those that wait among them.
    pub(super) fn calls_to(&self, peer: &PeerEntry) -> Vec<CallId> {
        let faces = peer.up.iter().chain(&peer.down);
        let links = faces.filter_map(|face| self.links.get(face.link));
        links.flat_map(|link| link.outbound.calls()).collect()
    }

    pub(super) fn entry(&self, key: PeerKey) -> Option<&'a Arc<PeerEntry>> {
        self.peers.entry(key)
    }

    /// How many ticks of a link are confirmed.
    pub(super) fn confirmed(&self, link: LinkId) -> Option<u64> {
        self.links.get(link).map(|link| link.ticks.confirmed())
    }

    /// Whether a link would take more than its share of the memory with so much more.
    #[inline]
    pub(super) fn is_crowded(&self, link: LinkId, more: usize) -> bool {
        let taken = self.links.get(link).map_or(0, super::link::Link::memory);
        self.links.memory().is_over(taken + more)
    }

    /// Whether the kernel has the last byte of that message.
    #[inline]
    pub(super) fn is_written(&self, link: LinkId, seq: Seq) -> bool {
        self.links.get(link).is_some_and(|link| link.queue.is_written(seq))
    }

    /// The routers that may be asked on this route, beginning with the first behind that one.
    pub(super) fn routers(
        &self,
        route: &'a Route,
        behind: PeerKey,
    ) -> impl Iterator<Item = PeerKey> + use<'a, T> {
        let peers = self.peers;
        let routers = peers.directory().routers();
        let turn = routers.partition_point(|key| *key <= behind);
        let (before, behind) = routers.split_at(turn);
        let may_be_asked = move |key: &PeerKey| {
            peers.entry(*key).is_some_and(|router| {
                route.may_ask(&router.id) && route.origin.as_ref() != Some(&router.id)
            })
        };
        behind.iter().chain(before).copied().filter(may_be_asked)
    }

    /// How many calls the peer at the other end of a link may have open.
    pub(super) fn granted_calls(&self, link: LinkId) -> usize {
        self.links.get(link).map_or(0, |link| link.inbound.granted() as usize)
    }

    /// Whether a request of a peer is not answered.
    pub(super) fn is_handled(&self, reply_to: ReplyTo) -> bool {
        self.links.is_handled(reply_to)
    }

    pub(super) fn directory(&self) -> &'a Directory {
        self.peers.directory()
    }
}
