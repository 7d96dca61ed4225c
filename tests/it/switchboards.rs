//! Many routers, linked in every way: who is found over several of them, that nobody is found quickly, and that much passes at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use threadmesh::{
    Bytes, ErrorKind, Execution, Node, Request, Router, RoutingStats, filter, options,
};

use crate::routers::{
    LIMIT, auth, behind, client, counted, heard, hears, link, nobody, requests, router, ticks,
};
use crate::support::{AT_ONCE, SOON, bounded, builder, eventually, took};

/// So many routers, each linked with those that `linked` says, as the older or the younger of the two.
fn switchboards(count: usize, linked: impl Fn(usize, usize) -> bool) -> Vec<Router> {
    let all: Vec<Router> = (0..count).map(|number| router(&format!("r{number}"))).collect();
    for (one, other) in (0..count).flat_map(|one| (one + 1..count).map(move |other| (one, other))) {
        if linked(one, other) {
            link(&all[one], &all[other]);
        }
    }
    all
}

/// What all routers together have been asked to forward.
fn asked(routers: &[Router]) -> u64 {
    routers.iter().map(|router| requests(router).total).sum()
}

#[test]
fn t172_statistics_add_up_and_begin_anew_when_they_are_reset() {
    bounded("t172", LIMIT, || {
        let router = router("r");
        let (a, _b) = (client(&[&router]), auth(&[&router]));
        for _ in 0..10 {
            a.request_any::<String, _>(filter! { "service": "auth" }, "verify", "x").unwrap();
        }
        nobody(a.request_any(filter! { "service": "mars" }, "dig", &()), "r");
        counted(&router, requests, 10, 1);
        let RoutingStats { uptime, average_response_time, requests_per_second, by_event, .. } =
            router.routing_stats().unwrap();
        assert!(average_response_time.unwrap() > Duration::ZERO);
        assert!(average_response_time.unwrap() < uptime && requests_per_second > 0.0);
        assert_eq!(by_event["verify"].proxy_requests.successful, 10);
        assert_eq!(by_event["dig"].proxy_requests.failed, 1);
        router.reset_routing_stats().unwrap();
        let anew = router.routing_stats().unwrap();
        assert_eq!((anew.proxy_requests.total, anew.average_response_time), (0, None));
        assert!(anew.uptime < uptime && anew.by_event.is_empty());
    });
}

#[test]
fn t173_a_node_that_is_no_router_forwards_nothing() {
    bounded("t173", LIMIT, || {
        let liar = builder("liar").options(options! { "router": true }).bind("127.0.0.1:0");
        let (liar, ran) = (liar.start().unwrap(), Arc::new(AtomicU64::new(0)));
        let (a, b) = (builder("a").start().unwrap(), builder("b").start().unwrap());
        let runs = Arc::clone(&ran);
        for node in [&liar, &b] {
            let runs = Arc::clone(&runs);
            node.on_request("who", move |_: Request<()>| Ok(runs.fetch_add(1, SeqCst))).unwrap();
        }
        for node in [&a, &b] {
            node.connect(liar.local_addr().unwrap()).unwrap();
            liar.wait_for_peer(node.id(), SOON).unwrap();
        }
        let error = a.to("b").via_router().request::<u64, _>("who", &()).unwrap_err();
        assert_eq!((error.kind(), error.execution()), (ErrorKind::NodeNotFound, Execution::Never));
        assert_eq!(ran.load(SeqCst), 0);
    });
}

#[test]
fn eight_routers_each_linked_with_each_are_asked_once_each() {
    bounded("complete", LIMIT, || {
        let routers = switchboards(8, |_, _| true);
        let a = client(&[&routers[0], &routers[3]]);
        for round in 1..=20 {
            let call = a.any(filter! { "service": "mars" });
            let error = took(AT_ONCE, || call.request::<String, _>("dig", &())).unwrap_err();
            assert_eq!(
                (error.kind(), error.execution()),
                (ErrorKind::NoNodesMatchFilter, Execution::Never)
            );
            assert_eq!(error.context("routers").unwrap().split(", ").count(), 8, "{error}");
            assert!(asked(&routers) <= 8 * round, "{} after {round} calls", asked(&routers));
        }
        let before = asked(&routers);
        let _b = auth(&[&routers[7]]);
        let reply = a.any(filter! { "service": "auth" }).request_reply::<String, _>("verify", "x");
        assert_eq!(reply.unwrap().handled_by, "b");
        assert!(asked(&routers) <= before + 8);
    });
}

