//! What a call by path says beside its path: headers, time, patience, size; and how it fares while services come and go.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use threadmesh::{
    Bytes, ErrorKind, Execution, FirstFind, Handle, HandlerError, Limits, NodeId, Observation,
    Outcome, Outgoing, Path, PathTable, Request, SendStrategy, SendTarget, SendToAll,
    SendToAllOnePerNode, SendToTarget, Targets, send_strategy_fn,
};

use crate::support::paths::{Log, knows, order, sees, serve, serving, shown};
use crate::support::{AT_ONCE, SOON, bounded, builder, eventually, listening, took};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn headers_arrive_wherever_the_call_goes() {
    bounded("headers", LIMIT, || {
        let (a, b) = (listening("a"), listening("b"));
        for node in [&a, &b] {
            let answer = |request: Request<()>| {
                let token = request.headers().get_str("token").unwrap_or("none").to_owned();
                Ok(format!("{} from {}", token, request.sender()))
            };
            node.register("/token", answer).unwrap();
        }
        knows(&a, &[&b]);
        let seen = Log::default();
        let looks = seen.clone();
        let looking = send_strategy_fn(move |message, nodes| {
            looks.note(message.headers().get_str("token").unwrap_or("none").to_owned());
            SendToAll.targets(message, nodes)
        });
        let call = a.call("/token").by(looking).header("token", "t1");
        let all = call.request_all::<String>(&()).unwrap();
        assert_eq!(shown(&all), ["a/token = t1 from a", "b/token = t1 from a"]);
        assert_eq!(seen.taken(), ["t1"]);
        let one: String = a.call("/token").request(&()).unwrap();
        assert_eq!(one, "none from a");
        let error =
            a.call("/token").header("token", "t".repeat(5_000)).request::<String>(&()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    });
}

#[test]
fn data_that_are_too_large_are_refused_before_anybody_is_asked() {
    bounded("too large", LIMIT, || {
        let log = Log::default();
        let mut limits = Limits::default();
        limits.message_bytes = 64 * 1_024;
        let a = builder("a").limits(limits).bind("127.0.0.1:0").start().unwrap();
        let b = serving("b", &["/x"], &log);
        serve(&a, &["/x"], &log);
        knows(&a, &[&b]);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let counting = send_strategy_fn(move |message, nodes| {
            count.fetch_add(1, SeqCst);
            SendToAll.targets(message, nodes)
        });
        let call = a.call("/x").by(counting);
        let large = Bytes::new(vec![0; 64 * 1_024]);
        for error in [
            call.request::<String>(&large).unwrap_err(),
            call.request_all::<String>(&large).unwrap_err(),
            call.tick(&large).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.execution()), (ErrorKind::TooLarge, Execution::Never));
        }
        assert_eq!((asked.load(SeqCst), log.len()), (0, 0));

        // A peer that takes less than this node is one of many: the others keep theirs.
        let all = b.call("/x").by(SendToAll).request_all::<String>(&large).unwrap();
        assert_eq!(shown(&all), ["b/x = b/x", "a/x = TOO_LARGE"]);
        assert_eq!(log.taken(), ["b/x"]);
        let tail = Bytes::new(vec![0; 60 * 1_024]);
        let all = call.request_all::<String>(&tail).unwrap();
        assert_eq!(shown(&all), ["a/x = a/x", "b/x = b/x"]);
    });
}

