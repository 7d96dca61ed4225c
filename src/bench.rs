//! A node that believes it has thousands of peers, for `benches/routing.rs`: they are bytes that its engine is fed. Not part of the
//! API: it exists only with the feature `bench`. It must not choose by itself: it calls what a caller's thread calls.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::error::Error;
use crate::headers::Headers;
use crate::id::{InstanceId, LinkId, NodeId};
use crate::node::{Node, Selector};
use crate::node_event::Directions;
use crate::options::Options;
use crate::payload::Payload;
use crate::proto::{Command, Input, Local, Mesh, Output};
use crate::routing::{Filter, Outgoing, PathPattern, PathTable, SendStrategy, Strategy};
use crate::wire::{Control, Hello, Offer, frame_head, put_control};

/// One node and its made-up peers.
pub struct Crowd {
    engine: Mesh<()>,
    out: Vec<Output<()>>,
    links: Vec<LinkId>,
    /// The version that the next update of options carries.
    version: u64,
    /// Shows callers what the engine publishes.
    node: Node,
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

fn put_frame(out: &mut Vec<u8>, control: &Control) {
    let mut message = Vec::new();
    put_control(&mut message, control);
    out.extend(frame_head(message.len(), false, false));
    out.extend(message);
}

/// All that a dialler says until it has joined.
fn joining(number: usize, options: Options, services: Vec<String>) -> Vec<u8> {
    let id = NodeId::new(format!("peer-{number}")).expect("a legal id");
    let config = Config::default();
    let hello = Hello {
        options: options.with_id(&id),
        id,
        instance: InstanceId(number as u128 + 1),
        options_version: 1,
        services_version: 1,
        host: None,
        advertise: None,
        capabilities: BTreeMap::new(),
        heartbeat_ms: 2_000,
        liveness_ms: 10_000,
        calls: config.limits.calls_per_link,
        tick_window: config.limits.tick_window_bytes,
        message_bytes: config.limits.message_bytes as u64,
    };
    let mut bytes = Offer::OURS.to_bytes().to_vec();
    put_frame(&mut bytes, &Control::Hello(Box::new(hello)));
    put_frame(&mut bytes, &Control::Services { names: services, last: true });
    put_frame(&mut bytes, &Control::Ready);
    bytes
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
        let id = NodeId::new("crowded")?;
        let mut config = Config::default();
        config.limits.links = peers + 1;
        let local = Local {
            options: Options::default().with_id(&id),
            id,
            instance: InstanceId(0),
            services: Vec::new(),
            host: None,
            advertise: None,
            config,
            router: None,
        };
        let engine = Mesh::new(local, fastrand::Rng::with_seed(1), Instant::now());
        let node = Node::builder().id("caller").start()?;
        let (out, links) = (Vec::new(), Vec::new());
        let mut crowd = Self { engine, out, links, version: 1, node };
        for number in 0..peers {
            let link = crowd.engine.draw_link();
            crowd.feed(Input::Accepted { link, local: address(), remote: address() });
            crowd.hear(link, &joining(number, options(number), services(number)));
            crowd.links.push(link);
        }
        assert_eq!(crowd.engine.directory().len(), peers, "all have joined");
        crowd.publish();
        Ok(crowd)
    }

    /// The node is asked to keep its peers by this option, as the first call that looks for it does. How long the loop took.
    pub fn index(&mut self, key: &str) -> Duration {
        let began = Instant::now();
        self.feed(Input::Command(Command::Index { key: key.to_owned() }));
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
        for peer in self.engine.directory().iter() {
            if filter.matches(&peer.options)? {
                matches.push(peer);
            }
        }
        Ok(fastrand::choice(&matches).map(|peer| peer.id.clone()))
    }

    /// A peer tells new options, and callers see them: one message and one turn of the loop. How long that took.
    pub fn update(&mut self, peer: usize, options: Options) -> Duration {
        self.version += 1;
        let mut bytes = Vec::new();
        put_frame(&mut bytes, &Control::Options { version: self.version, options });
        let began = Instant::now();
        self.hear(self.links[peer], &bytes);
        self.publish();
        began.elapsed()
    }

    /// Whether peers are kept by this option.
    pub fn is_indexed(&self, key: &str) -> bool {
        self.engine.directory().is_indexed(key)
    }

    fn publish(&self) {
        while !self.node.core().publish(self.engine.directory()) {}
    }

    fn hear(&mut self, link: LinkId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.engine.space(link);
            let len = space.len().min(bytes.len());
            space[..len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.feed(Input::Received { link, len });
        }
    }

    /// What the engine writes is taken at once and read by nobody.
    fn feed(&mut self, input: Input<()>) {
        self.engine.handle(Instant::now(), input, &mut self.out);
        while let Some(output) = self.out.pop() {
            if let Output::Write { link } = output {
                let len = self.engine.outgoing(link).map(<[u8]>::len).sum();
                self.engine.handle(Instant::now(), Input::Sent { link, len }, &mut self.out);
            }
        }
    }
}
