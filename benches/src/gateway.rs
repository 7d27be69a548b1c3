//! A gateway to call without sockets, and a provider behind it without sockets either.

use std::{net::IpAddr, sync::LazyLock};

use aisbreaker_egress::{Client, Policy, Timeouts};
use aisbreaker_gateway::{Config, Gateway, SystemClock, quotas_from_json};
use aisbreaker_services::{
    Relay,
    services::{Options, standard},
};
use aisbreaker_token::{KeyRing, ServerKey};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::mpsc;

use crate::provider::{Answers, answer_all};

/// Quotas that are never spent.
pub const UNLIMITED: &str = r#"{
    "perClientRequestLimits": {"requestsPerMinute": 4000000000, "requestsPerHour": 4000000000, "requestsPerDay": 4000000000},
    "globalRequestLimits": {"requestsPerMinute": 4000000000, "requestsPerHour": 4000000000, "requestsPerDay": 4000000000}
}"#;

/// A request for a key that is never spent.
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

/// Where the provider in this process is called; nothing is dialled.
const PROVIDER: &str = "http://127.0.0.1:8000";

/// A call of `chat:dummy`.
pub const DUMMY_REQUEST: &str = r#"{"service":{"serviceId":"chat:dummy"},"request":{"inputs":[{"text":{"role":"user","content":"What is a gateway?"}}]}}"#;
const DUMMY_STREAM_REQUEST: &str = r#"{"service":{"serviceId":"chat:dummy"},"request":{"inputs":[{"text":{"role":"user","content":"What is a gateway?"}}],"stream":true}}"#;

/// A request for a key that is never spent, for a provider at this address.
#[must_use]
pub fn chat_mint_request(provider: &str) -> String {
    let mut request: serde_json::Value = serde_json::from_str(MINT_REQUEST).expect("it is JSON");
    request["requestAuthAndQuotas"]["serviceSecrets"][1]["url"] = provider.into();
    request.to_string()
}

/// A body of a chat request of 1 kB.
#[must_use]
pub fn chat_body(is_streamed: bool) -> String {
    let text = "How does a sliding window count requests? ".repeat(22);
    let stream = if is_streamed { r#","stream":true"# } else { "" };
    format!(
        r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"{text}"}}]{stream}}}"#
    )
}

/// A gateway whose quotas are never spent.
#[must_use]
pub fn gateway() -> Gateway {
    gateway_with(Client::new(Policy::strict(), Timeouts::default()))
}

fn gateway_with(client: Client) -> Gateway {
    let mut config = Config::new(KeyRing::new(ServerKey::from_bytes([7; 32])));
    config.server_quotas = quotas_from_json(UNLIMITED).expect("they are quotas");
    config.default_quotas = config.server_quotas;
    let options = Options::default();
    config.relay = Some(Relay::new(client.clone(), options.providers.clone()));
    Gateway::new(
        config,
        standard(client, options).build(),
        SystemClock::new(),
    )
}

/// Calls a gateway without sockets.
#[derive(Debug)]
pub struct Calls {
    gateway: Gateway,
    key: String,
    bad_key: String,
}

impl Calls {
    /// A gateway and a key for it.
    pub async fn new() -> Self {
        Self::of(gateway(), MINT_REQUEST).await
    }

    /// A gateway and a key for it, with a provider in this process, whose answers these are.
    pub async fn with_provider(answers: Answers) -> Self {
        let policy = Policy::strict().allow(PROVIDER).expect("it is an origin");
        let (sender, mut connections) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(connection) = connections.recv().await {
                tokio::spawn(answer_all(connection, answers));
            }
        });
        let client = Client::new(policy, Timeouts::default()).with_in_memory_servers(sender);
        Self::of(gateway_with(client), chat_mint_request(PROVIDER)).await
    }

    async fn of(gateway: Gateway, mint_request: impl Into<Bytes>) -> Self {
        let mut calls = Self {
            gateway,
            key: String::new(),
            bad_key: String::new(),
        };
        let client = IpAddr::from([192, 0, 2, 1]);
        let answer = calls
            .post("/api/v1/oauth/token", None, mint_request, client)
            .await;
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("it is JSON");
        calls.key = format!(
            "Bearer {}",
            answer["access_token"].as_str().expect("it has a key")
        );
        calls.bad_key = format!(
            "{}A",
            calls
                .key
                .trim_end_matches('A')
                .strip_suffix(|_: char| true)
                .unwrap_or_default()
        );
        calls
    }

    /// The value of `Authorization`.
    #[must_use]
    pub fn authorization(&self) -> &str {
        &self.key
    }

    /// Asks the dummy.
    pub async fn process(&self, client: IpAddr, stream: bool) -> Bytes {
        let body = if stream {
            DUMMY_STREAM_REQUEST
        } else {
            DUMMY_REQUEST
        };
        self.post("/api/v1/process", Some(&self.key), body, client)
            .await
    }

    /// Asks the provider, as its own clients would.
    pub async fn chat(&self, client: IpAddr, is_streamed: bool) -> Bytes {
        static BODIES: LazyLock<[String; 2]> = LazyLock::new(|| [false, true].map(chat_body));
        let body = BODIES[usize::from(is_streamed)].as_str();
        self.post("/v1/chat/completions", Some(&self.key), body, client)
            .await
    }

    /// Asks with a key that was altered.
    pub async fn process_with_bad_key(&self, client: IpAddr) -> Bytes {
        self.post(
            "/api/v1/process",
            Some(&self.bad_key),
            DUMMY_REQUEST,
            client,
        )
        .await
    }

    /// Greets.
    pub async fn ping(&self, client: IpAddr) -> Bytes {
        let request = Request::get("/api/v1/ping")
            .body(Full::default())
            .expect("it is a request");
        self.send(request, client).await
    }

    /// Posts JSON.
    pub async fn post(
        &self,
        path: &str,
        authorization: Option<&str>,
        body: impl Into<Bytes>,
        client: IpAddr,
    ) -> Bytes {
        let mut request = Request::builder().method(Method::POST).uri(path);
        request = request
            .header(header::HOST, "localhost:3000")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        self.send(
            request
                .body(Full::new(body.into()))
                .expect("it is a request"),
            client,
        )
        .await
    }

    async fn send(&self, request: Request<Full<Bytes>>, client: IpAddr) -> Bytes {
        let response = self.gateway.handle(request, client).await;
        let body = response
            .into_body()
            .collect()
            .await
            .expect("an answer that is not cut off");
        body.to_bytes()
    }
}
