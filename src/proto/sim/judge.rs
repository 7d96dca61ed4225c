//! What the oracle says of answers, of peers that leave, and of the sums at the end.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Label;
use super::oracle::{Life, Oracle};
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
                // Neither the workers of the other side nor its memory nor its end are known to the sender.
                let unknown = [payloads::WORKER, "the memory of", "is stopping"];
                let is_known = !unknown.iter().any(|words| error.message().contains(words));
                if error.kind() == ErrorKind::Busy && is_known {
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
}
