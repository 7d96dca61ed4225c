//! The world itself: the clock, the network between the nodes, and what strikes them. It must not know what the
//! nodes talk about.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::Label;
use super::faults::{Fault, Swarm, any_conditions, delayed, narrow};
use super::link::{Conditions, Tcp};
use super::oracle::{Life, Oracle};
use super::script::Step;
use super::shell::{Mail, Node};
use super::transcript::{Coverage, Transcript};
use crate::id::LinkId;
use crate::proto::{Cause, Done, Input};

/// More events than this without time passing are a busy loop.
const EVENTS_PER_INSTANT: u32 = 20_000;
/// After this long without an answer the kernel gives up a dial.
const DIAL_GIVE_UP: Duration = Duration::from_secs(20);

/// What was stopped is noticed as silence or slowness within this, or never: the longest timeout of the script's
/// configurations, twice, since what one end notices the other may hear later.
const AFTERMATH: Duration = Duration::from_secs(9);

/// Everything there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) rng: fastrand::Rng,
    pub(super) swarm: Swarm,
    pub(super) nodes: Vec<Node>,
    pub(super) wires: BTreeMap<u64, Wire>,
    agenda: BTreeMap<(Instant, u64), Act>,
    pub(super) log: Transcript,
    pub(super) seen: Coverage,
    pub(super) oracle: Oracle,
    /// Whether nodes now and then call themselves.
    pub(super) own_calls: bool,
    /// What routers have said, to whom, of their peers and of their work.
    pub(super) told: BTreeMap<Label, Done>,
    /// Whether the threads that look for peers now and then have too much to do.
    pub(super) busy_choosers: bool,
    /// The nodes that no other node can reach, nor they the others.
    pub(super) apart: BTreeSet<usize>,
    /// Which lives keep dialling whom for ever.
    pub(super) wants: BTreeSet<(Life, usize)>,
    /// The last of the numbers that order things, name wires and label commands.
    serial: u64,
    /// Events since the clock last moved.
    at_this_instant: u32,
}

/// A connection, from the dial to the last close.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) tcp: Tcp,
    pub(super) open: bool,
    /// Which node holds which end, under which name; nobody once it has closed it, or before it has accepted it.
    pub(super) holders: [Option<(usize, LinkId)>; 2],
    /// The addresses of the ends.
    pub(super) names: [SocketAddr; 2],
}

impl Wire {
    /// Who is, or was, at each end: the dialler until it closes, and whoever has the address that was dialled.
    pub(super) fn nodes(&self, nodes: &[Node]) -> [Option<usize>; 2] {
        let at = |addr: SocketAddr| nodes.iter().position(|node| node.addr.ip() == addr.ip());
        [at(self.names[0]), at(self.names[1])]
    }
}

#[derive(Debug)]
enum Act {
    Script(Step),
    /// A dial comes to its end.
    Dialled {
        wire: u64,
        swallowed: bool,
    },
    /// A path is as usual again.
    Mend {
        wire: u64,
    },
}

impl World {
    pub(super) fn new(seed: u64, swarm: Swarm) -> Self {
        let now = Instant::now();
        Self {
            start: now,
            now,
            rng: fastrand::Rng::with_seed(seed),
            swarm,
            nodes: Vec::new(),
            wires: BTreeMap::new(),
            agenda: BTreeMap::new(),
            log: Transcript::new(),
            seen: Coverage::default(),
            oracle: Oracle::default(),
            own_calls: false,
            told: BTreeMap::new(),
            busy_choosers: false,
            apart: BTreeSet::new(),
            wants: BTreeSet::new(),
            serial: 0,
            at_this_instant: 0,
        }
    }

    pub(super) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn note(&mut self, text: std::fmt::Arguments<'_>) {
        self.log.line(self.now - self.start, text);
    }

    /// Has the script go on with `step` at that time.
    pub(super) fn plan(&mut self, at: Instant, step: Step) {
        let serial = self.serial();
        self.agenda.insert((at, serial), Act::Script(step));
    }

    /// Runs until `end`, or until something is wrong.
    pub(super) fn run_until(&mut self, end: Instant) {
        while self.oracle.failure().is_none() {
            for wire in self.wires.values_mut() {
                wire.tcp.step(self.now);
            }
            self.wires.retain(|_, wire| !wire.open || !wire.tcp.is_over());
            if !self.act() && !self.any_turn() && !self.pass_time(end) {
                break;
            }
            self.at_this_instant += 1;
            if self.at_this_instant > EVENTS_PER_INSTANT {
                self.oracle.fail("a busy loop: events without time passing".to_owned());
            }
        }
    }

