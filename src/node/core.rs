//! What all handles of a node share: the way to the loop, the directory, and the rules that hold for every call.

use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::callbacks::Callbacks;
use super::chooser::Chooser;
use super::events::Hub;
use super::life::Life;
use super::lock;
use super::lookup::{Choice, Lookup};
use super::news::News;
use super::steps::Steps;
use super::wake::{self, Arrival, Nothing, Slot, Wake};
use crate::address::Address;
use crate::config::{CALLER_GRACE, Config, LONGEST_TIMEOUT};
use crate::dropped::{Dropped, NO_ROOM};
use crate::error::{Error, ErrorKind, Execution};
use crate::home::Home;
use crate::id::{CallId, LinkId, NodeId};
use crate::net::{Mailbox, Unposted};
use crate::node_event::Directions;
use crate::options::Options;
use crate::proto::{Command, Done, Input, Local};
use crate::routing::{Directory, PeerEntry, SendStrategy, Strategy, cost};
use crate::service::{self, Service};

/// Ids named in a `NODE_NOT_FOUND`, as a help against typing errors.
const IDS_NAMED: usize = 8;

/// How often the loop looks for a moment when nobody reads the directory.
const LOOKS: usize = 32;

/// The shared part of a node.
pub(crate) struct Core {
    pub(crate) id: NodeId,
    pub(crate) home: Home,
    pub(crate) options: Mutex<Options>,
    pub(crate) is_router: bool,
    pub(crate) config: Config,
    pub(crate) hub: Hub,
    pub(crate) callbacks: Arc<Callbacks>,
    /// Looks for peers where the loop of a router has no time for it.
    pub(crate) chooser: Chooser,
    pub(crate) service: Service,
    /// How calls choose that do not say so; by chance if the node does not either.
    pub(crate) strategy: Option<Arc<dyn Strategy>>,
    /// How calls by path choose that do not say so. It can be another one at any time.
    pub(super) send_strategy: RwLock<Arc<dyn SendStrategy>>,
    /// The node itself as its calls by path saw it last.
    pub(super) own: Mutex<Arc<PeerEntry>>,
    /// What the program says about where others find it.
    pub(super) advertise: Option<Address>,
    pub(super) host: Option<String>,
    /// The keys that the engine was asked to keep the peers by.
    pub(super) indexed: Mutex<Vec<String>>,
    /// There are as many of these as may be, so that nobody need look.
    pub(super) all_indexed: AtomicBool,
    pub(crate) life: Life,
    pub(crate) bound: Bound,
    pub(crate) steps: Steps,
    mailbox: Mailbox<Input<Wake>>,
    /// Written by the loop alone, which never waits for it; see [`Core::publish`].
    directory: RwLock<Directory>,
    /// The key of the router that a call has begun with last.
    pub(super) last_router: AtomicU64,
    /// Whether there are routers in it, so that calls without any need not look.
    knows_routers: AtomicBool,
    /// Told when the directory is another one, and its events are told.
    pub(super) news: News,
    next_call: AtomicU64,
    calls_pending: Arc<AtomicUsize>,
    /// Calls beyond those that may be pending.
    calls_refused: AtomicU64,
    /// Messages that were refused because their link had no room.
    backpressured: AtomicU64,
    /// Commands that were refused because too many waited for the loop.
    unposted: AtomicU64,
}

/// How calls choose that do not say so.
pub(crate) struct Strategies {
    pub(crate) choose: Option<Arc<dyn Strategy>>,
    pub(crate) send: Arc<dyn SendStrategy>,
}

/// Where the node listens.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    /// Held while a bind or unbind is under way, so that what is noted is what is true.
    pub(crate) turn: Mutex<()>,
    pub(crate) address: Mutex<Option<SocketAddr>>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Core({:?})", self.id)
    }
}

