//! The operations whose instructions are counted. Each is prepared once and then run again and
//! again; nothing that it does may depend on a clock, on an unseeded generator, or on another
//! thread.

use std::hint::black_box;
use std::time::Instant;

use super::engines::{Engines, PER_SECOND, STEP};
use super::peers::Peers;
use crate::event::EventName;
use crate::headers::Headers;
use crate::id::{CallId, NodeId};
use crate::options::Options;
use crate::payload::{Bytes, Decode, Encode, Payload};
use crate::proto::{Command, Input, Message};
use crate::routing::{Destination, Gauge, PowerOfTwo, Random, Search, Strategy};
use crate::wire::{self, DataHead, Incoming, put_data_head};

/// The data of each request and tick.
const BYTES: usize = 64;
/// How many ticks are queued before bytes are carried.
const BATCH: u32 = 64;
/// How many peers one is chosen from.
const PEERS: usize = 1_000;
/// How many fresh pairs of engines there are: one for each run, and some to warm up.
const PAIRS: u32 = PER_SECOND + 100;

/// An operation that can be repeated.
pub struct Workload {
    /// What the figure is called.
    pub name: &'static str,
    /// How many operations one run does.
    pub operations: u32,
    /// Of how many runs the mean is taken.
    pub runs: u32,
    /// Prepares it. The closure runs it once.
    pub prepare: fn() -> Box<dyn FnMut()>,
}

/// All workloads.
pub const WORKLOADS: &[Workload] = &[
    Workload { name: "encode", operations: 1, runs: 20_000, prepare: encode },
    Workload { name: "decode", operations: 1, runs: 20_000, prepare: decode },
    Workload { name: "filter-match", operations: 1, runs: 20_000, prepare: filter_match },
    Workload { name: "choose-random", operations: 1, runs: 4_000, prepare: choose_random },
    Workload { name: "choose-power-of-two", operations: 1, runs: 4_000, prepare: choose_power },
    Workload { name: "round-trip", operations: 1, runs: PER_SECOND, prepare: round_trip },
    Workload { name: "tick", operations: BATCH, runs: PER_SECOND, prepare: tick },
    Workload { name: "forward", operations: 1, runs: PER_SECOND, prepare: forward },
    Workload { name: "join", operations: 1, runs: PER_SECOND, prepare: join },
    Workload { name: "request-to-itself", operations: 1, runs: PER_SECOND, prepare: to_itself },
];

fn data() -> Bytes {
    Bytes::from(vec![7; BYTES])
}

fn payload() -> Payload {
    data().encode().expect("bytes can be encoded")
}

fn message() -> Message {
    let event = EventName::new("echo").expect("a legal name");
    Message { event, headers: Headers::default(), payload: payload() }
}

/// Encodes the data of one request, and its envelope.
fn put_request(out: &mut Vec<u8>, event: &EventName, headers: &Headers, data: &Bytes) {
    let payload = data.encode().expect("bytes can be encoded");
    let (call, timeout_ms, event) = (CallId(1_000), 10_000, event.as_bytes());
    let head = DataHead::Request { call, timeout_ms, depth: 0, event, headers, origin: None };
    put_data_head(out, &head, payload.len());
    out.extend_from_slice(&payload.head());
    out.extend_from_slice(payload.body());
}

fn encode() -> Box<dyn FnMut()> {
    let Message { event, headers, .. } = message();
    let (data, mut out) = (data(), Vec::new());
    Box::new(move || {
        out.clear();
        put_request(black_box(&mut out), black_box(&event), &headers, black_box(&data));
    })
}

/// The reverse of [`encode`].
fn decode() -> Box<dyn FnMut()> {
    let Message { event, headers, .. } = message();
    let mut bytes = Vec::new();
    put_request(&mut bytes, &event, &headers, &data());
    Box::new(move || {
        let bytes = black_box(&bytes);
        let Ok(Incoming::Data { head, payload }) = wire::parse(bytes, &mut 0) else {
            panic!("a request is well formed")
        };
        let payload = Payload::from_item_slice(&bytes[payload]);
        let data = Bytes::decode(&payload).expect("the data are bytes");
        black_box((head, data));
    })
}

