//! What must always be true of an engine, and what tests may ask of its inside.

#[cfg(any(test, fuzzing))]
use super::link::Link;
use super::mesh::Mesh;
use crate::id::LinkId;
#[cfg(any(test, fuzzing))]
use crate::id::NodeId;
#[cfg(any(test, fuzzing))]
use crate::options::Options;

impl<T> Mesh<T> {
    /// What is wrong with this engine, if anything. Cheap enough for every debug turn of a small mesh.
    pub(super) fn broken_invariant(&self) -> Option<String> {
        if self.links.len() > CHECKED_LINKS {
            return None;
        }
        for (id, link) in &self.links {
            let ready = link.is_ready();
            if ready != link.peer.is_some() {
                return Some(format!(
                    "{id:?} is ready without a peer, or has a peer and is not ready"
                ));
            }
            if let Some(key) = link.peer {
                let entry = self.peers.by_key.get(&key).map(|peer| &peer.entry);
                let listed = entry.is_some_and(|entry| {
                    entry.up.iter().chain(&entry.down).any(|face| face.link == *id)
                });
                if !listed {
                    return Some(format!("{id:?} is ready and its peer does not list it"));
                }
            }
            if !ready
                && (!link.pending.is_empty() || !link.lines.is_empty() || !link.owed.is_empty())
            {
                return Some(format!("{id:?} is not ready and holds calls"));
            }
            if link.pending.iter().any(|call| !self.calls.contains_key(call)) {
                return Some(format!("{id:?} has a pending call that is over"));
            }
        }
        for (id, link) in &self.links {
            let kept = link.pending.iter().filter_map(|call| self.calls.get(call));
            let kept: usize = kept.map(|call| call.kept).sum();
            if link.kept != kept {
                return Some(format!("{id:?} counts {} bytes kept, not {kept}", link.kept));
            }
        }
        let own = self.links.get(&LinkId::OWN);
        if own.is_some_and(|own| !own.queue.is_empty()) {
            return Some("something waits to be written to this node itself".to_owned());
        }
        let granted: u64 = self.links.values().map(|link| link.granted).sum();
        if granted != self.granted {
            return Some(format!("{} bytes of windows are granted, not {granted}", self.granted));
        }
        let faces = self.peers.by_key.values().map(|peer| {
            usize::from(peer.entry.up.is_some()) + usize::from(peer.entry.down.is_some())
        });
        let ready = self.links.values().filter(|link| link.is_ready()).count();
        let own = usize::from(self.links.contains_key(&LinkId::OWN));
        if self.memory.joined + own != ready {
            return Some(format!("{ready} links have joined, not {}", self.memory.joined));
        }
        if faces.sum::<usize>() != ready || self.directory.len() + own != self.peers.by_key.len() {
            return Some("the directory lists other links than those that stand".to_owned());
        }
        self.topology.broken_invariant(&self.peers)
    }
}

/// Larger meshes are checked by tests of smaller ones.
const CHECKED_LINKS: usize = 32;

#[cfg(any(test, fuzzing))]
impl<T> Mesh<T> {
    /// Where a link is in its life; `None` if it is over.
    pub(crate) fn link_state(&self, link: LinkId) -> Option<&'static str> {
        self.links.get(&link).map(|link| link.state.name())
    }

    /// Our calls that are not ended.
    pub(crate) fn pending_calls(&self) -> usize {
        self.calls.len()
    }

    /// Calls of others that are not answered.
    pub(crate) fn owed_calls(&self) -> usize {
        self.links.values().map(|link| link.owed.len()).sum()
    }

    /// Timers that are armed.
    pub(crate) fn armed_timers(&self) -> usize {
        self.env.timers.len()
    }

    /// Links of any state, to others.
    #[cfg(test)]
    pub(crate) fn open_links(&self) -> usize {
        self.links.keys().filter(|link| **link != LinkId::OWN).count()
    }

    /// Addresses that are being dialled or hold a link, for the world's check that nothing is left
    /// behind.
    #[cfg(test)]
    pub(crate) fn dialled(&self) -> usize {
        self.topology.dialled()
    }

    /// Members with which no link is joined, and all there are.
    #[cfg(test)]
    pub(crate) fn members(&self) -> (usize, usize) {
        self.topology.members()
    }
}

