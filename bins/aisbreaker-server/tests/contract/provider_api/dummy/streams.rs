//! The events of the dummy's streams.

use serde_json::{Value, json};

use super::{ask, with};
use crate::support::{
    Response, Server,
    provider_api::{CHAT, MESSAGES},
};

/// The names and the data of the events of a stream. The data of the last one may be no JSON.
fn events(response: &Response) -> Vec<(String, Value)> {
    assert_eq!(response.status, 200, "{response:?}");
    let content_type = response.header("content-type").unwrap();
    assert!(
        content_type.starts_with("text/event-stream"),
        "{content_type}"
    );
    let blocks = response.text().trim_end().split("\n\n");
    let event = |block: &str| {
        let (name, data) = block.split_once("data: ").expect("data");
        let name = name.trim_start_matches("event: ").trim_end().to_owned();
        (
            name,
            serde_json::from_str(data).unwrap_or_else(|_| json!(data)),
        )
    };
    blocks.map(event).collect()
}

fn streamed(path: &str, body: Value) -> Vec<(String, Value)> {
    let server = Server::start(&[]);
    let body = with(body, &json!({"stream": true}));
    events(&server.send(&ask(path, "dummy/echo", body)))
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

/// The values of a member of all events.
fn values<'a>(events: &'a [(String, Value)], pointer: &str) -> Vec<&'a Value> {
    let data = events.iter();
    data.filter_map(|(_, data)| data.pointer(pointer)).collect()
}

fn joined(texts: &[&Value]) -> String {
    texts.iter().filter_map(|text| text.as_str()).collect()
}

fn messages(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

#[test]
fn chats_stream_each_choice_and_then_their_usage() {
    let body = json!({
        "messages": messages("one two"), "n": 2, "stream_options": {"include_usage": true},
    });
    let events = streamed(CHAT, body);

    let choices: Vec<_> = values(&events, "/choices/0")
        .into_iter()
        .map(|choice| {
            let delta = &choice["delta"]["content"];
            (
                choice["index"].as_u64().unwrap(),
                delta.as_str(),
                choice["finish_reason"].as_str(),
            )
        })
        .collect();
    let of = |index| {
        [("", None), ("one ", None), ("two", None)]
            .map(|(text, reason)| (index, Some(text), reason))
            .into_iter()
            .chain([(index, None, Some("stop"))])
    };
    assert_eq!(choices, of(0).chain(of(1)).collect::<Vec<_>>());
    let usages = values(&events, "/usage");
    assert_eq!(usages.len(), events.len() - 1, "every chunk has the member");
    assert_eq!(usages.last().unwrap()["completion_tokens"], 4);
    assert!(usages.iter().rev().skip(1).all(|usage| usage.is_null()));
    assert_eq!(events.last().unwrap().1, json!("[DONE]"));
    assert_eq!(
        values(&events, "/object"),
        vec!["chat.completion.chunk"; events.len() - 1]
    );
}

#[test]
fn chats_have_no_usage_unless_it_is_asked_for() {
    let events = streamed(CHAT, json!({"messages": messages("one")}));
    assert!(values(&events, "/usage").is_empty(), "{events:?}");
    assert_eq!(events.last().unwrap().1, json!("[DONE]"));
}

#[test]
fn chats_stream_the_arguments_of_tools() {
    let tool = json!({"type": "function", "function": {"name": "add", "parameters": {
        "type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "minimum": 3}},
    }}});
    let events = streamed(
        CHAT,
        json!({"messages": messages("please add"), "tools": [tool]}),
    );
    let calls = values(&events, "/choices/0/delta/tool_calls/0");
    assert_eq!(
        (&calls[0]["function"]["name"], &calls[0]["type"]),
        (&json!("add"), &json!("function"))
    );
    assert!(calls[0]["id"].as_str().unwrap().starts_with("call_"));
    let arguments = values(&events, "/choices/0/delta/tool_calls/0/function/arguments");
    assert_eq!(joined(&arguments), r#"{"a":3}"#);
    let reasons = values(&events, "/choices/0/finish_reason");
    assert_eq!(reasons.last().unwrap(), &&json!("tool_calls"));
}

#[test]
fn completions_stream_each_prompt() {
    let events = streamed(
        "/v1/completions",
        json!({"prompt": ["one two", "three"], "stream_options": {"include_usage": true}}),
    );
    assert_eq!(joined(&values(&events, "/choices/0/text")), "one twothree");
    assert_eq!(values(&events, "/choices/0/index"), [0, 0, 0, 1, 1]);
    assert_eq!(
        values(&events, "/usage").last().unwrap()["completion_tokens"],
        4
    );
    assert_eq!(events.last().unwrap().1, json!("[DONE]"));
}

#[test]
fn responses_stream_a_message_and_all_its_states() {
    let events = streamed("/v1/responses", json!({"input": "one two"}));
    assert_eq!(
        names(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    for (number, (name, data)) in events.iter().enumerate() {
        assert_eq!(
            (&data["type"], &data["sequence_number"]),
            (&json!(name), &json!(number))
        );
    }
    assert_eq!(joined(&values(&events, "/delta")), "one two");
    let last = &events.last().unwrap().1["response"];
    assert_eq!(last["output"][0]["content"][0]["text"], "one two");
    assert_eq!(
        (&last["status"], &last["usage"]["output_tokens"]),
        (&json!("completed"), &json!(2))
    );
}

#[test]
fn responses_stream_calls_and_cut_texts() {
    let tool = json!({"type": "function", "name": "add", "parameters": {}});
    let events = streamed("/v1/responses", json!({"input": "add", "tools": [tool]}));
    assert_eq!(
        names(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let cut = streamed(
        "/v1/responses",
        json!({"input": "one two three", "max_output_tokens": 1}),
    );
    let (name, data) = cut.last().unwrap();
    assert_eq!(name, "response.incomplete");
    assert_eq!(
        data["response"]["incomplete_details"]["reason"],
        "max_output_tokens"
    );
    assert_eq!(data["response"]["output"][0]["content"][0]["text"], "one ");
}

#[test]
fn messages_stream_in_anthropics_events() {
    let body = json!({"messages": messages("one two"), "max_tokens": 50});
    let events = streamed(MESSAGES, body);
    assert_eq!(
        names(&events),
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    assert_eq!(joined(&values(&events, "/delta/text")), "one two");
    let delta = &events[6].1;
    assert_eq!(
        delta["delta"],
        json!({"stop_reason": "end_turn", "stop_sequence": null})
    );
    assert_eq!(delta["usage"]["output_tokens"], 2);

    let tool = json!({"name": "add", "input_schema": {"type": "object"}});
    let body = json!({
        "messages": messages("Hi"), "max_tokens": 50, "tools": [tool],
        "tool_choice": {"type": "tool", "name": "add"},
    });
    let events = streamed(MESSAGES, body);
    assert_eq!(
        events[1].1["content_block"]["type"], "tool_use",
        "{events:?}"
    );
    assert_eq!(joined(&values(&events, "/delta/partial_json")), "{}");
}

#[test]
fn pictures_stream_unfinished_ones_first() {
    let body = json!({"prompt": "a door", "partial_images": 2});
    let events = streamed("/v1/images/generations", body);
    assert_eq!(
        names(&events),
        [
            "image_generation.partial_image",
            "image_generation.partial_image",
            "image_generation.completed",
        ]
    );
    assert_eq!(values(&events, "/partial_image_index"), [0, 1]);
    assert_eq!(values(&events, "/usage/output_tokens"), [64]);
}
