//! Engines that are connected without sockets, threads or a clock: what one writes is what the
//! other reads, whole and at once. It must know nothing of the engine but its inputs and outputs.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::peers::local;
use crate::config::Config;
use crate::id::{CallId, LinkId};
use crate::node_event::Directions;
use crate::payload::Payload;
use crate::proto::{
    Answer, Command, ConnectMode, Delivery, Done, Input, Mesh, Message, Output, Request,
    RouterRole, Tick, Work,
};
use crate::routing::{Destination, Full, Gauge, PeerEntry, Plan, Route, Step, cost};

/// How many operations one second of virtual time has.
///
/// Arithmetic on instants takes more instructions where the fractions of a second carry. The mean
/// of a whole second is therefore the same whenever the measurement begins.
pub(super) const PER_SECOND: u32 = 1_000;
/// What the virtual clock advances by after each operation.
pub(super) const STEP: Duration = Duration::from_millis(1);
/// Longer than any operation takes.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How a caller takes capacity for a message of that cost.
pub(super) type Take = fn(&Gauge, usize) -> Result<(), Full>;

/// Engines, their connections, and what they have put out.
pub(super) struct Engines {
    now: Instant,
    nodes: Vec<Mesh<()>>,
    /// The two ends of each connection.
    connections: Vec<[(usize, LinkId); 2]>,
    calls: u64,
    dials: VecDeque<(usize, LinkId, SocketAddr)>,
    writes: VecDeque<(usize, LinkId)>,
    deliveries: VecDeque<(usize, Delivery)>,
    completed: Vec<Done>,
    /// Kept for their capacity.
    out: Vec<Output<()>>,
    bytes: Vec<u8>,
}

/// The engine with that number listens here.
fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], node as u16 + 1))
}

