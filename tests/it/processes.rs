//! Nodes in processes that die, come back, freeze and thaw, as the other processes see it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use threadmesh::{
    Builder, ErrorKind, Execution, HandlerError, LeftReason, NodeEvent, Request, options,
};

use crate::support::process::{Process, say};
use crate::support::{
    AT_ONCE, SOON, bounded, builder, eventually, expect_event, let_pass, measured, place,
};

const LIMIT: Duration = Duration::from_secs(60);

/// Death is seen within this.
const DEATH: Duration = Duration::from_millis(200);
const INTERVAL: Duration = Duration::from_millis(250);
const TIMEOUT: Duration = Duration::from_secs(1);
const HELD: usize = 16;

/// A node that notices silence soon.
pub(crate) fn brisk(id: &str) -> Builder {
    builder(id).heartbeat_interval(INTERVAL).liveness_timeout(TIMEOUT)
}

/// A child: a node that listens at the place in its argument, and dials the places after it.
pub(crate) fn worker(argument: &str) {
    let mut words = argument.split_whitespace();
    let (id, own) = (words.next().unwrap(), words.next().unwrap());
    let hold = |_: Request<()>| -> Result<(), HandlerError> {
        say("holding");
        thread::park_timeout(LIMIT);
        Ok(())
    };
    let node = brisk(id).options(options! { "role": "worker" }).start().unwrap();
    let (left, handle, mut events) = (Arc::new(AtomicU64::new(0)), node.handle(), node.events());
    let seen = Arc::clone(&left);
    node.on_request("hold", hold).unwrap();
    node.on_request("echo", |request: Request<u64>| Ok(request.data)).unwrap();
    node.on_request("left", move |_: Request<()>| Ok(seen.load(Relaxed))).unwrap();
    node.on_request("ask", move |request: Request<String>| {
        Ok(handle.request::<u64, _>(&request.data, "echo", &7)?)
    })
    .unwrap();
    words.for_each(|other| drop(node.connect(other).unwrap()));
    say(node.bind(own).unwrap());
    events.by_ref().for_each(|event| {
        left.fetch_add(u64::from(matches!(event, NodeEvent::PeerLeft { .. })), Relaxed);
    });
}

/// Starts a worker and waits until it listens.
fn start(id: &str, own: SocketAddr, dials: &str) -> Process {
    let mut child = Process::start("worker", &format!("{id} {own} {dials}"));
    assert_eq!(child.hear(), Some(own.to_string()));
    child
}

// covers P40
#[test]
fn a_killed_process_is_noticed_at_once_and_rejoined_when_it_is_back() {
    bounded("kill -9", LIMIT, || {
        let place = place();
        let node = builder("parent").start().unwrap();
        let mut events = node.events();
        let mut child = start("w", place, "");
        node.connect(place).unwrap();
        let seen = measured(|| {
            let call = node.to("w").timeout(LIMIT);
            let open: Vec<_> =
                (0..HELD).map(|_| call.start::<(), _>("hold", &()).unwrap()).collect();
            (0..HELD).for_each(|_| assert_eq!(child.hear().as_deref(), Some("holding")));
            let began = Instant::now();
            child.kill();
            for pending in open {
                let error = pending.wait().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionLost);
                assert_eq!(error.execution(), Execution::Unknown);
            }
            let seen = began.elapsed();
            expect_event(&mut events, |event| left_for(event, &LeftReason::ConnectionLost));
            let gone = node.request::<u64, _>("w", "echo", &1).unwrap_err();
            assert_eq!(gone.kind(), ErrorKind::NodeNotFound);

            child = start("w", place, "");
            expect_event(&mut events, |event| {
                matches!(event, NodeEvent::Reconnected { id, .. } if id == "w").then_some(())
            });
            assert_eq!(node.request::<u64, _>("w", "echo", &2).unwrap(), 2);
            if seen <= DEATH { Ok(seen) } else { Err(format!("noticed after {seen:?}")) }
        });
        println!("{HELD} requests failed {seen:?} after the kill");
    });
}

fn left_for(event: &NodeEvent, why: &LeftReason) -> Option<()> {
    match event {
        NodeEvent::PeerLeft { reason, .. } => {
            assert_eq!(reason, why);
            Some(())
        }
        _ => None,
    }
}

// covers P11
#[test]
fn a_frozen_process_is_noticed_in_time_and_comes_back_with_its_options() {
    bounded("freeze", LIMIT, || {
        let place = place();
        let node = brisk("parent").start().unwrap();
        let mut events = node.events();
        let mut child = start("w", place, "");
        node.connect(place).unwrap();
        let seen = measured(|| {
            let pending = node.to("w").timeout(LIMIT).start::<(), _>("hold", &()).unwrap();
            assert_eq!(child.hear().as_deref(), Some("holding"));
            let began = Instant::now();
            child.signal("STOP");
            expect_event(&mut events, |event| left_for(event, &LeftReason::Silent));
            let seen = began.elapsed();
            let error = pending.wait().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionLost);
            assert_eq!(error.execution(), Execution::Unknown);

            child.signal("CONT");
            let peer = node.wait_for_peer("w", SOON).unwrap();
            assert_eq!(peer.options, options! { "role": "worker", "_id": "w" });
            assert_eq!(node.request::<u64, _>("w", "echo", &2).unwrap(), 2);
            // What was heard last was said up to one interval before.
            let claimed = TIMEOUT.saturating_sub(INTERVAL)..=TIMEOUT + INTERVAL;
            if claimed.contains(&seen) { Ok(seen) } else { Err(format!("noticed after {seen:?}")) }
        });
        println!("silence was noticed after {seen:?}, the timeout being {TIMEOUT:?}");
    });
}

// covers P12
#[test]
fn who_was_frozen_itself_blames_nobody() {
    bounded("frozen ourselves", LIMIT, || {
        // Patient enough to be no part of the matter.
        let node = builder("parent").liveness_timeout(LIMIT).start().unwrap();
        let mut events = node.events();
        let places = [place(), place()];
        let a = start("a", places[0], "");
        let b = start("b", places[1], &places[0].to_string());
        for place in places {
            node.connect(place).unwrap();
        }
        let ask = |id: &str, other: &str| node.request::<u64, _>(id, "ask", other);
        eventually("a and b are peers", || ask("a", "b").is_ok());

        // Neither says anything for longer than the other would wait, and one of them wakes first.
        a.signal("STOP");
        b.signal("STOP");
        let_pass(TIMEOUT * 2);
        a.signal("CONT");
        assert_eq!(node.request::<u64, _>("a", "left", &()).unwrap(), 0, "b was blamed");
        b.signal("CONT");
        for (one, other) in [("a", "b"), ("b", "a")] {
            let began = Instant::now();
            assert_eq!(ask(one, other).unwrap(), 7);
            assert!(began.elapsed() < AT_ONCE, "after {:?}", began.elapsed());
        }
        for child in ["a", "b"] {
            assert_eq!(
                node.request::<u64, _>(child, "left", &()).unwrap(),
                0,
                "{child} lost a peer"
            );
        }
        while let Some(event) = events.try_next() {
            assert!(!matches!(event, NodeEvent::PeerLeft { .. }), "{event:?}");
        }
    });
}
