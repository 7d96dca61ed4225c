use super::*;

/// Which of ten clients, each with `{clientName: 'client<i>', idx: [i], n: i}`, are meant.
fn receivers(filter: &Filter) -> Vec<usize> {
    let client = |i: usize| options! { "_id": format!("c{i}"), "clientName": format!("client{i}"), "idx": [i], "n": i };
    (0..10).filter(|i| matches(filter, &client(*i))).collect()
}

#[test]
fn t070_a_plain_value_and_eq_mean_the_same() {
    let _bound = crate::bound::bound();
    assert_eq!(receivers(&filter! { "clientName": "client2" }), [2]);
    assert_eq!(receivers(&filter! { "clientName": { "$eq": "client2" } }), [2]);
}

#[test]
fn t073_texts_are_loosely_equal_to_themselves() {
    let _bound = crate::bound::bound();
    assert_eq!(receivers(&filter! { "clientName": { "$aeq": "client2" } }), [2]);
}

#[test]
fn t074_texts_are_ordered() {
    let _bound = crate::bound::bound();
    assert_eq!(receivers(&filter! { "clientName": { "$gt": "client8" } }), [9]);
    assert_eq!(receivers(&filter! { "clientName": { "$gte": "client9" } }), [9]);
}

#[test]
fn t076_between_excludes_both_ends() {
    let _bound = crate::bound::bound();
    assert_eq!(receivers(&filter! { "clientName": { "$between": ["client1", "client3"] } }), [2]);
}

#[test]
fn t077_one_of_a_list() {
    let _bound = crate::bound::bound();
    assert_eq!(receivers(&filter! { "clientName": { "$in": ["client2"] } }), [2]);
}

#[test]
fn t079_an_array_contains_its_element() {
    let _bound = crate::bound::bound();
    assert_eq!(receivers(&filter! { "idx": { "$contains": 2 } }), [2]);
}

#[test]
fn t080_an_array_contains_any_of_a_list() {
    let _bound = crate::bound::bound();
    assert_eq!(receivers(&filter! { "idx": { "$containsAny": [2, 100] } }), [2]);
}

#[test]
fn t082_zero_is_an_element_like_any_other() {
    let _bound = crate::bound::bound();
    assert_eq!(receivers(&filter! { "idx": { "$containsAny": [0] } }), [0]);
}

#[cfg(feature = "regex")]
#[test]
fn t083_a_regular_expression_matches_texts() {
    let _bound = crate::bound::bound();
    let by_data = filter! { "clientName": { "$regex": "client[0-5]" } };
    assert_eq!(receivers(&by_data), [0, 1, 2, 3, 4, 5]);
    assert_eq!(receivers(&Filter::any().regex("clientName", "^client[0-5]$")), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn t085_a_missing_key_matches_nothing() {
    let _bound = crate::bound::bound();
    assert_eq!(receivers(&filter! { "name": 1 }), []);
}

#[test]
fn t086_a_missing_key_does_not_match_ne_and_nin() {
    let _bound = crate::bound::bound();
    assert_eq!(receivers(&filter! { "missing": { "$ne": 1 } }), []);
    assert_eq!(receivers(&filter! { "missing": { "$nin": [1] } }), []);
}

#[test]
fn t088_several_operators_all_hold() {
    let _bound = crate::bound::bound();
    assert_eq!(receivers(&filter! { "n": { "$gte": 3, "$lt": 6 } }), [3, 4, 5]);
}

#[test]
fn t089_a_text_contains_its_part() {
    let _bound = crate::bound::bound();
    assert_eq!(receivers(&filter! { "clientName": { "$contains": "ent7" } }), [7]);
}

#[test]
fn t091_maps_are_equal_as_a_whole() {
    let _bound = crate::bound::bound();
    let peer = options! { "cfg": { "a": 1, "b": [1, 2] } };
    assert!(matches(&filter! { "cfg": { "a": 1, "b": [1, 2] } }, &peer));
    assert!(!matches(&filter! { "cfg": { "a": 1 } }, &peer));
    assert!(!matches(&filter! { "cfg": { "a": 1, "b": [2, 1] } }, &peer));
}

#[test]
fn t092_arrays_are_equal_in_order() {
    let _bound = crate::bound::bound();
    let peer = options! { "capabilities": ["video", "image"] };
    assert!(matches(&filter! { "capabilities": ["video", "image"] }, &peer));
    assert!(!matches(&filter! { "capabilities": ["image", "video"] }, &peer));
}

#[test]
fn t094_an_unknown_operator_is_an_error_and_named() {
    let _bound = crate::bound::bound();
    let why = wrong(&filter! { "n": { "$foo": 1 } });
    assert!(why.starts_with("$foo of n is no operator; there are $eq, "), "{why}");
}

#[test]
fn t095_a_number_is_not_greater_than_a_text() {
    let _bound = crate::bound::bound();
    assert_eq!(receivers(&filter! { "n": { "$gt": "3" } }), []);
}

#[test]
fn t097_the_table_of_the_seed() {
    let _bound = crate::bound::bound();
    let peer = options! { "role": "worker", "region": "us-east-1", "version": 2, "capabilities": ["video", "image"] };
    for (filter, expected) in [
        (filter! { "role": "worker" }, true),
        (filter! { "role": "worker", "region": "us-east-1" }, true),
        (filter! { "role": "api" }, false),
        (filter! { "role": "worker", "region": "eu-west-1" }, false),
    ] {
        assert_eq!(matches(&filter, &peer), expected, "{filter}");
    }
}

#[test]
fn t098_an_id_is_an_option_too() {
    let _bound = crate::bound::bound();
    assert_eq!(receivers(&filter! { "_id": "c4" }), [4]);
}
