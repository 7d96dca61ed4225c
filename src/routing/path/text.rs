//! Paths and patterns as text: made from it, shown, compared with it, and carried by serde. Written once for both.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Path, PathPattern};
use crate::error::Error;

macro_rules! as_text {
    ($name:ident) => {
        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(text: &str) -> Result<Self, Error> {
                Self::new(text)
            }
        }

        impl TryFrom<&String> for $name {
            type Error = Error;

            fn try_from(text: &String) -> Result<Self, Error> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        /// Maps and sets that are kept by it can be asked for a formatted text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        /// With a formatted text; any other equals none.
        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        /// With a formatted text; any other equals none.
        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.as_str())
            }
        }

        /// As text.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        /// From text, which may be written carelessly.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.try_into().map_err(de::Error::custom)
            }
        }
    };
}

as_text!(Path);
as_text!(PathPattern);

/// The pattern that matches this path and no other.
impl From<Path> for PathPattern {
    fn from(path: Path) -> Self {
        Self(path.0)
    }
}

/// The pattern that matches this path and no other.
impl From<&Path> for PathPattern {
    fn from(path: &Path) -> Self {
        path.clone().into()
    }
}

impl From<&PathPattern> for PathPattern {
    fn from(pattern: &PathPattern) -> Self {
        pattern.clone()
    }
}

/// The one path that the pattern matches: `INVALID_PATH` if it has a wildcard, or is the root.
impl TryFrom<PathPattern> for Path {
    type Error = Error;

    fn try_from(pattern: PathPattern) -> Result<Self, Error> {
        Self::new(pattern)
    }
}
