//! Direct messages: the first section of the scenarios. Each test bears the number of its row.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ciborium::Value;
use serde::{Deserialize, Serialize};
use threadmesh::{Bytes, Error, ErrorKind, Execution, HandlerError, NodeEvent, Request, Tick};

use crate::support::process::{Process, say};
use crate::support::{
    AT_ONCE, SOON, bounded, builder, expect_event, joined, listening, pair, took,
};

const LIMIT: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(rename_all = "camelCase")]
struct GetUser {
    user_id: u64,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct User {
    name: String,
    email: String,
}

#[test]
fn t001_a_request_returns_the_handlers_value() {
    bounded("t001", LIMIT, || {
        let (client, server) = pair();
        let find = |request: Request<GetUser>| {
            assert_eq!(request.data.user_id, 123);
            Ok(User { name: "Ada".into(), email: "ada@example.org".into() })
        };
        server.on_request("user:get", find).unwrap();
        let user: User = client.request("s", "user:get", &GetUser { user_id: 123 }).unwrap();
        assert_eq!(user, User { name: "Ada".into(), email: "ada@example.org".into() });
    });
}

#[test]
fn t002_a_server_may_ask_the_client_that_dialled_it() {
    bounded("t002", LIMIT, || {
        let (client, server) = pair();
        let answer = |request: Request<String>| {
            assert_eq!((request.data.as_str(), request.sender().as_str()), ("bar", "s"));
            Ok("baz")
        };
        client.on_request("foo", answer).unwrap();
        assert_eq!(server.request::<String, _>("c", "foo", "bar").unwrap(), "baz");
    });
}

#[test]
fn t004_a_tick_reaches_the_client_that_dialled() {
    bounded("t004", LIMIT, || {
        let (client, server) = pair();
        let (tell, told) = channel();
        client.on_tick("news", move |tick: Tick<String>| tell.send(tick.data).unwrap()).unwrap();
        server.tick("c", "news", "it rains").unwrap();
        assert_eq!(told.recv_timeout(SOON).unwrap(), "it rains");
    });
}

#[test]
fn t005_unknown_id_fails_at_once_and_is_named() {
    bounded("t005", LIMIT, || {
        let node = listening("lone");
        let error = took(AT_ONCE, || node.request::<(), _>("unknown-node", "x", &()).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::NodeNotFound);
        assert_eq!(error.peer().map(threadmesh::NodeId::as_str), Some("unknown-node"));
        assert!(error.to_string().contains("unknown-node"), "{error}");
        assert_eq!(error.execution(), Execution::Never);
    });
}

#[test]
fn t007_a_timeout_comes_in_time_and_the_late_answer_changes_nothing() {
    bounded("t007", LIMIT, || {
        let (client, server) = pair();
        let (release, released) = channel::<()>();
        let (tell, told) = channel();
        let gate = Mutex::new(released);
        let slow = move |request: Request<u32>| {
            gate.lock().unwrap().recv_timeout(SOON).unwrap();
            tell.send(request.is_cancelled()).unwrap();
            Ok(request.data)
        };
        server.on_request("slow", slow).unwrap();
        server.on_request("quick", |request: Request<u32>| Ok(request.data)).unwrap();

        let began = Instant::now();
        let call = client.to("s").timeout(Duration::from_millis(200));
        let error = call.request::<u32, _>("slow", &1).unwrap_err();
        let elapsed = began.elapsed();
        assert_eq!(error.kind(), ErrorKind::RequestTimeout);
        assert!(error.may_have_run());
        assert!(elapsed >= Duration::from_millis(200), "early: {elapsed:?}");
        assert!(elapsed <= Duration::from_millis(400), "late: {elapsed:?}");

        // A request on the same link behind the cancel: when it is answered, the cancel has arrived.
        assert_eq!(client.request::<u32, _>("s", "quick", &2).unwrap(), 2);
        release.send(()).unwrap();
        assert!(told.recv_timeout(SOON).unwrap(), "the handler was not told that nobody waits");
        for number in 0..100 {
            assert_eq!(client.request::<u32, _>("s", "quick", &number).unwrap(), number);
        }
    });
}

#[test]
fn t008_no_handler_fails_at_once_and_names_the_event() {
    bounded("t008", LIMIT, || {
        let (client, _server) = pair();
        let call = client.to("s").timeout(Duration::from_secs(5));
        let error = took(AT_ONCE, || call.request::<(), _>("nobody:home", &()).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::NoHandler);
        assert!(error.to_string().contains("nobody:home"), "{error}");
        assert_eq!(error.execution(), Execution::Never);
    });
}

#[test]
fn t010_ones_own_id_is_nobodys_peer() {
    bounded("t010", LIMIT, || {
        let (client, _server) = pair();
        let error = took(AT_ONCE, || client.request::<(), _>("c", "x", &()).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::NodeNotFound);
    });
}

#[test]
fn t011_a_request_by_id_does_not_go_through_a_common_peer() {
    bounded("t011", LIMIT, || {
        let middle = listening("r");
        let (asker, other) = (joined("a", &middle), joined("b", &middle));
        other.on_request("x", |_: Request<()>| Ok(())).unwrap();
        let error = took(AT_ONCE, || asker.request::<(), _>("b", "x", &()).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::NodeNotFound);
    });
}

#[test]
fn t013_every_kind_of_data_comes_back_as_it_was_sent() {
    bounded("t013", LIMIT, || {
        let (client, server) = pair();
        server.on_request("echo", |request: Request<Value>| Ok(request.data)).unwrap();
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Bool(false),
            Value::from(0),
            Value::from(-7),
            Value::from(5_000_000_000_i64),
            Value::from(i64::MIN),
            Value::from(u64::MAX),
            Value::from(0.1),
            Value::from(-1.5e300),
            Value::from(""),
            Value::from("Grüße, мир, 世界 🌍"),
            Value::Bytes(vec![0, 255, 10, 13]),
            Value::Array(vec![Value::from(1), Value::Array(vec![Value::from("a"), Value::Null])]),
            Value::Map(vec![
                (Value::from("a"), Value::Map(vec![(Value::from(1), Value::Bool(false))])),
                (Value::from("b"), Value::Array(Vec::new())),
            ]),
        ];
        for value in values {
            assert_eq!(client.request::<Value, _>("s", "echo", &value).unwrap(), value);
        }
        assert_eq!(
            client.request::<i128, _>("s", "echo", &i128::from(u64::MAX)).unwrap(),
            i128::from(u64::MAX)
        );
        assert_eq!(client.request::<Option<u8>, _>("s", "echo", &()).unwrap(), None);
        let bytes = Bytes::from(vec![1, 2, 3]);
        assert_eq!(client.request::<Bytes, _>("s", "echo", &bytes).unwrap(), bytes);
    });
}

