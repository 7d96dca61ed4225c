//! The shell of a simulated node: what `net/`, the callers and the workers are to the engine of a real one.
//! It obeys outputs to the letter and complains about those that make no sense.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::Label;
use super::faults::Fault;
use super::link::Read;
use super::oracle::{Life, payloads};
use super::world::World;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{CallId, InstanceId, LinkId, NodeId};
use crate::node_event::NodeEvent;
use crate::options::Options;
use crate::proto::{
    Answer, Cause, Command, Delivery, Done, Input, Local, Mesh, Output, Owed, Work,
};
use crate::routing::Directory;

/// Turns that only say that it is time, in a row, without time passing.
const IDLE_TURNS: u32 = 50;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) addr: SocketAddr,
    pub(super) config: Config,
    /// `None` while it is not running.
    pub(super) mesh: Option<Mesh<Label>>,
    /// Counts the starts.
    pub(super) incarnation: u64,
    pub(super) listening: Option<SocketAddr>,
    /// Wires that are connected and not accepted.
    pub(super) backlog: VecDeque<u64>,
    pub(super) sockets: BTreeMap<LinkId, Socket>,
    /// What reaches the node from its own threads, and when.
    pub(super) mail: BTreeMap<(Instant, u64), Mail>,
    /// When the last command was posted: they keep their order.
    pub(super) posted: Instant,
    pub(super) published: Directory,
    pub(super) suspended_until: Instant,
    pub(super) next_call: u64,
    pub(super) calls: BTreeMap<Label, CallId>,
    pub(super) stopping: bool,
    /// Who leaves in the outputs of the present input: they are no longer listed when they are told to have joined.
    leaving: Vec<NodeId>,
    idle_turns: (Option<Instant>, u32),
    /// The last tick that came over a link with room of its own: they stay in order.
    last_tick: BTreeMap<LinkId, Label>,
}

#[allow(clippy::struct_excessive_bools)] // Independent facts, each as the kernel or the engine told it.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) wire: u64,
    pub(super) end: usize,
    connected: bool,
    wants_write: bool,
    shut: bool,
    fin_sent: bool,
    eof: bool,
    state: &'static str,
}

/// What a node's own threads, its listener and its dials have for it.
#[derive(Debug)]
pub(super) enum Mail {
    Input(Input<Label>),
    /// About a socket: void once that is gone.
    Socket(Input<Label>),
    /// A worker takes up a request.
    TakeUp {
        label: Label,
        owed: Owed,
        deadline: Instant,
        cancelled: Arc<AtomicBool>,
    },
}

impl Node {
    pub(super) fn new(id: NodeId, addr: SocketAddr, config: Config, now: Instant) -> Self {
        Self {
            id,
            addr,
            config,
            mesh: None,
            incarnation: 0,
            listening: None,
            backlog: VecDeque::new(),
            sockets: BTreeMap::new(),
            mail: BTreeMap::new(),
            posted: now,
            published: Directory::default(),
            suspended_until: now,
            next_call: 0,
            calls: BTreeMap::new(),
            stopping: false,
            leaving: Vec::new(),
            idle_turns: (None, 0),
            last_tick: BTreeMap::new(),
        }
    }

    /// When this node next does something that no other causes.
    pub(super) fn next(&self) -> Option<Instant> {
        let mesh = self.mesh.as_ref()?;
        let mail = self.mail.first_key_value().map(|((at, _), _)| *at);
        let next = [mail, mesh.deadline()].into_iter().flatten().min();
        next.map(|next| next.max(self.suspended_until))
    }
}

/// Planted bugs of which the engine is innocent: a shell or a caller would make them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Blunder {
    ReusedId,
    LostTail,
    LostWake,
}

impl World {
    /// Whether a planted bug of the shell or a caller shows at this opportunity.
    pub(super) fn blunders(&mut self, blunder: Blunder) -> bool {
        #[cfg(test)]
        {
            let planted = match blunder {
                Blunder::ReusedId => crate::proto::Planted::ReusedId,
                Blunder::LostTail => crate::proto::Planted::LostTail,
                Blunder::LostWake => crate::proto::Planted::LostWake,
            };
            self.planted == Some(planted) && self.rng.u8(..20) == 0
        }
        #[cfg(not(test))]
        {
            let _ = blunder;
            false
        }
    }

