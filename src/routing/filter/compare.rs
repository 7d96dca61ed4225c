//! How two values compare beyond equality: their order, one order of all values, and equality that forgives the way a number is
//! written.
//!
//! Nothing is rounded here: a large integer is never taken for the float next to it.

use std::cmp::Ordering;

use crate::value::Value;

/// The order of two numbers or of two texts (byte by byte); `None` for any other pair, and for `NaN`.
pub(super) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Integer(a), Value::Float(b)) => against_float(*a, *b),
        (Value::Float(a), Value::Integer(b)) => against_float(*b, *a).map(Ordering::reverse),
        (Value::Text(a), Value::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        _ => None,
    }
}

/// One order of all values, in which those that are equal stand together; every `NaN` stands behind the other numbers. It looks no
/// further into either value than the other one goes.
pub(super) fn total_order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            first_difference(a.iter().zip(b).map(|(a, b)| total_order(a, b)))
                .then_with(|| a.len().cmp(&b.len()))
        }
        // The entries of a map stand in one order already.
        (Value::Map(a), Value::Map(b)) => {
            let entries = a.iter().zip(b.iter());
            first_difference(entries.map(|((key, value), (other_key, other))| {
                key.cmp(other_key).then_with(|| total_order(value, other))
            }))
            .then_with(|| a.len().cmp(&b.len()))
        }
        _ => order(a, b).unwrap_or_else(|| rank(a).cmp(&rank(b))),
    }
}

/// A number that says as much of [`total_order`] as fits into it: who has the smaller one comes first, and of two with the same one
/// nothing is known. Comparing a few numbers that stand side by side is far quicker than looking into as many values.
pub(super) fn rough_order(value: &Value) -> u64 {
    let body = match value {
        Value::Null => 0,
        Value::Bool(value) => u64::from(*value),
        // Rounding keeps the order of numbers, and leaves those that equal a float what they are.
        Value::Integer(integer) => match i64::try_from(*integer) {
            Ok(small) => rough_number(small as f64),
            Err(_) => rough_number(*integer as f64),
        },
        Value::Float(float) => rough_number(*float),
        Value::Text(text) => rough_bytes(text.as_bytes()),
        Value::Bytes(bytes) => rough_bytes(bytes),
        Value::Array(values) => values.first().map_or(0, rough_order),
        Value::Map(map) => map.iter().next().map_or(0, |(key, _)| rough_bytes(key.as_bytes())),
    };
    u64::from(rank(value)) << 60 | body >> 4
}

fn rough_number(float: f64) -> u64 {
    // The sum makes one zero of both.
    let bits = (float + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

fn rough_bytes(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    let len = bytes.len().min(8);
    first[..len].copy_from_slice(&bytes[..len]);
    u64::from_be_bytes(first)
}

fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Where values stand that have no order of their own.
fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Float(float) if float.is_nan() => 3,
        Value::Integer(_) | Value::Float(_) => 2,
        Value::Text(_) => 4,
        Value::Bytes(_) => 5,
        Value::Array(_) => 6,
        Value::Map(_) => 7,
    }
}

/// The order of an integer and a float, exactly.
fn against_float(integer: i128, float: f64) -> Option<Ordering> {
    let edge = 2f64.powi(127);
    if float.is_nan() {
        None
    } else if float >= edge {
        Some(Ordering::Less)
    } else if float < -edge {
        Some(Ordering::Greater)
    } else {
        // In this range the whole part is an `i128` without loss, and what is behind the point decides a draw.
        let whole = integer.cmp(&(float.trunc() as i128));
        Some(whole.then_with(|| 0f64.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal)))
    }
}

/// Equality that also takes a number for its text, and a truth value for 0 or 1, on either side.
pub(super) fn loosely_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Text(text), number @ (Value::Integer(_) | Value::Float(_)))
        | (number @ (Value::Integer(_) | Value::Float(_)), Value::Text(text)) => {
            number_in(text).is_some_and(|written| written == *number)
        }
        (Value::Bool(truth), number @ (Value::Integer(_) | Value::Float(_)))
        | (number @ (Value::Integer(_) | Value::Float(_)), Value::Bool(truth)) => {
            *number == Value::Integer(i128::from(*truth))
        }
        _ => a == b,
    }
}

/// The number that a text is, if it is one and nothing else.
fn number_in(text: &str) -> Option<Value> {
    if let Ok(integer) = text.parse() {
        return Some(Value::Integer(integer));
    }
    // Rust also reads `inf` and `nan`, which nobody means by a number.
    text.parse().ok().filter(|float: &f64| float.is_finite()).map(Value::Float)
}
