//! How the usual types become values.

use std::collections::{BTreeMap, HashMap};

use super::{Map, Value};
use crate::id::NodeId;

macro_rules! integers {
    ($($integer:ty)+) => { $(
        impl From<$integer> for Value {
            fn from(value: $integer) -> Self {
                Self::Integer(i128::from(value))
            }
        }
    )+ };
}

integers! { u8 u16 u32 u64 i8 i16 i32 i64 i128 }

macro_rules! texts {
    ($($text:ty)+) => { $(
        impl From<$text> for Value {
            fn from(value: $text) -> Self {
                Self::Text(value.to_string())
            }
        }
    )+ };
}

texts! { &str &String char &NodeId NodeId }

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Integer(value as i128)
    }
}

impl From<isize> for Value {
    fn from(value: isize) -> Self {
        Self::Integer(value as i128)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f32> for Value {
    fn from(value: f32) -> Self {
        Self::Float(f64::from(value))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::Null
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::Array(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>, const N: usize> From<[T; N]> for Value {
    fn from(values: [T; N]) -> Self {
        Self::Array(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value> + Clone> From<&[T]> for Value {
    fn from(values: &[T]) -> Self {
        Self::Array(values.iter().cloned().map(Into::into).collect())
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl<K: Into<String>, V: Into<Value>> From<BTreeMap<K, V>> for Value {
    fn from(entries: BTreeMap<K, V>) -> Self {
        let mut map = Map::new();
        map.extend(entries);
        Self::Map(map)
    }
}

impl<K: Into<String>, V: Into<Value>, S> From<HashMap<K, V, S>> for Value {
    fn from(entries: HashMap<K, V, S>) -> Self {
        let mut map = Map::new();
        map.extend(entries);
        Self::Map(map)
    }
}
