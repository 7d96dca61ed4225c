//! Counts what a router forwards, message by message. It runs on the loop and must not lock, ask a clock, or allocate for a message: an event
//! is given its place once, and its histogram with its first answer.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::histogram::Histogram;
use super::{Proxied, ProxiedEvent, RoutingStats};
use crate::config::ROUTED_EVENTS;
use crate::event::EventName;

/// What a router has forwarded since an instant. The whole is summed up when it is asked for, so that a message is counted in one place.
#[derive(Debug)]
pub(crate) struct RoutingCounts {
    since: Instant,
    /// At most [`ROUTED_EVENTS`]: the names come from the network.
    by_event: HashMap<Box<str>, Counts>,
    /// All further events.
    others: Counts,
}

/// Of one event, or of several.
#[derive(Clone, Default, Debug)]
struct Counts {
    requests: Tally,
    ticks: Tally,
    /// Of requests that succeeded.
    times: Histogram,
}

#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    successful: u64,
    failed: u64,
}

impl RoutingCounts {
    /// Nothing, from `now` on.
    pub(crate) fn new(now: Instant) -> Self {
        Self { since: now, by_event: HashMap::new(), others: Counts::default() }
    }

    /// A forwarded request has ended: answered without an error, if `ok`, after it `took` so long here.
    pub(crate) fn request(&mut self, event: &EventName, took: Duration, ok: bool) {
        let counts = self.of(event);
        counts.requests.count(ok);
        if ok {
            counts.times.record(took);
        }
    }

    /// A forwarded tick was placed, if `ok`, or found nobody.
    pub(crate) fn tick(&mut self, event: &EventName, ok: bool) {
        self.of(event).ticks.count(ok);
    }

    /// All that was counted until `now`.
    pub(crate) fn stats(&self, now: Instant) -> RoutingStats {
        let uptime = now.saturating_duration_since(self.since);
        let mut whole = self.others.clone();
        let mut by_event = BTreeMap::new();
        for (name, counts) in &self.by_event {
            whole.add(counts);
            by_event.insert(name.to_string(), counts.stats(uptime));
        }
        let sums = whole.stats(uptime);
        RoutingStats {
            proxy_requests: sums.proxy_requests,
            proxy_ticks: sums.proxy_ticks,
            uptime,
            average_response_time: sums.average_response_time,
            percentiles: sums.percentiles,
            requests_per_second: sums.requests_per_second,
            by_event,
            other_events: self.others.stats(uptime),
        }
    }

    /// Forgets everything, the events as well, and begins again at `now`.
    pub(crate) fn reset(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    fn of(&mut self, event: &EventName) -> &mut Counts {
        let name = event.as_str();
        if self.by_event.len() < ROUTED_EVENTS && !self.by_event.contains_key(name) {
            self.by_event.insert(name.into(), Counts::default());
        }
        self.by_event.get_mut(name).unwrap_or(&mut self.others)
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.requests.add(other.requests);
        self.ticks.add(other.ticks);
        self.times.add(&other.times);
    }

    fn stats(&self, uptime: Duration) -> ProxiedEvent {
        let proxy_requests = self.requests.proxied();
        ProxiedEvent {
            proxy_requests,
            proxy_ticks: self.ticks.proxied(),
            average_response_time: self.times.average(),
            percentiles: self.times.percentiles(),
            requests_per_second: if uptime.is_zero() {
                0.0
            } else {
                proxy_requests.total as f64 / uptime.as_secs_f64()
            },
        }
    }
}

impl Tally {
    fn count(&mut self, ok: bool) {
        let counter = if ok { &mut self.successful } else { &mut self.failed };
        *counter = counter.saturating_add(1);
    }

    fn add(&mut self, other: Self) {
        self.successful = self.successful.saturating_add(other.successful);
        self.failed = self.failed.saturating_add(other.failed);
    }

    fn proxied(self) -> Proxied {
        Proxied::of(self.successful, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_end_and_do_not_wrap() {
        let _bound = crate::bound::bound();
        let start = Instant::now();
        let mut counts = RoutingCounts::new(start);
        let (full, other) = (EventName::new("full").unwrap(), EventName::new("other").unwrap());
        counts.of(&full).requests = Tally { successful: u64::MAX - 1, failed: 0 };
        for ok in [true, true, false] {
            counts.request(&full, Duration::ZERO, ok);
            counts.request(&other, Duration::ZERO, ok);
        }
        let stats = counts.stats(start);
        for requests in [stats.proxy_requests, stats.by_event["full"].proxy_requests] {
            assert_eq!(requests, Proxied { total: u64::MAX, successful: u64::MAX, failed: 0 });
        }
        let requests = stats.by_event["other"].proxy_requests;
        assert_eq!(requests, Proxied { total: 3, successful: 2, failed: 1 });
    }
}
