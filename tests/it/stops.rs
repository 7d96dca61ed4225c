//! The end of a node, in whatever state it is: nobody waits longer than the bound, and nothing is left behind.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use threadmesh::{Error, ErrorKind, Filter, Limits, Node, NodeEvent, Request, Tick};

use crate::support::process::Process;
use crate::support::{
    AT_ONCE, SOON, bounded, builder, census, eventually, joined, listening, pair, place, took,
};

const LIMIT: Duration = Duration::from_secs(60);

/// The bound of the nodes that [`builder`] makes.
const BOUND: Duration = Duration::from_secs(1);

/// What every waiting caller gets beyond the bound of a stop.
const GRACE: Duration = Duration::from_millis(100);

/// A handler that says that it has begun, and answers when the other end is dropped.
fn hold(node: &Node) -> (Receiver<()>, Sender<()>) {
    let (began, begun) = unbounded();
    let (release, released) = unbounded::<()>();
    let wait = move |_: Request<()>| {
        let _ = began.send(());
        let _ = threadmesh::blocking(|| released.recv_timeout(SOON));
        Ok(())
    };
    node.on_request("hold", wait).unwrap();
    (begun, release)
}

#[test]
fn a_node_that_never_did_anything_stops_at_once_and_cleanly() {
    bounded("unused", LIMIT, || {
        let node = builder("lone").start().unwrap();
        let report = took(AT_ONCE, || node.stop().unwrap());
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(node.stop().unwrap(), report);
    });
}

// covers P34
#[test]
fn a_stop_ends_a_connect_that_is_dialling_and_one_that_is_shaking_hands() {
    bounded("connecting", LIMIT, || {
        // It accepts, but never greets.
        let mute = TcpListener::bind("127.0.0.1:0").unwrap();
        let node = builder("c").start().unwrap();
        thread::scope(|scope| {
            let dialling = scope.spawn(|| node.connect(place()).unwrap_err());
            let shaking = scope.spawn(|| node.connect(mute.local_addr().unwrap()).unwrap_err());
            let _accepted = mute.accept().unwrap();
            let stopping = scope.spawn(|| node.stop().unwrap());
            let ended = took(AT_ONCE, || [dialling.join().unwrap(), shaking.join().unwrap()]);
            for error in ended {
                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                assert!(!error.may_have_run());
            }
            // Who never greeted gets the whole bound to read the goodbye.
            let report = took(BOUND + GRACE * 2, || stopping.join().unwrap());
            assert!(report.is_clean(), "{report:?}");
        });
    });
}

#[test]
fn a_stop_fails_the_callers_of_this_node_and_says_how_many() {
    bounded("pending", LIMIT, || {
        let (client, server) = pair();
        let (begun, release) = hold(&server);
        let pending = client.start::<(), _>("s", "hold", &()).unwrap();
        begun.recv_timeout(SOON).unwrap();
        let mut events = client.events();
        let report = took(AT_ONCE, || client.stop().unwrap());
        assert_eq!((report.calls, report.unanswered), (1, 0), "{report:?}");
        let error = took(AT_ONCE, || pending.wait().unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(error.may_have_run(), "it was sent");
        let stopped = |event: &NodeEvent| matches!(event, NodeEvent::Stopped);
        assert_eq!(events.by_ref().filter(stopped).count(), 1);
        drop(release);
    });
}

#[test]
fn a_stop_confirms_the_ticks_that_its_handlers_finish_and_counts_those_that_none_saw() {
    bounded("confirmed", LIMIT, || {
        for (bound, clean) in [(SOON, true), (Duration::from_millis(50), false)] {
            let (client, server) = pair();
            let events = client.events();
            let (began, begun) = unbounded();
            let (go, gate) = unbounded::<()>();
            let handler = move |_: Tick<u64>| {
                let _ = began.send(());
                let _ = threadmesh::blocking(|| gate.recv());
            };
            server.on_tick("slow", handler).unwrap();
            server.on_request("in", |_: Request<()>| Ok(())).unwrap();
            assert_eq!(client.to("s").ticks("slow", 0..300_u64).all().unwrap(), 300);
            begun.recv_timeout(SOON).unwrap();
            // A request behind them is answered: all have come.
            client.request::<(), _>("s", "in", &()).unwrap();
            let go = (!clean).then_some(go);
            let report = server.stop_within(bound).unwrap();
            drop(go);
            client.stop().unwrap();
            let unconfirmed = events.map(|event| match event {
                NodeEvent::Undelivered { unconfirmed, .. } => unconfirmed,
                _ => 0,
            });
            let unconfirmed: u64 = unconfirmed.sum();
            // What a worker has taken is in its hands, also after the bound; the others no handler saw.
            assert_eq!((unconfirmed == 0, report.ticks == 0), (clean, clean), "{report:?}");
            assert_eq!(report.is_clean(), clean, "{report:?}");
            assert!(clean || unconfirmed == 300 && report.ticks < 300, "{report:?}");
        }
    });
}

#[test]
fn a_stop_waits_for_handlers_and_ticks_within_its_bound() {
    bounded("drained", LIMIT, || {
        let (client, server) = pair();
        let (begun, release) = hold(&server);
        let pending = client.start::<(), _>("s", "hold", &()).unwrap();
        begun.recv_timeout(SOON).unwrap();
        thread::scope(|scope| {
            let stopping = scope.spawn(|| server.stop_within(SOON).unwrap());
            eventually("the server refuses calls", || server.local_addr().is_err());
            drop(release);
            pending.wait().expect("running handlers finish");
            let report = stopping.join().unwrap();
            assert!(report.is_clean(), "{report:?}");
        });

        let server = listening("t");
        let seen = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&seen);
        server
            .on_tick("count", move |_: Tick<u64>| {
                count.fetch_add(1, Relaxed);
            })
            .unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        assert_eq!(client.to("t").wait(SOON).ticks("count", 0..1_000_u64).all().unwrap(), 1_000);
        let report = client.stop_within(SOON).unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(seen.load(Relaxed), 1_000, "a clean stop means that all were handled");
    });
}

