//! What a call says about routers: by id, by path, with a strategy, a closure or exceptions, from inside a handler, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use threadmesh::{
    ErrorKind, Execution, Hedge, Limits, Node, NodeEvent, Request, RoundRobin, Router, Sticky,
    Target, Tick, filter, options, predicate,
};

use crate::routers::{
    LIMIT, auth, behind, client, counted, heard, hears, nobody, requests, router, router_builder,
    ticks,
};
use crate::support::{
    AT_ONCE, SOON, bounded, builder, eventually, expect_event, joined, let_pass, took,
};

#[test]
fn an_id_behind_a_router_is_reached_if_the_call_says_so() {
    bounded("id via router", LIMIT, || {
        let (router, (tell, told)) = (router("r"), channel());
        let (a, b) = (client(&[&router]), auth(&[&router]));
        hears(&b, "news", &tell);
        let error = a.to("b").request::<String, _>("who", &()).unwrap_err();
        assert_eq!((error.kind(), error.context("routers")), (ErrorKind::NodeNotFound, None));
        let reply = a.to("b").via_router().request_reply::<String, _>("who", &()).unwrap();
        assert_eq!((reply.handled_by.as_str(), reply.via.unwrap().as_str()), ("b", "r"));
        a.to("b").via_router().tick("news", &1).unwrap();
        assert_eq!(heard(&told, 1), ["b"]);
        let call = a.to("nowhere").via_router();
        let error = took(AT_ONCE, || call.request::<String, _>("who", &())).unwrap_err();
        assert_eq!((error.kind(), error.execution()), (ErrorKind::NodeNotFound, Execution::Never));
        assert_eq!(
            (error.peer().unwrap().as_str(), error.context("routers")),
            ("nowhere", Some("r"))
        );
    });
}

#[test]
fn a_path_behind_a_router_is_reached_if_the_call_says_so() {
    bounded("path via router", LIMIT, || {
        let router = router("r");
        let (a, b) = (client(&[&router]), auth(&[&router]));
        b.register("/math/add", |request: Request<(i64, i64)>| Ok(request.data.0 + request.data.1))
            .unwrap();
        router.wait_for_service("/math/add", SOON).unwrap();
        let error = a.call("/math/add").request::<i64>(&(1, 7)).unwrap_err();
        assert_eq!((error.kind(), error.context("found")), (ErrorKind::NotFound, Some("local")));
        for path in ["/math/add", "math//*"] {
            assert_eq!(a.call(path).via_router().request::<i64>(&(1, 7)).unwrap(), 8, "{path}");
        }
        let error = a.call("/math/div").via_router().request::<i64>(&(1, 7)).unwrap_err();
        assert_eq!((error.kind(), error.execution()), (ErrorKind::NotFound, Execution::Never));
        let context = ["found", "path", "routers"].map(|key| error.context(key).unwrap());
        assert_eq!(context, ["remote", "/math/div", "r"]);
    });
}

#[test]
fn a_strategy_of_the_call_chooses_behind_a_router_and_remembers_there() {
    bounded("strategy behind a router", LIMIT, || {
        let router = router("r");
        let a = client(&[&router]);
        let services =
            ["w1", "w2", "w3"].map(|id| behind(id, options! { "role": "worker" }, &[&router]));
        let workers = filter! { "role": "worker" };
        let who = |call: threadmesh::Call<'_>| call.request::<String, _>("who", &()).unwrap();
        let turns = Arc::new(RoundRobin::new());
        let by_turns = || who(a.any(&workers).strategy(Arc::clone(&turns)));
        assert_eq!([by_turns(), by_turns(), by_turns(), by_turns()], ["w1", "w2", "w3", "w1"]);
        let sessions = Sticky::new();
        let sticky = || who(a.any(&workers).strategy(sessions.key(7)));
        let home = sticky();
        for _ in 0..10 {
            assert_eq!(sticky(), home);
        }
        assert_eq!(sessions.remembered(7).unwrap(), home.as_str());
        // When that one is gone, there is another.
        services.iter().find(|node| *node.id() == home.as_str()).unwrap().stop().unwrap();
        eventually("it has left", || router.peer_options(&home).is_none());
        let other = sticky();
        assert_ne!(other, home);
        let third = ["w1", "w2", "w3"].into_iter().find(|id| *id != home && *id != other);
        assert_eq!(who(a.any(&workers).except(&home).except(&other)), third.unwrap());
    });
}

