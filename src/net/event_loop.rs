//! The loop: one thread that owns all sockets of a node and drives its engine. It waits for nobody but the poll.
//!
//! One turn, always in the same order: poll until the engine's deadline (not at all if there is work) → note what is ready → take commands →
//! accept → read → `Due` if due → carry out what the engine wants, writes last. Everything in a turn is bounded, and what is left over is
//! taken up in the next one.

mod outputs;
mod sockets;
#[cfg(all(test, not(loom)))]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};

use super::above::Above;
use super::engine::Engine;
use super::listener::Listener;
use super::mailbox::{Intake, Mailbox, mailbox};
use super::resolver::Resolver;
use super::stream::Stream;
use crate::config::{COMMANDS_PER_TURN, MAILBOX_COMMANDS, YIELD_BEFORE_PARK};
use crate::id::LinkId;
use crate::patience::Patience;
use crate::proto::{Delivery, Input, Mesh, Output};

/// Links count up from small numbers, so these two are free.
const WAKER: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);
/// Readiness taken from one poll; what exceeds it comes with the next.
const EVENTS: usize = 1_024;

/// A loop that has its poll and its mailbox, and waits for its engine and for the rooms above, which may need the mailbox.
pub(crate) struct Prepared<T> {
    poll: Poll,
    mailbox: Mailbox<Input<T>>,
    intake: Intake<Input<T>>,
}

/// Opens the poll and the mailbox. Threads post [`Input::Command`], [`Input::Answer`] and [`Input::Consumed`] and nothing else.
pub(crate) fn prepare<T>() -> io::Result<(Prepared<T>, Mailbox<Input<T>>)> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKER)?;
    let (mailbox, intake) = mailbox(MAILBOX_COMMANDS, waker);
    Ok((Prepared { poll, mailbox: mailbox.clone(), intake }, mailbox))
}

impl<T: Send + 'static> Prepared<T> {
    /// Puts the loop together. A connection beyond so many `links` is closed as soon as it is accepted.
    pub(crate) fn into_loop<A, E>(self, engine: E, above: A, links: usize) -> Loop<T, A, E>
    where
        A: Above<T>,
        E: Engine<T>,
    {
        Loop {
            engine,
            above,
            poll: self.poll,
            events: Events::with_capacity(EVENTS),
            now: Instant::now(),
            patience: Patience::default(),
            intake: self.intake,
            resolver: Resolver::new(self.mailbox),
            listener: None,
            streams: HashMap::new(),
            links,
            crowded: false,
            ready: VecDeque::new(),
            writes: Vec::new(),
            later: Vec::new(),
            scratch: Vec::new(),
            out: Vec::new(),
            spare: Vec::new(),
            unpublished: false,
            held: VecDeque::new(),
            batch: Vec::new(),
            deaf: false,
            ended: false,
        }
    }
}

/// Everything the loop thread owns.
#[allow(clippy::struct_excessive_bools)] // Each is a fact of its own, and any of them may hold beside any other.
pub(crate) struct Loop<T, A, E = Mesh<T>> {
    engine: E,
    above: A,

    poll: Poll,
    events: Events,
    /// The time of this turn.
    now: Instant,
    patience: Patience,

    intake: Intake<Input<T>>,
    resolver: Resolver<T>,

    listener: Option<Listener>,
    streams: HashMap<LinkId, Stream>,
    /// The most streams there may be.
    links: usize,
    /// There were too many streams, and the log says so already.
    crowded: bool,
    /// Streams to serve, in turn; each that stands here has `listed` set.
    ready: VecDeque<LinkId>,
    /// Streams to write in this turn; each that stands here or in `later` has `queued` set.
    writes: Vec<LinkId>,
    /// Streams that have written their share of this turn and have more.
    later: Vec<LinkId>,
    /// Where small pieces are put together.
    scratch: Vec<u8>,

    /// What the engine wants done.
    out: Vec<Output<T>>,
    /// Its other half, empty between two uses.
    spare: Vec<Output<T>>,
    /// The directory has changed and callers do not see it yet.
    unpublished: bool,
    /// What nobody may see before that; empty unless `unpublished`.
    held: VecDeque<Output<T>>,
    /// Messages for the handlers, handed over once a turn.
    batch: Vec<Delivery>,
    /// The engine has said that it has stopped: it refuses commands, and wants no sockets any more.
    deaf: bool,
    /// That was carried out: the loop ends.
    ended: bool,
}

