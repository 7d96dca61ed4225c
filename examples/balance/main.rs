//! What a strategy is worth: ten worker processes, one of them twenty times slower than the others, and the same job with four strategies.
//!
//! `cargo run --release --example balance`. The program starts itself again for each worker. It ends with a failure when the strategies
//! that look at the load do not take at most 0.6 of the time that chance takes.

mod client;
mod staff;
mod worker;

use std::env;
use std::process::ExitCode;

/// What may go wrong here is told to a human and ends the program.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => client::run(),
        ["--worker", id, host, millis] => worker::run(id, host, millis),
        _ => Err("this takes no arguments".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("balance: {error}");
            ExitCode::FAILURE
        }
    }
}
