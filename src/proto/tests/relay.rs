//! Routers: what they place, with whom, and who is told how it ended.

use super::*;
use crate::proto::{Answer, Choose, Chosen};
use crate::routing::{Destination, Filter, Random, Route};
use crate::value::Value;

/// A filter that matches the node of that id, and is no call by id.
fn like(id: &str) -> Destination {
    let mut bytes = Vec::new();
    Filter::any().eq("_id", Value::from(id)).put(&mut bytes);
    Destination::Filter(bytes.into())
}

impl Pair {
    /// What the thread that looks for peers does.
    pub(super) fn choose(&mut self, node: usize, choose: Choose) {
        let Choose { call, directory, search, page } = choose;
        let chosen = match page {
            None => search
                .steps(&directory, &Random, fastrand::Rng::with_seed(1), self.now)
                .map(Chosen::Steps),
            Some(page) => {
                search.page(&directory, &page).map(|(peers, more)| Chosen::Page { peers, more })
            }
        };
        self.steps.push_back(Arrival::Input(node, Input::Chosen { call, chosen }));
    }

    /// These nodes, with a link from the first to the second of each pair.
    pub(super) fn graph(ids: &[&str], links: &[(usize, usize)]) -> Self {
        let mut pair = Self::new(ids);
        for (from, to) in links {
            pair.connect(*from, *to, "connect");
            pair.run();
            assert!(matches!(pair.result("connect"), Ok(Done::Connected(_))));
        }
        pair
    }

    /// To that router first, and then to all others.
    fn onward(&self, from: usize, router: &str, sought: &Destination) -> Plan {
        let entry = self.nodes[from].directory().get(router).expect("a joined peer");
        let face = entry.face(Directions::BOTH).unwrap();
        let taken = face.gauge.take_call(cost(1)).is_ok();
        let first = Step::onward(entry.key, sought.clone());
        let route = Some(Box::new(Route::new(Some(sought.clone()))));
        Plan { route, ..Plan::one(first, taken.then_some(face.link)) }
    }

    fn ask(&mut self, from: usize, router: &str, sought: &Destination, token: Label) -> CallId {
        let plan = self.onward(from, router, sought);
        self.request_by(plan, from, Payload::null(), token)
    }

    fn tick_onward(&mut self, from: usize, router: &str, sought: &Destination) {
        let plan = self.onward(from, router, sought);
        let message = Self::message(Payload::null());
        self.command(from, Command::Tick(Tick { plan, message, wait: None }));
    }

    /// The one request that was delivered, where, and to what a reply goes.
    fn delivered_request(&mut self) -> (usize, Delivery, ReplyTo) {
        let (node, delivery) = self.delivered.pop().expect("a message");
        assert!(self.delivered.is_empty(), "one message was delivered twice");
        let Work::Request { reply_to, .. } = delivery.work else {
            panic!("no request: {delivery:?}")
        };
        (node, delivery, reply_to)
    }

    fn answer(&mut self, node: usize, reply_to: ReplyTo, answer: Answer) {
        self.steps.push_back(Arrival::Input(node, Input::Answer { reply_to, answer }));
        self.run();
    }

    /// How often that router was asked to forward, and in vain.
    fn counted(&mut self, router: usize) -> (u64, u64) {
        self.command(router, Command::RoutingStats { reset: false, token: "stats" });
        self.run();
        let Ok(Done::Routing(stats)) = self.result("stats") else { panic!("no statistics") };
        (stats.proxy_requests.total, stats.proxy_requests.failed)
    }
}

#[test]
fn a_router_places_a_request_and_passes_everything_on() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::graph(&["a", "router", "b"], &[(0, 1), (2, 1)]);
    pair.ask(0, "router", &like("b"), "asked");
    pair.run();
    let (node, delivery, reply_to) = pair.delivered_request();
    assert_eq!((node, delivery.sender.id.as_str()), (2, "router"));
    assert_eq!(delivery.origin.as_ref().map(NodeId::as_str), Some("a"));
    pair.answer(2, reply_to, Answer::Reply(bytes_of(40_000)));
    let Ok(Done::Answered(answered)) = pair.result("asked") else { panic!("no answer") };
    assert_eq!(answered.payload.len(), bytes_of(40_000).len());
    assert_eq!(answered.peer.id.as_str(), "router");
    assert_eq!(answered.handler.as_ref().map(NodeId::as_str), Some("b"));
    assert_eq!(pair.counted(1), (1, 0));
}

