//! Whether the peer of a link is alive: keepalive when nothing else was written, silence, writes
//! that make no progress (a slow consumer), probes. Pure: it must not write or close anything.

use std::time::{Duration, Instant};

use crate::config::{Config, STALL_BYTES_PER_SECOND};
use crate::proto::planted::{Planted, has};

/// An echo is evidence of life for this long, and a probe is not repeated within it.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);

/// A peer that announces a shorter liveness than three of these would have this node do nothing but
/// write heartbeats.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct Liveness {
    /// How long nothing may be written before a heartbeat is.
    heartbeat: Duration,
    created_at: Instant,
    last_received_at: Instant,
    /// When the kernel last took a byte.
    last_sent_at: Instant,
    /// A `Write` was put out and the shell has not written everything yet.
    writing: bool,
    /// When the kernel last had everything or enough, or the first byte since was staged.
    progress_at: Instant,
    bytes_since_progress: usize,
    /// The stamp of a heartbeat that waits for its echo; 0 if there is none.
    echo: u64,
    /// The peer has answered a heartbeat since it was last probed.
    echoed: bool,
    probed_at: Option<Instant>,
}

/// What the clock says of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Alive,
    /// Nothing was written for a while: a heartbeat is due.
    Quiet,
    /// The peer has sent nothing for too long.
    Silent,
    /// The peer has not read for too long.
    Stalled,
}

impl Liveness {
    pub(crate) fn new(heartbeat: Duration, now: Instant) -> Self {
        Self {
            heartbeat,
            created_at: now,
            last_received_at: now,
            last_sent_at: now,
            writing: false,
            progress_at: now,
            bytes_since_progress: 0,
            echo: 0,
            echoed: false,
            probed_at: None,
        }
    }

    /// The connection stands.
    pub(crate) fn connected(&mut self, now: Instant) {
        (self.created_at, self.last_received_at, self.last_sent_at) = (now, now, now);
    }

    pub(crate) fn created_at(&self) -> Instant {
        self.created_at
    }

    /// The peer's hello says after how much silence it takes this node for dead.
    pub(crate) fn adopt(&mut self, config: &Config, peer_liveness: Duration) {
        self.heartbeat = config.heartbeat_interval.min((peer_liveness / 3).max(SHORTEST_HEARTBEAT));
    }

    pub(crate) fn received(&mut self, now: Instant) {
        self.last_received_at = now;
    }

    /// The kernel took bytes; `all` of what was staged, or not. So few that the rest would take for
    /// ever are no progress.
    pub(crate) fn sent(&mut self, len: usize, all: bool, timeout: Duration, now: Instant) {
        self.last_sent_at = now;
        self.bytes_since_progress = self.bytes_since_progress.saturating_add(len);
        let enough = timeout.as_millis() * u128::from(STALL_BYTES_PER_SECOND) / 1_000;
        if all || self.bytes_since_progress as u128 >= enough || has(Planted::CreepForgiven) {
            (self.progress_at, self.bytes_since_progress) = (now, 0);
        }
        self.writing = !all;
    }

    /// Something is staged. True if the shell is to be asked to write, which it was not yet.
    pub(crate) fn begin_writing(&mut self, now: Instant) -> bool {
        if self.writing {
            return false;
        }
        (self.writing, self.progress_at, self.bytes_since_progress) = (true, now, 0);
        true
    }

    pub(crate) fn is_writing(&self) -> bool {
        self.writing
    }

    /// This node was suspended: the peer gets the whole time again.
    pub(crate) fn resume(&mut self, now: Instant) {
        (self.last_received_at, self.progress_at) = (now, now);
    }

    /// When [`verdict`](Self::verdict) may change if nothing happens.
    pub(crate) fn next_at(&self, config: &Config) -> Instant {
        let quiet = self.last_sent_at + self.heartbeat;
        let next = quiet.min(self.last_received_at + config.liveness_timeout);
        if self.writing { next.min(self.progress_at + config.write_stall) } else { next }
    }

    pub(crate) fn verdict(&self, config: &Config, now: Instant) -> Verdict {
        let silent = now >= self.last_received_at + config.liveness_timeout;
        if silent && !has(Planted::SilenceForgiven) {
            return Verdict::Silent;
        }
        let stalled = self.writing && now >= self.progress_at + config.write_stall;
        if stalled && !has(Planted::StallForgiven) {
            return Verdict::Stalled;
        }
        if now >= self.last_sent_at + self.heartbeat { Verdict::Quiet } else { Verdict::Alive }
    }

