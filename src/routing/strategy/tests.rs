//! Strategies over made-up meshes, in virtual time.

mod sample;
mod virtual_time;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::error::ErrorKind;
use crate::id::{LinkId, PeerKey};
use crate::node_event::{Direction, Directions};
use crate::options;
use crate::options::Options;
use crate::routing::{
    Directory, Filter, Gauge, LinkFace, Pace, PeerEntry, Question, Rank, Services, Share, make_plan,
};

/// A peer with a downstream link, and an upstream one as well if its number is divisible by ten.
fn entry(key: u64, id: &str, options: Options, now: Instant) -> Arc<PeerEntry> {
    let share = Share::new(usize::MAX.into());
    let face = || LinkFace {
        link: LinkId(key),
        remote: "127.0.0.1:1".parse().unwrap(),
        gauge: Arc::new(Gauge::new(usize::MAX, Arc::clone(&share), u32::MAX, u64::MAX)),
    };
    Arc::new(PeerEntry {
        key: PeerKey(key),
        id: NodeId::new(id).unwrap(),
        options,
        services: Services::default(),
        address: None,
        host: if key % 10 == 3 { "here" } else { "there" }.into(),
        up: (key % 10 == 0).then(face),
        down: Some(face()),
        older: Direction::Down,
        is_local: key % 10 == 3,
        pace: Arc::new(Pace::new(now)),
    })
}

/// Peers n0, n1 and so on; every tenth is a worker.
fn crowd(peers: u64) -> Directory {
    let (mut directory, now) = (Directory::default(), Instant::now());
    for key in 0..peers {
        let role = if key % 10 == 0 { "worker" } else { "api" };
        let options = options! { "role": role, "n": key };
        directory.insert(entry(key, &format!("n{key}"), options, now));
    }
    directory
}

/// Who is there at all?
fn everybody<'a>() -> Question<'a> {
    Question {
        id: None,
        filter: None,
        predicate: None,
        directions: Directions::BOTH,
        own: None,
        pattern: None,
        except: &[],
        left_out: &[],
        no_routers: false,
        is_copy: false,
        number: &|| 7,
    }
}

/// Asks something of the candidates.
fn ask<R>(
    directory: &Directory,
    filter: Option<&Filter>,
    predicate: Option<&dyn Fn(&Options) -> bool>,
    seed: u64,
    look: impl FnOnce(&mut Candidates<'_>) -> R,
) -> R {
    let question = Question {
        filter: filter.map(|filter| filter.compiled().unwrap()),
        predicate,
        ..everybody()
    };
    let rng = fastrand::Rng::with_seed(seed);
    look(&mut Candidates::new(directory, &question, rng, Instant::now()))
}

/// Whom a strategy chooses among all.
fn chosen(directory: &Directory, strategy: &dyn Strategy, seed: u64) -> Option<String> {
    ask(directory, None, None, seed, |among| {
        strategy.choose(among).map(|peer| peer.id().to_string())
    })
}

/// How often each is chosen, in so many choices.
fn tally(directory: &Directory, strategy: &dyn Strategy, choices: u64) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for seed in 0..choices {
        *counts.entry(chosen(directory, strategy, seed).unwrap()).or_default() += 1;
    }
    counts
}

#[test]
fn each_of_five_equals_gets_its_share_and_nobody_else_any() {
    let _bound = crate::bound::bound();
    let directory = crowd(50);
    let workers = Filter::any().eq("role", "worker");
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..1_000 {
        let id = ask(&directory, Some(&workers), None, seed, |among| {
            Random.choose(among).unwrap().id().to_string()
        });
        *counts.entry(id).or_default() += 1;
    }
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["n0", "n10", "n20", "n30", "n40"]);
    // Five standard deviations on either side of 200.
    assert!(counts.values().all(|count| (137..=263).contains(count)), "{counts:?}");
}

