//! The peers that have joined: one record each with one or two links, and the snapshot of them that
//! callers see. It must not know what a link is but its name and its direction.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use super::env::Env;
use super::planted::{Planted, has};
use super::{Local, Output};
use crate::address::Address;
use crate::id::{InstanceId, LinkId, NodeId, PeerKey};
use crate::node_event::{Direction, Directions, LeftReason, NodeEvent};
use crate::options::Options;
use crate::routing::{Directory, LinkFace, Pace, PeerEntry, Services, Step};
use crate::wire::Hello;

/// So many departed peers are remembered by name, for reports about messages that were on their way
/// to them.
const DEPARTED: usize = 1_024;

#[derive(Default, Debug)]
pub(super) struct Peers {
    by_key: BTreeMap<PeerKey, Peer>,
    by_id: BTreeMap<NodeId, PeerKey>,
    departed: VecDeque<(PeerKey, NodeId)>,
    /// Latency and failures of those that are remembered: a peer that comes back is no fresh one.
    paces: BTreeMap<NodeId, Arc<Pace>>,
    last: u64,
    directory: Directory,
}

#[derive(Debug)]
struct Peer {
    instance: InstanceId,
    options_version: u64,
    services_version: u64,
    entry: Arc<PeerEntry>,
}

/// A link that joins a peer's record.
#[derive(Debug)]
pub(super) struct NewLink {
    pub(super) direction: Direction,
    pub(super) face: LinkFace,
    /// Both ends of the connection are on one machine.
    pub(super) is_same_host: bool,
}

/// What a newcomer's id means here.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// No peer is in its way.
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

/// Looking.
impl Peers {
    /// The link that a message of this step takes now.
    pub(super) fn route(&self, step: &Step) -> Option<LinkId> {
        Some(self.entry(step.peer)?.face(step.directions)?.link)
    }

    pub(super) fn entry(&self, key: PeerKey) -> Option<&Arc<PeerEntry>> {
        self.by_key.get(&key).map(|peer| &peer.entry)
    }

    /// The peer of that id.
    pub(super) fn get(&self, id: &NodeId) -> Option<&Arc<PeerEntry>> {
        self.entry(*self.by_id.get(id)?)
    }

    /// The name of a peer that is here, or was until lately.
    pub(super) fn name(&self, key: PeerKey) -> Option<NodeId> {
        let present = self.entry(key).map(|entry| entry.id.clone());
        let departed = || self.departed.iter().rev().find(|(other, _)| *other == key);
        present.or_else(|| departed().map(|(_, id)| id.clone()))
    }

    /// Latency and failures of a peer that is here, or was until lately.
    pub(super) fn pace(&self, id: &NodeId) -> Option<&Arc<Pace>> {
        self.get(id).map(|entry| &entry.pace).or_else(|| self.paces.get(id))
    }

    /// The peers as of now, without this node itself.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// How many records there are, this node's own among them.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<PeerEntry>> {
        self.by_key.values().map(|peer| &peer.entry)
    }

    /// What the hello of a newcomer claims, if it comes in that direction.
    pub(super) fn claim(&self, hello: &Hello, direction: Direction, local: &Local) -> Claim {
        if hello.instance == local.instance && !has(Planted::SelfUnnoticed) {
            return Claim::Myself;
        }
        if hello.id == local.id {
            return Claim::MyId;
        }
        let peer = self.by_id.get(&hello.id).and_then(|key| self.by_key.get(key));
        let Some(peer) = peer else { return Claim::Fresh };
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
}

/// Changing.
impl Peers {
    /// Adds a link to its peer's record, which is made if it is the first.
    pub(super) fn link<T>(
        &mut self,
        hello: Box<Hello>,
        services: Vec<String>,
        link: NewLink,
        env: &mut Env<T>,
    ) -> PeerKey {
        let Some(key) = self.by_id.get(&hello.id).copied() else {
            return self.join(hello, services, link, env);
        };
        self.change(key, env, |entry| match link.direction {
            Direction::Up => entry.up = Some(link.face),
            Direction::Down => entry.down = Some(link.face),
        });
        // A further hello may be newer than what the other link has brought.
        self.set_options(key, hello.options_version, hello.options, env);
        self.set_services(key, hello.services_version, services, env);
        key
    }

