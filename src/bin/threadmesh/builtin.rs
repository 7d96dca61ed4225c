//! What every node and router of the command line answers: `echo`, `ping`, `message`, and who its peers are.

use serde_json::{Value as Json, json};
use threadmesh::{Error, Handle, HandlerError, Map, Payload, Request, Tick, Value};

use crate::data;
use crate::output::{Output, clean};

/// Answers the peers of the node: id, options, directions and address of each.
pub(crate) const PEERS: &str = "node:peers";

/// Registers the handlers of all.
pub(crate) fn register(node: &Handle, out: &Output) -> Result<(), Error> {
    node.on_request("echo", |request: Request<Payload>| Ok::<_, HandlerError>(request.data))?;
    node.on_request("ping", |_: Request<Payload>| Ok::<_, HandlerError>("pong"))?;
    let told = out.clone();
    node.on_request("message", move |request: Request<Value>| {
        say(&told, request.origin().as_str(), &request.data);
        Ok::<_, HandlerError>(())
    })?;
    let told = out.clone();
    node.on_tick("message", move |tick: Tick<Value>| {
        say(&told, tick.origin().as_str(), &tick.data);
    })?;
    Ok(())
}

/// Registers the one that tells who is there.
pub(crate) fn tell_peers(node: &Handle) -> Result<(), Error> {
    let own = node.clone();
    node.on_request(PEERS, move |_: Request<Payload>| Ok::<_, HandlerError>(peers(&own)))?;
    Ok(())
}

fn say(out: &Output, from: &str, said: &Value) {
    let said = data::to_json(said);
    out.line(&line(from, &said), &json!({ "type": "message", "from": from, "data": said }));
}

/// Who said what. Text is shown as it is if it cannot be taken for anything else.
fn line(from: &str, said: &Json) -> String {
    match said.as_str() {
        Some(text) if clean(text) == text => format!("{from} says: {text}"),
        _ => format!("{from} says: {said}"),
    }
}

fn peers(node: &Handle) -> Vec<Value> {
    let peer = |peer: threadmesh::PeerInfo| {
        let options: Map =
            peer.options.iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
        threadmesh::value!({
            "id": peer.id.as_str(),
            "options": options,
            "directions": peer.directions.to_string(),
            "address": peer.address.to_string(),
        })
    };
    node.peers().into_iter().map(peer).collect()
}
