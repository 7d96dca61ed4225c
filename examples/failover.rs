//! A primary and a secondary, each with a time of its own: the secondary is asked when the primary cannot answer.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use threadmesh::{Error, ErrorKind, Failover, Node, NodeEvent, Request, Target};

fn region(id: &str) -> Result<Node, Error> {
    let name = id.to_owned();
    Node::builder()
        .id(id)
        .on_request("where", move |_: Request<()>| Ok(name.clone()))
        .bind("127.0.0.1:0")
        .start()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (east, west) = (region("us-east-1")?, region("eu-west-1")?);
    let client = Node::builder().id("web").start()?;
    client.connect(east.local_addr()?)?;
    client.connect(west.local_addr()?)?;

    let primary = || client.to("us-east-1").timeout(Duration::from_millis(300));
    let secondary = || client.to("eu-west-1").timeout(Duration::from_secs(5));

    // All is well: the first target answers.
    let careful = Failover::first(primary()).then(secondary());
    assert_eq!(careful.request::<String, _>("where", &())?, "us-east-1");

    // The primary hangs. The request may have run there, so by itself the failover does not go on…
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    east.on_request("order", move |_: Request<()>| {
        let held = released.lock().map(|released| released.recv_timeout(Duration::from_secs(5)));
        drop(held);
        Ok("ordered in the east".to_owned())
    })?;
    west.on_request("order", |_: Request<()>| Ok("ordered in the west".to_owned()))?;
    let error = careful.request::<String, _>("order", &()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestTimeout);
    println!("not asked elsewhere: {error}");

    // …and here the program says that ordering twice does no harm.
    let bold =
        Failover::first(primary().idempotent()).then(secondary()).within(Duration::from_secs(6));
    println!("{}", bold.request::<String, _>("order", &())?);
    assert_eq!(client.policy_counts().failovers, 1);
    drop(release);

    // The primary is gone: certainly nothing ran there, so any request goes on, at once.
    let mut departures =
        client.events().filter(|event| matches!(event, NodeEvent::PeerLeft { .. }));
    east.stop()?;
    departures.next().ok_or("the client is gone, too")?;
    let reply = careful.request_reply::<String, _>("where", &())?;
    assert_eq!(reply.handled_by, "eu-west-1");
    println!("{} answers after {:?}", reply.handled_by, reply.elapsed);

    // Both are gone: the last error, with the number of attempts.
    west.stop()?;
    departures.next().ok_or("the client is gone, too")?;
    let error = careful.request::<String, _>("where", &()).unwrap_err();
    assert_eq!(error.context("attempts"), Some("2"));
    println!("{error}");
    Ok(())
}
