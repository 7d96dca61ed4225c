//! A node that calls itself by path: no network, and all the rules of a call.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use threadmesh::{
    Bytes, ErrorKind, Execution, HandlerError, Limits, Node, Outcome, Pending, Request, Responder,
    SendToAll, SendToTarget, blocking,
};

use crate::support::paths::{Log, knows, serve, serving, shown};
use crate::support::{AT_ONCE, SOON, bounded, builder, eventually, listening, took};

const LIMIT: Duration = Duration::from_secs(60);

type Two = (i64, i64);

/// A node without a link.
fn lone() -> Node {
    builder("own").start().unwrap()
}

#[test]
fn t214_a_node_calls_itself() {
    bounded("t214", LIMIT, || {
        let node = lone();
        node.register("/add", |request: Request<Two>| Ok(request.data.0 + request.data.1)).unwrap();
        node.register("/math/mul", |request: Request<Two>| Ok(request.data.0 * request.data.1))
            .unwrap();
        node.register("/who", |request: Request<()>| {
            Ok((request.sender().to_string(), request.origin().to_string()))
        })
        .unwrap();
        assert_eq!(node.call("/add").request::<i64>(&(1, 7)).unwrap(), 8);
        assert_eq!(node.call("/math/*").request::<i64>(&(1, 7)).unwrap(), 7);
        let reply = node.call("/add").request_reply::<i64>(&(1, 7)).unwrap();
        assert_eq!((reply.value, reply.handled_by.as_str()), (8, "own"));
        let who: (String, String) = node.call("/who").request(&()).unwrap();
        assert_eq!(who, ("own".to_owned(), "own".to_owned()));
        assert_eq!(node.call("/nothing").request::<i64>(&()).unwrap_err().code(), "NOT_FOUND");
        // By its id it is still nobody's peer.
        let error = node.request::<i64, _>("own", "/add", &(1, 7)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NodeNotFound);
    });
}

#[test]
fn t215_what_was_registered_a_moment_ago_is_served_and_what_was_removed_is_not() {
    bounded("t215", LIMIT, || {
        let node = lone();
        for round in 0..200_u32 {
            let path = format!("/round/{}", round % 3);
            let registration = node.register(&path, move |_: Request<()>| Ok(round)).unwrap();
            assert_eq!(node.call(&path).request::<u32>(&()).unwrap(), round);
            assert_eq!(node.call("/round/*").request::<u32>(&()).unwrap(), round);
            assert!(registration.remove());
            let error = node.call(&path).request::<u32>(&()).unwrap_err();
            assert_eq!(
                (error.kind(), error.context("found")),
                (ErrorKind::NotFound, Some("local"))
            );
        }
    });
}

#[test]
fn exceptions_and_directions_leave_the_node_itself_out() {
    bounded("left out", LIMIT, || {
        let log = Log::default();
        let (own, up) = (serving("own", &["/x"], &log), serving("up", &["/x"], &log));
        knows(&own, &[&up]);
        let down = serving("down", &["/x"], &log);
        knows(&down, &[&own]);
        let all = |call: threadmesh::PathCall<'_>| {
            shown(&call.by(SendToAll).request_all::<String>(&()).unwrap())
        };
        let (of_own, of_up, of_down) = ("own/x = own/x", "up/x = up/x", "down/x = down/x");
        let call = || own.call("/x");
        assert_eq!(all(call()), [of_own, of_up, of_down]);
        assert_eq!(all(call().except("own")), [of_up, of_down]);
        assert_eq!(all(call().except("up")), [of_own, of_down]);
        assert_eq!(all(call().up()), [of_up]);
        assert_eq!(all(call().down()), [of_down]);
        assert_eq!(all(call().except("own").down()), [of_down]);
        assert_eq!(call().request::<String>(&()).unwrap(), "own/x");
        assert_eq!(call().except(own.id()).request::<String>(&()).unwrap(), "up/x");
        assert_eq!(call().down().request::<String>(&()).unwrap(), "down/x");
        log.taken();

        let both_out = call().except("own").except("up").except("down");
        for nobody in [both_out, call().directions(threadmesh::Directions::NONE)] {
            let error = nobody.request::<String>(&()).unwrap_err();
            assert_eq!(
                (error.kind(), error.context("found")),
                (ErrorKind::NotFound, Some("local"))
            );
        }
        // Who is named and left out is not known to the call.
        let itself = call().by(SendToTarget::new("own"));
        assert_eq!(itself.request::<String>(&()).unwrap(), "own/x");
        let to = |node: &Node| call().by(SendToTarget::new(node.local_addr().unwrap()));
        for out in [
            to(&own).except("own"),
            to(&own).up(),
            to(&own).down(),
            to(&up).except("up"),
            to(&up).down(),
            call().by(SendToTarget::new("up")).down(),
            call().by(SendToTarget::new("own")).up(),
        ] {
            let error = out.request::<String>(&()).unwrap_err();
            assert_eq!(
                (error.kind(), error.execution()),
                (ErrorKind::NodeNotFound, Execution::Never)
            );
        }
        // Nor may a strategy go around that, or dial whom the call could not go to then.
        let (near, far) = (own.local_addr().unwrap(), up.local_addr().unwrap());
        let nowhere = listening("nowhere");
        let new = nowhere.local_addr().unwrap();
        let each = threadmesh::send_strategy_fn(move |message, _| {
            let at = |address| threadmesh::SendTarget::at(address, message.pattern());
            threadmesh::Targets::Each([near, far, new].map(at).into())
        });
        let all = call().by(each.clone()).down().request_all::<String>(&()).unwrap();
        assert!(all.errors().all(|(_, error)| error.kind() == ErrorKind::NodeNotFound), "{all:?}");
        assert_eq!((all.len(), all.errors().count(), nowhere.peers().len()), (3, 3, 0));
        let all = call().by(each).except("own").request_all::<String>(&()).unwrap();
        let codes: Vec<_> =
            all.errors().map(|(to, error)| (to.to_string(), error.code())).collect();
        assert_eq!(codes[0], (format!("{near}/x"), "NODE_NOT_FOUND"), "{all:?}");
        assert_eq!(all.get("up", "/x").unwrap().as_ref().unwrap(), "up/x");
        assert_eq!(codes[1].1, "NOT_FOUND", "the third was dialled, and serves nothing");
        assert_eq!(log.taken(), ["own/x", "up/x"]);
    });
}

