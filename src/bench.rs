//! What measurements need of the inside of the crate. Not part of the API: it exists only with the
//! feature `bench`.
//!
//! [`Crowd`] is a node that believes it has thousands of peers, for `benches/routing.rs`.
//! [`WORKLOADS`] are the operations whose instructions `benches/instructions` counts. It must not
//! choose by itself: it calls what a caller's thread calls.

mod engines;
mod peers;
mod workloads;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::peers::Peers;
use crate::error::Error;
use crate::headers::Headers;
use crate::id::NodeId;
use crate::node::{Node, Selector};
use crate::node_event::Directions;
use crate::options::Options;
use crate::payload::Payload;
use crate::proto::{Command, Input};
use crate::routing::{Filter, Outgoing, PathPattern, PathTable, SendStrategy, Strategy};
use crate::wire::Control;

pub use workloads::{WORKLOADS, Workload};

/// One node and its made-up peers.
pub struct Crowd {
    peers: Peers,
    /// The version that the next update of options carries.
    version: u64,
    /// Shows callers what the engine publishes.
    node: Node,
}

impl Crowd {
    /// So many peers with these options have joined.
    ///
    /// # Errors
    /// Those of [`Builder::start`](crate::Builder::start).
    pub fn new(peers: usize, options: impl Fn(usize) -> Options) -> Result<Self, Error> {
        Self::serving(peers, options, |_| Vec::new())
    }

    /// So many peers with these options, which announce these services, have joined.
    ///
    /// # Errors
    /// Those of [`Builder::start`](crate::Builder::start).
    pub fn serving(
        peers: usize,
        options: impl Fn(usize) -> Options,
        services: impl Fn(usize) -> Vec<String>,
    ) -> Result<Self, Error> {
        let peers = Peers::joined(Instant::now, peers, options, services)?;
        let node = Node::builder().id("caller").start()?;
        let crowd = Self { peers, version: 1, node };
        crowd.publish();
        Ok(crowd)
    }

    /// The node is asked to keep its peers by this option, as the first call that looks for it does. How long the loop took.
    pub fn index(&mut self, key: &str) -> Duration {
        let began = Instant::now();
        self.peers.handle(began, Input::Command(Command::Index { key: key.to_owned() }));
        self.publish();
        began.elapsed()
    }

    /// What a call to any does before it sends: whom it would send to, first choice and alternates.
    ///
    /// # Errors
    /// As a call.
    pub fn choose(
        &self,
        selector: &Selector,
        strategy: &dyn Strategy,
    ) -> Result<Option<NodeId>, Error> {
        self.node.chosen(selector, strategy)
    }

    /// How many targets a call by this path has: the table is made, and the strategy looks at it.
    pub fn targets(&self, strategy: &dyn SendStrategy, pattern: &PathPattern) -> usize {
        let directory = self.node.core().directory();
        let nodes =
            PathTable::new(None, directory, Directions::BOTH, Arc::default(), Instant::now(), 1);
        let message = Outgoing {
            path: pattern.as_str(),
            pattern,
            payload: &Payload::null(),
            headers: &Headers::new(),
            timeout: None,
            wants_answer: true,
        };
        strategy.targets(&message, &nodes).as_slice().len()
    }

    /// The same as it would be done without any of our tricks: all peers are asked, the matches collected, and one drawn.
    ///
    /// # Errors
    /// `INVALID_FILTER`.
    pub fn scan(&self, filter: &Filter) -> Result<Option<NodeId>, Error> {
        let mut matches = Vec::new();
        for peer in self.peers.engine.directory().iter() {
            if filter.matches(&peer.options)? {
                matches.push(peer);
            }
        }
        Ok(fastrand::choice(&matches).map(|peer| peer.id.clone()))
    }

    /// A peer tells new options, and callers see them: one message and one turn of the loop. How long that took.
    pub fn update(&mut self, peer: usize, options: Options) -> Duration {
        self.version += 1;
        let bytes = Peers::message(&Control::Options { version: self.version, options });
        let began = Instant::now();
        self.peers.send(Instant::now, peer, &bytes);
        self.publish();
        began.elapsed()
    }

    /// Whether peers are kept by this option.
    pub fn is_indexed(&self, key: &str) -> bool {
        self.peers.engine.directory().is_indexed(key)
    }

    fn publish(&self) {
        while !self.node.core().publish(self.peers.engine.directory()) {}
    }
}
