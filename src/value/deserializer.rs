//! From a value to any type that serde knows, without bytes in between, on the caller's thread.

use std::fmt::{self, Display};

use serde::de::value::{StrDeserializer, U8Deserializer};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Map, Value};

/// Why a value does not fit a type, and where.
#[derive(Debug)]
pub(crate) struct Misfit {
    /// The keys and positions that lead there, innermost first.
    path: Vec<String>,
    why: String,
}

impl Misfit {
    fn inside(mut self, place: impl Display) -> Self {
        self.path.push(place.to_string());
        self
    }
}

impl Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, place) in self.path.iter().rev().enumerate() {
            write!(f, "{}{place}", if index == 0 { "" } else { "." })?;
        }
        write!(f, "{}{}", if self.path.is_empty() { "" } else { ": " }, self.why)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: Display>(why: T) -> Self {
        Self { path: Vec::new(), why: why.to_string() }
    }
}

/// What the entries of a map describe. The counterpart of [`to_value`](super::to_value).
pub(crate) fn from_map<'de, T: Deserialize<'de>>(map: &Map) -> Result<T, Misfit> {
    T::deserialize(OfMap(map))
}

/// A value as it is read. Nothing is borrowed from it, so it may be short-lived.
#[derive(Clone, Copy)]
struct Of<'a>(&'a Value);

impl<'de> Deserializer<'de> for Of<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            // Few types take 128 bits, so they are told only of numbers that need them.
            Value::Integer(value) => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => visitor.visit_u64(value),
                (_, Ok(value)) => visitor.visit_i64(value),
                _ => visitor.visit_i128(*value),
            },
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_str(value),
            Value::Bytes(value) => visitor.visit_bytes(value),
            Value::Array(values) => read_items(values.iter().map(Of), visitor),
            Value::Map(map) => OfMap(map).deserialize_any(visitor),
        }
    }

    /// An integer of any size is a float, too.
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0.as_f64() {
            Some(value) => visitor.visit_f64(value),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// A byte string is a sequence of bytes for who does not ask for bytes, such as a `Vec<u8>`.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Bytes(bytes) => {
                let each = bytes.iter().map(|byte| U8Deserializer::<Misfit>::new(*byte));
                read_items(each, visitor)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    /// The name of a variant, or a map of one entry: the name and what it holds.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Text(variant) => visitor.visit_enum(Variant { name: variant, content: None }),
            Value::Map(map) => OfMap(map).deserialize_enum(name, variants, visitor),
            other => Err(de::Error::custom(format_args!(
                "a variant is a text or a map of one entry, not {other}"
            ))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char str string bytes byte_buf unit
        unit_struct tuple_struct map struct identifier
    }
}

/// A map as it is read.
struct OfMap<'a>(&'a Map);

impl<'de> Deserializer<'de> for OfMap<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let mut entries = Entries { entries: self.0.iter(), value: None };
        visitor.visit_map(&mut entries)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let mut entries = self.0.iter();
        match (entries.next(), entries.next()) {
            (Some((name, content)), None) => {
                let read = visitor.visit_enum(Variant { name, content: Some(content) });
                read.map_err(|misfit| misfit.inside(name))
            }
            _ => Err(de::Error::custom(format_args!(
                "a map that is a variant has one entry, this one has {}",
                self.0.len()
            ))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Reads a sequence, and fails if the visitor leaves some of it.
fn read_items<'de, D, V>(
    items: impl ExactSizeIterator<Item = D>,
    visitor: V,
) -> Result<V::Value, Misfit>
where
    D: Deserializer<'de, Error = Misfit>,
    V: Visitor<'de>,
{
    let len = items.len();
    let mut items = Items { items, taken: 0 };
    let read = visitor.visit_seq(&mut items)?;
    if items.taken == len {
        return Ok(read);
    }
    let taken = items.taken;
    Err(de::Error::custom(format_args!("an array of {taken} was expected, this one has {len}")))
}

struct Items<I> {
    items: I,
    taken: usize,
}

impl<'de, I, D> SeqAccess<'de> for &mut Items<I>
where
    I: ExactSizeIterator<Item = D>,
    D: Deserializer<'de, Error = Misfit>,
{
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Misfit> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let index = self.taken;
        self.taken += 1;
        seed.deserialize(item).map(Some).map_err(|misfit| misfit.inside(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Entries<'a, I> {
    entries: I,
    /// The entry whose key was read last.
    value: Option<(&'a str, &'a Value)>,
}

impl<'a, 'de, I: Iterator<Item = (&'a str, &'a Value)>> MapAccess<'de> for &mut Entries<'a, I> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misfit> {
        self.value = self.entries.next();
        let Some((key, _)) = self.value else { return Ok(None) };
        seed.deserialize(Key(key)).map(Some).map_err(|misfit| misfit.inside(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let Some((key, value)) = self.value.take() else {
            return Err(de::Error::custom("a map value has no key"));
        };
        seed.deserialize(Of(value)).map_err(|misfit| misfit.inside(key))
    }
}

/// The key of an entry: a text, whatever type it becomes.
struct Key<'a>(&'a str);

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_enum(Variant { name: self.0, content: None })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A variant of an enum, and what it holds if it was written with something.
struct Variant<'a> {
    name: &'a str,
    content: Option<&'a Value>,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a> {
    type Error = Misfit;
    type Variant = Content<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Content<'a>), Misfit> {
        let name: StrDeserializer<'_, Misfit> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, Content(self.content)))
    }
}

struct Content<'a>(Option<&'a Value>);

impl<'a> Content<'a> {
    fn needed(self) -> Result<Of<'a>, Misfit> {
        self.0
            .map(Of)
            .ok_or_else(|| de::Error::custom("this variant holds something, and came bare"))
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        self.0.map_or(Ok(()), |content| <()>::deserialize(Of(content)))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Misfit> {
        seed.deserialize(self.needed()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.needed()?.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.needed()?.deserialize_struct("", fields, visitor)
    }
}
