//! Meshes in which everybody is connected to everybody: the ninth section of the scenarios. Each test bears the number of its row.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ciborium::Value;
use threadmesh::{ErrorKind, Joined, Node, Request};

use crate::support::alien::LISTENER_MAGIC;
use crate::support::impostor::{frame, message};
use crate::support::{
    AT_ONCE, SOON, bounded, builder, eventually, joined, let_pass, listening, place, took,
};

const LIMIT: Duration = Duration::from_secs(60);

fn address(node: &Node) -> SocketAddr {
    node.local_addr().expect("it listens")
}

fn known(node: &Node) -> Vec<String> {
    let mut ids: Vec<String> = node.peers().iter().map(|peer| peer.id.to_string()).collect();
    ids.sort();
    ids
}

/// The first listens, the others have joined through it.
fn mesh(ids: &[&str]) -> Vec<Node> {
    let nodes: Vec<Node> = ids.iter().map(|id| listening(id)).collect();
    for node in &nodes[1..] {
        node.join([address(&nodes[0])]).expect("the seed answers");
    }
    nodes
}

/// Everybody knows everybody else.
fn all_know(nodes: &[Node]) {
    for node in nodes {
        let others =
            nodes.iter().map(|other| other.id().to_string()).filter(|id| node.id() != id.as_str());
        let mut others: Vec<String> = others.collect();
        others.sort();
        eventually(&format!("{} knows {others:?}", node.id()), || known(node) == others);
    }
}

#[test]
fn t241_who_stops_is_known_to_be_gone_by_all_others() {
    bounded("t241", LIMIT, || {
        let mut nodes = mesh(&["a", "b", "c", "d", "e", "f", "g", "h"]);
        all_know(&nodes);
        for gone in nodes.split_off(5) {
            gone.stop().unwrap();
        }
        all_know(&nodes);
    });
}

#[test]
fn t242_a_newcomer_that_knows_one_seed_is_connected_to_all() {
    bounded("t242", LIMIT, || {
        let mut nodes = mesh(&["x", "y", "z"]);
        let newcomer = listening("p");
        let joined = newcomer.join([address(&nodes[0])]).unwrap();
        assert_eq!(joined.seed.unwrap(), "x");
        assert_eq!(joined.reached, ["y", "z"]);
        assert!(joined.unreached.is_empty());
        assert_eq!(known(&newcomer), ["x", "y", "z"], "when it returns");
        // And the other way round, at once.
        assert_eq!(nodes[2].wait_for_peer("p", SOON).unwrap().id, "p");
        nodes.push(newcomer);
        all_know(&nodes);
    });
}

#[test]
fn t244_a_service_that_is_registered_later_can_be_called_at_once_by_all() {
    bounded("t244", LIMIT, || {
        let nodes = mesh(&["x", "y", "z"]);
        nodes[1].on_request("late", |_: Request<()>| Ok(7)).unwrap();
        for node in [&nodes[0], &nodes[2]] {
            let peer = took(AT_ONCE, || node.wait_for_service("late", SOON).unwrap());
            assert_eq!(peer.id, "y");
            assert_eq!(node.request::<u32, _>("y", "late", &()).unwrap(), 7);
        }
        // By path nobody need know where it is.
        nodes[1].register("/late", |_: Request<()>| Ok(8)).unwrap();
        for node in &nodes {
            let call = node.call("/late").wait_for_match(SOON);
            assert_eq!(took(AT_ONCE, || call.request::<u32>(&()).unwrap()), 8);
            assert_eq!(node.call("/late").request::<u32>(&()).unwrap(), 8, "and from now on");
        }
    });
}

#[test]
fn t245_a_member_that_is_announced_again_stays_reachable_without_a_gap() {
    bounded("t245", LIMIT, || {
        let nodes = mesh(&["x", "y", "z"]);
        nodes[1].on_request("ping", |_: Request<()>| Ok(())).unwrap();
        nodes[1].register("/ping", |_: Request<()>| Ok(())).unwrap();
        nodes[2].wait_for_service("/ping", SOON).unwrap();
        let seeds = [address(&nodes[0]), address(&nodes[2])];
        std::thread::scope(|scope| {
            let joins = scope.spawn(|| {
                for at in 0..20 {
                    nodes[1].join([seeds[at % 2]]).unwrap();
                }
            });
            let mut calls = 0;
            while !joins.is_finished() || calls < 200 {
                nodes[2].request::<(), _>("y", "ping", &()).unwrap();
                nodes[2].call("/ping").request::<()>(&()).unwrap();
                calls += 1;
            }
        });
        all_know(&nodes);
    });
}

