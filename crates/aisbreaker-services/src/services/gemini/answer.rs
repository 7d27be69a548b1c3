//! Reads the provider's answer, whole or streamed: a stream is answers of the same form, each with
//! what is new.

use std::collections::BTreeMap;

use aisbreaker_api::{ErrorObject, Output, Progress};
use http::StatusCode;
use serde_json::Value;

use super::super::{
    exchange::{Added, Answer, End, cut_short},
    told::{Told, index, object, outputs_of},
    upstream::reason,
};
use crate::{error::ServiceError, sse::Message, usage::Tokens};

/// An answer that is being read.
#[derive(Default)]
pub(super) struct Reading {
    candidates: BTreeMap<u32, Candidate>,
    text_bytes: usize,
    model: Option<String>,
    counts: Counts,
}

#[derive(Default)]
struct Candidate {
    text: String,
    is_finished: bool,
}

/// What was told of the usage: later counts stand for all that came before.
#[derive(Clone, Copy, Default)]
struct Counts {
    prompt: Option<u64>,
    tool_use: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    cached: Option<u64>,
    total: Option<u64>,
}

impl Counts {
    fn take(&mut self, usage: &Value) {
        let counts = [
            ("promptTokenCount", &mut self.prompt),
            ("toolUsePromptTokenCount", &mut self.tool_use),
            ("candidatesTokenCount", &mut self.candidates),
            ("thoughtsTokenCount", &mut self.thoughts),
            ("cachedContentTokenCount", &mut self.cached),
            ("totalTokenCount", &mut self.total),
        ];
        for (name, count) in counts {
            *count = usage.get(name).and_then(Value::as_u64).or(*count);
        }
    }

    /// The prompt has what was cached in it; what tools brought and what was thought come on top.
    fn tokens(self) -> Tokens {
        let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (None, None) => None,
            (one, other) => Some(
                one.unwrap_or_default()
                    .saturating_add(other.unwrap_or_default()),
            ),
        };
        Tokens {
            input: sum(self.prompt, self.tool_use),
            output: sum(self.candidates, self.thoughts),
            cached: self.cached,
            reasoning: self.thoughts,
        }
    }
}

impl Reading {
    /// Takes in an answer, or a piece of one; what it says that is new.
    fn take(&mut self, answer: &Value) -> Result<Option<Progress>, ServiceError> {
        if let Some(model) = answer.get("modelVersion").and_then(Value::as_str) {
            self.model = Some(model.to_owned());
        }
        if let Some(usage) = answer.get("usageMetadata") {
            self.counts.take(usage);
        }
        let candidates = answer
            .get("candidates")
            .and_then(Value::as_array)
            .map_or(&[][..], |told| told);
        if candidates.is_empty()
            && let Some(blocked) = blocked(answer)
        {
            return Err(blocked);
        }
        let (mut outputs, mut has_more_than_text) = (Vec::new(), false);
        for (position, told) in candidates.iter().enumerate() {
            let parts = told.pointer("/content/parts").and_then(Value::as_array);
            has_more_than_text |= parts.into_iter().flatten().any(|part| text(part).is_none());
            let piece = parts.into_iter().flatten().filter_map(text).collect();
            outputs.extend(self.add(told, position, piece)?);
        }
        if outputs.is_empty() && !has_more_than_text {
            return Ok(None);
        }
        let mut progress = Progress::new(outputs);
        progress.intern_response = has_more_than_text.then(|| answer.clone());
        Ok(Some(progress))
    }

    fn add(
        &mut self,
        told: &Value,
        position: usize,
        piece: String,
    ) -> Result<Vec<Output>, ServiceError> {
        let index = index(told, position)?;
        let candidate = self.candidates.entry(index).or_default();
        candidate.is_finished |= told.get("finishReason").is_some_and(Value::is_string);
        if piece.is_empty() {
            return Ok(Vec::new());
        }
        self.text_bytes = self.text_bytes.saturating_add(piece.len());
        candidate.text.push_str(&piece);
        Ok(Progress::text(index, piece, true).outputs)
    }

    fn into_told(self) -> Told {
        let texts = self
            .candidates
            .into_iter()
            .map(|(index, candidate)| (index, candidate.text))
            .collect();
        Told {
            outputs: outputs_of(texts),
            model: self.model,
            tokens: self.counts.tokens(),
            total: self.counts.total,
            whole: None,
        }
    }
}

impl Answer for Reading {
    fn read(mut self, body: &[u8]) -> Result<Told, ServiceError> {
        let answer = Value::Object(object(body)?);
        self.take(&answer)?;
        if self.candidates.is_empty() {
            return Err(ServiceError::BadAnswer(
                "the provider's answer has no candidates".to_owned(),
            ));
        }
        Ok(Told {
            whole: Some(answer),
            ..self.into_told()
        })
    }

    fn add(&mut self, message: &Message) -> Result<Added, ServiceError> {
        if message.data.is_empty() {
            return Ok(Added::Nothing);
        }
        let answer = Value::Object(object(message.data.as_bytes())?);
        Ok(self.take(&answer)?.map_or(Added::Nothing, Added::Progress))
    }

    fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// No message says that the stream is over; that each candidate tells why it ended does.
    fn end(self, _end: End) -> Result<Told, ServiceError> {
        let is_finished = self
            .candidates
            .values()
            .all(|candidate| candidate.is_finished);
        if self.candidates.is_empty() || !is_finished {
            return Err(cut_short());
        }
        Ok(self.into_told())
    }
}

/// The text of a part; `None` if the part is something else, such as a thought.
fn text(part: &Value) -> Option<&str> {
    let is_thought = part.get("thought").is_some_and(|thought| thought == true);
    part.get("text").filter(|_| !is_thought)?.as_str()
}

/// The error of an answer that was not made, since the prompt was blocked.
fn blocked(answer: &Value) -> Option<ServiceError> {
    let feedback = answer.get("promptFeedback")?;
    let cause = feedback.get("blockReason")?.as_str()?;
    let more = feedback.get("blockReasonMessage").and_then(Value::as_str);
    let more = more.map(|more| format!(": {more}")).unwrap_or_default();
    let text = format!(
        "the provider blocked the prompt ({cause}){more}; change it, or set request.internOptions.safetySettings"
    );
    let status = StatusCode::BAD_REQUEST;
    let mut error = ErrorObject::new(status.as_u16(), reason(status), text);
    error.kind = Some(cause.to_owned());
    Some(ServiceError::Provider {
        error: Box::new(error),
        retry_after: None,
    })
}
