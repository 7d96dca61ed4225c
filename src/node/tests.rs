//! The face end to end: two nodes in one process over loopback.

mod fork;
mod limits;
mod places;
mod routers;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, unbounded};

use super::*;
use crate::error::{Error, ErrorKind, Execution};
use crate::handler_error::HandlerError;
use crate::node_event::{LeftReason, NodeEvent};
use crate::payload::Bytes;
use crate::service::{Request, Tick};

/// More than anything here takes, unless it hangs.
const LONG: Duration = Duration::from_secs(10);
/// What must not take long takes less.
const SOON: Duration = Duration::from_millis(500);

fn node(id: &str) -> Node {
    Node::builder().id(id).start().unwrap()
}

/// A server that listens, and a client that is connected to it.
fn pair() -> (Node, Node) {
    let server = Node::builder().id("server").bind("127.0.0.1:0").start().unwrap();
    let client = node("client");
    client.connect(server.local_addr().unwrap()).unwrap();
    (server, client)
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn a_request_is_answered_in_both_directions() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    server.on_request("double", |request: Request<i64>| Ok(request.data * 2)).unwrap();
    client.on_request("who", |request: Request<()>| Ok(request.sender().to_string())).unwrap();
    assert_eq!(client.request::<i64, _>("server", "double", &21).unwrap(), 42);
    assert_eq!(server.request::<String, _>("client", "who", &()).unwrap(), "server");
    let reply = client.request_reply::<i64, _>("server", "double", &1).unwrap();
    assert_eq!((reply.value, reply.handled_by().as_str()), (2, "server"));
    assert!(reply.via.is_none() && reply.elapsed < LONG);
}

#[test]
fn the_handlers_error_comes_back_as_it_was() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    let refuse = |_: Request<()>| {
        Err::<(), _>(HandlerError::new("NO_MONEY", "the account is short").with_data(&7)?)
    };
    server.on_request("pay", refuse).unwrap();
    let error = client.request::<(), _>("server", "pay", &()).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Handler, "NO_MONEY"));
    assert_eq!(error.message(), "the account is short");
    assert_eq!(error.execution(), Execution::Happened);
    assert_eq!(error.data::<i32>().unwrap().unwrap(), 7);
}

#[test]
fn a_missing_handler_is_told_at_once_and_named() {
    let _bound = crate::bound::bound();
    let (_server, client) = pair();
    let began = Instant::now();
    let error = client.request::<(), _>("server", "nobody:home", &()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoHandler);
    assert!(error.message().contains("nobody:home"), "{error}");
    assert!(began.elapsed() < SOON);
}

#[test]
fn an_unknown_peer_is_told_at_once_with_its_id_and_those_that_are_known() {
    let _bound = crate::bound::bound();
    let lone = node("lone");
    let error = lone.request::<(), _>("unknown-node", "x", &()).unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::NodeNotFound, Execution::Never));
    assert_eq!(error.peer().unwrap(), "unknown-node");
    let (_server, client) = pair();
    let error = client.tick("sevrer", "x", &()).unwrap_err();
    assert!(error.message().contains("server"), "{error}");
    assert_eq!(kind(client.request::<(), _>("client", "x", &())), ErrorKind::NodeNotFound);
}

#[test]
fn what_is_wrong_with_a_call_is_said_before_anything_is_sent() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    let zero = client.to("server").timeout(Duration::ZERO);
    assert_eq!(kind(zero.request::<(), _>("x", &())), ErrorKind::InvalidArgument);
    assert_eq!(kind(client.tick("server", "_system:x", &())), ErrorKind::InvalidEvent);
    let headers = client.to("server").header("list", vec![1, 2]);
    assert_eq!(kind(headers.tick("x", &())), ErrorKind::InvalidArgument);
    let limit = client.core().config.limits.message_bytes;
    let error = client.tick("server", "x", &Bytes::new(vec![0; limit])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.message().contains(&limit.to_string()), "{error}");
    drop(server);
}

#[test]
fn a_connect_to_nothing_fails_in_its_time_and_leaves_nothing_behind() {
    let _bound = crate::bound::bound();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let lone = node("lone");
    let began = Instant::now();
    let timeout = Duration::from_millis(150);
    let error = lone.dial(address).timeout(timeout).connect().unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::ConnectTimeout, Execution::Never));
    assert!(began.elapsed() >= timeout && began.elapsed() < timeout + SOON);
    assert_eq!(kind(lone.dial(address).once().connect()), ErrorKind::ConnectFailed);
    assert_eq!(kind(lone.connect("no address")), ErrorKind::InvalidAddress);
    assert_eq!(
        kind(lone.dial(address).timeout(Duration::ZERO).connect()),
        ErrorKind::InvalidArgument
    );
    assert!(lone.peers().is_empty());
}

