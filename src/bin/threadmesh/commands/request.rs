//! `threadmesh request`: asks one node, or every node that matches, and prints what was answered.

use clap::Args;
use serde_json::{Value as Json, json};
use threadmesh::{Gather, NodeId, Reply, Value};

use crate::data;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::links::Links;
use crate::output::Output;
use crate::terms::{self, Terms};
use crate::whom::Whom;

const EXAMPLES: &str = "\
Examples:
  threadmesh request --connect 127.0.0.1:8087 --to main ping
  threadmesh request --connect 127.0.0.1:8087 --service auth echo '{\"user\":\"ada\"}'
  threadmesh request --connect 127.0.0.1:8087 --filter '{\"load\":{\"$lt\":80}}' --timeout 2 work 7
  threadmesh request --connect 127.0.0.1:8087 --any --header trace=abc echo -

It prints the answer as JSON; with --json {\"type\":\"answer\",\"value\":…,\"handled_by\":…,\"via\":…,\"elapsed_ms\":…}. With --all there is \
one line for each node: its id before the answer, or {\"type\":\"answer\",\"handled_by\":…,\"error\":{…}}; the exit code is that of the \
first error.";

/// Ask a node and print its answer
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Request {
    #[command(flatten)]
    links: Links,

    #[command(flatten)]
    whom: Whom,

    #[command(flatten)]
    terms: Terms,

    /// Ask every node that matches, and not any one of them
    #[arg(long, conflicts_with = "to")]
    all: bool,

    /// What the request is called
    event: String,

    /// Its data as JSON; - reads standard input
    #[arg(value_name = "JSON")]
    data: Option<String>,
}

impl Request {
    pub(crate) fn run(&self, out: &Output) -> Result<Exit, Failure> {
        let data = data::read(self.data.as_deref())?;
        let selector = self.whom.selector()?;
        let session = self.links.open()?;
        let node = &session.node;
        let exit = if self.all {
            let mut call = node.all(selector).directions(self.terms.directions());
            for (key, value) in &self.terms.headers {
                call = call.header(key, value.clone());
            }
            if let Some(patience) = self.terms.wait {
                node.wait_for_peer(self.whom.selector()?, patience)?;
            }
            let answers = call.timeout(self.terms.timeout).request(&self.event, &data)?;
            if answers.asked() == 0 {
                let why = "nobody matches, so nobody was asked";
                return Err(Failure::new(Exit::Nobody, "NO_NODES_MATCH_FILTER", why));
            }
            gathered(out, answers)
        } else {
            let call = terms::say!(&self.terms, self.whom.call(node)?);
            let reply = call.request_reply::<Value, _>(&self.event, &data)?;
            out.line(&data::to_json(&reply.value).to_string(), &answer(&reply));
            Exit::Done
        };
        node.stop()?;
        Ok(exit)
    }
}

/// An answer as JSON.
pub(crate) fn answer(reply: &Reply<Value>) -> Json {
    json!({
        "type": "answer",
        "value": data::to_json(&reply.value),
        "handled_by": reply.handled_by.as_str(),
        "via": reply.via.as_ref().map(NodeId::as_str),
        "elapsed_ms": reply.elapsed.as_secs_f64() * 1000.0,
    })
}

/// Prints the answers of many as they arrive.
fn gathered(out: &Output, answers: Gather<Value>) -> Exit {
    let mut exit = Exit::Done;
    for (peer, result) in answers {
        match result {
            Ok(reply) => {
                out.line(&format!("{peer} {}", data::to_json(&reply.value)), &answer(&reply));
            }
            Err(error) => {
                let failure = Failure::from(error);
                let json = json!({ "type": "answer", "handled_by": peer.as_str(), "error": failure.json() });
                out.line(&format!("{peer} {}", failure.text()), &json);
                exit = if exit == Exit::Done { failure.exit } else { exit };
            }
        }
    }
    exit
}
