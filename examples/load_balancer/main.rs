//! A load balancer without a program for it: a client, a balancer and three workers, each a process of its own.
//!
//! The client calls `/job`, which the balancer serves: its handler passes the job on to `/work`, which the workers serve, each in its turn.
//! So the client knows one path and no worker. One worker stops while jobs are under way, and no job is lost. The program
//! starts itself again for each of the others, and ends with a failure when the jobs are not spread evenly.

mod balancer;
mod client;
mod process;
mod worker;

use std::env;
use std::process::ExitCode;

/// What may go wrong here is told to a human and ends the program.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--balancer", client] => balancer::run(client),
        ["--worker", id, balancer] => worker::run(id, balancer),
        // The test harness brings arguments of its own.
        _ => client::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load_balancer: {error}");
            ExitCode::FAILURE
        }
    }
}
