//! A worker process: joins the host, does one job at a time for whoever dials it, and ends when the host has left.

use std::thread;
use std::time::{Duration, Instant};

use threadmesh::{Limits, Node, NodeEvent, Request, options};

use crate::Outcome;

/// Runs until the host leaves. A job takes `millis`.
pub(crate) fn run(id: &str, host: &str, millis: &str) -> Outcome<()> {
    let time = Duration::from_millis(millis.parse()?);
    // One job after the other, as if each needed the whole machine.
    let mut limits = Limits::default();
    (limits.workers_min, limits.workers_max) = (1, 1);
    let node = Node::builder()
        .id(id)
        .limits(limits)
        .on_request("job", move |request: Request<usize>| {
            work(time);
            Ok(request.data)
        })
        .bind("127.0.0.1:0")
        .start()?;
    // The host reads here where the clients can dial this worker.
    let address = node.local_addr()?.to_string();
    node.update_options(&options! { "role": "worker", "address": address })?;
    let mut events = node.events();
    let host = node.connect(host)?.id;
    events.find(|event| matches!(event, NodeEvent::PeerLeft { id, .. } if *id == host));
    Ok(())
}

/// Work that keeps this worker busy, and not the processor that all of them share.
fn work(time: Duration) {
    let end = Instant::now() + time;
    // A thread may be woken early, so the clock decides.
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    {
        thread::park_timeout(left);
    }
}
