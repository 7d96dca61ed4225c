//! Becoming a member of a mesh: the seeds are tried in turn, on the caller's thread, until one has said who the others are, or none is
//! there but this node itself.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::handle::Handle;
use crate::address::Address;
use crate::config::{DIAL_FIRST, DIAL_LONGEST, LONGEST_TIMEOUT};
use crate::error::{Error, ErrorKind};
use crate::id::NodeId;
use crate::proto::{Command, Done};

/// What became of [`Handle::join`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Joined {
    /// The seed that answered. `None` when this node is one of the seeds and no other is there: it is the first of its mesh, and
    /// connected to nobody yet.
    pub seed: Option<NodeId>,
    /// The other members that the seed named and that are connected now.
    pub reached: Vec<NodeId>,
    /// Those that the seed named and that could not be reached yet. They are dialled for a minute, and forgotten then. Seeds that did not
    /// answer are not among them: nobody knows their ids.
    pub unreached: Vec<NodeId>,
}

/// A seed, and how it last failed.
struct Seed {
    address: Address,
    cause: Option<Error>,
    /// It is this node.
    own: bool,
}

/// Being one of many.
impl Handle {
    /// Makes this node a member of a mesh, in which everybody is connected to everybody: asks the first of `seeds` that answers who the
    /// members are, and connects to all of them. When it returns, requests can be sent to the [`seed`](Joined::seed) and to all that were
    /// [`reached`](Joined::reached), and each of them has this node as a peer. The chapter [`guide::membership`](crate::guide::membership)
    /// tells the whole story.
    ///
    /// **Seeds** are addresses of members: one is enough, two or three survive the loss of one. Nothing need be done to be a seed: a node
    /// that listens becomes one by being asked.
    ///
    /// **Start order does not matter.** All nodes may have the same list. A node that finds its own address in it is a seed itself: when
    /// none of the others is there, it is the first of its mesh, and `join` returns at once with [`seed: None`](Joined::seed). A node that
    /// is in no list waits for a seed until its `connect_timeout` is over. Seeds that failed before one answered are dialled in the
    /// background from then on until they are [disconnected](Self::disconnect), and a seed that was lost and is back is asked again; so
    /// meshes that were apart find each other. Joining twice asks twice and finds everything there. Who needs somebody in particular waits
    /// for that: [`wait_for_peer`](Self::wait_for_peer), [`wait_for_service`](Self::wait_for_service).
    ///
    /// The members hear of this node only if it listens: [`bind`](Self::bind) first. A node that does not is connected to all members as
    /// a peer and is no member itself.
    ///
    /// A member that is lost is dialled again for a minute, whatever became of the seeds, and then forgotten, unless
    /// [`Reconnect`](crate::Reconnect) says never. One that [stops](Self::stop) or disconnects is forgotten at once; one that this
    /// node [disconnects](Self::disconnect) stays away until either of the two dials or this node joins again.
    ///
    /// Every member may make this node dial addresses of its choice, 4,096 at most and 64 at once: join meshes whose members you
    /// trust.
    ///
    /// # Errors
    /// `CONNECT_TIMEOUT` when no seed has answered and none is this node, with the last cause of each; nothing is left behind then that
    /// could join later. The same when a seed answers, but not with the members, until the time is over: it has another protocol, or this
    /// node's id. `INVALID_ARGUMENT` without seeds, `INVALID_ADDRESS`, `CLOSED`, `WOULD_DEADLOCK`.
    ///
    /// # Blocking
    /// At most for the node's `connect_timeout`: until a seed has answered, and every member it named has joined or its first dial has
    /// failed; or until each seed was tried once, if this node is one of them. A seed that is dialled in the background every 4 s is
    /// tried at once.
    ///
    /// # Example
    /// ```
    /// use threadmesh::Node;
    ///
    /// let first = Node::builder().id("first").bind("127.0.0.1:0").start()?;
    /// let seeds = [first.local_addr()?];
    /// let second = Node::builder().id("second").bind("127.0.0.1:0").start()?;
    /// let third = Node::builder().id("third").bind("127.0.0.1:0").start()?;
    /// second.join(seeds)?;
    /// let joined = third.join(seeds)?;
    /// assert_eq!(joined.seed.unwrap(), "first");
    /// assert_eq!(joined.reached, ["second"]);
    /// assert_eq!(second.peers().len(), 2);
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn join<I>(&self, seeds: I) -> Result<Joined, Error>
    where
        I: IntoIterator,
        I::Item: TryInto<Address>,
        Error: From<<I::Item as TryInto<Address>>::Error>,
    {
        let mut listed: Vec<Seed> = Vec::new();
        for seed in seeds {
            let address: Address = seed.try_into()?;
            if listed.iter().all(|seed| seed.address != address) {
                listed.push(Seed { address, cause: None, own: false });
            }
        }
        if listed.is_empty() {
            let why = "there is no seed; name the address of at least one member";
            return Err(Error::new(ErrorKind::InvalidArgument, why));
        }
        let timeout = self.core().config.connect_timeout.min(LONGEST_TIMEOUT);
        self.join_until(&mut listed, Instant::now() + timeout, timeout)
    }

