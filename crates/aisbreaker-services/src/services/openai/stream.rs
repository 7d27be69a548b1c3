//! Reads the provider's answer out of a stream of events.

use std::collections::BTreeMap;

use aisbreaker_api::{Output, Progress};
use serde_json::Value;

use super::{
    super::upstream::{Messages, ReadEvents, Step, events_of, too_long},
    Pending,
    answer::{self, Told},
};
use crate::{
    budget::Reservation,
    egress,
    error::ServiceError,
    service::EventStream,
    sse::{Decoder, Message},
    usage::UsageRule,
};

/// What the provider sends after its last piece.
const DONE: &str = "[DONE]";

/// The events of an answer. `is_framed` tells that a body that was cut does not look like one that ended.
pub(super) fn events(body: egress::Body, is_framed: bool, pending: Pending) -> EventStream {
    let messages = Messages::new(body, Decoder::new());
    let held = messages.body().budget().reservation();
    events_of(Reader { messages, is_framed, pending, told: Collected::default(), held })
}

struct Reader {
    messages: Messages,
    is_framed: bool,
    pending: Pending,
    told: Collected,
    /// For the text that was told so far.
    held: Reservation,
}

impl ReadEvents for Reader {
    async fn next(mut self) -> Result<Step<Self>, ServiceError> {
        while let Some(message) = self.messages.next().await? {
            if message.data.trim_end() == DONE {
                return self.finish();
            }
            let progress = self.told.add(&message, &self.pending.usage)?;
            self.check_length()?;
            if let Some(progress) = progress {
                return Ok(Step::Progress(progress, self));
            }
        }
        if !self.is_framed && !self.told.is_finished() {
            return Err(ServiceError::BadAnswer("the provider's answer was cut short".to_owned()));
        }
        self.finish()
    }
}

impl Reader {
    fn check_length(&mut self) -> Result<(), ServiceError> {
        let limit = self.messages.body().max_collected_bytes();
        if self.told.text_bytes > limit {
            return Err(too_long(limit));
        }
        Ok(self.held.hold(self.told.text_bytes)?)
    }

    fn finish(self) -> Result<Step<Self>, ServiceError> {
        if self.told.choices.is_empty() {
            return Err(ServiceError::BadAnswer("the provider's stream ended without an answer".to_owned()));
        }
        let response = self.pending.finish(self.told.into_told());
        Ok(Step::Final(Box::new(response), Box::new(self.messages)))
    }
}

/// What was told so far.
#[derive(Default)]
struct Collected {
    choices: BTreeMap<u32, Choice>,
    text_bytes: usize,
    /// The model and the usage; the texts are those of the choices.
    told: Told,
}

#[derive(Default)]
struct Choice {
    text: String,
    is_finished: bool,
}

impl Collected {
    /// Adds a message; what it adds to the answer, if anything.
    fn add(&mut self, message: &Message, usage: &UsageRule) -> Result<Option<Progress>, ServiceError> {
        if message.data.is_empty() || message.event == "ping" {
            return Ok(None);
        }
        let chunk = answer::object(message.data.as_bytes())?;
        if message.event == "error" {
            return Err(answer::error_event(chunk));
        }
        self.told.model = answer::model(&chunk).or_else(|| self.told.model.take());
        let chunk = Value::Object(chunk);
        self.told.count(&chunk, usage);
        let mut outputs = Vec::new();
        let mut has_more_than_text = false;
        let choices = chunk.get("choices").and_then(Value::as_array);
        for (position, choice) in choices.into_iter().flatten().enumerate() {
            outputs.extend(self.add_choice(choice, position)?);
            has_more_than_text |= has_more_than_text_in(choice);
        }
        if outputs.is_empty() && !has_more_than_text {
            return Ok(None);
        }
        let mut progress = Progress::new(outputs);
        progress.intern_response = has_more_than_text.then_some(chunk);
        Ok(Some(progress))
    }

    fn add_choice(&mut self, told: &Value, position: usize) -> Result<Vec<Output>, ServiceError> {
        let index = answer::index(told, position)?;
        let choice = self.choices.entry(index).or_default();
        choice.is_finished |= told.get("finish_reason").is_some_and(|reason| !reason.is_null());
        let piece = answer::text(told.pointer("/delta/content"));
        if piece.is_empty() {
            return Ok(Vec::new());
        }
        self.text_bytes = self.text_bytes.saturating_add(piece.len());
        choice.text.push_str(&piece);
        Ok(Progress::text(index, piece, true).outputs)
    }

    fn is_finished(&self) -> bool {
        self.choices.values().all(|choice| choice.is_finished)
    }

    fn into_told(self) -> Told {
        let choices = self.choices.into_iter().filter(|(_, choice)| !choice.text.is_empty());
        let texts = choices.map(|(index, choice)| (index, choice.text)).collect();
        Told { texts, ..self.told }
    }
}

/// Whether a choice says something that the API has no place for, such as the call of a tool.
fn has_more_than_text_in(choice: &Value) -> bool {
    let delta = choice.get("delta").and_then(Value::as_object);
    let says_something =
        |(name, value): (&String, &Value)| !matches!(name.as_str(), "role" | "content") && !is_nothing(value);
    delta.is_some_and(|delta| delta.iter().any(says_something))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
