//! Plans with alternates: who gets a message when the first choice cannot, and what is noted of how peers serve.

use super::*;

/// Node 0 has dialled all others.
pub(super) fn star(ids: &[&str]) -> Pair {
    let mut pair = Pair::new(ids);
    for (node, token) in (1..ids.len()).zip(["b", "c", "d"]) {
        pair.connect(0, node, token);
    }
    pair.run();
    assert_eq!(pair.nodes[0].directory().len(), ids.len() - 1);
    pair
}

/// To the first of these, with room taken there, and then to the others.
pub(super) fn plan(pair: &Pair, to: &[&str], tick: bool) -> Plan {
    plan_for(&Payload::null(), pair, to, tick)
}

fn plan_for(payload: &Payload, pair: &Pair, to: &[&str], tick: bool) -> Plan {
    let mut plan = pair.plan(0, to[0], tick, payload.len());
    plan.alternates = to[1..].iter().map(|to| pair.plan_without_room(0, to).first).collect();
    plan
}

impl Pair {
    pub(super) fn drop_link(&mut self, to: &str) {
        let link = self.link(0, to);
        let (peer, other) = self.ends[&(0, link)];
        self.steps.push_back(Arrival::Input(
            0,
            Input::Lost { link, cause: Cause::Broken("cut".to_owned()) },
        ));
        self.steps.push_back(Arrival::Input(
            peer,
            Input::Lost { link: other, cause: Cause::Broken("cut".to_owned()) },
        ));
        self.ends.retain(|end, _| *end != (0, link) && *end != (peer, other));
    }

    /// Who has got messages.
    fn delivered_to(&self) -> Vec<usize> {
        self.delivered.iter().map(|(node, _)| *node).collect()
    }
}

#[test]
fn a_tick_whose_peer_has_left_meanwhile_goes_to_an_alternate() {
    let _bound = crate::bound::bound();
    let mut pair = star(&["a", "b", "c", "d"]);
    let plan = plan(&pair, &["b", "c", "d"], true);
    pair.drop_link("b");
    pair.drop_link("c");
    pair.command(
        0,
        Command::Tick(Tick { plan, message: Pair::message(Payload::null()), wait: None }),
    );
    pair.run();
    assert_eq!(pair.delivered_to(), [3]);
    assert!(!pair.events_of(0).iter().any(|event| event.contains("Undelivered")));
}

#[test]
fn a_tick_that_waits_goes_to_an_alternate_when_its_peer_is_lost() {
    let _bound = crate::bound::bound();
    for (to, result) in [(&["b", "c"][..], Ok(())), (&["b"], Err(ErrorKind::ConnectionLost))] {
        let mut pair = star(&["a", "b", "c"]);
        let plan = plan(&pair, to, true);
        // What was sent before has used up the window.
        fill(&pair, "b");
        fill(&pair, "c");
        let wait = Some((pair.now + Duration::from_secs(5), "waits"));
        let message = Pair::message(Payload::null());
        pair.command(0, Command::Tick(Tick { plan: Plan { room: None, ..plan }, message, wait }));
        pair.run();
        assert!(pair.delivered.is_empty() && pair.done.iter().all(|(token, _)| *token != "waits"));
        // There is room at the other one now.
        pair.nodes[0]
            .directory()
            .get("c")
            .unwrap()
            .up
            .clone()
            .unwrap()
            .gauge
            .set_tick_window(9_999);
        pair.drop_link("b");
        pair.run();
        assert_eq!(pair.result("waits").map(drop).map_err(|error| error.kind()), result);
        assert_eq!(pair.delivered_to(), if result.is_ok() { vec![2] } else { vec![] });
    }
}

#[test]
fn a_tick_that_finds_none_of_its_peers_is_reported() {
    let _bound = crate::bound::bound();
    let mut pair = star(&["a", "b", "c"]);
    let plan = plan(&pair, &["b", "c"], true);
    pair.drop_link("b");
    pair.drop_link("c");
    pair.command(
        0,
        Command::Tick(Tick { plan, message: Pair::message(Payload::null()), wait: None }),
    );
    pair.run();
    assert!(pair.delivered.is_empty());
    let told = pair.events_of(0).iter().filter(|event| event.contains("Undelivered")).count();
    assert_eq!(told, 1);
}

