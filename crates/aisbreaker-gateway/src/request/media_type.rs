//! The media type of content (RFC 9110 section 8.3).

use http::{HeaderMap, header::CONTENT_TYPE};

/// Returns `type/subtype` without parameters and surrounding white space, in the case it came in.
pub(crate) fn essence(value: &[u8]) -> &[u8] {
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    value.get(..end).unwrap_or_default().trim_ascii()
}

/// Returns the media type of the content without its parameters, in the case it came in.
pub(crate) fn of(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(CONTENT_TYPE)?;
    // A value that is not ASCII is no media type.
    value.to_str().ok()?;
    Some(essence(value.as_bytes()))
}

/// Returns whether every `charset` parameter is UTF-8 or its subset US-ASCII.
///
/// All parameters are looked at, since readers differ in which of several counts.
pub(crate) fn is_utf8(value: &[u8]) -> bool {
    let parameters = value.split(|byte| *byte == b';').skip(1);
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
