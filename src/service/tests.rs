//! One message, its handlers, its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};

use super::fake::{Fake, PATIENCE, assert_fault, fault, limits, reply, taken, tick};
use super::{Outcome, Outlet, Pattern, Request, Service, Tick, context};
use crate::config::{Config, Limits};
use crate::endpoint::Endpoint;
use crate::error::{ErrorKind, Execution};
use crate::event::EventName;
use crate::handler_error::HandlerError;
use crate::id::LinkId;
use crate::payload::{Bytes, Encode};
use crate::proto::{Answer, ReplyTo, Work};

#[test]
fn a_typed_handler_answers_and_sees_who_asked() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 4));
    let seen = |req: Request<u32>| {
        assert_eq!((req.event(), req.sender().as_str()), ("user:get", "there"));
        assert_eq!(req.origin(), req.sender());
        assert!(req.deadline() > Instant::now() && !req.is_cancelled());
        Ok(req.data + 1)
    };
    fake.service.on_request("user:get", seen).unwrap();
    assert_eq!(reply::<u32>(taken(&fake.ask("user:get", &41))), 42);
}

#[test]
fn the_first_registered_of_several_handlers_answers() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 4));
    fake.service.on_request("a:*", |_: Request<()>| Ok("glob")).unwrap();
    let exact = fake.service.on_request("a:b", |_: Request<()>| Ok("exact")).unwrap();
    fake.service.on_request("*", |_: Request<()>| Ok("any")).unwrap();
    assert_eq!(reply::<String>(taken(&fake.ask("a:b", &()))), "glob");
    assert_eq!(fake.service.remove(&Pattern::try_from("a:*").unwrap()), 1);
    assert_eq!(reply::<String>(taken(&fake.ask("a:b", &()))), "exact");
    assert!(exact.remove());
    assert_eq!(reply::<String>(taken(&fake.ask("a:b", &()))), "any");
}

#[test]
fn a_request_without_a_handler_is_refused_at_once_naming_event_and_node() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 4));
    let error = fault(taken(&fake.ask("no:such", &())));
    assert_eq!((error.kind(), error.execution()), (ErrorKind::NoHandler, Execution::Never));
    assert!(error.message().contains("no:such") && error.message().contains("here"));
}

#[test]
fn a_path_without_a_handler_is_not_found_and_a_prefix_case_or_star_leads_nowhere() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 4));
    fake.service.on_request("/foo/bar/", |_: Request<()>| Ok(1)).unwrap();
    assert_eq!(reply::<u32>(taken(&fake.ask("/foo/bar", &()))), 1);
    for event in ["/foo", "/foo/bar/baz", "/foo/Bar", "/foo/*", "/foo/bar/", "/", "/a b"] {
        let error = fault(taken(&fake.ask(event, &())));
        assert_eq!((error.kind(), error.execution()), (ErrorKind::NotFound, Execution::Never));
        assert!(error.message().contains(&format!("\"here\" serves nothing at {event:?}")));
    }
    assert_fault(taken(&fake.ask("foo/bar", &())), ErrorKind::NoHandler, Execution::Never);
    // Somebody was there, and passed on.
    fake.service.on_request("*", |_: Request<()>| Outcome::<()>::Next).unwrap();
    assert_fault(taken(&fake.ask("/foo", &())), ErrorKind::NoReply, Execution::Happened);
}

#[test]
fn requests_are_not_handled_by_a_pattern_that_names_no_path() {
    const STAR: Endpoint<(), ()> = Endpoint::new("/math/*");
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 4));
    let refused = [
        fake.service.on_request("/math/*", |_: Request<()>| Ok(())),
        fake.service.on_request(Pattern::try_from("/*").unwrap(), |_: Request<()>| Ok(())),
        fake.service.on_request(EventName::new("/*").unwrap(), |_: Request<()>| Ok(())),
        fake.service.on_request(STAR, |_| Ok(())),
        fake.service.on_request("/", |_: Request<()>| Ok(())),
        fake.service.on_request("/math/a b", |_: Request<()>| Ok(())),
        fake.service.on_error("/math/a b", |_, _: Request<()>| Ok(())),
        fake.service.on_tick("/", |_: Tick<()>| ()),
    ];
    for refused in refused {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidPath);
    }
    fake.service.on_error("/math/*", |_, _: Request<()>| Ok("mended")).unwrap();
    fake.service.on_tick("/math/*", |_: Tick<()>| ()).unwrap();
    assert_eq!(fake.service.remove(&Pattern::try_from("/math/*").unwrap()), 2);
}

#[test]
fn an_error_of_a_handler_arrives_as_it_is() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 4));
    let refuse = |_: Request<()>| -> Result<(), HandlerError> {
        Err(HandlerError::new("E1", "no").with_data(&7)?)
    };
    fake.service.on_request("a", refuse).unwrap();
    match taken(&fake.ask("a", &())) {
        Answer::Failure { code, message, data } => {
            assert_eq!((code.as_str(), message.as_str()), ("E1", "no"));
            assert_eq!(data, Some(7.encode().unwrap()));
        }
        other => panic!("{other:?}"),
    }
}

