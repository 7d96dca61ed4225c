//! Envelopes in the right encoding with fields that may not stand in them.

use super::Expected::Violation;
use super::bytes::{
    FALSE, NONE, NULL, TRUE, array, blob, frame, kinds, map, message, message_with, number,
    request, request_with, text, tick,
};
use super::{Row, Stage};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = calls();
    rows.extend(headers());
    rows.extend(data());
    rows.extend(controls());
    rows.extend(goodbyes());
    rows.extend(options());
    rows
}

fn row(name: &str, message: &[u8], why: &'static str) -> Row {
    Row::new(name, Stage::Joined, frame(message), Violation(why))
}

fn long(len: usize) -> Vec<u8> {
    text(&"x".repeat(len))
}

/// A call where there is none, and none where there is one.
fn calls() -> Vec<Row> {
    let beat = [&[0][..]; 4];
    vec![
        row(
            "a request without a call",
            &request(0, "a", NULL),
            "a malformed message of kind 2: this kind carries a call if and only if it is about one",
        ),
        row(
            "a reply without a call",
            &message(kinds::REPLY, 0, &[&blob(NULL)]),
            "a malformed message of kind 4: this kind carries a call if and only if it is about one",
        ),
        row(
            "a cancel without a call",
            &message(kinds::CANCEL, 0, &[]),
            "a malformed message of kind 13: this kind carries a call if and only if it is about one",
        ),
        row(
            "a tick with a call",
            &message(kinds::TICK, 3, &[&text("a"), &blob(NULL)]),
            "a malformed message of kind 10: this kind carries a call if and only if it is about one",
        ),
        row(
            "a heartbeat with a call",
            &message(kinds::HEARTBEAT, 3, &beat),
            "a malformed message of kind 11: this kind carries a call if and only if it is about one",
        ),
    ]
}

fn headers() -> Vec<Row> {
    const ORDER: &str = "a malformed message of kind 2: header keys are not strictly ascending";
    const MAP_ORDER: &str = "a malformed message of kind 2: map keys are not strictly ascending";
    const SCALAR: &str =
        "a malformed message of kind 2: a header is a text, bytes, an integer or a bool";
    const MANY: &str = "a malformed message of kind 2: too many headers";
    const ORIGIN: &str = "a malformed message of kind 2: a header is not a node id";
    const DEPTH: &str = "a malformed message of kind 2: a nesting depth is 1 to 255";
    let of = |name: &str, headers: &[(Vec<u8>, &[u8])], why| {
        row(name, &request_with(3, &map(headers)), why)
    };
    let one = |name: &str, key: u64, value: &[u8], why| of(name, &[(number(key), value)], why);
    let texts = |count: u8| -> Vec<(Vec<u8>, &[u8])> {
        (0..count).map(|at| (text(&format!("{at:02}")), TRUE)).collect()
    };
    let numbers: Vec<(Vec<u8>, &[u8])> = (0..33).map(|at| (number(2 * at + 101), TRUE)).collect();
    vec![
        of("a header twice", &[(text("a"), TRUE), (text("a"), FALSE)], MAP_ORDER),
        of("headers out of order", &[(text("b"), TRUE), (text("a"), TRUE)], MAP_ORDER),
        of("a long key before a short one", &[(text("aa"), TRUE), (text("b"), TRUE)], MAP_ORDER),
        of("a number twice", &[(number(1), TRUE), (number(1), TRUE)], ORDER),
        of("numbers out of order", &[(number(3), TRUE), (number(1), TRUE)], ORDER),
        of("a number behind a text", &[(text("a"), TRUE), (number(1), TRUE)], ORDER),
        of(
            "bytes for a key",
            &[(blob(b"a"), TRUE)],
            "a malformed message of kind 2: a text was expected",
        ),
        of("an array for a header", &[(text("a"), &array(&[]))], SCALAR),
        of("a map for a header", &[(text("a"), NONE)], SCALAR),
        of("null for a header", &[(text("a"), NULL)], SCALAR),
        of("a float for a header", &[(text("a"), &[0xf9, 0x38, 0])], SCALAR),
        of(
            "a tag for a header",
            &[(text("a"), &[0xc0, 0x61, b'a'])],
            "a malformed message of kind 2: tags are not allowed",
        ),
        of("33 headers", &texts(33), MANY),
        of("33 headers with numbers", &numbers, MANY),
        of(
            "more bytes of headers than fit",
            &[(text("a"), &long(4_092))],
            "a malformed message of kind 2: headers have too many bytes",
        ),
        one("a depth of 0", 5, &number(0), DEPTH),
        one("a depth of 256", 5, &number(256), DEPTH),
        one("a text for a depth", 5, &text("1"), DEPTH),
        one("an empty origin", 7, &text(""), ORIGIN),
        one("an origin of 129 bytes", 7, &long(129), ORIGIN),
        one("an origin that cannot be printed", 7, &text("a\nb"), ORIGIN),
        one("a number for an origin", 7, &number(1), ORIGIN),
    ]
}

