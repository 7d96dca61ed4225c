//! W2: requests per second on one link, from many blocking threads and from one thread with many outstanding.
//! `cargo bench --bench calls [-- --quick]`. The baseline has as many frames under way, written and read in one piece.

mod common;

use std::cell::RefCell;

use common::{Effort, Server, Table, mesh, raw::Raw, thousands_per_second};

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
            mesh::threads(node, BYTES, many, each)
        });
        if WINDOWS.contains(&many) {
            let name = format!("one thread, {many} outstanding");
            table.cell(name, baseline, move |each| mesh::window(node, BYTES, many, each));
        }
    }
    table.measure(effort);
}
