//! How two values compare beyond equality: their order, and equality that forgives the way a number is written.
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
