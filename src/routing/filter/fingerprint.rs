//! A number that equal values share: without a seed, so that it is the same in every process, and good enough for an index.
//!
//! It protects from nobody: who chooses the values can make them collide.

use crate::value::{Map, Value};

/// Any odd number with bits all over; this one is the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number that is the same for equal values, also for `2` and `2.0`; `None` when a `NaN` is in it, which equals nothing.
pub(crate) fn fingerprint(value: &Value) -> Option<u64> {
    let mut hash = Hash::default();
    hash.value(value);
    (!hash.has_nan).then_some(hash.state)
}

/// The same for a map, where every `NaN` is like another.
pub(super) fn fingerprint_of(map: &Map) -> u64 {
    let mut hash = Hash::default();
    hash.map(map);
    hash.state
}

#[derive(Default)]
struct Hash {
    state: u64,
    has_nan: bool,
}

impl Hash {
    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.word(1),
            Value::Bool(value) => self.words(2, &[u64::from(*value)]),
            Value::Integer(value) => self.integer(*value),
            Value::Float(value) => self.float(*value),
            Value::Text(value) => self.bytes(5, value.as_bytes()),
            Value::Bytes(value) => self.bytes(6, value),
            Value::Array(values) => {
                self.words(7, &[values.len() as u64]);
                for value in values {
                    self.value(value);
                }
            }
            Value::Map(map) => self.map(map),
        }
    }

    /// The entries of a map stand in one order already.
    fn map(&mut self, map: &Map) {
        self.words(8, &[map.len() as u64]);
        for (key, value) in map.iter() {
            self.bytes(5, key.as_bytes());
            self.value(value);
        }
    }

    fn integer(&mut self, value: i128) {
        self.bytes(3, &value.to_le_bytes());
    }

    /// A float that is a whole number counts as that integer, as it equals it.
    fn float(&mut self, value: f64) {
        let edge = 2f64.powi(127);
        self.has_nan |= value.is_nan();
        if value >= -edge && value < edge && value.fract() == 0.0 {
            self.integer(value as i128);
        } else {
            let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
            self.words(4, &[bits]);
        }
    }

    fn bytes(&mut self, tag: u64, bytes: &[u8]) {
        self.words(tag, &[bytes.len() as u64]);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    fn words(&mut self, tag: u64, words: &[u64]) {
        self.word(tag);
        for word in words {
            self.word(*word);
        }
    }

    /// Takes in one word. The last three lines spread every bit over all others (the finaliser of `MurmurHash3`).
    fn word(&mut self, word: u64) {
        let mut mixed = self.state.wrapping_add(STEP).wrapping_mul(STEP) ^ word;
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        self.state = mixed ^ (mixed >> 33);
    }
}
