//! Many paths as a tree: what a node serves, in the order in which it was registered.

mod branch;
mod display;

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Path, PathPattern};

/// A set of paths that remembers the order in which they were registered, and finds those that a pattern means.
///
/// ```
/// use threadmesh::{Path, PathPattern, PathTree};
///
/// let mut tree = PathTree::new();
/// for text in ["math/mul", "math/add", "add", "math/v2/add"] {
///     tree.insert(text.parse()?);
/// }
/// assert!(tree.contains(&Path::new("/add")?));
/// assert!(!tree.contains(&Path::new("/math")?), "this is where others begin, and nothing itself");
///
/// // First registered, first found.
/// let found: Vec<&Path> = tree.matches(&"/math/*".parse()?).collect();
/// assert_eq!(found, ["/math/mul", "/math/add"]);
/// assert_eq!(tree.matches(&"/*/*/add".parse()?).next().unwrap(), "/math/v2/add");
/// assert_eq!(tree.matches(&"/math".parse()?).len(), 0);
/// # Ok::<(), threadmesh::Error>(())
/// ```
///
/// # Order
/// All that gives paths gives them in the order in which they were inserted. Inserting a path again leaves it in its place; one that was
/// removed and comes back is the last. Two trees are equal if they have the same paths in the same order.
///
/// # Cost
/// A match looks only at what agrees with the pattern so far: a segment that is written out is searched for by halving, a `*` takes a step
/// for each name at its level, however much stands below. What was found is put in order. A tree has three words for each path beside the
/// path itself, whose text it shares. To insert or remove one path moves those behind it in memory; many are added at once by `extend`,
/// `collect` and [`merge`](Self::merge).
///
/// # As a picture
/// [`Display`](fmt::Display) draws the tree for people, names in alphabetical order. A line that ends with a slash is no path itself,
/// only where others begin; a beginning that does not fork shares the line with what follows it.
///
/// ```
/// # use threadmesh::{Path, PathTree};
/// let paths = ["/math/sub", "/math/add/float", "/math/add", "/docs/v2/index.html"].map(Path::new);
/// let tree: PathTree = paths.into_iter().collect::<Result<_, _>>()?;
/// assert_eq!(tree.to_string(), "\
/// /
/// ├── docs/v2/index.html
/// └── math/
///     ├── add
///     │   └── float
///     └── sub");
/// # Ok::<(), threadmesh::Error>(())
/// ```
///
/// # With serde
/// A tree is the list of its paths in their order: `["/math/mul", "/math/add"]`. Maps inside of maps could not say in which order
/// paths of different branches came, nor whether where others begin is a path itself.
#[derive(Clone, Default)]
pub struct PathTree {
    /// Strictly ascending by [`order`]. So all that begins with a path stands directly behind it, and a branch is a slice. A map for each
    /// branch would cost hundreds of bytes a segment, and peers could announce a hundred thousand segments.
    entries: Vec<Entry>,
    /// The number of the next path. Those in the tree have smaller ones, ascending in the order of registration.
    next: u64,
}

#[derive(Clone)]
struct Entry {
    path: Path,
    number: u64,
}

impl PathTree {
    /// A tree without a path.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a path behind all others, and says whether it is new. One that was there stays in its place.
    pub fn insert(&mut self, path: Path) -> bool {
        let Err(at) = self.find(path.as_str()) else { return false };
        let entry = self.numbered(path);
        self.entries.insert(at, entry);
        true
    }

    /// Takes a path out, and says whether it was there. The paths that begin with it stay.
    pub fn remove(&mut self, path: &Path) -> bool {
        self.find(path.as_str()).map(|at| self.entries.remove(at)).is_ok()
    }

    /// Adds the paths of another tree that are new, in their order, behind those that are there.
    ///
    /// # Example
    /// ```
    /// use threadmesh::{Path, PathTree};
    ///
    /// let mut tree = PathTree::from_iter([Path::new("/b")?, Path::new("/a")?]);
    /// tree.merge(&PathTree::from_iter([Path::new("/c")?, Path::new("/b")?]));
    /// assert_eq!(tree.iter().collect::<Vec<_>>(), ["/b", "/a", "/c"]);
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn merge(&mut self, other: &Self) {
        self.extend(other.iter().cloned());
    }

