//! What one peer may hold of a node's memory.

use super::*;
use crate::node_event::LeftReason;

const NODE_BYTES: usize = 1_000_000;

/// Two clients of a server that has little memory.
fn crowded() -> Pair {
    let mut pair = Pair::new(&["one", "two", "server"]);
    let mut config = Config::default();
    config.limits.node_bytes = NODE_BYTES;
    pair.nodes[2] = mesh("server", 2, pair.now, &config);
    for (client, token) in [(0, "one joins"), (1, "two joins")] {
        pair.connect(client, 2, token);
        pair.run();
        assert!(pair.result(token).is_ok());
    }
    pair
}

impl Pair {
    fn answer_first(&mut self, answer: Answer) {
        let at = self
            .delivered
            .iter()
            .position(|(_, delivery)| matches!(delivery.work, Work::Request { .. }));
        let (node, delivery) = self.delivered.remove(at.expect("a request"));
        let Work::Request { reply_to, .. } = delivery.work else { unreachable!() };
        self.feed(node, Input::Answer { reply_to, answer });
        self.run();
    }
}

// covers P19
#[test]
pub(super) fn no_peer_takes_more_than_its_share_of_the_node() {
    let mut pair = crowded();
    let mut busy = 0;
    for _ in 0..100 {
        pair.request(0, "server", bytes_of(20_000), "greedy");
        pair.run();
        busy += pair.done.iter().filter(|(token, _)| *token == "greedy").count();
        pair.done.clear();
    }
    // Half of the memory, and of the rest what two links leave each other.
    let held = pair.delivered.len() * 20_005;
    assert_eq!(pair.delivered.len() + busy, 100);
    assert!((NODE_BYTES / 2..NODE_BYTES * 3 / 4).contains(&held), "{held} bytes are held");
    assert_eq!(pair.nodes[2].dropped().crowded_requests, busy as u64);
    // The other peer still has its share.
    pair.request(1, "server", bytes_of(20_000), "modest");
    pair.run();
    assert_eq!(pair.delivered.len(), 101 - busy);
    // And when the handlers are done, so has the first.
    while !pair.delivered.is_empty() {
        pair.answer_first(Answer::Reply(Payload::null()));
    }
    pair.request(0, "server", bytes_of(20_000), "again");
    pair.run();
    assert_eq!(pair.delivered.len(), 1);
}

#[test]
fn a_request_that_is_refused_for_memory_did_not_run() {
    let mut pair = crowded();
    for _ in 0..60 {
        pair.request(0, "server", bytes_of(20_000), "greedy");
    }
    pair.run();
    let error = pair.result("greedy").unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::Busy, Execution::Never));
    assert!(error.message().contains("memory of server"), "{error}");
}

#[test]
fn answers_that_nobody_reads_are_dropped_and_told_once_the_memory_is_short() {
    let mut pair = crowded();
    for _ in 0..100 {
        pair.request(0, "server", Payload::null(), "asked");
    }
    pair.run();
    // The server's bytes go nowhere from now on.
    pair.frozen = vec![2];
    for _ in 0..100 {
        pair.answer_first(Answer::Reply(bytes_of(20_000)));
    }
    let dropped = pair.nodes[2].dropped().crowded_answers;
    assert!((50..=75).contains(&dropped), "{dropped} of 100 answers are dropped");
    pair.frozen.clear();
    let links: Vec<LinkId> = pair.nodes[2].links().ids(|_| true);
    for link in links {
        pair.carry(2, link);
    }
    pair.run();
    let told = |result: &Result<Done, Error>| match result {
        Ok(_) => None,
        Err(error) => Some((error.kind(), error.execution())),
    };
    let told: Vec<_> = pair.done.iter().filter_map(|(_, result)| told(result)).collect();
    assert_eq!(told, vec![(ErrorKind::Backpressure, Execution::Happened); dropped as usize]);
    assert_eq!(pair.done.len(), 100);
}

#[test]
fn a_message_that_grows_beyond_the_share_ends_its_link() {
    let mut pair = crowded();
    for _ in 0..60 {
        pair.request(0, "server", bytes_of(20_000), "fills");
    }
    pair.run();
    assert!(!pair.events_of(2).iter().any(|event| event.contains("PeerLeft")));
    let fits = bytes_of(100_000);
    pair.request(1, "server", fits, "fits");
    pair.run();
    assert!(pair.delivered.iter().any(|(_, delivery)| delivery.message.payload.len() > 100_000));
    pair.request(1, "server", bytes_of(900_000), "too much");
    pair.run();
    assert_eq!(pair.nodes[2].dropped().crowded_links, 1);
    let error = pair.result("too much").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionLost);
    for node in [1, 2] {
        let left = pair.events.iter().any(|(at, event)| {
            let overloaded =
                matches!(event, NodeEvent::PeerLeft { reason: LeftReason::Overloaded, .. });
            *at == node && overloaded
        });
        assert!(left, "node {node}: {:?}", pair.events_of(node));
    }
}

