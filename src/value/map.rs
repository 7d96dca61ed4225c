//! A map of text keys in the one order that its encoding has.

use std::cmp::Ordering;
use std::fmt;

use super::{RESERVED_AHEAD, Value, one_deeper, show_text};
use crate::cbor::{self, Malformed, Reader};

/// A map of so many entries is looked through from the front: filters ask thousands of them, and halving takes twice as long there,
/// as the processor cannot foresee which half comes next.
const LOOKED_THROUGH: usize = 16;

/// Values by text keys, without duplicates.
///
/// The order of iteration is that of deterministic CBOR: shorter keys first, then byte by byte.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Map {
    /// Strictly ascending by [`order`].
    entries: Vec<(String, Value)>,
}

impl Map {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of this key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        if self.entries.len() > LOOKED_THROUGH {
            return self.find(key).ok().map(|at| &self.entries[at].1);
        }
        self.entries.iter().find(|(present, _)| present == key).map(|(_, value)| value)
    }

    /// Sets the value of this key and returns the one it had.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.find(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.entries[at].1, value)),
            Err(at) => {
                self.entries.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes the value of this key out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.find(key).ok().map(|at| self.entries.remove(at).1)
    }

    /// All entries: shorter keys first, then byte by byte.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        cbor::put_map(out, self.len());
        self.put_entries(out);
    }

    /// Writes the entries for a map whose head somebody else wrote.
    pub(crate) fn put_entries(&self, out: &mut Vec<u8>) {
        for (key, value) in &self.entries {
            cbor::put_text(out, key);
            value.put(out);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>, depth_left: usize) -> Result<Self, Malformed> {
        let depth_left = one_deeper(depth_left)?;
        let len = reader.map()?;
        let mut map = Self { entries: Vec::with_capacity(len.min(RESERVED_AHEAD)) };
        for _ in 0..len {
            let key = reader.text()?;
            let value = Value::read(reader, depth_left)?;
            map.append(key, value)?;
        }
        Ok(map)
    }

    /// Adds an entry that has to come after all others.
    pub(crate) fn append(&mut self, key: &str, value: Value) -> Result<(), Malformed> {
        match self.entries.last() {
            Some((last, _)) if order(last, key) != Ordering::Less => {
                Err(Malformed("map keys are not strictly ascending"))
            }
            _ => {
                self.entries.push((key.to_owned(), value));
                Ok(())
            }
        }
    }

    pub(crate) fn depth(&self) -> usize {
        1 + self.iter().map(|(_, value)| value.depth()).max().unwrap_or(0)
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(present, _)| order(present, key))
    }
}

fn order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

/// Of entries with the same key the last counts.
impl<K: Into<String>, V: Into<Value>> Extend<(K, V)> for Map {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        self.entries.extend(entries.into_iter().map(|(key, value)| (key.into(), value.into())));
        // One sort, because inserting a stranger's many keys one by one takes quadratic time. It is stable, so of equal keys
        // the latest comes first and is kept.
        self.entries.reverse();
        self.entries.sort_by(|(a, _), (b, _)| order(a, b));
        self.entries.dedup_by(|(later, _), (first, _)| later == first);
    }
}

/// Of entries with the same key the last counts.
impl FromIterator<(String, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl IntoIterator for Map {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl fmt::Display for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (key, value)) in self.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            show_text(f, key)?;
            write!(f, ": {value}")?;
        }
        f.write_str("}")
    }
}
