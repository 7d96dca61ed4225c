//! What the tests share: bounds, nodes with short timings, waiting for events. It must not hide what a test claims.

pub(crate) mod alien;
pub(crate) mod bound;
pub(crate) mod census;
#[cfg(target_os = "linux")]
pub(crate) mod counting;
pub(crate) mod impostor;
pub(crate) mod paths;
pub(crate) mod process;
pub(crate) mod proxy;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use threadmesh::{Builder, Events, Node, NodeEvent};

/// Well under this is what the scenarios call "at once".
pub(crate) const AT_ONCE: Duration = Duration::from_millis(500);

/// Longer than anything that works takes; what does not work fails then.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Runs a test that must end within `limit`; see [`bound`].
pub(crate) fn bounded<T>(name: &str, limit: Duration, body: impl FnOnce() -> T) -> T {
    let _bound = bound::within(name, limit);
    body()
}

/// A node with timings short enough for tests, and long enough for a busy machine.
pub(crate) fn builder(id: &str) -> Builder {
    Node::builder()
        .id(id)
        .heartbeat_interval(Duration::from_millis(200))
        .liveness_timeout(Duration::from_secs(5))
        .handshake_timeout(Duration::from_secs(5))
        .reconnect_pauses(Duration::from_millis(20), Duration::from_millis(100))
        .stop_bound(Duration::from_secs(1))
}

/// A node that listens on a port of the system's choice.
pub(crate) fn listening(id: &str) -> Node {
    builder(id).bind("127.0.0.1:0").start().expect("a free port")
}

/// A node that has joined `server`; it is its downstream peer.
pub(crate) fn joined(id: &str, server: &Node) -> Node {
    let node = builder(id).start().expect("a node needs nothing");
    node.connect(server.local_addr().expect("the server listens")).expect("the server answers");
    node
}

/// `c` → `s`, both fresh.
pub(crate) fn pair() -> (Node, Node) {
    let server = listening("s");
    let client = joined("c", &server);
    (client, server)
}

/// A place of its own to listen at: also while nobody listens there, no other test gets it. Loopback has many addresses
/// on Linux; elsewhere only the port is the test's own.
pub(crate) fn place() -> SocketAddr {
    let own = Ipv4Addr::new(127, fastrand::u8(1..255), fastrand::u8(..), fastrand::u8(1..255));
    let free = TcpListener::bind((own, 0)).or_else(|_| TcpListener::bind("127.0.0.1:0"));
    free.and_then(|listener| listener.local_addr()).expect("a free port")
}

/// Takes events until one is wanted; the others are listed when none comes.
pub(crate) fn expect_event<T>(
    events: &mut Events,
    mut wanted: impl FnMut(&NodeEvent) -> Option<T>,
) -> T {
    let deadline = Instant::now() + SOON;
    let mut others = Vec::new();
    while let Some(event) = events.next_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        match wanted(&event) {
            Some(found) => return found,
            None => others.push(event),
        }
    }
    panic!("the event did not come; what came: {others:#?}");
}

/// Looks again and again until it is so: for what no event tells, like the number of threads.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Asserts how long something took.
pub(crate) fn took<T>(at_most: Duration, body: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = body();
    let elapsed = began.elapsed();
    assert!(elapsed <= at_most, "took {elapsed:?}, at most {at_most:?} was claimed");
    result
}

/// Measures up to three times, because somebody else's work may spoil one measurement but hardly three. `measure` gives what it
/// saw, or what was wrong with it.
pub(crate) fn measured<T>(mut measure: impl FnMut() -> Result<T, String>) -> T {
    let mut wrong = Vec::new();
    while wrong.len() < 3 {
        match measure() {
            Ok(seen) => return seen,
            Err(what) => wrong.push(what),
        }
    }
    panic!("three times: {wrong:#?}");
}

/// Lets that much time go by, when time going by is the very thing the test is about.
pub(crate) fn let_pass(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        thread::park_timeout(end.saturating_duration_since(Instant::now()));
    }
}
