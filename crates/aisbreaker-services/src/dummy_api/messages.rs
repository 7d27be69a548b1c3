//! `POST /v1/messages` and `POST /v1/messages/count_tokens`.

use std::{iter, sync::Arc};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    Content, Request,
    answer::{Answer, Format, Question, as_object, check_max_tokens, tokens_read, words},
    chat_completions::ResponseFormat,
    event,
    fault::Fault,
    id,
    prompt::Prompt,
    tool::{ToolChoice, Tools},
};

#[derive(Deserialize)]
struct MessagesRequest<'a> {
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    output_config: Option<OutputConfig<'a>>,
    max_tokens: Option<u64>,
    stream: Option<bool>,
}

#[derive(Deserialize)]
struct OutputConfig<'a> {
    #[serde(borrow)]
    format: Option<ResponseFormat<'a>>,
}

/// An answer, with what all its events share.
struct Message {
    id: String,
    model: String,
    answer: Answer,
    input_tokens: u64,
}

pub(super) fn answer(request: Request<'_>) -> Result<Content, Fault> {
    let written: MessagesRequest<'_> = request.parse()?;
    let messages = written.messages.ok_or(Fault::missing("messages"))?;
    let max_tokens = check_max_tokens(written.max_tokens, "max_tokens")?;
    let format = written.output_config.as_ref();
    let format = format.and_then(|config| config.format.as_ref());
    let question = Question {
        model: request.model,
        prompt: Prompt::of(messages, "messages")?,
        tools: Tools(written.tools),
        tool_choice: ToolChoice::of(written.tool_choice)?,
        format: format.map_or(Format::Text, ResponseFormat::format),
        max_tokens: Some(max_tokens.ok_or(Fault::missing("max_tokens"))?),
    };
    let message = Message {
        id: id::fresh("msg_"),
        model: request.model.name.clone(),
        answer: question.answer()?,
        input_tokens: written.input_tokens(),
    };
    if written.stream == Some(true) {
        Ok(Content::Events(Box::new(message.events())))
    } else {
        Ok(Content::Json(message.whole()))
    }
}

pub(super) fn count(request: Request<'_>) -> Result<Content, Fault> {
    let written: MessagesRequest<'_> = request.parse()?;
    if written.messages.is_none() {
        return Err(Fault::missing("messages"));
    }
    Ok(Content::Json(
        json!({"input_tokens": written.input_tokens()}),
    ))
}

impl MessagesRequest<'_> {
    fn input_tokens(&self) -> u64 {
        tokens_read(&[self.messages, self.system, self.tools])
    }
}

impl Message {
    fn whole(&self) -> Value {
        let usage = self.usage(self.answer.tokens());
        self.message(&json!([self.block()]), Some(self.stop_reason()), &usage)
    }

    fn message(&self, content: &Value, stop_reason: Option<&str>, usage: &Value) -> Value {
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model,
            "content": content, "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
        })
    }

    fn block(&self) -> Value {
        match &self.answer {
            Answer::Text { text, .. } => json!({"type": "text", "text": &**text}),
            Answer::ToolCall { name, arguments } => json!({
                "type": "tool_use", "id": id::fresh("toolu_"), "name": name,
                "input": as_object(arguments),
            }),
        }
    }

    fn stop_reason(&self) -> &'static str {
        match &self.answer {
            Answer::Text { is_cut: true, .. } => "max_tokens",
            Answer::Text { is_cut: false, .. } => "end_turn",
            Answer::ToolCall { .. } => "tool_use",
        }
    }

    fn usage(&self, output_tokens: u64) -> Value {
        json!({
            "input_tokens": self.input_tokens, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0, "output_tokens": output_tokens,
            "service_tier": "standard",
        })
    }

    fn events(self) -> impl Iterator<Item = Bytes> + Send {
        // The usage at the start has what was written so far.
        let message = self.message(&json!([]), None, &self.usage(1));
        let (block, deltas): (_, Box<dyn Iterator<Item = Value> + Send>) = match &self.answer {
            Answer::Text { text, .. } => (
                json!({"type": "text", "text": ""}),
                Box::new(
                    words(Arc::clone(text)).map(|word| json!({"type": "text_delta", "text": word})),
                ),
            ),
            Answer::ToolCall { name, arguments } => (
                json!({"type": "tool_use", "id": id::fresh("toolu_"), "name": name, "input": {}}),
                Box::new(
                    words(Arc::clone(arguments))
                        .map(|piece| json!({"type": "input_json_delta", "partial_json": piece})),
                ),
            ),
        };
        let start = [
            json!({"type": "message_start", "message": message}),
            json!({"type": "content_block_start", "index": 0, "content_block": block}),
            json!({"type": "ping"}),
        ];
        let deltas =
            deltas.map(|delta| json!({"type": "content_block_delta", "index": 0, "delta": delta}));
        let end = [
            json!({"type": "content_block_stop", "index": 0}),
            json!({
                "type": "message_delta",
                "delta": {"stop_reason": self.stop_reason(), "stop_sequence": null},
                "usage": self.usage(self.answer.tokens()),
            }),
        ];
        let stop = iter::once(json!({"type": "message_stop"}));
        let events = start.into_iter().chain(deltas).chain(end).chain(stop);
        events.map(|event| {
            let name = event
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or_default();
            event::named(name, &event)
        })
    }
}
