use super::*;
use crate::value;

const LARGE: i64 = 1 << 53;

/// Whether an option of this value satisfies the condition.
fn holds(option: impl Into<Value>, condition: impl Into<Value>) -> bool {
    let condition: Value = condition.into();
    matches(&filter! { "o": condition }, &options! { "o": option.into(), "other": 1 })
}

/// Each row: an operator, its operand, the options for which it holds, and those for which it does not.
fn table(rows: Vec<(&str, Value, Value, Value)>) {
    for (operator, operand, holding, failing) in rows {
        for (options, expected) in [(holding, true), (failing, false)] {
            for option in options.as_array().unwrap() {
                let held = holds(option.clone(), value!({ (operator): operand.clone() }));
                assert_eq!(held, expected, "{option} {operator} {operand}");
            }
        }
    }
}

#[test]
fn equality_is_deep_and_converts_nothing_but_numbers() {
    let _bound = crate::bound::bound();
    let nan = f64::NAN;
    table(vec![
        ("$eq", value!(0), value!([0, 0.0, -0.0]), value!([1, "", "0", false, null, [], {}, [0]])),
        (
            "$eq",
            value!(""),
            value!([""]),
            value!([0, false, null, " ", [], [""], Value::Bytes(vec![])]),
        ),
        ("$eq", value!(false), value!([false]), value!([0, 0.0, "", null, true, "false", []])),
        ("$eq", value!(null), value!([null]), value!([0, "", false, [], {}, "null"])),
        ("$eq", value!(2), value!([2, 2.0, 2u64]), value!(["2", 2.5, [2], 3])),
        ("$eq", value!([]), value!([[]]), value!([null, {}, "", 0, [null]])),
        ("$eq", value!({}), value!([{}]), value!([null, [], { "a": null }])),
        (
            "$eq",
            value!([1, { "a": 2 }]),
            value!([[1, { "a": 2 }], [1.0, { "a": 2.0 }]]),
            value!([[{ "a": 2 }, 1], [1], [1, { "a": 2, "b": 1 }]]),
        ),
        ("$eq", value!(nan), value!([]), value!([nan, 0, "NaN"])),
        ("$ne", value!(0), value!([1, "", false, null, "0"]), value!([0, 0.0, -0.0])),
        ("$ne", value!(null), value!([0, "", false]), value!([null])),
        ("$ne", value!(nan), value!([nan, 1]), value!([])),
    ]);
}

#[test]
fn plain_conditions_are_equality_whatever_they_look_like() {
    let _bound = crate::bound::bound();
    for (option, condition, expected) in [
        (value!({ "a": 1, "b": [1, 2] }), value!({ "b": [1, 2], "a": 1.0 }), true),
        (value!({ "a": 1, "b": 2 }), value!({ "a": 1 }), false),
        (value!({ "a": 1 }), value!({ "a": 1, "b": 2 }), false),
        (value!({}), value!({}), true),
        (value!({ "a": 1 }), value!({}), false),
        (value!(null), value!(null), true),
        (value!([]), value!([]), true),
        (value!([1]), value!(1), false),
        (value!(1), value!([1]), false),
        (value!(true), value!(true), true),
        (value!(1), value!(true), false),
        // Operators work at the first level only: further in they are values.
        (value!({ "a": 5 }), value!({ "a": { "$gt": 1 } }), false),
        (value!({ "a": { "$gt": 1 } }), value!({ "a": { "$gt": 1 } }), true),
    ] {
        assert_eq!(holds(option.clone(), condition.clone()), expected, "{option} {condition}");
    }
}

