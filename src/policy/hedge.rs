//! [`Hedge`]: a second copy of a request that is not answered in time, and the first answer counts.

use std::time::{Duration, Instant};

use super::budget::Budget;
use super::rule::{Place, Tally};
use super::target::{Parcel, Target};
use crate::config::{CALLER_GRACE, HEDGE_AFTER, HEDGE_COPIES, HEDGE_RATIO, LONGEST_TIMEOUT};
use crate::error::{Error, ErrorKind};
use crate::id::NodeId;
use crate::node::{Call, Handle, Pending, Reply, first_ready};
use crate::node_event::PolicyStep;
use crate::payload::Payload;

/// Hedged requests: when a request is not answered after 100 ms, a copy of it is sent, at most 2 copies in all. The first success
/// wins, and the other copies are cancelled: their handlers can see that. What it buys is the slow hundredth of the
/// requests; what it costs is bounded by a budget of its own, so that a service which has become slow is not given twice the work.
///
/// **It repeats what may be running this very moment**, so the call must say [`Call::idempotent`]: else the request is
/// `INVALID_ARGUMENT`, and nothing is sent. [`Call::retry_if`] has no say here.
///
/// Put around a call by [`Call::hedge`], and around no other target: copies run side by side and are cancelled, which only a call
/// can do; another policy would have to wait for its own end on a thread of its own. Other policies go around it. All copies
/// share the timeout of the first. A call to [any](Handle::any) sends each copy to a peer that has none yet as far as the caller knows
/// (a copy whose peer was lost or busy may have moved there); a call [to](Handle::to) one peer sends it there again. To the strategy of
/// the call all copies are one call, with one state: it is asked for a copy as for an
/// [alternate](crate::Candidates::is_alternate), so that a copy takes nobody's turn. Clones share the budget. In a call
/// [by path](Handle::by_path) only the first copy dials an address that is not connected; the others are sent to nobody then.
///
/// # Errors
/// `INVALID_ARGUMENT` when the call is not idempotent; then nothing was sent. Else those of [`Call::request`]: of the copies that failed
/// the one that may have run, before one that certainly did not. [`Error::execution`] is that of all copies together. `CLOSED` when the
/// node stops.
///
/// # Blocking
/// Until the first success, or until all copies have failed; at most for the timeout of the call, which all copies share, and 5 ms.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use threadmesh::{Hedge, Node, Request, Target};
/// # let server = Node::builder().id("users").bind("127.0.0.1:0").start()?;
/// # server.on_request("name", |request: Request<u64>| Ok(format!("user {}", request.data)))?;
/// # let node = Node::builder().id("web").start()?;
/// # node.connect(server.local_addr()?)?;
///
/// // At most one copy for twenty requests, over time.
/// let hedge = Hedge::new().after(Duration::from_millis(30)).ratio(0.05);
/// let name: String = node.to("users").idempotent().hedge(&hedge).request("name", &7)?;
/// assert_eq!(name, "user 7");
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a hedge does nothing until it is put around a call"]
pub struct Hedge {
    after: Duration,
    copies: u32,
    budget: Budget,
}

impl Hedge {
    /// One more copy after 100 ms, for one in ten requests at most over time.
    pub fn new() -> Self {
        let budget = Budget::new().ratio(HEDGE_RATIO);
        Self { after: HEDGE_AFTER, copies: HEDGE_COPIES, budget }
    }

    /// How long each copy is waited for before the next is sent: 100 ms unless set. What a request usually takes, or a little more.
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }

    /// How many copies are sent at most, the first among them: 2 unless set. Zero counts as one: never a copy.
    pub fn copies(mut self, copies: u32) -> Self {
        self.copies = copies.max(1);
        self
    }

    /// How many further copies each request pays for, on average over time: 0.1 unless set. There are ten to begin with, and
    /// at most a hundred are saved up, as in any [`Budget`]. A copy that finds nobody to go to, or no room, costs nothing.
    pub fn ratio(self, ratio: f64) -> Self {
        self.budget(&Budget::new().ratio(ratio))
    }

    /// Sends only the copies that this budget pays for, in place of one of its own. A `Budget::new()` has the
    /// [ratio](Budget::ratio) 0.2, twice that of a hedge to which none is given.
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.budget = budget.clone();
        self
    }
}

