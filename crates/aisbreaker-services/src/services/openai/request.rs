//! Writes the provider's request.

use aisbreaker_api::{ImageSource, Input, InputImage, Message, Output, Role};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::super::{conversation::Conversation, media_type};

/// Whether to stream, and whether the stream is to report its usage.
#[derive(Clone, Copy, Debug)]
pub(super) enum StreamOptions {
    None,
    Plain,
    WithUsage,
}

/// Returns the body: the options, and over them the messages, the model and whether to stream.
///
/// The caller's own `stream_options` are left as they are.
pub(super) fn body(
    conversation: &Conversation,
    model: &str,
    options: Map<String, Value>,
    stream: StreamOptions,
) -> Bytes {
    let (is_stream, has_usage) = match stream {
        StreamOptions::None => (false, false),
        StreamOptions::Plain => (true, false),
        StreamOptions::WithUsage => (true, true),
    };
    let mut body = options;
    body.insert("messages".to_owned(), messages(conversation).into());
    body.insert("model".to_owned(), model.into());
    body.insert("stream".to_owned(), is_stream.into());
    if has_usage && !body.contains_key("stream_options") {
        body.insert("stream_options".to_owned(), json!({"include_usage": true}));
    }
    Bytes::from(Value::Object(body).to_string())
}

fn messages(conversation: &Conversation) -> Vec<Value> {
    let mut messages = Vec::new();
    let mut inputs: Vec<&Input> = Vec::new();
    for message in conversation.history() {
        match message {
            Message::Input(input) => inputs.push(input),
            Message::Output(output) => {
                add_inputs(&mut messages, &inputs);
                inputs.clear();
                messages.extend(output_message(output));
            }
        }
    }
    inputs.extend(conversation.inputs());
    add_inputs(&mut messages, &inputs);
    messages
}

/// Adds consecutive inputs: a message for each text, but a single message in parts for a text with
/// images next to it.
fn add_inputs(messages: &mut Vec<Value>, inputs: &[&Input]) {
    for inputs_of_role in inputs.chunk_by(|one, next| role(one) == role(next)) {
        let Some(role) = inputs_of_role.first().and_then(|input| role(input)) else {
            continue;
        };
        let has_image = |input: &&Input| matches!(input, Input::Image(_));
        if inputs_of_role.iter().any(has_image) {
            let parts: Vec<Value> = inputs_of_role
                .iter()
                .filter_map(|input| part(input))
                .collect();
            messages.push(json!({"role": role, "content": parts}));
        } else {
            let texts = inputs_of_role.iter().filter_map(|input| text(input));
            messages.extend(texts.map(|text| message(role, text)));
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
    let Input::Text(text) = input else {
        return None;
    };
    Some(&text.content)
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
    let Output::Text(text) = output else {
        return None;
    };
    Some(message(text.role, &text.content))
}

fn message(role: Role, content: &str) -> Value {
    json!({"role": role, "content": content})
}

fn image_url(image: &InputImage) -> String {
    match &image.source {
        ImageSource::Url(url) => url.clone(),
        ImageSource::Base64(text) if text.starts_with("data:") => text.clone(),
        ImageSource::Base64(base64) => {
            format!("data:{};base64,{base64}", media_type::of_base64(base64))
        }
    }
}
