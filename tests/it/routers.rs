//! Calls through routers: the sixth section of the scenarios. Each test bears the number of its row; what a call says about routers is the
//! business of `routers_terms.rs`.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use threadmesh::{
    Error, ErrorKind, Execution, Filter, First, HandlerError, Node, NodeEvent, Options, Proxied,
    Request, Router, Tick, filter, options, predicate,
};

use crate::support::{AT_ONCE, SOON, bounded, builder, eventually, expect_event, let_pass, took};

pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn router_builder(id: &str) -> threadmesh::Builder<Router> {
    Router::builder()
        .id(id)
        .heartbeat_interval(Duration::from_millis(200))
        .liveness_timeout(Duration::from_secs(5))
        .stop_bound(Duration::from_secs(1))
        .bind("127.0.0.1:0")
}

pub(crate) fn router(id: &str) -> Router {
    router_builder(id).start().expect("a free port")
}

/// A node with options that has dialled these routers and answers `who` with its id.
pub(crate) fn behind(id: &str, options: Options, routers: &[&Router]) -> Node {
    let node = builder(id).options(options).start().expect("a node needs nothing");
    let name = id.to_owned();
    node.on_request("who", move |_: Request<()>| Ok(name.clone())).unwrap();
    for router in routers {
        node.connect(router.local_addr().unwrap()).unwrap();
        router.wait_for_peer(id, SOON).unwrap();
    }
    node
}

/// A node that has dialled these routers and has nothing to offer.
pub(crate) fn client(routers: &[&Router]) -> Node {
    behind("a", options! {}, routers)
}

pub(crate) fn auth(routers: &[&Router]) -> Node {
    let node = behind("b", options! { "service": "auth" }, routers);
    let verify = |request: Request<String>| Ok(format!("{} is valid", request.data));
    node.on_request("verify", verify).unwrap();
    node
}

/// Two links of one sort: `one` has dialled `other`.
pub(crate) fn link(one: &Router, other: &Router) {
    one.connect(other.local_addr().unwrap()).unwrap();
    other.wait_for_peer(one.id(), SOON).unwrap();
}

pub(crate) fn requests(router: &Router) -> Proxied {
    router.routing_stats().unwrap().proxy_requests
}

pub(crate) fn ticks(router: &Router) -> Proxied {
    router.routing_stats().unwrap().proxy_ticks
}

/// Waits until a router has counted so many as placed, and so many as not.
pub(crate) fn counted(router: &Router, of: fn(&Router) -> Proxied, successful: u64, failed: u64) {
    let now = || {
        let Proxied { total, successful, failed, .. } = of(router);
        (total, successful, failed)
    };
    eventually("the router counts", || now() == (successful + failed, successful, failed));
}

/// Tells the id of a node for each tick of that event.
pub(crate) fn hears(node: &Node, event: &'static str, tell: &Sender<String>) {
    let (tell, id) = (tell.clone(), node.id().to_string());
    node.on_tick(event, move |_: Tick<u32>| tell.send(id.clone()).unwrap()).unwrap();
}

pub(crate) fn heard(hears: &Receiver<String>, count: usize) -> Vec<String> {
    let mut all: Vec<_> = (0..count).map(|_| hears.recv_timeout(SOON).unwrap()).collect();
    all.sort();
    all
}

pub(crate) fn nobody(result: Result<String, Error>, routers: &str) -> Error {
    let error = result.unwrap_err();
    assert_eq!(
        (error.kind(), error.execution()),
        (ErrorKind::NoNodesMatchFilter, Execution::Never)
    );
    assert_eq!(error.context("routers"), Some(routers), "{error}");
    error
}

#[test]
fn t140_a_router_says_so_in_its_options_whatever_the_program_says() {
    bounded("t140", LIMIT, || {
        let given = options! { "router": false, "custom": "x" };
        let router = router_builder("r").options(given).start().unwrap();
        let says = |options: Options| {
            assert_eq!(options.get_bool("router"), Some(true));
            assert_eq!(options.get_str("custom"), Some("x"));
        };
        says(router.options());
        router.set_options(options! { "custom": "x", "router": 0 }).unwrap();
        says(router.options());
        let a = client(&[&router]);
        eventually("its peers see it", || a.peer_options("r").unwrap().get_str("custom").is_some());
        says(a.peer_options("r").unwrap());
    });
}

