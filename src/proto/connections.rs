//! Links and the peers at their ends: how a connection becomes a link of a peer, what its clock
//! says, and how it ends. It holds those two tables and lets neither know the other. What becomes of
//! calls, ticks and dials then is an effect. It must not know what messages are for.

use std::sync::Arc;

use super::Cause;
use super::effect::Effect;
use super::env::Env;
use super::link::handshake::{Greeted, Introduced};
use super::link::liveness::Verdict;
use super::links::{InboundCall, InboundTick, Joined, Left, Links};
use super::messages::sanitize_peer_text;
use super::peers::{Claim, Peers};
use super::planted::{Planted, has};
use super::reach::Reach;
use super::topology::{DialOutcome, LinkJoined};
use crate::address::Address;
use crate::config::PROBE;
use crate::error::{Error, ErrorKind};
use crate::id::LinkId;
use crate::node_event::{Direction, LeftReason, NodeEvent};
use crate::options::Options;
use crate::routing::{LinkFace, PeerEntry};
use crate::wire::{Control, Farewell};

#[derive(Debug)]
pub(super) struct Connections<T> {
    pub(super) links: Links<T>,
    pub(super) peers: Peers,
}

impl<T> Connections<T> {
    /// Those of a node that has only itself.
    pub(super) fn new(env: &Env<T>) -> Self {
        let mut links = Links::new(env.local.config.limits.node_bytes);
        let mut peers = Peers::default();
        let (link, gauge) = (LinkId::OWN, links.open_self_link(env));
        peers.add_self(LinkFace { link, remote: ([0; 4], 0).into(), gauge }, env);
        Self { links, peers }
    }

    /// The peer at the other end of a link.
    #[inline]
    pub(super) fn peer_of(&self, id: LinkId) -> Option<&Arc<PeerEntry>> {
        self.peers.entry(self.links.get(id)?.peer?)
    }
}

/// Messages that concern both.
impl<T> Connections<T> {
    /// The peer that has sent a message.
    pub(super) fn sender(&self, id: LinkId) -> Option<Arc<PeerEntry>> {
        let sender = self.peer_of(id).cloned();
        debug_assert!(sender.is_some(), "messages are read on joined links only");
        sender
    }

    /// Who can be reached over what, as of now.
    pub(super) fn reach(&self) -> Reach<'_, T> {
        Reach::new(&self.links, &self.peers)
    }

    #[inline]
    pub(super) fn on_request(
        &mut self,
        id: LinkId,
        request: InboundCall,
        env: &mut Env<T>,
    ) -> Result<(), &'static str> {
        let Some(sender) = self.sender(id) else { return Ok(()) };
        self.links.on_request(id, request, sender, env)
    }

    #[inline]
    pub(super) fn on_tick(
        &mut self,
        id: LinkId,
        tick: InboundTick,
        env: &mut Env<T>,
    ) -> Result<(), &'static str> {
        let Some(sender) = self.sender(id) else { return Ok(()) };
        self.links.on_tick(id, tick, sender, env)
    }

    pub(super) fn on_options(
        &mut self,
        id: LinkId,
        version: u64,
        options: Options,
        env: &mut Env<T>,
    ) {
        if let Some(peer) = self.links.get(id).and_then(|link| link.peer) {
            self.peers.set_options(peer, version, options, env);
        }
    }

    /// A page of a peer's services: the version, whether it is the last, and the names.
    pub(super) fn on_services(
        &mut self,
        id: LinkId,
        page: (u64, bool),
        names: Vec<String>,
        env: &mut Env<T>,
    ) -> Result<(), &'static str> {
        if let Some((peer, services)) = self.links.on_services(id, page, names)? {
            self.peers.set_services(peer, page.0, services, env);
        }
        Ok(())
    }

    /// A peer says where it can be dialled now.
    pub(super) fn on_address(&mut self, id: LinkId, address: Option<&str>, env: &mut Env<T>) {
        // What is no address is counted where the member is learned.
        let Ok(address) = address.map(str::parse::<Address>).transpose() else { return };
        if let Some(peer) = self.links.get(id).and_then(|link| link.peer) {
            self.peers.set_address(peer, address, env);
        }
    }
}

