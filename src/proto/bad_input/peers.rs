//! Peers that have joined and say what is well written and makes no sense, or too much of it.

use super::Expected::{Counted, Ended, Fault, Ignored, Left, PassedOver, Told, Violation};
use super::bytes::{
    FALSE, NULL, TRUE, array, blob, control, frames, hello, kinds, map, message, message_with,
    number, put_hello, request, request_with, services, text, tick,
};
use super::{Counters, Expected, Row, Stage};
use crate::config::CONTROL_BURST;
use crate::error::ErrorKind;
use crate::id::CallId;
use crate::proto::fuzz::end::HELD;
use crate::wire::{Control, Farewell};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = late();
    rows.extend(answers());
    rows.extend(calls());
    rows.extend(ticks());
    rows.extend(unknown());
    rows.extend(routers());
    rows.extend(members());
    rows.extend(farewells());
    rows
}

fn row(name: &str, messages: &[Vec<u8>], expected: Expected) -> Row {
    Row::new(name, Stage::Joined, frames(messages), expected)
}

fn skipped(dropped: &mut Counters) -> &mut u64 {
    &mut dropped.unknown_kinds
}

fn headers(dropped: &mut Counters) -> &mut u64 {
    &mut dropped.unknown_headers
}

fn late_answers(dropped: &mut Counters) -> &mut u64 {
    &mut dropped.late_answers
}

fn fault(call: u64, kind: ErrorKind) -> Vec<u8> {
    let kind = number(kind.number().into());
    message(kinds::FAULT, call, &[&kind, &number(0), &text("a\nb"), &array(&[])])
}

fn reply(call: u64) -> Vec<u8> {
    message(kinds::REPLY, call, &[&blob(NULL)])
}

/// An item of that length.
fn data(bytes: usize) -> Vec<u8> {
    let [.., high, low] = (bytes - 3).to_be_bytes();
    [&[0x59, high, low][..], &vec![0; bytes - 3]].concat()
}

/// Messages of a handshake that is over.
fn late() -> Vec<Row> {
    const LATE: Expected = Violation("a handshake message after the handshake");
    let refuse = message(kinds::REFUSE, 0, &[&number(31), &text("no")]);
    vec![
        row("a second hello", &[put_hello(hello())], LATE),
        row("services again", &[services(&["s"], true)], LATE),
        row("ready again", &[control(&Control::Ready)], LATE),
        row("a refusal", &[refuse], LATE),
    ]
}

/// Answers to calls that are not under way; our own is number 1.
fn answers() -> Vec<Row> {
    let failure = message(kinds::FAILURE, 7, &[&text("X"), &text("y"), TRUE, &blob(NULL)]);
    let compressed = message_with(kinds::REPLY, 1, &map(&[(number(2), TRUE)]), &[&blob(NULL)]);
    vec![
        row("a reply to no call", &[reply(7)], Counted(late_answers, 1)),
        row("a failure of no call", &[failure], Counted(late_answers, 1)),
        row("a fault about another call", &[fault(7, ErrorKind::Busy)], Counted(late_answers, 1)),
        row("a reply to the last number there is", &[reply(u64::MAX)], Counted(late_answers, 1)),
        row("two replies", &[reply(1), reply(1)], Counted(late_answers, 1)),
        row(
            "a reply and a fault",
            &[reply(1), fault(1, ErrorKind::Busy)],
            Counted(late_answers, 1),
        ),
        row("a fault about no call", &[fault(0, ErrorKind::Busy)], Told(ErrorKind::Busy, "a b")),
        row(
            "a fault with a text over two lines",
            &[fault(1, ErrorKind::NoHandler)],
            Ended(ErrorKind::NoHandler, "Never: a b"),
        ),
        row(
            "an answer that can't be read without a header",
            &[compressed],
            Ended(
                ErrorKind::Unsupported,
                "Happened: the answer has header 2, which is not part of protocol 1",
            ),
        ),
    ]
}

