//! One TCP connection as the engine sees it: its state, what was heard, what is owed and what is to be written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::line::Lines;
use super::planted::{Planted, has};
use super::queue::{Item, SendQueue};
use super::ticks::{TicksIn, TicksOut};
use super::timers::TimerId;
use super::topology::DialId;
use crate::config::{
    CONTROL_BURST, CONTROL_PER_SECOND, Config, GOODBYE_CALLS, HANDSHAKE_FRAME_BYTES,
    STALL_BYTES_PER_SECOND,
};
use crate::id::{CallId, LinkId, NodeId, PeerKey};
use crate::node_event::Direction;
use crate::routing::Gauge;
use crate::wire::{FrameReader, Hello};

/// Where a link is in its life. A link is routable only while it is `Ready`.
#[derive(Debug)]
pub(super) enum State {
    /// The shell is connecting; there is no peer yet.
    Dialling,
    /// The other side's greeting is awaited.
    Greeting { heard: Vec<u8> },
    /// The other side's hello, services or ready are awaited.
    Hello(Shaking),
    /// Everything is heard, but another live peer may have that id: it is being probed until the instant.
    Probing { shaking: Shaking, until: Instant },
    /// Joined.
    Ready,
    /// Leads from this node to itself, as long as the node lives.
    Own,
    /// A goodbye or a refusal is on its way out; what comes in is discarded.
    Closing { discarded: usize, shut: bool, ended: bool },
}

impl State {
    #[cfg(any(test, fuzzing))]
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Dialling => "dialling",
            Self::Greeting { .. } => "greeting",
            Self::Hello(_) => "hello",
            Self::Probing { .. } => "probing",
            Self::Ready => "ready",
            Self::Own => "own",
            Self::Closing { .. } => "closing",
        }
    }
}

/// What was heard of a handshake so far.
#[derive(Default, Debug)]
pub(super) struct Shaking {
    pub(super) hello: Option<Hello>,
    pub(super) services: Vec<String>,
    pub(super) services_bytes: usize,
    /// The last page of services has come.
    pub(super) complete: bool,
    /// The acceptor has heard the dialler's `ready`; the dialler has sent it.
    pub(super) ready: bool,
}

/// What the other side announced in its hello; defaults until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theirs {
    pub(super) heartbeat: Duration,
    pub(super) message_bytes: usize,
}