/// One in ten peers is a worker.
fn options_of(number: usize) -> Options {
    let role = if number % 10 == 0 { "worker" } else { "api" };
    crate::options! { "role": role, "region": "eu", "load": number % 100, "version": 2 }
}

fn filter_match() -> Box<dyn FnMut()> {
    let filter = crate::filter! {
        "role": "worker", "load": { "$gte": 10, "$lt": 80 }, "region": { "$in": ["us", "eu"] }
    };
    let options = options_of(50);
    Box::new(move || {
        let matches = black_box(&filter).matches(black_box(&options));
        assert!(matches.expect("a sound filter"), "all of it holds");
    })
}

fn choose_random() -> Box<dyn FnMut()> {
    choose(Random)
}

fn choose_power() -> Box<dyn FnMut()> {
    choose(PowerOfTwo)
}

/// The first choice and its alternates among the peers that match an equality.
fn choose(strategy: impl Strategy + 'static) -> Box<dyn FnMut()> {
    let now = Instant::now();
    let peers = Peers::joined(|| now, PEERS, options_of, |_| Vec::new());
    let mut peers = peers.expect("peers with legal ids");
    peers.handle(now, Input::Command(Command::Index { key: "role".to_owned() }));
    let directory = peers.engine.directory().clone();
    assert!(directory.is_indexed("role"), "the engine keeps its peers by their roles");
    let filter = Some(crate::filter! { "role": "worker" });
    let origin = NodeId::new("client").expect("a legal id");
    let search = Search { id: None, filter, pattern: None, origin };
    let mut rng = fastrand::Rng::with_seed(1);
    Box::new(move || {
        let steps = search.steps(black_box(&directory), &strategy, rng.fork(), now);
        assert!(!steps.expect("a sound filter").is_empty(), "one matches");
    })
}

/// A request to a peer, and its reply.
fn round_trip() -> Box<dyn FnMut()> {
    let (mut engines, message) = (Engines::new(Instant::now(), &["client", "server"]), message());
    engines.connect(0, 1);
    Box::new(move || {
        let plan = engines.plan(0, "server", Gauge::ask_call, &message.payload);
        engines.request(0, plan, message.clone());
        engines.reply(message.payload.clone());
    })
}

/// A batch of ticks to a peer, and the confirmation that its handlers are done.
fn tick() -> Box<dyn FnMut()> {
    let (mut engines, message) = (Engines::new(Instant::now(), &["client", "server"]), message());
    engines.connect(0, 1);
    Box::new(move || {
        for _ in 0..BATCH {
            let plan = engines.plan(0, "server", Gauge::ask_tick, &message.payload);
            engines.tick(0, plan, message.clone());
        }
        engines.consume(BATCH as usize);
    })
}

/// A request through a router, and its reply.
fn forward() -> Box<dyn FnMut()> {
    let ids = ["client", "router", "server"];
    let (mut engines, message) = (Engines::new(Instant::now(), &ids), message());
    engines.connect(0, 1);
    engines.connect(2, 1);
    let server = Destination::Id(NodeId::new("server").expect("a legal id"));
    Box::new(move || {
        let plan = engines.plan_through("router", &server, Gauge::ask_call, &message.payload);
        engines.request(0, plan, message.clone());
        engines.reply(message.payload.clone());
    })
}

/// Both ends of a fresh link, from the dial to the directory.
fn join() -> Box<dyn FnMut()> {
    let now = Instant::now();
    let pair = |number| Engines::new(now + STEP * number, &["client", "server"]);
    let mut pairs = (0..PAIRS).map(pair).collect::<Vec<_>>().into_iter();
    // What has joined is kept: its end is another operation.
    let mut joined = Vec::with_capacity(PAIRS as usize);
    Box::new(move || {
        let mut pair = pairs.next().expect("a pair that has not joined");
        pair.connect(0, 1);
        joined.push(pair);
    })
}

/// A request of an engine to itself, and its reply.
fn to_itself() -> Box<dyn FnMut()> {
    let (mut engines, message) = (Engines::new(Instant::now(), &["alone"]), message());
    Box::new(move || {
        let plan = engines.plan_to_itself(0, Gauge::ask_call, &message.payload);
        engines.request(0, plan, message.clone());
        engines.reply(message.payload.clone());
    })
}
