//! What nodes tell of themselves: each kind of event, and the closures that are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use threadmesh::{Bytes, ErrorKind, Handle, LeftReason, Limits, NodeEvent, Request, Tick, options};

use crate::life::peer_left;
use crate::support::bound::threads_in_detail;
use crate::support::impostor::{Announced, Impostor, MODEST};
use crate::support::process::{Process, say};
use crate::support::{
    AT_ONCE, SOON, bounded, builder, eventually, expect_event, joined, listening, pair, took,
};

const LIMIT: Duration = Duration::from_secs(30);

fn name(event: &NodeEvent) -> String {
    match event {
        NodeEvent::PeerJoined(peer) => format!("+{}", peer.id),
        NodeEvent::PeerLeft { id, .. } => format!("-{id}"),
        NodeEvent::Missed(missed) => format!("missed {missed}"),
        other => format!("{other:?}"),
    }
}

/// A closure that passes on what it is told.
fn told(node: &Handle) -> Receiver<String> {
    let (tell, told) = unbounded();
    node.on_event(move |event| drop(tell.send(name(event)))).unwrap();
    told
}

fn next(told: &Receiver<String>) -> String {
    told.recv_timeout(SOON).unwrap()
}

#[test]
fn closures_are_told_everything_in_order_on_one_named_thread() {
    bounded("in order", LIMIT, || {
        let server = listening("s");
        let (tell, told) = unbounded();
        for listener in 0..3 {
            let tell = tell.clone();
            let note = move |event: &NodeEvent| {
                let thread = thread::current();
                tell.send((listener, name(event), thread.name().map(str::to_owned))).unwrap();
            };
            server.on_event(note).unwrap();
        }
        joined("c", &server).stop().unwrap();
        server.wait_for_peer("c", Duration::ZERO).unwrap_err();
        server.stop().unwrap();
        for expected in ["+c", "-c", "Stopped"] {
            for listener in 0..3 {
                let told = told.recv_timeout(SOON).unwrap();
                let thread = Some("tm-s-events".to_owned());
                assert_eq!(told, (listener, expected.to_owned(), thread));
            }
        }
    });
}

#[test]
fn a_closure_that_panics_is_told_of_the_next_event_like_all_others() {
    bounded("panics", LIMIT, || {
        let server = listening("s");
        let panics = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&panics);
        let panic = move |_: &NodeEvent| {
            count.fetch_add(1, SeqCst);
            panic!("the listener of this test panics");
        };
        server.on_event(panic).unwrap();
        let told = told(&server);
        drop(joined("c", &server));
        assert_eq!([next(&told), next(&told)], ["+c", "-c"]);
        assert_eq!(panics.load(SeqCst), 2);
    });
}

#[test]
fn a_slow_closure_is_told_how_many_events_it_missed_since_it_was_added() {
    bounded("slow", LIMIT, || {
        let mut limits = Limits::default();
        limits.events_per_subscriber = 4;
        let server = builder("s").limits(limits).bind("127.0.0.1:0").start().unwrap();
        let (release, released) = unbounded::<()>();
        let (tell, early) = unbounded();
        let slow = move |event: &NodeEvent| {
            let _ = tell.send(name(event));
            let _ = released.recv_timeout(SOON);
        };
        server.on_event(slow).unwrap();
        let mut events = server.events();
        let visit = |events: &mut threadmesh::Events| {
            drop(joined("c", &server));
            expect_event(events, peer_left);
        };
        visit(&mut events);
        assert_eq!(next(&early), "+c");
        visit(&mut events);
        let late = told(&server);
        // The first left, and the second joined and left; then six of which four fit.
        (0..3).for_each(|_| visit(&mut events));
        drop(release);
        assert_eq!(next(&early), "missed 5");
        assert_eq!(next(&late), "missed 2");
        for told in [early, late] {
            assert_eq!([(); 4].map(|()| next(&told)), ["+c", "-c", "+c", "-c"]);
        }
    });
}

#[test]
fn a_closure_that_is_removed_is_dropped_and_told_nothing_more() {
    bounded("removed", LIMIT, || {
        let server = listening("s");
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        let first = server.on_event(move |_| _ = count.fetch_add(1, SeqCst)).unwrap();
        let told = told(&server);
        let client = joined("c", &server);
        assert_eq!(next(&told), "+c");
        assert!(first.remove());
        assert_eq!(Arc::strong_count(&seen), 1, "the closure is dropped");
        drop(client);
        assert_eq!(next(&told), "-c");
        assert_eq!(seen.load(SeqCst), 1);
        let kept = server.on_event(|_| ()).unwrap();
        server.stop().unwrap();
        assert!(!kept.remove(), "it went with its node");
        assert_eq!(server.on_event(|_| ()).unwrap_err().kind(), ErrorKind::Closed);
    });
}

