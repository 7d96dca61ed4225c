//! One address that this node dials, and its transitions. It must not know other dials.
//!
//! ```text
//!          +--> resolving --+      a name is resolved anew for every attempt
//!          |                v
//!        idle -----------> trying --> joined     by a link of its own
//!          ^                |  |        |
//!          |  every address |  |        +---> alias     its link was replaced by one that the peer
//!          |  has failed    |  |              |         has dialled
//!          |                v  +-> alias      |
//!          +---- backoff <--+      the peer is joined over the link of another dial
//!                   ^                         |
//!                   +-------------------------+  the link is lost, and the policy dials again
//! ```
//!
//! From every state a dial is removed: when the program disconnects it, when its reason is over, or
//! when it is given up.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::waiters::{Waiter, Waiters};
use crate::address::Address;
use crate::config::{Config, DIAL_FIRST, DIAL_LONGEST, MEMBER_GIVE_UP};
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{LinkId, NodeId, PeerKey};
use crate::node_event::{LeftReason, NodeEvent};
use crate::proto::effect::Effect;
use crate::proto::env::{Env, Timer};
use crate::proto::planted::{Planted, has};
use crate::proto::timers::TimerId;
use crate::proto::{Output, QueryId};
use crate::wire::Farewell;

/// Names a dial; each new interest in an address has a fresh one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct DialId(pub(super) u64);

/// An address that this node dials, or that has a link.
#[derive(Debug)]
pub(super) struct Dial<T> {
    id: DialId,
    address: Address,
    state: DialState,
    reason: DialReason,
    waiters: Waiters<T>,
    /// The last backoff before jitter; zero before the first.
    backoff: Duration,
    /// Since when a link that was joined is being dialled again.
    lost_at: Option<Instant>,
    /// Since when a member is being dialled.
    member_since: Option<Instant>,
    /// The program wants this link, for whatever reason; else it was dialled just to query a seed.
    wanted: bool,
    /// The program has connected to this very address, and not only to the members behind it.
    connected: bool,
    /// The node there has named the members, and is queried again whenever it is reached.
    seed: bool,
    /// The node that was found there last, or is expected there.
    leads_to: Option<NodeId>,
    last_error: Option<Error>,
}

/// Why this node dials an address, which decides how long it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DialReason {
    /// Callers wait: as long as there is one.
    Waiters,
    /// The program keeps the link: until it is disconnected or given up.
    Persistent,
    /// A member is there: until it is disconnected, says goodbye or could not be reached for a
    /// while.
    Member,
    /// It was dialled for what was sent at that moment: until its link is lost.
    Passing,
}

#[derive(Debug)]
enum DialState {
    /// Its next attempt has not begun: it waits for its turn, or was just created.
    Idle,
    Resolving(QueryId),
    /// `rest` are the addresses of the name that were not tried yet.
    Trying {
        link: LinkId,
        rest: VecDeque<SocketAddr>,
    },
    Backoff(TimerId),
    Joined {
        link: LinkId,
        peer: PeerKey,
    },
    /// The link of another dial serves this address, too; or the peer is a seed and has dialled
    /// this node, and its link of either direction will do.
    Alias {
        peer: PeerKey,
    },
}

/// Whether it makes sense to dial again after a failed attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DialOutcome {
    Retry,
    Final,
}

/// What the joined link of a dial leads to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Standing {
    Link(LinkId),
    Alias(PeerKey),
}

/// Creation and attempts.
impl<T> Dial<T> {
    pub(super) fn new(
        id: DialId,
        address: Address,
        reason: DialReason,
        waiters: Vec<Waiter<T>>,
    ) -> Self {
        Self {
            id,
            address,
            state: DialState::Idle,
            reason,
            waiters: Waiters::new(waiters),
            backoff: Duration::ZERO,
            lost_at: None,
            member_since: None,
            wanted: false,
            connected: false,
            seed: false,
            leads_to: None,
            last_error: None,
        }
    }

    /// Returns a dial for a member, which is given up after a while.
    pub(super) fn for_member(id: DialId, address: Address, member: NodeId, now: Instant) -> Self {
        let mut dial = Self::new(id, address, DialReason::Member, Vec::new());
        (dial.member_since, dial.leads_to) = (Some(now), Some(member));
        dial
    }

    /// Begins an attempt: dials, or first resolves the name anew.
    pub(super) fn attempt(&mut self, env: &mut Env<T>) {
        if let Some(addr) = self.address.numeric() {
            return self.try_address(env, addr, VecDeque::new());
        }
        let query = env.draw_query();
        self.state = DialState::Resolving(query);
        env.out.push(Output::Resolve { query, address: self.address.clone() });
    }

