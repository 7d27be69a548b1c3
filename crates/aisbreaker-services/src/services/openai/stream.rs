//! Reads a streamed answer.

use std::{collections::BTreeMap, sync::Arc};

use aisbreaker_api::{
    Output, Progress, Response,
    read::{HalfJoiner, Piece},
};
use serde_json::Value;

use super::{
    super::{
        event_stream::{AnswerReader, Step, StreamEnd},
        provider_error::{self, parse_piece},
        reply::{PendingReply, ProviderReply, choice_index, cut_short, text_outputs},
    },
    completion,
};
use crate::{
    error::ServiceError,
    sse::Message,
    stream_end::{ERROR, is_done, is_finish_reason},
    usage::{UsageReader, UsageRule},
};

/// Reads a chat completion, whole or streamed.
pub(super) struct CompletionReader {
    pending: PendingReply,
    usage: UsageReader,
    choices: BTreeMap<u32, Choice>,
    text_bytes: usize,
    /// Model and usage so far; the outputs come from the choices.
    reply: ProviderReply,
}

#[derive(Default)]
struct Choice {
    text: String,
    halves: HalfJoiner,
    is_finished: bool,
}

impl Choice {
    fn into_text(mut self) -> String {
        self.text.extend(self.halves.end());
        self.text
    }
}

impl CompletionReader {
    pub(super) fn new(pending: PendingReply, usage: Arc<UsageRule>) -> Self {
        Self {
            pending,
            usage: UsageReader::new(usage),
            choices: BTreeMap::new(),
            text_bytes: 0,
            reply: ProviderReply::default(),
        }
    }

    fn add_choice(
        &mut self,
        json: &Value,
        position: usize,
        chunk: &Piece,
    ) -> Result<Vec<Output>, ServiceError> {
        let index = choice_index(json, position)?;
        let choice = self.choices.entry(index).or_default();
        let reason = json.get("finish_reason").and_then(Value::as_str);
        choice.is_finished |= is_finish_reason(reason);
        let piece = completion::content_text(json.pointer("/delta/content"));
        let mut piece = chunk.join(&mut choice.halves, piece);
        if choice.is_finished
            && let Some(half) = choice.halves.end()
        {
            piece.to_mut().push(half);
        }
        if piece.is_empty() {
            return Ok(Vec::new());
        }
        self.text_bytes = self.text_bytes.saturating_add(piece.len());
        choice.text.push_str(&piece);
        Ok(Progress::text(index, piece, true).outputs)
    }
}

impl AnswerReader for CompletionReader {
    fn read_whole(self, body: &[u8]) -> Result<Response, ServiceError> {
        let reply = completion::read(body, self.usage)?;
        Ok(self.pending.finish(reply))
    }

    fn read_message(&mut self, message: &Message) -> Result<Step, ServiceError> {
        if is_done(message.data.as_bytes()) {
            return Ok(Step::Last);
        }
        if message.data.is_empty() || message.event == "ping" {
            return Ok(Step::Skip);
        }
        let piece = parse_piece(message.data.as_bytes())?;
        if message.event == ERROR {
            return Err(provider_error::of_event(&piece.into_value()));
        }
        let chunk = piece.value();
        if let Some(model) = completion::model(chunk) {
            self.reply.model = Some(model);
        }
        completion::read_usage(&mut self.reply, chunk, &mut self.usage);
        self.pending.report(self.reply.tokens);
        let mut outputs = Vec::new();
        let mut has_more_than_text = false;
        let choices = chunk.get("choices").and_then(Value::as_array);
        for (position, choice) in choices.into_iter().flatten().enumerate() {
            outputs.extend(self.add_choice(choice, position, &piece)?);
            has_more_than_text |= has_more_than_text_in(choice);
        }
        if outputs.is_empty() && !has_more_than_text {
            return Ok(Step::Skip);
        }
        let mut progress = Progress::new(outputs);
        progress.intern_response = has_more_than_text.then(|| piece.into_value());
        Ok(Step::Progress(progress))
    }

    fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    fn finish(self, end: StreamEnd) -> Result<Response, ServiceError> {
        let is_finished = self.choices.values().all(|choice| choice.is_finished);
        if end == StreamEnd::UnframedBody && !is_finished {
            return Err(cut_short());
        }
        if self.choices.is_empty() {
            return Err(ServiceError::BadAnswer(
                "the provider's stream ended without an answer".into(),
            ));
        }
        let texts = self
            .choices
            .into_iter()
            .map(|(index, choice)| (index, choice.into_text()));
        let reply = ProviderReply {
            outputs: text_outputs(texts.collect()),
            ..self.reply
        };
        Ok(self.pending.finish(reply))
    }
}

/// Returns whether a choice has content that the API has no member for, such as a tool call.
fn has_more_than_text_in(choice: &Value) -> bool {
    let Some(Value::Object(delta)) = choice.get("delta") else {
        return false;
    };
    delta
        .iter()
        .any(|(name, value)| !matches!(name.as_str(), "role" | "content") && !is_empty(value))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
