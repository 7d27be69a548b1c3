//! How many tokens an answer took: every provider tells it, and each by a rule of its own.

use std::{ops::ControlFlow, sync::LazyLock};

use aisbreaker_api::Usage;
use memchr::memmem::FinderRev;
use serde::Deserialize;
use serde_json::Value;

/// How many tokens an answer took, as far as its provider tells.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Tokens {
    /// Tokens that were read, those out of a cache included.
    pub input: Option<u64>,
    /// Tokens that were written, those of reasoning included.
    pub output: Option<u64>,
    /// How many of those read came out of a cache.
    pub cached: Option<u64>,
    /// How many of those written were reasoning.
    pub reasoning: Option<u64>,
}

impl Tokens {
    /// What an answer of our own API tells.
    #[must_use]
    pub fn of(usage: &Usage) -> Self {
        Self {
            input: usage.input_tokens,
            output: usage.output_tokens,
            ..Self::default()
        }
    }

    /// All tokens together, if those read or those written are known.
    #[must_use]
    pub fn total(self) -> Option<u64> {
        match (self.input, self.output) {
            (None, None) => None,
            (input, output) => Some(
                input
                    .unwrap_or_default()
                    .saturating_add(output.unwrap_or_default()),
            ),
        }
    }

    /// These counts, and where one is not told, the earlier one: a stream tells counts as they
    /// grow.
    #[must_use]
    pub fn or(self, earlier: Self) -> Self {
        Self {
            input: self.input.or(earlier.input),
            output: self.output.or(earlier.output),
            cached: self.cached.or(earlier.cached),
            reasoning: self.reasoning.or(earlier.reasoning),
        }
    }
}

/// Reads [`Tokens`] out of what a provider calls its usage.
///
/// Each count is a list of alternatives, of which the first that is there counts. An alternative is
/// a member, or a sum of several
/// (`"completion_tokens + completion_tokens_details.reasoning_tokens"`): the first must be there,
/// the others are added if they are. Behind ` - ` stands what is subtracted
/// (`"total_tokens - prompt_tokens"`): it must be there, and not be more than the rest. A dot goes
/// one object deeper.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct UsageRule {
    /// See [`Tokens::input`].
    #[serde(default)]
    input: Count,
    /// See [`Tokens::output`].
    #[serde(default)]
    output: Count,
    /// See [`Tokens::cached`].
    #[serde(default)]
    cached: Count,
    /// See [`Tokens::reasoning`].
    #[serde(default)]
    reasoning: Count,
}

impl UsageRule {
    /// Reads the counts of a usage object; of anything else none.
    #[must_use]
    pub fn read(&self, usage: &Value) -> Tokens {
        Tokens {
            input: self.input.of(usage),
            output: self.output.of(usage),
            cached: self.cached.of(usage),
            reasoning: self.reasoning.of(usage),
        }
    }
}

/// Alternatives, each of them a sum of members.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(from = "Vec<String>")]
struct Count(Vec<Sum>);

/// The first member, what is added to it where it is there, and what is subtracted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Sum {
    first: Path,
    added: Vec<Path>,
    subtracted: Vec<Path>,
}

/// The names that lead to a member.
type Path = Vec<String>;

impl From<Vec<String>> for Count {
    fn from(alternatives: Vec<String>) -> Self {
        Self(alternatives.iter().map(|text| Sum::parse(text)).collect())
    }
}

impl Count {
    fn of(&self, usage: &Value) -> Option<u64> {
        self.0.iter().find_map(|sum| sum.of(usage))
    }
}

impl Sum {
    fn parse(text: &str) -> Self {
        let path = |text: &str| text.trim().split('.').map(str::to_owned).collect();
        let mut sum = Self::default();
        for (position, terms) in text.split('+').enumerate() {
            let mut terms = terms.split(" - ").map(path);
            match (position, terms.next()) {
                (0, first) => sum.first = first.unwrap_or_default(),
                (_, added) => sum.added.extend(added),
            }
            sum.subtracted.extend(terms);
        }
        sum
    }

    fn of(&self, usage: &Value) -> Option<u64> {
        let first = number(usage, &self.first)?;
        let added = self.added.iter().filter_map(|path| number(usage, path));
        let sum = added.fold(first, u64::saturating_add);
        self.subtracted
            .iter()
            .try_fold(sum, |rest, path| rest.checked_sub(number(usage, path)?))
    }
}

fn number(usage: &Value, path: &Path) -> Option<u64> {
    path.iter()
        .try_fold(usage, |value, name| value.get(name))?
        .as_u64()
}

