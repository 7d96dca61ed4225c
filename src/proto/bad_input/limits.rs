//! Limits of what peers send, one row each: one less and exactly so much is taken, one more ends the link and is counted under
//! its own reason. The numbers stand here a second time, so that no limit changes by mistake.

use std::time::Duration;

use super::bytes::{
    NULL, TRUE, array, frame, frames, hello, hello_but, kinds, map, message, number, put_hello,
    request, request_with, services, text, tick,
};
use super::{BOTH, Role, Stage, begin};
use crate::error::ErrorKind;
use crate::proto::fuzz::end::{End, HELD};

/// So much is taken, and one more is not.
struct Limit {
    name: &'static str,
    most: usize,
    stage: Stage,
    /// Bytes that reach so far.
    reach: fn(usize) -> Vec<u8>,
    /// The reason under which one more is counted.
    reason: &'static str,
}

const fn limit(
    name: &'static str,
    most: usize,
    stage: Stage,
    reach: fn(usize) -> Vec<u8>,
    reason: &'static str,
) -> Limit {
    Limit { name, most, stage, reach, reason }
}

const LIMITS: &[Limit] = &[
    limit(
        "a message before the handshake",
        16_384,
        Stage::Handshake,
        page,
        "a message is too long",
    ),
    limit("a message", 4_096 + 24_576, Stage::Joined, unknown, "a message is too long"),
    limit("a message in segments", 4_096 + 24_576, Stage::Joined, in_two, "a message is too long"),
    limit("an id", 128, Stage::Handshake, id, "a text is not a node id"),
    limit("a host", 255, Stage::Handshake, host, "a host is too long"),
    limit("an address", 300, Stage::Handshake, advertised, "an address is too long"),
    limit("the address of an asker", 300, Stage::Joined, asker, "an address is too long"),
    limit("the address of a member", 300, Stage::Joined, member, "an address is too long"),
    limit("an event", 1_024, Stage::Joined, event, "an event name is not allowed"),
    limit("a service", 1_024, Stage::Joined, service, "a service name is empty or too long"),
    limit("bytes of options", 8_192, Stage::Joined, options_bytes, "a value has too many bytes"),
    limit("options", 64, Stage::Joined, options_entries, "options have too many entries"),
    limit("depth of options", 4, Stage::Joined, options_depth, "values nest too deep"),
    limit("headers", 32, Stage::Joined, headers, "too many headers"),
    limit("bytes of headers", 4_096, Stage::Joined, headers_bytes, "headers have too many bytes"),
    limit("services", 4_096, Stage::Handshake, names, "too many services"),
    limit("bytes of services", 262_144, Stage::Handshake, names_bytes, "too many services"),
    limit("changed services", 4_096, Stage::Joined, changed, "too many services"),
    limit(
        "ticks of 128 in a window of 1,024",
        8,
        Stage::Joined,
        ticks,
        "a tick beyond the window it was granted",
    ),
    limit(
        "a burst of control messages",
        4_000,
        Stage::Joined,
        cancels,
        "a flood of control messages",
    ),
];

fn letters(count: usize) -> Vec<u8> {
    text(&"x".repeat(count))
}

/// Services of that many bytes, in the middle of a handshake.
fn page(bytes: usize) -> Vec<u8> {
    // The page has 6 bytes and each of its names 3 before its letters.
    let mut left = bytes - 6;
    let mut listed = Vec::new();
    while left > 0 {
        let len = if left > 1_200 { 1_003 } else { left.min(1_003) };
        let len = if left - len > 0 && left - len < 300 { len - 300 } else { len };
        listed.push(letters(len - 3));
        left -= len;
    }
    let listed: Vec<&[u8]> = listed.iter().map(Vec::as_slice).collect();
    let page = message(kinds::SERVICES, 0, &[&[0xf4], &array(&listed)]);
    assert_eq!(page.len(), bytes);
    [frame(&put_hello(hello())), frame(&page)].concat()
}

