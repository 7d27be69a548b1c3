//! Filters header fields between client and provider.
//!
//! All are forwarded except hop-by-hop fields, fields that identify the caller or the provider's
//! host, and our own. Which request fields are not for a provider is in [`families`],
//! and which fields one dialect has alone in [`dialects`].

pub(super) mod dialects;
mod families;

use aisbreaker_services::{TRACEPARENT, TRACESTATE, TraceContext};
use http::{HeaderMap, HeaderName, header};

use self::families::is_for_provider;
use crate::request::credentials::holds_key;

/// Returns whether this is a hop-by-hop field (RFC 9110 section 7.6.1), by its name in lower case.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Returns whether this is a response field about the provider's host, or one that this server sets.
fn is_of_host(name: &str) -> bool {
    matches!(
        name,
        "set-cookie"
            | "strict-transport-security"
            | "alt-svc"
            | "content-length"
            // A browser would report about our host to the provider, or clear what it stores for it.
            | "nel"
            | "report-to"
            | "reporting-endpoints"
            | "clear-site-data"
            | "service-worker-allowed"
    ) || name.starts_with(OWN_PREFIX)
        || name.starts_with(CORS_PREFIX)
}

/// Fields about the content of one request, or of the response that its sender has or wants.
static CONTENT_FIELDS: [HeaderName; 15] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::RANGE,
];
/// Capacity for fields that are added later, so that the map does not grow. It is the same for requests
/// and responses: the egress client reads a response into the map of its request.
const ADDED_FIELDS: usize = 12;
/// How many fields are removed in one step: more than most responses have to lose.
const REMOVED_AT_ONCE: usize = 8;
const OWN_PREFIX: &str = "x-aisbreaker-";
const CORS_PREFIX: &str = "access-control-";

/// Returns the request fields for a provider. A `tracestate` means nothing without a valid
/// `traceparent` (W3C Trace Context section 3.3), so neither is forwarded then.
pub(super) fn for_provider(headers: &HeaderMap, was_coded: bool) -> HeaderMap {
    let connection_options = connection_options(headers);
    let mut forwarded = HeaderMap::with_capacity(headers.len().saturating_add(ADDED_FIELDS));
    let mut is_traced = false;
    for (name, value) in headers {
        let text = name.as_str();
        let is_hop_by_hop = is_hop_by_hop(text) || connection_options.contains(name);
        let is_decoded = was_coded && name == header::CONTENT_ENCODING;
        if !is_hop_by_hop && !is_decoded && is_for_provider(text) && !holds_key(value) {
            forwarded.append(name, value.clone());
        }
        is_traced |= text.starts_with("trace");
    }
    if is_traced && TraceContext::of(headers).is_none() {
        forwarded.remove(TRACEPARENT);
        forwarded.remove(TRACESTATE);
    }
    forwarded
}

/// Returns the request fields for a provider whose list of models is fetched: those of an ordinary
/// call, except fields about the content of the caller's request and of the response to it.
pub(super) fn for_model_list(headers: &HeaderMap) -> HeaderMap {
    let mut forwarded = for_provider(headers, false);
    for name in &CONTENT_FIELDS {
        forwarded.remove(name);
    }
    forwarded
}

/// Returns the response fields for the client.
pub(super) fn for_client(mut headers: HeaderMap) -> HeaderMap {
    filter_for_client(&mut headers);
    headers
}

/// Removes the response fields that are not for the client.
pub(super) fn filter_for_client(headers: &mut HeaderMap) {
    let connection_options = connection_options(headers);
    let is_removed = |name: &&HeaderName| {
        let text = name.as_str();
        is_hop_by_hop(text) || is_of_host(text) || connection_options.contains(name)
    };
    // In steps, so that their names need no list on the heap.
    loop {
        let mut removed = [const { None }; REMOVED_AT_ONCE];
        let found = headers.keys().filter(is_removed);
        for (place, name) in removed.iter_mut().zip(found) {
            *place = Some(name.clone());
        }
        let may_be_more = removed.iter().all(Option::is_some);
        for name in removed.into_iter().flatten() {
            headers.remove(name);
        }
        if !may_be_more {
            break;
        }
    }
    headers.reserve(ADDED_FIELDS);
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
    use http::HeaderValue;

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
            ("x-four", "https://a.example/?key=%61isbreaker%5Fabc"),
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
    fn families_and_kinds_decide_which_fields_a_provider_gets() {
        let kept = [
            "accept",
            "accept-language",
            "anthropic-beta",
            "anthropic-dangerous-direct-browser-access",
            "cf-aig-cache-ttl",
            "content-type",
            "http-referer",
            "idempotency-key",
            "openai-organization",
            "openai-project",
            "traceparent",
            "tracestate",
            "user-agent",
            "x-amzn-bedrock-trace",
            "x-client-request-id",
            "x-goog-api-client",
            "x-goog-user-project",
            "x-request-id",
            "x-session-id",
            "x-stainless-os",
            "x-stainless-retry-count",
            "x-title",
            // A name that only begins like a family is not of it.
            "cfg",
            "flyer-id",
            "secret-sauce",
            "viable",
            "x-ship",
            "x-tip",
        ];
        let dropped = [
            "rndr-id",
            "sentry-trace",
            "serviceworker-navigation-preload",
            "x-anonymous-consumer",
            "x-apigateway-api-userinfo",
            "x-country-code",
            "x-datadog-trace-id",
            "x-requested-with",
            "x-userinfo",
            "x-zscaler-client",
            "access-control-request-headers",
            "baggage",
            "cdn-loop",
            "cf-access-jwt-assertion",
            "cf-aig-authorization",
            "cf-connecting-ip",
            "cf-ipcountry",
            "client-cert",
            "client-cert-chain",
            "cloudfront-viewer-address",
            "cluster-client-ip",
            "dnt",
            "fastly-client-ip",
            "fly-client-ip",
            "forwarded",
            "origin",
            "priority",
            "referer",
            "remote-user",
            "remote_user",
            "sec-ch-ua",
            "sec-fetch-site",
            "ssl-client-cert",
            "ssl_client_verify",
            "some-access-token",
            "true-client-ip",
            "upgrade-insecure-requests",
            "via",
            "x-amz-cf-id",
            "x-amzn-oidc-data",
            "x-appengine-country",
            "x-arr-log-id",
            "x-auth-request-user",
            "x-azure-clientip",
            "x-b3-traceid",
            "x-client-cert",
            "x-client-data",
            "x-cloud-trace-context",
            "x-cluster-client-ip",
            "x-envoy-external-address",
            "x-forwarded",
            "x-forwarded-for",
            "x_forwarded_for",
            "x-goog-authenticated-user-id",
            "x-goog-iap-jwt-assertion",
            "x-ms-client-principal",
            "x-ms-token-aad-id-token",
            "x-new-cdn-client-ip",
            "x-nf-geo",
            "x-original-url",
            "x-real-ip",
            "x-serverless-authorization",
            "x-ssl-client-verify",
            "x-tls-cipher",
            "x-unknown-jwt-assertion",
            "x-vercel-ip-country",
        ];
        for (names, is_kept) in [(&kept[..], true), (&dropped[..], false)] {
            for name in names {
                let mut fields = map(&[(name, "a")]);
                // Only a valid one is passed on, and the state with it.
                let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
                fields.insert("traceparent", HeaderValue::from_static(parent));
                let fields = for_provider(&fields, false);
                assert_eq!(fields.contains_key(*name), is_kept, "{name}");
            }
        }
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
