use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::error::ErrorKind;
use crate::options::Options;
use crate::value::Value;
use crate::{options, value};

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Shape {
    Dot,
    Ring(u8),
    Line(i8, i8),
    Slab { wide: u16, high: Option<u16> },
}

#[derive(Serialize, Deserialize, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
struct Meters(u32);

#[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Name(String);

#[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Side {
    Left,
    Right,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Everything {
    yes: bool,
    tiny: i8,
    huge: u64,
    below: i64,
    beyond: i128,
    ratio: f64,
    single: f32,
    letter: char,
    text: String,
    unit: (),
    none: Option<u8>,
    some: Option<u8>,
    pair: (u8, String),
    fixed: [u8; 3],
    list: Vec<Meters>,
    shapes: Vec<Shape>,
    names: BTreeMap<Name, Meters>,
    sides: BTreeMap<Side, u8>,
    boxed: Box<Shape>,
    address: IpAddr,
}

fn everything() -> Everything {
    Everything {
        yes: true,
        tiny: -128,
        huge: u64::MAX,
        below: i64::MIN,
        beyond: -(1 << 64),
        ratio: 0.1,
        single: 0.1,
        letter: 'ß',
        text: "x".into(),
        unit: (),
        none: None,
        some: Some(3),
        pair: (1, "y".into()),
        fixed: [1, 2, 3],
        list: vec![Meters(1), Meters(2)],
        shapes: vec![
            Shape::Dot,
            Shape::Ring(1),
            Shape::Line(-1, 2),
            Shape::Slab { wide: 3, high: None },
        ],
        names: BTreeMap::from([(Name("n".into()), Meters(4))]),
        sides: BTreeMap::from([(Side::Left, 1), (Side::Right, 2)]),
        boxed: Box::new(Shape::Slab { wide: 1, high: Some(2) }),
        address: "127.0.0.1".parse().unwrap(),
    }
}

#[test]
fn what_became_options_comes_back_from_them() {
    let _bound = crate::bound::bound();
    let options = Options::from_serde(&everything()).unwrap();
    assert_eq!(options.view::<Everything>().unwrap(), everything());
    // The id of the node, and whatever else is there, is passed over.
    let with_more = options.with("_id", "n1").with("more", value!([{ "deep": null }]));
    assert_eq!(with_more.view::<Everything>().unwrap(), everything());
}

#[test]
fn any_map_and_the_options_themselves_are_views() {
    let _bound = crate::bound::bound();
    let options = options! { "a": 1, "b": 2 };
    assert_eq!(
        options.view::<HashMap<String, u8>>().unwrap(),
        HashMap::from([("a".into(), 1), ("b".into(), 2)])
    );
    assert_eq!(Options::from(options.view::<crate::Map>().unwrap()), options);
    assert_eq!(options.view::<Option<BTreeMap<Name, f64>>>().unwrap().unwrap().len(), 2);
    options! {}.view::<()>().unwrap_err();
}

#[derive(Deserialize, PartialEq, Debug)]
struct One<T> {
    o: T,
}

fn one<T: serde::de::DeserializeOwned>(value: impl Into<Value>) -> Result<T, String> {
    let view = options! { "_id": "n1", "o": value.into() }.view::<One<T>>();
    view.map(|one| one.o).map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::Decode);
        error.message().to_owned()
    })
}

#[test]
fn an_integer_becomes_any_number_it_fits_into() {
    let _bound = crate::bound::bound();
    assert_eq!(one::<u8>(255), Ok(255));
    assert_eq!(one::<i64>(i64::MIN), Ok(i64::MIN));
    assert_eq!(one::<u64>(u64::MAX), Ok(u64::MAX));
    assert_eq!(one::<u128>(u64::MAX), Ok(u128::from(u64::MAX)));
    assert_eq!(one::<u128>(1i128 << 100), Ok(1 << 100));
    assert_eq!(one::<i128>(i128::MIN), Ok(i128::MIN));
    assert_eq!(one::<f64>(3), Ok(3.0));
    assert_eq!(one::<f64>(1i128 << 100), Ok(2f64.powi(100)));
    assert_eq!(one::<f32>(-2), Ok(-2.0));
    assert_eq!(one::<Option<u8>>(value!(null)), Ok(None));
    for (why, place) in [
        (one::<u8>(256).unwrap_err(), "o: invalid value: integer `256`, expected u8"),
        (one::<u64>(-1).unwrap_err(), "o: invalid value: integer `-1`, expected u64"),
        (
            one::<u64>(1i128 << 64).unwrap_err(),
            "o: invalid type: integer `18446744073709551616` as i128, expected u64",
        ),
        (one::<u64>(2.0).unwrap_err(), "o: invalid type: floating point `2.0`, expected u64"),
        (one::<f64>("2").unwrap_err(), "o: invalid type: string \"2\", expected f64"),
    ] {
        assert!(why.ends_with(place), "{why}");
    }
}

