//! One story a promise: how an engine keeps it. Each is told again with a bug planted, and must fail then; see
//! [`promises`](super::promises).

use super::*;
use crate::wire::{self, Control, DataHead, Offer};

const SECOND: Duration = Duration::from_secs(1);

impl Pair {
    /// Somebody has connected to that node, and has said nothing yet.
    fn accept(&mut self, node: usize) -> LinkId {
        let link = self.nodes[node].draw_link();
        self.feed(node, Input::Accepted { link, local: addr(node), remote: addr(77) });
        link
    }

    /// A plan that goes to that peer although no room was taken there.
    pub(super) fn plan_without_room(&self, from: usize, to: &str) -> Plan {
        let entry = self.nodes[from].directory().get(to).expect("a joined peer");
        let step = Step::new(entry.key, Directions::BOTH);
        Plan::one(step, entry.face(Directions::BOTH).map(|face| face.link))
    }

    fn tick_without_room(&mut self, from: usize, to: &str, payload: Payload) {
        let plan = self.plan_without_room(from, to);
        let tick = Tick { plan, message: Self::message(payload), wait: None };
        self.command(from, Command::Tick(tick));
    }

    /// Why that node left the first of its peers.
    pub(super) fn left(&self, node: usize) -> Option<LeftReason> {
        self.events.iter().find_map(|(at, event)| match event {
            NodeEvent::PeerLeft { reason, .. } if *at == node => Some(reason.clone()),
            _ => None,
        })
    }

    fn assert_violated(&self, node: usize, how: &str) {
        match self.left(node) {
            Some(LeftReason::Protocol(why)) => assert!(why.contains(how), "{why}"),
            other => panic!("{other:?}, not: {how}"),
        }
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&wire::frame_head(body.len(), false, false)[..], body].concat()
}

fn control_frame(control: &Control) -> Vec<u8> {
    let mut body = Vec::new();
    wire::put_control(&mut body, control);
    frame(&body)
}

fn reply_frame(call: CallId) -> Vec<u8> {
    let mut body = Vec::new();
    wire::put_data_head(&mut body, &DataHead::Reply { call, handler: None }, 1);
    body.push(0xf6);
    frame(&body)
}

// covers P01
#[test]
pub(super) fn a_stranger_is_closed_at_its_first_wrong_byte() {
    let mut pair = Pair::new(&["server"]);
    let link = pair.accept(0);
    pair.arrive(0, link, b"G");
    assert_eq!(pair.nodes[0].link_state(link), None);
    assert_eq!(pair.nodes[0].dropped().aliens, 1);
}

// covers P02
#[test]
pub(super) fn who_trickles_a_handshake_is_closed_in_time() {
    let mut pair = Pair::new(&["server"]);
    let link = pair.accept(0);
    let offer = Offer::OURS.to_bytes();
    for byte in &offer[..4] {
        pair.arrive(0, link, &[*byte]);
        pair.pass(SECOND);
    }
    assert_eq!(pair.nodes[0].link_state(link), Some("greeting"));
    pair.pass(2 * SECOND);
    assert_eq!(pair.nodes[0].open_links() + pair.nodes[0].armed_timers(), 0);
}

// covers P02
#[test]
pub(super) fn the_oldest_of_too_many_newcomers_makes_room() {
    let mut pair = Pair::new(&["server"]);
    let most = Config::default().limits.handshakes;
    let oldest = pair.accept(0);
    for _ in 0..most {
        pair.accept(0);
    }
    assert_eq!(pair.nodes[0].open_links(), most);
    assert_eq!(pair.nodes[0].link_state(oldest), None);
}

// covers P03
#[test]
pub(super) fn a_frame_that_is_too_large_for_a_newcomer_is_refused_on_its_length() {
    let mut pair = Pair::new(&["server"]);
    let link = pair.accept(0);
    pair.arrive(0, link, &Offer::OURS.to_bytes());
    assert_eq!(pair.nodes[0].link_state(link), Some("hello"));
    pair.arrive(0, link, &wire::frame_head(16 * 1_024 + 1, false, false));
    assert_eq!(pair.nodes[0].link_state(link), Some("closing"));
}

// covers P04
#[test]
pub(super) fn a_frame_that_does_not_go_on_ends_with_its_link() {
    let mut pair = Pair::joined(&["client", "server"]);
    let link = pair.link(1, "client");
    pair.frozen.push(0);
    pair.arrive(1, link, &wire::frame_head(1_000, false, false));
    pair.pass(9 * SECOND);
    assert_eq!(pair.left(1), None);
    pair.pass(4 * SECOND);
    assert_eq!(pair.left(1), Some(LeftReason::Silent));
}

