use std::time::Instant;

use super::*;
use crate::config::{LONGEST_TIMEOUT, ROUTED_EVENTS};
use crate::event::EventName;
use crate::value::{Value, from_map, to_value};

const MS: Duration = Duration::from_millis(1);

fn event(name: &str) -> EventName {
    EventName::new(name).unwrap()
}

/// Those of ten requests that took 1 to 10 ms, of a failed one, and of three ticks, after two seconds.
fn some_stats() -> RoutingStats {
    let start = Instant::now();
    let mut counts = RoutingCounts::new(start);
    for ms in 1..=10 {
        counts.request(&event("user:get"), ms * MS, true);
    }
    counts.request(&event("user:get"), 500 * MS, false);
    for ok in [true, true, false] {
        counts.tick(&event("seen"), ok);
    }
    counts.stats(start + 2_000 * MS)
}

fn sum(parts: impl Iterator<Item = Proxied>) -> Proxied {
    parts.fold(Proxied::default(), |sum, part| Proxied {
        total: sum.total + part.total,
        successful: sum.successful + part.successful,
        failed: sum.failed + part.failed,
    })
}

fn through_cbor(stats: &RoutingStats) -> RoutingStats {
    let mut bytes = Vec::new();
    ciborium::into_writer(stats, &mut bytes).unwrap();
    ciborium::from_reader(&*bytes).unwrap()
}

/// What every statistics must fulfil.
fn check(stats: &RoutingStats) {
    let events = || stats.by_event.values().chain([&stats.other_events]);
    assert_eq!(sum(events().map(|event| event.proxy_requests)), stats.proxy_requests);
    assert_eq!(sum(events().map(|event| event.proxy_ticks)), stats.proxy_ticks);
    let all = events().flat_map(|event| [event.proxy_requests, event.proxy_ticks]);
    for Proxied { total, successful, failed } in all {
        assert_eq!(total, successful + failed);
    }
    for (requests, average, percentiles) in events()
        .map(|event| (event.proxy_requests, event.average_response_time, event.percentiles))
        .chain([(stats.proxy_requests, stats.average_response_time, stats.percentiles)])
    {
        assert_eq!(percentiles.is_some(), requests.successful > 0);
        assert_eq!(average.is_some(), requests.successful > 0);
        let Some(Percentiles { p50, p90, p99, p999, max }) = percentiles else { continue };
        assert!(p50 <= p90 && p90 <= p99 && p99 <= p999 && p999 <= max);
        assert!(average.unwrap() <= max);
    }
}

#[test]
fn sums_hold_whatever_is_counted() {
    let _bound = crate::bound::bound();
    let start = Instant::now();
    for seed in 0..50 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut counts = RoutingCounts::new(start);
        for _ in 0..rng.u32(0..2_000) {
            let event = event(&format!("event:{}", rng.usize(0..2 * ROUTED_EVENTS)));
            if rng.bool() {
                counts.request(&event, Duration::from_nanos(rng.u64(..)), rng.bool());
            } else {
                counts.tick(&event, rng.bool());
            }
        }
        check(&counts.stats(start + MS * rng.u32(0..1_000)));
    }
}

#[test]
fn a_percentile_is_at_most_a_sixteenth_above_the_exact_one_and_never_below() {
    let _bound = crate::bound::bound();
    let start = Instant::now();
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut counts = RoutingCounts::new(start);
        let (mut sorted, most) = (Vec::new(), rng.u32(1..46));
        for _ in 0..rng.usize(1..3_000) {
            let below = 1 << rng.u32(0..=most);
            let took = Duration::from_nanos(rng.u64(..below));
            sorted.push(took);
            counts.request(&event(if rng.bool() { "a" } else { "b" }), took, true);
        }
        sorted.sort();
        let got = counts.stats(start).percentiles.unwrap();
        let exact = |per_mille: usize| sorted[(sorted.len() * per_mille).div_ceil(1_000) - 1];
        let pairs = [(got.p50, 500), (got.p90, 900), (got.p99, 990), (got.p999, 999)];
        for (got, per_mille) in pairs {
            let exact = exact(per_mille);
            let micros = exact.as_nanos().div_ceil(1_000) as u64;
            let most = Duration::from_micros(micros + micros / 16);
            assert!(exact <= got && got <= most, "seed {seed}: {exact:?} {got:?} {most:?}");
        }
        assert_eq!(got.max, *sorted.last().unwrap());
        let average = sorted.iter().sum::<Duration>() / sorted.len() as u32;
        assert_eq!(counts.stats(start).average_response_time, Some(average));
    }
}