    /// Begins the next interval without a written byte.
    pub(crate) fn heartbeat_queued(&mut self, now: Instant) {
        self.last_sent_at = now;
    }

    /// The peer probes this node with that stamp.
    pub(crate) fn probed(&mut self, stamp: u64) {
        self.echo = stamp;
    }

    /// The stamp that the next heartbeat returns; 0 if there is none.
    pub(crate) fn take_echo(&mut self) -> u64 {
        std::mem::take(&mut self.echo)
    }

    /// Whether the peer is to be probed now. A probe costs it an answer, and a flood of them would
    /// look like one of its own: many connections that claim one id probe its owner once.
    pub(crate) fn probe(&mut self, now: Instant) -> bool {
        if self.probed_at.is_some_and(|at| now < at + PROBE_INTERVAL) {
            return false;
        }
        (self.probed_at, self.echoed) = (Some(now), false);
        true
    }

    /// The peer has answered a probe.
    pub(crate) fn echoed(&mut self) {
        self.echoed = true;
    }

    /// Whether the peer has answered a probe, or sent anything since.
    pub(crate) fn is_alive_since(&self, since: Instant) -> bool {
        self.echoed || self.last_received_at > since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn config() -> Config {
        Config {
            heartbeat_interval: 2 * SECOND,
            liveness_timeout: 10 * SECOND,
            write_stall: 3 * SECOND,
            ..Config::default()
        }
    }

    #[test]
    fn a_quiet_link_wants_a_heartbeat_and_a_silent_one_is_lost() {
        let (config, now) = (config(), Instant::now());
        let mut liveness = Liveness::new(config.heartbeat_interval, now);
        assert_eq!(liveness.next_at(&config), now + 2 * SECOND);
        assert_eq!(liveness.verdict(&config, now + SECOND), Verdict::Alive);
        assert_eq!(liveness.verdict(&config, now + 2 * SECOND), Verdict::Quiet);
        liveness.heartbeat_queued(now + 9 * SECOND);
        assert_eq!(liveness.next_at(&config), now + 10 * SECOND);
        assert_eq!(liveness.verdict(&config, now + 10 * SECOND), Verdict::Silent);
        liveness.resume(now + 10 * SECOND);
        assert_eq!(liveness.verdict(&config, now + 10 * SECOND), Verdict::Alive);
    }

    #[test]
    fn bytes_that_trickle_are_no_progress() {
        let (config, now) = (config(), Instant::now());
        for (len, verdict) in [(1, Verdict::Stalled), (3 * 1_024, Verdict::Alive)] {
            let mut liveness = Liveness::new(config.heartbeat_interval, now);
            assert!(liveness.begin_writing(now) && !liveness.begin_writing(now));
            liveness.sent(len, false, config.write_stall, now + 2 * SECOND);
            assert_eq!(liveness.verdict(&config, now + 3 * SECOND), verdict, "{len}");
        }
        let mut liveness = Liveness::new(config.heartbeat_interval, now);
        liveness.begin_writing(now);
        liveness.sent(1, true, config.write_stall, now + 2 * SECOND);
        assert!(!liveness.is_writing());
    }

    #[test]
    fn a_peer_with_a_short_liveness_gets_heartbeats_that_often() {
        let (config, now) = (config(), Instant::now());
        for (peer, interval) in [(30, 10), (1, 10), (600, 200), (60_000, 2_000)] {
            let mut liveness = Liveness::new(config.heartbeat_interval, now);
            liveness.adopt(&config, Duration::from_millis(peer));
            assert_eq!(liveness.next_at(&config), now + Duration::from_millis(interval), "{peer}");
        }
    }

    #[test]
    fn probes_are_not_repeated_at_once_and_any_byte_answers_them() {
        let now = Instant::now();
        let mut liveness = Liveness::new(SECOND, now);
        assert!(liveness.probe(now) && !liveness.probe(now));
        assert!(!liveness.is_alive_since(now));
        liveness.received(now + SECOND);
        assert!(liveness.is_alive_since(now));
        assert!(liveness.probe(now + SECOND));
        assert!(!liveness.is_alive_since(now + SECOND));
        liveness.echoed();
        assert!(liveness.is_alive_since(now + SECOND));
        liveness.probed(7);
        assert_eq!((liveness.take_echo(), liveness.take_echo()), (7, 0));
    }
}
