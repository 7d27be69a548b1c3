//! Requests: OpenAI's into Anthropic's.

mod blocks;
mod content;
mod conversation;
mod refused;
mod tools;

use std::{borrow::Cow, fmt};

use serde::{Serialize, Serializer, ser::SerializeSeq};
use serde_json::value::RawValue;

use self::{
    blocks::Content,
    conversation::{Conversation, Turn},
    tools::{Tool, ToolChoice, Tools},
};
use super::answers::Answers;
use crate::{
    Untranslatable,
    members::{self, Members, NO_COUNTERPART},
};

/// The limit of tokens for a request that sets none, since Anthropic's API requires one: 16 384.
///
/// A client sets its own with `max_completion_tokens` or `max_tokens`.
pub const DEFAULT_MAX_TOKENS: u64 = 16_384;

/// The default of `temperature` and of `top_p` in both APIs.
const DEFAULT_SAMPLING: f64 = 1.0;

/// A request for the provider.
#[non_exhaustive]
pub struct TranslatedRequest {
    /// The body, as JSON.
    pub body: Vec<u8>,
    /// What translates the provider's answer.
    pub answers: Answers,
}

impl fmt::Debug for TranslatedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TranslatedRequest")
            .field("body_bytes", &self.body.len())
            .field("answers", &self.answers)
            .finish()
    }
}

/// Translates the body of a request for a chat completion into that of a request for a message.
///
/// `model` is the provider's name of the model, put in place of the one in the body.
///
/// # Errors
/// [`Untranslatable`] names a member that has no counterpart, is not what OpenAI's reference describes, or
/// occurs twice. [The module](super#requests) lists what is translated.
///
/// # Examples
/// ```
/// use aisbreaker_translate::chat_to_messages::translate_request;
///
/// let body = br#"{"model": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}"#;
/// let request = translate_request(body, "claude-opus-5-5")?;
///
/// assert_eq!(
///     String::from_utf8_lossy(&request.body),
///     r#"{"model":"claude-opus-5-5","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}"#
/// );
///
/// let refused = translate_request(br#"{"n": 2, "messages": []}"#, "claude-opus-5-5").unwrap_err();
/// assert_eq!(refused.member, "n");
/// # Ok::<(), aisbreaker_translate::Untranslatable>(())
/// ```
pub fn translate_request(body: &[u8], model: &str) -> Result<TranslatedRequest, Untranslatable> {
    let body = members::read_body(body)?;
    let mut request = Members::read(body).map_err(|error| match error.member.as_str() {
        "" => error.within("body"),
        _ => error,
    })?;
    request.take_as("model", members::text)?;
    refused::check(&mut request)?;

    let mode = Mode::take(&mut request)?;
    let output_config = OutputConfig::take(&mut request)?;
    let tools = Tools::take(&mut request)?;
    let mut translated = Request {
        model,
        max_tokens: take_max_tokens(&mut request)?.unwrap_or(DEFAULT_MAX_TOKENS),
        system: Content::default(),
        messages: Vec::new(),
        tools: tools.tools,
        tool_choice: tools.choice,
        temperature: take_sampling(&mut request, "temperature")?,
        top_p: take_sampling(&mut request, "top_p")?,
        stop_sequences: request.take_as("stop", StopSequences::read)?,
        thinking: output_config.thinking,
        output_config: output_config.output_config,
        metadata: take_user(&mut request)?.map(|user_id| Metadata { user_id }),
        service_tier: take_service_tier(&mut request)?,
        cache_control: request.take_as("cache_control", members::object)?,
        stream: mode.stream,
    };
    let messages = request.require_as("messages", Conversation::read)?;
    translated.system = messages.system;
    translated.messages = messages.turns;
    request.finish()?;

    let Ok(body) = serde_json::to_vec(&translated) else {
        return Err(Untranslatable::new("body", "cannot be written as JSON"));
    };
    Ok(TranslatedRequest {
        body,
        answers: Answers::new(mode.stream, mode.include_usage),
    })
}

/// A request of Anthropic's API.
#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "is_empty")]
    system: Content<'a>,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "StopSequences::is_none_or_empty")]
    stop_sequences: Option<StopSequences<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

fn is_empty(content: &Content<'_>) -> bool {
    content.0.is_empty()
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: Cow<'a, str>,
}

/// How the client wants the answer.
struct Mode {
    stream: bool,
    include_usage: bool,
}

impl Mode {
    fn take(request: &mut Members<'_>) -> Result<Self, Untranslatable> {
        let stream = request
            .take_as("stream", members::boolean)?
            .unwrap_or_default();
        let include_usage = request.take_as("stream_options", |options| {
            if !stream {
                return Err(Untranslatable::new("", "needs stream: true"));
            }
            let mut options = Members::read(options)?;
            let include_usage = options.take_as("include_usage", members::boolean)?;
            if options.take_as("include_obfuscation", members::boolean)? == Some(true) {
                return Err(Untranslatable::new("include_obfuscation", NO_COUNTERPART));
            }
            options.finish()?;
            Ok(include_usage.unwrap_or_default())
        })?;
        Ok(Self {
            stream,
            include_usage: include_usage.unwrap_or_default(),
        })
    }
}

fn take_max_tokens(request: &mut Members<'_>) -> Result<Option<u64>, Untranslatable> {
    let max_tokens = request.take_as("max_tokens", members::positive_integer)?;
    let max_completion_tokens =
        request.take_as("max_completion_tokens", members::positive_integer)?;
    match (max_tokens, max_completion_tokens) {
        (Some(old), Some(new)) if old != new => Err(Untranslatable::new(
            "max_tokens",
            "contradicts max_completion_tokens: set one of them",
        )),
        (old, new) => Ok(new.or(old)),
    }
}

