//! Handshakes that go wrong after the greeting.

use super::Expected::{Refusal, TurnedAway, Violation};
use super::bytes::{
    NULL, array, blob, control, frame, frames, hello, hello_but, kinds, map, message, message_with,
    number, put_hello, request, services, text, tick,
};
use super::{ACCEPTED, DIALLED, Expected, Row, Stage};
use crate::error::ErrorKind;
use crate::id::{InstanceId, NodeId};
use crate::wire::{Control, Farewell, Hello};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = hellos();
    rows.extend(orders());
    rows.extend(others());
    rows.extend(refusals());
    rows
}

fn row(name: &str, messages: &[Vec<u8>], expected: Expected) -> Row {
    Row::new(name, Stage::Handshake, frames(messages), expected)
}

/// A field of the hello that may not be like that.
fn hellos() -> Vec<Row> {
    const ID: &str = "a malformed message of kind 1: a text is not a node id";
    const INSTANCE: &str = "a malformed message of kind 1: an instance id has 16 bytes";
    const RANGE: &str = "a malformed message of kind 1: a number is out of its range";
    let of = |name: &str, place, item: &[u8], why| {
        Row::new(name, Stage::Handshake, frame(&hello_but(place, item)), Violation(why))
    };
    let long = |len: usize| text(&"x".repeat(len));
    let capabilities: Vec<(Vec<u8>, &[u8])> = (0..65).map(|at| (number(at), NULL)).collect();
    let deep = [&[0x81; 5][..], NULL].concat();
    let wide = number(1 << 32);
    vec![
        of("an empty id", 0, &text(""), ID),
        of("an id of 129 bytes", 0, &long(129), ID),
        of("an id that cannot be printed", 0, &text("a\u{7f}"), ID),
        of(
            "an id that is not UTF-8",
            0,
            &[0x61, 0xff],
            "a malformed message of kind 1: a text is not UTF-8",
        ),
        of(
            "a number for an id",
            0,
            &number(1),
            "a malformed message of kind 1: a text was expected",
        ),
        of("an instance of 15 bytes", 1, &blob(&[9; 15]), INSTANCE),
        of("an instance of 17 bytes", 1, &blob(&[9; 17]), INSTANCE),
        of(
            "a list for options in a hello",
            3,
            &array(&[]),
            "a malformed message of kind 1: a map was expected",
        ),
        of(
            "options of too many bytes in a hello",
            3,
            &map(&[(text("a"), &long(8_190))]),
            "a malformed message of kind 1: a value has too many bytes",
        ),
        of(
            "a number for a host",
            5,
            &number(1),
            "a malformed message of kind 1: a text was expected",
        ),
        of(
            "65 capabilities",
            7,
            &map(&capabilities),
            "a malformed message of kind 1: too many capabilities",
        ),
        of(
            "a capability twice",
            7,
            &map(&[(number(1), NULL), (number(1), NULL)]),
            "a malformed message of kind 1: capabilities are not strictly ascending",
        ),
        of(
            "a capability that is too deep",
            7,
            &map(&[(number(1), &deep)]),
            "a malformed message of kind 1: values nest too deep",
        ),
        of("a heartbeat of 2^32 ms", 8, &wide, RANGE),
        of("a liveness of 2^32 ms", 9, &wide, RANGE),
        of("2^32 calls", 10, &wide, RANGE),
    ]
}

/// Messages of the handshake in the wrong order.
fn orders() -> Vec<Row> {
    const ORDER: Expected = Violation("a message that does not belong here in the handshake");
    const MANY: Expected = Violation("more than 4096 services or 262144 bytes of them");
    let (hello, ready) = (put_hello(hello()), control(&Control::Ready));
    let (page, last) = (services(&["s"], false), services(&["s"], true));
    let [h, r, p, l] = [&hello, &ready, &page, &last].map(|message| || message.clone());
    let name = "x".repeat(1_000);
    let pages =
        |count: usize, names: &[&str]| [vec![h()], vec![services(names, false); count]].concat();
    vec![
        row("services first", &[p()], ORDER),
        row("ready first", &[r()], ORDER),
        row("a second hello", &[h(), h()], ORDER),
        row("a second hello between the services", &[h(), p(), h()], ORDER),
        row("ready before the services", &[h(), r()], ORDER),
        row("ready between the services", &[h(), p(), r()], ORDER),
        row("services behind the last", &[h(), l(), p()], ORDER),
        row("more than 4,096 services", &pages(2, &["s"; 2_049]), MANY),
        row("more than 262,144 bytes of services", &pages(19, &[&name[..]; 14]), MANY),
    ]
}

