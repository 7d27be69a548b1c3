//! `POST /v1/chat/completions`.

use std::{iter, sync::Arc};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    Content, Request,
    answer::{Answer, Format, Question, check_max_tokens, tokens_read, words},
    event,
    fault::Fault,
    id,
    prompt::Prompt,
    tool::{ToolChoice, Tools},
};

/// The most choices of one answer.
pub(super) const MAX_CHOICES: u32 = 128;

#[derive(Deserialize)]
struct ChatRequest<'a> {
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    response_format: Option<ResponseFormat<'a>>,
    n: Option<u32>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

/// `response_format`, or `text.format` of a response, which has the schema itself.
#[derive(Deserialize)]
pub(super) struct ResponseFormat<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    json_schema: Option<JsonSchema<'a>>,
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct JsonSchema<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
}

impl<'a> ResponseFormat<'a> {
    pub(super) fn format(&self) -> Format<'a> {
        let nested = self.json_schema.as_ref().and_then(|format| format.schema);
        match (self.kind.as_str(), self.schema.or(nested)) {
            ("json_schema", Some(schema)) => Format::Schema(schema),
            ("json_schema" | "json_object", _) => Format::Json,
            _ => Format::Text,
        }
    }
}

/// What is the same in all choices and chunks.
#[derive(Clone)]
struct Completion {
    id: Arc<str>,
    created: u64,
    model: Arc<str>,
    answer: Answer,
    choices: u32,
    input_tokens: u64,
}

pub(super) fn answer(request: Request<'_>) -> Result<Content, Fault> {
    let chat: ChatRequest<'_> = request.parse()?;
    let messages = chat.messages.ok_or(Fault::missing("messages"))?;
    let max_tokens = chat.max_completion_tokens.or(chat.max_tokens);
    let question = Question {
        model: request.model,
        prompt: Prompt::of(messages, "messages")?,
        tools: Tools(chat.tools),
        tool_choice: ToolChoice::of(chat.tool_choice)?,
        format: match &chat.response_format {
            Some(format) => format.format(),
            None => Format::Text,
        },
        max_tokens: check_max_tokens(max_tokens, "max_completion_tokens")?,
    };
    let completion = Completion {
        id: id::fresh("chatcmpl-").into(),
        created: id::created(),
        model: request.model.name.as_str().into(),
        answer: question.answer()?,
        choices: choices(chat.n)?,
        input_tokens: tokens_read(&[Some(messages), chat.tools]),
    };
    if chat.stream == Some(true) {
        let with_usage = chat.stream_options.unwrap_or_default().include_usage == Some(true);
        Ok(Content::Events(Box::new(completion.events(with_usage))))
    } else {
        Ok(Content::Json(completion.whole()))
    }
}

/// Checks the number of choices.
pub(super) fn choices(n: Option<u32>) -> Result<u32, Fault> {
    match n.unwrap_or(1) {
        n @ 1..=MAX_CHOICES => Ok(n),
        _ => Err(Fault::invalid("n", "must be from 1 to 128")),
    }
}

/// Returns the usage of a completion.
pub(super) fn usage(input_tokens: u64, output_tokens: u64) -> Value {
    json!({
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens.saturating_add(output_tokens),
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

impl Completion {
    fn whole(&self) -> Value {
        let choices = (0..self.choices).map(|index| {
            json!({
                "index": index, "message": self.message(), "logprobs": null,
                "finish_reason": self.finish_reason(),
            })
        });
        json!({
            "id": &*self.id, "object": "chat.completion", "created": self.created,
            "model": &*self.model, "choices": Vec::from_iter(choices), "usage": self.usage(),
            "service_tier": "default", "system_fingerprint": null,
        })
    }

    fn message(&self) -> Value {
        match &self.answer {
            Answer::Text { text, .. } => json!({
                "role": "assistant", "content": &**text, "refusal": null, "annotations": [],
            }),
            Answer::ToolCall { name, arguments } => json!({
                "role": "assistant", "content": null, "refusal": null, "annotations": [],
                "tool_calls": [{
                    "id": id::fresh("call_"), "type": "function",
                    "function": {"name": name, "arguments": &**arguments},
                }],
            }),
        }
    }

    fn finish_reason(&self) -> &'static str {
        match &self.answer {
            Answer::Text { is_cut: true, .. } => "length",
            Answer::Text { is_cut: false, .. } => "stop",
            Answer::ToolCall { .. } => "tool_calls",
        }
    }

    fn usage(&self) -> Value {
        let output_tokens = self.answer.tokens().saturating_mul(u64::from(self.choices));
        usage(self.input_tokens, output_tokens)
    }

    fn events(self, with_usage: bool) -> impl Iterator<Item = Bytes> + Send {
        let last = with_usage.then(|| self.chunk(&json!([]), self.usage()));
        let deltas = (0..self.choices).flat_map(move |index| {
            let chunks = self.clone();
            self.deltas()
                .map(move |delta| chunks.delta_chunk(index, delta, with_usage))
        });
        deltas.chain(last).chain(iter::once(event::DONE))
    }

    /// Returns the deltas of one choice, and the last one's reason to end.
    fn deltas(&self) -> impl Iterator<Item = (Value, Option<&'static str>)> + Send + use<> {
        let end = iter::once((json!({}), Some(self.finish_reason())));
        let (start, pieces): (Value, Box<dyn Iterator<Item = Value> + Send>) = match &self.answer {
            Answer::Text { text, .. } => (
                json!({"role": "assistant", "content": "", "refusal": null}),
                Box::new(words(Arc::clone(text)).map(|word| json!({"content": word}))),
            ),
            Answer::ToolCall { name, arguments } => (
                json!({"role": "assistant", "content": null, "tool_calls": [{
                    "index": 0, "id": id::fresh("call_"), "type": "function",
                    "function": {"name": name, "arguments": ""},
                }]}),
                Box::new(words(Arc::clone(arguments)).map(
                    |piece| json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}),
                )),
            ),
        };
        let deltas = iter::once(start).chain(pieces);
        deltas.map(|delta| (delta, None)).chain(end)
    }

    fn delta_chunk(
        &self,
        index: u32,
        (delta, finish_reason): (Value, Option<&'static str>),
        with_usage: bool,
    ) -> Bytes {
        let choices = json!([{
            "index": index, "delta": delta, "logprobs": null, "finish_reason": finish_reason,
        }]);
        // With `include_usage`, all chunks have the member, and only the last one has a value.
        if with_usage {
            return self.chunk(&choices, Value::Null);
        }
        event::unnamed(&self.bare_chunk(&choices))
    }

    fn chunk(&self, choices: &Value, usage: Value) -> Bytes {
        let mut chunk = self.bare_chunk(choices);
        if let Some(members) = chunk.as_object_mut() {
            members.insert("usage".to_owned(), usage);
        }
        event::unnamed(&chunk)
    }

    fn bare_chunk(&self, choices: &Value) -> Value {
        json!({
            "id": &*self.id, "object": "chat.completion.chunk", "created": self.created,
            "model": &*self.model, "choices": choices,
            "service_tier": "default", "system_fingerprint": null,
        })
    }
}
