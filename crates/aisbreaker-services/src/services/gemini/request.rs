//! Writes the provider's request.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::super::{
    conversation::Conversation,
    media_type,
    transcript::{Part, Speaker, Turn, instructions, turns},
};
use crate::error::ServiceError;

const CONFIG: &str = "generationConfig";

/// Names of OpenAI's protocol, and their names in `generationConfig`.
const CONFIG_NAMES: [(&str, &str); 10] = [
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

/// Returns the body: the options, and over them the conversation.
///
/// The caller's own `systemInstruction` stays if the conversation has no instructions, and so does
/// every member of its `generationConfig`.
///
/// # Errors
/// [`ServiceError::BadRequest`] when `generationConfig` is not an object.
pub(super) fn body(
    conversation: &Conversation,
    options: Map<String, Value>,
) -> Result<Bytes, ServiceError> {
    let mut body = options;
    // The URL has both.
    body.remove("model");
    body.remove("stream");
    configure(&mut body)?;
    if let Some(instructions) = instructions(conversation) {
        let instruction = json!({"parts": [{"text": instructions}]});
        body.insert("systemInstruction".to_owned(), instruction);
    }
    let contents = turns(conversation).iter().map(content).collect();
    body.insert("contents".to_owned(), contents);
    Ok(Bytes::from(Value::Object(body).to_string()))
}

/// Moves options with the names of OpenAI's protocol to `generationConfig`.
fn configure(body: &mut Map<String, Value>) -> Result<(), ServiceError> {
    let mut config = match body.remove(CONFIG) {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(config)) => config,
        Some(_) => {
            let text = "request.internOptions.generationConfig must be an object";
            return Err(ServiceError::BadRequest(text.into()));
        }
    };
    for (name, config_name) in CONFIG_NAMES {
        let value = match body.remove(name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(stop)) if name == "stop" => json!([stop]),
            Some(value) => value,
        };
        config.entry(config_name).or_insert(value);
    }
    if !config.is_empty() {
        body.insert(CONFIG.to_owned(), Value::Object(config));
    }
    Ok(())
}

fn content(turn: &Turn<'_>) -> Value {
    let role = match turn.speaker {
        Speaker::User => "user",
        Speaker::Assistant => "model",
    };
    let parts: Vec<Value> = turn.parts.iter().map(part).collect();
    json!({"role": role, "parts": parts})
}

fn part(part: &Part<'_>) -> Value {
    match part {
        Part::Text(text) => json!({"text": text}),
        Part::Image { media_type, base64 } => {
            json!({"inlineData": {"mimeType": media_type, "data": base64}})
        }
        // Vertex AI requires the media type.
        Part::ImageUrl(url) => match media_type::of_url(url) {
            Some(media_type) => json!({"fileData": {"mimeType": media_type, "fileUri": url}}),
            None => json!({"fileData": {"fileUri": url}}),
        },
    }
}
