//! Who of several handlers is asked, in which order, and what comes of it.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use crate::error::{ErrorKind, Execution};
use crate::handler_error::HandlerError;
use crate::payload::Payload;
use crate::proto::{Answer, Work};
use crate::service::fake::{Fake, PATIENCE, assert_fault, fault, limits, reply, taken, tick};
use crate::service::{Outcome, Pattern, Request, Responder, Tick};

type Passing = Result<Outcome, HandlerError>;

fn fake() -> Fake {
    Fake::new(&limits(2, 4))
}

fn failure(answer: Answer) -> (String, String) {
    match answer {
        Answer::Failure { code, message, .. } => (code, message),
        other => panic!("no failure: {other:?}"),
    }
}

#[test]
fn the_next_handler_in_the_order_of_registration_is_asked_whatever_its_pattern() {
    let _bound = crate::bound::bound();
    let (fake, asked) = (fake(), Arc::new(Mutex::new(Vec::new())));
    for pattern in ["a:b", "a:*", "*", "a:b", "other"] {
        let asked = asked.clone();
        let pass = move |_: Request<()>| {
            asked.lock().unwrap().push(pattern);
            Outcome::<()>::Next
        };
        fake.service.on_request(pattern, pass).unwrap();
    }
    fake.service.on_request("*b", |_: Request<()>| Ok("last")).unwrap();
    fake.service.on_request("a:b", |_: Request<()>| Ok("never")).unwrap();
    assert_eq!(reply::<String>(taken(&fake.ask("a:b", &()))), "last");
    assert_eq!(*asked.lock().unwrap(), ["a:b", "a:*", "*", "a:b"]);
}

#[test]
fn data_that_a_handler_replaces_is_what_all_behind_it_see() {
    let _bound = crate::bound::bound();
    let fake = fake();
    let add = |request: Request<u32>| -> Passing { Outcome::next_with(&(request.data + 1)) };
    fake.service.on_request("sum", add).unwrap();
    fake.service.on_request("sum", add).unwrap();
    fake.service.on_request("sum", |_: Request<u32>| Outcome::<()>::Next).unwrap();
    fake.service.on_request("sum", |request: Request<u32>| Ok(request.data)).unwrap();
    for start in [0, 5] {
        assert_eq!(reply::<u32>(taken(&fake.ask("sum", &start))), start + 2);
    }
}

#[test]
fn if_nobody_answers_it_says_so_and_if_nobody_is_there_it_names_the_event() {
    let _bound = crate::bound::bound();
    let fake = fake();
    fake.service.on_error("a", |error, _: Request<()>| Err::<(), _>(error)).unwrap();
    let error = fault(taken(&fake.ask("a", &())));
    assert_eq!((error.kind(), error.execution()), (ErrorKind::NoHandler, Execution::Never));
    assert!(error.message().contains('a'), "{error}");
    assert!(fake.service.services().is_empty());

    fake.service.on_request("a", |_: Request<()>| Outcome::<()>::Next).unwrap();
    assert_fault(taken(&fake.ask("a", &())), ErrorKind::NoReply, Execution::Happened);
}

#[test]
fn an_error_goes_to_the_next_error_handler_behind_it_and_to_no_other() {
    let _bound = crate::bound::bound();
    let fake = fake();
    let never = |_: HandlerError, _: Request<Payload>| Ok("never");
    fake.service.on_error("*", never).unwrap();
    fake.service
        .on_request("fail", |_: Request<()>| Err::<(), _>(HandlerError::new("E1", "no")))
        .unwrap();
    fake.service.on_request("fail", |_: Request<()>| Ok("skipped")).unwrap();
    fake.service.on_error("other", never).unwrap();
    assert_eq!(failure(taken(&fake.ask("fail", &()))), ("E1".into(), "no".into()));

    // It may fail in its turn, with the same error or another, and the last one answers.
    let worse = |error: HandlerError, _: Request<()>| -> Passing {
        Err(HandlerError::new("E2", error.message()))
    };
    fake.service.on_error("fail", worse).unwrap();
    assert_eq!(failure(taken(&fake.ask("fail", &()))), ("E2".into(), "no".into()));
    let answer = |error: HandlerError, request: Request<()>| {
        Ok(format!("{} of {}", error.code(), request.event()))
    };
    fake.service.on_error("f*", answer).unwrap();
    assert_eq!(reply::<String>(taken(&fake.ask("fail", &()))), "E2 of fail");
}

