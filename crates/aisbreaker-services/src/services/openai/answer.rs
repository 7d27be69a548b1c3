//! Reads the provider's answer, or its refusal, out of one JSON value.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use aisbreaker_api::{ErrorObject, read};
use http::StatusCode;
use serde_json::{Map, Value};

use super::super::upstream::{error_status, reason};
use crate::{
    error::ServiceError,
    usage::{Tokens, UsageRule, usage_of},
};

/// How many answers to one request are read.
const MAX_CHOICES: u64 = 1024;

/// What the provider told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The texts by their index.
    pub(super) texts: BTreeMap<u32, String>,
    /// The model that answered.
    pub(super) model: Option<String>,
    /// What it took.
    pub(super) tokens: Tokens,
    /// All tokens, as the provider counts them.
    pub(super) total: Option<u64>,
    /// All that was told, if it was told at once.
    pub(super) whole: Option<Value>,
}

/// Reads a whole answer.
pub(super) fn read(body: &[u8], usage: &UsageRule) -> Result<Told, ServiceError> {
    let answer = object(body)?;
    let choices = answer.get("choices").and_then(Value::as_array).filter(|choices| !choices.is_empty());
    let choices =
        choices.ok_or_else(|| ServiceError::BadAnswer("the provider's answer has no choices".to_owned()))?;
    let mut told = Told { model: model(&answer), ..Told::default() };
    for (position, choice) in choices.iter().enumerate() {
        let text = text(choice.pointer("/message/content"));
        if !text.is_empty() {
            told.texts.insert(index(choice, position)?, text.into_owned());
        }
    }
    let answer = Value::Object(answer);
    told.count(&answer, usage);
    told.whole = Some(answer);
    Ok(told)
}

impl Told {
    /// Counts what an answer, or a piece of one, tells of its usage.
    pub(super) fn count(&mut self, answer: &Value, rule: &UsageRule) {
        if let Some(usage) = usage_of(answer) {
            self.tokens = rule.read(usage).or(self.tokens);
            self.total = usage.get("total_tokens").and_then(Value::as_u64).or(self.total);
        }
    }
}

/// The JSON object that `json` is; an error object in it is an error.
pub(super) fn object(json: &[u8]) -> Result<Map<String, Value>, ServiceError> {
    let value = read::json(json)
        .map_err(|fault| ServiceError::BadAnswer(format!("the provider's answer {fault}")))?;
    let Value::Object(object) = value else {
        return Err(ServiceError::BadAnswer("the provider's answer is not a JSON object".to_owned()));
    };
    match object.get("error") {
        None | Some(Value::Null) => Ok(object),
        Some(error) => {
            let code = error.get("code").or_else(|| error.get("status")).and_then(Value::as_u64);
            let status = code.and_then(error_status).unwrap_or(StatusCode::BAD_GATEWAY);
            Err(told_error(status, &Value::Object(object), None))
        }
    }
}

/// The error of an event that is named `error`, though it holds no error object.
pub(super) fn error_event(event: Map<String, Value>) -> ServiceError {
    told_error(StatusCode::BAD_GATEWAY, &Value::Object(event), None)
}

/// The error of an answer with an error status.
pub(super) fn refusal(status: StatusCode, body: &[u8], retry_after: Option<Duration>) -> ServiceError {
    told_error(status, &read::json(body).unwrap_or_default(), retry_after)
}

/// The error that the provider tells in one of the shapes that are in use.
fn told_error(status: StatusCode, body: &Value, retry_after: Option<Duration>) -> ServiceError {
    let body = body.get(0).unwrap_or(body);
    let texts = ["/error/message", "/error", "/message", "/detail", "/error/detail"];
    let text = texts.iter().find_map(|path| body.pointer(path)?.as_str()).filter(|text| !text.is_empty());
    let mut error = ErrorObject::new(status.as_u16(), reason(status), text.unwrap_or_else(|| reason(status)));
    error.kind = body.pointer("/error/type").and_then(Value::as_str).map(str::to_owned);
    ServiceError::Provider { error: Box::new(error), retry_after }
}

/// The model that the provider names; what Azure's content filter adds to a stream has an empty name.
pub(super) fn model(answer: &Map<String, Value>) -> Option<String> {
    answer.get("model").and_then(Value::as_str).filter(|model| !model.is_empty()).map(str::to_owned)
}

/// The index of a choice, its position where it has none.
pub(super) fn index(choice: &Value, position: usize) -> Result<u32, ServiceError> {
    let index = choice.get("index").and_then(Value::as_u64);
    let index = index.or_else(|| u64::try_from(position).ok()).filter(|index| *index < MAX_CHOICES);
    index
        .and_then(|index| u32::try_from(index).ok())
        .ok_or_else(|| ServiceError::BadAnswer("the provider's answer has too many choices".to_owned()))
}

/// The text of a message's content, which may be in parts.
pub(super) fn text(content: Option<&Value>) -> Cow<'_, str> {
    match content {
        Some(Value::String(text)) => Cow::Borrowed(text),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter(|part| part.get("type").is_some_and(|kind| kind == "text"));
            Cow::Owned(texts.filter_map(|part| part.get("text")?.as_str()).collect())
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Cow::Borrowed(""),
    }
}
