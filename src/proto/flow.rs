//! Ticks: taken with credit, confirmed by the receiver's handlers, and the state that is told whenever a link is written.

use std::time::Instant;

use super::calls::{Whose, from_origin, name_for, too_large};
use super::env::Timer;
use super::handshake::pages;
use super::leave::lost_unsent;
use super::line::ParkedTick;
use super::mesh::Mesh;
use super::queue::{Item, ItemHead};
use super::{Done, Message, Output, Tick};
use crate::config::TELL_PAUSE;
use crate::error::{Error, ErrorKind};
use crate::id::{LinkId, NodeId};
use crate::options::Options;
use crate::routing::{Plan, Services, cost};
use crate::wire::Control;

/// A tick that this node sends, its own or a peer's that it forwards.
#[derive(Debug)]
pub(super) struct OurTick<T> {
    pub(super) plan: Plan,
    pub(super) message: Message,
    /// How long it may wait for room, if it may.
    pub(super) until: Option<Instant>,
    pub(super) whose: Whose<T>,
}

impl<T> From<Tick<T>> for OurTick<T> {
    fn from(tick: Tick<T>) -> Self {
        let Tick { plan, message, wait } = tick;
        let (until, token) = wait.unzip();
        Self { plan, message, until, whose: Whose::Tick(token) }
    }
}

impl<T> Mesh<T> {
    /// Queues a tick at the first of its plan that is here and has room. If none has, it stands in line at the first that is here, if it
    /// may wait.
    pub(super) fn tick(&mut self, mut tick: OurTick<T>) {
        let bytes = tick.message.payload.len();
        let cost = cost(bytes);
        let (mut full, mut small, mut room) = (None, None, tick.plan.room);
        for step in std::iter::once(&tick.plan.first).chain(&tick.plan.alternates) {
            let target = self.peers.route(step);
            let Some(link) = target.and_then(|link| self.links.get_mut(&link)) else { continue };
            let taken = room == Some(link.id);
            let fits = bytes <= link.theirs.message_bytes;
            if fits && (taken || link.takes_tick(cost)) {
                let link = link.id;
                name_for(&mut tick.message, step);
                return self.queue_tick(link, tick);
            }
            if fits {
                full = full.or_else(|| Some((link.id, step.clone())));
                continue;
            }
            small = small.or(Some(link.theirs.message_bytes));
            if taken {
                link.gauge.give_queue(cost);
                link.gauge.give_ticks(cost as u64);
                // Another step may lead to the same peer.
                room = None;
            }
        }
        tick.plan.room = room;
        match (full, small, tick.until) {
            (Some((link, step)), _, Some(until)) => {
                name_for(&mut tick.message, &step);
                if let Whose::Peer(relayed) = &tick.whose {
                    self.note_line(relayed, link);
                }
                self.next_parked += 1;
                let number = self.next_parked;
                let timer = self.env.timers.arm(until, Timer::WaitingTick(link, number));
                self.park_tick(ParkedTick { number, tick, timer }, link);
            }
            (None, Some(most), _) => self.tick_unplaced(tick, too_large(bytes, most)),
            // The first choice left between the caller's look at the directory and now, and nobody else can take it.
            _ => {
                let error = lost_unsent(&self.name_of(&tick));
                self.tick_unplaced(tick, error);
            }
        }
    }

    pub(super) fn queue_tick(&mut self, id: LinkId, tick: OurTick<T>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let cost = cost(tick.message.payload.len());
        let Message { event, headers, payload } = tick.message;
        let headers = from_origin(headers, tick.plan.route.as_deref());
        let head = ItemHead::Tick { event, headers };
        link.queue.push(Item { head, payload, cost });
        link.ticks_out.accepted += 1;
        link.ticks_out.accepted_cost += cost as u64;
        link.budget.earn();
        match tick.whose {
            Whose::Caller(token) | Whose::Tick(Some(token)) => {
                self.env.out.push(Output::Complete { token, result: Ok(Done::Nothing) });
            }
            Whose::Tick(None) => {}
            Whose::Peer(relayed) => self.relayed(*relayed, Ok(Done::Nothing), None),
        }
        self.env.touch(id);
    }

    /// Whom it was for.
    fn name_of(&self, tick: &OurTick<T>) -> NodeId {
        self.peers.name(tick.plan.first.peer).unwrap_or_else(|| self.env.local.id.clone())
    }

    /// The tick goes nowhere: who waits is told why, else the program is told that one was lost. Of the thousands that may have
    /// been on their way when a link was lost it is told in one event, for so many would make it miss others.
    pub(super) fn tick_unplaced(&mut self, tick: OurTick<T>, error: Error) {
        let onward = tick.plan.route.as_ref().is_some_and(|route| route.fallback.is_some());
        match tick.whose {
            // Whoever was to take it has left: what routers know is worth asking.
            Whose::Tick(_) if onward && error.kind() == ErrorKind::ConnectionLost => {
                self.tick_onward(tick, error);
            }
            Whose::Caller(token) | Whose::Tick(Some(token)) => {
                self.env.out.push(Output::Complete { token, result: Err(error) });
            }
            Whose::Tick(None) => self.env.report_undelivered(&self.name_of(&tick), false),
            Whose::Peer(_) => self.tick_onward(tick, error),
        }
    }

