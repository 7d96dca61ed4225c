//! Transcripts: files of commands and what came of them, which are run and compared. `UPDATE_TRANSCRIPTS=1` writes them anew, to be read
//! before they are committed.
//!
//! | line | is |
//! |---|---|
//! | `# …` | a word to the reader |
//! | `$ threadmesh …` | a command; `ROUTER` and `WORKER` stand for addresses |
//! | `$~ threadmesh …` | the same, and every number of its output is `N` |
//! | `$= threadmesh …` | the same, and the lines of its output are in the order of the alphabet |
//! | `$& threadmesh …` | a router or node, which is told to end by SIGINT as soon as it is ready |
//! | `< …` | a line of its standard input |
//! | `! …` | a line of its standard error |
//! | `exit N` | how it ended, if not with 0 |
//! | anything else | a line of its standard output |
//!
//! Ports are `PORT`, times `TIME`, numbers of processes `PID`, and names that the crate has drawn by chance `NAME`.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Output;

use crate::process::{Process, bounded, run, run_with, text};

/// Who is there in every transcript: a router and a worker that has connected to it.
struct World {
    router: (Process, String),
    worker: (Process, String),
}

impl World {
    fn new() -> Self {
        let (router, address) = Process::serving("router --id main --bind 127.0.0.1:0");
        let exec = "--exec 'sort -r' --on sort --on /tools/sort --on /text/sort";
        let worker = Process::serving(&format!(
            "node --name worker --id worker --option load=3 --bind 127.0.0.1:0 --connect {address} {exec}"
        ));
        Self { router: (router, address), worker }
    }

