//! Requests to the providers' own APIs below `/v1`.

use serde_json::json;

use super::{Provider, Request, Server};

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const MESSAGES: &str = "/v1/messages";

pub(crate) const OPENAI_SECRET: &str = "sk-canary-openai-0123456789";
pub(crate) const ANTHROPIC_SECRET: &str = "sk-ant-canary-0123456789";

/// Mints a key for both dialects whose secrets are bound to this provider.
pub(crate) fn two_dialect_key(server: &Server, provider: &Provider) -> String {
    server.mint_with_secrets(&json!([
        {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url()},
        {"serviceId": "chat:anthropic.com", "authSecret": ANTHROPIC_SECRET, "url": provider.url()},
    ]))
}

/// A JSON request with a bearer key.
pub(crate) fn post_with_key(path: &str, key: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::post(path, body).bearer(key)
}
