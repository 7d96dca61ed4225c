//! The rules of the house that no compiler keeps: who may import whom, one door per room, the map and the territory.
//!
//! Every rule is a function from text to offences, and the second half of this file shows that each of them bites.
//! It must not need a crate of its own, and it reads files only below the manifest's folder.

#[path = "tidy/engine.rs"]
mod engine;
#[path = "tidy/items.rs"]
mod items;
#[path = "tidy/program.rs"]
mod program;
#[path = "tidy/promises.rs"]
mod promises;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use program::{OF_THE_PROGRAM, PROGRAM};

/// The words of the crate, in levels: a file may import those of the levels above its own line. `id` and `error` are
/// one knot: an error names a node, and an id that is none is an error.
const VOCABULARY: &[&[&str]] = &[
    &["config", "cbor"],
    &["id", "error"],
    &["home", "value", "scan", "patience"],
    &["payload", "options", "headers", "event", "address"],
    &["routing_stats"],
    &["node_event", "handler_error", "endpoint", "dropped"],
];

/// What a room may import beside the vocabulary and itself. A new edge is an architectural change: say why in
/// `src/architecture.md` in the same commit.
const ROOMS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("routing", &[]),
    ("proto", &["wire", "routing"]),
    ("net", &["proto", "routing"]),
    ("service", &["routing"]),
    ("node", &["routing", "proto", "net", "service"]),
    ("policy", &["node"]),
    ("router", &["node", "proto"]),
    (
        "lib",
        &[
            "wire", "routing", "proto", "net", "service", "node", "policy", "router", "fuzz",
            "bench",
        ],
    ),
    ("bench", &["wire", "routing", "proto", "node"]),
    ("fuzz", &["wire", "routing", "proto"]),
];

/// What the workers take from the engine and give back to it: the one exception to [`ROOMS`].
const SERVICE_SEES_OF_PROTO: &[&str] = &["Answer", "Delivery", "Message", "ReplyTo", "Work"];

/// The packages of the design, and no other.
const DEPENDENCIES: &[&str] =
    &["ciborium", "crossbeam-channel", "fastrand", "log", "mio", "regex-lite", "serde"];

/// The engine and what it stands on are values: time and chance are handed in.
const PURE: &[&str] = &["src/wire/", "src/routing/", "src/proto/"];

/// A file this long holds more than one idea.
const MOST_LINES: usize = 700;

#[derive(PartialEq, Eq)]
struct Offence {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Debug for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}:{}: {}", self.file, self.line, self.what)
    }
}

/// A source file, by its path below the manifest's folder.
struct Source {
    path: String,
    text: String,
}

#[test]
fn the_house_is_tidy() {
    let files = sources();
    assert!(files.len() > 10, "the walk found only {} files", files.len());
    let mut offences = Vec::new();
    for file in &files {
        offences.extend(imports(file));
        offences.extend(let_chains(file));
        offences.extend(shape(file));
        offences.extend(words(file));
        offences.extend(purity(file));
        offences.extend(promises::marks(file));
        offences.extend(wall_clock(file));
        offences.extend(program::uses(file));
    }
    offences.extend(engine::rules(&files));
    offences.extend(engine::parameters(&read("clippy.toml")));
    offences.extend(map(&read("src/architecture.md"), &files));
    offences.extend(dependencies(&read("Cargo.toml")));
    offences.extend(promises::table(&read(promises::TABLE), &files));
    assert!(offences.is_empty(), "{} offences: {offences:#?}", offences.len());
}

// What is read.

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["src", "tests", "examples", "benches", "fuzz"] {
        walk(&root().join(folder), &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(folder: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("a readable folder").path()) {
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file is UTF-8");
            let below = path.strip_prefix(root()).expect("the walk began there");
            let path = below.to_string_lossy().replace('\\', "/");
            found.push(Source { path, text });
        }
    }
}

/// The text with comments and the insides of literals blanked, so that only code is left; lines stay where they are.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (len, keep) = token(rest, first, out.ends_with(|c: char| c.is_alphanumeric()));
        let (piece, after) = rest.split_at(len);
        if keep {
            out.push_str(piece);
        } else {
            out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    out
}

