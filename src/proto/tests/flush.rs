//! Waiting for confirmation: what ends it, and how.

use super::*;

impl Pair {
    fn tick(&mut self, bytes: usize) {
        let payload = bytes_of(bytes);
        let plan = self.plan(0, "server", true, payload.len());
        assert!(plan.room.is_some(), "room for the tick");
        let tick = Tick { plan, message: Self::message(payload), wait: None };
        self.command(0, Command::Tick(tick));
        self.run();
    }

    fn flush(&mut self, token: Label) {
        let peer = self.nodes[0].directory().get("server").unwrap().key;
        let deadline = self.now + Duration::from_secs(3);
        self.command(0, Command::Flush { peer, deadline, token });
        self.run();
    }

    /// The handlers of the server finish the oldest tick that they have.
    fn finish_one(&mut self) {
        let (_, delivery) = self.delivered.remove(0);
        let Work::Tick { cost } = delivery.work else { panic!("a tick") };
        self.feed(1, Input::Consumed { link: delivery.link, ticks: 1, cost });
        self.run();
    }
}

#[test]
fn a_flush_ends_when_the_last_tick_before_it_was_handled() {
    let mut pair = Pair::joined(&["client", "server"]);
    pair.flush("nothing unanswered");
    assert!(pair.result("nothing unanswered").is_ok());
    pair.tick(100);
    pair.tick(100);
    pair.flush("two unanswered");
    pair.tick(100);
    pair.finish_one();
    assert!(pair.done.is_empty());
    pair.finish_one();
    // With a third under way the receiver's next report goes with its heartbeat.
    pair.pass(Duration::from_millis(2_100));
    assert!(pair.result("two unanswered").is_ok());
    assert_eq!(pair.delivered.len(), 1);
}

#[test]
fn a_flush_that_ends_at_its_deadline_tells_how_many_ticks_are_unconfirmed() {
    let mut pair = Pair::joined(&["client", "server"]);
    pair.tick(100);
    pair.tick(100);
    pair.flush("late");
    pair.pass(Duration::from_millis(2_990));
    assert!(pair.done.is_empty());
    pair.pass(Duration::from_millis(20));
    let error = pair.result("late").unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::RequestTimeout, Execution::Unknown));
    assert!(error.to_string().contains("2 ticks"), "{error}");
}

#[test]
fn a_flush_ends_with_the_link_and_with_the_node() {
    let mut pair = Pair::joined(&["client", "server"]);
    pair.tick(100);
    pair.flush("cut");
    let link = pair.nodes[0].directory().get("server").unwrap().up.as_ref().unwrap().link;
    pair.feed(0, Input::Lost { link, cause: Cause::Eof });
    let error = pair.result("cut").unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::ConnectionLost, Execution::Unknown));

    let mut pair = Pair::joined(&["client", "server"]);
    pair.tick(100);
    pair.flush("stopped");
    let bound = Duration::from_secs(1);
    pair.command(0, Command::Stop { bound, token: Some("stop") });
    pair.pass(Duration::from_secs(3));
    let error = pair.result("stopped").unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::Closed, Execution::Unknown));
}

#[test]
fn ticks_that_were_on_their_way_when_the_link_was_lost_are_reported_together() {
    let mut pair = Pair::joined(&["client", "server"]);
    let tick = || Tick {
        plan: pair.plan(0, "server", true, 100),
        message: Pair::message(bytes_of(100)),
        wait: None,
    };
    let ticks = [tick(), tick(), tick()];
    let link = pair.nodes[0].directory().get("server").unwrap().up.as_ref().unwrap().link;
    pair.feed(0, Input::Lost { link, cause: Cause::Eof });
    let mut out = Vec::new();
    for tick in ticks {
        pair.nodes[0].handle(pair.now, Input::Command(Command::Tick(tick)), &mut out);
    }
    let [Output::Event(NodeEvent::Undelivered { unwritten, unconfirmed, .. })] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!((*unwritten, *unconfirmed), (3, 0));
}
