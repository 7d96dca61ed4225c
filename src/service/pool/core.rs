//! The state of a pool under its one lock, and every decision about workers. No thread, no clock and no user code is here: each
//! method changes the counts and says what is to be done once the lock is free.

use std::collections::{HashMap, HashSet, VecDeque};
use std::thread::{JoinHandle, Thread};
use std::time::Instant;

use super::asleep::Pulse;
use super::lanes::{LaneKey, Lanes};
use super::queue::{Asked, Queue, Waiting};
use crate::config::{Limits, WORKERS_RUNNING};
use crate::proto::{Delivery, ReplyTo, Work};

/// What one worker does next.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // It is moved once, to the worker's stack.
pub(super) enum Job {
    Request(Delivery),
    /// The ticks are in the worker's batch.
    Lane(LaneKey),
}

/// What is to be done after the lock is released.
#[derive(Debug)]
pub(super) enum Step {
    Nothing,
    /// An idle worker, which was taken from the idle ones.
    Wake(Thread),
    /// A worker to start, which is counted already.
    Add(u64),
    /// Somebody must notice if no job is taken for a while; `start` says that the watch has no thread yet.
    Watch {
        start: bool,
    },
    /// Requests to refuse.
    Refuse(Vec<Refused>),
}

/// A request that is not run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Refused {
    pub(super) reply_to: ReplyTo,
    pub(super) why: Refusal,
}

/// Why a request is not run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    QueueFull,
    AllWaiting,
    Expired,
    Closed,
}

/// How far the end has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Open,
    /// No new work; lanes are emptied.
    Draining,
    /// Workers end as soon as they are out of user code.
    Closed,
}

/// The thread that notices when nobody takes jobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Watch {
    None,
    Parked,
    Awake,
}

/// A worker that exists.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Missing until the thread that started it has filed it.
    pub(super) handle: Option<JoinHandle<()>>,
    /// How to see whether its thread sleeps, where the system tells.
    pulse: Option<Pulse>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) queue: Queue,
    pub(super) lanes: Lanes,
    pub(super) phase: Phase,
    pub(super) watch: Watch,
    /// Jobs that were taken, ever.
    pub(super) taken: u64,
    /// Every worker from the decision to add it to its last touch of this struct.
    pub(super) live: HashMap<u64, Live>,
    /// Threads that have ended or are about to.
    pub(super) ended: Vec<JoinHandle<()>>,
    /// Workers whose handler waits in `stop`.
    pub(super) stoppers: HashSet<u64>,
    /// The most workers there were at once.
    pub(super) most: usize,
    min: usize,
    max: usize,
    next_worker: u64,
    /// Workers that have been started or woken and will look at the queue.
    coming: usize,
    /// Workers that look at the queue again and again before they park.
    looking: usize,
    /// The one that parked last is woken first, so that the surplus times out.
    parked: Vec<(u64, Thread)>,
    /// Workers in user code that don't wait.
    running: usize,
    /// The operating system had no thread for us: it is asked again when the watch looks.
    starved: bool,
    /// Requests that were refused because the queue was full.
    pub(super) full: u64,
    /// Requests that were refused because all workers waited.
    pub(super) all_waiting: u64,
}

impl Core {
    pub(super) fn new(limits: &Limits) -> Self {
        let max = limits.workers_max.max(1);
        Self {
            queue: Queue::new(limits.worker_queue_jobs, limits.worker_queue_bytes),
            lanes: Lanes::default(),
            phase: Phase::Open,
            watch: Watch::None,
            taken: 0,
            live: HashMap::new(),
            ended: Vec::new(),
            stoppers: HashSet::new(),
            most: 0,
            min: limits.workers_min.clamp(1, max),
            max,
            next_worker: 0,
            coming: 0,
            looking: 0,
            parked: Vec::new(),
            running: 0,
            starved: false,
            full: 0,
            all_waiting: 0,
        }
    }

