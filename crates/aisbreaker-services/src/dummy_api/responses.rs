//! `POST /v1/responses` and `POST /v1/responses/input_tokens`. Nothing is stored.

mod events;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::{
    Content, Request,
    answer::{Answer, Format, Question, check_max_tokens, tokens_read},
    chat_completions::ResponseFormat,
    fault::Fault,
    id,
    prompt::Prompt,
    tool::{ToolChoice, Tools},
};

/// The members of a request that its response repeats, and those that decide about it.
#[derive(Deserialize)]
struct ResponseRequest<'a> {
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    max_output_tokens: Option<u64>,
    parallel_tool_calls: Option<bool>,
    previous_response_id: Option<String>,
    stream: Option<bool>,
    temperature: Option<f64>,
    top_p: Option<f64>,
}

#[derive(Deserialize)]
struct TextOptions<'a> {
    #[serde(borrow)]
    format: Option<ResponseFormat<'a>>,
}

/// A response, of which a stream shows several states.
struct Response {
    id: String,
    created_at: u64,
    model: String,
    repeated: Repeated,
    item_id: String,
    call_id: String,
    answer: Answer,
    input_tokens: u64,
}

/// What a response repeats of its request.
#[derive(Clone)]
struct Repeated {
    instructions: Option<Box<RawValue>>,
    tools: Option<Box<RawValue>>,
    tool_choice: Option<Box<RawValue>>,
    text: Option<Box<RawValue>>,
    metadata: Option<Box<RawValue>>,
    max_output_tokens: Option<u64>,
    parallel_tool_calls: bool,
    previous_response_id: Option<String>,
    temperature: f64,
    top_p: f64,
}

/// How far a response is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Status {
    InProgress,
    Completed,
    Incomplete,
}

/// A response as it is written.
#[derive(Serialize)]
struct Written<'a> {
    id: &'a str,
    object: &'static str,
    created_at: u64,
    completed_at: Option<u64>,
    status: Status,
    background: bool,
    error: Option<()>,
    incomplete_details: Option<Value>,
    instructions: Option<&'a RawValue>,
    max_output_tokens: Option<u64>,
    max_tool_calls: Option<u64>,
    metadata: Raw<'a>,
    model: &'a str,
    output: Vec<Value>,
    parallel_tool_calls: bool,
    previous_response_id: Option<&'a str>,
    reasoning: Value,
    service_tier: &'static str,
    store: bool,
    temperature: f64,
    text: Raw<'a>,
    tool_choice: Raw<'a>,
    tools: Raw<'a>,
    top_logprobs: u8,
    top_p: f64,
    truncation: &'static str,
    usage: Option<Value>,
    user: Option<()>,
}

/// A value of the request, or one in its place.
#[derive(Serialize)]
#[serde(untagged)]
enum Raw<'a> {
    Repeated(&'a RawValue),
    Default(Value),
}

impl Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
        }
    }
}

pub(super) fn answer(request: Request<'_>) -> Result<Content, Fault> {
    let written: ResponseRequest<'_> = request.parse()?;
    let input = written.input.ok_or(Fault::missing("input"))?;
    let text: Option<TextOptions<'_>> = match written.text {
        Some(text) => match serde_json::from_str(text.get()) {
            Ok(text) => Some(text),
            Err(_) => return Err(Fault::invalid("text", "is malformed")),
        },
        None => None,
    };
    let format = text.as_ref().and_then(|text| text.format.as_ref());
    let question = Question {
        model: request.model,
        prompt: Prompt::of(input, "input")?,
        tools: Tools(written.tools),
        tool_choice: ToolChoice::of(written.tool_choice)?,
        format: format.map_or(Format::Text, ResponseFormat::format),
        max_tokens: check_max_tokens(written.max_output_tokens, "max_output_tokens")?,
    };
    let answer = question.answer()?;
    let response = Response {
        id: id::fresh("resp_"),
        created_at: id::created(),
        model: request.model.name.clone(),
        item_id: id::fresh(match &answer {
            Answer::Text { .. } => "msg_",
            Answer::ToolCall { .. } => "fc_",
        }),
        call_id: id::fresh("call_"),
        answer,
        input_tokens: written.input_tokens(),
        repeated: written.repeated(),
    };
    if written.stream == Some(true) {
        Ok(Content::Events(Box::new(response.events())))
    } else {
        let whole = serde_json::to_value(response.at_end());
        whole.map(Content::Json).map_err(|_error| Fault::internal())
    }
}

