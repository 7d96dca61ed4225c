//! What a router has forwarded, and how that went: counted on its loop, read by the program. It must not know how a
//! message is forwarded, nor ask a clock: instants are handed in.

mod counts;
mod display;
mod histogram;
mod numbers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use counts::RoutingCounts;

/// What a router has forwarded since it started, or since the last
/// [`reset_routing_stats`](crate::Router::reset_routing_stats). Got from [`Router::routing_stats`](crate::Router::routing_stats).
///
/// A snapshot: it does not change while the router goes on. What is still under way is not in it, so that all numbers fit each other: in
/// every [`Proxied`] `total` is `successful + failed`, and the sum over `by_event` and `other_events` is `proxy_requests` and `proxy_ticks`.
/// What the router refused to take up (`BUSY`, `TOO_LARGE`) is not counted here but in [`Handle::dropped`](crate::Handle::dropped).
/// Requests and ticks that are for the router itself, or that its own program sends, are not counted. The default is a router that has
/// forwarded nothing.
///
/// # As text
/// `Display` is a table for a terminal, less than 80 columns wide: the whole, and the eight busiest events.
///
/// # With serde
/// Names are those of JavaScript (`proxyRequests`, `averageResponseTime`), as the dashboards of Zeronode know them. `uptime` is a number of
/// seconds, all other times are milliseconds, both with fractions; what is `None` is null. What is missing when it is read has its default,
/// and reading gives back each time as it was to within a nanosecond, if it is shorter than a month.
///
/// # Example
/// ```
/// use threadmesh::Router;
///
/// let router = Router::builder().start()?;
/// let stats = router.routing_stats()?;
/// assert_eq!(stats.proxy_requests.total, 0);
/// assert_eq!(stats.average_response_time, None);
/// println!("{stats}");
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct RoutingStats {
    /// Requests that were forwarded and have ended.
    pub proxy_requests: Proxied,
    /// Ticks that were forwarded.
    pub proxy_ticks: Proxied,
    /// For how long this was counted. Serialised in seconds.
    #[serde(with = "numbers::seconds")]
    pub uptime: Duration,
    /// How long the requests took that succeeded, on the average, from their arrival at the router to the answer; `None` when there was none.
    /// Serialised in milliseconds.
    #[serde(with = "numbers::milliseconds")]
    pub average_response_time: Option<Duration>,
    /// How long they took, from the quick ones to the slowest; `None` when there was none.
    pub percentiles: Option<Percentiles>,
    /// Requests that ended in a second, well or not, on the average of the uptime; 0 while that is zero.
    pub requests_per_second: f64,
    /// The same by event. The first 256 events since the start or the last reset have an entry each.
    pub by_event: BTreeMap<String, ProxiedEvent>,
    /// The same of all further events together. They have a field of their own, because any name in `by_event` may be that of an event.
    pub other_events: ProxiedEvent,
}

/// What a router has forwarded of one event: a part of [`RoutingStats`], whose fields are explained there. The default is nothing.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct ProxiedEvent {
    /// Requests of this event that were forwarded and have ended.
    pub proxy_requests: Proxied,
    /// Ticks of this event that were forwarded.
    pub proxy_ticks: Proxied,
    /// How long its requests took that succeeded, on the average; `None` when there was none. Serialised in milliseconds.
    #[serde(with = "numbers::milliseconds")]
    pub average_response_time: Option<Duration>,
    /// How long they took, from the quick ones to the slowest; `None` when there was none.
    pub percentiles: Option<Percentiles>,
    /// Its requests that ended in a second, well or not, on the average of the router's uptime; 0 while that is zero.
    pub requests_per_second: f64,
}

/// How many were forwarded. At 2^64 - 1 counting ends. The default is none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Proxied {
    /// All that have ended: `successful + failed`.
    pub total: u64,
    /// Those that were answered by a handler without an error or, as ticks, placed with somebody.
    pub successful: u64,
    /// All others: handlers' errors, nobody who matches, lost links, timeouts, and what the caller gave up.
    pub failed: u64,
}

impl Proxied {
    /// The three numbers always fit each other, also where they end.
    fn of(successful: u64, failed: u64) -> Self {
        let failed = failed.min(u64::MAX - successful);
        Self { total: successful + failed, successful, failed }
    }
}

/// How long forwarded requests took that succeeded. Serialised in milliseconds.
///
/// Each is a time within which that part of them was answered: never less than the exact percentile (the time of one of the requests, by
/// nearest rank), and more by a sixteenth at most, after rounding up to a microsecond. `max` is exact. What took longer than 24 h counts
/// as 24 h, which is the longest that a call may wait.
///
/// These five, because each answers a question: what is usual (`p50`), what is not rare (`p90`), what a page of many requests meets every time
/// (`p99`, `p999`), and what the worst was (`max`). There is no least one: it tells how fast the network is on a good day.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Percentiles {
    /// Half of them took no longer.
    #[serde(with = "numbers::milliseconds")]
    pub p50: Duration,
    /// Nine in ten took no longer.
    #[serde(with = "numbers::milliseconds")]
    pub p90: Duration,
    /// 99 in 100 took no longer.
    #[serde(with = "numbers::milliseconds")]
    pub p99: Duration,
    /// 999 in 1,000 took no longer.
    #[serde(with = "numbers::milliseconds")]
    pub p999: Duration,
    /// None took longer.
    #[serde(with = "numbers::milliseconds")]
    pub max: Duration,
}
