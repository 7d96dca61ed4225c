//! The verbs of a [`Handle`] that send: each a short form of a [`Call`] with nothing set. It must not do anything by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::Call;
use super::handle::Handle;
use super::pending::{Pending, Reply};
use super::wake::Wake;
use crate::config::LONGEST_TIMEOUT;
use crate::endpoint::IntoEvent;
use crate::error::{Error, ErrorKind};
use crate::payload::{Decode, Encode};
use crate::proto::Command;
use crate::routing::PeerEntry;

/// Calls. Each is a short form of [`to`](Handle::to) with nothing set. The event is a text, or an [`Endpoint`](crate::Endpoint) that
/// fixes the types of data and answer; a type that is not inferred stands first: `request::<u64, _, _>(…)`.
impl Handle {
    /// Puts a call to one peer together: with a timeout, with headers.
    pub fn to<'a>(&'a self, id: &'a (impl AsRef<str> + ?Sized)) -> Call<'a> {
        Call::new(self, id.as_ref())
    }

    /// Sends a request to a peer, waits for the answer and decodes it.
    ///
    /// # Errors
    /// Those of [`Call::request`].
    ///
    /// # Blocking
    /// Until the answer, at most for the node's `request_timeout` (10 s).
    pub fn request<T: Decode, D: Encode + ?Sized>(
        &self,
        id: impl AsRef<str>,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<T, Error> {
        self.to(&id).request(event, data)
    }

    /// The same as [`request`](Self::request), and says who answered and how long it took.
    ///
    /// # Errors
    /// Those of [`Call::request`].
    ///
    /// # Blocking
    /// As [`request`](Self::request).
    pub fn request_reply<T: Decode, D: Encode + ?Sized>(
        &self,
        id: impl AsRef<str>,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<Reply<T>, Error> {
        self.to(&id).request_reply(event, data)
    }

    /// Sends a request to a peer without waiting for the answer. Its time runs from now.
    ///
    /// # Errors
    /// Those of [`Call::start`].
    ///
    /// # Blocking
    /// As [`Call::start`].
    pub fn start<T: Decode, D: Encode + ?Sized>(
        &self,
        id: impl AsRef<str>,
        event: impl IntoEvent<D, T>,
        data: &D,
    ) -> Result<Pending<T>, Error> {
        self.to(&id).start(event, data)
    }

    /// Sends one tick to a peer: fire and forget.
    ///
    /// # Errors
    /// Those of [`Call::tick`].
    ///
    /// # Blocking
    /// As [`Call::tick`].
    pub fn tick<D: Encode + ?Sized>(
        &self,
        id: impl AsRef<str>,
        event: impl IntoEvent<D, ()>,
        data: &D,
    ) -> Result<(), Error> {
        self.to(&id).tick(event, data)
    }
}

/// Ticks that are on their way.
impl Handle {
    /// Waits until the handlers of a peer are done with every tick that this node has accepted for it so far. Ticks that are
    /// sent meanwhile are not waited for.
    ///
    /// # Errors
    /// `NODE_NOT_FOUND` when it is not connected: what it had not confirmed was reported in [`NodeEvent::Undelivered`].
    /// `REQUEST_TIMEOUT` says how many it has not confirmed. After that one, `CONNECTION_LOST` and `CLOSED`, those ticks may
    /// have run. `WOULD_DEADLOCK`.
    ///
    /// # Blocking
    /// At most for `timeout` and 5 ms. A receiver that is never done with all it has reports at a quarter of the window, or
    /// with its next heartbeat (2 s).
    pub fn flush(&self, id: impl AsRef<str>, timeout: Duration) -> Result<(), Error> {
        self.core().may_block()?;
        let peer = self.core().find(id.as_ref())?.peer;
        self.flush_peers([&peer], timeout)
    }

    /// The same as [`flush`](Self::flush) for all peers that are connected now, at once. Fine when there are none.
    ///
    /// # Errors
    /// That of the first peer, in join order, which does not confirm everything. What became of the others is not known then.
    ///
    /// # Blocking
    /// At most for `timeout` and 5 ms.
    pub fn flush_all(&self, timeout: Duration) -> Result<(), Error> {
        self.core().may_block()?;
        self.flush_peers(self.core().directory().iter(), timeout)
    }

    fn flush_peers<'a>(
        &self,
        peers: impl IntoIterator<Item = &'a Arc<PeerEntry>>,
        timeout: Duration,
    ) -> Result<(), Error> {
        let began = Instant::now();
        let deadline = began.checked_add(timeout.min(LONGEST_TIMEOUT)).unwrap_or(began);
        let asked = peers.into_iter().map(|peer| {
            let (token, receiver) = Wake::new(None);
            self.core().post(Command::Flush { peer: peer.key, deadline, token }, deadline)?;
            Ok((peer.id.clone(), receiver))
        });
        let asked: Vec<_> = asked.collect::<Result<_, Error>>()?;
        asked.into_iter().try_for_each(|(id, receiver)| {
            let late = || {
                let why = format!("{id} was not known to have confirmed all ticks in time");
                Err(Error::new(ErrorKind::RequestTimeout, why).with_peer(id))
            };
            self.core().done(&receiver, deadline).unwrap_or_else(late).map(|_done| ())
        })
    }
}
