//! Values that the crate itself reads: options, headers, filters. Built by the program, carried in strict CBOR.
//!
//! A message's data is no `Value`: it stays opaque bytes and goes through serde. Reading here knows no serde, so that
//! the loop may do it; the depth of what is read is bounded by whoever reads it.

mod convert;
mod data;
mod deserializer;
mod literal;
mod map;
mod serializer;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::cbor::{self, Kind, Malformed, Reader};

pub(crate) use deserializer::from_map;
pub use map::Map;
pub(crate) use serializer::to_value;

/// How deep values may nest at most, whoever asks: reading recurses this far and no further.
pub(crate) const VALUE_DEPTH: usize = 8;

/// Places reserved before the elements were read. More is reserved only as elements arrive, so a claimed length costs nothing.
const RESERVED_AHEAD: usize = 16;

/// The integers that CBOR has: from -2^64 to 2^64 - 1.
const INTEGERS: std::ops::RangeInclusive<i128> = -(1 << 64)..=(1 << 64) - 1;

/// A piece of plain data: what options and filters are made of, and headers in part.
///
/// Build one with [`value!`](crate::value!), or with `From` for the usual types. Note that a `Vec<u8>` becomes an array of
/// integers, as it does in serde; a byte string is `Value::Bytes`.
///
/// # Equality
/// Numbers are compared by their numeric value, exactly: `2` equals `2.0`, and `NaN` equals nothing. Arrays are equal
/// element by element in order, maps entry by entry in any order. Nothing else is converted: `"2"` is not `2`, and
/// `true` is not `1`.
///
/// # Example
/// ```
/// use threadmesh::{Value, value};
///
/// let gpu = value!({ "memory": 80, "vendors": ["a", "b"] });
/// assert_eq!(gpu.to_string(), r#"{"memory": 80, "vendors": ["a", "b"]}"#);
/// assert_eq!(value!({ "memory": 80.0, "vendors": ["a", "b"] }), gpu);
/// assert_ne!(Value::from("80"), Value::from(80));
/// ```
#[derive(Clone, Default, Debug)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number. Only those from -2^64 to 2^64 - 1 can be sent.
    Integer(i128),
    /// A number with a fraction, or infinite, or `NaN`.
    Float(f64),
    /// Text.
    Text(String),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// Values in order.
    Array(Vec<Value>),
    /// Values by text keys.
    Map(Map),
}

