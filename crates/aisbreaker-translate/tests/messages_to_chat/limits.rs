//! What is passed on unread, and what bounds the rest.

use aisbreaker_translate::messages_to_chat::translate_request;
use serde_json::{Value, json};

use crate::support::answers;

/// Returns the error of a request with these messages and, after them, other members.
fn refusal(messages: &str, others: &str) -> String {
    let request = format!(r#"{{"model": "m", "max_tokens": 1, "messages": {messages}{others}}}"#);
    translate_request(request.as_bytes(), "m")
        .unwrap_err()
        .to_string()
}

#[test]
fn schemas_and_inputs_are_passed_on_as_they_are_written() {
    let schema =
        r#"{"type": "object", "properties": {"b": {}, "a": {"maximum": 12345678901234567890.50}}}"#;
    let input = r#"{"z": 1e2, "a": [ 0.10 ]}"#;
    let request = format!(
        r#"{{"model": "m", "max_tokens": 1, "temperature": 0.70, "tools": [{{"name": "t", "input_schema": {schema}}}],
        "messages": [
            {{"role": "user", "content": "Hi"}},
            {{"role": "assistant", "content": [{{"type": "tool_use", "id": "1", "name": "t", "input": {input}}}]}},
            {{"role": "user", "content": [{{"type": "tool_result", "tool_use_id": "1"}}]}}
        ]}}"#
    );
    let body = translate_request(request.as_bytes(), "m").unwrap().body;
    let body = String::from_utf8(body).unwrap();
    assert!(
        body.contains(&format!(r#""parameters":{schema}"#)),
        "{body}"
    );
    assert!(
        body.contains(&format!(r#""arguments":{}"#, Value::from(input))),
        "{body}"
    );
    assert!(body.contains(r#""temperature":0.70"#), "{body}");
}

#[test]
fn arguments_are_passed_on_as_they_are_written() {
    let arguments = r#"{"z": 1e2, "a": [ 0.10 ]}"#;
    let call = json!({"id": "1", "function": {"name": "t", "arguments": arguments}});
    let response =
        json!({"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]});
    let message = answers(false)
        .translate_response(response.to_string().as_bytes())
        .unwrap();
    let message = String::from_utf8(message).unwrap();
    assert!(
        message.contains(&format!(r#""input":{arguments}"#)),
        "{message}"
    );
}

#[test]
fn a_conversation_has_at_most_100_000_messages() {
    let message = r#"{"role":"user","content":"a"}"#;
    let messages = format!("[{}{message}]", format!("{message},").repeat(100_000));
    assert_eq!(
        refusal(&messages, ""),
        "messages[100000] is one more than 100,000 messages"
    );
}

#[test]
fn an_object_has_at_most_64_members() {
    let others: String = (0..64)
        .map(|number| format!(r#","member_{number}":1"#))
        .collect();
    assert_eq!(refusal("[]", &others), "body has more than 64 members");
}

#[test]
fn names_of_unknown_members_are_cut() {
    let name = "x".repeat(1000);
    let messages = r#"[{"role":"user","content":"a"}]"#;
    let refusal = refusal(messages, &format!(r#","{name}\u0000":1"#));
    assert!(refusal.len() < 150, "{refusal}");
}

/// Sends calls to a stream until it fails, and returns how many it took.
fn calls_until_failure(arguments: &str, is_one_call: bool) -> usize {
    let mut events = answers(false).events();
    for number in 0.. {
        let index = if is_one_call { 0 } else { number };
        let function = json!({"name": "t", "arguments": arguments});
        let call = json!({"index": index, "id": format!("call_{index}"), "function": function});
        let chunk = json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}).to_string();
        if events
            .translate_event("message", &chunk, &mut Vec::new())
            .is_err()
        {
            return number;
        }
    }
    unreachable!()
}

#[test]
fn a_stream_holds_a_bounded_number_of_calls_and_bytes() {
    assert_eq!(calls_until_failure("{}", false), 1024);
    assert_eq!(calls_until_failure("{", false), 1024);
    let mebibyte = format!("[{}", " ".repeat(1 << 20));
    assert!(calls_until_failure(&mebibyte, true) <= 8);
    assert!(calls_until_failure(&mebibyte, false) <= 8);
}
