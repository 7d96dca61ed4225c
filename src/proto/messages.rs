//! What comes in on a link, message by message.

use std::sync::Arc;
use std::time::Duration;

use super::calls::Given;
use super::mesh::{Mesh, Out};
use super::owed::Passed;
use super::planted::{Planted, has};
use super::queue::{Item, ItemHead};
use super::{Message, Output};
use crate::config::LONGEST_TIMEOUT;
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{CallId, LinkId};
use crate::node_event::{LeftReason, NodeEvent};
use crate::options::Options;
use crate::payload::Payload;
use crate::routing::cost;
use crate::wire::{self, Control, Data, Farewell, Fault, Incoming};

/// So much is shown of a text of the other side.
const TOLD_LETTERS: usize = 500;

impl<T> Mesh<T> {
    /// One whole message. `shared` is the same bytes where they need not be copied.
    pub(super) fn message(
        &mut self,
        id: LinkId,
        bytes: &[u8],
        shared: Option<&Arc<Vec<u8>>>,
        out: &mut Out<T>,
    ) {
        let incoming = match wire::parse(bytes, &mut self.dropped.unknown_headers) {
            Ok(incoming) => incoming,
            Err(_) if has(Planted::BadEnvelopeSkipped) => return,
            Err(error) => return self.broke(id, error.why, &error.to_string(), out),
        };
        let Some(link) = self.links.get_mut(&id) else { return };
        if !link.is_ready() {
            return match incoming {
                Incoming::Control(control) => self.shake(id, control, out),
                Incoming::Data { .. }
                | Incoming::Unknown { .. }
                | Incoming::UnsupportedHeader { .. } => {
                    self.violated(id, "a message before the handshake was complete", out);
                }
            };
        }
        match incoming {
            Incoming::Data { head, payload } => {
                let payload = match shared {
                    Some(buffer) => Payload::from_shared(Arc::clone(buffer), payload),
                    None => Payload::from_item_slice(&bytes[payload]),
                };
                self.data(id, head, payload, out);
            }
            Incoming::Control(control) => {
                // Questions count among the calls that are open.
                let is_call = matches!(control, Control::DirectoryQuestion { .. });
                if is_call || link.budget.take(self.now) || has(Planted::FloodIgnored) {
                    self.control(id, control, out);
                } else {
                    self.violated(id, "a flood of control messages", out);
                }
            }
            Incoming::Unknown { kind, .. } if kind % 2 == 1 => self.dropped.unknown_kinds += 1,
            Incoming::Unknown { kind, call } => {
                self.unsupported(
                    id,
                    call,
                    format!("message kind {kind} is not part of protocol 1"),
                    out,
                );
            }
            Incoming::UnsupportedHeader { kind, call, key, .. } if wire::kinds::is_answer(kind) => {
                self.unsupported_answer(id, kind, call, key, out);
            }
            Incoming::UnsupportedHeader { kind, call, key, payload } => {
                if kind == wire::kinds::TICK && !self.unhandled_tick(id, payload, out) {
                    return;
                }
                self.unsupported(id, call, format!("header {key} is not part of protocol 1"), out);
            }
        }
    }

    /// A tick that no handler gets. It used up credit of its sender, which comes back like that of a tick that was handled. False if
    /// it had none.
    fn unhandled_tick(&mut self, id: LinkId, bytes: usize, out: &mut Out<T>) -> bool {
        let Some(link) = self.links.get_mut(&id) else { return false };
        let cost = cost(bytes);
        if !link.ticks_in.receive(cost as u64) {
            self.violated(id, "a tick beyond the window it was granted", out);
            return false;
        }
        link.in_hand += cost;
        self.consumed(id, 1, cost as u64, out);
        true
    }

    /// A request or a tick, whose number is zero, with more data than this node takes; its sender was told how much that is.
    fn too_long(&mut self, id: LinkId, call: CallId, bytes: usize, out: &mut Out<T>) {
        self.dropped.long_payloads += 1;
        let most = self.local.config.limits.message_bytes;
        let why = format!("the data has {bytes} bytes, {} takes {most}", self.local.id);
        if self.take_place(id, out).is_some() {
            self.push_fault(id, call, Error::new(ErrorKind::TooLarge, why), out);
        }
    }

    fn unsupported(&mut self, id: LinkId, call: CallId, message: String, out: &mut Out<T>) {
        self.dropped.unknown_kinds += 1;
        if self.take_place(id, out).is_some() {
            self.push_fault(id, call, Error::new(ErrorKind::Unsupported, message), out);
        }
    }

