//! A simulated TCP connection: in order, nothing twice, and cut at any byte. It knows no engine and draws no chance
//! but what it is handed.
//!
//! Each way has three places for bytes: the sender's kernel, the wire, and the receiver's kernel. Both kernels are
//! bounded, so a receiver that does not read stops its sender.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What the path between two ends is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    pub(super) delay: Duration,
    /// Bytes per second.
    pub(super) rate: Option<u64>,
    /// Bytes that a sender's kernel takes before they are received.
    pub(super) send_room: usize,
    /// Bytes that a receiver's kernel holds before they are read.
    pub(super) receive_room: usize,
}

impl Conditions {
    /// A path without faults.
    pub(super) const GOOD: Self = Self {
        delay: Duration::from_micros(100),
        rate: None,
        send_room: 256 * 1024,
        receive_room: 256 * 1024,
    };
}

/// What reading came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Read {
    Bytes(usize),
    /// Nothing there yet.
    Wait,
    Eof,
    Broken,
}

/// One connection. End 0 dialled.
#[derive(Debug)]
pub(super) struct Tcp {
    conditions: Conditions,
    /// `ways[e]` is written by end `e` and read by the other.
    ways: [Way; 2],
    ends: [End; 2],
    /// By the end that writes.
    frozen: [bool; 2],
}

#[derive(Debug)]
struct Way {
    kernel: VecDeque<u8>,
    wire: VecDeque<(Instant, Vec<u8>)>,
    on_wire: usize,
    arrived: VecDeque<u8>,
    fin: Fin,
    /// When the bandwidth has room again.
    free_at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fin {
    No,
    /// Follows the last byte.
    Queued,
    Sent(Instant),
    Arrived,
}

#[derive(Clone, Copy, Default, Debug)]
struct End {
    /// The program has closed its socket.
    closed: bool,
    /// A reset is on its way to this end.
    reset_at: Option<Instant>,
    broken: bool,
    /// What is written here goes nowhere, and is answered by a reset.
    severed: bool,
}

impl Tcp {
    pub(super) fn new(conditions: Conditions, now: Instant) -> Self {
        let way = || Way {
            kernel: VecDeque::new(),
            wire: VecDeque::new(),
            on_wire: 0,
            arrived: VecDeque::new(),
            fin: Fin::No,
            free_at: now,
        };
        Self { conditions, ways: [way(), way()], ends: [End::default(); 2], frozen: [false; 2] }
    }

    /// Changes what the path is like from now on. Kernels never shrink: a full one would take nothing for seconds,
    /// which is another fault.
    pub(super) fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = Conditions {
            send_room: conditions.send_room.max(self.conditions.send_room),
            receive_room: conditions.receive_room.max(self.conditions.receive_room),
            ..conditions
        };
    }

    /// Stops everything under way, or lets it go on. Nobody is told.
    pub(super) fn freeze(&mut self, frozen: bool) {
        self.frozen = [frozen; 2];
    }

    /// Stops what `end` writes; the other way goes on.
    pub(super) fn freeze_way(&mut self, end: usize) {
        self.frozen[end] = true;
    }

    /// Both programs have closed: nothing can happen here any more.
    pub(super) fn is_over(&self) -> bool {
        self.ends.iter().all(|end| end.closed)
    }

    /// How much `end` may write now.
    pub(super) fn room(&self, end: usize) -> usize {
        let way = &self.ways[end];
        self.conditions.send_room.saturating_sub(way.kernel.len() + way.on_wire)
    }

    /// Whether writing at `end` would do anything: take bytes, or fail.
    pub(super) fn is_writable(&self, end: usize) -> bool {
        self.ends[end].broken || self.room(end) > 0
    }

    /// Takes as much as there is room for; `None` when the connection is broken.
    pub(super) fn write(&mut self, end: usize, bytes: &[u8], now: Instant) -> Option<usize> {
        debug_assert!(self.ways[end].fin == Fin::No || self.ends[end].severed);
        if self.ends[end].broken {
            return None;
        }
        let taken = bytes.len().min(self.room(end));
        if self.ends[end].severed {
            self.ends[end].reset_at.get_or_insert(now + self.conditions.delay);
        } else {
            self.ways[end].kernel.extend(&bytes[..taken]);
        }
        Some(taken)
    }

    /// Whether reading at `end` would say anything but [`Read::Wait`].
    pub(super) fn is_readable(&self, end: usize) -> bool {
        let way = &self.ways[1 - end];
        self.ends[end].broken || !way.arrived.is_empty() || way.fin == Fin::Arrived
    }

    /// Bytes that `end` could read now.
    pub(super) fn unread(&self, end: usize) -> usize {
        self.ways[1 - end].arrived.len()
    }

    pub(super) fn read(&mut self, end: usize, space: &mut [u8]) -> Read {
        if self.ends[end].broken {
            return Read::Broken;
        }
        let way = &mut self.ways[1 - end];
        if way.arrived.is_empty() {
            return if way.fin == Fin::Arrived { Read::Eof } else { Read::Wait };
        }
        let (front, _) = way.arrived.as_slices();
        let len = front.len().min(space.len());
        space[..len].copy_from_slice(&front[..len]);
        way.arrived.drain(..len);
        Read::Bytes(len)
    }

    /// The program at `end` will write no more.
    pub(super) fn shut(&mut self, end: usize) {
        if self.ways[end].fin == Fin::No {
            self.ways[end].fin = Fin::Queued;
        }
    }

