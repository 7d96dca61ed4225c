//! Ticks towards a receiver that cannot keep up, or dies: what is full says so, nobody is lost for it, and the sums are exact.
//!
//! Timings are shortened so that five liveness timeouts pass within seconds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use threadmesh::{Bytes, ErrorKind, Events, Node, NodeEvent, Request, Tick};

use crate::processes::brisk;
use crate::support::process::{Process, say};
use crate::support::{SOON, bounded, census, expect_event, listening, measured};

const LIMIT: Duration = Duration::from_secs(60);
/// Five times the liveness timeout.
const LONG: Duration = Duration::from_secs(5);
const QUICK: Duration = Duration::from_millis(100);
/// The first window of a link, which does not grow while nothing is finished.
const WINDOW: u64 = 64 * 1_024;
/// What the receiver may need beside the window, and a page here and there that its allocator keeps.
const MEMORY: u64 = 1_024 * 1_024 + 256 * 1_024;

/// What the receiver tells of itself: ticks handled, the slowest question in microseconds, memory, peers lost.
type Tally = (u64, u64, u64, u64);

/// A child: joins the address. Its handlers of `held` block until `open`, those of `asks` ask their sender.
pub(crate) fn sluggish(address: &str) {
    let node = brisk("r").start().unwrap();
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let count = || Arc::new(AtomicU64::new(0));
    let (handled, slowest, lost) = (count(), count(), count());

    let (held, done) = (Arc::clone(&gate), Arc::clone(&handled));
    let hold = move |_: Tick<Bytes>| {
        let shut = held.0.lock().unwrap();
        drop(held.1.wait_timeout_while(shut, LIMIT, |open| !*open).unwrap());
        done.fetch_add(1, Relaxed);
    };
    node.on_tick("held", hold).unwrap();
    let (done, slow, handle) = (Arc::clone(&handled), Arc::clone(&slowest), node.handle());
    let ask = move |tick: Tick<Bytes>| {
        let began = Instant::now();
        let len = handle.request::<usize, _>(tick.sender(), "len", &tick.data).unwrap();
        assert_eq!(len, tick.data.len());
        slow.fetch_max(began.elapsed().as_micros() as u64, Relaxed);
        done.fetch_add(1, Relaxed);
    };
    node.on_tick("asks", ask).unwrap();
    let handle = node.handle();
    let back = move |request: Request<Bytes>| {
        Ok(handle.request::<usize, _>(request.sender(), "len", &request.data)?)
    };
    node.on_request("back", back).unwrap();
    let open = move |_: Request<()>| {
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        Ok(())
    };
    node.on_request("open", open).unwrap();
    let left = Arc::clone(&lost);
    let tally = move |_: Request<()>| -> Result<Tally, threadmesh::HandlerError> {
        let memory = census::memory().unwrap_or_default();
        Ok((handled.load(Relaxed), slowest.swap(0, Relaxed), memory, left.load(Relaxed)))
    };
    node.on_request("tally", tally).unwrap();
    let events = node.events();
    node.connect(address).unwrap();
    events.filter(|event| matches!(event, NodeEvent::PeerLeft { .. })).for_each(|_| {
        lost.fetch_add(1, Relaxed);
    });
}

/// The sender, what happens to it, and its receiver.
fn house() -> (Node, Events, Process) {
    let sender = brisk("s").bind("127.0.0.1:0").start().unwrap();
    sender.on_request("len", |request: Request<Bytes>| Ok(request.data.len())).unwrap();
    let receiver = Process::start("sluggish", &sender.local_addr().unwrap().to_string());
    sender.wait_for_peer("r", SOON).unwrap();
    let mut events = sender.events();
    let told = |event: &NodeEvent| matches!(event, NodeEvent::ServicesChanged { .. }).then_some(());
    while sender.request::<Tally, _>("r", "tally", &()).is_err() {
        expect_event(&mut events, told);
    }
    (sender, events, receiver)
}

fn tally(sender: &Node) -> Tally {
    sender.request("r", "tally", &()).unwrap()
}

/// Ticks in a loop until it is over; how many were accepted and how many refused.
fn flood(sender: &Node, event: &str, data: &Bytes, over: impl Fn() -> bool) -> (u64, u64) {
    let (mut accepted, mut refused) = (0, 0);
    while !over() {
        match sender.tick("r", event, data) {
            Ok(()) => accepted += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Backpressure, "{error}");
                refused += 1;
                thread::park_timeout(Duration::from_micros(50));
            }
        }
    }
    (accepted, refused)
}

fn nothing_lost(events: &mut Events) {
    while let Some(event) = events.try_next() {
        let lost = matches!(event, NodeEvent::PeerLeft { .. } | NodeEvent::Undelivered { .. });
        assert!(!lost, "{event:?}");
    }
}

