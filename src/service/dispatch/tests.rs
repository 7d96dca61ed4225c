//! Ticks to the path of a service: who hears them, what is made of answers that nobody waits for, what counts as a failure.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::config::Config;
use crate::handler_error::HandlerError;
use crate::payload::Payload;
use crate::service::fake::{Fake, PATIENCE, limits, reply, taken, tick};
use crate::service::{Outcome, Request, Responder, Tick, context};

fn fake() -> Fake {
    Fake::new(&limits(2, 4))
}

/// Delivers ticks of these names, waits until they are done, and gives how many were unhandled and how many have failed so far.
fn told(fake: &Fake, events: &[&str]) -> (u64, u64) {
    fake.deliver(events.iter().map(|event| tick(1, None, event, &7)).collect());
    fake.engine.consumed(events.len() as u64);
    let stats = fake.service.stats();
    (stats.unhandled_ticks, stats.failed_ticks)
}

/// What handlers have noted, in order.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, what: impl ToString) {
        self.0.lock().unwrap().push(what.to_string());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn a_tick_to_a_path_is_heard_by_handlers_of_ticks_and_then_runs_the_service_once() {
    let _bound = crate::bound::bound();
    let (fake, notes) = (fake(), Notes::default());
    let service = |name: &'static str, answers: bool| {
        let notes = notes.clone();
        move |_: Request<u32>| {
            notes.add(name);
            if answers { Outcome::Reply("an answer") } else { Outcome::Next }
        }
    };
    fake.service.on_request("/a", service("passes on", false)).unwrap();
    fake.service.on_request("*", service("catch-all", false)).unwrap();
    fake.service.on_request("/a", service("answers", true)).unwrap();
    fake.service.on_request("/a", service("never", true)).unwrap();
    let heard = notes.clone();
    fake.service.on_tick("/a", move |_: Tick<u32>| heard.add("heard")).unwrap();
    assert_eq!(told(&fake, &["/a"]), (0, 0));
    assert_eq!(notes.take(), ["heard", "passes on", "catch-all", "answers"]);
}

#[test]
fn a_service_sees_that_nobody_waits_for_a_tick_and_its_calls_inherit_nothing() {
    let _bound = crate::bound::bound();
    let fake = fake();
    let (tell, seen) = channel();
    let see = move |request: Request<u32>| {
        let left = request.deadline().saturating_duration_since(Instant::now());
        let inherited =
            context::current().map(|context| (context.deadline.is_some(), context.depth));
        tell.send((request.wants_answer(), request.is_cancelled(), inherited, left)).unwrap();
        Ok(request.event().to_owned())
    };
    fake.service.on_request("/a", see).unwrap();
    assert_eq!(told(&fake, &["/a"]), (0, 0));
    let (wants_answer, is_cancelled, inherited, left) = seen.recv_timeout(PATIENCE).unwrap();
    assert_eq!((wants_answer, is_cancelled, inherited), (false, false, Some((false, 0))));
    let whole = Config::default().request_timeout;
    assert!(left <= whole && left > whole / 2, "{left:?}");

    assert_eq!(reply::<String>(taken(&fake.ask("/a", &7))), "/a");
    let (wants_answer, _, inherited, _) = seen.recv_timeout(PATIENCE).unwrap();
    assert_eq!((wants_answer, inherited), (true, Some((true, 0))));
}

#[test]
fn only_a_tick_to_a_path_reaches_handlers_of_requests_and_it_is_unhandled_if_nobody_serves_it() {
    let _bound = crate::bound::bound();
    let (fake, notes) = (fake(), Notes::default());
    let count = notes.clone();
    let catch_all = fake.service.on_request("*", move |request: Request<u32>| {
        count.add(request.event());
        Ok(())
    });
    fake.service.on_request("a", |_: Request<u32>| Ok(())).unwrap();
    assert_eq!(told(&fake, &["a", "/a", "b/c", "/b/c", "/not a path"]), (2, 0));
    assert_eq!(notes.take(), ["/a", "/b/c", "/not a path"]);

    assert!(catch_all.unwrap().remove());
    // Who is asked about errors only is no service.
    fake.service.on_error("*", |_, _: Request<Payload>| Ok(())).unwrap();
    assert_eq!(told(&fake, &["/a"]), (3, 0));
    fake.service.on_tick("/a", |_: Tick<u32>| ()).unwrap();
    assert_eq!(told(&fake, &["/a", "/a/b"]), (4, 0));
    fake.service.on_request("/a/b", |_: Request<u32>| Ok(())).unwrap();
    assert_eq!(told(&fake, &["/a", "/a/b", "/a/"]), (5, 0));
}

