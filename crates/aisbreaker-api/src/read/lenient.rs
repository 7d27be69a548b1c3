//! Parses what JavaScript's `JSON.parse` accepts and `serde_json` does not: halves of characters
//! (lone surrogates), numbers that no `f64` can hold, and nesting of any depth.
//!
//! The parser keeps its own stack, so no input can overflow the thread's. It serves texts that
//! `serde_json` has refused.
//!
//! Source: RFC 8259; ECMA-262, `JSON.parse`.

use serde_json::{Map, Value};

use super::halves;

/// Containers nested deeper than this are replaced by null, since most parsers refuse more than 128
/// levels, and callers put the value into another one.
const MAX_DEPTH: usize = 120;

/// A parsed text.
pub(super) struct Parsed {
    pub(super) value: Value,
    /// Whether the strings have halves of characters, in the form of [`halves`].
    pub(super) has_halves: bool,
    /// Whether anything was nested too deeply, and is null now.
    pub(super) is_too_deep: bool,
}

/// Parses a text; `None` if it is not JSON.
pub(super) fn parse(bytes: &[u8]) -> Option<Parsed> {
    let mut parser = Parser {
        text: std::str::from_utf8(bytes).ok()?,
        at: 0,
        open: Vec::new(),
        has_halves: false,
        is_too_deep: false,
    };
    let value = parser.parse()?;
    Some(Parsed {
        value,
        has_halves: parser.has_halves,
        is_too_deep: parser.is_too_deep,
    })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// The containers around the next value, outermost first.
    open: Vec<Open>,
    has_halves: bool,
    is_too_deep: bool,
}

/// A container whose end has not come.
enum Open {
    Array(Vec<Value>),
    /// With the name of the next member.
    Object(Map<String, Value>, String),
    /// Too deep: only its syntax is checked.
    SkippedArray,
    SkippedObject,
}

impl Open {
    fn add(&mut self, value: Value) {
        match self {
            Self::Array(values) => values.push(value),
            Self::Object(members, name) => {
                members.insert(std::mem::take(name), value);
            }
            Self::SkippedArray | Self::SkippedObject => {}
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Array(values) => Value::Array(values),
            Self::Object(members, _) => Value::Object(members),
            Self::SkippedArray | Self::SkippedObject => Value::Null,
        }
    }

    fn is_object(&self) -> bool {
        matches!(self, Self::Object(..) | Self::SkippedObject)
    }
}

