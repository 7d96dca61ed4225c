//! The verbs of a [`Handle`] for those who answer: handlers of requests, errors and ticks. How they are run is the room of the workers.

use super::handle::Handle;
use crate::error::Error;
use crate::handler_error::HandlerError;
use crate::payload::Decode;
use crate::routing::Path;
use crate::service::{
    Finish, IntoPath, IntoPattern, Pattern, Registration, Request, Respond, Tick,
};

/// Handlers.
impl Handle {
    /// Handles requests whose event matches `pattern`: an exact name, one with `*` for any run of characters, an
    /// [`Endpoint`](crate::Endpoint), or a [`Pattern`], which may be a regular expression. Dropping the registration keeps the
    /// handler. An exact name is told to the peers as a service of this node, and one that begins with `/` is a path: the same as
    /// [`register`](Self::register). Ticks run these handlers only if their event begins with `/`; then all that match, `*`
    /// among them, are asked as they are for a request.
    ///
    /// The handler returns a `Result` whose error is a [`HandlerError`], or an [`Outcome`](crate::Outcome), with or without a `Result`
    /// around it. A closure with `?` in it, or one that never fails, may have to name its type: `Ok::<_, HandlerError>(answer)`.
    ///
    /// # Several handlers
    /// Handlers that match are asked in the order of their registration, whatever their patterns, each once at most: the first that
    /// answers, or will answer [`later`](crate::Outcome::later), ends it. [`Outcome::Next`](crate::Outcome::Next) asks the next one,
    /// an error goes to the next handler of [`on_error`](Self::on_error) and, without one, to the caller. Data that do not fit the type of
    /// a handler are such an error (`DECODE`), and so is a panic (`HANDLER_ERROR`; what it said is in the log of this node alone). If
    /// nobody answers the caller gets `NO_REPLY`, and `NO_HANDLER` if nobody was there to be asked (`NOT_FOUND` for a name that begins with
    /// `/`), both at once.
    ///
    /// # Errors
    /// `INVALID_EVENT` when the pattern is none; `INVALID_PATH` when it begins with `/` and is no path, as `/math/*`; `INVALID_ARGUMENT` when it is one service more than a node may announce (4,096, or
    /// 256 KiB of names); `CLOSED`.
    ///
    /// # Blocking
    /// Only while the loop has a backlog of thousands of commands.
    ///
    /// # Threads
    /// The handler runs on the node's workers, several at once. It may block, and it may call other nodes.
    ///
    /// # Example
    /// ```
    /// use threadmesh::{HandlerError, Node, Request};
    ///
    /// let node = Node::builder().start()?;
    /// node.on_request("half", |request: Request<u64>| match request.data % 2 {
    ///     0 => Ok(request.data / 2),
    ///     _ => Err(HandlerError::new("ODD", "cannot be halved")),
    /// })?;
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn on_request<P, T, A, F>(&self, pattern: P, handler: F) -> Result<Registration, Error>
    where
        P: IntoPattern<T, A::Answer>,
        T: Decode,
        A: Respond,
        F: Fn(Request<T>) -> A + Send + Sync + 'static,
    {
        self.core().open()?;
        self.core().service.on_request(pattern, handler)
    }

    /// Serves a [`Path`], such as `/math/add`. It may be written carelessly: `math/add`, `/math/add` and `/math/add/` are one
    /// service. An [`Endpoint`](crate::Endpoint) fixes both types.
    ///
    /// The path is told to the peers, in the order of registration. Only the path itself is served: a prefix of it, as `/math`, is
    /// `NOT_FOUND` unless it is registered, too. Wildcards are for calls, so `/math/*` is refused here.
    ///
    /// # Fire and forget
    /// A tick whose event is the path runs the same handlers, in the same order, with error handlers: what they answer goes
    /// nowhere, and [`Request::wants_answer`] tells them so. Handlers of [`on_tick`](Self::on_tick) for that name hear the tick, too, and
    /// before them. If the last word is an error, it is counted and logged on this node, once a tick. Ticks of one sender over one
    /// link come in sending order, so they also wait for each other; [`Outcome::later`](crate::Outcome::later) ends the turn of one.
    ///
    /// # Handlers
    /// Otherwise this is [`on_request`](Self::on_request), with all that it says of handlers, of several of them and of threads; a pattern
    /// such as `*` or a regular expression that is registered there is asked about paths, too, and is told to nobody.
    ///
    /// # Errors
    /// `INVALID_PATH`, saying what is wrong with it, for the root, a wildcard, and a segment with anything but ASCII letters, digits, `-`,
    /// `_` and `.`; `INVALID_ARGUMENT` when it is one service more than a node may announce; `CLOSED`.
    ///
    /// # Blocking
    /// Only while the loop has a backlog of thousands of commands.
    ///
    /// # Threads
    /// As [`on_request`](Self::on_request).
    ///
    /// # Example
    /// ```
    /// use threadmesh::{HandlerError, Node, Request};
    ///
    /// let server = Node::builder().id("rcv").bind("127.0.0.1:0").start()?;
    /// server.register("math/add", |request: Request<(i64, i64)>| Ok(request.data.0 + request.data.1))?;
    ///
    /// let client = Node::builder().start()?;
    /// client.connect(server.local_addr()?)?;
    /// assert_eq!(client.request::<i64, _>("rcv", "/math/add", &(3, 4))?, 7);
    /// let error = client.request::<i64, _>("rcv", "/math", &(3, 4)).unwrap_err();
    /// assert_eq!(error.code(), "NOT_FOUND");
    /// assert_eq!(server.register("/math/*", |_: Request<()>| Ok(())).unwrap_err().code(), "INVALID_PATH");
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn register<P, T, A, F>(&self, path: P, handler: F) -> Result<Registration, Error>
    where
        P: IntoPath<T, A::Answer>,
        T: Decode,
        A: Respond,
        F: Fn(Request<T>) -> A + Send + Sync + 'static,
    {
        self.core().open()?;
        let path: Path = path.try_into().map_err(Into::into)?;
        self.core().service.on_request(path, handler)
    }

