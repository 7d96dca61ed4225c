//! Filters, put together step by step. Nothing fails here, and nothing that was wrong becomes right.

use std::ops::Not;
use std::sync::Arc;

use super::Filter;
use super::compile::{Condition, is_dollar};
use crate::value::{Map, Value};

const AND: &str = "$and";
const OR: &str = "$or";
const NOT: &str = "$not";
const EQ: &str = "$eq";

macro_rules! with_a_value {
    ($( $(#[doc = $doc:literal])+ $method:ident = $operator:literal; )+) => { $(
        $(#[doc = $doc])+
        pub fn $method(self, key: impl Into<String>, value: impl Into<Value>) -> Self {
            self.with($operator, key.into(), value.into())
        }
    )+ };
}

macro_rules! with_a_list {
    ($( $(#[doc = $doc:literal])+ $method:ident = $operator:literal; )+) => { $(
        $(#[doc = $doc])+
        pub fn $method<V: Into<Value>>(
            self,
            key: impl Into<String>,
            list: impl IntoIterator<Item = V>,
        ) -> Self {
            let list = list.into_iter().map(Into::into).collect();
            self.with($operator, key.into(), Value::Array(list))
        }
    )+ };
}

/// Each of these adds a condition to those that are there; another one on the same key does not replace the first.
impl Filter {
    with_a_value! {
        /// And the option equals `value`.
        eq = "$eq";
        /// And the option is there and does not equal `value`.
        ne = "$ne";
        /// And the option loosely equals `value`: also a number its text, and a truth value 0 or 1.
        aeq = "$aeq";
        /// And the option is greater than `value`: a number than a number, or a text than a text.
        gt = "$gt";
        /// And the option is greater than `value` or equal to it.
        gte = "$gte";
        /// And the option is less than `value`: a number than a number, or a text than a text.
        lt = "$lt";
        /// And the option is less than `value` or equal to it.
        lte = "$lte";
        /// And the option is an array with the element `value`, or a text with this part.
        contains = "$contains";
    }

    with_a_list! {
        /// And the option equals one of the list.
        one_of = "$in";
        /// And the option is there and equals none of the list.
        none_of = "$nin";
        /// And the option is an array with one of these elements at least, or a text with one of these parts.
        contains_any = "$containsAny";
        /// And the option is an array with none of these elements, or a text with none of these parts.
        contains_none = "$containsNone";
    }

    /// And the option lies between `low` and `high`, and is neither.
    pub fn between(
        self,
        key: impl Into<String>,
        low: impl Into<Value>,
        high: impl Into<Value>,
    ) -> Self {
        self.with("$between", key.into(), Value::Array(vec![low.into(), high.into()]))
    }

    /// And the option lies between `low` and `high`, or is one of them.
    pub fn between_inclusive(
        self,
        key: impl Into<String>,
        low: impl Into<Value>,
        high: impl Into<Value>,
    ) -> Self {
        self.with("$betweenInclusive", key.into(), Value::Array(vec![low.into(), high.into()]))
    }

    /// And the option is a text in which the regular expression `pattern` matches (feature `regex`): anywhere in it, unless
    /// the expression is anchored with `^` and `$`.
    pub fn regex(self, key: impl Into<String>, pattern: impl Into<String>) -> Self {
        self.with("$regex", key.into(), Value::Text(pattern.into()))
    }

    /// And the option is there, `null` or not.
    pub fn exists(self, key: impl Into<String>) -> Self {
        self.with("$exists", key.into(), Value::Bool(true))
    }

    /// And the option is not there.
    pub fn missing(self, key: impl Into<String>) -> Self {
        self.with("$exists", key.into(), Value::Bool(false))
    }

    /// What matches both.
    ///
    /// # Example
    /// ```
    /// use threadmesh::filter;
    ///
    /// let both = filter! { "role": "api" }.and(filter! { "load": { "$lt": 80 } });
    /// assert_eq!(both, filter! { "role": "api", "load": { "$lt": 80 } });
    /// ```
    pub fn and(self, other: Self) -> Self {
        let mut map = self.into_map();
        let mut again = Map::new();
        for (key, value) in other.into_map() {
            if map.get(&key).is_some() {
                again.insert(key, value);
            } else {
                map.insert(key, value);
            }
        }
        if again.is_empty() { Self::from(map) } else { Self::from(with_all(map, again)) }
    }

    /// What matches at least one of them. [`Filter`] shows how many are put together.
    ///
    /// # Example
    /// ```
    /// use threadmesh::filter;
    ///
    /// let either = filter! { "role": "api" }.or(filter! { "tier": 1 });
    /// assert_eq!(either.to_string(), r#"role = "api" or tier = 1"#);
    /// ```
    pub fn or(self, other: Self) -> Self {
        let mut alternatives = alternatives(self.into_map());
        alternatives.extend(self::alternatives(other.into_map()));
        Self::from(single(OR, Value::Array(alternatives)))
    }

    fn with(self, operator: &str, key: String, operand: Value) -> Self {
        let mut map = self.into_map();
        let Some(present) = map.get(&key) else {
            let condition = alone(&key, operator, operand);
            map.insert(key, condition);
            return Self::from(map);
        };
        match beside(&key, present, operator, operand) {
            Ok(condition) => {
                map.insert(key, condition);
                Self::from(map)
            }
            Err(operand) => {
                let condition = alone(&key, operator, operand);
                Self::from(with_all(map, single(&key, condition)))
            }
        }
    }

    fn into_map(self) -> Map {
        match Arc::try_unwrap(self.0) {
            Ok(inner) => inner.map,
            Err(shared) => shared.map.clone(),
        }
    }
}

/// What does not match. Not of a filter that is already a `not` is what stands in it.
///
/// # Example
/// ```
/// use threadmesh::{filter, options};
///
/// let not = !filter! { "tier": 1 };
/// assert!(not.matches(&options! { "tier": 2 })?);
/// assert!(not.matches(&options! {})?, "this is the complement: it needs no key");
/// assert_eq!(!not, filter! { "tier": 1 });
/// # Ok::<(), threadmesh::Error>(())
/// ```
impl Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        let mut map = self.into_map();
        match map.remove(NOT) {
            Some(Value::Map(inner)) if map.is_empty() => Self::from(inner),
            Some(other) => {
                map.insert(NOT, other);
                Self::from(single(NOT, map))
            }
            None => Self::from(single(NOT, map)),
        }
    }
}

fn single(key: &str, value: impl Into<Value>) -> Map {
    Map::from_iter([(key.to_owned(), value.into())])
}

/// A condition of one operator. Equality is written plainly where that means the same.
fn alone(key: &str, operator: &str, operand: Value) -> Value {
    let is_plain = !is_dollar(key) && matches!(Condition::of(&operand), Condition::Plain);
    if operator == EQ && is_plain { operand } else { single(operator, operand).into() }
}

/// The condition that is present with one operator more; the operand back if the two cannot stand in one map.
fn beside(key: &str, present: &Value, operator: &str, operand: Value) -> Result<Value, Value> {
    let mut map = match Condition::of(present) {
        _ if is_dollar(key) => return Err(operand),
        Condition::Operators(map) => map.clone(),
        Condition::Plain => single(EQ, present.clone()),
        Condition::Mixed => return Err(operand),
    };
    if map.get(operator).is_some() {
        return Err(operand);
    }
    map.insert(operator, operand);
    Ok(Value::Map(map))
}

/// `map`, and all of `more`.
fn with_all(mut map: Map, mut more: Map) -> Map {
    let mut both = match map.remove(AND) {
        None => Vec::new(),
        Some(Value::Array(filters)) => filters,
        Some(wrong) => {
            // Left as it is, for the compiler to complain about.
            map.insert(AND, wrong);
            return single(AND, Value::Array(vec![map.into(), more.into()]));
        }
    };
    match more.remove(AND) {
        Some(Value::Array(filters)) => both.extend(filters),
        Some(wrong) => both.push(single(AND, wrong).into()),
        None => {}
    }
    if !more.is_empty() {
        both.push(more.into());
    }
    map.insert(AND, Value::Array(both));
    map
}

/// The alternatives of a filter that is nothing but an `or`, else the filter itself.
fn alternatives(mut map: Map) -> Vec<Value> {
    match map.remove(OR) {
        Some(Value::Array(filters)) if map.is_empty() => filters,
        Some(other) => {
            map.insert(OR, other);
            vec![map.into()]
        }
        None => vec![map.into()],
    }
}

/// Builds a [`Filter`] as it would be written in JSON, with Rust expressions where values stand;
/// see [`value!`](crate::value!) for what nests.
///
/// # Example
/// ```
/// use threadmesh::{filter, options};
///
/// let most = 80;
/// let filter = filter! { "role": "api", "load": { "$lt": most } };
/// assert!(filter.matches(&options! { "role": "api", "load": 12, "region": "eu" })?);
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[macro_export]
macro_rules! filter {
    ($($entries:tt)*) => { $crate::Filter::from($crate::__map!([] $($entries)*)) };
}
