//! Reads the provider's answer, whole or streamed. A stream consists of answers of the same form,
//! each with what is new.

use std::collections::BTreeMap;

use aisbreaker_api::{
    JsonText, Output, Progress, Response,
    read::{HalfJoiner, Piece},
};
use serde_json::Value;

use super::{
    super::{
        event_stream::{AnswerReader, Step, StreamEnd},
        provider_error::{of_withheld_answer, parse_piece},
        reply::{PendingReply, ProviderReply, choice_index, cut_short, text_outputs},
    },
    usage::Counts,
};
use crate::{error::ServiceError, sse::Message};

/// Reads the candidates of an answer.
pub(super) struct CandidateReader {
    pending: PendingReply,
    candidates: BTreeMap<u32, Candidate>,
    text_bytes: usize,
    model: Option<String>,
    counts: Counts,
}

#[derive(Default)]
struct Candidate {
    text: String,
    halves: HalfJoiner,
    is_finished: bool,
}

impl Candidate {
    fn into_text(mut self) -> String {
        self.text.extend(self.halves.end());
        self.text
    }
}

impl CandidateReader {
    pub(super) fn new(pending: PendingReply) -> Self {
        Self {
            pending,
            candidates: BTreeMap::new(),
            text_bytes: 0,
            model: None,
            counts: Counts::default(),
        }
    }

    /// Reads an answer, or a chunk of one, and returns what is new in it.
    fn read(&mut self, chunk: &Piece) -> Result<Option<Progress>, ServiceError> {
        let answer = chunk.value();
        if let Some(model) = answer.get("modelVersion").and_then(Value::as_str) {
            self.model = Some(model.to_owned());
        }
        if let Some(usage) = answer.get("usageMetadata") {
            self.counts.update(usage);
            self.pending.report(self.counts.tokens());
        }
        let candidates = match answer.get("candidates") {
            Some(Value::Array(candidates)) => candidates.as_slice(),
            _ => &[],
        };
        if candidates.is_empty()
            && let Some(error) = blocked_prompt(answer)
        {
            return Err(error);
        }
        let mut outputs = Vec::new();
        let mut has_more_than_text = false;
        for (position, candidate) in candidates.iter().enumerate() {
            let mut piece = String::new();
            let parts = candidate
                .pointer("/content/parts")
                .and_then(Value::as_array);
            for part in parts.into_iter().flatten() {
                match part_text(part) {
                    Some(text) => piece.push_str(text),
                    None => has_more_than_text = true,
                }
            }
            outputs.extend(self.add_piece(chunk, candidate, position, piece)?);
        }
        if outputs.is_empty() && !has_more_than_text {
            return Ok(None);
        }
        let mut progress = Progress::new(outputs);
        if has_more_than_text {
            progress.intern_response = Some(chunk.to_value());
        }
        Ok(Some(progress))
    }

    fn add_piece(
        &mut self,
        chunk: &Piece,
        json: &Value,
        position: usize,
        piece: String,
    ) -> Result<Vec<Output>, ServiceError> {
        let index = choice_index(json, position)?;
        let candidate = self.candidates.entry(index).or_default();
        candidate.is_finished |= json.get("finishReason").is_some_and(Value::is_string);
        let mut piece = chunk.join(&mut candidate.halves, piece.into());
        if candidate.is_finished
            && let Some(half) = candidate.halves.end()
        {
            piece.to_mut().push(half);
        }
        if piece.is_empty() {
            return Ok(Vec::new());
        }
        self.text_bytes = self.text_bytes.saturating_add(piece.len());
        candidate.text.push_str(&piece);
        Ok(Progress::text(index, piece, true).outputs)
    }

    fn into_response(self, json: Option<JsonText>) -> Response {
        let texts = self
            .candidates
            .into_iter()
            .map(|(index, candidate)| (index, candidate.into_text()));
        let reply = ProviderReply {
            outputs: text_outputs(texts.collect()),
            model: self.model,
            tokens: self.counts.tokens(),
            total_tokens: self.counts.total,
            json,
        };
        self.pending.finish(reply)
    }
}

impl AnswerReader for CandidateReader {
    fn read_whole(mut self, body: &[u8]) -> Result<Response, ServiceError> {
        let answer = parse_piece(body)?;
        self.read(&answer)?;
        if self.candidates.is_empty() {
            return Err(ServiceError::BadAnswer(
                "the provider's answer has no candidates".into(),
            ));
        }
        Ok(self.into_response(Some(answer.into_value().into())))
    }

    fn read_message(&mut self, message: &Message) -> Result<Step, ServiceError> {
        if message.data.is_empty() {
            return Ok(Step::Skip);
        }
        let answer = parse_piece(message.data.as_bytes())?;
        match self.read(&answer)? {
            Some(progress) => Ok(Step::Progress(progress)),
            None => Ok(Step::Skip),
        }
    }

    fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// No message ends the stream; it is complete if every candidate gives the reason for its end.
    fn finish(self, _end: StreamEnd) -> Result<Response, ServiceError> {
        let is_finished = self
            .candidates
            .values()
            .all(|candidate| candidate.is_finished);
        if self.candidates.is_empty() || !is_finished {
            return Err(cut_short());
        }
        Ok(self.into_response(None))
    }
}

/// Returns the text of a part, or `None` if the part is something else, such as a thought.
fn part_text(part: &Value) -> Option<&str> {
    if part.get("thought").is_some_and(|thought| thought == true) {
        return None;
    }
    part.get("text")?.as_str()
}

/// Returns the error of an answer without candidates whose prompt was blocked.
fn blocked_prompt(answer: &Value) -> Option<ServiceError> {
    let feedback = answer.get("promptFeedback")?;
    let cause = feedback.get("blockReason")?.as_str()?;
    let explanation = match feedback.get("blockReasonMessage").and_then(Value::as_str) {
        Some(text) => format!(": {text}"),
        None => String::new(),
    };
    let message = format!(
        "the provider blocked the prompt ({cause}){explanation}; change it, or set \
         request.internOptions.safetySettings"
    );
    Some(of_withheld_answer(cause, message))
}