/// A request of a peer that is being handled.
#[derive(Debug)]
pub(super) struct OwedCall {
    /// What the request counts in the memory of the node.
    pub(super) cost: usize,
    pub(super) cancelled: Arc<AtomicBool>,
    /// The call by which this router forwards it, or the search by which it answers it.
    pub(super) relay: Option<CallId>,
    /// Where a tick that this router forwards has stood in line.
    pub(super) line: Option<LinkId>,
    /// Who asked first, where that is counted.
    origin: Option<NodeId>,
}

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // They are independent notes, each cleared by whoever acts on it.
pub(super) struct Link<T> {
    pub(super) id: LinkId,
    pub(super) direction: Direction,
    /// Its end on this side, once it is connected.
    pub(super) local: Option<SocketAddr>,
    pub(super) remote: SocketAddr,
    /// It does not leave this machine.
    pub(super) is_near: bool,
    pub(super) state: State,
    /// The dial this link came from, if we dialled.
    pub(super) dial: Option<DialId>,
    /// The peer, once joined.
    pub(super) peer: Option<PeerKey>,
    pub(super) reader: FrameReader,
    pub(super) queue: SendQueue,
    /// A `Write` was put out and the shell has not written everything yet.
    pub(super) writing: bool,
    pub(super) gauge: Arc<Gauge>,
    pub(super) theirs: Theirs,
    /// Our calls on this link, in the order of their ids.
    pub(super) pending: BTreeSet<CallId>,
    /// Those of our calls that the other side has taken up and leaves unanswered, if its goodbye said which.
    pub(super) taken_up: Option<Vec<CallId>>,
    /// Our messages that wait for room.
    pub(super) lines: Lines<T>,
    /// Their calls with us.
    pub(super) owed: BTreeMap<CallId, OwedCall>,
    /// Calls of theirs that count in the number we granted: neither answered to the last byte nor cancelled.
    pub(super) their_calls: u64,
    /// The number we granted.
    pub(super) calls_granted: u32,
    /// The other side is a router: how many calls of each who asked first are handled.
    origins: Option<BTreeMap<NodeId, u32>>,
    /// Answers that are not written to their last byte, in the order in which they were queued; `None` once the caller
    /// gave up and its place is free.
    answers: VecDeque<Option<CallId>>,
    pub(super) ticks_out: TicksOut,
    pub(super) ticks_in: TicksIn,
    /// Bytes of tick window granted.
    pub(super) granted: u64,
    /// Bytes of messages that the handlers have.
    pub(super) in_hand: usize,
    /// Bytes of our requests that are kept until they are answered, because an alternate may need them.
    pub(super) kept: usize,
    /// What the link held of the node's memory when it was last counted.
    pub(super) held: usize,
    pub(super) born: Instant,
    pub(super) heard: Instant,
    /// When the kernel last took a byte.
    pub(super) wrote: Instant,
    /// When the kernel last had everything or enough, or the first byte since was staged.
    pub(super) progress: Instant,
    /// What the kernel took since then.
    pub(super) crept: usize,
    pub(super) timer: Option<TimerId>,
    pub(super) budget: ControlBudget,
    /// Our options or services have changed since this link was last written.
    pub(super) tell_options: bool,
    pub(super) tell_services: bool,
    /// Not before this is the other side told of options or services again.
    pub(super) tell_after: Instant,
    /// Services of an update that comes in pages, and its version.
    pub(super) services_page: (u64, Vec<String>),
    /// The stamp of a heartbeat that waits to be echoed; 0 if none does.
    pub(super) echo: u64,
    /// The other side has answered a heartbeat since it was last asked for life.
    pub(super) echoed: bool,
    /// When it was last asked for life.
    pub(super) asked: Option<Instant>,
    /// The other side is to be told what was consumed.
    pub(super) tell_consumed: bool,
    /// The other side is to be told that it may have more calls open than its hello said.
    pub(super) tell_calls: bool,
}

impl<T> Link<T> {
    /// Takes room for a call that comes now, if there is some and nobody stands in line for it.
    pub(super) fn takes_call(&self, cost: usize) -> bool {
        self.lines.admit_calls() && self.gauge.take_call(cost).is_ok()
    }

    /// The same for a tick.
    pub(super) fn takes_tick(&self, cost: usize) -> bool {
        self.lines.admit_ticks() && self.gauge.take_tick(cost).is_ok()
    }

    pub(super) fn new(
        id: LinkId,
        direction: Direction,
        remote: SocketAddr,
        config: &Config,
        now: Instant,
    ) -> Self {
        let limits = &config.limits;
        Self {
            id,
            direction,
            local: None,
            remote,
            is_near: false,
            state: State::Dialling,
            dial: None,
            peer: None,
            reader: FrameReader::new(if has(Planted::GiantFromStranger) {
                limits.message_bytes
            } else {
                HANDSHAKE_FRAME_BYTES
            }),
            queue: SendQueue::default(),
            writing: false,
            gauge: Arc::new(Gauge::new(limits.link_queue_bytes, Arc::default(), 0, 0)),
            theirs: Theirs {
                heartbeat: config.heartbeat_interval,
                message_bytes: limits.message_bytes,
            },
            pending: BTreeSet::new(),
            taken_up: None,
            lines: Lines::new(),
            owed: BTreeMap::new(),
            their_calls: 0,
            calls_granted: limits.calls_per_link,
            origins: None,
            answers: VecDeque::new(),
            ticks_out: TicksOut::default(),
            ticks_in: TicksIn::new(limits.tick_window_bytes, now),
            granted: 0,
            in_hand: 0,
            kept: 0,
            held: 0,
            born: now,
            heard: now,
            wrote: now,
            progress: now,
            crept: 0,
            timer: None,
            budget: ControlBudget { left: CONTROL_BURST, filled: now },
            tell_options: false,
            tell_services: false,
            tell_after: now,
            services_page: (0, Vec::new()),
            echo: 0,
            echoed: false,
            asked: None,
            tell_consumed: false,
            tell_calls: false,
        }
    }

