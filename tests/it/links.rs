//! Links between real nodes: shared, both ways, contested, let go, and kept while the node unbinds.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use threadmesh::{Directions, ErrorKind, Execution, LeftReason, NodeEvent, Request};

use crate::life::peer_left;
use crate::support::{
    AT_ONCE, SOON, bounded, builder, eventually, expect_event, joined, listening, pair, place, took,
};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn connects_to_one_address_at_once_and_later_share_one_link() {
    bounded("shared", LIMIT, || {
        let address = place();
        let client = builder("c").start().unwrap();
        let server = thread::scope(|scope| {
            let connecting: Vec<_> =
                (0..8).map(|_| scope.spawn(|| client.connect(address).unwrap())).collect();
            let server = builder("s").start().unwrap();
            let mut events = server.events();
            server.bind(address).unwrap();
            for connected in connecting {
                assert_eq!(connected.join().unwrap().id, "s");
            }
            assert_eq!(client.connect(address).unwrap().id, "s");
            let links = std::iter::from_fn(|| events.try_next());
            assert_eq!(links.filter(|event| matches!(event, NodeEvent::PeerJoined(_))).count(), 1);
            server
        });
        assert_eq!((server.peers().len(), client.peers().len()), (1, 1));
    });
}

#[test]
fn another_name_of_a_connected_address_shares_its_link_and_lets_it_go() {
    bounded("alias", LIMIT, || {
        let (client, server) = pair();
        let port = server.local_addr().unwrap().port();
        let alias = format!("localhost:{port}");
        assert_eq!(client.connect(&*alias).unwrap().id, "s");
        assert_eq!((server.peers().len(), client.peers().len()), (1, 1));
        let mut events = server.events();
        client.disconnect(&*alias).unwrap();
        expect_event(&mut events, peer_left);
        assert!(client.peers().is_empty() && server.peers().is_empty());
    });
}

#[test]
fn a_living_id_is_refused_to_a_second_node_and_both_addresses_are_named() {
    bounded("duplicate", LIMIT, || {
        let (first, server) = pair();
        let mut events = server.events();
        let second = builder("c").start().unwrap();
        let began = std::time::Instant::now();
        let error = second.dial(server.local_addr().unwrap()).once().connect().unwrap_err();
        assert_eq!((error.kind(), error.execution()), (ErrorKind::DuplicateId, Execution::Never));
        assert!(began.elapsed() < Duration::from_secs(1) + AT_ONCE, "{:?}", began.elapsed());
        let text = error.to_string();
        let addresses = text.matches("127.0.0.1:").count();
        assert!(addresses >= 2 && text.contains("the id c "), "{addresses} addresses in: {text}");
        assert!(second.peers().is_empty());
        let left = events.try_next().and_then(|event| peer_left(&event));
        assert_eq!(left, None, "the first stays");
        first.on_request("who", |_: Request<()>| Ok("the first")).unwrap();
        assert_eq!(server.request::<String, _>("c", "who", &()).unwrap(), "the first");
    });
}

#[cfg(unix)]
#[test]
fn an_id_whose_owner_is_frozen_goes_to_the_newcomer() {
    use crate::support::process::Process;

    bounded("replaced", LIMIT, || {
        let server = listening("s");
        let child = Process::start("holder", &server.local_addr().unwrap().to_string());
        server.wait_for_peer("holder", SOON).unwrap();
        let mut events = server.events();
        child.signal("STOP");
        let newcomer = builder("holder").start().unwrap();
        newcomer.connect(server.local_addr().unwrap()).unwrap();
        let left = events.next_timeout(SOON).unwrap();
        let replaced = ("holder".to_owned(), Directions::DOWN, LeftReason::Replaced);
        assert_eq!(peer_left(&left), Some(replaced), "{left:?}");
        let joined = events.next_timeout(SOON).unwrap();
        assert!(matches!(joined, NodeEvent::PeerJoined(_)), "{joined:?}");
        newcomer.on_request("who", |_: Request<()>| Ok("the heir")).unwrap();
        assert_eq!(server.request::<String, _>("holder", "who", &()).unwrap(), "the heir");
    });
}