    fn join_until(
        &self,
        seeds: &mut [Seed],
        deadline: Instant,
        timeout: Duration,
    ) -> Result<Joined, Error> {
        let mut pause = DIAL_FIRST;
        loop {
            if let Some(joined) = self.join_round(seeds, deadline)? {
                self.join_failed_later(seeds)?;
                return Ok(joined);
            }
            if is_first(seeds) {
                self.join_failed_later(seeds)?;
                return Ok(Joined { seed: None, reached: Vec::new(), unreached: Vec::new() });
            }
            let next = Instant::now() + pause;
            if next >= deadline {
                return Err(nobody(seeds, timeout));
            }
            if self.core().life.wait_begun_until(next).is_some() {
                return Err(self.core().closed());
            }
            pause = (pause * 2).min(DIAL_LONGEST);
        }
    }

    /// Tries each seed once, with an equal share of the time that is left.
    fn join_round(&self, seeds: &mut [Seed], deadline: Instant) -> Result<Option<Joined>, Error> {
        let mut left = seeds.iter().filter(|seed| !seed.own).count();
        for seed in seeds.iter_mut().filter(|seed| !seed.own) {
            let now = Instant::now();
            let time = deadline.saturating_duration_since(now);
            let share = time / u32::try_from(left).unwrap_or(u32::MAX);
            left -= 1;
            match self.join_by(&seed.address, now + share, deadline) {
                Ok(joined) => {
                    seed.cause = None;
                    return Ok(Some(joined));
                }
                Err(error) => match error.kind() {
                    ErrorKind::Closed | ErrorKind::WouldDeadlock => return Err(error),
                    // A seed that refuses this node may say so, too, but not in its name.
                    ErrorKind::InvalidAddress if error.peer() == Some(self.id()) => {
                        (seed.own, seed.cause) = (true, None);
                    }
                    _ => seed.cause = Some(error),
                },
            }
        }
        Ok(None)
    }

    fn join_by(
        &self,
        seed: &Address,
        answered_by: Instant,
        deadline: Instant,
    ) -> Result<Joined, Error> {
        let core = self.core();
        let bound = core.local_addr();
        // What this node says of itself may lead nowhere from here: many routers do not let their own address be dialled from inside.
        let own = bound.is_some() && seed.numeric() == bound;
        if own || core.advertise.as_ref() == Some(seed) {
            let error = Error::new(ErrorKind::InvalidAddress, "it is this node itself");
            return Err(error.with_peer(core.id.clone()));
        }
        let address = seed.clone();
        let join = |token| Command::Join { address, answered_by, deadline, token };
        match core.ask(deadline, join)? {
            Some(Done::Joined { seed, reached, unreached }) => {
                Ok(Joined { seed: Some(seed), reached, unreached })
            }
            Some(_) => Err(core.closed()),
            None => {
                let why = format!("{seed} has not answered in time");
                Err(Error::new(ErrorKind::ConnectTimeout, why))
            }
        }
    }

    /// Seeds that did not answer may do so another time.
    fn join_failed_later(&self, seeds: &[Seed]) -> Result<(), Error> {
        let latest = Instant::now() + self.core().config.connect_timeout;
        for seed in seeds.iter().filter(|seed| seed.cause.is_some()) {
            let address = seed.address.clone();
            self.core().ask(latest, |token| Command::JoinAlways { address, token })?;
        }
        Ok(())
    }
}

/// Whether this node is a seed, and none of the others is there. One that is there and refuses this node is no reason to go on without it.
fn is_first(seeds: &[Seed]) -> bool {
    let absent = |error: &Error| {
        use ErrorKind::{ConnectFailed, ConnectTimeout, HandshakeTimeout};
        matches!(error.kind(), ConnectFailed | ConnectTimeout | HandshakeTimeout)
    };
    seeds.iter().any(|seed| seed.own)
        && seeds.iter().all(|seed| seed.own || seed.cause.as_ref().is_some_and(absent))
}

/// Which seeds there were, and what became of each.
fn nobody(seeds: &[Seed], timeout: Duration) -> Error {
    let mut why = format!("no seed has answered within {timeout:?}:");
    for Seed { address, cause, own } in seeds {
        let cause = match cause {
            _ if *own => "is this node itself",
            Some(error) => error.message(),
            None => "was not tried",
        };
        // Most causes name the address themselves.
        let _ = if cause.contains(&address.to_string()) {
            write!(why, " {cause};")
        } else {
            write!(why, " {address}: {cause};")
        };
    }
    why.push_str(" is one of them running?");
    Error::new(ErrorKind::ConnectTimeout, why)
}
