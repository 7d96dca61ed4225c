//! Whether a configuration makes sense. Every field has its line here; nothing else is judged.

use std::time::Duration;

use crate::config::{Config, HOST_BYTES, LONGEST_TIMEOUT, Limits};
use crate::error::{Error, ErrorKind};

/// The length word of a frame leaves this many bits.
const LARGEST_MESSAGE: usize = 0x3fff_ffff;

/// # Errors
/// `INVALID_ARGUMENT`, naming the first field that makes no sense.
pub(super) fn check(config: &Config) -> Result<(), Error> {
    for (name, duration) in durations(config) {
        if duration.is_zero() {
            return invalid(format!("{name} is zero"));
        }
        if duration > LONGEST_TIMEOUT {
            return invalid(format!("{name} is {duration:?}, more than {LONGEST_TIMEOUT:?}"));
        }
    }
    if config.heartbeat_interval > config.liveness_timeout / 2 {
        return invalid(format!(
            "heartbeat_interval is {:?}: more than half of liveness_timeout, {:?}, loses live peers",
            config.heartbeat_interval, config.liveness_timeout
        ));
    }
    if config.reconnect_first > config.reconnect_longest {
        return invalid("reconnect_first is longer than reconnect_longest".to_owned());
    }
    check_limits(&config.limits)
}

/// # Errors
/// `INVALID_ARGUMENT` for a name that no peer would take.
pub(super) fn check_host(host: Option<&str>) -> Result<(), Error> {
    match host.map_or(0, str::len) {
        len if len > HOST_BYTES => {
            invalid(format!("the host has {len} bytes, at most {HOST_BYTES} are told"))
        }
        _ => Ok(()),
    }
}

fn durations(config: &Config) -> [(&'static str, Duration); 10] {
    let give_up = config.reconnect_give_up.unwrap_or(LONGEST_TIMEOUT);
    [
        ("request_timeout", config.request_timeout),
        ("connect_timeout", config.connect_timeout),
        ("handshake_timeout", config.handshake_timeout),
        ("heartbeat_interval", config.heartbeat_interval),
        ("liveness_timeout", config.liveness_timeout),
        ("write_stall", config.write_stall),
        ("reconnect_first", config.reconnect_first),
        ("reconnect_longest", config.reconnect_longest),
        ("reconnect_give_up", give_up),
        ("stop_bound", config.stop_bound),
    ]
}

fn check_limits(limits: &Limits) -> Result<(), Error> {
    for (name, count) in counts(limits) {
        if count == 0 {
            return invalid(format!("limits.{name} is zero"));
        }
    }
    if limits.message_bytes > LARGEST_MESSAGE {
        return invalid(format!(
            "limits.message_bytes is {}, more than {LARGEST_MESSAGE}",
            limits.message_bytes
        ));
    }
    if limits.node_bytes / 2 < limits.message_bytes {
        return invalid(
            "limits.node_bytes is less than twice message_bytes: one message would fill it"
                .to_owned(),
        );
    }
    if limits.tick_window_bytes > limits.tick_window_most_bytes {
        return invalid("limits.tick_window_bytes is more than tick_window_most_bytes".to_owned());
    }
    if limits.workers_min > limits.workers_max {
        return invalid("limits.workers_min is more than workers_max".to_owned());
    }
    Ok(())
}

fn counts(limits: &Limits) -> [(&'static str, u64); 15] {
    [
        ("message_bytes", limits.message_bytes as u64),
        ("link_queue_bytes", limits.link_queue_bytes as u64),
        ("calls_per_link", u64::from(limits.calls_per_link)),
        ("calls_per_router", u64::from(limits.calls_per_router)),
        ("calls_pending", limits.calls_pending as u64),
        ("tick_window_bytes", limits.tick_window_bytes),
        ("tick_window_most_bytes", limits.tick_window_most_bytes),
        ("node_bytes", limits.node_bytes as u64),
        ("links", limits.links as u64),
        ("handshakes", limits.handshakes as u64),
        ("workers_min", limits.workers_min as u64),
        ("workers_max", limits.workers_max as u64),
        ("worker_queue_jobs", limits.worker_queue_jobs as u64),
        ("worker_queue_bytes", limits.worker_queue_bytes as u64),
        ("events_per_subscriber", limits.events_per_subscriber as u64),
    ]
}

fn invalid(why: String) -> Result<(), Error> {
    Err(Error::new(ErrorKind::InvalidArgument, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl Fn(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        let error = check(&config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.message().to_owned()
    }

    #[test]
    fn the_defaults_make_sense() {
        let _bound = crate::bound::bound();
        check(&Config::default()).unwrap();
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_named() {
        let _bound = crate::bound::bound();
        assert!(refused(|c| c.request_timeout = Duration::ZERO).contains("request_timeout"));
        assert!(refused(|c| c.liveness_timeout = Duration::MAX).contains("liveness_timeout"));
        assert!(refused(|c| c.heartbeat_interval = c.liveness_timeout).contains("heartbeat"));
        assert!(refused(|c| c.reconnect_first = Duration::from_secs(60)).contains("reconnect"));
        assert!(refused(|c| c.limits.links = 0).contains("limits.links"));
        assert!(refused(|c| c.limits.message_bytes = 1 << 31).contains("message_bytes"));
        assert!(refused(|c| c.limits.node_bytes = 1 << 20).contains("node_bytes"));
        assert!(refused(|c| c.limits.workers_min = 300).contains("workers_min"));
        assert!(refused(|c| c.limits.tick_window_bytes = 1 << 40).contains("tick_window"));
    }
}
