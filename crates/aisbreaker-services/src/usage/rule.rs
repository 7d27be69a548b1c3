//! How [`Tokens`] are read from a provider's usage object.

use serde::Deserialize;
use serde_json::Value;

use super::{
    ServiceTier, Tokens, locate, money,
    parts::{Members, PartKind, Parts, Slot},
};

/// How [`Tokens`] are read from a provider's usage object.
///
/// Each count is a list of alternatives. The first one whose members are present counts. An
/// alternative is one member, or a sum of several
/// (`"completion_tokens + completion_tokens_details.reasoning_tokens"`): the first must be present,
/// the others are added if they are. Members after ` - ` are subtracted
/// (`"total_tokens - prompt_tokens"`): they must be present, and must not exceed the rest. The member
/// after ` if ` must be `true` (`"cost + upstream_cost if is_byok"`). A dot leads into an object,
/// and `[]` into the objects of a list, of which the members are added up (`"iterations[].tokens"`).
///
/// No rule has a say in the tier: it is `service_tier`, in the usage object or beside it. Anthropic's
/// `"speed": "fast"` is [`ServiceTier::Priority`](super::ServiceTier::Priority).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(from = "RuleText")]
#[non_exhaustive]
pub struct UsageRule {
    members: Members,
    /// How many members have a place in [`Parts`].
    length: usize,
    input: Count,
    output: Count,
    cached: Count,
    reasoning: Count,
    cache_write: Count,
    cache_write_1h: Count,
    input_audio: Count,
    output_audio: Count,
    cost: Count,
    cost_units_per_dollar: u64,
}

/// A rule as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    /// See [`Tokens::input`]; likewise the others.
    #[serde(default)]
    input: Vec<String>,
    #[serde(default)]
    output: Vec<String>,
    #[serde(default)]
    cached: Vec<String>,
    #[serde(default)]
    reasoning: Vec<String>,
    #[serde(default)]
    cache_write: Vec<String>,
    #[serde(default)]
    cache_write_1h: Vec<String>,
    #[serde(default)]
    input_audio: Vec<String>,
    #[serde(default)]
    output_audio: Vec<String>,
    #[serde(default)]
    cost: Vec<String>,
    /// How many of the units that `cost` is in are a dollar.
    #[serde(default = "one")]
    cost_units_per_dollar: u64,
}

fn one() -> u64 {
    1
}

/// Alternatives, each of them a sum of members.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Count(Vec<Sum>);

/// The members of a sum, by their positions in [`Parts`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Sum {
    first: usize,
    added: Vec<usize>,
    subtracted: Vec<usize>,
    condition: Option<usize>,
}

impl From<RuleText> for UsageRule {
    fn from(text: RuleText) -> Self {
        let mut compiler = Compiler::default();
        let mut counts = |alternatives: Vec<String>| compiler.count(&alternatives, PartKind::Count);
        let mut rule = Self {
            input: counts(text.input),
            output: counts(text.output),
            cached: counts(text.cached),
            reasoning: counts(text.reasoning),
            cache_write: counts(text.cache_write),
            cache_write_1h: counts(text.cache_write_1h),
            input_audio: counts(text.input_audio),
            output_audio: counts(text.output_audio),
            cost_units_per_dollar: text.cost_units_per_dollar,
            ..Self::default()
        };
        rule.cost = compiler.count(&text.cost, PartKind::Amount);
        rule.length = compiler.slots.len();
        rule.members = compiler.members();
        rule
    }
}

impl UsageRule {
    /// Reads the counts of a usage object; any other value has none.
    #[must_use]
    pub fn read(&self, usage: &Value) -> Tokens {
        self.tokens(&self.parts_of_value(usage), &Parts::default())
    }

    /// Reads the counts of the last usage object in JSON, of which only the end may be known, without
    /// parsing the rest; `None` if there is no such object.
    #[must_use]
    pub fn read_last(&self, json: &[u8]) -> Option<Tokens> {
        Some(self.tokens(&self.parts_of_last(json)?, &Parts::default()))
    }

