//! Makes the provider's request.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::super::{
    said::{Said, Speaker, instructions, turns},
    turn::Turn,
};

/// How much the model may write where the caller does not say it; the protocol has no default.
const MAX_TOKENS: u64 = 4096;

/// The body of the request: what `options` holds, and over it the conversation, the model and
/// whether to stream. Their `system` is left as it is if the conversation has no instructions.
pub(super) fn body(turn: &Turn, model: &str, options: Map<String, Value>, stream: bool) -> Bytes {
    let mut body = options;
    if body.get("max_tokens").is_none_or(Value::is_null) {
        body.insert("max_tokens".to_owned(), Value::from(MAX_TOKENS));
    }
    if let Some(instructions) = instructions(turn) {
        body.insert("system".to_owned(), Value::String(instructions));
    }
    let messages = turns(turn)
        .into_iter()
        .map(|(speaker, said)| message(speaker, &said));
    body.insert("messages".to_owned(), messages.collect());
    body.insert("model".to_owned(), Value::from(model));
    body.insert("stream".to_owned(), Value::Bool(stream));
    Bytes::from(Value::Object(body).to_string())
}

fn message(speaker: Speaker, said: &[Said<'_>]) -> Value {
    let role = match speaker {
        Speaker::User => "user",
        Speaker::Assistant => "assistant",
    };
    match said {
        [Said::Text(text)] => json!({"role": role, "content": text}),
        _ => json!({"role": role, "content": said.iter().map(block).collect::<Vec<_>>()}),
    }
}

fn block(said: &Said<'_>) -> Value {
    match said {
        Said::Text(text) => json!({"type": "text", "text": text}),
        Said::ImageAt(url) => json!({"type": "image", "source": {"type": "url", "url": url}}),
        Said::Image { media_type, base64 } => {
            json!({"type": "image", "source": {"type": "base64", "media_type": media_type, "data": base64}})
        }
    }
}
