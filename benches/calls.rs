//! W2: requests per second on one link, from many blocking threads and from one thread with many outstanding.
//! `cargo bench --bench calls [-- --quick]`. The baseline has as many frames under way, written and read in one piece.

mod common;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use common::{Effort, Server, Table, mesh, raw::Raw, thousands_per_second};
use threadmesh::{Bytes, Node, Pending};

const BYTES: usize = 64;
const THREADS: [usize; 4] = [1, 8, 64, 256];
const WINDOWS: [usize; 2] = [64, 256];

fn main() {
    common::main(measure);
}

fn measure(effort: Effort) {
    let (raw_server, mesh_server) = (Server::start("raw"), Server::start("mesh"));
    let raw = RefCell::new(Raw::echo(&raw_server.address));
    let node = mesh::client(&mesh_server.address);
    let (raw, node) = (&raw, &node);
    let mut table = Table::new("W2: requests of 64 B", "k/s");
    for many in THREADS {
        let exchange = move || {
            raw.borrow_mut().exchange(many, BYTES);
            many as u64
        };
        let name = format!("raw TCP, {many} at once");
        let baseline = table.baseline(name, move |each| thousands_per_second(each, exchange));
        table.cell(format!("{many} blocking threads"), baseline, move |each| {
            threads(node, many, each)
        });
        if WINDOWS.contains(&many) {
            let name = format!("one thread, {many} outstanding");
            table.cell(name, baseline, move |each| window(node, many, each));
        }
    }
    table.measure(effort);
}

fn threads(node: &Node, many: usize, each: Duration) -> f64 {
    let (done, completed) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..many {
            scope.spawn(|| {
                let data = Bytes::from(vec![7; BYTES]);
                while !done.load(Relaxed) {
                    mesh::echo(node, &data);
                    completed.fetch_add(1, Relaxed);
                }
            });
        }
        thread::park_timeout(each);
        done.store(true, Relaxed);
    });
    completed.load(Relaxed) as f64 / began.elapsed().as_secs_f64() / 1e3
}

fn window(node: &Node, many: usize, each: Duration) -> f64 {
    let data = Bytes::from(vec![7; BYTES]);
    let start = || node.start::<Bytes>(mesh::SERVER, "echo", &data).expect("the link has room");
    let finish = |pending: Pending<Bytes>| pending.wait().expect("the server echoes");
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