#[test]
fn t014_long_and_large_payloads_arrive_intact() {
    bounded("t014", LIMIT, || {
        let (client, server) = pair();
        let sum = |request: Request<Vec<GetUser>>| {
            Ok(request.data.iter().map(|user| user.user_id).sum::<u64>())
        };
        server.on_request("sum", sum).unwrap();
        server.on_request("echo", |request: Request<Bytes>| Ok(request.data)).unwrap();
        let users: Vec<GetUser> = (0..1_000).map(|user_id| GetUser { user_id }).collect();
        assert_eq!(client.request::<u64, _>("s", "sum", &users).unwrap(), 499_500);
        let bytes: Vec<u8> = (0..1_048_576_u32).map(|n| (n % 251) as u8).collect();
        let bytes = Bytes::from(bytes);
        assert!(
            client.request::<Bytes, _>("s", "echo", &bytes).unwrap() == bytes,
            "changed on the way"
        );
    });
}

#[test]
fn t016_requests_of_one_thread_are_handled_in_the_order_they_were_sent() {
    bounded("t016", LIMIT, || {
        let (client, server) = pair();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&seen);
        server
            .on_request("append", move |request: Request<u32>| {
                list.lock().unwrap().push(request.data);
                Ok(())
            })
            .unwrap();
        for number in 0..50 {
            client.request::<(), _>("s", "append", &number).unwrap();
        }
        assert_eq!(*seen.lock().unwrap(), (0..50).collect::<Vec<u32>>());
    });
}

