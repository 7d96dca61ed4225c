//! What must always be true between two inputs, and what tests may ask of the inside.

#[cfg(test)]
use std::collections::BTreeMap;
#[cfg(test)]
use std::time::Instant;

use super::Mesh;
use crate::id::LinkId;
#[cfg(any(test, fuzzing))]
use crate::id::NodeId;
#[cfg(test)]
use crate::node_event::LeftReason;
#[cfg(any(test, fuzzing))]
use crate::options::Options;
#[cfg(test)]
use crate::proto::counters::Counters;
#[cfg(any(test, fuzzing))]
use crate::proto::link::Link;
#[cfg(test)]
use crate::proto::links::Links;
#[cfg(test)]
use crate::proto::topology::Topology;
#[cfg(test)]
use crate::proto::{Local, Output};
#[cfg(test)]
use crate::wire::Farewell;

/// Larger meshes are checked by tests of smaller ones.
const CHECKED_LINKS: usize = 32;

/// What is wrong with this engine, if anything. Cheap enough for every debug turn of a small mesh.
pub(super) fn broken_invariant<T>(mesh: &Mesh<T>) -> Option<String> {
    let (links, peers) = (&mesh.connections.links, &mesh.connections.peers);
    if links.iter().count() > CHECKED_LINKS {
        return None;
    }
    for link in links.iter() {
        let (id, ready) = (link.id, link.is_ready());
        if ready != link.peer.is_some() {
            return Some(format!("{id:?} is ready without a peer, or has a peer and is not ready"));
        }
        if let Some(key) = link.peer {
            let listed = peers.entry(key).is_some_and(|entry| {
                entry.up.iter().chain(&entry.down).any(|face| face.link == id)
            });
            if !listed {
                return Some(format!("{id:?} is ready and its peer does not list it"));
            }
        }
        let holds_calls = !link.outbound.is_empty() || !link.inbound.is_empty();
        if !ready && holds_calls {
            return Some(format!("{id:?} is not ready and holds calls"));
        }
        let kept = link.outbound.in_flight().map(|call| mesh.traffic.kept(call));
        let Some(kept) = kept.sum::<Option<usize>>() else {
            return Some(format!("{id:?} has a call in flight that is over"));
        };
        if link.outbound.kept() != kept {
            let counted = link.outbound.kept();
            return Some(format!("{id:?} counts {counted} bytes kept, not {kept}"));
        }
        let waits = !link.queue.is_empty() && !link.liveness.is_writing();
        if waits && (id == LinkId::OWN || !link.handshake.is_connecting()) {
            return Some(format!("{id:?} has something to write and the shell was not asked to"));
        }
    }
    let own = usize::from(links.get(LinkId::OWN).is_some());
    let faces = peers.iter();
    let faces = faces.map(|peer| usize::from(peer.up.is_some()) + usize::from(peer.down.is_some()));
    let ready = links.iter().filter(|link| link.is_ready()).count();
    if faces.sum::<usize>() != ready || peers.directory().len() + own != peers.len() {
        return Some("the directory lists other links than those that stand".to_owned());
    }
    links.broken_windows().or_else(|| mesh.topology.broken_invariant(peers))
}

/// What callers have taken on a link and the engine has not got yet.
#[cfg(any(test, fuzzing))]
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Posted {
    pub(crate) queued: usize,
    pub(crate) calls: u32,
    pub(crate) ticks: u64,
}

/// Where a number that is kept differs from the table it stands for: a capacity from what took it,
/// the timers from their owners.
#[cfg(any(test, fuzzing))]
pub(super) fn broken_ledger<T>(
    mesh: &Mesh<T>,
    posted: &dyn Fn(LinkId) -> Posted,
    honest: bool,
) -> Option<String> {
    let links = &mesh.connections.links;
    let mut ready = links.iter().filter(|link| link.is_ready());
    let of_links = ready.find_map(|link| broken_link(link, posted(link.id), honest));
    let handled = |link: &Link<T>| (link.inbound.handled(), link.inbound.granted() as usize);
    let mut over = links.iter().filter(|link| handled(link).0 > handled(link).1);
    let over = over.next().map(|link| format!("{:?} owes {} replies", link.id, handled(link).0));
    let (armed, owned) = (mesh.env.timers.len(), owned_timers(mesh));
    let timers = (armed != owned).then(|| format!("{armed} timers are armed, {owned} owned"));
    of_links
        .or(over)
        .or(timers)
        .or_else(|| links.broken_memory())
        .or_else(|| broken_invariant(mesh))
}

#[cfg(any(test, fuzzing))]
fn owned_timers<T>(mesh: &Mesh<T>) -> usize {
    let of_link =
        |link: &Link<T>| usize::from(link.timer.is_some()) + link.outbound.waiting_ticks();
    let links = mesh.connections.links.iter().map(of_link).sum::<usize>();
    links + mesh.traffic.timers() + mesh.topology.timers() + mesh.stop.timers()
}

