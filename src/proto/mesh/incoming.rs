//! The dispatcher, for bytes and messages that come in: each is handled to its end before the next.
//! It must not decide what a part can decide.

use std::sync::Arc;

use super::Mesh;
use crate::error::{Error, ErrorKind};
use crate::id::{CallId, LinkId, NodeId};
use crate::node_event::{LeftReason, NodeEvent};
use crate::proto::links::NextFrame;
use crate::proto::messages::{Received, received, sanitize_peer_text};
use crate::proto::planted::{Planted, has};
use crate::proto::topology::MembersPage;
use crate::wire::{self, Control, Farewell, Fault, Incoming};

/// Bytes and messages that come in.
impl<T> Mesh<T> {
    pub(super) fn on_received(&mut self, id: LinkId, len: usize) {
        if !self.connections.links.received(id, len, &mut self.env) {
            return;
        }
        if self.connections.links.take_body(id, len) {
            self.on_bytes(id, &[]);
        } else {
            let scratch = self.connections.links.take_scratch();
            self.on_bytes(id, &scratch[..len]);
            self.connections.links.return_scratch(scratch);
        }
        self.connections.links.recount(id, &mut self.env);
        if self.connections.links.is_overloaded(id, &mut self.env) {
            self.connections.close(id, Farewell::Full, LeftReason::Overloaded, &mut self.env);
        }
    }

    /// Each message is handled to its end before the next.
    pub(super) fn on_bytes(&mut self, id: LinkId, mut input: &[u8]) {
        loop {
            match self.connections.links.next_frame(id, &mut input) {
                NextFrame::Nothing => return,
                NextFrame::Greeting => self.connections.greet(id, &mut input, &mut self.env),
                NextFrame::Frame(wire::Frame::Borrowed(bytes)) => self.on_frame(id, bytes, None),
                NextFrame::Frame(wire::Frame::Owned(bytes)) => {
                    let shared = Arc::new(bytes);
                    self.on_frame(id, &shared, Some(&shared));
                }
                NextFrame::Broken(error) => {
                    return self.violated(id, error.reason(), &error.to_string());
                }
            }
            self.run_effects();
        }
    }

    /// One whole message. `shared` is the same bytes where they need not be copied.
    pub(super) fn on_frame(&mut self, id: LinkId, bytes: &[u8], shared: Option<&Arc<Vec<u8>>>) {
        let incoming = match wire::parse(bytes, &mut self.env.counters.unknown_headers) {
            Ok(incoming) => incoming,
            Err(_) if has(Planted::BadEnvelopeSkipped) => return,
            Err(error) => return self.violated(id, error.why, &error.to_string()),
        };
        let broken = if self.connections.links.ready(id).is_none() {
            match incoming {
                Incoming::Control(control) => {
                    return self.connections.on_introduction(id, control, &mut self.env);
                }
                Incoming::Data { .. }
                | Incoming::Unknown { .. }
                | Incoming::UnsupportedHeader { .. } => {
                    "a message before the handshake was complete"
                }
            }
        } else if is_cheap(&incoming) && !self.connections.links.take_budget(id, self.env.now) {
            "a flood of control messages"
        } else {
            let limit = self.env.local.config.limits.message_bytes;
            return self.on_message(id, received(incoming, bytes, shared, limit));
        };
        self.violated(id, broken, broken);
    }

    pub(super) fn on_message(&mut self, id: LinkId, message: Received<'_>) {
        let env = &mut self.env;
        let done = match message {
            Received::Request(request) => self.connections.on_request(id, request, env),
            Received::Tick(tick) => self.connections.on_tick(id, tick, env),
            Received::Reply { call, reply, handler } => {
                let peer = handler.or_else(|| self.peer_id(id));
                let reply = reply.map_err(|error: Error| match peer {
                    Some(peer) => error.with_peer(peer),
                    None => error,
                });
                self.on_reply(id, call, reply);
                Ok(())
            }
            Received::Forward { head, is_tick, payload } => {
                self.on_forward(id, *head, (is_tick, payload))
            }
            Received::Control(control) => self.on_control(id, control),
            Received::LongRequest { call, bytes } => {
                self.connections.links.refuse_long(id, call, bytes, env)
            }
            Received::LongTick { bytes } => self
                .connections
                .links
                .on_unhandled_tick(id, bytes, env)
                .and_then(|()| self.connections.links.refuse_long(id, CallId(0), bytes, env)),
            Received::Withdrawn => Ok(()),
            Received::Skipped => {
                env.counters.unknown_kinds += 1;
                Ok(())
            }
            Received::Unsupported { call, why, tick } => {
                self.connections.links.refuse_unsupported(id, (call, why), tick, env)
            }
            Received::UnsupportedReply { call, error } => {
                env.counters.unknown_kinds += 1;
                self.on_failed_reply(id, call, error);
                Ok(())
            }
        };
        if let Err(why) = done {
            self.violated(id, why, why);
        }
    }

