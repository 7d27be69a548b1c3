//! The server's own API below `/api/v1`.

mod authorization;
pub(crate) mod bad_keys;
mod built_in_services;
mod conversation_state;
mod cors;
mod error_messages;
mod headers;
mod hop_errors;
mod hops;
mod http_versions;
mod keys;
mod lenient_json;
mod malformed_requests;
mod mint_policy;
mod minting;
mod minting_validation;
mod openai_calls;
mod openai_streams;
mod provider_errors;
pub(crate) mod provider_faults;
mod request_body;
mod routing;
mod service_lookup;
mod service_urls;
mod stream_keep_alive;
mod unread_requests;
mod websocket;

use serde_json::{Value, json};

use crate::support::{call, service};

/// A second server key, next to [`KEY`](crate::support::KEY).
const SECOND_KEY: &str = "c2Vjb25kLWtleS1mb3ItdGhlLXRlc3RzLTMyLWJ5dGU";

/// Every route below a base path, with its method.
const ROUTES: [(&str, &str); 5] = [
    ("GET", "/ping"),
    ("GET", "/version"),
    ("GET", "/quota"),
    ("POST", "/oauth/token"),
    ("POST", "/process"),
];
const BASES: [&str; 2] = ["/api/v1", "/api/v1alpha1"];

/// All routes under all their paths: both base paths, with and without a trailing slash.
fn all_paths() -> Vec<(&'static str, String)> {
    let mut paths = Vec::new();
    for (method, route) in ROUTES {
        for base in BASES {
            for slash in ["", "/"] {
                paths.push((method, format!("{base}{route}{slash}")));
            }
        }
    }
    for path in ["/", "/healthz", "/healthz/", "/readyz", "/readyz/"] {
        paths.push(("GET", path.to_owned()));
    }
    paths
}

pub(crate) const DUMMY_QUESTION: &str = "What is NodeJS?";
/// The words that clients of the original server look for, with its spelling.
pub(crate) const DUMMY_ANSWER: &str = "Hello, this is the reponse to 'What is NodeJS?' from \
                            DummyAssistantService ... To get a useful answer, choose a different \
                            service/serviceId ...";

/// A call of the dummy service that is answered with [`DUMMY_ANSWER`].
pub(crate) fn dummy_question() -> Value {
    call(service("chat:dummy"), DUMMY_QUESTION)
}

/// Service properties of a filter around another service.
fn filter(id: &str, inner: &Value) -> Value {
    json!({"serviceId": id, "forward2ServiceProps": inner})
}

/// Service properties of a filter that reverses every text.
fn mirror(inner: &Value) -> Value {
    filter("aisbreaker:mirror", inner)
}

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

/// Removes the duration, which differs from call to call.
fn without_time(mut response: Value) -> Value {
    let time = response["usage"]
        .as_object_mut()
        .expect("the usage")
        .remove("totalMilliseconds");
    assert!(
        time.as_ref().is_some_and(Value::is_u64),
        "totalMilliseconds is {time:?}"
    );
    response
}
