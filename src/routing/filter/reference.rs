//! Filters as slowly and plainly as possible: what the compiled form is compared with, in tests and when fuzzing.
//!
//! It shares no code with what it judges: it walks the data itself, and compares numbers by their written digits.

use std::cmp::Ordering;

use crate::options::Options;
use crate::value::{Map, Value};

/// Whether the filter matches; `None` if it is none. The limits of size are not its business.
pub(crate) fn matches(filter: &Map, options: &Options) -> Option<bool> {
    let mut all = true;
    for (key, value) in filter.iter() {
        // Nothing ends early: what is wrong behind the first failure is wrong all the same.
        all &= match (key.strip_prefix('$'), value) {
            (Some("and"), Value::Array(inner)) => each(inner, options)?.iter().all(|holds| *holds),
            (Some("or"), Value::Array(inner)) => each(inner, options)?.iter().any(|holds| *holds),
            (Some("not"), Value::Map(inner)) => !matches(inner, options)?,
            (Some(_), _) => return None,
            (None, condition) => holds(condition, find(options, key))?,
        };
    }
    Some(all)
}

fn each(filters: &[Value], options: &Options) -> Option<Vec<bool>> {
    filters.iter().map(|filter| matches(filter.as_map()?, options)).collect()
}

/// What a key names: tries the whole key, then what is before its first dot.
fn find<'a>(options: &'a Options, key: &str) -> Option<&'a Value> {
    let whole = options.iter().find(|(name, _)| *name == key);
    if let Some((_, value)) = whole {
        return Some(value);
    }
    let dot = key.find('.')?;
    let (_, outer) = options.iter().find(|(name, _)| *name == &key[..dot])?;
    inside(outer, &key[dot + 1..])
}

fn inside<'a>(outer: &'a Value, key: &str) -> Option<&'a Value> {
    let Value::Map(map) = outer else { return None };
    let entry =
        |name: &str| map.iter().find(|(present, _)| *present == name).map(|(_, value)| value);
    entry(key).or_else(|| {
        let dot = key.find('.')?;
        inside(entry(&key[..dot])?, &key[dot + 1..])
    })
}

fn holds(condition: &Value, found: Option<&Value>) -> Option<bool> {
    let Value::Map(map) = condition else {
        return Some(found.is_some_and(|found| same(found, condition)));
    };
    let operators = map.iter().filter(|(key, _)| key.starts_with('$')).count();
    if operators == 0 {
        return Some(found.is_some_and(|found| same(found, condition)));
    }
    if operators < map.len() {
        return None;
    }
    let each = map.iter().map(|(operator, operand)| operator_holds(operator, operand, found));
    Some(each.collect::<Option<Vec<bool>>>()?.into_iter().all(|holds| holds))
}

fn operator_holds(operator: &str, operand: &Value, found: Option<&Value>) -> Option<bool> {
    let list = operand.as_array();
    // The operand is judged even when there is nothing to compare it with.
    match operator {
        "$eq" | "$ne" | "$aeq" | "$gt" | "$gte" | "$lt" | "$lte" | "$contains" => {}
        "$between" | "$betweenInclusive" if list.is_some_and(|list| list.len() == 2) => {}
        "$in" | "$nin" | "$containsAny" | "$containsNone" if list.is_some() => {}
        "$regex" if expression(operand, "").is_some() => {}
        "$exists" => return operand.as_bool().map(|wanted| wanted == found.is_some()),
        _ => return None,
    }
    let Some(found) = found else { return Some(false) };
    let list = list.unwrap_or_default();
    let is =
        |wanted: &[Ordering], value| ordered(found, value).is_some_and(|is| wanted.contains(&is));
    let (less, equal, greater) = (Ordering::Less, Ordering::Equal, Ordering::Greater);
    Some(match operator {
        "$eq" => same(found, operand),
        "$ne" => !same(found, operand),
        "$aeq" => loosely_same(found, operand) || loosely_same(operand, found),
        "$gt" => is(&[greater], operand),
        "$gte" => is(&[greater, equal], operand),
        "$lt" => is(&[less], operand),
        "$lte" => is(&[less, equal], operand),
        "$between" => is(&[greater], &list[0]) && is(&[less], &list[1]),
        "$betweenInclusive" => is(&[greater, equal], &list[0]) && is(&[less, equal], &list[1]),
        "$in" => list.iter().any(|value| same(found, value)),
        "$nin" => !list.iter().any(|value| same(found, value)),
        "$contains" => has(found, operand) == Some(true),
        "$containsAny" => list.iter().any(|value| has(found, value) == Some(true)),
        "$containsNone" => {
            has(found, &Value::Null).is_some()
                && list.iter().all(|value| has(found, value) == Some(false))
        }
        _ => found.as_str().is_some_and(|text| expression(operand, text) == Some(true)),
    })
}

