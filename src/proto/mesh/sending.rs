//! The dispatcher, for calls, ticks and forwards on their way: a part says where a message goes, and
//! it is queued there. It must not decide what a part can decide.

use super::Mesh;
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{CallId, LinkId, NodeId};
use crate::payload::Payload;
use crate::proto::ReplyTo;
use crate::proto::link::inbound::{Forwarded, ForwardedAt};
use crate::proto::link::wait_queue::{Admitted, Ticket};
use crate::proto::links::Left;
use crate::proto::planted::{Planted, has};
use crate::proto::traffic::{
    self, Found, InboundForward, Initiator, OutboundTick, Phase, Placed, ReplyBody, RouterQuery,
    TickPlace, WaitingTick,
};
use crate::routing::cost;
use crate::wire::{self, DirectoryQuestion};

/// Calls.
impl<T> Mesh<T> {
    /// Sends a call on its way, as far as it gets now.
    pub(super) fn place(&mut self, call: CallId) {
        let (reach, env) = (self.connections.reach(), &mut self.env);
        match self.traffic.place(call, &reach, env) {
            Some(Placed::Send(link)) => self.send(call, link),
            Some(Placed::Wait { link, until, cost }) => {
                if let Some(ticket) = self.connections.links.wait(link, (call, until, cost), env) {
                    if let Some(reply_to) = self.traffic.waits(call, link, ticket) {
                        self.connections.links.note_forward(reply_to, call, ForwardedAt::Nowhere);
                    }
                }
            }
            Some(Placed::Failed(error)) => self.traffic.end(call, Err(error), env),
            None => {}
        }
    }

    /// Sends the message of a call that has capacity on that link.
    #[inline]
    pub(super) fn send(&mut self, call: CallId, link: LinkId) {
        let reach = self.connections.reach();
        if let Some(outgoing) = self.traffic.outgoing(call, link, &reach, &mut self.env) {
            self.queue(call, link, outgoing);
        }
    }

    #[inline]
    pub(super) fn queue(&mut self, call: CallId, link: LinkId, outgoing: traffic::Outgoing) {
        let Some(seq) = self.connections.links.send(link, call, outgoing, &mut self.env) else {
            return;
        };
        if let Some(reply_to) = self.traffic.sent(call, (link, seq), self.env.now) {
            self.connections.links.note_forward(reply_to, call, ForwardedAt::Queued(link, seq));
        }
    }

    /// A message that waited on a link has got its capacity.
    pub(super) fn on_admitted(&mut self, link: LinkId, admitted: Admitted<WaitingTick<T>>) {
        match admitted {
            Admitted::Call(call) => self.send(call, link),
            Admitted::Tick(WaitingTick { tick, timer }) => {
                self.env.timers.disarm(timer);
                self.send_tick(link, tick);
            }
        }
    }

    /// A reply has come in over a link.
    pub(super) fn on_reply(&mut self, from: LinkId, call: CallId, reply: Result<ReplyBody, Error>) {
        let reach = self.connections.reach();
        let queued = self.traffic.queued_on(call, from);
        let Some((_, kept)) = queued.filter(|(seq, _)| reach.is_written(from, *seq)) else {
            self.env.counters.late_answers += 1;
            #[cfg(test)]
            super::check::take_late_reply(self, reply);
            return;
        };
        self.connections.links.end_call(from, call, kept, &mut self.env);
        let reach = self.connections.reach();
        if self.traffic.on_reply(call, from, reply, &reach, &mut self.env) {
            self.place(call);
        }
    }

