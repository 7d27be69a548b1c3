//! Header fields on their way to a provider and back: all are passed on but those that are for one
//! connection only, those that say who the caller is, and those that are ours.

use aisbreaker_token::PREFIX;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use memchr::memmem;

use crate::form;

/// Fields for one connection only (RFC 9110 section 7.6.1).
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
/// Fields of a request that say who the caller is and where it comes from. Cookies are for our
/// host.
const OF_THE_CALLER: [HeaderName; 11] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
    header::COOKIE,
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("x-client-ip"),
];
/// Fields of an answer that are about the provider's own host, or that this server writes.
const OF_THE_HOST: [HeaderName; 9] = [
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::ALT_SVC,
    header::CONTENT_LENGTH,
    // A browser would send reports about our host to those of the provider, or forget what it knows
    // of it.
    HeaderName::from_static("nel"),
    HeaderName::from_static("report-to"),
    HeaderName::from_static("reporting-endpoints"),
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("service-worker-allowed"),
];
/// Room for the fields that are added on either way, so that none of them makes the table grow.
const ADDED_FIELDS: usize = 12;
const OURS: &str = "x-aisbreaker-";
const FORWARDED: &str = "x-forwarded-";
const CORS: &str = "access-control-";

/// The fields of a request that a provider gets.
pub(super) fn for_provider(headers: &HeaderMap, was_coded: bool) -> HeaderMap {
    let named = named_in_connection(headers);
    let is_passed_on = |name: &HeaderName| {
        let is_of_one_hop = HOP_BY_HOP.contains(name) || named.contains(name);
        let is_of_somebody = OF_THE_CALLER.contains(name) || name.as_str().starts_with(FORWARDED);
        let is_undone = was_coded && name == header::CONTENT_ENCODING;
        !is_of_one_hop && !is_of_somebody && !is_undone && !name.as_str().starts_with(OURS)
    };
    let is_harmless = |value: &HeaderValue| {
        let has_key = memmem::find(value.as_bytes(), PREFIX.as_bytes()).is_some();
        // As in the query of an address (`Referer`).
        let is_coded = |text: &str| text.contains('%') && form::decode(text).contains(PREFIX);
        !has_key && !value.to_str().is_ok_and(is_coded)
    };
    let fields = headers
        .iter()
        .filter(|(name, value)| is_passed_on(name) && is_harmless(value));
    let mut passed_on = HeaderMap::with_capacity(headers.len().saturating_add(ADDED_FIELDS));
    for (name, value) in fields {
        passed_on.append(name, value.clone());
    }
    passed_on
}

/// The fields of an answer that the client gets.
pub(super) fn for_client(mut headers: HeaderMap) -> HeaderMap {
    let named = named_in_connection(&headers);
    let is_kept_back = |name: &&HeaderName| {
        let is_ours = name.as_str().starts_with(OURS) || name.as_str().starts_with(CORS);
        is_ours || HOP_BY_HOP.contains(name) || OF_THE_HOST.contains(name) || named.contains(name)
    };
    let kept_back: Vec<HeaderName> = headers.keys().filter(is_kept_back).cloned().collect();
    for name in kept_back {
        headers.remove(name);
    }
    headers.reserve(ADDED_FIELDS);
    headers
}

/// Whether the content is of this type, whatever its parameters are.
pub(super) fn is_of_type(headers: &HeaderMap, essence: &str) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case(essence)
}

fn named_in_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect()
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
    fn a_provider_gets_what_is_not_of_the_caller_or_the_connection() {
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
    fn a_client_gets_what_is_not_of_the_host_or_the_connection() {
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