thread_local! {
    static ON_LOOP: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as a loop thread, on which no call may block.
pub(crate) fn this_is_a_loop_thread() {
    ON_LOOP.set(true);
}

/// Whether this is a loop thread, of whichever node.
pub(crate) fn on_loop_thread() -> bool {
    ON_LOOP.get()
}

impl Core {
    pub(crate) fn new(
        local: Local,
        own: Arc<PeerEntry>,
        mailbox: Mailbox<Input<Wake>>,
        service: Service,
        strategies: Strategies,
    ) -> Self {
        let Local { id, options, config, advertise, host, router, .. } = local;
        let loops = mailbox.clone();
        let chooser = Chooser::new(id.clone(), strategies.choose.clone(), move |call, chosen| {
            loops.post(Input::Chosen { call, chosen }).is_ok()
        });
        Self {
            id,
            home: Home::here(),
            options: Mutex::new(options),
            is_router: router.is_some(),
            hub: Hub::new(config.limits.events_per_subscriber),
            callbacks: Arc::default(),
            chooser,
            config,
            service,
            strategy: strategies.choose,
            send_strategy: RwLock::new(strategies.send),
            own: Mutex::new(own),
            advertise,
            host,
            indexed: Mutex::default(),
            all_indexed: AtomicBool::new(false),
            life: Life::new(),
            bound: Bound::default(),
            steps: Steps::default(),
            mailbox,
            directory: RwLock::default(),
            knows_routers: AtomicBool::new(false),
            last_router: AtomicU64::new(0),
            news: News::default(),
            next_call: AtomicU64::new(1),
            calls_pending: Arc::default(),
            calls_refused: AtomicU64::new(0),
            backpressured: AtomicU64::new(0),
            unposted: AtomicU64::new(0),
        }
    }

    /// # Errors
    /// `WOULD_DEADLOCK` on a loop thread, `CLOSED` after the node's end.
    pub(crate) fn may_block(&self) -> Result<(), Error> {
        Self::not_on_a_loop_thread()?;
        self.open()
    }

    /// # Errors
    /// `WOULD_DEADLOCK` on a loop thread.
    pub(crate) fn not_on_a_loop_thread() -> Result<(), Error> {
        if on_loop_thread() {
            let message = "a blocking call on the thread that would have to answer it";
            return Err(Error::new(ErrorKind::WouldDeadlock, message));
        }
        Ok(())
    }

    /// The same for a tick, which costs less than asking the system whether this is the node's process.
    pub(crate) fn may_tick(&self) -> Result<(), Error> {
        Self::not_on_a_loop_thread()?;
        if !self.home.seems_here() {
            return Err(self.not_at_home());
        }
        if self.life.is_closed() { Err(self.closed()) } else { Ok(()) }
    }

    /// # Errors
    /// `CLOSED` after the node's end, and in a fork of its process.
    pub(crate) fn open(&self) -> Result<(), Error> {
        self.at_home()?;
        if self.life.is_closed() { Err(self.closed()) } else { Ok(()) }
    }

    /// Asked before any lock is taken: one that another thread held at the fork is never given back.
    ///
    /// # Errors
    /// `CLOSED` in a fork of the node's process.
    pub(crate) fn at_home(&self) -> Result<(), Error> {
        if self.home.is_here() { Ok(()) } else { Err(self.not_at_home()) }
    }

    fn not_at_home(&self) -> Error {
        let message = format!(
            "the node {:?} belongs to process {}, of which this one is a fork; start a node of its own here",
            self.id.as_str(),
            self.home.process()
        );
        Error::new(ErrorKind::Closed, message)
    }

    pub(crate) fn closed(&self) -> Error {
        Error::new(ErrorKind::Closed, format!("the node {:?} has stopped", self.id.as_str()))
    }

    /// Posts a command; waits while the mailbox is full, at most until `latest`.
    pub(crate) fn post(&self, command: Command<Wake>, latest: Instant) -> Result<(), Error> {
        self.post_until(command, || latest)
    }

    /// The same, reading the clock only if the mailbox is full.
    pub(crate) fn post_until(
        &self,
        command: Command<Wake>,
        latest: impl FnOnce() -> Instant,
    ) -> Result<(), Error> {
        match self.mailbox.post_deadline(Input::Command(command), latest) {
            Ok(()) => Ok(()),
            Err(Unposted::Closed(_)) => Err(self.closed()),
            Err(Unposted::Full(input)) => {
                self.unposted.fetch_add(1, Relaxed);
                self.give_back(&input);
                let message = "the loop has a backlog and took no command in time";
                Err(Error::new(ErrorKind::Backpressure, message))
            }
        }
    }

    /// Posts many commands with one ring; waits while the mailbox is full.
    pub(crate) fn post_all(&self, commands: Vec<Command<Wake>>) -> Result<(), Error> {
        let inputs = commands.into_iter().map(Input::Command);
        self.mailbox.post_all(inputs).map_err(|_| self.closed())
    }

    /// Cancels a call. After the end there is nothing to cancel, and in a fork it is not its own.
    pub(crate) fn post_cancel(&self, call: CallId) {
        if !self.home.is_here() {
            return;
        }
        let _ = self.mailbox.post(Input::Command(Command::Cancel { call }));
    }

    /// Posts what `command` makes of a token, and waits for it to finish.
    ///
    /// `None` when the loop has not answered shortly after `deadline`, though it should have.
    pub(crate) fn ask(
        &self,
        deadline: Instant,
        command: impl FnOnce(Wake) -> Command<Wake>,
    ) -> Result<Option<Done>, Error> {
        self.may_block()?;
        let (wake, receiver) = Wake::new(None);
        self.post(command(wake), deadline)?;
        self.done(&receiver, deadline).transpose()
    }

    /// Waits until shortly after `deadline` for a command to finish; `None` when it has not.
    pub(crate) fn done(
        &self,
        receiver: &Receiver<Arrival>,
        deadline: Instant,
    ) -> Option<Result<Done, Error>> {
        let latest = deadline.checked_add(CALLER_GRACE).unwrap_or(deadline);
        match wake::wait(receiver, latest) {
            Ok(arrival) => Some(arrival.result),
            Err(Nothing::Gone) => Some(Err(self.closed().with_execution(Execution::Unknown))),
            Err(Nothing::Late) => None,
        }
    }

    /// The peers as of now. A fork has none.
    pub(crate) fn directory(&self) -> Directory {
        if !self.home.is_here() {
            return Directory::default();
        }
        self.directory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows the peers to all callers. `false` if callers were reading whenever this looked: then the loop comes again. They
    /// hold the lock for a lookup and no longer, so one of a few looks nearly always succeeds.
    pub(crate) fn publish(&self, directory: &Directory) -> bool {
        for _ in 0..LOOKS {
            let mut shown = match self.directory.try_write() {
                Ok(shown) => shown,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    std::thread::yield_now();
                    continue;
                }
            };
            let before = std::mem::replace(&mut *shown, directory.clone());
            self.knows_routers.store(!directory.routers().is_empty(), Relaxed);
            drop(shown);
            // What the old directory alone held is freed here, after the lock.
            drop(before);
            return true;
        }
        false
    }

    /// The node has stopped and has no peers.
    pub(crate) fn forget_peers(&self) {
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = Directory::default();
        self.knows_routers.store(false, Relaxed);
        self.news.tell();
    }

    /// Looks, and again whenever something has changed, until something is found or the time is over.
    pub(super) fn look_until<X>(
        &self,
        until: Option<Instant>,
        look: impl Fn() -> Result<Option<X>, Error>,
    ) -> Result<Option<X>, Error> {
        loop {
            self.may_block()?;
            let seen = self.news.count();
            if let Some(found) = look()? {
                return Ok(Some(found));
            }
            if !self.news.wait(seen, until) {
                // Somebody may have come in the last moment.
                return look();
            }
        }
    }

    /// The same for a call, which looks once if it has no patience, and never waits beyond its deadline.
    pub(super) fn look_patiently<X>(
        &self,
        patience: Option<Duration>,
        deadline: Option<Instant>,
        look: impl Fn() -> Result<Option<X>, Error>,
    ) -> Result<Option<X>, Error> {
        let Some(patience) = patience else { return look() };
        let until = Instant::now().checked_add(patience.min(LONGEST_TIMEOUT));
        // A tick has no deadline, but the handler that sends it may have one.
        let inherited = service::context::current().and_then(|context| context.deadline);
        self.look_until(until.into_iter().chain(deadline).chain(inherited).min(), look)
    }

    /// Whether there is a router that may be asked.
    pub(super) fn knows_routers(&self) -> bool {
        self.knows_routers.load(Relaxed)
    }

    /// The peer of that id, if a link to it stands in one of these directions.
    pub(crate) fn find(&self, id: &str, directions: Directions) -> Option<Lookup> {
        let found = {
            let shown = self.directory.read().unwrap_or_else(PoisonError::into_inner);
            shown.get(id).cloned()
        };
        let reached = found.filter(|peer| peer.face(directions).is_some());
        reached.map(|peer| Lookup::one(Choice::new(peer), directions))
    }

    pub(super) fn not_found(&self, id: &str, directions: Directions) -> Error {
        let message = if id == self.id.as_str() {
            format!("{id:?} is this node itself, which is not among its own peers")
        } else if let Some(peer) = self.directory().get(id) {
            if peer.face(directions).is_some() {
                format!("{id:?} is connected, but the call excepts it")
            } else {
                format!(
                    "{id:?} is connected, but not in a direction that the call allows ({directions})"
                )
            }
        } else {
            format!("{id:?} is not connected; {}", self.who_is())
        };
        let error = Error::new(ErrorKind::NodeNotFound, message);
        match NodeId::new(id) {
            Ok(peer) => error.with_peer(peer),
            Err(_) => error,
        }
    }

    /// The first few peers, as a help.
    fn who_is(&self) -> String {
        let directory = self.directory();
        let ids: Vec<_> = directory.iter().take(IDS_NAMED).map(|peer| peer.id.as_str()).collect();
        match directory.len() - ids.len() {
            _ if ids.is_empty() => "there are no peers".to_owned(),
            0 => format!("the peers are {}", ids.join(", ")),
            others => format!("the peers are {} and {others} more", ids.join(", ")),
        }
    }

    pub(crate) fn draw_call(&self) -> CallId {
        CallId(self.next_call.fetch_add(1, Relaxed))
    }

    /// One of the calls that this node may have pending.
    pub(crate) fn take_slot(&self) -> Result<Slot, Error> {
        let limit = self.config.limits.calls_pending;
        Slot::take(&self.calls_pending, limit).ok_or_else(|| {
            self.calls_refused.fetch_add(1, Relaxed);
            let message = format!("{limit} calls are pending at this node, as many as may be");
            Error::new(ErrorKind::Backpressure, message)
        })
    }

    /// Counts a message that is refused for want of room on its link.
    pub(crate) fn count_backpressure(&self, why: Error) -> Error {
        if why.kind() == ErrorKind::Backpressure {
            self.backpressured.fetch_add(1, Relaxed);
        }
        why
    }

    /// What was dropped and refused outside of the engine.
    pub(crate) fn add_dropped(&self, dropped: &mut Dropped) {
        let service = self.service.stats();
        dropped.add("calls beyond those that may be pending", self.calls_refused.load(Relaxed));
        dropped.add(NO_ROOM, self.backpressured.load(Relaxed));
        dropped.add("commands beyond those that may wait", self.unposted.load(Relaxed));
        dropped.add("events that subscribers missed", self.hub.missed());
        dropped.add("requests beyond the queue of the workers", service.pool.full);
        dropped.add("nested requests while all workers waited", service.pool.all_waiting);
        dropped.add("ticks that no handler was for", service.unhandled_ticks);
        dropped.add("ticks whose handler failed", service.failed_ticks);
    }

    /// Gives back the room of a message that was never posted.
    pub(crate) fn give_back(&self, input: &Input<Wake>) {
        let (plan, message, is_call) = match input {
            Input::Command(Command::Request(request)) => (&request.plan, &request.message, true),
            Input::Command(Command::Tick(tick)) => {
                (&tick.plan, &tick.message, tick.plan.first.onward.is_some())
            }
            _ => return,
        };
        let own = plan.room.filter(|room| *room == LinkId::OWN).map(|_| self.own_entry());
        let directory = self.directory();
        let peers = own.iter().chain(directory.iter());
        let mut faces = peers.flat_map(|peer| peer.up.iter().chain(peer.down.iter()));
        let Some(face) = faces.find(|face| Some(face.link) == plan.room) else { return };
        let cost = cost(message.payload.len());
        face.gauge.give_queue(cost);
        if is_call {
            face.gauge.give_call_slot();
        } else {
            face.gauge.give_ticks(cost as u64);
        }
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        if self.home.is_here() { *lock(&self.bound.address) } else { None }
    }

    /// This node's options. A fork may not be able to see more of them than the id.
    pub(crate) fn options(&self) -> Options {
        if self.home.is_here() {
            return lock(&self.options).clone();
        }
        match self.options.try_lock() {
            Ok(options) => options.clone(),
            Err(_) => Options::default().with_id(&self.id),
        }
    }
}
