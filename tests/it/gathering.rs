//! Requests to all: answers as they arrive, how a gathering ends, and who is missing.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use threadmesh::{ErrorKind, Filter, HandlerError, Request, filter};

use crate::choosing::workshop;
use crate::support::{AT_ONCE, SOON, bounded, took};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn answers_are_gathered_as_they_arrive_and_who_is_missing_is_told() {
    bounded("gather", LIMIT, || {
        let (master, others) = workshop();
        let (open, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for node in &others {
            let (gate, id) = (Arc::clone(&gate), node.id().to_string());
            node.on_request("load", move |_: Request<()>| match id.as_str() {
                "w1" => Err(HandlerError::new("BROKEN", "no load")),
                "w2" => {
                    let _ = gate.lock().unwrap().recv_timeout(SOON);
                    Ok(2)
                }
                _ => Ok(1),
            })
            .unwrap();
        }
        let workers = filter! { "role": "worker" };
        let timeout = Duration::from_millis(300);
        let began = Instant::now();
        let gather = master.all(&workers).timeout(timeout).request::<u32, _>("load", &()).unwrap();
        assert_eq!(gather.asked(), 5);
        let all = gather.finish();
        assert!(began.elapsed() >= timeout && began.elapsed() < timeout + AT_ONCE);
        assert!(!all.is_complete());
        let mut answered: Vec<_> =
            all.replies.iter().map(|reply| reply.handled_by.as_str()).collect();
        answered.sort_unstable();
        assert_eq!(answered, ["w3", "w4", "w5"]);
        let error = |id: &str| &all.errors.iter().find(|(peer, _)| peer == id).unwrap().1;
        assert_eq!(error("w1").code(), "BROKEN");
        assert_eq!(error("w2").code(), "REQUEST_TIMEOUT");
        assert_eq!(all.missing.iter().map(threadmesh::NodeId::as_str).collect::<Vec<_>>(), ["w2"]);

        let first = master.all(&workers).first(2).request::<u32, _>("load", &()).unwrap().finish();
        assert!(first.is_complete() && first.replies.len() == 2 && !first.missing.is_empty());
        let quorum = took(AT_ONCE, || {
            master.all(&workers).quorum(3).request::<u32, _>("load", &()).unwrap().finish()
        });
        assert!(quorum.is_complete() && quorum.replies.len() == 3);
        let lost = took(timeout + AT_ONCE, || {
            let call = master.all(&workers).quorum(5).timeout(SOON);
            call.request::<u32, _>("load", &()).unwrap().finish()
        });
        assert!(!lost.is_complete(), "with one failure there are only four left");
        let nobody =
            master.request_all::<u32, _>(filter! { "x": 1 }, "load", &()).unwrap().finish();
        assert!(nobody.is_complete() && nobody.replies.is_empty());
        drop(open);
    });
}

#[test]
fn a_gathering_that_is_dropped_cancels_what_is_left() {
    bounded("gather dropped", LIMIT, || {
        let (master, others) = workshop();
        let (tell, told) = channel();
        for node in &others {
            let tell = tell.clone();
            node.on_request("wait", move |request: Request<()>| {
                tell.send(None).unwrap();
                let end = Instant::now() + SOON;
                while !request.is_cancelled() && Instant::now() < end {
                    thread::park_timeout(Duration::from_millis(1));
                }
                tell.send(Some(request.is_cancelled())).unwrap();
                Ok(())
            })
            .unwrap();
        }
        let gather = master.request_all::<(), _>(Filter::any(), "wait", &()).unwrap();
        assert_eq!(gather.missing().count(), 6);
        let hear = || told.recv_timeout(SOON).expect("six handlers tell twice each");
        // All are at work.
        (0..6).for_each(|_| assert_eq!(hear(), None));
        drop(gather);
        (0..6).for_each(|_| assert_eq!(hear(), Some(true)));
    });
}

#[test]
fn a_gathering_whose_node_stops_ends() {
    bounded("gather stopped", LIMIT, || {
        let (master, others) = workshop();
        for node in &others {
            node.on_request("wait", |request: Request<()>| {
                let end = Instant::now() + SOON;
                while !request.is_cancelled() && Instant::now() < end {
                    thread::park_timeout(Duration::from_millis(1));
                }
                Ok(())
            })
            .unwrap();
        }
        let gather = master.request_all::<(), _>(Filter::any(), "wait", &()).unwrap();
        thread::scope(|scope| {
            let all = scope.spawn(|| gather.finish());
            master.stop_within(Duration::from_millis(100)).unwrap();
            let all = all.join().unwrap();
            assert_eq!(all.errors.len(), 6);
            assert!(all.errors.iter().all(|(_, error)| error.kind() == ErrorKind::Closed));
        });
    });
}

/// Counts how often it is encoded.
struct Dear(Arc<AtomicUsize>);

impl serde::Serialize for Dear {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.fetch_add(1, Relaxed);
        serializer.serialize_str(&"long enough to be shared and not copied ".repeat(50))
    }
}

#[test]
fn data_for_many_is_encoded_once() {
    bounded("encoded once", LIMIT, || {
        let (master, others) = workshop();
        for node in &others {
            node.on_request("length", |request: Request<String>| Ok(request.data.len())).unwrap();
        }
        let encoded = Arc::new(AtomicUsize::new(0));
        let data = Dear(Arc::clone(&encoded));
        assert_eq!(master.tick_all(Filter::any(), "news", &data).unwrap().sent, 6);
        assert_eq!(encoded.load(Relaxed), 1);
        let lengths = master.request_all::<usize, _>(Filter::any(), "length", &data).unwrap();
        assert_eq!(lengths.finish().into_values().collect::<Vec<_>>(), [2_000; 6]);
        assert_eq!(encoded.load(Relaxed), 2);
    });
}
