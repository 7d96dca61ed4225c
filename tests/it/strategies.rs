//! Who of many gets a call by path: the strategies that come with the crate, with the node itself among those who serve it, and the order
//! of nodes. Targets that are named are in `targets.rs`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use threadmesh::{
    BroadcastGlobal, BroadcastLocal, ConsistentHash, Execution, First, FirstFind, LeastPending,
    LocalFirst, Node, NodeEvent, Outcome, PowerOfTwo, Random, Request, Responder, RoundRobin,
    SendStrategy, SendToAll, SendToAllOnePerNode, Sticky, WeightedRandom, options,
};

use crate::support::paths::{Log, knows, order, sees, serve, serving, shown};
use crate::support::{
    AT_ONCE, SOON, bounded, builder, eventually, expect_event, joined, listening,
};

const LIMIT: Duration = Duration::from_secs(60);

/// `a`, `b` and `c` serve these paths; `a` knows the others, in this order.
fn three(paths: &[&str], log: &Log) -> [Node; 3] {
    let nodes = ["a", "b", "c"].map(|id| serving(id, paths, log));
    knows(&nodes[0], &[&nodes[1], &nodes[2]]);
    nodes
}

/// Who answers so many calls.
fn tally(
    node: &Node,
    path: &str,
    by: impl SendStrategy + 'static,
    calls: usize,
) -> BTreeMap<String, usize> {
    let call = node.call(path).by(by);
    let mut tally = BTreeMap::new();
    for _ in 0..calls {
        let reply = call.request_reply::<String>(&()).unwrap();
        assert!(reply.value.starts_with(reply.handled_by.as_str()));
        *tally.entry(reply.value).or_insert(0) += 1;
    }
    tally
}

#[test]
fn t217_the_first_that_is_found_is_the_node_itself_or_who_joined_first() {
    bounded("t217", LIMIT, || {
        let log = Log::default();
        let [a, b, c] = three(&["/x"], &log);
        assert_eq!(tally(&a, "/x", FirstFind, 20), BTreeMap::from([("a/x".to_owned(), 20)]));
        let d = listening("d");
        knows(&d, &[&c, &a, &b]);
        assert_eq!(tally(&d, "/x", FirstFind, 20), BTreeMap::from([("c/x".to_owned(), 20)]));
        // Also without saying so, and by the next when it has left.
        assert_eq!(d.call("/x").request::<String>(&()).unwrap(), "c/x");
        c.stop().unwrap();
        eventually("c has left", || order(&d) == ["d", "a", "b"]);
        assert_eq!(d.call("/x").request::<String>(&()).unwrap(), "a/x");
    });
}

#[test]
fn t218_of_several_matches_the_first_registered_gets_one_message() {
    bounded("t218", LIMIT, || {
        let log = Log::default();
        let (snd, rcv) = (listening("snd"), serving("rcv", &["/math/z", "/math/a", "/m/x"], &log));
        knows(&snd, &[&rcv]);
        assert_eq!(snd.call("/math/*").request::<String>(&()).unwrap(), "rcv/math/z");
        assert_eq!(snd.call("/*/a").request::<String>(&()).unwrap(), "rcv/math/a");
        let one = snd.call("/math/*").request_all::<String>(&()).unwrap();
        assert_eq!(shown(&one), ["rcv/math/z = rcv/math/z"]);
        snd.flush_all(SOON).unwrap();
        assert_eq!(log.taken(), ["rcv/math/z", "rcv/math/a", "rcv/math/z"]);
    });
}

#[test]
fn t220_all_of_one_match_is_one_entry() {
    bounded("t220", LIMIT, || {
        let log = Log::default();
        let (snd, rcv) = (listening("snd"), serving("rcv", &["/mul"], &log));
        knows(&snd, &[&rcv]);
        let all = snd.call("/mul").by(SendToAll).request_all::<String>(&()).unwrap();
        assert_eq!(shown(&all), ["rcv/mul = rcv/mul"]);
        assert_eq!((all.len(), log.taken().len()), (1, 1));
    });
}

