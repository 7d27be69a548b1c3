//! Finds the usage object of an answer, and the tier beside it.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::Value;

use super::tier::ServiceTier;
use crate::json_scan;

/// Where answers and events have their usage object: at the top, in the `response` or `message` of
/// an event, or in Groq's `x_groq`.
const PARENTS: [&str; 4] = ["", "/response", "/message", "/x_groq"];
/// The members of an answer that [`usage_of`] reads.
pub(crate) const MEMBERS_WITH_USAGE: [&str; 5] =
    ["usage", "service_tier", "response", "message", "x_groq"];
/// How many objects it is in at most.
const MAX_DEPTH: usize = 2;

/// Returns the usage object of an answer or an event, and the tier beside it.
pub(super) fn usage_of(answer: &Value) -> Option<(&Value, Option<ServiceTier>)> {
    let parents = PARENTS.iter().filter_map(|path| answer.pointer(path));
    parents
        .filter_map(|parent| Some((parent, parent.get("usage")?)))
        .find(|(_, usage)| usage.is_object())
        .map(|(parent, usage)| {
            let tier = parent.get("service_tier").and_then(Value::as_str);
            (usage, tier.and_then(ServiceTier::of_name))
        })
}

/// How many candidates for a member are tried, since each of them is scanned up to its end.
const MAX_TRIES: usize = 32;

const USAGE: &[u8] = b"\"usage\"";
const TIER: &[u8] = b"\"service_tier\"";

/// A usage object in JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located<'a> {
    before: &'a [u8],
    usage: &'a [u8],
    after: &'a [u8],
}

/// Finds the last usage object in JSON, of which only the end may be known, without parsing the
/// rest.
///
/// Text about usage is not mistaken for it, since quotes inside of strings are escaped; nor is an
/// object in a list or deep inside, such as the arguments of a tool call or a schema, which a client
/// can have written.
pub(super) fn last_usage(json: &[u8]) -> Option<Located<'_>> {
    names_from_end(json).take(MAX_TRIES).find_map(|at| {
        let (before, rest) = json.split_at_checked(at)?;
        let (usage, after) = value_after(rest, USAGE)?;
        let depth = json_scan::enclosing_objects(after);
        let is_usage = usage.starts_with(b"{") && depth.is_some_and(|depth| depth <= MAX_DEPTH);
        is_usage.then_some(Located {
            before,
            usage,
            after,
        })
    })
}

/// Returns where [`USAGE`] is, the last place first. Its `g` is rarer than its other bytes.
fn names_from_end(json: &[u8]) -> impl Iterator<Item = usize> {
    const BEFORE_G: usize = 4;
    memchr::memrchr_iter(b'g', json).filter_map(|g| {
        let start = g.checked_sub(BEFORE_G)?;
        json.get(start..)?.starts_with(USAGE).then_some(start)
    })
}

/// Finds the usage object that is a member of JSON, of which only the beginning may be known, and the
/// tier beside it.
pub(super) fn first_usage(json: &[u8]) -> Option<(&[u8], Option<ServiceTier>)> {
    let (mut usage, mut tier) = (None, None);
    for (name, value) in json_scan::members(json) {
        if name == USAGE && value.starts_with(b"{") {
            usage = Some(value);
        } else if name == TIER {
            tier = json_scan::text(value).and_then(|name| ServiceTier::of_name(&name));
        }
    }
    Some((usage?, tier))
}

/// Returns the value of the member that `json` begins with, and what is after it.
fn value_after<'a>(json: &'a [u8], name: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let after_name = json.strip_prefix(name)?;
    let after_colon = after_name.trim_ascii_start().strip_prefix(b":")?;
    json_scan::split_value(after_colon.trim_ascii_start())
}

