//! `node --interactive`: a person, or a script, says line by line what the node does.

mod command;
mod input;
mod terminal;

use std::time::Duration;

use serde_json::json;
use threadmesh::{Handle, NodeId, Value};

use crate::commands::peers;
use crate::commands::request::{answer, who};
use crate::data;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;
use crate::whom;
use command::{Command, HELP, Target};
use input::{Input, Said};

/// Does what is said until somebody says `exit`, the input ends, or the program is interrupted. On a terminal the exit code is 0, else that of
/// the first command that failed.
pub(crate) fn run(node: &Handle, out: &Output, timeout: Duration) -> Result<Exit, Failure> {
    let input = Input::start(out)?;
    let mut exit = Exit::Done;
    loop {
        let line = match input.next() {
            Said::Line(line) => line,
            Said::End => return Ok(exit),
            // The node was told to end, and that is what it does.
            Said::Interrupted => return Ok(Exit::Done),
        };
        let done = match command::parse(&line) {
            Ok(Command::Exit) => return Ok(exit),
            Ok(command) => obey(node, out, timeout, command),
            Err(why) => Err(Failure::usage(why)),
        };
        if let Err(failure) = done {
            if interrupt::is_requested() {
                continue;
            }
            // Flags are of no use here.
            let hint = failure.is_nobody().then_some("list shows who is there");
            out.failure(&Failure { hint, ..failure.clone() });
            if !input.is_terminal() && exit == Exit::Done {
                exit = failure.exit;
            }
        }
    }
}

fn obey(node: &Handle, out: &Output, timeout: Duration, command: Command) -> Result<(), Failure> {
    match command {
        Command::Nothing | Command::Exit => {}
        Command::Help => {
            for line in HELP.lines() {
                out.line(line, &json!({ "type": "help", "text": line }));
            }
        }
        Command::List => {
            for peer in peers::known(node, true, timeout)? {
                peers::print(out, &peer);
            }
        }
        Command::Send { to, text } => {
            let call = call(node, &to)?.timeout(timeout);
            let reply = call.request_reply::<Value, _>("message", &text)?;
            let json = json!({
                "type": "sent", "count": 1, "to": reply.handled_by.as_str(),
                "via": reply.via.as_ref().map(NodeId::as_str), "skipped": [],
            });
            out.line(&format!("said to {}", who(&reply)), &json);
        }
        Command::Request { to, event, data } => {
            let call = call(node, &to)?.timeout(timeout);
            let reply = call.request_reply::<Value, _>(&event, &data)?;
            let value = data::to_json(&reply.value);
            out.line(&format!("{}: {value}", who(&reply)), &answer(&reply));
        }
        Command::Tick { to, event, data } => {
            call(node, &to)?.timeout(timeout).tick(&event, &data)?;
            out.line("sent to 1", &json!({ "type": "sent", "count": 1, "skipped": [] }));
        }
    }
    Ok(())
}

fn call<'a>(node: &'a Handle, to: &Target) -> Result<threadmesh::Call<'a>, Failure> {
    Ok(match to {
        Target::Any => node.any(threadmesh::Filter::any()),
        Target::Named(word) => node.any(whom::named(word)),
        Target::Filter(text) => node.any(whom::filter(text)?),
    })
}
