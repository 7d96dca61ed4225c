//! Why options do not match: which clauses fail, and what was found there.

use super::compiled::{All, Clause, Compiled, Part};
use super::display::Key;
use crate::options::Options;

/// Longer values are cut in an explanation, in characters.
const MOST_SHOWN: usize = 120;

impl Compiled {
    /// Everything that fails; `None` if nothing does.
    pub(super) fn explain(&self, options: &Options) -> Option<String> {
        (!self.matches(options)).then(|| why_not(&self.all, options))
    }
}

/// The failures of what should hold together and does not.
fn why_not(all: &All, options: &Options) -> String {
    let failed = all.0.iter().filter(|part| !part.matches(options));
    failed.map(|part| why_not_part(part, options)).collect::<Vec<_>>().join("; ")
}

fn why_not_part(part: &Part, options: &Options) -> String {
    match part {
        Part::Clause(clause) => format!("{clause}: {}", found(clause, options)),
        Part::Or(alternatives) if alternatives.is_empty() => "there are no alternatives".to_owned(),
        Part::Or(alternatives) => {
            let each = alternatives.iter().map(|all| format!("[{}]", why_not(all, options)));
            format!("none of the alternatives holds: {}", each.collect::<Vec<_>>().join(" or "))
        }
        Part::Not(inner) => format!("not ({inner}): {inner} holds"),
    }
}

fn found(clause: &Clause, options: &Options) -> String {
    let key = Key(&clause.key);
    let Some(value) = clause.find(options) else { return format!("there is no {key}") };
    let mut shown = value.to_string();
    if let Some((cut, _)) = shown.char_indices().nth(MOST_SHOWN) {
        shown.truncate(cut);
        shown.push('…');
    }
    format!("{key} is {shown}")
}
