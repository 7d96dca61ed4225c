//! What the system and the network do to a node: cables that swallow or are cut, descriptors that run out, signals, odd times.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{self, Command};
use std::time::{Duration, Instant};

use threadmesh::{Bytes, ErrorKind, LeftReason, Node, NodeEvent, Request, Tick};

use crate::processes::brisk;
use crate::support::process::{Process, say};
use crate::support::proxy::{Mode, Proxy};
use crate::support::{
    AT_ONCE, SOON, bounded, builder, eventually, expect_event, joined, let_pass, listening,
    measured, pair, place,
};

const LIMIT: Duration = Duration::from_secs(60);

/// `c` → cable → `s`, both of which notice silence soon.
fn wired() -> (Node, Proxy, Node) {
    let server = brisk("s").bind("127.0.0.1:0").start().unwrap();
    server.on_request("echo", |request: Request<Bytes>| Ok(request.data)).unwrap();
    let cable = Proxy::to(server.local_addr().unwrap());
    let client = brisk("c").handshake_timeout(Duration::from_millis(500)).start().unwrap();
    client.connect(cable.address()).unwrap();
    (client, cable, server)
}

fn small() -> Bytes {
    Bytes::from(vec![1, 2, 3])
}

fn left(event: &NodeEvent) -> Option<LeftReason> {
    match event {
        NodeEvent::PeerLeft { reason, .. } => Some(reason.clone()),
        _ => None,
    }
}

// covers P11
#[test]
fn a_half_open_link_is_gone_on_both_sides_though_neither_program_sends() {
    bounded("half open", LIMIT, || {
        let (client, cable, server) = wired();
        let (interval, timeout) = (Duration::from_millis(250), Duration::from_secs(1));
        let claimed = timeout.saturating_sub(interval)..=timeout + interval;
        let (mut here, mut there) = (client.events(), server.events());
        let seen = measured(|| {
            let began = Instant::now();
            cable.set(Mode::Swallow);
            let seen = [&mut here, &mut there].map(|events| {
                assert_eq!(expect_event(events, left), LeftReason::Silent);
                began.elapsed()
            });
            cable.set(Mode::Pass);
            for (node, peer) in [(&client, "s"), (&server, "c")] {
                node.wait_for_peer(peer, SOON).unwrap();
            }
            assert_eq!(client.request::<Bytes, _>("s", "echo", &small()).unwrap(), small());
            let in_time = seen.iter().all(|seen| claimed.contains(seen));
            if in_time { Ok(seen) } else { Err(format!("noticed after {seen:?}")) }
        });
        println!("a half-open link was noticed after {seen:?}");
    });
}

#[test]
fn a_reset_link_fails_its_calls_at_once_and_is_dialled_again() {
    bounded("reset", LIMIT, || {
        let (client, cable, server) = wired();
        let mut events = client.events();
        for _ in 0..5 {
            // More than the cable reads at once: what it has not read when it is cut resets the connection.
            cable.set(Mode::Hold);
            let call = client.to("s").timeout(LIMIT);
            let pending = call.start::<Bytes, _>("echo", &Bytes::from(vec![7; 1 << 20])).unwrap();
            let began = Instant::now();
            cable.cut();
            let error = pending.wait().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionLost);
            assert!(began.elapsed() < Duration::from_millis(900), "after {:?}", began.elapsed());
            assert_eq!(expect_event(&mut events, left), LeftReason::ConnectionLost);
            cable.set(Mode::Pass);
            client.wait_for_peer("s", SOON).unwrap();
            assert_eq!(client.request::<Bytes, _>("s", "echo", &small()).unwrap(), small());
        }
        drop(server);
    });
}

/// A child: a listener that waits for its dialler's handshake as long as the test may last. Says where it is, and who.
pub(crate) fn patient(_: &str) {
    let node = builder("s").handshake_timeout(LIMIT).bind("127.0.0.1:0").start().unwrap();
    node.on_request("echo", |request: Request<u64>| Ok(request.data)).unwrap();
    say(node.local_addr().unwrap());
    say(process::id());
    node.wait().unwrap();
}

