//! What comes back from many targets: [`Answers`] of requests, [`PathTold`] of ticks.

use std::slice;
use std::vec;

use crate::error::Error;
use crate::routing::{PathPattern, SendTarget};

/// The answers to a call by path, one for each target in the order of the strategy, made by
/// [`PathCall::request_all`](crate::PathCall::request_all).
///
/// A target is a node and the path it was sent. Whatever went wrong there is its result, and the others keep theirs: `REQUEST_TIMEOUT` when it
/// did not answer before the deadline of the call, `NOT_FOUND` when it serves no such path, the handler's own error, `CONNECTION_LOST`.
#[derive(Clone, Debug)]
pub struct Answers<T> {
    entries: Vec<(SendTarget, Result<T, Error>)>,
}

impl<T> Answers<T> {
    pub(super) fn new(entries: Vec<(SendTarget, Result<T, Error>)>) -> Self {
        Self { entries }
    }

    /// The number of targets. There is at least one.
    #[allow(clippy::len_without_is_empty)] // It never is.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Each target and what came of it, in the order of the strategy.
    pub fn iter(&self) -> slice::Iter<'_, (SendTarget, Result<T, Error>)> {
        self.entries.iter()
    }

    /// What came of that path on that node; `None` if it was not a target. The path is the one that was sent, `/math/add`
    /// and not the `/math/*` that was asked for; it may be written carelessly.
    pub fn get(&self, node: impl AsRef<str>, path: impl AsRef<str>) -> Option<&Result<T, Error>> {
        let (node, path) = (node.as_ref(), PathPattern::format(path.as_ref()));
        let is =
            |to: &SendTarget| to.id().is_some_and(|id| *id == *node) && to.path().as_str() == path;
        self.iter().find(|(to, _)| is(to)).map(|(_, result)| result)
    }

    /// The answers alone, without those that failed.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().filter_map(|(_, result)| result.as_ref().ok())
    }

    /// The answers alone, without those that failed.
    pub fn into_values(self) -> impl Iterator<Item = T> {
        self.entries.into_iter().filter_map(|(_, result)| result.ok())
    }

    /// Who failed, and why.
    pub fn errors(&self) -> impl Iterator<Item = (&SendTarget, &Error)> {
        self.iter().filter_map(|(to, result)| Some((to, result.as_ref().err()?)))
    }
}

impl<T> IntoIterator for Answers<T> {
    type Item = (SendTarget, Result<T, Error>);
    type IntoIter = vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Answers<T> {
    type Item = &'a (SendTarget, Result<T, Error>);
    type IntoIter = slice::Iter<'a, (SendTarget, Result<T, Error>)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What became of a tick by path.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PathTold {
    /// How many messages were accepted for sending. For a strategy that means one it is 1; for one that means many it is the number of targets
    /// without those in `skipped`. What is lost after that is reported in [`NodeEvent::Undelivered`](crate::NodeEvent::Undelivered).
    pub sent: usize,
    /// Who of many does not get it, and why: mostly `BACKPRESSURE`, which means that it certainly did not run there. After `CLOSED` it may have:
    /// this node was stopped meanwhile. Always empty for a strategy that means one: then the call itself fails.
    pub skipped: Vec<(SendTarget, Error)>,
}