    /// When the other side is to be told of options or services, if it is and has room for that.
    pub(super) fn tells_at(&self) -> Option<Instant> {
        let tells = (self.tell_options || self.tell_services) && self.queue.has_control_room();
        tells.then_some(self.tell_after)
    }

    /// The kernel took bytes. So few that the rest would take for ever are no progress.
    pub(super) fn advance(&mut self, len: usize, stall: Duration, now: Instant) {
        self.crept = self.crept.saturating_add(len);
        let enough = stall.as_millis() * u128::from(STALL_BYTES_PER_SECOND) / 1_000;
        if self.queue.nothing_staged()
            || self.crept as u128 >= enough
            || has(Planted::CreepForgiven)
        {
            (self.progress, self.crept) = (now, 0);
        }
    }

    /// Queues an answer; the caller's place is free when its last byte is written, or the caller gives up.
    pub(super) fn push_answer(&mut self, call: CallId, item: Item) {
        self.queue.push(item);
        self.answers.push_back(Some(call));
    }

    /// Answers whose last byte the kernel has not taken, wanted or not.
    pub(super) fn unread_answers(&self) -> u64 {
        self.answers.len() as u64
    }

    /// The kernel has the last byte of that many more answers.
    pub(super) fn answers_written(&mut self, count: u64) {
        for _ in 0..count {
            if let Some(Some(_)) = self.answers.pop_front() {
                self.their_calls = self.their_calls.saturating_sub(1);
            }
        }
    }

    /// The other side turns out to be a router, which asks for many.
    pub(super) fn grant_many(&mut self, calls: u32) {
        self.calls_granted = self.calls_granted.max(calls);
        self.origins = Some(BTreeMap::new());
        self.tell_calls = true;
    }

    /// How many calls of that origin are handled, if it comes through a router.
    pub(super) fn handled_of(&self, origin: Option<&NodeId>) -> u32 {
        let counted = self.origins.as_ref().and_then(|origins| origins.get(origin?));
        counted.copied().unwrap_or(0)
    }

