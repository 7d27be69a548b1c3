//! A `url` in a key that is that of an operation already.

use serde_json::json;

use crate::support::{
    Provider, Server,
    openai::completion,
    provider_api::{CHAT, MESSAGES, post_with_key},
};

#[test]
fn url_of_an_operation_is_called_as_it_is() {
    let provider = Provider::with_response(200, completion("ok"));
    let server = Server::with_loopback_egress(&[]);
    let rows = [
        ("/v1/chat/completions", CHAT, "/v1/chat/completions"),
        ("/v1/chat/completions/", CHAT, "/v1/chat/completions"),
        ("/v1/embeddings", "/v1/embeddings", "/v1/embeddings"),
        ("/v1/chat/completions", "/v1/embeddings", "/v1/embeddings"),
        ("/x/chat/completions", "/v1/responses", "/x/responses"),
        ("/v1/messages", MESSAGES, "/v1/messages"),
        ("/x/messages", MESSAGES, "/x/messages"),
        (
            "/v1/messages",
            "/v1/messages/count_tokens",
            "/v1/messages/count_tokens",
        ),
        ("/v1", CHAT, "/v1/chat/completions"),
        ("", MESSAGES, "/v1/messages"),
    ];
    for (url, path, target) in rows {
        let url = format!("{}{url}", provider.url());
        let key = server.mint_with_secrets(&json!([
            {"serviceId": "chat:openai.com", "authSecret": "one", "url": url},
            {"serviceId": "chat:anthropic.com", "authSecret": "two", "url": url},
        ]));
        let body = r#"{"model": "m", "max_tokens": 9}"#;
        let response = server.send(&post_with_key(path, &key, body));
        assert_eq!(response.status, 200, "{url} {path}: {response:?}");
        let received = provider.requests().pop().unwrap();
        assert_eq!(received.target, target, "{url} {path}");
    }
}
