//! One run of a program: bounded in time and output, killed and reaped whatever happens, and never waiting for a child that neither
//! reads nor writes.

use std::io::{ErrorKind, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// How much of standard error is kept: the last of it.
const ERRORS_KEPT: usize = 1024;
/// What one read takes at most.
const PIECE: usize = 16 * 1024;
/// Pieces that wait to be taken up; then the child waits.
const PIECES: usize = 4;
/// How often it is looked whether the child has ended and its caller still waits.
const LOOK: Duration = Duration::from_millis(10);
const FIRST_LOOK: Duration = Duration::from_micros(100);

/// What is run, for whom, and how far.
pub(super) struct Job<'a> {
    pub(super) words: &'a [String],
    pub(super) event: &'a str,
    pub(super) from: &'a str,
    pub(super) input: Vec<u8>,
    pub(super) output: usize,
    pub(super) deadline: Instant,
    pub(super) given_up: &'a dyn Fn() -> bool,
}

/// Why there is no output.
#[derive(Debug)]
pub(super) enum Trouble {
    Unstartable(String),
    Status { status: ExitStatus, errors: String },
    Late,
    GivenUp,
    TooMuch,
}

/// A piece of what the child has written.
enum Piece {
    Output(Vec<u8>),
    Errors(Vec<u8>),
}

/// Runs the program and gives what it wrote on standard output.
pub(super) fn run(job: Job<'_>) -> Result<Vec<u8>, Trouble> {
    let child = command(&job).spawn().map_err(|why| Trouble::Unstartable(why.to_string()))?;
    // From here on its drop ends the child, whichever way this goes.
    let mut child = Owned { child, reaped: false };
    let pieces = converse(&mut child.child, job.input)
        .map_err(|why| Trouble::Unstartable(format!("no thread for it: {why}")))?;
    let mut written = Written::default();
    while let Some(piece) = next(&pieces, job.deadline, job.given_up)? {
        written.take(piece, job.output)?;
    }
    // It has closed both, which most do by ending: then it has ended in a moment. It may also go on.
    let mut pause = FIRST_LOOK;
    loop {
        if let Some(status) = child.status()? {
            return written.judged(status);
        }
        check(job.deadline, job.given_up)?;
        thread::park_timeout(pause);
        pause = LOOK.min(2 * pause);
    }
}

fn command(job: &Job<'_>) -> Command {
    let mut command = Command::new(&job.words[0]);
    command.args(&job.words[1..]);
    command.env("THREADMESH_EVENT", job.event).env("THREADMESH_FROM", job.from);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: Ctrl-C on the terminal is for this program, which ends the child, and what the child has started is
    // ended with it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

/// Starts the threads that write to the child and read from it. None is waited for: they end when the pipes are closed, at the latest
/// when the child is killed.
fn converse(child: &mut Child, input: Vec<u8>) -> std::io::Result<Receiver<Piece>> {
    let (told, pieces) = sync_channel(PIECES);
    if let Some(mut pipe) = child.stdin.take() {
        // A child that does not read its input may close it; that is no error.
        spawn("exec-in", move || drop(pipe.write_all(&input)))?;
    }
    if let Some(pipe) = child.stdout.take() {
        let told = told.clone();
        spawn("exec-out", move || read(pipe, &told, Piece::Output))?;
    }
    if let Some(pipe) = child.stderr.take() {
        spawn("exec-err", move || read(pipe, &told, Piece::Errors))?;
    }
    Ok(pieces)
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

fn read(mut pipe: impl Read, told: &SyncSender<Piece>, piece: fn(Vec<u8>) -> Piece) {
    let mut buffer = vec![0; PIECE];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                if told.send(piece(buffer[..count].to_vec())).is_err() {
                    return;
                }
            }
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// The next piece; `None` when the child has closed its output and its errors.
fn next(
    pieces: &Receiver<Piece>,
    deadline: Instant,
    given_up: &dyn Fn() -> bool,
) -> Result<Option<Piece>, Trouble> {
    loop {
        check(deadline, given_up)?;
        match pieces.recv_timeout(LOOK) {
            Ok(piece) => return Ok(Some(piece)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

fn check(deadline: Instant, given_up: &dyn Fn() -> bool) -> Result<(), Trouble> {
    match () {
        () if given_up() => Err(Trouble::GivenUp),
        () if Instant::now() >= deadline => Err(Trouble::Late),
        () => Ok(()),
    }
}

/// What the child has written so far.
#[derive(Default)]
struct Written {
    output: Vec<u8>,
    /// Only the end of it.
    errors: Vec<u8>,
}

impl Written {
    fn take(&mut self, piece: Piece, most: usize) -> Result<(), Trouble> {
        match piece {
            Piece::Output(bytes) if self.output.len() + bytes.len() > most => Err(Trouble::TooMuch),
            Piece::Output(bytes) => {
                self.output.extend(bytes);
                Ok(())
            }
            Piece::Errors(bytes) => {
                self.errors.extend(bytes);
                let over = self.errors.len().saturating_sub(ERRORS_KEPT);
                self.errors.drain(..over);
                Ok(())
            }
        }
    }

    fn judged(self, status: ExitStatus) -> Result<Vec<u8>, Trouble> {
        if status.success() {
            return Ok(self.output);
        }
        let errors = String::from_utf8_lossy(&self.errors).trim().to_owned();
        Err(Trouble::Status { status, errors })
    }
}

/// A child that does not outlive its owner.
struct Owned {
    child: Child,
    reaped: bool,
}

impl Owned {
    /// How it ended, if it has.
    fn status(&mut self) -> Result<Option<ExitStatus>, Trouble> {
        let status = self.child.try_wait().map_err(|why| Trouble::Unstartable(why.to_string()))?;
        self.reaped = status.is_some();
        Ok(status)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        // While the child is not reaped, no other process and no other group can have its number.
        #[cfg(unix)]
        kill_group(self.child.id());
        // It may have ended by itself a moment ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends what the child has started, by the program `kill`, because the standard library only knows single children.
#[cfg(unix)]
fn kill_group(leader: u32) {
    let mut kill = Command::new("kill");
    kill.args(["-KILL", "--", &format!("-{leader}")]);
    // Where there is no such program, the child itself is killed all the same.
    let _ = kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}
