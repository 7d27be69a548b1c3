//! A JSON value that borrows its texts from what it is read from.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

use crate::{read::check_value_count, write};

/// The room for a text to begin with.
const TEXT_BYTES: usize = 1536;

/// A JSON value that borrows its texts, if they have no escapes, from what it is read from.
///
/// It is for answers of which little is used and everything is passed on. Its content is that of the
/// [`Value`] of the same text.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the six kinds of JSON values")]
pub enum JsonTree<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Self>),
    /// An object: the members in the order of their names, which are distinct.
    Object(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> JsonTree<'a> {
    /// Parses JSON. Returns `None` for what is invalid, and for what only [`read::json`](crate::read::json)
    /// accepts.
    #[must_use]
    pub fn parse(json: &'a [u8]) -> Option<Self> {
        check_value_count(json).ok()?;
        serde_json::from_slice(json).ok()
    }

    /// Returns a copy of the value.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.clone().into_owned()),
            Self::List(entries) => entries.iter().map(Self::to_value).collect(),
            Self::Object(members) => Value::Object(copied(members.iter())),
        }
    }

    /// Returns a copy of an object with these members only.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Value {
        let Self::Object(members) = self else {
            return Value::Object(Map::new());
        };
        let named = members.iter().filter(|(name, _)| names.contains(&&**name));
        Value::Object(copied(named))
    }

    /// Returns the value as JSON, as a [`Value`] is written.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(TEXT_BYTES);
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(number) => write::value(out, number),
            Self::Text(text) => write::text(out, text),
            Self::List(entries) => write::list(out, entries, |out, entry| entry.write(out)),
            Self::Object(members) => {
                out.push(b'{');
                for (position, (name, value)) in members.iter().enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    write::text(out, name);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

fn copied<'t, 'a: 't>(
    members: impl Iterator<Item = &'t (Cow<'a, str>, JsonTree<'a>)>,
) -> Map<String, Value> {
    members
        .map(|(name, value)| (name.clone().into_owned(), value.to_value()))
        .collect()
}

impl From<Value> for JsonTree<'_> {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(flag),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(text.into()),
            Value::Array(entries) => Self::List(entries.into_iter().map(Self::from).collect()),
            Value::Object(members) => object(
                members
                    .into_iter()
                    .map(|(name, value)| (name.into(), value.into()))
                    .collect(),
            ),
        }
    }
}

impl<'de> Deserialize<'de> for JsonTree<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = JsonTree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<JsonTree<'de>, E> {
        Ok(JsonTree::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<JsonTree<'de>, E> {
        Ok(JsonTree::Bool(flag))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<JsonTree<'de>, E> {
        Ok(JsonTree::Number(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<JsonTree<'de>, E> {
        Ok(JsonTree::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<JsonTree<'de>, E> {
        let number = Number::from_f64(number);
        Ok(number.map_or(JsonTree::Null, JsonTree::Number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<JsonTree<'de>, E> {
        Ok(JsonTree::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<JsonTree<'de>, E> {
        Ok(JsonTree::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<JsonTree<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        Ok(JsonTree::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonTree<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            // Such names can have a meaning for serde_json.
            if name.starts_with('$') {
                return Err(A::Error::custom("a name of another library"));
            }
            members.push((name, map.next_value()?));
        }
        Ok(object(members))
    }
}

/// Returns an object with its members in order. Of those with the same name, the last counts.
fn object<'a>(mut members: Vec<(Cow<'a, str>, JsonTree<'a>)>) -> JsonTree<'a> {
    if !members.is_sorted_by(|(one, _), (next, _)| one < next) {
        members.reverse();
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        members.dedup_by(|(later, _), (first, _)| later == first);
    }
    JsonTree::Object(members)
}

/// The name of a member, which is borrowed if it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = deserializer.deserialize_str(TreeVisitor)?;
        let JsonTree::Text(name) = name else {
            return Err(D::Error::custom("a name is a string"));
        };
        Ok(Self(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    fn json() -> impl Strategy<Value = String> {
        let scalars = select(vec![
            "null",
            "true",
            "0",
            "-0.0",
            "-7",
            "1.50",
            "1e3",
            "18446744073709551616",
            "\"\"",
            "\"a\\n\"",
            "\"\u{1f642}\"",
            "\"\\u0061\"",
        ]);
        let names = select(vec!["a", "b", "\\u0061", "usage", "é"]);
        scalars
            .prop_map(str::to_owned)
            .prop_recursive(3, 24, 5, move |inner| {
                let member = (names.clone(), inner.clone());
                let member = member.prop_map(|(name, value)| format!("\"{name}\" : {value}"));
                prop_oneof![
                    vec(inner, 0..4).prop_map(|entries| format!("[{}]", entries.join(", "))),
                    vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
                ]
            })
    }

    proptest! {
        #[test]
        fn a_tree_is_what_a_value_is(json in json()) {
            let value: Value = serde_json::from_str(&json).unwrap();
            let tree = JsonTree::parse(json.as_bytes()).unwrap();

            prop_assert_eq!(String::from_utf8(tree.to_json()).unwrap(), value.to_string());
            prop_assert_eq!(&tree.to_value(), &value);
            prop_assert_eq!(&JsonTree::from(value.clone()), &tree);
            let named = value.as_object().into_iter().flatten().filter(|(name, _)| *name == "a");
            let named = named.map(|(name, value)| (name.clone(), value.clone())).collect();
            prop_assert_eq!(tree.only(&["a"]), Value::Object(named));
        }
    }

    #[test]
    fn what_a_value_treats_specially_is_left_to_it() {
        for json in [
            r#"{"$serde_json::private::RawValue":"1"}"#,
            r#""\ud83d""#,
            "1e400",
            "[1",
        ] {
            assert_eq!(JsonTree::parse(json.as_bytes()), None, "{json}");
        }
    }
}
