//! Handlers between real nodes: what they see, how they pass on, fail, answer later and are taken away.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use threadmesh::{
    Endpoint, ErrorKind, Execution, HandlerError, Limits, Node, Outcome, Payload, Pending, Request,
    Responder, Tick, options,
};

use crate::support::{AT_ONCE, SOON, bounded, builder, eventually, joined, listening, pair, took};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn an_endpoint_names_an_event_with_its_types_on_both_sides() {
    const HALF: Endpoint<u64, Option<u64>> = Endpoint::new("half*");
    const NOTE: Endpoint<String> = Endpoint::new("note");
    bounded("endpoints", LIMIT, || {
        let (tell, told) = channel();
        let server = builder("s")
            .on_request(HALF, |request| Ok((request.data % 2 == 0).then_some(request.data / 2)))
            .on_tick(NOTE, move |tick| tell.send(tick.data).unwrap())
            .bind("127.0.0.1:0")
            .start()
            .unwrap();
        let client = joined("c", &server);

        assert_eq!(client.request("s", HALF, &8).unwrap(), Some(4));
        assert_eq!(client.to("s").start(HALF, &7).unwrap().wait().unwrap().value, None);
        client.tick("s", NOTE, &"it rains".to_owned()).unwrap();
        assert_eq!(client.to("s").ticks(NOTE, ["still".to_owned()]).accepted, 1);
        assert_eq!(
            [told.recv_timeout(SOON), told.recv_timeout(SOON)].map(Result::unwrap),
            ["it rains", "still"]
        );

        // Its name is exact, also with a star in it, and removes what it has registered.
        let error = client.request::<(), _>("s", "half-way", &8).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoHandler);
        assert_eq!(server.off("half*").unwrap(), 0);
        assert_eq!(server.off(HALF).unwrap(), 1);
        assert_eq!(client.request("s", HALF, &8).unwrap_err().kind(), ErrorKind::NoHandler);
    });
}

/// What handlers that pass on return.
type Passing = Result<Outcome, HandlerError>;

#[cfg(feature = "regex")]
#[test]
fn t031_a_handler_that_passes_on_leaves_the_answer_to_the_next_whatever_its_pattern() {
    bounded("t031", LIMIT, || {
        let (client, server) = pair();
        let passed = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&passed);
        let pass = move |_: Request<()>| {
            count.fetch_add(1, Relaxed);
            Outcome::<()>::Next
        };
        server.on_request("foo", pass).unwrap();
        let regex = threadmesh::Pattern::regex("^fo+$").unwrap();
        server
            .on_request(regex, |request: Request<()>| Ok(format!("second of {}", request.event())))
            .unwrap();
        server.on_request("foo", |_: Request<()>| Ok("third")).unwrap();
        assert_eq!(client.request::<String, _>("s", "foo", &()).unwrap(), "second of foo");
        assert_eq!(passed.load(Relaxed), 1);
        assert_eq!(client.request::<String, _>("s", "fooo", &()).unwrap(), "second of fooo");
        assert_eq!(passed.load(Relaxed), 1);
    });
}

#[test]
fn t032_three_handlers_that_each_add_one_are_seen_by_the_last() {
    bounded("t032", LIMIT, || {
        let (client, server) = pair();
        let add = |request: Request<u32>| -> Passing { Outcome::next_with(&(request.data + 1)) };
        for pattern in ["sum", "*", "s*"] {
            server.on_request(pattern, add).unwrap();
        }
        server.on_request("sum", |request: Request<u32>| Ok(request.data)).unwrap();
        assert_eq!(client.request::<u32, _>("s", "sum", &0).unwrap(), 3);
    });
}

#[test]
fn t034_an_error_arrives_with_code_message_and_data() {
    bounded("t034", LIMIT, || {
        let (client, server) = pair();
        let refuse = |_: Request<()>| -> Passing {
            Err(HandlerError::new("NO_MONEY", "the account is short").with_data(&17)?)
        };
        server.on_request("charge", refuse).unwrap();
        let error = client.request::<(), _>("s", "charge", &()).unwrap_err();
        assert_eq!((error.code(), error.message()), ("NO_MONEY", "the account is short"));
        assert_eq!(error.data::<i32>().unwrap().unwrap(), 17);
        assert_eq!((error.kind(), error.execution()), (ErrorKind::Handler, Execution::Happened));
    });
}

