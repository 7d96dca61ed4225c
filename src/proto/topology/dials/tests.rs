use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::config::{DIAL_FIRST, DIAL_LONGEST, MEMBER_GIVE_UP};
use crate::error::Execution;
use crate::proto::Output;
use crate::proto::env::Timer;
use crate::proto::topology::dial_events::MemberDial;

type Token = &'static str;

struct Table {
    env: Env<Token>,
    peers: Peers,
    dials: Dials<Token>,
}

impl Table {
    fn new() -> Self {
        Self { env: Env::of_node("here"), peers: Peers::default(), dials: Dials::default() }
    }

    fn connect(&mut self, address: &str, mode: ConnectMode, seconds: u64, token: Token) {
        let deadline = self.env.now + Duration::from_secs(seconds);
        let waiter = Waiter { mode, deadline, goal: DialGoal::Link, token };
        let address = address.parse().unwrap();
        let next = self.dials.connect(&mut self.env, &self.peers, address, waiter);
        assert!(next.is_empty());
    }

    /// The link that was opened last, and its dial.
    fn opened(&mut self) -> Option<(LinkId, SocketAddr, DialId)> {
        match self.env.next_effect() {
            Some(Effect::OpenLink { link, addr, dial }) => Some((link, addr, dial)),
            _ => None,
        }
    }

    fn fail(&mut self, dial: DialId) -> Next<Token> {
        let error = Error::new(ErrorKind::ConnectFailed, "refused");
        self.dials.attempt_failed(&mut self.env, dial, error, DialOutcome::Retry)
    }

    /// Moves to the next timer, which ends a backoff. Returns how long that took.
    fn wait_backoff(&mut self, dial: DialId) -> Duration {
        let (after, expired) = self.env.next_timers();
        assert_eq!(expired, [Timer::Dial(dial)]);
        self.dials.due(&mut self.env, dial);
        after
    }

    fn waiters_due(&mut self, dial: DialId) -> (Duration, Next<Token>) {
        let (after, expired) = self.env.next_timers();
        assert_eq!(expired, [Timer::Waiters(dial)]);
        (after, self.dials.waiters_due(&mut self.env, dial, false))
    }

    fn errors(&mut self) -> Vec<(Token, ErrorKind)> {
        let completed = self.env.take_completed().into_iter();
        completed.map(|(token, result)| (token, result.unwrap_err().kind())).collect()
    }

    fn member(&mut self, address: &str, id: &str) -> MemberDial {
        self.dials.dial_member(&mut self.env, address.parse().unwrap(), &node(id))
    }
}

