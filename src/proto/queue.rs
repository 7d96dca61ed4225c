//! What a link still has to write: control messages, data messages, and the bytes staged for the kernel.
//!
//! Messages are framed late, when the kernel has room, so that an unsent one can be withdrawn and a heartbeat waits for
//! at most one segment. It must not know what the messages mean.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use super::planted::{Planted, has};
use crate::config::{
    CONTROL_QUEUE_BYTES, DIRECTORY_PAGE_BYTES, LARGE_BODY_BYTES, SEGMENT_BYTES, STAGED_BYTES,
};
use crate::error::Execution;
use crate::event::EventName;
use crate::headers::Headers;
use crate::id::{CallId, NodeId};
use crate::payload::Payload;
use crate::routing::{Destination, cost};
use crate::wire::{self, Control, DataHead, FRAME_HEAD_BYTES, ForwardHead, TargetHead};

/// A chunk grows to this before another one is begun, so that what the kernel has taken can be freed.
const CHUNK_BYTES: usize = 128 * 1024;

/// What a withdrawn message goes on counting until its place in the order is reached: places are not free either.
const PLACE_COST: usize = 128;

/// Position in the order in which data messages were queued on one link.
pub(super) type Seq = u64;

/// A data message that is not framed yet.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) head: ItemHead,
    pub(super) payload: Payload,
    /// What it counts in the link's queue; zero if it took no room there.
    pub(super) cost: usize,
}

impl Item {
    /// What it takes of the memory, about.
    #[inline]
    fn held(&self) -> usize {
        let words = match &self.head {
            // The call itself counts the data it keeps.
            ItemHead::Request { kept: true, .. } => return 0,
            ItemHead::Forward(onward) if onward.kept => return 0,
            ItemHead::Failure { code, message, .. } => code.len() + message.len(),
            ItemHead::Control(control) if matches!(**control, Control::DirectoryPage { .. }) => {
                DIRECTORY_PAGE_BYTES
            }
            _ => 0,
        };
        cost(self.payload.len() + words)
    }
}

#[derive(Debug)]
pub(super) enum ItemHead {
    Request {
        call: CallId,
        deadline: Instant,
        depth: u8,
        event: EventName,
        headers: Headers,
        /// The call keeps the data, which are shared, also after this was written.
        kept: bool,
    },
    Tick {
        event: EventName,
        headers: Headers,
    },
    Reply {
        call: CallId,
        /// Whose answer it is, if not this node's.
        handler: Option<NodeId>,
    },
    Failure {
        call: CallId,
        code: String,
        message: String,
        has_data: bool,
        handler: Option<NodeId>,
    },
    /// A message for a router to place.
    Forward(Box<Onward>),
    /// A question to a router.
    Question(Box<Control>),
    /// An answer without a payload, which keeps its place behind the others.
    Control(Box<Control>),
    /// Its caller gave up before it was framed; the place in the order stays.
    Withdrawn,
}

/// What stands before the data of a message that a router shall place.
#[derive(Debug)]
pub(super) struct Onward {
    pub(super) call: CallId,
    pub(super) is_tick: bool,
    pub(super) deadline: Instant,
    pub(super) depth: u8,
    pub(super) event: EventName,
    pub(super) headers: Headers,
    /// As in a request.
    pub(super) kept: bool,
    pub(super) origin: NodeId,
    pub(super) target: Destination,
    pub(super) hops_left: u8,
    pub(super) visited: Vec<NodeId>,
}

impl ItemHead {
    /// The request that it answers, unless that certainly did not run.
    fn answers(&self) -> Option<CallId> {
        match self {
            Self::Reply { call, .. } | Self::Failure { call, .. } => Some(*call),
            Self::Control(control) => match &**control {
                Control::Fault(fault) if fault.execution != Execution::Never => Some(fault.call),
                _ => None,
            },
            Self::Request { .. }
            | Self::Tick { .. }
            | Self::Forward(_)
            | Self::Question(_)
            | Self::Withdrawn => None,
        }
    }
}

/// What the kernel has taken since the last report.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Written {
    /// Room to give back to the queue.
    pub(super) cost: usize,
    /// What the messages took of the memory.
    held: usize,
    pub(super) ticks: u64,
    /// What those ticks count in the window.
    pub(super) tick_cost: u64,
    pub(super) answers: u64,
}

#[derive(Debug)]
struct End {
    position: u64,
    written: Written,
}

#[derive(Debug)]
enum Chunk {
    Bytes(Vec<u8>),
    Body { payload: Payload, range: Range<usize> },
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Body { payload, range } => &payload.body()[range.clone()],
        }
    }
}

/// A message whose first segments are staged.
#[derive(Debug)]
struct Running {
    payload: Payload,
    /// How much of the payload's body is staged.
    at: usize,
    /// The request that it answers.
    answers: Option<CallId>,
    written: Written,
    /// A control frame that must not overtake this message: its own cancel.
    then: Vec<u8>,
}

