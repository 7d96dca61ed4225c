//! What the programs on the nodes do: a random script for each seed. It must not look inside the engines; like a
//! caller's thread it sees the published directory and the gauges.

use std::sync::Arc;
use std::time::Duration;

use super::Label;
use super::faults::Swarm;
use super::oracle::Asked;
use super::payloads;
use super::shell::Node;
use super::world::{World, address_of};
use crate::address::Address;
use crate::config::{Config, Reconnect};
use crate::event::EventName;
use crate::headers::Headers;
use crate::id::{CallId, NodeId};
use crate::node_event::Directions;
use crate::options::Options;
use crate::payload::Payload;
use crate::proto::planted::Planted;
use crate::proto::{Command, ConnectMode, Mesh, Message, Request, Tick, Whom};
use crate::routing::{PeerEntry, Plan, Step as PlanStep, cost};

/// How long healed engines have to come to rest: longer than any deadline of the script and any timeout of its configs.
const REST: Duration = Duration::from_secs(25);
/// What a stop may take beyond its bound.
const STOP: Duration = Duration::from_secs(6);
/// For what has no deadline of its own.
const SOME_DAY: Duration = Duration::from_secs(20);

/// More steps than this of a script of bytes are not played.
const MOST_STEPS: usize = 200;

/// One thing a program does.
#[derive(Debug)]
pub(super) enum Step {
    Start(usize),
    Bind(usize),
    Unbind(usize),
    Connect { from: usize, to: usize },
    ConnectAlways { from: usize, to: usize },
    Disconnect(usize),
    Request(usize),
    Ticks(usize),
    Flush(usize),
    Cancel(usize),
    Announce(usize),
    Describe(usize),
    Stop(usize),
}

impl Step {
    /// The step that a byte of a script stands for.
    fn of(what: u8, from: usize, to: usize) -> Self {
        match what % 25 {
            0..=6 => Self::Request(from),
            7..=10 => Self::Ticks(from),
            11 | 12 => Self::Cancel(from),
            13 => Self::Announce(from),
            14 => Self::Describe(from),
            15..=17 => Self::Connect { from, to },
            18 => Self::ConnectAlways { from, to },
            19 => Self::Disconnect(from),
            20 => Self::Unbind(from),
            21 => Self::Bind(from),
            22 => Self::Stop(from),
            23 => Self::Flush(from),
            _ => Self::Start(from),
        }
    }
}

/// One whole run; the world's oracle knows what was wrong.
pub(super) fn run(seed: u64, world: &mut World) {
    start_all(world);
    let length = Duration::from_millis(world.rng.u64(500..4_000));
    draw_script(world, length);
    let (nodes, swarm) = (world.nodes.len(), world.swarm.clone());
    world.note(format_args!("seed {seed}: {nodes} nodes, {swarm:?}"));
    play(world, length);
}

/// One whole run whose script is these bytes: the first eight are the seed, then come three for each step.
pub(super) fn run_bytes(bytes: &[u8]) -> World {
    let (seed, mut steps) = bytes.split_at(bytes.len().min(8));
    let seed = seed.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    let mut world = draw(seed);
    start_all(&mut world);
    let start = world.now;
    let mut length = Duration::from_millis(100);
    steps = steps.get(..MOST_STEPS * 3).unwrap_or(steps);
    while let [what, whom, pause, rest @ ..] = steps {
        length += Duration::from_micros(u64::from(*pause).pow(2));
        let nodes = world.nodes.len();
        let (from, to) = (usize::from(whom & 15) % nodes, usize::from(whom >> 4) % nodes);
        world.plan(start + length, Step::of(*what, from, to));
        steps = rest;
    }
    play(&mut world, length + Duration::from_millis(500));
    world
}

fn start_all(world: &mut World) {
    for node in 0..world.nodes.len() {
        world.perform(Step::Start(node));
        let at = world.now + Duration::from_millis(world.rng.u64(..50));
        world.plan(at, Step::Bind(node));
    }
}

fn play(world: &mut World, length: Duration) {
    let start = world.now;
    world.run_until(start + length);
    if world.oracle.failure().is_none() {
        world.heal();
    }
    world.run_until(start + length + REST);
    if world.oracle.failure().is_none() {
        world.check_rest();
        world.stop_all();
        world.run_until(start + length + REST + STOP);
        world.check_stopped();
    }
}

