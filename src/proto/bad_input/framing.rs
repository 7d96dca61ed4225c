//! Length words that make no sense, and messages in segments that don't end well.

use super::Expected::{Ignored, Unfinished, Violation};
use super::bytes::{frame, hello, put_hello, request, word};
use super::{Expected, Row, Stage};

const MORE: u32 = 1 << 31;
const CONTINUES: u32 = 1 << 30;

pub(super) fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> =
        [Stage::Handshake, Stage::Joined].into_iter().flat_map(anywhere).collect();
    rows.extend(lengths());
    rows
}

/// What is wrong at any time.
fn anywhere(stage: Stage) -> Vec<Row> {
    let row = |name: &str, bytes: Vec<u8>, expected: Expected| {
        let when = if stage == Stage::Joined { "joined" } else { "handshake" };
        Row::new(format!("{name} ({when})"), stage, bytes, expected)
    };
    let segment = |word: u32, content: &[u8]| [&word.to_be_bytes(), content].concat();
    let first = segment(MORE | 2, &[0x90, 0x01]);
    let then = |next: Vec<u8>| [first.clone(), next].concat();
    let empty = Violation("an empty frame");
    let nothing = Violation("a segment continues nothing");
    vec![
        row("a length of 0", word(0), empty),
        row("an empty first segment", word(MORE), empty),
        row("an empty further segment", then(word(MORE | CONTINUES)), empty),
        row("an empty last segment", then(word(CONTINUES)), empty),
        row("a segment continues nothing", word(MORE | CONTINUES | 4), nothing),
        row("a last segment continues nothing", word(CONTINUES | 4), nothing),
        row(
            "the end of a message comes twice",
            [frame(&[0x80]), word(CONTINUES | 1)].concat(),
            Violation("a malformed message: an envelope has a kind, a call and headers"),
        ),
        row(
            "two messages in segments at once",
            then(word(MORE | 2)),
            Violation("two messages in segments at the same time"),
        ),
        row("HTTP instead of a frame", b"GET / HTTP/1.1\r\n\r\n".to_vec(), nothing),
        row("a message in segments never ends", first.clone(), Ignored),
        row("half a length word", vec![0, 0], Unfinished),
    ]
}

/// A length beyond the limit is judged before a byte of it has come.
fn lengths() -> Vec<Row> {
    use Stage::{Handshake, Joined};
    let row = |name: &str, stage, bytes, why| Row::new(name, stage, bytes, Violation(why));
    let long = |len: u32, then: u32| {
        let mut bytes = (MORE | len).to_be_bytes().to_vec();
        bytes.resize(4 + len as usize, 0);
        bytes.extend((CONTINUES | then).to_be_bytes());
        bytes
    };
    // One message in three segments, around a whole one that does not belong there.
    let hello = put_hello(hello());
    let mut pieces = [&(MORE | 4).to_be_bytes()[..], &hello[..4]].concat();
    pieces.extend(frame(&request(3, "a", &[0xf6])));
    vec![
        row(
            "a byte too long for a handshake",
            Handshake,
            word(16_385),
            "a message of at least 16385 bytes, the limit here is 16384",
        ),
        row(
            "a frame too long for any",
            Handshake,
            word(262_145),
            "a message of at least 262145 bytes, the limit here is 16384",
        ),
        row(
            "the longest length word",
            Handshake,
            word(0x3fff_ffff),
            "a message of at least 1073741823 bytes, the limit here is 16384",
        ),
        row(
            "TLS instead of a frame",
            Handshake,
            b"\x16\x03\x01\x02".to_vec(),
            "a message of at least 369295618 bytes, the limit here is 16384",
        ),
        row(
            "segments too long for a handshake",
            Handshake,
            long(16_380, 5),
            "a message of at least 16385 bytes, the limit here is 16384",
        ),
        row(
            "a request between the segments of a hello",
            Handshake,
            pieces,
            "a message before the handshake was complete",
        ),
        row(
            "a byte too long for this node",
            Joined,
            word(28_673),
            "a message of at least 28673 bytes, the limit here is 28672",
        ),
        row(
            "a frame too long for any",
            Joined,
            word(262_145),
            "a message of at least 262145 bytes, the limit here is 28672",
        ),
        row(
            "the longest length word",
            Joined,
            word(0x3fff_ffff),
            "a message of at least 1073741823 bytes, the limit here is 28672",
        ),
        row(
            "segments too long for this node",
            Joined,
            long(28_672, 1),
            "a message of at least 28673 bytes, the limit here is 28672",
        ),
    ]
}