/// The length of the comment, literal or single character at the front, and whether it is code.
fn token(rest: &str, first: char, in_word: bool) -> (usize, bool) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), false);
    }
    if rest.starts_with("/*") {
        return (rest.find("*/").map_or(rest.len(), |end| end + 2), false);
    }
    let raw = rest.trim_start_matches('b');
    if !in_word && (raw.starts_with("r\"") || raw.starts_with("r#\"")) {
        let close = if raw.starts_with("r#") { "\"#" } else { "\"" };
        let open = rest.find('"').expect("just seen") + 1;
        let end = rest[open..].find(close).map_or(rest.len(), |end| open + end + close.len());
        return (end, false);
    }
    match first {
        '"' => (quoted(rest, '"'), false),
        '\'' => char_literal(rest).map_or((1, true), |len| (len, false)),
        _ => (first.len_utf8(), true),
    }
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character literal; `None` for a lifetime.
fn char_literal(rest: &str) -> Option<usize> {
    let mut inside = rest[1..].chars();
    match inside.next()? {
        '\\' => Some(quoted(rest, '\'')),
        c => (inside.next()? == '\'').then(|| c.len_utf8() + 2),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

// Who may import whom.

fn imports(file: &Source) -> Vec<Offence> {
    let Some(room) = file.path.strip_prefix("src/").map(room_of) else { return Vec::new() };
    // Tests may look at a word from wherever it is used, and to the program `crate` is the program.
    if is_tests(file) || file.path.starts_with(PROGRAM) {
        return Vec::new();
    }
    let text = code(&file.text);
    let mut offences = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        for path in paths(&text[at + "crate::".len()..]) {
            if let Some(what) = objection(room, &path) {
                offences.push(Offence { file: file.path.clone(), line: line_of(&text, at), what });
            }
        }
    }
    offences
}

/// The tests of a file stand beside it, in a file of their own when they are long.
fn is_tests(file: &Source) -> bool {
    file.path.ends_with("/tests.rs") || file.path.contains("/tests/")
}

/// `proto/link.rs` is in the room `proto`, `id.rs` is the room `id`.
fn room_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

/// All paths of a `use` tree, or the one path that stands here.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    tree(text, &mut Vec::new(), &mut found);
    found
}

/// Reads one tree and returns what follows it.
fn tree<'a>(text: &'a str, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = tree(rest, prefix, found).trim_start();
            match rest.strip_prefix(',') {
                Some(more) if !more.trim_start().starts_with('}') => rest = more,
                Some(more) => return more.trim_start().get(1..).unwrap_or(""),
                None => return rest.get(1..).unwrap_or(""),
            }
        }
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let name = if rest.starts_with('!') { format!("{name}!") } else { name.to_owned() };
    prefix.push(name);
    let rest = if let Some(deeper) = rest.strip_prefix("::") {
        tree(deeper, prefix, found)
    } else {
        found.push(prefix.clone());
        rest
    };
    prefix.pop();
    // `as other_name` is part of the tree, too.
    rest.find([',', '}', ';'])
        .map_or(rest, |end| if rest.trim_start().starts_with("as ") { &rest[end..] } else { rest })
}

fn objection(room: &str, path: &[String]) -> Option<String> {
    let target = path.first()?.as_str();
    let inner = path.get(1).map_or("", String::as_str);
    // The bound of a test is no room: it exists only in tests, which any file may have.
    if target == room || target.ends_with('!') || target == "bound" {
        return None;
    }
    if room != "lib" && target.starts_with(|c: char| c.is_uppercase()) {
        return Some(format!(
            "import `{target}` from the file it stands in, not from the front door"
        ));
    }
    if !may_import(room, target, inner) {
        return Some(format!(
            "`{room}` may not import `crate::{target}`: move the code, pass what it needs as an argument, or change the \
             table in tests/tidy.rs and src/architecture.md together and say why"
        ));
    }
    // The bodies of fuzz targets stand in the rooms they are about, and have a door of their own.
    let bodies = room == "fuzz" && inner == "fuzz";
    let through_the_wall =
        path.len() > 2 || root().join(format!("src/{target}/{inner}.rs")).exists();
    let is_module = inner.starts_with(|c: char| c.is_lowercase());
    if ROOMS.iter().any(|(name, _)| *name == target) && is_module && through_the_wall && !bodies {
        return Some(format!(
            "one room, one door: re-export what you need in src/{target}/mod.rs and write `crate::{target}::…`, not \
             `crate::{target}::{inner}::…`"
        ));
    }
    None
}

