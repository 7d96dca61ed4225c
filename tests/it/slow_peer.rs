//! A peer that stops reading: what it costs the others, the memory, and when it is let go.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ciborium::Value;
use threadmesh::{Bytes, ErrorKind, LeftReason, Node, NodeEvent, Request};

use crate::support::impostor::{Announced, HEARTBEAT, Impostor, MODEST, message};
use crate::support::process::{Process, say};
use crate::support::{bounded, census, eventually, joined, let_pass, listening, measured};

const LIMIT: Duration = Duration::from_secs(100);
const WORKERS: usize = 8;
const PHASE: Duration = Duration::from_millis(250);
const PAIRS: usize = 8;
/// When a slow peer is let go, unless the configuration says otherwise.
const STALL: Duration = Duration::from_secs(10);
/// The queue of one link, and a bit.
const MEMORY: u64 = 9 * 1_024 * 1_024;

/// A peer that lives and does not read.
struct Slow {
    awake: Sender<()>,
    heart: JoinHandle<()>,
    /// Ticks that were accepted for it, until its queue was full.
    accepted: u64,
}

impl Slow {
    fn join(server: &Node) -> Self {
        // It grants whatever may be sent, so that the queue is what limits it.
        let greedy = Announced { tick_window: 1 << 40, ..MODEST };
        let mut peer = Impostor::join_as(server.local_addr().unwrap(), "slow", greedy);
        let (awake, over) = channel::<()>();
        let beat = move || {
            while over.recv_timeout(Duration::from_millis(500)) == Err(RecvTimeoutError::Timeout) {
                peer.say(message(HEARTBEAT, 0, [0_u64; 4].map(Value::from)));
            }
        };
        let heart = thread::Builder::new().name("slow".into()).spawn(beat).unwrap();
        let accepted = fill(server);
        Self { awake, heart, accepted }
    }

    fn leave(self) {
        drop(self.awake);
        self.heart.join().unwrap();
    }
}

/// Ticks until the queue stays full: the kernel takes some for a while.
fn fill(server: &Node) -> u64 {
    let (mut accepted, mut refused) = (0, 0);
    while refused < 20 {
        // Each has bytes of its own: what is shared would cost no memory.
        match server.tick("slow", "bulk", &Bytes::from(vec![5; 65_000])) {
            Ok(()) => (accepted, refused) = (accepted + 1, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Backpressure, "{error}");
                refused += 1;
                let_pass(Duration::from_millis(1));
            }
        }
    }
    accepted
}

/// What all workers together achieve in one phase: how long each of their requests took, in microseconds.
fn pace(workers: &[Node]) -> Vec<u64> {
    let end = Instant::now() + PHASE;
    let work = |node: &Node| {
        let mut took = Vec::new();
        while Instant::now() < end {
            let began = Instant::now();
            assert_eq!(node.request::<u64, _>("s", "echo", &7_u64).unwrap(), 7);
            took.push(began.elapsed().as_micros() as u64);
        }
        took
    };
    thread::scope(|scope| {
        let working: Vec<_> = workers.iter().map(|node| scope.spawn(|| work(node))).collect();
        working.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

/// The work of the others without and with the slow peer, in turns: the median of the ratios of their throughput, and both p99.
fn compare(server: &Node, workers: &[Node]) -> (f64, u64, u64) {
    let (mut ratios, mut without, mut with) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let before = pace(workers);
        let slow = Slow::join(server);
        let during = pace(workers);
        slow.leave();
        eventually("the slow peer is gone", || server.peers().len() == WORKERS);
        ratios.push(during.len() as f64 / before.len() as f64);
        without.extend(before);
        with.extend(during);
    }
    ratios.sort_by(f64::total_cmp);
    (ratios[PAIRS / 2], p99(&mut without), p99(&mut with))
}

fn p99(took: &mut [u64]) -> u64 {
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// A child, so that its memory is its own: a server, eight workers, and a peer that stops reading.
pub(crate) fn throng(_: &str) {
    let server = listening("s");
    server.on_request("echo", |request: Request<u64>| Ok(request.data)).unwrap();
    let workers: Vec<Node> = (0..WORKERS).map(|n| joined(&format!("w{n}"), &server)).collect();
    drop(pace(&workers));
    let before = census::memory().unwrap_or_default();

    // With the time that every program has.
    let mut events = server.events();
    let began = Instant::now();
    let slow = Slow::join(&server);
    let full = Instant::now();
    let mut most = 0;
    let mut seen = Vec::new();
    while !seen.iter().any(|event| matches!(event, NodeEvent::SlowPeer { .. })) {
        seen.extend(events.next_timeout(Duration::from_millis(50)));
        most = census::memory().unwrap_or_default().max(most);
        assert_eq!(workers[0].request::<u64, _>("s", "echo", &7_u64).unwrap(), 7);
    }
    let (since_began, since_full) = (began.elapsed(), full.elapsed());
    assert!(since_began >= STALL, "let go after {since_began:?}");
    assert!(since_full <= STALL + Duration::from_secs(1), "let go after {since_full:?}");
    let grown = most.saturating_sub(before);
    assert!(grown <= MEMORY, "{grown} bytes more");
    let sums: u64 = seen.iter().map(undelivered).sum();
    assert_eq!(sums, slow.accepted, "what is reported and what was accepted");
    say(format!("let go {since_full:?} after it was full, {grown} bytes more"));
    slow.leave();

    let (ratio, without, with) = measured(|| {
        let seen = compare(&server, &workers);
        let (ratio, without, with) = seen;
        if ratio >= 0.95 && with <= 2 * without { Ok(seen) } else { Err(format!("{seen:?}")) }
    });
    say(format!("{ratio:.3} of the throughput; p99 {with} µs instead of {without} µs"));
}

fn undelivered(event: &NodeEvent) -> u64 {
    match event {
        NodeEvent::PeerLeft { id, reason, .. } => {
            assert_eq!((id.as_str(), reason), ("slow", &LeftReason::SlowPeer));
            0
        }
        NodeEvent::Undelivered { unwritten, unconfirmed, .. } => unwritten + unconfirmed,
        _ => 0,
    }
}

// covers P18, P19
#[test]
fn a_peer_that_stops_reading_costs_the_others_nothing_and_is_let_go_after_10_s() {
    bounded("slow peer", LIMIT, || {
        let mut child = Process::start("throng", "");
        while let Some(line) = child.hear() {
            println!("{line}");
        }
        child.succeed();
    });
}
