//! What peers of a router say that makes no sense to forward, and what routers answer to something else.

use super::Expected::{Ended, Fault, Page};
use super::bytes::{FALSE, NULL, array, blob, frames, kinds, message, number, text};
use super::{ACCEPTED, Expected, Row, Stage};
use crate::error::ErrorKind;

/// The filter that matches everybody.
const ANYBODY: &[u8] = &[0xa0];
const NO_MATCH: &str = "… knows no node that matches";
const NO_WAY: &str = "… knows no way to …";
const OTHERWISE: &str = "Unknown: the peer answered as if something else had been asked";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = forwards();
    rows.extend(questions());
    rows.extend(answers());
    rows
}

fn row(name: &str, bytes: Vec<u8>, expected: Expected) -> Row {
    Row::new(name, Stage::Router, frames(&[bytes]), expected)
}

/// Of a router.
fn among(name: &str, bytes: Vec<u8>, expected: Expected) -> Row {
    Row::new(name, Stage::Routers, frames(&[bytes]), expected)
}

/// A forward of `origin` for somebody, with so many hops left.
fn forward(kind: u64, event: &str, origin: &str, target: &[u8], hops: u64, by: &[&str]) -> Vec<u8> {
    let by: Vec<Vec<u8>> = by.iter().map(|router| text(router)).collect();
    let by: Vec<&[u8]> = by.iter().map(Vec::as_slice).collect();
    let (timeout, event, origin) = (number(1_000), text(event), text(origin));
    let fields: [&[u8]; 7] =
        [&timeout, &event, &origin, target, &number(hops), &array(&by), &blob(NULL)];
    message(kind, 3, &fields)
}

fn request(event: &str, origin: &str, target: &[u8]) -> Vec<u8> {
    forward(kinds::FORWARD_REQUEST, event, origin, target, 8, &[])
}

fn forwards() -> Vec<Row> {
    let fault = |kind, why| Fault(3, kind, why);
    let no_match = fault(ErrorKind::NoNodesMatchFilter, NO_MATCH);
    let no_way = fault(ErrorKind::NodeNotFound, NO_WAY);
    let no_filter = fault(ErrorKind::InvalidFilter, "…");
    let tick = |target: &[u8]| forward(kinds::FORWARD_TICK, "a", "o", target, 8, &[]);
    let hops = |hops| forward(kinds::FORWARD_REQUEST, "a", "o", &blob(ANYBODY), hops, &[]);
    let all: Vec<String> = (0..32).map(|router| format!("router-{router}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let by = |by: &[&str]| forward(kinds::FORWARD_REQUEST, "a", "o", &blob(ANYBODY), 8, by);
    let unknown = [&[0xa1][..], &text("a"), &[0xa1], &text("$zz"), NULL].concat();
    vec![
        row("a filter that is null", request("a", "o", &blob(NULL)), no_filter),
        row("a filter that is a text", request("a", "o", &blob(&text("red"))), no_filter),
        row("a filter with an unknown operator", request("a", "o", &blob(&unknown)), no_filter),
        row("a tick by a filter that is null", tick(&blob(NULL)), no_filter),
        row("a tick for no node", tick(&text("mars")), no_way),
        row("255 hops left", hops(255), no_match),
        row("no hops left", hops(0), no_match),
        row(
            "an event that is no path",
            request("user:get", "o", NULL),
            fault(ErrorKind::InvalidPath, "…"),
        ),
        row(
            "a path that no node serves",
            request("/a/*", "o", NULL),
            fault(ErrorKind::NotFound, "… knows no node that serves it"),
        ),
        row("an origin that the sender makes up", request("a", "o", &blob(ANYBODY)), no_match),
        row("a message for its sender", request("a", "o", &text("dialler")), no_way).only(ACCEPTED),
        row("a message for the router", request("a", "o", &text("acceptor")), no_way)
            .only(ACCEPTED),
        among("a message of the router itself", request("a", "acceptor", &text("b")), no_way)
            .only(ACCEPTED),
        among("a router that was asked before", by(&["dialler", "acceptor"]), no_match)
            .only(ACCEPTED),
        among("32 routers that were asked before", by(&all), no_match),
    ]
}

fn questions() -> Vec<Row> {
    let question = |filter: &[u8], after: &[u8], limit| {
        message(kinds::DIRECTORY_QUESTION, 3, &[&blob(filter), after, &number(limit)])
    };
    let no_filter = Fault(3, ErrorKind::InvalidFilter, "…");
    vec![
        row("a question with a filter that is null", question(NULL, NULL, 1), no_filter),
        row("a query that matches no node", question(ANYBODY, NULL, 0), Page(3, 0)),
        row(
            "a question for as many as can be said",
            question(ANYBODY, NULL, 0xffff_ffff),
            Page(3, 0),
        ),
        row("a question behind the last one", question(ANYBODY, &text("zz"), 1), Page(3, 0)),
    ]
}

/// Our call 1 is a request at a plain peer, and a question at a router.
fn answers() -> Vec<Row> {
    let page = message(kinds::DIRECTORY_PAGE, 1, &[FALSE, &array(&[])]);
    let reply = message(kinds::REPLY, 1, &[&blob(NULL)]);
    vec![
        row("a page in answer to a request", page, Ended(ErrorKind::Unsupported, OTHERWISE)),
        among("a reply to a question", reply, Ended(ErrorKind::Unsupported, OTHERWISE)),
    ]
}
