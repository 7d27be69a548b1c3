//! Makes the provider's request.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::super::{
    said::{Said, Speaker, instructions, turns},
    turn::Turn,
};
use crate::error::ServiceError;

const CONFIG: &str = "generationConfig";

/// Names of OpenAI's protocol, and what they are in `generationConfig`.
const NAMES: [(&str, &str); 10] = [
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("max_tokens", "maxOutputTokens"),
    ("max_completion_tokens", "maxOutputTokens"),
    ("stop", "stopSequences"),
    ("n", "candidateCount"),
    ("seed", "seed"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
];

/// Media types by the ends of addresses.
const MEDIA_TYPES: [(&str, &str); 5] = [
    (".png", "image/png"),
    (".jpg", "image/jpeg"),
    (".jpeg", "image/jpeg"),
    (".gif", "image/gif"),
    (".webp", "image/webp"),
];

/// The body of the request: what `options` holds, and over it the conversation. Their
/// `systemInstruction` is left as it is if the conversation has no instructions, and so is what
/// `generationConfig` says already.
pub(super) fn body(turn: &Turn, options: Map<String, Value>) -> Result<Bytes, ServiceError> {
    let mut body = options;
    // Both are said by the address.
    body.remove("model");
    body.remove("stream");
    configure(&mut body)?;
    if let Some(instructions) = instructions(turn) {
        body.insert(
            "systemInstruction".to_owned(),
            json!({"parts": [{"text": instructions}]}),
        );
    }
    let contents = turns(turn)
        .into_iter()
        .map(|(speaker, said)| content(speaker, &said));
    body.insert("contents".to_owned(), contents.collect());
    Ok(Bytes::from(Value::Object(body).to_string()))
}

fn configure(body: &mut Map<String, Value>) -> Result<(), ServiceError> {
    let mut config = match body.remove(CONFIG) {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(config)) => config,
        Some(_) => {
            let text = "request.internOptions.generationConfig must be an object";
            return Err(ServiceError::BadRequest(text.to_owned()));
        }
    };
    for (name, own) in NAMES {
        let value = match body.remove(name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(stop)) if name == "stop" => json!([stop]),
            Some(value) => value,
        };
        config.entry(own).or_insert(value);
    }
    if !config.is_empty() {
        body.insert(CONFIG.to_owned(), Value::Object(config));
    }
    Ok(())
}

fn content(speaker: Speaker, said: &[Said<'_>]) -> Value {
    let role = match speaker {
        Speaker::User => "user",
        Speaker::Assistant => "model",
    };
    json!({"role": role, "parts": said.iter().map(part).collect::<Vec<_>>()})
}

fn part(said: &Said<'_>) -> Value {
    match said {
        Said::Text(text) => json!({"text": text}),
        Said::Image { media_type, base64 } => {
            json!({"inlineData": {"mimeType": media_type, "data": base64}})
        }
        Said::ImageAt(url) => match media_type_at(url) {
            Some(media_type) => json!({"fileData": {"mimeType": media_type, "fileUri": url}}),
            None => json!({"fileData": {"fileUri": url}}),
        },
    }
}

/// The media type that the end of an address tells. Vertex AI wants to be told it.
fn media_type_at(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?.to_ascii_lowercase();
    MEDIA_TYPES
        .iter()
        .find(|(end, _)| path.ends_with(end))
        .map(|(_, media_type)| *media_type)
}
