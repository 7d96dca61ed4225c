//! Who waits for room on a link: calls in one line and ticks in another, because a call needs a place among the open calls and
//! a tick the window. What they both need is the queue: while the first of one line waits for it, nobody passes.

use std::collections::VecDeque;
use std::time::Instant;

use super::flow::OurTick;
use super::mesh::Mesh;
use super::planted::{Planted, has};
use super::timers::TimerId;
use crate::error::{Error, ErrorKind};
use crate::id::{CallId, LinkId};
use crate::routing::{Full, Gauge, cost};

/// A tick that waits for room.
#[derive(Debug)]
pub(super) struct ParkedTick<T> {
    pub(super) number: u64,
    pub(super) tick: OurTick<T>,
    pub(super) timer: TimerId,
}

/// Both lines of a link, first come first served in each.
#[derive(Debug)]
pub(super) struct Lines<T> {
    pub(super) calls: VecDeque<CallId>,
    pub(super) ticks: VecDeque<ParkedTick<T>>,
    /// The first of a line waits for the queue.
    short: bool,
    /// The line that is looked at first, since the other one was last.
    ticks_first: bool,
}

/// What became of the first of a line.
#[allow(clippy::large_enum_variant)] // It is moved once, and ticks that wait are rare.
enum Head<T> {
    Nobody,
    /// It waits for what only its line needs, or its time is over.
    Waits,
    /// It waits for the queue.
    Short,
    Call(CallId),
    Tick(ParkedTick<T>),
}

impl<T> Lines<T> {
    pub(super) fn new() -> Self {
        Self { calls: VecDeque::new(), ticks: VecDeque::new(), short: false, ticks_first: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.ticks.is_empty()
    }

    /// Whether a call that comes now stands behind nobody.
    pub(super) fn admit_calls(&self) -> bool {
        self.calls.is_empty() && !self.short
    }

    /// Whether a tick that comes now stands behind nobody.
    pub(super) fn admit_ticks(&self) -> bool {
        self.ticks.is_empty() && !self.short
    }

    /// Lets callers see whether they have to stand in line.
    fn show(&mut self, short: bool, gauge: &Gauge) {
        self.short = short && !self.is_empty();
        gauge.set_lines(!self.admit_calls(), !self.admit_ticks());
    }
}

impl<T> Mesh<T> {
    /// The call waits for room on that link.
    pub(super) fn park_call(&mut self, id: CallId, on: LinkId) {
        let Some(link) = self.links.get_mut(&on) else { return };
        link.lines.calls.push_back(id);
        self.env.touch(on);
    }

    /// The tick waits for room on that link.
    pub(super) fn park_tick(&mut self, parked: ParkedTick<T>, on: LinkId) {
        let Some(link) = self.links.get_mut(&on) else { return };
        link.lines.ticks.push_back(parked);
        self.env.touch(on);
    }

    /// The call waits no more. Others are looked at later by whoever asked for this.
    pub(super) fn unpark_call(&mut self, id: CallId, from: LinkId) {
        let Some(link) = self.links.get_mut(&from) else { return };
        // Thousands may stand there and leave together, from the front with who asked for them, or from the back when the node stops.
        let line = &mut link.lines.calls;
        let is_last = line.back() == Some(&id);
        let at =
            if is_last { Some(line.len() - 1) } else { line.iter().position(|call| *call == id) };
        at.and_then(|at| line.remove(at));
    }

    /// A tick's patience is over.
    pub(super) fn parked_tick_due(&mut self, id: LinkId, number: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let at = link.lines.ticks.iter().position(|parked| parked.number == number);
        let parked = at.and_then(|at| link.lines.ticks.remove(at));
        if let Some(ParkedTick { tick, .. }) = parked {
            let why =
                "the peer had no room for the tick for as long as it might wait; nothing was sent";
            self.env.counters.unroomed += 1;
            self.tick_unplaced(tick, Error::new(ErrorKind::Backpressure, why));
        }
        self.env.touch(id);
    }

    /// Room may have come free on a link: whoever waits longest takes it, calls and ticks by turns.
    ///
    /// Whoever's time is over is about to be told so by a timer, which then calls here again, and must not be sent meanwhile.
    pub(super) fn admit_waiting(&mut self, id: LinkId) {
        loop {
            let Some(link) = self.links.get(&id).filter(|link| !link.lines.is_empty()) else {
                return self.show_lines(id, false);
            };
            let first = link.lines.ticks_first;
            let head = match self.take_head(id, first) {
                Head::Nobody | Head::Waits => self.take_head(id, !first),
                head => head,
            };
            match head {
                Head::Nobody | Head::Waits => return self.show_lines(id, false),
                Head::Short => return self.show_lines(id, true),
                Head::Call(call) => self.queue_call(call, id),
                Head::Tick(ParkedTick { tick, timer, .. }) => {
                    self.env.timers.disarm(timer);
                    self.queue_tick(id, tick);
                }
            }
        }
    }

    fn show_lines(&mut self, id: LinkId, short: bool) {
        if let Some(link) = self.links.get_mut(&id) {
            link.lines.show(short, &link.gauge);
        }
    }

    /// Takes the first of a line if there is room for it.
    fn take_head(&mut self, id: LinkId, ticks: bool) -> Head<T> {
        let now = self.env.now;
        let in_time = |until: Instant| now < until || has(Planted::RoomForTheLate);
        let Some(link) = self.links.get_mut(&id) else { return Head::Nobody };
        let lines = &mut link.lines;
        let taken = if ticks {
            let Some(ParkedTick { tick, .. }) = lines.ticks.front() else { return Head::Nobody };
            if !tick.until.is_none_or(in_time) {
                return Head::Waits;
            }
            link.gauge.take_tick(cost(tick.message.payload.len()))
        } else {
            let Some(call) = lines.calls.front() else { return Head::Nobody };
            let call = self.calls.get(call);
            if !call.is_none_or(|call| in_time(call.deadline)) {
                return Head::Waits;
            }
            let message = call.and_then(|call| call.message.as_ref());
            link.gauge.take_call(message.map_or(0, |message| cost(message.payload.len())))
        };
        match taken {
            Err(Full::Queue | Full::Memory) => return Head::Short,
            Err(_) => return Head::Waits,
            Ok(()) => lines.ticks_first = !ticks,
        }
        let tick = if ticks { lines.ticks.pop_front().map(Head::Tick) } else { None };
        tick.or_else(|| lines.calls.pop_front().map(Head::Call)).unwrap_or(Head::Nobody)
    }
}