// covers P14
#[test]
fn want_of_descriptors_costs_no_processor_and_ends_with_the_want() {
    bounded("EMFILE", LIMIT, || {
        let mut child = Process::start("patient", "");
        let address: SocketAddr = child.hear().unwrap().parse().unwrap();
        let pid = child.hear().unwrap();
        let inside = builder("inside").start().unwrap();
        inside.connect(address).unwrap();
        let held = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        let limit = |descriptors: usize| {
            let limit = format!("--nofile={descriptors}:");
            Command::new("prlimit")
                .args(["--pid", &pid, &limit])
                .status()
                .is_ok_and(|s| s.success())
        };
        if !limit(held) {
            return println!("there is no `prlimit` here: nothing was shown");
        }
        let _queue: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
        let outside = builder("outside").start().unwrap();
        let refused = outside.dial(address).timeout(AT_ONCE).connect().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::HandshakeTimeout, "{refused}");

        let share = measured(|| {
            let (began, before) = (Instant::now(), processor_time(&pid));
            let_pass(Duration::from_secs(1));
            let share = processor_time(&pid).saturating_sub(before).as_secs_f64()
                / began.elapsed().as_secs_f64();
            if share <= 0.05 { Ok(share) } else { Err(format!("{share} of a processor")) }
        });
        assert_eq!(inside.request::<u64, _>("s", "echo", &1).unwrap(), 1);

        assert!(limit(held + 100));
        let began = Instant::now();
        outside.connect(address).unwrap();
        let relieved = began.elapsed();
        assert!(relieved <= Duration::from_secs(1), "{relieved:?} after the relief");
        println!(
            "without descriptors {:.2} % of a processor; accepted {relieved:?} after",
            share * 100.0
        );
    });
}

