//! What routers and nodes do while they serve: statistics, events, patience, options.

use std::net::TcpListener;

use crate::process::{Process, bounded, ended, run};

#[test]
fn statistics_are_printed_again_and_again() {
    let _bound = bounded();
    let (mut router, address) =
        Process::serving("router --id main --bind 127.0.0.1:0 --stats 0.05");
    assert!(router.hear("stats: ").starts_with("0 peers, requests 0 (0 ok, 0 failed), ticks 0"));
    router.hear("stats: ");
    let mut node = Process::start(&format!("node --id n --connect {address} --stats 0.05 --json"));
    for _ in 0..2 {
        let line = node.hear("{\"dropped\":");
        assert_eq!(line, "{},\"id\":\"n\",\"peers\":1,\"type\":\"stats\"}");
    }
    let mut router = Process::start("router --id r --bind 127.0.0.1:0 --stats 0.05 --json");
    let line = router.hear("{\"dropped\":{},\"id\":\"r\",\"peers\":0,\"routing\":{");
    assert!(
        line.contains("\"proxyRequests\":{\"failed\":0,\"successful\":0,\"total\":0}"),
        "{line}"
    );
}

#[test]
fn events_are_printed_when_they_are_wanted() {
    let _bound = bounded();
    let mut router = Process::start("router --bind 127.0.0.1:0 --events --json");
    let listening = router.hear("{\"address\":\"tcp://");
    let address = listening.split('"').next().expect("the address comes first");
    let node = Process::start(&format!("node --id n --connect {address}"));
    let joined = router.hear("{\"address\":\"127.0.0.1:");
    assert!(
        joined.ends_with(r#""event":"peer_joined","id":"n","options":{"_id":"n"},"type":"event"}"#),
        "{joined}"
    );
    drop(node);
    let left = router.hear("{\"directions\":\"down\",\"event\":\"peer_left\",");
    assert_eq!(left, r#""id":"n","reason":"the connection was lost","type":"event"}"#);
}

#[test]
fn a_patient_node_may_be_there_before_its_router() {
    let _bound = bounded();
    let place = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let place = place.expect("a free port");
    let mut node = Process::start(&format!("node --id n --connect {place} --patient --events"));
    node.hear("ready");
    let mut router = Process::start(&format!("router --id main --bind {place}"));
    router.hear("ready");
    assert!(node.hear("joined main up ").starts_with(&place.to_string()));
}

#[test]
fn options_are_told_as_json_or_text_and_can_be_asked_for() {
    let _bound = bounded();
    let options = "--option load=3 --option role=worker --option 'gpu={\"memory\": 80}' --option service=other";
    let (_node, address) =
        Process::serving(&format!("node --id n --name auth {options} --bind 127.0.0.1:0"));
    for (filter, code) in [
        (r#"{"load":3,"role":"worker"}"#, 0),
        (r#"{"gpu.memory":{"$gte":80}}"#, 0),
        (r#"{"load":"3"}"#, 3),
        (r#"{"service":"auth"}"#, 3),
        (r#"{"service":"other"}"#, 0),
    ] {
        let output = run(&format!("request --connect {address} --filter '{filter}' ping"));
        ended(&output, code);
    }
}

#[test]
fn a_request_may_wait_for_somebody_who_comes_later() {
    let _bound = bounded();
    let place = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let place = place.expect("a free port");
    // The dial is patient, too.
    let asking =
        Process::start(&format!("request --connect {place} --service late --wait 30 ping"));
    let (_late, _) = Process::serving(&format!("node --name late --bind {place}"));
    assert_eq!(asking.end(), ("\"pong\"\n".to_owned(), Some(0)));
}