impl Default for Hedge {
    fn default() -> Self {
        Self::new()
    }
}

/// Nobody is left who could get another copy.
fn is_nobody(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NoNodesMatchFilter | ErrorKind::NotFound)
}

impl<'a> Call<'a> {
    /// Puts a hedge around this call, which must be [`idempotent`](Self::idempotent). Nothing is sent yet.
    ///
    /// # Errors
    /// None here; requests are `INVALID_ARGUMENT`, and nothing is sent, when the call is not idempotent.
    ///
    /// # Blocking
    /// Not at all; requests as [`Hedge`] says.
    pub fn hedge(self, hedge: &Hedge) -> Hedged<'a> {
        Hedged { call: self, hedge: hedge.clone() }
    }
}

/// A call with a [`Hedge`] around it, made by [`Call::hedge`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent until a request is made"]
pub struct Hedged<'a> {
    call: Call<'a>,
    hedge: Hedge,
}

impl Hedged<'_> {
    /// # Errors
    /// `INVALID_ARGUMENT`.
    fn check(&self) -> Result<(), Error> {
        if self.call.is_idempotent() {
            return Ok(());
        }
        let message = "a hedge sends what may be running already, so the call must be `.idempotent()`; nothing was sent";
        Err(Error::new(ErrorKind::InvalidArgument, message))
    }

    /// The call for the next copy, which ends with the first, and goes to somebody who has none yet if it may go to any.
    fn next_call(&self, race: &Race) -> Call<'_> {
        self.call.copy_past(&race.asked).until(race.deadline)
    }

    /// Sends one more copy, unless the budget is used up. It does not wait in line: that would help nobody.
    fn send_copy(&self, race: &mut Race, parcel: &Parcel) {
        let event = parcel.event();
        if !self.hedge.budget.take() {
            race.no_more_copies();
            let event = event.clone();
            return self.call.handle().policy_step(PolicyStep::BudgetExhausted { event });
        }
        let copy = race.next_copy();
        let sent = self.next_call(race).try_start(event.clone(), parcel.payload());
        if sent.is_err() {
            self.hedge.budget.give_back();
        }
        match sent {
            Ok(pending) => {
                race.asked.push(pending.peer().clone());
                race.running.push(Sent { number: copy, pending });
                let event = event.clone();
                self.call.handle().policy_step(PolicyStep::HedgeSent { event, copy });
            }
            // There is nobody else, and there will hardly be when the next copy is due.
            Err(error) if is_nobody(error.kind()) => race.no_more_copies(),
            Err(error) => race.fail(error),
        }
    }

    fn run(&self, mut race: Race, parcel: &Parcel) -> Result<Reply<Payload>, Error> {
        loop {
            let due = race.next_at(&self.hedge);
            match race.wait(due) {
                Waited::Answered(copy, reply) => {
                    if copy > 1 {
                        let event = parcel.event().clone();
                        self.call.handle().policy_step(PolicyStep::HedgeWon { event, copy });
                    }
                    return Ok(reply);
                }
                Waited::AllFailed(error) => return Err(error),
                Waited::Due => self.send_copy(&mut race, parcel),
            }
        }
    }
}

impl Target for Hedged<'_> {
    fn send(&self, parcel: &Parcel) -> Result<Reply<Payload>, Error> {
        self.check()?;
        parcel.pay(&self.hedge.budget, self.handle());
        let first = match parcel.deadline() {
            None => self.call.clone(),
            Some(deadline) => self.call.clone().until(deadline),
        };
        let first = first.start(parcel.event().clone(), parcel.payload());
        let first = first.map_err(|error| error.with_attempts(1))?;
        self.run(Race::new(first, self.hedge.copies), parcel)
    }

    fn handle(&self) -> &Handle {
        self.call.handle()
    }

    fn may_repeat(&self, error: &Error, place: Place) -> Result<bool, Error> {
        self.call.may_repeat(error, place)
    }
}