/// The member of an answer that tells its usage, wherever it is: `usage`, or in an event the
/// `usage` of its `response` or `message`, or of Groq's `x_groq`.
pub(crate) fn usage_of(answer: &Value) -> Option<&Value> {
    let places = [
        "/usage",
        "/response/usage",
        "/message/usage",
        "/x_groq/usage",
    ];
    places
        .iter()
        .find_map(|place| answer.pointer(place).filter(|usage| usage.is_object()))
}

/// How many of what could be a usage object are tried, since each of them is read until something
/// is wrong with it.
const MAX_TRIES: usize = 32;

const NAME: &[u8] = b"\"usage\"";

/// Finds the last usage object in JSON of which perhaps only the end is known, without reading the
/// rest.
///
/// A text in which somebody writes of usage is none: its quotes are escaped.
#[must_use]
pub fn last_usage(json: &[u8]) -> Option<Value> {
    static LAST: LazyLock<FinderRev<'static>> = LazyLock::new(|| FinderRev::new(NAME));
    let found = LAST.rfind_iter(json).take(MAX_TRIES).try_for_each(|at| {
        let behind = json
            .get(at.saturating_add(NAME.len())..)
            .unwrap_or_default();
        match object_behind_colon(behind) {
            Some(usage) => ControlFlow::Break(usage),
            None => ControlFlow::Continue(()),
        }
    });
    found.break_value()
}

fn object_behind_colon(json: &[u8]) -> Option<Value> {
    let value = json
        .trim_ascii_start()
        .strip_prefix(b":")?
        .trim_ascii_start();
    if !value.starts_with(b"{") {
        return None;
    }
    serde_json::Deserializer::from_slice(value)
        .into_iter()
        .next()?
        .ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(text: &str) -> UsageRule {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_count_is_the_first_alternative_that_is_there_and_a_sum_what_is_there_of_it() {
        let rule = rule("input = [\"a\", \"b.c + d\"]\noutput = [\"e + f\"]");
        let rows = [
            (json!({"a": 1, "b": {"c": 2}, "d": 4}), Some(1), None),
            (json!({"b": {"c": 2}, "d": 4}), Some(6), None),
            (json!({"b": {"c": 2}}), Some(2), None),
            (json!({"d": 4, "e": 8, "f": null}), None, Some(8)),
            (json!({"e": 8, "f": 16}), None, Some(24)),
            (json!({"f": 16}), None, None),
            (json!({"a": -1, "e": "8"}), None, None),
            (json!({"e": u64::MAX, "f": 1}), None, Some(u64::MAX)),
            (json!(null), None, None),
        ];
        for (usage, input, output) in rows {
            let tokens = rule.read(&usage);
            assert_eq!(
                (tokens.input, tokens.output, tokens.cached),
                (input, output, None),
                "{usage}"
            );
        }
    }

    #[test]
    fn what_is_subtracted_must_be_there_and_not_be_more() {
        let rule = rule("output = [\"all - read - x.y + more\", \"written\"]");
        let rows = [
            (json!({"all": 9, "read": 2, "x": {"y": 1}}), Some(6)),
            (
                json!({"all": 9, "read": 2, "x": {"y": 1}, "more": 4}),
                Some(10),
            ),
            (json!({"all": 9, "read": 8, "x": {"y": 1}}), Some(0)),
            (
                json!({"all": 9, "read": 9, "x": {"y": 1}, "written": 3}),
                Some(3),
            ),
            (json!({"all": 9, "read": 2, "written": 3}), Some(3)),
            (json!({"all": 9, "x": {"y": 1}}), None),
            (json!({"read": 2, "x": {"y": 1}, "more": 4}), None),
        ];
        for (usage, expected) in rows {
            assert_eq!(rule.read(&usage).output, expected, "{usage}");
        }
    }

    #[test]
    fn what_is_made_to_look_like_usage_is_not_tried_again_and_again() {
        let tried = |count| {
            last_usage(
                format!(
                    r#"{{"usage":{{"n":1}},{}"#,
                    r#""usage":{"n":"#.repeat(count)
                )
                .as_bytes(),
            )
        };
        assert_eq!(tried(MAX_TRIES - 1), Some(json!({"n": 1})));
        assert_eq!(tried(MAX_TRIES), None);
    }

    #[test]
    fn the_last_usage_is_found_in_the_end_of_an_answer() {
        let rows: [(&[u8], Option<u64>); 9] = [
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
            (br#"{"usage":null}"#, None),
            (br#"{"usage":{"n":"#, None),
            (br#"{"usage"#, None),
            (b"", None),
        ];
        for (json, expected) in rows {
            let found = last_usage(json).map(|usage| usage["n"].as_u64().unwrap());
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(json));
        }
    }
}
