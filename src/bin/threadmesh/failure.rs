//! What went wrong, as a person and as a script read it. It must not end the program.

use serde_json::{Value as Json, json};
use threadmesh::{Error, ErrorKind, Execution, Value};

use crate::data;
use crate::exit::Exit;

/// Why a command failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) execution: Execution,
    pub(crate) peer: Option<String>,
    pub(crate) exit: Exit,
    /// What a handler attached to its error.
    pub(crate) data: Option<Json>,
}

impl Failure {
    /// One that this program found by itself, before anything was sent.
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            execution: Execution::Never,
            peer: None,
            exit,
            data: None,
        }
    }

    /// Something on the command line makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "USAGE", message)
    }

    /// The same, when it came about because somebody interrupted the program.
    pub(crate) fn interrupted(self) -> Self {
        let ran = match self.execution {
            Execution::Never => "nothing ran",
            Execution::Unknown => "it may have run",
            Execution::Happened => "it ran",
        };
        let message = format!("interrupted before it was done; {ran}");
        Self { code: "INTERRUPTED".to_owned(), message, exit: Exit::Interrupted, ..self }
    }

    /// One line without its end.
    pub(crate) fn text(&self) -> String {
        match &self.data {
            Some(data) => format!("{}: {} ({data})", self.code, self.message),
            None => format!("{}: {}", self.code, self.message),
        }
    }

    /// What stands under the key `error`.
    pub(crate) fn json(&self) -> Json {
        let execution = match self.execution {
            Execution::Never => "never",
            Execution::Unknown => "unknown",
            Execution::Happened => "happened",
        };
        let mut json = json!({
            "code": self.code, "message": self.message, "execution": execution, "peer": self.peer,
        });
        if let (Some(data), Some(map)) = (&self.data, json.as_object_mut()) {
            map.insert("data".to_owned(), data.clone());
        }
        json
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut message = error.message().to_owned();
        if let Some(hint) = hint(error.kind()) {
            message = format!("{message}; {hint}");
        }
        let data = error.data::<Value>().and_then(Result::ok);
        Self {
            code: error.code().to_owned(),
            message,
            execution: error.execution(),
            peer: error.peer().map(ToString::to_string),
            exit: Exit::of(error.kind()),
            data: data.as_ref().map(data::to_json),
        }
    }
}

/// What to do next, where the command line knows more about it than the crate.
fn hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::NodeNotFound | ErrorKind::NoNodesMatchFilter => Some(
            "`threadmesh peers --connect ADDR` lists who is there, --wait SECONDS waits for them",
        ),
        _ => None,
    }
}
