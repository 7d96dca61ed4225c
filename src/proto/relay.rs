//! What a router does with messages that it shall place: each becomes a call of its own, which goes the way of all others, and whose end is
//! the answer to the peer. The data pass through as they came. It must not know who is asked when nobody here will do: that stands in
//! `routers.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::{Duration, Instant};

use super::calls::{Phase, Whose, nobody};
use super::env::{Timer, disarm};
use super::flow::OurTick;
use super::line::ParkedTick;
use super::mesh::Mesh;
use super::owed::Passed;
use super::planted::{Planted, has};
use super::timers::TimerId;
use super::{Answer, Choose, Chosen, Done, Message, Output, Owed, Page};
use crate::config::{
    DIRECTORY_PAGE, LONGEST_TIMEOUT, ROUTER_HOPS, ROUTERS_ASKED, SEARCHES_AT_ONCE,
};
use crate::error::{Error, ErrorKind, Execution};
use crate::event::EventName;
use crate::id::{CallId, LinkId, NodeId, PeerKey};
use crate::node_event::NodeEvent;
use crate::payload::Payload;
use crate::routing::{Destination, FilterCache, Plan, Random, Route, Search, Step, cost};
use crate::routing_stats::RoutingCounts;
use crate::wire::{DirectoryQuestion, Forward, Target};

/// A search that takes long, and waits until somebody looks.
#[derive(Debug)]
struct Waiting {
    call: CallId,
    search: Search,
    page: Option<Page>,
}

/// What a router remembers, beside the calls by which it forwards.
#[derive(Debug)]
pub(super) struct Relays {
    /// Searches that wait, by the link whose peer asks: each has its turn, so that nobody keeps the others waiting.
    waiting: BTreeMap<LinkId, VecDeque<Waiting>>,
    /// How many are under way, and for whom the last one was.
    looking: usize,
    last_looked: LinkId,
    /// Questions for peers that are being answered off the loop.
    pages: BTreeMap<CallId, Owed>,
    filters: FilterCache,
    pub(super) counts: RoutingCounts,
    stats_timer: Option<TimerId>,
    /// The router that was asked last: the next one has its turn.
    pub(super) last_router: PeerKey,
}

impl Relays {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            waiting: BTreeMap::new(),
            looking: 0,
            last_looked: LinkId::OWN,
            pages: BTreeMap::new(),
            filters: FilterCache::default(),
            counts: RoutingCounts::new(now),
            stats_timer: None,
            last_router: PeerKey::OWN,
        }
    }
}

/// For whom a call forwards, and since when.
#[derive(Debug)]
pub(super) struct Relayed {
    owed: Owed,
    /// The call by which it is forwarded.
    pub(super) call: CallId,
    pub(super) is_tick: bool,
    /// As the asker says it: the path that a peer serves may be another one.
    pub(super) event: EventName,
    sought: Destination,
    since: Instant,
}

/// Telling the program from time to time.
impl<T> Mesh<T> {
    pub(super) fn begin_stats(&mut self) {
        let every = self.env.local.router.and_then(|role| role.stats_every);
        self.relays.stats_timer =
            every.map(|every| self.env.timers.arm(self.env.now + every, Timer::Stats));
    }

    pub(super) fn stats_due(&mut self) {
        let stats = self.relays.counts.stats(self.env.now);
        self.env.out.push(Output::Event(NodeEvent::RoutingStats(Box::new(stats))));
        self.begin_stats();
    }

