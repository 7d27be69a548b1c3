//! Hand-written readers for JSON whose errors name a member and never repeat its value.
//!
//! `path` is the path of the value in the request body, such as `request.inputs[0]`; errors carry
//! it.

mod halves;
mod lenient;

use serde_json::{Map, Value};

pub use self::halves::{HalfJoiner, Piece};
use crate::error::InvalidRequest;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

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
/// It accepts what JavaScript's `JSON.parse` accepts, and a UTF-8 byte order mark. What a [`Value`]
/// cannot hold is replaced: half of a character (a lone surrogate) by U+FFFD, a number out of range
/// by null, and what is nested over 120 levels deep by null.
///
/// # Errors
/// Returns the [`JsonFault`] that applies. It repeats nothing of the text.
pub fn json(bytes: &[u8]) -> Result<Value, JsonFault> {
    Ok(piece(bytes)?.into_value())
}

/// Parses a JSON text as [`json`] does, but keeps halves of characters, so that they can be joined
/// with those in the next piece of a stream.
///
/// # Errors
/// As [`json`].
pub fn piece(bytes: &[u8]) -> Result<Piece, JsonFault> {
    let (piece, _) = parse(bytes)?;
    Ok(piece)
}

/// Parses a JSON text; returns also whether anything was nested too deeply to be kept.
fn parse(bytes: &[u8]) -> Result<(Piece, bool), JsonFault> {
    check_value_count(bytes)?;
    let text = without_mark(bytes);
    let error = match serde_json::from_slice(text) {
        Ok(value) => {
            let has_halves = false;
            return Ok((Piece { value, has_halves }, false));
        }
        Err(error) => error,
    };
    let Some(parsed) = lenient::parse(text) else {
        return Err(JsonFault::Syntax {
            line: error.line(),
            column: error.column(),
        });
    };
    let piece = Piece {
        value: parsed.value,
        has_halves: parsed.has_halves,
    };
    Ok((piece, parsed.is_too_deep))
}

/// Returns a text without its byte order mark.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
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

/// Parses a request body as [`json`] does, except that nothing may be nested too deeply: services
/// would get less than was sent.
///
/// # Errors
/// Returns [`InvalidRequest`] with the line and column of the fault.
pub fn body(bytes: &[u8]) -> Result<Value, InvalidRequest> {
    match parse(bytes) {
        Ok((piece, false)) => Ok(piece.into_value()),
        Ok((_, true)) => Err(InvalidRequest::new(
            "request body",
            "is nested too deeply (over 120 levels)",
        )),
        Err(fault) => Err(InvalidRequest::new("request body", fault.to_string())),
    }
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

    #[test]
    fn accepts_what_javascript_accepts() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        let rows: [(&str, &str); 6] = [
            (r#"["\ud83d"]"#, "[\"\u{fffd}\"]"),
            (
                r#"["\ude42\ud83d\ud83d\ude42"]"#,
                "[\"\u{fffd}\u{fffd}\u{1f642}\"]",
            ),
            (r#"{"\ud83d": 1e999}"#, "{\"\u{fffd}\":null}"),
            ("\u{feff}[1]", "[1]"),
            (
                "[\"\\ud83d\\u0041\\udc00x\", \"\u{10ffff}\"]",
                "[\"\u{fffd}A\u{fffd}x\",\"\u{10ffff}\"]",
            ),
            (
                r#"["\ud83d", "\udbff\udfff"]"#,
                "[\"\u{fffd}\",\"\u{10ffff}\"]",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(
                json(text.as_bytes()).unwrap().to_string(),
                expected,
                "{text}"
            );
        }
        assert!(json(deep.as_bytes()).is_ok());
        assert!(body(deep.as_bytes()).is_err());
        for text in [
            "[\"\\ud83\"]",
            "[1e]",
            "\u{feff}\u{feff}[1]",
            "[1e999]]",
            "",
        ] {
            let fault = json(text.as_bytes());
            assert!(matches!(fault, Err(JsonFault::Syntax { .. })), "{text}");
        }
    }

    #[test]
    fn halves_of_a_character_in_two_pieces_are_joined() {
        let rows: [(&[&str], &str); 5] = [
            (&["a\\ud83d", "\\ude42b"], "a\u{1f642}b"),
            (&["\\ud83d", "", "\\ude42"], "\u{1f642}"),
            (&["\\ud83d", "x"], "\u{fffd}x"),
            (&["\\ude42", "\\ud83d"], "\u{fffd}\u{fffd}"),
            (&["\\ud83d", "\\ud83d", "\\ude42"], "\u{fffd}\u{1f642}"),
        ];
        for (pieces, expected) in rows {
            let mut joiner = HalfJoiner::default();
            let mut text = String::new();
            for json in pieces {
                let piece = piece(format!("\"{json}\"").as_bytes()).unwrap();
                let part = piece.value().as_str().unwrap();
                text.push_str(&piece.join(&mut joiner, part.into()));
            }
            text.extend(joiner.end());
            assert_eq!(text, expected, "{pieces:?}");
        }
    }
}
