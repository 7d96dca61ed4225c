//! What a call of the command line says beside whom it is for and what it carries.

use std::time::{Duration, Instant};

use clap::Args;
use threadmesh::{All, Directions, Handle, Value};

use crate::args::seconds;
use crate::data;
use crate::failure::Failure;

/// How often it is looked again for somebody who is waited for. What comes to a router is not told here.
const LOOK: Duration = Duration::from_millis(50);

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

    /// If nobody who is connected will do, ask routers also where that is not the rule: by id, by path, with --up or --down
    #[arg(long)]
    pub(crate) via_router: bool,
}

impl Terms {
    /// Both directions unless one is named.
    pub(crate) fn directions(&self) -> Directions {
        match (self.up, self.down) {
            (false, false) => Directions::BOTH,
            (up, down) => Directions { up, down },
        }
    }

    /// Says what of it has a meaning for all: no routers, and the time is said for answers alone.
    pub(crate) fn say_to_all<'a>(&self, all: All<'a>) -> All<'a> {
        let all = all.directions(self.directions());
        self.headers.iter().fold(all, |all, (key, value)| all.header(key, value.clone()))
    }

    /// Makes a call, again and again while nobody is there for it, as long as the wait says.
    pub(crate) fn patiently<T>(
        &self,
        node: &Handle,
        call: impl Fn() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let began = Instant::now();
        loop {
            let result = call();
            let may_come = self.wait.is_some_and(|patience| began.elapsed() < patience);
            let is_nobody = result.as_ref().err().is_some_and(Failure::is_nobody);
            if !(is_nobody && may_come && node.wait_timeout(LOOK)?.is_none()) {
                return result;
            }
        }
    }
}

/// Says the terms to a call of whatever type.
macro_rules! say {
    ($terms:expr, $call:expr) => {{
        let terms: &$crate::terms::Terms = $terms;
        let call = $call.directions(terms.directions()).timeout(terms.timeout);
        let call = if terms.via_router { call.via_router() } else { call };
        terms.headers.iter().fold(call, |call, (key, value)| call.header(key, value.clone()))
    }};
}

pub(crate) use say;
