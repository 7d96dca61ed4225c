//! The life of two nodes: they find each other in any order, tell about themselves, lose each other, and end with a report.

use std::time::Duration;

use crossbeam_channel::unbounded;
use threadmesh::{Error, Node, NodeEvent, Request, Tick, options};

const PATIENCE: Duration = Duration::from_secs(10);

fn worker(address: impl std::fmt::Display) -> Result<Node, Error> {
    Node::builder()
        .id("worker")
        .options(options! { "role": "worker", "load": 0 })
        .on_request("double", |request: Request<u64>| Ok(request.data * 2))
        .on_tick("note", |_: Tick<String>| ())
        .bind(address.to_string())
        .start()
}

fn main() -> Result<(), Error> {
    // Whoever wants to know what happens says so before it does. The closure runs on a thread of its own.
    let client = Node::builder()
        .id("client")
        .reconnect_pauses(Duration::from_millis(20), Duration::from_millis(100))
        .start()?;
    let (tell, told) = unbounded();
    client.on_event(move |event| {
        let _ = tell.send(event.clone());
    })?;
    let expect = |what: fn(&NodeEvent) -> bool| {
        while let Ok(event) = told.recv_timeout(PATIENCE) {
            println!("{event:?}");
            if what(&event) {
                return;
            }
        }
        panic!("what should have happened did not");
    };

    // Port 0 lets the system choose. A connect says who answered, and with which options.
    let first = worker("127.0.0.1:0")?;
    let address = first.local_addr()?;
    let peer = client.connect(address)?;
    assert_eq!((peer.id.as_str(), peer.options.get_str("role")), ("worker", Some("worker")));
    expect(|event| matches!(event, NodeEvent::PeerJoined(_)));

    // Changed options reach every peer at once.
    first.update_options(&options! { "load": 7 })?;
    expect(|event| matches!(event, NodeEvent::OptionsChanged { .. }));
    assert_eq!(client.peer_options("worker").and_then(|options| options.get_u64("load")), Some(7));

    // A tick is fire and forget; a flush waits until the peer's handlers are done with all of them.
    client.tick("worker", "note", "something to write down")?;
    client.flush("worker", PATIENCE)?;

    // The worker ends, cleanly, and another one takes its place: the client comes back by itself.
    let report = first.stop()?;
    assert!(report.is_clean());
    expect(|event| matches!(event, NodeEvent::PeerLeft { .. }));
    assert_eq!(
        client.request::<u64, _>("worker", "double", &1).unwrap_err().code(),
        "NODE_NOT_FOUND"
    );
    let _second = worker(address)?;
    client.wait_for_service("double", PATIENCE)?;
    expect(|event| matches!(event, NodeEvent::Reconnected { .. }));
    assert_eq!(client.request::<u64, _>("worker", "double", &21)?, 42);

    // The end: what was cut off stands in the report, here nothing. Every later call is an error.
    println!("{:?}", client.stop()?);
    expect(|event| matches!(event, NodeEvent::Stopped));
    assert_eq!(client.tick("worker", "note", "too late").unwrap_err().code(), "CLOSED");
    Ok(())
}
