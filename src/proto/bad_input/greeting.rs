//! Strangers, and nodes of other versions.

use super::Expected::{Ignored, NothingInCommon, Stranger};
use super::{ACCEPTED, DIALLED, Expected, Row, Stage};
use crate::wire::{Choice, Offer, Reply};

const LISTENER_LACKS: &str = "this side speaks protocols 1 to 1 with security modes 0x0001, the other protocols 2 to 3 with security modes 0x0001";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = strangers();
    rows.extend(wrong_magic());
    rows.extend(offers());
    rows.extend(replies());
    rows
}

fn row(name: &str, bytes: &[u8], expected: Expected) -> Row {
    Row::new(name, Stage::Greeting, bytes.to_vec(), expected)
}

fn strangers() -> Vec<Row> {
    let mut noise = vec![0x80; 300];
    fastrand::Rng::with_seed(7).fill(&mut noise[1..]);
    vec![
        row("an HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Stranger("HTTP")),
        row("an HTTP upload", b"POST /x HTTP/1.1\r\n\r\n", Stranger("HTTP")),
        row("an HTTP answer", b"HTTP/1.1 400 Bad Request\r\n\r\n", Stranger("HTTP")),
        row("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Stranger("TLS")),
        row("an SSH banner", b"SSH-2.0-OpenSSH_9.6\r\n", Stranger("SSH")),
        row("noise", &noise, Stranger("unknown bytes 80")),
        row("zeros", &[0; 64], Stranger("unknown bytes 00")),
        row("a line of text", b"hello?\n", Stranger("unknown bytes 68 65")),
        row("one wrong byte", b"x", Stranger("unknown bytes 78")),
        row(
            "a dialler's greeting to a dialler",
            &Offer::OURS.to_bytes(),
            Stranger("that dialled, too"),
        )
        .only(DIALLED),
        row("a listener's greeting to a listener", &chosen(1, 1), Stranger("")).only(ACCEPTED),
    ]
}

/// A greeting that is right up to one byte of its magic.
fn wrong_magic() -> Vec<Row> {
    let wrong = |greeting: [u8; 16], at: usize| {
        let mut bytes = greeting.to_vec();
        bytes[at] ^= 0x20;
        bytes
    };
    (0..8)
        .flat_map(|at| {
            let name = format!("byte {at} of the magic is wrong");
            let offer = wrong(Offer::OURS.to_bytes(), at);
            let reply = wrong(chosen(1, 1), at);
            [
                row(&name, &offer, Stranger("")).only(ACCEPTED),
                row(&format!("{name} in the answer"), &reply, Stranger("")).only(DIALLED),
            ]
        })
        .collect()
}

fn chosen(version: u16, mode: u16) -> [u8; 16] {
    Reply::Chosen(Choice { version, mode }).to_bytes()
}

/// What a listener hears.
fn offers() -> Vec<Row> {
    let offer = |lowest, highest, modes| Offer { lowest, highest, modes }.to_bytes();
    let mut reserved = Offer::OURS.to_bytes();
    reserved[14..].copy_from_slice(&[0xff, 0xff]);
    vec![
        row("older protocols only", &offer(0, 0, 1), NothingInCommon("")),
        row("newer protocols only", &offer(2, 3, 1), NothingInCommon("")),
        row("the newest protocol only", &offer(u16::MAX, u16::MAX, 1), NothingInCommon("")),
        row("protocols from 3 down to 1", &offer(3, 1, 1), NothingInCommon("")),
        row("no security mode", &offer(1, 1, 0), NothingInCommon("")),
        row("another security mode", &offer(1, 1, 0b10), NothingInCommon("")),
        row("reserved bits in an offer", &reserved, Ignored),
    ]
    .into_iter()
    .map(|row| row.only(ACCEPTED))
    .collect()
}

/// What a dialler hears.
fn replies() -> Vec<Row> {
    let range = |lowest, highest| Reply::Range(Offer { lowest, highest, modes: 1 }).to_bytes();
    let but = |at: usize, byte: u8| {
        let mut bytes = chosen(1, 1);
        bytes[at] = byte;
        bytes
    };
    let not_offered = "it chose protocol 1, which was not offered";
    vec![
        row("a range without ours", &range(2, 3), NothingInCommon(LISTENER_LACKS)),
        row(
            "a range with ours",
            &range(1, 2),
            NothingInCommon("it refuses a protocol that both sides speak"),
        ),
        row(
            "protocol 2 is chosen",
            &chosen(2, 1),
            NothingInCommon("it chose protocol 2, which was not offered"),
        ),
        row(
            "protocol 0 is chosen",
            &chosen(0, 1),
            NothingInCommon("it chose protocol 0, which was not offered"),
        ),
        row("a mode is chosen that was not offered", &chosen(1, 4), NothingInCommon(not_offered)),
        row("two protocols are chosen", &but(11, 2), Stranger("a malformed greeting")),
        row("two modes are chosen", &but(13, 3), Stranger("a malformed greeting")),
        row("no mode is chosen", &but(13, 0), Stranger("a malformed greeting")),
        row("an unknown verdict", &but(15, 2), Stranger("a malformed greeting")),
    ]
    .into_iter()
    .map(|row| row.only(DIALLED))
    .collect()
}
