//! The engine: a value that takes inputs and appends outputs. No socket, clock, thread, lock or channel.
//!
//! [`Mesh`] is one node's half of every link it has. The shell (`net/`) and the simulated world (`sim/`) drive it through
//! the same two enums, so a test is a list of inputs and a transcript is a list of outputs.

#[cfg(test)]
mod bad_input;
mod connections;
mod counters;
mod effect;
mod env;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod link;
mod links;
mod memory;
mod mesh;
mod messages;
mod peers;
mod planted;
mod queue;
mod reach;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(test), allow(dead_code))] // A fuzz target needs neither the seeds nor the stories.
mod sim;
mod stop;
#[cfg(test)]
mod tests;
mod timers;
mod topology;
mod traffic;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::config::{Config, DIRECTORY_PAGE_BYTES};
use crate::dropped::Dropped;
use crate::error::Error;
use crate::event::EventName;
use crate::headers::Headers;
use crate::id::{CallId, InstanceId, LinkId, NodeId, PeerKey};
use crate::node_event::{NodeEvent, PeerInfo};
use crate::options::Options;
use crate::payload::Payload;
use crate::routing::{Directory, PeerEntry, Plan, Search, Step};
use crate::routing_stats::RoutingStats;

pub(crate) use crate::routing::Page;
pub(crate) use crate::wire::DirectoryQuestion;
pub(crate) use mesh::Mesh;
#[cfg(any(test, fuzzing))]
pub(crate) use mesh::Posted;

/// What the engine knows about the node it is part of.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) id: NodeId,
    pub(crate) instance: InstanceId,
    pub(crate) options: Options,
    pub(crate) services: Vec<String>,
    pub(crate) host: Option<String>,
    pub(crate) advertise: Option<Address>,
    pub(crate) config: Config,
    /// Present in routers.
    pub(crate) router: Option<RouterRole>,
}

/// What a router is told about its work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouterRole {
    /// Whether it tells who is there, to those who choose themselves.
    pub(crate) tells: bool,
    /// Whether the program has given it a strategy, which must not run on the loop.
    pub(crate) chooses_elsewhere: bool,
    /// How often the program is told what was forwarded, if it is.
    pub(crate) stats_every: Option<Duration>,
}

/// What happens to the engine. `T` is what a finished command wakes: a oneshot in production, a label in the simulator.
#[derive(Debug)]
pub(crate) enum Input<T> {
    /// The listener accepted a connection; the shell drew `link` with [`Mesh::draw_link`].
    Accepted { link: LinkId, local: SocketAddr, remote: SocketAddr },
    /// A dial succeeded.
    Connected { link: LinkId, local: SocketAddr, remote: SocketAddr },
    /// `len` bytes were put into [`Mesh::space`].
    Received { link: LinkId, len: usize },
    /// The kernel took `len` bytes of [`Mesh::outgoing`].
    Sent { link: LinkId, len: usize },
    /// The socket is gone, or the other side will send no more, or a dial failed. The shell has forgotten the socket
    /// unless the cause is [`Cause::Eof`], in which case it waits for [`Output::Hang`].
    Lost { link: LinkId, cause: Cause },
    /// A thread wants something.
    Command(Command<T>),
    /// A handler has finished a request; `None` never comes: a responder that is dropped answers `NO_REPLY`.
    Answer { reply_to: ReplyTo, answer: Answer },
    /// Handlers have finished ticks that came over this link.
    Consumed { link: LinkId, ticks: u64, cost: u64 },
    /// A name was resolved, or not.
    Resolved { query: QueryId, result: Result<Vec<SocketAddr>, String> },
    /// The answer to [`Output::Choose`].
    Chosen { call: CallId, chosen: Result<Chosen, Error> },
    /// The answer to [`Output::Listen`].
    Listening(Result<SocketAddr, String>),
    /// [`Mesh::deadline`] has passed.
    Due,
}

