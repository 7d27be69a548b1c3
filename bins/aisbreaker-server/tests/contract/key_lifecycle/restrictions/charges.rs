//! A refusal by a restriction is not charged, except where only the content of a costly body shows
//! that it is to be refused: nobody has such a body read for free.

use serde_json::json;

use super::{assert_restricted, mint};
use crate::support::{Provider, Request, Server, call, gzip, openai::completion, quotas, service};

/// A server, a provider, and a key that allows a single request a day.
fn one_time_key(restrict: &serde_json::Value) -> (Server, Provider, String) {
    let server = Server::with_loopback_egress(&[]);
    let provider = Provider::with_response(200, completion("yes"));
    let grant = json!({"serviceSecrets": [
        {"serviceId": "chat:openai.com", "authSecret": "sk", "url": provider.url()},
    ]});
    let key = mint(&server, &quotas([1; 3], [1; 3]), grant, restrict);
    (server, provider, key)
}

fn chat(model: &str) -> Request {
    let body = json!({"model": model, "messages": []});
    Request::post("/v1/chat/completions", body.to_string())
}

#[test]
fn a_refusal_is_not_charged_and_the_key_works_once() {
    let restrict = json!({
        "services": ["chat:openai.com/good"],
        "operations": ["chat/completions", "responses/{id}", "process"],
        "origins": ["https://app.example"],
        "maxBodyBytes": 200,
    });
    let (server, provider, key) = one_time_key(&restrict);
    let here = |request: Request| request.bearer(&key).header("Origin", "https://app.example");
    let process = |id: &str| Request::process(&call(service(id), "hello"));
    let large = chat(&"x".repeat(200));
    let rows = [
        (403, "services", here(chat("bad"))),
        (403, "services", here(Request::get("/v1/responses/resp_1"))),
        (403, "services", here(process("chat:openai.com/bad"))),
        (403, "services", here(process("chat:dummy"))),
        (
            403,
            "operations",
            here(Request::post("/v1/embeddings", "{}")),
        ),
        (403, "origins", chat("good").bearer(&key)),
        (413, "maxBodyBytes", here(large)),
    ];
    for (status, restriction, request) in rows {
        for _ in 0..3 {
            let response = server.send(&request);
            assert_restricted(restriction, &response, status, restriction);
            assert_eq!(response.header("ratelimit"), None, "{response:?}");
        }
    }
    assert_eq!(provider.connections(), 0);

    assert_eq!(server.send(&here(chat("good"))).status, 200);
    assert_eq!(server.send(&here(chat("good"))).status, 429);
    assert_eq!(provider.requests().len(), 1);
}

#[test]
fn a_costly_body_is_paid_for_before_it_is_read() {
    let coded = |request: Request, body: &str| {
        request
            .set("Content-Encoding", "gzip")
            .body(gzip(body.as_bytes()))
    };
    let padded = |model: &str| json!({"model": model, "pad": "x".repeat(70_000)}).to_string();
    let rows = [
        (
            "services",
            coded(chat(""), &json!({"model": "bad"}).to_string()),
        ),
        ("services", chat("").body(padded("bad"))),
        ("maxBodyBytes", coded(chat(""), &"x".repeat(200_000))),
    ];
    for (restriction, request) in rows {
        let restrict = json!({"services": ["chat:openai.com/good"], "maxBodyBytes": 100_000});
        let (server, provider, key) = one_time_key(&restrict);
        let request = request.bearer(&key);
        let status = if restriction == "services" { 403 } else { 413 };

        assert_restricted(restriction, &server.send(&request), status, restriction);
        assert_eq!(server.send(&request).status, 429, "{restriction}");
        assert_eq!(provider.connections(), 0);
    }
}
