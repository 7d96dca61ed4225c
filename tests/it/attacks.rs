//! Peers that have joined and then cheat: each attack ends as documented, and the good peer of the same node notices nothing.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use ciborium::Value;
use threadmesh::{
    Bytes, ErrorKind, Events, Execution, LeftReason, Node, NodeEvent, Request, Tick, options,
};

use crate::support::impostor::{
    Announced, Impostor, MODEST, REQUEST, frame, item, message, message_with, number, request, tick,
};
use crate::support::{
    SOON, bounded, builder, eventually, expect_event, joined, listening, pair, took,
};

const LIMIT: Duration = Duration::from_secs(60);
const UNSUPPORTED: u64 = 22;
const DECODE: u64 = 29;
const NEVER: u64 = 0;
const PROTOCOL: u64 = 4;

/// A listener with handlers, and a good peer that has joined it. What `release` is sent lets one held handler go.
struct House {
    client: Node,
    server: Node,
    events: Events,
    release: Sender<()>,
}

impl House {
    fn new() -> Self {
        let server = listening("s");
        let (release, released) = channel::<()>();
        let gate = std::sync::Arc::new(Mutex::new(released));
        let same = gate.clone();
        let hold = move |_: Request<()>| {
            let _ = gate.lock().unwrap().recv_timeout(SOON);
            Ok(())
        };
        let hold_tick = move |_: Tick<()>| {
            let _ = same.lock().unwrap().recv_timeout(SOON);
        };
        server.on_request("echo", |request: Request<u64>| Ok(request.data)).unwrap();
        server.on_request("blob", |_: Request<()>| Ok(Bytes::new(vec![7; 8_192]))).unwrap();
        server.on_request("hold", hold).unwrap();
        server.on_tick("hold", hold_tick).unwrap();
        let client = joined("c", &server);
        let events = server.events();
        Self { client, server, events, release }
    }

    fn impostor(&self) -> Impostor {
        Impostor::join(self.server.local_addr().unwrap(), "evil")
    }

    /// The impostor was disconnected for breaking the protocol.
    fn expect_thrown_out(&mut self) -> String {
        expect_event(&mut self.events, |event| match event {
            NodeEvent::PeerLeft { id, reason, .. } => {
                assert_eq!(id.as_str(), "evil", "{reason:?}");
                match reason {
                    LeftReason::Protocol(why) => Some(why.clone()),
                    other => panic!("{other:?}"),
                }
            }
            _ => None,
        })
    }
}

/// Lets an impostor do its worst, then sees that the good peer was not disturbed.
fn attack(name: &str, worst: impl FnOnce(&mut House, &mut Impostor)) {
    bounded(name, LIMIT, || {
        let mut house = House::new();
        let mut evil = house.impostor();
        assert_eq!(house.client.request::<u64, _>("s", "echo", &1_u64).unwrap(), 1);
        worst(&mut house, &mut evil);
        assert_eq!(house.client.request::<u64, _>("s", "echo", &2_u64).unwrap(), 2);
        while let Some(event) = house.events.try_next() {
            let good = matches!(&event, NodeEvent::PeerLeft { id, .. } if id.as_str() == "c");
            assert!(!good, "{event:?}");
        }
    });
}

fn nobody_left(events: &mut Events) {
    while let Some(event) = events.try_next() {
        assert!(!matches!(event, NodeEvent::PeerLeft { .. }), "{event:?}");
    }
}

// covers P18, P19
#[test]
fn who_asks_without_reading_the_answers_is_disconnected() {
    attack("asks without reading", |house, evil| {
        let ask = |call| frame(request(call, "blob", &item(Value::Null)));
        let calls = (1..=20_000_u64).collect::<Vec<_>>();
        for calls in calls.chunks(100) {
            let burst: Vec<u8> = calls.iter().flat_map(|call| ask(*call)).collect();
            if !evil.write(&burst) {
                break;
            }
        }
        assert!(house.expect_thrown_out().contains("does not read"));
    });
}

// covers P21
#[test]
fn a_flood_of_heartbeats_is_a_protocol_error() {
    attack("heartbeats", |house, evil| {
        let beat = frame(message(11, 0, [0_u64; 4].map(Value::from)));
        evil.write(&beat.repeat(6_000));
        assert_eq!(evil.hear_goodbye().0, PROTOCOL);
        assert!(house.expect_thrown_out().contains("flood"));
    });
}

