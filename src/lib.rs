//! An embedded mesh of nodes for programs without an async runtime: blocking requests and ticks over plain threads.
//!
//! A **node** is one process's membership in a mesh. It may listen ([`bind`](Handle::bind)) and dial others
//! ([`connect`](Handle::connect)), any number of each. Every peer has an **id** and **options** (metadata). A thread sends a
//! **request**, and blocks until the answer or the deadline, or a **tick**, fire and forget. There is no broker, no code
//! generation and no async runtime: one loop thread per node owns all sockets, and your threads and handlers are ordinary threads
//! that may block.
//!
//! ```
//! use std::time::Duration;
//! use serde::{Deserialize, Serialize};
//! use threadmesh::{HandlerError, Node, Request, options};
//!
//! #[derive(Serialize, Deserialize)]
//! struct GetUser {
//!     id: u64,
//! }
//!
//! #[derive(Serialize, Deserialize, Debug, PartialEq)]
//! struct User {
//!     name: String,
//! }
//!
//! // One process: it listens, and handles an event.
//! let server = Node::builder()
//!     .id("users")
//!     .options(options! { "role": "api", "region": "eu" })
//!     .on_request("user:get", |request: Request<GetUser>| match request.data.id {
//!         123 => Ok(User { name: "Ada".into() }),
//!         id => Err(HandlerError::new("NO_SUCH_USER", format!("there is no user {id}"))),
//!     })
//!     .bind("127.0.0.1:0")
//!     .start()?;
//!
//! // Another one, usually elsewhere: it dials the first and asks.
//! let client = Node::builder().id("web").start()?;
//! let peer = client.connect(server.local_addr()?)?;
//! assert_eq!(peer.options.get_str("role"), Some("api"));
//!
//! let user: User = client.request("users", "user:get", &GetUser { id: 123 })?;
//! assert_eq!(user.name, "Ada");
//!
//! // What the handler said is what the caller sees.
//! let error = client.request::<User, _>("users", "user:get", &GetUser { id: 1 }).unwrap_err();
//! assert_eq!(error.code(), "NO_SUCH_USER");
//!
//! // A call with a time of its own, which does not block yet.
//! let pending = client
//!     .to("users")
//!     .timeout(Duration::from_secs(3))
//!     .start::<User, _>("user:get", &GetUser { id: 123 })?;
//! let reply = pending.wait()?;
//! assert_eq!(reply.handled_by, "users");
//!
//! // The direction of the dial does not matter: the server may ask the client.
//! client.on_request("version", |_: Request<()>| Ok(7))?;
//! assert_eq!(server.request::<u32, _>("web", "version", &())?, 7);
//! # Ok::<(), threadmesh::Error>(())
//! ```
//!
//! # Where to look
//!
//! | to | see |
//! |---|---|
//! | start, own and stop a node | [`Node`], [`Builder`], [`StopReport`] |
//! | do anything with it, from any thread | [`Handle`] |
//! | send with a timeout, headers, in batches | [`Call`] from [`Handle::to`] |
//! | have several requests under way | [`Pending`] from [`Call::start`] |
//! | answer | [`Handle::on_request`], [`Request`], [`HandlerError`] |
//! | pass on, answer later, recover from errors | [`Outcome`], [`Responder`], [`Handle::on_error`] |
//! | name an event with its types, once for both sides | [`Endpoint`] |
//! | send bytes without encoding them | [`Bytes`] |
//! | tell peers about a node | [`Options`], [`options!`] |
//! | wait for others, follow what happens | [`Handle::wait_for_peer`], [`Handle::wait_for_service`], [`Events`], [`Handle::on_event`], [`NodeEvent`] |
//! | send again what failed, or elsewhere, or not at all for a while | [`Target`], [`Retry`], [`Failover`], [`Hedge`], [`Breaker`] |
//! | change times and limits | [`Config`], [`Limits`] |
//!
//! # Threads
//!
//! | thread | what runs there |
//! |---|---|
//! | yours | every call: encoding, finding the peer, waiting, decoding; predicates |
//! | `tm-<id>-loop`, one a node | sockets and the protocol; never your code |
//! | `tm-<id>-w<n>`, the workers | your handlers. They may block; while one waits in a call of this crate, or in [`blocking`], another takes its place, so nested requests never deadlock |
//! | `tm-<id>-watch` | notices when queued work has no worker |
//! | `tm-<id>-events` | your closures for events ([`Handle::on_event`]), all of them; starts with the first |
//! | `tm-<id>-stop` | a stop that was begun on one of the node's own threads |
//! | `threadmesh-names-<n>` | name resolution, which may hang; never joined |
//!
//! All types are `Send`, and [`Handle`] is `Sync` and cheap to clone. A call waits by looking again for about 20 µs, letting
//! other threads run meanwhile, and then parks. A request made inside a handler inherits what is left of the deadline of the request
//! being handled; threads that a handler spawns inherit nothing. A blocking call on a loop thread would fail with
//! `WOULD_DEADLOCK`; none of your code runs there.
//!
//! # Order and delivery
//!
//! * Messages from one thread to one peer over one link arrive in the order in which they were sent. Ticks of one sender are also handled in
//!   that order; requests are handled in parallel.
//! * A request runs at most once. Nothing that may have run is sent again. An [`Error`] says whether the handler never ran, ran,
//!   or may have run: [`Error::execution`], [`Error::may_have_run`].
//! * A tick that was accepted is confirmed by its receiver, or reported in [`NodeEvent::Undelivered`] with exact counts.
//! * When [`connect`](Handle::connect) returns, both sides can send. When a link is lost, the requests pending on it fail at once.
//! * While a lost link is dialled again its peer is not connected: calls to it are `NODE_NOT_FOUND` at once, and
//!   [`wait_for_peer`](Handle::wait_for_peer) waits until it is back. Events tell `PeerLeft`, `Reconnecting` once, then `PeerJoined` and
//!   `Reconnected`.
//! * What is full says so: a request waits for room until its deadline, a tick is refused at once unless it may
//!   [`wait`](Call::wait), and the forms that begin with `try_` never wait for room ([`Call::try_request`], [`Call::try_start`],
//!   [`Call::try_tick`]). Either way the error is `BACKPRESSURE`, and nothing was sent.
//!
//! # Errors
//!
//! There is one [`Error`] type. Its [`kind`](Error::kind) is an enum, its [`code`](Error::code) a stable text; for an error that a
//! handler returned the code is the handler's own. *Execution* is the usual one of the kind; the phase in which a call
//! ended decides, and [`Error::execution`] tells.
//!
//! | code | when | executed |
//! |---|---|---|
//! | `NODE_NOT_FOUND` | No directly connected peer has this id | never |
//! | `NO_NODES_MATCH_FILTER` | No peer in the allowed directions matched, and no router found one | never |
//! | `REQUEST_TIMEOUT` | The deadline passed without an answer | perhaps |
//! | `PREDICATE_NOT_ROUTABLE` | A router refuses to list its peers, so a predicate cannot be evaluated on them | never |
//! | `CONNECTION_LOST` | The link broke while the call was pending on it | perhaps |
//! | `NO_HANDLER` | The peer has no handler for this event | never |
//! | `NO_REPLY` | Handlers ran, none of them answered | yes |
//! | `HANDLER_ERROR` | The handler returned an error (then `code()` is its own) or panicked | yes |
//! | `CIRCUIT_OPEN` | The circuit breaker is open; nothing was sent | never |
//! | `NOT_FOUND` | No node serves this path or event | never |
//! | `INVALID_PATH` | The text is not a service path | never |
//! | `INVALID_FILTER` | The filter is malformed or too large | never |
//! | `INVALID_EVENT` | The event name is empty, too long or reserved | never |
//! | `INVALID_ADDRESS` | The text is not an address | never |
//! | `INVALID_ARGUMENT` | An argument is out of its range | never |
//! | `BIND_FAILED` | The operating system refused the listening socket | never |
//! | `ALREADY_BOUND` | The node listens on another address already | never |
//! | `CONNECT_TIMEOUT` | No connection came about before the deadline | never |
//! | `CONNECT_FAILED` | The one attempt to dial failed | never |
//! | `HANDSHAKE_TIMEOUT` | The connection stood, the handshake did not complete in time | never |
//! | `INCOMPATIBLE` | The two sides share no protocol version or security mode, or the other side is no threadmesh | never |
//! | `UNSUPPORTED` | The other side does not know a message or header that it would have to understand | never |
//! | `DUPLICATE_ID` | Another live node has this id | never |
//! | `REFUSED` | The other side refused to admit this node | never |
//! | `BACKPRESSURE` | A queue or window is full and stayed full | never |
//! | `BUSY` | The peer has no room for the call and did not run it | never |
//! | `TOO_LARGE` | The message is larger than the frame limit | never |
//! | `ENCODE` | The data could not be encoded | never |
//! | `DECODE` | The data could not be decoded into the type asked for | never |
//! | `EXPIRED` | The deadline had passed when the receiver took up the work; it did not run | never |
//! | `FORBIDDEN` | An authorisation rule denied it | never |
//! | `INSECURE` | Plaintext was refused because security is required | never |
//! | `WOULD_DEADLOCK` | A blocking call on a thread that must not block | never |
//! | `CANCELLED` | The caller cancelled the call | perhaps |
//! | `CLOSED` | The node has stopped | never |
//! | `USER_CODE_PANICKED` | A closure given by the caller panicked | never |
//!
//! `PREDICATE_NOT_ROUTABLE`, `INVALID_PATH`, `INVALID_FILTER`, `FORBIDDEN` and `INSECURE` have their numbers in
//! the protocol already, and belong to what this version does not have yet: routers, service paths, filters, security.
//!
//! # Policies
//!
//! **A policy repeats only what certainly did not run**, unless the call says [`idempotent`](Call::idempotent) (then also after a timeout
//! or a lost link) or [`retry_if`](Call::retry_if) (then after whatever the program likes, handlers' errors for example). Systems that
//! repeat after any error charge cards twice; here that takes a word in the source.
//!
//! A [`Retry`] sends again after a pause, a [`Failover`] to the next of a list of targets, a [`Hedge`] a second copy of what takes long,
//! and a [`Breaker`] nothing at all for a while to what keeps failing. Each goes around any [`Target`], a call or another policy, and
//! is a target itself. Every step is a [`NodeEvent::Policy`], a count in [`Handle::policy_counts`], and a line in the log.
//!
//! # Logs
//!
//! Through the `log` facade, so nothing is seen until the program installs a logger. A target per room: `threadmesh::node` (started, stopped), `threadmesh::net` (sockets, names, limits of the
//! system), `threadmesh::proto` (links, peers, handshakes), `threadmesh::service` (handlers and workers), `threadmesh::policy` (repeats, failovers, breakers). *error*: the node cannot go on.
//! *warn*: a limit or a misuse. *info*: bound, peer up and down, stopped. *debug*: changes of state. *trace*: single
//! messages. Never a payload.
#![forbid(unsafe_code)]

