//! The commands, a file each: what it takes, and what it does.

pub(crate) mod bench;
pub(crate) mod call;
pub(crate) mod node;
pub(crate) mod peers;
pub(crate) mod request;
pub(crate) mod router;
pub(crate) mod tick;
pub(crate) mod top;
pub(crate) mod watch;

use crate::args::{Args, Command};
use crate::exit::Exit;
use crate::interrupt;
use crate::output::Output;
use crate::verbose;

/// Does what the command line says. A failure is told here, once, whatever the command.
pub(crate) fn run(args: Args) -> Exit {
    verbose::install(args.verbose);
    interrupt::install();
    let out = Output::new(args.json);
    let done = match args.command {
        Command::Router(command) => command.run(&out),
        Command::Node(command) => command.run(&out),
        Command::Request(command) => command.run(&out),
        Command::Tick(command) => command.run(&out),
        Command::Call(command) => command.run(&out),
        Command::Peers(command) => command.run(&out),
        Command::Watch(command) => command.run(&out),
        Command::Top(command) => command.run(&out),
        Command::Bench(command) => command.run(&out),
    };
    done.unwrap_or_else(|failure| {
        let interrupted = interrupt::is_requested();
        let failure = if interrupted { failure.interrupted() } else { failure };
        out.failure(&failure);
        failure.exit
    })
}
