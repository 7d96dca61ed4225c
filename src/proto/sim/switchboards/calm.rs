//! What must come of calls while nothing goes wrong: whoever is found by the graph is found by the routers, nobody else is, and no router is
//! asked twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::program::Sought;
use super::{Run, SECOND};
use crate::error::{ErrorKind, Execution};
use crate::proto::sim::Label;
use crate::proto::sim::oracle::Asked;
use crate::proto::sim::script::Step;
use crate::proto::{Command, Done};
use crate::routing_stats::RoutingStats;

/// Within this it is known that there is nobody, however many routers there are: each of them looks, or has somebody look.
const QUICK: Duration = Duration::from_millis(900);

/// What is known of a call before it ends.
pub(super) struct Expected {
    label: Label,
    at: Instant,
    sought: Sought,
    /// Somebody will do and is reached.
    found: bool,
}

impl Run {
    pub(super) fn expect(&mut self, label: Label, sought: Sought, found: bool) {
        let at = self.world.now;
        self.expected.push(Expected { label, at, sought, found });
    }

    /// Whether that node will do, as it is now.
    pub(super) fn will_do(&self, m: usize, sought: &Sought) -> bool {
        let Some(mesh) = self.world.nodes[m].mesh.as_ref() else { return false };
        let (options, services) = mesh.own_state();
        !self.graph.is_router(m) && sought.means(&self.graph.name_of(m), options, services)
    }

    /// Whether somebody will do who is reached from there.
    fn is_found(&self, n: usize, sought: &Sought) -> bool {
        let routers = self.graph.reached_from(n);
        let behind = routers.iter().flat_map(|router| self.graph.neighbours(*router));
        let near = self.graph.neighbours(n);
        behind.chain(near).any(|m| m != n && self.will_do(m, sought))
    }

    pub(super) fn check_calm(&mut self) {
        if !self.tight {
            self.check_nobody();
        }
        let before = self.all_stats();
        let mut calls = 0;
        for _ in 0..self.world.rng.usize(5..15) {
            let (n, sought) = (self.graph.any_asker(&mut self.world.rng), self.any_sought());
            match self.world.rng.u8(..10) {
                0..=5 => {
                    let found = self.is_found(n, &sought);
                    calls += 1;
                    if let Some(label) = self.ask(n, &sought, 3 * SECOND) {
                        self.expect(label, sought, found);
                    }
                }
                6 => {
                    calls += 1;
                    let within = self.moment(500);
                    self.request(n, &sought, within);
                }
                7 => self.tick(n, &sought),
                8 => {
                    calls += 1;
                    self.ask_for_peers(n, &sought);
                }
                _ => self.world.perform(Step::Cancel(n)),
            }
            let pause = self.moment(300);
            self.world.run_for(pause);
            self.go_on_walking();
        }
        while !self.walks.is_empty() && !self.fails() {
            self.world.run_for(Duration::from_millis(100));
            self.go_on_walking();
        }
        self.world.run_for(5 * SECOND);
        for expected in std::mem::take(&mut self.expected) {
            self.judge(&expected);
        }
        let after = self.all_stats();
        for (router, stats) in &after {
            let total = |stats: &RoutingStats| stats.proxy_requests.total;
            let grown = total(stats) - before.get(router).map_or(0, total);
            if grown > calls {
                let why = format!("router {router} has placed {grown} requests of {calls}");
                self.world.oracle.fail(why);
            }
        }
    }

    fn judge(&mut self, expected: &Expected) {
        let Expected { label, at, sought, found } = expected;
        let call = &self.world.oracle.calls[label];
        if call.cancelled {
            return;
        }
        let missing = call.end == Some(Err(sought.missing()));
        let took = call.ended_at.map(|ended| ended - *at);
        let quick = took.is_some_and(|took| took < QUICK);
        let never = call.verdict == Some(Execution::Never);
        let end = call.end;
        let is_right = if *found { !missing } else { missing && never && quick };
        let is_right = is_right || self.tight;
        let lost = [
            ErrorKind::ConnectionLost,
            ErrorKind::Closed,
            ErrorKind::Refused,
            ErrorKind::InvalidFilter,
            ErrorKind::InvalidPath,
            ErrorKind::Unsupported,
        ];
        // Where there is little memory, one large answer costs a link.
        let lost = if self.tight { &lost[2..] } else { &lost[..] };
        let is_lost = end.is_some_and(|end| end.is_err_and(|kind| lost.contains(&kind)));
        if is_lost || !is_right {
            let why = format!(
                "nothing went wrong, and {label:?} for {sought:?} ends with {end:?} after {took:?}; found: {found}"
            );
            self.world.oracle.fail(why);
        }
    }

    /// When there is nobody, every router that can be reached is asked once, and no other.
    fn check_nobody(&mut self) {
        let n = self.graph.any_asker(&mut self.world.rng);
        let reached = self.graph.reached_from(n);
        for sought in [Sought::Role("none"), Sought::Id("mars".to_owned()), Sought::Path("/d")] {
            let before = self.all_stats();
            let at = self.world.now;
            let Some(label) = self.ask(n, &sought, 3 * SECOND) else { continue };
            self.world.run_for(2 * SECOND);
            self.judge(&Expected { label, at, sought: sought.clone(), found: false });
            for (router, stats) in self.all_stats() {
                let total = |stats: &RoutingStats| stats.proxy_requests.total;
                let grown = total(&stats) - before.get(&router).map_or(0, total);
                if grown != u64::from(reached.contains(&router)) {
                    let why = format!(
                        "{label:?} of node {n} for {sought:?} was placed {grown} times by router {router}; reached: {reached:?}"
                    );
                    self.world.oracle.fail(why);
                }
            }
        }
    }

    /// What the routers have counted.
    pub(super) fn all_stats(&mut self) -> BTreeMap<usize, RoutingStats> {
        let mut asked = Vec::new();
        for router in self.graph.routers() {
            if !self.lives(router) {
                continue;
            }
            let token = self.world.ask(router, Asked::Other, SECOND);
            self.world.command(router, Command::RoutingStats { reset: false, token });
            asked.push((router, token));
        }
        self.world.run_for(Duration::from_millis(10));
        let mut all = BTreeMap::new();
        for (router, token) in asked {
            if let Some(Done::Routing(stats)) = self.world.told.remove(&token) {
                all.insert(router, *stats);
            }
        }
        all
    }

    /// Whatever went wrong, no router was asked twice for one message: those that are not called by a path have a name each.
    pub(super) fn check_asked_once(&mut self) {
        for (router, stats) in self.all_stats() {
            for (event, counts) in &stats.by_event {
                let (requests, ticks) = (counts.proxy_requests, counts.proxy_ticks);
                let times = requests.total + ticks.total;
                if times > 1 && !event.starts_with('/') {
                    let why = format!("router {router} was asked {times} times for {event}");
                    self.world.oracle.fail(why);
                }
            }
            for sum in [stats.proxy_requests, stats.proxy_ticks] {
                if sum.total != sum.successful + sum.failed {
                    self.world.oracle.fail(format!("router {router} counts {sum:?}"));
                }
            }
        }
    }
}
