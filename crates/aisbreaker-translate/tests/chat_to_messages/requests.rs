//! Requests: what they become, and what is refused.

use aisbreaker_translate::chat_to_messages::{DEFAULT_MAX_TOKENS, translate_request};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::support::{MODEL, golden, golden_file};

#[derive(Deserialize)]
struct Case<'a> {
    #[serde(borrow)]
    client: &'a RawValue,
    provider: Value,
}

#[test]
fn requests_become_those_of_the_golden_files() {
    for (name, file) in golden("requests", ".json") {
        let case: Case<'_> = serde_json::from_str(&file).unwrap();

        let translated = translate_request(case.client.get().as_bytes(), MODEL)
            .unwrap_or_else(|error| panic!("{name}: {error}"));

        let body: Value = serde_json::from_slice(&translated.body).unwrap();
        assert_eq!(body, case.provider, "{name}");
        let streams = case.provider.get("stream").is_some();
        assert_eq!(translated.answers.is_stream(), streams, "{name}");
    }
}

#[derive(Deserialize)]
struct Refusal<'a> {
    #[serde(borrow)]
    request: &'a RawValue,
    error: String,
}

#[test]
fn what_has_no_counterpart_is_refused_by_name() {
    let file = golden_file("refusals.json");
    let refusals: Vec<Refusal<'_>> = serde_json::from_str(&file).unwrap();

    for Refusal { request, error } in refusals {
        let translated = translate_request(request.get().as_bytes(), MODEL);

        assert_eq!(translated.unwrap_err().to_string(), error, "{request}");
    }
}

#[test]
fn bodies_that_are_not_json_are_refused() {
    let rows: [(&[u8], &str); 5] = [
        (b"", "body is not valid JSON"),
        (b"{", "body is not valid JSON"),
        (b"{} {}", "body is not valid JSON"),
        (b"\xff", "body is not UTF-8"),
        (br#"{"messages": [1,]}"#, "body is not valid JSON"),
    ];
    for (body, error) in rows {
        let translated = translate_request(body, MODEL);

        assert_eq!(translated.unwrap_err().to_string(), error, "{body:?}");
    }
}

#[test]
fn deep_nesting_is_refused_in_time_that_grows_with_its_length() {
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    let body = format!(r#"{{"messages": {deep}}}"#);

    let translated = translate_request(body.as_bytes(), MODEL);

    let error = translated.unwrap_err().to_string();
    assert_eq!(error, "body is nested deeper than 128 levels");
}

#[test]
fn a_schema_may_be_as_deep_as_the_documented_limit() {
    // Around the schema are the body, the tools, the tool and its function.
    for (levels, is_translated) in [(124, true), (125, false)] {
        let schema = r#"{"a":"#.repeat(levels) + "1" + &"}".repeat(levels);
        let body = format!(
            r#"{{"messages": [{{"role": "user", "content": "Hi"}}],
                "tools": [{{"type": "function", "function": {{"name": "f", "parameters": {schema}}}}}]}}"#
        );

        let translated = translate_request(body.as_bytes(), MODEL);

        assert_eq!(translated.is_ok(), is_translated, "{levels}");
    }
}

#[test]
fn many_messages_take_time_that_grows_with_their_number() {
    let message = r#"{"role": "assistant", "content": "Hi"}"#;
    let body = format!(r#"{{"messages": [{}]}}"#, [message; 100_000].join(","));

    let translated = translate_request(body.as_bytes(), MODEL).unwrap();

    let body: Value = serde_json::from_slice(&translated.body).unwrap();
    assert_eq!(
        body["messages"][0]["content"].as_array().unwrap().len(),
        100_000
    );
}

#[test]
fn brackets_in_strings_are_no_nesting() {
    let text = r#"[{\"[{\\"#.repeat(200);
    let body = format!(r#"{{"messages": [{{"role": "user", "content": "{text}"}}]}}"#);

    translate_request(body.as_bytes(), MODEL).unwrap();
}

#[test]
fn schemas_and_arguments_are_passed_on_as_they_are_written() {
    let schema =
        r#"{"type":"object","properties":{"z":{"maximum":18446744073709551616.50},"a":{}}}"#;
    let body = format!(
        r#"{{"messages": [{{"role": "assistant", "tool_calls": [{{"id": "c", "type": "function",
            "function": {{"name": "f", "arguments": "{{\"z\":1.00,\"a\":0}}"}}}}]}}],
            "tools": [{{"type": "function", "function": {{"name": "f", "parameters": {schema}}}}}]}}"#
    );

    let translated = translate_request(body.as_bytes(), MODEL).unwrap();

    let body = String::from_utf8(translated.body).unwrap();
    assert!(
        body.contains(&format!(r#""input_schema":{schema}"#)),
        "{body}"
    );
    assert!(body.contains(r#""input":{"z":1.00,"a":0}"#), "{body}");
}

#[test]
fn the_default_limit_is_the_documented_one() {
    let body = json!({"messages": [{"role": "user", "content": "Hi"}]}).to_string();

    let translated = translate_request(body.as_bytes(), MODEL).unwrap();

    let body: Value = serde_json::from_slice(&translated.body).unwrap();
    assert_eq!(body["max_tokens"], DEFAULT_MAX_TOKENS);
}

#[test]
fn debug_output_holds_no_content() {
    let body = json!({"messages": [{"role": "user", "content": "canary"}], "user": "canary"});

    let translated = translate_request(body.to_string().as_bytes(), "canary").unwrap();

    let debug = format!("{translated:?} {:?}", translated.answers);
    assert!(!debug.contains("canary"), "{debug}");
}
