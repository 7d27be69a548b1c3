//! Reads a JSON object member by member.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::Value;

/// The members of an object, as far as they have been read.
pub(super) trait Members: Default {
    /// What the members make.
    type Value;

    /// Reads the value of the member with this name.
    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;

    /// Returns what the members make, if all that it needs are there.
    fn finish(self) -> Option<Self::Value>;
}

/// An object that was read by its members.
pub(super) struct Object<T: Members>(pub(super) T::Value);

impl<'de, T: Members> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Members> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<T>, A::Error> {
        let mut members = T::default();
        while let Some(name) = map.next_key::<Name<'_>>()? {
            // Such names can have a meaning for serde_json.
            if name.0.starts_with('$') {
                return Err(A::Error::custom("a name of another library"));
            }
            members.read(&name.0, &mut map)?;
        }
        match members.finish() {
            Some(value) => Ok(Object(value)),
            None => Err(A::Error::custom("a member is missing")),
        }
    }
}

/// A text that is borrowed if it has no escapes.
pub(super) struct Name<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(text.to_owned())))
    }
}

/// Sets a member, which must not occur twice. `None` is `null`, which counts as absent.
pub(super) fn set<T, E: Error>(member: &mut Option<T>, value: Option<T>) -> Result<(), E> {
    if member.is_some() {
        return Err(E::custom("a member occurs twice"));
    }
    *member = value;
    Ok(())
}

/// Skips a member. It must be as valid as if it were used.
pub(super) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    let _skipped: Value = map.next_value()?;
    Ok(())
}
