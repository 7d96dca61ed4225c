//! Workers in processes of their own come and go while many threads call any of them: what a `kill -9` costs, and what it does not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use threadmesh::{
    Call, Candidate, Candidates, Error, ErrorKind, Events, Execution, Filter, Limits, Node,
    NodeEvent, NodeId, Pending, Random, Request, Strategy, filter, options, strategy_fn,
};

use crate::support::counting::{Counter, Tally};
use crate::support::process::Process;
use crate::support::{SOON, bounded, builder, expect_event, let_pass, listening};

const LIMIT: Duration = Duration::from_secs(120);
const CALLS: u64 = 20_000;
const THREADS: usize = 8;
/// Calls that a thread keeps under way: together far more than the workers allow, so that many wait unsent at any moment.
const AHEAD: usize = 16;
const CALLS_PER_LINK: u32 = 8;
const WORKERS: usize = 3;
const KILLS: u64 = 7;
/// From one kill to the next.
const STRIDE: u64 = CALLS / (KILLS + 1);
/// How long a worker takes, so that there is a moment between running and answering.
const WORK: Duration = Duration::from_millis(1);
const DEADLINE: Duration = SOON;
/// What a busy machine may add to a deadline.
const GRACE: Duration = Duration::from_millis(500);

/// A child: notes the number of every request in a file before it answers, and waits to be killed.
pub(crate) fn recorder(argument: &str) {
    let [id, address, log] =
        argument.splitn(3, ' ').collect::<Vec<_>>().try_into().expect("id, address and file");
    let mut limits = Limits::default();
    limits.calls_per_link = CALLS_PER_LINK;
    let log = File::options().append(true).create_new(true).open(log).unwrap();
    let note = move |request: Request<u64>| {
        // One write each: what was noted is there, whole, however soon this process dies.
        (&log).write_all(&request.data.to_be_bytes()).unwrap();
        let_pass(WORK);
        Ok(())
    };
    let options = options! { "role": "worker" };
    let node = builder(id).limits(limits).options(options).on_request("job", note).start().unwrap();
    node.connect(address).unwrap();
    node.wait().unwrap();
}

/// A process that works for a master, the cable between the two, and its notes.
struct Worker {
    id: String,
    process: Process,
    cable: Counter,
    log: PathBuf,
}

impl Worker {
    /// Starts it, and waits until the master knows it. Nobody ever had that number before.
    fn hired(number: u64, master: &Node) -> Self {
        let (id, own) = (format!("w{number}"), process::id());
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{id}-{own}.log"));
        let cable = Counter::to(master.local_addr().unwrap());
        let argument = format!("{id} {} {}", cable.address(), log.display());
        let process = Process::start("recorder", &argument);
        master.wait_for_peer(&id, SOON).unwrap();
        Self { id, process, cable, log }
    }

    /// What it was asked, and what of it ran, in the end.
    fn record(self) -> (String, Record) {
        self.process.kill();
        let notes = fs::read(&self.log).unwrap();
        fs::remove_file(&self.log).unwrap();
        let ran = notes.chunks_exact(8).map(|note| u64::from_be_bytes(note.try_into().unwrap()));
        (self.id, Record { tally: self.cable.tally(), ran: ran.collect() })
    }
}

struct Record {
    tally: Tally,
    ran: Vec<u64>,
}

/// The numbers of the calls, given out in order and each once; the last ones only when they may be.
struct Numbers {
    next: AtomicU64,
    allowed: AtomicU64,
}

impl Numbers {
    fn draw(&self) -> Option<u64> {
        let end = CALLS.min(self.allowed.load(SeqCst));
        let next = |number| (number < end).then_some(number + 1);
        self.next.fetch_update(SeqCst, SeqCst, next).ok()
    }

    /// How many were given out. All that are drawn after this are at least that high.
    fn drawn(&self) -> u64 {
        self.next.load(SeqCst)
    }
}

/// By chance, and remembers the first choice of the call that is being made. Each thread has its own.
#[derive(Default)]
struct Noting(Mutex<Option<NodeId>>);

impl Strategy for Noting {
    fn choose<'a>(&self, among: &Candidates<'a>) -> Option<Candidate<'a>> {
        let chosen = Random.choose(among);
        if !among.is_alternate() {
            *self.0.lock().unwrap() = chosen.map(|peer| peer.id().clone());
        }
        chosen
    }
}