/// A world as that seed draws it, before anything happens.
pub(super) fn draw(seed: u64) -> World {
    let mut world = World::new(seed, Swarm::none());
    world.swarm = Swarm::draw(&mut world.rng);
    world.own_calls = true;
    let nodes = world.rng.usize(2..6);
    let config = any_config(&mut world.rng);
    for number in 0..nodes {
        // Now and then two nodes have the same id.
        let name = if number > 0 && world.rng.u8(..5) == 0 { number - 1 } else { number };
        let config = any_limits(&mut world.rng, config.clone());
        world.add_node(&format!("node-{name}"), config);
    }
    if world.rng.u8(..5) == 0 {
        world.add_hostile(config);
    }
    world
}

fn draw_script(world: &mut World, length: Duration) {
    let nodes = world.nodes.len();
    let start = world.now;
    for _ in 0..world.rng.usize(nodes - 1..nodes * 2) {
        let (from, to) = (world.rng.usize(..nodes), world.rng.usize(..nodes));
        let at = start + Duration::from_millis(world.rng.u64(..100));
        let always = world.rng.bool();
        let step =
            if always { Step::ConnectAlways { from, to } } else { Step::Connect { from, to } };
        world.plan(at, step);
    }
    // Most seeds have a busy time, some a quiet one.
    let restless = world.rng.bool();
    for _ in 0..world.rng.usize(10..150) {
        let at = start + length.mul_f64(world.rng.f64());
        let step = any_step(world, nodes, restless);
        world.plan(at, step);
    }
}

fn any_step(world: &mut World, nodes: usize, restless: bool) -> Step {
    let node = world.rng.usize(..nodes);
    let to = world.rng.usize(..nodes);
    match world.rng.u8(..100) {
        0..=49 => Step::Request(node),
        50..=74 => Step::Ticks(node),
        75 | 76 => Step::Flush(node),
        77..=84 => Step::Cancel(node),
        85 => Step::Announce(node),
        86 => Step::Describe(node),
        87..=91 => Step::Connect { from: node, to },
        92 => Step::ConnectAlways { from: node, to },
        _ if !restless => Step::Request(node),
        93 => Step::Disconnect(node),
        94 => Step::Unbind(node),
        95 => Step::Bind(node),
        96 => Step::Stop(node),
        _ => Step::Start(node),
    }
}

fn any_config(rng: &mut fastrand::Rng) -> Config {
    let mut config = Config::default();
    let heartbeat = rng.u64(100..600);
    config.heartbeat_interval = Duration::from_millis(heartbeat);
    config.liveness_timeout = Duration::from_millis(heartbeat * rng.u64(3..7) + 500);
    config.write_stall = Duration::from_millis(rng.u64(350..3_000));
    config.handshake_timeout = Duration::from_millis(rng.u64(1_000..4_000));
    config.reconnect_first = Duration::from_millis(rng.u64(10..200));
    config.reconnect_longest = Duration::from_millis(rng.u64(200..2_000));
    config.reconnect_give_up = (rng.u8(..6) == 0).then(|| Duration::from_secs(1));
    config.reconnect = match rng.u8(..6) {
        0 => Reconnect::Never,
        1 => Reconnect::OnFailure,
        _ => Reconnect::Always,
    };
    config.stop_bound = Duration::from_millis(rng.u64(100..2_000));
    config
}

/// Every node has its own limits, now and then tiny ones.
fn any_limits(rng: &mut fastrand::Rng, mut config: Config) -> Config {
    let limits = &mut config.limits;
    limits.calls_per_link = if rng.bool() { rng.u32(1..5) } else { 1_024 };
    limits.tick_window_bytes = if rng.bool() { rng.u64(128..4_000) } else { 64 * 1024 };
    limits.link_queue_bytes = if rng.bool() { rng.usize(1_000..100_000) } else { 8 << 20 };
    limits.message_bytes = match rng.u8(..8) {
        0 => rng.usize(1_000..5_000),
        1 => rng.usize(100_000..200_000),
        _ => 16 << 20,
    };
    limits.calls_pending = if rng.u8(..8) == 0 { rng.usize(1..6) } else { 65_536 };
    limits.node_bytes = if rng.u8(..6) == 0 { rng.usize(20_000..500_000) } else { 256 << 20 };
    limits.handshakes = if rng.u8(..8) == 0 { 1 } else { 1_024 };
    limits.links = if rng.u8(..8) == 0 { rng.usize(2..5) } else { 16_384 };
    config
}

