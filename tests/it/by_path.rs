//! Calls by path between two nodes: the eighth section of the scenarios, and the two ways to be told that nobody serves a path. Who of many
//! gets a call is the business of `strategies.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use threadmesh::{
    BroadcastGlobal, BroadcastLocal, Error, ErrorKind, Execution, FirstFind, Node, NodeEvent,
    Outcome, Path, Request, SendStrategy, SendToAll, SendToAllOnePerNode, SendToTarget, Targets,
    send_strategy_fn,
};

use crate::support::paths::{Log, knows, order, serve, serving, shown};
use crate::support::{AT_ONCE, SOON, bounded, eventually, expect_event, let_pass, listening, took};

const LIMIT: Duration = Duration::from_secs(60);

type Two = (i64, i64);

/// The services of the section's receiver.
fn rcv() -> Node {
    let node = listening("rcv");
    let number = |path: &str, of: fn(i64, i64) -> i64| {
        node.register(path, move |request: Request<Two>| Ok(of(request.data.0, request.data.1)))
            .unwrap();
    };
    number("/mul", |a, b| a * b);
    number("/add", |a, b| a + b);
    number("/sub", |a, b| a - b);
    number("/neg", |a, b| -(a + b));
    number("/math/mul", |a, b| a * b);
    number("/math/add", |a, b| a + b);
    number("/math/neg", |a, b| -(a + b));
    node.register("/up", |request: Request<String>| Ok(request.data.to_uppercase())).unwrap();
    let reversed = |text: &str| text.chars().rev().collect::<String>();
    node.register("/rev", move |request: Request<String>| Ok(reversed(&request.data))).unwrap();
    node
}

/// `snd`, which serves nothing, and `rcv`. They know each other.
fn snd_and_rcv() -> (Node, Node) {
    let (snd, rcv) = (listening("snd"), rcv());
    knows(&snd, &[&rcv]);
    (snd, rcv)
}

#[test]
fn t200_a_call_by_path_is_answered_by_who_serves_it() {
    bounded("t200", LIMIT, || {
        let (snd, _rcv) = snd_and_rcv();
        assert_eq!(snd.call("/mul").request::<i64>(&(2, 3)).unwrap(), 6);
        assert_eq!(snd.call("/up").request::<String>("hello").unwrap(), "HELLO");
        assert_eq!(snd.call("/rev").request::<String>("hello").unwrap(), "olleh");
        let reply = snd.call("/sub").request_reply::<i64>(&(2, 3)).unwrap();
        assert_eq!((reply.value, reply.handled_by.as_str()), (-1, "rcv"));
        let pending = snd.call("/neg").start::<i64>(&(2, 3)).unwrap();
        assert_eq!(pending.wait().unwrap().value, -5);
    });
}

#[test]
fn t202_a_careless_path_goes_out_formatted() {
    bounded("t202", LIMIT, || {
        let (snd, rcv) = snd_and_rcv();
        let log = Log::default();
        serve(&rcv, &["/which/path"], &log);
        assert_eq!(snd.call("///math//mul").request::<i64>(&(2, 4)).unwrap(), 8);
        snd.wait_for_service("/which/path", SOON).unwrap();
        for path in ["which/path", "///which//path", "/which/path///"] {
            assert_eq!(snd.call(path).request::<String>(&()).unwrap(), "rcv/which/path");
            // Also where nothing is resolved.
            let global = snd.call(path).by(BroadcastGlobal).request_all::<String>(&()).unwrap();
            let expected = ["snd/which/path = NOT_FOUND", "rcv/which/path = rcv/which/path"];
            assert_eq!(shown(&global), expected);
        }
    });
}

