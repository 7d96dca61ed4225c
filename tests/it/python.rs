//! A client in another language, written from the protocol's own document: joins, asks, is asked, ticks and cancels.

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use ciborium::Value;
use threadmesh::{Node, Request, Tick};

use crate::support::{SOON, bounded, eventually, listening};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/mesh_client.py");

#[test]
fn a_client_written_from_the_protocols_document_is_a_full_peer() {
    bounded("python", Duration::from_secs(60), || {
        if Command::new("python3").arg("--version").output().is_err() {
            eprintln!("THERE IS NO python3 HERE: the client in another language was not tried");
            return;
        }
        let server = listening("s");
        let (tell, told) = channel();
        let slow = Arc::new(AtomicU32::new(0));
        serve(&server, tell, Arc::clone(&slow));
        let output = run(&server);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(told.recv_timeout(SOON).as_deref(), Ok("from python"), "{said}");
        // The cancel may have come before a worker took the request up, and then it never runs.
        eventually("no handler works for a client that has gone", || slow.load(SeqCst) == 0);
        eventually("python has left", || server.peers().is_empty());
    });
}

/// Handlers for everything the script asks for.
fn serve(server: &Node, tell: Sender<String>, slow: Arc<AtomicU32>) {
    server.on_request("echo", |request: Request<Value>| Ok(request.data)).unwrap();
    server.on_tick("note", move |tick: Tick<String>| tell.send(tick.data).unwrap()).unwrap();
    server
        .on_request("slow", move |request: Request<()>| {
            slow.fetch_add(1, SeqCst);
            eventually("the client has given up", || request.is_cancelled());
            slow.fetch_sub(1, SeqCst);
            Ok(())
        })
        .unwrap();
}

/// Runs the script to its end, and asks it something meanwhile, because it waits for that.
fn run(server: &Node) -> Output {
    let mut command = Command::new("python3");
    command.arg(CLIENT).arg(server.local_addr().unwrap().to_string());
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let script = command.spawn().expect("python3 was there a moment ago");
    let joined = server.wait_for_peer("python", SOON).unwrap();
    assert_eq!(joined.options.get_str("role"), Some("guest"));
    assert_eq!(server.request::<i64>("python", "python:double", &21).unwrap(), 42);
    script.wait_with_output().expect("a child can be waited for")
}
