//! Real keys of the original server, with the settings under which they open.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// Reads the vectors, which the token crate owns.
pub(crate) fn vectors() -> Value {
    let text =
        include_str!("../../../../../crates/aisbreaker-token/tests/vectors/original-keys.json");
    serde_json::from_str(text).expect("JSON vectors")
}

/// The environment under which a server opens all keys, in alphabetical order.
pub(crate) fn server_environment(vectors: &Value) -> Vec<(&str, &str)> {
    vectors["server_env"]
        .as_object()
        .expect("the environment")
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().expect("a text")))
        .collect()
}

/// Seconds since the Unix epoch: the keys expire in real time.
#[expect(
    clippy::disallowed_methods,
    reason = "the real keys in the vectors expire in real time"
)]
pub(crate) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs()
}