#[test]
fn t203_what_is_no_path_is_refused_and_nothing_is_sent() {
    bounded("t203", LIMIT, || {
        let (snd, rcv) = snd_and_rcv();
        let (log, asked) = (Log::default(), Arc::new(AtomicUsize::new(0)));
        serve(&snd, &["/mine"], &log);
        let noted = log.clone();
        rcv.on_request("*", move |request: Request<threadmesh::Payload>| {
            noted.note(request.event().to_owned());
            Ok(())
        })
        .unwrap();
        let count = Arc::clone(&asked);
        let everybody = send_strategy_fn(move |message, nodes| {
            count.fetch_add(1, SeqCst);
            BroadcastGlobal.targets(message, nodes)
        });
        for path in ["///ma*//mul", "user:get", "/a b", "/a/b?", "/**", "/é"] {
            let call = snd.call(path).by(everybody.clone());
            for error in [
                call.request::<i64>(&(2, 4)).unwrap_err(),
                call.request_all::<i64>(&(2, 4)).unwrap_err(),
                call.tick(&(2, 4)).unwrap_err(),
                snd.call(path).request::<i64>(&(2, 4)).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::InvalidPath, "{path}: {error}");
                assert_eq!(error.execution(), Execution::Never);
            }
        }
        assert_eq!(asked.load(SeqCst), 0, "no strategy is asked");
        // What was sent before this would have come before it.
        snd.flush_all(SOON).unwrap();
        snd.call("/mul").by(SendToTarget::new("rcv")).request::<i64>(&(2, 4)).unwrap();
        assert_eq!(log.taken(), [""; 0]);
    });
}

#[test]
fn t205_nobody_who_serves_it_is_no_crash_when_nobody_waits_either() {
    bounded("t205", LIMIT, || {
        let (snd, _rcv) = snd_and_rcv();
        let error = snd.call("/nobody").tick(&()).unwrap_err();
        assert_eq!((error.kind(), error.peer()), (ErrorKind::NotFound, None));
        // Sent to who serves nothing there: accepted, and it goes nowhere.
        let told = snd.call("/nobody").by(SendToTarget::new("rcv")).tick(&()).unwrap();
        assert_eq!((told.sent, told.skipped.len()), (1, 0));
        let told = snd.call("/nobody").by(BroadcastGlobal).tick(&()).unwrap();
        assert_eq!((told.sent, told.skipped.len()), (2, 0));
        snd.flush_all(SOON).unwrap();
        assert_eq!(snd.call("/mul").request::<i64>(&(2, 3)).unwrap(), 6);
    });
}

#[test]
fn t206_a_wildcard_to_all_asks_every_match() {
    bounded("t206", LIMIT, || {
        let (snd, _rcv) = snd_and_rcv();
        let all = snd.call("/math/*").by(SendToAll).request_all::<i64>(&(2, 2)).unwrap();
        assert_eq!(shown(&all), ["rcv/math/mul = 4", "rcv/math/add = 4", "rcv/math/neg = -4"]);
        assert_eq!(all.get("rcv", "/math/neg").unwrap().as_ref().unwrap(), &-4);
        assert_eq!((all.len(), all.errors().count()), (3, 0));
        assert!(all.get("snd", "/math/neg").is_none() && all.get("rcv", "/neg").is_none());
        assert_eq!(all.into_values().collect::<Vec<_>>(), [4, 4, -4]);
    });
}

/// Nobody listens there any more.
pub(crate) fn dead_address() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap()
}

#[test]
fn t208_an_address_where_nobody_is_fails_quickly_as_a_connection_error() {
    bounded("t208", LIMIT, || {
        let (snd, _rcv) = snd_and_rcv();
        let call = snd.call("/mul").by(SendToTarget::new(dead_address()));
        for error in [
            took(AT_ONCE, || call.request::<i64>(&(2, 3)).unwrap_err()),
            took(AT_ONCE, || call.tick(&(2, 3)).unwrap_err()),
        ] {
            assert_eq!(error.kind(), ErrorKind::ConnectFailed, "{error}");
            assert_eq!(error.execution(), Execution::Never);
        }
        let all = took(AT_ONCE, || call.request_all::<i64>(&(2, 3)).unwrap());
        assert_eq!(all.len(), 1);
        let (to, error) = all.errors().next().unwrap();
        assert!(to.address().is_some() && to.id().is_none());
        assert_eq!(error.kind(), ErrorKind::ConnectFailed);
        assert_eq!(order(&snd), ["snd", "rcv"], "nobody has joined");
    });
}

