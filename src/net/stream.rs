//! One connection: its socket, what is known of its readiness, and reading and writing that retry, count and never panic.
//!
//! The poll tells a change once. So the flags are kept here, set by the poll and cleared only when the kernel has no more.

use std::io::{self, ErrorKind, Read, Write};
use std::iter;
use std::net::{Shutdown, SocketAddr};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::config::GATHER_BYTES;

/// Where the poll is epoll or kqueue, a read that fills less than it might has emptied the socket, and what comes later is told anew:
/// that spares one system call of two on a quiet link.
const SHORT_READ_EMPTIES: bool =
    cfg!(any(target_os = "linux", target_os = "android", target_vendor = "apple"));

/// A socket that is registered with the loop's poll for both directions.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // Each is a fact of its own, and any of them may hold beside any other.
pub(crate) struct Stream {
    socket: TcpStream,
    phase: Phase,
    /// There may be bytes to read.
    readable: bool,
    /// The end or an error stands behind the bytes: then even a short read is followed by another.
    closing: bool,
    /// The kernel may take bytes.
    writable: bool,
    /// The loop has this link on its list of those to serve.
    pub(crate) listed: bool,
    /// The loop has this link on its list of those to write.
    pub(crate) queued: bool,
    /// The engine has said that there is something to write, and not all of it is written.
    pub(crate) unsent: bool,
    shut: Shut,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The dial is under way.
    Dialling,
    /// Bytes pass.
    Open,
    /// The other side has sent its last byte.
    Ended,
}

/// What became of the wish to end our writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shut {
    No,
    Wanted,
    Done,
}

/// What one read or write did.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// So many bytes passed, at least one.
    Moved(usize),
    /// The kernel has no more for now.
    Blocked,
    /// Reading: the other side sends no more. Writing: there is nothing to write.
    Finished,
    /// The connection is gone.
    Broken(String),
}

/// What became of a dial.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Dial {
    Pending,
    Connected { local: SocketAddr, remote: SocketAddr },
    Refused(String),
}

impl Stream {
    /// Takes over an accepted connection.
    pub(crate) fn accepted(
        socket: TcpStream,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        Self::register(socket, Phase::Open, registry, token)
    }

    /// Begins to dial.
    pub(crate) fn dial(addr: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        Self::register(TcpStream::connect(addr)?, Phase::Dialling, registry, token)
    }

    fn register(
        mut socket: TcpStream,
        phase: Phase,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            socket,
            phase,
            readable: false,
            closing: false,
            writable: phase == Phase::Open,
            listed: false,
            queued: false,
            unsent: false,
            shut: Shut::No,
        })
    }

    /// Remembers what the poll told.
    pub(crate) fn note(&mut self, event: &Event) {
        let failed = event.is_error();
        self.closing |= failed || event.is_read_closed();
        self.readable |= self.closing || event.is_readable();
        self.writable |= failed || event.is_writable() || event.is_write_closed();
    }

    /// Whether it is worth while to look after the dial or the incoming bytes.
    pub(crate) fn wants_service(&self) -> bool {
        match self.phase {
            Phase::Dialling => self.writable,
            Phase::Open => self.readable,
            Phase::Ended => false,
        }
    }

    /// Whether there is something to write and the kernel may take it.
    pub(crate) fn wants_writing(&self) -> bool {
        self.unsent && self.writable && self.phase != Phase::Dialling
    }

    pub(crate) fn is_dialling(&self) -> bool {
        self.phase == Phase::Dialling
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Looks what became of the dial; after `Connected` the stream is open.
    pub(crate) fn settle(&mut self) -> Dial {
        match self.connected() {
            Ok(Some((local, remote))) if local == remote => Dial::Refused(format!(
                "nobody listens on {remote}: the dial connected to its own port"
            )),
            Ok(Some((local, remote))) => {
                self.phase = Phase::Open;
                Dial::Connected { local, remote }
            }
            Ok(None) => {
                self.writable = false;
                Dial::Pending
            }
            Err(error) => Dial::Refused(error.to_string()),
        }
    }

    /// Both ends, once the connection stands.
    fn connected(&self) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(remote) => {
                self.socket.set_nodelay(true)?;
                Ok(Some((self.socket.local_addr()?, remote)))
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads once.
    pub(crate) fn read(&mut self, space: &mut [u8]) -> Progress {
        let progress = read_once(&mut self.socket, space);
        match progress {
            Progress::Moved(len) if SHORT_READ_EMPTIES && len < space.len() && !self.closing => {
                self.readable = false;
            }
            Progress::Moved(_) => {}
            Progress::Blocked | Progress::Broken(_) => self.readable = false,
            Progress::Finished => self.phase = Phase::Ended,
        }
        progress
    }

    /// Writes once; when nothing is left, ends the writing if that is wanted.
    pub(crate) fn write<'a>(
        &mut self,
        slices: impl Iterator<Item = &'a [u8]>,
        scratch: &mut Vec<u8>,
    ) -> Progress {
        let progress = write_once(&mut self.socket, slices, scratch);
        match progress {
            Progress::Moved(_) | Progress::Broken(_) => {}
            Progress::Blocked => self.writable = false,
            Progress::Finished => {
                self.unsent = false;
                self.shut_if_wanted();
            }
        }
        progress
    }

    /// Ends the writing once everything outgoing is written.
    pub(crate) fn want_shut(&mut self) {
        if self.shut == Shut::No {
            self.shut = Shut::Wanted;
        }
    }

    fn shut_if_wanted(&mut self) {
        if self.shut == Shut::Wanted {
            self.shut = Shut::Done;
            // It fails only on a connection that is gone; then reading tells why.
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }

    /// Closes the socket. A forked child may still hold it, so that dropping it alone would not take it off the poll.
    pub(crate) fn close(mut self, registry: &Registry) {
        let _ = registry.deregister(&mut self.socket);
    }
}

/// Reads what is there, at most as much as fits.
fn read_once(socket: &mut impl Read, space: &mut [u8]) -> Progress {
    match retry(|| socket.read(space)) {
        Ok(0) => Progress::Finished,
        Ok(len) => Progress::Moved(len),
        Err(error) => broken_or_blocked(&error),
    }
}

/// Writes from the first slice on. A large first slice is written from where it stands; small ones are put together first, because each
/// write is a system call and, without Nagle's delay, a packet.
fn write_once<'a>(
    socket: &mut impl Write,
    mut slices: impl Iterator<Item = &'a [u8]>,
    scratch: &mut Vec<u8>,
) -> Progress {
    let Some(first) = slices.next() else { return Progress::Finished };
    if first.len() >= GATHER_BYTES {
        return write_slice(socket, first);
    }
    let Some(second) = slices.next() else { return write_slice(socket, first) };
    scratch.clear();
    scratch.extend_from_slice(first);
    for slice in iter::once(second).chain(slices) {
        let room = GATHER_BYTES - scratch.len();
        scratch.extend_from_slice(&slice[..slice.len().min(room)]);
        if scratch.len() == GATHER_BYTES {
            break;
        }
    }
    write_slice(socket, scratch)
}

fn write_slice(socket: &mut impl Write, slice: &[u8]) -> Progress {
    match retry(|| socket.write(slice)) {
        Ok(0) => Progress::Broken("the kernel takes no more bytes".into()),
        Ok(len) => Progress::Moved(len),
        Err(error) => broken_or_blocked(&error),
    }
}

/// Does it again as long as a signal interrupts it.
fn retry(mut act: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match act() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn broken_or_blocked(error: &io::Error) -> Progress {
    match error.kind() {
        ErrorKind::WouldBlock => Progress::Blocked,
        _ => Progress::Broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
