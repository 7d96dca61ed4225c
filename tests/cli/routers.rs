//! Routers as real processes: what goes through one, two and three of them, what a ring does with what nobody takes, and that they count
//! what was sent.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::process::{Process, bounded, ended, run, text};

/// Long before the time of a request is over, on a busy machine, too.
const QUICK: Duration = Duration::from_secs(8);

/// A router that is connected to these, and where it listens.
fn router(id: &str, others: &[&str]) -> (Process, String) {
    let connect: Vec<String> = others.iter().map(|other| format!("--connect {other}")).collect();
    Process::serving(&format!("router --id {id} --bind 127.0.0.1:0 {}", connect.join(" ")))
}

/// A service that is connected to a router.
fn service(name: &str, router: &str) -> Process {
    let line = format!("node --name {name} --id {name} --connect {router}");
    let mut service = Process::start(&format!("{line} --exec false --on fails"));
    service.hear("ready");
    service
}

/// What a router has counted.
pub(crate) fn routed(router: &str) -> Json {
    let output = run(&format!("top --connect {router} --count 1 --json"));
    let mut stats: Json = serde_json::from_str(ended(&output, 0)).expect("it is JSON");
    stats["routing"].take()
}

/// How many of all, and of those how many well.
pub(crate) fn counts(of: &Json) -> (u64, u64) {
    let count = |key: &str| of[key].as_u64().expect("a number");
    assert_eq!(count("total"), count("successful") + count("failed"), "{of}");
    (count("total"), count("successful"))
}

/// Nobody is found, and that at once.
fn in_vain(line: &str) -> String {
    let began = Instant::now();
    let output = run(line);
    assert!(began.elapsed() < QUICK, "{line} took {:?}", began.elapsed());
    assert_eq!(ended(&output, 3), "");
    let said = text(&output.stderr).to_owned();
    assert!(said.starts_with("threadmesh: NO_NODES_MATCH_FILTER: "), "{said}");
    said
}

#[test]
fn a_router_counts_exactly_what_a_client_has_sent_through_it() {
    let _bound = bounded();
    let (_router, port) = router("main", &[]);
    let (mut auth, _payment) = (service("auth", &port), service("payment", &port));
    let line = format!("--node --id client --connect {port} --interactive");
    let mut client = Process::start(&line);
    client.hear("ready");
    for number in 0..5 {
        let name = if number < 3 { "auth" } else { "payment" };
        client.say(&format!("request {name} echo {number}"));
        assert_eq!(client.hear(&format!("{name} via main: ")), number.to_string());
    }
    // The router itself is asked, which is no forwarding.
    client.say("request main ping");
    client.hear("main: ");
    for number in 0..4 {
        client.say(&format!("tick auth message {number}"));
        assert_eq!(auth.hear("client says: "), number.to_string());
    }
    client.say("tick rare message");
    client.hear("undelivered by way of main: 1 ");
    client.say("exit");
    assert_eq!(client.end().1, Some(0));
    in_vain(&format!("request --connect {port} --service rare echo"));
    ended(&run(&format!("request --connect {port} --service auth fails")), 1);

    let stats = routed(&port);
    assert_eq!(counts(&stats["proxyRequests"]), (7, 5), "{stats:#}");
    assert_eq!(counts(&stats["proxyTicks"]), (5, 4), "{stats:#}");
    let of = |event: &str, what: &str| counts(&stats["byEvent"][event][what]);
    assert_eq!(of("echo", "proxyRequests"), (6, 5));
    assert_eq!(of("fails", "proxyRequests"), (1, 0));
    assert_eq!(of("message", "proxyTicks"), (5, 4));
    assert_eq!(stats["byEvent"].as_object().map(serde_json::Map::len), Some(3), "{stats:#}");
    // In milliseconds, and in seconds.
    let (slowest, uptime) = (&stats["percentiles"]["max"], &stats["uptime"]);
    assert!(slowest.as_f64() < uptime.as_f64().map(|seconds| seconds * 1000.0), "{stats:#}");
    assert!(stats["averageResponseTime"].as_f64() <= slowest.as_f64(), "{stats:#}");
}