#[test]
fn it_does_not_matter_who_starts_first() {
    let _bound = crate::bound::bound();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let (early, late) = (node("early"), node("late"));
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| early.connect(address));
        late.bind(address).unwrap();
        assert_eq!(connecting.join().unwrap().unwrap().id, "late");
    });
}

// covers P25
#[test]
fn a_timeout_ends_the_call_when_it_should_and_tells_the_handler() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    let (told, hears) = bounded(1);
    let patient = move |request: Request<()>| {
        let end = Instant::now() + LONG;
        while !request.is_cancelled() && Instant::now() < end {
            std::thread::yield_now();
        }
        told.send(request.is_cancelled()).unwrap();
        Ok(())
    };
    server.on_request("slow", patient).unwrap();
    let timeout = Duration::from_millis(100);
    let began = Instant::now();
    let error = client.to("server").timeout(timeout).request::<(), _>("slow", &()).unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::RequestTimeout, Execution::Unknown));
    assert!(began.elapsed() >= timeout && began.elapsed() < timeout + SOON);
    assert!(hears.recv_timeout(LONG).unwrap());
}

// covers P30
#[test]
fn a_pending_request_can_be_awaited_looked_at_selected_and_cancelled() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    let (release, held) = unbounded::<()>();
    server.on_request("quick", |request: Request<i64>| Ok(request.data + 1)).unwrap();
    server
        .on_request("held", move |_: Request<()>| {
            Ok(crate::service::blocking(|| held.recv_timeout(LONG).is_ok()))
        })
        .unwrap();
    let quick = client.start::<i64, _>("server", "quick", &1).unwrap();
    crossbeam_channel::select! {
        recv(quick.receiver()) -> arrival => assert_eq!(quick.finish(arrival).unwrap().value, 2),
        default(LONG) => panic!("no answer"),
    }
    let mut pending = client.start::<bool, _>("server", "held", &()).unwrap();
    assert!(pending.try_take().is_none());
    assert!(pending.wait_timeout(Duration::from_millis(5)).is_none());
    release.send(()).unwrap();
    assert!(pending.wait_timeout(LONG).unwrap().unwrap().value);
    assert_eq!(kind(pending.wait()), ErrorKind::InvalidArgument);
    let pending = client.start::<bool, _>("server", "held", &()).unwrap();
    pending.cancel();
    assert_eq!(kind(pending.wait()), ErrorKind::Cancelled);
    drop(client.start::<bool, _>("server", "held", &()).unwrap());
    assert_eq!(client.request::<i64, _>("server", "quick", &2).unwrap(), 3);
}

#[test]
fn ticks_arrive_in_order_singly_and_in_batches() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    let (sender, receiver) = unbounded();
    server.on_tick("n", move |tick: Tick<u32>| sender.send(tick.data).unwrap()).unwrap();
    let ticks = client.to("server").wait(LONG);
    ticks.tick("n", &0).unwrap();
    assert_eq!(ticks.ticks("n", 1..2_000).all().unwrap(), 1_999);
    for expected in 0..2_000 {
        assert_eq!(receiver.recv_timeout(LONG).unwrap(), expected);
    }
}

#[test]
fn a_batch_ends_at_the_first_tick_that_has_no_room() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    let (release, held) = bounded::<()>(0);
    server
        .on_tick("n", move |_: Tick<Bytes>| {
            let _ = held.recv_timeout(LONG);
        })
        .unwrap();
    let batch = (0..100).map(|_| Bytes::new(vec![0; 10_000]));
    let ticked = client.to("server").ticks("n", batch);
    assert!(ticked.accepted > 0 && ticked.accepted < 100, "{ticked:?}");
    assert_eq!(ticked.refused.as_ref().unwrap().kind(), ErrorKind::Backpressure);
    let backpressured =
        || client.dropped().unwrap().get("messages that found no room on their link");
    assert_eq!(backpressured(), 1);
    let tick = client.to("server").try_tick("n", &Bytes::new(vec![0; 10_000]));
    assert_eq!((kind(tick), backpressured()), (ErrorKind::Backpressure, 2));
    let began = Instant::now();
    let patient = client.to("server").wait(Duration::from_millis(50));
    assert_eq!(kind(patient.tick("n", &Bytes::new(vec![0; 10_000]))), ErrorKind::Backpressure);
    assert!(began.elapsed() >= Duration::from_millis(50));
    assert_eq!(backpressured(), 3, "the engine counts those that waited in vain");
    drop(release);
    client.to("server").wait(LONG).tick("n", &Bytes::new(vec![0; 10_000])).unwrap();
}