// covers P21
#[test]
fn a_flood_of_cancels_of_unknown_calls_is_a_protocol_error() {
    attack("cancels", |house, evil| {
        let cancels: Vec<u8> = (1..=20_000).flat_map(|call| frame(message(13, call, []))).collect();
        evil.write(&cancels);
        assert!(house.expect_thrown_out().contains("flood"));
    });
}

// covers P21
#[test]
fn cheap_messages_that_a_peer_has_brought_on_itself_are_no_flood() {
    bounded("earned", LIMIT, || {
        let (client, server) = pair();
        let mut events = client.events();
        let mut others = server.events();
        server.on_tick("t", |_: Tick<()>| ()).unwrap();
        server.on_request("echo", |request: Request<u64>| Ok(request.data)).unwrap();
        for _ in 0..12_000 {
            let error = client.request::<(), _>("s", "nobody", &()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoHandler, "{error}");
        }
        for number in 0..12_000 {
            client.to("s").wait(SOON).tick("t", &()).unwrap();
            drop(client.start::<u64, _>("s", "echo", &number).unwrap());
            assert_eq!(client.request::<u64, _>("s", "echo", &number).unwrap(), number);
        }
        nobody_left(&mut events);
        nobody_left(&mut others);
    });
}

#[test]
fn a_storm_of_option_updates_costs_no_link_and_the_last_one_arrives() {
    bounded("options", LIMIT, || {
        let (client, server) = pair();
        let mut events = client.events();
        for number in 0..12_000 {
            client.update_options(&options! { "n": number }).unwrap();
        }
        let is_last = |node: &Node| {
            node.peer_options("c").is_some_and(|options| options.get("n") == Some(&11_999.into()))
        };
        eventually("the last options arrive", || is_last(&server));
        nobody_left(&mut events);
    });
}

// covers P18
#[test]
fn ticks_beyond_the_window_are_a_protocol_error() {
    attack("ticks", |house, evil| {
        let ticks = frame(tick("hold", &item(Value::Null))).repeat(65_536 / 128 + 1);
        evil.write(&ticks);
        assert_eq!(evil.hear_goodbye().0, PROTOCOL);
        assert!(house.expect_thrown_out().contains("window"));
        (0..600).for_each(|_| house.release.send(()).unwrap());
    });
}

/// Confirms what cannot be true after the node has sent one tick of cost 128.
fn confirms(ticks: u64, cost: u64) {
    attack("confirms", |house, evil| {
        house.server.tick("evil", "t", &()).unwrap();
        evil.hear(10);
        evil.say(message(15, 0, [ticks, cost].map(Value::from)));
        assert_eq!(evil.hear_goodbye().0, PROTOCOL);
        assert!(house.expect_thrown_out().contains("never sent"));
    });
}

#[test]
fn confirming_ticks_that_were_never_sent_is_a_protocol_error() {
    confirms(2, 256);
    confirms(u64::MAX, u64::MAX);
}

#[test]
fn confirming_more_cost_than_was_sent_is_a_protocol_error() {
    confirms(1, 129);
    confirms(0, u64::MAX);
    confirms(1, u64::MAX);
}

// covers P32
#[test]
fn a_call_id_in_use_is_a_protocol_error() {
    attack("reused id", |house, evil| {
        evil.say(request(7, "hold", &item(Value::Null)));
        evil.say(request(7, "echo", &item(Value::from(1))));
        assert_eq!(evil.hear_goodbye().0, PROTOCOL);
        assert!(house.expect_thrown_out().contains("in use"));
        house.release.send(()).unwrap();
    });
}

// covers P30, P31
#[test]
fn answers_to_calls_that_nobody_made_are_dropped() {
    attack("unasked answers", |house, evil| {
        let pending = house.server.start::<u64, _>("evil", "what", &()).unwrap();
        let call = number(&evil.hear(REQUEST)[1]);
        let payload = || Value::Bytes(item(Value::from(1)));
        for other in [call + 1, call + 99, u64::MAX] {
            evil.say(message(4, other, [payload()]));
            let failed = [Value::from("X"), Value::from("y"), Value::Bool(true), payload()];
            evil.say(message(6, other, failed));
            let fault = [Value::from(10), Value::from(0), Value::from(""), Value::Array(vec![])];
            evil.say(message(8, other, fault));
        }
        evil.say(message(4, call, [payload()]));
        assert_eq!(pending.wait().unwrap().value, 1);
        evil.say(message(4, call, [payload()]));
        assert_eq!(evil.ask(1, "echo", 5), 5);
    });
}

