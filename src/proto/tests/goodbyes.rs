//! Requests that cross a goodbye on the wire: those that were not taken up go on, and those that were may have run.

use super::steps::{plan, star};
use super::*;

/// How a server leaves its clients while it is well.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    Stops,
    Disconnects,
    Unbinds,
}

const LEAVINGS: [Leaving; 3] = [Leaving::Stops, Leaving::Disconnects, Leaving::Unbinds];

impl Pair {
    /// Node 1 leaves node 0, which is called "a".
    fn part(&mut self, leaving: Leaving) {
        let token = "part";
        let whom = Whom::Id(NodeId::new("a").unwrap());
        self.command(
            1,
            match leaving {
                Leaving::Stops => Command::Stop { bound: Duration::from_millis(100), token: None },
                Leaving::Disconnects => Command::Disconnect { whom, token },
                Leaving::Unbinds => Command::Unbind { token },
            },
        );
    }

    /// A request to node 1 that is given to its handlers; what they owe.
    fn taken_up(&mut self, token: Label) -> ReplyTo {
        let plan = plan(self, &["b", "c"], false);
        self.request_by(plan, 0, Payload::null(), token);
        self.run();
        let (node, delivery) = self.delivered.pop().expect("a request");
        let Work::Request { reply_to, .. } = delivery.work else { panic!("a request") };
        assert_eq!(node, 1);
        reply_to
    }

    fn failed(&mut self, token: Label) -> (ErrorKind, Execution) {
        let error = self.result(token).unwrap_err();
        (error.kind(), error.execution())
    }
}

fn star_that_listens() -> Pair {
    let mut pair = star(&["a", "b", "c"]);
    pair.command(1, Command::Bind { address: addr(1).into(), token: "bound" });
    pair.run();
    pair
}

const NEVER: (ErrorKind, Execution) = (ErrorKind::ConnectionLost, Execution::Never);
const UNKNOWN: (ErrorKind, Execution) = (ErrorKind::ConnectionLost, Execution::Unknown);

#[test]
fn a_request_that_crosses_a_goodbye_never_ran_and_goes_to_an_alternate() {
    let _bound = crate::bound::bound();
    for leaving in LEAVINGS {
        let mut pair = star_that_listens();
        let (to_both, to_one) = (plan(&pair, &["b", "c"], false), plan(&pair, &["b"], false));
        // The goodbye is on its way when the requests are sent.
        pair.part(leaving);
        pair.request_by(to_both, 0, Payload::null(), "goes on");
        pair.request_by(to_one, 0, Payload::null(), "ends");
        pair.run();
        assert_eq!(pair.delivered.len(), 1, "{leaving:?}");
        assert_eq!(pair.delivered[0].0, 2, "{leaving:?}");
        let error = pair.result("ends").unwrap_err();
        assert_eq!((error.kind(), error.execution()), NEVER, "{leaving:?}");
        assert_eq!(
            error.message(),
            "b said goodbye before it took the request up; it did not run",
            "{leaving:?}"
        );
        assert_eq!(error.peer().map(NodeId::as_str), Some("b"));
    }
}

// covers P33
#[test]
pub(super) fn what_was_taken_up_before_a_goodbye_may_have_run_and_goes_nowhere_else() {
    let _bound = crate::bound::bound();
    for leaving in LEAVINGS {
        let mut pair = star_that_listens();
        let reply_to = pair.taken_up("taken up");
        pair.part(leaving);
        let crossing = plan(&pair, &["b"], false);
        pair.request_by(crossing, 0, Payload::null(), "crosses");
        pair.pass(Duration::from_millis(200));
        assert_eq!(pair.failed("taken up"), UNKNOWN, "{leaving:?}");
        // A node that drains refuses it.
        let stops = matches!(leaving, Leaving::Stops);
        let crossed = if stops { (ErrorKind::Busy, Execution::Never) } else { NEVER };
        assert_eq!(pair.failed("crosses"), crossed, "{leaving:?}");
        // What the handler says afterwards goes nowhere.
        pair.feed(1, Input::Answer { reply_to, answer: Answer::Reply(Payload::null()) });
        pair.run();
        assert!(pair.delivered.is_empty(), "{leaving:?}");
    }
}

