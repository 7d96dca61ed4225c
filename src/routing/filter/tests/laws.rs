use super::*;
use crate::payload::{Decode, Encode};
use crate::routing::filter::compare::{rough_order, total_order};
use crate::routing::filter::sample::Draw;
use crate::routing::fuzz::agree;

const SEEDS: u64 = 4_000;

/// Calls `law` with options and the data of a filter, for every seed.
fn for_seeds(mut law: impl FnMut(&mut fastrand::Rng, &Options, &Map)) {
    for seed in 0..SEEDS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bytes = vec![0; rng.usize(20..160)];
        rng.fill(&mut bytes);
        let mut draw = Draw::new(&bytes);
        let (options, data) = (draw.options(), draw.filter(3));
        law(&mut rng, &options, &data);
    }
}

/// The same map, its keys inserted in another order at every level.
fn shuffled(rng: &mut fastrand::Rng, map: &Map) -> Map {
    let mut entries: Vec<(String, Value)> =
        map.iter().map(|(key, value)| (key.to_owned(), shuffled_value(rng, value))).collect();
    rng.shuffle(&mut entries);
    let mut out = Map::new();
    for (key, value) in entries {
        out.insert(key, value);
    }
    out
}

fn shuffled_value(rng: &mut fastrand::Rng, value: &Value) -> Value {
    match value {
        Value::Map(map) => shuffled(rng, map).into(),
        Value::Array(values) => {
            Value::Array(values.iter().map(|value| shuffled_value(rng, value)).collect())
        }
        other => other.clone(),
    }
}

/// Also compares `NaN`, which equals nothing.
fn same(a: &Filter, b: &Filter) -> bool {
    let encoded = |filter: &Filter| {
        let mut out = Vec::new();
        filter.put(&mut out);
        out
    };
    encoded(a) == encoded(b)
}

#[test]
fn the_compiled_form_and_the_reference_agree() {
    let _bound = crate::bound::bound();
    let mut counts = [0; 3];
    for_seeds(|_, options, data| counts[agree(data, options).map_or(2, usize::from)] += 1);
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
}

#[test]
fn long_lists_and_the_reference_agree() {
    let _bound = crate::bound::bound();
    let mut counts = [0; 2];
    for seed in 0..600 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bytes = vec![0; 600];
        rng.fill(&mut bytes);
        let mut draw = Draw::new(&bytes);
        // About as long as those that are compared one by one, or a good deal longer.
        let (len, elements) = (rng.usize(6..32), rng.usize(0..8));
        let list = Value::Array((0..len).map(|_| draw.element()).collect());
        let found = match rng.u8(0..4) {
            0 => draw.element(),
            _ => Value::Array((0..elements).map(|_| draw.element()).collect()),
        };
        let operator = ["$in", "$nin", "$containsAny", "$containsNone"][rng.usize(0..4)];
        let data = Map::from_iter([(
            "a".to_owned(),
            Value::Map(Map::from_iter([(operator.to_owned(), list)])),
        )]);
        let options = Options::from(Map::from_iter([("a".to_owned(), found)]));
        counts[usize::from(agree(&data, &options).expect("a filter"))] += 1;
    }
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
}

#[test]
fn one_order_of_all_values_keeps_those_together_that_are_equal() {
    let _bound = crate::bound::bound();
    let mut equal = 0;
    for seed in 0..SEEDS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bytes = vec![0; 120];
        rng.fill(&mut bytes);
        let mut draw = Draw::new(&bytes);
        let [a, b, c] = [(); 3].map(|()| draw.element());
        if [&a, &b, &c].iter().any(|value| fingerprint(value).is_none()) {
            continue;
        }
        equal += usize::from(a == b);
        let order = total_order(&a, &b);
        assert_eq!(order.is_eq(), a == b, "{a}, {b}");
        assert_eq!(total_order(&b, &a), order.reverse(), "{a}, {b}");
        if order.is_le() {
            assert!(rough_order(&a) <= rough_order(&b), "{a}, {b}");
            assert!(total_order(&b, &c).is_gt() || total_order(&a, &c).is_le(), "{a}, {b}, {c}");
        }
    }
    assert!(equal > 100, "{equal}");
}

