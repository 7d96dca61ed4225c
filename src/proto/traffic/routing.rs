//! Messages that a router forwards for its peers, and their queries for its peers.

use std::time::Instant;

use super::Traffic;
use super::calls::{Begin, Calls, Initiator, no_match};
use super::forwards::{Forward, Forwards, SearchJob, passed_on};
use crate::config::{DIRECTORY_PAGE, ROUTERS_ASKED};
use crate::error::{Error, ErrorKind};
use crate::id::{CallId, LinkId, NodeId};
use crate::payload::Payload;
use crate::proto::effect::Effect;
use crate::proto::env::Env;
use crate::proto::links::ReplyTrail;
use crate::proto::planted::{Planted, has};
use crate::proto::reach::Reach;
use crate::proto::traffic::{Found, InboundForward};
use crate::proto::{Answer, Chosen, Done, Local, Message, Page, ReplyTo};
use crate::routing::{Destination, Route, Step};
use crate::routing_stats::RoutingStats;
use crate::wire::DirectoryQuestion;

/// Forwards.
impl<T> Traffic<T> {
    /// A peer wants a message placed: the call by which this router does so. Returns what to do
    /// with it, unless its receivers are being looked for off the loop.
    pub(crate) fn forward(
        &mut self,
        id: CallId,
        inbound: InboundForward,
        reach: &Reach<'_, T>,
        env: &mut Env<T>,
    ) -> Option<Found<T>> {
        let InboundForward { reply_to, is_tick, deadline, depth, event, headers, payload, .. } =
            inbound;
        let InboundForward { origin, sought, hops_left, mut visited, .. } = inbound;
        let own = env.local.id.clone();
        let mine = origin == own || visited.contains(&own);
        if !visited.contains(&own) && visited.len() < ROUTERS_ASKED {
            visited.push(own.clone());
        }
        let route = Route {
            fallback: Some(sought.clone()).filter(|_| hops_left > 0 && !mine),
            origin: Some(origin.clone()),
            visited,
            hops_left: hops_left.saturating_sub(u8::from(!has(Planted::HopsUncounted))),
        };
        let message = Some(Message { event: event.clone(), headers, payload });
        let forward = Forward::new(reply_to, id, is_tick, (event, sought), env.now);
        let found = if mine {
            Ok(Ok(Vec::new()))
        } else {
            let origin = if has(Planted::OriginServed) { own } else { origin };
            self.forwards.search(&forward, origin, reach.directory(), env)
        };
        let initiator = Initiator::Peer(Box::new(forward));
        self.calls.begin(id, Begin { initiator, deadline, depth, message, waits: true }, env);
        self.calls.search(id, route);
        match found {
            Ok(found) => self.found(id, found, env),
            Err(search) => {
                let job = SearchJob { call: id, search, page: None };
                self.search_later(reply_to.link, job, reach, env);
                None
            }
        }
    }

    /// The receivers of a forward are known, or there is none.
    pub(super) fn found(
        &mut self,
        id: CallId,
        found: Result<Vec<Step>, Error>,
        env: &mut Env<T>,
    ) -> Option<Found<T>> {
        // Its time may be over since.
        let sought = match self.calls.initiator(id) {
            Some(Initiator::Peer(forward)) if self.calls.is_searching(id) => {
                forward.sought().clone()
            }
            _ => return None,
        };
        match found {
            Ok(steps) => {
                let is_empty = steps.is_empty();
                self.calls.found(id, steps, sought == Destination::Path);
                if is_empty {
                    // The error if no other router knows a match either.
                    self.calls.never_ran(id, no_match(&sought, Some(env.local.id.clone())));
                }
                let tick = self.calls.take_tick(id, env).map(Box::new);
                Some(tick.map_or(Found::Call(id), Found::Tick))
            }
            Err(error) => {
                self.end(id, Err(error), env);
                None
            }
        }
    }

    pub(super) fn search_later(
        &mut self,
        from: LinkId,
        job: SearchJob,
        reach: &Reach<'_, T>,
        env: &mut Env<T>,
    ) {
        let open = reach.granted_calls(from);
        let calls = &self.calls;
        let awaited = |forwards: &Forwards, call| is_awaited(calls, forwards, call, reach);
        self.forwards.search_later(from, job, open, awaited);
        self.forwards.search_on(reach.directory(), awaited, env);
    }

