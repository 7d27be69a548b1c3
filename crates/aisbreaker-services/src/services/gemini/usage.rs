//! Token counts of the provider's `usageMetadata`.

use serde_json::Value;

use crate::usage::{ServiceTier, Tokens};

/// The counts so far. They grow from chunk to chunk, and not every chunk has all of them.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    prompt: Option<u64>,
    tool_use: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    cached: Option<u64>,
    prompt_audio: Option<u64>,
    tool_use_audio: Option<u64>,
    candidates_audio: Option<u64>,
    tier: Option<ServiceTier>,
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
            let reported = usage.get(name).and_then(Value::as_u64);
            *count = reported.max(*count);
        }
        let details = [
            ("promptTokensDetails", &mut self.prompt_audio),
            ("toolUsePromptTokensDetails", &mut self.tool_use_audio),
            ("candidatesTokensDetails", &mut self.candidates_audio),
        ];
        for (name, count) in details {
            *count = usage.get(name).and_then(audio).max(*count);
        }
        self.tier = tier(usage).or(self.tier);
    }

    /// Returns the counts in the terms of the API: the prompt includes what was cached, but neither
    /// the results of tools nor thoughts are included in the other counts.
    pub(super) fn tokens(self) -> Tokens {
        Tokens {
            input: sum(self.prompt, self.tool_use),
            output: sum(self.candidates, self.thoughts),
            cached: self.cached,
            reasoning: self.thoughts,
            input_audio: sum(self.prompt_audio, self.tool_use_audio),
            output_audio: self.candidates_audio,
            tier: self.tier,
            ..Tokens::default()
        }
    }
}

/// Returns how many tokens of a list by modality are audio.
fn audio(details: &Value) -> Option<u64> {
    let audio = details
        .as_array()?
        .iter()
        .filter(|detail| detail.get("modality").is_some_and(|name| name == "AUDIO"))
        .filter_map(|detail| detail.get("tokenCount")?.as_u64());
    audio.reduce(u64::saturating_add)
}

/// Returns the tier, which the Gemini API and Vertex AI have different names for.
fn tier(usage: &Value) -> Option<ServiceTier> {
    if let Some(name) = usage.get("serviceTier").and_then(Value::as_str) {
        return ServiceTier::of_name(&name.to_ascii_lowercase());
    }
    match usage.get("trafficType")?.as_str()? {
        "ON_DEMAND" | "PROVISIONED_THROUGHPUT" => Some(ServiceTier::Standard),
        "ON_DEMAND_PRIORITY" => Some(ServiceTier::Priority),
        "ON_DEMAND_FLEX" => Some(ServiceTier::Flex),
        _ => None,
    }
}

fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn counts(reports: &[Value]) -> Counts {
        let mut counts = Counts::default();
        for report in reports {
            counts.update(report);
        }
        counts
    }

    #[test]
    fn counts_of_every_kind_are_read() {
        let all = counts(&[json!({
            "promptTokenCount": 1000, "toolUsePromptTokenCount": 30, "candidatesTokenCount": 200,
            "thoughtsTokenCount": 50, "cachedContentTokenCount": 400, "totalTokenCount": 1280,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 680}, {"modality": "AUDIO", "tokenCount": 320},
            ],
            "toolUsePromptTokensDetails": [{"modality": "AUDIO", "tokenCount": 10}],
            "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 400}],
            "candidatesTokensDetails": [
                {"modality": "AUDIO", "tokenCount": 90}, {"modality": "AUDIO", "tokenCount": 60},
                {"modality": "AUDIO"}, {"tokenCount": 7}, null,
            ],
            "serviceTier": "priority",
        })]);
        let expected = Tokens {
            input: Some(1030),
            output: Some(250),
            cached: Some(400),
            reasoning: Some(50),
            input_audio: Some(330),
            output_audio: Some(150),
            tier: Some(ServiceTier::Priority),
            ..Tokens::default()
        };
        assert_eq!((all.tokens(), all.total), (expected, Some(1280)));
    }

    #[test]
    fn text_alone_has_no_audio() {
        let text = counts(&[json!({
            "promptTokenCount": 5, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 5}],
        })]);
        let expected = Tokens {
            input: Some(5),
            ..Tokens::default()
        };
        assert_eq!(text.tokens(), expected);
    }

    #[test]
    fn a_later_chunk_lowers_no_count() {
        let chunks = [
            json!({"promptTokenCount": 9, "cachedContentTokenCount": 4, "totalTokenCount": 9}),
            json!({"promptTokenCount": 9, "thoughtsTokenCount": 30, "totalTokenCount": 39}),
            json!({"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12}),
        ];
        let expected = Tokens {
            input: Some(9),
            output: Some(33),
            cached: Some(4),
            reasoning: Some(30),
            ..Tokens::default()
        };
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let read = counts(&order.map(|index: usize| chunks[index].clone()));
            assert_eq!(
                (read.tokens(), read.total),
                (expected, Some(39)),
                "{order:?}"
            );
        }
    }

    #[test]
    fn both_apis_report_a_tier() {
        let rows = [
            (
                json!({"serviceTier": "standard"}),
                Some(ServiceTier::Standard),
            ),
            (json!({"serviceTier": "FLEX"}), Some(ServiceTier::Flex)),
            (json!({"serviceTier": "batch"}), Some(ServiceTier::Batch)),
            (json!({"serviceTier": "unspecified"}), None),
            (
                json!({"trafficType": "ON_DEMAND"}),
                Some(ServiceTier::Standard),
            ),
            (
                json!({"trafficType": "ON_DEMAND_PRIORITY"}),
                Some(ServiceTier::Priority),
            ),
            (
                json!({"trafficType": "ON_DEMAND_FLEX"}),
                Some(ServiceTier::Flex),
            ),
            (
                json!({"trafficType": "PROVISIONED_THROUGHPUT"}),
                Some(ServiceTier::Standard),
            ),
            (json!({"trafficType": "TRAFFIC_TYPE_UNSPECIFIED"}), None),
            (json!({}), None),
        ];
        for (usage, expected) in rows {
            assert_eq!(
                counts(std::slice::from_ref(&usage)).tokens().tier,
                expected,
                "{usage}"
            );
        }
    }
}
