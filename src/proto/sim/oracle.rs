//! What really happened, and whether what the engines say agrees with it. It must not drive anything.
//!
//! The first disagreement is kept; a run ends there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::Label;
use super::work::NOBODYS;
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{LinkId, NodeId};
use crate::node_event::NodeEvent;
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
    /// The confirmation of ticks.
    Flush,
    /// Bind, unbind, connect always, disconnect.
    Other,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) asked: Asked,
    pub(super) life: Life,
    pub(super) due: Instant,
    /// What a suspended node still has once it goes on: a stop counts from when it is heard.
    pub(super) span: Duration,
    pub(super) cancelled: bool,
    pub(super) verdict: Option<Execution>,
    /// How it ended: well, or with an error of that kind.
    pub(super) end: Option<Result<(), ErrorKind>>,
    pub(super) ended_at: Option<Instant>,
    pub(super) runs: u32,
    pub(super) ran_at: Option<NodeId>,
}

#[derive(Default, Debug)]
pub(super) struct TickRecord {
    /// `None` while the engine has not said.
    pub(super) accepted: Option<bool>,
    pub(super) life: Life,
    pub(super) delivered: u32,
    /// The link that its sender took room on, if it may take no other.
    pub(super) link: Option<LinkId>,
    /// What its sender had reported as lost when it was posted.
    pub(super) lost: (u64, u64),
}

/// What must be true once a flush has ended well.
#[derive(Debug)]
pub(super) struct Flushed {
    ticks: Vec<Label>,
    /// What its node had reported as lost when it began; what is lost meanwhile is not confirmed.
    lost: (u64, u64),
}

#[derive(Default, Debug)]
pub(super) struct Sender {
    pub(super) unwritten: u64,
    pub(super) unconfirmed: u64,
    pub(super) cut: StopCut,
    pub(super) crashed: bool,
}

