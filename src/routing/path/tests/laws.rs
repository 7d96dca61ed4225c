use super::*;
use crate::routing::fuzz;

const SEEDS: u64 = 3_000;

/// Few names, so that paths meet; some of them only look alike.
const NAMES: [&str; 8] = ["a", "b", "A", "ab", "a.b", "constructor", "..", "-"];

fn drawn(rng: &mut fastrand::Rng, names: &[&str]) -> String {
    let segments = rng.usize(1..5);
    (0..segments).flat_map(|_| ["/", *rng.choice(names).unwrap()]).collect()
}

fn drawn_path(rng: &mut fastrand::Rng) -> Path {
    let names = &NAMES[..rng.usize(1..=NAMES.len())];
    path(&drawn(rng, names))
}

/// The path with some of its segments as wildcards.
fn blurred(rng: &mut fastrand::Rng, path: &Path) -> PathPattern {
    let segments = path.segments().map(|segment| if rng.bool() { WILDCARD } else { segment });
    pattern(&segments.collect::<Vec<_>>().join("/"))
}

#[test]
fn t190_matches_are_registered_in_order_and_a_wildcard_is_one_segment() {
    let _bound = crate::bound::bound();
    let (mut several, mut none) = (0, 0);
    for seed in 0..SEEDS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut registered = Vec::new();
        let mut tree = PathTree::new();
        for _ in 0..rng.usize(0..30) {
            let path = drawn_path(&mut rng);
            assert_eq!(tree.insert(path.clone()), !registered.contains(&path), "seed {seed}");
            if !registered.contains(&path) {
                registered.push(path);
            }
        }
        for path in &registered {
            assert!(tree.matches(&path.into()).eq([path]), "seed {seed}: {path}");
            let pattern = blurred(&mut rng, path);
            let matches: Vec<&Path> = tree.matches(&pattern).collect();
            assert!(matches.contains(&path), "seed {seed}: {pattern}");
            assert!(matches.iter().all(|found| {
                found.segments().count() == pattern.segments().count()
                    && found.segments().zip(pattern.segments()).all(|(a, b)| a == b || b == "*")
            }));
            several += usize::from(matches.len() > 1);
        }
        for _ in 0..10 {
            let pattern = pattern(&drawn(&mut rng, &["a", "b", "A", "ab", "*"]));
            let naive = registered
                .iter()
                .filter(|path| reference::matches(pattern.as_str(), path.as_str()));
            let matches: Vec<&Path> = tree.matches(&pattern).collect();
            assert!(naive.eq(matches.iter().copied()), "seed {seed}: {pattern} in {tree}");
            none += usize::from(matches.is_empty());
        }
    }
    assert!(several > 1_000 && none > 1_000, "{several} {none}");
}

/// A script of the fuzz target, of paths that meet often.
fn script(rng: &mut fastrand::Rng) -> String {
    let names = &NAMES[..rng.usize(1..=NAMES.len())];
    let mut lines = String::new();
    for _ in 0..rng.usize(1..60) {
        let verb = *rng.choice(&['+', '+', '+', '-', '-', '?', '?', '&']).unwrap();
        let wild = verb == '?' && rng.bool();
        lines.push(verb);
        lines.push_str(&drawn(rng, if wild { &["a", "b", "*", "*"] } else { names }));
        lines.push_str(rng.choice(&["\n", "\n", "\n", "/\n", "//a\n"]).unwrap());
    }
    lines
}

#[test]
fn a_tree_holds_what_a_list_would_hold_whatever_is_done_to_it() {
    let _bound = crate::bound::bound();
    for seed in 0..SEEDS {
        let mut rng = fastrand::Rng::with_seed(seed);
        fuzz::path(script(&mut rng).as_bytes());
    }
}

#[test]
fn any_text_is_judged_as_the_reference_judges_it() {
    let _bound = crate::bound::bound();
    let mut counts = [0; 3];
    for seed in 0..20_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let len = rng.usize(0..9);
        let text: String = (0..len)
            .map(|_| *rng.choice(&['/', '/', 'a', 'Z', '*', '.', '-', 'é', ':']).unwrap())
            .collect();
        fuzz::path(text.as_bytes());
        fuzz::path(format!("+{text}").as_bytes());
        let kind = match (Path::new(&text), PathPattern::new(&text)) {
            (Ok(path), Ok(pattern)) => {
                assert_eq!(PathPattern::from(path), pattern);
                0
            }
            (Err(_), Ok(_)) => 1,
            _ => 2,
        };
        counts[kind] += 1;
    }
    assert!(counts.iter().all(|count| *count > 1_000), "{counts:?}");
}
