//! What is wiped when it is dropped: bodies of requests, and the JSON of requests for keys, which
//! hold secrets.
//!
//! Read buffers of the HTTP library are its own and not wiped; a body that came in one piece is one
//! of them.

use std::{
    io::{self, Read},
    ops::{Deref, DerefMut},
};

use aisbreaker_api::{
    InvalidRequest,
    read::{self, JsonFault},
};
use bytes::Bytes;
use secrecy::zeroize::Zeroize as _;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// How much is read at once.
const READ_BYTES: usize = 32 << 10;

/// A buffer that leaves no copy behind when it grows.
#[derive(Default)]
pub(crate) struct Growing(Vec<u8>);

impl Growing {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Reads some more; whether there was more.
    pub(crate) fn read_more(&mut self, reader: &mut impl Read) -> io::Result<bool> {
        loop {
            let filled = self.0.len();
            self.make_room(READ_BYTES);
            self.0.resize(filled.saturating_add(READ_BYTES), 0);
            let read = reader.read(self.0.get_mut(filled..).unwrap_or_default());
            self.0
                .truncate(filled.saturating_add(*read.as_ref().unwrap_or(&0)));
            match read {
                Ok(bytes) => return Ok(bytes > 0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn make_room(&mut self, bytes: usize) {
        let needed = self.0.len().saturating_add(bytes);
        if needed > self.0.capacity() {
            let mut larger = Self(Vec::with_capacity(
                needed.max(self.0.capacity().saturating_mul(2)),
            ));
            larger.0.extend_from_slice(&self.0);
            *self = larger;
        }
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl AsRef<[u8]> for Growing {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Growing> for Bytes {
    fn from(buffer: Growing) -> Self {
        Self::from_owner(buffer)
    }
}

/// The members of a JSON object.
pub(crate) struct Members(Map<String, Value>);

impl Members {
    /// Takes a member out; dropping it wipes it.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Wiped> {
        self.0.remove(name).map(Wiped)
    }

    /// All members, of which none is a secret.
    pub(crate) fn into_inner(mut self) -> Map<String, Value> {
        std::mem::take(&mut self.0)
    }
}

impl Deref for Members {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Members {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        wipe_members(&mut self.0);
    }
}

/// A JSON value.
pub(crate) struct Wiped(Value);

impl Wiped {
    pub(crate) fn into_inner(mut self) -> Value {
        self.0.take()
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// The JSON of a body, as [`read::body`] has it.
pub(crate) fn body(bytes: &[u8]) -> Result<Value, InvalidRequest> {
    // Its syntax first, which copies nothing: what the parser has read before a fault is dropped
    // unwiped.
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let has_syntax =
        read::check_value_count(text).and_then(|()| match serde_json::from_slice::<IgnoredAny>(text) {
            Ok(IgnoredAny) => Ok(()),
            Err(error) => Err(JsonFault::Syntax {
                line: error.line(),
                column: error.column(),
            }),
        });
    has_syntax.map_err(|fault| InvalidRequest::new("request body", fault.to_string()))?;
    read::body(bytes)
}

/// The members of an object, as [`read::object`] has it.
pub(crate) fn object(value: Value, path: &str) -> Result<Members, InvalidRequest> {
    read::object(kept(value, Value::is_object), path).map(Members)
}

/// The entries of a list, as [`read::list`] has it.
pub(crate) fn list(value: Value, path: &str) -> Result<Vec<Wiped>, InvalidRequest> {
    let values = read::list(kept(value, Value::is_array), path)?;
    Ok(values.into_iter().map(Wiped).collect())
}

/// A text, as [`read::string`] has it.
pub(crate) fn string(value: Value, path: &str) -> Result<String, InvalidRequest> {
    read::string(kept(value, Value::is_string), path)
}

/// The value if it is of use, else nothing of it.
fn kept(value: Value, is_of_use: fn(&Value) -> bool) -> Value {
    let value = Wiped(value);
    if is_of_use(&value.0) {
        value.into_inner()
    } else {
        Value::Null
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(members) => wipe_members(members),
    }
}

fn wipe_members(members: &mut Map<String, Value>) {
    for (mut name, mut value) in std::mem::take(members) {
        name.zeroize();
        wipe(&mut value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_buffer_holds_what_it_was_given() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut buffer = Growing::default();
        assert!(buffer.is_empty());
        for piece in text.chunks(777) {
            buffer.extend(piece);
        }
        assert_eq!(buffer.len(), text.len());
        assert_eq!(Bytes::from(buffer), text);

        let mut buffer = Growing::default();
        let mut reader = text.as_slice();
        while buffer.read_more(&mut reader).unwrap() {}
        assert_eq!(Bytes::from(buffer), text);
    }

    #[test]
    fn wiping_leaves_nothing_of_a_value() {
        let mut value = json!({"a": "x", "b": [1, "y", {"c": "z"}], "d": null});
        wipe(&mut value);
        assert_eq!(value, json!({}));

        let mut list = json!(["x", ["y"], true]);
        wipe(&mut list);
        assert_eq!(list, json!(["", [""], true]));
    }

    #[test]
    fn refuses_as_the_plain_readers_do() {
        let refused = |value: Value| {
            let told = |outcome: Option<InvalidRequest>| outcome.unwrap().to_string();
            (
                told(object(value.clone(), "p").err()),
                told(list(value.clone(), "p").err()),
                told(string(value, "p").err()),
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
            let told =
                |value: Result<Value, InvalidRequest>| value.map_err(|fault| fault.to_string());
            assert_eq!(
                told(body(text.as_bytes())),
                told(read::body(text.as_bytes())),
                "{text}"
            );
        }
        assert_eq!(
            refused(json!(1)),
            expected(("must be an object", "must be a list", "must be a string"))
        );
    }
}