    /// Does the next thing of the agenda, if it is due.
    fn act(&mut self) -> bool {
        match self.agenda.first_entry() {
            Some(entry) if entry.key().0 <= self.now => match entry.remove() {
                Act::Script(step) => self.perform(step),
                Act::Dialled { wire, swallowed } => self.dialled(wire, swallowed),
                Act::Mend { wire } => self.mend(wire),
            },
            _ => return false,
        }
        true
    }

    /// Gives one of the nodes that have something to do a turn.
    fn any_turn(&mut self) -> bool {
        let ready = |node: &usize| self.has_work(*node);
        let ready: Vec<usize> = (0..self.nodes.len()).filter(ready).collect();
        if ready.is_empty() {
            return false;
        }
        let node = ready[self.rng.usize(..ready.len())];
        self.turn(node);
        true
    }

    /// Moves the clock to the next thing that happens; false when that is after `end`.
    fn pass_time(&mut self, end: Instant) -> bool {
        let agenda = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let wires = self.wires.values().filter_map(|wire| wire.tcp.next()).min();
        let nodes = self.nodes.iter().filter_map(Node::next).min();
        let next = [agenda, wires, nodes].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        if next > self.now {
            self.at_this_instant = 0;
        }
        self.now = self.now.max(next);
        let nodes = &self.nodes;
        self.oracle.check_overdue(self.now, |node| nodes[node].suspended_until);
        true
    }

    /// A node dials: the answer comes later.
    pub(super) fn dial(&mut self, node: usize, link: LinkId, to: SocketAddr) -> u64 {
        let wire = self.serial();
        let port = 30_000 + (wire % 30_000) as u16;
        let from = SocketAddr::new(self.nodes[node].addr.ip(), port);
        let conditions = self.usual_conditions();
        let swallowed = self.swarm.strikes(Fault::Swallow, &mut self.rng);
        let wait = if swallowed { DIAL_GIVE_UP } else { conditions.delay * 2 };
        if swallowed {
            self.struck(Fault::Swallow, "dialling");
        }
        self.wires.insert(
            wire,
            Wire {
                tcp: Tcp::new(conditions, self.now),
                open: false,
                holders: [Some((node, link)), None],
                names: [from, to],
            },
        );
        let serial = self.serial();
        self.agenda.insert((self.now + wait, serial), Act::Dialled { wire, swallowed });
        wire
    }

    fn usual_conditions(&mut self) -> Conditions {
        let usual = self.swarm.usual;
        if self.rng.bool() { usual } else { Conditions { delay: usual.delay / 2, ..usual } }
    }

    fn dialled(&mut self, number: u64, swallowed: bool) {
        let Some(wire) = self.wires.get(&number) else { return };
        let Some((node, link)) = wire.holders[0] else {
            self.wires.remove(&number);
            return;
        };
        let to = wire.names[1];
        let listener = self.nodes.iter().position(|other| other.listening == Some(to));
        let refused = self.swarm.strikes(Fault::Refuse, &mut self.rng);
        if refused {
            self.struck(Fault::Refuse, "dialling");
        }
        let listener = listener.filter(|to| self.apart.contains(to) == self.apart.contains(&node));
        let (Some(listener), false, false) = (listener, swallowed, refused) else {
            self.wires.remove(&number);
            let cause = Cause::Refused(if swallowed { "timed out" } else { "refused" }.to_owned());
            return self.post_now(node, Mail::Socket(Input::Lost { link, cause }));
        };
        let Some(wire) = self.wires.get_mut(&number) else { return };
        wire.open = true;
        let (local, remote) = (wire.names[0], wire.names[1]);
        self.nodes[listener].backlog.push_back(number);
        self.post_now(node, Mail::Socket(Input::Connected { link, local, remote }));
        if self.swarm.strikes(Fault::AcceptThenCut, &mut self.rng) {
            self.struck(Fault::AcceptThenCut, "dialling");
            self.break_wire(number);
        }
    }

    /// Cuts or resets, as chance has it.
    fn break_wire(&mut self, number: u64) {
        let Some(wire) = self.wires.get_mut(&number) else { return };
        if self.rng.bool() {
            wire.tcp.reset();
        } else {
            wire.tcp.cut(&mut self.rng);
        }
    }

    fn mend(&mut self, number: u64) {
        let conditions = self.swarm.usual;
        if let Some(wire) = self.wires.get_mut(&number) {
            wire.tcp.freeze(false);
            wire.tcp.set_conditions(conditions);
        }
    }

