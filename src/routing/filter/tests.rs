use super::*;
use crate::error::ErrorKind;
use crate::{filter, options};

mod building;
mod laws;
mod limits;
mod operators;
mod scenarios;

/// Whether the filter matches. The explanation has to say the same.
fn matches(filter: &Filter, options: &Options) -> bool {
    let matches = filter.matches(options).unwrap();
    assert_eq!(filter.explain(options).unwrap().is_none(), matches, "{filter} on {options}");
    matches
}

/// What is wrong with the filter, which has to be `INVALID_FILTER` whatever is asked of it.
fn wrong(filter: &Filter) -> String {
    let error = filter.check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidFilter, "{error}");
    for other in
        [filter.matches(&options! {}).unwrap_err(), filter.explain(&options! {}).unwrap_err()]
    {
        assert_eq!(other.to_string(), error.to_string());
    }
    error.message().to_owned()
}

#[test]
fn a_filter_is_compiled_once_for_all_its_clones_and_crosses_threads() {
    fn crosses<T: Send + Sync + Clone + 'static>() {}
    let _bound = crate::bound::bound();
    crosses::<Filter>();
    let filter = filter! { "role": "api" };
    let clone = filter.clone();
    assert!(std::ptr::eq(filter.compiled().unwrap(), clone.compiled().unwrap()));
    assert_eq!(size_of::<Filter>(), size_of::<usize>());
}

#[test]
fn the_empty_filter_matches_everybody_and_knows_it() {
    let _bound = crate::bound::bound();
    assert!(!Filter::any().compiled().unwrap().has_regex());
    for any in [Filter::any(), Filter::default(), filter! {}, filter! { "$and": [] }] {
        assert!(matches(&any, &options! {}) && matches(&any, &options! { "a": null }));
        assert!(any.compiled().unwrap().is_any());
        assert_eq!(any.to_string(), "anything");
    }
    assert!(!filter! { "$or": [] }.compiled().unwrap().is_any());
    assert!(!filter! { "a": 1 }.compiled().unwrap().is_any());
}

