//! Peers, options, events and the life of a node: the fifth section of the scenarios. Each test bears the number of its row;
//! T133 is in `rounds`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use threadmesh::{
    Directions, ErrorKind, Events, Execution, LeftReason, Node, NodeEvent, PeerInfo, Reconnect,
    Request, options, predicate,
};

use crate::support::process::{Process, say};
use crate::support::{
    AT_ONCE, SOON, bounded, builder, expect_event, joined, listening, pair, place, took,
};

const LIMIT: Duration = Duration::from_secs(30);

/// Three times the longest pause before a redial that [`builder`] allows: who has not come back by then does not.
const AWAY: Duration = Duration::from_millis(300);

fn peer_joined(event: &NodeEvent) -> Option<PeerInfo> {
    match event {
        NodeEvent::PeerJoined(peer) => Some(peer.clone()),
        _ => None,
    }
}

pub(crate) fn peer_left(event: &NodeEvent) -> Option<(String, Directions, LeftReason)> {
    match event {
        NodeEvent::PeerLeft { id, directions, reason } => {
            Some((id.to_string(), *directions, reason.clone()))
        }
        _ => None,
    }
}

/// Nobody joins for as long as a redial may take.
fn nobody_joins(events: &mut Events) {
    let end = Instant::now() + AWAY;
    while let Some(event) = events.next_timeout(end.saturating_duration_since(Instant::now())) {
        assert!(peer_joined(&event).is_none(), "came back: {event:?}");
    }
}

#[test]
fn t110_connect_says_who_answered_and_both_sides_know_each_other() {
    bounded("t110", LIMIT, || {
        let server =
            builder("s").options(options! { "role": "api" }).bind("127.0.0.1:0").start().unwrap();
        let client = builder("c").options(options! { "role": "web" }).start().unwrap();
        let (mut at_server, mut at_client) = (server.events(), client.events());
        let peer = client.connect(server.local_addr().unwrap()).unwrap();
        assert_eq!((peer.id.as_str(), peer.directions), ("s", Directions::UP));
        assert_eq!(peer.options, options! { "role": "api", "_id": "s" });
        let listed = server.wait_for_peer("c", SOON).unwrap();
        assert_eq!(listed.options, options! { "role": "web", "_id": "c" });
        assert_eq!(server.peers().len(), 1);
        let up = expect_event(&mut at_client, peer_joined);
        let down = expect_event(&mut at_server, peer_joined);
        assert_eq!((up.id.as_str(), up.directions), ("s", Directions::UP));
        assert_eq!((down.id.as_str(), down.directions), ("c", Directions::DOWN));
    });
}

#[test]
fn t112_what_is_no_address_is_said_at_once() {
    bounded("t112", LIMIT, || {
        let node = builder("lone").start().unwrap();
        for text in ["", "bad address", "127.0.0.1", "host:99999", "http://127.0.0.1:80", ":80"] {
            let error = took(AT_ONCE, || node.connect(text).unwrap_err());
            assert_eq!(error.kind(), ErrorKind::InvalidAddress, "{text:?}: {error}");
            assert_eq!(error.execution(), Execution::Never);
        }
    });
}

#[test]
fn t113_a_connect_to_nobody_ends_in_its_time_and_joins_nobody_later() {
    bounded("t113", LIMIT, || {
        let address = place();
        let client = builder("c").start().unwrap();
        let timeout = Duration::from_millis(300);
        let began = Instant::now();
        let error = client.dial(address).timeout(timeout).connect().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(began.elapsed() >= timeout && began.elapsed() < timeout + AT_ONCE);
        let server = builder("s").bind(address).start().unwrap();
        let mut events = server.events();
        nobody_joins(&mut events);
        assert!(server.peers().is_empty() && client.peers().is_empty());
    });
}

#[test]
fn t115_disconnecting_who_is_not_connected_is_fine() {
    bounded("t115", LIMIT, || {
        let node = builder("lone").start().unwrap();
        node.disconnect(place()).unwrap();
        node.disconnect("nobody").unwrap();
        node.disconnect("host.invalid:80").unwrap();
        assert_eq!(node.disconnect("").unwrap_err().kind(), ErrorKind::InvalidArgument);
    });
}

#[test]
fn t116_port_0_becomes_a_real_port() {
    bounded("t116", LIMIT, || {
        let server = builder("s").start().unwrap();
        let address = server.bind("tcp://127.0.0.1:0").unwrap();
        assert!(address.ip().is_loopback() && address.port() != 0);
        assert_eq!(server.local_addr().unwrap(), address);
        assert_eq!(joined("c", &server).peers()[0].address, address);
    });
}