    /// The number is that of a call of ours, so a fault that bore it would seem to be about one of theirs: it ends here.
    fn unsupported_answer(
        &mut self,
        id: LinkId,
        kind: u64,
        call: CallId,
        key: u64,
        out: &mut Out<T>,
    ) {
        self.dropped.unknown_kinds += 1;
        let handled = kind == wire::kinds::REPLY || kind == wire::kinds::FAILURE;
        let execution = if handled { Execution::Happened } else { Execution::Unknown };
        let why = format!("the answer has header {key}, which is not part of protocol 1");
        let error = Error::new(ErrorKind::Unsupported, why).with_execution(execution);
        if !self.question_refused(id, call, &error, out) {
            self.answered(id, call, Err(error), out);
        }
    }

    fn data(&mut self, id: LinkId, head: Data<'_>, payload: Payload, out: &mut Out<T>) {
        let is_long = payload.len() > self.local.config.limits.message_bytes;
        match head {
            Data::Request { call, .. } if is_long => self.too_long(id, call, payload.len(), out),
            Data::ForwardRequest(forward) | Data::ForwardTick(forward) if is_long => {
                self.too_long(id, forward.call, payload.len(), out);
            }
            Data::Tick { .. } if is_long => {
                if self.unhandled_tick(id, payload.len(), out) {
                    self.too_long(id, CallId(0), payload.len(), out);
                }
            }
            Data::Request { call, timeout_ms, depth, event, headers, origin } => {
                let timeout = Duration::from_millis(timeout_ms).min(LONGEST_TIMEOUT);
                let message = Message { event, headers, payload };
                self.asked(id, call, timeout, depth, origin, message, out);
            }
            Data::Tick { event, headers, origin } => {
                let cost = cost(payload.len()) as u64;
                let message = Message { event, headers, payload };
                self.ticked(id, cost, origin, message, out);
            }
            Data::Reply { call, handler } => {
                self.answered(id, call, Ok(Given::Payload(payload, handler)), out);
            }
            Data::Failure { call, code, message, has_data, handler } => {
                let data = has_data.then(|| payload.to_item().into());
                let error = Error::new(ErrorKind::Handler, message)
                    .with_handler_code(code.to_owned(), data);
                let error = match handler.or_else(|| self.peer_of(id)) {
                    Some(peer) => error.with_peer(peer),
                    None => error,
                };
                self.answered(id, call, Err(error), out);
            }
            Data::ForwardRequest(forward) => self.forwarded(id, *forward, false, payload, out),
            Data::ForwardTick(forward) => self.forwarded(id, *forward, true, payload, out),
        }
    }

