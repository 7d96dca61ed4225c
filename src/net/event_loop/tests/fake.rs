//! A fake engine that echoes, fake rooms above it, and the thread they run on.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::{LONG, next};
use crate::error::{Error, ErrorKind};
use crate::id::{CallId, LinkId};
use crate::net::above::Above;
use crate::net::engine::Engine;
use crate::net::event_loop::prepare;
use crate::net::mailbox::Mailbox;
use crate::node_event::NodeEvent;
use crate::proto::{
    Answer, Cause, Choose, Chosen, Command, ConnectMode, Delivery, Done, Input, Output, QueryId,
    ReplyTo,
};
use crate::routing::Directory;

/// How the fakes behave.
#[derive(Clone)]
pub(super) struct Act {
    /// Bytes that wait to go back on one link; what exceeds them is dropped.
    pub(super) echo_most: usize,
    pub(super) links: usize,
    pub(super) shut_on_end: bool,
    pub(super) hang_on_byte: Option<u8>,
    pub(super) publish_refusals: usize,
    pub(super) due_after: Option<Duration>,
}

impl Default for Act {
    fn default() -> Self {
        Self {
            echo_most: usize::MAX,
            links: 100,
            shut_on_end: false,
            hang_on_byte: None,
            publish_refusals: 0,
            due_after: None,
        }
    }
}

/// What the fakes were told.
#[derive(Debug)]
pub(super) enum Seen {
    Accepted,
    Connected(SocketAddr, SocketAddr),
    Received(usize),
    Lost(Cause),
    Due,
    Listening(SocketAddr),
    Completed(u32, Option<ErrorKind>),
    Published(bool),
    Stopped,
}

impl Seen {
    pub(super) fn is_of_a_link(&self) -> bool {
        matches!(self, Self::Accepted | Self::Received(..) | Self::Lost(..))
    }
}

/// A running loop.
pub(super) struct World {
    pub(super) mailbox: Mailbox<Input<u32>>,
    pub(super) seen: Receiver<Seen>,
    looks: Arc<AtomicUsize>,
}

impl World {
    pub(super) fn start(act: Act) -> Self {
        let (prepared, mailbox) = prepare().unwrap();
        let (sender, seen) = unbounded();
        let looks = Arc::new(AtomicUsize::new(0));
        let above = Rooms { seen: sender.clone(), refusals: act.publish_refusals };
        let links = act.links;
        let engine = Echo::new(act, sender, looks.clone());
        let run = move || prepared.into_loop(engine, above, links).run();
        thread::Builder::new().spawn(run).unwrap();
        Self { mailbox, seen, looks }
    }

    pub(super) fn post(&self, command: Command<u32>) {
        self.mailbox.post(Input::Command(command)).unwrap();
    }

    pub(super) fn listen(&self) -> SocketAddr {
        self.post(Command::Bind { address: "127.0.0.1:0".parse().unwrap(), token: 1 });
        next(&self.seen, |seen| match seen {
            Seen::Listening(addr) => Some(addr),
            _ => None,
        })
    }

    pub(super) fn connect_to(addr: SocketAddr) -> Command<u32> {
        let deadline = Instant::now() + LONG;
        Command::Connect { address: addr.into(), mode: ConnectMode::Once, deadline, token: 2 }
    }

    /// Stops the loop, and returns what it had told that nobody has looked at.
    pub(super) fn stop(&self, late: Option<Command<u32>>) -> Vec<Seen> {
        let stop = Command::Stop { bound: Duration::ZERO, token: None };
        self.mailbox.post_all([stop].into_iter().chain(late).map(Input::Command)).unwrap();
        let mut all = Vec::new();
        next(&self.seen, |seen| match seen {
            Seen::Stopped => Some(()),
            other => {
                all.push(other);
                None
            }
        });
        all
    }

    /// How often the loop has asked for the deadline.
    pub(super) fn looks(&self) -> usize {
        self.looks.load(Relaxed)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let stop = Command::Stop { bound: Duration::ZERO, token: None };
        let _stopped_already = self.mailbox.post(Input::Command(stop));
    }
}

struct Rooms {
    seen: Sender<Seen>,
    refusals: usize,
}

impl Rooms {
    fn see(&self, seen: Seen) {
        let _test_is_over = self.seen.send(seen);
    }
}

impl Above<u32> for Rooms {
    fn deliver(&mut self, batch: &mut Vec<Delivery>) -> Vec<(ReplyTo, Answer)> {
        batch.clear();
        Vec::new()
    }

    fn complete(&mut self, token: u32, result: Result<Done, Error>) {
        if let Ok(Done::Listening(addr)) = result {
            self.see(Seen::Listening(addr));
        } else {
            self.see(Seen::Completed(token, result.err().map(|error| error.kind())));
        }
    }

    fn event(&mut self, _event: NodeEvent) {}

    fn choose(&mut self, choose: Choose) -> Option<(CallId, Result<Chosen, Error>)> {
        panic!("nobody here forwards: {choose:?}");
    }

    fn published(&mut self) {}

    fn publish(&mut self, _directory: &Directory) -> bool {
        let done = self.refusals == 0;
        self.refusals = self.refusals.saturating_sub(1);
        self.see(Seen::Published(done));
        done
    }

    fn stopped(&mut self) {
        self.see(Seen::Stopped);
    }
}

