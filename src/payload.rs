//! The data of a message: exactly one CBOR item, opaque to everybody but its receiver.
//!
//! Small items live in place, large ones are shared and never copied. Encoding and decoding happen on the threads of
//! callers and workers, never on the loop.

mod codec;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::error::Error;

/// A byte string of 64 bytes and its head fit, so that the commonest small message needs no heap.
const INLINE: usize = 78;
/// What then fits of a byte string beside its head.
const INLINE_CONTENT: usize = INLINE - 2;

/// One encoded CBOR item.
#[derive(Clone)]
pub struct Payload(Repr);

#[derive(Clone)]
enum Repr {
    Inline {
        len: u8,
        bytes: [u8; INLINE],
    },
    /// The item stands in `buffer[range]`.
    Item {
        buffer: Arc<Vec<u8>>,
        range: Range<u32>,
    },
    /// The item is a byte string whose content stands in `buffer[range]`; its head is made when it is framed.
    Blob {
        buffer: Arc<Vec<u8>>,
        range: Range<u32>,
    },
}

/// The head of a CBOR byte string: at most nine bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Head {
    len: u8,
    bytes: [u8; 9],
}

impl Head {
    fn of_byte_string(content: usize) -> Self {
        let mut bytes = [0; 9];
        let len = match content {
            0..=23 => {
                bytes[0] = 0x40 | content as u8;
                1
            }
            24..=0xff => {
                bytes[0] = 0x58;
                bytes[1] = content as u8;
                2
            }
            0x100..=0xffff => {
                bytes[0] = 0x59;
                bytes[1..3].copy_from_slice(&(content as u16).to_be_bytes());
                3
            }
            _ => {
                bytes[0] = 0x5a;
                bytes[1..5].copy_from_slice(&(content as u32).to_be_bytes());
                5
            }
        };
        Self { len, bytes }
    }
}

impl Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Payload {
    /// The CBOR item null: what a message without data carries.
    pub(crate) fn null() -> Self {
        Self::from_item_slice(&[0xf6])
    }

    /// Wraps one encoded item. The caller vouches that it is exactly one.
    pub(crate) fn from_item(item: Vec<u8>) -> Self {
        if item.len() <= INLINE {
            return Self::from_item_slice(&item);
        }
        let range = 0..item.len() as u32;
        Self(Repr::Item { buffer: Arc::new(item), range })
    }

    /// Copies one encoded item.
    pub(crate) fn from_item_slice(item: &[u8]) -> Self {
        if item.len() > INLINE {
            return Self::from_item(item.to_vec());
        }
        Self::joined(&[], item)
    }

    /// Copies an item that is given in two parts and fits in place.
    fn joined(head: &[u8], body: &[u8]) -> Self {
        let (mut bytes, len) = ([0; INLINE], head.len() + body.len());
        bytes[..head.len()].copy_from_slice(head);
        bytes[head.len()..len].copy_from_slice(body);
        Self(Repr::Inline { len: len as u8, bytes })
    }

    /// Shares one encoded item that stands in a larger buffer.
    pub(crate) fn from_shared(buffer: Arc<Vec<u8>>, range: Range<usize>) -> Self {
        if range.len() <= INLINE {
            return Self::from_item_slice(&buffer[range]);
        }
        Self(Repr::Item { buffer, range: range.start as u32..range.end as u32 })
    }

    /// The length of the encoded item, in bytes.
    #[allow(clippy::len_without_is_empty)] // An item has at least one byte.
    pub fn len(&self) -> usize {
        self.head().len() + self.body().len()
    }

    /// What stands before [`body`](Self::body): nothing, or the head of a byte string.
    pub(crate) fn head(&self) -> Head {
        match &self.0 {
            Repr::Inline { .. } | Repr::Item { .. } => Head::default(),
            Repr::Blob { range, .. } => Head::of_byte_string(range.len()),
        }
    }

    /// The item, without its head if [`head`](Self::head) is not empty.
    pub(crate) fn body(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Item { buffer, range } | Repr::Blob { buffer, range } => {
                &buffer[range.start as usize..range.end as usize]
            }
        }
    }

    /// The whole item in one piece; copies only what was wrapped as raw bytes.
    pub fn to_item(&self) -> Vec<u8> {
        [&*self.head(), self.body()].concat()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.to_item() == other.to_item()
    }
}

/// Raw bytes, passed without re-encoding: what to send and receive when the data is bytes already.
///
/// On the wire they are one CBOR byte string, so an end that uses `serde_bytes` understands them, and the reverse.
/// (`Vec<u8>` through serde is an array of integers: twice the bytes and a thousand times slower to decode.)
/// Cloning shares the buffer; a few bytes live in place and need none.
#[derive(Clone)]
pub struct Bytes(Held);

#[derive(Clone)]
enum Held {
    Inline { len: u8, bytes: [u8; INLINE_CONTENT] },
    Shared { buffer: Arc<Vec<u8>>, range: Range<u32> },
}

impl Bytes {
    /// Shares `buffer`.
    pub fn new(buffer: impl Into<Arc<Vec<u8>>>) -> Self {
        let buffer = buffer.into();
        let range = 0..u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        Self(Held::Shared { buffer, range })
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self::from([].as_slice())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Held::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Held::Shared { buffer, range } => &buffer[range.start as usize..range.end as usize],
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.len() <= INLINE_CONTENT { Self::from(&*bytes) } else { Self::new(bytes) }
    }
}

impl From<&[u8]> for Bytes {
    fn from(content: &[u8]) -> Self {
        if content.len() > INLINE_CONTENT {
            return Self::new(content.to_vec());
        }
        let mut bytes = [0; INLINE_CONTENT];
        bytes[..content.len()].copy_from_slice(content);
        Self(Held::Inline { len: content.len() as u8, bytes })
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({} bytes)", self.len())
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

/// Data that can be sent: anything serde can serialise, and [`Bytes`] without any encoding.
pub trait Encode {
    /// Encodes the data as one CBOR item, on the calling thread.
    ///
    /// Its receiver takes at most 64 levels and 262,144 items.
    ///
    /// # Errors
    /// `ENCODE`, naming what serde objected to; `TOO_LARGE` from 4 GiB on.
    fn encode(&self) -> Result<Payload, Error>;
}

/// Data that can be received: anything serde can deserialise, and [`Bytes`] without any decoding.
pub trait Decode: Sized {
    /// Decodes one CBOR item, on the calling thread, after it was scanned for depth, items and well-formedness.
    ///
    /// # Errors
    /// `DECODE`, naming what did not fit.
    fn decode(payload: &Payload) -> Result<Self, Error>;
}