    /// Opens a link to one of the addresses.
    pub(super) fn try_address(
        &mut self,
        env: &mut Env<T>,
        addr: SocketAddr,
        rest: VecDeque<SocketAddr>,
    ) {
        let link = env.draw_link();
        self.state = DialState::Trying { link, rest };
        env.then(Effect::OpenLink { link, addr, dial: self.id });
    }

    /// Waits for its turn, or for the next decision.
    pub(super) fn idle(&mut self) {
        self.state = DialState::Idle;
    }

    /// Ends an attempt that has failed. Returns the addresses that were not tried yet.
    pub(super) fn end_attempt(&mut self) -> VecDeque<SocketAddr> {
        match std::mem::replace(&mut self.state, DialState::Idle) {
            DialState::Trying { rest, .. } => rest,
            _ => VecDeque::new(),
        }
    }

    pub(super) fn note_error(&mut self, error: Error) {
        self.last_error = Some(error);
    }

    /// Waits before the next attempt: exponential backoff, with jitter where many nodes may have
    /// lost the same peer at the same time.
    pub(super) fn back_off(&mut self, env: &mut Env<T>, error: Error) {
        self.last_error = Some(error);
        let config = &env.local.config;
        let (min, max) = match self.reason {
            DialReason::Waiters | DialReason::Passing => (DIAL_FIRST, DIAL_LONGEST),
            DialReason::Persistent | DialReason::Member => {
                (config.reconnect_first, config.reconnect_longest)
            }
        };
        let before = if has(Planted::HerdInHaste) { Duration::ZERO } else { self.backoff };
        self.backoff = (before * 2).clamp(min, max);
        let backoff = match self.reason {
            DialReason::Waiters | DialReason::Passing => self.backoff,
            DialReason::Persistent if has(Planted::HerdInStep) => self.backoff,
            // Half to whole, so that a reconnect storm does not come in step.
            DialReason::Persistent | DialReason::Member => {
                self.backoff.mul_f64(0.5 + env.rng.f64() / 2.0)
            }
        };
        self.state = DialState::Backoff(env.timers.arm(env.now + backoff, Timer::Dial(self.id)));
    }

    /// Prepares the next attempt to be made now instead of at its turn, or after the backoff if the
    /// link is wanted `for_good` and would be dialled in the background. Returns whether it is.
    ///
    /// What is just sent waits for the backoff, so that many sends to a dead node are not as many
    /// dials.
    pub(super) fn cut_short(&mut self, env: &mut Env<T>, for_good: bool) -> bool {
        let in_background = matches!(self.reason, DialReason::Persistent | DialReason::Member);
        match self.state {
            DialState::Idle => true,
            DialState::Backoff(timer) if for_good && in_background => {
                env.timers.disarm(timer);
                self.state = DialState::Idle;
                true
            }
            DialState::Backoff(_)
            | DialState::Resolving(_)
            | DialState::Trying { .. }
            | DialState::Joined { .. }
            | DialState::Alias { .. } => false,
        }
    }
}

/// Waiters.
impl<T> Dial<T> {
    pub(super) fn add_waiter(&mut self, env: &mut Env<T>, waiter: Waiter<T>) {
        self.waiters.add(waiter);
        self.arm_waiters(env);
    }

    /// Arms the timer for the first deadline of a waiter, or for the time to give up.
    pub(super) fn arm_waiters(&mut self, env: &mut Env<T>) {
        let give_up = self.give_up_at(&env.local.config);
        self.waiters.arm(env, self.id, give_up);
    }

    fn give_up_at(&self, config: &Config) -> Option<Instant> {
        match self.reason {
            DialReason::Member => self.member_since?.checked_add(MEMBER_GIVE_UP),
            DialReason::Waiters | DialReason::Persistent | DialReason::Passing => {
                self.lost_at?.checked_add(config.reconnect_give_up?)
            }
        }
    }

    /// Whether it was dialled for long enough.
    pub(super) fn is_given_up(&self, env: &Env<T>) -> bool {
        self.give_up_at(&env.local.config).is_some_and(|at| at <= env.now)
    }

    /// Fails the waiters whose deadline has passed. Returns the error they got. `joining`: the
    /// handshake of its link is under way.
    pub(super) fn expire_waiters(&mut self, env: &mut Env<T>, joining: bool) -> Error {
        let error = self.timed_out(joining);
        self.waiters.expire(env, &error);
        error
    }

    pub(super) fn fail_waiters(
        &mut self,
        env: &mut Env<T>,
        error: &Error,
        which: impl Fn(&Waiter<T>) -> bool,
    ) {
        self.waiters.fail(env, error, which);
    }

    /// Takes all waiters, for the link that they wait for is joined.
    pub(super) fn take_waiters(&mut self, env: &mut Env<T>) -> Vec<Waiter<T>> {
        let waiters = self.waiters.take();
        self.arm_waiters(env);
        waiters
    }

