//! Fixed scenarios of two or three engines whose bytes arrive at once and whole. Everything adverse is in `sim/`.

mod promises;
mod stories;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::*;
use crate::error::{ErrorKind, Execution};
use crate::node_event::{Directions, LeftReason};
use crate::routing::{Full, Gauge, Step, cost};

mod closing;
mod flush;
mod goodbyes;
mod limits;
mod members;
mod memory;
mod own;
mod passing;
mod relay;
mod searches;
mod steps;

type Label = &'static str;

#[allow(clippy::large_enum_variant)] // Every one is moved once.
enum Arrival {
    Input(usize, Input<Label>),
    Bytes(usize, LinkId, Vec<u8>),
}

/// Engines on one wire without delay; `listening[i]` is at port `i`.
struct Pair {
    now: Instant,
    nodes: Vec<Mesh<Label>>,
    /// Where the other end of a link is.
    ends: BTreeMap<(usize, LinkId), (usize, LinkId)>,
    steps: VecDeque<Arrival>,
    done: Vec<(Label, Result<Done, Error>)>,
    events: Vec<(usize, NodeEvent)>,
    delivered: Vec<(usize, Delivery)>,
    stopped: Vec<usize>,
    /// Bytes of these nodes are not carried.
    frozen: Vec<usize>,
    /// What is to be chosen off the loops, if that is to take long.
    choosing: Option<VecDeque<(usize, Choose)>>,
    /// These nodes refuse connections.
    closed: Vec<usize>,
    /// Dials to addresses at which there is no node come to nothing, instead of being refused.
    silent: bool,
    /// Who dialled, and when.
    dials: Vec<(usize, Instant)>,
    calls: u64,
    /// How many writes have reached each node.
    arrivals: BTreeMap<usize, usize>,
}

fn addr(node: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], node as u16 + 1))
}

impl Pair {
    fn new(ids: &[&str]) -> Self {
        Self::with(ids, &Config::default())
    }

    fn with(ids: &[&str], config: &Config) -> Self {
        let now = Instant::now();
        let numbered = (0..).zip(ids);
        let nodes = numbered.map(|(number, id)| mesh(id, number, now, config)).collect();
        Self {
            now,
            nodes,
            ends: BTreeMap::new(),
            steps: VecDeque::new(),
            done: Vec::new(),
            events: Vec::new(),
            delivered: Vec::new(),
            stopped: Vec::new(),
            frozen: Vec::new(),
            choosing: None,
            closed: Vec::new(),
            silent: false,
            dials: Vec::new(),
            calls: 0,
            arrivals: BTreeMap::new(),
        }
    }

    /// Node 0 dials node 1.
    fn joined(ids: &[&str]) -> Self {
        Self::joined_with(ids, &Config::default())
    }

    fn joined_with(ids: &[&str], config: &Config) -> Self {
        let mut pair = Self::with(ids, config);
        pair.connect(0, 1, "connect");
        pair.run();
        assert!(matches!(pair.result("connect"), Ok(Done::Connected(_))));
        pair
    }

    fn connect(&mut self, from: usize, to: usize, token: Label) {
        let (mode, deadline) = (ConnectMode::Patient, self.now + Duration::from_secs(10));
        self.command(from, Command::Connect { address: addr(to).into(), mode, deadline, token });
    }

    fn command(&mut self, node: usize, command: Command<Label>) {
        self.steps.push_back(Arrival::Input(node, Input::Command(command)));
    }

    fn message(payload: Payload) -> Message {
        let event = EventName::new("test").unwrap();
        Message { event, headers: Headers::default(), payload }
    }

    fn plan(&self, from: usize, to: &str, tick: bool, bytes: usize) -> Plan {
        let entry = self.nodes[from].directory().get(to).expect("a joined peer");
        let face = entry.face(Directions::BOTH).unwrap();
        let taken = if tick {
            face.gauge.take_tick(cost(bytes))
        } else {
            face.gauge.take_call(cost(bytes))
        };
        let step = Step::new(entry.key, Directions::BOTH);
        Plan::one(step, taken.is_ok().then_some(face.link))
    }

