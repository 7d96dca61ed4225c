//! The program of the command line: it uses the crate as any program does, and what it needs is only for it.

use super::{Offence, Source, code, line_of, paths};

/// What only the program of the command line needs: optional, and nobody else names them.
pub(super) const OF_THE_PROGRAM: &[&str] = &["clap", "ctrlc", "rustyline", "serde_json"];

/// Where that program stands. It is a crate of its own.
pub(super) const PROGRAM: &str = "src/bin/threadmesh/";

/// What is public for other reasons than to be used.
const HIDDEN: &[&str] = &["bench", "fuzz", "Verdict"];

/// The program uses the crate as any program does; the crate knows nothing of the packages of the program.
pub(super) fn uses(file: &Source) -> Vec<Offence> {
    let text = code(&file.text);
    let object = |at, what| Offence { file: file.path.clone(), line: line_of(&text, at), what };
    if !file.path.starts_with(PROGRAM) {
        let named = OF_THE_PROGRAM.iter().filter(|_| file.path.starts_with("src/"));
        let uses = named.flat_map(|name| roots(&text, name).into_iter().map(move |at| (at, name)));
        let what = |name| format!("`{name}` is only for the program below {PROGRAM}");
        return uses.map(|(at, name)| object(at, what(name))).collect();
    }
    let mut offences = Vec::new();
    for at in roots(&text, "threadmesh") {
        let named = paths(&text[at + "threadmesh::".len()..]);
        for name in named.iter().filter_map(|path| path.first()) {
            if HIDDEN.contains(&name.as_str()) {
                let what = format!("`{name}` is not part of the API: use what any program may use");
                offences.push(object(at, what));
            }
        }
    }
    for (at, line) in file.text.match_indices("#[path") {
        if !line_at(&file.text, at).contains("/tests/") {
            let what =
                format!("`{line}` takes a file of the crate through the wall: use its public face");
            offences.push(object(at, what));
        }
    }
    offences
}

/// Where paths begin with this name.
fn roots(text: &str, name: &str) -> Vec<usize> {
    let begins =
        |at: &usize| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c));
    let path = format!("{name}::");
    text.match_indices(&path).map(|(at, _)| at).filter(begins).collect()
}

/// The rest of the line.
fn line_at(text: &str, at: usize) -> &str {
    text[at..].lines().next().unwrap_or_default()
}

#[cfg(test)]
mod bites {
    use super::*;
    use crate::imports;

    fn file(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn the_program_uses_the_public_face_and_keeps_its_packages_to_itself() {
        for (path, text) in [
            ("src/bin/threadmesh/main.rs", "use threadmesh::bench::Peers;"),
            ("src/bin/threadmesh/main.rs", "use threadmesh::{Node, fuzz};"),
            ("src/bin/threadmesh/main.rs", "#[path = \"../../wire/mod.rs\"]\nmod wire;"),
            ("src/options.rs", "use serde_json::Value;"),
            ("src/node/tests.rs", "fn f() { clap::Parser::parse(); }"),
        ] {
            assert_eq!(uses(&file(path, text)).len(), 1, "{path}: {text}");
        }
        for (path, text) in [
            (
                "src/bin/threadmesh/main.rs",
                "use threadmesh::{Node, filter};\nuse crate::exit::Exit;",
            ),
            (
                "src/bin/threadmesh/main.rs",
                "use crate::commands::bench::Bench; // threadmesh::bench::",
            ),
            (
                "src/bin/threadmesh/main.rs",
                "#[path = \"../../../tests/it/support/bound.rs\"]\nmod bound;",
            ),
            ("src/options.rs", "fn f() { let serde_json = my_clap::f(); }"),
            ("tests/cli/main.rs", "use serde_json::Value;"),
        ] {
            let found = (uses(&file(path, text)), imports(&file(path, text)));
            assert_eq!(found, (vec![], vec![]), "{path}: {text}");
        }
    }
}
