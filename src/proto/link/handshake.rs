//! The state of a link, from a fresh connection to its close, as pure transitions: each takes what
//! the other side sent and returns what follows.
//!
//! ```text
//! connecting ─connected→ greeting ─greet→ hello ─contest→ contested
//!                                           │  ←─admit──────┘
//!                                        complete → ready     self link (for ever)
//! any of them ─close→ closing ─all written→ shut ─the other side ends→ gone
//! ```
//!
//! The dialler offers protocols, the listener chooses one and sends its hello; the dialler checks
//! it and sends its own hello and `ready`; the listener checks that, joins and sends `ready`; then
//! the dialler joins. So a side that is joined may send at once. It must not decide what may join.

use std::time::Instant;

use crate::config::{LINGER_BYTES, SERVICES, SERVICES_BYTES};
use crate::error::ErrorKind;
use crate::id::{InstanceId, NodeId};
use crate::node_event::Direction;
use crate::proto::planted::{Planted, has};
use crate::wire::{Choice, Control, GREETING_BYTES, Heard, Hello, Offer, Reply, negotiate};

#[derive(Debug)]
pub(crate) struct Handshake {
    state: State,
}

#[derive(Debug)]
enum State {
    /// The shell is connecting; there is no peer yet.
    Connecting,
    /// The other side's greeting is awaited; so much of it has come.
    Greeting(Vec<u8>),
    /// The other side's hello, services or `ready` are awaited.
    Hello(Introduction),
    /// Everything has come, but another live peer may have that id: it is probed until the instant.
    Contested { introduction: Introduction, until: Instant },
    /// Joined: messages may be sent.
    Ready,
    /// Leads from this node to itself, as long as the node lives.
    SelfLink,
    /// A goodbye or a refusal is on its way out; what comes in is discarded.
    Closing { discarded: usize, shut: bool, ended: bool },
}

/// What the other side has said of itself so far.
#[derive(Default, Debug)]
struct Introduction {
    hello: Option<Box<Hello>>,
    services: Vec<String>,
    services_bytes: usize,
    /// The last page of services has come.
    complete: bool,
    /// The listener has got the dialler's `ready`; the dialler has sent it.
    ready: bool,
}

/// What follows from bytes of a greeting.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Greeted {
    More,
    /// It speaks another protocol, which looks like this.
    Foreign(String),
    /// The listener answers with these bytes, and its hello.
    Accepted(Vec<u8>),
    /// The listener answers with these bytes, and closes.
    Refused(Vec<u8>),
    /// The listener has chosen; its hello follows.
    Agreed,
    /// Both sides share no protocol.
    Incompatible(String),
}

/// What follows from a message of the handshake.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Introduced {
    More,
    /// Everything this side needs has come: it decides whether the other may join.
    Decide,
    /// The other side has joined.
    Join,
    Refused(ErrorKind, String),
    /// The other side said goodbye.
    Left,
    /// The other side broke the protocol: what is counted, and what is said of it.
    Violation(&'static str, String),
}

/// What is to be done with a closing link that has written everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Finish {
    Nothing,
    /// Shut the write side.
    Shut,
    /// Drop the connection.
    Drop,
}

fn violation(why: &'static str) -> Introduced {
    Introduced::Violation(why, why.to_owned())
}

impl Handshake {
    /// Of a link that is being dialled.
    pub(crate) fn connecting() -> Self {
        Self { state: State::Connecting }
    }

    /// Of a link that a node has with itself.
    pub(crate) fn self_link() -> Self {
        Self { state: State::SelfLink }
    }

    /// The connection stands.
    pub(crate) fn connected(&mut self) {
        self.state = State::Greeting(Vec::new());
    }

    /// Takes greeting bytes from the front of `input`.
    pub(crate) fn greet(&mut self, direction: Direction, input: &mut &[u8]) -> Greeted {
        let State::Greeting(heard) = &mut self.state else {
            debug_assert!(false, "only a link in its greeting is given greeting bytes");
            return Greeted::More;
        };
        let (taken, rest) = input.split_at(input.len().min(GREETING_BYTES - heard.len()));
        if has(Planted::GreetingForgotten) {
            heard.clear();
        }
        heard.extend_from_slice(taken);
        *input = rest;
        if heard.len() < GREETING_BYTES && has(Planted::StrangerHeardOut) {
            return Greeted::More;
        }
        match direction {
            Direction::Down => match Offer::parse(heard) {
                Heard::More => Greeted::More,
                Heard::Alien(looks) => Greeted::Foreign(looks),
                Heard::Done(offer) => self.choose(offer),
            },
            Direction::Up => match Reply::parse(heard) {
                Heard::More => Greeted::More,
                Heard::Alien(looks) => Greeted::Foreign(looks),
                Heard::Done(reply) => self.chosen(reply),
            },
        }
    }

