//! What all tests share: a server, a client that can also be rude, and a provider with a script.

mod canary;
mod client;
mod config;
mod deaf;
pub(crate) mod frames;
mod http2;
mod memory;
mod metronome;
mod provider;
mod server;

use std::time::Duration;

pub(crate) use canary::Canaries;
pub(crate) use client::{Answer, Connection, Event, Request, assert_error};
pub(crate) use config::ConfigFile;
pub(crate) use deaf::Deaf;
pub(crate) use http2::{Http2Streams, http2, http2_beginning, http2_untaken};
pub(crate) use metronome::Metronome;
pub(crate) use provider::{Provider, Received, Wire, sse};
use serde_json::{Value, json};
pub(crate) use server::{KEY, Server, files_limit, refused_start, run};

/// No test waits this long for anything unless the server hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A call of a service with one text of the user.
pub(crate) fn call(service: impl Into<Value>, text: &str) -> Value {
    json!({"service": service.into(), "request": {"inputs": [{"text": {"role": "user", "content": text}}]}})
}

/// The same call, answered as a stream.
pub(crate) fn streamed(mut call: Value) -> Value {
    call["request"]["stream"] = json!(true);
    call
}

/// Properties of a service that is called by its id alone.
pub(crate) fn service(id: &str) -> Value {
    json!({"serviceId": id})
}

/// Properties of a service that is called at an address.
pub(crate) fn service_at(id: &str, url: &str) -> Value {
    json!({"serviceId": id, "url": url})
}

/// Properties of a hop to the server at this address, and of the service to be called there.
pub(crate) fn hop(url: &str, inner: &Value) -> Value {
    json!({"serviceId": "aisbreaker:network", "url": url, "forward2ServiceProps": inner})
}

/// `requestQuotas` with these limits per minute, hour and day.
pub(crate) fn quotas(per_client: [u32; 3], global: [u32; 3]) -> Value {
    json!({"perClientRequestLimits": limits(per_client), "globalRequestLimits": limits(global)})
}

fn limits([minute, hour, day]: [u32; 3]) -> Value {
    json!({"requestsPerMinute": minute, "requestsPerHour": hour, "requestsPerDay": day})
}

/// Quotas that no test exhausts.
pub(crate) fn roomy() -> Value {
    quotas([100_000; 3], [100_000; 3])
}

/// The body of a minting request.
pub(crate) fn grant(quotas: &Value, secrets: &Value) -> Value {
    json!({"requestAuthAndQuotas": {"requestQuotas": quotas, "serviceSecrets": secrets}})
}

/// Padded standard base64 (RFC 4648 section 4) and back.
pub(crate) mod base64 {
    use base64ct::{Base64, Encoding as _};

    pub(crate) fn encode(bytes: &[u8]) -> String {
        Base64::encode_string(bytes)
    }

    pub(crate) fn decode(text: &str) -> Vec<u8> {
        Base64::decode_vec(text)
            .unwrap_or_else(|error| panic!("not padded standard base64 ({error}): {text}"))
    }
}

/// The JSON in a conversation state.
pub(crate) fn state_of(answer: &Value) -> Value {
    let text = answer["conversationState"]
        .as_str()
        .expect("a conversation state");
    serde_json::from_slice(&base64::decode(text)).expect("JSON in the conversation state")
}
