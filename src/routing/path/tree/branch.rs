//! Branches as slices of paths in order: what stands below a prefix, and which of it a pattern means.

use super::{Entry, order};
use crate::routing::path::{PathPattern, WILDCARD};

/// Whether `path` is `prefix` or stands below it.
pub(super) fn is_in(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The segment that follows so many bytes of whole segments; nothing at the end of the path.
fn segment_after(path: &str, len: usize) -> Option<&str> {
    let rest = path[len..].strip_prefix('/')?;
    Some(&rest[..rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len())])
}

/// Those that are the prefix or stand below it.
fn branch<'a>(entries: &'a [Entry], prefix: &str) -> &'a [Entry] {
    let begin = entries.partition_point(|entry| order(entry.path.as_str(), prefix).is_lt());
    let rest = &entries[begin..];
    &rest[..rest.partition_point(|entry| is_in(entry.path.as_str(), prefix))]
}

/// Without those at the front that `pass` is true of. It is true of the first, and of none behind one that it is not true of.
pub(super) fn behind(entries: &[Entry], pass: impl Fn(&str) -> bool) -> &[Entry] {
    // Mostly it is one, or a few: a step twice as long as the one before finds the end of a few sooner than halving does.
    let passes = |entry: &Entry| pass(entry.path.as_str());
    let mut end = 1;
    while entries.get(end).is_some_and(passes) {
        end *= 2;
    }
    let (begin, end) = (end / 2, end.min(entries.len()));
    &entries[begin + entries[begin..end].partition_point(passes)..]
}

/// Those that the pattern means. It goes from one to the next that may still be meant, over whatever stands between, and no further than
/// it is asked to.
pub(super) fn matches<'a>(
    entries: &'a [Entry],
    pattern: &PathPattern,
) -> impl Iterator<Item = &'a Entry> {
    let written_out = pattern.as_str().split(WILDCARD).next().unwrap_or_default();
    let mut rest = branch(entries, written_out.trim_end_matches('/'));
    std::iter::from_fn(move || {
        while let Some(entry) = rest.first() {
            let mut found = None;
            rest = match agree(entry.path.as_str(), pattern) {
                Agree::UpTo(prefix) => {
                    found = (prefix == entry.path.as_str()).then_some(entry);
                    behind(rest, |path| is_in(path, prefix))
                }
                Agree::Ended => &rest[1..],
                Agree::Before { prefix, wanted } => behind(rest, |path| {
                    is_in(path, prefix)
                        && segment_after(path, prefix.len()).is_none_or(|segment| segment < wanted)
                }),
                Agree::Behind { prefix } => behind(rest, |path| is_in(path, prefix)),
            };
            if found.is_some() {
                return found;
            }
        }
        None
    })
}

/// How far a path agrees with a pattern, and what may come.
enum Agree<'a, 'p> {
    /// All of the pattern, with this much of the path: what is below is too long.
    UpTo(&'a str),
    /// All of the path: what is below may have the rest.
    Ended,
    /// Below the prefix the wanted segment is still to come, if it is there.
    Before { prefix: &'a str, wanted: &'p str },
    /// Below the prefix nothing is to come.
    Behind { prefix: &'a str },
}

fn agree<'a, 'p>(path: &'a str, pattern: &'p PathPattern) -> Agree<'a, 'p> {
    let mut prefix = "";
    for wanted in pattern.segments() {
        let Some(segment) = segment_after(path, prefix.len()) else { return Agree::Ended };
        if wanted != WILDCARD && segment < wanted {
            return Agree::Before { prefix, wanted };
        }
        if wanted != WILDCARD && segment > wanted {
            return Agree::Behind { prefix };
        }
        prefix = &path[..prefix.len() + 1 + segment.len()];
    }
    Agree::UpTo(prefix)
}
