//! The verbs of a [`Handle`] for those who answer: handlers of requests, errors and ticks. How they are run is the room of the workers.

use super::handle::Handle;
use crate::error::Error;
use crate::handler_error::HandlerError;
use crate::payload::Decode;
use crate::service::{Finish, IntoPattern, Pattern, Registration, Request, Respond, Tick};

/// Handlers.
impl Handle {
    /// Handles requests whose event matches `pattern`: an exact name, one with `*` for any run of characters, an
    /// [`Endpoint`](crate::Endpoint), or a [`Pattern`], which may be a regular expression. Dropping the registration keeps the
    /// handler.
    ///
    /// The handler returns a `Result` whose error is a [`HandlerError`], or an [`Outcome`](crate::Outcome), with or without a `Result`
    /// around it. A closure with `?` in it, or one that never fails, may have to name its type: `Ok::<_, HandlerError>(answer)`.
    ///
    /// # Several handlers
    /// Handlers that match are asked in the order of their registration, whatever their patterns, each once at most: the first that
    /// answers, or will answer [`later`](crate::Outcome::later), ends it. [`Outcome::Next`](crate::Outcome::Next) asks the next one,
    /// an error goes to the next handler of [`on_error`](Self::on_error) and, without one, to the caller. Data that do not fit the type of
    /// a handler are such an error (`DECODE`), and so is a panic (`HANDLER_ERROR`; what it said is in the log of this node alone). If
    /// nobody answers the caller gets `NO_REPLY`, and `NO_HANDLER` if nobody was there to be asked, both at once.
    ///
    /// # Errors
    /// `INVALID_EVENT` when the pattern is none; `INVALID_ARGUMENT` when it is one service more than a node may announce (4,096, or
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

    /// Is asked about the errors of handlers of requests that were registered before it and whose event matches `pattern`: what
    /// [`on_request`](Self::on_request) says of several handlers. It stands in the same order as those.
    ///
    /// It gets the error and the request, and may answer, pass on with [`Outcome::Next`](crate::Outcome::Next) (the error is done
    /// with, and the normal handlers behind it are asked), or return an error, the same or another, which goes to the next error handler.
    /// `Request<Payload>` takes data of any type; if the data do not fit, this handler is passed over. What fails later, in a
    /// [`Responder`](crate::Responder), and what is too large to be sent go straight to the caller.
    ///
    /// # Errors
    /// As [`on_request`](Self::on_request).
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
    /// that do not fit the handler are counted and logged on this node. Error handlers are for requests alone.
    ///
    /// # Errors
    /// As [`on_request`](Self::on_request).
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
    /// # Errors
    /// `INVALID_EVENT` when the pattern is none; `CLOSED`.
    pub fn off<P>(&self, pattern: P) -> Result<usize, Error>
    where
        P: TryInto<Pattern>,
        Error: From<P::Error>,
    {
        self.core().open()?;
        Ok(self.core().service.remove(&pattern.try_into()?))
    }
}
