//! What a router has forwarded, and how that went: counted on its loop, read by the program.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a router has forwarded since it started or since the last
/// [`reset_routing_stats`](crate::Router::reset_routing_stats).
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RoutingStats {
    /// Requests that were forwarded.
    pub proxy_requests: Proxied,
    /// Ticks that were forwarded.
    pub proxy_ticks: Proxied,
    /// For how long this was counted.
    pub uptime: Duration,
    /// How long the requests took that succeeded, on the average; `None` when there was none.
    pub average_response_time: Option<Duration>,
    /// How long they took, less roughly, but not exactly.
    pub percentiles: Option<Percentiles>,
    /// Requests that were forwarded in a second, on the average of the uptime.
    pub requests_per_second: f64,
    /// The same by event.
    pub by_event: BTreeMap<String, Proxied>,
}

/// How many were forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Proxied {
    /// All that have ended.
    pub total: u64,
    /// Those that were answered or, as ticks, placed.
    pub successful: u64,
    /// All others.
    pub failed: u64,
}

/// How long forwarded requests took that succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Percentiles {
    /// Half of them took no longer.
    pub p50: Duration,
    /// Nine in ten took no longer.
    pub p90: Duration,
    /// 99 in 100 took no longer.
    pub p99: Duration,
}