#[test]
fn t142_a_request_without_a_match_is_answered_through_the_router() {
    bounded("t142", LIMIT, || {
        let router = router("r");
        let (a, _b) = (client(&[&router]), auth(&[&router]));
        let call = a.any(filter! { "service": "auth" });
        let reply = call.request_reply::<String, _>("verify", "token").unwrap();
        assert_eq!(reply.value, "token is valid");
        assert_eq!((reply.handled_by.as_str(), reply.via.unwrap().as_str()), ("b", "r"));
        counted(&router, requests, 1, 0);
    });
}

#[test]
fn t143_the_seeds_services_are_found_by_a_client_that_knows_only_the_router() {
    bounded("t143", LIMIT, || {
        let router = router("main-router");
        let auth =
            behind("auth-service", options! { "role": "auth", "version": "2.0" }, &[&router]);
        let login = |request: Request<String>| Ok(format!("abc123 for {}", request.data));
        auth.on_request("auth:login", login).unwrap();
        let payment = behind("payment-service", options! { "role": "payment" }, &[&router]);
        let charge = |request: Request<u32>| Ok(format!("12345: {}", request.data));
        payment.on_request("payment:charge", charge).unwrap();
        let client = client(&[&router]);
        let token: String =
            client.request_any(filter! { "role": "auth" }, "auth:login", "john").unwrap();
        assert_eq!(token, "abc123 for john");
        let transaction: String =
            client.request_any(filter! { "role": "payment" }, "payment:charge", &100).unwrap();
        assert_eq!(transaction, "12345: 100");
    });
}

#[test]
fn t145_twenty_requests_at_once_each_get_their_answer() {
    bounded("t145", LIMIT, || {
        let router = router("r");
        let (a, _b) = (client(&[&router]), auth(&[&router]));
        thread::scope(|scope| {
            for number in 0..20 {
                let call = a.any(filter! { "service": "auth" });
                scope.spawn(move || {
                    let token = number.to_string();
                    let answer: String = call.request("verify", token.as_str()).unwrap();
                    assert_eq!(answer, format!("{number} is valid"));
                });
            }
        });
        counted(&router, requests, 20, 0);
    });
}

#[test]
fn t146_each_filter_finds_its_own_service() {
    bounded("t146", LIMIT, || {
        let router = router("r");
        let a = client(&[&router]);
        let _services = ["auth", "payment"]
            .map(|service| behind(service, options! { "service": service }, &[&router]));
        for _ in 0..10 {
            for service in ["auth", "payment"] {
                let who: String =
                    a.request_any(filter! { "service": service }, "who", &()).unwrap();
                assert_eq!(who, service);
            }
        }
    });
}

#[test]
fn t148_ticks_without_a_match_reach_their_services_through_the_router() {
    bounded("t148", LIMIT, || {
        let (router, (tell, told)) = (router("r"), channel());
        let a = client(&[&router]);
        let services = ["log", "metrics"]
            .map(|service| behind(service, options! { "service": service }, &[&router]));
        for service in &services {
            hears(service, "news", &tell);
        }
        for service in ["log", "log", "metrics"] {
            a.tick_any(filter! { "service": service }, "news", &7).unwrap();
        }
        assert_eq!(heard(&told, 3), ["log", "log", "metrics"]);
        counted(&router, ticks, 3, 0);
        assert!(told.try_recv().is_err());
    });
}

#[test]
fn t149_two_routers_place_a_request_between_them() {
    bounded("t149", LIMIT, || {
        let (r1, r2) = (router("r1"), router("r2"));
        link(&r1, &r2);
        let (a, _b) = (client(&[&r1]), auth(&[&r2]));
        let call = a.any(filter! { "service": "auth" });
        let reply = call.request_reply::<String, _>("verify", "token").unwrap();
        assert_eq!(reply.value, "token is valid");
        assert_eq!((reply.handled_by.as_str(), reply.via.unwrap().as_str()), ("b", "r1"));
        counted(&r1, requests, 1, 0);
        counted(&r2, requests, 1, 0);
    });
}

