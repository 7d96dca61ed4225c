//! Who has joined: one record per peer with one or two links, and the snapshot that callers see.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Output;
use super::link::{Shaking, State};
use super::mesh::Mesh;
use super::planted::{Planted, has};
use super::ticks::TicksIn;
use super::topology::{DialOutcome, LinkJoined};
use crate::address::Address;
use crate::config::ENVELOPE_BYTES;
use crate::error::{Error, ErrorKind};
use crate::id::{InstanceId, LinkId, NodeId, PeerKey};
use crate::node_event::{Direction, Directions, LeftReason, NodeEvent};
use crate::options::Options;
use crate::routing::{Gauge, LinkFace, Pace, PeerEntry, Services, Step};
use crate::wire::Hello;

/// So many departed peers are remembered by name, for reports about messages that were on their way to them.
const DEPARTED: usize = 1_024;

/// A peer that announces a shorter liveness than three of these would have this node do nothing but write heartbeats.
const FASTEST_HEARTBEAT: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) instance: InstanceId,
    pub(super) options_version: u64,
    pub(super) services_version: u64,
    pub(super) entry: Arc<PeerEntry>,
}

#[derive(Default, Debug)]
pub(super) struct Peers {
    pub(super) by_key: BTreeMap<PeerKey, Peer>,
    by_id: BTreeMap<NodeId, PeerKey>,
    departed: VecDeque<(PeerKey, NodeId)>,
    /// How those served who are remembered: a peer that comes back is not taken for a fresh one.
    paces: BTreeMap<NodeId, Arc<Pace>>,
    last: u64,
}

impl Peers {
    /// The link that a message of this step takes now.
    pub(super) fn route(&self, step: &Step) -> Option<LinkId> {
        Some(self.by_key.get(&step.peer)?.entry.face(step.directions)?.link)
    }

    /// The name of a peer that is here, or was until lately.
    pub(super) fn name(&self, key: PeerKey) -> Option<NodeId> {
        let present = self.by_key.get(&key).map(|peer| peer.entry.id.clone());
        let departed = || self.departed.iter().rev().find(|(other, _)| *other == key);
        present.or_else(|| departed().map(|(_, id)| id.clone()))
    }

    /// How that peer serves, or served until lately.
    pub(super) fn pace(&self, id: &NodeId) -> Option<&Arc<Pace>> {
        self.by_id(id).map(|peer| &peer.entry.pace).or_else(|| self.paces.get(id))
    }

    /// Remembers who has left, and forgets who left long ago.
    fn remember(&mut self, key: PeerKey, id: NodeId, pace: Arc<Pace>) {
        self.paces.insert(id.clone(), pace);
        self.departed.push_back((key, id));
        if self.departed.len() > DEPARTED {
            let gone = self.departed.pop_front();
            // It may have come back and left again since.
            let again = |id: &NodeId| self.departed.iter().any(|(_, other)| other == id);
            if let Some((_, id)) = gone.filter(|(_, id)| !again(id)) {
                self.paces.remove(&id);
            }
        }
    }

    pub(super) fn by_id(&self, id: &NodeId) -> Option<&Peer> {
        self.by_key.get(self.by_id.get(id)?)
    }
}

/// Where a peer is.
struct Place {
    address: Option<Address>,
    host: Arc<str>,
    is_local: bool,
}

impl Place {
    /// As its hello says; what is no address is none.
    fn new(hello: &Hello, remote: SocketAddr, is_local: bool) -> Self {
        let address: Option<Address> = hello.advertise.as_ref().and_then(|text| text.parse().ok());
        let said = hello.host.as_deref();
        let host = match (said, &address) {
            (Some(name), _) => name.into(),
            (None, Some(address)) => address.host().into(),
            (None, None) => remote.ip().to_string().into(),
        };
        Self { address, host, is_local }
    }
}

/// What a newcomer's id means here.
#[derive(Debug)]
pub(super) enum Claim {
    /// Nobody is in its way.
    Fresh,
    /// It is this very node.
    Myself,
    /// It has this node's id.
    MyId,
    /// The same instance has a link in this direction already.
    Again { older: LinkId },
    /// Another instance is here under that id.
    Contested { older: Vec<LinkId> },
}

