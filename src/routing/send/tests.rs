//! Send strategies over made-up nodes.

mod addressed;
mod builtin;
mod by_strategy;
mod naive;
mod own;
mod show;
mod table;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::headers::Headers;
use crate::id::{LinkId, NodeId, PeerKey};
use crate::node_event::{Direction, Directions};
use crate::options::Options;
use crate::payload::{Encode, Payload};
use crate::routing::{Directory, Gauge, LinkFace, Pace, PathPattern, PeerEntry, Services, Share};

fn face(link: u64, remote: &str) -> LinkFace {
    let share = Share::new(usize::MAX.into());
    LinkFace {
        link: LinkId(link),
        remote: remote.parse().unwrap(),
        gauge: Arc::new(Gauge::new(usize::MAX, share, u32::MAX, u64::MAX)),
    }
}

/// A peer on a host of its own that dialled this node, and listens.
fn peer(key: u64, id: &str, paths: &[&str]) -> PeerEntry {
    let names = paths.iter().map(|&path| path.to_owned()).collect();
    let ip = Ipv4Addr::from(0x0a00_0000 + key as u32);
    PeerEntry {
        key: PeerKey(key),
        id: NodeId::new(id).unwrap(),
        options: Options::default(),
        services: Services::new(names),
        address: Some(format!("{ip}:4000").parse().unwrap()),
        host: ip.to_string().into(),
        up: None,
        down: Some(face(key, &format!("{ip}:50000"))),
        older: Direction::Down,
        is_local: false,
        pace: Arc::new(Pace::new(Instant::now())),
    }
}

/// The node itself, as the room above makes it.
fn own(paths: &[&str]) -> PeerEntry {
    PeerEntry {
        address: Some("10.0.0.99:4000".parse().unwrap()),
        host: "here".into(),
        up: Some(face(LinkId::OWN.0, "0.0.0.0:0")),
        down: None,
        older: Direction::Up,
        is_local: true,
        ..peer(PeerKey::OWN.0, "self", paths)
    }
}

fn directory(peers: impl IntoIterator<Item = PeerEntry>) -> Directory {
    let mut directory = Directory::default();
    for peer in peers {
        directory.insert(Arc::new(peer));
    }
    directory
}

fn table(own: Option<PeerEntry>, peers: impl IntoIterator<Item = PeerEntry>) -> PathTable {
    seeded(own, peers, 1)
}

fn seeded(
    own: Option<PeerEntry>,
    peers: impl IntoIterator<Item = PeerEntry>,
    seed: u64,
) -> PathTable {
    let (directions, except) = (Directions::BOTH, Arc::default());
    let own = own.map(Arc::new);
    PathTable::new(own, directory(peers), directions, except, Instant::now(), seed)
}

fn targets_with(
    strategy: &dyn SendStrategy,
    path: &str,
    data: &Payload,
    nodes: &PathTable,
) -> Targets {
    let pattern = PathPattern::new(path).unwrap();
    let message = Outgoing {
        path,
        pattern: &pattern,
        payload: data,
        headers: &Headers::new(),
        timeout: Some(Duration::from_secs(1)),
        wants_answer: true,
    };
    strategy.targets(&message, nodes)
}

fn targets(strategy: &dyn SendStrategy, path: &str, nodes: &PathTable) -> Targets {
    targets_with(strategy, path, &Payload::null(), nodes)
}

/// `each: a /x, b /y`
fn show(targets: &Targets) -> String {
    let kind = match targets {
        Targets::One(_) => "one",
        Targets::InOrder(_) => "in order",
        Targets::Each(_) => "each",
    };
    let target = |target: &SendTarget| match target.to() {
        Recipient::Node(id) => format!("{id} {}", target.path()),
        Recipient::Address(address) => format!("@{address} {}", target.path()),
    };
    format!("{kind}: {}", targets.as_slice().iter().map(target).collect::<Vec<_>>().join(", "))
}

/// What the strategy answers to a call of this path, as text.
fn shown(strategy: &dyn SendStrategy, path: &str, nodes: &PathTable) -> String {
    show(&targets(strategy, path, nodes))
}

