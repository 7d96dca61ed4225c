//! Who is alive: heartbeats when nothing else was written, silence, stalled writing, and our own suspension.

use std::time::{Duration, Instant};

use super::link::State;
use super::mesh::Mesh;
use super::planted::{Planted, has};
use crate::id::LinkId;
use crate::node_event::LeftReason;
use crate::wire::{Control, Farewell};

/// An echo is evidence of life for this long, and a question is not repeated within it.
const ASK_AGAIN: Duration = Duration::from_millis(100);

impl<T> Mesh<T> {
    /// Moves the engine's clock. After a gap in which this node itself was suspended, nobody else is to blame for
    /// the silence: everybody gets the whole time again.
    pub(super) fn pass_time(&mut self, now: Instant) {
        let gap = now.saturating_duration_since(self.env.now);
        self.env.now = now.max(self.env.now);
        let suspended = gap > self.env.local.config.heartbeat_interval * 2;
        if suspended && !has(Planted::SuspensionBlamed) {
            for link in self.links.values_mut() {
                (link.heard, link.progress) = (self.env.now, self.env.now);
            }
        }
    }

    /// A joined link is looked at again when the first of its times may come.
    pub(super) fn arm_liveness(&mut self, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        let config = &self.env.local.config;
        let mut next =
            (link.wrote + link.theirs.heartbeat).min(link.heard + config.liveness_timeout);
        if link.writing {
            next = next.min(link.progress + config.write_stall);
        }
        next = link.tells_at().map_or(next, |at| next.min(at));
        let announces = self.topology.next_announce_at(id);
        let announces = announces.filter(|_| link.queue.has_control_room());
        next = announces.map_or(next, |at| next.min(at));
        let soonest = self.env.now + Duration::from_millis(1);
        self.arm_link(id, next.max(soonest));
    }

    /// The link's timer has expired.
    pub(super) fn link_due(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.timer = None;
        match &link.state {
            State::Dialling | State::Own => {}
            State::Greeting { .. } | State::Hello(_) => self.handshake_due(id),
            State::Probing { .. } => self.judge(id),
            State::Ready => self.look_at(id),
            State::Closing { .. } => self.forget(id, true),
        }
    }

    fn look_at(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let (now, config) = (self.env.now, &self.env.local.config);
        if now >= link.heard + config.liveness_timeout && !has(Planted::SilenceForgiven) {
            return self.say_goodbye(id, Farewell::Silent, LeftReason::Silent);
        }
        let stalled = link.writing && now >= link.progress + config.write_stall;
        if stalled && !has(Planted::StallForgiven) {
            self.leave(id, LeftReason::SlowPeer);
            return self.forget(id, true);
        }
        if now >= link.wrote + link.theirs.heartbeat {
            if self.close_double(id) {
                return;
            }
            let Some(link) = self.links.get_mut(&id) else { return };
            link.queue.rest();
            if !link.writing {
                self.heartbeat(id, 0);
            }
            if let Some(link) = self.links.get_mut(&id) {
                link.wrote = now;
            }
        }
        self.env.touch(id);
        self.arm_liveness(id);
    }

    /// Nothing else was written for a while.
    fn heartbeat(&mut self, id: LinkId, stamp: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let (ticks, cost) = (link.ticks_in.finished, link.ticks_in.finished_cost);
        link.ticks_in.report(self.env.now);
        link.tell_consumed = false;
        let echo = std::mem::take(&mut link.echo);
        let control = Control::Heartbeat { ticks, cost, stamp, echo };
        link.queue.push_state(&control);
        self.env.touch(id);
    }

    /// The other side wants to see life.
    pub(super) fn echo_heartbeat(&mut self, id: LinkId, stamp: u64) {
        if let Some(link) = self.links.get_mut(&id) {
            link.echo = stamp;
            self.heartbeat(id, 0);
        }
    }

    /// This side wants to see life. Many newcomers that claim one id ask its owner once: each question costs an answer,
    /// and a flood of them would look like one of the owner's.
    pub(super) fn ask_for_life(&mut self, id: LinkId) {
        let stamp = self.env.rng.u64(1..=u64::from(u32::MAX));
        let now = self.env.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.asked.is_some_and(|asked| now < asked + ASK_AGAIN) {
            return;
        }
        (link.asked, link.echoed) = (Some(now), false);
        self.heartbeat(id, stamp);
    }
}