// covers P35
#[test]
fn a_closure_may_stop_its_node_which_takes_the_thread_along() {
    bounded("stop inside", LIMIT, || {
        let server = listening("evstop");
        let (tell, told) = unbounded();
        let handle = server.handle();
        let stop = move |event: &NodeEvent| match event {
            NodeEvent::PeerJoined(_) => {
                assert_eq!(handle.wait().unwrap_err().kind(), ErrorKind::WouldDeadlock);
                tell.send(handle.stop().unwrap().unfinished).unwrap();
            }
            NodeEvent::Stopped => tell.send(false).unwrap(),
            _ => (),
        };
        server.on_event(stop).unwrap();
        let client = joined("c", &server);
        let report = server.wait().unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert!(told.recv_timeout(SOON).unwrap(), "it only begins to stop");
        assert!(!told.recv_timeout(SOON).unwrap(), "the end is told");
        assert!(told.recv().is_err(), "the closure and its handle are dropped");
        let thread = "tm-evstop-event"; // The system knows the first 15 bytes of a name.
        let gone = || !threads_in_detail().iter().any(|line| line.starts_with(thread));
        eventually("its thread is gone", gone);
        drop(client);
    });
}

// covers P34
#[test]
fn a_closure_that_hangs_is_named_in_the_report_and_left_behind() {
    bounded("hangs", LIMIT, || {
        let server = listening("s");
        let (release, released) = unbounded::<()>();
        let (tell, told) = unbounded();
        let hang = move |_: &NodeEvent| {
            tell.send(()).unwrap();
            let _ = released.recv_timeout(SOON);
        };
        server.on_event(hang).unwrap();
        let client = joined("c", &server);
        told.recv_timeout(SOON).unwrap();
        let bound = Duration::from_millis(100);
        let report = took(bound + AT_ONCE, || server.stop_within(bound).unwrap());
        assert_eq!(report.detached, ["tm-s-events"]);
        drop(release);
        assert!(told.recv_timeout(SOON).is_err(), "it is told nothing after the end");
        drop(client);
    });
}

// covers P36
#[test]
fn user_code_may_use_its_node_wherever_it_runs() {
    bounded("no locks", LIMIT, || {
        let server = listening("s");
        server.on_request("echo", |request: Request<u64>| Ok(request.data)).unwrap();
        let node = joined("c", &server);
        let (tell, told) = unbounded();
        let everything = {
            let handle = node.handle();
            move || use_everything(&handle)
        };

        // A handler of requests, one of ticks, and a closure for events; each is dropped at the end, which is used too.
        let uses = || Everything(Some(Box::new(everything.clone())), tell.clone());
        let (of_requests, of_ticks, of_events) = (uses(), uses(), uses());
        let handlers = [
            node.on_request("all", move |_: Request<()>| {
                of_requests.run();
                Ok(())
            })
            .unwrap(),
            node.on_tick("all", move |_: Tick<()>| of_ticks.run()).unwrap(),
        ];
        let told_of_options = move |event: &NodeEvent| {
            if matches!(event, NodeEvent::OptionsChanged { .. }) {
                of_events.run();
            }
        };
        let callback = node.on_event(told_of_options).unwrap();
        server.request::<(), _>("c", "all", &()).unwrap();
        server.tick("c", "all", &()).unwrap();
        server.set_options(options! { "changed": true }).unwrap();
        (0..3).for_each(|_| told.recv_timeout(SOON).unwrap());

        // A predicate, data that is encoded, and data that is decoded.
        let of_predicate = uses();
        let anybody = threadmesh::predicate(move |_| {
            of_predicate.run();
            true
        });
        node.wait_for_peer(anybody, SOON).unwrap();
        told.recv_timeout(SOON).unwrap();
        node.tick("s", "none", &Encoded(&everything)).unwrap();

        for handler in handlers {
            assert!(handler.remove());
        }
        assert!(callback.remove());
        eventually("what was dropped has run too", || told.len() >= 4);
    });
}

fn use_everything(node: &Handle) {
    assert_eq!(node.request::<u64, _>("s", "echo", &7).unwrap(), 7);
    node.tick("s", "none", &()).unwrap();
    node.update_options(&options! { "used": true }).unwrap();
    node.set_options(options! {}).unwrap();
    node.events().try_next();
    assert_eq!(node.peers().len(), 1);
    assert!(node.peer_options("s").is_some());
    let address = node.bind("127.0.0.1:0").unwrap();
    let _ = node.peer_id_by_address(address);
    node.on_tick("inner", |_: Tick<()>| ()).unwrap();
    node.off("inner").unwrap();
    assert!(node.on_event(|_| ()).unwrap().remove());
    node.wait_for_peer("s", SOON).unwrap();
}

/// Uses everything when it is run, and once more when it is dropped.
struct Everything(Option<Box<dyn Fn() + Send + Sync>>, crossbeam_channel::Sender<()>);

impl Everything {
    fn run(&self) {
        self.0.as_ref().expect("until it is dropped")();
        self.1.send(()).unwrap();
    }
}

impl Drop for Everything {
    fn drop(&mut self) {
        if let Some(everything) = self.0.take() {
            everything();
            let _ = self.1.send(());
        }
    }
}

struct Encoded<F>(F);

