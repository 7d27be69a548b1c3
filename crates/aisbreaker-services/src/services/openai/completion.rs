//! Reads an answer of one JSON value.

use std::{borrow::Cow, collections::BTreeMap};

use aisbreaker_api::JsonText;
use serde_json::Value;

use super::super::{
    json_view::JsonView,
    provider_error::parse_tree,
    reply::{ProviderReply, choice_index, text_outputs},
};
use crate::{
    error::ServiceError,
    usage::{MEMBERS_WITH_USAGE, UsageReader},
};

/// Reads a whole answer.
pub(super) fn read(body: &[u8], mut usage: UsageReader) -> Result<ProviderReply, ServiceError> {
    let answer = parse_tree(body)?;
    let choices = match answer.member("choices").and_then(JsonView::as_list) {
        Some(choices) if !choices.is_empty() => choices,
        Some(_) | None => {
            return Err(ServiceError::BadAnswer(
                "the provider's answer has no choices".into(),
            ));
        }
    };
    let mut texts = BTreeMap::new();
    for (position, choice) in choices.iter().enumerate() {
        let message = choice.member("message");
        let text = content_text(message.and_then(|message| message.member("content")));
        if !text.is_empty() {
            texts.insert(choice_index(choice, position)?, text.into_owned());
        }
    }
    let mut reply = ProviderReply {
        outputs: text_outputs(texts),
        model: model(&answer),
        json: Some(JsonText::from(&answer)),
        ..ProviderReply::default()
    };
    read_usage(&mut reply, &answer.only(&MEMBERS_WITH_USAGE), &mut usage);
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
pub(super) fn model(json: &impl JsonView) -> Option<String> {
    match json.member("model")?.as_text()? {
        "" => None,
        model => Some(model.to_owned()),
    }
}

/// Returns the text of a message's content, which may be in parts.
pub(super) fn content_text<T: JsonView>(content: Option<&T>) -> Cow<'_, str> {
    let Some(content) = content else {
        return Cow::Borrowed("");
    };
    match (content.as_text(), content.as_list()) {
        (Some(text), _) => Cow::Borrowed(text),
        (None, Some(parts)) => parts.iter().filter_map(part_text).collect(),
        (None, None) => Cow::Borrowed(""),
    }
}

fn part_text(part: &impl JsonView) -> Option<&str> {
    if part.member("type")?.as_text()? != "text" {
        return None;
    }
    part.member("text")?.as_text()
}
