//! Two nodes in one process: a question, a push without an answer, and an error that says whether anything ran.

use std::time::Duration;

use crossbeam_channel::unbounded;
use serde::{Deserialize, Serialize};
use threadmesh::{ErrorKind, HandlerError, Node, Request, Tick};

#[derive(Serialize, Deserialize)]
struct Greeting {
    name: String,
    excited: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The one that answers. Port 0 lets the system choose.
    let server = Node::builder().id("greeter").bind("127.0.0.1:0").start()?;
    server.on_request("greet", |request: Request<Greeting>| {
        let Greeting { name, excited } = request.data;
        if name.is_empty() {
            return Err(HandlerError::new("NO_NAME", "whom shall I greet?"));
        }
        Ok(format!("hello, {name}{}", if excited { "!" } else { "." }))
    })?;
    let (tell, told) = unbounded();
    server.on_tick("log:*", move |tick: Tick<String>| {
        let _ = tell.send(tick.data);
    })?;

    // The one that asks. When `connect` returns, each of the two knows the other.
    let client = Node::builder().id("web").start()?;
    client.connect(server.local_addr()?)?;

    // A request blocks until the answer or its deadline.
    let greeting = Greeting { name: "Ada".into(), excited: true };
    let answer: String = client.request("greeter", "greet", &greeting)?;
    println!("{answer}");

    // A tick asks for nothing.
    client.tick("greeter", "log:visit", &"Ada was here")?;
    println!("the greeter noted: {}", told.recv_timeout(Duration::from_secs(5))?);

    // A handler's error arrives with its own code; ours say what happened and whether it ran.
    let nameless = Greeting { name: String::new(), excited: false };
    let error = client.request::<String, _>("greeter", "greet", &nameless).unwrap_err();
    assert_eq!(error.code(), "NO_NAME");
    println!("{error}");
    let error = client.request::<String, _>("nobody", "greet", &greeting).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NodeNotFound);
    assert!(!error.may_have_run());
    println!("{error}");
    Ok(())
}
