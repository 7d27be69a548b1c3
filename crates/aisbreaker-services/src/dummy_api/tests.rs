use aisbreaker_api::ServiceId;
use aisbreaker_egress::{MemoryBudget, Outgoing};
use http::HeaderMap;
use serde_json::json;

use super::*;
use crate::{credentials::Credentials, providers::Providers};

fn answered(
    model: &str,
    dialect: Dialect,
    path: &str,
    outgoing: Outgoing,
) -> (response::Parts, Body) {
    let service_id = ServiceId::parse(format!("chat:{model}")).unwrap();
    let providers = Providers::builtin();
    let request = ForwardedRequest {
        service_id: &service_id,
        provider: providers.dummy().unwrap(),
        dialect,
        path,
        credentials: &Credentials::None,
        hops: 0,
        outgoing,
    };
    call(request).unwrap()
}

/// Calls the dummy, and returns its status and its whole body.
async fn called(
    model: &str,
    dialect: Dialect,
    path: &str,
    body: impl Into<Bytes>,
) -> (StatusCode, HeaderMap, String) {
    let outgoing = Outgoing::post(HeaderMap::new(), body.into());
    let (parts, body) = answered(model, dialect, path, outgoing);
    let (body, _reservation) = body.collect_bounded().await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (parts.status, parts.headers, text)
}

async fn chat(body: Value) -> Value {
    let body = body.to_string();
    let (_, _, text) = called("dummy/echo", Dialect::OpenAi, "/chat/completions", body).await;
    serde_json::from_str(&text).unwrap()
}

/// Returns the name of the tool that is called for a text of the user.
async fn called_tool(text: &str, tools: &[&str], choice: Value) -> Option<String> {
    let tool = |name: &&str| json!({"type": "function", "function": {"name": name}});
    let completion = chat(json!({
        "messages": [{"role": "user", "content": text}],
        "tools": tools.iter().map(tool).collect::<Vec<_>>(),
        "tool_choice": choice,
    }))
    .await;
    let choice = &completion["choices"][0];
    let name = choice["message"]["tool_calls"][0]["function"]["name"].as_str();
    assert_eq!(
        name.is_some(),
        choice["finish_reason"] == "tool_calls",
        "{completion}"
    );
    name.map(str::to_owned)
}

#[tokio::test]
async fn a_tool_is_called_if_the_message_names_it() {
    let tools = &["get_weather", "search", "add", "createFile"];
    let rows = [
        ("What is the weather in Oslo?", Some("get_weather")),
        ("Please get it", None),
        ("SEARCH for doors", Some("search")),
        ("research doors", None),
        ("add 1 and 2", Some("add")),
        ("an addition", None),
        ("write a file", Some("createFile")),
        ("search the weather with get_weather", Some("get_weather")),
        ("Hello", None),
        ("", None),
    ];
    for (text, expected) in rows {
        let name = called_tool(text, tools, Value::Null).await;
        assert_eq!(name.as_deref(), expected, "{text}");
    }
}

#[tokio::test]
async fn tool_choice_forces_and_forbids() {
    let tools = &["get_weather", "search"];
    let named = |name: &str| json!({"type": "function", "function": {"name": name}});
    let allowed = |mode: &str| json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named("search")]}});
    let rows = [
        (json!("auto"), "weather", Some("get_weather")),
        (json!("none"), "weather", None),
        (json!("required"), "Hello", Some("get_weather")),
        (json!("required"), "search", Some("search")),
        (named("search"), "weather", Some("search")),
        (allowed("auto"), "weather", None),
        (allowed("required"), "weather", Some("search")),
        (json!({"type": "any"}), "Hello", Some("get_weather")),
        (
            json!({"type": "tool", "name": "search"}),
            "Hello",
            Some("search"),
        ),
    ];
    for (choice, text, expected) in rows {
        let name = called_tool(text, tools, choice.clone()).await;
        assert_eq!(name.as_deref(), expected, "{choice} {text}");
    }
    let error = chat(json!({
        "messages": [{"role": "user", "content": "Hi"}], "tool_choice": "required",
    }))
    .await;
    assert_eq!(error["error"]["param"], "tool_choice", "{error}");
}