// covers P05
#[test]
pub(super) fn a_life_in_single_bytes_is_like_any_other() {
    let mut pair = Pair::new(&["client", "server"]);
    pair.connect(0, 1, "connect");
    let mut asked = false;
    while let Some(arrival) = pair.steps.pop_front() {
        match arrival {
            Arrival::Input(node, input) => pair.feed(node, input),
            Arrival::Bytes(node, link, bytes) => {
                for byte in bytes {
                    pair.arrive(node, link, &[byte]);
                }
            }
        }
        if !asked && pair.nodes[0].directory().get("server").is_some() {
            pair.request(0, "server", bytes_of(20_000), "call");
            asked = true;
        }
    }
    assert!(matches!(pair.result("connect"), Ok(Done::Connected(_))));
    assert_eq!(pair.delivered[0].1.message.payload, bytes_of(20_000));
}

// covers P06, P07
#[test]
pub(super) fn an_envelope_that_cannot_be_read_ends_the_link() {
    let deep = [0x81; 70];
    for body in [&[0xff][..], &deep] {
        let mut pair = Pair::joined(&["client", "server"]);
        let link = pair.link(1, "client");
        pair.arrive(1, link, &frame(body));
        pair.run();
        assert!(matches!(pair.left(1), Some(LeftReason::Protocol(_))), "{:?}", pair.left(1));
        // The other side is told why.
        assert!(matches!(pair.left(0), Some(LeftReason::Protocol(_))), "{:?}", pair.left(0));
    }
}

/// When each of some clients dials again after all have lost their server at once, counted from then.
fn redials() -> Vec<Vec<Duration>> {
    let ids = ["server", "a", "b", "c", "d", "e", "f"];
    let mut pair = Pair::new(&ids);
    for client in 1..ids.len() {
        pair.connect(client, 0, "connect");
    }
    pair.run();
    assert_eq!(pair.nodes[0].directory().len(), ids.len() - 1);
    pair.closed.push(0);
    pair.frozen.push(0);
    pair.dials.clear();
    let lost = pair.now;
    for client in 1..ids.len() {
        let link = pair.link(client, "server");
        pair.feed(client, Input::Lost { link, cause: Cause::Broken("reset".to_owned()) });
    }
    pair.pass(30 * SECOND);
    let of = |client| {
        let own = pair.dials.iter().filter(move |(who, _)| *who == client);
        own.map(|(_, at)| *at - lost).collect()
    };
    (1..ids.len()).map(of).collect()
}

// covers P13
#[test]
pub(super) fn those_who_lost_a_peer_together_come_back_at_different_times() {
    let redials = redials();
    let mut first: Vec<Duration> = redials.iter().map(|times| times[0]).collect();
    first.sort_unstable();
    first.dedup();
    assert_eq!(first.len(), redials.len(), "{first:?}");
    let (least, most) = (Duration::from_millis(50), Duration::from_millis(101));
    assert!(first.iter().all(|pause| (least..most).contains(pause)), "{first:?}");
}

// covers P13
#[test]
pub(super) fn the_pauses_between_dials_grow_up_to_their_longest() {
    for times in redials() {
        let later = times.iter().skip(1).zip(&times);
        let pauses: Vec<Duration> = later.map(|(next, at)| next.saturating_sub(*at)).collect();
        let last = *pauses.last().unwrap();
        assert!((2 * SECOND..=4 * SECOND + SECOND / 1_000).contains(&last), "{pauses:?}");
        assert!(times.len() < 20, "{times:?}");
    }
}

// covers P18
#[test]
pub(super) fn a_peer_that_does_not_read_is_let_go() {
    let config = Config { write_stall: 3 * SECOND, ..Config::default() };
    let mut pair = Pair::joined_with(&["client", "server"], &config);
    pair.frozen.push(0);
    pair.request(0, "server", bytes_of(1_000), "call");
    pair.pass(SECOND);
    assert_eq!(pair.left(0), None);
    pair.pass(5 * SECOND);
    assert_eq!(pair.left(0), Some(LeftReason::SlowPeer));
}

// covers P18
#[test]
pub(super) fn a_peer_that_reads_a_byte_now_and_then_is_let_go() {
    let config = Config { write_stall: 3 * SECOND, ..Config::default() };
    for (bytes, stays) in [(1, false), (3 * 1_024, true)] {
        let mut pair = Pair::joined_with(&["client", "server"], &config);
        let link = pair.link(0, "server");
        pair.frozen.push(0);
        pair.request(0, "server", bytes_of(60_000), "call");
        for _ in 0..4 {
            pair.pass(2 * SECOND);
            pair.feed(0, Input::Sent { link, len: bytes });
            // The other side is not to blame for its silence: it lives.
            let heartbeat = Control::Heartbeat { ticks: 0, cost: 0, stamp: 0, echo: 0 };
            pair.arrive(0, link, &control_frame(&heartbeat));
        }
        assert_eq!(pair.left(0), (!stays).then_some(LeftReason::SlowPeer));
    }
}

