//! A node's metadata: a small map of values that its peers see.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cbor::{Malformed, Reader};
use crate::config::{OPTIONS_BYTES, OPTIONS_DEPTH, OPTIONS_ENTRIES};
use crate::error::{Error, ErrorKind};
use crate::id::NodeId;
use crate::value::{Map, Value, from_map, to_value};

/// The key that holds the node's id.
pub(crate) const ID_KEY: &str = "_id";
/// Where a router says that it is one.
const ROUTER_KEY: &str = "router";

/// A node's options: a map of values that its peers see and choose by. Cheap to clone.
///
/// Once the node has started, the key `_id` is always present and equals the node's id, whatever was written there.
/// Encoded, options have at most 8 KiB; they have at most 64 entries, and nest at most 4 deep (the map itself is the
/// first level). More is `INVALID_ARGUMENT` from the call that sets them.
///
/// # Example
/// ```
/// use threadmesh::{Options, options};
///
/// let options = options! { "role": "api", "cfg": { "a": 1 } }.with("queue", 3);
/// assert_eq!(options.get_u64("queue"), Some(3));
/// assert_eq!(options.to_string(), r#"{"cfg": {"a": 1}, "role": "api", "queue": 3}"#);
/// assert!(Options::new().is_empty());
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Options(Arc<Map>);

impl Options {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }

    /// The options that the fields of a struct, or the entries of a map, describe.
    ///
    /// # Errors
    /// `ENCODE` when `data` is neither, has a key that is no text, an integer beyond 64 bits, or nests more than 8 deep.
    pub fn from_serde<T: Serialize + ?Sized>(data: &T) -> Result<Self, Error> {
        let refuse = |why: String| Error::new(ErrorKind::Encode, why);
        match to_value(data) {
            Ok(Value::Map(map)) => Ok(Self(Arc::new(map))),
            Ok(other) => Err(refuse(format!("options are a struct or a map, not {other}"))),
            Err(why) => Err(refuse(format!("this cannot be options: {why}"))),
        }
    }

    /// These options as a type of the program: a struct whose fields are some of the keys, or a map. Keys that a struct does not
    /// name, such as `_id`, are passed over. An integer becomes any number it fits into, `null` becomes `None`.
    ///
    /// # Example
    /// ```
    /// use threadmesh::options;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Worker {
    ///     role: String,
    ///     queue: u32,
    ///     gpu: Option<f64>,
    /// }
    ///
    /// let options = options! { "_id": "w1", "role": "worker", "queue": 3 };
    /// let worker: Worker = options.view()?;
    /// assert_eq!((worker.role.as_str(), worker.queue, worker.gpu), ("worker", 3, None));
    ///
    /// let wrong = options.with("queue", -1).view::<Worker>().err().unwrap();
    /// assert!(wrong.message().contains("queue: invalid value: integer `-1`, expected u32"));
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    ///
    /// # Errors
    /// `DECODE` when something does not fit, naming it.
    pub fn view<T: DeserializeOwned>(&self) -> Result<T, Error> {
        from_map(&self.0).map_err(|misfit| {
            let name = std::any::type_name::<T>();
            Error::new(ErrorKind::Decode, format!("the options are no {name}: {misfit}"))
        })
    }

    /// The same options, with `key` set to `value`.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        Arc::make_mut(&mut self.0).insert(key, value);
        self
    }

    /// The value of this key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// The value of this key, if it is a text.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// The value of this key, if it is an integer from 0 to 2^64 - 1.
    pub fn get_u64(&self, key: &str) -> Option<u64> {
        self.get(key)?.as_u64()
    }

    /// The value of this key, if it is an integer from -2^63 to 2^63 - 1.
    pub fn get_i64(&self, key: &str) -> Option<i64> {
        self.get(key)?.as_i64()
    }

    /// The value of this key, if it is a number; a large integer is rounded.
    pub fn get_f64(&self, key: &str) -> Option<f64> {
        self.get(key)?.as_f64()
    }

    /// The value of this key, if it is a truth value.
    pub fn get_bool(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    /// All entries: shorter keys first, then byte by byte.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter()
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same options, holding the id of their node.
    pub(crate) fn with_id(self, id: &NodeId) -> Self {
        self.with(ID_KEY, id)
    }

    /// These options, as those of a router.
    pub(crate) fn with_router(self) -> Self {
        self.with(ROUTER_KEY, true)
    }

    /// Whether they say that their node is a router.
    pub(crate) fn is_router(&self) -> bool {
        self.get_bool(ROUTER_KEY) == Some(true)
    }

    /// Whether both are one and the same in memory, which is quickly seen.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// These options, with the entries of `other` added or put in place of those with the same key.
    pub(crate) fn merged(&self, other: &Self) -> Self {
        let mut map = (*self.0).clone();
        map.extend(other.iter().map(|(key, value)| (key, value.clone())));
        Self(Arc::new(map))
    }

    /// Checks what a program gave against the limits; call it after [`with_id`](Self::with_id), as the id counts too.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::new(ErrorKind::InvalidArgument, why));
        if self.len() > OPTIONS_ENTRIES {
            let len = self.len();
            return refuse(format!(
                "options have at most {OPTIONS_ENTRIES} entries, these have {len}"
            ));
        }
        let depth = self.0.depth();
        if depth > OPTIONS_DEPTH {
            return refuse(format!("options nest at most {OPTIONS_DEPTH} deep, these {depth}"));
        }
        if let Some(integer) = self.iter().find_map(|(_, value)| value.unsendable_integer()) {
            return refuse(format!("integers go from -2^64 to 2^64 - 1, one is {integer}"));
        }
        let mut encoded = Vec::new();
        self.put(&mut encoded);
        if encoded.len() > OPTIONS_BYTES {
            let len = encoded.len();
            return refuse(format!("options have at most {OPTIONS_BYTES} bytes, these have {len}"));
        }
        Ok(())
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    /// Reads options within the limits that [`check`](Self::check) has.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Value::fits(reader.clone(), OPTIONS_BYTES)?;
        let map = Map::read(reader, OPTIONS_DEPTH)?;
        if map.len() > OPTIONS_ENTRIES {
            return Err(Malformed("options have too many entries"));
        }
        Ok(Self(Arc::new(map)))
    }
}

impl From<Map> for Options {
    fn from(map: Map) -> Self {
        Self(Arc::new(map))
    }
}

impl Serialize for Options {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Builds [`Options`] as they would be written in JSON, with Rust expressions where values stand;
/// see [`value!`](crate::value!) for what nests.
///
/// # Example
/// ```
/// use threadmesh::options;
///
/// let region = String::from("eu");
/// let options = options! { "role": "api", "region": region, "ports": [1, 2], "cfg": { "a": 1 } };
/// assert_eq!(options.get_str("region"), Some("eu"));
/// ```
#[macro_export]
macro_rules! options {
    ($($entries:tt)*) => { $crate::Options::from($crate::__map!([] $($entries)*)) };
}
