//! Routers by chance: each seed draws some of them, linked at random, with services and clients around them, and programs that ask and tick
//! through them. At first nothing goes wrong, and what comes of every call can be told from the graph alone; then everything goes wrong;
//! then it is healed, and all is as it was.
//!
//! `SIM_SEED`, `SIM_SEEDS` and `SIM_FROM` choose the seeds, as for the other runs:
//! `SIM_SEEDS=20000 cargo test --lib switchboards::each_request`.

mod calm;
mod graph;
mod program;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::faults::{Fault, Swarm};
use super::mergers::start;
use super::script::Step;
use super::tests::chosen;
use super::transcript::Coverage;
use super::world::{World, address_of};
use crate::config::{Config, Reconnect};
use crate::error::ErrorKind;
use crate::id::NodeId;
use crate::options::Options;
use crate::proto::{Command, RouterRole};
use calm::Expected;
use graph::Graph;
use program::Walk;

const SEEDS: u64 = 300;
/// Whatever was dialled, asked or suspended is over by then.
const REST: Duration = Duration::from_secs(14);
const SECOND: Duration = Duration::from_secs(1);
const ROLES: [&str; 2] = ["red", "blue"];
const PATHS: [&str; 4] = ["/a", "/b", "/c/x", "/c/y"];

/// What a call through routers can end with; the seeds come to all of it.
const KINDS: &[ErrorKind] = &[
    ErrorKind::NoNodesMatchFilter,
    ErrorKind::NodeNotFound,
    ErrorKind::NotFound,
    ErrorKind::PredicateNotRoutable,
    ErrorKind::RequestTimeout,
    ErrorKind::ConnectionLost,
    ErrorKind::Backpressure,
    ErrorKind::Busy,
    ErrorKind::TooLarge,
    ErrorKind::Cancelled,
    ErrorKind::Closed,
    ErrorKind::Handler,
    ErrorKind::NoHandler,
    ErrorKind::NoReply,
    ErrorKind::Expired,
];

