//! The mailbox: the one bounded channel by which all threads reach the loop, and the doorbell that wakes it.
//!
//! Send first, ring after. What one thread posts arrives in the order in which it was posted. Full means waiting: the loop always drains, so
//! the wait is short, and it ends when the loop does. The loop itself must not post.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};
use mio::Waker;

use super::doorbell::Doorbell;

/// Makes a mailbox for so many messages. `waker` wakes the loop that reads the other end.
pub(crate) fn mailbox<M>(capacity: usize, waker: Waker) -> (Mailbox<M>, Intake<M>) {
    let (sender, receiver) = bounded(capacity);
    let bell = Arc::new(Bell { doorbell: Doorbell::new(), waker });
    (Mailbox { sender, bell: bell.clone() }, Intake { receiver, bell })
}

/// Where threads post. Cheap to clone, one clone a thread or shared.
pub(crate) struct Mailbox<M> {
    sender: Sender<M>,
    bell: Arc<Bell>,
}

/// The loop's end of the mailbox. When it is dropped, posts fail.
pub(crate) struct Intake<M> {
    receiver: Receiver<M>,
    bell: Arc<Bell>,
}

struct Bell {
    doorbell: Doorbell,
    waker: Waker,
}

/// The loop has ended; here is the message back.
pub(crate) struct Closed<M>(pub(crate) M);

/// Why a message was not posted in time; here it is back.
pub(crate) enum Unposted<M> {
    /// The loop has ended.
    Closed(M),
    /// There was no room until the deadline.
    Full(M),
}

impl<M> Mailbox<M> {
    /// Posts one message. Blocks while the mailbox is full.
    pub(crate) fn post(&self, message: M) -> Result<(), Closed<M>> {
        self.send(message)?;
        self.bell.ring();
        Ok(())
    }

    /// Posts one message. Blocks while the mailbox is full, at most until `deadline`, which is asked for only then.
    pub(crate) fn post_deadline(
        &self,
        message: M,
        deadline: impl FnOnce() -> Instant,
    ) -> Result<(), Unposted<M>> {
        let full = match self.sender.try_send(message) {
            Ok(()) => {
                self.bell.ring();
                return Ok(());
            }
            Err(TrySendError::Disconnected(message)) => return Err(Unposted::Closed(message)),
            Err(TrySendError::Full(message)) => message,
        };
        self.bell.ring();
        self.sender.send_deadline(full, deadline()).map_err(|error| match error {
            SendTimeoutError::Timeout(message) => Unposted::Full(message),
            SendTimeoutError::Disconnected(message) => Unposted::Closed(message),
        })?;
        self.bell.ring();
        Ok(())
    }

    /// Posts several messages in their order and rings once. Blocks while the mailbox is full. Those after the one that comes back
    /// are dropped unposted.
    pub(crate) fn post_all(&self, messages: impl IntoIterator<Item = M>) -> Result<(), Closed<M>> {
        let result = messages.into_iter().try_for_each(|message| self.send(message));
        self.bell.ring();
        result
    }

    /// Sends without ringing, unless the mailbox is full: then the loop may be parked on what this thread has sent before.
    fn send(&self, message: M) -> Result<(), Closed<M>> {
        match self.sender.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(message)) => Err(Closed(message)),
            Err(TrySendError::Full(message)) => {
                self.bell.ring();
                self.sender.send(message).map_err(|error| Closed(error.0))
            }
        }
    }
}

impl<M> Intake<M> {
    /// The oldest message, if there is one.
    pub(crate) fn take(&self) -> Option<M> {
        self.receiver.try_recv().ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// Arms the doorbell. Only if this says so may the loop park.
    pub(crate) fn arm(&self) -> bool {
        self.bell.doorbell.arm();
        self.receiver.is_empty()
    }

    /// The loop is awake again.
    pub(crate) fn disarm(&self) {
        self.bell.doorbell.disarm();
    }
}

impl Bell {
    fn ring(&self) {
        if self.doorbell.ring() {
            // Waking writes to a descriptor of our own, which fails only when the system is out of memory.
            if let Err(error) = self.waker.wake() {
                log::error!(target: "threadmesh::net", "the loop cannot be woken: {error}");
            }
        }
    }
}

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), bell: self.bell.clone() }
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({} waiting)", self.sender.len())
    }
}

impl<M> fmt::Debug for Closed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed")
    }
}

impl<M> fmt::Debug for Unposted<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unposted::Closed(_) => "Closed",
            Unposted::Full(_) => "Full",
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