    /// Notes a request that is taken up.
    pub(super) fn take_up(
        &mut self,
        call: CallId,
        cost: usize,
        origin: Option<&NodeId>,
    ) -> Arc<AtomicBool> {
        let origin = origin.filter(|_| self.origins.is_some()).cloned();
        if let (Some(origins), Some(origin)) = (&mut self.origins, &origin) {
            *origins.entry(origin.clone()).or_default() += 1;
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        let owed =
            OwedCall { cost, cancelled: Arc::clone(&cancelled), relay: None, line: None, origin };
        self.owed.insert(call, owed);
        self.in_hand += cost;
        cancelled
    }

    /// A request of that origin is handled no more, or nobody waits for it.
    fn released(&mut self, origin: Option<NodeId>) {
        let (Some(origins), Some(origin)) = (&mut self.origins, origin) else { return };
        if let Some(count) = origins.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                origins.remove(&origin);
            }
        }
    }

    /// A handler is done with a request. Whether its caller still waits for the answer.
    pub(super) fn settle(&mut self, call: CallId) -> bool {
        let Some(owed) = self.owed.remove(&call) else { return false };
        self.in_hand -= owed.cost;
        self.released(owed.origin);
        !owed.cancelled.load(Relaxed)
    }

    /// The caller gave up: its place is free, although its answer may still be on the way out.
    pub(super) fn free_place(&mut self, call: CallId) {
        let answer = self.answers.iter_mut().find(|answer| **answer == Some(call));
        let unwritten = answer.and_then(Option::take).is_some();
        let owed = self.owed.get_mut(&call).filter(|owed| !owed.cancelled.swap(true, Relaxed));
        let (handled, origin) = (owed.is_some(), owed.and_then(|owed| owed.origin.take()));
        self.released(origin);
        if unwritten || handled {
            self.their_calls = self.their_calls.saturating_sub(1);
        }
    }

    /// Calls of theirs that are being handled or whose answers are not written.
    #[cfg(any(test, fuzzing))]
    pub(super) fn places_taken(&self) -> u64 {
        (self.handled() + self.answers.iter().flatten().count()) as u64
    }

    /// Calls of theirs that are being handled and that somebody still waits for.
    pub(super) fn handled(&self) -> usize {
        self.owed.values().filter(|owed| !owed.cancelled.load(Relaxed)).count()
    }

    /// Their requests that get no answer any more if the link says goodbye now and that may have run, in the order of their
    /// numbers; `None` if they are too many to be told. Also those that are answered before it may be among them.
    pub(super) fn cut_off(&self) -> Option<Vec<CallId>> {
        if has(Planted::GoodbyeListsNothing) {
            return Some(Vec::new());
        }
        let handled = self.owed.iter().filter(|(_, owed)| !owed.cancelled.load(Relaxed));
        let mut calls: BTreeSet<CallId> = handled.map(|(call, _)| *call).collect();
        if !has(Planted::GoodbyeForgetsAnswers) {
            calls.extend(self.queue.unframed_answers());
        }
        (calls.len() <= GOODBYE_CALLS).then(|| calls.into_iter().collect())
    }

    /// Whether the other side's goodbye said that it has not taken that call up.
    pub(super) fn was_passed_over(&self, call: CallId) -> bool {
        self.taken_up.as_ref().is_some_and(|taken_up| taken_up.binary_search(&call).is_err())
    }

    /// Bytes of ticks that the handlers have not finished.
    pub(super) fn ticks_in_hand(&self) -> usize {
        self.in_hand - self.owed.values().map(|call| call.cost).sum::<usize>()
    }

    /// What the link holds of the node's memory.
    pub(super) fn holds(&self) -> usize {
        self.queue.held() + self.reader.held() + self.in_hand + self.kept
    }

    /// Whether nobody waits for an answer any more; the handlers of those who gave up may still run.
    pub(super) fn owes_nobody(&self) -> bool {
        self.owed.values().all(|owed| owed.cancelled.load(Relaxed))
    }

    /// Whether nothing is under way on it that the other end, or this one, waits for.
    pub(super) fn is_idle(&self) -> bool {
        let ours = self.queue.is_empty() && self.pending.is_empty() && self.lines.is_empty();
        let theirs = self.owed.is_empty() && self.their_calls == 0 && self.in_hand == 0;
        ours && theirs && self.ticks_out.unconfirmed() == 0 && self.ticks_out.unwritten() == 0
    }

    /// Whether messages go over it.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready | State::Own)
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing { .. })
    }

    /// Whether the handshake is under way.
    pub(super) fn is_joining(&self) -> bool {
        match self.state {
            State::Greeting { .. } | State::Hello(_) | State::Probing { .. } => true,
            State::Dialling | State::Ready | State::Own | State::Closing { .. } => false,
        }
    }
}

/// A token bucket for messages that cost the sender little: a flood of them costs it the link. What brings such messages
/// about, here or there, earns one each: a request its Cancel or its Fault, a tick its Consumed.
#[derive(Debug)]
pub(super) struct ControlBudget {
    left: u32,
    filled: Instant,
}

impl ControlBudget {
    /// A message was sent or has come in which one cheap message of the other side may answer or take back.
    pub(super) fn earn(&mut self) {
        self.left = (self.left + 1).min(CONTROL_BURST);
    }

    /// Takes one; false when the flood is too high.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled);
        let earned = elapsed.as_millis() * u128::from(CONTROL_PER_SECOND) / 1_000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(earned).min(CONTROL_BURST);
            self.filled = now;
        }
        self.left = match self.left.checked_sub(1) {
            Some(left) => left,
            None => return false,
        };
        true
    }
}
