//! Shared code of the examples that call a server: its address, the key, and how to call it.
//!
//! They are configured by the variables of all AIsBreaker clients: `AISBREAKER_SERVER_URL` (by
//! default `http://localhost:3000`) and `AISBREAKER_API_KEY` (by default none).
#![forbid(unsafe_code)]

use std::{error::Error, sync::Arc};

use aisbreaker_api::{Request, ServiceProps};
use aisbreaker_egress::{Client, Outgoing, Policy, Timeouts, UrlSource, parse_url};
use aisbreaker_services::{
    Call, Credentials, Reply,
    services::{Options, standard},
};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use serde_json::Value;

/// The result of an example.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Returns the base URL of the server to call.
#[must_use]
pub fn server_url() -> String {
    variable("AISBREAKER_SERVER_URL").unwrap_or_else(|| "http://localhost:3000".to_owned())
}

/// Creates an outbound client that may call this server although it is neither public nor `https`,
/// also where a request names it: an example has no callers but itself.
///
/// # Errors
/// When the URL of the server is invalid.
pub fn client() -> Outcome<Client> {
    Ok(Client::new(
        Policy::strict().allow(&server_url())?.extend_to_untrusted(),
        Timeouts::default(),
    ))
}

/// Posts JSON to a path of the server and returns the response.
///
/// # Errors
/// When the server cannot be reached or does not respond with success.
pub async fn post(path: &str, body: &Value) -> Outcome<Value> {
    let url = parse_url(&[&server_url(), path].concat())?;
    let headers =
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let response = client()?
        .send(
            &url,
            UrlSource::Trusted,
            Outgoing::post(headers, body.to_string()),
        )
        .await?;
    let status = response.status();
    let bytes = response.into_body().collect().await?.to_bytes();
    let json: Value = serde_json::from_slice(&bytes)?;
    if status.is_success() {
        Ok(json)
    } else {
        Err(format!("{status}: {json}").into())
    }
}

/// Calls a service of the server with the key from the environment.
///
/// For the library, the server is itself a service, `aisbreaker:network`, which forwards the
/// request to the one in `service_id`.
///
/// # Errors
/// When the server cannot be reached, or with the error that it returns.
pub async fn call(service_id: &str, request: Request) -> Outcome<Reply> {
    let credentials = match variable("AISBREAKER_API_KEY") {
        Some(key) => Credentials::Caller(key.into()),
        None => Credentials::None,
    };
    let registry = standard(client()?, Options::default()).build();
    let service = ServiceProps::new("aisbreaker:network")
        .with_url(server_url())
        .with_forward_to(ServiceProps::new(service_id));
    let call = Call::new(service, request, Arc::new(credentials), registry.clone())?;
    Ok(registry.call(call).await?)
}

fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.into_string().ok()?;
    (!value.is_empty()).then_some(value)
}

/// Runs the programs of the page about embedding.
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
struct EmbeddingPage;