#[tokio::test]
async fn the_last_message_is_answered() {
    let rows = [
        (
            json!([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]),
            "b",
        ),
        (
            json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]),
            "a",
        ),
        (
            json!([{"role": "user", "content": "a"}, {"role": "tool", "content": "snow"}]),
            "snow",
        ),
        (
            json!([{"role": "user", "content": [
                {"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "\u{e9}\n"},
            ]}]),
            "a\n\u{e9}\n",
        ),
        (
            json!([{"role": "user", "content": [
                {"type": "tool_result", "content": [{"type": "text", "text": "snow"}]},
            ]}]),
            "snow",
        ),
        (json!([{"role": "user"}]), ""),
        (json!([]), ""),
    ];
    for (messages, expected) in rows {
        let completion = chat(json!({"messages": messages})).await;
        assert_eq!(
            completion["choices"][0]["message"]["content"], expected,
            "{messages}"
        );
    }
}

#[tokio::test]
async fn long_texts_and_limits_cut_answers() {
    let rows = [
        (
            "abcdefgh".to_owned(),
            json!(2),
            "abcdefgh".to_owned(),
            "stop",
            2,
        ),
        (
            "abcdefghi".to_owned(),
            json!(2),
            "abcdefgh".to_owned(),
            "length",
            2,
        ),
        (
            "abc\u{1f600}".to_owned(),
            json!(1),
            "abc".to_owned(),
            "length",
            1,
        ),
        (
            "x".repeat(70_000),
            Value::Null,
            "x".repeat(65_536),
            "length",
            16_384,
        ),
    ];
    for (text, max_tokens, expected, reason, tokens) in rows {
        let completion = chat(json!({
            "messages": [{"role": "user", "content": text}], "max_tokens": max_tokens,
        }))
        .await;
        let choice = &completion["choices"][0];
        assert_eq!(choice["message"]["content"], expected);
        assert_eq!(choice["finish_reason"], reason);
        assert_eq!(completion["usage"]["completion_tokens"], tokens);
    }
}

#[tokio::test]
async fn unusable_requests_are_answered_with_errors() {
    let rows = [
        (
            Dialect::OpenAi,
            "/chat/completions",
            "{",
            400,
            "invalid_request_error",
        ),
        (
            Dialect::OpenAi,
            "/chat/completions",
            "{}",
            400,
            "invalid_request_error",
        ),
        (
            Dialect::OpenAi,
            "/chat/completions",
            r#"{"messages":1}"#,
            400,
            "invalid_request_error",
        ),
        (
            Dialect::OpenAi,
            "/chat/completions",
            r#"{"messages":[1]}"#,
            400,
            "invalid_request_error",
        ),
        (
            Dialect::OpenAi,
            "/chat/completions",
            r#"{"messages":[],"n":129}"#,
            400,
            "invalid_request_error",
        ),
        (
            Dialect::OpenAi,
            "/embeddings",
            r#"{"input":[]}"#,
            400,
            "invalid_request_error",
        ),
        (
            Dialect::OpenAi,
            "/embeddings",
            r#"{"input":"a","dimensions":0}"#,
            400,
            "invalid_request_error",
        ),
        (
            Dialect::OpenAi,
            "/images/generations",
            r#"{"prompt":"a","n":11}"#,
            400,
            "invalid_request_error",
        ),
        (
            Dialect::OpenAi,
            "/audio/speech",
            "{}",
            404,
            "invalid_request_error",
        ),
        (
            Dialect::Anthropic,
            "/messages",
            r#"{"messages":[]}"#,
            400,
            "invalid_request_error",
        ),
        (Dialect::Anthropic, "/batches", "{}", 404, "not_found_error"),
    ];
    for (dialect, path, body, status, kind) in rows {
        let (found, _, text) = called("dummy", dialect, path, body.as_bytes().to_vec()).await;
        let error: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (found.as_u16(), &error["error"]["type"]),
            (status, &json!(kind)),
            "{path} {body}"
        );
    }
    let large = format!(r#"{{"messages":[],"x":"{}"}}"#, "x".repeat(MAX_BODY_BYTES));
    let (status, _, _) = called("dummy", Dialect::OpenAi, "/chat/completions", large).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn models_fail_with_the_status_of_their_name() {
    let rows = [
        ("dummy/error-400", 400, false, "invalid_request_error"),
        ("dummy/error-401", 401, false, "authentication_error"),
        ("dummy/error-429", 429, true, "rate_limit_error"),
        ("dummy/error-500", 500, false, "api_error"),
        ("dummy/error-503", 503, true, "overloaded_error"),
        ("dummy/error-529", 529, false, "overloaded_error"),
        ("dummy/error-600", 404, false, "not_found_error"),
        ("dummy/error-200", 404, false, "not_found_error"),
        ("dummy/other", 404, false, "not_found_error"),
    ];
    for (model, status, has_retry_after, kind) in rows {
        let (found, headers, text) = called(model, Dialect::Anthropic, "/messages", "{}").await;
        let error: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (found.as_u16(), &error["error"]["type"]),
            (status, &json!(kind)),
            "{model}"
        );
        assert_eq!(
            headers.contains_key(RETRY_AFTER),
            has_retry_after,
            "{model}"
        );
    }
}

