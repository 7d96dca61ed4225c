//! `threadmesh router`: forwards what others cannot place, and counts it.

use std::sync::Arc;

use clap::Args;
use serde_json::json;
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

It prints \"listening on tcp://HOST:PORT\" (with --json {\"type\":\"listening\",\"address\":…}) and then \"ready\". Requests and \
ticks to any node that matches (--service, --filter, --any) go to a peer of the router if the node that sends them has none that matches, \
else to a peer of the routers that it is connected with. Itself it answers echo, ping, message, node:peers (not with --refuse-directory-questions) and router:stats. Ctrl-C \
ends it with goodbyes and exit code 0; so does the end of its terminal, also under nohup. To keep it running after that, start it with \
setsid, or by the system's own means for services.";

/// Start a router: nodes connect to it and find each other through it
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Router {
    #[command(flatten)]
    serve: Serve,

    /// Tell nobody which peers it has: who chooses with --strategy, or by code of its own, then cannot choose among them
    #[arg(long)]
    refuse_directory_questions: bool,
}

impl Router {
    pub(crate) fn run(&self, out: &Output) -> Result<Exit, Failure> {
        self.serve.check("router")?;
        let mut builder = self.serve.name(threadmesh::Router::builder());
        if self.refuse_directory_questions {
            builder = builder.refuse_directory_questions();
        }
        let router = Arc::new(builder.start()?);
        interrupt::stops(&router);
        builtin::register(&router, out)?;
        if !self.refuse_directory_questions {
            builtin::tell_peers(&router)?;
        }
        // Not the router itself, which would keep itself alive.
        let asked = Arc::downgrade(&router);
        router.on_request(stats::EVENT, move |_: Request<Payload>| {
            let closed = || HandlerError::new("CLOSED", "the router is stopping");
            Ok::<RoutingStats, HandlerError>(asked.upgrade().ok_or_else(closed)?.routing_stats()?)
        })?;
        self.serve.open("router", &router, out)?;
        self.serve.wait(&router, out, || {
            let (counts, peers) = (router.routing_stats()?, router.peers().len());
            let json = json!({
                "type": "stats", "id": router.id().as_str(), "peers": peers,
                "routing": counts, "dropped": dropped(&router)?,
            });
            out.line(&format!("stats: {peers} peers, {}", stats::line(&counts)), &json);
            Ok(())
        })
    }
}