#[test]
fn loose_equality_takes_texts_for_numbers_and_truth_for_one() {
    let _bound = crate::bound::bound();
    table(vec![
        (
            "$aeq",
            value!(5),
            value!([5, 5.0, "5", "5.0", "+5", "0.5e1"]),
            value!([" 5", "5 ", "5a", "", "0x5", "five", [5], true, null]),
        ),
        ("$aeq", value!("5"), value!([5, 5.0, "5"]), value!(["5.0", 6, true, [5], null])),
        (
            "$aeq",
            value!(0),
            value!([0, false, "0", "-0", "0.0"]),
            value!(["", null, true, "false", [], {}]),
        ),
        ("$aeq", value!(true), value!([true, 1, 1.0]), value!([2, "1", "true", false, 0])),
        ("$aeq", value!(1), value!([true, 1, "1"]), value!([false, "true"])),
        ("$aeq", value!(false), value!([false, 0, 0.0, -0.0]), value!(["", "0", null, true])),
        ("$aeq", value!(null), value!([null]), value!([0, "", false, "null"])),
        ("$aeq", value!(""), value!([""]), value!([0, false, null])),
        (
            "$aeq",
            value!(f64::INFINITY),
            value!([f64::INFINITY]),
            value!(["inf", "infinity", "1e999"]),
        ),
        ("$aeq", value!(f64::NAN), value!([]), value!(["nan", "NaN", f64::NAN])),
        (
            "$aeq",
            value!(LARGE + 1),
            value!(["9007199254740993", LARGE + 1]),
            value!([LARGE, "9007199254740992", LARGE as f64]),
        ),
        ("$aeq", value!([1]), value!([[1.0]]), value!([["1"], 1])),
    ]);
}

#[test]
fn order_is_between_numbers_or_between_texts_and_exact() {
    let _bound = crate::bound::bound();
    let nan = f64::NAN;
    table(vec![
        (
            "$gt",
            value!(0),
            value!([1, 0.1, u64::MAX, f64::INFINITY]),
            value!([0, -0.0, -1, "1", "", true, null, [1], {}, nan]),
        ),
        ("$gt", value!("0"), value!(["00", "1", "a"]), value!([1, "", "0", true, null])),
        ("$gt", value!(""), value!(["a", "\0"]), value!(["", 1, false])),
        ("$gt", value!(false), value!([]), value!([true, 1, "true"])),
        ("$gt", value!(null), value!([]), value!([null, 0, 1])),
        ("$gt", value!(nan), value!([]), value!([nan, 1, f64::INFINITY])),
        ("$gte", value!(null), value!([]), value!([null])),
        ("$gte", value!(true), value!([]), value!([true, 1])),
        ("$gte", value!([1]), value!([]), value!([[1], [2], 1])),
        ("$gte", value!(2), value!([2, 2.0, 3]), value!([1.9, "2", nan])),
        ("$lt", value!(2.5), value!([2, -7, f64::NEG_INFINITY]), value!([2.5, 3, "2", nan, false])),
        ("$lt", value!("b"), value!(["a", "", "B", "az"]), value!(["b", "ba", "ä", 1])),
        ("$lte", value!(-0.5), value!([-1, -0.5]), value!([0, -0.25, null])),
        ("$gt", value!(LARGE as f64), value!([LARGE + 1]), value!([LARGE, LARGE - 1])),
        (
            "$gte",
            value!(LARGE + 1),
            value!([LARGE + 1, LARGE as f64 + 2.0]),
            value!([LARGE as f64]),
        ),
        ("$lt", value!(LARGE + 1), value!([LARGE as f64]), value!([LARGE + 1])),
        ("$lt", value!(1e300), value!([u64::MAX, i64::MIN]), value!([f64::INFINITY])),
        ("$gt", value!(-1e300), value!([i64::MIN, -(1i128 << 64)]), value!([f64::NEG_INFINITY])),
        (
            "$gt",
            value!(-(1i128 << 64)),
            value!([-(2f64.powi(63))]),
            value!([-(2f64.powi(64)), -(2f64.powi(65))]),
        ),
    ]);
}

