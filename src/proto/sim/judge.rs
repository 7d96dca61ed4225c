//! What the oracle says of answers, of peers that leave, and of the sums at the end.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Label;
use super::oracle::{Life, Oracle, Sender};
use super::payloads;
use crate::error::{Error, ErrorKind, Execution};
use crate::id::NodeId;
use crate::node_event::LeftReason;
use crate::proto::Done;

impl Oracle {
    pub(super) fn answered(&mut self, label: Label, now: Instant, result: &Result<Done, Error>) {
        let Some(call) = self.calls.get(&label) else { return };
        let (runs, ran_at, due, cancelled) =
            (call.runs, call.ran_at.clone(), call.due, call.cancelled);
        match result {
            Ok(Done::Answered(answered)) => {
                let handler = answered.handler.as_ref().unwrap_or(&answered.peer.id);
                if ran_at.as_ref() != Some(handler) {
                    self.fail(format!(
                        "{label:?} was answered by {handler}, but ran at {ran_at:?}"
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
                // Neither the workers of the other side nor its memory nor its end are known to the sender.
                // Nor what stands behind a router.
                let unknown = [
                    payloads::WORKER,
                    payloads::CHOOSER,
                    "the memory of",
                    "is stopping",
                    "behind a router",
                    "has stopped meanwhile",
                ];
                let is_known = !unknown.iter().any(|words| error.message().contains(words));
                if error.kind() == ErrorKind::Busy && is_known {
                    self.fail(format!(
                        "{label:?} is beyond a limit that its sender knew: {error:?}"
                    ));
                }
                if error.kind() == ErrorKind::Cancelled && !cancelled {
                    self.fail(format!("{label:?} ends as cancelled, but nobody cancelled it"));
                }
                if error.has_handler_code() && error.peer() != ran_at.as_ref() {
                    self.fail(format!("{label:?} failed at {ran_at:?}, not as it says: {error:?}"));
                }
                if error.code() != error.kind().code() && error.code() != payloads::code(label) {
                    self.fail(format!("the failure of {label:?} is another call's: {error:?}"));
                }
            }
        }
    }

    pub(super) fn left(&mut self, life: Life, now: Instant, id: &NodeId, reason: &LeftReason) {
        if self.is_hostile(life.0) || !self.is_honest_name(id) {
            return;
        }
        let excused = self.silence_excused || self.calm.get(&life.0).is_some_and(|at| now < *at);
        match reason {
            LeftReason::Protocol(why) => {
                self.fail(format!("node {} says that {id} broke the protocol: {why}", life.0));
            }
            LeftReason::Silent | LeftReason::SlowPeer if !excused => {
                self.fail(format!("node {} loses {id} as {reason:?} without a cause", life.0));
            }
            _ => {}
        }
    }

    /// At the end: nobody waits, and the ticks add up.
    pub(super) fn check_end(&mut self) {
        if let Some((_, label)) = self.open.first() {
            let why = format!("{label:?} never completed: {:?}", self.calls[label]);
            return self.fail(why);
        }
        if !self.routers.is_empty() {
            return self.check_ticks_of_many();
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
            // What a hostile peer did not take is among what was told, but not among what was counted here.
            let sure = sender.unwritten.max(sender.cut.unwritten);
            let sure = if self.has_hostile() { 0 } else { sure };
            if !sender.crashed && (accepted > delivered + told || delivered + sure > accepted) {
                let why = format!(
                    "ticks of {life:?} do not add up: {accepted} accepted, {delivered} delivered, {sender:?}"
                );
                return self.fail(why);
            }
        }
    }

    /// Where routers pass ticks on, a tick that they took is theirs to account for: what a sender does not say is lost was delivered, or a
    /// router says so, unless one was killed. And what anybody says was never written was not delivered.
    fn check_ticks_of_many(&mut self) {
        let told = |sender: &Sender| {
            let told = sender.unwritten + sender.unconfirmed;
            told + sender.cut.unwritten + sender.cut.unconfirmed
        };
        let is_router = |life: &Life| self.routers.contains(&life.0);
        let routers = || self.senders.iter().filter(|(life, _)| is_router(life));
        let by_routers: u64 =
            routers().map(|(_, sender)| told(sender) + sender.cut.unanswered).sum();
        let one_was_killed = routers().any(|(_, sender)| sender.crashed);
        let (mut may_be, mut delivered) = (0, 0);
        let mut totals: BTreeMap<Life, (u64, u64)> = BTreeMap::new();
        for tick in self.ticks.values() {
            may_be += u64::from(tick.accepted != Some(false));
            delivered += u64::from(tick.delivered);
            if tick.accepted == Some(true) {
                let (accepted, delivered) = totals.entry(tick.life).or_default();
                *accepted += 1;
                *delivered += u64::from(tick.delivered);
            }
        }
        for (life, (accepted, delivered)) in totals {
            let sender = &self.senders[&life];
            let others = if is_router(&life) { 0 } else { told(sender) };
            let excused = sender.crashed || one_was_killed;
            if !excused && accepted > delivered + others + by_routers {
                let why = format!(
                    "ticks of {life:?} are missing: {accepted} accepted, {delivered} delivered, {sender:?}, {by_routers} lost by routers"
                );
                return self.fail(why);
            }
        }
        let sure = self.senders.values().map(|sender| sender.unwritten.max(sender.cut.unwritten));
        let sure: u64 = sure.sum();
        if delivered + sure > may_be {
            let why = format!(
                "{delivered} ticks were delivered and {sure} not even written, of {may_be}"
            );
            self.fail(why);
        }
    }
}
