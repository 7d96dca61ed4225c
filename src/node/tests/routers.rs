//! Calls that go through routers, from the caller's side: which plans are made, and what is said when routers found nobody. What routers
//! do with them is the engine's.

use std::sync::Mutex;

use super::*;
use crate::event::EventName;
use crate::headers::Headers;
use crate::id::{NodeId, PeerKey};
use crate::node::call::Call;
use crate::node::core::Core;
use crate::node::listing::behind;
use crate::node::lookup::{Lookup, Room};
use crate::node::onward::{Routed, Sought};
use crate::node_event::Directions;
use crate::payload::Payload;
use crate::proto::{Answered, Command, Done, Input, Message, Tick as PostedTick};
use crate::routing::{
    Destination, Filter, First, Observation, Plan, RoundRobin, Route, Strategy, strategy_fn,
};
use crate::{filter, options, predicate};

/// A node that says it is a router, which is all that its peers go by.
fn switch(id: &str) -> Node {
    let options = options! { "router": true, "kind": "switch" };
    Node::builder().id(id).options(options).bind("127.0.0.1:0").start().unwrap()
}

/// A client that is connected to these.
fn client_of(others: &[&Node]) -> Node {
    let client = node("client");
    for other in others {
        client.connect(other.local_addr().unwrap()).unwrap();
    }
    client
}

fn worker(id: &str) -> Node {
    let options = options! { "role": "worker" };
    Node::builder().id(id).options(options).bind("127.0.0.1:0").start().unwrap()
}

fn message(event: &str) -> Message {
    let event = EventName::new(event).unwrap();
    Message { event, headers: Headers::default(), payload: Payload::null() }
}

fn look(call: &Call<'_>) -> Result<Lookup, Error> {
    let deadline = Instant::now() + LONG;
    call.lookup(&message("/x"), Some(deadline), Room::Awaited)
}

fn plan(call: &Call<'_>) -> Plan {
    look(call).unwrap().plan(None)
}

fn key(client: &Node, id: &str) -> PeerKey {
    client.core().directory().get(id).unwrap().key
}

