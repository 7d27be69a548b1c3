//! Reads the provider's answer out of a stream of events.

use std::{collections::BTreeMap, sync::Arc};

use aisbreaker_api::{Output, Progress};
use serde_json::Value;

use super::{
    super::{
        exchange::{Added, Answer, End, cut_short},
        told::{self, Told, outputs_of},
    },
    answer,
};
use crate::{error::ServiceError, sse::Message, usage::UsageRule};

/// What the provider sends after its last piece.
const DONE: &str = "[DONE]";

/// An answer that is being read.
pub(super) struct Reading {
    usage: Arc<UsageRule>,
    told: Collected,
}

impl Reading {
    pub(super) fn new(usage: Arc<UsageRule>) -> Self {
        Self {
            usage,
            told: Collected::default(),
        }
    }
}

impl Answer for Reading {
    fn read(self, body: &[u8]) -> Result<Told, ServiceError> {
        answer::read(body, &self.usage)
    }

    fn add(&mut self, message: &Message) -> Result<Added, ServiceError> {
        if message.data.trim_end() == DONE {
            return Ok(Added::Last);
        }
        Ok(self
            .told
            .add(message, &self.usage)?
            .map_or(Added::Nothing, Added::Progress))
    }

    fn text_bytes(&self) -> usize {
        self.told.text_bytes
    }

    fn end(self, end: End) -> Result<Told, ServiceError> {
        if end == End::Unknown && !self.told.is_finished() {
            return Err(cut_short());
        }
        if self.told.choices.is_empty() {
            return Err(ServiceError::BadAnswer(
                "the provider's stream ended without an answer".to_owned(),
            ));
        }
        Ok(self.told.into_told())
    }
}

/// What was told so far.
#[derive(Default)]
struct Collected {
    choices: BTreeMap<u32, Choice>,
    text_bytes: usize,
    /// The model and the usage; the outputs are those of the choices.
    told: Told,
}

#[derive(Default)]
struct Choice {
    text: String,
    is_finished: bool,
}

impl Collected {
    /// Adds a message; what it adds to the answer, if anything.
    fn add(
        &mut self,
        message: &Message,
        usage: &UsageRule,
    ) -> Result<Option<Progress>, ServiceError> {
        if message.data.is_empty() || message.event == "ping" {
            return Ok(None);
        }
        let chunk = told::object(message.data.as_bytes())?;
        if message.event == "error" {
            return Err(told::error_event(chunk));
        }
        self.told.model = answer::model(&chunk).or_else(|| self.told.model.take());
        let chunk = Value::Object(chunk);
        answer::count(&mut self.told, &chunk, usage);
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
        let index = told::index(told, position)?;
        let choice = self.choices.entry(index).or_default();
        choice.is_finished |= told
            .get("finish_reason")
            .is_some_and(|reason| !reason.is_null());
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
        let texts = self
            .choices
            .into_iter()
            .map(|(index, choice)| (index, choice.text))
            .collect();
        Told {
            outputs: outputs_of(texts),
            ..self.told
        }
    }
}

/// Whether a choice says something that the API has no place for, such as the call of a tool.
fn has_more_than_text_in(choice: &Value) -> bool {
    let delta = choice.get("delta").and_then(Value::as_object);
    let says_something = |(name, value): (&String, &Value)| {
        !matches!(name.as_str(), "role" | "content") && !is_nothing(value)
    };
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
