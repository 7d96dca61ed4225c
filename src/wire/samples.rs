//! One message of every kind at least, for tests and fuzzing.

use std::collections::BTreeMap;

use crate::error::{ErrorKind, Execution};
use crate::headers::Headers;
use crate::id::{CallId, InstanceId, NodeId};
use crate::options::Options;
use crate::value::Value;
use crate::wire::data::{DataHead, ForwardHead, TargetHead, put_data_head};
use crate::wire::message::{
    Control, DirectoryQuestion, Farewell, Fault, Hello, Member, put_control,
};

const CALL: CallId = CallId(7);

/// The name and the envelope of each.
pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    let controls = handshake().into_iter().chain(running()).chain(rare());
    let mut all: Vec<_> = controls
        .map(|(name, control)| {
            let mut out = Vec::new();
            put_control(&mut out, &control);
            (name, out)
        })
        .collect();
    all.extend(data());
    all.extend(forwards());
    all
}

fn id(id: &str) -> NodeId {
    NodeId::new(id).expect("samples have legal ids")
}

fn options() -> Options {
    Options::new().with("role", "api").with("load", 0.5).with("_id", "a")
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn member() -> Member {
    Member { id: id("m"), address: "10.0.0.1:7000".to_owned() }
}

fn hello() -> Hello {
    Hello {
        id: id("a"),
        instance: InstanceId(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f),
        options_version: 1,
        options: options(),
        services_version: 0,
        host: Some("rack-1".to_owned()),
        advertise: None,
        capabilities: BTreeMap::from([(1, Value::Bool(true)), (300, Value::from("x"))]),
        heartbeat_ms: 2_000,
        liveness_ms: 10_000,
        calls: 1_024,
        tick_window: 65_536,
        message_bytes: 16_777_216,
    }
}

fn handshake() -> Vec<(&'static str, Control)> {
    let bare = Hello {
        options: Options::default(),
        host: None,
        advertise: Some("10.0.0.1:7000".to_owned()),
        capabilities: BTreeMap::new(),
        ..hello()
    };
    vec![
        ("hello", Control::Hello(Box::new(hello()))),
        ("hello-bare", Control::Hello(Box::new(bare))),
        ("services", Control::Services { names: names(&["user:get", "/math/add"]), last: true }),
        ("services-none", Control::Services { names: Vec::new(), last: true }),
        ("ready", Control::Ready),
        ("refuse", Control::Refuse { kind: ErrorKind::DuplicateId, message: "taken".to_owned() }),
    ]
}

fn running() -> Vec<(&'static str, Control)> {
    let fault = Fault {
        call: CALL,
        kind: ErrorKind::NoHandler,
        execution: Execution::Never,
        message: "no handler for \"x\"".to_owned(),
        asked: Vec::new(),
        handler: None,
    };
    let passed_on = Fault { handler: Some(id("s")), ..fault.clone() };
    let no_match = Fault {
        kind: ErrorKind::NoNodesMatchFilter,
        asked: vec![id("r1"), id("r2")],
        ..fault.clone()
    };
    let broken = Farewell::Protocol("an empty frame".to_owned());
    let newer = Farewell::Other { number: 40, text: "tired".to_owned() };
    let parting = |reason, taken_up| Control::Goodbye { reason, ticks: 3, cost: 384, taken_up };
    let goodbye = |reason| parting(reason, Some(Vec::new()));
    vec![
        ("fault", Control::Fault(Box::new(fault))),
        ("fault-passed-on", Control::Fault(Box::new(passed_on))),
        ("fault-no-match", Control::Fault(Box::new(no_match))),
        ("goodbye", goodbye(Farewell::Stop)),
        ("goodbye-taken-up", parting(Farewell::Stop, Some(vec![CallId(5), CallId(300)]))),
        ("goodbye-not-known", parting(Farewell::Stop, None)),
        ("goodbye-disconnect", goodbye(Farewell::Disconnect)),
        ("goodbye-replaced", goodbye(Farewell::Replaced)),
        ("goodbye-silent", goodbye(Farewell::Silent)),
        ("goodbye-protocol", goodbye(broken)),
        ("goodbye-other", goodbye(newer)),
        ("heartbeat", Control::Heartbeat { ticks: 3, cost: 384, stamp: 1_000_000, echo: 0 }),
        ("consumed", Control::Consumed { ticks: 128, cost: 16_384 }),
        ("grant", Control::Grant { tick_window: 131_072, calls: 1_024 }),
        ("cancel", Control::Cancel { call: CALL }),
        ("options", Control::Options { version: 2, options: options() }),
        (
            "services-changed",
            Control::ServicesChanged { version: 1, last: true, names: names(&["user:get"]) },
        ),
    ]
}

fn rare() -> Vec<(&'static str, Control)> {
    let first = DirectoryQuestion { filter: vec![0xa0], after: None, limit: 256 };
    let second = DirectoryQuestion { after: Some(id("m")), ..first.clone() };
    let peers = vec![(id("a"), options()), (id("b"), Options::default())];
    vec![
        ("directory-question", Control::DirectoryQuestion { call: CALL, question: first }),
        ("directory-question-next", Control::DirectoryQuestion { call: CALL, question: second }),
        ("directory-page", Control::DirectoryPage { call: CALL, peers, more: false }),
        (
            "join-question",
            Control::JoinQuestion { call: CALL, address: Some("10.0.0.1:7000".to_owned()) },
        ),
        ("join-question-of-a-guest", Control::JoinQuestion { call: CALL, address: None }),
        ("members", Control::Members { call: CALL, members: vec![member()], more: false }),
        ("member-joined", Control::MemberJoined(member())),
        ("member-left", Control::MemberLeft { id: id("m") }),
    ]
}

fn data() -> Vec<(&'static str, Vec<u8>)> {
    let none = Headers::default();
    let mut headers = Headers::default();
    headers.insert("trace", "abc").expect("a legal header");
    headers.insert("n", 5).expect("a legal header");
    let origin = id("first");
    let request = |timeout_ms, depth, headers, origin| DataHead::Request {
        call: CALL,
        timeout_ms,
        depth,
        event: b"echo",
        headers,
        origin,
    };
    let handled = id("s");
    let failure = |has_data, handler| DataHead::Failure {
        call: CALL,
        code: "OUT_OF_STOCK",
        message: "none left",
        has_data,
        handler,
    };
    let reply = DataHead::Reply { call: CALL, handler: None };
    let passed_on = DataHead::Reply { call: CALL, handler: Some(&handled) };
    let long = "x".repeat(300);
    vec![
        ("request", with_payload(&request(10_000, 0, &none, None), &[0x18, 42])),
        ("request-nested", with_payload(&request(250, 2, &headers, Some(&origin)), &[0xf6])),
        (
            "tick",
            with_payload(
                &DataHead::Tick { event: b"note", headers: &none, origin: None },
                &[0x63, b'h', b'e', b'y'],
            ),
        ),
        (
            "tick-long",
            with_payload(
                &DataHead::Tick {
                    event: long.as_bytes(),
                    headers: &headers,
                    origin: Some(&origin),
                },
                &[0xf6],
            ),
        ),
        ("reply", with_payload(&reply, &[0x18, 84])),
        ("reply-passed-on", with_payload(&passed_on, &[0x18, 84])),
        ("reply-large", with_payload(&reply, &blob())),
        ("failure", with_payload(&failure(true, None), &[0x05])),
        ("failure-bare", with_payload(&failure(false, None), &[0xf6])),
        ("failure-passed-on", with_payload(&failure(false, Some(&handled)), &[0xf6])),
    ]
}

fn forwards() -> Vec<(&'static str, Vec<u8>)> {
    let headers = Headers::default();
    let (origin, service, visited) = (id("a"), id("s"), [id("r1")]);
    let forward = |target, visited, depth| ForwardHead {
        call: CALL,
        timeout_ms: 9_000,
        depth,
        event: b"job",
        headers: &headers,
        origin: &origin,
        target,
        hops_left: 8,
        visited,
    };
    let by_filter = forward(TargetHead::Filter(&[0xa0]), &[], 0);
    let by_id = forward(TargetHead::Id(&service), &visited, 3);
    let by_path = ForwardHead { event: b"/math/*", ..forward(TargetHead::Path, &[], 0) };
    vec![
        ("forward-request", with_payload(&DataHead::ForwardRequest(by_filter), &[0x01])),
        ("forward-request-by-id", with_payload(&DataHead::ForwardRequest(by_id), &[0x01])),
        ("forward-request-by-path", with_payload(&DataHead::ForwardRequest(by_path), &[0x01])),
        ("forward-tick", with_payload(&DataHead::ForwardTick(by_id), &[0x01])),
    ]
}

/// A byte string of 1,000 bytes as an item.
fn blob() -> Vec<u8> {
    let mut item = Vec::new();
    crate::cbor::put_bytes(&mut item, &[7; 1_000]);
    item
}

fn with_payload(head: &DataHead<'_>, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_data_head(&mut out, head, payload.len());
    out.extend_from_slice(payload);
    out
}