#[test]
fn what_fails_in_the_end_is_counted_once_a_tick_and_what_nobody_answers_is_no_failure() {
    let _bound = crate::bound::bound();
    let fake = fake();
    let service = &fake.service;
    let no = || HandlerError::new("E", "no");
    service.on_request("/error", move |_: Request<u32>| Err::<(), _>(no())).unwrap();
    let panics = |_: Request<u32>| -> Result<(), HandlerError> {
        std::panic::resume_unwind(Box::new("secret"))
    };
    service.on_request("/panic", panics).unwrap();
    service.on_request("/type", |_: Request<String>| Ok(())).unwrap();
    service.on_request("/next", |_: Request<u32>| Outcome::<()>::Next).unwrap();
    service.on_request("/mended", move |_: Request<u32>| Err::<(), _>(no())).unwrap();
    service.on_error("/mended", |_, _: Request<u32>| Ok(())).unwrap();
    service.on_request("/both", move |_: Request<u32>| Err::<(), _>(no())).unwrap();
    service.on_tick("/both", move |_: Tick<u32>| Err(no())).unwrap();
    assert_eq!(told(&fake, &["/next", "/mended"]), (0, 0));
    assert_eq!(told(&fake, &["/error"]), (0, 1));
    assert_eq!(told(&fake, &["/panic"]), (0, 2));
    assert_eq!(told(&fake, &["/type"]), (0, 3));
    assert_eq!(told(&fake, &["/both"]), (0, 5));
}

/// A service that hands its responders out.
fn deferring(fake: &Fake) -> Receiver<Responder<u32>> {
    let (hand_out, responders) = channel();
    let later = move |_: Request<u32>| {
        let hand_out = hand_out.clone();
        Outcome::later(move |responder| hand_out.send(responder).unwrap())
    };
    fake.service.on_request("/later", later).unwrap();
    responders
}

#[test]
fn a_deferred_answer_to_a_tick_goes_nowhere_and_only_an_error_is_counted() {
    let _bound = crate::bound::bound();
    let fake = fake();
    let responders = deferring(&fake);
    let next = || {
        // The tick is done before anybody has answered.
        told(&fake, &["/later"]);
        responders.recv_timeout(PATIENCE).unwrap()
    };
    let failed = || fake.service.stats().failed_ticks;
    let responder = next();
    assert!(!responder.wants_answer() && !responder.is_cancelled());
    assert!(responder.deadline() > Instant::now());
    assert!(!responder.reply(7), "nobody gets it");
    drop(next());
    assert_eq!(failed(), 0);
    assert!(!next().fail("no"));
    assert_eq!(failed(), 1);
    let unlucky = next();
    let ended = std::thread::scope(|scope| {
        let panics = move || {
            let _unlucky = unlucky;
            std::panic::resume_unwind(Box::new("secret"));
        };
        scope.spawn(panics).join()
    });
    assert!(ended.is_err());
    assert_eq!(failed(), 2);
}

#[test]
fn ticks_of_one_sender_reach_services_in_sending_order_also_among_others() {
    let _bound = crate::bound::bound();
    let (fake, notes) = (Fake::new(&limits(4, 8)), Notes::default());
    let (served, heard) = (notes.clone(), notes.clone());
    fake.service
        .on_request("/log", move |request: Request<u32>| {
            served.add(request.data);
            Ok(())
        })
        .unwrap();
    fake.service.on_tick("note", move |tick: Tick<u32>| heard.add(tick.data)).unwrap();
    let event = |n: u32| if n % 3 == 0 { "note" } else { "/log" };
    fake.deliver((0..500).map(|n| tick(1, None, event(n), &n)).collect());
    fake.engine.consumed(500);
    assert_eq!(notes.take(), (0..500).map(|n| n.to_string()).collect::<Vec<_>>());
}
