//! [`Router`]: a node that forwards what others cannot place, and what it has counted. How it forwards stands in `proto/relay.rs`.

use std::ops::Deref;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::node::{Builder, Node};
use crate::proto::RouterRole;
use crate::routing_stats::RoutingStats;

/// A node that forwards what its peers cannot place themselves, so that they need not have a link with each other. It does all that a
/// [`Node`] does, and derefs to one. Its options always say `router: true`, by which peers know it.
///
/// **What it forwards.** Calls to [any](crate::Handle::any) for which the caller has no match among its own peers, and what says
/// [`via_router`](crate::Call::via_router): calls by id and by path. It places a message with one of its own peers, chosen by its own
/// [`strategy`](Builder::strategy), else it asks the routers that it has a link with. On its way a message passes 8 routers at most and is
/// shown to none of them twice, so rings of routers do no harm. When nobody is found the caller hears it at once.
///
/// **What it never does.** It decodes no payload, runs no code of the caller, and holds no thread while a message is on its way. It is never
/// the end of a forwarded message, nor does one come back to the node that sent it. To be asked itself it has to be a peer, like any node.
///
/// **Whom to trust.** Every link is a matter of the two at its ends. A router tells the handler who asked first
/// ([`Request::origin`](crate::Request::origin)), and the handler has only the router's word for it: link only with routers that you trust to say so, and to read what
/// they pass on.
///
/// # Example
/// ```
/// use threadmesh::{Node, Request, Router, filter, options};
///
/// let router = Router::builder().id("main-router").bind("127.0.0.1:0").start()?;
/// let auth = Node::builder()
///     .id("auth-service")
///     .options(options! { "role": "auth" })
///     .on_request("auth:login", |login: Request<String>| Ok(format!("a token for {}", login.data)))
///     .start()?;
/// auth.connect(router.local_addr()?)?;
///
/// // The client knows the router and nobody else.
/// let client = Node::builder().id("api-client").start()?;
/// client.connect(router.local_addr()?)?;
/// let reply = client.any(filter! { "role": "auth" }).request_reply::<String, _>("auth:login", "john")?;
/// assert_eq!(reply.value, "a token for john");
/// assert_eq!((reply.handled_by.as_str(), reply.via.unwrap().as_str()), ("auth-service", "main-router"));
/// assert_eq!(router.routing_stats()?.proxy_requests.successful, 1);
/// # Ok::<(), threadmesh::Error>(())
/// ```
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
    /// `CLOSED` after the end; `WOULD_DEADLOCK` on a loop thread; `REQUEST_TIMEOUT` when the loop is so late that it does not answer.
    ///
    /// # Blocking
    /// For a turn of the loop; at most for the node's `request_timeout`.
    pub fn routing_stats(&self) -> Result<RoutingStats, Error> {
        self.node.routing_stats(false)
    }

    /// Counts from zero again; the uptime as well. What is under way is counted when it ends.
    ///
    /// # Errors
    /// Those of [`routing_stats`](Self::routing_stats). After `REQUEST_TIMEOUT` it may happen yet.
    ///
    /// # Blocking
    /// As [`routing_stats`](Self::routing_stats).
    pub fn reset_routing_stats(&self) -> Result<(), Error> {
        self.node.routing_stats(true).map(drop)
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