#[test]
fn t247_two_members_in_one_process_are_configured_independently() {
    bounded("t247", LIMIT, || {
        let seed = listening("seed");
        let slow = builder("slow").request_timeout(Duration::from_secs(5)).bind("127.0.0.1:0");
        let hasty = builder("hasty").request_timeout(Duration::from_millis(50)).bind("127.0.0.1:0");
        let (slow, hasty) = (slow.start().unwrap(), hasty.start().unwrap());
        slow.join([address(&seed)]).unwrap();
        hasty.join([address(&seed)]).unwrap();
        seed.on_request("wait", |request: Request<u64>| {
            let_pass(Duration::from_millis(request.data));
            Ok(())
        })
        .unwrap();
        assert!(slow.request::<(), _>("seed", "wait", &200u64).is_ok());
        let error = hasty.request::<(), _>("seed", "wait", &200u64).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RequestTimeout);
        hasty.stop().unwrap();
        slow.request::<(), _>("seed", "wait", &0u64).unwrap();
        assert_eq!(slow.join([address(&seed)]).unwrap().reached, [""; 0]);
    });
}

#[test]
fn nodes_that_share_one_list_of_seeds_find_each_other_whoever_is_first() {
    bounded("shared list", LIMIT, || {
        let places = [place(), place(), place()];
        let seeds = [places[0], places[1]];
        let nodes: Vec<Node> = places
            .iter()
            .zip(["a", "b", "c"])
            .map(|(place, id)| builder(id).bind(*place).start().unwrap())
            .collect();
        std::thread::scope(|scope| {
            for node in &nodes {
                scope.spawn(|| node.join(seeds).unwrap());
            }
        });
        all_know(&nodes);
        // Alone with a list that names only itself.
        let alone = listening("alone");
        let joined = alone.join([address(&alone)]).unwrap();
        assert!(joined.seed.is_none() && joined.reached.is_empty());
    });
}

#[test]
fn the_first_that_starts_with_a_list_that_names_it_joins_at_once_and_is_found_by_the_others() {
    bounded("first of all", LIMIT, || {
        let places = [place(), place(), place()];
        let start = |at: usize| builder(["a", "b", "c"][at]).bind(places[at]).start().unwrap();
        // In an order that is not that of the list, each a while after the one before.
        let second = start(1);
        let joined = took(AT_ONCE, || second.join(places).unwrap());
        assert_eq!((joined.seed, joined.reached.len(), joined.unreached.len()), (None, 0, 0));
        let_pass(Duration::from_millis(300));
        let third = start(2);
        assert_eq!(took(AT_ONCE, || third.join(places).unwrap()).seed.unwrap(), "b");
        let first = start(0);
        let joined = first.join(places).unwrap();
        assert_eq!((joined.seed.unwrap().as_str(), joined.reached.len()), ("b", 1));
        all_know(&[first, second, third]);
    });
}

#[test]
fn two_that_were_the_first_of_their_meshes_are_one_when_a_seed_of_both_comes() {
    bounded("islands", LIMIT, || {
        let (common, own) = (place(), [place(), place()]);
        let start = |id, at: SocketAddr| builder(id).bind(at).start().unwrap();
        let (left, right) = (start("left", own[0]), start("right", own[1]));
        for (node, own) in [(&left, own[0]), (&right, own[1])] {
            assert_eq!(node.join([common, own]).unwrap().seed, None);
        }
        let guest = joined("guest", &right);
        guest.join([own[1]]).unwrap();
        // It joins nobody itself: both are looking for it.
        let seed = start("seed", common);
        all_know(&[left, right, seed, guest]);
    });
}

#[test]
fn who_is_a_seed_under_another_address_than_it_is_bound_to_finds_itself() {
    bounded("by another address", LIMIT, || {
        // What it advertises is not dialled: there is nobody at port 9 of a net for documentation.
        let elsewhere = "192.0.2.1:9";
        let node = builder("n").advertise(elsewhere).bind("127.0.0.1:0").start().unwrap();
        let joined = took(AT_ONCE, || node.join([elsewhere, &place().to_string()]).unwrap());
        assert_eq!(joined.seed, None);

        // Bound to all addresses, it dials one of them, and finds itself there.
        let node = builder("all").bind("0.0.0.0:0").start().unwrap();
        let own = format!("127.0.0.1:{}", address(&node).port());
        let joined = took(AT_ONCE, || node.join([place().to_string(), own]).unwrap());
        assert_eq!(joined.seed, None);
        assert!(node.peers().is_empty());
    });
}

