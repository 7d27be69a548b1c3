//! JSON that holds secrets, zeroized when it is dropped.

use std::{
    collections::HashSet,
    fmt,
    ops::{Deref, DerefMut},
};

use aisbreaker_api::{
    InvalidRequest,
    read::{self, JsonFault},
};
use secrecy::zeroize::Zeroize as _;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// The members of a JSON object.
#[derive(Default)]
pub(crate) struct ZeroizingMap(Map<String, Value>);

impl ZeroizingMap {
    /// Removes a member.
    pub(crate) fn remove(&mut self, name: &str) -> Option<ZeroizingValue> {
        self.0.remove(name).map(ZeroizingValue)
    }

    /// Returns the members, none of which may be a secret.
    pub(crate) fn into_inner(mut self) -> Map<String, Value> {
        std::mem::take(&mut self.0)
    }
}

impl Deref for ZeroizingMap {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for ZeroizingMap {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Drop for ZeroizingMap {
    fn drop(&mut self) {
        zeroize_members(&mut self.0);
    }
}

/// A JSON value.
pub(crate) struct ZeroizingValue(Value);

impl ZeroizingValue {
    pub(crate) fn is_null(&self) -> bool {
        self.0.is_null()
    }

    pub(crate) fn into_inner(mut self) -> Value {
        self.0.take()
    }
}

impl Drop for ZeroizingValue {
    fn drop(&mut self) {
        zeroize(&mut self.0);
    }
}

/// Parses a body as [`read::body`] does, but takes JSON only that is valid by every parser: nothing
/// of a secret may be replaced.
pub(crate) fn body(bytes: &[u8]) -> Result<Value, InvalidRequest> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // The syntax is checked first, which copies nothing: the parser does not zeroize what it has
    // read before an error.
    match read::check_value_count(text).and_then(|()| {
        let _syntax: IgnoredAny = parse(text)?;
        parse(text)
    }) {
        Ok(value) => Ok(value),
        Err(fault) => Err(InvalidRequest::new("request body", fault.to_string())),
    }
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonFault> {
    serde_json::from_slice(text).map_err(|error| JsonFault::Syntax {
        line: error.line(),
        column: error.column(),
    })
}

/// Checks that no object in this valid JSON has a member twice: readers differ in which of them
/// counts.
pub(crate) fn check_unique_members(bytes: &[u8]) -> Result<(), InvalidRequest> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let unique: Result<UniqueMembers, _> = serde_json::from_slice(text);
    match unique {
        Ok(UniqueMembers) => Ok(()),
        Err(_) => Err(InvalidRequest::new(
            "request body",
            "must not have a member twice",
        )),
    }
}

/// JSON without an object that has a member twice.
struct UniqueMembers;

impl<'de> Deserialize<'de> for UniqueMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueMembersVisitor)
    }
}

struct UniqueMembersVisitor;

impl<'de> Visitor<'de> for UniqueMembersVisitor {
    type Value = UniqueMembers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueMembers, A::Error> {
        let mut names = HashSet::new();
        while let Some((name, UniqueMembers)) = map.next_entry::<String, _>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("member twice"));
            }
        }
        Ok(UniqueMembers)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<UniqueMembers, A::Error> {
        while let Some(UniqueMembers) = seq.next_element()? {}
        Ok(UniqueMembers)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }

    fn visit_unit<E: Error>(self) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }
}

/// Returns the members of an object, as [`read::object`] does.
pub(crate) fn object(value: Value, path: &str) -> Result<ZeroizingMap, InvalidRequest> {
    read::object(expect(value, Value::is_object), path).map(ZeroizingMap)
}

/// Returns the entries of a list, as [`read::list`] does.
pub(crate) fn list(value: Value, path: &str) -> Result<Vec<ZeroizingValue>, InvalidRequest> {
    let values = read::list(expect(value, Value::is_array), path)?;
    Ok(values.into_iter().map(ZeroizingValue).collect())
}

/// Returns a string, as [`read::string`] does.
pub(crate) fn string(value: Value, path: &str) -> Result<String, InvalidRequest> {
    read::string(expect(value, Value::is_string), path)
}

/// Returns the value if it has the expected type. Any other is zeroized, and becomes null.
fn expect(value: Value, has_type: fn(&Value) -> bool) -> Value {
    let value = ZeroizingValue(value);
    if has_type(&value.0) {
        value.into_inner()
    } else {
        Value::Null
    }
}

fn zeroize(value: &mut Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(zeroize),
        Value::Object(members) => zeroize_members(members),
    }
}

fn zeroize_members(members: &mut Map<String, Value>) {
    for (mut name, mut value) in std::mem::take(members) {
        name.zeroize();
        zeroize(&mut value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn zeroizing_leaves_nothing_of_a_value() {
        let mut value = json!({"a": "x", "b": [1, "y", {"c": "z"}], "d": null});
        zeroize(&mut value);
        assert_eq!(value, json!({}));

        let mut list = json!(["x", ["y"], true]);
        zeroize(&mut list);
        assert_eq!(list, json!(["", [""], true]));
    }

    #[test]
    fn finds_a_member_that_an_object_has_twice() {
        let rows = [
            (r#"{"a": 1, "b": [{"a": 1}, {"a": 2.5}], "c": null}"#, true),
            (r#"[true, -1, "a", "a"]"#, true),
            ("\u{feff}{}", true),
            (r#"{"a": 1, "a": 1}"#, false),
            (r#"{"a": 1, "\u0061": 2}"#, false),
            (r#"{"b": [{"c": {"a": 1, "a": 1}}]}"#, false),
        ];
        for (text, expected) in rows {
            assert_eq!(
                check_unique_members(text.as_bytes()).is_ok(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_as_the_plain_readers_do() {
        let refused = |value: Value| {
            let message = |outcome: Option<InvalidRequest>| outcome.unwrap().to_string();
            (
                message(object(value.clone(), "p").err()),
                message(list(value.clone(), "p").err()),
                message(string(value, "p").err()),
            )
        };
        let expected = |(object, list, string): (&str, &str, &str)| {
            (
                format!("p {object}"),
                format!("p {list}"),
                format!("p {string}"),
            )
        };
        for text in [
            "",
            "{",
            "{\"a\": \"b\"",
            "[1,]",
            "\u{feff}{\n 1}",
            "nul",
            "{} x",
            "[1, 2]",
            "\u{feff}\"x\"",
        ] {
            let message =
                |value: Result<Value, InvalidRequest>| value.map_err(|fault| fault.to_string());
            assert_eq!(
                message(body(text.as_bytes())),
                message(read::body(text.as_bytes())),
                "{text}"
            );
        }
        assert_eq!(
            refused(json!(1)),
            expected(("must be an object", "must be a list", "must be a string"))
        );
    }
}