/// What the engine wants done, in this order.
#[derive(Debug)]
pub(crate) enum Output<T> {
    /// Resolve a name, off the loop, and answer with [`Input::Resolved`].
    Resolve { query: QueryId, address: Address },
    /// Listen on the first of these that works, and answer with [`Input::Listening`].
    Listen { addrs: Vec<SocketAddr> },
    /// Close the listener, also one whose [`Input::Listening`] is still under way.
    Unlisten,
    /// Open a connection, and answer with [`Input::Connected`] or [`Input::Lost`].
    Dial { link: LinkId, addr: SocketAddr },
    /// There is something in [`Mesh::outgoing`] for this link. At most one per link and turn need be acted on.
    Write { link: LinkId },
    /// Shut the write side once everything outgoing is written.
    Shut { link: LinkId },
    /// Drop the socket now. No input for this link may follow.
    Hang { link: LinkId },
    /// Give a message to the handlers.
    Deliver(Delivery),
    /// A command has finished.
    Complete { token: T, result: Result<Done, Error> },
    /// [`Mesh::directory`] has changed: publish it before any later `Complete` or `Event` is seen by anybody.
    Publish,
    /// Tell the program.
    Event(NodeEvent),
    /// Look for somebody, off the loop, and answer with [`Input::Chosen`].
    Choose(Choose),
    /// The engine has stopped; no output follows and every input is ignored.
    Stopped,
}

/// Why a link is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// The other side shut its writing.
    Eof,
    /// The connection was reset, or reading or writing failed.
    Broken(String),
    /// The dial failed.
    Refused(String),
}

/// A question to the resolver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct QueryId(pub(crate) u64);

/// What is to be looked for among the peers of a router where the loop has no time for it: by the strategy of the program, by an
/// expression, or among very many.
#[derive(Debug)]
pub(crate) struct Choose {
    pub(crate) call: CallId,
    pub(crate) directory: Directory,
    pub(crate) search: Search,
    /// `None`: whom to place a message with. Else: a page of all who match.
    pub(crate) page: Option<Page>,
}

/// Who was found.
#[derive(Debug)]
pub(crate) enum Chosen {
    /// Whom to place the message with, one after the other.
    Steps(Vec<Step>),
    Page {
        peers: Vec<(NodeId, Options)>,
        more: bool,
    },
}

/// What threads ask of the engine.
#[derive(Debug)]
pub(crate) enum Command<T> {
    /// Send a request. Boxed parts are those that most requests lack.
    Request(Request<T>),
    /// Send a tick.
    Tick(Tick<T>),
    /// The caller gave up, or dropped its `Pending`.
    Cancel { call: CallId },
    /// `Done::Listening`.
    Bind { address: Address, token: T },
    /// `Done::Nothing`.
    Unbind { token: T },
    /// `Done::Dropped`.
    Dropped { token: T },
    /// `Done::Connected`.
    Connect { address: Address, mode: ConnectMode, deadline: Instant, token: T },
    /// `Done::Nothing`. Keeps dialling for ever.
    ConnectAlways { address: Address, token: T },
    /// `Done::Joined`: dials a seed once and asks it for the members, which it must have said by `answered_by`, and dials them.
    Join { address: Address, answered_by: Instant, deadline: Instant, token: T },
    /// `Done::Nothing`. Keeps dialling a seed for ever, and asks it whenever it is reached.
    JoinAlways { address: Address, token: T },
    /// `Done::Nothing`, also when there was nothing to disconnect.
    Disconnect { whom: Whom, token: T },
    /// `Done::Peers`: asks a router which of its peers match.
    AskRouter {
        call: CallId,
        router: PeerKey,
        question: DirectoryQuestion,
        deadline: Instant,
        token: T,
    },
    /// `Done::Routing`: what this router has counted; then it may count from zero.
    RoutingStats { reset: bool, token: T },
    /// `Done::Nothing` once the peer has confirmed every tick that was accepted for it before.
    Flush { peer: PeerKey, deadline: Instant, token: T },
    /// Keep the peers by their values of this option, for those who choose by it.
    Index { key: String },
    /// Replace this node's options and tell all peers.
    SetOptions { options: Options },
    /// Replace the list of services and tell all peers.
    SetServices { services: Vec<String> },
    /// `Done::Stopped`, at the latest after `bound`.
    Stop { bound: Duration, token: Option<T> },
}

impl<T> Command<T> {
    /// Whom this command wakes when it is done: who must be told when it never will be.
    pub(crate) fn into_token(self) -> Option<T> {
        match self {
            Self::Request(request) => Some(request.token),
            Self::Tick(tick) => tick.wait.map(|(_, token)| token),
            Self::Bind { token, .. }
            | Self::Unbind { token }
            | Self::Dropped { token }
            | Self::Connect { token, .. }
            | Self::ConnectAlways { token, .. }
            | Self::Join { token, .. }
            | Self::JoinAlways { token, .. }
            | Self::Disconnect { token, .. }
            | Self::AskRouter { token, .. }
            | Self::RoutingStats { token, .. }
            | Self::Flush { token, .. } => Some(token),
            Self::Stop { token, .. } => token,
            Self::Cancel { .. }
            | Self::Index { .. }
            | Self::SetOptions { .. }
            | Self::SetServices { .. } => None,
        }
    }
}