/// Panics again when the panic's value is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("again"));
    }
}

// covers P23
#[test]
fn a_panic_is_fenced_and_its_text_stays_here() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(1, 1));
    let panics = |req: Request<u32>| -> Result<(), HandlerError> {
        match req.data {
            0 => std::panic::resume_unwind(Box::new("secret")),
            _ => std::panic::resume_unwind(Box::new(Bomb)),
        }
    };
    fake.service.on_request("a", panics).unwrap();
    fake.service.on_request("b", |_: Request<()>| Ok(context::current().map(|c| c.depth))).unwrap();
    for data in [0, 1, 0] {
        let error = fault(taken(&fake.ask("a", &data)));
        assert_eq!((error.kind(), error.execution()), (ErrorKind::Handler, Execution::Happened));
        assert_eq!(error.message(), "the handler panicked; the log of its node says why");
    }
    assert_eq!(reply::<Option<u8>>(taken(&fake.ask("b", &()))), Some(0));
    assert_eq!(fake.service.stats().pool.most, 1);
}

// covers P07
#[test]
fn data_of_another_type_never_reaches_the_handler() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 4));
    fake.service.on_request("a", |req: Request<u32>| Ok(req.data)).unwrap();
    assert_fault(taken(&fake.ask("a", &"text")), ErrorKind::Decode, Execution::Never);
}

#[test]
fn an_answer_beyond_the_limit_or_without_encoding_says_that_the_handler_ran() {
    let _bound = crate::bound::bound();
    let small = Limits { message_bytes: 1_000, ..limits(2, 4) };
    let fake = Fake::new(&small);
    fake.service
        .on_request("size", |req: Request<usize>| Ok(Bytes::from(vec![0; req.data])))
        .unwrap();
    let long = |_: Request<()>| -> Result<(), _> { Err(HandlerError::new("E", "x".repeat(2_000))) };
    fake.service.on_request("error", long).unwrap();
    assert_eq!(reply::<Bytes>(taken(&fake.ask("size", &900))).len(), 900);
    for (event, data) in [("size", 1_000), ("size", 100_000)] {
        assert_fault(taken(&fake.ask(event, &data)), ErrorKind::TooLarge, Execution::Happened);
    }
    assert_fault(taken(&fake.ask("error", &())), ErrorKind::TooLarge, Execution::Happened);
    let fails = |_: Request<()>| Ok(Unencodable);
    fake.service.on_request("fails", fails).unwrap();
    assert_fault(taken(&fake.ask("fails", &())), ErrorKind::Encode, Execution::Happened);
}

struct Unencodable;

impl serde::Serialize for Unencodable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("never"))
    }
}

#[test]
fn what_is_expired_or_cancelled_when_it_is_taken_up_never_runs() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 4));
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    let handler = move |_: Request<()>| Ok(count.fetch_add(1, Ordering::Relaxed));
    fake.service.on_request("a", handler).unwrap();
    let (mut expired, expired_answer) = fake.request("a", &());
    let (cancelled, cancelled_answer) = fake.request("a", &());
    if let Work::Request { deadline, .. } = &mut expired.work {
        *deadline = Instant::now();
    }
    if let Work::Request { cancelled, .. } = &cancelled.work {
        cancelled.store(true, Ordering::Relaxed);
    }
    fake.deliver(vec![expired, cancelled]);
    assert_fault(taken(&expired_answer), ErrorKind::Expired, Execution::Never);
    assert_fault(taken(&cancelled_answer), ErrorKind::Cancelled, Execution::Never);
    assert_eq!(ran.load(Ordering::Relaxed), 0);
}

#[test]
fn a_handler_runs_under_the_deadline_and_depth_of_its_message() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 4));
    let depths = |_: Request<()>| {
        let context = context::current().ok_or("no context")?;
        Ok((context.depth, context.nested_depth(), context.deadline.is_some()))
    };
    fake.service.on_request("a", depths).unwrap();
    let (delivery, answer) = fake.deep("a", &(), 3);
    fake.deliver(vec![delivery]);
    assert_eq!(reply::<(u8, u8, bool)>(taken(&answer)), (3, 4, true));
    assert_eq!(context::current(), None);
}

#[test]
fn every_matching_tick_handler_runs_and_all_ticks_are_consumed() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 4));
    let sum = Arc::new(AtomicU64::new(0));
    for (pattern, factor) in [("evt", 1), ("ev*", 1_000)] {
        let sum = sum.clone();
        let add = move |tick: Tick<u64>| {
            assert_eq!((tick.event(), tick.origin().as_str()), ("evt", "far"));
            assert!(tick.data != 3, "one of them panics");
            sum.fetch_add(factor * tick.data, Ordering::Relaxed);
        };
        fake.service.on_tick(pattern, add).unwrap();
    }
    let mut batch: Vec<_> = (1..=4_u64).map(|n| tick(1, Some("far"), "evt", &n)).collect();
    batch.push(tick(1, None, "nobody", &()));
    batch.push(tick(1, Some("far"), "evt", &"text"));
    fake.deliver(batch);
    let reports = fake.engine.consumed(6);
    assert_eq!(reports.iter().map(|(_, _, cost)| cost).sum::<u64>(), 6 * 128);
    assert_eq!(sum.load(Ordering::Relaxed), 7 * 1_001);
    let stats = fake.service.stats();
    assert_eq!((stats.unhandled_ticks, stats.failed_ticks), (1, 4));
}

