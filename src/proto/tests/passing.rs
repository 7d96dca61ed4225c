//! Links that were dialled for what was sent at that moment: they stay, and are not dialled again.

use super::*;

impl Pair {
    fn dial_in_passing(&mut self, token: Label) {
        let (mode, deadline) = (ConnectMode::Passing, self.now + Duration::from_secs(10));
        self.command(0, Command::Connect { address: addr(1).into(), mode, deadline, token });
        self.run();
    }

    /// Both ends hear that the link is gone; how often node 0 dials in the minute after that.
    fn redials_after_loss(&mut self) -> usize {
        let link = self.link(0, "server");
        let (peer, other) = self.ends[&(0, link)];
        for (node, link) in [(0, link), (peer, other)] {
            let cause = Cause::Broken("cut".to_owned());
            self.steps.push_back(Arrival::Input(node, Input::Lost { link, cause }));
        }
        self.ends.retain(|end, _| *end != (0, link) && *end != (peer, other));
        self.run();
        let before = self.dials.len();
        self.pass(Duration::from_secs(60));
        self.dials.len() - before
    }
}

#[test]
fn a_link_dialled_in_passing_stays_and_is_not_dialled_again() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::new(&["client", "server"]);
    pair.dial_in_passing("first");
    assert!(matches!(pair.result("first"), Ok(Done::Connected(_))));
    pair.pass(Duration::from_secs(60));
    pair.dial_in_passing("again");
    assert!(matches!(pair.result("again"), Ok(Done::Connected(_))));
    assert_eq!(pair.dials.len(), 1, "it is the same link");
    assert_eq!(pair.redials_after_loss(), 0);
    assert_eq!((pair.nodes[0].dialled(), pair.nodes[0].armed_timers()), (0, 0));
    pair.dial_in_passing("anew");
    assert!(matches!(pair.result("anew"), Ok(Done::Connected(_))));
}

#[test]
fn whoever_connects_there_makes_it_a_link_like_others() {
    let _bound = crate::bound::bound();
    for before in [true, false] {
        let mut pair = Pair::new(&["client", "server"]);
        if before {
            pair.connect(0, 1, "connect");
        }
        pair.dial_in_passing("passing");
        if !before {
            pair.connect(0, 1, "connect");
        }
        pair.run();
        assert!(pair.result("passing").is_ok() && pair.result("connect").is_ok());
        assert_eq!(pair.dials.len(), 1);
        assert_eq!(pair.redials_after_loss(), 1);
    }
}

#[test]
fn it_is_tried_once_and_a_refusal_leaves_nothing_behind() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::new(&["client"]);
    pair.dial_in_passing("dead");
    assert_eq!(pair.result("dead").unwrap_err().kind(), ErrorKind::ConnectFailed);
    assert_eq!((pair.nodes[0].dialled(), pair.nodes[0].armed_timers()), (0, 0));
}

#[test]
fn a_link_that_was_replaced_by_one_that_was_given_up_is_dialled_again() {
    let _bound = crate::bound::bound();
    for given_up in [true, false] {
        let mut pair = Pair::joined(&["client", "server"]);
        if given_up {
            // A second dial to the same node, of which the server heard everything and the client not the last word in time.
            let id = NodeId::new("server").unwrap();
            let now = pair.now;
            pair.nodes[0].note_abandoned(id, now);
        }
        let link = pair.link(1, "client");
        for output in pair.nodes[1].close_replaced(link) {
            pair.apply(1, output);
        }
        pair.pass(Duration::from_secs(60));
        assert_eq!(pair.dials.len(), 1 + usize::from(given_up));
    }
}