#[test]
fn first_is_the_one_that_joined_first() {
    let _bound = crate::bound::bound();
    let mut directory = crowd(5);
    assert_eq!(chosen(&directory, &First, 0).unwrap(), "n0");
    directory.remove(PeerKey(0));
    assert_eq!(chosen(&directory, &First, 0).unwrap(), "n1");
    assert_eq!(chosen(&Directory::default(), &First, 0), None);
}

#[test]
fn those_on_this_host_come_first_and_others_if_there_are_none() {
    let _bound = crate::bound::bound();
    let mut directory = crowd(30);
    let counts = tally(&directory, &LocalFirst, 300);
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["n13", "n23", "n3"]);
    for key in [3, 13, 23] {
        directory.remove(PeerKey(key));
    }
    assert_eq!(tally(&directory, &LocalFirst, 1_000).len(), 27);
}

#[test]
fn turns_go_round_in_join_order() {
    let _bound = crate::bound::bound();
    let mut directory = crowd(3);
    let turns = RoundRobin::new();
    let round = |directory: &Directory, count| -> Vec<String> {
        (0..count).map(|seed| chosen(directory, &turns, seed).unwrap()).collect()
    };
    assert_eq!(round(&directory, 7), ["n0", "n1", "n2", "n0", "n1", "n2", "n0"]);
    directory.remove(PeerKey(1));
    assert_eq!(round(&directory, 4), ["n2", "n0", "n2", "n0"]);
}

#[test]
fn turns_are_even_while_others_come_and_go() {
    let _bound = crate::bound::bound();
    for seed in 0..50 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (turns, now) = (RoundRobin::new(), Instant::now());
        let mut directory = crowd(8);
        // The first three stay, the others come and go at random.
        let mut counts = [0_i64; 3];
        let (mut next, mut guests) = (8, vec![3, 4, 5, 6, 7]);
        for step in 0..600 {
            if rng.u8(..4) == 0 {
                directory.insert(entry(next, &format!("n{next}"), Options::default(), now));
                guests.push(next);
                next += 1;
            }
            if rng.u8(..4) == 0 && !guests.is_empty() {
                directory.remove(PeerKey(guests.swap_remove(rng.usize(..guests.len()))));
            }
            let id = chosen(&directory, &turns, step).unwrap();
            if let Some(count) = ["n0", "n1", "n2"].iter().position(|stays| *stays == id) {
                counts[count] += 1;
            }
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 10 && most - least <= 1, "seed {seed}: {counts:?}");
    }
}

#[test]
fn different_questions_take_turns_of_their_own() {
    let _bound = crate::bound::bound();
    let directory = crowd(40);
    let turns = RoundRobin::new();
    let ask_as = |number: u64, low: u64| {
        let high = low + 2;
        let some = move |options: &Options| (low..high).contains(&options.get_u64("n").unwrap());
        let question = Question { predicate: Some(&some), number: &|| number, ..everybody() };
        let rng = fastrand::Rng::with_seed(1);
        let among = Candidates::new(&directory, &question, rng, Instant::now());
        turns.choose(&among).unwrap().id().to_string()
    };
    let seen: Vec<_> = (0..4).flat_map(|_| [ask_as(1, 5), ask_as(2, 30)]).collect();
    assert_eq!(seen, ["n5", "n30", "n6", "n31", "n5", "n30", "n6", "n31"]);
}

#[test]
fn a_caller_whose_turn_others_take_again_and_again_goes_on_all_the_same() {
    let _bound = crate::bound::bound();
    let directory = crowd(40);
    let turns = RoundRobin::new();
    // While this one asks about peers, another one takes a turn: always.
    let slow = |_: &Options| ask(&directory, None, None, 1, |among| turns.choose(among).is_some());
    let asked = std::cell::Cell::new(0);
    let counted = |options: &Options| {
        asked.set(asked.get() + 1);
        slow(options) && options.get_u64("n") == Some(35)
    };
    let id = ask(&directory, None, Some(&counted), 1, |among| {
        turns.choose(among).map(|peer| peer.id().to_string())
    });
    assert_eq!(id.as_deref(), Some("n35"));
    assert!(asked.get() <= 3 * 2 * 40, "asked {} times", asked.get());
}

