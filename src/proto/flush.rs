//! Threads that wait until a peer has confirmed every tick accepted for it so far. It must not send anything: what is owed
//! is confirmed without being asked for.

use std::collections::BTreeSet;
use std::time::Instant;

use super::calls::Whose;
use super::env::{Timer, disarm};
use super::mesh::Mesh;
use super::timers::TimerId;
use super::{Done, Output};
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{CallId, LinkId, NodeId, PeerKey};

/// One thread that waits.
#[derive(Debug)]
pub(super) struct Flush<T> {
    peer: NodeId,
    /// The links that still owe something, and how many ticks each must have confirmed.
    owing: Vec<(LinkId, u64)>,
    /// Ticks that a router has not placed yet.
    placing: BTreeSet<CallId>,
    timer: Option<TimerId>,
    token: T,
}

impl<T> Mesh<T> {
    pub(super) fn flush_peer(&mut self, key: PeerKey, deadline: Instant, token: T) {
        let Some(peer) = self.peers.by_key.get(&key) else {
            let peer = self.peers.name(key).unwrap_or_else(|| self.env.local.id.clone());
            return self.env.out.push(Output::Complete { token, result: Err(lost(&peer)) });
        };
        let faces = peer.entry.up.iter().chain(&peer.entry.down);
        let links = faces.filter_map(|face| self.links.get(&face.link));
        let owing: Vec<(LinkId, u64)> = links
            .filter(|link| link.ticks_out.accepted > link.ticks_out.confirmed)
            .map(|link| (link.id, link.ticks_out.accepted))
            .collect();
        let faces = peer.entry.up.iter().chain(&peer.entry.down);
        let links = faces.filter_map(|face| self.links.get(&face.link));
        let calls = links.flat_map(|link| link.pending.iter().chain(&link.lines.calls));
        let is_tick = |id: &&CallId| {
            self.calls.get(id).is_some_and(|call| matches!(call.whose, Whose::Tick(_)))
        };
        let placing: BTreeSet<CallId> = calls.filter(is_tick).copied().collect();
        if owing.is_empty() && placing.is_empty() {
            return self.env.out.push(Output::Complete { token, result: Ok(Done::Nothing) });
        }
        self.next_flush += 1;
        let timer = Some(self.env.timers.arm(deadline, Timer::Flush(self.next_flush)));
        let peer = peer.entry.id.clone();
        self.flushes.insert(self.next_flush, Flush { peer, owing, placing, timer, token });
    }

    /// A link has confirmed more: who waited for just that goes on.
    pub(super) fn flushes_confirmed(&mut self, link: LinkId) {
        if self.flushes.is_empty() {
            return;
        }
        let confirmed = self.links.get(&link).map_or(0, |link| link.ticks_out.confirmed);
        let still_owes = |flush: &mut Flush<T>| {
            flush.owing.retain(|(owing, until)| *owing != link || *until > confirmed);
            !flush.owing.is_empty() || !flush.placing.is_empty()
        };
        self.end_flushes(still_owes, |_| Ok(Done::Nothing));
    }

    /// A tick that a router was to place has ended.
    pub(super) fn flushes_tick_ended(&mut self, tick: CallId, lost: Option<&Error>) {
        if self.flushes.values().all(|flush| !flush.placing.contains(&tick)) {
            return;
        }
        let still_owes = |flush: &mut Flush<T>| {
            let waited = flush.placing.remove(&tick);
            !(waited && (lost.is_some() || flush.owing.is_empty() && flush.placing.is_empty()))
        };
        let result = |flush: &Flush<T>| match lost {
            Some(error) => Err(unplaced(&flush.peer, error)),
            None => Ok(Done::Nothing),
        };
        self.end_flushes(still_owes, result);
    }

    /// A link is gone, and what it had not confirmed never will be.
    pub(super) fn flushes_lost(&mut self, link: LinkId) {
        let elsewhere = |flush: &mut Flush<T>| flush.owing.iter().all(|(owing, _)| *owing != link);
        self.end_flushes(elsewhere, |flush| Err(lost(&flush.peer)));
    }

    /// The node stops.
    pub(super) fn flushes_closed(&mut self, closed: fn() -> Error) {
        self.end_flushes(|_| false, |_| Err(closed().with_execution(Execution::Unknown)));
    }

    pub(super) fn flush_due(&mut self, number: u64) {
        let Some(flush) = self.flushes.remove(&number) else { return };
        let left = |(link, until): &(LinkId, u64)| {
            let link = self.links.get(link)?;
            Some(until.saturating_sub(link.ticks_out.confirmed))
        };
        let left: u64 = flush.owing.iter().filter_map(left).sum();
        let left = left + flush.placing.len() as u64;
        let why =
            format!("{} has not confirmed {left} ticks in time; they may have run", flush.peer);
        let error = Error::new(ErrorKind::RequestTimeout, why).with_peer(flush.peer);
        self.env.out.push(Output::Complete { token: flush.token, result: Err(error) });
    }

    /// Ends those who are not to be kept.
    fn end_flushes(
        &mut self,
        mut keep: impl FnMut(&mut Flush<T>) -> bool,
        result: impl Fn(&Flush<T>) -> Result<Done, Error>,
    ) {
        let all = self.flushes.iter_mut();
        let ended: Vec<u64> =
            all.filter_map(|(number, flush)| (!keep(flush)).then_some(*number)).collect();
        for number in ended {
            let Some(mut flush) = self.flushes.remove(&number) else { continue };
            disarm(&mut self.env.timers, &mut flush.timer);
            let result = result(&flush);
            self.env.out.push(Output::Complete { token: flush.token, result });
        }
    }
}

/// That router was to place a tick and could not, for the reason that this error says.
fn unplaced(router: &NodeId, error: &Error) -> Error {
    let why = error.message();
    let why = format!("{router} did not place all ticks: {why}; the event Undelivered counts them");
    Error::new(error.kind(), why).with_execution(Execution::Unknown).with_peer(router.clone())
}

fn lost(peer: &NodeId) -> Error {
    let why = format!(
        "the link to {peer} was lost before all ticks were confirmed; the event Undelivered counts them"
    );
    Error::new(ErrorKind::ConnectionLost, why)
        .with_execution(Execution::Unknown)
        .with_peer(peer.clone())
}
