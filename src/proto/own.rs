//! How a node reaches itself: a link that begins and ends here. What is queued on it is not framed but taken as if it had just come in, so
//! that calls of a node to itself obey the rules of all others: places, deadlines, cancels, memory, the end.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::Message;
use super::calls::Given;
use super::leave::lost_unsent;
use super::link::{Link, State};
use super::mesh::Mesh;
use super::peers::Peer;
use super::queue::{Item, ItemHead};
use super::{Output, stop};
use crate::error::{Error, ErrorKind};
use crate::id::{LinkId, PeerKey};
use crate::node_event::{Direction, NodeEvent};
use crate::routing::{Gauge, LinkFace, Pace, PeerEntry, Services};
use crate::wire::Control;

/// Nobody can dial it.
const NOWHERE: ([u8; 4], u16) = ([0; 4], 0);

impl<T> Mesh<T> {
    /// The node comes to life.
    pub(super) fn begin_own(&mut self) {
        let (now, config) = (self.env.now, &self.env.local.config);
        let mut link = Link::new(LinkId::OWN, Direction::Up, NOWHERE.into(), config, now);
        (link.state, link.is_near, link.peer) = (State::Own, true, Some(PeerKey::OWN));
        let (most, calls) = (config.limits.link_queue_bytes, config.limits.calls_per_link);
        // The first window takes nothing from those of the peers: a node has only one of these.
        let window = self.memory.first_window(config.limits.tick_window_bytes, 0);
        link.ticks_in.window = window;
        link.gauge = Arc::new(Gauge::new(most, self.memory.share(), calls, window));
        let face =
            LinkFace { link: LinkId::OWN, remote: link.remote, gauge: Arc::clone(&link.gauge) };
        let entry = Arc::new(PeerEntry {
            key: PeerKey::OWN,
            id: self.env.local.id.clone(),
            options: self.env.local.options.clone(),
            services: Services::new(self.env.local.services.clone()),
            up: Some(face),
            down: None,
            older: Direction::Up,
            address: self.env.local.advertise.clone(),
            host: self.env.local.host.as_deref().unwrap_or_default().into(),
            is_local: true,
            pace: Arc::new(Pace::new(now)),
        });
        let instance = self.env.local.instance;
        let peer = Peer { instance, options_version: 0, services_version: 0, entry };
        self.links.insert(LinkId::OWN, link);
        self.peers.by_key.insert(PeerKey::OWN, peer);
    }

    /// The node as its own calls see it, but for what may have changed since.
    pub(crate) fn own(&self) -> Option<&Arc<PeerEntry>> {
        self.peers.by_key.get(&PeerKey::OWN).map(|peer| &peer.entry)
    }

    /// Handlers that are asked by their own node see it as it is now.
    pub(super) fn change_own(&mut self, change: impl FnOnce(&mut PeerEntry)) {
        if let Some(own) = self.peers.by_key.get_mut(&PeerKey::OWN) {
            change(Arc::make_mut(&mut own.entry));
        }
    }

    /// Takes what is queued as if it had come in.
    pub(super) fn deliver_own(&mut self) {
        let id = LinkId::OWN;
        while let Some(link) = self.links.get_mut(&id) {
            let Some(Item { head, payload, cost }) = link.queue.pop_whole() else { break };
            link.gauge.give_queue(cost);
            match head {
                ItemHead::Request { call, deadline, depth, event, headers, .. } => {
                    let timeout = deadline.saturating_duration_since(self.env.now);
                    let message = Message { event, headers, payload };
                    self.asked(id, call, timeout, depth, None, message);
                }
                ItemHead::Tick { event, headers } => {
                    link.ticks_out.written(1, cost as u64);
                    let message = Message { event, headers, payload };
                    self.ticked(id, cost as u64, None, message);
                }
                ItemHead::Reply { call, handler } => {
                    link.answers_written(1);
                    self.answered(id, call, Ok(Given::Payload(payload, handler)));
                }
                ItemHead::Failure { call, code, message, has_data, .. } => {
                    link.answers_written(1);
                    let data = has_data.then(|| payload.to_item().into());
                    let error = Error::new(ErrorKind::Handler, message);
                    let error = error.with_handler_code(code, data);
                    let error = error.with_peer(self.env.local.id.clone());
                    self.answered(id, call, Err(error));
                }
                ItemHead::Control(control) => {
                    link.answers_written(1);
                    if let Control::Fault(fault) = *control {
                        self.fault(id, *fault);
                    }
                }
                // A node is no peer of itself, so it never asks itself to forward.
                ItemHead::Forward(_) | ItemHead::Question(_) | ItemHead::Withdrawn => {}
            }
        }
    }

    /// What its handlers have finished is confirmed, also what would be reported later with more of it.
    pub(super) fn settle_own(&mut self) {
        if let Some(link) = self.links.get_mut(&LinkId::OWN) {
            let (ticks, cost) = (link.ticks_in.finished, link.ticks_in.finished_cost);
            let _ = link.ticks_out.confirm(ticks, cost);
        }
    }

    /// The node begins to stop: a tick that waits for room with itself would come too late.
    pub(super) fn stop_own(&mut self) {
        let waiting =
            self.links.get_mut(&LinkId::OWN).map(|link| std::mem::take(&mut link.lines.ticks));
        for parked in waiting.into_iter().flatten() {
            self.env.timers.disarm(parked.timer);
            self.tick_unplaced(parked.tick, stop::closed());
        }
        self.env.touch(LinkId::OWN);
    }

    /// The node has stopped, its calls to itself among the rest: nobody is left to be told goodbye.
    pub(super) fn end_own(&mut self) {
        let id = LinkId::OWN;
        self.settle_own();
        self.orphan_own();
        let Some(link) = self.links.remove(&id) else { return };
        self.peers.by_key.remove(&PeerKey::OWN);
        self.granted -= link.granted;
        self.held_no_more(link.held);
        for call in link.owed.values() {
            call.cancelled.store(true, Relaxed);
        }
        let unconfirmed = link.ticks_out.unconfirmed();
        if unconfirmed > 0 {
            let id = self.env.local.id.clone();
            self.env.out.push(Output::Event(NodeEvent::Undelivered {
                id,
                unwritten: 0,
                unconfirmed,
            }));
        }
        let me = self.env.local.id.clone();
        for call in link.pending.into_iter().chain(link.lines.calls) {
            self.next_step(call, lost_unsent(&me));
        }
        debug_assert!(link.lines.ticks.is_empty(), "they were told when the stop began");
        self.flushes_lost(id);
    }

    /// What handlers have in hand stays counted until they are done with it.
    fn orphan_own(&mut self) {
        let Some(link) = self.links.get_mut(&LinkId::OWN) else { return };
        link.in_hand -= link.owed.values().map(|call| call.cost).sum::<usize>();
        link.kept = 0;
        self.orphaned(LinkId::OWN);
    }
}