    /// Ends a call before its reply: withdraws it if it is not framed, else has the peer cancel it.
    pub(super) fn give_up(&mut self, call: CallId, kind: ErrorKind) {
        // Its reply may have crossed the cancel of its caller.
        let Some(phase) = self.traffic.phase(call) else { return };
        let env = &mut self.env;
        let (link, kind, execution) = match phase {
            Phase::Planning | Phase::Searching => (None, kind, Execution::Never),
            Phase::Waiting(link, ticket) => {
                self.connections.links.stop_waiting(link, ticket, env);
                let in_vain = kind == ErrorKind::RequestTimeout;
                env.counters.backpressured += u64::from(in_vain);
                let kind = if in_vain { ErrorKind::Backpressure } else { kind };
                (Some(link), kind, Execution::Never)
            }
            Phase::Queued(link, seq) => {
                let withdrawn = self.connections.links.withdraw(link, call, seq);
                if withdrawn.cancels_own {
                    self.on_cancel(link, call);
                }
                let kept = self.traffic.kept(call).unwrap_or(0);
                self.connections.links.end_call(link, call, kept, &mut self.env);
                let reach = self.connections.reach();
                self.traffic.note_given_up(call, (link, kind), &reach, self.env.now);
                (Some(link), kind, withdrawn.execution)
            }
        };
        let peer = link.and_then(|link| self.peer_id(link));
        let error = traffic::given_up(kind, peer, execution);
        self.traffic.end(call, Err(error), &mut self.env);
    }

    /// The link of a call is gone.
    pub(super) fn on_call_lost(&mut self, call: CallId, left: &Left<T>, peer: &NodeId) {
        let Some(Phase::Queued(_, seq)) = self.traffic.phase(call) else {
            // It was a forward, and has ended with the other link of its requester.
            return;
        };
        let forwards = matches!(self.traffic.initiator(call), Some(Initiator::Peer(_)));
        let again = has(Planted::SentAgain) || has(Planted::ForwardedAgain) && forwards;
        if !left.is_written(seq) || again {
            self.traffic.never_ran(call, traffic::lost_unsent(peer));
        } else if left.unsent.was_passed_over(call) {
            self.traffic.never_ran(call, traffic::passed_over(peer));
        } else {
            if let Some(pace) = self.connections.peers.pace(peer) {
                pace.failed(self.env.now);
            }
            return self.traffic.end(call, Err(traffic::lost_sent(peer)), &mut self.env);
        }
        self.place(call);
    }

    /// Has a router name its peers that match.
    pub(super) fn query_router(&mut self, query: RouterQuery<T>) {
        let (call, reach) = (query.call, self.connections.reach());
        if let Some((link, outgoing)) = self.traffic.query(query, &reach, &mut self.env) {
            self.queue(call, link, outgoing);
        }
    }
}

/// Ticks.
impl<T> Mesh<T> {
    pub(super) fn place_tick(&mut self, mut tick: OutboundTick<T>) {
        let reach = self.connections.reach();
        match traffic::place_tick(&mut tick, &reach, &self.env) {
            TickPlace::Send(link) => self.send_tick(link, tick),
            TickPlace::Wait(link, until) => {
                let forwards = tick.forwards();
                let ticket =
                    self.connections.links.wait_with_tick(link, tick, until, &mut self.env);
                if let (Some((reply_to, call)), Some(ticket)) = (forwards, ticket) {
                    self.connections.links.note_forward(
                        reply_to,
                        call,
                        ForwardedAt::Waiting(link, ticket),
                    );
                }
            }
            TickPlace::Nowhere(error) => self.tick_unplaced(tick, error),
        }
    }

    pub(super) fn send_tick(&mut self, link: LinkId, tick: OutboundTick<T>) {
        let (item, initiator) = tick.into_item();
        self.connections.links.send_tick(link, item, &mut self.env);
        self.traffic.tick_sent(initiator, &mut self.env);
    }

    pub(super) fn tick_unplaced(&mut self, tick: OutboundTick<T>, error: Error) {
        let reach = self.connections.reach();
        if let Some(call) = self.traffic.tick_unplaced(tick, error, &reach, &mut self.env) {
            self.place(call);
        }
    }

    /// A tick has waited for capacity as long as it may.
    pub(super) fn on_waiting_tick_due(&mut self, link: LinkId, ticket: Ticket) {
        let waiting = self.connections.links.take_tick(link, ticket, &mut self.env);
        let Some(WaitingTick { tick, .. }) = waiting else {
            debug_assert!(false, "a tick that waits no more has no timer");
            return;
        };
        self.env.counters.backpressured += 1;
        let why =
            "the peer had no room for the tick for as long as it might wait; nothing was sent";
        self.tick_unplaced(tick, Error::new(ErrorKind::Backpressure, why));
    }
}

