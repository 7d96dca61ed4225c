//! [`Builder`]: what a node is before it starts. It checks everything and starts nothing until it is told to.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::check::{check, check_host};
use super::core::Strategies;
use super::handle::Handle;
use super::names::random_id;
use super::own::check_default;
use super::owner::Node;
use super::runtime;
use crate::address::Address;
use crate::config::{Config, Limits, Reconnect};
use crate::error::Error;
use crate::handler_error::HandlerError;
use crate::id::{InstanceId, NodeId};
use crate::options::Options;
use crate::payload::Decode;
use crate::proto::{Local, RouterRole};
use crate::routing::{FirstFind, Path, SendStrategy, Strategy};
use crate::service::{Finish, IntoPath, IntoPattern, Pattern, Request, Respond, Tick};

/// A node that is being put together, made by [`Node::builder`]; or a router, made by [`Router::builder`](crate::Router::builder), for
/// which everything here holds likewise. What is wrong with any part is said by [`start`](Self::start).
///
/// # Example
/// ```
/// use std::time::Duration;
/// use threadmesh::{Node, Request, options};
///
/// let node = Node::builder()
///     .id("users")
///     .options(options! { "role": "api" })
///     .request_timeout(Duration::from_secs(2))
///     .on_request("ping", |_: Request<()>| Ok("pong"))
///     .bind("127.0.0.1:0")
///     .start()?;
/// assert_eq!(node.options().get_str("_id"), Some("users"));
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[must_use = "a node does nothing until it is started"]
pub struct Builder<K = Node> {
    id: Option<String>,
    options: Options,
    config: Config,
    host: Option<String>,
    advertise: Option<Address>,
    strategy: Option<Arc<dyn Strategy>>,
    send_strategy: Option<Arc<dyn SendStrategy>>,
    binds: Vec<Address>,
    connects: Vec<Address>,
    handlers: Vec<Register>,
    /// The first thing that was wrong.
    wrong: Option<Error>,
    /// What it is for routers; `None` makes a node that is none.
    pub(crate) role: Option<RouterRole>,
    kind: PhantomData<fn() -> K>,
}

/// Registers one handler.
type Register = Box<dyn FnOnce(&Handle) -> Result<(), Error> + Send>;

impl<K> Builder<K> {
    pub(crate) fn new() -> Self {
        Self {
            id: None,
            options: Options::default(),
            config: Config::default(),
            host: None,
            advertise: None,
            strategy: None,
            send_strategy: None,
            binds: Vec::new(),
            connects: Vec::new(),
            handlers: Vec::new(),
            wrong: None,
            role: None,
            kind: PhantomData,
        }
    }

    /// How calls to any of several peers choose one, unless they say so themselves ([`Call::strategy`](crate::Call::strategy)). Without this
    /// it is [`Random`](crate::Random).
    ///
    /// A router chooses by it also for those who ask it, on one of its workers.
    pub fn strategy(mut self, strategy: impl Strategy + 'static) -> Self {
        self.strategy = Some(Arc::new(strategy));
        self
    }

    /// How calls by path choose, unless they say so themselves ([`PathCall::by`](crate::PathCall::by)); it can be changed while the node
    /// runs ([`Handle::set_send_strategy`]). Without this it is [`FirstFind`]. What cannot be a default is
    /// `INVALID_ARGUMENT`, and what panics when it is asked whether it can `USER_CODE_PANICKED`.
    pub fn send_strategy(mut self, strategy: impl SendStrategy + 'static) -> Self {
        if let Err(error) = check_default(&strategy) {
            self.wrong.get_or_insert(error);
        }
        self.send_strategy = Some(Arc::new(strategy));
        self
    }

