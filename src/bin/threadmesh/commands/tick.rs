//! `threadmesh tick`: tells one node, or every node that matches, and waits for no answer but for the word that it has arrived.

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;
use threadmesh::{Events, Handle, NodeEvent, NodeId};

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
with --json {\"type\":\"sent\",\"count\":…,\"skipped\":[{\"id\":…,\"error\":{…}}]}. A tick that a router forwards is best effort: what the router \
confirms is that the router has it.";

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

    /// Tell every node that matches, and not any one of them
    #[arg(long, conflicts_with = "to")]
    all: bool,

    /// What the tick is called
    event: String,

    /// Its data as JSON; - reads standard input
    #[arg(value_name = "JSON")]
    data: Option<String>,
}

impl Tick {
    pub(crate) fn run(&self, out: &Output) -> Result<Exit, Failure> {
        let data = data::read(self.data.as_deref())?;
        let selector = self.whom.selector()?;
        let session = self.links.open()?;
        let node = &session.node;
        let mut events = node.events();
        let (count, skipped) = if self.all {
            let mut call = node.all(selector).directions(self.terms.directions());
            for (key, value) in &self.terms.headers {
                call = call.header(key, value.clone());
            }
            if let Some(patience) = self.terms.wait {
                node.wait_for_peer(self.whom.selector()?, patience)?;
            }
            let told = call.tick(&self.event, &data)?;
            (told.sent, told.skipped)
        } else {
            terms::say!(&self.terms, self.whom.call(node)?).tick(&self.event, &data)?;
            (1, Vec::new())
        };
        self.confirmed(node, &mut events)?;
        let exit = print(out, count, skipped);
        node.stop()?;
        Ok(exit)
    }

    /// Waits until everybody has taken what was sent, and fails if something was lost.
    fn confirmed(&self, node: &Handle, events: &mut Events) -> Result<(), Failure> {
        node.flush_all(self.terms.timeout)?;
        while let Some(event) = events.try_next() {
            match event {
                NodeEvent::Error(error) => return Err(error.into()),
                NodeEvent::Undelivered { id, unwritten, unconfirmed } => {
                    let why =
                        format!("{} ticks to {id} were lost on the way", unwritten + unconfirmed);
                    return Err(Failure::new(Exit::Failed, "UNDELIVERED", why));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn print(out: &Output, count: usize, skipped: Vec<(NodeId, threadmesh::Error)>) -> Exit {
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
