//! What the program holds of a handler that it registered.

use std::fmt;
use std::sync::Weak;

use super::dispatch::Dispatch;
use super::pattern::Pattern;
use crate::home::Home;

/// Which of the two lists a handler stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Which {
    Requests,
    Ticks,
}

/// A handler that was registered. Dropping this keeps the handler; [`remove`](Self::remove) takes it away.
pub struct Registration {
    // Weak, so that a kept registration keeps no handler of a stopped node.
    dispatch: Weak<Dispatch>,
    which: Which,
    number: u64,
    pattern: Pattern,
    home: Home,
}

impl Registration {
    pub(super) fn new(
        dispatch: Weak<Dispatch>,
        which: Which,
        number: u64,
        pattern: Pattern,
    ) -> Self {
        Self { dispatch, which, number, pattern, home: Home::here() }
    }

    /// What the handler is for.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Removes the handler: it runs for no message that is taken up later. A run that has begun goes on.
    /// False when it was gone already, by its pattern or with its node, and in a forked child.
    pub fn remove(self) -> bool {
        let dispatch = self.dispatch.upgrade().filter(|_| self.home.is_here());
        dispatch.is_some_and(|dispatch| dispatch.remove(self.which, self.number))
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration({:?}, {:?})", self.which, self.pattern)
    }
}
