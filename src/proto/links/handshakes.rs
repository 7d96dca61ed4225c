//! What this side says in a handshake, and what a link becomes when it is complete. It must not
//! decide what may join.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Links;
use crate::config::ENVELOPE_BYTES;
use crate::id::{LinkId, PeerKey};
use crate::node_event::Direction;
use crate::proto::env::Env;
use crate::proto::link::announce::pages;
use crate::proto::peers::NewLink;
use crate::proto::planted::{Planted, has};
use crate::proto::topology::DialId;
use crate::routing::{Gauge, LinkFace};
use crate::wire::{Control, Frame, FrameError, Hello};

/// What comes next in the bytes of a link.
#[derive(Debug)]
pub(crate) enum NextFrame<'a> {
    /// Nothing whole, or nothing more is taken.
    Nothing,
    /// Bytes of a greeting.
    Greeting,
    Frame(Frame<'a>),
    Broken(FrameError),
}

/// A link whose handshake is complete.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) hello: Box<Hello>,
    pub(crate) services: Vec<String>,
    pub(crate) link: NewLink,
    pub(crate) dial: Option<DialId>,
}

impl<T> Links<T> {
    /// Queues this node's hello and its services.
    pub(crate) fn say_hello(&mut self, id: LinkId, env: &mut Env<T>) {
        let tick_window = self.grant_window(id, env);
        let Some(link) = self.known(id) else { return };
        link.announce.said_in_hello();
        let advertise = env.advertised(link.local).map(|address| address.to_string());
        let hello = Control::Hello(Box::new(hello(advertise, tick_window, env)));
        link.queue.push_state(&hello);
        let pages = pages(&env.local.services);
        let count = pages.len();
        for (index, names) in pages.into_iter().enumerate() {
            link.queue.push_state(&Control::Services { names, last: index + 1 == count });
        }
        env.touch(id);
    }

    /// This side has no objection: a dialler says hello and `ready`, and waits; a listener says
    /// `ready`, and the link is to join.
    pub(crate) fn admit(&mut self, id: LinkId, env: &mut Env<T>) {
        let Some(link) = self.known(id) else { return };
        let deadline = link.liveness.created_at() + env.local.config.handshake_timeout;
        let direction = link.direction;
        link.handshake.admit(direction);
        if direction == Direction::Up {
            self.say_hello(id, env);
            self.arm(id, deadline, env);
        }
        if let Some(link) = self.by_id.get_mut(&id) {
            link.queue.push_state(&Control::Ready);
            env.touch(id);
        }
    }

    /// The handshake is complete on both sides.
    pub(crate) fn complete(&mut self, id: LinkId, env: &Env<T>) -> Option<Joined> {
        let config = &env.local.config;
        let link = self.by_id.get_mut(&id)?;
        let (hello, services) = link.handshake.complete()?;
        link.liveness.adopt(config, Duration::from_millis(u64::from(hello.liveness_ms)));
        let calls = hello.calls + u32::from(has(Planted::LimitOffByOne));
        let (queue, share) = (config.limits.link_queue_bytes, self.memory.share());
        let gauge = Gauge::new(queue, share, calls, hello.tick_window);
        let message_bytes = usize::try_from(hello.message_bytes).unwrap_or(usize::MAX);
        let gauge = link.outbound.open(gauge, message_bytes);
        link.ticks.open(env.now);
        link.reader.set_limit(config.limits.message_bytes + ENVELOPE_BYTES);
        if hello.options.is_router() {
            link.inbound.grant_many(config.limits.calls_per_router);
            link.announce.report_grant();
        }
        let face = LinkFace { link: id, remote: link.remote, gauge };
        let (direction, is_same_host) = (link.direction, link.is_same_host());
        let dial = link.dial;
        self.joined(id);
        Some(Joined { hello, services, link: NewLink { direction, face, is_same_host }, dial })
    }

    /// The peer of a link has a record.
    pub(crate) fn name_peer(&mut self, id: LinkId, peer: PeerKey, env: &mut Env<T>) {
        if let Some(link) = self.by_id.get_mut(&id) {
            link.peer = Some(peer);
            self.arm_liveness(id, env);
            env.touch(id);
        }
    }

    /// The next frame of the bytes that have come in on a link.
    pub(crate) fn next_frame<'a>(&mut self, id: LinkId, input: &mut &'a [u8]) -> NextFrame<'a> {
        // It may have been dropped by the message before.
        let Some(link) = self.by_id.get_mut(&id) else { return NextFrame::Nothing };
        if link.handshake.is_greeting() {
            return if input.is_empty() { NextFrame::Nothing } else { NextFrame::Greeting };
        }
        if !link.handshake.takes_frames() {
            return NextFrame::Nothing;
        }
        match link.reader.next(input) {
            Ok(frame) => frame.map_or(NextFrame::Nothing, NextFrame::Frame),
            Err(error) => NextFrame::Broken(error),
        }
    }

    /// Whether the bytes that have come in stand in the message that is being read already, and
    /// not in the shared space.
    pub(crate) fn take_body(&mut self, id: LinkId, len: usize) -> bool {
        let Some(link) = self.known(id) else { return false };
        let is_body = link.reader.body_space().is_some();
        if is_body {
            link.reader.body_received(len);
        }
        is_body
    }
}

fn hello<T>(advertise: Option<String>, tick_window: u64, env: &Env<T>) -> Hello {
    let (local, config) = (&env.local, &env.local.config);
    let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    Hello {
        id: local.id.clone(),
        instance: local.instance,
        options_version: env.options_version,
        options: local.options.clone(),
        services_version: env.services_version,
        host: local.host.clone(),
        advertise,
        capabilities: BTreeMap::new(),
        heartbeat_ms: millis(config.heartbeat_interval),
        liveness_ms: millis(config.liveness_timeout),
        calls: config.limits.calls_per_link,
        tick_window,
        message_bytes: config.limits.message_bytes as u64,
    }
}