#[derive(Default, Debug)]
pub(super) struct Oracle {
    pub(super) failure: Option<String>,
    pub(super) calls: BTreeMap<Label, Call>,
    pub(super) open: BTreeSet<(Instant, Label)>,
    pub(super) ticks: BTreeMap<Label, TickRecord>,
    flushes: BTreeMap<Label, Flushed>,
    pub(super) senders: BTreeMap<Life, Sender>,
    pub(super) joined: BTreeMap<usize, BTreeSet<NodeId>>,
    /// Until when a node may lose peers as silent or slow.
    pub(super) calm: BTreeMap<usize, Instant>,
    /// The hostile node, if the world has one, and the names of the others.
    hostile: Option<(usize, BTreeSet<NodeId>)>,
    /// Messages that a hostile node sends or may get: nothing is known of them.
    suspect: BTreeSet<Label>,
    /// The world was so unkind that silence is no surprise.
    pub(super) silence_excused: bool,
    /// Nodes that answer for ticks of others.
    pub(super) routers: BTreeSet<usize>,
    /// So long a request may be under way while nothing goes wrong: its handler has no more time than who asked gives it.
    pub(super) prompt: Option<Duration>,
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
        let (cancelled, verdict, end, ended_at) = (false, None, None, None);
        let (runs, ran_at) = (0, None);
        let call = Call { asked, life, due, span, cancelled, verdict, end, ended_at, runs, ran_at };
        self.calls.insert(label, call);
        if asked == Asked::Tick {
            self.ticks.insert(label, TickRecord { life, ..TickRecord::default() });
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

    /// Whether the worker that took up this request, if one did, was at that node.
    #[cfg(test)]
    pub(super) fn has_run_at(&self, label: Label, name: &str) -> Option<bool> {
        let ran_at = self.calls.get(&label)?.ran_at.as_ref()?;
        Some(ran_at.as_str() == name)
    }

    /// The node that sent this request or tick.
    pub(super) fn sender_of(&self, label: Label) -> Option<usize> {
        let of_tick = || self.ticks.get(&label).map(|tick| tick.life.0);
        self.calls.get(&label).map(|call| call.life.0).or_else(of_tick)
    }

    /// A handler is told until when it has time.
    pub(super) fn check_deadline(&mut self, label: Label, deadline: Instant) {
        let due = self.calls.get(&label).map(|call| call.due);
        let (Some(due), Some(prompt)) = (due, self.prompt) else { return };
        if deadline > due + prompt {
            let more = deadline - due;
            self.fail(format!("the handler of {label:?} is given {more:?} more than its caller"));
        }
    }

    pub(super) fn excuse_silence(&mut self, node: usize, until: Instant) {
        let calm = self.calm.entry(node).or_insert(until);
        *calm = until.max(*calm);
    }

    /// That node says what it likes; the others have these names.
    pub(super) fn distrust(&mut self, node: usize, others: BTreeSet<NodeId>) {
        self.hostile = Some((node, others));
    }

    pub(super) fn has_hostile(&self) -> bool {
        self.hostile.is_some()
    }

    pub(super) fn is_hostile(&self, node: usize) -> bool {
        self.hostile.as_ref().is_some_and(|(hostile, _)| *hostile == node)
    }

    /// Whether only an honest node has that name.
    pub(super) fn is_honest_name(&self, id: &NodeId) -> bool {
        self.hostile.as_ref().is_none_or(|(_, others)| others.contains(id))
    }

    /// A message that a hostile node sends or may get.
    pub(super) fn suspect(&mut self, label: Label) {
        self.suspect.insert(label);
    }

    fn is_suspect(&self, label: Label) -> bool {
        label == NOBODYS || self.suspect.contains(&label)
    }

    pub(super) fn open_calls(&self) -> usize {
        self.open.len()
    }

    /// User code runs for this request.
    pub(super) fn ran(&mut self, label: Label, at: &NodeId) {
        if self.is_suspect(label) {
            return;
        }
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
        call.ended_at = Some(now);
        self.open.remove(&(due, label));
        if now > due.max(resumed + span) + TURN {
            self.fail(format!("{asked:?} {label:?} completes {:?} late", now - due));
        }
        if self.is_suspect(label) && asked != Asked::Stop {
            return;
        }
        match asked {
            Asked::Request => self.answered(label, now, result),
            Asked::Tick => self.tick_accepted(label, life, result.is_ok()),
            Asked::Stop => self.stopped(label, life, result),
            Asked::Flush if result.is_ok() => self.flushed(label, life),
            Asked::Connect | Asked::Flush | Asked::Other => {}
        }
    }

    /// A program waits for the confirmation of what it has posted to these links.
    pub(super) fn flush_begins(&mut self, label: Label, life: Life, links: &[LinkId]) {
        let lost = self.lost_by(life);
        // What was reported since a tick was posted may have been that tick.
        let awaited = |tick: &TickRecord| {
            let here = tick.link.is_some_and(|link| links.contains(&link));
            here && tick.life == life && tick.lost == lost
        };
        let ticks = self.ticks.iter().filter(|(_, tick)| awaited(tick));
        let ticks = ticks.map(|(label, _)| *label).collect();
        self.flushes.insert(label, Flushed { ticks, lost });
    }

    fn flushed(&mut self, label: Label, life: Life) {
        let Some(flushed) = self.flushes.remove(&label) else { return };
        let delivered = |tick: &Label| self.ticks[tick].delivered > 0;
        let missing = flushed.ticks.iter().find(|tick| !delivered(tick)).copied();
        if let Some(tick) = missing.filter(|_| flushed.lost == self.lost_by(life)) {
            self.fail(format!("the flush {label:?} ends well and tick {tick:?} was not delivered"));
        }
    }

    fn lost_by(&self, life: Life) -> (u64, u64) {
        self.senders.get(&life).map_or((0, 0), |sender| (sender.unwritten, sender.unconfirmed))
    }

    fn stopped(&mut self, label: Label, life: Life, result: &Result<Done, Error>) {
        match result {
            Ok(Done::Stopped(cut)) => self.senders.entry(life).or_default().cut = *cut,
            other => self.fail(format!("the stop {label:?} completes with {other:?}")),
        }
    }

    /// A caller took room for a tick and posted it: it counts as accepted.
    pub(super) fn tick_posted(&mut self, label: Label, life: Life, link: Option<LinkId>) {
        if self.is_suspect(label) {
            return;
        }
        let lost = self.lost_by(life);
        let posted = TickRecord { accepted: Some(true), life, delivered: 0, link, lost };
        self.ticks.insert(label, posted);
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
        if self.is_suspect(label) {
            return;
        }
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
        now: Instant,
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
                self.left(life, now, id, reason);
            }
            NodeEvent::Undelivered { unwritten, unconfirmed, .. } => {
                let sender = self.senders.entry(life).or_default();
                sender.unwritten += unwritten;
                sender.unconfirmed += unconfirmed;
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
}
