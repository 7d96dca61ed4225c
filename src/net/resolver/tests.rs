use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use mio::{Poll, Token, Waker};

use super::*;
use crate::net::mailbox::{Intake, mailbox};

fn open(lookup: Lookup) -> (Poll, Resolver<u32>, Intake<Input<u32>>) {
    let poll = Poll::new().unwrap();
    let waker = Waker::new(poll.registry(), Token(0)).unwrap();
    let (mailbox, intake) = mailbox(64, waker);
    (poll, Resolver::with_lookup(mailbox, lookup), intake)
}

fn next(intake: &Intake<Input<u32>>) -> (QueryId, Resolved) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        match intake.take() {
            Some(Input::Resolved { query, result }) => return (query, result),
            Some(other) => panic!("{other:?}"),
            None => thread::yield_now(),
        }
    }
    panic!("no answer");
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

#[test]
fn a_numeric_address_needs_no_thread() {
    let _bound = crate::bound::bound();
    let (_poll, mut resolver, _intake) = open(|_| panic!("nobody was to be asked"));
    let answer = resolver.ask(QueryId(1), address("[::1]:80"));
    assert_eq!(answer, Some(Ok(vec!["[::1]:80".parse().unwrap()])));
    assert_eq!(resolver.threads, 0);
}

#[test]
fn the_name_of_this_machine_is_resolved_off_the_loop() {
    let _bound = crate::bound::bound();
    let (_poll, mut resolver, intake) = open(system_lookup);
    assert_eq!(resolver.ask(QueryId(5), address("localhost:80")), None);
    let (query, result) = next(&intake);
    assert_eq!(query, QueryId(5));
    assert!(result.unwrap().iter().all(|addr| addr.ip().is_loopback() && addr.port() == 80));
}

#[test]
fn a_name_that_fails_or_has_no_address_says_which() {
    let _bound = crate::bound::bound();
    let (_poll, mut resolver, intake) = open(|address| match address.host() {
        "empty" => Ok(Vec::new()),
        _ => Err(io::Error::other("no such host")),
    });
    assert_eq!(resolver.ask(QueryId(1), address("empty:80")), None);
    assert_eq!(next(&intake), (QueryId(1), Err("empty has no address".into())));
    assert_eq!(resolver.ask(QueryId(2), address("gone:80")), None);
    assert_eq!(next(&intake), (QueryId(2), Err("gone cannot be resolved: no such host".into())));
    assert_eq!(resolver.threads, 1, "an idle thread is used again");
}

#[test]
fn slow_names_take_a_bounded_number_of_threads_and_questions() {
    static RELEASED: AtomicBool = AtomicBool::new(false);
    let _bound = crate::bound::bound();
    let (_poll, mut resolver, intake) = open(|_| {
        while !RELEASED.load(Relaxed) {
            thread::yield_now();
        }
        Ok(vec!["127.0.0.1:1".parse().unwrap()])
    });
    let most = RESOLVER_THREADS + RESOLVER_QUESTIONS;
    let mut taken = 0;
    for query in 0..=most as u64 {
        match resolver.ask(QueryId(query), address("slow:80")) {
            None => taken += 1,
            Some(refused) => assert!(refused.is_err()),
        }
    }
    assert_eq!(resolver.threads, RESOLVER_THREADS);
    assert!((RESOLVER_QUESTIONS..=most).contains(&taken), "{taken} of {most}");
    RELEASED.store(true, Relaxed);
    (0..taken).for_each(|_| assert!(next(&intake).1.is_ok()));
}
