//! What messages carry, so that each can be told from all others.

use std::sync::LazyLock;

use super::Label;
use crate::cbor::{Reader, put_bytes_head};
use crate::payload::Payload;

/// The bytes at any place differ from those nearby, so that a lost or moved byte shows.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut pattern = vec![0; 17 << 20];
    rng.fill(&mut pattern);
    pattern
});

/// A payload of about `len` bytes that belongs to `label`.
pub(super) fn make(label: Label, len: usize) -> Payload {
    let mut item = Vec::with_capacity(len + 16);
    put_bytes_head(&mut item, 8 + len);
    item.extend(label.0.to_be_bytes());
    item.extend(&PATTERN[start(label)..][..len]);
    Payload::from_item(item)
}

pub(super) fn belongs(payload: &Payload, label: Label) -> bool {
    let item = payload.to_item();
    let mut reader = Reader::new(&item);
    let Ok(content) = reader.bytes() else { return false };
    let Some((head, tail)) = content.split_at_checked(8) else { return false };
    reader.finish().is_ok()
        && head == label.0.to_be_bytes()
        && tail == &PATTERN[start(label)..][..tail.len()]
}

/// Which message it belongs to, where its event does not say so.
pub(super) fn label_of(payload: &Payload) -> Option<Label> {
    let item = payload.to_item();
    let head = Reader::new(&item).bytes().ok()?.first_chunk::<8>().copied()?;
    Some(Label(u64::from_be_bytes(head)))
}

/// What a worker says when it refuses.
pub(super) const WORKER: &str = "the worker says so";

/// What a thread says that has too many peers to look for.
pub(super) const CHOOSER: &str = "the chooser says so";

/// The code of a handler's error.
pub(super) fn code(label: Label) -> String {
    format!("E{}", label.0)
}

fn start(label: Label) -> usize {
    (label.0 % 4_093) as usize
}
