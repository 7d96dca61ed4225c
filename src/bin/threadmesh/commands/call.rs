//! `threadmesh call`: calls whoever serves a path.

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};
use threadmesh::{
    Answers, First, FirstFind, Handle, LeastPending, LocalFirst, NodeId, PathCall, PowerOfTwo,
    Random, SendTarget, SendToAll, SendToAllOnePerNode, SendToTarget, Value,
};

use crate::commands::{request, tick};
use crate::data;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::links::Links;
use crate::output::Output;
use crate::terms::{self, Terms};

const EXAMPLES: &str = "\
Examples:
  threadmesh call --connect 127.0.0.1:8087 --via-router /math/add '[1,7]'
  threadmesh call --connect 127.0.0.1:8087 --connect 127.0.0.1:8088 --all '/stats/*'
  threadmesh call --connect 127.0.0.1:8087 --by random --timeout 2 /tools/size '\"four\"'
  threadmesh call --connect 127.0.0.1:8087 --tick /log/add '\"a line\"'

A whole segment * stands for any one segment. Those who are called are connected; with --via-router a call to one asks routers if none of \
them serves the path. It prints the answer as request does. Under a strategy for many (--all, --by all, --by \
one-per-node) there is one line for each answer: node/path and the value, with --json {\"type\":\"answer\",\"node\":…,\"path\":…,\"value\":…} or \
…\"error\":{…}; the exit code is that of the first error.";

/// Call whoever serves a path
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Call {
    #[command(flatten)]
    links: Links,

    #[command(flatten)]
    terms: Terms,

    /// Who gets the call, of those that serve the path
    #[arg(long, value_enum, default_value = "first", value_name = "STRATEGY")]
    by: By,

    /// Short for --by all
    #[arg(long, conflicts_with_all = ["by", "via_router"])]
    all: bool,

    /// Exactly the node of this id or address
    #[arg(long, value_name = "ID|ADDR", conflicts_with_all = ["by", "all", "via_router"])]
    to: Option<String>,

    /// Tell it, without an answer
    #[arg(long)]
    tick: bool,

    /// The path of the service
    path: String,

    /// The data as JSON; - reads standard input
    #[arg(value_name = "JSON")]
    data: Option<String>,
}

/// The send strategies that make sense for one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum By {
    /// The first node that serves it, in the order of --connect
    First,
    /// Every match on every node
    All,
    /// Every node that serves it, its first match
    OnePerNode,
    /// Any one of the nodes that serve it
    Random,
    /// The one with the fewest open requests of this node
    LeastPending,
    /// The quicker of two
    PowerOfTwo,
    /// One on this machine, if there is one
    LocalFirst,
    /// The node that joined first
    Joined,
}

impl Call {
    pub(crate) fn run(&self, out: &Output) -> Result<Exit, Failure> {
        // Routers are asked neither for one that is named nor for many, so that is no advice.
        let is_routable = self.to.is_none() && !self.is_for_many();
        let advised =
            |failure: Failure| Failure { hint: failure.hint.filter(|_| is_routable), ..failure };
        self.call(out).map_err(advised)
    }

    fn call(&self, out: &Output) -> Result<Exit, Failure> {
        let data = data::read(self.data.as_deref())?;
        let session = self.links.open()?;
        let node = &session.node;
        let call = terms::say!(&self.terms, self.chosen(node));
        let exit = if self.tick {
            let told = self.terms.patiently(node, || {
                let events = node.events();
                let told = call.tick(&data)?;
                tick::confirmed(node, events, self.terms.timeout)?;
                Ok(told)
            })?;
            let skipped: Vec<Json> =
                told.skipped.iter().map(|(to, error)| failed(to, error)).collect();
            let json = json!({ "type": "sent", "count": told.sent, "skipped": skipped });
            out.line(&format!("sent to {}", told.sent), &json);
            told.skipped.first().map_or(Exit::Done, |(_, error)| Exit::of(error.kind()))
        } else if self.is_for_many() {
            let answers = self.terms.patiently(node, || Ok(call.request_all(&data)?))?;
            many(out, &answers)
        } else {
            let reply = self.terms.patiently(node, || Ok(call.request_reply(&data)?))?;
            request::answered(out, &reply);
            Exit::Done
        };
        node.stop()?;
        Ok(exit)
    }

    fn is_for_many(&self) -> bool {
        self.all || matches!(self.by, By::All | By::OnePerNode)
    }

    fn chosen<'a>(&self, node: &'a Handle) -> PathCall<'a> {
        let call = node.call(&self.path);
        if let Some(to) = &self.to {
            return call.by(SendToTarget::new(to));
        }
        match self.by {
            _ if self.all => call.by(SendToAll),
            By::First => call.by(FirstFind),
            By::All => call.by(SendToAll),
            By::OnePerNode => call.by(SendToAllOnePerNode),
            By::Random => call.by(Random),
            By::LeastPending => call.by(LeastPending),
            By::PowerOfTwo => call.by(PowerOfTwo),
            By::LocalFirst => call.by(LocalFirst),
            By::Joined => call.by(First),
        }
    }
}

fn many(out: &Output, answers: &Answers<Value>) -> Exit {
    let mut exit = Exit::Done;
    for (to, result) in answers {
        match result {
            Ok(value) => {
                let value = data::to_json(value);
                let text = format!("{to} {value}");
                let (node, path) = place(to);
                out.line(
                    &text,
                    &json!({ "type": "answer", "node": node, "path": path, "value": value }),
                );
            }
            Err(error) => {
                let failure = Failure::from(error.clone());
                out.line(&format!("{to} {}", failure.text()), &failed(to, error));
                exit = if exit == Exit::Done { failure.exit } else { exit };
            }
        }
    }
    exit
}

fn place(to: &SendTarget) -> (Option<&str>, &str) {
    (to.id().map(NodeId::as_str), to.path().as_str())
}

fn failed(to: &SendTarget, error: &threadmesh::Error) -> Json {
    let (node, path) = place(to);
    json!({ "type": "answer", "node": node, "path": path, "error": Failure::from(error.clone()).json() })
}
