//! `threadmesh tick`: tells one node, or every node that matches, and waits for no answer but for the word that it has arrived.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use threadmesh::{Events, Execution, Handle, NodeEvent, NodeId, Value};

use crate::choice::Choice;
use crate::commands::request::nobody;
use crate::data;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::links::Links;
use crate::output::Output;
use crate::terms::{self, Terms};
use crate::whom::Whom;

const EXAMPLES: &str = "\
Examples:
  threadmesh tick --connect 127.0.0.1:8087 --to main message '\"hello\"'
  threadmesh tick --connect 127.0.0.1:8087 --filter '{\"role\":\"worker\"}' --all forget '{\"key\":1}'

It waits, as long as --timeout says, until the nodes have confirmed that they have taken it, and prints to how many it was sent; \
with --json {\"type\":\"sent\",\"count\":…,\"skipped\":[{\"id\":…,\"error\":{…}}]}. If nobody who is connected matches, \
routers are asked for somebody who does. What goes through a router is best effort: it is confirmed when the router has passed it on.";

/// Tell a node something, without an answer
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Tick {
    #[command(flatten)]
    links: Links,

    #[command(flatten)]
    whom: Whom,

    #[command(flatten)]
    terms: Terms,

    #[command(flatten)]
    choice: Choice,

    /// Tell every node that matches and is connected, and not any one of them
    #[arg(long, conflicts_with_all = ["to", "via_router", "strategy"])]
    all: bool,

    /// What the tick is called
    event: String,

    /// Its data as JSON; - reads standard input
    #[arg(value_name = "JSON")]
    data: Option<String>,
}

/// How long the word of what was lost may take from the loop to here.
const EVENT_PATIENCE: Duration = Duration::from_millis(500);

/// Nodes that the tick could not be sent to, and why.
type Skipped = Vec<(NodeId, threadmesh::Error)>;

impl Tick {
    pub(crate) fn run(&self, out: &Output) -> Result<Exit, Failure> {
        let data = data::read(self.data.as_deref())?;
        // What is wrong with it is told before anything is done.
        self.whom.selector()?;
        let session = self.links.open()?;
        let node = &session.node;
        let (count, skipped) = self.terms.patiently(node, || self.tell(node, &data))?;
        let exit = print(out, count, skipped);
        node.stop()?;
        Ok(exit)
    }

    /// To how many it was sent, who have taken it, and to whom it could not be sent.
    fn tell(&self, node: &Handle, data: &Value) -> Result<(usize, Skipped), Failure> {
        let events = node.events();
        let sent = if self.all {
            let all = self.terms.say_to_all(node.all(self.whom.selector()?));
            let told = all.tick(&self.event, data)?;
            if told.sent == 0 && told.skipped.is_empty() {
                return Err(nobody(node));
            }
            (told.sent, told.skipped)
        } else {
            let call = terms::say!(&self.terms, self.choice.say(self.whom.call(node)?));
            call.tick(&self.event, data)?;
            (1, Vec::new())
        };
        confirmed(node, events, self.terms.timeout)?;
        Ok(sent)
    }
}

/// Waits until everybody has taken what was sent, and fails if something was lost. The events began before it was sent.
pub(crate) fn confirmed(
    node: &Handle,
    mut events: Events,
    timeout: Duration,
) -> Result<(), Failure> {
    let flushed = node.flush_all(timeout);
    // If it fails, an event says more about it, maybe in a moment.
    let patience = if flushed.is_err() { EVENT_PATIENCE } else { Duration::ZERO };
    while let Some(event) = events.next_timeout(patience) {
        match event {
            NodeEvent::Error(error) => return Err(error.into()),
            NodeEvent::Undelivered { id, unconfirmed, .. } => {
                return Err(lost(node, &id, unconfirmed));
            }
            _ => {}
        }
    }
    Ok(flushed.map(drop)?)
}

/// What became of a tick that was accepted and did not arrive.
fn lost(node: &Handle, id: &NodeId, unconfirmed: u64) -> Failure {
    let is_router = |peer: threadmesh::PeerInfo| peer.options.get("router").is_some();
    if unconfirmed == 0 && node.peers().into_iter().any(|peer| peer.id == *id && is_router(peer)) {
        let why =
            format!("no peer matches, and {id} and the routers behind it know nobody, either");
        return Failure::new(Exit::Nobody, "NO_NODES_MATCH_FILTER", why);
    }
    let execution = if unconfirmed == 0 { Execution::Never } else { Execution::Unknown };
    let why = format!("it was lost on the way to {id}, with its link");
    Failure { execution, ..Failure::new(Exit::Failed, "UNDELIVERED", why) }
}

fn print(out: &Output, count: usize, skipped: Skipped) -> Exit {
    let skipped: Vec<_> =
        skipped.into_iter().map(|(id, error)| (id, Failure::from(error))).collect();
    let of =
        |(id, failure): &(NodeId, Failure)| json!({ "id": id.as_str(), "error": failure.json() });
    let json = json!({ "type": "sent", "count": count, "skipped": skipped.iter().map(of).collect::<Vec<_>>() });
    let mut text = format!("sent to {count}");
    for (id, failure) in &skipped {
        // Writing into a text cannot fail.
        let _ = write!(text, ", not to {id} ({})", failure.text());
    }
    out.line(&text, &json);
    match skipped.first() {
        Some((_, failure)) => failure.exit,
        None if count == 0 => Exit::Nobody,
        None => Exit::Done,
    }
}
