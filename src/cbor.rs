//! Strict CBOR: one encoding only (definite lengths, shortest form, no tags), read without serde and without recursion.
//!
//! Accepting bytes implies that writing the same value again gives the same bytes. Nothing is allocated here: lengths
//! are checked against the bytes that are there before anybody can reserve memory for them.

use std::fmt;

/// Why bytes are not strict CBOR of the expected type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The type of the next item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Unsigned,
    Negative,
    Bytes,
    Text,
    Array,
    Map,
    Bool,
    Null,
    Float,
}

/// Reads items from the front of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes have been read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Fails unless everything was read.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.remaining() == 0 { Ok(()) } else { Err(Malformed("bytes follow the last item")) }
    }

    /// The type of the next item, which stays unread.
    pub(crate) fn kind(&self) -> Result<Kind, Malformed> {
        let first = *self.bytes.get(self.at).ok_or(Malformed("an item is missing"))?;
        Ok(match first >> 5 {
            0 => Kind::Unsigned,
            1 => Kind::Negative,
            2 => Kind::Bytes,
            3 => Kind::Text,
            4 => Kind::Array,
            5 => Kind::Map,
            6 => return Err(Malformed("tags are not allowed")),
            _ => match first {
                0xf4 | 0xf5 => Kind::Bool,
                0xf6 => Kind::Null,
                0xf9..=0xfb => Kind::Float,
                _ => return Err(Malformed("an unknown simple value")),
            },
        })
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, Malformed> {
        self.head(0, "an unsigned integer was expected")
    }

    /// A signed or unsigned integer of CBOR's whole range.
    pub(crate) fn integer(&mut self) -> Result<i128, Malformed> {
        match self.kind()? {
            Kind::Negative => Ok(-1 - i128::from(self.head(1, "")?)),
            _ => self.head(0, "an integer was expected").map(i128::from),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.head(2, "a byte string was expected")?;
        self.take(len)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let len = self.head(3, "a text was expected")?;
        std::str::from_utf8(self.take(len)?).map_err(|_| Malformed("a text is not UTF-8"))
    }

    /// The number of elements that follow; each has at least one byte.
    pub(crate) fn array(&mut self) -> Result<usize, Malformed> {
        let len = self.head(4, "an array was expected")?;
        self.counted(len, 1)
    }

    /// The number of entries that follow; each has at least two bytes.
    pub(crate) fn map(&mut self) -> Result<usize, Malformed> {
        let len = self.head(5, "a map was expected")?;
        self.counted(len, 2)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0xf4 => Ok(false),
            0xf5 => Ok(true),
            _ => Err(Malformed("a bool was expected")),
        }
    }

    pub(crate) fn null(&mut self) -> Result<(), Malformed> {
        if self.byte()? == 0xf6 { Ok(()) } else { Err(Malformed("null was expected")) }
    }

    /// A float in its shortest form; the one NaN is `f9 7e00`.
    pub(crate) fn float(&mut self) -> Result<f64, Malformed> {
        let start = self.at;
        let value = match self.byte()? {
            0xf9 => f16_to_f64(u16::from_be_bytes(self.fixed()?)),
            0xfa => f64::from(f32::from_be_bytes(self.fixed()?)),
            0xfb => f64::from_be_bytes(self.fixed()?),
            _ => return Err(Malformed("a float was expected")),
        };
        let (canonical, len) = shortest_float(value);
        if self.bytes[start..self.at] == canonical[..len] {
            Ok(value)
        } else {
            Err(Malformed("a float is not in its shortest form"))
        }
    }

    fn head(&mut self, major: u8, expected: &'static str) -> Result<u64, Malformed> {
        let first = *self.bytes.get(self.at).ok_or(Malformed("an item is missing"))?;
        if first >> 5 != major {
            return Err(Malformed(expected));
        }
        self.at += 1;
        let (value, least) = match first & 0x1f {
            small @ 0..=23 => return Ok(u64::from(small)),
            24 => (u64::from(self.byte()?), 24),
            25 => (u64::from(u16::from_be_bytes(self.fixed()?)), 0x100),
            26 => (u64::from(u32::from_be_bytes(self.fixed()?)), 0x1_0000),
            27 => (u64::from_be_bytes(self.fixed()?), 0x1_0000_0000),
            31 => return Err(Malformed("indefinite lengths are not allowed")),
            _ => return Err(Malformed("a reserved length")),
        };
        if value < least {
            Err(Malformed("a number is not in its shortest form"))
        } else {
            Ok(value)
        }
    }

    fn counted(&self, len: u64, least_bytes: usize) -> Result<usize, Malformed> {
        let len = usize::try_from(len).map_err(|_| Malformed("a length is beyond the message"))?;
        if len > self.remaining() / least_bytes {
            return Err(Malformed("a length is beyond the message"));
        }
        Ok(len)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Malformed> {
        let len = self.counted(len, 1)?;
        let taken = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.fixed::<1>().map(|[byte]| byte)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let taken = self.take(N as u64).map_err(|_| Malformed("an item is cut off"))?;
        taken.try_into().map_err(|_| Malformed("an item is cut off"))
    }
}

pub(crate) fn put_unsigned(out: &mut Vec<u8>, value: u64) {
    put_head(out, 0, value);
}

/// Writes an integer of CBOR's range; outside of it the nearest that CBOR has.
pub(crate) fn put_integer(out: &mut Vec<u8>, value: i128) {
    if value >= 0 {
        put_head(out, 0, u64::try_from(value).unwrap_or(u64::MAX));
    } else {
        put_head(out, 1, u64::try_from(-1 - value).unwrap_or(u64::MAX));
    }
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, value: &[u8]) {
    put_bytes_head(out, value.len());
    out.extend_from_slice(value);
}

/// The head of a byte string whose content the caller appends.
pub(crate) fn put_bytes_head(out: &mut Vec<u8>, len: usize) {
    put_head(out, 2, len as u64);
}

pub(crate) fn put_text(out: &mut Vec<u8>, value: &str) {
    put_text_bytes(out, value.as_bytes());
}

/// A text whose bytes are known to be UTF-8.
pub(crate) fn put_text_bytes(out: &mut Vec<u8>, value: &[u8]) {
    put_head(out, 3, value.len() as u64);
    out.extend_from_slice(value);
}

pub(crate) fn put_array(out: &mut Vec<u8>, len: usize) {
    put_head(out, 4, len as u64);
}

pub(crate) fn put_map(out: &mut Vec<u8>, len: usize) {
    put_head(out, 5, len as u64);
}

pub(crate) fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xf5 } else { 0xf4 });
}