#[test]
fn t118_an_address_in_use_or_none_at_all_is_refused_with_the_cause() {
    bounded("t118", LIMIT, || {
        let (first, second) = (listening("s1"), builder("s2").start().unwrap());
        let address = first.local_addr().unwrap();
        let error = second.bind(address).unwrap_err();
        assert_eq!((error.kind(), error.execution()), (ErrorKind::BindFailed, Execution::Never));
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        // A documentation address, which no machine has.
        assert_eq!(second.bind("192.0.2.1:0").unwrap_err().kind(), ErrorKind::BindFailed);
        let error = second.bind("invalid://address").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidAddress);
        second.bind("127.0.0.1:0").expect("what failed is no obstacle");
    });
}

#[test]
fn t119_unbind_is_idempotent() {
    bounded("t119", LIMIT, || {
        let node = builder("lone").start().unwrap();
        node.unbind().unwrap();
        node.bind("127.0.0.1:0").unwrap();
        node.unbind().unwrap();
        node.unbind().unwrap();
    });
}

#[test]
fn t121_a_server_that_stops_has_left_exactly_once() {
    bounded("t121", LIMIT, || {
        let (client, server) = pair();
        let mut events = client.events();
        server.stop().unwrap();
        let left = expect_event(&mut events, peer_left);
        assert_eq!(left, ("s".into(), Directions::UP, LeftReason::PeerLeft));
        assert!(client.peers().is_empty());
        client.stop().unwrap();
        assert_eq!(events.filter_map(|event| peer_left(&event)).count(), 0);
    });
}

#[test]
fn t122_who_disconnects_stays_away() {
    bounded("t122", LIMIT, || {
        let (client, server) = pair();
        let (mut at_server, mut at_client) = (server.events(), client.events());
        client.disconnect("s").unwrap();
        let left = expect_event(&mut at_client, peer_left);
        assert_eq!(left, ("s".into(), Directions::UP, LeftReason::Disconnected));
        let left = expect_event(&mut at_server, peer_left);
        assert_eq!(left, ("c".into(), Directions::DOWN, LeftReason::PeerLeft));
        nobody_joins(&mut at_server);
        assert!(at_client.try_next().is_none(), "nothing is being dialled");
        client.connect(server.local_addr().unwrap()).expect("until it is told otherwise");
    });
}

#[test]
fn t124_without_reconnecting_a_restarted_server_is_left_alone() {
    bounded("t124", LIMIT, || {
        // A goodbye is no failure.
        for policy in [Reconnect::Never, Reconnect::OnFailure] {
            let address = place();
            let server = builder("s").bind(address).start().unwrap();
            let client = builder("c").reconnect(policy).start().unwrap();
            client.connect(address).unwrap();
            let mut at_client = client.events();
            server.stop().unwrap();
            expect_event(&mut at_client, peer_left);
            let server = builder("s").bind(address).start().unwrap();
            nobody_joins(&mut server.events());
            assert!(at_client.try_next().is_none(), "nothing is being dialled");
        }
    });
}

#[test]
fn t125_a_server_that_never_returns_is_given_up_and_forgotten() {
    bounded("t125", LIMIT, || {
        let address = place();
        let server = builder("s").bind(address).start().unwrap();
        let give_up = Duration::from_millis(500);
        let client = builder("c").reconnect_give_up(give_up).start().unwrap();
        client.connect(address).unwrap();
        let mut events = client.events();
        let began = Instant::now();
        server.stop().unwrap();
        let dialled = expect_event(&mut events, |event| match event {
            NodeEvent::Reconnecting { address } => Some((address.clone(), Instant::now())),
            _ => None,
        });
        let (failed, error) = expect_event(&mut events, |event| match event {
            NodeEvent::ReconnectFailed { address, error } => Some((address.clone(), error.clone())),
            _ => None,
        });
        assert_eq!((&failed, &failed), (&dialled.0, &address.to_string()));
        assert!(began.elapsed() >= give_up && dialled.1.elapsed() < give_up + AT_ONCE);
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
        let server = builder("s").bind(address).start().unwrap();
        nobody_joins(&mut server.events());
        assert_eq!(client.peer_id_by_address(address), None);
    });
}

/// A child: listens until its parent ends it.
pub(crate) fn server(address: &str) {
    let node = builder("child").bind(address).start().unwrap();
    node.on_request("echo", |request: Request<u64>| Ok(request.data)).unwrap();
    say(node.local_addr().unwrap());
    node.wait().unwrap();
}