fn data() -> Vec<Row> {
    const NAME: &str = "a malformed message of kind 2: an event name is not allowed";
    let asks =
        |timeout: &[u8], event: &[u8]| message(kinds::REQUEST, 3, &[timeout, event, &blob(NULL)]);
    let named = |name: &str, event: &[u8], why| row(name, &asks(&number(5_000), event), why);
    let after = |name: &str, timeout: &[u8], why| row(name, &asks(timeout, &text("a")), why);
    let fails = |code: &[u8], has_data: &[u8], payload: &[u8]| {
        message(kinds::FAILURE, 1, &[code, &text("x"), has_data, &blob(payload)])
    };
    vec![
        named("an empty event", &text(""), NAME),
        named("an event of 1,025 bytes", &long(1_025), NAME),
        named("a reserved event", &text("_system:x"), NAME),
        named("an event that cannot be printed", &text("a\u{1b}b"), NAME),
        named(
            "an event that is not UTF-8",
            &[0x62, 0xc3, 0x28],
            "a malformed message of kind 2: a text is not UTF-8",
        ),
        named(
            "bytes for an event",
            &blob(b"a"),
            "a malformed message of kind 2: a text was expected",
        ),
        row(
            "a tick without a name",
            &tick("", NULL),
            "a malformed message of kind 10: an event name is not allowed",
        ),
        after(
            "a negative timeout",
            &[0x20],
            "a malformed message of kind 2: an unsigned integer was expected",
        ),
        after(
            "null for a timeout",
            NULL,
            "a malformed message of kind 2: an unsigned integer was expected",
        ),
        row(
            "a number for a code",
            &fails(&number(1), TRUE, NULL),
            "a malformed message of kind 6: a text was expected",
        ),
        row(
            "a number for a bool",
            &fails(&text("X"), &number(1), NULL),
            "a malformed message of kind 6: a bool was expected",
        ),
        row(
            "data in a failure without data",
            &fails(&text("X"), FALSE, &[0x01]),
            "a malformed message of kind 6: a failure without data has the item null",
        ),
        row(
            "a target that is a number",
            &forward(&number(1), &number(8), &array(&[])),
            "a malformed message of kind 12: a byte string was expected",
        ),
        row(
            "a filter of 4,097 bytes",
            &forward(&blob(&[0; 4_097]), &number(8), &array(&[])),
            "a malformed message of kind 12: a filter is too long",
        ),
        row(
            "256 hops",
            &forward(&text("s"), &number(256), &array(&[])),
            "a malformed message of kind 12: a number is out of its range",
        ),
        row(
            "33 visited routers",
            &forward(&text("s"), &number(8), &array(&vec![&text("r")[..]; 33])),
            "a malformed message of kind 12: a list has too many elements",
        ),
    ]
}

