//! Which headers a request may carry, and which of a response say where its body ends.

use http::{HeaderMap, HeaderName, HeaderValue, Version, header, response};

/// Headers that only this client may set: they say where a request goes, how long it is, or how
/// long a connection lives.
const OWN_HEADERS: [HeaderName; 12] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::ACCEPT_ENCODING,
];

/// Headers whose values are never to be shown.
const SECRET_HEADERS: [HeaderName; 5] = [
    header::AUTHORIZATION,
    header::COOKIE,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// Whether the end of a body is told apart from a broken connection (RFC 9112 section 6.3).
#[must_use]
pub fn is_framed(parts: &response::Parts) -> bool {
    parts.version >= Version::HTTP_2
        || parts.headers.contains_key(header::TRANSFER_ENCODING)
        || parts.headers.contains_key(header::CONTENT_LENGTH)
}

/// Whether a header is one that whoever makes a request may set for a provider: none that is this
/// client's own, and none that carries a secret.
#[must_use]
pub fn is_configurable_header(name: &HeaderName) -> bool {
    !OWN_HEADERS.contains(name) && !SECRET_HEADERS.contains(name)
}

pub(crate) fn prepare(mut headers: HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let is_own = |name: &&HeaderName| OWN_HEADERS.contains(name) || named.contains(name);
    let set_by_others: Vec<HeaderName> = headers.keys().filter(is_own).cloned().collect();
    for name in set_by_others {
        headers.remove(name);
    }
    for (name, value) in &mut headers {
        if SECRET_HEADERS.contains(name) {
            value.set_sensitive(true);
        }
    }
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_carry_secrets_are_never_shown() {
        let mut headers = HeaderMap::new();
        for name in SECRET_HEADERS {
            headers.append(name.clone(), HeaderValue::from_static("sk-1"));
            headers.append(name, HeaderValue::from_static("sk-2"));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));

        let headers = prepare(headers);

        for (name, value) in &headers {
            assert_eq!(
                value.is_sensitive(),
                SECRET_HEADERS.contains(name),
                "{name}"
            );
        }
        assert!(!format!("{headers:?}").contains("sk-"));
        assert_eq!(headers.get_all(header::COOKIE).iter().count(), 2);
    }
}