fn may_import(room: &str, target: &str, inner: &str) -> bool {
    let level = |name: &str| VOCABULARY.iter().position(|level| level.contains(&name));
    match (level(room), level(target)) {
        (Some(own), Some(other)) => {
            other < own || (other == own && VOCABULARY[own].contains(&"id"))
        }
        (Some(_), None) => false,
        (None, Some(_)) => true,
        (None, None) => {
            let row = ROOMS.iter().find(|(name, _)| *name == room);
            let listed = row.is_some_and(|(_, allowed)| allowed.contains(&target));
            let exception = room == "service" && target == "proto";
            listed || (exception && SERVICE_SEES_OF_PROTO.contains(&inner))
        }
    }
}

// What the compiler of the lowest supported version does not understand.

fn let_chains(file: &Source) -> Vec<Offence> {
    let text = code(&file.text);
    let in_condition = text
        .match_indices("if let ")
        .chain(text.match_indices("while let "))
        .filter(|(at, _)| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .filter(|(at, _)| has_bare_and(&text[*at..]))
        .map(|(at, _)| at);
    let after_and = text.match_indices("&& let ").map(|(at, _)| at);
    let offence = |at| Offence {
        file: file.path.clone(),
        line: line_of(&text, at),
        what: "Rust 1.85 knows no `if let … && …`: nest the two, or use `let … else` or `matches!`"
            .into(),
    };
    in_condition.chain(after_and).map(offence).collect()
}

/// Whether `&&` stands outside of all brackets before the block begins.
fn has_bare_and(condition: &str) -> bool {
    let mut depth = 0;
    let bytes = condition.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' | b';' if depth == 0 => return false,
            b'&' if depth == 0 && bytes.get(at + 1) == Some(&b'&') => return true,
            _ => {}
        }
    }
    false
}

// What every file looks like, and what none contains.

fn shape(file: &Source) -> Vec<Offence> {
    let mut offences = Vec::new();
    let mut object = |line, what: String| {
        offences.push(Offence { file: file.path.clone(), line, what });
    };
    // What the tests of a file are for is said by their names.
    if !file.text.starts_with("//!") && !is_tests(file) {
        object(1, "open the file with `//!`: what it is for, and what it must not do".into());
    }
    let lines = file.text.lines().count();
    if lines > MOST_LINES {
        object(
            lines,
            format!("{lines} lines hold more than one idea; split the file below {MOST_LINES}"),
        );
    }
    offences
}

fn words(file: &Source) -> Vec<Offence> {
    if file.path == "tests/tidy.rs" {
        return Vec::new();
    }
    let forbidden = [
        ("TODO", "do it now, or write down what is missing where a user reads it"),
        ("FIXME", "do it now, or write down what is missing where a user reads it"),
        (
            "#[ignore",
            "a test that does not run proves nothing: make it quick and sure, or delete it",
        ),
        ("thread::sleep", "wait on an event with a deadline instead"),
    ];
    let mut offences = Vec::new();
    for (word, what) in forbidden {
        for (at, _) in file.text.match_indices(word) {
            let line = line_of(&file.text, at);
            offences.push(Offence {
                file: file.path.clone(),
                line,
                what: format!("`{word}`: {what}"),
            });
        }
    }
    offences
}

fn purity(file: &Source) -> Vec<Offence> {
    let tested = ["/sim/", "tests", "fuzz"].iter().any(|part| file.path.contains(part));
    if tested || !PURE.iter().any(|room| file.path.starts_with(room)) {
        return Vec::new();
    }
    let text = code(&file.text);
    let production = text.find("#[cfg(test)]").map_or(&*text, |end| &text[..end]);
    let mut offences = Vec::new();
    for word in ["Instant::now", "SystemTime", "std::thread", "TcpStream", "Rng::new"] {
        for (at, _) in production.match_indices(word) {
            let what = format!("`{word}` in a pure room: have time, chance and bytes handed in");
            offences.push(Offence { file: file.path.clone(), line: line_of(production, at), what });
        }
    }
    offences
}

