//! Any, all and directions: the third section of the scenarios. Each test bears the number of its row.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use threadmesh::{
    Directions, Error, ErrorKind, Execution, Filter, Node, NodeEvent, Options, Request, RoundRobin,
    Sticky, Strategy, Tick, filter, options, predicate, strategy_fn,
};

use crate::support::process::{Process, say};
use crate::support::{
    AT_ONCE, SOON, bounded, builder, eventually, expect_event, joined, let_pass, listening, took,
};

const LIMIT: Duration = Duration::from_secs(30);

/// A node that listens, has options, and answers `who` with its id.
pub(crate) fn serving(id: &str, options: Options) -> Node {
    let node = builder(id).options(options).bind("127.0.0.1:0").start().expect("a free port");
    let name = id.to_owned();
    node.on_request("who", move |_: Request<()>| Ok(name.clone())).unwrap();
    node
}

/// The same, downstream of another.
fn working(id: &str, options: Options, master: &Node) -> Node {
    let node = serving(id, options);
    node.connect(master.local_addr().unwrap()).unwrap();
    node
}

/// Five workers and an api that have dialled a master.
pub(crate) fn workshop() -> (Node, Vec<Node>) {
    let master = listening("m");
    let mut others: Vec<_> = (1..=5)
        .map(|number| working(&format!("w{number}"), options! { "role": "worker" }, &master))
        .collect();
    others.push(working("api", options! { "role": "api" }, &master));
    (master, others)
}

/// Ten clients → x → ten servers. Each tells its id when it gets a tick `news`.
struct Crossroads {
    x: Node,
    others: Vec<Node>,
    heard: Receiver<String>,
}

impl Crossroads {
    fn new() -> Self {
        let (tell, heard) = channel();
        let x = listening("x");
        let mut others = Vec::new();
        for number in 0..10 {
            let client = working(&format!("c{number}"), options! { "kind": "client" }, &x);
            let server = serving(&format!("s{number}"), options! { "kind": "server" });
            x.connect(server.local_addr().unwrap()).unwrap();
            others.extend([client, server]);
        }
        for node in others.iter().chain([&x]) {
            hears(node, &tell);
        }
        Self { x, others, heard }
    }

    /// Who has got ticks, once all that was sent is handled.
    fn heard(&self) -> Vec<String> {
        self.x.flush_all(SOON).unwrap();
        let mut all: Vec<_> = self.heard.try_iter().collect();
        all.sort();
        all
    }
}

/// Tells the id of a node for each tick `news`.
pub(crate) fn hears(node: &Node, tell: &Sender<String>) {
    let (tell, id) = (tell.clone(), node.id().to_string());
    node.on_tick("news", move |_: Tick<()>| tell.send(id.clone()).unwrap()).unwrap();
}

fn names(prefix: &str) -> Vec<String> {
    (0..10).map(|number| format!("{prefix}{number}")).collect()
}

#[test]
fn t050_each_of_five_workers_is_asked_and_the_api_never() {
    bounded("t050", LIMIT, || {
        let (master, _others) = workshop();
        let mut counts = BTreeMap::new();
        for _ in 0..200 {
            let who: String = master.request_any(filter! { "role": "worker" }, "who", &()).unwrap();
            *counts.entry(who).or_insert(0) += 1;
        }
        assert_eq!(counts.keys().collect::<Vec<_>>(), ["w1", "w2", "w3", "w4", "w5"], "{counts:?}");
    });
}

#[test]
fn t052_a_tick_to_any_in_one_direction_reaches_exactly_one_there() {
    bounded("t052", LIMIT, || {
        let mesh = Crossroads::new();
        mesh.x.tick_up_any(Filter::any(), "news", &()).unwrap();
        let up = mesh.heard();
        assert!(up.len() == 1 && up[0].starts_with('s'), "{up:?}");
        mesh.x.tick_down_any(Filter::any(), "news", &()).unwrap();
        let down = mesh.heard();
        assert!(down.len() == 1 && down[0].starts_with('c'), "{down:?}");
        mesh.x.tick_any(Filter::any(), "news", &()).unwrap();
        assert_eq!(mesh.heard().len(), 1);
    });
}