fn forward(target: &[u8], hops: &[u8], visited: &[u8]) -> Vec<u8> {
    let (timeout, event, origin) = (number(1_000), text("a"), text("o"));
    let fields: [&[u8]; 7] = [&timeout, &event, &origin, target, hops, visited, &blob(NULL)];
    message(kinds::FORWARD_REQUEST, 3, &fields)
}

fn controls() -> Vec<Row> {
    let fault = |kind: &[u8], execution: &[u8], why: &[u8], asked: &[u8]| {
        message(kinds::FAULT, 1, &[kind, execution, why, asked])
    };
    let (busy, never, none) = (number(26), number(0), array(&[]));
    let wide = number(1 << 32);
    let changed = |names: &[u8]| message(kinds::SERVICES_CHANGED, 0, &[&number(2), TRUE, names]);
    let page = |peers: &[u8]| message(kinds::DIRECTORY_PAGE, 9, &[FALSE, peers]);
    vec![
        row(
            "an execution of 3",
            &fault(&busy, &number(3), &text(""), &none),
            "a malformed message of kind 8: an execution is 0, 1 or 2",
        ),
        row(
            "an error of 65,536",
            &fault(&number(65_536), &never, &text(""), &none),
            "a malformed message of kind 8: a number is out of its range",
        ),
        row(
            "bytes for a reason",
            &fault(&busy, &never, &blob(b"x"), &none),
            "a malformed message of kind 8: a text was expected",
        ),
        row(
            "33 routers that were asked",
            &fault(&busy, &never, &text(""), &array(&vec![&text("r")[..]; 33])),
            "a malformed message of kind 8: a list has too many elements",
        ),
        row(
            "a router without a name",
            &fault(&busy, &never, &text(""), &array(&[&text("")])),
            "a malformed message of kind 8: a text is not a node id",
        ),
        row(
            "a grant of 2^32 calls",
            &message(kinds::GRANT, 0, &[&number(1), &wide]),
            "a malformed message of kind 17: a number is out of its range",
        ),
        row(
            "a text for a window",
            &message(kinds::GRANT, 0, &[&text("1"), &number(1)]),
            "a malformed message of kind 17: an unsigned integer was expected",
        ),
        row(
            "a service without a name",
            &changed(&array(&[&text("")])),
            "a malformed message of kind 21: a service name is empty or too long",
        ),
        row(
            "a service of 1,025 bytes",
            &changed(&array(&[&long(1_025)])),
            "a malformed message of kind 21: a service name is empty or too long",
        ),
        row(
            "4,097 services on one page",
            &changed(&array(&vec![&text("s")[..]; 4_097])),
            "a malformed message of kind 21: a list has too many elements",
        ),
        row(
            "257 peers on one page",
            &page(&array(&vec![&array(&[&text("p"), NONE])[..]; 257])),
            "a malformed message of kind 18: a list has too many elements",
        ),
        row(
            "a peer of three parts",
            &page(&array(&[&array(&[&text("p"), NONE, NONE])])),
            "a malformed message of kind 18: a pair was expected",
        ),
        row(
            "a question about a filter of 4,097 bytes",
            &message(kinds::DIRECTORY_QUESTION, 3, &[&blob(&[0; 4_097]), NULL, &number(1)]),
            "a malformed message of kind 16: a filter is too long",
        ),
        row(
            "a member without a name",
            &message(kinds::MEMBER_LEFT, 0, &[&text("")]),
            "a malformed message of kind 25: a text is not a node id",
        ),
        row(
            "a goodbye whose reason is a text",
            &message(kinds::GOODBYE, 0, &[&text("bye"), &text(""), &[0], &[0], NULL]),
            "a malformed message of kind 9: an unsigned integer was expected",
        ),
        row(
            "a heartbeat whose headers are not in order",
            &message_with(
                kinds::HEARTBEAT,
                0,
                &map(&[(number(3), TRUE), (number(1), TRUE)]),
                &[&[0][..]; 4],
            ),
            "a malformed message of kind 11: header keys are not strictly ascending",
        ),
    ]
}

