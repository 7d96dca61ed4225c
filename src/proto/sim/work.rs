//! What the workers of a simulated node do with messages: they look at who sent them, run, refuse and answer.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::Label;
use super::payloads;
use super::shell::Mail;
use super::world::World;
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{LinkId, NodeId};
use crate::proto::{Answer, Delivery, Input, ReplyTo, Work};

/// The label of messages that a hostile node may have made up.
pub(super) const NOBODYS: Label = Label(0);

impl World {
    pub(super) fn deliver(&mut self, n: usize, delivery: Delivery) {
        let (from, at) = (delivery.sender.id.clone(), self.nodes[n].id.clone());
        let trusted = !self.nodes[n].hostile && !self.comes_from_hostile(n, delivery.link);
        if delivery.link != LinkId::OWN && !self.oracle.is_joined(n, &from) {
            self.oracle.fail(format!("node {n} gets a message of {from}, who has not joined"));
        }
        if trusted {
            self.check_sender(n, delivery.link, &from);
        }
        let name = delivery.message.event.as_str();
        let payload = &delivery.message.payload;
        let label = if name.starts_with('/') {
            payloads::label_of(payload)
        } else {
            name.get(2..).and_then(|number| number.parse().ok()).map(Label)
        };
        let label = label.filter(|_| trusted).unwrap_or(NOBODYS);
        if trusted {
            self.check_way(n, &delivery, label);
        }
        if trusted && payload.len() > 1 && !payloads::belongs(payload, label) {
            self.oracle.fail(format!("the payload of {name} is another message's"));
        }
        match delivery.work {
            Work::Request { reply_to, deadline, cancelled, .. } => {
                let at = self.now + self.any_moment();
                self.post(n, at, Mail::TakeUp { label, reply_to, deadline, cancelled });
            }
            Work::Tick { cost } => {
                self.oracle.tick_delivered(label, &at);
                if trusted && name.starts_with("o:") {
                    self.check_order(n, delivery.link, label);
                }
                let at = self.now + self.any_moment();
                let consumed = Input::Consumed { link: delivery.link, ticks: 1, cost };
                self.post(n, at, Mail::Input(consumed));
            }
        }
    }

    /// Mostly short, sometimes long: what handlers take.
    fn any_moment(&mut self) -> Duration {
        Duration::from_micros(self.rng.u64(..1_000_000) >> self.rng.u32(..16))
    }

    fn comes_from_hostile(&self, n: usize, link: LinkId) -> bool {
        if link == LinkId::OWN {
            return self.nodes[n].hostile;
        }
        let socket = self.nodes[n].sockets.get(&link);
        let wire = socket.and_then(|socket| Some((self.wires.get(&socket.wire)?, socket.end)));
        let Some((wire, end)) = wire else { return self.oracle.has_hostile() };
        wire.nodes(&self.nodes)[1 - end].is_none_or(|other| self.nodes[other].hostile)
    }

    fn check_sender(&mut self, n: usize, link: LinkId, from: &NodeId) {
        let Some(socket) = self.nodes[n].sockets.get(&link) else { return };
        let Some(wire) = self.wires.get(&socket.wire) else { return };
        if let Some((other, _)) = wire.holders[1 - socket.end] {
            if self.nodes[other].id != *from {
                self.oracle.fail(format!("node {n} takes {other} for {from}"));
            }
        }
    }

    /// What it came with is as its sender gave it, however many routers it has passed.
    fn check_way(&mut self, n: usize, delivery: &Delivery, label: Label) {
        let origin = delivery.origin.as_ref();
        let (node, name) = (&self.nodes[n], delivery.message.event.as_str());
        if origin.is_some() && node.role.is_some() {
            self.oracle.fail(format!("the router {n} is given {name}, which is not for it"));
        } else if origin == Some(&node.id) {
            self.oracle.fail(format!("node {n} is given {name}, which is its own"));
        }
        let Some(asker) = self.oracle.sender_of(label) else { return };
        let said = origin.unwrap_or(&delivery.sender.id);
        if *said != self.nodes[asker].id {
            self.oracle.fail(format!("{name} of node {asker} is said to be of {said}"));
        }
        if let Work::Request { deadline, .. } = delivery.work {
            self.oracle.check_deadline(label, deadline);
        }
    }

    fn check_order(&mut self, n: usize, link: LinkId, label: Label) {
        let last = self.nodes[n].last_tick.insert(link, label);
        if last.is_some_and(|last| last > label) {
            self.oracle.fail(format!("node {n}: tick {label:?} comes after {last:?} on {link:?}"));
        }
    }

    /// A worker takes up a request: it refuses it, or runs user code and answers later.
    pub(super) fn take_up(
        &mut self,
        n: usize,
        label: Label,
        reply_to: ReplyTo,
        deadline: Instant,
        cancelled: &AtomicBool,
    ) {
        let fault = |kind| Answer::Fault(Error::new(kind, payloads::WORKER));
        if deadline <= self.now || cancelled.load(Relaxed) {
            return self.feed(n, Input::Answer { reply_to, answer: fault(ErrorKind::Expired) });
        }
        let answer = match self.rng.u8(..20) {
            0 => fault(ErrorKind::NoHandler),
            1 => fault(ErrorKind::Busy),
            2 => fault(ErrorKind::Decode),
            3 => fault(ErrorKind::NoReply),
            4 => fault(ErrorKind::Handler),
            5 => fault(ErrorKind::Expired),
            6 | 7 => Answer::Failure {
                code: payloads::code(label),
                message: "the handler says so".to_owned(),
                data: self.rng.bool().then(|| payloads::make(label, 5)),
            },
            _ => {
                let len = self.any_size();
                Answer::Reply(payloads::make(label, len))
            }
        };
        let refused = matches!(&answer, Answer::Fault(e) if e.execution() == Execution::Never);
        if refused {
            return self.feed(n, Input::Answer { reply_to, answer });
        }
        let id = self.nodes[n].id.clone();
        self.oracle.ran(label, &id);
        let at = self.now + self.any_moment();
        self.post(n, at, Mail::Input(Input::Answer { reply_to, answer }));
    }
}