#[test]
fn bytes_are_bytes_or_a_sequence_of_them() {
    let _bound = crate::bound::bound();
    let bytes = || Value::Bytes(vec![1, 2, 3]);
    assert_eq!(one::<Vec<u8>>(bytes()), Ok(vec![1, 2, 3]));
    assert_eq!(one::<[u8; 3]>(bytes()), Ok([1, 2, 3]));
    assert_eq!(one::<Vec<u8>>(value!([1, 2])), Ok(vec![1, 2]));
    assert_eq!(one::<Value>(bytes()), Ok(bytes()));
    assert_eq!(one::<String>(Value::Bytes(b"abc".to_vec())), Ok("abc".into()));
}

type Deep = BTreeMap<String, Vec<Shape>>;

#[test]
fn what_does_not_fit_is_named_by_its_path() {
    let _bound = crate::bound::bound();
    for (why, place) in [
        (
            one::<Deep>(value!({ "k": ["Dot", "Square"] })),
            "o.k.1: unknown variant `Square`, expected one of `Dot`",
        ),
        (
            one::<Deep>(value!({ "k": [{ "Ring": "x" }] })),
            "o.k.0.Ring: invalid type: string \"x\", expected u8",
        ),
        (
            one::<Deep>(value!({ "k": [{ "Line": [1, 2, 3] }] })),
            "o.k.0.Line: an array of 2 was expected, this one has 3",
        ),
        (
            one::<Deep>(value!({ "k": [{ "Slab": { "high": 1 } }] })),
            "o.k.0.Slab: missing field `wide`",
        ),
        (
            one::<Deep>(value!({ "k": ["Ring"] })),
            "o.k.0: this variant holds something, and came bare",
        ),
        (
            one::<Deep>(value!({ "k": [{ "Dot": 1 }] })),
            "o.k.0.Dot: invalid type: integer `1`, expected unit",
        ),
        (
            one::<Deep>(value!({ "k": [{ "Dot": null, "Ring": 1 }] })),
            "o.k.0: a map that is a variant has one entry, this one has 2",
        ),
        (
            one::<Deep>(value!({ "k": [7] })),
            "o.k.0: a variant is a text or a map of one entry, not 7",
        ),
    ] {
        let why = why.unwrap_err();
        assert!(why.contains(place), "{why}");
    }
    assert!(one::<(u8, u8)>(value!([1])).unwrap_err().contains("o: invalid length 1"));
    let error = options! {}.view::<One<u8>>().unwrap_err();
    assert!(error.message().contains("missing field `o`"), "{error}");
    assert_eq!(one::<Shape>(value!({ "Dot": null })), Ok(Shape::Dot));
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Tagged {
    Small { size: u8 },
    Large { size: u64 },
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
    Many(Vec<Untagged>),
}

#[derive(Deserialize, PartialEq, Debug)]
struct Flat {
    a: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[test]
fn the_shapes_that_serde_reads_by_looking_first_work() {
    let _bound = crate::bound::bound();
    assert_eq!(
        one::<Tagged>(value!({ "kind": "small", "size": 3 })),
        Ok(Tagged::Small { size: 3 })
    );
    assert_eq!(
        one::<Tagged>(value!({ "kind": "large", "size": u64::MAX })),
        Ok(Tagged::Large { size: u64::MAX })
    );
    let many = vec![Untagged::Number(-1), Untagged::Text("x".into())];
    assert_eq!(one::<Untagged>(value!([-1, "x"])), Ok(Untagged::Many(many)));
    let flat: Flat = options! { "a": 1, "b": [null], "c": 0.5 }.view().unwrap();
    let rest = BTreeMap::from([("b".to_owned(), value!([null])), ("c".to_owned(), value!(0.5))]);
    assert_eq!(flat, Flat { a: 1, rest });
}
