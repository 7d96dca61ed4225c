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
    /// What to do next, where the command line knows more about it than the crate.
    pub(crate) hint: Option<&'static str>,
    /// What a handler attached to its error.
    pub(crate) data: Option<Box<Json>>,
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
            hint: None,
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
        let hint = None;
        Self { code: "INTERRUPTED".to_owned(), message, exit: Exit::Interrupted, hint, ..self }
    }

    /// Whether nobody was there for it, so that nothing ran.
    pub(crate) fn is_nobody(&self) -> bool {
        let codes = ["NODE_NOT_FOUND", "NO_NODES_MATCH_FILTER", "NOT_FOUND"];
        self.exit == Exit::Nobody && codes.contains(&self.code.as_str())
    }

    fn told(&self) -> String {
        let message = &self.message;
        self.hint.map_or_else(|| message.clone(), |hint| format!("{message}; {hint}"))
    }

    /// What happened, for those who did not ask for it and need no advice.
    pub(crate) fn untold(error: &Error) -> Self {
        Self { hint: None, ..Self::from(error.clone()) }
    }

    /// One line without its end.
    pub(crate) fn text(&self) -> String {
        match &self.data {
            Some(data) => format!("{}: {} ({data})", self.code, self.told()),
            None => format!("{}: {}", self.code, self.told()),
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
            "code": self.code, "message": self.told(), "execution": execution, "peer": self.peer,
        });
        if let (Some(data), Some(map)) = (&self.data, json.as_object_mut()) {
            map.insert("data".to_owned(), Json::clone(data));
        }
        json
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // Those are advice for programs.
        let message = error
            .message()
            .replace("; `explain` says why each does not match", "")
            .replace("; say with a filter alone who is meant, or let the router tell", "");
        let data = error.data::<Value>().and_then(Result::ok);
        Self {
            code: error.code().to_owned(),
            message,
            execution: error.execution(),
            peer: error.peer().map(ToString::to_string),
            exit: Exit::of(error.kind()),
            hint: hint(&error),
            data: data.as_ref().map(data::to_json).map(Box::new),
        }
    }
}

fn hint(error: &Error) -> Option<&'static str> {
    // Those whom routers were asked for are looked for elsewhere.
    let routers = error.context("routers").is_some();
    match error.kind() {
        ErrorKind::NodeNotFound if !routers => Some(
            "`threadmesh peers --connect ADDR` lists who is there, --via-router asks routers as well, --wait SECONDS waits",
        ),
        ErrorKind::NodeNotFound | ErrorKind::NoNodesMatchFilter => Some(
            "`threadmesh peers --connect ADDR` lists who is there, --wait SECONDS waits for them",
        ),
        ErrorKind::NotFound if !routers && error.peer().is_none() => {
            Some("--via-router asks routers as well, --wait SECONDS waits")
        }
        ErrorKind::PredicateNotRoutable => Some("without --strategy the router chooses"),
        _ => None,
    }
}
