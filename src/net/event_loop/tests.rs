//! The loop over real sockets, driven by a fake engine that does what each test needs and tells what it was told.

mod fake;
mod mesh;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use self::fake::{Act, Seen, World};
use crate::error::ErrorKind;
use crate::proto::{Cause, Command, Input};

const LONG: Duration = Duration::from_secs(20);

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// What was seen next that is of this kind.
fn next<R>(seen: &Receiver<Seen>, mut pick: impl FnMut(Seen) -> Option<R>) -> R {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(picked) = pick(seen.recv_deadline(deadline).unwrap()) {
            return picked;
        }
    }
}

fn lost(seen: &Receiver<Seen>) -> Cause {
    next(seen, |seen| match seen {
        Seen::Lost(cause) => Some(cause),
        _ => None,
    })
}

fn round_trip(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == bytes, "what came back differs");
}

#[test]
fn what_is_received_can_be_sent_back() {
    let _bound = crate::bound::bound();
    let world = World::start(Act::default());
    let mut client = connect(world.listen());
    round_trip(&mut client, b"hello");
    round_trip(&mut client, &vec![3; 60_000]);
}

#[test]
fn more_than_the_kernel_holds_passes_both_ways_at_once() {
    let _bound = crate::bound::bound();
    let world = World::start(Act::default());
    let mut client = connect(world.listen());
    let mut writer = client.try_clone().unwrap();
    let sent: Vec<u8> = (0..12_000_000_u32).map(|number| (number / 7) as u8).collect();
    let mut back = vec![0; sent.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&sent).unwrap());
        client.read_exact(&mut back).unwrap();
    });
    assert!(back == sent, "what came back differs");
}

#[test]
fn a_busy_stream_does_not_starve_another() {
    let _bound = crate::bound::bound();
    let world = World::start(Act { echo_most: 64, ..Act::default() });
    let addr = world.listen();
    let (busy, mut quiet) = (connect(addr), connect(addr));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let block = vec![1; 1 << 20];
            while (&busy).write_all(&block).is_ok() {}
        });
        let worst = (0..50).map(|_| timed(|| round_trip(&mut quiet, b"ping"))).max().unwrap();
        busy.shutdown(std::net::Shutdown::Both).unwrap();
        assert!(worst < Duration::from_secs(2), "{worst:?}");
    });
}

fn timed(act: impl FnOnce()) -> Duration {
    let since = Instant::now();
    act();
    since.elapsed()
}

#[test]
fn an_end_is_told_once_and_the_stream_stays_for_the_answer() {
    let _bound = crate::bound::bound();
    let world = World::start(Act { shut_on_end: true, ..Act::default() });
    let mut client = connect(world.listen());
    client.write_all(b"the last question").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    assert_eq!(back, b"the last question");
    assert_eq!(lost(&world.seen), Cause::Eof);
    drop(client);
    assert!(world.stop(None).iter().all(|seen| !matches!(seen, Seen::Lost(..))));
}

#[test]
fn a_link_that_the_engine_hangs_up_on_is_closed_and_nothing_follows_for_it() {
    let _bound = crate::bound::bound();
    let world = World::start(Act { hang_on_byte: Some(b'!'), ..Act::default() });
    let mut client = connect(world.listen());
    client.write_all(&[b'!'; 4_000]).unwrap();
    let mut back = Vec::new();
    let _reset_or_end = client.read_to_end(&mut back);
    assert!(back.is_empty());
    let after: Vec<Seen> = world.stop(None).into_iter().filter(Seen::is_of_a_link).collect();
    assert!(matches!(*after, [Seen::Accepted, Seen::Received(1..)]), "{after:?}");
}

#[test]
fn a_reset_is_told_as_broken() {
    let _bound = crate::bound::bound();
    let world = World::start(Act { echo_most: 8, ..Act::default() });
    let mut client = connect(world.listen());
    client.write_all(b"question").unwrap();
    client.peek(&mut [0; 8]).unwrap();
    // Closing with unread input resets the connection.
    drop(client);
    assert!(matches!(lost(&world.seen), Cause::Broken(_)));
}

#[test]
fn a_connection_beyond_the_limit_is_closed_at_once() {
    let _bound = crate::bound::bound();
    let world = World::start(Act { links: 1, ..Act::default() });
    let addr = world.listen();
    let mut first = connect(addr);
    round_trip(&mut first, b"in");
    let mut second = connect(addr);
    assert_eq!(second.read(&mut [0; 8]).unwrap_or(0), 0);
    round_trip(&mut first, b"still in");
}

#[test]
fn a_dial_connects_both_ends_and_a_dial_to_nobody_is_refused() {
    let _bound = crate::bound::bound();
    let world = World::start(Act::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    world.post(World::connect_to(addr));
    let (mut other, from) = listener.accept().unwrap();
    let ends = next(&world.seen, |seen| match seen {
        Seen::Connected(local, remote) => Some((local, remote)),
        _ => None,
    });
    assert_eq!(ends, (from, addr));
    round_trip(&mut other, b"through a dialled link");
    drop(listener);
    world.post(World::connect_to(addr));
    assert!(matches!(lost(&world.seen), Cause::Refused(_)));
}

#[test]
fn nobody_sees_a_completion_before_the_directory_that_shows_it() {
    let _bound = crate::bound::bound();
    let world = World::start(Act { publish_refusals: 3, ..Act::default() });
    world.listen();
    world.post(Command::Unbind { token: 5 });
    let published = |seen| match seen {
        Seen::Published(done) => Some(done),
        _ => None,
    };
    let order = [(); 4].map(|()| next(&world.seen, published));
    assert_eq!(order, [false, false, false, true]);
    let completed = next(&world.seen, |seen| match seen {
        Seen::Completed(token, _) => Some(token),
        _ => None,
    });
    assert_eq!(completed, 5);
}

#[test]
fn a_deadline_is_met_by_a_parked_loop() {
    let _bound = crate::bound::bound();
    let world = World::start(Act { due_after: Some(Duration::from_millis(40)), ..Act::default() });
    let since = Instant::now();
    next(&world.seen, |seen| matches!(seen, Seen::Due).then_some(()));
    assert!(since.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_idle_loop_takes_no_turns() {
    let _bound = crate::bound::bound();
    let world = World::start(Act::default());
    let mut client = connect(world.listen());
    round_trip(&mut client, b"one");
    let quiet = Duration::from_millis(300);
    // Nothing is waited for here: the point is that nothing happens.
    while world.seen.recv_timeout(quiet).is_ok() {}
    let before = world.looks();
    assert!(world.seen.recv_timeout(quiet).is_err());
    assert!(world.looks() - before <= 2, "{} looks in a quiet moment", world.looks() - before);
}

#[test]
fn stopping_frees_the_port_fails_posts_and_completes_what_came_too_late() {
    let _bound = crate::bound::bound();
    let world = World::start(Act::default());
    let addr = world.listen();
    let mut client = connect(addr);
    round_trip(&mut client, b"in");
    let seen = world.stop(Some(Command::Unbind { token: 77 }));
    let late = |seen: &Seen| matches!(seen, Seen::Completed(77, Some(ErrorKind::Closed)));
    assert!(seen.iter().any(late), "{seen:?}");
    assert!(world.mailbox.post(Input::Due).is_err());
    assert_eq!(client.read(&mut [0; 8]).unwrap_or(0), 0);
    drop(client);
    TcpListener::bind(addr).unwrap();
}
