//! The program's own code is a guest of the node: it never runs on the loop, may call everything from everywhere, and holds nobody
//! up by being slow.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use threadmesh::{
    Error, ErrorKind, Handle, Limits, Node, NodeEvent, Request, Tick, blocking, options, predicate,
};

use crate::support::{SOON, bounded as within, builder, listening, pair, took};

const LIMIT: Duration = Duration::from_secs(60);

/// Every kind of code that a program may give to a node.
const KINDS: &[&str] = &[
    "a request handler",
    "a tick handler",
    "a predicate",
    "a closure for events",
    "a batch",
    "a blocking section",
    "encoding",
    "decoding",
    "the drop of a handler that was removed",
    "the drop of a handler whose node stops",
];

/// What each guest does, told its kind.
type Visit = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Data does not know whose test it belongs to, so this is that of the one party under way.
static VISIT: Mutex<Option<Visit>> = Mutex::new(None);
static PARTY: Mutex<()> = Mutex::new(());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn visit(kind: &'static str) {
    let visit = lock(&VISIT).clone();
    if let Some(visit) = visit {
        visit(kind);
    }
}

/// Data that is encoded and decoded by guests.
struct Guest;

impl Serialize for Guest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        visit("encoding");
        serializer.serialize_u64(7)
    }
}

impl<'de> Deserialize<'de> for Guest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        visit("decoding");
        u64::deserialize(deserializer).map(|_| Self)
    }
}

/// What a handler owns.
struct Luggage(&'static str);

impl Drop for Luggage {
    fn drop(&mut self) {
        visit(self.0);
    }
}

/// Has two nodes run every kind of code once or more.
fn party(guest: impl FnOnce(&Node, &Node) -> Visit) {
    let _alone = lock(&PARTY);
    let (client, server) = pair();
    for node in [&client, &server] {
        node.on_request("plain", |request: Request<u64>| Ok(request.data)).unwrap();
        node.on_tick("plain", |_: Tick<u64>| {}).unwrap();
    }
    *lock(&VISIT) = Some(guest(&client, &server));
    let luggage = Luggage("the drop of a handler that was removed");
    let handler = move |request: Request<Guest>| {
        let _ = &luggage;
        visit("a request handler");
        Ok(request.data)
    };
    server.on_request("guest", handler).unwrap();
    let (tell, told) = bounded(1);
    let handler = move |_: Tick<Guest>| {
        visit("a tick handler");
        tell.send(()).unwrap();
    };
    server.on_tick("guest", handler).unwrap();
    let (tell, told_again) = bounded(1);
    let once = AtomicBool::new(false);
    let closure = move |_: &NodeEvent| {
        // What it calls makes events.
        if !once.swap(true, Relaxed) {
            visit("a closure for events");
            tell.send(()).unwrap();
        }
    };
    client.on_event(closure).unwrap();
    server.update_options(&options! { "changed": true }).unwrap();
    told_again.recv_timeout(SOON).unwrap();
    let anybody = predicate(|_| {
        visit("a predicate");
        true
    });
    client.wait_for_peer(anybody, SOON).unwrap();
    client.request::<Guest, _>("s", "guest", &Guest).unwrap();
    let batch = [Guest].into_iter().inspect(|_| visit("a batch"));
    client.to("s").ticks("guest", batch).all().unwrap();
    told.recv_timeout(SOON).unwrap();
    blocking(|| visit("a blocking section"));
    assert_eq!(server.off("guest").unwrap(), 2);
    let luggage = Luggage("the drop of a handler whose node stops");
    let handler = move |_: Request<()>| {
        let _ = &luggage;
        Ok(())
    };
    server.on_request("last", handler).unwrap();
    server.stop().unwrap();
    *lock(&VISIT) = None;
}

fn assert_all_came(kinds: &[&str]) {
    let absent: Vec<_> = KINDS.iter().filter(|kind| !kinds.contains(kind)).collect();
    assert!(absent.is_empty(), "not called: {absent:?}");
}

// covers P27
#[test]
fn no_code_of_the_program_runs_on_a_loop() {
    within("threads", LIMIT, || {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&seen);
        party(|_, _| {
            Arc::new(move |kind| {
                let name = thread::current().name().unwrap_or_default().to_owned();
                lock(&list).push((kind, name));
            })
        });
        let seen = lock(&seen);
        let kinds: Vec<_> = seen.iter().map(|(kind, _)| *kind).collect();
        assert_all_came(&kinds);
        let on_loop: Vec<_> = seen.iter().filter(|(_, name)| name.ends_with("-loop")).collect();
        assert!(on_loop.is_empty(), "{on_loop:?}");
    });
}

