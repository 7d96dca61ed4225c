//! W1: one request at a time, from the call to its answer, 64 B to 64 KiB. `cargo bench --bench roundtrip [-- --quick]`.

mod common;

use std::cell::RefCell;

use common::{Effort, Server, Table, mesh, raw::Raw, round_trips, size_name};
use threadmesh::Bytes;

const SIZES: [usize; 3] = [64, 1_024, 64 * 1_024];

fn main() {
    common::main(measure);
}

fn measure(effort: Effort) {
    let (raw_server, mesh_server) = (Server::start("raw"), Server::start("mesh"));
    let raw = RefCell::new(Raw::echo(&raw_server.address));
    let node = mesh::client(&mesh_server.address);
    let mut table = Table::new("W1: round trip, one outstanding, median", "µs");
    for bytes in SIZES {
        let name = size_name(bytes);
        let raw = &raw;
        let exchange = move || raw.borrow_mut().exchange(1, bytes);
        let baseline =
            table.baseline(format!("raw TCP, {name}"), move |each| round_trips(each, exchange));
        let (node, data) = (&node, Bytes::from(vec![7; bytes]));
        table.cell(format!("request, {name}"), baseline, move |each| {
            round_trips(each, || mesh::echo(node, &data))
        });
    }
    table.measure(effort);
}
