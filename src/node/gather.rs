//! The answers to one request that many were asked: [`Gather`] gives them as they arrive, [`Gathered`] is what came together.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Receiver;

use super::core::Core;
use super::pending::Reply;
use super::wake::{self, Nothing, Numbered};
use crate::config::CALLER_GRACE;
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{CallId, NodeId};
use crate::payload::Decode;

/// When the gathering ends before everybody has answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Until {
    All,
    First(usize),
    Quorum(usize),
}

/// One result, the number of the request it is of among all, and who was asked.
pub(super) type Outcome<T> = (usize, NodeId, Result<Reply<T>, Error>);

/// One who was asked.
pub(super) struct Asked {
    pub(super) peer: NodeId,
    /// Its request, or why there is none.
    pub(super) call: Result<CallId, Error>,
}

/// The answers of many to one request, as they arrive: an iterator of ids and results, made by [`All::request`](crate::All::request).
///
/// It ends when everybody has answered or failed, at the deadline, or earlier if the call says so ([`All::first`](crate::All::first),
/// [`All::quorum`](crate::All::quorum)). Who has not answered by the deadline has the result `REQUEST_TIMEOUT`; whose request stood
/// in line until then has `BACKPRESSURE`, for it was never sent. A program that has
/// heard enough stops iterating; requests that are not answered then are cancelled with the drop of this.
///
/// # Example
/// ```
/// # use threadmesh::{Filter, Node, Request};
/// # let server = Node::builder().id("a").bind("127.0.0.1:0").start()?;
/// # server.on_request("load", |_: Request<()>| Ok(3))?;
/// # let client = Node::builder().start()?;
/// # client.connect(server.local_addr()?)?;
/// let loads = client.request_all::<u64, _>(Filter::any(), "load", &())?.finish();
/// let least = loads.replies.iter().min_by_key(|reply| reply.value);
/// assert_eq!(least.unwrap().handled_by, "a");
/// assert!(loads.is_complete() && loads.missing.is_empty());
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[must_use = "dropping it cancels the requests"]
pub struct Gather<T> {
    core: Arc<Core>,
    /// Those that have not been given yet, by their number.
    open: Vec<Option<(NodeId, CallId)>>,
    left: usize,
    /// Those whose request could not even be posted, still to be given.
    unposted: Vec<(usize, NodeId, Error)>,
    receiver: Receiver<Numbered>,
    until: Until,
    asked: usize,
    answered: usize,
    began: Instant,
    deadline: Instant,
    value: PhantomData<fn() -> T>,
}

/// What a request to many came to, made by [`Gather::finish`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Gathered<T> {
    /// The answers, and who gave each ([`Reply::handled_by`]), in the order of arrival.
    pub replies: Vec<Reply<T>>,
    /// Who failed, and why, in the order of arrival.
    pub errors: Vec<(NodeId, Error)>,
    /// Who did not answer in time, or was still open when the gathering ended; the former are also in [`errors`](Self::errors). Whose
    /// request stood in line until the deadline is in the errors alone, with `BACKPRESSURE`.
    pub missing: Vec<NodeId>,
    complete: bool,
}

impl<T> Gathered<T> {
    /// The answers alone, in the order of arrival.
    pub fn into_values(self) -> impl Iterator<Item = T> {
        self.replies.into_iter().map(|reply| reply.value)
    }

    /// Whether everybody answered, or as many as [`first`](crate::All::first) (or all, if they are fewer) or
    /// [`quorum`](crate::All::quorum) asked for. When nobody was asked it is true for all and for `first`, and false for `quorum`.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

impl<T: Decode> Gather<T> {
    pub(super) fn new(
        core: Arc<Core>,
        asked: Vec<Asked>,
        receiver: Receiver<Numbered>,
        until: Until,
        (began, deadline): (Instant, Instant),
    ) -> Self {
        let count = asked.len();
        let (mut open, mut unposted) = (Vec::with_capacity(count), Vec::new());
        for (number, Asked { peer, call }) in asked.into_iter().enumerate() {
            match call {
                Ok(call) => open.push(Some((peer, call))),
                Err(error) => {
                    open.push(None);
                    unposted.push((number, peer, error));
                }
            }
        }
        let left = count - unposted.len();
        let (asked, answered, value) = (count, 0, PhantomData);
        Self {
            core,
            open,
            left,
            unposted,
            receiver,
            until,
            asked,
            answered,
            began,
            deadline,
            value,
        }
    }

