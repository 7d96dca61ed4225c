//! The statistics of a router as lines. They come as data of another process, maybe of another version: what is not there is not shown.

use std::fmt::Write as _;

use serde_json::Value as Json;

/// What a router answers its statistics to.
pub(crate) const EVENT: &str = "router:stats";

/// How many events a table shows.
const MOST_EVENTS: usize = 20;

/// One line.
pub(crate) fn line(stats: &Json) -> String {
    format!(
        "requests {}, ticks {}, {}/s, mean {}, p50 {}, p90 {}, p99 {}, up {}",
        proxied(&stats["proxyRequests"]),
        proxied(&stats["proxyTicks"]),
        stats["requestsPerSecond"].as_f64().map_or("-".to_owned(), |rate| format!("{rate:.1}")),
        millis(&stats["averageResponseTime"]),
        millis(&stats["percentiles"]["p50"]),
        millis(&stats["percentiles"]["p90"]),
        millis(&stats["percentiles"]["p99"]),
        seconds(&stats["uptime"]),
    )
}

/// Many lines, for a terminal.
pub(crate) fn table(router: &str, stats: &Json) -> String {
    let mut text = format!("router {router}, up {}\n\n", seconds(&stats["uptime"]));
    // Writing into a text cannot fail.
    let _ = writeln!(text, "requests  {}", proxied(&stats["proxyRequests"]));
    let _ = writeln!(text, "ticks     {}", proxied(&stats["proxyTicks"]));
    let rate = stats["requestsPerSecond"].as_f64().unwrap_or(0.0);
    let _ = writeln!(text, "rate      {rate:.1} requests/s");
    let _ = writeln!(text, "mean      {}", millis(&stats["averageResponseTime"]));
    let of = &stats["percentiles"];
    let _ = writeln!(
        text,
        "p50 / p90 / p99  {} / {} / {}",
        millis(&of["p50"]),
        millis(&of["p90"]),
        millis(&of["p99"])
    );
    let Some(events) = stats["byEvent"].as_object().filter(|events| !events.is_empty()) else {
        return text;
    };
    text.push_str("\nby event\n");
    for (event, counts) in events.iter().take(MOST_EVENTS) {
        let shown = if counts["total"].is_number() { proxied(counts) } else { counts.to_string() };
        let _ = writeln!(text, "  {event:24} {shown}");
    }
    if events.len() > MOST_EVENTS {
        let _ = writeln!(text, "  and {} more", events.len() - MOST_EVENTS);
    }
    text
}

fn proxied(counts: &Json) -> String {
    let count = |key: &str| counts[key].as_u64().map_or("-".to_owned(), |count| count.to_string());
    format!("{} ({} ok, {} failed)", count("total"), count("successful"), count("failed"))
}

/// A number of milliseconds, or seconds and nanoseconds as serde writes a duration.
fn millis(time: &Json) -> String {
    let number = time.as_f64().or_else(|| parts(time).map(|seconds| seconds * 1000.0));
    number.map_or("-".to_owned(), |millis| format!("{millis:.2} ms"))
}

fn seconds(time: &Json) -> String {
    let number = time.as_f64().or_else(|| parts(time));
    number.map_or("-".to_owned(), |seconds| format!("{seconds:.0} s"))
}

fn parts(time: &Json) -> Option<f64> {
    Some(time["secs"].as_f64()? + time["nanos"].as_f64().unwrap_or(0.0) / 1e9)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_in_either_form_and_what_is_missing_is_a_dash() {
        let stats = json!({
            "proxyRequests": { "total": 3, "successful": 2, "failed": 1 },
            "uptime": { "secs": 2, "nanos": 500_000_000 },
            "averageResponseTime": 18.3,
            "percentiles": { "p50": { "secs": 0, "nanos": 1_500_000 } },
        });
        let shown = "requests 3 (2 ok, 1 failed), ticks - (- ok, - failed), -/s, mean 18.30 ms, p50 1.50 ms, p90 -, p99 -, up 2 s";
        assert_eq!(line(&stats), shown);
        assert!(table("r", &stats).starts_with("router r, up 2 s\n"));
    }

    #[test]
    fn anything_at_all_can_be_shown() {
        for odd in [
            json!(null),
            json!(3),
            json!([]),
            json!({ "byEvent": { "a": 1, "b": { "total": 2 } } }),
        ] {
            assert!(line(&odd).starts_with("requests "));
            assert!(table("r", &odd).contains("ticks"));
        }
    }
}
