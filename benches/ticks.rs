//! W3: ticks per second from one thread, single and in batches, counted at the receiver's handler; 1 MiB as bytes per second.
//! `cargo bench --bench ticks [-- --quick]`.

mod common;

use std::cell::RefCell;
use std::time::Duration;

use common::mesh::{Typed, stream, tick, ticks};
use common::{Effort, Server, Table, mesh, raw::Raw, size_name};
use threadmesh::Bytes;

const SIZES: [usize; 2] = [64, 1_024];
const BATCH: usize = 64;
const LARGE: usize = 1_048_576;

fn main() {
    common::main(measure);
}

fn thousands((count, took): (u64, Duration)) -> f64 {
    count as f64 / took.as_secs_f64() / 1e3
}

fn megabytes((count, took): (u64, Duration)) -> f64 {
    count as f64 * LARGE as f64 / took.as_secs_f64() / 1e6
}

fn measure(effort: Effort) {
    let (raw_server, mesh_server) = (Server::start("raw"), Server::start("mesh"));
    let raw = RefCell::new(Raw::count(&raw_server.address));
    let node = mesh::client(&mesh_server.address);
    let (raw, node) = (&raw, &node);

    let mut table = Table::new("W3: ticks, counted by the handler", "k/s");
    for bytes in SIZES {
        let name = size_name(bytes);
        let data = Bytes::from(vec![7; bytes]);
        let baseline = table.baseline(format!("raw TCP, {name}, batched writes"), move |each| {
            thousands(raw.borrow_mut().stream(each, bytes))
        });
        let one = data.clone();
        table.cell(format!("one tick a call, {name}"), baseline, move |each| {
            thousands(stream(node, each, |node| {
                (0..BATCH).map(|_| tick(node, "count", &one)).sum()
            }))
        });
        table.cell(format!("{BATCH} ticks a call, {name}"), baseline, move |each| {
            thousands(stream(node, each, |node| ticks(node, &data, BATCH)))
        });
        if bytes == SIZES[0] {
            let typed = Typed::sample();
            table.cell("one typed tick a call, 91 B", baseline, move |each| {
                thousands(stream(node, each, |node| {
                    (0..BATCH).map(|_| tick(node, "typed", &typed)).sum()
                }))
            });
        }
    }
    table.measure(effort);

    let mut table = Table::new("W3: ticks of 1 MiB", "MB/s");
    let baseline =
        table.baseline("raw TCP", move |each| megabytes(raw.borrow_mut().stream(each, LARGE)));
    let data = Bytes::from(vec![7; LARGE]);
    table.cell("one tick a call", baseline, move |each| {
        megabytes(stream(node, each, |node| tick(node, "count", &data)))
    });
    table.measure(effort);
}
