//! How a call by path is sent: to one, to many, and to many without an answer.

use std::sync::Arc;
use std::time::Instant;

use super::find::{Letter, Wanted, event_of, in_order};
use super::{Answers, PathCall, PathTold};
use crate::error::{Error, ErrorKind};
use crate::node::all::{ask, tick_each};
use crate::node::call::{Observer, post_request};
use crate::node::gather::{Asked, Gather, Until};
use crate::node::lookup::{Choice, Lookup, Room};
use crate::node::pending::{Pending, Reply};
use crate::node::terms::Times;
use crate::node::wake::Wakes;
use crate::payload::{Decode, Encode};
use crate::proto::Message;
use crate::routing::{Observation, PathPattern, PathTable, SendTarget, Targets};

impl PathCall<'_> {
    /// Sends a request to the one whom the strategy chooses, waits for the answer and decodes it.
    ///
    /// # Errors
    /// Never executed: `INVALID_PATH`; `NOT_FOUND` as [`PathCall`] says; `INVALID_ARGUMENT` when the strategy means many, nothing was sent:
    /// use [`request_all`](Self::request_all); `NODE_NOT_FOUND` when it names a node that is not known; `CONNECT_FAILED` and others of
    /// [`Handle::connect`](crate::Handle::connect) when it names an address that is not connected and cannot be;
    /// `USER_CODE_PANICKED` when it panics. Then those of [`Call::request`](crate::Call::request).
    ///
    /// # Blocking
    /// Until the answer, at most for the timeout and 5 ms. What the strategy takes counts, but is not cut short: if nothing is left after that,
    /// nothing is sent, and the call is `REQUEST_TIMEOUT`, never executed.
    pub fn request<T: Decode>(&self, data: &(impl Encode + ?Sized)) -> Result<T, Error> {
        self.request_reply(data).map(|reply| reply.value)
    }

    /// The same as [`request`](Self::request), and says who answered and how long it took.
    ///
    /// # Errors
    /// Those of [`request`](Self::request).
    ///
    /// # Blocking
    /// As [`request`](Self::request).
    pub fn request_reply<T: Decode>(
        &self,
        data: &(impl Encode + ?Sized),
    ) -> Result<Reply<T>, Error> {
        self.start(data)?.wait()
    }

    /// Sends a request to the one whom the strategy chooses, without waiting for the answer. Its time runs from now.
    ///
    /// # Errors
    /// Those of [`request`](Self::request) that are known before anything is sent; never executed.
    ///
    /// # Blocking
    /// As long as [`wait_for_match`](Self::wait_for_match) allows, while an address is dialled, at most until the deadline, and while the
    /// loop has a backlog of thousands of commands.
    pub fn start<T: Decode>(&self, data: &(impl Encode + ?Sized)) -> Result<Pending<T>, Error> {
        let began = Instant::now();
        self.core().may_block()?;
        let times = self.terms.times(self.core(), began)?;
        let mut letter = self.letter(data, Some(times.deadline), true)?;
        let Wanted { targets, table, strategy } = self.wanted(&letter)?;
        let lookup = self.one_of(&mut letter, in_order(targets)?, &table)?;
        let observer = Some(Observer::Sent(strategy));
        let times = (began, times);
        post_request(self.handle, lookup, letter.message, times, Room::Awaited, observer)
    }

    /// Sends a request to each of those whom the strategy means, at once and under one deadline, and waits for all of them. Works with every
    /// strategy: one that chooses one gives one answer.
    ///
    /// # Errors
    /// Nothing was sent: `INVALID_PATH`, `NOT_FOUND` when the strategy means nobody, `USER_CODE_PANICKED` when it panics, `INVALID_ARGUMENT`,
    /// `ENCODE`, `TOO_LARGE`, `WOULD_DEADLOCK`, `CLOSED`, and `REQUEST_TIMEOUT` when the time had passed already. What goes wrong with
    /// one target is its result.
    ///
    /// # Blocking
    /// Until all have answered or failed, at most for the timeout and 5 ms.
    pub fn request_all<T: Decode>(
        &self,
        data: &(impl Encode + ?Sized),
    ) -> Result<Answers<T>, Error> {
        let began = Instant::now();
        self.core().may_block()?;
        let times = self.terms.times(self.core(), began)?;
        let mut letter = self.letter(data, Some(times.deadline), false)?;
        let wanted = self.wanted(&letter)?;
        match wanted.targets.clone() {
            Targets::Each(targets) => {
                Ok(Answers::new(self.ask_each(&letter, &wanted, targets, times, began)))
            }
            targets => {
                let targets = in_order(targets)?;
                let result = self.one_of(&mut letter, targets.clone(), &wanted.table);
                let result = result.and_then(|lookup| {
                    let observer = Some(Observer::Sent(wanted.strategy));
                    let (handle, room, times) = (self.handle, Room::Awaited, (began, times));
                    post_request::<T>(handle, lookup, letter.message, times, room, observer)?.wait()
                });
                Ok(Answers::new(vec![answer_of_one(targets, result)]))
            }
        }
    }

    /// Each target and its result, in their order.
    fn ask_each<T: Decode>(
        &self,
        letter: &Letter,
        wanted: &Wanted,
        targets: Vec<SendTarget>,
        times: Times,
        began: Instant,
    ) -> Vec<(SendTarget, Result<T, Error>)> {
        let mut wakes = Wakes::new(targets.len());
        let (mut asked, mut numbers, mut unsent) = (Vec::new(), Vec::new(), Vec::new());
        let mut results: Vec<Option<Result<T, Error>>> = targets.iter().map(|_| None).collect();
        let mut targets = targets;
        let paths: Vec<PathPattern> = targets.iter().map(|target| target.path().clone()).collect();
        let named = targets.clone();
        self.each_of(letter, &named, &wanted.table, |at, found| {
            match found.and_then(|choice| self.addressed(letter, &paths[at], choice)) {
                Ok((lookup, message)) => {
                    let peer = lookup.peer().clone();
                    targets[at] = SendTarget::new(&peer, paths[at].clone());
                    let call = ask(self.core(), lookup, message, times, &mut wakes);
                    unsent.push(call.is_err());
                    asked.push(Asked { peer, call });
                    numbers.push(at);
                }
                Err(error) => results[at] = Some(Err(error)),
            }
        });
        let (core, receiver) = (self.handle.shared(), wakes.into_receiver());
        let times = (began, times.deadline);
        let observer = Observer::Sent(Arc::clone(&wanted.strategy));
        let mut gather = Gather::<T>::new(core, asked, receiver, Until::All, times);
        while let Some((number, peer, result)) = gather.next_numbered() {
            let took = result.as_ref().map_or_else(|_| began.elapsed(), |reply| reply.elapsed);
            let error = result.as_ref().err();
            let observation = Observation::new(&peer, Some(took), error);
            if unsent.get(number) != Some(&true) {
                observer.observe(&observation);
            }
            if let Some(at) = numbers.get(number) {
                results[*at] = Some(result.map(|reply| reply.value));
            }
        }
        let unheard = || Err(Error::new(ErrorKind::RequestTimeout, "it did not answer in time"));
        let results = results.into_iter().map(|result| result.unwrap_or_else(unheard));
        targets.into_iter().zip(results).collect()
    }

    /// The message for one target, and the way to it.
    fn addressed(
        &self,
        letter: &Letter,
        path: &PathPattern,
        choice: Choice,
    ) -> Result<(Lookup, Message), Error> {
        letter.in_time()?;
        let message = Message { event: event_of(path)?, ..letter.message.clone() };
        Ok((Lookup::one(choice, self.terms.directions), message))
    }

    /// Sends one tick to whom the strategy means, one or many: fire and forget. The same services hear it as requests
    /// ([`Handle::register`](crate::Handle::register)). Ok means accepted for sending; what is lost after that is reported in
    /// [`NodeEvent::Undelivered`](crate::NodeEvent::Undelivered). Ticks of this node to itself are not waited for by
    /// [`flush`](crate::Handle::flush), which is for peers.
    ///
    /// Of many, those that are known get it at once, and those that have to be dialled as each of them is reached.
    ///
    /// # Errors
    /// As [`request`](Self::request) for a strategy that chooses one, before anything is sent; `BACKPRESSURE` when its window or its queue is
    /// full, at once or after [`wait`](Self::wait). For a strategy that means many, those of [`request_all`](Self::request_all), and what
    /// stops one target only is in [`PathTold::skipped`].
    ///
    /// # Blocking
    /// As long as [`wait`](Self::wait) and [`wait_for_match`](Self::wait_for_match) allow; while an address is dialled, at most for the
    /// [`timeout`](Self::timeout) or else the node's `connect_timeout`; and while the loop has a backlog of thousands of commands.
    pub fn tick(&self, data: &(impl Encode + ?Sized)) -> Result<PathTold, Error> {
        self.core().may_block()?;
        let mut letter = self.letter(data, None, false)?;
        let Wanted { targets, table, .. } = self.wanted(&letter)?;
        match targets {
            Targets::Each(targets) => self.tell_each(&letter, &table, &targets),
            targets => {
                let mut lookup = self.one_of(&mut letter, in_order(targets)?, &table)?;
                self.terms.tick(self.core(), &mut lookup, letter.message)?;
                Ok(PathTold { sent: 1, skipped: Vec::new() })
            }
        }
    }
}

