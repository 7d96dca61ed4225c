//! Two real engines, each on a loop of its own, over loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::LONG;
use crate::config::Config;
use crate::error::Error;
use crate::event::EventName;
use crate::headers::Headers;
use crate::id::{CallId, InstanceId, NodeId};
use crate::net::{Above, Mailbox, prepare};
use crate::node_event::{Directions, NodeEvent};
use crate::options::Options;
use crate::payload::Payload;
use crate::proto::{
    Answer, Choose, Chosen, Command, ConnectMode, Delivery, Done, Input, Local, Mesh, Message,
    ReplyTo, Request, Work,
};
use crate::routing::{Directory, Plan, Step, cost};

type Token = Sender<Result<Done, Error>>;

struct Node {
    mailbox: Mailbox<Input<Token>>,
    directory: Arc<Mutex<Directory>>,
    delivered: Receiver<Delivery>,
    stopped: Receiver<()>,
}

struct Rooms {
    directory: Arc<Mutex<Directory>>,
    delivered: Sender<Delivery>,
    stopped: Sender<()>,
}

impl Above<Token> for Rooms {
    fn deliver(&mut self, batch: &mut Vec<Delivery>) -> Vec<(ReplyTo, Answer)> {
        batch.drain(..).for_each(|delivery| self.delivered.send(delivery).unwrap());
        Vec::new()
    }

    fn complete(&mut self, token: Token, result: Result<Done, Error>) {
        let _caller_gave_up = token.try_send(result);
    }

    fn event(&mut self, _event: NodeEvent) {}

    fn choose(&mut self, choose: Choose) -> Option<(CallId, Result<Chosen, Error>)> {
        panic!("nobody here forwards: {choose:?}");
    }

    fn published(&mut self) {}

    fn publish(&mut self, directory: &Directory) -> bool {
        let free = self.directory.try_lock().map(|mut seen| *seen = directory.clone());
        free.is_ok()
    }

    fn stopped(&mut self) {
        let _test_is_over = self.stopped.send(());
    }
}

impl Node {
    fn start(id: &str, instance: u128) -> Self {
        let id = NodeId::new(id).unwrap();
        let local = Local {
            options: Options::default().with_id(&id),
            id,
            instance: InstanceId(instance),
            services: Vec::new(),
            host: None,
            advertise: None,
            config: Config::default(),
            router: None,
        };
        let engine = Mesh::new(local, fastrand::Rng::with_seed(7), Instant::now());
        let (prepared, mailbox) = prepare().unwrap();
        let (deliver, delivered) = unbounded();
        let (stop, stopped) = bounded(1);
        let directory = Arc::new(Mutex::new(Directory::default()));
        let rooms = Rooms { directory: directory.clone(), delivered: deliver, stopped: stop };
        let run = move || prepared.into_loop(engine, rooms, 10).run();
        thread::Builder::new().spawn(run).unwrap();
        Self { mailbox, directory, delivered, stopped }
    }

    fn ask(&self, command: impl FnOnce(Token) -> Command<Token>) -> Result<Done, Error> {
        let (token, answer) = bounded(1);
        self.mailbox.post(Input::Command(command(token))).unwrap();
        answer.recv_timeout(LONG).unwrap()
    }

    fn listen(&self) -> SocketAddr {
        let address = "127.0.0.1:0".parse().unwrap();
        match self.ask(|token| Command::Bind { address, token }) {
            Ok(Done::Listening(addr)) => addr,
            other => panic!("{other:?}"),
        }
    }

    fn connect(&self, addr: SocketAddr) {
        let (address, mode) = (addr.into(), ConnectMode::Patient);
        let deadline = Instant::now() + LONG;
        let done = self.ask(|token| Command::Connect { address, mode, deadline, token });
        assert!(matches!(done, Ok(Done::Connected(_))), "{done:?}");
    }

    fn request(&self, call: u64, payload: Payload) -> Payload {
        let entry = self.directory.lock().unwrap().get("server").cloned().expect("a joined peer");
        let face = entry.face(Directions::BOTH).unwrap();
        let room = face.gauge.take_call(cost(payload.len())).ok().map(|()| face.link);
        let plan = Plan::one(Step::new(entry.key, Directions::BOTH), room);
        let event = EventName::new("echo").unwrap();
        let message = Message { event, headers: Headers::default(), payload };
        let (call, deadline) = (CallId(call), Instant::now() + LONG);
        let request = |token| Request { call, plan, message, deadline, depth: 0, token };
        match self.ask(|token| Command::Request(request(token))) {
            Ok(Done::Answered(answered)) => answered.payload,
            other => panic!("{other:?}"),
        }
    }

    /// Answers every request with what it carries, until the loop has ended.
    fn echo(&self) {
        for delivery in &self.delivered {
            let Work::Request { reply_to, .. } = delivery.work else { panic!("a request") };
            let answer = Answer::Reply(delivery.message.payload);
            let _stopping = self.mailbox.post(Input::Answer { reply_to, answer });
        }
    }

    fn stop(&self) {
        let bound = Duration::from_secs(1);
        let done = self.ask(|token| Command::Stop { bound, token: Some(token) });
        assert!(matches!(done, Ok(Done::Stopped(_))), "{done:?}");
        self.stopped.recv_timeout(LONG).unwrap();
    }
}

fn item(len: usize) -> Payload {
    let mut item = vec![0x5a];
    item.extend_from_slice(&(len as u32).to_be_bytes());
    item.resize(5 + len, 7);
    Payload::from_item(item)
}

#[test]
fn two_nodes_join_ask_and_stop_over_real_sockets() {
    let _bound = crate::bound::bound();
    let (server, client) = (Node::start("server", 1), Node::start("client", 2));
    thread::scope(|scope| {
        scope.spawn(|| server.echo());
        client.connect(server.listen());
        for (call, len) in [1, 64, 20_000, 300_000, 5_000_000].into_iter().enumerate() {
            let payload = item(len);
            assert!(client.request(call as u64 + 1, payload.clone()) == payload, "{len} bytes");
        }
        client.stop();
        server.stop();
    });
}
