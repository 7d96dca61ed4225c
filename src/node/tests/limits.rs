//! What the program may give, at one less than the limit, at the limit, and at one more.

use super::*;
use crate::config::{Config, LONGEST_TIMEOUT};
use crate::headers::Headers;
use crate::options::Options;

/// Refused, and the text names the limit.
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind, limit: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.execution()), (kind, Execution::Never), "{error}");
    assert!(error.message().contains(limit), "{error}");
}

#[test]
fn an_id_has_at_most_128_bytes() {
    let _bound = crate::bound::bound();
    for len in [127, 128] {
        assert_eq!(node(&"x".repeat(len)).id().as_str().len(), len);
    }
    let long = Node::builder().id("x".repeat(129)).start();
    refused(long, ErrorKind::InvalidArgument, "128");
}

#[test]
fn a_host_has_at_most_255_bytes() {
    let _bound = crate::bound::bound();
    let named = |len: usize| Node::builder().host("x".repeat(len)).start();
    named(255).unwrap();
    refused(named(256), ErrorKind::InvalidArgument, "255");
}

#[test]
fn an_event_has_at_most_1024_bytes() {
    let _bound = crate::bound::bound();
    let (server, client) = pair();
    let heard = |len: usize| {
        server.on_request(&*"x".repeat(len), |_: Request<()>| Ok(()))?;
        client.request::<(), _>("server", &*"x".repeat(len), &())
    };
    heard(1_023).unwrap();
    heard(1_024).unwrap();
    refused(heard(1_025), ErrorKind::InvalidEvent, "1024");
    let long = client.tick("server", &*"x".repeat(1_025), &());
    refused(long, ErrorKind::InvalidEvent, "1024");
}

#[test]
fn options_have_at_most_64_entries_4_levels_and_8192_bytes() {
    let _bound = crate::bound::bound();
    let one = node("one");
    let many = |count: usize| {
        (0..count).fold(Options::new(), |all, at| all.with(at.to_string(), at as u64))
    };
    // The node's own id is one of them.
    one.set_options(many(62)).unwrap();
    one.set_options(many(63)).unwrap();
    refused(one.set_options(many(64)), ErrorKind::InvalidArgument, "64 entries");
    refused(Node::builder().options(many(64)).start(), ErrorKind::InvalidArgument, "64 entries");
    one.set_options(crate::options! { "a": [[0]] }).unwrap();
    one.set_options(crate::options! { "a": [[[0]]] }).unwrap();
    refused(
        one.set_options(crate::options! { "a": [[[[0]]]] }),
        ErrorKind::InvalidArgument,
        "4 deep",
    );
    // The head of the map, `_id` and its value, the key and the head of the text take 1 + 4 + 4 + 2 + 3 bytes.
    let long = |bytes: usize| Options::new().with("a", "x".repeat(bytes - 14));
    one.set_options(long(8_191)).unwrap();
    one.set_options(long(8_192)).unwrap();
    refused(one.set_options(long(8_193)), ErrorKind::InvalidArgument, "8192");
    assert_eq!(
        one.options().get_str("a").unwrap().len(),
        8_192 - 14,
        "what was refused changes nothing"
    );
}

#[test]
fn headers_are_at_most_32_with_4096_bytes() {
    let _bound = crate::bound::bound();
    let mut headers = Headers::new();
    for at in 0..32 {
        headers.insert(format!("{at:02}"), true).unwrap();
    }
    refused(headers.insert("one more", true), ErrorKind::InvalidArgument, "32");
    let long = |bytes: usize| Headers::new().insert("a", "x".repeat(bytes - 5));
    long(4_095).unwrap();
    long(4_096).unwrap();
    refused(long(4_097), ErrorKind::InvalidArgument, "4096");
    let (server, client) = pair();
    server.on_request("x", |request: Request<()>| Ok(request.headers().len())).unwrap();
    let call = (0..32).fold(client.to("server"), |call, at| call.header(format!("{at:02}"), true));
    assert_eq!(call.request::<usize, _>("x", &()).unwrap(), 32);
    let call = call.header("one more", true);
    refused(call.request::<usize, _>("x", &()), ErrorKind::InvalidArgument, "32");
}

#[test]
fn no_time_is_longer_than_a_day_and_any_duration_is_accepted_for_a_call() {
    let _bound = crate::bound::bound();
    let with = |timeout| Node::builder().request_timeout(timeout).start();
    let nanosecond = Duration::from_nanos(1);
    with(Duration::from_secs(24 * 60 * 60 - 1)).unwrap();
    with(LONGEST_TIMEOUT).unwrap();
    refused(with(LONGEST_TIMEOUT + nanosecond), ErrorKind::InvalidArgument, "request_timeout");
    let (server, client) = pair();
    server
        .on_request("left", |request: Request<()>| {
            Ok(request.deadline() <= Instant::now() + LONGEST_TIMEOUT)
        })
        .unwrap();
    for timeout in [LONGEST_TIMEOUT, LONGEST_TIMEOUT + nanosecond, Duration::MAX] {
        assert!(client.to("server").timeout(timeout).request::<bool, _>("left", &()).unwrap());
    }
}

