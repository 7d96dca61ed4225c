//! What travels beside the data of a message: the user's text keys and the protocol's integer keys.
//!
//! This room keeps the entries and their limits; what an integer key means is known to the engine.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::cbor::{self, Kind, Malformed, Reader};
use crate::config::{HEADERS_BYTES, HEADERS_ENTRIES};
use crate::error::{Error, ErrorKind};
use crate::value::{Map, Value};

/// Small facts that travel with a message and through routers: trace ids, tokens. Empty costs nothing.
///
/// Keys are texts; values are texts, bytes, integers or truth values. There are at most 32 entries of together at most
/// 4 KiB, encoded.
#[derive(Clone, Default, PartialEq)]
pub struct Headers(Option<Box<Entries>>);

#[derive(Clone, Default, PartialEq)]
struct Entries {
    /// The protocol's, ascending, also those that this version does not know: a router passes them on. The limits hold for
    /// them separately, so that the protocol's headers never crowd out the user's.
    numbers: Vec<(u64, Value)>,
    /// The user's.
    texts: Map,
}

/// A router adds the origin and the nesting depth.
const ROUTER_HEADERS: usize = 2;
/// And so many bytes with them: an id of 128 bytes, a number, two keys.
const ROUTER_HEADERS_BYTES: usize = 160;

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the header `key` and returns the value it had.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when the value is no text, bytes, integer of 64 bits or bool, or when there would be more than 32
    /// headers or more than 4 KiB of them; then nothing has changed.
    pub fn insert(
        &mut self,
        key: impl Into<String>,
        value: impl Into<Value>,
    ) -> Result<Option<Value>, Error> {
        let (key, value) = (key.into(), value.into());
        check_scalar(&key, &value)?;
        let mut texts = self.0.as_ref().map(|entries| entries.texts.clone()).unwrap_or_default();
        let before = texts.insert(key, value);
        check_size(&texts)?;
        self.0.get_or_insert_default().texts = texts;
        Ok(before)
    }

    /// The value of this header.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.as_ref()?.texts.get(key)
    }

    /// The value of this header, if it is a text.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// All headers: shorter keys first, then byte by byte.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().flat_map(|entries| entries.texts.iter())
    }

    /// The number of headers.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |entries| entries.texts.len())
    }

    /// Whether there is no header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a header of the protocol.
    #[cfg(test)]
    pub(crate) fn number(&self, number: u64) -> Option<&Value> {
        let numbers = &self.0.as_ref()?.numbers;
        let at = numbers.binary_search_by_key(&number, |(present, _)| *present).ok()?;
        Some(&numbers[at].1)
    }

    /// Sets a header of the protocol; its value is a text, bytes, integer or bool.
    pub(crate) fn set_number(&mut self, number: u64, value: impl Into<Value>) {
        let value = value.into();
        debug_assert!(is_scalar(&value), "header {number} cannot be {value}");
        let numbers = &mut self.0.get_or_insert_default().numbers;
        match numbers.binary_search_by_key(&number, |(present, _)| *present) {
            Ok(at) => numbers[at].1 = value,
            Err(at) => numbers.insert(at, (number, value)),
        }
    }

    /// Whether a router may add what it adds to those of the protocol, so that the next node takes them all.
    pub(crate) fn have_room(&self) -> bool {
        let numbers = self.0.as_ref().map_or(&[][..], |entries| &entries.numbers);
        let mut encoded = Vec::new();
        for (number, value) in numbers {
            cbor::put_unsigned(&mut encoded, *number);
            value.put(&mut encoded);
        }
        numbers.len() + ROUTER_HEADERS <= HEADERS_ENTRIES
            && encoded.len() + ROUTER_HEADERS_BYTES <= HEADERS_BYTES
    }

    /// Removes a header of the protocol.
    pub(crate) fn take_number(&mut self, number: u64) -> Option<Value> {
        let entries = self.0.as_mut()?;
        let at = entries.numbers.binary_search_by_key(&number, |(present, _)| *present).ok()?;
        let (_, value) = entries.numbers.remove(at);
        if entries.numbers.is_empty() && entries.texts.is_empty() {
            self.0 = None;
        }
        Some(value)
    }

    /// The numbers of the protocol's headers, ascending.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|entries| entries.numbers.iter().map(|(number, _)| *number))
    }

    /// The first header that its receiver would have to understand and does not know.
    pub(crate) fn first_unknown_even(&self, known: &[u64]) -> Option<u64> {
        let numbers = &self.0.as_ref()?.numbers;
        let mut unknown = numbers.iter().map(|(number, _)| *number);
        unknown.find(|number| number % 2 == 0 && !known.contains(number))
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let Some(entries) = &self.0 else {
            return cbor::put_map(out, 0);
        };
        cbor::put_map(out, entries.numbers.len() + entries.texts.len());
        for (number, value) in &entries.numbers {
            cbor::put_unsigned(out, *number);
            value.put(out);
        }
        entries.texts.put_entries(out);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let whole = reader.clone();
        let len = reader.map()?;
        if len == 0 {
            return Ok(Self(None));
        }
        Value::fits(whole, 2 * HEADERS_BYTES)?;
        if len > 2 * HEADERS_ENTRIES {
            return Err(Malformed("too many headers"));
        }
        let mut entries = Entries::default();
        let (mut number_bytes, mut text_bytes) = (0, 0);
        for _ in 0..len {
            let start = reader.position();
            let bytes = if reader.kind()? == Kind::Unsigned {
                entries.read_number(reader)?;
                &mut number_bytes
            } else {
                entries.read_text(reader)?;
                &mut text_bytes
            };
            *bytes += reader.position() - start;
        }
        entries.check(number_bytes, text_bytes)?;
        Ok(Self(Some(Box::new(entries))))
    }
}