    /// Is asked about the errors of handlers of requests that were registered before it and whose event matches `pattern`: what
    /// [`on_request`](Self::on_request) says of several handlers. It stands in the same order as those.
    ///
    /// It gets the error and the request, and may answer, pass on with [`Outcome::Next`](crate::Outcome::Next) (the error is done
    /// with, and the normal handlers behind it are asked), or return an error, the same or another, which goes to the next error handler.
    /// `Request<Payload>` takes data of any type; if the data do not fit, this handler is passed over. What fails later, in a
    /// [`Responder`](crate::Responder), and what is too large to be sent go straight to the caller.
    ///
    /// # Errors
    /// As [`on_request`](Self::on_request), but a glob that begins with `/`, as `/math/*`, is allowed: it stands for any run of
    /// characters, and is told to nobody.
    ///
    /// # Threads
    /// As [`on_request`](Self::on_request), on the worker of the handler that failed.
    ///
    /// # Example
    /// ```
    /// use threadmesh::{HandlerError, Node, Outcome, Payload, Request};
    ///
    /// let node = Node::builder().id("s").bind("127.0.0.1:0").start()?;
    /// node.on_request("cache:*", |_: Request<String>| Err::<u64, _>(HandlerError::new("DOWN", "no cache")))?;
    /// node.on_error("cache:*", |error, _: Request<Payload>| -> Result<Outcome, HandlerError> {
    ///     if error.code() == "DOWN" { Ok(Outcome::Next) } else { Err(error) }
    /// })?;
    /// node.on_request("cache:length", |request: Request<String>| Ok(request.data.len()))?;
    /// # let client = Node::builder().start()?;
    /// # client.connect(node.local_addr()?)?;
    /// assert_eq!(client.request::<usize, _>("s", "cache:length", "four")?, 4);
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn on_error<P, T, A, F>(&self, pattern: P, handler: F) -> Result<Registration, Error>
    where
        P: IntoPattern<T, A::Answer>,
        T: Decode,
        A: Respond,
        F: Fn(HandlerError, Request<T>) -> A + Send + Sync + 'static,
    {
        self.core().open()?;
        self.core().service.on_error(pattern, handler)
    }

    /// Takes ticks whose event matches `pattern`. Ticks of one sender over one link are handled in sending order. If several
    /// handlers match, each gets the tick once, in the order of their registration, also when one before it fails.
    ///
    /// The handler returns nothing, or a `Result` whose error is a [`HandlerError`]. Nobody waits for that: an error, a panic, and data
    /// that do not fit the handler are counted and logged on this node. Error handlers are not asked about that.
    ///
    /// A tick whose event begins with `/` is also for the service at that path: see [`register`](Self::register). Its handlers come
    /// after those that were registered here.
    ///
    /// # Errors
    /// As [`on_error`](Self::on_error).
    ///
    /// # Threads
    /// As [`on_request`](Self::on_request).
    pub fn on_tick<P, T, A, F>(&self, pattern: P, handler: F) -> Result<Registration, Error>
    where
        P: IntoPattern<T, ()>,
        T: Decode,
        A: Finish,
        F: Fn(Tick<T>) -> A + Send + Sync + 'static,
    {
        self.core().open()?;
        self.core().service.on_tick(pattern, handler)
    }

    /// Removes all handlers, of requests, errors and ticks, that were registered with exactly this pattern, and says how many
    /// there were. [`Registration::remove`] removes one and leaves the others. No message that is taken up later sees them; runs
    /// that have begun go on.
    ///
    /// A name that begins with `/` is a path, and is formatted first; so is a [`Path`], which may be written without that slash.
    /// Any other text is the name of an event: `off("math/add")` does not remove the service `/math/add`.
    ///
    /// # Errors
    /// `INVALID_EVENT` when the pattern is none; `INVALID_PATH` when it begins with `/`, has no `*`, and is no path; `CLOSED`.
    pub fn off<P>(&self, pattern: P) -> Result<usize, Error>
    where
        P: TryInto<Pattern>,
        Error: From<P::Error>,
    {
        self.core().open()?;
        Ok(self.core().service.remove(&pattern.try_into()?))
    }
}
