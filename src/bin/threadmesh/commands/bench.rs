//! `threadmesh bench`: how many requests a second, and how long they take.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value as Json, json};
use threadmesh::{Bytes, Error, Filter, Handle};

use crate::args::seconds;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::histogram::Histogram;
use crate::interrupt;
use crate::links::Links;
use crate::output::Output;
use crate::whom;

const EXAMPLES: &str = "\
Examples:
  threadmesh bench --connect 127.0.0.1:8087
  threadmesh bench --connect 127.0.0.1:8087 --service auth --threads 8 --size 4096
  threadmesh bench --connect 127.0.0.1:8087 --to main --seconds 1 --json

Each thread asks, waits for the answer, and asks again. Where nobody is named, the node that was connected to is asked; services behind \
a router are named by --service or --filter. With --json \
{\"type\":\"bench\",\"requests\":…,\"per_second\":…,\"errors\":{CODE:…},\"latency_ms\":{\"p50\":…,\"p90\":…,\"p99\":…,\"max\":…},…}. The exit code is that of the \
first error, if there was one.";

/// What one message may have.
const MOST_BYTES: i64 = 16 * 1024 * 1024;

/// How long a thread pauses after an error, so that it does not count errors by the million.
const PAUSE: Duration = Duration::from_millis(10);

/// Measure requests: how many a second, and how long they take
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bench {
    #[command(flatten)]
    links: Links,

    /// Ask the node of this id
    #[arg(long, value_name = "ID", conflicts_with_all = ["filter", "service"])]
    to: Option<String>,

    /// Ask any one node whose options match, a new choice each time
    #[arg(long, value_name = "JSON", conflicts_with = "service")]
    filter: Option<String>,

    /// Ask any one node of this name, a new choice each time
    #[arg(long, value_name = "NAME")]
    service: Option<String>,

    /// Ask for the node of --to through a router if it is not connected; all others are found there anyway
    #[arg(long, requires = "to")]
    via_router: bool,

    /// What the requests are called; echo is answered by every node of this program
    #[arg(long, value_name = "NAME", default_value = "echo")]
    event: String,

    /// How many bytes each carries
    #[arg(long, value_name = "BYTES", default_value = "64")]
    #[arg(value_parser = clap::value_parser!(u32).range(..=MOST_BYTES))]
    size: u32,

    /// How many threads ask at once
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,

    /// For how long
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    seconds: Duration,

    /// How long one request may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
}

/// What threads have counted.
struct Count {
    latencies: Histogram,
    errors: BTreeMap<String, u64>,
    first_error: Option<Failure>,
}

/// Who is asked.
enum Target {
    Id(String),
    Any(Filter),
}

impl Bench {
    pub(crate) fn run(&self, out: &Output) -> Result<Exit, Failure> {
        let filter = match (&self.filter, &self.service) {
            (Some(filter), _) => Some(whom::filter(filter)?),
            (None, service) => service.as_deref().map(whom::service),
        };
        let session = self.links.open()?;
        let (node, first) = (&session.node, &session.peers[0].id);
        let target = match filter {
            Some(filter) => Target::Any(filter),
            None => Target::Id(self.to.clone().unwrap_or_else(|| first.to_string())),
        };
        // What fails at once is told as it is, and not counted.
        self.ask(node, &target, &self.data())?;
        let began = Instant::now();
        let count = self.measure(node, &target, began)?;
        let exit = self.print(out, &target, &count, began.elapsed());
        node.stop()?;
        Ok(if interrupt::is_requested() { Exit::Interrupted } else { exit })
    }

    fn data(&self) -> Bytes {
        Bytes::new(vec![b'x'; self.size as usize])
    }

    fn ask(&self, node: &Handle, target: &Target, data: &Bytes) -> Result<(), Error> {
        let call = match target {
            Target::Id(id) => node.to(id),
            Target::Any(filter) => node.any(filter),
        };
        let call = if self.via_router { call.via_router() } else { call };
        call.timeout(self.timeout).request::<threadmesh::Payload, _>(&self.event, data).map(drop)
    }

    fn measure(&self, node: &Handle, target: &Target, began: Instant) -> Result<Count, Failure> {
        thread::scope(|scope| {
            let start = |number| {
                let builder = thread::Builder::new().name(format!("bench-{number}"));
                builder.spawn_scoped(scope, move || self.ask_on(node, target, began))
            };
            let threads: Result<Vec<_>, _> = (0..self.threads).map(start).collect();
            let threads = threads.map_err(|why| {
                Failure::new(
                    Exit::Failed,
                    "NO_THREAD",
                    format!("a thread could not be started: {why}"),
                )
            })?;
            let counts = threads.into_iter().filter_map(|thread| thread.join().ok());
            Ok(counts.fold(Count::new(), Count::with))
        })
    }

    /// One thread.
    fn ask_on(&self, node: &Handle, target: &Target, began: Instant) -> Count {
        let (data, mut count) = (self.data(), Count::new());
        while began.elapsed() < self.seconds && !interrupt::is_requested() {
            let asked = Instant::now();
            match self.ask(node, target, &data) {
                Ok(()) => count.latencies.add(asked.elapsed()),
                // The end that was asked for is none.
                Err(_) if interrupt::is_requested() => break,
                Err(error) => {
                    count.fail(error.into());
                    // If the node stops, the next request tells.
                    let _ = node.wait_timeout(PAUSE);
                }
            }
        }
        count
    }

    fn print(&self, out: &Output, target: &Target, count: &Count, took: Duration) -> Exit {
        let latencies = &count.latencies;
        let requests = latencies.total();
        let rate = requests as f64 / took.as_secs_f64();
        let errors: u64 = count.errors.values().sum();
        let millis = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1000.0);
        let [p50, p90, p99] = [50, 90, 99].map(|percent| millis(latencies.percentile(percent)));
        let max = millis(latencies.longest());
        let whom = match target {
            Target::Id(id) => id.clone(),
            Target::Any(filter) => filter.to_string(),
        };
        let shown = |time: Option<f64>| time.map_or("-".to_owned(), |time| format!("{time:.3} ms"));
        let (threads, size, event) = (self.threads, self.size, &self.event);
        let mut text = format!(
            "{requests} requests, {rate:.0}/s, {errors} errors, p50 {}, p90 {}, p99 {}, max {} \
             ({event} to {whom}, {size} bytes, {threads} threads, {:.1} s)",
            shown(p50),
            shown(p90),
            shown(p99),
            shown(max),
            took.as_secs_f64(),
        );
        if let Some(failure) = &count.first_error {
            text = format!("{text}; first error {}", failure.text());
        }
        let json: Json = json!({
            "type": "bench", "requests": requests, "per_second": rate, "errors": count.errors,
            "latency_ms": { "p50": p50, "p90": p90, "p99": p99, "max": max },
            "event": event, "target": whom, "size": size, "threads": threads, "seconds": took.as_secs_f64(),
        });
        out.line(&text, &json);
        count.first_error.as_ref().map_or(Exit::Done, |failure| failure.exit)
    }
}

impl Count {
    fn new() -> Self {
        Self { latencies: Histogram::new(), errors: BTreeMap::new(), first_error: None }
    }

    fn fail(&mut self, failure: Failure) {
        *self.errors.entry(failure.code.clone()).or_default() += 1;
        self.first_error.get_or_insert(failure);
    }

    fn with(mut self, other: Self) -> Self {
        self.latencies.add_all(&other.latencies);
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
        self.first_error = self.first_error.or(other.first_error);
        self
    }
}
