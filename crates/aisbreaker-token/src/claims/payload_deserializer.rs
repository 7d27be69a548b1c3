//! A `Deserializer` that diverts the registered claims and shows a payload all other members.
//!
//! The `flatten` of serde would do the same, but it copies all members into a buffer first, which
//! is slower, and the copies would not be wiped.

use std::{borrow::Cow, fmt};

use serde::{
    de::{
        DeserializeSeed, Deserializer, Error, IntoDeserializer as _, MapAccess, Visitor,
        value::BorrowedStrDeserializer,
    },
    forward_to_deserialize_any,
};

use super::registered::{Claim, RegisteredClaims};
use crate::json_str::JsonStr;

/// The members of the claims object that are not registered claims.
pub(super) struct PayloadMembers<'a, 'de, D> {
    object: D,
    registered: &'a mut RegisteredClaims<'de>,
}

impl<'a, 'de, D> PayloadMembers<'a, 'de, D> {
    pub(super) fn new(object: D, registered: &'a mut RegisteredClaims<'de>) -> Self {
        Self { object, registered }
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for PayloadMembers<'_, 'de, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.object.deserialize_map(PayloadVisitor {
            visitor,
            registered: self.registered,
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, D::Error> {
        Err(D::Error::custom(
            "an enum can be a payload only if it has a tag member",
        ))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct PayloadVisitor<'a, 'de, V> {
    visitor: V,
    registered: &'a mut RegisteredClaims<'de>,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for PayloadVisitor<'_, 'de, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(PayloadAccess {
            map,
            registered: self.registered,
        })
    }
}

struct PayloadAccess<'a, 'de, A> {
    map: A,
    registered: &'a mut RegisteredClaims<'de>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for PayloadAccess<'_, 'de, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(JsonStr(name)) = self.map.next_key()? {
            match Claim::from_name(&name, self.registered.version) {
                Some(claim) => self.registered.read_value(claim, &mut self.map)?,
                None => return deserialize_name(seed, name).map(Some),
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

fn deserialize_name<'de, S: DeserializeSeed<'de>, E: Error>(
    seed: S,
    name: Cow<'de, str>,
) -> Result<S::Value, E> {
    match name {
        Cow::Borrowed(name) => seed.deserialize(BorrowedStrDeserializer::new(name)),
        Cow::Owned(name) => seed.deserialize(name.into_deserializer()),
    }
}
