//! Deadlines under load: no timeout comes early, few come late, and nobody else notices.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use threadmesh::{ErrorKind, Node, Request};

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

        // Somebody else's work may make one measurement late, but hardly three.
        let bound = |bare: Duration| bare + Duration::from_millis(20);
        let mut seen = Vec::new();
        while seen.len() < 3 && seen.last().is_none_or(|(ours, bare)| *ours > bound(*bare)) {
            seen.push(measured(&client));
        }
        drop(release);
        assert!(
            seen.iter().any(|(ours, bare)| *ours <= bound(*bare)),
            "p99 (ours, bare): {seen:?}"
        );
    });
}

/// The p99 of lateness of calls, and of the same waits without a node at the same time, which tell how late this machine
/// is by itself; both while other threads call.
fn measured(client: &Node) -> (Duration, Duration) {
    let (done, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut late = thread::scope(|scope| {
        for caller in 0..CALLERS as u64 {
            let (done, calls) = (&done, &calls);
            scope.spawn(move || {
                while !done.load(Relaxed) {
                    let number = caller << 32 | calls.fetch_add(1, Relaxed);
                    assert_eq!(client.request::<u64, _>("s", "echo", &number).unwrap(), number);
                }
            });
        }
        let all = |lateness: fn(&Node, usize) -> Vec<Duration>| {
            (0..WAITERS).map(|waiter| scope.spawn(move || lateness(client, waiter))).collect()
        };
        let (ours, bare) = (all(lateness), all(lateness_of_the_machine));
        let late = (collected(ours), collected(bare));
        done.store(true, Relaxed);
        late
    });
    assert!(calls.load(Relaxed) > CALLERS as u64, "the other threads did not get to call");
    (p99(&mut late.0), p99(&mut late.1))
}

fn collected(waiters: Vec<ScopedJoinHandle<'_, Vec<Duration>>>) -> Vec<Duration> {
    waiters.into_iter().flat_map(|waiter| waiter.join().unwrap()).collect()
}

fn p99(late: &mut [Duration]) -> Duration {
    assert_eq!(late.len(), TIMEOUTS);
    late.sort_unstable();
    late[TIMEOUTS * 99 / 100 - 1]
}

/// The timeouts of one thread, spread over a tenth of a second.
fn timeouts(waiter: usize) -> impl Iterator<Item = Duration> {
    (0..TIMEOUTS / WAITERS)
        .map(move |turn| Duration::from_millis(50 + (waiter * 7 + turn * 13) as u64 % 100))
}

/// How late each of this thread's timeouts was.
fn lateness(client: &Node, waiter: usize) -> Vec<Duration> {
    let one = |timeout| {
        let began = Instant::now();
        let error = client.to("mute").timeout(timeout).request::<(), _>("hold", &()).unwrap_err();
        let elapsed = began.elapsed();
        assert_eq!(error.kind(), ErrorKind::RequestTimeout);
        assert!(elapsed >= timeout, "{elapsed:?} instead of {timeout:?}");
        elapsed.saturating_sub(timeout)
    };
    timeouts(waiter).map(one).collect()
}

/// How late a wait for nothing ends on this machine.
fn lateness_of_the_machine(_: &Node, waiter: usize) -> Vec<Duration> {
    let (_nobody, nothing) = channel::<()>();
    let one = |timeout| {
        let began = Instant::now();
        let _ = nothing.recv_timeout(timeout);
        began.elapsed().saturating_sub(timeout)
    };
    timeouts(waiter).map(one).collect()
}
