//! Reads a prediction.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::{
    provider_error::parse_object,
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
    let answer = parse_object(body)?;
    match answer.get("status").and_then(Value::as_str) {
        Some("succeeded" | "successful") => Ok(Prediction::Finished(Box::new(result(answer)?))),
        Some("starting" | "processing" | "queued") => Ok(Prediction::Unfinished {
            id: text_of(&answer, "id").unwrap_or_default().to_owned(),
            get: poll_url(&answer).map(str::to_owned),
        }),
        Some("canceled" | "aborted") => Err(bad("says that the prediction was canceled")),
        Some("failed") => Err(bad("says that the prediction failed, and not why")),
        Some(_) | None => Err(bad("has no status of a prediction")),
    }
}

fn result(answer: Map<String, Value>) -> Result<ProviderReply, ServiceError> {
    let text = output_text(answer.get("output"))?;
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
        json: Some(Value::Object(answer)),
    })
}

/// Returns the output, which is a text or a list of texts.
fn output_text(output: Option<&Value>) -> Result<String, ServiceError> {
    const NOT_TEXT: &str = "has an output that is no text";
    match output {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(pieces)) => {
            let mut text = String::new();
            for piece in pieces {
                text.push_str(piece.as_str().ok_or_else(|| bad(NOT_TEXT))?);
            }
            Ok(text)
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Err(bad(NOT_TEXT)),
    }
}

fn poll_url(answer: &Map<String, Value>) -> Option<&str> {
    answer.get("urls")?.get("get")?.as_str()
}

fn text_of<'a>(answer: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    answer.get(name)?.as_str()
}

fn bad(problem: &str) -> ServiceError {
    ServiceError::BadAnswer(format!("the provider's answer {problem}").into())
}
