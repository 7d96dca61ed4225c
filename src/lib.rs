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
//! | say which peers are meant | [`Filter`] and [`filter!`], [`predicate`], [`predicate_as`] |
//! | send to any one of them, or to all | [`Handle::any`], [`Handle::all`] |
//! | choose one of several | the strategies that come with the crate: see [Choosing peers](#choosing-peers) |
//! | choose by a strategy of one's own | [`strategy_fn`]; [`Strategy`], [`Candidates`], [`Candidate`], [`Rank`], [`Observation`] |
//! | gather the answers of many | [`Gather`] from [`Handle::request_all`] |
//! | be a member of a mesh in which everybody is connected to everybody | [`Handle::join`], [`Joined`]: see [Joining a mesh](#joining-a-mesh) |
//! | reach nodes that are not connected | [`Router`]: see [Routers](#routers) |
//! | know who matches, and why others do not | [`Handle::get_filtered_peers`], [`Handle::explain`] |
//! | send with a timeout, headers, in batches | [`Call`] from [`Handle::to`] or [`Handle::any`] |
//! | have several requests under way | [`Pending`] from [`Call::start`] |
//! | answer | [`Handle::on_request`], [`Request`], [`HandlerError`] |
//! | serve a path, such as `/math/add` | [`Handle::register`] |
//! | call whoever serves a path | [`Handle::call`], [`PathCall`]: see [Services by path](#services-by-path) |
//! | say who gets a call by path | [`SendStrategy`] and [its chapter](guide::send_strategies) |
//! | pass on, answer later, recover from errors | [`Outcome`], [`Responder`], [`Handle::on_error`] |
//! | name an event with its types, once for both sides | [`Endpoint`] |
//! | send bytes without encoding them | [`Bytes`] |
//! | tell peers about a node | [`Options`], [`options!`] |
//! | wait for others, follow what happens | [`Handle::wait_for_peer`], [`Handle::wait_for_service`], [`Events`], [`Handle::on_event`], [`NodeEvent`] |
//! | send again what failed, or elsewhere, or not at all for a while | [`Retry`], [`Failover`], [`Hedge`], [`Breaker`]: see [Policies](#policies) |
//! | bound how much is sent again | [`Budget`] |
//! | put a policy of one's own around calls | [`Target`], [`Parcel`], [`Place`] |
//! | use paths as values, and find those that a pattern means | [`Path`], [`PathPattern`], [`PathTree`] |
//! | change times and limits | [`Config`], [`Limits`] |
//!
//! # Joining a mesh
//!
//! [`join`](Handle::join) makes a node a member of a mesh whose members are all connected to each other: it is given the addresses of a few
//! **seeds**, asks the first that answers who the members are, and connects to them; the seed tells the others of it. Any member is a
//! seed, and all nodes may share one list: whoever is the first of it to start does not wait for the others. Members that stop are forgotten at once, members that die are noticed as any lost peer is, dialled
//! again for a minute, and forgotten then. A node that does not listen gets its links too, but is no member. [`guide::membership`] is a chapter about
//! all this: start order, NAT, what it costs, cuts and restarts.
//!
//! # Choosing peers
//!
//! A call names one peer by its **id**, or says what a peer must be like and goes to **any** one of those that match, or to **all** of
//! them. What they must be like is a [`Selector`]:
//!
//! * a [`Filter`], plain data over the options of the peers: [`filter!`]` { "role": "worker", "load": { "$lt": 80 } }`. All of it must hold;
//!   a peer may have other options besides;
//! * a [`predicate`], a closure over the options, or [`predicate_as`], one over a type of yours: for what a filter cannot say;
//! * both, by [`Filter::when`]: the filter is asked first, the closure only about those that it lets through.
//!
//! ```
//! # use threadmesh::{HandlerError, Node, Options, Request};
//! use threadmesh::{filter, options, predicate};
//!
//! # let start = |id: &'static str, options: Options| {
//! #     let infer = move |_: Request<String>| Ok::<_, HandlerError>(id);
//! #     Node::builder().id(id).options(options).on_request("infer", infer).bind("127.0.0.1:0").start()
//! # };
//! let small = start("small", options! { "role": "ml-worker", "model": "tiny", "queue": 7 })?;
//! let large = start("large", options! { "role": "ml-worker", "model": "huge", "queue": 0 })?;
//! # let other = start("other", options! { "role": "worker" })?;
//! # let node = Node::builder().start()?;
//! # for server in [&small, &large, &other] { node.connect(server.local_addr()?)?; }
//!
//! // By id.
//! let answer: String = node.request("small", "infer", "what is a mesh?")?;
//! # assert_eq!(answer, "small");
//!
//! // By filter. Name what the job needs, and not only a role that others may have, too.
//! let huge = filter! { "role": "ml-worker", "model": "huge" };
//! let answer: String = node.request_any(huge, "infer", "what is a mesh?")?;
//! assert_eq!(answer, "large");
//!
//! // By predicate.
//! let idle = predicate(|peer| peer.get_u64("queue") == Some(0));
//! let answer: String = node.request_any(idle, "infer", "what is a mesh?")?;
//! assert_eq!(answer, "large");
//!
//! // Who matches, without sending anything.
//! assert_eq!(node.get_filtered_peers(filter! { "role": "ml-worker" })?.len(), 2);
//! # Ok::<(), threadmesh::Error>(())
//! ```
//!
//! **Directions.** Upstream are the peers that this node dialled, downstream those that dialled it. A call looks at both; say which one where you
//! know, as in [`request_down_any`](Handle::request_down_any), [`tick_up_all`](Handle::tick_up_all), [`Call::up`] and [`All::down`].
//!
//! **One of several** is chosen by a [`Strategy`], which the call names ([`Call::strategy`]) or the node ([`Builder::strategy`]). Who is lost
//! before it was sent the message or leaves before it took it up, is busy or stopping, has no room for it or takes only smaller ones is replaced by another match; what may
//! have run is sent to nobody else. [`Handle::any`] has the whole rule.
//!
//! | strategy | sends to |
//! |---|---|
//! | [`Random`], the default | anybody, with equal chances; it does not look at the load |
//! | [`RoundRobin`] | one after the other |
//! | [`LeastPending`] | who has the fewest requests of this node open |
//! | [`PowerOfTwo`] | the quicker of two drawn by chance, by open requests and latency: for large meshes and unequal peers |
//! | [`WeightedRandom`] | anybody, with chances by an option, such as the number of cores |
//! | [`ConsistentHash`] | the same peer for the same key, from every node: for caches |
//! | [`Sticky`] | the same peer for the same key, until it is gone: for sessions |
//! | [`LocalFirst`] | somebody on this machine, if there is one |
//! | [`First`] | who joined first: a main one and its reserves |
//! | [`strategy_fn`], [`Strategy`] | whom your own code says |
//!
//! What a peer tells of itself arrives a moment after it was set, so two calls made at once may both see the same idle peer. Pending requests
//! are this node's own count, and never late.
//!
//! ```
//! # use std::sync::Arc;
//! # use threadmesh::{Node, Request, options};
//! use threadmesh::{LeastPending, RoundRobin, Sticky, filter};
//!
//! # let worker = Node::builder().id("w").options(options! { "role": "worker" });
//! # let worker = worker.on_request("job", |_: Request<u32>| Ok("done")).bind("127.0.0.1:0").start()?;
//! // For all calls of this node that say nothing else.
//! let node = Node::builder().strategy(LeastPending).start()?;
//! # node.connect(worker.local_addr()?)?;
//! let workers = node.any(filter! { "role": "worker" });
//! let done: String = workers.request("job", &1)?;
//!
//! // For one call. What takes turns or remembers is made once and shared: kept in an `Arc`, or cloned, like `Sticky`.
//! let turns = Arc::new(RoundRobin::new());
//! let done: String = workers.clone().strategy(Arc::clone(&turns)).request("job", &2)?;
//! let sessions = Sticky::new();
//! let done: String = workers.clone().strategy(sessions.key("user 123")).request("job", &3)?;
//! assert_eq!(sessions.remembered("user 123").unwrap(), "w");
//! # Ok::<(), threadmesh::Error>(())
//! ```
//!
//! **All of them** get a tick by [`tick_all`](Handle::tick_all), which says how many it was sent to and who was skipped ([`Told`]); or a
//! request by [`request_all`](Handle::request_all), whose answers come as they arrive ([`Gather`]): all, the first few, or a quorum.
//!
//! **Nobody matches**: then a call to any fails at once with `NO_NODES_MATCH_FILTER`, unless it [waits](Call::wait_for_match) for somebody; to
//! tell all of nobody is fine. The filter and the event are in [`Error::context`] and in a [`NodeEvent::Error`], to be counted, and
//! [`explain`](Handle::explain) says of each peer what it fails on.
//!
//! ```
//! # use std::time::Duration;
//! # use threadmesh::{Node, Request, filter, options};
//! # let node = Node::builder().id("coordinator").bind("127.0.0.1:0").start()?;
//! # let worker = Node::builder().id("w").options(options! { "skills": ["image"] });
//! # let worker = worker.on_request("encode", |_: Request<()>| Ok("done")).start()?;
//! # worker.connect(node.local_addr()?)?;
//! let video = filter! { "skills": { "$contains": "video" } };
//! let error = node.request_any::<String, _>(&video, "encode", &()).unwrap_err();
//! assert_eq!(error.code(), "NO_NODES_MATCH_FILTER");
//! assert_eq!(error.context("event"), Some("encode"));
//! println!("{}", node.explain(&video)?[0]); // w: skills contains "video": skills is ["image"]
//! # assert_eq!(node.explain(&video)?[0].to_string(), "w: skills contains \"video\": skills is [\"image\"]");
//!
//! // The worker learns it, and tells everybody by its options.
//! worker.update_options(&options! { "skills": ["image", "video"] })?;
//! let call = node.any(&video).wait_for_match(Duration::from_secs(5));
//! assert_eq!(call.request::<String, _>("encode", &())?, "done");
//! # Ok::<(), threadmesh::Error>(())
//! ```
//!
//! # Services by path
//!
//! A service may have a **path**, such as `/math/add`. A node serves it by [`Handle::register`], and anybody calls it by [`Handle::call`] without
//! knowing who serves it. A call may have `*` in place of a segment. Whatever else the two sides write, slashes around and between
//! segments are put right; what is no path is refused with `INVALID_PATH`.
//!
//! ```
//! # use threadmesh::Node;
//! use threadmesh::{HandlerError, Request, RoundRobin, SendToAll};
//!
//! let server = Node::builder().id("rcv").bind("127.0.0.1:0").start()?;
//! server.register("math/add", |request: Request<(i64, i64)>| {
//!     let sum = request.data.0.checked_add(request.data.1);
//!     sum.ok_or_else(|| HandlerError::new("TOO_LARGE_A_SUM", "it does not fit"))
//! })?;
//! # let client = Node::builder().start()?;
//! # client.connect(server.local_addr()?)?;
//!
//! // One answer, from the first node that serves it; or from each in its turn.
//! assert_eq!(client.call("/math/add").request::<i64>(&(3, 4))?, 7);
//! let turns = client.call("/math/add").by(RoundRobin::new());
//! assert_eq!(turns.request::<i64>(&(3, 4))?, 7);
//!
//! // All answers, by node and path. Or none: fire and forget.
//! let all = client.call("/math/*").by(SendToAll).request_all::<i64>(&(3, 4))?;
//! assert_eq!(all.get("rcv", "/math/add").unwrap().as_ref().unwrap(), &7);
//! client.call("/math/add").tick(&(3, 4))?;
//! # Ok::<(), threadmesh::Error>(())
//! ```
//!
//! Who gets the message is said by a [`SendStrategy`]: that of the call ([`PathCall::by`]) or else that of the node
//! ([`Builder::send_strategy`]), which is [`FirstFind`] until the program says another. All strategies of [Choosing peers](#choosing-peers) work here,
//! too, and so does one of your own. **The node itself is one of those that its calls may go to**, and the first. If no known node serves the
//! path the call is `NOT_FOUND`, and nothing is sent. [`guide::send_strategies`] is a chapter about all this: how a strategy decides, how
//! to change one, how to write one.
//!
//! The same handlers answer [`Handle::request`] and [`Handle::tick`] to a node by its id, with the path as the name of the event, and can ask
//! whether there is somebody who waits ([`Request::wants_answer`]).
//!
//! # Routers
//!
//! Nodes that dial a [`Router`] reach what it reaches, by the same calls: a call to any for which nobody who is connected will do is placed by a router,
//! if there is one; a call to an id, to one direction or by path when it says [`via_router`](Call::via_router). Routers pass data on as they came, within
//! the one deadline of the call, ask each other, and ask nobody twice, so their links may form circles. [`guide::routers`] is a chapter about all this:
//! what a router does and does not, several of them, closures, ticks, statistics, trust.
//!
//! # Threads
//!
//! | thread | what runs there |
//! |---|---|
//! | yours | every call: encoding, choosing the peer, waiting, decoding; predicates and strategies |
//! | `tm-<id>-loop`, one a node | sockets and the protocol; never your code |
//! | `tm-<id>-w<n>`, the workers | your handlers. They may block; while one waits in a call of this crate, or in [`blocking`], another takes its place, so nested requests never deadlock |
//! | `tm-<id>-watch` | notices when queued work has no worker |
//! | `tm-<id>-events` | your closures for events ([`Handle::on_event`]), all of them; starts with the first |
//! | `tm-<id>-choose`, in routers | your strategy ([`Builder::strategy`]), whenever it chooses for a forwarded message; long searches; starts with the first |
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
//! * Ticks from one thread to one peer over one link arrive in the order in which they were sent, and so do requests that found room at
//!   once. A tick may pass a request that waits in line, and the reverse. Ticks of one sender are also handled in
//!   that order; requests are handled in parallel.
//! * A request runs at most once. Nothing that may have run is sent again. An [`Error`] says whether the handler never ran, ran,
//!   or may have run: [`Error::execution`], [`Error::may_have_run`].
//! * A tick that was accepted is confirmed by its receiver, or reported in [`NodeEvent::Undelivered`] with exact counts.
//! * When [`connect`](Handle::connect) returns, both sides can send. When a link is lost, the requests pending on it fail at once.
//! * While a lost link is dialled again its peer is not connected: calls to it are `NODE_NOT_FOUND` at once, and
//!   [`wait_for_peer`](Handle::wait_for_peer) waits until it is back. Events tell `PeerLeft`, `Reconnecting` once, then `PeerJoined` and
//!   `Reconnected`.
//! * What is full says so: a request waits for room until its deadline, a tick is refused at once unless it may
//!   [`wait`](Call::wait), inside a handler neither waits, and the forms that begin with `try_` never wait for room
//!   ([`Call::try_request`], [`Call::try_start`], [`Call::try_tick`]). Either way the error is `BACKPRESSURE`, and nothing was sent.
//!
//! # Errors
//!
//! There is one [`Error`] type. Its [`kind`](Error::kind) is an enum, its [`code`](Error::code) a stable text; for an error that a
//! handler returned the code is the handler's own. *Execution* is the usual one of the kind; the phase in which a call
//! ended decides, and [`Error::execution`] tells.
//!
//! ```
//! # use std::time::Duration;
//! # use threadmesh::{Node, Outcome, Request, Responder, filter};
//! use threadmesh::{Error, ErrorKind};
//!
//! fn advice(error: &Error) -> &'static str {
//!     match error.kind() {
//!         ErrorKind::NodeNotFound => "not connected: wait for it, or ask another",
//!         ErrorKind::NoNodesMatchFilter => "nobody offers that now",
//!         ErrorKind::RequestTimeout if error.may_have_run() => "it may still be working: look before you ask again",
//!         ErrorKind::Handler => "it ran and said no: its code tells why",
//!         _ if error.may_have_run() => "nobody knows whether it ran",
//!         _ => "it did not run: asking again does no harm",
//!     }
//! }
//! # let (keep, _kept) = std::sync::mpsc::channel::<Responder<()>>();
//! # let server = Node::builder().id("reports").bind("127.0.0.1:0").start()?;
//! # server.on_request("yearly", move |_: Request<()>| {
//! #     let keep = keep.clone();
//! #     Outcome::later(move |responder| drop(keep.send(responder)))
//! # })?;
//! # let node = Node::builder().start()?;
//! # node.connect(server.local_addr()?)?;
//!
//! let error = node.request::<(), _>("nowhere", "yearly", &()).unwrap_err();
//! assert!(error.code() == "NODE_NOT_FOUND" && advice(&error).starts_with("not connected"));
//! let error = node.request_any::<(), _>(filter! { "region": "mars" }, "yearly", &()).unwrap_err();
//! assert!(error.code() == "NO_NODES_MATCH_FILTER" && advice(&error).starts_with("nobody offers"));
//! let slow = node.to("reports").timeout(Duration::from_millis(250));
//! let error = slow.request::<(), _>("yearly", &()).unwrap_err();
//! assert!(error.code() == "REQUEST_TIMEOUT" && advice(&error).starts_with("it may still"));
//! # Ok::<(), threadmesh::Error>(())
//! ```
//!
//! | code | when | executed |
//! |---|---|---|
//! | `NODE_NOT_FOUND` | No directly connected peer has this id; where the call may go through routers, nobody whom they know has it either | never |
//! | `NO_NODES_MATCH_FILTER` | No peer in the allowed directions matched, and no router found one | never |
//! | `REQUEST_TIMEOUT` | The deadline passed without an answer | perhaps |
//! | `PREDICATE_NOT_ROUTABLE` | A router refuses to list its peers, so a predicate, or a strategy of the call, cannot choose among them | never |
//! | `CONNECTION_LOST` | The link broke while the call was pending on it | perhaps |
//! | `NO_HANDLER` | The peer has no handler for this event. An event that begins with `/` is a path: `NOT_FOUND` | never |
//! | `NO_REPLY` | Handlers ran, none of them answered | yes |
//! | `HANDLER_ERROR` | The handler returned an error (then `code()` is its own) or panicked | yes |
//! | `CIRCUIT_OPEN` | The circuit breaker is open; nothing was sent | never |
//! | `NOT_FOUND` | No node serves this path or event, or the one that was asked serves nothing at this path | never |
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
//! | `BUSY` | The peer has no room for the call, or is stopping, and did not run it | never |
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
//! `TOO_LARGE` and `BACKPRESSURE` can also be told of an answer, which is larger than the caller takes, or was dropped because the memory of
//! the peer is nearly used up: then the request was executed, and the error says so.
//!
//! `CONNECTION_LOST` leaves open whether the request was executed when the link broke, or when the peer left before it answered what it had
//! taken up. A peer that leaves well, because it stops, disconnects or unbinds, says what that is: all else was not executed, the error says so,
//! and a request to any of several peers has gone on to the next by then.
//!
//! `FORBIDDEN` and `INSECURE` have their numbers in the protocol already, and belong to what this version does not have yet: security.
//!
//! # Policies
//!
//! A [`Retry`] sends again after a pause, a [`Failover`] to the next of a list of targets, a [`Hedge`] a second copy of what takes long,
//! and a [`Breaker`] nothing at all for a while to what keeps failing. Every step is a [`NodeEvent::Policy`], a count in
//! [`Handle::policy_counts`], and a line in the log.
//!
//! **A policy repeats only what certainly did not run.** A request that timed out may be running this very moment, and one whose link was
//! lost may have been answered; systems that repeat after any error charge cards twice. Whether running it twice does harm only the
//! program knows, so it says so at the call, in one word:
//!
//! | the call says | repeated after |
//! |---|---|
//! | nothing | what never ran, where repeating can help: nobody there, no handler, no room, a breaker that is open |
//! | [`idempotent`](Call::idempotent) | that, and what may have run: a timeout, a lost link |
//! | [`retry_if`](Call::retry_if) | that of the rows above, and whatever its test says: handlers' errors, mostly |
//!
//! Nothing is repeated after the caller's own mistakes (`INVALID_*`, `ENCODE`, `TOO_LARGE`, `USER_CODE_PANICKED` and so on), after a
//! cancel, or once the node has stopped. A failover also goes on after errors that lie with one target and stay (`FORBIDDEN`,
//! `UNSUPPORTED`). The one rule is [`Target::may_repeat`]; every policy asks it.
//!
//! What comes back in the end is the last error, with the number of attempts in its message and as its context `attempts`. Its
//! [`execution`](Error::execution) is that of all attempts together: if the first may have run and the second found nobody, the
//! error is `NODE_NOT_FOUND` and says that the request may have run.
//!
//! **Which goes around which.** A policy goes around any [`Target`], a call or another policy, and is a target itself; only a [`Hedge`]
//! must stand next to its call.
//!
//! | written as | means |
//! |---|---|
//! | `call.guard(&breaker).retry(&retry)` | the breaker sees every attempt; while it is open the retry pauses |
//! | `call.retry(&retry).guard(&breaker)` | the breaker sees what the retry gave up on |
//! | `Failover::first(a.guard(&one)).then(b.guard(&two))` | a target whose breaker is open is passed over at once |
//! | `Failover::first(a.retry(&retry)).then(b)` | several attempts at the first before the second is asked |
//! | `call.hedge(&hedge).retry(&retry)` | each attempt may have two copies |
//!
//! Two retries, one around the other, multiply: three attempts of three attempts are nine. Give them one [`Budget`], or leave one out. A
//! budget is paid for by requests of the program, by each once, so it bounds both together.
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
pub mod guide;
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
mod router;
mod routing;
mod routing_stats;
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
    All, Answers, Arrival, Builder, Call, Callback, Dial, Events, Explanation, Gather, Gathered,
    Handle, Joined, Node, PathCall, PathTold, PeerRef, Pending, PolicyCounts, Reply, Selector,
    StopReport, Ticked, Told, predicate, predicate_as,
};
pub use node_event::{Direction, Directions, LeftReason, NodeEvent, PeerInfo, PolicyStep};
pub use options::Options;
pub use payload::{Bytes, Decode, Encode, Payload};
pub use policy::{
    Breaker, Budget, Failover, Guarded, Hedge, Hedged, Parcel, Place, Retried, Retry, Target,
};
pub use router::Router;
pub use routing::{
    BroadcastGlobal, BroadcastLocal, Candidate, Candidates, ConsistentHash, Filter, First,
    FirstFind, KnownNode, LeastPending, LocalFirst, Observation, Outgoing, Path, PathPattern,
    PathTable, PathTree, PowerOfTwo, Random, Rank, RoundRobin, SendStrategy, SendStrategyFn,
    SendTarget, SendTo, SendToAll, SendToAllOnePerNode, SendToTarget, Sticky, StickyKey, Strategy,
    StrategyFn, Targets, WeightedRandom, send_strategy_fn, strategy_fn,
};
pub use routing_stats::{Percentiles, Proxied, ProxiedEvent, RoutingStats};
#[doc(hidden)]
pub use service::Verdict;
pub use service::{
    Finish, IntoPath, IntoPattern, Later, Outcome, Pattern, Registration, Request, Respond,
    Responder, Tick, blocking,
};
pub use value::{Map, Value};
