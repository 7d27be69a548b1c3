//! What the client gets: a message, the events of a stream, and error objects.
//!
//! Source: <https://platform.claude.com/docs/en/api/messages> and its page on streaming.

use serde::Serialize;
use serde_json::value::RawValue;

/// Writes JSON.
pub(super) fn to_json(value: &impl Serialize) -> Vec<u8> {
    // Serializing types whose keys are strings does not fail.
    serde_json::to_vec(value).unwrap_or_default()
}

/// Appends an event of a stream. Its name is the `type` of the data.
pub(super) fn write_event(name: &str, data: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.append(&mut to_json(data));
    out.extend_from_slice(b"\n\n");
}

/// A message, or its head in a stream.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    pub(super) id: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) role: &'static str,
    pub(super) model: &'a str,
    pub(super) content: Vec<Block<'a>>,
    #[serde(flatten)]
    pub(super) stop: Stop,
    pub(super) usage: Usage,
}

impl<'a> Message<'a> {
    pub(super) fn new(id: &'a str, model: &'a str) -> Self {
        Self {
            id,
            kind: "message",
            role: "assistant",
            model,
            content: Vec::new(),
            stop: Stop::default(),
            usage: Usage::default(),
        }
    }
}

/// A block of content.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: &'a str,
    },
    Thinking {
        thinking: &'a str,
        /// See [`reasoning`](super::reasoning).
        signature: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: &'a RawValue,
    },
}

/// Why the model stopped, if it has.
#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct Stop {
    #[serde(rename = "stop_reason")]
    pub(super) reason: Option<StopReason>,
    /// Always `null`: a provider of chat completions does not report which sequence it was.
    #[serde(rename = "stop_sequence")]
    pub(super) sequence: (),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StopReason {
    EndTurn,
    MaxTokens,
    ToolUse,
    Refusal,
}

#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct Usage {
    /// Without those that were read from a cache or written to it.
    pub(super) input_tokens: u64,
    pub(super) cache_creation_input_tokens: u64,
    pub(super) cache_read_input_tokens: u64,
    pub(super) output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_tokens_details: Option<OutputTokens>,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct OutputTokens {
    pub(super) thinking_tokens: u64,
}

/// An event of a stream.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    MessageStart {
        message: Message<'a>,
    },
    ContentBlockStart {
        index: u64,
        content_block: Block<'a>,
    },
    ContentBlockDelta {
        index: u64,
        delta: Delta<'a>,
    },
    ContentBlockStop {
        index: u64,
    },
    MessageDelta {
        delta: Stop,
        usage: Usage,
    },
    MessageStop,
}

impl Event<'_> {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let name = match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        };
        write_event(name, self, out);
    }
}

#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}
