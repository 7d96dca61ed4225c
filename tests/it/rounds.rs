//! What is left behind: nothing, after ten thousand connections, and nothing, after a node has stopped.

use std::net::TcpListener;
use std::time::Duration;

use crossbeam_channel::bounded as bounded_channel;
use threadmesh::{ErrorKind, Limits, Node, NodeEvent, Request};

use crate::support::bound::threads_in_detail;
use crate::support::process::Process;
use crate::support::{SOON, bounded, builder, census, eventually, expect_event, pair};

const ROUNDS: usize = 10_000;
/// Memory is compared with that after this round, when every pool has its size.
const WARM: usize = 1_000;
const MEMORY: u64 = 2 * 1_024 * 1_024;

#[test]
fn ten_thousand_rounds_leave_nothing_behind() {
    bounded("rounds", Duration::from_secs(130), || Process::start("rounds", "").succeed());
}

/// A child, so that the threads and descriptors it counts are its own.
pub(crate) fn many_rounds(_: &str) {
    // Workers start when they are needed: with one there is nothing to start late.
    let mut limits = Limits::default();
    (limits.workers_min, limits.workers_max) = (1, 1);
    let server = builder("s").limits(limits).bind("127.0.0.1:0").start().unwrap();
    server.on_request("echo", |request: Request<usize>| Ok(request.data)).unwrap();
    let address = server.local_addr().unwrap();
    let client = builder("c").start().unwrap();
    start_every_thread(&server, &client);
    let mut warm = None;
    for round in 1..=ROUNDS {
        client.connect(address).unwrap();
        assert_eq!(client.request::<usize, _>("s", "echo", &round).unwrap(), round);
        client.disconnect(address).unwrap();
        if round == WARM {
            eventually("the server has noticed", || server.peers().is_empty());
            warm = census::take().zip(census::memory());
        }
    }
    let Some((held, memory)) = warm else {
        println!("this system does not tell what a process holds: only the rounds were shown");
        return;
    };
    eventually(&format!("threads and descriptors as after {WARM} rounds: {held:?}"), || {
        census::take()
            .is_some_and(|now| now.threads <= held.threads && now.descriptors <= held.descriptors)
    });
    let grown = census::memory().unwrap_or_default().saturating_sub(memory);
    assert!(grown <= MEMORY, "{grown} bytes more than after {WARM} rounds");
}

/// Work that waits behind other work starts the one thread that an idle node lacks.
fn start_every_thread(server: &Node, client: &Node) {
    let (release, held) = bounded_channel(2);
    let hold = move |_: Request<()>| held.recv_timeout(SOON).map_err(|_| "not released".into());
    server.on_request("hold", hold).unwrap();
    client.connect(server.local_addr().unwrap()).unwrap();
    let open: Vec<_> = (0..2).map(|_| client.start::<(), _>("s", "hold", &()).unwrap()).collect();
    eventually("the watch stands", || {
        let threads = threads_in_detail();
        threads.len() == 1 || threads.iter().any(|thread| thread.starts_with("tm-s-watch"))
    });
    for _ in &open {
        release.send(()).unwrap();
    }
    for pending in open {
        pending.wait().unwrap();
    }
    client.disconnect(server.local_addr().unwrap()).unwrap();
}

// covers P34
#[test]
fn t133_a_stopped_node_leaves_no_thread_no_port_and_no_open_call() {
    bounded("t133", Duration::from_secs(60), || Process::start("stopped", "").succeed());
}

/// A child, as above.
pub(crate) fn stopped_nodes(_: &str) {
    let before = census::take();
    let (client, server) = pair();
    let address = server.local_addr().unwrap();
    let mut events = server.events();
    server.stop().unwrap();
    expect_event(&mut events, |event| matches!(event, NodeEvent::Stopped).then_some(()));
    assert!(events.next().is_none(), "nothing follows the end");
    drop(TcpListener::bind(address).expect("the port is free again"));
    for error in [
        server.request::<(), _>("c", "x", &()).unwrap_err(),
        server.tick("c", "x", &()).unwrap_err(),
        server.connect(address).unwrap_err(),
        server.bind("127.0.0.1:0").unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
    client.stop().unwrap();
    drop((client, server));
    eventually(&format!("threads and descriptors as before: {before:?}"), || {
        census::take() == before
    });
}