impl<T> Mesh<T> {
    pub(super) fn claim(&self, hello: &Hello, direction: Direction) -> Claim {
        if hello.instance == self.env.local.instance && !has(Planted::SelfUnnoticed) {
            return Claim::Myself;
        }
        if hello.id == self.env.local.id {
            return Claim::MyId;
        }
        let Some(peer) = self.peers.by_id(&hello.id) else { return Claim::Fresh };
        let (up, down) = (&peer.entry.up, &peer.entry.down);
        if peer.instance != hello.instance && !has(Planted::TwinAdmitted) {
            let older = up.iter().chain(down).map(|face| face.link).collect();
            return Claim::Contested { older };
        }
        let same_direction = match direction {
            Direction::Up => up,
            Direction::Down => down,
        };
        same_direction.as_ref().map_or(Claim::Fresh, |face| Claim::Again { older: face.link })
    }

    /// The handshake is complete on both sides.
    pub(super) fn join(&mut self, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        let State::Hello(Shaking { hello: Some(hello), .. }) = &link.state else { return };
        match self.claim(hello, link.direction) {
            Claim::Fresh => self.joined(id),
            // Somebody else has joined under that id while this side was waiting.
            Claim::Again { .. } | Claim::Myself | Claim::MyId => self.consider(id),
            Claim::Contested { .. } => {
                let why = format!("another live node has joined as {} meanwhile", hello.id);
                let error = Error::new(ErrorKind::DuplicateId, why).with_peer(hello.id.clone());
                self.joining_failed(id, error, DialOutcome::Retry);
                self.forget(id, true);
            }
        }
    }

