//! What a provider answers: a chat completion, or a chunk of one.
//!
//! Source: <https://platform.openai.com/docs/api-reference/chat>, and what other providers add to it: reasoning as
//! `reasoning_content` or `reasoning`, content in parts, arguments as an object.

use serde::Deserialize;
use serde_json::{Number, value::RawValue};

use super::message;
use crate::UnreadableAnswer;

/// A chat completion, or a chunk of one. Unknown members are ignored.
#[derive(Deserialize)]
pub(super) struct Completion {
    pub(super) id: Option<String>,
    /// A number, not always an integer.
    created: Option<Number>,
    pub(super) model: Option<String>,
    pub(super) object: Option<String>,
    pub(super) choices: Option<Vec<Choice>>,
    usage: Option<Usage>,
    x_groq: Option<Groq>,
    pub(super) error: Option<Box<RawValue>>,
}

/// Where Groq puts the usage of a stream.
#[derive(Deserialize)]
struct Groq {
    usage: Option<Usage>,
}

impl Completion {
    pub(super) fn usage(&self) -> Option<Usage> {
        let groq = || self.x_groq.as_ref()?.usage;
        self.usage.or_else(groq)
    }

    /// Returns the id of the message.
    pub(super) fn message_id(&self) -> String {
        match self.id.as_deref().filter(|id| !id.is_empty()) {
            Some(id) if id.starts_with("msg_") => id.to_owned(),
            Some(id) => format!("msg_{}", id.strip_prefix("chatcmpl-").unwrap_or(id)),
            None => {
                let created = self.created.as_ref().map(Number::to_string);
                format!("msg_{}", created.unwrap_or_default().replace('.', "_"))
            }
        }
    }

    /// Returns whether it reports an error instead.
    pub(super) fn is_error(&self) -> bool {
        self.error.is_some() || self.object.as_deref() == Some("error")
    }

    /// Takes the one choice that was asked for.
    pub(super) fn into_choice(self) -> Option<Choice> {
        let choices = self.choices.unwrap_or_default();
        choices
            .into_iter()
            .find(|choice| choice.index.unwrap_or(0) == 0)
    }
}

#[derive(Deserialize)]
pub(super) struct Choice {
    pub(super) index: Option<u64>,
    /// Of a chat completion.
    pub(super) message: Option<Answer>,
    /// Of a chunk.
    pub(super) delta: Option<Answer>,
    pub(super) finish_reason: Option<String>,
}

/// What the model wrote, or a piece of it.
#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) content: Option<Content>,
    pub(super) refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    pub(super) tool_calls: Option<Vec<ToolCall>>,
    /// Answers `functions`, which are never sent.
    pub(super) function_call: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part {
    Text {
        text: String,
    },
    Thinking {
        thinking: Reasoning,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Reasoning {
    Text(String),
    Parts(Vec<ReasoningPart>),
}

#[derive(Deserialize)]
pub(super) struct ReasoningPart {
    pub(super) text: Option<String>,
}

/// A piece of an answer, in order.
#[derive(Clone, Copy)]
pub(super) enum Piece<'a> {
    Thinking(&'a str, Origin),
    Text(&'a str),
}

/// Where reasoning came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    /// The member `reasoning_content`, in which the provider wants it back.
    ReasoningContent,
    Other,
}

impl Answer {
    /// Returns reasoning, content and refusal in order, without what is empty.
    ///
    /// # Errors
    ///
    /// Content of a type that was not asked for.
    pub(super) fn pieces(&self) -> Result<Vec<Piece<'_>>, UnreadableAnswer> {
        let mut pieces = Vec::new();
        pieces.extend(self.reasoning());
        match &self.content {
            Some(Content::Text(text)) => pieces.push(Piece::Text(text)),
            Some(Content::Parts(parts)) => {
                for part in parts {
                    part.append_to(&mut pieces)?;
                }
            }
            None => {}
        }
        pieces.extend(self.refusal.as_deref().map(Piece::Text));
        pieces.retain(|piece| match piece {
            Piece::Thinking(text, _) | Piece::Text(text) => !text.is_empty(),
        });
        if self.function_call.is_some() {
            return Err(UnreadableAnswer::new(
                "it calls a function that was not offered",
            ));
        }
        Ok(pieces)
    }

    /// Returns the reasoning. Some providers send it under both names.
    fn reasoning(&self) -> Option<Piece<'_>> {
        let texts = [
            (&self.reasoning_content, Origin::ReasoningContent),
            (&self.reasoning, Origin::Other),
        ];
        texts.into_iter().find_map(|(text, origin)| {
            let text = text.as_deref().filter(|text| !text.is_empty())?;
            Some(Piece::Thinking(text, origin))
        })
    }
}