impl Engines {
    /// Starts engines of these names, without connections. A router's name begins with "router".
    pub(super) fn new(now: Instant, ids: &[&str]) -> Self {
        let engine = |(number, id): (u64, &&str)| {
            let role = RouterRole { tells: true, chooses_elsewhere: false, stats_every: None };
            let role = id.starts_with("router").then_some(role);
            let local = local(id, u128::from(number) + 1, Config::default(), role);
            Mesh::new(local.expect("a legal id"), fastrand::Rng::with_seed(number), now)
        };
        Self {
            now,
            nodes: (0..).zip(ids).map(engine).collect(),
            connections: Vec::new(),
            calls: 0,
            dials: VecDeque::new(),
            writes: VecDeque::new(),
            deliveries: VecDeque::new(),
            completed: Vec::new(),
            out: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// Dials the second engine from the first, and carries bytes until both have joined.
    pub(super) fn connect(&mut self, from: usize, to: usize) {
        let (mode, deadline) = (ConnectMode::Patient, self.now + TIMEOUT);
        let address = address(to).into();
        let connect = Command::Connect { address, mode, deadline, token: () };
        self.handle(from, Input::Command(connect));
        self.settle();
        assert!(matches!(self.complete(), Done::Connected(_)), "both have joined");
    }

    /// Returns a plan for that peer, for which capacity is taken.
    pub(super) fn plan(&self, from: usize, to: &str, take: Take, payload: &Payload) -> Plan {
        let peer = self.nodes[from].directory().get(to).expect("a joined peer");
        planned(peer, Step::new(peer.key, Directions::BOTH), take, payload)
    }

    /// Returns a plan for the engine itself, for which capacity is taken.
    pub(super) fn plan_to_itself(&self, node: usize, take: Take, payload: &Payload) -> Plan {
        let itself = self.nodes[node].own().expect("a running engine");
        planned(itself, Step::new(itself.key, Directions::BOTH), take, payload)
    }

    /// Returns a plan for a router that forwards the message there, for which capacity is taken.
    pub(super) fn plan_through(
        &self,
        router: &str,
        to: &Destination,
        take: Take,
        payload: &Payload,
    ) -> Plan {
        let peer = self.nodes[0].directory().get(router).expect("a joined router");
        let route = Some(Box::new(Route::new(Some(to.clone()))));
        Plan { route, ..planned(peer, Step::onward(peer.key, to.clone()), take, payload) }
    }

    /// Sends a request, and carries bytes until it is delivered.
    pub(super) fn request(&mut self, from: usize, plan: Plan, message: Message) {
        self.calls += 1;
        let (call, deadline) = (CallId(self.calls), self.now + TIMEOUT);
        let request = Request { call, plan, message, deadline, depth: 0, token: () };
        self.handle(from, Input::Command(Command::Request(request)));
        self.settle();
    }

    /// Replies to the one request that was delivered, and carries bytes until its caller has that.
    pub(super) fn reply(&mut self, payload: Payload) {
        let (node, delivery) = self.deliveries.pop_front().expect("a delivered request");
        let Work::Request { reply_to, .. } = delivery.work else { panic!("a tick was delivered") };
        self.handle(node, Input::Answer { reply_to, answer: Answer::Reply(payload) });
        self.settle();
        assert!(matches!(self.complete(), Done::Answered(_)), "the caller has the reply");
        self.pass_time();
    }

    /// Queues a tick. Bytes are not carried.
    pub(super) fn tick(&mut self, from: usize, plan: Plan, message: Message) {
        self.handle(from, Input::Command(Command::Tick(Tick { plan, message, wait: None })));
    }

    /// Carries bytes until so many ticks are delivered, consumes them in one go, and carries bytes
    /// until that is confirmed.
    pub(super) fn consume(&mut self, ticks: usize) {
        self.settle();
        assert_eq!(self.deliveries.len(), ticks, "all are delivered");
        let (mut consumer, mut sum) = (None, 0);
        while let Some((node, delivery)) = self.deliveries.pop_front() {
            let Work::Tick { cost } = delivery.work else { panic!("a request was delivered") };
            consumer = Some((node, delivery.link));
            sum += cost;
        }
        let (node, link) = consumer.expect("at least one tick");
        self.handle(node, Input::Consumed { link, ticks: ticks as u64, cost: sum });
        self.settle();
        self.pass_time();
    }

    /// Returns how the one command that was under way has ended.
    fn complete(&mut self) -> Done {
        let done = self.completed.pop().expect("the command has ended");
        assert!(self.completed.is_empty(), "no other command was under way");
        done
    }

    /// Advances the clock, and has each engine look at its timers if one of them is due.
    fn pass_time(&mut self) {
        self.now += STEP;
        for node in 0..self.nodes.len() {
            if self.nodes[node].deadline().is_some_and(|at| at <= self.now) {
                self.handle(node, Input::Due);
            }
        }
        self.settle();
    }

    /// Connects and carries until no engine has anything left to do.
    fn settle(&mut self) {
        loop {
            if let Some((node, link, to)) = self.dials.pop_front() {
                self.accept(node, link, to);
            } else if let Some((node, link)) = self.writes.pop_front() {
                self.carry(node, link);
            } else {
                return;
            }
        }
    }

    fn accept(&mut self, node: usize, link: LinkId, to: SocketAddr) {
        let peer = usize::from(to.port()) - 1;
        let other = self.nodes[peer].draw_link();
        self.connections.push([(node, link), (peer, other)]);
        let (local, remote) = (address(node), to);
        self.handle(node, Input::Connected { link, local, remote });
        self.handle(peer, Input::Accepted { link: other, local: remote, remote: local });
    }

    /// Gives everything that is outgoing on a link to its other end.
    fn carry(&mut self, node: usize, link: LinkId) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        for piece in self.nodes[node].outgoing(link) {
            bytes.extend_from_slice(piece);
        }
        if !bytes.is_empty() {
            self.writes.push_back((node, link));
            self.handle(node, Input::Sent { link, len: bytes.len() });
            let (peer, other) = self.other_end(node, link);
            self.receive(peer, other, &bytes);
        }
        self.bytes = bytes;
    }

    fn other_end(&self, node: usize, link: LinkId) -> (usize, LinkId) {
        let end = (node, link);
        let mut ends = self.connections.iter();
        let [one, other] = ends.find(|ends| ends.contains(&end)).expect("an open connection");
        if *one == end { *other } else { *one }
    }

    fn receive(&mut self, node: usize, link: LinkId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.nodes[node].space(link);
            let len = space.len().min(bytes.len());
            space[..len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.handle(node, Input::Received { link, len });
        }
    }

    fn handle(&mut self, node: usize, input: Input<()>) {
        self.nodes[node].handle(self.now, input, &mut self.out);
        for output in self.out.drain(..) {
            match output {
                Output::Dial { link, addr } => self.dials.push_back((node, link, addr)),
                Output::Write { link } => self.writes.push_back((node, link)),
                Output::Deliver(delivery) => self.deliveries.push_back((node, delivery)),
                Output::Complete { token: (), result } => {
                    self.completed.push(result.expect("the command succeeds"));
                }
                Output::Publish | Output::Event(_) => {}
                other => panic!("no workload leads to {other:?}"),
            }
        }
    }
}

/// Takes capacity on the peer's link, as a caller does before it posts its command.
fn planned(peer: &Arc<PeerEntry>, first: Step, take: Take, payload: &Payload) -> Plan {
    let face = peer.face(Directions::BOTH).expect("an open link");
    take(&face.gauge, cost(payload.len())).expect("capacity on an idle link");
    Plan::one(first, Some(face.link))
}
