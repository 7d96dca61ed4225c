//! Services by path between real nodes, on the side that serves: what is found there, what peers are told, and what fire and forget does.

use std::sync::mpsc::channel;
use std::time::Duration;

use threadmesh::{
    Endpoint, ErrorKind, EventName, Execution, HandlerError, Node, NodeEvent, Outcome, Path,
    Request, Tick,
};

use crate::support::{AT_ONCE, SOON, bounded, builder, expect_event, joined, pair, took};

const LIMIT: Duration = Duration::from_secs(30);

/// What a handler of two numbers does with them.
fn multiply(request: Request<(i64, i64)>) -> Result<i64, HandlerError> {
    let product = request.data.0.checked_mul(request.data.1);
    product.ok_or_else(|| HandlerError::new("LARGE", "no number is that large"))
}

#[test]
fn t229_only_the_path_itself_is_served_and_its_prefixes_are_not_found() {
    bounded("t229", LIMIT, || {
        let server = builder("rcv").bind("127.0.0.1:0").start().unwrap();
        let client = joined("snd", &server);
        server.register("/foo/bar/baz", multiply).unwrap();
        let ask = |event| client.request::<i64, _>("rcv", event, &(2, 10));
        for prefix in ["/foo", "/foo/bar", "/foo/bar/baz/more", "/foo/bar/Baz", "/foo/bar/*"] {
            let error = took(AT_ONCE, || ask(prefix).unwrap_err());
            assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, "NOT_FOUND"));
            assert_eq!(
                (error.execution(), error.peer().unwrap().as_str()),
                (Execution::Never, "rcv")
            );
            let text = format!("\"rcv\" serves nothing at {prefix:?}");
            assert!(error.message().contains(&text), "{error}");
        }
        assert_eq!(ask("/foo/bar/baz").unwrap(), 20);
    });
}

#[test]
fn t230_of_two_handlers_of_one_path_the_second_answers_only_if_the_first_passes_on() {
    bounded("t230", LIMIT, || {
        let (client, server) = pair();
        server
            .register("/twice", |request: Request<u32>| match request.data {
                0 => Outcome::Next,
                _ => Outcome::Reply("first".to_owned()),
            })
            .unwrap();
        server.register("twice/", |_: Request<u32>| Ok("second")).unwrap();
        let ask = |data: u32| client.request::<String, _>("s", "/twice", &data).unwrap();
        assert_eq!([ask(1), ask(0)], ["first", "second"]);
    });
}

