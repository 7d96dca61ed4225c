//! One engine with one link whose other end is whatever bytes a test gives it. It must not judge: who drives it does.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::event::EventName;
use crate::headers::Headers;
use crate::id::{CallId, InstanceId, LinkId, NodeId};
use crate::node_event::{Directions, NodeEvent};
use crate::options::Options;
use crate::payload::{Decode, Payload};
use crate::proto::{
    Answer, Cause, Choose, Chosen, Command, ConnectMode, DirectoryQuestion, Done, Input, Local,
    Mesh, Message, Output, Request, RouterRole, Work,
};
use crate::routing::{Destination, Plan, Random, Route, Step, cost};

/// Longer than any link lives without a byte, and than any handshake, linger or dial lasts.
const SILENCE: Duration = Duration::from_secs(60);
/// The call that waits for an answer while a peer misbehaves.
const OURS: CallId = CallId(1);
/// Messages of this name are never finished by their handler.
pub(crate) const HELD: &str = "hold";

/// One engine with one link, and everything else about it.
pub(crate) struct End {
    pub(crate) mesh: Mesh<()>,
    now: Instant,
    pub(crate) link: LinkId,
    /// What this end has written and nobody has taken.
    pub(crate) said: Vec<u8>,
    pub(crate) joined: bool,
    pub(crate) hung: bool,
    /// Commands of ours that have ended.
    pub(crate) answered: u32,
    /// What those ended with that failed.
    pub(crate) failed: Vec<Error>,
    pub(crate) events: Vec<NodeEvent>,
    /// Messages whose payload is sound, so that a handler sees them.
    pub(crate) handled: usize,
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

impl End {
    fn new(id: &'static str, seed: u64, config: Config, router: Option<RouterRole>) -> Self {
        let now = Instant::now();
        let id = NodeId::new(id).expect("a legal id");
        let options = Options::default().with_id(&id);
        let local = Local {
            options: if router.is_some() { options.with_router() } else { options },
            id,
            instance: InstanceId(u128::from(seed)),
            services: vec!["a".to_owned()],
            host: None,
            advertise: None,
            config,
            router,
        };
        let mesh = Mesh::new(local, fastrand::Rng::with_seed(seed), now);
        Self {
            mesh,
            now,
            link: LinkId(u64::MAX),
            said: Vec::new(),
            joined: false,
            hung: false,
            answered: 0,
            failed: Vec::new(),
            events: Vec::new(),
            handled: 0,
        }
    }

    /// Its id is `acceptor`, its instance 1.
    pub(crate) fn accepting(config: Config) -> Self {
        Self::accepting_as(config, None)
    }

    fn accepting_as(config: Config, router: Option<RouterRole>) -> Self {
        let mut end = Self::new("acceptor", 1, config, router);
        end.link = end.mesh.draw_link();
        let (link, local, remote) = (end.link, address(), address());
        end.feed(Input::Accepted { link, local, remote });
        end
    }

    /// Somebody else connects and says nothing.
    pub(crate) fn accept_another(&mut self) {
        let link = self.mesh.draw_link();
        self.feed(Input::Accepted { link, local: address(), remote: address() });
    }

    /// Its id is `dialler`, its instance 2.
    pub(crate) fn dialling(config: Config) -> Self {
        Self::dialling_as(config, None)
    }

    fn dialling_as(config: Config, router: Option<RouterRole>) -> Self {
        let mut end = Self::new("dialler", 2, config, router);
        let deadline = end.now + Duration::from_secs(5);
        let (address, mode) = (address().into(), ConnectMode::Once);
        end.feed(Input::Command(Command::Connect { address, mode, deadline, token: () }));
        end
    }

    /// Two ends that have joined each other: one that accepted, and one that dialled, each of them a router or not.
    pub(crate) fn pair(config: &Config, [ours, theirs]: [Option<RouterRole>; 2]) -> (Self, Self) {
        let mut ours = Self::accepting_as(config.clone(), ours);
        let mut theirs = Self::dialling_as(config.clone(), theirs);
        meet(&mut ours, &mut theirs);
        assert!(ours.joined && theirs.joined);
        (ours, theirs)
    }

    /// Asks the one peer something: call 1.
    pub(crate) fn ask(&mut self) {
        self.ask_for(None);
    }

    /// Asks the one peer, a router, to place something: call 1.
    pub(crate) fn ask_onward(&mut self) {
        self.ask_for(Some(Destination::Filter([0xa0].into())));
    }

    /// Asks the one peer, a router, for its peers: call 1.
    pub(crate) fn ask_for_peers(&mut self) {
        let router = self.mesh.directory().iter().next().expect("it has joined").key;
        let question = DirectoryQuestion { filter: vec![0xa0], after: None, limit: 256 };
        let (call, deadline, token) = (OURS, self.now + Duration::from_secs(5), ());
        self.answered = 0;
        self.feed(Input::Command(Command::AskRouter { call, router, question, deadline, token }));
    }

    fn ask_for(&mut self, onward: Option<Destination>) {
        let peer = self.mesh.directory().iter().next().expect("it has joined").clone();
        let face = peer.face(Directions::BOTH).expect("its link stands");
        let payload = Payload::null();
        let room = face.gauge.take_call(cost(payload.len())).ok().map(|()| face.link);
        let plan = match onward {
            None => Plan::one(Step::new(peer.key, Directions::BOTH), room),
            Some(sought) => {
                let route = Some(Box::new(Route::new(Some(sought.clone()))));
                Plan { route, ..Plan::one(Step::onward(peer.key, sought), room) }
            }
        };
        let event = EventName::new("ask").expect("a legal name");
        let message = Message { event, headers: Headers::default(), payload };
        let deadline = self.now + Duration::from_secs(5);
        let request = Request { call: OURS, plan, message, deadline, depth: 0, token: () };
        self.answered = 0;
        self.feed(Input::Command(Command::Request(request)));
    }