impl Entries {
    fn read_number(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let number = reader.unsigned()?;
        let last = self.numbers.last().map(|(last, _)| *last);
        if last.is_some_and(|last| last >= number) || !self.texts.is_empty() {
            return Err(Malformed("header keys are not strictly ascending"));
        }
        self.numbers.push((number, read_scalar(reader)?));
        Ok(())
    }

    fn read_text(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let key = reader.text()?;
        let value = read_scalar(reader)?;
        self.texts.append(key, value)
    }

    fn check(&self, number_bytes: usize, text_bytes: usize) -> Result<(), Malformed> {
        if self.numbers.len().max(self.texts.len()) > HEADERS_ENTRIES {
            return Err(Malformed("too many headers"));
        }
        if number_bytes.max(text_bytes) > HEADERS_BYTES {
            return Err(Malformed("headers have too many bytes"));
        }
        Ok(())
    }
}

fn read_scalar(reader: &mut Reader<'_>) -> Result<Value, Malformed> {
    match reader.kind()? {
        Kind::Unsigned | Kind::Negative | Kind::Bytes | Kind::Text | Kind::Bool => {
            Value::read(reader, 0)
        }
        Kind::Array | Kind::Map | Kind::Null | Kind::Float => {
            Err(Malformed("a header is a text, bytes, an integer or a bool"))
        }
    }
}

fn is_scalar(value: &Value) -> bool {
    match value {
        Value::Integer(_) => value.unsendable_integer().is_none(),
        Value::Text(_) | Value::Bytes(_) | Value::Bool(_) => true,
        Value::Null | Value::Float(_) | Value::Array(_) | Value::Map(_) => false,
    }
}

fn check_scalar(key: &str, value: &Value) -> Result<(), Error> {
    if is_scalar(value) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidArgument,
        format!(
            "a header is a text, bytes, an integer of 64 bits or a bool; {key:?} is none of them"
        ),
    ))
}

fn check_size(texts: &Map) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::new(ErrorKind::InvalidArgument, why));
    if texts.len() > HEADERS_ENTRIES {
        let len = texts.len();
        return refuse(format!("there are at most {HEADERS_ENTRIES} headers, this would be {len}"));
    }
    let mut encoded = Vec::new();
    texts.put_entries(&mut encoded);
    if encoded.len() > HEADERS_BYTES {
        let len = encoded.len();
        return refuse(format!("headers have at most {HEADERS_BYTES} bytes, these have {len}"));
    }
    Ok(())
}

/// Shows keys only: values may be secrets.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = self.0.iter().flat_map(|entries| &entries.numbers);
        let mut out = f.debug_set();
        out.entries(numbers.map(|(number, _)| number));
        out.entries(self.iter().map(|(key, _)| key)).finish()
    }
}