    pub(super) fn life(&self, node: usize) -> Life {
        (node, self.nodes[node].incarnation)
    }

    /// Starts a node, or starts it again: the same id, another instance.
    pub(super) fn start_node(&mut self, n: usize) {
        let instance = InstanceId(self.rng.u128(..));
        let rng = self.rng.fork();
        let node = &mut self.nodes[n];
        let local = Local {
            id: node.id.clone(),
            instance,
            options: Options::default(),
            services: (0..n).map(|service| format!("service-{service}")).collect(),
            host: None,
            advertise: None,
            config: node.config.clone(),
        };
        let mut mesh = Mesh::new(local, rng, self.now);
        #[cfg(test)]
        if let Some(planted) = self.planted {
            mesh.plant(planted);
        }
        node.mesh = Some(mesh);
        node.incarnation += 1;
        node.stopping = false;
        node.published = Directory::default();
        node.posted = self.now;
        node.next_call = 0;
        node.calls.clear();
        node.last_tick.clear();
        let life = self.life(n);
        self.oracle.born(life);
        self.note(format_args!("node {n} starts"));
    }

    /// Kills a node: the kernel closes its sockets, and it says nothing more.
    pub(super) fn crash(&mut self, n: usize) {
        if self.nodes[n].mesh.take().is_none() {
            return;
        }
        self.note(format_args!("node {n} is killed"));
        let life = self.life(n);
        self.oracle.died(life);
        self.clear(n);
    }

    /// Nothing is left of a node but its name.
    fn clear(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.mail.clear();
        node.listening = None;
        let sockets = std::mem::take(&mut node.sockets);
        let backlog = std::mem::take(&mut node.backlog);
        self.drop_backlog(backlog);
        for socket in sockets.values() {
            self.close_end(socket.wire, socket.end);
        }
    }

    pub(super) fn post(&mut self, n: usize, at: Instant, mail: Mail) {
        let serial = self.serial();
        if self.nodes[n].mesh.is_some() {
            self.nodes[n].mail.insert((at, serial), mail);
        }
    }

    pub(super) fn post_now(&mut self, n: usize, mail: Mail) {
        self.post(n, self.now, mail);
    }

    /// Posts a command as a thread does: it stays in order, and takes a moment.
    pub(super) fn command(&mut self, n: usize, command: Command<Label>) {
        let moment = Duration::from_micros(self.rng.u64(..200));
        let at = self.nodes[n].posted.max(self.now + moment);
        self.nodes[n].posted = at;
        self.post(n, at, Mail::Input(Input::Command(command)));
    }

    pub(super) fn has_work(&self, n: usize) -> bool {
        let node = &self.nodes[n];
        let Some(mesh) = &node.mesh else { return false };
        if node.suspended_until > self.now {
            return false;
        }
        !node.backlog.is_empty()
            || node.mail.first_key_value().is_some_and(|((at, _), _)| *at <= self.now)
            || mesh.deadline().is_some_and(|at| at <= self.now)
            || node.sockets.values().any(|socket| self.is_ready(socket))
    }

    fn is_ready(&self, socket: &Socket) -> bool {
        let Some(wire) = self.wires.get(&socket.wire).filter(|_| socket.connected) else {
            return false;
        };
        !socket.eof && wire.tcp.is_readable(socket.end)
            || socket.wants_write && wire.tcp.is_writable(socket.end)
    }

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
                Mail::TakeUp { label, owed, deadline, cancelled } => {
                    self.take_up(n, label, owed, deadline, &cancelled);
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
        let blunder = self.blunders(Blunder::LostTail);
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
        match wire.tcp.write(socket.end, &bytes, self.now) {
            Some(0) => false,
            Some(len) => {
                let len = if len < told && blunder { told } else { len };
                self.feed(n, Input::Sent { link, len });
                true
            }
            None => {
                self.broken(n, link);
                false
            }
        }
    }

    /// Hands one input to the engine and does what it says.
    pub(super) fn feed(&mut self, n: usize, input: Input<Label>) {
        self.note_input(n, &input);
        let mut out = Vec::new();
        let Some(mesh) = &mut self.nodes[n].mesh else { return };
        mesh.handle(self.now, input, &mut out);
        let leaving = |output: &Output<Label>| match output {
            Output::Event(NodeEvent::PeerLeft { id, .. }) => Some(id.clone()),
            _ => None,
        };
        self.nodes[n].leaving = out.iter().filter_map(leaving).collect();
        for output in out {
            if self.nodes[n].mesh.is_none() {
                self.oracle.fail(format!("node {n} says something after it has stopped"));
                return;
            }
            self.obey(n, output);
        }
    }

