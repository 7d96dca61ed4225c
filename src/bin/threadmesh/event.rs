//! What happens to a node, as lines.

use serde_json::{Value as Json, json};
use threadmesh::{LeftReason, NodeEvent, PeerInfo};

use crate::data;
use crate::failure::Failure;
use crate::output::Output;
use crate::stats;

/// Prints one event.
pub(crate) fn print(out: &Output, event: &NodeEvent) {
    let (name, mut fields, text) = told(event);
    if let Some(map) = fields.as_object_mut() {
        map.insert("type".to_owned(), "event".into());
        map.insert("event".to_owned(), name.into());
    }
    out.line(&text, &fields);
}

/// Its name, its fields, and what a person reads.
fn told(event: &NodeEvent) -> (&'static str, Json, String) {
    match event {
        NodeEvent::PeerJoined(peer) => joined(peer),
        NodeEvent::PeerLeft { id, directions, reason } => {
            let reason = why(reason);
            let fields = json!({ "id": id.as_str(), "directions": directions.to_string(), "reason": reason });
            ("peer_left", fields, format!("left {id} ({reason})"))
        }
        NodeEvent::OptionsChanged { id, options } => {
            let options = data::options(options);
            let text = format!("options {id} {options}");
            ("options_changed", json!({ "id": id.as_str(), "options": options }), text)
        }
        NodeEvent::ServicesChanged { id } => {
            ("services_changed", json!({ "id": id.as_str() }), format!("services {id}"))
        }
        NodeEvent::Reconnecting { address } => {
            ("reconnecting", json!({ "address": address }), format!("dialling {address} again"))
        }
        NodeEvent::Reconnected { address, id } => {
            let fields = json!({ "address": address, "id": id.as_str() });
            ("reconnected", fields, format!("reached {id} at {address} again"))
        }
        NodeEvent::ReconnectFailed { address, error } => {
            let failure = Failure::untold(error);
            let text = format!("gave up {address}: {}", failure.text());
            ("reconnect_failed", json!({ "address": address, "error": failure.json() }), text)
        }
        NodeEvent::Undelivered { id, unwritten, unconfirmed } => {
            let fields =
                json!({ "id": id.as_str(), "unwritten": unwritten, "unconfirmed": unconfirmed });
            let text = format!(
                "undelivered by way of {id}: {unwritten} that certainly did not run, {unconfirmed} that may have run"
            );
            ("undelivered", fields, text)
        }
        NodeEvent::SlowPeer { id } => {
            ("slow_peer", json!({ "id": id.as_str() }), format!("too slow {id}"))
        }
        NodeEvent::RoutingStats(routed) => {
            let text = format!("routed {}", stats::line(routed));
            ("routing_stats", json!({ "routing": routed }), text)
        }
        NodeEvent::Policy(step) => {
            ("policy", json!({ "step": step.to_string() }), format!("policy {step}"))
        }
        NodeEvent::Error(error) => {
            let failure = Failure::untold(error);
            ("error", json!({ "error": failure.json() }), format!("error {}", failure.text()))
        }
        NodeEvent::Missed(count) => {
            ("missed", json!({ "count": count }), format!("missed {count} events"))
        }
        NodeEvent::Stopped => ("stopped", json!({}), "stopped".to_owned()),
        other => ("other", json!({ "text": format!("{other:?}") }), format!("{other:?}")),
    }
}

fn joined(peer: &PeerInfo) -> (&'static str, Json, String) {
    let (id, options) = (peer.id.as_str(), data::options(&peer.options));
    let (directions, address) = (peer.directions.to_string(), peer.address.to_string());
    let text = format!("joined {id} {directions} {address} {options}");
    let fields =
        json!({ "id": id, "options": options, "directions": directions, "address": address });
    ("peer_joined", fields, text)
}

fn why(reason: &LeftReason) -> String {
    match reason {
        LeftReason::PeerLeft => "it said goodbye".to_owned(),
        LeftReason::Disconnected => "this node disconnected".to_owned(),
        LeftReason::ConnectionLost => "the connection was lost".to_owned(),
        LeftReason::Silent => "it fell silent".to_owned(),
        LeftReason::SlowPeer => "it took no bytes".to_owned(),
        LeftReason::Protocol(how) => format!("it broke the protocol: {how}"),
        LeftReason::Overloaded => "memory was nearly used up".to_owned(),
        LeftReason::Replaced => "a newer link took its place".to_owned(),
        LeftReason::Stopped => "this node stopped".to_owned(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use threadmesh::RoutingStats;

    use super::*;

    #[test]
    fn statistics_of_a_router_are_an_event_in_words_and_in_data() {
        let (name, fields, text) = told(&NodeEvent::RoutingStats(Box::default()));
        assert_eq!(name, "routing_stats");
        assert!(text.starts_with("routed requests 0 (0 ok, 0 failed), ticks 0 "), "{text}");
        let routed: RoutingStats = serde_json::from_value(fields["routing"].clone()).unwrap();
        assert_eq!(routed, RoutingStats::default());
    }
}
