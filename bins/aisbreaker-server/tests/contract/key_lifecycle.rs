//! What a key allows, how it is narrowed, and how it ends.

mod budgets;
mod caller_chosen_addresses;
mod callers_without_a_key;
mod command_line;
mod exchange;
mod forms;
mod introspection;
mod jwks;
mod key_rotation;
mod metadata;
mod minting_advice;
mod minting_options;
mod nested_keys;
mod offline_commands;
mod offline_keys;
mod operator_revocation;
mod restrictions;
mod revocation;
mod revoke_command;
mod revoked_file;
mod shared_revocation;

use crate::support::{Request, Response, Server, base64, dummy_call};

/// The path of revocation.
const REVOKE: &str = "/api/v1/oauth/revoke";
/// The operator's secret.
const ADMIN: &str = "Qv8sKw3nXz5t";

/// A revocation with this form.
fn revocation(form: &str) -> Request {
    Request::post(REVOKE, form).set("Content-Type", "application/x-www-form-urlencoded")
}

/// A revocation with this form and the operator's secret.
fn operator_revocation(form: &str) -> Request {
    let credentials = base64::encode(format!("admin:{ADMIN}").as_bytes());
    revocation(form).header("Authorization", format!("Basic {credentials}"))
}

/// Revokes a key as its holder.
fn revoke(server: &Server, key: &str) -> Response {
    server.send(&revocation(&format!("token={key}")))
}

/// Returns the id of a key, which the holder is told.
fn id_of(server: &Server, key: &str) -> String {
    let answer = server.send(&Request::get("/api/v1/quota").bearer(key));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["keyId"].as_str().unwrap().to_owned()
}

/// Returns whether a key is accepted. Otherwise it must be refused like any bad key.
#[track_caller]
fn is_accepted(server: &Server, key: &str) -> bool {
    let answer = server.process(key, &dummy_call());
    match answer.status {
        200 => true,
        401 => {
            let bad = server.process("aisbreaker_bad", &dummy_call());
            let field = |answer: &Response| answer.header("www-authenticate").map(str::to_owned);
            assert_eq!(answer.text_without_id(), bad.text_without_id());
            assert_eq!(field(&answer), field(&bad));
            assert_eq!(answer.header("x-aisbreaker-key-expires"), None);
            false
        }
        _ => panic!("{answer:?}"),
    }
}

/// Checks an error response of RFC 6749 section 5.2, which has our `message` as well.
#[track_caller]
fn assert_oauth_error(row: &str, answer: &Response, status: u16, error: &str, message: &str) {
    assert_eq!(answer.status, status, "{row}: {answer:?}");
    let body = answer.json();
    assert_eq!(body["error"], error, "{row}: {answer:?}");
    let text = body["message"].as_str().unwrap_or_default();
    assert!(text.contains(message), "{row}: {answer:?}");
    assert!(body["error_description"].is_string(), "{row}: {answer:?}");
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("*"),
        "{row}"
    );
}