    pub(super) fn end_stats(&mut self) {
        disarm(&mut self.env.timers, &mut self.relays.stats_timer);
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn stats_timers(&self) -> usize {
        usize::from(self.relays.stats_timer.is_some())
    }
}

impl<T> Mesh<T> {
    /// A peer wants a message placed.
    pub(super) fn forwarded(
        &mut self,
        id: LinkId,
        forward: Forward<'_>,
        is_tick: bool,
        payload: Payload,
    ) {
        let Forward { call, timeout_ms, depth, event, headers, origin, target, .. } = forward;
        let (hops_left, mut visited) = (forward.hops_left.min(ROUTER_HOPS), forward.visited);
        let Some(sender) = self.sender(id) else { return };
        if self.env.local.router.is_none() {
            let why = format!("{} is no router and forwards nothing", self.env.local.id);
            if self.take_place(id).is_some() {
                self.push_fault(id, call, Error::new(ErrorKind::Refused, why));
            }
            return;
        }
        if !headers.have_room() {
            let why =
                format!("{} cannot pass on so many headers of the protocol", self.env.local.id);
            if self.take_place(id).is_some() {
                self.push_fault(id, call, Error::new(ErrorKind::TooLarge, why));
            }
            return;
        }
        // Only a router asks for others.
        let origin = if sender.options.is_router() { origin } else { sender.id.clone() };
        if self.take_up(id, call, cost(payload.len()), Some(&origin)).is_none() {
            return;
        }
        let relay = self.env.draw_call();
        if let Some(owed) = self.links.get_mut(&id).and_then(|link| link.owed.get_mut(&call)) {
            owed.relay = Some(relay);
        }
        let timeout = Duration::from_millis(timeout_ms).min(LONGEST_TIMEOUT);
        let restarted = has(Planted::TimeoutRestarted);
        let timeout = if restarted { self.env.local.config.request_timeout } else { timeout };
        let (owed, deadline) = (Owed { link: id, call }, self.env.now + timeout);
        let sought = Destination::from(target);
        let relayed = Relayed {
            owed,
            call: relay,
            is_tick,
            event: event.clone(),
            sought: sought.clone(),
            since: self.env.now,
        };
        let message = Message { event: event.clone(), headers, payload };
        let whose = Whose::Peer(Box::new(relayed));
        self.begin_call(relay, whose, (deadline, depth), Some(message), true);
        let mine = origin == self.env.local.id || visited.contains(&self.env.local.id);
        if !visited.contains(&self.env.local.id) && visited.len() < ROUTERS_ASKED {
            visited.push(self.env.local.id.clone());
        }
        let route = Route {
            fallback: Some(sought.clone()).filter(|_| hops_left > 0 && !mine),
            origin: Some(origin.clone()),
            visited,
            hops_left: hops_left.saturating_sub(u8::from(!has(Planted::HopsUncounted))),
        };
        if let Some(call) = self.calls.get_mut(&relay) {
            (call.route, call.phase) = (Some(Box::new(route)), Phase::Searching);
        }
        let found = if mine {
            Some(Ok(Vec::new()))
        } else {
            let served = has(Planted::OriginServed);
            let origin = if served { self.env.local.id.clone() } else { origin };
            self.search((relay, id), sought, event, origin)
        };
        if let Some(found) = found {
            self.found(relay, found);
        }
    }

    /// Looks for those who will do, or has somebody else look, if that takes long.
    fn search(
        &mut self,
        (relay, from): (CallId, LinkId),
        sought: Destination,
        event: EventName,
        origin: NodeId,
    ) -> Option<Result<Vec<Step>, Error>> {
        let search = match Search::new(&sought, &mut self.relays.filters, &event, origin) {
            Ok(search) => search,
            Err(error) => return Some(Err(error)),
        };
        let elsewhere = self.env.local.router.is_some_and(|role| role.chooses_elsewhere);
        if !elsewhere && search.is_light(&self.directory) {
            return Some(search.steps(&self.directory, &Random, self.env.rng.fork(), self.env.now));
        }
        self.look_later(from, Waiting { call: relay, search, page: None });
        None
    }

    /// Has somebody else look, when it is that peer's turn. No more wait than may be open and were given up since the last count.
    fn look_later(&mut self, from: LinkId, waiting: Waiting) {
        let mut queue = self.relays.waiting.remove(&from).unwrap_or_default();
        let open = self.links.get(&from).map_or(0, |link| link.calls_granted as usize);
        if queue.len() >= 2 * open {
            queue.retain(|waiting| self.is_awaited(waiting.call));
        }
        queue.push_back(waiting);
        self.relays.waiting.insert(from, queue);
        self.look_on();
    }

    #[cfg(test)]
    pub(super) fn searches_waiting(&self) -> usize {
        self.relays.waiting.values().map(VecDeque::len).sum()
    }

    /// Hands searches on while few are under way, one of each link by turns.
    fn look_on(&mut self) {
        while self.relays.looking < SEARCHES_AT_ONCE {
            let behind = (Bound::Excluded(self.relays.last_looked), Bound::Unbounded);
            let next = self.relays.waiting.range(behind).next().map(|(link, _)| *link);
            let next = next.or_else(|| self.relays.waiting.keys().next().copied());
            let Some(link) = next else { return };
            self.relays.last_looked = link;
            let Some(queue) = self.relays.waiting.get_mut(&link) else { return };
            let first = queue.pop_front();
            if queue.is_empty() {
                self.relays.waiting.remove(&link);
            }
            let Some(Waiting { call, search, page }) =
                first.filter(|first| self.is_awaited(first.call))
            else {
                continue;
            };
            self.relays.looking += 1;
            let directory = self.directory.clone();
            self.env.out.push(Output::Choose(Choose { call, directory, search, page }));
        }
    }

    /// Whether anybody still waits for what is found.
    fn is_awaited(&self, call: CallId) -> bool {
        let Some(owed) = self.relays.pages.get(&call) else {
            return self.calls.get(&call).is_some_and(|call| call.phase == Phase::Searching);
        };
        self.links.get(&owed.link).is_some_and(|link| link.owed.contains_key(&owed.call))
    }