#[test]
fn t053_a_tick_to_all_in_one_direction_reaches_all_there_once_and_nobody_else() {
    bounded("t053", LIMIT, || {
        let mesh = Crossroads::new();
        assert_eq!(mesh.x.tick_up_all(Filter::any(), "news", &()).unwrap().sent, 10);
        assert_eq!(mesh.heard(), names("s"));
        assert_eq!(mesh.x.tick_down_all(Filter::any(), "news", &()).unwrap().sent, 10);
        assert_eq!(mesh.heard(), names("c"));
    });
}

#[test]
fn t055_directions_of_a_call_are_as_the_short_forms() {
    bounded("t055", LIMIT, || {
        let mesh = Crossroads::new();
        for _ in 0..20 {
            let any = || mesh.x.any(Filter::any());
            let up: String = any().directions(Directions::UP).request("who", &()).unwrap();
            let down: String = any().directions(Directions::DOWN).request("who", &()).unwrap();
            assert!(up.starts_with('s') && down.starts_with('c'), "{up} {down}");
            let up: String = mesh.x.request_up_any(Filter::any(), "who", &()).unwrap();
            let down: String = mesh.x.request_down_any(Filter::any(), "who", &()).unwrap();
            assert!(up.starts_with('s') && down.starts_with('c'), "{up} {down}");
        }
    });
}

#[test]
fn t056_a_tick_to_all_reaches_every_peer_once_and_not_oneself() {
    bounded("t056", LIMIT, || {
        let mesh = Crossroads::new();
        assert_eq!(mesh.x.tick_all(Filter::any(), "news", &()).unwrap().sent, 20);
        assert_eq!(mesh.heard(), [names("c"), names("s")].concat());
        assert_eq!(mesh.others.len(), 20);
    });
}

#[test]
fn t058_a_tick_to_any_of_nobody_fails_at_once() {
    bounded("t058", LIMIT, || {
        let (master, _others) = workshop();
        let error = took(AT_ONCE, || {
            master.tick_any(filter! { "role": "nobody" }, "news", &()).unwrap_err()
        });
        assert_eq!(error.code(), "NO_NODES_MATCH_FILTER");
        assert_eq!(error.execution(), Execution::Never);
    });
}

#[test]
fn t059_a_tick_to_all_of_nobody_is_fine() {
    bounded("t059", LIMIT, || {
        let (master, _others) = workshop();
        let told = master.tick_all(filter! { "role": "nobody" }, "news", &()).unwrap();
        assert!(told.sent == 0 && told.skipped.is_empty());
    });
}

/// a → b and b → a.
fn both_ways() -> (Node, Node) {
    let (a, b) = (serving("a", options! {}), serving("b", options! {}));
    a.connect(b.local_addr().unwrap()).unwrap();
    b.connect(a.local_addr().unwrap()).unwrap();
    let both = |node: &Node| node.peers().iter().any(|peer| peer.directions == Directions::BOTH);
    eventually("each sees both links", || both(&a) && both(&b));
    (a, b)
}

#[test]
fn t061_a_peer_reached_both_ways_is_one_peer() {
    bounded("t061", LIMIT, || {
        let (a, b) = both_ways();
        let (tell, heard) = channel();
        hears(&b, &tell);
        assert_eq!(a.tick_all(Filter::any(), "news", &()).unwrap().sent, 1);
        a.flush_all(SOON).unwrap();
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["b"]);
        assert_eq!(a.request_up_any::<String, _>(Filter::any(), "who", &()).unwrap(), "b");
        assert_eq!(a.request_down_any::<String, _>(Filter::any(), "who", &()).unwrap(), "b");
        assert_eq!(a.get_filtered_peers(Filter::any()).unwrap().len(), 1);
    });
}

