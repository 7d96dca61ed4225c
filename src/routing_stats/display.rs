//! Statistics of a router as a person reads them in a terminal. It must not be parsed: serde is for programs.

use std::fmt;
use std::time::Duration;

use super::{Percentiles, Proxied, ProxiedEvent, RoutingStats};

/// Events that are shown: more is no short block, and who wants all of them has `by_event`.
const SHOWN: usize = 8;
/// Columns for a name: with the numbers beside it a line stays below 80.
const NAME: usize = 16;

impl fmt::Display for RoutingStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "up {}, {:.1} requests/s", Span(self.uptime), self.requests_per_second)?;
        if let Some(times) = &self.percentiles {
            write!(f, "\n{times}")?;
        }
        write!(
            f,
            "\n{:NAME$} {:>9} {:>7} {:>9} {:>7}",
            "", "requests", "failed", "ticks", "failed"
        )?;
        write!(f, " {:>7} {:>7} {:>7}", "average", "p99", "max")?;
        write!(f, "{}", Row("(all)", &self.whole()))?;
        let mut events: Vec<(&String, &ProxiedEvent)> = self.by_event.iter().collect();
        events.sort_by_key(|(_, event)| std::cmp::Reverse(event.messages()));
        for (name, event) in events.iter().take(SHOWN) {
            write!(f, "{}", Row(&cut(name), event))?;
        }
        if self.other_events.messages() > 0 {
            write!(f, "{}", Row("(other events)", &self.other_events))?;
        }
        if events.len() > SHOWN {
            write!(f, "\nand {} more events", events.len() - SHOWN)?;
        }
        Ok(())
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99, p999, max } = self;
        write!(f, "p50 {p50:.1?}, p90 {p90:.1?}, p99 {p99:.1?}, p99.9 {p999:.1?}, max {max:.1?}")
    }
}

impl RoutingStats {
    /// All events, as one.
    fn whole(&self) -> ProxiedEvent {
        ProxiedEvent {
            proxy_requests: self.proxy_requests,
            proxy_ticks: self.proxy_ticks,
            average_response_time: self.average_response_time,
            percentiles: self.percentiles,
            requests_per_second: self.requests_per_second,
        }
    }
}

impl ProxiedEvent {
    fn messages(&self) -> u64 {
        self.proxy_requests.total.saturating_add(self.proxy_ticks.total)
    }
}

/// A line of the table, with the line break before it.
struct Row<'a>(&'a str, &'a ProxiedEvent);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, event) = self;
        write!(f, "\n{name:NAME$}")?;
        for Proxied { total, failed, .. } in [event.proxy_requests, event.proxy_ticks] {
            write!(f, " {total:>9} {failed:>7}")?;
        }
        let slow = event.percentiles.map(|times| [times.p99, times.max]);
        for time in
            [event.average_response_time, slow.map(|[p99, _]| p99), slow.map(|[_, max]| max)]
        {
            match time {
                Some(time) => write!(f, " {time:>7.1?}")?,
                None => write!(f, " {:>7}", "-")?,
            }
        }
        Ok(())
    }
}

/// How long something has run: as precise as it is still of interest.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        if days > 0 {
            write!(f, "{days}d {}h {}m", hours % 24, minutes % 60)
        } else if hours > 0 {
            write!(f, "{hours}h {}m {}s", minutes % 60, seconds % 60)
        } else if minutes > 0 {
            write!(f, "{minutes}m {}s", seconds % 60)
        } else {
            write!(f, "{:.1?}", self.0)
        }
    }
}

/// A name that fits its column and turns no terminal upside down: it comes from the network.
fn cut(name: &str) -> String {
    let shown: String = name.escape_debug().take(NAME + 1).collect();
    match shown.char_indices().nth(NAME) {
        None => shown,
        Some(_) => shown.chars().take(NAME - 1).chain(['…']).collect(),
    }
}