#[test]
fn a_batch_whose_iterator_panics_leaves_no_room_taken() {
    let _bound = crate::bound::bound();
    let (_server, client) = pair();
    // Two of these are more than the first window.
    let large = || Bytes::new(vec![0; 40_000]);
    let broken = (0..2).map(|n| if n == 0 { large() } else { panic!("the program's own") });
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _never = client.to("server").ticks("n", broken);
    }));
    assert!(caught.is_err());
    client.to("server").tick("n", &large()).unwrap();
}

// covers P26
#[test]
fn nested_requests_back_to_the_caller_complete_and_inherit_the_deadline() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    let back = server.handle();
    client
        .on_request("left", |request: Request<()>| {
            Ok(request.deadline().saturating_duration_since(Instant::now()).as_millis() as u64)
        })
        .unwrap();
    server
        .on_request("ask-back", move |_: Request<()>| {
            Ok(back.request::<u64, _>("client", "left", &())?)
        })
        .unwrap();
    let timeout = Duration::from_secs(3);
    let left: u64 = client.to("server").timeout(timeout).request("ask-back", &()).unwrap();
    assert!(left <= 3_000, "{left}");
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| client.request::<u64, _>("server", "ask-back", &()).unwrap());
        }
    });
}

#[test]
fn a_peer_is_waited_for_listed_and_disconnected() {
    let _bound = crate::bound::bound();
    let server = Node::builder().id("server").bind("127.0.0.1:0").start().unwrap();
    let address = server.local_addr().unwrap();
    let client = Node::builder().id("client").connect(address).start().unwrap();
    let info = client.wait_for_peer("server", LONG).unwrap();
    assert_eq!((info.id.as_str(), info.address), ("server", address));
    let by_options = predicate(|options| options.get_str("_id") == Some("client"));
    assert_eq!(server.wait_for_peer(by_options, LONG).unwrap().id, "client");
    assert_eq!(client.peers().len(), 1);
    assert_eq!(client.peer_id_by_address(address).unwrap(), "server");
    assert_eq!(client.peer_options("server").unwrap().get_str("_id"), Some("server"));
    let nobody = client.wait_for_peer("ghost", Duration::from_millis(5));
    assert_eq!(kind(nobody), ErrorKind::NodeNotFound);
    let bad = client.wait_for_peer(predicate(|_| panic!("bad")), LONG);
    assert_eq!(kind(bad), ErrorKind::UserCodePanicked);
    client.disconnect(address).unwrap();
    assert_eq!(kind(client.request::<(), _>("server", "x", &())), ErrorKind::NodeNotFound);
    assert_eq!(kind(client.tick("server", "x", &())), ErrorKind::NodeNotFound);
    client.disconnect("server").unwrap();
}

#[test]
fn events_tell_of_joining_leaving_and_the_end_in_order() {
    let _bound = crate::bound::bound();
    let server = Node::builder().id("server").bind("127.0.0.1:0").start().unwrap();
    let mut events = server.events();
    let client = node("client");
    client.connect(server.local_addr().unwrap()).unwrap();
    assert!(client.stop().unwrap().is_clean());
    let joined = events.next_timeout(LONG);
    assert!(matches!(&joined, Some(NodeEvent::PeerJoined(peer)) if peer.id == "client"));
    let left = events.next_timeout(LONG);
    let reason = LeftReason::PeerLeft;
    assert!(
        matches!(&left, Some(NodeEvent::PeerLeft { reason: r, .. }) if *r == reason),
        "{left:?}"
    );
    server.stop().unwrap();
    assert!(matches!(events.next(), Some(NodeEvent::Stopped)));
    assert!(events.next().is_none());
}

#[test]
fn binding_twice_is_no_error_at_the_same_address_and_one_at_another() {
    let _bound = crate::bound::bound();
    let node = node("node");
    assert_eq!(kind(node.local_addr()), ErrorKind::InvalidArgument);
    let address = node.bind("tcp://127.0.0.1:0").unwrap();
    assert_eq!(node.bind(address).unwrap(), address);
    assert_eq!(kind(node.bind("127.0.0.2:0")), ErrorKind::AlreadyBound);
    let other = Node::builder().bind(address).start();
    assert_eq!(kind(other), ErrorKind::BindFailed);
    node.unbind().unwrap();
    node.unbind().unwrap();
    assert_eq!(kind(node.local_addr()), ErrorKind::InvalidArgument);
    node.bind(address).unwrap();
}

