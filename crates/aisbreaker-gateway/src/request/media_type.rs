//! The media type of content (RFC 9110 section 8.3).

use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

/// Returns `type/subtype` without parameters and surrounding white space, in the case it came in.
pub(crate) fn essence(value: &HeaderValue) -> &[u8] {
    let value = value.as_bytes();
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    value.get(..end).unwrap_or_default().trim_ascii()
}

/// Returns whether the content is of this type, whatever its parameters are.
pub(crate) fn is(headers: &HeaderMap, expected: &str) -> bool {
    match headers.get(CONTENT_TYPE) {
        // A value that is not ASCII is no media type.
        Some(value) if value.to_str().is_ok() => {
            essence(value).eq_ignore_ascii_case(expected.as_bytes())
        }
        Some(_) | None => false,
    }
}

/// Returns whether every `charset` parameter is UTF-8 or its subset US-ASCII.
///
/// All parameters are looked at, since readers differ in which of several counts.
pub(crate) fn is_utf8(value: &HeaderValue) -> bool {
    let parameters = value.as_bytes().split(|byte| *byte == b';').skip(1);
    for parameter in parameters {
        let Some((name, rest)) = parameter.trim_ascii().split_at_checked(b"charset".len()) else {
            continue;
        };
        if name.eq_ignore_ascii_case(b"charset") && !is_utf8_charset(rest) {
            return false;
        }
    }
    true
}

/// Returns whether the rest of a `charset` parameter, `=` included, names UTF-8.
fn is_utf8_charset(rest: &[u8]) -> bool {
    let Some(charset) = rest.trim_ascii().strip_prefix(b"=") else {
        return false;
    };
    let charset = charset.trim_ascii().to_ascii_lowercase();
    let unquoted = match &*charset {
        [b'"', text @ .., b'"'] => text,
        text => text,
    };
    matches!(unquoted, b"utf-8" | b"utf8" | b"us-ascii" | b"ascii")
}
