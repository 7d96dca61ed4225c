//! The dispatcher, for links that end and for the end of the node. It must not decide what a part can
//! decide.

use super::Mesh;
use crate::error::ErrorKind;
use crate::id::{CallId, LinkId, NodeId};
use crate::node_event::{Direction, LeftReason};
use crate::proto::effect::Effect;
use crate::proto::link::Link;
use crate::proto::link::announce::Change;
use crate::proto::links::Left;
use crate::proto::planted::{Planted, has};
use crate::proto::stop::StopStep;
use crate::proto::topology::{DialId, LinkLeft};
use crate::proto::traffic::{self, WaitingTick};
use crate::proto::{Command, Done, Output};
use crate::wire::Farewell;

/// What follows from links that end, and the end of the node.
impl<T> Mesh<T> {
    /// A joined link is lost: decides what was under way on it.
    pub(super) fn on_link_left(&mut self, left: Left<T>, peer: &NodeId, reason: &LeftReason) {
        let id = left.link;
        for call in left.unsent.in_flight.iter().filter(|_| !has(Planted::ForgottenOnClose)) {
            self.on_call_lost(*call, &left, peer);
        }
        let Left { direction, dial, peer: key, mut unsent, forwards, .. } = left;
        for call in unsent.waiting.calls() {
            self.traffic.never_ran(call, traffic::lost_unsent(peer));
            self.place(call);
        }
        for WaitingTick { tick, timer } in unsent.waiting.take_ticks() {
            self.env.timers.disarm(timer);
            let forwards = tick.forwards();
            if forwards.is_some_and(|(reply_to, _)| !self.connections.links.is_handled(reply_to)) {
                self.traffic.tick_cancelled(tick, &mut self.env);
            } else if self.env.stopping {
                self.tick_unplaced(tick, traffic::closed());
            } else {
                // It was not sent: it goes on to the next of its plan, if there is one.
                self.place_tick(tick);
            }
        }
        self.traffic.link_lost(id, &mut self.env);
        for forward in forwards {
            self.cancel_forward(forward);
        }
        if id != LinkId::OWN {
            let gave_up = self.connections.links.has_abandoned(peer, &self.env);
            let left = LinkLeft { link: id, direction, dial, key, peer, reason, gave_up };
            self.topology.link_left(&mut self.env, &self.connections.peers, left);
        }
    }

    /// A link that is not used is closed if its peer has another one and nothing needs it.
    ///
    /// Only then: on a link that has just joined, a request may be under way that came right behind
    /// the handshake.
    pub(super) fn on_link_quiet(&mut self, id: LinkId, dial: DialId) {
        if self.topology.is_dispensable(self.env.now, id, dial) {
            let (farewell, reason) = (Farewell::Replaced, LeftReason::Replaced);
            self.connections.close(id, farewell, reason, &mut self.env);
        } else {
            self.connections.links.keep_alive(id, &mut self.env);
        }
    }

    /// Queues what there is to announce of members, as far as there is capacity: pages at once,
    /// single members in a measure that no receiver takes for a flood.
    pub(super) fn announce_members(&mut self, id: LinkId) {
        let Some(link) = self.connections.links.get_mut(id).filter(|link| link.is_ready()) else {
            return;
        };
        let queue = &mut link.queue;
        while queue.has_control_room() {
            let Some(page) = self.topology.next_page(id) else { break };
            queue.push_state(&page);
        }
        if queue.has_control_room() {
            for member in self.topology.next_announcements(self.env.now, id) {
                queue.push_state(&member);
            }
        }
        link.announce.members_at(self.topology.next_announce_at(id));
        if self.topology.settle_link(id) {
            self.connections.links.arm_liveness(id, &mut self.env);
        }
    }

    pub(super) fn announce(&mut self, change: Change) {
        // Calls that wait for a match may be about this node itself.
        self.env.out.push(Output::Publish);
        self.connections.links.announce_change(change, &mut self.env);
    }

    pub(super) fn unbind(&mut self, token: T) {
        let env = &mut self.env;
        self.topology.unbind(env);
        for link in self.connections.links.ids(|link| link.direction == Direction::Down) {
            let (farewell, reason) = (Farewell::Disconnect, LeftReason::Disconnected);
            env.then(Effect::CloseLink { link, farewell, reason });
        }
        self.run_effects();
        self.topology.announce_listening(&mut self.env);
        self.env.complete(token, Ok(Done::Nothing));
    }

    pub(super) fn begin_stop(&mut self, bound: std::time::Duration, token: Option<T>) {
        let env = &mut self.env;
        self.stop.begin(bound, token, env);
        self.topology.stop(env, &traffic::closed());
        // A tick that waits for capacity on the self link would come too late.
        for WaitingTick { tick, timer } in self.connections.links.take_ticks_to_self(&mut self.env)
        {
            self.env.timers.disarm(timer);
            self.tick_unplaced(tick, traffic::closed());
        }
        let plain = self.traffic.stop(&mut self.env);
        self.cut_calls(&plain);
        let joining = self.connections.links.ids(|link| !link.is_ready());
        self.close_all(joining);
    }

    fn close_all(&mut self, links: Vec<LinkId>) {
        for link in links {
            let (farewell, reason) = (Farewell::Stop, LeftReason::Stopped);
            self.env.then(Effect::CloseLink { link, farewell, reason });
        }
        self.run_effects();
    }

    /// Ends calls because the node stops.
    pub(super) fn cut_calls(&mut self, calls: &[CallId]) {
        for call in calls.iter().filter(|_| !has(Planted::CallersLeft)) {
            let reach = self.connections.reach();
            self.stop.cut(self.traffic.cut(*call, &reach));
            self.give_up(*call, ErrorKind::Closed);
        }
    }

    /// Once the node is stopping, and when it has stopped, every command but another stop is
    /// refused.
    pub(super) fn refuse(&mut self, command: Command<T>) {
        match command {
            Command::Stop { token, .. } => self.stop.join(token),
            Command::Cancel { call } => self.give_up(call, ErrorKind::Cancelled),
            Command::Tick(tick) => self.tick_unplaced(tick.into(), traffic::closed()),
            command => {
                if let Some(token) = command.into_token() {
                    self.env.complete(token, Err(traffic::closed()));
                }
            }
        }
    }

    /// Checks whether a stop can go on; after every input. True if it did.
    pub(super) fn proceed_stop(&mut self) -> bool {
        if self.stop.is_draining() && self.traffic.is_idle() && self.connections.links.are_drained()
        {
            self.part();
        } else if self.stop.is_parting() && self.connections.links.is_empty() {
            self.stop.finish(&mut self.env);
        } else {
            return false;
        }
        true
    }

    pub(super) fn on_stop_due(&mut self) {
        match self.stop.on_due() {
            StopStep::Nothing => {}
            StopStep::Part => self.part(),
            StopStep::Drop => {
                for id in self.connections.links.ids(|_| true) {
                    self.connections.drop_now(id, LeftReason::Stopped, &mut self.env);
                    self.run_effects();
                }
            }
        }
    }

    /// Counts what is cut off, and says goodbye on all links.
    pub(super) fn part(&mut self) {
        let calls = self.traffic.calls();
        self.cut_calls(&calls);
        // What that answers to peers goes out before the goodbyes.
        self.settle_links();
        self.stop.cut(self.connections.links.cut_off());
        self.stop.part(&mut self.env);
        let ready = self.connections.links.ids(Link::is_ready);
        self.close_all(ready);
    }
}
