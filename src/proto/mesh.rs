//! The engine's entry point and its dispatcher: one value, its inputs, its outputs. It holds the
//! parts, hands each input to the one it is for, and carries out what that returns. No part knows
//! another; what they want of each other is an [`Effect`], or a value that is handed on here.
//!
//! It must not hold state of its own, nor decide what a part can decide.

mod check;
mod ending;
mod incoming;
mod sending;

use std::sync::Arc;
use std::time::Instant;

#[cfg(any(test, fuzzing))]
pub(crate) use check::Posted;

use super::connections::Connections;
use super::effect::Effect;
use super::env::{Env, Timer};
use super::link::announce::Change;
use super::links::{ReplyTrail, Settling};
use super::messages::{Received, to_self};
use super::planted::{Planted, has};
use super::stop::Stop;
use super::topology::Topology;
use super::traffic::{RouterQuery, Traffic};
use super::{Command, Done, Input, Local, Output};
use crate::error::ErrorKind;
use crate::id::{LinkId, PeerKey};
use crate::routing::{Directory, PeerEntry, Services};

/// One node's half of all its links.
#[derive(Debug)]
pub(crate) struct Mesh<T> {
    env: Env<T>,
    connections: Connections<T>,
    traffic: Traffic<T>,
    topology: Topology<T>,
    stop: Stop<T>,
}

/// The entry point.
impl<T> Mesh<T> {
    pub(crate) fn new(local: Local, rng: fastrand::Rng, now: Instant) -> Self {
        let mut env = Env::new(local, rng, now);
        let connections = Connections::new(&env);
        let traffic = Traffic::new(&mut env);
        Self { env, connections, traffic, topology: Topology::default(), stop: Stop::Running }
    }

    /// A fresh id for a link that the shell accepts.
    pub(crate) fn draw_link(&mut self) -> LinkId {
        self.env.draw_link()
    }

    /// Where the next received bytes of this link go; never empty. Valid until the next call of any
    /// method.
    pub(crate) fn space(&mut self, link: LinkId) -> &mut [u8] {
        self.connections.links.space(link)
    }

    /// Takes one input and appends what is to be done.
    pub(crate) fn handle(&mut self, now: Instant, input: Input<T>, out: &mut Vec<Output<T>>) {
        std::mem::swap(&mut self.env.out, out);
        let env = &mut self.env;
        self.connections.links.pass_time(now, env);
        if self.stop.is_stopped() && !matches!(input, Input::Command(_)) {
            // The shell may have read something before it got the last output.
            std::mem::swap(&mut env.out, out);
            return;
        }
        match input {
            Input::Accepted { link, local, remote } => {
                self.connections.links.accepted(link, local, remote, env);
            }
            Input::Connected { link, local, remote } => {
                if self.connections.links.connected(link, local, remote, env) {
                    self.topology.warn_of_plaintext(env, remote);
                }
            }
            Input::Received { link, len } => self.on_received(link, len),
            Input::Sent { link, len } => self.connections.links.sent(link, len, env),
            Input::Lost { link, cause } => self.connections.on_lost(link, cause, env),
            Input::Command(command) => self.on_command(command),
            Input::Answer { reply_to, answer } => {
                self.connections.links.answer(reply_to, answer, ReplyTrail::default(), env);
            }
            Input::Consumed { link, ticks, cost } => {
                self.connections.links.on_consumed(link, ticks, cost, env);
            }
            Input::Resolved { query, result } => {
                self.topology.resolved(env, &self.connections.peers, query, result);
            }
            Input::Chosen { call, chosen } => {
                let reach = self.connections.reach();
                let found = self.traffic.on_search_done(call, chosen, &reach, env);
                self.on_found(found);
            }
            Input::Listening(result) => self.topology.listening(env, result),
            Input::Due => self.on_due(),
        }
        self.settle();
        std::mem::swap(&mut self.env.out, out);
        debug_assert!(self.env.is_settled(), "something is left to be done");
        debug_assert_eq!(check::broken_invariant(self), None);
    }