// covers P23
#[test]
fn t035_a_panic_is_an_error_without_its_text_and_the_node_serves_on() {
    bounded("t035", LIMIT, || {
        let (client, server) = pair();
        let panics = |request: Request<bool>| -> Result<&str, HandlerError> {
            if request.data { Ok("fine") } else { std::panic::resume_unwind(Box::new("secret")) }
        };
        server.on_request("panics", panics).unwrap();
        for _ in 0..3 {
            let error = client.request::<String, _>("s", "panics", &false).unwrap_err();
            assert_eq!((error.kind(), error.code()), (ErrorKind::Handler, "HANDLER_ERROR"));
            assert!(error.message().contains("handler panicked"), "{error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
            assert_eq!(client.request::<String, _>("s", "panics", &true).unwrap(), "fine");
        }
    });
}

#[test]
fn t037_an_error_handler_that_passes_on_lets_the_next_normal_handler_answer() {
    bounded("t037", LIMIT, || {
        let (client, server) = pair();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&seen);
        let fail = |request: Request<u32>| -> Passing {
            match request.data {
                0 => std::panic::resume_unwind(Box::new("secret")),
                _ => Err(HandlerError::new("E1", "no")),
            }
        };
        server.on_request("work", fail).unwrap();
        server.on_request("work", |_: Request<u32>| Ok("skipped")).unwrap();
        let recover = move |error: HandlerError, request: Request<Payload>| -> Passing {
            list.lock().unwrap().push((error.code().to_owned(), request.sender().to_string()));
            Ok(Outcome::Next)
        };
        server.on_error("w*", recover).unwrap();
        server.on_error("*", |_, _: Request<Payload>| Ok("not needed")).unwrap();
        server
            .on_request("work", |request: Request<u32>| Ok(format!("recovered {}", request.data)))
            .unwrap();
        assert_eq!(client.request::<String, _>("s", "work", &1).unwrap(), "recovered 1");
        assert_eq!(client.request::<String, _>("s", "work", &0).unwrap(), "recovered 0");
        let from_c = |code: &str| (code.to_owned(), "c".to_owned());
        assert_eq!(*seen.lock().unwrap(), [from_c("E1"), from_c("HANDLER_ERROR")]);
    });
}

#[test]
fn t038_if_no_handler_answers_the_caller_is_told_at_once() {
    bounded("t038", LIMIT, || {
        let (client, server) = pair();
        server.on_request("idle", |_: Request<()>| Outcome::<()>::Next).unwrap();
        server.on_request("i*", |_: Request<()>| Outcome::<()>::Next).unwrap();
        let error = took(AT_ONCE, || client.request::<(), _>("s", "idle", &()).unwrap_err());
        assert_eq!((error.kind(), error.code()), (ErrorKind::NoReply, "NO_REPLY"));
        assert!(error.message().contains("no handler sent a response"), "{error}");
        assert_eq!(error.execution(), Execution::Happened);
    });
}

#[test]
fn t040_handlers_are_removed_by_their_pattern_or_one_by_one() {
    bounded("t040", LIMIT, || {
        let (client, server) = pair();
        let first = server.on_request("a:*", |_: Request<()>| Ok(1)).unwrap();
        server.on_request("a:*", |_: Request<()>| Ok(2)).unwrap();
        server.on_request("a:b", |_: Request<()>| Ok(3)).unwrap();
        let ask = || client.request::<u32, _>("s", "a:b", &());
        assert_eq!(ask().unwrap(), 1);
        assert!(first.remove());
        assert_eq!(ask().unwrap(), 2);
        assert_eq!(server.off("a:*").unwrap(), 1);
        assert_eq!(ask().unwrap(), 3);
        assert_eq!(server.off("a:b").unwrap(), 1);
        let error = took(AT_ONCE, || ask().unwrap_err());
        assert_eq!((error.kind(), error.execution()), (ErrorKind::NoHandler, Execution::Never));
        assert!(error.message().contains("a:b"), "{error}");
        assert_eq!(server.off("a:b").unwrap(), 0);
    });
}

