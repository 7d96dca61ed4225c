//! [`Retry`]: again, after a pause, as long as it can help and does no harm.

use std::time::Duration;

use super::budget::Budget;
use super::rule::{Place, Tally, ends_in_time};
use super::target::{Parcel, Target};
use crate::config::{LONGEST_TIMEOUT, RETRY_ATTEMPTS, RETRY_FIRST_PAUSE, RETRY_LONGEST_PAUSE};
use crate::error::{Error, ErrorKind};
use crate::node::{Handle, Reply};
use crate::node_event::PolicyStep;
use crate::payload::Payload;

/// How requests are repeated: at most 3 attempts in all, with pauses that double from 1 s to at most 30 s, each drawn anew
/// between nothing and that (*full jitter*, so that many callers do not come back at once). No pause follows the last attempt.
///
/// **It repeats only what certainly did not run**, and where repeating can help, unless the call says more:
/// [`Call::idempotent`](crate::Call::idempotent) also after a timeout or a lost link, [`Call::retry_if`](crate::Call::retry_if) after
/// whatever the program likes. The rule is [`Target::may_repeat`].
///
/// Put around a target by [`Target::retry`], any number of times; clones share the [`Budget`], if one is set.
///
/// # Errors
/// That of the last attempt, with the [`execution`](Error::execution) of all attempts together. `CLOSED` when the node stops in a pause;
/// `USER_CODE_PANICKED` when the test of `retry_if` panics.
///
/// # Blocking
/// As long as all attempts and the pauses between them, each attempt with its own timeout: by default at most 3 × 10 s and 3 s. At most for
/// the time given to [`within`](Self::within) and 5 ms, and inside a handler for what is left of the time of the request being handled.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use threadmesh::{Node, Request, Retry, Target};
/// # let server = Node::builder().id("users").bind("127.0.0.1:0").start()?;
/// # server.on_request("name", |request: Request<u64>| Ok(format!("user {}", request.data)))?;
/// # let node = Node::builder().id("web").start()?;
/// # node.connect(server.local_addr()?)?;
///
/// let retry = Retry::new().attempts(5).first_pause(Duration::from_millis(50));
/// // Reading a name twice does no harm, so a timeout may be repeated as well.
/// let call = node.to("users").idempotent().timeout(Duration::from_secs(2));
/// let name: String = call.retry(&retry).request("name", &7)?;
/// assert_eq!(name, "user 7");
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a retry does nothing until it is put around a call"]
pub struct Retry {
    attempts: u32,
    first_pause: Duration,
    longest_pause: Duration,
    within: Option<Duration>,
    budget: Option<Budget>,
}

impl Retry {
    /// At most 3 attempts, pauses from 1 s doubling to 30 s, no bound for the whole but those of the attempts, no budget.
    pub fn new() -> Self {
        Self {
            attempts: RETRY_ATTEMPTS,
            first_pause: RETRY_FIRST_PAUSE,
            longest_pause: RETRY_LONGEST_PAUSE,
            within: None,
            budget: None,
        }
    }

    /// How often a request is sent at most, the first time among them: 3 unless set. Zero counts as one: never again.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The longest that the first pause can be: 1 s unless set. It doubles from pause to pause.
    pub fn first_pause(mut self, pause: Duration) -> Self {
        self.first_pause = pause;
        self
    }

    /// The longest that any pause can be: 30 s unless set.
    pub fn longest_pause(mut self, pause: Duration) -> Self {
        self.longest_pause = pause;
        self
    }

    /// How long everything may take together, pauses included; an attempt gets what is left, at most. When the next pause would
    /// not end in time, the last error comes back at once. Longer than 24 h counts as 24 h.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// Repeats only what this budget pays for. When it is used up, the last error comes back.
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// The longest that the pause before this attempt can be; the first repeat is attempt 2.
    fn longest_before(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(2);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.first_pause.saturating_mul(factor).min(self.longest_pause).min(LONGEST_TIMEOUT)
    }

    /// The pause before this attempt, where `chance` is in 0..1.
    fn pause_before(&self, attempt: u32, chance: f64) -> Duration {
        self.longest_before(attempt).mul_f64(chance)
    }