/// What callers have taken on a link and the engine has not heard of yet.
#[cfg(any(test, fuzzing))]
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Posted {
    pub(crate) queued: usize,
    pub(crate) calls: u32,
    pub(crate) ticks: u64,
}

#[cfg(any(test, fuzzing))]
impl<T> Mesh<T> {
    /// Where a number that is kept differs from the table it stands for: a gauge from what took its room, the timers
    /// from their owners. `honest`: the peers keep to the protocol.
    pub(crate) fn broken_ledger(
        &self,
        posted: &dyn Fn(LinkId) -> Posted,
        honest: bool,
    ) -> Option<String> {
        let mut ready = self.links.values().filter(|link| link.is_ready());
        let of_links = ready.find_map(|link| link.broken_ledger(posted(link.id), honest));
        let over = self.links.values().find(|link| link.handled() > link.calls_granted as usize);
        let over = over.map(|link| format!("{:?} owes {} answers", link.id, link.handled()));
        let (armed, owned) = (self.env.timers.len(), self.owned_timers());
        let timers = (armed != owned).then(|| format!("{armed} timers are armed, {owned} owned"));
        of_links
            .or(over)
            .or(timers)
            .or_else(|| self.broken_sums())
            .or_else(|| self.broken_invariant())
    }

    fn owned_timers(&self) -> usize {
        let of_link = |link: &Link<T>| usize::from(link.timer.is_some()) + link.lines.ticks.len();
        self.links.values().map(of_link).sum::<usize>()
            + self.calls.len()
            + self.topology.timers()
            + self.flushes.len()
            + self.stats_timers()
            + usize::from(self.stopping.is_some())
    }

    /// The services a peer is known to have.
    pub(crate) fn services_of(&self, id: &NodeId) -> Option<&[String]> {
        Some(&self.peers.by_id(id)?.entry.services)
    }

    /// Closes a link as if another one had replaced it; what the shell is to do then.
    #[cfg(test)]
    pub(crate) fn close_replaced(&mut self, link: LinkId) -> Vec<super::Output<T>> {
        use crate::{node_event::LeftReason, wire::Farewell};
        self.say_goodbye(link, Farewell::Replaced, LeftReason::Replaced);
        self.settle();
        std::mem::take(&mut self.env.out)
    }

    /// Notes that a handshake with that node was abandoned after this one had sent `ready`.
    #[cfg(test)]
    pub(crate) fn note_abandoned(&mut self, id: NodeId, at: std::time::Instant) {
        self.given_up.insert(id, at);
    }

    /// What the engine knows about its node, which tests read and change between inputs.
    #[cfg(test)]
    pub(crate) fn local(&self) -> &super::Local {
        &self.env.local
    }

    #[cfg(test)]
    pub(crate) fn local_mut(&mut self) -> &mut super::Local {
        &mut self.env.local
    }

    /// This node's own options and services, as peers should see them.
    pub(crate) fn own_state(&self) -> (&Options, &[String]) {
        (&self.env.local.options, &self.env.local.services)
    }
}

#[cfg(any(test, fuzzing))]
impl<T> Link<T> {
    fn broken_ledger(&self, posted: Posted, honest: bool) -> Option<String> {
        let gauge = (self.gauge.queued(), self.gauge.calls(), self.gauge.unconfirmed());
        let tables = (
            self.queue.room_taken() + posted.queued,
            self.pending.len() as u32 + posted.calls,
            self.ticks_out.accepted_cost - self.ticks_out.confirmed_cost + posted.ticks,
        );
        if gauge != tables {
            return Some(format!("the gauge of {:?} says {gauge:?}, not {tables:?}", self.id));
        }
        let places = self.places_taken();
        if self.their_calls < places || honest && self.their_calls > places {
            let counted = self.their_calls;
            return Some(format!("{:?} counts {counted} calls, not {places}", self.id));
        }
        let control = self.queue.control_bytes();
        (control > CONTROL_MOST).then(|| format!("{control} bytes of control on {:?}", self.id))
    }
}

/// More control messages than this never wait, whatever a peer makes this node say.
#[cfg(any(test, fuzzing))]
const CONTROL_MOST: usize = 2 * crate::config::CONTROL_QUEUE_BYTES;
