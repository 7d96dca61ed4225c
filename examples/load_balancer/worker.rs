//! A worker process: joins the balancer, serves `/work`, and leaves when it is told to, after what it has begun.

use std::time::{Duration, Instant};

use threadmesh::{Node, Request};

use crate::Outcome;
use crate::process::wait_for_the_end;

/// Runs until its standard input ends. An answer is who did the job, and how many milliseconds were left for it.
pub(crate) fn run(id: &str, balancer: &str) -> Outcome<()> {
    let node = Node::builder().id(id).start()?;
    let (name, mesh) = (id.to_owned(), node.handle());
    node.register("/work", move |request: Request<u64>| {
        // The work. It is a wait here, so that jobs are under way when a worker is told to end.
        let _ = mesh.wait_timeout(Duration::from_millis(2));
        let left = request.deadline().saturating_duration_since(Instant::now());
        Ok((name.clone(), left.as_millis() as u64))
    })?;
    // What it serves is announced with the first message, so whoever knows this node knows its path.
    node.connect(balancer)?;
    wait_for_the_end()?;
    // Says goodbye, finishes its requests, and refuses new ones, which others then get.
    node.stop()?;
    Ok(())
}
