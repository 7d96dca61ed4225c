//! Payloads that are not one sound item: they fail their request, before a handler sees it, and nobody else.

use super::Expected::{Fault, Ignored};
use super::bytes::{frame, request, tick};
use super::{Row, Stage};
use crate::error::ErrorKind;

pub(super) fn rows() -> Vec<Row> {
    bad()
        .into_iter()
        .flat_map(|(name, payload, why)| {
            let asks = frame(&request(3, "a", &payload));
            let expected = Fault(3, ErrorKind::Decode, why);
            let ticks = frame(&tick("a", &payload));
            [
                Row::new(format!("{name} in a request"), Stage::Joined, asks, expected),
                Row::new(format!("{name} in a tick"), Stage::Joined, ticks, Ignored),
            ]
        })
        .collect()
}

fn bad() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let claims = |first: u8| [&[first][..], &[0xff; 8]].concat();
    let deep = |levels: usize| [vec![0x81; levels], vec![0xf6]].concat();
    vec![
        ("nothing", vec![], "…an item is cut off"),
        ("two items", vec![0x01, 0x01], "…bytes follow the item"),
        ("half a number", vec![0x19, 0x01], "…an item is cut off"),
        ("a text cut off", vec![0x63, b'a'], "…"),
        ("a lone break", vec![0xff], "…a break ends nothing"),
        ("a reserved length", vec![0x1c], "…"),
        ("false in two bytes", vec![0xf8, 0x14], "…"),
        ("an endless list", vec![0x9f, 0x01], "…"),
        ("an endless text", vec![0x7f, 0x61, b'a'], "…"),
        (
            "a text made of bytes",
            vec![0x7f, 0x41, b'a', 0xff],
            "…a string is made of something else",
        ),
        (
            "a map without its last value",
            vec![0xbf, 0x01, 0xff],
            "…a map ends where a value is due",
        ),
        ("a tag of nothing", vec![0xc0], "…"),
        ("bytes that claim all there is", claims(0x5b), "…"),
        ("a list that claims all there is", claims(0x9b), "…"),
        ("a map that claims all there is", claims(0xbb), "…"),
        ("a list of 2^32 - 1", vec![0x9a, 0xff, 0xff, 0xff, 0xff, 0x00], "…"),
        ("65 levels", deep(65), "…more than 64 levels"),
        ("65 tags", [vec![0xc1; 65], vec![0x00]].concat(), "…more than 64 levels"),
    ]
}