    /// The search thread has finished a search.
    pub(crate) fn on_search_done(
        &mut self,
        call: CallId,
        chosen: Result<Chosen, Error>,
        reach: &Reach<'_, T>,
        env: &mut Env<T>,
    ) -> Option<Found<T>> {
        self.forwards.on_search_done();
        let trail = ReplyTrail::default();
        let found = match (self.forwards.end_query(call), chosen) {
            (Some(reply_to), Ok(Chosen::Page { peers, more })) => {
                env.then(Effect::Reply { reply_to, answer: Answer::Page { peers, more }, trail });
                None
            }
            (Some(reply_to), Err(error)) => {
                env.then(Effect::Reply { reply_to, answer: Answer::Fault(error), trail });
                None
            }
            (None, Ok(Chosen::Steps(steps))) => self.found(call, Ok(steps), env),
            (None, Err(error)) => self.found(call, Err(error), env),
            // The peer that asked for the page gave up, or left.
            (None, Ok(Chosen::Page { .. })) => {
                env.counters.unwanted_answers += 1;
                None
            }
            (Some(_), Ok(Chosen::Steps(_))) => unreachable!("a page is asked for, not a choice"),
        };
        let calls = &self.calls;
        let awaited = |forwards: &Forwards, call| is_awaited(calls, forwards, call, reach);
        self.forwards.search_on(reach.directory(), awaited, env);
        found
    }

    /// A peer wants to know which peers of this router match: looks for them as `call`.
    pub(crate) fn on_query(
        &mut self,
        call: CallId,
        reply_to: ReplyTo,
        (question, requester): (DirectoryQuestion, NodeId),
        reach: &Reach<'_, T>,
        env: &mut Env<T>,
    ) {
        let DirectoryQuestion { filter, after, limit } = question;
        match self.forwards.query(reply_to, &filter, requester, call) {
            Ok(search) => {
                let limit = usize::try_from(limit).unwrap_or(DIRECTORY_PAGE);
                let page = Some(Page { after, limit: limit.clamp(1, DIRECTORY_PAGE) });
                self.search_later(reply_to.link, SearchJob { call, search, page }, reach, env);
            }
            Err(error) => {
                let (answer, trail) = (Answer::Fault(error), ReplyTrail::default());
                env.then(Effect::Reply { reply_to, answer, trail });
            }
        }
    }

    /// The peer gave up the query that is answered by that search.
    pub(crate) fn query_cancelled(&mut self, call: CallId) {
        self.forwards.end_query(call);
    }

    /// A call by which this router forwards has ended: that is the reply to the peer.
    pub(super) fn forward_ended(
        &mut self,
        forward: &Forward,
        result: Result<Done, Error>,
        route: Option<Box<Route>>,
        env: &mut Env<T>,
    ) {
        self.forwards.count(forward, result.is_ok(), env.now);
        let (answer, handler) = match result {
            Ok(Done::Answered(answered)) if !forward.is_tick() => {
                let handler = answered.handler.unwrap_or_else(|| answered.peer.id.clone());
                (Answer::Reply(answered.payload), Some(handler))
            }
            Ok(_) => (Answer::Reply(Payload::null()), None),
            Err(error) => {
                let handler = error.peer().filter(|peer| **peer != env.local.id).cloned();
                (passed_on(error, &env.local.id), handler)
            }
        };
        // A requester that may ask another router then, must not ask these again.
        let in_vain = matches!(&answer, Answer::Fault(error) if !error.may_have_run());
        let tells = in_vain && !has(Planted::AskedUntold);
        let asked = route.filter(|_| tells).map(|route| route.visited).unwrap_or_default();
        env.then(Effect::Reply {
            reply_to: forward.reply_to(),
            answer,
            trail: ReplyTrail { handler, asked },
        });
    }

    pub(crate) fn on_stats_due(&mut self, env: &mut Env<T>) {
        self.forwards.on_stats_due(env);
    }

    pub(crate) fn stats(&mut self, reset: bool, now: Instant) -> RoutingStats {
        self.forwards.stats(reset, now)
    }
}

/// Whether anything still waits for what a search finds.
fn is_awaited<T>(calls: &Calls<T>, forwards: &Forwards, id: CallId, reach: &Reach<'_, T>) -> bool {
    match forwards.query_of(id) {
        Some(reply_to) => reach.is_handled(reply_to),
        None => calls.is_searching(id),
    }
}

/// Why this node answers no query for its peers, if it does not.
pub(crate) fn refused_query(local: &Local) -> Option<Error> {
    let own = &local.id;
    let (kind, why) = match local.router {
        None => (ErrorKind::Refused, format!("{own} is no router and answers no such question")),
        Some(role) if !role.tells => (
            ErrorKind::PredicateNotRoutable,
            format!("the router {own} does not tell which peers it has"),
        ),
        Some(_) => return None,
    };
    Some(Error::new(kind, why))
}
