//! Envelopes that are not the one encoding that is allowed.

use super::Expected::Violation;
use super::bytes::{
    NONE, NULL, array, blob, frame, kinds, message, message_with, number, request, request_with,
    text,
};
use super::{Row, Stage};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = shapes();
    rows.extend(heads());
    rows.extend(lengths());
    rows
}

/// A joined peer says one such message in a frame of its own.
fn row(name: &str, message: &[u8], why: &'static str) -> Row {
    Row::new(name, Stage::Joined, frame(message), Violation(why))
}

/// What is no envelope at all, or has the wrong number of elements.
fn shapes() -> Vec<Row> {
    const NO_ARRAY: &str = "a malformed message: an array was expected";
    const SHORT: &str = "a malformed message: an envelope has a kind, a call and headers";
    const UNEVEN: &str = "a malformed message of kind 11: this kind has another number of elements";
    let beat = |count: usize| message(kinds::HEARTBEAT, 0, &vec![&[0][..]; count]);
    vec![
        row("an empty array", &[0x80], SHORT),
        row("an array of two", &[0x82, 0x0b, 0x00], SHORT),
        row("a map", &[0xa1, 0x0b, 0x00], NO_ARRAY),
        row("a number", &[0x0b], NO_ARRAY),
        row("a text", &text("hello"), NO_ARRAY),
        row("a byte string", &blob(&[1, 2, 3]), NO_ARRAY),
        row("null", NULL, NO_ARRAY),
        row("a float", &[0xf9, 0x3c, 0x00], NO_ARRAY),
        row("a tagged envelope", &[&[0xd9, 0xd9, 0xf7][..], &beat(4)].concat(), NO_ARRAY),
        row("an element too few", &beat(3), UNEVEN),
        row("an element too many", &beat(5), UNEVEN),
        row(
            "one message behind another",
            &[beat(4), beat(4)].concat(),
            "a malformed message of kind 11: bytes follow the last item",
        ),
        row(
            "a byte behind a request",
            &[request(3, "a", NULL), vec![0]].concat(),
            "a malformed message of kind 2: bytes follow the last item",
        ),
        row(
            "a message cut off",
            &beat(4)[..6],
            "a malformed message: a length is beyond the message",
        ),
    ]
}