/// A call that was made.
struct Made<P> {
    number: u64,
    first: Option<NodeId>,
    /// The numbers that were drawn when it had been made: calls with higher ones were made later.
    drawn: u64,
    end: P,
}

/// How it ended.
type Outcome = Made<(Result<NodeId, Error>, Duration)>;

/// Makes a call with that number.
fn make(
    call: &Call<'_>,
    noted: &Noting,
    numbers: &Numbers,
    number: u64,
) -> Made<Result<Pending<()>, Error>> {
    let end = call.start("job", &number);
    let first = noted.0.lock().unwrap().take();
    Made { number, first, drawn: numbers.drawn(), end }
}

/// Waits for its end: who handled it, and how late after its deadline this was known.
fn await_end(made: Made<Result<Pending<()>, Error>>) -> Outcome {
    let Made { number, first, drawn, end } = made;
    let waited = |pending: Pending<()>| {
        let deadline = pending.deadline();
        let result = pending.wait().map(|reply| reply.handled_by);
        (result, Instant::now().saturating_duration_since(deadline))
    };
    let end = end.map_or_else(|error| (Err(error), Duration::ZERO), waited);
    Made { number, first, drawn, end }
}

/// One of the threads that call.
fn caller(master: &Node, numbers: &Numbers, tell: Sender<Outcome>) {
    let noted = Arc::new(Noting::default());
    let workers = filter! { "role": "worker" };
    let call = master.any(workers).strategy(Arc::clone(&noted)).timeout(DEADLINE);
    let mut ahead = VecDeque::new();
    loop {
        let number = (ahead.len() < AHEAD).then(|| numbers.draw()).flatten();
        if let Some(number) = number {
            ahead.push_back(make(&call, &noted, numbers, number));
        } else if let Some(made) = ahead.pop_front() {
            tell.send(await_end(made)).unwrap();
        } else if numbers.drawn() == CALLS {
            return;
        } else {
            thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// What all calls came to, and all who were ever asked.
struct Story {
    outcomes: Vec<Outcome>,
    killed: BTreeSet<String>,
    records: BTreeMap<String, Record>,
}

/// Lets the threads call, and kills a worker whenever so many calls have ended.
fn story() -> Story {
    let master = listening("m");
    let mut events = master.events();
    let mut numbers = 0..;
    let mut hire = || Worker::hired(numbers.next().unwrap(), &master);
    let mut staff: VecDeque<_> = (0..WORKERS).map(|_| hire()).collect();
    let (mut gone, mut outcomes) = (Vec::new(), Vec::new());
    let numbers = Numbers { next: AtomicU64::new(0), allowed: AtomicU64::new(0) };
    let (tell, told) = channel();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let (tell, master, numbers) = (tell.clone(), &master, &numbers);
            scope.spawn(move || caller(master, numbers, tell));
        }
        drop(tell);
        for kill in 1..=KILLS {
            // Calls go on while one is missing, but not so long that there is nobody to kill the next one under.
            numbers.allowed.store(kill * STRIDE + STRIDE / 2, SeqCst);
            hear_until(&mut outcomes, &told, kill * STRIDE);
            let worker = staff.pop_front().unwrap();
            worker.process.kill();
            expect_left(&mut events, &worker.id);
            gone.push(worker);
            staff.push_back(hire());
        }
        numbers.allowed.store(CALLS, SeqCst);
        outcomes.extend(told);
    });
    assert_eq!(pending(&master), 0, "places that no call has");
    master.stop().unwrap();
    let killed = gone.iter().map(|worker| worker.id.clone()).collect();
    let records = gone.into_iter().chain(staff).map(Worker::record).collect();
    Story { outcomes, killed, records }
}

fn hear_until(outcomes: &mut Vec<Outcome>, told: &Receiver<Outcome>, count: u64) {
    while (outcomes.len() as u64) < count {
        outcomes.push(told.recv().expect("somebody calls"));
    }
}

fn expect_left(events: &mut Events, worker: &str) {
    expect_event(events, |event| match event {
        NodeEvent::PeerLeft { id, .. } if id == worker => Some(()),
        _ => None,
    });
}

/// The requests that the node takes for unanswered, over all its peers.
fn pending(node: &Node) -> u32 {
    let counted = Arc::new(AtomicU32::new(0));
    let sum = Arc::clone(&counted);
    let count = strategy_fn(move |among| {
        sum.store(among.iter().map(|peer| peer.pending()).sum(), SeqCst);
        None
    });
    let nobody = node.any(Filter::any()).strategy(count).request::<(), _>("job", &0_u64);
    assert_eq!(nobody.unwrap_err().kind(), ErrorKind::NoNodesMatchFilter);
    counted.load(SeqCst)
}

