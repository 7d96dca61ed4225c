//! Fire and forget by path: who gets how many for each strategy, what is full and what is lost.

use std::time::Duration;

use crossbeam_channel::{Receiver, bounded as channel, unbounded};
use threadmesh::{
    BroadcastGlobal, BroadcastLocal, Bytes, ErrorKind, Execution, FirstFind, Node, NodeEvent,
    Request, RoundRobin, SendStrategy, SendToAll, SendToAllOnePerNode, SendToTarget, blocking,
};

use crate::by_path::dead_address;
use crate::support::paths::{Log, knows, serve};
use crate::support::{AT_ONCE, SOON, bounded, builder, expect_event, listening, took};

const LIMIT: Duration = Duration::from_secs(60);

/// `a` and `b` on one host, `c` on another; `d` serves nothing. `a` knows all of them, in this order.
fn four(log: &Log) -> [Node; 4] {
    let nodes = [("a", "left"), ("b", "left"), ("c", "right"), ("d", "right")].map(|(id, host)| {
        let node = builder(id).host(host).bind("127.0.0.1:0").start().unwrap();
        if id != "d" {
            serve(&node, &["/x", "/math/mul", "/math/add"], log);
        }
        node
    });
    let [a, others @ ..] = &nodes;
    knows(a, &others.each_ref());
    nodes
}

#[test]
fn every_strategy_sends_as_many_as_it_means_and_each_arrives_once() {
    bounded("who gets how many", LIMIT, || {
        let log = Log::default();
        let nodes = four(&log);
        let a = &nodes[0];
        let sent = |path: &str, strategy: Box<dyn FnOnce() -> usize>, heard: &[&str]| {
            let sent = strategy();
            a.flush_all(SOON).unwrap();
            assert_eq!(log.heard(heard.len()), heard, "{path}");
            sent
        };
        let tick = |path: &'static str, strategy: std::sync::Arc<dyn SendStrategy>| {
            let handle = a.handle();
            Box::new(move || {
                let told = handle.call(path).by(strategy).tick(&()).unwrap();
                assert!(told.skipped.is_empty());
                told.sent
            }) as Box<dyn FnOnce() -> usize>
        };
        macro_rules! row {
            ($path:literal, $strategy:expr, $count:literal, $heard:expr) => {
                let one = tick($path, std::sync::Arc::new($strategy));
                assert_eq!(sent($path, one, &$heard), $count, $path);
            };
        }
        row!("/x", FirstFind, 1, ["a/x"]);
        row!("/math/*", FirstFind, 1, ["a/math/mul"]);
        row!("/x", SendToAll, 3, ["a/x", "b/x", "c/x"]);
        let all =
            ["a/math/add", "a/math/mul", "b/math/add", "b/math/mul", "c/math/add", "c/math/mul"];
        row!("/math/*", SendToAll, 6, all);
        row!("/math/*", SendToAllOnePerNode, 3, ["a/math/mul", "b/math/mul", "c/math/mul"]);
        row!("/x", BroadcastLocal, 2, ["a/x", "b/x"]);
        // The one who serves nothing gets it, too, and says nothing.
        row!("/x", BroadcastGlobal, 4, ["a/x", "b/x", "c/x"]);
        row!("/math/*", BroadcastGlobal, 4, []);
        row!("/x", SendToTarget::new("c"), 1, ["c/x"]);
        row!("/x", SendToTarget::new("a"), 1, ["a/x"]);
        row!("/x", SendToTarget::new("d"), 1, []);

        let turns = a.call("/x").by(RoundRobin::new());
        (0..9).for_each(|_| assert_eq!(turns.tick(&()).unwrap().sent, 1));
        let thrice = ["a/x", "a/x", "a/x", "b/x", "b/x", "b/x", "c/x", "c/x", "c/x"];
        a.flush_all(SOON).unwrap();
        assert_eq!(log.heard(9), thrice);
        // Nothing was sent that nobody has asked for.
        a.call("/x").by(SendToAll).request_all::<String>(&()).unwrap();
        assert_eq!(log.taken().len(), 3);
    });
}

#[test]
fn a_tick_carries_its_headers_and_says_that_nobody_waits() {
    bounded("headers", LIMIT, || {
        let (a, b) = (listening("a"), listening("b"));
        let (tell, told) = unbounded();
        for node in [&a, &b] {
            let (tell, id) = (tell.clone(), node.id().to_string());
            let hear = move |request: Request<u32>| {
                let token = request.headers().get_str("token").unwrap_or_default().to_owned();
                let heard = (id.clone(), token, request.sender().to_string(), request.data);
                tell.send((heard, request.wants_answer())).unwrap();
                Ok(())
            };
            node.register("/log", hear).unwrap();
        }
        knows(&a, &[&b]);
        a.call("/log").by(SendToAll).header("token", "t1").tick(&7_u32).unwrap();
        let mut heard: Vec<_> = (0..2).map(|_| told.recv_timeout(SOON).unwrap()).collect();
        heard.sort();
        let expected = |id: &str| ((id.to_owned(), "t1".to_owned(), "a".to_owned(), 7), false);
        assert_eq!(heard, [expected("a"), expected("b")]);
    });
}