    /// Waits for the end, and gives all that came.
    ///
    /// # Blocking
    /// Until everybody has answered or failed, or as many as the call asked for; at most until its deadline.
    pub fn finish(mut self) -> Gathered<T> {
        let (mut replies, mut errors, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for (peer, result) in self.by_ref() {
            match result {
                Ok(reply) => replies.push(reply),
                Err(error) => {
                    if error.kind() == ErrorKind::RequestTimeout {
                        missing.push(peer.clone());
                    }
                    errors.push((peer, error));
                }
            }
        }
        missing.extend(self.missing().cloned());
        let complete = match self.until {
            Until::All => replies.len() == self.asked,
            Until::First(count) => replies.len() >= count.min(self.asked),
            Until::Quorum(count) => replies.len() >= count,
        };
        Gathered { replies, errors, missing, complete }
    }

    /// Whether it ends now although some have not answered.
    fn is_enough(&self) -> bool {
        match self.until {
            Until::All => false,
            Until::First(count) => self.answered >= count,
            Until::Quorum(count) => {
                self.answered >= count || self.answered + self.left + self.unposted.len() < count
            }
        }
    }

    /// The next result, and which it is.
    pub(super) fn next_numbered(&mut self) -> Option<Outcome<T>> {
        if let Some((number, peer, error)) = self.unposted.pop() {
            return Some((number, peer, Err(error)));
        }
        if self.left == 0 || self.is_enough() {
            return None;
        }
        let next = self.next_arrival()?;
        self.answered += usize::from(next.2.is_ok());
        Some(next)
    }

    /// The next result of those under way.
    fn next_arrival(&mut self) -> Option<Outcome<T>> {
        if let Err(error) = Core::not_on_a_loop_thread().and_then(|()| self.core.at_home()) {
            return self.next_unheard(error);
        }
        let latest = self.deadline.checked_add(CALLER_GRACE).unwrap_or(self.deadline);
        loop {
            let Numbered { number, arrival } = match wake::wait(&self.receiver, latest) {
                Ok(numbered) => numbered,
                Err(nothing) => return self.next_in_vain(nothing),
            };
            // The caller's clock may have given up on it before.
            if let Some((peer, _)) = self.open.get_mut(number).and_then(Option::take) {
                self.left -= 1;
                return Some((number, peer, Reply::open(arrival, self.began)));
            }
        }
    }

    /// This thread, or this process, must not wait for a result.
    fn next_unheard(&mut self, error: Error) -> Option<Outcome<T>> {
        let (number, peer, call) = self.take_open()?;
        self.core.post_cancel(call);
        let error = error.with_execution(Execution::Unknown).with_peer(peer.clone());
        Some((number, peer, Err(error)))
    }

    /// No result comes any more: the loop is late, or gone.
    fn next_in_vain(&mut self, nothing: Nothing) -> Option<Outcome<T>> {
        let (number, peer, call) = self.take_open()?;
        let error = match nothing {
            Nothing::Late => {
                self.core.post_cancel(call);
                let why = format!("{:?} did not answer before the deadline", peer.as_str());
                Error::new(ErrorKind::RequestTimeout, why)
            }
            Nothing::Gone => wake::loop_is_gone().with_execution(Execution::Unknown),
        };
        Some((number, peer.clone(), Err(error.with_peer(peer))))
    }

    /// The first of those under way, who is given up.
    fn take_open(&mut self) -> Option<(usize, NodeId, CallId)> {
        let mut open = self.open.iter_mut().enumerate();
        let (number, (peer, call)) =
            open.find_map(|(number, open)| Some((number, open.take()?)))?;
        self.left -= 1;
        Some((number, peer, call))
    }
}

impl<T> Gather<T> {
    /// Who has not answered yet, in join order.
    pub fn missing(&self) -> impl Iterator<Item = &NodeId> {
        self.open.iter().flatten().map(|(peer, _)| peer)
    }

    /// How many were asked.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// When it ends at the latest.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl<T: Decode> Iterator for Gather<T> {
    type Item = (NodeId, Result<Reply<T>, Error>);

    /// The next result; `None` at the end.
    ///
    /// # Blocking
    /// Until somebody answers or fails, at most until the deadline.
    fn next(&mut self) -> Option<Self::Item> {
        self.next_numbered().map(|(_, peer, result)| (peer, result))
    }
}

impl<T> Drop for Gather<T> {
    fn drop(&mut self) {
        for (_, call) in self.open.iter().flatten() {
            self.core.post_cancel(*call);
        }
    }
}

impl<T> fmt::Debug for Gather<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Gather");
        out.field("asked", &self.asked).field("answered", &self.answered);
        out.field("left", &self.left).finish_non_exhaustive()
    }
}
