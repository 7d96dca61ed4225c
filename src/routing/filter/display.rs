//! Filters as a person reads them: `role = "api" and load < 80`.

use std::fmt::{self, Display, Formatter};

use super::compiled::{All, Clause, Comparison, Part, Test};
use crate::value::Value;

impl Display for All {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("anything"),
            // With nothing beside them, alternatives need no brackets.
            [Part::Or(alternatives)] => show_alternatives(f, alternatives),
            parts => separated(f, " and ", parts),
        }
    }
}

impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clause(clause) => write!(f, "{clause}"),
            Self::Or(alternatives) if alternatives.is_empty() => f.write_str("nothing"),
            Self::Or(alternatives) => {
                f.write_str("(")?;
                show_alternatives(f, alternatives)?;
                f.write_str(")")
            }
            Self::Not(inner) => write!(f, "not ({inner})"),
        }
    }
}

fn show_alternatives(f: &mut Formatter<'_>, alternatives: &[All]) -> fmt::Result {
    if alternatives.is_empty() {
        return f.write_str("nothing");
    }
    separated(f, " or ", alternatives.iter().map(Alternative))
}

/// One side of an `or`, in brackets when it has an `and` or `or` of its own.
struct Alternative<'a>(&'a All);

impl Display for Alternative<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.0.as_slice() {
            [] => write!(f, "{}", self.0),
            [part] => write!(f, "{part}"),
            _ => write!(f, "({})", self.0),
        }
    }
}

fn separated<T: Display>(
    f: &mut Formatter<'_>,
    separator: &str,
    parts: impl IntoIterator<Item = T>,
) -> fmt::Result {
    for (index, part) in parts.into_iter().enumerate() {
        f.write_str(if index == 0 { "" } else { separator })?;
        write!(f, "{part}")?;
    }
    Ok(())
}

impl Display for Clause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let key = Key(&self.key);
        match &self.test {
            Test::Exists => write!(f, "{key} exists"),
            Test::Missing => write!(f, "{key} is missing"),
            Test::Equal(value) => write!(f, "{key} = {value}"),
            Test::Unequal(value) => write!(f, "{key} != {value}"),
            Test::LooselyEqual(value) => write!(f, "{key} ~= {value}"),
            Test::Order(comparison, value) => write!(f, "{key} {comparison} {value}"),
            Test::Between(low, high) => write!(f, "{low} < {key} < {high}"),
            Test::BetweenInclusive(low, high) => write!(f, "{low} <= {key} <= {high}"),
            Test::OneOf(list) => write!(f, "{key} in {}", Values(list.values())),
            Test::NoneOf(list) => write!(f, "{key} not in {}", Values(list.values())),
            Test::Contains(value) => write!(f, "{key} contains {value}"),
            Test::ContainsAny(list) => write!(f, "{key} contains any of {}", Values(list.values())),
            Test::ContainsNone(list) => {
                write!(f, "{key} contains none of {}", Values(list.values()))
            }
            #[cfg(feature = "regex")]
            Test::Regex(regex) => write!(f, "{key} matches {}", Value::from(regex.as_str())),
        }
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        })
    }
}

/// The name of an option, in quotes when it could be taken for something else.
pub(super) struct Key<'a>(pub(super) &'a str);

impl Display for Key<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
        if !self.0.is_empty() && self.0.chars().all(plain) {
            f.write_str(self.0)
        } else {
            write!(f, "{}", Value::from(self.0))
        }
    }
}

struct Values<'a>(&'a [Value]);

impl Display for Values<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        separated(f, ", ", self.0)?;
        f.write_str("]")
    }
}
