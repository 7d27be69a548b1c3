//! Reads a prediction.

use std::collections::BTreeMap;

use aisbreaker_api::read::{HalfJoiner, Piece};
use serde_json::Value;

use super::super::{
    provider_error::parse_piece,
    reply::{ProviderReply, text_outputs},
};
use crate::{error::ServiceError, usage::Tokens};

/// A prediction as the provider reports it.
pub(super) enum Prediction {
    /// It has succeeded.
    Finished(Box<ProviderReply>),
    /// It is to be polled again, at `get` if the provider names a URL.
    Unfinished { id: String, get: Option<String> },
}

/// Reads a prediction.
///
/// # Errors
/// [`ServiceError::BadAnswer`] when the prediction has failed, or the answer is none.
pub(super) fn read(body: &[u8]) -> Result<Prediction, ServiceError> {
    let piece = parse_piece(body)?;
    let answer = piece.value();
    match answer.get("status").and_then(Value::as_str) {
        Some("succeeded" | "successful") => Ok(Prediction::Finished(Box::new(result(piece)?))),
        Some("starting" | "processing" | "queued") => Ok(Prediction::Unfinished {
            id: text_of(answer, "id").unwrap_or_default().to_owned(),
            get: poll_url(answer).map(str::to_owned),
        }),
        Some("canceled" | "aborted") => Err(bad("says that the prediction was canceled")),
        Some("failed") => Err(bad("says that the prediction failed, and not why")),
        Some(_) | None => Err(bad("has no status of a prediction")),
    }
}

fn result(piece: Piece) -> Result<ProviderReply, ServiceError> {
    let text = output_text(&piece)?;
    let answer = piece.into_value();
    let model = text_of(&answer, "model").filter(|model| !model.is_empty());
    let metrics = answer.get("metrics");
    let count = |name: &str| metrics?.get(name)?.as_u64();
    Ok(ProviderReply {
        outputs: text_outputs(BTreeMap::from([(0, text)])),
        model: model.map(str::to_owned),
        tokens: Tokens {
            input: count("input_token_count"),
            output: count("output_token_count"),
            ..Tokens::default()
        },
        total_tokens: None,
        json: Some(answer.into()),
    })
}

/// Returns the output, which is a text or a list of texts.
fn output_text(piece: &Piece) -> Result<String, ServiceError> {
    const NOT_TEXT: &str = "has an output that is no text";
    let mut halves = HalfJoiner::default();
    match piece.value().get("output") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => {
            let mut joined = piece.join(&mut halves, text.into()).into_owned();
            joined.extend(halves.end());
            Ok(joined)
        }
        Some(Value::Array(pieces)) => {
            let mut text = String::new();
            for part in pieces {
                let part = part.as_str().ok_or_else(|| bad(NOT_TEXT))?;
                text.push_str(&piece.join(&mut halves, part.into()));
            }
            text.extend(halves.end());
            Ok(text)
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Err(bad(NOT_TEXT)),
    }
}

fn poll_url(answer: &Value) -> Option<&str> {
    answer.get("urls")?.get("get")?.as_str()
}

fn text_of<'a>(answer: &'a Value, name: &str) -> Option<&'a str> {
    answer.get(name)?.as_str()
}

fn bad(problem: &str) -> ServiceError {
    ServiceError::BadAnswer(format!("the provider's answer {problem}").into())
}
