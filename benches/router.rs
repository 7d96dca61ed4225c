//! W6: one hop through a router beside the same two processes connected directly, and what the router itself spends on it.
//! `cargo bench --bench router [-- --quick]`.

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{Effort, Server, Table, mesh, round_trips, size_name};
use threadmesh::{Bytes, Filter, Node, Pending, Router, filter};

const SIZES: [usize; 3] = [64, 64 * 1_024, 1_024 * 1_024];
const OUTSTANDING: usize = 256;
/// Of the clock in which Linux tells what a process has used.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() {
    match std::env::args().skip_while(|argument| argument != "--serve").nth(1) {
        Some(address) if address.contains(':') => route(&address),
        _ => common::main(measure),
    }
}

/// A router that has dialled the service.
fn route(service: &str) {
    let router = Router::builder().id("router").bind("127.0.0.1:0").start().expect("a free port");
    router.connect(service).expect("the service listens");
    common::announce(router.local_addr().expect("it is bound"));
    common::until_the_parent_ends();
}

fn measure(effort: Effort) {
    let service = Server::start("mesh");
    let router = Server::start(&service.address);
    let direct = mesh::client(&service.address);
    let through = Node::builder().id("behind").start().expect("a node needs nothing");
    through.connect(&router.address[..]).expect("the router listens");

    let mut table = Table::new("W6: round trip, one outstanding, median", "µs").than("direct");
    for bytes in SIZES {
        let name = size_name(bytes);
        let data = Bytes::from(vec![7; bytes]);
        let (direct, through, again) = (&direct, &through, data.clone());
        let baseline = table.baseline(format!("direct, {name}"), move |each| {
            round_trips(each, || mesh::echo(direct, &data))
        });
        let service = echoing();
        table.cell(format!("through a router, {name}"), baseline, move |each| {
            round_trips(each, || echo(through, &service, &again))
        });
    }
    table.measure(effort);

    let mut table = Table::new("W6: requests, 64 B, thousands a second", "k/s").than("direct");
    let (direct, through) = (&direct, &through);
    let baseline = table.baseline(format!("direct, {OUTSTANDING} outstanding"), move |each| {
        mesh::window(direct, 64, OUTSTANDING, each)
    });
    table.cell(format!("through a router, {OUTSTANDING} outstanding"), baseline, move |each| {
        window(through, each)
    });
    table.measure(effort);
    spent(router.id(), through, effort.each * 4);
}

fn echoing() -> Filter {
    filter! { "_id": mesh::SERVER }
}

fn echo(node: &Node, service: &Filter, data: &Bytes) {
    let back: Bytes = node.any(service).request("echo", data).expect("the service echoes");
    assert_eq!(back.len(), data.len());
}

/// Thousands of requests a second from one thread that keeps many outstanding.
fn window(node: &Node, each: Duration) -> f64 {
    let (service, data) = (echoing(), Bytes::from(vec![7; 64]));
    let start = || node.any(&service).start::<Bytes, _>("echo", &data).expect("there is room");
    let finish = |pending: Pending<Bytes>| pending.wait().expect("the service echoes");
    common::mesh::windowed(OUTSTANDING, each, start, finish)
}

/// What the router's process uses for a message, and what it holds when large ones pass.
fn spent(router: u32, node: &Node, each: Duration) {
    let (before, began) = (cpu_seconds(router), Instant::now());
    let rate = window(node, each);
    let took = began.elapsed().as_secs_f64();
    let (Some(before), Some(after)) = (before, cpu_seconds(router)) else {
        return println!("\nThis system does not tell what a process has used.");
    };
    let forwards = rate * 1e3 * took;
    let each = (after - before) / forwards * 1e6;
    println!("\nThe router, while {OUTSTANDING} requests of 64 B were outstanding:");
    println!(
        "  {forwards:.0} forwards in {took:.2} s, {:.0} % of a core",
        (after - before) / took * 100.0
    );
    println!(
        "  {each:.2} µs of the processor each: {:.0} thousands a second on one core",
        1e3 / each
    );
    let (service, data) = (echoing(), Bytes::from(vec![7; 1_024 * 1_024]));
    echo(node, &service, &data);
    let first = resident(router);
    (0..100).for_each(|_| echo(node, &service, &data));
    let kib = |bytes: Option<u64>| bytes.map_or("?".to_owned(), |kib| kib.to_string());
    println!(
        "  memory after 1 message of 1 MiB each way {} KiB, after 100 more {} KiB",
        kib(first),
        kib(resident(router))
    );
}

/// Of that process, in user mode and in the kernel.
fn cpu_seconds(process: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let of = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((of(11)? + of(12)?) / TICKS_PER_SECOND)
}

/// The most that process had in memory at once, in KiB.
fn resident(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
