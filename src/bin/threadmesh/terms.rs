//! What a call of the command line says beside whom it is for and what it carries.

use std::time::Duration;

use clap::Args;
use threadmesh::{Directions, Value};

use crate::args::seconds;
use crate::data;

/// Time, directions, headers.
#[derive(Args, Debug)]
pub(crate) struct Terms {
    /// How long the call may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// Wait that long for somebody who matches, before the time of the call begins
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) wait: Option<Duration>,

    /// Send this beside the data: JSON if it parses, else text; repeatable
    #[arg(long = "header", value_name = "K=V", value_parser = data::key_value)]
    pub(crate) headers: Vec<(String, Value)>,

    /// Only nodes that this one has connected to
    #[arg(long)]
    pub(crate) up: bool,

    /// Only nodes that have connected to this one
    #[arg(long)]
    pub(crate) down: bool,
}

impl Terms {
    /// Both directions unless one is named.
    pub(crate) fn directions(&self) -> Directions {
        match (self.up, self.down) {
            (false, false) => Directions::BOTH,
            (up, down) => Directions { up, down },
        }
    }

    /// The time of the call with that of the wait before it.
    pub(crate) fn whole(&self) -> Duration {
        self.timeout.saturating_add(self.wait.unwrap_or_default())
    }
}

/// Says the terms to a call of whatever type.
macro_rules! say {
    ($terms:expr, $call:expr) => {{
        let terms: &$crate::terms::Terms = $terms;
        let mut call = $call.directions(terms.directions()).timeout(terms.whole());
        if let Some(patience) = terms.wait {
            call = call.wait_for_match(patience);
        }
        terms.headers.iter().fold(call, |call, (key, value)| call.header(key, value.clone()))
    }};
}

pub(crate) use say;
