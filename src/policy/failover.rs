//! [`Failover`]: to the next of an ordered list of targets, as long as it can help and does no harm.

use std::fmt;
use std::time::Duration;

use super::rule::{Place, Tally, ends_in_time};
use super::target::{Parcel, Target};
use crate::error::Error;
use crate::node::{Handle, Reply};
use crate::node_event::PolicyStep;
use crate::payload::Payload;

/// An ordered list of targets: a request goes to the first, and to the next when that one fails. Each target has its own
/// terms, timeouts among them, and may itself be a policy.
///
/// **It goes on only when the request certainly did not run**, unless the target that failed says more:
/// [`Call::idempotent`](crate::Call::idempotent) also after a timeout or a lost link, [`Call::retry_if`](crate::Call::retry_if) after
/// whatever the program likes. It does not go on after the caller's own mistakes, which would be the same anywhere. A policy around it may
/// repeat what all of its targets allow.
///
/// # Errors
/// That of the target that was tried last, with the [`execution`](Error::execution) of all together; also when the node stops.
/// `USER_CODE_PANICKED` when the test of `retry_if` panics.
///
/// # Blocking
/// As long as the targets take, one after the other and without a pause: at most the sum of their times. At most for the time given to
/// [`within`](Self::within) and 5 ms, and inside a handler for what is left of the time of the request being handled.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use threadmesh::{Failover, Node, Request, Target};
/// # let server = Node::builder().id("users-west").bind("127.0.0.1:0").start()?;
/// # server.on_request("name", |request: Request<u64>| Ok(format!("user {}", request.data)))?;
/// # let node = Node::builder().id("web").start()?;
/// # node.connect(server.local_addr()?)?;
///
/// // Reading a name twice does no harm, so a timeout in the east is no reason to give up.
/// let east = node.to("users-east").idempotent().timeout(Duration::from_secs(3));
/// let west = node.to("users-west").idempotent().timeout(Duration::from_secs(5));
/// let name: String = Failover::first(east).then(west).request("name", &7)?;
/// assert_eq!(name, "user 7");
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[must_use = "nothing is sent until a request is made"]
pub struct Failover<'a> {
    first: Box<dyn Target + 'a>,
    others: Vec<Box<dyn Target + 'a>>,
    within: Option<Duration>,
}

impl<'a> Failover<'a> {
    /// A list of one target.
    pub fn first(target: impl Target + 'a) -> Self {
        Self { first: Box::new(target), others: Vec::new(), within: None }
    }

    /// Adds a target to the end of the list.
    pub fn then(mut self, target: impl Target + 'a) -> Self {
        self.others.push(Box::new(target));
        self
    }

    /// How long everything may take together; a target gets what is left, at most. Longer than 24 h counts as 24 h. Unless it
    /// is set only the targets' own times count, and in a handler what is left of the time of the request being handled.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// Whether the next target is to be tried after this error of `target`.
    fn goes_on(&self, target: &dyn Target, error: &Error, parcel: &Parcel) -> Result<bool, Error> {
        let in_time = ends_in_time(Duration::ZERO, parcel.deadline());
        Ok(in_time && self.handle().open().is_ok() && target.may_repeat(error, Place::Elsewhere)?)
    }
}

impl Target for Failover<'_> {
    fn send(&self, parcel: &Parcel) -> Result<Reply<Payload>, Error> {
        let parcel = parcel.within(self.within);
        let mut tally = Tally::new();
        let mut target: &dyn Target = &*self.first;
        let mut others = self.others.iter().zip(2..);
        loop {
            let error = match target.send(&parcel) {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            tally.note(&error);
            let Some((next, place)) = others.next() else { return Err(tally.end(error)) };
            match self.goes_on(target, &error, &parcel) {
                Ok(true) => target = &**next,
                Ok(false) => return Err(tally.end(error)),
                Err(panicked) => return Err(tally.end(panicked)),
            }
            let event = parcel.event().clone();
            self.handle().policy_step(PolicyStep::FailedOver { event, target: place, error });
        }
    }

    fn handle(&self) -> &Handle {
        self.first.handle()
    }

    /// Whoever repeats begins at the first target again, so all must allow it.
    fn may_repeat(&self, error: &Error, place: Place) -> Result<bool, Error> {
        for target in std::iter::once(&self.first).chain(&self.others) {
            if !target.may_repeat(error, place)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl fmt::Debug for Failover<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Failover");
        out.field("targets", &(1 + self.others.len())).field("within", &self.within);
        out.finish_non_exhaustive()
    }
}