// covers P12, P18, P19
#[test]
fn a_receiver_that_blocks_costs_its_sender_backpressure_and_nobody_a_peer() {
    bounded("blocked receiver", LIMIT, || {
        let (sender, mut events, _receiver) = house();
        let kilobyte = Bytes::from(vec![7; 1_024]);
        let ask = || {
            let began = Instant::now();
            assert_eq!(sender.request::<usize, _>("r", "back", &kilobyte).unwrap(), 1_024);
            began.elapsed()
        };
        for _ in 0..200 {
            ask();
        }
        let before = tally(&sender);

        let began = Instant::now();
        let over = AtomicBool::new(false);
        let (mut delays, mut most) = (Vec::new(), 0);
        let (accepted, refused) = thread::scope(|scope| {
            let over = &over;
            let flooding = scope.spawn(|| flood(&sender, "held", &kilobyte, || over.load(Relaxed)));
            while began.elapsed() < LONG {
                delays.push(ask());
                most = tally(&sender).2.max(most);
                thread::park_timeout(Duration::from_millis(1));
            }
            over.store(true, Relaxed);
            flooding.join().unwrap()
        });
        delays.sort_unstable();
        let late = delays[delays.len() * 99 / 100];
        assert!(late < QUICK, "a request there and back took {late:?}");
        let grown = most.saturating_sub(before.2);
        assert!(grown <= WINDOW + MEMORY, "the receiver grew by {grown} bytes");
        assert!(
            refused > 0 && accepted * 1_024 <= WINDOW,
            "{accepted} accepted, {refused} refused"
        );

        sender.request::<(), _>("r", "open", &()).unwrap();
        sender.flush("r", SOON).unwrap();
        let after = tally(&sender);
        assert_eq!(after.0 - before.0, accepted, "handled and accepted");
        assert_eq!(after.3, 0, "the receiver lost its sender");
        nothing_lost(&mut events);
        println!("{accepted} accepted, {refused} refused, p99 {late:?}, {grown} bytes more");
    });
}

// covers P27
#[test]
fn a_tick_handler_may_ask_a_sender_whose_window_is_full() {
    bounded("asking back", LIMIT, || {
        let (sender, mut events, _receiver) = house();
        let data = Bytes::from(vec![7; 4_096]);
        let mut before = tally(&sender);
        let slowest = measured(|| {
            let end = Instant::now() + Duration::from_secs(1);
            let (accepted, refused) = flood(&sender, "asks", &data, || Instant::now() >= end);
            sender.flush("r", SOON).unwrap();
            let after = tally(&sender);
            assert!(refused > 0, "the window was never full");
            assert_eq!(after.0 - before.0, accepted, "handled and accepted");
            before = after;
            nothing_lost(&mut events);
            let slowest = Duration::from_micros(after.1);
            if slowest < QUICK { Ok(slowest) } else { Err(format!("a question took {slowest:?}")) }
        });
        println!("the slowest question back took {slowest:?}");
    });
}

/// A child: joins the address, and tells of each tick when its handler begins and when it ends.
pub(crate) fn teller(address: &str) {
    let node = brisk("r").start().unwrap();
    let tell = |tick: Tick<u64>| {
        say(format!("began {}", tick.data));
        say(format!("ended {}", tick.data));
    };
    node.on_tick("n", tell).unwrap();
    let mut events = node.events();
    node.connect(address).unwrap();
    events.find(|event| matches!(event, NodeEvent::PeerLeft { .. }));
}

// covers P33, P40
#[test]
fn when_the_receiver_is_killed_every_tick_is_accounted_for() {
    bounded("killed receiver", LIMIT, || {
        for lines in [1, 700, 1_500, 3_000, 6_000] {
            let sender = listening("s");
            let mut receiver = Process::start("teller", &sender.local_addr().unwrap().to_string());
            sender.wait_for_peer("r", SOON).unwrap();
            let mut events = sender.events();
            let (accepted, said) = thread::scope(|scope| {
                let hearing = scope.spawn(|| hear_and_kill(&mut receiver, lines));
                let accepted = tick_until_gone(&sender);
                (accepted, hearing.join().unwrap())
            });
            let (unwritten, unconfirmed) = undelivered(&sender, &mut events);

            let [began, ended] = ["began ", "ended "].map(|what| {
                let numbers = said.iter().filter_map(|line| line.strip_prefix(what));
                // Each once and in order, without a gap: what ran is where a sequence was cut.
                (0_u64..).zip(numbers).map(|(n, said)| assert_eq!(said, n.to_string())).count()
            });
            let confirmed = accepted - unwritten - unconfirmed;
            let (began, ended) = (began as u64, ended as u64);
            let sums = format!(
                "{accepted} accepted = {confirmed} confirmed + {unconfirmed} unconfirmed + {unwritten} \
                 unwritten; {began} began, {ended} ended"
            );
            assert!(confirmed <= ended, "confirmed before it was done: {sums}");
            assert!(began <= accepted - unwritten, "ran and was never written: {sums}");
            assert!(ended <= began && began > 0, "{sums}");
            println!("{sums}");
        }
    });
}

/// All that the receiver says; it is killed after so many lines.
fn hear_and_kill(receiver: &mut Process, lines: usize) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(line) = receiver.hear() {
        said.push(line);
        if said.len() == lines {
            receiver.kill();
        }
    }
    said
}

/// Numbers ticks from zero on until there is no peer any more; how many were accepted.
fn tick_until_gone(sender: &Node) -> u64 {
    let mut accepted = 0;
    loop {
        match sender.tick("r", "n", &accepted) {
            Ok(()) => accepted += 1,
            Err(error) if error.kind() == ErrorKind::Backpressure => {
                thread::park_timeout(Duration::from_micros(50));
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NodeNotFound, "{error}");
                return accepted;
            }
        }
    }
}

/// What was reported as not delivered, in sum.
fn undelivered(sender: &Node, events: &mut Events) -> (u64, u64) {
    // When this is done, so is everything that was posted before.
    sender.disconnect("r").unwrap();
    let mut sum = (0, 0);
    while let Some(event) = events.try_next() {
        assert!(!matches!(event, NodeEvent::Missed(_)), "{event:?}");
        if let NodeEvent::Undelivered { unwritten, unconfirmed, .. } = event {
            sum = (sum.0 + unwritten, sum.1 + unconfirmed);
        }
    }
    sum
}
