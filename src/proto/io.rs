//! Bytes and sockets: what the shell reports about a link, before anybody asks what a message means.

use std::net::SocketAddr;

use super::link::{Link, State};
use super::mesh::Mesh;
use super::planted::{Planted, has};
use super::topology::DialOutcome;
use super::{Cause, Output};
use crate::config::LINGER_BYTES;
use crate::error::{Error, ErrorKind};
use crate::id::LinkId;
use crate::node_event::{Direction, LeftReason};
use crate::wire::Frame;

/// Whether both ends of a connection are on this machine.
fn is_near(local: SocketAddr, remote: SocketAddr) -> bool {
    remote.ip().is_loopback() || remote.ip() == local.ip()
}

impl<T> Mesh<T> {
    pub(super) fn accepted(&mut self, id: LinkId, local: SocketAddr, remote: SocketAddr) {
        log::debug!(target: "threadmesh::proto", "{remote} dialled {local}");
        let limits = &self.env.local.config.limits;
        if self.stopping.is_some() || self.links.len() > limits.links {
            let stopping = self.stopping.is_some();
            let counters = &mut self.env.counters;
            *if stopping { &mut counters.stopping } else { &mut counters.links } += 1;
            self.env.out.push(Output::Hang { link: id });
            return;
        }
        if self.shaking.len() >= limits.handshakes && !has(Planted::NewcomersUnlimited) {
            if let Some(oldest) = self.shaking.first().copied() {
                self.env.counters.handshakes += 1;
                self.forget(oldest, true);
            }
        }
        let mut link = Link::new(id, Direction::Down, remote, &self.env.local.config, self.env.now);
        link.state = State::Greeting { heard: Vec::new() };
        link.local = Some(local);
        link.is_near = is_near(local, remote);
        self.links.insert(id, link);
        self.shaking.insert(id);
        self.arm_link(id, self.env.now + self.env.local.config.handshake_timeout);
    }

    pub(super) fn connected(&mut self, id: LinkId, local: SocketAddr, remote: SocketAddr) {
        log::debug!(target: "threadmesh::proto", "{local} is connected to {remote}");
        let now = self.env.now;
        let Some(link) = self.links.get_mut(&id) else {
            self.env.out.push(Output::Hang { link: id });
            return;
        };
        link.remote = remote;
        link.local = Some(local);
        link.is_near = is_near(local, remote);
        link.state = State::Greeting { heard: Vec::new() };
        (link.born, link.heard, link.wrote) = (now, now, now);
        self.arm_link(id, now + self.env.local.config.handshake_timeout);
        self.topology.warn_of_plaintext(&self.env, remote);
        self.offer(id);
    }

    pub(super) fn received(&mut self, id: LinkId, len: usize) {
        let now = self.env.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        link.heard = now;
        if let State::Closing { discarded, .. } = &mut link.state {
            *discarded += len;
            if *discarded > LINGER_BYTES {
                self.forget(id, true);
            }
            return;
        }
        if link.reader.body_space().is_some() {
            link.reader.body_received(len);
            self.frames(id, &[]);
        } else {
            let scratch = std::mem::take(&mut self.scratch);
            self.frames(id, &scratch[..len]);
            self.scratch = scratch;
        }
        self.env.touch(id);
        self.recount(id);
        self.judge_part(id);
    }

    fn frames(&mut self, id: LinkId, mut input: &[u8]) {
        loop {
            let Some(link) = self.links.get_mut(&id) else { return };
            match &mut link.state {
                State::Dialling | State::Own | State::Closing { .. } => return,
                State::Greeting { .. } => {
                    if input.is_empty() {
                        return;
                    }
                    self.greeting(id, &mut input);
                    continue;
                }
                State::Hello(_) | State::Probing { .. } | State::Ready => {}
            }
            match link.reader.next(&mut input) {
                Ok(Some(Frame::Borrowed(bytes))) => self.message(id, bytes, None),
                Ok(Some(Frame::Owned(bytes))) => {
                    let shared = std::sync::Arc::new(bytes);
                    self.message(id, &shared, Some(&shared));
                }
                Ok(None) => return,
                Err(error) => return self.broke(id, error.reason(), &error.to_string()),
            }
        }
    }

    pub(super) fn sent(&mut self, id: LinkId, len: usize) {
        let now = self.env.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        link.wrote = now;
        let written = link.queue.sent(len);
        link.advance(len, self.env.local.config.write_stall, now);
        link.gauge.give_queue(written.cost);
        link.ticks_out.written(written.ticks, written.tick_cost);
        link.answers_written(written.answers);
        link.writing = !link.queue.nothing_staged();
        self.env.touch(id);
    }

    pub(super) fn lost(&mut self, id: LinkId, cause: Cause) {
        let Some(link) = self.links.get(&id) else { return };
        if link.is_ready() && has(Planted::DeathUnnoticed) {
            return;
        }
        let (hang, what) = match cause {
            Cause::Eof => (true, "the other side closed the connection".to_owned()),
            Cause::Broken(why) => (false, format!("the connection broke: {why}")),
            Cause::Refused(why) => (false, why),
        };
        let remote = link.remote;
        match link.state {
            State::Ready if hang => {
                self.count_staged(id);
                self.leave(id, LeftReason::ConnectionLost);
                return self.finish_writing(id);
            }
            State::Ready => self.leave(id, LeftReason::ConnectionLost),
            State::Closing { .. } if hang => return self.finish_writing(id),
            State::Closing { .. } | State::Own => {}
            State::Greeting { .. } | State::Hello(_) | State::Probing { .. } if hang => {
                let why = format!("{remote}: {what} before the handshake was complete");
                self.joining_failed(
                    id,
                    Error::new(ErrorKind::ConnectFailed, why),
                    DialOutcome::Retry,
                );
                return self.finish_writing(id);
            }
            State::Dialling => self.lost_early(id, hang, format!("{remote}: {what}")),
            State::Greeting { .. } | State::Hello(_) | State::Probing { .. } => {
                let why = format!("{remote}: {what} before the handshake was complete");
                self.lost_early(id, hang, why);
            }
        }
        self.forget(id, hang);
    }

    /// The link is forgotten before its dial goes on, which would otherwise hang up a socket that is gone.
    fn lost_early(&mut self, id: LinkId, hang: bool, why: String) {
        let dial = self.links.get_mut(&id).and_then(|link| link.dial.take());
        self.forget(id, hang);
        if let Some(dial) = dial {
            let error = Error::new(ErrorKind::ConnectFailed, why);
            let outcome = DialOutcome::Retry;
            self.topology.attempt_failed(&mut self.env, &self.peers, dial, error, outcome);
        }
    }
}
