//! Where the topology meets links and peers: effects are run, and what the topology must know of
//! them is passed in. It must not decide what follows.

use super::Output;
use super::effect::Effect;
use super::link::{Link, State};
use super::mesh::Mesh;
use super::topology::DialId;
use crate::address::Address;
use crate::id::{CallId, LinkId, NodeId};
use crate::node_event::{Direction, LeftReason};
use crate::wire::{Control, Farewell, Member};

impl<T> Mesh<T> {
    /// Runs an effect.
    pub(super) fn run(&mut self, effect: Effect<T>) {
        match effect {
            Effect::OpenLink { link: id, addr, dial } => {
                let (config, now) = (&self.env.local.config, self.env.now);
                let mut link = Link::new(id, Direction::Up, addr, config, now);
                link.dial = Some(dial);
                self.links.insert(id, link);
                self.env.out.push(Output::Dial { link: id, addr });
            }
            Effect::CloseLink { link, farewell, reason } => {
                self.say_goodbye(link, farewell, reason);
            }
            Effect::SendControl { link, control } => self.send_control(link, &control),
            Effect::OfferControl { link: id, control } => {
                // What is only good to know is not queued behind much else.
                let link = self.links.get(&id);
                if link.is_some_and(|link| link.queue.has_control_room()) {
                    self.send_control(id, &control);
                }
            }
            Effect::KeepApart { member } => {
                self.topology.keep_apart(&mut self.env, &self.peers, member);
            }
            Effect::Complete { token, result } => self.env.complete(token, result),
        }
    }

    fn send_control(&mut self, id: LinkId, control: &Control) {
        // A link that has left since drops what is queued on it anyway.
        let link = self.links.get_mut(&id).filter(|link| matches!(link.state, State::Ready));
        if let Some(link) = link {
            link.queue.push_state(control);
            self.env.touch(id);
        }
    }

    /// Stops listening, and closes the links that came in that way.
    pub(super) fn unbind(&mut self, token: T) {
        self.topology.unbind(&mut self.env);
        let inbound = |link: &&Link<T>| link.direction == Direction::Down;
        let inbound: Vec<LinkId> =
            self.links.values().filter(inbound).map(|link| link.id).collect();
        for id in inbound {
            self.say_goodbye(id, Farewell::Disconnect, LeftReason::Disconnected);
        }
        self.topology.announce_listening(&mut self.env);
        self.env.complete(token, Ok(super::Done::Nothing));
    }

    pub(super) fn waiters_due(&mut self, dial: DialId) {
        let link = self.topology.trying(dial).and_then(|link| self.links.get(&link));
        let joining = link.is_some_and(Link::is_joining);
        self.topology.waiters_due(&mut self.env, &self.peers, dial, joining);
    }

    /// The other side sends a query for the members.
    pub(super) fn query_received(&mut self, id: LinkId, call: CallId, address: Option<&str>) {
        let (env, peers) = (&mut self.env, &self.peers);
        match self.topology.query_received(env, peers, id, (call, address)) {
            Ok(()) if address.is_some() => self.peer_moved(id, address),
            Ok(()) => {}
            Err(error) => {
                if self.take_place(id).is_some() {
                    self.push_fault(id, call, error);
                }
            }
        }
    }

    /// The sender, or another node, is a member.
    pub(super) fn member_announced(&mut self, from: LinkId, member: &Member) {
        if self.peer_of(from).as_ref() == Some(&member.id) {
            self.peer_moved(from, Some(&member.address));
        }
        self.topology.member_announced(&mut self.env, &self.peers, from, member);
    }

    /// The sender is no member any more, or another node has stopped.
    pub(super) fn member_left(&mut self, from: LinkId, id: &NodeId) {
        if self.peer_of(from).as_ref() == Some(id) {
            self.peer_moved(from, None);
        }
        self.topology.member_left(&mut self.env, &self.peers, from, id);
    }

    /// Notes where a peer can be dialled now, as it says itself.
    fn peer_moved(&mut self, link: LinkId, address: Option<&str>) {
        // What is no address is counted where the member is learned.
        let Ok(address) = address.map(str::parse::<Address>).transpose() else { return };
        let key = self.links.get(&link).and_then(|link| link.peer);
        let entry = key.and_then(|key| Some((key, &self.peers.by_key.get(&key)?.entry)));
        if let Some((key, _)) = entry.filter(|(_, entry)| entry.address != address) {
            self.change_peer(key, |entry| entry.address = address);
        }
    }

    /// Queues what there is to say of members, as far as there is capacity: pages at once, single
    /// members in a measure that no receiver takes for a flood.
    pub(super) fn announce_members(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.is_ready()) else { return };
        let queue = &mut link.queue;
        while queue.has_control_room() {
            let Some(page) = self.topology.next_page(id) else { break };
            queue.push_state(&page);
        }
        if queue.has_control_room() {
            for member in self.topology.next_announcements(self.env.now, id) {
                queue.push_state(&member);
            }
        }
        if self.topology.settle_link(id) {
            self.arm_liveness(id);
        }
    }

    /// Closes a link to which nothing was written for a while, if it is the second one with its
    /// peer and not needed.
    ///
    /// Only then: on a link that has just joined, a request may be under way that came right behind
    /// the handshake.
    pub(super) fn close_double(&mut self, id: LinkId) -> bool {
        let Some(link) = self.links.get(&id) else { return false };
        let Some(dial) = link.dial.filter(|_| link.is_idle()) else { return false };
        let peer = link.peer.and_then(|key| self.peers.by_key.get(&key));
        let both = peer.filter(|peer| peer.entry.up.is_some() && peer.entry.down.is_some());
        let double = both.is_some_and(|peer| peer.entry.id < self.env.local.id);
        if !double || !self.topology.is_dispensable(self.env.now, id, dial) {
            return false;
        }
        self.say_goodbye(id, Farewell::Replaced, LeftReason::Replaced);
        true
    }
}