    /// Handlers of this node have finished ticks.
    pub(super) fn consumed(&mut self, id: LinkId, ticks: u64, cost: u64) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.is_ready()) else {
            return self.orphans_finished(cost);
        };
        link.ticks_in.finish(ticks, cost);
        link.in_hand -= usize::try_from(cost).unwrap_or(usize::MAX).min(link.in_hand);
        self.env.touch(id);
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.ticks_in.is_due() {
            link.tell_consumed = true;
            self.env.touch(id);
        }
    }

    /// The peer's handlers have finished ticks of ours.
    pub(super) fn confirmed(&mut self, id: LinkId, ticks: u64, cost: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match link.ticks_out.confirm(ticks, cost) {
            Some(newly) => {
                link.gauge.give_ticks(newly);
                self.flushes_confirmed(id);
                self.env.touch(id);
            }
            None => self.violated(id, "it confirms ticks that were never sent"),
        }
    }

    /// Puts what is to be told into the control queue, built from its current value: a storm of changes costs one
    /// message per link and write.
    pub(super) fn refresh(&mut self, id: LinkId) {
        let now = self.env.now;
        let Some(link) = self.links.get_mut(&id).filter(|link| link.is_ready()) else { return };
        let tells = link.tells_at().is_some_and(|at| at <= now);
        if !(link.tell_consumed || link.tell_calls || tells) || !link.queue.has_control_room() {
            return;
        }
        let mut controls = Vec::new();
        if std::mem::take(&mut link.tell_calls) {
            let (tick_window, calls) = (link.ticks_in.window, link.calls_granted);
            controls.push(Control::Grant { tick_window, calls });
        }
        if std::mem::take(&mut link.tell_consumed) {
            let (ticks, cost) = (link.ticks_in.finished, link.ticks_in.finished_cost);
            let most = self.env.local.config.limits.tick_window_most_bytes;
            controls.push(Control::Consumed { ticks, cost });
            let window = link.ticks_in.window;
            if link.ticks_in.report(now)
                && window < most
                && self.granted + window <= self.memory.windows()
            {
                let wider = (window * 2).min(most);
                self.granted += wider - window;
                link.granted += wider - window;
                link.ticks_in.window = wider;
                let calls = link.calls_granted;
                controls.push(Control::Grant { tick_window: wider, calls });
            }
        }
        let others = controls.len();
        if tells && std::mem::take(&mut link.tell_options) {
            let (version, options) = (self.options_version, self.env.local.options.clone());
            controls.push(Control::Options { version, options });
        }
        if tells && std::mem::take(&mut link.tell_services) {
            let pages = pages(&self.env.local.services);
            let (version, count) = (self.services_version, pages.len());
            controls.extend(pages.into_iter().enumerate().map(|(index, names)| {
                Control::ServicesChanged { version, last: index + 1 == count, names }
            }));
        }
        if tells {
            link.tell_after = now + TELL_PAUSE * (controls.len() - others) as u32;
        }
        if id == LinkId::OWN {
            return controls.into_iter().for_each(|control| self.control(id, control));
        }
        for control in &controls {
            link.queue.push_state(control);
        }
    }

    pub(super) fn set_options(&mut self, options: Options) {
        self.change_own(|own| own.options = options.clone());
        self.env.local.options = options;
        self.options_version += 1;
        // Calls that wait for somebody may be about this node itself.
        self.env.out.push(Output::Publish);
        self.tell_all(|link| link.tell_options = true);
    }

    pub(super) fn set_services(&mut self, services: Vec<String>) {
        self.change_own(|own| own.services = Services::new(services.clone()));
        self.env.local.services = services;
        self.services_version += 1;
        // Calls that wait for somebody who serves a path may be about this node itself.
        self.env.out.push(Output::Publish);
        self.tell_all(|link| link.tell_services = true);
    }

    /// Links whose handshake is under way are told once they have joined: their hello may have said the old value.
    fn tell_all(&mut self, tell: impl Fn(&mut super::link::Link<T>)) {
        let open = |link: &&super::link::Link<T>| {
            (link.is_ready() || link.is_joining()) && link.id != LinkId::OWN
        };
        let open: Vec<LinkId> = self.links.values().filter(open).map(|link| link.id).collect();
        for id in open {
            if let Some(link) = self.links.get_mut(&id) {
                tell(link);
            }
            self.env.touch(id);
            let now = self.env.now;
            let later = |link: &super::link::Link<T>| {
                link.is_ready() && link.tells_at().is_some_and(|at| at > now)
            };
            if self.links.get(&id).is_some_and(later) {
                self.arm_liveness(id);
            }
        }
    }
}
