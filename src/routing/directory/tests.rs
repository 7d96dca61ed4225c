use std::collections::BTreeMap;

use super::*;
use crate::options;
use crate::routing::{Pace, Services};

fn entry(key: u64, id: &str, version: u64) -> Arc<PeerEntry> {
    Arc::new(PeerEntry {
        key: PeerKey(key),
        id: NodeId::new(id).unwrap(),
        options: options! { "version": version % 9, "odd": version % 2 == 1, "key": key },
        up: None,
        down: None,
        services: Services::default(),
        address: None,
        host: "here".into(),
        older: Direction::Up,
        is_local: true,
        pace: Arc::new(Pace::new(std::time::Instant::now())),
    })
}

fn crowd(peers: u64) -> Directory {
    let mut directory = Directory::default();
    (0..peers).for_each(|key| directory.insert(entry(key, &format!("n{key}"), 0)));
    directory
}

type Model = BTreeMap<u64, Arc<PeerEntry>>;

fn agrees(directory: &Directory, model: &Model) {
    directory.peers.audit();
    directory.equals.iter().for_each(|equal| equal.audit(directory));
    assert_eq!(directory.len(), model.len());
    assert!(directory.iter().zip(model.values()).all(|(a, b)| Arc::ptr_eq(a, b)));
    assert_eq!(directory.iter().count(), model.len());
    for (key, entry) in model {
        assert!(Arc::ptr_eq(directory.get(entry.id.as_str()).unwrap(), entry));
        assert!(Arc::ptr_eq(directory.by_key(PeerKey(*key)).unwrap(), entry));
    }
}

/// One random join, leave or change, made on both.
fn step(rng: &mut fastrand::Rng, directory: &mut Directory, model: &mut Model, next: &mut u64) {
    let join = *next % 900 < 450;
    let present = model.keys().nth(rng.usize(..model.len().max(1))).copied();
    match (rng.u8(..10), present) {
        (0..6, _) if join => {
            let joined = entry(*next, &format!("n{next}"), 0);
            directory.insert(Arc::clone(&joined));
            model.insert(*next, joined);
        }
        (0..8, Some(key)) => {
            directory.remove(PeerKey(key));
            let left = model.remove(&key).unwrap();
            assert!(directory.get(left.id.as_str()).is_none());
        }
        (_, Some(key)) => {
            let changed = entry(key, model[&key].id.as_str(), *next);
            directory.insert(Arc::clone(&changed));
            model.insert(key, changed);
        }
        (_, None) => directory.remove(PeerKey(*next)),
    }
    *next += 1;
}

#[test]
fn any_history_agrees_with_a_sorted_map_and_leaves_clones_alone() {
    for seed in 0..8 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut directory, mut model, mut next) = (Directory::default(), Model::new(), 0);
        let mut snapshots = Vec::new();
        for turn in 0..1_800 {
            step(&mut rng, &mut directory, &mut model, &mut next);
            if turn == 200 {
                directory.index("version");
                directory.index("odd");
            }
            if turn % 60 == 0 {
                agrees(&directory, &model);
                snapshots.push((directory.clone(), model.clone()));
            }
        }
        for (directory, model) in &snapshots {
            agrees(directory, model);
        }
    }
}

#[test]
fn keys_in_any_order_are_listed_in_join_order() {
    let mut keys: Vec<u64> = (0..1_000).collect();
    fastrand::Rng::with_seed(3).shuffle(&mut keys);
    let (mut directory, mut model) = (Directory::default(), Model::new());
    for key in keys {
        let joined = entry(key, &format!("n{key}"), 0);
        directory.insert(Arc::clone(&joined));
        model.insert(key, joined);
    }
    agrees(&directory, &model);
}

#[test]
fn a_change_copies_one_chunk() {
    let before = crowd(1_000);
    let mut after = before.clone();
    after.insert(entry(500, "n500", 1));
    assert_eq!(after.peers.unshared(&before.peers), 1);
    assert!(Arc::ptr_eq(after.get("n1").unwrap(), before.get("n1").unwrap()));
    assert_eq!(before.get("n500").unwrap().options.get_u64("version"), Some(0));
    assert_eq!(after.get("n500").unwrap().options.get_u64("version"), Some(1));
}