    fn request(&mut self, from: usize, to: &str, payload: Payload, token: Label) -> CallId {
        let plan = self.plan(from, to, false, payload.len());
        self.request_by(plan, from, payload, token)
    }

    fn request_by(&mut self, plan: Plan, from: usize, payload: Payload, token: Label) -> CallId {
        self.calls += 1;
        let call = CallId(self.calls);
        let deadline = self.now + Duration::from_secs(3);
        let message = Self::message(payload);
        let request = Request { call, plan, message, deadline, depth: 0, token };
        self.command(from, Command::Request(request));
        call
    }

    /// The link by which that node reaches that peer.
    fn link(&self, node: usize, peer: &str) -> LinkId {
        let entry = self.nodes[node].directory().get(peer).expect("a joined peer");
        entry.face(Directions::BOTH).unwrap().link
    }

    /// The room that node 0 has on its link to the server.
    fn gauge(&self) -> Arc<Gauge> {
        let entry = self.nodes[0].directory().get("server").unwrap();
        Arc::clone(&entry.face(Directions::BOTH).unwrap().gauge)
    }

    /// Two ticks to the server, of which the second waits for the window.
    fn tick_twice(&mut self) {
        let payload = bytes_of(60_000);
        for token in ["first", "second"] {
            let plan = self.plan(0, "server", true, payload.len());
            let wait = Some((self.now + Duration::from_secs(5), token));
            let tick = Tick { plan, message: Self::message(payload.clone()), wait };
            self.command(0, Command::Tick(tick));
        }
        self.run();
    }

    fn result(&mut self, token: Label) -> Result<Done, Error> {
        let at = self.done.iter().position(|(done, _)| *done == token);
        self.done.swap_remove(at.unwrap_or_else(|| panic!("{token} is not done"))).1
    }

    fn events_of(&self, node: usize) -> Vec<String> {
        self.events
            .iter()
            .filter(|(at, _)| *at == node)
            .map(|(_, event)| format!("{event:?}"))
            .collect()
    }

    fn run(&mut self) {
        while let Some(arrival) = self.steps.pop_front() {
            match arrival {
                Arrival::Input(node, input) => self.feed(node, input),
                Arrival::Bytes(node, link, bytes) => self.arrive(node, link, &bytes),
            }
        }
    }