    /// The program at `end` drops its socket. With unread input that destroys what the other side has not read yet.
    pub(super) fn close(&mut self, end: usize, now: Instant) {
        self.ends[end].closed = true;
        if self.ways[1 - end].arrived.is_empty() {
            self.shut(end);
        } else {
            self.abort(end, now);
        }
    }

    /// As [`close`](Self::close), but what is under way is lost in any case.
    pub(super) fn abort(&mut self, end: usize, now: Instant) {
        self.ends[end].closed = true;
        self.ways[end].lose_all();
        self.reset_other(end, now);
    }

    /// The path breaks: what is under way is lost, and both ends hear it at once.
    pub(super) fn reset(&mut self) {
        for end in 0..2 {
            self.break_end(end);
        }
    }

    /// Both programs lose the other as if it had been killed: some bytes under way still arrive, then the end of the stream.
    pub(super) fn cut(&mut self, rng: &mut fastrand::Rng) {
        for end in 0..2 {
            let keep = rng.usize(..=self.ways[end].kernel.len() + self.ways[end].on_wire);
            self.ways[end].keep(keep);
            self.shut(end);
            self.ends[end].severed = true;
        }
    }

    /// When something changes by itself; `None` when only a program can change anything.
    pub(super) fn next(&self) -> Option<Instant> {
        let resets = (0..2).filter(|end| !self.frozen[1 - end] && !self.ends[*end].broken);
        let resets = resets.filter_map(|end| self.ends[end].reset_at);
        let ways = (0..2).filter(|end| !self.frozen[*end]).filter_map(|end| self.next_of(end));
        resets.chain(ways).min()
    }

    fn next_of(&self, end: usize) -> Option<Instant> {
        let way = &self.ways[end];
        let arrival = way.wire.front().map(|(at, _)| *at);
        let fin = match way.fin {
            Fin::Sent(at) => Some(at),
            Fin::Queued if way.kernel.is_empty() => Some(way.free_at),
            _ => None,
        };
        let sends = !way.kernel.is_empty() && self.window(end) > 0;
        let send = sends.then_some(way.free_at);
        [arrival, fin, send].into_iter().flatten().min()
    }

    /// Lets happen what is due.
    pub(super) fn step(&mut self, now: Instant) {
        for end in (0..2).filter(|end| !self.frozen[*end]).collect::<Vec<_>>() {
            self.transmit(end, now);
            self.arrive(end, now);
        }
        for end in 0..2 {
            if !self.frozen[1 - end] && self.ends[end].reset_at.is_some_and(|at| at <= now) {
                self.break_end(end);
            }
        }
    }

    fn window(&self, end: usize) -> usize {
        let way = &self.ways[end];
        self.conditions.receive_room.saturating_sub(way.arrived.len() + way.on_wire)
    }

    fn transmit(&mut self, end: usize, now: Instant) {
        let Conditions { delay, rate, .. } = self.conditions;
        // A slow path carries a few milliseconds' worth at a time.
        let most = rate.map_or(usize::MAX, |rate| (rate as usize / 200).max(1));
        loop {
            let len = self.ways[end].kernel.len().min(self.window(end)).min(most);
            let way = &mut self.ways[end];
            if len == 0 || way.free_at > now {
                break;
            }
            let took = rate.map_or(Duration::ZERO, |rate| {
                Duration::from_nanos(len as u64 * 1_000_000_000 / rate.max(1))
            });
            way.free_at = now + took;
            let at = way.not_before(way.free_at + delay);
            way.wire.push_back((at, way.kernel.drain(..len).collect()));
            way.on_wire += len;
        }
        let way = &mut self.ways[end];
        if way.fin == Fin::Queued && way.kernel.is_empty() {
            way.fin = Fin::Sent(way.not_before(now + delay));
        }
    }

    fn arrive(&mut self, end: usize, now: Instant) {
        while let Some((at, _)) = self.ways[end].wire.front() {
            if *at > now {
                return;
            }
            let Some((_, bytes)) = self.ways[end].wire.pop_front() else { return };
            self.ways[end].on_wire -= bytes.len();
            if self.ends[1 - end].closed {
                // Nobody is there to read it.
                self.ways[end].lose_all();
                self.reset_other(1 - end, now);
                return;
            }
            self.ways[end].arrived.extend(&bytes);
        }
        let way = &mut self.ways[end];
        if matches!(way.fin, Fin::Sent(at) if at <= now) {
            way.fin = Fin::Arrived;
        }
    }

    fn reset_other(&mut self, end: usize, now: Instant) {
        let at = now + self.conditions.delay;
        self.ends[1 - end].reset_at.get_or_insert(at);
    }

    fn break_end(&mut self, end: usize) {
        self.ends[end].broken = true;
        self.ways[end].lose_all();
        self.ways[1 - end].lose_all();
        self.ways[1 - end].arrived.clear();
    }
}

impl Way {
    /// Bytes and the end of the stream stay in order, whatever the path's delay became meanwhile.
    fn not_before(&self, at: Instant) -> Instant {
        self.wire.back().map_or(at, |(last, _)| at.max(*last))
    }

    fn lose_all(&mut self) {
        self.keep(0);
    }

    /// Keeps the first `len` bytes of those that have not arrived.
    fn keep(&mut self, len: usize) {
        let mut left = len;
        for (_, bytes) in &mut self.wire {
            bytes.truncate(left);
            left -= bytes.len();
        }
        self.wire.retain(|(_, bytes)| !bytes.is_empty());
        self.on_wire = len - left;
        self.kernel.truncate(left);
    }
}

#[cfg(test)]
mod tests;
