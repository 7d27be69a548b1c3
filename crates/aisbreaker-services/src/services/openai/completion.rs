//! Reads an answer of one JSON value.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;

use super::super::{
    provider_error::parse_object,
    reply::{ProviderReply, choice_index, text_outputs},
};
use crate::{error::ServiceError, usage::UsageReader};

/// Reads a whole answer.
pub(super) fn read(body: &[u8], mut usage: UsageReader) -> Result<ProviderReply, ServiceError> {
    let answer = parse_object(body)?;
    let choices = match answer.get("choices") {
        Some(Value::Array(choices)) if !choices.is_empty() => choices,
        _ => {
            return Err(ServiceError::BadAnswer(
                "the provider's answer has no choices".into(),
            ));
        }
    };
    let mut texts = BTreeMap::new();
    for (position, choice) in choices.iter().enumerate() {
        let text = content_text(choice.pointer("/message/content"));
        if !text.is_empty() {
            texts.insert(choice_index(choice, position)?, text.into_owned());
        }
    }
    let mut reply = ProviderReply {
        outputs: text_outputs(texts),
        model: None,
        ..ProviderReply::default()
    };
    let json = Value::Object(answer);
    reply.model = model(&json);
    read_usage(&mut reply, &json, &mut usage);
    reply.json = Some(json);
    Ok(reply)
}

/// Reads the usage that an answer, or a chunk of one, reports.
pub(super) fn read_usage(reply: &mut ProviderReply, json: &Value, reader: &mut UsageReader) {
    let Some(usage) = reader.read_answer(json) else {
        return;
    };
    let total = usage.get("total_tokens").and_then(Value::as_u64);
    reply.total_tokens = reply.total_tokens.max(total);
    reply.tokens = reader.tokens();
}

/// Returns the model that the provider names. Chunks of Azure's content filter have an empty name.
pub(super) fn model(json: &Value) -> Option<String> {
    match json.get("model")?.as_str()? {
        "" => None,
        model => Some(model.to_owned()),
    }
}

/// Returns the text of a message's content, which may be in parts.
pub(super) fn content_text(content: Option<&Value>) -> Cow<'_, str> {
    match content {
        Some(Value::String(text)) => Cow::Borrowed(text),
        Some(Value::Array(parts)) => parts.iter().filter_map(part_text).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
            Cow::Borrowed("")
        }
    }
}

fn part_text(part: &Value) -> Option<&str> {
    if part.get("type")? != "text" {
        return None;
    }
    part.get("text")?.as_str()
}
