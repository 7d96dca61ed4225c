//! From the data of a filter to its compiled form, or to what is wrong with it.

use super::compiled::{All, Clause, Comparison, Compiled, Part, Test};
use super::list::List;
use crate::config::{FILTER_BYTES, FILTER_CLAUSES, FILTER_DEPTH};
#[cfg(feature = "regex")]
use crate::config::{FILTER_REGEX_BYTES, FILTER_REGEX_COMPILED_BYTES};
use crate::error::{Error, ErrorKind};
use crate::value::{Map, Value};

/// What an unknown operator is told.
const OPERATORS: &str = "$eq, $ne, $aeq, $gt, $gte, $lt, $lte, $between, $betweenInclusive, $regex, $in, $nin, \
     $contains, $containsAny, $containsNone and $exists";

/// Understands a filter. The limits come first, as they bound everything behind them.
pub(super) fn compile(map: &Map) -> Result<Compiled, Error> {
    check_limits(map)?;
    Ok(Compiled::new(filter(map)?))
}

/// The error of everything that is wrong with a filter.
pub(super) fn refusal(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidFilter, why)
}

fn check_limits(map: &Map) -> Result<(), Error> {
    let depth = map.depth();
    if depth > FILTER_DEPTH {
        return Err(refusal(format!(
            "a filter nests at most {FILTER_DEPTH} deep, this one {depth}"
        )));
    }
    if let Some(integer) = map.iter().find_map(|(_, value)| value.unsendable_integer()) {
        return Err(refusal(format!("integers go from -2^64 to 2^64 - 1, one is {integer}")));
    }
    let mut encoded = Vec::new();
    map.put(&mut encoded);
    let len = encoded.len();
    if len > FILTER_BYTES {
        return Err(refusal(format!(
            "a filter has at most {FILTER_BYTES} bytes encoded, this one has {len}"
        )));
    }
    let clauses = clauses(map);
    if clauses > FILTER_CLAUSES {
        return Err(refusal(format!(
            "a filter has at most {FILTER_CLAUSES} clauses, this one has {clauses}"
        )));
    }
    Ok(())
}

/// Operators, tests of equality, and logical keys, however deep.
fn clauses(map: &Map) -> usize {
    let of_entry = |(key, value): (&str, &Value)| match (key, value) {
        ("$and" | "$or", Value::Array(filters)) => {
            1 + filters.iter().filter_map(Value::as_map).map(clauses).sum::<usize>()
        }
        ("$not", Value::Map(inner)) => 1 + clauses(inner),
        (_, Value::Map(operators)) => {
            operators.iter().filter(|(key, _)| is_dollar(key)).count().max(1)
        }
        _ => 1,
    };
    map.iter().map(of_entry).sum()
}

pub(super) fn is_dollar(key: &str) -> bool {
    key.starts_with('$')
}

fn filter(map: &Map) -> Result<All, Error> {
    let mut parts = Vec::new();
    for (key, value) in map.iter() {
        match key {
            // What is inside of an `$and` must hold like what stands beside it.
            "$and" => {
                for inner in filters(key, value)? {
                    parts.extend(filter(inner?)?.0);
                }
            }
            "$or" => {
                let alternatives = filters(key, value)?.map(|inner| filter(inner?));
                parts.push(Part::Or(alternatives.collect::<Result<_, _>>()?));
            }
            "$not" => parts.push(Part::Not(filter(one_filter(key, value)?)?)),
            _ if is_dollar(key) => return Err(misplaced(key)),
            _ => condition(key, value, &mut parts)?,
        }
    }
    Ok(All::new(parts))
}

fn filters<'a>(
    key: &'a str,
    value: &'a Value,
) -> Result<impl Iterator<Item = Result<&'a Map, Error>>, Error> {
    let list = value
        .as_array()
        .ok_or_else(|| refusal(format!("{key} takes an array of filters, not {value}")))?;
    Ok(list.iter().map(move |value| one_filter(key, value)))
}

fn one_filter<'a>(key: &str, value: &'a Value) -> Result<&'a Map, Error> {
    value.as_map().ok_or_else(|| refusal(format!("a filter inside of {key} is a map, not {value}")))
}

fn misplaced(key: &str) -> Error {
    refusal(format!(
        "{key} cannot stand where an option is named: only $and, $or and $not can, and operators stand in the map behind a key"
    ))
}

