//! What really happened, and whether what the engines say agrees with it. It must not drive anything.
//!
//! The first disagreement is kept; a run ends there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::Label;
use crate::error::{Error, ErrorKind, Execution};
use crate::id::NodeId;
use crate::node_event::{LeftReason, NodeEvent};
use crate::proto::{Done, StopCut};
use crate::routing::Directory;

/// What is due may be late by this: a turn, and the way through the mailbox.
const TURN: Duration = Duration::from_millis(5);

/// A node from one start to its end; a restarted one is another life.
pub(super) type Life = (usize, u64);

/// What a token stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Request,
    /// A tick that waits for room.
    Tick,
    Connect,
    Stop,
    /// Bind, unbind, connect always, disconnect.
    Other,
}

#[derive(Debug)]
struct Call {
    asked: Asked,
    life: Life,
    due: Instant,
    /// What a suspended node still has once it goes on: a stop counts from when it is heard.
    span: Duration,
    cancelled: bool,
    verdict: Option<Execution>,
    /// How it ended: well, or with an error of that kind.
    end: Option<Result<(), ErrorKind>>,
    runs: u32,
    ran_at: Option<NodeId>,
}

#[derive(Default, Debug)]
struct TickRecord {
    /// `None` while the engine has not said.
    accepted: Option<bool>,
    life: Life,
    delivered: u32,
}

#[derive(Default, Debug)]
struct Sender {
    unwritten: u64,
    unconfirmed: u64,
    cut: StopCut,
    crashed: bool,
}

#[derive(Default, Debug)]
pub(super) struct Oracle {
    failure: Option<String>,
    calls: BTreeMap<Label, Call>,
    open: BTreeSet<(Instant, Label)>,
    ticks: BTreeMap<Label, TickRecord>,
    senders: BTreeMap<Life, Sender>,
    joined: BTreeMap<usize, BTreeSet<NodeId>>,
    /// The world was so unkind that silence is no surprise.
    pub(super) silence_excused: bool,
}