#[cfg(unix)]
#[test]
fn t127_a_frozen_server_is_dropped_within_the_configured_time() {
    bounded("t127", LIMIT, || {
        let mut child = Process::start("server", "127.0.0.1:0");
        let address: SocketAddr = child.hear().unwrap().parse().unwrap();
        let (heartbeat, timeout) = (Duration::from_millis(100), Duration::from_millis(800));
        let client = builder("c")
            .heartbeat_interval(heartbeat)
            .liveness_timeout(timeout)
            .reconnect(Reconnect::Never)
            .start()
            .unwrap();
        client.connect(address).unwrap();
        let mut events = client.events();
        let began = Instant::now();
        child.signal("STOP");
        let left = expect_event(&mut events, peer_left);
        assert_eq!(left, ("child".into(), Directions::UP, LeftReason::Silent));
        let took = began.elapsed();
        assert!(took + heartbeat * 2 >= timeout, "too early: {took:?}");
        assert!(took < timeout + heartbeat + AT_ONCE, "too late: {took:?}");
        assert!(client.peers().is_empty());
    });
}

#[test]
fn t128_changed_options_are_seen_told_and_matched_at_once() {
    bounded("t128", LIMIT, || {
        let server = listening("s");
        let client = builder("c").options(options! { "old": 1 }).start().unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        let mut events = server.events();
        client.set_options(options! { "foo": "bar", "_id": "somebody else" }).unwrap();
        let (id, told) = expect_event(&mut events, |event| match event {
            NodeEvent::OptionsChanged { id, options } => Some((id.clone(), options.clone())),
            _ => None,
        });
        let expected = options! { "foo": "bar", "_id": "c" };
        assert_eq!((id.as_str(), &told), ("c", &expected));
        assert_eq!(server.peer_options("c"), Some(expected.clone()));
        assert_eq!(client.options(), expected);
        let foo = predicate(|options| options.get_str("foo") == Some("bar"));
        assert_eq!(server.wait_for_peer(foo, Duration::ZERO).unwrap().id, "c");
    });
}

#[test]
fn t130_of_unknown_peers_nothing_is_known() {
    bounded("t130", LIMIT, || {
        let (client, server) = pair();
        assert_eq!(client.peer_options("nobody"), None);
        assert_eq!(client.peer_options("c"), None, "nobody is a peer of itself");
        assert_eq!(client.peer_id_by_address(place()), None);
        let known = client.peer_id_by_address(server.local_addr().unwrap());
        assert_eq!(known.unwrap(), "s");
    });
}

#[test]
fn t131_peers_are_listed_with_id_options_and_directions_in_join_order() {
    bounded("t131", LIMIT, || {
        let server = listening("s");
        assert!(server.peers().is_empty());
        let worker = |id: &str| builder(id).options(options! { "role": "worker" }).start().unwrap();
        let clients: Vec<Node> = ["a", "b"].into_iter().map(worker).collect();
        for client in &clients {
            client.connect(server.local_addr().unwrap()).unwrap();
        }
        let other = listening("up");
        server.connect(other.local_addr().unwrap()).unwrap();
        let in_direction = |directions: Directions| -> Vec<String> {
            let peers = server.peers().into_iter();
            let matching = peers.filter(|peer| peer.directions == directions);
            matching.map(|peer| peer.id.to_string()).collect()
        };
        assert_eq!(in_direction(Directions::DOWN), ["a", "b"]);
        assert_eq!(in_direction(Directions::UP), ["up"]);
        assert!(in_direction(Directions::BOTH).is_empty());
        let roles = server.peers().into_iter().filter(|peer| {
            peer.options.get_str("role") == Some("worker")
                && peer.options.get_str("_id") == Some(peer.id.as_str())
        });
        assert_eq!(roles.count(), 2);
        assert_eq!(server.peers().len(), 3);
        clients.into_iter().for_each(drop);
    });
}

// Beyond the table: a node that crashes, and a server that comes back as somebody else.

#[test]
fn on_failure_means_again_after_a_crash_and_under_whatever_id_the_server_returns() {
    bounded("crash", LIMIT, || {
        let address = place();
        let mut child = Process::start("server", &address.to_string());
        assert_eq!(child.hear(), Some(address.to_string()));
        let client = builder("c").reconnect(Reconnect::OnFailure).start().unwrap();
        client.connect(address).unwrap();
        let mut events = client.events();
        child.kill();
        let (id, _, reason) = expect_event(&mut events, peer_left);
        assert_eq!((id.as_str(), reason), ("child", LeftReason::ConnectionLost));
        expect_event(&mut events, |event| {
            matches!(event, NodeEvent::Reconnecting { address: at } if *at == address.to_string())
                .then_some(())
        });
        let _heir = builder("heir").bind(address).start().unwrap();
        assert_eq!(expect_event(&mut events, peer_joined).id, "heir");
        let again = expect_event(&mut events, |event| match event {
            NodeEvent::Reconnected { address, id } => Some((address.clone(), id.to_string())),
            _ => None,
        });
        assert_eq!(again, (address.to_string(), "heir".to_owned()));
        assert_eq!(client.peers().len(), 1);
    });
}
