//! What a simulated node does with the outputs of its engine: it obeys them to the letter and complains about those that
//! make no sense.

use std::net::SocketAddr;
use std::time::Duration;

use super::Label;
use super::payloads::CHOOSER;
use super::shell::{Mail, Socket};
use super::world::World;
use crate::error::{Error, ErrorKind};
use crate::id::LinkId;
use crate::node_event::NodeEvent;
use crate::proto::planted::Planted;
use crate::proto::{Choose, Chosen, Command, Done, Input, Output};
use crate::routing::Random;

impl World {
    /// Hands one input to the engine and does what it says.
    pub(super) fn feed(&mut self, n: usize, input: Input<Label>) {
        self.note_input(n, &input);
        let mut out = Vec::new();
        let Some(mesh) = &mut self.nodes[n].mesh else { return };
        mesh.handle(self.now, input, &mut out);
        let leaving = |output: &Output<Label>| match output {
            Output::Event(NodeEvent::PeerLeft { id, .. }) => Some(id.clone()),
            _ => None,
        };
        self.nodes[n].leaving = out.iter().filter_map(leaving).collect();
        for output in out {
            if self.nodes[n].mesh.is_none() {
                self.oracle.fail(format!("node {n} says something after it has stopped"));
                return;
            }
            self.obey(n, output);
        }
    }

    fn obey(&mut self, n: usize, output: Output<Label>) {
        self.note_output(n, &output);
        match output {
            Output::Resolve { query, address } => {
                let number = address.host().strip_prefix("host-").and_then(|n| n.parse().ok());
                let result = match number {
                    Some(number) => Ok(vec![super::world::address_of(number)]),
                    None => Err("no such host".to_owned()),
                };
                let at = self.now + Duration::from_micros(self.rng.u64(..50_000));
                self.post(n, at, Mail::Input(Input::Resolved { query, result }));
            }
            Output::Listen { addrs } => self.listen(n, &addrs),
            Output::Unlisten => {
                self.nodes[n].listening = None;
                let backlog = std::mem::take(&mut self.nodes[n].backlog);
                self.drop_backlog(backlog);
            }
            Output::Dial { link, addr } => {
                let wire = self.dial(n, link, addr);
                self.nodes[n]
                    .sockets
                    .insert(link, Socket { connected: false, ..Socket::new(wire, 0) });
            }
            Output::Write { link } => {
                if self.blunders(Planted::LostWake) {
                    return;
                }
                if let Some(socket) = self.socket(n, link, "Write") {
                    socket.wants_write = true;
                }
            }
            Output::Shut { link } => {
                if let Some(socket) = self.socket(n, link, "Shut") {
                    socket.shut = true;
                    socket.wants_write = true;
                }
            }
            Output::Hang { link } => {
                self.socket(n, link, "Hang");
                if let Some(socket) = self.nodes[n].sockets.remove(&link) {
                    self.close_end(socket.wire, socket.end);
                }
            }
            Output::Choose(choose) => self.choose(n, choose),
            Output::Deliver(delivery) => self.deliver(n, delivery),
            Output::Complete { token, result } => {
                self.complete(n, token, &result);
                if let Ok(done @ (Done::Peers { .. } | Done::Routing(_))) = result {
                    self.told.insert(token, done);
                }
            }
            Output::Publish => {
                if let Some(mesh) = &self.nodes[n].mesh {
                    self.nodes[n].published = mesh.directory().clone();
                }
            }
            Output::Event(event) => {
                let life = self.life(n);
                let node = &mut self.nodes[n];
                if let NodeEvent::PeerLeft { id, .. } = &event {
                    let at = node.leaving.iter().position(|leaving| leaving == id);
                    at.map(|at| node.leaving.remove(at));
                }
                let leaves = matches!(&event, NodeEvent::PeerJoined(peer) if node.leaving.contains(&peer.id));
                self.oracle.event(life, self.now, &event, &node.published, leaves);
            }
            Output::Stopped => self.stopped(n),
        }
    }

    /// The socket of a link that the engine speaks of, which must be there.
    fn socket(&mut self, n: usize, link: LinkId, what: &str) -> Option<&mut Socket> {
        let socket = self.nodes[n].sockets.get_mut(&link);
        if socket.is_none() {
            self.oracle.fail(format!("node {n}: {what} for {link:?}, which is closed"));
        }
        socket
    }

    /// A thread looks for peers, which takes it a moment, or has too much to do.
    fn choose(&mut self, n: usize, choose: Choose) {
        let Choose { call, directory, search, page } = choose;
        let moment = Duration::from_micros(self.rng.u64(..50_000) >> self.rng.u32(..10));
        let rng = self.rng.fork();
        let chosen = match page {
            _ if self.busy_choosers && self.rng.u8(..6) == 0 => {
                Err(Error::new(ErrorKind::Busy, CHOOSER))
            }
            None => search.steps(&directory, &Random, rng, self.now).map(Chosen::Steps),
            Some(page) => {
                search.page(&directory, &page).map(|(peers, more)| Chosen::Page { peers, more })
            }
        };
        self.post(n, self.now + moment, Mail::Input(Input::Chosen { call, chosen }));
    }

    fn listen(&mut self, n: usize, addrs: &[SocketAddr]) {
        let ours = self.nodes[n].addr;
        let result = if addrs.contains(&ours) && self.nodes[n].listening.is_none() {
            self.nodes[n].listening = Some(ours);
            Ok(ours)
        } else {
            Err("address not available".to_owned())
        };
        self.post_now(n, Mail::Input(Input::Listening(result)));
    }

    fn complete(&mut self, n: usize, token: Label, result: &Result<Done, Error>) {
        if let Err(error) = result {
            *self.seen.errors.entry(error.kind()).or_default() += 1;
        }
        let resumed = self.nodes[n].suspended_until;
        let life = self.life(n);
        self.oracle.completed(token, life, self.now, resumed, result);
        if let Ok(Done::Connected(peer)) = result {
            let node = &self.nodes[n];
            let leaves = node.leaving.contains(&peer.id);
            if !leaves && node.published.get(peer.id.as_str()).is_none() {
                self.oracle
                    .fail(format!("node {n} is connected to {}, who is not listed", peer.id));
            }
        }
    }

    fn stopped(&mut self, n: usize) {
        let life = self.life(n);
        let node = &mut self.nodes[n];
        let Some(mesh) = node.mesh.take() else { return };
        let left = (mesh.pending_calls(), mesh.inbound_requests(), mesh.armed_timers());
        if left != (0, 0, 0) || !node.sockets.is_empty() || node.listening.is_some() {
            let sockets = node.sockets.len();
            let why = format!(
                "node {n} has stopped with (pending, inbound, timers) {left:?}, {sockets} sockets"
            );
            self.oracle.fail(why);
        }
        let resumed = self.nodes[n].suspended_until;
        for mail in std::mem::take(&mut self.nodes[n].mail).into_values() {
            let Mail::Input(Input::Command(command)) = mail else { continue };
            if matches!(&command, Command::Tick(tick) if tick.wait.is_none()) {
                self.oracle.tick_left_behind(life);
            }
            if let Some(token) = command.into_token() {
                let closed = Err(Error::new(ErrorKind::Closed, "the node has stopped"));
                self.oracle.completed(token, life, self.now, resumed, &closed);
            }
        }
        self.clear(n);
    }
}
