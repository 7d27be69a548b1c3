//! Token counts of the provider's `usageMetadata`.

use serde_json::Value;

use crate::usage::Tokens;

/// The counts so far; later ones replace earlier ones.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    prompt: Option<u64>,
    tool_use: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    cached: Option<u64>,
    pub(super) total: Option<u64>,
}

impl Counts {
    /// Reads the counts that an answer, or a chunk of one, reports.
    pub(super) fn update(&mut self, usage: &Value) {
        let counts = [
            ("promptTokenCount", &mut self.prompt),
            ("toolUsePromptTokenCount", &mut self.tool_use),
            ("candidatesTokenCount", &mut self.candidates),
            ("thoughtsTokenCount", &mut self.thoughts),
            ("cachedContentTokenCount", &mut self.cached),
            ("totalTokenCount", &mut self.total),
        ];
        for (name, count) in counts {
            if let Some(reported) = usage.get(name).and_then(Value::as_u64) {
                *count = Some(reported);
            }
        }
    }

    /// Returns the counts in the terms of the API: the prompt includes what was cached, but neither
    /// the results of tools nor thoughts are included in the other counts.
    pub(super) fn tokens(self) -> Tokens {
        Tokens {
            input: sum(self.prompt, self.tool_use),
            output: sum(self.candidates, self.thoughts),
            cached: self.cached,
            reasoning: self.thoughts,
            ..Tokens::default()
        }
    }
}

fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        (one, other) => one.or(other),
    }
}
