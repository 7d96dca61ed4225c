//! Everything that is printed: text for people, or one JSON object a line for scripts. Nothing here panics on a closed pipe.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value as Json, json};
use threadmesh::Handle;

use crate::failure::Failure;
use crate::pipe;

/// Where lines go instead of standard output, while an editor holds the terminal.
type Sink = Box<dyn FnMut(String) + Send>;

/// What prints. Clones print to the same place, from any thread, whole lines each.
#[derive(Clone)]
pub(crate) struct Output(Arc<Inner>);

struct Inner {
    json: bool,
    closed: AtomicBool,
    sink: Mutex<Option<Sink>>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self(Arc::new(Inner { json, closed: AtomicBool::new(false), sink: Mutex::new(None) }))
    }

    /// Whether lines are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.0.json
    }

    /// Whether nobody reads standard output any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.load(Relaxed)
    }

    /// Stops a node once nobody reads standard output any more: what a command ends with that only prints.
    pub(crate) fn stops(&self, node: &Handle) {
        let (out, node) = (self.clone(), node.clone());
        pipe::when_unread(move || {
            out.0.closed.store(true, Relaxed);
            // After an error there is nothing to stop.
            let _ = node.stop();
        });
    }

    /// Prints a line: the text, or the object.
    pub(crate) fn line(&self, text: &str, json: &Json) {
        let mut line = if self.is_json() { json.to_string() } else { clean(text) };
        line.push('\n');
        self.write(line);
    }

    /// Prints text as it is: what may hold control characters that the program itself has put there.
    pub(crate) fn write(&self, text: String) {
        let mut sink = lock(&self.0.sink);
        if let Some(print) = sink.as_mut() {
            print(text);
            return;
        }
        let mut out = io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            self.0.closed.store(true, Relaxed);
        }
    }

    /// Tells a person something on standard error, beside what is printed.
    pub(crate) fn note(&self, text: &str) {
        if !self.is_json() {
            // Where nobody reads, nobody is told.
            let _ = writeln!(io::stderr().lock(), "{}", clean(text));
        }
    }

    /// Prints a failure on standard error: a line of text, or `{"error": …}`.
    pub(crate) fn failure(&self, failure: &Failure) {
        let line = if self.is_json() {
            json!({ "error": failure.json() }).to_string()
        } else {
            format!("threadmesh: {}", clean(&failure.text()))
        };
        // Where nobody reads, nobody is told.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Sends all lines through an editor that holds the terminal, or again to standard output.
    pub(crate) fn through(&self, sink: Option<Sink>) {
        *lock(&self.0.sink) = sink;
    }
}

/// What came from elsewhere must not move the cursor of a terminal, or worse.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            cleaned.extend(c.escape_default());
        } else {
            cleaned.push(c);
        }
    }
    cleaned
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_others_do_not_reach_the_terminal() {
        assert_eq!(clean("a\u{1b}[2J\n\u{9b}ä"), "a\\u{1b}[2J\\n\\u{9b}ä");
    }
}
