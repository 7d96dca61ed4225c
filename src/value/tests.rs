use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::*;
use crate::payload::{Decode, Encode, Payload};
use crate::value;

fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    value.put(&mut out);
    out
}

fn read(bytes: &[u8]) -> Result<Value, Malformed> {
    let mut reader = Reader::new(bytes);
    let value = Value::read(&mut reader, VALUE_DEPTH)?;
    reader.finish()?;
    Ok(value)
}

/// Every truncation and every change of one byte is refused or means exactly what it says.
fn survives_damage(sample: &[u8]) {
    for len in 0..sample.len() {
        assert!(read(&sample[..len]).is_err(), "{len} bytes of {sample:02x?}");
    }
    let mut damaged = sample.to_vec();
    for at in 0..sample.len() {
        for byte in 0..=255 {
            damaged[at] = byte;
            if let Ok(value) = read(&damaged) {
                assert_eq!(encoded(&value), damaged);
            }
        }
        damaged[at] = sample[at];
    }
}

fn sample() -> Value {
    value!({
        "n": null, "yes": true, "no": false, "small": 3, "large": u64::MAX, "below": -(1i128 << 64),
        "half": 1.5, "tenth": 0.1, "text": "grün", "list": [1, [2, []], { "k": 1e300 }], "": "",
        "bytes": Value::Bytes(vec![0; 30])
    })
}

#[test]
fn values_come_back_and_have_one_encoding() {
    let bytes = encoded(&sample());
    assert_eq!(read(&bytes).unwrap(), sample());
    assert_eq!(encoded(&read(&bytes).unwrap()), bytes);
}

#[test]
fn damage_is_refused_or_reads_as_exactly_what_it_says() {
    survives_damage(&encoded(&sample()));
    survives_damage(&encoded(&value!([-1, 24, 256, 65_536, 1u64 << 32, 0.1f32, f64::INFINITY])));
}

