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
        told.recv_timeout(LONG / 4).unwrap();
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

#[test]
fn a_dial_that_a_stop_cuts_short_is_closed() {
    let _bound = crate::bound::bound();
    let (silent, address) = silent();
    let lone = node("lone");
    std::thread::scope(|scope| {
        let call = lone.call("/x").by(SendToTarget::new(address)).timeout(LONG);
        let asking = scope.spawn(move || call.request::<()>(&()));
        let _dialled = silent.accept().unwrap();
        lone.stop().unwrap();
        let error = asking.join().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.execution()), (ErrorKind::Closed, Execution::Never));
    });
}

/// Somebody waits for a match with this strategy, and finds one when `change` has been made.
fn hears(
    lone: &Node,
    by: Option<impl Fn(&PathTable) -> bool + Send + Sync + 'static>,
    change: impl FnOnce(),
) {
    let (asked, is_asked) = unbounded();
    let named = by.is_some();
    let strategy = send_strategy_fn(move |message, nodes| {
        let _ = asked.send(());
        let suits = by.as_ref().is_some_and(|by| by(nodes));
        if suits { FirstFind.targets(message, nodes) } else { Targets::nobody() }
    });
    std::thread::scope(|scope| {
        let call = lone.call("/x").wait_for_match(LONG);
        let call = if named {
            call.by(strategy)
        } else {
            lone.set_send_strategy(strategy).unwrap();
            call
        };
        let asking = scope.spawn(move || {
            call.request::<()>(&()).unwrap();
            Instant::now()
        });
        // What comes behind the first look, it hears of.
        is_asked.recv_timeout(LONG).unwrap();
        let began = Instant::now();
        change();
        let took = asking.join().unwrap().saturating_duration_since(began);
        assert!(took < LONG / 4, "{took:?}");
    });
}

#[test]
fn who_waits_for_a_match_hears_of_changes_of_the_node_itself() {
    let _bound = crate::bound::bound();
    let lone = node("lone");
    lone.register("/x", |_: Request<()>| Ok(())).unwrap();
    let is_open = |nodes: &PathTable| nodes.own().unwrap().options().get_bool("open") == Some(true);
    hears(&lone, Some(is_open), || lone.set_options(crate::options! { "open": true }).unwrap());
    let listens = |nodes: &PathTable| nodes.own().unwrap().address().is_some();
    hears(&lone, Some(listens), || assert!(lone.bind("127.0.0.1:0").is_ok()));
    let does_not = move |nodes: &PathTable| !listens(nodes);
    hears(&lone, Some(does_not), || lone.unbind().unwrap());
    let by = None::<fn(&PathTable) -> bool>;
    hears(&lone, by, || lone.set_send_strategy(FirstFind).unwrap());
}

#[test]
fn a_send_strategy_that_keeps_a_handle_is_let_go_with_its_node() {
    let _bound = crate::bound::bound();
    let kept = Arc::new(());
    let lone = node("lone");
    let keep = (lone.handle(), Arc::clone(&kept));
    let keeping = send_strategy_fn(move |_, _| {
        let _ = &keep;
        Targets::nobody()
    });
    lone.set_send_strategy(keeping.clone()).unwrap();
    lone.stop().unwrap();
    assert_eq!(kind(lone.set_send_strategy(keeping)), ErrorKind::Closed);
    assert_eq!(Arc::strong_count(&kept), 1);
}

#[test]
fn who_listens_everywhere_has_no_address_that_leads_nowhere() {
    let _bound = crate::bound::bound();
    let lone = Node::builder().id("lone").bind("0.0.0.0:0").start().unwrap();
    lone.register("/x", |_: Request<()>| Ok(7)).unwrap();
    let table = lone.path_table();
    let own = table.own().unwrap();
    assert_eq!((own.address(), own.host()), (None, None));
    // It is reached all the same, also by what it is bound to.
    let bound = lone.local_addr().unwrap();
    for at in [([127, 0, 0, 1], bound.port()).into(), bound] {
        let call = lone.call("/x").by(SendToTarget::new(at)).timeout(LONG);
        assert_eq!(call.request::<i64>(&()).unwrap(), 7, "{at}");
    }
    let named = Node::builder().host("here").bind("0.0.0.0:0").start().unwrap();
    assert_eq!(named.path_table().own().unwrap().host(), Some("here"));
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

/// Panics when it is asked whether it may be a default.
struct Shy;

impl SendStrategy for Shy {
    fn targets(&self, _: &Outgoing<'_>, _: &PathTable) -> Targets {
        Targets::nobody()
    }

    fn check_default(&self) -> Result<(), Error> {
        panic!("it does not say")
    }
}

#[test]
fn a_default_that_panics_is_refused_whoever_sets_it() {
    let _bound = crate::bound::bound();
    let built = Node::builder().send_strategy(Shy).start();
    assert_eq!(kind(built.map(drop)), ErrorKind::UserCodePanicked);
    assert_eq!(kind(node("lone").set_send_strategy(Shy)), ErrorKind::UserCodePanicked);
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
