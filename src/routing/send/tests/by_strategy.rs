//! Every strategy that chooses a peer, by path: over those that serve it, the node itself among them.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::error::{Error, ErrorKind};
use crate::options;
use crate::routing::{
    ConsistentHash, First, LeastPending, LocalFirst, PowerOfTwo, Random, RoundRobin, Sticky,
    Strategy, WeightedRandom,
};

/// The first choice.
fn first(strategy: &dyn SendStrategy, path: &str, nodes: &PathTable) -> String {
    let targets = targets(strategy, path, nodes);
    targets.as_slice().first().and_then(SendTarget::id).map_or(String::new(), ToString::to_string)
}

fn tally(strategy: &dyn SendStrategy, nodes: &PathTable, calls: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..calls {
        *counts.entry(first(strategy, "/x", nodes)).or_default() += 1;
    }
    counts
}

/// The node itself, if it may be chosen, and as many peers; every third serves something else.
fn crowd(with_own: bool, peers: u64) -> PathTable {
    let peers = (1..=peers).map(|key| {
        let path = if key % 3 == 0 { "/y" } else { "/x" };
        PeerEntry { options: options! { "n": key }, ..peer(key, &format!("n{key}"), &[path, "/z"]) }
    });
    table(with_own.then(|| own(&["/x"])), peers)
}

fn all() -> Vec<Box<dyn SendStrategy>> {
    vec![
        Box::new(Random),
        Box::new(First),
        Box::new(LocalFirst),
        Box::new(LeastPending),
        Box::new(PowerOfTwo),
        Box::new(WeightedRandom::by("n")),
        Box::new(RoundRobin::new()),
        Box::new(ConsistentHash::of("k")),
        Box::new(Sticky::new().key("k")),
    ]
}

#[test]
fn every_strategy_chooses_among_those_that_serve_it_and_has_others_behind() {
    let _bound = crate::bound::bound();
    for strategy in all() {
        let strategy = &*strategy;
        for (with_own, peers, serving) in [
            (false, 0, 0),
            (true, 0, 1),
            (false, 2, 2),
            (true, 3, 3),
            (true, 9, 7),
            (false, 300, 200),
        ] {
            let nodes = crowd(with_own, peers);
            for _ in 0..10 {
                let Targets::InOrder(chosen) = targets(strategy, "/x", &nodes) else {
                    panic!("one of them is chosen")
                };
                assert_eq!(chosen.len(), serving.min(4), "{with_own}, {peers} peers");
                assert!(chosen.iter().all(|target| *target.path() == "/x"));
                let ids: BTreeSet<_> = chosen.iter().map(|target| target.id().unwrap()).collect();
                assert_eq!(ids.len(), chosen.len(), "nobody twice");
                let serves = |id: &NodeId| {
                    let pattern = PathPattern::new("/x").unwrap();
                    nodes.get(id.as_str()).unwrap().first_match(&pattern).is_some()
                };
                assert!(ids.into_iter().all(serves));
            }
            assert_eq!(targets(strategy, "/nothing", &nodes), Targets::nobody());
        }
    }
}

#[test]
fn what_is_sent_is_the_first_match_of_the_one_chosen() {
    let _bound = crate::bound::bound();
    let nodes = table(
        Some(own(&["/b/own", "/a"])),
        [peer(1, "p", &["/a", "/b/z", "/b/a"]), peer(2, "q", &["/c", "/b/q"])],
    );
    let expected = "in order: self /b/own, p /b/z, q /b/q";
    assert_eq!(shown(&First, "/b/*", &nodes), expected);
    assert_eq!(shown(&RoundRobin::new(), "/b/*", &nodes), expected);
}

#[test]
fn the_node_itself_is_drawn_as_often_as_each_other() {
    let _bound = crate::bound::bound();
    // Few, more than are drawn one by one, and more than one chunk.
    for peers in [3, 30, 300] {
        let nodes = crowd(true, peers);
        let serving = 1 + peers as usize * 2 / 3;
        let calls = serving * 60;
        let strategies: [&dyn SendStrategy; 3] = [&Random, &PowerOfTwo, &LeastPending];
        for strategy in strategies {
            let counts = tally(strategy, &nodes, calls);
            assert_eq!(counts.len(), serving, "everybody once at least");
            // Six standard deviations on either side of 60.
            assert!(counts.values().all(|count| (14..=107).contains(count)), "{counts:?}");
        }
    }
}

#[test]
fn without_the_node_itself_it_is_never_chosen() {
    let _bound = crate::bound::bound();
    // It is there, and serves something else.
    let peers = || (1..=30).map(|key| peer(key, &format!("n{key}"), &["/x"]));
    for nodes in [table(Some(own(&["/y"])), peers()), table(None, peers())] {
        for strategy in all() {
            assert!(!tally(&*strategy, &nodes, 100).contains_key("self"));
        }
    }
}

#[test]
fn nine_turns_of_three_nodes_are_three_each_by_a_path_and_by_a_wildcard() {
    let _bound = crate::bound::bound();
    for (path, own_too) in [("/x", true), ("/x", false), ("/*", true), ("/*", false)] {
        let turns = RoundRobin::new();
        let all = ["self", "a", "b", "c"];
        let three = if own_too { &all[..3] } else { &all[1..] };
        let made = |gone: &str| {
            let peers = three.iter().zip(0..).filter(|(id, key)| *key > 0 || **id != "self");
            let peers = peers.filter(|(id, _)| **id != gone);
            let peers = peers.map(|(id, key)| peer(key + 1, id, &["/x"]));
            table((own_too && gone != "self").then(|| own(&["/x"])), peers)
        };
        let round = |nodes: &PathTable, calls: usize| -> Vec<String> {
            (0..calls).map(|_| first(&turns, path, nodes)).collect()
        };
        let nodes = made("");
        assert_eq!(round(&nodes, 9), three.repeat(3));
        // The one whose turn it would be leaves.
        assert_eq!(round(&made(three[0]), 4), [three[1], three[2], three[1], three[2]]);
        assert_eq!(round(&nodes, 3), three, "and comes back, for this test in its old place");
    }
}