    /// Queues a message from a peer, or refuses it or what has to make room for it. Ticks are never refused while the pool is open.
    pub(super) fn admit(&mut self, delivery: Delivery, refused: &mut Vec<Refused>) {
        let (reply_to, deadline, depth) = match &delivery.work {
            Work::Request { reply_to, deadline, depth, .. } => (*reply_to, *deadline, *depth),
            Work::Tick { .. } => {
                return self.admit_tick(delivery);
            }
        };
        if self.phase != Phase::Open {
            return refused.push(Refused { reply_to, why: Refusal::Closed });
        }
        let unfilled = self.min.saturating_sub(self.live.len());
        let takers = self.coming + self.looking + self.parked.len() + unfilled;
        let mut full = Vec::new();
        self.queue.push(Asked { reply_to, deadline, depth, delivery }, takers, &mut full);
        self.full += full.len() as u64;
        refused.extend(refuse(full, Refusal::QueueFull));
    }

    fn admit_tick(&mut self, tick: Delivery) {
        // A tick that comes after the end is not consumed: its sender learns that it is unconfirmed.
        if self.phase == Phase::Open {
            if let Some(lane) = self.lanes.push(tick) {
                self.queue.push_lane(lane);
            }
        }
    }

    /// Decides who takes what is queued. Called after every change; a worker that comes calls it again after its job was
    /// taken, so that one step at a time reaches everybody who is useful.
    pub(super) fn next_step(&mut self) -> Step {
        if self.queue.is_empty() || self.phase == Phase::Closed || self.looking + self.coming > 0 {
            return Step::Nothing;
        }
        if let Some(worker) = self.wake_one() {
            return Step::Wake(worker);
        }
        if self.may_add() && (self.live.len() < self.min || self.running == 0) {
            return Step::Add(self.add());
        }
        if self.running == 0 {
            // Nobody is left who could free a worker for them: the ring unwinds here. Others wait for their turn.
            let nested = self.queue.remove(|asked| asked.depth > 0);
            if !nested.is_empty() {
                self.all_waiting += nested.len() as u64;
                return Step::Refuse(refuse(nested, Refusal::AllWaiting));
            }
        }
        self.arm_watch()
    }

    /// The step of the watch, after no job was taken for too long.
    pub(super) fn relieve(&mut self) -> Step {
        self.starved = false;
        if self.queue.is_empty() || self.phase == Phase::Closed {
            return Step::Nothing;
        }
        if let Some(worker) = self.wake_one() {
            return Step::Wake(worker);
        }
        // One that was started and has not come yet would not come sooner for another.
        if self.coming == 0 && self.running < WORKERS_RUNNING && self.may_add() {
            return Step::Add(self.add());
        }
        Step::Nothing
    }

    fn arm_watch(&mut self) -> Step {
        let before = self.watch;
        self.watch = Watch::Awake;
        match before {
            Watch::None => Step::Watch { start: true },
            Watch::Parked => Step::Watch { start: false },
            Watch::Awake => Step::Nothing,
        }
    }

    fn wake_one(&mut self) -> Option<Thread> {
        let (_, worker) = self.parked.pop()?;
        self.coming += 1;
        Some(worker)
    }

    fn may_add(&self) -> bool {
        self.live.len() < self.max && !self.starved
    }

    fn add(&mut self) -> u64 {
        self.next_worker += 1;
        self.coming += 1;
        self.live.insert(self.next_worker, Live::default());
        self.most = self.most.max(self.live.len());
        self.next_worker
    }

    /// The operating system had no thread for this worker.
    pub(super) fn not_added(&mut self, worker: u64) {
        self.coming -= 1;
        self.live.remove(&worker);
        self.starved = true;
    }

    /// The watch could not be started; the next message tries everything anew.
    pub(super) fn not_watched(&mut self) {
        self.watch = Watch::None;
        self.starved = false;
    }

    /// Files the thread of a worker that was added.
    pub(super) fn added(&mut self, worker: u64, handle: JoinHandle<()>) {
        match self.live.get_mut(&worker) {
            Some(live) => live.handle = Some(handle),
            None => self.ended.push(handle),
        }
    }

    /// A worker that was started or woken is here.
    pub(super) fn arrived(&mut self) {
        self.coming -= 1;
    }

    /// How to see what the thread of a worker does.
    pub(super) fn observe(&mut self, worker: u64, pulse: Option<Pulse>) {
        if let Some(live) = self.live.get_mut(&worker) {
            live.pulse = pulse;
        }
    }