#[test]
fn after_the_end_everything_is_closed_and_the_port_is_free() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    let address = server.local_addr().unwrap();
    assert!(server.stop().unwrap().is_clean());
    assert!(server.stop().unwrap().is_clean());
    assert!(server.wait().unwrap().is_clean());
    drop(std::net::TcpListener::bind(address).unwrap());
    for closed in [
        kind(server.local_addr()),
        kind(server.bind(address)),
        kind(server.connect(address)),
        kind(server.disconnect("client")),
        kind(server.request::<(), _>("client", "x", &())),
        kind(server.tick("client", "x", &())),
        kind(server.on_tick("x", |_: Tick<()>| ())),
        kind(server.wait_for_peer("client", LONG)),
    ] {
        assert_eq!(closed, ErrorKind::Closed);
    }
    assert!(server.peers().is_empty());
    drop(client);
}

// covers P35
#[test]
fn a_stop_from_a_handler_answers_first_and_lets_wait_return() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    let handle = server.handle();
    let stop = move |_: Request<()>| {
        assert_eq!(kind(handle.wait()), ErrorKind::WouldDeadlock);
        Ok(handle.stop()?.unfinished)
    };
    server.on_request("stop", stop).unwrap();
    assert!(client.request::<bool, _>("server", "stop", &()).unwrap());
    let report = server.wait().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

// covers P35
#[test]
fn a_node_that_its_own_handler_owns_ends_without_waiting_for_itself() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    let (address, handle) = (server.local_addr().unwrap(), server.handle());
    let dropped = Arc::new(AtomicUsize::new(0));
    let counts = dropped.clone();
    let owner = std::sync::Mutex::new(Some(server));
    let end = move |_: Request<()>| {
        drop(owner.lock().unwrap().take());
        counts.fetch_add(1, SeqCst);
        Ok(())
    };
    handle.on_request("end", end).unwrap();
    client.request::<(), _>("server", "end", &()).unwrap();
    assert!(handle.wait().unwrap().detached.is_empty());
    assert_eq!(dropped.load(SeqCst), 1);
    drop(std::net::TcpListener::bind(address).unwrap());
}

// covers P34
#[test]
fn a_stop_fails_what_is_pending_and_names_the_worker_that_is_stuck() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    let (entered, enters) = bounded(1);
    let (release, held) = bounded::<()>(0);
    let stuck = move |_: Request<()>| {
        entered.send(()).unwrap();
        let _ = held.recv_timeout(LONG);
        Ok(())
    };
    server.on_request("stuck", stuck).unwrap();
    let pending = client.start::<(), _>("server", "stuck", &()).unwrap();
    enters.recv_timeout(LONG).unwrap();
    let began = Instant::now();
    let report = server.stop_within(Duration::from_millis(100)).unwrap();
    assert!(began.elapsed() < Duration::from_millis(100) + SOON);
    assert_eq!((report.unanswered, report.detached.len()), (1, 1), "{report:?}");
    assert!(report.detached[0].contains("server"), "{report:?}");
    assert_eq!(kind(pending.wait()), ErrorKind::ConnectionLost);
    drop(release);
    let pending = client.start::<(), _>("client", "x", &());
    assert_eq!(kind(pending), ErrorKind::NodeNotFound);
}

#[test]
fn the_builder_refuses_what_makes_no_sense() {
    let _bound = crate::bound::bound();
    assert_eq!(kind(Node::builder().id("").start()), ErrorKind::InvalidArgument);
    let zero = Node::builder().request_timeout(Duration::ZERO).start();
    assert_eq!(kind(zero), ErrorKind::InvalidArgument);
    assert_eq!(kind(Node::builder().bind("nonsense").start()), ErrorKind::InvalidAddress);
    let event = Node::builder().on_tick("_system:x", |_: Tick<()>| ()).start();
    assert_eq!(kind(event), ErrorKind::InvalidEvent);
    let unnamed = Node::builder().start().unwrap();
    assert_eq!(unnamed.options().get_str("_id"), Some(unnamed.id().as_str()));
}

#[test]
fn every_error_code_stands_in_the_table_of_the_front_page() {
    let _bound = crate::bound::bound();
    let front = include_str!("../lib.rs");
    for kind in ErrorKind::ALL {
        let executed = match kind.usual_execution() {
            Execution::Never => "never",
            Execution::Unknown => "perhaps",
            Execution::Happened => "yes",
        };
        let row = front.lines().find(|line| line.starts_with(&format!("//! | `{kind}` |")));
        assert!(row.is_some_and(|row| row.ends_with(&format!("| {executed} |"))), "{kind}");
    }
}

#[test]
fn the_face_crosses_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    let _bound = crate::bound::bound();
    crosses::<Node>();
    crosses::<Handle>();
    crosses::<Pending<std::rc::Rc<()>>>();
    crosses::<Events>();
    crosses::<Selector>();
}
