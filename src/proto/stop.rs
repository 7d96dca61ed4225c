//! The end of the node: drain within a bound, say goodbye, let go.

use std::time::{Duration, Instant};

use super::calls::{Call, Whose};
use super::effect::Effect;
use super::env::Timer;
use super::mesh::Mesh;
use super::planted::{Planted, has};
use super::timers::TimerId;
use super::{Command, Done, Output, StopCut};
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{CallId, LinkId};
use crate::node_event::{LeftReason, NodeEvent};
use crate::wire::Farewell;

/// Goodbyes get at least this, however long draining took.
const PARTING: Duration = Duration::from_millis(50);

/// A stop under way.
#[derive(Debug)]
pub(super) struct Stopping<T> {
    waiters: Vec<T>,
    bound: Instant,
    phase: Phase,
    timer: TimerId,
    cut: StopCut,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Handlers finish, what was accepted is written and confirmed.
    Draining,
    /// Goodbyes are on their way.
    Parting,
}

impl<T> Mesh<T> {
    pub(super) fn stop(&mut self, bound: Duration, token: Option<T>) {
        let bound = self.env.now + bound;
        let waiters = token.into_iter().collect();
        let drained = bound.checked_sub(PARTING).map_or(bound, |at| at.max(self.env.now));
        let timer = self.env.timers.arm(drained, Timer::Stop);
        let (phase, cut) = (Phase::Draining, StopCut::default());
        self.stopping = Some(Stopping { waiters, bound, phase, timer, cut });
        self.topology.stop(&mut self.env, &closed());
        self.stop_own();
        self.end_stats();
        self.flushes_closed(closed);
        // A plain thread is told at once; what handlers ask may still let them finish.
        let is_plain = |call: &Call<T>| call.depth == 0 && matches!(call.whose, Whose::Caller(_));
        let plain: Vec<CallId> =
            self.calls.iter().filter(|(_, call)| is_plain(call)).map(|(id, _)| *id).collect();
        self.cut_calls(&plain);
        let joining: Vec<LinkId> =
            self.links.values().filter(|link| !link.is_ready()).map(|link| link.id).collect();
        for link in joining {
            let (farewell, reason) = (Farewell::Stop, LeftReason::Stopped);
            self.env.then(Effect::CloseLink { link, farewell, reason });
        }
    }

    /// The newest first: those that wait in line must not take the room of older ones, and be sent, just to be cut off.
    fn cut_calls(&mut self, calls: &[CallId]) {
        let mut cut = StopCut::default();
        for call in calls.iter().rev().filter(|_| !has(Planted::CallersLeft)) {
            match self.calls.get(call).map(|call| &call.whose) {
                Some(Whose::Caller(_)) => cut.calls += 1,
                Some(Whose::Peer(_)) => cut.owed += 1,
                Some(Whose::Tick(_)) if self.is_written(*call) => cut.unconfirmed += 1,
                Some(Whose::Tick(_)) => cut.unwritten += 1,
                None => {}
            }
            self.give_up(*call, ErrorKind::Closed);
        }
        if let Some(stopping) = &mut self.stopping {
            stopping.cut.calls += cut.calls;
            stopping.cut.owed += cut.owed;
            stopping.cut.unwritten += cut.unwritten;
            stopping.cut.unconfirmed += cut.unconfirmed;
        }
    }

    /// Once the node is stopping, and when it has stopped, every command but another stop is refused.
    pub(super) fn refuse_command(&mut self, command: Command<T>) {
        match command {
            Command::Stop { token, .. } => {
                if let Some(stopping) = &mut self.stopping {
                    stopping.waiters.extend(token);
                }
            }
            Command::Cancel { call } => self.cancel(call),
            Command::Tick(tick) => self.tick_unplaced(tick.into(), closed()),
            command => {
                let refused = |token| Output::Complete { token, result: Err(closed()) };
                self.env.out.extend(command.into_token().map(refused));
            }
        }
    }

    /// Looks whether the stop can go on; asked after every input.
    pub(super) fn proceed_stop(&mut self) {
        let Some(stopping) = &self.stopping else { return };
        match stopping.phase {
            Phase::Draining if self.is_drained() => self.part(),
            Phase::Parting if self.links.is_empty() => self.finish_stop(),
            Phase::Draining | Phase::Parting => {}
        }
    }

    fn is_drained(&self) -> bool {
        self.calls.is_empty()
            && self.links.values().filter(|link| link.is_ready()).all(|link| {
                let ours = link.queue.is_empty() && link.ticks_out.unconfirmed() == 0;
                ours && link.owes_nobody() && link.ticks_in_hand() == 0
            })
    }

    /// The time to drain, or the whole bound, is over.
    pub(super) fn stop_due(&mut self) {
        let Some(stopping) = &self.stopping else { return };
        match stopping.phase {
            Phase::Draining if has(Planted::StopWithoutEnd) => {}
            Phase::Draining => self.part(),
            Phase::Parting => {
                let links: Vec<LinkId> = self.links.keys().copied().collect();
                for id in links {
                    self.leave(id, LeftReason::Stopped);
                    self.forget(id, true);
                }
                self.finish_stop();
            }
        }
    }

    /// Counts what is cut off, and says goodbye to everybody.
    fn part(&mut self) {
        let calls: Vec<CallId> = self.calls.keys().copied().collect();
        self.cut_calls(&calls);
        let ready: Vec<LinkId> =
            self.links.values().filter(|link| link.is_ready()).map(|link| link.id).collect();
        for id in &ready {
            self.count_staged(*id);
        }
        self.settle_own();
        let now = self.env.now;
        let Some(stopping) = &mut self.stopping else { return };
        for link in ready.iter().filter_map(|id| self.links.get(id)) {
            stopping.cut.owed += link.handled() as u64;
            stopping.cut.unwritten += link.ticks_out.unwritten();
            stopping.cut.unconfirmed += link.ticks_out.unconfirmed();
        }
        stopping.phase = Phase::Parting;
        self.env.timers.disarm(stopping.timer);
        stopping.timer = self.env.timers.arm(stopping.bound.max(now + PARTING), Timer::Stop);
        for id in ready {
            self.say_goodbye(id, Farewell::Stop, LeftReason::Stopped);
        }
        self.proceed_stop();
    }

    fn finish_stop(&mut self) {
        let Some(stopping) = self.stopping.take() else { return };
        self.env.timers.disarm(stopping.timer);
        self.stopped = true;
        log::debug!(target: "threadmesh::proto", "stopped; dropped so far: {:?}", self.env.counters);
        self.env.out.push(Output::Event(NodeEvent::Stopped));
        let cut = stopping.cut;
        self.env.out.extend(
            stopping
                .waiters
                .into_iter()
                .map(|token| Output::Complete { token, result: Ok(Done::Stopped(cut)) }),
        );
        self.env.out.push(Output::Stopped);
    }
}

pub(super) fn closed() -> Error {
    let why = "this node has stopped; start another one to go on";
    Error::new(ErrorKind::Closed, why).with_execution(Execution::Never)
}
