//! `threadmesh watch`: prints what happens to a node that is connected to others.

use std::time::{Duration, Instant};

use clap::Args;

use crate::args::seconds;
use crate::event;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::links::{self, Links};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  threadmesh watch --connect 127.0.0.1:8087
  threadmesh watch --connect 127.0.0.1:8087 --count 1 --json
  threadmesh watch --connect 127.0.0.1:8087 --for 60

One line for each event, the first for each node it connects to; with --json {\"type\":\"event\",\"event\":\"peer_joined\",…}. The events are \
peer_joined, peer_left, options_changed, services_changed, reconnecting, reconnected, reconnect_failed, undelivered, slow_peer, \
error and missed. It ends with Ctrl-C (130), after --count or --for (0), and quietly when nobody reads it any more (0).";

/// Print what happens to the nodes that it connects to
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Watch {
    #[command(flatten)]
    links: Links,

    /// End after so many events
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// End after that long
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    time: Option<Duration>,
}

impl Watch {
    pub(crate) fn run(&self, out: &Output) -> Result<Exit, Failure> {
        let node = links::start()?;
        // Before it connects, so that nothing is missed.
        let mut events = node.events();
        out.stops(&node);
        self.links.connect(&node)?;
        let deadline = self.time.and_then(|time| Instant::now().checked_add(time));
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 && !out.is_closed() {
            let next = match deadline {
                None => events.next(),
                Some(deadline) => {
                    events.next_timeout(deadline.saturating_duration_since(Instant::now()))
                }
            };
            // Its own end is not worth a line.
            let is_over = interrupt::is_requested() || out.is_closed();
            let Some(event) = next.filter(|_| !is_over) else { break };
            event::print(out, &event);
            left -= 1;
        }
        node.stop()?;
        Ok(if interrupt::is_requested() { Exit::Interrupted } else { Exit::Done })
    }
}
