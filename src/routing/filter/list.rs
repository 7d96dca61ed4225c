//! The values of an operator that takes many. A long list is looked up by halving, so that asking it of an array costs no product
//! of their lengths.
//!
//! It goes by the order of values, not by their fingerprints: whoever chooses values can make any number of fingerprints equal.

use super::compare::{rough_order, total_order};
use super::fingerprint::fingerprint;
use crate::value::Value;

/// So many values are compared one by one, which is as quick as halving them.
const COMPARED: usize = 4;

/// Values, any of which will do.
#[derive(Debug)]
pub(super) struct List {
    /// As they were written.
    values: Vec<Value>,
    /// Their rough order and where they stand, ascending by [`total_order`] and each once; empty when they are compared one by one.
    /// Without those that have a `NaN` in them, as they equal nothing.
    sorted: Vec<(u64, usize)>,
}

impl List {
    pub(super) fn new(values: Vec<Value>) -> Self {
        let mut sorted = Vec::new();
        if values.len() > COMPARED {
            let all = values.iter().enumerate();
            let without_nan = all.filter(|(_, value)| fingerprint(value).is_some());
            sorted.extend(without_nan.map(|(at, value)| (rough_order(value), at)));
            sorted.sort_by(|(_, a), (_, b)| total_order(&values[*a], &values[*b]));
            sorted.dedup_by(|(_, a), (_, b)| values[*a] == values[*b]);
        }
        Self { values, sorted }
    }

    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    /// Whether one of them equals this.
    pub(super) fn has(&self, found: &Value) -> bool {
        if self.values.len() <= COMPARED {
            return self.values.contains(found);
        }
        let rough = rough_order(found);
        let from = self.sorted.partition_point(|(other, _)| *other < rough);
        let rest = &self.sorted[from..];
        if rest.first().is_none_or(|(other, _)| *other != rough) {
            return false;
        }
        rest.binary_search_by(|(_, at)| total_order(&self.values[*at], found)).is_ok()
    }

    /// Roughly how many of them are looked at for [`has`](Self::has).
    pub(super) fn looks(&self) -> usize {
        self.values.len().min(3 * COMPARED)
    }
}
