//! The program `threadmesh`: routers, services and clients of a mesh on the command line.
//!
//! It uses the crate as any program does, by its public face alone, and it must stay a thin one: what a script cannot do here, a
//! Rust program can do with the crate.

#[cfg(test)]
#[path = "../../../tests/it/support/bound.rs"]
mod bound;

mod args;
mod builtin;
mod choice;
mod commands;
mod data;
mod event;
mod exec;
mod exit;
mod failure;
mod histogram;
mod interactive;
mod interrupt;
mod links;
mod output;
mod pipe;
mod seed_form;
mod serve;
mod stats;
mod terms;
mod verbose;
mod whom;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words = seed_form::as_command(env::args_os().collect());
    let exit = match args::read(words) {
        Ok(args) => commands::run(args),
        Err(exit) => exit,
    };
    ExitCode::from(exit.number())
}