#[test]
fn t041_all_matching_tick_handlers_run_once_in_order_also_behind_one_that_fails() {
    bounded("t041", LIMIT, || {
        let (client, server) = pair();
        let (tell, told) = channel();
        for (name, pattern) in [("exact", "evt"), ("glob", "ev*"), ("any", "*")] {
            let tell = tell.clone();
            let run = move |tick: Tick<u32>| {
                tell.send((name, tick.data)).unwrap();
                if name == "any" { Ok(()) } else { Err(HandlerError::new("E", "no")) }
            };
            server.on_tick(pattern, run).unwrap();
        }
        client.tick("s", "evt", &1).unwrap();
        client.tick("s", "end", &2).unwrap();
        let ran: Vec<_> = (0..4).map(|_| told.recv_timeout(SOON).unwrap()).collect();
        assert_eq!(ran, [("exact", 1), ("glob", 1), ("any", 1), ("any", 2)]);
        assert!(told.try_recv().is_err());
    });
}

#[test]
fn t043_a_handler_may_ask_a_third_node() {
    bounded("t043", LIMIT, || {
        let (client, server) = pair();
        let third = listening("third");
        server.connect(third.local_addr().unwrap()).unwrap();
        third.on_request("half", |request: Request<u32>| Ok(request.data / 2)).unwrap();
        let handle = server.handle();
        let relay = move |request: Request<u32>| {
            Ok::<_, HandlerError>(handle.request::<u32, _>("third", "half", &request.data)? + 1)
        };
        server.on_request("ask", relay).unwrap();
        assert_eq!(client.request::<u32, _>("s", "ask", &8).unwrap(), 5);
    });
}

#[test]
fn t044_a_handler_sees_who_asked_for_what_until_when() {
    bounded("t044", LIMIT, || {
        let server = listening("s");
        let client = builder("c").options(options! { "role": "web" }).start().unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        let (tell, told) = channel();
        let see = move |request: Request<String>| {
            let left = request.deadline().saturating_duration_since(Instant::now());
            let names = [request.event(), request.sender().as_str(), request.origin().as_str()]
                .map(str::to_owned);
            let role = request.sender_options().get_str("role").map(str::to_owned);
            tell.send((
                names,
                role,
                left,
                request.is_cancelled(),
                request.headers().get("trace").cloned(),
            ))
            .unwrap();
            Ok(request.data)
        };
        server.on_request("who:*", see).unwrap();
        let call = client.to("s").timeout(Duration::from_secs(5)).header("trace", 7);
        assert_eq!(call.request::<String, _>("who:me", "x").unwrap(), "x");
        let (names, role, left, cancelled, trace) = told.recv_timeout(SOON).unwrap();
        assert_eq!(names, ["who:me", "c", "c"]);
        assert_eq!(role.as_deref(), Some("web"));
        assert!(left > Duration::from_secs(2) && left <= Duration::from_secs(5), "{left:?}");
        assert!(!cancelled);
        assert_eq!(trace, Some(7.into()));
    });
}

/// Hands the responders of `later` out.
fn deferring(node: &Node) -> Receiver<Responder<u32>> {
    let (hand_out, responders) = channel();
    let later = move |_: Request<()>| {
        let hand_out = hand_out.clone();
        Outcome::later(move |responder| hand_out.send(responder).unwrap())
    };
    node.on_request("later", later).unwrap();
    responders
}

#[test]
fn deferred_answers_are_given_from_any_thread_in_any_order() {
    bounded("deferred", LIMIT, || {
        let mut limits = Limits::default();
        (limits.workers_min, limits.workers_max) = (1, 1);
        let server = builder("s").limits(limits).bind("127.0.0.1:0").start().unwrap();
        let client = joined("c", &server);
        let responders = deferring(&server);
        let open: Vec<_> =
            (0..100).map(|_| client.start::<u32, _>("s", "later", &()).unwrap()).collect();
        let kept: Vec<_> = open.iter().map(|_| responders.recv_timeout(SOON).unwrap()).collect();
        thread::scope(|scope| {
            scope.spawn(move || {
                for (number, responder) in (0..100).zip(kept).rev() {
                    assert!(responder.reply(number));
                }
            });
        });
        let mut answers: Vec<_> =
            open.into_iter().map(|pending| pending.wait().unwrap().value).collect();
        answers.sort_unstable();
        assert!(answers.into_iter().eq(0..100));
    });
}