#[derive(Default, Debug)]
pub(super) struct SendQueue {
    /// Whole control frames.
    control: Vec<u8>,
    data: VecDeque<Item>,
    running: Option<Running>,
    staged: VecDeque<Chunk>,
    staged_bytes: usize,
    /// How much of the first chunk the kernel has.
    skip: usize,
    /// Stream position behind the last staged byte.
    framed: u64,
    /// Stream position behind the last byte the kernel took.
    sent: u64,
    /// The ends of staged data messages, in order. The first is number `sent_seq`.
    ends: VecDeque<End>,
    /// Data messages wholly taken by the kernel.
    sent_seq: Seq,
    /// Number of the first message in `data`.
    first_seq: Seq,
    /// What the data messages take of the memory that are not wholly taken by the kernel.
    held: usize,
    /// A used chunk, kept while the link is busy.
    spare: Vec<u8>,
}

impl SendQueue {
    /// Queues bytes that are no frame: the greeting.
    pub(super) fn push_raw(&mut self, bytes: &[u8]) {
        self.tail().extend_from_slice(bytes);
        self.staged_bytes += bytes.len();
        self.framed += bytes.len() as u64;
    }

    /// Queues a cancel of message `seq`. It stands behind the last segment of that message, never between them: the
    /// other side would not know yet what to cancel.
    ///
    /// Cancels that are not written are bounded by the requests that are: one that is not framed is withdrawn instead.
    pub(super) fn push_cancel(&mut self, seq: Seq, cancel: &Control) {
        match &mut self.running {
            Some(running) if seq + 1 == self.first_seq => {
                put_control_frame(&mut running.then, cancel);
            }
            _ => self.push_state(cancel),
        }
    }

    /// Queues a control message; it goes out before any data message that is not framed yet. There are only a few:
    /// the handshake, cancels, and state that is told once a write.
    pub(super) fn push_state(&mut self, control: &Control) {
        put_control_frame(&mut self.control, control);
    }

    /// Whether the control messages queued so far leave room for telling state.
    pub(super) fn has_control_room(&self) -> bool {
        self.control.len() < CONTROL_QUEUE_BYTES / 2 && self.staged_bytes < STAGED_BYTES
    }

    /// Queues a data message behind the others.
    #[inline]
    pub(super) fn push(&mut self, item: Item) -> Seq {
        self.held += item.held();
        self.data.push_back(item);
        self.first_seq + self.data.len() as u64 - 1
    }

    /// The first message that the kernel has not taken wholly.
    pub(super) fn unwritten_from(&self) -> Seq {
        self.sent_seq
    }

    /// Whether the kernel has the last byte of that message.
    pub(super) fn is_written(&self, seq: Seq) -> bool {
        seq < self.sent_seq
    }

    /// Whether that message is framed, or its first segment.
    pub(super) fn is_begun(&self, seq: Seq) -> bool {
        seq < self.first_seq
    }

    /// Takes a message back that is not framed yet. `None` if it is too late; else what room it had taken.
    pub(super) fn withdraw(&mut self, seq: Seq) -> Option<usize> {
        let index = usize::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        let item = self.data.get_mut(index)?;
        let kept = item.cost.min(PLACE_COST);
        let (cost, held) = (item.cost - kept, item.held());
        *item = Item { head: ItemHead::Withdrawn, payload: Payload::null(), cost: kept };
        self.held = self.held - held + item.held();
        Some(cost)
    }

    /// The next message as it is, for a link without a kernel at its end: it counts as written.
    pub(super) fn pop_whole(&mut self) -> Option<Item> {
        let item = self.data.pop_front()?;
        self.first_seq += 1;
        self.sent_seq += 1;
        self.held -= item.held();
        Some(item)
    }

    /// Frames messages while there is little for the kernel to take.
    pub(super) fn stage(&mut self, now: Instant) {
        while self.staged_bytes < STAGED_BYTES {
            if !self.control.is_empty() && !self.control_waits() {
                self.stage_control();
            } else if let Some(running) = self.running.take() {
                self.stage_segment(running);
            } else if let Some(item) = self.data.pop_front() {
                self.first_seq += 1;
                self.stage_item(item, now);
            } else {
                break;
            }
        }
    }

    /// The bytes to write, in order.
    pub(super) fn outgoing(&self) -> impl Iterator<Item = &[u8]> {
        let skip = self.skip;
        self.staged
            .iter()
            .enumerate()
            .map(move |(index, chunk)| &chunk.bytes()[if index == 0 { skip } else { 0 }..])
            .filter(|bytes| !bytes.is_empty())
    }