    /// When to come back with [`Input::Due`] at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.env.timers.next()
    }

    /// Bytes to write to this link, in order; report what the kernel took with [`Input::Sent`], then
    /// ask again. Empty slices never occur. A link that is unknown has nothing to write.
    pub(crate) fn outgoing(&self, link: LinkId) -> impl Iterator<Item = &[u8]> {
        self.connections.links.get(link).into_iter().flat_map(|link| link.queue.outgoing())
    }

    /// The peers as of now; cheap to clone.
    pub(crate) fn directory(&self) -> &Directory {
        self.connections.peers.directory()
    }

    /// The node as its own calls see it, but for what may have changed since.
    pub(crate) fn own(&self) -> Option<&Arc<PeerEntry>> {
        self.connections.peers.entry(PeerKey::OWN)
    }
}

/// Dispatch.
impl<T> Mesh<T> {
    fn on_due(&mut self) {
        while let Some(timer) = self.env.timers.expired(self.env.now) {
            let (env, peers) = (&mut self.env, &self.connections.peers);
            match timer {
                Timer::Link(link) => self.connections.on_due(link, env),
                Timer::Call(_) if has(Planted::DeadlineForgotten) => {}
                Timer::Call(call) => self.give_up(call, ErrorKind::RequestTimeout),
                Timer::WaitingTick(link, ticket) => self.on_waiting_tick_due(link, ticket),
                Timer::Flush(number) => {
                    let reach = self.connections.reach();
                    self.traffic.on_flush_due(number, &reach, env);
                }
                Timer::Dial(dial) => self.topology.dial_due(env, dial),
                Timer::Waiters(dial) => {
                    let link = self
                        .topology
                        .trying(dial)
                        .and_then(|link| self.connections.links.get(link));
                    let joining = link.is_some_and(super::link::Link::is_joining);
                    self.topology.waiters_due(env, peers, dial, joining);
                }
                Timer::Member(number) => self.topology.member_due(env, peers, number),
                Timer::Query(call) => self.topology.query_due(env, peers, call),
                Timer::Stop => self.on_stop_due(),
                Timer::Stats => self.traffic.on_stats_due(env),
            }
            self.run_effects();
        }
    }

