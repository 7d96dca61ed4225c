//! `threadmesh node`: a service, a client to talk with, or a program that answers requests.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use threadmesh::{Handle, NodeEvent};

use crate::args::seconds;
use crate::builtin;
use crate::event;
use crate::exec;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interactive;
use crate::interrupt;
use crate::output::Output;
use crate::serve::{Serve, dropped};

const EXAMPLES: &str = "\
Examples:
  threadmesh node --name auth --connect tcp://127.0.0.1:8087
  threadmesh node --name worker --option role=worker --option load=3 --bind 127.0.0.1:0
  threadmesh node --name client --connect tcp://127.0.0.1:8087 --interactive
  threadmesh node --name tools --connect 127.0.0.1:8087 --exec 'wc -c' --on size --on /tools/size

It prints \"listening on tcp://HOST:PORT\" if it listens, \"connected to ID at tcp://HOST:PORT\" for each --connect, and then \"ready\". \
It answers echo, ping, message and node:peers. Ctrl-C ends it with goodbyes and exit code 0; so does the end of its terminal, also \
under nohup. To keep it running after that, start it with setsid, or by the system's own means for services.

--interactive reads commands (help lists them) from the terminal, or from standard input line by line. Then it ends with the exit \
code of the first command that failed.

--exec runs a program for each request whose event is one of the --on patterns. The program is a fixed list of words; no shell reads \
it, and nothing of a request becomes a word of it. It gets the data as JSON on standard input, the name of the event in the \
variable THREADMESH_EVENT and who asks in THREADMESH_FROM, and answers on standard output: JSON if it parses, else text. An exit \
status other than zero is the error EXEC_FAILED; it is killed when the time of the request or --exec-timeout is over \
(EXEC_TIMEOUT), when it writes more than --exec-output (EXEC_OUTPUT), and when the caller has gone.";

/// Start a node: a service, or with --interactive a client to talk with
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Node {
    #[command(flatten)]
    serve: Serve,

    /// Read commands: send, request, tick, list, help, exit
    #[arg(long)]
    interactive: bool,

    /// How long requests of --interactive may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,

    #[command(flatten)]
    exec: exec::Exec,
}

impl Node {
    pub(crate) fn run(&self, out: &Output) -> Result<Exit, Failure> {
        self.serve.check("node")?;
        let program = self.exec.program()?;
        let node = self.serve.name(threadmesh::Node::builder()).start()?;
        // First, so that a pattern of the operator may stand for what is built in.
        if let Some(program) = &program {
            self.exec.register(&node, program)?;
            let program = Arc::clone(program);
            interrupt::then(move || program.end());
        }
        interrupt::stops(&node);
        builtin::register(&node, out)?;
        builtin::tell_peers(&node)?;
        if self.interactive && !self.serve.events {
            tell_losses(&node, out)?;
        }
        self.serve.open("node", &node, out)?;
        if self.interactive {
            let exit = interactive::run(&node, out, self.timeout)?;
            if let Some(program) = &program {
                program.end();
            }
            node.stop()?;
            return Ok(exit);
        }
        self.serve.wait(&node, out, || {
            let (peers, dropped) = (node.peers().len(), dropped(&node)?);
            let json = json!({
                "type": "stats", "id": node.id().as_str(), "peers": peers, "dropped": dropped,
            });
            out.line(&format!("stats: {peers} peers, dropped {dropped}"), &json);
            Ok(())
        })
    }
}

/// Who ticks in a session does not wait, and hears it when nobody was found.
fn tell_losses(node: &Handle, out: &Output) -> Result<(), Failure> {
    let out = out.clone();
    node.on_event(move |happened| {
        if matches!(happened, NodeEvent::Undelivered { .. }) {
            event::print(&out, happened);
        }
    })?;
    Ok(())
}