#[test]
fn t151_nobody_behind_the_router_is_told_at_once_and_once() {
    bounded("t151", LIMIT, || {
        let router = router("r");
        let (a, _b) = (client(&[&router]), auth(&[&router]));
        let mut events = a.events();
        let mars = filter! { "role": "worker", "region": "mars" };
        let error = nobody(took(AT_ONCE, || a.request_any(&mars, "task:process", &())), "r");
        assert_eq!(error.context("event"), Some("task:process"));
        assert_eq!(error.context("filter"), Some(mars.to_string().as_str()));
        assert_eq!(error.context("directions"), Some("both"));
        let told = |event: &NodeEvent| match event {
            NodeEvent::Error(error) => Some(error.to_string()),
            _ => None,
        };
        assert_eq!(expect_event(&mut events, told), error.to_string());
        counted(&router, requests, 0, 1);
        assert!(events.try_next().is_none());
        // Whoever takes the answer otherwise hears the same.
        let pending = a.any(&mars).start::<String, _>("task:process", &()).unwrap();
        let arrival = pending.receiver().recv();
        nobody(pending.finish(arrival).map(|reply| reply.value), "r");
        assert_eq!(expect_event(&mut events, told), error.to_string());
        assert!(events.try_next().is_none());
    });
}

#[test]
fn t152_the_error_of_a_service_comes_back_unchanged_and_counts_as_failed() {
    bounded("t152", LIMIT, || {
        let router = router("r");
        let a = client(&[&router]);
        let b = behind("b", options! { "service": "faulty" }, &[&router]);
        let fail = |_: Request<()>| {
            Err::<String, _>(HandlerError::new("E1", "it is broken").with_data(&7)?)
        };
        b.on_request("do", fail).unwrap();
        let call = a.any(filter! { "service": "faulty" });
        let error = call.request::<String, _>("do", &()).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Handler, "E1"));
        assert_eq!((error.message(), error.execution()), ("it is broken", Execution::Happened));
        assert_eq!(error.data::<i32>().unwrap().unwrap(), 7);
        assert_eq!(error.peer().unwrap(), "b");
        counted(&router, requests, 0, 1);
    });
}

#[test]
fn t154_what_is_for_the_router_itself_is_handled_there_and_not_counted() {
    bounded("t154", LIMIT, || {
        let (router, (tell, told)) = (router("r"), channel());
        router.on_request("who", |_: Request<()>| Ok("r")).unwrap();
        hears(&router, "news", &tell);
        let a = client(&[&router]);
        assert_eq!(a.request::<String, _>("r", "who", &()).unwrap(), "r");
        a.tick("r", "news", &1).unwrap();
        assert_eq!(heard(&told, 1), ["r"]);
        assert_eq!((requests(&router).total, ticks(&router).total), (0, 0));
    });
}

#[test]
fn t155_a_routers_own_requests_are_no_forwards() {
    bounded("t155", LIMIT, || {
        let router = router("r");
        let _a = behind("a", options! { "service": "data" }, &[&router]);
        let who: String = router.request_any(filter! { "service": "data" }, "who", &()).unwrap();
        assert_eq!((who.as_str(), requests(&router).total), ("a", 0));
    });
}

#[test]
fn t157_a_match_here_comes_before_all_behind_a_router() {
    bounded("t157", LIMIT, || {
        let router = router("r");
        let near = builder("near").options(options! { "service": "auth" }).bind("127.0.0.1:0");
        let near = near.on_request("who", |_: Request<()>| Ok("near")).start().unwrap();
        let _far = behind("far", options! { "service": "auth" }, &[&router]);
        let a = client(&[&router]);
        a.connect(near.local_addr().unwrap()).unwrap();
        for _ in 0..50 {
            let who: String = a.request_any(filter! { "service": "auth" }, "who", &()).unwrap();
            assert_eq!(who, "near");
        }
        assert_eq!(requests(&router).total, 0);
    });
}