    /// Reads the counts of the usage object that is a member of JSON, of which only the beginning may be
    /// known; `None` if there is no such member.
    #[must_use]
    pub fn read_first(&self, json: &[u8]) -> Option<Tokens> {
        let (usage, tier) = locate::first_usage(json)?;
        let parts = self.parts_of_json(usage, || tier);
        Some(self.tokens(&parts, &Parts::default()))
    }

    pub(super) fn parts_of_value(&self, usage: &Value) -> Parts {
        Parts::of_value(&self.members, self.length, usage)
    }

    pub(super) fn parts_of_last(&self, json: &[u8]) -> Option<Parts> {
        let located = locate::last_usage(json)?;
        Some(self.parts_of_json(located.usage(), || located.tier()))
    }

    fn parts_of_json(&self, usage: &[u8], tier: impl FnOnce() -> Option<ServiceTier>) -> Parts {
        let mut parts = Parts::of_json(&self.members, self.length, usage);
        parts.tier = parts.tier.or_else(tier);
        parts
    }

    /// Returns the counts of `parts`. A sum takes the members that are missing from `earlier`.
    pub(super) fn tokens(&self, parts: &Parts, earlier: &Parts) -> Tokens {
        let count = |count: &Count| {
            let sum = count.read(parts, earlier)?;
            Some(u64::try_from(sum).unwrap_or(u64::MAX))
        };
        let cost = self.cost.read(parts, earlier);
        Tokens {
            input: count(&self.input),
            output: count(&self.output),
            cached: count(&self.cached),
            reasoning: count(&self.reasoning),
            cache_write: count(&self.cache_write),
            cache_write_1h: count(&self.cache_write_1h),
            input_audio: count(&self.input_audio),
            output_audio: count(&self.output_audio),
            tier: parts.tier,
            cost: cost.map(|cost| money::nano_dollars(cost, self.cost_units_per_dollar)),
        }
    }
}

impl Count {
    fn read(&self, parts: &Parts, earlier: &Parts) -> Option<u128> {
        self.0.iter().find_map(|sum| sum.read(parts, earlier))
    }
}

impl Sum {
    fn read(&self, parts: &Parts, earlier: &Parts) -> Option<u128> {
        if !self.is_reported_by(parts) {
            return None;
        }
        let part = |index: usize| parts.get(index).or_else(|| earlier.get(index));
        if let Some(condition) = self.condition {
            part(condition)?;
        }
        let mut sum = part(self.first)?;
        for added in &self.added {
            sum = sum.saturating_add(part(*added).unwrap_or(0));
        }
        for subtracted in &self.subtracted {
            sum = sum.checked_sub(part(*subtracted)?)?;
        }
        Some(sum)
    }

    fn is_reported_by(&self, parts: &Parts) -> bool {
        let is_reported = |index: &usize| parts.get(*index).is_some();
        is_reported(&self.first)
            || self.added.iter().any(is_reported)
            || self.subtracted.iter().any(is_reported)
    }
}

/// Gives every member of a rule its place.
#[derive(Default)]
struct Compiler {
    /// The paths by their places.
    slots: Vec<(String, PartKind)>,
}

impl Compiler {
    fn count(&mut self, alternatives: &[String], kind: PartKind) -> Count {
        let sums = alternatives.iter().map(|text| self.sum(text, kind));
        Count(sums.collect())
    }

    fn sum(&mut self, text: &str, kind: PartKind) -> Sum {
        let (terms, condition) = match text.split_once(" if ") {
            Some((terms, condition)) => (terms, Some(condition)),
            None => (text, None),
        };
        let mut sum = Sum {
            condition: condition.map(|path| self.slot(path, PartKind::Flag)),
            ..Sum::default()
        };
        for (position, text) in terms.split('+').enumerate() {
            let mut terms = text.split(" - ").map(|path| self.slot(path, kind));
            match (position, terms.next()) {
                (0, first) => sum.first = first.unwrap_or_default(),
                (_, added) => sum.added.extend(added),
            }
            sum.subtracted.extend(terms);
        }
        sum
    }

    fn slot(&mut self, path: &str, kind: PartKind) -> usize {
        let path = path.trim();
        let is_known = |slot: &(String, PartKind)| slot.0 == path && slot.1 == kind;
        self.slots.iter().position(is_known).unwrap_or_else(|| {
            self.slots.push((path.to_owned(), kind));
            self.slots.len() - 1
        })
    }