/// Sends back what it receives.
struct Echo {
    act: Act,
    seen: Sender<Seen>,
    looks: Arc<AtomicUsize>,
    space: Vec<u8>,
    links: HashMap<LinkId, Back>,
    drawn: u64,
    due: Option<Instant>,
    directory: Directory,
    stopped: bool,
}

/// Pieces on their way back; the first is written up to `written`.
#[derive(Default)]
struct Back {
    pieces: VecDeque<Vec<u8>>,
    written: usize,
    waiting: usize,
}

impl Echo {
    fn new(act: Act, seen: Sender<Seen>, looks: Arc<AtomicUsize>) -> Self {
        let due = act.due_after.map(|after| Instant::now() + after);
        Self {
            act,
            seen,
            looks,
            space: vec![0; 64 * 1024],
            links: HashMap::new(),
            drawn: 0,
            due,
            directory: Directory::default(),
            stopped: false,
        }
    }

    fn see(&self, seen: Seen) {
        let _test_is_over = self.seen.send(seen);
    }

    fn received(&mut self, link: LinkId, len: usize, out: &mut Vec<Output<u32>>) {
        assert!(self.links.contains_key(&link), "bytes for a link that is gone");
        if self.act.hang_on_byte == Some(self.space[0]) {
            self.see(Seen::Received(len));
            self.links.remove(&link);
            return out.push(Output::Hang { link });
        }
        let back = self.links.get_mut(&link).unwrap();
        let len = len.min(self.act.echo_most - back.waiting);
        if len > 0 {
            back.waiting += len;
            back.pieces.push_back(self.space[..len].to_vec());
            out.push(Output::Write { link });
        }
    }

    fn sent(&mut self, link: LinkId, len: usize) {
        let back = self.links.get_mut(&link).unwrap();
        back.waiting -= len;
        back.written += len;
        while back.pieces.front().is_some_and(|piece| piece.len() <= back.written) {
            back.written -= back.pieces.pop_front().unwrap().len();
        }
    }

    fn lost(&mut self, link: LinkId, cause: Cause, out: &mut Vec<Output<u32>>) {
        match cause {
            Cause::Eof if self.act.shut_on_end => out.push(Output::Shut { link }),
            Cause::Eof => out.push(Output::Hang { link }),
            Cause::Broken(_) | Cause::Refused(_) => {}
        }
        if !self.act.shut_on_end {
            self.links.remove(&link);
        }
        self.see(Seen::Lost(cause));
    }

    fn command(&mut self, command: Command<u32>, out: &mut Vec<Output<u32>>) {
        if self.stopped {
            let closed = || Error::new(ErrorKind::Closed, "stopped");
            let refused = |token| Output::Complete { token, result: Err(closed()) };
            return out.extend(command.into_token().map(refused));
        }
        match command {
            Command::Bind { address, .. } => {
                out.push(Output::Listen { addrs: vec![address.numeric().unwrap()] });
            }
            Command::Connect { address, .. } => {
                out.push(Output::Resolve { query: QueryId(1), address });
            }
            Command::Unbind { token } => {
                out.push(Output::Publish);
                out.push(Output::Complete { token, result: Ok(Done::Nothing) });
            }
            Command::Stop { .. } => {
                let hang = |(link, _)| Output::Hang { link };
                out.extend(self.links.drain().map(hang));
                out.push(Output::Stopped);
                self.stopped = true;
            }
            other => panic!("{other:?}"),
        }
    }
}

impl Engine<u32> for Echo {
    fn draw_link(&mut self) -> LinkId {
        self.drawn += 1;
        LinkId(self.drawn)
    }

    fn space(&mut self, link: LinkId) -> &mut [u8] {
        assert!(self.links.contains_key(&link), "a read from a link that is gone");
        &mut self.space
    }

    fn handle(&mut self, _now: Instant, input: Input<u32>, out: &mut Vec<Output<u32>>) {
        match input {
            Input::Accepted { link, .. } => {
                self.links.insert(link, Back::default());
                self.see(Seen::Accepted);
            }
            Input::Connected { link, local, remote } => {
                self.links.insert(link, Back::default());
                self.see(Seen::Connected(local, remote));
            }
            Input::Received { link, len } => self.received(link, len, out),
            Input::Sent { link, len } => self.sent(link, len),
            Input::Lost { link, cause } => self.lost(link, cause, out),
            Input::Command(command) => self.command(command, out),
            Input::Resolved { result, .. } => {
                let link = self.draw_link();
                out.push(Output::Dial { link, addr: result.unwrap()[0] });
            }
            Input::Listening(result) => {
                let result = Ok(Done::Listening(result.unwrap()));
                out.push(Output::Complete { token: 1, result });
            }
            Input::Due => {
                self.due = None;
                self.see(Seen::Due);
            }
            Input::Answer { .. } | Input::Consumed { .. } | Input::Chosen { .. } => {
                panic!("{input:?}")
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.looks.fetch_add(1, Relaxed);
        self.due
    }

    fn outgoing(&self, link: LinkId) -> impl Iterator<Item = &[u8]> {
        let back = self.links.get(&link);
        back.into_iter().flat_map(|back| {
            back.pieces
                .iter()
                .enumerate()
                .map(|(index, piece)| &piece[if index == 0 { back.written } else { 0 }..])
        })
    }

    fn directory(&self) -> &Directory {
        &self.directory
    }
}
