//! Reads single members of JSON without parsing the rest.
//!
//! The scanner neither allocates nor recurses. It does not check what it skips: text that is not
//! JSON yields some members, or none.

use std::borrow::Cow;

/// How many places are tried where a member may be, since each costs a scan up to the end.
const MAX_TRIES: usize = 32;

/// Iterates over the members of the object that `json` is.
pub(crate) fn members(json: &[u8]) -> Members<'_> {
    Members(Items::new(json, b'{', b'}'))
}

/// Iterates over the members that follow another one, up to the end of their object.
pub(crate) fn further_members(json: &[u8]) -> Members<'_> {
    Members(Items {
        rest: json,
        close: b'}',
    })
}

/// Returns whether what follows a member is whole members, and a comma for one more.
pub(crate) fn are_members(json: &[u8]) -> bool {
    let mut members = further_members(json);
    while members.next().is_some() {}
    members.0.rest.trim_ascii() == b","
}

/// Returns how many objects a value is in, as far as the bytes after it show; `None` if it is in a
/// list.
pub(crate) fn enclosing_objects(after: &[u8]) -> Option<usize> {
    let mut enclosing = 0_usize;
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = after.get(at) {
        match byte {
            b'"' => match string_end(after, at) {
                Some(end) => {
                    at = end;
                    continue;
                }
                None => return Some(enclosing),
            },
            b'{' | b'[' => depth = depth.saturating_add(1),
            b']' if depth == 0 => return None,
            b'}' if depth == 0 => enclosing = enclosing.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at = at.saturating_add(1);
    }
    Some(enclosing)
}

/// Splits bytes after the value that they begin with; `None` if it has no end.
pub(crate) fn split_value(json: &[u8]) -> Option<(&[u8], &[u8])> {
    json.split_at_checked(value_end(json)?)
}

/// Iterates over the elements of the array that `json` is.
pub(crate) fn elements(json: &[u8]) -> Elements<'_> {
    Elements(Items::new(json, b'[', b']'))
}

/// Returns whether `json` is an object with its closing brace, and nothing after it.
pub(crate) fn is_whole_object(json: &[u8]) -> bool {
    let json = json.trim_ascii();
    json.starts_with(b"{") && value_end(json) == Some(json.len())
}

/// Returns the text of a JSON string; `None` if the value is not a string.
pub(crate) fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_some() {
        return serde_json::from_slice(value).ok().map(Cow::Owned);
    }
    std::str::from_utf8(inner).ok().map(Cow::Borrowed)
}

/// Returns the text of the top-level member `name` in an object of which only the end is known.
///
/// Text about such a member is not mistaken for it, since quotes inside of strings are escaped.
pub(crate) fn member_near_end<'a>(json: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    let quoted = format!("\"{name}\"");
    let json = json.trim_ascii_end();
    memchr::memmem::rfind_iter(json, quoted.as_bytes())
        .take(MAX_TRIES)
        .find_map(|at| {
            let after_name = json.get(at.saturating_add(quoted.len())..)?;
            let after_colon = after_name.trim_ascii_start().strip_prefix(b":")?;
            let value = after_colon.trim_ascii_start();
            let (value, rest) = value.split_at_checked(value_end(value)?)?;
            if closing_brace(rest)? == rest.len() {
                text(value)
            } else {
                None
            }
        })
}

/// Iterates over the members of an object: the quoted name and the value of each.
#[derive(Debug)]
pub(crate) struct Members<'a>(Items<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.0.value()?;
        self.0.rest = self.0.rest.trim_ascii_start().strip_prefix(b":")?;
        let value = self.0.value()?;
        Some((name, value))
    }
}

/// Iterates over the elements of an array.
#[derive(Debug)]
pub(crate) struct Elements<'a>(Items<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        self.0.value()
    }
}

/// Values up to a closing bracket, with commas between them.
#[derive(Debug)]
struct Items<'a> {
    rest: &'a [u8],
    close: u8,
}

impl<'a> Items<'a> {
    fn new(json: &'a [u8], open: u8, close: u8) -> Self {
        let rest = match json.trim_ascii_start().split_first() {
            Some((first, rest)) if *first == open => rest,
            Some(_) | None => &[],
        };
        Self { rest, close }
    }

    /// Takes the next value; `None` at the closing bracket, or where the JSON was cut.
    fn value(&mut self) -> Option<&'a [u8]> {
        let mut rest = self.rest.trim_ascii_start();
        if let Some(after_comma) = rest.strip_prefix(b",") {
            rest = after_comma.trim_ascii_start();
        }
        if rest.first() == Some(&self.close) {
            return None;
        }
        let (value, rest) = rest.split_at_checked(value_end(rest)?)?;
        self.rest = rest;
        Some(value)
    }
}