/// Copies of one request under way. Dropping it cancels those that have not ended.
struct Race {
    began: Instant,
    /// That of the first copy, and of all.
    deadline: Instant,
    running: Vec<Sent>,
    /// Who has a copy.
    asked: Vec<NodeId>,
    sent: u32,
    most: u32,
    tally: Tally,
    /// The most telling error so far.
    error: Option<Error>,
}

/// A copy that was sent.
struct Sent {
    number: u32,
    pending: Pending<Payload>,
}

/// What a race has come to.
enum Waited {
    /// By that copy.
    Answered(u32, Reply<Payload>),
    /// No copy is under way any more.
    AllFailed(Error),
    /// It is time for the next copy.
    Due,
}

impl Race {
    fn new(first: Pending<Payload>, most: u32) -> Self {
        Self {
            began: Instant::now(),
            deadline: first.deadline(),
            asked: vec![first.peer().clone()],
            running: vec![Sent { number: 1, pending: first }],
            sent: 1,
            most,
            tally: Tally::new(),
            error: None,
        }
    }

    /// The number of the copy that is sent now.
    fn next_copy(&mut self) -> u32 {
        self.sent += 1;
        self.sent
    }

    fn no_more_copies(&mut self) {
        self.most = self.sent;
    }

    /// When the next copy is due, if there is to be one.
    fn next_at(&self, hedge: &Hedge) -> Option<Instant> {
        let delay = hedge.after.saturating_mul(self.sent).min(LONGEST_TIMEOUT);
        let due = self.began.checked_add(delay)?;
        (self.sent < self.most && due < self.deadline).then_some(due)
    }

    /// Waits for the first success, for the failure of all, or until the next copy is due.
    fn wait(&mut self, due: Option<Instant>) -> Waited {
        // Whatever has not ended by then is given up by the caller's own clock.
        let end = self.deadline + CALLER_GRACE;
        loop {
            if let Some((copy, reply)) = self.collect() {
                return Waited::Answered(copy, reply);
            }
            if self.running.is_empty() {
                return Waited::AllFailed(self.all_failed());
            }
            if due.is_some_and(|due| Instant::now() >= due) {
                return Waited::Due;
            }
            let pending = self.running.iter().map(|copy| &copy.pending);
            let _ = first_ready(pending, due.unwrap_or(end));
        }
    }

    /// Takes what has ended: the first success, if there is one.
    fn collect(&mut self) -> Option<(u32, Reply<Payload>)> {
        for mut copy in std::mem::take(&mut self.running) {
            match copy.pending.try_take() {
                None => self.running.push(copy),
                Some(Ok(reply)) => return Some((copy.number, reply)),
                Some(Err(error)) => self.fail(error),
            }
        }
        None
    }

    /// Notes a copy that failed. That one may have run tells more than that another did not.
    fn fail(&mut self, error: Error) {
        self.tally.note(&error);
        let tells_more = |before: &Error| error.execution() > before.execution();
        if self.error.as_ref().is_none_or(tells_more) {
            self.error = Some(error);
        }
    }

    fn all_failed(&mut self) -> Error {
        let error = self.error.take().unwrap_or_else(|| {
            Error::new(ErrorKind::RequestTimeout, "no copy of the request was answered")
        });
        self.tally.end(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let _bound = crate::bound::bound();
        let Hedge { after, copies, budget } = Hedge::default();
        assert_eq!((after.as_millis(), copies), (100, 2));
        assert_eq!((0..100).filter(|_| budget.take()).count(), 10);
        assert_eq!(Hedge::new().copies(0).copies, 1);
    }
}