#[test]
fn what_a_service_says_no_with_comes_back_unchanged() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::graph(&["a", "router", "b"], &[(0, 1), (2, 1)]);
    let data = bytes_of(3);
    let failure = Answer::Failure {
        code: "NO_NODES_MATCH_FILTER".to_owned(),
        message: "as the service says".to_owned(),
        data: Some(data.clone()),
    };
    let fault = Answer::Fault(Error::new(ErrorKind::NoReply, "nobody answered"));
    for (answer, code) in [(failure, "NO_NODES_MATCH_FILTER"), (fault, "NO_REPLY")] {
        pair.ask(0, "router", &like("b"), "asked");
        pair.run();
        let (node, _, reply_to) = pair.delivered_request();
        pair.answer(node, reply_to, answer);
        let error = pair.result("asked").unwrap_err();
        assert_eq!((error.code(), error.may_have_run()), (code, true));
        assert_eq!(error.peer().map(NodeId::as_str), Some("b"));
        assert_eq!(error.data_item().is_some(), error.kind() == ErrorKind::Handler);
    }
    assert_eq!(pair.counted(1), (2, 2));
}

// covers P28, P29
#[test]
pub(super) fn nobody_is_found_once_by_each_router_however_they_are_linked() {
    let _bound = crate::bound::bound();
    let ids: Vec<String> = (0..8).map(|number| format!("router-{number}")).collect();
    let mut names: Vec<&str> = ids.iter().map(String::as_str).collect();
    names.push("a");
    let a = 8;
    let ring: Vec<_> = (0..8).map(|number| (number, (number + 1) % 8)).collect();
    let all: Vec<_> = (0..8).flat_map(|from| (from + 1..8).map(move |to| (from, to))).collect();
    let star: Vec<_> = (1..8).map(|number| (number, 0)).collect();
    let chain: Vec<_> = (0..7).map(|number| (number, number + 1)).collect();
    for links in [ring, all, star, chain] {
        let mut pair = Pair::graph(&names, &[links.clone(), vec![(a, 0), (a, 1)]].concat());
        for round in 1..=3 {
            pair.ask(a, "router-0", &like("mars"), "asked");
            pair.run();
            let error = pair.result("asked").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoNodesMatchFilter, "{links:?}");
            assert!(!error.may_have_run());
            let asked = error.context("routers").unwrap().split(", ").count();
            assert_eq!(asked, 8, "{links:?}: {error:?}");
            let counted: Vec<u64> = (0..8).map(|router| pair.counted(router).0).collect();
            assert!(counted.iter().all(|count| *count == round), "{links:?}: {counted:?}");
        }
        for node in &pair.nodes {
            assert_eq!((node.pending_calls(), node.inbound_requests()), (0, 0));
        }
    }
}

// covers P29
#[test]
pub(super) fn a_request_passes_no_more_routers_than_its_hops() {
    let _bound = crate::bound::bound();
    let ids: Vec<String> = (0..10).map(|number| format!("router-{number}")).collect();
    let mut names: Vec<&str> = ids.iter().map(String::as_str).collect();
    names.extend(["a", "b"]);
    let chain: Vec<_> = (0..9).map(|number| (number, number + 1)).collect();
    for (last, is_reached) in [(8, true), (9, false)] {
        let mut pair = Pair::graph(&names, &[chain.clone(), vec![(10, 0), (11, last)]].concat());
        pair.ask(10, "router-0", &like("b"), "asked");
        pair.run();
        assert_eq!(pair.delivered.len(), usize::from(is_reached), "at router {last}");
    }
}

// covers P28
#[test]
pub(super) fn whoever_asks_is_never_the_answer_and_no_router_is() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::graph(&["a", "router", "router-2"], &[(0, 1), (1, 2), (0, 2)]);
    let anybody = Destination::Filter([0xa0].into());
    for sought in
        [like("a"), like("router-2"), anybody, Destination::Id(NodeId::new("router").unwrap())]
    {
        pair.ask(0, "router", &sought, "asked");
        pair.run();
        let error = pair.result("asked").unwrap_err();
        assert!(crate::proto::traffic::is_no_match(&error), "{error}");
    }
    assert!(pair.delivered.is_empty());
}