#[test]
fn t209_a_broadcast_asks_everybody_and_those_who_do_not_serve_it_say_so() {
    bounded("t209", LIMIT, || {
        let (snd, _rcv) = snd_and_rcv();
        let local = snd.call("/math/mul").by(BroadcastLocal).request_all::<i64>(&(2, 3)).unwrap();
        let global = snd.call("/math/mul").by(BroadcastGlobal).request_all::<i64>(&(2, 3)).unwrap();
        for all in [local, global] {
            assert_eq!(shown(&all), ["snd/math/mul = NOT_FOUND", "rcv/math/mul = 6"]);
            let (_, error) = all.errors().next().unwrap();
            assert_eq!(error.peer().unwrap().as_str(), "snd");
            assert_eq!(
                (error.execution(), error.context("found")),
                (Execution::Never, Some("remote"))
            );
        }
        // A wildcard is not resolved here, and served by nobody.
        let all = snd.call("/math/*").by(BroadcastGlobal).request_all::<i64>(&(2, 3)).unwrap();
        assert_eq!(shown(&all), ["snd/math/* = NOT_FOUND", "rcv/math/* = NOT_FOUND"]);
    });
}

/// A strategy that goes to `rcv` with a path that it does not serve.
fn wrong() -> impl SendStrategy + 'static {
    let path = Path::new("/wrong").unwrap();
    send_strategy_fn(move |_, nodes| nodes.get("rcv").map(|node| node.target(&path)).into())
}

#[test]
fn t211_a_default_strategy_may_be_replaced_while_calls_run_and_none_is_lost() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 25;
    bounded("t211", LIMIT, || {
        let (snd, _rcv) = snd_and_rcv();
        let (right, not_found) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (made, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let call = || {
            while !over.load(SeqCst) {
                made.fetch_add(1, SeqCst);
                match snd.call("/mul").request::<i64>(&(2, 3)) {
                    Ok(product) => {
                        assert_eq!(product, 6);
                        right.fetch_add(1, SeqCst);
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                        assert_eq!(error.peer().unwrap().as_str(), "rcv");
                        assert_eq!(error.context("found"), Some("remote"), "{error}");
                        assert_eq!(error.execution(), Execution::Never);
                        not_found.fetch_add(1, SeqCst);
                    }
                }
            }
        };
        thread::scope(|scope| {
            let callers = [(); THREADS].map(|()| scope.spawn(call));
            for _ in 0..ROUNDS {
                for (default, more) in [(true, &not_found), (false, &right)] {
                    if default {
                        snd.set_send_strategy(wrong()).unwrap();
                    } else {
                        snd.set_send_strategy(FirstFind).unwrap();
                    }
                    let before = more.load(SeqCst);
                    // Those that were under way may end as they began.
                    eventually("the new strategy counts", || {
                        more.load(SeqCst) > before + 2 * THREADS
                    });
                }
            }
            over.store(true, SeqCst);
            for caller in callers {
                caller.join().unwrap();
            }
        });
        assert_eq!(right.load(SeqCst) + not_found.load(SeqCst), made.load(SeqCst));
        assert_eq!(snd.call("/mul").request::<i64>(&(2, 3)).unwrap(), 6);
    });
}

fn error_told(event: &NodeEvent) -> Option<Error> {
    match event {
        NodeEvent::Error(error) => Some(error.clone()),
        _ => None,
    }
}