#[tokio::test]
async fn vectors_are_the_same_in_both_encodings_and_every_place() {
    let embed = async |body: Value| {
        let (_, _, text) = called("dummy", Dialect::OpenAi, "/embeddings", body.to_string()).await;
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let alone = embed(json!({"input": "a", "dimensions": 3})).await;
    let listed = embed(json!({"input": ["b", "a"], "dimensions": 3})).await;
    let encoded = embed(json!({"input": "a", "dimensions": 3, "encoding_format": "base64"})).await;
    let tokens = embed(json!({"input": [1, 2, 3]})).await;

    let vector = alone["data"][0]["embedding"].as_array().unwrap();
    assert_eq!(Some(vector), listed["data"][1]["embedding"].as_array());
    assert_ne!(Some(vector), listed["data"][0]["embedding"].as_array());
    let length: f64 = vector
        .iter()
        .map(|number| number.as_f64().unwrap().powi(2))
        .sum();
    assert!((length - 1.0).abs() < 1e-5, "{length}");
    let bytes: Vec<u8> = vector
        .iter()
        .flat_map(|number| number.to_string().parse::<f32>().unwrap().to_le_bytes())
        .collect();
    let base64 = <base64ct::Base64 as base64ct::Encoding>::encode_string(&bytes);
    assert_eq!(encoded["data"][0]["embedding"], base64);
    assert_eq!(tokens["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        tokens["data"][0]["embedding"].as_array().unwrap().len(),
        1_536
    );
    assert_eq!(listed["usage"]["total_tokens"], 3, "{listed}");
}

/// A client that reads slowly, or not at all, makes the dummy hold no more than its own request.
#[test]
fn answers_are_made_as_they_are_read() {
    let inputs = vec!["x"; 2_048];
    let body = json!({"input": inputs, "dimensions": 4_096}).to_string();
    let budget = MemoryBudget::new(64 << 10);
    let outgoing = Outgoing::post(HeaderMap::new(), Bytes::from(body)).with_budget(budget.clone());

    let (parts, body) = answered("dummy", Dialect::OpenAi, "/embeddings", outgoing);

    assert!(!parts.headers.contains_key(CONTENT_LENGTH));
    assert!(budget.held_bytes() <= 64 << 10, "{}", budget.held_bytes());
    drop(body);
    assert_eq!(budget.held_bytes(), 0);
}

#[tokio::test]
async fn line_breaks_in_what_a_response_repeats_end_no_event() {
    let body = "{\"input\":\"a\\nb\",\"stream\":true,\"metadata\":{\r\n\n\"k\": \"v\"}}";
    let (_, headers, text) = called("dummy/echo", Dialect::OpenAi, "/responses", body).await;

    assert_eq!(headers[CONTENT_TYPE], EVENT_STREAM);
    let events: Vec<&str> = text.trim_end().split("\n\n").collect();
    for (number, event) in events.iter().enumerate() {
        let (name, data) = event.split_once("\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(name, format!("event: {}", data["type"].as_str().unwrap()));
        assert_eq!(data["sequence_number"], number);
    }
    assert!(events.last().unwrap().contains(r#""metadata":{"#), "{text}");
}
