//! Meshes by chance: each seed draws some members, whom each of them asks, and who joins, leaves, dies, comes back, is parted and
//! healed. At the end everybody who is connected through seeds knows everybody, and nothing is left of the dead.
//!
//! `SIM_SEED`, `SIM_SEEDS` and `SIM_FROM` choose the seeds, as for the other runs.

use std::collections::BTreeSet;
use std::time::Duration;

use super::faults::Swarm;
use super::members::{join, join_always};
use super::oracle::Asked;
use super::scenarios::SECOND;
use super::script::Step;
use super::tests::chosen;
use super::world::{World, address_of};
use crate::config::Config;
use crate::node_event::Directions;
use crate::proto::Command;

const SEEDS: u64 = 300;
/// Everything that is dialled or missing is forgotten by then.
const SETTLED: Duration = Duration::from_secs(80);

struct Run {
    world: World,
    /// Whom each node asks, again whenever it starts.
    seeds: Vec<Vec<usize>>,
    /// Who has asked since it was started.
    joined: BTreeSet<usize>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, Swarm::none());
        let count = world.rng.usize(3..9);
        let mut seeds = Vec::new();
        for n in 0..count {
            world.add_node(&format!("n{n}"), Config::default());
            start(&mut world, n);
            let many = world.rng.usize(1..3);
            let mut asks: Vec<usize> = (0..count).filter(|other| *other != n).collect();
            world.rng.shuffle(&mut asks);
            asks.truncate(many);
            seeds.push(asks);
        }
        world.run_for(SECOND);
        Self { world, seeds, joined: BTreeSet::new() }
    }

    fn lives(&self, n: usize) -> bool {
        self.world.nodes[n].mesh.is_some() && !self.world.nodes[n].stopping
    }

    fn join(&mut self, n: usize) {
        if !self.lives(n) {
            return;
        }
        self.joined.insert(n);
        for seed in self.seeds[n].clone() {
            if self.world.rng.bool() {
                join(&mut self.world, n, seed);
            }
            join_always(&mut self.world, n, seed);
        }
    }

    fn step(&mut self) {
        let count = self.world.nodes.len();
        let n = self.world.rng.usize(..count);
        match self.world.rng.u8(..20) {
            0..=9 => self.join(n),
            10 | 11 => {
                self.world.crash(n);
                self.joined.remove(&n);
            }
            12 => {
                self.world.perform(Step::Stop(n));
                self.joined.remove(&n);
            }
            13..=15 => {
                start(&mut self.world, n);
                let moment = self.moment(10);
                self.world.run_for(moment);
                self.join(n);
            }
            16 | 17 => {
                let apart = (0..count).filter(|_| self.world.rng.bool()).collect();
                self.world.part(apart);
            }
            18 => self.world.part(BTreeSet::new()),
            _ => {
                let long = self.moment(90_000);
                self.world.run_for(long);
            }
        }
        let pause = self.moment(3_000);
        self.world.run_for(pause);
    }

    /// Mostly short.
    fn moment(&mut self, most_ms: u64) -> Duration {
        Duration::from_micros(self.world.rng.u64(..most_ms * 1_000) >> self.world.rng.u32(..8))
    }

    /// What is wrong in the end, if anything.
    fn wrong(&self) -> Option<String> {
        let live: Vec<usize> = (0..self.world.nodes.len()).filter(|n| self.lives(*n)).collect();
        for n in &live {
            let listed: BTreeSet<&str> =
                self.world.nodes[*n].published.iter().map(|entry| entry.id.as_str()).collect();
            let meant = self.connected(*n);
            let missing =
                meant.iter().find(|m| !listed.contains(self.world.nodes[**m].id.as_str()));
            if let Some(missing) = missing {
                return Some(format!("node {n} does not know node {missing}, but {listed:?}"));
            }
            for entry in self.world.nodes[*n].published.iter() {
                let Some(other) = live.iter().find(|m| self.world.nodes[**m].id == entry.id) else {
                    return Some(format!("node {n} knows {}, which is dead", entry.id));
                };
                let back = self.world.nodes[*other].published.get(&format!("n{n}"));
                if back.is_none() || entry.services.len() != *other {
                    return Some(format!("nodes {n} and {other} see each other differently"));
                }
            }
            if let Some(why) = self.left_behind(*n) {
                return Some(why);
            }
        }
        None
    }

    fn left_behind(&self, n: usize) -> Option<String> {
        let mesh = self.world.nodes[n].mesh.as_ref()?;
        let dead = self.seeds[n].iter().filter(|seed| !self.lives(**seed)).count();
        let standing = dead * usize::from(self.joined.contains(&n));
        let (away, _) = mesh.members();
        let up = self.world.nodes[n].published.iter().filter(|entry| entry.directions().up).count();
        let aliases = self.seeds[n].len();
        let (links, timers, dials) = (mesh.open_links(), mesh.armed_timers(), mesh.dialled());
        let timers_over = timers > links + standing;
        let dials_over = dials > up + standing + aliases;
        let mut peers = self.world.nodes[n].published.iter();
        let doubled = peers.any(|entry| entry.directions() == Directions::BOTH);
        (away > 0 || timers_over || dials_over || doubled).then(|| {
            format!(
                "node {n} ({:?}, joined {}): {away} members are away; {timers} timers, {links} links; {dials} dials, {up} up, {standing} standing",
                self.seeds[n],
                self.joined.contains(&n)
            )
        })
    }

    /// All who live and are connected with a node through seeds.
    fn connected(&self, n: usize) -> BTreeSet<usize> {
        let asks = |a: usize, b: usize| self.joined.contains(&a) && self.seeds[a].contains(&b);
        let mut found = BTreeSet::from([n]);
        let mut open = vec![n];
        while let Some(at) = open.pop() {
            for next in (0..self.world.nodes.len()).filter(|m| self.lives(*m)) {
                if (asks(at, next) || asks(next, at)) && found.insert(next) {
                    open.push(next);
                }
            }
        }
        found.remove(&n);
        found
    }
}

/// Starts a node if it does not run, at its own address: the steps of other scripts may name one that there is none of.
pub(super) fn start(world: &mut World, n: usize) {
    world.perform(Step::Start(n));
    world.run_for(Duration::from_millis(60));
    if world.nodes[n].mesh.is_some() && !world.nodes[n].stopping {
        let token = world.ask(n, Asked::Other, 10 * SECOND);
        world.command(n, Command::Bind { address: address_of(n).into(), token });
    }
}

fn run(seed: u64) -> Option<String> {
    let mut run = Run::new(seed);
    for _ in 0..run.world.rng.usize(5..40) {
        run.step();
    }
    run.world.part(BTreeSet::new());
    run.world.run_for(SETTLED);
    let failure = run.world.oracle.failure().map(str::to_owned).or_else(|| run.wrong());
    let failure = failure.or_else(|| {
        run.world.stop_all();
        run.world.run_for(4 * SECOND);
        run.world.check_stopped();
        run.world.oracle.failure().map(str::to_owned)
    });
    failure.map(|why| format!("seed {seed}: {why}\n{}", run.world.log.tail()))
}

#[test]
fn whoever_is_connected_through_seeds_knows_everybody_and_nothing_is_left_of_the_dead() {
    let _bound = crate::bound::bound();
    let mut failures: Vec<String> = chosen(SEEDS).filter_map(run).collect();
    let count = failures.len();
    failures.truncate(1);
    assert!(count == 0, "{count} seeds failed, the first: {}", failures.concat());
}