impl<'a> Located<'a> {
    /// Returns the usage object.
    pub(super) fn usage(self) -> &'a [u8] {
        self.usage
    }

    /// Returns the tier beside the usage object.
    pub(super) fn tier(self) -> Option<ServiceTier> {
        let name = match json_scan::further_members(self.after).find(|(name, _)| *name == TIER) {
            Some((_, value)) => json_scan::text(value)?,
            None => json_scan::text(self.tier_before()?)?,
        };
        ServiceTier::of_name(&name)
    }

    fn tier_before(self) -> Option<&'a [u8]> {
        static FIRST: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(TIER));
        FIRST.find_iter(self.before).take(MAX_TRIES).find_map(|at| {
            let (value, between) = value_after(self.before.get(at..)?, TIER)?;
            // A member of another object is not beside the usage.
            (value.starts_with(b"\"") && json_scan::are_members(between)).then_some(value)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns the member `n` of the last usage object.
    fn last(json: &[u8]) -> Option<u64> {
        let usage: Value = serde_json::from_slice(last_usage(json)?.usage()).unwrap();
        usage["n"].as_u64()
    }

    #[test]
    fn the_name_is_found_wherever_it_is() {
        let texts = [
            "",
            "g",
            "age\"",
            "\"usage",
            "usage\"",
            "\"usage\"",
            "\"usage\":1,\"usages\":2,\"usage\"",
            "gg\"usag\"\"usage\"g",
        ];
        for text in texts {
            let name = str::from_utf8(USAGE).unwrap();
            let expected: Vec<usize> = text.rmatch_indices(name).map(|(at, _)| at).collect();
            let found: Vec<usize> = names_from_end(text.as_bytes()).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn only_so_many_candidates_for_a_usage_object_are_tried() {
        let tried = |count| {
            last(
                format!(
                    r#"{{"usage":{{"n":1}},{}"#,
                    r#""usage":{"n":"#.repeat(count)
                )
                .as_bytes(),
            )
        };
        assert_eq!(tried(MAX_TRIES - 1), Some(1));
        assert_eq!(tried(MAX_TRIES), None);
    }

    #[test]
    fn finds_the_last_usage_at_the_end_of_an_answer() {
        let rows: [(&[u8], Option<u64>); 13] = [
            (
                br#"{"response":{"text":{"format":{"schema":{"usage":{"n":1}}}},"usage":null}}"#,
                None,
            ),
            (
                br#"{"response":{"usage":{"n":7},"text":{"format":{"schema":{"usage":{"n":1}}}}}}"#,
                Some(7),
            ),
            (br#"{"usage":{"n":1}}"#, Some(1)),
            (
                br#"{"a":{"usage":{"n":1}},"usage" : {"n":2},"x":[]}"#,
                Some(2),
            ),
            (br#"cut off"}],"usage":{"n":3}}"#, Some(3)),
            (
                br#"{"usage":{"n":4},"text":"my \"usage\":{\"n\":9}"}"#,
                Some(4),
            ),
            (br#"{"usage":{"n":5},"other":{"usage":null}}"#, Some(5)),
            (
                br#"{"usage":{"n":6},"content":[{"input":{"usage":{"n":1}}}],"a":["]"]}"#,
                Some(6),
            ),
            (br#"{"content":[{"usage":{"n":1}}]}"#, None),
            (br#"{"usage":null}"#, None),
            (br#"{"usage":{"n":"#, None),
            (br#"{"usage"#, None),
            (b"", None),
        ];
        for (json, expected) in rows {
            assert_eq!(last(json), expected, "{}", String::from_utf8_lossy(json));
        }
    }

    #[test]
    fn the_tier_is_inside_or_beside_the_usage() {
        const PRIORITY: Option<ServiceTier> = Some(ServiceTier::Priority);
        let rows = [
            (
                json!({"usage": {"n": 1}, "service_tier": "priority"}),
                PRIORITY,
            ),
            (
                json!({"service_tier": "priority", "usage": {"n": 1}}),
                PRIORITY,
            ),
            (
                json!({"a": [{"service_tier": "flex"}], "service_tier": "priority", "b": ["\"}{"], "usage": {}}),
                PRIORITY,
            ),
            (
                json!({"type": "x", "response": {"service_tier": "priority", "tools": [], "usage": {}}}),
                PRIORITY,
            ),
            (
                json!({"message": {"usage": {"service_tier": "priority"}}, "service_tier": "flex"}),
                None,
            ),
            (
                json!({"service_tier": "flex", "response": {"usage": {"n": 1}}}),
                None,
            ),
            (
                json!({"response": {"usage": {"n": 1}}, "service_tier": "flex"}),
                None,
            ),
            (
                json!({"metadata": {"service_tier": "flex"}, "usage": {"n": 1}}),
                None,
            ),
            (
                json!({"usage": {"n": 1}, "metadata": {"service_tier": "flex"}}),
                None,
            ),
            (
                json!({"text": "\"service_tier\":\"flex\"", "usage": {"n": 1}}),
                None,
            ),
            (json!({"service_tier": null, "usage": {}}), None),
            (json!({"service_tier": "auto", "usage": {}}), None),
            (json!({"usage": {}, "service_tier": null}), None),
            (json!({"usage": {}}), None),
        ];
        for (answer, expected) in rows {
            let (_, of_value) = usage_of(&answer).unwrap();
            assert_eq!(of_value, expected, "{answer}");
            for json in [answer.to_string(), format!("{answer:#}")] {
                let located = last_usage(json.as_bytes()).unwrap();
                assert_eq!(located.tier(), expected, "{json}");
            }
        }
    }

    #[test]
    fn the_usage_at_the_beginning_of_an_answer_is_a_member_of_it() {
        type Row = (&'static [u8], Option<(u64, Option<ServiceTier>)>);
        let rows: [Row; 6] = [
            (
                br#"{"usage":{"n":1},"content":[{"usage":{"n":2}}, "cut off"#,
                Some((1, None)),
            ),
            (
                br#"{"usage":{"n":1},"service_tier":"flex","content":["cut off"#,
                Some((1, Some(ServiceTier::Flex))),
            ),
            (
                br#"{"service_tier":"flex","usage":{"n":1}}"#,
                Some((1, Some(ServiceTier::Flex))),
            ),
            (br#"{"content":[{"usage":{"n":2}}, "cut off"#, None),
            (br#"{"content":{"usage":{"n":2}}}"#, None),
            (br#"{"usage":{"n":2"#, None),
        ];
        for (json, expected) in rows {
            let found = first_usage(json).map(|(usage, tier)| {
                let usage: Value = serde_json::from_slice(usage).unwrap();
                (usage["n"].as_u64().unwrap(), tier)
            });
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(json));
        }
    }

    #[test]
    fn the_tier_is_found_though_the_beginning_is_cut_off() {
        let json = br#"cut \" off"}],"service_tier":"flex","a":{},"usage":{"n":1},"b":2}"#;
        assert_eq!(last_usage(json).unwrap().tier(), Some(ServiceTier::Flex));
    }
}
