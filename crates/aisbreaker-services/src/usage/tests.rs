//! Answers and events of providers, read by the rules of the provider table.

use std::sync::Arc;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{ServiceTier, Tokens, UsageReader, UsageRule};
use crate::providers::{Dialect, Providers};

const FIXTURES: [&str; 3] = [
    include_str!("fixtures/openai.json"),
    include_str!("fixtures/anthropic.json"),
    include_str!("fixtures/others.json"),
];

/// What a provider sends, as its bytes are, and what is to be read of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    name: String,
    provider: String,
    dialect: String,
    /// A whole answer, or the events of a stream.
    events: Vec<Box<RawValue>>,
    tokens: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    input: Option<u64>,
    output: Option<u64>,
    cached: Option<u64>,
    reasoning: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    input_audio: Option<u64>,
    output_audio: Option<u64>,
    tier: Option<String>,
    cost: Option<u64>,
}

impl Expected {
    fn tokens(&self) -> Tokens {
        Tokens {
            input: self.input,
            output: self.output,
            cached: self.cached,
            reasoning: self.reasoning,
            cache_write: self.cache_write,
            cache_write_1h: self.cache_write_1h,
            input_audio: self.input_audio,
            output_audio: self.output_audio,
            tier: self.tier.as_deref().and_then(ServiceTier::of_name),
            cost: self.cost,
        }
    }
}

impl Fixture {
    fn rule(&self) -> Arc<UsageRule> {
        let dialect = match self.dialect.as_str() {
            "openai" => Dialect::OpenAi,
            "anthropic" => Dialect::Anthropic,
            other => panic!("{other} is no dialect"),
        };
        rule(&self.provider, dialect)
    }
}

fn rule(provider: &str, dialect: Dialect) -> Arc<UsageRule> {
    let providers = Providers::builtin();
    let provider = providers.find(provider).expect(provider);
    Arc::clone(&provider.dialect(dialect).expect("it has the dialect").usage)
}

fn fixtures() -> Vec<Fixture> {
    let files = FIXTURES.iter().flat_map(|file| {
        let fixtures: Vec<Fixture> = serde_json::from_str(file).expect("fixtures are JSON");
        fixtures
    });
    files.collect()
}

/// Returns what is known after every event.
fn read(rule: &Arc<UsageRule>, events: &[&str]) -> Vec<Tokens> {
    let mut bytes = UsageReader::new(Arc::clone(rule));
    let mut values = UsageReader::new(Arc::clone(rule));
    let mut known = Vec::new();
    for event in events {
        bytes.read_last(format!("data: {event}").as_bytes());
        values.read_answer(&serde_json::from_str(event).expect("events are JSON"));
        assert_eq!(bytes.tokens(), values.tokens(), "{event}");
        known.push(bytes.tokens());
    }
    known
}

fn counts(tokens: Tokens) -> [Option<u64>; 9] {
    [
        tokens.input,
        tokens.output,
        tokens.cached,
        tokens.reasoning,
        tokens.cache_write,
        tokens.cache_write_1h,
        tokens.input_audio,
        tokens.output_audio,
        tokens.cost,
    ]
}

/// Returns whether no step lowers a count, or forgets the tier.
fn only_grow(steps: &[Tokens]) -> bool {
    steps.windows(2).all(|pair| {
        let (before, after) = (counts(pair[0]), counts(pair[1]));
        let are_larger = before
            .iter()
            .zip(after)
            .all(|(before, after)| *before <= after);
        are_larger && (pair[0].tier.is_none() || pair[1].tier.is_some())
    })
}

#[test]
fn usage_of_every_provider_is_read_from_answers_and_events() {
    for fixture in fixtures() {
        let (rule, expected) = (fixture.rule(), fixture.tokens.tokens());
        let events: Vec<&str> = fixture.events.iter().map(|event| event.get()).collect();
        let steps = read(&rule, &events);
        let name = format!("{} of {}", fixture.name, fixture.provider);
        assert_eq!(steps.last(), Some(&expected), "{name}");
        if let [answer] = events.as_slice() {
            let read = rule.read_last(answer.as_bytes()).unwrap_or_default();
            assert_eq!(read, expected, "{name}");
        }
    }
}

#[test]
fn no_order_of_events_lowers_a_count() {
    for fixture in fixtures() {
        let rule = fixture.rule();
        let mut events: Vec<&str> = fixture.events.iter().map(|event| event.get()).collect();
        for _ in 0..events.len() {
            for _ in 0..events.len() {
                assert!(only_grow(&read(&rule, &events)), "{}", fixture.name);
                events.rotate_left(1);
            }
            events.reverse();
            if events.len() > 2 {
                events.swap(0, 1);
            }
        }
    }
}

