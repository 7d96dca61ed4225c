use std::collections::VecDeque;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use super::*;

/// A kernel that follows a script and keeps what it took.
#[derive(Default)]
struct Script {
    steps: VecDeque<io::Result<usize>>,
    calls: usize,
    taken: Vec<u8>,
}

impl Script {
    fn new(steps: impl IntoIterator<Item = io::Result<usize>>) -> Self {
        Self { steps: steps.into_iter().collect(), ..Self::default() }
    }

    fn step(&mut self) -> io::Result<usize> {
        self.calls += 1;
        self.steps.pop_front().unwrap()
    }
}

impl Read for Script {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.step().map(|len| len.min(space.len()))
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.step()?.min(bytes.len());
        self.taken.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn interrupted() -> io::Result<usize> {
    Err(ErrorKind::Interrupted.into())
}

fn write(script: &mut Script, slices: &[&[u8]]) -> Progress {
    write_once(script, slices.iter().copied(), &mut Vec::new())
}

#[test]
fn an_interrupted_read_or_write_is_repeated() {
    let _bound = crate::bound::bound();
    let mut script = Script::new([interrupted(), interrupted(), Ok(3)]);
    assert_eq!(read_once(&mut script, &mut [0; 8]), Progress::Moved(3));
    let mut script = Script::new([interrupted(), Ok(2)]);
    assert_eq!(write(&mut script, &[b"abc"]), Progress::Moved(2));
    assert_eq!(script.taken, b"ab");
}

#[test]
fn every_end_of_a_read_is_told_apart() {
    let _bound = crate::bound::bound();
    let read = |step| read_once(&mut Script::new([step]), &mut [0; 8]);
    assert_eq!(read(Ok(0)), Progress::Finished);
    assert_eq!(read(Err(ErrorKind::WouldBlock.into())), Progress::Blocked);
    assert!(matches!(read(Err(ErrorKind::ConnectionReset.into())), Progress::Broken(_)));
}

#[test]
fn small_slices_leave_in_one_write() {
    let _bound = crate::bound::bound();
    let mut script = Script::new([Ok(usize::MAX)]);
    assert_eq!(write(&mut script, &[b"head", b"body", b"next"]), Progress::Moved(12));
    assert_eq!(script.taken, b"headbodynext");
    assert_eq!(script.calls, 1);
}

#[test]
fn a_head_takes_the_beginning_of_a_large_body_along() {
    let _bound = crate::bound::bound();
    let body = vec![7; 3 * GATHER_BYTES];
    let mut script = Script::new([Ok(usize::MAX)]);
    assert_eq!(write(&mut script, &[b"head", &body]), Progress::Moved(GATHER_BYTES));
    let mut script = Script::new([Ok(usize::MAX)]);
    assert_eq!(write(&mut script, &[&body, b"head"]), Progress::Moved(body.len()));
}

#[test]
fn nothing_to_write_asks_the_kernel_nothing_and_a_kernel_that_takes_nothing_is_broken() {
    let _bound = crate::bound::bound();
    let mut script = Script::default();
    assert_eq!(write(&mut script, &[]), Progress::Finished);
    assert_eq!(script.calls, 0);
    assert!(matches!(write(&mut Script::new([Ok(0)]), &[b"x"]), Progress::Broken(_)));
}

/// A registered stream, dialled to a listener on loopback.
fn dialled() -> (Poll, Stream, std::net::TcpStream) {
    let mut poll = Poll::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stream =
        Stream::dial(listener.local_addr().unwrap(), poll.registry(), Token(1)).unwrap();
    let (other, _) = listener.accept().unwrap();
    wait(&mut poll, &mut stream, Stream::wants_service);
    (poll, stream, other)
}

fn wait(poll: &mut Poll, stream: &mut Stream, until: fn(&Stream) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut events = Events::with_capacity(4);
    while !until(stream) {
        assert!(Instant::now() < deadline, "{stream:?}");
        poll.poll(&mut events, Some(Duration::from_secs(1))).unwrap();
        events.iter().for_each(|event| stream.note(event));
    }
}

#[test]
fn a_dial_that_succeeds_tells_both_ends_and_opens_the_stream() {
    let _bound = crate::bound::bound();
    let (_poll, mut stream, other) = dialled();
    let (local, remote) = (other.peer_addr().unwrap(), other.local_addr().unwrap());
    assert_eq!(stream.settle(), Dial::Connected { local, remote });
    assert!(!stream.is_dialling());
    assert!(stream.socket.nodelay().unwrap());
}

#[test]
fn a_dial_to_a_port_where_nobody_listens_is_refused() {
    let _bound = crate::bound::bound();
    let mut poll = Poll::new().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let Ok(mut stream) = Stream::dial(free, poll.registry(), Token(1)) else { return };
    wait(&mut poll, &mut stream, Stream::wants_service);
    assert!(matches!(stream.settle(), Dial::Refused(_)));
}

#[test]
fn the_end_behind_the_last_bytes_is_seen_after_them() {
    let _bound = crate::bound::bound();
    let (mut poll, mut stream, mut other) = dialled();
    stream.settle();
    other.write_all(b"last words").unwrap();
    drop(other);
    let mut heard = Vec::new();
    loop {
        wait(&mut poll, &mut stream, Stream::wants_service);
        let mut space = [0; 64];
        match stream.read(&mut space) {
            Progress::Moved(len) => heard.extend_from_slice(&space[..len]),
            Progress::Blocked => {}
            Progress::Finished => break,
            Progress::Broken(why) => panic!("{why}"),
        }
    }
    assert_eq!(heard, b"last words");
    assert!(!stream.wants_service(), "nothing is read after the end");
}

#[test]
fn writing_ends_only_when_everything_is_written() {
    let _bound = crate::bound::bound();
    let (_poll, mut stream, mut other) = dialled();
    stream.settle();
    stream.unsent = true;
    stream.want_shut();
    let mut scratch = Vec::new();
    assert_eq!(stream.write([b"bye".as_slice()].into_iter(), &mut scratch), Progress::Moved(3));
    assert_eq!(stream.shut, Shut::Wanted);
    assert_eq!(stream.write(iter::empty(), &mut scratch), Progress::Finished);
    let mut heard = Vec::new();
    other.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"bye");
}

#[test]
fn a_full_kernel_clears_the_flag_and_room_sets_it_again() {
    let _bound = crate::bound::bound();
    let (mut poll, mut stream, mut other) = dialled();
    stream.settle();
    stream.unsent = true;
    let block = vec![1; 256 * 1024];
    let mut scratch = Vec::new();
    let mut sent = 0;
    while let Progress::Moved(len) = stream.write([&*block].into_iter(), &mut scratch) {
        sent += len;
    }
    assert!(!stream.wants_writing());
    let mut sink = vec![0; sent];
    other.read_exact(&mut sink).unwrap();
    wait(&mut poll, &mut stream, Stream::wants_writing);
}