/// Messages that have no place in a handshake.
fn others() -> Vec<Row> {
    const EARLY: Expected = Violation("a message before the handshake was complete");
    const ORDER: Expected = Violation("a message that does not belong here in the handshake");
    let hello = || put_hello(hello());
    let beat = control(&Control::Heartbeat { ticks: 0, cost: 0, stamp: 1, echo: 0 });
    let marked = message_with(kinds::READY, 0, &map(&[(number(2), NULL)]), &[]);
    let refusing = message_with(kinds::READY, 0, &map(&[(number(2), &[0xf5])]), &[]);
    vec![
        row("a request first", &[request(1, "a", NULL)], EARLY),
        row("a request behind the hello", &[hello(), request(1, "a", NULL)], EARLY),
        row("a tick first", &[tick("a", NULL)], EARLY),
        row("a reply first", &[message(kinds::REPLY, 1, &[&blob(NULL)])], EARLY),
        row("an unknown odd kind first", &[message(33, 0, &[])], EARLY),
        row("an unknown even kind first", &[message(34, 0, &[])], EARLY),
        row("an unknown even header", &[refusing], EARLY),
        row(
            "null for a header in the handshake",
            &[marked],
            Violation(
                "a malformed message of kind 5: a header is a text, bytes, an integer or a bool",
            ),
        ),
        row("a heartbeat first", std::slice::from_ref(&beat), ORDER),
        row("a heartbeat behind the hello", &[hello(), beat], ORDER),
        row("a cancel first", &[message(kinds::CANCEL, 1, &[])], ORDER),
        row("a grant first", &[message(kinds::GRANT, 0, &[&number(1), &number(1)])], ORDER),
        row("options first", &[message(kinds::OPTIONS, 0, &[&number(1), &[0xa0]])], ORDER),
        row(
            "a fault first",
            &[message(kinds::FAULT, 0, &[&number(26), &number(0), &text("x"), &array(&[])])],
            ORDER,
        ),
    ]
}

/// Who may not join, and who does not want to.
fn refusals() -> Vec<Row> {
    let joins =
        |hello: Hello| vec![put_hello(hello), services(&[], true), control(&Control::Ready)];
    let dialled = |hello: Hello| vec![put_hello(hello), services(&[], true)];
    let named = |id: &str, instance| Hello {
        id: NodeId::new(id).expect("a legal id"),
        instance: InstanceId(instance),
        ..hello()
    };
    let goodbye = control(&Control::Goodbye {
        reason: Farewell::Stop,
        ticks: 0,
        cost: 0,
        taken_up: Some(Vec::new()),
    });
    let refuse = |kind: u64, why: &str| message(kinds::REFUSE, 0, &[&number(kind), &text(why)]);
    let own_id = |id| match id {
        "acceptor" => "127.0.0.1:1 has this node's own id acceptor; give one of the two another id",
        _ => "127.0.0.1:1 has this node's own id dialler; give one of the two another id",
    };
    let myself =
        Refusal(ErrorKind::InvalidAddress, "127.0.0.1:1 is this node itself; dial another one");
    let mine = |id| Refusal(ErrorKind::DuplicateId, own_id(id));
    vec![
        row("our own id dials", &joins(named("acceptor", 99)), mine("acceptor")).only(ACCEPTED),
        row("our own id is dialled", &dialled(named("dialler", 99)), mine("dialler")).only(DIALLED),
        row("our own instance dials", &joins(named("acceptor", 1)), myself).only(ACCEPTED),
        row("our own instance is dialled", &dialled(named("dialler", 2)), myself).only(DIALLED),
        row(
            "a goodbye first",
            &[goodbye],
            TurnedAway(
                ErrorKind::ConnectFailed,
                "127.0.0.1:1 said goodbye before the handshake was complete",
            ),
        ),
        row(
            "a refusal first",
            &[refuse(31, "no\nentry")],
            TurnedAway(ErrorKind::Forbidden, "127.0.0.1:1 refused this node: no entry"),
        ),
        row(
            "a refusal of an unknown kind",
            &[refuse(60_000, "no")],
            TurnedAway(ErrorKind::Refused, "127.0.0.1:1 refused this node: no"),
        ),
    ]
}
