//! Many at once: a herd that comes back to a restarted server, and strangers that crowd the door.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use threadmesh::{Limits, Node};

use crate::support::process::{Process, say};
use crate::support::{SOON, bounded, builder, let_pass, measured, place};

const LIMIT: Duration = Duration::from_secs(100);
const CLIENTS: usize = 200;
const HERDS: usize = 2;
/// Everybody is back within this.
const BACK: Duration = Duration::from_secs(5);
/// Long enough that everybody's pause has grown to the longest, 4 s.
const AWAY: Duration = Duration::from_secs(9);

/// A child: listens at the place, and says after how many milliseconds everybody was there.
pub(crate) fn hub(place: &str) {
    let began = Instant::now();
    let node = Node::builder().id("hub").start().unwrap();
    let mut events = node.events();
    node.bind(place).unwrap();
    while node.peers().len() < CLIENTS {
        events.next_timeout(SOON);
    }
    say(began.elapsed().as_millis());
    node.wait().unwrap();
}

/// A child: its share of the clients, with the timings that every program has.
pub(crate) fn herd(argument: &str) {
    let (name, place) = argument.split_once(' ').unwrap();
    let mut limits = Limits::default();
    limits.workers_min = 1;
    let client = |number| {
        let id = format!("{name}-{number}");
        Node::builder().id(id).limits(limits.clone()).connect(place).start().unwrap()
    };
    let _clients: Vec<_> = (0..CLIENTS / HERDS).map(client).collect();
    let_pass(LIMIT);
}

// covers P13
#[test]
fn a_herd_of_200_is_back_5_s_after_a_restart_however_long_the_server_was_away() {
    bounded("herd", LIMIT, || {
        let place = place().to_string();
        let start = || Process::start("hub", &place);
        let everybody = |hub: &mut Process| {
            Duration::from_millis(hub.hear().expect("everybody comes").parse().unwrap())
        };
        let mut hub = start();
        let _herds = [0, 1].map(|herd| Process::start("herd", &format!("{herd} {place}")));
        everybody(&mut hub);
        let back = [Duration::ZERO, AWAY].map(|away| {
            measured(|| {
                hub.kill();
                let_pass(away);
                hub = start();
                let back = everybody(&mut hub);
                if back <= BACK { Ok(back) } else { Err(format!("{back:?} after {away:?}")) }
            })
        });
        println!("{CLIENTS} clients were back {back:?} after a restart at once and after {AWAY:?}");
    });
}

/// Idle connections a second, and for how long.
const IDLE: usize = 1_000;
const CROWDED: Duration = Duration::from_secs(4);
const GOOD: usize = 100;

/// A child: connects a thousand times a second and says nothing.
pub(crate) fn idlers(address: &str) {
    let address: SocketAddr = address.parse().unwrap();
    let (began, mut opened, mut open) = (Instant::now(), 0, VecDeque::new());
    while began.elapsed() < CROWDED {
        if opened < began.elapsed().as_millis() as usize * IDLE / 1_000 {
            open.extend(TcpStream::connect(address));
            opened += 1;
            if opened == IDLE {
                say("crowded");
            }
        } else {
            thread::park_timeout(Duration::from_micros(500));
        }
        if open.len() > 2 * IDLE {
            open.pop_front();
        }
    }
    say(opened);
}

// covers P02
#[test]
fn good_peers_join_within_a_second_through_a_crowd_of_idle_connections() {
    bounded("crowd", LIMIT, || {
        // The descriptors that a server of many links is given.
        let raised = ["sh", "-c", "ulimit -n $(ulimit -Hn); exec \"$0\" \"$@\""];
        let (slow, opened) = measured(|| {
            let mut server = Process::start_under(&raised, "patient", "");
            let address: SocketAddr = server.hear().unwrap().parse().unwrap();
            let mut idlers = Process::start_under(&raised, "idlers", &address.to_string());
            let heard = idlers.hear().unwrap();
            if heard != "crowded" {
                return Err(format!("only {heard} idle connections"));
            }
            let join = |number| {
                let began = Instant::now();
                let node = builder(&format!("good-{number}")).start().unwrap();
                node.connect(address).unwrap();
                let_pass(Duration::from_millis(15));
                began.elapsed()
            };
            let slow = (0..GOOD).map(join).filter(|took| *took > Duration::from_secs(1)).count();
            let opened: usize = idlers.hear().unwrap().parse().unwrap();
            let enough = opened >= IDLE * CROWDED.as_secs() as usize * 9 / 10;
            let seen = format!("{slow} of {GOOD} were late, {opened} idle");
            if slow <= GOOD / 100 && enough { Ok((slow, opened)) } else { Err(seen) }
        });
        println!("{slow} of {GOOD} joined late while {opened} idle connections came");
    });
}