impl Oracle {
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    pub(super) fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
    }

    pub(super) fn asked(
        &mut self,
        label: Label,
        asked: Asked,
        life: Life,
        due: Instant,
        now: Instant,
    ) {
        let span = if asked == Asked::Stop { due - now } else { Duration::ZERO };
        self.open.insert((due, label));
        let (cancelled, verdict, end, runs, ran_at) = (false, None, None, 0, None);
        let call = Call { asked, life, due, span, cancelled, verdict, end, runs, ran_at };
        self.calls.insert(label, call);
        if asked == Asked::Tick {
            self.ticks.insert(label, TickRecord { accepted: None, life, delivered: 0 });
        }
    }

    pub(super) fn cancelled(&mut self, label: Label) {
        if let Some(call) = self.calls.get_mut(&label) {
            call.cancelled = true;
        }
    }

    /// Some request of this life that has not completed.
    pub(super) fn any_open(&self, life: Life, rng: &mut fastrand::Rng) -> Option<Label> {
        let calls = &self.calls;
        let is_request = |label: &Label| {
            calls.get(label).is_some_and(|call| call.life == life && call.asked == Asked::Request)
        };
        let open: Vec<_> = self.open.iter().map(|(_, label)| *label).filter(is_request).collect();
        (!open.is_empty()).then(|| open[rng.usize(..open.len())])
    }

    /// How a command ended, if it has.
    pub(super) fn end_of(&self, label: Label) -> Option<Result<(), ErrorKind>> {
        self.calls.get(&label)?.end
    }

    pub(super) fn open_calls(&self) -> usize {
        self.open.len()
    }

    /// User code runs for this request.
    pub(super) fn ran(&mut self, label: Label, at: &NodeId) {
        let Some(call) = self.calls.get_mut(&label) else {
            return self.fail(format!("a request {label:?} that nobody sent ran at {at}"));
        };
        call.runs += 1;
        call.ran_at = Some(at.clone());
        if call.runs > 1 {
            self.fail(format!("request {label:?} ran twice, now at {at}"));
        } else if call.verdict == Some(Execution::Never) {
            self.fail(format!("request {label:?} ran at {at} after its caller heard Never"));
        }
    }

    /// Judges the end of a command. `late` is how long this node was kept from its turns beyond the time.
    pub(super) fn completed(
        &mut self,
        label: Label,
        life: Life,
        now: Instant,
        resumed: Instant,
        result: &Result<Done, Error>,
    ) {
        let Some(call) = self.calls.get_mut(&label) else {
            return self.fail(format!("a command {label:?} that nobody gave completes"));
        };
        let (asked, due, span) = (call.asked, call.due, call.span);
        if call.life != life {
            return self.fail(format!("{label:?} completes at another node than it was given to"));
        }
        if call.verdict.is_some() {
            return self.fail(format!("{label:?} completes twice"));
        }
        let verdict = result.as_ref().err().map_or(Execution::Happened, Error::execution);
        call.verdict = Some(verdict);
        call.end = Some(result.as_ref().map(|_| ()).map_err(Error::kind));
        self.open.remove(&(due, label));
        if now > due.max(resumed + span) + TURN {
            self.fail(format!("{asked:?} {label:?} completes {:?} late", now - due));
        }
        match asked {
            Asked::Request => self.answered(label, now, result),
            Asked::Tick => self.tick_accepted(label, life, result.is_ok()),
            Asked::Stop => self.stopped(label, life, result),
            Asked::Connect | Asked::Other => {}
        }
    }

    fn answered(&mut self, label: Label, now: Instant, result: &Result<Done, Error>) {
        let Some(call) = self.calls.get(&label) else { return };
        let (runs, ran_at, due, cancelled) =
            (call.runs, call.ran_at.clone(), call.due, call.cancelled);
        match result {
            Ok(Done::Answered(answered)) => {
                if ran_at.as_ref() != Some(&answered.peer.id) {
                    self.fail(format!(
                        "{label:?} was answered by {}, but ran at {ran_at:?}",
                        answered.peer.id
                    ));
                }
                if !payloads::belongs(&answered.payload, label) {
                    self.fail(format!("the answer to {label:?} is another call's"));
                }
            }
            Ok(other) => self.fail(format!("{label:?} is a request and completes with {other:?}")),
            Err(error) => {
                if error.execution() == Execution::Never && runs > 0 {
                    self.fail(format!("{label:?} ran and ends with Never: {error:?}"));
                }
                if error.execution() == Execution::Happened && runs == 0 {
                    self.fail(format!("{label:?} did not run and ends with Happened: {error:?}"));
                }
                if error.kind() == ErrorKind::RequestTimeout && now < due {
                    self.fail(format!("{label:?} times out {:?} early", due - now));
                }
                let by_engine = !error.message().contains(payloads::WORKER);
                if error.kind() == ErrorKind::Busy && by_engine {
                    self.fail(format!(
                        "{label:?} is beyond a limit that its sender knew: {error:?}"
                    ));
                }
                if error.kind() == ErrorKind::Cancelled && !cancelled {
                    self.fail(format!("{label:?} ends as cancelled, but nobody cancelled it"));
                }
                if error.code() != error.kind().code() && error.code() != payloads::code(label) {
                    self.fail(format!("the failure of {label:?} is another call's: {error:?}"));
                }
            }
        }
    }

    fn stopped(&mut self, label: Label, life: Life, result: &Result<Done, Error>) {
        match result {
            Ok(Done::Stopped(cut)) => self.senders.entry(life).or_default().cut = *cut,
            other => self.fail(format!("the stop {label:?} completes with {other:?}")),
        }
    }

    /// A caller took room for a tick and posted it: it counts as accepted.
    pub(super) fn tick_posted(&mut self, label: Label, life: Life) {
        self.ticks.insert(label, TickRecord { accepted: Some(true), life, delivered: 0 });
    }

    /// A tick was still in the mailbox when the loop ended.
    pub(super) fn tick_left_behind(&mut self, life: Life) {
        self.senders.entry(life).or_default().unwritten += 1;
    }

    fn tick_accepted(&mut self, label: Label, life: Life, accepted: bool) {
        let tick = self.ticks.entry(label).or_default();
        (tick.accepted, tick.life) = (Some(accepted), life);
        if !accepted && tick.delivered > 0 {
            self.fail(format!("tick {label:?} was refused and delivered"));
        }
    }

    pub(super) fn tick_delivered(&mut self, label: Label, at: &NodeId) {
        let Some(tick) = self.ticks.get_mut(&label) else {
            return self.fail(format!("a tick {label:?} that nobody sent arrives at {at}"));
        };
        tick.delivered += 1;
        if tick.delivered > 1 {
            self.fail(format!("tick {label:?} is delivered twice, now at {at}"));
        } else if tick.accepted == Some(false) {
            self.fail(format!("tick {label:?} was refused and is delivered"));
        }
    }

    /// A node starts, or starts again.
    pub(super) fn born(&mut self, life: Life) {
        self.joined.insert(life.0, BTreeSet::new());
        self.senders.insert(life, Sender::default());
    }

    /// A node was killed: it will say nothing more.
    pub(super) fn died(&mut self, life: Life) {
        let calls = &self.calls;
        self.open.retain(|(_, label)| calls.get(label).is_some_and(|call| call.life != life));
        self.senders.entry(life).or_default().crashed = true;
    }

    /// What a node tells its program. `leaves_again`: a later output of the same input says that it has left.
    pub(super) fn event(
        &mut self,
        life: Life,
        event: &NodeEvent,
        published: &Directory,
        leaves_again: bool,
    ) {
        let joined = self.joined.entry(life.0).or_default();
        match event {
            NodeEvent::PeerJoined(info) => {
                let fresh = joined.insert(info.id.clone());
                if !fresh {
                    self.fail(format!("node {} hears {} join twice", life.0, info.id));
                } else if !leaves_again && published.get(info.id.as_str()).is_none() {
                    self.fail(format!("{} joins node {} before it is listed", info.id, life.0));
                }
            }
            NodeEvent::PeerLeft { id, reason, .. } => {
                if !joined.remove(id) {
                    self.fail(format!("node {} hears {id} leave who was not there", life.0));
                }
                self.left(life, id, reason);
            }
            NodeEvent::Undelivered { unwritten, unconfirmed, .. } => {
                let sender = self.senders.entry(life).or_default();
                sender.unwritten += unwritten;
                sender.unconfirmed += unconfirmed;
            }
            _ => {}
        }
    }

    fn left(&mut self, life: Life, id: &NodeId, reason: &LeftReason) {
        match reason {
            LeftReason::Protocol(why) => {
                self.fail(format!("node {} says that {id} broke the protocol: {why}", life.0));
            }
            LeftReason::Silent | LeftReason::SlowPeer if !self.silence_excused => {
                self.fail(format!("node {} loses {id} as {reason:?} without a cause", life.0));
            }
            _ => {}
        }
    }

    pub(super) fn is_joined(&self, node: usize, id: &NodeId) -> bool {
        self.joined.get(&node).is_some_and(|joined| joined.contains(id))
    }

    /// The published directory lists exactly those between joined and left.
    pub(super) fn check_directory(&mut self, node: usize, published: &Directory) {
        let listed: BTreeSet<_> = published.iter().map(|entry| entry.id.clone()).collect();
        let joined = self.joined.entry(node).or_default();
        let twice = published.len() != listed.len();
        if twice || listed != *joined {
            let why = format!("node {node} lists {listed:?}, but told of {joined:?}");
            self.fail(why);
        }
    }

    /// Some call is past its time. `resumed` says when a node last had no turns.
    pub(super) fn check_overdue(&mut self, now: Instant, resumed: impl Fn(usize) -> Instant) {
        for (due, label) in &self.open {
            if now <= *due + TURN {
                return;
            }
            let call = &self.calls[label];
            if now > resumed(call.life.0) + call.span + TURN {
                let why = format!("{:?} {label:?} is overdue by {:?}", call.asked, now - *due);
                return self.fail(why);
            }
        }
    }

    /// At the end: nobody waits, and the ticks add up.
    pub(super) fn check_end(&mut self) {
        if let Some((_, label)) = self.open.first() {
            let why = format!("{label:?} never completed: {:?}", self.calls[label]);
            return self.fail(why);
        }
        let mut totals: BTreeMap<Life, (u64, u64)> = BTreeMap::new();
        for tick in self.ticks.values().filter(|tick| tick.accepted == Some(true)) {
            let (accepted, delivered) = totals.entry(tick.life).or_default();
            *accepted += 1;
            *delivered += u64::from(tick.delivered);
        }
        for (life, (accepted, delivered)) in totals {
            let sender = &self.senders[&life];
            let told = sender.unwritten + sender.unconfirmed;
            let told = told + sender.cut.unwritten + sender.cut.unconfirmed;
            let sure = sender.unwritten.max(sender.cut.unwritten);
            if !sender.crashed && (accepted > delivered + told || delivered + sure > accepted) {
                let why = format!(
                    "ticks of {life:?} do not add up: {accepted} accepted, {delivered} delivered, {sender:?}"
                );
                return self.fail(why);
            }
        }
    }
}

