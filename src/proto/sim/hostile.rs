//! A node that says almost what it should: bytes of its own engine, changed or said again. It must not know engines.

use std::collections::BTreeSet;

use super::shell::Socket;
use super::world::World;
use crate::config::Config;
use crate::id::NodeId;

/// So much of what it wrote is kept to be said again.
const RECORDED: usize = 4 * 1024;

impl World {
    /// One more node, whom nobody should trust. Its name is so unlike the others' that no small change makes it theirs.
    pub(super) fn add_hostile(&mut self, config: Config) {
        let others: BTreeSet<NodeId> = self.nodes.iter().map(|node| node.id.clone()).collect();
        let number = self.add_node("mallory", config);
        self.nodes[number].hostile = true;
        self.oracle.distrust(number, others);
    }
}

/// Changes now and then what is about to be written; true if it did. Handshakes are mostly left alone, so that most
/// links stand before they are spoiled.
pub(super) fn mangle(
    bytes: &mut Vec<u8>,
    socket: &Socket,
    recorded: &mut Vec<u8>,
    rng: &mut fastrand::Rng,
) -> bool {
    let rarely = if socket.state == "ready" { 6 } else { 30 };
    let legal = bytes.clone();
    let at = rng.usize(..bytes.len());
    let mangled = rng.u8(..rarely) == 0;
    if mangled {
        match rng.u8(..6) {
            0 | 1 => bytes[at] ^= 1 << rng.u8(..8),
            2 => bytes[at] = rng.u8(..),
            3 if bytes.len() > 1 => drop(bytes.remove(at)),
            4 => {
                let len = recorded.len().min(bytes.len() - at);
                bytes[at..at + len].copy_from_slice(&recorded[..len]);
            }
            // Whole frames, mostly, said once more.
            _ => bytes.extend_from_slice(recorded),
        }
    }
    if legal.len() <= RECORDED {
        *recorded = legal;
    }
    mangled
}
