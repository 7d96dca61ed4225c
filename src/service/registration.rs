//! What the program holds of a handler that it registered.

use std::fmt;
use std::sync::Weak;

use super::dispatch::Dispatch;
use super::pattern::Pattern;

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
}

impl Registration {
    pub(super) fn new(
        dispatch: Weak<Dispatch>,
        which: Which,
        number: u64,
        pattern: Pattern,
    ) -> Self {
        Self { dispatch, which, number, pattern }
    }

    /// What the handler is for.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Removes the handler: it runs for no message that is taken up later. A run that has begun goes on.
    /// False when it was gone already, by its pattern or with its node.
    pub fn remove(self) -> bool {
        self.dispatch.upgrade().is_some_and(|dispatch| dispatch.remove(self.which, self.number))
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration({:?}, {:?})", self.which, self.pattern)
    }
}