#[test]
fn only_routers_forward() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::graph(&["a", "server", "b"], &[(0, 1), (2, 1)]);
    pair.ask(0, "server", &like("b"), "asked");
    pair.run();
    let error = pair.result("asked").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoNodesMatchFilter);
    assert!(pair.delivered.is_empty());
}

#[test]
fn a_cancel_reaches_the_service() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::graph(&["a", "router", "b"], &[(0, 1), (2, 1)]);
    let call = pair.ask(0, "router", &like("b"), "asked");
    pair.run();
    pair.command(0, Command::Cancel { call });
    pair.run();
    assert_eq!(pair.result("asked").unwrap_err().kind(), ErrorKind::Cancelled);
    let (_, delivery, _) = pair.delivered_request();
    let Work::Request { cancelled, .. } = delivery.work else { unreachable!() };
    assert!(cancelled.load(std::sync::atomic::Ordering::Relaxed));
    assert_eq!((pair.nodes[1].pending_calls(), pair.nodes[1].inbound_requests()), (0, 0));
    assert_eq!(pair.counted(1), (1, 1));
}

#[test]
fn who_asked_and_is_lost_is_given_up_at_the_service() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::graph(&["a", "router", "b"], &[(0, 1), (2, 1)]);
    pair.ask(0, "router", &like("b"), "asked");
    pair.run();
    pair.drop_link("router");
    pair.run();
    let error = pair.result("asked").unwrap_err();
    assert_eq!((error.kind(), error.may_have_run()), (ErrorKind::ConnectionLost, true));
    let (_, delivery, _) = pair.delivered_request();
    let Work::Request { cancelled, .. } = delivery.work else { unreachable!() };
    assert!(cancelled.load(std::sync::atomic::Ordering::Relaxed));
}

#[test]
fn the_next_router_is_asked_when_one_is_lost_before_it_was_sent_anything() {
    let _bound = crate::bound::bound();
    let mut pair =
        Pair::graph(&["a", "router-1", "router-2", "b"], &[(0, 1), (0, 2), (3, 1), (3, 2)]);
    let plan = pair.onward(0, "router-1", &like("b"));
    pair.drop_link("router-1");
    pair.request_by(plan, 0, Payload::null(), "asked");
    pair.run();
    let (node, delivery, reply_to) = pair.delivered_request();
    assert_eq!((node, delivery.sender.id.as_str()), (3, "router-2"));
    pair.answer(node, reply_to, Answer::Reply(Payload::null()));
    assert!(pair.result("asked").is_ok());
}

#[test]
fn the_deadline_is_one_however_many_routers_there_are() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::graph(&["a", "router-1", "router-2", "b"], &[(0, 1), (1, 2), (3, 2)]);
    pair.ask(0, "router-1", &like("b"), "asked");
    pair.pass(Duration::from_millis(2_900));
    let (_, delivery, _) = pair.delivered_request();
    let Work::Request { deadline, .. } = delivery.work else { unreachable!() };
    assert!(deadline <= pair.now + Duration::from_millis(110), "it was restarted");
    pair.pass(Duration::from_millis(200));
    let error = pair.result("asked").unwrap_err();
    assert_eq!((error.kind(), error.may_have_run()), (ErrorKind::RequestTimeout, true));
    for node in &pair.nodes[..3] {
        assert_eq!((node.pending_calls(), node.inbound_requests()), (0, 0));
    }
}

// covers P29
#[test]
pub(super) fn a_router_that_knows_nobody_is_not_asked_again_because_another_was_busy() {
    let _bound = crate::bound::bound();
    let mut pair =
        Pair::graph(&["a", "router-1", "router-2", "b"], &[(0, 1), (0, 2), (1, 2), (3, 1)]);
    pair.ask(0, "router-1", &like("b"), "asked");
    pair.run();
    let (node, _, reply_to) = pair.delivered_request();
    let busy = Error::new(ErrorKind::Busy, "b has too much to do");
    pair.answer(node, reply_to, Answer::Fault(busy));
    let error = pair.result("asked").unwrap_err();
    assert_eq!((error.kind(), error.may_have_run()), (ErrorKind::Busy, false));
    assert_eq!((pair.counted(1), pair.counted(2)), ((1, 1), (1, 1)));
    assert!(pair.delivered.is_empty());
}