#[test]
fn the_order_of_keys_means_nothing() {
    let _bound = crate::bound::bound();
    for_seeds(|rng, options, data| {
        let (filter, again) = (Filter::from(data.clone()), Filter::from(shuffled(rng, data)));
        let mut map = Map::new();
        map.extend(options.iter().map(|(key, value)| (key, value.clone())));
        let other_options = Options::from(shuffled(rng, &map));
        let asked =
            |filter: &Filter, options| filter.matches(options).map_err(|error| error.to_string());
        assert_eq!(asked(&filter, options), asked(&again, &other_options), "{filter}");
        assert_eq!(filter.fingerprint(), again.fingerprint());
        assert!(same(&filter, &again));
    });
}

#[test]
fn not_of_not_is_the_filter_itself() {
    let _bound = crate::bound::bound();
    for_seeds(|_, options, data| {
        let filter = Filter::from(data.clone());
        let (not, again) = (!filter.clone(), !!filter.clone());
        // A filter that was written as `not` of `not` loses both of them.
        if !filter.to_string().starts_with("not (not (") && filter.check().is_ok() {
            assert!(same(&again, &filter), "{filter}");
        }
        let Ok(expected) = filter.matches(options) else { return };
        assert_eq!(again.matches(options).ok(), Some(expected), "{filter}");
        if let Ok(in_not) = not.matches(options) {
            assert_eq!(in_not, !expected, "{filter}");
        }
    });
}

#[test]
fn both_and_either_are_what_they_say() {
    let _bound = crate::bound::bound();
    let mut asked = 0;
    let mut earlier = Filter::any();
    for_seeds(|_, options, data| {
        let (a, b) = (Filter::from(data.clone()), earlier.clone());
        earlier = a.clone();
        let (Ok(in_a), Ok(in_b)) = (a.matches(options), b.matches(options)) else { return };
        let (both, either) = (a.clone().and(b.clone()), a.clone().or(b.clone()));
        if let (Ok(in_both), Ok(in_either)) = (both.matches(options), either.matches(options)) {
            assert_eq!((in_both, in_either), (in_a && in_b, in_a || in_b), "{a}, {b}");
            asked += 1;
        }
    });
    assert!(asked > SEEDS / 2, "{asked}");
}

#[test]
fn a_filter_comes_back_from_either_encoding() {
    let _bound = crate::bound::bound();
    for_seeds(|_, _, data| {
        let filter = Filter::from(data.clone());
        let decoded = Filter::decode(&filter.encode().unwrap()).unwrap();
        assert!(same(&decoded, &filter), "{filter}");
        let mut bytes = Vec::new();
        filter.put(&mut bytes);
        if let Ok(read) = Filter::read(&mut Reader::new(&bytes)) {
            assert!(same(&read, &filter), "{filter}");
        } else {
            assert!(filter.check().is_err(), "{filter}");
        }
        assert_eq!(decoded.fingerprint(), filter.fingerprint());
    });
}

#[test]
fn filters_that_differ_seldom_share_a_fingerprint() {
    let _bound = crate::bound::bound();
    let mut seen: std::collections::HashMap<u64, Filter> = std::collections::HashMap::new();
    for_seeds(|_, _, data| {
        let filter = Filter::from(data.clone());
        if let Some(other) = seen.insert(filter.fingerprint(), filter.clone()) {
            // `2` and `2.0` are equal, and so are filters that differ in such things only; `NaN` is not.
            assert!(other == filter || filter.to_string().contains("NaN"), "{other}, {filter}");
        }
    });
    assert!(seen.len() > 1_000, "{}", seen.len());
}
