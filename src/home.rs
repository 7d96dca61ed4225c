//! The process that a node lives in. A fork takes the memory of a node along and none of its threads: what is asked of the copy
//! must fail at once, without a lock that a vanished thread may hold, and leave the parent's sockets alone.

use std::cell::Cell;
use std::process;

/// So often the last answer of the system is believed where asking again would cost more than what is to be done.
const BELIEVED: u8 = 15;

/// The process in which something was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Home(u32);

impl Home {
    /// This process.
    pub(crate) fn here() -> Self {
        Self(ask())
    }

    /// Whether this is still that process and not a fork of it.
    pub(crate) fn is_here(self) -> bool {
        self.0 == ask()
    }

    /// The same, asking the system only now and then: a fork may be noticed some calls late.
    pub(crate) fn seems_here(self) -> bool {
        let (process, times) = KNOWN.get();
        if times == 0 {
            return self.is_here();
        }
        KNOWN.set((process, times - 1));
        self.0 == process
    }

    /// The id of that process.
    pub(crate) fn process(self) -> u32 {
        self.0
    }
}

thread_local! {
    /// The process as the system named it last, and how often that may still be believed.
    static KNOWN: Cell<(u32, u8)> = const { Cell::new((0, 0)) };
}

fn ask() -> u32 {
    #[cfg(test)]
    let process = FORKED.get().unwrap_or_else(process::id);
    #[cfg(not(test))]
    let process = process::id();
    KNOWN.set((process, BELIEVED));
    process
}

#[cfg(test)]
use seam::FORKED;
#[cfg(test)]
pub(crate) use seam::fork;

/// A fork without one: nothing safe in Rust forks, so this thread alone is told another process id, while all others stay what the
/// parent's are. That is what a child sees of a node: its memory, and nobody who works on it.
#[cfg(test)]
mod seam {
    use std::cell::Cell;
    use std::process;

    thread_local! {
        pub(super) static FORKED: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// As long as it lives this thread is the child.
    pub(crate) struct Child(());

    /// Makes this thread a child of the process, as far as nodes can tell.
    #[must_use = "the thread is back in the parent when this is dropped"]
    pub(crate) fn fork() -> Child {
        FORKED.set(Some(process::id() + 1));
        Child(())
    }

    impl Drop for Child {
        fn drop(&mut self) {
            FORKED.set(None);
            super::KNOWN.set((0, 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers P39
    #[test]
    fn a_child_is_not_at_home_and_stays_so() {
        let _bound = crate::bound::bound();
        let home = Home::here();
        assert!(home.is_here() && home.seems_here());
        let child = fork();
        let late = (0..=BELIEVED).position(|_| !home.seems_here());
        assert!(late.is_some(), "not noticed within {BELIEVED} calls");
        assert!((0..100).all(|_| !home.seems_here()), "what was noticed is kept");
        assert!(!home.is_here());
        assert!(Home::here().is_here(), "it may have a home of its own");
        drop(child);
        assert!(home.is_here() && home.seems_here());
    }
}