#[test]
fn a_closure_sees_the_message_and_decides() {
    let _bound = crate::bound::bound();
    let seen = send_strategy_fn(|message, nodes| {
        assert_eq!(message.path(), "math//add/");
        assert_eq!(*message.pattern(), "/math/add");
        assert_eq!(message.timeout(), Some(Duration::from_secs(1)));
        assert!(message.wants_answer() && message.headers().is_empty());
        assert!(message.data::<String>().is_err(), "it is a number");
        let place = message.data::<usize>().unwrap();
        nodes.iter().nth(place).map(|node| node.target(message.pattern())).into()
    });
    let nodes = table(Some(own(&[])), [peer(1, "a", &[]), peer(2, "b", &[])]);
    let at =
        |place: usize| show(&targets_with(&seen, "math//add/", &place.encode().unwrap(), &nodes));
    assert_eq!(at(0), "one: self /math/add");
    assert_eq!(at(2), "one: b /math/add");
    assert_eq!(at(3), "in order: ", "nobody");
}

#[test]
fn a_message_shows_no_data() {
    let _bound = crate::bound::bound();
    let shown = send_strategy_fn(|message, _| {
        let text = format!("{message:?}");
        assert!(text.contains("/x") && !text.contains("secret"), "{text}");
        Targets::nobody()
    });
    targets_with(&shown, "/x", &"secret".encode().unwrap(), &table(None, []));
}

/// Asks another one and leaves one node out; counts what it hears.
struct Without<S>(S, &'static str);

impl<S: SendStrategy> SendStrategy for Without<S> {
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
        let kept = |target: &SendTarget| target.id().is_none_or(|id| *id != *self.1);
        self.0.targets(message, nodes).filter(kept)
    }

    fn observe(&self, observation: &Observation<'_>) {
        self.0.observe(observation);
    }

    fn check_default(&self) -> Result<(), Error> {
        self.0.check_default()
    }
}

#[test]
fn one_strategy_wraps_another_by_owning_it() {
    let _bound = crate::bound::bound();
    let peers = ["a", "b", "c"].into_iter().zip(1..).map(|(id, key)| peer(key, id, &["/x"]));
    let nodes = table(None, peers);
    assert_eq!(shown(&Without(FirstFind, "b"), "/x", &nodes), "in order: a /x, c /x");
    assert_eq!(shown(&Without(SendToAll, "b"), "/x", &nodes), "each: a /x, c /x");
    assert_eq!(shown(&Without(Without(SendToAll, "a"), "c"), "/x", &nodes), "each: b /x");
    let only = |id: &str| SendToTarget::new(id);
    assert_eq!(shown(&Without(only("b"), "b"), "/x", &nodes), "in order: ");
    assert_eq!(shown(&Without(only("c"), "b"), "/x", &nodes), "one: c /x");
    assert!(Without(SendToAll, "b").check_default().is_ok());
    assert!(Without(only("b"), "b").check_default().is_err());
}

#[test]
fn none_of_each_is_still_each_and_nobody_is_not() {
    let _bound = crate::bound::bound();
    let nodes = table(None, [peer(1, "a", &["/x"])]);
    assert_eq!(targets(&SendToAll, "/y", &nodes), Targets::Each(Vec::new()));
    assert_eq!(targets(&Without(SendToAll, "a"), "/x", &nodes), Targets::Each(Vec::new()));
    assert_eq!(targets(&FirstFind, "/y", &nodes), Targets::nobody());
    assert_eq!(Targets::from(None), Targets::nobody());
    assert!(Targets::nobody().as_slice().is_empty());
}

#[test]
fn calls_share_a_strategy_and_what_it_remembers() {
    let _bound = crate::bound::bound();
    let nodes = table(None, [peer(1, "a", &["/x"]), peer(2, "b", &["/x"])]);
    let turns: Arc<dyn SendStrategy> = Arc::new(Without(crate::routing::RoundRobin::new(), "z"));
    let (one, other) = (Arc::clone(&turns), turns);
    assert_eq!(shown(&one, "/x", &nodes), "in order: a /x, b /x");
    assert_eq!(shown(&other, "/x", &nodes), "in order: b /x, a /x");
    assert!(one.check_default().is_ok());
    let home: Arc<dyn SendStrategy> = Arc::new(SendToTarget::new("a"));
    assert!(SendStrategy::check_default(&home).is_err());
}

#[test]
fn tables_and_targets_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    let _bound = crate::bound::bound();
    crosses::<PathTable>();
    crosses::<KnownNode<'_>>();
    crosses::<Outgoing<'_>>();
    crosses::<Targets>();
    crosses::<Arc<dyn SendStrategy>>();
}