#[test]
fn a_service_that_comes_and_goes_costs_no_call_while_another_serves_it() {
    const THREADS: usize = 4;
    bounded("unregister", LIMIT, || {
        let log = Log::default();
        let (a, b, c) = (listening("a"), listening("b"), serving("c", &["/x"], &log));
        knows(&a, &[&b, &c]);
        let (by_b, by_c, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let call = || {
            while !over.load(SeqCst) {
                let reply = a.call("/x").request_reply::<String>(&()).unwrap();
                let by = if reply.handled_by == "b" { &by_b } else { &by_c };
                by.fetch_add(1, SeqCst);
            }
        };
        thread::scope(|scope| {
            let callers = [(); THREADS].map(|()| scope.spawn(call));
            for _ in 0..50 {
                let seen = by_b.load(SeqCst);
                let registration = b.register("/x", |_: Request<()>| Ok("b")).unwrap();
                eventually("b serves it", || by_b.load(SeqCst) > seen);
                assert!(registration.remove());
                let seen = by_c.load(SeqCst);
                eventually("c serves it", || by_c.load(SeqCst) > seen);
            }
            over.store(true, SeqCst);
            for caller in callers {
                caller.join().unwrap();
            }
        });
        eventually("it is known to be gone", || !sees(&a, "b", "/x"));
        // The only one who served it is gone: the one who was asked says so, or nobody was.
        assert_eq!(c.off("/x").unwrap(), 1);
        let error = a.call("/x").request::<String>(&()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.peer().is_none(), error.context("found") == Some("local"), "{error}");
    });
}

#[test]
fn a_call_may_wait_for_somebody_to_serve_it_a_peer_or_the_node_itself() {
    bounded("wait for match", LIMIT, || {
        let log = Log::default();
        let a = listening("a");
        let call = |path| a.call(path).wait_for_match(SOON);
        thread::scope(|scope| {
            let waits = [
                scope.spawn(|| call("/late").request::<String>(&())),
                scope.spawn(|| {
                    call("/*")
                        .by(SendToAllOnePerNode)
                        .request_all(&())
                        .map(|all| shown::<String>(&all).join(", "))
                }),
                scope.spawn(|| call("/late").tick(&()).map(|told| told.sent.to_string())),
            ];
            let late = serving("b", &["/late"], &log);
            late.connect(a.local_addr().unwrap()).unwrap();
            let results = waits.map(|wait| wait.join().unwrap().unwrap());
            assert_eq!(results, ["b/late", "b/late = b/late", "1"]);
            late.stop().unwrap();
        });
        eventually("b has left", || order(&a) == ["a"]);
        thread::scope(|scope| {
            let wait = scope.spawn(|| call("/own").request::<String>(&()));
            let short = Duration::from_millis(100);
            let began = Instant::now();
            let impatient = a.call("/own/not").wait_for_match(short);
            let error = impatient.request::<String>(&()).unwrap_err();
            assert_eq!((error.kind(), error.peer()), (ErrorKind::NotFound, None));
            assert!(began.elapsed() >= short);
            serve(&a, &["/own"], &log);
            assert_eq!(wait.join().unwrap().unwrap(), "a/own");
        });
        // Not beyond the deadline of the call.
        let hasty = call("/never").timeout(Duration::from_millis(100));
        let error = took(AT_ONCE, || hasty.request::<String>(&()).unwrap_err());
        assert_eq!((error.kind(), error.execution()), (ErrorKind::NotFound, Execution::Never));
    });
}

#[test]
fn t247_two_nodes_of_one_process_with_other_defaults_are_independent() {
    bounded("t247", LIMIT, || {
        let log = Log::default();
        let one = builder("one").send_strategy(SendToAll).bind("127.0.0.1:0").start().unwrap();
        let limit = Duration::from_millis(100);
        let two = builder("two").request_timeout(limit).bind("127.0.0.1:0").start().unwrap();
        serve(&one, &["/x", "/y"], &log);
        serve(&two, &["/x"], &log);
        knows(&one, &[&two]);
        eventually("each sees all", || sees(&one, "two", "/x") && sees(&two, "one", "/y"));
        let all = one.call("/x").request_all::<String>(&()).unwrap();
        assert_eq!(shown(&all), ["one/x = one/x", "two/x = two/x"]);
        assert_eq!(two.call("/x").request::<String>(&()).unwrap(), "two/x");
        assert_eq!(one.call("/x").request::<String>(&()).unwrap_err().code(), "INVALID_ARGUMENT");
        two.set_send_strategy(SendToTarget::new("one")).unwrap_err();
        two.set_send_strategy(SendToAllOnePerNode).unwrap();
        let all = two.call("/*").request_all::<String>(&()).unwrap();
        assert_eq!(shown(&all), ["two/x = two/x", "one/x = one/x"]);
        assert_eq!(one.call("/*").request_all::<String>(&()).unwrap().len(), 3);

        // The times are each node's own, too.
        let silent = |_: Request<()>| Outcome::<()>::later(std::mem::forget);
        one.register("/silent", silent).unwrap();
        let began = Instant::now();
        two.set_send_strategy(FirstFind).unwrap();
        two.wait_for_service("/silent", SOON).unwrap();
        let error = two.call("/silent").request::<()>(&()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RequestTimeout);
        assert!(began.elapsed() < SOON);
        two.stop().unwrap();
        assert_eq!(two.call("/x").request::<String>(&()).unwrap_err().kind(), ErrorKind::Closed);
        eventually("two has left", || order(&one) == ["one"]);
        one.set_send_strategy(FirstFind).unwrap();
        assert_eq!(one.call("/x").request::<String>(&()).unwrap(), "one/x");
    });
}

#[test]
fn a_handlers_own_error_comes_back_as_it_is() {
    bounded("errors", LIMIT, || {
        let (a, b) = (listening("a"), listening("b"));
        for node in [&a, &b] {
            let fail = |_: Request<()>| Err::<(), _>(HandlerError::new("ODD", "cannot be halved"));
            node.register("/fail", fail).unwrap();
            let panic = |_: Request<()>| -> Result<(), HandlerError> {
                std::panic::resume_unwind(Box::new("of this test"))
            };
            node.register("/panic", panic).unwrap();
        }
        knows(&a, &[&b]);
        for (path, code) in [("/fail", "ODD"), ("/panic", "HANDLER_ERROR")] {
            // One that fails may have run, so the next is not asked.
            let error = a.call(path).request::<()>(&()).unwrap_err();
            assert_eq!((error.code(), error.peer().unwrap().as_str()), (code, "a"));
            assert_eq!(error.execution(), Execution::Happened);
            let all = a.call(path).by(SendToAll).request_all::<()>(&()).unwrap();
            let errors: Vec<_> = all.errors().map(|(to, error)| (to.to_string(), error)).collect();
            for ((to, error), id) in errors.iter().zip(["a", "b"]) {
                assert_eq!((to.as_str(), error.code()), (format!("{id}{path}").as_str(), code));
                assert_eq!(error.peer().unwrap().as_str(), id);
            }
            assert_eq!(errors.len(), 2);
        }
    });
}

// covers P34
#[test]
fn everybody_who_waits_for_a_call_by_path_returns_with_the_stop() {
    bounded("stop", LIMIT, || {
        let (a, b) = (listening("a"), listening("b"));
        let (tell, begun) = unbounded();
        for node in [&a, &b] {
            let tell = tell.clone();
            let hold = move |request: Request<Bytes>| {
                tell.send(request.wants_answer()).unwrap();
                Outcome::<()>::later(std::mem::forget)
            };
            node.register("/hold", hold).unwrap();
        }
        knows(&a, &[&b]);
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let data = Bytes::new(vec![0; 10 * 1_024]);
        let call = |path| a.call(path).timeout(LIMIT);
        thread::scope(|scope| {
            let data = &data;
            let waits = [
                scope.spawn(move || call("/hold").request::<()>(data)),
                scope.spawn(move || call("/hold").down().request::<()>(data)),
                scope.spawn(move || call("/hold").except("a").request::<()>(data)),
                scope.spawn(move || call("/ghost").wait_for_match(LIMIT).request::<()>(data)),
                scope.spawn(move || call("/ghost").wait_for_match(LIMIT).tick(data).map(drop)),
                scope.spawn(move || call("/x").by(SendToTarget::new(address)).request(data)),
                scope.spawn(move || {
                    let all = call("/hold").by(SendToAll).request_all::<()>(data)?;
                    all.into_iter().try_for_each(|(_, result)| result)
                }),
            ];
            // The second one has nobody to ask, and three at two nodes have begun.
            (0..4).for_each(|_| assert!(begun.recv_timeout(SOON).unwrap()));
            // Held, so that the one who dialled goes on waiting.
            let _dialled = silent.accept().unwrap();
            took(SOON, || a.stop().unwrap());
            let ends = waits.map(|wait| wait.join().unwrap().unwrap_err().kind());
            let closed = ErrorKind::Closed;
            let not_found = ErrorKind::NotFound;
            assert_eq!(ends, [closed, not_found, closed, closed, closed, closed, closed]);
        });
    });
}

// covers P36
#[test]
fn a_send_strategy_may_use_its_node_wherever_it_runs() {
    /// Uses the node that it is a strategy of: when it is asked, when it is told, and when it is dropped.
    struct Curious(Handle, Log);

    impl Curious {
        fn ask(&self, place: &str) {
            let answer: String = self.0.call("/x").by(FirstFind).request(&()).unwrap();
            assert_eq!(self.0.path_table().len(), 2);
            self.1.note(format!("{place} {answer}"));
        }
    }

    impl SendStrategy for Curious {
        fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
            self.ask("targets");
            FirstFind.targets(message, nodes)
        }

        fn observe(&self, _: &Observation<'_>) {
            self.ask("observe");
        }
    }

    impl Drop for Curious {
        fn drop(&mut self) {
            self.ask("drop");
            // Also to be replaced by another.
            self.0.set_send_strategy(SendToAllOnePerNode).unwrap();
        }
    }

    bounded("curious", LIMIT, || {
        let log = Log::default();
        let (a, b) = (serving("a", &["/x"], &log), serving("b", &["/x", "/y"], &log));
        knows(&a, &[&b]);
        let seen = Log::default();
        a.set_send_strategy(Curious(a.handle(), seen.clone())).unwrap();
        assert_eq!(a.call("/y").request::<String>(&()).unwrap(), "b/y");
        assert_eq!(seen.taken(), ["targets a/x", "observe a/x"]);
        a.set_send_strategy(FirstFind).unwrap();
        assert_eq!(seen.taken(), ["drop a/x"]);
        let all = a.call("/x").request_all::<String>(&()).unwrap();
        assert_eq!(shown(&all), ["a/x = a/x", "b/x = b/x"]);
    });
}

