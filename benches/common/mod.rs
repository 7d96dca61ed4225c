//! What the measurements share: two processes, raw TCP as the baseline, interleaved rounds, medians. No package but our own.
//!
//! The program that measures starts itself again as the server. The server ends when its standard input does, so that it
//! never outlives the client. Compare figures of one run only, and as ratios: shared machines are noisy.

#![allow(dead_code)] // Each measurement uses a part of this.

pub(crate) mod mesh;
pub(crate) mod raw;

use std::env;
use std::io::{BufRead, BufReader, Read, Write, stdin, stdout};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How thorough a run is: `--quick` says whether the thing works, not how fast it is.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) each: Duration,
}

impl Effort {
    fn from_arguments() -> Self {
        if env::args().any(|argument| argument == "--quick") {
            return Self { rounds: 1, each: Duration::from_millis(100) };
        }
        Self { rounds: 5, each: Duration::from_millis(350) }
    }
}

/// Runs `measure` in the process that the user started, and the servers in its children.
pub(crate) fn main(measure: impl FnOnce(Effort)) {
    let arguments: Vec<String> = env::args().collect();
    match arguments.iter().position(|argument| argument == "--serve") {
        Some(at) if arguments.get(at + 1).is_some_and(|what| what == "raw") => raw::serve(),
        Some(_) => mesh::serve(),
        None => measure(Effort::from_arguments()),
    }
}

/// A server in a process of its own.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(what: &str) -> Self {
        let program = env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        command.args(["--serve", what]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program can be started again");
        let out = child.stdout.take().expect("it is piped");
        let mut address = String::new();
        BufReader::new(out).read_line(&mut address).expect("the server says where it listens");
        Self { child, address: address.trim().to_owned() }
    }
}

impl Server {
    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its end of input is its end. Waiting without a bound would hang the measurement, so it is ended for sure.
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells the parent where this server listens.
pub(crate) fn announce(address: impl std::fmt::Display) {
    println!("{address}");
    stdout().flush().expect("the parent listens");
}

/// Returns when the parent has gone.
pub(crate) fn until_the_parent_ends() {
    let _ = stdin().read_to_end(&mut Vec::new());
}

/// One figure of a table, measured once a round.
pub(crate) struct Cell<'a> {
    name: String,
    /// The cell this one is compared with.
    baseline: Option<usize>,
    run: Box<dyn FnMut(Duration) -> f64 + 'a>,
}

/// Cells that are measured in turn, round after round.
pub(crate) struct Table<'a> {
    title: &'static str,
    unit: &'static str,
    /// What the baseline is called.
    than: &'static str,
    cells: Vec<Cell<'a>>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(title: &'static str, unit: &'static str) -> Self {
        Self { title, unit, than: "raw", cells: Vec::new() }
    }

    /// Compares with something else than raw TCP.
    pub(crate) fn than(self, than: &'static str) -> Self {
        Self { than, ..self }
    }

    /// Adds a baseline and returns its number.
    pub(crate) fn baseline(
        &mut self,
        name: impl Into<String>,
        run: impl FnMut(Duration) -> f64 + 'a,
    ) -> usize {
        self.cells.push(Cell { name: name.into(), baseline: None, run: Box::new(run) });
        self.cells.len() - 1
    }

    /// Adds a figure that is compared with a baseline.
    pub(crate) fn cell(
        &mut self,
        name: impl Into<String>,
        baseline: usize,
        run: impl FnMut(Duration) -> f64 + 'a,
    ) {
        let baseline = Some(baseline);
        self.cells.push(Cell { name: name.into(), baseline, run: Box::new(run) });
    }

    /// Measures everything and prints medians and ratios.
    pub(crate) fn measure(mut self, effort: Effort) {
        let mut figures = vec![Vec::new(); self.cells.len()];
        let only = only();
        let is_wanted = |cell: &Cell<'_>| cell.name.contains(&only);
        for _ in 0..effort.rounds {
            let cells = self.cells.iter_mut().zip(&mut figures);
            for (cell, figures) in cells.filter(|(cell, _)| is_wanted(cell)) {
                figures.push((cell.run)(effort.each));
            }
        }
        let medians: Vec<f64> = figures.iter_mut().map(|figures| median(figures)).collect();
        println!("\n{}  ({} rounds of {:?})", self.title, effort.rounds, effort.each);
        for (cell, median) in self.cells.iter().zip(&medians).filter(|(cell, _)| is_wanted(cell)) {
            let raw = cell.baseline.map(|raw| medians[raw]).filter(|raw| !raw.is_nan());
            let ratio = raw.map(|raw| format!("{:.2} x {}", median / raw, self.than));
            println!(
                "  {:34} {median:>12.1} {:6} {}",
                cell.name,
                self.unit,
                ratio.unwrap_or_default()
            );
        }
    }
}

/// `--only TEXT` leaves out the figures whose names lack the text: for a profiler.
fn only() -> String {
    env::args().skip_while(|argument| argument != "--only").nth(1).unwrap_or_default()
}

pub(crate) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Repeats one round trip for that long and returns the median of its times, in microseconds.
pub(crate) fn round_trips(each: Duration, mut once: impl FnMut()) -> f64 {
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < each {
        let start = Instant::now();
        once();
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    median(&mut times)
}

/// Repeats something that completes a number of things for that long, and returns thousands of them per second.
pub(crate) fn thousands_per_second(each: Duration, mut some: impl FnMut() -> u64) -> f64 {
    let began = Instant::now();
    let mut completed = 0;
    while began.elapsed() < each {
        completed += some();
    }
    completed as f64 / began.elapsed().as_secs_f64() / 1e3
}

/// 64 B, 64 KiB and so on.
pub(crate) fn size_name(bytes: usize) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes / 1_024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}
