//! A gateway in this process, called without sockets, with or without a provider behind it.

use std::{net::IpAddr, sync::LazyLock};

use aisbreaker_egress::{Client, Policy, Timeouts};
use aisbreaker_gateway::{Config, Gateway, SystemClock, quotas_from_json};
use aisbreaker_services::{
    Relay,
    services::{Options, standard},
};
use aisbreaker_token::{KeyRing, ServerKey};
use bytes::{Bytes, BytesMut};
use http::{Request, header, request::Parts};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::mpsc;

use crate::provider::{ReplyOptions, serve_connection};

/// Quotas that are never exceeded.
pub const UNLIMITED: &str = r#"{
    "perClientRequestLimits": {"requestsPerMinute": 4000000000, "requestsPerHour": 4000000000, "requestsPerDay": 4000000000},
    "globalRequestLimits": {"requestsPerMinute": 4000000000, "requestsPerHour": 4000000000, "requestsPerDay": 4000000000}
}"#;

/// Body of a request for a key with quotas that are never exceeded.
pub const MINT_REQUEST: &str = r#"{"requestAuthAndQuotas": {
    "requestQuotas": {
        "perClientRequestLimits": {"requestsPerMinute": 4000000000, "requestsPerHour": 4000000000, "requestsPerDay": 4000000000},
        "globalRequestLimits": {"requestsPerMinute": 4000000000, "requestsPerHour": 4000000000, "requestsPerDay": 4000000000}
    },
    "serviceSecrets": [
        {"serviceId": "aisbreaker:network", "authSecret": "{{secret}}"},
        {"serviceId": "chat:openai.com", "authSecret": "sk_vector_openai_key"},
        {"serviceId": "chat:dummy", "authSecret": ""},
        {"serviceId": "", "authSecret": "INVALID"}
    ]
}, "expirationTimeSpan": "30d"}"#;

/// Origin of the provider in this process; nothing is dialled.
const PROVIDER: &str = "http://127.0.0.1:8000";

/// Body of a request to `chat:dummy`.
pub const DUMMY_REQUEST: &str = r#"{"service":{"serviceId":"chat:dummy"},"request":{"inputs":[{"text":{"role":"user","content":"What is a gateway?"}}]}}"#;
const DUMMY_STREAM_REQUEST: &str = r#"{"service":{"serviceId":"chat:dummy"},"request":{"inputs":[{"text":{"role":"user","content":"What is a gateway?"}}],"stream":true}}"#;

/// Returns the body of a request for a key whose OpenAI secret is bound to this address.
#[must_use]
pub fn chat_mint_request(provider: &str) -> String {
    let mut request: serde_json::Value = serde_json::from_str(MINT_REQUEST).expect("it is JSON");
    request["requestAuthAndQuotas"]["serviceSecrets"][1]["url"] = provider.into();
    request.to_string()
}

/// Returns the message of a chat, almost 1 kB long.
fn message() -> String {
    "How does a sliding window count requests? ".repeat(22)
}

/// Returns the body of a `process` request to `chat:openai.com`, 1 kB long.
#[must_use]
pub fn process_body() -> String {
    let text = message();
    format!(
        r#"{{"service":{{"serviceId":"chat:openai.com"}},"request":{{"inputs":[{{"text":{{"role":"user","content":"{text}"}}}}]}}}}"#
    )
}

/// Returns the body of a chat request, 1 kB long.
#[must_use]
pub fn chat_body(is_streamed: bool) -> String {
    let text = message();
    let stream = if is_streamed { r#","stream":true"# } else { "" };
    format!(
        r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"{text}"}}]{stream}}}"#
    )
}

/// Creates a gateway whose quotas are never exceeded.
#[must_use]
pub fn gateway() -> Gateway {
    gateway_with(Client::new(Policy::strict(), Timeouts::default()))
}

fn gateway_with(client: Client) -> Gateway {
    let mut config = Config::new(KeyRing::new(ServerKey::from_bytes([7; 32])));
    config.server_quotas = quotas_from_json(UNLIMITED).expect("they are quotas");
    config.default_quotas = config.server_quotas;
    config.mint_quotas = config.server_quotas;
    let options = Options::default();
    config.relay = Some(Relay::new(client.clone(), options.providers.clone()));
    Gateway::new(
        config,
        standard(client, options).build(),
        SystemClock::new(),
    )
}

/// A client of a gateway in this process, with a key for it.
///
/// It keeps the heads of its requests: to build one costs much, and would count as a cost of the
/// gateway.
#[derive(Debug)]
pub struct GatewayClient {
    gateway: Gateway,
    authorization: String,
    process: Parts,
    process_with_bad_key: Parts,
    chat: Parts,
}

impl GatewayClient {
    /// Creates a gateway and mints a key.
    pub async fn new() -> Self {
        Self::of(gateway(), MINT_REQUEST).await
    }

