//! Header fields of a request or a response that is translated.
//!
//! Fields that only one dialect has are for its own side. Fields about the content are those of the
//! content that was translated.

use aisbreaker_services::{Dialect, Provider};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::CONTENT_FIELDS;

const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// The version of Anthropic's API that requests are translated to.
const TRANSLATED_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");
/// The field in which OpenAI names a request, and Anthropic.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Response fields that describe the content as the provider sent it.
static CONTENT_CHECKS: [HeaderName; 5] = [
    header::ETAG,
    header::LAST_MODIFIED,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
];

/// Returns how the names of the fields begin that only this dialect has.
fn prefixes(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::OpenAi => &["openai-", "x-ratelimit-", "x-client-request-id"],
        Dialect::Anthropic => &["anthropic-"],
    }
}

/// Makes the request fields for a provider those of a JSON request in the other dialect than that of
/// the client.
pub(in crate::provider_api) fn translate_request(
    fields: &mut HeaderMap,
    provider: &Provider,
    of_client: Dialect,
) {
    remove_fields_of(of_client, fields);
    for name in &CONTENT_FIELDS {
        fields.remove(name);
    }
    fields.insert(header::CONTENT_TYPE, JSON);
    name_version(fields, provider, of_client.other());
}

/// Makes the request fields for a list of models those of the other dialect than that of the client.
pub(in crate::provider_api) fn translate_list_request(
    fields: &mut HeaderMap,
    provider: &Provider,
    of_client: Dialect,
) {
    remove_fields_of(of_client, fields);
    name_version(fields, provider, of_client.other());
}

/// Makes the response fields those of content in the dialect of the client.
pub(in crate::provider_api) fn translate_response(
    fields: &mut HeaderMap,
    of_client: Dialect,
    content_type: HeaderValue,
) {
    remove_fields_of(of_client.other(), fields);
    for name in CONTENT_FIELDS.iter().chain(&CONTENT_CHECKS) {
        fields.remove(name);
    }
    fields.insert(header::CONTENT_TYPE, content_type);
    let (from, to) = match of_client {
        Dialect::OpenAi => (REQUEST_ID, X_REQUEST_ID),
        Dialect::Anthropic => (X_REQUEST_ID, REQUEST_ID),
    };
    if let Some(id) = fields.remove(from) {
        fields.insert(to, id);
    }
}

fn remove_fields_of(dialect: Dialect, fields: &mut HeaderMap) {
    let is_of_dialect = |name: &&HeaderName| {
        let mut prefixes = prefixes(dialect).iter();
        prefixes.any(|prefix| name.as_str().starts_with(prefix))
    };
    let removed: Vec<HeaderName> = fields.keys().filter(is_of_dialect).cloned().collect();
    for name in removed {
        fields.remove(name);
    }
}

/// Adds the version that Anthropic's API demands, unless the provider's row has one.
fn name_version(fields: &mut HeaderMap, provider: &Provider, dialect: Dialect) {
    if dialect == Dialect::Anthropic && !provider.headers.contains_key(ANTHROPIC_VERSION) {
        fields
            .entry(ANTHROPIC_VERSION)
            .or_insert(TRANSLATED_VERSION);
    }
}

#[cfg(test)]
mod tests {
    use aisbreaker_services::Providers;

    use super::*;

    fn fields(names: &[&'static str]) -> HeaderMap {
        let value = HeaderValue::from_static("a");
        names
            .iter()
            .map(|name| (HeaderName::from_static(name), value.clone()))
            .collect()
    }

    fn names(fields: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = fields.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn each_side_gets_fields_of_its_own_dialect_only() {
        let request = [
            "accept",
            "anthropic-beta",
            "content-encoding",
            "idempotency-key",
            "openai-organization",
            "user-agent",
        ];
        let providers = Providers::builtin();
        let own = providers.find("anthropic.com").unwrap();
        let other = providers.find("openai.com").unwrap();
        let rows = [
            // The row of the provider has a version, which is added later.
            (Dialect::OpenAi, own, &["anthropic-beta"][..]),
            (
                Dialect::OpenAi,
                other,
                &["anthropic-beta", "anthropic-version"],
            ),
            (Dialect::Anthropic, other, &["openai-organization"]),
        ];
        for (of_client, provider, kept) in rows {
            let mut fields = fields(&request);
            translate_request(&mut fields, provider, of_client);
            let mut expected = [kept, &["content-type", "idempotency-key", "user-agent"]].concat();
            expected.sort_unstable();
            assert_eq!(names(&fields), expected, "{of_client:?} {}", provider.id);
        }

        let response = [
            "anthropic-ratelimit-requests-limit",
            "content-encoding",
            "etag",
            "openai-processing-ms",
            "retry-after",
            "x-ratelimit-limit-requests",
            "x-should-retry",
        ];
        let rows = [
            (
                Dialect::OpenAi,
                "request-id",
                &[
                    "openai-processing-ms",
                    "x-ratelimit-limit-requests",
                    "x-request-id",
                ][..],
            ),
            (
                Dialect::Anthropic,
                "x-request-id",
                &["anthropic-ratelimit-requests-limit", "request-id"],
            ),
        ];
        for (of_client, id, kept) in rows {
            let mut fields = fields(&response);
            fields.insert(HeaderName::from_static(id), HeaderValue::from_static("a"));
            translate_response(&mut fields, of_client, JSON);
            let mut expected = [kept, &["content-type", "retry-after", "x-should-retry"]].concat();
            expected.sort_unstable();
            assert_eq!(names(&fields), expected, "{of_client:?}");
        }
    }
}
