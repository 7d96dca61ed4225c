//! A filter that was understood: what is asked once for each of ten thousand peers.
//!
//! It allocates nothing, cannot fail, and recurses no deeper than filters and options may nest.

use std::cmp::Ordering;

use super::compare::{loosely_equal, order};
use super::list::List;
use super::lookup::lookup;
use crate::options::Options;
use crate::value::Value;

/// What asking a regular expression costs: more than all else together in a filter that is as large as it may be.
const REGEX_COST: usize = 1_000_000;

/// A filter, ready to be asked.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(super) all: All,
    has_regex: bool,
}

/// What must hold together, cheapest first; nothing in it holds for everybody.
#[derive(Debug)]
pub(super) struct All(pub(super) Vec<Part>);

#[derive(Debug)]
pub(super) enum Part {
    Clause(Clause),
    /// At least one of these holds.
    Or(Vec<All>),
    Not(All),
}

/// One test of one key.
#[derive(Debug)]
pub(super) struct Clause {
    pub(super) key: String,
    /// Whether the key may name something inside of a map.
    dotted: bool,
    pub(super) test: Test,
}

#[derive(Debug)]
pub(super) enum Test {
    Exists,
    Missing,
    Equal(Value),
    Unequal(Value),
    LooselyEqual(Value),
    Order(Comparison, Value),
    Between(Value, Value),
    BetweenInclusive(Value, Value),
    OneOf(List),
    NoneOf(List),
    Contains(Value),
    ContainsAny(List),
    ContainsNone(List),
    #[cfg(feature = "regex")]
    Regex(regex_lite::Regex),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[cfg_attr(not(test), allow(dead_code))] // The index of equalities and routers ask the rest.
impl Compiled {
    pub(super) fn new(all: All) -> Self {
        Self { has_regex: all.cost() >= REGEX_COST, all }
    }

    /// Whether all of it holds for these options.
    pub(crate) fn matches(&self, options: &Options) -> bool {
        self.all.matches(options)
    }

    /// Keys and the values that what they [`lookup`] must equal, or nothing matches. There may be more conditions.
    pub(crate) fn equalities(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.all.0.iter().filter_map(|part| match part {
            Part::Clause(Clause { key, test: Test::Equal(value), .. }) => {
                Some((key.as_str(), value))
            }
            _ => None,
        })
    }

    /// Whether everybody matches, as there is no condition.
    pub(crate) fn is_any(&self) -> bool {
        self.all.0.is_empty()
    }

    /// Whether asking may take a time that is not small.
    pub(crate) fn has_regex(&self) -> bool {
        self.has_regex
    }
}

impl All {
    /// Puts what is cheap to ask first.
    pub(super) fn new(mut parts: Vec<Part>) -> Self {
        parts.sort_by_key(Part::cost);
        Self(parts)
    }

    pub(super) fn matches(&self, options: &Options) -> bool {
        self.0.iter().all(|part| part.matches(options))
    }

    fn cost(&self) -> usize {
        self.0.iter().map(Part::cost).sum()
    }
}

impl Part {
    pub(super) fn matches(&self, options: &Options) -> bool {
        match self {
            Self::Clause(clause) => clause.test.holds(clause.find(options)),
            Self::Or(alternatives) => alternatives.iter().any(|all| all.matches(options)),
            Self::Not(inner) => !inner.matches(options),
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Clause(clause) => clause.test.cost() + usize::from(clause.dotted),
            Self::Or(alternatives) => 1 + alternatives.iter().map(All::cost).sum::<usize>(),
            Self::Not(inner) => 1 + inner.cost(),
        }
    }
}

impl Clause {
    pub(super) fn new(key: &str, test: Test) -> Self {
        Self { key: key.to_owned(), dotted: key.contains('.'), test }
    }

    pub(super) fn find<'a>(&self, options: &'a Options) -> Option<&'a Value> {
        if self.dotted { lookup(options, &self.key) } else { options.get(&self.key) }
    }
}

impl Test {
    /// Whether this holds for what was found under the key. A key that is missing fails everything but one test.
    fn holds(&self, found: Option<&Value>) -> bool {
        let Some(found) = found else { return matches!(self, Self::Missing) };
        match self {
            Self::Exists => true,
            Self::Missing => false,
            Self::Equal(value) => found == value,
            Self::Unequal(value) => found != value,
            Self::LooselyEqual(value) => loosely_equal(found, value),
            Self::Order(comparison, value) => comparison.holds(found, value),
            Self::Between(low, high) => {
                Comparison::Greater.holds(found, low) && Comparison::Less.holds(found, high)
            }
            Self::BetweenInclusive(low, high) => {
                Comparison::GreaterOrEqual.holds(found, low)
                    && Comparison::LessOrEqual.holds(found, high)
            }
            Self::OneOf(list) => list.has(found),
            Self::NoneOf(list) => !list.has(found),
            Self::Contains(value) => contains(found, value),
            Self::ContainsAny(list) => contains_any(found, list),
            Self::ContainsNone(list) => {
                matches!(found, Value::Array(_) | Value::Text(_)) && !contains_any(found, list)
            }
            #[cfg(feature = "regex")]
            Self::Regex(regex) => matches!(found, Value::Text(text) if regex.is_match(text)),
        }
    }

    /// Roughly what asking costs, in looks at a scalar.
    fn cost(&self) -> usize {
        match self {
            Self::Exists | Self::Missing => 1,
            Self::Equal(value) | Self::Unequal(value) => 2 + extra(value),
            Self::LooselyEqual(value) | Self::Order(_, value) => 3 + extra(value),
            Self::Between(..) | Self::BetweenInclusive(..) => 4,
            Self::OneOf(list) | Self::NoneOf(list) => 2 + list.looks(),
            Self::Contains(_) => 10,
            // Every part is looked for in a text.
            Self::ContainsAny(list) | Self::ContainsNone(list) => 10 * (1 + list.values().len()),
            #[cfg(feature = "regex")]
            Self::Regex(_) => REGEX_COST,
        }
    }
}

/// What comparing with this value costs beyond a scalar.
fn extra(value: &Value) -> usize {
    match value {
        Value::Array(values) => 2 + values.len(),
        Value::Map(map) => 2 + 2 * map.len(),
        _ => 0,
    }
}

/// Whether an array has this element, or a text this part.
fn contains(found: &Value, value: &Value) -> bool {
    match (found, value) {
        (Value::Array(values), value) => values.contains(value),
        (Value::Text(text), Value::Text(part)) => text.contains(part.as_str()),
        _ => false,
    }
}

/// Whether an array has one of these elements, or a text one of these parts.
fn contains_any(found: &Value, list: &List) -> bool {
    match found {
        Value::Array(values) => values.iter().any(|element| list.has(element)),
        Value::Text(_) => list.values().iter().any(|part| contains(found, part)),
        _ => false,
    }
}

impl Comparison {
    fn holds(self, found: &Value, value: &Value) -> bool {
        let Some(order) = order(found, value) else { return false };
        match self {
            Self::Greater => order == Ordering::Greater,
            Self::GreaterOrEqual => order != Ordering::Less,
            Self::Less => order == Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
        }
    }
}
