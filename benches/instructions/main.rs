//! How many instructions each operation takes, beside the figures that are kept in `baseline.txt`.
//! Valgrind's callgrind counts them, so the load of the machine does not matter.
//!
//! `cargo bench --bench instructions --features bench`
//!
//! This program starts itself under callgrind, twice for each workload: once to set up and warm up,
//! and once to do all runs as well. The difference of the two counts is what the runs take.

mod baseline;

use std::env;
use std::io::ErrorKind;
use std::process::{Command, ExitCode};
use std::thread;

use baseline::{Baseline, Build, Row};
use threadmesh::bench::{WORKLOADS, Workload};

/// A figure that differs by more from the kept one has moved.
const TOLERANCE: f64 = 0.02;
/// How many runs fill caches and grow buffers.
const WARM_UP: u32 = 32;

const USAGE: &str = "\
cargo bench --bench instructions --features bench [-- OPTION…]
    (none)               compare with the kept figures; fail if one differs by more than 2 %
    --only TEXT          only the figures whose name contains this
    --save               keep the new figures as \"now\"
    --save-before LABEL  keep them as \"before\" as well: a new base line, of the commit LABEL
    --quick              run each workload a few times without valgrind, to see only that it works";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let value_of = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        // Cargo appends `--bench`.
        let value = arguments.get(at + 1).filter(|value| !value.starts_with("--"));
        Some(value.map_or("", String::as_str))
    };
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let only = value_of("--only").unwrap_or_default();
    let chosen = || WORKLOADS.iter().filter(|workload| workload.name.contains(only));
    let done = if value_of("--save-before") == Some("") {
        Err(format!("`--save-before` needs the name of a commit\n{USAGE}"))
    } else if let Some(name) = value_of("--run") {
        run(name, arguments.last().and_then(|last| last.parse().ok()))
    } else if has("--help") {
        println!("{USAGE}");
        Ok(())
    } else if has("--quick") || !has("--bench") {
        // `cargo test --benches` comes without `--bench`.
        chosen().for_each(quick);
        Ok(())
    } else {
        let save = match value_of("--save-before") {
            Some(label) => Save::Both(label),
            None if has("--save") => Save::Now,
            None => Save::Nothing,
        };
        measure(chosen(), save)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\n{why}");
            ExitCode::FAILURE
        }
    }
}

/// Which of the new figures are kept.
#[derive(Clone, Copy)]
enum Save<'a> {
    Nothing,
    Now,
    /// As those of the commit with this label, and as those of now.
    Both(&'a str),
}

fn quick(workload: &Workload) {
    let mut run = (workload.prepare)();
    (0..WARM_UP).for_each(|_| run());
    println!("{} works", workload.name);
}

/// Does what is counted, on a thread of its own.
///
/// What a copy takes depends on alignment. The stack of the first thread begins below the
/// environment and the path of this program, that of another thread at a page.
fn run(name: &str, runs: Option<u32>) -> Result<(), String> {
    let workload = WORKLOADS.iter().find(|workload| workload.name == name);
    let (Some(workload), Some(runs)) = (workload, runs) else {
        return Err(format!("no workload {name:?}, or no number of runs\n{USAGE}"));
    };
    let thread = thread::Builder::new().name("workload".to_owned()).spawn(move || {
        let mut run = (workload.prepare)();
        (0..WARM_UP + runs).for_each(|_| run());
        // What is dropped depends on the number of runs, and is no part of them.
        std::process::exit(0)
    });
    let ended = thread.map_err(|error| error.to_string())?.join();
    ended.map_err(|_| format!("{name} has panicked"))
}

fn measure<'w>(
    workloads: impl Iterator<Item = &'w Workload>,
    save: Save<'_>,
) -> Result<(), String> {
    let build = Build::of_this_program()?;
    let mut kept = Baseline::read()?;
    let same_build = kept.build == build;
    if !same_build && !matches!(save, Save::Both(_)) {
        return Err(format!(
            "the kept figures are of {}, and this is {build}: they can't be compared. Set a new \
             base line with `--save-before LABEL`, at the commit to compare with",
            kept.build
        ));
    }
    if !same_build {
        kept = Baseline::new(build.clone());
    }
    println!("instructions per operation, {build}; \"before\" is {}\n", kept.before);
    println!(
        "{:<22}{:>12}{:>12}{:>12}{:>10}{:>10}",
        "figure", "before", "now", "measured", "÷ before", "÷ now"
    );
    let (mut rows, mut moved) = (Vec::new(), Vec::new());
    for workload in workloads {
        let measured = per_operation(workload)?;
        let row = kept.row(workload.name);
        print_row(workload.name, row, measured);
        moved.extend(objection(workload.name, row, measured));
        rows.push((workload.name, measured));
    }
    let is_known = |name: &&str| WORKLOADS.iter().any(|workload| workload.name == *name);
    let gone = kept.names().filter(|name| !is_known(name));
    moved.extend(gone.map(|name| format!("{name} is kept, and no workload is called that")));
    match save {
        Save::Nothing if moved.is_empty() => Ok(()),
        Save::Nothing => Err(format!(
            "{}\n`--save` keeps the new figures, where that is meant",
            moved.join("\n")
        )),
        Save::Now => {
            for (name, measured) in rows {
                kept.set(name, None, measured);
            }
            kept.write()
        }
        Save::Both(label) => {
            label.clone_into(&mut kept.before);
            for (name, measured) in rows {
                kept.set(name, Some(measured), measured);
            }
            kept.write()
        }
    }
}

fn print_row(name: &str, kept: Option<&Row>, measured: f64) {
    let Some(Row { before, now, .. }) = kept else {
        return println!("{name:<22}{:>12}{:>12}{measured:>12.1}", "", "");
    };
    println!(
        "{name:<22}{before:>12.1}{now:>12.1}{measured:>12.1}{:>10.3}{:>10.3}",
        measured / before,
        measured / now
    );
}

/// Returns what is wrong with a figure, if anything is.
fn objection(name: &str, kept: Option<&Row>, measured: f64) -> Option<String> {
    let Some(Row { now, .. }) = kept else { return Some(format!("{name} has no kept figure")) };
    let change = measured / now - 1.0;
    (change.abs() > TOLERANCE).then(|| {
        format!(
            "{name} has moved by {:+.1} %: from {now:.1} to {measured:.1} instructions",
            change * 100.0
        )
    })
}

/// Counts the instructions of one operation.
fn per_operation(workload: &Workload) -> Result<f64, String> {
    let set_up = count(workload.name, 0)?;
    let runs = count(workload.name, workload.runs)?.checked_sub(set_up);
    let runs = runs.ok_or_else(|| format!("the runs of {} took no instructions", workload.name))?;
    Ok(runs as f64 / f64::from(workload.runs) / f64::from(workload.operations))
}

/// Counts the instructions of a process that does so many runs.
fn count(name: &str, runs: u32) -> Result<u64, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let valgrind = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--run", name, &runs.to_string()])
        .output();
    let output = valgrind.map_err(|error| match error.kind() {
        ErrorKind::NotFound => "this needs valgrind: install your system's package `valgrind`, as \
                                with `apt-get install valgrind`"
            .to_owned(),
        _ => format!("valgrind can't be started: {error}"),
    })?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected : "));
    match collected.and_then(|(_, number)| number.trim().parse().ok()) {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(format!("valgrind has failed for {name}:\n{text}")),
    }
}