#[test]
fn different_paths_take_turns_of_their_own() {
    let _bound = crate::bound::bound();
    let nodes = table(Some(own(&["/x", "/y"])), [peer(1, "a", &["/x", "/y"])]);
    let turns = Arc::new(RoundRobin::new());
    let seen: Vec<_> =
        (0..2).flat_map(|_| ["/x", "/y", "/*"].map(|path| first(&turns, path, &nodes))).collect();
    assert_eq!(seen, ["self", "self", "self", "a", "a", "a"]);
}

#[test]
fn those_here_come_first_and_the_node_itself_is_here() {
    let _bound = crate::bound::bound();
    let near = |key, id: &str| PeerEntry { is_local: true, ..peer(key, id, &["/x"]) };
    let far = |key: u64| peer(key, &format!("n{key}"), &["/x"]);
    let peers = || (1..=20).map(far).chain([near(21, "near")]);
    let counts = tally(&LocalFirst, &table(Some(own(&["/x"])), peers()), 200);
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["near", "self"]);
    assert!(counts.values().all(|count| (58..=142).contains(count)), "{counts:?}");
    let counts = tally(&LocalFirst, &table(Some(own(&["/y"])), peers()), 50);
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["near"]);
    let counts = tally(&LocalFirst, &table(Some(own(&["/y"])), (1..=20).map(far)), 1_000);
    assert_eq!(counts.len(), 20);
}

#[test]
fn weights_hold_for_the_node_itself() {
    let _bound = crate::bound::bound();
    let own = PeerEntry { options: options! { "cores": 3 }, ..own(&["/x"]) };
    let one = PeerEntry { options: options! { "cores": 1 }, ..peer(1, "one", &["/x"]) };
    let none = PeerEntry { options: options! { "cores": 0 }, ..peer(2, "none", &["/x"]) };
    let counts = tally(&WeightedRandom::by("cores"), &table(Some(own), [one, none]), 4_000);
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["one", "self"]);
    assert!((2_850..3_150).contains(&counts["self"]), "{counts:?}");
}

#[test]
fn the_least_loaded_may_be_the_node_itself() {
    let _bound = crate::bound::bound();
    let nodes = table(Some(own(&["/x"])), [peer(1, "a", &["/x"])]);
    let load = |id: &str| {
        let entry = nodes.everybody().find(|entry| entry.id == *id).unwrap();
        entry.face(Directions::BOTH).unwrap().gauge.take_call(1).unwrap();
    };
    load("a");
    for strategy in [&LeastPending as &dyn SendStrategy, &PowerOfTwo] {
        assert_eq!(tally(strategy, &nodes, 20)["self"], 20);
    }
    load("self");
    load("self");
    for strategy in [&LeastPending as &dyn SendStrategy, &PowerOfTwo] {
        assert_eq!(tally(strategy, &nodes, 20)["a"], 20);
    }
}

#[test]
fn keys_have_homes_and_the_node_itself_is_one_of_them() {
    let _bound = crate::bound::bound();
    let (with, without) = (crowd(true, 12), crowd(false, 12));
    let homes = |nodes: &PathTable| -> Vec<String> {
        (0..900).map(|key| first(&ConsistentHash::of(key), "/x", nodes)).collect()
    };
    let (with, without) = (homes(&with), homes(&without));
    let moved: Vec<_> = with.iter().zip(&without).filter(|(a, b)| a != b).collect();
    assert!(moved.iter().all(|(home, _)| *home == "self"), "only its own move");
    // A ninth of 900 is 100.
    assert!((50..150).contains(&moved.len()), "{} keys moved", moved.len());
}

#[test]
fn a_key_sticks_to_the_node_itself_and_hears_how_its_calls_ended() {
    let _bound = crate::bound::bound();
    let sticky = Sticky::new();
    let serving = crowd(true, 30);
    let own = NodeId::new("self").unwrap();
    let by_path: Arc<dyn SendStrategy> = Arc::new(sticky.key("k"));
    SendStrategy::observe(&by_path, &Observation::new(&own, None, None));
    assert_eq!(tally(&by_path, &serving, 20)["self"], 20);
    let error = Error::new(ErrorKind::RequestTimeout, "");
    SendStrategy::observe(&by_path, &Observation::new(&own, None, Some(&error)));
    assert_eq!(sticky.remembered("k"), None);
    SendStrategy::observe(&by_path, &Observation::new(&own, None, None));
    assert_ne!(first(&by_path, "/x", &crowd(false, 30)), "self", "it is there no more");
}

#[test]
fn a_shared_strategy_is_one_whatever_it_is_called() {
    let _bound = crate::bound::bound();
    let nodes = crowd(true, 2);
    let turns = Arc::new(RoundRobin::new());
    let hidden: Arc<dyn Strategy> = Arc::clone(&turns) as Arc<dyn Strategy>;
    let seen =
        [first(&turns, "/x", &nodes), first(&hidden, "/x", &nodes), first(&turns, "/x", &nodes)];
    assert_eq!(seen, ["self", "n1", "n2"]);
}
