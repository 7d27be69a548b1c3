//! Reading JSON by hand, so that a refusal names the member and never repeats what the caller sent.
//!
//! `path` is always the member's path for the refusal, such as `request.inputs[0]`.

use serde_json::{Map, Value};

use crate::request::InvalidRequest;

/// Parses a request body; a UTF-8 byte order mark is skipped.
///
/// # Errors
/// [`InvalidRequest`] with the place of the fault.
pub fn body(bytes: &[u8]) -> Result<Value, InvalidRequest> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(|error| {
        let problem = format!("is not valid JSON (line {} column {})", error.line(), error.column());
        InvalidRequest::new("request body", problem)
    })
}

/// The members of an object.
///
/// # Errors
/// [`InvalidRequest`] when the value is none.
pub fn object(value: Value, path: &str) -> Result<Map<String, Value>, InvalidRequest> {
    if let Value::Object(map) = value { Ok(map) } else { Err(InvalidRequest::new(path, "must be an object")) }
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
pub fn required(map: &mut Map<String, Value>, name: &str, path: &str) -> Result<Value, InvalidRequest> {
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
