//! Hand-written readers for JSON whose errors name a member and never repeat its value.
//!
//! `path` is the path of the value in the request body, such as `request.inputs[0]`; errors carry
//! it.

use serde_json::{Map, Value};

use crate::error::InvalidRequest;

/// How many values a JSON text may hold.
///
/// A parsed value takes up to a hundred times the memory of its text, so 30 MB of tiny values could
/// take gigabytes. Genuine requests of that size consist of long strings.
const MAX_VALUES: usize = 200_000;

/// Why a text is refused as JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonFault {
    /// The text is not valid JSON.
    #[error("is not valid JSON (line {line} column {column})")]
    Syntax {
        /// The line of the fault, counted from 1.
        line: usize,
        /// The column of the fault, counted from 1.
        column: usize,
    },
    /// The text holds more than 200 000 values.
    #[error("holds more than {MAX_VALUES} values")]
    TooManyValues,
}

/// Parses a JSON text, using memory bounded by a small multiple of its length.
///
/// # Errors
/// Returns the [`JsonFault`] that applies. It repeats nothing of the text.
pub fn json(bytes: &[u8]) -> Result<Value, JsonFault> {
    check_value_count(bytes)?;
    serde_json::from_slice(bytes).map_err(|error| JsonFault::Syntax {
        line: error.line(),
        column: error.column(),
    })
}

/// Checks that a JSON text holds at most 200 000 values, without parsing it.
///
/// # Errors
/// Returns [`JsonFault::TooManyValues`] if it may hold more.
pub fn check_value_count(bytes: &[u8]) -> Result<(), JsonFault> {
    // Every value takes at least one byte.
    if bytes.len() <= MAX_VALUES || max_value_count(bytes) <= MAX_VALUES {
        Ok(())
    } else {
        Err(JsonFault::TooManyValues)
    }
}

/// Parses a request body, skipping a UTF-8 byte order mark.
///
/// # Errors
/// Returns [`InvalidRequest`] with the line and column of the fault.
pub fn body(bytes: &[u8]) -> Result<Value, InvalidRequest> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    json(text).map_err(|fault| InvalidRequest::new("request body", fault.to_string()))
}

/// Returns an upper bound for the number of values in a JSON text: one, plus the commas and opening
/// brackets outside of strings.
fn max_value_count(bytes: &[u8]) -> usize {
    let (mut in_string, mut is_escaped, mut count) = (false, false, 1_usize);
    for byte in bytes {
        match (in_string, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b',' | b'[' | b'{') => count = count.saturating_add(1),
            _ => {}
        }
    }
    count
}

/// Returns the members of an object.
///
/// # Errors
/// Returns [`InvalidRequest`] if the value is not an object.
pub fn object(value: Value, path: &str) -> Result<Map<String, Value>, InvalidRequest> {
    if let Value::Object(map) = value {
        Ok(map)
    } else {
        Err(InvalidRequest::new(path, "must be an object"))
    }
}

/// Returns the entries of a list.
///
/// # Errors
/// Returns [`InvalidRequest`] if the value is not a list.
pub fn list(value: Value, path: &str) -> Result<Vec<Value>, InvalidRequest> {
    if let Value::Array(values) = value {
        Ok(values)
    } else {
        Err(InvalidRequest::new(path, "must be a list"))
    }
}

/// Returns the text of a string.
///
/// # Errors
/// Returns [`InvalidRequest`] if the value is not a string.
pub fn string(value: Value, path: &str) -> Result<String, InvalidRequest> {
    if let Value::String(text) = value {
        Ok(text)
    } else {
        Err(InvalidRequest::new(path, "must be a string"))
    }
}

/// Takes an optional member out of `map`. A member that is `null` counts as absent.
pub fn take(map: &mut Map<String, Value>, name: &str) -> Option<Value> {
    map.remove(name).filter(|value| !value.is_null())
}

/// Takes a required member out of `map`.
///
/// # Errors
/// Returns [`InvalidRequest`] if the member is absent or `null`.
pub fn required(
    map: &mut Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Value, InvalidRequest> {
    match take(map, name) {
        Some(value) => Ok(value),
        None => Err(InvalidRequest::new(path, "is missing")),
    }
}

/// Returns whether the value is truthy in JavaScript.
pub(crate) fn is_truthy(value: Option<&Value>) -> bool {
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
    fn refuses_too_many_values_but_not_long_strings() {
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
