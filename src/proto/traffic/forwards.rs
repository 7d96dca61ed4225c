//! What a router remembers beside the calls by which it forwards: searches for receivers that wait
//! for the search thread, queries that it answers, statistics. It must not place anything.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::Instant;

use crate::config::SEARCHES_AT_ONCE;
use crate::error::{Error, ErrorKind, Execution};
use crate::event::EventName;
use crate::id::{CallId, LinkId, NodeId};
use crate::node_event::NodeEvent;
use crate::payload::Payload;
use crate::proto::env::{Env, Timer, disarm};
use crate::proto::timers::TimerId;
use crate::proto::{Answer, Choose, Output, Page, ReplyTo};
use crate::routing::{Destination, Directory, FilterCache, Random, Search, Step};
use crate::routing_stats::{RoutingCounts, RoutingStats};

/// A search that takes long, and waits for the search thread.
#[derive(Debug)]
pub(crate) struct SearchJob {
    pub(crate) call: CallId,
    pub(crate) search: Search,
    pub(crate) page: Option<Page>,
}

#[derive(Debug)]
pub(crate) struct Forwards {
    /// Searches that wait, by the link of the peer that asks: fair queueing among peers.
    waiting: BTreeMap<LinkId, VecDeque<SearchJob>>,
    /// How many are under way, and for which link the last one was.
    searching: usize,
    last_searched: LinkId,
    /// Queries for peers that are being answered off the loop.
    queries: BTreeMap<CallId, ReplyTo>,
    filters: FilterCache,
    counts: RoutingCounts,
    stats_timer: Option<TimerId>,
}

/// A request or a tick of a peer that this router forwards by a call of its own.
#[derive(Debug)]
pub(crate) struct Forward {
    reply_to: ReplyTo,
    call: CallId,
    is_tick: bool,
    /// As the requester says it: the path that a peer serves may be another one.
    event: EventName,
    sought: Destination,
    since: Instant,
}

impl Forward {
    pub(crate) fn new(
        reply_to: ReplyTo,
        call: CallId,
        is_tick: bool,
        (event, sought): (EventName, Destination),
        since: Instant,
    ) -> Self {
        Self { reply_to, call, is_tick, event, sought, since }
    }

    pub(crate) fn reply_to(&self) -> ReplyTo {
        self.reply_to
    }

    pub(crate) fn call(&self) -> CallId {
        self.call
    }

    pub(crate) fn is_tick(&self) -> bool {
        self.is_tick
    }

    pub(crate) fn event(&self) -> &EventName {
        &self.event
    }

    pub(crate) fn sought(&self) -> &Destination {
        &self.sought
    }
}

