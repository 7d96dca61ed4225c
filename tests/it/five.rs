//! Five processes on two hosts, each a node that all others know: whom each strategy of calls by path sends to, counted at the receivers,
//! when one is silent, when one is killed in the middle, and when one comes late.
//!
//! The members do what this program tells them, over a link that their own calls leave out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use threadmesh::{
    BroadcastGlobal, BroadcastLocal, Error, FirstFind, Node, Outcome, Payload, Pending, Random,
    Request, Responder, RoundRobin, SendStrategy, SendToAll, SendToAllOnePerNode, SendToTarget,
};

use crate::support::paths::order;
use crate::support::process::{Process, say};
use crate::support::{AT_ONCE, SOON, bounded, builder, eventually};

const LIMIT: Duration = Duration::from_secs(100);
const PARENT: &str = "parent";
/// The members, and their hosts.
const FIVE: [(&str, &str); 5] =
    [("a", "left"), ("b", "left"), ("c", "right"), ("d", "right"), ("e", "left")];
/// Whoever of the members has this name answers nothing at `/slow`.
const SILENT: &str = "e";

/// What a member is to send: the strategy, the path, the timeout in milliseconds, and how often; with zero for the time as ticks.
type Order = (String, String, u64, u32);
/// Each target and its answer or code, of all calls, and the milliseconds it took.
type Sent = (Vec<String>, u64);

/// How often each path was asked for.
type Counts = Arc<Mutex<BTreeMap<String, u32>>>;

/// A child: its id, its host, and the addresses it dials.
pub(crate) fn member(argument: &str) {
    let mut words = argument.split_whitespace();
    let (id, host) = (words.next().unwrap(), words.next().unwrap());
    let node = builder(id).host(host).bind("127.0.0.1:0").start().unwrap();
    let counts = Counts::default();
    for path in [format!("/work/{id}"), "/x".to_owned(), "/slow".to_owned()] {
        let (counts, id) = (Arc::clone(&counts), id.to_owned());
        let answer = move |request: Request<Payload>| {
            *counts.lock().unwrap().entry(request.event().to_owned()).or_default() += 1;
            if id == SILENT && request.event() == "/slow" {
                say("holding");
                return Outcome::<String>::later(std::mem::forget);
            }
            Outcome::Reply(format!("{id}{}", request.event()))
        };
        node.register(path, answer).unwrap();
    }
    let counted = move |_: Request<()>| Ok(std::mem::take(&mut *counts.lock().unwrap()));
    node.on_request("counts", counted).unwrap();
    let handle = node.handle();
    node.on_request("nodes", move |_: Request<()>| {
        let ids = handle.path_table();
        Ok(ids.iter().map(|known| known.id().to_string()).collect::<Vec<_>>())
    })
    .unwrap();
    let (tell, orders) = unbounded::<(Order, Responder<Sent>)>();
    let take = move |request: Request<Order>| {
        let (tell, order) = (tell.clone(), request.data);
        Outcome::<Sent>::later(move |responder| tell.send((order, responder)).unwrap())
    };
    node.on_request("send", take).unwrap();
    for address in words {
        node.connect(address).unwrap();
    }
    say(node.local_addr().unwrap());
    for (order, responder) in orders {
        responder.reply(send(&node, &order));
    }
}

fn strategy(name: &str) -> Arc<dyn SendStrategy> {
    match name {
        "first" => Arc::new(FirstFind),
        "all" => Arc::new(SendToAll),
        "one per node" => Arc::new(SendToAllOnePerNode),
        "local" => Arc::new(BroadcastLocal),
        "global" => Arc::new(BroadcastGlobal),
        "turns" => Arc::new(RoundRobin::new()),
        "random" => Arc::new(Random),
        target => Arc::new(SendToTarget::new(target)),
    }
}

/// What a member does on its own thread, and not within a handler.
fn send(node: &Node, (by, path, timeout_ms, times): &Order) -> Sent {
    let (began, mut sent) = (Instant::now(), Vec::new());
    let call = node.call(path).by(strategy(by)).except(PARENT);
    for _ in 0..*times {
        if *timeout_ms == 0 {
            sent.push(call.tick(&()).map_or_else(
                |error| error.code().to_owned(),
                |told| format!("{} sent, {} skipped", told.sent, told.skipped.len()),
            ));
            continue;
        }
        let timeout = Duration::from_millis(*timeout_ms);
        match call.clone().timeout(timeout).request_all::<String>(&()) {
            Err(error) => sent.push(error.code().to_owned()),
            Ok(all) => sent.extend(all.iter().map(|(to, result)| match result {
                Ok(answer) => {
                    assert_eq!(answer, &to.to_string());
                    answer.clone()
                }
                Err(error) => format!("{to} {}", error.code()),
            })),
        }
    }
    // So that all who heard a tick have counted it.
    node.flush_all(SOON).unwrap();
    (sent, began.elapsed().as_millis() as u64)
}

