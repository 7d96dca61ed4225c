//! What must hold for whatever bytes a stranger or a peer sends. Fuzz targets call these bodies, and tests run them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{
    Answer, Cause, Command, ConnectMode, Done, Input, Local, Mesh, Message, Output, Request, Work,
};
use crate::config::Config;
use crate::error::Error;
use crate::event::EventName;
use crate::headers::Headers;
use crate::id::{CallId, InstanceId, LinkId, NodeId};
use crate::node_event::{Directions, NodeEvent};
use crate::options::Options;
use crate::payload::Payload;
use crate::routing::{Plan, Step, cost};
use crate::wire::put_frame_head;

/// Longer than any link lives without a byte, and than any handshake, linger or dial lasts.
const SILENCE: Duration = Duration::from_secs(60);
/// What a stranger can make this node say: a greeting, its hello, its services, a refusal.
const SAID_TO_STRANGERS: usize = 64 * 1024;
/// The call that waits for an answer while a peer misbehaves.
const OURS: CallId = CallId(1);

/// A stranger's first bytes, to a listener or to a dialler: nobody is delivered to before it has joined, what is said to it is
/// bounded, and when it falls silent it is gone.
///
/// The lowest bit of the first byte chooses the role, the rest the length of the pieces.
pub(crate) fn handshake(bytes: &[u8]) {
    let [how, stream @ ..] = bytes else { return };
    let mut end = if how & 1 == 0 { End::accepting() } else { End::dialling() };
    end.hear_in_pieces(stream, usize::from(how >> 1));
    if !end.joined {
        assert!(end.said.len() <= SAID_TO_STRANGERS, "{} bytes said", end.said.len());
    }
    end.fall_silent();
}

/// A joined peer's bytes: our one call ends once, no answer goes out on a link that is gone, and silence ends it all.
///
/// The lowest bit of the first byte says whether the rest is a stream or messages, each behind its length in one byte.
pub(crate) fn connection(bytes: &[u8]) {
    let [how, rest @ ..] = bytes else { return };
    let mut end = joined();
    end.ask();
    let stream = if how & 1 == 0 { rest.to_vec() } else { framed(rest) };
    end.hear_in_pieces(&stream, usize::from(how >> 1));
    end.fall_silent();
    assert_eq!(end.answered, 1, "our call ended {} times", end.answered);
}

/// A whole simulated mesh whose script these bytes are.
pub(crate) fn world(bytes: &[u8]) {
    super::sim::fuzz(bytes);
}

/// Puts frames around messages that stand behind their lengths.
fn framed(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [len, more @ ..] = rest {
        let (message, after) = more.split_at(more.len().min(usize::from(*len)));
        if !message.is_empty() {
            put_frame_head(&mut out, message.len(), false, false);
            out.extend_from_slice(message);
        }
        rest = after;
    }
    out
}

/// One engine with one link, and everything else about it.
struct End {
    mesh: Mesh<()>,
    now: Instant,
    link: LinkId,
    /// What this end has written and nobody has taken.
    said: Vec<u8>,
    joined: bool,
    hung: bool,
    answered: u32,
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

impl End {
    fn new(id: &'static str, seed: u64) -> Self {
        let now = Instant::now();
        let id = NodeId::new(id).expect("a legal id");
        let local = Local {
            options: Options::default().with_id(&id),
            id,
            instance: InstanceId(u128::from(seed)),
            services: vec!["a".to_owned()],
            host: None,
            advertise: None,
            config: Config::default(),
        };
        let mesh = Mesh::new(local, fastrand::Rng::with_seed(seed), now);
        let link = LinkId(u64::MAX);
        Self { mesh, now, link, said: Vec::new(), joined: false, hung: false, answered: 0 }
    }

    fn accepting() -> Self {
        let mut end = Self::new("acceptor", 1);
        end.link = end.mesh.draw_link();
        let (link, local, remote) = (end.link, address(), address());
        end.feed(Input::Accepted { link, local, remote });
        end
    }

    fn dialling() -> Self {
        let mut end = Self::new("dialler", 2);
        let deadline = end.now + Duration::from_secs(5);
        let (address, mode) = (address().into(), ConnectMode::Once);
        end.feed(Input::Command(Command::Connect { address, mode, deadline, token: () }));
        end
    }