#[test]
fn a_call_to_itself_ends_at_its_deadline_and_its_handler_sees_that() {
    bounded("deadline", LIMIT, || {
        let node = lone();
        let (tell, told) = unbounded();
        let (seen, saw) = unbounded();
        let hold = move |request: Request<()>| {
            tell.send(request.deadline().saturating_duration_since(Instant::now())).unwrap();
            let is_cancelled = || {
                while !request.is_cancelled() {
                    thread::park_timeout(Duration::from_millis(1));
                }
            };
            blocking(is_cancelled);
            seen.send(()).unwrap();
            Ok(())
        };
        node.register("/hold", hold).unwrap();
        let timeout = Duration::from_millis(200);
        let began = Instant::now();
        let error = node.call("/hold").timeout(timeout).request::<()>(&()).unwrap_err();
        let took = began.elapsed();
        assert_eq!(
            (error.kind(), error.execution()),
            (ErrorKind::RequestTimeout, Execution::Unknown)
        );
        assert_eq!(error.peer().unwrap().as_str(), "own");
        assert!(took >= timeout && took < timeout + AT_ONCE, "{took:?}");
        assert!(told.recv_timeout(SOON).unwrap() <= timeout);
        saw.recv_timeout(SOON).expect("the handler sees that nobody waits");

        // A caller that gives up is seen as well.
        let pending = node.call("/hold").start::<()>(&()).unwrap();
        told.recv_timeout(SOON).unwrap();
        drop(pending);
        saw.recv_timeout(SOON).expect("the handler sees that it was dropped");
        let past = node.call("/hold").until(Instant::now()).request::<()>(&()).unwrap_err();
        assert_eq!((past.kind(), past.execution()), (ErrorKind::RequestTimeout, Execution::Never));
        let zero = node.call("/hold").timeout(Duration::ZERO).request::<()>(&()).unwrap_err();
        assert_eq!(zero.kind(), ErrorKind::InvalidArgument);
        assert!(told.is_empty());
    });
}

