//! The coordinator: starts the workers, hands out pieces, redoes what was lost, and checks the result.

use std::iter::once;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{env, thread};

use crossbeam_channel::{Receiver, Sender, unbounded};
use threadmesh::{Error, Node, Tick};

use crate::Outcome;
use crate::report::{Report, Share};
use crate::words::{self, Index, Piece};

const WORKERS: usize = 4;
/// Requests that one worker has open at a time: one that it works on and one that is on the way.
const OPEN: usize = 2;

/// A process that does not outlive its owner.
struct Process(Mutex<Child>);

impl Process {
    fn end(&self) {
        let mut child = self.0.lock().expect("nobody panics while holding it");
        // It may have ended by itself, and then there is nothing to do.
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a driver tells about one piece.
struct Told {
    worker: usize,
    result: Result<(Index, Duration), (Piece, Error)>,
}

pub(crate) fn run(texts: &[String]) -> Outcome<()> {
    let pieces = words::cut(texts);
    if pieces.len() < WORKERS * OPEN {
        let (found, needed, lines) = (pieces.len(), WORKERS * OPEN, words::LINES);
        return Err(format!(
            "too little text to share: {found} of the {needed} pieces that are needed, each of up to {lines} lines; \
             give about a thousand lines, or no file at all"
        )
        .into());
    }
    let began = Instant::now();
    let alone = index_alone(&pieces);
    let mut report = Report::new(&pieces, WORKERS, began.elapsed());

    let node = Node::builder().id("coordinator").bind("127.0.0.1:0").start()?;
    let (tell, holding) = unbounded();
    node.on_tick("holding", move |tick: Tick<u32>| {
        // Nobody listens any more once the work is done.
        let _ = tell.send(tick.data);
    })?;
    let address = node.local_addr()?.to_string();
    let workers: Vec<Process> =
        (0..WORKERS).map(|number| spawn(number, &address)).collect::<Outcome<_>>()?;
    for number in 0..WORKERS {
        node.wait_for_peer(name(number).as_str(), Duration::from_secs(10))?;
    }

    let began = Instant::now();
    let victim = &workers[WORKERS - 1];
    let together = thread::scope(|scope| {
        let report = &mut report;
        scope.spawn(move || end_the_holder(&holding, victim));
        work(scope, &node, pieces, report)
    })?;
    report.took = began.elapsed();
    node.stop()?;

    report.print(&together);
    report.judge(together == alone)
}

fn name(worker: usize) -> String {
    format!("worker-{}", worker + 1)
}

/// Starts this program again as a worker. The last one is made to fail.
fn spawn(number: usize, address: &str) -> Outcome<Process> {
    let role = if number == WORKERS - 1 { "--worker-that-fails" } else { "--worker" };
    let mut command = Command::new(env::current_exe()?);
    command.args([role, &name(number), address]).stdin(Stdio::null());
    Ok(Process(Mutex::new(command.spawn()?)))
}

fn index_alone(pieces: &[Piece]) -> Index {
    let mut whole = Index::new();
    for piece in pieces {
        words::merge(&mut whole, words::index(piece));
    }
    words::finish(whole)
}

/// Ends the worker that has said that it holds a piece: from then on at least one call to it can't be answered.
fn end_the_holder(holding: &Receiver<u32>, victim: &Process) {
    if let Ok(line) = holding.recv_timeout(Duration::from_secs(30)) {
        println!(
            "{} holds the piece that begins at line {line}: killing its process",
            name(WORKERS - 1)
        );
        victim.end();
    }
}

/// Hands out all pieces and collects what comes back, until everything is there.
fn work<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    node: &'scope Node,
    pieces: Vec<Piece>,
    report: &mut Report,
) -> Outcome<Index> {
    let mut left = pieces.len();
    let (give, pile) = unbounded();
    let (tell, told) = unbounded();
    let mut pieces = pieces.into_iter();
    // Everybody's first pieces are dealt, so that the failing worker certainly gets as many as it needs to fail.
    for (worker, first) in (0..WORKERS).cycle().take(WORKERS * OPEN).zip(&mut pieces) {
        let (pile, tell) = (pile.clone(), tell.clone());
        scope.spawn(move || {
            drive(worker, node, once(first).chain(pile.iter().map_while(|p| p)), &tell);
        });
    }
    for piece in pieces {
        give.send(Some(piece))?;
    }
    drop(tell);
    let mut whole = Index::new();
    let mut last = String::new();
    while left > 0 {
        let Ok(Told { worker, result }) = told.recv() else {
            return Err(format!("every worker is gone; the last error: {last}").into());
        };
        match result {
            Ok((part, latency)) => {
                words::merge(&mut whole, part);
                report.shares[worker].latencies.push(latency);
                left -= 1;
            }
            // Indexing a piece twice does no harm, so it is given out again whether it ran or not.
            Err((piece, error)) => {
                report.shares[worker].lost(&error);
                last = error.to_string();
                give.send(Some(piece))?;
            }
        }
    }
    for _ in 0..WORKERS * OPEN {
        give.send(None)?;
    }
    Ok(words::finish(whole))
}

/// Sends one piece after the other to one worker, until there are none or the worker is gone.
fn drive(worker: usize, node: &Node, pieces: impl Iterator<Item = Piece>, tell: &Sender<Told>) {
    let to = name(worker);
    for piece in pieces {
        let reply = node.request_reply(to.as_str(), "index", &piece);
        let result =
            reply.map(|reply| (reply.value, reply.elapsed)).map_err(|error| (piece, error));
        let gone = result.is_err();
        if tell.send(Told { worker, result }).is_err() || gone {
            return;
        }
    }
}

impl Share {
    fn lost(&mut self, error: &Error) {
        self.redone += 1;
        self.error
            .get_or_insert_with(|| format!("{}, execution {:?}", error.code(), error.execution()));
    }
}
