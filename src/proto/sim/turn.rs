//! One turn of a simulated node: it accepts, takes its mail, reads and writes as the kernel lets it. It must not know
//! what the bytes mean.

use super::Label;
use super::faults::Fault;
use super::hostile::mangle;
use super::link::Read;
use super::shell::{Mail, Socket};
use super::world::World;
use crate::id::LinkId;
use crate::proto::planted::Planted;
use crate::proto::{Cause, Input};

/// Turns that only say that it is time, in a row, without time passing.
const IDLE_TURNS: u32 = 50;

impl World {
    /// One turn of a node's loop, in the order in which the real one does things.
    pub(super) fn turn(&mut self, n: usize) {
        self.accept(n);
        self.take_mail(n);
        self.read_all(n);
        self.be_due(n);
        self.write_all(n);
        self.note_states(n);
        self.check_turn(n);
    }

    fn accept(&mut self, n: usize) {
        for _ in 0..self.rng.usize(1..8) {
            let Some(wire) = self.nodes[n].backlog.pop_front() else { return };
            let Some(mesh) = &mut self.nodes[n].mesh else { return };
            let link = mesh.draw_link();
            let Some(held) = self.wires.get_mut(&wire) else { continue };
            held.holders[1] = Some((n, link));
            let (remote, local) = (held.names[0], held.names[1]);
            self.nodes[n].sockets.insert(link, Socket::new(wire, 1));
            self.feed(n, Input::Accepted { link, local, remote });
        }
    }

    fn take_mail(&mut self, n: usize) {
        for _ in 0..self.rng.usize(1..20) {
            let Some(entry) = self.nodes[n].mail.first_entry() else { return };
            if entry.key().0 > self.now {
                return;
            }
            match entry.remove() {
                Mail::Input(input) => self.feed(n, input),
                Mail::Socket(input) => self.socket_news(n, input),
                Mail::TakeUp { label, reply_to, deadline, cancelled } => {
                    self.take_up(n, label, reply_to, deadline, &cancelled);
                }
            }
        }
    }

    fn socket_news(&mut self, n: usize, input: Input<Label>) {
        match &input {
            Input::Connected { link, .. } => match self.nodes[n].sockets.get_mut(link) {
                Some(socket) => socket.connected = true,
                None => return,
            },
            Input::Lost { link, .. } => {
                if self.nodes[n].sockets.remove(link).is_none() {
                    return;
                }
            }
            other => unreachable!("{other:?}"),
        }
        self.feed(n, input);
    }

    fn read_all(&mut self, n: usize) {
        let links: Vec<LinkId> = self.nodes[n].sockets.keys().copied().collect();
        for link in links {
            for _ in 0..self.rng.usize(1..6) {
                if !self.read_once(n, link) {
                    break;
                }
            }
        }
    }

    /// Reads once; false when there is nothing more to read there.
    fn read_once(&mut self, n: usize, link: LinkId) -> bool {
        let node = &mut self.nodes[n];
        let (Some(socket), Some(mesh)) = (node.sockets.get_mut(&link), &mut node.mesh) else {
            return false;
        };
        let Some(wire) = self.wires.get_mut(&socket.wire).filter(|_| socket.connected) else {
            return false;
        };
        if socket.eof || !wire.tcp.is_readable(socket.end) {
            return false;
        }
        let space = mesh.space(link);
        let unread = wire.tcp.unread(socket.end).min(space.len());
        let mut most = space.len();
        if unread > 1 && self.swarm.strikes(Fault::Chunk, &mut self.rng) {
            let small = if self.rng.bool() { 16 } else { unread };
            most = self.rng.usize(1..unread.min(small).max(2));
            *self.seen.faults.entry((Fault::Chunk, socket.state)).or_default() += 1;
        }
        if space.is_empty() {
            self.oracle.fail(format!("no space for {link:?}"));
            return false;
        }
        match wire.tcp.read(socket.end, &mut space[..most]) {
            Read::Bytes(len) => self.feed(n, Input::Received { link, len }),
            Read::Wait => return false,
            Read::Eof => {
                socket.eof = true;
                self.feed(n, Input::Lost { link, cause: Cause::Eof });
                return false;
            }
            Read::Broken => {
                self.broken(n, link);
                return false;
            }
        }
        true
    }

    /// A socket turned out to be broken: the shell forgets it and says so.
    fn broken(&mut self, n: usize, link: LinkId) {
        if let Some(socket) = self.nodes[n].sockets.remove(&link) {
            self.close_end(socket.wire, socket.end);
            let cause = Cause::Broken("connection reset".to_owned());
            self.feed(n, Input::Lost { link, cause });
        }
    }