/// A message of a kind that is skipped.
fn of_length(bytes: usize) -> Vec<u8> {
    let mut out = vec![0x84, 0x18, 33, 0x00];
    out.resize(bytes, 0);
    out
}

fn unknown(bytes: usize) -> Vec<u8> {
    frame(&of_length(bytes))
}

fn in_two(bytes: usize) -> Vec<u8> {
    let (whole, first) = (of_length(bytes), bytes / 2);
    let head = |word: u32, len: usize| (word | len as u32).to_be_bytes();
    let (begins, ends) = (head(1 << 31, first), head(1 << 30, bytes - first));
    [&begins[..], &whole[..first], &ends, &whole[first..]].concat()
}

fn id(bytes: usize) -> Vec<u8> {
    frame(&hello_but(0, &letters(bytes)))
}

fn host(bytes: usize) -> Vec<u8> {
    frame(&hello_but(5, &letters(bytes)))
}

fn advertised(bytes: usize) -> Vec<u8> {
    frame(&hello_but(6, &letters(bytes)))
}

fn asker(bytes: usize) -> Vec<u8> {
    frame(&message(kinds::JOIN_QUESTION, 3, &[&letters(bytes)]))
}

fn member(bytes: usize) -> Vec<u8> {
    frame(&message(kinds::MEMBER_JOINED, 0, &[&text("m"), &letters(bytes)]))
}

fn event(bytes: usize) -> Vec<u8> {
    frame(&request(3, &"x".repeat(bytes), NULL))
}

fn service(bytes: usize) -> Vec<u8> {
    frame(&message(kinds::SERVICES_CHANGED, 0, &[&number(9), TRUE, &array(&[&letters(bytes)])]))
}

fn told(options: &[u8]) -> Vec<u8> {
    frame(&message(kinds::OPTIONS, 0, &[&number(9), options]))
}

fn options_bytes(bytes: usize) -> Vec<u8> {
    // One byte of the map, two of its key, three before the letters.
    let options = map(&[(text("a"), &letters(bytes - 6))]);
    assert_eq!(options.len(), bytes);
    told(&options)
}

fn numbered(count: usize) -> Vec<u8> {
    let entries: Vec<_> = (0..count).map(|at| (text(&format!("{at:02}")), TRUE)).collect();
    map(&entries)
}

fn options_entries(count: usize) -> Vec<u8> {
    told(&numbered(count))
}

fn options_depth(depth: usize) -> Vec<u8> {
    let lists = [vec![0x81; depth - 2], vec![0x80]].concat();
    told(&map(&[(text("a"), &lists)]))
}

fn headers(count: usize) -> Vec<u8> {
    frame(&request_with(3, &numbered(count)))
}

fn headers_bytes(bytes: usize) -> Vec<u8> {
    // The head of the map does not count.
    frame(&request_with(3, &map(&[(text("a"), &letters(bytes - 5))])))
}

fn names(count: usize) -> Vec<u8> {
    let page = |count, last| services(&vec!["s"; count], last);
    frames(&[put_hello(hello()), page(4_000, false), page(count - 4_000, false)])
}

fn names_bytes(bytes: usize) -> Vec<u8> {
    let mut pages = vec![put_hello(hello())];
    let mut left = bytes;
    while left > 0 {
        let len = left.min(1_000);
        pages.push(services(&[&"x".repeat(len)], false));
        left -= len;
    }
    frames(&pages)
}

fn changed(count: usize) -> Vec<u8> {
    let page = |count: usize, last: &[u8]| {
        let names = array(&vec![&text("s")[..]; count]);
        message(kinds::SERVICES_CHANGED, 0, &[&number(9), last, &names])
    };
    frames(&[page(4_000, &[0xf4]), page(count - 4_000, TRUE)])
}

fn ticks(count: usize) -> Vec<u8> {
    frame(&tick(HELD, NULL)).repeat(count)
}

