//! A stream adds up to the response without a stream.

use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Value, json};

use crate::{
    hostile::any_json,
    support::{MODEL, answers, decode_events, translate_stream},
};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_stream_adds_up_to_the_response(message in any_message(), cuts in vec(any::<Index>(), 0..12)) {
        let events = message.events(&cuts);
        let (out, error) = translate_stream(&events, true);
        prop_assert_eq!(error, None);
        let response = answers(false, false).translate_response(message.to_json().as_bytes()).unwrap();

        let added = add_up(&decode_events(&out));

        let mut response: Value = serde_json::from_slice(&response).unwrap();
        // The first piece of a stream has an empty content, also where the message has none.
        let content = &mut response["choices"][0]["message"]["content"];
        if content.is_null() {
            *content = json!("");
        }
        prop_assert_eq!(added, response);
    }
}

/// A message that a provider answers with.
#[derive(Clone, Debug)]
struct GeneratedMessage {
    blocks: Vec<GeneratedBlock>,
    stop_reason: &'static str,
    explanation: Option<String>,
    tokens: [u32; 4],
}

#[derive(Clone, Debug)]
enum GeneratedBlock {
    Text(String),
    Thinking(String),
    ToolUse { name: String, input: Value },
}

fn any_message() -> impl Strategy<Value = GeneratedMessage> {
    let input = proptest::collection::btree_map(any::<String>(), any_json(), 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect()));
    let block = prop_oneof![
        any::<String>().prop_map(GeneratedBlock::Text),
        any::<String>().prop_map(GeneratedBlock::Thinking),
        ("[a-z_]{1,9}", input).prop_map(|(name, input)| GeneratedBlock::ToolUse { name, input }),
    ];
    let stop_reasons = proptest::sample::select(vec![
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
    ]);
    (
        vec(block, 0..5),
        stop_reasons,
        any::<Option<String>>(),
        any::<[u32; 4]>(),
    )
        .prop_map(
            |(blocks, stop_reason, explanation, tokens)| GeneratedMessage {
                blocks,
                stop_reason,
                explanation,
                tokens,
            },
        )
}

impl GeneratedMessage {
    fn head(&self, content: &[Value], stop_reason: Option<&str>) -> Value {
        let [input, cache_read, cache_creation, output] = self.tokens;
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": content,
            "stop_reason": stop_reason, "stop_details": self.stop_details(),
            "usage": {
                "input_tokens": input, "cache_read_input_tokens": cache_read,
                "cache_creation_input_tokens": cache_creation, "output_tokens": output,
                "service_tier": "standard",
            },
        })
    }

    fn stop_details(&self) -> Value {
        json!({"type": "refusal", "explanation": self.explanation})
    }

    fn to_json(&self) -> String {
        let mut content = Vec::new();
        for (index, block) in self.blocks.iter().enumerate() {
            content.push(match block {
                GeneratedBlock::Text(text) => json!({"type": "text", "text": text}),
                GeneratedBlock::Thinking(text) => {
                    json!({"type": "thinking", "thinking": text, "signature": "s"})
                }
                GeneratedBlock::ToolUse { name, input } => {
                    json!({"type": "tool_use", "id": index.to_string(), "name": name, "input": input})
                }
            });
        }
        self.head(&content, Some(self.stop_reason)).to_string()
    }

    /// Returns the message as events, its texts cut at some places.
    fn events(&self, cuts: &[Index]) -> Vec<(String, String)> {
        let mut data = vec![json!({"type": "message_start", "message": self.head(&[], None)})];
        for (index, block) in self.blocks.iter().enumerate() {
            let (start, kind, member, text) = match block {
                GeneratedBlock::Text(text) => (
                    json!({"type": "text", "text": ""}),
                    "text_delta",
                    "text",
                    text.clone(),
                ),
                GeneratedBlock::Thinking(text) => (
                    json!({"type": "thinking"}),
                    "thinking_delta",
                    "thinking",
                    text.clone(),
                ),
                GeneratedBlock::ToolUse { name, input } => (
                    json!({"type": "tool_use", "id": index.to_string(), "name": name, "input": {}}),
                    "input_json_delta",
                    "partial_json",
                    if input == &json!({}) {
                        String::new()
                    } else {
                        input.to_string()
                    },
                ),
            };
            data.push(
                json!({"type": "content_block_start", "index": index, "content_block": start}),
            );
            for piece in pieces(&text, cuts) {
                data.push(json!({"type": "content_block_delta", "index": index,
                    "delta": {"type": kind, member: piece}}));
            }
            data.push(json!({"type": "content_block_stop", "index": index}));
        }
        data.push(json!({"type": "message_delta",
            "delta": {"stop_reason": self.stop_reason, "stop_details": self.stop_details()},
            "usage": {"output_tokens": self.tokens[3]}}));
        data.push(json!({"type": "message_stop"}));
        let named = data
            .iter()
            .map(|data| (data["type"].as_str().unwrap().to_owned(), data.to_string()));
        named.collect()
    }
}

/// Cuts a text at some of its characters.
fn pieces(text: &str, cuts: &[Index]) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut ends: Vec<usize> = cuts
        .iter()
        .map(|cut| cut.index(characters.len() + 1))
        .collect();
    ends.push(characters.len());
    ends.sort_unstable();
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in ends {
        pieces.push(characters[start..end].iter().collect());
        start = end;
    }
    pieces
}

/// Adds the chunks of a stream up to a completion, as a client does.
fn add_up(chunks: &[(String, String)]) -> Value {
    let mut message = json!({"role": null, "content": null, "refusal": null});
    let mut finish_reason = Value::Null;
    let mut last = Value::Null;
    for (_, data) in chunks {
        let Ok(chunk) = serde_json::from_str::<Value>(data) else {
            assert_eq!(data, "[DONE]");
            continue;
        };
        if let Some(choice) = chunk["choices"].get(0) {
            add_delta(&mut message, &choice["delta"]);
            finish_reason = choice["finish_reason"].clone();
        }
        last = chunk;
    }
    json!({
        "id": last["id"], "object": "chat.completion", "created": last["created"], "model": last["model"],
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason}],
        "usage": last["usage"], "service_tier": last["service_tier"],
    })
}

fn add_delta(message: &mut Value, delta: &Value) {
    if let Some(role) = delta.get("role") {
        message["role"] = role.clone();
    }
    for member in ["content", "refusal"] {
        if let Some(text) = delta.get(member) {
            append(&mut message[member], text);
        }
    }
    for call in delta["tool_calls"].as_array().into_iter().flatten() {
        let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
        if message.get("tool_calls").is_none() {
            message["tool_calls"] = json!([]);
        }
        let calls = message["tool_calls"].as_array_mut().unwrap();
        if index == calls.len() {
            let mut call = call.clone();
            call.as_object_mut().unwrap().remove("index");
            calls.push(call);
        } else {
            append(
                &mut calls[index]["function"]["arguments"],
                &call["function"]["arguments"],
            );
        }
    }
}

fn append(text: &mut Value, more: &Value) {
    let joined = format!(
        "{}{}",
        text.as_str().unwrap_or_default(),
        more.as_str().unwrap()
    );
    *text = Value::from(joined);
}