#[test]
fn t221_who_does_not_answer_costs_the_others_nothing_and_ends_with_the_call() {
    bounded("t221", LIMIT, || {
        let log = Log::default();
        let (a, b, c) = (serving("a", &["/x"], &log), listening("b"), serving("c", &["/x"], &log));
        let (keep, kept) = unbounded::<Responder<String>>();
        b.register("/x", move |_: Request<()>| {
            let keep = keep.clone();
            Outcome::<String>::later(move |responder| keep.send(responder).unwrap())
        })
        .unwrap();
        knows(&a, &[&b, &c]);
        let timeout = Duration::from_millis(500);
        let began = Instant::now();
        let all = a.call("/x").by(SendToAll).timeout(timeout).request_all::<String>(&()).unwrap();
        let took = began.elapsed();
        assert_eq!(shown(&all), ["a/x = a/x", "b/x = REQUEST_TIMEOUT", "c/x = c/x"]);
        assert!(took >= timeout && took < timeout + AT_ONCE, "{took:?}");
        let (_, error) = all.errors().next().unwrap();
        assert_eq!((error.peer().unwrap().as_str(), error.execution()), ("b", Execution::Unknown));
        let responder = kept.recv_timeout(SOON).unwrap();
        eventually("it sees that nobody waits", || responder.is_cancelled());
        assert!(!responder.reply("late".to_owned()));
    });
}

#[test]
fn t223_one_a_node_is_its_first_match() {
    bounded("t223", LIMIT, || {
        let log = Log::default();
        let snd = listening("snd");
        let b = serving("b", &["/math/mul", "/math/add", "/math/neg"], &log);
        let c = serving("c", &["/math/neg", "/math/add", "/math/mul"], &log);
        knows(&snd, &[&b, &c]);
        let call = snd.call("/math/*").by(SendToAllOnePerNode);
        let all = call.request_all::<String>(&()).unwrap();
        assert_eq!(shown(&all), ["b/math/mul = b/math/mul", "c/math/neg = c/math/neg"]);
        assert_eq!(log.heard(2), ["b/math/mul", "c/math/neg"]);
    });
}

#[test]
fn t224_broadcasts_go_to_all_or_to_ones_own_host_the_node_itself_included() {
    bounded("t224", LIMIT, || {
        let log = Log::default();
        let hosts = [("l1", "left"), ("l2", "left"), ("r", "right"), ("m", "middle")];
        let nodes = hosts.map(|(id, host)| {
            let node = builder(id).host(host).bind("127.0.0.1:0").start().unwrap();
            serve(&node, &["/x"], &log);
            node
        });
        let [l1, l2, r, m] = &nodes;
        knows(l1, &[l2, r, m]);
        let global = l1.call("/x").by(BroadcastGlobal).request_all::<String>(&()).unwrap();
        let everybody = ["l1/x = l1/x", "l2/x = l2/x", "r/x = r/x", "m/x = m/x"];
        assert_eq!(shown(&global), everybody);
        let local = l1.call("/x").by(BroadcastLocal).request_all::<String>(&()).unwrap();
        assert_eq!(shown(&local), ["l1/x = l1/x", "l2/x = l2/x"]);
        let local = m.call("/x").by(BroadcastLocal).request_all::<String>(&()).unwrap();
        assert_eq!(shown(&local), ["m/x = m/x"]);
        assert_eq!(log.taken().len(), 7);
        // Without a word of theirs they are where their addresses are.
        let (p, q) = (serving("p", &["/x"], &log), serving("q", &["/x"], &log));
        knows(&p, &[&q, r]);
        let local = p.call("/x").by(BroadcastLocal).request_all::<String>(&()).unwrap();
        assert_eq!(shown(&local), ["p/x = p/x", "q/x = q/x"]);
    });
}

#[test]
fn t227_turns_are_taken_in_a_cycle_by_those_who_are_there() {
    bounded("t227", LIMIT, || {
        let log = Log::default();
        let snd = listening("snd");
        let mut others: Vec<Node> =
            ["a", "b", "c"].map(|id| serving(id, &["/x", "/y"], &log)).into();
        knows(&snd, &others.iter().collect::<Vec<_>>());
        for path in ["/x", "/*"] {
            let call = snd.call(path).by(RoundRobin::new());
            let who: Vec<String> = (0..9).map(|_| call.request::<String>(&()).unwrap()).collect();
            let mut once = who[..3].to_vec();
            assert_eq!(who, [&who[..3], &who[..3], &who[..3]].concat(), "a cycle");
            once.sort();
            assert_eq!(once, ["a/x", "b/x", "c/x"], "of everybody");
        }
        let call = snd.call("/x").by(RoundRobin::new());
        call.request::<String>(&()).unwrap();
        others.remove(1).stop().unwrap();
        eventually("b has left", || order(&snd) == ["snd", "a", "c"]);
        let who: Vec<String> = (0..6).map(|_| call.request::<String>(&()).unwrap()).collect();
        assert_eq!(who, [&who[..2], &who[..2], &who[..2]].concat(), "the others alternate");
        assert!(who.contains(&"a/x".to_owned()) && who.contains(&"c/x".to_owned()));
    });
}

