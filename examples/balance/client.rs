//! The client: the same job with one strategy after the other, and the table of how long each took.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use threadmesh::{Error, LeastPending, Node, PowerOfTwo, Random, RoundRobin, Strategy, filter};

use crate::Outcome;
use crate::staff::{MILLIS, SLOW, Staff, WORKERS};

/// Calls in one job, and how many of them are under way at a time.
const CALLS: usize = 600;
const OPEN: usize = 30;
/// What the strategies that look at the load may take of the time that chance takes.
const MOST: f64 = 0.6;
/// Machines have bad moments, so a bad result is measured again.
const ATTEMPTS: usize = 3;

pub(crate) fn run() -> Outcome<()> {
    let staff = Staff::start()?;
    let addresses = staff.addresses()?;
    println!(
        "{CALLS} calls, {OPEN} at a time, to {WORKERS} workers: {} ms a call, {SLOW} {} ms",
        MILLIS.1, MILLIS.0
    );
    let mut outcome = Ok(());
    for attempt in 1..=ATTEMPTS {
        outcome = measure(&addresses);
        match &outcome {
            Ok(()) => break,
            Err(why) => println!("attempt {attempt} of {ATTEMPTS}: {why}"),
        }
    }
    staff.end()?;
    outcome
}

/// The whole table.
fn measure(addresses: &[String]) -> Outcome<()> {
    let strategies: [(&'static str, Arc<dyn Strategy>); 4] = [
        ("Random", Arc::new(Random)),
        ("RoundRobin", Arc::new(RoundRobin::new())),
        ("LeastPending", Arc::new(LeastPending)),
        ("PowerOfTwo", Arc::new(PowerOfTwo)),
    ];
    println!("\n{:12} {:>8} {:>9} {:>15}", "strategy", "time", "of Random", "calls to slow");
    let mut random = None;
    let mut wrong = Vec::new();
    for (name, strategy) in strategies {
        let (took, slow) = job(strategy, addresses)?;
        let part = took.as_secs_f64() / random.get_or_insert(took).as_secs_f64();
        println!("{name:12} {:>5.0} ms {part:>9.2} {slow:>15}", took.as_secs_f64() * 1e3);
        if matches!(name, "LeastPending" | "PowerOfTwo") && part > MOST {
            wrong.push(format!("{name} took {part:.2} of the time of Random, more than {MOST}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ").into()) }
}

/// The job with one strategy: how long it took, and how many calls the slow worker got. The client is new each time, so that it knows nothing of
/// the workers yet.
fn job(strategy: Arc<dyn Strategy>, addresses: &[String]) -> Outcome<(Duration, usize)> {
    let node = Node::builder().strategy(strategy).start()?;
    for address in addresses {
        node.connect(address.as_str())?;
    }
    let (next, slow) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        let callers: Vec<_> =
            (0..OPEN).map(|_| scope.spawn(|| call(&node, &next, &slow))).collect();
        callers.into_iter().try_for_each(|caller| caller.join().expect("a caller does not panic"))
    })?;
    let took = began.elapsed();
    node.stop()?;
    Ok((took, slow.into_inner()))
}

/// One caller: one call after the other, until all are made.
fn call(node: &Node, next: &AtomicUsize, slow: &AtomicUsize) -> Result<(), Error> {
    let workers = node.any(filter! { "role": "worker" }).timeout(Duration::from_secs(30));
    loop {
        let number = next.fetch_add(1, Relaxed);
        if number >= CALLS {
            return Ok(());
        }
        let reply = workers.request_reply::<usize, _>("job", &number)?;
        assert_eq!(reply.value, number, "an answer to this call and no other");
        slow.fetch_add(usize::from(reply.handled_by == SLOW), Relaxed);
    }
}
