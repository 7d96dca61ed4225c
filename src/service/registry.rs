//! The handlers of a node, in the order of their registration. It runs none of them and holds no lock while user code runs.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::pattern::Pattern;
use crate::config::{SERVICES, SERVICES_BYTES};
use crate::error::{Error, ErrorKind};

/// One list of handlers: requests have one, ticks another. `H` is what a handler is.
pub(super) struct Registry<H> {
    list: RwLock<Listed<H>>,
    /// Exact names are told to every peer, who takes so many and no more.
    announced: bool,
}

struct Listed<H> {
    now: Arc<List<H>>,
    next: u64,
    closed: bool,
}

/// A handler and what it is for.
pub(super) struct Entry<H> {
    /// Grows in the order of registration.
    number: u64,
    pattern: Pattern,
    pub(super) handler: H,
}

/// The handlers as they were at one moment.
pub(super) struct List<H> {
    exact: HashMap<Arc<str>, Vec<Arc<Entry<H>>>>,
    patterns: Vec<Arc<Entry<H>>>,
}

impl<H> Registry<H> {
    pub(super) fn new() -> Self {
        let list = Listed { now: Arc::default(), next: 0, closed: false };
        Self { list: RwLock::new(list), announced: false }
    }

    /// A list whose exact names are announced as services.
    pub(super) fn announced() -> Self {
        Self { announced: true, ..Self::new() }
    }

    /// Appends a handler and returns its number.
    pub(super) fn add(&self, pattern: Pattern, handler: H) -> Result<u64, Error> {
        let mut listed = self.list.write().unwrap_or_else(PoisonError::into_inner);
        if listed.closed {
            drop(listed);
            let why = format!("the node has stopped, it takes no handler for {pattern}");
            return Err(Error::new(ErrorKind::Closed, why));
        }
        if self.announced {
            listed.now.check_room(&pattern)?;
        }
        let number = listed.next;
        listed.next += 1;
        // Copies the list only while some worker holds a snapshot of it.
        Arc::make_mut(&mut listed.now).push(Arc::new(Entry { number, pattern, handler }));
        Ok(number)
    }

    /// Removes one handler; false when it was gone already.
    pub(super) fn remove(&self, number: u64) -> bool {
        self.take(|entry| entry.number == number) > 0
    }

    /// Removes all handlers of a pattern and says how many there were.
    pub(super) fn remove_pattern(&self, pattern: &Pattern) -> usize {
        self.take(|entry| entry.pattern == *pattern)
    }

    /// Removes all handlers and takes no more.
    pub(super) fn close(&self) {
        self.list.write().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.take(|_| true);
    }

    fn take(&self, chosen: impl Fn(&Entry<H>) -> bool) -> usize {
        let mut listed = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let before = listed.now.clone();
        let mut after = (*before).clone();
        after.patterns.retain(|entry| !chosen(entry));
        after.exact.values_mut().for_each(|entries| entries.retain(|entry| !chosen(entry)));
        after.exact.retain(|_, entries| !entries.is_empty());
        let removed = before.len() - after.len();
        listed.now = Arc::new(after);
        // The handlers are dropped with `before`, which is user code: not under the lock.
        drop(listed);
        removed
    }

    /// The handlers as they are now.
    pub(super) fn snapshot(&self) -> Arc<List<H>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).now.clone()
    }
}

impl<H> List<H> {
    fn push(&mut self, entry: Arc<Entry<H>>) {
        match entry.pattern.exact() {
            Some(name) => self.exact.entry(name.clone()).or_default().push(entry),
            None => self.patterns.push(entry),
        }
    }

    /// Whether another service may be announced.
    fn check_room(&self, pattern: &Pattern) -> Result<(), Error> {
        let new = pattern.exact().filter(|name| !self.exact.contains_key(*name));
        let Some(name) = new else { return Ok(()) };
        let bytes = name.len() + self.exact.keys().map(|name| name.len()).sum::<usize>();
        if self.exact.len() < SERVICES && bytes <= SERVICES_BYTES {
            return Ok(());
        }
        let why = format!(
            "a node announces at most {SERVICES} services with {SERVICES_BYTES} bytes of names; handle several events with one \
             pattern, such as `user:*`, instead of adding one for {pattern}"
        );
        Err(Error::new(ErrorKind::InvalidArgument, why))
    }

    fn len(&self) -> usize {
        self.patterns.len() + self.exact.values().map(Vec::len).sum::<usize>()
    }

    /// The handlers of an event, in the order of their registration.
    pub(super) fn matching<'a>(&'a self, event: &'a str) -> impl Iterator<Item = &'a Entry<H>> {
        let exact = self.exact.get(event).map(Vec::as_slice).unwrap_or_default();
        let patterns = self.patterns.iter().filter(|entry| entry.pattern.matches(event));
        Merged { left: exact.iter().peekable(), right: patterns.peekable() }
    }