    /// Asks the one peer something.
    fn ask(&mut self) {
        let peer = self.mesh.directory().iter().next().expect("it has joined").clone();
        let face = peer.face(Directions::BOTH).expect("its link stands");
        let payload = Payload::null();
        let room = face.gauge.take_call(cost(payload.len())).ok().map(|()| face.link);
        let plan = Plan::one(Step { peer: peer.key, directions: Directions::BOTH }, room);
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
            Output::Dial { link, addr } => self.dial(link, addr),
            Output::Deliver(delivery) => {
                assert!(self.joined, "a message of a stranger was delivered");
                self.handle(delivery.link, delivery.work);
            }
            Output::Event(NodeEvent::PeerJoined(_)) => self.joined = true,
            Output::Complete { result: Ok(Done::Answered(_)) | Err(_), .. } => self.answered += 1,
            Output::Complete { .. }
            | Output::Event(_)
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

    /// Every second request is refused, so that both kinds of answers go out.
    fn handle(&mut self, link: LinkId, work: Work) {
        match work {
            Work::Request { owed, .. } if owed.call.0 % 2 == 0 => {
                let refusal = Error::new(crate::error::ErrorKind::NoHandler, "nobody");
                self.feed(Input::Answer { owed, answer: Answer::Fault(refusal) });
            }
            Work::Request { owed, .. } => {
                self.feed(Input::Answer { owed, answer: Answer::Reply(Payload::null()) });
            }
            Work::Tick { cost } => self.feed(Input::Consumed { link, ticks: 1, cost }),
        }
    }

    fn hear_in_pieces(&mut self, stream: &[u8], piece: usize) {
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

    /// Lets time pass without a byte, until nothing of the link can be left.
    fn fall_silent(&mut self) {
        let end = self.now + SILENCE;
        while let Some(at) = self.mesh.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.feed(Input::Due);
        }
        assert!(self.hung, "a silent link is still there after {SILENCE:?}");
        assert_eq!(self.mesh.directory().len(), 0, "a silent peer is still listed");
    }
}

/// An engine whose peer has joined, and is now whoever the caller wants it to be.
fn joined() -> End {
    let (mut ours, mut theirs) = (End::accepting(), End::dialling());
    meet(&mut ours, &mut theirs);
    assert!(ours.joined && theirs.joined);
    ours
}

/// Carries bytes both ways until nobody has more to say; returns what the second end has said in all.
fn meet(ours: &mut End, theirs: &mut End) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: u64 = 300;

    #[test]
    fn strangers_get_nowhere_for_fixed_seeds() {
        let said_by_dialler = meet(&mut End::accepting(), &mut End::dialling());
        let said_by_acceptor = meet(&mut End::dialling(), &mut End::accepting());
        for seed in 0..SEEDS {
            let mut rng = fastrand::Rng::with_seed(seed);
            let how = rng.u8(..);
            let right = if how & 1 == 0 { &said_by_dialler } else { &said_by_acceptor };
            let mut bytes = [&[how], &**right].concat();
            for _ in 0..rng.usize(0..3) {
                let at = rng.usize(1..bytes.len());
                bytes[at] = rng.u8(..);
            }
            bytes.truncate(rng.usize(1..=bytes.len() * 2).min(bytes.len()));
            handshake(&bytes);
        }
    }

    #[test]
    fn peers_break_nothing_for_fixed_seeds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/envelope");
        let mut paths: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let samples: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
        for seed in 0..SEEDS {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut bytes = vec![rng.u8(..) | 1];
            for _ in 0..rng.usize(1..20) {
                let message = &samples[rng.usize(..samples.len())];
                let Ok(len) = u8::try_from(message.len()) else { continue };
                bytes.push(len);
                bytes.extend_from_slice(message);
            }
            if rng.bool() {
                let at = rng.usize(1..bytes.len().max(2)).min(bytes.len() - 1);
                bytes[at] = rng.u8(..);
            }
            connection(&bytes);
        }
    }

    #[test]
    fn a_right_handshake_is_one_in_every_cut() {
        for cut in 0..128 {
            let mut ours = End::accepting();
            let transcript = meet(&mut End::accepting(), &mut End::dialling());
            ours.hear_in_pieces(&transcript, cut);
            assert!(ours.joined, "in pieces of {cut}");
        }
    }
}
