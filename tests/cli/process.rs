//! Processes of the program under test: started, listened to, told to end, and never left behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::bound::{self, Bound};

/// Longer than any of these tests takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Within that, every process has ended, or is ended.
const PATIENCE: Duration = Duration::from_secs(40);

/// Bounds the rest of a test.
pub(crate) fn bounded() -> Bound {
    bound::within(std::thread::current().name().unwrap_or("a test"), LIMIT)
}

/// The program with these words, cut as its transcripts are.
pub(crate) fn program(line: &str) -> Command {
    let words = crate::words::split(line).expect("a sound line");
    let mut command = Command::new(env!("CARGO_BIN_EXE_threadmesh"));
    command.args(words).env_remove("COLUMNS").env_remove("LINES");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Kills a child that goes on for too long, so that whoever listens to it fails instead of waiting, and nothing is left behind.
pub(crate) struct Watch(#[allow(dead_code)] Sender<()>);

impl Watch {
    pub(crate) fn over(child: &Child) -> Self {
        let (held, over) = channel::<()>();
        let id = child.id().to_string();
        let watch = move || {
            if over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                eprintln!("process {id} goes on after {PATIENCE:?} and is killed");
                // It may end at this very moment.
                let _ = Command::new("kill").args(["-KILL", &id]).status();
            }
        };
        thread::Builder::new().name("watch".into()).spawn(watch).expect("a thread to watch");
        Self(held)
    }
}

/// Runs it to its end.
pub(crate) fn run(line: &str) -> Output {
    let child = program(line).spawn().expect("the program was built");
    let _watch = Watch::over(&child);
    child.wait_with_output().expect("a child can be waited for")
}

/// Runs it to its end, with this as its standard input.
pub(crate) fn run_with(line: &str, input: &str) -> Output {
    let mut child = program(line).stdin(Stdio::piped()).spawn().expect("the program was built");
    let _watch = Watch::over(&child);
    let mut pipe = child.stdin.take().expect("it is piped");
    pipe.write_all(input.as_bytes()).expect("it reads its input");
    drop(pipe);
    child.wait_with_output().expect("a child can be waited for")
}

/// What it printed, as text.
pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("all of it is UTF-8")
}

/// Asserts how it ended, and gives what it printed.
pub(crate) fn ended(output: &Output, code: i32) -> &str {
    assert_eq!(output.status.code(), Some(code), "{output:#?}");
    text(&output.stdout)
}

/// A process that goes on: a router, a node, a session. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    said: BufReader<ChildStdout>,
    _watch: Watch,
}

impl Process {
    pub(crate) fn start(line: &str) -> Self {
        let mut command = program(line);
        // What it complains about belongs to the output of the test.
        command.stdin(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("the program was built");
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        let watch = Watch::over(&child);
        Self { child, said, _watch: watch }
    }

    /// A router or a node that is ready, and where it listens.
    pub(crate) fn serving(line: &str) -> (Self, String) {
        let mut process = Self::start(line);
        let address = process.hear("listening on tcp://");
        process.hear("ready");
        (process, address)
    }

    /// The rest of the next line that begins like this; those before it are passed over.
    pub(crate) fn hear(&mut self, beginning: &str) -> String {
        let mut before = Vec::new();
        loop {
            let line = self.line().unwrap_or_else(|| {
                panic!("it ended without a line {beginning:?}, after {before:#?}");
            });
            match line.strip_prefix(beginning) {
                Some(rest) => return rest.to_owned(),
                None => before.push(line),
            }
        }
    }

    /// The next line; `None` when it has closed its output.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.said.read_line(&mut line).expect("all of it is UTF-8");
        (count > 0).then(|| line.trim_end_matches('\n').to_owned())
    }

    /// Says a line to it.
    pub(crate) fn say(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("it is piped");
        writeln!(input, "{line}").expect("it reads its input");
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, by its name.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.id());
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_some()
    }

    /// Waits for its end, and gives the rest of what it printed and its exit code.
    pub(crate) fn end(mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).expect("all of it is UTF-8");
        let status = self.child.wait().expect("a child can be waited for");
        (rest, status.code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
#[cfg(unix)]
pub(crate) fn signal(name: &str, id: u32) {
    let sent = Command::new("kill").args([format!("-{name}"), id.to_string()]).status();
    assert!(sent.expect("there is a program `kill`").success(), "no process {id}");
}

/// Whether there is such a process.
#[cfg(unix)]
pub(crate) fn is_alive(id: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args(["-0", &id.to_string()]).stderr(Stdio::null());
    kill.status().expect("there is a program `kill`").success()
}
