//! Bytes ↔ messages: length words, segments, and the limits that are judged on lengths alone. It must not look inside.
//!
//! A length word is a big-endian `u32`: bit 31 says that another segment of the message follows, bit 30 that this one
//! continues the message in segments, the rest is the length in bytes, 1 to 256 KiB. A frame with neither bit is a
//! whole message and may stand between the segments of another one; one message at a time is in segments.

use std::fmt;

use crate::config::{LARGE_BODY_BYTES, SEGMENT_MOST_BYTES};

/// The length word.
pub(crate) const FRAME_HEAD_BYTES: usize = 4;

const MORE: u32 = 1 << 31;
const CONTINUES: u32 = 1 << 30;

/// A rest of a body below this comes with the bytes behind it, so that a few bytes never cost a read of their own.
const DIRECT_LEAST_BYTES: usize = 4 * 1024;

/// One whole message, all its segments joined.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Frame<'a> {
    /// At most [`LARGE_BODY_BYTES`], straight from the input.
    Borrowed(&'a [u8]),
    /// Large, or received in pieces.
    Owned(Vec<u8>),
}

impl Frame<'_> {
    #[cfg(any(test, fuzzing))]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Frame::Borrowed(bytes) => bytes,
            Frame::Owned(bytes) => bytes,
        }
    }
}

/// Why the link must be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FrameError {
    /// A message or segment announces more bytes than are allowed.
    TooLarge { len: usize, limit: usize },
    /// The length word makes no sense.
    Malformed(&'static str),
}

impl FrameError {
    /// The same without numbers.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "a message is too long",
            Self::Malformed(why) => why,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { len, limit } => {
                write!(f, "a message of at least {len} bytes, the limit here is {limit}")
            }
            Self::Malformed(why) => f.write_str(why),
        }
    }
}

/// The length word of a frame of `len` bytes.
pub(crate) fn frame_head(len: usize, more: bool, continues: bool) -> [u8; FRAME_HEAD_BYTES] {
    debug_assert!((1..=SEGMENT_MOST_BYTES).contains(&len));
    let mut word = len as u32;
    if more {
        word |= MORE;
    }
    if continues {
        word |= CONTINUES;
    }
    word.to_be_bytes()
}

/// Appends the length word of a frame of `len` bytes.
#[cfg(any(test, fuzzing))]
pub(crate) fn put_frame_head(out: &mut Vec<u8>, len: usize, more: bool, continues: bool) {
    out.extend_from_slice(&frame_head(len, more, continues));
}

/// Reads one link's frames, however its bytes are cut.
///
/// Heap in use is at most twice what was received of the messages under way, plus two segments.
#[derive(Debug)]
pub(crate) struct FrameReader {
    limit: usize,
    /// The length word under way: its first `head_len` bytes are there.
    head: [u8; FRAME_HEAD_BYTES],
    head_len: usize,
    /// The frame under way, once its length word is known.
    open: Option<Open>,
    /// A whole message under way; empty otherwise.
    whole: Body,
    /// The message in segments under way; empty otherwise, because a segment has at least one byte.
    run: Body,
    broken: Option<FrameError>,
}

/// A frame whose length word was read and whose bytes are not all there.
#[derive(Clone, Copy, Debug)]
struct Open {
    kind: Part,
    len: usize,
    left: usize,
}

/// What a frame is to its message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Whole,
    Segment,
    LastSegment,
}

/// Bytes received into the front of a buffer that has room for the frame under way.
#[derive(Default, Debug)]
struct Body {
    bytes: Vec<u8>,
    filled: usize,
}

