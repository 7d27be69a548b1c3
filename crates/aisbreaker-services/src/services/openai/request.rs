//! Makes the provider's request.

use aisbreaker_api::{ImageSource, Input, InputImage, Message, Output, Role};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::super::turn::{Turn, media_type};

/// Whether to stream, and whether to ask for the usage of the stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    None,
    Plain,
    WithUsage,
}

/// The body of the request: what `options` holds, and over it the messages, the model and whether
/// to stream. The caller's own `stream_options` are left as they are.
pub(super) fn body(turn: &Turn, model: &str, options: Map<String, Value>, stream: Stream) -> Bytes {
    let mut body = options;
    body.insert("messages".to_owned(), Value::Array(messages(turn)));
    body.insert("model".to_owned(), Value::from(model));
    body.insert(
        "stream".to_owned(),
        Value::Bool(!matches!(stream, Stream::None)),
    );
    if matches!(stream, Stream::WithUsage) && !body.contains_key("stream_options") {
        body.insert("stream_options".to_owned(), json!({"include_usage": true}));
    }
    Bytes::from(Value::Object(body).to_string())
}

fn messages(turn: &Turn) -> Vec<Value> {
    let mut messages = Vec::new();
    let mut inputs: Vec<&Input> = Vec::new();
    for earlier in turn.earlier() {
        match earlier {
            Message::Input(input) => inputs.push(input),
            Message::Output(output) => {
                add_inputs(&mut messages, &std::mem::take(&mut inputs));
                messages.extend(output_message(output));
            }
        }
    }
    inputs.extend(turn.inputs());
    add_inputs(&mut messages, &inputs);
    messages
}

/// Adds what was said in a row: a message for each text; a text and the images beside it are one
/// message in parts.
fn add_inputs(messages: &mut Vec<Value>, inputs: &[&Input]) {
    for said in inputs.chunk_by(|one, next| role(one) == role(next)) {
        let Some(role) = said.first().and_then(|input| role(input)) else {
            continue;
        };
        if said.iter().any(|input| matches!(input, Input::Image(_))) {
            let parts: Vec<Value> = said.iter().filter_map(|input| part(input)).collect();
            messages.push(json!({"role": role, "content": parts}));
        } else {
            messages.extend(
                said.iter()
                    .filter_map(|input| text(input))
                    .map(|text| message(role, text)),
            );
        }
    }
}

fn role(input: &Input) -> Option<Role> {
    match input {
        Input::Text(text) => Some(text.role),
        Input::Image(image) => Some(image.role),
        _ => None,
    }
}

fn text(input: &Input) -> Option<&str> {
    if let Input::Text(text) = input {
        Some(&text.content)
    } else {
        None
    }
}

fn part(input: &Input) -> Option<Value> {
    match input {
        Input::Text(text) => Some(json!({"type": "text", "text": text.content})),
        Input::Image(image) => {
            Some(json!({"type": "image_url", "image_url": {"url": image_url(image)}}))
        }
        _ => None,
    }
}

fn output_message(output: &Output) -> Option<Value> {
    if let Output::Text(text) = output {
        Some(message(text.role, &text.content))
    } else {
        None
    }
}

fn message(role: Role, content: &str) -> Value {
    json!({"role": role, "content": content})
}

fn image_url(image: &InputImage) -> String {
    match &image.source {
        ImageSource::Url(url) => url.clone(),
        ImageSource::Base64(text) if text.starts_with("data:") => text.clone(),
        ImageSource::Base64(base64) => format!("data:{};base64,{base64}", media_type(base64)),
    }
}