#[test]
fn a_tick_reaches_the_service_behind_the_last_of_four_routers() {
    let _bound = crate::bound::bound();
    let ids = ["a", "router-1", "router-2", "router-3", "router-4", "b"];
    let mut pair = Pair::graph(&ids, &[(0, 1), (1, 2), (2, 3), (3, 4), (5, 4)]);
    for _ in 0..100 {
        pair.tick_onward(0, "router-1", &like("b"));
    }
    pair.run();
    assert_eq!(pair.delivered.len(), 100);
    assert!(pair.delivered.iter().all(|(node, tick)| {
        *node == 5 && tick.origin.as_ref().map(NodeId::as_str) == Some("a")
    }));
    assert!(!pair.events_of(0).iter().any(|event| event.contains("Undelivered")));
    assert_eq!(pair.nodes[0].pending_calls(), 0);
}

#[test]
fn a_tick_whose_peer_has_left_meanwhile_is_placed_by_a_router() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::graph(&["a", "b", "router", "c"], &[(0, 1), (0, 2), (3, 2)]);
    let mut plan = pair.plan(0, "b", true, 1);
    plan.route = Some(Box::new(Route::new(Some(like("c")))));
    pair.drop_link("b");
    let message = Pair::message(Payload::null());
    pair.command(0, Command::Tick(Tick { plan, message, wait: None }));
    pair.run();
    assert_eq!(pair.delivered.iter().map(|(node, _)| *node).collect::<Vec<_>>(), [3]);
    assert!(!pair.events_of(0).iter().any(|event| event.contains("Undelivered")));
}

#[test]
fn a_tick_that_nobody_takes_is_told_to_its_node() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::graph(&["a", "router-1", "router-2"], &[(0, 1), (1, 2)]);
    pair.tick_onward(0, "router-1", &like("b"));
    pair.run();
    let told = pair.events_of(0).pop().unwrap();
    assert!(told.contains("Undelivered") && told.contains("unwritten: 1"), "{told}");
}

#[test]
fn a_flush_waits_until_the_router_has_placed_the_ticks() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::graph(&["a", "router", "b"], &[(0, 1), (2, 1)]);
    pair.frozen.push(1);
    pair.tick_onward(0, "router", &like("b"));
    let peer = pair.nodes[0].directory().get("router").unwrap().key;
    let deadline = pair.now + Duration::from_secs(1);
    pair.command(0, Command::Flush { peer, deadline, token: "flushed" });
    pair.run();
    assert!(pair.done.is_empty(), "nothing is placed yet");
    pair.frozen.clear();
    for peer in ["a", "b"] {
        let link = pair.link(1, peer);
        pair.carry(1, link);
    }
    pair.run();
    assert!(pair.result("flushed").is_ok());
    assert_eq!(pair.delivered.len(), 1);
    pair.frozen.push(1);
    pair.tick_onward(0, "router", &like("mars"));
    pair.command(0, Command::Flush { peer, deadline, token: "flushed" });
    pair.run();
    pair.frozen.clear();
    let link = pair.link(1, "a");
    pair.carry(1, link);
    pair.run();
    assert_eq!(pair.result("flushed").unwrap_err().kind(), ErrorKind::NoNodesMatchFilter);
}

#[test]
fn headers_that_leave_no_room_for_what_a_router_adds_are_refused_before_they_harm_a_link() {
    let _bound = crate::bound::bound();
    for (count, passes) in [(30, true), (31, false)] {
        let mut pair = Pair::graph(&["a", "router", "b"], &[(0, 1), (2, 1)]);
        let plan = pair.onward(0, "router", &like("b"));
        let mut message = Pair::message(Payload::null());
        (0..count).for_each(|number| message.headers.set_number(101 + 2 * number, true));
        let deadline = pair.now + Duration::from_secs(3);
        let request =
            Request { call: CallId(1), plan, message, deadline, depth: 5, token: "asked" };
        pair.command(0, Command::Request(request));
        pair.run();
        assert_eq!(pair.delivered.len(), usize::from(passes), "{count} headers");
        if !passes {
            let error = pair.result("asked").unwrap_err();
            assert_eq!((error.kind(), error.may_have_run()), (ErrorKind::TooLarge, false));
        }
        assert_eq!(pair.nodes[1].directory().len(), 2, "a link was closed");
    }
}