#[test]
fn between_has_two_ends_of_one_type() {
    let _bound = crate::bound::bound();
    table(vec![
        ("$between", value!([1, 3]), value!([2, 1.5, 2.0]), value!([1, 3, 0, 4, "2", null, [2]])),
        ("$betweenInclusive", value!([1, 3]), value!([1, 3, 1.0, 2]), value!([0.9, 3.1, "1"])),
        ("$between", value!([3, 1]), value!([]), value!([1, 2, 3])),
        ("$betweenInclusive", value!([2, 2]), value!([2, 2.0]), value!([1, 3])),
        ("$betweenInclusive", value!(["a", "b"]), value!(["a", "az", "b"]), value!(["ba", "", 1])),
        ("$between", value!([1, "3"]), value!([]), value!([2, "2"])),
        ("$betweenInclusive", value!([f64::NAN, 3]), value!([]), value!([2, f64::NAN])),
        ("$between", value!([false, 2]), value!([]), value!([1, true])),
    ]);
}

#[test]
fn lists_are_searched_by_deep_equality() {
    let _bound = crate::bound::bound();
    table(vec![
        (
            "$in",
            value!([0, "", false]),
            value!([0, 0.0, "", false]),
            value!([null, 1, "0", true, [], [0]]),
        ),
        ("$in", value!([]), value!([]), value!([null, 0, "", []])),
        ("$in", value!([null]), value!([null]), value!([0, false])),
        (
            "$in",
            value!([[1, 2], { "a": 1 }]),
            value!([[1, 2.0], { "a": 1 }]),
            value!([[2, 1], 1, {}]),
        ),
        ("$in", value!(["1"]), value!(["1"]), value!([1])),
        (
            "$nin",
            value!([0, "", false]),
            value!([null, 1, true, "0", []]),
            value!([0, -0.0, "", false]),
        ),
        ("$nin", value!([]), value!([null, 0, "", false]), value!([])),
        ("$nin", value!([null]), value!([0, ""]), value!([null])),
    ]);
}

#[test]
fn containing_is_for_arrays_and_texts_and_never_an_error() {
    let _bound = crate::bound::bound();
    table(vec![
        (
            "$contains",
            value!(0),
            value!([[0], [1, 0.0]]),
            value!([0, "0", [false], [""], [null], [], { "a": 0 }, null, 10, true]),
        ),
        (
            "$contains",
            value!(""),
            value!(["", "a", ["", 1]]),
            value!([[], 0, null, false, [0], {}]),
        ),
        (
            "$contains",
            value!(false),
            value!([[false]]),
            value!([false, [0], [""], "false", [null]]),
        ),
        ("$contains", value!(null), value!([[null]]), value!([null, [], [0], "null"])),
        (
            "$contains",
            value!("b"),
            value!(["abc", ["b"]]),
            value!(["ac", ["abc"], { "b": 1 }, 5, Value::Bytes(vec![b'b'])]),
        ),
        ("$contains", value!([1]), value!([[[1]], [[1.0], 2]]), value!([[1], 1, "1"])),
        ("$contains", value!(2), value!([[1, 2], [2.0]]), value!([["2"], 12, "12"])),
        (
            "$containsAny",
            value!([0, ""]),
            value!([[0], [""], "", "x"]),
            value!([0, [], [false], null, {}]),
        ),
        ("$containsAny", value!([]), value!([]), value!([[], [1], "", 0])),
        ("$containsAny", value!([1, "b"]), value!(["ab", [1]]), value!(["1", 1, ["ab"]])),
        (
            "$containsNone",
            value!([0, "b"]),
            value!([[], [1], "", "0", [false]]),
            value!([[0], "ab", 5, null, true, {}, ["x", "b"]]),
        ),
        ("$containsNone", value!([]), value!([[], [1], "", "x"]), value!([0, null, {}, false])),
        ("$containsNone", value!([1]), value!(["1", "", [2]]), value!([[1], 1, 2])),
    ]);
}

#[cfg(feature = "regex")]
#[test]
fn regular_expressions_are_for_texts_only() {
    let _bound = crate::bound::bound();
    table(vec![
        (
            "$regex",
            value!("^a.*z$"),
            value!(["az", "a-z"]),
            value!(["baz", "azb", "", 1, null, ["az"]]),
        ),
        ("$regex", value!("b"), value!(["abc"]), value!(["ac", true])),
        ("$regex", value!(""), value!(["", "x"]), value!([0, null, [], {}])),
        ("$regex", value!("1"), value!(["1"]), value!([1])),
        ("$regex", value!("(?i)^ÄB$"), value!(["ÄB", "Äb"]), value!(["b"])),
    ]);
}