    fn places(&self) -> [(&'static str, &str); 2] {
        [("ROUTER", &self.router.1), ("WORKER", &self.worker.1)]
    }

    /// A line with addresses in place of their names.
    fn placed(&self, line: &str) -> String {
        let names = self.places().into_iter();
        names.fold(line.to_owned(), |line, (name, address)| line.replace(name, address))
    }

    /// A line with names in place of addresses, and of all that is new in every run.
    fn named(&self, line: &str) -> String {
        let names = self.places().into_iter();
        let line = names.fold(line.to_owned(), |line, (name, address)| line.replace(address, name));
        words(&line, |word| match word.rsplit_once('-') {
            Some((_, digits)) if is_number(digits) && word.matches('-').count() == 2 => {
                "NAME".into()
            }
            Some((name, digits)) if is_number(digits) => format!("{name}-PID"),
            _ => word.to_owned(),
        })
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Changes every run of letters, digits and `-`.
fn words(line: &str, change: impl Fn(&str) -> String) -> String {
    let is_part = |c: char| c.is_alphanumeric() || c == '-';
    let mut out = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(is_part) {
        let (before, word) = rest.split_at(start);
        let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
        out.push_str(before);
        out.push_str(&change(&word[..end]));
        rest = &word[end..];
    }
    out + rest
}

/// Changes the numbers that follow any of these.
fn after(line: &str, marks: &[&str], name: &str) -> String {
    let mut out = line.to_owned();
    for mark in marks {
        let mut from = 0;
        while let Some(at) = out[from..].find(mark) {
            let start = from + at + mark.len();
            let rest = &out[start..];
            let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
            if end > 0 {
                out.replace_range(start..start + end, name);
            }
            from = start;
        }
    }
    out
}

/// Changes every number, with its fraction.
fn without_numbers(line: &str) -> String {
    let (mut out, mut rest) = (String::new(), line);
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let number = &rest[start..];
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e');
        let end = number.find(|c| !is_part(c)).unwrap_or(number.len());
        out.push_str(&rest[..start]);
        out.push('N');
        rest = &number[end..];
    }
    out + rest
}

/// One command, as it stands in a transcript.
struct Step {
    /// Its line, with the mark before it.
    line: String,
    input: Vec<String>,
}

impl Step {
    fn run(&self, world: &World) -> Vec<String> {
        let (mark, command) =
            self.line.split_once(" threadmesh").expect("every command is of this program");
        let command = world.placed(command.trim());
        let output = if mark == "$&" { served(&command) } else { self.ran(&command) };
        let mut shown = vec![self.line.clone()];
        shown.extend(self.input.iter().map(|line| format!("< {line}")));
        let show = |line: &str| {
            let line = world.named(line);
            let line = after(&line, &["127.0.0.1:"], "PORT");
            let line = after(&line, &["\"elapsed_ms\":", ", up "], "TIME");
            let line = after(&line, &["os error "], "N");
            if mark == "$~" { without_numbers(&line) } else { line }
        };
        shown.extend(text(&output.stdout).lines().map(show));
        if mark == "$=" {
            shown[1 + self.input.len()..].sort();
        }
        let complaints = text(&output.stderr).lines().map(show);
        shown.extend(complaints.map(|line| format!("! {line}").trim_end().to_owned()));
        match output.status.code() {
            Some(0) => {}
            Some(code) => shown.push(format!("exit {code}")),
            None => shown.push("exit by a signal".into()),
        }
        shown
    }

    fn ran(&self, command: &str) -> Output {
        if self.input.is_empty() {
            return run(command);
        }
        run_with(command, &self.input.join("\n"))
    }
}

/// Starts a server, and tells it to end when it is ready.
fn served(command: &str) -> Output {
    let mut process = Process::start(command);
    let mut lines = Vec::new();
    while let Some(line) = process.line() {
        let is_ready = line == "ready" || line.contains("\"type\":\"ready\"");
        lines.push(line);
        if is_ready {
            break;
        }
    }
    process.signal("INT");
    let (rest, code) = process.end();
    let stdout = (lines.join("\n") + "\n" + &rest).into_bytes();
    let status = std::os::unix::process::ExitStatusExt::from_raw(code.unwrap_or(99) << 8);
    Output { status, stdout, stderr: Vec::new() }
}

/// Runs a transcript and compares.
fn compare(name: &str) {
    let _bound = bounded();
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cli/transcripts/{name}.txt"));
    let expected = fs::read_to_string(&path).expect("the transcript is there");
    let world = World::new();
    let mut shown = Vec::new();
    let mut lines = expected.lines().peekable();
    while let Some(line) = lines.next() {
        // An empty line before a command is the reader's, any other one is output.
        let is_gap =
            line.is_empty() && lines.peek().is_some_and(|next| next.starts_with(['#', '$']));
        if is_gap || line.starts_with('#') {
            shown.push(line.to_owned());
        } else if line.starts_with('$') {
            let mut step = Step { line: line.to_owned(), input: Vec::new() };
            while let Some(input) = lines.peek().and_then(|line| line.strip_prefix("< ")) {
                step.input.push(input.to_owned());
                lines.next();
            }
            shown.extend(step.run(&world));
        }
    }
    if env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        fs::write(&path, shown.join("\n") + "\n").expect("the transcript can be written");
        return;
    }
    for (number, (is, was)) in shown.iter().zip(expected.lines()).enumerate() {
        assert_eq!(is, was, "line {} of {}", number + 1, path.display());
    }
    assert_eq!(shown.len(), expected.lines().count(), "{}", path.display());
}

macro_rules! transcripts {
    ($($name:ident),+) => { $(
        #[test]
        fn $name() {
            compare(stringify!($name));
        }
    )+ };
}

transcripts!(servers, routers, request, tick, call, peers, watch, top, bench, wrong, help);

#[test]
fn numbers_and_names_of_one_run_are_replaced() {
    assert_eq!(without_numbers("12 of 3.5e-7 at p50"), "N of N-N at pN");
    assert_eq!(after("a 1.5, a 2", &["a "], "N"), "a N, a N");
    assert_eq!(words("a-b_c d", |word| format!("<{word}>")), "<a-b>_<c> <d>");
}