impl Value {
    /// Appends the one encoding of this value.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => cbor::put_null(out),
            Self::Bool(value) => cbor::put_bool(out, *value),
            Self::Integer(value) => cbor::put_integer(out, *value),
            Self::Float(value) => cbor::put_float(out, *value),
            Self::Text(value) => cbor::put_text(out, value),
            Self::Bytes(value) => cbor::put_bytes(out, value),
            Self::Array(values) => {
                cbor::put_array(out, values.len());
                for value in values {
                    value.put(out);
                }
            }
            Self::Map(map) => map.put(out),
        }
    }

    /// Reads one value. Arrays and maps may stand inside each other `depth_left` deep, and never deeper than 8.
    pub(crate) fn read(reader: &mut Reader<'_>, depth_left: usize) -> Result<Self, Malformed> {
        Ok(match reader.kind()? {
            Kind::Null => {
                reader.null()?;
                Self::Null
            }
            Kind::Bool => Self::Bool(reader.bool()?),
            Kind::Unsigned | Kind::Negative => Self::Integer(reader.integer()?),
            Kind::Float => Self::Float(reader.float()?),
            Kind::Text => Self::Text(reader.text()?.to_owned()),
            Kind::Bytes => Self::Bytes(reader.bytes()?.to_vec()),
            Kind::Array => Self::read_array(reader, depth_left)?,
            Kind::Map => Self::Map(Map::read(reader, depth_left)?),
        })
    }

    fn read_array(reader: &mut Reader<'_>, depth_left: usize) -> Result<Self, Malformed> {
        let depth_left = one_deeper(depth_left)?;
        let len = reader.array()?;
        let mut values = Vec::with_capacity(len.min(RESERVED_AHEAD));
        for _ in 0..len {
            values.push(Self::read(reader, depth_left)?);
        }
        Ok(Self::Array(values))
    }

    /// Fails if the next value has more bytes. Skims it without building anything, so that an oversized value costs nothing.
    pub(crate) fn fits(mut reader: Reader<'_>, most_bytes: usize) -> Result<(), Malformed> {
        let start = reader.position();
        let mut unread = 1;
        while unread > 0 {
            unread -= 1;
            match reader.kind()? {
                Kind::Null => reader.null()?,
                Kind::Bool => {
                    reader.bool()?;
                }
                Kind::Unsigned | Kind::Negative => {
                    reader.integer()?;
                }
                Kind::Float => {
                    reader.float()?;
                }
                Kind::Bytes => {
                    reader.bytes()?;
                }
                Kind::Text => {
                    reader.text()?;
                }
                Kind::Array => unread += reader.array()?,
                Kind::Map => unread += 2 * reader.map()?,
            }
            if reader.position() - start > most_bytes {
                return Err(Malformed("a value has too many bytes"));
            }
        }
        Ok(())
    }

    /// How deep arrays and maps nest: 0 for a scalar, 1 for an array of scalars.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::Array(values) => 1 + values.iter().map(Self::depth).max().unwrap_or(0),
            Self::Map(map) => map.depth(),
            _ => 0,
        }
    }

    /// The first integer, however deep, that CBOR has no encoding for.
    pub(crate) fn unsendable_integer(&self) -> Option<i128> {
        match self {
            Self::Integer(value) => (!INTEGERS.contains(value)).then_some(*value),
            Self::Array(values) => values.iter().find_map(Self::unsendable_integer),
            Self::Map(map) => map.iter().find_map(|(_, value)| value.unsendable_integer()),
            _ => None,
        }
    }

    /// The text, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The number, if this is an integer from 0 to 2^64 - 1.
    pub fn as_u64(&self) -> Option<u64> {
        if let Self::Integer(value) = self { u64::try_from(*value).ok() } else { None }
    }

    /// The number, if this is an integer from -2^63 to 2^63 - 1.
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Integer(value) = self { i64::try_from(*value).ok() } else { None }
    }

    /// The number, if this is an integer or a float; a large integer is rounded.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The truth value, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The bytes, if this is a byte string.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The elements, if this is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Self::Array(values) = self { Some(values) } else { None }
    }

    /// The entries, if this is a map.
    pub fn as_map(&self) -> Option<&Map> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }
}

/// The depth that is left inside of a container, if one may stand here.
fn one_deeper(depth_left: usize) -> Result<usize, Malformed> {
    depth_left.min(VALUE_DEPTH).checked_sub(1).ok_or(Malformed("values nest too deep"))
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Integer(a), Self::Float(b)) | (Self::Float(b), Self::Integer(a)) => {
                same_number(*a, *b)
            }
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            _ => false,
        }
    }
}

/// Whether both are exactly the same number; rounding the integer to a float first would call neighbours equal.
fn same_number(integer: i128, float: f64) -> bool {
    let edge = 2f64.powi(127);
    float >= -edge && float < edge && float.fract() == 0.0 && float as i128 == integer
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(text) => show_text(f, text),
            Self::Bytes(bytes) => {
                f.write_str("h'")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("'")
            }
            Self::Array(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    write!(f, "{value}")?;
                }
                f.write_str("]")
            }
            Self::Map(map) => write!(f, "{map}"),
        }
    }
}

fn show_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for symbol in text.chars() {
        match symbol {
            '"' | '\\' => write!(f, "\\{symbol}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            control if control.is_control() => write!(f, "\\u{:04x}", u32::from(control))?,
            plain => write!(f, "{plain}")?,
        }
    }
    f.write_str("\"")
}