    fn obey(&mut self, n: usize, output: Output<Label>) {
        self.note_output(n, &output);
        match output {
            Output::Resolve { query, address } => {
                let number = address.host().strip_prefix("host-").and_then(|n| n.parse().ok());
                let result = match number {
                    Some(number) => Ok(vec![super::world::address_of(number)]),
                    None => Err("no such host".to_owned()),
                };
                let at = self.now + Duration::from_micros(self.rng.u64(..50_000));
                self.post(n, at, Mail::Input(Input::Resolved { query, result }));
            }
            Output::Listen { addrs } => self.listen(n, &addrs),
            Output::Unlisten => {
                self.nodes[n].listening = None;
                let backlog = std::mem::take(&mut self.nodes[n].backlog);
                self.drop_backlog(backlog);
            }
            Output::Dial { link, addr } => {
                let wire = self.dial(n, link, addr);
                self.nodes[n]
                    .sockets
                    .insert(link, Socket { connected: false, ..Socket::new(wire, 0) });
            }
            Output::Write { link } => {
                if self.blunders(Blunder::LostWake) {
                    return;
                }
                if let Some(socket) = self.socket(n, link, "Write") {
                    socket.wants_write = true;
                }
            }
            Output::Shut { link } => {
                if let Some(socket) = self.socket(n, link, "Shut") {
                    socket.shut = true;
                    socket.wants_write = true;
                }
            }
            Output::Hang { link } => {
                self.socket(n, link, "Hang");
                if let Some(socket) = self.nodes[n].sockets.remove(&link) {
                    self.close_end(socket.wire, socket.end);
                }
            }
            Output::Deliver(delivery) => self.deliver(n, delivery),
            Output::Complete { token, result } => self.complete(n, token, &result),
            Output::Publish => {
                if let Some(mesh) = &self.nodes[n].mesh {
                    self.nodes[n].published = mesh.directory().clone();
                }
            }
            Output::Event(event) => {
                let life = self.life(n);
                let node = &self.nodes[n];
                let leaves = matches!(&event, NodeEvent::PeerJoined(peer) if node.leaving.contains(&peer.id));
                self.oracle.event(life, &event, &node.published, leaves);
            }
            Output::Stopped => self.stopped(n),
        }
    }

    /// The socket of a link that the engine speaks of, which must be there.
    fn socket(&mut self, n: usize, link: LinkId, what: &str) -> Option<&mut Socket> {
        let socket = self.nodes[n].sockets.get_mut(&link);
        if socket.is_none() {
            self.oracle.fail(format!("node {n}: {what} for {link:?}, which is closed"));
        }
        socket
    }

    fn listen(&mut self, n: usize, addrs: &[SocketAddr]) {
        let ours = self.nodes[n].addr;
        let result = if addrs.contains(&ours) && self.nodes[n].listening.is_none() {
            self.nodes[n].listening = Some(ours);
            Ok(ours)
        } else {
            Err("address not available".to_owned())
        };
        self.post_now(n, Mail::Input(Input::Listening(result)));
    }