impl<T: Send + 'static, A: Above<T>, E: Engine<T>> Loop<T, A, E> {
    /// Runs until the engine has stopped.
    pub(crate) fn run(mut self) {
        while !self.ended {
            if let Err(error) = self.turn() {
                log::error!(target: "threadmesh::net", "the loop ends, polling failed: {error}");
                break;
            }
        }
        self.finish();
    }

    fn turn(&mut self) -> io::Result<()> {
        self.wait()?;
        self.now = Instant::now();
        self.take_commands();
        self.accept();
        self.read();
        self.come_back_when_due();
        self.apply();
        Ok(())
    }

    /// Waits until there is something to do, looking for a moment before it parks.
    fn wait(&mut self) -> io::Result<()> {
        if self.is_busy() {
            return self.look(Some(Duration::ZERO));
        }
        if self.patience.looks() && self.look_for_a_moment()? {
            return Ok(());
        }
        self.park()
    }

    /// Whether there is something to do without any news from the poll.
    fn is_busy(&self) -> bool {
        self.unpublished
            || !self.ready.is_empty()
            || !self.writes.is_empty()
            || !self.later.is_empty()
            || !self.intake.is_empty()
            || self.listener.as_ref().is_some_and(|listener| listener.is_ready(self.now))
    }

    /// Polls without parking, and lets other threads run between two looks: on few cores it is they who bring the news.
    fn look_for_a_moment(&mut self) -> io::Result<bool> {
        let since = Instant::now();
        loop {
            self.look(Some(Duration::ZERO))?;
            self.now = Instant::now();
            let took = self.now.saturating_duration_since(since);
            if self.is_busy() {
                self.patience.paid(took);
                return Ok(true);
            }
            if self.come_back().is_some_and(|instant| instant <= self.now) {
                return Ok(true);
            }
            if took >= YIELD_BEFORE_PARK {
                self.patience.missed(took);
                return Ok(false);
            }
            thread::yield_now();
        }
    }

    /// Sleeps until a socket, a post or the deadline.
    fn park(&mut self) -> io::Result<()> {
        if !self.intake.arm() {
            self.intake.disarm();
            return self.look(Some(Duration::ZERO));
        }
        let since = Instant::now();
        let timeout = self.come_back().map(|instant| instant.saturating_duration_since(since));
        let looked = self.look(timeout);
        self.intake.disarm();
        self.patience.parked(since.elapsed());
        looked
    }

    /// When the next turn is due even if nothing happens.
    fn come_back(&self) -> Option<Instant> {
        let retry = self.listener.as_ref().and_then(Listener::retry);
        self.engine.deadline().into_iter().chain(retry).min()
    }

    /// Polls once and notes what is ready.
    fn look(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => self.note_readiness(),
            // A signal: the turn goes on with what is known.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn take_commands(&mut self) {
        for _ in 0..COMMANDS_PER_TURN {
            let Some(input) = self.intake.take() else { return };
            self.feed(input);
        }
    }

    fn come_back_when_due(&mut self) {
        let Some(deadline) = self.engine.deadline().filter(|_| !self.deaf) else { return };
        self.now = Instant::now();
        if deadline <= self.now {
            self.feed(Input::Due);
        }
    }

    /// Tells the engine. A link that it hangs up on is closed here and now, because nothing may be read from it after this.
    fn feed(&mut self, input: Input<T>) {
        let before = self.out.len();
        self.engine.handle(self.now, input, &mut self.out);
        for output in &self.out[before..] {
            match output {
                Output::Hang { link } => close(&mut self.streams, *link, &self.poll),
                Output::Stopped => self.deaf = true,
                _ => {}
            }
        }
    }

    /// Closes everything, so that ports are free and posts fail before anybody hears of the end.
    fn finish(mut self) {
        for (_, stream) in self.streams.drain() {
            stream.close(self.poll.registry());
        }
        self.unlisten();
        let Self { mut engine, mut above, mut out, held, now, poll, intake, resolver, .. } = self;
        // The engine knows whom to tell of what was posted and comes to nothing.
        while let Some(input) = intake.take() {
            engine.handle(now, input, &mut out);
        }
        drop(intake);
        for output in held.into_iter().chain(out) {
            match output {
                Output::Complete { token, result } => above.complete(token, result),
                Output::Event(event) => above.event(event),
                _ => {}
            }
        }
        drop((resolver, engine, poll));
        above.stopped();
    }
}

fn close(streams: &mut HashMap<LinkId, Stream>, link: LinkId, poll: &Poll) {
    if let Some(stream) = streams.remove(&link) {
        stream.close(poll.registry());
    }
}