/// The members and their parent, who knows them all.
struct Mesh {
    parent: Node,
    members: Vec<(String, Process)>,
    addresses: Vec<String>,
}

impl Mesh {
    fn new() -> Self {
        let parent = builder(PARENT).start().unwrap();
        let mut mesh = Self { parent, members: Vec::new(), addresses: Vec::new() };
        for (id, host) in FIVE {
            mesh.join(id, host);
        }
        mesh
    }

    /// Another member, who dials all the others. It is known to all of them before the next one comes.
    fn join(&mut self, id: &str, host: &str) {
        let argument = format!("{id} {host} {}", self.addresses.join(" "));
        let mut child = Process::start("member", &argument);
        let address = child.hear().expect("it listens, and has dialled all others");
        self.parent.connect(address.as_str()).unwrap();
        self.members.push((id.to_owned(), child));
        self.addresses.push(address);
        for member in self.ids() {
            eventually("every member knows all", || {
                let nodes = self.nodes(&member);
                self.ids().iter().all(|id| nodes.contains(id))
            });
        }
    }

    fn ids(&self) -> Vec<String> {
        self.members.iter().map(|(id, _)| id.clone()).collect()
    }

    /// Ends a member without a word. All others know when this returns.
    fn kill(&mut self, id: &str) {
        let at = self.ids().iter().position(|member| member == id).expect("a member");
        let (_, process) = self.members.remove(at);
        self.addresses.remove(at);
        process.kill();
        eventually("the parent knows", || !order(&self.parent).contains(&id.to_owned()));
        for member in self.ids() {
            eventually("the others know", || !self.nodes(&member).contains(&id.to_owned()));
        }
    }

    /// The known nodes of a member in its order, without the parent.
    fn nodes(&self, member: &str) -> Vec<String> {
        let mut nodes: Vec<String> = self.parent.request(member, "nodes", &()).unwrap();
        nodes.retain(|id| id != PARENT);
        nodes
    }

    fn start(
        &self,
        from: &str,
        by: &str,
        path: &str,
        timeout_ms: u64,
        times: u32,
    ) -> Pending<Sent> {
        let order: Order = (by.to_owned(), path.to_owned(), timeout_ms, times);
        self.parent.to(from).timeout(LIMIT).start("send", &order).unwrap()
    }

    fn send(&self, from: &str, by: &str, path: &str, timeout_ms: u64, times: u32) -> Sent {
        self.start(from, by, path, timeout_ms, times).wait().unwrap().value
    }

    /// Each answer to one call, in the order of the strategy.
    fn ask(&self, from: &str, by: &str, path: &str) -> Vec<String> {
        self.send(from, by, path, 10_000, 1).0
    }

    /// What all members counted since the last time, as `member/path count`.
    fn counted(&self) -> Vec<String> {
        let mut all = Vec::new();
        for id in self.ids() {
            let counts: BTreeMap<String, u32> = self.parent.request(&id, "counts", &()).unwrap();
            all.extend(counts.iter().map(|(path, count)| format!("{id}{path} {count}")));
        }
        all
    }
}

/// Each with a count of one.
fn once(whom: &[&str]) -> Vec<String> {
    let mut all: Vec<_> = whom.iter().map(|to| format!("{to} 1")).collect();
    all.sort();
    all
}

