//! Filters header fields between client and provider.
//!
//! All are forwarded except hop-by-hop fields, fields that identify the caller or the provider's
//! host, and our own.

use aisbreaker_egress::{API_KEY, X_API_KEY, X_GOOG_API_KEY};
use aisbreaker_token::PREFIX;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use memchr::memmem;

use crate::form_urlencoded;

/// Hop-by-hop fields (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// Request fields that identify the caller, and cookies, which are for our host.
const CALLER_FIELDS: [HeaderName; 11] = [
    header::AUTHORIZATION,
    X_API_KEY,
    API_KEY,
    X_GOOG_API_KEY,
    header::COOKIE,
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("x-client-ip"),
];
/// Response fields about the provider's host, and those that this server sets.
const HOST_FIELDS: [HeaderName; 9] = [
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::ALT_SVC,
    header::CONTENT_LENGTH,
    // A browser would report about our host to the provider, or clear what it stores for it.
    HeaderName::from_static("nel"),
    HeaderName::from_static("report-to"),
    HeaderName::from_static("reporting-endpoints"),
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("service-worker-allowed"),
];
/// Capacity for fields that are added later, so that the map does not grow.
const ADDED_FIELDS: usize = 12;
const OWN_PREFIX: &str = "x-aisbreaker-";
const FORWARDED_PREFIX: &str = "x-forwarded-";
const CORS_PREFIX: &str = "access-control-";

/// Returns the request fields for a provider.
pub(super) fn for_provider(headers: &HeaderMap, was_coded: bool) -> HeaderMap {
    let connection_options = connection_options(headers);
    let mut forwarded = HeaderMap::with_capacity(headers.len().saturating_add(ADDED_FIELDS));
    for (name, value) in headers {
        let is_hop_by_hop = HOP_BY_HOP.contains(name) || connection_options.contains(name);
        let is_decoded = was_coded && name == header::CONTENT_ENCODING;
        if !is_hop_by_hop && !is_decoded && !is_callers(name) && !holds_key(value) {
            forwarded.append(name, value.clone());
        }
    }
    forwarded
}

/// Returns the response fields for the client.
pub(super) fn for_client(mut headers: HeaderMap) -> HeaderMap {
    let connection_options = connection_options(&headers);
    let mut removed = Vec::new();
    for name in headers.keys() {
        let is_hop_by_hop = HOP_BY_HOP.contains(name) || connection_options.contains(name);
        let has_own_prefix =
            name.as_str().starts_with(OWN_PREFIX) || name.as_str().starts_with(CORS_PREFIX);
        if is_hop_by_hop || has_own_prefix || HOST_FIELDS.contains(name) {
            removed.push(name.clone());
        }
    }
    for name in removed {
        headers.remove(name);
    }
    headers.reserve(ADDED_FIELDS);
    headers
}

/// Returns whether a field identifies the caller, or is one of ours.
fn is_callers(name: &HeaderName) -> bool {
    CALLER_FIELDS.contains(name)
        || name.as_str().starts_with(FORWARDED_PREFIX)
        || name.as_str().starts_with(OWN_PREFIX)
}

/// Returns whether a value holds an aisbreaker key, even percent-encoded as in a `Referer`.
fn holds_key(value: &HeaderValue) -> bool {
    if memmem::find(value.as_bytes(), PREFIX.as_bytes()).is_some() {
        return true;
    }
    match value.to_str() {
        Ok(text) if text.contains('%') => form_urlencoded::decode(text).contains(PREFIX),
        Ok(_) | Err(_) => false,
    }
}

/// Returns the fields that `Connection` declares to be hop-by-hop.
fn connection_options(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        let Ok(options) = value.to_str() else {
            continue;
        };
        names.extend(
            options
                .split(',')
                .filter_map(|name| name.trim().parse().ok()),
        );
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        headers
    }

    #[test]
    fn a_provider_gets_no_fields_of_the_caller_or_the_connection() {
        let kept = [
            ("anthropic-version", "2023-06-01"),
            ("anthropic-beta", "one"),
            ("anthropic-beta", "two"),
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
            ("user-agent", "sdk"),
            ("x-unknown", "a"),
            ("x-request-id", "b"),
        ];
        let dropped = [
            ("connection", "close, X-Named"),
            ("x-named", "a"),
            ("keep-alive", "a"),
            ("te", "trailers"),
            ("authorization", "Bearer a"),
            ("x-api-key", "a"),
            ("api-key", "a"),
            ("x-goog-api-key", "a"),
            ("cookie", "a"),
            ("x-forwarded-for", "a"),
            ("forwarded", "a"),
            ("x-real-ip", "a"),
            ("x-aisbreaker-sealed", "1"),
            ("x-aisbreaker-hops", "1"),
            ("x-mine", "aisbreaker_abc"),
            ("x-too", "Bearer aisbreaker_abc"),
            ("x-three", "x-aisbreaker_abc"),
            ("referer", "https://a.example/?key=%61isbreaker%5Fabc"),
        ];
        let all: Vec<_> = kept.into_iter().chain(dropped).collect();
        assert_eq!(for_provider(&map(&all), false), map(&kept));

        let inflated = for_provider(&map(&all), true);
        assert!(
            !inflated.contains_key("content-encoding"),
            "the coding was undone"
        );
    }

    #[test]
    fn a_client_gets_no_fields_of_the_host_or_the_connection() {
        let given = map(&[
            ("connection", "x-named"),
            ("x-named", "a"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("set-cookie", "a=b"),
            ("strict-transport-security", "max-age=1"),
            ("alt-svc", "h3"),
            ("nel", "{}"),
            ("report-to", "{}"),
            ("reporting-endpoints", "a=\"https://a.example\""),
            ("clear-site-data", "*"),
            ("service-worker-allowed", "/"),
            ("access-control-allow-origin", "https://a.example"),
            ("x-aisbreaker-attempts", "a"),
            ("x-request-id", "a"),
            ("openai-processing-ms", "3"),
            ("anthropic-ratelimit-requests-limit", "1"),
            ("x-ratelimit-limit-requests", "1"),
            ("retry-after", "1"),
        ]);
        let mut expected = [
            "x-request-id",
            "openai-processing-ms",
            "anthropic-ratelimit-requests-limit",
            "x-ratelimit-limit-requests",
            "retry-after",
        ];
        expected.sort_unstable();
        let headers = for_client(given);
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, expected);
    }
}