// covers P33
#[test]
pub(super) fn an_answer_that_a_goodbye_cuts_off_may_have_run() {
    let _bound = crate::bound::bound();
    let mut pair = star_that_listens();
    let reply_to =
        ["whole", "begun", "waits", "failed", "refused"].map(|token| (pair.taken_up(token), token));
    // The kernel of the server takes nothing: the first answer is staged wholly, the second in part, the others wait.
    pair.frozen.push(1);
    for (reply_to, token) in reply_to {
        let fault =
            |kind, execution| Answer::Fault(Error::new(kind, "no").with_execution(execution));
        let answer = match token {
            "begun" => Answer::Reply(bytes_of(2_000_000)),
            "failed" => fault(ErrorKind::NoReply, Execution::Happened),
            "refused" => fault(ErrorKind::Busy, Execution::Never),
            _ => Answer::Reply(bytes_of(10)),
        };
        pair.feed(1, Input::Answer { reply_to, answer });
    }
    let link = pair.link(1, "a");
    pair.part(Leaving::Disconnects);
    pair.run();
    pair.frozen.clear();
    pair.carry(1, link);
    pair.run();
    assert!(matches!(pair.result("whole"), Ok(Done::Answered(_))));
    for token in ["begun", "waits", "failed"] {
        assert_eq!(pair.failed(token), UNKNOWN, "{token}");
    }
    // That one did not run, as its answer would have said: somebody else gets it.
    assert_eq!(pair.delivered.len(), 1);
    assert_eq!(pair.delivered[0].0, 2);
}

#[test]
fn who_broke_the_protocol_is_told_what_was_taken_up_too() {
    let _bound = crate::bound::bound();
    let mut pair = star_that_listens();
    let _request = pair.taken_up("taken up");
    // A frame of no bytes.
    pair.steps.push_back(Arrival::Bytes(1, pair.link(1, "a"), vec![0; 4]));
    let crossing = plan(&pair, &["b"], false);
    pair.request_by(crossing, 0, Payload::null(), "crosses");
    pair.run();
    assert!(pair.events_of(0).iter().any(|event| event.contains("Protocol")));
    assert_eq!(pair.failed("taken up"), UNKNOWN);
    assert_eq!(pair.failed("crosses"), NEVER);
    assert!(pair.delivered.is_empty());
}

#[test]
fn a_peer_that_gave_up_is_not_told_of_its_requests() {
    let _bound = crate::bound::bound();
    let mut pair = star_that_listens();
    let _request = pair.taken_up("taken up");
    let link = pair.nodes[1].links().get(pair.link(1, "a")).unwrap();
    assert_eq!(link.unanswered(), Some(vec![CallId(1)]));
    pair.command(0, Command::Cancel { call: CallId(1) });
    pair.run();
    let link = pair.nodes[1].links().get(pair.link(1, "a")).unwrap();
    assert_eq!(link.unanswered(), Some(Vec::new()));
}

#[test]
fn who_has_taken_up_too_many_to_list_says_of_none_that_it_never_ran() {
    let _bound = crate::bound::bound();
    let most = crate::config::GOODBYE_CALLS;
    for (taken_up, crossed) in [(most, NEVER), (most + 1, UNKNOWN)] {
        let mut config = Config::default();
        config.limits.calls_per_link = 2_000;
        let mut pair = Pair::joined_with(&["a", "b"], &config);
        for _ in 0..taken_up {
            pair.request(0, "b", Payload::null(), "taken up");
        }
        pair.run();
        assert_eq!(pair.delivered.len(), taken_up);
        pair.part(Leaving::Disconnects);
        pair.request(0, "b", Payload::null(), "crosses");
        pair.run();
        assert_eq!(pair.failed("crosses"), crossed, "{taken_up}");
        assert_eq!(pair.done.iter().filter(|(token, _)| *token == "taken up").count(), taken_up);
        assert_eq!(pair.failed("taken up"), UNKNOWN);
    }
}
