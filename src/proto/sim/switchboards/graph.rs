//! Who is linked to whom: routers among each other, and services and clients around them. It must not know engines.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::config::ROUTER_HOPS;

/// Routers come first, then services, then clients.
pub(super) struct Graph {
    routers: usize,
    services: usize,
    clients: usize,
    /// Who dials whom.
    links: BTreeSet<(usize, usize)>,
}

impl Graph {
    pub(super) fn draw(rng: &mut fastrand::Rng) -> Self {
        let is_long = rng.u8(..25) == 0;
        let routers = if is_long { rng.usize(10..12) } else { rng.usize(1..6) };
        let (services, clients) = (rng.usize(1..5), rng.usize(1..4));
        let mut graph = Self { routers, services, clients, links: BTreeSet::new() };
        let shape = if is_long { 0 } else { rng.u8(..5) };
        for to in 1..routers {
            for from in 0..to {
                let linked = match shape {
                    0 => from + 1 == to,
                    1 => from + 1 == to || from == 0 && to + 1 == routers,
                    2 => from == 0,
                    3 => true,
                    _ => rng.u8(..3) == 0,
                };
                if linked {
                    graph.link(from, to, rng);
                }
            }
        }
        for n in routers..graph.nodes() {
            if is_long && graph.is_client(n) {
                // From its end: whoever goes another way along it finds some that were asked, and none behind them.
                graph.link(n, 0, rng);
                continue;
            }
            for _ in 0..rng.usize(1..=routers.min(3)) {
                let to = rng.usize(..routers);
                graph.link(n, to, rng);
            }
            let direct = graph.is_client(n) && rng.u8(..4) == 0;
            if direct {
                let to = routers + rng.usize(..services);
                graph.link(n, to, rng);
            }
        }
        graph
    }

    /// One of the two dials the other, now and then each.
    fn link(&mut self, a: usize, b: usize, rng: &mut fastrand::Rng) {
        let (from, to) = if rng.bool() { (a, b) } else { (b, a) };
        self.links.insert((from, to));
        if rng.u8(..12) == 0 {
            self.links.insert((to, from));
        }
    }

    pub(super) fn nodes(&self) -> usize {
        self.routers + self.services + self.clients
    }

    pub(super) fn routers(&self) -> std::ops::Range<usize> {
        0..self.routers
    }

    pub(super) fn is_router(&self, n: usize) -> bool {
        n < self.routers
    }

    pub(super) fn is_client(&self, n: usize) -> bool {
        n >= self.routers + self.services
    }

    pub(super) fn is_long(&self) -> bool {
        self.routers > usize::from(ROUTER_HOPS)
    }

    pub(super) fn name_of(&self, n: usize) -> String {
        if self.is_router(n) {
            format!("router-{n}")
        } else if self.is_client(n) {
            format!("client-{}", n - self.routers - self.services)
        } else {
            format!("service-{}", n - self.routers)
        }
    }

    pub(super) fn dialled_by(&self, n: usize) -> Vec<usize> {
        self.links.iter().filter(|(from, _)| *from == n).map(|(_, to)| *to).collect()
    }

    pub(super) fn neighbours(&self, n: usize) -> BTreeSet<usize> {
        let of = |(from, to): &(usize, usize)| match n {
            _ if *from == n => Some(*to),
            _ if *to == n => Some(*from),
            _ => None,
        };
        self.links.iter().filter_map(of).collect()
    }

    /// The routers that a call of that node may come to, if nobody before them will do.
    pub(super) fn reached_from(&self, n: usize) -> BTreeSet<usize> {
        let mut distances = BTreeMap::new();
        let mut open: Vec<usize> =
            self.neighbours(n).into_iter().filter(|to| self.is_router(*to)).collect();
        for distance in 0..=ROUTER_HOPS {
            let mut next = Vec::new();
            for router in open {
                if router != n && distances.insert(router, distance).is_none() {
                    let others = self.neighbours(router).into_iter();
                    next.extend(others.filter(|to| self.is_router(*to)));
                }
            }
            next.retain(|to| !distances.contains_key(to));
            next.sort_unstable();
            next.dedup();
            open = next;
        }
        distances.into_keys().collect()
    }

    /// Mostly a client.
    pub(super) fn any_asker(&self, rng: &mut fastrand::Rng) -> usize {
        match rng.u8(..6) {
            0 if !self.is_long() => rng.usize(..self.nodes()),
            1 if !self.is_long() => self.routers + rng.usize(..self.services),
            _ => self.routers + self.services + rng.usize(..self.clients),
        }
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (routers, services, clients) = (self.routers, self.services, self.clients);
        let links = &self.links;
        write!(f, "{routers} routers, {services} services, {clients} clients, links {links:?}")
    }
}