struct Run {
    world: World,
    graph: Graph,
    /// Questions to routers that are under way.
    walks: Vec<Walk>,
    /// Calls of which it is known what must come.
    expected: Vec<Expected>,
    /// Some nodes take so little that calls fail for that alone.
    tight: bool,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, Swarm::none());
        let graph = Graph::draw(&mut world.rng);
        let tight = world.rng.u8(..4) == 0;
        let config = any_config(&mut world.rng);
        for n in 0..graph.nodes() {
            let config = if tight { narrowed(&mut world.rng, &config) } else { config.clone() };
            let name = graph.name_of(n);
            world.add_node(&name, config);
            let id = NodeId::new(&name).unwrap();
            let options = Options::default().with_id(&id);
            let node = &mut world.nodes[n];
            if graph.is_router(n) {
                node.options = options.with_router();
                let (tells, chooses_elsewhere) = (world.rng.u8(..4) > 0, world.rng.u8(..3) == 0);
                node.role = Some(RouterRole { tells, chooses_elsewhere, stats_every: None });
                world.oracle.routers.insert(n);
            } else {
                let is_client = graph.is_client(n);
                let role = if is_client { "client" } else { ROLES[world.rng.usize(..2)] };
                node.options = options.with("role", role);
                let rng = &mut world.rng;
                let serves = PATHS.iter().filter(|_| !is_client && rng.bool());
                node.services = serves.map(|path| (*path).to_owned()).collect();
            }
        }
        let mut run = Self { world, graph, walks: Vec::new(), expected: Vec::new(), tight };
        for n in 0..run.graph.nodes() {
            run.revive(n);
        }
        run.world.run_for(2 * SECOND);
        run
    }

    fn lives(&self, n: usize) -> bool {
        self.world.nodes[n].mesh.is_some() && !self.world.nodes[n].stopping
    }

    /// Starts a node if it does not run, at its own address, and has it dial whom it dials.
    fn revive(&mut self, n: usize) {
        if self.world.nodes[n].mesh.is_some() {
            return;
        }
        start(&mut self.world, n);
        // It may have been struck already.
        let dialled = if self.lives(n) { self.graph.dialled_by(n) } else { Vec::new() };
        for to in dialled {
            self.world.dial_always(n, to, address_of(to).into());
        }
    }

    /// Nothing goes wrong, and nothing else is under way: what comes of every call is known.
    fn calm(&mut self) {
        self.world.busy_choosers = false;
        self.world.oracle.prompt = Some(Duration::from_millis(250));
        self.check_calm();
        self.world.oracle.prompt = None;
    }

    fn rough(&mut self) {
        self.world.swarm = Swarm::draw(&mut self.world.rng);
        self.world.busy_choosers = self.world.rng.u8(..3) == 0;
        let kind = self.world.rng.bool();
        for _ in 0..self.world.rng.usize(10..80) {
            if self.fails() {
                return;
            }
            self.step(kind);
            let pause = self.moment(400);
            self.world.run_for(pause);
            self.go_on_walking();
        }
    }

    fn step(&mut self, kind: bool) {
        let n = self.world.rng.usize(..self.graph.nodes());
        let (from, what) = (self.graph.any_asker(&mut self.world.rng), self.any_sought());
        match self.world.rng.u8(..40) {
            0..=11 => {
                for _ in 0..self.world.rng.usize(1..4) {
                    let within = self.moment(4_000);
                    self.request(from, &what, within);
                }
            }
            12..=16 => {
                for _ in 0..self.world.rng.usize(1..6) {
                    self.tick(from, &what);
                }
            }
            17..=19 => self.ask_for_peers(from, &what),
            20 | 21 => self.world.perform(Step::Cancel(from)),
            22 | 23 => self.world.perform(Step::Flush(from)),
            24 => self.world.perform(Step::Request(n)),
            25 => self.world.perform(Step::Ticks(n)),
            26 => self.change(n),
            27..=30 => self.revive(n),
            _ if kind => self.request(from, &what, 3 * SECOND),
            31 | 32 => self.world.crash(n),
            33 => self.world.perform(Step::Stop(n)),
            34 => {
                let count = self.graph.nodes();
                let apart = (0..count).filter(|_| self.world.rng.u8(..3) == 0).collect();
                self.world.part(apart);
            }
            35 | 36 => self.world.part(BTreeSet::new()),
            _ => self.strike(n),
        }
    }

    /// Something happens to one link of that node.
    fn strike(&mut self, n: usize) {
        let wires: Vec<u64> =
            self.world.nodes[n].sockets.values().map(|socket| socket.wire).collect();
        if wires.is_empty() {
            return;
        }
        let wire = wires[self.world.rng.usize(..wires.len())];
        let kinds = Fault::STRIKING;
        let fault = kinds[self.world.rng.usize(..kinds.len())];
        if fault != Fault::Crash {
            self.world.strike(fault, n, wire);
        }
    }

    /// A node says something else about itself, or serves other paths.
    fn change(&mut self, n: usize) {
        if !self.lives(n) || self.graph.is_router(n) || self.graph.is_client(n) {
            return;
        }
        let node = &mut self.world.nodes[n];
        if self.world.rng.bool() {
            node.changes += 1;
            let role = ROLES[self.world.rng.usize(..2)];
            node.options = node.options.clone().with("role", role).with("change", node.changes);
            let options = node.options.clone();
            self.world.command(n, Command::SetOptions { options });
        } else {
            let rng = &mut self.world.rng;
            let serves = PATHS.iter().filter(|_| rng.bool());
            node.services = serves.map(|path| (*path).to_owned()).collect();
            let services = node.services.clone();
            self.world.command(n, Command::SetServices { services });
        }
    }

    fn heal(&mut self) {
        self.world.part(BTreeSet::new());
        self.world.heal();
        self.world.busy_choosers = false;
        // Those that stop are gone by then.
        self.world.run_for(4 * SECOND);
        for n in 0..self.graph.nodes() {
            self.revive(n);
        }
        self.world.run_for(REST);
        self.go_on_walking();
        self.world.run_for(4 * SECOND);
        self.walks.clear();
    }

    /// Mostly short.
    fn moment(&mut self, most_ms: u64) -> Duration {
        Duration::from_micros(self.world.rng.u64(1..most_ms * 1_000) >> self.world.rng.u32(..8))
    }

    fn fails(&self) -> bool {
        self.world.oracle.failure().is_some()
    }

    fn play(&mut self) {
        self.calm();
        if self.fails() {
            return;
        }
        self.rough();
        if self.fails() {
            return;
        }
        self.heal();
        if self.fails() {
            return;
        }
        self.world.check_rest();
        self.check_left();
        self.check_asked_once();
        self.calm();
        if self.fails() {
            return;
        }
        self.world.stop_all();
        self.world.run_for(8 * SECOND);
        self.world.check_stopped();
    }

    /// No alarm is set but those of the links.
    fn check_left(&mut self) {
        for n in 0..self.graph.nodes() {
            let Some(mesh) = &self.world.nodes[n].mesh else { continue };
            let (timers, links) = (mesh.armed_timers(), mesh.open_links());
            if timers > links {
                self.world.oracle.fail(format!("node {n}: {timers} timers, {links} links"));
            }
        }
    }
}

