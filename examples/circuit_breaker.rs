//! A circuit breaker: a service that keeps failing is left in peace for a while, then tried with one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use threadmesh::{
    Breaker, ErrorKind, HandlerError, Node, NodeEvent, PolicyStep, Request, Retry, Target,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Node::builder().id("prices").bind("127.0.0.1:0").start()?;
    let (asked, ill) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(true)));
    let (count, is_ill) = (Arc::clone(&asked), Arc::clone(&ill));
    server.on_request("price", move |_: Request<String>| {
        count.fetch_add(1, SeqCst);
        if is_ill.load(SeqCst) { Err(HandlerError::new("NO_DATABASE", "not now")) } else { Ok(42) }
    })?;
    let client = Node::builder().id("shop").start()?;
    client.connect(server.local_addr()?)?;
    let mut events = client.events();

    // One breaker for the service, shared by every call and every thread. Five failures in a row open it, for 60 s unless said.
    let open_for = Duration::from_millis(300);
    let breaker = Breaker::new("prices").open_for(open_for);
    let prices = client.to("prices").guard(&breaker);
    for _ in 0..5 {
        let error = prices.request::<u32, _>("price", "tea").unwrap_err();
        assert_eq!(error.code(), "NO_DATABASE");
    }

    // Open: nothing is sent, and the error says for how long. (On a machine that was busy meanwhile it may be over.)
    if breaker.is_open() {
        let error = prices.request::<u32, _>("price", "tea").unwrap_err();
        if error.kind() == ErrorKind::CircuitOpen {
            assert!(!error.may_have_run());
            assert_eq!(asked.load(SeqCst), 5);
            println!("{error}");
        }
    }

    // A retry around it pauses while it is open. What it sends then is the probe, and its success closes the breaker.
    ill.store(false, SeqCst);
    let patient = Retry::new().attempts(100).first_pause(open_for / 4).longest_pause(open_for / 4);
    let price: u32 = client.to("prices").guard(&breaker).retry(&patient).request("price", "tea")?;
    assert_eq!((price, asked.load(SeqCst)), (42, 6));
    assert!(!breaker.is_open());

    while let Some(event) = events.try_next() {
        match event {
            NodeEvent::Policy(PolicyStep::Repeated { .. }) => {}
            NodeEvent::Policy(step) => println!("{step}"),
            _ => {}
        }
    }
    let counts = client.policy_counts();
    assert_eq!((counts.breakers_opened, counts.breakers_half_opened), (1, 1));
    assert_eq!(counts.breakers_closed, 1);
    println!("{} requests were refused while it was open", counts.breaker_refusals);
    Ok(())
}