    fn members(self) -> Members {
        let mut members = Members::default();
        for (index, (path, kind)) in self.slots.into_iter().enumerate() {
            members.add(&path, Slot { kind, index });
        }
        for (name, kind) in [("service_tier", PartKind::Tier), ("speed", PartKind::Speed)] {
            members.add(name, Slot { kind, index: 0 });
        }
        members
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(text: &str) -> UsageRule {
        toml::from_str(text).unwrap()
    }

    /// Reads a usage object as a value and as JSON.
    fn read(rule: &UsageRule, usage: &Value) -> Tokens {
        let tokens = rule.read(usage);
        if usage.is_object() {
            for json in [
                format!(r#"{{"usage":{usage}}}"#),
                format!(r#"cut off"}}], "usage" : {usage:#} , "other": [{{}}]}}"#),
            ] {
                assert_eq!(rule.read_last(json.as_bytes()), Some(tokens), "{json}");
            }
            let json = format!(r#"{{"usage":{usage},"more":["cut off"#);
            assert_eq!(rule.read_first(json.as_bytes()), Some(tokens), "{json}");
        }
        tokens
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
            (json!({"a": u64::MAX, "e": 1e16}), Some(u64::MAX), None),
            (json!({"a": {"b": 1}, "b": {"c": {"c": 1}}}), None, None),
            (json!({"b": {"x": {"c": 9}, "c": 2, "d": 9}}), Some(2), None),
            (json!(null), None, None),
        ];
        for (usage, input, output) in rows {
            let tokens = read(&rule, &usage);
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
            assert_eq!(read(&rule, &usage).output, expected, "{usage}");
        }
    }

    #[test]
    fn a_condition_must_be_true() {
        let rule = rule("cost = [\"cost + more.cost if is_more\", \"cost\"]");
        let rows = [
            (
                json!({"cost": 0.000_05, "is_more": true, "more": {"cost": 1e-3}}),
                Some(1_050_000),
            ),
            (
                json!({"cost": 0.000_05, "is_more": false, "more": {"cost": 1e-3}}),
                Some(50_000),
            ),
            (
                json!({"cost": 0.000_05, "is_more": 1, "more": {"cost": 1e-3}}),
                Some(50_000),
            ),
            (
                json!({"cost": 0.000_05, "is_more": true, "more": {"cost": null}}),
                Some(50_000),
            ),
            (json!({"cost": 0, "is_more": true}), Some(0)),
            (json!({"is_more": true, "more": {"cost": 1e-3}}), None),
            (json!({"cost": "0.5"}), None),
            (json!({"cost": null}), None),
            (json!({"cost": -0.5}), None),
            (json!({"cost": {"total": 1}}), None),
        ];
        for (usage, expected) in rows {
            assert_eq!(read(&rule, &usage).cost, expected, "{usage}");
        }
    }

    #[test]
    fn the_cost_is_in_units_of_its_own() {
        let rows = [
            ("", 2_500_000_000),
            ("cost_units_per_dollar = 1", 2_500_000_000),
            ("cost_units_per_dollar = 100", 25_000_000),
            ("cost_units_per_dollar = 10_000_000_000", 1),
        ];
        for (unit, expected) in rows {
            let rule = rule(&format!("cost = [\"ticks\"]\n{unit}"));
            assert_eq!(
                read(&rule, &json!({"ticks": 2.5})).cost,
                Some(expected),
                "{unit}"
            );
        }
    }

    #[test]
    fn one_member_may_be_in_several_counts() {
        let rule = rule("input = [\"n\"]\noutput = [\"n + a.n\"]\ncost = [\"n\"]");
        let tokens = read(&rule, &json!({"n": 2, "a": {"n": 3}}));
        assert_eq!(
            (tokens.input, tokens.output, tokens.cost),
            (Some(2), Some(5), Some(2_000_000_000))
        );
    }

    #[test]
    fn a_rule_with_an_unknown_count_is_refused() {
        assert!(toml::from_str::<UsageRule>("inputs = [\"n\"]").is_err());
    }
}