impl Forwards {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            waiting: BTreeMap::new(),
            searching: 0,
            last_searched: LinkId::OWN,
            queries: BTreeMap::new(),
            filters: FilterCache::default(),
            counts: RoutingCounts::new(now),
            stats_timer: None,
        }
    }

    /// Looks for the receivers of a forward. `Err` with the search if it takes too long for the
    /// loop, or needs the program's strategy.
    pub(crate) fn search<T>(
        &mut self,
        forward: &Forward,
        origin: NodeId,
        directory: &Directory,
        env: &mut Env<T>,
    ) -> Result<Result<Vec<Step>, Error>, Search> {
        let search = Search::new(&forward.sought, &mut self.filters, &forward.event, origin);
        let search = match search {
            Ok(search) => search,
            Err(error) => return Ok(Err(error)),
        };
        let elsewhere = env.local.router.is_some_and(|role| role.chooses_elsewhere);
        if elsewhere || !search.is_light(directory) {
            return Err(search);
        }
        Ok(search.steps(directory, &Random, env.rng.fork(), env.now))
    }

    /// A query of a peer for the peers of this router is answered off the loop.
    pub(crate) fn query(
        &mut self,
        reply_to: ReplyTo,
        filter: &[u8],
        requester: NodeId,
        call: CallId,
    ) -> Result<Search, Error> {
        let search = Search::by_filter(filter, &mut self.filters, requester)?;
        self.queries.insert(call, reply_to);
        Ok(search)
    }

    /// The request that a query answers, if it is one.
    pub(crate) fn query_of(&self, call: CallId) -> Option<ReplyTo> {
        self.queries.get(&call).copied()
    }

    /// A query has its answer, or nothing waits for it any more.
    pub(crate) fn end_query(&mut self, call: CallId) -> Option<ReplyTo> {
        self.queries.remove(&call)
    }

    /// Has a search done by the search thread in its turn. No more wait than may be open (`open`)
    /// and were given up since the last count.
    pub(crate) fn search_later(
        &mut self,
        from: LinkId,
        job: SearchJob,
        open: usize,
        is_awaited: impl Fn(&Self, CallId) -> bool,
    ) {
        let mut queue = self.waiting.remove(&from).unwrap_or_default();
        if queue.len() >= 2 * open {
            queue.retain(|job| is_awaited(self, job.call));
        }
        queue.push_back(job);
        self.waiting.insert(from, queue);
    }

    /// Hands searches on while few are under way, one of each link in turn.
    pub(crate) fn search_on<T>(
        &mut self,
        directory: &Directory,
        is_awaited: impl Fn(&Self, CallId) -> bool,
        env: &mut Env<T>,
    ) {
        while self.searching < SEARCHES_AT_ONCE {
            let behind = (Bound::Excluded(self.last_searched), Bound::Unbounded);
            let next = self.waiting.range(behind).next().map(|(link, _)| *link);
            let next = next.or_else(|| self.waiting.keys().next().copied());
            let Some(link) = next else { return };
            self.last_searched = link;
            let job = self.waiting.get_mut(&link).and_then(VecDeque::pop_front);
            if self.waiting.get(&link).is_some_and(VecDeque::is_empty) {
                self.waiting.remove(&link);
            }
            if let Some(SearchJob { call, search, page }) =
                job.filter(|job| is_awaited(self, job.call))
            {
                self.searching += 1;
                let directory = directory.clone();
                env.out.push(Output::Choose(Choose { call, directory, search, page }));
            }
        }
    }

    /// The search thread has finished one search.
    pub(crate) fn on_search_done(&mut self) {
        self.searching = self.searching.saturating_sub(1);
    }

    /// Nothing waits any more for what that peer has asked for.
    pub(crate) fn link_lost(&mut self, link: LinkId) {
        self.queries.retain(|_, reply_to| reply_to.link != link);
        self.waiting.remove(&link);
    }

    #[cfg(test)]
    pub(crate) fn searches_waiting(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// A forward has ended.
    pub(crate) fn count(&mut self, forward: &Forward, good: bool, now: Instant) {
        if forward.is_tick {
            self.counts.tick(&forward.event, good);
        } else {
            let took = now.saturating_duration_since(forward.since);
            self.counts.request(&forward.event, took, good);
        }
    }
}

/// Statistics, which the program may want to get at intervals.
impl Forwards {
    pub(crate) fn begin_stats<T>(&mut self, env: &mut Env<T>) {
        let interval = env.local.router.and_then(|role| role.stats_every);
        let arm = |interval| env.timers.arm(env.now + interval, Timer::Stats);
        self.stats_timer = interval.map(arm);
    }

    pub(crate) fn on_stats_due<T>(&mut self, env: &mut Env<T>) {
        let stats = self.counts.stats(env.now);
        env.event(NodeEvent::RoutingStats(Box::new(stats)));
        self.begin_stats(env);
    }

    pub(crate) fn end_stats<T>(&mut self, env: &mut Env<T>) {
        disarm(&mut env.timers, &mut self.stats_timer);
    }

    /// What was counted so far; then it may count from zero.
    pub(crate) fn stats(&mut self, reset: bool, now: Instant) -> RoutingStats {
        let stats = self.counts.stats(now);
        if reset {
            self.counts.reset(now);
        }
        stats
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn timers(&self) -> usize {
        usize::from(self.stats_timer.is_some())
    }
}

/// An error as a router passes it on: that of a handler as it was, one of this node's end as the
/// requester will understand it.
pub(crate) fn passed_on(error: Error, router: &NodeId) -> Answer {
    if error.kind() == ErrorKind::Handler && error.has_handler_code() {
        let data = error.data_item().map(|item| Payload::from_item_slice(item));
        let (code, message) = (error.code().to_owned(), error.message().to_owned());
        return Answer::Failure { code, message, data };
    }
    if error.kind() == ErrorKind::Closed {
        let ran = error.execution();
        let never = ran == Execution::Never;
        let kind = if never { ErrorKind::Busy } else { ErrorKind::ConnectionLost };
        let why = format!("the router {router} has stopped meanwhile");
        return Answer::Fault(Error::new(kind, why).with_execution(ran));
    }
    Answer::Fault(error)
}

/// Whether a router reports that it, and those it has asked, know no match.
pub(crate) fn is_no_match(error: &Error) -> bool {
    let in_vain = matches!(
        error.kind(),
        ErrorKind::NoNodesMatchFilter | ErrorKind::NodeNotFound | ErrorKind::NotFound
    );
    in_vain && !error.may_have_run()
}