#[cfg(any(test, fuzzing))]
fn broken_link<T>(link: &Link<T>, posted: Posted, honest: bool) -> Option<String> {
    let capacity = link.outbound.capacity();
    let counted = (capacity.queued(), capacity.calls(), capacity.unconfirmed());
    let tables = (
        link.queue.room_taken() + posted.queued,
        link.outbound.in_flight().count() as u32 + posted.calls,
        link.ticks.outstanding_cost() + posted.ticks,
    );
    if counted != tables {
        return Some(format!("the capacity of {:?} says {counted:?}, not {tables:?}", link.id));
    }
    let (open, taken) = link.inbound.slots();
    if open < taken || honest && open > taken {
        return Some(format!("{:?} counts {open} calls, not {taken}", link.id));
    }
    let control = link.queue.control_bytes();
    (control > MAX_CONTROL).then(|| format!("{control} bytes of control on {:?}", link.id))
}

/// More control messages than this never wait, whatever a peer makes this node say.
#[cfg(any(test, fuzzing))]
const MAX_CONTROL: usize = 2 * crate::config::CONTROL_QUEUE_BYTES;

/// The injected fault: a reply that nothing waits for goes to whatever waits.
#[cfg(test)]
pub(super) fn take_late_reply<T>(
    mesh: &mut Mesh<T>,
    reply: Result<crate::proto::traffic::ReplyBody, crate::error::Error>,
) {
    use crate::proto::planted::{Planted, has};
    use crate::proto::traffic::ReplyBody;
    use crate::proto::{Answered, Done};

    let other = mesh.traffic.calls().first().copied();
    let peer = mesh.connections.peers.iter().next().cloned();
    if let (true, Some(other), Ok(ReplyBody::Payload(payload, handler)), Some(peer)) =
        (has(Planted::LateAnswerTaken), other, reply, peer)
    {
        let answered = Answered { payload, peer, handler };
        mesh.traffic.end(other, Ok(Done::Answered(answered)), &mut mesh.env);
    }
}

/// What tests may ask of the inside.
#[cfg(any(test, fuzzing))]
impl<T> Mesh<T> {
    /// What is wrong with a number that is kept beside the table it stands for, if anything.
    /// `honest`: the peers keep to the protocol.
    pub(crate) fn broken_ledger(
        &self,
        posted: &dyn Fn(LinkId) -> Posted,
        honest: bool,
    ) -> Option<String> {
        broken_ledger(self, posted, honest)
    }

    /// Where a link is in its life; `None` if it is over.
    pub(crate) fn link_state(&self, link: LinkId) -> Option<&'static str> {
        self.connections.links.get(link).map(|link| link.handshake.name())
    }

    /// Calls of this node that are not ended.
    pub(crate) fn pending_calls(&self) -> usize {
        self.traffic.len()
    }

    /// Calls of others that are not answered.
    pub(crate) fn inbound_requests(&self) -> usize {
        self.connections.links.iter().map(|link| link.inbound.len()).sum()
    }

    /// Timers that are armed.
    pub(crate) fn armed_timers(&self) -> usize {
        self.env.timers.len()
    }

    /// The services a peer is known to have.
    pub(crate) fn services_of(&self, id: &NodeId) -> Option<&[String]> {
        Some(&self.connections.peers.get(id)?.services)
    }

    /// This node's own options and services, as peers should see them.
    pub(crate) fn own_state(&self) -> (&Options, &[String]) {
        (&self.env.local.options, &self.env.local.services)
    }
}

#[cfg(test)]
impl<T> Mesh<T> {
    /// What was dropped so far, by reason.
    pub(in crate::proto) fn dropped(&self) -> Counters {
        self.env.counters
    }

    /// How often peers broke the protocol, by rule.
    pub(crate) fn violations(&self) -> &BTreeMap<&'static str, u64> {
        &self.env.violations
    }

    /// Links of any state, to others.
    pub(crate) fn open_links(&self) -> usize {
        self.connections.links.iter().filter(|link| link.id != LinkId::OWN).count()
    }

    /// Addresses that are being dialled or hold a link.
    pub(crate) fn dialled(&self) -> usize {
        self.topology.dialled()
    }

    /// Members with which no link is joined, and all there are.
    pub(crate) fn members(&self) -> (usize, usize) {
        self.topology.members()
    }

    pub(in crate::proto) fn links(&self) -> &Links<T> {
        &self.connections.links
    }

    pub(in crate::proto) fn links_mut(&mut self) -> &mut Links<T> {
        &mut self.connections.links
    }

    pub(in crate::proto) fn topology(&self) -> &Topology<T> {
        &self.topology
    }

    pub(crate) fn searches_waiting(&self) -> usize {
        self.traffic.searches_waiting()
    }

    /// Closes a link as if another one had replaced it; what the shell is to do then.
    pub(crate) fn close_replaced(&mut self, link: LinkId) -> Vec<Output<T>> {
        let (farewell, reason) = (Farewell::Replaced, LeftReason::Replaced);
        self.connections.close(link, farewell, reason, &mut self.env);
        self.settle();
        std::mem::take(&mut self.env.out)
    }

    /// Notes that a handshake with that node was abandoned after this one had sent `ready`.
    pub(crate) fn note_abandoned(&mut self, id: NodeId, at: Instant) {
        self.connections.links.abandon(id, at);
    }

    /// What the engine knows about its node, which tests read and change between inputs.
    pub(crate) fn local(&self) -> &Local {
        &self.env.local
    }

    pub(crate) fn local_mut(&mut self) -> &mut Local {
        &mut self.env.local
    }
}