/// The wall clock jumps, so nothing goes by it.
fn wall_clock(file: &Source) -> Vec<Offence> {
    if !file.path.starts_with("src/") {
        return Vec::new();
    }
    let text = code(&file.text);
    let what = "`SystemTime` jumps: go by `Instant`, and send what remains, not when it ends";
    let offence = |(at, _)| Offence {
        file: file.path.clone(),
        line: line_of(&text, at),
        what: what.to_owned(),
    };
    text.match_indices("SystemTime").map(offence).collect()
}

// The map and the territory.

/// Paths that the map names: the first cell of each table row, in backticks, below `src/`.
fn mapped(map: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in map.lines().enumerate() {
        let Some(cell) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next()) else {
            continue;
        };
        found.push((index + 1, format!("src/{cell}")));
    }
    found
}

fn map(map: &str, files: &[Source]) -> Vec<Offence> {
    let named = mapped(map);
    let mut offences = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/")) {
        if !is_tests(file) && !named.iter().any(|(_, path)| *path == file.path) {
            let what = "is not on the map: give it a row in src/architecture.md".into();
            offences.push(Offence { file: file.path.clone(), line: 1, what });
        }
    }
    for (line, path) in &named {
        let code = Path::new(path).extension().is_some_and(|extension| extension == "rs");
        if code && !files.iter().any(|file| file.path == *path) {
            let what = format!("names {path}, which does not exist: remove or correct the row");
            offences.push(Offence { file: "src/architecture.md".into(), line: *line, what });
        }
    }
    offences
}

// The packages.

fn dependencies(manifest: &str) -> Vec<Offence> {
    let mut section = "";
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            section = line.trim();
        } else if section == "[dependencies]" && !line.starts_with('#') {
            let named = line.split_once('=');
            found.extend(named.map(|(name, how)| (index + 1, name.trim(), how)));
        }
    }
    let object = |line, what: String| Offence { file: "Cargo.toml".into(), line, what };
    let all = || DEPENDENCIES.iter().chain(OF_THE_PROGRAM);
    let added = found.iter().filter(|(_, name, _)| !all().any(|known| known == name));
    let missing = all().filter(|name| !found.iter().any(|(_, have, _)| have == *name));
    let for_all = |(_, name, how): &&(usize, &str, &str)| {
        OF_THE_PROGRAM.contains(name) && !how.contains("optional = true")
    };
    let forced = found.iter().filter(for_all).map(|(line, name, _)| {
        object(
            *line,
            format!("`{name}` is only for the program: make it optional, for the feature `cli`"),
        )
    });
    added
        .map(|(line, name, _)| {
            object(*line, format!("`{name}` is a new package: the design names all there are"))
        })
        .chain(missing.map(|name| {
            object(1, format!("`{name}` is gone: take it from the list in tests/tidy.rs, too"))
        }))
        .chain(forced)
        .collect()
}

// Each rule bites.

#[cfg(test)]
mod bites {
    use super::*;

