//! Stories of members who come, go, die and find each other.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Label;
use super::mergers::start;
use super::oracle::Asked;
use super::scenarios::{SECOND, end, finish, world};
use super::script::Step;
use super::world::{World, address_of};
use crate::config::Config;
use crate::error::ErrorKind;
use crate::node_event::Directions;
use crate::proto::Command;

/// A minute, and the longest pause between two dials.
const FORGOTTEN: Duration = Duration::from_secs(66);

pub(super) fn join(world: &mut World, n: usize, seed: usize) -> Label {
    let within = 10 * SECOND;
    let token = world.ask(n, Asked::Other, within);
    let (address, deadline) = (address_of(seed).into(), world.now + within);
    world.command(n, Command::Join { address, answered_by: deadline, deadline, token });
    token
}

pub(super) fn join_always(world: &mut World, n: usize, seed: usize) {
    let token = world.ask(n, Asked::Other, 10 * SECOND);
    let address = address_of(seed).into();
    world.command(n, Command::JoinAlways { address, token });
}

/// Everybody joins through node 0, one after the other.
fn mesh(count: usize) -> World {
    let names: Vec<String> = (0..count).map(|n| format!("m{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = world(&names, &Config::default());
    for n in 1..count {
        join(&mut world, n, 0);
        world.run_for(Duration::from_millis(5));
    }
    world
}

/// That these nodes, and no others, know each other, with their services.
#[track_caller]
pub(super) fn assert_known(world: &World, nodes: &[usize]) {
    for n in nodes {
        let listed: BTreeSet<&str> =
            world.nodes[*n].published.iter().map(|entry| entry.id.as_str()).collect();
        let others = nodes.iter().filter(|other| *other != n);
        let wanted = others.map(|other| world.nodes[*other].id.as_str()).collect();
        assert_eq!(listed, wanted, "node {n}\n{}", end(world));
        for entry in world.nodes[*n].published.iter() {
            let other = nodes.iter().find(|other| world.nodes[**other].id == entry.id).unwrap();
            assert_eq!(entry.services.len(), *other, "services of {}", entry.id);
        }
    }
}

/// That each of these pairs has one link, and that nobody dials, waits for or remembers anybody else.
#[track_caller]
fn assert_nothing_else(world: &World, nodes: &[usize]) {
    for n in nodes {
        let mesh = world.nodes[*n].mesh.as_ref().unwrap();
        let others = nodes.len() - 1;
        assert_eq!(mesh.members(), (0, others), "node {n}\n{}", end(world));
        let dialled = world.nodes[*n].published.iter().filter(|entry| entry.directions().up);
        assert_eq!(mesh.dialled(), dialled.count(), "node {n}\n{}", end(world));
        assert_eq!((mesh.open_links(), mesh.armed_timers()), (others, others), "node {n}");
    }
}

#[test]
fn thirty_two_members_know_each_other_within_two_seconds_and_forget_the_dead() {
    let _bound = crate::bound::bound();
    let mut world = mesh(32);
    world.run_for(2 * SECOND);
    let all: Vec<usize> = (0..32).collect();
    assert_known(&world, &all);
    assert_nothing_else(&world, &all);
    for n in 24..32 {
        world.crash(n);
    }
    let alive: Vec<usize> = (0..24).collect();
    world.run_for(12 * SECOND);
    assert_known(&world, &alive);
    world.run_for(FORGOTTEN);
    assert_nothing_else(&world, &alive);
    finish(world);
}

#[test]
fn a_quiet_mesh_says_one_heartbeat_a_link_and_interval() {
    let _bound = crate::bound::bound();
    let mut world = mesh(8);
    world.run_for(5 * SECOND);
    let writes = |world: &World| world.seen.outputs.get("write").copied().unwrap_or(0);
    let before = writes(&world);
    world.run_for(60 * SECOND);
    let (written, ends) = (writes(&world) - before, 8 * 7);
    assert!(
        (ends * 29..=ends * 31).contains(&written),
        "{written} writes of {ends} ends in 30 intervals"
    );
    finish(world);
}

#[test]
fn two_newcomers_through_two_seeds_at_the_same_moment_meet() {
    let _bound = crate::bound::bound();
    let mut world = world(&["s1", "s2", "a", "b"], &Config::default());
    join(&mut world, 1, 0);
    world.run_for(SECOND);
    join(&mut world, 2, 0);
    join(&mut world, 3, 1);
    world.run_for(6 * SECOND);
    assert_known(&world, &[0, 1, 2, 3]);
    assert_nothing_else(&world, &[0, 1, 2, 3]);
    finish(world);
}

#[test]
fn a_seed_that_dies_right_after_answering_has_brought_its_members_together() {
    let _bound = crate::bound::bound();
    let mut world = mesh(3);
    world.perform(Step::Start(0));
    let newcomer = world.add_node("new", Config::default());
    world.perform(Step::Start(newcomer));
    world.perform(Step::Bind(newcomer));
    world.run_for(SECOND);
    join(&mut world, newcomer, 0);
    let known = |world: &World| world.nodes[newcomer].mesh.as_ref().unwrap().members().1;
    for _ in 0..10_000 {
        world.run_for(Duration::from_micros(20));
        // The seed has said that it is one itself, and has named at least one other.
        if known(&world) > 1 {
            break;
        }
    }
    world.crash(0);
    world.run_for(FORGOTTEN);
    assert_known(&world, &[1, 2, newcomer]);
    for n in [1, 2, newcomer] {
        // The seed itself is dialled for ever by those who asked it.
        assert_eq!(world.nodes[n].mesh.as_ref().unwrap().members(), (0, 2), "{}", end(&world));
    }
    // Who comes now through one of them meets all.
    let last = world.add_node("last", Config::default());
    world.perform(Step::Start(last));
    world.perform(Step::Bind(last));
    world.run_for(SECOND);
    join(&mut world, last, newcomer);
    world.run_for(SECOND);
    assert_known(&world, &[1, 2, newcomer, last]);
    finish(world);
}

#[test]
fn a_member_that_is_restarted_takes_its_own_place() {
    let _bound = crate::bound::bound();
    let mut world = mesh(5);
    world.run_for(SECOND);
    world.crash(3);
    world.run_for(2 * SECOND);
    world.perform(Step::Start(3));
    world.run_for(SECOND);
    join(&mut world, 3, 0);
    world.run_for(3 * SECOND);
    assert_known(&world, &[0, 1, 2, 3, 4]);
    world.run_for(FORGOTTEN);
    assert_known(&world, &[0, 1, 2, 3, 4]);
    for n in 0..5 {
        assert_eq!(world.nodes[n].mesh.as_ref().unwrap().members(), (0, 4), "{}", end(&world));
    }
    finish(world);
}

#[test]
fn a_member_that_stops_is_forgotten_at_once_and_not_dialled() {
    let _bound = crate::bound::bound();
    let mut world = mesh(5);
    world.run_for(SECOND);
    world.perform(Step::Stop(3));
    world.run_for(3 * SECOND);
    assert_known(&world, &[0, 1, 2, 4]);
    assert_nothing_else(&world, &[0, 1, 2, 4]);
    finish(world);
}

#[test]
fn members_that_were_parted_for_a_while_are_together_again() {
    let _bound = crate::bound::bound();
    for away in [20, 100] {
        let mut world = mesh(6);
        world.run_for(SECOND);
        world.part(BTreeSet::from([3, 4, 5]));
        world.run_for(away * SECOND);
        assert_known(&world, &[0, 1, 2]);
        assert_known(&world, &[3, 4, 5]);
        world.part(BTreeSet::new());
        world.run_for(12 * SECOND);
        assert_known(&world, &[0, 1, 2, 3, 4, 5]);
        finish(world);
    }
}

/// Who has a seed of its own on either side, and nobody else, brings both sides together.
#[test]
fn one_member_that_finds_its_seed_again_merges_two_meshes() {
    let _bound = crate::bound::bound();
    let mut world = world(&["a", "b", "c", "d"], &Config::default());
    join(&mut world, 1, 0);
    join(&mut world, 3, 2);
    world.run_for(SECOND);
    join_always(&mut world, 2, 0);
    world.run_for(6 * SECOND);
    assert_known(&world, &[0, 1, 2, 3]);
    finish(world);
}

#[test]
fn t245_a_member_that_is_announced_again_stays_reachable_without_a_gap() {
    let _bound = crate::bound::bound();
    let mut world = mesh(4);
    world.run_for(SECOND);
    let mut calls = Vec::new();
    for round in 0..200 {
        if round % 10 == 0 {
            join(&mut world, 2, 0);
            join(&mut world, 2, 3);
        }
        calls.push(world.request_to(1, &["m02"], 100, 5 * SECOND).expect("it is listed"));
        world.run_for(Duration::from_millis(10));
    }
    world.run_for(6 * SECOND);
    for call in calls {
        let ended = world.oracle.end_of(call).expect("it has ended");
        assert_ne!(ended, Err(ErrorKind::ConnectionLost), "{}", end(&world));
    }
    assert_known(&world, &[0, 1, 2, 3]);
    finish(world);
}

/// Two that have dialled each other keep one link, unless a program asked for both.
#[test]
fn of_two_links_between_members_one_is_closed_when_it_is_idle() {
    let _bound = crate::bound::bound();
    let mut world = world(&["a", "b", "s"], &Config::default());
    join(&mut world, 0, 2);
    world.run_for(SECOND);
    join(&mut world, 1, 2);
    // The program of node 0 dials at the moment at which node 1 dials node 0, which node 2 has named.
    let dials = |world: &World| world.nodes[1].mesh.as_ref().unwrap().dialled();
    while dials(&world) < 2 {
        world.run_for(Duration::from_micros(1));
    }
    let label = super::scenarios::connect(&mut world, 0, 1, SECOND);
    world.run_for(SECOND);
    assert_eq!(world.oracle.end_of(label), Some(Ok(())));
    let both = |world: &World| world.nodes[0].published.get("b").unwrap().directions();
    assert_eq!(both(&world), Directions::BOTH, "{}", end(&world));
    world.run_for(5 * SECOND);
    assert_eq!(both(&world), Directions::UP, "the program's own stays\n{}", end(&world));
    assert_known(&world, &[0, 1, 2]);
    world.run_for(FORGOTTEN);
    assert_nothing_else(&world, &[0, 1, 2]);
    finish(world);
}

/// All have the same list, and look in vain for those that are started after them.
#[test]
fn five_seeds_that_start_in_reverse_order_have_one_link_each_and_find_again_who_was_away() {
    let _bound = crate::bound::bound();
    let mut world = world(&["a", "b", "c", "d", "e"], &Config::default());
    let all = [0, 1, 2, 3, 4];
    let ask_all = |world: &mut World, n: usize| {
        for seed in all.into_iter().filter(|seed| *seed != n) {
            join_always(world, n, seed);
        }
    };
    for n in all {
        world.crash(n);
    }
    world.run_for(SECOND);
    for n in all.into_iter().rev() {
        start(&mut world, n);
        ask_all(&mut world, n);
        world.run_for(SECOND);
    }
    let one_link_each = |world: &World| {
        assert_known(world, &all);
        for n in all {
            let mesh = world.nodes[n].mesh.as_ref().unwrap();
            assert_eq!((mesh.open_links(), mesh.members()), (4, (0, 4)), "{n}\n{}", end(world));
        }
    };
    world.run_for(30 * SECOND);
    one_link_each(&world);
    for stops in [false, true] {
        for n in all {
            if stops {
                world.perform(Step::Stop(n));
            } else {
                world.crash(n);
            }
            world.run_for(FORGOTTEN);
            // Before it asks, it is asked.
            start(&mut world, n);
            world.run_for(30 * SECOND);
            one_link_each(&world);
            ask_all(&mut world, n);
            world.run_for(30 * SECOND);
            one_link_each(&world);
        }
    }
    finish(world);
}