    fn deliver(&mut self, n: usize, delivery: Delivery) {
        let (from, at) = (delivery.sender.id.clone(), self.nodes[n].id.clone());
        if !self.oracle.is_joined(n, &from) {
            self.oracle.fail(format!("node {n} gets a message of {from}, who has not joined"));
        }
        self.check_sender(n, delivery.link, &from);
        let name = delivery.message.event.as_str();
        let number = name.get(2..).and_then(|number| number.parse().ok());
        let label = Label(number.unwrap_or_default());
        let payload = &delivery.message.payload;
        if payload.len() > 1 && !payloads::belongs(payload, label) {
            self.oracle.fail(format!("the payload of {name} is another message's"));
        }
        match delivery.work {
            Work::Request { owed, deadline, cancelled, .. } => {
                let at = self.now + self.any_moment();
                self.post(n, at, Mail::TakeUp { label, owed, deadline, cancelled });
            }
            Work::Tick { cost } => {
                self.oracle.tick_delivered(label, &at);
                if name.starts_with("o:") {
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

    fn check_sender(&mut self, n: usize, link: LinkId, from: &NodeId) {
        let Some(socket) = self.nodes[n].sockets.get(&link) else { return };
        let Some(wire) = self.wires.get(&socket.wire) else { return };
        if let Some((other, _)) = wire.holders[1 - socket.end] {
            if self.nodes[other].id != *from {
                self.oracle.fail(format!("node {n} takes {other} for {from}"));
            }
        }
    }

    fn check_order(&mut self, n: usize, link: LinkId, label: Label) {
        let last = self.nodes[n].last_tick.insert(link, label);
        if last.is_some_and(|last| last > label) {
            self.oracle.fail(format!("node {n}: tick {label:?} comes after {last:?} on {link:?}"));
        }
    }

    /// A worker takes up a request: it refuses it, or runs user code and answers later.
    fn take_up(
        &mut self,
        n: usize,
        label: Label,
        owed: Owed,
        deadline: Instant,
        cancelled: &AtomicBool,
    ) {
        let fault = |kind| Answer::Fault(Error::new(kind, payloads::WORKER));
        if deadline <= self.now || cancelled.load(Relaxed) {
            return self.feed(n, Input::Answer { owed, answer: fault(ErrorKind::Expired) });
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
            return self.feed(n, Input::Answer { owed, answer });
        }
        let id = self.nodes[n].id.clone();
        self.oracle.ran(label, &id);
        let at = self.now + self.any_moment();
        self.post(n, at, Mail::Input(Input::Answer { owed, answer }));
    }

    fn complete(&mut self, n: usize, token: Label, result: &Result<Done, Error>) {
        if let Err(error) = result {
            *self.seen.errors.entry(error.kind()).or_default() += 1;
        }
        let resumed = self.nodes[n].suspended_until;
        let life = self.life(n);
        self.oracle.completed(token, life, self.now, resumed, result);
        if let Ok(Done::Connected(peer)) = result {
            let node = &self.nodes[n];
            let leaves = node.leaving.contains(&peer.id);
            if !leaves && node.published.get(peer.id.as_str()).is_none() {
                self.oracle
                    .fail(format!("node {n} is connected to {}, who is not listed", peer.id));
            }
        }
    }

    fn stopped(&mut self, n: usize) {
        let life = self.life(n);
        let node = &mut self.nodes[n];
        let Some(mesh) = node.mesh.take() else { return };
        let left = (mesh.pending_calls(), mesh.owed_calls(), mesh.armed_timers());
        if left != (0, 0, 0) || !node.sockets.is_empty() || node.listening.is_some() {
            let sockets = node.sockets.len();
            let why = format!(
                "node {n} has stopped with (pending, owed, timers) {left:?}, {sockets} sockets"
            );
            self.oracle.fail(why);
        }
        let resumed = self.nodes[n].suspended_until;
        for mail in std::mem::take(&mut self.nodes[n].mail).into_values() {
            let Mail::Input(Input::Command(command)) = mail else { continue };
            if matches!(&command, Command::Tick(tick) if tick.wait.is_none()) {
                self.oracle.tick_left_behind(life);
            }
            if let Some(token) = token_of(command) {
                let closed = Err(Error::new(ErrorKind::Closed, "the node has stopped"));
                self.oracle.completed(token, life, self.now, resumed, &closed);
            }
        }
        self.clear(n);
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
        if self.nodes[n].mesh.is_some() {
            self.oracle.check_directory(n, &self.nodes[n].published);
        }
    }
}

impl Socket {
    fn new(wire: u64, end: usize) -> Self {
        let (connected, wants_write, shut, fin_sent, eof) = (true, false, false, false, false);
        Self { wire, end, connected, wants_write, shut, fin_sent, eof, state: "" }
    }
}

/// Whom a command wakes: what a caller hears when the loop has ended before it took the command.
fn token_of(command: Command<Label>) -> Option<Label> {
    match command {
        Command::Request(request) => Some(request.token),
        Command::Tick(tick) => tick.wait.map(|(_, token)| token),
        Command::Bind { token, .. }
        | Command::Unbind { token }
        | Command::Connect { token, .. }
        | Command::ConnectAlways { token, .. }
        | Command::Disconnect { token, .. } => Some(token),
        Command::Stop { token, .. } => token,
        Command::Cancel { .. } | Command::SetOptions { .. } | Command::SetServices { .. } => None,
    }
}