    /// The kernel took `len` bytes.
    pub(super) fn sent(&mut self, len: usize) -> Written {
        self.sent += len as u64;
        self.staged_bytes -= len;
        self.skip += len;
        while let Some(first) = self.staged.front() {
            let first_len = first.bytes().len();
            if self.skip < first_len {
                break;
            }
            self.skip -= first_len;
            if let Some(Chunk::Bytes(mut bytes)) = self.staged.pop_front() {
                bytes.clear();
                self.spare = bytes;
            }
        }
        self.count_to(self.sent)
    }

    /// Counts what is staged as written: a link that says goodbye still writes it, and what may be read may run.
    pub(super) fn count_staged(&mut self) -> Written {
        self.count_to(self.framed)
    }

    fn count_to(&mut self, position: u64) -> Written {
        let mut written = Written::default();
        while let Some(end) = self.ends.front().filter(|end| end.position <= position) {
            written.cost += end.written.cost;
            self.held -= end.written.held;
            written.ticks += end.written.ticks;
            written.tick_cost += end.written.tick_cost;
            written.answers += end.written.answers;
            self.ends.pop_front();
            self.sent_seq += 1;
        }
        written
    }

    /// Whether the kernel has everything that is staged.
    pub(super) fn nothing_staged(&self) -> bool {
        self.staged_bytes == 0
    }

    /// Whether nothing at all is left to write.
    pub(super) fn is_empty(&self) -> bool {
        self.staged_bytes == 0
            && self.control.is_empty()
            && self.data.is_empty()
            && self.running.is_none()
    }

    /// Room that messages have taken and not given back: those that wait, and those the kernel has not taken wholly.
    #[cfg(any(test, fuzzing))]
    pub(super) fn room_taken(&self) -> usize {
        let waiting = self.data.iter().map(|item| item.cost);
        let begun = self.running.iter().map(|running| running.written.cost);
        waiting.chain(begun).chain(self.ends.iter().map(|end| end.written.cost)).sum()
    }

    /// Bytes of control messages that are not staged.
    #[cfg(any(test, fuzzing))]
    pub(super) fn control_bytes(&self) -> usize {
        self.control.len()
    }

    /// Gives memory back that only a busy link needs.
    pub(super) fn rest(&mut self) {
        if self.is_empty() {
            self.spare = Vec::new();
            self.control = Vec::new();
            self.data = VecDeque::new();
            self.staged = VecDeque::new();
            // Withdrawn messages at the end are counted with the next byte the kernel takes.
            if self.ends.is_empty() {
                self.ends = VecDeque::new();
            }
        }
    }

    /// The requests whose answers [`drop_unframed`](Self::drop_unframed) would drop, but for those that certainly did not run.
    pub(super) fn unframed_answers(&self) -> impl Iterator<Item = CallId> {
        let waiting = self.data.iter().filter_map(|item| item.head.answers());
        waiting.chain(self.running.iter().filter_map(|running| running.answers))
    }

    /// Drops data messages that are not begun: the link says goodbye. A message in segments cannot be finished either,
    /// since nothing tells its parts from the goodbye but their order.
    pub(super) fn drop_unframed(&mut self) {
        self.held -= self.data.iter().map(Item::held).sum::<usize>();
        self.held -= self.running.as_ref().map_or(0, |running| running.written.held);
        self.data.clear();
        self.running = None;
    }

    /// What the messages that wait take of the memory.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Control messages never wait for data, unless a test plants the bug that they do.
    fn control_waits(&self) -> bool {
        has(Planted::PingBehindData) && (!self.data.is_empty() || self.running.is_some())
    }

    fn stage_control(&mut self) {
        let control = std::mem::take(&mut self.control);
        self.tail().extend_from_slice(&control);
        self.grow(control.len());
        self.control = control;
        self.control.clear();
    }

    fn stage_item(&mut self, item: Item, now: Instant) {
        let (ticks, answers) = match item.head {
            ItemHead::Request { .. }
            | ItemHead::Forward(_)
            | ItemHead::Question(_)
            | ItemHead::Withdrawn => (0, 0),
            ItemHead::Tick { .. } => (1, 0),
            ItemHead::Reply { .. } | ItemHead::Failure { .. } | ItemHead::Control(_) => (0, 1),
        };
        let tick_cost = if ticks == 0 { 0 } else { item.cost as u64 };
        let written = Written { cost: item.cost, held: item.held(), ticks, tick_cost, answers };
        if let ItemHead::Control(control) | ItemHead::Question(control) = &item.head {
            let before = self.tail().len();
            put_control_frame(self.tail(), control);
            let len = self.tail().len() - before;
            self.grow(len);
        }
        let Some(head) = data_head(&item.head, now) else {
            return self.end(written);
        };
        let (payload, answers) = (item.payload, item.head.answers());
        let tail = self.tail();
        let mark = tail.len();
        tail.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
        wire::put_data_head(tail, &head, payload.len());
        tail.extend_from_slice(&payload.head());
        let begun = tail.len() - mark - FRAME_HEAD_BYTES;
        let total = begun + payload.body().len();
        let segment = total.min(SEGMENT_BYTES);
        tail[mark..mark + FRAME_HEAD_BYTES].copy_from_slice(&wire::frame_head(
            segment,
            segment < total,
            false,
        ));
        self.grow(FRAME_HEAD_BYTES + begun);
        let part = segment - begun;
        self.stage_body(&payload, 0..part);
        self.finish_or_run(Running { payload, at: part, answers, written, then: Vec::new() });
    }