#[test]
fn services_are_the_exact_request_names_and_are_announced_when_they_change() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 4));
    let b = fake.service.on_request("b", |_: Request<()>| Ok(())).unwrap();
    fake.service.on_request("a", |_: Request<()>| Ok(())).unwrap();
    fake.service.on_request("g*", |_: Request<()>| Ok(())).unwrap();
    fake.service.on_tick("t", |_: Tick<()>| ()).unwrap();
    assert_eq!(*fake.service.services(), ["b", "a"]);
    assert!(b.remove());
    let told = fake.engine.services.lock().unwrap().clone();
    assert_eq!(told, [vec!["b"], vec!["b", "a"], vec!["a"]]);
}

#[test]
fn services_are_those_of_the_moment_as_soon_as_a_registration_or_removal_returns() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 4));
    let paths =
        || fake.service.services().paths().iter().map(ToString::to_string).collect::<Vec<_>>();
    let add = fake.service.on_request("/math//add", |_: Request<()>| Ok(())).unwrap();
    assert_eq!(paths(), ["/math/add"]);
    fake.service.on_request("user:get", |_: Request<()>| Ok(())).unwrap();
    fake.service.on_request("/add/", |_: Request<()>| Ok(())).unwrap();
    assert_eq!(*fake.service.services(), ["/math/add", "user:get", "/add"]);
    assert_eq!(paths(), ["/math/add", "/add"]);
    // What changes nothing is a copy of the same list.
    let before: *const [String] = &raw const *fake.service.services();
    fake.service.on_request("/add", |_: Request<()>| Ok(())).unwrap();
    fake.service.on_error("/other", |_, _: Request<()>| Ok(())).unwrap();
    assert!(std::ptr::eq(before, &raw const *fake.service.services()));
    assert!(add.remove());
    fake.service.on_request("/math/add", |_: Request<()>| Ok(())).unwrap();
    assert_eq!(paths(), ["/add", "/math/add"]);
    assert_eq!(fake.service.remove(&Pattern::try_from("/add").unwrap()), 2);
    assert_eq!(paths(), ["/math/add"]);
    assert_eq!(fake.engine.services.lock().unwrap().last().unwrap().len(), 2);
}

/// A node whose loop has a backlog: it takes no news of services until it is let.
struct Late(Receiver<()>);

impl Outlet for Late {
    fn answer(&self, _: ReplyTo, _: Answer) -> bool {
        false
    }

    fn consumed(&self, _: LinkId, _: u64, _: u64) {}

    fn services(&self, _: Vec<String>) {
        let _ = self.0.recv();
    }
}

#[test]
fn nobody_who_looks_at_the_services_waits_for_those_who_announce_them() {
    let _bound = crate::bound::bound();
    let (let_go, held) = bounded(0);
    let service = Service::start(&Config::default(), "here", Arc::new(Late(held)));
    std::thread::scope(|scope| {
        scope.spawn(|| service.on_request("/a", |_: Request<()>| Ok(())).unwrap());
        let until = Instant::now() + PATIENCE;
        while service.services().is_empty() {
            assert!(Instant::now() < until);
            std::thread::yield_now();
        }
        drop(let_go);
    });
}

#[test]
fn handlers_are_dropped_by_a_stop_and_none_is_taken_afterwards() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 4));
    let kept = Arc::new(());
    let (request, of_tick) = (kept.clone(), kept.clone());
    fake.service.on_request("a", move |_: Request<()>| Ok(Arc::strong_count(&request))).unwrap();
    fake.service.on_tick("a", move |_: Tick<()>| drop(of_tick.clone())).unwrap();
    fake.service.stop(Instant::now() + PATIENCE);
    assert_eq!(Arc::strong_count(&kept), 1);
    let late = fake.service.on_request("a", |_: Request<()>| Ok(()));
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Closed);
    assert_fault(taken(&fake.ask("a", &())), ErrorKind::Busy, Execution::Never);
}

#[test]
fn an_invalid_pattern_is_refused() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 4));
    let refused = fake.service.on_tick("", |_: Tick<()>| ());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidEvent);
}

#[test]
fn a_dropped_service_ends_its_workers() {
    let _bound = crate::bound::bound();
    let fake = Fake::with_idle(&limits(2, 4), Duration::from_secs(3_600));
    fake.service.on_request("a", |_: Request<()>| Ok(())).unwrap();
    taken(&fake.ask("a", &()));
    let engine = Arc::downgrade(&fake.engine);
    drop(fake);
    // Workers own the way to the engine; it is gone when they are.
    let until = Instant::now() + PATIENCE;
    while engine.upgrade().is_some() {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
}
