//! `threadmesh top`: the statistics of a router, again and again.

use std::io::{IsTerminal as _, stdout};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use threadmesh::RoutingStats;

use crate::args::seconds;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::links::Links;
use crate::output::{Output, clean};
use crate::stats;

const EXAMPLES: &str = "\
Examples:
  threadmesh top --connect 127.0.0.1:8087
  threadmesh top --connect 127.0.0.1:8087 --count 1 --json

On a terminal it shows a table and renews it; elsewhere it prints one line each time, with --json {\"type\":\"stats\",\"id\":…,\"routing\":…}, \
where routing is what the router counts: proxyRequests, proxyTicks, byEvent, uptime (in seconds), averageResponseTime and percentiles \
(in milliseconds) and so on. It ends with Ctrl-C \
(130), after --count (0), and when the router is gone (with the code of that error).";

/// Show the statistics of a router, live
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Top {
    #[command(flatten)]
    links: Links,

    /// How often
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,

    /// End after so many times
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

impl Top {
    pub(crate) fn run(&self, out: &Output) -> Result<Exit, Failure> {
        let session = self.links.open()?;
        let node = &session.node;
        out.stops(node);
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 && !out.is_closed() {
            for router in &session.peers {
                let call = node.to(&router.id).timeout(self.links.connect_timeout);
                match call.request::<RoutingStats, _>(stats::EVENT, &()) {
                    Ok(stats) => print(out, router.id.as_str(), &stats),
                    // It was stopped because nobody reads.
                    Err(_) if out.is_closed() => break,
                    Err(error) => return Err(error.into()),
                }
            }
            left -= 1;
            if left > 0 && node.wait_timeout(self.interval)?.is_some() {
                break;
            }
        }
        node.stop()?;
        Ok(if interrupt::is_requested() { Exit::Interrupted } else { Exit::Done })
    }
}

fn print(out: &Output, router: &str, stats: &RoutingStats) {
    if !out.is_json() && stdout().is_terminal() {
        let table = format!("router {router}, {stats}");
        let table: Vec<String> = table.lines().map(clean).collect();
        // From the top left corner of an empty screen.
        out.write(format!("\u{1b}[H\u{1b}[2J{}\n", table.join("\n")));
        return;
    }
    let json = json!({ "type": "stats", "id": router, "routing": stats });
    out.line(&format!("{router}: {}", stats::line(stats)), &json);
}
