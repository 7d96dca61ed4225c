//! The listening socket: what it is bound to, whether connections may be waiting, and what to do when the system cannot accept them.
//!
//! The poll reports a new connection once. So the listener remembers that there may be more, and when accepting fails for want of
//! descriptors or memory it is tried again by time and not by spinning.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use crate::config::ACCEPT_RETRY;

/// A bound socket that is registered with the loop's poll.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    local: SocketAddr,
    /// Connections may be waiting: set by the poll, cleared only by `WouldBlock`.
    ready: bool,
    /// The last accept failed; not before this is it tried again.
    retry: Option<Instant>,
}

impl Listener {
    /// Binds the first address that works. The backlog is the 128 that mio asks for; another one would need a package of its own.
    pub(crate) fn bind(
        addrs: &[SocketAddr],
        registry: &Registry,
        token: Token,
    ) -> Result<Self, String> {
        let mut why = "there is no address to listen on".to_owned();
        for addr in addrs {
            match Self::bind_one(*addr, registry, token) {
                Ok(listener) => return Ok(listener),
                Err(error) => why = format!("{addr}: {error}"),
            }
        }
        Err(why)
    }

    fn bind_one(addr: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut socket = TcpListener::bind(addr)?;
        let local = socket.local_addr()?;
        registry.register(&mut socket, token, Interest::READABLE)?;
        Ok(Self { socket, local, ready: false, retry: None })
    }

    /// The address with its real port.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// The poll says that connections are waiting.
    pub(crate) fn note_ready(&mut self) {
        self.ready = true;
    }

    /// Whether accepting may succeed now.
    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        self.ready && self.retry.is_none_or(|retry| retry <= now)
    }

    /// When to try again, if accepting failed.
    pub(crate) fn retry(&self) -> Option<Instant> {
        self.retry
    }

    /// The next connection, if one is waiting and the system lets us have it.
    pub(crate) fn accept(&mut self, now: Instant) -> Option<(TcpStream, SocketAddr)> {
        if !self.is_ready(now) {
            return None;
        }
        loop {
            match self.socket.accept() {
                Ok(connection) => {
                    self.retry = None;
                    return Some(connection);
                }
                Err(error) if !self.goes_on_after(&error, now) => return None,
                Err(_) => {}
            }
        }
    }

    /// Whether the next accept may succeed at once.
    fn goes_on_after(&mut self, error: &io::Error, now: Instant) -> bool {
        match error.kind() {
            // A connection that was reset while it waited.
            io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset => true,
            io::ErrorKind::WouldBlock => {
                self.ready = false;
                self.retry = None;
                false
            }
            _ => {
                if self.retry.is_none() {
                    log::warn!(target: "threadmesh::net", "{} cannot accept for now: {error}", self.local);
                }
                self.retry = Some(now + ACCEPT_RETRY);
                false
            }
        }
    }

    /// Closes the socket. A forked child may still hold it, so that dropping it alone would not take it off the poll.
    pub(crate) fn close(mut self, registry: &Registry) {
        let _ = registry.deregister(&mut self.socket);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;

    fn listen() -> (Poll, Listener) {
        let poll = Poll::new().unwrap();
        let addr = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(&[addr], poll.registry(), Token(3)).unwrap();
        (poll, listener)
    }

    #[test]
    fn the_real_port_is_told_and_a_taken_one_is_refused_with_its_address() {
        let _bound = crate::bound::bound();
        let (poll, listener) = listen();
        assert_ne!(listener.local().port(), 0);
        let error = Listener::bind(&[listener.local()], poll.registry(), Token(4)).unwrap_err();
        assert!(error.starts_with(&listener.local().to_string()), "{error}");
        assert!(Listener::bind(&[], poll.registry(), Token(4)).is_err());
    }

    #[test]
    fn the_first_address_that_works_is_bound() {
        let _bound = crate::bound::bound();
        let (poll, listener) = listen();
        let addrs = [listener.local(), "127.0.0.1:0".parse().unwrap()];
        let second = Listener::bind(&addrs, poll.registry(), Token(4)).unwrap();
        assert_ne!(second.local(), listener.local());
    }

    #[test]
    fn all_that_wait_are_accepted_after_one_notice() {
        let _bound = crate::bound::bound();
        let (mut poll, mut listener) = listen();
        let now = Instant::now();
        assert!(listener.accept(now).is_none(), "nothing is accepted without a notice");
        let _clients = [(); 3].map(|()| std::net::TcpStream::connect(listener.local()).unwrap());
        poll.poll(&mut Events::with_capacity(4), Some(Duration::from_secs(20))).unwrap();
        listener.note_ready();
        let accepted = std::iter::from_fn(|| listener.accept(now)).count();
        assert_eq!(accepted, 3);
        assert!(!listener.is_ready(now), "an empty queue clears the flag");
    }

    #[test]
    fn want_of_descriptors_pauses_and_keeps_the_notice() {
        let _bound = crate::bound::bound();
        let (_poll, mut listener) = listen();
        let now = Instant::now();
        listener.note_ready();
        assert!(!listener.goes_on_after(&io::Error::from_raw_os_error(24), now));
        assert!(!listener.is_ready(now));
        assert_eq!(listener.retry(), Some(now + ACCEPT_RETRY));
        assert!(listener.is_ready(now + ACCEPT_RETRY));
        assert!(listener.accept(now + ACCEPT_RETRY).is_none());
        assert_eq!(listener.retry(), None, "an accept that works again ends the pause");
    }

    #[test]
    fn a_connection_that_was_reset_while_it_waited_is_skipped() {
        let _bound = crate::bound::bound();
        let (_poll, mut listener) = listen();
        let now = Instant::now();
        for kind in [io::ErrorKind::ConnectionAborted, io::ErrorKind::Interrupted] {
            assert!(listener.goes_on_after(&kind.into(), now));
            assert_eq!(listener.retry(), None);
        }
    }
}
