//! This node's messages on its links: queued, taken back, ended. It must not know what a message
//! is for.

use std::time::Instant;

use super::Links;
use crate::error::Execution;
use crate::id::{CallId, LinkId};
use crate::proto::ReplyTo;
use crate::proto::env::{Env, Timer};
use crate::proto::link::announce::Change;
use crate::proto::link::inbound::{Forwarded, ForwardedAt};
use crate::proto::link::wait_queue::Ticket;
use crate::proto::planted::{Planted, has};
use crate::proto::queue::{Item, Seq};
use crate::proto::traffic::{OutboundTick, Outgoing, WaitingTick};
use crate::routing::cost;
use crate::wire::Control;

/// What taking a call back came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Withdrawn {
    pub(crate) execution: Execution,
    /// The receiver is this node itself, which is to cancel what it began.
    pub(crate) cancels_own: bool,
}

impl<T> Links<T> {
    /// Queues a message of a call that has capacity there.
    #[inline]
    pub(crate) fn send(
        &mut self,
        id: LinkId,
        call: CallId,
        outgoing: Outgoing,
        env: &mut Env<T>,
    ) -> Option<Seq> {
        let link = self.known(id)?;
        let seq = link.queue.push(outgoing.item);
        link.outbound.begin(call, outgoing.kept);
        link.inbound.budget().earn();
        env.touch(id);
        Some(seq)
    }

    /// Queues a tick that has capacity there.
    #[inline]
    pub(crate) fn send_tick(&mut self, id: LinkId, item: Item, env: &mut Env<T>) {
        let Some(link) = self.known(id) else { return };
        link.ticks.accept(item.cost as u64);
        link.queue.push(item);
        link.inbound.budget().earn();
        env.touch(id);
    }

    /// A call is on a link no more.
    #[inline]
    pub(crate) fn end_call(&mut self, id: LinkId, call: CallId, kept: usize, env: &mut Env<T>) {
        if self.by_id.get_mut(&id).is_some_and(|link| link.outbound.end(call, kept)) {
            env.touch(id);
            if kept > 0 {
                self.recount(id, env);
            }
        }
    }

    /// Takes a call back if its message is not framed, else has the peer cancel it.
    pub(crate) fn withdraw(&mut self, id: LinkId, call: CallId, seq: Seq) -> Withdrawn {
        let never = Withdrawn { execution: Execution::Never, cancels_own: false };
        let Some(link) = self.known(id) else { return never };
        if let Some(cost) = link.queue.withdraw(seq) {
            link.outbound.capacity().give_queue(cost);
            return never;
        }
        let cancels_own = id == LinkId::OWN;
        if !cancels_own {
            link.queue.push_cancel(seq, &Control::Cancel { call });
        }
        let never = has(Planted::NeverClaimed);
        let execution = if never { Execution::Never } else { Execution::Unknown };
        Withdrawn { execution, cancels_own }
    }

    /// A call waits for capacity: until then, and for so much.
    pub(crate) fn wait(
        &mut self,
        id: LinkId,
        (call, until, cost): (CallId, Instant, usize),
        env: &mut Env<T>,
    ) -> Option<Ticket> {
        let link = self.known(id)?;
        env.touch(id);
        Some(link.outbound.wait(call, until, cost))
    }

    /// A tick waits for capacity until then.
    pub(crate) fn wait_with_tick(
        &mut self,
        id: LinkId,
        tick: OutboundTick<T>,
        until: Instant,
        env: &mut Env<T>,
    ) -> Option<Ticket> {
        let link = self.known(id)?;
        env.touch(id);
        let cost = cost(tick.message.payload.len());
        let queue = link.outbound.waiting();
        let timer = env.timers.arm(until, Timer::WaitingTick(id, queue.next_ticket()));
        Some(queue.push_tick(WaitingTick { tick, timer }, until, cost))
    }

