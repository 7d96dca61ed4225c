//! The node itself among those that its calls by path may go to, and how one is reached that is not connected yet.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::by_path::PathCall;
use super::call::Call;
use super::core::Core;
use super::handle::Handle;
use super::lock;
use super::wake::{self, Arrival, Nothing, Numbered, Wakes};
use crate::address::Address;
use crate::config::CALLER_GRACE;
use crate::error::{Error, ErrorKind, Execution};
use crate::id::NodeId;
use crate::node_event::Directions;
use crate::proto::{Command, ConnectMode, Done};
use crate::routing::{FirstFind, PathTable, PeerEntry, SendStrategy};

impl Core {
    /// The node itself as it is now, whatever the loop knows of it: what was registered a moment ago is served.
    pub(super) fn own_entry(&self) -> Arc<PeerEntry> {
        let (options, services) = (self.options(), self.service.services());
        // What listens on all addresses does not say at which of them it is reached.
        let bound = self.local_addr().filter(|bound| !bound.ip().is_unspecified());
        let address = self.advertise.clone().or_else(|| bound.map(Address::from));
        let mut own = lock(&self.own);
        let same =
            own.options.is_same(&options) && own.services == services && own.address == address;
        if !same {
            let host = match (&self.host, &address) {
                (Some(name), _) => name.as_str().into(),
                (None, Some(address)) => address.host().into(),
                (None, None) => "".into(),
            };
            let before = PeerEntry::clone(&own);
            *own = Arc::new(PeerEntry { options, services, address, host, ..before });
        }
        Arc::clone(&own)
    }

    /// What a send strategy sees now. Limited directions leave the node itself out: it stands in none. A forked child sees nobody, and takes
    /// no lock.
    pub(super) fn path_table(&self, directions: Directions, except: &[NodeId]) -> PathTable {
        let is_meant = directions == Directions::BOTH && !except.contains(&self.id);
        let is_meant = is_meant && self.at_home().is_ok();
        let own = is_meant.then(|| self.own_entry());
        let seed = fastrand::u64(..);
        PathTable::new(own, self.directory(), directions, except.into(), Instant::now(), seed)
    }