#[test]
fn one_who_asks_through_two_routers_has_no_more_places_at_a_service() {
    let _bound = crate::bound::bound();
    let mut config = Config::default();
    (config.limits.calls_per_link, config.limits.calls_per_router) = (2, 5);
    let mut pair = Pair::with(&["a", "router-1", "router-2", "router-3", "b"], &config);
    for (from, to) in [(0, 1), (0, 2), (1, 3), (2, 3), (4, 3)] {
        pair.connect(from, to, "connect");
        pair.run();
        assert!(pair.result("connect").is_ok());
    }
    for router in ["router-1", "router-1", "router-2", "router-2"] {
        pair.ask(0, router, &like("b"), "asked");
    }
    pair.run();
    assert_eq!(pair.delivered.len(), 2);
    for _ in 0..2 {
        let error = pair.result("asked").unwrap_err();
        assert_eq!((error.kind(), error.may_have_run()), (ErrorKind::Busy, false));
    }
}

#[test]
fn statistics_are_told_as_often_as_is_said_until_the_router_stops() {
    let _bound = crate::bound::bound();
    let (now, mut out) = (Instant::now(), Vec::new());
    let mut local = local("router", 1, &Config::default());
    let every = Some(Duration::from_secs(1));
    local.router = local.router.map(|role| RouterRole { stats_every: every, ..role });
    let mut router = Mesh::new(local, fastrand::Rng::with_seed(1), now);
    let mut told = |at: u64, router: &mut Mesh<Label>| {
        router.handle(now + Duration::from_secs(at), Input::Due, &mut out);
        let is_told =
            |output: &Output<Label>| matches!(output, Output::Event(NodeEvent::RoutingStats(_)));
        out.drain(..).filter(is_told).count()
    };
    assert_eq!((1..=3).map(|at| told(at, &mut router)).collect::<Vec<_>>(), [1, 1, 1]);
    let stop = Command::Stop { bound: Duration::from_secs(1), token: None };
    router.handle(now + Duration::from_secs(3), Input::Command(stop), &mut Vec::new());
    assert_eq!((told(4, &mut router), router.armed_timers()), (0, 0));
}

#[test]
fn each_who_asks_through_a_router_has_so_many_places_and_the_router_has_more() {
    let _bound = crate::bound::bound();
    let mut config = Config::default();
    (config.limits.calls_per_link, config.limits.calls_per_router) = (2, 5);
    let mut pair = Pair::with(&["a", "router", "b", "c"], &config);
    for (from, to) in [(0, 1), (2, 1), (3, 1)] {
        pair.connect(from, to, "connect");
        pair.run();
        assert!(pair.result("connect").is_ok());
    }
    // Three of each: the third waits at its own node.
    for from in [0, 3] {
        for _ in 0..3 {
            pair.ask(from, "router", &like("b"), "asked");
        }
    }
    pair.run();
    assert_eq!(pair.delivered.len(), 4);
    assert!(pair.done.is_empty());
    // A node that sends more than it may is refused what is its own, and nobody else.
    let (_, delivery) = pair.delivered.remove(0);
    let Work::Request { reply_to, .. } = delivery.work else { unreachable!() };
    pair.answer(2, reply_to, Answer::Reply(Payload::null()));
    assert_eq!((pair.delivered.len(), pair.done.len()), (4, 1));
}

impl Pair {
    /// As [`graph`](Self::graph), of nodes that serve these paths.
    fn graph_of(nodes: &[(&str, &str)], links: &[(usize, usize)]) -> Self {
        let ids: Vec<&str> = nodes.iter().map(|(id, _)| *id).collect();
        let mut pair = Self::new(&ids);
        for (node, (_, path)) in nodes.iter().enumerate() {
            pair.command(node, Command::SetServices { services: vec![(*path).to_owned()] });
        }
        for (from, to) in links {
            pair.connect(*from, *to, "connect");
            pair.run();
            assert!(matches!(pair.result("connect"), Ok(Done::Connected(_))));
        }
        pair
    }