#[test]
fn stops_from_many_threads_at_once_are_one_stop_with_one_report() {
    bounded("at once", LIMIT, || {
        let (client, server) = pair();
        let (begun, release) = hold(&server);
        let pending = client.start::<(), _>("s", "hold", &()).unwrap();
        begun.recv_timeout(SOON).unwrap();
        let (mut events, barrier) = (server.events(), Barrier::new(8));
        let stop = |waits: bool| {
            barrier.wait();
            if waits { server.wait() } else { server.stop_within(Duration::from_millis(50)) }
        };
        let reports: Vec<_> = thread::scope(|scope| {
            let stop = &stop;
            let stopping: Vec<_> =
                (0..8).map(|index| scope.spawn(move || stop(index % 2 == 0).unwrap())).collect();
            stopping.into_iter().map(|stopping| stopping.join().unwrap()).collect()
        });
        assert!(reports.iter().all(|report| *report == reports[0]), "{reports:?}");
        assert_eq!((reports[0].unanswered, reports[0].detached.len()), (1, 1), "{:?}", reports[0]);
        assert_eq!(events.by_ref().filter(|event| matches!(event, NodeEvent::Stopped)).count(), 1);
        assert_eq!(pending.wait().unwrap_err().kind(), ErrorKind::ConnectionLost);
        drop(release);
    });
}

// covers P35
#[test]
fn nodes_are_dropped_in_any_order_and_none_takes_a_second() {
    bounded("drop order", LIMIT, || {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let server = listening("s");
            let (b, c) = (joined("b", &server), joined("c", &server));
            let (begun, release) = hold(&server);
            let pending = b.start::<(), _>("s", "hold", &()).unwrap();
            begun.recv_timeout(SOON).unwrap();
            let mut nodes = [Some(server), Some(b), Some(c)];
            for index in order {
                let node = nodes[index].take();
                took(Duration::from_secs(1), || drop(node));
            }
            assert!(took(AT_ONCE, || pending.wait()).is_err());
            drop(release);
        }
    });
}