#[test]
fn a_path_is_one_service_however_it_is_written_and_whatever_names_it() {
    const ADD: Endpoint<(i64, i64), i64> = Endpoint::new("math/add");
    bounded("formatting", LIMIT, || {
        let (client, server) = pair();
        let (text, path) = ("/math/add/".to_owned(), Path::new("math/add").unwrap());
        let registered = [
            server.register("math/add", multiply),
            server.register(&text, multiply),
            server.register(text, multiply),
            server.register(ADD, |request| Ok(request.data.0)),
            server.on_request("/math/add//", multiply),
            server.on_request(&path, multiply),
            server.register(path, multiply),
            server.on_request(EventName::new("/math//add").unwrap(), multiply),
        ]
        .map(Result::unwrap);
        assert!(registered.iter().all(|one| one.pattern().as_str() == "/math/add"));
        let told = client.wait_for_service("/math/add", SOON).unwrap();
        assert_eq!(told.id, "s");
        assert_eq!(client.request::<i64, _>("s", "/math/add", &(3, 4)).unwrap(), 12);

        // An event without the slash is another thing.
        assert_eq!(server.off("math/add").unwrap(), 0);
        server.on_request("math/add/", |_: Request<()>| Ok("event")).unwrap();
        assert_eq!(client.request::<String, _>("s", "math/add/", &()).unwrap(), "event");
        assert_eq!(server.off("/math/add/").unwrap(), 8);
        let error = client.request::<i64, _>("s", "/math/add", &(3, 4)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn what_is_no_path_is_not_registered_and_the_error_says_what_is_wrong() {
    bounded("refusals", LIMIT, || {
        let (client, server) = pair();
        for (path, why) in [
            ("*", "segment 1 is '*'"),
            ("/math/*", "segment 2 is '*'"),
            ("/", "it has no segment"),
            ("", "it has no segment"),
            ("//", "it has no segment"),
            ("user:get", "segment 1, \"user:get\", has ':'"),
            ("/math/é", "segment 2"),
        ] {
            let error = server.register(path, multiply).unwrap_err();
            assert_eq!(
                (error.kind(), error.execution()),
                (ErrorKind::InvalidPath, Execution::Never)
            );
            assert!(error.message().contains(why), "{error}");
        }
        for pattern in ["/math/*", "/ma*", "/", "/a b"] {
            let error = server.on_request(pattern, multiply).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidPath, "{pattern}");
        }
        for built in [
            Node::builder().register("/math/*", multiply).start(),
            Node::builder().on_request("/math/*", multiply).start(),
        ] {
            assert_eq!(built.unwrap_err().kind(), ErrorKind::InvalidPath);
        }
        assert_eq!(server.off("/").unwrap_err().kind(), ErrorKind::InvalidPath);

        // A pattern that names no path is asked about paths, and told to nobody.
        server.on_request("*", |request: Request<()>| Ok(request.event().to_owned())).unwrap();
        assert_eq!(client.request::<String, _>("s", "/any/path", &()).unwrap(), "/any/path");
        let error = client.wait_for_service("/any/path", Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn peers_hear_of_a_service_when_it_comes_goes_and_comes_again() {
    bounded("announced", LIMIT, || {
        let server = builder("s").register("built", multiply).bind("127.0.0.1:0").start().unwrap();
        let client = joined("c", &server);
        let mut events = client.events();
        assert_eq!(client.wait_for_service("/built", Duration::ZERO).unwrap().id, "s");
        let mut changed = |is_there: bool| {
            loop {
                expect_event(&mut events, |event| {
                    matches!(event, NodeEvent::ServicesChanged { id } if id == "s").then_some(())
                });
                // Several changes may be told at once.
                if client.wait_for_service("/math/add", Duration::ZERO).is_ok() == is_there {
                    break;
                }
            }
        };
        for _ in 0..3 {
            let registration = server.register("math/add", multiply).unwrap();
            changed(true);
            assert_eq!(client.request::<i64, _>("s", "/math/add", &(3, 4)).unwrap(), 12);
            assert!(registration.remove());
            changed(false);
            let error = client.request::<i64, _>("s", "/math/add", &(3, 4)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
        assert_eq!(client.request::<i64, _>("s", "/built", &(3, 4)).unwrap(), 12);
    });
}

#[test]
fn a_tick_to_a_path_is_for_its_service_once_and_in_order_and_for_handlers_of_ticks_before() {
    bounded("fire and forget", LIMIT, || {
        let (client, server) = pair();
        let (tell, told) = channel();
        let heard = tell.clone();
        let serve = move |request: Request<u32>| {
            tell.send(("served", request.data, request.wants_answer())).unwrap();
            Ok(request.data * 2)
        };
        server.register("/log", serve).unwrap();
        let hear = move |tick: Tick<u32>| heard.send(("heard", tick.data, false)).unwrap();
        server.on_tick("/log/", hear).unwrap();

        let sent = 200;
        assert_eq!(client.to("s").ticks("/log", 0..sent).all().unwrap(), 200);
        client.flush("s", SOON).unwrap();
        for n in 0..sent {
            let pair = [told.try_recv(), told.try_recv()].map(Result::unwrap);
            assert_eq!(pair, [("heard", n, false), ("served", n, false)]);
        }
        assert!(told.try_recv().is_err(), "each ran once");

        // The same registration answers those who wait.
        assert_eq!(client.request::<u32, _>("s", "/log", &21).unwrap(), 42);
        assert_eq!(told.try_recv().unwrap(), ("served", 21, true));
    });
}

#[test]
fn a_service_that_fails_on_ticks_or_answers_them_later_serves_on() {
    bounded("failing", LIMIT, || {
        let (client, server) = pair();
        let (hand_out, responders) = channel();
        let serve = move |request: Request<u32>| match request.data {
            0 => Err(HandlerError::new("E", "no")),
            1 => std::panic::resume_unwind(Box::new("secret")),
            2 => {
                let hand_out = hand_out.clone();
                Ok(Outcome::later(move |responder| hand_out.send(responder).unwrap()))
            }
            n => Ok(Outcome::Reply(n)),
        };
        server.register("/work", serve).unwrap();
        assert_eq!(client.to("s").ticks("/work", 0..5).all().unwrap(), 5);
        client.tick("s", "/nobody", &()).unwrap();
        // Confirmed, though nobody has answered.
        client.flush("s", SOON).unwrap();
        let responder = responders.recv_timeout(SOON).unwrap();
        assert!(!responder.wants_answer() && !responder.is_cancelled());
        assert!(!responder.reply(7), "nobody gets it");
        assert_eq!(client.request::<u32, _>("s", "/work", &9).unwrap(), 9);
    });
}
