//! The oneshot between a waiting thread and the loop: [`Wake`] is the engine's token, [`Arrival`] what comes through.
//!
//! It knows how to wait well (look again, then park), not what is waited for.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use crate::config::YIELD_BEFORE_PARK;
use crate::error::{Error, ErrorKind};
use crate::patience::Patience;
use crate::proto::Done;
use crate::service;

/// A result that has arrived and is not decoded yet: what
/// [`Pending::receiver`](crate::Pending::receiver) yields and [`Pending::finish`](crate::Pending::finish) takes.
#[derive(Debug)]
pub struct Arrival {
    pub(crate) result: Result<Done, Error>,
    pub(crate) at: Instant,
}

/// One of several results that come through one channel, and which of them it is.
#[derive(Debug)]
pub(crate) struct Numbered {
    pub(crate) number: usize,
    pub(crate) arrival: Arrival,
}

/// What the engine wakes when a command has finished. Dropped unused, it says that the loop is gone.
#[derive(Debug)]
pub(crate) struct Wake {
    end: End,
    /// Held while the command is a call that counts as pending.
    slot: Option<Slot>,
}

#[derive(Debug)]
enum End {
    Own(Sender<Arrival>),
    Shared(Sender<Numbered>, usize),
}

impl Wake {
    /// A token and the end that waits for it.
    pub(crate) fn new(slot: Option<Slot>) -> (Self, Receiver<Arrival>) {
        let (sender, receiver) = bounded(1);
        (Self { end: End::Own(sender), slot }, receiver)
    }

    /// Hands the result over. Nobody may be waiting any more, which is fine.
    pub(crate) fn complete(self, result: Result<Done, Error>) {
        // Whoever sees the result must find the slot free already.
        drop(self.slot);
        let arrival = Arrival { result, at: Instant::now() };
        match self.end {
            End::Own(sender) => drop(sender.try_send(arrival)),
            End::Shared(sender, number) => drop(sender.try_send(Numbered { number, arrival })),
        }
    }
}

/// Tokens of several commands whose results come through one channel.
#[derive(Debug)]
pub(crate) struct Wakes {
    sender: Sender<Numbered>,
    receiver: Receiver<Numbered>,
    next: usize,
}

impl Wakes {
    /// For so many commands: their results have room, so that nobody waits to hand one over.
    pub(crate) fn new(commands: usize) -> Self {
        let (sender, receiver) = bounded(commands.max(1));
        Self { sender, receiver, next: 0 }
    }

    /// The next token, if there is a slot for it. A number is used up either way.
    pub(crate) fn draw(&mut self, slot: Result<Slot, Error>) -> Result<Wake, Error> {
        let number = self.next;
        self.next += 1;
        Ok(Wake { end: End::Shared(self.sender.clone(), number), slot: Some(slot?) })
    }

    /// The next token, for a command that is no call.
    pub(crate) fn draw_free(&mut self) -> Wake {
        let number = self.next;
        self.next += 1;
        Wake { end: End::Shared(self.sender.clone(), number), slot: None }
    }

    /// The end that waits for them all.
    pub(crate) fn into_receiver(self) -> Receiver<Numbered> {
        self.receiver
    }
}

/// One of the calls that a node may have pending; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<AtomicUsize>);

impl Slot {
    /// Takes one of `limit` slots, if one is free.
    pub(crate) fn take(pending: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        if pending.fetch_add(1, Relaxed) >= limit {
            pending.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Self(Arc::clone(pending)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Why there is nothing to take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Nothing {
    /// Not yet.
    Late,
    /// Never: the loop has ended, or the result was taken before.
    Gone,
}

/// The result if it is there.
pub(crate) fn look<A>(receiver: &Receiver<A>) -> Result<A, Nothing> {
    receiver.try_recv().map_err(|error| match error {
        TryRecvError::Empty => Nothing::Late,
        TryRecvError::Disconnected => Nothing::Gone,
    })
}

/// The result, waiting for it until `deadline`.
pub(crate) fn wait<A>(receiver: &Receiver<A>, deadline: Instant) -> Result<A, Nothing> {
    match look(receiver) {
        Err(Nothing::Late) => {}
        found => return found,
    }
    let _waiting = service::waiting();
    let began = Instant::now();
    if let Some(found) = look_again(receiver, began) {
        return found;
    }
    let result = receiver.recv_deadline(deadline).map_err(|error| match error {
        RecvTimeoutError::Timeout => Nothing::Late,
        RecvTimeoutError::Disconnected => Nothing::Gone,
    });
    PATIENCE.with_borrow_mut(|patience| patience.parked(began.elapsed()));
    result
}

/// The error of a wait whose other end has vanished.
pub(crate) fn loop_is_gone() -> Error {
    Error::new(ErrorKind::Closed, "the node has stopped")
}

thread_local! {
    /// Whether it pays on this thread to look again before parking.
    static PATIENCE: RefCell<Patience> = RefCell::default();
}

/// Looks again for a moment, letting other threads run between two looks: on few cores it is they who bring the result.
fn look_again<A>(receiver: &Receiver<A>, began: Instant) -> Option<Result<A, Nothing>> {
    if !PATIENCE.with_borrow(Patience::looks) {
        return None;
    }
    while began.elapsed() < YIELD_BEFORE_PARK {
        thread::yield_now();
        match look(receiver) {
            Err(Nothing::Late) => {}
            found => {
                PATIENCE.with_borrow_mut(|patience| patience.paid(began.elapsed()));
                return Some(found);
            }
        }
    }
    PATIENCE.with_borrow_mut(|patience| patience.missed(began.elapsed()));
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_result_wakes_the_waiting_thread_and_frees_its_slot_first() {
        let _bound = crate::bound::bound();
        let pending = Arc::new(AtomicUsize::new(0));
        let (wake, receiver) = Wake::new(Slot::take(&pending, 1));
        assert!(Slot::take(&pending, 1).is_none());
        thread::scope(|scope| {
            scope.spawn(move || wake.complete(Ok(Done::Nothing)));
            let arrival = wait(&receiver, Instant::now() + Duration::from_secs(10));
            assert!(matches!(arrival.unwrap().result, Ok(Done::Nothing)));
            assert_eq!(pending.load(Relaxed), 0);
        });
    }

    #[test]
    fn a_token_that_is_dropped_ends_the_wait_and_frees_its_slot() {
        let _bound = crate::bound::bound();
        let pending = Arc::new(AtomicUsize::new(0));
        let (wake, receiver) = Wake::new(Slot::take(&pending, 1));
        drop(wake);
        let nothing = wait(&receiver, Instant::now() + Duration::from_secs(10)).unwrap_err();
        assert_eq!(nothing, Nothing::Gone);
        assert_eq!(pending.load(Relaxed), 0);
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_not_before() {
        let _bound = crate::bound::bound();
        let (_wake, receiver) = Wake::new(None);
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(wait(&receiver, deadline).unwrap_err(), Nothing::Late);
        assert!(Instant::now() >= deadline);
    }
}
