//! Data between JSON, which people and scripts write, and the values that travel.

use std::fmt::Write as _;
use std::io::Read;

use serde_json::{Map, Number, Value as Json};
use threadmesh::{Options, Value};

use crate::failure::Failure;

/// The most that is read from standard input: what one message may have by default.
const MOST_INPUT: u64 = 16 * 1024 * 1024;

/// A value as JSON. What JSON has no form for is written as follows: bytes as `{"$bytes": "00ff"}`, a whole number beyond 64 bits
/// as text, an infinite number and `NaN` as null.
pub(crate) fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Integer(value) => match (u64::try_from(*value), i64::try_from(*value)) {
            (Ok(value), _) => Json::from(value),
            (_, Ok(value)) => Json::from(value),
            _ => Json::String(value.to_string()),
        },
        Value::Float(value) => Number::from_f64(*value).map_or(Json::Null, Json::Number),
        Value::Text(value) => Json::String(value.clone()),
        Value::Bytes(bytes) => {
            Json::Object(Map::from_iter([("$bytes".to_owned(), hex(bytes).into())]))
        }
        Value::Array(values) => values.iter().map(to_json).collect(),
        Value::Map(map) => object(map.iter()),
    }
}

/// The options of a node as JSON.
pub(crate) fn options(options: &Options) -> Json {
    object(options.iter())
}

fn object<'a>(entries: impl Iterator<Item = (&'a str, &'a Value)>) -> Json {
    Json::Object(entries.map(|(key, value)| (key.to_owned(), to_json(value))).collect())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The data of a message: JSON from the command line, from standard input if it is `-`, or null.
pub(crate) fn read(argument: Option<&str>) -> Result<Value, Failure> {
    match argument {
        None => Ok(Value::Null),
        Some("-") => parse(&standard_input()?),
        Some(text) => parse(text),
    }
}

/// JSON as a value.
pub(crate) fn parse(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|why| {
        let shown: String = text.chars().take(60).collect();
        Failure::usage(format!(
            "the data is no JSON ({why}): {shown}; text stands in quotes, '\"like this\"'"
        ))
    })
}

/// JSON if it is, else the text itself.
pub(crate) fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MOST_INPUT + 1).read_to_string(&mut text);
    match read {
        Ok(bytes) if bytes as u64 > MOST_INPUT => {
            Err(Failure::usage(format!("standard input has more than {MOST_INPUT} bytes")))
        }
        Ok(_) => Ok(text),
        Err(why) => Err(Failure::usage(format!("standard input cannot be read: {why}"))),
    }
}

/// `k=v`, where `v` is JSON if it parses, else text.
pub(crate) fn key_value(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), json_or_text(value))),
        _ => Err("write it as key=value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use threadmesh::value;

    #[test]
    fn an_option_is_json_if_it_parses_else_text() {
        for (text, key, value) in [
            ("load=3", "load", value!(3)),
            ("load=\"3\"", "load", value!("3")),
            ("role=worker", "role", value!("worker")),
            ("free=true", "free", value!(true)),
            ("tags=[1,\"b\"]", "tags", value!([1, "b"])),
            ("gpu={\"memory\": 80.5}", "gpu", value!({ "memory": 80.5 })),
            ("formula=a=b", "formula", value!("a=b")),
            ("empty=", "empty", value!("")),
            ("broken={", "broken", value!("{")),
        ] {
            assert_eq!(key_value(text), Ok((key.to_owned(), value)), "{text}");
        }
        assert!(key_value("load").is_err() && key_value("=3").is_err());
    }

    #[test]
    fn what_json_can_say_comes_back_as_it_was() {
        let text = r#"{"a":[null,true,-1,18446744073709551615,1.5,"ä\n"],"b":{}}"#;
        assert_eq!(to_json(&parse(text).unwrap()).to_string(), text);
    }

    #[test]
    fn what_json_cannot_say_is_written_as_documented() {
        assert_eq!(to_json(&Value::Bytes(vec![0, 255])).to_string(), r#"{"$bytes":"00ff"}"#);
        assert_eq!(to_json(&Value::Integer(1 << 64)).to_string(), r#""18446744073709551616""#);
        assert_eq!(to_json(&Value::Float(f64::NAN)), Json::Null);
    }
}
