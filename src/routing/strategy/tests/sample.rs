//! What candidates give: everybody who matches, nobody else, each with the same chance, however they are found.

use super::*;

/// Whether so many hits of so many tries are likely when each has one chance in `one_in`: within six standard deviations.
fn is_fair(hits: f64, tries: f64, one_in: f64) -> bool {
    let expected = tries / one_in;
    (hits - expected).abs() <= 6.0 * (expected * (1.0 - 1.0 / one_in)).sqrt() + 1.0
}

fn fair(directory: &Directory, filter: Option<&Filter>, matches: usize, what: &str) {
    let tries = matches * 60;
    let mut counts: BTreeMap<PeerKey, usize> = BTreeMap::new();
    for seed in 0..tries {
        ask(directory, filter, None, seed as u64, |among| {
            let peer = among.sample().expect(what);
            *counts.entry(peer.peer.key).or_default() += 1;
        });
    }
    assert_eq!(counts.len(), matches, "{what}");
    for (key, hits) in counts {
        assert!(
            is_fair(hits as f64, tries as f64, matches as f64),
            "{what}: {key:?} has {hits} of {tries}"
        );
    }
}

#[test]
fn every_match_is_drawn_with_the_same_chance_with_an_index_and_without() {
    let _bound = crate::bound::bound();
    let workers = Filter::any().eq("role", "worker");
    for peers in [20, 100, 700, 3_000] {
        let mut directory = crowd(peers);
        // Holes of different sizes, so that chunks are filled unevenly.
        (0..peers).filter(|key| key % 7 == 1 || (key / 64 % 3 == 1 && key % 2 == 1)).for_each(
            |key| {
                directory.remove(PeerKey(key));
            },
        );
        let matches = directory.iter().filter(|peer| peer.key.0 % 10 == 0).count();
        fair(&directory, Some(&workers), matches, "without an index");
        directory.index("role");
        fair(&directory, Some(&workers), matches, "with an index");
    }
    fair(&crowd(300), None, 300, "everybody");
}

#[test]
fn one_match_in_thousands_is_found_and_so_is_none() {
    let _bound = crate::bound::bound();
    let mut directory = crowd(3_000);
    for indexed in [false, true] {
        for wanted in [0, 1, 1_499, 2_999] {
            let one = Filter::any().eq("n", wanted);
            let names = ask(&directory, Some(&one), None, 3, |among| {
                let all: Vec<_> = among.iter().map(|peer| peer.id().to_string()).collect();
                let after = among.after(None).map(|peer| peer.id().to_string());
                (among.sample().map(|peer| peer.id().to_string()), after, all)
            });
            let id = format!("n{wanted}");
            assert_eq!(names, (Some(id.clone()), Some(id.clone()), vec![id]), "indexed: {indexed}");
        }
        for nobody in
            [Filter::any().eq("n", 3_000), Filter::any().eq("x", 1), Filter::any().eq("n", "1")]
        {
            ask(&directory, Some(&nobody), None, 3, |among| {
                assert!(among.sample().is_none() && among.after(None).is_none());
                assert_eq!(among.iter().count(), 0);
            });
        }
        directory.index("n");
    }
    let asked = std::cell::Cell::new(0);
    let never = |_: &Options| {
        asked.set(asked.get() + 1);
        false
    };
    assert!(ask(&directory, None, Some(&never), 1, |among| among.sample().is_none()));
    assert!(
        (3_000..3_100).contains(&asked.get()),
        "everybody was asked, few twice: {}",
        asked.get()
    );
}

#[test]
fn an_id_in_a_filter_is_found_at_once() {
    let _bound = crate::bound::bound();
    let mut directory = crowd(0);
    for key in 0..500 {
        let id = format!("n{key}");
        let options = options! { "_id": id.clone() };
        directory.insert(entry(key, &id, options, Instant::now()));
    }
    let one = Filter::any().eq("_id", "n7");
    ask(&directory, Some(&one), None, 1, |among| {
        assert_eq!(among.scope_most(), 1);
        assert_eq!(among.sample().unwrap().id(), &"n7");
    });
    let nobody = Filter::any().eq("_id", 7);
    assert!(ask(&directory, Some(&nobody), None, 1, |among| among.sample().is_none()));
}

#[test]
fn the_rarest_of_several_values_is_looked_through() {
    let _bound = crate::bound::bound();
    let mut directory = crowd(2_000);
    directory.index("role");
    directory.index("n");
    let both = Filter::any().eq("role", "api").eq("n", 1_001);
    ask(&directory, Some(&both), None, 1, |among| {
        assert_eq!(among.scope_most(), 1);
        assert_eq!(among.sample().unwrap().id(), &"n1001");
    });
    let none = Filter::any().eq("role", "worker").eq("n", 1_001);
    assert!(ask(&directory, Some(&none), None, 1, |among| among.sample().is_none()));
}

#[test]
fn nobody_is_drawn_who_is_excepted_or_in_no_allowed_direction() {
    let _bound = crate::bound::bound();
    let directory = crowd(40);
    let except = [NodeId::new("n0").unwrap(), NodeId::new("n20").unwrap()];
    for (directions, expected) in
        [(Directions::UP, 2), (Directions::DOWN, 38), (Directions::BOTH, 38), (Directions::NONE, 0)]
    {
        let question = Question { directions, except: &except, ..everybody() };
        let rng = fastrand::Rng::with_seed(1);
        let among = Candidates::new(&directory, &question, rng, Instant::now());
        assert_eq!(among.iter().count(), expected, "{directions}");
        assert_eq!(among.sample().is_some(), expected > 0, "{directions}");
        assert!(among.get("n0").is_none());
        assert_eq!(among.get("n10").is_some(), expected > 0);
    }
}

#[test]
fn a_router_is_passed_over_only_when_anybody_is_meant() {
    let _bound = crate::bound::bound();
    let mut directory = crowd(3);
    directory.insert(entry(9, "r", options! { "router": true }, Instant::now()));
    for (no_routers, expected) in [(true, 3), (false, 4)] {
        let question = Question { no_routers, ..everybody() };
        let rng = fastrand::Rng::with_seed(1);
        let among = Candidates::new(&directory, &question, rng, Instant::now());
        assert_eq!(among.iter().count(), expected);
    }
}