#[test]
fn a_further_copy_costs_nobody_a_turn_and_moves_no_key() {
    let _bound = crate::bound::bound();
    let directory = crowd(6);
    let (turns, sticky) = (RoundRobin::new(), Sticky::new());
    let home = chosen(&directory, &sticky.key("k"), 1).unwrap();
    chosen(&directory, &turns, 1).unwrap();
    let except = [NodeId::new("n0").unwrap(), NodeId::new(&*home).unwrap()];
    let question = Question { except: &except, is_copy: true, ..everybody() };
    let rng = fastrand::Rng::with_seed(1);
    let among = Candidates::new(&directory, &question, rng, Instant::now());
    assert!(turns.choose(&among).is_some() && sticky.key("k").choose(&among).is_some());
    assert_eq!(sticky.remembered("k").unwrap(), *home);
    assert_eq!(chosen(&directory, &turns, 1).unwrap(), "n1");
}

#[test]
fn an_alternate_costs_nobody_a_turn() {
    let _bound = crate::bound::bound();
    let directory = crowd(6);
    let turns = RoundRobin::new();
    let names = || -> Vec<String> {
        let chosen = ask(&directory, None, None, 1, |among| make_plan(&turns, among));
        chosen.iter().map(|peer| peer.id.to_string()).collect()
    };
    assert_eq!(names(), ["n0", "n1", "n2", "n3"]);
    assert_eq!(names(), ["n1", "n2", "n3", "n4"]);
}

#[test]
fn weights_are_chances() {
    let _bound = crate::bound::bound();
    let (mut directory, now) = (Directory::default(), Instant::now());
    let peers = [
        ("one", options! { "cores": 1 }),
        ("three", options! { "cores": 3.0 }),
        ("none", options! { "cores": 0 }),
        ("below", options! { "cores": -5 }),
        ("text", options! { "cores": "9" }),
        ("unsaid", options! {}),
        ("nan", options! { "cores": f64::NAN }),
    ];
    for (key, (id, options)) in peers.into_iter().enumerate() {
        directory.insert(entry(key as u64, id, options, now));
    }
    let counts = tally(&directory, &WeightedRandom::by("cores"), 5_000);
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["one", "three", "unsaid"]);
    assert!((850..1_150).contains(&counts["one"]), "{counts:?}");
    assert!((2_800..3_200).contains(&counts["three"]), "{counts:?}");
    for key in [0, 1, 5] {
        directory.remove(PeerKey(key));
    }
    assert_eq!(tally(&directory, &WeightedRandom::by("cores"), 200).len(), 4, "all weigh nothing");
}

fn homes(directory: &Directory) -> Vec<String> {
    (0..2_000).map(|key| chosen(directory, &ConsistentHash::of(key), 0).unwrap()).collect()
}

#[test]
fn keys_move_only_to_who_comes_and_from_who_goes() {
    let _bound = crate::bound::bound();
    let mut directory = crowd(20);
    let before = homes(&directory);
    directory.insert(entry(20, "n20", Options::default(), Instant::now()));
    let after = homes(&directory);
    let moved: Vec<_> = before.iter().zip(&after).filter(|(old, new)| old != new).collect();
    assert!(moved.iter().all(|(_, new)| *new == "n20"));
    // A twenty-first of 2,000 is 95.
    assert!((50..150).contains(&moved.len()), "{} keys moved", moved.len());
    directory.remove(PeerKey(7));
    let last = homes(&directory);
    for (old, new) in after.iter().zip(&last) {
        assert!(old == new || old == "n7", "a key of {old} moved to {new}");
    }
    let heirs: std::collections::BTreeSet<_> =
        after.iter().zip(&last).filter(|(old, _)| *old == "n7").map(|(_, new)| new).collect();
    assert!(heirs.len() > 10, "its keys spread over {} others", heirs.len());
}