#[test]
fn t158_a_predicate_chooses_behind_a_router_that_tells_whom_it_knows() {
    bounded("t158", LIMIT, || {
        let router = router("r");
        let a = client(&[&router]);
        let services = [3, 93].map(|load| {
            let options = options! { "service": "auth", "load": load };
            behind(&format!("b{load}"), options, &[&router])
        });
        let idle =
            predicate(|peer| peer.get_u64("load") < Some(80) && peer.get_u64("load").is_some());
        let reply = a.any(&idle).request_reply::<String, _>("who", &()).unwrap();
        assert_eq!((reply.handled_by.as_str(), reply.via.unwrap().as_str()), ("b3", "r"));
        // The filter is asked there, the closure here.
        let other = filter! { "service": "other" }.when(|_| panic!("nobody is there"));
        nobody(a.any(other).request("who", &()), "r");
        let busy = filter! { "service": "auth" }.when(|peer| peer.get_u64("load") > Some(80));
        assert_eq!(a.any(&busy).request::<String, _>("who", &()).unwrap(), "b93");
        let (tell, told) = channel();
        for service in &services {
            hears(service, "news", &tell);
        }
        a.any(busy).tick("news", &1).unwrap();
        assert_eq!(heard(&told, 1), ["b93"]);
        let panics = predicate(|_| panic!("a closure of the program"));
        let error = a.any(panics).request::<String, _>("who", &()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UserCodePanicked);
    });
}

#[test]
fn t158_a_router_that_does_not_tell_is_named() {
    bounded("t158: refused", LIMIT, || {
        let router = router_builder("r").refuse_directory_questions().start().unwrap();
        let (a, _b) = (client(&[&router]), auth(&[&router]));
        // Not the router itself, which is a peer.
        let anybody = || predicate(|peer| peer.get_str("service").is_some());
        for error in [
            a.any(anybody()).request::<String, _>("verify", "token").unwrap_err(),
            a.any(anybody()).tick("verify", "token").unwrap_err(),
            a.any(Filter::any()).strategy(First).request::<String, _>("who", &()).unwrap_err(),
            a.any(Filter::any()).except("c").request::<String, _>("who", &()).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::PredicateNotRoutable);
            assert_eq!(error.execution(), Execution::Never);
            assert_eq!(
                (error.peer().unwrap().as_str(), error.context("routers")),
                ("r", Some("r"))
            );
        }
        // A filter alone goes all the same, and so does what another router tells.
        let verify = |call: threadmesh::Call<'_>| call.request::<String, _>("verify", "t").unwrap();
        assert_eq!(verify(a.any(filter! { "service": "auth" })), "t is valid");
        let open = self::router("open");
        open.connect(router.local_addr().unwrap()).unwrap();
        let c = behind("c", options! { "service": "other" }, &[&open]);
        a.connect(open.local_addr().unwrap()).unwrap();
        for _ in 0..2 {
            assert_eq!(a.any(anybody()).request::<String, _>("who", &()).unwrap(), c.id().as_str());
        }
    });
}

#[test]
fn t160_operators_mean_the_same_behind_a_router() {
    bounded("t160", LIMIT, || {
        let router = router("r");
        let a = client(&[&router]);
        let given =
            options! { "load": 12, "zone": "eu-west", "tags": ["x", "y"], "gpu": { "memory": 80 } };
        let _b = behind("b", given.clone(), &[&router]);
        let _c = behind("c", options! { "load": "12", "zone": 7 }, &[&router]);
        for (filter, matches) in [
            (filter! { "load": { "$gt": 11 } }, true),
            (filter! { "load": { "$gt": 12 } }, false),
            (filter! { "zone": { "$in": ["us", "eu-west"] } }, true),
            (filter! { "zone": { "$in": ["us"] } }, false),
            #[cfg(feature = "regex")]
            (filter! { "zone": { "$regex": "^eu-" } }, true),
            #[cfg(feature = "regex")]
            (filter! { "zone": { "$regex": "^us-" } }, false),
            (filter! { "gpu": { "memory": 80 }, "tags": ["x", "y"] }, true),
            (filter! { "tags": ["y", "x"] }, false),
            (filter! { "gpu.memory": { "$lte": 80 } }, true),
        ] {
            assert_eq!(filter.matches(&given).unwrap(), matches, "{filter}");
            let who = a.request_any(&filter, "who", &());
            if matches {
                assert_eq!(who.unwrap(), "b", "{filter}");
            } else {
                nobody(who, "r");
            }
        }
    });
}