    fn timed_out(&self, joining: bool) -> Error {
        let address = &self.address;
        if joining {
            let why = format!(
                "{address} did not complete the handshake in time; is it a threadmesh node?"
            );
            return Error::new(ErrorKind::HandshakeTimeout, why);
        }
        let cause = match (&self.state, &self.last_error) {
            (_, Some(error)) if error.kind() == ErrorKind::HandshakeTimeout => {
                return error.clone();
            }
            (_, Some(error)) => error.message().to_owned(),
            (DialState::Resolving(_), None) => "its name was not resolved in time".to_owned(),
            (_, None) => "nothing answered".to_owned(),
        };
        let why = format!(
            "no connection to {address} before the deadline: {cause}; is the node there running?"
        );
        Error::new(ErrorKind::ConnectTimeout, why)
    }
}

/// Its link.
impl<T> Dial<T> {
    /// The link it tries has joined: returns that link.
    pub(super) fn trying(&self) -> Option<LinkId> {
        match self.state {
            DialState::Trying { link, .. } => Some(link),
            DialState::Idle
            | DialState::Resolving(_)
            | DialState::Backoff(_)
            | DialState::Joined { .. }
            | DialState::Alias { .. } => None,
        }
    }

    /// It has a link now, of its own or another's. What the program waited for outlives what made
    /// this node dial there. Returns the node that was expected, and whether the link was lost
    /// before.
    pub(super) fn stand(
        &mut self,
        standing: Standing,
        peer: PeerKey,
        name: Option<NodeId>,
    ) -> (Option<NodeId>, bool) {
        self.state = match standing {
            Standing::Link(link) => DialState::Joined { link, peer },
            Standing::Alias(peer) => DialState::Alias { peer },
        };
        (self.backoff, self.member_since) = (Duration::ZERO, None);
        let for_link = self.waiters.want_link();
        match self.reason {
            _ if self.waiters.want_more() => self.promote(for_link),
            DialReason::Waiters => self.reason = DialReason::Passing,
            DialReason::Persistent => self.promote(for_link),
            DialReason::Member | DialReason::Passing => {}
        }
        (std::mem::replace(&mut self.leads_to, name), self.lost_at.take().is_some())
    }

    /// From now on it is the program's: it waits for the link, or for what is queried over it.
    pub(super) fn promote(&mut self, for_link: bool) {
        // A member's link does not go with a query that failed.
        self.wanted |= for_link || self.reason == DialReason::Member;
        self.connected |= for_link;
        self.reason = DialReason::Persistent;
    }

    /// A link that was joined is lost, and is dialled again.
    pub(super) fn lose(&mut self, env: &mut Env<T>) {
        self.lost_at = Some(env.now);
        self.member_since = Some(env.now).filter(|_| self.reason == DialReason::Member);
        self.arm_waiters(env);
    }

    /// Returns the peer that it is joined with.
    pub(super) fn peer(&self) -> Option<PeerKey> {
        match self.state {
            DialState::Joined { peer, .. } | DialState::Alias { peer } => Some(peer),
            DialState::Idle
            | DialState::Resolving(_)
            | DialState::Trying { .. }
            | DialState::Backoff(_) => None,
        }
    }

    /// Returns the peer that it is joined with over a link of its own.
    pub(super) fn joined_peer(&self) -> Option<PeerKey> {
        self.peer().filter(|_| matches!(self.state, DialState::Joined { .. }))
    }

    /// Returns the peer whose link it shares.
    pub(super) fn alias_of(&self) -> Option<PeerKey> {
        self.peer().filter(|_| matches!(self.state, DialState::Alias { .. }))
    }

    /// Returns what it is joined by.
    pub(super) fn standing(&self) -> Option<Standing> {
        match self.state {
            DialState::Joined { link, .. } => Some(Standing::Link(link)),
            DialState::Alias { peer } => Some(Standing::Alias(peer)),
            DialState::Idle
            | DialState::Resolving(_)
            | DialState::Trying { .. }
            | DialState::Backoff(_) => None,
        }
    }

    /// Its link was replaced by one that the seed has dialled, which does as well.
    pub(super) fn share(&mut self, peer: PeerKey) {
        self.state = DialState::Alias { peer };
    }
}

/// Members and seeds.
impl<T> Dial<T> {
    /// The program wants this link for ever. Returns the member that it was dialled for until now.
    pub(super) fn keep(&mut self, env: &mut Env<T>) -> Option<NodeId> {
        (self.wanted, self.member_since) = (true, None);
        if std::mem::replace(&mut self.reason, DialReason::Persistent) != DialReason::Member {
            return None;
        }
        self.arm_waiters(env);
        self.leads_to.clone()
    }