#[test]
fn a_measurement_goes_through_a_router_and_is_counted_there_to_the_last_request() {
    let _bound = bounded();
    let (_router, port) = router("main", &[]);
    let _auth = service("auth", &port);
    let line = format!("bench --connect {port} --service auth --seconds 0.3 --threads 3 --json");
    let output = run(&line);
    let bench: Json = serde_json::from_str(ended(&output, 0)).expect("it is JSON");
    assert_eq!(bench["errors"], json!({}));
    // The one before the measurement, which finds out whether there is anybody.
    let sent = bench["requests"].as_u64().expect("a number") + 1;
    assert!(sent > 3, "{bench}");
    assert_eq!(counts(&routed(&port)["proxyRequests"]), (sent, sent));
}

#[test]
fn a_service_of_one_router_is_found_from_all_that_are_connected_with_it_in_a_row() {
    let _bound = bounded();
    let (_r1, one) = router("r1", &[]);
    let (_r2, two) = router("r2", &[&one]);
    let (_r3, three) = router("r3", &[&two]);
    let mut far = service("far", &three);
    for (place, first) in [(&three, "r3"), (&two, "r2"), (&one, "r1")] {
        let output = run(&format!("request --connect {place} --service far --json echo 7"));
        let answer: Json = serde_json::from_str(ended(&output, 0)).expect("it is JSON");
        let told = (&answer["value"], &answer["handled_by"], &answer["via"]);
        assert_eq!(told, (&json!(7), &json!("far"), &json!(first)));
    }
    let output = run(&format!("tick --connect {one} --service far message '\"from afar\"'"));
    assert_eq!(ended(&output, 0), "sent to 1\n");
    assert_eq!(far.line().expect("a line").split_once(" says: ").expect("who").1, "from afar");
    let output = run(&format!("request --connect {one} --to far --via-router ping"));
    assert_eq!(ended(&output, 0), "\"pong\"\n");
    // Whoever is nearer has passed on what came from further away, too. The one in the middle may have asked the first before the last.
    for (place, requests, most) in [(&one, 2, 3), (&two, 3, 3), (&three, 4, 4)] {
        let stats = routed(place);
        let (total, successful) = counts(&stats["proxyRequests"]);
        assert!(successful == requests && total <= most, "{stats:#}");
        assert_eq!(counts(&stats["proxyTicks"]), (1, 1), "{stats:#}");
    }
}

#[test]
fn a_ring_of_routers_says_at_once_that_there_is_nobody_and_then_stands_still() {
    let _bound = bounded();
    let (_r1, one) = router("r1", &[]);
    let (_r2, two) = router("r2", &[&one]);
    let (_r3, three) = router("r3", &[&two, &one]);
    let places = [&one, &two, &three];
    let all = || places.map(|place| counts(&routed(place)["proxyRequests"]));
    for (place, asked) in places.into_iter().zip(1..) {
        let said = in_vain(&format!("request --connect {place} --service mars --timeout 20 dig"));
        assert!(["r1", "r2", "r3"].iter().all(|id| said.contains(id)), "{said}");
        // Each of them was asked once.
        assert_eq!(all(), [(asked, 0); 3]);
    }
    // Nothing goes on in the ring, however often it is looked.
    for _ in 0..3 {
        assert_eq!(all(), [(3, 0); 3]);
    }
    // Three that can be reached in two ways are asked once all the same, and one of them may know somebody.
    let _mars = service("mars", &two);
    let output = run(&format!("request --connect {three} --service mars --json ping"));
    let said = ended(&output, 0);
    assert!(said.contains("\"handled_by\":\"mars\"") && said.contains("\"via\":\"r3\""), "{said}");
}

#[test]
fn a_router_that_keeps_its_peers_to_itself_finds_them_all_the_same() {
    let _bound = bounded();
    let (_router, port) =
        Process::serving("router --id main --bind 127.0.0.1:0 --refuse-directory-questions");
    let _auth = service("auth", &port);
    let request = format!("request --connect {port} --service auth");
    assert_eq!(ended(&run(&format!("{request} ping")), 0), "\"pong\"\n");
    let output = run(&format!("{request} --strategy first ping"));
    ended(&output, 3);
    let said = text(&output.stderr);
    assert!(said.starts_with("threadmesh: PREDICATE_NOT_ROUTABLE: "), "{said}");
    assert!(said.ends_with("among them; without --strategy the router chooses\n"), "{said}");
    let output = run(&format!("peers --connect {port}"));
    assert_eq!(ended(&output, 0).lines().count(), 1, "{output:?}");
}
