//! One engine whose peers are bytes that it is fed, by the thousand. It must not choose among them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use crate::config::Config;
use crate::error::Error;
use crate::id::{InstanceId, LinkId, NodeId};
use crate::options::Options;
use crate::proto::{Input, Local, Mesh, Output, RouterRole};
use crate::wire::{Control, Hello, Offer, frame_head, put_control};

/// An engine and the links of its simulated peers, which have joined.
pub(super) struct Peers {
    pub(super) engine: Mesh<()>,
    out: Vec<Output<()>>,
    links: Vec<LinkId>,
}

/// Returns what an engine of this name starts with.
pub(super) fn local(
    id: &str,
    instance: u128,
    config: Config,
    router: Option<RouterRole>,
) -> Result<Local, Error> {
    let id = NodeId::new(id)?;
    let options = Options::default().with_id(&id);
    Ok(Local {
        options: if router.is_some() { options.with_router() } else { options },
        id,
        instance: InstanceId(instance),
        services: Vec::new(),
        host: None,
        advertise: None,
        config,
        router,
    })
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

impl Peers {
    /// Joins so many peers with these options and services, at the times that `clock` returns.
    pub(super) fn joined(
        clock: impl Fn() -> Instant,
        peers: usize,
        options: impl Fn(usize) -> Options,
        services: impl Fn(usize) -> Vec<String>,
    ) -> Result<Self, Error> {
        let mut config = Config::default();
        config.limits.links = peers + 1;
        let local = local("crowded", 0, config, None)?;
        let engine = Mesh::new(local, fastrand::Rng::with_seed(1), clock());
        let mut joined = Self { engine, out: Vec::new(), links: Vec::new() };
        for number in 0..peers {
            let link = joined.engine.draw_link();
            joined.links.push(link);
            let accepted = Input::Accepted { link, local: address(), remote: address() };
            joined.handle(clock(), accepted);
            let bytes = joining(number, options(number), services(number));
            joined.receive(&clock, link, &bytes);
        }
        assert_eq!(joined.engine.directory().len(), peers, "all have joined");
        Ok(joined)
    }

    /// Returns the bytes of one message of a peer.
    pub(super) fn message(control: &Control) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_frame(&mut bytes, control);
        bytes
    }

    /// Feeds the engine bytes of that peer.
    pub(super) fn send(&mut self, clock: impl Fn() -> Instant, peer: usize, bytes: &[u8]) {
        self.receive(clock, self.links[peer], bytes);
    }

    fn receive(&mut self, clock: impl Fn() -> Instant, link: LinkId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.engine.space(link);
            let len = space.len().min(bytes.len());
            space[..len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.handle(clock(), Input::Received { link, len });
        }
    }

    /// Feeds the engine one input. What it writes is taken at once and discarded.
    pub(super) fn handle(&mut self, now: Instant, input: Input<()>) {
        self.engine.handle(now, input, &mut self.out);
        while let Some(output) = self.out.pop() {
            if let Output::Write { link } = output {
                let len = self.engine.outgoing(link).map(<[u8]>::len).sum();
                self.engine.handle(now, Input::Sent { link, len }, &mut self.out);
            }
        }
    }
}
