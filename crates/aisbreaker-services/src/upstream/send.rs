//! Sends a request to the destination of a call.

use std::time::Duration;

use aisbreaker_api::ServiceUrl;
use aisbreaker_egress::{Body, Client, Outgoing, PreparedUrl, Refusal, SendError, UrlSource};
use http::{Response, StatusCode, Uri, response};

use super::{
    body::read_error,
    send_error::no_answer,
    status::{is_error, retry_after, unusable_status},
};
use crate::{call_failure::loggable_host, destination::Destination, error::ServiceError};

/// Sends a request and waits for the head of the response, whatever its status is.
///
/// # Errors
/// [`ServiceError::NoAnswer`] for a connection that breaks before the head is complete: another
/// provider may do better.
pub(crate) async fn send(
    client: &Client,
    destination: &Destination,
    mut outgoing: Outgoing,
) -> Result<Response<Body>, ServiceError> {
    if outgoing.observer.is_some() {
        outgoing = outgoing.with_observed_host(loggable_host(destination));
    }
    let sent = match request_uri(&destination.url) {
        Ok(uri) => client.send(&uri, destination.url_source, outgoing).await,
        Err(error) => Err(error),
    };
    match sent {
        Ok(response) => Ok(response),
        Err(error) => Err(no_answer(error, destination)),
    }
}

/// Sends a request and returns the successful response, whose body is still to be read.
///
/// # Errors
/// For a response with an error status, `error_of` its status, its body and its `Retry-After`.
pub(crate) async fn send_for_success(
    client: &Client,
    destination: &Destination,
    outgoing: Outgoing,
    error_of: fn(StatusCode, &[u8], Option<Duration>) -> ServiceError,
) -> Result<(response::Parts, Body), ServiceError> {
    let (parts, body) = send(client, destination, outgoing).await?.into_parts();
    if is_error(parts.status) {
        let retry_after = retry_after(&parts.headers);
        return Err(error_of(parts.status, &read_error(body).await, retry_after));
    }
    if !parts.status.is_success() {
        return Err(unusable_status(parts.status));
    }
    Ok((parts, body))
}

/// Prepares a URL for many requests.
///
/// # Errors
/// As [`request_uri`].
pub(crate) fn prepare_url(
    client: &Client,
    url: &ServiceUrl,
    source: UrlSource,
) -> Result<PreparedUrl, SendError> {
    client.prepare(&request_uri(url)?, source)
}

/// Returns the URL as the HTTP client takes it, once it is certain that both read the same origin:
/// secrets are bound to the origin of `url`.
///
/// # Errors
/// [`Refusal::InvalidUrl`] when the URL has characters that no request can carry.
fn request_uri(url: &ServiceUrl) -> Result<Uri, SendError> {
    let origin = url.origin();
    let (scheme, default_port) = if origin.is_https() {
        ("https", 443)
    } else {
        ("http", 80)
    };
    match url.as_str().parse::<Uri>() {
        Ok(uri)
            if uri.scheme_str() == Some(scheme)
                && uri.host() == Some(origin.host())
                && uri.port_u16().unwrap_or(default_port) == origin.port() =>
        {
            Ok(uri)
        }
        _ => Err(SendError::Forbidden(Refusal::InvalidUrl)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_scheme_host_port_path_and_query() {
        for text in [
            "https://a.example/v1",
            "http://127.0.0.1:8080/v1?x=1",
            "https://[::1]:8443/v1/%7Bx%7D",
        ] {
            let url = ServiceUrl::resolve(&format!("{text}#no-default-path"), "", None).unwrap();
            assert_eq!(request_uri(&url).unwrap().to_string(), text);
        }
    }
}