#[test]
fn counts_are_a_part_of_input_or_output() {
    for fixture in fixtures() {
        let tokens = fixture.tokens.tokens();
        let [input, output] = [tokens.input, tokens.output].map(Option::unwrap_or_default);
        let cache = tokens.cached.unwrap_or(0) + tokens.cache_write.unwrap_or(0);
        let name = &fixture.name;
        assert!(cache <= input, "{name}");
        assert!(tokens.cache_write_1h <= tokens.cache_write, "{name}");
        assert!(tokens.input_audio.unwrap_or(0) <= input, "{name}");
        assert!(tokens.output_audio.unwrap_or(0) <= output, "{name}");
        assert!(tokens.reasoning.unwrap_or(0) <= output, "{name}");
    }
}

#[test]
fn every_table_of_rules_has_fixtures() {
    let read: Vec<Arc<UsageRule>> = fixtures().iter().map(Fixture::rule).collect();
    for provider in Providers::builtin().iter() {
        for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
            if let Some(config) = provider.dialect(dialect) {
                assert!(read.contains(&config.usage), "{}", provider.id);
            }
        }
    }
}

const ANTHROPIC: [&str; 4] = [
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
];

/// Usage objects whose members only grow, each with some of them.
fn growing_usage() -> impl Strategy<Value = Vec<Map<String, Value>>> {
    let step = (
        prop::array::uniform4(0..1_000_u64),
        prop::array::uniform4(any::<bool>()),
    );
    prop::collection::vec(step, 1..6).prop_map(|steps| {
        let mut values = [0; 4];
        let mut usages = Vec::new();
        for (increments, are_reported) in steps {
            let mut usage = Map::new();
            for (index, name) in ANTHROPIC.into_iter().enumerate() {
                values[index] += increments[index];
                if are_reported[index] {
                    usage.insert(name.to_owned(), values[index].into());
                }
            }
            usages.push(usage);
        }
        usages
    })
}

/// Returns the counts by the largest value of each member.
fn largest(usages: &[Map<String, Value>]) -> Tokens {
    let [input, read, written, output] = ANTHROPIC.map(|name| {
        let values = usages.iter().filter_map(|usage| usage.get(name)?.as_u64());
        values.max()
    });
    Tokens {
        input: input.map(|input| input + read.unwrap_or(0) + written.unwrap_or(0)),
        output,
        cached: read,
        cache_write: written,
        ..Tokens::default()
    }
}

fn deltas(usages: &[Map<String, Value>]) -> Vec<String> {
    let delta = |usage| json!({"type": "message_delta", "usage": usage}).to_string();
    usages.iter().map(delta).collect()
}

proptest! {
    #[test]
    fn growing_counts_are_read_to_the_largest(usages in growing_usage()) {
        let rule = rule("anthropic.com", Dialect::Anthropic);
        let deltas = deltas(&usages);
        let events: Vec<&str> = deltas.iter().map(String::as_str).collect();
        let steps = read(&rule, &events);
        for (index, step) in steps.iter().enumerate() {
            prop_assert_eq!(*step, largest(&usages[..=index]));
        }
        prop_assert!(only_grow(&steps));
    }

    #[test]
    fn counts_in_any_order_only_grow(
        usages in growing_usage().prop_flat_map(|usages| Just(usages).prop_shuffle()),
    ) {
        let rule = rule("anthropic.com", Dialect::Anthropic);
        let deltas = deltas(&usages);
        let events: Vec<&str> = deltas.iter().map(String::as_str).collect();
        let steps = read(&rule, &events);
        prop_assert!(only_grow(&steps));
        // No more than all of it is counted, and no member is forgotten.
        let (last, most) = (steps[steps.len() - 1], largest(&usages));
        prop_assert!(only_grow(&[last, most]));
        prop_assert_eq!((last.output, last.cached, last.cache_write), (most.output, most.cached, most.cache_write));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let rule = rule("anthropic.com", Dialect::Anthropic);
        let pieces: [&[u8]; 16] = [
            b"\"usage\":{", b"\"service_tier\":", b"\"iterations\":[", b"\"input_tokens\":", b"{", b"}", b"[",
            b"]", b"\"", b",", b":", b"1e", b"9", b"-", b"\"flex\"", b"\\",
        ];
        let json: Vec<u8> = bytes.iter().flat_map(|byte| pieces[usize::from(*byte) % 16]).copied().collect();
        let _tokens = (rule.read_last(&bytes), rule.read_last(&json));
    }
}