    fn joined(&mut self, id: LinkId) {
        let (now, config) = (self.env.now, &self.env.local.config);
        let Some(link) = self.links.get_mut(&id) else { return };
        let State::Hello(shaking) = std::mem::replace(&mut link.state, State::Ready) else {
            return;
        };
        let Some(hello) = shaking.hello else { return };
        let third = Duration::from_millis(u64::from(hello.liveness_ms) / 3);
        link.theirs.heartbeat = config.heartbeat_interval.min(third.max(FASTEST_HEARTBEAT));
        link.theirs.message_bytes = usize::try_from(hello.message_bytes).unwrap_or(usize::MAX);
        let calls = hello.calls + u32::from(has(Planted::LimitOffByOne));
        let (most, share) = (config.limits.link_queue_bytes, self.memory.share());
        link.gauge = Arc::new(Gauge::new(most, share, calls, hello.tick_window));
        link.ticks_in = TicksIn::new(link.ticks_in.window, now);
        link.reader.set_limit(config.limits.message_bytes + ENVELOPE_BYTES);
        if hello.options.is_router() {
            link.grant_many(config.limits.calls_per_router);
        }
        let face = LinkFace { link: id, remote: link.remote, gauge: Arc::clone(&link.gauge) };
        let (direction, dial, is_near) = (link.direction, link.dial, link.is_near);
        let local = link.local;
        self.shaking.remove(&id);
        self.recheck |= !self.held.is_empty();
        self.memory.joined += 1;
        let is_local = match (&self.env.local.host, &hello.host) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, None) => is_near,
            _ => false,
        };
        self.env.count_address(hello.advertise.as_deref());
        let place = Place::new(&hello, face.remote, is_local);
        let key = self.link_peer(hello, shaking.services, direction, face, place);
        if let Some(link) = self.links.get_mut(&id) {
            link.peer = Some(key);
        }
        self.arm_liveness(id);
        let joined = LinkJoined { link: id, local, dial, peer: key };
        self.topology.link_joined(&mut self.env, &self.peers, joined);
        self.env.touch(id);
    }

    /// Adds a link to its peer's record, which is made if it is the first.
    fn link_peer(
        &mut self,
        hello: Hello,
        services: Vec<String>,
        direction: Direction,
        face: LinkFace,
        place: Place,
    ) -> PeerKey {
        if let Some(key) = self.peers.by_id.get(&hello.id).copied() {
            self.change_peer(key, |entry| match direction {
                Direction::Up => entry.up = Some(face),
                Direction::Down => entry.down = Some(face),
            });
            self.hear_again(key, hello, services);
            return key;
        }
        self.peers.last += 1;
        let key = PeerKey(self.peers.last);
        let (up, down) = match direction {
            Direction::Up => (Some(face), None),
            Direction::Down => (None, Some(face)),
        };
        let (id, options, services) = (hello.id, hello.options, Services::new(services));
        let known = self.peers.paces.remove(&id);
        let pace = known.unwrap_or_else(|| Arc::new(Pace::new(self.env.now)));
        let older = direction;
        let Place { address, host, is_local } = place;
        let entry = Arc::new(PeerEntry {
            key,
            id,
            options,
            services,
            up,
            down,
            older,
            address,
            host,
            is_local,
            pace,
        });
        log::info!(target: "threadmesh::proto", "peer {} joined", entry.id);
        self.peers.by_id.insert(entry.id.clone(), key);
        let peer = Peer {
            instance: hello.instance,
            options_version: hello.options_version,
            services_version: hello.services_version,
            entry: Arc::clone(&entry),
        };
        self.peers.by_key.insert(key, peer);
        self.directory.insert(Arc::clone(&entry));
        self.env.out.push(Output::Publish);
        if let Some(info) = entry.info() {
            self.env.out.push(Output::Event(NodeEvent::PeerJoined(info)));
        }
        key
    }

    /// A further hello of a peer that is here: what it says may be newer than what the other link has brought.
    fn hear_again(&mut self, key: PeerKey, hello: Hello, services: Vec<String>) {
        self.take_options(key, hello.options_version, hello.options);
        self.take_services(key, hello.services_version, services);
    }

    /// The options of a peer, unless newer ones are known.
    pub(super) fn take_options(&mut self, key: PeerKey, version: u64, options: Options) {
        let Some(peer) = self.peers.by_key.get_mut(&key) else { return };
        if version <= peer.options_version {
            return;
        }
        peer.options_version = version;
        let id = peer.entry.id.clone();
        let options = options.with_id(&id);
        let new = options.clone();
        self.change_peer(key, |entry| entry.options = new);
        self.env.out.push(Output::Event(NodeEvent::OptionsChanged { id, options }));
    }

    /// The services of a peer, unless newer ones are known.
    pub(super) fn take_services(&mut self, key: PeerKey, version: u64, services: Vec<String>) {
        let Some(peer) = self.peers.by_key.get_mut(&key) else { return };
        if version <= peer.services_version {
            return;
        }
        peer.services_version = version;
        let id = peer.entry.id.clone();
        self.change_peer(key, |entry| entry.services = Services::new(services));
        self.env.out.push(Output::Event(NodeEvent::ServicesChanged { id }));
    }

    /// Takes a link from its peer's record, which goes with the last.
    pub(super) fn unlink_peer(
        &mut self,
        key: PeerKey,
        id: LinkId,
        direction: Direction,
        reason: LeftReason,
    ) -> NodeId {
        self.recheck = true;
        self.change_peer(key, |entry| {
            let side = match direction {
                Direction::Up => &mut entry.up,
                Direction::Down => &mut entry.down,
            };
            if side.as_ref().is_some_and(|face| face.link == id) {
                *side = None;
            }
            entry.older = if entry.up.is_some() { Direction::Up } else { Direction::Down };
        });
        let name = self.peers.name(key).unwrap_or_else(|| self.env.local.id.clone());
        let gone = |peer: &Peer| peer.entry.directions() == Directions::NONE;
        if self.peers.by_key.get(&key).is_some_and(gone) {
            log::info!(target: "threadmesh::proto", "peer {name} left: {reason:?}");
            self.peers.by_id.remove(&name);
            if let Some(peer) = self.peers.by_key.remove(&key) {
                self.peers.remember(key, name.clone(), Arc::clone(&peer.entry.pace));
            }
            self.directory.remove(key);
            let directions = match direction {
                Direction::Up => Directions::UP,
                Direction::Down => Directions::DOWN,
            };
            self.env.out.push(Output::Event(NodeEvent::PeerLeft {
                id: name.clone(),
                directions,
                reason,
            }));
        }
        name
    }

    /// Makes a new entry out of a peer's old one and publishes it.
    pub(super) fn change_peer(&mut self, key: PeerKey, change: impl FnOnce(&mut PeerEntry)) {
        let Some(peer) = self.peers.by_key.get_mut(&key) else { return };
        change(Arc::make_mut(&mut peer.entry));
        self.directory.insert(Arc::clone(&peer.entry));
        self.env.out.push(Output::Publish);
    }
}
