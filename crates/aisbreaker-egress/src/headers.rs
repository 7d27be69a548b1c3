//! Which headers a request may carry, and whether those of a response say where its body ends.

use http::{HeaderMap, HeaderName, HeaderValue, Version, header, response};

/// Whether only the client sets a header: it decides where a request goes, how long its body is, or
/// how long the connection lives.
fn is_client_header(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "host"
            | "content-length"
            | "transfer-encoding"
            | "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "upgrade"
            | "expect"
            | "accept-encoding"
    )
}

/// Whether the value of a header must not appear in `Debug` output.
fn is_secret_header(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "authorization" | "cookie" | "x-api-key" | "api-key" | "x-goog-api-key"
    )
}

/// The transfer coding that every HTTP/1.1 implementation knows (RFC 9112 section 7.1).
const CHUNKED: &str = "chunked";

/// `x-api-key`, in which Anthropic's API expects its secret.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// `api-key`, in which Azure's API expects its secret.
pub const API_KEY: HeaderName = HeaderName::from_static("api-key");
/// `x-goog-api-key`, in which Google's APIs expect their secret.
pub const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// Whether the headers say where the body ends, so that a broken connection is not mistaken for the
/// end (RFC 9112 section 6.3).
#[must_use]
pub fn is_framed(parts: &response::Parts) -> bool {
    parts.version >= Version::HTTP_2
        || is_chunked(&parts.headers)
        || parts.headers.contains_key(header::CONTENT_LENGTH)
}

/// Whether the body is `chunked` as the outermost coding, so that its end shows.
pub(crate) fn is_chunked(headers: &HeaderMap) -> bool {
    let Some(Ok(codings)) = headers
        .get_all(header::TRANSFER_ENCODING)
        .iter()
        .next_back()
        .map(HeaderValue::to_str)
    else {
        return false;
    };
    let outermost = codings.rsplit(',').next().unwrap_or_default();
    outermost.trim().eq_ignore_ascii_case(CHUNKED)
}

/// Whether a transfer coding is left on the body once `chunked` is decoded, which is done once, if it
/// is the outermost coding. `identity`, which an older HTTP/1.1 had, is none.
pub(crate) fn has_foreign_transfer_coding(headers: &HeaderMap) -> bool {
    let mut is_chunked = false;
    for value in headers.get_all(header::TRANSFER_ENCODING) {
        let Ok(codings) = value.to_str() else {
            return true;
        };
        for coding in codings.split(',').map(str::trim) {
            let is_identity = coding.is_empty() || coding.eq_ignore_ascii_case("identity");
            if is_chunked || !is_identity && !coding.eq_ignore_ascii_case(CHUNKED) {
                return true;
            }
            is_chunked = !is_identity;
        }
    }
    false
}

/// Whether the content has this media type, whatever its parameters are (RFC 9110 section 8.3.1).
#[must_use]
pub fn has_media_type(headers: &HeaderMap, media_type: &str) -> bool {
    let Some(Ok(value)) = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(media_type)
}

/// Whether a header may come from configuration: the client does not set it itself, and it does not
/// carry a secret.
#[must_use]
pub fn is_configurable_header(name: &HeaderName) -> bool {
    !is_client_header(name) && !is_secret_header(name)
}

/// Makes the headers of the caller those to send, without `Host`: less the hop-by-hop ones, with
/// secrets marked as sensitive.
pub(crate) fn prepare(headers: &mut HeaderMap) {
    let mut is_any_removed = false;
    for (name, value) in headers.iter_mut() {
        if is_secret_header(name) {
            value.set_sensitive(true);
        }
        is_any_removed |= is_client_header(name);
    }
    // What `Connection` names is only there if that is.
    if is_any_removed {
        remove_client_headers(headers);
    }
    // Never the caller's: tokens, errors and the ends of streams are read from a response while it
    // passes, and the bounds on its size count bytes that no decoder has yet to inflate.
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
}

fn remove_client_headers(headers: &mut HeaderMap) {
    let hop_by_hop = named_in_connection(headers);
    let is_removed = |name: &&HeaderName| is_client_header(name) || hop_by_hop.contains(name);
    let removed: Vec<HeaderName> = headers.keys().filter(is_removed).cloned().collect();
    for name in removed {
        headers.remove(name);
    }
}

/// Returns the headers that `Connection` declares to be hop-by-hop (RFC 9110 section 7.6.1).
fn named_in_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        let Ok(list) = value.to_str() else {
            continue;
        };
        names.extend(list.split(',').flat_map(|name| name.trim().parse()));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    static CLIENT_HEADERS: [HeaderName; 12] = [
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
    static SECRET_HEADERS: [HeaderName; 5] = [
        header::AUTHORIZATION,
        header::COOKIE,
        X_API_KEY,
        API_KEY,
        X_GOOG_API_KEY,
    ];

    #[test]
    fn client_headers_and_those_that_connection_names_are_removed() {
        let mut headers = HeaderMap::new();
        for name in &CLIENT_HEADERS {
            headers.append(name.clone(), HeaderValue::from_static("x-one, cookie"));
            headers.append(name, HeaderValue::from_static("x-two"));
        }
        for name in ["x-one", "x-two", "x-three", "cookie"] {
            headers.insert(name, HeaderValue::from_static("1"));
        }

        prepare(&mut headers);

        let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-three", "accept-encoding"]);
        assert_eq!(headers[header::ACCEPT_ENCODING], "identity");
    }

    #[test]
    fn secret_headers_are_marked_as_sensitive() {
        let mut headers = HeaderMap::new();
        for name in &SECRET_HEADERS {
            headers.append(name.clone(), HeaderValue::from_static("sk-1"));
            headers.append(name, HeaderValue::from_static("sk-2"));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));

        prepare(&mut headers);

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
