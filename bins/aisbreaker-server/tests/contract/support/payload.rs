//! Request bodies of the server's own API.

use serde_json::{Value, json};

use super::base64;

/// A call of `service` with one user message.
pub(crate) fn call(service: impl Into<Value>, text: &str) -> Value {
    json!({"service": service.into(), "request": {"inputs": [user_text(text)]}})
}

/// A call of the dummy service.
pub(crate) fn dummy_call() -> Value {
    call(service("chat:dummy"), "Hi")
}

/// The same call with a streamed response.
pub(crate) fn streamed(mut call: Value) -> Value {
    call["request"]["stream"] = json!(true);
    call
}

/// A text input of the user.
pub(crate) fn user_text(text: &str) -> Value {
    json!({"text": {"role": "user", "content": text}})
}

/// Service properties with nothing but the id.
pub(crate) fn service(id: &str) -> Value {
    json!({"serviceId": id})
}

/// Service properties with an id and a URL.
pub(crate) fn service_at(id: &str, url: &str) -> Value {
    json!({"serviceId": id, "url": url})
}

/// Service properties of a hop to the server at `url`, which is to call `inner`.
pub(crate) fn hop(url: &str, inner: &Value) -> Value {
    json!({"serviceId": "aisbreaker:network", "url": url, "forward2ServiceProps": inner})
}

/// `requestQuotas` with limits per minute, hour and day.
pub(crate) fn quotas(per_client: [u32; 3], global: [u32; 3]) -> Value {
    json!({"perClientRequestLimits": limits(per_client), "globalRequestLimits": limits(global)})
}

fn limits([minute, hour, day]: [u32; 3]) -> Value {
    json!({"requestsPerMinute": minute, "requestsPerHour": hour, "requestsPerDay": day})
}

/// Quotas that no test exhausts.
pub(crate) fn ample_quotas() -> Value {
    quotas([100_000; 3], [100_000; 3])
}

/// The body of a minting request.
pub(crate) fn grant(quotas: &Value, secrets: &Value) -> Value {
    json!({"requestAuthAndQuotas": {"requestQuotas": quotas, "serviceSecrets": secrets}})
}

/// Decodes the conversation state of a final response.
pub(crate) fn state_of(response: &Value) -> Value {
    let text = response["conversationState"]
        .as_str()
        .expect("a conversation state");
    serde_json::from_slice(&base64::decode(text)).expect("JSON in the conversation state")
}