#[test]
fn a_fault_about_no_call_is_told_within_bounds() {
    attack("loud fault", |house, evil| {
        let text = "line\nline ".repeat(20_000);
        let fault =
            [Value::from(10), Value::from(0), Value::from(text.as_str()), Value::Array(vec![])];
        evil.say(message(8, 0, fault));
        let error = expect_event(&mut house.events, |event| match event {
            NodeEvent::Error(error) => Some(error.clone()),
            _ => None,
        });
        assert!(error.message().len() <= 2_048, "{} bytes", error.message().len());
        assert!(!error.message().contains('\n'));
        assert_eq!(evil.ask(1, "echo", 5), 5);
    });
}

// covers P22
#[test]
fn extreme_grants_are_obeyed_without_harm() {
    attack("grants", |house, evil| {
        let grant =
            |window: u64, calls: u32| message(17, 0, [Value::from(window), Value::from(calls)]);
        evil.say(grant(u64::MAX, u32::MAX));
        assert_eq!(evil.ask(1, "echo", 5), 5);
        for _ in 0..600 {
            house.server.tick("evil", "t", &()).unwrap();
        }
        (0..600).for_each(|_| drop(evil.hear(10)));
        evil.say(grant(0, 0));
        evil.say(message(15, 0, [600_u64, 600 * 128].map(Value::from)));
        assert_eq!(evil.ask(2, "echo", 6), 6);
        house.server.tick("evil", "t", &()).unwrap();
        let full = house.server.tick("evil", "t", &()).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::Backpressure);
        let call = house.server.to("evil").timeout(Duration::from_millis(50));
        let full = call.request::<(), _>("what", &()).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::Backpressure);
        assert_eq!(full.execution(), Execution::Never);
        evil.say(grant(1_000, 1));
        let pending = house.server.start::<u64, _>("evil", "what", &()).unwrap();
        let call = number(&evil.hear(REQUEST)[1]);
        evil.say(message(4, call, [Value::Bytes(item(Value::from(9)))]));
        assert_eq!(pending.wait().unwrap().value, 9);
    });
}

/// Joins with strange numbers; the node still serves this peer and the other one.
fn announces(announced: Announced, check: impl FnOnce(&mut House, &mut Impostor)) {
    bounded("announces", LIMIT, || {
        let mut house = House::new();
        let address = house.server.local_addr().unwrap();
        let mut evil = Impostor::join_as(address, "evil", announced);
        assert_eq!(evil.ask(1, "echo", 5), 5);
        check(&mut house, &mut evil);
        assert_eq!(evil.ask(2, "echo", 6), 6);
        assert_eq!(house.client.request::<u64, _>("s", "echo", &2_u64).unwrap(), 2);
    });
}

#[test]
fn a_liveness_of_a_millisecond_brings_no_storm_of_heartbeats() {
    for liveness_ms in [0, 1] {
        announces(Announced { heartbeat_ms: 0, liveness_ms, ..MODEST }, |_, evil| {
            let heard = evil.heartbeats_within(Duration::from_millis(500));
            assert!(heard <= 60, "{heard} heartbeats in half a second");
        });
    }
}

#[test]
fn huge_numbers_in_a_hello_do_no_harm() {
    let huge = Announced {
        heartbeat_ms: u32::MAX,
        liveness_ms: u32::MAX,
        calls: u32::MAX,
        tick_window: u64::MAX,
        message_bytes: u64::MAX,
    };
    announces(huge, |house, evil| {
        house.server.tick("evil", "t", &()).unwrap();
        house.server.tick("evil", "t", &()).unwrap();
        evil.hear(10);
        evil.hear(10);
        evil.say(message(15, 0, [2_u64, 256].map(Value::from)));
    });
}

#[test]
fn a_peer_that_takes_no_bytes_gets_none_and_no_room_is_lost() {
    announces(Announced { message_bytes: 2, ..MODEST }, |house, evil| {
        let error = house.server.request::<(), _>("evil", "what", "too long").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        for _ in 0..2_000 {
            house.server.tick("evil", "t", "too long").unwrap();
            expect_event(&mut house.events, |event| match event {
                NodeEvent::Undelivered { unwritten: 1, .. } => Some(()),
                _ => None,
            });
        }
        house.server.tick("evil", "t", &()).unwrap();
        evil.hear(10);
        evil.say(message(15, 0, [1_u64, 128].map(Value::from)));
    });
}