#[test]
fn ticks_to_itself_come_in_order_from_each_thread_and_none_is_lost() {
    const THREADS: usize = 8;
    const TICKS: usize = 500;
    bounded("own ticks", LIMIT, || {
        let node = builder("own").start().unwrap();
        let (tell, told) = unbounded();
        node.register("/log", move |request: Request<(usize, usize)>| {
            tell.send(request.data).unwrap();
            Ok(())
        })
        .unwrap();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let node = &node;
                scope.spawn(move || {
                    let call = node.call("/log").wait(SOON);
                    (0..TICKS).for_each(|n| drop(call.tick(&(thread, n)).unwrap()));
                });
            }
        });
        let mut next = [0; THREADS];
        for _ in 0..THREADS * TICKS {
            let (thread, number) = told.recv_timeout(SOON).unwrap();
            assert_eq!(number, next[thread], "in the order in which {thread} sent them");
            next[thread] += 1;
        }
        assert_eq!((next, told.is_empty()), ([TICKS; THREADS], true));
    });
}

/// A handler of ticks to `/held` that does not go on before the gate is dropped.
fn hold(node: &Node, gate: &Receiver<()>) {
    let gate = gate.clone();
    let hold = move |_: Request<Bytes>| {
        let _ = blocking(|| gate.recv_timeout(SOON));
        Ok(())
    };
    node.register("/held", hold).unwrap();
}

#[test]
fn a_full_window_refuses_a_tick_to_one_and_is_skipped_among_many() {
    bounded("full", LIMIT, || {
        let (open, gate) = channel::<()>(0);
        let (a, b, c) = (listening("a"), listening("b"), listening("c"));
        hold(&a, &gate);
        hold(&b, &gate);
        let (tell, told) = unbounded();
        c.register("/held", move |request: Request<Bytes>| {
            tell.send(request.data.len()).unwrap();
            Ok(())
        })
        .unwrap();
        knows(&a, &[&b, &c]);
        let data = Bytes::new(vec![0; 10 * 1_024]);
        for id in ["a", "b"] {
            let call = a.call("/held").by(SendToTarget::new(id));
            let mut accepted = 0;
            let error = loop {
                match call.tick(&data) {
                    Ok(told) => accepted += told.sent,
                    Err(error) => break error,
                }
                assert!(accepted < 100, "the window of {id} has no end");
            };
            assert!(accepted > 0);
            assert_eq!(error.kind(), ErrorKind::Backpressure, "{error}");
            assert_eq!((error.execution(), error.peer().unwrap().as_str()), (Execution::Never, id));
            let error = took(AT_ONCE, || {
                call.clone().wait(Duration::from_millis(50)).tick(&data).unwrap_err()
            });
            assert_eq!(
                (error.kind(), error.execution()),
                (ErrorKind::Backpressure, Execution::Never)
            );
        }
        for strategy in [true, false] {
            let call = a.call("/held");
            let call = if strategy { call.by(SendToAll) } else { call.by(BroadcastGlobal) };
            let sent = call.tick(&data).unwrap();
            assert_eq!(sent.sent, 1);
            let skipped: Vec<_> =
                sent.skipped.iter().map(|(to, why)| (to.to_string(), why.kind())).collect();
            let full = |to: &str| (to.to_owned(), ErrorKind::Backpressure);
            assert_eq!(skipped, [full("a/held"), full("b/held")]);
            assert_eq!(told.recv_timeout(SOON).unwrap(), data.len());
        }
        // The first who has room gets what may go to any of them.
        assert_eq!(a.call("/held").tick(&data).unwrap().sent, 1);
        assert_eq!(told.recv_timeout(SOON).unwrap(), data.len());
        // With room again it goes on.
        drop(open);
        a.flush("b", SOON).unwrap();
        let own = a.call("/held").by(SendToTarget::new("a")).wait(SOON);
        assert_eq!(own.tick(&data).unwrap().sent, 1);
    });
}

#[test]
fn a_tick_to_an_address_dials_it_and_one_that_is_dead_is_skipped_among_many() {
    bounded("addresses", LIMIT, || {
        let log = Log::default();
        let (a, b) = (builder("a").start().unwrap(), listening("b"));
        serve(&b, &["/x"], &log);
        let told = a.call("/x").by(SendToTarget::new(b.local_addr().unwrap())).tick(&()).unwrap();
        assert_eq!(told.sent, 1);
        a.flush("b", SOON).unwrap();
        assert_eq!(log.taken(), ["b/x"]);
        let dead = dead_address();
        let each = threadmesh::send_strategy_fn(move |message, nodes| {
            let at = threadmesh::SendTarget::at(dead, message.pattern());
            let known = nodes.iter().map(|node| node.target(message.pattern()));
            threadmesh::Targets::Each(std::iter::once(at).chain(known).collect())
        });
        let told = took(AT_ONCE, || a.call("/x").by(each).tick(&()).unwrap());
        assert_eq!(told.sent, 2);
        let (to, why) = &told.skipped[0];
        assert_eq!((to.address().is_some(), why.kind()), (true, ErrorKind::ConnectFailed));
        assert_eq!((told.skipped.len(), why.execution()), (1, Execution::Never));
        a.flush("b", SOON).unwrap();
        assert_eq!(log.taken(), ["b/x"]);
    });
}

#[test]
fn what_a_stop_leaves_of_ticks_to_itself_is_told() {
    bounded("undelivered", LIMIT, || {
        let (open, gate) = channel::<()>(0);
        let node = builder("own").stop_bound(Duration::from_millis(100)).start().unwrap();
        hold(&node, &gate);
        let mut events = node.events();
        let data = Bytes::new(vec![0; 1_024]);
        (0..5).for_each(|_| drop(node.call("/held").tick(&data).unwrap()));
        node.stop().unwrap();
        let unconfirmed = expect_event(&mut events, |event| match event {
            NodeEvent::Undelivered { id, unconfirmed, unwritten } if id == "own" => {
                Some(unconfirmed + unwritten)
            }
            _ => None,
        });
        assert_eq!(unconfirmed, 5);
        drop(open);
    });
}