/// The strategy, the path, who is sent it from `a`, and who of these serves it not.
type Row = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const ALL_X: &[&str] = &["a/x", "b/x", "c/x", "d/x", "e/x"];
const ALL_WORK: &[&str] = &["a/work/a", "b/work/b", "c/work/c", "d/work/d", "e/work/e"];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("first",        "/x",      &["a/x"],                                  &[]),
    ("first",        "/work/*", &["a/work/a"],                             &[]),
    ("first",        "/work/d", &["d/work/d"],                             &[]),
    ("all",          "/x",      ALL_X,                                     &[]),
    ("all",          "/work/*", ALL_WORK,                                  &[]),
    ("all",          "/work/c", &["c/work/c"],                             &[]),
    ("all",          "/*/c",    &["c/work/c"],                             &[]),
    ("one per node", "/x",      ALL_X,                                     &[]),
    ("one per node", "/work/*", ALL_WORK,                                  &[]),
    ("one per node", "/work/b", &["b/work/b"],                             &[]),
    ("local",        "/x",      &["a/x", "b/x", "e/x"],                    &[]),
    ("local",        "/work/b", &["a/work/b", "b/work/b", "e/work/b"],     &["a/work/b", "e/work/b"]),
    ("local",        "/work/c", &["a/work/c", "b/work/c", "e/work/c"],     &["a/work/c", "b/work/c", "e/work/c"]),
    ("global",       "/x",      ALL_X,                                     &[]),
    ("global",       "/work/d", &["a/work/d", "b/work/d", "c/work/d", "d/work/d", "e/work/d"],
                                &["a/work/d", "b/work/d", "c/work/d", "e/work/d"]),
    ("global",       "/work/*", &["a/work/*", "b/work/*", "c/work/*", "d/work/*", "e/work/*"],
                                &["a/work/*", "b/work/*", "c/work/*", "d/work/*", "e/work/*"]),
    ("c",            "/x",      &["c/x"],                                  &[]),
    ("a",            "/x",      &["a/x"],                                  &[]),
    ("c",            "/work/d", &["c/work/d"],                             &["c/work/d"]),
];

#[test]
fn every_strategy_asks_exactly_whom_it_means_among_five_processes() {
    bounded("five", LIMIT, || {
        let mesh = Mesh::new();
        assert_eq!(mesh.nodes("a"), ["a", "b", "c", "d", "e"]);
        for (by, path, asked, unserved) in ROWS {
            let answer = |to: &&str| {
                if unserved.contains(to) { format!("{to} NOT_FOUND") } else { (*to).to_owned() }
            };
            let expected: Vec<String> = asked.iter().map(answer).collect();
            assert_eq!(mesh.ask("a", by, path), expected, "{by} {path}");
            let served: Vec<&str> =
                asked.iter().filter(|to| !unserved.contains(to)).copied().collect();
            assert_eq!(mesh.counted(), once(&served), "{by} {path}");

            // The same without answers: as many are sent, and each is counted where it is served.
            let (sent, _) = mesh.send("a", by, path, 0, 1);
            assert_eq!(sent, [format!("{} sent, 0 skipped", asked.len())], "{by} {path}");
            let mut counted = Vec::new();
            eventually("ticks to oneself are counted, too", || {
                counted.extend(mesh.counted());
                counted.len() >= served.len()
            });
            counted.sort();
            assert_eq!(counted, once(&served), "{by} {path}");
        }
        // By an address, as the members know each other.
        assert_eq!(mesh.ask("a", &mesh.addresses[3], "/x"), ["d/x"]);
        assert_eq!(mesh.ask("d", &mesh.addresses[3], "/x"), ["d/x"]);
        mesh.counted();

        let (sent, _) = mesh.send("b", "turns", "/x", 10_000, 25);
        let cycle = &sent[..5];
        assert!(sent.chunks(5).all(|round| round == cycle), "{sent:?}");
        assert_eq!(mesh.counted(), ["a/x 5", "b/x 5", "c/x 5", "d/x 5", "e/x 5"]);
        let (sent, _) = mesh.send("b", "turns", "/work/*", 10_000, 10);
        assert!(sent.chunks(5).all(|round| round == &sent[..5]), "{sent:?}");
        let twice: Vec<_> = ALL_WORK.iter().map(|to| format!("{to} 2")).collect();
        assert_eq!(mesh.counted(), twice);
        let (sent, _) = mesh.send("b", "random", "/x", 10_000, 200);
        let mut who = sent.clone();
        who.sort();
        who.dedup();
        assert_eq!((sent.len(), who), (200, ALL_X.iter().map(ToString::to_string).collect()));
        let counted: u32 = mesh.counted().iter().map(|of| of[4..].parse::<u32>().unwrap()).sum();
        assert_eq!(counted, 200, "each call was one message");

        // Each member has an order of its own: itself, whom it dialled, and who came after it.
        assert_eq!(mesh.nodes("c"), ["c", "a", "b", "d", "e"]);
        assert_eq!(mesh.ask("c", "local", "/x"), ["c/x", "d/x"]);
        assert_eq!(mesh.ask("e", "local", "/x"), ["e/x", "a/x", "b/x"]);
        assert_eq!(mesh.ask("d", "all", "/work/*")[0], "d/work/d");
    });
}