// covers P03
#[test]
fn a_message_in_segments_that_never_ends_is_a_protocol_error() {
    attack("endless", |house, evil| {
        let mut segment = vec![0xff; 4 + 262_144];
        for number in 0..80_u32 {
            let continues = if number == 0 { 0 } else { 1 << 30 };
            let word = 1 << 31 | continues | 262_144_u32;
            segment[..4].copy_from_slice(&word.to_be_bytes());
            if !evil.write(&segment) {
                break;
            }
        }
        assert!(house.expect_thrown_out().contains("limit"));
    });
}

#[test]
fn unknown_kinds_are_skipped_or_refused_and_the_link_stays() {
    attack("unknown kinds", |_, evil| {
        evil.say(message(33, 0, [Value::from("anything")]));
        evil.say(message(u64::MAX, u64::MAX, []));
        evil.say(message(34, 5, [Value::Float(1.5)]));
        assert_eq!(evil.hear_fault(5), (UNSUPPORTED, NEVER));
        evil.say(message(34, 0, []));
        assert_eq!(evil.hear_fault(0), (UNSUPPORTED, NEVER));
        assert_eq!(evil.ask(1, "echo", 5), 5);
    });
}

#[test]
fn unknown_headers_are_skipped_or_refuse_their_message_alone() {
    attack("unknown headers", |_, evil| {
        let with = |key: u64| vec![(Value::from(key), Value::Bool(true))];
        let payload = || Value::Bytes(item(Value::from(3)));
        let ask = || [Value::from(5_000), Value::from("echo"), payload()];
        evil.say(message_with(2, 1, with(101), ask()));
        assert_eq!(number(&evil.hear_answer(1)[0]), 4);
        evil.say(message_with(2, 2, with(100), ask()));
        assert_eq!(evil.hear_fault(2), (UNSUPPORTED, NEVER));
        evil.say(message_with(10, 0, with(100), [Value::from("t"), payload()]));
        assert_eq!(evil.hear_fault(0), (UNSUPPORTED, NEVER));
        assert_eq!(evil.ask(3, "echo", 5), 5);
    });
}

#[test]
fn an_answer_with_an_unknown_even_header_ends_its_call_and_no_other() {
    attack("unknown header of an answer", |house, evil| {
        let pending = house.server.start::<u64, _>("evil", "what", &()).unwrap();
        let call = number(&evil.hear(REQUEST)[1]);
        // The impostor's own call has the same number, and must not be ended by a refusal of its answer.
        evil.say(request(call, "hold", &item(Value::Null)));
        let compressed = vec![(Value::from(2), Value::from(1))];
        evil.say(message_with(4, call, compressed, [Value::Bytes(item(Value::from(1)))]));
        let error = took(SOON / 4, || pending.wait().unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.execution(), Execution::Happened);
        house.release.send(()).unwrap();
        assert_eq!(number(&evil.hear_answer(call)[0]), 4);
    });
}

// covers P06, P07
#[test]
fn malformed_payloads_fail_only_their_request() {
    attack("malformed payloads", |_, evil| {
        let deep = [vec![0x81; 100_000], vec![0x00]].concat();
        let wide = [&[0x9a, 0xff, 0xff, 0xff, 0xff][..], &[0; 1_000]].concat();
        let bad: [&[u8]; 7] = [
            b"",
            b"\xff",
            b"\xf8\x14",
            b"\x01\x01",
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
            &deep,
            &wide,
        ];
        for (call, payload) in (1..).zip(bad) {
            evil.say(request(call, "echo", payload));
            assert_eq!(evil.hear_fault(call), (DECODE, NEVER), "{call}");
        }
        assert_eq!(evil.ask(99, "echo", 5), 5);
    });
}

// covers P11
#[test]
fn a_peer_that_falls_silent_after_joining_is_gone_within_its_time() {
    bounded("silent", LIMIT, || {
        let server = builder("s")
            .liveness_timeout(Duration::from_millis(600))
            .bind("127.0.0.1:0")
            .start()
            .unwrap();
        let evil = Impostor::join(server.local_addr().unwrap(), "evil");
        let began = Instant::now();
        eventually("the silent peer is gone", || server.peers().is_empty());
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        drop(evil);
    });
}