    pub(super) fn struck(&mut self, fault: Fault, state: &'static str) {
        *self.seen.faults.entry((fault, state)).or_default() += 1;
    }

    /// A link has come into a new state: the moment at which faults like to strike.
    pub(super) fn tempt(&mut self, node: usize, number: u64, state: &'static str) {
        for fault in Fault::STRIKING {
            let rare = state == "probing" && self.swarm.seizes(*fault) && self.rng.bool();
            if rare || self.swarm.strikes(*fault, &mut self.rng) {
                self.struck(*fault, state);
                self.strike(*fault, node, number);
            }
        }
    }

    pub(super) fn strike(&mut self, fault: Fault, node: usize, number: u64) {
        self.note(format_args!("fault {fault:?} at node {node}, wire {number}"));
        let back = self.now + self.swarm.lasting(&mut self.rng);
        let usual = any_conditions(&mut self.rng);
        match fault {
            Fault::Suspend => self.suspend(node, back),
            Fault::Crash => return self.crash(node),
            _ => {}
        }
        if matches!(fault, Fault::Freeze | Fault::FreezeWay) {
            self.excuse_silence(number, back);
        }
        let Some(wire) = self.wires.get_mut(&number) else { return };
        match fault {
            Fault::Delay => wire.tcp.set_conditions(delayed(usual, &mut self.rng)),
            Fault::Narrow => wire.tcp.set_conditions(narrow(Conditions::GOOD, &mut self.rng)),
            Fault::Freeze => wire.tcp.freeze(true),
            Fault::FreezeWay => wire.tcp.freeze_way(self.rng.usize(..2)),
            Fault::Cut => wire.tcp.cut(&mut self.rng),
            Fault::Reset => wire.tcp.reset(),
            _ => return,
        }
        let serial = self.serial();
        self.agenda.insert((back, serial), Act::Mend { wire: number });
    }

    pub(super) fn suspend(&mut self, node: usize, until: Instant) {
        let suspended = &mut self.nodes[node].suspended_until;
        *suspended = until.max(*suspended);
        let touches = |wire: &Wire| wire.nodes(&self.nodes).contains(&Some(node));
        let wires: Vec<u64> = self
            .wires
            .iter()
            .filter(|(_, wire)| touches(wire))
            .map(|(number, _)| *number)
            .collect();
        for wire in wires {
            self.excuse_silence(wire, until);
        }
    }

    /// Both ends of a wire may lose each other as silent or slow until some time after it moves again.
    fn excuse_silence(&mut self, wire: u64, until: Instant) {
        let Some(wire) = self.wires.get(&wire) else { return };
        for node in wire.nodes(&self.nodes).into_iter().flatten() {
            self.oracle.excuse_silence(node, until + AFTERMATH);
        }
    }

    /// Parts the network: these nodes here, the others there. Nobody in particular parts nothing.
    pub(super) fn part(&mut self, apart: BTreeSet<usize>) {
        self.note(format_args!("apart: {apart:?}"));
        self.apart = apart;
        let nodes = &self.nodes;
        for wire in self.wires.values_mut() {
            let [from, to] = wire.nodes(nodes).map(|n| n.is_some_and(|n| self.apart.contains(&n)));
            if from != to {
                wire.tcp.reset();
            }
        }
    }

    /// From now on nothing goes wrong, and what was wrong is mended.
    pub(super) fn heal(&mut self) {
        self.note(format_args!("healed"));
        self.swarm.heal();
        for wire in self.wires.values_mut() {
            wire.tcp.freeze(false);
            wire.tcp.set_conditions(Conditions::GOOD);
        }
        for node in &mut self.nodes {
            node.suspended_until = node.suspended_until.min(self.now);
        }
        self.agenda.retain(|_, act| !matches!(act, Act::Script(_)));
    }

    /// Closes one end of a wire, as dropping the socket does.
    pub(super) fn close_end(&mut self, number: u64, end: usize) {
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&number) else { return };
        wire.holders[end] = None;
        if wire.open {
            wire.tcp.close(end, now);
        } else {
            self.wires.remove(&number);
        }
    }

    /// Nobody will accept these any more.
    pub(super) fn drop_backlog(&mut self, backlog: VecDeque<u64>) {
        for number in backlog {
            if let Some(wire) = self.wires.get_mut(&number) {
                wire.tcp.abort(1, self.now);
            }
        }
    }
}

/// The address that node `number` listens on.
pub(super) fn address_of(number: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number as u8 + 1)), 4_000)
}
