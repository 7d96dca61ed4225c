//! A simulated node: its engine, its sockets, its mail, its starts and its end. What it does in a turn, with outputs
//! and with messages stands in the sibling files.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::Label;
use super::oracle::Life;
use super::world::World;
use crate::config::Config;
use crate::id::{CallId, InstanceId, LinkId, NodeId};
use crate::options::Options;
use crate::proto::planted::{Planted, has};
use crate::proto::{Command, Input, Local, Mesh, Posted, ReplyTo, RouterRole};
use crate::routing::{Directory, cost};

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) addr: SocketAddr,
    pub(super) config: Config,
    /// What it starts with.
    pub(super) options: Options,
    pub(super) services: Vec<String>,
    /// Present if it is a router, whose options must say so.
    pub(super) role: Option<RouterRole>,
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
    /// What it writes is almost legal.
    pub(super) hostile: bool,
    /// What it wrote lately, for a hostile node to say again.
    pub(super) recorded: Vec<u8>,
    /// How often this node's options have changed.
    pub(super) changes: u64,
    /// Who leaves in the outputs of the present input: they are no longer listed when they are told to have joined.
    pub(super) leaving: Vec<NodeId>,
    pub(super) idle_turns: (Option<Instant>, u32),
    /// The last tick that came over a link with room of its own: they stay in order.
    pub(super) last_tick: BTreeMap<LinkId, Label>,
}

#[allow(clippy::struct_excessive_bools)] // Independent facts, each as the kernel or the engine told it.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) wire: u64,
    pub(super) end: usize,
    pub(super) connected: bool,
    pub(super) wants_write: bool,
    pub(super) shut: bool,
    pub(super) fin_sent: bool,
    pub(super) eof: bool,
    pub(super) state: &'static str,
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
        reply_to: ReplyTo,
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
            options: Options::default(),
            services: Vec::new(),
            role: None,
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
            hostile: false,
            recorded: Vec::new(),
            changes: 0,
            leaving: Vec::new(),
            idle_turns: (None, 0),
            last_tick: BTreeMap::new(),
        }
    }

    /// What its threads have taken on each link and the engine has not heard of yet.
    pub(super) fn posted(&self) -> BTreeMap<LinkId, Posted> {
        let mut posted: BTreeMap<LinkId, Posted> = BTreeMap::new();
        for mail in self.mail.values() {
            let Mail::Input(Input::Command(command)) = mail else { continue };
            let (plan, message, is_call) = match command {
                Command::Request(request) => (&request.plan, &request.message, true),
                // One that a router places is a call.
                Command::Tick(tick) => {
                    (&tick.plan, &tick.message, tick.plan.first.onward.is_some())
                }
                _ => continue,
            };
            let Some(link) = plan.room else { continue };
            let cost = cost(message.payload.len());
            let posted = posted.entry(link).or_default();
            posted.queued += cost;
            posted.calls += u32::from(is_call);
            posted.ticks += if is_call { 0 } else { cost as u64 };
        }
        posted
    }

    /// When this node next does something that no other causes.
    pub(super) fn next(&self) -> Option<Instant> {
        let mesh = self.mesh.as_ref()?;
        let mail = self.mail.first_key_value().map(|((at, _), _)| *at);
        let next = [mail, mesh.deadline()].into_iter().flatten().min();
        next.map(|next| next.max(self.suspended_until))
    }
}

impl World {
    /// Whether a planted bug of which the engine is innocent, since a shell or a caller would make it, shows at this
    /// opportunity.
    pub(super) fn blunders(&mut self, bug: Planted) -> bool {
        has(bug) && self.rng.u8(..20) == 0
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
            options: node.options.clone(),
            services: node.services.clone(),
            host: None,
            advertise: None,
            config: node.config.clone(),
            router: node.role,
        };
        node.mesh = Some(Mesh::new(local, rng, self.now));
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
    pub(super) fn clear(&mut self, n: usize) {
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
}

impl Socket {
    pub(super) fn new(wire: u64, end: usize) -> Self {
        let (connected, wants_write, shut, fin_sent, eof) = (true, false, false, false, false);
        Self { wire, end, connected, wants_write, shut, fin_sent, eof, state: "" }
    }
}