    /// Nobody waits any more for what that peer has asked for.
    pub(super) fn forget_searches(&mut self, link: LinkId) {
        self.relays.pages.retain(|_, owed| owed.link != link);
        self.relays.waiting.remove(&link);
    }

    /// Whoever was looked for off the loop has been found, or not.
    pub(super) fn looked(&mut self, call: CallId, chosen: Result<Chosen, Error>) {
        self.relays.looking = self.relays.looking.saturating_sub(1);
        match (self.relays.pages.remove(&call), chosen) {
            (Some(owed), Ok(Chosen::Page { peers, more })) => {
                self.answer(owed, Answer::Page { peers, more });
            }
            (Some(owed), Err(error)) => self.answer(owed, Answer::Fault(error)),
            (None, Ok(Chosen::Steps(steps))) => self.found(call, Ok(steps)),
            (None, Err(error)) => self.found(call, Err(error)),
            // Whoever asked for the page has left.
            (None, Ok(Chosen::Page { .. })) => self.env.counters.unwanted_answers += 1,
            (Some(_), Ok(Chosen::Steps(_))) => unreachable!("a page is asked for, not a choice"),
        }
        self.look_on();
    }

    /// The call by which this router forwards goes to those who were found, and then to other routers.
    fn found(&mut self, relay: CallId, found: Result<Vec<Step>, Error>) {
        // Its time may be over since.
        let Some(call) = self.calls.get_mut(&relay) else { return };
        if call.phase != Phase::Searching {
            return;
        }
        call.phase = Phase::Planning;
        call.by_path =
            matches!(&call.whose, Whose::Peer(relayed) if relayed.sought == Destination::Path);
        let mut steps = match found {
            Ok(steps) => steps.into_iter(),
            Err(error) => return self.end_call(relay, Err(error)),
        };
        let Some(first) = steps.next() else {
            // What is said if no other router knows anybody either.
            let Whose::Peer(relayed) = &call.whose else { return };
            let error = nobody(&relayed.sought, Some(self.env.local.id.clone()));
            return self.next_step(relay, error);
        };
        if call.is_tick() {
            return self.relay_tick(relay, first, steps.collect());
        }
        call.steps = steps.rev().collect();
        self.place(relay, first, None);
    }

    /// A tick that this router forwards goes to a peer like any other tick, and may wait for room there.
    fn relay_tick(&mut self, relay: CallId, first: Step, alternates: Vec<Step>) {
        let Some(call) = self.calls.remove(&relay) else { return };
        self.env.timers.disarm(call.timer);
        let Some(message) = call.message else { return };
        let (room, waits, by_path) = (None, true, false);
        let plan = Plan { first, alternates, room, waits, by_path, route: call.route };
        self.tick(OurTick { plan, message, until: Some(call.deadline), whose: call.whose });
    }

    /// These calls of that link, but for those that this router was to forward and has not begun to send.
    pub(super) fn without_unsent(&self, link: LinkId, mut calls: Vec<CallId>) -> Vec<CallId> {
        let Some(owed) = self.links.get(&link).map(|link| &link.owed) else { return calls };
        calls.retain(|call| {
            let relay = owed.get(call).and_then(|owed| owed.relay);
            relay.is_none_or(|relay| self.is_begun(relay))
        });
        calls
    }

    /// A tick that this router forwards stands in line there.
    pub(super) fn note_line(&mut self, relayed: &Relayed, line: LinkId) {
        let Owed { link, call } = relayed.owed;
        let owed = self.links.get_mut(&link).and_then(|link| link.owed.get_mut(&call));
        if let Some(owed) = owed {
            owed.line = Some(line);
        }
    }

    /// Nobody waits any more for what this router forwards by that call. A tick in line is no call meanwhile, and would keep its data in a
    /// memory in which nobody counts them any more.
    pub(super) fn give_up_relay(&mut self, relay: CallId, line: Option<LinkId>) {
        self.give_up(relay, ErrorKind::Cancelled);
        self.relays.pages.remove(&relay);
        let Some(line) = line else { return };
        let Some(link) = self.links.get_mut(&line) else { return };
        let is_meant = |parked: &ParkedTick<T>| match &parked.tick.whose {
            Whose::Peer(relayed) => relayed.call == relay,
            Whose::Caller(_) | Whose::Tick(_) => false,
        };
        let at = link.lines.ticks.iter().position(is_meant);
        let Some(parked) = at.and_then(|at| link.lines.ticks.remove(at)) else { return };
        self.env.timers.disarm(parked.timer);
        if let Whose::Peer(relayed) = parked.tick.whose {
            let error = Error::new(ErrorKind::Cancelled, "nobody waits for the tick any more");
            self.relayed(*relayed, Err(error), None);
        }
        self.env.touch(line);
    }