/// Heads of items that say the same in more bytes, or something else.
fn heads() -> Vec<Row> {
    const LONG: &str = "a malformed message: a number is not in its shortest form";
    const INDEFINITE: &str = "a malformed message: indefinite lengths are not allowed";
    const RESERVED: &str = "a malformed message: a reserved length";
    const BEAT_NO_NUMBER: &str = "a malformed message of kind 11: an unsigned integer was expected";
    const BEAT_LONG: &str = "a malformed message of kind 11: a number is not in its shortest form";
    const NO_NUMBER: &str = "a malformed message: an unsigned integer was expected";
    let beat = |numbers: &[u8]| [&[0x87, 0x0b, 0x00, 0xa0][..], numbers].concat();
    let of_beat = |name: &str, numbers: &[u8], why| row(name, &beat(numbers), why);
    let wordy = |count: &[u8]| [count, &[0x0b, 0x00, 0xa0, 0, 0, 0, 0]].concat();
    vec![
        row("the array's length in two bytes", &wordy(&[0x98, 0x07]), LONG),
        row("the array's length in three bytes", &wordy(&[0x99, 0x00, 0x07]), LONG),
        row("the array's length in five bytes", &wordy(&[0x9a, 0, 0, 0, 0x07]), LONG),
        row(
            "an array of indefinite length",
            &[0x9f, 0x0b, 0x00, 0xa0, 0, 0, 0, 0, 0xff],
            INDEFINITE,
        ),
        row("an array of a reserved length", &wordy(&[0x9c]), RESERVED),
        row("a kind in two bytes", &[0x87, 0x18, 0x0b, 0x00, 0xa0, 0, 0, 0, 0], LONG),
        row("a negative kind", &[0x87, 0x2a, 0x00, 0xa0, 0, 0, 0, 0], NO_NUMBER),
        row("a text for a kind", &[0x87, 0x61, b'b', 0x00, 0xa0, 0, 0, 0, 0], NO_NUMBER),
        row("a tag before the kind", &[0x87, 0xc0, 0x0b, 0x00, 0xa0, 0, 0, 0, 0], NO_NUMBER),
        row(
            "a call in nine bytes",
            &[&[0x87, 0x0b, 0x1b][..], &[0; 8], &[0xa0, 0, 0, 0, 0]].concat(),
            BEAT_LONG,
        ),
        row("true for a call", &[0x87, 0x0b, 0xf5, 0xa0, 0, 0, 0, 0], BEAT_NO_NUMBER),
        row(
            "an array for headers",
            &[0x87, 0x0b, 0x00, 0x80, 0, 0, 0, 0],
            "a malformed message of kind 11: a map was expected",
        ),
        row(
            "null for headers",
            &[0x87, 0x0b, 0x00, 0xf6, 0, 0, 0, 0],
            "a malformed message of kind 11: a map was expected",
        ),
        row(
            "headers of indefinite length",
            &[0x87, 0x0b, 0x00, 0xbf, 0xff, 0, 0, 0, 0],
            "a malformed message of kind 11: indefinite lengths are not allowed",
        ),
        of_beat("a float for a number", &[0xf9, 0, 0, 0, 0, 0], BEAT_NO_NUMBER),
        of_beat(
            "a large float for a number",
            &[0xfb, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            BEAT_NO_NUMBER,
        ),
        of_beat("a big number in a tag", &[0xc2, 0x41, 0x01, 0, 0, 0], BEAT_NO_NUMBER),
        of_beat("an undefined value for a number", &[0xf7, 0, 0, 0], BEAT_NO_NUMBER),
        of_beat("a break for a number", &[0xff, 0, 0, 0], BEAT_NO_NUMBER),
        of_beat("23 in two bytes", &[0x18, 0x17, 0, 0, 0], BEAT_LONG),
        of_beat("255 in three bytes", &[0x19, 0x00, 0xff, 0, 0, 0], BEAT_LONG),
        of_beat("65,535 in five bytes", &[0x1a, 0, 0, 0xff, 0xff, 0, 0, 0], BEAT_LONG),
        of_beat(
            "a number of a reserved length",
            &[0x1d, 0, 0, 0],
            "a malformed message of kind 11: a reserved length",
        ),
    ]
}

/// Lengths that claim what is not there, so that nobody reserves memory on the strength of a claim.
fn lengths() -> Vec<Row> {
    const BEYOND: &str = "a malformed message of kind 2: a length is beyond the message";
    let most = |first: u8| [&[first][..], &[0xff; 8]].concat();
    let asks = |event: &[u8], payload: &[u8]| {
        message(kinds::REQUEST, 3, &[&number(5_000), event, payload])
    };
    let opened = [&[0x5f][..], &blob(NULL), &[0xff]].concat();
    vec![
        row(
            "an array that claims all there is",
            &most(0x9b),
            "a malformed message: a length is beyond the message",
        ),
        row("headers that claim all there is", &request_with(3, &most(0xbb)), BEYOND),
        row("an event that claims all there is", &asks(&most(0x7b), &blob(NULL)), BEYOND),
        row("a payload that claims all there is", &asks(&text("a"), &most(0x5b)), BEYOND),
        row("a payload that claims a byte more", &asks(&text("a"), &[0x42, 0xf6]), BEYOND),
        row(
            "a payload of indefinite length",
            &asks(&text("a"), &opened),
            "a malformed message of kind 2: indefinite lengths are not allowed",
        ),
        row(
            "a payload in five bytes of length",
            &asks(&text("a"), &[0x5a, 0, 0, 0, 1, 0xf6]),
            "a malformed message of kind 2: a number is not in its shortest form",
        ),
        row(
            "a text for a payload",
            &asks(&text("a"), &text("x")),
            "a malformed message of kind 2: a byte string was expected",
        ),
        row(
            "an array for a payload",
            &asks(&text("a"), &array(&[NULL])),
            "a malformed message of kind 2: a byte string was expected",
        ),
        row(
            "names that claim all there is",
            &message(kinds::SERVICES_CHANGED, 0, &[&number(2), &[0xf5], &most(0x9b)]),
            "a malformed message of kind 21: a length is beyond the message",
        ),
        row(
            "options that claim all there is",
            &message(kinds::OPTIONS, 0, &[&number(2), &most(0xbb)]),
            "a malformed message of kind 19: a length is beyond the message",
        ),
        row(
            "a nested list of options that claims all there is",
            &message(
                kinds::OPTIONS,
                0,
                &[&number(2), &[&[0xa1, 0x61, b'a'][..], &most(0x9b)].concat()],
            ),
            "a malformed message of kind 19: a length is beyond the message",
        ),
        row(
            "headers and nothing behind",
            &message_with(kinds::REPLY, 1, NONE, &[]),
            "a malformed message of kind 4: this kind has another number of elements",
        ),
    ]
}
