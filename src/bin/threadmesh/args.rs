//! The command line as a value: the commands there are, what all of them take, and how a wrong one is told.

use std::ffi::OsString;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, Parser, Subcommand};

use crate::commands::bench::Bench;
use crate::commands::call::Call;
use crate::commands::node::Node;
use crate::commands::peers::Peers;
use crate::commands::request::Request;
use crate::commands::router::Router;
use crate::commands::tick::Tick;
use crate::commands::top::Top;
use crate::commands::watch::Watch;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples: a mesh of four terminals
  threadmesh router --bind tcp://127.0.0.1:8087
  threadmesh node --name auth --connect tcp://127.0.0.1:8087
  threadmesh node --name payment --connect tcp://127.0.0.1:8087
  threadmesh node --name client --connect tcp://127.0.0.1:8087 --interactive
In the last, \"send auth hello\" reaches auth through the router. So do single commands:
  threadmesh request --connect 127.0.0.1:8087 --service auth echo '{\"user\":\"ada\"}'

The same with flags: threadmesh --router --bind …, threadmesh --node --name auth --connect …

With --json every line on standard output is one object with a key \"type\" (started, listening, connected, ready, stopped, answer, \
sent, peer, event, message, stats, bench), and an error is one line on standard error:
  {\"error\":{\"code\":…,\"message\":…,\"execution\":\"never\"|\"unknown\"|\"happened\",\"peer\":…}}
The codes are those of the crate, or of the handler that failed.";

/// Routers, services and clients of a mesh, on the command line.
#[derive(Parser, Debug)]
#[command(name = "threadmesh", version, max_term_width = 100, after_help = format!("{EXAMPLES}\n\n{}", exit::TABLE))]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Print JSON: one object a line, errors too
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Show the log on standard error; more of it with -vv and -vvv
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Router(Router),
    Node(Node),
    Request(Request),
    Tick(Tick),
    Call(Call),
    Peers(Peers),
    Watch(Watch),
    Top(Top),
    Bench(Bench),
}

/// The arguments; or how the program ends without any, when they are wrong or ask for help.
pub(crate) fn read(words: Vec<OsString>) -> Result<Args, Exit> {
    let json = words.iter().any(|word| word == "--json");
    Args::try_parse_from(words).map_err(|why| {
        if matches!(why.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            Output::new(false).write(why.render().to_string());
            return Exit::Done;
        }
        if json {
            let text = why.render().to_string();
            // Without the usage and the advice that follow.
            let what = text.split("\n\n").next().unwrap_or_default();
            let what = what.strip_prefix("error: ").unwrap_or(what);
            Output::new(true).failure(&Failure::usage(what));
        } else {
            // Where nobody reads, nobody is told.
            let _ = why.print();
        }
        Exit::Usage
    })
}

/// Seconds, also with a fraction.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write a number of seconds, like 5 or 0.25")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("it must be more than zero, and not for ever".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_makes_sense_to_its_parser() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_that_it_understands() {
        for command in Args::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples =
                help.lines().map(str::trim).filter(|line| line.starts_with("threadmesh "));
            let mut count = 0;
            for example in examples {
                count += 1;
                let words = crate::exec::words::split(example).unwrap();
                let parsed = Args::try_parse_from(&words);
                assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
                assert_eq!(words[1], command.get_name());
            }
            assert!(count > 0, "{}", command.get_name());
        }
    }

    #[test]
    fn seconds_are_a_positive_number() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for wrong in ["0", "-1", "NaN", "inf", "1e300", "soon", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