    /// The node's id: 1 to 128 bytes without control characters. Without this it is random and readable.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The options that peers see and choose by. The key `_id` is set to the node's id.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Listens on this address before [`start`](Self::start) returns: `host:port`, `tcp://host:port` or a
    /// [`SocketAddr`](std::net::SocketAddr); port 0 draws one.
    pub fn bind<A>(mut self, address: A) -> Self
    where
        A: TryInto<Address>,
        Error: From<A::Error>,
    {
        if let Some(address) = self.accept(address) {
            self.binds.push(address);
        }
        self
    }

    /// Dials this address in the background from the start on, as
    /// [`connect_always`](Handle::connect_always). May be repeated.
    pub fn connect<A>(mut self, address: A) -> Self
    where
        A: TryInto<Address>,
        Error: From<A::Error>,
    {
        if let Some(address) = self.accept(address) {
            self.connects.push(address);
        }
        self
    }

    /// The name of the machine, as peers are told: at most 255 bytes. Without this they go by the IP address. Nodes that say the same name
    /// are on one host for [`BroadcastLocal`](crate::BroadcastLocal); it is believed, not checked.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.host = Some(name.into());
        self
    }

    /// Where other nodes can dial this one, if that is not the address it is bound to. Every peer is told; but only a node that is
    /// [bound](Self::bind) is a member of a mesh, which others are sent to dial.
    pub fn advertise<A>(mut self, address: A) -> Self
    where
        A: TryInto<Address>,
        Error: From<A::Error>,
    {
        self.advertise = self.accept(address);
        self
    }

    /// A request handler that is there before the first message: see [`Handle::on_request`].
    pub fn on_request<P, T, A, F>(mut self, pattern: P, handler: F) -> Self
    where
        P: IntoPattern<T, A::Answer>,
        T: Decode,
        A: Respond,
        F: Fn(Request<T>) -> A + Send + Sync + 'static,
    {
        if let Some(pattern) = self.accept::<_, Pattern>(pattern) {
            self.handlers.push(Box::new(|node| node.on_request(pattern, handler).map(drop)));
        }
        self
    }

    /// A service that is there before the first message: see [`Handle::register`].
    pub fn register<P, T, A, F>(mut self, path: P, handler: F) -> Self
    where
        P: IntoPath<T, A::Answer>,
        T: Decode,
        A: Respond,
        F: Fn(Request<T>) -> A + Send + Sync + 'static,
    {
        if let Some(path) = self.accept::<_, Path>(path) {
            self.handlers.push(Box::new(|node| node.register(path, handler).map(drop)));
        }
        self
    }

    /// An error handler that is there before the first message: see [`Handle::on_error`].
    pub fn on_error<P, T, A, F>(mut self, pattern: P, handler: F) -> Self
    where
        P: IntoPattern<T, A::Answer>,
        T: Decode,
        A: Respond,
        F: Fn(HandlerError, Request<T>) -> A + Send + Sync + 'static,
    {
        if let Some(pattern) = self.accept::<_, Pattern>(pattern) {
            self.handlers.push(Box::new(|node| node.on_error(pattern, handler).map(drop)));
        }
        self
    }

    /// A tick handler that is there before the first message: see [`Handle::on_tick`].
    pub fn on_tick<P, T, A, F>(mut self, pattern: P, handler: F) -> Self
    where
        P: IntoPattern<T, ()>,
        T: Decode,
        A: Finish,
        F: Fn(Tick<T>) -> A + Send + Sync + 'static,
    {
        if let Some(pattern) = self.accept::<_, Pattern>(pattern) {
            self.handlers.push(Box::new(|node| node.on_tick(pattern, handler).map(drop)));
        }
        self
    }

    /// Replaces the whole configuration: what a program reads from a file.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Replaces all limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// When lost links are dialled again: always, unless this says otherwise.
    pub fn reconnect(mut self, when: Reconnect) -> Self {
        self.config.reconnect = when;
        self
    }

    /// The first and the longest pause before a lost link is dialled again (100 ms doubling to 4 s).
    pub fn reconnect_pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.config.reconnect_first = first;
        self.config.reconnect_longest = longest;
        self
    }

    /// Gives a lost link up after this long. Without this it is never given up.
    pub fn reconnect_give_up(mut self, after: Duration) -> Self {
        self.config.reconnect_give_up = Some(after);
        self
    }

    /// Converts an argument, or notes what is wrong with it.
    fn accept<A, T>(&mut self, argument: A) -> Option<T>
    where
        A: TryInto<T, Error: Into<Error>>,
    {
        match argument.try_into() {
            Ok(argument) => Some(argument),
            Err(error) => {
                self.wrong.get_or_insert(error.into());
                None
            }
        }
    }
}

