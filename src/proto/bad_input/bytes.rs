//! Bytes as rows write them: messages from the crate's own writers, and items by hand where the writers can't be wrong enough.

use std::collections::BTreeMap;

use crate::cbor::{put_array, put_bytes, put_map, put_text, put_unsigned};
use crate::headers::Headers;
use crate::id::{CallId, InstanceId, NodeId};
use crate::options::Options;
use crate::wire::{self, Control, DataHead, Hello, put_control, put_data_head, put_frame_head};

pub(super) use wire::kinds;

/// The item null, and no headers.
pub(super) const NULL: &[u8] = &[0xf6];
pub(super) const NONE: &[u8] = &[0xa0];
pub(super) const FALSE: &[u8] = &[0xf4];
pub(super) const TRUE: &[u8] = &[0xf5];

/// A whole message in one frame.
pub(super) fn frame(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame_head(&mut out, message.len(), false, false);
    out.extend_from_slice(message);
    out
}

/// Several whole messages.
pub(super) fn frames(messages: &[Vec<u8>]) -> Vec<u8> {
    messages.iter().flat_map(|message| frame(message)).collect()
}

/// A length word alone.
pub(super) fn word(word: u32) -> Vec<u8> {
    word.to_be_bytes().to_vec()
}

/// An array of these items.
pub(super) fn array(items: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    put_array(&mut out, items.len());
    out.extend(items.concat());
    out
}

/// A map of these keys and values, in the order in which they stand.
pub(super) fn map(entries: &[(Vec<u8>, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    put_map(&mut out, entries.len());
    for (key, value) in entries {
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    out
}

pub(super) fn number(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_unsigned(&mut out, number);
    out
}

pub(super) fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_text(&mut out, text);
    out
}

pub(super) fn blob(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, bytes);
    out
}

/// The envelope of that kind about that call, without headers, and with these fields.
pub(super) fn message(kind: u64, call: u64, fields: &[&[u8]]) -> Vec<u8> {
    message_with(kind, call, NONE, fields)
}

/// The same with headers.
pub(super) fn message_with(kind: u64, call: u64, headers: &[u8], fields: &[&[u8]]) -> Vec<u8> {
    let (kind, call) = (number(kind), number(call));
    array(&[&[&kind, &call, headers][..], fields].concat())
}

pub(super) fn control(control: &Control) -> Vec<u8> {
    let mut out = Vec::new();
    put_control(&mut out, control);
    out
}

/// A legal request, with any payload.
pub(super) fn request(call: u64, event: &str, payload: &[u8]) -> Vec<u8> {
    let headers = Headers::default();
    let head = DataHead::Request {
        call: CallId(call),
        timeout_ms: 5_000,
        depth: 0,
        event: event.as_bytes(),
        headers: &headers,
        origin: None,
    };
    with_payload(&head, payload)
}

/// A request with headers of one's own.
pub(super) fn request_with(call: u64, headers: &[u8]) -> Vec<u8> {
    message_with(kinds::REQUEST, call, headers, &[&number(5_000), &text("a"), &blob(NULL)])
}

/// A legal tick, with any payload.
pub(super) fn tick(event: &str, payload: &[u8]) -> Vec<u8> {
    let headers = Headers::default();
    with_payload(
        &DataHead::Tick { event: event.as_bytes(), headers: &headers, origin: None },
        payload,
    )
}

fn with_payload(head: &DataHead<'_>, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_data_head(&mut out, head, payload.len());
    out.extend_from_slice(payload);
    out
}

/// What somebody says who may join.
pub(super) fn hello() -> Hello {
    let id = NodeId::new("evil").expect("a legal id");
    Hello {
        options: Options::default().with_id(&id),
        id,
        instance: InstanceId(99),
        options_version: 1,
        services_version: 1,
        host: None,
        advertise: None,
        capabilities: BTreeMap::new(),
        heartbeat_ms: 2_000,
        liveness_ms: 10_000,
        calls: 1_024,
        tick_window: 65_536,
        message_bytes: 1 << 20,
    }
}

pub(super) fn put_hello(hello: Hello) -> Vec<u8> {
    control(&Control::Hello(Box::new(hello)))
}

pub(super) fn services(names: &[&str], last: bool) -> Vec<u8> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    control(&Control::Services { names, last })
}

/// A hello whose field at that place (0 is the id) is another item.
pub(super) fn hello_but(place: usize, item: &[u8]) -> Vec<u8> {
    let fields: [Vec<u8>; 13] = [
        text("evil"),
        blob(&[9; 16]),
        number(1),
        map(&[(text("_id"), &text("evil"))]),
        number(1),
        NULL.to_vec(),
        NULL.to_vec(),
        NONE.to_vec(),
        number(2_000),
        number(10_000),
        number(1_024),
        number(65_536),
        number(1 << 20),
    ];
    let mut fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
    fields[place] = item;
    message(kinds::HELLO, 0, &fields)
}
