//! The crate itself: a node that echoes and counts, and the node that asks it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use threadmesh::{Bytes, HandlerError, Node, Pending, Request, Tick};

use super::{announce, thousands_per_second, until_the_parent_ends};

pub(crate) const SERVER: &str = "server";

/// Longer than any run: what a tick waits for room, and what the server waits for ticks.
const PATIENCE: Duration = Duration::from_secs(30);

/// A typical typed payload, about 90 bytes on the wire.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Typed {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
}

impl Typed {
    pub(crate) fn sample() -> Self {
        let tags = ["red", "green", "blue", "cyan", "amber"].map(str::to_owned);
        Self { id: 12_345_678_901, name: "a name of usual length".into(), tags: tags.to_vec() }
    }
}

/// What the tick handlers have seen, and who waits for how many.
#[derive(Default)]
struct Counter {
    seen: AtomicU64,
    awaited: AtomicU64,
    lock: Mutex<()>,
    reached: Condvar,
}

impl Counter {
    fn count(&self) {
        let seen = self.seen.fetch_add(1, SeqCst) + 1;
        if seen == self.awaited.load(SeqCst) {
            drop(self.lock.lock().expect("nobody panics while holding it"));
            self.reached.notify_all();
        }
    }

    /// Waits until `ticks` more were seen than at the last call.
    fn wait(&self, ticks: u64) -> bool {
        self.awaited.store(ticks, SeqCst);
        let guard = self.lock.lock().expect("nobody panics while holding it");
        let missing = |(): &mut ()| self.seen.load(SeqCst) < ticks;
        let waited = self.reached.wait_timeout_while(guard, PATIENCE, missing);
        let in_time = !waited.expect("nobody panics while holding it").1.timed_out();
        self.awaited.store(0, SeqCst);
        self.seen.store(0, SeqCst);
        in_time
    }
}

/// Echoes requests and counts ticks until the parent ends.
pub(crate) fn serve() {
    let counter = Arc::new(Counter::default());
    let node = Node::builder().id(SERVER).bind("127.0.0.1:0").start().expect("a free port");
    node.on_request("echo", |request: Request<Bytes>| Ok::<_, HandlerError>(request.data))
        .expect("a legal name");
    let counting = Arc::clone(&counter);
    node.on_tick("count", move |_: Tick<Bytes>| counting.count()).expect("a legal name");
    let counting = Arc::clone(&counter);
    node.on_tick("typed", move |_: Tick<Typed>| counting.count()).expect("a legal name");
    node.on_request("counted", move |request: Request<u64>| {
        Ok::<_, HandlerError>(counter.wait(request.data))
    })
    .expect("a legal name");
    announce(node.local_addr().expect("it is bound"));
    until_the_parent_ends();
}

/// A node that has joined the server.
pub(crate) fn client(address: &str) -> Node {
    let node = Node::builder().id("client").start().expect("a node needs nothing");
    node.connect(address).expect("the server listens");
    node
}

pub(crate) fn echo(node: &Node, data: &Bytes) {
    let back: Bytes = node.request(SERVER, "echo", data).expect("the server echoes");
    assert_eq!(back.len(), data.len());
}

/// Lets `send` send ticks for that long; returns how many the server's handler counted, and in what time.
pub(crate) fn stream(
    node: &Node,
    each: Duration,
    mut send: impl FnMut(&Node) -> u64,
) -> (u64, Duration) {
    let began = Instant::now();
    let mut sent = 0;
    while began.elapsed() < each {
        sent += send(node);
    }
    let arrived = node.to(SERVER).timeout(2 * PATIENCE).request("counted", &sent);
    assert_eq!(arrived.ok(), Some(true), "{sent} ticks were accepted, not all were handled");
    (sent, began.elapsed())
}

pub(crate) fn tick(node: &Node, event: &str, data: &impl threadmesh::Encode) -> u64 {
    node.to(SERVER).wait(PATIENCE).tick(event, data).expect("the server keeps up");
    1
}

pub(crate) fn ticks(node: &Node, data: &Bytes, batch: usize) -> u64 {
    let data = std::iter::repeat_n(data, batch).cloned();
    node.to(SERVER).wait(PATIENCE).ticks("count", data).all().expect("the server keeps up") as u64
}

/// Thousands of requests a second from so many threads, each of which waits for its answers.
pub(crate) fn threads(node: &Node, bytes: usize, many: usize, each: Duration) -> f64 {
    let (done, completed) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..many {
            scope.spawn(|| {
                let data = Bytes::from(vec![7; bytes]);
                while !done.load(Relaxed) {
                    echo(node, &data);
                    completed.fetch_add(1, Relaxed);
                }
            });
        }
        thread::park_timeout(each);
        done.store(true, Relaxed);
    });
    completed.load(Relaxed) as f64 / began.elapsed().as_secs_f64() / 1e3
}

/// Thousands of requests a second from one thread that keeps so many outstanding.
pub(crate) fn window(node: &Node, bytes: usize, many: usize, each: Duration) -> f64 {
    let data = Bytes::from(vec![7; bytes]);
    let start = || node.start::<Bytes, _>(SERVER, "echo", &data).expect("the link has room");
    let finish = |pending: Pending<Bytes>| pending.wait().expect("the server echoes");
    windowed(many, each, start, finish)
}

/// The same for any kind of request.
pub(crate) fn windowed<R>(
    many: usize,
    each: Duration,
    start: impl Fn() -> Pending<Bytes>,
    finish: impl Fn(Pending<Bytes>) -> R,
) -> f64 {
    let mut open: VecDeque<_> = (0..many).map(|_| start()).collect();
    let rate = thousands_per_second(each, || {
        // Takes all that has come, at least one, so that answers that came together are taken together.
        let mut finished = 0;
        while let Some(pending) = open.pop_front() {
            if finished > 0 && pending.receiver().is_empty() {
                open.push_front(pending);
                break;
            }
            finish(pending);
            finished += 1;
        }
        open.extend((0..finished).map(|_| start()));
        finished
    });
    open.into_iter().map(finish).for_each(drop);
    rate
}
