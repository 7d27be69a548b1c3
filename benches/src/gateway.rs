//! A gateway to call without sockets.

use std::net::IpAddr;

use aisbreaker_gateway::{Config, Gateway, SystemClock, quotas_from_json};
use aisbreaker_services::{
    egress::{Client, Policy, Timeouts},
    services::{Options, standard},
};
use aisbreaker_token::{KeyRing, ServerKey};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};

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

/// A call of `chat:dummy`.
pub const DUMMY_REQUEST: &str = r#"{"service":{"serviceId":"chat:dummy"},"request":{"inputs":[{"text":{"role":"user","content":"What is a gateway?"}}]}}"#;
const DUMMY_STREAM_REQUEST: &str = r#"{"service":{"serviceId":"chat:dummy"},"request":{"inputs":[{"text":{"role":"user","content":"What is a gateway?"}}],"stream":true}}"#;

/// A gateway whose quotas are never spent.
#[must_use]
pub fn gateway() -> Gateway {
    let mut config = Config::new(KeyRing::new(ServerKey::from_bytes([7; 32])));
    config.server_quotas = quotas_from_json(UNLIMITED).expect("they are quotas");
    config.default_quotas = config.server_quotas;
    let client = Client::new(Policy::strict(), Timeouts::default());
    Gateway::new(config, standard(client, Options::default()).build(), SystemClock::new())
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
        let mut calls = Self { gateway: gateway(), key: String::new(), bad_key: String::new() };
        let client = IpAddr::from([192, 0, 2, 1]);
        let answer = calls.post("/api/v1/oauth/token", None, MINT_REQUEST, client).await;
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("it is JSON");
        calls.key = format!("Bearer {}", answer["access_token"].as_str().expect("it has a key"));
        calls.bad_key =
            format!("{}A", calls.key.trim_end_matches('A').strip_suffix(|_: char| true).unwrap_or_default());
        calls
    }

    /// The value of `Authorization`.
    #[must_use]
    pub fn authorization(&self) -> &str {
        &self.key
    }

    /// Asks the dummy.
    pub async fn process(&self, client: IpAddr, stream: bool) -> Bytes {
        let body = if stream { DUMMY_STREAM_REQUEST } else { DUMMY_REQUEST };
        self.post("/api/v1/process", Some(&self.key), body, client).await
    }

    /// Asks with a key that was altered.
    pub async fn process_with_bad_key(&self, client: IpAddr) -> Bytes {
        self.post("/api/v1/process", Some(&self.bad_key), DUMMY_REQUEST, client).await
    }

    /// Greets.
    pub async fn ping(&self, client: IpAddr) -> Bytes {
        let request = Request::get("/api/v1/ping").body(Full::default()).expect("it is a request");
        self.send(request, client).await
    }

    /// Posts JSON.
    pub async fn post(
        &self,
        path: &str,
        authorization: Option<&str>,
        body: &'static str,
        client: IpAddr,
    ) -> Bytes {
        let mut request = Request::builder().method(Method::POST).uri(path);
        request =
            request.header(header::HOST, "localhost:3000").header(header::CONTENT_TYPE, "application/json");
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        self.send(request.body(Full::from(body)).expect("it is a request"), client).await
    }

    async fn send(&self, request: Request<Full<Bytes>>, client: IpAddr) -> Bytes {
        let response = self.gateway.handle(request, client).await;
        let body = response.into_body().collect().await.expect("an answer that is not cut off");
        body.to_bytes()
    }
}
