//! Service paths: what a node serves, written `/math/add`, and the patterns by which calls ask for it.
//!
//! They are values: nothing here knows nodes, handlers or messages, and nothing is sent.

mod fault;
#[cfg(any(test, fuzzing))]
pub(super) mod reference;
#[cfg(test)]
mod tests;
mod text;
mod tree;

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::Error;

pub use tree::PathTree;

/// Stands for exactly one segment, whatever it is.
const WILDCARD: &str = "*";

/// The path of a service, such as `/math/add`: what a node registers. Cheap to clone.
///
/// A path has one or more segments, each behind a slash: ASCII letters, digits, `-`, `_` and `.`, upper and lower case told apart. It may
/// be written carelessly, and is formatted when it is made ([`PathPattern::format`]): `math/add/` and `/math//add` are the path `/math/add`.
/// The root `/` and wildcards are for calls, not for services: those are a [`PathPattern`]. Paths are ordered byte by byte.
///
/// ```
/// use threadmesh::Path;
///
/// let path: Path = "math/add/".parse()?;
/// assert_eq!(path, "/math/add");
/// assert_eq!(path.segments().collect::<Vec<_>>(), ["math", "add"]);
/// assert_ne!(path, Path::new("/math/Add")?);
///
/// let error = Path::new("/math/*").unwrap_err();
/// assert_eq!(error.code(), "INVALID_PATH");
/// assert!(error.message().starts_with(r#""/math/*" is not the path of a service: segment 2 is '*'"#));
/// # Ok::<(), threadmesh::Error>(())
/// ```
///
/// # What a segment may be
/// Letters are those of ASCII. So two paths that look alike are one service, where an `é` would have two encodings and a Cyrillic `а` looks
/// like a Latin one; and a path has as many bytes as characters, so its limit can be seen: 1,024, as it is also the name
/// of an event. There are no special names: `/constructor` is a path like any other, `.` and `..` lead nowhere, and nothing is decoded.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Arc<str>);

/// What a call asks for: a path, in which any whole segment may be `*`, which stands for exactly one segment. Cheap to clone.
///
/// Like a [`Path`] it may be written carelessly. Every path is a pattern that matches nothing but itself. The root `/` is a pattern, too,
/// and matches nothing, as no service can have it.
///
/// ```
/// use threadmesh::{Path, PathPattern};
///
/// let pattern: PathPattern = "/math/*/float".parse()?;
/// assert!(pattern.matches(&Path::new("/math/add/float")?));
/// assert!(!pattern.matches(&Path::new("/math/float")?), "one segment, not none");
/// assert!(!pattern.matches(&Path::new("/math/add/slow/float")?), "and not two");
///
/// // A path is a pattern; a pattern without wildcards is a path.
/// let exact = PathPattern::from(Path::new("/math")?);
/// assert!(!exact.matches(&Path::new("/math/add")?), "what begins alike is something else");
/// assert_eq!(Path::try_from(exact)?, "/math");
/// assert!(Path::try_from(pattern).is_err());
///
/// // `*` is a whole segment. A name of another form is an event, and no path.
/// assert!("/ma*".parse::<PathPattern>().is_err() && "/**".parse::<PathPattern>().is_err());
/// assert!("user:get".parse::<PathPattern>().is_err());
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPattern(Arc<str>);

impl Path {
    /// Formats `text` and checks it.
    ///
    /// # Errors
    /// `INVALID_PATH`, saying which segment is wrong, when a segment holds anything but ASCII letters, digits, `-`, `_` and `.`; for the
    /// root, for a wildcard, and for more than 1,024 bytes.
    pub fn new(text: impl AsRef<str>) -> Result<Self, Error> {
        let text = formatted(text.as_ref());
        match fault::of_path(&text) {
            Ok(()) => Ok(Self(text.into())),
            Err(fault) => Err(fault.refusal("the path of a service")),
        }
    }

    /// The path as text: it begins with a slash and does not end with one.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments from the first to the last, without slashes. There is at least one.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        segments(&self.0)
    }
}

impl PathPattern {
    /// Formats `text` and checks it.
    ///
    /// # Errors
    /// `INVALID_PATH`, saying which segment is wrong, when a segment is neither `*` nor made of ASCII letters, digits, `-`, `_` and `.`;
    /// and for more than 1,024 bytes.
    pub fn new(text: impl AsRef<str>) -> Result<Self, Error> {
        let text = formatted(text.as_ref());
        match fault::of_pattern(&text) {
            Ok(()) => Ok(Self(text.into())),
            Err(fault) => Err(fault.refusal("a service path")),
        }
    }

    /// The one way in which a path or pattern is written: a slash before every segment, none behind the last. What has no segment
    /// becomes the root. The segments stay as they are, right or wrong: [`validate`](Self::validate) looks at those.
    ///
    /// # Example
    /// ```
    /// use threadmesh::PathPattern;
    ///
    /// assert_eq!(PathPattern::format("add"), "/add");
    /// assert_eq!(PathPattern::format("math//add/"), "/math/add");
    /// assert_eq!(PathPattern::format(""), "/");
    /// ```
    pub fn format(text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 1);
        for segment in segments(text) {
            out.push('/');
            out.push_str(segment);
        }
        if out.is_empty() {
            out.push('/');
        }
        out
    }

    /// Whether `text` is a pattern exactly as it stands, without being formatted first.
    ///
    /// # Example
    /// ```
    /// use threadmesh::PathPattern;
    ///
    /// assert!(PathPattern::validate("/math/*"));
    /// assert!(!PathPattern::validate("math/*/"), "it is not formatted");
    /// assert!(PathPattern::validate(&PathPattern::format("math/*/")));
    /// assert!(!PathPattern::validate("/ma*"), "no format makes this one");
    /// ```
    pub fn validate(text: &str) -> bool {
        is_formatted(text) && fault::of_pattern(text).is_ok()
    }

    /// The pattern as text: it begins with a slash, and ends with one only if it is the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments from the first to the last, without slashes; wildcards are `*`. The root has none.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        segments(&self.0)
    }

    /// Whether a segment is `*`: no other has one.
    pub(crate) fn has_wildcard(&self) -> bool {
        self.0.contains(WILDCARD)
    }

    /// Whether `path` is meant: it has as many segments, and each is the one that stands here, or any where `*` stands. The cost grows with
    /// the length of the shorter of the two, and nothing is allocated.
    pub fn matches(&self, path: &Path) -> bool {
        let mut segments = path.segments();
        let meant =
            |wanted| segments.next().is_some_and(|segment| wanted == WILDCARD || wanted == segment);
        self.segments().all(meant) && segments.next().is_none()
    }
}

/// Without what stands empty: before the first slash, between two of them, behind the last.
fn segments(text: &str) -> impl DoubleEndedIterator<Item = &str> + Clone {
    text.split('/').filter(|segment| !segment.is_empty())
}

fn is_formatted(text: &str) -> bool {
    text == "/" || text.starts_with('/') && !text.ends_with('/') && !text.contains("//")
}

fn formatted(text: &str) -> Cow<'_, str> {
    if is_formatted(text) { text.into() } else { PathPattern::format(text).into() }
}
