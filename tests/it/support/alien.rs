//! A peer that is none: a plain socket that says what it likes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::SOON;

/// The dialler's and the listener's first bytes, from the protocol's own document.
pub(crate) const DIALLER_MAGIC: &[u8; 8] = b"\xf4tmesh\r\n";
pub(crate) const LISTENER_MAGIC: &[u8; 8] = b"\xf5tmesh\r\n";

pub(crate) struct Alien(TcpStream);

impl Alien {
    pub(crate) fn dial(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the node listens");
        stream.set_read_timeout(Some(SOON)).expect("an open socket");
        Self(stream)
    }

    /// The node may close before it has read everything, so a failure to write is not a failure of the test.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    pub(crate) fn say_no_more(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Everything the node says until it closes. Fails when it does not close in time.
    pub(crate) fn hear_until_closed(&mut self) -> Vec<u8> {
        let mut heard = Vec::new();
        let mut buffer = [0; 4_096];
        loop {
            match self.0.read(&mut buffer) {
                Ok(0) => return heard,
                Ok(len) => heard.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return heard,
                Err(error) => panic!("the node did not close: {error}; it said {heard:02x?}"),
            }
        }
    }

    pub(crate) fn hear_exactly(&mut self, len: usize) -> Vec<u8> {
        let mut heard = vec![0; len];
        self.0.read_exact(&mut heard).expect("the node answers");
        heard
    }
}

/// A greeting as a dialler of these protocol versions would send it.
pub(crate) fn greeting(lowest: u16, highest: u16, modes: u16) -> Vec<u8> {
    let words = [lowest, highest, modes, 0];
    DIALLER_MAGIC.iter().copied().chain(words.into_iter().flat_map(u16::to_be_bytes)).collect()
}

/// The length word of a frame.
pub(crate) fn length(bytes: u32) -> [u8; 4] {
    bytes.to_be_bytes()
}