/// Whether the expression matches; `None` if it is none.
#[cfg(feature = "regex")]
fn expression(operand: &Value, text: &str) -> Option<bool> {
    let expression = regex_lite::Regex::new(operand.as_str()?).ok()?;
    Some(expression.find_iter(text).next().is_some())
}

#[cfg(not(feature = "regex"))]
fn expression(_: &Value, _: &str) -> Option<bool> {
    None
}

/// Whether this has that in it; `None` if this is nothing that has anything in it.
fn has(found: &Value, value: &Value) -> Option<bool> {
    match found {
        Value::Array(values) => Some(values.iter().any(|element| same(element, value))),
        Value::Text(text) => Some(value.as_str().is_some_and(|part| {
            (0..=text.len()).any(|at| text.as_bytes()[at..].starts_with(part.as_bytes()))
        })),
        _ => None,
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            let in_b =
                |(key, value): (&str, &Value)| b.get(key).is_some_and(|other| same(value, other));
            a.len() == b.len() && a.iter().all(in_b)
        }
        _ => digits(a).is_some_and(|a| digits(b).is_some_and(|b| a == b)),
    }
}

fn ordered(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => {
            let differing = a.bytes().zip(b.bytes()).find(|(a, b)| a != b);
            Some(differing.map_or(a.len().cmp(&b.len()), |(a, b)| a.cmp(&b)))
        }
        _ => Some(digits(a)?.cmp(&digits(b)?)),
    }
}

/// The number is the text's, or the truth value's.
fn loosely_same(a: &Value, b: &Value) -> bool {
    let number = match a {
        Value::Bool(truth) if digits(b).is_some() => Value::Integer(i128::from(u8::from(*truth))),
        Value::Text(text) if digits(b).is_some() => {
            match (text.parse::<i128>(), text.parse::<f64>()) {
                (Ok(integer), _) => Value::Integer(integer),
                (_, Ok(float)) if !float.is_nan() && !float.is_infinite() => Value::Float(float),
                _ => return false,
            }
        }
        other => other.clone(),
    };
    same(&number, b)
}

/// A number in a form whose parts are compared one after the other.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Digits {
    sign: i8,
    /// The number of digits before the point, then all digits; both negated below zero, where more is less.
    size: i32,
    all: Vec<i8>,
}

/// The decimal digits of a number, all of them; `None` for `NaN` and whatever is no number.
fn digits(value: &Value) -> Option<Digits> {
    let written = match value {
        Value::Integer(integer) => format!("{integer}."),
        Value::Float(float) if float.is_nan() => return None,
        // Longer than any finite number.
        Value::Float(float) if float.is_infinite() => {
            format!("{}{}.", if *float < 0.0 { "-" } else { "" }, "9".repeat(400))
        }
        // The smallest float has 1,074 digits behind the point.
        Value::Float(float) => format!("{float:.1080}"),
        _ => return None,
    };
    let below_zero = written.starts_with('-');
    let (whole, fraction) = written.trim_start_matches('-').split_once('.')?;
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() && fraction.is_empty() {
        return Some(Digits { sign: 0, size: 0, all: Vec::new() });
    }
    let sign = if below_zero { -1 } else { 1 };
    let digit = |digit: u8| sign * i8::try_from(digit - b'0').unwrap_or(0);
    let mut all: Vec<i8> = whole.bytes().chain(fraction.bytes()).map(digit).collect();
    // Behind the last digit stands a zero, which a shorter number has to be compared by.
    all.resize(1_600, 0);
    Some(Digits { sign, size: i32::from(sign) * i32::try_from(whole.len()).ok()?, all })
}
