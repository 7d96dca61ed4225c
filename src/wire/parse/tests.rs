use super::*;
use crate::wire::fuzz::rewritten;
use crate::wire::samples;

#[test]
fn every_sample_is_rewritten_to_the_same_bytes() {
    for (name, bytes) in samples::all() {
        assert_eq!(rewritten(&bytes), Ok((bytes.clone(), 0)), "{name}: {bytes:02x?}");
    }
}

#[test]
fn whatever_is_accepted_after_a_flipped_bit_is_rewritten_to_the_same_bytes() {
    for (name, bytes) in samples::all() {
        for at in 0..bytes.len().min(600) {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                if let Ok((again, 0)) = rewritten(&bytes) {
                    assert_eq!(again, bytes, "{name} with bit {bit} of byte {at} flipped");
                }
            }
        }
    }
}

#[test]
fn every_truncation_and_every_byte_behind_is_refused() {
    for (name, bytes) in samples::all() {
        for cut in 0..bytes.len() {
            assert!(rewritten(&bytes[..cut]).is_err(), "{name} cut at {cut}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(rewritten(&longer).is_err(), "{name} with a byte behind");
    }
}

#[test]
fn every_kind_has_a_sample() {
    let mut seen = Vec::new();
    for (_, bytes) in samples::all() {
        let (_, kind) = start(&mut Reader::new(&bytes)).unwrap();
        seen.push(kind);
    }
    let known = (0..256).filter(|kind| kinds::shape(*kind).0 != Shape::Unknown);
    for kind in known {
        assert!(seen.contains(&kind), "kind {kind} has no sample");
    }
}

#[test]
fn headers_of_a_newer_version_are_skipped_when_odd_and_refuse_when_even() {
    // A heartbeat and a request, each with a header of number 99 and then of number 98.
    let heartbeat = |header: &[u8]| [&[0x87, 11, 0], header, &[1, 2, 3, 4]].concat();
    let request = |header: &[u8]| [&[0x86, 2, 7], header, &[9, 0x61, b'e', 0x41, 0xf6]].concat();
    let (odd, even) = (&[0xa1, 0x18, 99, 0xf5][..], &[0xa1, 0x18, 98, 0xf5][..]);
    let mut skipped = 0;
    let expected = Control::Heartbeat { ticks: 1, cost: 2, stamp: 3, echo: 4 };
    assert_eq!(parse(&heartbeat(odd), &mut skipped), Ok(Incoming::Control(expected)));
    assert_eq!(skipped, 1);
    let bytes = request(odd);
    assert_eq!(rewritten(&bytes), Ok((bytes.clone(), 1)), "a router passes it on");
    for (bytes, kind, call, payload) in
        [(heartbeat(even), 11, CallId(0), 0), (request(even), 2, CallId(7), 1)]
    {
        let refused = Incoming::UnsupportedHeader { kind, call, key: 98, payload };
        assert_eq!(parse(&bytes, &mut skipped), Ok(refused));
    }
}

#[test]
fn kinds_of_a_newer_version_are_told_with_their_call() {
    for kind in [26, 27, 32, 63, 99] {
        let mut bytes = vec![0x84];
        crate::cbor::put_unsigned(&mut bytes, kind);
        bytes.extend_from_slice(&[0x07, 0xa0, 0xc1, 0xff]);
        let unknown = Incoming::Unknown { kind, call: CallId(7) };
        assert_eq!(parse(&bytes, &mut 0), Ok(unknown));
    }
}

#[test]
fn error_kinds_of_a_newer_version_are_read_as_known_ones() {
    let fault = [0x87, 8, 5, 0xa0, 0x18, 200, 2, 0x61, b'x', 0x80];
    let mut skipped = 0;
    let Ok(Incoming::Control(Control::Fault(fault))) = parse(&fault, &mut skipped) else {
        panic!("a fault was expected");
    };
    assert_eq!(fault.kind, crate::error::ErrorKind::Unsupported);
    assert_eq!(fault.execution, crate::error::Execution::Happened);
    assert_eq!((&*fault.message, skipped), ("x", 1));
}

#[test]
fn malformed_envelopes_say_why() {
    for (bytes, why) in [
        (&[][..], "a malformed message: an item is missing"),
        (&[0xf6], "a malformed message: an array was expected"),
        (&[0x82, 5, 0], "a malformed message: an envelope has a kind, a call and headers"),
        (
            &[0x83, 5, 1, 0xa0],
            "a malformed message of kind 5: this kind carries a call if and only if it is about one",
        ),
        (
            &[0x83, 13, 0, 0xa0],
            "a malformed message of kind 13: this kind carries a call if and only if it is about one",
        ),
        (
            &[0x84, 5, 0, 0xa0, 0],
            "a malformed message of kind 5: this kind has another number of elements",
        ),
        (&[0x83, 0x18, 5, 0, 0xa0], "a malformed message: a number is not in its shortest form"),
        (
            &[0x85, 10, 0, 0xa0, 0x60, 0x41, 0xf6],
            "a malformed message of kind 10: an event name is not allowed",
        ),
        (
            &[0x87, 6, 1, 0xa0, 0x60, 0x60, 0xf4, 0x41, 0],
            "a malformed message of kind 6: a failure without data has the item null",
        ),
        (
            &[0x87, 8, 1, 0xa0, 1, 3, 0x60, 0x80],
            "a malformed message of kind 8: an execution is 0, 1 or 2",
        ),
        (
            &[0x86, 2, 1, 0xa1, 5, 0, 1, 0x61, b'e', 0x41, 0],
            "a malformed message of kind 2: a nesting depth is 1 to 255",
        ),
        (
            &[0x86, 2, 1, 0xa1, 7, 0, 1, 0x61, b'e', 0x41, 0],
            "a malformed message of kind 2: a header is not a node id",
        ),
        (
            &[0x85, 17, 0, 0xa0, 0, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0],
            "a malformed message of kind 17: a number is out of its range",
        ),
    ] {
        assert_eq!(parse(bytes, &mut 0).unwrap_err().to_string(), why, "{bytes:02x?}");
    }
}