// covers P36
#[test]
fn every_verb_may_be_called_from_every_kind_of_code() {
    within("verbs", LIMIT, || {
        let spare = listening("spare");
        let address = spare.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&seen);
        party(|client, server| {
            let (client, server) = (client.handle(), server.handle());
            Arc::new(move |kind| {
                let of_client = every_verb(&client, "s", address);
                let of_server = every_verb(&server, "c", address);
                lock(&list).push((kind, of_client.and(of_server)));
            })
        });
        let seen = lock(&seen);
        let kinds: Vec<_> = seen.iter().map(|(kind, _)| *kind).collect();
        assert_all_came(&kinds);
        // Once the node stops its verbs return, but not with success.
        let stops = "the drop of a handler whose node stops";
        let failed = seen.iter().filter(|(kind, result)| *kind != stops && result.is_err());
        let failed: Vec<_> = failed.collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
}

/// Calls every verb once. The node has a peer of that name, and dials the spare one.
fn every_verb(node: &Handle, peer: &str, spare: SocketAddr) -> Result<(), Error> {
    let options = node.options();
    node.set_options(options.clone())?;
    node.update_options(&options)?;
    let _ = (node.peers(), node.peer_options(peer), node.peer_id_by_address(spare));
    let _ = (node.events().try_next(), format!("{node:?}"));
    node.wait_for_peer(peer, SOON / 20)?;
    node.wait_for_peer(predicate(|_| true), SOON)?;
    node.wait_for_service("plain", SOON / 20)?;
    node.on_event(|_| {})?.remove();
    node.on_request("mine", |_: Request<()>| Ok(()))?.remove();
    node.on_tick("mine", |_: Tick<()>| {})?;
    node.off("mine")?;
    node.connect(spare)?;
    node.dial(spare).timeout(SOON).once().connect()?;
    node.connect_always(spare)?;
    node.disconnect("nobody")?;
    if let Ok(address) = node.local_addr() {
        node.bind(address)?;
    } else {
        node.bind("127.0.0.1:0")?;
        node.unbind()?;
    }
    node.request::<u64, _>(peer, "plain", &1_u64)?;
    node.request_reply::<u64, _>(peer, "plain", &1_u64)?;
    node.start::<u64, _>(peer, "plain", &1_u64)?.wait()?;
    let _ = node.start::<u64, _>(peer, "plain", &1_u64)?.try_take();
    node.start::<u64, _>(peer, "plain", &1_u64)?.cancel();
    node.tick(peer, "plain", &1_u64)?;
    node.to(peer).wait(SOON).ticks("plain", [1_u64, 2]).all()?;
    node.to(peer).try_request::<u64, _>("plain", &1_u64)?;
    node.to(peer).try_tick("plain", &1_u64)?;
    // A handler of ticks would wait for itself.
    let _ = node.flush(peer, Duration::from_millis(20));
    let _ = node.flush_all(Duration::from_millis(20));
    Ok(())
}

// covers P24, P25
#[test]
fn answers_and_deadlines_reach_callers_whose_workers_all_hang() {
    within("hanging workers", LIMIT, || {
        let mut limits = Limits::default();
        (limits.workers_min, limits.workers_max) = (1, 2);
        let server = listening("s");
        let client = builder("c").limits(limits).start().unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        server.on_request("plain", |request: Request<u64>| Ok(request.data)).unwrap();
        let (begun, hangs) = bounded(8);
        let (go, gate) = bounded::<()>(0);
        let hang = move |_: Request<()>| {
            begun.send(()).unwrap();
            let _ = gate.recv();
            Ok(())
        };
        client.on_request("hang", hang).unwrap();
        let hanging: Vec<_> =
            (0..4).map(|_| server.start::<(), _>("c", "hang", &()).unwrap()).collect();
        for _ in 0..2 {
            hangs.recv_timeout(SOON).unwrap();
        }
        // Both workers of the client hang, and two more requests wait for one.
        for number in 0..100 {
            assert_eq!(client.request::<u64, _>("s", "plain", &number).unwrap(), number);
        }
        let time = Duration::from_millis(200);
        let began = Instant::now();
        let late = took(time + SOON / 10, || {
            server.to("c").timeout(time).request::<(), _>("hang", &()).unwrap_err()
        });
        assert_eq!(late.kind(), ErrorKind::RequestTimeout);
        assert!(began.elapsed() >= time);
        drop(go);
        for pending in hanging {
            pending.wait().unwrap();
        }
    });
}
