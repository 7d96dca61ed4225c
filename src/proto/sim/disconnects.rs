//! Stories of addresses: who stays disconnected, who comes back, and where a call goes whose peer is lost.

use std::time::Duration;

use super::scenarios::{SECOND, connect, end, finish, freeze_all, join_all, listed, world};
use super::script::Step;
use super::world::{World, address_of};
use crate::config::Config;
use crate::id::NodeId;
use crate::proto::{Command, Whom};

fn disconnect(world: &mut World, node: usize, whom: Whom) {
    let token = world.ask(node, super::oracle::Asked::Other, SECOND);
    world.command(node, Command::Disconnect { whom, token });
}

fn always(world: &mut World, from: usize, address: crate::address::Address) {
    let token = world.ask(from, super::oracle::Asked::Other, SECOND);
    world.command(from, Command::ConnectAlways { address, token });
}

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

#[test]
fn a_peer_that_is_disconnected_by_id_while_it_is_dialled_again_stays_disconnected() {
    let mut world = world(&["hub", "caller"], &Config::default());
    join_all(&mut world);
    world.crash(0);
    world.run_for(SECOND);
    assert_eq!(listed(&world, 1), [""; 0]);
    disconnect(&mut world, 1, Whom::Id(id("hub")));
    world.perform(Step::Start(0));
    world.run_for(20 * SECOND);
    assert_eq!(listed(&world, 1), [""; 0], "{}", end(&world));
    finish(world);
}

#[test]
fn a_disconnected_address_stays_disconnected_and_may_be_dialled_anew() {
    let mut world = world(&["hub", "caller"], &Config::default());
    join_all(&mut world);
    disconnect(&mut world, 1, Whom::Address(address_of(0).into()));
    world.run_for(20 * SECOND);
    assert_eq!(listed(&world, 1), [""; 0], "{}", end(&world));
    assert_eq!(listed(&world, 0), [""; 0], "{}", end(&world));
    let again = connect(&mut world, 1, 0, SECOND);
    world.run_for(SECOND);
    assert_eq!(world.oracle.end_of(again), Some(Ok(())), "{}", end(&world));
    finish(world);
}

#[test]
fn an_address_that_shared_a_link_is_dialled_when_that_is_lost() {
    let config = Config { reconnect_give_up: Some(5 * SECOND), ..Config::default() };
    let mut world = world(&["hub", "caller"], &config);
    join_all(&mut world);
    always(&mut world, 1, "host-0:4000".parse().unwrap());
    world.run_for(SECOND);
    world.crash(0);
    world.run_for(SECOND);
    world.perform(Step::Start(0));
    // Longer than a lost address is dialled: what was given up would be gone by now.
    world.run_for(20 * SECOND);
    assert_eq!(listed(&world, 1), ["hub"], "{}", end(&world));
    world.crash(0);
    world.run_for(2 * SECOND);
    world.perform(Step::Start(0));
    world.run_for(5 * SECOND);
    assert_eq!(listed(&world, 1), ["hub"], "{}", end(&world));
    finish(world);
}

#[test]
fn a_node_that_unbinds_is_left_by_those_who_dialled_it_and_found_again_once_it_is_bound() {
    let mut world = world(&["hub", "caller"], &Config::default());
    join_all(&mut world);
    world.perform(Step::Unbind(0));
    world.run_for(10 * SECOND);
    assert_eq!(listed(&world, 1), [""; 0], "{}", end(&world));
    world.perform(Step::Bind(0));
    world.run_for(10 * SECOND);
    assert_eq!(listed(&world, 1), ["hub"], "{}", end(&world));
    finish(world);
}

#[test]
fn a_call_whose_peer_is_lost_before_it_was_sent_goes_to_the_next() {
    let mut world = world(&["hub", "near", "far"], &Config::default());
    join_all(&mut world);
    freeze_all(&mut world, true);
    // More than the kernel takes, so that what follows cannot be sent.
    world.request_to(0, &["near"], 900_000, 30 * SECOND).unwrap();
    let call = world.request_to(0, &["near", "far"], 100, 30 * SECOND).unwrap();
    world.run_for(Duration::from_millis(100));
    freeze_all(&mut world, false);
    world.crash(1);
    world.run_for(10 * SECOND);
    assert!(world.oracle.has_run_at(call, "far") != Some(false), "{}", end(&world));
    assert!(world.oracle.end_of(call).is_some(), "{}", end(&world));
    finish(world);
}
