//! Requests and answers that are no streams.

use serde_json::{Value, json};

use super::{anthropic_answer, chat, key, key_at, message, provider, request, send};
use crate::support::{
    Provider, Server, gzip,
    openai::completion,
    provider_api::{ANTHROPIC_SECRET, CHAT, MESSAGES, OPENAI_SECRET},
};

#[test]
fn a_chat_completion_reaches_a_provider_of_messages() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let body = chat(&json!({
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
            ]},
        ],
        "max_completion_tokens": 77,
        "stop": ["END"],
    }));
    let request = request("/v1/chat/completions?beta=true", &key, &body)
        .header("openai-organization", "org-1")
        .header("x-request-id", "whole")
        .header("user-agent", "sdk");
    let response = server.send(&request);

    assert_eq!(response.status, 200, "{response:?}");
    let answer = response.json();
    assert_eq!(answer["object"], "chat.completion");
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["content"], "Hello");
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(answer["usage"]["prompt_tokens"], 14);
    assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 5);
    assert_eq!(answer["usage"]["completion_tokens"], 12);
    assert_eq!(response.header("content-type"), Some("application/json"));

    let received = provider.only_request();
    assert_eq!(
        received.target, "/v1/messages",
        "the query is none of this provider's"
    );
    let version = received.header("anthropic-version");
    assert_eq!(version, Some("2023-06-01"));
    assert_eq!(received.header("x-api-key"), Some(ANTHROPIC_SECRET));
    assert_eq!(received.header("authorization"), None);
    assert_eq!(received.header("openai-organization"), None);
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert_eq!(received.header("accept-encoding"), Some("identity"));
    assert_eq!(received.header("user-agent"), Some("sdk"));
    assert_eq!(received.header("x-aisbreaker-hops"), Some("1"));
    let sent = received.json();
    assert_eq!(sent["model"], "claude-x");
    assert_eq!(sent["max_tokens"], 77);
    assert_eq!(sent["stop_sequences"], json!(["END"]));
    assert!(sent["system"].to_string().contains("Be brief."), "{sent}");
    let image = &sent["messages"][0]["content"][1]["source"];
    assert_eq!(image["media_type"], "image/png");
    assert_eq!(image["data"], "aGk=");

    // The tokens are counted by the provider's rule.
    let line = server.wait_for_request("whole");
    assert_eq!(line["input_tokens"], 14, "{line}");
    assert_eq!(line["cached_tokens"], 5, "{line}");
    assert_eq!(line["output_tokens"], 12, "{line}");
    assert_eq!(line["service"], "chat:anthropic.com/claude-x", "{line}");
}

#[test]
fn a_message_reaches_a_provider_of_chat_completions() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let body = message(&json!({
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
        ]}],
        "stop_sequences": ["END"],
    }));
    let request = request("/v1/messages?beta=true", &key, &body)
        .header("anthropic-version", "2023-06-01")
        .header("anthropic-beta", "one")
        .header("x-request-id", "whole");
    let response = server.send(&request);

    assert_eq!(response.status, 200, "{response:?}");
    let answer = response.json();
    assert_eq!(answer["type"], "message");
    assert_eq!(
        answer["content"],
        json!([{"type": "text", "text": "Hello"}])
    );
    assert_eq!(answer["stop_reason"], "end_turn");
    assert_eq!(answer["usage"]["input_tokens"], 9);
    assert_eq!(answer["usage"]["output_tokens"], 12);

    let received = provider.only_request();
    assert_eq!(received.target, "/v1/chat/completions");
    let bearer = format!("Bearer {OPENAI_SECRET}");
    assert_eq!(received.header("authorization"), Some(&*bearer));
    for name in ["anthropic-version", "anthropic-beta", "x-api-key"] {
        assert_eq!(received.header(name), None, "{name}");
    }
    let sent = received.json();
    assert_eq!(sent["model"], "gpt-x");
    assert_eq!(sent["messages"][0]["role"], "system");
    assert_eq!(sent["stop"], json!(["END"]));
    assert!(
        sent.to_string().contains("data:image/png;base64,aGk="),
        "{sent}"
    );

    let line = server.wait_for_request("whole");
    assert_eq!(line["input_tokens"], 9, "{line}");
    assert_eq!(line["output_tokens"], 12, "{line}");
}