    fn be_due(&mut self, n: usize) {
        let Some(mesh) = &self.nodes[n].mesh else { return };
        if mesh.deadline().is_none_or(|at| at > self.now) {
            self.nodes[n].idle_turns = (None, 0);
            return;
        }
        let (at, turns) = &mut self.nodes[n].idle_turns;
        *turns = if *at == Some(self.now) { *turns + 1 } else { 0 };
        *at = Some(self.now);
        if *turns > IDLE_TURNS {
            self.oracle.fail(format!("node {n} is due again and again without time passing"));
        }
        self.feed(n, Input::Due);
    }

    fn write_all(&mut self, n: usize) {
        let wants = |(link, socket): (&LinkId, &Socket)| {
            (socket.wants_write && socket.connected).then_some(*link)
        };
        let links: Vec<LinkId> = self.nodes[n].sockets.iter().filter_map(wants).collect();
        for link in links {
            while self.write_once(n, link) {}
        }
    }

    /// Writes once; false when everything is written or the kernel is full.
    fn write_once(&mut self, n: usize, link: LinkId) -> bool {
        let blunder = self.blunders(Planted::LostTail);
        let node = &mut self.nodes[n];
        let (Some(socket), Some(mesh)) = (node.sockets.get_mut(&link), &node.mesh) else {
            return false;
        };
        let Some(wire) = self.wires.get_mut(&socket.wire) else { return false };
        if !wire.tcp.is_writable(socket.end) {
            return false;
        }
        let mut room = wire.tcp.room(socket.end);
        if room > 1 && self.swarm.strikes(Fault::Partial, &mut self.rng) {
            let small = if self.rng.bool() { 64 } else { room };
            room = self.rng.usize(1..room.min(small).max(2));
            *self.seen.faults.entry((Fault::Partial, socket.state)).or_default() += 1;
        }
        let mut bytes = Vec::new();
        for slice in mesh.outgoing(link) {
            if slice.is_empty() {
                self.oracle.fail(format!("an empty slice is outgoing on {link:?}"));
            }
            bytes.extend_from_slice(&slice[..slice.len().min(room.max(1) - bytes.len())]);
            if bytes.len() >= room {
                break;
            }
        }
        if bytes.is_empty() {
            socket.wants_write = false;
            if socket.shut && !socket.fin_sent {
                socket.fin_sent = true;
                wire.tcp.shut(socket.end);
            }
            return false;
        }
        if socket.fin_sent {
            self.oracle.fail(format!("{} bytes follow the end of {link:?}", bytes.len()));
            return false;
        }
        let told = bytes.len();
        if told > 1 && blunder {
            bytes.truncate(told - 1);
        }
        let mangled = node.hostile && mangle(&mut bytes, socket, &mut node.recorded, &mut self.rng);
        match wire.tcp.write(socket.end, &bytes, self.now) {
            Some(0) => false,
            Some(len) => {
                let whole = len == bytes.len() && mangled || len < told && blunder;
                let len = if whole { told } else { len.min(told) };
                self.feed(n, Input::Sent { link, len });
                true
            }
            None => {
                self.broken(n, link);
                false
            }
        }
    }

    /// Faults like to strike where something has just begun.
    fn note_states(&mut self, n: usize) {
        let mut news = Vec::new();
        let node = &mut self.nodes[n];
        let Some(mesh) = &node.mesh else { return };
        for (link, socket) in &mut node.sockets {
            let Some(state) = mesh.link_state(*link) else {
                self.oracle
                    .fail(format!("node {n} has forgotten {link:?} and left its socket open"));
                return;
            };
            if state != socket.state {
                socket.state = state;
                news.push((socket.wire, state));
            }
        }
        for (wire, state) in news {
            self.tempt(n, wire, state);
        }
    }

    fn check_turn(&mut self, n: usize) {
        let node = &self.nodes[n];
        let Some(mesh) = &node.mesh else { return };
        if !node.stopping {
            let posted = node.posted();
            let posted = |link| posted.get(&link).copied().unwrap_or_default();
            if let Some(why) = mesh.broken_ledger(&posted, !self.oracle.has_hostile()) {
                self.oracle.fail(format!("node {n}: {why}"));
            }
        }
        self.oracle.check_directory(n, &self.nodes[n].published);
    }
}