#[doc = include_str!("architecture.md")]
mod architecture {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
#[path = "../tests/it/support/bound.rs"]
mod bound;

mod address;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod cbor;
mod config;
mod dropped;
mod endpoint;
mod error;
mod event;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod handler_error;
mod headers;
mod home;
mod id;
mod net;
mod node;
mod node_event;
mod options;
mod patience;
mod payload;
mod policy;
mod proto;
mod routing;
mod scan;
mod service;
mod value;
mod wire;

pub use address::Address;
pub use config::{Config, Limits, Reconnect};
pub use dropped::Dropped;
pub use endpoint::{Endpoint, IntoEvent};
pub use error::{Error, ErrorKind, Execution};
pub use event::EventName;
pub use handler_error::HandlerError;
pub use headers::Headers;
pub use id::{MAX_ID_BYTES, NodeId};
pub use node::{
    All, Arrival, Builder, Call, Callback, Dial, Events, Explanation, Gather, Gathered, Handle,
    Node, PeerRef, Pending, PolicyCounts, Reply, Selector, StopReport, Ticked, Told, predicate,
    predicate_as,
};
pub use node_event::{Direction, Directions, LeftReason, NodeEvent, PeerInfo, PolicyStep};
pub use options::Options;
pub use payload::{Bytes, Decode, Encode, Payload};
pub use policy::{
    Breaker, Budget, Failover, Guarded, Hedge, Hedged, Parcel, Place, Retried, Retry, Target,
};
pub use routing::{
    Candidate, Candidates, ConsistentHash, Filter, First, LeastPending, LocalFirst, Observation,
    PowerOfTwo, Random, Rank, RoundRobin, Sticky, StickyKey, Strategy, StrategyFn, WeightedRandom,
    strategy_fn,
};
#[doc(hidden)]
pub use service::Verdict;
pub use service::{
    Finish, IntoPattern, Later, Outcome, Pattern, Registration, Request, Respond, Responder, Tick,
    blocking,
};
pub use value::{Map, Value};
