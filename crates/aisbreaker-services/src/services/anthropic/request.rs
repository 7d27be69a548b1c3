//! Writes the provider's request.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::super::{
    conversation::Conversation,
    transcript::{Part, Speaker, Turn, instructions, turns},
};
use crate::service::ReplyKind;

/// The most tokens of an answer if the caller sets no limit; the protocol has no default.
const MAX_TOKENS: u64 = 4096;

/// Returns the body: the options, and over them the conversation, the model and whether to stream.
///
/// The caller's own `system` stays if the conversation has no instructions.
pub(super) fn body(
    conversation: &Conversation,
    model: &str,
    options: Map<String, Value>,
    kind: ReplyKind,
) -> Bytes {
    let mut body = options;
    if body.get("max_tokens").is_none_or(Value::is_null) {
        body.insert("max_tokens".to_owned(), MAX_TOKENS.into());
    }
    if let Some(instructions) = instructions(conversation) {
        body.insert("system".to_owned(), instructions.into());
    }
    let messages = turns(conversation).iter().map(message).collect();
    body.insert("messages".to_owned(), messages);
    body.insert("model".to_owned(), model.into());
    let is_stream = kind == ReplyKind::Stream;
    body.insert("stream".to_owned(), is_stream.into());
    Bytes::from(Value::Object(body).to_string())
}

fn message(turn: &Turn<'_>) -> Value {
    let role = match turn.speaker {
        Speaker::User => "user",
        Speaker::Assistant => "assistant",
    };
    match &turn.parts[..] {
        [Part::Text(text)] => json!({"role": role, "content": text}),
        parts => {
            let blocks: Vec<Value> = parts.iter().map(block).collect();
            json!({"role": role, "content": blocks})
        }
    }
}

fn block(part: &Part<'_>) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::ImageUrl(url) => json!({"type": "image", "source": {"type": "url", "url": url}}),
        Part::Image { media_type, base64 } => {
            let source = json!({"type": "base64", "media_type": media_type, "data": base64});
            json!({"type": "image", "source": source})
        }
    }
}
