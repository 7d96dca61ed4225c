//! Filters: plain data that says which options are meant, compiled once and asked often.
//!
//! A filter reads nothing but options: no clock, no code of the program. So a router may evaluate one that came from elsewhere.

mod build;
mod cache;
mod compare;
mod compile;
mod compiled;
mod display;
mod estimate;
mod explain;
mod fingerprint;
mod list;
mod lookup;
#[cfg(any(test, fuzzing))]
pub(super) mod reference;
#[cfg(any(test, fuzzing))]
pub(super) mod sample;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::compile::refusal;
use self::estimate::Estimate;
use self::fingerprint::fingerprint_of;
use crate::cbor::{Malformed, Reader};
use crate::config::{FILTER_BYTES, FILTER_DEPTH, SMALL_FILTER_BYTES};
use crate::error::Error;
use crate::options::Options;
use crate::value::{Map, Value, to_value};

pub(crate) use cache::FilterCache;
pub(crate) use compiled::Compiled;
pub(crate) use fingerprint::fingerprint;
pub(crate) use lookup::lookup;

/// Which peers are meant, by their options: plain data, evaluated alike everywhere. Cheap to clone.
///
/// Write one down with [`filter!`](crate::filter!), or put it together step by step. It is a map from the name of an option to a
/// condition. All conditions must hold; a peer may have any other options besides. The empty filter, [`Filter::any`], matches
/// everybody.
///
/// ```
/// use threadmesh::{Filter, filter, options};
///
/// let filter = filter! { "role": "api", "load": { "$gte": 10, "$lt": 80 }, "gpu.memory": { "$in": [40, 80] } };
/// let peer = options! { "role": "api", "load": 12, "gpu": { "memory": 80 }, "region": "eu" };
/// assert!(filter.matches(&peer)?);
/// assert!(!filter.matches(&peer.with("load", 80))?);
///
/// // The same, step by step. Conditions on one key add up.
/// let same = Filter::any().eq("role", "api").gte("load", 10).lt("load", 80).one_of("gpu.memory", [40, 80]);
/// assert_eq!(same, filter);
///
/// // Filters are combined by `and`, `or` and `!`, or by keys of their own.
/// let either = filter! { "region": "eu" }.or(!filter! { "tier": 1 });
/// assert_eq!(either, filter! { "$or": [{ "region": "eu" }, { "$not": { "tier": 1 } }] });
/// assert_eq!(either.to_string(), r#"region = "eu" or not (tier = 1)"#);
/// # Ok::<(), threadmesh::Error>(())
/// ```
///
/// # Conditions
/// A scalar, an array, or a map without operators must be equal as a whole. A map of operators holds when all of them do:
///
/// | operator | method | holds when the option |
/// | --- | --- | --- |
/// | `$eq` | [`eq`](Self::eq) | equals the operand |
/// | `$ne` | [`ne`](Self::ne) | does not equal it |
/// | `$aeq` | [`aeq`](Self::aeq) | equals it loosely: also a number its text (`5` and `"5"`), a truth value 0 or 1 |
/// | `$gt` `$gte` `$lt` `$lte` | [`gt`](Self::gt) [`gte`](Self::gte) [`lt`](Self::lt) [`lte`](Self::lte) | is greater, less: number with number, text with text |
/// | `$between` | [`between`](Self::between) | lies between the two of an array, and is neither |
/// | `$betweenInclusive` | [`between_inclusive`](Self::between_inclusive) | lies between them, or is one of them |
/// | `$regex` | [`regex`](Self::regex) | is a text in which the expression matches, anywhere unless anchored (feature `regex`) |
/// | `$in` `$nin` | [`one_of`](Self::one_of) [`none_of`](Self::none_of) | equals one, none of an array |
/// | `$contains` | [`contains`](Self::contains) | is an array with this element, or a text with this part |
/// | `$containsAny` `$containsNone` | [`contains_any`](Self::contains_any) [`contains_none`](Self::contains_none) | has one, has none of an array |
/// | `$exists` | [`exists`](Self::exists) [`missing`](Self::missing) | is there (`true`), is not there (`false`) |
///
/// Beside the options stand the logical keys `$and` and `$or`, each with an array of filters, and `$not` with one filter. An
/// empty `$and` matches everybody, an empty `$or` nobody. An option whose own name begins with `$` cannot be asked for.
///
/// So alternatives that are put together in a loop start from nobody, `!Filter::any()`: an `or` with everybody is everybody.
///
/// ```
/// use threadmesh::{Filter, filter, options};
///
/// let regions = ["eu", "us"];
/// let nobody = !Filter::any();
/// let either = regions.into_iter().fold(nobody, |either, region| either.or(filter! { "region": region }));
/// assert!(either.matches(&options! { "region": "us" })?);
/// assert!(!either.matches(&options! { "region": "ap" })?);
/// # Ok::<(), threadmesh::Error>(())
/// ```
///
/// What holds for one peer, and what does not:
///
/// ```
/// use threadmesh::{filter, options};
///
/// let peer = options! { "role": "worker", "version": 2, "capabilities": ["video", "image"], "gpu": { "memory": 80 } };
/// assert!(filter! { "role": "worker", "version": { "$gte": 2 } }.matches(&peer)?);
/// assert!(!filter! { "role": "worker", "version": 3 }.matches(&peer)?, "all of it must hold");
/// // One element of an array; or the array as a whole, in order.
/// assert!(filter! { "capabilities": { "$contains": "video" } }.matches(&peer)?);
/// assert!(filter! { "capabilities": ["video", "image"] }.matches(&peer)?);
/// assert!(!filter! { "capabilities": ["video"] }.matches(&peer)?);
/// # Ok::<(), threadmesh::Error>(())
/// ```
///
/// # Keys
/// `gpu.memory` is the option of exactly this name if there is one, else `memory` in the map `gpu`, and so on inwards. That is
/// the way to look inside of a map: `{ "gpu": { "memory": 80 } }` asks for a `gpu` that is this map and nothing more.
///
/// # Missing keys
/// A condition on a key that is missing does not hold, whatever it is, also `$ne`, `$nin`, `$containsNone` and `$aeq: null`.
/// Only `$exists: false` does. An option that is `null` is there, and equals only `null`. `$not` is the plain complement: `not
/// (tier = 1)` holds where there is no `tier`.
///
/// # Types
/// Numbers are compared by their exact value, whole or not: `2` equals `2.0`, and neither is `"2"`. `NaN` equals nothing, and is
/// neither greater nor less. Texts are ordered byte by byte. Arrays are equal in order, maps without order. Where the types
/// do not fit an operator, it does not hold: `$gt` between a number and a text, `$contains` or `$containsNone` on a number.
/// That is never an error.
///
/// # Errors
/// Building never fails. A filter that is wrong is `INVALID_FILTER` from the call that uses it, and from [`check`](Self::check)
/// before: an operator that does not exist, an operand of a wrong type, operators mixed with plain keys, an expression that does
/// not compile. So is one beyond the limits: 4,096 bytes encoded, 64 clauses (operators, tests of equality and logical keys),
/// 8 levels of maps and arrays (the filter itself is the first), 1,024 bytes for one expression.
#[derive(Clone)]
pub struct Filter(Arc<Inner>);

