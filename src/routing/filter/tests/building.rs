use serde::Serialize;

use super::*;
use crate::payload::{Decode, Encode};
use crate::value;

#[test]
fn a_second_condition_on_a_key_stands_beside_the_first() {
    let _bound = crate::bound::bound();
    for (built, data) in [
        (Filter::any().eq("a", 1), filter! { "a": 1 }),
        (Filter::any().eq("a", 1).eq("b", 2), filter! { "a": 1, "b": 2 }),
        (Filter::any().gte("a", 3).lt("a", 6), filter! { "a": { "$gte": 3, "$lt": 6 } }),
        (Filter::any().eq("a", 1).lt("a", 6), filter! { "a": { "$eq": 1, "$lt": 6 } }),
        (Filter::any().lt("a", 6).eq("a", 1), filter! { "a": { "$eq": 1, "$lt": 6 } }),
        (filter! { "a": {} }.exists("a"), filter! { "a": { "$eq": {}, "$exists": true } }),
        (
            Filter::any().lt("a", 6).lt("a", 5),
            filter! { "a": { "$lt": 6 }, "$and": [{ "a": { "$lt": 5 } }] },
        ),
        (
            Filter::any().eq("a", 1).eq("a", 2).eq("a", 3),
            filter! { "a": 1, "$and": [{ "a": 2 }, { "a": 3 }] },
        ),
        (
            Filter::any().exists("a").missing("a"),
            filter! { "a": { "$exists": true }, "$and": [{ "a": { "$exists": false } }] },
        ),
    ] {
        assert_eq!(built, data);
        built.check().unwrap();
    }
}

#[test]
fn every_method_writes_its_operator() {
    let _bound = crate::bound::bound();
    let any = Filter::any;
    for (built, operator, operand) in [
        (any().ne("a", 1), "$ne", value!(1)),
        (any().aeq("a", 1), "$aeq", value!(1)),
        (any().gt("a", 1), "$gt", value!(1)),
        (any().gte("a", 1), "$gte", value!(1)),
        (any().lt("a", 1), "$lt", value!(1)),
        (any().lte("a", 1), "$lte", value!(1)),
        (any().between("a", 1, 2.5), "$between", value!([1, 2.5])),
        (any().between_inclusive("a", "x", "y"), "$betweenInclusive", value!(["x", "y"])),
        (any().regex("a", "^x"), "$regex", value!("^x")),
        (any().one_of("a", ["x", "y"]), "$in", value!(["x", "y"])),
        (any().none_of("a", vec![1, 2]), "$nin", value!([1, 2])),
        (any().contains("a", "x"), "$contains", value!("x")),
        (any().contains_any("a", [1]), "$containsAny", value!([1])),
        (any().contains_none("a", Vec::<u8>::new()), "$containsNone", value!([])),
        (any().exists("a"), "$exists", value!(true)),
        (any().missing("a"), "$exists", value!(false)),
        // What looks like operators is a value here.
        (any().eq("a", value!({ "$gt": 1 })), "$eq", value!({ "$gt": 1 })),
        (any().eq("a", value!({ "$gt": 1, "b": 1 })), "$eq", value!({ "$gt": 1, "b": 1 })),
    ] {
        assert_eq!(built, filter! { "a": { (operator): operand } });
    }
}

#[test]
fn both_and_either_keep_the_data_flat() {
    let _bound = crate::bound::bound();
    let [a, b, c] = ["a", "b", "c"].map(|key| Filter::any().eq(key, 1));
    assert_eq!(a.clone().and(b.clone()).and(c.clone()), filter! { "a": 1, "b": 1, "c": 1 });
    assert_eq!(a.clone().and(Filter::any()), a);
    assert_eq!(
        a.clone().and(filter! { "a": 2, "b": 2 }),
        filter! { "a": 1, "b": 2, "$and": [{ "a": 2 }] }
    );
    assert_eq!(
        a.clone().or(b.clone()).or(c.clone()),
        filter! { "$or": [{ "a": 1 }, { "b": 1 }, { "c": 1 }] }
    );
    let either = a.clone().or(b.clone());
    assert_eq!(c.clone().and(either.clone()), filter! { "c": 1, "$or": [{ "a": 1 }, { "b": 1 }] });
    assert_eq!(
        either.clone().and(b.clone().or(c.clone())),
        filter! { "$or": [{ "a": 1 }, { "b": 1 }], "$and": [{ "$or": [{ "b": 1 }, { "c": 1 }] }] }
    );
    assert_eq!(
        (!a.clone()).and(!b.clone()),
        filter! { "$not": { "a": 1 }, "$and": [{ "$not": { "b": 1 } }] }
    );
    assert_eq!(!!a.clone(), a);
    assert_eq!(!!!either.clone(), filter! { "$not": { "$or": [{ "a": 1 }, { "b": 1 }] } });
    assert_eq!(
        c.clone().or(either.and(c)),
        filter! { "$or": [{ "c": 1 }, { "c": 1, "$or": [{ "a": 1 }, { "b": 1 }] }] }
    );
    assert_eq!(
        a.clone().eq("a", 2).and(b.clone().eq("b", 2)).to_string(),
        "a = 1 and b = 1 and a = 2 and b = 2"
    );
    // A long chain nests no deeper, so it stays within the limits.
    let many = (0..30).fold(!Filter::any(), |any, n| any.or(Filter::any().eq("n", n)));
    assert!(matches(&many, &options! { "n": 29 }) && !matches(&many, &options! { "n": 30 }));
}