    pub(super) fn control(&mut self, id: LinkId, control: Control, out: &mut Out<T>) {
        match control {
            Control::Heartbeat { ticks, cost, stamp, echo } => {
                self.confirmed(id, ticks, cost, out);
                if let Some(link) = self.links.get_mut(&id).filter(|_| echo != 0) {
                    link.echoed = true;
                    self.recheck = true;
                }
                if stamp != 0 {
                    self.echo_heartbeat(id, stamp, out);
                }
            }
            Control::Consumed { ticks, cost } => self.confirmed(id, ticks, cost, out),
            Control::Grant { tick_window, calls } => {
                if let Some(link) = self.links.get(&id) {
                    link.gauge.set_tick_window(tick_window);
                    link.gauge.set_calls_limit(calls);
                }
                self.admit_waiting(id, out);
            }
            Control::Cancel { call } => self.cancelled(id, call, out),
            Control::Fault(fault) => self.fault(id, *fault, out),
            Control::Options { version, options } => {
                self.options_changed(id, version, options, out);
            }
            Control::ServicesChanged { version, last, names } => {
                self.services_changed(id, version, last, names, out);
            }
            Control::Goodbye { reason, ticks, cost, taken_up } => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.taken_up = taken_up;
                }
                self.goodbye(id, &reason, (ticks, cost), out);
            }
            Control::Hello(_)
            | Control::Services { .. }
            | Control::Ready
            | Control::Refuse { .. } => {
                self.violated(id, "a handshake message after the handshake", out);
            }
            Control::JoinQuestion { call, address } => {
                self.members_asked(id, call, address.as_deref(), out);
            }
            Control::Members { call, members, more } => {
                self.members_named(id, call, members, more, out);
            }
            Control::MemberJoined(member) => self.member_joined(id, &member, out),
            Control::MemberLeft { id: member } => self.member_left(id, &member, out),
            Control::DirectoryQuestion { call, question } => {
                self.peers_asked(id, call, question, out);
            }
            Control::DirectoryPage { call, peers, more } => {
                self.answered(id, call, Ok(Given::Peers(peers, more)), out);
            }
        }
    }

    pub(super) fn fault(&mut self, id: LinkId, fault: Fault, out: &mut Out<T>) {
        let Fault { call, kind, execution, message, asked, handler } = fault;
        self.note_asked(call, id, &asked);
        // Both sides found the deadline passed: to the caller that is its timeout, with the certainty that it never ran.
        let expired = kind == ErrorKind::Expired && self.is_past_deadline(call);
        let kind = if expired { ErrorKind::RequestTimeout } else { kind };
        let error = Error::new(kind, told(&message)).with_execution(execution);
        let error = match handler.or_else(|| self.peer_of(id)) {
            Some(peer) => error.with_peer(peer),
            None => error,
        };
        let error = match kind {
            ErrorKind::NotFound => error.with_context("found", "remote"),
            _ => error,
        };
        if call == CallId(0) {
            out.push(Output::Event(NodeEvent::Error(error)));
            return;
        }
        if !self.question_refused(id, call, &error, out) {
            self.answered(id, call, Err(error), out);
        }
    }

    fn options_changed(&mut self, id: LinkId, version: u64, options: Options, out: &mut Out<T>) {
        if let Some(key) = self.links.get(&id).and_then(|link| link.peer) {
            self.take_options(key, version, options, out);
        }
    }

    fn services_changed(
        &mut self,
        id: LinkId,
        version: u64,
        last: bool,
        names: Vec<String>,
        out: &mut Out<T>,
    ) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.services_page.0 != version {
            link.services_page = (version, Vec::new());
        }
        let page = &mut link.services_page.1;
        page.extend(names);
        let bytes: usize = page.iter().map(String::len).sum();
        if page.len() > crate::config::SERVICES || bytes > crate::config::SERVICES_BYTES {
            return self.violated(id, "too many services", out);
        }
        if !last {
            return;
        }
        let (_, services) = std::mem::take(&mut link.services_page);
        if let Some(key) = link.peer {
            self.take_services(key, version, services, out);
        }
    }

    /// The peer leaves: its last report of ticks counts, and the link is closed without another word. Our requests that it has not taken
    /// up, which crossed its goodbye on the way, go on to their next step.
    fn goodbye(&mut self, id: LinkId, farewell: &Farewell, consumed: (u64, u64), out: &mut Out<T>) {
        let (ticks, cost) = consumed;
        if let Some(link) = self.links.get_mut(&id) {
            let _ = link.ticks_out.confirm(ticks, cost);
        }
        self.flushes_confirmed(id, out);
        let reason = match farewell {
            Farewell::Stop | Farewell::Disconnect | Farewell::Other { .. } => LeftReason::PeerLeft,
            Farewell::Replaced => LeftReason::Replaced,
            Farewell::Silent => LeftReason::Silent,
            Farewell::Full => LeftReason::Overloaded,
            Farewell::Protocol(why) => {
                LeftReason::Protocol(format!("the peer says: {}", told(why)))
            }
        };
        let stopped =
            self.peer_of(id).filter(|_| *farewell == Farewell::Stop && self.has_announced(id));
        self.leave(id, reason, out);
        if let Some(peer) = stopped {
            self.tell_stopped(&peer, out);
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.queue.drop_unframed();
        }
        self.linger(id, out);
    }

    /// An error of ours in answer to a message that may be a call.
    pub(super) fn push_fault(&mut self, id: LinkId, call: CallId, error: Error, out: &mut Out<T>) {
        self.push_fault_of(id, call, error, Passed::default(), out);
    }

    /// The same, of what another node says, or of what it is about.
    pub(super) fn push_fault_of(
        &mut self,
        id: LinkId,
        call: CallId,
        error: Error,
        passed: Passed,
        out: &mut Out<T>,
    ) {
        let execution = error.execution();
        let fault = Fault {
            call,
            kind: error.kind(),
            execution,
            message: error.message().to_owned(),
            asked: passed.asked,
            handler: passed.handler,
        };
        debug_assert!(call != CallId(0) || execution == Execution::Never);
        if let Some(link) = self.links.get_mut(&id) {
            let head = ItemHead::Control(Box::new(Control::Fault(Box::new(fault))));
            link.push_answer(call, Item { head, payload: Payload::null(), cost: 0 });
            self.flush(id, out);
        }
    }
}

/// A text of the other side, as it is shown here: it neither fills the memory nor forges a line of a log.
pub(super) fn told(text: &str) -> String {
    let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    let shown: String = text.chars().take(TOLD_LETTERS).map(printable).collect();
    if text.chars().nth(TOLD_LETTERS).is_some() { shown + " …" } else { shown }
}
