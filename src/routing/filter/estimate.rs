//! What a filter may cost, read off its data: for those who must not compile one to learn that they should not have.

use super::compile::is_dollar;
use crate::value::{Map, Value};

/// A text that is looked for inside of others costs as much as so many other clauses.
const SEARCH_CLAUSES: usize = 10;

/// What asking it of one peer costs, and what keeping it does.
#[derive(Default, Debug)]
pub(super) struct Estimate {
    /// Operators, tests of equality and logical keys; more for what looks through texts.
    pub(super) clauses: usize,
    /// Those of them that are regular expressions.
    pub(super) expressions: usize,
}

impl Estimate {
    /// Never too low for a filter that compiles.
    pub(super) fn of(map: &Map) -> Self {
        let mut all = Self::default();
        all.add(map);
        all
    }

    fn add(&mut self, map: &Map) {
        for (key, value) in map.iter() {
            match (key, value) {
                ("$and" | "$or", Value::Array(filters)) => {
                    self.clauses += 1;
                    filters.iter().filter_map(Value::as_map).for_each(|inner| self.add(inner));
                }
                ("$not", Value::Map(inner)) => {
                    self.clauses += 1;
                    self.add(inner);
                }
                (_, Value::Map(map)) if map.iter().any(|(key, _)| is_dollar(key)) => {
                    map.iter().for_each(|(operator, operand)| self.add_test(operator, operand));
                }
                _ => self.clauses += 1,
            }
        }
    }

    fn add_test(&mut self, operator: &str, operand: &Value) {
        self.expressions += usize::from(operator == "$regex");
        self.clauses += match operator {
            "$contains" => SEARCH_CLAUSES,
            "$containsAny" | "$containsNone" => {
                SEARCH_CLAUSES * operand.as_array().map_or(1, <[Value]>::len).max(1)
            }
            _ => 1,
        };
    }
}