#[test]
fn ticks_for_nobody_behind_routers_are_told_as_undelivered() {
    bounded("undelivered", LIMIT, || {
        let router = router("r");
        let a = client(&[&router]);
        let mut events = a.events();
        a.tick_any(filter! { "service": "none" }, "news", &1).unwrap();
        expect_event(&mut events, |event| {
            matches!(event, NodeEvent::Undelivered { .. }).then_some(())
        });
        counted(&router, ticks, 0, 1);
    });
}

#[test]
fn a_batch_of_ticks_goes_through_one_router() {
    bounded("batch", LIMIT, || {
        let routers = ["r1", "r2"].map(router);
        let all: Vec<&Router> = routers.iter().collect();
        let (a, b) = (client(&all), auth(&all));
        let count = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&count);
        b.on_tick("news", move |_: Tick<u32>| {
            counts.fetch_add(1, SeqCst);
        })
        .unwrap();
        let sent = a.any(filter! { "service": "auth" }).ticks("news", 0..200_u32);
        assert_eq!(sent.all().unwrap(), 200);
        eventually("all have come", || count.load(SeqCst) == 200);
        let totals = [ticks(&routers[0]).total, ticks(&routers[1]).total];
        assert!(totals == [200, 0] || totals == [0, 200], "{totals:?}");
    });
}

#[test]
fn local_only_asks_no_router() {
    bounded("local only", LIMIT, || {
        let router = router("r");
        let (a, _b) = (client(&[&router]), auth(&[&router]));
        let call = a.any(filter! { "service": "auth" }).local_only();
        let error = call.request::<String, _>("who", &()).unwrap_err();
        assert_eq!((error.kind(), error.context("routers")), (ErrorKind::NoNodesMatchFilter, None));
        let up = a.any(filter! { "service": "auth" }).up();
        assert_eq!(up.request::<String, _>("who", &()).unwrap_err().context("routers"), None);
        assert_eq!(up.via_router().request::<String, _>("who", &()).unwrap(), "b");
        assert_eq!(requests(&router).total, 1);
    });
}

#[test]
fn who_waits_for_a_match_asks_a_router_as_soon_as_there_is_one() {
    bounded("wait for a router", LIMIT, || {
        let router = router("r");
        let (a, _b) = (builder("a").start().unwrap(), auth(&[&router]));
        thread::scope(|scope| {
            let call = a.any(filter! { "service": "auth" }).wait_for_match(SOON);
            let asking = scope.spawn(move || call.request::<String, _>("who", &()).unwrap());
            a.connect(router.local_addr().unwrap()).unwrap();
            assert_eq!(took(AT_ONCE, || asking.join().unwrap()), "b");
        });
    });
}

#[test]
fn a_router_that_is_none_is_passed_over() {
    bounded("no router after all", LIMIT, || {
        let liar = builder("liar").options(options! { "router": true }).bind("127.0.0.1:0");
        let liar = liar.start().unwrap();
        let router = router("r");
        let _b = auth(&[&router]);
        let a = joined("a", &liar);
        let services = filter! { "service": "auth" };
        nobody(a.request_any(&services, "who", &()), "liar");
        a.connect(router.local_addr().unwrap()).unwrap();
        for _ in 0..4 {
            assert_eq!(a.request_any::<String, _>(&services, "who", &()).unwrap(), "b");
            let by_closure = services.clone().when(|_| true);
            assert_eq!(a.request_any::<String, _>(by_closure, "who", &()).unwrap(), "b");
        }
    });
}

