//! The engine is a tree of values: a part keeps its state in its file, no table names another, and
//! only the dispatcher holds the whole. These rules read the production code below `src/proto/`;
//! they must not judge its tests and simulations.

use super::items::{
    Struct, changing, functions, impls, is_variant, production, structs, without_variants, words,
};
use super::{Offence, Source, code, is_tests, line_of};

/// Where the engine stands.
const ENGINE: &str = "src/proto/";

/// What stands below [`ENGINE`] only for tests, as prefixes.
const ONLY_TESTED: &[&str] = &["tests", "sim/", "bad_input/", "fuzz"];

/// Parts with open fields, each with its reason. A part is a struct with a method that takes `&mut
/// self`; the fields of all others are private.
const OPEN_PARTS: &[(&str, &str)] = &[
    ("Env", "what every part works in; it holds the state of none"),
    ("Link", "a record of parts with private fields, and of what identifies the connection"),
    ("Connections", "two tables; only the dispatcher holds it, which lends one of them to others"),
];

/// Tables and parts, and where each may be named: `links` stands for `links.rs` and the folder
/// `links/`, `links.rs` only for the file. What stands nowhere here (Env, Timers, Counters, Reach)
/// is made to be used by all.
const OWNERS: &[(&str, &[&str])] = &[
    ("Connections", &["connections", "mesh"]),
    ("Traffic", &["traffic", "mesh"]),
    ("Topology", &["topology", "mesh"]),
    // Links and the peers at their ends.
    ("Links", &["connections", "links", "reach", "mesh"]),
    ("Peers", &["connections", "peers", "reach", "topology"]),
    // The topology reads peers, and changes none.
    ("mut Peers", &["connections", "peers"]),
    ("Memory", &["memory", "links", "link.rs"]),
    ("Link", &["link.rs", "links", "connections", "reach", "mesh"]),
    // One link.
    ("Handshake", &["link.rs", "link/handshake", "links.rs"]),
    ("Outbound", &["link.rs", "link/outbound", "reach"]),
    ("WaitQueue", &["link/outbound", "link/wait_queue"]),
    ("Inbound", &["link.rs", "link/inbound"]),
    // Announcements report what it counts, in the same messages.
    ("Credit", &["link.rs", "link/credit", "link/announce"]),
    ("Liveness", &["link.rs", "link/liveness"]),
    ("Announcements", &["link.rs", "link/announce"]),
    ("SendQueue", &["link.rs", "queue"]),
    // Messages on their way. `traffic/routing.rs` is the part of the dispatcher that forwards.
    ("Calls", &["traffic.rs", "traffic/calls", "traffic/routing.rs"]),
    ("Forwards", &["traffic.rs", "traffic/forwards", "traffic/routing.rs"]),
    ("Flushes", &["traffic.rs", "traffic/flushes"]),
    // Which links there are.
    ("Dials", &["topology.rs", "topology/messages.rs", "topology/dials"]),
    ("Dial", &["topology/dials", "topology/dial"]),
    ("Waiters", &["topology/dials", "topology/dial", "topology/waiters"]),
    ("Membership", &["topology.rs", "topology/messages.rs", "topology/membership"]),
    ("Queries", &["topology.rs", "topology/messages.rs", "topology/queries"]),
    ("Gossip", &["topology.rs", "topology/messages.rs", "topology/gossip"]),
    ("Listener", &["topology.rs", "topology/messages.rs", "topology/listener"]),
];

/// Where code may change the whole engine, as prefixes of paths.
const HOLDERS: &[&str] = &["src/proto/mesh.rs", "src/proto/mesh/", "src/bench"];

/// The trait by which the shell drives the engine; it adds no code.
const SHELL: (&str, &str) = ("src/net/engine.rs", "impl<T> Engine<T> for Mesh<T>");

/// A struct with more fields holds more than one idea.
const FIELDS_MAX: usize = 16;

/// Structs with a limit of their own, each with its reason.
const FIELDS_MAX_OF: &[(&str, usize, &str)] = &[
    ("Mesh", 14, "the dispatcher holds parts, not state"),
    ("Counters", usize::MAX, "one number for each reason to drop something"),
];