#[test]
fn strangers_take_nobodys_share() {
    let mut pair = crowded();
    for _ in 0..25 {
        pair.request(0, "server", bytes_of(20_000), "held");
    }
    pair.run();
    assert_eq!(pair.delivered.len(), 25, "just above half");
    for port in 0..500 {
        let link = pair.nodes[2].draw_link();
        let remote = SocketAddr::from(([127, 0, 0, 9], port + 1));
        pair.feed(2, Input::Accepted { link, local: addr(2), remote });
    }
    pair.request(1, "server", bytes_of(100_000), "modest");
    pair.run();
    assert_eq!(pair.delivered.len(), 26);
    assert!(pair.done.iter().all(|(token, _)| *token != "modest"));
}

#[test]
fn windows_come_to_half_of_the_memory_and_the_least_of_each_link() {
    let mut pair = Pair::new(&["server"]);
    let mut config = Config::default();
    config.limits.node_bytes = 1 << 20;
    pair.nodes =
        (0..20).map(|n| mesh(&format!("client-{n}"), n, pair.now, &Config::default())).collect();
    pair.nodes.push(mesh("server", 99, pair.now, &config));
    for client in 0..20 {
        pair.connect(client, 20, "joins");
        pair.run();
    }
    let granted: Vec<u64> = pair.nodes[20]
        .links()
        .iter()
        .filter(|link| link.id != LinkId::OWN)
        .map(|link| link.ticks.granted())
        .collect();
    assert_eq!(granted.len(), 20);
    assert_eq!(granted.iter().filter(|window| **window == 64 * 1024).count(), 8);
    assert!(granted.iter().all(|window| *window == 64 * 1024 || *window == 4 * 1024));
    assert_eq!(pair.nodes[20].links().broken_windows(), None);
}

#[test]
fn who_waits_for_memory_goes_on_when_another_link_gives_it_back() {
    let mut config = Config::default();
    config.limits.node_bytes = NODE_BYTES;
    let mut pair = Pair::new(&["client", "one", "two"]);
    pair.nodes[0] = mesh("client", 0, pair.now, &config);
    for (server, token) in [(1, "one joins"), (2, "two joins")] {
        pair.connect(0, server, token);
        pair.run();
    }
    // What is written to nobody fills the memory; a queue that is not empty waits for its share of it.
    pair.frozen = vec![0];
    while pair.plan(0, "one", false, 20_000).room.is_some() {
        pair.nodes[0].directory().get("one").unwrap().up.as_ref().unwrap().gauge.give_call_slot();
        pair.nodes[0].directory().get("one").unwrap().up.as_ref().unwrap().gauge.give_queue(20_000);
        pair.request(0, "one", bytes_of(20_000), "fills");
        pair.run();
    }
    let held = pair.calls;
    for _ in 0..20 {
        pair.request(0, "two", bytes_of(20_000), "waits");
    }
    pair.run();
    let face = |pair: &Pair, id: &str| {
        let entry = pair.nodes[0].directory().get(id).unwrap();
        let face = entry.up.as_ref().unwrap();
        (face.link, face.gauge.queued())
    };
    let before = face(&pair, "two").1;
    assert!(before < 20 * 20_000, "{held} calls fill the node, and yet {before} bytes find room");
    let full = face(&pair, "one").0;
    pair.feed(0, Input::Lost { link: full, cause: Cause::Eof });
    pair.run();
    assert_eq!(face(&pair, "two").1, 20 * 20_005);
}

// covers P19
#[test]
fn where_memory_is_short_fewer_data_are_kept_for_alternates_and_no_peer_is_let_go() {
    let _bound = crate::bound::bound();
    let mut config = Config::default();
    config.limits.node_bytes = 8_000_000;
    let mut pair = Pair::new(&["client", "server", "other"]);
    pair.nodes[0] = mesh("client", 0, pair.now, &config);
    for (server, token) in [(1, "server joins"), (2, "other joins")] {
        pair.connect(0, server, token);
        pair.run();
    }
    for _ in 0..20 {
        let payload = bytes_of(1_000_000);
        let mut plan = pair.plan(0, "server", false, payload.len());
        plan.alternates = vec![pair.plan_without_room(0, "other").first];
        pair.request_by(plan, 0, payload, "large");
        pair.run();
    }
    let written = pair.delivered.len();
    assert!(written >= 6, "{written} were written");
    let link = pair.link(0, "server");
    let kept = pair.nodes[0].links().get(link).unwrap().outbound.kept();
    assert!((1_000_000..6_000_000).contains(&kept), "{kept} bytes are kept");
    pair.answer_first(Answer::Reply(bytes_of(100_000)));
    assert!(pair.result("large").is_ok(), "there is room for an answer");
    assert_eq!(pair.left(0), None);
}

#[test]
fn data_that_are_queued_and_kept_count_once() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::joined(&["client", "server"]);
    pair.frozen = vec![0];
    let payload = bytes_of(1_000_000);
    let mut plan = pair.plan(0, "server", false, payload.len());
    plan.alternates = vec![plan.first.clone()];
    pair.request_by(plan, 0, payload, "large");
    pair.run();
    let link = pair.link(0, "server");
    let holds = pair.nodes[0].links().get(link).unwrap().memory();
    assert!((1_000_000..1_300_000).contains(&holds), "{holds} bytes are held");
}