#[test]
fn tool_calls_and_their_results_are_translated_both_ways() {
    let server = Server::with_loopback_egress(&[]);
    let arguments = json!({"city": "Oslo"});
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});

    let provider = Provider::with_response(200, {
        let mut answer = anthropic_answer("Let me see.");
        let call =
            json!({"type": "tool_use", "id": "toolu_1", "name": "weather", "input": arguments});
        answer["content"].as_array_mut().unwrap().push(call);
        answer["stop_reason"] = json!("tool_use");
        answer
    });
    let at = key(&server, &provider);
    let body = chat(&json!({
        "messages": [
            {"role": "user", "content": "And in Bergen?"},
            {"role": "assistant", "tool_calls": [{"id": "call_0", "type": "function",
                "function": {"name": "weather", "arguments": "{\"city\":\"Bergen\"}"}}]},
            {"role": "tool", "tool_call_id": "call_0", "content": "rain"},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": schema}}],
    }));
    let response = send(&server, (CHAT, &at), &body);
    let choice = &response.json()["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{response:?}");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "weather");
    let text = call["function"]["arguments"]
        .as_str()
        .expect("JSON as text");
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), arguments);
    let sent = provider.only_request().json();
    assert_eq!(sent["tools"][0]["input_schema"], schema, "{sent}");
    assert_eq!(
        sent["messages"][1]["content"][0]["input"],
        json!({"city": "Bergen"})
    );
    assert_eq!(sent["messages"][2]["content"][0]["tool_use_id"], "call_0");

    let provider = Provider::with_response(200, {
        let mut answer = completion("Let me see.");
        answer["choices"][0]["finish_reason"] = json!("tool_calls");
        answer["choices"][0]["message"]["tool_calls"] = json!([{"id": "call_1", "type": "function",
            "function": {"name": "weather", "arguments": arguments.to_string()}}]);
        answer
    });
    let at = key(&server, &provider);
    let body = message(&json!({
        "messages": [
            {"role": "user", "content": "And in Bergen?"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "toolu_0", "name": "weather", "input": {"city": "Bergen"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_0", "content": "rain"},
            ]},
        ],
        "tools": [{"name": "weather", "input_schema": schema}],
    }));
    let response = send(&server, (MESSAGES, &at), &body);
    let answer = response.json();
    assert_eq!(answer["stop_reason"], "tool_use", "{response:?}");
    let call = answer["content"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&call["name"], &call["input"]),
        (&json!("weather"), &arguments)
    );
    let sent = provider.only_request().json();
    assert_eq!(sent["tools"][0]["function"]["parameters"], schema, "{sent}");
    assert_eq!(sent["messages"][2]["role"], "tool", "{sent}");
    assert_eq!(sent["messages"][2]["tool_call_id"], "toolu_0");
}

#[test]
fn the_client_gets_fields_of_its_own_dialect() {
    let fields = [
        ("request-id", "req_1"),
        ("anthropic-ratelimit-tokens-limit", "7"),
        ("cf-ray", "a"),
        ("content-type", "application/json; charset=utf-8"),
        ("etag", "W/\"1\""),
    ];
    let provider = Provider::start(move |_, wire| {
        wire.respond(200, &fields, anthropic_answer("Hello").to_string());
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let response = send(&server, (CHAT, &key), &chat(&json!({})));
    assert_eq!(
        response.header("x-request-id"),
        Some("req_1"),
        "{response:?}"
    );
    for name in ["request-id", "anthropic-ratelimit-tokens-limit", "etag"] {
        assert_eq!(response.header(name), None, "{name}");
    }
    assert_eq!(response.header("cf-ray"), Some("a"));
    let length = response.body.len().to_string();
    assert_eq!(response.header("content-length"), Some(&*length));
    let limit = response.header("x-ratelimit-limit-requests");
    assert!(limit.is_some(), "the quota of the key: {response:?}");

    let fields = [
        ("x-request-id", "req_2"),
        ("openai-processing-ms", "7"),
        ("x-ratelimit-limit-tokens", "9"),
        ("content-type", "application/json"),
    ];
    let provider = Provider::start(move |_, wire| {
        wire.respond(200, &fields, completion("Hello").to_string());
    });
    let key = key_at(&server, &provider.url(), &json!({}));
    let response = send(&server, (MESSAGES, &key), &message(&json!({})));
    assert_eq!(response.header("request-id"), Some("req_2"), "{response:?}");
    for name in ["openai-processing-ms", "x-ratelimit-limit-tokens"] {
        assert_eq!(response.header(name), None, "{name}");
    }
}

#[test]
fn large_and_coded_requests_are_translated() {
    let provider = provider();
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let text = "x".repeat(3 << 20);
    let body = chat(&json!({"messages": [{"role": "user", "content": text}]})).to_string();
    let request = request(CHAT, &key, &json!({}));
    let plain = request.clone().body(body.clone());
    let coded = request
        .body(gzip(body.as_bytes()))
        .header("Content-Encoding", "gzip");
    for request in [plain, coded] {
        let response = server.send(&request);
        assert_eq!(response.status, 200, "{response:?}");
        let received = provider.requests().pop().unwrap();
        assert_eq!(received.header("content-encoding"), None);
        assert!(received.body.len() > text.len(), "{}", received.body.len());
    }
}

#[test]
fn a_large_answer_is_translated_whole() {
    let text = "y".repeat(3 << 20);
    let answer = anthropic_answer(&text);
    let provider = Provider::start(move |_, wire| {
        let fields = [
            ("Content-Type", "application/json"),
            ("Transfer-Encoding", "chunked"),
        ];
        wire.head(200, &fields);
        for piece in answer.to_string().as_bytes().chunks(100_000) {
            wire.chunk(piece);
        }
        wire.end();
    });
    let server = Server::with_loopback_egress(&[]);
    let key = key(&server, &provider);
    let response = send(&server, (CHAT, &key), &chat(&json!({})));
    assert_eq!(response.status, 200);
    assert_eq!(response.json()["choices"][0]["message"]["content"], text);
}