#[test]
fn what_is_wrong_stays_wrong_however_it_is_combined() {
    let _bound = crate::bound::bound();
    let fine = || filter! { "a": 1 };
    for wrong in [
        filter! { "a": { "$foo": 1 } },
        filter! { "a": { "$gt": 1, "b": 2 } },
        filter! { "$and": 3 },
        filter! { "$or": { "a": 1 } },
        filter! { "$not": [] },
        filter! { "$nor": [] },
        filter! { "$and": [[]] },
        Filter::any().eq("$and", 1),
        Filter::any().eq("$or", value!([{ "a": 1 }])),
        Filter::any().eq("$not", value!({ "a": 1 })),
        Filter::any().ne("$x", 1),
    ] {
        for built in [
            wrong.clone().and(fine()),
            fine().and(wrong.clone()),
            wrong.clone().and(wrong.clone()),
            wrong.clone().or(fine()),
            fine().or(wrong.clone()),
            !wrong.clone(),
            !!wrong.clone(),
            wrong.clone().eq("a", 1),
            wrong.clone().lt("a", 1).lt("a", 2),
            wrong.clone().exists("$and"),
            wrong.clone().exists("$not").exists("$not"),
        ] {
            let data = format!("{:?}", built.0.map);
            assert_eq!(
                built.check().map_err(|error| error.kind()),
                Err(ErrorKind::InvalidFilter),
                "{data}"
            );
        }
    }
}

#[derive(Serialize)]
struct Wanted {
    role: &'static str,
    load: Less,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'static str>,
}

#[derive(Serialize)]
struct Less {
    #[serde(rename = "$lt")]
    lt: u8,
}

#[test]
fn a_struct_is_a_filter_and_a_filter_is_data() {
    let _bound = crate::bound::bound();
    let wanted = Wanted { role: "api", load: Less { lt: 80 }, region: None };
    let filter = Filter::from_serde(&wanted).unwrap();
    assert_eq!(filter, filter! { "role": "api", "load": { "$lt": 80 } });
    assert_eq!(Filter::from_serde(&filter).unwrap(), filter);
    assert_eq!(Filter::decode(&filter.encode().unwrap()).unwrap(), filter);
    let number_as_key = std::collections::BTreeMap::from([(1, 2)]);
    for error in [
        Filter::from_serde(&3).unwrap_err(),
        Filter::from_serde(&[1]).unwrap_err(),
        Filter::from_serde(&number_as_key).unwrap_err(),
        Filter::from_serde(&std::collections::BTreeMap::from([("a", u128::MAX)])).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidFilter, "{error}");
    }
    assert!(Filter::decode(&3.encode().unwrap()).is_err());
}

#[test]
fn a_filter_comes_back_from_its_bytes_and_damage_is_refused_or_read_as_what_it_says() {
    let _bound = crate::bound::bound();
    let filter = filter! { "role": "api", "n": { "$in": [1, 0.5, null] }, "$or": [{ "a": true }, { "$not": { "b": 1 } }] };
    let encoded = |filter: &Filter| {
        let mut out = Vec::new();
        filter.put(&mut out);
        out
    };
    let bytes = encoded(&filter);
    let read = |bytes: &[u8]| {
        let mut reader = Reader::new(bytes);
        let filter = Filter::read(&mut reader)?;
        reader.finish().map(|()| filter)
    };
    assert_eq!(read(&bytes).unwrap(), filter);
    assert_eq!(read(&[0xa0]).unwrap(), Filter::any());
    for len in 0..bytes.len() {
        assert!(read(&bytes[..len]).is_err());
    }
    let mut damaged = bytes.clone();
    for at in 0..bytes.len() {
        for byte in 0..=255 {
            damaged[at] = byte;
            if let Ok(filter) = read(&damaged) {
                assert_eq!(encoded(&filter), damaged);
                let _ = filter.matches(&options! { "role": "api" });
            }
        }
        damaged[at] = bytes[at];
    }
}