    fn file(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn an_import_against_the_table_is_found_in_every_spelling() {
        for (path, text) in [
            ("src/id.rs", "use crate::wire::Frame;"),
            ("src/event.rs", "use crate::options::Options;"),
            ("src/wire/frame.rs", "use crate::{error::Error, routing::Plan as P};"),
            ("src/routing/plan.rs", "fn f(x: crate::wire::Frame) {}"),
            ("src/service/pool.rs", "use crate::proto::Mesh;"),
            ("src/net/mod.rs", "use crate::{\n    node::Node,\n    proto::Mesh,\n};"),
            ("src/proto/mod.rs", "use crate::Error;"),
        ] {
            assert_eq!(imports(&file(path, text)).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn an_import_that_the_table_allows_is_none_of_our_business() {
        for (path, text) in [
            ("src/error.rs", "use crate::id::NodeId;"),
            ("src/id.rs", "use crate::error::{Error, ErrorKind};"),
            ("src/node_event.rs", "use crate::{error::Error, options::Options};"),
            (
                "src/proto/link.rs",
                "use crate::wire::{self, Frame as F, put};\nuse crate::proto::calls::Calls;",
            ),
            ("src/service/pool.rs", "use crate::proto::{Answer, Delivery};"),
            (
                "src/id.rs",
                "// use crate::wire::Frame;\nconst A: &str = \"crate::net::X\"; const B: char = '\"';",
            ),
            ("src/value.rs", "macro_rules! m { () => { $crate::node::Node }; }"),
            ("src/node/mod.rs", "let map = crate::options! {};"),
            ("tests/it/main.rs", "use crate::support::Bound;"),
        ] {
            assert_eq!(imports(&file(path, text)), [], "{path}: {text}");
        }
    }

    #[test]
    fn a_way_through_the_wall_of_a_room_is_found() {
        let inside = "use crate::proto::link::Link;";
        assert_eq!(imports(&file("src/net/mod.rs", inside)).len(), 1);
        assert_eq!(imports(&file("src/proto/calls.rs", inside)), []);
        assert_eq!(imports(&file("src/net/mod.rs", "use crate::routing::plan;")).len(), 1);
    }

    #[test]
    fn a_let_chain_is_found_however_it_is_broken() {
        for text in [
            "if let Some(a) = b && a > 1 {}",
            "if a && let Some(b) = c {}",
            "while let Some(a) = b\n    && a > 1\n{}",
        ] {
            assert!(!let_chains(&file("src/x.rs", text)).is_empty(), "{text}");
        }
        for text in
            ["if let Some(a) = f(b && c) { d && e }", "if a && b {}", "// if let a = b && c {"]
        {
            assert_eq!(let_chains(&file("src/x.rs", text)), [], "{text}");
        }
    }

    #[test]
    fn a_file_without_an_opening_or_an_end_is_found() {
        assert_eq!(shape(&file("src/x.rs", "use std::fmt;")).len(), 1);
        assert_eq!(shape(&file("src/x.rs", &"//! x\n".repeat(MOST_LINES + 1))).len(), 1);
        assert_eq!(shape(&file("src/x.rs", "//! x\n")), []);
    }

    #[test]
    fn forbidden_words_are_found() {
        let text = "// TODO\n#[ignore = \"slow\"]\nstd::thread::sleep(d);";
        assert_eq!(words(&file("tests/it/main.rs", text)).len(), 3);
        assert_eq!(words(&file("tests/it/main.rs", "fn todos() {}")), []);
    }

    #[test]
    fn a_clock_in_a_pure_room_is_found() {
        let text = "let now = Instant::now();";
        assert_eq!(purity(&file("src/proto/link.rs", text)).len(), 1);
        assert_eq!(purity(&file("src/proto/sim/world.rs", text)), []);
        assert_eq!(purity(&file("src/net/mod.rs", text)), []);
        assert_eq!(
            purity(&file("src/wire/frame.rs", &format!("#[cfg(test)]\nmod t {{ {text} }}"))),
            []
        );
    }

    // covers P17
    #[test]
    fn the_wall_clock_is_found_anywhere_in_the_source() {
        let text = "let now = std::time::SystemTime::now(); // SystemTime";
        assert_eq!(wall_clock(&file("src/node/call.rs", text)).len(), 1);
        assert_eq!(wall_clock(&file("tests/it/main.rs", text)), []);
    }

    #[test]
    fn the_map_and_the_territory_are_compared_both_ways() {
        let files = [file("src/id.rs", ""), file("src/id/tests.rs", ""), file("tests/it.rs", "")];
        assert_eq!(map("| `id.rs` | ids |", &files), []);
        assert_eq!(map("| file | what |", &files).len(), 1);
        assert_eq!(map("| `id.rs` | ids |\n| `gone.rs` | was |", &files).len(), 1);
    }

    #[test]
    fn a_package_too_many_or_too_few_is_found() {
        let all = DEPENDENCIES.join(" = \"1\"\n") + " = \"1\"";
        let optional = "{ version = \"1\", optional = true }";
        let more = OF_THE_PROGRAM.iter().map(|name| format!("{name} = {optional}\n"));
        let more: String = more.collect();
        let manifest = format!("[dependencies]\n# why\n{all}\n{more}[lints.rust]\nx = 1\n");
        assert_eq!(dependencies(&manifest), []);
        assert_eq!(dependencies(&manifest.replace("# why", "tokio = \"1\"")).len(), 1);
        assert_eq!(dependencies(&manifest.replace("mio = \"1\"\n", "")).len(), 1);
        let forced = manifest.replace(&format!("clap = {optional}"), "clap = \"4\"");
        assert_eq!(dependencies(&forced).len(), 1);
    }
}