#[test]
fn nothing_at_all_a_day_and_more_than_a_day_are_times_like_others() {
    let _bound = crate::bound::bound();
    let start = Instant::now();
    let longest = LONGEST_TIMEOUT;
    let almost = longest.checked_sub(Duration::from_nanos(1)).unwrap();
    for (took, seen) in [
        (Duration::ZERO, Duration::ZERO),
        (Duration::from_nanos(1), Duration::from_nanos(1)),
        (almost, almost),
        (longest, longest),
        (longest + Duration::from_nanos(1), longest),
        (Duration::MAX, longest),
    ] {
        let mut counts = RoutingCounts::new(start);
        counts.request(&event("a"), took, true);
        let stats = counts.stats(start);
        let all = Percentiles { p50: seen, p90: seen, p99: seen, p999: seen, max: seen };
        assert_eq!(stats.percentiles, Some(all), "{took:?}");
        assert_eq!(stats.average_response_time, Some(seen), "{took:?}");
    }
}

#[test]
fn only_requests_that_succeed_have_times() {
    let _bound = crate::bound::bound();
    let stats = some_stats();
    check(&stats);
    assert_eq!(stats.proxy_requests, Proxied { total: 11, successful: 10, failed: 1 });
    assert_eq!(stats.average_response_time, Some(Duration::from_micros(5_500)));
    assert_eq!(stats.percentiles.unwrap().max, 10 * MS);
    assert_eq!(stats.by_event["seen"].proxy_ticks, Proxied { total: 3, successful: 2, failed: 1 });
    assert_eq!(stats.by_event["seen"].percentiles, None);
    assert_eq!(stats.other_events, ProxiedEvent::default());
}

#[test]
fn events_beyond_the_limit_are_counted_together() {
    let _bound = crate::bound::bound();
    let start = Instant::now();
    let mut counts = RoutingCounts::new(start);
    for n in 1..=ROUTED_EVENTS + 1 {
        counts.request(&event(&n.to_string()), MS, true);
        let stats = counts.stats(start);
        let others = stats.other_events.proxy_requests.total;
        if n <= ROUTED_EVENTS {
            assert_eq!((stats.by_event.len(), others), (n, 0));
        } else {
            assert_eq!((stats.by_event.len(), others), (ROUTED_EVENTS, 1));
        }
    }
    counts.tick(&event("one more"), false);
    counts.tick(&event("1"), true);
    let stats = counts.stats(start);
    check(&stats);
    assert_eq!(stats.by_event["1"].proxy_ticks.successful, 1, "a known event stays known");
    assert_eq!(stats.other_events.proxy_ticks.failed, 1);
    assert!(!stats.by_event.contains_key("one more"));
}

#[test]
fn a_reset_begins_again() {
    let _bound = crate::bound::bound();
    let start = Instant::now();
    let mut counts = RoutingCounts::new(start);
    counts.request(&event("a"), MS, true);
    counts.tick(&event("b"), false);
    let before = counts.stats(start + 5_000 * MS);
    counts.reset(start + 5_000 * MS);
    let after = counts.stats(start + 6_000 * MS);
    assert_eq!(before.uptime, 5_000 * MS);
    assert_eq!(after, RoutingStats { uptime: 1_000 * MS, ..RoutingStats::default() });
}

#[test]
fn the_rate_is_a_number_at_any_uptime() {
    let _bound = crate::bound::bound();
    let start = Instant::now();
    let mut counts = RoutingCounts::new(start);
    for ok in [true, true, false] {
        counts.request(&event("a"), MS, ok);
    }
    let rates = |now| {
        let stats = counts.stats(now);
        [stats.requests_per_second, stats.by_event["a"].requests_per_second].map(f64::to_bits)
    };
    assert_eq!(rates(start), [0.0, 0.0].map(f64::to_bits));
    assert_eq!(rates(start + 2_000 * MS), [1.5, 1.5].map(f64::to_bits));
    counts.reset(start + MS);
    assert_eq!(counts.stats(start).uptime, Duration::ZERO, "an instant before the reset");
}

