//! From a fresh connection to a joined peer: greetings, hellos, services, admission.
//!
//! The dialler offers, the listener chooses and says hello, the dialler looks at it and says hello and ready, the listener
//! looks, joins, and says ready; on that the dialler joins. So whoever is told that a link stands may use it at once.

use std::collections::BTreeMap;

use super::link::{Link, Shaking, State};
use super::mesh::Mesh;
use super::messages::told;
use super::peers::Claim;
use super::planted::{Planted, has};
use super::topology::DialOutcome;
use crate::config::{PROBE, SERVICES, SERVICES_BYTES, SERVICES_PAGE_BYTES};
use crate::error::{Error, ErrorKind};
use crate::id::{InstanceId, LinkId};
use crate::node_event::{Direction, LeftReason};
use crate::wire::{
    Choice, Control, Farewell, GREETING_BYTES, Heard, Hello, Offer, Reply, negotiate,
};

impl<T> Mesh<T> {
    /// The dialler speaks first.
    pub(super) fn offer(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.queue.push_raw(&Offer::OURS.to_bytes());
            self.env.touch(id);
        }
    }

    /// Takes greeting bytes from the front of `input`.
    pub(super) fn greeting(&mut self, id: LinkId, input: &mut &[u8]) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let State::Greeting { heard } = &mut link.state else { return };
        let take = input.len().min(GREETING_BYTES - heard.len());
        if has(Planted::GreetingForgotten) {
            heard.clear();
        }
        heard.extend_from_slice(&input[..take]);
        *input = &input[take..];
        if heard.len() < GREETING_BYTES && has(Planted::StrangerHeardOut) {
            return;
        }
        match link.direction {
            Direction::Down => match Offer::parse(heard) {
                Heard::More => {}
                Heard::Alien(looks) => self.alien(id, &looks),
                Heard::Done(offer) => self.choose(id, offer),
            },
            Direction::Up => match Reply::parse(heard) {
                Heard::More => {}
                Heard::Alien(looks) => self.alien(id, &looks),
                Heard::Done(reply) => self.chosen(id, reply),
            },
        }
    }

    /// A stranger is not worth a goodbye that it could not read.
    fn alien(&mut self, id: LinkId, looks: &str) {
        self.env.counters.aliens += 1;
        let Some(link) = self.links.get(&id) else { return };
        let why = format!("{} does not speak threadmesh: it looks like {looks}", link.remote);
        log::debug!(target: "threadmesh::proto", "closing a connection: {why}");
        self.joining_failed(id, Error::new(ErrorKind::Incompatible, why), DialOutcome::Final);
        self.forget(id, true);
    }

    /// The listener answers the offer.
    fn choose(&mut self, id: LinkId, offer: Offer) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if let Ok(choice) = negotiate(&Offer::OURS, &offer) {
            link.queue.push_raw(&Reply::Chosen(choice).to_bytes());
            link.state = State::Hello(Shaking::default());
            self.say_hello(id);
            self.env.touch(id);
        } else {
            link.queue.push_raw(&Reply::Range(Offer::OURS).to_bytes());
            self.linger(id);
        }
    }

    /// The dialler hears what the listener chose.
    fn chosen(&mut self, id: LinkId, reply: Reply) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let why = match reply {
            Reply::Chosen(choice) if Choice::is_of(choice, Offer::OURS) => {
                link.state = State::Hello(Shaking::default());
                return;
            }
            Reply::Chosen(choice) => {
                format!("it chose protocol {}, which was not offered", choice.version)
            }
            Reply::Range(theirs) => match negotiate(&Offer::OURS, &theirs) {
                Err(why) => why,
                Ok(_) => "it refuses a protocol that both sides speak".to_owned(),
            },
        };
        let why =
            format!("{} is incompatible: {why}; run versions that share a protocol", link.remote);
        self.joining_failed(id, Error::new(ErrorKind::Incompatible, why), DialOutcome::Final);
        self.forget(id, true);
    }

    /// Queues this node's hello and its services.
    fn say_hello(&mut self, id: LinkId) {
        let window = self.grant_first(id);
        let hello = self.hello(id, window);
        let pages = pages(&self.env.local.services);
        let Some(link) = self.links.get_mut(&id) else { return };
        (link.tell_options, link.tell_services) = (false, false);
        let count = pages.len();
        let services = pages
            .into_iter()
            .enumerate()
            .map(|(index, names)| Control::Services { names, last: index + 1 == count });
        for control in std::iter::once(Control::Hello(Box::new(hello))).chain(services) {
            link.queue.push_state(&control);
        }
    }

    fn hello(&self, link: LinkId, tick_window: u64) -> Hello {
        let config = &self.env.local.config;
        let local = self.links.get(&link).and_then(|link| link.local);
        let address = self.topology.advertised(&self.env, local);
        Hello {
            id: self.env.local.id.clone(),
            instance: self.env.local.instance,
            options_version: self.options_version,
            options: self.env.local.options.clone(),
            services_version: self.services_version,
            host: self.env.local.host.clone(),
            advertise: address.map(|address| address.to_string()),
            capabilities: BTreeMap::new(),
            heartbeat_ms: millis(config.heartbeat_interval),
            liveness_ms: millis(config.liveness_timeout),
            calls: config.limits.calls_per_link,
            tick_window,
            message_bytes: config.limits.message_bytes as u64,
        }
    }

    /// A control message of the handshake. Anything else is a violation.
    pub(super) fn shake(&mut self, id: LinkId, control: Control) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match control {
            Control::Refuse { kind, message } => return self.refused(id, kind, &message),
            Control::Goodbye { .. } => return self.left_handshake(id),
            _ => {}
        }
        let State::Hello(shaking) = &mut link.state else {
            return self.violated(id, "a message while the id is being checked");
        };
        let direction = link.direction;
        match control {
            Control::Hello(hello) if shaking.hello.is_none() => shaking.hello = Some(*hello),
            Control::Services { names, last } if shaking.hello.is_some() && !shaking.complete => {
                shaking.services_bytes += names.iter().map(String::len).sum::<usize>();
                shaking.services.extend(names);
                if shaking.services.len() > SERVICES || shaking.services_bytes > SERVICES_BYTES {
                    let why =
                        format!("more than {SERVICES} services or {SERVICES_BYTES} bytes of them");
                    return self.broke(id, "too many services", &why);
                }
                shaking.complete = last;
                if last && direction == Direction::Up {
                    self.consider(id);
                }
            }
            Control::Ready if shaking.complete => match direction {
                Direction::Up if shaking.ready => self.join(id),
                Direction::Up => self.violated(id, "ready before it was asked"),
                Direction::Down => {
                    shaking.ready = true;
                    self.consider(id);
                }
            },
            _ => self.violated(id, "a message that does not belong here in the handshake"),
        }
    }

    /// Everything about the other side is known: may it join?
    pub(super) fn consider(&mut self, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        let (State::Hello(shaking) | State::Probing { shaking, .. }) = &link.state else { return };
        let Some(hello) = &shaking.hello else { return };
        let remote = link.remote;
        match self.claim(hello, link.direction) {
            // Two that both said ready would each be replaced by the other, at one end or the other.
            Claim::Fresh if self.is_behind_another(id, hello.instance) => {
                self.held.insert(id);
            }
            Claim::Fresh => self.admit(id),
            Claim::Myself => {
                let why = format!("{remote} is this node itself; dial another one");
                let error = Error::new(ErrorKind::InvalidAddress, why);
                let error = error.with_peer(self.env.local.id.clone());
                self.turn_away(id, error, DialOutcome::Final);
            }
            Claim::MyId => {
                let why = format!(
                    "{remote} has this node's own id {}; give one of the two another id",
                    self.env.local.id
                );
                self.turn_away(id, Error::new(ErrorKind::DuplicateId, why), DialOutcome::Final);
            }
            Claim::Again { older } => self.meet_again(id, older),
            Claim::Contested { older } => self.probe(id, older),
        }
    }

    /// Whether this node has said ready to that instance on another link it dialled, and waits for the answer.
    fn is_behind_another(&self, id: LinkId, instance: InstanceId) -> bool {
        let is_dialled = self.links.get(&id).is_some_and(|link| link.direction == Direction::Up);
        let same = |shaking: &Shaking| {
            shaking.ready && shaking.hello.as_ref().is_some_and(|hello| hello.instance == instance)
        };
        is_dialled
            && self.links.values().any(|link| {
                link.id != id
                    && link.direction == Direction::Up
                    && matches!(&link.state, State::Hello(shaking) if same(shaking))
            })
    }

    /// A second link of the same instance in the same direction.
    fn meet_again(&mut self, id: LinkId, older: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match link.direction {
            Direction::Up => {
                let dial = link.dial.take();
                self.say_goodbye(id, Farewell::Replaced, LeftReason::Replaced);
                if let Some(dial) = dial {
                    let peer = self.links.get(&older).and_then(|link| link.peer);
                    self.topology.dial_is_alias(&mut self.env, &self.peers, dial, peer);
                }
            }
            // What was accepted first and is ready last was given up by its dialler while its bytes were under way.
            Direction::Down if id < older => {
                self.say_goodbye(id, Farewell::Replaced, LeftReason::Replaced);
            }
            Direction::Down => {
                self.say_goodbye(older, Farewell::Replaced, LeftReason::Replaced);
                self.admit(id);
            }
        }
    }

    /// Another instance has this id: its links must show life at once, or give way.
    fn probe(&mut self, id: LinkId, older: Vec<LinkId>) {
        let until = self.env.now + PROBE;
        let Some(link) = self.links.get_mut(&id) else { return };
        let State::Hello(shaking) = std::mem::replace(&mut link.state, State::Dialling) else {
            return;
        };
        link.state = State::Probing { shaking, until };
        self.probing.insert(id);
        self.arm_link(id, until);
        for older in older {
            self.ask_for_life(older);
        }
        self.recheck = true;
    }

    /// Looks at every contested id again: an older link has shown life, or has left.
    pub(super) fn judge_all(&mut self) {
        let still = |link: &Link<T>| matches!(link.state, State::Probing { .. });
        self.probing.retain(|id| self.links.get(id).is_some_and(still));
        for id in self.probing.clone() {
            self.judge(id);
        }
        for id in std::mem::take(&mut self.held) {
            self.consider(id);
        }
    }

    /// The probing time is over, or an older link has shown life or left.
    pub(super) fn judge(&mut self, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        let State::Probing { shaking, until } = &link.state else { return };
        let Some(hello) = &shaking.hello else { return };
        let begun = until.checked_sub(PROBE).unwrap_or(*until);
        let Claim::Contested { older } = self.claim(hello, link.direction) else {
            return self.consider(id);
        };
        let alive = older
            .iter()
            .filter_map(|older| self.links.get(older))
            .find(|older| older.echoed || older.heard > begun);
        if let Some(alive) = alive {
            let why = format!(
                "the id {} at {} belongs to a live node at {}; give one of the two another id",
                hello.id, link.remote, alive.remote
            );
            let error = Error::new(ErrorKind::DuplicateId, why).with_peer(hello.id.clone());
            return self.turn_away(id, error, DialOutcome::Retry);
        }
        if self.env.now >= *until {
            for older in older {
                self.say_goodbye(older, Farewell::Replaced, LeftReason::Replaced);
            }
            self.admit(id);
        }
    }

    /// This side has no objection. (The place where an authorisation rule will be asked.)
    fn admit(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if let State::Probing { shaking, .. } = &mut link.state {
            link.state = State::Hello(std::mem::take(shaking));
        }
        let State::Hello(shaking) = &mut link.state else { return };
        match link.direction {
            Direction::Up => {
                shaking.ready = true;
                let deadline = link.born + self.env.local.config.handshake_timeout;
                self.say_hello(id);
                self.say_ready(id);
                self.arm_link(id, deadline);
                self.env.touch(id);
            }
            Direction::Down => {
                self.say_ready(id);
                self.join(id);
                self.env.touch(id);
            }
        }
    }

    fn say_ready(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.queue.push_state(&Control::Ready);
        }
    }

    /// This side objects: the other is told why, and so is whoever dialled here.
    fn turn_away(&mut self, id: LinkId, error: Error, ending: DialOutcome) {
        let last = Control::Refuse { kind: error.kind(), message: error.message().to_owned() };
        self.joining_failed(id, error, ending);
        self.close_with(id, &last);
    }

    /// The other side objects.
    fn refused(&mut self, id: LinkId, kind: ErrorKind, message: &str) {
        let Some(link) = self.links.get(&id) else { return };
        let ending = match kind {
            ErrorKind::DuplicateId | ErrorKind::Closed | ErrorKind::Busy => DialOutcome::Retry,
            _ => DialOutcome::Final,
        };
        let why = format!("{} refused this node: {}", link.remote, told(message));
        self.joining_failed(id, Error::new(kind, why), ending);
        self.forget(id, true);
    }

    /// The other side says goodbye before it had joined.
    fn left_handshake(&mut self, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        let why = format!("{} said goodbye before the handshake was complete", link.remote);
        self.joining_failed(id, Error::new(ErrorKind::ConnectFailed, why), DialOutcome::Retry);
        self.forget(id, true);
    }

    /// The handshake took too long.
    pub(super) fn handshake_due(&mut self, id: LinkId) {
        let Some(link) = self.links.get(&id).filter(|_| !has(Planted::HandshakeWithoutEnd)) else {
            return;
        };
        let why = format!(
            "{} did not complete the handshake within {:?}",
            link.remote, self.env.local.config.handshake_timeout
        );
        self.joining_failed(id, Error::new(ErrorKind::HandshakeTimeout, why), DialOutcome::Retry);
        self.forget(id, true);
    }
}

/// Services in pages that fit a handshake frame; at least one page, which may be empty.
pub(super) fn pages(services: &[String]) -> Vec<Vec<String>> {
    let mut pages = vec![Vec::new()];
    let mut bytes = 0;
    for name in services {
        bytes += name.len() + 3;
        if bytes > SERVICES_PAGE_BYTES {
            pages.push(Vec::new());
            bytes = name.len() + 3;
        }
        if let Some(page) = pages.last_mut() {
            page.push(name.clone());
        }
    }
    pages
}

fn millis(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