fn condition(key: &str, value: &Value, parts: &mut Vec<Part>) -> Result<(), Error> {
    let mut add = |test| parts.push(Part::Clause(Clause::new(key, test)));
    match Condition::of(value) {
        Condition::Plain => add(Test::Equal(value.clone())),
        Condition::Operators(operators) => {
            for (operator, operand) in operators.iter() {
                add(test(key, operator, operand)?);
            }
        }
        Condition::Mixed => {
            return Err(refusal(format!(
                "the condition of {key} mixes operators with plain keys: write {{\"$eq\": …}} around what is to be equal"
            )));
        }
    }
    Ok(())
}

/// What the value behind the name of an option says.
pub(super) enum Condition<'a> {
    /// The option equals it.
    Plain,
    Operators(&'a Map),
    /// Operators and plain keys side by side, which is no condition.
    Mixed,
}

impl<'a> Condition<'a> {
    pub(super) fn of(value: &'a Value) -> Self {
        let Some(map) = value.as_map() else { return Self::Plain };
        match map.iter().filter(|(key, _)| is_dollar(key)).count() {
            0 => Self::Plain,
            all if all == map.len() => Self::Operators(map),
            _ => Self::Mixed,
        }
    }
}

fn test(key: &str, operator: &str, operand: &Value) -> Result<Test, Error> {
    let value = || operand.clone();
    let list = || match operand {
        Value::Array(values) => Ok(List::new(values.clone())),
        other => Err(refusal(format!("{operator} of {key} takes an array, not {other}"))),
    };
    Ok(match operator {
        "$eq" => Test::Equal(value()),
        "$ne" => Test::Unequal(value()),
        "$aeq" => Test::LooselyEqual(value()),
        "$gt" => Test::Order(Comparison::Greater, value()),
        "$gte" => Test::Order(Comparison::GreaterOrEqual, value()),
        "$lt" => Test::Order(Comparison::Less, value()),
        "$lte" => Test::Order(Comparison::LessOrEqual, value()),
        "$between" => {
            let [low, high] = pair(key, operator, operand)?;
            Test::Between(low, high)
        }
        "$betweenInclusive" => {
            let [low, high] = pair(key, operator, operand)?;
            Test::BetweenInclusive(low, high)
        }
        "$regex" => regex(key, operand)?,
        "$in" => Test::OneOf(list()?),
        "$nin" => Test::NoneOf(list()?),
        "$contains" => Test::Contains(value()),
        "$containsAny" => Test::ContainsAny(list()?),
        "$containsNone" => Test::ContainsNone(list()?),
        "$exists" => match operand {
            Value::Bool(true) => Test::Exists,
            Value::Bool(false) => Test::Missing,
            other => return Err(refusal(format!("$exists of {key} takes a bool, not {other}"))),
        },
        unknown => {
            return Err(refusal(format!(
                "{unknown} of {key} is no operator; there are {OPERATORS}"
            )));
        }
    })
}

fn pair(key: &str, operator: &str, operand: &Value) -> Result<[Value; 2], Error> {
    match operand {
        Value::Array(values) => <[Value; 2]>::try_from(values.clone()).ok(),
        _ => None,
    }
    .ok_or_else(|| refusal(format!("{operator} of {key} takes an array of two, not {operand}")))
}

#[cfg(feature = "regex")]
fn regex(key: &str, operand: &Value) -> Result<Test, Error> {
    let Value::Text(pattern) = operand else {
        return Err(refusal(format!("$regex of {key} takes a text, not {operand}")));
    };
    let len = pattern.len();
    if len > FILTER_REGEX_BYTES {
        return Err(refusal(format!(
            "$regex of {key} has at most {FILTER_REGEX_BYTES} bytes, this one has {len}"
        )));
    }
    regex_lite::RegexBuilder::new(pattern)
        .size_limit(FILTER_REGEX_COMPILED_BYTES)
        .build()
        .map(Test::Regex)
        .map_err(|why| refusal(format!("$regex of {key} fails: {operand}: {why}")).with_source(why))
}

#[cfg(not(feature = "regex"))]
fn regex(key: &str, _: &Value) -> Result<Test, Error> {
    Err(refusal(format!(
        "$regex of {key} needs the feature `regex`, which this program was built without"
    )))
}
