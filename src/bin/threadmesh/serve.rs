//! What routers and nodes have in common: who they are, where they listen, whom they know, and how they end.

use std::process;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value as Json, json};
use threadmesh::{Builder, Handle, NodeEvent, Options, Value};

use crate::args::seconds;
use crate::data;
use crate::event;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::links::{self, CONNECT_SECONDS};
use crate::output::Output;

/// The flags of both.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// What it is called: sets the option "service", and without --id the id NAME-<pid>
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Its id, which no other node of the mesh may have
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,

    /// Tell peers this: JSON if it parses, else text; repeatable
    #[arg(long = "option", value_name = "K=V", value_parser = data::key_value)]
    pub(crate) options: Vec<(String, Value)>,

    /// Listen here, host:port or tcp://host:port; port 0 draws one, and the line "listening on" tells it
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<String>,

    /// Connect to this node or router; repeatable. Links that are lost come back by themselves
    #[arg(long, value_name = "ADDR")]
    pub(crate) connect: Vec<String>,

    /// How long a first connection may take to come about
    #[arg(long, value_name = "SECONDS", default_value = CONNECT_SECONDS, value_parser = seconds)]
    pub(crate) connect_timeout: Duration,

    /// Never give up on a first connection: be ready without it, and dial on
    #[arg(long)]
    pub(crate) patient: bool,

    /// Print statistics that often
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) stats: Option<Duration>,

    /// Print what happens: who joins, who leaves
    #[arg(long)]
    pub(crate) events: bool,
}

impl Serve {
    /// Whether it makes sense.
    pub(crate) fn check(&self, kind: &str) -> Result<(), Failure> {
        if self.bind.is_none() && self.connect.is_empty() {
            return Err(Failure::usage(format!(
                "a {kind} that neither listens nor connects reaches nobody: give it --bind ADDR or --connect ADDR"
            )));
        }
        Ok(())
    }

    /// Says who it is.
    pub(crate) fn name<K>(&self, builder: Builder<K>) -> Builder<K> {
        let mut options = Options::new();
        if let Some(name) = &self.name {
            options = options.with("service", name.as_str());
        }
        for (key, value) in &self.options {
            options = options.with(key, value.clone());
        }
        let named = self.name.as_ref().map(|name| format!("{name}-{}", process::id()));
        match self.id.clone().or(named) {
            Some(id) => builder.id(id).options(options),
            None => builder.options(options),
        }
    }

    /// Listens and connects, and says so line by line; the last one is `ready`. The handlers are there already.
    pub(crate) fn open(&self, kind: &str, node: &Handle, out: &Output) -> Result<(), Failure> {
        let id = node.id().as_str();
        out.line(
            &format!("{kind} {id} started"),
            &json!({ "type": "started", "kind": kind, "id": id }),
        );
        if self.events {
            let told = out.clone();
            node.on_event(move |event| {
                if !matches!(event, NodeEvent::Stopped) {
                    event::print(&told, event);
                }
            })?;
        }
        if let Some(address) = &self.bind {
            let address = format!("tcp://{}", node.bind(address.as_str())?);
            let json = json!({ "type": "listening", "id": id, "address": address });
            out.line(&format!("listening on {address}"), &json);
        }
        for address in &self.connect {
            if self.patient {
                node.connect_always(address.as_str())?;
                continue;
            }
            let peer = links::dial(node, address, self.connect_timeout)?;
            let (peer, address) = (peer.id.as_str(), format!("tcp://{}", peer.address));
            let json = json!({ "type": "connected", "id": peer, "address": address });
            out.line(&format!("connected to {peer} at {address}"), &json);
        }
        out.line("ready", &json!({ "type": "ready", "id": id }));
        Ok(())
    }

    /// Serves until somebody ends it, and prints statistics meanwhile if they are wanted.
    pub(crate) fn wait(
        &self,
        node: &Handle,
        out: &Output,
        mut print: impl FnMut() -> Result<(), Failure>,
    ) -> Result<Exit, Failure> {
        let report = match self.stats {
            None => node.wait()?,
            Some(pause) => loop {
                if let Some(report) = node.wait_timeout(pause)? {
                    break report;
                }
                match print() {
                    // It was told to end between the two.
                    Err(_) if interrupt::is_requested() => {}
                    other => other?,
                }
            },
        };
        let id = node.id().as_str();
        let clean = report.is_clean();
        let text = if clean { "stopped".to_owned() } else { format!("stopped: {report:?}") };
        out.line(&text, &json!({ "type": "stopped", "id": id, "clean": clean }));
        Ok(Exit::Done)
    }
}

/// What a node has dropped, by reason.
pub(crate) fn dropped(node: &Handle) -> Result<Json, Failure> {
    let dropped = node.dropped()?;
    let counts = dropped.iter().map(|(reason, count)| (reason.to_owned(), count.into()));
    Ok(Json::Object(counts.collect::<Map<_, _>>()))
}
