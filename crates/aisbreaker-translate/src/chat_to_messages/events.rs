//! Streams: Anthropic's events into OpenAI's chunks.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    completion::{
        Chunk, ChunkChoice, Delta, FinishReason, FunctionDelta, ToolCallDelta, Usage, completion_id,
    },
    error::{self, ProviderError},
    message::{self, ContentBlock, Counts, Known, Message, StopDetails, TokenUsage},
};
use crate::{UnreadableAnswer, members::Text};

/// Translates the events of one stream.
///
/// After an error, every later call returns it again.
pub struct Events {
    include_usage: bool,
    created: u64,
    state: State,
}

/// How far the provider's stream has come.
enum State {
    /// Nothing but pings yet. Leads to `Started`, `Failed` or `Unreadable`.
    Waiting,
    /// The message has begun. Leads to `Stopped`, `Failed` or `Unreadable`.
    Started(Box<Completion>),
    /// The provider has closed the message. Whatever follows is not read.
    Stopped,
    /// The provider has ended the stream with an error, which the client has. Whatever follows is not read.
    Failed,
    /// The stream is not what the provider's API describes.
    Unreadable(UnreadableAnswer),
}

/// A completion whose message has begun.
struct Completion {
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

/// An event of any type. What it holds depends on the type.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    index: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BlockDelta<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    partial_json: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct MessageDelta<'a> {
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_details: Option<StopDetails<'a>>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Waiting => "Waiting",
            State::Started(_) => "Started",
            State::Stopped => "Stopped",
            State::Failed => "Failed",
            State::Unreadable(_) => "Unreadable",
        };
        f.debug_struct("Events")
            .field("include_usage", &self.include_usage)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new(include_usage: bool, created: u64) -> Self {
        Self {
            include_usage,
            created,
            state: State::Waiting,
        }
    }

    /// Translates one event of the provider, and appends the events for the client, each with its blank line.
    ///
    /// `event` is the name of the event, which may be empty: the data repeat it. `data` are its lines of data, joined
    /// by line feeds. An `error` event becomes the last event of the client's stream. Pings and events of unknown
    /// types, which Anthropic asks clients to expect, become nothing.
    ///
    /// # Errors
    /// [`UnreadableAnswer`] if it is not an event that Anthropic's reference describes, or holds what a chat
    /// completion cannot express. Nothing is appended then.
    pub fn translate_event(
        &mut self,
        _event: &str,
        data: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        let length = out.len();
        let translated = self.translate(data, out);
        if let Err(error) = &translated {
            out.truncate(length);
            self.state = State::Unreadable(error.clone());
        }
        translated
    }

    fn translate(&mut self, data: &str, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
        let completion = match &mut self.state {
            State::Stopped | State::Failed => return Ok(()),
            State::Unreadable(error) => return Err(error.clone()),
            State::Waiting => None,
            State::Started(completion) => Some(completion),
        };
        let event: Event<'_> = read(data)?;
        match (&*event.kind, completion) {
            ("error", _) => {
                error::append_event(&read_member::<ProviderError<'_>>(event.error)?, out);
                self.state = State::Failed;
            }
            ("message_start", None) => {
                let message: Message<'_> = read_member(event.message)?;
                let completion = Completion::new(&message, self.include_usage, self.created);
                completion.append_start(out)?;
                self.state = State::Started(Box::new(completion));
            }
            ("message_start", Some(_)) => {
                return Err(UnreadableAnswer::new("the stream has a second message"));
            }
            ("content_block_start", Some(completion)) => {
                let block = read_member(event.content_block)?;
                completion.start_block(read_member(event.index)?, block, out)?;
            }
            ("content_block_delta", Some(completion)) => {
                let delta = read_member(event.delta)?;
                completion.append_delta(read_member(event.index)?, &delta, out)?;
            }
            ("content_block_stop", Some(completion)) => {
                completion.stop_block(read_member(event.index)?, out)?;
            }
            ("message_delta", Some(completion)) => {
                let usage = event.usage.map(|usage| read(usage.get())).transpose()?;
                completion.update(&read_member(event.delta)?, usage.as_ref(), out)?;
            }
            ("message_stop", Some(completion)) => {
                completion.append_end(out)?;
                self.state = State::Stopped;
            }
            (
                "content_block_start"
                | "content_block_delta"
                | "content_block_stop"
                | "message_delta"
                | "message_stop",
                None,
            ) => {
                return Err(UnreadableAnswer::new(
                    "the stream does not begin with a message",
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the stream where the provider's has ended: appends `[DONE]`, or nothing after an error of the provider.
    ///
    /// # Errors
    /// [`UnreadableAnswer`] if the provider's stream was cut off before `message_stop`.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
        match &self.state {
            State::Stopped => {
                out.extend_from_slice(b"data: [DONE]\n\n");
                Ok(())
            }
            State::Failed => Ok(()),
            State::Unreadable(error) => Err(error.clone()),
            State::Waiting | State::Started(_) => {
                Err(UnreadableAnswer::new("the stream ended before its message"))
            }
        }
    }
}

impl Completion {
    fn new(message: &Message<'_>, include_usage: bool, created: u64) -> Self {
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

    fn append_start(&self, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
        let delta = Delta {
            role: Some("assistant"),
            content: Some(""),
            ..Delta::default()
        };
        self.append_choice(delta, None, out)
    }

    fn start_block(
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

    fn append_delta(
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
    fn stop_block(&mut self, index: u64, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
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

    fn update(
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

    fn append_end(&self, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
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

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, UnreadableAnswer> {
    match serde_json::from_str(json) {
        Ok(value) => Ok(value),
        Err(_) => Err(UnreadableAnswer::new(
            "an event is not what the provider's API describes",
        )),
    }
}

fn read_member<'a, T: Deserialize<'a>>(
    member: Option<&'a RawValue>,
) -> Result<T, UnreadableAnswer> {
    match member {
        Some(value) => read(value.get()),
        None => Err(UnreadableAnswer::new("an event lacks a member")),
    }
}