    pub(super) fn on_control(&mut self, id: LinkId, control: Control) -> Result<(), &'static str> {
        let (env, peers) = (&mut self.env, &self.connections.peers);
        match control {
            Control::Heartbeat { ticks, cost, stamp, echo } => {
                self.on_confirmed(id, ticks, cost)?;
                if echo != 0 {
                    self.connections.links.on_echo(id);
                }
                if stamp != 0 {
                    self.connections.links.on_probe(id, stamp, &mut self.env);
                }
            }
            Control::Consumed { ticks, cost } => self.on_confirmed(id, ticks, cost)?,
            Control::Grant { tick_window, calls } => {
                self.connections.links.on_grant(id, tick_window, calls, env);
            }
            Control::Cancel { call } => self.on_cancel(id, call),
            Control::Fault(fault) => self.on_fault(id, *fault),
            Control::Options { version, options } => {
                self.connections.on_options(id, version, options, env);
            }
            Control::ServicesChanged { version, last, names } => {
                self.connections.on_services(id, (version, last), names, env)?;
            }
            Control::Goodbye { reason, ticks, cost, taken_up } => {
                // A report that cannot be true comes too late to matter.
                let _ = self.on_confirmed(id, ticks, cost);
                self.on_goodbye(id, &reason, taken_up);
            }
            Control::Hello(_)
            | Control::Services { .. }
            | Control::Ready
            | Control::Refuse { .. } => return Err("a handshake message after the handshake"),
            Control::JoinQuestion { call, address } => {
                return self.on_members_query(id, call, address.as_deref());
            }
            Control::Members { call, members, more } => {
                let page = MembersPage { call, members, more };
                self.topology.page_received(env, peers, id, page);
            }
            Control::MemberJoined(member) => {
                if self.peer_id(id).as_ref() == Some(&member.id) {
                    self.connections.on_address(id, Some(&member.address), &mut self.env);
                }
                let (env, peers) = (&mut self.env, &self.connections.peers);
                self.topology.member_announced(env, peers, id, &member);
            }
            Control::MemberLeft { id: member } => {
                if self.peer_id(id).as_ref() == Some(&member) {
                    self.connections.on_address(id, None, &mut self.env);
                }
                let (env, peers) = (&mut self.env, &self.connections.peers);
                self.topology.member_left(env, peers, id, &member);
            }
            Control::DirectoryQuestion { call, question } => {
                return self.on_directory_query(id, call, question);
            }
            Control::DirectoryPage { .. } => debug_assert!(false, "it is a reply"),
        }
        Ok(())
    }

    pub(super) fn on_fault(&mut self, id: LinkId, fault: Fault) {
        let Fault { call, kind, execution, message, asked, handler } = fault;
        self.traffic.on_asked(call, id, &asked);
        // Both sides found the deadline passed: to the caller that is its timeout, with the
        // certainty that it never ran.
        let expired = kind == ErrorKind::Expired;
        let expired = expired && self.traffic.is_past_deadline(call, self.env.now);
        let kind = if expired { ErrorKind::RequestTimeout } else { kind };
        let error = Error::new(kind, sanitize_peer_text(&message)).with_execution(execution);
        let error = match handler.or_else(|| self.peer_id(id)) {
            Some(peer) => error.with_peer(peer),
            None => error,
        };
        let error = match kind {
            ErrorKind::NotFound => error.with_context("found", "remote"),
            _ => error,
        };
        if call == CallId(0) {
            self.env.event(NodeEvent::Error(error));
        } else {
            self.on_failed_reply(id, call, error);
        }
    }

    pub(super) fn on_failed_reply(&mut self, id: LinkId, call: CallId, error: Error) {
        let (env, peers) = (&mut self.env, &self.connections.peers);
        if !self.topology.query_refused(env, peers, (id, call), &error) {
            self.on_reply(id, call, Err(error));
        }
    }

    /// A peer has finished ticks of this node.
    pub(super) fn on_confirmed(
        &mut self,
        id: LinkId,
        ticks: u64,
        cost: u64,
    ) -> Result<(), &'static str> {
        let env = &mut self.env;
        let Some(confirmed) = self.connections.links.on_confirmed(id, ticks, cost, env) else {
            return Err("it confirms ticks that were never sent");
        };
        self.traffic.on_confirmed(id, confirmed, env);
        Ok(())
    }

    /// A peer leaves. This node's requests that it has not accepted, which crossed its goodbye on
    /// the way, go on to their next step.
    pub(super) fn on_goodbye(
        &mut self,
        id: LinkId,
        farewell: &Farewell,
        taken_up: Option<Vec<CallId>>,
    ) {
        if let Some(link) = self.connections.links.get_mut(id) {
            link.outbound.said_goodbye(taken_up);
        }
        let peer = self.peer_id(id).filter(|_| *farewell == Farewell::Stop);
        let stopped = peer.filter(|peer| self.topology.has_announced(peer));
        self.connections.on_goodbye(id, farewell, &mut self.env);
        self.run_effects();
        if let Some(stopped) = stopped {
            self.topology.announce_stop(&mut self.env, &self.connections.peers, &stopped);
        }
    }

    /// A peer sends a query for the members.
    pub(super) fn on_members_query(
        &mut self,
        id: LinkId,
        call: CallId,
        address: Option<&str>,
    ) -> Result<(), &'static str> {
        let (env, peers) = (&mut self.env, &self.connections.peers);
        match self.topology.query_received(env, peers, id, (call, address)) {
            Ok(()) if address.is_some() => self.connections.on_address(id, address, env),
            Ok(()) => {}
            Err(error) => return self.connections.links.refuse(id, call, error, env),
        }
        Ok(())
    }

    pub(super) fn violated(&mut self, id: LinkId, rule: &'static str, why: &str) {
        self.connections.violated(id, rule, why, &mut self.env);
    }

    pub(super) fn peer_id(&self, id: LinkId) -> Option<NodeId> {
        self.connections.peer_of(id).map(|peer| peer.id.clone())
    }
}

/// Whether a message costs its sender little. Queries count among the calls that are open.
fn is_cheap(incoming: &Incoming<'_>) -> bool {
    let Incoming::Control(control) = incoming else { return false };
    !matches!(control, Control::DirectoryQuestion { .. })
}
