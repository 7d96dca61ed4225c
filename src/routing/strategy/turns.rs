//! Strategies that take turns.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Candidate, Candidates, Strategy};
use crate::routing::Rank;

/// A caller whose turn others take while it looks for who is next looks again, but not for ever: a search through many peers would
/// always lose against quick ones. Then somebody may have two turns in a row.
const LOOKS: usize = 3;
/// Questions whose turn is remembered; beyond that all begin anew.
const QUESTIONS: usize = 1_024;

/// The candidates one after the other, in the order in which they joined, and then from the first again.
///
/// It remembers who was last and not a number in a list, so that peers who come and go give nobody a second turn and skip nobody. Calls
/// that ask for different peers (another filter, predicate, direction or path) take turns of their own, as long as there are not more than
/// 1,024 of these.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use threadmesh::{Node, RoundRobin, filter};
///
/// let turns = Arc::new(RoundRobin::new());
/// let node = Node::builder().start()?;
/// let workers = node.any(filter! { "role": "worker" }).strategy(Arc::clone(&turns));
/// # drop(workers);
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Default, Debug)]
pub struct RoundRobin {
    last: Mutex<BTreeMap<u64, Rank>>,
}

impl RoundRobin {
    /// Begins with the first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Held for a look or a note only.
    fn last(&self) -> MutexGuard<'_, BTreeMap<u64, Rank>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whose turn it was, unless somebody else has taken that turn meanwhile and there is time to look again.
    fn note(&self, question: u64, before: Option<Rank>, now: Rank, insists: bool) -> bool {
        let mut last = self.last();
        if last.get(&question).copied() != before && !insists {
            return false;
        }
        if before.is_none() && last.len() >= QUESTIONS {
            last.clear();
        }
        last.insert(question, now);
        true
    }
}

impl Strategy for RoundRobin {
    fn choose<'a>(&self, among: &Candidates<'a>) -> Option<Candidate<'a>> {
        let question = among.question();
        // An alternate has its own turn when it comes.
        if among.is_alternate() {
            return among.after(self.last().get(&question).copied());
        }
        for look in 1.. {
            let last = self.last().get(&question).copied();
            let next = among.after(last)?;
            if self.note(question, last, next.rank(), look == LOOKS) {
                return Some(next);
            }
        }
        None
    }
}