struct Inner {
    map: Map,
    /// Made at the first use, for all clones.
    compiled: OnceLock<Result<Compiled, Error>>,
    /// Made when it is first sent to a router, for all clones.
    encoded: OnceLock<Arc<[u8]>>,
}

impl Filter {
    /// Matches everybody: a filter without conditions. Conditions are added to it.
    pub fn any() -> Self {
        Self::from(Map::new())
    }

    /// The filter that the fields of a struct, or the entries of a map, describe. `None` becomes `null`, which only `null`
    /// equals: have serde skip it (`skip_serializing_if`) where it means that any will do.
    ///
    /// # Example
    /// ```
    /// use threadmesh::{Filter, filter};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Wanted {
    ///     role: &'static str,
    ///     tier: u8,
    /// }
    ///
    /// let filter = Filter::from_serde(&Wanted { role: "api", tier: 2 })?;
    /// assert_eq!(filter, filter! { "role": "api", "tier": 2 });
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    ///
    /// # Errors
    /// `INVALID_FILTER` when `data` is neither, has a key that is no text, an integer beyond 64 bits, or nests more than 8 deep.
    pub fn from_serde<T: Serialize + ?Sized>(data: &T) -> Result<Self, Error> {
        match to_value(data) {
            Ok(Value::Map(map)) => Ok(Self::from(map)),
            Ok(other) => Err(refusal(format!("a filter is a struct or a map, not {other}"))),
            Err(why) => Err(refusal(format!("this cannot be a filter: {why}"))),
        }
    }

