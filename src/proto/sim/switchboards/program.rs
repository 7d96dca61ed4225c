//! What the programs around the routers do: like callers' threads they look at the published directory, make a plan, take room on a
//! gauge, and post. It must not judge.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{PATHS, ROLES, Run};
use crate::config::DIRECTORY_PAGE;
use crate::error::ErrorKind;
use crate::event::EventName;
use crate::headers::Headers;
use crate::id::{CallId, NodeId};
use crate::node_event::Directions;
use crate::options::Options;
use crate::proto::sim::Label;
use crate::proto::sim::oracle::{Asked, Life};
use crate::proto::sim::payloads;
use crate::proto::{Command, DirectoryQuestion, Done, Message, Request, Tick};
use crate::routing::{Destination, Filter, PeerEntry, Plan, Route, Step, cost};

/// Whom a program looks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Sought {
    Id(String),
    /// By a filter for the id.
    Like(String),
    Role(&'static str),
    /// By an expression, for which no loop has time.
    Expression(&'static str),
    Path(&'static str),
}

impl Sought {
    pub(super) fn means(&self, id: &str, options: &Options, services: &[String]) -> bool {
        let role = options.get_str("role").unwrap_or_default();
        match self {
            Self::Id(name) | Self::Like(name) => id == name,
            Self::Role(wanted) => role == *wanted,
            Self::Expression(first) => role.starts_with(first),
            Self::Path(pattern) => services.iter().any(|path| is_of(path, pattern)),
        }
    }

    fn destination(&self) -> Destination {
        match self {
            Self::Id(name) => Destination::Id(NodeId::new(name).unwrap()),
            Self::Path(_) => Destination::Path,
            Self::Like(_) | Self::Role(_) | Self::Expression(_) => {
                Destination::Filter(self.filter().into())
            }
        }
    }

    pub(super) fn filter(&self) -> Vec<u8> {
        let filter = match self {
            Self::Id(name) | Self::Like(name) => Filter::any().eq("_id", name.as_str()),
            Self::Role(role) => Filter::any().eq("role", *role),
            Self::Expression(first) => Filter::any().regex("role", format!("^{first}")),
            Self::Path(_) => Filter::any(),
        };
        let mut bytes = Vec::new();
        filter.put(&mut bytes);
        bytes
    }

    /// What is said when nobody will do.
    pub(super) fn missing(&self) -> ErrorKind {
        match self {
            Self::Id(_) => ErrorKind::NodeNotFound,
            Self::Path(_) => ErrorKind::NotFound,
            Self::Like(_) | Self::Role(_) | Self::Expression(_) => ErrorKind::NoNodesMatchFilter,
        }
    }
}

/// Whether a path is of that pattern.
fn is_of(path: &str, pattern: &str) -> bool {
    let (path, pattern) = (path.split('/'), pattern.split('/'));
    path.clone().count() == pattern.clone().count()
        && path.zip(pattern).all(|(segment, wanted)| wanted == "*" || segment == wanted)
}

/// A program asks a router for all of its peers that match, page by page, and then one of them through that router.
pub(super) struct Walk {
    life: Life,
    router: usize,
    sought: Sought,
    page: Label,
    limit: u32,
    found: Vec<NodeId>,
    /// Nothing goes wrong meanwhile.
    is_calm: bool,
}

impl Run {
    pub(super) fn any_sought(&mut self) -> Sought {
        let rng = &mut self.world.rng;
        let n = rng.usize(..self.graph.nodes());
        let name = if rng.u8(..12) == 0 { "mars".to_owned() } else { self.graph.name_of(n) };
        match rng.u8(..12) {
            0 | 1 => Sought::Id(name),
            2 | 3 => Sought::Like(name),
            4..=6 => Sought::Role(ROLES[rng.usize(..2)]),
            7 => Sought::Role("none"),
            8 => Sought::Expression(["r", "b", "x"][rng.usize(..3)]),
            9 => Sought::Path(PATHS[rng.usize(..4)]),
            _ => Sought::Path(["/c/*", "/*", "/*/y", "/d"][rng.usize(..4)]),
        }
    }

    /// The peers who will do, and the routers.
    fn peers_of(
        &mut self,
        n: usize,
        sought: &Sought,
    ) -> (Vec<Arc<PeerEntry>>, Vec<Arc<PeerEntry>>) {
        let published = self.world.nodes[n].published.clone();
        let (mut routers, others): (Vec<_>, Vec<_>) =
            published.iter().cloned().partition(|entry| entry.options.is_router());
        let means = |entry: &Arc<PeerEntry>| {
            sought.means(entry.id.as_str(), &entry.options, &entry.services)
        };
        let mut local: Vec<_> = others.into_iter().filter(means).collect();
        self.world.rng.shuffle(&mut local);
        self.world.rng.shuffle(&mut routers);
        (local, routers)
    }

    /// Local matches, and behind them all routers; or the routers alone. `None` if there is nobody to ask.
    fn plan(&mut self, n: usize, sought: &Sought) -> Option<(Plan, Arc<PeerEntry>)> {
        let (local, routers) = self.peers_of(n, sought);
        let route = Some(Box::new(Route::new(Some(sought.destination()))));
        let waits = self.world.rng.u8(..6) > 0;
        let by_path = matches!(sought, Sought::Path(_));
        if let [first, others @ ..] = &local[..] {
            let step = |entry: &Arc<PeerEntry>| {
                let path = match sought {
                    Sought::Path(pattern) => {
                        entry.services.iter().find(|path| is_of(path, pattern))
                    }
                    _ => None,
                };
                let event = path.map(|path| Box::new(EventName::new(path).unwrap()));
                Step { event, ..Step::new(entry.key, Directions::BOTH) }
            };
            let alternates = others.iter().take(3).map(step).collect();
            let route = route.filter(|_| !routers.is_empty());
            let (first_step, room) = (step(first), None);
            let plan = Plan { first: first_step, alternates, room, waits, by_path, route };
            return Some((plan, first.clone()));
        }
        let router = routers.first()?;
        let first = Step::onward(router.key, sought.destination());
        let (alternates, room) = (Vec::new(), None);
        Some((Plan { first, alternates, room, waits, by_path, route }, router.clone()))
    }

    fn message(&mut self, kind: char, label: Label, sought: &Sought) -> Message {
        let len = match self.world.rng.u8(..40) {
            0 => self.world.rng.usize(..100_000),
            1..=4 => self.world.rng.usize(..10_000),
            _ => self.world.rng.usize(..300),
        };
        let event = match sought {
            Sought::Path(path) => EventName::new(path).unwrap(),
            _ => EventName::new(&format!("{kind}:{}", label.0)).unwrap(),
        };
        Message { event, headers: Headers::default(), payload: payloads::make(label, len) }
    }

    pub(super) fn request(&mut self, n: usize, sought: &Sought, within: Duration) {
        self.ask(n, sought, within);
    }

    pub(super) fn ask(&mut self, n: usize, sought: &Sought, within: Duration) -> Option<Label> {
        if !self.lives(n) {
            return None;
        }
        let (plan, first) = self.plan(n, sought)?;
        self.post_request(n, plan, &first, sought, within)
    }

    fn post_request(
        &mut self,
        n: usize,
        mut plan: Plan,
        first: &PeerEntry,
        sought: &Sought,
        within: Duration,
    ) -> Option<Label> {
        let face = first.face(Directions::BOTH)?;
        let token = self.world.ask(n, Asked::Request, within);
        let message = self.message('r', token, sought);
        let takes = self.world.rng.u8(..8) > 0;
        if takes {
            let room = face.gauge.ask_call(cost(message.payload.len()));
            plan.room = room.ok().map(|()| face.link);
        }
        let call = self.draw_call(n, token);
        let deadline = self.world.now + within;
        let request = Request { call, plan, message, deadline, depth: 0, token };
        self.world.command(n, Command::Request(request));
        Some(token)
    }

    fn draw_call(&mut self, n: usize, token: Label) -> CallId {
        let node = &mut self.world.nodes[n];
        node.next_call += 1;
        let call = CallId(node.next_call);
        node.calls.insert(token, call);
        call
    }

    pub(super) fn tick(&mut self, n: usize, sought: &Sought) {
        if !self.lives(n) {
            return;
        }
        let Some((mut plan, first)) = self.plan(n, sought) else { return };
        let Some(face) = first.face(Directions::BOTH) else { return };
        let is_local = plan.first.onward.is_none();
        let label = self.world.label();
        let message = self.message('t', label, sought);
        let cost = cost(message.payload.len());
        let takes = is_local || self.world.rng.u8(..8) > 0;
        if takes {
            let gauge = &face.gauge;
            let room = if is_local { gauge.ask_tick(cost) } else { gauge.ask_call(cost) };
            plan.room = room.ok().map(|()| face.link);
        }
        let life = self.world.life(n);
        let must_wait = is_local && plan.room.is_none();
        let wait = if must_wait || !is_local && self.world.rng.bool() {
            let deadline = self.world.now + self.moment(2_000);
            self.world.oracle.asked(label, Asked::Tick, life, deadline, self.world.now);
            Some((deadline, label))
        } else {
            self.world.oracle.tick_posted(label, life, None);
            None
        };
        self.world.command(n, Command::Tick(Tick { plan, message, wait }));
    }

    /// A program asks one of its routers who matches.
    pub(super) fn ask_for_peers(&mut self, n: usize, sought: &Sought) {
        if !self.lives(n) {
            return;
        }
        let (_, routers) = self.peers_of(n, sought);
        let Some(router) = routers.first() else { return };
        let router = (0..self.graph.nodes())
            .find(|m| self.world.nodes[*m].id == router.id)
            .expect("all nodes are of this graph");
        let few = self.world.rng.bool();
        let limit = if few { self.world.rng.u32(1..3) } else { DIRECTORY_PAGE as u32 };
        let (life, found) = (self.world.life(n), Vec::new());
        let is_calm = self.world.oracle.prompt.is_some();
        let sought = match sought {
            Sought::Path(_) => Sought::Expression("r"),
            other => other.clone(),
        };
        let page = Label(0);
        let walk = Walk { life, router, sought, page, limit, found, is_calm };
        self.ask_for_page(walk);
    }

    fn ask_for_page(&mut self, mut walk: Walk) {
        let (n, _) = walk.life;
        let name = self.graph.name_of(walk.router);
        let Some(router) = self.world.nodes[n].published.get(&name).map(|entry| entry.key) else {
            return;
        };
        let within = Duration::from_millis(self.world.rng.u64(300..2_000));
        let token = self.world.ask(n, Asked::Other, within);
        let call = self.draw_call(n, token);
        let (filter, after) = (walk.sought.filter(), walk.found.last().cloned());
        let question = DirectoryQuestion { filter, after, limit: walk.limit };
        let deadline = self.world.now + within;
        self.world.command(n, Command::AskRouter { call, router, question, deadline, token });
        walk.page = token;
        self.walks.push(walk);
    }

    /// Programs whose routers have answered go on.
    pub(super) fn go_on_walking(&mut self) {
        for walk in std::mem::take(&mut self.walks) {
            let (n, _) = walk.life;
            if !self.lives(n) || self.world.life(n) != walk.life {
                continue;
            }
            match self.world.oracle.end_of(walk.page) {
                None => self.walks.push(walk),
                Some(Ok(())) => {
                    let Some(Done::Peers { peers, more }) = self.world.told.remove(&walk.page)
                    else {
                        let why = "a question for peers is answered with something else";
                        return self.world.oracle.fail(why.to_owned());
                    };
                    self.take_page(walk, &peers, more);
                }
                Some(Err(kind)) => self.refused(&walk, kind),
            }
        }
    }

    fn refused(&mut self, walk: &Walk, kind: ErrorKind) {
        let tells = self.world.nodes[walk.router].role.is_some_and(|role| role.tells);
        let refuses = kind == ErrorKind::PredicateNotRoutable;
        if refuses && tells || walk.is_calm && !refuses && !self.tight {
            let why = format!("router {} is asked for its peers: {kind}", walk.router);
            self.world.oracle.fail(why);
        }
    }

    fn take_page(&mut self, mut walk: Walk, peers: &[(NodeId, Options)], more: bool) {
        let (n, _) = walk.life;
        let is_long = peers.len() > walk.limit as usize;
        for (id, options) in peers {
            let ascends = walk.found.last().is_none_or(|last| last < id);
            let means = walk.sought.means(id.as_str(), options, &[]);
            let is_asker = self.world.nodes[n].id == *id;
            if !ascends || !means || is_asker || is_long || options.is_router() {
                let why = format!("router {} names {id} for {:?}", walk.router, walk.sought);
                return self.world.oracle.fail(why);
            }
            walk.found.push(id.clone());
        }
        if more && peers.is_empty() {
            let why = format!("router {} says that there are more, and none", walk.router);
            return self.world.oracle.fail(why);
        }
        if more {
            return self.ask_for_page(walk);
        }
        if walk.is_calm && !self.tight {
            self.check_walk(&walk);
        }
        self.ask_one_of(&walk);
    }

    /// All who match are named, and nobody else.
    fn check_walk(&mut self, walk: &Walk) {
        let (n, _) = walk.life;
        let around = self.graph.neighbours(walk.router);
        let will_do = |m: &usize| *m != n && self.will_do(*m, &walk.sought);
        let expected: BTreeSet<NodeId> =
            around.into_iter().filter(will_do).map(|m| self.world.nodes[m].id.clone()).collect();
        if !walk.found.iter().eq(&expected) {
            let why = format!(
                "router {} names {:?} for {:?}, not {expected:?}",
                walk.router, walk.found, walk.sought
            );
            self.world.oracle.fail(why);
        }
    }

    /// One of those that a router has named is asked by its id, through that router and no other.
    fn ask_one_of(&mut self, walk: &Walk) {
        let (n, _) = walk.life;
        if walk.found.is_empty() {
            return;
        }
        let id = walk.found[self.world.rng.usize(..walk.found.len())].clone();
        let name = self.graph.name_of(walk.router);
        let Some(router) = self.world.nodes[n].published.get(&name).cloned() else { return };
        let sought = Sought::Id(id.as_str().to_owned());
        let first = Step::onward(router.key, Destination::Id(id));
        let route = Some(Box::new(Route { hops_left: 0, ..Route::new(None) }));
        let plan = Plan { route, ..Plan::one(first, None) };
        let within = if walk.is_calm { Duration::from_secs(3) } else { self.moment(3_000) };
        let label = self.post_request(n, plan, &router, &sought, within);
        if let Some(label) = label.filter(|_| walk.is_calm) {
            self.expect(label, sought, true);
        }
    }
}