/// What a peer may not say it has taken up.
fn goodbyes() -> Vec<Row> {
    const ORDER: &str = "a malformed message of kind 9: calls are not strictly ascending";
    let goodbye = |calls: &[u8]| message(kinds::GOODBYE, 0, &[&[0], &text(""), &[0], &[0], calls]);
    let listed = |numbers: &[u64]| {
        let numbers: Vec<Vec<u8>> = numbers.iter().map(|call| number(*call)).collect();
        goodbye(&array(&numbers.iter().map(Vec::as_slice).collect::<Vec<_>>()))
    };
    let many: Vec<u64> = (1..=1_025).collect();
    vec![
        row(
            "a goodbye with 1,025 calls",
            &listed(&many),
            "a malformed message of kind 9: a list has too many elements",
        ),
        row("a goodbye with a call twice", &listed(&[3, 3]), ORDER),
        row("a goodbye with calls out of order", &listed(&[3, 2]), ORDER),
        row(
            "a goodbye with a text for its calls",
            &goodbye(&text("3")),
            "a malformed message of kind 9: an array was expected",
        ),
        row(
            "a goodbye with a text among its calls",
            &goodbye(&array(&[&text("3")])),
            "a malformed message of kind 9: an unsigned integer was expected",
        ),
        row(
            "a goodbye without its calls",
            &message(kinds::GOODBYE, 0, &[&[0], &text(""), &[0], &[0]]),
            "a malformed message of kind 9: this kind has another number of elements",
        ),
    ]
}

fn options() -> Vec<Row> {
    const ORDER: &str = "a malformed message of kind 19: map keys are not strictly ascending";
    const FLOAT: &str = "a malformed message of kind 19: a float is not in its shortest form";
    let told = |options: &[u8]| message(kinds::OPTIONS, 0, &[&number(2), options]);
    let of = |name: &str, options: &[(Vec<u8>, &[u8])], why| row(name, &told(&map(options)), why);
    let many: Vec<(Vec<u8>, &[u8])> = (0..65).map(|at| (text(&format!("{at:02}")), TRUE)).collect();
    let deep = [&[0x81, 0x81, 0x81, 0x81][..], NULL].concat();
    let a = || text("a");
    vec![
        of("an option twice", &[(a(), TRUE), (a(), TRUE)], ORDER),
        of("options out of order", &[(text("b"), TRUE), (a(), TRUE)], ORDER),
        of("65 options", &many, "a malformed message of kind 19: options have too many entries"),
        of(
            "options of too many bytes",
            &[(a(), &long(8_187))],
            "a malformed message of kind 19: a value has too many bytes",
        ),
        of(
            "options that are too deep",
            &[(a(), &deep)],
            "a malformed message of kind 19: values nest too deep",
        ),
        of(
            "a number for the key of an option",
            &[(number(1), TRUE)],
            "a malformed message of kind 19: a text was expected",
        ),
        of("a half in nine bytes", &[(a(), &[0xfb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0])], FLOAT),
        of("another NaN", &[(a(), &[0xf9, 0x7e, 0x01])], FLOAT),
        of(
            "a tag in an option",
            &[(a(), &[0xc1, 0x00])],
            "a malformed message of kind 19: tags are not allowed",
        ),
        of(
            "a list of indefinite length",
            &[(a(), &[0x9f, 0xff])],
            "a malformed message of kind 19: indefinite lengths are not allowed",
        ),
        of(
            "an undefined option",
            &[(a(), &[0xf7])],
            "a malformed message of kind 19: an unknown simple value",
        ),
        row(
            "a list for options",
            &told(&array(&[])),
            "a malformed message of kind 19: a map was expected",
        ),
    ]
}