#[test]
fn an_error_handler_that_passes_on_lets_the_normal_handlers_behind_it_go_on() {
    let _bound = crate::bound::bound();
    let fake = fake();
    fake.service.on_request("a", |_: Request<u32>| Err::<(), _>("broken".into())).unwrap();
    fake.service.on_request("a", |_: Request<u32>| Ok(0)).unwrap();
    let mend = |_: HandlerError, request: Request<u32>| -> Passing {
        Outcome::next_with(&(request.data + 1))
    };
    fake.service.on_error("a", mend).unwrap();
    fake.service.on_error("a", |_, _: Request<u32>| Ok(1)).unwrap();
    fake.service.on_request("a", |request: Request<u32>| Ok(request.data)).unwrap();
    assert_eq!(reply::<u32>(taken(&fake.ask("a", &7))), 8);
}

// covers P23
#[test]
fn a_panic_reaches_error_handlers_without_its_text() {
    let _bound = crate::bound::bound();
    let fake = fake();
    let panics = |_: Request<()>| -> Result<(), HandlerError> {
        std::panic::resume_unwind(Box::new("secret"))
    };
    fake.service.on_request("a", panics).unwrap();
    fake.service.on_error("a", |error, _: Request<()>| Ok(error.to_string())).unwrap();
    let said: String = reply(taken(&fake.ask("a", &())));
    assert!(said.starts_with("HANDLER_ERROR: the handler panicked"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn data_that_do_not_fit_are_an_error_that_ran_only_if_a_handler_before_did() {
    let _bound = crate::bound::bound();
    let fake = fake();
    fake.service.on_request("a", |request: Request<u32>| Ok(request.data)).unwrap();
    assert_fault(taken(&fake.ask("a", &"text")), ErrorKind::Decode, Execution::Never);
    // An error handler of another type is passed over.
    fake.service.on_error("a", |_, _: Request<u32>| Ok("never")).unwrap();
    assert_fault(taken(&fake.ask("a", &"text")), ErrorKind::Decode, Execution::Never);
    let pass = fake.service.on_error("a", |_, _: Request<Payload>| Outcome::<()>::Next).unwrap();
    assert_fault(taken(&fake.ask("a", &"text")), ErrorKind::NoReply, Execution::Happened);
    fake.service.on_request("a", |request: Request<u32>| Ok(request.data)).unwrap();
    assert_fault(taken(&fake.ask("a", &"text")), ErrorKind::Decode, Execution::Happened);
    assert!(pass.remove());
    fake.service.on_error("a", |error, _: Request<String>| Ok(error.code().to_owned())).unwrap();
    assert_eq!(reply::<String>(taken(&fake.ask("a", &"text"))), "DECODE");
}

#[test]
fn an_error_handler_is_removed_like_any_other() {
    let _bound = crate::bound::bound();
    let fake = fake();
    fake.service.on_request("a", |_: Request<()>| Err::<(), _>("no".into())).unwrap();
    let one = fake.service.on_error("*", |_, _: Request<()>| Ok(1)).unwrap();
    fake.service.on_error("*", |_, _: Request<()>| Ok(2)).unwrap();
    fake.service.on_error("*", |_, _: Request<()>| Ok(3)).unwrap();
    assert!(one.remove());
    assert_eq!(reply::<u32>(taken(&fake.ask("a", &()))), 2);
    assert_eq!(fake.service.remove(&Pattern::try_from("*").unwrap()), 2);
    assert_eq!(failure(taken(&fake.ask("a", &()))).0, "HANDLER_ERROR");
}

/// A handler that hands its responders out.
fn deferring(fake: &Fake) -> std::sync::mpsc::Receiver<Responder<u32>> {
    let (hand_out, responders) = channel();
    let later = move |_: Request<()>| {
        let hand_out = hand_out.clone();
        Outcome::later(move |responder| hand_out.send(responder).unwrap())
    };
    fake.service.on_request("later", later).unwrap();
    fake.service.on_request("later", |_: Request<()>| Ok("never")).unwrap();
    responders
}

#[test]
fn an_answer_may_come_later_from_any_thread_and_keeps_no_worker() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(1, 1));
    let responders = deferring(&fake);
    let answers: Vec<_> = (0..3).map(|_| fake.ask("later", &())).collect();
    let kept: Vec<_> = (0..3).map(|_| responders.recv_timeout(PATIENCE).unwrap()).collect();
    assert!(answers.iter().all(|answer| answer.try_recv().is_err()));
    thread::scope(|scope| {
        scope.spawn(move || {
            let [first, second, third] = <[_; 3]>::try_from(kept).unwrap();
            assert!(!first.is_cancelled() && first.deadline() > Instant::now());
            assert!(third.reply(3) && second.fail("no") && first.reply(1));
        });
    });
    assert_eq!(reply::<u32>(taken(&answers[0])), 1);
    assert_eq!(failure(taken(&answers[1])), ("HANDLER_ERROR".into(), "no".into()));
    assert_eq!(reply::<u32>(taken(&answers[2])), 3);
}

#[test]
fn a_responder_that_is_dropped_answers_that_nobody_replied_and_a_panic_that_it_was_one() {
    let _bound = crate::bound::bound();
    let fake = fake();
    let responders = deferring(&fake);
    let (dropped, panicked) = (fake.ask("later", &()), fake.ask("later", &()));
    drop(responders.recv_timeout(PATIENCE).unwrap());
    let unlucky = responders.recv_timeout(PATIENCE).unwrap();
    let ended = thread::scope(|scope| {
        let panics = move || {
            let _unlucky = unlucky;
            std::panic::resume_unwind(Box::new("secret"));
        };
        scope.spawn(panics).join()
    });
    assert!(ended.is_err());
    let mut kinds = [fault(taken(&dropped)).kind(), fault(taken(&panicked)).kind()];
    kinds.sort_unstable();
    let mut expected = [ErrorKind::NoReply, ErrorKind::Handler];
    expected.sort_unstable();
    assert_eq!(kinds, expected);

    // A panic while the duty is handed over is fenced like any other.
    let panics = |_: Request<()>| {
        Outcome::<()>::later(|_responder| std::panic::resume_unwind(Box::new("secret")))
    };
    fake.service.on_request("panics", panics).unwrap();
    assert_fault(taken(&fake.ask("panics", &())), ErrorKind::Handler, Execution::Happened);
}

#[test]
fn a_responder_knows_that_the_caller_gave_up() {
    let _bound = crate::bound::bound();
    let fake = fake();
    let responders = deferring(&fake);
    let (delivery, _answer) = fake.request("later", &());
    let Work::Request { cancelled, .. } = &delivery.work else { unreachable!() };
    let cancelled = cancelled.clone();
    fake.deliver(vec![delivery]);
    let responder = responders.recv_timeout(PATIENCE).unwrap();
    assert!(!responder.is_cancelled());
    cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(responder.is_cancelled());
    assert!(!responder.reply(1), "nobody waits for it");
}

#[test]
fn a_responder_is_told_that_the_node_has_stopped() {
    let _bound = crate::bound::bound();
    let fake = fake();
    let responders = deferring(&fake);
    let _answer = fake.ask("later", &());
    let responder = responders.recv_timeout(PATIENCE).unwrap();
    fake.engine.has_stopped.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(!responder.reply(1));
}

#[test]
fn a_deferred_answer_has_the_limits_of_any_other() {
    let _bound = crate::bound::bound();
    let small = crate::config::Limits { message_bytes: 1_000, ..limits(2, 4) };
    let fake = Fake::new(&small);
    let late = |_: Request<()>| {
        Outcome::later(|responder| {
            responder.reply("x".repeat(2_000));
        })
    };
    fake.service.on_request("large", late).unwrap();
    assert_fault(taken(&fake.ask("large", &())), ErrorKind::TooLarge, Execution::Happened);
}

#[test]
fn every_tick_handler_runs_once_in_order_and_failures_are_counted() {
    let _bound = crate::bound::bound();
    let (fake, ran) = (fake(), Arc::new(Mutex::new(Vec::new())));
    for (index, pattern) in ["evt", "ev*", "evt", "*"].into_iter().enumerate() {
        let ran = ran.clone();
        let run = move |_: Tick<()>| {
            ran.lock().unwrap().push(index);
            match index {
                0 => Err(HandlerError::new("E", "no")),
                1 => std::panic::resume_unwind(Box::new("secret")),
                _ => Ok(()),
            }
        };
        fake.service.on_tick(pattern, run).unwrap();
    }
    fake.deliver(vec![tick(1, None, "evt", &())]);
    fake.engine.consumed(1);
    assert_eq!(*ran.lock().unwrap(), [0, 1, 2, 3]);
    assert_eq!(fake.service.stats().failed_ticks, 2);
    assert_eq!(fake.service.stats().unhandled_ticks, 0);
}

#[test]
fn a_chain_costs_no_copy_of_what_only_one_handler_gets() {
    let _bound = crate::bound::bound();
    let value = Arc::new(());
    let counts: Vec<usize> = super::dealt(0..3, value.clone())
        .map(|(_, given)| {
            let count = Arc::strong_count(&given);
            drop(given);
            count
        })
        .collect();
    assert_eq!(counts, [3, 3, 2]);
    assert_eq!(super::dealt(0..0, value).count(), 0);
}
