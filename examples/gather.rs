//! Scatter and gather: one question to all caches at once. What comes back is taken as it arrives, put together, or only as much of it as
//! is needed; who failed and who is missing is known by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use threadmesh::{Error, ErrorKind, HandlerError, Node, Outcome, Request, filter, options};

type Fields = BTreeMap<String, String>;

/// A cache that knows one field of every user.
fn cache(id: &str, field: &'static str, value: &'static str) -> Result<Node, Error> {
    Node::builder()
        .id(id)
        .options(options! { "role": "cache" })
        .on_request("cache:get", move |_: Request<String>| {
            Ok(Fields::from([(field.to_owned(), value.to_owned())]))
        })
        .start()
}

fn main() -> Result<(), Error> {
    let client = Node::builder().id("client").bind("127.0.0.1:0").start()?;
    let mut nodes = vec![
        cache("names", "name", "Ada")?,
        cache("towns", "town", "London")?,
        cache("trades", "trade", "mathematics")?,
        Node::builder()
            .id("broken")
            .options(options! { "role": "cache" })
            .on_request("cache:get", |_: Request<String>| {
                Err::<Fields, _>(HandlerError::new("DISK_FULL", "no cache today"))
            })
            .start()?,
    ];
    for node in &nodes {
        node.connect(client.local_addr()?)?;
    }
    let caches = client.all(filter! { "role": "cache" }).timeout(Duration::from_secs(5));

    // As they arrive: each with the name of who sent it, and an error of one is the result of that one only.
    for (cache, result) in caches.request::<Fields, _>("cache:get", "user:123")? {
        match result {
            Ok(reply) => println!("{cache}: {:?} after {:.0?}", reply.value, reply.elapsed),
            Err(error) => println!("{cache}: {error}"),
        }
    }

    // All together: answers and errors apart, so that what there is can be merged.
    let gathered = caches.request::<Fields, _>("cache:get", "user:123")?.finish();
    let (who, why) = &gathered.errors[0];
    assert_eq!((who.as_str(), why.code()), ("broken", "DISK_FULL"));
    assert!(!gathered.is_complete(), "complete would be all four");
    let merged: Fields = gathered.into_values().flatten().collect();
    assert_eq!(merged.values().collect::<Vec<_>>(), ["Ada", "London", "mathematics"]);

    // Only as many as are needed; the others are told that nobody waits for them any more.
    let first = caches.clone().first(1).request::<Fields, _>("cache:get", "user:123")?.finish();
    assert!(first.is_complete() && first.replies.len() == 1);
    // A quorum also ends when it cannot be reached any more: here one fails, so four of four is out of reach.
    let quorum = |of| caches.clone().quorum(of).request::<Fields, _>("cache:get", "user:123");
    assert!(quorum(3)?.finish().is_complete());
    assert!(!quorum(4)?.finish().is_complete());

    // One more takes every question and answers none, because it keeps what it would have to answer with.
    let kept = Arc::new(Mutex::new(Vec::new()));
    let silent = Node::builder().id("silent").options(options! { "role": "cache" }).start()?;
    silent.on_request("cache:get", move |_: Request<String>| {
        let kept = Arc::clone(&kept);
        Outcome::<Fields>::later(move |responder| kept.lock().expect("no panic").push(responder))
    })?;
    silent.connect(client.local_addr()?)?;
    nodes.push(silent);
    let soon = caches.timeout(Duration::from_secs(1));
    let gathered = soon.request::<Fields, _>("cache:get", "user:123")?.finish();
    assert!(gathered.replies.len() == 3 && gathered.missing == ["silent"]);
    assert_eq!(gathered.errors.last().map(|(_, e)| e.kind()), Some(ErrorKind::RequestTimeout));
    Ok(())
}
