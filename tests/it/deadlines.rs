//! Deadlines under load: no timeout comes early, few come late, and nobody else notices.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use threadmesh::{ErrorKind, Request};

use crate::support::{SOON, bounded, joined, listening};

const CALLERS: usize = 64;
const TIMEOUTS: usize = 200;
/// Threads that run into timeouts, one after the other each.
const WAITERS: usize = 20;

// covers P24
#[test]
fn timeouts_are_never_early_and_seldom_late_while_64_threads_call() {
    bounded("timeouts under load", Duration::from_secs(60), || {
        // Held handlers keep workers, so they have a node of their own.
        let (server, mute) = (listening("s"), listening("mute"));
        let (release, released) = channel::<()>();
        let gate = Mutex::new(released);
        let hold = move |_: Request<()>| {
            let _ = gate.lock().unwrap().recv_timeout(SOON);
            Ok(())
        };
        mute.on_request("hold", hold).unwrap();
        server.on_request("echo", |request: Request<u64>| Ok(request.data)).unwrap();
        let client = joined("c", &server);
        client.connect(mute.local_addr().unwrap()).unwrap();

        let (done, calls) = (AtomicBool::new(false), AtomicU64::new(0));
        let mut late = thread::scope(|scope| {
            for caller in 0..CALLERS as u64 {
                let (client, done, calls) = (&client, &done, &calls);
                scope.spawn(move || {
                    while !done.load(Relaxed) {
                        let number = caller << 32 | calls.fetch_add(1, Relaxed);
                        assert_eq!(client.request::<u64>("s", "echo", &number).unwrap(), number);
                    }
                });
            }
            let waiters: Vec<_> = (0..WAITERS)
                .map(|waiter| {
                    scope.spawn({
                        let client = &client;
                        move || lateness(client, waiter)
                    })
                })
                .collect();
            let late: Vec<Duration> =
                waiters.into_iter().flat_map(|waiter| waiter.join().unwrap()).collect();
            done.store(true, Relaxed);
            late
        });
        drop(release);
        late.sort_unstable();
        assert_eq!(late.len(), TIMEOUTS);
        let p99 = late[TIMEOUTS * 99 / 100 - 1];
        assert!(p99 <= Duration::from_millis(20), "p99 {p99:?} late, the latest {:?}", late.last());
        assert!(calls.load(Relaxed) > CALLERS as u64, "the other threads did not get to call");
    });
}

/// How late each of this thread's timeouts was.
fn lateness(client: &threadmesh::Node, waiter: usize) -> Vec<Duration> {
    let mut late = Vec::new();
    for turn in 0..TIMEOUTS / WAITERS {
        let timeout = Duration::from_millis(50 + (waiter * 7 + turn * 13) as u64 % 100);
        let began = Instant::now();
        let error = client.to("mute").timeout(timeout).request::<()>("hold", &()).unwrap_err();
        let elapsed = began.elapsed();
        // `EXPIRED` is the word of a peer that saw the deadline pass before a worker was free.
        assert!(matches!(error.kind(), ErrorKind::RequestTimeout | ErrorKind::Expired), "{error}");
        assert!(elapsed >= timeout, "{elapsed:?} instead of {timeout:?}");
        late.push(elapsed.saturating_sub(timeout));
    }
    late
}