fn id(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

fn destination_of(filter: &Filter) -> Destination {
    Destination::Filter(filter.encoded())
}

#[test]
fn routers_stand_behind_matches_if_they_may_place_the_message() {
    let _bound = crate::bound::bound();
    let (server, router) = (worker("server"), switch("r"));
    let workers = filter! { "role": "worker" };
    let without = Node::builder().start().unwrap();
    without.connect(server.local_addr().unwrap()).unwrap();
    assert_eq!(plan(&without.any(&workers)).route, None);
    let client = client_of(&[&router, &server]);
    let behind = Some(Box::new(Route::new(Some(destination_of(&workers)))));
    let to = || client.any(&workers);
    for (call, route) in [
        (to(), behind.clone()),
        (to().up().via_router(), behind.clone()),
        (to().up(), None),
        (to().local_only(), None),
        (to().strategy(First), None),
        (to().except("somebody"), None),
        (client.any(workers.clone().when(|_| true)), None),
        (to().copy_past([&id("r")]), None),
        (client.to("server"), None),
        (client.any("server"), None),
    ] {
        let plan = plan(&call);
        assert_eq!(
            (plan.first.peer, plan.first.onward),
            (key(&client, "server"), None),
            "{call:?}"
        );
        assert_eq!(plan.route, route, "{call:?}");
    }
    let to_id = Some(Box::new(Route::new(Some(Destination::Id(id("server"))))));
    assert_eq!(plan(&client.to("server").via_router()).route, to_id);
    assert_eq!(plan(&client.any("server").via_router()).route, to_id);
}

#[test]
fn a_router_is_a_match_like_any_peer_unless_anybody_will_do() {
    let _bound = crate::bound::bound();
    let router = switch("r");
    let client = client_of(&[&router]);
    assert_eq!(plan(&client.any(filter! { "kind": "switch" })).first.onward, None);
    let anybody = plan(&client.any(Filter::any()));
    let asked = Destination::Filter(Arc::from([0xa0]));
    assert_eq!(anybody.first.onward, Some(Box::new(asked.clone())));
    assert_eq!(anybody.route, Some(Box::new(Route::new(Some(asked)))));
}

#[test]
fn each_call_begins_with_the_next_router() {
    let _bound = crate::bound::bound();
    let routers = ["r1", "r2", "r3"].map(switch);
    let client = client_of(&[&routers[0], &routers[1], &routers[2]]);
    let call = client.any(filter! { "role": "worker" });
    let asked: Vec<PeerKey> = (0..30).map(|_| plan(&call).first.peer).collect();
    for router in ["r1", "r2", "r3"] {
        let key = key(&client, router);
        assert_eq!(asked.iter().filter(|asked| **asked == key).count(), 10, "{asked:?}");
    }
    // One of them leaves, and nobody of the others has two turns in a row.
    routers[1].stop().unwrap();
    let since = Instant::now();
    while client.core().directory().routers().len() > 2 {
        assert!(since.elapsed() < LONG);
        std::thread::yield_now();
    }
    let asked: Vec<PeerKey> = (0..10).map(|_| plan(&call).first.peer).collect();
    assert!(asked.windows(2).all(|pair| pair[0] != pair[1]), "{asked:?}");
}

#[test]
fn a_message_that_a_router_places_takes_the_room_of_a_call() {
    let _bound = crate::bound::bound();
    let router = switch("r");
    let client = client_of(&[&router]);
    let gauge = || client.core().directory().get("r").unwrap().up.clone().unwrap().gauge;
    let mut lookup = look(&client.any(filter! { "role": "worker" })).unwrap();
    assert!(lookup.take_call(&message("x"), Room::Now).unwrap().room.is_some());
    let plan = lookup.take_tick(&message("x")).unwrap();
    assert_eq!((gauge().calls(), gauge().unconfirmed()), (2, 0));
    let tick = PostedTick { plan, message: message("x"), wait: None };
    client.core().give_back(&Input::Command(Command::Tick(tick)));
    assert_eq!((gauge().calls(), gauge().unconfirmed()), (1, 0));
}

#[test]
fn a_limited_direction_is_no_way_to_a_router() {
    let _bound = crate::bound::bound();
    let router = switch("r");
    let client = client_of(&[&router]);
    let workers = filter! { "role": "worker" };
    let call = client.any(&workers).down();
    assert_eq!(kind(look(&call)), ErrorKind::NoNodesMatchFilter);
    let first = plan(&call.via_router()).first;
    assert_eq!(first.directions, Directions::BOTH);
    assert_eq!(first.onward, Some(Box::new(destination_of(&workers))));
    let none = client.any(&workers).directions(Directions::NONE).via_router();
    assert_eq!(kind(look(&none)), ErrorKind::NoNodesMatchFilter);
    assert_eq!(kind(look(&client.any(&workers).local_only())), ErrorKind::NoNodesMatchFilter);
}

#[test]
fn an_id_goes_through_routers_only_if_the_call_says_so() {
    let _bound = crate::bound::bound();
    let router = switch("r");
    let client = client_of(&[&router]);
    assert_eq!(kind(look(&client.to("far"))), ErrorKind::NodeNotFound);
    assert_eq!(kind(look(&client.any("far"))), ErrorKind::NodeNotFound);
    let plan = plan(&client.to("far").via_router());
    assert_eq!(plan.first.onward, Some(Box::new(Destination::Id(id("far")))));
    assert_eq!(plan.route, Some(Box::new(Route::new(Some(Destination::Id(id("far")))))));
    for call in [
        client.to("client").via_router(),
        client.to("far").except("far").via_router(),
        client.to("far").directions(Directions::NONE).via_router(),
        client.to("far").via_router().local_only(),
        client.to("far").except("r").via_router(),
    ] {
        assert_eq!(kind(look(&call)), ErrorKind::NodeNotFound, "{call:?}");
    }
}

#[test]
fn a_router_that_the_call_excepts_is_not_asked() {
    let _bound = crate::bound::bound();
    let routers = ["r1", "r2"].map(switch);
    let client = client_of(&[&routers[0], &routers[1]]);
    for _ in 0..4 {
        let plan = plan(&client.to("far").except("r1").except("other").via_router());
        assert_eq!(plan.first.peer, key(&client, "r2"));
        assert_eq!(plan.route.unwrap().visited, [id("r1")]);
    }
}

#[test]
fn what_tries_does_not_have_routers_list_anybody() {
    let _bound = crate::bound::bound();
    let router = switch("r");
    let client = client_of(&[&router]);
    let workers = filter! { "role": "worker" };
    let mut events = client.events();
    let calls = [
        client.any(workers.clone().when(|_| true)),
        client.any(&workers).strategy(First),
        client.any(&workers).except("w1"),
    ];
    for call in &calls {
        let error = call.try_start::<(), _>("x", &()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoNodesMatchFilter);
        assert!(error.message().contains("only tries"), "{error}");
        assert_eq!(kind(call.try_tick("x", &())), ErrorKind::NoNodesMatchFilter);
    }
    for _ in 0..2 * calls.len() {
        let told = |event: &NodeEvent| matches!(event, NodeEvent::Error(_));
        while !told(&events.next_timeout(LONG).unwrap()) {}
    }
    // A copy is for somebody who is a match here.
    let copy = client.any(&workers).copy_past([&id("w1")]);
    assert_eq!(kind(copy.try_start::<(), _>("x", &())), ErrorKind::NoNodesMatchFilter);
    assert!(events.try_next().is_none());
}

#[test]
fn a_batch_of_ticks_keeps_to_its_peer_or_its_router() {
    let _bound = crate::bound::bound();
    let (server, router) = (worker("server"), switch("r"));
    let client = client_of(&[&router, &server]);
    let (told, hears) = unbounded();
    server.on_tick("n", move |tick: Tick<u32>| told.send(tick.data).unwrap()).unwrap();
    let sent = client.any(filter! { "role": "worker" }).ticks("n", 0..100_u32);
    assert_eq!(sent.all().unwrap(), 100);
    client.flush("server", LONG).unwrap();
    assert!(hears.try_iter().eq(0..100));
}

#[test]
fn a_path_that_nobody_here_serves_goes_to_a_router_only_if_the_call_says_so() {
    let _bound = crate::bound::bound();
    let router = switch("r");
    let client = client_of(&[&router]);
    let far = client.call("math//*").timeout(LONG);
    assert_eq!(kind(far.request::<()>(&())), ErrorKind::NotFound);
    assert_eq!(kind(far.clone().via_router().request_all::<()>(&())), ErrorKind::NotFound);
    let none = far.clone().directions(Directions::NONE).via_router();
    assert_eq!(kind(none.request::<()>(&())), ErrorKind::NotFound);
    // Whoever means many means those who are known.
    let many = far.via_router().by(crate::SendToAll);
    assert_eq!(kind(many.tick(&())), ErrorKind::NotFound);
    let call = client.by_path(crate::FirstFind).via_router();
    let lookup = call.lookup(&message("math//*"), Some(Instant::now() + LONG), Room::Awaited);
    let plan = lookup.unwrap().plan(None);
    assert_eq!(plan.first.onward, Some(Box::new(Destination::Path)));
    assert_eq!(plan.first.event.unwrap().as_str(), "/math/*");
    assert!(plan.by_path);
    assert_eq!(plan.route, Some(Box::new(Route::new(Some(Destination::Path)))));
    client.register("/math/add", |_: Request<()>| Ok(7)).unwrap();
    assert_eq!(client.call("/math/*").via_router().request::<i64>(&()).unwrap(), 7);
}

#[test]
fn who_waits_for_a_match_is_content_with_a_router() {
    let _bound = crate::bound::bound();
    let (client, router) = (node("client"), switch("r"));
    std::thread::scope(|scope| {
        let call = client.any(filter! { "role": "worker" }).wait_for_match(LONG);
        let patient = call.clone().local_only().wait_for_match(Duration::from_millis(1));
        let waiting = scope.spawn(move || look(&call).unwrap().first.onward.is_some());
        client.connect(router.local_addr().unwrap()).unwrap();
        assert!(waiting.join().unwrap());
        assert_eq!(kind(look(&patient)), ErrorKind::NoNodesMatchFilter);
    });
}

/// Chooses among those whom a router has named.
fn chosen_behind(
    client: &Node,
    call: &Call<'_>,
    selector: &Selector,
    strategy: Option<&dyn Strategy>,
) -> Result<Vec<String>, Error> {
    let router = Arc::clone(client.core().directory().get("r").unwrap());
    let known = (1..=9).map(|n| (id(&format!("w{n}")), options! { "role": "worker", "load": n }));
    let directory = behind(&router, known.collect());
    let chosen = client.core().choose_among(&directory, call.wanted(selector), strategy)?;
    Ok(chosen.iter().map(|peer| peer.id.to_string()).collect())
}

#[test]
fn this_node_chooses_among_those_whom_a_router_names() {
    let _bound = crate::bound::bound();
    let router = switch("r");
    let client = client_of(&[&router]);
    let workers = filter! { "role": "worker" };
    let idle: Selector = workers.clone().when(|worker| worker.get_u64("load") < Some(4));
    let anybody = Selector::from(&workers);
    let call = client.any(&idle);
    let mut chosen = chosen_behind(&client, &call, &idle, None).unwrap();
    chosen.sort();
    assert_eq!(chosen, ["w1", "w2", "w3"]);
    let but = call.clone().except("w1").up();
    assert_eq!(chosen_behind(&client, &but, &idle, Some(&First)).unwrap(), ["w2", "w3"]);
    let last = strategy_fn(|among| among.iter().last());
    let chosen = chosen_behind(&client, &call, &anybody, Some(&last)).unwrap();
    assert_eq!(chosen, ["w9", "w8", "w7", "w6"]);
    let turns = RoundRobin::new();
    for expected in ["w1", "w2", "w3", "w4"] {
        let chosen = chosen_behind(&client, &call, &anybody, Some(&turns)).unwrap();
        assert_eq!(chosen[0], expected);
    }
    // Whoever is not what the filter says was not asked for.
    let others = Selector::from(filter! { "role": "api" });
    assert!(chosen_behind(&client, &call, &others, None).unwrap().is_empty());
    let panics = workers.when(|_| panic!("a closure of the program"));
    assert_eq!(kind(chosen_behind(&client, &call, &panics, None)), ErrorKind::UserCodePanicked);
}

/// What a router's no-match looks like when it comes from the engine.
fn exhausted(kind: ErrorKind) -> Error {
    Error::new(kind, "nobody").with_context("routers", "r1, r2")
}

fn explained(core: &Core, sought: Sought, error: Error) -> Error {
    let (route, router) = (Route::new(None), Some(id("r1")));
    Routed { route, sought, router }.explain(core, error)
}

fn any_worker() -> Sought {
    let (selector, event) = (filter! { "role": "worker" }.into(), EventName::new("job").unwrap());
    Sought::Any { selector, directions: Directions::BOTH, except: Vec::new(), event }
}

#[test]
fn a_call_to_any_that_routers_found_nobody_for_says_what_was_sought_and_who_was_asked() {
    let _bound = crate::bound::bound();
    let client = node("client");
    let mut events = client.events();
    for kind in [ErrorKind::NoNodesMatchFilter, ErrorKind::NodeNotFound] {
        let error = explained(client.core(), any_worker(), exhausted(kind));
        assert_eq!(error.kind(), ErrorKind::NoNodesMatchFilter);
        assert_eq!(error.execution(), Execution::Never);
        for (key, value) in [
            ("event", "job"),
            ("filter", r#"role = "worker""#),
            ("directions", "both"),
            ("routers", "r1, r2"),
        ] {
            assert_eq!(error.context(key), Some(value), "{error:?}");
        }
        assert!(error.message().contains("the routers r1, r2 found nobody either"), "{error}");
        let Some(NodeEvent::Error(told)) = events.next_timeout(LONG) else { panic!("no error") };
        assert_eq!(told.message(), error.message());
        assert!(events.try_next().is_none());
    }
}

#[test]
fn an_id_and_a_path_that_routers_found_nobody_for_are_named() {
    let _bound = crate::bound::bound();
    let client = node("client");
    let mut events = client.events();
    let far = exhausted(ErrorKind::NodeNotFound);
    let error = explained(client.core(), Sought::Id(id("far")), far);
    assert_eq!((error.kind(), error.peer()), (ErrorKind::NodeNotFound, Some(&id("far"))));
    assert!(error.message().contains("\"far\"") && error.message().contains("r1, r2"), "{error}");
    let path = Sought::Path(crate::PathPattern::new("/math/*").unwrap());
    let error = explained(client.core(), path, exhausted(ErrorKind::NotFound));
    assert_eq!((error.kind(), error.peer()), (ErrorKind::NotFound, None));
    let context = ["path", "found", "routers"].map(|key| error.context(key).unwrap());
    assert_eq!(context, ["/math/*", "remote", "r1, r2"]);
    assert!(events.try_next().is_none());
}

#[test]
fn an_error_that_is_no_word_of_routers_stays_as_it_is() {
    let _bound = crate::bound::bound();
    let client = node("client");
    let mut events = client.events();
    let unknown = exhausted(ErrorKind::NoNodesMatchFilter).with_execution(Execution::Unknown);
    for error in [unknown, exhausted(ErrorKind::Busy), exhausted(ErrorKind::Handler)] {
        let message = explained(client.core(), any_worker(), error).message().to_owned();
        assert_eq!(message, "nobody");
    }
    assert!(events.try_next().is_none());
}

#[test]
fn an_answer_through_a_router_names_both() {
    let _bound = crate::bound::bound();
    let (_server, client) = pair();
    let peer = Arc::clone(client.core().directory().get("server").unwrap());
    let open = |handler: Option<NodeId>| {
        let peer = Arc::clone(&peer);
        let answered = Answered { payload: Payload::null(), peer, handler };
        let (result, at) = (Ok(Done::Answered(answered)), Instant::now());
        Reply::<()>::open(wake::Arrival { result, at }, at).unwrap()
    };
    let direct = open(None);
    assert_eq!((direct.handled_by.as_str(), direct.via), ("server", None));
    let routed = open(Some(id("far")));
    assert_eq!((routed.handled_by.as_str(), routed.via), ("far", Some(id("server"))));
}

/// Remembers whom it heard of.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Strategy for Heard {
    fn choose<'a>(&self, among: &crate::Candidates<'a>) -> Option<crate::Candidate<'a>> {
        among.iter().next()
    }

    fn observe(&self, observation: &Observation<'_>) {
        self.0.lock().unwrap().push(observation.peer.to_string());
    }
}

#[test]
fn a_strategy_does_not_hear_of_ticks_that_a_router_places() {
    let _bound = crate::bound::bound();
    let (heard, router) = (Arc::new(Heard::default()), switch("r"));
    let client = Node::builder().id("client").strategy(Arc::clone(&heard)).start().unwrap();
    client.connect(router.local_addr().unwrap()).unwrap();
    let hears = |call: &Call<'_>| {
        call.observe_tick(&look(call).unwrap());
        std::mem::take(&mut *heard.0.lock().unwrap())
    };
    assert!(hears(&client.any(filter! { "role": "worker" })).is_empty());
    assert_eq!(hears(&client.any(filter! { "kind": "switch" })), ["r"]);
    assert_eq!(hears(&client.any(predicate(crate::Options::is_router))), ["r"]);
}
