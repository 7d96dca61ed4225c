//! The one address this node listens on. It must not know links, peers or members: what follows
//! there from listening, or from not listening any more, is for its caller to do.
//!
//! ```text
//! closed -> resolving -> opening -> open        (a numeric address goes to opening at once)
//!   ^           |           |        |
//!   +-----------+-----------+--------+          unbound, or the name or the port is not to be had
//! ```
//!
//! If it is unbound while opening, the result that is under way is stale: it is counted, and
//! skipped when it comes.

use std::fmt;
use std::net::SocketAddr;

use crate::address::Address;
use crate::error::{Error, ErrorKind};
use crate::id::NodeId;
use crate::proto::env::Env;
use crate::proto::{Done, Output, QueryId};

/// The addresses of a name, or why there are none.
pub(super) type Resolution = Result<Vec<SocketAddr>, String>;

/// The listener of a node.
#[derive(Debug)]
pub(super) struct Listener<T> {
    state: State<T>,
    /// Results of `Output::Listen` that are under way and mean nothing any more.
    stale: u32,
    /// The log has a warning that plaintext leaves this machine.
    warned: bool,
}

#[derive(Debug)]
enum State<T> {
    Closed,
    Resolving { query: QueryId, address: Address, waiters: Vec<T> },
    Opening { address: Address, waiters: Vec<T> },
    Open { address: Address, local: SocketAddr },
}

impl<T> Default for Listener<T> {
    fn default() -> Self {
        Self { state: State::Closed, stale: 0, warned: false }
    }
}

impl<T> Listener<T> {
    /// Begins to listen, waits with earlier callers for the same address, or refuses a second one.
    pub(super) fn bind(&mut self, env: &mut Env<T>, address: Address, token: T) {
        let same = |bound: &Address| *bound == address;
        match &mut self.state {
            State::Closed => self.begin(env, address, token),
            State::Resolving { address: bound, waiters, .. }
            | State::Opening { address: bound, waiters }
                if same(bound) =>
            {
                waiters.push(token);
            }
            State::Open { address: bound, local }
                if same(bound) || address.numeric() == Some(*local) =>
            {
                env.complete(token, Ok(Done::Listening(*local)));
            }
            State::Open { local, .. } => env.complete(token, already_bound(local)),
            State::Resolving { address: bound, .. } | State::Opening { address: bound, .. } => {
                env.complete(token, already_bound(bound));
            }
        }
    }

    fn begin(&mut self, env: &mut Env<T>, address: Address, token: T) {
        let waiters = vec![token];
        if let Some(addr) = address.numeric() {
            self.state = State::Opening { address, waiters };
            env.out.push(Output::Listen { addrs: vec![addr] });
            return;
        }
        let query = env.draw_query();
        env.out.push(Output::Resolve { query, address: address.clone() });
        self.state = State::Resolving { query, address, waiters };
    }

    /// Takes the addresses of the name to listen on. Returns them if they are those of another
    /// name.
    pub(super) fn resolved(
        &mut self,
        env: &mut Env<T>,
        query: QueryId,
        result: Resolution,
    ) -> Option<Resolution> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Resolving { query: ours, address, waiters } if ours == query => match result {
                Ok(addrs) => {
                    self.state = State::Opening { address, waiters };
                    env.out.push(Output::Listen { addrs });
                }
                Err(why) => refuse(env, waiters, &cannot_listen(&address, &why)),
            },
            other => {
                self.state = other;
                return Some(result);
            }
        }
        None
    }

    /// Takes the result of an `Output::Listen`. Returns whether this node listens from now on.
    pub(super) fn listening(
        &mut self,
        env: &mut Env<T>,
        result: Result<SocketAddr, String>,
    ) -> bool {
        if self.stale > 0 {
            self.stale -= 1;
            return false;
        }
        let State::Opening { address, waiters } = std::mem::replace(&mut self.state, State::Closed)
        else {
            debug_assert!(false, "each `Listen` has one result");
            return false;
        };
        match result {
            Ok(local) => {
                log::info!(target: "threadmesh::proto", "{} listens on {local}", env.local.id);
                (self.state, env.bound) = (State::Open { address, local }, Some(local));
                self.warn_of_plaintext(&env.local.id, local);
                for token in waiters {
                    env.complete(token, Ok(Done::Listening(local)));
                }
                true
            }
            Err(why) => {
                refuse(env, waiters, &cannot_listen(&address, &why));
                false
            }
        }
    }

    /// Stops listening, or trying to.
    pub(super) fn close(&mut self, env: &mut Env<T>) {
        let unbound = |address: &Address| {
            Error::new(ErrorKind::BindFailed, format!("{address} was unbound meanwhile"))
        };
        env.bound = None;
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Closed => {}
            State::Open { .. } => env.out.push(Output::Unlisten),
            State::Resolving { address, waiters, .. } => refuse(env, waiters, &unbound(&address)),
            State::Opening { address, waiters } => {
                // The result under way must not be taken for that of a later bind.
                self.stale += 1;
                env.out.push(Output::Unlisten);
                refuse(env, waiters, &unbound(&address));
            }
        }
    }

    /// Whether this node can be dialled.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Whether this node listens on that address, under its name or its number.
    pub(super) fn is_at(&self, address: &Address) -> bool {
        match &self.state {
            State::Open { address: bound, local } => {
                bound == address || address.numeric() == Some(*local)
            }
            State::Closed | State::Resolving { .. } | State::Opening { .. } => false,
        }
    }

    /// Warns once a node, at the first address beyond loopback, that traffic can be read.
    pub(super) fn warn_of_plaintext(&mut self, node: &NodeId, addr: SocketAddr) {
        if !addr.ip().is_loopback() && !std::mem::replace(&mut self.warned, true) {
            log::warn!(
                target: "threadmesh::proto",
                "{node} uses {addr} in plaintext: every host on that network can read and forge \
                 messages; keep it to a network you trust, or carry it through a tunnel",
            );
        }
    }

    /// Whether the log has that warning.
    #[cfg(test)]
    pub(super) fn has_warned(&self) -> bool {
        self.warned
    }
}

fn refuse<T>(env: &mut Env<T>, waiters: Vec<T>, error: &Error) {
    for token in waiters {
        env.complete(token, Err(error.clone()));
    }
}

fn cannot_listen(address: &Address, why: &str) -> Error {
    Error::new(ErrorKind::BindFailed, format!("cannot listen on {address}: {why}"))
}

fn already_bound(bound: &impl fmt::Display) -> Result<Done, Error> {
    let why =
        format!("this node listens on {bound} already; unbind it first, or start another node");
    Err(Error::new(ErrorKind::AlreadyBound, why))
}

#[cfg(test)]
mod tests;