    /// Creates a gateway with a provider in this process that replies like this, and mints a key.
    pub async fn with_provider(reply: ReplyOptions) -> Self {
        let policy = Policy::strict()
            .allow(PROVIDER)
            .expect("it is an origin")
            .extend_to_untrusted();
        let (sender, mut connections) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(connection) = connections.recv().await {
                tokio::spawn(serve_connection(connection, reply));
            }
        });
        let client = Client::new(policy, Timeouts::default()).with_in_memory_servers(sender);
        Self::of(gateway_with(client), chat_mint_request(PROVIDER)).await
    }

    async fn of(gateway: Gateway, mint_request: impl Into<Bytes>) -> Self {
        let client = IpAddr::from([192, 0, 2, 1]);
        let request = post("/api/v1/oauth/token", None);
        let body = send(&gateway, (request, mint_request.into()), client).await;
        let token: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
        let key = token["access_token"].as_str().expect("it has a key");
        Self::with_authorization(gateway, format!("Bearer {key}"))
    }

    fn with_authorization(gateway: Gateway, authorization: String) -> Self {
        Self {
            gateway,
            process: post("/api/v1/process", Some(&authorization)),
            process_with_bad_key: post("/api/v1/process", Some(&altered(&authorization))),
            chat: post("/v1/chat/completions", Some(&authorization)),
            authorization,
        }
    }

    /// Returns a client of the same gateway whose requests share no memory with those of this one.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::with_authorization(self.gateway.clone(), self.authorization.clone())
    }

    /// Returns the value of `Authorization`.
    #[must_use]
    pub fn authorization(&self) -> &str {
        &self.authorization
    }

    /// Calls `chat:dummy`.
    pub async fn process(&self, client: IpAddr, stream: bool) -> Bytes {
        let body = if stream {
            DUMMY_STREAM_REQUEST
        } else {
            DUMMY_REQUEST
        };
        self.send(&self.process, body, client).await
    }

    /// Calls the provider in its own protocol.
    pub async fn chat(&self, client: IpAddr, is_streamed: bool) -> Bytes {
        static BODIES: LazyLock<[String; 2]> = LazyLock::new(|| [false, true].map(chat_body));
        let body = BODIES[usize::from(is_streamed)].as_str();
        self.send(&self.chat, body, client).await
    }

    /// Calls the provider through `chat:openai.com`.
    pub async fn process_chat(&self, client: IpAddr) -> Bytes {
        static BODY: LazyLock<String> = LazyLock::new(process_body);
        self.send(&self.process, BODY.as_str(), client).await
    }

    /// Calls `chat:dummy` with an altered key.
    pub async fn process_with_bad_key(&self, client: IpAddr) -> Bytes {
        self.send(&self.process_with_bad_key, DUMMY_REQUEST, client)
            .await
    }

    /// Calls `GET /api/v1/ping`.
    pub async fn ping(&self, client: IpAddr) -> Bytes {
        let request = Request::get("/api/v1/ping").body(());
        let (head, ()) = request.expect("it is a request").into_parts();
        self.send(&head, Bytes::new(), client).await
    }

    /// Mints a key.
    pub async fn mint(&self, client: IpAddr) -> Bytes {
        let head = post("/api/v1/oauth/token", None);
        self.send(&head, MINT_REQUEST, client).await
    }

    async fn send(&self, head: &Parts, body: impl Into<Bytes>, client: IpAddr) -> Bytes {
        send(&self.gateway, (head.clone(), body.into()), client).await
    }
}

/// Returns the head of a request that posts JSON.
fn post(path: &str, authorization: Option<&str>) -> Parts {
    let mut request = Request::post(path)
        .header(header::HOST, "localhost:3000")
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(value) = authorization {
        request = request.header(header::AUTHORIZATION, value);
    }
    let (head, ()) = request.body(()).expect("it is a request").into_parts();
    head
}

/// Returns the body of the response. One that comes in one piece is not copied.
async fn send(gateway: &Gateway, (head, body): (Parts, Bytes), client: IpAddr) -> Bytes {
    let request = Request::from_parts(head, Full::new(body));
    let mut body = gateway.handle(request, client).await.into_body();
    let (mut first, mut joined) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.expect("a complete response").into_data() else {
            continue;
        };
        if first.is_empty() {
            first = data;
            continue;
        }
        if joined.is_empty() {
            joined.extend_from_slice(&first);
        }
        joined.extend_from_slice(&data);
    }
    if joined.is_empty() {
        first
    } else {
        joined.freeze()
    }
}

/// Returns the key with another end.
fn altered(key: &str) -> String {
    let mut key = key.trim_end_matches('A').to_owned();
    key.pop();
    key.push('A');
    key
}