#[test]
fn a_key_has_the_same_home_everywhere_and_for_ever() {
    let _bound = crate::bound::bound();
    let directory = crowd(20);
    // Other nodes know the peers in another order.
    let mut other = Directory::default();
    for (key, peer) in directory.iter().collect::<Vec<_>>().into_iter().rev().enumerate() {
        other.insert(entry(key as u64, peer.id.as_str(), Options::default(), Instant::now()));
    }
    assert_eq!(homes(&directory), homes(&other));
    let known: Vec<_> = ["a", "user:123", "7"]
        .map(|key| chosen(&directory, &ConsistentHash::of(key), 0).unwrap())
        .into();
    assert_eq!(known, ["n12", "n3", "n18"], "a change here sends every user's keys elsewhere");
    assert_eq!(chosen(&directory, &ConsistentHash::of(7), 0).unwrap(), known[2]);
}

fn loaded(directory: &Directory, id: &str, calls: usize) {
    let peer = directory.get(id).unwrap();
    for _ in 0..calls {
        peer.down.as_ref().unwrap().gauge.take_call(1).unwrap();
    }
}

#[test]
fn the_least_loaded_is_chosen_and_any_of_equals() {
    let _bound = crate::bound::bound();
    let directory = crowd(5);
    for (id, calls) in [("n0", 3), ("n1", 1), ("n2", 2), ("n3", 1), ("n4", 9)] {
        loaded(&directory, id, calls);
    }
    let counts = tally(&directory, &LeastPending, 200);
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["n1", "n3"]);
    assert!(counts.values().all(|count| (65..=135).contains(count)), "{counts:?}");
}

#[test]
fn of_two_the_one_that_is_done_sooner_is_chosen() {
    let _bound = crate::bound::bound();
    let directory = crowd(2);
    let now = Instant::now();
    loaded(&directory, "n0", 3);
    assert_eq!(tally(&directory, &PowerOfTwo, 20)["n1"], 20, "fewer pending");
    directory.get("n1").unwrap().pace.answered(Duration::from_millis(50), now);
    assert_eq!(tally(&directory, &PowerOfTwo, 20)["n1"], 20, "nothing is known of the other yet");
    directory.get("n0").unwrap().pace.answered(Duration::from_millis(1), now);
    assert_eq!(tally(&directory, &PowerOfTwo, 20)["n0"], 20, "four quick ones are done sooner");
    assert_eq!(chosen(&crowd(1), &PowerOfTwo, 0).unwrap(), "n0");
    assert_eq!(chosen(&crowd(0), &PowerOfTwo, 0), None);
}

#[test]
fn a_key_stays_until_its_peer_is_gone_or_lost_a_call() {
    let _bound = crate::bound::bound();
    let mut directory = crowd(20);
    let sticky = Sticky::new();
    let home = chosen(&directory, &sticky.key("ada"), 1).unwrap();
    for seed in 2..30 {
        assert_eq!(chosen(&directory, &sticky.key("ada"), seed).unwrap(), home);
    }
    assert_eq!(sticky.remembered("ada").unwrap(), *home);
    let id = NodeId::new(&*home).unwrap();
    let fails = |kind| {
        let error = Error::new(kind, "");
        sticky.key("ada").observe(&Observation::new(&id, None, Some(&error)));
    };
    fails(ErrorKind::Handler);
    fails(ErrorKind::Busy);
    assert!(sticky.remembered("ada").is_some(), "it has answered");
    for kind in [ErrorKind::ConnectionLost, ErrorKind::NodeNotFound, ErrorKind::RequestTimeout] {
        sticky.key("ada").observe(&Observation::new(&id, None, None));
        fails(kind);
        assert_eq!(sticky.remembered("ada"), None, "{kind}");
    }
    sticky.key("ada").observe(&Observation::new(&id, None, None));
    directory.remove(directory.get(&home).unwrap().key);
    let next = chosen(&directory, &sticky.key("ada"), 1).unwrap();
    assert!(next != home && sticky.remembered("ada").unwrap() == *next);
    sticky.forget("ada");
    assert_eq!(sticky.remembered("ada"), None);
}

