//! Filters and options drawn from bytes, small enough that they often match: for tests, and for fuzzing.

use crate::options::Options;
use crate::value::{Map, Value};

/// Keys of few letters meet often; some look inside of others.
const KEYS: [&str; 6] = ["a", "b", "a.b", "b.a", "a.b.a", ""];

const OPERATORS: [&str; 16] = [
    "$eq",
    "$ne",
    "$aeq",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$between",
    "$betweenInclusive",
    "$regex",
    "$in",
    "$nin",
    "$contains",
    "$containsAny",
    "$containsNone",
    "$exists",
];

const TEXTS: [&str; 12] =
    ["", "a", "b", "ab", "ba", "1", "2.0", "-0", "9007199254740993", "inf", "1e2", " 1"];

const EXPRESSIONS: [&str; 6] = ["a", "^a", "b$", "^(ab)+$", "", "^[0-9.]+$"];

/// Decisions, one byte each; when they are used up, every further one is 0.
pub(crate) struct Draw<'a> {
    bytes: &'a [u8],
    /// Scalars that were drawn so far. Half of all further ones are among them, so that much is equal.
    seen: Vec<Value>,
}

impl<'a> Draw<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, seen: Vec::new() }
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        usize::from(*first) % end
    }

    fn one_of<T: Copy, const N: usize>(&mut self, all: [T; N]) -> T {
        all[self.below(N)]
    }

    /// Options that nest at most three deep.
    pub(crate) fn options(&mut self) -> Options {
        Options::from(self.map(2))
    }

    fn map(&mut self, deeper: usize) -> Map {
        let entries = self.below(5);
        (0..entries).map(|_| (self.one_of(KEYS).to_owned(), self.value(deeper))).collect()
    }

    fn value(&mut self, deeper: usize) -> Value {
        match self.below(if deeper == 0 { 16 } else { 22 }) {
            0..=9 => self.scalar(),
            10..=15 if self.seen.is_empty() => self.scalar(),
            10..=15 => {
                let which = self.below(self.seen.len());
                self.seen[which].clone()
            }
            16..=18 => Value::Map(self.map(deeper - 1)),
            _ => self.list(deeper - 1),
        }
    }

    /// What may stand in a list: mostly scalars, and what nests little.
    #[cfg(test)]
    pub(crate) fn element(&mut self) -> Value {
        self.value(2)
    }

    fn scalar(&mut self) -> Value {
        let scalar = match self.below(10) {
            0 => Value::Null,
            1 => Value::Bool(self.below(2) == 1),
            2..=4 => Value::Integer(self.integer()),
            5..=6 => Value::Float(self.float()),
            7..=8 => Value::from(self.one_of(TEXTS)),
            _ => Value::Bytes(vec![b'a'; self.below(3)]),
        };
        self.seen.push(scalar.clone());
        scalar
    }

    fn list(&mut self, deeper: usize) -> Value {
        let len = self.below(4);
        Value::Array((0..len).map(|_| self.value(deeper)).collect())
    }

    fn integer(&mut self) -> i128 {
        let large = 1i128 << 53;
        self.one_of([
            0,
            1,
            2,
            -1,
            100,
            large,
            large + 1,
            -large - 1,
            i128::from(u64::MAX),
            -(1 << 64),
        ])
    }

    fn float(&mut self) -> f64 {
        let large = 2f64.powi(53);
        let small = f64::MIN_POSITIVE / 4.0;
        let edge = 2f64.powi(64);
        self.one_of([
            0.0,
            -0.0,
            1.0,
            2.0,
            0.5,
            1.5,
            -0.5,
            large,
            large + 2.0,
            -large,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            small,
            edge,
            -edge,
            1e300,
            100.0,
        ])
    }

    /// The data of a filter, now and then of none. Logical keys stand in each other at most `deeper` deep.
    pub(crate) fn filter(&mut self, deeper: usize) -> Map {
        let entries = self.below(4);
        (0..entries).map(|_| self.entry(deeper)).collect()
    }

    fn entry(&mut self, deeper: usize) -> (String, Value) {
        let choice = self.below(20);
        let logical = match choice {
            0 | 1 if deeper > 0 => "$and",
            2 | 3 if deeper > 0 => "$or",
            4 | 5 if deeper > 0 => {
                return ("$not".into(), self.filter(deeper - 1).into());
            }
            6 if self.below(20) == 19 => return ("$eq".into(), self.value(1)),
            _ => return (self.one_of(KEYS).to_owned(), self.condition()),
        };
        let filters = self.below(4);
        let filters = (0..filters).map(|_| Value::Map(self.filter(deeper - 1))).collect();
        (logical.into(), Value::Array(filters))
    }

    fn condition(&mut self) -> Value {
        if self.below(3) == 0 {
            return self.value(2);
        }
        let operators = 1 + self.below(3);
        let mut map: Map = (0..operators).map(|_| self.operator()).collect();
        match self.below(60) {
            58 => drop(map.insert("plain", 1)),
            59 => drop(map.insert("$foo", 1)),
            _ => {}
        }
        Value::Map(map)
    }

    fn operator(&mut self) -> (String, Value) {
        let operator = self.one_of(OPERATORS);
        let operand = match operator {
            _ if self.below(100) == 99 => self.value(1),
            "$between" | "$betweenInclusive" => Value::Array(vec![self.value(0), self.value(0)]),
            "$in" | "$nin" | "$containsAny" | "$containsNone" => self.list(1),
            "$exists" => Value::Bool(self.below(2) == 1),
            "$regex" => Value::from(self.one_of(EXPRESSIONS)),
            _ => self.value(1),
        };
        (operator.to_owned(), operand)
    }
}