    /// Lets time pass, from timer to timer.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.run();
            let next = (0..self.nodes.len())
                .filter_map(|node| Some((self.nodes[node].deadline()?, node)))
                .min();
            let Some((at, node)) = next.filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.steps.push_back(Arrival::Input(node, Input::Due));
        }
        self.now = end;
    }

    fn apply(&mut self, node: usize, output: Output<Label>) {
        match output {
            Output::Dial { link, addr: to } => self.dial(node, link, to),
            Output::Write { link } => self.carry(node, link),
            Output::Shut { link } => {
                if let Some((peer, other)) = self.ends.get(&(node, link)).copied() {
                    self.steps.push_back(Arrival::Input(
                        peer,
                        Input::Lost { link: other, cause: Cause::Eof },
                    ));
                }
            }
            Output::Hang { link } => {
                if let Some((peer, other)) = self.ends.remove(&(node, link)) {
                    self.ends.remove(&(peer, other));
                    let cause = Cause::Broken("reset".to_owned());
                    self.steps.push_back(Arrival::Input(peer, Input::Lost { link: other, cause }));
                }
            }
            Output::Deliver(delivery) => self.delivered.push((node, delivery)),
            Output::Complete { token, result } => self.done.push((token, result)),
            Output::Event(event) => self.events.push((node, event)),
            Output::Stopped => self.stopped.push(node),
            Output::Listen { addrs } => {
                self.steps.push_back(Arrival::Input(node, Input::Listening(Ok(addrs[0]))));
            }
            Output::Choose(choose) => match &mut self.choosing {
                Some(waiting) => waiting.push_back((node, choose)),
                None => self.choose(node, choose),
            },
            Output::Publish | Output::Unlisten | Output::Resolve { .. } => {}
        }
    }

    fn dial(&mut self, node: usize, link: LinkId, to: SocketAddr) {
        let peer = usize::from(to.port()) - 1;
        self.dials.push((node, self.now));
        if self.silent && peer >= self.nodes.len() {
            return;
        }
        if peer >= self.nodes.len() || self.closed.contains(&peer) {
            let cause = Cause::Refused("refused".to_owned());
            return self.steps.push_back(Arrival::Input(node, Input::Lost { link, cause }));
        }
        let other = self.nodes[peer].draw_link();
        self.ends.insert((node, link), (peer, other));
        self.ends.insert((peer, other), (node, link));
        let (local, remote) = (addr(node), to);
        self.steps.push_back(Arrival::Input(node, Input::Connected { link, local, remote }));
        let accepted = Input::Accepted { link: other, local: remote, remote: local };
        self.steps.push_back(Arrival::Input(peer, accepted));
    }

    fn carry(&mut self, node: usize, link: LinkId) {
        if self.frozen.contains(&node) {
            return;
        }
        let bytes: Vec<u8> = self.nodes[node].outgoing(link).flatten().copied().collect();
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        if let Some((peer, other)) = self.ends.get(&(node, link)).copied() {
            self.steps.push_back(Arrival::Bytes(peer, other, bytes));
        }
        self.feed(node, Input::Sent { link, len });
        self.carry(node, link);
    }

    fn feed(&mut self, node: usize, input: Input<Label>) {
        let mut out = Vec::new();
        self.nodes[node].handle(self.now, input, &mut out);
        for output in out {
            self.apply(node, output);
        }
    }

    fn arrive(&mut self, node: usize, link: LinkId, bytes: &[u8]) {
        *self.arrivals.entry(node).or_default() += 1;
        let mut rest = bytes;
        while !rest.is_empty() {
            let space = self.nodes[node].space(link);
            let len = space.len().min(rest.len());
            space[..len].copy_from_slice(&rest[..len]);
            rest = &rest[len..];
            self.feed(node, Input::Received { link, len });
        }
    }
}

fn mesh(id: &str, seed: u64, now: Instant, config: &Config) -> Mesh<Label> {
    Mesh::new(local(id, seed, config), fastrand::Rng::with_seed(seed), now)
}

fn local(id: &str, seed: u64, config: &Config) -> Local {
    let id = NodeId::new(id).unwrap();
    let is_router = id.as_str().starts_with("router");
    let options = Options::default().with_id(&id);
    let options = if is_router { options.with_router() } else { options };
    let role = RouterRole { tells: true, chooses_elsewhere: false, stats_every: None };
    Local {
        id,
        instance: InstanceId(u128::from(seed) + 1),
        options,
        services: vec!["a".to_owned()],
        host: None,
        advertise: None,
        config: config.clone(),
        router: is_router.then_some(role),
    }
}

fn bytes_of(len: usize) -> Payload {
    let mut item = vec![0x5a];
    item.extend_from_slice(&(len as u32).to_be_bytes());
    item.resize(5 + len, 7);
    Payload::from_item(item)
}

#[test]
fn both_sides_know_each_other_when_connect_returns() {
    let mut pair = Pair::joined(&["client", "server"]);
    assert!(pair.nodes[0].directory().get("server").unwrap().directions().up);
    assert!(pair.nodes[1].directory().get("client").unwrap().directions().down);
    pair.connect(0, 1, "again");
    pair.run();
    assert!(matches!(pair.result("again"), Ok(Done::Connected(_))));
    assert_eq!(pair.events_of(0).len(), 1);
    assert_eq!(pair.events_of(1).len(), 1);
}

// covers P19
#[test]
fn answers_that_are_taken_back_and_not_read_do_not_pile_up() {
    let mut pair = Pair::joined(&["client", "server"]);
    pair.frozen.push(1);
    for _ in 0..10_000 {
        let call = pair.request(0, "server", bytes_of(0), "call");
        pair.run();
        let Some((_, Delivery { work: Work::Request { reply_to, .. }, .. })) = pair.delivered.pop()
        else {
            break;
        };
        pair.feed(1, Input::Answer { reply_to, answer: Answer::Reply(bytes_of(0)) });
        pair.command(0, Command::Cancel { call });
        pair.run();
    }
    let events = pair.events_of(1);
    assert!(events.iter().any(|event| event.contains("does not read")), "{events:?}");
}