/// Returns where the value ends that the bytes begin with; `None` if it has no end.
fn value_end(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        b'"' => string_end(bytes, 0),
        b'{' | b'[' => closed_at(bytes, 0),
        _ => bytes
            .iter()
            .position(|byte| {
                byte.is_ascii_whitespace() || matches!(byte, b',' | b':' | b']' | b'}')
            })
            .filter(|length| *length > 0),
    }
}

/// Returns where the string ends whose opening quote is at `open`.
fn string_end(bytes: &[u8], open: usize) -> Option<usize> {
    let mut at = open.checked_add(1)?;
    loop {
        let found = memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        at = at.checked_add(found)?;
        match bytes.get(at)? {
            b'"' => return at.checked_add(1),
            _ => at = at.checked_add(2)?,
        }
    }
}

/// Returns where the object ends that these bytes are inside of.
fn closing_brace(bytes: &[u8]) -> Option<usize> {
    closed_at(bytes, 1)
}

/// Returns where all brackets are closed, of which `depth` are open at the beginning.
fn closed_at(bytes: &[u8], mut depth: usize) -> Option<usize> {
    let mut at = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth = depth.checked_add(1)?,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return at.checked_add(1);
                }
            }
            _ => {}
        }
        at = at.checked_add(1)?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn names(json: &str) -> Vec<String> {
        members(json.as_bytes())
            .filter_map(|(name, _)| text(name))
            .map(Cow::into_owned)
            .collect()
    }

    #[test]
    fn members_of_the_top_level_only_are_found() {
        let rows: [(&str, &[&str]); 9] = [
            (r#"{}"#, &[]),
            (
                r#" { "a" : {"b":"}","c":[1,{"d":2}]} , "e":"\"f\":" }"#,
                &["a", "e"],
            ),
            (r#"{"\u0061":1,"b\"":[],"c":-1e9}"#, &["a", "b\"", "c"]),
            (r#"{"a":null,"b":true"#, &["a"]),
            (r#"{"a":{"b":1"#, &[]),
            (r#"["a"]"#, &[]),
            ("", &[]),
            ("a", &[]),
            (r#"{"a"}"#, &[]),
        ];
        for (json, expected) in rows {
            assert_eq!(names(json), expected, "{json}");
        }
    }

    #[test]
    fn only_a_closed_object_is_whole() {
        let rows = [
            (r#"{"a":"}"}"#, true),
            (" {} ", true),
            (r#"{"a":"}""#, false),
            (r#"{"a":"}"#, false),
            ("{}{}", false),
            ("[]", false),
            ("", false),
        ];
        for (json, expected) in rows {
            assert_eq!(is_whole_object(json.as_bytes()), expected, "{json}");
        }
    }

    #[test]
    fn a_member_near_the_end_is_found_only_at_the_top_level() {
        let rows = [
            (r#"xx","type":"a"}"#, Some("a")),
            (r#"xx"}],"type" : "\u0061","u":{"type":"b"}} "#, Some("a")),
            (r#"xx","item":{"type":"a"}}"#, None),
            (r#"xx \"type\":\"a\""}"#, None),
            (r#"xx","type":"a""#, None),
            (r#"xx","type":1}"#, None),
        ];
        for (json, expected) in rows {
            let found = member_near_end(json.as_bytes(), "type");
            assert_eq!(found.as_deref(), expected, "{json}");
        }
    }

    /// Any JSON, with the characters in it that matter to the scanner.
    fn value() -> impl Strategy<Value = Value> {
        let string = || "[a{}\\[\\]\",:\\\\\u{e9}\n ]{0,6}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            string().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(string(), inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whole_values_are_read_as_a_parser_reads_them(value in value(), is_pretty: bool) {
            let json = json!({"a": value, "b": [value]});
            let bytes = if is_pretty {
                serde_json::to_vec_pretty(&json).unwrap()
            } else {
                serde_json::to_vec(&json).unwrap()
            };
            let mut object = Map::new();
            for (name, value) in members(&bytes) {
                let name = text(name).unwrap().into_owned();
                let value = if value.starts_with(b"[") {
                    elements(value).map(|one| serde_json::from_slice::<Value>(one).unwrap()).collect()
                } else {
                    serde_json::from_slice::<Value>(value).unwrap()
                };
                object.insert(name, value);
            }
            prop_assert_eq!(Value::Object(object), json);
            prop_assert!(is_whole_object(&bytes));
            prop_assert!(!is_whole_object(&bytes[..bytes.len() - 1]));
        }

        #[test]
        fn any_bytes_are_scanned_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let text = bytes.iter().map(|byte| b"{}[]\",:\\ a1"[usize::from(*byte) % 11]);
            let text: Vec<u8> = text.collect();
            for bytes in [bytes, text] {
                prop_assert!(members(&bytes).count() <= bytes.len());
                prop_assert!(elements(&bytes).count() <= bytes.len());
                let _found = (is_whole_object(&bytes), member_near_end(&bytes, "a"));
            }
        }
    }
}