/// A function with more lines does more than one thing.
const FUNCTION_LINES_MAX: usize = 75;

/// The line of `clippy.toml` that limits parameters.
const PARAMETERS: &str = "too-many-arguments-threshold = 6";

/// All rules about the engine's source.
pub(super) fn rules(files: &[Source]) -> Vec<Offence> {
    let mut offences = open_fields(files);
    for file in files {
        offences.extend(names(file));
        offences.extend(holders(file));
        offences.extend(sizes(file));
        offences.extend(reentrance(file));
        offences.extend(allowed_parameters(file));
    }
    offences.extend(lists(files));
    offences
}

/// Open fields of parts. The methods of a part may stand in several files, and so in others than
/// its fields.
fn open_fields(files: &[Source]) -> Vec<Offence> {
    let files: Vec<_> = files.iter().filter(|file| is_production(&file.path)).collect();
    let texts: Vec<_> = files.iter().map(|file| production(&file.text)).collect();
    let parts: Vec<_> = texts.iter().flat_map(|text| changing(text)).collect();
    let mut offences = Vec::new();
    for (file, text) in files.iter().zip(&texts) {
        for Struct { name, at, fields } in structs(text) {
            let open = fields.iter().filter(|field| field.starts_with("pub")).count();
            let listed = OPEN_PARTS.iter().any(|(part, _)| *part == name);
            if open > 0 && parts.contains(&name) && !listed {
                let what = format!(
                    "`{name}` has methods that change it, and {open} open fields: make them \
                     private, or list it in tests/tidy/engine.rs and say why"
                );
                offences.push(offence(file, text, at, what));
            }
        }
    }
    offences
}

/// Parts that are named where they do not belong.
fn names(file: &Source) -> Vec<Offence> {
    let Some(path) = file.path.strip_prefix(ENGINE).filter(|_| is_production(&file.path)) else {
        return Vec::new();
    };
    let text = without_variants(production(&file.text));
    let mut offences = Vec::new();
    for (name, owners) in OWNERS {
        if owners.iter().any(|owner| is_at(path, owner)) {
            continue;
        }
        for at in words(&text, name).filter(|at| !is_variant(&text[..*at])) {
            let what = format!(
                "`{name}` does not belong here: return what is to follow, push an effect, or have \
                 the value handed in; else change tests/tidy/engine.rs and say why"
            );
            offences.push(offence(file, &text, at, what));
        }
    }
    offences
}

/// Code outside of the dispatcher that could change the whole engine.
fn holders(file: &Source) -> Vec<Offence> {
    let holds = HOLDERS.iter().any(|holder| file.path.starts_with(holder));
    let tested = is_tests(file) || file.path.starts_with(ENGINE) && !is_production(&file.path);
    if !file.path.starts_with("src/") || holds || tested {
        return Vec::new();
    }
    let text = production(&file.text);
    let is_shell = |head: &str| (file.path.as_str(), head.trim_end()) == SHELL;
    let blocks = impls(&text)
        .into_iter()
        .filter(|block| words(block.head, "Mesh").next().is_some() && !is_shell(block.head));
    let borrows = words(&text, "mut Mesh").collect::<Vec<_>>();
    let found = blocks.map(|block| block.at).chain(borrows);
    let what = "only src/proto/mesh.rs and its folder hold the whole engine: take the part that is \
                needed, and `Env`";
    found.map(|at| offence(file, &text, at, what.into())).collect()
}

/// Structs with too many fields, and functions with too many lines.
fn sizes(file: &Source) -> Vec<Offence> {
    if !is_production(&file.path) {
        return Vec::new();
    }
    let text = production(&file.text);
    let mut offences = Vec::new();
    for Struct { name, at, fields } in structs(&text) {
        let own = FIELDS_MAX_OF.iter().find(|(listed, _, _)| *listed == name);
        let (max, count) = (own.map_or(FIELDS_MAX, |(_, max, _)| *max), fields.len());
        if count > max {
            let what =
                format!("`{name}` has {count} fields: take a part out of it, {max} are the most");
            offences.push(offence(file, &text, at, what));
        }
    }
    for (name, at, end) in functions(&text) {
        let lines = text[at..end].lines().count();
        if lines > FUNCTION_LINES_MAX {
            let what =
                format!("`{name}` has {lines} lines: split it, {FUNCTION_LINES_MAX} are the most");
            offences.push(offence(file, &text, at, what));
        }
    }
    offences
}

