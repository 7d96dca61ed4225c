//! The promises: `tests/promises.md` lists them with the tests that show them, and the tests say which they cover.

use super::{Offence, Source};

/// The promises that this version makes.
const MADE: &[&str] = &[
    "P01", "P02", "P03", "P04", "P05", "P06", "P07", "P09", "P10", "P11", "P12", "P13", "P14",
    "P15", "P16", "P17", "P18", "P19", "P21", "P22", "P23", "P24", "P25", "P26", "P27", "P28",
    "P29", "P30", "P31", "P32", "P33", "P34", "P35", "P36", "P37", "P38", "P39", "P40",
];

/// The highest promise there is.
const LAST: u32 = 44;

/// Where the table stands.
pub(super) const TABLE: &str = "tests/promises.md";

/// A test, and the promises that it says it covers.
struct Covering<'a> {
    name: &'a str,
    promises: Vec<&'a str>,
}

/// What stands after `// covers `.
fn mark(line: &str) -> Option<&str> {
    line.trim().strip_prefix("// covers ")
}

/// Marks that name no promise.
pub(super) fn marks(file: &Source) -> Vec<Offence> {
    let known = |mark: &str| {
        let number = mark.strip_prefix('P').filter(|digits| digits.len() == 2);
        number.and_then(|digits| digits.parse().ok()).is_some_and(|n| (1..=LAST).contains(&n))
    };
    let lines = file.text.lines().enumerate();
    let marks = lines.filter_map(|(index, line)| Some((index + 1, mark(line)?)));
    let wrong = marks.filter(|(_, list)| !list.split(", ").all(known));
    let what =
        |list| format!("`{list}` names no promise: write `// covers P07` or `// covers P07, P12`");
    wrong.map(|(line, list)| Offence { file: file.path.clone(), line, what: what(list) }).collect()
}

/// The tests of a file that say what they cover. A mark stands among the attributes of its test.
fn covering(text: &str) -> Vec<Covering<'_>> {
    let (mut found, mut promises) = (Vec::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(list) = mark(line) {
            promises.extend(list.split(", "));
        } else if let Some((_, rest)) = line.split_once("fn ") {
            let name = rest.split('(').next().unwrap_or(rest);
            found.push(Covering { name, promises: std::mem::take(&mut promises) });
        } else if !line.starts_with("//") && !line.starts_with('#') {
            promises.clear();
        }
    }
    found
}

/// Rows of the table that no test keeps, and promises without a row.
pub(super) fn table(table: &str, files: &[Source]) -> Vec<Offence> {
    let tests: Vec<Covering<'_>> = files.iter().flat_map(|file| covering(&file.text)).collect();
    let object = |line, what| Offence { file: TABLE.into(), line, what };
    let mut missing: Vec<&str> = MADE.to_vec();
    let mut offences = Vec::new();
    for (index, row) in table.lines().enumerate() {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let ["", id, _, names, _, ""] = cells[..] else { continue };
        let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            continue;
        }
        missing.retain(|made| *made != id);
        for name in names {
            let covers = |test: &Covering<'_>| test.name == name && test.promises.contains(&id);
            if !tests.iter().any(covers) {
                let what = format!(
                    "no test `{name}` says `// covers {id}`: correct the row, or mark the test"
                );
                offences.push(object(index + 1, what));
            }
        }
    }
    let unmade = |id| format!("{id} has no row with a test: write one, and the test that shows it");
    offences.extend(missing.into_iter().map(|id| object(1, unmade(id))));
    offences
}

#[cfg(test)]
mod bites {
    use super::*;

    fn file(text: &str) -> Source {
        Source { path: "tests/x.rs".into(), text: text.into() }
    }

    #[test]
    fn a_mark_without_a_promise_is_found() {
        let wrong = concat!("// cov", "ers P99\n// cov", "ers the rest");
        assert_eq!(marks(&file(wrong)).len(), 2);
        assert_eq!(marks(&file(concat!("    // cov", "ers P07, P12"))), []);
    }

    #[test]
    fn a_row_without_a_test_and_a_promise_without_a_row_are_found() {
        let text = concat!("// cov", "ers P07, P12\n#[test]\nfn one() {}\n\nfn two() {}\n");
        let files = [file(text)];
        let rows = |names: &str| {
            let ids = MADE.iter().filter(|id| **id != "P07");
            let others = ids.map(|id| format!("| {id} | claim | `one` | |\n"));
            format!("{}| P07 | claim | {names} | |", others.collect::<String>())
        };
        let of_p07 = |names: &str| {
            let offences = table(&rows(names), &files);
            offences.iter().filter(|offence| offence.what.contains("P07")).count()
        };
        assert_eq!(of_p07("`one`"), 0);
        assert_eq!(of_p07("`one`, `two`"), 1, "a test without the mark");
        assert_eq!(of_p07("`gone`"), 1, "no such test");
        assert_eq!(of_p07(""), 1, "no row");
    }
}
