//! Fixed stories: one fault each, with the exact end that it must have.

use std::time::Duration;

use super::Label;
use super::faults::Swarm;
use super::link::Conditions;
use super::script::Step;
use super::world::{World, address_of};
use crate::config::{Config, Reconnect};
use crate::error::ErrorKind;
use crate::node_event::Directions;
use crate::proto::ConnectMode;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Running and listening nodes in a kind world. Node 0 is the hub of the stories.
pub(super) fn world(names: &[&str], config: &Config) -> World {
    let mut world = World::new(1, Swarm::none());
    for name in names {
        let node = world.add_node(name, config.clone());
        world.perform(Step::Start(node));
        world.perform(Step::Bind(node));
    }
    world.run_for(SECOND);
    world
}

pub(super) fn connect(world: &mut World, from: usize, to: usize, within: Duration) -> Label {
    world.connect_to(from, address_of(to).into(), ConnectMode::Once, within)
}

/// All others dial the hub.
pub(super) fn join_all(world: &mut World) {
    for node in 1..world.nodes.len() {
        let label = connect(world, node, 0, SECOND);
        world.run_for(SECOND);
        assert_eq!(world.oracle.end_of(label), Some(Ok(())), "{}", end(world));
    }
}

pub(super) fn end(world: &World) -> String {
    format!("{}\n{}", world.oracle.failure().unwrap_or("no failure"), world.log.tail())
}

pub(super) fn listed(world: &World, node: usize) -> Vec<&str> {
    world.nodes[node].published.iter().map(|entry| entry.id.as_str()).collect()
}

pub(super) fn finish(mut world: World) {
    world.stop_all();
    world.run_for(4 * SECOND);
    world.oracle.check_end();
    assert!(world.nodes.iter().all(|node| node.mesh.is_none()), "{}", end(&world));
    assert_eq!(world.oracle.failure(), None, "{}", end(&world));
}

pub(super) fn freeze_all(world: &mut World, frozen: bool) {
    world.oracle.silence_excused = true;
    for wire in world.wires.values_mut() {
        wire.tcp.freeze(frozen);
    }
}

/// 16 MiB take as many seconds, and meanwhile confirmations of ticks go the same way, between the segments.
// covers P12
#[test]
pub(crate) fn a_bandwidth_limited_link_keeps_its_peer() {
    let mut world = world(&["hub", "far"], &Config::default());
    world.swarm.usual = Conditions { rate: Some(1_000_000), ..Conditions::GOOD };
    connect(&mut world, 1, 0, 9 * SECOND);
    world.run_for(SECOND);
    let large = (16 << 20) - 1_000;
    let call = world.request(1, large, 60 * SECOND).unwrap();
    world.run_for(SECOND);
    for round in 0..7 {
        // A handler takes up to a second.
        world.tick(0, 20_000).unwrap();
        world.run_for(2 * SECOND);
        let entry = world.nodes[0].published.get("far").unwrap();
        let unconfirmed = entry.face(Directions::BOTH).unwrap().gauge.unconfirmed();
        assert_eq!(unconfirmed, 0, "round {round}: a confirmation waits\n{}", end(&world));
        assert_eq!(world.oracle.end_of(call), None, "the path is not slow\n{}", end(&world));
    }
    world.run_for(10 * SECOND);
    assert!(world.oracle.end_of(call).is_some(), "{}", end(&world));
    assert_eq!(world.oracle.failure(), None, "{}", end(&world));
}

#[test]
fn a_frozen_peer_is_dropped_within_timeout_and_interval_and_its_calls_fail() {
    let config = Config { reconnect: Reconnect::Never, ..Config::default() };
    let mut world = world(&["hub", "still"], &config);
    join_all(&mut world);
    world.run_for(5 * SECOND);
    freeze_all(&mut world, true);
    let call = world.request(0, 10, 60 * SECOND).unwrap();
    world.run_for(config.liveness_timeout.saturating_sub(config.heartbeat_interval + SECOND));
    assert_eq!(listed(&world, 0), ["still"], "not too early\n{}", end(&world));
    world.run_for(2 * config.heartbeat_interval + SECOND);
    assert_eq!(listed(&world, 0), [""; 0], "{}", end(&world));
    assert_eq!(listed(&world, 1), [""; 0], "{}", end(&world));
    assert_eq!(world.oracle.end_of(call), Some(Err(ErrorKind::ConnectionLost)));
    freeze_all(&mut world, false);
    finish(world);
}

// covers P12
#[test]
pub(crate) fn nodes_that_were_suspended_together_keep_each_other() {
    let mut world = world(&["hub", "one", "two", "three"], &Config::default());
    join_all(&mut world);
    world.run_for(5 * SECOND);
    let back = world.now + 60 * SECOND;
    for node in 0..world.nodes.len() {
        world.suspend(node, back);
    }
    world.oracle.silence_excused = false;
    world.run_for(90 * SECOND);
    assert_eq!(listed(&world, 0), ["one", "two", "three"], "{}", end(&world));
    finish(world);
}

#[test]
fn a_living_id_is_refused_to_a_newcomer() {
    let mut world = world(&["hub", "twin", "twin"], &Config::default());
    let first = connect(&mut world, 1, 0, SECOND);
    world.run_for(SECOND);
    let second = connect(&mut world, 2, 0, 3 * SECOND);
    world.run_for(4 * SECOND);
    assert_eq!(world.oracle.end_of(first), Some(Ok(())), "{}", end(&world));
    let refused = Some(Err(ErrorKind::DuplicateId));
    assert_eq!(world.oracle.end_of(second), refused, "{}", end(&world));
    assert_eq!(listed(&world, 0), ["twin"]);
    assert_eq!(listed(&world, 1), ["hub"], "the older one stays");
    assert_eq!(listed(&world, 2), [""; 0]);
    finish(world);
}

#[test]
fn a_restarted_node_takes_the_place_of_its_dead_self() {
    let mut world = world(&["hub", "phoenix"], &Config::default());
    join_all(&mut world);
    // The hub does not hear of the death.
    freeze_all(&mut world, true);
    world.crash(1);
    world.run_for(SECOND);
    assert_eq!(listed(&world, 0), ["phoenix"]);
    world.perform(Step::Start(1));
    let again = connect(&mut world, 1, 0, 4 * SECOND);
    world.run_for(4 * SECOND);
    assert_eq!(world.oracle.end_of(again), Some(Ok(())), "{}", end(&world));
    assert_eq!(listed(&world, 0), ["phoenix"], "{}", end(&world));
    finish(world);
}

#[test]
fn two_nodes_that_dial_each_other_at_once_are_one_peer_each() {
    let mut world = world(&["left", "right"], &Config::default());
    let labels = [connect(&mut world, 0, 1, SECOND), connect(&mut world, 1, 0, SECOND)];
    world.run_for(SECOND);
    for label in labels {
        assert_eq!(world.oracle.end_of(label), Some(Ok(())), "{}", end(&world));
    }
    for (node, other) in [(0, "right"), (1, "left")] {
        assert_eq!(listed(&world, node), [other]);
        let entry = world.nodes[node].published.get(other).unwrap();
        assert_eq!(entry.directions(), Directions::BOTH);
    }
    finish(world);
}

#[test]
fn a_dial_of_oneself_is_refused() {
    let mut world = world(&["narcissus"], &Config::default());
    let label = connect(&mut world, 0, 0, SECOND);
    world.run_for(2 * SECOND);
    assert!(matches!(world.oracle.end_of(label), Some(Err(_))), "{}", end(&world));
    assert_eq!(listed(&world, 0), [""; 0]);
    finish(world);
}