    /// A call waits no more.
    pub(crate) fn stop_waiting(&mut self, id: LinkId, ticket: Ticket, env: &mut Env<T>) {
        if let Some(link) = self.by_id.get_mut(&id) {
            link.outbound.waiting().remove_call(ticket);
            env.touch(id);
        }
    }

    /// A tick waits no more.
    pub(crate) fn take_tick(
        &mut self,
        id: LinkId,
        ticket: Ticket,
        env: &mut Env<T>,
    ) -> Option<WaitingTick<T>> {
        let link = self.by_id.get_mut(&id)?;
        env.touch(id);
        link.outbound.waiting().remove_tick(ticket)
    }

    /// The peer has finished ticks of this node. Returns how many it has since the link stands, or
    /// `None` if that cannot be true.
    pub(crate) fn on_confirmed(
        &mut self,
        id: LinkId,
        ticks: u64,
        cost: u64,
        env: &mut Env<T>,
    ) -> Option<u64> {
        let link = self.by_id.get_mut(&id)?;
        let newly = link.ticks.confirm(ticks, cost)?;
        if newly > 0 {
            link.outbound.capacity().give_ticks(newly);
            env.touch(id);
        }
        Some(link.ticks.confirmed())
    }

    /// The peer grants another tick window and another number of calls.
    pub(crate) fn on_grant(&mut self, id: LinkId, tick_window: u64, calls: u32, env: &mut Env<T>) {
        if let Some(link) = self.by_id.get_mut(&id) {
            link.outbound.capacity().set_tick_window(tick_window);
            link.outbound.capacity().set_calls_limit(calls);
            env.touch(id);
        }
    }

    /// Options or services of this node have changed. Links whose handshake is under way announce
    /// it once they have joined: their hello may have said the old value.
    pub(crate) fn announce_change(&mut self, change: Change, env: &mut Env<T>) {
        let open =
            self.ids(|link| (link.is_ready() || link.is_joining()) && link.id != LinkId::OWN);
        for id in open {
            let Some(link) = self.by_id.get_mut(&id) else { continue };
            link.announce.changed(change);
            env.touch(id);
            if link.announces_at().is_some_and(|at| at > env.now) {
                self.arm_liveness(id, env);
            }
        }
    }

    /// Queues a heartbeat on a link that wrote nothing for a while, and gives memory back that only
    /// a busy link needs.
    pub(crate) fn keep_alive(&mut self, id: LinkId, env: &mut Env<T>) {
        let Some(link) = self.known(id) else { return };
        link.queue.rest();
        link.liveness.heartbeat_queued(env.now);
        if !link.liveness.is_writing() {
            self.heartbeat(id, 0, env);
        }
    }

    /// The requests that a goodbye lists: they may have run and get no reply any more. Not those that
    /// this router was to forward and has not begun to send. `None` if they are too many.
    pub(crate) fn taken_up(&self, id: LinkId) -> Option<Vec<CallId>> {
        let link = self.get(id)?;
        let mut calls = link.unanswered()?;
        calls.retain(|call| match link.inbound.forward_of(*call).map(|forward| forward.at) {
            None => true,
            Some(ForwardedAt::Queued(link, seq)) => {
                self.get(link).is_some_and(|link| link.queue.is_begun(seq))
            }
            Some(ForwardedAt::Nowhere | ForwardedAt::Waiting(..)) => false,
        });
        Some(calls)
    }

    /// Notes how a router carries out a request of a peer.
    pub(crate) fn note_forward(&mut self, reply_to: ReplyTo, call: CallId, at: ForwardedAt) {
        if let Some(link) = self.by_id.get_mut(&reply_to.link) {
            link.inbound.forward(reply_to.call, Forwarded { call, at });
        }
    }

    /// Confirms what handlers have finished of this node's ticks to itself, also what would be
    /// reported later with more of it.
    pub(crate) fn confirm_to_self(&mut self) {
        if let Some(link) = self.by_id.get_mut(&LinkId::OWN) {
            let (ticks, cost) = link.ticks.finished();
            // They were written, so the report is true.
            let _ = link.ticks.confirm(ticks, cost);
        }
    }
}
