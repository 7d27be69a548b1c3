//! Reads the provider's answer out of one JSON value.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value};

use super::super::told::{Told, index, object, outputs_of};
use crate::{
    error::ServiceError,
    usage::{UsageRule, usage_of},
};

/// Reads a whole answer.
pub(super) fn read(body: &[u8], usage: &UsageRule) -> Result<Told, ServiceError> {
    let answer = object(body)?;
    let choices = answer
        .get("choices")
        .and_then(Value::as_array)
        .filter(|choices| !choices.is_empty());
    let choices = choices.ok_or_else(|| {
        ServiceError::BadAnswer("the provider's answer has no choices".to_owned())
    })?;
    let mut texts = BTreeMap::new();
    for (position, choice) in choices.iter().enumerate() {
        let text = text(choice.pointer("/message/content"));
        if !text.is_empty() {
            texts.insert(index(choice, position)?, text.into_owned());
        }
    }
    let mut told = Told {
        outputs: outputs_of(texts),
        model: model(&answer),
        ..Told::default()
    };
    let answer = Value::Object(answer);
    count(&mut told, &answer, usage);
    told.whole = Some(answer);
    Ok(told)
}

/// Counts what an answer, or a piece of one, tells of its usage.
pub(super) fn count(told: &mut Told, answer: &Value, rule: &UsageRule) {
    if let Some(usage) = usage_of(answer) {
        told.tokens = rule.read(usage).or(told.tokens);
        told.total = usage
            .get("total_tokens")
            .and_then(Value::as_u64)
            .or(told.total);
    }
}

/// The model that the provider names; what Azure's content filter adds to a stream has an empty
/// name.
pub(super) fn model(answer: &Map<String, Value>) -> Option<String> {
    answer
        .get("model")
        .and_then(Value::as_str)
        .filter(|model| !model.is_empty())
        .map(str::to_owned)
}

/// The text of a message's content, which may be in parts.
pub(super) fn text(content: Option<&Value>) -> Cow<'_, str> {
    match content {
        Some(Value::String(text)) => Cow::Borrowed(text),
        Some(Value::Array(parts)) => {
            let texts = parts
                .iter()
                .filter(|part| part.get("type").is_some_and(|kind| kind == "text"));
            Cow::Owned(
                texts
                    .filter_map(|part| part.get("text")?.as_str())
                    .collect(),
            )
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
            Cow::Borrowed("")
        }
    }
}
