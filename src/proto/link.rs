//! One TCP connection as the engine sees it: seven parts, each with private state, and what two of
//! them decide together. It must not know peers, calls or other links.

pub(super) mod announce;
pub(super) mod credit;
pub(super) mod handshake;
pub(super) mod inbound;
pub(super) mod liveness;
pub(super) mod outbound;
pub(super) mod wait_queue;

use std::net::SocketAddr;
use std::time::Instant;

use announce::Announcements;
use credit::Credit;
use handshake::{Finish, Handshake};
use inbound::Inbound;
use liveness::Liveness;
use outbound::Outbound;

use super::Output;
use super::env::Env;
use super::memory::Memory;
use super::planted::{Planted, has};
use super::queue::{Item, ItemHead, SendQueue};
use super::timers::TimerId;
use super::topology::DialId;
use super::traffic::WaitingTick;
use crate::config::{Config, GOODBYE_CALLS, HANDSHAKE_FRAME_BYTES};
use crate::id::{CallId, LinkId, PeerKey};
use crate::node_event::Direction;
use crate::wire::{Control, FrameReader};

#[derive(Debug)]
pub(super) struct Link<T> {
    pub(super) id: LinkId,
    pub(super) direction: Direction,
    /// This side's address, once it is connected.
    pub(super) local: Option<SocketAddr>,
    pub(super) remote: SocketAddr,
    /// The dial that this link came from, if this node dialled.
    pub(super) dial: Option<DialId>,
    /// The peer, once joined.
    pub(super) peer: Option<PeerKey>,
    pub(super) handshake: Handshake,
    pub(super) outbound: Outbound<WaitingTick<T>>,
    pub(super) inbound: Inbound,
    pub(super) ticks: Credit,
    pub(super) liveness: Liveness,
    pub(super) announce: Announcements,
    pub(super) queue: SendQueue,
    pub(super) reader: FrameReader,
    pub(super) timer: Option<TimerId>,
    /// What the link took of the node's memory when it was last counted.
    pub(super) memory_used: usize,
}

/// What settling a link has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Settled {
    /// It has written everything, and the other side has ended: it is to be dropped.
    pub(super) is_over: bool,
    /// What it took of the memory when it was last counted, and what it takes now.
    pub(super) before: usize,
    pub(super) after: usize,
    /// It has joined and has no timer.
    pub(super) is_unarmed: bool,
}

impl<T> Link<T> {
    /// A link that is being dialled, or was accepted.
    pub(super) fn new(
        id: LinkId,
        direction: Direction,
        remote: SocketAddr,
        config: &Config,
        now: Instant,
    ) -> Self {
        let limits = &config.limits;
        Self {
            id,
            direction,
            local: None,
            remote,
            dial: None,
            peer: None,
            handshake: Handshake::connecting(),
            outbound: Outbound::new(limits.link_queue_bytes, limits.message_bytes),
            inbound: Inbound::new(limits.calls_per_link, now),
            ticks: Credit::new(limits.tick_window_bytes, now),
            liveness: Liveness::new(config.heartbeat_interval, now),
            announce: Announcements::new(now),
            queue: SendQueue::default(),
            reader: FrameReader::new(if has(Planted::GiantFromStranger) {
                limits.message_bytes
            } else {
                HANDSHAKE_FRAME_BYTES
            }),
            timer: None,
            memory_used: 0,
        }
    }

    /// The connection stands: both ends greet.
    pub(super) fn connected(&mut self, local: SocketAddr, remote: SocketAddr, now: Instant) {
        (self.local, self.remote) = (Some(local), remote);
        self.handshake.connected();
        self.liveness.connected(now);
    }

    /// Whether both ends are on this machine.
    pub(super) fn is_same_host(&self) -> bool {
        let remote = self.remote.ip();
        remote.is_loopback() || self.local.is_some_and(|local| local.ip() == remote)
    }

    /// Takes what is to be announced now, built from its current value.
    pub(super) fn announce(&mut self, memory: &mut Memory, env: &Env<T>) -> Vec<Control> {
        let (before, max) = (self.ticks.granted(), env.local.config.limits.tick_window_most_bytes);
        let max = Some(max).filter(|_| memory.has_window(self.ticks.window()));
        let (local, calls) = (env.announced(), self.inbound.granted());
        let controls = self.announce.take(env.now, local, &mut self.ticks, calls, max);
        memory.window_changed(before, self.ticks.granted());
        controls
    }

