//! `chat:dummy` below `/v1`: both dialects without a provider, a network or a secret.

mod admission;
mod routing;
mod streams;

use serde_json::{Value, json};

use crate::support::{
    Request, Response, Server,
    provider_api::{CHAT, MESSAGES},
};

const COUNT_TOKENS: &str = "/v1/messages/count_tokens";

/// A body for every operation that the dummy serves.
fn bodies() -> Vec<(&'static str, Value)> {
    let messages = json!([{"role": "user", "content": "Hi there"}]);
    vec![
        (CHAT, json!({"messages": messages})),
        ("/v1/completions", json!({"prompt": "Hi there"})),
        ("/v1/responses", json!({"input": "Hi there"})),
        ("/v1/responses/input_tokens", json!({"input": "Hi there"})),
        ("/v1/embeddings", json!({"input": "Hi there"})),
        ("/v1/images/generations", json!({"prompt": "Hi there"})),
        (MESSAGES, json!({"messages": messages, "max_tokens": 100})),
        (COUNT_TOKENS, json!({"messages": messages})),
    ]
}

/// A request for a model without a key.
fn ask(path: &str, model: &str, mut body: Value) -> Request {
    body["model"] = json!(model);
    Request::post(path, body.to_string())
}

fn with(mut body: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// The answer to a chat completion, which must be a success.
fn content(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["choices"][0]["message"]["content"].clone()
}

#[test]
fn every_operation_is_answered_without_a_key() {
    let server = Server::start(&[]);
    for (path, body) in bodies() {
        for model in ["dummy", "dummy/echo", "chat:dummy", "chat:dummy/echo"] {
            let response = server.send(&ask(path, model, body.clone()));
            assert_eq!(response.status, 200, "{path} {model}: {response:?}");
            let answer = response.json();
            let name = model.trim_start_matches("chat:");
            let has_model = ![
                "/v1/images/generations",
                "/v1/responses/input_tokens",
                COUNT_TOKENS,
            ]
            .contains(&path);
            assert_eq!(
                answer.get("model"),
                has_model.then_some(&json!(name)),
                "{path}"
            );
        }
    }
}

#[test]
fn answers_have_the_shapes_of_both_dialects() {
    let server = Server::start(&[]);
    let answer = |path: &str| {
        let (_, body) = bodies()
            .into_iter()
            .find(|(known, _)| *known == path)
            .unwrap();
        server.send(&ask(path, "dummy/echo", body)).json()
    };

    let chat = answer(CHAT);
    assert_eq!(chat["object"], "chat.completion");
    assert_eq!(
        chat["choices"][0],
        json!({"index": 0, "finish_reason": "stop", "logprobs": null, "message":
            {"role": "assistant", "content": "Hi there", "refusal": null, "annotations": []}})
    );
    assert_eq!(chat["usage"]["completion_tokens"], 2);
    let completion = answer("/v1/completions");
    assert_eq!(completion["object"], "text_completion");
    assert_eq!(completion["choices"][0]["text"], "Hi there");
    let response = answer("/v1/responses");
    assert_eq!(
        (&response["object"], &response["status"]),
        (&json!("response"), &json!("completed"))
    );
    assert_eq!(response["output"][0]["content"][0]["text"], "Hi there");
    assert_eq!(response["usage"]["output_tokens"], 2);
    let message = answer(MESSAGES);
    assert_eq!(
        message["content"],
        json!([{"type": "text", "text": "Hi there"}])
    );
    assert_eq!(
        (&message["stop_reason"], &message["type"]),
        (&json!("end_turn"), &json!("message"))
    );
    assert_eq!(
        answer(COUNT_TOKENS)["input_tokens"],
        message["usage"]["input_tokens"]
    );
    let image = answer("/v1/images/generations");
    let picture = image["data"][0]["b64_json"].as_str().unwrap();
    assert!(picture.starts_with("iVBORw0KGgo"), "a PNG: {picture}");
    let embedding = answer("/v1/embeddings");
    assert_eq!(
        embedding["data"][0]["embedding"].as_array().unwrap().len(),
        1_536
    );
}

#[test]
fn other_operations_are_refused_with_those_that_there_are() {
    let server = Server::start(&[]);
    for (path, body) in [
        ("/v1/moderations", json!({"input": "a"})),
        ("/v1/audio/speech", json!({"input": "a"})),
        ("/v1/responses/compact", json!({"input": "a"})),
    ] {
        let response = server.send(&ask(path, "dummy", body));
        assert_eq!(response.status, 404, "{path}");
        let message = response.json()["error"]["message"].clone();
        let message = message.as_str().unwrap();
        assert!(
            message.contains(path) && message.contains("embeddings"),
            "{message}"
        );
    }
}

#[test]
fn websockets_are_refused_as_other_operations_are() {
    let server = Server::start(&[]);
    let request = Request::get("/v1/realtime?model=dummy")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let response = server.send(&request);
    assert_eq!(response.status, 404, "{response:?}");
    assert!(
        response
            .text()
            .contains("the dummy does not serve GET /v1/realtime"),
        "{response:?}"
    );
}

#[test]
fn tools_are_called_in_both_dialects() {
    let server = Server::start(&[]);
    let schema = json!({"type": "object", "required": ["city", "unit"], "properties": {
        "city": {"type": "string"}, "unit": {"enum": ["celsius", "kelvin"]}, "other": {},
    }});
    let arguments = json!({"city": "dummy", "unit": "celsius"});
    let messages = json!([{"role": "user", "content": "What is the weather?"}]);

    let function = json!({"name": "get_weather", "parameters": schema});
    let body = json!({"messages": messages, "tools": [{"type": "function", "function": function}]});
    let chat = server.send(&ask(CHAT, "dummy", body)).json();
    let call = &chat["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(chat["choices"][0]["finish_reason"], "tool_calls", "{chat}");
    assert_eq!(call["function"]["name"], "get_weather");
    let written: Value =
        serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(written, arguments);

    let tool = json!({"type": "function", "name": "get_weather", "parameters": schema});
    let body = json!({"input": "weather", "tools": [tool]});
    let response = server.send(&ask("/v1/responses", "dummy", body)).json();
    let item = &response["output"][0];
    assert_eq!(
        (&item["type"], &item["name"]),
        (&json!("function_call"), &json!("get_weather"))
    );
    assert_eq!(response["tools"][0], tool, "{response}");

    let tool = json!({"name": "get_weather", "input_schema": schema});
    let body = json!({"messages": messages, "max_tokens": 100, "tools": [tool]});
    let message = server.send(&ask(MESSAGES, "dummy", body)).json();
    let block = &message["content"][0];
    assert_eq!(message["stop_reason"], "tool_use", "{message}");
    assert_eq!(
        (&block["type"], &block["input"]),
        (&json!("tool_use"), &arguments)
    );
}

#[test]
fn models_fail_with_the_status_of_their_name() {
    let server = Server::start(&[]);
    for status in [400, 401, 403, 404, 422, 429, 500, 503, 529] {
        let model = format!("dummy/error-{status}");
        for (path, body) in bodies() {
            for is_stream in [false, true] {
                let body = with(body.clone(), &json!({"stream": is_stream}));
                let response = server.send(&ask(path, &model, body));
                assert_eq!(response.status, status, "{path}: {response:?}");
                let waits = matches!(status, 429 | 503).then_some("1");
                assert_eq!(response.header("retry-after"), waits, "{path} {status}");
                let error = response.json();
                let is_anthropic = path.starts_with(MESSAGES);
                assert_eq!(error["type"] == "error", is_anthropic, "{path}: {error}");
                assert!(error["error"]["message"].as_str().unwrap().contains(&model));
            }
        }
    }
    let request = ask(CHAT, "dummy/error-503", json!({})).header("x-request-id", "failed");
    server.send(&request);
    let line = server.wait_for_request("failed");
    assert_eq!(
        (&line["status"], &line["error"]),
        (&json!(503), &json!("provider_error")),
        "{line}"
    );
}

#[test]
fn the_log_has_the_tokens_and_the_service() {
    let server = Server::start(&[]);
    for (index, (path, body)) in bodies().into_iter().enumerate() {
        for is_stream in [false, true] {
            let body = with(body.clone(), &json!({"stream": is_stream}));
            let id = format!("row-{index}-{is_stream}");
            let response = server.send(&ask(path, "dummy", body).header("x-request-id", &id));
            assert_eq!(response.status, 200, "{path}: {response:?}");
            let line = server.wait_for_request(&id);
            assert_eq!(
                (&line["service"], &line["provider"]),
                (&json!("chat:dummy"), &json!("dummy"))
            );
            // A stream of completions reports its usage if it is asked.
            let is_silent = path.ends_with("tokens") || (is_stream && path.contains("completions"));
            assert_eq!(line["input_tokens"].is_u64(), !is_silent, "{path}: {line}");
            assert!(line.get("error").is_none(), "{path}: {line}");
        }
    }
}