#[test]
fn a_seed_that_is_there_and_refuses_is_no_reason_to_be_the_first() {
    bounded("refused", LIMIT, || {
        let other = listening("same");
        let node = builder("same").connect_timeout(Duration::from_millis(300));
        let node = node.bind("127.0.0.1:0").start().unwrap();
        let error = node.join([address(&node), address(&other)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
        assert!(error.message().contains("is this node itself"), "{error}");
        assert!(error.message().contains("same"), "{error}");
    });
}

#[test]
fn a_seed_that_says_in_its_refusal_that_it_is_this_node_is_not_believed() {
    bounded("refused as itself", LIMIT, || {
        let liar = TcpListener::bind("127.0.0.1:0").unwrap();
        let seed = liar.local_addr().unwrap();
        let done = AtomicBool::new(false);
        let lie = || {
            // The greeting of a listener, and a refusal (7) for the reason that the address is that of the dialler (14).
            let refusal = [Value::from(14_u64), Value::from("you have dialled yourself")];
            let refusal = frame(message(7, 0, refusal));
            let greeting = [&LISTENER_MAGIC[..], &[0, 1, 0, 1, 0, 1, 0, 1]].concat();
            for stream in liar.incoming() {
                if done.load(SeqCst) {
                    break;
                }
                let mut stream = stream.unwrap();
                let _ = stream.write_all(&greeting).and_then(|()| stream.write_all(&refusal));
                let _ = stream.read(&mut [0; 1_024]);
            }
        };
        std::thread::scope(|scope| {
            let lies = scope.spawn(lie);
            let node = builder("n").connect_timeout(Duration::from_millis(400)).start().unwrap();
            let joined = node.join([seed]);
            done.store(true, SeqCst);
            TcpStream::connect(seed).unwrap();
            lies.join().unwrap();
            let error = joined.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
            assert!(error.message().contains("refused this node"), "{error}");
        });
    });
}

#[test]
fn a_handler_may_join() {
    bounded("in a handler", LIMIT, || {
        let nodes = mesh(&["x", "y"]);
        let (node, asks) = (listening("n"), builder("asks").start().unwrap());
        let (handle, seed) = (node.handle(), address(&nodes[0]));
        let join = move |_: Request<()>| {
            let joined = handle.join([seed])?;
            Ok(joined.reached.len())
        };
        node.on_request("join", join).unwrap();
        asks.connect(address(&node)).unwrap();
        assert_eq!(asks.request::<usize, _>("n", "join", &()).unwrap(), 1);
        assert_eq!(known(&nodes[1]), ["n", "x"]);
    });
}

#[test]
fn a_seed_that_was_down_is_found_later() {
    bounded("seed down", LIMIT, || {
        let (down, up) = (place(), listening("up"));
        let node = listening("n");
        let joined = node.join([down, address(&up)]).unwrap();
        assert_eq!(joined.seed.unwrap(), "up");
        let late = builder("late").bind(down).start().unwrap();
        all_know(&[node, up, late]);
    });
}

#[test]
fn a_join_in_vain_names_every_seed_and_leaves_nothing_behind() {
    bounded("in vain", LIMIT, || {
        let seeds = [place(), place()];
        let node = builder("n").connect_timeout(Duration::from_millis(400)).start().unwrap();
        let began = Instant::now();
        let error = node.join(seeds).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
        assert!(began.elapsed() < SOON);
        for seed in seeds {
            assert!(error.message().contains(&seed.to_string()), "{error}");
        }
        let server = builder("s").bind(seeds[0]).start().unwrap();
        let waited = server.wait_for_peer("n", Duration::from_millis(300)).unwrap_err();
        assert_eq!(waited.kind(), ErrorKind::NodeNotFound);
        let none: [SocketAddr; 0] = [];
        assert_eq!(node.join(none).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(node.join(["no address"]).unwrap_err().kind(), ErrorKind::InvalidAddress);
    });
}

#[test]
fn a_stop_ends_a_join_that_waits_for_its_seeds() {
    bounded("stop", LIMIT, || {
        let (seed, node) = (place(), builder("n").start().unwrap());
        std::thread::scope(|scope| {
            let joins = scope.spawn(|| node.join([seed]).unwrap_err());
            let_pass(Duration::from_millis(100));
            node.stop().unwrap();
            assert_eq!(took(AT_ONCE, || joins.join().unwrap()).kind(), ErrorKind::Closed);
        });
    });
}

#[test]
fn who_does_not_listen_is_a_peer_of_all_and_named_to_nobody() {
    bounded("guest", LIMIT, || {
        let nodes = mesh(&["x", "y"]);
        let guest = builder("guest").start().unwrap();
        let joined: Joined = guest.join([address(&nodes[0])]).unwrap();
        assert_eq!(joined.reached, ["y"]);
        let late = listening("late");
        assert_eq!(late.join([address(&nodes[1])]).unwrap().reached, ["x"]);
        // Its seed tells it of the newcomer, which it dials itself.
        assert_eq!(guest.wait_for_peer("late", SOON).unwrap().id, "late");
    });
}
