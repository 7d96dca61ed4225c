//! The baseline: length-prefixed frames over blocking `std::net` sockets, one thread per connection, nothing else.

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{announce, until_the_parent_ends};

const HEAD: usize = 4;
/// What a writer of many small frames collects before it writes.
const BATCH: usize = 64 * 1024;

/// What a connection is for, as its first byte.
const ECHO: u8 = 0;
const COUNT: u8 = 1;

/// Echoes or counts, on every connection, until the parent ends.
pub(crate) fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    announce(listener.local_addr().expect("it is bound"));
    let accept = move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = move || drop(serve_one(stream));
            thread::Builder::new().spawn(serve).expect("a thread for a connection");
        }
    };
    thread::Builder::new().spawn(accept).expect("a thread to accept");
    until_the_parent_ends();
}

fn serve_one(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut what = [0];
    stream.read_exact(&mut what)?;
    match what[0] {
        ECHO => echo(&mut stream),
        _ => count(&mut stream),
    }
}

/// Sends back whatever has arrived, frames or not: an echo needs no more.
fn echo(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..len])?;
    }
}

/// Counts frames; an empty one asks for the count since the last time.
fn count(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(4 * BATCH, stream.try_clone()?);
    let mut body = Vec::new();
    let mut frames = 0_u64;
    loop {
        let mut head = [0; HEAD];
        reader.read_exact(&mut head)?;
        let len = u32::from_be_bytes(head) as usize;
        if len == 0 {
            stream.write_all(&std::mem::take(&mut frames).to_be_bytes())?;
            continue;
        }
        body.resize(len, 0);
        reader.read_exact(&mut body)?;
        frames += 1;
    }
}

/// The client's end of one connection.
pub(crate) struct Raw {
    stream: TcpStream,
    out: Vec<u8>,
    back: Vec<u8>,
}

impl Raw {
    pub(crate) fn echo(address: &str) -> Self {
        Self::open(address, ECHO)
    }

    pub(crate) fn count(address: &str) -> Self {
        Self::open(address, COUNT)
    }

    fn open(address: &str, what: u8) -> Self {
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("an open socket");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("an open socket");
        stream.write_all(&[what]).expect("the server reads");
        Self { stream, out: Vec::new(), back: Vec::new() }
    }

    /// Writes that many frames at once and reads as many back.
    pub(crate) fn exchange(&mut self, frames: usize, bytes: usize) {
        let whole = frames * (HEAD + bytes);
        if self.out.len() != whole {
            self.out.clear();
            (0..frames).for_each(|_| put_frame(&mut self.out, bytes));
            self.back = vec![0; whole];
        }
        self.stream.write_all(&self.out).expect("the server reads");
        self.stream.read_exact(&mut self.back).expect("the server echoes");
    }

    /// Writes frames for that long, many in one write; returns how many the server counted, and in what time.
    pub(crate) fn stream(&mut self, each: Duration, bytes: usize) -> (u64, Duration) {
        let frames = (BATCH / (HEAD + bytes)).max(1);
        self.out.clear();
        (0..frames).for_each(|_| put_frame(&mut self.out, bytes));
        let began = Instant::now();
        while began.elapsed() < each {
            self.stream.write_all(&self.out).expect("the server reads");
        }
        self.stream.write_all(&[0; HEAD]).expect("the server reads");
        let mut counted = [0; 8];
        self.stream.read_exact(&mut counted).expect("the server counts");
        self.out.clear();
        (u64::from_be_bytes(counted), began.elapsed())
    }
}

fn put_frame(out: &mut Vec<u8>, bytes: usize) {
    out.extend_from_slice(&(bytes as u32).to_be_bytes());
    out.resize(out.len() + bytes, 0xa5);
}
