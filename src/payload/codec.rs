//! How data becomes a payload and comes back: serde through ciborium, raw bytes as they are.
//!
//! It runs on the threads of callers and workers. Nothing is decoded before it was scanned.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Bytes, Decode, Encode, Head, Held, INLINE, INLINE_CONTENT, Payload, Repr};
use crate::config::PAYLOAD_DEPTH;
use crate::error::{Error, ErrorKind};
use crate::scan::{byte_string, scan};

/// What ciborium may recurse: a unit variant at the last level counts once more there than in the scan.
const CIBORIUM_DEPTH: usize = PAYLOAD_DEPTH + 1;

impl<T: Serialize + ?Sized> Encode for T {
    fn encode(&self) -> Result<Payload, Error> {
        let mut out = Growing::default();
        match ciborium::into_writer(self, &mut out) {
            Ok(()) => out.finish(),
            Err(ciborium::ser::Error::Value(why)) => Err(unencodable::<T>(&why)),
            Err(ciborium::ser::Error::Io(why)) => Err(unencodable::<T>(&why)),
        }
    }
}

impl Encode for Bytes {
    fn encode(&self) -> Result<Payload, Error> {
        match &self.0 {
            Held::Shared { buffer, range } if self.len() > INLINE_CONTENT => {
                Ok(Payload(Repr::Blob { buffer: Arc::clone(buffer), range: range.clone() }))
            }
            Held::Shared { .. } | Held::Inline { .. } => {
                Ok(Payload::joined(&Head::of_byte_string(self.len()), self))
            }
        }
    }
}

/// An item that is already encoded, passed on as it is.
impl Encode for Payload {
    fn encode(&self) -> Result<Payload, Error> {
        Ok(self.clone())
    }
}

impl<T: DeserializeOwned> Decode for T {
    fn decode(payload: &Payload) -> Result<Self, Error> {
        let whole;
        let item = match payload.0 {
            Repr::Inline { .. } | Repr::Item { .. } => payload.body(),
            Repr::Blob { .. } => {
                whole = payload.to_item();
                &whole
            }
        };
        scan(item).map_err(|why| undecodable::<T>(&why))?;
        let mut rest = item;
        let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, CIBORIUM_DEPTH)
            .map_err(|why| undecodable::<T>(&misfit(why)))?;
        if rest.is_empty() {
            Ok(value)
        } else {
            Err(undecodable::<T>(&format_args!("it leaves {} bytes unread", rest.len())))
        }
    }
}

impl Decode for Bytes {
    fn decode(payload: &Payload) -> Result<Self, Error> {
        if let Repr::Blob { buffer, range } = &payload.0 {
            return Ok(Self(Held::Shared { buffer: Arc::clone(buffer), range: range.clone() }));
        }
        let content = byte_string(payload.body()).ok_or_else(|| {
            undecodable::<Self>(&"the data is not one byte string of definite length")
        })?;
        match &payload.0 {
            Repr::Item { buffer, range } => {
                let start = range.end - content.len() as u32;
                Ok(Self(Held::Shared { buffer: Arc::clone(buffer), range: start..range.end }))
            }
            Repr::Inline { .. } | Repr::Blob { .. } => Ok(Self::from(content)),
        }
    }
}

/// The item as it came, to be decoded later or passed on. It is scanned like any other.
impl Decode for Payload {
    fn decode(payload: &Payload) -> Result<Self, Error> {
        if !matches!(payload.0, Repr::Blob { .. }) {
            scan(payload.body()).map_err(|why| undecodable::<Self>(&why))?;
        }
        Ok(payload.clone())
    }
}

impl Error {
    /// The data that a handler attached to its error, if it did.
    ///
    /// # Errors
    /// `DECODE` inside, when the data does not fit the type.
    pub fn data<T: Decode>(&self) -> Option<Result<T, Error>> {
        self.data_item().map(|item| T::decode(&Payload::from_item_slice(item)))
    }
}

/// What ciborium writes into: no heap while the item is small.
struct Growing {
    len: usize,
    small: [u8; INLINE],
    /// Holds everything as soon as it holds anything.
    large: Vec<u8>,
}

impl Default for Growing {
    fn default() -> Self {
        Self { len: 0, small: [0; INLINE], large: Vec::new() }
    }
}

impl Growing {
    fn finish(self) -> Result<Payload, Error> {
        if u32::try_from(self.large.len()).is_err() {
            let len = self.large.len();
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("a message has less than 4 GiB, this one has {len} bytes"),
            ));
        }
        if self.large.is_empty() {
            return Ok(Payload(Repr::Inline { len: self.len as u8, bytes: self.small }));
        }
        Ok(Payload::from_item(self.large))
    }
}

impl std::io::Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let end = self.len + bytes.len();
        if self.large.is_empty() && end <= INLINE {
            self.small[self.len..end].copy_from_slice(bytes);
            self.len = end;
            return Ok(bytes.len());
        }
        if self.large.is_empty() {
            self.large.reserve(end.max(4 * INLINE));
            self.large.extend_from_slice(&self.small[..self.len]);
        }
        self.large.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn unencodable<T: ?Sized>(why: &dyn fmt::Display) -> Error {
    let name = std::any::type_name::<T>();
    Error::new(ErrorKind::Encode, format!("{name} cannot be encoded: {why}"))
}

fn undecodable<T>(why: &dyn fmt::Display) -> Error {
    let name = std::any::type_name::<T>();
    Error::new(ErrorKind::Decode, format!("the data is no {name}: {why}"))
}

/// What did not fit, without the names of ciborium's own types.
fn misfit(why: ciborium::de::Error<std::io::Error>) -> String {
    use ciborium::de::Error as Misfit;
    match why {
        Misfit::Semantic(None, why) => why,
        Misfit::Semantic(Some(at), why) => format!("{why}, at byte {at}"),
        Misfit::Syntax(at) => {
            format!("a text is not UTF-8, or a number does not fit, at byte {at}")
        }
        Misfit::Io(_) => "it wants more data than there is".to_owned(),
        Misfit::RecursionLimitExceeded => format!("it nests more than {PAYLOAD_DEPTH} deep"),
    }
}