#[test]
fn nodes_that_dialled_each_other_are_one_peer_until_both_links_are_gone() {
    bounded("both ways", LIMIT, || {
        let (a, b) = (listening("a"), listening("b"));
        let (at_a, at_b) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        a.connect(at_b).unwrap();
        b.connect(at_a).unwrap();
        for (node, other) in [(&a, "b"), (&b, "a")] {
            eventually("both links stand", || node.peers()[0].directions == Directions::BOTH);
            assert_eq!((node.peers().len(), node.peers()[0].id.as_str()), (1, other));
            node.on_request("who", move |_: Request<()>| Ok(other)).unwrap();
        }
        let (mut seen_by_a, mut seen_by_b) = (a.events(), b.events());
        a.disconnect(at_b).unwrap();
        eventually("one link is gone", || b.peers()[0].directions == Directions::UP);
        assert_eq!(a.peers()[0].directions, Directions::DOWN);
        assert_eq!(a.request::<String, _>("b", "who", &()).unwrap(), "a");
        assert_eq!(b.request::<String, _>("a", "who", &()).unwrap(), "b");
        let left =
            |event: Option<NodeEvent>| event.is_some_and(|event| peer_left(&event).is_some());
        assert!(!left(seen_by_a.try_next()) && !left(seen_by_b.try_next()), "one link remains");
        b.disconnect(at_a).unwrap();
        let (id, directions, reason) = expect_event(&mut seen_by_b, peer_left);
        let last = (id.as_str(), directions, reason);
        assert_eq!(last, ("a", Directions::UP, LeftReason::Disconnected));
        assert_eq!(expect_event(&mut seen_by_a, peer_left).2, LeftReason::PeerLeft);
        assert!(a.peers().is_empty() && b.peers().is_empty());
    });
}

#[test]
fn unbinding_lets_downstream_peers_go_and_keeps_the_upstream_one() {
    bounded("unbind", LIMIT, || {
        let up = listening("up");
        let middle = builder("middle").bind(place()).start().unwrap();
        let address = middle.local_addr().unwrap();
        middle.connect(up.local_addr().unwrap()).unwrap();
        let down = joined("down", &middle);
        let mut events = middle.events();
        middle.unbind().unwrap();
        let left = expect_event(&mut events, peer_left);
        assert_eq!(left, ("down".into(), Directions::DOWN, LeftReason::Disconnected));
        let rest: Vec<String> =
            middle.peers().into_iter().map(|peer| peer.id.to_string()).collect();
        assert_eq!(rest, ["up"]);
        drop(std::net::TcpListener::bind(address).expect("the port is free"));
        // Who was let go dials on, and finds the node again once it is bound.
        middle.bind(address).unwrap();
        middle.wait_for_peer("down", SOON).unwrap();
        drop(down);
    });
}

#[test]
fn a_node_does_not_dial_itself() {
    bounded("self", LIMIT, || {
        let node = listening("narcissus");
        let address = node.local_addr().unwrap();
        for name in [address.to_string(), format!("localhost:{}", address.port())] {
            let error = took(AT_ONCE, || node.connect(&*name).unwrap_err());
            assert_eq!(error.kind(), ErrorKind::InvalidAddress, "{error}");
            assert_eq!(error.execution(), Execution::Never);
        }
        assert!(node.peers().is_empty());
    });
}

#[test]
fn connect_always_returns_at_once_and_dials_until_somebody_answers_or_it_is_told_not_to() {
    bounded("always", LIMIT, || {
        let (here, there) = (place(), place());
        let client = builder("c").start().unwrap();
        took(AT_ONCE, || {
            client.connect_always(here).unwrap();
            client.connect_always(there).unwrap();
        });
        client.disconnect(there).unwrap();
        let server = builder("s").bind(here).start().unwrap();
        let other = builder("t").bind(there).start().unwrap();
        let peer = client.wait_for_peer("s", SOON).unwrap();
        assert_eq!((peer.address, peer.directions), (here, Directions::UP));
        let nobody = other.wait_for_peer("c", Duration::from_millis(300)).unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::NodeNotFound);
        drop(server);
    });
}

#[test]
fn disconnecting_an_address_ends_those_who_wait_for_it() {
    bounded("cancelled", LIMIT, || {
        let address = place();
        let client = builder("c").start().unwrap();
        thread::scope(|scope| {
            let (tell, told) = channel();
            let client = &client;
            scope.spawn(move || {
                let error = client.connect(address).unwrap_err();
                tell.send((error.kind(), error.execution())).unwrap();
            });
            let mut ended = None;
            eventually("the connect has ended", || {
                client.disconnect(address).unwrap();
                ended = told.try_recv().ok();
                ended.is_some()
            });
            assert_eq!(ended, Some((ErrorKind::Cancelled, Execution::Never)));
        });
    });
}