#[test]
fn serialised_names_and_units_are_those_of_the_seed() {
    let _bound = crate::bound::bound();
    let mut stats = some_stats();
    stats.average_response_time = Some(Duration::from_micros(18_300));
    stats.uptime = Duration::from_millis(7_200_500);
    let none = r#"{"total": 0, "failed": 0, "successful": 0}"#;
    let ticks = r#"{"total": 3, "failed": 1, "successful": 2}"#;
    let requests = r#"{"total": 11, "failed": 1, "successful": 10}"#;
    let times = r#"{"max": 10.0, "p50": 5.119, "p90": 9.215, "p99": 10.0, "p999": 10.0}"#;
    let event = |ticks, times, requests, rate, average| {
        format!(
            "{{\"proxyTicks\": {ticks}, \"percentiles\": {times}, \"proxyRequests\": {requests}, \
             \"requestsPerSecond\": {rate}, \"averageResponseTime\": {average}}}"
        )
    };
    let seen = event(ticks, "null", none, "0.0", "null");
    let user_get = event(none, times, requests, "5.5", "5.5");
    let by_event = format!("{{\"seen\": {seen}, \"user:get\": {user_get}}}");
    let others = event(none, "null", none, "0.0", "null");
    let rest = format!(
        "\"proxyTicks\": {ticks}, \"otherEvents\": {others}, \"percentiles\": {times}, \
         \"proxyRequests\": {requests}, \"requestsPerSecond\": 5.5, \"averageResponseTime\": 18.3}}"
    );
    let all = format!("{{\"uptime\": 7200.5, \"byEvent\": {by_event}, {rest}");
    assert_eq!(to_value(&stats).unwrap().to_string(), all);
}

#[test]
fn statistics_come_back_as_they_were() {
    let _bound = crate::bound::bound();
    for stats in [RoutingStats::default(), some_stats()] {
        assert_eq!(through_cbor(&stats), stats);
    }
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..10_000 {
        let mut stats = some_stats();
        let month = 30 * 24 * 60 * 60 * 1_000_000_000;
        let [uptime, average] = [(); 2].map(|()| Duration::from_nanos(rng.u64(..month)));
        (stats.uptime, stats.average_response_time) = (uptime, Some(average));
        let back = through_cbor(&stats);
        for (was, is) in [(uptime, back.uptime), (average, back.average_response_time.unwrap())] {
            assert!(was.abs_diff(is) <= Duration::from_nanos(1), "{was:?} {is:?}");
        }
    }
}

#[test]
fn what_the_seed_serialises_is_read_and_what_is_no_time_is_not() {
    let _bound = crate::bound::bound();
    let read = |value: Value| match value {
        Value::Map(map) => from_map::<RoutingStats>(&map).ok(),
        other => panic!("{other}"),
    };
    let requests = crate::value!({ "total": 1500, "successful": 1480, "failed": 20 });
    let seed =
        crate::value!({ "proxyRequests": requests, "uptime": 7200, "averageResponseTime": 18.3 });
    let stats = read(seed).unwrap();
    assert_eq!(stats.proxy_requests, Proxied { total: 1_500, successful: 1_480, failed: 20 });
    assert_eq!(stats.uptime, Duration::from_secs(7_200));
    assert_eq!(stats.average_response_time, Some(Duration::from_micros(18_300)));
    assert_eq!(stats.percentiles, None);
    for number in [-1.0, f64::NAN, f64::INFINITY, f64::MAX] {
        assert_eq!(read(crate::value!({ "uptime": number })), None, "{number}");
        assert_eq!(read(crate::value!({ "averageResponseTime": number })), None, "{number}");
    }
}

#[test]
fn a_person_sees_a_short_table() {
    let _bound = crate::bound::bound();
    let mut stats = some_stats();
    stats.uptime = Duration::from_millis(7_200_500);
    assert_eq!(
        stats.to_string(),
        "\
up 2h 0m 0s, 5.5 requests/s
p50 5.1ms, p90 9.2ms, p99 10.0ms, p99.9 10.0ms, max 10.0ms
                  requests  failed     ticks  failed average     p99     max
(all)                   11       1         3       1   5.5ms  10.0ms  10.0ms
user:get                11       1         0       0   5.5ms  10.0ms  10.0ms
seen                     0       0         3       1       -       -       -"
    );
}

#[test]
fn the_table_stays_short_and_narrow_whatever_events_are_called() {
    let _bound = crate::bound::bound();
    let start = Instant::now();
    let mut counts = RoutingCounts::new(start);
    for n in 0..ROUTED_EVENTS + 5 {
        counts.request(&event(&format!("\u{202e}{n}{}", "x".repeat(1_000))), LONGEST_TIMEOUT, true);
    }
    let text = counts.stats(start + LONGEST_TIMEOUT).to_string();
    assert!(text.starts_with("up 1d 0h 0m, 0.0 requests/s\n"), "{text}");
    assert!(text.contains("\n(other events)"), "{text}");
    assert!(text.ends_with("\nand 248 more events"), "{text}");
    assert!(
        text.lines().count() <= 14 && text.lines().all(|line| line.chars().count() < 80),
        "{text}"
    );
    assert!(!text.contains('\u{202e}'), "{text}");
}