    /// The program has connected to this very address.
    pub(super) fn note_connected(&mut self) {
        self.connected = true;
    }

    /// The node there is queried for the members whenever it is reached.
    pub(super) fn note_seed(&mut self) {
        self.seed = true;
    }

    /// The node there has named the members.
    pub(super) fn keep_seed(&mut self) -> Address {
        (self.seed, self.wanted) = (true, true);
        self.address.clone()
    }

    /// The member is given up, and the program still waits for the node at its address. Returns the
    /// member.
    pub(super) fn outlast_member(&mut self, env: &mut Env<T>) -> Option<NodeId> {
        (self.reason, self.member_since) = (DialReason::Waiters, None);
        self.arm_waiters(env);
        self.leads_to.clone()
    }

    /// Returns the member that was expected there until now, if it was another one.
    pub(super) fn expect(&mut self, member: &NodeId) -> Option<NodeId> {
        self.leads_to.replace(member.clone()).filter(|before| before != member)
    }

    /// Expects that member unless another node is expected.
    pub(super) fn expect_unless_known(&mut self, member: &NodeId) {
        self.leads_to.get_or_insert_with(|| member.clone());
    }

    pub(super) fn expect_none(&mut self) {
        self.leads_to = None;
    }
}

/// What it is.
impl<T> Dial<T> {
    pub(super) fn id(&self) -> DialId {
        self.id
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn reason(&self) -> DialReason {
        self.reason
    }

    pub(super) fn leads_to(&self) -> Option<&NodeId> {
        self.leads_to.as_ref()
    }

    pub(super) fn is_resolving(&self, query: QueryId) -> bool {
        matches!(self.state, DialState::Resolving(ours) if ours == query)
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, DialState::Idle)
    }

    /// Whether nothing of an attempt has left this node.
    pub(super) fn is_at_rest(&self) -> bool {
        match self.state {
            DialState::Idle | DialState::Resolving(_) | DialState::Backoff(_) => true,
            DialState::Trying { .. } | DialState::Joined { .. } | DialState::Alias { .. } => false,
        }
    }

    pub(super) fn is_seed(&self) -> bool {
        self.seed
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted || !self.waiters.is_empty()
    }

    pub(super) fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Whether it is dialled for a member alone, and no caller waits.
    pub(super) fn is_in_background(&self) -> bool {
        self.reason == DialReason::Member && self.waiters.is_empty()
    }

    /// Whether it was dialled for waiters, and none is left.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reason == DialReason::Waiters && self.waiters.is_empty()
    }

    /// Whether it is there for a seed alone, which may as well be queried over a link of its own.
    pub(super) fn is_for_seed_only(&self) -> bool {
        self.seed && !self.connected && self.reason == DialReason::Persistent
    }

    /// Whether it is under way for that member.
    pub(super) fn is_for_member(&self, id: &NodeId) -> bool {
        let under_way = self.reason == DialReason::Member && self.peer().is_none();
        under_way && self.leads_to.as_ref() == Some(id)
    }

    /// Timers that it owns.
    #[cfg(any(test, fuzzing))]
    pub(super) fn timers(&self) -> usize {
        let backoff = matches!(self.state, DialState::Backoff(_));
        usize::from(backoff) + self.waiters.timers()
    }
}

/// The end.
impl<T> Dial<T> {
    /// Reports that a link that was joined, or wanted for ever, is not dialled any more. Of a
    /// member that was never reached the program knows nothing.
    pub(super) fn report_failure(&self, env: &mut Env<T>, error: Error) {
        let was_joined = self.reason == DialReason::Member && self.lost_at.is_some();
        if self.reason == DialReason::Persistent || was_joined {
            let address = self.address.to_string();
            env.event(NodeEvent::ReconnectFailed { address, error });
        }
    }

    /// Lets go of timers, of the attempt under way, so that nothing joins later, and of callers
    /// that still wait. Returns the node that it leads to.
    pub(super) fn end(self, env: &mut Env<T>) -> Option<NodeId> {
        match self.state {
            DialState::Backoff(timer) => {
                env.timers.disarm(timer);
            }
            DialState::Trying { link, .. } => {
                let (farewell, reason) = (Farewell::Disconnect, LeftReason::Disconnected);
                env.then(Effect::CloseLink { link, farewell, reason });
            }
            DialState::Idle
            | DialState::Resolving(_)
            | DialState::Joined { .. }
            | DialState::Alias { .. } => {}
        }
        let why = format!("{} was disconnected while it was being dialled", self.address);
        let error = Error::new(ErrorKind::Cancelled, why).with_execution(Execution::Never);
        self.waiters.end(env, &error);
        self.leads_to
    }
}
