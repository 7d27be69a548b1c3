//! Reads a prediction.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::told::{Told, object, outputs_of};
use crate::{error::ServiceError, usage::Tokens};

/// A prediction as it is told.
pub(super) enum Prediction {
    /// It is over, and went well.
    Finished(Box<Told>),
    /// It is to be looked at again, there if the provider names a place.
    Unfinished { id: String, get: Option<String> },
}

/// Reads a prediction; one that failed is an error.
pub(super) fn read(body: &[u8]) -> Result<Prediction, ServiceError> {
    let answer = object(body)?;
    let text_at = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    match answer.get("status").and_then(Value::as_str) {
        Some("succeeded" | "successful") => Ok(Prediction::Finished(Box::new(told(answer)?))),
        Some("starting" | "processing" | "queued") => {
            let get = answer
                .get("urls")
                .and_then(|urls| urls.get("get")?.as_str());
            Ok(Prediction::Unfinished {
                id: text_at("id").unwrap_or_default(),
                get: get.map(str::to_owned),
            })
        }
        Some("canceled" | "aborted") => Err(bad("says that the prediction was canceled")),
        Some("failed") => Err(bad("says that the prediction failed, and not why")),
        Some(_) | None => Err(bad("has no status of a prediction")),
    }
}

fn told(answer: Map<String, Value>) -> Result<Told, ServiceError> {
    let text = match answer.get("output") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(pieces)) => {
            let pieces = pieces.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
            pieces
                .ok_or_else(|| bad("has an output that is no text"))?
                .concat()
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            return Err(bad("has an output that is no text"));
        }
    };
    let count = |name: &str| {
        answer
            .get("metrics")
            .and_then(|metrics| metrics.get(name)?.as_u64())
    };
    Ok(Told {
        outputs: outputs_of(BTreeMap::from([(0, text)])),
        model: answer
            .get("model")
            .and_then(Value::as_str)
            .filter(|model| !model.is_empty())
            .map(str::to_owned),
        tokens: Tokens {
            input: count("input_token_count"),
            output: count("output_token_count"),
            ..Tokens::default()
        },
        total: None,
        whole: Some(Value::Object(answer)),
    })
}

fn bad(problem: &str) -> ServiceError {
    ServiceError::BadAnswer(format!("the provider's answer {problem}"))
}