// covers P34
#[test]
fn everybody_who_waits_in_whatever_verb_returns_with_the_stop() {
    bounded("every wait", LIMIT, || {
        let server = listening("s");
        let (begun, release) = hold(&server);
        let (stuck, never) = unbounded::<()>();
        let hang = move |_: Tick<u64>| _ = threadmesh::blocking(|| never.recv_timeout(SOON));
        server.on_tick("hold", hang).unwrap();
        let node = joined("c", &server);
        let full = node.to("s").ticks("hold", 0..1_000_000_u64).refused.unwrap();
        assert_eq!(full.kind(), ErrorKind::Backpressure);
        let pending = node.start::<(), _>("s", "hold", &()).unwrap();
        let mut events = node.events();
        let bound = Duration::from_millis(200);
        let waits: Vec<(&str, Wait<'_>)> = vec![
            ("request", Box::new(|| kind(node.request::<(), _>("s", "hold", &())))),
            ("pending", Box::new(|| kind(pending.wait()))),
            ("tick", Box::new(|| kind(node.to("s").wait(SOON).tick("hold", &0)))),
            ("flush", Box::new(|| kind(node.flush("s", SOON)))),
            ("flush_all", Box::new(|| kind(node.flush_all(SOON)))),
            ("connect", Box::new(|| kind(node.connect(place())))),
            ("wait_for_peer", Box::new(|| kind(node.wait_for_peer("ghost", SOON)))),
            ("wait_for_service", Box::new(|| kind(node.wait_for_service("ghost", SOON)))),
            ("events", Box::new(|| events.by_ref().last().map(|_| ErrorKind::Closed))),
            ("wait", Box::new(|| node.wait().ok().map(|_| ErrorKind::Closed))),
        ];
        let entered = Barrier::new(waits.len() + 1);
        let (late, machine) = lateness_while(|| {
            thread::scope(|scope| {
                let entered = &entered;
                let waits: Vec<_> = waits
                    .into_iter()
                    .map(|(verb, wait)| {
                        let waiting = move || {
                            entered.wait();
                            (verb, wait(), Instant::now())
                        };
                        scope.spawn(waiting)
                    })
                    .collect();
                entered.wait();
                (0..2).for_each(|_| begun.recv_timeout(SOON).unwrap());
                let latest = Instant::now() + bound;
                let report = node.stop_within(bound).unwrap();
                assert!(report.unwritten + report.unconfirmed > 0, "{report:?}");
                let ends = waits.into_iter().map(|wait| wait.join().unwrap());
                ends.map(|(verb, ended, at)| {
                    assert_eq!(ended, Some(ErrorKind::Closed), "{verb}");
                    (at.saturating_duration_since(latest), verb)
                })
                .max()
                .unwrap()
            })
        });
        assert!(late.0 <= GRACE + machine * 4, "{late:?} after the bound, machine {machine:?}");
        drop((release, stuck));
    });
}

/// A verb that waits, and how its wait ended.
type Wait<'a> = Box<dyn FnOnce() -> Option<ErrorKind> + Send + 'a>;

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

const STOPS: u64 = 1_000;
/// Stops under way at once.
const LANES: u64 = 4;

// covers P34
#[test]
fn a_thousand_stops_at_random_points_let_every_caller_return_in_time() {
    bounded("1,000 stops", LIMIT, || {
        let hub = listening("hub");
        let (_begun, release) = hold(&hub);
        hub.on_request("echo", |request: Request<u64>| Ok(request.data)).unwrap();
        let late = lateness_while(|| {
            thread::scope(|scope| {
                let lanes: Vec<_> = (0..LANES)
                    .map(|lane| {
                        let hub = &hub;
                        scope.spawn(move || {
                            let stops = (lane..STOPS).step_by(LANES as usize);
                            stops.map(|number| stop_somewhere(hub, number)).max().unwrap()
                        })
                    })
                    .collect();
                lanes.into_iter().map(|lane| lane.join().unwrap()).max().unwrap()
            })
        });
        let (worst, machine) = late;
        // A caller's return takes a few wake-ups of other threads, each as late as the machine is.
        assert!(worst <= GRACE + machine * 4, "{worst:?} after the bound, machine {machine:?}");
        drop(release);
    });
}

/// A node is stopped while threads call from it and to it. How long after the bound the last of them came back.
fn stop_somewhere(hub: &Node, number: u64) -> Duration {
    let id = format!("n{number}");
    let node = joined(&id, hub);
    node.on_request("echo", |request: Request<u64>| Ok(request.data)).unwrap();
    let bound = Duration::from_millis(fastrand::u64(0..10));
    let pause = Duration::from_micros(fastrand::u64(0..1_500));
    thread::scope(|scope| {
        let until_it_fails = |call: &dyn Fn() -> Result<(), Error>| -> (Error, Instant) {
            loop {
                if let Err(error) = call() {
                    return (error, Instant::now());
                }
            }
        };
        let echo = || node.request::<u64, _>("hub", "echo", &number).map(drop);
        let held = || node.request::<(), _>("hub", "hold", &());
        let asked = || hub.request::<u64, _>(&id, "echo", &number).map(drop);
        let callers = [
            scope.spawn(move || until_it_fails(&echo)),
            scope.spawn(move || until_it_fails(&held)),
            scope.spawn(move || until_it_fails(&asked)),
        ];
        thread::park_timeout(pause);
        let latest = Instant::now() + bound;
        node.stop_within(bound).unwrap();
        let mut last = Instant::now();
        for caller in callers {
            let (error, at) = caller.join().unwrap();
            let kinds = [
                ErrorKind::Closed,
                ErrorKind::ConnectionLost,
                ErrorKind::NodeNotFound,
                ErrorKind::Busy,
            ];
            assert!(kinds.contains(&error.kind()), "{error}");
            last = last.max(at);
        }
        last.saturating_duration_since(latest)
    })
}