impl World {
    pub(super) fn add_node(&mut self, name: &str, config: Config) -> usize {
        let number = self.nodes.len();
        let id = NodeId::new(name).unwrap();
        let mut node = Node::new(id, address_of(number), config, self.now);
        node.services = (0..number).map(|service| format!("service-{service}")).collect();
        self.nodes.push(node);
        number
    }

    pub(super) fn label(&mut self) -> Label {
        Label(self.serial())
    }

    /// A command whose end is awaited until `within`.
    pub(super) fn ask(&mut self, n: usize, asked: Asked, within: Duration) -> Label {
        let label = self.label();
        let life = self.life(n);
        self.oracle.asked(label, asked, life, self.now + within, self.now);
        label
    }

    pub(super) fn perform(&mut self, step: Step) {
        let (Step::Start(n)
        | Step::Bind(n)
        | Step::Unbind(n)
        | Step::Connect { from: n, .. }
        | Step::ConnectAlways { from: n, .. }
        | Step::Disconnect(n)
        | Step::Request(n)
        | Step::Ticks(n)
        | Step::Flush(n)
        | Step::Cancel(n)
        | Step::Announce(n)
        | Step::Describe(n)
        | Step::Stop(n)) = step;
        let runs = self.nodes[n].mesh.is_some();
        let starts = matches!(step, Step::Start(_));
        if runs == starts || runs && self.nodes[n].stopping {
            return;
        }
        match step {
            Step::Start(n) => {
                self.start_node(n);
                if self.nodes[n].incarnation > 1 {
                    self.perform(Step::Bind(n));
                }
            }
            Step::Bind(n) => {
                let address = self.name_of(n);
                let token = self.ask(n, Asked::Other, SOME_DAY);
                self.command(n, Command::Bind { address, token });
            }
            Step::Unbind(n) => {
                let token = self.ask(n, Asked::Other, SOME_DAY);
                self.command(n, Command::Unbind { token });
            }
            Step::Connect { from, to } => self.connect(from, to),
            Step::ConnectAlways { from, to } => {
                let address = self.name_of(to);
                self.dial_always(from, to, address);
            }
            Step::Disconnect(n) => self.disconnect(n),
            Step::Request(n) => {
                let within =
                    Duration::from_micros(self.rng.u64(1_000..5_000_000) >> self.rng.u32(..8));
                let len = self.any_size();
                self.request(n, len, within);
            }
            Step::Ticks(n) => {
                for _ in 0..self.rng.usize(1..12) {
                    let len = self.any_size() / 10;
                    self.tick(n, len);
                }
            }
            Step::Flush(n) => self.flush(n),
            Step::Cancel(n) => self.cancel(n),
            Step::Announce(n) => self.announce(n),
            Step::Describe(n) => self.describe(n),
            Step::Stop(n) => {
                let bound = self.nodes[n].config.stop_bound;
                self.stop(n, bound);
            }
        }
    }

    /// Keeps dialling that node, if the address is its own, for ever.
    pub(super) fn dial_always(&mut self, from: usize, to: usize, address: Address) {
        let token = self.ask(from, Asked::Other, SOME_DAY);
        let life = self.life(from);
        if address.numeric().is_some() || address.host() == format!("host-{to}") {
            self.wants.insert((life, to));
        }
        self.command(from, Command::ConnectAlways { address, token });
    }

    /// Numeric or a name that must be resolved.
    fn name_of(&mut self, n: usize) -> Address {
        if self.rng.bool() {
            return address_of(n).into();
        }
        let number = if self.rng.u8(..40) == 0 { "nowhere".to_owned() } else { n.to_string() };
        format!("host-{number}:4000").parse().unwrap()
    }

    fn connect(&mut self, from: usize, to: usize) {
        let address = self.name_of(to);
        let once = self.rng.bool();
        let mode = if once { ConnectMode::Once } else { ConnectMode::Patient };
        let within = Duration::from_millis(self.rng.u64(5..4_000));
        self.connect_to(from, address, mode, within);
    }

