//! One line as a command.

use serde_json::Value as Json;
use threadmesh::Value;

use crate::data;

pub(super) const HELP: &str = "\
send TARGET TEXT            say a text to a node, and wait until it has it
request TARGET EVENT [JSON] ask a node, and print its answer
tick TARGET EVENT [JSON]    tell a node something, without an answer
list                        the nodes, and those behind them
help                        this
exit                        end
TARGET is a node's id or --name, a filter like {\"role\":\"worker\"}, or any";

/// What a line says.
#[derive(PartialEq, Debug)]
pub(super) enum Command {
    Nothing,
    Help,
    List,
    Exit,
    Send { to: Target, text: String },
    Request { to: Target, event: String, data: Value },
    Tick { to: Target, event: String, data: Value },
}

/// Whom it is for.
#[derive(PartialEq, Debug)]
pub(super) enum Target {
    Any,
    /// Its id, or its service.
    Named(String),
    /// JSON, not yet judged.
    Filter(String),
}

/// Reads a line, or says what is wrong with it.
pub(super) fn parse(line: &str) -> Result<Command, String> {
    let (verb, rest) = word(line);
    match verb {
        "" => Ok(Command::Nothing),
        "help" | "?" => Ok(Command::Help),
        "list" => Ok(Command::List),
        "exit" | "quit" => Ok(Command::Exit),
        "send" => {
            let (to, text) = target(rest)?;
            if text.is_empty() {
                return Err("what is said? write send TARGET TEXT".to_owned());
            }
            Ok(Command::Send { to, text: text.to_owned() })
        }
        "request" => message(rest).map(|(to, event, data)| Command::Request { to, event, data }),
        "tick" => message(rest).map(|(to, event, data)| Command::Tick { to, event, data }),
        other => Err(format!("there is no command {other:?}; help lists those there are")),
    }
}

fn message(text: &str) -> Result<(Target, String, Value), String> {
    let (to, rest) = target(text)?;
    let (event, data) = word(rest);
    if event.is_empty() {
        return Err("which event? write TARGET EVENT [JSON]".to_owned());
    }
    let data = if data.is_empty() { Ok(Value::Null) } else { data::parse(data) };
    Ok((to, event.to_owned(), data.map_err(|failure| failure.message)?))
}

/// A target, and what follows it. A filter may hold spaces.
fn target(text: &str) -> Result<(Target, &str), String> {
    if text.starts_with('{') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Json>();
        return match values.next() {
            Some(Ok(filter)) => {
                let rest = text[values.byte_offset()..].trim();
                Ok((Target::Filter(filter.to_string()), rest))
            }
            _ => Err("the filter is no JSON; write it like {\"role\":\"worker\"}".to_owned()),
        };
    }
    match word(text) {
        ("", _) => Err("to whom? write an id, a name, a filter, or any".to_owned()),
        ("any", rest) => Ok((Target::Any, rest)),
        (name, rest) => Ok((Target::Named(name.to_owned()), rest)),
    }
}

/// The first word, and the rest without the space around it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim()))
}

#[cfg(test)]
mod tests {
    use threadmesh::value;

    use super::*;

    #[test]
    fn lines_are_read_as_the_help_says() {
        let named = |name: &str| Target::Named(name.to_owned());
        let (event, data) = ("echo".to_owned(), value!({ "a": [1, 2] }));
        for (line, command) in [
            ("", Command::Nothing),
            ("  list ", Command::List),
            ("exit", Command::Exit),
            (
                "send auth  hello  there ",
                Command::Send { to: named("auth"), text: "hello  there".into() },
            ),
            (
                "request auth echo {\"a\": [1, 2]}",
                Command::Request { to: named("auth"), event: event.clone(), data },
            ),
            (
                "request {\"role\": \"x y\"} echo",
                Command::Request {
                    to: Target::Filter("{\"role\":\"x y\"}".into()),
                    event: event.clone(),
                    data: Value::Null,
                },
            ),
            ("tick any echo 7", Command::Tick { to: Target::Any, event, data: value!(7) }),
        ] {
            assert_eq!(parse(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_told() {
        for (line, why) in [
            ("dance", "there is no command"),
            ("send", "to whom?"),
            ("send auth", "what is said?"),
            ("request auth", "which event?"),
            ("request auth echo hello", "no JSON"),
            ("request {\"role\" echo", "filter is no JSON"),
        ] {
            let told = parse(line).unwrap_err();
            assert!(told.contains(why), "{line}: {told}");
        }
    }
}
