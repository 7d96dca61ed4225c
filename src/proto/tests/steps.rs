//! Plans with alternates: who gets a message when the first choice cannot, and what is noted of how peers serve.

use super::*;

/// Node 0 has dialled all others.
fn star(ids: &[&str]) -> Pair {
    let mut pair = Pair::new(ids);
    for (node, token) in (1..ids.len()).zip(["b", "c", "d"]) {
        pair.connect(0, node, token);
    }
    pair.run();
    assert_eq!(pair.nodes[0].directory().len(), ids.len() - 1);
    pair
}

/// To the first of these, with room taken there, and then to the others.
fn plan(pair: &Pair, to: &[&str], tick: bool) -> Plan {
    let mut plan = pair.plan(0, to[0], tick, 1);
    plan.alternates = to[1..].iter().map(|to| pair.plan_without_room(0, to).first).collect();
    plan
}

impl Pair {
    fn drop_link(&mut self, to: &str) {
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
        let gauge = pair.nodes[0].directory().get("b").unwrap().up.clone().unwrap().gauge;
        gauge.set_tick_window(1);
        let wait = Some((pair.now + Duration::from_secs(5), "waits"));
        let message = Pair::message(Payload::null());
        pair.command(0, Command::Tick(Tick { plan: Plan { room: None, ..plan }, message, wait }));
        pair.run();
        assert!(pair.delivered.is_empty() && pair.done.iter().all(|(token, _)| *token != "waits"));
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
    let Work::Request { owed, .. } = delivery.work else { panic!("a request") };
    let busy = Answer::Fault(Error::new(ErrorKind::Busy, "full"));
    pair.feed(node, Input::Answer { owed, answer: busy });
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
        let Work::Request { owed, .. } = delivery.work else { panic!("a request") };
        pair.feed(node, Input::Answer { owed, answer });
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
        pair.nodes[0].local.host = ours.map(str::to_owned);
        pair.nodes[1].local.host = theirs.map(str::to_owned);
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
