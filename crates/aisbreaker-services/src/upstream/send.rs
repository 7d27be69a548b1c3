//! Sends a request to the URL of a service.

use aisbreaker_api::ServiceUrl;
use aisbreaker_egress::{Body, Client, Outgoing, Refusal, SendError};
use http::{Response, Uri};

/// Sends a request and waits for the head of the response, whatever its status is.
pub(crate) async fn send(
    client: &Client,
    url: &ServiceUrl,
    outgoing: Outgoing,
) -> Result<Response<Body>, SendError> {
    client.send(&request_uri(url)?, outgoing).await
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