#[test]
fn lists_stay_short_when_peers_come_and_when_they_go() {
    let mut directory = crowd(4_096);
    assert_eq!(directory.peers.audit(), 64);
    let (buckets, longest) = directory.ids.shape();
    assert!(buckets == 128 && longest < 100, "{buckets} buckets, the longest has {longest}");
    (0..4_096).filter(|key| key % 64 != 0).for_each(|key| directory.remove(PeerKey(key)));
    assert!(directory.peers.audit() <= 4, "{} chunks", directory.peers.audit());
    (0..4_096).for_each(|key| directory.remove(PeerKey(key)));
    assert_eq!((directory.peers.audit(), directory.ids.shape(), directory.len()), (0, (0, 0), 0));
}

#[test]
fn a_peer_that_takes_the_place_of_another_survives_its_leaving() {
    let mut directory = Directory::default();
    directory.insert(entry(1, "a", 1));
    directory.insert(entry(2, "a", 2));
    directory.remove(PeerKey(1));
    assert_eq!(directory.get("a").unwrap().key, PeerKey(2));
    directory.insert(entry(2, "b", 3));
    assert!(directory.get("a").is_none());
    assert_eq!((directory.get("b").unwrap().key, directory.len()), (PeerKey(2), 1));
}

#[test]
fn any_span_holds_what_lies_between_its_ends_and_nothing_else_is_drawn() {
    let _bound = crate::bound::bound();
    for seed in 0..30 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut chunks = Chunks::default();
        let mut model = std::collections::BTreeSet::new();
        for _ in 0..rng.usize(..1_500) {
            let item = (rng.u64(..4), PeerKey(rng.u64(..1_000)));
            chunks.insert(item);
            model.insert(item);
        }
        for _ in 0..50 {
            let (a, b) = (
                (rng.u64(..5), PeerKey(rng.u64(..1_000))),
                (rng.u64(..5), PeerKey(rng.u64(..1_000))),
            );
            let (low, high) = (a.min(b), a.max(b));
            let span = chunks.span(low, high);
            let expected: Vec<_> = model.range(low..=high).copied().collect();
            assert_eq!(chunks.items(span).copied().collect::<Vec<_>>(), expected);
            assert_eq!(span.is_empty(), expected.is_empty());
            assert!(span.most() >= expected.len() && span.most() <= 4 * expected.len() + 512);
            let drawn: Vec<_> =
                (0..40).filter_map(|_| chunks.draw(span, |below| rng.usize(..below))).collect();
            assert!(drawn.iter().all(|item| expected.contains(item)), "seed {seed}");
            assert!(
                expected.is_empty() || !drawn.is_empty(),
                "seed {seed}: 40 misses of {}",
                expected.len()
            );
        }
        let all: Vec<_> = chunks.items(chunks.whole()).copied().collect();
        assert!(all.iter().eq(model.iter()));
    }
}

#[test]
fn a_change_that_nobody_looks_for_leaves_the_lists_of_values_alone() {
    let _bound = crate::bound::bound();
    let mut directory = crowd(500);
    directory.index("odd");
    let before = directory.clone();
    directory.insert(entry(7, "n7", 2));
    assert_eq!(directory.equals[0].unshared(&before.equals[0]), 0);
    directory.insert(entry(7, "n7", 3));
    assert!((1..=2).contains(&directory.equals[0].unshared(&before.equals[0])));
}

#[test]
fn keys_beyond_the_limit_are_not_kept_and_found_all_the_same() {
    let _bound = crate::bound::bound();
    for (keys, kept) in [(7, 7), (8, 8), (9, 8)] {
        let mut directory = crowd(100);
        (0..keys).for_each(|key| directory.index(&format!("k{key}")));
        assert_eq!(directory.equals.len(), kept);
        directory.index("k0");
        assert_eq!(directory.equals.len(), kept);
    }
}

#[test]
fn unknown_ids_and_keys_find_nothing() {
    for mut directory in [Directory::default(), crowd(70)] {
        let len = directory.len();
        assert!(directory.get("stranger").is_none() && directory.get("").is_none());
        assert!(directory.by_key(PeerKey(999)).is_none());
        directory.remove(PeerKey(999));
        assert_eq!(directory.len(), len);
    }
}
