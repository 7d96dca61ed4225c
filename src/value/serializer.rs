//! From serde's data model to a [`Value`], on the caller's thread. It must not be used to read what came from the network.

use std::fmt::{self, Display};

use serde::ser::{self, Serialize};

use super::{INTEGERS, Map, VALUE_DEPTH, Value};

/// Why something is no value.
#[derive(Debug)]
pub(crate) struct NoValue(String);

impl Display for NoValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoValue {}

impl ser::Error for NoValue {
    fn custom<T: Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

/// Builds the value that `data` describes. Enums look as they do in ciborium: a text, or a map of one entry.
pub(crate) fn to_value<T: Serialize + ?Sized>(data: &T) -> Result<Value, NoValue> {
    data.serialize(ToValue { depth_left: VALUE_DEPTH })
}

#[derive(Clone, Copy)]
struct ToValue {
    depth_left: usize,
}

impl ToValue {
    fn deeper(self) -> Result<Self, NoValue> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left }),
            None => Err(NoValue(format!("values nest at most {VALUE_DEPTH} deep"))),
        }
    }

    fn items(self, variant: Option<&'static str>) -> Result<Items, NoValue> {
        let outer = if variant.is_some() { self.deeper()? } else { self };
        Ok(Items { values: Vec::new(), variant, inner: outer.deeper()? })
    }

    fn entries(self, variant: Option<&'static str>) -> Result<Entries, NoValue> {
        let outer = if variant.is_some() { self.deeper()? } else { self };
        Ok(Entries { map: Map::new(), key: None, variant, inner: outer.deeper()? })
    }
}

fn integer(value: i128) -> Result<Value, NoValue> {
    if INTEGERS.contains(&value) {
        Ok(Value::Integer(value))
    } else {
        Err(NoValue(format!("{value} is outside of -2^64 to 2^64 - 1")))
    }
}

fn in_variant(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(name) => Value::Map(Map::from_iter([(name.to_owned(), value)])),
        None => value,
    }
}

macro_rules! scalars {
    ($($method:ident: $scalar:ty),+) => { $(
        fn $method(self, value: $scalar) -> Result<Value, NoValue> {
            Ok(Value::from(value))
        }
    )+ };
}

impl ser::Serializer for ToValue {
    type Ok = Value;
    type Error = NoValue;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Entries;
    type SerializeStruct = Entries;
    type SerializeStructVariant = Entries;

    scalars! {
        serialize_bool: bool,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_f32: f32, serialize_f64: f64,
        serialize_char: char, serialize_str: &str
    }

    fn serialize_i128(self, value: i128) -> Result<Value, NoValue> {
        integer(value)
    }

    fn serialize_u128(self, value: u128) -> Result<Value, NoValue> {
        integer(i128::try_from(value).unwrap_or(i128::MAX))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Value, NoValue> {
        Ok(Value::Bytes(value.to_vec()))
    }

    fn serialize_none(self) -> Result<Value, NoValue> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, NoValue> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, NoValue> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, NoValue> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, NoValue> {
        Ok(Value::from(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value, NoValue> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, NoValue> {
        Ok(in_variant(Some(variant), value.serialize(self.deeper()?)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items, NoValue> {
        self.items(None)
    }

    fn serialize_tuple(self, _: usize) -> Result<Items, NoValue> {
        self.items(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items, NoValue> {
        self.items(None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items, NoValue> {
        self.items(Some(variant))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries, NoValue> {
        self.entries(None)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Entries, NoValue> {
        self.entries(None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Entries, NoValue> {
        self.entries(Some(variant))
    }
}

struct Items {
    values: Vec<Value>,
    variant: Option<&'static str>,
    inner: ToValue,
}

impl Items {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoValue> {
        self.values.push(value.serialize(self.inner)?);
        Ok(())
    }

    fn finish(self) -> Value {
        in_variant(self.variant, Value::Array(self.values))
    }
}

struct Entries {
    map: Map,
    key: Option<String>,
    variant: Option<&'static str>,
    inner: ToValue,
}

impl Entries {
    fn push<T: Serialize + ?Sized>(&mut self, key: String, value: &T) -> Result<(), NoValue> {
        self.map.insert(key, value.serialize(self.inner)?);
        Ok(())
    }

    fn finish(self) -> Value {
        in_variant(self.variant, Value::Map(self.map))
    }
}

macro_rules! of_items {
    ($($part:ident: $method:ident),+) => { $(
        impl ser::$part for Items {
            type Ok = Value;
            type Error = NoValue;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoValue> {
                self.push(value)
            }

            fn end(self) -> Result<Value, NoValue> {
                Ok(self.finish())
            }
        }
    )+ };
}

of_items! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
}

macro_rules! of_entries {
    ($($part:ident),+) => { $(
        impl ser::$part for Entries {
            type Ok = Value;
            type Error = NoValue;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), NoValue> {
                self.push(key.to_owned(), value)
            }

            fn end(self) -> Result<Value, NoValue> {
                Ok(self.finish())
            }
        }
    )+ };
}

of_entries! { SerializeStruct, SerializeStructVariant }

impl ser::SerializeMap for Entries {
    type Ok = Value;
    type Error = NoValue;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NoValue> {
        match to_value(key)? {
            Value::Text(key) => {
                self.key = Some(key);
                Ok(())
            }
            other => Err(NoValue(format!("a map key is a text, this one is {other}"))),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoValue> {
        let key = self.key.take().ok_or_else(|| NoValue("a map value has no key".to_owned()))?;
        self.push(key, value)
    }

    fn end(self) -> Result<Value, NoValue> {
        Ok(self.finish())
    }
}
