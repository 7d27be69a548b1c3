//! Reads the provider's answer, whole or streamed.

use std::{collections::BTreeMap, sync::Arc};

use aisbreaker_api::Progress;
use serde_json::{Map, Value};

use super::super::{
    exchange::{Added, Answer, End, cut_short},
    told::{Told, object, outputs_of},
};
use crate::{error::ServiceError, sse::Message, usage::UsageRule};

/// How many counts of the usage are kept.
const MAX_COUNTS: usize = 32;

/// An answer that is being read.
pub(super) struct Reading {
    rule: Arc<UsageRule>,
    text: String,
    model: Option<String>,
    /// What was told of the usage: later counts stand for all that came before.
    usage: Map<String, Value>,
}

impl Reading {
    pub(super) fn new(rule: Arc<UsageRule>) -> Self {
        Self {
            rule,
            text: String::new(),
            model: None,
            usage: Map::new(),
        }
    }

    /// Takes the model and the usage out of a message, or a piece of one.
    fn take(&mut self, message: Option<&Value>) {
        let Some(message) = message else { return };
        if let Some(model) = message.get("model").and_then(Value::as_str) {
            self.model = Some(model.to_owned());
        }
        let counts = message
            .get("usage")
            .and_then(Value::as_object)
            .into_iter()
            .flatten();
        for (name, count) in counts.filter(|(_, count)| count.is_u64()).take(MAX_COUNTS) {
            if self.usage.len() < MAX_COUNTS || self.usage.contains_key(name) {
                self.usage.insert(name.clone(), count.clone());
            }
        }
    }

    /// Adds a piece of text; a piece that is handed out unless it is empty.
    fn add_text(&mut self, piece: Option<&Value>) -> Added {
        let piece = piece.and_then(Value::as_str).unwrap_or_default();
        if piece.is_empty() {
            return Added::Nothing;
        }
        self.text.push_str(piece);
        Added::Progress(Progress::text(0, piece, true))
    }

    fn into_told(self) -> Told {
        let tokens = self.rule.read(&Value::Object(self.usage));
        let outputs = outputs_of(BTreeMap::from([(0, self.text)]));
        Told {
            outputs,
            model: self.model,
            tokens,
            ..Told::default()
        }
    }
}

impl Answer for Reading {
    fn read(mut self, body: &[u8]) -> Result<Told, ServiceError> {
        let answer = Value::Object(object(body)?);
        let blocks = answer.get("content").and_then(Value::as_array);
        let blocks = blocks.ok_or_else(|| {
            ServiceError::BadAnswer("the provider's answer has no content".to_owned())
        })?;
        for block in blocks.iter().filter(|block| is_of_type(block, "text")) {
            self.text.push_str(
                block
                    .get("text")
                    .and_then(Value::as_str)
                    .unwrap_or_default(),
            );
        }
        self.take(Some(&answer));
        Ok(Told {
            whole: Some(answer),
            ..self.into_told()
        })
    }

    /// Events of an unknown type are passed over, as the versioning of the API asks for.
    fn add(&mut self, message: &Message) -> Result<Added, ServiceError> {
        if message.data.is_empty() || message.event == "ping" {
            return Ok(Added::Nothing);
        }
        let event = Value::Object(object(message.data.as_bytes())?);
        Ok(
            match event
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or(&message.event)
            {
                "message_start" => {
                    self.take(event.get("message"));
                    Added::Nothing
                }
                "content_block_start" => self.add_piece(&event, "content_block", "text"),
                "content_block_delta" => self.add_piece(&event, "delta", "text_delta"),
                "message_delta" => {
                    self.take(Some(&event));
                    Added::Nothing
                }
                "message_stop" => Added::Last,
                "error" => {
                    let text = "the provider ended its stream with an error, and did not say which";
                    return Err(ServiceError::BadAnswer(text.to_owned()));
                }
                _ => Added::Nothing,
            },
        )
    }

    fn text_bytes(&self) -> usize {
        self.text.len()
    }

    fn end(self, end: End) -> Result<Told, ServiceError> {
        if end == End::Told {
            Ok(self.into_told())
        } else {
            Err(cut_short())
        }
    }
}

impl Reading {
    /// Adds the member of an event that holds a piece: of the text if it has this type, else of
    /// what the API has no place for, such as the call of a tool.
    fn add_piece(&mut self, event: &Value, member: &str, text_type: &str) -> Added {
        let Some(piece) = event.get(member) else {
            return Added::Nothing;
        };
        if is_of_type(piece, text_type) {
            return self.add_text(piece.get("text"));
        }
        let mut progress = Progress::new(Vec::new());
        progress.intern_response = Some(event.clone());
        Added::Progress(progress)
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    value.get("type").is_some_and(|kind| kind == name)
}