/// Timeouts so short that a run need not last long.
fn any_config(rng: &mut fastrand::Rng) -> Config {
    let mut config = Config::default();
    let heartbeat = rng.u64(400..900);
    config.heartbeat_interval = Duration::from_millis(heartbeat);
    config.liveness_timeout = Duration::from_millis(heartbeat * 4 + 500);
    config.write_stall = Duration::from_millis(rng.u64(500..3_000));
    config.handshake_timeout = Duration::from_millis(rng.u64(1_000..3_000));
    config.reconnect_first = Duration::from_millis(rng.u64(10..200));
    config.reconnect_longest = Duration::from_millis(rng.u64(200..1_000));
    config.reconnect = Reconnect::Always;
    config.request_timeout = Duration::from_millis(rng.u64(500..4_000));
    config.stop_bound = Duration::from_millis(rng.u64(100..2_000));
    config
}

/// Now and then a node takes little at a time.
fn narrowed(rng: &mut fastrand::Rng, config: &Config) -> Config {
    let mut config = config.clone();
    let limits = &mut config.limits;
    if rng.bool() {
        limits.calls_per_link = rng.u32(1..5);
        limits.calls_per_router = rng.u32(1..9);
    }
    if rng.bool() {
        limits.tick_window_bytes = rng.u64(128..4_000);
    }
    if rng.bool() {
        limits.link_queue_bytes = rng.usize(1_000..100_000);
    }
    if rng.u8(..4) == 0 {
        limits.message_bytes = rng.usize(2_000..100_000);
    }
    if rng.u8(..4) == 0 {
        limits.node_bytes = rng.usize(20_000..500_000);
    }
    config
}

fn run(seed: u64, seen: &mut Coverage) -> Option<String> {
    let mut run = Run::new(seed);
    let text = run.graph.to_string();
    run.world.note(format_args!("seed {seed}: {text}"));
    let outcome = catch_unwind(AssertUnwindSafe(|| run.play()));
    let failure = match outcome {
        Ok(()) => run.world.oracle.failure().map(str::to_owned),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or(panic.downcast_ref::<&str>().copied());
            Some(format!("a panic: {}", words.unwrap_or_default()))
        }
    };
    seen.merge(&run.world.seen);
    failure.map(|why| format!("seed {seed}: {why}\n{text}\n{}", run.world.log.tail()))
}

// covers P24, P28, P29, P30, P33
#[test]
fn each_request_reaches_one_handler_at_most_and_each_router_once() {
    let seeds = chosen(SEEDS);
    let most = Duration::from_secs(60 + (seeds.end - seeds.start) / 5);
    let _bound = crate::bound::within("each_request_reaches_one_handler_at_most", most);
    let (mut seen, is_usual) = (Coverage::default(), seeds == (0..SEEDS));
    let mut failures: Vec<String> = seeds.filter_map(|seed| run(seed, &mut seen)).collect();
    let count = failures.len();
    let firsts = failures.iter().filter_map(|failure| failure.lines().next());
    let firsts: Vec<&str> = firsts.take(20).collect();
    let firsts = firsts.join("\n");
    failures.truncate(1);
    assert!(count == 0, "{count} seeds failed:\n{firsts}\nthe first: {}", failures.concat());
    let missing: Vec<_> = KINDS.iter().filter(|kind| !seen.errors.contains_key(kind)).collect();
    assert!(!is_usual || missing.is_empty(), "no call ends with {missing:?}: {seen:?}");
}

/// The first seed that notices the bug which is planted on this thread.
pub(in crate::proto) fn first_to_notice() -> Option<u64> {
    (0..2 * SEEDS).find(|seed| run(*seed, &mut Coverage::default()).is_some())
}