#[test]
fn t062_a_peer_stays_until_its_last_link_is_gone() {
    bounded("t062", LIMIT, || {
        let (a, b) = both_ways();
        let mut events = a.events();
        a.disconnect(b.local_addr().unwrap()).unwrap();
        eventually("one link is gone", || a.peers()[0].directions == Directions::DOWN);
        assert_eq!(a.request_any::<String, _>(Filter::any(), "who", &()).unwrap(), "b");
        let error = a.request_up_any::<String, _>(Filter::any(), "who", &()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoNodesMatchFilter);
        assert!(
            !std::iter::from_fn(|| events.try_next())
                .any(|event| matches!(event, NodeEvent::PeerLeft { .. }))
        );
        b.disconnect(a.local_addr().unwrap()).unwrap();
        expect_event(&mut events, |event| match event {
            NodeEvent::PeerLeft { id, .. } => Some(id.clone()),
            _ => None,
        });
        let error = a.request_any::<String, _>(Filter::any(), "who", &()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoNodesMatchFilter);
    });
}

/// In a process of its own: dials the parent, says so, and waits to be killed.
pub(crate) fn mortal(argument: &str) {
    let (id, address) = argument.split_once(' ').expect("an id and an address");
    let node = serving(id, options! { "role": "worker" });
    node.connect(address).unwrap();
    say("joined");
    node.wait().unwrap();
}

#[test]
fn t064_a_killed_worker_is_no_candidate_from_the_moment_its_link_is_gone() {
    bounded("t064", LIMIT, || {
        let master = listening("m");
        let mut events = master.events();
        let address = master.local_addr().unwrap().to_string();
        let mut worker = Process::start("mortal", &format!("w1 {address}"));
        assert_eq!(worker.hear().as_deref(), Some("joined"));
        let who = filter! { "role": "worker" };
        assert_eq!(master.request_any::<String, _>(&who, "who", &()).unwrap(), "w1");
        worker.kill();
        let killed = Instant::now();
        expect_event(&mut events, |event| match event {
            NodeEvent::PeerLeft { .. } => Some(()),
            _ => None,
        });
        assert!(killed.elapsed() < AT_ONCE, "noticed after {:?}", killed.elapsed());
        let error =
            took(AT_ONCE, || master.request_any::<String, _>(&who, "who", &()).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::NoNodesMatchFilter);
    });
}

#[test]
fn t065_one_who_cannot_be_told_does_not_stop_the_others() {
    bounded("t065", LIMIT, || {
        let (tell, heard) = channel();
        let master = listening("m");
        let others: Vec<_> = (0..6).map(|number| joined(&format!("w{number}"), &master)).collect();
        for node in &others {
            hears(node, &tell);
        }
        // One is going at this very moment; whether it is still listed or not, the others hear.
        let gone = others[3].id().to_string();
        let mut others: Vec<_> = others.into_iter().collect();
        let leaves = others.remove(3);
        let told = thread::scope(|scope| {
            scope.spawn(move || drop(leaves));
            master.tick_all(Filter::any(), "news", &()).unwrap()
        });
        for node in &others {
            master.flush(node.id(), SOON).unwrap();
        }
        let got: BTreeSet<_> = heard.try_iter().filter(|id| *id != gone).collect();
        assert_eq!(got.len(), 5, "{got:?}");
        assert!(told.sent >= 5, "{told:?}");
    });
}

