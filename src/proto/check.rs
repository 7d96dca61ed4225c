//! What must always be true of an engine, and what tests may ask of its inside.

use super::link::State;
use super::mesh::Mesh;
#[cfg(any(test, fuzzing))]
use crate::id::LinkId;

impl<T> Mesh<T> {
    /// What is wrong with this engine, if anything. Cheap enough for every debug turn of a small mesh.
    pub(super) fn broken_invariant(&self) -> Option<String> {
        if self.links.len() > CHECKED_LINKS {
            return None;
        }
        for (id, link) in &self.links {
            let ready = matches!(link.state, State::Ready);
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
                && (!link.pending.is_empty() || !link.waiting.is_empty() || !link.owed.is_empty())
            {
                return Some(format!("{id:?} is not ready and holds calls"));
            }
            if link.pending.iter().any(|call| !self.calls.contains_key(call)) {
                return Some(format!("{id:?} has a pending call that is over"));
            }
        }
        let faces = self.peers.by_key.values().map(|peer| {
            usize::from(peer.entry.up.is_some()) + usize::from(peer.entry.down.is_some())
        });
        let ready = self.links.values().filter(|link| link.is_ready()).count();
        if faces.sum::<usize>() != ready || self.directory.len() != self.peers.by_key.len() {
            return Some("the directory lists other links than those that stand".to_owned());
        }
        None
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
        self.timers.len()
    }

    /// Links of any state.
    pub(crate) fn open_links(&self) -> usize {
        self.links.len()
    }
}

#[cfg(test)]
impl<T> Mesh<T> {
    /// Plants a bug, to see whether the tests notice.
    pub(crate) fn plant(&mut self, bug: super::Planted) {
        self.planted = Some(bug);
    }
}