#[test]
fn a_request_goes_on_while_it_certainly_did_not_run_and_no_further() {
    let _bound = crate::bound::bound();
    // Lost before it was sent.
    let mut pair = star(&["a", "b", "c"]);
    let to_both = plan(&pair, &["b", "c"], false);
    pair.drop_link("b");
    pair.request_by(to_both, 0, Payload::null(), "moved");
    pair.run();
    assert_eq!(pair.delivered_to(), [2]);
    // Busy.
    let mut pair = star(&["a", "b", "c"]);
    let to_both = plan(&pair, &["b", "c"], false);
    pair.request_by(to_both, 0, Payload::null(), "busy");
    pair.run();
    let (node, delivery) = pair.delivered.pop().unwrap();
    let Work::Request { reply_to, .. } = delivery.work else { panic!("a request") };
    let busy = Answer::Fault(Error::new(ErrorKind::Busy, "full"));
    pair.feed(node, Input::Answer { reply_to, answer: busy });
    pair.run();
    assert_eq!((node, pair.delivered_to()), (1, vec![2]));
    // Written: whatever becomes of it, nobody else gets it.
    let mut pair = star(&["a", "b", "c"]);
    let to_both = plan(&pair, &["b", "c"], false);
    pair.request_by(to_both, 0, Payload::null(), "written");
    pair.run();
    pair.drop_link("b");
    pair.run();
    let error = pair.result("written").unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::ConnectionLost, Execution::Unknown));
    assert_eq!(pair.delivered_to(), [1]);
}

#[test]
fn how_a_peer_serves_is_noted_whether_anybody_waits_or_not() {
    let _bound = crate::bound::bound();
    let mut pair = star(&["a", "b"]);
    let shown = |pair: &Pair| pair.nodes[0].directory().get("b").unwrap().pace.shown(pair.now);
    let answer = |pair: &mut Pair, answer: Answer| {
        let (node, delivery) = pair.delivered.pop().unwrap();
        let Work::Request { reply_to, .. } = delivery.work else { panic!("a request") };
        pair.feed(node, Input::Answer { reply_to, answer });
        pair.run();
    };
    assert_eq!((shown(&pair).latency, shown(&pair).failing), (None, 0.0));
    pair.request(0, "b", Payload::null(), "answered");
    pair.pass(Duration::from_millis(20));
    answer(&mut pair, Answer::Reply(Payload::null()));
    let latency = shown(&pair).latency.unwrap().as_secs_f64();
    assert!((0.019..0.021).contains(&latency), "{latency}");

    pair.request(0, "b", Payload::null(), "failed");
    pair.run();
    let failure = Answer::Failure { code: "NO".to_owned(), message: String::new(), data: None };
    answer(&mut pair, failure);
    assert!(shown(&pair).failing > 0.05, "a handler's error is a failure");

    let failing = shown(&pair).failing;
    pair.request(0, "b", Payload::null(), "late");
    pair.pass(Duration::from_secs(4));
    assert_eq!(pair.result("late").unwrap_err().kind(), ErrorKind::RequestTimeout);
    assert!(
        shown(&pair).latency.unwrap() > Duration::from_secs(2),
        "it takes at least the timeout"
    );
    assert!(shown(&pair).failing > failing * 0.8, "{:?}", shown(&pair));
}

#[test]
fn a_peer_is_local_by_the_name_of_its_host_or_if_neither_has_one_by_the_link() {
    let _bound = crate::bound::bound();
    // Without names it is the link that tells, which is on loopback here.
    for (ours, theirs, expected) in [
        (None, None, true),
        (Some("x"), Some("x"), true),
        (Some("x"), Some("y"), false),
        (Some("x"), None, false),
        (None, Some("x"), false),
    ] {
        let mut pair = Pair::new(&["a", "b"]);
        pair.nodes[0].local_mut().host = ours.map(str::to_owned);
        pair.nodes[1].local_mut().host = theirs.map(str::to_owned);
        pair.connect(0, 1, "connect");
        pair.run();
        let of = |node: usize, id: &str| pair.nodes[node].directory().get(id).unwrap().is_local;
        assert_eq!((of(0, "b"), of(1, "a")), (expected, expected), "{ours:?} {theirs:?}");
    }
}

#[test]
fn peers_are_kept_by_an_option_from_the_moment_somebody_looks_for_it() {
    let _bound = crate::bound::bound();
    let mut pair = star(&["a", "b", "c"]);
    assert!(!pair.nodes[0].directory().is_indexed("role"));
    pair.command(0, Command::Index { key: "role".to_owned() });
    pair.run();
    assert!(pair.nodes[0].directory().is_indexed("role"));
    let options = crate::options! { "role": "worker" };
    let named = options.with_id(&NodeId::new("b").unwrap());
    pair.command(1, Command::SetOptions { options: named });
    pair.pass(Duration::from_millis(50));
    let workers = crate::routing::Filter::any().eq("role", "worker");
    let directory = pair.nodes[0].directory();
    let scope = directory.scope(Some(workers.compiled().unwrap()));
    assert_eq!(scope.most(), 1);
    let found: Vec<_> = directory.walk(&scope, None).map(|peer| peer.id.to_string()).collect();
    assert_eq!(found, ["b"]);
}

