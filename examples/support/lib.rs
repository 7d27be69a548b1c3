//! What the examples that call a server share: where it is, with which key, and how to call it.
//!
//! `AISBREAKER_SERVER_URL` (default `http://localhost:3000`) and `AISBREAKER_API_KEY` (default:
//! none) are the variables of all AIsBreaker clients.
#![forbid(unsafe_code)]

use std::{error::Error, sync::Arc};

use aisbreaker_api::{Request, ServiceProps};
use aisbreaker_egress::{Client, Outgoing, Policy, Timeouts, parse_url};
use aisbreaker_services::{
    Call, Credentials, Reply,
    services::{Options, standard},
};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use serde_json::Value;

/// What every example answers.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The base URL of the server to call.
#[must_use]
pub fn server_url() -> String {
    variable("AISBREAKER_SERVER_URL").unwrap_or_else(|| "http://localhost:3000".to_owned())
}

/// An outbound client that may call this server although it is not public, nor `https`.
///
/// # Errors
/// When the URL of the server is not one.
pub fn client() -> Outcome<Client> {
    Ok(Client::new(
        Policy::strict().allow(&server_url())?,
        Timeouts::default(),
    ))
}

/// Posts JSON to a path of the server.
///
/// # Errors
/// When the server cannot be reached, or answers with anything but success.
pub async fn post(path: &str, body: &Value) -> Outcome<Value> {
    let url = parse_url(&[&server_url(), path].concat())?;
    let headers =
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let response = client()?
        .send(&url, Outgoing::post(headers, body.to_string()))
        .await?;
    let status = response.status();
    let body: Value = serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?;
    if status.is_success() {
        Ok(body)
    } else {
        Err(format!("{status}: {body}").into())
    }
}

/// Calls a service of the server, with the key of the environment.
///
/// The server is itself a service for this crate, `aisbreaker:network`, which stands before the one
/// that answers.
///
/// # Errors
/// What the server answers, as text.
pub async fn call(service_id: &str, request: Request) -> Outcome<Reply> {
    let key = variable("AISBREAKER_API_KEY");
    let credentials = key.map_or(Credentials::None, |key| Credentials::Caller(key.into()));
    let registry = standard(client()?, Options::default()).build();
    let service = ServiceProps::new("aisbreaker:network")
        .with_url(server_url())
        .with_forward_to(ServiceProps::new(service_id));
    let call = Call::new(service, request, Arc::new(credentials), registry.clone())?;
    Ok(registry.call(call).await?)
}

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?
        .into_string()
        .ok()
        .filter(|value| !value.is_empty())
}