impl FrameReader {
    /// A reader of messages of at most `limit` bytes. It owns no heap until a message arrives in pieces.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            head: [0; FRAME_HEAD_BYTES],
            head_len: 0,
            open: None,
            whole: Body::default(),
            run: Body::default(),
            broken: None,
        }
    }

    /// Changes the limit for the frames whose length words are still to come.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Bytes of heap in use.
    pub(crate) fn held(&self) -> usize {
        self.whole.bytes.capacity() + self.run.bytes.capacity()
    }

    /// Where the rest of a large body goes, never empty; report what was put there with
    /// [`body_received`](Self::body_received), then call [`next`](Self::next) with no input.
    pub(crate) fn body_space(&mut self) -> Option<&mut [u8]> {
        let open = self.open?;
        if self.broken.is_some() || open.len <= LARGE_BODY_BYTES || open.left < DIRECT_LEAST_BYTES {
            return None;
        }
        // Behind a segment there is room for the next length word, so that the next segment comes straight, too.
        let end = self.body(open.kind).filled + open.left;
        let end = end + if open.kind == Part::Segment { FRAME_HEAD_BYTES } else { 0 };
        let body = self.body(open.kind);
        Some(&mut body.bytes[body.filled..end])
    }

    /// `len` bytes were put into [`body_space`](Self::body_space).
    pub(crate) fn body_received(&mut self, len: usize) {
        let Some(open) = &mut self.open else { return };
        let body = if open.kind == Part::Whole { &mut self.whole } else { &mut self.run };
        let own = len.min(open.left);
        open.left -= own;
        body.filled += own;
        let behind = len - own;
        self.head[..behind].copy_from_slice(&body.bytes[body.filled..body.filled + behind]);
        self.head_len = behind;
    }

    /// Takes bytes off the front of `input` until a message is complete; `None` when the input is used up.
    ///
    /// # Errors
    /// The link must be closed; every later call fails with the same error.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Frame<'a>>, FrameError> {
        match self.broken {
            Some(error) => Err(error),
            None => self.advance(input).inspect_err(|error| self.broken = Some(*error)),
        }
    }

    fn advance<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Frame<'a>>, FrameError> {
        loop {
            let Some(open) = self.open else {
                if self.take_head(input) {
                    if let Some(frame) = self.open_frame(input)? {
                        return Ok(Some(frame));
                    }
                    continue;
                }
                return Ok(None);
            };
            let taken = open.left.min(input.len());
            let (now, later) = input.split_at(taken);
            *input = later;
            self.body(open.kind).fill(now);
            if taken < open.left {
                self.open = Some(Open { left: open.left - taken, ..open });
                return Ok(None);
            }
            self.open = None;
            if open.kind != Part::Segment {
                return Ok(Some(Frame::Owned(self.body(open.kind).finish())));
            }
        }
    }

    /// Whether the length word is complete now.
    fn take_head(&mut self, input: &mut &[u8]) -> bool {
        let taken = input.len().min(FRAME_HEAD_BYTES - self.head_len);
        let (now, later) = input.split_at(taken);
        self.head[self.head_len..self.head_len + taken].copy_from_slice(now);
        self.head_len += taken;
        *input = later;
        self.head_len == FRAME_HEAD_BYTES
    }

    /// Judges the length word and makes room, unless the whole message stands in the input already.
    fn open_frame<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Frame<'a>>, FrameError> {
        let word = u32::from_be_bytes(self.head);
        self.head_len = 0;
        let len = (word & !(MORE | CONTINUES)) as usize;
        let kind = self.judge(word & MORE != 0, word & CONTINUES != 0, len)?;
        if kind == Part::Whole && len <= LARGE_BODY_BYTES && len <= input.len() {
            let (message, later) = input.split_at(len);
            *input = later;
            return Ok(Some(Frame::Borrowed(message)));
        }
        let most = self.limit;
        self.body(kind).make_room(len, most);
        self.open = Some(Open { kind, len, left: len });
        Ok(None)
    }

    fn judge(&self, more: bool, continues: bool, len: usize) -> Result<Part, FrameError> {
        let running = self.run.filled > 0;
        let (kind, before) = match (more, continues) {
            (false, false) => (Part::Whole, 0),
            (true, false) if running => {
                return Err(FrameError::Malformed("two messages in segments at the same time"));
            }
            (_, true) if !running => {
                return Err(FrameError::Malformed("a segment continues nothing"));
            }
            (true, _) => (Part::Segment, self.run.filled),
            (false, true) => (Part::LastSegment, self.run.filled),
        };
        if len == 0 {
            return Err(FrameError::Malformed("an empty frame"));
        }
        if len > SEGMENT_MOST_BYTES {
            return Err(FrameError::TooLarge { len, limit: SEGMENT_MOST_BYTES.min(self.limit) });
        }
        if before + len > self.limit {
            return Err(FrameError::TooLarge { len: before + len, limit: self.limit });
        }
        Ok(kind)
    }

    fn body(&mut self, kind: Part) -> &mut Body {
        match kind {
            Part::Whole => &mut self.whole,
            Part::Segment | Part::LastSegment => &mut self.run,
        }
    }
}

impl Body {
    /// Makes room for `len` bytes more and a length word: at most that, or as much again as was received.
    fn make_room(&mut self, len: usize, most: usize) {
        let end = self.filled + len + FRAME_HEAD_BYTES;
        if self.bytes.capacity() < end {
            let grown = end.max((2 * self.filled).min(most + FRAME_HEAD_BYTES));
            self.bytes.reserve_exact(grown - self.bytes.len());
        }
        self.bytes.resize(end, 0);
    }

    fn fill(&mut self, bytes: &[u8]) {
        self.bytes[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    fn finish(&mut self) -> Vec<u8> {
        let Body { mut bytes, filled } = std::mem::take(self);
        bytes.truncate(filled);
        if bytes.capacity() - filled > LARGE_BODY_BYTES {
            // The message may stay in memory for long, the room for its growth need not.
            bytes.shrink_to_fit();
        }
        bytes
    }
}

#[cfg(test)]
mod tests;
