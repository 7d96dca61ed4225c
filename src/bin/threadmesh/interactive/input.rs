//! Lines from an editor, when a person sits there, and from standard input otherwise. They are read on a thread of their own, so that an
//! interrupt ends the session also while nobody types.

use std::io::{IsTerminal as _, stdin};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rustyline::error::ReadlineError;
use rustyline::{DefaultEditor, ExternalPrinter as _};

use super::terminal::Terminal;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;

const PROMPT: &str = "> ";

/// What came.
pub(super) enum Said {
    Line(String),
    End,
    Interrupted,
}

/// Where lines come from, one when it is asked for.
pub(super) struct Input {
    asked: SyncSender<()>,
    said: Receiver<Said>,
    /// Whether a person types, and where.
    terminal: Option<Terminal>,
    out: Output,
}

impl Input {
    pub(super) fn start(out: &Output) -> Result<Self, Failure> {
        let is_terminal = stdin().is_terminal();
        let terminal = is_terminal.then(Terminal::remember);
        let (asked, asks) = sync_channel(1);
        // Room for a line and an interrupt, so that neither waits for anybody.
        let (tell, said) = sync_channel(2);
        let interrupted = tell.clone();
        interrupt::then(move || drop(interrupted.try_send(Said::Interrupted)));
        let shown = out.clone();
        let body =
            move || if is_terminal { edited(&shown, &asks, &tell) } else { plain(&asks, &tell) };
        let started = thread::Builder::new().name("input".into()).spawn(body);
        started.map_err(|why| {
            Failure::new(Exit::Failed, "NO_THREAD", format!("a thread could not be started: {why}"))
        })?;
        Ok(Self { asked, said, terminal, out: out.clone() })
    }

    /// Whether a person types.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// The next line.
    pub(super) fn next(&self) -> Said {
        if self.asked.send(()).is_err() {
            // The other thread has ended, and its last word may still be here.
            return self.said.try_recv().unwrap_or(Said::End);
        }
        let said = self.said.recv().unwrap_or(Said::End);
        // The editor may still hold the terminal, and is not asked to let go of it.
        if let (Said::Interrupted, Some(terminal)) = (&said, &self.terminal) {
            terminal.restore(&self.out);
        }
        said
    }
}

fn plain(asks: &Receiver<()>, tell: &SyncSender<Said>) {
    let mut lines = stdin().lines();
    while asks.recv().is_ok() {
        let said = match lines.next() {
            Some(Ok(line)) => Said::Line(line),
            // What is no UTF-8 cannot be a command, and nothing after it can be trusted to be one.
            Some(Err(_)) | None => Said::End,
        };
        let is_last = !matches!(said, Said::Line(_));
        if tell.send(said).is_err() || is_last {
            return;
        }
    }
}

fn edited(out: &Output, asks: &Receiver<()>, tell: &SyncSender<Said>) {
    let Ok(mut editor) = DefaultEditor::new() else { return plain(asks, tell) };
    if let Ok(mut printer) = editor.create_external_printer() {
        // What others say while a line is being typed stands above it.
        out.through(Some(Box::new(move |text| drop(printer.print(text)))));
    }
    while asks.recv().is_ok() {
        let said = match editor.readline(PROMPT) {
            Ok(line) => {
                // A history that is full forgets the oldest by itself.
                let _ = editor.add_history_entry(&line);
                Said::Line(line)
            }
            Err(ReadlineError::Interrupted) => Said::Interrupted,
            Err(_) => Said::End,
        };
        let is_last = !matches!(said, Said::Line(_));
        if tell.send(said).is_err() || is_last {
            break;
        }
    }
    out.through(None);
}