pub(crate) fn put_null(out: &mut Vec<u8>) {
    out.push(0xf6);
}

pub(crate) fn put_float(out: &mut Vec<u8>, value: f64) {
    let (bytes, len) = shortest_float(value);
    out.extend_from_slice(&bytes[..len]);
}

fn put_head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    match value {
        0..=23 => out.push(major | value as u8),
        24..=0xff => out.extend_from_slice(&[major | 0x18, value as u8]),
        0x100..=0xffff => {
            out.push(major | 0x19);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 0x1a);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 0x1b);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

fn shortest_float(value: f64) -> ([u8; 9], usize) {
    let mut out = [0; 9];
    if value.is_nan() {
        out[..3].copy_from_slice(&[0xf9, 0x7e, 0x00]);
        return (out, 3);
    }
    if let Some(half) = f64_to_f16(value) {
        out[0] = 0xf9;
        out[1..3].copy_from_slice(&half.to_be_bytes());
        return (out, 3);
    }
    let single = value as f32;
    if f64::from(single).to_bits() == value.to_bits() {
        out[0] = 0xfa;
        out[1..5].copy_from_slice(&single.to_be_bytes());
        return (out, 5);
    }
    out[0] = 0xfb;
    out[1..].copy_from_slice(&value.to_be_bytes());
    (out, 9)
}

fn f16_to_f64(half: u16) -> f64 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(half >> 10 & 0x1f);
    let mantissa = f64::from(half & 0x3ff);
    sign * match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + mantissa) * 2f64.powi(exponent - 25),
    }
}

