//! A mesh without a centre: four members, each a process, that find each other by one list of addresses in whatever order they start.
//!
//! A service that is registered while they run can be called at once by all. One member leaves, one is killed; both are gone for all the
//! others, and calls reach who is there. The program starts itself again for three of the members, watches as the fourth, and ends with
//! a failure when one of this is not so.

mod member;
mod process;
mod watcher;

use std::env;
use std::process::ExitCode;

/// What may go wrong here is told to a human and ends the program.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--member", id, own, seeds @ ..] => member::run(id, own, seeds),
        // The test harness brings arguments of its own.
        _ => watcher::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("members: {error}");
            ExitCode::FAILURE
        }
    }
}
