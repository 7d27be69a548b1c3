//! Restrictions in a key: what it may not be used for, although its secrets would allow it.

mod bypasses;
mod charges;
mod every_operation;
mod families;
mod model_lists;
mod other_models;
mod requests;
mod values;

use serde_json::{Value, json};

use crate::support::{Response, Server, ample_quotas};

/// Mints a key with these restrictions.
fn mint(server: &Server, quotas: &Value, grant: Value, restrict: &Value) -> String {
    let mut grant = grant;
    grant["requestQuotas"] = quotas.clone();
    server.mint(&json!({
        "requestAuthAndQuotas": grant,
        "restrict": restrict,
        "expirationTimeSpan": "1h",
    }))
}

/// Mints a key without secrets and with these restrictions.
fn plain_key(server: &Server, restrict: &Value) -> String {
    mint(server, &ample_quotas(), json!({}), restrict)
}

/// Checks a refusal by a restriction, in whichever dialect.
#[track_caller]
fn assert_restricted(row: &str, response: &Response, status: u16, restriction: &str) {
    assert_eq!(response.status, status, "{row}: {response:?}");
    let message = response.message();
    let expected = format!("the key's restriction `{restriction}` does not allow ");
    assert!(message.starts_with(&expected), "{row}: {message}");
}
