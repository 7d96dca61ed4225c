//! The balancer process: serves `/job` to clients, and has the workers do it.

use std::sync::Arc;
use std::time::Duration;

use threadmesh::{HandlerError, Node, Request, RoundRobin};

use crate::Outcome;
use crate::process::wait_for_the_end;

/// Who did a job, and how many milliseconds were left for it.
pub(crate) type Done = (String, u64);

/// Runs until its standard input ends.
pub(crate) fn run(client: &str) -> Outcome<()> {
    let node = Node::builder().id("balancer").bind("127.0.0.1:0").start()?;
    // Who had the last turn is remembered by the strategy: one for all calls.
    let turns = Arc::new(RoundRobin::new());
    let mesh = node.handle();
    node.register("/job", move |request: Request<u64>| {
        // Inside a handler a call has what is left of the deadline of the request. It goes to `/work` and not to `/job`, because a node is
        // among those that its own calls may go to: one that serves what it calls needs `.except(mesh.id())`, or it asks itself in its turn.
        let workers = mesh.call("/work").by(Arc::clone(&turns));
        // What a worker that stops has not taken up certainly did not run: the next one gets it, and nobody here hears of it.
        Ok::<Done, HandlerError>(workers.request(&request.data)?)
    })?;
    let mesh = node.handle();
    node.register("/wait_for", move |request: Request<String>| {
        mesh.wait_for_peer(request.data.as_str(), Duration::from_secs(20))?;
        Ok::<_, HandlerError>(())
    })?;
    node.connect(client)?;
    wait_for_the_end()?;
    node.stop()?;
    Ok(())
}