/// Requests too many, twice, or taken back.
fn calls() -> Vec<Row> {
    const IN_USE: Expected = Violation("a request with a number that is in use");
    let held = |call| request(call, HELD, NULL);
    let cancel = |call| message(kinds::CANCEL, call, &[]);
    vec![
        row("a number that is in use", &[held(3), held(3)], IN_USE).held(1),
        row("a number in use for another event", &[held(3), request(3, "a", NULL)], IN_USE).held(1),
        row("a number taken back while its handler runs", &[held(3), cancel(3), held(3)], IN_USE)
            .held(1),
        row(
            "more data than this node takes",
            &[request(3, "a", &data(4_097))],
            Fault(3, ErrorKind::TooLarge, "the data has 4097 bytes, … takes 4096"),
        ),
        row("as much data as this node takes", &[request(3, HELD, &data(4_096))], Ignored).held(1),
        row(
            "a tick with more data than this node takes",
            &[tick("a", &data(4_097))],
            Fault(0, ErrorKind::TooLarge, "the data has 4097 bytes, … takes 4096"),
        ),
        row("a cancel of no call", &[cancel(99)], Ignored),
        row("a cancel twice", &[cancel(99), cancel(99)], Ignored),
        row("a cancel of our own call", &[cancel(1)], Ignored),
        row(
            "requests beyond the number that was granted",
            &[held(3), held(5), request(7, "a", NULL), cancel(3), cancel(5)],
            Fault(7, ErrorKind::Busy, "… takes 2 requests at a time from one peer"),
        )
        .held(2),
        row(
            "a flood of cancels",
            &vec![cancel(99); CONTROL_BURST as usize + 2],
            Violation("a flood of control messages"),
        ),
        row(
            "a flood of heartbeats",
            &vec![beat(0, 0); CONTROL_BURST as usize + 2],
            Violation("a flood of control messages"),
        ),
    ]
}

fn beat(ticks: u64, cost: u64) -> Vec<u8> {
    control(&Control::Heartbeat { ticks, cost, stamp: 0, echo: 0 })
}

/// Credit that was not granted, and confirmations of what was never sent.
fn ticks() -> Vec<Row> {
    const NEVER_SENT: Expected = Violation("it confirms ticks that were never sent");
    let consumed = |ticks, cost| control(&Control::Consumed { ticks, cost });
    let null = |count: usize| vec![tick(HELD, NULL); count];
    let large = || tick(HELD, &[&[0x59, 0x03, 0xe8][..], &[0; 1_000]].concat());
    vec![
        row(
            "a ninth tick of 128 in a window of 1,024",
            &null(9),
            Violation("a tick beyond the window it was granted"),
        )
        .held(8),
        row(
            "a large tick behind a small one",
            &[null(1), vec![large()]].concat(),
            Violation("a tick beyond the window it was granted"),
        )
        .held(1),
        row("a tick is confirmed that was never sent", &[consumed(1, 128)], NEVER_SENT),
        row("a cost is confirmed that was never sent", &[consumed(0, 1)], NEVER_SENT),
        row("all there is is confirmed", &[consumed(u64::MAX, u64::MAX)], NEVER_SENT),
        row("a heartbeat confirms what was never sent", &[beat(1, 128)], NEVER_SENT),
        row(
            "a window of nothing is granted",
            &[message(kinds::GRANT, 0, &[&number(0), &number(0)])],
            Ignored,
        ),
        row(
            "a window of all there is is granted",
            &[message(kinds::GRANT, 0, &[&number(u64::MAX), &number(u32::MAX.into())])],
            Ignored,
        ),
    ]
}

/// What is not part of protocol 1.
fn unknown() -> Vec<Row> {
    let with = |key: u64| map(&[(number(key), TRUE)]);
    let kind = |kind: u64, call: u64| message(kind, call, &[&[0xf9, 0x3c, 0x00]]);
    let ticked = |key| message_with(kinds::TICK, 0, &with(key), &[&text("a"), &blob(NULL)]);
    let beat = |key| message_with(kinds::HEARTBEAT, 0, &with(key), &[&[0][..]; 4]);
    let fault = |call, why| Fault(call, ErrorKind::Unsupported, why);
    vec![
        row("an unknown odd kind", &[kind(33, 0)], Counted(skipped, 1)),
        row("the last kind there is", &[kind(u64::MAX, 5)], Counted(skipped, 1)),
        row(
            "an unknown kind of three elements",
            &[vec![0x83, 0x18, 0x21, 0x00, 0xff]],
            Counted(skipped, 1),
        ),
        row(
            "an unknown even kind",
            &[kind(34, 5)],
            fault(5, "message kind 34 is not part of protocol 1"),
        ),
        row(
            "an unknown even kind about no call",
            &[kind(34, 0)],
            fault(0, "message kind 34 is not part of protocol 1"),
        ),
        row(
            "an even header of a request",
            &[request_with(3, &with(100))],
            fault(3, "header 100 is not part of protocol 1"),
        ),
        row(
            "an even header of a tick",
            &[ticked(100)],
            fault(0, "header 100 is not part of protocol 1"),
        ),
        row(
            "an even header of a tick while a request is handled",
            &[request(3, HELD, NULL), ticked(100)],
            fault(0, "header 100 is not part of protocol 1"),
        )
        .held(1),
        row(
            "an even header of a heartbeat",
            &[beat(100)],
            fault(0, "header 100 is not part of protocol 1"),
        ),
        row("an odd header of a heartbeat", &[beat(101)], Counted(headers, 1)),
        row(
            "a text header of a heartbeat",
            &[message_with(kinds::HEARTBEAT, 0, &map(&[(text("a"), TRUE)]), &[&[0][..]; 4])],
            Counted(headers, 1),
        ),
    ]
}

