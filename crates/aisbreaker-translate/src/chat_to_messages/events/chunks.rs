//! The chunks of a completion.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::{
    completion::{
        Chunk, ChunkChoice, Delta, FinishReason, FunctionDelta, ToolCallDelta, Usage, completion_id,
    },
    message::{self, ContentBlock, Counts, Known, Message, StopDetails, TokenUsage},
};
use crate::{UnreadableAnswer, members::Text};

/// The chunks of one completion, whose message has begun.
pub(super) struct Chunks {
    id: String,
    model: String,
    created: u64,
    include_usage: bool,
    service_tier: Option<&'static str>,
    counts: Counts,
    block: Option<Block>,
    tool_calls: u32,
    finish_reason: Option<FinishReason>,
}

/// The content block whose deltas are coming.
struct Block {
    index: u64,
    kind: BlockKind,
}

enum BlockKind {
    Text,
    Thinking,
    /// A tool call with its index among the tool calls, and the input that it began with, until a delta replaces it.
    ToolUse {
        call: u32,
        input: Option<String>,
    },
}

/// What an event adds to its content block.
#[derive(Deserialize)]
pub(super) struct BlockDelta<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    partial_json: Option<Text<'a>>,
}

/// What an event adds to the message.
#[derive(Deserialize)]
pub(super) struct MessageDelta<'a> {
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_details: Option<StopDetails<'a>>,
}

impl Chunks {
    pub(super) fn new(message: &Message<'_>, include_usage: bool, created: u64) -> Self {
        let mut counts = Counts::default();
        if let Some(usage) = &message.usage {
            usage.update(&mut counts);
        }
        Self {
            id: completion_id(&message.id),
            model: message.model.to_string(),
            created,
            include_usage,
            service_tier: message.usage.as_ref().and_then(TokenUsage::service_tier),
            counts,
            block: None,
            tool_calls: 0,
            finish_reason: None,
        }
    }

    pub(super) fn append_start(&self, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
        let delta = Delta {
            role: Some("assistant"),
            content: Some(""),
            ..Delta::default()
        };
        self.append_choice(delta, None, out)
    }

    pub(super) fn start_block(
        &mut self,
        index: u64,
        block: ContentBlock<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        if self.block.is_some() {
            return Err(UnreadableAnswer::new(
                "a content block begins before the last one has ended",
            ));
        }
        let kind = match block.known()? {
            Known::Text(text) => {
                self.append_text(&text, out)?;
                BlockKind::Text
            }
            Known::Thinking => BlockKind::Thinking,
            Known::ToolUse { id, name, input } => {
                let call = self.tool_calls;
                self.tool_calls = call.saturating_add(1);
                self.append_tool_call(call, Some((&id, &name)), "", out)?;
                let input = input.map_or("{}", RawValue::get).to_owned();
                BlockKind::ToolUse {
                    call,
                    input: Some(input),
                }
            }
        };
        self.block = Some(Block { index, kind });
        Ok(())
    }

    pub(super) fn append_delta(
        &mut self,
        index: u64,
        delta: &BlockDelta<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        let Some(block) = self.block.as_mut().filter(|block| block.index == index) else {
            return Err(UnreadableAnswer::new(
                "a delta belongs to no open content block",
            ));
        };
        match (&*delta.kind, &mut block.kind) {
            ("text_delta", BlockKind::Text) => {
                let Some(Text(text)) = &delta.text else {
                    return Err(UnreadableAnswer::new("a delta of text has no text"));
                };
                self.append_text(text, out)
            }
            ("input_json_delta", BlockKind::ToolUse { call, input }) => {
                let Some(Text(json)) = &delta.partial_json else {
                    return Err(UnreadableAnswer::new("a delta of an input has no JSON"));
                };
                if json.is_empty() {
                    return Ok(());
                }
                *input = None;
                let call = *call;
                self.append_tool_call(call, None, json, out)
            }
            ("thinking_delta" | "signature_delta", BlockKind::Thinking) => Ok(()),
            ("citations_delta", BlockKind::Text) => Ok(()),
            _ => Err(UnreadableAnswer::new(
                "a delta is of a type that its content block does not have",
            )),
        }
    }

    /// Ends the block. An input that came without deltas is that of the start.
    pub(super) fn stop_block(
        &mut self,
        index: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        match self.block.take() {
            Some(Block {
                index: open,
                kind: BlockKind::ToolUse { call, input },
            }) if open == index => match input {
                Some(input) => self.append_tool_call(call, None, &input, out),
                None => Ok(()),
            },
            Some(block) if block.index == index => Ok(()),
            Some(_) | None => Err(UnreadableAnswer::new(
                "a content block ends that was not open",
            )),
        }
    }

    pub(super) fn update(
        &mut self,
        delta: &MessageDelta<'_>,
        usage: Option<&TokenUsage<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        if let Some(usage) = usage {
            usage.update(&mut self.counts);
        }
        let Some(Text(stop_reason)) = &delta.stop_reason else {
            return Ok(());
        };
        self.finish_reason = Some(message::finish_reason(stop_reason)?);
        if stop_reason == "refusal"
            && let Some(StopDetails {
                explanation: Some(Text(explanation)),
            }) = &delta.stop_details
        {
            let delta = Delta {
                refusal: Some(explanation),
                ..Delta::default()
            };
            self.append_choice(delta, None, out)?;
        }
        Ok(())
    }

    pub(super) fn append_end(&self, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
        if self.block.is_some() {
            return Err(UnreadableAnswer::new(
                "the message ends before its last content block",
            ));
        }
        if self.finish_reason.is_none() {
            return Err(UnreadableAnswer::new("the message has no stop reason"));
        }
        self.append_choice(Delta::default(), self.finish_reason, out)?;
        if self.include_usage {
            self.append_chunk(&[], Some(self.counts.into()), out)?;
        }
        Ok(())
    }

    fn append_text(&self, text: &str, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
        if text.is_empty() {
            return Ok(());
        }
        let delta = Delta {
            content: Some(text),
            ..Delta::default()
        };
        self.append_choice(delta, None, out)
    }

    /// Appends a piece of a tool call; its first piece has the id and the name of the function.
    fn append_tool_call(
        &self,
        index: u32,
        start: Option<(&str, &str)>,
        arguments: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        let delta = Delta {
            tool_calls: Some([ToolCallDelta {
                index,
                id: start.map(|(id, _)| id),
                kind: start.map(|_| "function"),
                function: FunctionDelta {
                    name: start.map(|(_, name)| name),
                    arguments,
                },
            }]),
            ..Delta::default()
        };
        self.append_choice(delta, None, out)
    }

    fn append_choice(
        &self,
        delta: Delta<'_>,
        finish_reason: Option<FinishReason>,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        let choice = ChunkChoice {
            index: 0,
            delta,
            logprobs: None,
            finish_reason,
        };
        self.append_chunk(&[choice], None, out)
    }

    fn append_chunk(
        &self,
        choices: &[ChunkChoice<'_>],
        usage: Option<Usage>,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        let chunk = Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            service_tier: self.service_tier,
            choices,
            usage: self.include_usage.then_some(usage),
        };
        append_event(&chunk, out)
    }
}

fn append_event(data: &impl Serialize, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
    out.extend_from_slice(b"data: ");
    if serde_json::to_writer(&mut *out, data).is_err() {
        return Err(UnreadableAnswer::new("an event cannot be written as JSON"));
    }
    out.extend_from_slice(b"\n\n");
    Ok(())
}
