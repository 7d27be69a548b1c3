//! Reads the provider's answer, whole or streamed.

use std::{collections::BTreeMap, sync::Arc};

use aisbreaker_api::{
    JsonText, Progress, Response,
    read::{HalfJoiner, Piece},
};
use serde_json::Value;

use super::super::{
    event_stream::{AnswerReader, Step, StreamEnd},
    provider_error::{parse_object, parse_piece},
    reply::{PendingReply, ProviderReply, cut_short, text_outputs},
};
use crate::{
    error::ServiceError,
    sse::Message,
    stream_end::{ERROR, StreamKind, StreamState},
    usage::{UsageReader, UsageRule},
};

/// Reads a message of the provider, whole or streamed.
pub(super) struct MessageReader {
    pending: PendingReply,
    usage: UsageReader,
    text: String,
    halves: HalfJoiner,
    model: Option<String>,
}

impl MessageReader {
    pub(super) fn new(pending: PendingReply, usage_rule: Arc<UsageRule>) -> Self {
        Self {
            pending,
            usage: UsageReader::new(usage_rule),
            text: String::new(),
            halves: HalfJoiner::default(),
            model: None,
        }
    }

    /// Reads the model and the usage of a message, or of a part of one.
    fn read_metadata(&mut self, message: &Value) {
        if let Some(model) = message.get("model").and_then(Value::as_str) {
            self.model = Some(model.to_owned());
        }
        if self.usage.read_answer(message).is_some() {
            self.pending.report(self.usage.tokens());
        }
    }

    /// Adds a content block or a delta of one. Content that is not text, such as a tool call, is
    /// passed on as the provider's own event.
    fn read_content(&mut self, event: Piece, member: &str, text_type: &str) -> Step {
        let Some(content) = event.value().get(member) else {
            return Step::Skip;
        };
        if !is_of_type(content, text_type) {
            let mut progress = Progress::new(Vec::new());
            progress.intern_response = Some(event.into_value());
            return Step::Progress(progress);
        }
        let text = event.join(&mut self.halves, text_of(content).into());
        if text.is_empty() {
            return Step::Skip;
        }
        self.text.push_str(&text);
        Step::Progress(Progress::text(0, text, true))
    }

    fn into_response(mut self, json: Option<JsonText>) -> Response {
        self.text.extend(self.halves.end());
        let reply = ProviderReply {
            outputs: text_outputs(BTreeMap::from([(0, self.text)])),
            model: self.model,
            tokens: self.usage.tokens(),
            total_tokens: None,
            json,
        };
        self.pending.finish(reply)
    }
}

impl AnswerReader for MessageReader {
    fn read_whole(mut self, body: &[u8]) -> Result<Response, ServiceError> {
        let answer = Value::Object(parse_object(body)?);
        let Some(Value::Array(blocks)) = answer.get("content") else {
            return Err(ServiceError::BadAnswer(
                "the provider's answer has no content".into(),
            ));
        };
        for block in blocks.iter().filter(|block| is_of_type(block, "text")) {
            self.text.push_str(text_of(block));
        }
        self.read_metadata(&answer);
        Ok(self.into_response(Some(answer.into())))
    }

    /// Events of an unknown type are skipped, as the API's versioning policy demands.
    fn read_message(&mut self, message: &Message) -> Result<Step, ServiceError> {
        if message.data.is_empty() || message.event == "ping" {
            return Ok(Step::Skip);
        }
        let piece = parse_piece(message.data.as_bytes())?;
        if message.event == ERROR {
            return Err(unknown_error());
        }
        let event = piece.value();
        let kind = event.get("type").and_then(Value::as_str);
        let kind = kind.unwrap_or(&message.event);
        match StreamKind::Messages.state_after(kind) {
            StreamState::Open | StreamState::Answered => {}
            StreamState::Over => return Ok(Step::Last),
            StreamState::Failed => return Err(unknown_error()),
        }
        match kind {
            "message_start" => {
                if let Some(started) = event.get("message") {
                    self.read_metadata(started);
                }
                Ok(Step::Skip)
            }
            "content_block_start" => Ok(self.read_content(piece, "content_block", "text")),
            "content_block_delta" => Ok(self.read_content(piece, "delta", "text_delta")),
            "message_delta" => {
                self.read_metadata(event);
                Ok(Step::Skip)
            }
            _ => Ok(Step::Skip),
        }
    }

    fn text_bytes(&self) -> usize {
        self.text.len()
    }

    fn finish(self, end: StreamEnd) -> Result<Response, ServiceError> {
        match end {
            StreamEnd::LastMessage => Ok(self.into_response(None)),
            StreamEnd::CompleteBody | StreamEnd::UnframedBody => Err(cut_short()),
        }
    }
}

fn unknown_error() -> ServiceError {
    ServiceError::BadAnswer(
        "the provider ended its stream with an error, and did not say which".into(),
    )
}

fn text_of(content: &Value) -> &str {
    content
        .get("text")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn is_of_type(value: &Value, name: &str) -> bool {
    value.get("type").is_some_and(|kind| kind == name)
}