    fn pays(&self) -> bool {
        self.budget.as_ref().is_none_or(Budget::take)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::new()
    }
}

/// A target with a [`Retry`] around it, made by [`Target::retry`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent until a request is made"]
pub struct Retried<T> {
    target: T,
    retry: Retry,
}

impl<T: Target> Retried<T> {
    pub(super) fn new(target: T, retry: Retry) -> Self {
        Self { target, retry }
    }

    /// The pause before this attempt; `None` when it is not to be made.
    ///
    /// # Errors
    /// `USER_CODE_PANICKED`.
    fn next(
        &self,
        attempt: u32,
        error: &Error,
        parcel: &Parcel,
    ) -> Result<Option<Duration>, Error> {
        if attempt > self.retry.attempts
            || !self.target.may_repeat(error, Place::Again)?
            || self.handle().open().is_err()
        {
            return Ok(None);
        }
        let pause = self.retry.pause_before(attempt, fastrand::f64());
        if !ends_in_time(pause, parcel.deadline()) {
            return Ok(None);
        }
        if !self.retry.pays() {
            let event = parcel.event().clone();
            self.handle().policy_step(PolicyStep::BudgetExhausted { event });
            return Ok(None);
        }
        Ok(Some(pause))
    }
}

impl<T: Target> Target for Retried<T> {
    fn send(&self, parcel: &Parcel) -> Result<Reply<Payload>, Error> {
        let parcel = parcel.within(self.retry.within);
        if let Some(budget) = &self.retry.budget {
            parcel.pay(budget, self.handle());
        }
        let mut tally = Tally::new();
        let mut attempt = 1;
        loop {
            let error = match self.target.send(&parcel) {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            tally.note(&error);
            attempt += 1;
            let pause = match self.next(attempt, &error, &parcel) {
                Ok(Some(pause)) => pause,
                Ok(None) => return Err(tally.end(error)),
                Err(panicked) => return Err(tally.end(panicked)),
            };
            if let Err(closed) = self.handle().pause(pause) {
                return Err(tally.end(cut_short(&closed, error)));
            }
            // Woken late. What the attempt before says tells more than that there is no time for another.
            if !ends_in_time(Duration::ZERO, parcel.deadline()) {
                return Err(tally.end(error));
            }
            let event = parcel.event().clone();
            self.handle().policy_step(PolicyStep::Repeated { event, attempt, pause, error });
        }
    }

    fn handle(&self) -> &Handle {
        self.target.handle()
    }

    fn may_repeat(&self, error: &Error, place: Place) -> Result<bool, Error> {
        self.target.may_repeat(error, place)
    }
}

/// What is said when the node stops during a pause.
fn cut_short(closed: &Error, last: Error) -> Error {
    let message = format!("{}, while a request paused after {last}", closed.message());
    let error = Error::new(ErrorKind::Closed, message);
    match last.peer() {
        Some(peer) => error.with_peer(peer.clone()).with_source(last),
        None => error.with_source(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_drawn_from_nothing_on() {
        let _bound = crate::bound::bound();
        let retry = Retry::new();
        let longest: Vec<u64> = (2..10).map(|n| retry.longest_before(n).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(retry.longest_before(u32::MAX), Duration::from_secs(30));
        let endless = Retry::new().longest_pause(Duration::MAX).first_pause(Duration::MAX);
        assert_eq!(endless.longest_before(200), LONGEST_TIMEOUT);
        for seed in 0..1_000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let attempt = rng.u32(2..12);
            let pause = retry.pause_before(attempt, rng.f64());
            assert!(pause < retry.longest_before(attempt), "seed {seed}");
        }
        assert_eq!(retry.pause_before(3, 0.0), Duration::ZERO);
        assert_eq!(retry.pause_before(3, 0.5), Duration::from_secs(1));
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let _bound = crate::bound::bound();
        let Retry { attempts, first_pause, longest_pause, within, budget } = Retry::default();
        assert_eq!((attempts, first_pause.as_secs(), longest_pause.as_secs()), (3, 1, 30));
        assert!(within.is_none() && budget.is_none());
        assert_eq!(Retry::new().attempts(0).attempts, 1);
    }
}
