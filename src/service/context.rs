//! What the running handler was asked under: its nested calls inherit it. One thread's own, so threads that a handler spawns
//! inherit nothing.

use std::cell::Cell;
use std::time::Instant;

thread_local! {
    static CURRENT: Cell<Option<Context>> = const { Cell::new(None) };
}

/// The circumstances of the handler that runs on this thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Context {
    /// When the caller gives up; a tick has nobody who waits.
    pub(crate) deadline: Option<Instant>,
    /// How many requests deep the message was that the handler runs for: 0 for a tick and for the request of a plain thread.
    pub(crate) depth: u8,
}

impl Context {
    /// The depth of a request that is made now. Also a tick's handler asks at depth 1: it holds a worker while it waits.
    pub(crate) fn nested_depth(self) -> u8 {
        self.depth.saturating_add(1)
    }
}

/// The context of the handler that runs on this thread; `None` on every other thread.
pub(crate) fn current() -> Option<Context> {
    CURRENT.get()
}

/// Sets the context until the guard is dropped, also by a panic.
pub(super) fn enter(context: Context) -> Entered {
    Entered { before: CURRENT.replace(Some(context)) }
}

/// See [`enter`].
pub(super) struct Entered {
    before: Option<Context>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_ends_with_its_guard_also_after_a_panic() {
        let _bound = crate::bound::bound();
        let context = Context { deadline: None, depth: u8::MAX };
        let _ = std::panic::catch_unwind(|| {
            let _entered = enter(context);
            assert_eq!(current(), Some(context));
            std::panic::resume_unwind(Box::new(()));
        });
        assert_eq!(current(), None);
        assert_eq!(context.nested_depth(), u8::MAX);
    }
}