    /// The names of exact patterns with a handler that counts, each once, in the order of registration.
    pub(super) fn names(&self, counts: impl Fn(&H) -> bool) -> Vec<String> {
        let mut names: Vec<(u64, &Arc<str>)> = self
            .exact
            .iter()
            .filter_map(|(name, entries)| {
                Some((entries.iter().find(|entry| counts(&entry.handler))?.number, name))
            })
            .collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name.to_string()).collect()
    }
}

impl<H> Default for List<H> {
    fn default() -> Self {
        Self { exact: HashMap::new(), patterns: Vec::new() }
    }
}

impl<H> Clone for List<H> {
    fn clone(&self) -> Self {
        Self { exact: self.exact.clone(), patterns: self.patterns.clone() }
    }
}

/// Two lists in the order of registration as one.
struct Merged<L: Iterator, R: Iterator> {
    left: std::iter::Peekable<L>,
    right: std::iter::Peekable<R>,
}

impl<'a, H, L, R> Iterator for Merged<L, R>
where
    H: 'a,
    L: Iterator<Item = &'a Arc<Entry<H>>>,
    R: Iterator<Item = &'a Arc<Entry<H>>>,
{
    type Item = &'a Entry<H>;

    fn next(&mut self) -> Option<&'a Entry<H>> {
        let left_first = match (self.left.peek(), self.right.peek()) {
            (Some(left), Some(right)) => left.number < right.number,
            (left, _) => left.is_some(),
        };
        if left_first { self.left.next() } else { self.right.next() }.map(|entry| &**entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(patterns: &[&str]) -> Registry<usize> {
        let registry = Registry::new();
        for (index, text) in patterns.iter().enumerate() {
            registry.add(Pattern::try_from(*text).unwrap(), index).unwrap();
        }
        registry
    }

    fn found(registry: &Registry<usize>, event: &str) -> Vec<usize> {
        registry.snapshot().matching(event).map(|entry| entry.handler).collect()
    }

    #[test]
    fn handlers_come_in_the_order_of_registration_whatever_their_kind() {
        let _bound = crate::bound::bound();
        let registry = registry(&["a*", "ab", "*", "ab", "b", "*b"]);
        assert_eq!(found(&registry, "ab"), [0, 1, 2, 3, 5]);
        assert_eq!(found(&registry, "b"), [2, 4, 5]);
        assert_eq!(found(&registry, "x"), [2]);
    }

    #[test]
    fn removal_by_number_and_by_pattern_leaves_the_others() {
        let _bound = crate::bound::bound();
        let registry = registry(&["ab", "a*", "ab", "a*"]);
        assert!(registry.remove(1) && !registry.remove(1));
        assert_eq!(found(&registry, "ab"), [0, 2, 3]);
        assert_eq!(registry.remove_pattern(&Pattern::try_from("ab").unwrap()), 2);
        assert_eq!(found(&registry, "ab"), [3]);
    }

    #[test]
    fn a_snapshot_outlives_a_removal() {
        let _bound = crate::bound::bound();
        let registry = registry(&["a"]);
        let before = registry.snapshot();
        registry.close();
        assert_eq!(before.matching("a").count(), 1);
        assert_eq!(found(&registry, "a"), [0; 0]);
        let late = registry.add(Pattern::try_from("a").unwrap(), 1);
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Closed);
    }

    #[test]
    fn names_are_the_exact_ones_each_once_in_order() {
        let _bound = crate::bound::bound();
        assert_eq!(
            registry(&["z", "a*", "b", "z", "a"]).snapshot().names(|_| true),
            ["z", "b", "a"]
        );
        let registry = registry(&["z", "b", "z"]);
        assert_eq!(registry.snapshot().names(|index| *index > 0), ["b", "z"]);
    }

    #[test]
    fn services_end_at_4096_names_and_262144_bytes() {
        let _bound = crate::bound::bound();
        let add = |registry: &Registry<u32>, name: &str| {
            registry.add(name.try_into().unwrap(), 0).map_err(|error| error.kind())
        };
        let refused = Err(ErrorKind::InvalidArgument);
        let many = Registry::announced();
        assert!((0..4_096).all(|index| add(&many, &format!("name:{index}")).is_ok()));
        assert_eq!(add(&many, "one more"), refused);
        assert!(add(&many, "name:7").is_ok() && add(&many, "name:*").is_ok());
        let long = Registry::announced();
        assert!((0..256).all(|index| add(&long, &format!("{index:0>1023}")).is_ok()));
        assert_eq!(add(&long, &"x".repeat(257)), refused);
        assert!(add(&long, &"x".repeat(256)).is_ok());
        assert_eq!(add(&long, "x"), refused);
        let ticks = Registry::new();
        assert!((0..4_097).all(|index| add(&ticks, &format!("name:{index}")).is_ok()));
    }

    #[test]
    fn four_thousand_registrations_take_no_noticeable_time() {
        let _bound = crate::bound::bound();
        let names: Vec<String> = (0..4_096).map(|index| format!("name:{index}")).collect();
        let begun = std::time::Instant::now();
        let registry = registry(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(found(&registry, "name:77"), [77]);
        assert!(begun.elapsed() < std::time::Duration::from_secs(2));
    }
}
