//! The state machine of a circuit breaker, as a value: time is handed in. It must not know what is sent.

use std::time::{Duration, Instant};

use crate::config::LONGEST_TIMEOUT;

/// What is counted, and for how long it is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Settings {
    /// So many failures in a row open it; at least one.
    pub(super) threshold: u32,
    /// So long nothing is sent. A probe that is not heard of for as long is given up.
    pub(super) open_for: Duration,
}

/// One circuit.
#[derive(Debug)]
pub(super) struct Circuit {
    settings: Settings,
    state: State,
    /// Failures since the last success, those of probes among them.
    failures: u32,
    /// The code of the last of them.
    last: String,
    /// Counts the changes of state. What was let through in an earlier round says nothing about this one.
    round: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    /// Nothing is sent until `until`.
    Open {
        since: Instant,
        until: Instant,
    },
    /// One request was let through, and is waited for until `until`.
    Probing {
        since: Instant,
        until: Instant,
    },
}

/// The leave to send one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pass {
    round: u64,
    /// It is a probe.
    pub(super) is_probe: bool,
}

/// Why nothing is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    /// For how long it has been open.
    pub(super) open: Duration,
    /// When it may be worth asking again; for a probe that is out, at the latest.
    pub(super) left: Duration,
    /// A probe is out.
    pub(super) probing: bool,
    pub(super) failures: u32,
    pub(super) last: String,
}

/// What became of a request that was let through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict<'a> {
    Success,
    /// With the code of its error.
    Failure(&'a str),
    /// Nothing that would say anything about the target.
    Nothing,
}

/// A change of state that a verdict has brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Opened { failures: u32 },
    Closed,
}