/// What `body` gives, and how late the machine woke a sleeping thread meanwhile, at worst.
fn lateness_while<T>(body: impl FnOnce() -> T) -> (T, Duration) {
    // Dropped with the body, also when that panics.
    let (alive, over) = unbounded::<()>();
    thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let (nap, mut worst) = (Duration::from_millis(1), Duration::ZERO);
            loop {
                let began = Instant::now();
                if over.recv_timeout(nap) == Err(RecvTimeoutError::Disconnected) {
                    return worst;
                }
                worst = worst.max(began.elapsed().saturating_sub(nap));
            }
        });
        let alive = alive;
        let result = body();
        drop(alive);
        (result, watch.join().unwrap())
    })
}

/// How often each request ran, by its number.
type Runs = Arc<Mutex<HashMap<u64, u32>>>;

/// A node that dials `client` and works for it, and counts what it has done.
fn worker(id: &str, client: &Node, runs: &Runs) -> (Node, Arc<AtomicU64>) {
    let node = builder(id).start().unwrap();
    let (runs, done) = (Arc::clone(runs), Arc::new(AtomicU64::new(0)));
    let own = Arc::clone(&done);
    let work = move |request: Request<u64>| {
        *runs.lock().unwrap().entry(request.data).or_default() += 1;
        own.fetch_add(1, Relaxed);
        Ok(request.data)
    };
    node.on_request("work", work).unwrap();
    node.connect(client.local_addr().unwrap()).unwrap();
    (node, done)
}

// covers P33
#[test]
fn servers_that_stop_one_after_the_other_cost_those_who_ask_any_of_them_nothing() {
    bounded("any", LIMIT * 2, || {
        let client = listening("c");
        let runs = Runs::default();
        let _stays = worker("stays", &client, &runs);
        client.wait_for_peer("stays", SOON).unwrap();
        let (next, over) = (AtomicU64::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let ask = || {
                let mut failed = Vec::new();
                while !over.load(Relaxed) {
                    let number = next.fetch_add(1, Relaxed);
                    match client.request_any::<u64, _>(Filter::any(), "work", &number) {
                        Ok(answer) => assert_eq!(answer, number),
                        Err(error) => failed.push(format!("{number}: {error:?}")),
                    }
                }
                failed
            };
            let askers: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            // Also when this thread fails, the others end.
            let rounds = scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let (leaves, done) = worker("leaves", &client, &runs);
                    eventually("it has work", || done.load(Relaxed) > 20);
                    let report = leaves.stop().unwrap();
                    assert!(report.is_clean(), "{report:?}");
                }
            });
            let rounds = rounds.join();
            over.store(true, Relaxed);
            let failed: Vec<String> =
                askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect();
            rounds.unwrap();
            assert!(failed.is_empty(), "{} errors: {failed:#?}", failed.len());
        });
        let (asked, runs) = (next.into_inner(), runs.lock().unwrap());
        let once = (0..asked).filter(|number| runs.get(number) == Some(&1)).count();
        assert_eq!((once as u64, runs.len() as u64), (asked, asked));
    });
}

/// Servers that stop while they are asked.
const ROUNDS: usize = 100;

const NODES: usize = 1_000;
/// Memory is compared with that after so many.
const WARM: usize = 200;
/// A node that is kept has a mailbox of several hundred KiB alone.
const MEMORY: u64 = 8 * 1_024 * 1_024;

#[test]
fn a_thousand_nodes_whose_handlers_keep_a_handle_leave_nothing_behind() {
    bounded("kept handles", LIMIT * 2, || Process::start("kept", "").succeed());
}

/// A child, so that the threads, descriptors and memory it counts are its own.
pub(crate) fn kept_handles(_: &str) {
    let mut limits = Limits::default();
    (limits.workers_min, limits.workers_max) = (1, 1);
    let before = census::take();
    let mut warm = 0;
    for number in 1..=NODES {
        let node = builder("keeper").limits(limits.clone()).start().unwrap();
        let (one, two) = (node.handle(), node.handle());
        node.on_request("who", move |_: Request<()>| Ok(one.id().to_string())).unwrap();
        node.on_tick("note", move |_: Tick<()>| drop(two.peers())).unwrap();
        match number % 3 {
            0 => drop(node),
            1 => drop(node.stop().unwrap()),
            _ => {
                node.bind("127.0.0.1:0").unwrap();
                node.stop().unwrap();
            }
        }
        if number == WARM {
            warm = census::memory().unwrap_or_default();
        }
    }
    eventually(&format!("threads and descriptors as before: {before:?}"), || {
        census::take() == before
    });
    let grown = census::memory().unwrap_or_default().saturating_sub(warm);
    assert!(grown <= MEMORY, "{grown} bytes more than after {WARM} nodes");
}
