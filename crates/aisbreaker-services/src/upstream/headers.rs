//! Headers of the requests to upstream servers and of their responses.

use aisbreaker_egress::has_media_type;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::SecretString;

use crate::{
    destination::Destination, error::ServiceError, providers::AuthScheme, service::ReplyKind,
};

/// Marks a bearer value that came out of a sealed key, so that the caller does not know it.
///
/// Every provider gets this header, since any of them may be an AIsBreaker server. That server must
/// not let the call choose where the value goes.
pub const SEALED_HEADER: &str = "x-aisbreaker-sealed";
/// Counts the AIsBreaker servers that have forwarded a call.
pub const HOPS_HEADER: &str = "x-aisbreaker-hops";
/// How many AIsBreaker servers may forward a call.
pub const MAX_HOPS: u8 = 8;

const SEALED: HeaderName = HeaderName::from_static(SEALED_HEADER);
const HOPS: HeaderName = HeaderName::from_static(HOPS_HEADER);
/// The hop counts from 1 to [`MAX_HOPS`].
const HOP_COUNTS: [&str; MAX_HOPS as usize] = ["1", "2", "3", "4", "5", "6", "7", "8"];
const EVENT_STREAM: &str = "text/event-stream";
const JSON: &str = "application/json";
const USER_AGENT: &str = concat!("aisbreaker/", env!("CARGO_PKG_VERSION"));

/// Returns the headers of a JSON request, including the secret of `destination`.
///
/// # Errors
/// [`ServiceError::BadRequest`] when a header cannot carry the secret.
pub(crate) fn json_request(
    destination: &Destination,
    auth: AuthScheme,
    reply: ReplyKind,
) -> Result<HeaderMap, ServiceError> {
    let accept = match reply {
        ReplyKind::Final => JSON,
        ReplyKind::Stream => EVENT_STREAM,
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    if let Some(secret) = &destination.secret {
        add_secret(&mut headers, secret, auth)?;
        if destination.is_sealed {
            mark_sealed(&mut headers);
        }
    }
    Ok(headers)
}

/// Adds a secret.
///
/// # Errors
/// [`ServiceError::BadRequest`] when a header cannot carry the secret.
pub(crate) fn add_secret(
    headers: &mut HeaderMap,
    secret: &SecretString,
    auth: AuthScheme,
) -> Result<(), ServiceError> {
    let (name, value) = auth.header(secret)?;
    headers.insert(name, value);
    Ok(())
}

/// Marks the secret as one that the caller does not know.
pub(crate) fn mark_sealed(headers: &mut HeaderMap) {
    headers.insert(SEALED, HeaderValue::from_static("1"));
}

/// Adds the hop count of a call that `hops` servers have forwarded already.
///
/// # Errors
/// [`ServiceError::BadRequest`] when the call has passed [`MAX_HOPS`] servers.
pub(crate) fn add_hop(headers: &mut HeaderMap, hops: u8) -> Result<(), ServiceError> {
    let Some(count) = HOP_COUNTS.get(usize::from(hops)) else {
        let text = format!(
            "the call has passed {MAX_HOPS} AIsBreaker servers already; look for a loop in \
             service.url and service.forward2ServiceProps"
        );
        return Err(ServiceError::BadRequest(text.into()));
    };
    headers.insert(HOPS, HeaderValue::from_static(count));
    Ok(())
}

/// Returns whether a response body is a stream of server-sent events.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    has_media_type(headers, EVENT_STREAM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_adds_one_to_the_hop_count() {
        for hops in 0..=u8::MAX {
            let mut headers = HeaderMap::new();
            let added = add_hop(&mut headers, hops).is_ok();
            assert_eq!(added, hops < MAX_HOPS);
            let count = headers
                .get(HOPS_HEADER)
                .map(|count| count.to_str().unwrap());
            let expected = added.then(|| (u16::from(hops) + 1).to_string());
            assert_eq!(count, expected.as_deref());
        }
    }
}