/// A child: joins the address and holds every `hold` request.
pub(crate) fn holder(address: &str) {
    let node = builder("holder").start().unwrap();
    let hold = |_: Request<()>| -> Result<(), HandlerError> {
        say("holding");
        thread::park_timeout(Duration::from_secs(60));
        Ok(())
    };
    node.on_request("hold", hold).unwrap();
    let mut events = node.events();
    node.connect(address).unwrap();
    expect_event_forever(&mut events);
}

fn expect_event_forever(events: &mut threadmesh::Events) {
    events.find(|event| matches!(event, NodeEvent::PeerLeft { .. }));
}

// covers P40
#[test]
fn t017_a_pending_request_fails_at_once_when_the_peers_process_dies() {
    bounded("t017", LIMIT, || {
        let node = listening("parent");
        let mut child = Process::start("holder", &node.local_addr().unwrap().to_string());
        node.wait_for_peer("holder", SOON).unwrap();
        let pending = node.start::<(), _>("holder", "hold", &()).unwrap();
        assert_eq!(child.hear().as_deref(), Some("holding"));
        child.kill();
        let error = took(AT_ONCE, || pending.wait().unwrap_err());
        assert_eq!(error.kind(), ErrorKind::ConnectionLost);
        assert_eq!(error.execution(), Execution::Unknown);
        assert_eq!(error.peer().map(threadmesh::NodeId::as_str), Some("holder"));
    });
}

#[test]
fn t017_a_pending_request_fails_when_the_peer_stops() {
    bounded("t017 stop", LIMIT, || {
        let (client, server) = pair();
        let (began, begun) = sync_channel(1);
        let (release, released) = channel::<()>();
        let gate = Mutex::new(released);
        let hold = move |_: Request<()>| {
            began.send(()).unwrap();
            let _ = gate.lock().unwrap().recv_timeout(SOON);
            Ok(())
        };
        server.on_request("hold", hold).unwrap();
        let pending = client.start::<(), _>("s", "hold", &()).unwrap();
        begun.recv_timeout(SOON).unwrap();
        let error: Error = took(AT_ONCE, || {
            server.stop_within(Duration::from_millis(100)).unwrap();
            pending.wait().unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::ConnectionLost);
        assert!(error.may_have_run());
        drop(release);
    });
}

#[test]
fn t019_after_a_disconnect_a_request_finds_nobody() {
    bounded("t019", LIMIT, || {
        let (client, server) = pair();
        server.on_request("x", |_: Request<()>| Ok(())).unwrap();
        let mut events = server.events();
        client.disconnect(server.local_addr().unwrap()).unwrap();
        let error = client.request::<(), _>("s", "x", &()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NodeNotFound);
        expect_event(&mut events, |event| {
            matches!(event, NodeEvent::PeerLeft { .. }).then_some(())
        });
    });
}

#[test]
fn t020_after_a_disconnect_a_tick_finds_nobody() {
    bounded("t020", LIMIT, || {
        let (client, server) = pair();
        client.disconnect(server.local_addr().unwrap()).unwrap();
        let error = client.tick("s", "x", &()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NodeNotFound);
        assert_eq!(error.execution(), Execution::Never);
    });
}

#[test]
fn a_flush_waits_for_the_last_tick_and_names_what_is_unconfirmed() {
    bounded("flush", LIMIT, || {
        let (client, server) = pair();
        let (go, gate) = channel::<()>();
        let gate = Mutex::new(gate);
        let handled = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&handled);
        let handler = move |_: Tick<u32>| {
            let _ = gate.lock().unwrap().recv();
            count.fetch_add(1, Relaxed);
        };
        server.on_tick("held", handler).unwrap();
        for n in 0..100 {
            client.tick("s", "held", &n).unwrap();
        }
        let late = client.flush("s", Duration::from_millis(20)).unwrap_err();
        assert_eq!(
            (late.kind(), late.execution()),
            (ErrorKind::RequestTimeout, Execution::Unknown)
        );
        drop(go);
        client.flush("s", SOON).unwrap();
        assert_eq!(handled.load(Relaxed), 100);
        let nobody = client.flush("nobody", SOON).unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::NodeNotFound);
    });
}