/// Forwards of a router.
impl<T> Mesh<T> {
    /// A peer wants a message placed: a tick or not, and its data.
    pub(super) fn on_forward(
        &mut self,
        id: LinkId,
        forward: wire::Forward<'_>,
        message: (bool, Payload),
    ) -> Result<(), &'static str> {
        let env = &mut self.env;
        let Some(sender) = self.connections.sender(id) else { return Ok(()) };
        let (call, own) = (forward.call, &env.local.id);
        let refusal = if env.local.router.is_none() {
            Some((ErrorKind::Refused, format!("{own} is no router and forwards nothing")))
        } else if !forward.headers.have_room() {
            let why = format!("{own} cannot pass on so many headers of the protocol");
            Some((ErrorKind::TooLarge, why))
        } else {
            None
        };
        if let Some((kind, why)) = refusal {
            return self.connections.links.refuse(id, call, Error::new(kind, why), env);
        }
        // Only a router forwards for others.
        let is_router = sender.options.is_router();
        let origin = if is_router { forward.origin.clone() } else { sender.id.clone() };
        let cost = cost(message.1.len());
        if self.connections.links.accept(id, call, cost, Some(&origin), env)?.is_none() {
            return Ok(());
        }
        let (reply_to, by) = (ReplyTo { link: id, call }, env.draw_call());
        self.connections.links.note_forward(reply_to, by, ForwardedAt::Nowhere);
        let inbound = InboundForward::new(reply_to, forward, message, origin, env);
        let reach = self.connections.reach();
        let found = self.traffic.forward(by, inbound, &reach, env);
        self.on_found(found);
        Ok(())
    }

    pub(super) fn on_found(&mut self, found: Option<Found<T>>) {
        match found {
            Some(Found::Call(call)) => self.place(call),
            Some(Found::Tick(tick)) => self.place_tick(*tick),
            None => {}
        }
    }

    /// A peer wants to know which peers of this router match.
    pub(super) fn on_directory_query(
        &mut self,
        id: LinkId,
        call: CallId,
        question: DirectoryQuestion,
    ) -> Result<(), &'static str> {
        let env = &mut self.env;
        let Some(requester) = self.connections.sender(id).map(|peer| peer.id.clone()) else {
            return Ok(());
        };
        if let Some(error) = traffic::refused_query(&env.local) {
            return self.connections.links.refuse(id, call, error, env);
        }
        let cost = cost(question.filter.len());
        if self.connections.links.accept(id, call, cost, None, env)?.is_none() {
            return Ok(());
        }
        let (reply_to, by) = (ReplyTo { link: id, call }, env.draw_call());
        self.connections.links.note_forward(reply_to, by, ForwardedAt::Nowhere);
        let reach = self.connections.reach();
        self.traffic.on_query(by, reply_to, (question, requester), &reach, env);
        Ok(())
    }

    /// A peer gave up a request.
    pub(super) fn on_cancel(&mut self, id: LinkId, call: CallId) {
        if let Some(forward) = self.connections.links.on_cancel(id, call, &mut self.env) {
            self.cancel_forward(forward);
        }
    }

    /// Nothing waits any more for what this router forwards, or answers by a search.
    pub(super) fn cancel_forward(&mut self, Forwarded { call, at }: Forwarded) {
        self.give_up(call, ErrorKind::Cancelled);
        self.traffic.query_cancelled(call);
        // A tick that waits is no call meanwhile.
        let ForwardedAt::Waiting(link, ticket) = at else { return };
        if let Some(WaitingTick { tick, timer }) =
            self.connections.links.take_tick(link, ticket, &mut self.env)
        {
            self.env.timers.disarm(timer);
            self.traffic.tick_cancelled(tick, &mut self.env);
        }
    }
}
