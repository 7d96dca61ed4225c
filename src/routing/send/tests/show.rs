//! A table as text and as data.

use super::*;
use crate::options;
use crate::payload::Decode;

fn nodes() -> PathTable {
    let own = PeerEntry { options: options! { "cores": 8 }, ..own(&["/math/mul", "/up"]) };
    let both = PeerEntry {
        up: Some(face(9, "10.0.0.1:4000")),
        ..peer(1, "rcv", &["/math/v2/add", "user:get"])
    };
    let mute = PeerEntry { address: None, host: "far".into(), ..peer(2, "mute", &[]) };
    table(Some(own), [both, mute])
}

#[test]
fn a_table_is_a_picture() {
    let _bound = crate::bound::bound();
    let picture = "\
self on here at 10.0.0.99:4000, this node
    /
    ├── math/mul
    └── up
rcv on 10.0.0.1 at 10.0.0.1:4000, up and down
    /
    └── math/v2/add
mute on far, down
    no paths";
    assert_eq!(nodes().to_string(), picture);
    assert_eq!(table(None, []).to_string(), "");
    let bare = PeerEntry { address: None, host: "".into(), ..own(&[]) };
    assert_eq!(table(Some(bare), []).to_string(), "self, this node\n    no paths");
}

/// What a program in another language reads.
#[derive(serde::Deserialize, PartialEq, Debug)]
struct Row {
    id: String,
    host: Option<String>,
    address: Option<String>,
    own: bool,
    up: bool,
    down: bool,
    options: crate::value::Value,
    paths: Vec<String>,
}

#[test]
fn a_table_is_data() {
    let _bound = crate::bound::bound();
    let rows: Vec<Row> = Decode::decode(&nodes().encode().unwrap()).unwrap();
    let seen: Vec<_> = rows.iter().map(|row| (&*row.id, row.own, row.up, row.down)).collect();
    let expected =
        [("self", true, false, false), ("rcv", false, true, true), ("mute", false, false, true)];
    assert_eq!(seen, expected);
    assert_eq!(rows[0].paths, ["/math/mul", "/up"]);
    assert_eq!(rows[0].options.to_string(), r#"{"cores": 8}"#);
    assert_eq!(rows[1].paths, ["/math/v2/add"]);
    assert_eq!(rows[1].address.as_deref(), Some("10.0.0.1:4000"));
    assert_eq!((rows[2].host.as_deref(), &rows[2].address), (Some("far"), &None));
}

#[test]
fn a_debugger_sees_ids_and_paths() {
    let _bound = crate::bound::bound();
    let text = format!("{:?}", nodes());
    assert!(
        text.contains(r#"id: NodeId("rcv")"#) && text.contains(r#"Path("/math/v2/add")"#),
        "{text}"
    );
}