#[test]
fn nobody_in_a_ring_of_three_is_told_once_and_then_all_is_quiet() {
    bounded("ring", LIMIT, || {
        let routers = switchboards(3, |_, _| true);
        let a = client(&[&routers[1]]);
        let call = a.any(filter! { "service": "mars" }).timeout(Duration::from_secs(2));
        let error = took(AT_ONCE, || call.request::<String, _>("dig", &())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoNodesMatchFilter);
        let counts = || routers.iter().map(|router| requests(router).total).collect::<Vec<_>>();
        let before = counts();
        assert_eq!(before, [1, 1, 1]);
        // All that is under way on these links is through when each has answered something else.
        for router in &routers {
            for other in routers.iter().filter(|other| other.id() != router.id()) {
                let unknown = router.request::<(), _>(other.id(), "nothing", &()).unwrap_err();
                assert_eq!(unknown.kind(), ErrorKind::NoHandler);
            }
        }
        assert_eq!(counts(), before);
    });
}

#[test]
fn what_reaches_the_last_of_four_routers_in_a_row_is_requests_and_ticks_alike() {
    bounded("row", LIMIT, || {
        let routers = switchboards(4, |one, other| other == one + 1);
        let (a, b) = (client(&[&routers[0]]), auth(&[&routers[3]]));
        let (tell, told) = channel();
        hears(&b, "news", &tell);
        let auth = filter! { "service": "auth" };
        for number in 0..200 {
            let answer: String = a.request_any(&auth, "verify", "x").unwrap();
            assert_eq!(answer, "x is valid");
            a.tick_any(&auth, "news", &number).unwrap();
        }
        assert_eq!(heard(&told, 200).len(), 200);
        for router in &routers {
            counted(router, requests, 200, 0);
            counted(router, ticks, 200, 0);
        }
    });
}

#[test]
fn ticks_of_one_node_to_one_service_stay_in_order_through_a_router() {
    bounded("order", LIMIT, || {
        let router = router("r");
        let (a, b) = (client(&[&router]), behind("b", options! { "service": "log" }, &[&router]));
        let (tell, told) = channel();
        b.on_tick("line", move |line: threadmesh::Tick<u32>| tell.send(line.data).unwrap())
            .unwrap();
        let log = filter! { "service": "log" };
        (0..2_000).for_each(|line| a.any(&log).wait(SOON).tick("line", &line).unwrap());
        let lines: Vec<u32> = (0..2_000).map(|_| told.recv_timeout(SOON).unwrap()).collect();
        assert!(lines.is_sorted(), "{lines:?}");
        a.flush("r", SOON).unwrap();
    });
}

#[test]
fn large_data_pass_untouched_and_many_callers_share_a_router() {
    bounded("large and many", LIMIT, || {
        let routers = switchboards(2, |_, _| true);
        let b = behind("b", options! { "service": "echo" }, &[&routers[1]]);
        b.on_request("echo", |request: Request<Bytes>| Ok(request.data)).unwrap();
        let clients: Vec<Node> = (0..3)
            .map(|number| behind(&format!("client-{number}"), options! {}, &[&routers[0]]))
            .collect();
        let echo = filter! { "service": "echo" };
        thread::scope(|scope| {
            for (number, node) in clients.iter().enumerate() {
                for size in [0, 100, 70_000, 1_000_000] {
                    let echo = &echo;
                    scope.spawn(move || {
                        let data = Bytes::from(vec![number as u8; size]);
                        for _ in 0..20 {
                            let back: Bytes = node.request_any(echo, "echo", &data).unwrap();
                            assert!(back == data, "{size} bytes came back changed");
                        }
                    });
                }
            }
        });
        for router in &routers {
            eventually("all are counted", || requests(router).successful == 240);
        }
    });
}