/// Begin.
impl<T> Connections<T> {
    /// Takes greeting bytes from the front of `input`.
    pub(super) fn greet(&mut self, id: LinkId, input: &mut &[u8], env: &mut Env<T>) {
        let greeted = self.links.greet(id, input, env);
        let Some(remote) = self.links.known(id).map(|link| link.remote) else { return };
        let why = match greeted {
            Greeted::More | Greeted::Refused(_) | Greeted::Agreed => return,
            Greeted::Accepted(_) => return self.links.say_hello(id, env),
            // A foreign protocol is not worth a goodbye that it could not read.
            Greeted::Foreign(looks) => {
                env.counters.aliens += 1;
                let why = format!("{remote} does not speak threadmesh: it looks like {looks}");
                log::debug!(target: "threadmesh::proto", "closing a connection: {why}");
                why
            }
            Greeted::Incompatible(why) => {
                format!("{remote} is incompatible: {why}; run versions that share a protocol")
            }
        };
        self.fail(id, Error::new(ErrorKind::Incompatible, why), DialOutcome::Final, env);
    }

    /// Takes a message of the other side before it has joined.
    pub(super) fn on_introduction(&mut self, id: LinkId, control: Control, env: &mut Env<T>) {
        let Some(link) = self.links.known(id) else { return };
        let remote = link.remote;
        match link.handshake.on_control(link.direction, control) {
            Introduced::More => {}
            Introduced::Decide => self.decide(id, env),
            Introduced::Join => self.join(id, env),
            Introduced::Refused(kind, message) => {
                let outcome = match kind {
                    ErrorKind::DuplicateId | ErrorKind::Closed | ErrorKind::Busy => {
                        DialOutcome::Retry
                    }
                    _ => DialOutcome::Final,
                };
                let message = sanitize_peer_text(&message);
                let why = format!("{remote} refused this node: {message}");
                self.fail(id, Error::new(kind, why), outcome, env);
            }
            Introduced::Left => {
                let why = format!("{remote} said goodbye before the handshake was complete");
                let error = Error::new(ErrorKind::ConnectFailed, why);
                self.fail(id, error, DialOutcome::Retry, env);
            }
            Introduced::Violation(reason, why) => self.violated(id, reason, &why, env),
        }
    }

    /// Decides one of the contested and deferred links again, if there is a reason. False if none is
    /// left: what follows from one comes before the next.
    pub(super) fn recheck(&mut self, env: &mut Env<T>) -> bool {
        let Some(id) = self.links.next_recheck() else { return false };
        if self.links.get(id).is_some_and(|link| link.handshake.contested_until().is_some()) {
            self.judge(id, env);
        } else {
            self.decide(id, env);
        }
        true
    }

    /// Everything about the other side is known: may it join?
    fn decide(&mut self, id: LinkId, env: &mut Env<T>) {
        // One that was deferred may have been lost since.
        let Some(link) = self.links.get(id) else { return };
        let Some(hello) = link.handshake.hello() else { return };
        let (remote, own) = (link.remote, &env.local.id);
        match self.peers.claim(hello, link.direction, &env.local) {
            // Two links that both said ready would each be replaced by the other, at one end or the
            // other.
            Claim::Fresh if self.links.is_behind_another(id, hello.instance) => {
                self.links.defer(id);
            }
            Claim::Fresh => self.admit(id, env),
            Claim::Myself => {
                let why = format!("{remote} is this node itself; dial another one");
                let error = Error::new(ErrorKind::InvalidAddress, why).with_peer(own.clone());
                self.turn_away(id, error, DialOutcome::Final, env);
            }
            Claim::MyId => {
                let why = format!(
                    "{remote} has this node's own id {own}; give one of the two another id"
                );
                let error = Error::new(ErrorKind::DuplicateId, why);
                self.turn_away(id, error, DialOutcome::Final, env);
            }
            Claim::Again { older } => self.meet_again(id, older, env),
            // Its links must show life at once, or give way.
            Claim::Contested { older } => {
                self.links.contest(id, env.now + PROBE, env);
                for older in older {
                    self.links.probe(older, env);
                }
            }
        }
    }

    /// A second link of the same instance in the same direction.
    fn meet_again(&mut self, id: LinkId, older: LinkId, env: &mut Env<T>) {
        let Some(link) = self.links.known(id) else { return };
        match link.direction {
            Direction::Up => {
                let dial = link.dial.take();
                let peer = self.links.get(older).and_then(|link| link.peer);
                self.close(id, Farewell::Replaced, LeftReason::Replaced, env);
                if let Some(dial) = dial {
                    env.then(Effect::DialIsAlias { dial, peer });
                }
            }
            // What was accepted first and is ready last was given up by its dialler while its bytes
            // were under way.
            Direction::Down if id < older => {
                self.close(id, Farewell::Replaced, LeftReason::Replaced, env);
            }
            Direction::Down => replace(id, vec![older], env),
        }
    }