#[test]
fn who_is_silent_or_killed_costs_the_others_nothing_and_who_comes_late_is_the_last() {
    bounded("silent, killed, late", LIMIT, || {
        let mut mesh = Mesh::new();
        // Silent: the whole call ends at its deadline, with the answers of the others.
        for by in ["all", "one per node", "global"] {
            let timeout = 500;
            let (sent, took) = mesh.send("a", by, "/slow", timeout, 1);
            let expected = ["a/slow", "b/slow", "c/slow", "d/slow", "e/slow REQUEST_TIMEOUT"];
            assert_eq!(sent, expected, "{by}");
            let at_most = timeout + AT_ONCE.as_millis() as u64;
            assert!(took >= timeout && took < at_most, "{by}: after {took} ms");
            assert_eq!(mesh.members[4].1.hear().as_deref(), Some("holding"));
        }
        let (sent, _) = mesh.send("a", "e", "/slow", 200, 1);
        assert_eq!(sent, ["e/slow REQUEST_TIMEOUT"]);
        assert_eq!(mesh.members[4].1.hear().as_deref(), Some("holding"));
        let slow = ["a/slow 3", "b/slow 3", "c/slow 3", "d/slow 3", "e/slow 4"];
        assert_eq!(mesh.counted(), slow);

        // Killed in the middle of a call: its entry alone is lost, long before the deadline.
        let pending = mesh.start("a", "all", "/slow", 60_000, 1);
        assert_eq!(mesh.members[4].1.hear().as_deref(), Some("holding"));
        let began = Instant::now();
        mesh.kill("e");
        let sent = pending.wait().unwrap().value.0;
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        assert_eq!(sent, ["a/slow", "b/slow", "c/slow", "d/slow", "e/slow CONNECTION_LOST"]);
        // It is no longer known: nobody waits for it.
        for by in ["all", "one per node", "global"] {
            assert_eq!(mesh.ask("a", by, "/x"), ALL_X[..4], "{by}");
        }
        assert_eq!(mesh.ask("a", "local", "/x"), ["a/x", "b/x"]);
        assert_eq!(mesh.ask("a", "e", "/x"), ["e/x NODE_NOT_FOUND"]);
        assert_eq!(mesh.ask("a", "first", "/work/e"), ["NOT_FOUND"]);
        let (sent, _) = mesh.send("a", "turns", "/x", 10_000, 8);
        assert!(sent[..4] == sent[4..] && !sent.contains(&"e/x".to_owned()), "{sent:?}");
        mesh.counted();

        // Late, while calls are made: one call sees it or does not, and all are answered.
        let calls = mesh.start("b", "all", "/x", 10_000, 2_000);
        mesh.join("f", "right");
        let (answers, _) = calls.wait().unwrap().value;
        let bad: Vec<_> = answers.iter().filter(|answer| answer.contains(' ')).collect();
        assert!(bad.is_empty(), "{bad:?}");
        let counted: BTreeMap<String, usize> =
            answers.iter().fold(BTreeMap::new(), |mut counted, answer| {
                *counted.entry(answer.clone()).or_default() += 1;
                counted
            });
        assert!(["a/x", "b/x", "c/x", "d/x"].iter().all(|to| counted[*to] == 2_000), "{counted:?}");
        let served: Vec<_> = counted.iter().map(|(to, count)| format!("{to} {count}")).collect();
        assert_eq!(mesh.counted(), served, "as many as were sent have arrived");
        for member in ["a", "b", "c", "d"] {
            assert_eq!(mesh.nodes(member).last().unwrap(), "f");
        }
        assert_eq!(mesh.ask("a", "all", "/x"), ["a/x", "b/x", "c/x", "d/x", "f/x"]);

        // Who was killed and comes again is behind even that one.
        mesh.join("e", "left");
        assert_eq!(mesh.ask("a", "all", "/x"), ["a/x", "b/x", "c/x", "d/x", "f/x", "e/x"]);
        assert_eq!(mesh.ask("a", "local", "/x"), ["a/x", "b/x", "e/x"]);
        let first: Result<String, Error> = mesh.parent.call("/work/*").request(&());
        assert_eq!(first.unwrap(), "a/work/a");
    });
}