    fn join<T>(
        &mut self,
        hello: Box<Hello>,
        services: Vec<String>,
        link: NewLink,
        env: &mut Env<T>,
    ) -> PeerKey {
        self.last += 1;
        let key = PeerKey(self.last);
        let is_local = match (&env.local.host, &hello.host) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, None) => link.is_same_host,
            _ => false,
        };
        let (address, host) = place(&hello, link.face.remote);
        let older = link.direction;
        let (up, down) = match link.direction {
            Direction::Up => (Some(link.face), None),
            Direction::Down => (None, Some(link.face)),
        };
        let (id, options, services) = (hello.id, hello.options, Services::new(services));
        let known = self.paces.remove(&id);
        let pace = known.unwrap_or_else(|| Arc::new(Pace::new(env.now)));
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
        self.by_id.insert(entry.id.clone(), key);
        let peer = Peer {
            instance: hello.instance,
            options_version: hello.options_version,
            services_version: hello.services_version,
            entry: Arc::clone(&entry),
        };
        self.by_key.insert(key, peer);
        self.directory.insert(Arc::clone(&entry));
        env.out.push(Output::Publish);
        if let Some(info) = entry.info() {
            env.event(NodeEvent::PeerJoined(info));
        }
        key
    }

    /// The options of a peer, unless newer ones are known.
    pub(super) fn set_options<T>(
        &mut self,
        key: PeerKey,
        version: u64,
        options: Options,
        env: &mut Env<T>,
    ) {
        let Some(peer) = self.by_key.get_mut(&key) else {
            debug_assert!(false, "the peer of a joined link has a record");
            return;
        };
        if version <= peer.options_version {
            // Updates that took different links may come in any order.
            return;
        }
        peer.options_version = version;
        let id = peer.entry.id.clone();
        let options = options.with_id(&id);
        let new = options.clone();
        self.change(key, env, |entry| entry.options = new);
        env.event(NodeEvent::OptionsChanged { id, options });
    }

    /// The services of a peer, unless newer ones are known.
    pub(super) fn set_services<T>(
        &mut self,
        key: PeerKey,
        version: u64,
        services: Vec<String>,
        env: &mut Env<T>,
    ) {
        let Some(peer) = self.by_key.get_mut(&key) else {
            debug_assert!(false, "the peer of a joined link has a record");
            return;
        };
        if version <= peer.services_version {
            // Updates that took different links may come in any order.
            return;
        }
        peer.services_version = version;
        let id = peer.entry.id.clone();
        self.change(key, env, |entry| entry.services = Services::new(services));
        env.event(NodeEvent::ServicesChanged { id });
    }

    /// Where a peer can be dialled now.
    pub(super) fn set_address<T>(
        &mut self,
        key: PeerKey,
        address: Option<Address>,
        env: &mut Env<T>,
    ) {
        if self.entry(key).is_some_and(|entry| entry.address != address) {
            self.change(key, env, |entry| entry.address = address);
        }
    }

    /// Takes a link from its peer's record, which goes with the last. Returns the peer's id.
    pub(super) fn unlink<T>(
        &mut self,
        key: PeerKey,
        id: LinkId,
        direction: Direction,
        reason: &LeftReason,
        env: &mut Env<T>,
    ) -> Option<NodeId> {
        self.change(key, env, |entry| {
            let side = match direction {
                Direction::Up => &mut entry.up,
                Direction::Down => &mut entry.down,
            };
            if side.as_ref().is_some_and(|face| face.link == id) {
                *side = None;
            }
            entry.older = if entry.up.is_some() { Direction::Up } else { Direction::Down };
        });
        let entry = self.entry(key)?;
        let (name, is_gone) = (entry.id.clone(), entry.directions() == Directions::NONE);
        if is_gone {
            log::info!(target: "threadmesh::proto", "peer {name} left: {reason:?}");
            self.by_id.remove(&name);
            if let Some(peer) = self.by_key.remove(&key) {
                self.remember(key, name.clone(), Arc::clone(&peer.entry.pace));
            }
            self.directory.remove(key);
            let directions = match direction {
                Direction::Up => Directions::UP,
                Direction::Down => Directions::DOWN,
            };
            let (id, reason) = (name.clone(), reason.clone());
            env.event(NodeEvent::PeerLeft { id, directions, reason });
        }
        Some(name)
    }

    /// Remembers a peer that has left, and forgets one that left long ago.
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

    /// Makes a new entry out of a peer's old one and publishes it.
    fn change<T>(&mut self, key: PeerKey, env: &mut Env<T>, change: impl FnOnce(&mut PeerEntry)) {
        let Some(peer) = self.by_key.get_mut(&key) else {
            debug_assert!(false, "only a peer that is here changes");
            return;
        };
        change(Arc::make_mut(&mut peer.entry));
        self.directory.insert(Arc::clone(&peer.entry));
        env.out.push(Output::Publish);
    }

    /// From now on equality with a value of this option is found quickly.
    pub(super) fn index<T>(&mut self, key: &str, env: &mut Env<T>) {
        self.directory.index(key);
        env.out.push(Output::Publish);
    }
}

/// This node itself, which is a receiver of calls by path.
impl Peers {
    pub(super) fn add_self<T>(&mut self, face: LinkFace, env: &Env<T>) {
        let local = &env.local;
        let entry = Arc::new(PeerEntry {
            key: PeerKey::OWN,
            id: local.id.clone(),
            options: local.options.clone(),
            services: Services::new(local.services.clone()),
            up: Some(face),
            down: None,
            older: Direction::Up,
            address: local.advertise.clone(),
            host: local.host.as_deref().unwrap_or_default().into(),
            is_local: true,
            pace: Arc::new(Pace::new(env.now)),
        });
        let (instance, options_version, services_version) = (local.instance, 0, 0);
        let peer = Peer { instance, options_version, services_version, entry };
        self.by_key.insert(PeerKey::OWN, peer);
    }

    /// Handlers that this node itself calls see it as it is now.
    pub(super) fn change_self(&mut self, change: impl FnOnce(&mut PeerEntry)) {
        if let Some(own) = self.by_key.get_mut(&PeerKey::OWN) {
            change(Arc::make_mut(&mut own.entry));
        }
    }

    pub(super) fn remove_self(&mut self) {
        self.by_key.remove(&PeerKey::OWN);
    }
}

/// Where a node can be dialled, as its hello says, and its host; what is no address is none.
fn place(hello: &Hello, remote: SocketAddr) -> (Option<Address>, Arc<str>) {
    let address: Option<Address> = hello.advertise.as_ref().and_then(|text| text.parse().ok());
    let host = match (hello.host.as_deref(), &address) {
        (Some(name), _) => name.into(),
        (None, Some(address)) => address.host().into(),
        (None, None) => remote.ip().to_string().into(),
    };
    (address, host)
}