    /// Asks for whoever serves such a path.
    fn ask_path(&mut self, from: usize, router: &str, path: &str, token: Label) {
        let plan = self.onward(from, router, &Destination::Path);
        self.calls += 1;
        let (call, deadline) = (CallId(self.calls), self.now + Duration::from_secs(3));
        let event = EventName::new(path).unwrap();
        let message = Message { event, ..Self::message(Payload::null()) };
        let request = Request { call, plan, message, deadline, depth: 0, token };
        self.command(from, Command::Request(request));
        self.run();
    }

    /// The room that this node has on its link to that peer.
    fn gauge_to(&self, node: usize, peer: &str) -> Arc<Gauge> {
        let entry = self.nodes[node].directory().get(peer).unwrap();
        Arc::clone(&entry.face(Directions::BOTH).unwrap().gauge)
    }
}

#[test]
fn who_serves_the_path_no_more_is_passed_over() {
    let _bound = crate::bound::bound();
    let nodes = [("a", "/a"), ("router", "/r"), ("b", "/math/add"), ("c", "/math/add")];
    let mut pair = Pair::graph_of(&nodes, &[(0, 1), (2, 1), (3, 1)]);
    pair.ask_path(0, "router", "/math/add", "asked");
    let (first, _, reply_to) = pair.delivered_request();
    let gone = Error::new(ErrorKind::NotFound, "it was removed a moment ago");
    pair.answer(first, reply_to, Answer::Fault(gone));
    let (second, _, reply_to) = pair.delivered_request();
    assert_eq!(first + second, 2 + 3);
    pair.answer(second, reply_to, Answer::Reply(Payload::null()));
    assert!(pair.result("asked").is_ok());
}

#[test]
fn another_router_is_asked_for_the_pattern_and_not_for_the_path_of_who_could_not() {
    let _bound = crate::bound::bound();
    let nodes = [
        ("a", "/a"),
        ("router-1", "/r"),
        ("router-2", "/r"),
        ("b", "/math/add"),
        ("c", "/math/mul"),
    ];
    let mut pair = Pair::graph_of(&nodes, &[(0, 1), (1, 2), (3, 1), (4, 2)]);
    pair.ask_path(0, "router-1", "/math/*", "asked");
    let (node, delivery, reply_to) = pair.delivered_request();
    assert_eq!((node, delivery.message.event.as_str()), (3, "/math/add"));
    pair.answer(node, reply_to, Answer::Fault(Error::new(ErrorKind::Busy, "b has too much to do")));
    let (node, delivery, _) = pair.delivered_request();
    assert_eq!((node, delivery.message.event.as_str()), (4, "/math/mul"));
}

#[test]
fn a_tick_in_line_at_a_router_is_given_up_with_who_asked() {
    let _bound = crate::bound::bound();
    for is_cancelled in [false, true] {
        let mut pair = Pair::graph(&["a", "router", "b"], &[(0, 1), (2, 1)]);
        let gauge = pair.gauge_to(1, "b");
        gauge.take_tick(1).unwrap();
        gauge.set_tick_window(1);
        pair.tick_onward(0, "router", &like("b"));
        pair.run();
        let to_b = pair.link(1, "b");
        let in_line =
            |pair: &Pair| pair.nodes[1].links().get(to_b).unwrap().outbound.waiting_ticks();
        assert_eq!(in_line(&pair), 1);
        let before = pair.nodes[1].armed_timers();
        if is_cancelled {
            pair.command(0, Command::Cancel { call: CallId(1 << 63 | 1) });
        } else {
            pair.drop_link("router");
        }
        pair.run();
        assert_eq!(in_line(&pair), 0, "its data are nobody's any more");
        assert!(pair.nodes[1].armed_timers() < before);
    }
}