    fn choose(&mut self, offer: Offer) -> Greeted {
        match negotiate(&Offer::OURS, &offer) {
            Ok(choice) => {
                self.state = State::Hello(Introduction::default());
                Greeted::Accepted(Reply::Chosen(choice).to_bytes().to_vec())
            }
            Err(_) => Greeted::Refused(Reply::Range(Offer::OURS).to_bytes().to_vec()),
        }
    }

    fn chosen(&mut self, reply: Reply) -> Greeted {
        Greeted::Incompatible(match reply {
            Reply::Chosen(choice) if Choice::is_of(choice, Offer::OURS) => {
                self.state = State::Hello(Introduction::default());
                return Greeted::Agreed;
            }
            Reply::Chosen(choice) => {
                format!("it chose protocol {}, which was not offered", choice.version)
            }
            Reply::Range(theirs) => match negotiate(&Offer::OURS, &theirs) {
                Err(why) => why,
                Ok(_) => "it refuses a protocol that both sides speak".to_owned(),
            },
        })
    }

    /// Takes a message of the other side before it has joined.
    pub(crate) fn on_control(&mut self, direction: Direction, control: Control) -> Introduced {
        let introduction = match (control, &mut self.state) {
            (Control::Refuse { kind, message }, _) => return Introduced::Refused(kind, message),
            (Control::Goodbye { .. }, _) => return Introduced::Left,
            (control, State::Hello(introduction)) => (control, introduction),
            _ => return violation("a message while the id is being checked"),
        };
        let (control, introduction) = introduction;
        match control {
            Control::Hello(hello) if introduction.hello.is_none() => {
                introduction.hello = Some(hello);
                Introduced::More
            }
            Control::Services { names, last }
                if introduction.hello.is_some() && !introduction.complete =>
            {
                introduction.on_services(names, last, direction)
            }
            Control::Ready if introduction.complete => match direction {
                Direction::Up if introduction.ready => Introduced::Join,
                Direction::Up => violation("ready before it was asked"),
                Direction::Down => {
                    introduction.ready = true;
                    Introduced::Decide
                }
            },
            _ => violation("a message that does not belong here in the handshake"),
        }
    }

    /// The hello of the other side, until it has joined.
    pub(crate) fn hello(&self) -> Option<&Hello> {
        match &self.state {
            State::Hello(introduction) | State::Contested { introduction, .. } => {
                introduction.hello.as_deref()
            }
            State::Connecting
            | State::Greeting(_)
            | State::Ready
            | State::SelfLink
            | State::Closing { .. } => None,
        }
    }

    /// The id is in use: the link waits until the instant for the other peer to show life. False if
    /// it waits already.
    pub(crate) fn contest(&mut self, until: Instant) -> bool {
        let State::Hello(introduction) = &mut self.state else { return false };
        let introduction = std::mem::take(introduction);
        self.state = State::Contested { introduction, until };
        true
    }