/// Calls of the engine's entry point from within.
fn reentrance(file: &Source) -> Vec<Offence> {
    if !is_production(&file.path) {
        return Vec::new();
    }
    let text = production(&file.text);
    let calls = words(&text, "handle").filter(|at| text[..*at].ends_with(['.', ':']));
    let what = "an engine that calls its entry point re-enters: push an effect, which `settle` \
                carries out";
    calls.map(|at| offence(file, &text, at, what.into())).collect()
}

/// Functions that may have more parameters than `clippy.toml` allows.
fn allowed_parameters(file: &Source) -> Vec<Offence> {
    if !file.path.starts_with(ENGINE) {
        return Vec::new();
    }
    let text = code(&file.text);
    let what = "so many parameters belong together: make them a struct, or hand in `Env`";
    let found = text.match_indices("clippy::too_many_arguments");
    found.map(|(at, _)| offence(file, &text, at, what.into())).collect()
}

/// A `clippy.toml` without the limit.
pub(super) fn parameters(clippy: &str) -> Vec<Offence> {
    if clippy.lines().any(|line| line.trim() == PARAMETERS) {
        return Vec::new();
    }
    let what = format!("write `{PARAMETERS}`: the engine hands in `Env`, and needs no more");
    vec![Offence { file: "clippy.toml".into(), line: 1, what }]
}

/// Names on the lists above that name no type: a rule about what was renamed finds nothing.
fn lists(files: &[Source]) -> Vec<Offence> {
    let files = files.iter().filter(|file| is_production(&file.path));
    let texts: Vec<_> = files.map(|file| production(&file.text)).collect();
    let is_type = |name: &&str| {
        let declared = format!("struct {name}");
        texts.iter().any(|text| words(text, &declared).next().is_some())
    };
    let open = OPEN_PARTS.iter().map(|(name, _)| *name);
    let owned = OWNERS.iter().map(|(name, _)| name.trim_start_matches("mut "));
    let sized = FIELDS_MAX_OF.iter().map(|(name, _, _)| *name);
    let stale = open.chain(owned).chain(sized).filter(|name| !is_type(name));
    let object = |name| Offence {
        file: "tests/tidy/engine.rs".into(),
        line: 1,
        what: format!("`{name}` is no struct of the engine: correct the list"),
    };
    stale.map(object).collect()
}

// What is read.

fn offence(file: &Source, text: &str, at: usize, what: String) -> Offence {
    Offence { file: file.path.clone(), line: line_of(text, at), what }
}

fn is_production(path: &str) -> bool {
    let Some(below) = path.strip_prefix(ENGINE) else { return false };
    let tested = ONLY_TESTED.iter().any(|prefix| below.starts_with(prefix));
    !tested && !below.ends_with("/tests.rs") && !below.contains("/tests/")
}

/// Whether a path below [`ENGINE`] is that file, or if the owner has no ending, that file or below
/// that folder.
fn is_at(path: &str, owner: &str) -> bool {
    let after = path.strip_prefix(owner);
    after.is_some_and(|after| after.is_empty() || after == ".rs" || after.starts_with('/'))
}

#[cfg(test)]
mod bites {
    use super::*;

