//! A client in another language, written from the protocol's own document: joins, asks, is asked, ticks and cancels.

use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
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
        serve(&server, tell);
        let output = run(&server);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(told.recv_timeout(SOON).as_deref(), Ok("from python"), "{said}");
        assert_eq!(told.recv_timeout(SOON).as_deref(), Ok("cancelled"), "{said}");
        eventually("python has left", || server.peers().is_empty());
    });
}

/// Handlers for everything the script asks for.
fn serve(server: &Node, tell: std::sync::mpsc::Sender<String>) {
    server.on_request("echo", |request: Request<Value>| Ok(request.data)).unwrap();
    let noting = tell.clone();
    server.on_tick("note", move |tick: Tick<String>| noting.send(tick.data).unwrap()).unwrap();
    let (begin, begun) = crossbeam_channel::bounded(1);
    server
        .on_request("slow:begun", move |_: Request<()>| {
            begun.recv_timeout(SOON).map_err(|_| "the slow handler was not called".into())
        })
        .unwrap();
    server
        .on_request("slow", move |request: Request<()>| {
            begin.send(()).unwrap();
            eventually("the client has given up", || request.is_cancelled());
            tell.send("cancelled".into()).unwrap();
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
    assert_eq!(server.request::<i64, _>("python", "python:double", &21).unwrap(), 42);
    script.wait_with_output().expect("a child can be waited for")
}