    /// Whether this path was registered.
    pub fn contains(&self, path: &Path) -> bool {
        self.find(path.as_str()).is_ok()
    }

    /// The paths that a pattern means, in the order of their registration.
    pub fn matches<'a>(
        &'a self,
        pattern: &PathPattern,
    ) -> impl DoubleEndedIterator<Item = &'a Path> + ExactSizeIterator + use<'a> {
        in_order(if pattern.has_wildcard() {
            branch::matches(&self.entries, pattern).collect()
        } else {
            self.find(pattern.as_str()).map(|at| &self.entries[at]).into_iter().collect()
        })
    }

    /// The first of the paths that a pattern means. A pattern that is a path is only searched for, and nothing is allocated.
    pub(crate) fn first(&self, pattern: &PathPattern) -> Option<&Path> {
        let entry = if pattern.has_wildcard() {
            branch::matches(&self.entries, pattern).min_by_key(|entry| entry.number)
        } else {
            self.find(pattern.as_str()).ok().map(|at| &self.entries[at])
        };
        entry.map(|entry| &entry.path)
    }

    /// Whether there is a path that a pattern means. It looks no further than the first in the order of their names.
    pub(crate) fn serves(&self, pattern: &PathPattern) -> bool {
        if pattern.has_wildcard() {
            return branch::matches(&self.entries, pattern).next().is_some();
        }
        self.find(pattern.as_str()).is_ok()
    }

    /// All paths, in the order of their registration.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Path> + ExactSizeIterator {
        in_order(self.entries.iter().collect())
    }

    /// The number of paths.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no path.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where the path stands, or would stand.
    fn find(&self, path: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| order(entry.path.as_str(), path))
    }

    fn numbered(&mut self, path: Path) -> Entry {
        let number = self.next;
        self.next += 1;
        Entry { path, number }
    }
}

/// Segment by segment: a slash comes before all that may stand in one, also before `-` and `.`.
fn order(one: &str, other: &str) -> Ordering {
    let rank = |byte| if byte == b'/' { 0 } else { byte };
    let mut pairs = one.bytes().zip(other.bytes());
    match pairs.find(|(a, b)| a != b) {
        Some((a, b)) => rank(a).cmp(&rank(b)),
        None => one.len().cmp(&other.len()),
    }
}

fn in_order(mut found: Vec<&Entry>) -> impl DoubleEndedIterator<Item = &Path> + ExactSizeIterator {
    found.sort_unstable_by_key(|entry| entry.number);
    found.into_iter().map(|entry| &entry.path)
}

/// Adds those that are new, one behind the other.
impl Extend<Path> for PathTree {
    fn extend<I: IntoIterator<Item = Path>>(&mut self, paths: I) {
        // All of them before anything changes: the iterator is not ours, and may panic.
        let new: Vec<Path> = paths.into_iter().collect();
        for path in new {
            let entry = self.numbered(path);
            self.entries.push(entry);
        }
        // Of equal ones the first has the smaller number, and stays.
        self.entries.sort_by(|a, b| order(a.path.as_str(), b.path.as_str()));
        self.entries.dedup_by(|later, first| later.path == first.path);
    }
}

/// In this order. What comes again stays in its first place.
impl FromIterator<Path> for PathTree {
    fn from_iter<I: IntoIterator<Item = Path>>(paths: I) -> Self {
        let mut tree = Self::new();
        tree.extend(paths);
        tree
    }
}

/// The same paths in the same order, however they came about.
impl PartialEq for PathTree {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for PathTree {}

/// The list of the paths, in the order of their registration.
impl Serialize for PathTree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// From a list of texts, which may be written carelessly. What comes again stays in its first place.
impl<'de> Deserialize<'de> for PathTree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Path>::deserialize(deserializer).map(Self::from_iter)
    }
}

impl fmt::Debug for PathTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