pub(super) fn count(request: Request<'_>) -> Result<Content, Fault> {
    let written: ResponseRequest<'_> = request.parse()?;
    Ok(Content::Json(json!({
        "object": "response.input_tokens", "input_tokens": written.input_tokens(),
    })))
}

impl ResponseRequest<'_> {
    fn input_tokens(&self) -> u64 {
        tokens_read(&[self.input, self.instructions, self.tools])
    }

    fn repeated(&self) -> Repeated {
        let owned = |value: Option<&RawValue>| value.map(ToOwned::to_owned);
        Repeated {
            instructions: owned(self.instructions),
            tools: owned(self.tools),
            tool_choice: owned(self.tool_choice),
            text: owned(self.text),
            metadata: owned(self.metadata),
            max_output_tokens: self.max_output_tokens,
            parallel_tool_calls: self.parallel_tool_calls.unwrap_or(true),
            previous_response_id: self.previous_response_id.clone(),
            temperature: self.temperature.unwrap_or(1.0),
            top_p: self.top_p.unwrap_or(1.0),
        }
    }
}

impl Response {
    /// Returns the response before it has any output.
    fn at_start(&self) -> Written<'_> {
        self.written(Status::InProgress, Vec::new(), None)
    }

    /// Returns the whole response.
    fn at_end(&self) -> Written<'_> {
        let output_tokens = self.answer.tokens();
        let usage = json!({
            "input_tokens": self.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.input_tokens.saturating_add(output_tokens),
        });
        let status = self.end_status();
        self.written(status, vec![self.item(status)], Some(usage))
    }

    fn end_status(&self) -> Status {
        match &self.answer {
            Answer::Text { is_cut: true, .. } => Status::Incomplete,
            Answer::Text { is_cut: false, .. } | Answer::ToolCall { .. } => Status::Completed,
        }
    }

    /// Returns the only item of the output, without its content while it is in progress.
    fn item(&self, status: Status) -> Value {
        let is_begun = status == Status::InProgress;
        match &self.answer {
            Answer::Text { text, .. } => {
                let content = if is_begun {
                    Vec::new()
                } else {
                    vec![text_part(text)]
                };
                json!({
                    "id": self.item_id, "type": "message", "role": "assistant",
                    "status": status.as_str(), "content": content,
                })
            }
            Answer::ToolCall { name, arguments } => json!({
                "id": self.item_id, "type": "function_call", "status": status.as_str(),
                "call_id": self.call_id, "name": name,
                "arguments": if is_begun { "" } else { arguments },
            }),
        }
    }

    fn written(&self, status: Status, output: Vec<Value>, usage: Option<Value>) -> Written<'_> {
        let repeated = &self.repeated;
        Written {
            id: &self.id,
            object: "response",
            created_at: self.created_at,
            completed_at: (status == Status::Completed).then_some(self.created_at),
            status,
            background: false,
            error: None,
            incomplete_details: (status == Status::Incomplete)
                .then(|| json!({"reason": "max_output_tokens"})),
            instructions: repeated.instructions.as_deref(),
            max_output_tokens: repeated.max_output_tokens,
            max_tool_calls: None,
            metadata: raw(repeated.metadata.as_deref(), || json!({})),
            model: &self.model,
            output,
            parallel_tool_calls: repeated.parallel_tool_calls,
            previous_response_id: repeated.previous_response_id.as_deref(),
            reasoning: json!({"effort": null, "summary": null}),
            service_tier: "default",
            store: false,
            temperature: repeated.temperature,
            text: raw(
                repeated.text.as_deref(),
                || json!({"format": {"type": "text"}}),
            ),
            tool_choice: raw(repeated.tool_choice.as_deref(), || json!("auto")),
            tools: raw(repeated.tools.as_deref(), || json!([])),
            top_logprobs: 0,
            top_p: repeated.top_p,
            truncation: "disabled",
            usage,
            user: None,
        }
    }
}

fn raw<'a>(repeated: Option<&'a RawValue>, default: impl FnOnce() -> Value) -> Raw<'a> {
    match repeated {
        Some(value) => Raw::Repeated(value),
        None => Raw::Default(default()),
    }
}

fn text_part(text: &Arc<str>) -> Value {
    json!({"type": "output_text", "text": &**text, "annotations": [], "logprobs": []})
}
