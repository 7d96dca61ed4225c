//! Which nodes a command connects to, and the node of its own with which it does.

use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};
use threadmesh::{Handle, Node, PeerInfo};

use crate::args::seconds;
use crate::data;
use crate::failure::Failure;
use crate::interrupt;

/// How long a command waits for a connection unless told otherwise.
pub(crate) const CONNECT_SECONDS: &str = "10";

/// Whom a command that is soon over connects to.
#[derive(Args, Debug)]
pub(crate) struct Links {
    /// Connect to this node or router, host:port or tcp://host:port; repeatable
    #[arg(long, value_name = "ADDR", required = true)]
    pub(crate) connect: Vec<String>,

    /// How long a connection may take to come about; refused ones are tried again until then
    #[arg(long, value_name = "SECONDS", default_value = CONNECT_SECONDS, value_parser = seconds)]
    pub(crate) connect_timeout: Duration,
}

/// A node of the command's own, and whom it has connected to.
pub(crate) struct Session {
    pub(crate) node: Node,
    /// In the order of the addresses.
    pub(crate) peers: Vec<PeerInfo>,
}

impl Links {
    /// Starts a node and connects it.
    pub(crate) fn open(&self) -> Result<Session, Failure> {
        let node = start()?;
        let peers = self.connect(&node)?;
        Ok(Session { node, peers })
    }

    /// Connects a node that runs already.
    pub(crate) fn connect(&self, node: &Handle) -> Result<Vec<PeerInfo>, Failure> {
        let dial = |address: &String| dial(node, address, self.connect_timeout);
        self.connect.iter().map(dial).collect()
    }
}

/// Starts a node with a name drawn by chance, which an interrupt stops.
pub(crate) fn start() -> Result<Node, Failure> {
    let node = Node::builder().start()?;
    interrupt::stops(&node);
    Ok(node)
}

/// Connects to one address.
pub(crate) fn dial(node: &Handle, address: &str, timeout: Duration) -> Result<PeerInfo, Failure> {
    Ok(node.dial(address).timeout(timeout).connect()?)
}

/// A peer as JSON, without a type of its own.
pub(crate) fn peer_json(peer: &PeerInfo) -> Json {
    json!({
        "id": peer.id.as_str(),
        "options": data::options(&peer.options),
        "directions": peer.directions.to_string(),
        "address": peer.address.to_string(),
    })
}