impl<F: Fn()> serde::Serialize for Encoded<F> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.0)();
        serializer.serialize_unit()
    }
}

#[test]
fn services_that_come_and_go_are_told() {
    bounded("services", LIMIT, || {
        let (client, server) = pair();
        let mut events = client.events();
        let changed = |event: &NodeEvent| match event {
            NodeEvent::ServicesChanged { id } => Some(id.to_string()),
            _ => None,
        };
        let handler = server.on_request("user:get", |_: Request<()>| Ok(())).unwrap();
        assert_eq!(expect_event(&mut events, changed), "s");
        handler.remove();
        assert_eq!(expect_event(&mut events, changed), "s");
        server.on_tick("note", |_: Tick<()>| ()).unwrap();
        server.on_request("user:*", |_: Request<()>| Ok(())).unwrap();
        client.request::<(), _>("s", "user:x", &()).unwrap();
        assert!(events.try_next().is_none(), "neither ticks nor patterns are services");
    });
}

/// A child: joins the address and never finishes a tick.
pub(crate) fn sink(address: &str) {
    let node = builder("sink").start().unwrap();
    node.on_tick("hold", |tick: Tick<u64>| {
        if tick.data == 0 {
            say("holding");
        }
        thread::park_timeout(LIMIT);
    })
    .unwrap();
    node.connect(address).unwrap();
    node.wait().unwrap();
}

#[test]
fn ticks_that_were_not_confirmed_are_counted_when_their_link_is_lost() {
    bounded("undelivered", LIMIT, || {
        let server = listening("s");
        let mut child = Process::start("sink", &server.local_addr().unwrap().to_string());
        server.wait_for_peer("sink", SOON).unwrap();
        let mut events = server.events();
        assert_eq!(server.to("sink").ticks("hold", 0..7_u64).all().unwrap(), 7);
        assert_eq!(child.hear().as_deref(), Some("holding"));
        let error = server.flush("sink", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RequestTimeout);
        assert!(error.to_string().contains(" 7 "), "{error}");
        thread::scope(|scope| {
            let flushing = scope.spawn(|| server.flush("sink", SOON).unwrap_err());
            child.kill();
            let error = flushing.join().unwrap();
            let gone = [ErrorKind::ConnectionLost, ErrorKind::NodeNotFound];
            assert!(gone.contains(&error.kind()), "{error}");
        });
        assert_eq!(expect_event(&mut events, peer_left).2, LeftReason::ConnectionLost);
        let lost = expect_event(&mut events, |event| match event {
            NodeEvent::Undelivered { id, unwritten, unconfirmed } => {
                Some((id.to_string(), unwritten + unconfirmed))
            }
            _ => None,
        });
        assert_eq!(lost, ("sink".into(), 7));
    });
}

#[test]
fn a_peer_that_takes_no_bytes_is_a_slow_one_and_leaves_once() {
    bounded("slow peer", LIMIT, || {
        let stall = Duration::from_millis(300);
        let server = builder("s").write_stall(stall).bind("127.0.0.1:0").start().unwrap();
        let mut events = server.events();
        let wide = Announced { tick_window: 64 << 20, ..MODEST };
        let _deaf = Impostor::join_as(server.local_addr().unwrap(), "deaf", wide);
        let began = Instant::now();
        let mebibyte = Bytes::new(vec![0; 1 << 20]);
        let ticked = server.to("deaf").ticks("t", std::iter::repeat_n(mebibyte, 64));
        assert_eq!(ticked.refused.unwrap().kind(), ErrorKind::Backpressure);
        let left = expect_event(&mut events, peer_left);
        assert_eq!((left.0.as_str(), left.2), ("deaf", LeftReason::SlowPeer));
        assert!(began.elapsed() >= stall, "{:?}", began.elapsed());
        let lost = expect_event(&mut events, |event| match event {
            NodeEvent::Undelivered { unwritten, unconfirmed, .. } => Some(unwritten + unconfirmed),
            _ => None,
        });
        assert_eq!(lost, ticked.accepted as u64);
        expect_event(&mut events, |event| {
            matches!(event, NodeEvent::SlowPeer { id } if id == "deaf").then_some(())
        });
        server.stop().unwrap();
        assert_eq!(events.filter_map(|event| peer_left(&event)).count(), 0);
    });
}

#[test]
fn who_waited_for_a_peer_finds_its_joining_told_already() {
    bounded("told before", LIMIT, || {
        let server = listening("s");
        let address = server.local_addr().unwrap();
        std::thread::scope(|scope| {
            for number in 0..60 {
                let id = format!("c{number}");
                let name = id.clone();
                let joins = scope.spawn(move || {
                    let node = builder(&name).start().unwrap();
                    node.connect(address).unwrap();
                    node
                });
                server.wait_for_peer(&id, SOON).unwrap();
                let mut events = server.events();
                let node = joins.join().unwrap();
                assert!(events.try_next().is_none(), "{id} was told after the wait had ended");
                drop(node);
                eventually("it has left", || server.peer_options(&id).is_none());
            }
        });
    });
}
