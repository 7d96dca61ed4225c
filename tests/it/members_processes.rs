//! Members that are processes: many that join through one seed at once, some that are killed, one that comes back as another.
//!
//! The members tell by their clocks when they called `join` and when what they know changed last. Their parent is no member: it is
//! connected to each and asks.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use threadmesh::{Handle, Limits, Node, Request};

use crate::support::process::{Process, say};
use crate::support::{bounded, builder, let_pass, measured, place};

const LIMIT: Duration = Duration::from_secs(110);
const PARENT: &str = "parent";
const HERD: usize = 32;
const KILLED: usize = 8;
/// All know all within this, from when the last one has called `join`.
const JOINED: Duration = Duration::from_secs(2);
/// The liveness timeout that nodes have when nobody says otherwise.
const DEATH: Duration = Duration::from_secs(10);
/// Links that were one too many are closed after this.
const QUIET: Duration = Duration::from_secs(10);
/// How often members look when no event tells them anything, and their parent asks.
const LOOK: Duration = Duration::from_millis(50);

/// What a member knows: each other member with its paths and the directions of its links, in the order of their ids.
type Known = Vec<(String, Vec<String>, String)>;

#[derive(Serialize, Deserialize, Clone, Debug)]
struct Report {
    /// When it called `join`, and when the members and paths that it knows changed last: milliseconds of the system's clock.
    asked: u64,
    changed: u64,
    known: Known,
}

fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn known(node: &Handle) -> Known {
    let table = node.path_table();
    let others = table.iter().filter(|known| !known.is_own() && known.id() != PARENT);
    let mut known: Known = others
        .map(|known| {
            let paths = known.paths().iter().map(ToString::to_string).collect();
            (known.id().to_string(), paths, known.directions().to_string())
        })
        .collect();
    known.sort();
    known
}

/// A child: listens, serves a path, and joins when its parent says by which seed.
pub(crate) fn one_of_many(argument: &str) {
    let mut words = argument.split_whitespace();
    let (id, own, path) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let mut limits = Limits::default();
    limits.workers_min = 1;
    // With the timings that every program has.
    let node = Node::builder().id(id).limits(limits).bind(own).start().unwrap();
    node.register(path, |_: Request<()>| Ok(())).unwrap();
    let mut events = node.events();
    let report = Report { asked: 0, changed: 0, known: Vec::new() };
    let report = Arc::new(Mutex::new(report));
    let (told, handle) = (Arc::clone(&report), node.handle());
    node.on_request("report", move |_: Request<()>| {
        let report = told.lock().unwrap().clone();
        Ok(Report { known: known(&handle), ..report })
    })
    .unwrap();
    let (told, handle) = (Arc::clone(&report), node.handle());
    node.on_request("join", move |request: Request<String>| {
        told.lock().unwrap().asked = clock();
        Ok(handle.join([request.data])?.unreached.len())
    })
    .unwrap();
    say(node.local_addr().unwrap());
    let mut before = Vec::new();
    loop {
        let now: Vec<_> = known(&node).into_iter().map(|(id, paths, _)| (id, paths)).collect();
        if now != before {
            report.lock().unwrap().changed = clock();
            before = now;
        }
        events.next_timeout(LOOK);
    }
}

struct Member {
    id: String,
    path: String,
    address: String,
    process: Process,
}

impl Member {
    fn start(id: &str, own: &str, path: &str) -> Self {
        let process = Process::start("one_of_many", &format!("{id} {own} {path}"));
        Self { id: id.to_owned(), path: path.to_owned(), address: String::new(), process }
    }
}

struct Herd {
    parent: Node,
    members: Vec<Member>,
}

impl Herd {
    /// That many, of whom each listens and none has joined.
    fn start(count: usize) -> Self {
        let id = |number| format!("m{number:02}");
        let member =
            |number| Member::start(&id(number), "127.0.0.1:0", &format!("/of/{}", id(number)));
        let mut herd = Self { parent: builder(PARENT).start().unwrap(), members: Vec::new() };
        let members: Vec<Member> = (0..count).map(member).collect();
        for member in members {
            herd.add(member);
        }
        herd
    }

    fn add(&mut self, mut member: Member) {
        member.address = member.process.hear().expect("it listens");
        self.parent.connect(member.address.as_str()).unwrap();
        self.members.push(member);
    }

    /// Lets these members join, all at once, by the first of them all.
    fn join(&self, who: &[Member]) {
        let join = |member: &Member| {
            self.parent.to(&member.id).start::<usize, _>("join", &self.members[0].address).unwrap()
        };
        let joining: Vec<_> = who.iter().map(join).collect();
        for joined in joining {
            assert_eq!(joined.wait().unwrap().value, 0, "all that the seed named were reached");
        }
    }

    fn reports(&self) -> Vec<Report> {
        let report = |member: &Member| self.parent.request(&member.id, "report", &()).unwrap();
        self.members.iter().map(report).collect()
    }