#[test]
fn t065_who_has_no_room_is_named_and_skipped() {
    bounded("t065 skipped", LIMIT, || {
        let (tell, heard) = channel();
        let master = listening("m");
        let (stuck, fine) = (joined("stuck", &master), joined("fine", &master));
        let (open, gate) = sync_channel::<()>(0);
        let gate = std::sync::Mutex::new(gate);
        stuck
            .on_tick("news", move |_: Tick<Vec<u8>>| {
                let _ = gate.lock().unwrap().recv_timeout(SOON);
            })
            .unwrap();
        fine.on_tick("news", move |_: Tick<Vec<u8>>| tell.send(()).unwrap()).unwrap();
        let data = vec![1_u8; 20_000];
        let mut sent = 0;
        let skipped = loop {
            let told = master.tick_all(Filter::any(), "news", &data).unwrap();
            sent += 1;
            // The window of the one that is quick may be full for a moment, too.
            if told.skipped.iter().any(|(id, _)| id == "stuck") {
                break told.skipped;
            }
        };
        let (_, why) = skipped.iter().find(|(id, _)| id == "stuck").unwrap();
        assert_eq!((why.kind(), why.execution()), (ErrorKind::Backpressure, Execution::Never));
        assert!(sent > 1);
        drop(open);
        master.flush("fine", SOON).unwrap();
        assert!(heard.try_iter().count() > 1);
    });
}

#[test]
fn t067_with_no_direction_at_all_nothing_is_sent() {
    bounded("t067", LIMIT, || {
        let mesh = Crossroads::new();
        let call = mesh.x.any(Filter::any()).directions(Directions::NONE);
        assert_eq!(call.request::<(), _>("who", &()).unwrap_err().code(), "NO_NODES_MATCH_FILTER");
        assert_eq!(call.tick("news", &()).unwrap_err().code(), "NO_NODES_MATCH_FILTER");
        let all = mesh.x.all(Filter::any()).directions(Directions::NONE);
        assert_eq!(all.tick("news", &()).unwrap().sent, 0);
        assert!(mesh.heard().is_empty());
    });
}

#[test]
fn nobody_matching_is_an_event_with_its_context() {
    bounded("no match", LIMIT, || {
        let (master, _others) = workshop();
        let mut events = master.events();
        let selector = filter! { "role": "worker", "region": "mars" }.when(|_| true);
        let error = master.request_up_any::<(), _>(selector, "task:process", &()).unwrap_err();
        let told = expect_event(&mut events, |event| match event {
            NodeEvent::Error(error) => Some(error.clone()),
            _ => None,
        });
        let down = master.request_up_any::<(), _>(filter! { "role": "api" }, "x", &()).unwrap_err();
        assert!(down.message().contains("api does, but not in that direction"), "{down}");
        let nobody = master.request_any::<(), _>(filter! { "role": "x" }, "x", &()).unwrap_err();
        assert!(nobody.message().contains("6 peers are connected; `explain`"), "{nobody}");
        for error in [error, told] {
            assert_eq!(error.code(), "NO_NODES_MATCH_FILTER");
            assert_eq!(error.context("event"), Some("task:process"));
            let filter = error.context("filter").unwrap();
            assert!(filter.contains("mars") && error.message().contains(filter), "{error}");
            assert!(error.context("predicate").unwrap().contains("choosing.rs:"), "{error}");
            assert_eq!(error.context("directions"), Some("up"));
            assert_eq!(error.context("weather"), None);
        }
    });
}

#[test]
fn a_call_to_an_id_may_be_limited_to_a_direction() {
    bounded("direction of an id", LIMIT, || {
        let mesh = Crossroads::new();
        assert_eq!(mesh.x.to("s3").up().request::<String, _>("who", &()).unwrap(), "s3");
        let error = mesh.x.to("s3").down().request::<String, _>("who", &()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NodeNotFound);
        assert!(error.message().contains("direction"), "{error}");
    });
}

