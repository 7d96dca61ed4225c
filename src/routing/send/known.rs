//! One known node: a peer, or the node itself.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::SendTarget;
use crate::address::Address;
use crate::id::NodeId;
use crate::node_event::Directions;
use crate::options::Options;
use crate::routing::candidates::Candidate;
use crate::routing::directory::PeerEntry;
use crate::routing::path::{Path, PathPattern, PathTree};

/// A node that a call by path may go to: the node itself or one of its peers, as of the moment when its [`PathTable`](crate::PathTable) was
/// made. Cheap to copy.
#[derive(Clone, Copy)]
pub struct KnownNode<'a> {
    entry: &'a Arc<PeerEntry>,
    now: Instant,
}

impl<'a> KnownNode<'a> {
    pub(super) fn new(entry: &'a Arc<PeerEntry>, now: Instant) -> Self {
        Self { entry, now }
    }

    /// Its id.
    pub fn id(self) -> &'a NodeId {
        &self.entry.id
    }

    /// Where it can be dialled, as it says; `None` if it does not listen, and for the node itself also if it listens on all addresses
    /// (`0.0.0.0`, `::`) and does not [say](crate::Builder::advertise) which of them leads to it.
    pub fn address(self) -> Option<&'a Address> {
        self.entry.address.as_ref()
    }

    /// What its host is called: its own word ([`Builder::host`](crate::Builder::host)), else the IP of its address, else the IP it is
    /// reached at. Only the node itself may have none, when it neither says one nor has an [address](Self::address).
    pub fn host(self) -> Option<&'a str> {
        Some(&*self.entry.host).filter(|host| !host.is_empty())
    }

    /// Whether it is the node itself.
    pub fn is_own(self) -> bool {
        self.entry.is_own()
    }

    /// Whether it runs on the same host as this node ([`Candidate::is_local`]), as the node itself does.
    pub fn is_local(self) -> bool {
        self.entry.is_local
    }

    /// The directions in which links to it stand: none for the node itself.
    pub fn directions(self) -> Directions {
        self.entry.directions()
    }

    /// Its options, as of its last update.
    pub fn options(self) -> &'a Options {
        &self.entry.options
    }

    /// The paths it serves, as of its last announcement, in the order in which it registered them.
    pub fn paths(self) -> &'a PathTree {
        self.entry.services.paths()
    }

    /// The first of its paths that the pattern means.
    pub fn first_match(self, pattern: &PathPattern) -> Option<&'a Path> {
        self.paths().first(pattern)
    }

    /// How many requests of this node it has not answered yet.
    pub fn pending(self) -> u32 {
        self.candidate().pending()
    }

    /// How long its answers took lately: see [`Candidate::latency`].
    pub fn latency(self) -> Option<Duration> {
        self.candidate().latency()
    }

    /// This node as a target, and the path it is sent: one of its own, or [`Outgoing::pattern`](crate::Outgoing::pattern) as it
    /// was given.
    pub fn target(self, path: impl Into<PathPattern>) -> SendTarget {
        SendTarget::new(self.id(), path)
    }

    fn candidate(self) -> Candidate<'a> {
        Candidate::new(self.entry, self.now)
    }
}

impl PartialEq for KnownNode<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.entry.key == other.entry.key
    }
}

impl fmt::Debug for KnownNode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("KnownNode");
        out.field("id", self.id()).field("is_own", &self.is_own());
        out.field("paths", self.paths()).finish_non_exhaustive()
    }
}
