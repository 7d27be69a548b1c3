//! Writes the provider's request.

use std::iter::Peekable;

use aisbreaker_api::{ImageSource, Input, InputImage, Message, Output, Role, write};
use bytes::Bytes;
use serde_json::{Map, Value, json, map::Iter};

use super::super::{conversation::Conversation, media_type};

/// The room for a body to begin with.
const BODY_BYTES: usize = 1536;

/// Whether to stream, and whether the stream is to report its usage.
#[derive(Clone, Copy, Debug)]
pub(super) enum StreamOptions {
    None,
    Plain,
    WithUsage,
}

/// Returns the body: the options, and over them the messages, the model and whether to stream.
///
/// The caller's own `stream_options` are left as they are. The members are in the order of their
/// names.
pub(super) fn body(
    conversation: &Conversation,
    model: &str,
    options: &Map<String, Value>,
    stream: StreamOptions,
) -> Bytes {
    let (is_stream, has_usage) = match stream {
        StreamOptions::None => (false, false),
        StreamOptions::Plain => (true, false),
        StreamOptions::WithUsage => (true, true),
    };
    let mut body = Body::new(options);
    body.begin("messages");
    messages(&mut body.out, conversation);
    body.begin("model");
    write::text(&mut body.out, model);
    body.begin("stream");
    let is_stream: &[u8] = if is_stream { b"true" } else { b"false" };
    body.out.extend_from_slice(is_stream);
    if has_usage && !options.contains_key("stream_options") {
        body.begin("stream_options");
        body.out.extend_from_slice(b"{\"include_usage\":true}");
    }
    body.finish()
}

/// A body with the members so far, in the order of their names.
struct Body<'a> {
    out: Vec<u8>,
    /// The options that are not written yet.
    options: Peekable<Iter<'a>>,
}

impl<'a> Body<'a> {
    fn new(options: &'a Map<String, Value>) -> Self {
        let mut out = Vec::with_capacity(BODY_BYTES);
        out.push(b'{');
        Self {
            out,
            options: options.iter().peekable(),
        }
    }

    /// Begins a member. Options before it are written, and one with its name is left out.
    fn begin(&mut self, name: &str) {
        let is_before = |(option, _): &(&String, &Value)| option.as_str() < name;
        while let Some((option, value)) = self.options.next_if(is_before) {
            self.begin_named(option);
            write_value(&mut self.out, value);
        }
        let _replaced = self.options.next_if(|(option, _)| *option == name);
        self.begin_named(name);
    }

    fn begin_named(&mut self, name: &str) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        write::text(&mut self.out, name);
        self.out.push(b':');
    }

    fn finish(mut self) -> Bytes {
        while let Some((option, value)) = self.options.next() {
            self.begin_named(option);
            write_value(&mut self.out, value);
        }
        self.out.push(b'}');
        self.out.into()
    }
}

/// Writes a value, which cannot fail.
fn write_value(out: &mut Vec<u8>, value: &Value) {
    let _written = serde_json::to_writer(out, value);
}

fn messages(out: &mut Vec<u8>, conversation: &Conversation) {
    let mut separator: &[u8] = b"[";
    let mut inputs: Vec<&Input> = Vec::new();
    for message in conversation.history() {
        match message {
            Message::Input(input) => inputs.push(input),
            Message::Output(output) => {
                add_inputs(out, &mut separator, &inputs);
                inputs.clear();
                if let Output::Text(text) = output {
                    add_message(out, &mut separator, text.role, &text.content);
                }
            }
        }
    }
    inputs.extend(conversation.inputs());
    add_inputs(out, &mut separator, &inputs);
    if separator == b"[" {
        out.push(b'[');
    }
    out.push(b']');
}

/// Adds consecutive inputs: a message for each text, but a single message in parts for a text with
/// images next to it.
fn add_inputs(out: &mut Vec<u8>, separator: &mut &[u8], inputs: &[&Input]) {
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
            out.extend_from_slice(separator);
            write_value(out, &json!({"role": role, "content": parts}));
            *separator = b",";
        } else {
            for text in inputs_of_role.iter().filter_map(|input| text(input)) {
                add_message(out, separator, role, text);
            }
        }
    }
}

/// Adds the message of a text.
fn add_message(out: &mut Vec<u8>, separator: &mut &[u8], role: Role, content: &str) {
    out.extend_from_slice(separator);
    *separator = b",";
    out.extend_from_slice(b"{\"content\":");
    write::text(out, content);
    out.extend_from_slice(b",\"role\":\"");
    out.extend_from_slice(role.name().as_bytes());
    out.extend_from_slice(b"\"}");
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

fn image_url(image: &InputImage) -> String {
    match &image.source {
        ImageSource::Url(url) => url.clone(),
        ImageSource::Base64(text) if text.starts_with("data:") => text.clone(),
        ImageSource::Base64(base64) => {
            format!("data:{};base64,{base64}", media_type::of_base64(base64))
        }
    }
}

#[cfg(test)]
mod tests {
    use aisbreaker_api::{OutputText, Request, ServiceId};

    use super::*;

    fn conversation() -> Conversation {
        let earlier = [Output::Text(OutputText::new(0, "Hello!"))];
        let state = aisbreaker_api::ConversationState::default()
            .with_turn(&[Input::user_text("Hi")], &earlier)
            .encode();
        let mut request = Request::user_text("a \"b\"").with_conversation_state(Some(state));
        let id = ServiceId::parse("chat:openai.com").unwrap();
        Conversation::start(&id, &mut request).unwrap()
    }

    #[test]
    fn members_are_written_over_the_options_in_the_order_of_their_names() {
        let rows = [
            (json!({}), StreamOptions::None),
            (
                json!({"a": 1, "model": 2, "n": [1.50], "z": "x"}),
                StreamOptions::Plain,
            ),
            (
                json!({"messages": [], "stream": 0, "temperature": 1e2}),
                StreamOptions::WithUsage,
            ),
            (
                json!({"stream_options": {"b": 1, "a": null}, "s": 1, "zz": 2}),
                StreamOptions::WithUsage,
            ),
        ];
        for (options, stream) in rows {
            let options = options.as_object().unwrap().clone();
            let mut expected = options.clone();
            let message = |role: &str, content: &str| json!({"role": role, "content": content});
            let messages = [
                message("user", "Hi"),
                message("assistant", "Hello!"),
                message("user", "a \"b\""),
            ];
            expected.insert("messages".to_owned(), json!(messages));
            expected.insert("model".to_owned(), json!("m"));
            expected.insert(
                "stream".to_owned(),
                json!(!matches!(stream, StreamOptions::None)),
            );
            if matches!(stream, StreamOptions::WithUsage) {
                let usage = json!({"include_usage": true});
                expected.entry("stream_options").or_insert(usage);
            }

            let body = body(&conversation(), "m", &options, stream);

            assert_eq!(
                str::from_utf8(&body),
                Ok(Value::Object(expected).to_string().as_str())
            );
        }
    }
}
