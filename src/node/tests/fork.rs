//! What a forked child may do with the nodes of its parent: nothing, and at once. `home::fork` tells how these tests fork.

use super::*;
use crate::home::fork;
use crate::options::Options;
use crate::routing::{BroadcastGlobal, Filter, SendToTarget};

/// The parent's node: `client`, connected to `server`, which handles `echo`.
fn family() -> (Node, Node) {
    let (server, client) = pair();
    server.on_request("echo", |request: Request<i64>| Ok(request.data)).unwrap();
    (server, client)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.message().contains("fork"), "{error}");
}

// covers P39
#[test]
fn every_verb_fails_in_a_child_and_the_parent_goes_on() {
    let _bound = crate::bound::bound();
    let (server, client) = family();
    let address = server.local_addr().unwrap();
    let mut before = client.events();
    let registration = client.on_tick("t", |_: Tick<()>| {}).unwrap();
    let callback = client.on_event(|_| {}).unwrap();
    let child = fork();
    let began = Instant::now();
    refused(client.request::<i64, _>("server", "echo", &1));
    refused(client.start::<i64, _>("server", "echo", &1));
    assert_eq!(client.to("server").ticks("t", [1, 2]).accepted, 0);
    refused((0..100).try_for_each(|_| client.tick("server", "t", &1)));
    refused(client.to("server").try_tick("t", &1));
    refused(client.to("server").try_request::<i64, _>("echo", &1));
    refused(client.any("server").tick("t", &1));
    refused(client.any(Filter::any()).tick("t", &1));
    refused(client.any(Filter::any().eq("x", 1)).request::<i64, _>("echo", &1));
    refused(client.all("server").request::<i64, _>("echo", &1));
    refused(client.all("server").tick("t", &1));
    refused(client.flush("server", LONG));
    refused(client.flush_all(LONG));
    refused(client.wait_for_service("echo", LONG));
    refused(client.call("/echo").request::<i64>(&1));
    refused(client.call("/echo").wait_for_match(LONG).start::<i64>(&1));
    refused(client.call("/echo").by(BroadcastGlobal).request_all::<i64>(&1));
    refused(client.call("/echo").by(BroadcastGlobal).tick(&1));
    refused(client.call("/echo").by(SendToTarget::new(address)).request::<i64>(&1));
    refused(client.register("/echo", |_: Request<()>| Ok(())));
    refused(client.set_send_strategy(BroadcastGlobal));
    assert!(client.path_table().is_empty());
    refused(client.on_event(|_| {}));
    refused(client.bind("127.0.0.1:0"));
    refused(client.unbind());
    refused(client.connect(address));
    refused(client.connect_always(address));
    refused(client.disconnect("server"));
    refused(client.local_addr());
    refused(client.set_options(Options::default()));
    refused(client.update_options(&Options::default()));
    refused(client.wait_for_peer("server", LONG));
    refused(client.on_request("x", |_: Request<()>| Ok(())));
    refused(client.on_tick("x", |_: Tick<()>| {}));
    refused(client.off("t"));
    refused(client.stop());
    refused(client.wait());
    assert!(client.peers().is_empty() && client.peer_options("server").is_none());
    assert!(client.peer_id_by_address(address).is_none());
    assert_eq!(client.options().get_str("_id"), Some("client"));
    assert!(before.next().is_none() && client.events().next().is_none());
    assert!(!registration.remove() && !callback.remove());
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    drop(child);
    assert_eq!(client.request::<i64, _>("server", "echo", &7).unwrap(), 7);
    assert_eq!(client.off("t").unwrap(), 1, "the child removed nothing");
    assert!(client.stop().unwrap().is_clean());
}

// covers P39
#[test]
fn no_lock_that_was_held_at_the_fork_holds_a_child_up() {
    let _bound = crate::bound::bound();
    let (_server, client) = family();
    let mut before = client.events();
    let core = client.shared();
    let held = (lock(&core.options), lock(&core.bound.turn), lock(&core.bound.address));
    let held = (held, lock(&core.own), core.send_strategy.write());
    let child = fork();
    assert!(client.path_table().is_empty());
    refused(client.call("/echo").request::<i64>(&1));
    refused(client.set_send_strategy(BroadcastGlobal));
    assert_eq!(client.options().get_str("_id"), Some("client"));
    refused(client.unbind());
    refused(client.set_options(Options::default()));
    assert!(format!("{client:?}").contains("client"));
    assert!(before.try_next().is_none());
    drop((child, held));
}

// covers P39
#[test]
fn a_child_neither_ends_a_request_of_its_parent_nor_its_node() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    let (go, gate) = bounded::<()>(0);
    let slow = move |request: Request<i64>| {
        let _ = gate.recv();
        Ok(request.data)
    };
    server.on_request("slow", slow).unwrap();
    let dropped = client.start::<i64, _>("server", "slow", &1).unwrap();
    let mut kept = client.start::<i64, _>("server", "slow", &2).unwrap();
    let gathered = client.request_all::<i64, _>("server", "slow", &3).unwrap();
    let handle = client.handle();
    let child = fork();
    drop(dropped);
    let error = kept.wait_timeout(LONG).unwrap().unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::Closed, Execution::Unknown));
    kept.cancel();
    let began = Instant::now();
    let (peer, error) = gathered.finish().errors.pop().unwrap();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::Closed, Execution::Unknown));
    assert!(peer == "server" && began.elapsed() < SOON, "{:?}", began.elapsed());
    drop(client);
    drop(child);
    drop(go);
    assert_eq!(kept.wait().unwrap().value, 2, "nobody cancelled it");
    assert_eq!(handle.peers().len(), 1, "nobody stopped the node");
    handle.stop().unwrap();
}