#[test]
fn two_dials_of_one_listener_at_once_leave_a_link_however_its_answers_interleave() {
    let mut pair = Pair::new(&["client", "server"]);
    let other = SocketAddr::from(([127, 0, 0, 2], addr(1).port()));
    let (mode, deadline) = (ConnectMode::Patient, pair.now + Duration::from_secs(10));
    for (address, token) in [(addr(1), "one"), (other, "two")] {
        pair.command(0, Command::Connect { address: address.into(), mode, deadline, token });
    }
    // Once the first link has joined, what comes on the second is heard first.
    while !pair.steps.is_empty() {
        let to = |link| move |arrival: &Arrival| matches!(arrival, Arrival::Bytes(0, at, _) if *at == link);
        let joined = pair.nodes[0].link_state(LinkId(1)) == Some("ready");
        let at = pair.steps.iter().position(to(LinkId(2))).filter(|_| joined);
        match pair.steps.remove(at.unwrap_or(0)) {
            Some(Arrival::Input(node, input)) => pair.feed(node, input),
            Some(Arrival::Bytes(node, link, bytes)) => pair.arrive(node, link, &bytes),
            None => unreachable!(),
        }
    }
    assert!(matches!(pair.result("one"), Ok(Done::Connected(_))));
    assert!(matches!(pair.result("two"), Ok(Done::Connected(_))));
    pair.pass(Duration::from_secs(5));
    assert_eq!((pair.nodes[0].directory().len(), pair.nodes[1].directory().len()), (1, 1));
}

#[test]
fn a_request_of_any_size_is_delivered_and_answered_once() {
    for len in [0, 50, 20_000, 70_000, 140_000, 3_000_000] {
        let mut pair = Pair::joined(&["client", "server"]);
        let payload = bytes_of(len);
        pair.request(0, "server", payload.clone(), "call");
        pair.run();
        let (node, delivery) = pair.delivered.pop().unwrap();
        assert_eq!(node, 1);
        assert_eq!(delivery.message.payload, payload, "{len}");
        let Work::Request { reply_to, .. } = delivery.work else { panic!("a request") };
        pair.feed(1, Input::Answer { reply_to, answer: Answer::Reply(payload.clone()) });
        pair.run();
        let Ok(Done::Answered(answered)) = pair.result("call") else { panic!("answered") };
        assert_eq!(answered.payload, payload);
        assert_eq!(pair.nodes[0].pending_calls() + pair.nodes[1].inbound_requests(), 0);
        let gauge = &pair.nodes[0].directory().get("server").unwrap().up.as_ref().unwrap().gauge;
        assert_eq!((gauge.calls(), gauge.queued()), (0, 0));
    }
}

// covers P30
#[test]
fn a_call_to_a_silent_handler_times_out_and_is_cancelled_there() {
    let mut pair = Pair::joined(&["client", "server"]);
    pair.request(0, "server", Payload::null(), "call");
    pair.pass(Duration::from_secs(4));
    let error = pair.result("call").unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::RequestTimeout, Execution::Unknown));
    let Work::Request { cancelled, reply_to, .. } = &pair.delivered[0].1.work else {
        panic!("a request")
    };
    assert!(cancelled.load(std::sync::atomic::Ordering::Relaxed));
    let reply_to = *reply_to;
    pair.feed(1, Input::Answer { reply_to, answer: Answer::Reply(Payload::null()) });
    pair.run();
    assert_eq!(pair.nodes[1].dropped().unwanted_answers, 1);
}

// covers P11
#[test]
fn idle_peers_stay_and_a_frozen_one_is_left_within_its_time() {
    let mut pair = Pair::joined(&["client", "server"]);
    pair.pass(Duration::from_secs(60));
    assert_eq!(pair.nodes[0].directory().len(), 1);
    pair.frozen = vec![1];
    pair.request(0, "server", Payload::null(), "call");
    pair.pass(Duration::from_millis(2_900));
    assert!(pair.done.is_empty());
    pair.pass(Duration::from_secs(9));
    assert!(
        pair.events_of(0)
            .iter()
            .any(|event| event.contains("PeerLeft") && event.contains("Silent"))
    );
}

