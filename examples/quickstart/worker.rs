//! A worker process: joins the coordinator, indexes pieces, and ends when the coordinator has left.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use threadmesh::{HandlerError, Node, NodeEvent, Request};

use crate::Outcome;
use crate::words::{self, Piece};

/// Whether a worker answers everything, or only its first piece.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Good,
    Failing,
}

/// Runs until the coordinator leaves. A failing worker answers one piece; of the next it tells the coordinator that it holds it,
/// and keeps it, so that whoever ends this process knows that a call is unanswered.
pub(crate) fn run(id: &str, coordinator: &str, health: Health) -> Outcome<()> {
    let node = Node::builder().id(id).start()?;
    let mut events = node.events();
    let handle = node.handle();
    let taken = AtomicUsize::new(0);
    node.on_request("index", move |request: Request<Piece>| {
        if health == Health::Failing && taken.fetch_add(1, Relaxed) > 0 {
            handle.tick("coordinator", "holding", &request.data.first_line)?;
            wait_for_the_end();
        }
        Ok::<_, HandlerError>(words::index(&request.data))
    })?;
    node.connect(coordinator)?;
    events.find(|event| matches!(event, NodeEvent::PeerLeft { .. }));
    Ok(())
}

/// Waits far longer than the coordinator needs to end this process.
fn wait_for_the_end() {
    std::thread::park_timeout(Duration::from_secs(60));
}