    fn file(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    /// A rule that finds one offence in this text, and none in code that exists only in tests.
    fn bites(rule: impl Fn(&Source) -> Vec<Offence>, path: &str, text: &str) {
        assert_eq!(rule(&file(path, text)).len(), 1, "{path}: {text}");
        let tested = format!("#[cfg(test)]\nmod tests {{\n{text}\n}}");
        assert_eq!(rule(&file(path, &tested)), [], "{path}: {tested}");
        assert_eq!(rule(&file("src/proto/sim/world.rs", text)), [], "simulated: {text}");
    }

    #[test]
    fn an_open_field_of_a_part_is_found() {
        let rule = |file: &Source| open_fields(std::slice::from_ref(file));
        for text in [
            "struct Ring<T> { pub(super) at: usize, all: Vec<T> }\n\
             impl<T: Ord> Ring<T> { fn turn(&mut self) {} }",
            "struct Ring(pub u64);\n\
             impl Iterator for Ring {\n fn next(\n &mut self,\n by: u8) {} }",
        ] {
            bites(rule, "src/proto/ring.rs", text);
        }
        for text in [
            "struct Ring { at: usize }\nimpl Ring { fn turn(&mut self) {} }",
            "struct Plain { pub(super) at: usize }\n\
             impl Plain { fn at(&self) { f(&mut self.at); } }",
            "struct Env { pub(super) now: u64 }\nimpl Env { fn draw(&mut self) {} }",
        ] {
            assert_eq!(rule(&file("src/proto/ring.rs", text)), [], "{text}");
        }
    }

    #[test]
    fn an_open_field_is_found_if_the_methods_stand_in_another_file() {
        let fields = file("src/proto/ring.rs", "pub struct Ring { pub at: usize }");
        let methods = file("src/proto/ring/turn.rs", "impl super::Ring { fn turn(&mut self) {} }");
        assert_eq!(open_fields(&[fields, methods]).len(), 1);
    }

    #[test]
    fn a_table_that_another_part_names_is_found() {
        for (path, text) in [
            ("src/proto/traffic/calls.rs", "use super::super::{env::Env, links::Links};"),
            ("src/proto/links/requests.rs", "fn f(calls: &Calls<T>) {}"),
            ("src/proto/topology/dials.rs", "fn f() { membership::Membership::default(); }"),
            ("src/proto/topology.rs", "fn f(peers: &mut Peers) {}"),
            ("src/proto/topology/gossip.rs", "enum E { Peers(Queries) }"),
            ("src/proto/stop.rs", "struct Stop<T> { topology: Topology<T> }"),
            ("src/proto/link/credit.rs", "fn f(queue: &mut SendQueue) {}"),
        ] {
            bites(names, path, text);
        }
    }

    #[test]
    fn a_table_in_its_own_files_and_a_variant_of_its_name_are_fine() {
        for (path, text) in [
            ("src/proto/links/requests.rs", "impl<T> Links<T> {}"),
            ("src/proto/mesh/check.rs", "use crate::proto::links::Links;"),
            ("src/proto/topology/dials.rs", "fn f(peers: &Peers) {}"),
            (
                "src/proto/topology/membership.rs",
                "enum Source { Itself, #[x(y)] Gossip, Calls { a: u8 } }",
            ),
            ("src/proto/topology/messages.rs", "fn f() { Source::Flushes; } // Links"),
            ("src/proto/env.rs", "use super::topology::DialId;"),
            ("src/net/mod.rs", "struct Links;"),
        ] {
            assert_eq!(names(&file(path, text)), [], "{path}: {text}");
        }
        assert_eq!(names(&file("src/proto/topology/dial.rs", "fn f(dials: &Dials) {}")).len(), 1);
    }

    #[test]
    fn code_that_holds_the_whole_engine_is_found() {
        for (path, text) in [
            ("src/proto/links.rs", "impl<T> Mesh<T> {}"),
            ("src/proto/mod.rs", "impl<T> From<Local> for mesh::Mesh<T> {}"),
            ("src/proto/topology.rs", "fn f<'a, T>(mesh: &'a mut Mesh<T>) {}"),
            ("src/net/engine.rs", "impl<T> Drop for Mesh<T> {}"),
            ("src/node/runtime.rs", "fn f(mesh: &mut Mesh<u8>) {}"),
        ] {
            bites(holders, path, text);
        }
        for (path, text) in [
            ("src/proto/mesh.rs", "impl<T> Mesh<T> {}"),
            ("src/proto/mesh/sending.rs", "impl<T> Mesh<T> {}"),
            ("src/bench/engines.rs", "fn f(mesh: &mut Mesh<()>) {}"),
            ("src/net/event_loop/tests/mesh.rs", "fn f(mesh: &mut Mesh<()>) {}"),
            (SHELL.0, &format!("{} {{}}", SHELL.1)),
            ("src/net/event_loop.rs", "struct Loop<T, E = Mesh<T>>(T, E);"),
        ] {
            assert_eq!(holders(&file(path, text)), [], "{path}: {text}");
        }
    }

    #[test]
    fn a_struct_with_too_many_fields_is_found() {
        let with = |name: &str, fields: usize| {
            let fields = "    #[x] pub(super) a: Map<A, (B, C)>,\n".repeat(fields);
            format!("struct {name}<T> {{\n{fields}}}")
        };
        bites(sizes, "src/proto/link.rs", &with("Link", FIELDS_MAX + 1));
        bites(sizes, "src/proto/mesh.rs", &with("Mesh", 15));
        for (name, fields) in [("Link", FIELDS_MAX), ("Mesh", 14), ("Counters", 30)] {
            assert_eq!(sizes(&file("src/proto/link.rs", &with(name, fields))), [], "{name}");
        }
        let variants = format!("enum Command {{ {} }}", "A(u8), ".repeat(FIELDS_MAX + 1));
        assert_eq!(sizes(&file("src/proto/mod.rs", &variants)), []);
    }

    #[test]
    fn a_function_with_too_many_lines_is_found() {
        let with = |lines: usize| {
            format!(
                "fn f(a: [u8; 2]) -> u8\nwhere\n    T: X,\n{{\n{}}}",
                "    g();\n".repeat(lines - 5)
            )
        };
        bites(sizes, "src/proto/links.rs", &with(FUNCTION_LINES_MAX + 1));
        assert_eq!(sizes(&file("src/proto/links.rs", &with(FUNCTION_LINES_MAX))), []);
        let declared = "trait X { fn f(); }\n".to_owned() + &"\n".repeat(90);
        assert_eq!(sizes(&file("src/proto/links.rs", &declared)), []);
    }

    #[test]
    fn a_call_of_the_entry_point_is_found() {
        for text in [
            "fn f(&mut self) { self.handle(now, input, out); }",
            "fn f(mesh: &mut M) { mesh\n    .handle(now, input, out); }",
            "fn f() { Mesh::handle(mesh, now, input, out); }",
        ] {
            bites(reentrance, "src/proto/mesh/sending.rs", text);
        }
        let fine = "fn handle(&mut self) { self.handled(); handler.f(); } // self.handle()";
        assert_eq!(reentrance(&file("src/proto/mesh.rs", fine)), []);
    }

    #[test]
    fn a_way_around_the_limit_of_parameters_is_found() {
        let allowed = "#[allow(clippy::too_many_arguments)]\nfn f() {}";
        assert_eq!(allowed_parameters(&file("src/proto/links.rs", allowed)).len(), 1);
        assert_eq!(allowed_parameters(&file("src/node/call.rs", allowed)), []);
        assert_eq!(parameters("disallowed-methods = []\n").len(), 1);
        assert_eq!(parameters(&format!("{PARAMETERS}0\n")).len(), 1);
        assert_eq!(parameters(&format!("disallowed-methods = []\n{PARAMETERS}\n")), []);
    }

    #[test]
    fn a_name_on_a_list_that_is_no_type_is_found() {
        let names = OPEN_PARTS.iter().map(|(name, _)| *name);
        let names = names.chain(OWNERS.iter().map(|(name, _)| name.trim_start_matches("mut ")));
        let names = names.chain(FIELDS_MAX_OF.iter().map(|(name, _, _)| *name));
        let all: Vec<_> = names.map(|name| format!("struct {name};")).collect();
        let all = all.join("\n");
        assert_eq!(lists(&[file("src/proto/all.rs", &all)]), []);
        let renamed = all.replace("Gossip", "Rumours");
        assert_eq!(lists(&[file("src/proto/all.rs", &renamed)]).len(), 1);
    }
}