    /// The probing time is over, or an older link has shown life or left.
    fn judge(&mut self, id: LinkId, env: &mut Env<T>) {
        // It may have been lost, or decided, since.
        let Some(link) = self.links.get(id) else { return };
        let Some(hello) = link.handshake.hello() else { return };
        let Some(until) = link.handshake.contested_until() else { return };
        let Claim::Contested { older } = self.peers.claim(hello, link.direction, &env.local) else {
            return self.decide(id, env);
        };
        let begun = until.checked_sub(PROBE).unwrap_or(until);
        let mut links = older.iter().filter_map(|older| self.links.get(*older));
        if let Some(alive) = links.find(|older| older.liveness.is_alive_since(begun)) {
            let why = format!(
                "the id {} at {} belongs to a live node at {}; give one of the two another id",
                hello.id, link.remote, alive.remote
            );
            let error = Error::new(ErrorKind::DuplicateId, why).with_peer(hello.id.clone());
            self.turn_away(id, error, DialOutcome::Retry, env);
        } else if env.now >= until {
            replace(id, older, env);
        }
    }

    /// This side has no objection. (The place where an authorisation rule will be asked.)
    pub(super) fn admit(&mut self, id: LinkId, env: &mut Env<T>) {
        // An effect may come when its link has been lost.
        if self.links.get(id).is_none_or(|link| link.handshake.hello().is_none()) {
            return;
        }
        self.links.admit(id, env);
        if self.links.get(id).is_some_and(|link| link.direction == Direction::Down) {
            self.join(id, env);
        }
    }

    /// The handshake is complete on both sides.
    fn join(&mut self, id: LinkId, env: &mut Env<T>) {
        let link = self.links.get(id);
        let Some((link, hello)) = link.and_then(|link| Some((link, link.handshake.hello()?)))
        else {
            debug_assert!(false, "what joins has said hello");
            return;
        };
        match self.peers.claim(hello, link.direction, &env.local) {
            Claim::Fresh => self.joined(id, env),
            // Another link has joined under that id while this side was waiting.
            Claim::Again { .. } | Claim::Myself | Claim::MyId => self.decide(id, env),
            Claim::Contested { .. } => {
                let why = format!("another live node has joined as {} meanwhile", hello.id);
                let error = Error::new(ErrorKind::DuplicateId, why).with_peer(hello.id.clone());
                self.fail(id, error, DialOutcome::Retry, env);
            }
        }
    }

    fn joined(&mut self, id: LinkId, env: &mut Env<T>) {
        let Some(Joined { hello, services, link, dial }) = self.links.complete(id, env) else {
            debug_assert!(false, "what joins has said hello");
            return;
        };
        let is_address = |text: &String| text.parse::<Address>().is_ok();
        env.counters.addresses += u64::from(!hello.advertise.as_ref().is_none_or(is_address));
        let peer = self.peers.link(hello, services, link, env);
        self.links.name_peer(id, peer, env);
        let local = self.links.get(id).and_then(|link| link.local);
        env.then(Effect::LinkJoined(LinkJoined { link: id, local, dial, peer }));
    }

    /// This side objects: the other gets the reason, and so does the dial.
    fn turn_away(&mut self, id: LinkId, error: Error, outcome: DialOutcome, env: &mut Env<T>) {
        let last = Control::Refuse { kind: error.kind(), message: error.message().to_owned() };
        self.fail_dial(id, error, outcome, env);
        self.links.close_with(id, &last, env);
    }

    /// A handshake has failed: drops the link.
    fn fail(&mut self, id: LinkId, error: Error, outcome: DialOutcome, env: &mut Env<T>) {
        self.fail_dial(id, error, outcome, env);
        self.links.drop_link(id, true, env);
    }

    fn fail_dial(&mut self, id: LinkId, error: Error, outcome: DialOutcome, env: &mut Env<T>) {
        if let Some(dial) = self.links.get_mut(id).and_then(|link| link.dial.take()) {
            env.then(Effect::DialFailed { dial, error, outcome });
        }
    }
}