    fn stage_segment(&mut self, running: Running) {
        let left = running.payload.body().len() - running.at;
        let segment = left.min(SEGMENT_BYTES);
        let head = wire::frame_head(segment, segment < left, true);
        self.tail().extend_from_slice(&head);
        self.grow(head.len());
        let end = running.at + segment;
        self.stage_body(&running.payload, running.at..end);
        self.finish_or_run(Running { at: end, ..running });
    }

    fn finish_or_run(&mut self, running: Running) {
        if running.at == running.payload.body().len() {
            self.end(running.written);
            self.control.extend_from_slice(&running.then);
        } else {
            self.running = Some(running);
        }
    }

    fn end(&mut self, written: Written) {
        self.ends.push_back(End { position: self.framed, written });
    }

    fn stage_body(&mut self, payload: &Payload, range: Range<usize>) {
        let len = range.len();
        if len > LARGE_BODY_BYTES {
            self.staged.push_back(Chunk::Body { payload: payload.clone(), range });
        } else {
            self.tail().extend_from_slice(&payload.body()[range]);
        }
        self.grow(len);
    }

    fn grow(&mut self, len: usize) {
        self.staged_bytes += len;
        self.framed += len as u64;
    }

    fn tail(&mut self) -> &mut Vec<u8> {
        let full = match self.staged.back() {
            Some(Chunk::Bytes(bytes)) => bytes.len() >= CHUNK_BYTES,
            Some(Chunk::Body { .. }) | None => true,
        };
        if full {
            self.staged.push_back(Chunk::Bytes(std::mem::take(&mut self.spare)));
        }
        match self.staged.back_mut() {
            Some(Chunk::Bytes(bytes)) => bytes,
            _ => unreachable!("a chunk of bytes was pushed above"),
        }
    }
}

/// The head as it is written now; `None` for what has no payload.
fn data_head(head: &ItemHead, now: Instant) -> Option<DataHead<'_>> {
    Some(match head {
        // If somebody else asked first, the headers say so.
        ItemHead::Request { call, deadline, depth, event, headers, .. } => DataHead::Request {
            call: *call,
            timeout_ms: millis_up(deadline.saturating_duration_since(now)),
            depth: *depth,
            event: event.as_bytes(),
            headers,
            origin: None,
        },
        ItemHead::Tick { event, headers } => {
            DataHead::Tick { event: event.as_bytes(), headers, origin: None }
        }
        ItemHead::Reply { call, handler } => {
            DataHead::Reply { call: *call, handler: handler.as_ref() }
        }
        ItemHead::Failure { call, code, message, has_data, handler } => DataHead::Failure {
            call: *call,
            code,
            message,
            has_data: *has_data,
            handler: handler.as_ref(),
        },
        ItemHead::Forward(onward) => {
            let head = forward_head(onward, now);
            if onward.is_tick {
                DataHead::ForwardTick(head)
            } else {
                DataHead::ForwardRequest(head)
            }
        }
        ItemHead::Question(_) | ItemHead::Control(_) | ItemHead::Withdrawn => return None,
    })
}

fn forward_head(onward: &Onward, now: Instant) -> ForwardHead<'_> {
    ForwardHead {
        call: onward.call,
        timeout_ms: millis_up(onward.deadline.saturating_duration_since(now)),
        depth: onward.depth,
        event: onward.event.as_bytes(),
        headers: &onward.headers,
        origin: &onward.origin,
        target: match &onward.target {
            Destination::Id(id) => TargetHead::Id(id),
            Destination::Filter(filter) => TargetHead::Filter(filter),
            Destination::Path => TargetHead::Path,
        },
        hops_left: onward.hops_left,
        visited: &onward.visited,
    }
}

fn put_control_frame(out: &mut Vec<u8>, control: &Control) {
    let mark = out.len();
    out.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
    wire::put_control(out, control);
    let len = out.len() - mark - FRAME_HEAD_BYTES;
    out[mark..mark + FRAME_HEAD_BYTES].copy_from_slice(&wire::frame_head(len, false, false));
}

/// Rounded up, so that the receiver never gives up before the caller.
fn millis_up(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