    pub(super) fn connect_to(
        &mut self,
        from: usize,
        address: Address,
        mode: ConnectMode,
        within: Duration,
    ) -> Label {
        let token = self.ask(from, Asked::Connect, within);
        let deadline = self.now + within;
        self.command(from, Command::Connect { address, mode, deadline, token });
        token
    }

    /// Now and then a storm of them.
    fn announce(&mut self, n: usize) {
        for _ in 0..self.rng.usize(1..8) {
            let change = self.change(n);
            let services = (0..self.rng.usize(..50)).map(|i| format!("new-{i}-{change}")).collect();
            self.command(n, Command::SetServices { services });
        }
    }

    fn describe(&mut self, n: usize) {
        for _ in 0..self.rng.usize(1..20) {
            let options = Options::default().with("change", self.change(n));
            self.command(n, Command::SetOptions { options });
        }
    }

    fn change(&mut self, n: usize) -> u64 {
        self.nodes[n].changes += 1;
        self.nodes[n].changes
    }

    fn disconnect(&mut self, n: usize) {
        let to = self.rng.usize(..self.nodes.len());
        let life = self.life(n);
        let id = self.nodes[to].id.clone();
        let nodes = &self.nodes;
        self.wants.retain(|(from, whom)| *from != life || nodes[*whom].id != id);
        let whom = if self.rng.bool() {
            Whom::Address(self.name_of(to))
        } else {
            Whom::Id(self.nodes[to].id.clone())
        };
        let token = self.ask(n, Asked::Other, SOME_DAY);
        self.command(n, Command::Disconnect { whom, token });
    }

    pub(super) fn stop(&mut self, n: usize, bound: Duration) {
        self.nodes[n].stopping = true;
        // A lingering close may follow the bound.
        let token = self.ask(n, Asked::Stop, bound + Duration::from_millis(100));
        self.command(n, Command::Stop { bound, token: Some(token) });
    }

    /// Nothing at all, small, or large enough to travel in segments; now and then at the limit of a message.
    pub(super) fn any_size(&mut self) -> usize {
        match self.rng.u8(..20) {
            0..=13 => self.rng.usize(..300),
            14..=16 => self.rng.usize(..20_000),
            17 | 18 => self.rng.usize(..300_000),
            _ => self.nodes[0].config.limits.message_bytes.min(300_000) - self.rng.usize(..80),
        }
    }

    /// Where a message may go: a peer, or now and then the node itself, and up to three alternates.
    fn any_plan(&mut self, n: usize) -> Option<(Plan, Arc<PeerEntry>)> {
        let node = &self.nodes[n];
        let mut peers: Vec<_> = node.published.iter().cloned().collect();
        let own = node.mesh.as_ref().and_then(Mesh::own).cloned();
        let may_be = self.own_calls && (peers.is_empty() || self.rng.u8(..8) == 0);
        peers.extend(own.filter(|_| may_be));
        if peers.is_empty() {
            return None;
        }
        let first = self.rng.usize(..peers.len());
        let step = |peer: usize| PlanStep::new(peers[peer].key, Directions::BOTH);
        let mut plan = Plan::one(step(first), None);
        if self.rng.u8(..3) == 0 {
            let others = (0..peers.len()).filter(|peer| *peer != first).take(3);
            plan.alternates = others.map(step).collect();
        }
        Some((plan, peers.swap_remove(first)))
    }

    pub(super) fn request(&mut self, n: usize, len: usize, within: Duration) -> Option<Label> {
        let (plan, entry) = self.any_plan(n)?;
        self.send_request(n, plan, &entry, len, within)
    }

    /// To the first of these peers, the others being alternates.
    #[cfg(test)]
    pub(super) fn request_to(
        &mut self,
        n: usize,
        names: &[&str],
        len: usize,
        within: Duration,
    ) -> Option<Label> {
        let published = &self.nodes[n].published;
        let keys: Option<Vec<_>> =
            names.iter().map(|name| published.get(name).map(|entry| entry.key)).collect();
        let step = |peer| PlanStep::new(peer, Directions::BOTH);
        let mut steps = keys?.into_iter().map(step);
        let mut plan = Plan::one(steps.next()?, None);
        plan.alternates = steps.collect();
        let entry = published.get(names[0])?.clone();
        self.send_request(n, plan, &entry, len, within)
    }

