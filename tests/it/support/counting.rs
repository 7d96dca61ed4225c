//! A cable that passes everything on and counts: what one end has asked, and what it was answered before the other end died.
//!
//! What must not happen here: judging, or being fuller than it says. Whatever the asking end has handed to the system is read
//! and counted, also when there is nobody any more to pass it on to.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use super::impostor::{REQUEST, Said, envelope, is_answer, number, number_in};

/// What stands before the first frame.
const GREETING: usize = 16;

/// A cable for one connection, whose requests all carry a number as their data.
pub(crate) struct Counter {
    address: SocketAddr,
    counting: JoinHandle<Tally>,
}

/// What has passed, by the numbers in the requests.
pub(crate) struct Tally {
    /// What was written to the last byte by the end that was dialled, in this order.
    pub(crate) asked: Vec<u64>,
    /// What of it was not answered when the end that dialled was gone.
    pub(crate) unanswered: BTreeSet<u64>,
}

impl Counter {
    /// Takes one connection and passes it on to `target`, whose requests are counted.
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        Self { address, counting: spawn("requests", move || carry(&listener, target)) }
    }

    /// Where it is dialled.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until both ends have closed. The caller's own bound ends the wait.
    pub(crate) fn tally(self) -> Tally {
        self.counting.join().expect("both ends speak as the protocol says")
    }
}

fn carry(listener: &TcpListener, target: SocketAddr) -> Tally {
    let (near, _) = listener.accept().expect("a connection");
    let far = TcpStream::connect(target).expect("the target listens");
    let again = |stream: &TcpStream| {
        stream.set_nodelay(true).expect("an open socket");
        stream.try_clone().expect("a descriptor")
    };
    let (near_again, far_again) = (again(&near), again(&far));
    let answering = spawn("answers", move || pass_answers(near, far));
    let asked = pass_requests(far_again, near_again);
    let answered = answering.join().expect("the end that answers speaks as the protocol says");
    let open = asked.iter().filter(|(call, _)| !answered.contains(call));
    let unanswered = open.map(|(_, number)| *number).collect();
    Tally { asked: asked.into_iter().map(|(_, number)| number).collect(), unanswered }
}

/// Calls and numbers of the requests, up to the last byte that was written before the asking end closed.
fn pass_requests(mut from: TcpStream, mut to: TcpStream) -> Vec<(u64, u64)> {
    let (mut frames, mut asked) = (Frames::default(), Vec::new());
    let (mut buffer, mut is_taken) = (vec![0; 65_536], true);
    while let Some(bytes) = read_some(&mut from, &mut buffer) {
        is_taken = is_taken && to.write_all(bytes).is_ok();
        frames.feed(bytes, |said| {
            if number(&said[0]) == REQUEST {
                asked.push((number(&said[1]), number_in(&said[5])));
            }
        });
    }
    let _ = to.shutdown(Shutdown::Write);
    asked
}

/// The calls whose answers were passed on. Only when all are does the asking end hear that the other one is gone.
fn pass_answers(mut from: TcpStream, mut to: TcpStream) -> BTreeSet<u64> {
    let (mut frames, mut answered) = (Frames::default(), BTreeSet::new());
    let mut buffer = vec![0; 65_536];
    while let Some(bytes) = read_some(&mut from, &mut buffer) {
        if to.write_all(bytes).is_err() {
            break;
        }
        frames.feed(bytes, |said| {
            if is_answer(said) {
                answered.insert(number(&said[1]));
            }
        });
    }
    let _ = to.shutdown(Shutdown::Write);
    answered
}

/// `None` when the other end has closed, or was killed with bytes unread.
fn read_some<'b>(from: &mut TcpStream, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let read = from.read(buffer).ok()?;
    (read > 0).then(|| &buffer[..read])
}

/// One direction of a connection, taken apart.
#[derive(Default)]
struct Frames {
    /// What is not a whole frame yet.
    rest: Vec<u8>,
    is_greeted: bool,
}

impl Frames {
    fn feed(&mut self, bytes: &[u8], mut hear: impl FnMut(&Said)) {
        self.rest.extend_from_slice(bytes);
        let mut rest = &self.rest[..];
        if !self.is_greeted && rest.len() >= GREETING {
            self.is_greeted = true;
            rest = &rest[GREETING..];
        }
        while let Some((frame, after)) = first_frame(rest).filter(|_| self.is_greeted) {
            hear(&envelope(frame));
            rest = after;
        }
        self.rest = rest.to_vec();
    }
}

fn first_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (word, after) = bytes.split_first_chunk()?;
    let word = u32::from_be_bytes(*word);
    assert_eq!(word >> 30, 0, "what is counted here needs no segments");
    after.split_at_checked(word as usize)
}

fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    thread::Builder::new().name(name.into()).spawn(body).expect("a thread")
}