    /// Says whether this is a filter at all, before a call does.
    ///
    /// # Errors
    /// `INVALID_FILTER`, saying what is wrong, and where.
    pub fn check(&self) -> Result<(), Error> {
        self.compiled().map(|_| ())
    }

    /// Whether a node with these options is meant.
    ///
    /// # Errors
    /// `INVALID_FILTER`, whatever the options are.
    pub fn matches(&self, options: &Options) -> Result<bool, Error> {
        Ok(self.compiled()?.matches(options))
    }

    /// Why a node with these options is not meant: every clause that fails, and what was found there. `None` if it is meant.
    /// The text is for people; only whether there is one is stable.
    ///
    /// # Example
    /// ```
    /// use threadmesh::{filter, options};
    ///
    /// let filter = filter! { "role": "api", "load": { "$lt": 80 } };
    /// let why = filter.explain(&options! { "load": 93 })?;
    /// assert_eq!(why.as_deref(), Some(r#"role = "api": there is no role; load < 80: load is 93"#));
    /// assert_eq!(filter.explain(&options! { "load": 3, "role": "api" })?, None);
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    ///
    /// # Errors
    /// `INVALID_FILTER`, whatever the options are.
    pub fn explain(&self, options: &Options) -> Result<Option<String>, Error> {
        Ok(self.compiled()?.explain(options))
    }

    /// The form that is asked.
    pub(crate) fn compiled(&self) -> Result<&Compiled, Error> {
        let compiled = self.0.compiled.get_or_init(|| compile::compile(&self.0.map));
        compiled.as_ref().map_err(Clone::clone)
    }

    /// The form that is sent.
    pub(crate) fn encoded(&self) -> Arc<[u8]> {
        let encode = || {
            let mut out = Vec::new();
            self.put(&mut out);
            out.into()
        };
        Arc::clone(self.0.encoded.get_or_init(encode))
    }
}

impl Filter {
    /// A number that is the same for equal filters.
    pub(crate) fn fingerprint(&self) -> u64 {
        fingerprint_of(&self.0.map)
    }

    /// How many clauses every peer is asked, if that is soon done and the filter soon compiled: it has no regular expression, and at most
    /// [`SMALL_FILTER_BYTES`]. Nothing is compiled to know it.
    pub(crate) fn light_clauses(&self) -> Option<usize> {
        let mut encoded = Vec::new();
        self.put(&mut encoded);
        let estimate = Estimate::of(&self.0.map);
        let is_light = encoded.len() <= SMALL_FILTER_BYTES && estimate.expressions == 0;
        is_light.then_some(estimate.clauses)
    }

    /// Whether somebody has used it.
    #[cfg(test)]
    pub(super) fn is_compiled(&self) -> bool {
        self.0.compiled.get().is_some()
    }

    /// Appends the one encoding of this filter. It fits where one is read only if the filter passes its [`check`](Self::check).
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        self.0.map.put(out);
    }

    /// Reads a filter of a size that is allowed. Whether it makes sense is seen when it is compiled.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Value::fits(reader.clone(), FILTER_BYTES)?;
        Map::read(reader, FILTER_DEPTH).map(Self::from)
    }
}

/// The empty filter, which matches everybody.
impl Default for Filter {
    fn default() -> Self {
        Self::any()
    }
}

impl From<Map> for Filter {
    fn from(map: Map) -> Self {
        Self(Arc::new(Inner { map, compiled: OnceLock::new(), encoded: OnceLock::new() }))
    }
}

/// By their data: two filters that say the same in different words differ.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.0.map == other.0.map
    }
}

/// The data of the filter, a map.
impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.map.serialize(serializer)
    }
}

/// Any map with text keys: whether it makes sense is seen when it is used.
impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::from)
    }
}

/// As a person reads it; the bare data if the filter is wrong.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.compiled() {
            Ok(compiled) => write!(f, "{}", compiled.all),
            Err(_) => write!(f, "{}", self.0.map),
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