    /// A call by which this router forwards has ended: that is the answer to who wanted it forwarded, if it still waits.
    pub(super) fn relayed(
        &mut self,
        relayed: Relayed,
        result: Result<Done, Error>,
        route: Option<Box<Route>>,
    ) {
        let Relayed { owed, is_tick, event, since, .. } = relayed;
        let good = result.is_ok();
        if is_tick {
            self.relays.counts.tick(&event, good);
        } else {
            let took = self.env.now.saturating_duration_since(since);
            self.relays.counts.request(&event, took, good);
        }
        let waits = |link: &super::link::Link<T>| link.owed.contains_key(&owed.call);
        if !self.links.get(&owed.link).is_some_and(waits) {
            return;
        }
        let (answer, handler) = match result {
            Ok(Done::Answered(answered)) if !is_tick => {
                let handler = answered.handler.unwrap_or_else(|| answered.peer.id.clone());
                (Answer::Reply(answered.payload), Some(handler))
            }
            Ok(_) => (Answer::Reply(Payload::null()), None),
            Err(error) => {
                let handler = error.peer().filter(|peer| **peer != self.env.local.id).cloned();
                (self.answer_of(error), handler)
            }
        };
        // Whoever may ask another router then, must not ask these again.
        let in_vain = matches!(&answer, Answer::Fault(error) if !error.may_have_run());
        let tells = in_vain && !has(Planted::AskedUntold);
        let asked = route.filter(|_| tells).map(|route| route.visited).unwrap_or_default();
        self.answer_with(owed, answer, Passed { handler, asked });
    }

    /// An error as it is passed on: that of a handler as it was, one of this node's end as who asked will understand it.
    fn answer_of(&self, error: Error) -> Answer {
        if error.kind() == ErrorKind::Handler && error.has_handler_code() {
            let data = error.data_item().map(|item| Payload::from_item_slice(item));
            let (code, message) = (error.code().to_owned(), error.message().to_owned());
            return Answer::Failure { code, message, data };
        }
        if error.kind() == ErrorKind::Closed {
            let ran = error.execution();
            let kind =
                if ran == Execution::Never { ErrorKind::Busy } else { ErrorKind::ConnectionLost };
            let why = format!("the router {} has stopped meanwhile", self.env.local.id);
            return Answer::Fault(Error::new(kind, why).with_execution(ran));
        }
        Answer::Fault(error)
    }

    /// A peer wants to know which peers of this router match.
    pub(super) fn peers_asked(&mut self, id: LinkId, call: CallId, question: DirectoryQuestion) {
        let Some(sender) = self.sender(id) else { return };
        let me = &self.env.local.id;
        let refusal = match self.env.local.router {
            None => Some((
                ErrorKind::Refused,
                format!("{me} is no router and answers no such question"),
            )),
            Some(role) if !role.tells => Some((
                ErrorKind::PredicateNotRoutable,
                format!("the router {me} does not tell which peers it has"),
            )),
            Some(_) => None,
        };
        if let Some((kind, why)) = refusal {
            if self.take_place(id).is_some() {
                self.push_fault(id, call, Error::new(kind, why));
            }
            return;
        }
        let DirectoryQuestion { filter, after, limit } = question;
        if self.take_up(id, call, cost(filter.len()), None).is_none() {
            return;
        }
        let owed = Owed { link: id, call };
        let asker = sender.id.clone();
        let search = match Search::by_filter(&filter, &mut self.relays.filters, asker) {
            Ok(search) => search,
            Err(error) => return self.answer(owed, Answer::Fault(error)),
        };
        let limit = usize::try_from(limit).unwrap_or(DIRECTORY_PAGE).clamp(1, DIRECTORY_PAGE);
        let number = self.env.draw_call();
        self.relays.pages.insert(number, owed);
        if let Some(owed) = self.links.get_mut(&id).and_then(|link| link.owed.get_mut(&call)) {
            owed.relay = Some(number);
        }
        let page = Some(Page { after, limit });
        self.look_later(id, Waiting { call: number, search, page });
    }
}

/// Whether a router says that it, and those it has asked, know nobody.
pub(super) fn is_no_match(error: &Error) -> bool {
    let in_vain = matches!(
        error.kind(),
        ErrorKind::NoNodesMatchFilter | ErrorKind::NodeNotFound | ErrorKind::NotFound
    );
    in_vain && !error.may_have_run()
}

impl From<Target<'_>> for Destination {
    fn from(target: Target<'_>) -> Self {
        match target {
            Target::Id(id) => Self::Id(id),
            Target::Filter(bytes) => Self::Filter(bytes.into()),
            Target::Path => Self::Path,
        }
    }
}
