//! The test vectors of the protocol's document against the code, in both directions.

use std::collections::BTreeMap;

use crate::error::ErrorKind;
use crate::wire::fuzz::{receive, rewritten};
use crate::wire::{Choice, FrameReader, Heard, Offer, Reply, put_frame_head, samples};

const DOCUMENT: &str = include_str!("protocol.md");

/// Samples above this many bytes show nothing that a reader of the document would want to compare.
const SHOWN_BYTES: usize = 200;

fn vectors() -> BTreeMap<&'static str, Vec<u8>> {
    let mut out = BTreeMap::new();
    for block in DOCUMENT.split("```hex\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for vector in block.split("\n\n") {
            let (name, digits) = vector.split_once(':').unwrap();
            let digits = digits.split_whitespace();
            let bytes = digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect();
            assert_eq!(out.insert(name, bytes), None, "{name} stands twice");
        }
    }
    out
}

#[test]
fn greetings_are_as_documented() {
    let vectors = vectors();
    let offer = Offer { lowest: 1, highest: 1, modes: 1 };
    assert_eq!(vectors["greeting-offer"], offer.to_bytes());
    assert_eq!(Offer::parse(&vectors["greeting-offer"]), Heard::Done(offer));
    let chosen = Reply::Chosen(Choice { version: 1, mode: 1 });
    let range = Reply::Range(Offer { lowest: 2, highest: 3, modes: 3 });
    for (name, reply) in [("greeting-choice", chosen), ("greeting-range", range)] {
        assert_eq!(vectors[name], reply.to_bytes());
        assert_eq!(Reply::parse(&vectors[name]), Heard::Done(reply));
    }
}

#[test]
fn frames_are_as_documented() {
    let vectors = vectors();
    let ready = &vectors["ready"];
    for name in ["frame-whole", "frame-segments"] {
        let (messages, error) = receive(&mut FrameReader::new(4), &vectors[name], &[usize::MAX]);
        assert_eq!((messages, error), (vec![ready.clone()], None), "{name}");
    }
    let mut whole = Vec::new();
    put_frame_head(&mut whole, ready.len(), false, false);
    whole.extend_from_slice(ready);
    assert_eq!(whole, vectors["frame-whole"]);
    let mut segments = Vec::new();
    for (range, more, continues) in [(0..1, true, false), (1..3, true, true), (3..4, false, true)] {
        put_frame_head(&mut segments, range.len(), more, continues);
        segments.extend_from_slice(&ready[range]);
    }
    assert_eq!(segments, vectors["frame-segments"]);
}

#[test]
fn envelopes_are_as_documented() {
    let mut vectors = vectors();
    for (name, bytes) in samples::all() {
        if bytes.len() <= SHOWN_BYTES {
            let documented = vectors.remove(name);
            assert_eq!(documented.as_ref(), Some(&bytes), "{name}: {bytes:02x?}");
            assert_eq!(rewritten(&bytes), Ok((bytes, 0)), "{name}");
        }
    }
    let others = vectors.keys().all(|name| name.starts_with("frame") || name.starts_with("greet"));
    assert!(others, "no sample for some of {:?}", vectors.keys());
}

#[test]
fn errors_are_numbered_as_documented() {
    for kind in ErrorKind::ALL {
        let row = format!("| {} | `{}` |", kind.number(), kind.code());
        assert!(DOCUMENT.contains(&row), "{row}");
    }
}
