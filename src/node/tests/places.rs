//! Calls by path to addresses: who dials, for how long, and whom that must not hold up; and how the node itself looks from there.

use std::net::TcpListener;

use super::*;
use crate::address::Address;
use crate::node_event::Directions;
use crate::routing::{
    FirstFind, Observation, Outgoing, PathTable, SendStrategy, SendTarget, SendToTarget, Targets,
    send_strategy_fn,
};

/// Takes connections and says nothing.
fn silent() -> (TcpListener, Address) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().into();
    (silent, address)
}

#[test]
fn what_tries_does_not_dial() {
    let _bound = crate::bound::bound();
    let (silent, address) = silent();
    let lone = node("lone");
    let there = lone.by_path(SendToTarget::new(address.clone())).timeout(LONG);
    let tries: [&dyn Fn() -> Result<(), Error>; 2] =
        [&|| there.try_start::<(), _>("/x", &()).map(drop), &|| there.try_tick("/x", &())];
    for tries in tries {
        let error = tries().unwrap_err();
        assert_eq!((error.kind(), error.execution()), (ErrorKind::NodeNotFound, Execution::Never));
        assert!(error.message().contains(&address.to_string()), "{error}");
        assert!(error.message().contains("does not dial"), "{error}");
    }
    silent.set_nonblocking(true).unwrap();
    assert!(silent.accept().is_err(), "nobody has dialled it");
}

#[test]
fn what_tries_goes_to_an_address_that_is_connected() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    server.register("/x", |_: Request<()>| Ok(7)).unwrap();
    let there = client.by_path(SendToTarget::new(server.local_addr().unwrap()));
    assert_eq!(there.try_request::<i64, _>("/x", &()).unwrap(), 7);
    there.try_tick("/x", &()).unwrap();
}

#[test]
fn ticks_to_known_nodes_do_not_wait_for_a_dial() {
    let _bound = crate::bound::bound();
    let (silent, address) = silent();
    let lone = node("lone");
    let (tell, told) = bounded(1);
    lone.on_tick("/x", move |_: Tick<()>| tell.send(()).unwrap()).unwrap();
    let by = send_strategy_fn(move |message, nodes| {
        let at = SendTarget::at(address.clone(), message.pattern());
        Targets::Each(vec![at, nodes.own().unwrap().target(message.pattern())])
    });
    std::thread::scope(|scope| {
        let call = lone.call("/x").by(by).timeout(LONG);
        let ticking = scope.spawn(move || call.tick(&()).unwrap());
        // As long as this connection is silent, the dial is not over.
        let dialled = silent.accept().unwrap();
        told.recv_timeout(SOON).unwrap();
        drop((dialled, silent));
        let told = ticking.join().unwrap();
        assert_eq!((told.sent, told.skipped.len()), (1, 1));
        assert!(told.skipped[0].0.address().is_some());
    });
}

#[test]
fn ticks_to_addresses_go_out_as_each_is_reached() {
    let _bound = crate::bound::bound();
    let (silent, address) = silent();
    let server = Node::builder().id("server").bind("127.0.0.1:0").start().unwrap();
    let there = Address::from(server.local_addr().unwrap());
    let (tell, told) = bounded(1);
    server.on_tick("/x", move |_: Tick<()>| tell.send(()).unwrap()).unwrap();
    let lone = node("lone");
    let by = send_strategy_fn(move |message, _| {
        let at = |address: &Address| SendTarget::at(address.clone(), message.pattern());
        Targets::Each(vec![at(&address), at(&there)])
    });
    std::thread::scope(|scope| {
        let call = lone.call("/x").by(by).timeout(LONG);
        let ticking = scope.spawn(move || call.tick(&()).unwrap());
        let dialled = silent.accept().unwrap();
        told.recv_timeout(LONG / 4).unwrap();
        drop((dialled, silent));
        let told = ticking.join().unwrap();
        assert_eq!((told.sent, told.skipped.len()), (1, 1));
    });
}

#[test]
fn an_address_that_is_connected_stands_behind_somebody_who_does_not_serve_it() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    server.register("/x", |_: Request<()>| Ok(7)).unwrap();
    let address = Address::from(server.local_addr().unwrap());
    let by = send_strategy_fn(move |message, nodes| {
        let own = nodes.own().unwrap().target(message.pattern());
        Targets::InOrder(vec![own, SendTarget::at(address.clone(), message.pattern())])
    });
    assert_eq!(client.call("/x").by(by).request::<i64>(&()).unwrap(), 7);
}

#[test]
fn a_dial_leaves_half_of_the_time_to_those_behind_it() {
    let _bound = crate::bound::bound();
    let (_silent, address) = silent();
    let lone = node("lone");
    lone.register("/x", |_: Request<()>| Ok(7)).unwrap();
    let by = send_strategy_fn(move |message, nodes| {
        let own = nodes.own().unwrap().target(message.pattern());
        Targets::InOrder(vec![SendTarget::at(address.clone(), message.pattern()), own])
    });
    let timeout = Duration::from_secs(1);
    let began = Instant::now();
    let call = lone.call("/x").by(by).timeout(timeout);
    assert_eq!(call.request::<i64>(&()).unwrap(), 7);
    assert!(began.elapsed() >= timeout / 2 && began.elapsed() < timeout, "{:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(call.tick(&()).unwrap().sent, 1);
    assert!(began.elapsed() < timeout, "{:?}", began.elapsed());
}

/// Counts what it hears.
struct Heard(Arc<AtomicUsize>);

impl SendStrategy for Heard {
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
        FirstFind.targets(message, nodes)
    }

    fn observe(&self, _: &Observation<'_>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn send_strategies_hear_nothing_of_ticks() {
    let _bound = crate::bound::bound();
    let lone = node("lone");
    lone.register("/x", |_: Request<()>| Ok(())).unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    lone.call("/x").by(Heard(Arc::clone(&heard))).tick(&()).unwrap();
    let call = lone.by_path(Heard(Arc::clone(&heard)));
    call.tick("/x", &()).unwrap();
    call.try_tick("/x", &()).unwrap();
    assert_eq!(heard.load(SeqCst), 0);
    call.request::<(), _>("/x", &()).unwrap();
    assert_eq!(heard.load(SeqCst), 1);
}

#[test]
fn limited_directions_go_to_no_address_that_is_the_node_itself() {
    let _bound = crate::bound::bound();
    let lone = Node::builder().id("lone").bind("127.0.0.1:0").start().unwrap();
    lone.register("/x", |_: Request<()>| Ok(())).unwrap();
    let call = lone.call("/x").by(SendToTarget::new(lone.local_addr().unwrap()));
    let up = call.directions(Directions::UP).request::<()>(&());
    assert_eq!(kind(up), ErrorKind::NodeNotFound);
}
