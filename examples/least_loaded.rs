//! To whoever has least to do, in three ways: ask everybody and send to the least; a strategy of one's own over what peers tell of
//! themselves; and the crate's strategy that counts what this node itself has under way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use threadmesh::{
    Candidate, Candidates, Error, Filter, LeastPending, Node, Outcome, Reply, Request, Strategy,
    filter, options, strategy_fn,
};

/// A worker with a number of jobs in its queue: it tells that in its options, and when it is asked.
fn worker(id: &'static str, queue: u64) -> Result<Node, Error> {
    let held = Arc::new(Mutex::new(Vec::new()));
    Node::builder()
        .id(id)
        .options(options! { "role": "worker", "queue": queue })
        .on_request("system:get_load", move |_: Request<()>| Ok(queue))
        .on_request("job", move |_: Request<()>| Ok(id))
        // A job that takes until the end of the example.
        .on_request("long_job", move |_: Request<()>| {
            let held = Arc::clone(&held);
            Outcome::<()>::later(move |responder| held.lock().expect("no panic").push(responder))
        })
        .start()
}

/// Asks all that match how much they have to do, and sends to the one with least. Who does not answer soon is not chosen.
fn request_least_loaded(node: &Node, workers: &Filter) -> Result<Reply<String>, Error> {
    let loads = node.all(workers).timeout(Duration::from_secs(3));
    let loads = loads.request::<u64, _>("system:get_load", &())?.finish();
    match loads.replies.iter().min_by_key(|reply| reply.value) {
        Some(least) => node.to(&least.handled_by).request_reply("job", &()),
        // Nobody has answered. The ordinary call says what is the matter.
        None => node.any(workers).request_reply("job", &()),
    }
}

/// The same without asking: every worker keeps its options up to date, so that this node knows already.
struct ShortestQueue;

impl Strategy for ShortestQueue {
    fn choose<'a>(&self, among: &Candidates<'a>) -> Option<Candidate<'a>> {
        among.iter().min_by_key(|peer| peer.options().get_u64("queue").unwrap_or(u64::MAX))
    }
}

fn main() -> Result<(), Error> {
    let client = Node::builder().id("client").bind("127.0.0.1:0").start()?;
    let nodes = [worker("busy", 9)?, worker("idle", 0)?, worker("normal", 4)?];
    for node in &nodes {
        node.connect(client.local_addr()?)?;
    }
    let workers = filter! { "role": "worker" };

    // Asking costs a round trip before every job, and what comes back is as old as that.
    let reply = request_least_loaded(&client, &workers)?;
    assert_eq!((reply.value.as_str(), reply.handled_by.as_str()), ("idle", "idle"));

    // A strategy of one's own sees options, pending requests, latencies. For once, a closure will do, too.
    let shortest = client.any(&workers).strategy(ShortestQueue);
    assert_eq!(shortest.request::<String, _>("job", &())?, "idle");
    let longest =
        strategy_fn(|among| among.iter().max_by_key(|peer| peer.options().get_u64("queue")));
    assert_eq!(client.any(&workers).strategy(longest).request::<String, _>("job", &())?, "busy");

    // Pending requests need no help from the workers at all. Six long jobs are spread over the three, two each.
    let spread = client.any(&workers).strategy(LeastPending);
    let open: Vec<_> =
        (0..6).map(|_| spread.start::<(), _>("long_job", &())).collect::<Result<_, _>>()?;
    // A third one for two of them leaves one to choose.
    let more =
        [client.start::<(), _>("busy", "long_job", &())?, client.start("idle", "long_job", &())?];
    assert_eq!(spread.request::<String, _>("job", &())?, "normal");
    println!(
        "{} long jobs were spread, and the next job went to the one with fewest",
        open.len() + more.len()
    );
    Ok(())
}