#[test]
fn map_keys_stand_in_one_order_and_once() {
    let map = value!({ "bb": 1, "a": 2, "ba": 3, "z": 4, "a": 5 });
    assert_eq!(map.to_string(), r#"{"a": 5, "z": 4, "ba": 3, "bb": 1}"#);
    assert_eq!(encoded(&map)[..4], [0xa4, 0x61, b'a', 5]);
    for refused in
        [&[0xa2, 0x61, b'b', 0, 0x61, b'a', 0][..], &[0xa2, 0x61, b'a', 0, 0x61, b'a', 0]]
    {
        assert_eq!(read(refused), Err(Malformed("map keys are not strictly ascending")));
    }
    assert!(read(&[0xa1, 0x01, 0x02]).is_err(), "a key is a text");
}

#[test]
fn maps_are_changed_in_place() {
    let mut map = Map::new();
    assert_eq!(map.insert("a", 1), None);
    assert_eq!(map.insert("a", "x"), Some(Value::from(1)));
    assert_eq!(map.get("a").and_then(Value::as_str), Some("x"));
    assert_eq!((map.len(), map.is_empty()), (1, false));
    assert_eq!(map.remove("a"), Some(Value::from("x")));
    assert_eq!(map.remove("a"), None);
    assert_eq!(map.iter().count(), 0);
}

#[test]
fn every_key_is_found_in_maps_of_any_size() {
    for len in 0..40 {
        let key = |n: usize| format!("k{}", n * 7);
        let map: Map = (0..len).map(|n| (key(n), Value::from(n))).collect();
        for n in 0..len {
            assert_eq!(map.get(&key(n)), Some(&Value::from(n)));
        }
        assert_eq!((map.get(&key(len)), map.get("k")), (None, None));
    }
}

#[test]
fn nesting_is_bounded_by_who_reads_and_by_eight() {
    for (depth, allowed, fits) in [(0, 0, true), (1, 0, false), (3, 3, true), (4, 3, false)] {
        let mut bytes = vec![0x81; depth];
        bytes.push(0);
        assert_eq!(Value::read(&mut Reader::new(&bytes), allowed).is_ok(), fits, "{depth}");
    }
    let mut bytes = vec![0x81; VALUE_DEPTH];
    bytes.push(0x80);
    assert!(Value::read(&mut Reader::new(&bytes), usize::MAX).is_err());
    assert!(read(&bytes[1..]).is_ok());
    assert_eq!(read(&bytes[1..]).unwrap().depth(), VALUE_DEPTH);
}

#[test]
fn deep_and_boastful_bytes_are_refused_at_once() {
    let deep: Vec<u8> = std::iter::repeat_n([0xa1, 0x60], 800_000).flatten().collect();
    assert_eq!(read(&deep), Err(Malformed("values nest too deep")));
    let boast = [&[0x9a, 0, 0x10, 0, 0][..], &[0x80; 64]].concat();
    assert_eq!(read(&boast), Err(Malformed("a length is beyond the message")));
}

#[test]
fn a_value_is_measured_without_being_built() {
    let bytes = encoded(&sample());
    assert!(Value::fits(Reader::new(&bytes), bytes.len()).is_ok());
    assert!(Value::fits(Reader::new(&bytes), bytes.len() - 1).is_err());
    let wide = encoded(&value!([vec![0; 10_000], 0]));
    assert!(Value::fits(Reader::new(&wide), 9_999).is_err());
}

#[test]
fn numbers_are_equal_by_value_and_exactly() {
    assert_eq!(Value::from(2), Value::from(2.0));
    assert_eq!(Value::from(-0.0), Value::from(0));
    assert_ne!(Value::from(2), Value::from(2.5));
    let edge = 1u64 << 53;
    assert_eq!(Value::from(edge), Value::from(edge as f64));
    assert_ne!(Value::from(edge + 1), Value::from(edge as f64));
    assert_ne!(Value::from(i128::MAX), Value::from(1e300));
    assert_ne!(Value::from(i128::MAX), Value::from(2f64.powi(127)));
    assert_eq!(Value::from(i128::MIN), Value::from(-(2f64.powi(127))));
    assert_ne!(Value::from(f64::NAN), Value::from(f64::NAN));
    assert_ne!(Value::from(1), Value::from(true));
    assert_ne!(Value::from("1"), Value::from(1));
    assert_ne!(value!([1, 2]), value!([2, 1]));
    assert_eq!(value!({ "a": 1, "b": [2.0] }), value!({ "b": [2], "a": 1.0 }));
}

#[test]
fn the_usual_types_become_values() {
    let of_map = HashMap::from([("a", 1u8)]);
    let of_tree = BTreeMap::from([("a".to_owned(), vec![Some(1), None])]);
    assert_eq!(Value::from(of_map), value!({ "a": 1 }));
    assert_eq!(Value::from(of_tree), value!({ "a": [1, null] }));
    assert_eq!(Value::from(&[1u8, 2][..]), value!([1, 2]));
    assert_eq!(Value::from(()), Value::Null);
    assert_eq!(Value::from('x'), Value::from("x"));
    assert_eq!(Value::from(3usize), Value::from(3isize));
}

#[test]
fn literals_nest_and_take_any_expression() {
    const KEY: &str = "k";
    let three = 3;
    let built = value!({
        KEY: [three + 1, [], { "deep": [null, -1, "a".len()], }, null, [1, 2].len()],
        ("x".repeat(2)): if three > 2 { "yes" } else { "no" },
        "none": null,
        "empty": {},
    });
    let shown = r#"{"k": [4, [], {"deep": [null, -1, 1]}, null, 2], "xx": "yes", "none": null, "empty": {}}"#;
    assert_eq!(built.to_string(), shown);
    assert_eq!(value!({}).to_string(), "{}");
    assert_eq!(value!([]).to_string(), "[]");
}

#[test]
fn display_escapes_what_a_terminal_should_not_see() {
    assert_eq!(Value::from("a\"\\\n\u{1b}").to_string(), r#""a\"\\\n\u001b""#);
    assert_eq!(Value::Bytes(vec![0, 255]).to_string(), "h'00ff'");
    assert_eq!(Value::from(2.0).to_string(), "2.0");
}

#[derive(Serialize)]
enum Shape {
    Dot,
    Ring(u8),
    Line(u8, u8),
    Slab { wide: u8 },
}

#[test]
fn serde_builds_what_ciborium_would_write() {
    let data = (
        vec![Shape::Dot, Shape::Ring(1), Shape::Line(2, 3), Shape::Slab { wide: 4 }],
        Some(()),
        'c',
        1.5f32,
    );
    let built = to_value(&data).unwrap();
    assert_eq!(
        built,
        value!([["Dot", { "Ring": 1 }, { "Line": [2, 3] }, { "Slab": { "wide": 4 } }], null, "c", 1.5])
    );
    let mut written = Vec::new();
    ciborium::into_writer(&data, &mut written).unwrap();
    assert_eq!(encoded(&built), written);
}

#[test]
fn what_is_no_value_is_named() {
    let why = |result: Result<Value, serializer::NoValue>| result.unwrap_err().to_string();
    assert!(why(to_value(&HashMap::from([(1, 2)]))).contains("key is a text, this one is 1"));
    assert!(why(to_value(&u128::MAX)).contains("outside of -2^64"));
    assert!(why(to_value(&(-(1i128 << 64) - 1))).contains("outside of -2^64"));
    let nine = [[[[[[[[[0]]]]]]]]];
    assert!(why(to_value(&nine)).contains("8 deep"));
    assert!(to_value(&nine[0]).is_ok());
}

#[test]
fn integers_without_an_encoding_are_found() {
    for (integer, found) in [(1i128 << 64, true), ((1 << 64) - 1, false), (-(1 << 64), false)] {
        assert_eq!(value!({ "a": [integer] }).unsendable_integer().is_some(), found);
    }
}

#[test]
fn values_are_data_like_any_other() {
    let item = sample().encode().unwrap().to_item();
    assert_eq!(item, encoded(&sample()), "both encoders write the same");
    let payload = Payload::from_item_slice(&item);
    assert_eq!(Value::decode(&payload).unwrap(), sample());
    assert_eq!(Some(&Map::decode(&payload).unwrap()), sample().as_map());
    assert_eq!(to_value(&sample()).unwrap(), sample());
    for other in
        [value!(null), value!([null, 1]), value!(i128::MAX), value!(Value::Bytes(vec![1; 5_000]))]
    {
        assert_eq!(Value::decode(&other.encode().unwrap()).unwrap(), other);
    }
    assert!(Map::decode(&3.encode().unwrap()).is_err());
    assert!(Value::decode(&u128::MAX.encode().unwrap()).is_err());
    assert!(Value::decode(&BTreeMap::from([(1, 2)]).encode().unwrap()).is_err(), "a key is a text");
}

#[test]
fn many_keys_in_the_worst_order_are_sorted_at_once() {
    let mut item = vec![0xba];
    item.extend_from_slice(&120_000u32.to_be_bytes());
    for key in (0..120_000).rev() {
        cbor::put_text(&mut item, &format!("{key:06}"));
        item.push(0);
    }
    let started = std::time::Instant::now();
    let map = Map::decode(&Payload::from_item(item)).unwrap();
    assert_eq!((map.len(), map.iter().next()), (120_000, Some(("000000", &Value::from(0)))));
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn of_equal_keys_the_last_counts() {
    let mut map = Map::from_iter([("a".to_owned(), value!(1)), ("a".to_owned(), value!(2))]);
    assert_eq!(map.to_string(), r#"{"a": 2}"#);
    map.extend([("b", 1), ("a", 3), ("a", 4)]);
    assert_eq!(map.to_string(), r#"{"a": 4, "b": 1}"#);
}