    /// The pulses of all workers. Those that are parked or wait sleep, so only running ones can want a processor.
    pub(super) fn pulses(&self) -> Vec<Pulse> {
        self.live.values().filter_map(|live| live.pulse.clone()).collect()
    }

    /// The next job for the worker that asks; it is running then.
    pub(super) fn take(&mut self, batch: &mut VecDeque<Delivery>) -> Option<Job> {
        if self.phase == Phase::Closed {
            return None;
        }
        let job = match self.queue.pop()? {
            Waiting::Request(asked) => Job::Request(asked.delivery),
            Waiting::Lane(lane) => {
                self.lanes.take(&lane, batch);
                Job::Lane(lane)
            }
        };
        self.taken += 1;
        self.running += 1;
        Some(job)
    }

    /// A worker is out of user code. What it left of its lane's batch is in `rest`.
    pub(super) fn finished(&mut self, lane: Option<LaneKey>, rest: &mut VecDeque<Delivery>) {
        self.running -= 1;
        if let Some(lane) = lane {
            if self.lanes.give_back(&lane, rest) {
                self.queue.push_lane(lane);
            }
        }
    }

    /// A running worker begins to wait in one of our calls.
    pub(super) fn begin_wait(&mut self) -> Step {
        self.running -= 1;
        self.next_step()
    }

    pub(super) fn end_wait(&mut self) {
        self.running += 1;
    }

    /// Whether a worker that found nothing may look again for a while; one at a time does.
    pub(super) fn begin_look(&mut self) -> bool {
        if self.looking > 0 {
            return false;
        }
        // Not as `self.looking += usize::from(first)` with a branch on `first` behind it: rustc 1.95 drops that store when it
        // optimises, and then the count falls below zero and nobody is woken any more.
        self.looking = 1;
        true
    }

    pub(super) fn end_look(&mut self) {
        self.looking -= 1;
    }

    /// Files a worker as idle. False when it stays for good: it is one of the fewest, so it need not wake to end.
    pub(super) fn park(&mut self, worker: u64, thread: Thread) -> bool {
        self.parked.push((worker, thread));
        self.live.len() > self.min
    }

    /// Whether this worker is filed as idle still; if not, it was woken.
    pub(super) fn is_parked(&self, worker: u64) -> bool {
        self.parked.iter().any(|(number, _)| *number == worker)
    }

    /// The idle time of a parked worker is over: true when it is surplus, and then it is not filed any more.
    pub(super) fn retire(&mut self, worker: u64) -> bool {
        let surplus = self.live.len() > self.min;
        if surplus {
            self.parked.retain(|(number, _)| *number != worker);
        }
        surplus
    }

    /// Whether a worker without a job ends, because the pool does.
    pub(super) fn is_over(&self) -> bool {
        self.phase != Phase::Open
    }

    /// The last touch of a worker.
    pub(super) fn end(&mut self, worker: u64) {
        self.ended.retain(|handle| !handle.is_finished());
        let handle = self.live.remove(&worker).and_then(|live| live.handle);
        self.ended.extend(handle);
    }

    /// No new work from now on. Queued requests never run; all idle workers must be woken.
    pub(super) fn drain(&mut self) -> (Vec<Refused>, Vec<Thread>) {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining;
        }
        let refused = refuse(self.queue.remove(|_| true), Refusal::Closed);
        let woken: Vec<Thread> = std::iter::from_fn(|| self.wake_one()).collect();
        (refused, woken)
    }

    /// What nobody has taken is dropped; the number of ticks among it.
    pub(super) fn close(&mut self) -> usize {
        self.phase = Phase::Closed;
        let ticks = self.lanes.ticks();
        self.queue.clear();
        self.lanes.clear();
        ticks
    }

    /// Requests whose deadline passed while they waited.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<Refused> {
        refuse(self.queue.remove(|asked| asked.deadline <= now), Refusal::Expired)
    }

    /// Whether all workers have ended, not counting those whose handlers wait for just that.
    pub(super) fn is_deserted(&self) -> bool {
        self.live.keys().all(|worker| self.stoppers.contains(worker))
    }
}

fn refuse(asked: Vec<Asked>, why: Refusal) -> Vec<Refused> {
    asked.into_iter().map(|asked| Refused { reply_to: asked.reply_to, why }).collect()
}