    fn send_request(
        &mut self,
        n: usize,
        mut plan: Plan,
        entry: &PeerEntry,
        len: usize,
        within: Duration,
    ) -> Option<Label> {
        let label = self.ask(n, Asked::Request, within);
        let message = message('r', label, len);
        let face = entry.face(Directions::BOTH)?;
        plan.room = face.gauge.ask_call(cost(message.payload.len())).ok().map(|()| face.link);
        if self.is_doubtful(n, &plan) {
            self.oracle.suspect(label);
        }
        let fresh = !self.blunders(Planted::ReusedId);
        let node = &mut self.nodes[n];
        node.next_call += u64::from(fresh || node.next_call == 0);
        let call = CallId(node.next_call);
        node.calls.insert(label, call);
        let deadline = self.now + within;
        self.command(
            n,
            Command::Request(Request { call, plan, message, deadline, depth: 0, token: label }),
        );
        Some(label)
    }

    pub(super) fn tick(&mut self, n: usize, len: usize) -> Option<Label> {
        let (mut plan, entry) = self.any_plan(n)?;
        let label = self.label();
        // In order are those that take their own room on the one link of their plan.
        let kind = if plan.alternates.is_empty() { 'o' } else { 't' };
        let mut message = message(kind, label, len);
        let face = entry.face(Directions::BOTH)?;
        plan.room = face.gauge.ask_tick(cost(message.payload.len())).ok().map(|()| face.link);
        if self.is_doubtful(n, &plan) {
            self.oracle.suspect(label);
        }
        let life = self.life(n);
        let mut wait = None;
        if plan.room.is_some() {
            // One with alternates may go to another peer than the one that is flushed.
            let link = plan.room.filter(|_| plan.alternates.is_empty());
            self.oracle.tick_posted(label, life, link);
        } else {
            let deadline = self.now + Duration::from_millis(self.rng.u64(1..2_000));
            self.oracle.asked(label, Asked::Tick, life, deadline, self.now);
            message.event = event('t', label);
            wait = Some((deadline, label));
        }
        self.command(n, Command::Tick(Tick { plan, message, wait }));
        Some(label)
    }

    /// Whether a hostile node sends this, or may get it.
    fn is_doubtful(&self, n: usize, plan: &Plan) -> bool {
        let steps = std::iter::once(&plan.first).chain(&plan.alternates);
        let keys: Vec<_> = steps.map(|step| step.peer).collect();
        let among = |entry: &&Arc<PeerEntry>| keys.contains(&entry.key);
        let mut peers = self.nodes[n].published.iter().filter(among);
        self.nodes[n].hostile || peers.any(|peer| !self.oracle.is_honest_name(&peer.id))
    }

    fn flush(&mut self, n: usize) {
        let Some((plan, entry)) = self.any_plan(n) else { return };
        let within = Duration::from_millis(self.rng.u64(1..2_000));
        let label = self.ask(n, Asked::Flush, within);
        if self.is_doubtful(n, &plan) {
            self.oracle.suspect(label);
        }
        let links: Vec<_> = entry.up.iter().chain(&entry.down).map(|face| face.link).collect();
        let life = self.life(n);
        self.oracle.flush_begins(label, life, &links);
        let (peer, deadline) = (plan.first.peer, self.now + within);
        self.command(n, Command::Flush { peer, deadline, token: label });
    }

    fn cancel(&mut self, n: usize) {
        let life = self.life(n);
        let Some(label) = self.oracle.any_open(life, &mut self.rng) else { return };
        let Some(call) = self.nodes[n].calls.get(&label).copied() else { return };
        self.oracle.cancelled(label);
        self.command(n, Command::Cancel { call });
    }

    pub(super) fn stop_all(&mut self) {
        for n in 0..self.nodes.len() {
            if self.nodes[n].mesh.is_some() && !self.nodes[n].stopping {
                self.stop(n, Duration::from_secs(2));
            }
        }
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }
}

fn event(kind: char, label: Label) -> EventName {
    EventName::new(&format!("{kind}:{}", label.0)).unwrap()
}

fn message(kind: char, label: Label, len: usize) -> Message {
    let payload = if len == 0 { Payload::null() } else { payloads::make(label, len) };
    Message { event: event(kind, label), headers: Headers::default(), payload }
}
