//! Every operation of the server, as a request that can name a model.

use serde_json::{Value, json};

use crate::support::Request;

/// An operation: its name in a restriction, its method and its path.
pub(super) type Operation = (&'static str, &'static str, &'static str);

/// The operations that are restricted.
pub(super) const OPERATIONS: [Operation; 19] = [
    ("chat/completions", "POST", "/v1/chat/completions"),
    ("completions", "POST", "/v1/completions"),
    ("responses", "POST", "/v1/responses"),
    ("responses/compact", "POST", "/v1/responses/compact"),
    (
        "responses/input_tokens",
        "POST",
        "/v1/responses/input_tokens",
    ),
    ("responses/{id}", "GET", "/v1/responses/resp_1"),
    ("responses/{id}", "DELETE", "/v1/responses/resp_1"),
    (
        "responses/{id}/cancel",
        "POST",
        "/v1/responses/resp_1/cancel",
    ),
    (
        "responses/{id}/input_items",
        "GET",
        "/v1/responses/resp_1/input_items",
    ),
    ("embeddings", "POST", "/v1/embeddings"),
    ("images/generations", "POST", "/v1/images/generations"),
    ("images/edits", "POST", "/v1/images/edits"),
    ("images/variations", "POST", "/v1/images/variations"),
    ("audio/speech", "POST", "/v1/audio/speech"),
    ("audio/transcriptions", "POST", "/v1/audio/transcriptions"),
    ("audio/translations", "POST", "/v1/audio/translations"),
    ("moderations", "POST", "/v1/moderations"),
    ("messages", "POST", "/v1/messages"),
    ("messages/count_tokens", "POST", "/v1/messages/count_tokens"),
];
/// The operations that also take forms.
const FORMS: [&str; 4] = [
    "images/edits",
    "images/variations",
    "audio/transcriptions",
    "audio/translations",
];

/// Returns requests for an operation with this model: in each format and below each prefix.
pub(super) fn requests((name, method, path): Operation, key: &str, model: &str) -> Vec<Request> {
    let prefix = if name.starts_with("messages") {
        "/anthropic"
    } else {
        "/openai"
    };
    let mut requests = Vec::new();
    for path in [
        path.to_owned(),
        format!("{prefix}{path}"),
        format!("/{path}/"),
    ] {
        let request = Request::new(method, &path).bearer(key);
        if method != "POST" {
            requests.push(request);
            continue;
        }
        requests.push(request.clone().json(&body(model)));
        if FORMS.contains(&name) {
            requests.push(
                request
                    .set("Content-Type", "multipart/form-data; boundary=b")
                    .body(form(model)),
            );
        }
    }
    requests
}

/// Returns a body with this model; the empty one stands for none.
fn body(model: &str) -> Value {
    if model.is_empty() {
        json!({"input": "x"})
    } else {
        json!({"input": "x", "model": model})
    }
}

fn form(model: &str) -> String {
    let field = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let model = if model.is_empty() {
        String::new()
    } else {
        field("model", model)
    };
    format!("{}{model}--b--\r\n", field("prompt", "x"))
}
