//! Stands in for the engine in the tests of this room: makes deliveries and collects what handlers answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::{Outlet, Service, context};
use crate::config::{Config, Limits};
use crate::error::{Error, ErrorKind, Execution};
use crate::event::EventName;
use crate::headers::Headers;
use crate::id::{CallId, LinkId, NodeId, PeerKey};
use crate::node_event::Direction;
use crate::options::Options;
use crate::payload::{Encode, Payload};
use crate::proto::{Answer, Delivery, Message, ReplyTo, Work};
use crate::routing::{Pace, PeerEntry, Services};

/// No test waits longer than this for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Ticks and their cost, of one link.
type Consumed = (LinkId, u64, u64);

/// What handlers have told the engine.
pub(super) struct FakeEngine {
    calls: Mutex<HashMap<CallId, Sender<Answer>>>,
    next: AtomicU64,
    consumed: Sender<Consumed>,
    pub(super) is_consumed: Receiver<Consumed>,
    pub(super) services: Mutex<Vec<Vec<String>>>,
    pub(super) has_stopped: AtomicBool,
}

impl FakeEngine {
    fn complete(&self, reply_to: ReplyTo, answer: Answer) {
        let call = self.calls.lock().unwrap().remove(&reply_to.call);
        // A second answer to one request finds no call.
        let _ = call.expect("each request is answered once").send(answer);
    }

    /// Waits until so many ticks are reported; the reports.
    pub(super) fn consumed(&self, ticks: u64) -> Vec<Consumed> {
        let mut reports = Vec::new();
        while reports.iter().map(|(_, ticks, _)| *ticks).sum::<u64>() < ticks {
            reports.push(self.is_consumed.recv_timeout(PATIENCE).expect("ticks are reported"));
        }
        reports
    }
}

impl Outlet for FakeEngine {
    fn answer(&self, reply_to: ReplyTo, answer: Answer) -> bool {
        self.complete(reply_to, answer);
        !self.has_stopped.load(Ordering::Relaxed)
    }

    fn consumed(&self, link: LinkId, ticks: u64, cost: u64) {
        self.consumed.send((link, ticks, cost)).unwrap();
    }

    fn services(&self, names: Vec<String>) {
        self.services.lock().unwrap().push(names);
    }
}

/// One node: a service and its fake engine.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) service: Arc<Service>,
    pub(super) engine: Arc<FakeEngine>,
}

pub(super) fn limits(workers_min: usize, workers_max: usize) -> Limits {
    Limits { workers_min, workers_max, ..Limits::default() }
}

impl Fake {
    pub(super) fn new(limits: &Limits) -> Self {
        Self::with_idle(limits, Duration::from_secs(10))
    }

    pub(super) fn with_idle(limits: &Limits, idle: Duration) -> Self {
        let (consumed, is_consumed) = unbounded();
        let engine = Arc::new(FakeEngine {
            calls: Mutex::default(),
            next: AtomicU64::new(1),
            consumed,
            is_consumed,
            services: Mutex::default(),
            has_stopped: AtomicBool::new(false),
        });
        let config = Config { limits: limits.clone(), ..Config::default() };
        let service = Service::start_with_idle(&config, "here", engine.clone(), idle);
        Self { service: Arc::new(service), engine }
    }

    /// A request that is ready to be delivered, and where its answer will come.
    pub(super) fn request(&self, event: &str, data: &impl Encode) -> (Delivery, Receiver<Answer>) {
        self.deep(event, data, 0)
    }

    pub(super) fn deep(
        &self,
        event: &str,
        data: &impl Encode,
        depth: u8,
    ) -> (Delivery, Receiver<Answer>) {
        self.over(1, event, data, depth)
    }

    /// The same over another link.
    pub(super) fn over(
        &self,
        link: u64,
        event: &str,
        data: &impl Encode,
        depth: u8,
    ) -> (Delivery, Receiver<Answer>) {
        let call = CallId(self.engine.next.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = bounded(1);
        self.engine.calls.lock().unwrap().insert(call, sender);
        let reply_to = ReplyTo { link: LinkId(link), call };
        let deadline = Instant::now() + PATIENCE;
        let work = Work::Request {
            reply_to,
            deadline,
            depth,
            cancelled: Arc::new(AtomicBool::new(false)),
        };
        (delivery(link, None, event, data.encode().unwrap(), work), receiver)
    }

    pub(super) fn deliver(&self, mut batch: Vec<Delivery>) {
        for (reply_to, answer) in self.service.deliver(&mut batch) {
            self.engine.complete(reply_to, answer);
        }
        assert!(batch.is_empty());
    }

    /// Delivers one request.
    pub(super) fn ask(&self, event: &str, data: &impl Encode) -> Receiver<Answer> {
        let (delivery, answer) = self.request(event, data);
        self.deliver(vec![delivery]);
        answer
    }

    /// A blocking call from this thread, as the face makes it, back into this node.
    pub(super) fn call(&self, event: &str, data: &impl Encode) -> Answer {
        let depth = context::current().map_or(0, context::Context::nested_depth);
        let (delivery, answer) = self.deep(event, data, depth);
        let _waiting = super::waiting();
        self.deliver(vec![delivery]);
        taken(&answer)
    }

    /// Waits until the number of workers is this.
    pub(super) fn until_workers(&self, expected: usize) {
        let until = Instant::now() + PATIENCE;
        while self.service.stats().pool.workers != expected {
            assert!(Instant::now() < until, "{:?}", self.service.stats());
            std::thread::yield_now();
        }
    }
}

pub(super) fn tick(link: u64, origin: Option<&str>, event: &str, data: &impl Encode) -> Delivery {
    delivery(link, origin, event, data.encode().unwrap(), Work::Tick { cost: 128 })
}

fn delivery(
    link: u64,
    origin: Option<&str>,
    event: &str,
    payload: Payload,
    work: Work,
) -> Delivery {
    let sender = PeerEntry {
        key: PeerKey(link),
        id: NodeId::new("there").unwrap(),
        options: Options::default(),
        up: None,
        down: None,
        services: Services::default(),
        address: None,
        host: "here".into(),
        older: Direction::Up,
        is_local: true,
        pace: Arc::new(Pace::new(std::time::Instant::now())),
    };
    Delivery {
        link: LinkId(link),
        sender: Arc::new(sender),
        origin: origin.map(|id| NodeId::new(id).unwrap()),
        message: Message {
            event: EventName::new(event).unwrap(),
            headers: Headers::default(),
            payload,
        },
        work,
    }
}

/// The answer, within the patience of a test.
pub(super) fn taken(answer: &Receiver<Answer>) -> Answer {
    answer.recv_timeout(PATIENCE).expect("an answer comes")
}

/// The error of an answer that is a fault.
pub(super) fn fault(answer: Answer) -> Error {
    match answer {
        Answer::Fault(error) => error,
        other => panic!("no fault: {other:?}"),
    }
}

pub(super) fn assert_fault(answer: Answer, kind: ErrorKind, execution: Execution) {
    let error = fault(answer);
    assert_eq!((error.kind(), error.execution()), (kind, execution), "{error}");
}

/// The data of an answer that is a reply.
pub(super) fn reply<T: crate::payload::Decode>(answer: Answer) -> T {
    match answer {
        Answer::Reply(payload) => T::decode(&payload).unwrap(),
        other => panic!("no reply: {other:?}"),
    }
}