#[test]
fn a_call_waits_for_its_first_match_if_it_may() {
    bounded("wait for match", LIMIT, || {
        let master = listening("m");
        let worker = filter! { "role": "worker" };
        let patience = Duration::from_millis(60);
        let began = Instant::now();
        let call = master.any(&worker).wait_for_match(patience);
        assert_eq!(call.tick("news", &()).unwrap_err().kind(), ErrorKind::NoNodesMatchFilter);
        assert!(began.elapsed() >= patience);
        thread::scope(|scope| {
            let any = scope.spawn(|| {
                master.any(&worker).wait_for_match(SOON).request::<String, _>("who", &())
            });
            let by_id = scope
                .spawn(|| master.to("late").wait_for_match(SOON).request::<String, _>("who", &()));
            let late = working("late", options! { "role": "nobody" }, &master);
            assert_eq!(by_id.join().unwrap().unwrap(), "late");
            late.update_options(&options! { "role": "worker" }).unwrap();
            assert_eq!(any.join().unwrap().unwrap(), "late");
        });
        // Never longer than the call itself may take.
        let call = master.any(filter! { "role": "x" }).wait_for_match(SOON).timeout(patience);
        assert!(took(AT_ONCE, || call.request::<(), _>("who", &())).is_err());
    });
}

#[test]
fn a_call_that_tries_does_not_wait_for_a_match() {
    bounded("try for match", LIMIT, || {
        let master = listening("m");
        let call = master.any(filter! { "role": "worker" }).wait_for_match(SOON);
        let refused = took(AT_ONCE, || {
            [
                call.try_start::<(), _>("who", &()).map(drop).unwrap_err(),
                call.try_request::<(), _>("who", &()).unwrap_err(),
                call.try_tick("news", &()).unwrap_err(),
            ]
        });
        for error in refused {
            assert_eq!(error.kind(), ErrorKind::NoNodesMatchFilter);
            assert_eq!(error.execution(), Execution::Never);
        }
    });
}

#[test]
fn a_second_link_ends_the_wait_of_a_call_for_its_direction() {
    bounded("a second direction", LIMIT, || {
        let (a, b) = (serving("a", options! {}), serving("b", options! {}));
        a.connect(b.local_addr().unwrap()).unwrap();
        thread::scope(|scope| {
            let asking = scope
                .spawn(|| a.any("b").down().wait_for_match(SOON).request::<String, _>("who", &()));
            // Long enough to have it wait, nearly always.
            let_pass(Duration::from_millis(100));
            b.connect(a.local_addr().unwrap()).unwrap();
            assert_eq!(took(AT_ONCE, || asking.join().unwrap()).unwrap(), "b");
        });
    });
}

#[test]
fn a_node_that_stops_ends_the_wait_for_a_match() {
    bounded("stop ends the wait", LIMIT, || {
        let master = listening("m");
        let handle = master.handle();
        thread::scope(|scope| {
            let waits = scope.spawn(move || {
                handle.any(filter! { "x": 1 }).wait_for_match(SOON).tick("news", &())
            });
            master.stop().unwrap();
            assert_eq!(waits.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
        });
    });
}

#[test]
fn a_stop_does_not_wait_for_a_handler_that_waits_for_a_match() {
    bounded("stop ends a handler's wait", LIMIT, || {
        let (server, (entered, enters)) = (listening("s"), channel());
        let handle = server.handle();
        let wait = move |_: Request<()>| {
            entered.send(()).unwrap();
            Ok(handle.any(filter! { "x": 1 }).wait_for_match(SOON).request::<(), _>("y", &())?)
        };
        server.on_request("wait", wait).unwrap();
        let client = joined("c", &server);
        let pending = client.start::<(), _>("s", "wait", &()).unwrap();
        enters.recv().unwrap();
        let report = took(AT_ONCE, || server.stop_within(SOON).unwrap());
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(pending.wait().unwrap_err().code(), "CLOSED");
    });
}

/// Chooses as usual, and panics when it hears how the call ended.
struct Deaf;
impl Strategy for Deaf {
    fn choose<'a>(&self, among: &threadmesh::Candidates<'a>) -> Option<threadmesh::Candidate<'a>> {
        among.sample()
    }
    fn observe(&self, _: &threadmesh::Observation<'_>) {
        panic!("what has ended stays ended");
    }
}