/// Takes a parameter of sampling, which Anthropic's API has between 0 and 1. Recent models accept none, so that the
/// default of both APIs is left out.
fn take_sampling<'a>(
    request: &mut Members<'a>,
    name: &str,
) -> Result<Option<&'a RawValue>, Untranslatable> {
    let read = |value: &'a RawValue| match members::number(value)? {
        number if number == DEFAULT_SAMPLING => Ok(None),
        number if (0.0..DEFAULT_SAMPLING).contains(&number) => Ok(Some(value)),
        _ => Err(Untranslatable::new(
            "",
            "is not between 0 and 1, the range of the provider's API",
        )),
    };
    Ok(request.take_as(name, read)?.flatten())
}

/// The sequences that end an answer.
enum StopSequences<'a> {
    One(Cow<'a, str>),
    /// An array of strings, as it is.
    Many {
        array: &'a RawValue,
        is_empty: bool,
    },
}

impl<'a> StopSequences<'a> {
    fn read(stop: &'a RawValue) -> Result<Self, Untranslatable> {
        if members::is_string(stop) {
            return Ok(Self::One(members::text(stop)?));
        }
        let mut is_empty = true;
        members::for_each_item(stop, |_, sequence| {
            is_empty = false;
            members::text(sequence).map(drop)
        })?;
        Ok(Self::Many {
            array: stop,
            is_empty,
        })
    }

    fn is_none_or_empty(sequences: &Option<Self>) -> bool {
        matches!(sequences, None | Some(Self::Many { is_empty: true, .. }))
    }
}

impl Serialize for StopSequences<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(sequence) => {
                let mut sequences = serializer.serialize_seq(Some(1))?;
                sequences.serialize_element(sequence)?;
                sequences.end()
            }
            Self::Many { array, .. } => array.serialize(serializer),
        }
    }
}

/// Whether the model thinks before it answers.
#[derive(Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Thinking {
    Disabled,
}

/// The effort and the format of the output.
#[derive(Serialize)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
}

#[derive(Serialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: &'a RawValue,
}

/// What `reasoning_effort` and `response_format` become.
struct Output<'a> {
    thinking: Option<Thinking>,
    output_config: Option<OutputConfig<'a>>,
}

impl<'a> OutputConfig<'a> {
    fn take(request: &mut Members<'a>) -> Result<Output<'a>, Untranslatable> {
        let effort = request.take_as("reasoning_effort", read_effort)?;
        let format = request.take_as("response_format", read_format)?.flatten();
        let (thinking, effort) = match effort {
            Some(Effort::None) => (Some(Thinking::Disabled), None),
            Some(Effort::Some(effort)) => (None, Some(effort)),
            None => (None, None),
        };
        let has_output_config = effort.is_some() || format.is_some();
        Ok(Output {
            thinking,
            output_config: has_output_config.then_some(Self { effort, format }),
        })
    }
}

enum Effort {
    None,
    Some(&'static str),
}

fn read_effort(effort: &RawValue) -> Result<Effort, Untranslatable> {
    match &*members::text(effort)? {
        "none" => Ok(Effort::None),
        "low" => Ok(Effort::Some("low")),
        "medium" => Ok(Effort::Some("medium")),
        "high" => Ok(Effort::Some("high")),
        "xhigh" => Ok(Effort::Some("xhigh")),
        "max" => Ok(Effort::Some("max")),
        "minimal" => Err(Untranslatable::new(
            "",
            "is minimal, which has no counterpart in the provider's API: use none or low",
        )),
        _ => Err(Untranslatable::new(
            "",
            "is not one of none, low, medium, high, xhigh and max",
        )),
    }
}

fn read_format(format: &RawValue) -> Result<Option<Format<'_>>, Untranslatable> {
    let mut format = Members::read(format)?;
    let translated = match &*format.require_as("type", members::text)? {
        "text" => None,
        "json_schema" => Some(format.require_as("json_schema", read_json_schema)?),
        "json_object" => {
            return Err(Untranslatable::new(
                "type",
                "is json_object, which has no counterpart in the provider's API: use json_schema",
            ));
        }
        _ => {
            return Err(Untranslatable::new(
                "type",
                "is neither text nor json_schema",
            ));
        }
    };
    format.finish()?;
    Ok(translated)
}

/// The name is a label that the model need not know. Anthropic's API is always as strict as OpenAI's with `strict`.
fn read_json_schema(json_schema: &RawValue) -> Result<Format<'_>, Untranslatable> {
    let mut json_schema = Members::read(json_schema)?;
    json_schema.require_as("name", members::text)?;
    json_schema.take_as("strict", members::boolean)?;
    let schema = json_schema.require_as("schema", members::object)?;
    json_schema.finish()?;
    Ok(Format {
        kind: "json_schema",
        schema,
    })
}

/// Takes the id of the end user, which has an old and a new name.
fn take_user<'a>(request: &mut Members<'a>) -> Result<Option<Cow<'a, str>>, Untranslatable> {
    let user = request.take_as("user", members::text)?;
    let safety_identifier = request.take_as("safety_identifier", members::text)?;
    match (user, safety_identifier) {
        (Some(old), Some(new)) if old != new => Err(Untranslatable::new(
            "user",
            "contradicts safety_identifier: the provider's API has one id of the user",
        )),
        (old, new) => Ok(new.or(old)),
    }
}

fn take_service_tier(request: &mut Members<'_>) -> Result<Option<&'static str>, Untranslatable> {
    let read = |tier: &RawValue| match &*members::text(tier)? {
        "auto" => Ok(None),
        "default" => Ok(Some("standard_only")),
        _ => Err(Untranslatable::new(
            "",
            "has no counterpart in the provider's API: only auto and default have",
        )),
    };
    Ok(request.take_as("service_tier", read)?.flatten())
}