    /// Until when a contested link waits.
    pub(crate) fn contested_until(&self) -> Option<Instant> {
        match &self.state {
            State::Contested { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// This side has no objection; a dialler sends `ready` now.
    pub(crate) fn admit(&mut self, direction: Direction) {
        if let State::Contested { introduction, .. } = &mut self.state {
            self.state = State::Hello(std::mem::take(introduction));
        }
        if let (State::Hello(introduction), Direction::Up) = (&mut self.state, direction) {
            introduction.ready = true;
        }
    }

    /// Both sides agree. Returns what the peer has said of itself.
    pub(crate) fn complete(&mut self) -> Option<(Box<Hello>, Vec<String>)> {
        let State::Hello(introduction) = &mut self.state else { return None };
        let Introduction { hello, services, .. } = std::mem::take(introduction);
        self.state = State::Ready;
        Some((hello?, services))
    }

    /// Whether this side, a dialler, has sent `ready` to that instance and waits for the reply.
    pub(crate) fn awaits_ready_of(&self, instance: InstanceId) -> bool {
        let State::Hello(introduction) = &self.state else { return false };
        let hello = introduction.hello.as_ref();
        introduction.ready && hello.is_some_and(|hello| hello.instance == instance)
    }

    /// The node to which `ready` was sent, or from which it came, if the link has not joined.
    pub(crate) fn ready_with(&self) -> Option<&NodeId> {
        let State::Hello(introduction) = &self.state else { return None };
        introduction.hello.as_ref().filter(|_| introduction.ready).map(|hello| &hello.id)
    }

    /// A last message is on its way out.
    pub(crate) fn close(&mut self) {
        self.state = State::Closing { discarded: 0, shut: false, ended: false };
    }

    /// Bytes came in on a closing link. True if they are too many to be discarded.
    pub(crate) fn discard(&mut self, len: usize) -> bool {
        let State::Closing { discarded, .. } = &mut self.state else { return false };
        *discarded += len;
        *discarded > LINGER_BYTES
    }

    /// The other side sends no more.
    pub(crate) fn ended(&mut self) {
        if let State::Closing { ended, .. } = &mut self.state {
            *ended = true;
        }
    }

    /// The kernel has everything.
    pub(crate) fn all_written(&mut self) -> Finish {
        match &mut self.state {
            State::Closing { ended: true, .. } => Finish::Drop,
            State::Closing { shut, .. } => {
                if std::mem::replace(shut, true) {
                    Finish::Nothing
                } else {
                    Finish::Shut
                }
            }
            _ => Finish::Nothing,
        }
    }

    /// Whether messages may be sent.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready | State::SelfLink)
    }

    /// Whether a peer has joined over it.
    pub(crate) fn is_joined(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    pub(crate) fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting)
    }

    pub(crate) fn is_greeting(&self) -> bool {
        matches!(self.state, State::Greeting(_))
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing { .. })
    }

    /// Whether the handshake is under way.
    pub(crate) fn is_joining(&self) -> bool {
        match self.state {
            State::Greeting(_) | State::Hello(_) | State::Contested { .. } => true,
            State::Connecting | State::Ready | State::SelfLink | State::Closing { .. } => false,
        }
    }

    /// Whether frames may come in.
    pub(crate) fn takes_frames(&self) -> bool {
        matches!(self.state, State::Hello(_) | State::Contested { .. } | State::Ready)
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn name(&self) -> &'static str {
        match &self.state {
            State::Connecting => "dialling",
            State::Greeting(_) => "greeting",
            State::Hello(_) => "hello",
            State::Contested { .. } => "probing",
            State::Ready => "ready",
            State::SelfLink => "own",
            State::Closing { .. } => "closing",
        }
    }
}

