//! Choosing in a mesh of 100 and of 10,000 peers: what a call to any costs before it sends, beside a scan of all peers in the same run,
//! and what the loop does when peers change their options. The peers are bytes that an engine is fed.
//!
//! `cargo bench --bench routing --features bench`, with `-- --quick` to see only that it works.

use std::env;
use std::hint::black_box;
use std::time::{Duration, Instant};

use threadmesh::bench::Crowd;
use threadmesh::{
    ConsistentHash, Error, Filter, FirstFind, LeastPending, Options, PathPattern, PowerOfTwo,
    Random, RoundRobin, Selector, SendStrategy, SendToAll, Strategy, filter, options, predicate,
};

/// One measurement: so many choices, timed one by one.
fn median(choices: usize, mut choose: impl FnMut()) -> Duration {
    // The first ones fill caches.
    (0..choices / 10).for_each(|_| choose());
    let mut times: Vec<_> = (0..choices)
        .map(|_| {
            let began = Instant::now();
            choose();
            began.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn micros(time: Duration) -> String {
    format!("{:.2} µs", time.as_secs_f64() * 1e6)
}

/// One in ten is a worker, and which `slot` of ten each has is spread evenly.
fn options_of(number: usize) -> Options {
    let role = if number % 10 == 0 { "worker" } else { "api" };
    options! { "role": role, "slot": number % 10, "region": "eu", "load": number % 100, "version": 2 }
}

struct Row<'a> {
    name: &'a str,
    selector: Selector,
    strategy: &'a dyn Strategy,
}

fn main() -> Result<(), Error> {
    let quick = env::args().any(|argument| argument == "--quick");
    let (choices, rounds) = if quick { (200, 1) } else { (20_000, 3) };
    let workers = || filter! { "role": "worker" };
    let turns = RoundRobin::new();
    let home = ConsistentHash::of("user:123");
    let rows = [
        Row { name: "equality, Random", selector: workers().into(), strategy: &Random },
        Row { name: "equality, RoundRobin", selector: workers().into(), strategy: &turns },
        Row { name: "equality, PowerOfTwo", selector: workers().into(), strategy: &PowerOfTwo },
        Row { name: "everybody, Random", selector: Filter::any().into(), strategy: &Random },
        Row {
            name: "predicate for one in ten",
            selector: predicate(|options| options.get_u64("slot") == Some(3)),
            strategy: &Random,
        },
        Row {
            name: "predicate for nobody",
            selector: predicate(|options| options.get_u64("slot") == Some(10)),
            strategy: &Random,
        },
        Row { name: "equality, LeastPending", selector: workers().into(), strategy: &LeastPending },
        Row { name: "equality, ConsistentHash", selector: workers().into(), strategy: &home },
    ];
    println!("a choice with its alternates, medians of {choices} choices each, {rounds} rounds\n");
    for _ in 0..rounds {
        let mut few = Crowd::new(100, options_of)?;
        let mut many = Crowd::new(10_000, options_of)?;
        few.index("role");
        let indexed = many.index("role");
        let scan = median(choices / 100, || drop(black_box(many.scan(&workers()))));
        println!("{:<28}{:>14}{:>14}{:>10}{:>12}", "", "100 peers", "10,000", "ratio", "scan ÷");
        println!("{:<28}{:>14}{:>14}", "scan of all, equality", "", micros(scan));
        for row in &rows {
            let dear = ["nobody", "Least", "Hash"].iter().any(|word| row.name.contains(word));
            let choices = if dear { choices / 50 } else { choices };
            let at = |crowd: &Crowd| {
                median(choices, || drop(black_box(crowd.choose(&row.selector, row.strategy))))
            };
            let (small, large) = (at(&few), at(&many));
            let ratio = large.as_secs_f64() / small.as_secs_f64();
            let gain = scan.as_secs_f64() / large.as_secs_f64();
            println!(
                "{:<28}{:>14}{:>14}{ratio:>10.2}{gain:>12.0}",
                row.name,
                micros(small),
                micros(large)
            );
        }
        println!("the loop began to keep 10,000 peers by an option in {}, once", micros(indexed));
        updates(&mut many, choices);
        by_path(choices)?;
        println!();
    }
    Ok(())
}

/// What a call by path does before it sends, in a mesh of 1,000 peers with ten services each.
fn by_path(choices: usize) -> Result<(), Error> {
    let services = |number: usize| {
        let own = (0..8).map(|service| format!("/group-{}/service-{service}", number % 100));
        let all = [format!("/peer-{number}/state"), "/health".to_owned()];
        own.chain(all).collect()
    };
    let crowd = Crowd::serving(1_000, options_of, services)?;
    let turns = RoundRobin::new();
    let rows: [(&str, &dyn SendStrategy, &str, usize); 8] = [
        ("FirstFind, all serve it", &FirstFind, "/health", 4),
        ("FirstFind, one in a hundred", &FirstFind, "/group-7/service-3", 4),
        ("FirstFind, one serves it", &FirstFind, "/peer-500/state", 1),
        ("FirstFind, nobody serves it", &FirstFind, "/group-7", 0),
        ("FirstFind, one in 100 and *", &FirstFind, "/group-7/*", 4),
        ("SendToAll, ten", &SendToAll, "/group-7/service-3", 10),
        ("Random, all serve it", &Random, "/health", 4),
        ("RoundRobin, all serve it", &turns, "/health", 4),
    ];
    for (name, strategy, path, targets) in rows {
        let pattern = PathPattern::new(path)?;
        // The first look makes each peer's tree.
        assert_eq!(crowd.targets(strategy, &pattern), targets, "{name}");
        let time = median(choices / 20, || {
            black_box(crowd.targets(strategy, &pattern));
        });
        println!("by path, 1,000 peers: {name:<30}{:>14}", micros(time));
    }
    Ok(())
}

/// What the loop does when one peer after the other tells new options: each update in a turn of its own, the dearest way.
fn updates(crowd: &mut Crowd, count: usize) {
    let mut version = 0;
    // One option is looked for already.
    for keys in [0, 1, 3, 7] {
        for key in (0..keys).map(|key| format!("k{key}")) {
            crowd.index(&key);
            assert!(crowd.is_indexed(&key));
        }
        let mut spent = Duration::ZERO;
        for number in 0..count {
            version += 1;
            let peer = (number * 7_919) % 10_000;
            let changed = (0..7).fold(options_of(peer), |options, key| {
                options.with(format!("k{key}"), (version + key) % 97)
            });
            let role = if version % 2 == 0 { "worker" } else { "other" };
            let changed = changed.with("role", role);
            spent += crowd.update(peer, changed);
        }
        let each = spent / count as u32;
        let share = each.as_secs_f64() * 10_000.0 * 100.0;
        println!(
            "an update that changes {} of the options by which peers are kept: {}; 10,000 a second are {share:.0} % of a core",
            keys + 1,
            micros(each)
        );
    }
}
