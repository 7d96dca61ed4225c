use std::thread;
use std::time::Duration;

use mio::{Events, Poll, Token};

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn open(capacity: usize) -> (Poll, Mailbox<u32>, Intake<u32>) {
    let poll = Poll::new().unwrap();
    let waker = Waker::new(poll.registry(), Token(7)).unwrap();
    let (mailbox, intake) = mailbox(capacity, waker);
    (poll, mailbox, intake)
}

/// Parks as the loop does, and says whether somebody woke it.
fn woken(poll: &mut Poll, timeout: Duration) -> bool {
    let mut events = Events::with_capacity(4);
    poll.poll(&mut events, Some(timeout)).unwrap();
    !events.is_empty()
}

#[test]
fn what_one_thread_posts_arrives_in_its_order() {
    let _bound = crate::bound::bound();
    let (_poll, mailbox, intake) = open(8);
    mailbox.post(1).unwrap();
    mailbox.post_all([2, 3]).unwrap();
    mailbox.post_deadline(4, Instant::now).unwrap();
    let taken: Vec<u32> = std::iter::from_fn(|| intake.take()).collect();
    assert_eq!(taken, [1, 2, 3, 4]);
}

#[test]
fn a_loop_that_is_not_parked_is_not_woken() {
    let _bound = crate::bound::bound();
    let (mut poll, mailbox, _intake) = open(8);
    mailbox.post(1).unwrap();
    assert!(!woken(&mut poll, Duration::ZERO));
}

#[test]
fn a_loop_does_not_park_on_a_message() {
    let _bound = crate::bound::bound();
    let (_poll, mailbox, intake) = open(8);
    assert!(intake.arm());
    intake.disarm();
    mailbox.post(1).unwrap();
    assert!(!intake.arm());
}

#[test]
fn a_parked_loop_is_woken_by_a_post() {
    let _bound = crate::bound::bound();
    let (mut poll, mailbox, intake) = open(8);
    assert!(intake.arm());
    thread::scope(|scope| {
        scope.spawn(|| mailbox.post(1).unwrap());
        assert!(woken(&mut poll, LONG));
    });
    assert_eq!(intake.take(), Some(1));
}

#[test]
fn a_batch_larger_than_the_mailbox_wakes_the_loop_that_must_make_room() {
    let _bound = crate::bound::bound();
    let (mut poll, mailbox, intake) = open(2);
    assert!(intake.arm());
    thread::scope(|scope| {
        scope.spawn(|| mailbox.post_all(0..100).unwrap());
        assert!(woken(&mut poll, LONG));
        let mut next = 0;
        while next < 100 {
            match intake.take() {
                Some(message) => {
                    assert_eq!(message, next);
                    next += 1;
                }
                None => thread::yield_now(),
            }
        }
    });
}

#[test]
fn a_post_with_a_deadline_comes_back_from_a_full_mailbox() {
    let _bound = crate::bound::bound();
    let (_poll, mailbox, _intake) = open(1);
    mailbox.post(1).unwrap();
    let deadline = Instant::now() + Duration::from_millis(20);
    assert!(matches!(mailbox.post_deadline(2, || deadline), Err(Unposted::Full(2))));
    assert!(Instant::now() >= deadline);
}

#[test]
fn posts_fail_and_blocked_posters_return_when_the_loop_has_ended() {
    let _bound = crate::bound::bound();
    let (_poll, mailbox, intake) = open(1);
    mailbox.post(1).unwrap();
    thread::scope(|scope| {
        let blocked = scope.spawn(|| mailbox.post(2));
        drop(intake);
        assert!(matches!(blocked.join().unwrap(), Err(Closed(2))));
    });
    assert!(matches!(mailbox.post(3), Err(Closed(3))));
    assert!(matches!(mailbox.post_all([4, 5]), Err(Closed(4))));
    assert!(matches!(mailbox.post_deadline(6, || Instant::now() + LONG), Err(Unposted::Closed(6))));
}

#[test]
fn no_wake_is_lost_between_many_posters_and_a_loop_without_a_deadline() {
    const EACH: usize = 5_000;
    let _bound = crate::bound::bound();
    let (mut poll, mailbox, intake) = open(16);
    let mut events = Events::with_capacity(4);
    thread::scope(|scope| {
        for poster in 0..3 {
            let mailbox = mailbox.clone();
            scope.spawn(move || (0..EACH).for_each(|_| mailbox.post(poster).unwrap()));
        }
        let mut taken = 0;
        while taken < 3 * EACH {
            while intake.take().is_some() {
                taken += 1;
            }
            if taken < 3 * EACH && intake.arm() {
                poll.poll(&mut events, Some(LONG)).unwrap();
                assert!(!events.is_empty(), "parked for {LONG:?} with {taken} taken");
            }
            intake.disarm();
        }
    });
}
