//! What must hold once all faults are healed and every deadline has passed: nothing waits, everybody sees the newest
//! state of the others, and who was to be connected is.

use super::world::World;
use crate::config::Reconnect;
use crate::id::NodeId;

/// Fewer links than this may not be enough for all who want one.
const LINKS_ENOUGH: usize = 64;

impl World {
    /// What must hold once all faults are healed and every deadline has passed.
    pub(super) fn check_rest(&mut self) {
        for n in 0..self.nodes.len() {
            let node = &self.nodes[n];
            let Some(mesh) = node.mesh.as_ref().filter(|_| !node.hostile) else { continue };
            let (pending, inbound) = (mesh.pending_calls(), mesh.inbound_requests());
            let mut left = vec![(pending as u64, inbound, 0)];
            for entry in node.published.iter() {
                // A hostile peer may never say that it is done with what it got.
                let honest = self.oracle.is_honest_name(&entry.id);
                let faces = entry.up.iter().chain(&entry.down).filter(|_| honest);
                left.extend(faces.map(|face| {
                    let gauge = &face.gauge;
                    (gauge.calls().into(), gauge.queued(), gauge.unconfirmed())
                }));
            }
            if left.iter().any(|left| *left != (0, 0, 0)) {
                let why = format!(
                    "node {n} is not at rest: (pending, inbound), (calls, queued, unconfirmed): {left:?}"
                );
                self.oracle.fail(why);
            }
        }
        self.check_views();
        self.check_wants();
        if self.oracle.open_calls() > 0 {
            self.oracle.check_end();
        }
    }

    /// The only node with that name, if it runs and is honest.
    fn by_name(&self, id: &NodeId) -> Option<usize> {
        let mut named = (0..self.nodes.len()).filter(|n| self.nodes[*n].id == *id);
        let found = named.next().filter(|_| named.next().is_none())?;
        let node = &self.nodes[found];
        (node.mesh.is_some() && !node.hostile && !node.stopping).then_some(found)
    }

    /// Every peer's view has come to the newest value.
    fn check_views(&mut self) {
        let mut stale = None;
        for (n, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.hostile) {
            let Some(mesh) = &node.mesh else { continue };
            for entry in node.published.iter() {
                let other =
                    self.by_name(&entry.id).and_then(|other| self.nodes[other].mesh.as_ref());
                let Some(other) = other else { continue };
                let (options, services) = other.own_state();
                let seen = (entry.options.get_u64("change"), mesh.services_of(&entry.id));
                if seen != (options.get_u64("change"), Some(services)) {
                    stale = Some(format!("node {n} sees {} as it was: {seen:?}", entry.id));
                }
            }
        }
        if let Some(why) = stale {
            self.oracle.fail(why);
        }
    }

    /// Whom a node keeps dialling for ever, it has as a peer by now.
    fn check_wants(&mut self) {
        let unmet = self.wants.iter().find(|((from, life), to)| {
            let (node, target) = (&self.nodes[*from], &self.nodes[*to]);
            let runs = node.mesh.is_some() && !node.stopping && node.incarnation == *life;
            let keeps = node.config.reconnect == Reconnect::Always
                && node.config.reconnect_give_up.is_none();
            let alone = self.by_name(&node.id).is_some() && self.by_name(&target.id) == Some(*to);
            let open = target.listening.is_some()
                && target.config.limits.links >= LINKS_ENOUGH
                && target.config.limits.handshakes > 1;
            let joined = node.published.get(target.id.as_str()).is_some();
            runs && keeps && alone && open && from != to && !joined
        });
        if let Some(((from, _), to)) = unmet {
            let why = format!("node {from} keeps dialling node {to} and is not connected to it");
            self.oracle.fail(why);
        }
    }

    pub(super) fn check_stopped(&mut self) {
        if let Some(n) = self.nodes.iter().position(|node| node.mesh.is_some()) {
            self.oracle.fail(format!("node {n} does not stop"));
        }
        self.oracle.check_end();
    }
}