    // Inlined, so that a command is not copied once more on its way.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn on_command(&mut self, command: Command<T>) {
        if self.env.stopping {
            return self.refuse(command);
        }
        let (env, peers) = (&mut self.env, &self.connections.peers);
        match command {
            Command::Request(request) => {
                let call = self.traffic.request(request, env);
                self.place(call);
            }
            Command::Tick(tick) if tick.plan.first.onward.is_some() => {
                let call = self.traffic.forward_own_tick(tick, env);
                self.place(call);
            }
            Command::Tick(tick) => self.place_tick(tick.into()),
            Command::Cancel { call } => self.give_up(call, ErrorKind::Cancelled),
            Command::Bind { address, token } => self.topology.bind(env, address, token),
            Command::Unbind { token } => self.unbind(token),
            Command::Dropped { token } => {
                let dropped = env.all_dropped();
                env.complete(token, Ok(Done::Dropped(dropped)));
            }
            Command::Connect { address, mode, deadline, token } => {
                self.topology.connect(env, peers, address, (mode, deadline), token);
            }
            Command::ConnectAlways { address, token } => {
                self.topology.connect_always(env, peers, address, token);
            }
            Command::Join { address, answered_by, deadline, token } => {
                self.topology.join(env, peers, address, (answered_by, deadline), token);
            }
            Command::JoinAlways { address, token } => {
                self.topology.join_always(env, peers, address, token);
            }
            Command::Disconnect { whom, token } => {
                self.topology.disconnect(env, peers, whom, token);
            }
            Command::AskRouter { call, router, question, deadline, token } => {
                self.query_router(RouterQuery { call, router, question, deadline, token });
            }
            Command::RoutingStats { reset, token } => {
                let stats = self.traffic.stats(reset, env.now);
                env.complete(token, Ok(Done::Routing(Box::new(stats))));
            }
            Command::Flush { peer, deadline, token } => {
                let reach = self.connections.reach();
                self.traffic.flush(peer, deadline, token, &reach, env);
            }
            Command::Index { key } => self.connections.peers.index(&key, env),
            Command::SetOptions { options } => {
                self.connections.peers.change_self(|own| own.options = options.clone());
                (env.local.options, env.options_version) = (options, env.options_version + 1);
                self.announce(Change::Options);
            }
            Command::SetServices { services } => {
                self.connections
                    .peers
                    .change_self(|own| own.services = Services::new(services.clone()));
                (env.local.services, env.services_version) = (services, env.services_version + 1);
                self.announce(Change::Services);
            }
            Command::Stop { bound, token } => self.begin_stop(bound, token),
        }
    }

    /// Carries out what parts want of each other, which is nothing most of the time.
    #[inline]
    fn run_effects(&mut self) {
        if self.env.has_effects() {
            self.run_all_effects();
        }
    }

    // Not inlined: its frame is large, and would be that of every input.
    #[inline(never)]
    fn run_all_effects(&mut self) {
        while let Some(effect) = self.env.next_effect() {
            self.run(effect);
        }
    }

    fn run(&mut self, effect: Effect<T>) {
        let (env, connections) = (&mut self.env, &mut self.connections);
        let (links, peers) = (&mut connections.links, &connections.peers);
        match effect {
            Effect::Reply { reply_to, answer, trail } => {
                if links.is_handled(reply_to) {
                    links.answer(reply_to, answer, trail, env);
                }
            }
            Effect::Admit { link } => connections.admit(link, env),
            Effect::OpenLink { link, addr, dial } => links.dial(link, addr, dial, env),
            Effect::CloseLink { link, farewell, reason } => {
                connections.close(link, farewell, reason, env);
            }
            Effect::SendControl { link, control } => links.send_control(link, &control, env),
            Effect::OfferControl { link, control } => {
                // What is only good to know is not queued behind much else.
                if links.get(link).is_some_and(|link| link.queue.has_control_room()) {
                    links.send_control(link, &control, env);
                }
            }
            Effect::LinkJoined(joined) => self.topology.link_joined(env, peers, joined),
            Effect::LinkLeft { left, peer, reason } => self.on_link_left(*left, &peer, &reason),
            Effect::LinkIsQuiet { link, dial } => self.on_link_quiet(link, dial),
            Effect::DialFailed { dial, error, outcome } => {
                self.topology.attempt_failed(env, peers, dial, error, outcome);
            }
            Effect::DialIsAlias { dial, peer } => {
                let peer = peer.filter(|peer| peers.entry(*peer).is_some());
                self.topology.dial_is_alias(env, peers, dial, peer);
            }
            Effect::KeepApart { member } => self.topology.keep_apart(env, peers, member),
            Effect::Complete { token, result } => env.complete(token, result),
        }
    }

    /// Does what follows from an input, once everything it says is noted. No part delivers or
    /// writes by itself, so no chain of events is deeper than the code that handles one of them.
    fn settle(&mut self) {
        loop {
            self.settle_links();
            // What may be sent still is no reason to part.
            if !(self.env.stopping && self.proceed_stop()) {
                break;
            }
        }
    }

    /// Decides what is to be decided again, dials, and brings each marked link up to date, until
    /// nothing is left of that.
    fn settle_links(&mut self) {
        loop {
            self.run_effects();
            if self.connections.recheck(&mut self.env) {
                continue;
            }
            self.topology.dial_waiting(&mut self.env);
            if self.env.has_effects() {
                continue;
            }
            let Some(id) = self.env.next_dirty() else { break };
            self.settle_link(id);
        }
    }

    /// Brings a link to which something has happened up to date, whatever that was.
    fn settle_link(&mut self, id: LinkId) {
        if self.topology.has_news(id) {
            self.announce_members(id);
        }
        if !self.connections.links.settle(id, &mut self.env) {
            self.settle_last(id);
        }
    }

    /// Sends what has waited on a link before the link is settled. What this node has queued for
    /// itself is not framed but taken as if it had just come in.
    #[inline(never)]
    fn settle_last(&mut self, id: LinkId) {
        loop {
            match self.connections.links.next_of(id, &self.env) {
                Settling::Nothing => {
                    return self.connections.links.settle_last(id, &mut self.env);
                }
                Settling::Admitted(admitted) => self.on_admitted(id, admitted),
                Settling::Announced(controls) => {
                    for control in controls {
                        self.on_message(id, Received::Control(control));
                    }
                }
                Settling::Delivered(item) => self.on_message(id, to_self(item, self.env.now)),
            }
            self.run_effects();
        }
    }
}
