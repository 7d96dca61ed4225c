//! What comes in on a link, message by message.

use std::sync::Arc;
use std::time::Duration;

use super::calls::Given;
use super::mesh::Mesh;
use super::owed::Passed;
use super::planted::{Planted, has};
use super::queue::{Item, ItemHead};
use super::topology::MembersPage;
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
    pub(super) fn message(&mut self, id: LinkId, bytes: &[u8], shared: Option<&Arc<Vec<u8>>>) {
        let incoming = match wire::parse(bytes, &mut self.env.counters.unknown_headers) {
            Ok(incoming) => incoming,
            Err(_) if has(Planted::BadEnvelopeSkipped) => return,
            Err(error) => return self.broke(id, error.why, &error.to_string()),
        };
        let Some(link) = self.links.get_mut(&id) else { return };
        if !link.is_ready() {
            return match incoming {
                Incoming::Control(control) => self.shake(id, control),
                Incoming::Data { .. }
                | Incoming::Unknown { .. }
                | Incoming::UnsupportedHeader { .. } => {
                    self.violated(id, "a message before the handshake was complete");
                }
            };
        }
        match incoming {
            Incoming::Data { head, payload } => {
                let payload = match shared {
                    Some(buffer) => Payload::from_shared(Arc::clone(buffer), payload),
                    None => Payload::from_item_slice(&bytes[payload]),
                };
                self.data(id, head, payload);
            }
            Incoming::Control(control) => {
                // Questions count among the calls that are open.
                let is_call = matches!(control, Control::DirectoryQuestion { .. });
                if is_call || link.budget.take(self.env.now) || has(Planted::FloodIgnored) {
                    self.control(id, control);
                } else {
                    self.violated(id, "a flood of control messages");
                }
            }
            Incoming::Unknown { kind, .. } if kind % 2 == 1 => self.env.counters.unknown_kinds += 1,
            Incoming::Unknown { kind, call } => {
                self.unsupported(
                    id,
                    call,
                    format!("message kind {kind} is not part of protocol 1"),
                );
            }
            Incoming::UnsupportedHeader { kind, call, key, .. } if wire::kinds::is_answer(kind) => {
                self.unsupported_answer(id, kind, call, key);
            }
            Incoming::UnsupportedHeader { kind, call, key, payload } => {
                if kind == wire::kinds::TICK && !self.unhandled_tick(id, payload) {
                    return;
                }
                self.unsupported(id, call, format!("header {key} is not part of protocol 1"));
            }
        }
    }

    /// A tick that no handler gets. It used up credit of its sender, which comes back like that of a tick that was handled. False if
    /// it had none.
    fn unhandled_tick(&mut self, id: LinkId, bytes: usize) -> bool {
        let Some(link) = self.links.get_mut(&id) else { return false };
        let cost = cost(bytes);
        if !link.ticks_in.receive(cost as u64) {
            self.violated(id, "a tick beyond the window it was granted");
            return false;
        }
        link.in_hand += cost;
        self.consumed(id, 1, cost as u64);
        true
    }

    /// A request or a tick, whose number is zero, with more data than this node takes; its sender was told how much that is.
    fn too_long(&mut self, id: LinkId, call: CallId, bytes: usize) {
        self.env.counters.long_payloads += 1;
        let most = self.env.local.config.limits.message_bytes;
        let why = format!("the data has {bytes} bytes, {} takes {most}", self.env.local.id);
        if self.take_place(id).is_some() {
            self.push_fault(id, call, Error::new(ErrorKind::TooLarge, why));
        }
    }

    fn unsupported(&mut self, id: LinkId, call: CallId, message: String) {
        self.env.counters.unknown_kinds += 1;
        if self.take_place(id).is_some() {
            self.push_fault(id, call, Error::new(ErrorKind::Unsupported, message));
        }
    }

    /// The number is that of a call of ours, so a fault that bore it would seem to be about one of theirs: it ends here.
    fn unsupported_answer(&mut self, id: LinkId, kind: u64, call: CallId, key: u64) {
        self.env.counters.unknown_kinds += 1;
        let handled = kind == wire::kinds::REPLY || kind == wire::kinds::FAILURE;
        let execution = if handled { Execution::Happened } else { Execution::Unknown };
        let why = format!("the answer has header {key}, which is not part of protocol 1");
        let error = Error::new(ErrorKind::Unsupported, why).with_execution(execution);
        if !self.topology.query_refused(&mut self.env, &self.peers, (id, call), &error) {
            self.answered(id, call, Err(error));
        }
    }

    fn data(&mut self, id: LinkId, head: Data<'_>, payload: Payload) {
        let is_long = payload.len() > self.env.local.config.limits.message_bytes;
        match head {
            Data::Request { call, .. } if is_long => self.too_long(id, call, payload.len()),
            Data::ForwardRequest(forward) | Data::ForwardTick(forward) if is_long => {
                self.too_long(id, forward.call, payload.len());
            }
            Data::Tick { .. } if is_long => {
                if self.unhandled_tick(id, payload.len()) {
                    self.too_long(id, CallId(0), payload.len());
                }
            }
            Data::Request { call, timeout_ms, depth, event, headers, origin } => {
                let timeout = Duration::from_millis(timeout_ms).min(LONGEST_TIMEOUT);
                let message = Message { event, headers, payload };
                self.asked(id, call, timeout, depth, origin, message);
            }
            Data::Tick { event, headers, origin } => {
                let cost = cost(payload.len()) as u64;
                let message = Message { event, headers, payload };
                self.ticked(id, cost, origin, message);
            }
            Data::Reply { call, handler } => {
                self.answered(id, call, Ok(Given::Payload(payload, handler)));
            }
            Data::Failure { call, code, message, has_data, handler } => {
                let data = has_data.then(|| payload.to_item().into());
                let error = Error::new(ErrorKind::Handler, message)
                    .with_handler_code(code.to_owned(), data);
                let error = match handler.or_else(|| self.peer_of(id)) {
                    Some(peer) => error.with_peer(peer),
                    None => error,
                };
                self.answered(id, call, Err(error));
            }
            Data::ForwardRequest(forward) => self.forwarded(id, *forward, false, payload),
            Data::ForwardTick(forward) => self.forwarded(id, *forward, true, payload),
        }
    }

    pub(super) fn control(&mut self, id: LinkId, control: Control) {
        match control {
            Control::Heartbeat { ticks, cost, stamp, echo } => {
                self.confirmed(id, ticks, cost);
                if let Some(link) = self.links.get_mut(&id).filter(|_| echo != 0) {
                    link.echoed = true;
                    self.recheck = true;
                }
                if stamp != 0 {
                    self.echo_heartbeat(id, stamp);
                }
            }
            Control::Consumed { ticks, cost } => self.confirmed(id, ticks, cost),
            Control::Grant { tick_window, calls } => {
                if let Some(link) = self.links.get(&id) {
                    link.gauge.set_tick_window(tick_window);
                    link.gauge.set_calls_limit(calls);
                }
                self.env.touch(id);
            }
            Control::Cancel { call } => self.cancelled(id, call),
            Control::Fault(fault) => self.fault(id, *fault),
            Control::Options { version, options } => {
                self.options_changed(id, version, options);
            }
            Control::ServicesChanged { version, last, names } => {
                self.services_changed(id, version, last, names);
            }
            Control::Goodbye { reason, ticks, cost, taken_up } => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.taken_up = taken_up;
                }
                self.goodbye(id, &reason, (ticks, cost));
            }
            Control::Hello(_)
            | Control::Services { .. }
            | Control::Ready
            | Control::Refuse { .. } => {
                self.violated(id, "a handshake message after the handshake");
            }
            Control::JoinQuestion { call, address } => {
                self.query_received(id, call, address.as_deref());
            }
            Control::Members { call, members, more } => {
                let page = MembersPage { call, members, more };
                self.topology.page_received(&mut self.env, &self.peers, id, page);
            }
            Control::MemberJoined(member) => self.member_announced(id, &member),
            Control::MemberLeft { id: member } => self.member_left(id, &member),
            Control::DirectoryQuestion { call, question } => {
                self.peers_asked(id, call, question);
            }
            Control::DirectoryPage { call, peers, more } => {
                self.answered(id, call, Ok(Given::Peers(peers, more)));
            }
        }
    }

    pub(super) fn fault(&mut self, id: LinkId, fault: Fault) {
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
            self.env.out.push(Output::Event(NodeEvent::Error(error)));
            return;
        }
        if !self.topology.query_refused(&mut self.env, &self.peers, (id, call), &error) {
            self.answered(id, call, Err(error));
        }
    }

    fn options_changed(&mut self, id: LinkId, version: u64, options: Options) {
        if let Some(key) = self.links.get(&id).and_then(|link| link.peer) {
            self.take_options(key, version, options);
        }
    }

    fn services_changed(&mut self, id: LinkId, version: u64, last: bool, names: Vec<String>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.services_page.0 != version {
            link.services_page = (version, Vec::new());
        }
        let page = &mut link.services_page.1;
        page.extend(names);
        let bytes: usize = page.iter().map(String::len).sum();
        if page.len() > crate::config::SERVICES || bytes > crate::config::SERVICES_BYTES {
            return self.violated(id, "too many services");
        }
        if !last {
            return;
        }
        let (_, services) = std::mem::take(&mut link.services_page);
        if let Some(key) = link.peer {
            self.take_services(key, version, services);
        }
    }

    /// The peer leaves: its last report of ticks counts, and the link is closed without another word. Our requests that it has not taken
    /// up, which crossed its goodbye on the way, go on to their next step.
    fn goodbye(&mut self, id: LinkId, farewell: &Farewell, consumed: (u64, u64)) {
        let (ticks, cost) = consumed;
        if let Some(link) = self.links.get_mut(&id) {
            let _ = link.ticks_out.confirm(ticks, cost);
        }
        self.flushes_confirmed(id);
        let reason = match farewell {
            Farewell::Stop | Farewell::Disconnect | Farewell::Other { .. } => LeftReason::PeerLeft,
            Farewell::Replaced => LeftReason::Replaced,
            Farewell::Silent => LeftReason::Silent,
            Farewell::Full => LeftReason::Overloaded,
            Farewell::Protocol(why) => {
                LeftReason::Protocol(format!("the peer says: {}", told(why)))
            }
        };
        let stopped = self
            .peer_of(id)
            .filter(|peer| *farewell == Farewell::Stop && self.topology.has_announced(peer));
        self.leave(id, reason);
        if let Some(peer) = stopped {
            self.topology.announce_stop(&mut self.env, &self.peers, &peer);
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.queue.drop_unframed();
        }
        self.linger(id);
    }

    /// An error of ours in answer to a message that may be a call.
    pub(super) fn push_fault(&mut self, id: LinkId, call: CallId, error: Error) {
        self.push_fault_of(id, call, error, Passed::default());
    }

    /// The same, of what another node says, or of what it is about.
    pub(super) fn push_fault_of(&mut self, id: LinkId, call: CallId, error: Error, passed: Passed) {
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
            self.env.touch(id);
        }
    }
}

/// A text of the other side, as it is shown here: it neither fills the memory nor forges a line of a log.
pub(super) fn told(text: &str) -> String {
    let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    let shown: String = text.chars().take(TOLD_LETTERS).map(printable).collect();
    if text.chars().nth(TOLD_LETTERS).is_some() { shown + " …" } else { shown }
}
