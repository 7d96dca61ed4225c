//! `threadmesh peers`: who is there, with options: the nodes that were connected to, and their peers.

use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};
use threadmesh::{Filter, Handle, Options, Value};

use crate::builtin;
use crate::data;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::links::{Links, peer_json};
use crate::output::Output;
use crate::whom;

const EXAMPLES: &str = "\
Examples:
  threadmesh peers --connect 127.0.0.1:8087
  threadmesh peers --connect 127.0.0.1:8087 --filter '{\"service\":\"auth\"}' --json

One line for each: id, directions as seen by the node that knows it, address, options, and \"via ID\" for a peer of a node that was \
connected to; with --json {\"type\":\"peer\",\"id\":…,\"options\":…,\"directions\":…,\"address\":…,\"via\":…}. Peers of peers are told by nodes and routers \
that this program has started. Exit code 3 when there is nobody.";

/// List nodes and their options
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Peers {
    #[command(flatten)]
    links: Links,

    /// Only those whose options match
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,

    /// Only the nodes that were connected to
    #[arg(long)]
    direct: bool,
}

impl Peers {
    pub(crate) fn run(&self, out: &Output) -> Result<Exit, Failure> {
        let filter = self.filter.as_deref().map(whom::filter).transpose()?;
        let session = self.links.open()?;
        let mut exit = Exit::Nobody;
        for peer in known(&session.node, !self.direct, self.links.connect_timeout)? {
            if matches(filter.as_ref(), &peer)? {
                print(out, &peer);
                exit = Exit::Done;
            }
        }
        session.node.stop()?;
        Ok(exit)
    }
}

fn matches(filter: Option<&Filter>, peer: &Json) -> Result<bool, Failure> {
    let Some(filter) = filter else { return Ok(true) };
    Ok(filter.matches(&Options::from_serde(&peer["options"])?)?)
}

/// The peers of a node, and if wanted those of its peers that tell.
pub(crate) fn known(node: &Handle, beyond: bool, timeout: Duration) -> Result<Vec<Json>, Failure> {
    let mut peers: Vec<Json> = node.peers().iter().map(peer_json).collect();
    if !beyond {
        return Ok(peers);
    }
    let gathered =
        node.all(Filter::any()).timeout(timeout).request::<Value, _>(builtin::PEERS, &())?.finish();
    for reply in gathered.replies {
        let told = data::to_json(&reply.value);
        for peer in told.as_array().into_iter().flatten() {
            let is_known = |known: &Json| known["id"] == peer["id"];
            if peer["id"] == node.id().as_str() || peers.iter().any(is_known) {
                continue;
            }
            let mut peer = peer.clone();
            if let Some(map) = peer.as_object_mut() {
                map.insert("via".to_owned(), reply.handled_by.as_str().into());
                peers.push(peer);
            }
        }
    }
    Ok(peers)
}

/// Prints one of them.
pub(crate) fn print(out: &Output, peer: &Json) {
    let text = |key: &str| peer[key].as_str().unwrap_or("-");
    let via = peer["via"].as_str().map(|via| format!(" via {via}")).unwrap_or_default();
    let line = format!(
        "{} {} {} {}{via}",
        text("id"),
        text("directions"),
        text("address"),
        peer["options"]
    );
    let json = json!({
        "type": "peer", "id": peer["id"], "options": peer["options"], "directions": peer["directions"],
        "address": peer["address"], "via": peer["via"],
    });
    out.line(&line, &json);
}
