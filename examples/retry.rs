//! Repeating a request: what certainly did not run by itself, what may have run only if the call says that it does no harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use threadmesh::{
    Budget, ErrorKind, HandlerError, Node, NodeEvent, PolicyStep, Request, Retry, Target,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Node::builder().id("bank").bind("127.0.0.1:0").start()?;
    let charged = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&charged);
    // The first two charges are slow, the third is refused, and from then on all is well.
    server.on_request("charge", move |request: Request<u32>| {
        match count.fetch_add(1, SeqCst) + 1 {
            1 | 2 => {
                // Until nobody waits for the answer any more.
                while !request.is_cancelled() {
                    std::thread::yield_now();
                }
                Ok(0)
            }
            3 => Err(HandlerError::new("BUSY_TELLER", "come back in a moment")),
            _ => Ok(request.data),
        }
    })?;
    let client = Node::builder().id("shop").start()?;
    client.connect(server.local_addr()?)?;
    let mut events = client.events();

    // At most one repeat for five requests over time, ten to begin with: a bank in trouble is not drowned in repeats.
    let budget = Budget::new();
    let retry = Retry::new().first_pause(Duration::from_millis(20)).budget(&budget);
    let bank = || client.to("bank").timeout(Duration::from_millis(500));

    // A charge that timed out may have been made. It is not repeated, and the error says so.
    let error = bank().retry(&retry).request::<u32, _>("charge", &5).unwrap_err();
    assert_eq!((error.kind(), charged.load(SeqCst)), (ErrorKind::RequestTimeout, 1));
    assert!(error.may_have_run());
    println!("not repeated: {error}");

    // Here the program vouches that charging twice does no harm, and says which of the bank's own errors it may repeat.
    let safe = bank().idempotent().retry_if(|error| error.code() == "BUSY_TELLER");
    let cents: u32 = safe.retry(&retry).request("charge", &5)?;
    assert_eq!((cents, charged.load(SeqCst)), (5, 4));
    while let Some(event) = events.try_next() {
        if let NodeEvent::Policy(PolicyStep::Repeated { attempt, error, .. }) = event {
            println!("attempt {attempt}, because of {error}");
        }
    }

    // What never ran is repeated without asking; in the end the last error comes back, with the number of attempts.
    let nobody = client.to("other bank").retry(&retry.attempts(4));
    let error = nobody.request::<u32, _>("charge", &5).unwrap_err();
    assert_eq!((error.kind(), error.context("attempts")), (ErrorKind::NodeNotFound, Some("4")));
    assert!(!error.may_have_run());
    println!("given up: {error}");
    assert_eq!(client.policy_counts().repeats, 5);
    Ok(())
}