impl Introduction {
    fn on_services(&mut self, names: Vec<String>, last: bool, direction: Direction) -> Introduced {
        self.services_bytes += names.iter().map(String::len).sum::<usize>();
        self.services.extend(names);
        if self.services.len() > SERVICES || self.services_bytes > SERVICES_BYTES {
            let why = format!("more than {SERVICES} services or {SERVICES_BYTES} bytes of them");
            return Introduced::Violation("too many services", why);
        }
        self.complete = last;
        // A listener waits for the dialler's `ready` besides.
        if last && direction == Direction::Up { Introduced::Decide } else { Introduced::More }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::options::Options;

    fn hello() -> Control {
        Control::Hello(Box::new(Hello {
            id: NodeId::new("peer").expect("a legal id"),
            instance: InstanceId(7),
            options_version: 1,
            options: Options::default(),
            services_version: 1,
            host: None,
            advertise: None,
            capabilities: BTreeMap::new(),
            heartbeat_ms: 2_000,
            liveness_ms: 10_000,
            calls: 9,
            tick_window: 9,
            message_bytes: 9,
        }))
    }

    fn services(last: bool) -> Control {
        Control::Services { names: vec!["a".to_owned()], last }
    }

    /// A link whose greetings have crossed.
    fn greeted(direction: Direction) -> Handshake {
        let mut handshake = Handshake::connecting();
        handshake.connected();
        let choice = negotiate(&Offer::OURS, &Offer::OURS).expect("the same version");
        let bytes = match direction {
            Direction::Down => Offer::OURS.to_bytes().to_vec(),
            Direction::Up => Reply::Chosen(choice).to_bytes().to_vec(),
        };
        let greeted = handshake.greet(direction, &mut bytes.as_slice());
        assert!(matches!(greeted, Greeted::Accepted(_) | Greeted::Agreed), "{greeted:?}");
        handshake
    }

    #[test]
    fn greeting_is_taken_byte_by_byte_and_what_follows_it_is_left() {
        let mut handshake = Handshake::connecting();
        handshake.connected();
        let mut bytes = Offer::OURS.to_bytes().to_vec();
        bytes.push(9);
        let (mut rest, mut steps) = (bytes.as_slice(), Vec::new());
        while rest.len() > 1 {
            let mut one = &rest[..1];
            steps.push(handshake.greet(Direction::Down, &mut one));
            rest = &rest[1..];
        }
        assert!(matches!(steps.pop(), Some(Greeted::Accepted(_))));
        assert!(steps.iter().all(|step| *step == Greeted::More));
        assert!(handshake.is_joining() && handshake.takes_frames() && !handshake.is_greeting());
    }

    #[test]
    fn foreign_protocol_is_recognised() {
        let mut handshake = Handshake::connecting();
        handshake.connected();
        let greeted = handshake.greet(Direction::Down, &mut b"GET / HTTP/1.1\r\n".as_slice());
        assert!(matches!(greeted, Greeted::Foreign(_)), "{greeted:?}");
    }

    #[test]
    fn dialler_decides_after_the_services_and_joins_at_ready() {
        let mut handshake = greeted(Direction::Up);
        let mut take = |control| handshake.on_control(Direction::Up, control);
        assert_eq!(take(hello()), Introduced::More);
        assert_eq!(take(services(false)), Introduced::More);
        assert_eq!(take(services(true)), Introduced::Decide);
        handshake.admit(Direction::Up);
        assert!(handshake.awaits_ready_of(InstanceId(7)));
        assert_eq!(handshake.ready_with().map(NodeId::as_str), Some("peer"));
        assert_eq!(handshake.on_control(Direction::Up, Control::Ready), Introduced::Join);
        let (hello, services) = handshake.complete().expect("an introduction");
        assert_eq!((hello.id.as_str(), services.len()), ("peer", 2));
        assert!(handshake.is_joined());
    }

    #[test]
    fn listener_decides_at_ready_and_may_wait_for_a_contested_id() {
        let mut handshake = greeted(Direction::Down);
        for control in [hello(), services(true)] {
            assert_eq!(handshake.on_control(Direction::Down, control), Introduced::More);
        }
        assert_eq!(handshake.on_control(Direction::Down, Control::Ready), Introduced::Decide);
        let until = Instant::now() + Duration::from_secs(1);
        assert!(handshake.contest(until));
        assert!(!handshake.contest(until), "it waits already");
        assert_eq!(handshake.contested_until(), Some(until));
        let meanwhile = handshake.on_control(Direction::Down, hello());
        assert!(matches!(meanwhile, Introduced::Violation(..)));
        handshake.admit(Direction::Down);
        assert!(handshake.hello().is_some() && handshake.contested_until().is_none());
        assert!(handshake.complete().is_some());
    }

    #[test]
    fn messages_out_of_order_are_violations() {
        for controls in [vec![Control::Ready], vec![services(true)], vec![hello(), hello()]] {
            let mut handshake = greeted(Direction::Up);
            let last =
                controls.into_iter().map(|it| handshake.on_control(Direction::Up, it)).last();
            assert!(matches!(last, Some(Introduced::Violation(..))), "{last:?}");
        }
    }

    #[test]
    fn closing_link_shuts_once_and_is_dropped_when_the_other_side_has_ended() {
        let mut handshake = greeted(Direction::Up);
        assert_eq!(handshake.all_written(), Finish::Nothing);
        handshake.close();
        assert_eq!(
            (handshake.all_written(), handshake.all_written()),
            (Finish::Shut, Finish::Nothing)
        );
        assert!(!handshake.discard(LINGER_BYTES) && handshake.discard(1));
        handshake.ended();
        assert_eq!(handshake.all_written(), Finish::Drop);
    }
}