#[test]
fn windows_and_sizes_must_make_sense() {
    let _bound = crate::bound::bound();
    let with = |change: fn(&mut Config)| {
        let mut config = Config::default();
        config.limits.node_bytes = 1 << 31;
        change(&mut config);
        Node::builder().config(config).start()
    };
    with(|config| config.limits.tick_window_bytes = config.limits.tick_window_most_bytes).unwrap();
    let wide =
        with(|config| config.limits.tick_window_bytes = config.limits.tick_window_most_bytes + 1);
    refused(wide, ErrorKind::InvalidArgument, "tick_window_bytes");
    with(|config| config.limits.message_bytes = 0x3fff_ffff).unwrap();
    let large = with(|config| config.limits.message_bytes = 0x4000_0000);
    refused(large, ErrorKind::InvalidArgument, "message_bytes");
    with(|config| config.limits.workers_min = config.limits.workers_max).unwrap();
    refused(
        with(|config| config.limits.workers_min = 257),
        ErrorKind::InvalidArgument,
        "workers_min",
    );
}

// covers P22
#[test]
fn calls_beyond_those_that_may_be_pending_are_refused_and_counted() {
    let _bound = crate::bound::bound();
    let mut config = Config::default();
    config.limits.calls_pending = 2;
    let server = Node::builder().id("server").bind("127.0.0.1:0").start().unwrap();
    let client = Node::builder().id("client").config(config).start().unwrap();
    client.connect(server.local_addr().unwrap()).unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let hold = move |_: Request<()>| {
        let _ = released.lock().unwrap().recv_timeout(Duration::from_secs(20));
        Ok(())
    };
    server.on_request("hold", hold).unwrap();
    let reason = "calls beyond those that may be pending";
    let one = client.start::<(), _>("server", "hold", &()).unwrap();
    let two = client.start::<(), _>("server", "hold", &()).unwrap();
    assert_eq!(client.dropped().unwrap().get(reason), 0);
    refused(client.start::<(), _>("server", "hold", &()), ErrorKind::Backpressure, "2 calls");
    assert_eq!(client.dropped().unwrap().get(reason), 1);
    (0..2).for_each(|_| release.send(()).unwrap());
    one.wait().unwrap();
    two.wait().unwrap();
    release.send(()).unwrap();
    client.request::<(), _>("server", "hold", &()).unwrap();
}

// covers P22
#[test]
fn requests_beyond_the_workers_and_events_beyond_a_subscriber_are_told_by_reason() {
    let _bound = crate::bound::bound();
    let mut config = Config::default();
    let limits = &mut config.limits;
    (limits.workers_min, limits.workers_max, limits.worker_queue_jobs) = (1, 1, 1);
    limits.events_per_subscriber = 1;
    let server = Node::builder().id("server").config(config).bind("127.0.0.1:0").start().unwrap();
    let (running, is_running) = bounded(9);
    let (release, is_released) = bounded::<()>(0);
    let hold = move |_: Request<()>| {
        running.send(()).unwrap();
        let _ = is_released.recv_timeout(LONG);
        Ok(())
    };
    server.on_request("hold", hold).unwrap();
    let count = |reason| server.dropped().unwrap().get(reason);
    let _events = server.events();
    let (one, two) = (node("one"), node("two"));
    one.connect(server.local_addr().unwrap()).unwrap();
    let first = one.start::<(), _>("server", "hold", &()).unwrap();
    is_running.recv_timeout(LONG).unwrap();
    assert_eq!(count("events that subscribers missed"), 0);
    two.connect(server.local_addr().unwrap()).unwrap();
    let second = one.start::<(), _>("server", "hold", &()).unwrap();
    let reason = "requests beyond the queue of the workers";
    assert_eq!(count(reason), 0);
    assert_eq!(kind(one.request::<(), _>("server", "hold", &())), ErrorKind::Busy);
    assert_eq!((count(reason), count("events that subscribers missed")), (1, 1));
    drop(release);
    first.wait().unwrap();
    second.wait().unwrap();
}

#[test]
fn what_was_dropped_is_told_by_reason() {
    let _bound = crate::bound::bound();
    let server = Node::builder().id("server").bind("127.0.0.1:0").start().unwrap();
    assert_eq!(server.dropped().unwrap().iter().count(), 0);
    let mut stranger = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
    std::io::Write::write_all(&mut stranger, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // The connection is closed by the engine that counts it, in the same turn.
    let _ = std::io::Read::read(&mut stranger, &mut [0; 1]);
    let dropped = server.dropped().unwrap();
    assert_eq!(dropped.iter().collect::<Vec<_>>(), [("connections of strangers", 1)]);
    server.stop().unwrap();
    refused(server.dropped(), ErrorKind::Closed, "stopped");
}
