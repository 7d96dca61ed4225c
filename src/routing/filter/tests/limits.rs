use super::*;
use crate::config::FILTER_CLAUSES;
use crate::value;

/// A filter of exactly this many encoded bytes: map, key, head and text.
fn of_bytes(len: usize) -> Filter {
    let filter = filter! { "a": "x".repeat(len - 6) };
    let mut encoded = Vec::new();
    filter.put(&mut encoded);
    assert_eq!(encoded.len(), len);
    filter
}

/// A filter of as many equalities.
fn of_clauses(count: usize) -> Filter {
    (0..count).fold(Filter::any(), |filter, n| filter.eq(format!("k{n}"), n))
}

/// A filter that nests as deep, itself included.
fn of_depth(depth: usize) -> Filter {
    (1..depth).fold(Filter::any(), |inner, _| filter! { "$not": inner.0.map.clone() })
}

fn readable(filter: &Filter) -> bool {
    let mut encoded = Vec::new();
    filter.put(&mut encoded);
    Filter::read(&mut Reader::new(&encoded)).is_ok()
}

// covers P38
#[test]
fn filters_have_at_most_4096_bytes_64_clauses_8_levels_and_1024_bytes_of_regex() {
    let _bound = crate::bound::bound();
    for allowed in [
        of_bytes(4_095),
        of_bytes(4_096),
        of_clauses(63),
        of_clauses(64),
        of_depth(7),
        of_depth(8),
        filter! { "a": [[[[[[0]]]]]] },
    ] {
        assert!(allowed.check().is_ok() && readable(&allowed), "{allowed}");
    }
    for (beyond, limit, found) in [
        (of_bytes(4_097), "4096", "4097"),
        (of_clauses(65), "64", "65"),
        (of_depth(9), "8", "9"),
        (filter! { "a": [[[[[[[[0]]]]]]]] }, "8", "9"),
    ] {
        let why = wrong(&beyond);
        assert!(why.contains(limit) && why.contains(found), "{why}");
    }
    for beyond in [of_bytes(4_097), of_depth(9)] {
        assert!(!readable(&beyond));
    }
    #[cfg(feature = "regex")]
    {
        assert!(Filter::any().regex("a", "x".repeat(1_024)).check().is_ok());
        let why = wrong(&Filter::any().regex("a", "x".repeat(1_025)));
        assert!(why.contains("1024") && why.contains("1025"), "{why}");
        assert!(wrong(&Filter::any().regex("a", "(a{1000}){1000}")).contains("$regex of a fails"));
    }
}

#[test]
fn a_clause_is_an_operator_an_equality_or_a_logical_key() {
    let _bound = crate::bound::bound();
    let filled = |extra: Filter, own: usize| {
        assert!(of_clauses(FILTER_CLAUSES - own).and(extra.clone()).check().is_ok(), "{extra}");
        assert!(
            of_clauses(FILTER_CLAUSES - own + 1).and(extra.clone()).check().is_err(),
            "{extra}"
        );
    };
    filled(filter! { "a": 1 }, 1);
    filled(filter! { "a": {} }, 1);
    filled(filter! { "a": { "b": 1, "c": 2 } }, 1);
    filled(filter! { "a": { "$gt": 1, "$lt": 2 } }, 2);
    filled(filter! { "$or": [] }, 1);
    filled(filter! { "$or": [{ "a": 1 }, { "b": 1, "$not": { "c": 1 } }] }, 5);
    filled(filter! { "$and": [{ "a": 1 }, {}] }, 2);
}

#[test]
fn integers_that_cannot_be_sent_are_refused() {
    let _bound = crate::bound::bound();
    assert!(filter! { "a": u64::MAX }.check().is_ok());
    assert!(wrong(&filter! { "a": [1i128 << 64] }).contains("18446744073709551616"));
}

// covers P38
#[test]
fn a_filter_of_any_size_is_refused_quickly() {
    let _bound = crate::bound::bound();
    let begun = std::time::Instant::now();
    let wide: Vec<Value> =
        (0..100_000).map(|n| value!({ "a": { "$regex": format!("a{n}{{900}}") } })).collect();
    assert!(filter! { "$or": wide }.check().is_err());
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
}

/// An array of as many elements as options have room for, none of which is in a list of [`longest`].
fn widest() -> Options {
    options! { "a": vec![0; 8_000] }
}

/// As many values as a filter has room for.
fn longest() -> std::ops::Range<i32> {
    1_000..2_300
}

/// As many lists as there may be clauses beside one that holds, all of them longer than those that are compared one by one.
fn most_lists() -> Filter {
    let list = |n| (0..9).map(move |k| 1_000 + 9 * n + k);
    (0..60).fold(!Filter::any(), |filter, n| filter.or(Filter::any().contains_any("a", list(n))))
}

// covers P38
#[test]
fn the_longest_list_is_asked_of_the_widest_array_in_a_few_milliseconds() {
    let _bound = crate::bound::bound();
    let options = widest();
    for (filter, expected, most_ms) in [
        (Filter::any().contains_any("a", longest()), false, 5),
        (Filter::any().contains_none("a", longest()), true, 5),
        (Filter::any().one_of("a", longest()), false, 5),
        (Filter::any().none_of("a", longest()), true, 5),
        (most_lists(), false, 30),
    ] {
        assert_eq!(filter.matches(&options).unwrap(), expected);
        let measure = |_| {
            let begun = std::time::Instant::now();
            assert_eq!(filter.matches(&options).unwrap(), expected);
            begun.elapsed()
        };
        // Somebody else's work may spoil one measurement, but hardly three.
        let took = (0..3).map(measure).min().unwrap();
        assert!(took < std::time::Duration::from_millis(most_ms), "{took:?}");
    }
}
