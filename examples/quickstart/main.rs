//! The main job: a coordinator and several worker processes index texts together, and one worker is killed on the way.
//!
//! `cargo run --release --example quickstart [FILE…]`. Without files it takes the texts beside this file, many times over.
//! The program starts itself again for each worker. It ends with a failure when the result differs from that of a single
//! thread, or when nothing had to be redone.

mod coordinator;
mod report;
mod words;
mod worker;

use std::process::ExitCode;
use std::{env, fs};

use worker::Health;

/// What may go wrong here is told to a human and ends the program.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How often the texts that come with the example are repeated, so that there is something to do.
const COPIES: usize = 150;

const TEXTS: [&str; 3] = [
    include_str!("texts/harbour.txt"),
    include_str!("texts/night_train.txt"),
    include_str!("texts/orchard.txt"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--worker", id, address] => worker::run(id, address, Health::Good),
        ["--worker-that-fails", id, address] => worker::run(id, address, Health::Failing),
        files => texts(files).and_then(|texts| coordinator::run(&texts)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

fn texts(files: &[&str]) -> Outcome<Vec<String>> {
    if files.is_empty() {
        let shipped = TEXTS.map(|text| text.repeat(COPIES));
        println!(
            "no files given: taking the {} texts that come with the example, {COPIES} times",
            shipped.len()
        );
        return Ok(shipped.to_vec());
    }
    let read = |file: &&str| {
        let bytes = fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    files.iter().map(read).collect()
}