#[cfg(not(feature = "regex"))]
#[test]
fn regular_expressions_need_their_feature() {
    let _bound = crate::bound::bound();
    assert!(wrong(&Filter::any().regex("a", "x")).contains("feature `regex`"));
}

#[test]
fn existing_is_not_the_same_as_being_something() {
    let _bound = crate::bound::bound();
    table(vec![
        ("$exists", value!(true), value!([null, 0, "", false, [], {}]), value!([])),
        ("$exists", value!(false), value!([]), value!([null, 0, "", false])),
    ]);
}

#[test]
fn a_missing_key_satisfies_nothing_but_exists_false() {
    let _bound = crate::bound::bound();
    let peer = options! { "other": 1, "null": null };
    let mut conditions = vec![
        value!(null),
        value!(0),
        value!(""),
        value!(false),
        value!([]),
        value!({}),
        value!({ "$eq": null }),
        value!({ "$ne": 1 }),
        value!({ "$ne": null }),
        value!({ "$aeq": null }),
        value!({ "$aeq": 0 }),
        value!({ "$gt": 0 }),
        value!({ "$gte": 0 }),
        value!({ "$lt": 0 }),
        value!({ "$lte": 0 }),
        value!({ "$lte": "" }),
        value!({ "$between": [-1, 1] }),
        value!({ "$betweenInclusive": [0, 0] }),
        value!({ "$in": [null] }),
        value!({ "$in": [] }),
        value!({ "$nin": [] }),
        value!({ "$nin": [1] }),
        value!({ "$contains": null }),
        value!({ "$containsAny": [null] }),
        value!({ "$containsNone": [] }),
        value!({ "$containsNone": [1] }),
        value!({ "$exists": true }),
        value!({ "$exists": false, "$ne": 1 }),
    ];
    if cfg!(feature = "regex") {
        conditions.push(value!({ "$regex": "" }));
    }
    for key in ["gone", "other.gone", "null.gone", "gone.other"] {
        for condition in &conditions {
            let filter = filter! { (key): condition.clone() };
            assert!(!matches(&filter, &peer), "{filter}");
            assert!(matches(&!filter.clone(), &peer), "not ({filter})");
        }
        assert!(matches(&filter! { (key): { "$exists": false } }, &peer));
    }
    assert!(matches(&filter! { "null": null }, &peer));
}

#[test]
fn dotted_keys_are_exact_first_and_then_look_inside() {
    let _bound = crate::bound::bound();
    let peer = options! {
        "gpu": { "memory": 80, "a.b": 1, "a": { "b": 2, "c": 3 } }, "gpu.vendor": "x", "x.y": { "z": 1, "q.r": 2 }, "x": { "y": { "z": 5 } },
        "list": [1], "": { "": 7 }, "shadow": 1, "a": { "b": null },
    };
    let found = |key: &str| lookup(&peer, key).map_or("none".to_owned(), Value::to_string);
    for (key, value) in [
        ("gpu.memory", "80"),
        ("gpu.vendor", "\"x\""),
        ("gpu.a.b", "1"),
        ("gpu.a.c", "3"),
        ("x.y", "{\"z\": 1, \"q.r\": 2}"),
        ("x.y.z", "5"),
        ("x.y.q.r", "none"),
        ("list.0", "none"),
        (".", "7"),
        ("shadow.a", "none"),
        ("a.b", "null"),
        ("a.b.c", "none"),
        ("gpu.", "none"),
        (".gpu", "none"),
    ] {
        assert_eq!(found(key), value, "{key}");
    }
    assert!(matches(&filter! { "gpu.memory": { "$gte": 80 } }, &peer));
    assert!(!matches(&filter! { "gpu.vendor": { "$ne": "x" } }, &peer));
    assert!(matches(&filter! { "a.b": null }, &peer));
}

