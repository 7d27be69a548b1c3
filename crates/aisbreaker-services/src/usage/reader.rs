//! Reads the usage of an answer that comes in events.

use std::sync::Arc;

use serde_json::Value;

use super::{Tokens, UsageRule, locate, parts::Parts};

/// Reads what a provider reports in the events of one call.
///
/// Counts grow from event to event, and not every event has all of them: each is the largest that
/// was reported. A member of a sum that an event lacks is taken from the events before, so that a sum
/// is of the newest members.
#[derive(Clone, Debug, Default)]
pub struct UsageReader {
    rule: Arc<UsageRule>,
    /// The largest value of each member so far.
    parts: Parts,
    tokens: Tokens,
}

impl UsageReader {
    /// Creates a reader that has read nothing.
    #[must_use]
    pub fn new(rule: Arc<UsageRule>) -> Self {
        Self {
            rule,
            parts: Parts::default(),
            tokens: Tokens::default(),
        }
    }

    /// Reads the last usage object in the JSON of an event, of which only the end may be known.
    pub fn read_last(&mut self, json: &[u8]) {
        if let Some(parts) = self.rule.parts_of_last(json) {
            self.add(parts);
        }
    }

    /// Reads the usage object of an answer or an event, and returns it.
    pub(crate) fn read_answer<'a>(&mut self, answer: &'a Value) -> Option<&'a Value> {
        let (usage, tier) = locate::usage_of(answer)?;
        let mut parts = self.rule.parts_of_value(usage);
        parts.tier = parts.tier.or(tier);
        self.add(parts);
        Some(usage)
    }

    /// Returns what was reported so far.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        self.tokens
    }

    fn add(&mut self, parts: Parts) {
        self.tokens = self.rule.tokens(&parts, &self.parts).merge(self.tokens);
        self.parts.grow(parts);
    }
}
