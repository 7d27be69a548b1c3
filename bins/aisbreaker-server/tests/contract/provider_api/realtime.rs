//! Conversations over a WebSocket: `GET /v1/realtime`.

mod conversations;
mod credentials;
mod ends;
mod handshakes;
mod refusals;

use serde_json::{Value, json};

use crate::support::{
    Provider, Request, Server, ample_quotas, grant,
    provider_api::OPENAI_SECRET,
    websocket::{echo, handshake},
};

const PATH: &str = "/v1/realtime?model=gpt-realtime";

/// Starts a provider that sends back what it is sent, after a first event.
fn echoing_provider() -> Provider {
    Provider::start(|request, wire| {
        let mut websocket = wire.agree(request, &[("x-request-id", "req_provider")]);
        let created = json!({"type": "session.created"}).to_string();
        websocket.send(created.into()).expect("a first event");
        echo(websocket);
    })
}

/// Mints a key for this provider with ample quotas and these members besides.
fn key_with(server: &Server, provider: &Provider, members: &Value) -> String {
    let secrets = json!([
        {"serviceId": "chat:openai.com", "authSecret": OPENAI_SECRET, "url": provider.url()},
    ]);
    let mut body = grant(&ample_quotas(), &secrets);
    for (name, value) in members.as_object().expect("members") {
        body[name] = value.clone();
    }
    server.mint(&body)
}

fn key(server: &Server, provider: &Provider) -> String {
    key_with(server, provider, &json!({}))
}

fn open(key: &str) -> Request {
    handshake(PATH).bearer(key)
}
