//! Hedged requests: when an answer takes long, a second copy is sent; the first answer counts, and the other copy is cancelled.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use threadmesh::{ErrorKind, Hedge, Node, Request, Target};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Node::builder().id("search").bind("127.0.0.1:0").start()?;
    let (tell, told) = channel();
    let asked = AtomicU32::new(0);
    // Every tenth request gets stuck, until somebody tells it that nobody waits for it.
    server.on_request("find", move |request: Request<String>| {
        if asked.fetch_add(1, SeqCst) % 10 == 0 {
            while !request.is_cancelled() {
                std::thread::yield_now();
            }
            let _ = tell.send(request.data.clone());
        }
        Ok(format!("found {}", request.data))
    })?;
    let client = Node::builder().id("web").start()?;
    client.connect(server.local_addr()?)?;

    // After 50 ms a second copy; over time at most one for five requests, and ten to begin with.
    let hedge = Hedge::new().after(Duration::from_millis(50)).ratio(0.2);

    // The copy runs beside the first, so the call must say that this does no harm.
    let error = client.to("search").hedge(&hedge).request::<String, _>("find", "tea").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    println!("{error}");

    let search = client.to("search").idempotent().timeout(Duration::from_secs(10)).hedge(&hedge);
    let mut slowest = Duration::ZERO;
    for number in 0..50 {
        let began = Instant::now();
        let found: String = search.request("find", &format!("tea {number}"))?;
        assert_eq!(found, format!("found tea {number}"));
        slowest = slowest.max(began.elapsed());
    }

    // Nobody waited for the ten seconds that a stuck request would have taken.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let counts = client.policy_counts();
    assert!(counts.hedges_won >= 1, "{counts:?}");
    assert!(counts.hedges_sent <= 10 + 50 / 5, "{counts:?}");
    println!("slowest of 50: {slowest:?}, with {} copies sent", counts.hedges_sent);

    // Each that lost was told.
    let given_up = told.recv_timeout(Duration::from_secs(5))?;
    println!("{given_up:?} was given up by its handler");
    Ok(())
}