#[test]
fn a_key_sticks_to_who_handled_its_first_call_and_comes_back_when_that_one_was_busy() {
    let _bound = crate::bound::bound();
    let directory = crowd(5);
    let sticky = Sticky::new();
    let first = chosen(&directory, &sticky.key("k"), 1).unwrap();
    let handled = |id: &str| {
        let id = NodeId::new(id).unwrap();
        sticky.key("k").observe(&Observation::new(&id, None, None));
    };
    let other = if first == "n4" { "n3" } else { "n4" };
    handled(other);
    assert_eq!(chosen(&directory, &sticky.key("k"), 2).unwrap(), other);
    handled("n1");
    handled("n2");
    assert_eq!(chosen(&directory, &sticky.key("k"), 3).unwrap(), other);
}

#[test]
fn an_error_of_another_peer_does_not_unstick_a_key() {
    let _bound = crate::bound::bound();
    let sticky = Sticky::new();
    let (home, other) = (NodeId::new("home").unwrap(), NodeId::new("other").unwrap());
    sticky.key(1).observe(&Observation::new(&home, None, None));
    let error = Error::new(ErrorKind::ConnectionLost, "");
    sticky.key(1).observe(&Observation::new(&other, None, Some(&error)));
    assert_eq!(sticky.remembered(1).unwrap(), "home");
}

#[test]
fn keys_are_bounded_and_those_used_last_stay() {
    let _bound = crate::bound::bound();
    let directory = crowd(20);
    for capacity in [2, 3, 7, 100] {
        let sticky = Sticky::new().capacity(capacity);
        for key in 0..100 {
            chosen(&directory, &sticky.key(key), key).unwrap();
            let kept = (0..100).filter(|key| sticky.remembered(key).is_some()).count();
            assert!(kept <= capacity, "{kept} of {capacity}");
        }
    }
    let sticky = Sticky::new().capacity(100);
    for key in 0..1_000 {
        chosen(&directory, &sticky.key(key), key).unwrap();
        chosen(&directory, &sticky.key("always"), key).unwrap();
    }
    let kept = (0..1_000).filter(|key| sticky.remembered(key).is_some()).count();
    assert!((40..=100).contains(&kept), "{kept} keys are kept");
    assert!((960..1_000).all(|key| sticky.remembered(key).is_some()));
    assert!(sticky.remembered("always").is_some());
}

#[test]
fn alternates_are_others_and_at_most_three() {
    let _bound = crate::bound::bound();
    let strategies: [&dyn Strategy; 6] =
        [&Random, &First, &LeastPending, &PowerOfTwo, &RoundRobin::new(), &ConsistentHash::of("k")];
    for strategy in strategies {
        for (peers, expected) in [(0, 0), (1, 1), (3, 3), (9, 4), (200, 4)] {
            let directory = crowd(peers);
            for seed in 0..20 {
                let mut chosen =
                    ask(&directory, None, None, seed, |among| make_plan(strategy, among));
                assert_eq!(chosen.len(), expected);
                chosen.sort_by_key(|peer| peer.key);
                chosen.dedup_by_key(|peer| peer.key);
                assert_eq!(chosen.len(), expected, "nobody twice");
            }
        }
    }
}

#[test]
fn a_rank_stays_good_when_its_peer_has_left() {
    let _bound = crate::bound::bound();
    let mut directory = crowd(5);
    let rank: Rank = ask(&directory, None, None, 1, |among| among.get("n2").unwrap().rank());
    directory.remove(PeerKey(2));
    let after =
        |rank| ask(&directory, None, None, 1, |among| among.after(rank).unwrap().id().to_string());
    assert_eq!((after(Some(rank)), after(None)), ("n3".to_owned(), "n0".to_owned()));
}
