//! The fields of messages without a payload.

use std::collections::BTreeMap;

use super::{filter, list, node_id, node_ids, number};
use crate::cbor::{Kind, Malformed, Reader};
use crate::config::{ADDRESS_BYTES, EVENT_BYTES, GOODBYE_CALLS, HOST_BYTES, SERVICES};
use crate::error::{ErrorKind, Execution};
use crate::id::{CallId, InstanceId, NodeId};
use crate::options::Options;
use crate::value::Value;
use crate::wire::kinds;
use crate::wire::message::{
    Control, DirectoryQuestion, Farewell, Fault, Hello, Member, execution_of,
};

/// Peers or members on one page.
const PAGE: usize = 256;
/// Capabilities a node announces.
const CAPABILITIES: usize = 64;
/// Nesting of a capability.
const CAPABILITY_DEPTH: usize = 4;

pub(super) fn read(
    kind: u64,
    call: CallId,
    reader: &mut Reader<'_>,
    skipped: &mut u64,
) -> Result<Control, Malformed> {
    Ok(match kind {
        kinds::HELLO => Control::Hello(Box::new(hello(reader)?)),
        kinds::SERVICES => {
            let last = reader.bool()?;
            Control::Services { last, names: names(reader)? }
        }
        kinds::READY => Control::Ready,
        kinds::REFUSE => {
            let kind = error_kind(reader, ErrorKind::Refused, skipped)?;
            Control::Refuse { kind, message: text(reader)? }
        }
        kinds::GOODBYE => Control::Goodbye {
            reason: Farewell::from_parts(reader.unsigned()?, reader.text()?),
            ticks: reader.unsigned()?,
            cost: reader.unsigned()?,
            taken_up: optional(reader, calls)?,
        },
        kinds::HEARTBEAT => Control::Heartbeat {
            ticks: reader.unsigned()?,
            cost: reader.unsigned()?,
            stamp: reader.unsigned()?,
            echo: reader.unsigned()?,
        },
        kinds::CONSUMED => {
            Control::Consumed { ticks: reader.unsigned()?, cost: reader.unsigned()? }
        }
        kinds::GRANT => Control::Grant { tick_window: reader.unsigned()?, calls: number(reader)? },
        kinds::CANCEL => Control::Cancel { call },
        kinds::FAULT => Control::Fault(Box::new(fault(call, reader, skipped)?)),
        kinds::OPTIONS => {
            Control::Options { version: reader.unsigned()?, options: Options::read(reader)? }
        }
        kinds::SERVICES_CHANGED => Control::ServicesChanged {
            version: reader.unsigned()?,
            last: reader.bool()?,
            names: names(reader)?,
        },
        _ => return rare(kind, call, reader),
    })
}

/// The messages of routers and of membership.
fn rare(kind: u64, call: CallId, reader: &mut Reader<'_>) -> Result<Control, Malformed> {
    Ok(match kind {
        kinds::DIRECTORY_QUESTION => {
            Control::DirectoryQuestion { call, question: question(reader)? }
        }
        kinds::DIRECTORY_PAGE => {
            let more = reader.bool()?;
            Control::DirectoryPage { call, more, peers: list(reader, PAGE, peer)? }
        }
        kinds::JOIN_QUESTION => Control::JoinQuestion { call, address: optional_address(reader)? },
        kinds::MEMBERS => {
            let more = reader.bool()?;
            Control::Members { call, more, members: list(reader, PAGE, paired_member)? }
        }
        kinds::MEMBER_JOINED => Control::MemberJoined(member(reader)?),
        kinds::MEMBER_LEFT => Control::MemberLeft { id: node_id(reader)? },
        _ => return Err(Malformed("this kind is not a control message")),
    })
}

fn hello(reader: &mut Reader<'_>) -> Result<Hello, Malformed> {
    Ok(Hello {
        id: node_id(reader)?,
        instance: instance(reader)?,
        options_version: reader.unsigned()?,
        options: Options::read(reader)?,
        services_version: reader.unsigned()?,
        host: optional(reader, host)?,
        advertise: optional_address(reader)?,
        capabilities: capabilities(reader)?,
        heartbeat_ms: number(reader)?,
        liveness_ms: number(reader)?,
        calls: number(reader)?,
        tick_window: reader.unsigned()?,
        message_bytes: reader.unsigned()?,
    })
}