impl Builder {
    /// Starts the node: its threads run, its handlers are registered, and it listens.
    ///
    /// # Errors
    /// Nothing is left running. `INVALID_ARGUMENT` for an id, options, durations or limits out of range, `INVALID_ADDRESS`,
    /// `INVALID_EVENT`, `INVALID_PATH`; those of [`Handle::bind`]; `INVALID_ARGUMENT` with the cause when the system has no thread or no
    /// descriptors left.
    ///
    /// # Blocking
    /// As [`Handle::bind`], if an address was given.
    pub fn start(self) -> Result<Node, Error> {
        self.start_node()
    }
}

impl<K> Builder<K> {
    /// A node of whatever kind this is.
    pub(crate) fn start_node(self) -> Result<Node, Error> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        check(&self.config)?;
        check_host(self.host.as_deref())?;
        let mut rng = fastrand::Rng::new();
        let id = match self.id {
            Some(id) => NodeId::new(id)?,
            None => random_id(&mut rng),
        };
        let options = self.options.with_id(&id);
        let options = if self.role.is_some() { options.with_router() } else { options };
        options.check()?;
        let instance = InstanceId(rng.u128(..));
        let (host, advertise, config) = (self.host, self.advertise, self.config);
        let services = Vec::new();
        let chooses_elsewhere = self.strategy.is_some();
        let router = self.role.map(|role| RouterRole { chooses_elsewhere, ..role });
        let local = Local { id, instance, options, services, host, advertise, config, router };
        let send = self.send_strategy.unwrap_or_else(|| Arc::new(FirstFind));
        let strategies = Strategies { choose: self.strategy, send };
        let node = Node::new(Handle::new(runtime::start(local, strategies, rng)?));
        self.handlers.into_iter().try_for_each(|register| register(&node))?;
        self.binds.into_iter().try_for_each(|address| node.bind(address).map(drop))?;
        self.connects.into_iter().try_for_each(|address| node.connect_always(address))?;
        Ok(node)
    }
}

macro_rules! durations {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {
        /// How long things may take. Zero, or more than 24 h, is `INVALID_ARGUMENT` at the start.
        impl<K> Builder<K> { $(
            $(#[doc = $doc])+
            pub fn $name(mut self, duration: Duration) -> Self {
                self.config.$name = duration;
                self
            }
        )+ }
    };
}

durations! {
    /// A request without a timeout of its own ends after this: 10 s.
    request_timeout;
    /// Resolving, dialling and the handshake of one connect together: 10 s.
    connect_timeout;
    /// A link that has not completed its handshake is closed after this: 5 s.
    handshake_timeout;
    /// A heartbeat is sent after this long without a written byte: 2 s. At most half of the liveness timeout.
    heartbeat_interval;
    /// A link is lost after this long without a received byte: 10 s.
    liveness_timeout;
    /// A link that has bytes to write and writes none for this long is closed as a slow peer: 10 s.
    write_stall;
    /// How long [`stop`](Handle::stop) lets running handlers and queued messages finish: 2 s.
    stop_bound;
}

impl<K> fmt::Debug for Builder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Builder");
        out.field("id", &self.id).field("options", &self.options).field("binds", &self.binds);
        out.field("connects", &self.connects).field("config", &self.config);
        out.field("handlers", &self.handlers.len()).finish_non_exhaustive()
    }
}
