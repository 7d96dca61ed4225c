//! [`Breaker`]: nothing more is sent for a while to what keeps failing.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::circuit::{Change, Circuit, Pass, Refusal, Settings, Verdict};
use super::rule::{Place, asked, is_the_callers};
use super::target::{Parcel, Target};
use crate::config::{BREAKER_OPEN, BREAKER_THRESHOLD};
use crate::error::{Error, ErrorKind};
use crate::node::{Handle, Reply};
use crate::node_event::PolicyStep;
use crate::payload::Payload;

/// A circuit breaker: after 5 failures in a row it is open for 60 s, in which requests are refused with `CIRCUIT_OPEN` and
/// nothing is sent. Then one request is let through as a probe: it closes the breaker when it succeeds, and opens it again when it
/// fails. A success in between sets the count to zero.
///
/// Every error counts except the caller's own mistakes and its own node's end: `INVALID_*`, `ENCODE`, `TOO_LARGE`, `CANCELLED`,
/// `CLOSED`, `WOULD_DEADLOCK`, `USER_CODE_PANICKED`. That a peer is stopping is `BUSY`, and counts; a peer of an earlier version may say
/// `CLOSED`, which counts when it names the peer and this node goes on.
///
/// **Errors that handlers return count, too**: five "no such user" in a row open it, because from outside a service that fails looks like
/// one that refuses. [`counts`](Self::counts) changes that.
///
/// Put before a target by [`Target::guard`]. Clones share the state, so one breaker stands before every call to the same service, from
/// however many threads. Setting something makes a breaker of its own, closed, that shares with nobody yet.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use threadmesh::{Breaker, Error, ErrorKind, Node, Target};
///
/// let node = Node::builder().id("web").start()?;
/// // Handlers that say no are no trouble here: only those errors count which say that the service cannot be reached.
/// let is_trouble = |error: &Error| match error.kind() {
///     ErrorKind::NodeNotFound | ErrorKind::ConnectionLost => true,
///     ErrorKind::RequestTimeout | ErrorKind::Busy => true,
///     _ => false,
/// };
/// let breaker = Breaker::new("users").threshold(2).open_for(Duration::from_secs(30)).counts(is_trouble);
/// let users = node.to("users").guard(&breaker);
/// for kind in [ErrorKind::NodeNotFound, ErrorKind::NodeNotFound, ErrorKind::CircuitOpen] {
///     assert_eq!(users.request::<String, _>("name", &7).unwrap_err().kind(), kind);
/// }
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Clone)]
pub struct Breaker(Arc<Shared>);

struct Shared {
    name: String,
    counts: Option<Counts>,
    circuit: Mutex<Circuit>,
}

/// Which errors count as failures.
type Counts = Arc<dyn Fn(&Error) -> bool + Send + Sync>;

impl Breaker {
    /// A breaker that opens for 60 s after 5 failures in a row. Its name stands in errors, events and the log.
    pub fn new(name: impl Into<String>) -> Self {
        let settings = Settings { threshold: BREAKER_THRESHOLD, open_for: BREAKER_OPEN };
        Self::with(name.into(), None, settings)
    }

    /// How many failures in a row open it: 5 unless set. Zero counts as one.
    pub fn threshold(self, failures: u32) -> Self {
        let settings = Settings { threshold: failures.max(1), ..self.settings() };
        Self::with(self.0.name.clone(), self.0.counts.clone(), settings)
    }

    /// How long it stays open before it lets a probe through: 60 s unless set, at most 24 h. A probe that has not ended after as long
    /// again is given up, and the next request is the probe.
    pub fn open_for(self, time: Duration) -> Self {
        let settings = Settings { open_for: time, ..self.settings() };
        Self::with(self.0.name.clone(), self.0.counts.clone(), settings)
    }

