//! Name resolution, on a few threads of its own: the system's resolver may block for half a minute, and the loop waits for nobody.
//!
//! A numeric address needs no thread. The threads are started when there is something to ask, and never joined: one that hangs in the
//! system's resolver ends when that returns, and finds that nobody is interested any more.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::mailbox::Mailbox;
use crate::address::Address;
use crate::config::{RESOLVER_QUESTIONS, RESOLVER_THREADS};
use crate::proto::{Input, QueryId};

/// What the system makes of a name.
type Lookup = fn(&Address) -> io::Result<Vec<SocketAddr>>;

/// Addresses, or why there are none.
pub(crate) type Resolved = Result<Vec<SocketAddr>, String>;

/// Answers questions with [`Input::Resolved`] through the mailbox.
pub(crate) struct Resolver<T> {
    mailbox: Mailbox<Input<T>>,
    lookup: Lookup,
    questions: Sender<Question>,
    /// For the threads that are yet to be started.
    asked: Receiver<Question>,
    /// Questions that no thread has finished.
    open: Arc<AtomicUsize>,
    threads: usize,
}

#[derive(Debug)]
struct Question {
    query: QueryId,
    address: Address,
}

impl<T: Send + 'static> Resolver<T> {
    pub(crate) fn new(mailbox: Mailbox<Input<T>>) -> Self {
        Self::with_lookup(mailbox, system_lookup)
    }

    fn with_lookup(mailbox: Mailbox<Input<T>>, lookup: Lookup) -> Self {
        let (questions, asked) = bounded(RESOLVER_QUESTIONS);
        let open = Arc::new(AtomicUsize::new(0));
        Self { mailbox, lookup, questions, asked, open, threads: 0 }
    }

    /// Asks. Never blocks. What needs no thread, or finds no room, is answered here and now; the rest comes through the mailbox.
    pub(crate) fn ask(&mut self, query: QueryId, address: Address) -> Option<Resolved> {
        if let Some(addr) = address.numeric() {
            return Some(Ok(vec![addr]));
        }
        let open = self.open.fetch_add(1, Relaxed) + 1;
        if open > self.threads && self.threads < RESOLVER_THREADS {
            self.start_thread();
        }
        if self.threads > 0 && self.questions.try_send(Question { query, address }).is_ok() {
            return None;
        }
        self.open.fetch_sub(1, Relaxed);
        Some(Err("too many names are being resolved, try again later".into()))
    }

    fn start_thread(&mut self) {
        let (asked, mailbox) = (self.asked.clone(), self.mailbox.clone());
        let (open, lookup) = (self.open.clone(), self.lookup);
        let name = format!("threadmesh-names-{}", self.threads + 1);
        let work = move || answer(&asked, &mailbox, &open, lookup);
        match thread::Builder::new().name(name).spawn(work) {
            Ok(_never_joined) => self.threads += 1,
            Err(error) => {
                log::warn!(target: "threadmesh::net", "no thread to resolve names on: {error}");
            }
        }
    }
}

/// One thread's life: it ends when the resolver is dropped, or the loop has ended.
fn answer<T>(
    asked: &Receiver<Question>,
    mailbox: &Mailbox<Input<T>>,
    open: &AtomicUsize,
    lookup: Lookup,
) {
    for Question { query, address } in asked {
        let result = resolve(&address, lookup);
        open.fetch_sub(1, Relaxed);
        if mailbox.post(Input::Resolved { query, result }).is_err() {
            return;
        }
    }
}

fn resolve(address: &Address, lookup: Lookup) -> Resolved {
    match lookup(address) {
        Ok(addrs) if addrs.is_empty() => Err(format!("{} has no address", address.host())),
        Ok(addrs) => Ok(addrs),
        Err(error) => Err(format!("{} cannot be resolved: {error}", address.host())),
    }
}

fn system_lookup(address: &Address) -> io::Result<Vec<SocketAddr>> {
    Ok((address.host(), address.port()).to_socket_addrs()?.collect())
}

#[cfg(all(test, not(loom)))]
mod tests;