    /// How calls by path choose that do not say so.
    pub(super) fn send_strategy(&self) -> Arc<dyn SendStrategy> {
        Arc::clone(&self.send_strategy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes this the default, if it still may be one.
    fn replace_send_strategy(
        &self,
        strategy: Arc<dyn SendStrategy>,
        may: impl FnOnce(&Self) -> bool,
    ) -> bool {
        let mut default = self.send_strategy.write().unwrap_or_else(PoisonError::into_inner);
        let may = may(self);
        let before = if may { std::mem::replace(&mut *default, strategy) } else { strategy };
        // The program's code, which may do anything when it is dropped.
        drop(default);
        drop(before);
        may
    }

    /// The node has stopped. What the program gave may keep a handle of the node, which would keep it in turn.
    pub(super) fn forget_send_strategy(&self) {
        self.replace_send_strategy(Arc::new(FirstFind), |_| true);
    }

    /// Dials these addresses once. Who is there is told one by one, as they are found, and not in their order.
    pub(super) fn reach(
        &self,
        addresses: Vec<Address>,
        until: Instant,
        mut found: impl FnMut(usize, Result<Arc<PeerEntry>, Error>),
    ) {
        let (mut wakes, mut dialled) = (Wakes::new(addresses.len()), Vec::new());
        for (at, address) in addresses.into_iter().enumerate() {
            let (token, mode) = (wakes.draw_free(), ConnectMode::Passing);
            let shown = address.to_string();
            let dial = Command::Connect { address, mode, deadline: until, token };
            match self.post(dial, until) {
                Ok(()) => dialled.push(Some((at, shown))),
                Err(error) => {
                    dialled.push(None);
                    found(at, Err(error));
                }
            }
        }
        let latest = until.checked_add(CALLER_GRACE).unwrap_or(until);
        let receiver = wakes.into_receiver();
        while dialled.iter().any(Option::is_some) {
            let Numbered { number, arrival } = match wake::wait(&receiver, latest) {
                Ok(numbered) => numbered,
                Err(Nothing::Late) => break,
                Err(Nothing::Gone) => {
                    for (at, _) in dialled.into_iter().flatten() {
                        found(at, Err(self.closed()));
                    }
                    return;
                }
            };
            if let Some((at, shown)) = dialled.get_mut(number).and_then(Option::take) {
                found(at, self.reached(arrival, &shown));
            }
        }
        for (at, shown) in dialled.into_iter().flatten() {
            let why = format!("no connection to {shown} before the deadline of the call");
            found(at, Err(Error::new(ErrorKind::ConnectTimeout, why)));
        }
    }

    /// Who is at that address as far as is known: the node itself, or a peer that says so or whose link leads there.
    pub(super) fn known_at(&self, address: &Address) -> Option<Arc<PeerEntry>> {
        let own = self.own_entry();
        let numeric = address.numeric();
        let is_bound = numeric.is_some() && numeric == self.local_addr();
        if is_bound || own.address.as_ref() == Some(address) {
            return Some(own);
        }
        let is_there = |peer: &&Arc<PeerEntry>| {
            let mut links = peer.up.iter().chain(&peer.down);
            peer.address.as_ref() == Some(address)
                || numeric.is_some_and(|addr| links.any(|link| link.remote == addr))
        };
        self.directory().iter().find(is_there).cloned()
    }

    fn reached(&self, arrival: Arrival, shown: &str) -> Result<Arc<PeerEntry>, Error> {
        match arrival.result {
            Ok(Done::Connected(peer)) => {
                let entry = self.directory().get(peer.id.as_str()).cloned();
                entry.ok_or_else(|| {
                    let why = format!("{} at {shown} was connected and has left again", peer.id);
                    let error = Error::new(ErrorKind::ConnectionLost, why).with_peer(peer.id);
                    error.with_execution(Execution::Never)
                })
            }
            Ok(_) => Err(self.closed()),
            Err(error) if error.peer() == Some(&self.id) => Ok(self.own_entry()),
            Err(error) => Err(error.with_execution(Execution::Never)),
        }
    }
}

/// What calls by path choose from, and how.
impl Handle {
    /// Prepares a call to whoever serves this path: `math/add`, `/math/add` and `/math//add/` are the same, and a whole segment `*` stands for
    /// any one segment. It may be this node itself that serves it. Nothing is sent yet, and a path that is none is refused when the call is sent:
    /// [`PathCall`] has the whole rule.
    ///
    /// # Example
    /// ```
    /// use threadmesh::{Node, Request};
    ///
    /// let node = Node::builder().start()?;
    /// node.register("add", |request: Request<(i64, i64)>| Ok(request.data.0 + request.data.1))?;
    /// assert_eq!(node.call("add").request::<i64>(&(1, 7))?, 8);
    ///
    /// let nobody = node.call("/sub").request::<i64>(&(1, 7)).unwrap_err();
    /// assert_eq!(nobody.code(), "NOT_FOUND");
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn call(&self, path: impl AsRef<str>) -> PathCall<'_> {
        PathCall::new(self, path.as_ref())
    }

    /// Prepares calls by path whose path is the event of each request: what a policy is put around, and a tick in a batch.
    ///
    /// A [`Call`] is for one, so a strategy that means many is `INVALID_ARGUMENT` when it is sent, and nothing is. Its verbs that
    /// try, such as [`try_start`](Call::try_start), do not dial: there an address that is not connected is `NODE_NOT_FOUND`. The others do, as
    /// [`PathCall::start`] and [`PathCall::tick`] say.
    ///
    /// # Example
    /// ```
    /// use threadmesh::{Node, Request, Retry, RoundRobin, Target};
    ///
    /// let node = Node::builder().start()?;
    /// node.register("/math/mul", |request: Request<(i64, i64)>| Ok(request.data.0 * request.data.1))?;
    ///
    /// let by_turns = node.by_path(RoundRobin::new()).retry(&Retry::new().attempts(3));
    /// assert_eq!(by_turns.request::<i64, _>("/math/*", &(2, 3))?, 6);
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn by_path(&self, strategy: impl SendStrategy + 'static) -> Call<'_> {
        Call::by_path(self, Arc::new(strategy))
    }

    /// All nodes that a call by path may go to, this one first, and the paths they serve: what a [`SendStrategy`] would see now. As text it
    /// is a picture for people.
    ///
    /// # Example
    /// ```
    /// use threadmesh::{Node, Request};
    ///
    /// let node = Node::builder().id("math").host("here").start()?;
    /// node.register("add", |request: Request<(i64, i64)>| Ok(request.data.0 + request.data.1))?;
    /// node.register("math/mul", |request: Request<(i64, i64)>| Ok(request.data.0 * request.data.1))?;
    /// println!("{}", node.path_table());
    ///
    /// let table = node.path_table();
    /// let own = table.own().unwrap();
    /// assert_eq!(own.paths().iter().collect::<Vec<_>>(), ["/add", "/math/mul"]);
    /// assert_eq!(own.first_match(&"/math/*".parse()?).unwrap(), "/math/mul");
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn path_table(&self) -> PathTable {
        self.core().path_table(Directions::BOTH, &[])
    }

    /// Makes this the strategy of all calls by path that name none, from now on: calls that are under way go on as they began, but for those
    /// that still [wait for a match](PathCall::wait_for_match), which ask this one next. The node lets go of it when it has stopped.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when it cannot be a default, as [`SendToTarget`](crate::SendToTarget); `USER_CODE_PANICKED`; `CLOSED`. Nothing is changed then.
    pub fn set_send_strategy(&self, strategy: impl SendStrategy + 'static) -> Result<(), Error> {
        self.core().open()?;
        check_default(&strategy)?;
        if self.core().replace_send_strategy(Arc::new(strategy), |core| !core.life.is_closed()) {
            self.core().news.tell();
            return Ok(());
        }
        Err(self.core().closed())
    }
}

/// Whether a strategy may be the default of a node, as it says itself.
pub(super) fn check_default(strategy: &impl SendStrategy) -> Result<(), Error> {
    let checked = catch_unwind(AssertUnwindSafe(|| strategy.check_default()));
    checked.unwrap_or_else(|_| {
        let why = "the send strategy panicked when it was asked whether it may be a default";
        Err(Error::new(ErrorKind::UserCodePanicked, why))
    })
}