/// What messages carry, so that each can be told from all others.
pub(super) mod payloads {
    use std::sync::LazyLock;

    use super::Label;
    use crate::cbor::{Reader, put_bytes_head};
    use crate::payload::Payload;

    /// The bytes at any place differ from those nearby, so that a lost or moved byte shows.
    static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut pattern = vec![0; 17 << 20];
        rng.fill(&mut pattern);
        pattern
    });

    /// A payload of about `len` bytes that belongs to `label`.
    pub(in super::super) fn make(label: Label, len: usize) -> Payload {
        let mut item = Vec::with_capacity(len + 16);
        put_bytes_head(&mut item, 8 + len);
        item.extend(label.0.to_be_bytes());
        item.extend(&PATTERN[start(label)..][..len]);
        Payload::from_item(item)
    }

    pub(in super::super) fn belongs(payload: &Payload, label: Label) -> bool {
        let item = payload.to_item();
        let mut reader = Reader::new(&item);
        let Ok(content) = reader.bytes() else { return false };
        let Some((head, tail)) = content.split_at_checked(8) else { return false };
        reader.finish().is_ok()
            && head == label.0.to_be_bytes()
            && tail == &PATTERN[start(label)..][..tail.len()]
    }

    /// What a worker says when it refuses.
    pub(in super::super) const WORKER: &str = "the worker says so";

    /// The code of a handler's error.
    pub(in super::super) fn code(label: Label) -> String {
        format!("E{}", label.0)
    }

    fn start(label: Label) -> usize {
        (label.0 % 4_093) as usize
    }
}
