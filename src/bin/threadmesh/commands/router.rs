//! `threadmesh router`: forwards what others cannot place, and counts it.

use std::sync::Arc;

use clap::Args;
use serde_json::{Value as Json, json};
use threadmesh::{HandlerError, Payload, Request, RoutingStats};

use crate::builtin;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;
use crate::serve::{Serve, dropped};
use crate::stats;

const EXAMPLES: &str = "\
Examples:
  threadmesh router --bind tcp://0.0.0.0:8087
  threadmesh router --id main --bind 127.0.0.1:0 --json
  threadmesh router --bind 127.0.0.1:8088 --connect 127.0.0.1:8087 --stats 10

It prints \"listening on tcp://HOST:PORT\" (with --json {\"type\":\"listening\",\"address\":…}) and then \"ready\". It answers echo, ping, \
message, node:peers and router:stats. Ctrl-C ends it with goodbyes and exit code 0.";

/// Start a router: nodes connect to it and find each other through it
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Router {
    #[command(flatten)]
    serve: Serve,
}

impl Router {
    pub(crate) fn run(&self, out: &Output) -> Result<Exit, Failure> {
        self.serve.check("router")?;
        let router = Arc::new(self.serve.name(threadmesh::Router::builder()).start()?);
        interrupt::stops(&router);
        builtin::register(&router, out)?;
        // Not the router itself, which would keep itself alive.
        let asked = Arc::downgrade(&router);
        router.on_request(stats::EVENT, move |_: Request<Payload>| {
            let closed = || HandlerError::new("CLOSED", "the router is stopping");
            Ok::<RoutingStats, HandlerError>(asked.upgrade().ok_or_else(closed)?.routing_stats()?)
        })?;
        self.serve.open("router", &router, out)?;
        self.serve.wait(&router, out, || {
            let counts = router.routing_stats()?;
            let counts = serde_json::to_value(&counts).unwrap_or(Json::Null);
            let json = json!({
                "type": "stats", "id": router.id().as_str(), "peers": router.peers().len(),
                "routing": counts, "dropped": dropped(&router)?,
            });
            out.line(&format!("stats: {}", stats::line(&counts)), &json);
            Ok(())
        })
    }
}