#[test]
fn t229_a_prefix_of_a_path_is_found_neither_here_nor_there() {
    bounded("t229", LIMIT, || {
        let (snd, rcv) = snd_and_rcv();
        rcv.register("/foo/bar/baz", |request: Request<Two>| Ok(request.data.0 * request.data.1))
            .unwrap();
        snd.wait_for_service("/foo/bar/baz", SOON).unwrap();
        let mut events = snd.events();
        for path in ["/foo", "/foo/bar", "/foo/*", "/foo/bar/baz/more", "/Foo/bar/baz"] {
            let error = took(AT_ONCE, || snd.call(path).request::<i64>(&(2, 10)).unwrap_err());
            assert_eq!((error.kind(), error.execution()), (ErrorKind::NotFound, Execution::Never));
            assert_eq!((error.peer(), error.context("found")), (None, Some("local")), "{error}");
            assert_eq!(error.context("path"), Some(path));
            // The program can see that apart from the call.
            let told = expect_event(&mut events, error_told);
            assert_eq!((told.kind(), told.context("path")), (ErrorKind::NotFound, Some(path)));
            let there = snd.call(path).by(SendToTarget::new("rcv"));
            let error = took(AT_ONCE, || there.request::<i64>(&(2, 10)).unwrap_err());
            assert_eq!((error.kind(), error.execution()), (ErrorKind::NotFound, Execution::Never));
            assert_eq!(error.peer().unwrap().as_str(), "rcv", "{error}");
            assert_eq!(error.context("found"), Some("remote"), "{error}");
        }
        assert!(events.try_next().is_none(), "what a node answers is no event");
        assert_eq!(snd.call("/foo/bar/baz").request::<i64>(&(2, 10)).unwrap(), 20);
    });
}

#[test]
fn t230_of_two_handlers_of_one_path_the_second_answers_if_the_first_passes_on() {
    bounded("t230", LIMIT, || {
        let node = listening("rcv");
        let first = |request: Request<u32>| match request.data {
            0 => Outcome::Next,
            _ => Outcome::Reply("first".to_owned()),
        };
        node.register("/twice", first).unwrap();
        node.register("twice/", |_: Request<u32>| Ok("second")).unwrap();
        let snd = listening("snd");
        knows(&snd, &[&node]);
        for caller in [&snd, &node] {
            let ask = |data: u32| caller.call("/twice").request::<String>(&data).unwrap();
            assert_eq!([ask(1), ask(0)], ["first", "second"]);
            // It is one service, not two.
            let all = caller.call("/*").by(SendToAll).request_all::<String>(&1).unwrap();
            assert_eq!(shown(&all), ["rcv/twice = first"]);
        }
    });
}

// covers P37
#[test]
fn t226_a_strategy_of_ones_own_may_mean_two_nobody_or_panic() {
    bounded("t226", LIMIT, || {
        let log = Log::default();
        let (a, b) = (serving("a", &["/x"], &log), serving("b", &["/x"], &log));
        knows(&a, &[&b]);
        let both = send_strategy_fn(|message, nodes| {
            let matches = nodes.matches(message.pattern());
            Targets::Each(matches.map(|(node, path)| node.target(path)).collect())
        });
        let all = a.call("/x").by(both).request_all::<String>(&()).unwrap();
        assert_eq!(shown(&all), ["a/x = a/x", "b/x = b/x"]);
        assert_eq!(log.taken().len(), 2);

        let mut events = a.events();
        let nobody = send_strategy_fn(|_, _| Targets::nobody());
        let error = a.call("/x").by(nobody).request::<String>(&()).unwrap_err();
        assert_eq!((error.kind(), error.peer()), (ErrorKind::NotFound, None));
        assert_eq!((error.context("found"), error.execution()), (Some("local"), Execution::Never));
        assert_eq!(expect_event(&mut events, error_told).kind(), ErrorKind::NotFound);

        let panics = send_strategy_fn(|_, _| std::panic::resume_unwind(Box::new("of this test")));
        let call = a.call("/x").by(panics);
        for error in [
            call.request::<String>(&()).unwrap_err(),
            call.request_all::<String>(&()).unwrap_err(),
            call.tick(&()).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::UserCodePanicked);
            assert_eq!(error.execution(), Execution::Never);
        }

        let unknown = SendToTarget::new(threadmesh::NodeId::new("nobody").unwrap());
        let error = a.call("/x").by(unknown.clone()).request::<String>(&()).unwrap_err();
        assert_eq!((error.kind(), error.execution()), (ErrorKind::NodeNotFound, Execution::Never));
        let all = a.call("/x").by(unknown).request_all::<String>(&()).unwrap();
        assert_eq!(shown(&all), ["nobody/x = NODE_NOT_FOUND"]);
        assert_eq!(log.taken(), [""; 0]);
        assert_eq!(a.call("/x").request::<String>(&()).unwrap(), "a/x", "all goes on");
    });
}

