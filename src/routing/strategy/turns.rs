//! Strategies that take turns.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Candidate, Candidates, Strategy};
use crate::routing::Rank;

/// Questions whose turn is remembered; beyond that all begin anew.
const QUESTIONS: usize = 1_024;

/// The candidates one after the other, in the order in which they joined, and then from the first again.
///
/// It remembers who was last and not a number in a list, so that peers who come and go give nobody a second turn and skip nobody. Calls
/// that ask for different peers (another filter, predicate or direction) take turns of their own, as long as there are not more than
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

    /// Notes whose turn it was, unless somebody else has taken that turn meanwhile.
    fn note(&self, question: u64, before: Option<Rank>, now: Rank) -> bool {
        let mut last = self.last();
        if last.get(&question).copied() != before {
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
        loop {
            let last = self.last().get(&question).copied();
            let next = among.after(last)?;
            // An alternate has its own turn when it comes. Somebody else's progress is the only reason to look again.
            if among.is_alternate() || self.note(question, last, next.rank()) {
                return Some(next);
            }
        }
    }
}