impl Story {
    /// Every call has one end, in time, and a good one or `CONNECTION_LOST` at a worker that was killed.
    fn errors(&self) -> BTreeMap<&str, BTreeSet<u64>> {
        let numbers: BTreeSet<_> = self.outcomes.iter().map(|outcome| outcome.number).collect();
        assert!(numbers.into_iter().eq(0..CALLS), "a call has no end");
        assert_eq!(self.outcomes.len() as u64, CALLS, "a call has two");
        let mut errors: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for Outcome { number, end: (result, late), .. } in &self.outcomes {
            assert!(*late <= GRACE, "call {number} ended {late:?} after its deadline");
            let Err(error) = result else { continue };
            assert_eq!(error.execution(), Execution::Unknown, "call {number}: {error}");
            assert_eq!(error.kind(), ErrorKind::ConnectionLost, "call {number}: {error}");
            let peer = error.peer().expect("a lost link has another end").as_str();
            assert!(self.killed.contains(peer), "call {number}: {error}");
            errors.entry(peer).or_default().insert(*number);
        }
        errors
    }

    /// What was answered ran once, there; nothing ran twice, and nothing was even sent twice.
    fn runs(&self) {
        let once = |numbers: &mut dyn Iterator<Item = u64>, what: &str| {
            let mut seen = BTreeSet::new();
            numbers.for_each(|number| assert!(seen.insert(number), "call {number} {what} twice"));
        };
        once(&mut self.records.values().flat_map(|record| record.ran.clone()), "ran");
        once(&mut self.records.values().flat_map(|record| record.tally.asked.clone()), "was sent");
        let ran = |record: &Record| record.ran.iter().copied().collect();
        let ran: BTreeMap<&str, BTreeSet<u64>> =
            self.records.iter().map(|(id, record)| (id.as_str(), ran(record))).collect();
        for Outcome { number, end: (result, _), .. } in &self.outcomes {
            if let Ok(by) = result {
                assert!(ran[by.as_str()].contains(number), "{by} has not run call {number}");
            }
        }
    }

    /// The calls that certainly were placed at a worker that was killed, were not sent, and went to another one.
    ///
    /// That another one answered than the first choice does not show it: who has no room at its first choice goes at once to an alternate that
    /// has. But such a call is queued there when it has been made, ahead of all calls that are made later. So one that was sent behind a later
    /// one was waiting elsewhere before. There are others who moved, and these are not counted.
    fn moved(&self) -> usize {
        let mut overtaken = BTreeSet::new();
        let made: BTreeMap<u64, &Outcome> =
            self.outcomes.iter().map(|outcome| (outcome.number, outcome)).collect();
        for record in self.records.values() {
            let mut latest = None;
            for number in &record.tally.asked {
                if latest >= Some(made[number].drawn) {
                    overtaken.insert(*number);
                }
                latest = latest.max(Some(*number));
            }
        }
        let moved = overtaken.iter().filter(|number| {
            let Outcome { first, end: (result, _), .. } = made[number];
            let (Some(first), Ok(by)) = (first, result) else { return false };
            first != by && self.killed.contains(first.as_str())
        });
        moved.count()
    }
}

// covers P33
#[test]
fn a_killed_worker_costs_the_calls_it_had_been_sent_and_no_other() {
    bounded("survival", LIMIT, || {
        let began = Instant::now();
        let story = story();
        let errors = story.errors();
        story.runs();
        let mut ran = 0;
        for (worker, record) in &story.records {
            let lost = errors.get(worker.as_str()).cloned().unwrap_or_default();
            assert_eq!(lost, record.tally.unanswered, "lost and unanswered at {worker}");
            ran += record.ran.iter().filter(|number| lost.contains(number)).count();
        }
        let lost: usize = errors.values().map(BTreeSet::len).sum();
        let moved = story.moved();
        assert!(lost > 0 && moved > 0, "nobody was killed at work: {lost} lost, {moved} moved");
        println!(
            "{CALLS} calls, {KILLS} kills: {lost} lost, of which {ran} ran; {moved} and more moved; in {:?}",
            began.elapsed()
        );
    });
}