/// Leaves no room for calls, or for ticks, on the link to that peer.
fn fill(pair: &Pair, to: &str) {
    let gauge = pair.nodes[0].directory().get(to).unwrap().up.clone().unwrap().gauge;
    gauge.set_calls_limit(0);
    gauge.take_tick(1).unwrap();
    gauge.set_tick_window(1);
}

#[test]
fn a_tick_passes_over_alternates_without_room_and_is_reported_for_its_first_choice() {
    let _bound = crate::bound::bound();
    for (full, delivered, told) in [(&["c"][..], vec![3], 0), (&["c", "d"], vec![], 1)] {
        let mut pair = star(&["a", "b", "c", "d"]);
        let plan = plan(&pair, &["b", "c", "d"], true);
        for peer in full {
            fill(&pair, peer);
        }
        pair.drop_link("b");
        let message = Pair::message(Payload::null());
        pair.command(0, Command::Tick(Tick { plan, message, wait: None }));
        pair.run();
        assert_eq!(pair.delivered_to(), delivered);
        let undelivered = pair.events_of(0);
        let undelivered = undelivered.iter().filter(|event| event.contains("Undelivered"));
        let named = |event: &&String| event.contains(r#"NodeId("b")"#);
        assert_eq!(undelivered.filter(named).count(), told);
    }
}

#[test]
fn a_request_prefers_an_alternate_with_room_to_a_place_in_line() {
    let _bound = crate::bound::bound();
    let mut pair = star(&["a", "b", "c", "d"]);
    let moved = plan(&pair, &["b", "c", "d"], false);
    fill(&pair, "c");
    pair.drop_link("b");
    pair.request_by(moved, 0, Payload::null(), "moved");
    pair.run();
    assert_eq!(pair.delivered_to(), [3]);
    // The one that had no room is still an alternate.
    let (node, delivery) = pair.delivered.pop().unwrap();
    let Work::Request { reply_to, .. } = delivery.work else { panic!("a request") };
    pair.nodes[0].directory().get("c").unwrap().up.clone().unwrap().gauge.set_calls_limit(9);
    let answer = Answer::Fault(Error::new(ErrorKind::Busy, "full"));
    pair.feed(node, Input::Answer { reply_to, answer });
    pair.run();
    assert_eq!(pair.delivered_to(), [2]);
}

#[test]
fn a_request_that_may_not_wait_does_not_stand_in_line_after_it_has_moved() {
    let _bound = crate::bound::bound();
    for waits in [false, true] {
        let mut pair = star(&["a", "b", "c"]);
        let moved = Plan { waits, ..plan(&pair, &["b", "c"], false) };
        fill(&pair, "c");
        pair.drop_link("b");
        pair.request_by(moved, 0, Payload::null(), "moved");
        pair.run();
        let ended = pair.done.iter().any(|(token, _)| *token == "moved");
        assert_eq!(ended, !waits);
        if !waits {
            let error = pair.result("moved").unwrap_err();
            let expected = (ErrorKind::Backpressure, Execution::Never);
            assert_eq!((error.kind(), error.execution()), expected);
        }
    }
}

#[test]
fn a_peer_that_comes_back_is_known_by_how_it_served_before() {
    let _bound = crate::bound::bound();
    let mut pair = star(&["a", "b", "c"]);
    let failing = |pair: &Pair| {
        pair.nodes[0].directory().get("b").map(|peer| peer.pace.shown(pair.now).failing)
    };
    // Written, and lost with the link.
    pair.request(0, "b", Payload::null(), "lost");
    pair.run();
    pair.drop_link("b");
    pair.run();
    assert_eq!(failing(&pair), None);
    pair.pass(Duration::from_secs(1));
    assert!(failing(&pair).is_some_and(|failing| failing > 0.05), "{:?}", failing(&pair));
}

#[test]
fn a_node_that_stops_sends_requests_on_to_others() {
    let _bound = crate::bound::bound();
    let mut pair = star(&["a", "b", "c"]);
    // A handler of b is at work, so that its links stand a while.
    pair.request(0, "b", Payload::null(), "under way");
    pair.run();
    pair.command(1, Command::Stop { bound: Duration::from_secs(2), token: None });
    pair.run();
    let to_both = plan(&pair, &["b", "c"], false);
    pair.request_by(to_both, 0, Payload::null(), "moved");
    let alone = plan(&pair, &["b"], false);
    pair.request_by(alone, 0, Payload::null(), "alone");
    pair.run();
    assert_eq!(pair.delivered_to(), [1, 2]);
    let error = pair.result("alone").unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::Busy, Execution::Never));
    assert!(error.message().contains("stopping"), "{error}");
    let shown = pair.nodes[0].directory().get("b").unwrap().pace.shown(pair.now);
    assert!(shown.failing > 0.1, "who refuses fast does not look fast: {shown:?}");
}