#[test]
fn every_strategy_of_choosing_chooses_the_node_itself_as_well() {
    bounded("by strategy", LIMIT, || {
        let log = Log::default();
        let weighing = |id: &str, weight: u32| {
            let options = options! { "weight": weight };
            let host = if id == "a" { "here" } else { "there" };
            let node = builder(id).options(options).host(host).bind("127.0.0.1:0").start().unwrap();
            serve(&node, &["/x"], &log);
            node
        };
        let [a, b, c] = [("a", 1), ("b", 0), ("c", 1)].map(|(id, weight)| weighing(id, weight));
        knows(&a, &[&b, &c]);
        let answers =
            |tally: &BTreeMap<String, usize>| tally.keys().cloned().collect::<Vec<_>>().join(" ");
        let turns = tally(&a, "/x", RoundRobin::new(), 9);
        assert_eq!((answers(&turns).as_str(), turns["a/x"]), ("a/x b/x c/x", 3));
        assert_eq!(answers(&tally(&a, "/x", Random, 200)), "a/x b/x c/x");
        assert_eq!(answers(&tally(&a, "/x", WeightedRandom::by("weight"), 100)), "a/x c/x");
        assert_eq!(answers(&tally(&a, "/x", First, 20)), "a/x");
        assert_eq!(answers(&tally(&a, "/x", LocalFirst, 20)), "a/x");
        let keyed = |key: usize| answers(&tally(&a, "/x", ConsistentHash::of(key), 3));
        let mut owners: Vec<_> = (0..60).map(keyed).collect();
        owners.sort();
        owners.dedup();
        assert_eq!(owners, ["a/x", "b/x", "c/x"], "one a key, and all of them");
        let sticky = Sticky::new();
        for key in 0..20 {
            let first = answers(&tally(&a, "/x", sticky.key(key), 5));
            assert_eq!(first.split(' ').count(), 1, "{first}");
            assert_eq!(sticky.remembered(key).unwrap().as_str(), &first[..1]);
        }
    });
}

#[test]
fn who_has_least_pending_counts_the_calls_of_a_node_to_itself() {
    bounded("least pending", LIMIT, || {
        let log = Log::default();
        let [a, _b, _c] = three(&["/x"], &log);
        let (keep, kept) = unbounded::<Responder<()>>();
        let hold = move |_: Request<()>| {
            let keep = keep.clone();
            Outcome::<()>::later(move |responder| keep.send(responder).unwrap())
        };
        a.register("/hold", hold).unwrap();
        let holding: Vec<_> = (0..3).map(|_| a.call("/hold").start::<()>(&()).unwrap()).collect();
        assert_eq!(a.path_table().own().unwrap().pending(), 3);
        let loaded = tally(&a, "/x", LeastPending, 60);
        assert_eq!(loaded.keys().collect::<Vec<_>>(), ["b/x", "c/x"]);
        assert!(tally(&a, "/x", PowerOfTwo, 60).len() > 1);
        (0..3).for_each(|_| assert!(kept.recv_timeout(SOON).unwrap().reply(())));
        for pending in holding {
            pending.wait().unwrap();
        }
        assert_eq!(a.path_table().own().unwrap().pending(), 0);
        assert_eq!(tally(&a, "/x", LeastPending, 60).len(), 3);
    });
}

