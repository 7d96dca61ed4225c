//! The forms in which one node is named.

use std::net::SocketAddr;

use super::*;
use crate::address::Address;

/// The peer `named` is called like an address; `dialled` does not say where it listens.
fn nodes() -> PathTable {
    let dialled = PeerEntry {
        up: Some(face(9, "10.0.0.7:7000")),
        address: None,
        ..peer(2, "dialled", &["/x"])
    };
    let by_name =
        PeerEntry { address: Some("db.example:4000".parse().unwrap()), ..peer(3, "by-name", &[]) };
    table(Some(own(&[])), [peer(1, "host:80", &["/x"]), dialled, by_name])
}

fn to(target: impl Into<SendTo>) -> String {
    shown(&SendToTarget::new(target), "//x/*/", &nodes())
}

#[test]
fn a_text_is_a_known_node_then_an_address_then_an_id() {
    let _bound = crate::bound::bound();
    for (text, expected) in [
        ("dialled", "one: dialled /x/*"),
        ("host:80", "one: host:80 /x/*"),
        ("host:81", "one: @host:81 /x/*"),
        ("tcp://Host:81", "one: @host:81 /x/*"),
        ("nobody", "one: nobody /x/*"),
        ("self", "one: self /x/*"),
        ("", "in order: "),
        ("line\nfeed", "in order: "),
    ] {
        assert_eq!(to(text), expected, "{text:?}");
        let owned = text.to_owned();
        assert_eq!(to(&owned), expected, "{text:?}");
        assert_eq!(to(owned), expected, "{text:?}");
    }
}

#[test]
fn an_address_of_a_known_node_is_that_node_and_any_other_stays_one() {
    let _bound = crate::bound::bound();
    for (address, expected) in [
        ("10.0.0.99:4000", "one: self /x/*"),
        ("10.0.0.1:4000", "one: host:80 /x/*"),
        ("10.0.0.1:50000", "one: host:80 /x/*"),
        ("10.0.0.7:7000", "one: dialled /x/*"),
        ("DB.example:4000", "one: by-name /x/*"),
        ("db.example:4001", "one: @db.example:4001 /x/*"),
        ("10.0.0.2:4000", "one: @10.0.0.2:4000 /x/*"),
        // What stands where the node itself has no link is no address of it.
        ("0.0.0.0:0", "one: @0.0.0.0:0 /x/*"),
        ("host:80", "one: @host:80 /x/*"),
    ] {
        let parsed: Address = address.parse().unwrap();
        assert_eq!(to(&parsed), expected, "{address}");
        assert_eq!(to(parsed), expected, "{address}");
        if let Ok(socket) = address.parse::<SocketAddr>() {
            assert_eq!(to(socket), expected, "{address}");
        }
        if address != "host:80" {
            assert_eq!(to(address), expected, "{address}");
        }
    }
}

#[test]
fn an_id_stays_an_id_known_or_not() {
    let _bound = crate::bound::bound();
    for id in ["self", "dialled", "nobody", "host:81"] {
        let node = NodeId::new(id).unwrap();
        assert_eq!(to(&node), format!("one: {id} /x/*"));
        assert_eq!(to(node), format!("one: {id} /x/*"));
    }
}

#[test]
fn an_address_of_a_node_that_the_call_may_not_go_to_is_not_dialled() {
    let _bound = crate::bound::bound();
    let except = [NodeId::new("a").unwrap()];
    let peers = directory([peer(1, "a", &["/x"])]);
    let nodes = PathTable::new(None, peers, Directions::BOTH, except.into(), Instant::now(), 1);
    assert!(nodes.is_empty());
    let by = |text: &str| shown(&SendToTarget::new(text), "/x", &nodes);
    assert_eq!(by("10.0.0.1:4000"), "one: a /x");
    assert_eq!(by("a"), "one: a /x");
}
