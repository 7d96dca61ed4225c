//! The statistics of a router as one line. As a table they print themselves.

use std::time::Duration;

use threadmesh::{Proxied, RoutingStats};

/// What a router answers its statistics to.
pub(crate) const EVENT: &str = "router:stats";

/// One line.
pub(crate) fn line(stats: &RoutingStats) -> String {
    let times = stats.percentiles.as_ref();
    format!(
        "requests {}, ticks {}, {:.1}/s, mean {}, p50 {}, p90 {}, p99 {}, max {}, up {:.0} s",
        proxied(stats.proxy_requests),
        proxied(stats.proxy_ticks),
        stats.requests_per_second,
        millis(stats.average_response_time),
        millis(times.map(|times| times.p50)),
        millis(times.map(|times| times.p90)),
        millis(times.map(|times| times.p99)),
        millis(times.map(|times| times.max)),
        stats.uptime.as_secs_f64(),
    )
}

fn proxied(counts: Proxied) -> String {
    let Proxied { total, successful, failed, .. } = counts;
    format!("{total} ({successful} ok, {failed} failed)")
}

fn millis(time: Option<Duration>) -> String {
    time.map_or("-".to_owned(), |time| format!("{:.2} ms", time.as_secs_f64() * 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_and_how_long_and_what_there_is_not_is_a_dash() {
        let nothing = "requests 0 (0 ok, 0 failed), ticks 0 (0 ok, 0 failed), 0.0/s, mean -, p50 -, p90 -, p99 -, max -, up 0 s";
        assert_eq!(line(&RoutingStats::default()), nothing);
        let told = serde_json::json!({
            "proxyRequests": { "total": 3, "successful": 2, "failed": 1 },
            "proxyTicks": { "total": 5, "successful": 5, "failed": 0 },
            "uptime": 2.25, "averageResponseTime": 18.3, "requestsPerSecond": 1.5,
            "percentiles": { "p50": 1.5, "p90": 20, "p99": 20, "p999": 20, "max": 35.25 },
        });
        let stats: RoutingStats = serde_json::from_value(told).unwrap();
        let much = "requests 3 (2 ok, 1 failed), ticks 5 (5 ok, 0 failed), 1.5/s, mean 18.30 ms, p50 1.50 ms, p90 20.00 ms, p99 20.00 ms, max 35.25 ms, up 2 s";
        assert_eq!(line(&stats), much);
    }
}
