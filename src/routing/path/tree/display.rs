//! A tree as people look at it. The picture is at most a few times as long as all of its paths together, however deep they are.

use std::fmt;

use super::branch::{behind, is_in};
use super::{Entry, PathTree};

/// What is still to be drawn below one prefix.
struct Level<'a> {
    rest: &'a [Entry],
    /// The length of the prefix.
    prefix: usize,
    /// What stands before all that is below the line drawn last.
    margin: &'static str,
}

/// What one line shows: the first path of a branch, up to its end or to where the branch forks.
struct Line<'a> {
    text: &'a str,
    is_path: bool,
    is_last: bool,
    below: Level<'a>,
}

impl<'a> Level<'a> {
    fn new(rest: &'a [Entry], prefix: usize) -> Self {
        Self { rest, prefix, margin: "" }
    }

    fn next(&mut self) -> Option<Line<'a>> {
        let first = self.rest.first()?.path.as_str();
        let begin = self.prefix + 1;
        let name = first[begin..].find('/').map_or(first, |len| &first[..begin + len]);
        let rest = behind(self.rest, |path| is_in(path, name));
        let branch = &self.rest[..self.rest.len() - rest.len()];
        let end = common(first, branch.last()?.path.as_str());
        let is_path = end == first.len();
        let is_last = rest.is_empty();
        (self.rest, self.margin) = (rest, if is_last { "    " } else { "│   " });
        let below = Level::new(if is_path { &branch[1..] } else { branch }, end);
        Some(Line { text: &first[begin..end], is_path, is_last, below })
    }
}

impl fmt::Display for PathTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("/")?;
        let mut levels = vec![Level::new(&self.entries, 0)];
        while let Some(level) = levels.last_mut() {
            let Some(line) = level.next() else {
                levels.pop();
                continue;
            };
            f.write_str("\n")?;
            for above in &levels[..levels.len() - 1] {
                f.write_str(above.margin)?;
            }
            let bough = if line.is_last { "└── " } else { "├── " };
            let slash = if line.is_path { "" } else { "/" };
            write!(f, "{bough}{}{slash}", line.text)?;
            levels.push(line.below);
        }
        Ok(())
    }
}

/// The length of the whole segments that both begin with.
fn common(one: &str, other: &str) -> usize {
    let same = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let whole = |path: &str| path.len() == same || path[same..].starts_with('/');
    if whole(one) && whole(other) { same } else { one[..same].rfind('/').unwrap_or(0) }
}
