//! Links that are closed one after the other in one input, and what was under way on each: decided
//! before the next is closed.

use super::*;
use crate::routing::{Destination, Filter, Route};

impl Pair {
    /// A request of node 0 for any node that the router knows.
    fn ask_router(&mut self, token: Label) -> CallId {
        let mut bytes = Vec::new();
        Filter::any().put(&mut bytes);
        let any = Destination::Filter(bytes.into());
        let entry = self.nodes[0].directory().get("router").unwrap();
        let face = entry.face(Directions::BOTH).unwrap();
        let taken = face.gauge.take_call(cost(1)).is_ok();
        let first = Step::onward(entry.key, any.clone());
        let route = Some(Box::new(Route::new(Some(any))));
        let plan = Plan { route, ..Plan::one(first, taken.then_some(face.link)) };
        self.request_by(plan, 0, Payload::null(), token)
    }
}

// covers P34
#[test]
fn a_stop_waits_for_a_tick_that_gets_its_capacity_meanwhile() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::joined(&["client", "server"]);
    pair.tick_twice();
    assert!(pair.result("first").is_ok());
    pair.command(0, Command::Stop { bound: Duration::from_secs(2), token: Some("stop") });
    pair.run();
    let (_, delivery) = pair.delivered.pop().unwrap();
    let Work::Tick { cost } = delivery.work else { panic!("a tick") };
    pair.feed(1, Input::Consumed { link: delivery.link, ticks: 1, cost });
    pair.run();
    assert!(pair.result("second").is_ok());
}

#[test]
fn a_stop_of_a_router_counts_a_forward_once_and_its_reply_precedes_the_goodbye() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::graph(&["a", "router", "b"], &[(0, 1), (2, 1)]);
    pair.ask_router("asked");
    pair.run();
    pair.command(1, Command::Stop { bound: Duration::from_millis(100), token: Some("stop") });
    pair.pass(Duration::from_millis(400));
    let stop = pair.result("stop");
    assert!(matches!(stop, Ok(Done::Stopped(cut)) if cut.unanswered == 1), "{stop:?}");
    let asked = pair.result("asked").unwrap_err();
    assert!(asked.message().contains("has stopped meanwhile"), "{asked}");
}

#[test]
fn a_forward_whose_requester_and_receiver_are_closed_together_ends_once() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::graph(&["a", "router", "b"], &[(0, 1), (2, 1)]);
    pair.ask_router("asked");
    pair.run();
    pair.command(1, Command::Unbind { token: "unbound" });
    pair.run();
    assert!(pair.result("unbound").is_ok());
    assert_eq!(pair.result("asked").unwrap_err().kind(), ErrorKind::ConnectionLost);
    assert_eq!(pair.nodes[1].pending_calls(), 0);
}

#[test]
fn two_links_of_one_newcomer_that_wait_for_the_same_id_join_one_after_the_other() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::new(&["twin", "server", "twin", "twin"]);
    // The same instance as node 2.
    pair.nodes[3] = mesh("twin", 2, pair.now, &Config::default());
    pair.connect(0, 1, "first");
    pair.run();
    pair.frozen = vec![0];
    pair.connect(2, 1, "second");
    pair.connect(3, 1, "third");
    pair.pass(Duration::from_millis(50));
    let link = pair.link(1, "twin");
    pair.feed(1, Input::Lost { link, cause: Cause::Broken("reset".to_owned()) });
    pair.run();
    assert_eq!(pair.nodes[1].directory().len(), 1);
}

#[test]
fn a_reply_fits_into_the_memory_that_its_request_has_freed() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::new(&["one", "two", "server"]);
    let mut config = Config::default();
    config.limits.node_bytes = 1_000_000;
    pair.nodes[2] = mesh("server", 2, pair.now, &config);
    for client in [0, 1] {
        pair.connect(client, 2, "joins");
        pair.run();
        assert!(pair.result("joins").is_ok());
    }
    for (client, bytes) in [(0, 90_000); 5].into_iter().chain([(1, 60_000)]) {
        pair.request(client, "server", bytes_of(bytes), "asked");
        pair.run();
    }
    let (_, delivery) = pair.delivered.remove(0);
    let Work::Request { reply_to, .. } = delivery.work else { panic!("a request") };
    pair.feed(2, Input::Answer { reply_to, answer: Answer::Reply(bytes_of(250_000)) });
    pair.run();
    let asked = pair.result("asked");
    assert!(asked.is_ok(), "{asked:?}");
}

// covers P33
#[test]
fn a_goodbye_does_not_list_a_forward_that_was_refused_and_waits_for_another_peer() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::graph(&["a", "router", "b", "c"], &[(0, 1), (2, 1), (3, 1)]);
    pair.ask_router("asked");
    pair.run();
    let (node, delivery) = pair.delivered.pop().expect("a request");
    let Work::Request { reply_to, .. } = delivery.work else { panic!("a request") };
    let other = if node == 2 { "c" } else { "b" };
    let entry = pair.nodes[1].directory().get(other).unwrap();
    let gauge = Arc::clone(&entry.face(Directions::BOTH).unwrap().gauge);
    while gauge.take_call(1).is_ok() {}
    let busy = Error::new(ErrorKind::Busy, "it is busy").with_execution(Execution::Never);
    pair.feed(node, Input::Answer { reply_to, answer: Answer::Fault(busy) });
    pair.run();
    assert!(pair.delivered.is_empty() && pair.done.is_empty());
    let whom = Whom::Id(NodeId::new("a").unwrap());
    pair.command(1, Command::Disconnect { whom, token: "part" });
    pair.run();
    let error = pair.result("asked").unwrap_err();
    let expected = (ErrorKind::ConnectionLost, Execution::Never);
    assert_eq!((error.kind(), error.execution()), expected, "{error}");
}
