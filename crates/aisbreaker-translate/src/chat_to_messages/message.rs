//! What Anthropic's API answers with: as much of it as is translated.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::completion::{CompletionDetails, FinishReason, PromptDetails, Usage};
use crate::{UnreadableAnswer, members::Text};

/// A message.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) model: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) content: Option<Vec<ContentBlock<'a>>>,
    #[serde(borrow, default)]
    pub(super) stop_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) stop_details: Option<StopDetails<'a>>,
    #[serde(borrow, default)]
    pub(super) usage: Option<TokenUsage<'a>>,
}

/// A content block of any type. What it holds depends on the type.
#[derive(Deserialize)]
pub(super) struct ContentBlock<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) input: Option<&'a RawValue>,
}

/// A content block that a chat completion can express.
pub(super) enum Known<'a> {
    Text(Cow<'a, str>),
    /// What the model thought, which OpenAI's chat completions never show.
    Thinking,
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Option<&'a RawValue>,
    },
}

impl<'a> ContentBlock<'a> {
    /// Reads the block by its type.
    pub(super) fn known(self) -> Result<Known<'a>, UnreadableAnswer> {
        match (&*self.kind, self.text, self.id, self.name) {
            ("text", Some(Text(text)), _, _) => Ok(Known::Text(text)),
            ("thinking" | "redacted_thinking", _, _, _) => Ok(Known::Thinking),
            ("tool_use", _, Some(Text(id)), Some(Text(name))) => Ok(Known::ToolUse {
                id,
                name,
                input: self.input,
            }),
            ("text" | "tool_use", _, _, _) => {
                Err(UnreadableAnswer::new("a content block lacks a member"))
            }
            _ => Err(UnreadableAnswer::new(
                "a content block is of a type that chat completions do not have",
            )),
        }
    }
}

/// Why the model refused.
#[derive(Deserialize)]
pub(super) struct StopDetails<'a> {
    #[serde(borrow, default)]
    pub(super) explanation: Option<Text<'a>>,
}

/// Returns the reason that OpenAI's API has for a stop.
pub(super) fn finish_reason(stop_reason: &str) -> Result<FinishReason, UnreadableAnswer> {
    match stop_reason {
        "end_turn" | "stop_sequence" => Ok(FinishReason::Stop),
        // A turn that is paused is unfinished too, and OpenAI's API has no other reason for that.
        "max_tokens" | "model_context_window_exceeded" | "pause_turn" => Ok(FinishReason::Length),
        "tool_use" => Ok(FinishReason::ToolCalls),
        "refusal" => Ok(FinishReason::ContentFilter),
        _ => Err(UnreadableAnswer::new(
            "the stop reason is not one that chat completions have",
        )),
    }
}

/// What a message took. In a stream, the counts of later events replace earlier ones.
#[derive(Default, Deserialize)]
pub(super) struct TokenUsage<'a> {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default)]
    output_tokens_details: Option<OutputDetails>,
    #[serde(borrow, default)]
    service_tier: Option<Text<'a>>,
}

#[derive(Clone, Copy, Deserialize)]
struct OutputDetails {
    #[serde(default)]
    thinking_tokens: Option<u64>,
}

/// The counts of a message so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    input: u64,
    cache_creation: u64,
    cache_read: u64,
    output: u64,
    thinking: Option<u64>,
}

impl TokenUsage<'_> {
    /// Replaces the counts by those that are given.
    pub(super) fn update(&self, counts: &mut Counts) {
        let replace = |count: &mut u64, given: Option<u64>| *count = given.unwrap_or(*count);
        replace(&mut counts.input, self.input_tokens);
        replace(&mut counts.cache_creation, self.cache_creation_input_tokens);
        replace(&mut counts.cache_read, self.cache_read_input_tokens);
        replace(&mut counts.output, self.output_tokens);
        if let Some(details) = self.output_tokens_details {
            counts.thinking = details.thinking_tokens.or(counts.thinking);
        }
    }

    /// Returns OpenAI's name of the service tier, if it has one.
    pub(super) fn service_tier(&self) -> Option<&'static str> {
        match &*self.service_tier.as_ref()?.0 {
            "standard" => Some("default"),
            "priority" => Some("priority"),
            _ => None,
        }
    }
}

impl From<Counts> for Usage {
    /// OpenAI counts cached tokens as part of the prompt, and Anthropic beside it.
    fn from(counts: Counts) -> Self {
        let prompt_tokens = counts
            .input
            .saturating_add(counts.cache_creation)
            .saturating_add(counts.cache_read);
        Self {
            prompt_tokens,
            completion_tokens: counts.output,
            total_tokens: prompt_tokens.saturating_add(counts.output),
            prompt_tokens_details: PromptDetails {
                cached_tokens: counts.cache_read,
                cache_write_tokens: counts.cache_creation,
            },
            completion_tokens_details: counts
                .thinking
                .map(|reasoning_tokens| CompletionDetails { reasoning_tokens }),
        }
    }
}