#[test]
fn logical_keys_stand_beside_options_and_in_each_other() {
    let _bound = crate::bound::bound();
    let peer = options! { "a": 1, "b": 2 };
    for (filter, expected) in [
        (filter! { "$or": [{ "a": 9 }, { "b": 2 }] }, true),
        (filter! { "$or": [{ "a": 9 }, { "b": 9 }] }, false),
        (filter! { "$or": [] }, false),
        (filter! { "$or": [{}] }, true),
        (filter! { "$and": [] }, true),
        (filter! { "$and": [{ "a": 1 }, { "b": 9 }] }, false),
        (filter! { "a": 1, "$and": [{ "b": 2 }], "$not": { "a": 2 } }, true),
        (filter! { "a": 9, "$or": [{ "b": 2 }] }, false),
        (filter! { "$not": {} }, false),
        (filter! { "$not": { "$or": [] } }, true),
        (filter! { "$not": { "a": 1, "b": 9 } }, true),
        (filter! { "$not": { "a": 1, "b": 2 } }, false),
        (filter! { "$not": { "gone": { "$exists": true } } }, true),
    ] {
        assert_eq!(matches(&filter, &peer), expected, "{filter}");
    }
}

#[test]
fn what_is_no_filter_is_named() {
    let _bound = crate::bound::bound();
    let mut rows = vec![
        (filter! { "a": { "$foo": 1 } }, "$foo of a is no operator"),
        (filter! { "a": { "$": 1 } }, "$ of a is no operator"),
        (filter! { "a": { "$EQ": 1 } }, "$EQ of a is no operator"),
        (filter! { "a": { "$not": { "$gt": 1 } } }, "$not of a is no operator"),
        (
            filter! { "a": { "$gt": 1, "b": 2 } },
            "the condition of a mixes operators with plain keys",
        ),
        (filter! { "$eq": 1 }, "$eq cannot stand where an option is named"),
        (filter! { "$nor": [] }, "$nor cannot stand"),
        (filter! { "a": 1, "$or": [{ "$gt": 1 }] }, "$gt cannot stand"),
        (filter! { "$and": { "a": 1 } }, "$and takes an array of filters"),
        (filter! { "$or": "a" }, "$or takes an array of filters"),
        (filter! { "$or": [{ "a": 1 }, 3] }, "a filter inside of $or is a map, not 3"),
        (filter! { "$not": [{ "a": 1 }] }, "a filter inside of $not is a map"),
        (filter! { "$not": null }, "a filter inside of $not is a map, not null"),
        (filter! { "$or": [{}, { "a": { "$in": 1 } }] }, "$in of a takes an array, not 1"),
        (filter! { "a": { "$between": [1] } }, "$between of a takes an array of two, not [1]"),
        (filter! { "a": { "$between": [1, 2, 3] } }, "$between of a takes an array of two"),
        (
            filter! { "a": { "$betweenInclusive": 1 } },
            "$betweenInclusive of a takes an array of two, not 1",
        ),
        (filter! { "a": { "$in": "abc" } }, "$in of a takes an array"),
        (filter! { "a": { "$nin": null } }, "$nin of a takes an array"),
        (filter! { "a": { "$containsAny": 1 } }, "$containsAny of a takes an array"),
        (filter! { "a": { "$containsNone": { "b": 1 } } }, "$containsNone of a takes an array"),
        (filter! { "a": { "$exists": 1 } }, "$exists of a takes a bool, not 1"),
        (filter! { "a": { "$exists": null } }, "$exists of a takes a bool"),
        (filter! { "a": { "$regex": "(" } }, "$regex of a"),
        (filter! { "a": { "$regex": 1 } }, "$regex of a"),
    ];
    // A first clause that fails does not hide what is wrong behind it.
    rows.push((filter! { "a": 1, "zzz": { "$foo": 1 } }, "$foo of zzz"));
    for (filter, why) in rows {
        let said = wrong(&filter);
        assert!(said.starts_with(why), "{said}");
    }
}
