//! The terminal as it was before an editor took it, for sessions that a signal ends while somebody types.
//!
//! The program `stty` does it, because the standard library knows no terminals. Where there is none, the shell has to help itself.

use std::process::{Command, Stdio};

use crate::output::Output;

/// Ends what editors ask terminals for: that pasted text is marked.
const NO_MARKS: &str = "\u{1b}[?2004l\n";

/// The settings of a terminal, in the words of `stty`.
pub(super) struct Terminal {
    settings: Option<String>,
}

impl Terminal {
    /// Takes note of how it is.
    pub(super) fn remember() -> Self {
        let told = stty("-g").stdout(Stdio::piped()).output().ok();
        let told = told.filter(|told| told.status.success());
        let settings = told.and_then(|told| String::from_utf8(told.stdout).ok());
        Self { settings: settings.map(|settings| settings.trim().to_owned()) }
    }

    /// Makes it so again.
    pub(super) fn restore(&self, out: &Output) {
        let Some(settings) = &self.settings else { return };
        out.through(None);
        out.write(NO_MARKS.to_owned());
        // If it fails there is nothing else to try.
        let _ = stty(settings).status();
    }
}

fn stty(argument: &str) -> Command {
    let mut command = Command::new("stty");
    command.arg(argument).stdin(Stdio::inherit()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
