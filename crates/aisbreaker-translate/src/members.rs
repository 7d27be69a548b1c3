//! Reads a request one level at a time, so that a refusal can name the member it is about.
//!
//! Values stay slices of the request's text until somebody asks for them: what is passed on unread, such as a JSON
//! schema, keeps its members in their order and its numbers in full.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::Untranslatable;

/// The most levels of objects and arrays in a body.
const MAX_NESTING: usize = 128;
/// The most members of an object that is read. No object of either API has as many.
const MAX_MEMBERS: usize = 64;

/// Reads a body, which must be one JSON text of at most [`MAX_NESTING`] levels.
pub(crate) fn read_body(body: &[u8]) -> Result<&RawValue, Untranslatable> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(Untranslatable::new("body", "is not UTF-8"));
    };
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else {
        return Err(Untranslatable::new("body", "is not valid JSON"));
    };
    if nesting(raw.get()) > MAX_NESTING {
        return Err(Untranslatable::new(
            "body",
            "is nested deeper than 128 levels",
        ));
    }
    Ok(raw)
}

/// Returns the number of levels of objects and arrays in a JSON text.
fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The members of an object that are not read yet. A member with the value `null` is absent.
#[derive(Default)]
pub(crate) struct Members<'a> {
    unread: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Members<'a> {
    /// Reads an object. The error names no member: see [`Untranslatable::within`].
    pub(crate) fn read(object: &'a RawValue) -> Result<Self, Untranslatable> {
        if !object.get().starts_with('{') {
            return Err(Untranslatable::new("", "is not an object"));
        }
        let mut refusal = None;
        let visitor = MembersVisitor {
            refusal: &mut refusal,
        };
        match serde_json::Deserializer::from_str(object.get()).deserialize_map(visitor) {
            Ok(unread) => Ok(Self { unread }),
            Err(_) => Err(refusal.unwrap_or_else(|| {
                Untranslatable::new("", "has a member whose name is not valid Unicode")
            })),
        }
    }

    /// Takes a member out, if it is there and not `null`.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let index = self.unread.iter().position(|(other, _)| other == name)?;
        let (_, value) = self.unread.swap_remove(index);
        (value.get() != "null").then_some(value)
    }

    /// Takes a member out that must be there.
    pub(crate) fn require(&mut self, name: &str) -> Result<&'a RawValue, Untranslatable> {
        self.take(name)
            .ok_or_else(|| Untranslatable::new(name, "is missing"))
    }

    /// Takes a member out and reads it.
    pub(crate) fn take_as<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Result<T, Untranslatable>,
    ) -> Result<Option<T>, Untranslatable> {
        match self.take(name) {
            Some(value) => read(value).map(Some).map_err(|error| error.within(name)),
            None => Ok(None),
        }
    }

    /// Takes a member out that must be there, and reads it.
    pub(crate) fn require_as<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Result<T, Untranslatable>,
    ) -> Result<T, Untranslatable> {
        let value = self.require(name)?;
        read(value).map_err(|error| error.within(name))
    }

    /// Refuses whatever was not taken out. Only `null` asks for nothing.
    pub(crate) fn finish(self) -> Result<(), Untranslatable> {
        match self.unread.iter().find(|(_, value)| value.get() != "null") {
            Some((name, _)) => Err(Untranslatable::new(shown(name), NO_COUNTERPART)),
            None => Ok(()),
        }
    }

    /// Returns whether nothing is left to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }
}

/// The reason for what only one of the two APIs has.
pub(crate) const NO_COUNTERPART: &str = "has no counterpart in the provider's API";

/// Returns the name of a member for an error: as it is, if it could be the name of a parameter.
fn shown(name: &str) -> String {
    const MAX_CHARS: usize = 64;
    let clean = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    let mut shown: String = name.chars().take(MAX_CHARS).map(clean).collect();
    if name.chars().nth(MAX_CHARS).is_some() {
        shown.push_str("...");
    }
    shown
}