/// Time.
impl<T> Connections<T> {
    /// The timer of a link has expired.
    pub(super) fn on_due(&mut self, id: LinkId, env: &mut Env<T>) {
        let Some(link) = self.links.get_mut(id) else {
            debug_assert!(false, "a link that is gone has no timer");
            return;
        };
        link.timer = None;
        if link.is_closing() {
            self.links.drop_link(id, true, env);
        } else if link.handshake.contested_until().is_some() {
            self.judge(id, env);
        } else if link.is_joining() && !has(Planted::HandshakeWithoutEnd) {
            let timeout = env.local.config.handshake_timeout;
            let why = format!("{} did not complete the handshake within {timeout:?}", link.remote);
            let error = Error::new(ErrorKind::HandshakeTimeout, why);
            self.fail(id, error, DialOutcome::Retry, env);
        } else if link.handshake.is_joined() {
            self.check_liveness(id, env);
        }
    }

    fn check_liveness(&mut self, id: LinkId, env: &mut Env<T>) {
        let Some(link) = self.links.known(id) else { return };
        // Its timer is armed again when it is settled.
        env.touch(id);
        match link.liveness.verdict(&env.local.config, env.now) {
            Verdict::Alive => {}
            Verdict::Silent => self.close(id, Farewell::Silent, LeftReason::Silent, env),
            Verdict::Stalled => {
                self.leave(id, LeftReason::SlowPeer, env);
                self.links.drop_link(id, true, env);
            }
            Verdict::Quiet => match link.dial.filter(|_| self.is_doubled(id, env)) {
                Some(dial) => env.then(Effect::LinkIsQuiet { link: id, dial }),
                None => self.links.keep_alive(id, env),
            },
        }
    }

    /// Whether a link is not used, and the second one with its peer, which keeps the other.
    fn is_doubled(&self, id: LinkId, env: &Env<T>) -> bool {
        let is_idle = self.links.get(id).is_some_and(super::link::Link::is_idle);
        let peer = self.peer_of(id).filter(|_| is_idle);
        let both = peer.filter(|peer| peer.up.is_some() && peer.down.is_some());
        both.is_some_and(|peer| peer.id < env.local.id)
    }
}

/// End.
impl<T> Connections<T> {
    /// The socket is gone, or the other side will send no more, or a dial failed.
    pub(super) fn on_lost(&mut self, id: LinkId, cause: Cause, env: &mut Env<T>) {
        // The shell may report a link that it was just told to hang up.
        let Some(link) = self.links.get_mut(id) else { return };
        if link.is_ready() && has(Planted::DeathUnnoticed) {
            return;
        }
        let (ended, what) = match cause {
            Cause::Eof => (true, "the other side closed the connection".to_owned()),
            Cause::Broken(why) => (false, format!("the connection broke: {why}")),
            Cause::Refused(why) => (false, why),
        };
        let remote = link.remote;
        if link.handshake.is_joined() {
            if ended {
                link.queue.stage(env.now);
                link.count_staged();
            }
            self.leave(id, LeftReason::ConnectionLost, env);
        } else if !link.is_closing() {
            let before = if link.is_joining() { " before the handshake was complete" } else { "" };
            let error = Error::new(ErrorKind::ConnectFailed, format!("{remote}: {what}{before}"));
            self.fail_dial(id, error, DialOutcome::Retry, env);
        }
        // What is staged for a side that only sends no more is still written.
        if ended && !self.links.get(id).is_some_and(|link| link.handshake.is_connecting()) {
            self.links.finish_writing(id, env);
        } else {
            self.links.drop_link(id, ended, env);
        }
    }

    /// A joined link is no longer routable: from here on nothing is sent to it, and what was under
    /// way on it is to be decided. The link itself stays, to be closed or dropped.
    fn leave(&mut self, id: LinkId, reason: LeftReason, env: &mut Env<T>) {
        // No peer may have joined over it.
        let Some(left) = self.links.leave(id, env) else { return };
        let Left { direction, unwritten, unconfirmed, .. } = left;
        let Some(peer) = self.peers.unlink(left.peer, id, direction, &reason, env) else {
            debug_assert!(false, "the peer of a joined link has a record");
            return;
        };
        if unwritten + unconfirmed > 0 && !has(Planted::LossUntold) {
            let id = peer.clone();
            env.event(NodeEvent::Undelivered { id, unwritten, unconfirmed });
        }
        if reason == LeftReason::SlowPeer {
            env.counters.slow_peers += 1;
            env.event(NodeEvent::SlowPeer { id: peer.clone() });
        }
        env.then(Effect::LinkLeft { left: Box::new(left), peer, reason });
    }

