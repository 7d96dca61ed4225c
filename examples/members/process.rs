//! The other processes: started, and ended by closing their standard input, which also happens when this process dies.

use std::env;
use std::io;
use std::process::{Child, Command, Stdio};

use crate::Outcome;

/// A process that does not outlive its owner.
pub(crate) struct Process(Child);

impl Process {
    /// This program once more, in another part.
    pub(crate) fn start(arguments: &[&str]) -> Outcome<Self> {
        let mut command = Command::new(env::current_exe()?);
        Ok(Self(command.args(arguments).stdin(Stdio::piped()).spawn()?))
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn end(mut self) -> Outcome<()> {
        drop(self.0.stdin.take());
        let status = self.0.wait()?;
        if status.success() { Ok(()) } else { Err(format!("a process ended with {status}").into()) }
    }

    /// Ends it as a crash would: it cannot tell anybody.
    pub(crate) fn kill(mut self) -> Outcome<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In such a process: waits until it is told to end.
pub(crate) fn wait_for_the_end() -> Outcome<()> {
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
