//! Reading JSON by hand, so that a refusal names the member and never repeats what the caller sent.
//!
//! `path` is always the member's path for the refusal, such as `request.inputs[0]`.

use serde_json::{Map, Value};

use crate::request::InvalidRequest;

/// How many values a JSON text may hold. A value takes up to a hundred times its text in memory, so
/// that a text of 30 MB could take gigabytes; honest ones of that size are long strings.
const MAX_VALUES: usize = 200_000;

/// Why a text is not used as JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonFault {
    /// It is not JSON.
    #[error("is not valid JSON (line {line} column {column})")]
    Syntax {
        /// The line of the fault, from 1.
        line: usize,
        /// The column of the fault, from 1.
        column: usize,
    },
    /// It holds more than 200 000 values.
    #[error("holds more than {MAX_VALUES} values")]
    TooManyValues,
}

/// Parses a JSON text in memory bounded by a small multiple of its length.
///
/// # Errors
/// The [`JsonFault`] that applies; nothing of the text is repeated in it.
pub fn json(bytes: &[u8]) -> Result<Value, JsonFault> {
    check_count(bytes)?;
    serde_json::from_slice(bytes).map_err(|error| JsonFault::Syntax {
        line: error.line(),
        column: error.column(),
    })
}

/// Checks that a JSON text holds no more than 200 000 values, without parsing it.
///
/// # Errors
/// [`JsonFault::TooManyValues`].
pub fn check_count(bytes: &[u8]) -> Result<(), JsonFault> {
    let has_few = bytes.len() <= MAX_VALUES || has_few_values(bytes);
    if has_few {
        Ok(())
    } else {
        Err(JsonFault::TooManyValues)
    }
}

/// Parses a request body; a UTF-8 byte order mark is skipped.
///
/// # Errors
/// [`InvalidRequest`] with the place of the fault.
pub fn body(bytes: &[u8]) -> Result<Value, InvalidRequest> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    json(bytes).map_err(|fault| InvalidRequest::new("request body", fault.to_string()))
}

/// Counts commas and opening brackets outside of strings: no JSON text has more values than these
/// and one.
fn has_few_values(bytes: &[u8]) -> bool {
    let (mut in_string, mut is_escaped, mut values) = (false, false, 1_usize);
    for byte in bytes {
        match (in_string, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b',' | b'[' | b'{') => values = values.saturating_add(1),
            _ => {}
        }
    }
    values <= MAX_VALUES
}

/// The members of an object.
///
/// # Errors
/// [`InvalidRequest`] when the value is none.
pub fn object(value: Value, path: &str) -> Result<Map<String, Value>, InvalidRequest> {
    if let Value::Object(map) = value {
        Ok(map)
    } else {
        Err(InvalidRequest::new(path, "must be an object"))
    }
}

/// The entries of a list.
///
/// # Errors
/// [`InvalidRequest`] when the value is none.
pub fn list(value: Value, path: &str) -> Result<Vec<Value>, InvalidRequest> {
    if let Value::Array(values) = value {
        Ok(values)
    } else {
        Err(InvalidRequest::new(path, "must be a list"))
    }
}

/// A text.
///
/// # Errors
/// [`InvalidRequest`] when the value is none.
pub fn string(value: Value, path: &str) -> Result<String, InvalidRequest> {
    if let Value::String(text) = value {
        Ok(text)
    } else {
        Err(InvalidRequest::new(path, "must be a string"))
    }
}

/// Takes a member out of `map`; absent and `null` are the same.
pub fn take(map: &mut Map<String, Value>, name: &str) -> Option<Value> {
    map.remove(name).filter(|value| !value.is_null())
}

/// Takes a member out of `map` that must be there.
///
/// # Errors
/// [`InvalidRequest`] when it is absent or `null`.
pub fn required(
    map: &mut Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Value, InvalidRequest> {
    take(map, name).ok_or_else(|| InvalidRequest::new(path, "is missing"))
}

/// What JavaScript takes for true.
pub(crate) fn truth(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Bool(true) | Value::Array(_) | Value::Object(_)) => true,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_would_expand_are_refused_and_long_strings_are_not() {
        let values = |count: usize| format!("[{}]", vec!["0"; count].join(","));
        let nested = format!(
            "{}{}",
            "[{\"a\":".repeat(MAX_VALUES),
            "}]".repeat(MAX_VALUES)
        );
        let commas = serde_json::to_string(&"a\\\",[{".repeat(MAX_VALUES)).unwrap();

        assert_eq!(
            json(values(MAX_VALUES + 1).as_bytes()),
            Err(JsonFault::TooManyValues)
        );
        assert_eq!(json(nested.as_bytes()), Err(JsonFault::TooManyValues));
        assert!(json(values(MAX_VALUES - 2).as_bytes()).is_ok());
        assert!(json(commas.as_bytes()).is_ok());
    }
}
