//! Policies around calls, over real sockets: what is repeated, and what is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use threadmesh::{
    Breaker, Budget, Endpoint, Error, ErrorKind, Events, Execution, Failover, Filter, First,
    Handle, HandlerError, Hedge, Limits, Node, NodeEvent, PolicyStep, Request, Retry, Target, Tick,
};

use crate::support::{
    AT_ONCE, SOON, bounded, builder, eventually, expect_event, joined, listening, measured, pair,
    place, took,
};

const LIMIT: Duration = Duration::from_secs(30);
/// Long enough for a request over loopback on a busy machine, short enough to wait for its end.
const SHORT: Duration = Duration::from_millis(150);

/// A retry whose pauses are short.
fn brisk() -> Retry {
    Retry::new().first_pause(Duration::from_millis(10))
}

/// Counts the runs of a handler.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicUsize>);

impl Runs {
    fn count(&self) -> usize {
        self.0.fetch_add(1, SeqCst) + 1
    }

    fn so_far(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// A handler for `slow` that says that it runs and whether it was cancelled in the end; it ends when `release` is dropped. Later runs
/// do not wait.
struct Gate {
    runs: Runs,
    cancelled: Receiver<bool>,
    release: Sender<()>,
}

fn gate(server: &Node, answer: u32) -> Gate {
    let (release, released) = channel::<()>();
    let (tell, cancelled) = channel();
    let (runs, released) = (Runs::default(), Mutex::new(released));
    let counted = runs.clone();
    let slow = move |request: Request<()>| {
        if counted.count() == 1 {
            let _ = released.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(SOON);
            let _ = tell.send(request.is_cancelled());
        }
        Ok(answer)
    };
    server.on_request("slow", slow).unwrap();
    Gate { runs, cancelled, release }
}

/// Adds a handler for `stuck` that goes on until nobody waits for it any more.
fn get_stuck(node: &Node) {
    let stuck = |request: Request<()>| {
        while !request.is_cancelled() {
            thread::park_timeout(Duration::from_millis(1));
        }
        Ok(())
    };
    node.on_request("stuck", stuck).unwrap();
}

/// What a handler does that waits.
type Wait = fn(&Handle);

fn step<T>(events: &mut Events, wanted: impl Fn(&PolicyStep) -> Option<T>) -> T {
    expect_event(events, |event| match event {
        NodeEvent::Policy(step) => wanted(step),
        _ => None,
    })
}

/// Stops the server, and waits until the client knows.
fn leave(server: &Node, client: &Node) {
    let mut events = client.events();
    server.stop().unwrap();
    expect_event(&mut events, |event| matches!(event, NodeEvent::PeerLeft { .. }).then_some(()));
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn nothing_that_may_have_run_is_repeated_unless_the_call_is_idempotent() {
    bounded("retry and timeout", LIMIT, || {
        let (client, server) = pair();
        let gate = gate(&server, 7);
        let call = || client.to("s").timeout(SHORT);
        let error = call().retry(&brisk()).request::<u32, _>("slow", &()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RequestTimeout);
        assert_eq!(error.context("attempts"), Some("1"));
        assert_eq!((gate.runs.so_far(), client.policy_counts().repeats), (1, 0));
        drop(gate.release);
    });
    bounded("idempotent retry and timeout", LIMIT, || {
        let (client, server) = pair();
        let gate = gate(&server, 7);
        let call = client.to("s").timeout(SHORT).idempotent();
        let retry = brisk().attempts(10);
        assert_eq!(call.retry(&retry).request::<u32, _>("slow", &()).unwrap(), 7);
        assert!(gate.runs.so_far() >= 2);
        assert!(client.policy_counts().repeats >= 1);
        drop(gate.release);
        assert!(gate.cancelled.recv_timeout(SOON).unwrap(), "the first attempt was given up");
    });
}

#[test]
fn a_handlers_error_is_repeated_only_when_the_program_says_so() {
    bounded("retry_if", LIMIT, || {
        let (client, server) = pair();
        let runs = Runs::default();
        let counted = runs.clone();
        let flaky = move |_: Request<()>| match counted.count() {
            count if count % 3 == 0 => Ok(count),
            _ => Err(HandlerError::new("NOT_YET", "try again").with_data(&7_u32)?),
        };
        server.on_request("flaky", flaky).unwrap();
        let call = || client.to("s").idempotent();
        let error = call().retry(&brisk()).request::<usize, _>("flaky", &()).unwrap_err();
        assert_eq!((error.code(), runs.so_far()), ("NOT_YET", 1));
        let wanted = call().retry_if(|error| error.code() == "NOT_YET");
        assert_eq!(wanted.retry(&brisk()).request::<usize, _>("flaky", &()).unwrap(), 3);
        let wanted = client.to("s").retry_if(|error| error.code() == "NOT_YET");
        let twice = brisk().attempts(2);
        let error = wanted.retry(&twice).request::<usize, _>("flaky", &()).unwrap_err();
        assert_eq!((error.code(), error.message()), ("NOT_YET", "try again (tried 2 times)"));
        assert_eq!(
            (error.execution(), error.context("attempts")),
            (Execution::Happened, Some("2"))
        );
        assert_eq!(error.data::<u32>().unwrap().unwrap(), 7);
        assert_eq!(error.peer().map(threadmesh::NodeId::as_str), Some("s"));
    });
}

#[test]
fn a_retry_waits_for_a_peer_to_appear_and_for_its_handler() {
    bounded("retry until there", LIMIT, || {
        let address = place();
        let client = builder("c").connect(address).start().unwrap();
        let mut events = client.events();
        let retry = brisk().attempts(10_000).longest_pause(Duration::from_millis(20));
        let asking = client.handle();
        let (tell, told) = channel();
        let asked = thread::scope(|scope| {
            let asked = scope.spawn(move || {
                let call = asking.to("s").retry(&retry);
                tell.send(()).unwrap();
                call.request::<u32, _>("answer", &())
            });
            told.recv_timeout(SOON).unwrap();
            let repeated_after = |step: &PolicyStep| match step {
                PolicyStep::Repeated { error, .. } => Some(error.kind()),
                _ => None,
            };
            assert_eq!(step(&mut events, repeated_after), ErrorKind::NodeNotFound);
            let server = builder("s").bind(address).start().unwrap();
            let no_handler = |step: &PolicyStep| {
                repeated_after(step).filter(|kind| *kind == ErrorKind::NoHandler)
            };
            step(&mut events, no_handler);
            server.on_request("answer", |_: Request<()>| Ok(42)).unwrap();
            asked.join().unwrap()
        });
        assert_eq!(asked.unwrap(), 42);
    });
}

/// A request that gets stuck ends in time, with a timeout, and after one attempt: there is no time for another.
fn ends_in_time(target: &impl Target) {
    measured(|| {
        let began = Instant::now();
        let error = target.request::<(), _>("stuck", &()).unwrap_err();
        let elapsed = began.elapsed();
        if elapsed > SHORT + Duration::from_millis(100) {
            return Err(format!("{elapsed:?}: {error}"));
        }
        assert_eq!(error.kind(), ErrorKind::RequestTimeout);
        assert_eq!(error.context("attempts"), Some("1"));
        Ok(())
    });
}

#[test]
fn within_bounds_the_whole_and_the_attempts_get_what_is_left() {
    bounded("within", LIMIT, || {
        let (client, server) = pair();
        get_stuck(&server);
        // The attempt's own timeout is longer than the whole may take.
        let call = || client.to("s").timeout(SOON).idempotent();
        ends_in_time(&call().retry(&brisk().attempts(1_000).within(SHORT)));
        // Of two deadlines the earlier one counts, whoever set it.
        let within = brisk().attempts(1).within(SOON);
        let late = Instant::now() + SOON;
        ends_in_time(&call().until(late).retry(&within.clone().within(SHORT)));
        let soon = Instant::now() + SHORT * 3;
        let until = call().until(soon).until(late).retry(&within);
        let stuck = until.request::<(), _>("stuck", &()).unwrap_err();
        assert_eq!(stuck.kind(), ErrorKind::RequestTimeout);
        assert!(Instant::now() < soon + SOON / 2, "the earlier one did not count");
        // Nobody is there: many attempts, and still not longer than that.
        let retry =
            brisk().attempts(u32::MAX).longest_pause(Duration::from_millis(10)).within(SHORT);
        let began = Instant::now();
        let nobody = client.to("nobody").retry(&retry).request::<u32, _>("slow", &());
        // An attempt that begins at the very end may find that there is no time for it.
        let kinds = [ErrorKind::NodeNotFound, ErrorKind::RequestTimeout];
        assert!(kinds.contains(&kind(nobody)));
        assert!(began.elapsed() < SHORT + SOON / 10, "{:?}", began.elapsed());
        assert!(client.policy_counts().repeats > 1);
    });
}

#[test]
fn handlers_may_call_back_through_every_policy() {
    bounded("nested", LIMIT, || {
        let server = builder("s").bind("127.0.0.1:0").start().unwrap();
        let client = joined("c", &server);
        let handle = server.handle();
        // Asks back through every policy, for something that the client answers once it has a handler.
        let ask_back = move |_: Request<()>| {
            let breaker = Breaker::new("back");
            let call = handle.to("c").idempotent().hedge(&Hedge::new()).guard(&breaker);
            let again = call.retry(&brisk().attempts(1_000));
            let answer =
                Failover::first(handle.to("nobody")).then(again).request::<u32, _>("back", &());
            answer.map_err(HandlerError::from)
        };
        server.on_request("ask back", ask_back).unwrap();
        // So many at once that every worker would be held if waiting were not told.
        let calls: Vec<_> =
            (0..200).map(|_| client.to("s").start::<u32, _>("ask back", &()).unwrap()).collect();
        let runs = Runs::default();
        client.on_request("back", move |_: Request<()>| Ok(runs.count() as u32)).unwrap();
        for call in calls {
            assert!(call.wait().unwrap().value > 0);
        }
    });
}

#[test]
fn a_retry_in_a_handler_gives_up_with_its_caller() {
    bounded("inherited deadline", LIMIT, || {
        let (client, server) = pair();
        let (handle, (tell, told)) = (server.handle(), channel());
        let in_vain = move |_: Request<()>| {
            let retry = Retry::new().attempts(1_000);
            let result = handle.to("nobody").retry(&retry).request::<(), _>("x", &());
            tell.send(result.unwrap_err().kind()).unwrap();
            Ok(())
        };
        server.on_request("in vain", in_vain).unwrap();
        // Whether the handler gives up shortly before its caller does, or just then, is a matter of luck.
        let _ = client.to("s").timeout(SHORT).request::<(), _>("in vain", &());
        assert_eq!(told.recv_timeout(SOON / 5).unwrap(), ErrorKind::NodeNotFound);
    });
}

#[test]
fn a_failover_in_a_handler_gives_up_with_its_caller() {
    bounded("failover and inherited deadline", LIMIT, || {
        let (client, server) = pair();
        get_stuck(&client);
        let (handle, (tell, told)) = (server.handle(), channel());
        let in_vain = move |_: Request<()>| {
            let stuck = handle.to("c").idempotent();
            let failover = Failover::first(stuck).then(handle.to("nobody"));
            tell.send(failover.request::<(), _>("stuck", &()).unwrap_err()).unwrap();
            Ok(())
        };
        server.on_request("in vain", in_vain).unwrap();
        let _ = client.to("s").timeout(SHORT).request::<(), _>("in vain", &());
        let error = told.recv_timeout(SOON).unwrap();
        // The first was asked and may be at it. Nothing was sent to the second, and nobody is told that it was.
        assert_eq!((error.kind(), error.may_have_run()), (ErrorKind::RequestTimeout, true));
        assert_eq!((error.context("attempts"), server.policy_counts().failovers), (Some("1"), 0));
    });
}

#[test]
fn a_handler_that_waits_in_a_policy_is_known_to_wait() {
    let pauses = |node: &Handle| {
        let long = Retry::new().first_pause(SOON * 100).longest_pause(SOON * 100);
        let _ = node.to("nobody").retry(&long).request::<(), _>("x", &());
    };
    let hedges = |node: &Handle| {
        let _ = node.to("c").idempotent().hedge(&Hedge::new()).request::<(), _>("stuck", &());
    };
    let waits: [(&str, Wait); 2] = [("a pause", pauses), ("a hedge", hedges)];
    for (name, wait) in waits {
        bounded(name, LIMIT, || {
            let mut limits = Limits::default();
            (limits.workers_min, limits.workers_max) = (1, 1);
            let server = builder("s").limits(limits).bind("127.0.0.1:0").start().unwrap();
            let client = joined("c", &server);
            let (own, there) = (client.handle(), server.handle());
            get_stuck(&client);
            client
                .on_request("via", move |_: Request<()>| {
                    own.request::<(), _>("s", "ping", &()).map_err(HandlerError::from)
                })
                .unwrap();
            server.on_request("ping", |_: Request<()>| Ok(())).unwrap();
            server.on_tick("wait", move |_: Tick<()>| wait(&there)).unwrap();
            client.tick("s", "wait", &()).unwrap();
            // Behind the only worker a nested request would queue; when it is known to wait, it is refused.
            eventually("the worker is known to wait", || {
                let asked = server.to("c").timeout(SHORT).request::<(), _>("via", &());
                asked.is_err_and(|error| error.code() == "BUSY")
            });
        });
    }
}

#[test]
fn a_pause_ends_when_the_node_stops_also_in_a_handler() {
    bounded("stop in a pause", LIMIT, || {
        let (client, server) = pair();
        let (tell, told) = channel();
        // Says when the first attempt has failed, and so the pause begins; and in the end, how it ended.
        let pause = {
            let handle = server.handle();
            move || {
                let long =
                    Retry::new().first_pause(SOON * 100).longest_pause(SOON * 100).attempts(9);
                let say = tell.clone();
                let call = handle.to("nobody").retry_if(move |_| say.send(None).is_ok());
                let error = call.retry(&long).request::<(), _>("x", &()).unwrap_err();
                let _ = tell.send(Some(error.kind()));
            }
        };
        let in_handler = pause.clone();
        // A tick's handler inherits no deadline that would end the pause.
        server.on_tick("pause", move |_: Tick<()>| in_handler()).unwrap();
        client.tick("s", "pause", &()).unwrap();
        thread::scope(|scope| {
            scope.spawn(pause);
            (0..2).for_each(|_| assert_eq!(told.recv_timeout(SOON).unwrap(), None));
            let report = took(SOON / 5, || server.stop().unwrap());
            assert!(report.detached.is_empty(), "{report:?}");
            for _ in 0..2 {
                let ended = told.recv_timeout(SOON).unwrap();
                assert!(matches!(ended, Some(ErrorKind::Closed | ErrorKind::NodeNotFound)));
            }
        });
    });
}

#[test]
fn wait_timeout_ends_with_its_time_or_with_the_node() {
    bounded("wait_timeout", LIMIT, || {
        let (client, server) = pair();
        let (handle, (tell, told)) = (server.handle(), channel());
        let waits = move |_: Request<()>| {
            tell.send(None).unwrap();
            let report = handle.wait_timeout(SOON * 100).unwrap();
            tell.send(report).unwrap();
            Ok(())
        };
        server.on_request("wait", waits).unwrap();
        assert!(server.wait_timeout(Duration::from_millis(1)).unwrap().is_none());
        let _pending = client.start::<(), _>("s", "wait", &()).unwrap();
        assert!(told.recv_timeout(SOON).unwrap().is_none());
        let report = took(SOON / 5, || server.stop().unwrap());
        assert!(report.detached.is_empty(), "{report:?}");
        let seen = told.recv_timeout(SOON).unwrap().expect("the stop had begun");
        assert!(seen.unfinished);
        assert_eq!(server.wait_timeout(Duration::ZERO).unwrap(), Some(report));
    });
}

#[test]
fn a_failover_goes_on_when_the_first_is_gone_and_not_while_it_may_be_running() {
    bounded("failover", LIMIT, || {
        let (first, second) = (listening("first"), listening("second"));
        let client = joined("c", &first);
        client.connect(second.local_addr().unwrap()).unwrap();
        for server in [&first, &second] {
            let id = server.id().to_string();
            server.on_request("who", move |_: Request<()>| Ok(id.clone())).unwrap();
        }
        let gate = gate(&first, 1);
        let runs = Runs::default();
        let counted = runs.clone();
        second.on_request("slow", move |_: Request<()>| Ok(counted.count() as u32 + 1)).unwrap();

        let to = |id: &'static str| client.to(id).timeout(SHORT);
        let careful = Failover::first(to("first")).then(to("second"));
        assert_eq!(careful.request::<String, _>("who", &()).unwrap(), "first");
        assert_eq!(kind(careful.request::<u32, _>("slow", &())), ErrorKind::RequestTimeout);
        assert_eq!((gate.runs.so_far(), runs.so_far()), (1, 0));
        drop(gate.release);

        let mut events = client.events();
        leave(&first, &client);
        let who = careful.request_reply::<String, _>("who", &()).unwrap();
        assert_eq!((who.value.as_str(), who.handled_by().as_str()), ("second", "second"));
        let (target, error) = step(&mut events, |step| match step {
            PolicyStep::FailedOver { target, error, .. } => Some((*target, error.clone())),
            _ => None,
        });
        assert_eq!((target, error.may_have_run()), (2, false), "{error}");
        leave(&second, &client);
        let error = careful.request::<String, _>("who", &()).unwrap_err();
        assert_eq!((error.may_have_run(), error.context("attempts")), (false, Some("2")));
    });
}

#[test]
fn an_idempotent_failover_goes_on_after_a_timeout_and_within_bounds_it() {
    bounded("failover after a timeout", LIMIT, || {
        let (first, second) = (listening("first"), listening("second"));
        let client = joined("c", &first);
        client.connect(second.local_addr().unwrap()).unwrap();
        let (held, free) = (gate(&first, 1), Runs::default());
        let counted = free.clone();
        second.on_request("slow", move |_: Request<()>| Ok(counted.count())).unwrap();
        let to = |id: &'static str| client.to(id).timeout(SHORT).idempotent();
        let failover = || Failover::first(to("first")).then(client.to("second"));
        assert_eq!(failover().request::<usize, _>("slow", &()).unwrap(), 1);
        drop(held.release);
        assert!(held.cancelled.recv_timeout(SOON).unwrap());
        // Where the first has used up the time of all, the second is not asked.
        first.off("slow").unwrap();
        let held = gate(&first, 1);
        let bounded = failover().within(SHORT / 3);
        assert_eq!(kind(bounded.request::<usize, _>("slow", &())), ErrorKind::RequestTimeout);
        assert_eq!(free.so_far(), 1);
        drop(held.release);
    });
}

#[test]
fn the_second_copy_of_a_slow_request_wins_and_the_first_is_cancelled() {
    bounded("hedge", LIMIT, || {
        let (client, server) = pair();
        let gate = gate(&server, 7);
        let mut events = client.events();
        let hedge = Hedge::new().after(Duration::from_millis(20));
        let hedged = client.to("s").idempotent().hedge(&hedge);
        let reply = hedged.request_reply::<u32, _>("slow", &()).unwrap();
        assert_eq!((reply.value, gate.runs.so_far()), (7, 2));
        let sent = step(&mut events, |step| match step {
            PolicyStep::HedgeSent { event, copy } => Some((event.to_string(), *copy)),
            _ => None,
        });
        assert_eq!(sent, ("slow".to_owned(), 2));
        let won = step(&mut events, |step| match step {
            PolicyStep::HedgeWon { copy, .. } => Some(*copy),
            _ => None,
        });
        assert_eq!(won, 2);
        // Behind the cancel on the same link: when it is answered, the cancel has arrived.
        assert_eq!(client.request::<u32, _>("s", "slow", &()).unwrap(), 7);
        drop(gate.release);
        assert!(gate.cancelled.recv_timeout(SOON).unwrap(), "the loser was not cancelled");
        let counts = client.policy_counts();
        assert_eq!((counts.hedges_sent, counts.hedges_won), (1, 1));
    });
}

#[test]
fn a_copy_of_a_call_to_any_goes_to_somebody_else_and_nowhere_if_there_is_nobody() {
    bounded("hedge any", LIMIT, || {
        let (slow, quick) = (listening("slow"), listening("quick"));
        let client = joined("c", &slow);
        let gate = gate(&slow, 1);
        let hedge = Hedge::new().after(Duration::from_millis(20)).copies(3);
        let to_first = || client.any(Filter::any()).strategy(First).idempotent();
        let mut events = client.events();
        let alone = to_first().timeout(SHORT).hedge(&hedge).request::<u32, _>("slow", &());
        assert_eq!(kind(alone), ErrorKind::RequestTimeout);
        assert_eq!((client.policy_counts().hedges_sent, gate.runs.so_far()), (0, 1));
        let told = std::iter::from_fn(|| events.try_next());
        assert_eq!(told.filter(|event| matches!(event, NodeEvent::Error(_))).count(), 0);

        client.connect(quick.local_addr().unwrap()).unwrap();
        slow.off("slow").unwrap();
        let held = self::gate(&slow, 1);
        quick.on_request("slow", |_: Request<()>| Ok(2)).unwrap();
        let reply = to_first().hedge(&hedge).request_reply::<u32, _>("slow", &()).unwrap();
        assert_eq!((reply.value, reply.handled_by.as_str(), held.runs.so_far()), (2, "quick", 1));
        drop((gate.release, held.release));
    });
}

#[test]
fn a_copy_that_finds_nobody_costs_no_token() {
    bounded("hedge and nobody", LIMIT, || {
        let (slow, quick) = (listening("slow"), listening("quick"));
        let client = joined("c", &slow);
        get_stuck(&slow);
        let only = Budget::new().ratio(0.0).reserve(1);
        let hedge = Hedge::new().after(Duration::from_millis(20)).budget(&only);
        let call = || client.any(Filter::any()).strategy(First).idempotent();
        for _ in 0..2 {
            let alone = call().timeout(SHORT).hedge(&hedge).request::<(), _>("stuck", &());
            assert_eq!(kind(alone), ErrorKind::RequestTimeout);
        }
        assert_eq!(client.policy_counts().budgets_exhausted, 0);
        client.connect(quick.local_addr().unwrap()).unwrap();
        quick.on_request("stuck", |_: Request<()>| Ok(())).unwrap();
        call().hedge(&hedge).request::<(), _>("stuck", &()).unwrap();
        assert_eq!(client.policy_counts().hedges_sent, 1);
    });
}

#[test]
fn a_quick_request_is_not_hedged_and_the_ratio_is_respected() {
    bounded("hedge cap", LIMIT, || {
        let (client, server) = pair();
        server.on_request("quick", |_: Request<()>| Ok(1)).unwrap();
        // Every request is late by this measure.
        let budget = Budget::new().ratio(0.25).reserve(2);
        let eager = Hedge::new().after(Duration::ZERO).copies(3).budget(&budget);
        let hedged = client.to("s").idempotent().hedge(&eager);
        for _ in 0..40 {
            assert_eq!(hedged.request::<u32, _>("quick", &()).unwrap(), 1);
        }
        let counts = client.policy_counts();
        assert!(counts.hedges_sent <= 12, "{counts:?}");
        assert!(counts.hedges_sent >= 1, "{counts:?}");
        let patient = Hedge::new().after(SOON).ratio(1.0);
        let hedged = client.to("s").idempotent().hedge(&patient);
        (0..10).for_each(|_| assert_eq!(hedged.request::<u32, _>("quick", &()).unwrap(), 1));
        assert_eq!(client.policy_counts().hedges_sent, counts.hedges_sent);
    });
}

#[test]
fn when_all_copies_fail_the_error_tells_most_and_all_end_together() {
    bounded("hedge fails", LIMIT, || {
        let (client, server) = pair();
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        let runs = Runs::default();
        let counted = runs.clone();
        let refuse = move |_: Request<()>| {
            if counted.count() == 1 {
                let _ = released.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(SOON);
                return Ok(1);
            }
            Err(HandlerError::new("NO", "not you"))
        };
        server.on_request("refuse", refuse).unwrap();
        let hedge = Hedge::new().after(Duration::from_millis(10));
        let hedged = || client.to("s").idempotent().timeout(SHORT).hedge(&hedge);
        // The copy fails at once, the first is waited for and times out: the copy's error says that it ran.
        let error = measured(|| {
            let began = Instant::now();
            let error = hedged().request::<u32, _>("refuse", &()).unwrap_err();
            if runs.so_far() == 1 || began.elapsed() > SHORT + Duration::from_millis(100) {
                return Err(format!("{:?}: {error}", began.elapsed()));
            }
            Ok(error)
        });
        assert_eq!((error.code(), error.execution()), ("NO", Execution::Happened));
        assert_eq!(error.context("attempts"), Some("2"));
        drop(release);
        // One copy that fails before there is a second ends it: a hedge is no retry.
        let alone = took(AT_ONCE, || {
            let hedge = Hedge::new().after(SOON);
            client.to("s").idempotent().hedge(&hedge).request::<u32, _>("nothing", &())
        });
        assert_eq!(kind(alone), ErrorKind::NoHandler);
    });
}

#[test]
fn a_breaker_opens_after_five_failures_sends_nothing_probes_and_closes() {
    bounded("breaker", LIMIT, || {
        let (client, server) = pair();
        let (runs, ill) = (Runs::default(), Arc::new(AtomicUsize::new(1)));
        let (counted, is_ill) = (runs.clone(), Arc::clone(&ill));
        let handler = move |_: Request<()>| {
            counted.count();
            if is_ill.load(SeqCst) == 1 { Err(HandlerError::new("ILL", "no")) } else { Ok(5) }
        };
        server.on_request("ask", handler).unwrap();
        let mut events = client.events();
        let breaker = Breaker::new("s").open_for(SHORT);
        let guarded = client.to("s").guard(&breaker);
        let ask = || guarded.request::<u32, _>("ask", &());
        measured(|| {
            // A machine that is busy for longer than the breaker is open spoils the measurement.
            let began = Instant::now();
            while !breaker.is_open() {
                assert_eq!(ask().unwrap_err().code(), "ILL");
            }
            let seen = runs.so_far();
            let refused = ask().unwrap_err();
            if began.elapsed() > SHORT / 2 {
                return Err(format!("{:?}", began.elapsed()));
            }
            assert_eq!((refused.kind(), runs.so_far()), (ErrorKind::CircuitOpen, seen));
            assert!(!refused.may_have_run());
            Ok(())
        });
        let failures = step(&mut events, |step| match step {
            PolicyStep::BreakerOpened { name, failures, .. } => Some((name.clone(), *failures)),
            _ => None,
        });
        assert_eq!(failures, ("s".to_owned(), 5));
        let probed =
            |step: &PolicyStep| matches!(step, PolicyStep::BreakerHalfOpened { .. }).then_some(());
        eventually("a probe may go", || !breaker.is_open());
        assert_eq!(ask().unwrap_err().code(), "ILL");
        step(&mut events, probed);
        ill.store(0, SeqCst);
        eventually("a probe may go again", || !breaker.is_open());
        assert_eq!(ask().unwrap(), 5);
        step(&mut events, |step| matches!(step, PolicyStep::BreakerClosed { .. }).then_some(()));
        (0..10).for_each(|_| assert_eq!(ask().unwrap(), 5));
        let counts = client.policy_counts();
        assert!(counts.breakers_opened >= 2 && counts.breakers_half_opened >= 2, "{counts:?}");
        assert_eq!(counts.breakers_closed, 1);
        assert!(counts.breaker_refusals >= 1, "{counts:?}");
    });
}

#[test]
fn many_threads_behind_one_breaker_send_one_probe() {
    bounded("breaker and threads", LIMIT, || {
        let (client, server) = pair();
        let gate = gate(&server, 7);
        let breaker = Breaker::new("s").threshold(1).open_for(SHORT * 4);
        let open = client.to("nobody").guard(&breaker).request::<u32, _>("x", &());
        assert_eq!(kind(open), ErrorKind::NodeNotFound);
        eventually("a probe may go", || !breaker.is_open());
        let guarded = client.to("s").guard(&breaker);
        let (tell, told) = channel();
        thread::scope(|scope| {
            for _ in 0..8 {
                let (guarded, tell) = (&guarded, tell.clone());
                scope.spawn(move || tell.send(guarded.request::<u32, _>("slow", &())).unwrap());
            }
            for _ in 0..7 {
                let refused = told.recv_timeout(SOON).unwrap().unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::CircuitOpen);
                assert!(refused.message().contains("probe is out"), "{refused}");
            }
            assert_eq!(gate.runs.so_far().max(1), 1);
            drop(gate.release);
            assert_eq!(told.recv_timeout(SOON).unwrap().unwrap(), 7);
        });
    });
}

#[test]
fn policies_compose_in_both_orders_and_take_endpoints() {
    bounded("composition", LIMIT, || {
        const COUNT: Endpoint<u32, u64> = Endpoint::new("count");
        let (client, server) = pair();
        let runs = Runs::default();
        let counted = runs.clone();
        server
            .on_request(COUNT, move |request| Ok(u64::from(request.data) + counted.count() as u64))
            .unwrap();
        let (breaker, retry) = (Breaker::new("s").threshold(3), brisk().attempts(2));
        let call = || client.to("s").idempotent();
        assert_eq!(call().guard(&breaker).retry(&retry).request(COUNT, &1).unwrap(), 2);
        assert_eq!(call().retry(&retry).guard(&breaker).request(COUNT, &1).unwrap(), 3);
        let nobody = || client.to("nobody");
        // Around the retry the breaker sees one failure, inside it sees two.
        assert!(nobody().retry(&retry).guard(&breaker).request(COUNT, &1).is_err());
        assert!(!breaker.is_open());
        assert!(nobody().guard(&breaker).retry(&retry).request(COUNT, &1).is_err());
        assert!(breaker.is_open());
        // A target whose breaker is open is passed over.
        let failover = Failover::first(nobody().guard(&breaker)).then(call().hedge(&Hedge::new()));
        assert_eq!(failover.retry(&retry).request(COUNT, &1).unwrap(), 4);
        assert_eq!(client.policy_counts().failovers, 1);
    });
}
