//! The strategies that go by paths against two loops, one in the other.

use super::*;
use crate::routing::path::reference;

/// Few names, so that paths of different nodes meet.
fn path(rng: &mut fastrand::Rng, names: &[&str]) -> String {
    let depth = 1 + rng.usize(..3);
    (0..depth).flat_map(|_| ["/", names[rng.usize(..names.len())]]).collect()
}

#[test]
fn first_find_and_send_to_all_find_what_two_plain_loops_find() {
    let _bound = crate::bound::bound();
    let mut matched = 0;
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let nodes = rng.usize(..9);
        let served: Vec<Vec<String>> = (0..=nodes)
            .map(|_| (0..rng.usize(..7)).map(|_| path(&mut rng, &["a", "b", "a-b"])).collect())
            .collect();
        let entry = |place: usize| {
            let paths: Vec<&str> = served[place].iter().map(String::as_str).collect();
            match place {
                0 => own(&paths),
                place => peer(place as u64, &format!("n{place}"), &paths),
            }
        };
        let has_own = rng.bool();
        let table = table(has_own.then(|| entry(0)), (1..=nodes).map(entry));
        for _ in 0..8 {
            let pattern = path(&mut rng, &["a", "b", "a-b", "*", "*"]);
            let mut found: Vec<Vec<String>> = Vec::new();
            for (place, paths) in served.iter().enumerate().skip(usize::from(!has_own)) {
                let id = if place == 0 { "self".to_owned() } else { format!("n{place}") };
                let mut here: Vec<String> = Vec::new();
                for path in paths {
                    let line = format!("{id} {path}");
                    if reference::matches(&pattern, path) && !here.contains(&line) {
                        here.push(line);
                    }
                }
                if !here.is_empty() {
                    found.push(here);
                }
            }
            let firsts: Vec<_> = found.iter().map(|here| here[0].clone()).collect();
            let some = &firsts[..firsts.len().min(4)];
            let expected = [
                format!("in order: {}", some.join(", ")),
                format!("each: {}", found.concat().join(", ")),
                format!("each: {}", firsts.join(", ")),
            ];
            let strategies: [&dyn SendStrategy; 3] = [&FirstFind, &SendToAll, &SendToAllOnePerNode];
            for (strategy, expected) in strategies.iter().zip(expected) {
                assert_eq!(shown(*strategy, &pattern, &table), expected, "seed {seed}, {pattern}");
            }
            matched += usize::from(found.len() > 1);
        }
    }
    assert!(matched > 500, "only {matched} patterns meant several nodes");
}