fn node(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

#[test]
fn backoff_doubles_up_to_its_maximum() {
    let mut table = Table::new();
    table.connect("10.0.0.1:1", ConnectMode::Patient, 3_600, "waits");
    let (_, _, dial) = table.opened().unwrap();
    let mut expected = DIAL_FIRST;
    for _ in 0..8 {
        assert!(table.fail(dial).is_empty());
        assert_eq!(table.wait_backoff(dial), expected);
        assert!(table.opened().is_some());
        expected = (expected * 2).min(DIAL_LONGEST);
    }
    assert_eq!(expected, DIAL_LONGEST);
}

#[test]
fn backoff_of_a_persistent_dial_has_jitter_from_half_to_whole() {
    let mut table = Table::new();
    let address = "10.0.0.1:1".parse().unwrap();
    table.dials.connect_always(&mut table.env, &table.peers, address);
    let (_, _, dial) = table.opened().unwrap();
    let config = table.env.local.config.clone();
    let mut whole = config.reconnect_first;
    for _ in 0..10 {
        table.fail(dial);
        let backoff = table.wait_backoff(dial);
        assert!(backoff >= whole / 2 && backoff <= whole, "{backoff:?} of {whole:?}");
        assert!(table.opened().is_some());
        whole = (whole * 2).min(config.reconnect_longest);
    }
}

#[test]
fn waiters_time_out_in_the_order_of_their_deadlines() {
    let mut table = Table::new();
    table.connect("10.0.0.1:1", ConnectMode::Patient, 3, "late");
    let (link, _, dial) = table.opened().unwrap();
    table.connect("10.0.0.1:1", ConnectMode::Patient, 1, "early");
    let (after, next) = table.waiters_due(dial);
    assert!(next.is_empty());
    assert_eq!(after, Duration::from_secs(1));
    assert_eq!(table.errors(), [("early", ErrorKind::ConnectTimeout)]);
    let (after, _) = table.waiters_due(dial);
    assert_eq!(after, Duration::from_secs(2));
    assert_eq!(table.errors(), [("late", ErrorKind::ConnectTimeout)]);
    // No waiter is left, and so the dial is removed with its attempt.
    let closed = table.env.next_effect();
    assert!(matches!(closed, Some(Effect::CloseLink { link: closed, .. }) if closed == link));
    assert_eq!((table.dials.len(), table.env.timers.len()), (0, 0));
}

#[test]
fn waiter_that_tries_once_fails_at_the_first_failure() {
    let mut table = Table::new();
    table.connect("10.0.0.1:1", ConnectMode::Once, 10, "once");
    let (_, _, dial) = table.opened().unwrap();
    table.connect("10.0.0.1:1", ConnectMode::Patient, 10, "patient");
    table.fail(dial);
    assert_eq!(table.errors(), [("once", ErrorKind::ConnectFailed)]);
    assert_eq!(table.dials.len(), 1, "the other caller still waits");
}

#[test]
fn name_is_tried_address_by_address_before_a_waiter_fails() {
    let mut table = Table::new();
    table.connect("far.example:1", ConnectMode::Once, 10, "once");
    let Some(Output::Resolve { query, .. }) = table.env.out.pop() else { panic!("a query") };
    let addrs: Vec<SocketAddr> = ["10.0.0.1:1", "10.0.0.2:1"].map(|a| a.parse().unwrap()).into();
    table.dials.resolved(&mut table.env, query, Ok(addrs.clone()));
    for addr in addrs {
        assert!(table.errors().is_empty());
        let (_, tried, dial) = table.opened().unwrap();
        assert_eq!(tried, addr);
        table.fail(dial);
    }
    assert_eq!(table.errors(), [("once", ErrorKind::ConnectFailed)]);
    assert_eq!((table.dials.len(), table.env.timers.len()), (0, 0));
}

#[test]
fn dial_removed_while_trying_closes_its_link_by_an_effect() {
    let mut table = Table::new();
    table.connect("10.0.0.1:1", ConnectMode::Patient, 10, "waits");
    let (link, _, dial) = table.opened().unwrap();
    let address = "10.0.0.1:1".parse().unwrap();
    let next = table.dials.disconnect_address(&mut table.env, &table.peers, &address);
    assert!(next.is_empty(), "it led to no node that is known");
    let closed = table.env.next_effect();
    assert!(matches!(closed, Some(Effect::CloseLink { link: closed, .. }) if closed == link));
    let (token, result) = table.env.take_completed().pop().unwrap();
    let error = result.unwrap_err();
    assert_eq!((token, error.kind()), ("waits", ErrorKind::Cancelled));
    assert_eq!(error.execution(), Execution::Never);
    assert_eq!((table.dials.len(), table.env.timers.len()), (0, 0));
    assert!(table.fail(dial).is_empty(), "its link may fail before it is closed");
}

#[test]
fn addresses_of_a_name_that_is_not_dialled_any_more_are_ignored() {
    let mut table = Table::new();
    table.connect("far.example:1", ConnectMode::Patient, 10, "waits");
    let Some(Output::Resolve { query, .. }) = table.env.out.pop() else { panic!("a query") };
    let address = "far.example:1".parse().unwrap();
    table.dials.disconnect_address(&mut table.env, &table.peers, &address);
    let addr = "10.0.0.1:1".parse().unwrap();
    table.dials.resolved(&mut table.env, query, Ok(vec![addr]));
    assert!(table.env.next_effect().is_none());
}

#[test]
fn members_are_dialled_when_a_slot_is_free() {
    let mut table = Table::new();
    for n in 0..=MEMBER_DIALS {
        table.member(&format!("10.0.1.{n}:1"), &format!("member-{n}"));
    }
    table.dials.dial_waiting(&mut table.env);
    let opened: Vec<_> = std::iter::from_fn(|| table.opened()).collect();
    assert_eq!(opened.len(), MEMBER_DIALS);
    let (_, _, dial) = opened[7];
    let next = table.fail(dial);
    assert!(matches!(&next[..], [DialEvent::Unreached(id)] if *id == node("member-7")));
    table.dials.dial_waiting(&mut table.env);
    assert!(table.opened().is_some(), "the slot of the one that failed");
    assert!(table.opened().is_none());
}

#[test]
fn member_with_a_waiter_outlives_its_time() {
    let mut table = Table::new();
    table.member("10.0.0.1:1", "far");
    table.dials.dial_waiting(&mut table.env);
    let (_, _, dial) = table.opened().unwrap();
    table.connect("10.0.0.1:1", ConnectMode::Patient, 3_600, "waits");
    let (after, next) = table.waiters_due(dial);
    assert_eq!(after, MEMBER_GIVE_UP);
    assert!(matches!(&next[..], [DialEvent::Displaced(id)] if *id == node("far")));
    assert!(table.errors().is_empty());
    assert_eq!(table.dials.len(), 1);
}

#[test]
fn newer_member_takes_over_the_dial_of_an_older_one_at_its_address() {
    let mut table = Table::new();
    let MemberDial::Dialled { dial, displaced: None } = table.member("10.0.0.1:1", "old") else {
        panic!("it is dialled");
    };
    let again = table.member("10.0.0.1:1", "new");
    let MemberDial::Dialled { dial: same, displaced: Some(displaced) } = again else {
        panic!("it is dialled there");
    };
    assert_eq!((same, displaced), (dial, node("old")));
    assert!(table.dials.drop_member(&mut table.env, dial, &node("old")).is_empty());
    let next = table.dials.drop_member(&mut table.env, dial, &node("new"));
    assert!(matches!(&next[..], [DialEvent::Removed { .. }]));
    assert_eq!((table.dials.len(), table.env.timers.len()), (0, 0));
}

#[test]
fn member_at_an_address_that_the_program_dials_is_left_to_it() {
    let mut table = Table::new();
    table.connect("10.0.0.1:1", ConnectMode::Patient, 10, "waits");
    assert!(matches!(table.member("10.0.0.1:1", "far"), MemberDial::ByProgram));
    assert_eq!(table.dials.redial_of(&node("far")), None);
}

#[test]
fn stop_fails_every_waiter_and_leaves_no_timer() {
    let mut table = Table::new();
    table.connect("10.0.0.1:1", ConnectMode::Patient, 10, "one");
    table.connect("far.example:1", ConnectMode::Patient, 10, "two");
    table.member("10.0.0.3:1", "far");
    table.dials.close(&mut table.env, &Error::new(ErrorKind::Closed, "stopped"));
    assert_eq!(table.errors(), [("one", ErrorKind::Closed), ("two", ErrorKind::Closed)]);
    assert_eq!((table.dials.len(), table.env.timers.len()), (0, 0));
}