impl PathCall<'_> {
    /// A tick to each of these: at once to those that are known, and to the others as they are reached.
    fn tell_each(
        &self,
        letter: &Letter,
        table: &PathTable,
        targets: &[SendTarget],
    ) -> Result<PathTold, Error> {
        let (mut ticks, mut skipped) = (Vec::with_capacity(targets.len()), Vec::new());
        let addressed = |at: usize, found: Result<Choice, Error>| {
            let target: &SendTarget = &targets[at];
            let found = found.and_then(|one| self.addressed(letter, target.path(), one));
            match found {
                Ok((lookup, message)) => Ok((target.clone(), lookup, message)),
                Err(error) => Err((target.clone(), error)),
            }
        };
        let unknown = self.each_known(targets, table, |at, found| match addressed(at, found) {
            Ok(tick) => ticks.push(tick),
            Err(failed) => skipped.push(failed),
        });
        let (mut sent, others) = tick_each(self.core(), ticks.into_iter())?;
        skipped.extend(others);
        self.each_dialled(letter, unknown, |at, found| match addressed(at, found) {
            Ok(tick) => match tick_each(self.core(), std::iter::once(tick)) {
                Ok((one, others)) => {
                    sent += one;
                    skipped.extend(others);
                }
                Err(error) => skipped.push((targets[at].clone(), error)),
            },
            Err(failed) => skipped.push(failed),
        });
        Ok(PathTold { sent, skipped })
    }
}

/// Whose answer it is, of those who were to be asked one after the other.
fn answer_of_one<T>(
    targets: Vec<SendTarget>,
    result: Result<Reply<T>, Error>,
) -> (SendTarget, Result<T, Error>) {
    let peer = match &result {
        Ok(reply) => Some(&reply.handled_by),
        Err(error) => error.peer(),
    };
    let theirs = targets.iter().find(|target| target.id() == peer && peer.is_some());
    let target = match (theirs, peer, targets.first()) {
        (Some(target), _, _) => target.clone(),
        // It was dialled, and is known by its name now.
        (None, Some(peer), Some(first)) => SendTarget::new(peer, first.path().clone()),
        (None, None, Some(first)) => first.clone(),
        (None, _, None) => unreachable!("a strategy that means nobody has been refused"),
    };
    (target, result.map(|reply| reply.value))
}
