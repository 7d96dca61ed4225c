//! `node --exec`: requests that a program of the operator answers. No shell is started, and nothing of a request becomes a word of the
//! command: data goes to standard input, names to the environment.

mod child;
mod slots;
pub(crate) mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value as Json;
use threadmesh::{Handle, HandlerError, Request, Value, blocking};

use crate::args::seconds;
use crate::data;
use crate::failure::Failure;
use child::{Job, Trouble};
use slots::Slots;

/// The flags.
#[derive(Args, Debug)]
pub(crate) struct Exec {
    /// Answer requests by running this program, written as words; 'quotes' and "quotes" group, and no shell reads it
    #[arg(id = "exec", long, value_name = "COMMAND")]
    command: Option<String>,

    /// The events that the program answers: a name, a pattern like 'tool:*', or a path like /tools/size; repeatable
    #[arg(long, value_name = "PATTERN", default_value = "exec", requires = "exec")]
    on: Vec<String>,

    /// The longest that the program may run, also when the request has more time
    #[arg(
        id = "exec_timeout",
        long = "exec-timeout",
        value_name = "SECONDS",
        default_value = "60"
    )]
    #[arg(value_parser = seconds, requires = "exec")]
    timeout: Duration,

    /// The most that the program may write on standard output
    #[arg(
        long = "exec-output",
        value_name = "BYTES",
        default_value = "1048576",
        requires = "exec"
    )]
    output: u32,

    /// How many of it run at once; further requests wait in line as long as their time allows
    #[arg(long = "exec-parallel", value_name = "N", default_value = "16", requires = "exec")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,
}

/// A command that can be run again and again.
pub(crate) struct Program {
    words: Vec<String>,
    timeout: Duration,
    output: usize,
    slots: Slots,
    /// The node ends, and nothing that it has started may outlive it.
    ended: AtomicBool,
}

impl Exec {
    /// The program, if there is one.
    pub(crate) fn program(&self) -> Result<Option<Arc<Program>>, Failure> {
        let Some(command) = &self.command else { return Ok(None) };
        let words = words::split(command)
            .map_err(|why| Failure::usage(format!("--exec {command}: {why}")))?;
        if words.is_empty() {
            return Err(Failure::usage("--exec names no program"));
        }
        Ok(Some(Arc::new(Program {
            words,
            timeout: self.timeout,
            output: self.output as usize,
            slots: Slots::new(usize::from(self.parallel)),
            ended: AtomicBool::new(false),
        })))
    }

    /// Has the program answer.
    pub(crate) fn register(&self, node: &Handle, program: &Arc<Program>) -> Result<(), Failure> {
        for pattern in &self.on {
            let program = Arc::clone(program);
            node.on_request(pattern, move |request: Request<Value>| {
                // The pool may have another worker meanwhile, so that all else is still answered.
                blocking(|| program.answer(&request))
            })?;
        }
        Ok(())
    }
}

impl Program {
    /// Ends what runs, and lets nothing begin.
    pub(crate) fn end(&self) {
        self.ended.store(true, Relaxed);
    }

    fn answer(&self, request: &Request<Value>) -> Result<Value, HandlerError> {
        let given_up = || request.is_cancelled() || self.ended.load(Relaxed);
        let late = || self.fault(&Trouble::Late);
        let _slot = self.slots.take(request.deadline(), &given_up).ok_or_else(late)?;
        let latest = Instant::now().checked_add(self.timeout);
        let job = Job {
            words: &self.words,
            event: request.event(),
            from: request.origin().as_str(),
            input: data::to_json(&request.data).to_string().into_bytes(),
            output: self.output,
            deadline: latest.map_or(request.deadline(), |latest| latest.min(request.deadline())),
            given_up: &given_up,
        };
        match child::run(job) {
            Ok(output) => Ok(value(output)),
            Err(trouble) => Err(self.fault(&trouble)),
        }
    }

    /// What the caller is told.
    fn fault(&self, trouble: &Trouble) -> HandlerError {
        let program = &self.words[0];
        match trouble {
            Trouble::Unstartable(why) => {
                HandlerError::new("EXEC_FAILED", format!("{program} could not be started: {why}"))
            }
            Trouble::Status { status, errors } => {
                let said = if errors.is_empty() { String::new() } else { format!(": {errors}") };
                HandlerError::new("EXEC_FAILED", format!("{program} ended with {status}{said}"))
            }
            Trouble::Late => {
                let why = format!("{program} was not done in time, and was ended");
                HandlerError::new("EXEC_TIMEOUT", why)
            }
            Trouble::GivenUp => HandlerError::new(
                "EXEC_CANCELLED",
                format!("{program} was ended: nobody waits for it"),
            ),
            Trouble::TooMuch => {
                let why = format!("{program} wrote more than {} bytes, and was ended", self.output);
                HandlerError::new("EXEC_OUTPUT", why)
            }
        }
    }
}

/// JSON if it parses, else text without its last line end.
fn value(output: Vec<u8>) -> Value {
    let text = String::from_utf8(output)
        .unwrap_or_else(|bytes| String::from_utf8_lossy(bytes.as_bytes()).into_owned());
    if serde_json::from_str::<Json>(&text).is_ok() {
        return data::json_or_text(&text);
    }
    Value::from(text.strip_suffix('\n').unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use threadmesh::value;

    use super::*;

    #[test]
    fn output_is_json_if_it_parses_else_text() {
        for (output, expected) in [
            (&b"{\"a\": 1}\n"[..], value!({ "a": 1 })),
            (b" 7 \n", value!(7)),
            (b"two words\n", value!("two words")),
            (b"one\ntwo\n\n", value!("one\ntwo\n")),
            (b"", value!("")),
            (b"\xff\n", value!("\u{fffd}")),
        ] {
            assert_eq!(value(output.to_vec()), expected);
        }
    }
}