// covers P19
#[test]
fn data_that_an_alternate_may_need_count_in_the_memory_until_they_are_answered() {
    let _bound = crate::bound::bound();
    let bytes = 300_000;
    for (to, kept) in [(&["b", "c"][..], true), (&["b"], false)] {
        let mut pair = star(&["a", "b", "c"]);
        let held = |pair: &Pair| {
            let link = pair.link(0, "b");
            pair.nodes[0].links().get(link).unwrap().memory()
        };
        let mut plan = plan(&pair, to, false);
        plan.room = None;
        pair.request_by(plan, 0, bytes_of(bytes), "asked");
        pair.run();
        assert_eq!(pair.delivered_to(), [1], "it is written");
        assert_eq!(held(&pair) >= bytes, kept);
        let (node, delivery) = pair.delivered.pop().unwrap();
        let Work::Request { reply_to, .. } = delivery.work else { panic!("a request") };
        pair.feed(node, Input::Answer { reply_to, answer: Answer::Reply(Payload::null()) });
        pair.run();
        assert!(pair.result("asked").is_ok());
        assert_eq!(held(&pair), 0);
    }
}

/// Node 0 has dialled b and c, one of which takes no message of more than 1,000 bytes.
fn star_with_a_small_one(small: usize) -> Pair {
    let mut pair = Pair::new(&["a", "b", "c"]);
    let mut config = Config::default();
    config.limits.message_bytes = 1_000;
    pair.nodes[small] = mesh(["a", "b", "c"][small], small as u64, pair.now, &config);
    pair.connect(0, 1, "b");
    pair.connect(0, 2, "c");
    pair.run();
    pair
}

#[test]
fn what_is_too_large_for_one_peer_goes_to_another_that_takes_it() {
    let _bound = crate::bound::bound();
    let mut pair = star_with_a_small_one(1);
    let long = bytes_of(2_000);
    let request = plan_for(&long, &pair, &["b", "c"], false);
    pair.request_by(request, 0, long.clone(), "request");
    let tick = plan_for(&long, &pair, &["b", "c"], true);
    let message = Pair::message(long.clone());
    pair.command(0, Command::Tick(Tick { plan: tick, message, wait: None }));
    let alone = plan_for(&long, &pair, &["b"], false);
    pair.request_by(alone, 0, long, "alone");
    pair.run();
    assert_eq!(pair.delivered_to(), [2, 2]);
    assert_eq!(pair.result("alone").unwrap_err().kind(), ErrorKind::TooLarge);
    let gauge = pair.nodes[0].directory().get("b").unwrap().up.clone().unwrap().gauge;
    assert_eq!((gauge.calls(), gauge.queued(), gauge.unconfirmed()), (0, 0, 0));
}

#[test]
fn that_a_peer_was_busy_says_more_than_that_another_takes_no_message_of_that_size() {
    let _bound = crate::bound::bound();
    for order in [["b", "c"], ["c", "b"]] {
        let mut pair = star_with_a_small_one(2);
        let long = bytes_of(2_000);
        let both = plan_for(&long, &pair, &order, false);
        pair.request_by(both, 0, long, "asked");
        pair.run();
        let (node, delivery) = pair.delivered.pop().unwrap();
        let Work::Request { reply_to, .. } = delivery.work else { panic!("a request") };
        let busy = Answer::Fault(Error::new(ErrorKind::Busy, "full"));
        pair.feed(node, Input::Answer { reply_to, answer: busy });
        pair.run();
        assert_eq!(pair.result("asked").unwrap_err().kind(), ErrorKind::Busy, "{order:?}");
    }
}

/// Each step that is gone once took a frame of the stack.
#[test]
fn a_plan_of_a_hundred_thousand_peers_that_have_left_needs_no_deep_stack() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::new(&["alone"]);
    let gone = |number| Step::new(PeerKey(number), Directions::BOTH);
    let mut plan = Plan::one(gone(1), None);
    plan.alternates = (2..100_000).map(gone).collect();
    pair.request_by(plan, 0, Payload::null(), "asked");
    pair.run();
    let error = pair.result("asked").unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::ConnectionLost, Execution::Never));
}