struct MembersVisitor<'r> {
    refusal: &'r mut Option<Untranslatable>,
}

impl<'de> Visitor<'de> for MembersVisitor<'_> {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Self::Value = Vec::new();
        while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
            let refusal = if members.iter().any(|(other, _)| *other == name) {
                Untranslatable::new(shown(&name), "occurs more than once")
            } else if members.len() == MAX_MEMBERS {
                Untranslatable::new("", "has more than 64 members")
            } else {
                members.push((name, value));
                continue;
            };
            *self.refusal = Some(refusal);
            return Err(A::Error::custom("refused"));
        }
        Ok(members)
    }
}

/// A string, borrowed where it holds no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Reads a string.
pub(crate) fn text(value: &RawValue) -> Result<Cow<'_, str>, Untranslatable> {
    match serde_json::from_str::<Text<'_>>(value.get()) {
        Ok(Text(text)) => Ok(text),
        Err(_) if is_string(value) => Err(Untranslatable::new("", "is not valid Unicode")),
        Err(_) => Err(Untranslatable::new("", "is not a string")),
    }
}

/// Returns whether a value is a string.
pub(crate) fn is_string(value: &RawValue) -> bool {
    value.get().starts_with('"')
}

/// Reads `true` or `false`.
pub(crate) fn boolean(value: &RawValue) -> Result<bool, Untranslatable> {
    scalar(value, "is not true or false")
}

/// Reads a number.
pub(crate) fn number(value: &RawValue) -> Result<f64, Untranslatable> {
    scalar(value, "is not a number")
}

/// Reads an integer of at least one.
pub(crate) fn positive_integer(value: &RawValue) -> Result<u64, Untranslatable> {
    const REASON: &str = "is not an integer of 1 or more";
    match scalar(value, REASON)? {
        0 => Err(Untranslatable::new("", REASON)),
        integer => Ok(integer),
    }
}

fn scalar<T: DeserializeOwned>(
    value: &RawValue,
    reason: &'static str,
) -> Result<T, Untranslatable> {
    match serde_json::from_str(value.get()) {
        Ok(scalar) => Ok(scalar),
        Err(_) => Err(Untranslatable::new("", reason)),
    }
}

/// Passes an object on unread.
pub(crate) fn object(value: &RawValue) -> Result<&RawValue, Untranslatable> {
    if value.get().starts_with('{') {
        Ok(value)
    } else {
        Err(Untranslatable::new("", "is not an object"))
    }
}

/// Reads the items of an array, in order, until one is refused.
pub(crate) fn for_each_item<'a>(
    array: &'a RawValue,
    mut read: impl FnMut(usize, &'a RawValue) -> Result<(), Untranslatable>,
) -> Result<(), Untranslatable> {
    if !array.get().starts_with('[') {
        return Err(Untranslatable::new("", "is not an array"));
    }
    let mut refusal = None;
    let visitor = ItemsVisitor {
        read: &mut read,
        refusal: &mut refusal,
    };
    match serde_json::Deserializer::from_str(array.get()).deserialize_seq(visitor) {
        Ok(()) => Ok(()),
        Err(_) => Err(refusal.unwrap_or_else(|| Untranslatable::new("", "is not an array"))),
    }
}

struct ItemsVisitor<'r, F> {
    read: &'r mut F,
    refusal: &'r mut Option<Untranslatable>,
}

impl<'de, F> Visitor<'de> for ItemsVisitor<'_, F>
where
    F: FnMut(usize, &'de RawValue) -> Result<(), Untranslatable>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0usize;
        while let Some(item) = items.next_element::<&'de RawValue>()? {
            if let Err(refusal) = (self.read)(index, item) {
                *self.refusal = Some(refusal.within(&format!("[{index}]")));
                return Err(A::Error::custom("refused"));
            }
            index = index.saturating_add(1);
        }
        Ok(())
    }
}