/// Questions for routers, and answers to questions that nobody asked.
fn routers() -> Vec<Row> {
    const NO_ROUTER: &str = "… is no router and forwards nothing";
    const NO_ANSWER: &str = "… is no router and answers no such question";
    let forward = |kind| {
        let fields: [&[u8]; 7] = [
            &number(1_000),
            &text("a"),
            &text("o"),
            &text("s"),
            &number(8),
            &array(&[]),
            &blob(NULL),
        ];
        message(kind, 3, &fields)
    };
    let refused = |why| Fault(3, ErrorKind::Refused, why);
    let question = message(kinds::DIRECTORY_QUESTION, 3, &[&blob(&[0xa0]), NULL, &number(1)]);
    let page = message(kinds::DIRECTORY_PAGE, 9, &[&[0xf4], &array(&[])]);
    vec![
        row("a request to forward", &[forward(kinds::FORWARD_REQUEST)], refused(NO_ROUTER)),
        row("a tick to forward", &[forward(kinds::FORWARD_TICK)], refused(NO_ROUTER)),
        row("a question about the directory", &[question], refused(NO_ANSWER)),
        row("a page that nobody asked for", &[page], Counted(late_answers, 1)),
    ]
}

/// Questions and news about members: nothing here is worth closing a link.
fn members() -> Vec<Row> {
    let joined =
        |id: &str, address: &str| message(kinds::MEMBER_JOINED, 0, &[&text(id), &text(address)]);
    let named = |more: &[u8]| message(kinds::MEMBERS, 9, &[more, &array(&[])]);
    vec![
        row("a question about members", &[message(kinds::JOIN_QUESTION, 3, &[NULL])], Ignored),
        row(
            "a question about members from nowhere",
            &[message(kinds::JOIN_QUESTION, 3, &[&text("nowhere at all")])],
            Counted(no_addresses, 1),
        ),
        row(
            "members that nobody asked for, without end",
            &[named(TRUE), named(TRUE)],
            Counted(late_answers, 2),
        ),
        row(
            "members that nobody asked for, under the number of a request",
            &[message(kinds::MEMBERS, 1, &[FALSE, &array(&[])])],
            Counted(late_answers, 1),
        ),
        row("a member at no address", &[joined("m", "m")], Counted(no_addresses, 1)),
        row("a member that is this node", &[joined("acceptor", "10.0.0.1:1")], Ignored),
        row("a member somewhere", &[joined("m", "10.0.0.1:1")], Ignored),
        row(
            "a member that nobody knows has left",
            &[message(kinds::MEMBER_LEFT, 0, &[&text("m")])],
            Ignored,
        ),
    ]
}

fn no_addresses(dropped: &mut Counters) -> &mut u64 {
    &mut dropped.addresses
}

/// Goodbyes, also such as make no sense, and updates that are not news.
fn farewells() -> Vec<Row> {
    let parting = |reason, ticks, cost, taken_up| {
        control(&Control::Goodbye { reason, ticks, cost, taken_up })
    };
    let goodbye = |reason, ticks, cost| parting(reason, ticks, cost, None);
    let broken = Farewell::Protocol("you\r\nforged: a line".to_owned());
    let newer = Farewell::Other { number: 77, text: String::new() };
    let options = message(kinds::OPTIONS, 0, &[&number(0), &map(&[(text("x"), TRUE)])]);
    let changed = |version: u64, last: &[u8], names: &[u8]| {
        message(kinds::SERVICES_CHANGED, 0, &[&number(version), last, names])
    };
    let names = array(&vec![&text("s")[..]; 2_049]);
    vec![
        row(
            "a goodbye that forges a line of the log",
            &[goodbye(broken, 0, 0)],
            Left("Protocol(\"the peer says: you  forged: a line\")"),
        ),
        row("a goodbye for a reason of the future", &[goodbye(newer, 0, 0)], Left("PeerLeft")),
        row(
            "a goodbye that confirms what was never sent",
            &[goodbye(Farewell::Stop, 9, 9)],
            Left("PeerLeft"),
        ),
        row(
            "a goodbye that has taken up what was never sent",
            &[parting(Farewell::Stop, 0, 0, Some(vec![CallId(0), CallId(9)]))],
            PassedOver,
        ),
        row(
            "a request behind a goodbye",
            &[goodbye(Farewell::Stop, 0, 0), request(3, "a", NULL)],
            Left("PeerLeft"),
        ),
        row("options older than those we have", &[options], Ignored),
        row("services older than those we have", &[changed(0, TRUE, &names)], Ignored),
        row(
            "more than 4,096 services in pages",
            &[changed(9, &[0xf4], &names), changed(9, TRUE, &names)],
            Violation("too many services"),
        ),
    ]
}