// covers P18
#[test]
pub(super) fn a_tick_beyond_the_window_ends_the_link() {
    let mut pair = Pair::joined(&["client", "server"]);
    for _ in 0..2 {
        pair.tick_without_room(0, "server", bytes_of(60_000));
    }
    pair.run();
    pair.assert_violated(1, "beyond the window");
}

// covers P21
#[test]
pub(super) fn a_flood_of_cheap_messages_ends_the_link() {
    let mut pair = Pair::joined(&["client", "server"]);
    let link = pair.link(1, "client");
    let cancel = control_frame(&Control::Cancel { call: CallId(9) });
    for _ in 0..=crate::config::CONTROL_BURST {
        pair.arrive(1, link, &cancel);
    }
    pair.run();
    pair.assert_violated(1, "a flood");
}

// covers P22
#[test]
pub(super) fn a_request_beyond_the_granted_number_is_busy_and_does_not_run() {
    let mut config = Config::default();
    config.limits.calls_per_link = 2;
    let mut pair = Pair::joined_with(&["client", "server"], &config);
    for token in ["one", "two", "three"] {
        let plan = pair.plan_without_room(0, "server");
        pair.request_by(plan, 0, bytes_of(9), token);
    }
    pair.run();
    assert_eq!(pair.delivered.len(), 2);
    let error = pair.result("three").unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::Busy, Execution::Never));
}

// covers P22
#[test]
pub(super) fn a_waiting_call_whose_time_ends_with_anothers_is_not_sent() {
    let mut config = Config::default();
    config.limits.calls_per_link = 1;
    let mut pair = Pair::joined_with(&["client", "server"], &config);
    for token in ["sent", "waits"] {
        pair.request(0, "server", bytes_of(9), token);
    }
    pair.run();
    // The reply is read in a turn that is behind both deadlines and has not come to its timers yet.
    pair.now += 4 * SECOND;
    let Work::Request { reply_to, .. } = pair.delivered[0].1.work else { panic!("a request") };
    pair.feed(1, Input::Answer { reply_to, answer: Answer::Reply(Payload::null()) });
    pair.pass(SECOND);
    assert!(pair.result("sent").is_ok());
    let waits = pair.result("waits").unwrap_err();
    assert_eq!((waits.kind(), waits.execution()), (ErrorKind::Backpressure, Execution::Never));
    assert_eq!(pair.delivered.len(), 1);
}

// covers P31
#[test]
pub(super) fn an_answer_on_another_link_is_nobodys() {
    let mut pair = Pair::joined(&["client", "server", "other"]);
    pair.connect(0, 2, "connect");
    pair.run();
    pair.request(0, "other", bytes_of(9), "elsewhere");
    let call = pair.request(0, "server", bytes_of(9), "call");
    pair.run();
    pair.done.clear();
    let link = pair.link(0, "other");
    pair.arrive(0, link, &reply_frame(call));
    pair.run();
    assert!(pair.done.is_empty());
    assert_eq!(pair.nodes[0].dropped().late_answers, 1);
}

// covers P32
#[test]
pub(super) fn a_request_whose_number_is_in_use_ends_the_link() {
    let mut pair = Pair::joined(&["client", "server"]);
    pair.request(0, "server", bytes_of(9), "call");
    while let Some(arrival) = pair.steps.pop_front() {
        match arrival {
            Arrival::Input(node, input) => pair.feed(node, input),
            Arrival::Bytes(node, link, bytes) => {
                pair.arrive(node, link, &bytes);
                if pair.delivered.len() == 1 {
                    pair.arrive(node, link, &bytes);
                    break;
                }
            }
        }
    }
    pair.run();
    assert_eq!(pair.delivered.len(), 1);
    pair.assert_violated(1, "in use");
}

// covers P34
#[test]
pub(super) fn a_stop_tells_who_waits_at_once() {
    let mut pair = Pair::joined(&["client", "server"]);
    pair.request(0, "server", bytes_of(9), "call");
    pair.run();
    pair.command(0, Command::Stop { bound: 2 * SECOND, token: Some("stop") });
    pair.run();
    let error = pair.result("call").unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::Closed, Execution::Unknown));
    assert!(matches!(pair.result("stop"), Ok(Done::Stopped(StopCut { calls: 1, .. }))));
}