impl Parser<'_> {
    fn parse(&mut self) -> Option<Value> {
        loop {
            let Some(mut value) = self.begin_value()? else {
                continue;
            };
            while let Some(container) = self.open.last_mut() {
                container.add(value);
                match self.next_token()? {
                    b',' => {
                        self.read_name()?;
                        value = Value::Null;
                        break;
                    }
                    end => value = self.close(end)?,
                }
            }
            if self.open.is_empty() {
                self.skip_blanks();
                return (self.at == self.text.len()).then_some(value);
            }
        }
    }

    /// Reads a scalar or an empty container, or opens a container (`Some(None)`).
    fn begin_value(&mut self) -> Option<Option<Value>> {
        let first = self.next_token()?;
        match first {
            b'{' | b'[' => self.begin_container(first == b'{'),
            b'"' => self.string().map(|text| Some(Value::String(text))),
            b't' => self.literal("rue", Value::Bool(true)),
            b'f' => self.literal("alse", Value::Bool(false)),
            b'n' => self.literal("ull", Value::Null),
            b'-' | b'0'..=b'9' => {
                self.at -= 1;
                self.number().map(Some)
            }
            _ => None,
        }
    }

    fn begin_container(&mut self, is_object: bool) -> Option<Option<Value>> {
        let is_too_deep = self.open.len() >= MAX_DEPTH;
        self.is_too_deep |= is_too_deep;
        self.open.push(match (is_too_deep, is_object) {
            (false, true) => Open::Object(Map::new(), String::new()),
            (false, false) => Open::Array(Vec::new()),
            (true, true) => Open::SkippedObject,
            (true, false) => Open::SkippedArray,
        });
        self.skip_blanks();
        match self.peek() {
            Some(end @ (b'}' | b']')) => {
                self.at += 1;
                self.close(end).map(Some)
            }
            _ => {
                self.read_name()?;
                Some(None)
            }
        }
    }

    /// Closes the innermost container, which must end with this bracket.
    fn close(&mut self, end: u8) -> Option<Value> {
        let container = self.open.pop()?;
        let expected = if container.is_object() { b'}' } else { b']' };
        (end == expected).then(|| container.into_value())
    }

    /// Reads the name of the next member if the innermost container is an object.
    fn read_name(&mut self) -> Option<()> {
        if !self.open.last()?.is_object() {
            return Some(());
        }
        if self.next_token()? != b'"' {
            return None;
        }
        let text = self.string()?;
        if let Some(Open::Object(_, name)) = self.open.last_mut() {
            *name = text;
        }
        (self.next_token()? == b':').then_some(())
    }

    fn literal(&mut self, rest: &str, value: Value) -> Option<Option<Value>> {
        let found = self.rest().starts_with(rest);
        self.at += rest.len();
        found.then_some(Some(value))
    }

    /// Reads a number. One that is out of range is null, which is what JavaScript writes for its
    /// infinity.
    fn number(&mut self) -> Option<Value> {
        let start = self.at;
        self.skip_byte(b"-");
        if !self.skip_byte(b"0") && self.skip_digits() == 0 {
            return None;
        }
        if self.skip_byte(b".") && self.skip_digits() == 0 {
            return None;
        }
        if self.skip_byte(b"eE") {
            self.skip_byte(b"+-");
            if self.skip_digits() == 0 {
                return None;
            }
        }
        let number = self.text.get(start..self.at)?;
        Some(serde_json::from_str(number).unwrap_or_default())
    }

    /// Reads a string behind its first quote.
    fn string(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let mut chars = rest.char_indices();
            let (length, last) = chars.find(|(_, c)| matches!(c, '"' | '\\' | '\0'..='\x1f'))?;
            self.has_halves |= halves::push_text(&mut text, &rest[..length]);
            self.at += length + 1;
            match last {
                '"' => return Some(text),
                '\\' => self.escape(&mut text)?,
                _ => return None,
            }
        }
    }

    /// Reads an escape behind its backslash.
    fn escape(&mut self, text: &mut String) -> Option<()> {
        let kind = self.peek()?;
        self.at += 1;
        let simple = match kind {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\x08',
            b'f' => '\x0c',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.code_unit()?;
                self.push_code_unit(text, unit);
                return Some(());
            }
            _ => return None,
        };
        text.push(simple);
        Some(())
    }

    fn push_code_unit(&mut self, text: &mut String, unit: u16) {
        let before = self.at;
        let is_escape = self.rest().starts_with("\\u");
        if halves::is_high(unit) && is_escape {
            self.at += 2;
            if let Some(low) = self.code_unit().filter(|low| halves::is_low(*low)) {
                let pair = char::decode_utf16([unit, low]).next();
                if let Some(Ok(c)) = pair {
                    self.has_halves |= halves::push_char(text, c);
                    return;
                }
            }
            // What follows is no second half, and is read again.
            self.at = before;
        }
        match char::from_u32(u32::from(unit)) {
            Some(c) => text.push(c),
            None => {
                self.has_halves = true;
                halves::push_half(text, unit);
            }
        }
    }

    fn code_unit(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at.checked_add(4)?)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u16::from_str_radix(digits, 16).ok()
    }

    /// Skips blanks, and takes the byte behind them.
    fn next_token(&mut self) -> Option<u8> {
        self.skip_blanks();
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn skip_blanks(&mut self) {
        while self.skip_byte(b" \t\r\n") {}
    }

    fn skip_digits(&mut self) -> usize {
        let start = self.at;
        while self.skip_byte(b"0123456789") {}
        self.at - start
    }

    /// Skips the next byte if it is one of these.
    fn skip_byte(&mut self, any_of: &[u8]) -> bool {
        let is_found = self.peek().is_some_and(|byte| any_of.contains(&byte));
        self.at += usize::from(is_found);
        is_found
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Returns the text that is not read yet; empty inside of a character, which is an error then.
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value(text: &str) -> Option<Value> {
        Some(parse(text.as_bytes())?.value)
    }

    #[test]
    fn numbers_out_of_range_are_null() {
        let expected = json!([null, null, 0.0, 1.5, -1]);
        assert_eq!(value("[1e999, -1e999, 1e-999, 1.5, -1]"), Some(expected));
    }

    #[test]
    fn deep_nesting_is_checked_and_replaced_by_null() {
        let nested = |depth: usize, inner: &str| {
            format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth))
        };
        let parsed = parse(nested(100_000, r#"{"a":{}}"#).as_bytes()).unwrap();
        let kept: Value = serde_json::from_str(&nested(MAX_DEPTH, "null")).unwrap();
        assert!(parsed.is_too_deep);
        assert_eq!(parsed.value, kept);
        assert_eq!(value(&nested(100_000, r#"{"a":}"#)), None);
        assert_eq!(value(&"[".repeat(100_000)), None);
        assert!(
            !parse(nested(MAX_DEPTH, "1").as_bytes())
                .unwrap()
                .is_too_deep
        );
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_ordinary_texts(
            tokens in prop::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"a\"", "\"\\u00e9\\n\"", "1", "-0.5e3", "true", "null",
                " ", "\"", "\\", "01", "\"\\ud83d\\ude42\"", "é", "\t", "\"\t\"", "1.", "-",
            ]), 0..12),
        ) {
            let text = tokens.concat();
            prop_assert_eq!(value(&text), serde_json::from_str(&text).ok(), "{}", text);
        }
    }
}