#[test]
fn a_router_tells_whom_it_knows_in_as_many_pages_as_it_takes() {
    bounded("pages", LIMIT, || {
        let router = router("r");
        let a = client(&[&router]);
        let text = "x".repeat(6 * 1_024);
        let options =
            |number: u64| options! { "service": "big", "number": number, "text": text.as_str() };
        let _services: Vec<Node> = (0..12)
            .map(|number| behind(&format!("b{number:02}"), options(number), &[&router]))
            .collect();
        for number in [0, 5, 11] {
            let that = filter! { "service": "big" }
                .when(move |peer| peer.get_u64("number") == Some(number));
            let who: String = a.request_any(that, "who", &()).unwrap();
            assert_eq!(who, format!("b{number:02}"));
        }
    });
}

#[test]
fn a_handler_chooses_behind_a_router_within_its_own_deadline() {
    bounded("nested", LIMIT, || {
        let router = router("r");
        let (a, _b) = (client(&[&router]), auth(&[&router]));
        let front = behind("front", options! { "service": "front" }, &[&router]);
        let handle = front.handle();
        let ask = move |_: Request<()>| {
            let auth = filter! { "service": "auth" }.when(|_| true);
            Ok(handle.any(auth).request::<String, _>("verify", "nested")?)
        };
        front.on_request("ask", ask).unwrap();
        let fronts = filter! { "service": "front" }.when(|_| true);
        let call = a.any(fronts).timeout(SOON);
        assert_eq!(call.request::<String, _>("ask", &()).unwrap(), "nested is valid");
    });
}

#[test]
fn a_hedged_call_through_a_router_has_one_copy() {
    bounded("hedged", LIMIT, || {
        let router = router("r");
        let (a, b) = (client(&[&router]), auth(&[&router]));
        let count = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&count);
        let slow = move |_: Request<()>| {
            counts.fetch_add(1, SeqCst);
            let_pass(Duration::from_millis(150));
            Ok("slow")
        };
        b.on_request("slow", slow).unwrap();
        let hedge = Hedge::new().after(Duration::from_millis(20));
        let call = a.any(filter! { "service": "auth" }).idempotent().hedge(&hedge);
        assert_eq!(call.request::<String, _>("slow", &()).unwrap(), "slow");
        assert_eq!(count.load(SeqCst), 1);
    });
}

#[test]
fn calls_that_do_not_wait_pass_a_router_without_room_over() {
    bounded("full router", LIMIT, || {
        let mut limits = Limits::default();
        limits.calls_per_link = 1;
        let start = |id| router_builder(id).limits(limits.clone()).start().unwrap();
        let routers = ["r1", "r2"].map(start);
        let all: Vec<&Router> = routers.iter().collect();
        let (a, b) = (client(&all), auth(&all));
        let (go, gate) = crossbeam_channel::bounded::<()>(0);
        b.on_request("hang", move |_: Request<()>| Ok(gate.recv().is_err())).unwrap();
        let call = a.any(filter! { "service": "auth" });
        let hangs = call.try_start::<bool, _>("hang", &()).unwrap();
        for _ in 0..4 {
            assert_eq!(call.try_request::<String, _>("who", &()).unwrap(), "b");
        }
        drop(go);
        assert!(hangs.wait().unwrap().value);
    });
}

#[test]
fn a_router_that_cannot_be_asked_whom_it_knows_is_not_said_to_know_nobody() {
    bounded("no room for a question", LIMIT, || {
        let mut limits = Limits::default();
        limits.calls_per_link = 1;
        let router = router_builder("r").limits(limits).start().unwrap();
        let (a, b) = (client(&[&router]), auth(&[&router]));
        let (go, gate) = crossbeam_channel::bounded::<()>(0);
        b.on_request("hang", move |_: Request<()>| Ok(gate.recv().is_err())).unwrap();
        let hangs = a.any(filter! { "service": "auth" }).start::<bool, _>("hang", &()).unwrap();
        let call = a.any(predicate(|peer| peer.get_str("service") == Some("auth")));
        let error = call.request::<String, _>("who", &()).unwrap_err();
        assert_eq!(
            (error.kind(), error.execution()),
            (ErrorKind::Backpressure, Execution::Never),
            "{error}"
        );
        assert_eq!(error.peer().unwrap().as_str(), "r");
        drop(go);
        assert!(hangs.wait().unwrap().value);
        assert_eq!(call.request::<String, _>("who", &()).unwrap(), "b");
    });
}