#[test]
fn a_message_too_long_for_whom_one_router_knows_goes_to_the_next() {
    let _bound = crate::bound::bound();
    let links = [(0, 1), (0, 2), (3, 1), (3, 2)];
    for (knows_too, kind) in [(true, None), (false, Some(ErrorKind::TooLarge))] {
        let links = if knows_too { &links[..] } else { &links[..3] };
        let mut pair = Pair::graph(&["a", "router-1", "router-2", "b"], links);
        let to_b = pair.link(1, "b");
        pair.nodes[1].links_mut().get_mut(to_b).unwrap().outbound.set_peer_message_bytes(10);
        let plan = pair.onward(0, "router-1", &like("b"));
        pair.request_by(plan, 0, bytes_of(20), "asked");
        pair.run();
        assert_eq!(pair.delivered.len(), usize::from(knows_too));
        let said = pair.done.pop().map(|(_, result)| result.unwrap_err().kind());
        assert_eq!(said, kind, "and that nobody else matches says less");
    }
}

#[test]
fn a_router_without_room_holds_up_nobody_whom_another_can_serve() {
    let _bound = crate::bound::bound();
    let ids = ["a", "router-1", "router-2", "router-0", "b"];
    let links = [(0, 1), (0, 2), (3, 1), (3, 2), (4, 1), (4, 2), (0, 3)];
    let mut pair = Pair::graph(&ids, &links);
    // Of this node, and of a router that asks others.
    pair.gauge_to(0, "router-1").set_calls_limit(0);
    pair.gauge_to(3, "router-1").set_calls_limit(0);
    for router in ["router-1", "router-0", "router-0"] {
        pair.ask(0, router, &like("b"), "asked");
        pair.run();
        let (_, delivery, reply_to) = pair.delivered_request();
        assert_eq!(delivery.sender.id.as_str(), "router-2", "by {router}");
        pair.answer(4, reply_to, Answer::Reply(Payload::null()));
        assert!(pair.result("asked").is_ok());
    }
    // If none has any, it waits.
    pair.gauge_to(0, "router-2").set_calls_limit(0);
    pair.gauge_to(0, "router-0").set_calls_limit(0);
    pair.ask(0, "router-1", &like("b"), "asked");
    pair.run();
    assert!(pair.done.is_empty() && pair.delivered.is_empty());
    pair.pass(Duration::from_secs(4));
    assert_eq!(pair.result("asked").unwrap_err().kind(), ErrorKind::Backpressure);
}

#[test]
fn a_forward_has_no_more_hops_left_than_any_may_have() {
    let _bound = crate::bound::bound();
    let ids: Vec<String> = (0..10).map(|number| format!("router-{number}")).collect();
    let mut names: Vec<&str> = ids.iter().map(String::as_str).collect();
    names.extend(["a", "b"]);
    let chain: Vec<_> = (0..9).map(|number| (number, number + 1)).collect();
    let mut pair = Pair::graph(&names, &[chain, vec![(10, 0), (11, 9)]].concat());
    let mut plan = pair.onward(10, "router-0", &like("b"));
    plan.route.as_mut().unwrap().hops_left = 255;
    pair.request_by(plan, 10, Payload::null(), "asked");
    pair.run();
    assert!(pair.delivered.is_empty(), "whoever asks does not say how far it goes");
}

#[test]
fn what_a_router_had_not_sent_when_it_said_goodbye_goes_to_another() {
    let _bound = crate::bound::bound();
    for (is_sent, delivered) in [(false, 1), (true, 0)] {
        let links = [(0, 1), (0, 2), (3, 1), (3, 2)];
        let mut pair = Pair::graph(&["a", "router-1", "router-2", "b"], &links);
        if !is_sent {
            pair.gauge_to(1, "b").set_calls_limit(0);
        }
        pair.ask(0, "router-1", &like("b"), "asked");
        pair.run();
        assert_eq!(pair.delivered.drain(..).count(), usize::from(is_sent));
        let whom = Whom::Id(NodeId::new("a").unwrap());
        pair.command(1, Command::Disconnect { whom, token: "left" });
        pair.run();
        assert_eq!(pair.delivered.len(), delivered);
        if is_sent {
            let error = pair.result("asked").unwrap_err();
            assert_eq!((error.kind(), error.may_have_run()), (ErrorKind::ConnectionLost, true));
        }
    }
}
