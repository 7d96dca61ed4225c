//! Being found: the one address this node listens on.

use std::fmt;
use std::net::SocketAddr;

use super::mesh::Mesh;
use super::{Done, Output, QueryId};
use crate::address::Address;
use crate::error::{Error, ErrorKind};
use crate::id::LinkId;
use crate::node_event::{Direction, LeftReason};
use crate::wire::Farewell;

#[derive(Debug)]
pub(super) enum Listener<T> {
    Closed,
    Resolving { query: QueryId, address: Address, waiters: Vec<T> },
    Opening { address: Address, waiters: Vec<T> },
    Open { address: Address, local: SocketAddr },
}

impl<T> Mesh<T> {
    pub(super) fn bind(&mut self, address: Address, token: T) {
        let same = |bound: &Address| *bound == address;
        match &mut self.listener {
            Listener::Closed => {}
            Listener::Resolving { address: bound, waiters, .. }
            | Listener::Opening { address: bound, waiters }
                if same(bound) =>
            {
                return waiters.push(token);
            }
            Listener::Open { address: bound, local }
                if same(bound) || address.numeric() == Some(*local) =>
            {
                let result = Ok(Done::Listening(*local));
                return self.env.out.push(Output::Complete { token, result });
            }
            Listener::Open { local, .. } => return self.env.complete(token, already_bound(local)),
            Listener::Resolving { address: bound, .. }
            | Listener::Opening { address: bound, .. } => {
                return self.env.complete(token, already_bound(bound));
            }
        }
        if let Some(addr) = address.numeric() {
            self.listener = Listener::Opening { address, waiters: vec![token] };
            return self.env.out.push(Output::Listen { addrs: vec![addr] });
        }
        let query = self.new_query();
        self.env.out.push(Output::Resolve { query, address: address.clone() });
        self.listener = Listener::Resolving { query, address, waiters: vec![token] };
    }

    /// Where the other end of this link, and others like it, can dial this node: what the program says, else where it listens. A node that
    /// listens everywhere is where the link reaches it.
    pub(super) fn advertised(&self, link: LinkId) -> Option<Address> {
        if let Some(address) = &self.env.local.advertise {
            return Some(address.clone());
        }
        let Listener::Open { local, .. } = &self.listener else { return None };
        if !local.ip().is_unspecified() {
            return Some(Address::from(*local));
        }
        let here = self.links.get(&link)?.local?.ip();
        Some(Address::from(SocketAddr::new(here, local.port())))
    }

    /// The same of a member, which is one only as long as it listens.
    pub(super) fn member_address(&self, link: LinkId) -> Option<Address> {
        matches!(self.listener, Listener::Open { .. }).then(|| self.advertised(link)).flatten()
    }

    /// The answer to a question that a dial or the listener asked.
    pub(super) fn resolved(&mut self, query: QueryId, result: Result<Vec<SocketAddr>, String>) {
        let ours =
            matches!(&self.listener, Listener::Resolving { query: asked, .. } if *asked == query);
        if !ours {
            return self.dial_resolved(query, result);
        }
        let Listener::Resolving { address, waiters, .. } =
            std::mem::replace(&mut self.listener, Listener::Closed)
        else {
            return;
        };
        self.listener = Listener::Opening { address, waiters };
        match result {
            Ok(addrs) => self.env.out.push(Output::Listen { addrs }),
            Err(why) => self.opened(Err(why)),
        }
    }

    pub(super) fn listening(&mut self, result: Result<SocketAddr, String>) {
        if self.stale_listens > 0 {
            self.stale_listens -= 1;
            return;
        }
        self.opened(result);
    }

    fn opened(&mut self, result: Result<SocketAddr, String>) {
        let Listener::Opening { address, waiters } =
            std::mem::replace(&mut self.listener, Listener::Closed)
        else {
            return;
        };
        match result {
            Ok(local) => {
                log::info!(target: "threadmesh::proto", "{} listens on {local}", self.env.local.id);
                self.listener = Listener::Open { address, local };
                self.warn_of_plaintext(local);
                self.say_listening();
                self.env.out.extend(
                    waiters.into_iter().map(|token| Output::Complete {
                        token,
                        result: Ok(Done::Listening(local)),
                    }),
                );
            }
            Err(why) => {
                let error =
                    Error::new(ErrorKind::BindFailed, format!("cannot listen on {address}: {why}"));
                self.env.out.extend(
                    waiters
                        .into_iter()
                        .map(|token| Output::Complete { token, result: Err(error.clone()) }),
                );
            }
        }
    }

    /// Told once a node, at the first address beyond loopback: nobody should learn from a capture that it is readable.
    pub(super) fn warn_of_plaintext(&mut self, addr: SocketAddr) {
        if !addr.ip().is_loopback() && !std::mem::replace(&mut self.warned, true) {
            log::warn!(
                target: "threadmesh::proto",
                "{} uses {addr} in plaintext: whoever is on that network can read and forge messages; keep it to a network you \
                 trust, or carry it through a tunnel",
                self.env.local.id
            );
        }
    }

    pub(super) fn unbind(&mut self, token: T) {
        self.close_listener();
        let down: Vec<LinkId> = self
            .links
            .values()
            .filter(|link| link.direction == Direction::Down)
            .map(|link| link.id)
            .collect();
        for id in down {
            self.say_goodbye(id, Farewell::Disconnect, LeftReason::Disconnected);
        }
        self.say_listening();
        self.env.out.push(Output::Complete { token, result: Ok(Done::Nothing) });
    }

    pub(super) fn close_listener(&mut self) {
        match std::mem::replace(&mut self.listener, Listener::Closed) {
            Listener::Closed => {}
            Listener::Open { .. } => self.env.out.push(Output::Unlisten),
            opening @ (Listener::Resolving { .. } | Listener::Opening { .. }) => {
                self.stop_opening(opening);
            }
        }
    }

    fn stop_opening(&mut self, opening: Listener<T>) {
        if matches!(opening, Listener::Opening { .. }) {
            // The answer under way must not be taken for that to a later question.
            self.stale_listens += 1;
            self.env.out.push(Output::Unlisten);
        }
        match opening {
            Listener::Closed | Listener::Open { .. } => {}
            Listener::Resolving { address, waiters, .. }
            | Listener::Opening { address, waiters } => {
                let error =
                    Error::new(ErrorKind::BindFailed, format!("{address} was unbound meanwhile"));
                self.env.out.extend(
                    waiters
                        .into_iter()
                        .map(|token| Output::Complete { token, result: Err(error.clone()) }),
                );
            }
        }
    }
}

fn already_bound(bound: &impl fmt::Display) -> Result<Done, Error> {
    let why =
        format!("this node listens on {bound} already; unbind it first, or start another node");
    Err(Error::new(ErrorKind::AlreadyBound, why))
}