#[test]
fn t161_three_routers_take_turns() {
    bounded("t161", LIMIT, || {
        let routers = ["r1", "r2", "r3"].map(router);
        let all: Vec<&Router> = routers.iter().collect();
        let (a, _b) = (client(&all), auth(&all));
        for _ in 0..30 {
            let _: String = a.request_any(filter! { "service": "auth" }, "verify", "t").unwrap();
        }
        for router in all {
            counted(router, requests, 10, 0);
        }
    });
}

#[test]
fn t163_a_router_that_stops_costs_at_most_the_one_request_that_it_had() {
    bounded("t163", LIMIT, || {
        let routers = ["r1", "r2", "r3"].map(router);
        let all: Vec<&Router> = routers.iter().collect();
        let (a, _b) = (client(&all), auth(&all));
        let verify = || a.any(filter! { "service": "auth" }).request::<String, _>("verify", "t");
        for _ in 0..6 {
            verify().unwrap();
        }
        thread::scope(|scope| {
            let stopping = scope.spawn(|| routers[0].stop().unwrap());
            let mut failed = 0;
            while !stopping.is_finished() {
                failed += usize::from(verify().is_err());
            }
            assert!(failed <= 1, "{failed} have failed");
        });
        for _ in 0..6 {
            verify().unwrap();
        }
    });
}

#[test]
fn t164_two_routers_that_know_nobody_say_so_once_and_then_are_quiet() {
    bounded("t164", LIMIT, || {
        let (r1, r2) = (router("r1"), router("r2"));
        link(&r1, &r2);
        let a = client(&[&r1]);
        let call = a.any(filter! { "service": "none" }).timeout(Duration::from_secs(2));
        nobody(took(AT_ONCE, || call.request("who", &())), "r1, r2");
        counted(&r1, requests, 0, 1);
        counted(&r2, requests, 0, 1);
        let_pass(Duration::from_millis(300));
        assert_eq!((requests(&r1).total, requests(&r2).total), (1, 1));
    });
}

#[test]
fn t166_a_forward_does_not_come_back_to_who_asked() {
    bounded("t166", LIMIT, || {
        let router = router("r");
        let a = behind("a", options! { "service": "api" }, &[&router]);
        nobody(a.request_any(filter! { "service": "api" }, "who", &()), "r");
        let offers = predicate(|peer| peer.get_str("service").is_some());
        nobody(a.any(offers).request("who", &()), "r");
        a.to("a").via_router().request::<String, _>("who", &()).unwrap_err();
    });
}

#[test]
fn t167_anybody_is_never_the_router() {
    bounded("t167", LIMIT, || {
        let router = router("r");
        router.on_request("who", |_: Request<()>| Ok("r")).unwrap();
        let (a, _b) = (client(&[&router]), auth(&[&router]));
        for _ in 0..20 {
            assert_eq!(a.request_any::<String, _>(Filter::any(), "who", &()).unwrap(), "b");
        }
    });
}

#[test]
fn t169_calls_to_all_ask_no_router() {
    bounded("t169", LIMIT, || {
        let router = router("r");
        let (a, _b) = (client(&[&router]), auth(&[&router]));
        let services = || filter! { "service": "auth" };
        assert_eq!(a.tick_all(services(), "news", &1).unwrap().sent, 0);
        assert_eq!(a.request_all::<String, _>(services(), "who", &()).unwrap().asked(), 0);
        assert!(a.get_filtered_peers(services()).unwrap().is_empty());
        assert_eq!((requests(&router).total, ticks(&router).total), (0, 0));
    });
}

#[test]
fn t170_the_handler_sees_who_asked_and_who_forwarded() {
    bounded("t170", LIMIT, || {
        let router = router("r");
        let (a, b) = (client(&[&router]), auth(&[&router]));
        let names = |request: Request<()>| {
            Ok(format!("{} by way of {}", request.origin(), request.sender()))
        };
        b.on_request("names", names).unwrap();
        let seen: String = a.request_any(filter! { "service": "auth" }, "names", &()).unwrap();
        assert_eq!(seen, "a by way of r");
        assert_eq!(a.to("b").via_router().request::<String, _>("names", &()).unwrap(), seen);
    });
}
