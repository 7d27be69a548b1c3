//! Reads golden files, and translates what they hold.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aisbreaker_translate::messages_to_chat::{Answers, translate_request};
use serde_json::{Value, json};

/// Returns the golden files of a folder by name, in order.
pub(crate) fn golden(folder: &str) -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/messages_to_chat")
        .join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .filter(|(name, _)| !name.ends_with(".expected.sse"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

pub(crate) fn read_json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Returns the bytes that a golden file describes: a `text`, or JSON.
pub(crate) fn body(golden: &Value, name: &str) -> Vec<u8> {
    match golden["text"].as_str() {
        Some(text) => text.into(),
        None => golden[name].to_string().into_bytes(),
    }
}

/// Returns what translates the answers to a request with or without thinking.
pub(crate) fn answers(has_thinking: bool) -> Answers {
    let thinking = if has_thinking { "adaptive" } else { "disabled" };
    let request = json!({
        "model": "fast",
        "max_tokens": 100,
        "stream": true,
        "thinking": {"type": thinking},
        "messages": [{"role": "user", "content": "Hi"}],
    });
    translate_request(request.to_string().as_bytes(), "any")
        .unwrap()
        .answers
}

/// An event of a provider's stream: its name and its data.
pub(crate) type ServerSentEvent = (String, String);

/// Splits a stream into events, without comments.
pub(crate) fn parse_events(stream: &str) -> Vec<ServerSentEvent> {
    let stream = stream.replace("\r\n", "\n");
    let mut events = Vec::new();
    for block in stream.split("\n\n") {
        let (mut event, mut data) = ("message", Vec::new());
        for line in block.lines() {
            match line.split_once(':') {
                Some(("event", name)) => event = name.trim(),
                Some(("data", text)) => data.push(text.strip_prefix(' ').unwrap_or(text)),
                _ => {}
            }
        }
        if !data.is_empty() {
            events.push((event.to_owned(), data.join("\n")));
        }
    }
    events
}

/// Translates a whole stream. An error is the reason.
pub(crate) fn translate_stream(
    answers: &Answers,
    events: &[ServerSentEvent],
) -> Result<String, String> {
    let mut translation = answers.events();
    let mut out = Vec::new();
    for (event, data) in events {
        translation
            .translate_event(event, data, &mut out)
            .map_err(|error| error.to_string())?;
    }
    translation
        .finish(&mut out)
        .map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

/// Puts a client's stream together, and checks the order of its events. An error event is the error.
pub(crate) fn accumulate(stream: &str) -> Result<Value, Value> {
    let mut message = Value::Null;
    let mut partial_json = String::new();
    let mut open_block = None;
    let mut is_stopped = false;
    for (name, data) in parse_events(stream) {
        assert!(!is_stopped, "{name} after message_stop");
        let data: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(data["type"], name);
        assert_eq!(
            message.is_null(),
            name == "message_start" || (name == "error" && message.is_null())
        );
        let blocks = message["content"].as_array().map_or(0, Vec::len);
        match name.as_str() {
            "message_start" => message = data["message"].clone(),
            "content_block_start" => {
                assert_eq!(open_block, None);
                assert_eq!(data["index"], blocks);
                open_block = Some(blocks);
                partial_json.clear();
                let content = message["content"].as_array_mut().unwrap();
                content.push(data["content_block"].clone());
            }
            "content_block_delta" => {
                assert_eq!(data["index"], open_block.unwrap());
                add_delta(
                    &mut message["content"][blocks - 1],
                    &data["delta"],
                    &mut partial_json,
                );
            }
            "content_block_stop" => {
                assert_eq!(data["index"], open_block.take().unwrap());
                if !partial_json.is_empty() {
                    let input = serde_json::from_str(&partial_json).unwrap_or(json!("cut off"));
                    message["content"][blocks - 1]["input"] = input;
                }
                partial_json.clear();
            }
            "message_delta" => {
                assert_eq!(open_block, None);
                message["stop_reason"] = data["delta"]["stop_reason"].clone();
                message["stop_sequence"] = data["delta"]["stop_sequence"].clone();
                message["usage"] = data["usage"].clone();
            }
            "message_stop" => is_stopped = true,
            "error" => return Err(data),
            _ => panic!("an event named {name}"),
        }
    }
    assert!(is_stopped);
    Ok(message)
}

fn add_delta(block: &mut Value, delta: &Value, partial_json: &mut String) {
    let (member, text) = match (
        delta["type"].as_str().unwrap(),
        block["type"].as_str().unwrap(),
    ) {
        ("text_delta", "text") => ("text", &delta["text"]),
        ("thinking_delta", "thinking") => ("thinking", &delta["thinking"]),
        ("signature_delta", "thinking") => ("signature", &delta["signature"]),
        ("input_json_delta", "tool_use") => {
            partial_json.push_str(delta["partial_json"].as_str().unwrap());
            return;
        }
        other => panic!("{other:?}"),
    };
    let text = format!(
        "{}{}",
        block[member].as_str().unwrap(),
        text.as_str().unwrap()
    );
    block[member] = Value::String(text);
}