    /// The same after a while in which nothing should change.
    fn later(&self) -> Vec<Report> {
        let_pass(LOOK * 10);
        self.reports()
    }

    /// Looks until all reports say so, and gives them.
    fn until(
        &self,
        within: Duration,
        wrong: impl Fn(&Self, &[Report]) -> Option<String>,
    ) -> Result<Vec<Report>, String> {
        let end = Instant::now() + within;
        loop {
            let reports = self.reports();
            match wrong(self, &reports) {
                None => return Ok(reports),
                Some(wrong) if Instant::now() > end => return Err(wrong),
                Some(_) => let_pass(LOOK),
            }
        }
    }

    /// Who knows others than there are, or other paths.
    fn stranger(&self, reports: &[Report]) -> Option<String> {
        self.members.iter().zip(reports).find_map(|(member, report)| {
            let others = self.members.iter().filter(|other| other.id != member.id);
            let mut others: Vec<_> =
                others.map(|other| (other.id.clone(), vec![other.path.clone()])).collect();
            others.sort();
            let known: Vec<_> =
                report.known.iter().map(|(id, paths, _)| (id.clone(), paths.clone())).collect();
            (known != others).then(|| format!("{} knows {known:?}, not {others:?}", member.id))
        })
    }

    /// Which two have more or less than one link, or are not of one mind about it.
    fn pair(&self, reports: &[Report]) -> Option<String> {
        let links = self.members.iter().zip(reports).flat_map(|(member, report)| {
            report.known.iter().map(|(other, _, links)| (&member.id, other, links))
        });
        let links: Vec<_> = links.collect();
        let one = |way: &str, back: &str| {
            (way == "up" && back == "down") || (way == "down" && back == "up")
        };
        links.iter().find_map(|(from, to, way)| {
            let back = links.iter().find(|link| (link.0, link.1) == (*to, *from));
            let is_one = back.is_some_and(|back| one(way, back.2));
            (!is_one).then(|| format!("{from} is connected to {to} {way}, and back {back:?}"))
        })
    }
}

fn latest(reports: &[Report], which: impl Fn(&Report) -> u64) -> u64 {
    reports.iter().map(which).max().unwrap()
}

#[test]
fn thirty_two_processes_that_join_by_one_seed_know_each_other_and_soon_none_that_was_killed() {
    bounded("32 processes", LIMIT, || {
        let (mut herd, took) = measured(|| {
            let herd = Herd::start(HERD);
            herd.join(&herd.members[1..]);
            herd.until(Duration::from_secs(10), Herd::stranger)?;
            let reports = herd.later();
            let asked = latest(&reports, |report| report.asked);
            let took = latest(&reports, |report| report.changed).saturating_sub(asked);
            let took = Duration::from_millis(took);
            if took <= JOINED { Ok((herd, took)) } else { Err(format!("{took:?}")) }
        });
        let began = Instant::now();
        let double = herd.pair(&herd.reports());
        herd.until(QUIET, Herd::pair).unwrap();
        let single = began.elapsed();

        // The seed is among those that are killed.
        let killed_at = clock();
        for dead in herd.members.drain(..KILLED) {
            dead.process.kill();
        }
        herd.until(DEATH, Herd::stranger).unwrap();
        herd.until(QUIET, Herd::pair).unwrap();
        // They are looked for, and not taken for there.
        let reports = herd.later();
        assert_eq!(herd.stranger(&reports), None);
        let seen = latest(&reports, |report| report.changed).saturating_sub(killed_at);
        let seen = Duration::from_millis(seen);
        assert!(seen <= DEATH, "{seen:?}");
        println!(
            "{HERD} processes knew each other {took:?} after the last join, one link each after {single:?} (before: {double:?}), \
             and {KILLED} dead to be gone after {seen:?}"
        );
    });
}

#[test]
fn a_member_that_was_killed_and_starts_anew_at_its_address_is_known_with_its_new_services() {
    bounded("anew", LIMIT, || {
        let mut herd = Herd::start(4);
        herd.join(&herd.members[1..]);
        let own = place().to_string();
        herd.add(Member::start("late", &own, "/before"));
        herd.join(&herd.members[4..]);
        herd.until(DEATH, Herd::stranger).unwrap();

        // Before and after the others have missed it.
        for (path, pause) in [("/at-once", 0), ("/later", 500)] {
            herd.members.pop().expect("the late one").process.kill();
            let_pass(Duration::from_millis(pause));
            herd.add(Member::start("late", &own, path));
            herd.join(&herd.members[4..]);
            let began = Instant::now();
            herd.until(DEATH, Herd::stranger).unwrap();
            herd.until(QUIET, Herd::pair).unwrap();
            println!("known with {path} {:?} after it had joined", began.elapsed());
        }
    });
}