// covers P37
#[test]
fn a_strategy_or_predicate_that_panics_fails_its_call_and_nothing_else() {
    bounded("panics", LIMIT, || {
        let (master, _others) = workshop();
        let any = || master.any(Filter::any());
        let call = any().strategy(strategy_fn(|_| panic!("the strategy is wrong")));
        let error = call.request::<String, _>("who", &()).unwrap_err();
        assert_eq!((error.code(), error.execution()), ("USER_CODE_PANICKED", Execution::Never));
        assert!(
            error.message().contains("strategy") && !error.message().contains("wrong"),
            "{error}"
        );
        let wrong = || predicate(|_| panic!("the predicate is wrong"));
        let errors: [Error; 4] = [
            master.request_any::<String, _>(wrong(), "who", &()).unwrap_err(),
            master.tick_all(wrong(), "news", &()).unwrap_err(),
            master.get_filtered_peers(wrong()).unwrap_err(),
            master.wait_for_peer(wrong(), SOON).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::UserCodePanicked);
            assert!(error.message().contains("choosing.rs:"), "{error}");
        }
        assert!(any().request::<String, _>("who", &()).is_ok(), "the node goes on");

        assert!(any().strategy(Deaf).request::<String, _>("who", &()).is_ok());
    });
}

// covers P36, P37
#[test]
fn predicates_and_strategies_run_on_the_callers_thread_and_may_use_the_node() {
    bounded("on the caller's thread", LIMIT, || {
        let (master, _others) = workshop();
        let (handle, again) = (master.handle(), master.handle());
        let here = thread::current().id();
        let nosy = filter! { "role": "worker" }.when(move |_| {
            assert_eq!(thread::current().id(), here);
            let call = handle.to("api").request::<String, _>("who", &());
            call.unwrap() == "api" && handle.peers().len() == 6
        });
        let turns = RoundRobin::new();
        let nosy_too = strategy_fn(move |among| {
            assert_eq!(thread::current().id(), here);
            again.tick_all(Filter::any(), "news", &()).unwrap();
            turns.choose(among)
        });
        let call = master.any(&nosy).strategy(nosy_too);
        let round: Vec<String> = (0..5).map(|_| call.request("who", &()).unwrap()).collect();
        assert_eq!(round, ["w1", "w2", "w3", "w4", "w5"]);
        assert_eq!(master.all(nosy).peers().unwrap().len(), 5);
    });
}

#[test]
fn a_strategy_of_the_node_holds_for_calls_that_name_none() {
    bounded("strategy of the node", LIMIT, || {
        let master = builder("m").strategy(RoundRobin::new()).bind("127.0.0.1:0").start().unwrap();
        let _workers: Vec<_> =
            (0..3).map(|number| working(&format!("w{number}"), options! {}, &master)).collect();
        let round: Vec<String> =
            (0..6).map(|_| master.request_any(Filter::any(), "who", &()).unwrap()).collect();
        assert_eq!(round, ["w0", "w1", "w2", "w0", "w1", "w2"]);
        let last = strategy_fn(|among| among.iter().last());
        let call = master.any(Filter::any()).strategy(last);
        assert_eq!(call.request::<String, _>("who", &()).unwrap(), "w2");
    });
}

#[test]
fn a_strategy_hears_how_its_calls_end_and_a_key_sticks_to_who_handled_it() {
    bounded("observe", LIMIT, || {
        let (master, others) = workshop();
        let sessions = Sticky::new();
        let workers = filter! { "role": "worker" };
        let ask = || {
            let call = master.any(&workers).strategy(sessions.key(123));
            call.request::<String, _>("who", &()).unwrap()
        };
        let home = ask();
        assert!((0..20).all(|_| ask() == home));
        assert_eq!(sessions.remembered(123).unwrap(), *home);
        let (kept, gone): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|node| *node.id() != *home);
        drop(gone);
        eventually("it has left", || master.peer_options(&home).is_none());
        let next = ask();
        assert!(next != home && ask() == next);
        drop(kept);
    });
}

