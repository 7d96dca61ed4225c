//! The end of a link: goodbyes and refusals that are read, peers that leave, calls and ticks that are lost with it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::Output;
use super::env::disarm;
use super::line::{Lines, ParkedTick};
use super::link::{Shaking, State};
use super::mesh::Mesh;
use super::planted::{Planted, has};
use super::stop::closed;
use super::topology::{DialOutcome, LinkLeft};
use crate::config::LINGER;
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{LinkId, NodeId};
use crate::node_event::{Direction, LeftReason, NodeEvent};
use crate::wire::{Control, Farewell};

impl<T> Mesh<T> {
    /// A joined link is no longer routable: from here on nothing is sent to it, and what was pending on it is decided.
    /// The link itself stays for the caller to close or forget.
    pub(super) fn leave(&mut self, id: LinkId, reason: LeftReason) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(key) = link.peer.take() else { return };
        let pending = std::mem::take(&mut link.pending);
        let lines = std::mem::replace(&mut link.lines, Lines::new());
        let owed = std::mem::take(&mut link.owed);
        let (unwritten, unconfirmed) = (link.ticks_out.unwritten(), link.ticks_out.unconfirmed());
        let (direction, dial) = (link.direction, link.dial);
        self.granted -= std::mem::take(&mut link.granted);
        self.memory.joined -= 1;
        let relays: Vec<_> =
            owed.values().filter_map(|call| Some((call.relay?, call.line))).collect();
        // Cancelled requests leave the workers' queue without having run.
        link.in_hand -= owed.values().map(|call| call.cost).sum::<usize>();
        // What is kept for our requests goes on with them.
        link.kept = 0;
        for call in owed.values() {
            call.cancelled.store(true, Relaxed);
        }
        self.orphaned(id);
        let peer = self.unlink_peer(key, id, direction, reason.clone());
        if unwritten + unconfirmed > 0 && !has(Planted::LossUntold) {
            self.env.out.push(Output::Event(NodeEvent::Undelivered {
                id: peer.clone(),
                unwritten,
                unconfirmed,
            }));
        }
        if reason == LeftReason::SlowPeer {
            self.env.counters.slow_peers += 1;
            self.env.out.push(Output::Event(NodeEvent::SlowPeer { id: peer.clone() }));
        }
        for call in pending.into_iter().filter(|_| !has(Planted::ForgottenOnClose)) {
            self.call_lost(call, id, &peer);
        }
        for call in lines.calls {
            self.next_step(call, lost_unsent(&peer));
        }
        for parked in lines.ticks {
            self.parked_lost(parked);
        }
        self.flushes_lost(id);
        for (relay, line) in relays {
            self.give_up_relay(relay, line);
        }
        self.forget_searches(id);
        let gave_up = self.has_given_up(&peer);
        let (peer, reason) = (&peer, &reason);
        let left = LinkLeft { link: id, direction, dial, key, peer, reason, gave_up };
        self.topology.link_left(&mut self.env, &self.peers, left);
    }

    /// A tick that waited for room was not sent: it goes on to the next of its plan, if there is one.
    fn parked_lost(&mut self, parked: ParkedTick<T>) {
        self.env.timers.disarm(parked.timer);
        if self.stopping.is_some() {
            return self.tick_unplaced(parked.tick, closed());
        }
        self.tick(parked.tick);
    }

    /// Says goodbye and closes: `reason` is what this node's own program is told, `farewell` what the peer reads.
    pub(super) fn say_goodbye(&mut self, id: LinkId, farewell: Farewell, reason: LeftReason) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.is_closing() {
            return;
        }
        if id == LinkId::OWN {
            return self.end_own();
        }
        if !link.is_ready() && !link.is_joining() {
            return self.forget(id, true);
        }
        if matches!(link.state, State::Greeting { .. }) && link.direction == Direction::Down {
            // Nothing was agreed on yet: a message would be taken for the greeting of something else.
            return self.linger(id);
        }
        let (ticks, cost) = (link.ticks_in.finished, link.ticks_in.finished_cost);
        // True whatever the reason is: what is read from here on is dropped, also that of a peer that broke the protocol.
        let taken_up = link.cut_off();
        let taken_up = taken_up.map(|calls| self.without_unsent(id, calls));
        self.count_staged(id);
        self.leave(id, reason);
        self.close_with(id, &Control::Goodbye { reason: farewell, ticks, cost, taken_up });
    }

    /// Sends a last message and closes once it is read, or after a bounded time.
    pub(super) fn close_with(&mut self, id: LinkId, last: &Control) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.queue.drop_unframed();
        link.queue.push_state(last);
        self.linger(id);
    }

    /// Writes what is staged, shuts the write side, and waits for the other side to do the same.
    pub(super) fn linger(&mut self, id: LinkId) {
        let until = self.env.now + LINGER;
        self.note_given_up(id);
        let Some(link) = self.links.get_mut(&id) else { return };
        link.state = State::Closing { discarded: 0, shut: false, ended: false };
        link.dial = None;
        self.recheck |= !self.held.is_empty();
        self.shaking.remove(&id);
        self.arm_link(id, until);
        self.env.touch(id);
    }

    /// The other side sends no more: what is staged for it is still written, then the link is dropped.
    pub(super) fn finish_writing(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if !link.is_closing() {
            link.queue.drop_unframed();
            self.linger(id);
        }
        if let Some(State::Closing { ended, .. }) =
            self.links.get_mut(&id).map(|link| &mut link.state)
        {
            *ended = true;
        }
        self.env.touch(id);
    }

    /// What is staged on a link that lingers will be written, and what may be read may run.
    pub(super) fn count_staged(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            let written = link.queue.count_staged();
            link.ticks_out.written(written.ticks, written.tick_cost);
        }
    }

    /// A closing link that has written everything shuts its write side, and is dropped when the other has done so.
    pub(super) fn all_written(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if !link.queue.is_empty() {
            return;
        }
        if let State::Closing { shut, ended, .. } = &mut link.state {
            if *ended {
                return self.forget(id, true);
            }
            if !*shut {
                *shut = true;
                self.env.out.push(Output::Shut { link: id });
            }
        }
    }

    /// The other side broke the protocol.
    pub(super) fn violated(&mut self, id: LinkId, why: &'static str) {
        self.broke(id, why, why);
    }

    /// The same, counted under a `reason` that says less than the text.
    pub(super) fn broke(&mut self, id: LinkId, reason: &'static str, why: &str) {
        let Some(link) = self.links.get(&id) else { return };
        *self.env.violations.entry(reason).or_default() += 1;
        log::debug!(target: "threadmesh::proto", "{} broke the protocol: {why}", link.remote);
        if link.is_joining() {
            let text = format!("{}: the other side broke the protocol: {why}", link.remote);
            self.joining_failed(id, Error::new(ErrorKind::Incompatible, text), DialOutcome::Final);
        }
        let farewell = Farewell::Protocol(why.to_owned());
        self.say_goodbye(id, farewell, LeftReason::Protocol(why.to_owned()));
    }

    /// A handshake has failed. Whoever dialled is told; the link stays for the caller to close or forget.
    pub(super) fn joining_failed(&mut self, id: LinkId, error: Error, ending: DialOutcome) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let dial = link.dial.take();
        if let Some(dial) = dial {
            self.topology.attempt_failed(&mut self.env, &self.peers, dial, error, ending);
        }
    }

    /// A link ends that this node has dialled and said ready on: the other side may have taken it for the newer one, and closed the older.
    fn note_given_up(&mut self, id: LinkId) {
        let (now, lately) = (self.env.now, self.env.local.config.handshake_timeout * 2);
        let Some(link) = self.links.get(&id) else { return };
        let State::Hello(Shaking { hello: Some(hello), ready: true, .. }) = &link.state else {
            return;
        };
        if link.direction == Direction::Up {
            self.given_up.retain(|_, at| now.saturating_duration_since(*at) < lately);
            self.given_up.insert(hello.id.clone(), now);
        }
    }

    /// Whether a handshake with that node was given up a moment ago.
    pub(super) fn has_given_up(&self, id: &NodeId) -> bool {
        let lately = self.env.local.config.handshake_timeout * 2;
        let since = |at: &Instant| self.env.now.saturating_duration_since(*at);
        self.given_up.get(id).is_some_and(|at| since(at) < lately)
    }

    /// Drops a link. `hang` tells the shell, which has forgotten the socket otherwise.
    pub(super) fn forget(&mut self, id: LinkId, hang: bool) {
        self.note_given_up(id);
        let Some(mut link) = self.links.remove(&id) else { return };
        self.recheck |= !self.held.is_empty();
        debug_assert!(link.peer.is_none(), "a joined link leaves before it is forgotten");
        disarm(&mut self.env.timers, &mut link.timer);
        self.granted -= link.granted;
        self.held_no_more(link.held);
        self.shaking.remove(&id);
        if hang {
            self.env.out.push(Output::Hang { link: id });
        }
    }
}

/// The peer's goodbye says that it did not take the request up: it crossed the request on the way.
pub(super) fn passed_over(peer: &NodeId) -> Error {
    let why = format!("{peer} said goodbye before it took the request up; it did not run");
    Error::new(ErrorKind::ConnectionLost, why)
        .with_execution(Execution::Never)
        .with_peer(peer.clone())
}

/// The link was gone before the message was wholly written.
pub(super) fn lost_unsent(peer: &NodeId) -> Error {
    let why = format!("the link to {peer} was lost before the message was sent; it did not run");
    Error::new(ErrorKind::ConnectionLost, why)
        .with_execution(Execution::Never)
        .with_peer(peer.clone())
}