// covers P12, P40
#[test]
fn a_link_that_breaks_fails_its_calls_at_once() {
    let mut pair = Pair::joined(&["client", "server"]);
    pair.request(0, "server", Payload::null(), "call");
    pair.run();
    let link = pair.nodes[0].directory().get("server").unwrap().up.as_ref().unwrap().link;
    pair.feed(0, Input::Lost { link, cause: Cause::Broken("reset".to_owned()) });
    let error = pair.result("call").unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::ConnectionLost, Execution::Unknown));
    assert!(pair.events_of(0).iter().any(|event| event.contains("Reconnecting")));
}

#[test]
fn stop_says_goodbye_and_ends_with_nothing_armed() {
    let mut pair = Pair::joined(&["client", "server"]);
    pair.command(1, Command::Stop { bound: Duration::from_secs(2), token: Some("stop") });
    pair.run();
    assert!(matches!(pair.result("stop"), Ok(Done::Stopped(cut)) if cut == StopCut::default()));
    assert_eq!(pair.stopped, [1]);
    assert_eq!(pair.nodes[1].armed_timers(), 0);
    let left = NodeEvent::PeerLeft {
        id: NodeId::new("server").unwrap(),
        directions: Directions::UP,
        reason: LeftReason::PeerLeft,
    };
    assert!(pair.events_of(0).contains(&format!("{left:?}")));
}

// covers P09
#[test]
fn a_living_duplicate_is_refused_and_named() {
    let mut pair = Pair::new(&["twin", "server", "twin"]);
    pair.connect(0, 1, "first");
    pair.run();
    pair.connect(2, 1, "second");
    pair.pass(Duration::from_millis(100));
    let error = pair.result("second").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DuplicateId, "{error}");
    assert_eq!(pair.nodes[1].directory().len(), 1);
    assert_eq!(pair.nodes[2].dialled(), 0);
}

// covers P09
#[test]
fn a_dead_duplicate_gives_way() {
    let mut pair = Pair::new(&["twin", "server", "twin"]);
    pair.connect(0, 1, "first");
    pair.run();
    pair.frozen = vec![0];
    pair.connect(2, 1, "second");
    pair.pass(Duration::from_secs(2));
    assert!(matches!(pair.result("second"), Ok(Done::Connected(_))));
    let events = pair.events_of(1);
    let at = |what: &str| events.iter().rposition(|event| event.contains(what)).unwrap();
    assert!(at("PeerLeft") < at("PeerJoined"), "{events:?}");
}

// covers P10
#[test]
fn dialling_oneself_is_refused_and_leaves_nothing() {
    let mut pair = Pair::new(&["one"]);
    pair.connect(0, 0, "self");
    pair.pass(Duration::from_secs(2));
    assert_eq!(pair.result("self").unwrap_err().kind(), ErrorKind::InvalidAddress);
    assert_eq!(
        pair.nodes[0].open_links() + pair.nodes[0].dialled() + pair.nodes[0].armed_timers(),
        0
    );
}

#[test]
fn a_connect_to_nothing_ends_at_its_deadline_and_leaves_nothing() {
    let mut pair = Pair::new(&["one"]);
    pair.connect(0, 7, "nothing");
    pair.pass(Duration::from_secs(11));
    assert_eq!(pair.result("nothing").unwrap_err().kind(), ErrorKind::ConnectTimeout);
    assert_eq!(
        pair.nodes[0].open_links() + pair.nodes[0].dialled() + pair.nodes[0].armed_timers(),
        0
    );
}

#[test]
fn mutual_dials_make_one_peer_with_two_links() {
    let mut pair = Pair::new(&["a", "b"]);
    pair.connect(0, 1, "up");
    pair.connect(1, 0, "down");
    pair.run();
    assert!(pair.result("up").is_ok() && pair.result("down").is_ok());
    for (node, other) in [(0, "b"), (1, "a")] {
        let directory = pair.nodes[node].directory();
        assert_eq!(directory.len(), 1);
        assert_eq!(directory.get(other).unwrap().directions(), Directions::BOTH);
        assert_eq!(pair.events_of(node).len(), 1);
    }
}