    /// Queues what is to be announced, frames what the kernel may take, asks the shell to write it,
    /// and counts the memory. A closing link that has written everything shuts its write side.
    #[inline]
    pub(super) fn settle(&mut self, memory: &mut Memory, env: &mut Env<T>) -> Settled {
        let mut is_over = false;
        if self.id != LinkId::OWN {
            let announces = self.announce.is_due(env.now) && self.is_ready();
            if announces && self.queue.has_control_room() {
                for control in self.announce(memory, env) {
                    self.queue.push_state(&control);
                }
            }
            self.queue.stage(env.now);
            if !self.queue.nothing_staged() {
                if self.liveness.begin_writing(env.now) {
                    env.out.push(Output::Write { link: self.id });
                }
            } else if self.queue.is_empty() {
                match self.handshake.all_written() {
                    Finish::Nothing => {}
                    Finish::Shut => env.out.push(Output::Shut { link: self.id }),
                    Finish::Drop => is_over = true,
                }
            }
        }
        let after = self.memory();
        let before = std::mem::replace(&mut self.memory_used, after);
        let is_unarmed = self.timer.is_none() && self.handshake.is_joined();
        Settled { is_over, before, after, is_unarmed }
    }

    /// The next message of this node to itself, if that is the peer; it counts as written.
    pub(super) fn next_to_self(&mut self) -> Option<Item> {
        let item = self.queue.pop_whole()?;
        self.outbound.capacity().give_queue(item.cost);
        match &item.head {
            ItemHead::Tick { .. } => self.ticks.written(1, item.cost as u64),
            ItemHead::Reply { .. } | ItemHead::Failure { .. } | ItemHead::Control(_) => {
                self.inbound.replies_written(1);
            }
            ItemHead::Request { .. }
            | ItemHead::Forward(_)
            | ItemHead::Question(_)
            | ItemHead::Withdrawn => {}
        }
        Some(item)
    }

    /// Queues a reply to a call of the peer.
    pub(super) fn push_reply(&mut self, call: CallId, item: Item) {
        self.queue.push(item);
        self.inbound.reply_queued(call);
    }

    /// The kernel took bytes: gives back the capacity of what has left.
    pub(super) fn sent(&mut self, len: usize, config: &Config, now: Instant) {
        let written = self.queue.sent(len);
        self.liveness.sent(len, self.queue.nothing_staged(), config.write_stall, now);
        self.outbound.capacity().give_queue(written.cost);
        self.ticks.written(written.ticks, written.tick_cost);
        self.inbound.replies_written(written.answers);
    }

    /// Counts what is staged as written: a link that closes still writes it, and what may be read
    /// may run.
    pub(super) fn count_staged(&mut self) {
        let written = self.queue.count_staged();
        self.ticks.written(written.ticks, written.tick_cost);
    }

    /// When there is more to announce, if there is and the queue has room for it.
    pub(super) fn announces_at(&self) -> Option<Instant> {
        self.announce.next_at().filter(|_| self.queue.has_control_room())
    }

    /// The peer's requests that get no reply any more if the link says goodbye now and that may
    /// have run, in the order of their numbers; also those whose reply was queued and may be lost.
    /// `None` if they are too many to be listed.
    pub(super) fn unanswered(&self) -> Option<Vec<CallId>> {
        if has(Planted::GoodbyeListsNothing) {
            return Some(Vec::new());
        }
        let mut calls = self.inbound.unanswered();
        if !has(Planted::GoodbyeForgetsAnswers) {
            calls.extend(self.queue.unframed_answers());
        }
        (calls.len() <= GOODBYE_CALLS).then(|| calls.into_iter().collect())
    }

    /// What the link takes of the node's memory.
    pub(super) fn memory(&self) -> usize {
        self.queue.held() + self.reader.held() + self.inbound.in_hand() + self.outbound.kept()
    }

    /// Whether nothing is under way on it that either end waits for.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.outbound.is_empty()
            && self.inbound.is_idle()
            && self.ticks.is_idle()
    }

    /// Whether everything that was accepted for the peer is written and confirmed, and everything
    /// of the peer answered and finished.
    pub(super) fn is_drained(&self) -> bool {
        self.queue.is_empty()
            && self.ticks.unconfirmed() == 0
            && self.inbound.is_answered()
            && self.inbound.ticks_in_hand() == 0
    }

    pub(super) fn is_ready(&self) -> bool {
        self.handshake.is_ready()
    }

    pub(super) fn is_closing(&self) -> bool {
        self.handshake.is_closing()
    }

    pub(super) fn is_joining(&self) -> bool {
        self.handshake.is_joining()
    }
}