/// The call that waits for an answer has earned nothing: the burst was full when it was made.
fn cancels(count: usize) -> Vec<u8> {
    frame(&message(kinds::CANCEL, 99, &[])).repeat(count)
}

fn is_closed(end: &End) -> bool {
    end.hung || matches!(end.mesh.link_state(end.link), None | Some("closing"))
}

// covers P03, P06, P07, P21
#[test]
fn every_limit_of_what_peers_send_holds_to_the_last_and_is_counted() {
    let _bound = crate::bound::bound();
    for Limit { name, most, stage, reach, reason } in LIMITS {
        for role in BOTH {
            for reached in [most - 1, *most] {
                let mut end = begin(*stage, *role);
                end.hear_in_pieces(&reach(reached), 0);
                assert!(
                    !is_closed(&end),
                    "{name}: {reached} ({role:?}): {:?}",
                    end.mesh.violations()
                );
            }
            let mut end = begin(*stage, *role);
            end.hear_in_pieces(&reach(most + 1), 0);
            assert!(is_closed(&end), "{name}: {} ({role:?})", most + 1);
            let counted: Vec<_> = end.mesh.violations().iter().collect();
            assert_eq!(counted, [(reason, &1)], "{name} ({role:?})");
        }
    }
}

// covers P22
#[test]
fn calls_up_to_the_granted_number_run_and_one_more_is_busy_and_counted() {
    let _bound = crate::bound::bound();
    for role in BOTH {
        let mut end = begin(Stage::Joined, *role);
        for (call, busy) in [(3, 0), (5, 0), (7, 1)] {
            end.hear_in_pieces(&frame(&request(call, HELD, NULL)), 0);
            assert_eq!(end.mesh.dropped().busy, busy, "call {call}");
        }
        assert_eq!(end.handled, 2);
    }
}

// covers P06, P07
#[test]
fn payloads_up_to_64_levels_are_handled_and_one_more_fails_its_request() {
    let _bound = crate::bound::bound();
    let mut end = begin(Stage::Joined, Role::Accepted);
    for (call, levels) in [(3, 63), (5, 64), (7, 65)] {
        let deep = [vec![0x81; levels], vec![0xf6]].concat();
        end.hear_in_pieces(&frame(&request(call, "a", &deep)), 0);
    }
    let said = super::said(&end.said, Stage::Joined);
    assert_eq!(said[..2], ["reply 3", "reply 5"]);
    assert!(
        said[2].contains(ErrorKind::Decode.code()) && said[2].contains("64 levels"),
        "{said:?}"
    );
    assert_eq!(end.handled, 2);
}

// covers P21
#[test]
fn a_second_brings_a_thousand_control_messages_more() {
    let _bound = crate::bound::bound();
    let mut end = begin(Stage::Joined, Role::Accepted);
    end.hear_in_pieces(&cancels(4_000), 0);
    end.pass(Duration::from_secs(1));
    end.hear_in_pieces(&cancels(1_000), 0);
    assert!(!is_closed(&end));
    end.hear_in_pieces(&cancels(1), 0);
    assert!(is_closed(&end));
}

// covers P02
#[test]
fn links_and_handshakes_end_at_their_limits_and_are_counted() {
    let _bound = crate::bound::bound();
    let mut config = super::config();
    (config.limits.links, config.limits.handshakes) = (3, 8);
    let mut end = End::accepting(config.clone());
    for (open, refused) in [(2, 0), (3, 0), (3, 1)] {
        end.accept_another();
        assert_eq!((end.mesh.open_links(), end.mesh.dropped().links), (open, refused));
    }
    (config.limits.links, config.limits.handshakes) = (8, 3);
    let mut end = End::accepting(config);
    for (open, evicted) in [(2, 0), (3, 0), (3, 1)] {
        assert!(!end.hung, "the oldest makes room, and not before it must");
        end.accept_another();
        assert_eq!((end.mesh.open_links(), end.mesh.dropped().handshakes), (open, evicted));
    }
    assert!(end.hung);
}