#[test]
fn ticks_beyond_the_window_wait_until_handlers_are_done() {
    let mut pair = Pair::joined(&["client", "server"]);
    pair.tick_twice();
    assert!(pair.result("first").is_ok());
    assert_eq!((pair.delivered.len(), pair.done.len()), (1, 0));
    let (_, delivery) = pair.delivered.pop().unwrap();
    let Work::Tick { cost } = delivery.work else { panic!("a tick") };
    pair.feed(1, Input::Consumed { link: delivery.link, ticks: 1, cost });
    pair.run();
    assert!(pair.result("second").is_ok());
    assert_eq!(pair.delivered.len(), 1);
}

#[test]
fn plaintext_beyond_loopback_is_warned_of_once() {
    let mut pair = Pair::new(&["one"]);
    for (local, warned) in [("127.0.0.1:7", false), ("192.0.2.1:7", true)] {
        let local: SocketAddr = local.parse().unwrap();
        pair.command(0, Command::Bind { address: local.into(), token: "bind" });
        pair.run();
        assert_eq!(pair.nodes[0].topology().has_warned(), warned);
        pair.command(0, Command::Unbind { token: "unbind" });
        pair.run();
    }
}

#[test]
fn calls_pass_ticks_that_wait_for_the_window_and_ticks_pass_calls_that_wait_for_a_place() {
    let mut pair = Pair::joined(&["client", "server"]);
    pair.tick_twice();
    let gauge = pair.gauge();
    assert_eq!((gauge.ask_tick(1), gauge.ask_call(1)), (Err(Full::Line), Ok(())));
    pair.delivered.clear();
    pair.request(0, "server", Payload::null(), "passes");
    pair.run();
    assert_eq!(pair.delivered.len(), 1, "the call did not wait for the tick");

    let mut pair = Pair::joined(&["client", "server"]);
    let gauge = pair.gauge();
    while gauge.take_call(1).is_ok() {}
    pair.request(0, "server", Payload::null(), "waits");
    pair.run();
    assert_eq!((gauge.ask_call(1), gauge.ask_tick(1)), (Err(Full::Line), Ok(())));
}

#[test]
fn a_request_that_comes_to_the_engine_too_late_is_not_sent() {
    let mut pair = Pair::joined(&["client", "server"]);
    let gauge = pair.gauge();
    let plan = pair.plan(0, "server", false, 1);
    let (call, message) = (CallId(77), Pair::message(Payload::null()));
    let request = Request { call, plan, message, deadline: pair.now, depth: 0, token: "late" };
    pair.command(0, Command::Request(request));
    pair.run();
    let error = pair.result("late").unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::RequestTimeout, Execution::Never));
    assert_eq!((pair.delivered.len(), gauge.calls(), gauge.queued()), (0, 0, 0));
}

#[test]
fn newcomers_stand_behind_those_who_wait() {
    let mut pair = Pair::joined(&["client", "server"]);
    let gauge = pair.gauge();
    while gauge.take_call(1).is_ok() {}
    pair.request(0, "server", Payload::null(), "waits");
    pair.run();
    gauge.give_call_slot();
    assert_eq!(gauge.ask_call(1), Err(Full::Line));
    // The next turn on that link gives the place to the first in line.
    pair.pass(Duration::from_millis(2_500));
    assert_eq!(pair.delivered.len(), 1);
    assert_eq!(gauge.ask_call(1), Err(Full::Calls));
}

#[test]
fn the_owner_of_a_contested_id_is_asked_once_for_several_newcomers() {
    let mut pair = Pair::new(&["twin", "server", "twin", "twin"]);
    pair.connect(0, 1, "first");
    pair.run();
    pair.frozen = vec![0];
    let before = pair.arrivals[&0];
    pair.connect(2, 1, "second");
    pair.connect(3, 1, "third");
    pair.pass(Duration::from_millis(50));
    assert_eq!(pair.arrivals[&0], before + 1);
}