#[test]
fn a_worker_that_stops_while_a_handler_is_at_work_costs_callers_of_any_nothing() {
    bounded("stopping worker", LIMIT, || {
        let (master, mut others) = workshop();
        let stops = others.remove(0);
        let (open, gate) = channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let (tell, entered) = channel();
        stops
            .on_request("slow", move |_: Request<()>| {
                tell.send(()).unwrap();
                let _ = gate.lock().unwrap().recv_timeout(SOON);
                Ok(())
            })
            .unwrap();
        let under_way = master.start::<(), _>(stops.id(), "slow", &()).unwrap();
        entered.recv_timeout(SOON).unwrap();
        thread::scope(|scope| {
            let stopping = scope.spawn(|| stops.stop_within(Duration::from_secs(5)));
            eventually("it takes no more requests", || {
                let refused = master.request::<String, _>(stops.id(), "who", &());
                refused.is_err_and(|error| error.code() == "BUSY")
            });
            for strategy in [true, false] {
                for _ in 0..100 {
                    let any = master.any(filter! { "role": "worker" });
                    let any = if strategy { any.strategy(threadmesh::PowerOfTwo) } else { any };
                    let who: String = any.request("who", &()).unwrap();
                    assert!(who != "w1", "it answers no more");
                }
            }
            assert!(master.peer_options(stops.id()).is_some(), "it was there all the time");
            drop(open);
            stopping.join().unwrap().unwrap();
        });
        assert!(under_way.wait().is_ok());
    });
}

#[test]
fn a_busy_peer_is_passed_over_and_the_request_runs_once() {
    bounded("busy", LIMIT, || {
        let master = listening("m");
        let mut limits = threadmesh::Limits::default();
        limits.workers_min = 1;
        limits.workers_max = 1;
        limits.worker_queue_jobs = 1;
        let busy = builder("busy").limits(limits).bind("127.0.0.1:0").start().unwrap();
        let (open, gate) = channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        busy.on_request("work", move |_: Request<()>| {
            counted.fetch_add(1, Relaxed);
            let _ = gate.lock().unwrap().recv_timeout(SOON);
            Ok("busy")
        })
        .unwrap();
        let idle = listening("idle");
        idle.on_request("work", |_: Request<()>| Ok("idle")).unwrap();
        master.connect(busy.local_addr().unwrap()).unwrap();
        master.connect(idle.local_addr().unwrap()).unwrap();
        // One runs, one waits for the only worker.
        let under_way: Vec<_> =
            (0..2).map(|_| master.start::<String, _>("busy", "work", &()).unwrap()).collect();
        eventually("the worker is taken", || runs.load(Relaxed) == 1);
        let busy_first = || strategy_fn(|among| among.iter().next());
        eventually("a request beyond the queue goes elsewhere", || {
            let call = master.any(Filter::any()).strategy(busy_first());
            call.timeout(AT_ONCE).request::<String, _>("work", &()).is_ok_and(|who| who == "idle")
        });
        drop(open);
        for pending in under_way {
            drop(pending.wait());
        }
    });
}

#[test]
fn why_somebody_does_not_match_is_explained() {
    bounded("explain", LIMIT, || {
        let (master, _others) = workshop();
        let explained = master.explain(filter! { "role": "api" }).unwrap();
        assert_eq!(explained.len(), 6);
        let of = |id: &str| explained.iter().find(|of| of.peer == id).unwrap();
        assert_eq!(of("api").failed, None);
        let why = of("w1").failed.as_deref().unwrap();
        assert!(why.contains("role") && why.contains("worker"), "{why}");
        assert_eq!(of("api").to_string(), "api: matches");
        let says_no = master.explain(filter! { "role": "api" }.when(|_| false)).unwrap();
        let api = says_no.iter().find(|of| of.peer == "api").unwrap();
        assert!(api.failed.as_ref().unwrap().contains("choosing.rs"), "{api}");
        assert_eq!(
            master.explain(filter! { "n": { "$x": 1 } }).unwrap_err().code(),
            "INVALID_FILTER"
        );
    });
}