impl Circuit {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, state: State::Closed, failures: 0, last: String::new(), round: 0 }
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings
    }

    /// Whether nothing would be sent now.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => false,
            State::Open { until, .. } | State::Probing { until, .. } => now < until,
        }
    }

    /// Asks to send one request.
    pub(super) fn ask(&mut self, now: Instant) -> Result<Pass, Refusal> {
        let (since, until, probing) = match self.state {
            State::Closed => return Ok(Pass { round: self.round, is_probe: false }),
            State::Open { since, until } => (since, until, false),
            State::Probing { since, until } => (since, until, true),
        };
        if now < until {
            return Err(self.refusal(now.saturating_duration_since(since), until - now, probing));
        }
        self.turn(State::Probing { since, until: self.later(now) });
        Ok(Pass { round: self.round, is_probe: true })
    }

    fn refusal(&self, open: Duration, left: Duration, probing: bool) -> Refusal {
        Refusal { open, left, probing, failures: self.failures, last: self.last.clone() }
    }

    /// Hears what became of it.
    pub(super) fn hear(
        &mut self,
        pass: Pass,
        verdict: Verdict<'_>,
        now: Instant,
    ) -> Option<Change> {
        if pass.round != self.round {
            return None;
        }
        match (self.state, verdict) {
            (State::Closed, Verdict::Nothing) | (State::Open { .. }, _) => None,
            (State::Closed, Verdict::Success) => {
                self.failures = 0;
                None
            }
            (State::Closed, Verdict::Failure(code)) => {
                self.count(code);
                (self.failures >= self.settings.threshold).then(|| self.open(now, now))
            }
            (State::Probing { .. }, Verdict::Success) => {
                self.failures = 0;
                self.turn(State::Closed);
                Some(Change::Closed)
            }
            (State::Probing { since, .. }, Verdict::Failure(code)) => {
                self.count(code);
                Some(self.open(since, now))
            }
            // The next request is the probe.
            (State::Probing { since, .. }, Verdict::Nothing) => {
                self.turn(State::Open { since, until: now });
                None
            }
        }
    }

    fn count(&mut self, code: &str) {
        self.failures = self.failures.saturating_add(1);
        code.clone_into(&mut self.last);
    }

    fn open(&mut self, since: Instant, now: Instant) -> Change {
        self.turn(State::Open { since, until: self.later(now) });
        Change::Opened { failures: self.failures }
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.round += 1;
    }

    fn later(&self, now: Instant) -> Instant {
        now.checked_add(self.settings.open_for.min(LONGEST_TIMEOUT)).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const FAILURE: Verdict<'_> = Verdict::Failure("REQUEST_TIMEOUT");

    fn circuit(threshold: u32) -> Circuit {
        Circuit::new(Settings { threshold, open_for: MINUTE })
    }

    /// Lets one request through and says what became of it.
    fn pass(circuit: &mut Circuit, verdict: Verdict<'_>, now: Instant) -> Option<Change> {
        let pass = circuit.ask(now).unwrap();
        circuit.hear(pass, verdict, now)
    }

    fn opened(threshold: u32, now: Instant) -> Circuit {
        let mut circuit = circuit(threshold);
        let changes: Vec<_> =
            (0..threshold).filter_map(|_| pass(&mut circuit, FAILURE, now)).collect();
        assert_eq!(changes, [Change::Opened { failures: threshold }]);
        circuit
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let _bound = crate::bound::bound();
        let now = Instant::now();
        let mut circuit = circuit(5);
        for _ in 0..3 {
            (0..4).for_each(|_| assert_eq!(pass(&mut circuit, FAILURE, now), None));
            assert_eq!(pass(&mut circuit, Verdict::Success, now), None);
        }
        (0..4).for_each(|_| assert_eq!(pass(&mut circuit, FAILURE, now), None));
        assert_eq!(pass(&mut circuit, Verdict::Nothing, now), None);
        assert!(!circuit.refuses(now));
        assert_eq!(pass(&mut circuit, FAILURE, now), Some(Change::Opened { failures: 5 }));
        assert!(circuit.refuses(now));
    }

    #[test]
    fn it_refuses_while_open_and_lets_one_probe_through_then() {
        let _bound = crate::bound::bound();
        let began = Instant::now();
        let mut circuit = opened(5, began);
        let refused = circuit.ask(began + MINUTE / 4).unwrap_err();
        assert_eq!((refused.open, refused.left), (MINUTE / 4, MINUTE * 3 / 4));
        assert_eq!((refused.failures, refused.probing), (5, false));
        assert_eq!(refused.last, "REQUEST_TIMEOUT");
        assert!(circuit.refuses(began + Duration::from_nanos(59_999_999_999)));
        let probe = circuit.ask(began + MINUTE).unwrap();
        assert!(probe.is_probe);
        let refused = circuit.ask(began + MINUTE).unwrap_err();
        assert_eq!((refused.open, refused.left, refused.probing), (MINUTE, MINUTE, true));
        let closed = circuit.hear(probe, Verdict::Success, began + MINUTE);
        assert_eq!(closed, Some(Change::Closed));
        assert!(!circuit.ask(began + MINUTE).unwrap().is_probe);
        assert_eq!(pass(&mut circuit, FAILURE, began + MINUTE), None, "it counts from nothing");
    }

    #[test]
    fn a_probe_that_fails_opens_it_for_as_long_again() {
        let _bound = crate::bound::bound();
        let began = Instant::now();
        let mut circuit = opened(5, began);
        let again = pass(&mut circuit, Verdict::Failure("NO_MONEY"), began + MINUTE);
        assert_eq!(again, Some(Change::Opened { failures: 6 }));
        let refused = circuit.ask(began + MINUTE * 3 / 2).unwrap_err();
        assert_eq!((refused.open, refused.left), (MINUTE * 3 / 2, MINUTE / 2));
        assert_eq!((refused.failures, &*refused.last), (6, "NO_MONEY"));
        assert!(circuit.ask(began + MINUTE * 2).unwrap().is_probe);
    }

    #[test]
    fn a_probe_that_says_nothing_or_never_ends_makes_room_for_another() {
        let _bound = crate::bound::bound();
        let began = Instant::now();
        let mut circuit = opened(1, began);
        assert_eq!(pass(&mut circuit, Verdict::Nothing, began + MINUTE), None);
        let lost = circuit.ask(began + MINUTE).unwrap();
        assert!(lost.is_probe && circuit.refuses(began + MINUTE));
        let second = circuit.ask(began + MINUTE * 2).unwrap();
        assert!(second.is_probe);
        // What is heard of the first after that changes nothing.
        for verdict in [FAILURE, Verdict::Nothing, Verdict::Success] {
            assert_eq!(circuit.hear(lost, verdict, began + MINUTE * 2), None);
        }
        assert!(circuit.refuses(began + MINUTE * 2));
        assert_eq!(
            circuit.hear(second, Verdict::Success, began + MINUTE * 2),
            Some(Change::Closed)
        );
    }

    #[test]
    fn what_was_sent_before_it_opened_says_nothing_afterwards() {
        let _bound = crate::bound::bound();
        let began = Instant::now();
        let mut circuit = circuit(2);
        let early = [(); 4].map(|()| circuit.ask(began).unwrap());
        assert_eq!(circuit.hear(early[0], FAILURE, began), None);
        let opened = circuit.hear(early[1], FAILURE, began);
        assert_eq!(opened, Some(Change::Opened { failures: 2 }));
        assert_eq!(circuit.hear(early[2], Verdict::Success, began), None);
        assert!(circuit.refuses(began));
        assert_eq!(pass(&mut circuit, Verdict::Success, began + MINUTE), Some(Change::Closed));
        assert_eq!(circuit.hear(early[3], FAILURE, began + MINUTE), None);
        assert_eq!(pass(&mut circuit, FAILURE, began + MINUTE), None, "the first since it closed");
    }

    /// Against a model that knows only the rules: what is sent, when, and whether one probe at most is out.
    #[test]
    fn no_history_lets_more_than_one_probe_out_or_sends_while_open() {
        let _bound = crate::bound::bound();
        for seed in 0..500 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut now = Instant::now();
            let mut circuit = circuit(rng.u32(1..4));
            let mut passes: Vec<Pass> = Vec::new();
            let mut blocked_until: Option<Instant> = None;
            for _ in 0..300 {
                now += Duration::from_secs(rng.u64(0..20));
                if rng.bool() {
                    let asked = circuit.ask(now);
                    assert_eq!(asked.is_err(), blocked_until.is_some_and(|until| now < until));
                    if let Ok(pass) = asked {
                        assert_eq!(pass.is_probe, blocked_until.is_some(), "seed {seed}");
                        if pass.is_probe {
                            blocked_until = Some(now + MINUTE);
                        }
                        passes.push(pass);
                    }
                } else if !passes.is_empty() {
                    let pass = passes.swap_remove(rng.usize(..passes.len()));
                    let verdict = [Verdict::Success, FAILURE, Verdict::Nothing][rng.usize(..3)];
                    let current = pass.round == circuit.round;
                    match circuit.hear(pass, verdict, now) {
                        Some(Change::Opened { .. }) => blocked_until = Some(now + MINUTE),
                        Some(Change::Closed) => blocked_until = None,
                        None if current && pass.is_probe => blocked_until = Some(now),
                        None => {}
                    }
                }
            }
        }
    }
}