#[test]
fn who_does_not_serve_it_any_more_is_passed_over_for_the_next_in_order() {
    bounded("in order", LIMIT, || {
        let log = Log::default();
        let (a, b, c) = (listening("a"), serving("b", &["/b"], &log), serving("c", &["/c"], &log));
        knows(&a, &[&b, &c]);
        let in_order = |targets: &'static [(&'static str, &'static str)]| {
            send_strategy_fn(move |_, _| {
                let target = |(id, path): &(&str, &str)| {
                    SendTarget::new(&NodeId::new(*id).unwrap(), Path::new(path).unwrap())
                };
                Targets::InOrder(targets.iter().map(target).collect())
            })
        };
        // Each under its own name: one that is unknown, two that serve no such path, and one that answers.
        let call = a.call("/any").by(in_order(&[
            ("z", "/c"),
            ("b", "/c"),
            ("a", "/a"),
            ("c", "/c"),
            ("b", "/b"),
        ]));
        let reply = call.request_reply::<String>(&()).unwrap();
        assert_eq!((reply.value.as_str(), reply.handled_by.as_str()), ("c/c", "c"));
        let all = call.request_all::<String>(&()).unwrap();
        assert_eq!(shown(&all), ["c/c = c/c"]);
        assert_eq!(log.taken(), ["c/c", "c/c"]);
        // Nobody of them: the last one says so.
        let call = a.call("/any").by(in_order(&[("b", "/c"), ("c", "/b")]));
        let error = call.request::<String>(&()).unwrap_err();
        assert_eq!((error.kind(), error.execution()), (ErrorKind::NotFound, Execution::Never));
        assert_eq!(error.peer().unwrap().as_str(), "c", "{error}");
        // A target that is named twice is sent two messages.
        let twice = send_strategy_fn(|message, nodes| {
            let b = nodes.get("b").unwrap().target(message.pattern());
            Targets::Each(vec![b.clone(), b])
        });
        let all = a.call("/b").by(twice).request_all::<String>(&()).unwrap();
        assert_eq!(shown(&all), ["b/b = b/b", "b/b = b/b"]);
        assert_eq!(log.taken(), ["b/b", "b/b"]);
    });
}