/// What all threads of a process have used of the processors.
fn processor_time(pid: &str) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let used = threads.filter_map(|thread| {
        let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(used.sum())
}

/// A `strace` that writes to a file of that name, with such arguments; `None`, said aloud, where it cannot be used.
fn strace(name: &str, arguments: &[&str]) -> Option<(String, Vec<String>)> {
    let log = format!("{}/{name}-{}.strace", env!("CARGO_TARGET_TMPDIR"), process::id());
    let mut words = ["strace", "-f", "-qq", "-yy", "-o", &log].map(str::to_owned).to_vec();
    words.extend(arguments.iter().map(|&argument| argument.to_owned()));
    let tried = Command::new(&words[0]).args(&words[1..]).arg("true").output();
    if tried.is_ok_and(|output| output.status.success()) {
        return Some((log, words));
    }
    println!("there is no usable `strace` here: nothing was shown");
    None
}

fn start_under(words: &[String], role: &str, argument: &str) -> Process {
    Process::start_under(&words.iter().map(String::as_str).collect::<Vec<_>>(), role, argument)
}

/// A child: everything that uses the network, with answers that are checked.
pub(crate) fn busybody(_: &str) {
    let (client, server) = pair();
    server.on_request("echo", |request: Request<Bytes>| Ok(request.data)).unwrap();
    server.on_tick("t", |_: Tick<u64>| ()).unwrap();
    let mut events = client.events();
    for size in [0, 1, 1_000, 100_000, 3_000_000].repeat(20) {
        let bytes = Bytes::from(vec![9; size]);
        assert_eq!(client.request::<Bytes, _>("s", "echo", &bytes).unwrap(), bytes);
        client.to("s").wait(SOON).tick("t", &1).unwrap();
    }
    while let Some(event) = events.try_next() {
        assert!(left(&event).is_none(), "{event:?}");
    }
    for _ in 0..20 {
        drop(joined("guest", &server));
    }
    assert!(client.stop().unwrap().is_clean());
}

// covers P15
#[test]
fn interrupted_system_calls_are_made_again() {
    bounded("EINTR", LIMIT, || {
        let calls = "recvfrom,sendto,accept4,epoll_wait";
        let (traced, injected) =
            (format!("trace={calls}"), format!("inject={calls}:error=EINTR:when=2+3"));
        let Some((log, words)) = strace("eintr", &["-e", &traced, "-e", &injected]) else { return };
        start_under(&words, "busybody", "").succeed();
        let text = fs::read_to_string(&log).unwrap();
        fs::remove_file(&log).unwrap();
        for call in calls.split(',') {
            let interrupted = |line: &&str| line.contains(call) && line.contains("EINTR");
            let count = text.lines().filter(interrupted).count();
            assert!(count > 3, "{count} calls of {call} were interrupted");
        }
    });
}

/// A child: writes to the worker at that place until it is gone.
pub(crate) fn writer(address: &str) {
    let node = builder("writer").start().unwrap();
    node.connect(address).unwrap();
    let data = Bytes::from(vec![1; 300_000]);
    let tick = || node.to("w").wait(SOON).tick("t", &data);
    (0..20).for_each(|_| tick().unwrap());
    say("writing");
    let gone = |kind| matches!(kind, ErrorKind::NodeNotFound | ErrorKind::ConnectionLost);
    while !tick().is_err_and(|error| gone(error.kind())) {}
}

// covers P16
#[test]
fn writing_to_who_is_gone_raises_no_signal() {
    bounded("SIGPIPE", LIMIT, || {
        let writes = ["-e", "trace=write,writev,sendto,sendmsg,sendfile", "-e", "signal=SIGPIPE"];
        let Some((log, words)) = strace("sigpipe", &writes) else { return };
        for _ in 0..3 {
            let place = place();
            let mut reader = Process::start("worker", &format!("w {place}"));
            assert_eq!(reader.hear(), Some(place.to_string()));
            let mut writer = start_under(&words, "writer", &place.to_string());
            assert_eq!(writer.hear().as_deref(), Some("writing"));
            reader.kill();
            writer.succeed();
            let text = fs::read_to_string(&log).unwrap();
            // Rust's programs ignore the signal, a program in another language that uses this crate need not. So it is not
            // enough that nobody was killed: nothing may be written to a socket that could raise it.
            let (safe, risky): (Vec<_>, Vec<_>) = text
                .lines()
                .filter(|line| line.contains("<TCP"))
                .partition(|line| line.contains("MSG_NOSIGNAL"));
            assert_eq!(risky.first(), None, "{} such writes", risky.len());
            assert!(safe.len() > 10, "only {} writes", safe.len());
            assert!(!text.contains("SIGPIPE"), "a signal was raised");
        }
        fs::remove_file(&log).unwrap();
    });
}

// covers P17
#[test]
fn the_longest_duration_there_is_may_be_given_everywhere() {
    bounded("Duration::MAX", LIMIT, || {
        let (client, server) = pair();
        server.on_request("echo", |request: Request<u64>| Ok(request.data)).unwrap();
        server.on_tick("t", |_: Tick<u64>| ()).unwrap();
        let mut events = client.events();
        let call = client.to("s").timeout(Duration::MAX).wait(Duration::MAX);
        assert_eq!(call.request::<u64, _>("echo", &1).unwrap(), 1);
        let mut pending = call.start::<u64, _>("echo", &2).unwrap();
        assert_eq!(pending.wait_timeout(Duration::MAX).unwrap().unwrap().value, 2);
        for _ in 0..2_000 {
            call.tick("t", &3).unwrap();
        }
        client.wait_for_peer("s", Duration::MAX).unwrap();
        let other = listening("other");
        client.dial(other.local_addr().unwrap()).timeout(Duration::MAX).connect().unwrap();
        assert!(events.next_timeout(Duration::MAX).is_some());
        let refused = builder("x").write_stall(Duration::MAX).start().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
        assert!(client.stop_within(Duration::MAX).unwrap().is_clean());
        eventually("the client has left", || server.peers().is_empty());
    });
}
