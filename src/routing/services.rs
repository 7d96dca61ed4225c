//! What a node serves: the exact names of requests it handles, and those of them that are paths.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::path::{Path, PathPattern, PathTree};

/// The services of a node as it announces them, in the order of their registration there. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Services(Arc<Announced>);

#[derive(Default)]
struct Announced {
    names: Vec<String>,
    /// Made when somebody first asks, on that thread: most peers of most nodes are never asked, and the loop has better things to do.
    paths: OnceLock<PathTree>,
}

impl Services {
    pub(crate) fn new(names: Vec<String>) -> Self {
        Self(Arc::new(Announced { names, paths: OnceLock::new() }))
    }

    /// Whether somebody has asked for the paths.
    #[cfg(test)]
    pub(crate) fn has_tree(&self) -> bool {
        self.0.paths.get().is_some()
    }

    /// Roughly how many names have to be looked at to know which path of a pattern is served, if any.
    pub(crate) fn looks(&self, wanted: &PathPattern) -> usize {
        match self.0.paths.get() {
            Some(_) if !wanted.has_wildcard() => 1,
            Some(paths) => 1 + paths.len(),
            None => 1 + self.len(),
        }
    }

    /// Those that are paths, in the same order. A name that is only nearly one is an event like any other.
    pub(crate) fn paths(&self) -> &PathTree {
        let is_path = |name: &&String| name.starts_with('/');
        let path = |name: &String| Path::new(name).ok().filter(|path| path.as_str() == name);
        self.0.paths.get_or_init(|| self.iter().filter(is_path).filter_map(path).collect())
    }
}

impl Deref for Services {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0.names
    }
}

impl PartialEq for Services {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_names_that_are_written_as_paths_are() {
        let _bound = crate::bound::bound();
        let names = ["/b", "user:get", "/a/", "/a", "a", "/", "/*", "/c//d", "/c/d"];
        let services = Services::new(names.map(str::to_owned).to_vec());
        assert_eq!(services.paths().iter().collect::<Vec<_>>(), ["/b", "/a", "/c/d"]);
        assert_eq!(services.len(), names.len());
    }
}