impl Part {
    fn append_to<'a>(&'a self, pieces: &mut Vec<Piece<'a>>) -> Result<(), UnreadableAnswer> {
        match self {
            Self::Text { text } => pieces.push(Piece::Text(text)),
            Self::Thinking {
                thinking: Reasoning::Text(text),
            } => pieces.push(Piece::Thinking(text, Origin::Other)),
            Self::Thinking {
                thinking: Reasoning::Parts(parts),
            } => {
                let texts = parts.iter().filter_map(|part| part.text.as_deref());
                pieces.extend(texts.map(|text| Piece::Thinking(text, Origin::Other)));
            }
            Self::Other => {
                return Err(UnreadableAnswer::new(
                    "its content has a part that is neither text nor thinking",
                ));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
pub(super) struct ToolCall {
    pub(super) index: Option<u64>,
    pub(super) id: Option<String>,
    pub(super) function: Option<Function>,
}

impl ToolCall {
    /// Returns the id, if there is one that is not empty.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref().filter(|id| !id.is_empty())
    }

    /// Returns the name of the tool, if there is one that is not empty.
    pub(super) fn name(&self) -> Option<&str> {
        let name = self.function.as_ref()?.name.as_deref()?;
        (!name.is_empty()).then_some(name)
    }

    /// Returns the arguments as JSON text, or a piece of it.
    pub(super) fn arguments(&self) -> Result<String, UnreadableAnswer> {
        let arguments = self
            .function
            .as_ref()
            .and_then(|function| function.arguments.as_deref());
        let Some(arguments) = arguments.map(RawValue::get) else {
            return Ok(String::new());
        };
        if arguments.starts_with('{') {
            return Ok(arguments.to_owned());
        }
        match serde_json::from_str(arguments) {
            Ok(text) => Ok(text),
            Err(_) => Err(UnreadableAnswer::new(ARGUMENTS_ARE_NO_OBJECT)),
        }
    }
}

/// The reason of a tool call that cannot be read.
pub(super) const ARGUMENTS_ARE_NO_OBJECT: &str =
    "the arguments of a tool call are not a JSON object";

/// Reads the arguments of a tool call. None at all are an empty object.
pub(super) fn read_arguments(arguments: &str) -> Option<&RawValue> {
    let arguments = match arguments.trim() {
        "" => "{}",
        arguments => arguments,
    };
    let arguments: &RawValue = serde_json::from_str(arguments).ok()?;
    arguments.get().starts_with('{').then_some(arguments)
}

#[derive(Deserialize)]
pub(super) struct Function {
    name: Option<String>,
    arguments: Option<Box<RawValue>>,
}

#[derive(Clone, Copy, Deserialize)]
pub(super) struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptTokens>,
    completion_tokens_details: Option<CompletionTokens>,
    /// DeepSeek's name for the tokens that were cached.
    prompt_cache_hit_tokens: Option<u64>,
    /// Where Moonshot puts them.
    cached_tokens: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
struct PromptTokens {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
struct CompletionTokens {
    reasoning_tokens: Option<u64>,
}

impl Usage {
    pub(super) fn translate(self) -> message::Usage {
        let details = self.prompt_tokens_details;
        let cached = details.and_then(|details| details.cached_tokens);
        let read = cached
            .or(self.prompt_cache_hit_tokens)
            .or(self.cached_tokens)
            .unwrap_or(0);
        let written = details
            .and_then(|details| details.cache_write_tokens)
            .unwrap_or(0);
        let prompt = self.prompt_tokens.unwrap_or(0);
        let reasoning = self
            .completion_tokens_details
            .and_then(|details| details.reasoning_tokens);
        // Some providers count reasoning only in the total.
        let not_prompt = self.total_tokens.unwrap_or(0).saturating_sub(prompt);
        message::Usage {
            input_tokens: prompt.saturating_sub(read).saturating_sub(written),
            cache_creation_input_tokens: written,
            cache_read_input_tokens: read,
            output_tokens: self.completion_tokens.unwrap_or(0).max(not_prompt),
            output_tokens_details: reasoning
                .map(|thinking_tokens| message::OutputTokens { thinking_tokens }),
        }
    }
}

/// Why the model stopped, in the provider's words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FinishReason {
    Stop,
    Length,
    ContentFilter,
}

impl FinishReason {
    /// Reads the reason, of which some providers have names of their own.
    pub(super) fn read(name: &str) -> Result<Self, UnreadableAnswer> {
        match name {
            "stop" | "tool_calls" | "function_call" | "eos" | "end_turn" => Ok(Self::Stop),
            "length" | "max_tokens" | "model_length" => Ok(Self::Length),
            "content_filter" => Ok(Self::ContentFilter),
            _ => Err(UnreadableAnswer::new("its finish_reason is unknown")),
        }
    }

    pub(super) fn stop_reason(self, answer: Summary) -> message::StopReason {
        match (self, answer) {
            (Self::ContentFilter, _)
            | (
                Self::Stop,
                Summary {
                    is_refusal: true, ..
                },
            ) => message::StopReason::Refusal,
            (Self::Length, _) => message::StopReason::MaxTokens,
            (
                Self::Stop,
                Summary {
                    has_calls: true, ..
                },
            ) => message::StopReason::ToolUse,
            (Self::Stop, _) => message::StopReason::EndTurn,
        }
    }
}

/// What an answer holds that decides about the stop reason.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary {
    pub(super) is_refusal: bool,
    pub(super) has_calls: bool,
}