#[test]
fn t226_a_strategy_that_takes_longer_than_the_call_may_ends_it_and_nobody_runs_it() {
    bounded("t226 slow", LIMIT, || {
        let log = Log::default();
        let (a, b) = (serving("a", &["/x"], &log), serving("b", &["/x"], &log));
        knows(&a, &[&b]);
        let timeout = Duration::from_millis(60);
        for wants_all in [false, true] {
            let slow = send_strategy_fn(move |message, nodes| {
                assert!(message.timeout().unwrap() <= timeout);
                let_pass(timeout * 2);
                if wants_all {
                    SendToAll.targets(message, nodes)
                } else {
                    FirstFind.targets(message, nodes)
                }
            });
            let call = a.call("/x").by(slow).timeout(timeout);
            let error = if wants_all {
                call.request_all::<String>(&()).unwrap_err()
            } else {
                call.request::<String>(&()).unwrap_err()
            };
            assert_eq!(error.kind(), ErrorKind::RequestTimeout, "{error}");
            assert_eq!(error.execution(), Execution::Never, "{error}");
        }
        // Whatever had been sent would have come before these.
        a.call("/x").by(SendToAll).request_all::<String>(&()).unwrap();
        assert_eq!(log.taken().len(), 2, "only these");
    });
}

#[test]
fn one_answer_is_not_asked_of_a_strategy_that_means_many_however_many_there_are() {
    bounded("many", LIMIT, || {
        let log = Log::default();
        let (a, b) = (serving("a", &["/x"], &log), serving("b", &["/x", "/one"], &log));
        knows(&a, &[&b]);
        let mut events = a.events();
        let refused = |strategy: Arc<dyn SendStrategy>, path: &str| {
            for wait in [None, Some(SOON)] {
                let call = a.call(path).by(Arc::clone(&strategy));
                let call = wait.map_or(call.clone(), |patience| call.wait_for_match(patience));
                for error in [
                    took(AT_ONCE, || call.request::<String>(&()).unwrap_err()),
                    took(AT_ONCE, || call.start::<String>(&()).map(drop).unwrap_err()),
                ] {
                    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{path}: {error}");
                    assert_eq!(error.execution(), Execution::Never);
                    assert!(error.message().contains("request_all"), "{error}");
                }
            }
        };
        refused(Arc::new(SendToAll), "/x");
        refused(Arc::new(SendToAllOnePerNode), "/x");
        refused(Arc::new(BroadcastLocal), "/x");
        refused(Arc::new(BroadcastGlobal), "/x");
        refused(Arc::new(SendToAll), "/one");
        refused(Arc::new(SendToAll), "/nobody");
        refused(Arc::new(send_strategy_fn(|_, _| Targets::Each(Vec::new()))), "/x");
        // As the default, too: changed at run time it makes a call fail, and never changes its type.
        a.set_send_strategy(SendToAll).unwrap();
        let error = a.call("/x").request::<String>(&()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        a.flush_all(SOON).unwrap();
        assert_eq!((log.taken().len(), events.try_next().is_none()), (0, true));

        // All of nobody is nobody.
        let error = a.call("/nobody").request_all::<String>(&()).unwrap_err();
        assert_eq!((error.kind(), error.context("found")), (ErrorKind::NotFound, Some("local")));
        let error = a.call("/nobody").tick(&()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        // And all of one is one, whatever the strategy.
        let all = a.call("/x").by(FirstFind).request_all::<String>(&()).unwrap();
        assert_eq!(shown(&all), ["a/x = a/x"]);
        assert_eq!(log.taken(), ["a/x"]);
    });
}
