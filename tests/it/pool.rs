//! The worker pool between real nodes: it grows while its workers wait, no further than it must, and rings always unwind.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use threadmesh::{Error, ErrorKind, Handle, HandlerError, Limits, Node, Request};

use crate::support::{bounded, builder};

const LIMIT: Duration = Duration::from_secs(30);

/// Two nodes with such pools, each the peer of the other.
fn two(min: usize, max: usize) -> (Node, Node) {
    let mut limits = Limits::default();
    (limits.workers_min, limits.workers_max) = (min, max);
    let server = builder("b").limits(limits.clone()).bind("127.0.0.1:0").start().unwrap();
    let client = builder("a").limits(limits).start().unwrap();
    client.connect(server.local_addr().unwrap()).unwrap();
    (client, server)
}

// covers P26
#[test]
fn t043_64_handlers_that_call_back_their_caller_complete_with_at_most_66_workers() {
    bounded("t043", LIMIT, || {
        let (a, b) = two(2, 256);
        let workers = Arc::new(Mutex::new(HashSet::new()));
        let (list, handle) = (Arc::clone(&workers), b.handle());
        a.on_request("back", |request: Request<u32>| Ok(request.data * 2)).unwrap();
        b.on_request("there", move |request: Request<u32>| {
            list.lock().unwrap().insert(thread::current().id());
            Ok(handle.request::<u32, _>(request.sender(), "back", &request.data)? + 1)
        })
        .unwrap();
        let open: Vec<_> = (0..64).map(|n| a.start::<u32, _>("b", "there", &n).unwrap()).collect();
        for (n, pending) in (0..).zip(open) {
            assert_eq!(pending.wait().unwrap().value, n * 2 + 1);
        }
        let workers = workers.lock().unwrap().len();
        assert!(workers <= 66, "{workers} workers for 64 waiting handlers");
    });
}

// covers P27
#[test]
fn t043_300_rings_through_at_most_16_workers_all_end_within_a_second() {
    bounded("rings", LIMIT, || {
        let (a, b) = two(2, 16);
        for (node, other) in [(&a, "b"), (&b, "a")] {
            let handle = node.handle();
            node.on_request("ring", move |request: Request<u32>| {
                ring(&handle, other, request.data)
            })
            .unwrap();
        }
        let began = Instant::now();
        let open: Vec<_> = (0..300).map(|_| a.start::<u32, _>("b", "ring", &3).unwrap()).collect();
        let ended: Vec<_> =
            open.into_iter().map(|pending| pending.wait().map(|reply| reply.value)).collect();
        let elapsed = began.elapsed();
        let refused = ended.iter().filter(|end| !matches!(end, Ok(3))).collect::<Vec<_>>();
        assert!(refused.iter().all(|end| end.as_ref().is_err_and(is_busy)), "{refused:?}");
        assert!(elapsed < Duration::from_secs(1), "took {elapsed:?}, {} were BUSY", refused.len());
    });
}

/// Asks the other node to ask back, so many times, and counts the answers.
fn ring(handle: &Handle, other: &str, left: u32) -> Result<u32, HandlerError> {
    if left == 0 {
        return Ok(0);
    }
    Ok(handle.request::<u32, _>(other, "ring", &(left - 1))? + 1)
}

/// Refused by the peer that was asked, or by one further along the ring, whose refusal the handlers passed on.
fn is_busy(error: &Error) -> bool {
    error.kind() == ErrorKind::Busy || error.code() == ErrorKind::Busy.code()
}

// covers P26
#[test]
fn nested_calls_32_deep_complete_from_one_worker_each() {
    bounded("nested", LIMIT, || {
        let (a, b) = two(1, 256);
        for (node, other) in [(&a, "b"), (&b, "a")] {
            let handle = node.handle();
            node.on_request("down", move |request: Request<u32>| match request.data {
                0 => Ok(0),
                n => Ok::<_, HandlerError>(handle.request::<u32, _>(other, "down", &(n - 1))? + 1),
            })
            .unwrap();
        }
        assert_eq!(a.request::<u32, _>("b", "down", &32).unwrap(), 32);
    });
}