#[test]
fn filters_read_as_a_person_would_say_them() {
    let _bound = crate::bound::bound();
    for (filter, shown) in [
        (
            filter! {
                "role": "api", "load": { "$lt": 80 }, "$or": [{ "region": "eu" }, { "$not": { "tier": 1 } }],
            },
            r#"role = "api" and load < 80 and (region = "eu" or not (tier = 1))"#,
        ),
        (filter! { "a": 1 }.or(filter! { "b": 2, "c": 3 }), "a = 1 or (b = 2 and c = 3)"),
        (!filter! { "a": 1 }.or(filter! {}), "not (a = 1 or anything)"),
        (filter! { "$or": [] }, "nothing"),
        (filter! { "a": 1, "$or": [] }, "nothing and a = 1"),
        (
            filter! { "$or": [{ "$or": [{ "a": 1 }, { "b": 1 }] }, { "c": 1 }] },
            "(a = 1 or b = 1) or c = 1",
        ),
        (
            Filter::any().between("n", 1, 3).between_inclusive("m", 0.5, 2),
            "0.5 <= m <= 2 and 1 < n < 3",
        ),
        (Filter::any().gt("n", 1).gte("n", 2).lte("n", 9), "n > 1 and n >= 2 and n <= 9"),
        (Filter::any().exists("a").missing("b"), "a exists and b is missing"),
        (Filter::any().ne("a", "x").aeq("b", 1), r#"a != "x" and b ~= 1"#),
        (
            Filter::any().one_of("a", [1, 2]).none_of("b", ["x"]),
            r#"b not in ["x"] and a in [1, 2]"#,
        ),
        (Filter::any().contains("a", 1), "a contains 1"),
        (
            Filter::any().contains_any("a", [1]).contains_none("b", [2]),
            "a contains any of [1] and b contains none of [2]",
        ),
        (
            filter! { "two words": 1, "": 2, "gpu.memory": 3 },
            r#""" = 2 and "two words" = 1 and gpu.memory = 3"#,
        ),
        (filter! { "a": { "$foo": 1 } }, r#"{"a": {"$foo": 1}}"#),
    ] {
        assert_eq!(filter.to_string(), shown);
        assert_eq!(format!("{filter:?}"), shown);
    }
}

#[cfg(feature = "regex")]
#[test]
fn a_regular_expression_is_shown_as_text_and_asked_last() {
    let _bound = crate::bound::bound();
    let filter = Filter::any().regex("a", "^\"x").eq("later", 1).contains("text", "y");
    assert_eq!(filter.to_string(), r#"later = 1 and text contains "y" and a matches "^\"x""#);
    assert!(filter.compiled().unwrap().has_regex());
    assert!((!filter.or(filter! { "b": 1 })).compiled().unwrap().has_regex());
    assert!(!filter! { "b": 1 }.compiled().unwrap().has_regex());
}

#[test]
fn an_explanation_names_every_clause_that_fails_and_what_was_found() {
    let _bound = crate::bound::bound();
    let peer =
        options! { "role": "web", "load": 93, "gpu": { "memory": 8 }, "long": "x".repeat(500) };
    for (filter, why) in [
        (filter! { "load": { "$lt": 80 } }, "load < 80: load is 93"),
        (filter! { "tier": 1 }, "tier = 1: there is no tier"),
        (
            filter! { "role": "api", "load": { "$lt": 80, "$gt": 5 } },
            r#"role = "api": role is "web"; load < 80: load is 93"#,
        ),
        (filter! { "gpu.memory": { "$gt": 40 } }, "gpu.memory > 40: gpu.memory is 8"),
        (
            filter! { "role": "api" }.or(filter! { "tier": 1, "load": 93 }),
            r#"none of the alternatives holds: [role = "api": role is "web"] or [tier = 1: there is no tier]"#,
        ),
        (filter! { "$or": [] }, "there are no alternatives"),
        (!filter! { "load": 93 }, "not (load = 93): load = 93 holds"),
        (!filter! {}, "not (anything): anything holds"),
        (filter! { "role": { "$exists": false } }, r#"role is missing: role is "web""#),
    ] {
        assert_eq!(filter.explain(&peer).unwrap().unwrap(), why);
    }
    let long = filter! { "long": "y" }.explain(&peer).unwrap().unwrap();
    assert!(long.ends_with("xxx…") && long.len() < 200, "{long}");
}

#[test]
fn what_must_be_equal_is_told_also_from_inside_of_an_and() {
    let _bound = crate::bound::bound();
    let filter = filter! {
        "a": 1, "b": { "$eq": [2], "$ne": 3 }, "c.d": null, "e": { "$in": [1] }, "$or": [{ "f": 1 }], "$not": { "g": 1 },
        "$and": [{ "h": {} }, { "$and": [{ "i": true }] }],
    };
    let mut told: Vec<String> = filter
        .compiled()
        .unwrap()
        .equalities()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    told.sort();
    assert_eq!(told, ["a = 1", "b = [2]", "c.d = null", "h = {}", "i = true"]);
}

#[test]
fn fingerprints_are_the_same_for_equal_values_and_in_every_process() {
    let _bound = crate::bound::bound();
    let edge = 2f64.powi(80);
    for (a, b) in [
        (Value::from(2), Value::from(2.0)),
        (Value::from(0), Value::from(-0.0)),
        (Value::from(1i128 << 80), Value::from(edge)),
        (Value::from(i128::MIN), Value::from(-(2f64.powi(127)))),
        (crate::value!([1, { "a": 1, "bb": 2.0 }]), crate::value!([1.0, { "bb": 2, "a": 1 }])),
    ] {
        assert_eq!(a, b);
        assert_eq!(fingerprint(&a), fingerprint(&b), "{a}");
    }
    assert_eq!(fingerprint(&crate::value!([1, f64::NAN])), None);
    assert_eq!(filter! { "a": f64::NAN }.fingerprint(), filter! { "a": f64::NAN }.fingerprint());
    // What is written down here is what every process must find.
    assert_eq!(fingerprint(&Value::from("api")), Some(PRINT_OF_API));
}

#[test]
fn fingerprints_of_different_values_differ_and_use_all_bits() {
    let _bound = crate::bound::bound();
    let mut seen = std::collections::HashSet::new();
    let mut buckets = [0u32; 64];
    let texts = (0..20_000).map(|n| Value::from(format!("worker-{n}")));
    let numbers = (0..20_000).map(|n| Value::from(n - 10_000));
    let halves = (0..1_000).map(|n| Value::from(f64::from(n) + 0.5));
    let others = [
        Value::Null,
        Value::from(true),
        Value::from(""),
        Value::Bytes(Vec::new()),
        crate::value!([]),
        crate::value!({}),
        crate::value!([[]]),
        crate::value!([null]),
        Value::from("0"),
        Value::Bytes(vec![b'0']),
        crate::value!(["a", "b"]),
        crate::value!(["b", "a"]),
        crate::value!({ "a": "b" }),
        Value::from(f64::INFINITY),
    ];
    for value in texts.chain(numbers).chain(halves).chain(others) {
        let print = fingerprint(&value).unwrap();
        assert!(seen.insert(print), "{value}");
        buckets[(print % 64) as usize] += 1;
    }
    assert!(buckets.iter().all(|count| (500..800).contains(count)), "{buckets:?}");
}

/// The fingerprint of the text `api`.
const PRINT_OF_API: u64 = 11_315_207_260_625_057_492;