    fn feed(&mut self, input: Input<()>) {
        let mut out = Vec::new();
        self.mesh.handle(self.now, input, &mut out);
        for output in out {
            self.apply(output);
        }
    }

    fn apply(&mut self, output: Output<()>) {
        match output {
            Output::Write { link } => self.write(link),
            Output::Hang { link } if link == self.link => self.hung = true,
            Output::Choose(choose) => self.choose(choose),
            Output::Dial { link, addr } => self.dial(link, addr),
            Output::Deliver(delivery) => {
                assert!(self.joined, "a message of a stranger was delivered");
                self.work(delivery.link, &delivery.message, delivery.work);
            }
            Output::Event(event) => {
                self.joined |= matches!(event, NodeEvent::PeerJoined(_));
                self.events.push(event);
            }
            Output::Complete { result: Ok(Done::Answered(_) | Done::Peers { .. }), .. } => {
                self.answered += 1;
            }
            Output::Complete { result: Err(error), .. } => {
                self.answered += 1;
                self.failed.push(error);
            }
            Output::Complete { .. }
            | Output::Hang { .. }
            | Output::Shut { .. }
            | Output::Publish
            | Output::Resolve { .. }
            | Output::Listen { .. }
            | Output::Unlisten
            | Output::Stopped => {}
        }
    }

    fn write(&mut self, link: LinkId) {
        loop {
            let bytes: Vec<u8> = self.mesh.outgoing(link).flatten().copied().collect();
            if bytes.is_empty() {
                return;
            }
            assert!(!self.hung, "there is something to write to a link that is gone");
            let len = bytes.len();
            self.said.extend(bytes);
            self.feed(Input::Sent { link, len });
        }
    }

    /// The first dial succeeds; nobody is there for a second one.
    fn dial(&mut self, link: LinkId, remote: SocketAddr) {
        if self.link == LinkId(u64::MAX) {
            self.link = link;
            self.feed(Input::Connected { link, local: address(), remote });
        } else {
            self.feed(Input::Lost { link, cause: Cause::Refused("nobody is there".to_owned()) });
        }
    }

    /// What the thread does that looks for peers.
    fn choose(&mut self, choose: Choose) {
        let Choose { call, directory, search, page } = choose;
        let rng = fastrand::Rng::with_seed(1);
        let chosen = match page {
            None => search.steps(&directory, &Random, rng, self.now).map(Chosen::Steps),
            Some(page) => {
                search.page(&directory, &page).map(|(peers, more)| Chosen::Page { peers, more })
            }
        };
        self.feed(Input::Chosen { call, chosen });
    }

    /// What a worker does: it looks into the payload first, and then every second request is refused, so that both kinds of
    /// answers go out.
    fn work(&mut self, link: LinkId, message: &Message, work: Work) {
        let sound = Payload::decode(&message.payload);
        self.handled += usize::from(sound.is_ok());
        if message.event.as_str() == HELD {
            return;
        }
        match (work, sound) {
            (Work::Request { reply_to, .. }, Err(error)) => {
                self.feed(Input::Answer { reply_to, answer: Answer::Fault(error) });
            }
            (Work::Request { reply_to, .. }, Ok(_)) if reply_to.call.0 % 2 == 0 => {
                let refusal = Error::new(ErrorKind::NoHandler, "nobody");
                self.feed(Input::Answer { reply_to, answer: Answer::Fault(refusal) });
            }
            (Work::Request { reply_to, .. }, Ok(_)) => {
                self.feed(Input::Answer { reply_to, answer: Answer::Reply(Payload::null()) });
            }
            (Work::Tick { cost }, _) => self.feed(Input::Consumed { link, ticks: 1, cost }),
        }
    }

    /// Takes bytes in pieces of that length; 0 is as many at once as there is room for.
    pub(crate) fn hear_in_pieces(&mut self, stream: &[u8], piece: usize) {
        let piece = if piece == 0 { usize::MAX } else { piece };
        let mut rest = stream;
        while !rest.is_empty() && !self.hung {
            let link = self.link;
            let space = self.mesh.space(link);
            let len = space.len().min(rest.len()).min(piece);
            space[..len].copy_from_slice(&rest[..len]);
            rest = &rest[len..];
            self.feed(Input::Received { link, len });
        }
    }

    /// Lets time pass without a byte.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.feed(Input::Due);
    }

    /// Lets time pass without a byte, until nothing of the link can be left.
    pub(crate) fn fall_silent(&mut self) {
        let end = self.now + SILENCE;
        while let Some(at) = self.mesh.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.feed(Input::Due);
        }
        assert!(self.hung, "a silent link is still there after {SILENCE:?}");
        assert_eq!(self.mesh.directory().len(), 0, "a silent peer is still listed");
    }
}

/// Carries bytes both ways until nobody has more to say; returns what the second end has said in all.
pub(crate) fn meet(ours: &mut End, theirs: &mut End) -> Vec<u8> {
    let mut transcript = Vec::new();
    while !ours.said.is_empty() || !theirs.said.is_empty() {
        let heard = std::mem::take(&mut theirs.said);
        ours.hear_in_pieces(&heard, 0);
        transcript.extend(heard);
        let heard = std::mem::take(&mut ours.said);
        theirs.hear_in_pieces(&heard, 0);
    }
    transcript
}
