//! `threadmesh request`: asks one node, or every node that matches, and prints what was answered.

use clap::Args;
use serde_json::{Value as Json, json};
use threadmesh::{Gather, Handle, NodeId, Reply, Value};

use crate::choice::Choice;
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

If nobody who is connected matches, routers that are connected are asked for somebody who does; --to asks them only with --via-router.

It prints the answer as JSON, and, if it came through a router, who has answered on standard error; with --json {\"type\":\"answer\",\"value\":…,\"handled_by\":…,\"via\":…,\"elapsed_ms\":…}. With --all there is \
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

    #[command(flatten)]
    choice: Choice,

    /// Ask every node that matches and is connected, and not any one of them
    #[arg(long, conflicts_with_all = ["to", "via_router", "strategy"])]
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
        // What is wrong with it is told before anything is done.
        self.whom.selector()?;
        let session = self.links.open()?;
        let node = &session.node;
        let exit = if self.all {
            let answers = self.terms.patiently(node, || {
                let call = self.terms.say_to_all(node.all(self.whom.selector()?));
                let answers = call.timeout(self.terms.timeout).request(&self.event, &data)?;
                let asked = answers.asked() > 0;
                if asked { Ok(answers) } else { Err(nobody(node)) }
            })?;
            gathered(out, answers)
        } else {
            let reply = self.terms.patiently(node, || {
                let call = terms::say!(&self.terms, self.choice.say(self.whom.call(node)?));
                Ok(call.request_reply(&self.event, &data)?)
            })?;
            answered(out, &reply);
            Exit::Done
        };
        node.stop()?;
        Ok(exit)
    }
}

/// Nobody is connected who would be one of all.
pub(crate) fn nobody(node: &Handle) -> Failure {
    let why = match node.peers().len() {
        1 => "nobody who is connected matches; 1 peer is connected".to_owned(),
        peers => format!("nobody who is connected matches; {peers} peers are connected"),
    };
    Failure::new(Exit::Nobody, "NO_NODES_MATCH_FILTER", format!("{why}; --all asks no router"))
}

/// Prints the answer alone, for the next program, and a person is told beside it who has answered if it came from afar.
pub(crate) fn answered(out: &Output, reply: &Reply<Value>) {
    out.line(&data::to_json(&reply.value).to_string(), &answer(reply));
    if reply.via.is_some() {
        out.note(&format!("answered by {}", who(reply)));
    }
}

/// Who has answered, and which way the answer came.
pub(crate) fn who(reply: &Reply<Value>) -> String {
    let via = reply.via.as_ref().map(|via| format!(" via {via}"));
    format!("{}{}", reply.handled_by, via.unwrap_or_default())
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