fn instance(reader: &mut Reader<'_>) -> Result<InstanceId, Malformed> {
    let bytes = reader.bytes()?.try_into();
    let bytes = bytes.map_err(|_| Malformed("an instance id has 16 bytes"))?;
    Ok(InstanceId(u128::from_be_bytes(bytes)))
}

fn capabilities(reader: &mut Reader<'_>) -> Result<BTreeMap<u64, Value>, Malformed> {
    let len = reader.map()?;
    if len > CAPABILITIES {
        return Err(Malformed("too many capabilities"));
    }
    let mut out = BTreeMap::new();
    for _ in 0..len {
        let key = reader.unsigned()?;
        if out.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(Malformed("capabilities are not strictly ascending"));
        }
        out.insert(key, Value::read(reader, CAPABILITY_DEPTH)?);
    }
    Ok(out)
}

fn fault(call: CallId, reader: &mut Reader<'_>, skipped: &mut u64) -> Result<Fault, Malformed> {
    let kind = error_kind(reader, ErrorKind::Unsupported, skipped)?;
    Ok(Fault {
        call,
        kind,
        execution: execution(reader)?,
        message: text(reader)?,
        asked: node_ids(reader)?,
        handler: None,
    })
}

/// A kind of a newer version becomes `otherwise`: what a program can do about it stands in the execution and the text.
fn error_kind(
    reader: &mut Reader<'_>,
    otherwise: ErrorKind,
    skipped: &mut u64,
) -> Result<ErrorKind, Malformed> {
    let known = ErrorKind::from_number(number(reader)?);
    *skipped += u64::from(known.is_none());
    Ok(known.unwrap_or(otherwise))
}

fn execution(reader: &mut Reader<'_>) -> Result<Execution, Malformed> {
    execution_of(reader.unsigned()?).ok_or(Malformed("an execution is 0, 1 or 2"))
}

fn question(reader: &mut Reader<'_>) -> Result<DirectoryQuestion, Malformed> {
    Ok(DirectoryQuestion {
        filter: filter(reader)?.to_vec(),
        after: optional(reader, node_id)?,
        limit: number(reader)?,
    })
}

fn peer(reader: &mut Reader<'_>) -> Result<(NodeId, Options), Malformed> {
    pair(reader)?;
    Ok((node_id(reader)?, Options::read(reader)?))
}

fn paired_member(reader: &mut Reader<'_>) -> Result<Member, Malformed> {
    pair(reader)?;
    member(reader)
}

fn member(reader: &mut Reader<'_>) -> Result<Member, Malformed> {
    Ok(Member { id: node_id(reader)?, address: address(reader)? })
}

fn pair(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    if reader.array()? == 2 { Ok(()) } else { Err(Malformed("a pair was expected")) }
}

fn calls(reader: &mut Reader<'_>) -> Result<Vec<CallId>, Malformed> {
    let calls = list(reader, GOODBYE_CALLS, |reader| reader.unsigned().map(CallId))?;
    if calls.is_sorted_by(|one, next| one < next) {
        Ok(calls)
    } else {
        Err(Malformed("calls are not strictly ascending"))
    }
}

fn names(reader: &mut Reader<'_>) -> Result<Vec<String>, Malformed> {
    list(reader, SERVICES, |reader| {
        let name = reader.text()?;
        if name.is_empty() || name.len() > EVENT_BYTES {
            return Err(Malformed("a service name is empty or too long"));
        }
        Ok(name.to_owned())
    })
}

fn optional_address(reader: &mut Reader<'_>) -> Result<Option<String>, Malformed> {
    optional(reader, address)
}

/// Not whether it is one: what cannot be dialled is no reason to close a link.
fn address(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let address = text(reader)?;
    if address.len() > ADDRESS_BYTES {
        Err(Malformed("an address is too long"))
    } else {
        Ok(address)
    }
}

fn host(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let host = text(reader)?;
    if host.len() > HOST_BYTES { Err(Malformed("a host is too long")) } else { Ok(host) }
}

fn optional<'a, T>(
    reader: &mut Reader<'a>,
    read: impl Fn(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    match reader.kind()? {
        Kind::Null => reader.null().map(|()| None),
        _ => read(reader).map(Some),
    }
}

fn text(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    reader.text().map(str::to_owned)
}