#[test]
fn calls_that_a_handler_makes_to_its_own_node_inherit_what_is_left() {
    bounded("inherited", LIMIT, || {
        let node = lone();
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        node.register("/inner", move |request: Request<()>| Ok(left(request.deadline()))).unwrap();
        let handle = node.handle();
        let outer = move |request: Request<()>| -> Result<(Duration, Duration), HandlerError> {
            let own = left(request.deadline());
            let inner = handle.call("/inner").timeout(SOON).request::<Duration>(&())?;
            let all = handle.call("/inner").by(SendToAll).request_all::<Duration>(&())?;
            Ok((own, inner.max(all.into_values().max().unwrap())))
        };
        node.register("/outer", outer).unwrap();
        let timeout = Duration::from_secs(3);
        let call = node.call("/outer").timeout(timeout);
        let (outer, inner): (Duration, Duration) = call.request(&()).unwrap();
        assert!(
            inner <= outer && outer <= timeout && inner > Duration::ZERO,
            "{inner:?} {outer:?}"
        );

        // Without an answer from within, both end with the outer one.
        node.register("/silent", |_: Request<()>| Outcome::<()>::later(std::mem::forget)).unwrap();
        let (handle, (tell, told)) = (node.handle(), unbounded());
        let asks = move |_: Request<()>| {
            let error = handle.call("/silent").timeout(SOON).request::<()>(&()).unwrap_err();
            tell.send(error.kind()).unwrap();
            Ok(())
        };
        node.register("/asks", asks).unwrap();
        let timeout = Duration::from_millis(200);
        let error = took(timeout + AT_ONCE, || {
            node.call("/asks").timeout(timeout).request::<()>(&()).unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::RequestTimeout);
        let inner = told.recv_timeout(AT_ONCE).expect("the inner call ends with the outer one");
        assert_eq!(inner, ErrorKind::RequestTimeout);
    });
}

#[test]
fn calls_to_itself_from_many_threads_all_run_once_and_are_answered() {
    const THREADS: u64 = 8;
    const CALLS: u64 = 1_000;
    bounded("load", LIMIT, || {
        let node = lone();
        let (runs, sum) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (count, add) = (Arc::clone(&runs), Arc::clone(&sum));
        let work = move |request: Request<u64>| {
            count.fetch_add(1, SeqCst);
            add.fetch_add(request.data, SeqCst);
            Ok(request.data + 1)
        };
        node.register("/work", work).unwrap();
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let node = &node;
                scope.spawn(move || {
                    let mut ahead = Vec::new();
                    for number in thread * CALLS..(thread + 1) * CALLS {
                        match number % 4 {
                            0 => ahead
                                .push((number, node.call("/work").start::<u64>(&number).unwrap())),
                            1 => {
                                let call = node.call("/work").by(SendToAll);
                                let all = call.request_all::<u64>(&number).unwrap();
                                assert_eq!(all.into_values().collect::<Vec<_>>(), [number + 1]);
                            }
                            _ => {
                                let answer: u64 = node.call("/work").request(&number).unwrap();
                                assert_eq!(answer, number + 1);
                            }
                        }
                        if ahead.len() > 16 {
                            for (number, pending) in ahead.drain(..) {
                                assert_eq!(pending.wait().unwrap().value, number + 1);
                            }
                        }
                    }
                    for (number, pending) in ahead {
                        assert_eq!(pending.wait().unwrap().value, number + 1);
                    }
                });
            }
        });
        let calls = THREADS * CALLS;
        assert_eq!(runs.load(SeqCst), calls);
        assert_eq!(sum.load(SeqCst), calls * (calls - 1) / 2);
        let own = node.path_table();
        assert_eq!(own.own().unwrap().pending(), 0, "every place was given back");
    });
}

