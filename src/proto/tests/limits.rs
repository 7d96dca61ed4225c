//! Limits that the engine keeps by itself, just below, at and beyond them.

use super::*;
use crate::config::CONTROL_QUEUE_BYTES;
use crate::proto::queue::SendQueue;
use crate::wire::Control;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

// covers P18
#[test]
fn a_link_may_write_nothing_up_to_the_limit_and_is_closed_then() {
    let _bound = crate::bound::bound();
    for (time, gone) in
        [(2_999 * MILLISECOND, false), (3 * SECOND, true), (3_001 * MILLISECOND, true)]
    {
        let config = Config { write_stall: 3 * SECOND, ..Config::default() };
        let mut pair = Pair::joined_with(&["client", "server"], &config);
        pair.frozen.push(0);
        pair.request(0, "server", bytes_of(1_000), "call");
        pair.pass(time);
        let left = pair.events_of(0).iter().any(|event| event.contains("SlowPeer"));
        assert_eq!((left, pair.nodes[0].dropped().slow_peers), (gone, u64::from(gone)), "{time:?}");
    }
}

#[test]
fn a_tick_window_grows_to_its_limit_and_no_further() {
    let _bound = crate::bound::bound();
    for most in [65_535 * 2, 65_536 * 2, 65_537 * 2] {
        let mut config = Config::default();
        config.limits.tick_window_bytes = 65_536;
        config.limits.tick_window_most_bytes = most;
        let mut pair = Pair::joined_with(&["client", "server"], &config);
        // Each tick takes more than half of any of these windows.
        for _ in 0..4 {
            let plan = pair.plan(0, "server", true, 66_005);
            let tick = Tick { plan, message: Pair::message(bytes_of(66_000)), wait: None };
            pair.command(0, Command::Tick(tick));
            pair.run();
            let (_, delivery) = pair.delivered.pop().expect("a tick");
            let Work::Tick { cost } = delivery.work else { panic!("a tick") };
            pair.feed(1, Input::Consumed { link: delivery.link, ticks: 1, cost });
            pair.run();
        }
        // What the peer grants is what may be sent: the last byte of it, and none more.
        let entry = pair.nodes[0].directory().get("server").unwrap();
        let gauge = &entry.face(Directions::BOTH).unwrap().gauge;
        let half = usize::try_from(most / 2).unwrap();
        assert_eq!(gauge.take_tick(half), Ok(()));
        assert_eq!(gauge.take_tick(half + 1), Err(Full::Ticks), "{most}");
        assert_eq!(gauge.take_tick(half), Ok(()), "{most}");
    }
}

#[test]
fn control_messages_leave_half_of_their_room_to_what_must_be_said() {
    let _bound = crate::bound::bound();
    let length = |control: &Control| {
        let mut queue = SendQueue::default();
        queue.push_state(control);
        queue.stage(Instant::now());
        queue.outgoing().map(<[u8]>::len).sum::<usize>()
    };
    let page = |bytes: usize| Control::ServicesChanged {
        version: 1,
        last: true,
        names: vec!["x".repeat(bytes)],
    };
    let half = CONTROL_QUEUE_BYTES / 2;
    let around = length(&page(30_000)) - 30_000;
    for (bytes, room) in [(half - 1, true), (half, false), (half + 1, false)] {
        let control = page(bytes - around);
        assert_eq!(length(&control), bytes);
        let mut queue = SendQueue::default();
        queue.push_state(&control);
        assert_eq!(queue.has_control_room(), room, "{bytes}");
    }
}

#[test]
fn a_request_that_waits_for_room_until_its_deadline_is_counted() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::joined(&["client", "server"]);
    let entry = pair.nodes[0].directory().get("server").unwrap();
    let gauge = Arc::clone(&entry.face(Directions::BOTH).unwrap().gauge);
    while gauge.take_call(1).is_ok() {}
    pair.request(0, "server", Payload::null(), "waits");
    pair.pass(2_999 * MILLISECOND);
    assert_eq!((pair.done.len(), pair.nodes[0].dropped().backpressured), (0, 0));
    pair.pass(MILLISECOND);
    assert_eq!(pair.result("waits").unwrap_err().kind(), ErrorKind::Backpressure);
    assert_eq!(pair.nodes[0].dropped().backpressured, 1);
}
