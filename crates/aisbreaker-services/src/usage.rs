//! Token counts of an answer. Every provider reports them, each by a rule of its own.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use aisbreaker_api::Usage;
use memchr::memmem::FinderRev;
use serde::Deserialize;
use serde_json::Value;

/// The token counts of an answer, as far as its provider reports them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Tokens {
    /// Tokens read, including those from a cache.
    pub input: Option<u64>,
    /// Tokens written, including those of reasoning.
    pub output: Option<u64>,
    /// How many of the tokens read came from a cache.
    pub cached: Option<u64>,
    /// How many of the tokens written were reasoning.
    pub reasoning: Option<u64>,
}

impl Tokens {
    /// Returns the counts in a response of `/api/v1/process`.
    #[must_use]
    pub fn of(usage: &Usage) -> Self {
        Self {
            input: usage.input_tokens,
            output: usage.output_tokens,
            ..Self::default()
        }
    }

    /// Returns input and output together, if either is known.
    #[must_use]
    pub fn total(self) -> Option<u64> {
        match (self.input, self.output) {
            (Some(input), Some(output)) => Some(input.saturating_add(output)),
            (input, output) => input.or(output),
        }
    }

    /// Returns these counts, with an earlier count in place of a missing one. A stream reports
    /// counts as they grow.
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

/// The tokens that a provider has reported so far for one call. Clones share them, so that they are
/// known even of a stream that nobody reads to its end.
///
/// The default is for calls of which nobody asks; it keeps nothing.
#[derive(Clone, Debug, Default)]
pub struct ReportedTokens(Option<Arc<Mutex<Tokens>>>);

impl ReportedTokens {
    /// Creates counts that are kept.
    #[must_use]
    pub fn kept() -> Self {
        Self(Some(Arc::default()))
    }

    /// Replaces the counts.
    pub fn set(&self, tokens: Tokens) {
        if let Some(kept) = &self.0 {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = tokens;
        }
    }

    /// Returns the last counts.
    #[must_use]
    pub fn get(&self) -> Tokens {
        match &self.0 {
            Some(kept) => *kept.lock().unwrap_or_else(PoisonError::into_inner),
            None => Tokens::default(),
        }
    }
}

/// How [`Tokens`] are read from a provider's usage object.
///
/// Each count is a list of alternatives. The first one whose members are present counts. An
/// alternative is one member, or a sum of several
/// (`"completion_tokens + completion_tokens_details.reasoning_tokens"`): the first must be present,
/// the others are added if they are. Members after ` - ` are subtracted
/// (`"total_tokens - prompt_tokens"`): they must be present, and must not exceed the rest. A dot
/// leads into an object.
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
    /// Reads the counts of a usage object; any other value has none.
    #[must_use]
    pub fn read(&self, usage: &Value) -> Tokens {
        Tokens {
            input: self.input.read(usage),
            output: self.output.read(usage),
            cached: self.cached.read(usage),
            reasoning: self.reasoning.read(usage),
        }
    }
}

/// Alternatives, each of them a sum of members.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(from = "Vec<String>")]
struct Count(Vec<Sum>);

/// The first member, the members to add if they are present, and those to subtract.
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
    fn read(&self, usage: &Value) -> Option<u64> {
        self.0.iter().find_map(|sum| sum.read(usage))
    }
}

impl Sum {
    fn parse(text: &str) -> Self {
        let mut sum = Self::default();
        for (position, terms) in text.split('+').enumerate() {
            let mut terms = terms.split(" - ").map(parse_path);
            match (position, terms.next()) {
                (0, first) => sum.first = first.unwrap_or_default(),
                (_, added) => sum.added.extend(added),
            }
            sum.subtracted.extend(terms);
        }
        sum
    }

    fn read(&self, usage: &Value) -> Option<u64> {
        let mut sum = number_at(usage, &self.first)?;
        for path in &self.added {
            sum = sum.saturating_add(number_at(usage, path).unwrap_or(0));
        }
        for path in &self.subtracted {
            sum = sum.checked_sub(number_at(usage, path)?)?;
        }
        Some(sum)
    }
}

fn parse_path(text: &str) -> Path {
    text.trim().split('.').map(str::to_owned).collect()
}

fn number_at(usage: &Value, path: &[String]) -> Option<u64> {
    let mut value = usage;
    for name in path {
        value = value.get(name)?;
    }
    value.as_u64().or_else(|| whole_number(value.as_f64()?))
}

/// Returns a number such as `3.0` or `3e0`, which some providers write, as the whole number it is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "only whole numbers up to 2^53 are cast"
)]
fn whole_number(number: f64) -> Option<u64> {
    const MAX: f64 = 9_007_199_254_740_992.0;
    ((0.0..=MAX).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

/// Where answers and events have their usage object: at the top, in the `response` or `message` of
/// an event, or in Groq's `x_groq`.
const USAGE_POINTERS: [&str; 4] = [
    "/usage",
    "/response/usage",
    "/message/usage",
    "/x_groq/usage",
];

/// Returns the usage object of an answer or an event.
pub(crate) fn usage_of(answer: &Value) -> Option<&Value> {
    USAGE_POINTERS
        .iter()
        .filter_map(|pointer| answer.pointer(pointer))
        .find(|usage| usage.is_object())
}

/// How many candidates for a usage object are tried, since each of them is parsed up to its first
/// error.
const MAX_TRIES: usize = 32;

const NAME: &[u8] = b"\"usage\"";

/// Finds the last usage object in JSON, of which only the end may be known, without parsing the
/// rest.
///
/// Text about usage is not mistaken for it, since quotes inside of strings are escaped.
#[must_use]
pub fn last_usage(json: &[u8]) -> Option<Value> {
    static LAST: LazyLock<FinderRev<'static>> = LazyLock::new(|| FinderRev::new(NAME));
    LAST.rfind_iter(json).take(MAX_TRIES).find_map(|at| {
        let after_name = json.get(at.saturating_add(NAME.len())..)?;
        parse_object_after_colon(after_name)
    })
}

fn parse_object_after_colon(json: &[u8]) -> Option<Value> {
    let after_colon = json.trim_ascii_start().strip_prefix(b":")?;
    let value = after_colon.trim_ascii_start();
    if !value.starts_with(b"{") {
        return None;
    }
    let mut values = serde_json::Deserializer::from_slice(value).into_iter();
    values.next()?.ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(text: &str) -> UsageRule {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_count_is_the_first_alternative_whose_members_are_present() {
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
            (json!({"a": 3.0, "e": 3e0, "f": 0.0}), Some(3), Some(3)),
            (json!({"a": 3.5, "e": -3.0, "f": 1e300}), None, None),
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
    fn subtracted_counts_must_be_present_and_not_exceed_the_rest() {
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
    fn only_so_many_candidates_for_a_usage_object_are_tried() {
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
    fn finds_the_last_usage_at_the_end_of_an_answer() {
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