// covers P34
#[test]
fn a_stop_with_calls_to_itself_under_way_lets_every_caller_return() {
    const THREADS: usize = 16;
    bounded("stop", LIMIT, || {
        let node = lone();
        let (held, holding) = unbounded::<Responder<()>>();
        let hold = move |_: Request<()>| {
            let held = held.clone();
            Outcome::<()>::later(move |responder| held.send(responder).unwrap())
        };
        node.register("/hold", hold).unwrap();
        let begun = Barrier::new(THREADS + 1);
        thread::scope(|scope| {
            let callers = [(); THREADS].map(|()| {
                scope.spawn(|| {
                    let pending = node.call("/hold").timeout(LIMIT).start::<()>(&()).unwrap();
                    begun.wait();
                    let all = node.call("/hold").by(SendToAll).timeout(LIMIT);
                    // It may be under way at the stop or come after it.
                    let all = all.request_all::<()>(&());
                    (pending.wait().map(drop), all)
                })
            });
            begun.wait();
            eventually("the calls are at their handlers", || holding.len() >= THREADS);
            node.stop().unwrap();
            for caller in callers {
                let (one, all) = caller.join().unwrap();
                let error = one.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                assert_eq!(error.execution(), Execution::Unknown, "{error}");
                match all {
                    Ok(all) => {
                        let codes: Vec<_> = all.errors().map(|(_, error)| error.kind()).collect();
                        assert_eq!(codes, [ErrorKind::Closed]);
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
                }
            }
        });
        let after = took(AT_ONCE, || node.call("/hold").request::<()>(&()).unwrap_err());
        assert_eq!((after.kind(), after.execution()), (ErrorKind::Closed, Execution::Never));
        for responder in holding.try_iter() {
            assert!(responder.is_cancelled() && !responder.reply(()), "nobody waits");
        }
    });
}

// covers P26
#[test]
fn a_handler_that_calls_its_own_node_32_deep_through_few_workers_unwinds() {
    bounded("deep", LIMIT, || {
        for workers_max in [16, 64, 256] {
            let mut limits = Limits::default();
            limits.workers_min = 1;
            limits.workers_max = workers_max;
            let node = builder("own").limits(limits).start().unwrap();
            let handle = node.handle();
            let down = move |request: Request<u32>| match request.data {
                0 => Ok::<_, HandlerError>(0),
                n => Ok(handle.call("/down").request::<u32>(&(n - 1))? + 1),
            };
            node.register("/down", down).unwrap();
            let deep = took(SOON, || node.call("/down").request::<u32>(&32));
            if workers_max > 32 {
                assert_eq!(deep.unwrap(), 32);
            } else {
                // Nobody is left who could run the innermost: it says so at once, and all the others pass that on.
                assert_eq!(deep.unwrap_err().code(), "BUSY");
                assert_eq!(node.call("/down").request::<u32>(&8).unwrap(), 8);
                continue;
            }
            let deep = [(); 2].map(|()| node.call("/down").start::<u32>(&16).unwrap());
            for pending in deep {
                assert_eq!(pending.wait().unwrap().value, 16);
            }
        }
    });
}

#[test]
fn a_stop_and_a_drop_from_a_handler_that_its_own_node_called() {
    bounded("stop inside", LIMIT, || {
        let node = lone();
        let handle = node.handle();
        let ends = move |_: Request<()>| {
            // The node is asked to stop, and does so once this has answered.
            handle.stop().unwrap();
            Ok("stopped")
        };
        node.register("/stop", ends).unwrap();
        let answer = took(SOON, || node.call("/stop").request::<String>(&()));
        match answer {
            Ok(text) => assert_eq!(text, "stopped"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
        }
        took(SOON, || node.wait().unwrap());
    });
}

#[test]
fn a_node_sees_itself_as_it_is_now() {
    bounded("as it is", LIMIT, || {
        let node = builder("own").host("here").start().unwrap();
        let log = Log::default();
        assert_eq!(node.path_table().to_string(), "own on here, this node\n    no paths");
        serve(&node, &["/math/mul", "/math/add", "/up"], &log);
        let address = node.bind("127.0.0.1:0").unwrap();
        let tree = "\n    /\n    ├── math/\n    │   ├── add\n    │   └── mul\n    └── up";
        let expected = format!("own on here at {address}, this node{tree}");
        assert_eq!(node.path_table().to_string(), expected);
        node.set_options(threadmesh::options! { "load": 3 }).unwrap();
        let table = node.path_table();
        assert_eq!(table.own().unwrap().options().get_u64("load"), Some(3));
        assert_eq!(node.off("/math/mul").unwrap(), 1);
        let firsts = node.call("/math/*").request::<String>(&()).unwrap();
        assert_eq!(firsts, "own/math/add");
        assert_eq!(table.own().unwrap().paths().len(), 3, "a snapshot does not change");
    });
}

/// With default limits. Above half of the node's memory a waiting request of the node to itself is
/// refused as soon as it is sent, which makes way for the next: 3,000 of them once took the loop's
/// stack, and the process with it.
#[test]
fn thousands_of_calls_to_itself_that_are_refused_at_once_end_busy_and_none_is_lost() {
    bounded("refused_at_once", LIMIT, || {
        let node = lone();
        let (hand_out, responders) = unbounded();
        let later = move |_: Request<Bytes>| {
            let hand_out = hand_out.clone();
            Outcome::<()>::later(move |responder| hand_out.send(responder).unwrap())
        };
        node.register("/later", later).unwrap();
        let start = |data: &Bytes| {
            node.call("/later").timeout(LIMIT).start::<()>(data).expect("a call that may wait")
        };
        let (small, large) = (Bytes::from(vec![0; 8]), Bytes::from(vec![0; 15 << 20]));
        let calls = Limits::default().calls_per_link as usize;
        let (mut open, mut kept) = (Vec::new(), Vec::new());
        for number in 0..calls {
            // The small ones first, which would be refused behind the large ones.
            open.push(start(if number + 9 < calls { &small } else { &large }));
            kept.push(responders.recv_timeout(SOON).expect("a request"));
        }
        let waiting: Vec<_> = (0..3_000).map(|_| start(&small)).collect();
        assert!(kept.remove(0).reply(()));
        let mut ends: Vec<_> = waiting.into_iter().map(Pending::wait).collect();
        // At most as many as there is a slot for may run after all.
        ends.retain(|end| end.as_ref().is_err_and(|error| error.kind() != ErrorKind::Busy));
        assert_eq!(ends.len(), 0, "{:?}", ends.first());
        let taken = open.iter_mut().filter_map(Pending::try_take).count();
        assert_eq!(taken, 1, "the one that was answered");
    });
}