/// The half-precision float of exactly this value, if there is one.
fn f64_to_f16(value: f64) -> Option<u16> {
    let bits = value.to_bits();
    let sign = (bits >> 48 & 0x8000) as u16;
    let exponent = (bits >> 52 & 0x7ff) as i32 - 1023;
    let half = match exponent {
        -1023 => sign,
        1024 => sign | 0x7c00,
        -14..=15 => {
            sign | ((exponent + 15).unsigned_abs() as u16 * 0x400) | (bits >> 42 & 0x3ff) as u16
        }
        -24..=-15 => {
            let mantissa = bits >> 42 & 0x3ff | 0x400;
            sign | (mantissa >> (-14 - exponent)) as u16
        }
        _ => return None,
    };
    (f16_to_f64(half).to_bits() == bits).then_some(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_in_their_shortest_form() {
        for value in
            [0, 1, 23, 24, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX]
        {
            let mut out = Vec::new();
            put_unsigned(&mut out, value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.unsigned(), Ok(value));
            reader.finish().unwrap();
            for integer in [i128::from(value), -1 - i128::from(value)] {
                out.clear();
                put_integer(&mut out, integer);
                assert_eq!(Reader::new(&out).integer(), Ok(integer));
            }
        }
    }

    #[test]
    fn floats_come_back_in_their_shortest_form() {
        for (value, len) in [
            (0.0, 3),
            (-0.0, 3),
            (1.5, 3),
            (65_504.0, 3),
            (5.960_464_477_539_063e-8, 3),
            (6.097_555_160_522_461e-5, 3),
            (100_000.0, 5),
            (3.402_823_466_385_288_6e38, 5),
            (1.1, 9),
            (1e300, 9),
            (f64::MIN_POSITIVE / 2.0, 9),
            (f64::INFINITY, 3),
            (f64::NEG_INFINITY, 3),
        ] {
            let mut out = Vec::new();
            put_float(&mut out, value);
            assert_eq!(out.len(), len, "{value}");
            assert_eq!(Reader::new(&out).float().unwrap().to_bits(), f64::to_bits(value));
        }
        let mut out = Vec::new();
        put_float(&mut out, -f64::NAN);
        assert_eq!(out, [0xf9, 0x7e, 0]);
        assert!(Reader::new(&out).float().unwrap().is_nan());
    }

    #[test]
    fn other_encodings_of_the_same_value_are_refused() {
        type IsRefused = fn(&mut Reader<'_>) -> bool;
        let refused: &[(&[u8], IsRefused)] = &[
            (&[0x18, 23], |r| r.unsigned().is_err()),
            (&[0x19, 0, 255], |r| r.unsigned().is_err()),
            (&[0x1a, 0, 0, 255, 255], |r| r.unsigned().is_err()),
            (&[0x1b, 0, 0, 0, 0, 255, 255, 255, 255], |r| r.unsigned().is_err()),
            (&[0x5f, 0x41, 0, 0xff], |r| r.bytes().is_err()),
            (&[0x7f, 0xff], |r| r.text().is_err()),
            (&[0x9f, 0xff], |r| r.array().is_err()),
            (&[0xbf, 0xff], |r| r.map().is_err()),
            (&[0xc0, 0x00], |r| r.kind().is_err()),
            (&[0xf8, 0x14], |r| r.bool().is_err()),
            (&[0xfa, 0x3f, 0xc0, 0, 0], |r| r.float().is_err()),
            (&[0xf9, 0x7e, 0x01], |r| r.float().is_err()),
            (&[0x62, 0xff, 0xff], |r| r.text().is_err()),
            (&[0x5b, 255, 255, 255, 255, 255, 255, 255, 255], |r| r.bytes().is_err()),
            (&[0x9b, 255, 255, 255, 255, 255, 255, 255, 255], |r| r.array().is_err()),
            (&[0xb8, 0x18, 0, 0], |r| r.map().is_err()),
            (&[], |r| r.kind().is_err()),
            (&[0x18], |r| r.unsigned().is_err()),
        ];
        for (bytes, is_refused) in refused {
            assert!(is_refused(&mut Reader::new(bytes)), "{bytes:02x?}");
        }
    }
}