    /// Says which errors count as failures, in place of the rule above. Errors that do not count change nothing.
    ///
    /// # Threads
    /// `test` runs on the thread that makes the request. A panic of it is `USER_CODE_PANICKED`, and counts neither way.
    pub fn counts(self, test: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        Self::with(self.0.name.clone(), Some(Arc::new(test)), self.settings())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether a request would be refused now: it is open, or its probe is out.
    pub fn is_open(&self) -> bool {
        self.circuit().refuses(Instant::now())
    }

    fn with(name: String, counts: Option<Counts>, settings: Settings) -> Self {
        let circuit = Mutex::new(Circuit::new(settings));
        Self(Arc::new(Shared { name, counts, circuit }))
    }

    fn settings(&self) -> Settings {
        self.circuit().settings()
    }

    /// Held for a few comparisons, never while anything is sent or told. Nothing that panics runs under it.
    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.0.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks to send one request.
    fn enter<'a>(&'a self, handle: &'a Handle) -> Result<Entered<'a>, Error> {
        let asked = self.circuit().ask(Instant::now());
        match asked {
            Ok(pass) => {
                if pass.is_probe {
                    handle.policy_step(PolicyStep::BreakerHalfOpened { name: self.name().into() });
                }
                Ok(Entered { breaker: self, handle, pass: Some(pass) })
            }
            Err(refusal) => {
                handle.count_breaker_refusal();
                Err(self.refused(&refusal))
            }
        }
    }

    fn refused(&self, refusal: &Refusal) -> Error {
        let Refusal { open, left, probing, failures, last } = refusal;
        let next = if *probing {
            format!("a probe is out and decides within {left:.1?}")
        } else {
            format!("a probe may go in {left:.1?}")
        };
        let message = format!(
            "nothing was sent: the breaker {:?} has been open for {open:.1?}, after {failures} failures in a row, the last {last}; \
             {next}. Ask another target, or again later",
            self.name(),
        );
        Error::new(ErrorKind::CircuitOpen, message)
    }

    fn judge(&self, error: &Error, handle: &Handle) -> Result<bool, Error> {
        match &self.0.counts {
            None => Ok(!is_the_callers(error) && !is_own_end(error, handle)),
            Some(test) => asked("Breaker::counts", error, || test(error)),
        }
    }
}

/// Whether the error is that this node stops: also of a request that it has not sent, which names the peer it was for.
fn is_own_end(error: &Error, handle: &Handle) -> bool {
    // A pause of no time fails once the stop has begun.
    error.kind() == ErrorKind::Closed && handle.pause(Duration::ZERO).is_err()
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// One request on its way through a breaker. Dropped by a panic, it gives a probe back.
struct Entered<'a> {
    breaker: &'a Breaker,
    handle: &'a Handle,
    /// Until it was heard of.
    pass: Option<Pass>,
}

impl Entered<'_> {
    /// Tells the breaker what became of the request.
    fn leave(mut self, result: Result<Reply<Payload>, Error>) -> Result<Reply<Payload>, Error> {
        match &result {
            Ok(_) => self.hear(Verdict::Success),
            Err(error) if self.breaker.judge(error, self.handle)? => {
                self.hear(Verdict::Failure(error.code()));
            }
            Err(_) => self.hear(Verdict::Nothing),
        }
        result
    }

    fn hear(&mut self, verdict: Verdict<'_>) {
        let Some(pass) = self.pass.take() else { return };
        let mut circuit = self.breaker.circuit();
        let change = circuit.hear(pass, verdict, Instant::now());
        let open_for = circuit.settings().open_for;
        drop(circuit);
        let name = || self.breaker.name().to_owned();
        match change {
            None => {}
            Some(Change::Opened { failures }) => {
                self.handle.policy_step(PolicyStep::BreakerOpened {
                    name: name(),
                    failures,
                    open_for,
                });
            }
            Some(Change::Closed) => {
                self.handle.policy_step(PolicyStep::BreakerClosed { name: name() });
            }
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.hear(Verdict::Nothing);
    }
}

/// A target with a [`Breaker`] before it, made by [`Target::guard`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent until a request is made"]
pub struct Guarded<T> {
    target: T,
    breaker: Breaker,
}

impl<T: Target> Guarded<T> {
    pub(super) fn new(target: T, breaker: Breaker) -> Self {
        Self { target, breaker }
    }
}

impl<T: Target> Target for Guarded<T> {
    fn send(&self, parcel: &Parcel) -> Result<Reply<Payload>, Error> {
        // Asked before the lock is taken: one that another thread held when the process forked is never given back.
        self.handle().open()?;
        let entered = self.breaker.enter(self.handle())?;
        entered.leave(self.target.send(parcel))
    }

    fn handle(&self) -> &Handle {
        self.target.handle()
    }

    fn may_repeat(&self, error: &Error, place: Place) -> Result<bool, Error> {
        self.target.may_repeat(error, place)
    }
}