    /// Says goodbye and closes: `reason` is what this node's own program gets, `farewell` what the
    /// peer reads.
    pub(super) fn close(
        &mut self,
        id: LinkId,
        farewell: Farewell,
        reason: LeftReason,
        env: &mut Env<T>,
    ) {
        // It may be gone, or have said goodbye already.
        let Some(link) = self.links.get_mut(id).filter(|link| !link.is_closing()) else { return };
        if id == LinkId::OWN {
            return self.close_self(env);
        }
        if !link.is_ready() && !link.is_joining() {
            return self.links.drop_link(id, true, env);
        }
        if link.handshake.is_greeting() && link.direction == Direction::Down {
            // Nothing was agreed on yet: a message would be taken for the greeting of something
            // else.
            return self.links.linger(id, env);
        }
        let (ticks, cost) = link.ticks.finished();
        // True whatever the reason is: what is read from here on is dropped, also that of a peer
        // that broke the protocol.
        link.queue.stage(env.now);
        link.count_staged();
        let taken_up = self.links.taken_up(id);
        self.leave(id, reason, env);
        let last = Control::Goodbye { reason: farewell, ticks, cost, taken_up };
        self.links.close_with(id, &last, env);
    }

    /// The other side has said goodbye: closes the link without another word.
    pub(super) fn on_goodbye(&mut self, id: LinkId, farewell: &Farewell, env: &mut Env<T>) {
        let reason = match farewell {
            Farewell::Stop | Farewell::Disconnect | Farewell::Other { .. } => LeftReason::PeerLeft,
            Farewell::Replaced => LeftReason::Replaced,
            Farewell::Silent => LeftReason::Silent,
            Farewell::Full => LeftReason::Overloaded,
            Farewell::Protocol(why) => {
                LeftReason::Protocol(format!("the peer says: {}", sanitize_peer_text(why)))
            }
        };
        if let Some(link) = self.links.get_mut(id) {
            link.queue.stage(env.now);
        }
        self.leave(id, reason, env);
        if let Some(link) = self.links.get_mut(id) {
            link.queue.drop_unframed();
        }
        self.links.linger(id, env);
    }

    /// The other side broke a rule of the protocol, under which it is counted; `why` may say more.
    pub(super) fn violated(&mut self, id: LinkId, rule: &'static str, why: &str, env: &mut Env<T>) {
        let Some(link) = self.links.known(id) else { return };
        let (remote, joining) = (link.remote, link.is_joining());
        *env.violations.entry(rule).or_default() += 1;
        log::debug!(target: "threadmesh::proto", "{remote} broke the protocol: {why}");
        if joining {
            let text = format!("{remote}: the other side broke the protocol: {why}");
            let error = Error::new(ErrorKind::Incompatible, text);
            self.fail_dial(id, error, DialOutcome::Final, env);
        }
        let farewell = Farewell::Protocol(why.to_owned());
        self.close(id, farewell, LeftReason::Protocol(why.to_owned()), env);
    }

    /// Drops a link without another word.
    pub(super) fn drop_now(&mut self, id: LinkId, reason: LeftReason, env: &mut Env<T>) {
        self.leave(id, reason, env);
        self.links.drop_link(id, true, env);
    }

    /// The node has stopped, its messages to itself among the rest.
    fn close_self(&mut self, env: &mut Env<T>) {
        self.links.confirm_to_self();
        let Some(left) = self.links.leave(LinkId::OWN, env) else {
            debug_assert!(false, "the self link is joined as long as it is there");
            return;
        };
        self.peers.remove_self();
        self.links.drop_link(LinkId::OWN, false, env);
        let (peer, reason) = (env.local.id.clone(), LeftReason::Stopped);
        if left.unconfirmed > 0 {
            let (id, unconfirmed) = (peer.clone(), left.unconfirmed);
            env.event(NodeEvent::Undelivered { id, unwritten: 0, unconfirmed });
        }
        env.then(Effect::LinkLeft { left: Box::new(left), peer, reason });
    }
}

/// Older links give way to a new one: what was under way on them is decided before that joins.
fn replace<T>(id: LinkId, older: Vec<LinkId>, env: &mut Env<T>) {
    for link in older {
        let (farewell, reason) = (Farewell::Replaced, LeftReason::Replaced);
        env.then(Effect::CloseLink { link, farewell, reason });
    }
    env.then(Effect::Admit { link: id });
}