#[test]
fn a_responder_that_is_dropped_answers_no_reply_at_once() {
    bounded("dropped", LIMIT, || {
        let (client, server) = pair();
        let responders = deferring(&server);
        let pending = client.start::<u32, _>("s", "later", &()).unwrap();
        drop(responders.recv_timeout(SOON).unwrap());
        let error = took(AT_ONCE, || pending.wait().unwrap_err());
        assert_eq!((error.kind(), error.execution()), (ErrorKind::NoReply, Execution::Happened));
        let pending = client.start::<u32, _>("s", "later", &()).unwrap();
        assert!(responders.recv_timeout(SOON).unwrap().fail(HandlerError::new("E", "too late")));
        assert_eq!(pending.wait().unwrap_err().code(), "E");
    });
}

#[test]
fn a_request_that_is_answered_later_keeps_its_place_among_those_of_its_caller() {
    bounded("places", LIMIT, || {
        let mut limits = Limits::default();
        limits.calls_per_link = 1;
        let server = builder("s").limits(limits).bind("127.0.0.1:0").start().unwrap();
        let client = joined("c", &server);
        let responders = deferring(&server);
        server.on_request("quick", |_: Request<()>| Ok(())).unwrap();
        let pending = client.start::<u32, _>("s", "later", &()).unwrap();
        let responder = responders.recv_timeout(SOON).unwrap();
        let quick = client.to("s").timeout(Duration::from_millis(200));
        let error = quick.request::<(), _>("quick", &()).unwrap_err();
        assert_eq!(error.execution(), Execution::Never, "{error}");
        assert!(responder.reply(1));
        assert_eq!(pending.wait().unwrap().value, 1);
        client.request::<(), _>("s", "quick", &()).unwrap();
    });
}

#[test]
fn a_responder_knows_that_its_caller_gave_up_and_then_no_stop_waits_for_it() {
    bounded("gave up", LIMIT, || {
        let server = builder("s").stop_bound(SOON).bind("127.0.0.1:0").start().unwrap();
        let client = joined("c", &server);
        let responders = deferring(&server);
        let pending = client.start::<u32, _>("s", "later", &()).unwrap();
        let responder = responders.recv_timeout(SOON).unwrap();
        assert!(!responder.is_cancelled());
        pending.cancel();
        eventually("the responder is cancelled", || responder.is_cancelled());
        let report = took(AT_ONCE, || server.stop().unwrap());
        assert_eq!(report.unanswered, 0, "{report:?}");
        assert!(!responder.reply(1), "nobody waits for it");
    });
}

#[test]
fn a_stop_waits_for_deferred_answers_but_not_beyond_its_bound() {
    bounded("deferred stop", LIMIT, || {
        let (client, server) = pair();
        let responders = deferring(&server);
        let first = client.start::<u32, _>("s", "later", &()).unwrap();
        let second = client.start::<u32, _>("s", "later", &()).unwrap();
        let [answered, kept] =
            [responders.recv_timeout(SOON), responders.recv_timeout(SOON)].map(Result::unwrap);
        let report = thread::scope(|scope| {
            let stop = scope.spawn(|| took(Duration::from_secs(2), || server.stop().unwrap()));
            eventually("the stop begins", || server.on_tick("x", |_: Tick<()>| ()).is_err());
            assert!(answered.reply(7), "the caller waits still");
            stop.join().unwrap()
        });
        assert_eq!(report.unanswered, 1, "{report:?}");
        let mut ended = [first, second].map(Pending::wait).into_iter().collect::<Vec<_>>();
        ended.sort_by_key(Result::is_err);
        assert_eq!(ended[0].as_ref().unwrap().value, 7);
        let error = ended[1].as_ref().unwrap_err();
        assert!(error.may_have_run(), "{error}");
        assert!(!kept.reply(8), "the node has stopped");
    });
}
