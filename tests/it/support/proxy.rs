//! A cable between two nodes that can be tampered with: it passes bytes on, swallows them, holds them, or is cut.
//!
//! What must not happen here: understanding the bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// How often a pump looks at what is wanted.
const LOOK: Duration = Duration::from_millis(5);

/// What becomes of bytes, in both directions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They arrive.
    Pass,
    /// They are taken and vanish, and nobody is told: a half-open link.
    Swallow,
    /// They are not taken: whoever writes is stopped by a full window.
    Hold,
}

struct Shared {
    mode: AtomicU8,
    /// Connections of an earlier age are cut.
    age: AtomicU64,
}

pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Takes connections and passes them on to `target`.
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared =
            Arc::new(Shared { mode: AtomicU8::new(Mode::Pass as u8), age: AtomicU64::new(0) });
        let all = Arc::clone(&shared);
        spawn(move || accept(&listener, target, &all));
        Self { address, shared }
    }

    /// Where it is dialled.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.shared.mode.store(mode as u8, Relaxed);
    }

    /// Closes all connections; one with bytes that were held back is reset by that.
    pub(crate) fn cut(&self) {
        self.shared.age.fetch_add(1, Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.age.store(u64::MAX, Relaxed);
        // The listening thread looks at its next connection.
        drop(TcpStream::connect(self.address));
    }
}

fn accept(listener: &TcpListener, target: SocketAddr, shared: &Arc<Shared>) {
    for near in listener.incoming().flatten() {
        let age = shared.age.load(Relaxed);
        if age == u64::MAX {
            return;
        }
        let Ok(far) = TcpStream::connect(target) else { continue };
        let streams = [&near, &far].map(|stream| stream.try_clone().expect("a descriptor"));
        let [near_again, far_again] = streams;
        for (from, to) in [(near, far_again), (far, near_again)] {
            let shared = Arc::clone(shared);
            spawn(move || pump(from, to, age, &shared));
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, age: u64, shared: &Shared) {
    from.set_read_timeout(Some(LOOK)).expect("an open socket");
    let mut buffer = vec![0; 65_536];
    let is = |mode: Mode| shared.mode.load(Relaxed) == mode as u8;
    while shared.age.load(Relaxed) == age {
        if is(Mode::Hold) {
            thread::park_timeout(LOOK);
            continue;
        }
        match from.read(&mut buffer) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // The end of a connection is swallowed like all the rest, until bytes pass again.
            Ok(0) | Err(_) if !is(Mode::Pass) => thread::park_timeout(LOOK),
            Ok(0) => return drop(to.shutdown(Shutdown::Write)),
            Ok(read) if is(Mode::Pass) => {
                if to.write_all(&buffer[..read]).is_err() {
                    return drop(from.shutdown(Shutdown::Both));
                }
            }
            Ok(_) => {}
            Err(_) => return drop(to.shutdown(Shutdown::Both)),
        }
    }
}

fn spawn(body: impl FnOnce() + Send + 'static) {
    thread::Builder::new().name("proxy".into()).spawn(body).expect("a thread");
}