/// A request on its way to a peer.
#[derive(Debug)]
pub(crate) struct Request<T> {
    /// Drawn by the caller's thread from the node's counter, so that it can cancel.
    pub(crate) call: CallId,
    pub(crate) plan: Plan,
    pub(crate) message: Message,
    pub(crate) deadline: Instant,
    /// How many requests deep the asking handler is; 0 from a plain thread.
    pub(crate) depth: u8,
    /// `Done::Answered`.
    pub(crate) token: T,
}

/// A tick on its way to a peer.
#[derive(Debug)]
pub(crate) struct Tick<T> {
    pub(crate) plan: Plan,
    pub(crate) message: Message,
    /// Present when the caller waits for room (`Done::Nothing` when the tick was taken): until when, and whom to wake.
    pub(crate) wait: Option<(Instant, T)>,
}

/// What a request and a tick have in common.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) event: EventName,
    pub(crate) headers: Headers,
    pub(crate) payload: Payload,
}

/// Whether a refused dial is repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ConnectMode {
    /// Until the deadline.
    Patient,
    /// Every address of the name once.
    Once,
    /// The same, for what is sent now: the link stays, and is not dialled again when it is lost.
    Passing,
}

/// Whom to disconnect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Whom {
    Address(Address),
    Id(NodeId),
}

/// How a command ended well.
#[derive(Debug)]
pub(crate) enum Done {
    Nothing,
    Listening(SocketAddr),
    Connected(PeerInfo),
    /// The seed has answered: the other members it named, those that have joined and those that could not be reached.
    Joined {
        seed: NodeId,
        reached: Vec<NodeId>,
        unreached: Vec<NodeId>,
    },
    Answered(Answered),
    /// A page of the peers of a router that match, in the order of their ids.
    Peers {
        peers: Vec<(NodeId, Options)>,
        /// There are others behind the last one.
        more: bool,
    },
    Routing(Box<RoutingStats>),
    Stopped(StopCut),
    Dropped(Dropped),
}

/// An answer to a request.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) payload: Payload,
    /// Who sent it.
    pub(crate) peer: Arc<PeerEntry>,
    /// Whose handler answered, if that was not the sender's: the sender is a router then.
    pub(crate) handler: Option<NodeId>,
}

/// What a stop cut off.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct StopCut {
    /// Calls of ours that were pending.
    pub(crate) calls: u64,
    /// Requests of others that were not answered.
    pub(crate) unanswered: u64,
    /// Ticks of ours that were never written.
    pub(crate) unwritten: u64,
    /// Ticks of ours that were written but not confirmed.
    pub(crate) unconfirmed: u64,
}

/// An inbound request of a peer, and so the address of its reply.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ReplyTo {
    pub(crate) link: LinkId,
    pub(crate) call: CallId,
}

/// What handlers made of a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Reply(Payload),
    /// The handler's own error.
    Failure {
        code: String,
        message: String,
        data: Option<Payload>,
    },
    /// Peers of this router that match.
    Page {
        peers: Vec<(NodeId, Options)>,
        more: bool,
    },
    /// An error of ours: `NO_HANDLER`, `NO_REPLY`, `BUSY`, `DECODE`, `EXPIRED`, `HANDLER_ERROR` after a panic …
    Fault(Error),
}

impl Answer {
    /// How long its payload is.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Reply(payload) | Self::Failure { data: Some(payload), .. } => payload.len(),
            Self::Page { .. } => DIRECTORY_PAGE_BYTES,
            Self::Failure { data: None, .. } | Self::Fault(_) => 0,
        }
    }
}

/// A message for the handlers of this node.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) link: LinkId,
    /// Who sent it, as the directory knows them now.
    pub(crate) sender: Arc<PeerEntry>,
    /// Who asked first, if that was not the sender.
    pub(crate) origin: Option<NodeId>,
    pub(crate) message: Message,
    pub(crate) work: Work,
}

/// What kind of answer a message wants.
#[derive(Debug)]
pub(crate) enum Work {
    Request {
        reply_to: ReplyTo,
        deadline: Instant,
        depth: u8,
        cancelled: Arc<AtomicBool>,
    },
    /// A tick, and what it counts in the window it came through: reported in [`Input::Consumed`] when it is finished.
    Tick {
        cost: u64,
    },
}