#[test]
fn who_comes_late_or_comes_again_is_the_last() {
    bounded("order", LIMIT, || {
        let log = Log::default();
        let [a, b, c] = three(&["/x"], &log);
        assert_eq!(order(&a), ["a", "b", "c"]);
        let d = serving("d", &["/x"], &log);
        knows(&d, &[&a]);
        assert_eq!(order(&a), ["a", "b", "c", "d"]);
        a.disconnect("b").unwrap();
        eventually("b has left", || order(&a) == ["a", "c", "d"]);
        knows(&b, &[&a]);
        assert_eq!(order(&a), ["a", "c", "d", "b"]);
        let all = a.call("/x").by(SendToAll).request_all::<String>(&()).unwrap();
        assert_eq!(shown(&all), ["a/x = a/x", "c/x = c/x", "d/x = d/x", "b/x = b/x"]);
        let call = a.call("/x").except("a");
        assert_eq!(call.request::<String>(&()).unwrap(), "c/x");
        drop(c);
        eventually("c has left", || order(&a) == ["a", "d", "b"]);
        assert_eq!(call.request::<String>(&()).unwrap(), "d/x");
        // What changes of a node does not change its place.
        d.set_options(options! { "new": true }).unwrap();
        serve(&d, &["/late"], &log);
        eventually("the change is known", || sees(&a, "d", "/late"));
        assert_eq!(order(&a), ["a", "d", "b"]);
    });
}

#[test]
fn peers_are_told_when_services_come_and_go() {
    bounded("changes", LIMIT, || {
        let log = Log::default();
        let (a, b) = (listening("a"), listening("b"));
        knows(&a, &[&b]);
        let mut events = a.events();
        let mut change = || {
            let whose = expect_event(&mut events, |event| match event {
                NodeEvent::ServicesChanged { id } => Some(id.clone()),
                _ => None,
            });
            assert_eq!(whose, "b");
        };
        for _ in 0..3 {
            serve(&b, &["/math/add"], &log);
            change();
            assert!(sees(&a, "b", "/math/*"), "what the event tells can be seen");
            assert_eq!(a.call("/math/*").request::<String>(&()).unwrap(), "b/math/add");
            assert_eq!(b.off("math/add").unwrap() + b.off("/math/add").unwrap(), 1);
            change();
            assert!(!sees(&a, "b", "/math/*"));
            let error = a.call("/math/*").request::<String>(&()).unwrap_err();
            assert_eq!(error.context("found"), Some("local"));
        }
    });
}

#[test]
fn a_table_is_a_picture_of_all_nodes_and_their_paths() {
    bounded("picture", LIMIT, || {
        let log = Log::default();
        let a = builder("a").host("here").advertise("10.0.0.1:1").start().unwrap();
        let b = builder("b").host("there").bind("127.0.0.1:0").advertise("b:2").start().unwrap();
        serve(&a, &["/math/mul", "/up", "/math/add"], &log);
        serve(&b, &["/math", "/math/add"], &log);
        knows(&a, &[&b]);
        let c = joined("c", &b);
        drop(c);
        eventually("b knows", || sees(&b, "a", "/up"));
        let own = "a on here at 10.0.0.1:1, this node";
        let of_a = "\n    /\n    ├── math/\n    │   ├── add\n    │   └── mul\n    └── up";
        let of_b = "\n    /\n    └── math\n        └── add";
        let expected = format!("{own}{of_a}\nb on there at b:2, up{of_b}");
        assert_eq!(a.path_table().to_string(), expected);
        eventually("c has left", || order(&b) == ["b", "a"]);
        let expected =
            format!("b on there at b:2, this node{of_b}\na on here at 10.0.0.1:1, down{of_a}");
        assert_eq!(b.path_table().to_string(), expected);
    });
}

#[test]
fn a_node_may_serve_a_thousand_paths() {
    const PATHS: usize = 1_000;
    bounded("thousand", LIMIT, || {
        let (a, b) = (listening("a"), listening("b"));
        for number in 0..PATHS / 2 {
            b.register(format!("/many/n{number}"), move |_: Request<()>| Ok(number)).unwrap();
        }
        knows(&a, &[&b]);
        for number in PATHS / 2..PATHS {
            b.register(format!("/many/n{number}"), move |_: Request<()>| Ok(number)).unwrap();
        }
        a.wait_for_service(&format!("/many/n{}", PATHS - 1), SOON).unwrap();
        let table = a.path_table();
        assert_eq!(table.get("b").unwrap().paths().len(), PATHS);
        for number in [0, 499, 500, 999] {
            let path = format!("/many/n{number}");
            assert_eq!(a.call(path).request::<usize>(&()).unwrap(), number);
        }
        let all = a.call("/many/*").by(SendToAll).request_all::<usize>(&()).unwrap();
        assert_eq!(all.errors().count(), 0);
        assert!(all.into_values().eq(0..PATHS), "in the order of registration");
        assert_eq!(a.call("/many/*").request::<usize>(&()).unwrap(), 0);
    });
}
